//! One variant from event to event: the next signal, the bar that a level stops, and nothing in between.
//! Every decision of the reference loop has its counterpart here; no expression is evaluated.

use std::sync::Arc;

use crate::exact;
use crate::order::{ExitReason, RejectReason, Trade};
use crate::rules::Rules;
use crate::run::Failure;

use super::Outcome;
use super::books::{Books, Closing, Held};
use super::flags::{Flags, Holding};
use super::levels::{Guard, Levels, Prices};
use super::money::{Gap, Market};
use super::simd;
use super::tape::Tape;

/// Where the distance of a level comes from.
#[derive(Clone, Debug)]
pub(super) enum Distance {
    /// The same at every bar.
    Fixed(Gap),
    /// A value a bar, quote units.
    Column(Arc<[f64]>),
}

impl Distance {
    fn at(&self, bar: usize) -> Gap {
        match self {
            Self::Fixed(gap) => *gap,
            Self::Column(values) => Gap::quote(values[bar]),
        }
    }
}

/// One variant, ready to be walked.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) rules: &'a Rules,
    pub(super) market: Market,
    pub(super) flags: Flags<'a>,
    /// Stop loss, take profit, trailing stop.
    pub(super) distances: [Option<Distance>; 3],
    pub(super) time_stop_us: Option<i64>,
}

/// Walks `job` over `tape`; with `list`, its trades come too.
pub(super) fn walk(
    job: &Job<'_>,
    tape: &Tape<'_>,
    list: bool,
) -> Result<(Outcome, Vec<Trade>), Failure> {
    let mut books = Books::new(tape, job.market.capital);
    books.trades = list.then(Vec::new);
    let n_bars = tape.bars.len();
    // A decision on the last bar would never fill at a next open.
    let decisions = if job.market.at_close { n_bars } else { n_bars - 1 };
    let conflicts = job.flags.conflicts(books.marked, decisions);
    books.reject(RejectReason::Conflict, conflicts);
    let mut walker = Walker { job, tape, books, decisions };
    let open = walker.run()?;
    let outcome = walker.books.outcome(job.rules, job.market.capital, open.as_ref());
    Ok((outcome, walker.books.trades.unwrap_or_default()))
}

struct Walker<'a> {
    job: &'a Job<'a>,
    tape: &'a Tape<'a>,
    books: Books<'a>,
    /// Decisions are taken at the closes of bars before this one.
    decisions: usize,
}

/// A position and what guards it.
struct Position {
    held: Held,
    guard: Guard,
}

/// How a position ends.
enum End {
    /// Inside a bar, at a price before slippage.
    Level(usize, i64, ExitReason),
    /// At the open of a bar.
    Time(usize),
    /// Decided at the close of a bar.
    Signal(usize),
    /// Not at all.
    Never,
}

/// What follows a position.
enum After {
    /// Nothing is held; decisions count from this bar on.
    Flat(usize),
    Reversed(Position),
    /// It was held to the end.
    Open(Held),
}

impl Walker<'_> {
    /// Returns the position still held at the end.
    fn run(&mut self) -> Result<Option<Held>, Failure> {
        let flags = self.job.flags;
        let mut next = self.tape.bars.n_warmup();
        while let Some(bar) = flags.next(Holding::Nothing, next, self.decisions) {
            let fill_bar = bar + usize::from(!self.job.market.at_close);
            next = self.first_decision(fill_bar);
            let (long, _) = flags.entries_at(bar);
            let Some(mut position) = self.enter(long, bar, fill_bar)? else { continue };
            next = loop {
                position = match self.hold(position)? {
                    After::Flat(next) => break next,
                    After::Reversed(position) => position,
                    After::Open(held) => return Ok(Some(held)),
                }
            };
        }
        self.books.mark_flat(self.tape.bars.len());
        Ok(None)
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

    /// Asks for the price of an exit on `bar`, and of the entry that may follow it: they lie far apart in memory, and
    /// waiting for them would cost more than all of a trade's arithmetic.
    fn prefetch(&self, bar: usize) {
        let bars = self.tape.bars;
        let prices = if self.job.market.at_close { bars.close() } else { bars.open() };
        simd::prefetch(prices, bar);
        let next = self.job.flags.next(Holding::Nothing, bar, self.decisions);
        if let Some(next) = next {
            simd::prefetch(prices, next + 1);
        }
    }

    /// Makes an entry, or counts why not. The tests stand in the order in which a refusal is named.
    fn enter(
        &mut self,
        long: bool,
        decided: usize,
        bar: usize,
    ) -> Result<Option<Position>, Failure> {
        let market = &self.job.market;
        let equity = self.books.cash;
        if equity <= 0 {
            return Ok(self.refuse(RejectReason::Cash));
        }
        let price = market.taker_price(self.raw_price(bar), long);
        let gap = |level: usize| self.job.distances[level].as_ref().map(|d| d.at(decided));
        let gaps = [gap(0), gap(1), gap(2)];
        let Some(levels) = levels(long, price, gaps) else {
            return Ok(self.refuse(RejectReason::StopUndefined));
        };
        let overflow = || self.books.failure(bar);
        let stop = levels.stop_loss.or(levels.first_trail);
        let (quantity, notional, fee) =
            market.quantity(price, equity, stop).ok_or_else(overflow)?;
        if quantity <= 0 {
            return Ok(self.refuse(RejectReason::Lot));
        }
        if notional < market.min_notional {
            return Ok(self.refuse(RejectReason::MinNotional));
        }
        if notional + fee > equity {
            return Ok(self.refuse(RejectReason::Cash));
        }
        self.books.mark_flat(bar);
        let held = Held { long, quantity, price, bar, notional, fee };
        self.books.open(&held).ok_or_else(|| self.books.failure(bar))?;
        let liquidation = (!long).then(|| liquidation(self.books.cash, quantity)).flatten();
        let guard = Guard::new(long, price, levels, liquidation, gaps[2]);
        Ok(Some(Position { held, guard }))
    }

    fn refuse(&mut self, reason: RejectReason) -> Option<Position> {
        self.books.reject(reason, 1);
        None
    }

    /// Follows `position` to its end and books that.
    fn hold(&mut self, mut position: Position) -> Result<After, Failure> {
        let end = self.end_of(&mut position);
        let held = position.held;
        let n_bars = self.tape.bars.len();
        match end {
            End::Never => {
                self.books.mark_held(&held, n_bars)?;
                Ok(After::Open(held))
            }
            End::Level(bar, price, reason) => {
                self.books.mark_held(&held, bar)?;
                self.close(&held, bar, price, reason)?;
                Ok(After::Flat(bar))
            }
            End::Time(bar) => {
                self.books.mark_held(&held, bar)?;
                self.close(&held, bar, self.tape.bars.open()[bar], ExitReason::TimeStop)?;
                Ok(After::Flat(bar))
            }
            End::Signal(decided) => self.act_on_signal(&held, decided),
        }
    }

    /// Closes `held` at the market and makes the opposite entry, if that fired.
    fn act_on_signal(&mut self, held: &Held, decided: usize) -> Result<After, Failure> {
        let bar = decided + usize::from(!self.job.market.at_close);
        self.prefetch(bar);
        self.books.mark_held(held, bar)?;
        let raw = self.raw_price(bar);
        // With fill = close the position is still held when the decision looks at equity.
        if self.job.market.at_close && self.books.equity(held, raw).is_none() {
            return Err(self.books.failure(bar));
        }
        let own_exit = self.job.flags.exit_at(held.long, decided);
        let reason = if own_exit { ExitReason::Signal } else { ExitReason::Reverse };
        self.close(held, bar, raw, reason)?;
        let (long, short) = self.job.flags.entries_at(decided);
        let opposite = if held.long { short } else { long };
        let reversed = if opposite { self.enter(!held.long, decided, bar)? } else { None };
        Ok(reversed.map_or(After::Flat(self.first_decision(bar)), After::Reversed))
    }

    /// Closes at `raw`: a target as maker at its price, all else as taker with slippage.
    fn close(
        &mut self,
        held: &Held,
        bar: usize,
        raw: i64,
        reason: ExitReason,
    ) -> Result<(), Failure> {
        let market = &self.job.market;
        let (buying, maker) = (!held.long, reason == ExitReason::TakeProfit);
        let price =
            if maker { market.maker_price(raw, buying) } else { market.taker_price(raw, buying) };
        let cost = market.cost(held.quantity, price, maker);
        let booked = cost.and_then(|(notional, fee)| {
            self.books.close(held, &Closing { bar, price, reason, notional, fee })
        });
        booked.ok_or_else(|| self.books.failure(bar))
    }

    /// Which comes first: a level inside a bar, the time stop or a signal.
    fn end_of(&mut self, position: &mut Position) -> End {
        let n_bars = self.tape.bars.len();
        let held = &position.held;
        let from = self.first_decision(held.bar);
        let holding = if held.long { Holding::Long } else { Holding::Short };
        let signal = self.job.flags.next(holding, from, self.decisions);
        // A signal lets its own bar pass whole; the bar of a time stop only opens.
        let mut to = signal.map_or(n_bars, |bar| bar + 1);
        let timed = self.job.time_stop_us.map(|us| self.tape.first_after(held.bar, us));
        let timed = timed.filter(|&bar| bar < to);
        to = timed.unwrap_or(to);
        if position.guard.is_armed()
            && let Some((bar, price, reason)) = self.level_hit(&mut position.guard, from, to)
        {
            return End::Level(bar, price, reason);
        }
        match (timed, signal) {
            (Some(bar), _) => End::Time(bar),
            (None, Some(bar)) => End::Signal(bar),
            (None, None) => End::Never,
        }
    }

    /// The first bar of `[from, to)` in which a level acts, price and reason. Only bars that reach a level, or a new
    /// extreme under a trailing stop, are looked at.
    fn level_hit(
        &mut self,
        guard: &mut Guard,
        from: usize,
        to: usize,
    ) -> Option<(usize, i64, ExitReason)> {
        let mut next = from;
        while next < to {
            // A trailing stop moves with many bars, so blocks are passed over as long as none of them matters.
            let mut end = to;
            if guard.trails() {
                end = self.tape.range.block_end(next).min(to);
                let (low, high) = self.tape.range.block(next, end);
                if guard.passes_over(low, high) {
                    next = end;
                    continue;
                }
            }
            let (floor, ceiling) = guard.band();
            let Some(bar) = self.tape.range.first_outside(next, end, floor, ceiling) else {
                next = end;
                continue;
            };
            let touch = guard.pass(self.prices(bar), self.job.market.intrabar);
            self.books.ambiguous_bars += usize::from(touch.ambiguous);
            if let Some((price, reason)) = touch.exit {
                return Some((bar, price, reason));
            }
            next = bar + 1;
        }
        None
    }

    fn prices(&self, bar: usize) -> Prices {
        let bars = self.tape.bars;
        Prices { open: bars.open()[bar], high: bars.high()[bar], low: bars.low()[bar] }
    }
}

/// Levels around `entry`; `None` when one has no value or lies on the wrong side.
fn levels(long: bool, entry: i64, gaps: [Option<Gap>; 3]) -> Option<Levels> {
    let wide = i128::from(entry);
    let at = |gap: Option<Gap>, up: bool| match gap {
        None => Some(None),
        Some(gap) => {
            let level = gap.level(entry, up)?;
            let beyond = if up { level > wide } else { level < wide };
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

/// Where a short's equity is 0 before its own costs: cash / quantity, rounded half-even.
fn liquidation(cash: i128, quantity: i128) -> Option<i128> {
    /// Below it a decimal's 28 digits tell every quotient from a half.
    const PLAIN: i128 = 1 << 62;
    if (0..PLAIN).contains(&cash) {
        return Some(exact::div_half_even(cash * i128::from(exact::ONE_E8), quantity));
    }
    let level = exact::decimal(cash).checked_div(exact::decimal(quantity))?;
    // Beyond DECIMAL(20,8) it lies beyond every price.
    exact::units(level).or(Some(i128::MAX))
}
