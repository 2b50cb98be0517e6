//! The schema is the document's, one by one: tables, columns, types, defaults, keys, checks, indexes, chunk intervals,
//! policies and functions. What differs is listed with its reason, here and in migrations/README.md alike.
//! document.txt is what a plain PostgreSQL's catalogue says after the document's own CREATE TABLE and CREATE INDEX.

use std::collections::BTreeSet;

use sqlx::{Connection, PgConnection};
use store::{Edition, Store};

use crate::places::{Place, on_every_empty};

/// Lines of the catalogue, in the form of document.txt.
const CATALOGUE: &str = r"
WITH t AS (SELECT c.oid, c.relname AS name FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
    AND c.relkind IN ('r', 'p') AND c.relname NOT LIKE '\_%')
SELECT 'table ' || t.name || coalesce(' partition of ' || (SELECT inhparent::regclass::text FROM pg_inherits
    WHERE inhrelid = t.oid) || ' ' || (SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = t.oid), '')
    || coalesce(' partitioned by ' || pg_get_partkeydef(t.oid), '') FROM t
UNION ALL
SELECT 'column ' || t.name || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
    || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
    FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
UNION ALL
SELECT 'key ' || t.name || ' ' || pg_get_constraintdef(k.oid) FROM t JOIN pg_constraint k ON k.conrelid = t.oid
    WHERE k.contype IN ('p', 'u', 'f', 'c')
UNION ALL
SELECT 'index ' || t.name || ' ' || regexp_replace(pg_get_indexdef(i.indexrelid), '^.* INDEX (\S+) ON .* USING ', '\1 ')
    FROM t JOIN pg_index i ON i.indrelid = t.oid WHERE NOT EXISTS (SELECT FROM pg_constraint k
    WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u'))";

/// What the live tables lack (-) and have beyond the document (+). A table of ours is one line.
const DEVIATIONS: &[&str] = &[
    "+ column backtest_results.metrics jsonb",
    "+ column backtests.data_fingerprint character varying(64)",
    "+ column backtests.engine_version character varying(50)",
    "+ column backtests.error text",
    "+ column backtests.heartbeat_at timestamp with time zone",
    "+ column backtests.identity character varying(64)",
    "+ column backtests.notes text",
    "+ column backtests.rules jsonb",
    "+ column backtests.tags text[] not null default '{}'::text[]",
    "+ column users.db_role name",
    "+ column api_usage.user_id integer",
    "- column api_usage.user_id integer not null",
    "+ key api_usage PRIMARY KEY (\"timestamp\", id)",
    "- key api_usage PRIMARY KEY (\"timestamp\", user_id, endpoint)",
    "+ key backtest_results UNIQUE (backtest_id)",
    "+ key backtest_trades PRIMARY KEY (entry_time, backtest_id, symbol, id)",
    "- key backtest_trades PRIMARY KEY (entry_time, backtest_id, symbol)",
    "+ column backtests.sweep_id integer",
    "+ column backtests.variant_idx bigint",
    "+ index backtests backtests_sweep_id_variant_idx_key btree (sweep_id, variant_idx) WHERE (sweep_id IS NOT NULL)",
    "+ index backtests backtests_user_id_identity_key btree (user_id, identity) WHERE (sweep_id IS NULL)",
    "+ key backtests FOREIGN KEY (sweep_id) REFERENCES sweeps(id) ON DELETE CASCADE",
    "+ key positions PRIMARY KEY (opened_at, user_id, symbol, side, account_id)",
    "- key positions PRIMARY KEY (opened_at, user_id, symbol, side)",
    "+ key predictions PRIMARY KEY (\"timestamp\", model_id, prediction_timestamp, prediction_type)",
    "- key predictions PRIMARY KEY (\"timestamp\", model_id, prediction_timestamp)",
    "+ key risk_events PRIMARY KEY (\"timestamp\", user_id, event_type, id)",
    "- key risk_events PRIMARY KEY (\"timestamp\", user_id, event_type)",
    "+ key strategies UNIQUE (user_id, name)",
    "+ key system_logs PRIMARY KEY (\"timestamp\", component, level, id)",
    "- key system_logs PRIMARY KEY (\"timestamp\", component, level)",
    "+ key users UNIQUE (db_role)",
    "+ table backtest_equity",
    "+ table data_policies",
    "+ table sweep_blocks",
    "+ table sweeps",
];

/// The document's chunk intervals.
const CHUNKS: [(&str, &str, &str); 13] = [
    ("api_usage", "timestamp", "1 day"),
    ("backtest_trades", "entry_time", "1 month"),
    ("market_data", "timestamp", "1 day"),
    ("order_book_snapshots", "timestamp", "01:00:00"),
    ("orders", "created_at", "1 day"),
    ("positions", "opened_at", "1 day"),
    ("predictions", "timestamp", "1 day"),
    ("risk_events", "timestamp", "1 day"),
    ("strategy_performance", "timestamp", "1 day"),
    ("system_logs", "timestamp", "1 day"),
    ("technical_indicators", "timestamp", "1 day"),
    ("trades", "timestamp", "01:00:00"),
    ("trades_executed", "executed_at", "1 day"),
];

async fn strings(conn: &mut PgConnection, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(conn).await.unwrap()
}

/// The differences, with the lines of tables that are only ours drawn together.
fn differences(live: &BTreeSet<String>, document: &BTreeSet<String>) -> BTreeSet<String> {
    let extra: BTreeSet<&String> = live.difference(document).collect();
    let ours: Vec<&str> = extra.iter().filter_map(|line| line.strip_prefix("table ")).collect();
    let inside = |line: &str| {
        let name = line.split(' ').nth(1).unwrap_or_default();
        !line.starts_with("table ") && ours.contains(&name.split('.').next().unwrap_or_default())
    };
    let extra = extra.iter().filter(|line| !inside(line)).map(|line| format!("+ {line}"));
    extra.chain(document.difference(live).map(|line| format!("- {line}"))).collect()
}

#[test]
fn every_table_column_key_and_index_is_the_documents() {
    let document: BTreeSet<String> =
        include_str!("document.txt").lines().map(str::to_owned).collect();
    assert_eq!(document.iter().filter(|line| line.starts_with("table ")).count(), 25);
    on_every_empty(async |place: &Place| {
        if place.edition == Edition::Sqlite {
            return;
        }
        Store::migrate(&place.url).await.unwrap();
        let mut conn = PgConnection::connect(&place.url).await.unwrap();
        let live = strings(&mut conn, CATALOGUE).await.into_iter().collect();
        let expected: BTreeSet<String> = DEVIATIONS.iter().map(|&d| d.to_owned()).collect();
        let found = differences(&live, &document);
        let surprising: Vec<_> = found.symmetric_difference(&expected).collect();
        assert!(surprising.is_empty(), "on {}: {surprising:#?}", place.edition.name());
    });
}

#[test]
fn the_readme_lists_these_deviations_each_with_a_reason() {
    let readme = include_str!("../../../../migrations/README.md");
    let mut listed = BTreeSet::new();
    for line in readme.lines().filter(|l| l.starts_with("| `+ ") || l.starts_with("| `- ")) {
        let (what, why) = line[3..].split_once("` |").unwrap();
        assert!(why.trim_end_matches('|').trim().len() > 10, "no reason: {line}");
        listed.insert(what);
    }
    assert_eq!(listed, DEVIATIONS.iter().copied().collect());
}

#[test]
fn hypertables_have_the_documents_chunks() {
    on_every_empty(async |place: &Place| {
        if matches!(place.edition, Edition::Sqlite | Edition::Postgres) {
            return;
        }
        Store::migrate(&place.url).await.unwrap();
        let mut conn = PgConnection::connect(&place.url).await.unwrap();
        let found: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT hypertable_name::text, column_name::text, time_interval::text \
             FROM timescaledb_information.dimensions WHERE hypertable_schema = 'public' ORDER BY 1",
        )
        .fetch_all(&mut conn)
        .await
        .unwrap();
        let found: Vec<_> = found.iter().map(|(a, b, c)| (&**a, &**b, &**c)).collect();
        let month = |c: &str| if c == "30 days" { "1 month".to_owned() } else { c.to_owned() };
        let found: Vec<_> = found.into_iter().map(|(a, b, c)| (a, b, month(c))).collect();
        assert_eq!(found, CHUNKS.map(|(a, b, c)| (a, b, c.to_owned())));
    });
}

#[test]
fn policies_functions_and_the_view_are_there() {
    on_every_empty(async |place: &Place| {
        if place.edition == Edition::Sqlite {
            return;
        }
        Store::migrate(&place.url).await.unwrap();
        let mut conn = PgConnection::connect(&place.url).await.unwrap();
        let policies = strings(
            &mut conn,
            "SELECT tablename || ' ' || policyname || ' ' || cmd || ' ' || array_to_string(roles, ',') \
             FROM pg_policies WHERE policyname IN ('user_accounts_policy', 'user_orders_policy') ORDER BY 1",
        )
        .await;
        let expected = [
            "accounts user_accounts_policy ALL authenticated_users",
            "orders user_orders_policy ALL authenticated_users",
        ];
        assert_eq!(policies, expected);
        let protected = strings(
            &mut conn,
            "SELECT DISTINCT table_name::text FROM information_schema.columns c JOIN pg_class p \
             ON p.oid = c.table_name::text::regclass WHERE c.table_schema = 'public' \
             AND c.column_name = 'user_id' AND NOT p.relrowsecurity",
        )
        .await;
        assert_eq!(protected, [""; 0], "every table with a user_id has row security");
        let functions = strings(
            &mut conn,
            "SELECT oid::regprocedure::text || ' ' || pg_get_function_result(oid) FROM pg_proc \
             WHERE proname IN ('encrypt_api_key', 'decrypt_api_key', 'current_user_id') \
             AND pg_get_function_arguments(oid) IN ('key text', 'encrypted text', '') ORDER BY 1",
        )
        .await;
        let expected = [
            "current_user_id() integer",
            "decrypt_api_key(text) text",
            "encrypt_api_key(text) text",
        ];
        assert_eq!(functions, expected);
        let view = strings(
            &mut conn,
            "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute \
             WHERE attrelid = 'daily_ohlcv'::regclass AND attnum > 0",
        )
        .await;
        assert_eq!(view, ["symbol date open high low close volume"]);
    });
}

#[test]
fn every_table_and_every_amount_says_what_it_is() {
    on_every_empty(async |place: &Place| {
        if place.edition == Edition::Sqlite {
            return;
        }
        Store::migrate(&place.url).await.unwrap();
        let mut conn = PgConnection::connect(&place.url).await.unwrap();
        let silent = strings(
            &mut conn,
            "SELECT c.relname::text FROM pg_class c WHERE c.relkind IN ('r', 'p') \
             AND c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE '\\_%' \
             AND obj_description(c.oid, 'pg_class') IS NULL \
             UNION ALL \
             SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
             WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace \
             AND a.attnum > 0 AND a.atttypid IN ('numeric'::regtype, 'interval'::regtype) \
             AND col_description(c.oid, a.attnum) IS NULL",
        )
        .await;
        assert_eq!(silent, [""; 0]);
    });
}

#[test]
fn keys_of_exchanges_are_encrypted_with_a_key_that_is_not_in_the_schema() {
    on_every_empty(async |place: &Place| {
        if place.edition == Edition::Sqlite {
            return;
        }
        Store::migrate(&place.url).await.unwrap();
        let mut conn = PgConnection::connect(&place.url).await.unwrap();
        let encrypt = "SELECT encrypt_api_key('the exchange key')";
        let error = sqlx::query(encrypt).execute(&mut conn).await.unwrap_err().to_string();
        assert!(error.contains("app.encryption_key is not set"), "{error}");
        let set = "SELECT set_config('app.encryption_key', $1, false)";
        sqlx::query(set).bind("k1").execute(&mut conn).await.unwrap();
        let [one, two] = [strings(&mut conn, encrypt).await, strings(&mut conn, encrypt).await];
        assert_ne!(one, two, "a random start");
        let decrypt = "SELECT decrypt_api_key($1)";
        let back: String =
            sqlx::query_scalar(decrypt).bind(&one[0]).fetch_one(&mut conn).await.unwrap();
        assert_eq!(back, "the exchange key");
        sqlx::query(set).bind("k2").execute(&mut conn).await.unwrap();
        let wrong = sqlx::query(decrypt).bind(&one[0]).execute(&mut conn).await;
        assert!(wrong.unwrap_err().to_string().contains("Wrong key"));
    });
}
