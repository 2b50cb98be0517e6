//! L1 for every ready strategy: cut or scramble the future at 60 places, and the past's equity and trades stay the same.
//! No database is needed; resampled timeframes are cut in `runs`, where a store builds them.

use rust_decimal::Decimal;
use sim::bars::{Bars, Column, Columns};
use sim::order::Trade;
use sim::rules::{Fill, Intrabar, Rules};
use sim::{Run, exact};

const N_BARS: usize = 3_000;
const N_WARMUP: usize = 300;
const CUTS: usize = 60;

/// A random walk in halves, wild enough for every rule to fire; the same for the same seed.
fn bars(seed: u64, past: Option<(&Bars, usize)>) -> Bars {
    let mut state = seed;
    let mut random = move |n: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % n).expect("small")
    };
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
    columns.extra.insert(Column::Volume, volumes);
    if let Some((other, cut)) = past {
        for (mine, theirs) in [
            (&mut columns.open, other.open()),
            (&mut columns.high, other.high()),
            (&mut columns.low, other.low()),
            (&mut columns.close, other.close()),
        ] {
            mine[..cut].copy_from_slice(&theirs[..cut]);
        }
    }
    Bars::new("T", "1h".parse().expect("known"), N_WARMUP, columns).expect("good bars")
}

fn simulate(name: &str, bars: &Bars, rules: &Rules) -> Run {
    let definition = strategies::ready(name).expect("ready");
    let params = definition.params(&[]).expect("defaults hold");
    let mut strategy = definition.build(&params).expect("it builds");
    sim::run(bars, &mut *strategy, rules).expect("it ends well")
}

/// Trades that were over before bar `cut`.
fn past(run: &Run, cut: usize) -> Vec<Trade> {
    run.trades.iter().filter(|t| t.exit.is_some_and(|x| x.bar_idx < cut)).cloned().collect()
}

#[test]
fn no_ready_strategy_sees_what_has_not_happened() {
    for name in strategies::names() {
        for (fill, intrabar) in [
            (Fill::NextOpen, Intrabar::Worst),
            (Fill::NextOpen, Intrabar::Path),
            (Fill::Close, Intrabar::Best),
        ] {
            check(name, &Rules { fill, intrabar, slippage_bps: Decimal::ONE, ..Rules::default() });
        }
    }
}

fn check(name: &str, rules: &Rules) {
    let whole = bars(7, None);
    let run = simulate(name, &whole, rules);
    assert!(!run.trades.is_empty(), "`{name}` never traded: the test shows nothing");
    for k in 0..CUTS {
        let cut = N_WARMUP + 1 + k * (N_BARS - N_WARMUP - 1) / CUTS;
        let n_traded = cut - N_WARMUP;
        let short = simulate(name, &whole.head(cut).expect("bars are left"), rules);
        let other = simulate(name, &bars(1_000 + k as u64, Some((&whole, cut))), rules);
        for (what, changed) in [("cut", &short), ("scrambled", &other)] {
            let same = run.equity[..n_traded] == changed.equity[..n_traded];
            assert!(same, "`{name}` saw the future: equity before bar {cut} with it {what}");
            assert_eq!(past(&run, cut), past(changed, cut), "`{name}` at bar {cut}, {what}");
        }
    }
}
