//! Saving a block: all its variants with their results and the mark that it is done, in one transaction, once.
//! How values are rounded stands in `runs::columns`, how they go to a server in `server`.

use rust_decimal::Decimal;
use serde_json::Value;
use sim::metrics::Metrics;
use sqlx::{Sqlite, Transaction};

use crate::Store;
use crate::error::Error;
use crate::runs::columns::{self, DECIMALS};
use crate::runs::save::{Lists, MONEY, add_lists, clear_lists};
use crate::sqlite::many::{self, Table};
use crate::tx::{Arg, Conn, Mode, Tx};

use super::{Owner, server, whole};

/// A variant that was simulated.
#[derive(Clone, Debug)]
pub struct NewVariant {
    pub idx: u64,
    /// What differs from variant to variant, by name; the text of a JSON object.
    pub parameters: String,
    /// Hash of strategy, parameters, rules, data, range and engine version.
    pub identity: String,
    /// Quote units.
    pub capital: Decimal,
    /// Metrics, with the text of a JSON object of them at full precision; or why it has none.
    pub outcome: Result<(Box<Metrics>, String), String>,
}

/// A block of variants on one series of bars. Times are microseconds UTC.
#[derive(Clone, Debug)]
pub struct BlockRows {
    pub sweep: i64,
    pub block: i64,
    pub user_id: i64,
    pub strategy_id: Option<i64>,
    pub name: String,
    pub symbol: String,
    pub timeframe: String,
    /// Opening of the first traded bar and end of the last one.
    pub start_us: i64,
    pub end_us: i64,
    pub fingerprint: String,
    pub engine_version: String,
    pub variants: Vec<NewVariant>,
}

/// Whether a block was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    Now,
    /// Another worker had saved it before, or the sweep was deleted: nothing was written.
    Before,
}

// The row is locked from here on: of two that save the same block the second one finds it done.
const DONE: &str = "UPDATE sweep_blocks SET owner = $3, n_completed = $4, n_failed = $5, \
     completed_at = $6, heartbeat_at = $6 \
     WHERE sweep_id = $1 AND block = $2 AND completed_at IS NULL";

const REFUSED: &str = "UPDATE sweep_blocks SET n_completed = n_completed - $3, \
     n_failed = n_failed + $3 WHERE sweep_id = $1 AND block = $2";

impl Store {
    /// Saves a block whole, if nobody has. A variant whose results the database refuses, by a constraint or a trigger,
    /// is kept as failed with the database's reason; the others are not touched by that.
    ///
    /// # Errors
    /// [`Error::Database`]; then nothing of it is kept, and it may be tried again.
    pub async fn save_block(&self, rows: &BlockRows, owner: &Owner) -> Result<Saved, Error> {
        let mut tx = self.begin_tx(Mode::Write, "saving variants").await?;
        let now_us = tx.now_us().await?;
        let completed = rows.variants.iter().filter(|v| v.outcome.is_ok()).count();
        let failed = rows.variants.len() - completed;
        let args = [
            Arg::int(rows.sweep),
            Arg::int(rows.block),
            Arg::text(owner.text()),
            Arg::int(whole(completed as u64)),
            Arg::int(whole(failed as u64)),
            Arg::time(now_us),
        ];
        if tx.execute(DONE, &args).await? == 0 {
            return Ok(Saved::Before);
        }
        let refused = write(&mut tx, rows, &rows.variants, now_us).await?;
        if refused > 0 {
            let args = [Arg::int(rows.sweep), Arg::int(rows.block), Arg::int(refused)];
            tx.execute(REFUSED, &args).await?;
        }
        tx.commit().await?;
        Ok(Saved::Now)
    }

    /// Saves trades and daily equity of some variants in one transaction, in the place of any that are there. A variant
    /// that was pruned meanwhile is left out.
    ///
    /// # Errors
    /// [`Error::Database`]; then nothing of them is kept.
    pub async fn keep_trades(&self, lists: &[Lists<'_>]) -> Result<(), Error> {
        // Locks the row.
        const LOCK: &str = "UPDATE backtests SET progress = 100 WHERE id = $1";
        let mut tx = self.begin_tx(Mode::Write, "saving trades of variants").await?;
        let mut there = Vec::with_capacity(lists.len());
        let mut lists: Vec<_> = lists.iter().collect();
        // Ascending, as everybody locks them.
        lists.sort_by_key(|of| of.id);
        for of in lists {
            if tx.execute(LOCK, &[Arg::int(of.id)]).await? > 0 {
                clear_lists(&mut tx, of.id).await?;
                there.push(*of);
            }
        }
        add_lists(&mut tx, &there).await?;
        tx.commit().await
    }
}

/// Writes `variants` and returns how many had to be written as failed instead. Where the database refuses some rows,
/// halves are tried, and halves of them, until it is plain which.
async fn write(
    tx: &mut Tx,
    rows: &BlockRows,
    variants: &[NewVariant],
    now_us: i64,
) -> Result<i64, Error> {
    tx.execute("SAVEPOINT variants", &[]).await?;
    let error = match attempt(tx, rows, variants, now_us).await {
        Ok(()) => return tx.execute("RELEASE SAVEPOINT variants", &[]).await.map(|_| 0),
        Err(error) => error,
    };
    let Some(why) = error.refusal() else { return Err(error) };
    tx.execute("ROLLBACK TO SAVEPOINT variants", &[]).await?;
    tx.execute("RELEASE SAVEPOINT variants", &[]).await?;
    match variants {
        [] => Err(error),
        [one] if one.outcome.is_err() => Err(error),
        [one] => {
            let outcome = Err(format!("the database refuses its results: {why}"));
            attempt(tx, rows, &[NewVariant { outcome, ..one.clone() }], now_us).await?;
            Ok(1)
        }
        many => {
            let (first, second) = many.split_at(many.len() / 2);
            let refused = Box::pin(write(tx, rows, first, now_us)).await?;
            Ok(refused + Box::pin(write(tx, rows, second, now_us)).await?)
        }
    }
}

async fn attempt(
    tx: &mut Tx,
    rows: &BlockRows,
    variants: &[NewVariant],
    now_us: i64,
) -> Result<(), Error> {
    match &mut tx.conn {
        Conn::Sqlite(conn) => {
            let done = insert(conn, rows, variants, now_us).await;
            done.map_err(|source| tx.failed(source))
        }
        Conn::Postgres(_) => server::insert(tx, rows, variants, now_us).await,
    }
}

/// Values of a row's results.
pub(super) const RESULTS: usize = DECIMALS + 8;

const BACKTESTS_TABLE: Table = Table {
    insert: "INSERT INTO backtests (id, sweep_id, variant_idx, user_id, strategy_id, name, start_date, \
             end_date, initial_capital, symbols, timeframes, parameters, status, progress, created_at, \
             started_at, completed_at, identity, data_fingerprint, engine_version, error)",
    columns: 21,
};
const RESULTS_TABLE: Table = Table {
    insert: "INSERT INTO backtest_results (backtest_id, total_return, annual_return, volatility, \
             sharpe_ratio, sortino_ratio, max_drawdown, calmar_ratio, win_rate, profit_factor, \
             avg_trade_return, avg_win, avg_loss, largest_win, largest_loss, max_drawdown_duration, \
             total_trades, winning_trades, losing_trades, avg_trade_duration, final_capital, metrics)",
    columns: RESULTS,
};

/// Writes the rows of a block on SQLite. Ids are counted here: this transaction is the file's only writer.
async fn insert(
    tx: &mut Transaction<'static, Sqlite>,
    rows: &BlockRows,
    variants: &[NewVariant],
    now_us: i64,
) -> Result<(), sqlx::Error> {
    const LAST: &str =
        "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'backtests'), 0)";
    let last: i64 = sqlx::query_scalar(LAST).fetch_one(&mut **tx).await?;
    let numbered: Vec<(i64, &NewVariant)> = (last + 1..).zip(variants).collect();
    let list = |of: &str| Value::from(vec![of]).to_string();
    let (symbols, timeframes) = (list(&rows.symbol), list(&rows.timeframe));
    many::write(tx, BACKTESTS_TABLE, &numbered, |&(id, variant), values| {
        values.int(id);
        values.int(rows.sweep);
        values.int(whole(variant.idx));
        values.int(rows.user_id);
        values.int(rows.strategy_id);
        values.text(rows.name.as_str());
        values.int(rows.start_us);
        values.int(rows.end_us);
        values.decimal(variant.capital, MONEY);
        values.text(symbols.as_str());
        values.text(timeframes.as_str());
        values.text(variant.parameters.as_str());
        values.text(status(variant));
        values.int(100);
        (0..3).for_each(|_| values.int(now_us));
        values.text(variant.identity.as_str());
        values.text(rows.fingerprint.as_str());
        values.text(rows.engine_version.as_str());
        values.text(variant.outcome.as_ref().err().map(String::as_str));
    })
    .await?;
    let completed = numbered.iter().filter_map(|&(id, v)| Some((id, v.outcome.as_ref().ok()?)));
    let completed: Vec<_> = completed.collect();
    many::write(tx, RESULTS_TABLE, &completed, |&(id, (m, metrics)), values| {
        values.int(id);
        for (value, places) in columns::decimals(m) {
            values.decimal(value, places);
        }
        values.int(columns::integer(m.max_drawdown_duration));
        values.int(columns::integer(m.total_trades));
        values.int(columns::integer(m.winning_trades));
        values.int(columns::integer(m.losing_trades));
        values.real(m.avg_trade_duration_us.map(|us| us as f64 / 1e6));
        values.decimal(m.final_capital, MONEY);
        values.text(metrics.as_str());
    })
    .await
}

pub(super) fn status(variant: &NewVariant) -> &'static str {
    if variant.outcome.is_ok() { "COMPLETED" } else { "FAILED" }
}
