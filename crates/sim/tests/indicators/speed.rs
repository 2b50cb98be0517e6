//! How long a year of minutes takes, on request: `cargo test -p sim --release --test indicators -- --ignored --nocapture`.
//! No assertion may enter: figures depend on the machine.

use std::time::Instant;

use super::{bars_of, bound};
use sim::bars::Bars;
use sim::expr::Type;
use sim::indicator::Evaluator;

const YEAR: i64 = 525_600;

fn year() -> Bars {
    let mut cents = 6_500_000_i64;
    let mut state = 1_u64;
    let rows: Vec<_> = (0..YEAR)
        .map(|minute| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let step = i64::try_from(state >> 54).unwrap() - 512;
            let open = cents;
            cents = (cents + step * 5).max(1_000_000);
            (minute, [open, open.max(cents) + 7, open.min(cents) - 9, cents], Some(step.abs()))
        })
        .collect();
    bars_of(&rows)
}

#[test]
#[ignore = "prints figures, proves nothing"]
fn nanoseconds_a_bar() {
    let bars = year();
    let per_bar = |started: Instant| started.elapsed().as_secs_f64() * 1e9 / YEAR as f64;
    for source in [
        "close",
        "sma(close, 20)",
        "sma(close, 400)",
        "sma(close, 5000)",
        "sma(close * 2, 20)",
        "ema(close, 20)",
        "wma(close, 20)",
        "rsi(close, 14)",
        "macd_hist(close, 12, 26, 9)",
        "stddev(close, 20)",
        "bb_upper(close, 20, 2)",
        "atr(14)",
        "adx(14)",
        "cci(20)",
        "mfi(14)",
        "stoch_d(14, 3, 3)",
        "obv()",
        "vwap()",
        "supertrend(10, 3)",
        "highest(high, 20)",
        "sum(volume, 20)",
    ] {
        let expr = bound(source, Type::Number);
        // Columns are there already, as in a sweep.
        let best = (0..5).map(|_| {
            let mut evaluator = Evaluator::new(&bars);
            if source != "close" {
                for column in ["high", "low", "close", "volume"] {
                    evaluator.numbers(&bound(column, Type::Number));
                }
            }
            let started = Instant::now();
            evaluator.numbers(&expr);
            per_bar(started)
        });
        println!("{source:30} {:6.2} ns a bar", best.fold(f64::MAX, f64::min));
    }
    for source in
        ["close > open", "cross_above(close, open)", "close > open and high > 70000 or low < 60000"]
    {
        let expr = bound(source, Type::Rule);
        let mut evaluator = Evaluator::new(&bars);
        evaluator.rule(&expr);
        let best = (0..5).map(|_| {
            let started = Instant::now();
            evaluator.rule(&expr);
            per_bar(started)
        });
        println!("{source:45} {:6.2} ns a bar", best.fold(f64::MAX, f64::min));
    }
}
