//! One variant from event to event: the next signal, the bar that a level stops, and nothing in between.
//! Every decision of the reference loop has its counterpart here; no expression is evaluated.

use std::ops::Range;

use crate::order::{ExitReason, RejectReason};
use crate::rules::{Intrabar, Rules};

use super::Walked;
use super::books::{Books, Closing, Held};
use super::flags::{Flags, Holding};
use super::formula::Formula;
use super::levels::{Guard, Levels, Prices};
use super::money::{self, Gap, Market};
use super::tape::Tape;

/// Where the distance of a level comes from.
#[derive(Clone, Debug)]
pub(super) enum Distance {
    /// The same at every bar.
    Fixed(Gap),
    /// A value a bar, quote units.
    Varying(Formula),
}

impl Distance {
    fn at(&self, bar: usize) -> Gap {
        match self {
            Self::Fixed(gap) => *gap,
            Self::Varying(formula) => Gap::quote(formula.at(bar)),
        }
    }
}

/// One variant, but for its signals.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) rules: &'a Rules,
    pub(super) market: Market,
    /// Stop loss, take profit, trailing stop.
    pub(super) distances: [Option<Distance>; 3],
    pub(super) time_stop_us: Option<i64>,
}

/// A variant on its way over the bars: it is told its signals a tile at a time and remembers where it stands.
#[derive(Debug)]
pub(super) struct Walker<'a> {
    job: Job<'a>,
    tape: &'a Tape<'a>,
    books: Books<'a>,
    position: Option<Position>,
    /// Without a position, the next bar at whose close one is decided on; with one, the next bar that may end it.
    next: usize,
    /// Decisions are taken at the closes of bars before this one.
    decisions: usize,
    /// A number left the integers that are counted in here.
    beyond: bool,
}

/// A position and what guards it.
#[derive(Debug)]
struct Position {
    held: Held,
    guard: Guard,
    /// The bar at whose open the time stop closes it.
    due: usize,
}

impl<'a> Walker<'a> {
    /// A walker in front of the first bar; with `list`, it keeps its trades.
    pub(super) fn new(job: Job<'a>, tape: &'a Tape<'a>, list: bool) -> Self {
        let mut books = Books::new(tape, job.market.capital);
        books.trades = list.then(Vec::new);
        // A decision on the last bar would never fill at a next open.
        let decisions = tape.bars.len() - usize::from(!job.market.at_close);
        let next = tape.bars.n_warmup();
        Self { job, tape, books, position: None, next, decisions, beyond: false }
    }

    /// Walks on to the bar `to`; `flags` are the signals from where it stands.
    pub(super) fn advance(&mut self, flags: &Flags<'_>, to: usize) {
        self.beyond = self.beyond || self.follow(flags, to).is_none();
    }

    /// What came of the variant, all bars being walked, and its trades if they were kept. `None` where only the reference
    /// loop can say that.
    pub(super) fn finish(mut self) -> Option<Walked> {
        if self.beyond {
            return None;
        }
        let n_bars = self.tape.bars.len();
        let open = self.position.map(|position| position.held);
        match &open {
            Some(held) => self.books.mark_held(held, n_bars)?,
            None => self.books.mark_flat(n_bars),
        }
        let outcome = self.books.outcome(self.job.rules, self.job.market.capital, open.as_ref())?;
        Some((outcome, self.books.trades.unwrap_or_default()))
    }

    fn follow(&mut self, flags: &Flags<'_>, to: usize) -> Option<()> {
        let decisions = to.min(self.decisions);
        let conflicts = flags.conflicts(flags.from().max(self.tape.bars.n_warmup()), decisions);
        self.books.reject(RejectReason::Conflict, conflicts);
        while self.next < to {
            if self.position.is_some() {
                self.hold(flags, to)?;
            } else if let Some(decided) = flags.next(Holding::Nothing, self.next, decisions) {
                let bar = self.fill_bar(decided);
                self.next = self.first_decision(bar);
                let (long, _) = flags.entries_at(decided);
                self.enter(long, decided, bar)?;
            } else {
                self.next = to;
            }
        }
        Some(())
    }

    /// The bar on which a decision at the close of `decided` fills.
    fn fill_bar(&self, decided: usize) -> usize {
        decided + usize::from(!self.job.market.at_close)
    }

    /// The first bar at whose close something can be decided after a fill on `fill_bar`: that bar itself, unless
    /// the fill was at its close.
    fn first_decision(&self, fill_bar: usize) -> usize {
        fill_bar + usize::from(self.job.market.at_close)
    }

    /// Price of a market fill on `fill_bar` before slippage.
    fn raw_price(&self, fill_bar: usize) -> i64 {
        let bars = self.tape.bars;
        if self.job.market.at_close { bars.close()[fill_bar] } else { bars.open()[fill_bar] }
    }

    /// Makes an entry, or counts why not. The tests stand in the order in which a refusal is named.
    fn enter(&mut self, long: bool, decided: usize, bar: usize) -> Option<()> {
        let market = &self.job.market;
        let equity = self.books.cash;
        if equity <= 0 {
            return self.refuse(RejectReason::Cash);
        }
        let price = market.taker_price(self.raw_price(bar), long);
        let gap = |level: usize| self.job.distances[level].as_ref().map(|d| d.at(decided));
        let trailing = gap(2);
        let Some(levels) = levels(long, price, [gap(0), gap(1), trailing]) else {
            return self.refuse(RejectReason::StopUndefined);
        };
        let stop = levels.stop_loss.or(levels.first_trail);
        let (quantity, notional, fee) = market.quantity(price, equity, stop)?;
        if quantity <= 0 {
            return self.refuse(RejectReason::Lot);
        }
        if notional < market.min_notional {
            return self.refuse(RejectReason::MinNotional);
        }
        if notional + fee > equity {
            return self.refuse(RejectReason::Cash);
        }
        self.books.mark_flat(bar);
        let held = Held { long, quantity, price, bar, notional, fee };
        self.books.open(&held)?;
        let liquidation = if long { None } else { money::liquidation(self.books.cash, quantity) };
        let guard = Guard::new(long, price, levels, liquidation, trailing);
        let due = self.job.time_stop_us.map(|us| self.tape.first_after(bar, us));
        self.position = Some(Position { held, guard, due: due.unwrap_or(usize::MAX) });
        Some(())
    }

    fn refuse(&mut self, reason: RejectReason) -> Option<()> {
        self.books.reject(reason, 1);
        Some(())
    }

    /// Follows the open position to its end and books that, or to the bar `to`. What ends it comes first of: a level inside
    /// a bar, the time stop, a signal.
    ///
    /// Nothing of the position is copied here: what was stored in parts a moment ago is slow to be read as a whole.
    fn hold(&mut self, flags: &Flags<'_>, to: usize) -> Option<()> {
        let position = self.position.as_mut()?;
        let holding = if position.held.long { Holding::Long } else { Holding::Short };
        let signal = flags.next(holding, self.next, to.min(self.decisions));
        // A signal lets its own bar pass whole; the bar of a time stop only opens.
        let end = signal.map_or(to, |bar| bar + 1);
        let due = position.due;
        if position.guard.is_armed() {
            let (bars, intrabar) = (self.next..end.min(due), self.job.market.intrabar);
            let ambiguous = &mut self.books.ambiguous_bars;
            let hit = level_hit(&mut position.guard, self.tape, intrabar, bars, ambiguous);
            if let Some((bar, price, reason)) = hit {
                self.next = bar;
                return self.close(bar, price, reason);
            }
        }
        if due < end {
            self.next = due;
            return self.close(due, self.tape.bars.open()[due], ExitReason::TimeStop);
        }
        if let Some(decided) = signal {
            return self.act_on_signal(decided, flags);
        }
        self.next = to;
        self.books.mark_held(&position.held, to)
    }

    /// Closes the position at the market and makes the opposite entry, if that fired.
    fn act_on_signal(&mut self, decided: usize, flags: &Flags<'_>) -> Option<()> {
        let held = &self.position.as_ref()?.held;
        let long = held.long;
        let bar = self.fill_bar(decided);
        let raw = self.raw_price(bar);
        // With fill = close the position is still held when the decision looks at equity.
        if self.job.market.at_close {
            self.books.equity(held, raw)?;
        }
        let own_exit = flags.exit_at(long, decided);
        let reason = if own_exit { ExitReason::Signal } else { ExitReason::Reverse };
        self.close(bar, raw, reason)?;
        self.next = self.first_decision(bar);
        let (to_long, to_short) = flags.entries_at(decided);
        let opposite = if long { to_short } else { to_long };
        if opposite { self.enter(!long, decided, bar) } else { Some(()) }
    }

    /// Marks the position up to `bar` and closes it there at `raw`: a target as maker at its price, all else as taker with
    /// slippage.
    fn close(&mut self, bar: usize, raw: i64, reason: ExitReason) -> Option<()> {
        let held = &self.position.as_ref()?.held;
        self.books.mark_held(held, bar)?;
        let market = &self.job.market;
        let (buying, maker) = (!held.long, reason == ExitReason::TakeProfit);
        let price =
            if maker { market.maker_price(raw, buying) } else { market.taker_price(raw, buying) };
        let (notional, fee) = market.cost(held.quantity, price, maker)?;
        self.books.close(held, &Closing { bar, price, reason, notional, fee })?;
        self.position = None;
        Some(())
    }
}

/// The first of `bars` in which a level acts. Only bars that reach a level, or a new extreme under a trailing stop, are
/// looked at; those that leave open what happened first are counted.
fn level_hit(
    guard: &mut Guard,
    tape: &Tape<'_>,
    intrabar: Intrabar,
    bars: Range<usize>,
    ambiguous: &mut usize,
) -> Option<(usize, i64, ExitReason)> {
    let Range { start: mut next, end: to } = bars;
    let range = &tape.range;
    if guard.trails() && next < to {
        // Most positions end by a signal long before a trailing stop is near.
        let (low, high) = range.bounds(next, to);
        if guard.passes_over(low, high) {
            return None;
        }
    }
    while next < to {
        // A trailing stop moves with many bars, so blocks are passed over as long as none of them matters.
        let mut end = to;
        if guard.trails() {
            end = range.block_end(next).min(to);
            let (low, high) = range.block(next, end);
            if guard.passes_over(low, high) {
                next = end;
                continue;
            }
        }
        let (floor, ceiling) = guard.band();
        let Some(bar) = range.first_outside(next, end, floor, ceiling) else {
            next = end;
            continue;
        };
        let bars = tape.bars;
        let prices =
            Prices { open: bars.open()[bar], high: bars.high()[bar], low: bars.low()[bar] };
        let touch = guard.pass(prices, intrabar);
        *ambiguous += usize::from(touch.ambiguous);
        if let Some((price, reason)) = touch.exit {
            return Some((bar, price, reason));
        }
        next = bar + 1;
    }
    None
}

/// Levels around `entry`; `None` when one has no value or lies on the wrong side.
#[inline]
fn levels(long: bool, entry: i64, gaps: [Option<Gap>; 3]) -> Option<Levels> {
    if let [None, None, None] = gaps {
        return Some(Levels::default());
    }
    let at = |gap: Option<Gap>, up: bool| match gap {
        None => Some(None),
        Some(gap) => {
            let level = gap.level(entry, up)?;
            let beyond = if up { level > entry } else { level < entry };
            beyond.then_some(Some(level))
        }
    };
    let [stop, target, trailing] = gaps;
    Some(Levels {
        stop_loss: at(stop, !long)?,
        target: at(target, long)?,
        first_trail: at(trailing, !long)?,
    })
}
