//! Row level security against roles that try: user A can neither read, write nor guess B's rows, in any table, through
//! the tables, their chunks, the setting or a connection that somebody else used before.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store::admin::{self, Kept, Maintained};
use store::progress::Silent;
use store::{Begun, Edition, ListFilter, Store};

use crate::places::{Place, on_every_empty};
use crate::runs;
use crate::schema::run;

/// Two users with a role each, an application, and somebody who is nobody's user.
struct Cast {
    url: String,
    tag: String,
}

impl Cast {
    async fn new(place: &Place) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let cast = Self { url: place.url.clone(), tag: format!("{}_{number}", std::process::id()) };
        Store::migrate(&place.url).await.unwrap();
        for name in ["ann", "bob", "app", "eve"] {
            let role = cast.role(name);
            let groups = if name == "app" { ", backtest_app" } else { "" };
            let sql = format!(
                "CREATE ROLE {role} LOGIN PASSWORD 'pw' IN ROLE authenticated_users{groups}"
            );
            run(&place.url, &sql).await;
        }
        for name in ["ann", "bob"] {
            let role = cast.role(name);
            let sql = format!(
                "INSERT INTO users (username, email, password_hash, db_role) \
                 VALUES ('{name}', '{name}@x', 'secret hash', '{role}')"
            );
            run(&place.url, &sql).await;
        }
        cast
    }

    fn role(&self, name: &str) -> String {
        format!("contract_{name}_{}", self.tag)
    }

    fn url(&self, name: &str) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        format!("{scheme}://{}:pw@{host}", self.role(name))
    }

    async fn connect(&self, name: &str) -> PgConnection {
        PgConnection::connect(&self.url(name)).await.unwrap()
    }

    async fn gone(self) {
        for name in ["ann", "bob", "app", "eve"] {
            let role = self.role(name);
            run(&self.url, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
        }
    }

    /// A run of `name`, saved whole through the engine as that role.
    async fn keeps_a_run(&self, name: &'static str, identity: &str) -> i64 {
        let store = Store::open(&self.url(name)).await.unwrap();
        let new = store::NewRun { user: name, ..runs::new_run(identity) };
        let Begun::New(id) = store.begin(&new).await.unwrap() else { panic!("it is new") };
        store.heartbeat(id).await.unwrap();
        store.finish(id, &runs::run(), &serde_json::json!({})).await.unwrap();
        store.close().await;
        id
    }
}

async fn count(conn: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(conn)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// The server's words of refusal.
async fn refused(conn: &mut PgConnection, sql: &str) -> String {
    match sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await {
        Ok(done) => panic!("not refused, {} rows: {sql}", done.rows_affected()),
        Err(error) => error.to_string(),
    }
}

/// Rows of both users in every table that a run does not fill.
const ROWS: &str = "
INSERT INTO accounts (user_id, exchange) SELECT id, 'x' FROM users;
INSERT INTO orders (user_id, account_id, order_id, symbol, side, type, quantity)
    SELECT id, 1, 'o', 'X', 'BUY', 'MARKET', 1 FROM users;
INSERT INTO orders_partitioned SELECT * FROM orders;
INSERT INTO positions (user_id, account_id, symbol, side, size, entry_price) SELECT id, 1, 'X', 'LONG', 1, 1 FROM users;
INSERT INTO trades_executed (user_id, account_id, order_id, trade_id, symbol, side, quantity, price, quote_quantity)
    SELECT id, 1, 'o', 't', 'X', 'BUY', 1, 1, 1 FROM users;
INSERT INTO risk_limits (user_id, limit_type, limit_value) SELECT id, 'x', 1 FROM users;
INSERT INTO risk_events (user_id, event_type, severity) SELECT id, 'x', 'low' FROM users;
INSERT INTO system_logs (level, component, message, user_id) SELECT 'INFO', 'c', 'm', id FROM users;
INSERT INTO api_usage (user_id, endpoint, method, status_code) SELECT id, '/', 'GET', 200 FROM users;
INSERT INTO strategy_performance (strategy_id, timestamp) SELECT id, now() FROM strategies;
SELECT protect_chunks();";

/// Every protected table, and what tells whose a row is.
const OWNED: [(&str, &str); 17] = [
    ("users", "id"),
    ("accounts", "user_id"),
    ("orders", "user_id"),
    ("orders_partitioned", "user_id"),
    ("positions", "user_id"),
    ("trades_executed", "user_id"),
    ("strategies", "user_id"),
    ("risk_limits", "user_id"),
    ("risk_events", "user_id"),
    ("backtests", "user_id"),
    ("system_logs", "user_id"),
    ("api_usage", "user_id"),
    ("backtest_results", "(SELECT user_id FROM backtests b WHERE b.id = backtest_id)"),
    ("backtest_trades", "(SELECT user_id FROM backtests b WHERE b.id = backtest_id)"),
    ("backtest_equity", "(SELECT user_id FROM backtests b WHERE b.id = backtest_id)"),
    ("strategy_performance", "(SELECT user_id FROM strategies s WHERE s.id = strategy_id)"),
    ("orders", "user_id"),
];

/// Runs `test` on every server, with rows of ann (user 1) and bob (user 2) in every table.
#[expect(clippy::needless_pass_by_value, reason = "a closure is passed as it is written")]
fn with_cast(test: impl AsyncFn(&Cast, &mut PgConnection, Edition)) {
    on_every_empty(async |place: &Place| {
        if place.edition == Edition::Sqlite {
            return;
        }
        let cast = Cast::new(place).await;
        // Two runs each, in the same month: the second ones go into chunks that are there.
        for identity in ["first", "second"] {
            for name in ["ann", "bob"] {
                cast.keeps_a_run(name, &format!("{identity} of {name}")).await;
            }
        }
        run(&place.url, ROWS).await;
        let mut owner = PgConnection::connect(&place.url).await.unwrap();
        test(&cast, &mut owner, place.edition).await;
        cast.gone().await;
    });
}

#[test]
fn a_user_sees_their_own_rows_and_no_others_whatever_they_set() {
    with_cast(async |cast, owner, _| {
        let mut ann = cast.connect("ann").await;
        for set in ["", "SET app.current_user_id = '2'"] {
            sqlx::raw_sql(set).execute(&mut ann).await.unwrap();
            for (table, of) in OWNED {
                let all = count(owner, &format!("SELECT count(*) FROM {table}")).await;
                assert!(all >= 2, "{table} has rows of both");
                let seen = count(&mut ann, &format!("SELECT count(*) FROM {table}")).await;
                assert_eq!(seen * 2, all, "{table} {set}");
                let hers =
                    count(&mut ann, &format!("SELECT count(*) FROM {table} WHERE {of} = 1")).await;
                assert_eq!(hers, seen, "{table} {set}");
            }
        }
        let store = Store::open(&cast.url("ann")).await.unwrap();
        let runs = store.list(&ListFilter::default()).await.unwrap();
        assert_eq!(runs.len(), 2);
        let bobs = count(owner, "SELECT min(id)::bigint FROM backtests WHERE user_id = 2").await;
        assert!(store.show(bobs).await.unwrap().is_none());
        assert!(store.trades(bobs).await.unwrap().is_empty());
        assert_eq!(store.delete(&[bobs]).await.unwrap(), 0);
        // Her own can be read and deleted whole.
        assert_eq!(store.trades(runs[0].id).await.unwrap().len(), 3);
        assert_eq!(store.delete(&[runs[0].id]).await.unwrap(), 1);
        store.close().await;
        let kept = count(owner, "SELECT count(*) FROM backtest_trades").await;
        assert_eq!(kept, 9, "three runs are left with their trades");
    });
}

#[test]
fn a_user_cannot_write_or_guess_another_users_rows() {
    with_cast(async |cast, owner, _| {
        let mut ann = cast.connect("ann").await;
        let bobs = count(owner, "SELECT min(id)::bigint FROM backtests WHERE user_id = 2").await;
        let policy = "violates row-level security policy";
        for sql in [
            "INSERT INTO accounts (user_id, exchange) VALUES (2, 'x')".to_owned(),
            "INSERT INTO orders (user_id, account_id, order_id, symbol, side, type, quantity) \
             VALUES (2, 1, 'p', 'X', 'BUY', 'MARKET', 1)"
                .to_owned(),
            format!("INSERT INTO backtest_results (backtest_id) VALUES ({bobs})"),
            format!(
                "INSERT INTO backtest_equity (backtest_id, timestamp, equity) VALUES ({bobs}, now(), 1)"
            ),
            format!(
                "INSERT INTO backtest_trades (backtest_id, symbol, side, quantity, entry_price, entry_time) \
                 VALUES ({bobs}, 'X', 'LONG', 1, 1, '2024-01-01')"
            ),
        ] {
            let said = refused(&mut ann, &sql).await;
            assert!(said.contains(policy), "{sql}: {said}");
        }
        for (table, _) in OWNED.iter().filter(|(table, _)| *table != "users") {
            let before = count(owner, &format!("SELECT count(*) FROM {table}")).await;
            let mine = count(&mut ann, &format!("SELECT count(*) FROM {table}")).await;
            let sql = format!("DELETE FROM {table}");
            let mut tx = ann.begin().await.unwrap();
            let gone = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap();
            assert_eq!(gone.rows_affected(), mine.unsigned_abs(), "{table} of {before}");
            tx.rollback().await.unwrap();
        }
        for sql in [
            "UPDATE backtests SET user_id = 2",
            "UPDATE users SET db_role = session_user",
            "SELECT password_hash FROM users",
            "INSERT INTO users (username, email, password_hash) VALUES ('x', 'y', 'z')",
            "INSERT INTO strategies (id, user_id, name, strategy_type, parameters) VALUES (2, 1, 'x', 't', '{}')",
            "TRUNCATE backtest_trades",
            "UPDATE market_data SET close = 1",
            "DROP POLICY user_accounts_policy ON accounts",
            "ALTER TABLE accounts DISABLE ROW LEVEL SECURITY",
        ] {
            let said = refused(&mut ann, sql).await;
            assert!(
                said.contains("permission denied") || said.contains("must be owner"),
                "{sql}: {said}"
            );
        }
        // Whether a strategy of another is there must not show in how naming it is refused.
        let strategy = count(owner, "SELECT id::bigint FROM strategies WHERE user_id = 2").await;
        let mut said = Vec::new();
        for id in [strategy, 999_999] {
            let sql = format!(
                "INSERT INTO backtests (user_id, strategy_id, name, start_date, end_date, initial_capital, symbols, \
                 timeframes) VALUES (1, {id}, 'x', now(), now(), 1, '{{}}', '{{}}')"
            );
            said.push(refused(&mut ann, &sql).await);
        }
        assert_eq!(said[0], said[1]);
        // A table of that name of her own does not make her somebody else.
        let trick = format!(
            "CREATE TEMP TABLE users AS SELECT 2 AS id, '{}'::name AS db_role; SET search_path = pg_temp, public",
            cast.role("ann")
        );
        sqlx::raw_sql(AssertSqlSafe(trick)).execute(&mut ann).await.unwrap();
        assert_eq!(count(&mut ann, "SELECT current_user_id()::bigint").await, 1);
        let said = refused(&mut ann, &format!("SET ROLE {}", cast.role("bob"))).await;
        assert!(said.contains("permission denied"), "{said}");
    });
}

#[test]
fn chunks_cannot_be_reached_past_the_policies() {
    with_cast(async |cast, owner, edition| {
        let chunks: Vec<String> = sqlx::query_scalar(
            "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class p ON p.oid = inhparent \
             WHERE p.relrowsecurity AND p.relnamespace = 'public'::regnamespace AND p.relkind IN ('r', 'p')",
        )
        .fetch_all(&mut *owner)
        .await
        .unwrap();
        let wanted = if edition == Edition::Postgres { 4 } else { 12 };
        assert!(chunks.len() >= wanted, "{chunks:?}");
        let mut ann = cast.connect("ann").await;
        for chunk in &chunks {
            for sql in ["SELECT count(*) FROM", "TABLE", "DELETE FROM", "TRUNCATE"] {
                let said = refused(&mut ann, &format!("{sql} {chunk}")).await;
                assert!(said.contains("permission denied"), "{sql} {chunk}: {said}");
            }
        }
        if edition == Edition::Postgres {
            return;
        }
        // A chunk that she begins by hand, past the engine, cannot be read by others either; the next upkeep closes
        // what is left of it.
        let mine = count(owner, "SELECT min(id)::bigint FROM backtests WHERE user_id = 1").await;
        let sql = format!(
            "INSERT INTO backtest_trades (backtest_id, symbol, side, quantity, entry_price, entry_time) \
             VALUES ({mine}, 'X', 'LONG', 1, 1, '1999-01-01')"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut ann).await.unwrap();
        let newest: String = sqlx::query_scalar(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'backtest_trades'::regclass \
             ORDER BY inhrelid DESC LIMIT 1",
        )
        .fetch_one(&mut *owner)
        .await
        .unwrap();
        let mut bob = cast.connect("bob").await;
        let said = refused(&mut bob, &format!("SELECT count(*) FROM {newest}")).await;
        assert!(said.contains("permission denied"), "{said}");
        let Kept::Server(mut admin) = admin::open(&cast.url).await.unwrap() else {
            panic!("a server")
        };
        let Maintained::Done(_) = admin.maintain(&Silent).await.unwrap() else {
            panic!("not busy")
        };
        assert_eq!(admin.status().await.unwrap().security.unwrap().open_chunks, 0);
        admin.close().await;
        let said = refused(&mut bob, &format!("DELETE FROM {newest}")).await;
        assert!(said.contains("permission denied"), "{said}");
    });
}

#[test]
fn an_application_asks_for_one_user_and_its_connection_forgets_it() {
    with_cast(async |cast, owner, _| {
        const SET: &str = "SELECT set_config('app.current_user_id', $1, true)";
        let runs = "SELECT count(*) FROM backtests";
        let mut app = cast.connect("app").await;
        assert_eq!(count(&mut app, runs).await, 0, "without a user nothing is visible");
        for user in ["1", "2"] {
            let mut tx = app.begin().await.unwrap();
            sqlx::query(SET).bind(user).execute(&mut *tx).await.unwrap();
            assert_eq!(count(&mut tx, runs).await, 2);
            assert_eq!(
                count(&mut tx, "SELECT DISTINCT user_id::bigint FROM backtests").await.to_string(),
                user
            );
            tx.commit().await.unwrap();
            for (table, _) in OWNED {
                let left = count(&mut app, &format!("SELECT count(*) FROM {table}")).await;
                assert_eq!(left, 0, "{table}: the connection is the next one's");
            }
        }
        let mut eve = cast.connect("eve").await;
        for set in ["", "SET app.current_user_id = '1'"] {
            sqlx::raw_sql(set).execute(&mut eve).await.unwrap();
            for (table, _) in OWNED {
                assert_eq!(
                    count(&mut eve, &format!("SELECT count(*) FROM {table}")).await,
                    0,
                    "{table}"
                );
            }
        }
        // The owner is not restricted, and its migrations and runs work as before.
        assert_eq!(count(owner, runs).await, 4);
        assert!(Store::migrate(&cast.url).await.unwrap().applied.is_empty());
        let store = Store::open(&cast.url).await.unwrap();
        let Begun::New(id) = store.begin(&runs::new_run("of the owner")).await.unwrap() else {
            panic!("it is new")
        };
        store.finish(id, &runs::run(), &serde_json::json!({})).await.unwrap();
        assert_eq!(store.trades(id).await.unwrap().len(), 3);
        store.close().await;
    });
}

#[test]
fn an_owner_without_privileges_migrates_and_is_told_what_it_may_not() {
    on_every_empty(async |place: &Place| {
        if place.edition == Edition::Sqlite {
            return;
        }
        let role = format!("contract_owner_{}", std::process::id());
        run(&place.url, &format!("DROP ROLE IF EXISTS {role}")).await;
        run(&place.url, &format!("CREATE ROLE {role} LOGIN PASSWORD 'pw'")).await;
        if place.edition != Edition::Postgres {
            run(&place.url, "CREATE EXTENSION IF NOT EXISTS timescaledb").await;
        }
        let database = place.url.rsplit_once('/').unwrap().1;
        run(&place.url, &format!("GRANT CREATE ON DATABASE {database} TO {role}; GRANT CREATE ON SCHEMA public TO {role}")).await;
        let (scheme, rest) = place.url.split_once("://").unwrap();
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let url = format!("{scheme}://{role}:pw@{host}");
        for _ in 0..2 {
            Store::migrate(&url).await.unwrap();
        }
        let store = Store::open(&url).await.unwrap();
        let Begun::New(id) = store.begin(&runs::new_run("one")).await.unwrap() else {
            panic!("new")
        };
        store.finish(id, &runs::run(), &serde_json::json!({})).await.unwrap();
        assert_eq!(store.trades(id).await.unwrap().len(), 3);
        store.close().await;
        run(&place.url, &format!("DROP OWNED BY {role} CASCADE")).await;
        run(&place.url, &format!("DROP ROLE {role}")).await;
    });
}
