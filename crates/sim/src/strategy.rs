//! What a strategy is to the simulator: something that decides at the close of each bar, seeing no later bar.
//! No fill, cost or ledger may be changed from here.

use rust_decimal::Decimal;

use crate::bars::{Bars, Column};
use crate::ledger::Position;
use crate::order::{Decision, Trade};

/// A strategy with its parameters bound, for one run.
pub trait Strategy {
    /// Called once before the first bar, to compute whole columns ahead.
    /// A value used for bar `i` may depend on bars up to `i` only.
    fn prepare(&mut self, bars: &Bars) {
        let _ = bars;
    }

    /// What to do, knowing the bars up to and including the one that has just closed.
    fn decide(&mut self, view: &View<'_>) -> Decision;
}

/// What is known at the close of a bar: it and the bars before it, the books, and nothing later.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(crate) bars: &'a Bars,
    pub(crate) bar_idx: usize,
    pub(crate) position: Option<&'a Position>,
    pub(crate) equity: Decimal,
    pub(crate) trades: &'a [Trade],
}

impl<'a> View<'a> {
    /// Index of the bar that has just closed, warm-up counted.
    #[must_use]
    pub fn bar_idx(&self) -> usize {
        self.bar_idx
    }

    /// Opening time of the bar `back` bars ago (0: the one just closed), microseconds UTC.
    #[must_use]
    pub fn time_us(&self, back: usize) -> Option<i64> {
        self.bar_idx.checked_sub(back).map(|i| self.bars.time_us()[i])
    }

    /// A price of the bar `back` bars ago in units of 1e-8; `None` before the first bar or for a volume.
    #[must_use]
    pub fn price(&self, column: Column, back: usize) -> Option<i64> {
        let i = self.bar_idx.checked_sub(back)?;
        self.bars.prices(column).map(|prices| prices[i])
    }

    /// The position held, if any.
    #[must_use]
    pub fn position(&self) -> Option<&'a Position> {
        self.position
    }

    /// Equity at this close.
    #[must_use]
    pub fn equity(&self) -> Decimal {
        self.equity
    }

    /// Trades closed so far, oldest first.
    #[must_use]
    pub fn trades(&self) -> &'a [Trade] {
        self.trades
    }
}
