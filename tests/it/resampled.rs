//! L1 through a real store: bars of one hour made from minutes, the future cut or scrambled at 60 places, every ready strategy.
//! Whole bars are cut in `lookahead`; no metric is looked at here.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use sim::Run;
use sim::bars::Column;
use sim::order::Trade;
use sim::rules::{Fill, Rules};
use sim::timeframe::Timeframe;
use store::progress::Silent;
use store::row::BarRow;
use store::{Feed, LoadAsk, Loaded, Store};
use tokio::sync::mpsc;

use crate::market::{self, MINUTE_US, Random, START_US};
use crate::servers::{Backend, backends};
use crate::shell::block_on;

const CUTS: usize = 60;
const N_DAYS: usize = 16;
const N_MINUTES: usize = N_DAYS * 1_440;
/// Bars of an hour in front of the traded range.
const N_WARMUP: usize = 24;
const HOUR_US: i64 = 60 * MINUTE_US;

async fn write(store: &Store, rows: &[BarRow]) {
    let minute: Timeframe = "1m".parse().expect("known");
    let (sender, receiver) = mpsc::channel(2);
    for feed in [Feed::Rows(rows.to_vec()), Feed::End] {
        sender.send(feed).await.expect("there is room");
    }
    store.write_bars("WALK", minute, receiver).await.expect("they are written");
}

async fn load(store: &Store) -> Loaded {
    let hours = i64::try_from(N_WARMUP).expect("small");
    let ask = LoadAsk {
        symbol: "WALK".to_owned(),
        timeframe: "1h".parse().expect("known"),
        from_us: Some(START_US + hours * HOUR_US),
        to_us: None,
        warmup_bars: N_WARMUP,
        columns: BTreeSet::from([Column::Volume]),
    };
    let loaded = store.load(&ask, &Silent).await.expect("there are bars");
    assert_eq!(loaded.source_timeframe.to_string(), "1m");
    loaded
}

/// Parameters short enough to trade often in two weeks of hours.
pub(crate) fn short_params(name: &str) -> Vec<(String, Decimal)> {
    let short: &[(&str, i64)] = match name {
        "sma_cross" => &[("fast", 2), ("slow", 5)],
        "donchian_breakout" => &[("entry", 6), ("exit", 3)],
        "macd_trend" => &[("fast", 3), ("slow", 6), ("signal", 3), ("trend", 10)],
        "cooldown_breakout" => &[("channel", 12), ("cooldown", 2)],
        "supertrend" => &[("period", 5), ("factor", 1)],
        _ => &[],
    };
    short.iter().map(|&(name, value)| (name.to_owned(), Decimal::from(value))).collect()
}

/// Every ready strategy on the same bars, next-open and close fills in turn.
fn simulate(loaded: &Loaded) -> Vec<(&'static str, Run)> {
    let run = |(i, name): (usize, &'static str)| {
        let definition = strategies::ready(name).expect("ready");
        let params = definition.params(&short_params(name)).expect("they hold");
        let mut strategy = definition.build(&params).expect("it builds");
        let fill = if i % 2 == 0 { Fill::NextOpen } else { Fill::Close };
        let rules = Rules { fill, ..Rules::default() };
        (name, sim::run(&loaded.bars, &mut *strategy, &rules).expect("it ends well"))
    };
    strategies::names().into_iter().enumerate().map(run).collect()
}

/// Trades that were over before bar `cut`.
fn past(run: &Run, cut: usize) -> Vec<Trade> {
    run.trades.iter().filter(|t| t.exit.is_some_and(|x| x.bar_idx < cut)).cloned().collect()
}

/// What is the same in both up to the hour that `cut_us` lies in.
fn compare(whole: &(Loaded, Vec<(&'static str, Run)>), changed: &Loaded, cut_us: i64, what: &str) {
    let hour_us = cut_us / HOUR_US * HOUR_US;
    let bars = &whole.0.bars;
    let cut = bars.time_us().iter().take_while(|&&t| t < hour_us).count();
    let traded = cut - bars.n_warmup();
    assert_eq!(bars.time_us()[..cut], changed.bars.time_us()[..cut], "bars before the cut");
    for ((name, run), (_, other)) in whole.1.iter().zip(simulate(changed)) {
        let same = run.equity[..traded] == other.equity[..traded];
        assert!(same, "`{name}` saw the future: equity before {cut_us} with it {what}");
        assert_eq!(past(run, cut), past(&other, cut), "`{name}`, {what} at {cut_us}");
    }
}

async fn check(backend: &Backend) {
    Store::migrate(&backend.url).await.expect("it migrates");
    let store = Store::open(&backend.url).await.expect("it opens");
    let mut random = Random::new(5);
    let truth = market::bars(3, MINUTE_US, N_MINUTES, true);
    write(&store, &truth).await;
    let whole = load(&store).await;
    let whole = (whole.clone(), simulate(&whole));
    for (name, run) in &whole.1 {
        assert!(!run.trades.is_empty(), "`{name}` never traded: the test shows nothing");
    }
    // From the end to the beginning, so that all after the cut is scrambled. Every other cut is at an hour, where a
    // bucket that looks one minute too far is seen.
    let first = (N_WARMUP + 1) * 60;
    let span = (truth.len() - first) / CUTS;
    let place = |k: usize, random: &mut Random| {
        let at = first + k * span + usize::try_from(random.below(span as u64 - 61)).expect("small");
        let hour = |i: usize| truth[i].time_us / HOUR_US;
        if k.is_multiple_of(2) {
            (at..).find(|&i| hour(i) > hour(at)).expect("the walk goes on")
        } else {
            at
        }
    };
    let cuts: Vec<usize> = (0..CUTS).map(|k| place(k, &mut random)).collect();
    let mut end = truth.len();
    for (k, &cut) in cuts.iter().enumerate().rev() {
        let other = market::bars(1_000 + k as u64, MINUTE_US, N_MINUTES, false);
        let from_us = truth[cut].time_us;
        let to_us = truth.get(end).map_or(i64::MAX, |row| row.time_us);
        let scrambled: Vec<BarRow> =
            other.into_iter().filter(|row| (from_us..to_us).contains(&row.time_us)).collect();
        write(&store, &scrambled).await;
        compare(&whole, &load(&store).await, from_us, "scrambled");
        end = cut;
    }
    store.close().await;
}

/// A second database, filled from the beginning on: at each cut nothing comes after it.
async fn check_cut(backend: &Backend) {
    Store::migrate(&backend.url).await.expect("it migrates");
    let store = Store::open(&backend.url).await.expect("it opens");
    let truth = market::bars(3, MINUTE_US, N_MINUTES, true);
    let mut loads = Vec::new();
    let first = (N_WARMUP + 2) * 60;
    let mut written = 0;
    for k in 0..=CUTS {
        // Odd steps, so that cuts fall inside hours.
        let cut = if k == CUTS { truth.len() } else { first + k * ((truth.len() - first) / CUTS) };
        write(&store, &truth[written..cut]).await;
        written = cut;
        loads.push((truth[cut - 1].time_us + MINUTE_US, load(&store).await));
    }
    let (_, whole) = loads.pop().expect("the last one is the whole");
    let whole = (whole.clone(), simulate(&whole));
    for (cut_us, loaded) in &loads {
        compare(&whole, loaded, *cut_us, "cut");
    }
    store.close().await;
}

#[test]
fn no_strategy_sees_a_scrambled_future_through_a_resampled_timeframe() {
    for backend in backends() {
        eprintln!("on {}", backend.name);
        block_on(check(&backend));
    }
}

#[test]
fn no_strategy_sees_past_the_end_of_a_resampled_timeframe() {
    for backend in backends() {
        eprintln!("on {}", backend.name);
        block_on(check_cut(&backend));
    }
}
