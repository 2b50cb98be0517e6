//! A database that an older version of ours made, with rows in it, becomes today's and keeps every row.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqlSafeStr, SqliteConnection};
use store::{Edition, Store};

use crate::places::{Place, on_every_empty};
use crate::schema::run;

/// What the first version made.
const FIRST: [(i64, &str, &str); 5] = [
    (10, "0010_market_data", include_str!("../../../../migrations/timescale/0010_market_data.sql")),
    (
        20,
        "0020_users_strategies",
        include_str!("../../../../migrations/timescale/0020_users_strategies.sql"),
    ),
    (50, "0050_backtests", include_str!("../../../../migrations/timescale/0050_backtests.sql")),
    (110, "0110_runs", include_str!("../../../../migrations/timescale/0110_runs.sql")),
    (120, "0120_units", include_str!("../../../../migrations/timescale/0120_units.sql")),
];

const ROWS: &str = "
INSERT INTO market_data (symbol, timestamp, timeframe, open, high, low, close, volume)
    SELECT 'X', t, '1m', 1, 2, 0.5, 1.5, 10 FROM generate_series('2024-01-01'::timestamptz, '2024-01-03', '1 minute') t;
INSERT INTO users (username, email, password_hash) VALUES ('local', 'local@localhost', '!');
INSERT INTO strategies (user_id, name, strategy_type, parameters) VALUES (1, 's', 't', '{}');
INSERT INTO backtests (user_id, strategy_id, name, start_date, end_date, initial_capital, symbols, timeframes)
    VALUES (1, 1, 'kept', '2024-01-01', '2024-02-01', 10000, '{X}', '{1h}');
INSERT INTO backtest_results (backtest_id, total_return) VALUES (1, 12.3456);
INSERT INTO backtest_trades (backtest_id, symbol, side, quantity, entry_price, entry_time)
    SELECT 1, 'X', 'LONG', 1, 100, '2024-01-01'::timestamptz + n * interval '10 days' FROM generate_series(0, 9) n;
INSERT INTO backtest_equity (backtest_id, timestamp, equity) VALUES (1, '2024-01-01', 10000);";

/// Every row, so that two of these are equal only if nothing was lost or changed.
const SUM: &str = "SELECT concat_ws('|', (SELECT md5(string_agg(m::text, ',' ORDER BY timestamp)) FROM market_data m),
    (SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM backtest_trades t), (SELECT to_jsonb(b) - 'sweep_id' - 'variant_idx' FROM backtests b),
    (SELECT r::text FROM backtest_results r), (SELECT e::text FROM backtest_equity e),
    (SELECT count(*) FROM strategies), (SELECT username || email FROM users))";

async fn sum(conn: &mut PgConnection) -> String {
    sqlx::query_scalar(SUM).fetch_one(conn).await.unwrap()
}

#[test]
fn the_first_versions_tables_become_todays_with_every_row() {
    on_every_empty(async |place: &Place| {
        if place.edition == Edition::Sqlite {
            return;
        }
        let mut conn = PgConnection::connect(&place.url).await.unwrap();
        let first = FIRST.map(|(version, name, sql)| {
            let name = Cow::Borrowed(name);
            Migration::new(version, name, MigrationType::Simple, sql.into_sql_str(), false)
        });
        Migrator::with_migrations(first.to_vec()).run(&mut conn).await.unwrap();
        if place.edition != Edition::Postgres {
            run(&place.url, "CREATE EXTENSION IF NOT EXISTS timescaledb").await;
            run(
                &place.url,
                "SELECT create_hypertable('market_data', 'timestamp', \
                chunk_time_interval => INTERVAL '1 day', create_default_indexes => false)",
            )
            .await;
        }
        run(&place.url, ROWS).await;
        conn.close().await.unwrap();
        let mut conn = PgConnection::connect(&place.url).await.unwrap();
        let before = sum(&mut conn).await;

        let migrated = Store::migrate(&place.url).await.unwrap();
        assert_eq!(migrated.applied.len(), 13, "{:?}", migrated.applied);
        let store = Store::open(&place.url).await.unwrap();
        assert_eq!(sum(&mut conn).await, before);
        assert_eq!(store.trades(1).await.unwrap().len(), 10);
        let bars: i64 = sqlx::query_scalar("SELECT count(*) FROM daily_ohlcv")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        if place.edition != Edition::TimescaleCommunity {
            assert_eq!(bars, 3, "two days and the first minute of the third, in UTC");
        }
        // Chunks that rows were moved to are closed as well.
        let status = match store::admin::open(&place.url).await.unwrap() {
            store::admin::Kept::Server(mut admin) => admin.status().await.unwrap(),
            store::admin::Kept::Embedded(_) => panic!("a server"),
        };
        assert_eq!(status.security.unwrap().open_chunks, 0);
        assert!(status.migrations.iter().all(|m| m.state == "applied"));
        store.close().await;
    });
}

/// A file as the migrations before `end` make it.
async fn embedded_of_before(file: &std::path::Path, end: &str) -> SqliteConnection {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &std::path::Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    paths.retain(|path| name(path).as_str() < end);
    let migration = |path: &std::path::PathBuf| {
        let (name, sql) = (name(path), std::fs::read_to_string(path).unwrap());
        let version = name[..4].parse().unwrap();
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    };
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut conn = options.journal_mode(SqliteJournalMode::Wal).connect().await.unwrap();
    Migrator::with_migrations(paths.iter().map(migration).collect()).run(&mut conn).await.unwrap();
    conn
}

async fn texts(conn: &mut SqliteConnection, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(conn).await.unwrap()
}

/// Columns that may be NULL, and whose CHECK asks `json_valid` about NULL too.
const ASKED_ABOUT_NULL: &str = "SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c \
     WHERE m.type = 'table' AND NOT c.\"notnull\" \
     AND replace(m.sql, c.name || ' IS NULL OR json_valid', '') LIKE '%json_valid(' || c.name || ')%' \
     ORDER BY 1";
const SCHEMA: &str = "SELECT concat_ws('|', type, name, tbl_name, sql) FROM sqlite_schema";
const ROWS_OF_JSON: &str = "SELECT concat_ws('|', (SELECT json_group_array(json_array(id, name, parameters, rules, tags)) \
     FROM backtests), (SELECT json_group_array(json_array(id, risk_parameters, symbols)) FROM strategies), \
     (SELECT json_group_array(json_array(id, metrics)) FROM backtest_results))";

/// NULL in every column of JSON that takes it.
const NULLS: &str = "
INSERT INTO users (username, email, password_hash) VALUES ('local', 'local@localhost', '!');
INSERT INTO strategies (user_id, name, strategy_type, parameters, symbols, timeframes)
    VALUES (1, 'none', 't', '{}', NULL, NULL), (1, 'some', 't', '{}', '[1]', '[]');
INSERT INTO backtests (user_id, strategy_id, name, start_date, end_date, initial_capital, symbols, timeframes, rules)
    VALUES (1, 1, 'none', 0, 1, '1', '[\"X\"]', '[\"1h\"]', NULL), (1, 2, 'some', 0, 1, '1', '[]', '[]', '{\"a\":1}');
INSERT INTO backtest_results (backtest_id, metrics) VALUES (1, NULL), (2, '{}');";

/// What an old SQLite says of the whole file; `None` where there is no program to ask.
fn integrity_by_program(file: &std::path::Path) -> Option<String> {
    let program = std::process::Command::new("sqlite3")
        .args([file.to_str().unwrap(), "PRAGMA integrity_check"])
        .output()
        .inspect_err(|error| eprintln!("NOT TESTED with a program of its own: sqlite3: {error}"));
    Some(String::from_utf8(program.ok()?.stdout).unwrap())
}

#[tokio::test]
async fn checks_of_json_let_null_pass_in_a_file_of_before_as_in_a_fresh_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("before.db");
    let mut other = embedded_of_before(&file, "0180").await;
    sqlx::raw_sql(NULLS).execute(&mut other).await.unwrap();
    let asked = texts(&mut other, ASKED_ABOUT_NULL).await;
    assert_eq!(asked.len(), 6, "what this is about: {asked:?}");
    let before = texts(&mut other, ROWS_OF_JSON).await;

    let url = format!("sqlite:{}", file.display());
    assert_eq!(Store::migrate(&url).await.unwrap().applied, ["0180_json_checks"]);

    // By a connection that was open all the time: it reads the tables anew.
    assert_eq!(texts(&mut other, ASKED_ABOUT_NULL).await, [""; 0]);
    assert_eq!(texts(&mut other, "PRAGMA integrity_check").await, ["ok"]);
    assert_eq!(texts(&mut other, ROWS_OF_JSON).await, before);
    sqlx::raw_sql("UPDATE backtests SET rules = NULL, parameters = '{}'")
        .execute(&mut other)
        .await
        .unwrap();
    for column in asked {
        let (table, column) = column.split_once('.').unwrap();
        let wrong = format!("UPDATE {table} SET {column} = '{{'");
        let error = sqlx::raw_sql(AssertSqlSafe(wrong)).execute(&mut other).await.unwrap_err();
        let says = format!("CHECK constraint failed: {column} IS NULL OR json_valid({column})");
        assert!(error.to_string().contains(&says), "{error}");
    }

    let fresh = folder.path().join("fresh.db");
    Store::migrate(&format!("sqlite:{}", fresh.display())).await.unwrap();
    let mut conn = SqliteConnectOptions::new().filename(&fresh).connect().await.unwrap();
    assert_eq!(texts(&mut other, SCHEMA).await, texts(&mut conn, SCHEMA).await);
    for said in [integrity_by_program(&file), integrity_by_program(&fresh)].into_iter().flatten() {
        assert_eq!(said, "ok\n");
    }
}
