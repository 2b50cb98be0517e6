//! The outside world: every byte of SQL, every file of bars and every frame.
//! Nothing here prints, exits or decides what a number means.

pub mod admin;
mod bars;
pub mod cache;
mod cells;
mod error;
pub mod export;
mod frame;
pub mod import;
mod load;
mod postgres;
pub mod progress;
mod resample;
pub mod row;
mod rows;
mod runs;
mod schema;
mod sqlite;
pub mod sweeps;
mod tx;
mod url;

use std::sync::Arc;

use serde_json::Value;
use sim::timeframe::{DAY_US, Timeframe};
use sqlx::{PgPool, SqlitePool};
use tokio::sync::mpsc::Receiver;

pub use bars::{Held, MAX_SYMBOL, Written};
pub use error::{Error, NoBars, in_words};
pub use load::{LoadAsk, Loaded, Range, Took};
pub use rows::{EquityRow, ListFilter, Results, RunDetail, RunRow, TradeRow};
pub use runs::{Begun, NewRun, StrategyRow};
pub use schema::{Edition, Migrated};

use cache::Cache;
use progress::Progress;
use row::BarRow;
use tx::{Mode, Tx};

/// What a sender of bars says. A channel that closes without [`Feed::End`] means that the sender died: nothing is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Some more bars.
    Rows(Vec<BarRow>),
    /// That was all; what was sent may be kept.
    End,
    /// The sender gave up, in words; nothing of what it sent is kept.
    Abort(String),
}

/// The two kinds of database; the URL's scheme chooses.
#[derive(Clone)]
enum Backend {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// An open database. Cheap to clone; every method may be called from several tasks at once.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    place: Arc<str>,
    /// See [`cache::server_name`].
    server: Arc<str>,
    edition: Edition,
    cache: Option<Arc<Cache>>,
}

/// How long a server may take for one statement, and for the next rows of a long one, before it is given up: 600 s unless
/// said otherwise here, for the whole process. Whole seconds, at least one.
pub fn set_statement_limit(limit: std::time::Duration) {
    tx::set_statement_limit(limit);
}

impl Store {
    /// Opens the database that `url` names. A SQLite file is made and brought up to date by itself; a server has to
    /// have been given its tables by [`Store::migrate`].
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Connect`], [`Error::Foreign`], [`Error::NoSchema`], [`Error::OldSchema`],
    /// [`Error::NewSchema`], [`Error::Migration`].
    pub async fn open(url: &str) -> Result<Self, Error> {
        let url::Url { target, place, server } = url::Url::parse(url)?;
        let (backend, edition) = match target {
            url::Target::Sqlite(options) => {
                let (pool, _) = sqlite::open(options, &place).await?;
                (Backend::Sqlite(pool), Edition::Sqlite)
            }
            url::Target::Postgres(options) => {
                let (pool, edition) = postgres::open(options, &place).await?;
                (Backend::Postgres(pool), edition)
            }
        };
        let (place, server) = (place.into(), cache::server_name(&server).into());
        Ok(Self { backend, place, server, edition, cache: None })
    }

    /// Keeps in `cache` what [`Store::load`] reads from a server, and reads again only what has changed there. An
    /// embedded file is read as quickly as a cache and has none.
    #[must_use]
    pub fn with_cache(self, cache: Cache) -> Self {
        let cache = match self.backend {
            Backend::Sqlite(_) => None,
            Backend::Postgres(_) => Some(Arc::new(cache)),
        };
        Self { cache, ..self }
    }

    /// Makes the tables or brings them up to date, and then what the edition allows. Safe to repeat and to run twice
    /// at once.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Connect`], [`Error::Foreign`], [`Error::NewSchema`], [`Error::Migration`].
    pub async fn migrate(url: &str) -> Result<Migrated, Error> {
        let url::Url { target, place, .. } = url::Url::parse(url)?;
        match target {
            url::Target::Sqlite(options) => {
                let (pool, applied) = sqlite::open(options, &place).await?;
                pool.close().await;
                Ok(Migrated { applied, edition: Edition::Sqlite, notes: Vec::new() })
            }
            url::Target::Postgres(options) => postgres::migrate(options, &place).await,
        }
    }

    /// Where this is, without password: `sqlite:backtest.db`, `postgres://user@host:5432/database`.
    #[must_use]
    pub fn place(&self) -> String {
        self.place.to_string()
    }

    /// What the database can do.
    #[must_use]
    pub fn edition(&self) -> Edition {
        self.edition
    }

    /// How many of its methods can be at work at once; one more waits for a connection, and not for long.
    #[must_use]
    pub fn connections(&self) -> usize {
        let most = match &self.backend {
            Backend::Sqlite(pool) => pool.options().get_max_connections(),
            Backend::Postgres(pool) => pool.options().get_max_connections(),
        };
        most as usize
    }

    /// Gives every connection back; what is under way ends first.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Sqlite(pool) => pool.close().await,
            Backend::Postgres(pool) => pool.close().await,
        }
    }

    /// Writes everything that `batches` brings, in one transaction: kept when [`Feed::End`] arrives, undone when
    /// [`Feed::Abort`] arrives, the channel closes without either, or anything fails. A bar that is there already is replaced. Every row has to have passed
    /// [`BarRow::check`], and no time may come twice.
    ///
    /// # Errors
    /// [`Error::Limit`] for a long symbol, [`Error::Aborted`], [`Error::Database`]; after one that [`Error::undone`]
    /// tells of, the same may be sent again.
    pub async fn write_bars(
        &self,
        symbol: &str,
        timeframe: Timeframe,
        batches: Receiver<Feed>,
    ) -> Result<Written, Error> {
        bars::write(self, symbol, timeframe, batches).await
    }

    /// Every stored series, by symbol and then timeframe.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn held(&self) -> Result<Vec<Held>, Error> {
        bars::held(self).await
    }

    /// Every symbol that has bars, in order: soon told, for no bar is counted.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn symbols(&self) -> Result<Vec<String>, Error> {
        bars::symbols(&mut self.begin_tx(Mode::Read, "reading which symbols are held").await?).await
    }

    /// Loads the bars of one symbol, put together from a finer timeframe where the one asked for is not stored.
    ///
    /// # Errors
    /// [`Error::NoBars`] when there are none; [`Error::Bars`] when stored ones break a rule.
    pub async fn load(&self, ask: &LoadAsk, progress: &dyn Progress) -> Result<Loaded, Error> {
        load::load(self, ask, progress).await
    }

    /// The stored rows of one series whose opening lies in `range`, ascending, in batches.
    ///
    /// # Errors
    /// [`Error::NoBars`] when the series is not stored; later errors come through the channel, as its last item.
    pub async fn stream_rows(
        &self,
        symbol: &str,
        timeframe: Timeframe,
        range: Range,
    ) -> Result<Receiver<Result<Vec<BarRow>, Error>>, Error> {
        load::stream_rows(self, symbol, timeframe, range).await
    }

    /// Judges the stored rows of one series whose opening lies in `range`, volumes included, as they lie there: rows
    /// that no run would take are found, not refused.
    ///
    /// # Errors
    /// [`Error::NoBars`] when the series is not stored, [`Error::Database`].
    pub async fn judge(
        &self,
        symbol: &str,
        timeframe: Timeframe,
        range: Range,
        progress: &dyn Progress,
    ) -> Result<sim::verdict::Verdict, Error> {
        load::judge(self, symbol, timeframe, range, progress).await
    }

    /// Writes down that a run begins, or finds the finished one with the same identity.
    ///
    /// # Errors
    /// [`Error::Limit`] for a long name, [`Error::Database`].
    pub async fn begin(&self, run: &NewRun<'_>) -> Result<Begun, Error> {
        runs::begin(self, run).await
    }

    /// Says that the run is still going; to be called about every 10 s. After 60 s without it is abandoned.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn heartbeat(&self, id: i64) -> Result<(), Error> {
        runs::heartbeat(self, id).await
    }

    /// Saves results, trades and daily equity of a run and marks it COMPLETED, all in one transaction. A run that is
    /// COMPLETED already stays as it is.
    ///
    /// # Errors
    /// [`Error::NoRun`] when it was deleted meanwhile, [`Error::Database`].
    pub async fn finish(&self, id: i64, run: &sim::Run, metrics: &Value) -> Result<(), Error> {
        runs::finish(self, id, run, metrics).await
    }

    /// Marks a run FAILED with the reason.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn fail(&self, id: i64, reason: &str) -> Result<(), Error> {
        runs::fail(self, id, reason).await
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn list(&self, filter: &ListFilter) -> Result<Vec<RunRow>, Error> {
        rows::list(self, filter).await
    }

    /// Everything about one run but its trades and equity.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn show(&self, id: i64) -> Result<Option<RunDetail>, Error> {
        rows::show(self, id).await
    }

    /// The trades of a run, in the order in which they were saved.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn trades(&self, id: i64) -> Result<Vec<TradeRow>, Error> {
        rows::trades(self, id).await
    }

    /// Daily equity of a run, ascending.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn equity(&self, id: i64) -> Result<Vec<EquityRow>, Error> {
        rows::equity(self, id).await
    }

    /// Takes the tags `remove` off runs and variants and puts `add` on, on all of them or on none; returns the tags
    /// that each has then.
    ///
    /// # Errors
    /// [`Error::NoRun`], [`Error::Limit`] for a long tag or too many of them, [`Error::Database`].
    pub async fn retag(
        &self,
        ids: &[i64],
        add: &[String],
        remove: &[String],
    ) -> Result<Vec<Vec<String>>, Error> {
        runs::retag(self, ids, add, remove).await
    }

    /// Sets the note of a run or variant; `None` takes it away.
    ///
    /// # Errors
    /// [`Error::NoRun`], [`Error::Limit`] for a long one, [`Error::Database`].
    pub async fn note(&self, id: i64, notes: Option<&str>) -> Result<(), Error> {
        runs::note(self, id, notes).await
    }

    /// Deletes runs with their results, trades and equity in one transaction; returns how many there were.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn delete(&self, ids: &[i64]) -> Result<u64, Error> {
        runs::delete(self, ids).await
    }

    async fn begin_tx(&self, mode: Mode, what: &'static str) -> Result<Tx, Error> {
        Tx::begin(&self.backend, mode, what, self.place.clone()).await
    }
}

/// Refuses a text that its column does not take.
fn limit(what: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    let given = text.chars().count();
    if given > limit { Err(Error::Limit { what, limit, given }) } else { Ok(()) }
}

/// A moment for people: the day, with the time of day when it is not midnight. UTC.
fn when(time_us: i64) -> String {
    let Some(time) = chrono::DateTime::from_timestamp_micros(time_us) else {
        return format!("{time_us} us");
    };
    let pattern = if time_us % DAY_US == 0 { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%S" };
    time.format(pattern).to_string()
}
