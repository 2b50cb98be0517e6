//! The server backend: connecting, migrating, finding the edition, and writing bars.
//! SQL that only PostgreSQL speaks stands here; nothing of a file may enter.

pub(crate) mod copy;
pub(crate) mod ensure;
pub(crate) mod out;
pub(crate) mod value;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, Postgres};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Row, Transaction};

use crate::error::Error;
use crate::row::BarRow;
use crate::schema::{self, Edition, Folder, Migrated};
use crate::tx::limited;
use copy::patient;

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection may take to answer when it is given back.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);
/// How long a statement waits for a lock.
const LOCK_LIMIT: &str = "60s";
/// Connections of one program.
const CONNECTIONS: u32 = 8;
/// Key of the lock that one `migrate` holds while another waits.
const MIGRATE_KEY: i64 = 0x6261_636b_7465_7374;

/// Connects, and checks that the tables are those of this program.
pub(crate) async fn open(
    options: PgConnectOptions,
    place: &str,
) -> Result<(PgPool, Edition), Error> {
    let options = with_settings(options);
    // One connection by hand first: the pool would hide why it got none behind a timeout.
    let mut conn = connect(&options, place).await?;
    let what = "looking at the tables";
    let failed = |source| Error::Database { what, place: place.to_owned(), source };
    let looked = limited(async {
        // In a transaction, so that a pooler leaves this connection alone.
        let mut looking = conn.begin().await.map_err(failed)?;
        if !schema::has_list(&mut looking).await.map_err(failed)? {
            return Err(Error::NoSchema { place: place.to_owned() });
        }
        schema::check(&mut looking, place).await?;
        let edition = edition(&mut looking).await.map_err(failed)?;
        looking.commit().await.map_err(failed)?;
        conn.close().await.map_err(failed)?;
        Ok(edition)
    });
    let edition = looked.await.unwrap_or_else(|| Err(failed(copy::silent())))?;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT_LIMIT)
        .after_release(|conn, _| Box::pin(async { Ok(is_in_step(conn).await) }))
        .connect_lazy_with(options);
    Ok((pool, edition))
}

/// Whether a connection that is given back answers what it is asked, and does so soon; else it is closed. One that was
/// left amid a COPY still has to be sent the rest, after which it would take an old answer for that to a new question.
async fn is_in_step(conn: &mut PgConnection) -> bool {
    let asked = sqlx::raw_sql("SELECT 'in step'").fetch_one(conn);
    let answer = tokio::time::timeout(RELEASE_LIMIT, asked).await;
    answer.is_ok_and(|row| {
        row.is_ok_and(|row| row.try_get::<&str, _>(0).is_ok_and(|text| text == "in step"))
    })
}

pub(crate) fn with_settings(options: PgConnectOptions) -> PgConnectOptions {
    let options = if options.get_application_name().is_none() {
        options.application_name("backtest")
    } else {
        options
    };
    // Compiling a statement over hundreds of chunks takes longer than running it.
    options.options([("lock_timeout", LOCK_LIMIT), ("jit", "off")]).disable_statement_logging()
}

pub(crate) async fn connect(
    options: &PgConnectOptions,
    place: &str,
) -> Result<PgConnection, Error> {
    match tokio::time::timeout(CONNECT_LIMIT, PgConnection::connect_with(options)).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(source)) => Err(connect_error(place, source)),
        Err(_) => Err(Error::Connect {
            place: place.to_owned(),
            why: format!("no answer within {} s", CONNECT_LIMIT.as_secs()),
            hint: Some("look at the host and port, and at any firewall between".to_owned()),
            source: None,
        }),
    }
}

/// What is wrong, and where to look, when TLS fails.
const NOT_SECURE: (&str, &str) = (
    "no secure connection",
    "look at sslmode and sslrootcert of the URL, or PGSSLMODE and PGSSLROOTCERT",
);

fn connect_error(place: &str, source: sqlx::Error) -> Error {
    let (why, hint) = match &source {
        sqlx::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => {
                ("nothing listens there", "start the server, or look at the host and port")
            }
            // How rustls reports a certificate that it does not trust.
            std::io::ErrorKind::InvalidData => NOT_SECURE,
            std::io::ErrorKind::NotFound => ("there is no such socket", "look at the host"),
            _ if error.raw_os_error().is_none() => {
                ("the host is not known", "look at the host's name")
            }
            _ => ("the host cannot be reached", "look at the host, the port and the network"),
        },
        sqlx::Error::Tls(_) => NOT_SECURE,
        sqlx::Error::Database(error) => match error.code().unwrap_or_default().as_ref() {
            "28P01" | "28000" => (
                "the server refused this user or password",
                "look at the user and password of the URL, or set PGPASSWORD",
            ),
            "3D000" => ("there is no such database", "make it with `createdb`, or name another"),
            "53300" => ("the server has no connection left", "try again later"),
            "57P03" => ("the server is starting", "try again in a moment"),
            "08P01" => (
                "a pooler in between refused our settings",
                "let it pass them (PgBouncer: ignore_startup_parameters = options), or go round it",
            ),
            _ => ("the server refused", "see what it says"),
        },
        _ => ("the connection broke off", "see whether that is a PostgreSQL server"),
    };
    Error::Connect {
        place: place.to_owned(),
        why: why.to_owned(),
        hint: Some(hint.to_owned()),
        source: Some(Box::new(source)),
    }
}

/// Applies missing migrations, then makes what the edition allows. Two at once: the second waits, then finds it done.
pub(crate) async fn migrate(options: PgConnectOptions, place: &str) -> Result<Migrated, Error> {
    let options = with_settings(options);
    let mut conn = connect(&options, place).await?;
    let what = "waiting for another `migrate`";
    let turn = take_turn(&mut conn).await;
    turn.map_err(|source| Error::Database { what, place: place.to_owned(), source })?;
    let mut notes = Vec::new();
    notes.extend(ensure::extension(&options, place).await?);
    let applied = schema::run(Folder::Server, &mut conn, place).await?;
    let failed = |source| Error::Database {
        what: "making what the edition allows",
        place: place.to_owned(),
        source,
    };
    let edition = edition(&mut conn).await.map_err(failed)?;
    notes.extend(ensure::ensure(&mut conn, edition).await.map_err(failed)?);
    // Closing the connection gives the lock back.
    conn.close().await.map_err(failed)?;
    Ok(Migrated { applied, edition, notes })
}

/// Waits until no other `migrate` is at work on this server, for as long as that takes.
async fn take_turn(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("SET lock_timeout = 0").execute(&mut *conn).await?;
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(MIGRATE_KEY);
    lock.execute(&mut *conn).await?;
    // What the connection was opened with.
    sqlx::raw_sql("RESET lock_timeout").execute(conn).await.map(|_| ())
}

pub(crate) async fn edition(conn: &mut PgConnection) -> Result<Edition, sqlx::Error> {
    let installed: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')",
    )
    .persistent(false)
    .fetch_one(&mut *conn)
    .await?;
    if !installed {
        return Ok(Edition::Postgres);
    }
    let license: Option<String> =
        sqlx::query_scalar("SELECT current_setting('timescaledb.license', true)")
            .persistent(false)
            .fetch_one(conn)
            .await?;
    match license.as_deref() {
        Some("timescale") => Ok(Edition::TimescaleCommunity),
        _ => Ok(Edition::TimescaleApache),
    }
}

/// Rows that are sent at once. Not more, because they are held in memory until the server has been asked about their
/// range; not fewer, because a COPY looks its chunks up anew.
pub(crate) const ROWS_AT_ONCE: usize = 65_536;

/// Makes the staging table and keeps other writers of the same series out until this transaction ends: two upserts of
/// the same bars in different orders would block each other.
pub(crate) async fn prepare_bars(
    tx: &mut Transaction<'static, Postgres>,
    symbol: &str,
    timeframe: &str,
) -> Result<(), sqlx::Error> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))");
    patient(lock.bind(symbol).bind(timeframe).persistent(false).execute(&mut **tx)).await?;
    let stage = sqlx::raw_sql(
        // Kept for the next file on this connection; temporary tables made anew each time would bloat the catalogue.
        "SET LOCAL client_min_messages = warning; \
         CREATE TEMP TABLE IF NOT EXISTS staged_bars (symbol TEXT, timestamp TIMESTAMPTZ, timeframe TEXT, \
         open NUMERIC, high NUMERIC, low NUMERIC, close NUMERIC, volume NUMERIC, quote_volume NUMERIC, \
         trades_count INTEGER, taker_buy_volume NUMERIC, taker_buy_quote_volume NUMERIC) \
         ON COMMIT DELETE ROWS",
    );
    patient(stage.execute(&mut **tx)).await.map(|_| ())
}

/// Writes `rows` of one series and returns how many were new or changed: straight into the table where that holds none
/// of the series between the first and the last of them, else through the staging table.
pub(crate) async fn write_bars(
    tx: &mut Transaction<'static, Postgres>,
    symbol: &str,
    timeframe: &str,
    rows: &[BarRow],
) -> Result<u64, sqlx::Error> {
    let first = rows.iter().map(|row| row.time_us).min();
    let last = rows.iter().map(|row| row.time_us).max();
    let Some((first, last)) = first.zip(last) else { return Ok(0) };
    let sent = copy::bar_rows(symbol, timeframe, rows)?;
    let time = |us| {
        chrono::DateTime::from_timestamp_micros(us)
            .ok_or_else(|| sqlx::Error::Encode(format!("{us} us is no date").into()))
    };
    let taken = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM market_data WHERE symbol = $1 AND timeframe = $2 \
         AND timestamp BETWEEN $3 AND $4)",
    )
    .bind(symbol)
    .bind(timeframe)
    .bind(time(first)?)
    .bind(time(last)?)
    .persistent(false);
    let taken: bool = patient(taken.fetch_one(&mut **tx)).await?;
    if !taken && copy_straight(tx, &sent).await? {
        return Ok(rows.len() as u64);
    }
    copy::copy_in(tx, copy::STAGED_BARS, &sent).await?;
    flush_bars(tx).await
}

/// Whether the table took the rows as they are. It does not when another program, which does not know our lock, wrote
/// one of them since we looked, or when row level security is on for the table.
async fn copy_straight(
    tx: &mut Transaction<'static, Postgres>,
    rows: &copy::Rows,
) -> Result<bool, sqlx::Error> {
    let mut inner = patient((**tx).begin()).await?;
    match copy::copy_in(&mut inner, copy::BARS, rows).await {
        Ok(()) => patient(inner.commit()).await.map(|()| true),
        Err(sqlx::Error::Database(error))
            if error.is_unique_violation() || error.code().as_deref() == Some("0A000") =>
        {
            patient(inner.rollback()).await.map(|()| false)
        }
        Err(error) => Err(error),
    }
}

/// Upserts what is staged. A row that holds the same values already is left alone: it would only be written twice.
async fn flush_bars(tx: &mut Transaction<'static, Postgres>) -> Result<u64, sqlx::Error> {
    let insert = sqlx::query(
        "INSERT INTO market_data AS m (symbol, timestamp, timeframe, open, high, low, close, volume, quote_volume, \
         trades_count, taker_buy_volume, taker_buy_quote_volume) \
         SELECT symbol, timestamp, timeframe, open, high, low, close, volume, quote_volume, \
         trades_count, taker_buy_volume, taker_buy_quote_volume FROM staged_bars \
         ON CONFLICT (timestamp, symbol, timeframe) DO UPDATE SET \
         open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, \
         volume = excluded.volume, quote_volume = excluded.quote_volume, trades_count = excluded.trades_count, \
         taker_buy_volume = excluded.taker_buy_volume, \
         taker_buy_quote_volume = excluded.taker_buy_quote_volume \
         WHERE (m.open, m.high, m.low, m.close, m.volume, m.quote_volume, m.trades_count, m.taker_buy_volume, \
         m.taker_buy_quote_volume) IS DISTINCT FROM (excluded.open, excluded.high, excluded.low, excluded.close, \
         excluded.volume, excluded.quote_volume, excluded.trades_count, excluded.taker_buy_volume, \
         excluded.taker_buy_quote_volume)",
    );
    let done = patient(insert.persistent(false).execute(&mut **tx)).await?;
    patient(sqlx::raw_sql("TRUNCATE staged_bars").execute(&mut **tx)).await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_migrate_waits_for_another_however_short_other_waits_are() {
        let Ok(url) = std::env::var("TEST_POSTGRES_URL") else {
            let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!ci || std::env::var_os("BACKTEST_SKIP_SERVERS").is_some(), "CI wants servers");
            eprintln!("NOT TESTED: TEST_POSTGRES_URL is not set");
            return;
        };
        let options: PgConnectOptions = url.parse().unwrap();
        let mut first = PgConnection::connect_with(&options).await.unwrap();
        take_turn(&mut first).await.unwrap();
        let impatient = options.clone().options([("lock_timeout", "10ms")]);
        let mut second = PgConnection::connect_with(&impatient).await.unwrap();
        let turn = tokio::spawn(async move { (take_turn(&mut second).await, second) });
        tokio::time::sleep(Duration::from_millis(200)).await;
        first.close().await.unwrap();
        let (done, mut second) = turn.await.unwrap();
        done.unwrap();
        let limit = sqlx::query_scalar::<_, String>("SELECT current_setting('lock_timeout')");
        assert_eq!(limit.fetch_one(&mut second).await.unwrap(), "10ms");
    }
}
