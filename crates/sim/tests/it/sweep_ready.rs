//! Every ready strategy file takes the kernel, and its variants equal the reference loop's there.
//! No random rule: those are in `sweep_oracle`.

use std::sync::Mutex;

use sim::bars::{Bars, Columns};
use sim::rules::Rules;
use sim::sweep::{self, Options, Outcome, Path, Variant};

use crate::ready_file;
use crate::script::MINUTE_US;

/// A walk of 5,000 quarters of an hour in cents around 300.
pub(crate) fn bars() -> Bars {
    let (mut state, mut last) = (1_u64, 30_000_i64);
    let mut below = |n: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        i64::try_from(state >> 33).unwrap() % n
    };
    let mut c = Columns::default();
    for bar in 0..5_000 {
        let open = last + below(21) - 10;
        let close = (open + below(401) - 200).max(1_000);
        let (high, low) = (open.max(close) + below(60), open.min(close) - below(60));
        c.time_us.push(bar * 15 * MINUTE_US);
        for (column, price) in
            [(&mut c.open, open), (&mut c.high, high), (&mut c.low, low), (&mut c.close, close)]
        {
            column.push(price * 1_000_000);
        }
        last = close;
    }
    Bars::new("T", "15m".parse().unwrap(), 100, c).unwrap()
}

#[test]
fn ready_strategies_take_the_kernel_and_equal_the_reference_loop() {
    let bars = bars();
    for file in ready_file::all() {
        let grid = file.grid();
        let step = (grid.len() / 40).max(1);
        let rules = Rules::default();
        assert_eq!(sweep::path(&bars, &rules), Path::Kernel, "{}", file.name);
        let variant = |params| Variant { params, rules: rules.clone() };
        let variants: Vec<Variant> = grid.into_iter().step_by(step).map(variant).collect();
        let results = Mutex::new(vec![None; variants.len()]);
        // Little memory, so that columns and bits come and go between groups and batches.
        let options = Options { memory: 1 << 20, batch: 16, ..Options::default() };
        sweep::sweep(&bars, &file.rules, &variants, &options, &|index, result| {
            results.lock().unwrap()[index] = result.ok();
        })
        .unwrap();
        let mut trades = 0;
        for (variant, outcome) in variants.iter().zip(results.into_inner().unwrap()) {
            let mut signals = file.rules.bind(&variant.params).unwrap();
            let run = sim::run(&bars, &mut signals, &variant.rules).unwrap();
            trades += run.trades.len();
            assert_eq!(outcome, Some(Outcome::from(&run)), "{} {}", file.name, variant.params);
        }
        assert!(trades > 0, "{} never traded", file.name);
    }
}
