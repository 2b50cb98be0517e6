//! What the rows of a run read back as, made without a database: for telling whether a run is the one that is kept.
//! The same rounding as on the way in, by the same functions; no SQL may enter.

use serde_json::Value;
use sim::DayMark;
use sim::metrics::Metrics;
use sim::order::Trade;

use super::columns;
use crate::rows::{EquityRow, Results, TradeRow};

impl Results {
    /// The row that `metrics` are kept as, with them at full precision as `json`.
    #[must_use]
    pub fn of(metrics: &Metrics, json: Value) -> Self {
        let decimals = columns::decimals(metrics).map(|(value, _)| value.map(|v| v.normalize()));
        let [
            total_return,
            annual_return,
            volatility,
            sharpe_ratio,
            sortino_ratio,
            max_drawdown,
            calmar_ratio,
            win_rate,
            profit_factor,
            avg_trade_return,
            avg_win,
            avg_loss,
            largest_win,
            largest_loss,
        ] = decimals;
        Self {
            total_return,
            annual_return,
            volatility,
            sharpe_ratio,
            sortino_ratio,
            max_drawdown,
            max_drawdown_duration: columns::integer(metrics.max_drawdown_duration),
            calmar_ratio,
            win_rate,
            profit_factor,
            total_trades: columns::integer(metrics.total_trades),
            winning_trades: columns::integer(metrics.winning_trades),
            losing_trades: columns::integer(metrics.losing_trades),
            avg_trade_return,
            avg_win,
            avg_loss,
            largest_win,
            largest_loss,
            avg_trade_duration_us: metrics.avg_trade_duration_us,
            final_capital: Some(metrics.final_capital.normalize()),
            metrics: Some(json),
        }
    }
}

impl TradeRow {
    /// The row that a trade is kept as, without an id.
    #[must_use]
    pub fn of(symbol: &str, trade: &Trade) -> Self {
        let exit = trade.exit.as_ref();
        Self {
            id: 0,
            symbol: symbol.to_owned(),
            side: trade.side.to_string(),
            quantity: trade.quantity.normalize(),
            entry_price: trade.entry_price.normalize(),
            exit_price: exit.map(|e| e.price.normalize()),
            entry_time_us: trade.entry_time_us,
            exit_time_us: exit.map(|e| e.time_us),
            pnl: exit.map(|e| e.pnl.normalize()),
            pnl_percentage: columns::pnl_percentage(trade).map(|v| v.normalize()),
            commission: Some(trade.commission.normalize()),
            strategy_signal: Some(trade.strategy_signal()),
        }
    }
}

impl EquityRow {
    /// The row that a daily mark is kept as.
    #[must_use]
    pub fn of(day: &DayMark) -> Self {
        let drawdown = columns::drawdown(day.drawdown).map(|v| v.normalize());
        Self { time_us: day.time_us, equity: day.equity.normalize(), drawdown }
    }
}
