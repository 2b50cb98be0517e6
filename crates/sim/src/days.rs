//! Daily marks of a run from its trades: what the reference loop marks, without asking the strategy again.
//! No decision and no fill is made here.

use rust_decimal::Decimal;

use crate::bars::Bars;
use crate::exact::{self, ONE_E8};
use crate::fill;
use crate::order::{Side, Trade};
use crate::rules::Rules;
use crate::run::DayMark;
use crate::timeframe;

/// Equity and drawdown at the last bar of each UTC day, as [`crate::run`] marks them, of a run on `bars` under `rules`
/// that made `trades` (in order of their exits, an open one last).
#[must_use]
pub fn days(bars: &Bars, rules: &Rules, trades: &[Trade]) -> Vec<DayMark> {
    let mut days = Vec::new();
    let mut cash = units(rules.capital);
    let mut peak = cash;
    let mut trades = trades.iter().map(|trade| Lot::new(rules, trade));
    let mut lot = trades.next();
    for i in bars.n_warmup()..bars.len() {
        // What left before this close is cash again.
        while let Some((_, pnl)) = lot.and_then(|lot| lot.exit).filter(|exit| exit.0 <= i) {
            cash += pnl;
            lot = trades.next();
        }
        let held = lot.filter(|lot| lot.entry_bar_idx <= i);
        let equity = held.map_or(cash, |lot| cash + lot.open_e8(bars.close()[i]));
        peak = peak.max(equity);
        let time_us = bars.time_us()[i];
        let next = bars.time_us().get(i + 1);
        if next.is_none_or(|&next| timeframe::day(next) != timeframe::day(time_us)) {
            let drawdown = 100.0 * exact::ratio(peak - equity, peak);
            days.push(DayMark { time_us, equity: exact::decimal(equity), drawdown });
        }
    }
    days
}

/// A trade in units of 1e-8, made once: a bar must not cost a conversion.
#[derive(Clone, Copy)]
struct Lot {
    entry_bar_idx: usize,
    /// Bar of the exit, and net profit.
    exit: Option<(usize, i128)>,
    side: Side,
    quantity: i128,
    /// What the entry took from cash, or for a short brought; its fee included.
    booked: i128,
}

impl Lot {
    fn new(rules: &Rules, trade: &Trade) -> Self {
        // It was booked, so its cost is in range.
        let cost = fill::cost(trade.quantity, trade.entry_price, rules.fee_bps);
        let (notional, fee) = cost.map_or((0, 0), |(notional, fee)| (units(notional), units(fee)));
        Self {
            entry_bar_idx: trade.entry_bar_idx,
            exit: trade.exit.as_ref().map(|exit| (exit.bar_idx, units(exit.pnl))),
            side: trade.side,
            quantity: units(trade.quantity),
            booked: if trade.side == Side::Long { notional + fee } else { notional - fee },
        }
    }

    /// What it adds at a close to the cash before it.
    fn open_e8(&self, close_e8: i64) -> i128 {
        let value = exact::div_half_even(self.quantity * i128::from(close_e8), ONE_E8.into());
        match self.side {
            Side::Long => value - self.booked,
            Side::Short => self.booked - value,
        }
    }
}

/// Money that the ledger has checked, in units of 1e-8.
fn units(money: Decimal) -> i128 {
    exact::units(money).unwrap_or_default()
}
