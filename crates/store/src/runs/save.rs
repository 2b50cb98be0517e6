//! Saving what came of a run: results, trades, equity and COMPLETED, whole or not at all (law L6).
//! How values are rounded stands in `columns`.

use serde_json::Value;
use sim::order::Trade;
use sim::{DayMark, Run};

use super::{columns, many, server};
use crate::Store;
use crate::error::Error;
use crate::tx::{Arg, Conn, Mode, Tx};

const COMPLETE: &str = "UPDATE backtests SET status = 'COMPLETED', progress = 100, error = NULL, \
                        completed_at = $2, heartbeat_at = $2 \
                        WHERE id = $1 AND status <> 'COMPLETED' RETURNING symbols";
const EXISTS: &str = "SELECT id FROM backtests WHERE id = $1";
/// What an earlier attempt at the same row may have left.
const CLEAR: [&str; 2] = [
    "DELETE FROM backtest_trades WHERE backtest_id = $1",
    "DELETE FROM backtest_equity WHERE backtest_id = $1",
];
const CLEAR_RESULTS: &str = "DELETE FROM backtest_results WHERE backtest_id = $1";
const ADD_RESULTS: &str = "INSERT INTO backtest_results (backtest_id, total_return, annual_return, \
     volatility, sharpe_ratio, sortino_ratio, max_drawdown, calmar_ratio, win_rate, profit_factor, \
     avg_trade_return, avg_win, avg_loss, largest_win, largest_loss, max_drawdown_duration, \
     total_trades, winning_trades, losing_trades, avg_trade_duration, final_capital, metrics) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
     $20, $21, $22)";
/// Trades and daily equity of one backtest.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    /// Of the backtest.
    pub id: i64,
    pub symbol: &'a str,
    /// In order of their entries.
    pub trades: &'a [Trade],
    pub daily: &'a [DayMark],
}

/// Places of money, and of per cents.
pub(crate) const MONEY: u32 = sim::exact::PLACES;
pub(super) const PERCENT: u32 = 4;

/// See [`Store::finish`].
pub(crate) async fn finish(
    store: &Store,
    id: i64,
    run: &Run,
    metrics: &Value,
) -> Result<(), Error> {
    let mut tx = store.begin_tx(Mode::Write, "saving a run").await?;
    let now_us = tx.now_us().await?;
    // The row is locked from here on, so of two that finish the same run the second one finds it COMPLETED.
    let Some(row) = tx.row(COMPLETE, &[Arg::int(id), Arg::time(now_us)]).await? else {
        return match tx.row(EXISTS, &[Arg::int(id)]).await? {
            Some(_) => Ok(()),
            None => Err(Error::NoRun { place: store.place(), id }),
        };
    };
    let symbol = row.list("symbols")?.into_iter().next().unwrap_or_default();
    tx.execute(CLEAR_RESULTS, &[Arg::int(id)]).await?;
    clear_lists(&mut tx, id).await?;
    add_results(&mut tx, id, run, metrics).await?;
    let lists = Lists { id, symbol: &symbol, trades: &run.trades, daily: &run.daily };
    add_lists(&mut tx, &[lists]).await?;
    tx.commit().await
}

/// Deletes trades and equity of a backtest.
pub(crate) async fn clear_lists(tx: &mut Tx, id: i64) -> Result<(), Error> {
    for sql in CLEAR {
        tx.execute(sql, &[Arg::int(id)]).await?;
    }
    Ok(())
}

/// Adds trades and daily equity of some backtests.
pub(crate) async fn add_lists(tx: &mut Tx, lists: &[Lists<'_>]) -> Result<(), Error> {
    let done = match &mut tx.conn {
        Conn::Sqlite(conn) => many::insert(conn, lists).await,
        Conn::Postgres(conn) => server::insert(conn, lists).await,
    };
    done.map_err(|source| tx.failed(source))
}

async fn add_results(tx: &mut Tx, id: i64, run: &Run, metrics: &Value) -> Result<(), Error> {
    let m = &run.metrics;
    let mut args = vec![Arg::int(id)];
    args.extend(columns::decimals(m).map(|(value, places)| Arg::Money(value, places)));
    args.extend([
        Arg::Int(columns::integer(m.max_drawdown_duration)),
        Arg::Int(columns::integer(m.total_trades)),
        Arg::Int(columns::integer(m.winning_trades)),
        Arg::Int(columns::integer(m.losing_trades)),
        Arg::Span(m.avg_trade_duration_us),
        Arg::Money(Some(m.final_capital), MONEY),
        Arg::json(metrics),
    ]);
    tx.execute(ADD_RESULTS, &args).await.map(|_| ())
}
