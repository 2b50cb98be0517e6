//! Hours of a random walk with volumes, the same for the same seed. No test lives here.

use sim::bars::{Bars, Column, Columns};

pub(crate) const CENT: i64 = 1_000_000;

/// `n` hours; of those that are `missing` there is no volume.
pub(crate) fn hours(seed: u64, n: usize, n_warmup: usize, missing: impl Fn(usize) -> bool) -> Bars {
    let mut state = seed;
    let mut random = move |n: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % n).expect("small")
    };
    let mut columns = Columns::default();
    let mut volumes = Vec::new();
    let mut price = 10_000;
    for i in 0..n {
        let open = price;
        price = (open + random(121) - 60).max(1_000);
        columns.time_us.push(i64::try_from(i).expect("small") * 3_600_000_000);
        columns.open.push(open * CENT);
        columns.high.push((open.max(price) + random(30)) * CENT);
        columns.low.push((open.min(price) - random(30)) * CENT);
        columns.close.push(price * CENT);
        volumes.push((!missing(i)).then(|| i128::from(random(1_000)) * i128::from(CENT)));
    }
    columns.extra.insert(Column::Volume, volumes.into_iter().collect());
    Bars::new("T", "1h".parse().expect("known"), n_warmup, columns).expect("good bars")
}
