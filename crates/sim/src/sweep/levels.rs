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
pub(super) struct Guard {
    long: bool,
    stop_loss: i64,
    liquidation: i64,
    target: i64,
    trailing: Option<Gap>,
    /// Best price since the entry.
    extreme: i64,
    /// The stop that acts now and the reason it names.
    stop: i64,
    reason: ExitReason,
}

/// Levels as prices, before mirroring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Levels {
    pub(super) stop_loss: Option<i128>,
    pub(super) target: Option<i128>,
    pub(super) first_trail: Option<i128>,
}

impl Guard {
    pub(super) fn new(
        long: bool,
        entry: i64,
        levels: Levels,
        liquidation: Option<i128>,
        trailing: Option<Gap>,
    ) -> Self {
        let stop = |level: Option<i128>| level.map_or(-NEVER, |level| mirrored(long, level));
        let mut guard = Self {
            long,
            stop_loss: stop(levels.stop_loss),
            liquidation: stop(liquidation),
            target: levels.target.map_or(NEVER, |level| mirrored(long, level)),
            trailing,
            extreme: if long { entry } else { -entry },
            stop: -NEVER,
            reason: ExitReason::StopLoss,
        };
        guard.choose();
        guard
    }

    /// Whether any price could touch it.
    pub(super) fn is_armed(&self) -> bool {
        self.stop != -NEVER || self.target != NEVER
    }

    /// A bar with low ≤ the first or high ≥ the second of these may concern the position; no other bar does.
    pub(super) fn band(&self) -> (i64, i64) {
        let record = if self.trailing.is_some() { self.extreme + 1 } else { NEVER };
        let good = self.target.min(record);
        if self.long { (self.stop, good) } else { (-good, -self.stop) }
    }

    /// What the levels do inside a bar, which the extreme has not seen yet.
    pub(super) fn check(&self, bar: Prices, intrabar: Intrabar) -> Touch {
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
        let exit = if by_target {
            at(self.target, ExitReason::TakeProfit)
        } else if stopped {
            at(self.stop, self.reason)
        } else {
            None
        };
        Touch { exit, ambiguous: both || (!by_target && self.would_trail_into(best, worst)) }
    }

    /// Lets the trailing stop see a bar that is over.
    pub(super) fn trail(&mut self, bar: Prices) {
        let (_, best, _) = self.mirror(bar);
        if best > self.extreme {
            self.extreme = best;
            self.choose();
        }
    }

    /// Open, best and worst price.
    fn mirror(&self, bar: Prices) -> (i64, i64, i64) {
        if self.long { (bar.open, bar.high, bar.low) } else { (-bar.open, -bar.low, -bar.high) }
    }

    fn would_trail_into(&self, best: i64, worst: i64) -> bool {
        if self.trailing.is_none() || best <= self.extreme {
            return false;
        }
        let raised = self.trail_level(best);
        raised > self.stop && worst <= raised
    }

    /// The trailing level once the best price is `extreme`.
    fn trail_level(&self, extreme: i64) -> i64 {
        let price = if self.long { extreme } else { -extreme };
        let level = self.trailing.and_then(|gap| gap.level(price, !self.long));
        level.map_or(-NEVER, |level| mirrored(self.long, level))
    }

    /// The stop nearest the price. Of equal ones the stop loss, then the trailing stop.
    fn choose(&mut self) {
        (self.stop, self.reason) = (self.stop_loss, ExitReason::StopLoss);
        let trail = self.trail_level(self.extreme);
        if trail > self.stop {
            (self.stop, self.reason) = (trail, ExitReason::TrailingStop);
        }
        if self.liquidation > self.stop {
            (self.stop, self.reason) = (self.liquidation, ExitReason::Liquidation);
        }
    }
}

/// A level that 63 bits do not hold lies beyond every price, which is as good as the greatest number.
fn mirrored(long: bool, level: i128) -> i64 {
    let level = i64::try_from(level).unwrap_or(NEVER);
    if long { level } else { -level }
}

fn target_first(open: i64, best: i64, worst: i64, intrabar: Intrabar) -> bool {
    match intrabar {
        Intrabar::Worst => false,
        Intrabar::Best => true,
        Intrabar::Path => best.abs_diff(open) < worst.abs_diff(open),
    }
}
