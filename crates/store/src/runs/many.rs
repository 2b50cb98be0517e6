//! Trades and daily equity on SQLite, many rows a statement. The server's way stands in `server`.

use std::sync::LazyLock;

use rust_decimal::Decimal;
use sim::DayMark;
use sim::order::Trade;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Sqlite, Transaction, error::BoxDynError};

use super::columns;
use super::save::{Lists, MONEY, PERCENT};
use crate::sqlite::many::{ROWS, chunks, places};
use crate::tx::decimal_text;

/// Values of a trade and of a day.
const TRADE: usize = 12;
const DAY: usize = 4;

static TRADES_MANY: LazyLock<String> = LazyLock::new(|| trades_sql(ROWS));
static TRADES_ONE: LazyLock<String> = LazyLock::new(|| trades_sql(1));
static DAYS_MANY: LazyLock<String> = LazyLock::new(|| days_sql(ROWS));
static DAYS_ONE: LazyLock<String> = LazyLock::new(|| days_sql(1));

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
    for chunk in chunks(&trades.collect::<Vec<_>>()) {
        let sql = if chunk.len() == ROWS { &TRADES_MANY } else { &TRADES_ONE };
        let bound = trade_arguments(chunk).map_err(sqlx::Error::Encode)?;
        sqlx::query_with(AssertSqlSafe(sql.as_str()), bound).execute(&mut **tx).await?;
    }
    let days = lists.iter().flat_map(|of| of.daily.iter().map(|day| (of.id, day)));
    for chunk in chunks(&days.collect::<Vec<_>>()) {
        let sql = if chunk.len() == ROWS { &DAYS_MANY } else { &DAYS_ONE };
        let bound = day_arguments(chunk).map_err(sqlx::Error::Encode)?;
        sqlx::query_with(AssertSqlSafe(sql.as_str()), bound).execute(&mut **tx).await?;
    }
    Ok(())
}

fn trade_arguments(trades: &[(i64, &str, &Trade)]) -> Result<SqliteArguments, BoxDynError> {
    let mut bound = SqliteArguments::default();
    bound.reserve(TRADE * trades.len(), 0);
    let money = |value: Option<Decimal>| value.map(|v| decimal_text(v, MONEY));
    for &(id, symbol, trade) in trades {
        let exit = trade.exit.as_ref();
        bound.add(id)?;
        bound.add(symbol)?;
        bound.add(trade.side.to_string())?;
        bound.add(money(Some(trade.quantity)))?;
        bound.add(money(Some(trade.entry_price)))?;
        bound.add(money(exit.map(|e| e.price)))?;
        bound.add(trade.entry_time_us)?;
        bound.add(exit.map(|e| e.time_us))?;
        bound.add(money(exit.map(|e| e.pnl)))?;
        bound.add(columns::pnl_percentage(trade).map(|v| decimal_text(v, PERCENT)))?;
        bound.add(money(Some(trade.commission)))?;
        bound.add(trade.strategy_signal())?;
    }
    Ok(bound)
}

fn day_arguments(daily: &[(i64, &DayMark)]) -> Result<SqliteArguments, BoxDynError> {
    let mut bound = SqliteArguments::default();
    bound.reserve(DAY * daily.len(), 0);
    for &(id, day) in daily {
        bound.add(id)?;
        bound.add(day.time_us)?;
        bound.add(decimal_text(day.equity, MONEY))?;
        bound.add(columns::drawdown(day.drawdown).map(|v| decimal_text(v, PERCENT)))?;
    }
    Ok(bound)
}
