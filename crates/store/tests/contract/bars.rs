//! Bars go in and come out the same, and a load answers as semantics "Time" says.

use std::collections::BTreeSet;

use sim::bars::Column;
use sim::timeframe::Timeframe;
use store::progress::Silent;
use store::row::BarRow;
use store::{Error, Feed, Held, LoadAsk, Loaded, Range, Store, Written};
use tokio::sync::mpsc;

use crate::places::on_every_backend;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2024-01-01, a Monday.
const START: i64 = 1_704_067_200_000_000;

pub(crate) fn tf(name: &str) -> Timeframe {
    name.parse().unwrap()
}

pub(crate) fn bar(time_us: i64, close: i128) -> BarRow {
    let e8 = 100_000_000;
    BarRow {
        time_us,
        open: close * e8,
        high: (close + 2) * e8,
        low: (close - 2) * e8,
        close: close * e8,
        volume: e8 / 2,
        quote_volume: Some(7),
        trades_count: Some(3),
        taker_buy_volume: None,
        taker_buy_quote_volume: Some(0),
    }
}

pub(crate) async fn write(
    store: &Store,
    symbol: &str,
    timeframe: &str,
    rows: &[BarRow],
) -> Written {
    let (sender, receiver) = mpsc::channel(2);
    let batches: Vec<Vec<BarRow>> = rows.chunks(700).map(<[_]>::to_vec).collect();
    let send = async move {
        for batch in batches {
            sender.send(Feed::Rows(batch)).await.unwrap();
        }
        sender.send(Feed::End).await.unwrap();
    };
    let (written, ()) = tokio::join!(store.write_bars(symbol, tf(timeframe), receiver), send);
    written.unwrap()
}

fn ask(timeframe: &str, from_us: Option<i64>, to_us: Option<i64>, warmup_bars: usize) -> LoadAsk {
    let (symbol, columns) = ("BTCUSDT".to_owned(), BTreeSet::new());
    LoadAsk { symbol, timeframe: tf(timeframe), from_us, to_us, warmup_bars, columns }
}

async fn load(store: &Store, ask: &LoadAsk) -> Loaded {
    store.load(ask, &Silent).await.unwrap()
}

async fn stored(store: &Store, symbol: &str, timeframe: &str, range: Range) -> Vec<BarRow> {
    let mut batches = store.stream_rows(symbol, tf(timeframe), range).await.unwrap();
    let mut rows = Vec::new();
    while let Some(batch) = batches.recv().await {
        rows.extend(batch.unwrap());
    }
    rows
}

#[test]
fn as_many_files_as_there_are_connections_are_written_at_once() {
    on_every_backend(async |store, edition| {
        if edition == store::Edition::Sqlite {
            return; // one writer
        }
        let n = store.connections();
        let all_began = std::sync::Arc::new(tokio::sync::Barrier::new(n));
        let writers: Vec<_> = (0..n)
            .map(|i| {
                let (store, all_began) = (store.clone(), all_began.clone());
                tokio::spawn(async move {
                    let (sender, receiver) = mpsc::channel(1);
                    let send = async {
                        // Room in the channel is there again once its transaction has begun.
                        sender.send(Feed::Rows(vec![bar(START, 100)])).await.unwrap();
                        sender.send(Feed::Rows(vec![bar(START + MINUTE, 100)])).await.unwrap();
                        all_began.wait().await;
                        sender.send(Feed::End).await.unwrap();
                    };
                    let symbol = format!("X{i}");
                    tokio::join!(store.write_bars(&symbol, tf("1m"), receiver), send).0.unwrap()
                })
            })
            .collect();
        for writer in writers {
            assert_eq!(writer.await.unwrap().rows, 2);
        }
    });
}

#[test]
fn every_value_comes_back_as_it_was() {
    let widest = 99_999_999_999_999_999_999;
    let fits = i128::from(i64::MAX);
    let rows = [
        BarRow { high: widest, volume: widest, quote_volume: Some(widest), ..bar(START, 5) },
        BarRow { high: fits + 1, taker_buy_volume: Some(fits), ..bar(START + MINUTE, 5) },
        BarRow {
            open: 1,
            high: fits,
            low: 1,
            close: 1,
            volume: 0,
            quote_volume: None,
            trades_count: None,
            taker_buy_volume: Some(fits + 1),
            taker_buy_quote_volume: None,
            ..bar(START + 2 * MINUTE, 5)
        },
        BarRow { trades_count: Some(i32::MAX), ..bar(-3 * MINUTE, 5) },
    ];
    on_every_backend(async |store, _| {
        let symbol = "O'NEIL\\\t%L\"ü";
        write(&store, symbol, "1m", &rows).await;
        let mut expected = rows.to_vec();
        expected.sort_by_key(|row| row.time_us);
        assert_eq!(stored(&store, symbol, "1m", Range::default()).await, expected);
        let range = Range { from_us: Some(START + 1), to_us: Some(START + 2 * MINUTE) };
        assert_eq!(stored(&store, symbol, "1m", range).await, rows[1..2]);
    });
}

#[test]
fn writing_again_replaces_and_counts() {
    on_every_backend(async |store, _| {
        let rows: Vec<BarRow> = (0..1_500).map(|i| bar(START + i * MINUTE, 100)).collect();
        let all = Written { rows: 1_500, inserted: 1_500, updated: 0 };
        assert_eq!(write(&store, "BTCUSDT", "1m", &rows).await, all);
        let nothing = Written { rows: 1_500, ..Written::default() };
        assert_eq!(write(&store, "BTCUSDT", "1m", &rows).await, nothing);
        let changed = [
            BarRow { taker_buy_volume: Some(1), ..rows[10] },
            BarRow { quote_volume: None, ..rows[11] },
            rows[12],
            bar(START - MINUTE, 100),
        ];
        let some = Written { rows: 4, inserted: 1, updated: 2 };
        assert_eq!(write(&store, "BTCUSDT", "1m", &changed).await, some);
        let range = Range { from_us: Some(START + 10 * MINUTE), to_us: Some(START + 13 * MINUTE) };
        assert_eq!(stored(&store, "BTCUSDT", "1m", range).await, changed[..3]);
    });
}

#[test]
fn an_abort_keeps_nothing() {
    on_every_backend(async |store, _| {
        let (sender, receiver) = mpsc::channel(4);
        sender.send(Feed::Rows(vec![bar(START, 100)])).await.unwrap();
        sender.send(Feed::Abort("row 2 is bad".to_owned())).await.unwrap();
        let error = store.write_bars("BTCUSDT", tf("1m"), receiver).await.unwrap_err();
        assert_eq!(error.to_string(), "nothing was written: row 2 is bad");
        assert_eq!(store.held().await.unwrap(), []);
    });
}

/// A reader that panics drops its end of the channel without a word: that must not pass for the end of the file.
#[test]
fn a_sender_that_dies_keeps_nothing() {
    on_every_backend(async |store, _| {
        let (sender, receiver) = mpsc::channel(4);
        sender.send(Feed::Rows(vec![bar(START, 100)])).await.unwrap();
        drop(sender);
        let error = store.write_bars("BTCUSDT", tf("1m"), receiver).await.unwrap_err();
        assert!(matches!(error, Error::Aborted(_)), "{error}");
        assert_eq!(store.held().await.unwrap(), []);
    });
}

#[test]
fn held_counts_bars_and_gaps() {
    on_every_backend(async |store, _| {
        let minutes = [0, 1, 2, 5, 6, 9];
        let rows: Vec<BarRow> = minutes.iter().map(|&m| bar(START + m * MINUTE, 100)).collect();
        write(&store, "ETHUSDT", "1m", &rows).await;
        write(&store, "BTCUSDT", "1h", &[bar(START, 100)]).await;
        let held = |symbol: &str, timeframe, to_us, bars, gaps, missing| Held {
            symbol: symbol.to_owned(),
            timeframe: tf(timeframe),
            from_us: START,
            to_us,
            bars,
            gaps,
            missing,
        };
        let expected = [
            held("BTCUSDT", "1h", START + HOUR, 1, 0, 0),
            held("ETHUSDT", "1m", START + 10 * MINUTE, 6, 2, 4),
        ];
        assert_eq!(store.held().await.unwrap(), expected);
    });
}

#[test]
fn more_loads_at_once_than_connections_all_end() {
    on_every_backend(async |store, _| {
        let rows: Vec<BarRow> = (0..100).map(|i| bar(START + i * MINUTE, 9)).collect();
        write(&store, "BTCUSDT", "1m", &rows).await;
        let loads = (0..16).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { load(&store, &ask("1m", None, None, 0)).await.bars.len() })
        });
        for load in loads.collect::<Vec<_>>() {
            assert_eq!(load.await.unwrap(), rows.len());
        }
    });
}

/// Three days of minutes from START + 30 minutes on, without 02:00 to 03:00 of the second day, and hours of the last
/// two days.
async fn three_days(store: &Store) {
    let hole = DAY + 2 * HOUR..DAY + 3 * HOUR;
    let minutes = (30..3 * 24 * 60).map(|m| m * MINUTE).filter(|us| !hole.contains(us));
    let close = |us: i64| 100 + i128::from(us / HOUR);
    let rows: Vec<BarRow> = minutes.map(|us| bar(START + us, close(us))).collect();
    write(store, "BTCUSDT", "1m", &rows).await;
    let hours: Vec<BarRow> = (24..72).map(|h| bar(START + h * HOUR, close(h * HOUR))).collect();
    write(store, "BTCUSDT", "1h", &hours).await;
}

#[test]
fn a_load_takes_the_coarsest_source_that_covers_it() {
    on_every_backend(async |store, _| {
        three_days(&store).await;
        let hours = load(&store, &ask("4h", Some(START + DAY), Some(START + 2 * DAY), 0)).await;
        assert_eq!((hours.source_timeframe, hours.source_bars), (tf("1h"), 24));
        assert_eq!((hours.bars.len(), hours.missing_bars, hours.shorter), (6, 0, None));
        let minutes = load(&store, &ask("4h", Some(START + 4 * HOUR), None, 0)).await;
        assert_eq!((minutes.source_timeframe, minutes.missing_bars), (tf("1m"), 60));
        // The first bucket that the data begin inside is no bar: from 00:30 on the first whole hour is 01:00.
        let open = load(&store, &ask("2h", Some(START), None, 0)).await;
        assert_eq!(open.bars.time_us()[0], START + 2 * HOUR);
        let shorter = Range { from_us: Some(START + 2 * HOUR), to_us: Some(START + 3 * DAY) };
        assert_eq!(open.shorter, Some(shorter));
        // The hole of the second day is half of one 2h bucket of minutes: that one is built from what it has.
        let row = open.bars.time_us().iter().position(|&us| us == START + DAY + 2 * HOUR).unwrap();
        assert_eq!(open.bars.open()[row], (100 + 27) * 100_000_000);
    });
}

#[test]
fn warm_up_counts_bars_not_time() {
    on_every_backend(async |store, _| {
        three_days(&store).await;
        let from = START + DAY + 4 * HOUR;
        let loaded = load(&store, &ask("1m", Some(from), Some(from + HOUR), 100)).await;
        assert_eq!((loaded.bars.n_warmup(), loaded.short_warmup), (100, None));
        // 60 minutes from 03:00 on, then the hole, then 40 minutes up to 02:00.
        assert_eq!(loaded.bars.time_us()[0], START + DAY + 2 * HOUR - 40 * MINUTE);
        assert_eq!(loaded.bars.len(), 160);
        assert_eq!(loaded.source_bars, 160);
        // Hours from minutes: the bucket at 00:00 of the first day is cut by the data, so 3 are left.
        let first = START + 4 * HOUR;
        let loaded = load(&store, &ask("1h", Some(first), Some(first + HOUR), 10)).await;
        assert_eq!(loaded.source_timeframe, tf("1m"));
        assert_eq!(loaded.short_warmup, Some((3, 10)));
        assert_eq!((loaded.bars.len(), loaded.source_bars), (4, 240));
    });
}

#[test]
fn every_backend_has_the_same_fingerprint() {
    let seen = std::sync::Mutex::new(BTreeSet::new());
    on_every_backend(async |store, _| {
        three_days(&store).await;
        let mut ask = ask("2h", Some(START + 4 * HOUR), None, 10);
        ask.columns = [Column::Volume, Column::TradesCount, Column::TakerBuyVolume].into();
        let loaded = load(&store, &ask).await;
        assert_eq!(loaded.fingerprint.len(), 64);
        let bars = loaded.bars;
        assert_eq!(bars.extra(Column::TradesCount).unwrap().get(0), Some(3 * 120 * 100_000_000));
        assert_eq!(bars.extra(Column::TakerBuyVolume).unwrap().get(0), None);
        seen.lock().unwrap().insert(loaded.fingerprint);
        assert_eq!(seen.lock().unwrap().len(), 1);
    });
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    on_every_backend(async |store, _| {
        let place = store.place();
        let fails = async |ask: &LoadAsk| store.load(ask, &Silent).await.unwrap_err();
        let nothing = fails(&ask("1h", None, None, 0)).await;
        assert!(nothing.to_string().ends_with("holds no bars at all"), "{nothing}");
        three_days(&store).await;
        let error = fails(&ask("1h", Some(START - DAY), Some(START), 0)).await;
        let text = format!(
            "no bars for `BTCUSDT` `1h` from 2023-12-31 to 2024-01-01\n  `{place}` holds 48 bars, \
             2024-01-02 to 2024-01-04; 4230 bars of `1m`, 2024-01-01 00:30:00 to 2024-01-04"
        );
        assert_eq!(error.to_string(), text);
        let typo = LoadAsk { symbol: "BTCUSD".to_owned(), ..ask("1h", None, None, 0) };
        let error = fails(&typo).await;
        assert!(matches!(error, Error::NoBars(_)));
        assert!(error.hint().unwrap().starts_with("did you mean `BTCUSDT`?"), "{error}");
        let error = fails(&ask("1s", None, None, 0)).await;
        assert!(error.hint().unwrap().starts_with("use --timeframe 1m"), "{error}");
    });
}

#[test]
fn bars_that_break_a_rule_are_named() {
    on_every_backend(async |store, _| {
        let bad = BarRow { high: 1, ..bar(START + MINUTE, 100) };
        write(&store, "BTCUSDT", "1m", &[bar(START, 100), bad]).await;
        let error = store.load(&ask("1m", None, None, 0), &Silent).await.unwrap_err();
        assert!(error.to_string().ends_with("BTCUSDT 1m at 2024-01-01 00:01:00"), "{error}");
    });
}

/// However many connections read: all bars of a load are of one moment.
#[test]
fn a_load_beside_a_writer_sees_one_state() {
    let rows = |close: i128| -> Vec<BarRow> {
        (0..30_000).map(|m| bar(START + m * MINUTE, close)).collect()
    };
    on_every_backend(async |store, _| {
        write(&store, "BTCUSDT", "1m", &rows(100)).await;
        let writing = async {
            for close in [200, 300, 400] {
                write(&store, "BTCUSDT", "1m", &rows(close)).await;
            }
        };
        let loading = async {
            let mut seen = BTreeSet::new();
            while seen.last() != Some(&(400 * 100_000_000)) {
                let bars = load(&store, &ask("1m", None, None, 0)).await.bars;
                let first = bars.close()[0];
                assert!(bars.close().iter().all(|&close| close == first), "a torn load");
                seen.insert(first);
            }
        };
        tokio::join!(writing, loading);
    });
}

/// Many chunks on TimescaleDB, where ends are looked for from the outside inwards: other series begin sooner and end later.
#[test]
fn both_ends_of_a_series_are_found_wherever_others_have_theirs() {
    on_every_backend(async |store, _| {
        const DAYS: i64 = 25;
        let on = |day: i64| bar(START + day * DAY + 8 * HOUR, 100);
        let series: [(&str, Vec<i64>); 6] = [
            ("ALL", (0..DAYS).collect()),
            ("FIRST", vec![0]),
            ("LAST", vec![DAYS - 1]),
            ("SECOND", vec![1, DAYS - 2]),
            ("AMID", vec![11, 13]),
            ("ONE", vec![12]),
        ];
        for (symbol, days) in &series {
            let rows: Vec<BarRow> = days.iter().map(|&day| on(day)).collect();
            write(&store, symbol, "1h", &rows).await;
            // Of another timeframe and all of time: not what is asked for.
            write(&store, symbol, "2h", &(-2..DAYS + 2).map(on).collect::<Vec<_>>()).await;
        }
        for (symbol, days) in &series {
            let loaded =
                load(&store, &LoadAsk { symbol: (*symbol).to_owned(), ..ask("1h", None, None, 0) })
                    .await;
            let times: Vec<i64> = days.iter().map(|&day| on(day).time_us).collect();
            assert_eq!(loaded.bars.time_us(), times, "{symbol} in {}", store.place());
            assert_eq!(stored(&store, symbol, "1h", Range::default()).await.len(), days.len());
        }
        let none = LoadAsk { symbol: "NONE".to_owned(), ..ask("1h", None, None, 0) };
        assert!(matches!(store.load(&none, &Silent).await, Err(Error::NoBars(_))));
    });
}
