//! Daily marks of a run from its trades: what the reference loop marks, without asking the strategy again.
//! No decision and no fill is made here.

use rust_decimal::Decimal;

use crate::bars::Bars;
use crate::exact::{self, ONE_E8};
use crate::fill;
use crate::order::{Side, Trade};
use crate::rules::Rules;
use crate::run::DayMark;
use crate::simd;

/// Equity and drawdown at the last bar of each UTC day, as [`crate::run`] marks them, of a run on `bars` under `rules`
/// that made `trades` (in order of their exits, an open one last).
#[must_use]
pub fn days(bars: &Bars, rules: &Rules, trades: &[Trade]) -> Vec<DayMark> {
    let mut cash = units(rules.capital);
    let mut peak = cash;
    let mut trades = trades.iter().map(|trade| Lot::new(rules, trade));
    let mut lot = trades.next();
    let mut next = bars.n_warmup();
    let mut day = |day_end: usize| {
        let mut equity = cash;
        while next <= day_end {
            // What left before this close is cash again.
            while let Some((_, pnl)) = lot.and_then(|lot| lot.exit).filter(|exit| exit.0 <= next) {
                cash += pnl;
                lot = trades.next();
            }
            let held = lot.filter(|lot| lot.entry_bar_idx <= next);
            let change = match held {
                Some(held) => held.exit.map(|(bar_idx, _)| bar_idx),
                None => lot.map(|lot| lot.entry_bar_idx),
            };
            let end = change.unwrap_or(usize::MAX).min(day_end + 1);
            // Over these bars equity moves with the close alone.
            let closes = &bars.close()[next..end];
            let marked = |close: i64| held.map_or(cash, |lot| cash + lot.open_e8(close));
            let (least, greatest) = simd::extremes(closes);
            let is_short = held.is_some_and(|lot| lot.side == Side::Short);
            peak = peak.max(marked(if is_short { least } else { greatest }));
            equity = closes.last().map_or(equity, |&close| marked(close));
            next = end;
        }
        let drawdown = exact::per_cent(peak - equity, peak);
        DayMark { time_us: bars.time_us()[day_end], equity: exact::decimal(equity), drawdown }
    };
    bars.day_ends().into_iter().map(&mut day).collect()
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
