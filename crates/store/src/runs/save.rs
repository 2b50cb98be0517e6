//! Saving what came of a run: results, trades, equity and COMPLETED, whole or not at all (law L6).
//! How values are rounded stands in `columns`.

use rust_decimal::Decimal;
use serde_json::Value;
use sim::order::Trade;
use sim::{DayMark, Run};

use super::{columns, many};
use crate::Store;
use crate::error::Error;
use crate::postgres::copy::{Lines, copy_in};
use crate::tx::{Arg, Conn, Mode, Tx, decimal_text};

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
    let Conn::Sqlite(conn) = &mut tx.conn else {
        return copy_lists(tx, lists).await;
    };
    let done = many::insert(conn, lists).await;
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

/// COPY is refused where row level security is on, so there rows go through temporary tables.
const STAGES: &str = "SET LOCAL client_min_messages = warning; \
     CREATE TEMP TABLE IF NOT EXISTS staged_trades (place BIGINT, backtest_id INTEGER, symbol TEXT, \
     side TEXT, quantity NUMERIC, entry_price NUMERIC, exit_price NUMERIC, entry_time TIMESTAMPTZ, \
     exit_time TIMESTAMPTZ, pnl NUMERIC, pnl_percentage NUMERIC, commission NUMERIC, \
     strategy_signal TEXT) ON COMMIT DELETE ROWS; \
     CREATE TEMP TABLE IF NOT EXISTS staged_equity (backtest_id INTEGER, timestamp TIMESTAMPTZ, \
     equity NUMERIC, drawdown NUMERIC) ON COMMIT DELETE ROWS";
const COPY_TRADES: &str = "COPY staged_trades FROM STDIN";
const COPY_EQUITY: &str = "COPY staged_equity FROM STDIN";
/// Whether that is so for who is connected: the owner of the tables is let through.
const SECURED: &str = "SELECT (row_security_active('backtest_trades') \
     OR row_security_active('backtest_equity'))::int AS secured";
const COPY_TRADES_STRAIGHT: &str = "COPY backtest_trades (backtest_id, symbol, side, quantity, \
     entry_price, exit_price, entry_time, exit_time, pnl, pnl_percentage, commission, \
     strategy_signal) FROM STDIN";
const COPY_EQUITY_STRAIGHT: &str =
    "COPY backtest_equity (backtest_id, timestamp, equity, drawdown) FROM STDIN";
// Ordered, so that ids ascend as the trades do.
const MOVE_TRADES: &str = "INSERT INTO backtest_trades (backtest_id, symbol, side, quantity, \
     entry_price, exit_price, entry_time, exit_time, pnl, pnl_percentage, commission, \
     strategy_signal) SELECT backtest_id, symbol, side, quantity, entry_price, exit_price, \
     entry_time, exit_time, pnl, pnl_percentage, commission, strategy_signal \
     FROM staged_trades ORDER BY place";
const MOVE_EQUITY: &str = "INSERT INTO backtest_equity (backtest_id, timestamp, equity, drawdown) \
                           SELECT backtest_id, timestamp, equity, drawdown FROM staged_equity";

/// A chunk that these trades began is closed before anyone can see it (migrations/ensure/security.sql).
const PROTECT: &str = "SELECT protect_chunks()";

async fn copy_lists(tx: &mut Tx, lists: &[Lists<'_>]) -> Result<(), Error> {
    let secured = match tx.row(SECURED, &[]).await? {
        Some(row) => row.int("secured")? != 0,
        None => true,
    };
    let done = match &mut tx.conn {
        Conn::Postgres(conn) => send(conn, lists, secured).await,
        Conn::Sqlite(_) => Ok(()),
    };
    done.map_err(|source| tx.failed(source))?;
    if secured {
        tx.execute(MOVE_TRADES, &[]).await?;
        tx.execute(MOVE_EQUITY, &[]).await?;
    }
    tx.execute(PROTECT, &[]).await?;
    Ok(())
}

/// Sends the rows to their tables, which number trades as they arrive; or, where `secured`, to the temporary ones.
async fn send(
    conn: &mut sqlx::PgConnection,
    all: &[Lists<'_>],
    secured: bool,
) -> Result<(), sqlx::Error> {
    let (to_trades, to_equity) = if secured {
        sqlx::raw_sql(STAGES).execute(&mut *conn).await?;
        (COPY_TRADES, COPY_EQUITY)
    } else {
        (COPY_TRADES_STRAIGHT, COPY_EQUITY_STRAIGHT)
    };
    let mut lines = Lines::default();
    let trades = all.iter().flat_map(|of| of.trades.iter().map(move |trade| (of, trade)));
    for (place, (of, trade)) in trades.enumerate() {
        if secured {
            lines.number(place);
        }
        trade_line(&mut lines, of.id, of.symbol, trade)?;
    }
    copy_in(conn, to_trades, &lines).await?;
    let mut lines = Lines::default();
    for (of, day) in all.iter().flat_map(|of| of.daily.iter().map(move |day| (of, day))) {
        lines.number(of.id);
        lines.time(day.time_us)?;
        decimal(&mut lines, Some(day.equity), MONEY);
        decimal(&mut lines, columns::drawdown(day.drawdown), PERCENT);
        lines.end();
    }
    copy_in(conn, to_equity, &lines).await
}

fn trade_line(lines: &mut Lines, id: i64, symbol: &str, trade: &Trade) -> Result<(), sqlx::Error> {
    let exit = trade.exit.as_ref();
    lines.number(id);
    lines.text(symbol);
    lines.number(trade.side);
    decimal(lines, Some(trade.quantity), MONEY);
    decimal(lines, Some(trade.entry_price), MONEY);
    decimal(lines, exit.map(|e| e.price), MONEY);
    lines.time(trade.entry_time_us)?;
    match exit {
        Some(exit) => lines.time(exit.time_us)?,
        None => lines.null(),
    }
    decimal(lines, exit.map(|e| e.pnl), MONEY);
    decimal(lines, columns::pnl_percentage(trade), PERCENT);
    decimal(lines, Some(trade.commission), MONEY);
    lines.text(&trade.strategy_signal());
    lines.end();
    Ok(())
}

pub(crate) fn decimal(lines: &mut Lines, value: Option<Decimal>, places: u32) {
    match value {
        Some(value) => lines.number(decimal_text(value, places)),
        None => lines.null(),
    }
}
