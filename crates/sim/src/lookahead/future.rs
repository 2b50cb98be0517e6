//! Another future for the same past: a seeded walk, wilder than the bars it replaces.
//! It looks like no market; it only has to be different.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

use crate::bars::{Bars, BarsError, Column};

/// How much wilder than the bars the invented ones are.
const WILDER: i64 = 4;
/// How far an invented price may get from the last real one, as a factor.
const MOST_FACTOR: i64 = 16;

/// Bars of `bars` before `cut`, and then up to `n` that are invented, with the times that there are.
pub(super) fn scrambled(bars: &Bars, cut: usize, n: usize, seed: u64) -> Result<Bars, BarsError> {
    let end = bars.len().min(cut.saturating_add(n));
    let mut random = Random::new(seed, cut);
    let mut columns = bars.columns_of(0..end);
    let start = bars.close()[cut - 1];
    let step = usual_step(bars).max(1).saturating_mul(WILDER);
    let (least, most) = ((start / MOST_FACTOR).max(1), start.saturating_mul(MOST_FACTOR));
    let mut price = start;
    // Up behind one cut and down behind the next: whatever leans on the future leans over.
    let mut drift = if cut.is_multiple_of(2) { step / 2 } else { -(step / 2) };
    for i in cut..end {
        let open = price;
        price = open.saturating_add(drift).saturating_add(random.around(step)).clamp(least, most);
        if price == least || price == most {
            drift = -drift;
        }
        columns.open[i] = open;
        columns.close[i] = price;
        columns.high[i] = open.max(price).saturating_add(random.below(step));
        columns.low[i] = (open.min(price) - random.below(step)).max(1);
    }
    for values in columns.extra.values_mut() {
        let real = values.clone();
        for i in cut..values.len() {
            let times = i128::from(random.below(WILDER) + 1);
            values.set(i, real.get(random.index(real.len())).map(|v| v.saturating_mul(times)));
        }
    }
    Bars::new(bars.symbol(), bars.timeframe(), bars.n_warmup(), columns)
}

/// The mean step from close to close.
fn usual_step(bars: &Bars) -> i64 {
    let steps = bars.prices(Column::Close).unwrap_or_default().windows(2);
    let sum: i128 = steps.map(|w| i128::from((w[1] - w[0]).abs())).sum();
    i64::try_from(sum / bars.len() as i128).unwrap_or(i64::MAX / 64)
}

struct Random(Pcg64Mcg);

impl Random {
    fn new(seed: u64, cut: usize) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed ^ (cut as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// From 0 to below `n`.
    fn below(&mut self, n: i64) -> i64 {
        i64::try_from(self.0.next_u64() % n.max(1).unsigned_abs()).unwrap_or(0)
    }

    /// From -n to n.
    fn around(&mut self, n: i64) -> i64 {
        self.below(n.saturating_mul(2).saturating_add(1)) - n
    }

    fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.0.next_u64() % n as u64).unwrap_or(0)
    }
}
