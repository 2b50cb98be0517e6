//! What can go wrong with a database: what was being done, where, and why, with the next thing to try.
//! No password may enter: places are spelled by `url`, which drops them.

use sim::bars::BarsError;
use sim::timeframe::Timeframe;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use crate::when;

/// Why the store could not do what it was asked. [`Error::hint`] says what to try next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL cannot be read; `given` is without its password.
    #[error("`{given}` is no database URL: {why}")]
    Url { given: String, why: String },
    /// No connection was made.
    #[error("cannot open `{place}`: {why}")]
    Connect { place: String, why: String, hint: Option<String>, source: Option<Box<sqlx::Error>> },
    /// The database has none of our tables.
    #[error("`{place}` has no tables yet")]
    NoSchema { place: String },
    /// A file that belongs to another program; it was not written to.
    #[error("`{place}` holds tables of another program and none of ours: {}", listed(tables))]
    Foreign { place: String, tables: Vec<String> },
    /// The database lacks migrations that this program needs.
    #[error("the tables of `{place}` are older than this program: {} is missing", missing.join(", "))]
    OldSchema { place: String, missing: Vec<String> },
    /// The database has a migration that this program does not know.
    #[error(
        "the tables of `{place}` are newer than this program: it does not know migration {version}"
    )]
    NewSchema { place: String, version: i64 },
    /// A migration was refused, is half done, or is not the one that was applied.
    #[error("migration {name} of `{place}`: {why}")]
    Migration { place: String, name: String, why: String, source: Option<Box<sqlx::Error>> },
    /// There are no bars to answer with.
    #[error("{0}")]
    NoBars(Box<NoBars>),
    /// Stored bars break a rule of simulation.
    #[error("`market_data` of `{place}`, {symbol} {timeframe} at {}", when(*time_us))]
    Bars { place: String, symbol: String, timeframe: Timeframe, time_us: i64, source: BarsError },
    /// A stored value is none that its column may hold.
    #[error("`{table}.{column}` of `{place}` holds {given}, which is not {wanted}")]
    Value {
        place: String,
        table: &'static str,
        column: String,
        given: String,
        wanted: &'static str,
    },
    /// More rows arrived than the database counted, or fewer.
    #[error("`{place}` counted {counted} rows of {symbol} {timeframe} but sent {sent}")]
    RowCount { place: String, symbol: String, timeframe: Timeframe, counted: u64, sent: u64 },
    /// Something is beyond a limit.
    #[error("{what} is longer than the limit of {limit}: {given}")]
    Limit { what: &'static str, limit: usize, given: usize },
    /// The sender of bars gave up; nothing was written.
    #[error("nothing was written: {0}")]
    Aborted(String),
    /// There is no such policy.
    #[error("there is no policy `{given}`")]
    NoPolicy { given: String, known: String },
    /// There is no such run.
    #[error("`{place}` holds no run {id}")]
    NoRun { place: String, id: i64 },
    /// The database did not answer in time.
    #[error("{what}: `{place}` did not answer within {seconds} s")]
    Silent { what: &'static str, place: String, seconds: u64 },
    /// The database refused or broke off.
    #[error("{what} in `{place}` failed")]
    Database { what: &'static str, place: String, source: sqlx::Error },
    /// The embedded database refused or broke off while rows were read.
    #[error("{what} in `{place}` failed: {why}")]
    Scan { what: &'static str, place: String, why: String },
    /// A frame could not be built: our bug.
    #[error("a frame of bars could not be built")]
    Frame(#[from] polars::error::PolarsError),
}

/// What was asked of the bars, and what there is instead.
#[derive(Debug, thiserror::Error)]
#[error("no bars for `{symbol}` `{timeframe}`{}\n  `{place}` holds {}", self.range(), self.holds())]
pub struct NoBars {
    pub place: String,
    pub symbol: String,
    pub timeframe: Timeframe,
    /// Microseconds UTC, half-open; `None` is an open end.
    pub from_us: Option<i64>,
    pub to_us: Option<i64>,
    /// What is stored of this symbol, the series asked for first.
    pub of_symbol: Vec<crate::Held>,
    /// Every symbol there is bars of.
    pub symbols: Vec<String>,
    /// Whether bars of a finer timeframe would not do.
    pub exact: bool,
}

/// Most names that an error lists.
const LISTED: usize = 12;

/// `a, b, c and 7 more`
fn listed(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
    let more = names.len() - first.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", first.join(", "))
}

impl NoBars {
    fn range(&self) -> String {
        match (self.from_us, self.to_us) {
            (None, None) => String::new(),
            (Some(from), None) => format!(" from {}", when(from)),
            (None, Some(to)) => format!(" up to {}", when(to)),
            (Some(from), Some(to)) => format!(" from {} to {}", when(from), when(to)),
        }
    }

    fn holds(&self) -> String {
        if self.symbols.is_empty() {
            return "no bars at all".to_owned();
        }
        if self.of_symbol.is_empty() {
            return listed(&self.symbols);
        }
        let series = |held: &crate::Held| {
            let name = if held.timeframe == self.timeframe {
                String::new()
            } else {
                format!(" of `{}`", held.timeframe)
            };
            format!("{} bars{name}, {} to {}", held.bars, when(held.from_us), when(held.to_us))
        };
        self.of_symbol.iter().map(series).collect::<Vec<_>>().join("; ")
    }

    fn hint(&self) -> String {
        let import = "load more with `backtest import`";
        let Some(held) = self.of_symbol.first() else {
            return match self.nearest() {
                Some(symbol) => format!("did you mean `{symbol}`? Or {import}"),
                None => "load bars with `backtest import`".to_owned(),
            };
        };
        let other = self.exact && self.timeframe != held.timeframe;
        if other || !self.timeframe.is_multiple_of(held.timeframe) {
            return format!("use --timeframe {}, or {import}", held.timeframe);
        }
        if self.to_us.is_some_and(|to| to <= held.from_us) {
            return format!("use --to after {}, or {import}", when(held.from_us));
        }
        format!("use --from {}, or {import}", when(held.from_us))
    }

    /// The symbol that was probably meant.
    fn nearest(&self) -> Option<&str> {
        let given = self.symbol.to_uppercase();
        let distance = |s: &String| strsim::damerau_levenshtein(&given, &s.to_uppercase());
        let (symbol, distance) =
            self.symbols.iter().map(|s| (s, distance(s))).min_by_key(|p| p.1)?;
        (distance <= 1 + given.len() / 3).then_some(symbol)
    }
}

impl Error {
    /// Whether the same may well succeed in a moment: a connection was cut, the server restarts, a lock was held.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        let source = match self {
            Self::Silent { .. } => return true,
            Self::Database { source, .. } => source,
            Self::Connect { source: Some(source), .. }
            | Self::Migration { source: Some(source), .. } => source,
            _ => return false,
        };
        match source {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                // Class 08 is the connection, 57P the administrator, 40 and 55P03 locks; 5 is SQLite's busy.
                ["08", "57P", "40", "55P03"].iter().any(|class| code.starts_with(class))
                    || ["5", "261", "517", "53300"].contains(&code.as_ref())
            }
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Tls(_) => true,
            _ => false,
        }
    }

    /// Why a server undid a whole transaction for another's sake, in its words: a deadlock, or two that fit in no order.
    /// The same from its beginning may well succeed.
    #[must_use]
    pub fn undone(&self) -> Option<&str> {
        let Self::Database { source: sqlx::Error::Database(error), .. } = self else { return None };
        matches!(error.code().as_deref(), Some("40001" | "40P01")).then(|| error.message())
    }

    /// Why the database will not hold these values, whoever sends them and whenever: a constraint, a trigger, a range.
    #[must_use]
    pub(crate) fn refusal(&self) -> Option<String> {
        let Self::Database { source: sqlx::Error::Database(error), .. } = self else { return None };
        let code = error.code().unwrap_or_default();
        // Classes of the values, of constraints, of views and of exceptions; SQLite's constraints end in the byte 19.
        let server = ["22", "23", "44", "P0"].iter().any(|class| code.starts_with(class));
        let refused = match error.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
            Some(_) => code.parse().is_ok_and(|code: u32| code & 0xff == 19),
            None => server,
        };
        refused.then(|| error.message().to_owned())
    }

    /// The next thing to type, when there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Url { .. } => "use sqlite:FILE or postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            Self::Connect { hint, .. } => return hint.clone(),
            Self::Foreign { .. } => {
                "nothing was written to it; give another file, such as --db sqlite:backtest.db"
            }
            Self::NoSchema { .. } => "make them with `backtest migrate`",
            Self::OldSchema { .. } => "bring them up to date with `backtest migrate`",
            Self::NewSchema { .. } => "use the newer backtest that made them",
            Self::Migration { .. } => {
                "every migration is one transaction: put right what it says and run `backtest migrate` again"
            }
            Self::NoBars(no_bars) => return Some(no_bars.hint()),
            Self::Bars { .. } | Self::Value { .. } => {
                "put that row right, or import the bars again with `backtest import`"
            }
            Self::RowCount { .. } => "try again",
            Self::NoPolicy { known, .. } => return Some(format!("the policies are {known}")),
            Self::NoRun { .. } => "list the runs with `backtest list`",
            Self::Silent { .. } => SILENT,
            Self::Database { source, .. } => return database_hint(source),
            Self::Limit { .. } | Self::Aborted(_) | Self::Scan { .. } | Self::Frame(_) => {
                return None;
            }
        };
        Some(text.to_owned())
    }
}

/// A cause of an [`Error`] in words. Of what a server refuses its message alone: the driver adds a line to it, which is
/// one of the server's own source code.
#[must_use]
pub fn in_words(cause: &(dyn std::error::Error + 'static)) -> String {
    let boxed = cause.downcast_ref::<Box<sqlx::Error>>().map(|error| &**error);
    let error = match cause.downcast_ref::<sqlx::Error>().or(boxed) {
        Some(sqlx::Error::Database(error)) => Some(error),
        _ => cause.downcast_ref::<Box<dyn DatabaseError>>(),
    };
    match error {
        Some(error) if error.try_downcast_ref::<PgDatabaseError>().is_some() => {
            error.message().to_owned()
        }
        _ => cause.to_string(),
    }
}

/// What to do about a server that does not answer.
const SILENT: &str = "see whether the server is alive and not waiting for a lock; BACKTEST_STATEMENT_LIMIT=SECONDS sets how \
                      long it may take";

/// What to do about an error of the server or file, where its code says enough.
fn database_hint(error: &sqlx::Error) -> Option<String> {
    if let sqlx::Error::Io(io) = error
        && io.kind() == std::io::ErrorKind::TimedOut
    {
        return Some(SILENT.to_owned());
    }
    let sqlx::Error::Database(error) = error else {
        return matches!(
            error,
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Protocol(_)
        )
        .then(|| "see whether the server is still running, then try again".to_owned());
    };
    let text = match error.code()?.as_ref() {
        "42501" => "ask the owner of the database for the privilege, or use another role",
        "42P01" | "42703" => "bring the tables up to date with `backtest migrate`",
        "42883" => {
            "where TimescaleDB lives in another schema than your tables, name that behind yours in the search_path: \
             postgres://…?options[search_path]=YOURS,public"
        }
        "40001" | "40P01" | "55P03" => "another program holds these rows; try again",
        "21000" => "one time stands twice in what was given",
        "53100" => "the server's disk is full: make room on it, then run the same command again",
        "25006" => "this server only reads, as a standby does: write to another server",
        "57014" => "the server cut it short: raise statement_timeout of this role or database",
        "57P01" | "57P02" | "57P03" => {
            "the server is going down or coming up; try again in a moment"
        }
        "26000" | "42P05" => {
            "a pooler that gives each transaction another connection is in between: look after the \
             database (`migrate`, `db`) by a connection that goes round it"
        }
        "5" | "261" | "517" => "another program is writing to the file; try again when it is done",
        "13" => "the disk is full",
        "8" => "the file cannot be written; look at its permissions",
        _ => return None,
    };
    Some(text.to_owned())
}
