//! Keeping sweeps: beginning one, its blocks and who has them, whole blocks of variants in one transaction, deleting.
//! No grid, objective or metric is known here: the caller says which variants there are and which are best.

mod lease;
mod read;
mod save;
mod server;

use serde_json::Value;

use crate::error::Error;
use crate::runs::{self, Erasure, MAX_NAME, MAX_USER, StrategyRow, erasure};
use crate::tx::{Arg, Conn, Mode, Tx};
use crate::{Store, limit};

pub use crate::runs::save::Lists;
pub use lease::{Claim, LEASE_US, Owner};
pub use read::{Score, SweepRow, VariantRow};
pub use save::{BlockRows, NewVariant, Saved};

/// Most variants of one block: they are held in memory and saved in one transaction.
pub const MAX_BLOCK: usize = 65_536;

/// A stretch of variants that is simulated and saved together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewBlock {
    /// First index, and the first one behind.
    pub first_idx: u64,
    pub end_idx: u64,
    pub n_variants: usize,
}

/// A sweep that is about to begin.
#[derive(Clone, Debug)]
pub struct NewSweep<'a> {
    /// Who it belongs to; made if there is no such user.
    pub user: &'a str,
    pub strategy: StrategyRow,
    pub name: String,
    /// Everything that a worker has to know.
    pub definition: Value,
    /// Hash of everything that decides which variants there are and what they give.
    pub identity: String,
    pub engine_version: String,
    pub blocks: &'a [NewBlock],
}

/// What to do when a sweep of the same identity is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// Go on with the newest.
    Resume,
    /// Begin another one.
    New,
}

/// The sweep that a worker works for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BegunSweep {
    pub id: i64,
    /// It was there before.
    pub existed: bool,
}

const FIND: &str = "SELECT id, copy FROM sweeps WHERE user_id = $1 AND identity = $2 \
                    ORDER BY copy DESC LIMIT 1";
const ADD: &str = "INSERT INTO sweeps (user_id, strategy_id, name, definition, identity, copy, \
     engine_version, n_variants, status, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'RUNNING', $9) \
     ON CONFLICT (user_id, identity, copy) DO NOTHING RETURNING id";
// What does not decide the variants may be asked differently each time.
const GO_ON: &str = "UPDATE sweeps SET definition = $2, name = $3, \
                     status = CASE WHEN status = 'CANCELLED' THEN 'RUNNING' ELSE status END \
                     WHERE id = $1";
const ADD_BLOCK: &str = "INSERT INTO sweep_blocks (sweep_id, block, first_idx, end_idx, n_variants) \
                         VALUES ($1, $2, $3, $4, $5)";
const REOPEN: &str = "UPDATE sweeps SET status = 'RUNNING' WHERE id = $1 AND status = 'CANCELLED'";
const CANCEL: &str = "UPDATE sweeps SET status = 'CANCELLED' WHERE id = $1 AND status = 'RUNNING'";
const COMPLETE: &str = "UPDATE sweeps SET status = 'COMPLETED', completed_at = $2 \
     WHERE id = $1 AND status = 'RUNNING' AND NOT EXISTS \
     (SELECT 1 FROM sweep_blocks WHERE sweep_id = $1 AND completed_at IS NULL)";
const VARIANTS: Erasure = erasure!("sweep_id = $1");
const DELETE_BLOCKS: &str = "DELETE FROM sweep_blocks WHERE sweep_id = $1";
const DELETE: &str = "DELETE FROM sweeps WHERE id = $1";
const KEEP_TABLE: &str = "CREATE TEMP TABLE IF NOT EXISTS kept_variants (id BIGINT PRIMARY KEY)";
const KEEP_CLEAR: &str = "DELETE FROM kept_variants";
const KEEP_ONE: &str = "INSERT INTO kept_variants (id) VALUES ($1)";
const PRUNED: Erasure = erasure!("sweep_id = $1 AND id NOT IN (SELECT id FROM kept_variants)");

impl Store {
    /// Writes down a sweep with its blocks, or finds the one with the same identity. Safe for several at once: all
    /// find the same sweep.
    ///
    /// # Errors
    /// [`Error::Limit`] for a long name, [`Error::Database`].
    pub async fn begin_sweep(
        &self,
        sweep: &NewSweep<'_>,
        if_exists: IfExists,
    ) -> Result<BegunSweep, Error> {
        limit("user name", sweep.user, MAX_USER)?;
        limit("sweep name", &sweep.name, MAX_NAME)?;
        let mut tx = self.begin_tx(Mode::Write, "beginning a sweep").await?;
        let user = Arg::int(runs::user(&mut tx, sweep.user).await?);
        let found = tx.row(FIND, &[user, Arg::text(&sweep.identity)]).await?;
        let copy = match &found {
            Some(row) if if_exists == IfExists::New => row.int("copy")? + 1,
            Some(row) => {
                let id = row.int("id")?;
                go_on(&mut tx, id, sweep).await?;
                tx.commit().await?;
                return Ok(BegunSweep { id, existed: true });
            }
            None => 1,
        };
        if let Some(id) = add(&mut tx, user, sweep, copy).await? {
            tx.commit().await?;
            return Ok(BegunSweep { id, existed: false });
        }
        // Another program has just begun the same sweep.
        let found = tx.row(FIND, &[user, Arg::text(&sweep.identity)]).await?;
        let row = found.ok_or_else(|| tx.failed(sqlx::Error::RowNotFound))?;
        Ok(BegunSweep { id: row.int("id")?, existed: true })
    }

    /// The newest sweep of `user` with this identity.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn find_sweep(&self, user: &str, identity: &str) -> Result<Option<i64>, Error> {
        const SQL: &str = "SELECT s.id FROM sweeps s JOIN users u ON u.id = s.user_id \
             WHERE u.username = $1 AND s.identity = $2 ORDER BY s.copy DESC LIMIT 1";
        let mut tx = self.begin_tx(Mode::Read, "looking for a sweep").await?;
        let row = tx.row(SQL, &[Arg::text(user), Arg::text(identity)]).await?;
        row.map(|row| row.int("id")).transpose()
    }

    /// A cancelled sweep runs again.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn reopen_sweep(&self, id: i64) -> Result<(), Error> {
        self.change_sweep(REOPEN, id).await.map(|_| ())
    }

    /// Tells every worker to stop after the blocks it has; false when it does not run.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn cancel_sweep(&self, id: i64) -> Result<bool, Error> {
        self.change_sweep(CANCEL, id).await
    }

    /// Marks a sweep COMPLETED when every block is saved; false when one is not, or it does not run.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn complete_sweep(&self, id: i64) -> Result<bool, Error> {
        let mut tx = self.begin_tx(Mode::Write, "completing a sweep").await?;
        let now_us = tx.now_us().await?;
        let done = tx.execute(COMPLETE, &[Arg::int(id), Arg::time(now_us)]).await?;
        tx.commit().await?;
        Ok(done > 0)
    }

    /// Deletes a sweep with all its variants; returns how many variants there were.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn delete_sweep(&self, id: i64) -> Result<u64, Error> {
        let mut tx = self.begin_tx(Mode::Write, "deleting a sweep").await?;
        // First of all, so that whoever saves a block ends before, or finds that it is gone.
        tx.execute(DELETE_BLOCKS, &[Arg::int(id)]).await?;
        let variants = runs::erase(&mut tx, &VARIANTS, id).await?;
        tx.execute(DELETE, &[Arg::int(id)]).await?;
        tx.commit().await?;
        Ok(variants)
    }

    /// Deletes every variant of a sweep but those of `keep`; the sweep and its counts stay. Returns how many it
    /// deleted.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn prune_sweep(&self, id: i64, keep: &[i64]) -> Result<u64, Error> {
        let mut tx = self.begin_tx(Mode::Write, "pruning a sweep").await?;
        tx.execute(KEEP_TABLE, &[]).await?;
        tx.execute(KEEP_CLEAR, &[]).await?;
        for &id in keep {
            tx.execute(KEEP_ONE, &[Arg::int(id)]).await?;
        }
        let deleted = runs::erase(&mut tx, &PRUNED, id).await?;
        tx.execute(KEEP_CLEAR, &[]).await?;
        tx.commit().await?;
        Ok(deleted)
    }

    async fn change_sweep(&self, sql: &'static str, id: i64) -> Result<bool, Error> {
        let mut tx = self.begin_tx(Mode::Write, "changing a sweep").await?;
        let changed = tx.execute(sql, &[Arg::int(id)]).await?;
        tx.commit().await?;
        Ok(changed > 0)
    }
}

async fn go_on(tx: &mut Tx, id: i64, sweep: &NewSweep<'_>) -> Result<(), Error> {
    // The blocks are those it began with.
    const BLOCK: &str = "SELECT definition FROM sweeps WHERE id = $1";
    let mut definition = sweep.definition.clone();
    if let Some(row) = tx.row(BLOCK, &[Arg::int(id)]).await?
        && let Some(block) = row.opt_json("definition")?.and_then(|d| d.get("block").cloned())
    {
        definition["block"] = block;
    }
    let args = [Arg::int(id), Arg::json(&definition), Arg::text(&sweep.name)];
    tx.execute(GO_ON, &args).await.map(|_| ())
}

async fn add(
    tx: &mut Tx,
    user: Arg<'_>,
    sweep: &NewSweep<'_>,
    copy: i64,
) -> Result<Option<i64>, Error> {
    let now_us = tx.now_us().await?;
    let strategy = Arg::int(runs::save_strategy(tx, user, &sweep.strategy, now_us).await?);
    let n_variants: usize = sweep.blocks.iter().map(|block| block.n_variants).sum();
    let args = [
        user,
        strategy,
        Arg::text(&sweep.name),
        Arg::json(&sweep.definition),
        Arg::text(&sweep.identity),
        Arg::int(copy),
        Arg::text(&sweep.engine_version),
        Arg::int(whole(n_variants as u64)),
        Arg::time(now_us),
    ];
    let Some(row) = tx.row(ADD, &args).await? else { return Ok(None) };
    let id = row.int("id")?;
    add_blocks(tx, id, sweep.blocks).await?;
    Ok(Some(id))
}

async fn add_blocks(tx: &mut Tx, id: i64, blocks: &[NewBlock]) -> Result<(), Error> {
    if let Conn::Postgres(conn) = &mut tx.conn {
        let done = server::copy_blocks(conn, id, blocks).await;
        return done.map_err(|source| tx.failed(source));
    }
    for (nth, block) in blocks.iter().enumerate() {
        let args = [
            Arg::int(id),
            Arg::int(whole(nth as u64)),
            Arg::int(whole(block.first_idx)),
            Arg::int(whole(block.end_idx)),
            Arg::int(whole(block.n_variants as u64)),
        ];
        tx.execute(ADD_BLOCK, &args).await?;
    }
    Ok(())
}

/// An index or count as its column takes it; both stay far below 2^63.
fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A column that never holds a negative number.
fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}
