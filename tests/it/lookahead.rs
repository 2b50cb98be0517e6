//! L1 for every ready strategy, by the check that users have too: cut or scramble the future, and what was decided stays.
//! Strategies that cheat are tested beside the check, in `sim`.

use rust_decimal::Decimal;
use sim::bars::{Bars, Column, Columns};
use sim::exact;
use sim::lookahead;
use sim::rules::{Fill, Intrabar, Rules};

use crate::market::Random;

const N_BARS: usize = 3_000;
const N_WARMUP: usize = 300;
const CUTS: usize = 60;

/// A random walk in halves, wild enough for every rule to fire.
fn bars() -> Bars {
    let mut seeded = Random::new(7);
    let mut random = |n| seeded.signed(n);
    let half = exact::ONE_E8 / 2;
    let mut columns = Columns::default();
    let mut volumes = Vec::new();
    let mut close = 400;
    for i in 0..N_BARS {
        let open = (close + random(5) - 2).max(50);
        close = (open + random(17) - 8).max(50);
        let (high, low) = (open.max(close) + random(6), open.min(close) - random(6));
        columns.time_us.push(i64::try_from(i).expect("small") * 3_600_000_000);
        columns.open.push(open * half);
        columns.high.push(high * half);
        columns.low.push(low * half);
        columns.close.push(close * half);
        volumes.push(Some(i128::from(random(1_000)) * i128::from(half)));
    }
    columns.extra.insert(Column::Volume, volumes.into_iter().collect());
    Bars::new("T", "1h".parse().expect("known"), N_WARMUP, columns).expect("good bars")
}

#[test]
fn no_ready_strategy_sees_what_has_not_happened() {
    let bars = bars();
    for name in strategies::names() {
        let definition = strategies::ready(name).expect("ready");
        let params = definition.params(&[]).expect("defaults hold");
        let make = |_: &Bars| definition.build(&params).expect("it builds");
        for (fill, intrabar) in [
            (Fill::NextOpen, Intrabar::Worst),
            (Fill::NextOpen, Intrabar::Path),
            (Fill::Close, Intrabar::Best),
        ] {
            let rules = Rules { fill, intrabar, slippage_bps: Decimal::ONE, ..Rules::default() };
            let report = lookahead::check(&bars, &rules, &make, CUTS, 1).expect("it ends well");
            assert_eq!(report.first, None, "`{name}` saw the future");
            assert!(report.cuts >= CUTS && report.runs >= 2 * CUTS, "{report:?}");
            assert!(report.trades > 0, "`{name}` never traded: the test shows nothing");
        }
    }
}
