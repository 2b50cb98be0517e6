//! The cache of this machine: what changed on the server by anybody's SQL is never missed, and what did not is not
//! read again.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sim::bars::Column;
use sqlx::{Connection, PgConnection};
use store::cache::{Cache, LIMIT_BYTES};
use store::progress::{Progress, Silent};
use store::row::BarRow;
use store::{Edition, Error, LoadAsk, Loaded, Store};

use crate::bars::{bar, tf, write};
use crate::places::{Place, on_every_empty};

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 1_440 * MINUTE;
/// 2024-01-20, so that the days below lie in January, February and March.
const START: i64 = 1_705_708_800_000_000;
const DAYS: i64 = 50;

/// A bar of a minute every half an hour, its volume and close different from row to row.
fn rows() -> Vec<BarRow> {
    let row = |i: i64| {
        let close = 100 + i128::from(i % 50);
        let volume = 100_000_000 * 10_000_i128.pow(u32::try_from(i % 3).unwrap());
        let bar = bar(START + i * 30 * MINUTE, close);
        BarRow { volume, low: 1_000_000_000, high: 20_000_000_000, ..bar }
    };
    (0..DAYS * 48).map(row).collect()
}

fn ask() -> LoadAsk {
    let columns = [Column::Volume, Column::QuoteVolume, Column::TradesCount].into();
    let (from_us, to_us) = (Some(START), Some(START + DAYS * DAY));
    let (symbol, timeframe) = ("A/B".to_owned(), tf("1m"));
    LoadAsk { symbol, timeframe, from_us, to_us, warmup_bars: 0, columns }
}

/// Two stores on a place with those rows: one with a cache, one without.
async fn both(place: &Place, folder: &Path, limit: u64) -> (Store, Store) {
    Store::migrate(&place.url).await.unwrap();
    let plain = Store::open(&place.url).await.unwrap();
    write(&plain, "A/B", "1m", &rows()).await;
    let cached = plain.clone().with_cache(Cache::new(folder.to_owned(), limit));
    (cached, plain)
}

async fn load(store: &Store) -> Loaded {
    store.load(&ask(), &Silent).await.unwrap()
}

/// Every file below `folder` with its inode, which a file that is written anew does not keep.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.path(), entry.metadata().unwrap().ino());
            }
        }
    }
    found
}

/// What somebody may do to the rows, and how many of the three months it touches. 2024-02-10 00:00 is the first row of
/// its day, with the close 108.
const CHANGES: [(&str, usize); 15] = [
    // An upsert in the past.
    (
        "INSERT INTO market_data (symbol, timestamp, timeframe, open, high, low, close, volume) \
         VALUES ('A/B', '2024-02-10 00:00+00', '1m', 50, 200, 10, 51, 7) \
         ON CONFLICT (timestamp, symbol, timeframe) DO UPDATE SET close = excluded.close",
        1,
    ),
    (
        "UPDATE market_data SET close = close + 0.00000001 WHERE timestamp = '2024-02-11 00:30+00'",
        1,
    ),
    // Two closes exchanged, then two volumes that differ by a power of ten thousand only.
    (
        "UPDATE market_data m SET close = o.close FROM market_data o WHERE \
      (m.timestamp, o.timestamp) IN (('2024-02-12 00:00+00', '2024-02-12 00:30+00'), \
      ('2024-02-12 00:30+00', '2024-02-12 00:00+00'))",
        1,
    ),
    (
        "UPDATE market_data m SET volume = o.volume FROM market_data o WHERE \
      (m.timestamp, o.timestamp) IN (('2024-02-12 01:00+00', '2024-02-12 01:30+00'), \
      ('2024-02-12 01:30+00', '2024-02-12 01:00+00'))",
        1,
    ),
    // A row moved, so that the number of rows stays.
    (
        "UPDATE market_data SET timestamp = timestamp + interval '1 minute' \
      WHERE timestamp = '2024-02-13 00:00+00'",
        1,
    ),
    // Two columns of one row exchanged.
    ("UPDATE market_data SET open = 120, close = 130 WHERE timestamp = '2024-02-14 00:00+00'", 1),
    ("UPDATE market_data SET open = 130, close = 120 WHERE timestamp = '2024-02-14 00:00+00'", 1),
    ("DELETE FROM market_data WHERE timestamp = '2024-01-25 00:00+00'", 1),
    // Late arrivals, in two months.
    (
        "INSERT INTO market_data (symbol, timestamp, timeframe, open, high, low, close, volume) \
      VALUES ('A/B', '2024-01-25 00:07+00', '1m', 50, 200, 10, 51, 7), \
      ('A/B', '2024-03-01 00:07+00', '1m', 50, 200, 10, 51, 7)",
        2,
    ),
    ("UPDATE market_data SET quote_volume = NULL WHERE timestamp = '2024-02-15 00:00+00'", 1),
    ("UPDATE market_data SET quote_volume = 0 WHERE timestamp = '2024-02-15 00:00+00'", 1),
    ("UPDATE market_data SET trades_count = NULL WHERE timestamp = '2024-02-15 00:00+00'", 1),
    ("UPDATE market_data SET volume = 0 WHERE timestamp = '2024-02-15 00:00+00'", 1),
    ("DELETE FROM market_data WHERE timestamp >= '2024-03-01+00'", 1),
    // Bars of others, and a column that is not read.
    (
        "UPDATE market_data SET taker_buy_quote_volume = 3; \
      INSERT INTO market_data (symbol, timestamp, timeframe, open, high, low, close, volume) \
      VALUES ('A/C', '2024-02-10 00:07+00', '1m', 50, 200, 10, 51, 7)",
        0,
    ),
];

#[test]
fn no_change_is_missed_and_nothing_else_is_read_again() {
    on_every_empty(async |place| {
        let folder = tempfile::tempdir().unwrap();
        let (cached, plain) = both(place, folder.path(), LIMIT_BYTES).await;
        let first = load(&cached).await;
        assert_eq!(first.fingerprint, load(&plain).await.fingerprint);
        if place.edition == Edition::Sqlite {
            assert_eq!(files(folder.path()).len(), 0, "an embedded file needs no cache");
            return;
        }
        let mut before = files(folder.path());
        assert_eq!(before.len(), 3);
        assert_eq!(load(&cached).await.fingerprint, first.fingerprint);
        assert_eq!(files(folder.path()), before);
        let mut conn = PgConnection::connect(&place.url).await.unwrap();
        let mut seen = first.fingerprint;
        for (sql, months) in CHANGES {
            sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
            let now = load(&cached).await.fingerprint;
            assert_eq!(now, load(&plain).await.fingerprint, "{sql}");
            assert_eq!(now != seen, months > 0, "{sql}");
            let after = files(folder.path());
            let anew = after.iter().filter(|(file, inode)| before.get(*file) != Some(inode));
            // A month that has become empty is not asked of the cache at all.
            assert!(anew.count() == months || sql.starts_with("DELETE"), "{sql}");
            (seen, before) = (now, after);
        }
        conn.close().await.unwrap();
        cached.close().await;
    });
}

/// The hash of a number does not see its sign.
#[test]
fn a_sign_is_no_small_change() {
    on_every_empty(async |place| {
        let folder = tempfile::tempdir().unwrap();
        let (cached, _) = both(place, folder.path(), LIMIT_BYTES).await;
        let right = load(&cached).await.fingerprint;
        if place.edition == Edition::Sqlite {
            return;
        }
        let mut conn = PgConnection::connect(&place.url).await.unwrap();
        for column in ["open", "close", "volume"] {
            let sql = format!(
                "UPDATE market_data SET {column} = -{column} WHERE timestamp = '2024-02-10 00:00+00'"
            );
            for fails in [true, false] {
                let sql = sqlx::AssertSqlSafe(sql.clone());
                sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
                match cached.load(&ask(), &Silent).await {
                    Err(error) => assert!(fails && matches!(error, Error::Bars { .. }), "{error}"),
                    Ok(loaded) => assert!(!fails && loaded.fingerprint == right, "{column}"),
                }
            }
        }
        conn.close().await.unwrap();
        cached.close().await;
    });
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[test]
fn a_damaged_file_is_read_again_with_a_word() {
    on_every_empty(async |place| {
        let folder = tempfile::tempdir().unwrap();
        let (cached, _) = both(place, folder.path(), LIMIT_BYTES).await;
        let right = load(&cached).await.fingerprint;
        let Some(file) = files(folder.path()).into_keys().nth(1) else { return };
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let heard = Heard::default();
        let loaded = cached.load(&ask(), &heard).await.unwrap();
        assert_eq!(loaded.fingerprint, right);
        let heard = std::mem::take(&mut *heard.0.lock().unwrap());
        assert!(heard.len() == 1 && heard[0].contains("damaged"), "{heard:?}");
        assert_eq!(load(&cached).await.fingerprint, right);
        cached.close().await;
    });
}

#[test]
fn several_at_once_and_a_folder_that_is_full_or_no_folder_do_no_harm() {
    on_every_empty(async |place| {
        let folder = tempfile::tempdir().unwrap();
        let (cached, plain) = both(place, folder.path(), LIMIT_BYTES).await;
        let right = load(&plain).await.fingerprint;
        let (a, b) = tokio::join!(load(&cached), load(&cached));
        assert_eq!([&a.fingerprint, &b.fingerprint], [&right, &right]);
        assert!(files(folder.path()).keys().all(|file| file.extension().unwrap() == "bars"));
        // Too small for anything: what was just kept is deleted again.
        let tiny = plain.clone().with_cache(Cache::new(folder.path().to_owned(), 1));
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(load(&tiny).await.fingerprint, right);
        assert_eq!(files(folder.path()).len(), 0);
        // A file where the folder should be.
        let _ = std::fs::remove_dir_all(folder.path());
        std::fs::write(folder.path(), "").unwrap();
        let heard = Heard::default();
        assert_eq!(cached.load(&ask(), &heard).await.unwrap().fingerprint, right);
        let heard = heard.0.into_inner().unwrap();
        assert!(place.edition == Edition::Sqlite || heard.len() == 1, "{heard:?}");
        std::fs::remove_file(folder.path()).unwrap();
        plain.close().await;
    });
}
