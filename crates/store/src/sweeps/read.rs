//! Reading sweeps back: what they are, how far they are, and their variants page by page.
//! Nothing is sorted or judged here.

use serde_json::Value;
use sqlx::{AssertSqlSafe, SqlSafeStr};

use crate::Store;
use crate::error::Error;
use crate::rows::{ABANDONED_US, Results, results};
use crate::tx::{Arg, Mode, Row, Tx};

use super::{unsigned, whole};

/// A sweep and how far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepRow {
    pub id: i64,
    pub user_id: i64,
    pub strategy_id: Option<i64>,
    pub name: String,
    pub user: Option<String>,
    pub strategy: Option<String>,
    pub definition: Value,
    /// RUNNING, COMPLETED, CANCELLED; STOPPED is a RUNNING one that no worker gives signs of life for.
    pub status: String,
    pub engine_version: String,
    pub n_variants: u64,
    /// Variants saved as COMPLETED and as FAILED, pruned ones included.
    pub n_completed: u64,
    pub n_failed: u64,
    pub n_blocks: i64,
    pub n_blocks_done: i64,
    /// Microseconds UTC.
    pub created_us: i64,
    pub completed_us: Option<i64>,
}

/// A variant of a sweep as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct VariantRow {
    /// Of `backtests`.
    pub id: i64,
    pub idx: u64,
    pub symbol: String,
    pub timeframe: String,
    /// What differs from variant to variant.
    pub parameters: Value,
    /// COMPLETED or FAILED.
    pub status: String,
    pub error: Option<String>,
    pub results: Option<Results>,
    /// Whether its trades and daily equity are kept.
    pub has_trades: bool,
}

/// What a variant is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Of `backtests`.
    pub id: i64,
    pub idx: u64,
    /// In the order in which they were asked for; lengths of time in seconds.
    pub metrics: Vec<Option<f64>>,
}

macro_rules! sweep_sql {
    ($tail:literal) => {
        concat!(
            "SELECT s.id, s.user_id, s.strategy_id, s.name, u.username, t.name AS strategy, \
             s.definition, s.status, s.engine_version, s.n_variants, s.created_at, s.completed_at, \
             b.n_completed, b.n_failed, b.blocks, b.done, b.alive_at FROM sweeps s \
             LEFT JOIN users u ON u.id = s.user_id LEFT JOIN strategies t ON t.id = s.strategy_id \
             LEFT JOIN (SELECT sweep_id, coalesce(sum(n_completed), 0) AS n_completed, \
             coalesce(sum(n_failed), 0) AS n_failed, count(*) AS blocks, \
             count(completed_at) AS done, \
             max(CASE WHEN completed_at IS NULL OR heartbeat_at > completed_at \
             THEN heartbeat_at END) AS alive_at \
             FROM sweep_blocks GROUP BY sweep_id) b ON b.sweep_id = s.id ",
            $tail
        )
    };
}
const SWEEP: &str = sweep_sql!("WHERE s.id = $1");
const SWEEPS: &str = sweep_sql!("WHERE $1 IS NULL OR u.username = $1 ORDER BY s.id DESC LIMIT $2");
macro_rules! variants_sql {
    ($metrics:literal, $tail:literal) => {
        concat!(
            "SELECT b.id, b.variant_idx, b.symbols, b.timeframes, b.parameters, b.status, b.error, \
             r.backtest_id AS has_results, r.total_return, r.annual_return, r.volatility, \
             r.sharpe_ratio, r.sortino_ratio, r.max_drawdown, r.max_drawdown_duration, \
             r.calmar_ratio, r.win_rate, r.profit_factor, r.total_trades, r.winning_trades, \
             r.losing_trades, r.avg_trade_return, r.avg_win, r.avg_loss, r.largest_win, \
             r.largest_loss, r.avg_trade_duration, r.final_capital, ",
            $metrics,
            " AS metrics, CASE WHEN EXISTS \
             (SELECT 1 FROM backtest_equity e WHERE e.backtest_id = b.id) THEN 1 ELSE 0 END \
             AS has_trades FROM backtests b LEFT JOIN backtest_results r ON r.backtest_id = b.id \
             WHERE b.sweep_id = $1 AND ",
            $tail
        )
    };
}
const VARIANTS: &str = variants_sql!("NULL", "b.variant_idx >= $2 ORDER BY b.variant_idx LIMIT $3");
const VARIANT: &str = variants_sql!("r.metrics", "b.variant_idx = $2");

impl Store {
    /// Bytes that the embedded file may still grow by; `None` of a server, which does not tell.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        let path = self.place.strip_prefix("sqlite:").filter(|path| *path != ":memory:")?;
        let folder = std::path::Path::new(path).parent().filter(|p| !p.as_os_str().is_empty());
        let disk = rustix::fs::statvfs(folder.unwrap_or(std::path::Path::new("."))).ok()?;
        disk.f_bavail.checked_mul(disk.f_frsize)
    }

    /// One sweep.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn sweep(&self, id: i64) -> Result<Option<SweepRow>, Error> {
        let mut tx = self.begin_tx(Mode::Read, "reading a sweep").await?;
        let silent_us = tx.now_us().await? - ABANDONED_US;
        let row = tx.row(SWEEP, &[Arg::int(id)]).await?;
        row.map(|row| sweep_row(&row, silent_us)).transpose()
    }

    /// Sweeps, newest first: those of `user`, or of all.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn sweeps(&self, user: Option<&str>, most: u32) -> Result<Vec<SweepRow>, Error> {
        let mut tx = self.begin_tx(Mode::Read, "listing sweeps").await?;
        let silent_us = tx.now_us().await? - ABANDONED_US;
        let rows = tx.rows(SWEEPS, &[Arg::Text(user), Arg::int(most.into())]).await?;
        rows.iter().map(|row| sweep_row(row, silent_us)).collect()
    }

    /// At most `most` variants of a sweep with an index of `from_idx` or above, ascending.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn variants(
        &self,
        sweep: i64,
        from_idx: u64,
        most: u32,
    ) -> Result<Vec<VariantRow>, Error> {
        let mut tx = self.begin_tx(Mode::Read, "reading variants").await?;
        ascending(&mut tx, VARIANTS, sweep, (from_idx, most), variant).await
    }

    /// A few variants by their index with all that is known of them, in the order given; those that are not there are left
    /// out.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn variants_of(&self, sweep: i64, indices: &[u64]) -> Result<Vec<VariantRow>, Error> {
        let mut tx = self.begin_tx(Mode::Read, "reading variants").await?;
        let mut found = Vec::with_capacity(indices.len());
        for &idx in indices {
            let row = tx.row(VARIANT, &[Arg::int(sweep), Arg::int(whole(idx))]).await?;
            found.extend(row.map(|row| variant(&row)).transpose()?);
        }
        Ok(found)
    }

    /// The same as [`Store::variants`] of the completed ones, with nothing but `metrics`, named as the columns of
    /// `backtest_results` and with all their digits: a column has no room for some, and rounds others until they tie. Much
    /// quicker, for those who have to see a million.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn scores(
        &self,
        sweep: i64,
        metrics: &[&'static str],
        from_idx: u64,
        most: u32,
    ) -> Result<Vec<Score>, Error> {
        let mut tx = self.begin_tx(Mode::Read, "reading metrics of variants").await?;
        let read = |row: &Row| score(row, metrics);
        ascending(&mut tx, scores_sql(metrics), sweep, (from_idx, most), read).await
    }

    /// Variants that are there: saved, and not pruned.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn n_variants_left(&self, sweep: i64) -> Result<u64, Error> {
        const SQL: &str = "SELECT count(*) AS n FROM backtests WHERE sweep_id = $1";
        let mut tx = self.begin_tx(Mode::Read, "counting variants").await?;
        let row = tx.row(SQL, &[Arg::int(sweep)]).await?;
        row.map_or(Ok(0), |row| row.int("n").map(unsigned))
    }

    /// The error that most failed variants have, and how many; `None` when none failed.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn commonest_error(&self, sweep: i64) -> Result<Option<(String, u64)>, Error> {
        const SQL: &str = "SELECT error, count(*) AS n FROM backtests \
             WHERE sweep_id = $1 AND status = 'FAILED' AND error IS NOT NULL \
             GROUP BY error ORDER BY n DESC, error LIMIT 1";
        let mut tx = self.begin_tx(Mode::Read, "reading errors of variants").await?;
        let row = tx.row(SQL, &[Arg::int(sweep)]).await?;
        row.map(|row| Ok((row.text("error")?, unsigned(row.int("n")?)))).transpose()
    }
}

/// What `sql` returns of a sweep from an index on, and at most how much.
async fn ascending<T>(
    tx: &mut Tx,
    sql: impl SqlSafeStr,
    sweep: i64,
    (from_idx, most): (u64, u32),
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let args = [Arg::int(sweep), Arg::int(whole(from_idx)), Arg::int(most.into())];
    tx.rows(sql, &args).await?.iter().map(read).collect()
}

fn scores_sql(metrics: &[&'static str]) -> AssertSqlSafe<String> {
    let digits = |name| format!(", CAST(r.metrics ->> '{name}' AS TEXT) AS {name}");
    let wanted: String = metrics.iter().map(digits).collect();
    // Names of metrics come from code, never from what a user types.
    AssertSqlSafe(format!(
        "SELECT b.id, b.variant_idx{wanted} FROM backtests b \
         JOIN backtest_results r ON r.backtest_id = b.id \
         WHERE b.sweep_id = $1 AND b.variant_idx >= $2 ORDER BY b.variant_idx LIMIT $3"
    ))
}

fn score(row: &Row, metrics: &[&'static str]) -> Result<Score, Error> {
    let metric =
        |name: &&'static str| row.opt_text(name).map(|text| text.and_then(|t| t.parse().ok()));
    Ok(Score {
        id: row.int("id")?,
        idx: unsigned(row.int("variant_idx")?),
        metrics: metrics.iter().map(metric).collect::<Result<_, _>>()?,
    })
}

fn sweep_row(row: &Row, silent_us: i64) -> Result<SweepRow, Error> {
    let count = |column| Ok::<_, Error>(unsigned(row.opt_int(column)?.unwrap_or_default()));
    let mut status = row.text("status")?;
    if status == "RUNNING" && row.opt_time("alive_at")?.is_none_or(|us| us < silent_us) {
        "STOPPED".clone_into(&mut status);
    }
    Ok(SweepRow {
        id: row.int("id")?,
        user_id: row.int("user_id")?,
        strategy_id: row.opt_int("strategy_id")?,
        name: row.text("name")?,
        user: row.opt_text("username")?,
        strategy: row.opt_text("strategy")?,
        definition: row.opt_json("definition")?.unwrap_or_default(),
        status,
        engine_version: row.text("engine_version")?,
        n_variants: count("n_variants")?,
        n_completed: count("n_completed")?,
        n_failed: count("n_failed")?,
        n_blocks: row.opt_int("blocks")?.unwrap_or_default(),
        n_blocks_done: row.opt_int("done")?.unwrap_or_default(),
        created_us: row.time("created_at")?,
        completed_us: row.opt_time("completed_at")?,
    })
}

fn variant(row: &Row) -> Result<VariantRow, Error> {
    let has_results = row.opt_int("has_results")?.is_some();
    let first = |list: Vec<String>| list.into_iter().next().unwrap_or_default();
    Ok(VariantRow {
        id: row.int("id")?,
        idx: unsigned(row.int("variant_idx")?),
        symbol: first(row.list("symbols")?),
        timeframe: first(row.list("timeframes")?),
        parameters: row.opt_json("parameters")?.unwrap_or_default(),
        status: row.opt_text("status")?.unwrap_or_default(),
        error: row.opt_text("error")?,
        results: if has_results { Some(results(row)?) } else { None },
        has_trades: row.int("has_trades")? > 0,
    })
}
