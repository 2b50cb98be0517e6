//! A database that an older version of ours made, with rows in it, becomes today's and keeps every row.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, SqlSafeStr};
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
        assert_eq!(migrated.applied.len(), 12, "{:?}", migrated.applied);
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
