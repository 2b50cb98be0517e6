//! Bars out of a SQLite file by two connections at once, which see one state of it.

use tokio::sync::Mutex;

use super::scan;
use crate::cells::{Block, Scan};
use crate::error::Error;
use crate::progress::Progress;
use crate::tx::{Conn, Mode, Tx};
use crate::{Backend, Store};

/// Length of a range, in bars, from which on two read it.
const WORTH_TWO: i64 = 20_000;
/// Changes for a connection when another one commits; to ask begins what a transaction sees.
const VERSION: &str = "PRAGMA data_version";

/// Held while a load that has a connection waits for its second one. All but one go on with what they have, and end: if
/// each waited, all connections could be held by those that wait.
static WAITING: Mutex<()> = Mutex::const_new(());

/// Another transaction that sees exactly what `tx` sees, of which nothing has been read yet. None on a server, on a
/// machine of one core, when other loads need the connections, and when somebody committed just now.
pub(super) async fn second(store: &Store, tx: &mut Tx) -> Result<Option<Tx>, Error> {
    let Backend::Sqlite(pool) = &store.backend else { return Ok(None) };
    let most = pool.options().get_max_connections();
    if most < 2 || std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Ok(None);
    }
    let is_free = pool.size() < most || pool.num_idle() > 0;
    let (true, Ok(_waiting)) = (is_free, WAITING.try_lock()) else { return Ok(None) };
    // `tx` looks before the other one begins and, begun anew, after it: where both are alike, nobody has committed
    // between, so the other one cannot see anything else.
    let before = version(tx).await?;
    let mut other = store.begin_tx(Mode::Read, tx.what).await?;
    version(&mut other).await?;
    if let Conn::Sqlite(conn) = &mut tx.conn {
        let again = sqlx::raw_sql("COMMIT; BEGIN").execute(&mut **conn).await;
        again.map_err(|source| tx.failed(source))?;
    }
    Ok((version(tx).await? == before).then_some(other))
}

async fn version(tx: &mut Tx) -> Result<Option<i64>, Error> {
    tx.row(VERSION, &[]).await?.map(|row| row.int("data_version")).transpose()
}

/// The rows of `scan`, half of its time by `second` where there is one. An embedded file is not asked for their number
/// first: there no network can lose a row, the loop over them ends in an error or at the end, and counting would double
/// the time.
pub(super) async fn read(
    tx: Tx,
    second: Option<Tx>,
    scan: Scan,
    step_us: i64,
    progress: &dyn Progress,
) -> Result<Block, Error> {
    let bars = (scan.to_us - scan.from_us) / step_us;
    progress.begin("loading bars", None);
    let room = |bars: i64| Block::with_room(scan.columns.len(), bars);
    let (whole, half) = (room(bars), room(bars - bars / 2));
    let done = match second.filter(|_| bars >= WORTH_TWO) {
        None => one(tx, scan, whole, progress).await,
        Some(second) => {
            let middle_us = scan.from_us + bars / 2 * step_us;
            let later = Scan { from_us: middle_us, ..scan.clone() };
            let earlier = Scan { to_us: middle_us, ..scan };
            let both =
                tokio::join!(one(tx, earlier, whole, progress), one(second, later, half, progress));
            both.0.and_then(|mut all| {
                all.extend(both.1?);
                Ok(all)
            })
        }
    };
    progress.end();
    done
}

/// Adds the rows of `scan` to `all`.
async fn one(tx: Tx, scan: Scan, mut all: Block, progress: &dyn Progress) -> Result<Block, Error> {
    let mut blocks = scan::start(tx, scan);
    while let Some(block) = blocks.recv().await {
        let block = block?;
        progress.advance(block.rows() as u64);
        all.extend(block);
    }
    Ok(all)
}
