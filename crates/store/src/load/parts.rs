//! Bars out of a server part by part: months that are kept on this machine and still true are not read again, and
//! several connections read at once what is left. All of them see one state of the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sim::timeframe::{DAY_US, Timeframe};
use sqlx::AssertSqlSafe;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::{JoinHandle, JoinSet};

use super::LoadAsk;
use super::month::{self, Month};
use crate::Store;
use crate::bars::Held;
use crate::cache::{Cache, Found, Label};
use crate::cells::{Block, Scan};
use crate::error::Error;
use crate::postgres::out::{self, Literals};
use crate::progress::Progress;
use crate::tx::{Conn, Mode, Tx};

/// Bars of a range from which on its months are kept: asking about a few costs as much as reading them.
const WORTH_KEEPING: i64 = 20_000;
/// Rows of a part that is not a month. Parts lie in memory beside the columns that they become, some for each connection.
const PART_ROWS: u64 = 20_000;
/// Most connections that one load reads by anywhere.
const CONNECTIONS: usize = 4;
/// Length of a range from which on more connections are begun before it is known how many bars it has, microseconds:
/// that of [`WORTH_KEEPING`] minutes.
const LONG_US: i64 = WORTH_KEEPING * 60_000_000;
/// What every reader of one load knows.
struct Work {
    scan: Scan,
    literals: Literals,
    timeframe: Timeframe,
    /// Ascending, without gaps.
    parts: Vec<Month>,
    cache: Option<Arc<Cache>>,
    server: Arc<str>,
    next: AtomicUsize,
}

/// Rows, and how long it took to have them beyond reading: see [`super::Took`].
#[derive(Default)]
pub(super) struct Read {
    pub(super) rows: Block,
    pub(super) asking: Duration,
    pub(super) kept: Duration,
}

/// A part that was read.
#[derive(Default)]
struct Done {
    part: usize,
    rows: Block,
    asking: Duration,
    from_file: Duration,
    /// What went wrong without harm.
    note: Option<String>,
    /// Whether something was added to the cache.
    kept: bool,
}

/// The rows of `scan`, ascending; `source` is the series that they belong to.
pub(super) async fn read(
    store: &Store,
    mut tx: Tx,
    ahead: Ahead,
    source: &Held,
    scan: Scan,
    progress: &dyn Progress,
) -> Result<Read, Error> {
    let (timeframe, step, what) = (source.timeframe, source.timeframe.us(), tx.what);
    let places = (scan.to_us - scan.from_us) / step;
    let whole = month::all(scan.from_us, scan.to_us);
    let worth = places >= WORTH_KEEPING && whole.len() > 1;
    let cache = store.cache.clone().filter(|_| worth);
    let parts = match cache {
        Some(_) => whole,
        None => {
            // At midnight, as chunks are: one that two parts share would be opened and, compressed, unpacked twice.
            let (n, days) = (places.unsigned_abs().div_ceil(PART_ROWS), step.max(DAY_US));
            month::equal(scan.from_us, scan.to_us, n, days)
        }
    };
    let literals = out::literals(&mut tx, &scan).await?;
    let more = connections().min(parts.len()).saturating_sub(1);
    let coming = if ahead.coming.is_empty() { connect(store, &mut tx, more).await? } else { ahead };
    let (columns, n_parts) = (scan.columns.len(), parts.len());
    let (from_us, to_us) = (scan.from_us, scan.to_us);
    let (server, next) = (store.server.clone(), AtomicUsize::new(0));
    let place = store.place();
    let work =
        Arc::new(Work { scan, literals, timeframe, parts, cache: cache.clone(), server, next });
    let (sender, receiver) = mpsc::channel(1);
    // Dropped, it ends those that are still reading.
    let mut tasks = JoinSet::new();
    for coming in coming.coming.into_iter().take(more) {
        tasks.spawn(later(coming, work.clone(), sender.clone()));
    }
    tasks.spawn(reader(tx, work, sender));
    let all = Block::with_room(columns, places);
    progress.begin("loading bars", Some(places.unsigned_abs()));
    let collected =
        collect(receiver, n_parts, all, (from_us, to_us), cache.as_deref(), progress).await;
    progress.end();
    let (all, got) = collected?;
    if got != n_parts {
        // A reader that panicked sent nothing.
        while let Some(joined) = tasks.join_next().await {
            if let Err(error) = joined
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
    match astray(&all.rows, source, from_us, to_us) {
        None => Ok(all),
        Some(why) => Err(Error::Database { what, place, source: sqlx::Error::Protocol(why) }),
    }
}

/// Why rows cannot be all there are between two times: they do not begin and end where `source` does. That none is lost
/// between, and that the last one was the last, the server says by the end mark of each of its streams.
fn astray(rows: &Block, source: &Held, from_us: i64, to_us: i64) -> Option<String> {
    let first = rows.time_us.first().copied();
    let end = rows.time_us.last().map(|us| us + source.timeframe.us());
    let lacks = |wanted: bool, is: Option<i64>, of: i64| (wanted && is != Some(of)).then_some(of);
    let lacking = lacks(from_us <= source.from_us, first, source.from_us)
        .or_else(|| lacks(to_us >= source.to_us, end, source.to_us))?;
    Some(format!("not all rows came: the series begins or ends at {}", crate::when(lacking)))
}

/// Most connections that one load reads by here.
fn connections() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(CONNECTIONS)
}

/// More transactions that see what one sees, on their way while that one is asked other things.
#[derive(Default)]
pub(super) struct Ahead {
    coming: Vec<JoinHandle<Option<Tx>>>,
}

/// Begins to connect where `ask` may mean many bars.
pub(super) async fn ahead(store: &Store, tx: &mut Tx, ask: &LoadAsk) -> Result<Ahead, Error> {
    let length = ask.from_us.zip(ask.to_us).map(|(from_us, to_us)| to_us.saturating_sub(from_us));
    let is_long = length.is_none_or(|us| us >= LONG_US);
    connect(store, tx, if is_long { connections() - 1 } else { 0 }).await
}

/// Begins to make `n` more transactions that see what `tx` sees.
async fn connect(store: &Store, tx: &mut Tx, n: usize) -> Result<Ahead, Error> {
    let mut ahead = Ahead::default();
    let Conn::Postgres(_) = tx.conn else { return Ok(ahead) };
    if n == 0 {
        return Ok(ahead);
    }
    let Some(row) = tx.row("SELECT pg_export_snapshot() AS snapshot", &[]).await? else {
        return Ok(ahead);
    };
    let snapshot = row.text("snapshot")?;
    if snapshot.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        let what = tx.what;
        let another = || tokio::spawn(another(store.clone(), what, snapshot.clone()));
        ahead.coming.extend(std::iter::repeat_with(another).take(n));
    }
    Ok(ahead)
}

/// A transaction that sees `snapshot`; `None` where the server gives none, or nobody is left who sees it.
async fn another(store: Store, what: &'static str, snapshot: String) -> Option<Tx> {
    let mut tx = store.begin_tx(Mode::Read, what).await.ok()?;
    let Conn::Postgres(conn) = &mut tx.conn else { return None };
    let sql = format!("SET TRANSACTION SNAPSHOT '{snapshot}'");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **conn).await.ok()?;
    Some(tx)
}

/// Joins the readers as soon as it has a connection. Where the server has none to give, or is slow to, the others read
/// all: that is slower and nothing else.
async fn later(
    coming: JoinHandle<Option<Tx>>,
    work: Arc<Work>,
    sender: Sender<Result<Done, Error>>,
) {
    if let Ok(Some(tx)) = coming.await {
        reader(tx, work, sender).await;
    }
}

/// Reads one part after the other until none is left or nobody listens.
async fn reader(mut tx: Tx, work: Arc<Work>, sender: Sender<Result<Done, Error>>) {
    loop {
        let part = work.next.fetch_add(1, Ordering::Relaxed);
        let Some(month) = work.parts.get(part) else { return };
        let done = work.part(&mut tx, part, month).await;
        let failed = done.is_err();
        if sender.send(done).await.is_err() || failed {
            return;
        }
    }
}

/// Puts `n` parts together in their order, and says how many there were.
async fn collect(
    mut done: Receiver<Result<Done, Error>>,
    n: usize,
    rows: Block,
    (from_us, to_us): (i64, i64),
    cache: Option<&Cache>,
    progress: &dyn Progress,
) -> Result<(Read, usize), Error> {
    let mut all = Read { rows, ..Read::default() };
    let mut waiting = BTreeMap::new();
    let (mut next, mut kept, mut noted) = (0, false, false);
    // Not until nobody is left who might send: one may still be waiting for its connection.
    while next < n
        && let Some(part) = done.recv().await
    {
        let part = part?;
        progress.advance(part.rows.rows() as u64);
        all.asking += part.asking;
        all.kept += part.from_file;
        kept |= part.kept;
        if let Some(note) = part.note
            && !std::mem::replace(&mut noted, true)
        {
            progress.note(&note);
        }
        waiting.insert(part.part, part.rows);
        while let Some(rows) = waiting.remove(&next) {
            all.rows.append(&rows, rows.between(from_us, to_us));
            next += 1;
        }
    }
    // That it grew too large does no harm to this load.
    if let (true, Some(cache)) = (kept, cache)
        && let Err(error) = cache.prune()
    {
        progress.note(&format!("old bars in `{}` stay: {error}", cache.folder().display()));
    }
    Ok((all, next))
}

impl Work {
    async fn part(&self, tx: &mut Tx, part: usize, month: &Month) -> Result<Done, Error> {
        let mut done = Done { part, ..Done::default() };
        let Some(cache) = &self.cache else {
            let places = (month.to_us - month.from_us) / self.timeframe.us();
            // Of seconds a day is four parts and more.
            let rows = places.unsigned_abs().min(5 * PART_ROWS);
            done.rows = self.read(tx, month, rows).await?;
            return Ok(done);
        };
        let begun = Instant::now();
        let stamp = month::stamp(tx, &self.scan, month).await?;
        done.asking = begun.elapsed();
        let Some((stamp, sound)) = stamp else {
            done.rows = Block::with_capacity(self.scan.columns.len(), 0);
            return Ok(done);
        };
        let label = Label {
            server: self.server.to_string(),
            symbol: self.scan.symbol.clone(),
            timeframe: self.scan.timeframe.clone(),
            month: month.name.clone(),
            columns: self.scan.columns.iter().map(|c| c.name().to_owned()).collect(),
            stamp,
        };
        let begun = Instant::now();
        // What is not sound is not told apart by its stamp.
        let found = if sound { find(cache, &label).await } else { Found::Nothing };
        match found {
            Found::Rows(rows) => return Ok(Done { rows, from_file: begun.elapsed(), ..done }),
            Found::Nothing => {}
            Found::Damaged(why) => {
                let folder = cache.folder().display();
                done.note =
                    Some(format!("bars kept in `{folder}` are damaged ({why}); read again"));
            }
        }
        let counted = label.stamp.rows;
        let rows = Arc::new(self.read(tx, month, counted).await?);
        if rows.rows() as u64 != counted {
            let (symbol, sent) = (self.scan.symbol.clone(), rows.rows() as u64);
            let (place, timeframe) = (tx.place.to_string(), self.timeframe);
            return Err(Error::RowCount { place, symbol, timeframe, counted, sent });
        }
        if sound {
            match keep(cache, label, rows.clone()).await {
                Ok(()) => done.kept = true,
                Err(error) => {
                    let folder = cache.folder().display();
                    done.note = Some(format!("bars are not kept in `{folder}`: {error}"));
                }
            }
        }
        done.rows = Arc::unwrap_or_clone(rows);
        Ok(done)
    }

    async fn read(&self, tx: &mut Tx, month: &Month, rows: u64) -> Result<Block, Error> {
        let scan = Scan { from_us: month.from_us, to_us: month.to_us, ..self.scan.clone() };
        let Conn::Postgres(conn) = &mut tx.conn else { return Ok(Block::new(scan.columns.len())) };
        let rows = usize::try_from(rows).unwrap_or_default();
        let done = out::bars_whole(conn, &scan, &self.literals, rows).await;
        done.map_err(|broken| broken.error(tx.what, &tx.place, &scan))
    }
}

async fn find(cache: &Arc<Cache>, label: &Label) -> Found {
    let (cache, label) = (cache.clone(), label.clone());
    let found = tokio::task::spawn_blocking(move || cache.find(&label)).await;
    found.unwrap_or_else(|error| Found::Damaged(error.to_string()))
}

async fn keep(cache: &Arc<Cache>, label: Label, rows: Arc<Block>) -> std::io::Result<()> {
    let cache = cache.clone();
    let done = tokio::task::spawn_blocking(move || cache.keep(&label, &rows)).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
