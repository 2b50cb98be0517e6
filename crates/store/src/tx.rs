//! One transaction on either backend: typed values go in, typed values come out, so that SQL which both dialects
//! share is written once. No table or column may be named here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{TryFutureExt, TryStreamExt};
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Arguments, PgPool, Row as _, SqlSafeStr, SqlitePool, Transaction, ValueRef};

use crate::Backend;
use crate::error::Error;
use crate::postgres::value::{Interval, Jsonb, Numeric, TimeUs};

/// How long one statement may take before it is given up, seconds; see [`crate::set_statement_limit`].
static STATEMENT_LIMIT: AtomicU64 = AtomicU64::new(600);

/// See [`crate::set_statement_limit`].
pub(crate) fn set_statement_limit(limit: Duration) {
    STATEMENT_LIMIT.store(limit.as_secs().max(1), Ordering::Relaxed);
}

pub(crate) fn statement_limit() -> Duration {
    Duration::from_secs(STATEMENT_LIMIT.load(Ordering::Relaxed))
}

/// A value on its way into a statement; `None` is NULL.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    Int(Option<i64>),
    Text(Option<&'a str>),
    /// A decimal and the places its column has.
    Money(Option<Decimal>, u32),
    /// Microseconds since 1970-01-01 UTC.
    Time(Option<i64>),
    Json(Option<&'a Value>),
    List(Option<&'a [String]>),
    /// A length of time, microseconds.
    Span(Option<i64>),
}

impl<'a> Arg<'a> {
    pub(crate) fn int(value: i64) -> Self {
        Self::Int(Some(value))
    }

    pub(crate) fn text(value: &'a str) -> Self {
        Self::Text(Some(value))
    }

    pub(crate) fn time(us: i64) -> Self {
        Self::Time(Some(us))
    }

    pub(crate) fn json(value: &'a Value) -> Self {
        Self::Json(Some(value))
    }

    pub(crate) fn list(values: &'a [String]) -> Self {
        Self::List(Some(values))
    }
}

pub(crate) enum Conn {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// A transaction; dropped without [`Tx::commit`] it is rolled back. Its statements have no names on a server: a pooler
/// that gives connections to transactions would let one program meet the names of another.
pub(crate) struct Tx {
    pub(crate) conn: Conn,
    /// What is being done, for errors.
    pub(crate) what: &'static str,
    pub(crate) place: Arc<str>,
}

/// What a transaction will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Sees one state of the database throughout.
    Read,
    Write,
}

impl Tx {
    pub(crate) async fn begin(
        backend: &Backend,
        mode: Mode,
        what: &'static str,
        place: Arc<str>,
    ) -> Result<Self, Error> {
        let begun = limited(async {
            match backend {
                Backend::Sqlite(pool) => begin_sqlite(pool, mode).await.map(Conn::Sqlite),
                Backend::Postgres(pool) => begin_postgres(pool, mode).await.map(Conn::Postgres),
            }
        });
        let conn = answer(begun.await, what, &place)?;
        Ok(Self { conn, what, place })
    }

    pub(crate) fn failed(&self, source: sqlx::Error) -> Error {
        Error::Database { what: self.what, place: self.place.to_string(), source }
    }

    /// Runs `sql` and returns how many rows it touched.
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        args: &[Arg<'_>],
    ) -> Result<u64, Error> {
        let done = match &mut self.conn {
            Conn::Sqlite(tx) => {
                let query = async {
                    sqlx::query_with(sql, sqlite_arguments(args)?).execute(&mut **tx).await
                };
                limited(query.map_ok(|done| done.rows_affected())).await
            }
            Conn::Postgres(tx) => {
                let query = async {
                    let query = sqlx::query_with(sql, postgres_arguments(args)?);
                    query.persistent(false).execute(&mut **tx).await
                };
                limited(query.map_ok(|done| done.rows_affected())).await
            }
        };
        self.answer(done)
    }

    /// The rows that `sql` returns.
    pub(crate) async fn rows(
        &mut self,
        sql: impl SqlSafeStr,
        args: &[Arg<'_>],
    ) -> Result<Vec<Row>, Error> {
        let rows = match &mut self.conn {
            Conn::Sqlite(tx) => {
                let query = async {
                    let query = sqlx::query_with(sql, sqlite_arguments(args)?);
                    query.fetch(&mut **tx).map_ok(Cells::Sqlite).try_collect().await
                };
                limited(query).await
            }
            Conn::Postgres(tx) => {
                let query = async {
                    let query = sqlx::query_with(sql, postgres_arguments(args)?).persistent(false);
                    query.fetch(&mut **tx).map_ok(Cells::Postgres).try_collect().await
                };
                limited(query).await
            }
        };
        let rows: Vec<Cells> = self.answer(rows)?;
        let (what, place) = (self.what, &self.place);
        Ok(rows.into_iter().map(|cells| Row { cells, what, place: place.clone() }).collect())
    }

    /// The only row that `sql` returns, if it returns one.
    pub(crate) async fn row(
        &mut self,
        sql: &'static str,
        args: &[Arg<'_>],
    ) -> Result<Option<Row>, Error> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// The time by the server's clock, or for an embedded file by this machine's; microseconds UTC.
    pub(crate) async fn now_us(&mut self) -> Result<i64, Error> {
        match self.conn {
            Conn::Sqlite(_) => {
                Ok(chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now())
                    .timestamp_micros())
            }
            Conn::Postgres(_) => match self.row("SELECT clock_timestamp() AS now", &[]).await? {
                Some(row) => row.time("now"),
                None => Err(self.failed(sqlx::Error::RowNotFound)),
            },
        }
    }

    pub(crate) async fn commit(self) -> Result<(), Error> {
        let (what, place) = (self.what, self.place);
        let done = match self.conn {
            Conn::Sqlite(tx) => limited(tx.commit()).await,
            Conn::Postgres(tx) => limited(tx.commit()).await,
        };
        answer(done, what, &place)
    }

    pub(crate) fn answer<T>(&self, done: Option<Result<T, sqlx::Error>>) -> Result<T, Error> {
        answer(done, self.what, &self.place)
    }
}

pub(crate) async fn limited<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(statement_limit(), work).await.ok()
}

fn answer<T>(
    done: Option<Result<T, sqlx::Error>>,
    what: &'static str,
    place: &Arc<str>,
) -> Result<T, Error> {
    let place = place.to_string();
    match done {
        Some(Ok(value)) => Ok(value),
        Some(Err(source)) => Err(Error::Database { what, place, source }),
        None => Err(Error::Silent { what, place, seconds: statement_limit().as_secs() }),
    }
}

async fn begin_sqlite(
    pool: &SqlitePool,
    mode: Mode,
) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    match mode {
        Mode::Read => pool.begin().await,
        // Takes the file's one write lock at once: a lock asked for halfway fails instead of waiting.
        Mode::Write => pool.begin_with("BEGIN IMMEDIATE").await,
    }
}

async fn begin_postgres(
    pool: &PgPool,
    mode: Mode,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    match mode {
        Mode::Read => pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await,
        Mode::Write => pool.begin().await,
    }
}

fn sqlite_arguments(args: &[Arg<'_>]) -> Result<SqliteArguments, sqlx::Error> {
    let mut bound = SqliteArguments::default();
    for arg in args {
        let added = match *arg {
            Arg::Int(v) | Arg::Time(v) => bound.add(v),
            Arg::Text(v) => bound.add(v),
            Arg::Money(v, places) => bound.add(v.map(|v| decimal_text(v, places))),
            Arg::Json(v) => bound.add(v.map(Value::to_string)),
            Arg::List(v) => bound.add(v.map(|list| Value::from(list).to_string())),
            Arg::Span(v) => bound.add(v.map(|us| us as f64 / 1e6)),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(bound)
}

fn postgres_arguments(args: &[Arg<'_>]) -> Result<PgArguments, sqlx::Error> {
    let mut bound = PgArguments::default();
    for arg in args {
        let added = match *arg {
            Arg::Int(v) => bound.add(v),
            Arg::Text(v) => bound.add(v),
            Arg::Time(v) => bound.add(v.map(time_of).transpose()?),
            Arg::Money(v, _) => bound.add(v.map(Numeric)),
            Arg::Json(v) => bound.add(v.map(|v| Jsonb(v.to_string()))),
            Arg::List(v) => bound.add(v),
            Arg::Span(v) => bound.add(v.map(Interval::from_us)),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(bound)
}

/// With exactly `places` decimals, as PostgreSQL shows such a column.
pub(crate) fn decimal_text(mut value: Decimal, places: u32) -> String {
    value.rescale(places);
    value.to_string()
}

pub(crate) fn time_of(us: i64) -> Result<chrono::DateTime<chrono::Utc>, sqlx::Error> {
    chrono::DateTime::from_timestamp_micros(us)
        .ok_or_else(|| sqlx::Error::Encode(format!("{us} us is no date").into()))
}

enum Cells {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A row on its way out; values are read by column name.
pub(crate) struct Row {
    cells: Cells,
    what: &'static str,
    place: Arc<str>,
}

impl Row {
    pub(crate) fn opt_int(&self, column: &str) -> Result<Option<i64>, Error> {
        self.told(match &self.cells {
            Cells::Sqlite(row) => row.try_get(column),
            Cells::Postgres(row) => postgres_int(row, column),
        })
    }

    pub(crate) fn opt_text(&self, column: &str) -> Result<Option<String>, Error> {
        self.told(match &self.cells {
            Cells::Sqlite(row) => row.try_get(column),
            Cells::Postgres(row) => row.try_get(column),
        })
    }

    /// A decimal without trailing zeros.
    pub(crate) fn opt_money(&self, column: &str) -> Result<Option<Decimal>, Error> {
        let value = match &self.cells {
            Cells::Sqlite(row) => row.try_get::<Option<String>, _>(column).and_then(|text| {
                text.map(|t| t.parse().map_err(|e| undecodable(column, e))).transpose()
            }),
            Cells::Postgres(row) => {
                row.try_get::<Option<Numeric>, _>(column).map(|v| v.map(|n| n.0))
            }
        };
        Ok(self.told(value)?.map(|v: Decimal| v.normalize()))
    }

    /// Microseconds since 1970-01-01 UTC.
    pub(crate) fn opt_time(&self, column: &str) -> Result<Option<i64>, Error> {
        self.told(match &self.cells {
            Cells::Sqlite(row) => row.try_get(column),
            Cells::Postgres(row) => postgres_time(row, column),
        })
    }

    pub(crate) fn opt_json(&self, column: &str) -> Result<Option<Value>, Error> {
        let text = match &self.cells {
            Cells::Sqlite(row) => row.try_get::<Option<String>, _>(column),
            Cells::Postgres(row) => row.try_get::<Option<Jsonb>, _>(column).map(|v| v.map(|j| j.0)),
        };
        let parse = |text: String| serde_json::from_str(&text).map_err(|e| undecodable(column, e));
        self.told(text.and_then(|text| text.map(parse).transpose()))
    }

    /// A list of texts; NULL is an empty one.
    pub(crate) fn list(&self, column: &str) -> Result<Vec<String>, Error> {
        let list = match &self.cells {
            Cells::Sqlite(row) => row.try_get::<Option<String>, _>(column).and_then(|text| {
                text.map(|t| serde_json::from_str(&t).map_err(|e| undecodable(column, e)))
                    .transpose()
            }),
            Cells::Postgres(row) => row.try_get(column),
        };
        Ok(self.told(list)?.unwrap_or_default())
    }

    /// A length of time, microseconds.
    pub(crate) fn opt_span(&self, column: &str) -> Result<Option<i64>, Error> {
        self.told(match &self.cells {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "seconds of a few centuries at most"
            )]
            Cells::Sqlite(row) => row
                .try_get::<Option<f64>, _>(column)
                .map(|seconds| seconds.map(|s| (s * 1e6).round() as i64)),
            Cells::Postgres(row) => {
                row.try_get::<Option<Interval>, _>(column).map(|v| v.map(Interval::us))
            }
        })
    }

    pub(crate) fn int(&self, column: &str) -> Result<i64, Error> {
        self.some(self.opt_int(column)?, column)
    }

    pub(crate) fn text(&self, column: &str) -> Result<String, Error> {
        self.some(self.opt_text(column)?, column)
    }

    pub(crate) fn money(&self, column: &str) -> Result<Decimal, Error> {
        self.some(self.opt_money(column)?, column)
    }

    pub(crate) fn time(&self, column: &str) -> Result<i64, Error> {
        self.some(self.opt_time(column)?, column)
    }

    fn some<T>(&self, value: Option<T>, column: &str) -> Result<T, Error> {
        value.ok_or_else(|| {
            let source = undecodable(column, sqlx::error::UnexpectedNullError);
            Error::Database { what: self.what, place: self.place.to_string(), source }
        })
    }

    fn told<T>(&self, value: Result<T, sqlx::Error>) -> Result<T, Error> {
        value.map_err(|source| Error::Database {
            what: self.what,
            place: self.place.to_string(),
            source,
        })
    }
}

/// Integers of any width.
fn postgres_int(row: &PgRow, column: &str) -> Result<Option<i64>, sqlx::Error> {
    let bytes = row.try_get_raw(column)?;
    if bytes.is_null() {
        return Ok(None);
    }
    match *bytes.as_bytes().map_err(|e| undecodable(column, e))? {
        [a, b, c, d] => Ok(Some(i32::from_be_bytes([a, b, c, d]).into())),
        _ => row.try_get(column),
    }
}

fn postgres_time(row: &PgRow, column: &str) -> Result<Option<i64>, sqlx::Error> {
    match row.try_get::<Option<TimeUs>, _>(column)? {
        Some(TimeUs(None)) => Err(undecodable(column, "a time without end")),
        time => Ok(time.and_then(|time| time.0)),
    }
}

fn undecodable(column: &str, source: impl Into<sqlx::error::BoxDynError>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}
