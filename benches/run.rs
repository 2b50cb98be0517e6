//! The reference loop on a year of minutes, in nanoseconds a bar, without any database.
//! `cargo bench -p backtest --bench run`; what it printed, and on what machine, stands in README.md beside this file.
#![expect(clippy::expect_used, reason = "a bench stops where it fails")]

use divan::counter::ItemsCount;
use sim::bars::{Bars, Columns};
use sim::exact;
use sim::rules::Rules;

const MINUTES: usize = 525_600;

fn main() {
    divan::main();
}

/// A random walk in cents from 50,000, up to 0.1 % a minute.
fn year() -> Bars {
    let mut state = 1_u64;
    let mut random = move |n: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % n).unwrap_or_default()
    };
    let cent = exact::ONE_E8 / 100;
    let mut columns = Columns::default();
    let mut close = 5_000_000_i64;
    for minute in 0..MINUTES {
        let open = close;
        let span = (open / 1_000).max(2);
        close = (open + random(2 * span.unsigned_abs() + 1) - span).max(100);
        columns.time_us.push(i64::try_from(minute).unwrap_or_default() * 60_000_000);
        columns.open.push(open * cent);
        columns.high.push((open.max(close) + random(100)) * cent);
        columns.low.push((open.min(close) - random(50)) * cent);
        columns.close.push(close * cent);
    }
    let timeframe = "1m".parse().expect("a known timeframe");
    Bars::new("BENCH", timeframe, 0, columns).expect("good bars")
}

/// Signals and books of one run; the name is the strategy's, at its defaults.
#[divan::bench(
    args = ["buy_and_hold", "sma_cross", "rsi_reversion", "donchian_breakout", "macd_trend", "supertrend"],
    sample_count = 5,
)]
fn reference_loop(bencher: divan::Bencher<'_, '_>, name: &str) {
    let bars = year();
    let definition = strategies::ready(name).expect("a ready strategy");
    let params = definition.params(&[]).expect("defaults hold");
    let rules = Rules::default();
    bencher.counter(ItemsCount::new(MINUTES)).bench_local(|| {
        let mut strategy = definition.build(&params).expect("it builds");
        sim::run(divan::black_box(&bars), &mut *strategy, &rules).expect("it ends well")
    });
}
