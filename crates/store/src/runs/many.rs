//! Trades and daily equity on SQLite, many rows a statement. The server's way stands in `server`.

use std::sync::LazyLock;

use sim::DayMark;
use sim::order::Trade;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Sqlite, Transaction, error::BoxDynError};

use super::columns;
use super::save::{Lists, MONEY, PERCENT};
use crate::sqlite::many::{Statements, Texts, places, statements, write};

/// Values of a trade and of a day.
const TRADE: usize = 12;
const DAY: usize = 4;

static TRADES: LazyLock<Statements> = LazyLock::new(|| statements(trades_sql));
static DAYS: LazyLock<Statements> = LazyLock::new(|| statements(days_sql));

fn trades_sql(rows: usize) -> String {
    format!(
        "INSERT INTO backtest_trades (backtest_id, symbol, side, quantity, entry_price, exit_price, \
         entry_time, exit_time, pnl, pnl_percentage, commission, strategy_signal) VALUES {}",
        places(TRADE, rows)
    )
}

fn days_sql(rows: usize) -> String {
    format!(
        "INSERT INTO backtest_equity (backtest_id, timestamp, equity, drawdown) VALUES {}",
        places(DAY, rows)
    )
}

/// Adds them in their order.
pub(super) async fn insert(
    tx: &mut Transaction<'static, Sqlite>,
    lists: &[Lists<'_>],
) -> Result<(), sqlx::Error> {
    // Rows of all of them together, so that few are left over for statements of one row.
    let trades =
        lists.iter().flat_map(|of| of.trades.iter().map(|trade| (of.id, of.symbol, trade)));
    write(tx, &trades.collect::<Vec<_>>(), &TRADES, trade_arguments).await?;
    let days = lists.iter().flat_map(|of| of.daily.iter().map(|day| (of.id, day)));
    write(tx, &days.collect::<Vec<_>>(), &DAYS, day_arguments).await
}

fn trade_arguments(trades: &[(i64, &str, &Trade)]) -> Result<SqliteArguments, BoxDynError> {
    let mut bound = SqliteArguments::default();
    bound.reserve(TRADE * trades.len(), 0);
    let mut texts = Texts::default();
    for &(id, symbol, trade) in trades {
        let exit = trade.exit.as_ref();
        bound.add(id)?;
        bound.add(texts.word(symbol))?;
        bound.add(texts.word(&trade.side.to_string()))?;
        bound.add(texts.decimal(trade.quantity, MONEY)?)?;
        bound.add(texts.decimal(trade.entry_price, MONEY)?)?;
        bound.add(exit.map(|e| texts.decimal(e.price, MONEY)).transpose()?)?;
        bound.add(trade.entry_time_us)?;
        bound.add(exit.map(|e| e.time_us))?;
        bound.add(exit.map(|e| texts.decimal(e.pnl, MONEY)).transpose()?)?;
        let percent = columns::pnl_percentage(trade);
        bound.add(percent.map(|v| texts.decimal(v, PERCENT)).transpose()?)?;
        bound.add(texts.decimal(trade.commission, MONEY)?)?;
        bound.add(texts.word(&trade.strategy_signal()))?;
    }
    Ok(bound)
}

fn day_arguments(daily: &[(i64, &DayMark)]) -> Result<SqliteArguments, BoxDynError> {
    let mut bound = SqliteArguments::default();
    bound.reserve(DAY * daily.len(), 0);
    let mut texts = Texts::default();
    for &(id, day) in daily {
        bound.add(id)?;
        bound.add(day.time_us)?;
        bound.add(texts.decimal(day.equity, MONEY)?)?;
        let drawdown = columns::drawdown(day.drawdown);
        bound.add(drawdown.map(|v| texts.decimal(v, PERCENT)).transpose()?)?;
    }
    Ok(bound)
}
