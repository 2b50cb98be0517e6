//! The books of one run: cash, the open position and the closed trades, in checked exact decimals.
//! Knows no bar, signal or level: it is told what was filled and at what price.

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::exact;
use crate::fill;
use crate::order::{Exit, ExitReason, Side, Trade};

/// A number left DECIMAL(20,8); the run ends as FAILED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// Where and when a fill happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) bar_idx: usize,
    pub(crate) time_us: i64,
}

/// The lot that is held, seen by strategies and by the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub side: Side,
    pub quantity: Decimal,
    pub entry_price: Decimal,
    pub entry_bar_idx: usize,
    /// Opening time of the entry's bar, microseconds UTC.
    pub entry_time_us: i64,
    pub(crate) entry_tag: Arc<str>,
    pub(crate) entry_notional: Decimal,
    pub(crate) entry_fee: Decimal,
}

impl Position {
    /// Profit if it were marked at `price` now: no exit cost, entry fee included, quote units.
    pub(crate) fn open_pnl(&self, price: Decimal) -> Option<Decimal> {
        let value = exact::round_half_even(self.quantity.checked_mul(price)?);
        Some(self.side.sign() * (value - self.entry_notional) - self.entry_fee)
    }
}

/// Cash, position and closed trades.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    cash: Decimal,
    position: Option<Position>,
    trades: Vec<Trade>,
    fees: Decimal,
}

impl Ledger {
    pub(crate) fn new(capital: Decimal) -> Self {
        Self { cash: capital, position: None, trades: Vec::new(), fees: Decimal::ZERO }
    }

    pub(crate) fn cash(&self) -> Decimal {
        self.cash
    }

    pub(crate) fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    pub(crate) fn trades(&self) -> &[Trade] {
        &self.trades
    }

    pub(crate) fn fees(&self) -> Decimal {
        self.fees
    }

    /// Equity with the position marked at `price`: cash ± the rounded value of what is held.
    pub(crate) fn equity(&self, price: Decimal) -> Result<Decimal, Overflow> {
        let Some(position) = &self.position else { return Ok(self.cash) };
        let value = position.quantity.checked_mul(price).ok_or(Overflow)?;
        in_range(self.cash + position.side.sign() * exact::round_half_even(value))
    }

    /// Books an entry whose cost was found affordable.
    pub(crate) fn open(
        &mut self,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        (notional, fee): (Decimal, Decimal),
        tag: Arc<str>,
        at: At,
    ) -> Result<(), Overflow> {
        self.cash = in_range(self.cash - side.sign() * notional - fee)?;
        self.fees += fee;
        self.position = Some(Position {
            side,
            quantity,
            entry_price: price,
            entry_bar_idx: at.bar_idx,
            entry_time_us: at.time_us,
            entry_tag: tag,
            entry_notional: notional,
            entry_fee: fee,
        });
        Ok(())
    }

    /// Books the exit of the whole position; nothing to do when flat.
    pub(crate) fn close(
        &mut self,
        price: Decimal,
        fee_bps: Decimal,
        reason: ExitReason,
        at: At,
    ) -> Result<(), Overflow> {
        let Some(position) = self.position.take() else { return Ok(()) };
        let (notional, fee) = fill::cost(position.quantity, price, fee_bps).ok_or(Overflow)?;
        let sign = position.side.sign();
        self.cash = in_range(self.cash + sign * notional - fee)?;
        self.fees += fee;
        let pnl = sign * (notional - position.entry_notional) - position.entry_fee - fee;
        let exit = Exit { price, bar_idx: at.bar_idx, time_us: at.time_us, reason, pnl };
        self.trades.push(trade_of(&position, fee, Some(exit)));
        Ok(())
    }

    /// The closed trades and, last, the one still open.
    pub(crate) fn into_trades(mut self) -> Vec<Trade> {
        if let Some(position) = &self.position {
            self.trades.push(trade_of(position, Decimal::ZERO, None));
        }
        self.trades
    }
}

fn trade_of(position: &Position, exit_fee: Decimal, exit: Option<Exit>) -> Trade {
    Trade {
        side: position.side,
        quantity: position.quantity,
        entry_price: position.entry_price,
        entry_bar_idx: position.entry_bar_idx,
        entry_time_us: position.entry_time_us,
        entry_tag: Arc::clone(&position.entry_tag),
        commission: position.entry_fee + exit_fee,
        exit,
    }
}

fn in_range(money: Decimal) -> Result<Decimal, Overflow> {
    exact::units(money).map(|_| money).ok_or(Overflow)
}
