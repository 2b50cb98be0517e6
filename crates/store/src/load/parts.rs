//! Bars out of a server part by part: months that are kept on this machine and still true are not read again, and
//! several connections read at once what is left. All of them see one state of the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sim::timeframe::Timeframe;
use sqlx::AssertSqlSafe;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;

use super::month::{self, Month};
use crate::Store;
use crate::cache::{Cache, Found, Label};
use crate::cells::{Block, Scan};
use crate::error::Error;
use crate::postgres::out;
use crate::progress::Progress;
use crate::tx::{Arg, Conn, Mode, Tx};

/// Bars of a range from which on its months are kept: asking about a few costs as much as reading them.
const WORTH_KEEPING: i64 = 20_000;
/// Rows of a part that is not a month.
const PART_ROWS: u64 = 50_000;
/// Most connections that one load reads by.
const CONNECTIONS: usize = 4;
/// How long to wait for one more connection before going on with those there are.
const CONNECTION_LIMIT: Duration = Duration::from_secs(2);

/// What every reader of one load knows.
struct Work {
    scan: Scan,
    timeframe: Timeframe,
    /// Ascending, without gaps.
    parts: Vec<Month>,
    cache: Option<Arc<Cache>>,
    server: Arc<str>,
    next: AtomicUsize,
}

/// A part that was read.
struct Done {
    part: usize,
    rows: Block,
    /// What went wrong without harm.
    note: Option<String>,
    /// Whether something was added to the cache.
    kept: bool,
}

/// The rows of `scan`, ascending; `counted` is how many there are where that is known.
pub(super) async fn read(
    store: &Store,
    mut tx: Tx,
    timeframe: Timeframe,
    scan: Scan,
    counted: Option<u64>,
    progress: &dyn Progress,
) -> Result<Block, Error> {
    let step = timeframe.us();
    let whole = month::all(scan.from_us, scan.to_us);
    let worth = (scan.to_us - scan.from_us) / step >= WORTH_KEEPING;
    let cache = store.cache.clone().filter(|_| worth && whole.len() > 1);
    // The months are counted one by one where they are kept; else the whole is.
    let counted = match (&cache, counted) {
        (Some(_), _) => None,
        (None, None) => Some(count(&mut tx, &scan).await?),
        (None, counted) => counted,
    };
    let parts = match counted {
        None => whole,
        Some(rows) => month::equal(scan.from_us, scan.to_us, rows.div_ceil(PART_ROWS), step),
    };
    let connections = std::thread::available_parallelism().map_or(1, usize::from);
    let readers = readers(store, tx, connections.min(CONNECTIONS).min(parts.len())).await?;
    let (columns, n_parts) = (scan.columns.len(), parts.len());
    let (from_us, to_us) = (scan.from_us, scan.to_us);
    let (server, next) = (store.server.clone(), AtomicUsize::new(0));
    let symbol = scan.symbol.clone();
    let work = Arc::new(Work { scan, timeframe, parts, cache: cache.clone(), server, next });
    let (sender, receiver) = mpsc::channel(1);
    // Dropped, it ends those that are still reading.
    let mut tasks = JoinSet::new();
    for tx in readers {
        tasks.spawn(reader(tx, work.clone(), sender.clone()));
    }
    drop(sender);
    let rows = usize::try_from(counted.unwrap_or_default()).unwrap_or_default();
    let all = Block::with_capacity(columns, rows);
    progress.begin("loading bars", counted);
    let collected = collect(receiver, all, (from_us, to_us), cache.as_deref(), progress).await;
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
    let sent = all.rows() as u64;
    match counted.filter(|&counted| counted != sent) {
        None => Ok(all),
        Some(counted) => {
            Err(Error::RowCount { place: store.place(), symbol, timeframe, counted, sent })
        }
    }
}

/// How many rows `scan` will bring, in the same state of the database.
async fn count(tx: &mut Tx, scan: &Scan) -> Result<u64, Error> {
    const COUNT: &str = "SELECT count(*) AS bars FROM market_data WHERE symbol = $1 \
                         AND timeframe = $2 AND timestamp >= $3 AND timestamp < $4";
    let args = [
        Arg::text(&scan.symbol),
        Arg::text(&scan.timeframe),
        Arg::time(scan.from_us),
        Arg::time(scan.to_us),
    ];
    let row = tx.row(COUNT, &args).await?;
    row.map_or(Ok(0), |row| Ok(row.int("bars")?.unsigned_abs()))
}

/// `tx` and up to `wanted` - 1 more transactions that see what it sees. Fewer where the server has no more connections
/// to give: that is slower and nothing else.
async fn readers(store: &Store, mut tx: Tx, wanted: usize) -> Result<Vec<Tx>, Error> {
    if wanted < 2 {
        return Ok(vec![tx]);
    }
    let Some(row) = tx.row("SELECT pg_export_snapshot() AS snapshot", &[]).await? else {
        return Ok(vec![tx]);
    };
    let snapshot = row.text("snapshot")?;
    if !snapshot.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Ok(vec![tx]);
    }
    let what = tx.what;
    let mut readers = vec![tx];
    while readers.len() < wanted {
        let another = async {
            let mut tx = store.begin_tx(Mode::Read, what).await.ok()?;
            let Conn::Postgres(conn) = &mut tx.conn else { return None };
            let sql = format!("SET TRANSACTION SNAPSHOT '{snapshot}'");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **conn).await.ok()?;
            Some(tx)
        };
        match tokio::time::timeout(CONNECTION_LIMIT, another).await {
            Ok(Some(tx)) => readers.push(tx),
            _ => break,
        }
    }
    Ok(readers)
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

/// Puts the parts together in their order, and says how many there were.
async fn collect(
    mut done: Receiver<Result<Done, Error>>,
    mut all: Block,
    (from_us, to_us): (i64, i64),
    cache: Option<&Cache>,
    progress: &dyn Progress,
) -> Result<(Block, usize), Error> {
    let mut waiting = BTreeMap::new();
    let (mut next, mut kept, mut noted) = (0, false, false);
    while let Some(part) = done.recv().await {
        let part = part?;
        progress.advance(part.rows.rows() as u64);
        kept |= part.kept;
        if let Some(note) = part.note
            && !std::mem::replace(&mut noted, true)
        {
            progress.note(&note);
        }
        waiting.insert(part.part, part.rows);
        while let Some(rows) = waiting.remove(&next) {
            all.append(&rows, rows.between(from_us, to_us));
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
        let Some(cache) = &self.cache else {
            let rows = self.read(tx, month, PART_ROWS).await?;
            return Ok(Done { part, rows, note: None, kept: false });
        };
        let Some((stamp, sound)) = month::stamp(tx, &self.scan, month).await? else {
            let rows = Block::with_capacity(self.scan.columns.len(), 0);
            return Ok(Done { part, rows, note: None, kept: false });
        };
        let label = Label {
            server: self.server.to_string(),
            symbol: self.scan.symbol.clone(),
            timeframe: self.scan.timeframe.clone(),
            month: month.name.clone(),
            columns: self.scan.columns.iter().map(|c| c.name().to_owned()).collect(),
            stamp,
        };
        let mut note = None;
        // What is not sound is not told apart by its stamp.
        let found = if sound { find(cache, &label).await } else { Found::Nothing };
        match found {
            Found::Rows(rows) => return Ok(Done { part, rows, note, kept: false }),
            Found::Nothing => {}
            Found::Damaged(why) => {
                let folder = cache.folder().display();
                note = Some(format!("bars kept in `{folder}` are damaged ({why}); read again"));
            }
        }
        let counted = label.stamp.rows;
        let rows = Arc::new(self.read(tx, month, counted).await?);
        if rows.rows() as u64 != counted {
            let (symbol, sent) = (self.scan.symbol.clone(), rows.rows() as u64);
            let (place, timeframe) = (tx.place.to_string(), self.timeframe);
            return Err(Error::RowCount { place, symbol, timeframe, counted, sent });
        }
        let kept = sound && {
            let done = keep(cache, label, rows.clone()).await;
            if let Err(error) = &done {
                let folder = cache.folder().display();
                note = Some(format!("bars are not kept in `{folder}`: {error}"));
            }
            done.is_ok()
        };
        let rows = Arc::unwrap_or_clone(rows);
        Ok(Done { part, rows, note, kept })
    }

    async fn read(&self, tx: &mut Tx, month: &Month, rows: u64) -> Result<Block, Error> {
        let scan = Scan { from_us: month.from_us, to_us: month.to_us, ..self.scan.clone() };
        let Conn::Postgres(conn) = &mut tx.conn else { return Ok(Block::new(scan.columns.len())) };
        let rows = usize::try_from(rows).unwrap_or_default();
        let done = out::bars_whole(conn, &scan, rows).await;
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
