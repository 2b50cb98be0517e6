//! Protection of an open position in integers: which level acts inside a bar, as `guard` says in decimals.
//! Written again on purpose, for the two must agree; prices of a short are mirrored, so that higher is better for both.

use crate::order::ExitReason;
use crate::rules::Intrabar;

use super::money::Gap;

/// A level that no price reaches; its negative is a stop that none falls to.
pub(super) const NEVER: i64 = i64::MAX;

/// Open, high and low of one bar in units of 1e-8.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prices {
    pub(super) open: i64,
    pub(super) high: i64,
    pub(super) low: i64,
}

/// What a bar does to a position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    /// Price and reason of the exit, if the bar forces one.
    pub(super) exit: Option<(i64, ExitReason)>,
    pub(super) ambiguous: bool,
}

/// Levels of the open position. All but `long` and `trailing` are mirrored for shorts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard<'a> {
    long: bool,
    stop_loss: i64,
    liquidation: i64,
    target: i64,
    trailing: Option<Gap<'a>>,
    /// Best price since the entry.
    extreme: i64,
    /// The stop that acts now and the reason it names.
    stop: i64,
    reason: ExitReason,
}

/// Levels as prices, before mirroring: 0 where there is none; [`NEVER`] lies beyond every price.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Levels {
    pub(super) stop_loss: i64,
    pub(super) target: i64,
    pub(super) first_trail: i64,
}

impl Levels {
    /// The level that a size by risk measures from.
    #[inline(always)]
    pub(super) fn stop(&self) -> i64 {
        if self.stop_loss != 0 { self.stop_loss } else { self.first_trail }
    }
}

impl<'a> Guard<'a> {
    /// In line, so that it is made where it is kept and not copied there.
    #[inline(always)]
    pub(super) fn new(
        long: bool,
        entry: i64,
        levels: Levels,
        liquidation: Option<i64>,
        trailing: Option<Gap<'a>>,
    ) -> Self {
        let stop = |level: i64| if level == 0 { -NEVER } else { mirrored(long, level) };
        let mut guard = Self {
            long,
            stop_loss: stop(levels.stop_loss),
            // Other than a level, it may be 0 or below.
            liquidation: liquidation.map_or(-NEVER, |level| mirrored(long, level)),
            target: if levels.target == 0 { NEVER } else { mirrored(long, levels.target) },
            trailing,
            extreme: if long { entry } else { -entry },
            stop: -NEVER,
            reason: ExitReason::StopLoss,
        };
        guard.choose(stop(levels.first_trail));
        guard
    }

    /// A bar with low ≤ the first or high ≥ the second of these may concern the position; no other bar does.
    pub(super) fn band(&self) -> (i64, i64) {
        let record = if self.trailing.is_some() { self.extreme + 1 } else { NEVER };
        let good = self.target.min(record);
        if self.long { (self.stop, good) } else { (-good, -self.stop) }
    }

    /// What the levels do inside a bar. Where they leave the position open, the trailing stop then sees the bar.
    pub(super) fn pass(&mut self, bar: Prices, intrabar: Intrabar) -> Touch {
        let (open, best, worst) = self.mirror(bar);
        let at = |price: i64, reason| Some((if self.long { price } else { -price }, reason));
        if open <= self.stop {
            return Touch { exit: at(open, self.reason), ambiguous: false };
        }
        if open >= self.target {
            return Touch { exit: at(open, ExitReason::TakeProfit), ambiguous: false };
        }
        let (stopped, reached) = (worst <= self.stop, best >= self.target);
        let both = stopped && reached;
        let by_target = reached && (!stopped || target_first(open, best, worst, intrabar));
        if by_target {
            return Touch { exit: at(self.target, ExitReason::TakeProfit), ambiguous: both };
        }
        let raised = self.raised(best);
        let into = raised.is_some_and(|level| level > self.stop && worst <= level);
        let exit = if stopped { at(self.stop, self.reason) } else { None };
        if let (None, Some(level)) = (exit, raised) {
            self.extreme = best;
            self.choose(level);
        }
        Touch { exit, ambiguous: both || into }
    }

    /// Whether bars of these lows and highs, in whatever order, neither close the position nor are ambiguous. If so
    /// the trailing stop has seen them.
    pub(super) fn passes_over(&mut self, low: i64, high: i64) -> bool {
        let (best, worst) = if self.long { (high, low) } else { (-low, -high) };
        if worst <= self.stop || best >= self.target {
            return false;
        }
        if let Some(level) = self.raised(best) {
            // No level on the way is higher than the one at the end.
            if worst <= level {
                return false;
            }
            self.extreme = best;
            self.choose(level);
        }
        true
    }

    /// As [`Self::passes_over`], where the position ends behind these bars and nobody asks for the trailing stop again: the
    /// low may be too low and the high too high.
    #[inline(always)]
    pub(super) fn stays_clear(&self, low: i64, high: i64) -> bool {
        let (best, worst) =
            if self.long { (high, low) } else { (low.wrapping_neg(), high.wrapping_neg()) };
        let clear = (worst > self.stop) & (best < self.target);
        if !self.trails() || best <= self.extreme {
            return clear;
        }
        if self.long {
            // The stop below a price rises no faster than it does, but for the rounding of each level.
            let most = best.wrapping_sub(self.extreme).wrapping_add(2);
            return clear & (worst.wrapping_sub(most) > self.stop);
        }
        clear && self.raised(best).is_none_or(|level| worst > level)
    }

    pub(super) fn trails(&self) -> bool {
        self.trailing.is_some()
    }

    /// The trailing level that `best` would raise it to, if it is a new extreme.
    #[inline(always)]
    fn raised(&self, best: i64) -> Option<i64> {
        if self.trails() && best > self.extreme { Some(self.trail_level(best)) } else { None }
    }

    /// Open, best and worst price.
    fn mirror(&self, bar: Prices) -> (i64, i64, i64) {
        if self.long { (bar.open, bar.high, bar.low) } else { (-bar.open, -bar.low, -bar.high) }
    }

    /// The trailing level once the best price is `extreme`.
    #[inline(always)]
    fn trail_level(&self, extreme: i64) -> i64 {
        let price = if self.long { extreme } else { -extreme };
        let Some(gap) = self.trailing else { return -NEVER };
        let Some(level) = gap.level(price, !self.long) else { return -NEVER };
        mirrored(self.long, level)
    }

    /// The stop nearest the price. Of equal ones the stop loss, then the trailing stop.
    #[inline(always)]
    fn choose(&mut self, trail: i64) {
        (self.stop, self.reason) = (self.stop_loss, ExitReason::StopLoss);
        if trail > self.stop {
            (self.stop, self.reason) = (trail, ExitReason::TrailingStop);
        }
        if self.liquidation > self.stop {
            (self.stop, self.reason) = (self.liquidation, ExitReason::Liquidation);
        }
    }
}

#[inline(always)]
fn mirrored(long: bool, level: i64) -> i64 {
    if long { level } else { -level }
}

fn target_first(open: i64, best: i64, worst: i64, intrabar: Intrabar) -> bool {
    match intrabar {
        Intrabar::Worst => false,
        Intrabar::Best => true,
        Intrabar::Path => best.abs_diff(open) < worst.abs_diff(open),
    }
}
