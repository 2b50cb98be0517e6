//! Protection of an open position inside one bar: which level acts, at what price, and whether the bar leaves that open.
//! Pure functions of levels and one bar's prices; fees, slippage and the books stay outside.

use rust_decimal::Decimal;

use crate::exact;
use crate::fill::{self, Levels, beyond};
use crate::ledger::Position;
use crate::order::{Distance, ExitReason, Protection, Side};
use crate::rules::Intrabar;

/// The prices of one bar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prices {
    pub(crate) open: Decimal,
    pub(crate) high: Decimal,
    pub(crate) low: Decimal,
}

impl Prices {
    /// The bar's extreme in the position's favour.
    fn best(&self, side: Side) -> Decimal {
        if side == Side::Long { self.high } else { self.low }
    }

    /// The bar's extreme against the position.
    fn worst(&self, side: Side) -> Decimal {
        if side == Side::Long { self.low } else { self.high }
    }
}

/// An exit forced by a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The level, or the open when that had passed it.
    pub(crate) price: Decimal,
    pub(crate) reason: ExitReason,
}

/// Levels of the open position and what moves them.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    side: Side,
    levels: Levels,
    trailing: Option<Distance>,
    /// Best price since the entry, from which the trailing stop is measured.
    extreme: Decimal,
    /// Shorts are bought back where equity would be 0.
    liquidation: Option<Decimal>,
    /// Market exit at the open of the first bar at or after this time, microseconds UTC.
    time_stop_us: Option<i64>,
}

impl Guard {
    /// Guards `position`; `cash` is what the books hold after its entry.
    pub(crate) fn new(
        position: &Position,
        levels: Levels,
        protection: &Protection,
        cash: Decimal,
    ) -> Self {
        let liquidation = (position.side == Side::Short)
            .then(|| cash.checked_div(position.quantity).map(exact::round_half_even))
            .flatten();
        Self {
            side: position.side,
            levels,
            trailing: protection.trailing_stop,
            extreme: position.entry_price,
            liquidation,
            time_stop_us: protection.time_stop_us.map(|d| position.entry_time_us.saturating_add(d)),
        }
    }

    /// Whether the time stop is due at the open of a bar.
    pub(crate) fn expired(&self, open_time_us: i64) -> bool {
        self.time_stop_us.is_some_and(|at| open_time_us >= at)
    }

    /// What the levels do inside a bar, and whether its prices leave open what happened first.
    pub(crate) fn check(&self, bar: Prices, intrabar: Intrabar) -> (Option<Hit>, bool) {
        let side = self.side;
        let stop = self.nearest_stop();
        let target = self.levels.take_profit;
        if let Some((_, reason)) = stop.filter(|&(level, _)| !beyond(bar.open, level, side)) {
            let price = bar.open;
            return (Some(Hit { price, reason }), false);
        }
        let reached = |price: Decimal, level: Decimal| !beyond(level, price, side);
        if target.is_some_and(|level| reached(bar.open, level)) {
            return (Some(Hit { price: bar.open, reason: ExitReason::TakeProfit }), false);
        }
        let stop_hit = stop
            .filter(|&(level, _)| !beyond(bar.worst(side), level, side))
            .map(|(price, reason)| Hit { price, reason });
        let target_hit = target
            .filter(|&level| reached(bar.best(side), level))
            .map(|price| Hit { price, reason: ExitReason::TakeProfit });
        let both = stop_hit.is_some() && target_hit.is_some();
        let hit = if both && target_first(bar, side, intrabar) {
            target_hit
        } else {
            stop_hit.or(target_hit)
        };
        let by_target = hit.is_some_and(|h| h.reason == ExitReason::TakeProfit);
        (hit, both || (!by_target && self.would_trail_into(bar, stop)))
    }

    /// Lets the trailing stop see a bar that is over.
    pub(crate) fn trail(&mut self, bar: Prices) {
        let best = bar.best(self.side);
        if beyond(best, self.extreme, self.side) {
            self.extreme = best;
        }
    }

    /// The stop nearest the price and the reason it names. Equal levels: stop loss, trailing stop, liquidation.
    fn nearest_stop(&self) -> Option<(Decimal, ExitReason)> {
        let candidates = [
            (self.levels.stop_loss, ExitReason::StopLoss),
            (self.trailing_level(self.extreme), ExitReason::TrailingStop),
            (self.liquidation, ExitReason::Liquidation),
        ];
        let mut nearest: Option<(Decimal, ExitReason)> = None;
        for (level, reason) in candidates {
            let Some(level) = level else { continue };
            if nearest.is_none_or(|(other, _)| beyond(level, other, self.side)) {
                nearest = Some((level, reason));
            }
        }
        nearest
    }

    fn trailing_level(&self, extreme: Decimal) -> Option<Decimal> {
        fill::trailing_level(extreme, self.side, self.trailing?)
    }

    /// The bar's own extreme would raise the trailing level above the acting stop, and the bar touches it there.
    fn would_trail_into(&self, bar: Prices, acting: Option<(Decimal, ExitReason)>) -> bool {
        let best = bar.best(self.side);
        if !beyond(best, self.extreme, self.side) {
            return false;
        }
        let (Some(raised), Some((acting, _))) = (self.trailing_level(best), acting) else {
            return false;
        };
        beyond(raised, acting, self.side) && !beyond(bar.worst(self.side), raised, self.side)
    }
}

/// Whether the target comes before the stop when a bar holds both.
fn target_first(bar: Prices, side: Side, intrabar: Intrabar) -> bool {
    match intrabar {
        Intrabar::Worst => false,
        Intrabar::Best => true,
        Intrabar::Path => (bar.best(side) - bar.open).abs() < (bar.worst(side) - bar.open).abs(),
    }
}
