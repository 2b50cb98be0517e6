//! What depends on the server's edition and on the privileges of who migrates: extensions, hypertables, row level
//! security, `daily_ohlcv`, compression. Run by every `migrate`; again it changes nothing, and it moves rows that are
//! there. No versioned migration may enter: an edition can change under a database.

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::connect;
use crate::admin::policies;
use crate::error::{Error, in_words};
use crate::schema::Edition;

/// Hypertables: table, time column, and the document's chunk interval.
pub(crate) const HYPERTABLES: [(&str, &str, &str); 13] = [
    ("market_data", "timestamp", "1 day"),
    ("order_book_snapshots", "timestamp", "1 hour"),
    ("trades", "timestamp", "1 hour"),
    ("orders", "created_at", "1 day"),
    ("positions", "opened_at", "1 day"),
    ("trades_executed", "executed_at", "1 day"),
    ("strategy_performance", "timestamp", "1 day"),
    ("predictions", "timestamp", "1 day"),
    ("technical_indicators", "timestamp", "1 day"),
    ("risk_events", "timestamp", "1 day"),
    ("backtest_trades", "entry_time", "1 month"),
    ("system_logs", "timestamp", "1 day"),
    ("api_usage", "timestamp", "1 day"),
];

const SECURITY: &str = include_str!("../../../../migrations/ensure/security.sql");
const CHUNK_TRIGGER: &str = include_str!("../../../../migrations/ensure/chunk_trigger.sql");
const DAILY_PLAIN: &str = include_str!("../../../../migrations/ensure/daily_ohlcv_plain.sql");
const DAILY_APACHE: &str = include_str!("../../../../migrations/ensure/daily_ohlcv_apache.sql");
const DAILY_COMMUNITY: &str =
    include_str!("../../../../migrations/ensure/daily_ohlcv_community.sql");

/// Makes TimescaleDB where the server has it; a note where it has it but we may not.
pub(crate) async fn extension(
    options: &PgConnectOptions,
    place: &str,
) -> Result<Option<String>, Error> {
    // The extension wants to be made first thing in a connection.
    let mut conn = connect(options, place).await?;
    let failed = |source| Error::Database {
        what: "looking for TimescaleDB",
        place: place.to_owned(),
        source,
    };
    let state: Option<bool> = sqlx::query_scalar(
        "SELECT installed_version IS NOT NULL FROM pg_available_extensions WHERE name = 'timescaledb'",
    )
    .fetch_optional(&mut conn)
    .await
    .map_err(failed)?;
    let note = if state == Some(false) {
        match sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS timescaledb").execute(&mut conn).await {
            Ok(_) => None,
            Err(error) => Some(format!(
                "TimescaleDB is on the server but was not switched on: {}",
                in_words(&error)
            )),
        }
    } else {
        None
    };
    conn.close().await.ok();
    Ok(note)
}

/// Makes everything that `edition` and our privileges allow; returns what is lacking, a sentence each.
pub(crate) async fn ensure(
    conn: &mut PgConnection,
    edition: Edition,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::raw_sql("SET client_min_messages = error").execute(&mut *conn).await?;
    let mut notes: Vec<String> = lacks(edition).map(str::to_owned).into_iter().collect();
    notes.extend(pgcrypto(conn).await?);
    if edition != Edition::Postgres {
        hypertables(conn).await?;
    }
    sqlx::raw_sql(SECURITY).execute(&mut *conn).await?;
    notes.extend(roles(conn).await?);
    if edition != Edition::Postgres
        && let Err(error) = sqlx::raw_sql(CHUNK_TRIGGER).execute(&mut *conn).await
    {
        notes.push(format!(
            "new chunks are closed by writers, not by an event trigger: {}",
            in_words(&error)
        ));
    }
    daily(conn, edition).await?;
    if edition == Edition::TimescaleCommunity {
        compression(conn).await?;
        policies::ensure_jobs(conn).await?;
    }
    Ok(notes)
}

async fn pgcrypto(conn: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let there: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pgcrypto')")
            .fetch_one(&mut *conn)
            .await?;
    if there {
        return Ok(None);
    }
    let made = sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS pgcrypto").execute(&mut *conn).await;
    Ok(made.err().map(|error| {
        format!(
            "pgcrypto was not switched on, so encrypt_api_key does not work; let a privileged role run \
             CREATE EXTENSION pgcrypto: {}",
            in_words(&error)
        )
    }))
}

async fn hypertables(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    for (table, time, chunk) in HYPERTABLES {
        // The primary key starts with the time already, so the default index on it would be a second one.
        sqlx::query(
            "SELECT FROM create_hypertable($1::regclass, $2::name, chunk_time_interval => $3::interval, \
             if_not_exists => true, migrate_data => true, create_default_indexes => false)",
        )
        .bind(table)
        .bind(time)
        .bind(chunk)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// What to say when the role that policies are for could not be made.
async fn roles(conn: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let there: bool = sqlx::query_scalar("SELECT to_regrole('authenticated_users') IS NOT NULL")
        .fetch_one(conn)
        .await?;
    let note = "the role authenticated_users is missing and was not allowed to be made: until a role with \
                CREATEROLE makes it and `backtest migrate` runs again, only the owner sees users' rows";
    Ok((!there).then(|| note.to_owned()))
}

/// Makes `daily_ohlcv` as the edition can; an ordinary view gives way to a continuous aggregate.
async fn daily(conn: &mut PgConnection, edition: Edition) -> Result<(), sqlx::Error> {
    let kind: Option<i8> =
        sqlx::query_scalar("SELECT relkind FROM pg_class WHERE oid = to_regclass('daily_ohlcv')")
            .fetch_optional(&mut *conn)
            .await?;
    let is_plain = kind == Some(b'm'.cast_signed());
    match edition {
        Edition::TimescaleCommunity if is_plain => {
            sqlx::raw_sql("DROP MATERIALIZED VIEW daily_ohlcv").execute(&mut *conn).await?;
            sqlx::raw_sql(DAILY_COMMUNITY).execute(&mut *conn).await?;
        }
        _ if kind.is_some() => {}
        Edition::TimescaleCommunity => {
            sqlx::raw_sql(DAILY_COMMUNITY).execute(&mut *conn).await?;
        }
        Edition::TimescaleApache => {
            sqlx::raw_sql(DAILY_APACHE).execute(&mut *conn).await?;
        }
        Edition::Postgres | Edition::Sqlite => {
            sqlx::raw_sql(DAILY_PLAIN).execute(&mut *conn).await?;
        }
    }
    sqlx::raw_sql(
        "COMMENT ON COLUMN daily_ohlcv.date IS 'Opening of the day, UTC.'; \
         COMMENT ON COLUMN daily_ohlcv.open IS 'Quote units.'; \
         COMMENT ON COLUMN daily_ohlcv.high IS 'Quote units.'; \
         COMMENT ON COLUMN daily_ohlcv.low IS 'Quote units.'; \
         COMMENT ON COLUMN daily_ohlcv.close IS 'Quote units.'; \
         COMMENT ON COLUMN daily_ohlcv.volume IS 'Base units.'; \
         DO $$ BEGIN IF to_regrole('authenticated_users') IS NOT NULL THEN \
         GRANT SELECT ON daily_ohlcv TO authenticated_users; END IF; END $$",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The document's compression settings; which chunks are compressed is the policy's.
async fn compression(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let on: bool = sqlx::query_scalar(
        "SELECT compression_enabled FROM timescaledb_information.hypertables \
         WHERE hypertable_name = 'market_data' AND hypertable_schema = current_schema()",
    )
    .fetch_one(&mut *conn)
    .await?;
    if !on {
        sqlx::raw_sql(
            "ALTER TABLE market_data SET (timescaledb.compress, \
             timescaledb.compress_segmentby = 'symbol,timeframe', \
             timescaledb.compress_orderby = 'timestamp DESC')",
        )
        .execute(conn)
        .await?;
    }
    Ok(())
}

fn lacks(edition: Edition) -> Option<&'static str> {
    match edition {
        Edition::Sqlite | Edition::TimescaleCommunity => None,
        Edition::Postgres => Some(
            "without TimescaleDB hypertables are plain tables: everything works, without chunks and compression",
        ),
        Edition::TimescaleApache => Some(
            "the Apache edition of TimescaleDB has hypertables, but no compression, retention policies or \
             continuous aggregates; see `backtest db status`",
        ),
    }
}
