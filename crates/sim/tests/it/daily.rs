//! Daily marks made from trades equal those of the reference loop, for every ready strategy, side and kind of fill.
//! Trades are the reference loop's own here.

use rust_decimal::Decimal;
use sim::rules::{Fill, Rules};

use crate::ready_file;
use crate::sweep_ready::bars;

#[test]
fn days_from_trades_are_the_days_of_the_run() {
    let bars = bars();
    let (mut held, mut shorts) = (0, 0);
    for file in ready_file::all() {
        for fill in [Fill::NextOpen, Fill::Close] {
            let slippage_bps = Decimal::from(7);
            let rules = Rules { fill, slippage_bps, ..Rules::default() };
            for params in file.grid().into_iter().step_by(97) {
                let mut signals = file.rules.bind(&params).unwrap();
                let run = sim::run(&bars, &mut signals, &rules).unwrap();
                let days = sim::days(&bars, &rules, &run.trades);
                assert_eq!(days, run.daily, "{} {params}", file.name);
                held += run.trades.iter().filter(|t| t.exit.is_none()).count();
                let short = |t: &&sim::order::Trade| t.side == sim::order::Side::Short;
                shorts += run.trades.iter().filter(short).count();
            }
        }
    }
    assert!(held > 10 && shorts > 1_000, "{held} open at the end, {shorts} shorts");
}
