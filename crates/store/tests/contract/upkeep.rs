//! Status, policies, upkeep and health, on every edition.

use sqlx::{Connection, PgConnection};
use store::admin::{self, Admin, Doomed, Kept, Maintained, State, Status};
use store::progress::Silent;
use store::{Edition, Store};

use crate::places::{Place, on_every_empty};
use crate::schema::run;

async fn server(url: &str) -> Admin {
    match admin::open(url).await.unwrap() {
        Kept::Server(admin) => *admin,
        Kept::Embedded(_) => panic!("{url} is a server"),
    }
}

/// Runs `test` on every server with tables.
#[expect(clippy::needless_pass_by_value, reason = "a closure is passed as it is written")]
fn on_servers(test: impl AsyncFn(Admin, &Place)) {
    on_every_empty(async |place: &Place| {
        if place.edition != Edition::Sqlite {
            Store::migrate(&place.url).await.unwrap();
            test(server(&place.url).await, place).await;
        }
    });
}

async fn count(url: &str, sql: &'static str) -> i64 {
    let mut conn = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap()
}

/// Copies an embedded file by the command that the status shows.
fn copies_as_told(status: &Status, url: &str) {
    let lack = status.lacks.iter().find(|lack| lack.what.contains("recovery")).unwrap();
    let file = url.strip_prefix("sqlite:").unwrap();
    let copy = format!("{file}.copy");
    let command = lack.instead.split('`').nth(1).unwrap();
    let command = command.replace("FILE", file).replace("COPY", &copy);
    if std::process::Command::new("sqlite3").arg("-version").output().is_err() {
        return eprintln!("NOT TESTED: `{command}`, for there is no sqlite3");
    }
    let done = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(std::fs::metadata(copy).unwrap().len() > 0);
}

#[test]
fn status_tells_what_there_is_and_what_is_lacking() {
    on_every_empty(async |place: &Place| {
        let mut admin = match admin::open(&place.url).await.unwrap() {
            Kept::Embedded(status) => {
                assert_eq!(place.edition, Edition::Sqlite);
                assert!(status.migrations.iter().all(|m| m.state == "applied"));
                assert!(status.lacks.iter().any(|l| l.what.contains("row level security")));
                copies_as_told(&status, &place.url);
                return;
            }
            Kept::Server(admin) => admin,
        };
        let empty = admin.status().await.unwrap();
        assert!(empty.migrations.is_empty() && empty.security.is_none());
        Store::migrate(&place.url).await.unwrap();
        let mut admin = server(&place.url).await;
        let status = admin.status().await.unwrap();
        assert_eq!(status.edition, place.edition.name());
        assert!(status.server.starts_with("PostgreSQL 1"), "{}", status.server);
        let community = place.edition == Edition::TimescaleCommunity;
        let plain = place.edition == Edition::Postgres;
        assert_eq!(status.hypertables.len(), if plain { 0 } else { 13 });
        assert_eq!(status.timescaledb.is_none(), plain);
        assert_eq!(status.compression, community);
        let view = if community { "continuous aggregate" } else { "materialized view" };
        assert_eq!(status.daily_ohlcv, view);
        assert_eq!(status.lacks.is_empty(), community);
        let security = status.security.unwrap();
        assert_eq!((security.protected_tables, security.open_chunks), (18, 0));
        run(&place.url, "DELETE FROM _sqlx_migrations WHERE version = 160").await;
        run(&place.url, "UPDATE _sqlx_migrations SET success = false WHERE version = 150").await;
        run(
            &place.url,
            "INSERT INTO _sqlx_migrations SELECT 999, description, installed_on, true, checksum, 0 \
             FROM _sqlx_migrations WHERE version = 10",
        )
        .await;
        let states: Vec<_> = admin.status().await.unwrap().migrations;
        let state = |name: &str| states.iter().find(|m| m.name == name).unwrap().state;
        assert_eq!(state("0160_comments"), "missing");
        assert_eq!(state("0150_policies"), "half done");
        assert_eq!(state("999"), "unknown");
        admin.close().await;
    });
}

/// Bars and rows old and young: what each policy must take and what it must leave.
const ROWS: &str = "
INSERT INTO market_data (symbol, timestamp, timeframe, open, high, low, close, volume)
    SELECT 'X', date_trunc('day', now(), 'UTC') - make_interval(years => y, days => d), tf, 1, 2, 0.5, 1.5, 10
    FROM (VALUES (0), (1), (3), (6)) AS years (y), generate_series(5, 7) d,
    (VALUES ('1m'), ('59m'), ('30s'), ('60m'), ('1h'), ('1d')) AS timeframes (tf);
INSERT INTO trades (symbol, timestamp, trade_id, price, quantity, quote_quantity, is_buyer_maker)
    SELECT 'X', now() - make_interval(days => d), d, 1, 1, 1, true FROM (VALUES (1), (89), (92), (400)) AS v (d);
INSERT INTO api_usage (timestamp, endpoint, method, status_code)
    SELECT now() - make_interval(days => d), '/', 'GET', 200 FROM (VALUES (1), (150), (200)) AS v (d);";

#[test]
fn retention_deletes_what_it_said_and_nothing_before_it_is_switched_on() {
    on_servers(async |mut admin, place| {
        run(&place.url, ROWS).await;
        let names = ["retention".to_owned()];
        let doomed = admin.doomed(&names).await.unwrap();
        let rows = |name: &str| doomed.iter().find(|d| d.name == name).unwrap().rows;
        assert_eq!(rows("market_data_minutes"), 18, "3 timeframes, 3 days, 3 and 6 years ago");
        assert_eq!(rows("market_data"), 18, "6 timeframes, 3 days, 6 years ago");
        assert_eq!((rows("trades"), rows("api_usage"), rows("system_logs")), (2, 1, 0));
        if place.edition == Edition::TimescaleCommunity {
            return; // its own jobs do the work; see `community_policies_are_jobs`
        }
        assert!(admin.due().await.unwrap().is_empty(), "off until switched on");
        let Maintained::Done(_) = admin.maintain(&Silent).await.unwrap() else {
            panic!("not busy")
        };
        assert_eq!(count(&place.url, "SELECT count(*) FROM market_data").await, 72);

        assert_eq!(admin.switch(&names, true).await.unwrap().len(), 6);
        let due = admin.due().await.unwrap();
        let rows = |all: &[Doomed]| all.iter().map(|d| (d.name, d.rows)).collect::<Vec<_>>();
        assert_eq!(rows(&due), rows(&doomed));
        let Maintained::Done(did) = admin.maintain(&Silent).await.unwrap() else {
            panic!("not busy")
        };
        assert_eq!(did.iter().find(|d| d.name == "market_data_minutes").unwrap().rows, 18);
        let left = "SELECT count(*) FROM market_data WHERE timestamp < now() - interval '5 years' \
                    OR (is_below_1h(timeframe) AND timestamp < now() - interval '2 years')";
        assert_eq!(count(&place.url, left).await, 0);
        assert_eq!(count(&place.url, "SELECT count(*) FROM market_data").await, 72 - 18 - 9);
        assert_eq!(count(&place.url, "SELECT count(*) FROM trades").await, 2);
        assert_eq!(count(&place.url, "SELECT count(*) FROM api_usage").await, 2);
        assert!(admin.due().await.unwrap().iter().all(|d| d.rows == 0));
        assert_eq!(admin.switch(&["trades".to_owned()], false).await.unwrap(), ["trades"]);
        let on: Vec<_> = admin.policies().await.unwrap();
        assert!(on.iter().all(|p| p.is_enabled != (p.name == "trades")), "{on:?}");
        let error = admin.switch(&["tades".to_owned()], true).await.unwrap_err();
        assert!(error.hint().unwrap().contains("trades"));
        admin.close().await;
    });
}

#[test]
fn rows_of_before_all_time_are_counted_and_deleted() {
    on_servers(async |mut admin, place| {
        if place.edition != Edition::Postgres {
            return; // whole chunks go there
        }
        let rows = "INSERT INTO system_logs (timestamp, level, component, message) \
                    SELECT t::timestamptz, 'INFO', 'c', 'm' FROM unnest('{-infinity,2001-01-01,now}'::text[]) t";
        run(&place.url, rows).await;
        let names = ["system_logs".to_owned()];
        let doomed = admin.doomed(&names).await.unwrap();
        assert_eq!((doomed[0].rows, doomed[0].oldest_us), (2, None));
        admin.switch(&names, true).await.unwrap();
        let Maintained::Done(did) = admin.maintain(&Silent).await.unwrap() else {
            panic!("not busy")
        };
        assert_eq!(did.iter().find(|d| d.name == "system_logs").unwrap().rows, 2);
        assert_eq!(count(&place.url, "SELECT count(*) FROM system_logs").await, 1);
        admin.close().await;
    });
}

#[test]
fn community_policies_are_jobs() {
    on_servers(async |mut admin, place| {
        if place.edition != Edition::TimescaleCommunity {
            return;
        }
        let names = ["retention".to_owned()];
        for _ in 0..2 {
            admin.switch(&names, true).await.unwrap();
        }
        let policies = admin.policies().await.unwrap();
        assert!(policies.iter().all(|p| p.is_enabled && p.by.starts_with("job ")), "{policies:?}");
        admin.switch(&names, false).await.unwrap();
        assert!(admin.policies().await.unwrap().iter().all(|p| p.deletes == (p.by == "no job")));
        run(&place.url, ROWS).await;
        run(&place.url, "SELECT compress_chunk(c) FROM show_chunks('market_data') c").await;
        let upsert = "INSERT INTO market_data SELECT * FROM market_data WHERE timeframe = '1d' \
                      ON CONFLICT (timestamp, symbol, timeframe) DO UPDATE SET close = 1.25";
        run(&place.url, upsert).await;
        assert_eq!(
            count(&place.url, "SELECT count(*) FROM market_data WHERE close = 1.25").await,
            12
        );
        run(&place.url, "CALL delete_old_minutes(0, '{\"drop_after\": \"2 years\"}')").await;
        assert_eq!(count(&place.url, "SELECT count(*) FROM market_data").await, 72 - 18);
    });
}

#[test]
fn the_daily_view_is_days_of_utc_and_upkeep_refreshes_it() {
    on_servers(async |mut admin, place| {
        if place.edition == Edition::TimescaleCommunity {
            return; // refreshed by its job
        }
        let bars = "INSERT INTO market_data (symbol, timestamp, timeframe, open, high, low, close, volume) \
             SELECT 'X', t, '1m', 100 + extract(hour FROM t AT TIME ZONE 'UTC'), 200, 50, \
             100 + extract(minute FROM t AT TIME ZONE 'UTC'), 1 \
             FROM generate_series('2024-01-01 00:00+00'::timestamptz, '2024-01-02 23:59+00', '1 minute') t";
        run(&place.url, bars).await;
        let days = "SELECT count(*) FROM daily_ohlcv WHERE open = 100 AND close = 159 AND high = 200 AND low = 50 \
                    AND volume = 1440 AND date IN ('2024-01-01 00:00+00', '2024-01-02 00:00+00')";
        assert_eq!(count(&place.url, days).await, 0);
        let Maintained::Done(did) = admin.maintain(&Silent).await.unwrap() else {
            panic!("not busy")
        };
        assert!(did.iter().any(|d| d.what.contains("2 days")), "{did:?}");
        assert_eq!(count(&place.url, days).await, 2);
        assert_eq!(count(&place.url, "SELECT count(*) FROM daily_ohlcv").await, 2);
        admin.close().await;
    });
}

#[test]
fn two_upkeeps_at_once_are_one() {
    on_servers(async |mut admin, place| {
        let mut other = PgConnection::connect(&place.url).await.unwrap();
        let key: i64 = 0x6d61_696e_7461_696e;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(key).execute(&mut other).await.unwrap();
        assert_eq!(admin.maintain(&Silent).await.unwrap(), Maintained::Busy);
        other.close().await.unwrap();
        let mut tries = 0;
        while admin.maintain(&Silent).await.unwrap() == Maintained::Busy {
            tries += 1;
            assert!(tries < 50, "the lock went with its connection");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let mut admin = server(&place.url).await;
            tasks.push(tokio::spawn(async move { admin.maintain(&Silent).await.unwrap() }));
        }
        let mut done = 0;
        for task in tasks {
            done += usize::from(task.await.unwrap() != Maintained::Busy);
        }
        assert!(done >= 1);
    });
}

#[test]
fn health_finds_what_is_wrong() {
    on_servers(async |mut admin, place| {
        run(&place.url, ROWS).await;
        run(&place.url, "SELECT protect_chunks()").await;
        let health = admin.health().await.unwrap();
        let bytes = |table: &str| health.sizes.iter().find(|s| s.table == table).unwrap().bytes;
        assert!(bytes("market_data") > 0, "a hypertable's size is that of its chunks");
        assert_eq!(health.wrong().count(), 0, "{:?}", health.checks);
        let archive = health.checks.iter().find(|c| c.name == "archive").unwrap();
        assert_eq!(archive.state, State::Unknown, "off: {}", archive.says);
        let slow = health.checks.iter().find(|c| c.name == "slow queries").unwrap();
        assert!(slow.says.contains("shared_preload_libraries"), "{}", slow.says);
        if place.edition == Edition::Postgres {
            return;
        }
        run(
            &place.url,
            "DO $$ DECLARE c regclass; BEGIN SELECT inhrelid INTO c FROM pg_inherits \
             WHERE inhparent = 'api_usage'::regclass LIMIT 1; \
             EXECUTE format('GRANT SELECT ON %s TO authenticated_users', c); END $$",
        )
        .await;
        let health = admin.health().await.unwrap();
        let wrong: Vec<_> = health.wrong().map(|c| c.name).collect();
        assert_eq!(wrong, ["row security"]);
        admin.close().await;
    });
}
