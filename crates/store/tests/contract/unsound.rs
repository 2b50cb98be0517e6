//! Values that no bar has, put into a server's table by somebody's plain SQL: what the server takes is refused with its
//! column, symbol, timeframe and time.

use std::collections::BTreeSet;
use std::error::Error;

use sim::bars::Column;
use sqlx::{Connection, PgConnection};
use store::progress::{Progress, Silent};
use store::{Edition, LoadAsk, Store};

use crate::bars::{bar, tf, write};
use crate::places::{on_every_backend, on_every_server};
use crate::schema::run;

const MINUTE: i64 = 60_000_000;
/// 2024-01-01
const START: i64 = 1_704_067_200_000_000;
const AT: &str = "WHERE timestamp = '2024-01-01 00:05+00'";

/// What is done to the table, whether every server takes it, and what is said then.
const CHANGES: [(&str, bool, &[&str]); 7] = [
    (
        "UPDATE market_data SET close = 'NaN'",
        true,
        &["market_data.close`", "NaN", "2024-01-01 00:05"],
    ),
    (
        "UPDATE market_data SET volume = 'NaN'",
        true,
        &["market_data.volume`", "NaN", "2024-01-01 00:05"],
    ),
    ("UPDATE market_data SET open = 'Infinity'", false, &["market_data.open`", "infinity"]),
    (
        "UPDATE market_data SET quote_volume = '-Infinity'",
        false,
        &["market_data.quote_volume`", "-infinity"],
    ),
    (
        "ALTER TABLE market_data ALTER high DROP NOT NULL; UPDATE market_data SET high = NULL",
        true,
        &["market_data.high`", "NULL", "2024-01-01 00:05"],
    ),
    (
        "ALTER TABLE market_data ALTER volume DROP NOT NULL; UPDATE market_data SET volume = NULL",
        true,
        &["market_data.volume`", "NULL", "2024-01-01 00:05"],
    ),
    ("UPDATE market_data SET timestamp = 'infinity'", false, &["time without end"]),
];

/// An error with what is behind it.
fn whole(error: &dyn Error) -> String {
    let behind = error.source().map(|source| format!(": {}", whole(source)));
    format!("{error}{}", behind.unwrap_or_default())
}

#[test]
fn a_value_that_no_bar_has_is_refused_with_its_place() {
    on_every_server(&async |store, place| {
        let mut conn = PgConnection::connect(&place.url).await.unwrap();
        let columns: BTreeSet<Column> = [Column::Volume, Column::QuoteVolume].into();
        let (symbol, timeframe) = ("X".to_owned(), tf("1m"));
        let ask =
            LoadAsk { symbol, timeframe, from_us: None, to_us: None, warmup_bars: 0, columns };
        let rows: Vec<_> = (0..60).map(|i| bar(START + i * MINUTE, 100)).collect();
        for (change, is_taken, says) in CHANGES {
            sqlx::raw_sql("DELETE FROM market_data").execute(&mut conn).await.unwrap();
            write(&store, "X", "1m", &rows).await;
            store.load(&ask, &Silent).await.unwrap();
            let sql = sqlx::AssertSqlSafe(format!("{change} {AT}"));
            match sqlx::raw_sql(sql).execute(&mut conn).await {
                Ok(_) => {
                    let said = whole(&store.load(&ask, &Silent).await.map(drop).unwrap_err());
                    for part in says {
                        assert!(said.contains(part), "{change}: {said}");
                    }
                }
                Err(error) => assert!(!is_taken, "{change}: {error}"),
            }
        }
    });
}

#[test]
fn bars_written_at_the_end_of_time_are_loaded_like_others() {
    on_every_server(&async |store, place| {
        let folder = tempfile::tempdir().unwrap();
        let cache = store::cache::Cache::new(folder.path().to_owned(), 1 << 30);
        let store = store.with_cache(cache);
        let rows: Vec<_> = (0..60).map(|i| bar(START + i * MINUTE, 100)).collect();
        write(&store, "X", "1m", &rows).await;
        let (symbol, timeframe, columns) = ("X".to_owned(), tf("1m"), BTreeSet::new());
        let ask =
            LoadAsk { symbol, timeframe, from_us: None, to_us: None, warmup_bars: 0, columns };
        let before = store.load(&ask, &Silent).await.unwrap().fingerprint;
        for time in ["infinity", "-infinity"] {
            run(&place.url, &format!("UPDATE market_data SET created_at = '{time}'")).await;
            for _ in 0..2 {
                assert_eq!(store.load(&ask, &Silent).await.unwrap().fingerprint, before);
            }
        }
    });
}

/// Says when the first rows have come.
#[derive(Default)]
struct FirstRows(tokio::sync::Notify);

impl Progress for FirstRows {
    fn begin(&self, _what: &str, _total: Option<u64>) {}
    fn advance(&self, _units: u64) {
        self.0.notify_one();
    }
    fn end(&self) {}
}

/// More often than a program has connections, by a value amid the rows and by somebody who waits no longer: what a
/// connection was still being sent may not be taken for the answer to the next question.
#[test]
fn a_load_that_ends_amid_its_rows_leaves_no_connection_that_is_out_of_step() {
    on_every_backend(async |store: Store, edition| {
        if edition == Edition::Sqlite {
            return;
        }
        let rows: Vec<_> = (0..41_000).map(|i| bar(START + i * MINUTE, 100)).collect();
        write(&store, "X", "1m", &rows).await;
        let (symbol, timeframe) = ("X".to_owned(), tf("1m"));
        let columns = BTreeSet::new();
        let ask =
            LoadAsk { symbol, timeframe, from_us: None, to_us: None, warmup_bars: 0, columns };
        let whole = store.load(&ask, &Silent).await.unwrap().fingerprint;
        for _ in 0..9 {
            let first = FirstRows::default();
            tokio::select! {
                done = store.load(&ask, &first) => drop(done.unwrap()),
                () = first.0.notified() => {}
            }
            assert_eq!(store.load(&ask, &Silent).await.unwrap().fingerprint, whole);
        }
    });
}
