//! The embedded backend: opening the file, and writing bars to it. SQL that only SQLite speaks stands here.
//! Nothing of a server may enter.

pub(crate) mod many;
pub(crate) mod scan;
mod statement;
pub(crate) mod values;

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sqlx::error::DatabaseError;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Arguments, Connection, SqliteConnection, SqlitePool, Transaction};

use crate::error::Error;
use crate::row::BarRow;
use crate::schema;

/// How long a writer waits for another one.
pub(crate) const BUSY_LIMIT: Duration = Duration::from_secs(30);
/// Connections of one program; readers do not wait for the writer.
const CONNECTIONS: u32 = 4;
/// Page cache of a connection, KiB (negative means KiB to SQLite).
const CACHE_KIB: &str = "-65536";
/// The same as a statement, and what a scan needs: it meets each page once, and a cache of them all would be more memory
/// than the rows.
pub(crate) const CACHE: &str = "PRAGMA cache_size = -65536";
pub(crate) const CACHE_OF_A_SCAN: &str = "PRAGMA cache_size = -1024";

/// Opens the file, makes it if it is not there, and brings its tables up to date.
pub(crate) async fn open(
    options: SqliteConnectOptions,
    place: &str,
) -> Result<(SqlitePool, Vec<String>), Error> {
    let memory = place == "sqlite::memory:";
    let looking = options
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(BUSY_LIMIT)
        // Every commit is on disk before it is reported: neither SIGKILL nor a power cut takes back what a user was
        // told. (NORMAL would survive SIGKILL too.) Bars are one commit a file, runs one a run, so it costs little.
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", CACHE_KIB);
    let options = looking.clone().journal_mode(SqliteJournalMode::Wal);
    let failed = |source: sqlx::Error| connect_error(place, source);
    if memory {
        // The tables live as long as this one connection, so the pool keeps exactly it.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await
            .map_err(failed)?;
        let mut conn = pool.acquire().await.map_err(failed)?;
        let applied = schema::run_sqlite(&mut conn, place).await?;
        drop(conn);
        return Ok((pool, applied));
    }
    let mut conn = connect(&looking, place).await?;
    let applied = schema::run_sqlite(&mut conn, place).await?;
    conn.close().await.map_err(failed)?;
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(BUSY_LIMIT)
        // A file does not hang up.
        .test_before_acquire(false)
        .connect_lazy_with(options);
    Ok((pool, applied))
}

/// The first connection, to a file that is new or ours; of any other nothing is changed. A new file, and only such a one,
/// is turned into one with a log; while another program begins it too, SQLite refuses that at once, whatever the limit
/// for waiting is.
async fn connect(options: &SqliteConnectOptions, place: &str) -> Result<SqliteConnection, Error> {
    const PAUSE: Duration = Duration::from_millis(20);
    let begun = Instant::now();
    loop {
        match connect_once(options, place).await {
            Err(Error::Connect { source: Some(source), .. })
                if code(&source) == "5" && begun.elapsed() < BUSY_LIMIT =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            connected => return connected,
        }
    }
}

async fn connect_once(
    options: &SqliteConnectOptions,
    place: &str,
) -> Result<SqliteConnection, Error> {
    const FILE: &str = "SELECT coalesce(file, '') FROM pragma_database_list WHERE name = 'main'";
    const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') \
                          AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let failed = |source: sqlx::Error| connect_error(place, source);
    let mut conn = SqliteConnection::connect_with(options).await.map_err(failed)?;
    let file: String = sqlx::query_scalar(FILE).fetch_one(&mut conn).await.map_err(failed)?;
    if file.is_empty() {
        return Err(Error::Connect {
            place: place.to_owned(),
            why: "it is no file, and each connection would have tables of its own".to_owned(),
            hint: Some(
                "give a file, as in sqlite:backtest.db, or sqlite::memory: to keep nothing"
                    .to_owned(),
            ),
            source: None,
        });
    }
    let tables: Vec<String> =
        sqlx::query_scalar(TABLES).fetch_all(&mut conn).await.map_err(failed)?;
    if !tables.is_empty() && !tables.iter().any(|table| table == schema::APPLIED_TABLE) {
        return Err(Error::Foreign { place: place.to_owned(), tables });
    }
    sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&mut conn).await.map_err(failed)?;
    Ok(conn)
}

/// SQLite's number for what is wrong, or nothing.
fn code(error: &sqlx::Error) -> Cow<'_, str> {
    error.as_database_error().and_then(DatabaseError::code).unwrap_or_default()
}

fn connect_error(place: &str, source: sqlx::Error) -> Error {
    let (why, hint) = match &*code(&source) {
        "14" => {
            ("the file cannot be opened", Some("see that its folder exists and may be written to"))
        }
        "26" => ("the file is no SQLite database", Some("give another file name after sqlite:")),
        "5" => ("another program holds the file", Some("try again when it is done")),
        "8" | "1544" => ("the file is read-only", Some("look at its permissions")),
        _ => ("SQLite refused", None),
    };
    Error::Connect {
        place: place.to_owned(),
        why: why.to_owned(),
        hint: hint.map(str::to_owned),
        source: Some(Box::new(source)),
    }
}

/// Rows of one statement: 10 values each, and SQLite takes 32,766 in all.
const ROWS_PER_STATEMENT: usize = 500;
static INSERT_MANY: LazyLock<String> = LazyLock::new(|| insert_bars(ROWS_PER_STATEMENT));
static INSERT_ONE: LazyLock<String> = LazyLock::new(|| insert_bars(1));

/// Values of a bar besides the three that the whole statement shares.
const VALUES_PER_ROW: usize = 10;

/// An upsert of `rows` bars: their values, and then symbol, timeframe and time of writing once for all of them. A row
/// that holds the same values already is left alone, so that the count of changes says what changed.
fn insert_bars(rows: usize) -> String {
    let values = many::places(VALUES_PER_ROW, rows);
    format!(
        "INSERT INTO market_data (symbol, timeframe, created_at, timestamp, open, high, low, close, \
         volume, quote_volume, trades_count, taker_buy_volume, taker_buy_quote_volume) \
         SELECT shared.symbol, shared.timeframe, shared.at, own.* FROM (VALUES {values}) AS own \
         CROSS JOIN (SELECT ? AS symbol, ? AS timeframe, ? AS at) AS shared WHERE true \
         ON CONFLICT (symbol, timeframe, timestamp) DO UPDATE SET \
         open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, \
         volume = excluded.volume, quote_volume = excluded.quote_volume, trades_count = excluded.trades_count, \
         taker_buy_volume = excluded.taker_buy_volume, \
         taker_buy_quote_volume = excluded.taker_buy_quote_volume \
         WHERE (open, high, low, close, volume, quote_volume, trades_count, taker_buy_volume, \
         taker_buy_quote_volume) IS NOT (excluded.open, excluded.high, excluded.low, excluded.close, \
         excluded.volume, excluded.quote_volume, excluded.trades_count, excluded.taker_buy_volume, \
         excluded.taker_buy_quote_volume)"
    )
}

/// Upserts `rows` of one symbol and timeframe; returns how many were new or changed.
pub(crate) async fn write_bars(
    tx: &mut Transaction<'static, Sqlite>,
    symbol: &str,
    timeframe: &str,
    now_us: i64,
    rows: &[BarRow],
) -> Result<u64, sqlx::Error> {
    let mut changed = 0;
    let (many, rest) = rows.as_chunks::<ROWS_PER_STATEMENT>();
    let many = many.iter().map(|rows| (INSERT_MANY.as_str(), rows.as_slice()));
    let rest = rest.iter().map(|row| (INSERT_ONE.as_str(), std::slice::from_ref(row)));
    for (sql, rows) in many.chain(rest) {
        let arguments =
            bar_arguments(symbol, timeframe, now_us, rows).map_err(sqlx::Error::Encode)?;
        let done = sqlx::query_with(sql, arguments).execute(&mut **tx).await?;
        changed += done.rows_affected();
    }
    Ok(changed)
}

fn bar_arguments(
    symbol: &str,
    timeframe: &str,
    now_us: i64,
    rows: &[BarRow],
) -> Result<SqliteArguments, sqlx::error::BoxDynError> {
    let mut bound = SqliteArguments::default();
    bound.reserve(3 + VALUES_PER_ROW * rows.len(), 0);
    for row in rows {
        bound.add(row.time_us)?;
        for value in [row.open, row.high, row.low, row.close, row.volume] {
            add_units(&mut bound, Some(value))?;
        }
        add_units(&mut bound, row.quote_volume)?;
        bound.add(row.trades_count)?;
        add_units(&mut bound, row.taker_buy_volume)?;
        add_units(&mut bound, row.taker_buy_quote_volume)?;
    }
    bound.add(symbol)?;
    bound.add(timeframe)?;
    bound.add(now_us)?;
    Ok(bound)
}

/// Units of 1e-8: an integer, or its digits as text where 63 bits are too few.
fn add_units(
    bound: &mut SqliteArguments,
    value: Option<i128>,
) -> Result<(), sqlx::error::BoxDynError> {
    match value.map(i64::try_from) {
        None => bound.add(None::<i64>),
        Some(Ok(narrow)) => bound.add(narrow),
        Some(Err(_)) => bound.add(value.map(|v| v.to_string())),
    }
}
