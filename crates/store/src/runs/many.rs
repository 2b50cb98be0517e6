//! Trades and daily equity on SQLite. The server's way stands in `server`.

use sim::DayMark;
use sim::order::Trade;
use sqlx::{Sqlite, Transaction};

use super::columns;
use super::save::{Lists, MONEY, PERCENT};
use crate::sqlite::many::{Table, write};
use crate::sqlite::values::Values;

const TRADES: Table = Table {
    insert: "INSERT INTO backtest_trades (backtest_id, symbol, side, quantity, entry_price, exit_price, \
             entry_time, exit_time, pnl, pnl_percentage, commission, strategy_signal)",
    columns: 12,
};
const DAYS: Table = Table {
    insert: "INSERT INTO backtest_equity (backtest_id, timestamp, equity, drawdown)",
    columns: 4,
};

/// Adds them in their order.
pub(super) async fn insert(
    tx: &mut Transaction<'static, Sqlite>,
    lists: &[Lists<'_>],
) -> Result<(), sqlx::Error> {
    // Rows of all of them together, so that few are left over for statements of one row.
    let trades = lists.iter().flat_map(|of| of.trades.iter().map(move |trade| (of, trade)));
    write(tx, TRADES, &trades.collect::<Vec<_>>(), put_trade).await?;
    let days = lists.iter().flat_map(|of| of.daily.iter().map(move |day| (of, day)));
    write(tx, DAYS, &days.collect::<Vec<_>>(), put_day).await
}

fn put_trade(&(of, trade): &(&Lists<'_>, &Trade), values: &mut Values) {
    let exit = trade.exit.as_ref();
    values.int(of.id);
    values.text(of.symbol);
    values.text(trade.side.to_string().as_str());
    values.decimal(trade.quantity, MONEY);
    values.decimal(trade.entry_price, MONEY);
    values.decimal(exit.map(|e| e.price), MONEY);
    values.int(trade.entry_time_us);
    values.int(exit.map(|e| e.time_us));
    values.decimal(exit.map(|e| e.pnl), MONEY);
    values.decimal(columns::pnl_percentage(trade), PERCENT);
    values.decimal(trade.commission, MONEY);
    values.text(trade.strategy_signal().as_str());
}

fn put_day(&(of, day): &(&Lists<'_>, &DayMark), values: &mut Values) {
    values.int(of.id);
    values.int(day.time_us);
    values.decimal(day.equity, MONEY);
    values.decimal(columns::drawdown(day.drawdown), PERCENT);
}
