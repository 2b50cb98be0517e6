//! Who has which block: taking one, signs of life, giving back, and telling a dead worker from a slow one.
//! A block taken twice is simulated twice and saved once: nothing here is needed for that, only for speed.

use crate::Store;
use crate::error::Error;
use crate::tx::{Arg, Conn, Mode};

use super::unsigned;

/// How long a block belongs to a worker that gives no sign of life, microseconds.
pub const LEASE_US: i64 = 60_000_000;
/// Most characters of an owner.
const MAX_OWNER: usize = 200;

/// A worker, told apart from every other one on every machine: host, process, and when that process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// This process.
    #[must_use]
    pub fn me() -> Self {
        let pid = std::process::id();
        let start = started(pid).unwrap_or_default();
        Self(format!("{}:{pid}:{start}", host()).chars().take(MAX_OWNER).collect())
    }

    /// As it stands in `sweep_blocks`.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Whether it was a process of this machine that is no more. Of another machine only its silence tells.
    #[must_use]
    pub fn is_dead(text: &str) -> bool {
        let mut parts = text.rsplitn(3, ':');
        let (start, pid, on) = (parts.next(), parts.next(), parts.next());
        let (Some(start), Some(Ok(pid)), Some(on)) = (start, pid.map(str::parse::<u32>), on) else {
            return false;
        };
        // Without its start a process cannot be told from a later one with its number.
        on == host() && !start.is_empty() && started(pid).as_deref() != Some(start)
    }
}

fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // Two machines may share a name, never the number that the kernel drew when it started.
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // Containers of one machine see their own processes only.
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{name}/{}/{}", boot.trim(), space.display()).replace(':', "-")
}

/// When process `pid` began, in the kernel's ticks; `None` when there is none, or no /proc.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows is apart by spaces, the state first.
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
    let state = rest.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // The 22nd field of the line; the state was the third.
    rest.nth(18).map(str::to_owned)
}

/// A block that is now this worker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub block: i64,
    pub first_idx: u64,
    pub end_idx: u64,
    pub n_variants: u64,
}

macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "UPDATE sweep_blocks SET owner = $2, heartbeat_at = $3 WHERE sweep_id = $1 AND block = \
             (SELECT b.block FROM sweep_blocks b JOIN sweeps s ON s.id = b.sweep_id \
             WHERE b.sweep_id = $1 AND s.status = 'RUNNING' AND b.completed_at IS NULL \
             AND (b.owner IS NULL OR b.heartbeat_at < $4) AND b.block >= $5 AND b.block < $6 \
             ORDER BY b.block LIMIT 1",
            $lock,
            ") RETURNING block, first_idx, end_idx, n_variants"
        )
    };
}
/// SQLite has one writer at a time.
const CLAIM_SQLITE: &str = claim!("");
const CLAIM_POSTGRES: &str = claim!(" FOR UPDATE OF b SKIP LOCKED");
/// Once every block is saved, trades are: then nobody has a block, and the first one tells that somebody lives.
const BEAT: &str = "UPDATE sweep_blocks SET heartbeat_at = $3 WHERE sweep_id = $1 \
                    AND (owner = $2 AND completed_at IS NULL OR block = 0 AND NOT EXISTS \
                    (SELECT 1 FROM sweep_blocks b WHERE b.sweep_id = $1 AND b.completed_at IS NULL))";
const RELEASE: &str = "UPDATE sweep_blocks SET heartbeat_at = NULL, \
                       owner = CASE WHEN completed_at IS NOT NULL THEN owner END \
                       WHERE sweep_id = $1 AND (owner = $2 AND completed_at IS NULL \
                       OR heartbeat_at > completed_at)";
const OWNERS: &str = "SELECT DISTINCT owner FROM sweep_blocks \
                      WHERE sweep_id = $1 AND completed_at IS NULL AND owner IS NOT NULL";
const OPEN: &str = "SELECT count(*) AS n FROM sweep_blocks b JOIN sweeps s ON s.id = b.sweep_id \
     WHERE b.sweep_id = $1 AND s.status = 'RUNNING' AND b.completed_at IS NULL AND b.block >= $2 \
     AND b.block < $3";

impl Store {
    /// Takes the first block with a number in `blocks` that is neither saved nor anybody's; `None` when there is none
    /// or the sweep was cancelled.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn claim_block(
        &self,
        sweep: i64,
        owner: &Owner,
        blocks: std::ops::Range<i64>,
    ) -> Result<Option<Claim>, Error> {
        let mut tx = self.begin_tx(Mode::Write, "taking a block").await?;
        let now_us = tx.now_us().await?;
        let sql = match tx.conn {
            Conn::Sqlite(_) => CLAIM_SQLITE,
            Conn::Postgres(_) => CLAIM_POSTGRES,
        };
        let args = [
            Arg::int(sweep),
            Arg::text(&owner.0),
            Arg::time(now_us),
            Arg::time(now_us - LEASE_US),
            Arg::int(blocks.start),
            Arg::int(blocks.end),
        ];
        let Some(row) = tx.row(sql, &args).await? else { return Ok(None) };
        let claim = Claim {
            block: row.int("block")?,
            first_idx: unsigned(row.int("first_idx")?),
            end_idx: unsigned(row.int("end_idx")?),
            n_variants: unsigned(row.int("n_variants")?),
        };
        tx.commit().await?;
        Ok(Some(claim))
    }

    /// Says that `owner` still works on its blocks, or on the trades once all are saved; to be called about every 10 s.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn beat_blocks(&self, sweep: i64, owner: &Owner) -> Result<(), Error> {
        let mut tx = self.begin_tx(Mode::Write, "giving a sign of life").await?;
        let now_us = tx.now_us().await?;
        tx.execute(BEAT, &[Arg::int(sweep), Arg::text(&owner.0), Arg::time(now_us)]).await?;
        tx.commit().await
    }

    /// Gives back the blocks that `owner` has not saved, and takes back its sign of life.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn release_blocks(&self, sweep: i64, owner: &Owner) -> Result<(), Error> {
        self.release(sweep, &owner.0).await
    }

    /// Gives back the blocks of workers of this machine that are no more.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn release_dead(&self, sweep: i64) -> Result<(), Error> {
        let mut tx = self.begin_tx(Mode::Read, "looking for dead workers").await?;
        let rows = tx.rows(OWNERS, &[Arg::int(sweep)]).await?;
        drop(tx);
        for row in rows {
            let owner = row.text("owner")?;
            if Owner::is_dead(&owner) {
                self.release(sweep, &owner).await?;
            }
        }
        Ok(())
    }

    /// Blocks with a number in `blocks` that are not saved yet; 0 for a cancelled sweep.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn open_blocks(
        &self,
        sweep: i64,
        blocks: std::ops::Range<i64>,
    ) -> Result<u64, Error> {
        let mut tx = self.begin_tx(Mode::Read, "counting blocks").await?;
        let args = [Arg::int(sweep), Arg::int(blocks.start), Arg::int(blocks.end)];
        match tx.row(OPEN, &args).await? {
            Some(row) => Ok(unsigned(row.int("n")?)),
            None => Ok(0),
        }
    }

    async fn release(&self, sweep: i64, owner: &str) -> Result<(), Error> {
        let mut tx = self.begin_tx(Mode::Write, "giving blocks back").await?;
        tx.execute(RELEASE, &[Arg::int(sweep), Arg::text(owner)]).await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_alive_until_its_process_is_gone() {
        let Owner(me) = Owner::me();
        assert!(!Owner::is_dead(&me), "{me}");
        if started(std::process::id()).is_none() {
            return;
        }
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let start = started(child.id()).unwrap();
        let owner = format!("{}:{}:{start}", host(), child.id());
        assert!(!Owner::is_dead(&owner));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Owner::is_dead(&owner));
        assert!(Owner::is_dead(&format!("{}:{}:1", host(), std::process::id())), "another one");
        assert!(!Owner::is_dead("elsewhere:1:1"), "of another machine nothing is known");
    }
}
