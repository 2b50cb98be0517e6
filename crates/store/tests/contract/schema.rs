//! Making the tables, and refusing those that are not ours.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, PgConnection, Row, SqliteConnection};
use store::{Edition, Error, Store};

use crate::places::{Place, on_every_empty};

const ALL: [&str; 18] = [
    "0010_market_data",
    "0015_order_book_trades",
    "0020_users_strategies",
    "0025_trading",
    "0030_models",
    "0040_risk",
    "0050_backtests",
    "0060_system",
    "0070_orders_partitioned",
    "0080_encryption",
    "0110_runs",
    "0120_units",
    "0130_keys",
    "0140_user_roles",
    "0150_policies",
    "0160_comments",
    "0170_sweeps",
    "0180_json_checks",
];

pub(crate) async fn run(url: &str, sql: &str) {
    if url.starts_with("sqlite") {
        let mut conn = SqliteConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    } else {
        let mut conn = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }
}

#[test]
fn migrating_is_done_once_and_finds_the_edition() {
    on_every_empty(async |place: &Place| {
        if place.edition != Edition::Sqlite {
            let error = Store::open(&place.url).await.err().unwrap();
            assert!(matches!(error, Error::NoSchema { .. }), "{error:?}");
            assert!(error.hint().unwrap().contains("backtest migrate"));
        }
        let first = Store::migrate(&place.url).await.unwrap();
        assert_eq!(first.applied, ALL);
        assert_eq!(first.edition, place.edition, "{:?}", first.notes);
        let lacks = matches!(place.edition, Edition::Postgres | Edition::TimescaleApache);
        assert_eq!(first.notes.len(), usize::from(lacks), "{:?}", first.notes);
        assert_eq!(Store::migrate(&place.url).await.unwrap().applied, [""; 0]);
        let store = Store::open(&place.url).await.unwrap();
        assert_eq!(store.edition(), place.edition);
        store.close().await;
    });
}

#[test]
fn two_that_migrate_at_once_both_succeed() {
    on_every_empty(async |place: &Place| {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let url = place.url.clone();
                tokio::spawn(async move { Store::migrate(&url).await.unwrap().applied })
            })
            .collect();
        let mut applied = BTreeSet::new();
        for task in tasks {
            applied.extend(task.await.unwrap());
        }
        assert_eq!(applied.into_iter().collect::<Vec<_>>(), ALL);
        Store::open(&place.url).await.unwrap().close().await;
    });
}

#[test]
fn a_new_file_that_another_program_begins_is_waited_for() {
    on_every_empty(async |place: &Place| {
        if place.edition != Edition::Sqlite {
            return;
        }
        let file = SqliteConnectOptions::from_str(&place.url).unwrap().create_if_missing(true);
        let mut other = SqliteConnection::connect_with(&file).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        let url = place.url.clone();
        let opened = tokio::spawn(async move { Store::open(&url).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!opened.is_finished());
        other.close().await.unwrap();
        opened.await.unwrap().unwrap().close().await;
    });
}

#[tokio::test]
async fn a_file_of_another_program_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (name, table) in
        [("a", "customers(id INTEGER PRIMARY KEY AUTOINCREMENT)"), ("b", "market_data(a)")]
    {
        let file = folder.path().join(name);
        let url = format!("sqlite:{}", file.display());
        std::fs::write(&file, "").unwrap();
        run(&url, &format!("CREATE TABLE {table}; ANALYZE")).await;
        let before = std::fs::read(&file).unwrap();
        for error in [Store::open(&url).await.err(), Store::migrate(&url).await.err()] {
            let error = error.unwrap();
            let (table, _) = table.split_once('(').unwrap();
            let says = format!("holds tables of another program and none of ours: {table}");
            assert!(error.to_string().ends_with(&says), "{error}");
            assert!(error.hint().unwrap().contains("--db sqlite:"), "{error:?}");
        }
        assert_eq!(std::fs::read(&file).unwrap(), before);
    }
    // One that only SQLite has written to is as good as new.
    let file = folder.path().join("c");
    let url = format!("sqlite:{}", file.display());
    std::fs::write(&file, "").unwrap();
    run(&url, "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT); DROP TABLE t").await;
    assert_eq!(Store::migrate(&url).await.unwrap().applied, ALL);
}

#[tokio::test]
async fn what_is_no_file_is_refused_unless_it_is_called_memory() {
    let folder = tempfile::tempdir().unwrap();
    let named = format!("sqlite:{}?mode=memory", folder.path().join("m.db").display());
    for url in ["sqlite:", "sqlite://", "sqlite:file::memory:", &named] {
        let error = Store::open(url).await.err().unwrap();
        assert!(error.to_string().contains("it is no file"), "{url}: {error}");
        assert!(error.hint().unwrap().contains("sqlite::memory:"), "{url}");
    }
    let store = Store::open("sqlite::memory:").await.unwrap();
    assert!(store.held().await.unwrap().is_empty());
    store.close().await;
}

#[test]
fn other_tables_are_refused_with_what_to_do() {
    on_every_empty(async |place: &Place| {
        Store::migrate(&place.url).await.unwrap();
        run(&place.url, "UPDATE _sqlx_migrations SET version = 999 WHERE version = 120").await;
        let error = Store::open(&place.url).await.err().unwrap();
        assert!(matches!(error, Error::NewSchema { version: 999, .. }), "{error:?}");
    });
}

#[test]
fn a_changed_or_half_done_migration_is_explained() {
    on_every_empty(async |place: &Place| {
        Store::migrate(&place.url).await.unwrap();
        run(&place.url, "UPDATE _sqlx_migrations SET success = false WHERE version = 120").await;
        let error = Store::migrate(&place.url).await.err().unwrap();
        assert!(error.to_string().contains("begun and not finished"), "{error}");
        let changed = "UPDATE _sqlx_migrations SET success = true, checksum = \
                       (SELECT checksum FROM _sqlx_migrations WHERE version = 10) WHERE version = 120";
        run(&place.url, changed).await;
        for error in [Store::migrate(&place.url).await.err(), Store::open(&place.url).await.err()] {
            let error = error.unwrap().to_string();
            assert!(error.contains("0120_units") && error.contains("was changed"), "{error}");
        }
    });
}

#[test]
fn a_server_whose_tables_are_old_says_which_are_missing() {
    on_every_empty(async |place: &Place| {
        if place.edition == Edition::Sqlite {
            return;
        }
        Store::migrate(&place.url).await.unwrap();
        run(&place.url, "DELETE FROM _sqlx_migrations WHERE version = 120").await;
        let error = Store::open(&place.url).await.err().unwrap();
        assert!(error.to_string().ends_with("0120_units is missing"), "{error}");
        assert!(error.hint().unwrap().contains("backtest migrate"));
    });
}

/// Table and column names, so that a query runs on every backend.
async fn columns(place: &Place) -> BTreeSet<(String, String)> {
    const SQLITE: &str = "SELECT m.name AS t, c.name AS c FROM sqlite_master m \
                          JOIN pragma_table_info(m.name) c WHERE m.type = 'table'";
    const SERVER: &str = "SELECT table_name::text AS t, column_name::text AS c \
                          FROM information_schema.columns WHERE table_schema = 'public'";
    let pairs: Vec<(String, String)> = if place.edition == Edition::Sqlite {
        let mut conn = SqliteConnection::connect(&place.url).await.unwrap();
        let rows = sqlx::query(SQLITE).fetch_all(&mut conn).await.unwrap();
        rows.iter().map(|row| (row.get("t"), row.get("c"))).collect()
    } else {
        let mut conn = PgConnection::connect(&place.url).await.unwrap();
        let rows = sqlx::query(SERVER).fetch_all(&mut conn).await.unwrap();
        rows.iter().map(|row| (row.get("t"), row.get("c"))).collect()
    };
    let ours = |table: &str| !table.starts_with('_') && !table.starts_with("sqlite_");
    pairs.into_iter().filter(|(table, _)| ours(table)).collect()
}

/// What the engine reads and writes; the document's other tables are on a server only.
const OF_THE_ENGINE: [&str; 9] = [
    "backtest_equity",
    "backtest_results",
    "backtest_trades",
    "backtests",
    "market_data",
    "strategies",
    "sweep_blocks",
    "sweeps",
    "users",
];

#[test]
fn every_backend_has_the_same_columns_in_what_the_engine_uses() {
    let seen = std::sync::Mutex::new(Vec::new());
    on_every_empty(async |place: &Place| {
        Store::migrate(&place.url).await.unwrap();
        let mut columns = columns(place).await;
        if place.edition == Edition::Sqlite {
            let tables: BTreeSet<&str> = columns.iter().map(|(table, _)| table.as_str()).collect();
            assert_eq!(tables.into_iter().collect::<Vec<_>>(), OF_THE_ENGINE);
        }
        columns.retain(|(table, _)| OF_THE_ENGINE.contains(&table.as_str()));
        assert!(columns.contains(&("market_data".to_owned(), "id".to_owned())));
        let first = seen.lock().unwrap().first().cloned();
        if let Some(first) = first {
            assert_eq!(columns, first);
        }
        seen.lock().unwrap().push(columns);
    });
}

#[test]
fn what_cannot_be_opened_is_one_sentence_and_a_hint() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, and long enough to be looked at ".repeat(50)).unwrap();
    let file = |path: std::path::PathBuf| format!("sqlite:{}", path.display());
    for (url, says) in [
        ("postgres://ann:s3cret@127.0.0.1:1/lab".to_owned(), "nothing listens there"),
        ("postgres://ann:s3cret@no.such.host.invalid/lab".to_owned(), "the host is not known"),
        (file(folder.path().join("none/x.db")), "the file cannot be opened"),
        (file(text), "the file is no SQLite database"),
    ] {
        let error = runtime.block_on(Store::open(&url)).err().unwrap();
        assert!(error.to_string().ends_with(says), "{error}");
        assert!(error.hint().is_some());
        assert!(!format!("{error:?} {error}").contains("s3cret"));
    }
}

#[test]
fn a_wrong_password_is_named_and_not_shown() {
    on_every_empty(async |place: &Place| {
        if place.edition == Edition::Sqlite {
            return;
        }
        run(&place.url, "DROP ROLE IF EXISTS contract_ann").await;
        run(&place.url, "CREATE ROLE contract_ann LOGIN PASSWORD 'right'").await;
        let url = place.url.replace("postgres@", "contract_ann:s3cret@");
        let error = Store::open(&url).await.err().unwrap();
        assert!(error.to_string().ends_with("the server refused this user or password"), "{error}");
        assert!(!format!("{error:?} {error}").contains("s3cret"));
        let url = place.url.replace("postgres@", "contract_ann:right@");
        let url = format!("{url}_none");
        let error = Store::open(&url).await.err().unwrap();
        assert!(error.to_string().ends_with("there is no such database"), "{error}");
        run(&place.url, "DROP ROLE contract_ann").await;
    });
}

#[test]
fn tables_beside_the_schema_of_timescaledb_need_it_on_the_search_path() {
    on_every_empty(async |place: &Place| {
        if matches!(place.edition, Edition::Sqlite | Edition::Postgres) {
            return;
        }
        run(&place.url, "CREATE EXTENSION IF NOT EXISTS timescaledb SCHEMA public").await;
        run(&place.url, "CREATE SCHEMA lab").await;
        let alone = format!("{}?options[search_path]=lab", place.url);
        let error = Store::migrate(&alone).await.err().unwrap();
        let hint = error.hint().unwrap();
        assert!(hint.contains("?options[search_path]=YOURS,public"), "{hint}");
        let both = format!("{alone},public");
        assert_eq!(Store::migrate(&both).await.unwrap().edition, place.edition);
        let store = Store::open(&both).await.unwrap();
        assert!(store.held().await.unwrap().is_empty());
        store.close().await;
    });
}
