//! One variant from event to event: the next signal, the bar that a level stops, and nothing in between.
//! Every decision of the reference loop has its counterpart here; no expression is evaluated.

use std::ops::Range;

use crate::metrics::Waiting;
use crate::order::{ExitReason, RejectReason};
use crate::rules::Rules;

use super::Walked;
use super::books::{Books, Closing, Held, Way};
use super::flags::{Flags, Holding};
use super::levels::{Guard, Levels, Prices};
use super::marks::Marks;
use super::money::{Gap, Lot, Market};
use super::pyramid::Spans;
use super::round;
use super::tape::{Lapse, Tape};

/// Where the distance of a level comes from.
#[derive(Clone, Debug)]
pub(super) enum Distance<'a> {
    /// The same at every bar.
    Fixed(Gap<'a>),
    /// A value a bar, quote units: the place among [`Near::distances`].
    Varying(usize),
}

impl<'a> Distance<'a> {
    #[inline(always)]
    fn at(&self, bar: usize, near: &Near<'_>) -> Gap<'a> {
        match self {
            Self::Fixed(gap) => *gap,
            Self::Varying(place) => Gap::quote(near.distances[*place][bar - near.from]),
        }
    }
}

/// One variant, but for its signals.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) rules: &'a Rules,
    pub(super) market: Market,
    /// Stop loss, take profit, trailing stop.
    pub(super) distances: [Option<Distance<'a>>; 3],
    pub(super) time_stop: Option<Lapse>,
}

/// What all variants of a thread look at over one stretch of bars, the core's cache being warm with it.
#[derive(Debug)]
pub(super) struct Near<'a> {
    tape: &'a Tape<'a>,
    /// Lows and highs.
    range: Spans<'a>,
    marks: Marks<'a>,
    /// Distances of levels, one value a bar.
    pub(super) distances: Vec<Vec<f64>>,
    /// Its bars.
    from: usize,
    to: usize,
    /// Closed trades of the variant that is here.
    waiting: Waiting,
}

impl<'a> Near<'a> {
    /// In front of the first bar.
    pub(super) fn new(tape: &'a Tape<'a>) -> Self {
        let (range, marks) = (Spans::new(&tape.range), Marks::new(tape));
        let (distances, waiting) = (Vec::new(), Waiting::new());
        Self { tape, range, marks, distances, from: 0, to: 0, waiting }
    }

    /// Goes to the stretch of `bars`; its distances are written by others.
    pub(super) fn read(&mut self, bars: &Range<usize>) {
        (self.from, self.to) = (bars.start, bars.end);
        self.range.read(bars.start);
        self.marks.closes.read(bars.start);
    }
}

/// A variant on its way over the bars: it is told its signals a stretch at a time and remembers where it stands.
///
/// A position lies here in parts, each written where it stays: to move it as a whole takes longer than to open it.
#[derive(Debug)]
pub(super) struct Walker<'a> {
    job: Job<'a>,
    books: Books<'a>,
    /// The lot held, as long as it `holds` one.
    held: Held,
    holds: bool,
    /// What guards the lot held: where every position has levels from its entry on, else from when ruin is near.
    guard: Guard<'a>,
    /// The bar at whose open the time stop closes the lot held.
    due: usize,
    /// Without a position, the next bar at whose close one is decided on; with one, the next bar that may end it.
    next: usize,
    /// Whether every position has levels.
    guarded: bool,
    /// A number left the integers that are counted in here.
    beyond: bool,
}

/// Why a position was not opened.
enum Not {
    Refused(RejectReason),
    /// A number left the integers that are counted in here.
    Beyond,
}

/// How a position goes on.
enum End {
    /// It is still open behind the stretch.
    Open,
    /// A level or the time stop ends it at a bar, at a price.
    Stopped(usize, i64, ExitReason),
    /// The signals at the close of a bar do.
    Decided(usize),
}

impl<'a> Walker<'a> {
    /// A walker in front of the first bar; with `list`, it keeps its trades.
    pub(super) fn new(job: Job<'a>, tape: &'a Tape<'a>, list: bool) -> Self {
        let mut books = Books::new(tape, job.market.capital);
        books.trades = list.then(Vec::new);
        Self {
            books,
            held: Held::NONE,
            holds: false,
            guard: Guard::new(true, 0, Levels::default(), None, None),
            due: usize::MAX,
            next: tape.bars.n_warmup(),
            guarded: job.distances.iter().any(Option::is_some),
            beyond: false,
            job,
        }
    }

    /// The bars at whose closes something can be decided: from the first to the one in front of the second.
    pub(super) fn decisions(&self, tape: &Tape<'_>) -> (usize, usize) {
        // A decision on the last bar would never fill at a next open.
        (tape.bars.n_warmup(), tape.bars.len() - usize::from(!self.job.market.at_close))
    }

    /// Walks on over the stretch; `flags` are its signals.
    pub(super) fn advance(&mut self, flags: &Flags, near: &mut Near<'_>) {
        self.beyond = self.beyond || self.follow(flags, near).is_none();
        // The next variant is to find nothing of this one.
        near.marks.clear();
        self.books.count(&mut near.waiting);
    }

    /// What came of the variant, all bars being walked, and its trades if they were kept. `None` where only the reference
    /// loop can say that.
    pub(super) fn finish(mut self) -> Option<Walked> {
        if self.beyond {
            return None;
        }
        let (rules, capital) = (self.job.rules, self.job.market.capital);
        let outcome = self.books.outcome(rules, capital, self.holds.then_some(&self.held))?;
        Some((outcome, self.books.trades.unwrap_or_default()))
    }

    fn follow(&mut self, flags: &Flags, near: &mut Near<'_>) -> Option<()> {
        self.books.reject(RejectReason::Conflict, flags.conflicts());
        while self.next < near.to {
            if self.holds {
                self.hold(flags, near)?;
            } else if let Some(decided) = flags.next(Holding::Nothing, self.next) {
                self.enter(!flags.is_short(decided), decided, near)?;
            } else {
                self.next = near.to;
            }
        }
        if !self.holds {
            self.books.mark_flat(near.to, &mut near.marks)?;
        } else if self.books.marked < near.to {
            let bounds = near.marks.closes.bounds(self.books.marked, near.to);
            self.books.mark_held(&self.held, near.to, bounds, &mut near.marks)?;
        }
        self.books.settle(&mut near.marks)
    }

    /// The bar on which a decision at the close of `decided` fills.
    #[inline(always)]
    fn fill_bar(&self, decided: usize) -> usize {
        decided.wrapping_add(usize::from(!self.job.market.at_close))
    }

    /// Price of a market fill on `fill_bar` before slippage.
    #[inline(always)]
    fn raw_price(&self, tape: &Tape<'_>, fill_bar: usize) -> i64 {
        let bars = tape.bars;
        if self.job.market.at_close { bars.close()[fill_bar] } else { bars.open()[fill_bar] }
    }

    /// Makes the entry decided on at `decided`, or counts why not; `None` beyond the integers that are counted in here.
    #[inline(always)]
    fn enter(&mut self, long: bool, decided: usize, near: &mut Near<'_>) -> Option<()> {
        // The close of the bar of the fill is the first to decide something, unless the fill was at that close.
        self.next = decided.wrapping_add(1);
        let bar = self.fill_bar(decided);
        let price = self.job.market.taker_price(self.raw_price(near.tape, bar), long);
        let (lot, levels) = match self.order(long, price, decided, near) {
            Ok(order) => order,
            Err(Not::Refused(reason)) => {
                self.books.reject(reason, 1);
                return Some(());
            }
            Err(Not::Beyond) => return None,
        };
        self.books.mark_flat(bar, &mut near.marks)?;
        let way = Way::of(long);
        self.books.open(way, &lot)?;
        if self.guarded {
            let trailing = self.trailing(decided, near);
            self.guard = Guard::new(long, price, levels, self.ruin(long, &lot), trailing);
        }
        if let Some(lapse) = self.job.time_stop {
            self.due = near.tape.first_after(bar, lapse);
        }
        self.held = Held { way, lot, price, bar };
        self.holds = true;
        Some(())
    }

    /// What is bought or sold at `price`, and its levels. The tests stand in the order in which a refusal is named.
    #[inline(always)]
    fn order(
        &self,
        long: bool,
        price: i64,
        decided: usize,
        near: &Near<'_>,
    ) -> Result<(Lot, Levels), Not> {
        let (market, equity) = (&self.job.market, self.books.cash);
        if equity <= 0 {
            return Err(Not::Refused(RejectReason::Cash));
        }
        let mut levels = Levels::default();
        if self.guarded {
            levels = self
                .levels(long, price, decided, near)
                .ok_or(Not::Refused(RejectReason::StopUndefined))?;
        }
        let lot = market.quantity(price, equity, levels.stop()).ok_or(Not::Beyond)?;
        if lot.quantity <= 0 {
            return Err(Not::Refused(RejectReason::Lot));
        }
        if lot.notional < market.min_notional {
            return Err(Not::Refused(RejectReason::MinNotional));
        }
        // Both are below 2^61.
        if lot.notional.wrapping_add(lot.fee) > equity {
            return Err(Not::Refused(RejectReason::Cash));
        }
        Ok((lot, levels))
    }

    /// Levels around `entry`; `None` when one has no value or lies on the wrong side.
    #[inline(always)]
    fn levels(&self, long: bool, entry: i64, decided: usize, near: &Near<'_>) -> Option<Levels> {
        let [stop_loss, target, trailing] = &self.job.distances;
        // Nothing is called for a level that there is not.
        let at = |distance: &Distance<'_>, up| level(distance, entry, up, decided, near);
        Some(Levels {
            stop_loss: stop_loss.as_ref().map_or(Some(0), |of| at(of, !long))?,
            target: target.as_ref().map_or(Some(0), |of| at(of, long))?,
            first_trail: trailing.as_ref().map_or(Some(0), |of| at(of, !long))?,
        })
    }

    /// Whether lows and highs may end the position held. A short without levels is guarded against ruin alone, which is
    /// looked at when it is near.
    #[inline(always)]
    fn armed(&self) -> bool {
        self.guarded || !self.held.way.is_long()
    }

    /// The level of liquidation of a short that was just opened, before its own costs.
    #[inline(always)]
    fn ruin(&self, long: bool, lot: &Lot) -> Option<i64> {
        if long { None } else { round::liquidation(self.books.cash, lot.quantity) }
    }

    #[inline(always)]
    fn trailing(&self, decided: usize, near: &Near<'_>) -> Option<Gap<'a>> {
        self.job.distances[2].as_ref().map(|distance| distance.at(decided, near))
    }

    /// Follows the lot held to its end, books that, and makes the entry that follows from it; or goes to the end of the
    /// stretch.
    #[inline(always)]
    fn hold(&mut self, flags: &Flags, near: &mut Near<'_>) -> Option<()> {
        let long = self.held.way.is_long();
        let signal = flags.next(if long { Holding::Long } else { Holding::Short }, self.next);
        // A signal lets its own bar pass whole; the bar of a time stop only opens.
        let end = signal.map_or(near.to, |bar| bar.wrapping_add(1));
        let until = end.min(self.due);
        // Prices of all bars that are still to be marked, and of those that levels see.
        let spans = if self.armed() { &near.range } else { &near.marks.closes };
        let bounds = spans.bounds(self.books.marked, until.max(self.next.wrapping_add(1)));
        match self.end(signal, end, bounds, near) {
            End::Open => {
                self.next = near.to;
                self.books.mark_held(&self.held, near.to, bounds, &mut near.marks)
            }
            End::Stopped(bar, raw, reason) => {
                self.next = bar;
                self.close(bar, raw, reason, bounds, near)
            }
            End::Decided(decided) => {
                let bar = self.fill_bar(decided);
                let raw = self.raw_price(near.tape, bar);
                // With fill = close the position is still held when the decision looks at equity.
                if self.job.market.at_close {
                    self.books.equity(&self.held, raw)?;
                }
                let turns = flags.enters(!long, decided);
                let reverse = turns && !flags.exits(long, decided);
                let reason = if reverse { ExitReason::Reverse } else { ExitReason::Signal };
                self.close(bar, raw, reason, bounds, near)?;
                self.next = decided.wrapping_add(1);
                if turns { self.enter(!long, decided, near) } else { Some(()) }
            }
        }
    }

    /// What ends an open position comes first of: a level inside a bar, the time stop, a signal. `end` is the bar behind the
    /// last one that levels may see, and no price on the way is out of `bounds`.
    #[inline(always)]
    fn end(
        &mut self,
        signal: Option<usize>,
        end: usize,
        (low, high): (i64, i64),
        near: &Near<'_>,
    ) -> End {
        let until = end.min(self.due);
        if self.armed() && self.next < until {
            let clear = if self.guarded {
                // Most positions end by a signal long before a level is near. One that stays open needs its trailing stop
                // again.
                let over = signal.is_some() || self.due < end || !self.guard.trails();
                over && self.guard.stays_clear(low, high)
            } else {
                self.books.stays_solvent(&self.held, high)
            };
            if !clear {
                let hit = self.level_hit(self.next..until, near);
                if let Some((bar, price, reason)) = hit {
                    return End::Stopped(bar, price, reason);
                }
            }
        }
        if self.due < end {
            return End::Stopped(self.due, near.tape.bars.open()[self.due], ExitReason::TimeStop);
        }
        signal.map_or(End::Open, End::Decided)
    }

    /// The first of `bars` in which a level acts. Only bars that reach a level, or a new extreme under a trailing stop, are
    /// looked at; those that leave open what happened first are counted.
    #[inline(never)]
    fn level_hit(
        &mut self,
        bars: Range<usize>,
        near: &Near<'_>,
    ) -> Option<(usize, i64, ExitReason)> {
        if !self.guarded {
            let Held { lot, price, .. } = self.held;
            let ruin = self.ruin(false, &lot);
            self.guard = Guard::new(false, price, Levels::default(), ruin, None);
        }
        let Range { start: mut next, end: to } = bars;
        let (range, guard) = (&near.range, &mut self.guard);
        if guard.trails() {
            let (low, high) = range.extremes(next, to);
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
            let bars = near.tape.bars;
            let prices =
                Prices { open: bars.open()[bar], high: bars.high()[bar], low: bars.low()[bar] };
            let touch = guard.pass(prices, self.job.market.intrabar);
            self.books.ambiguous_bars += usize::from(touch.ambiguous);
            if let Some((price, reason)) = touch.exit {
                return Some((bar, price, reason));
            }
            next = bar + 1;
        }
        None
    }

    /// Marks the position up to `bar` and closes it there at `raw`: a target as maker at its price, all else as taker with
    /// slippage.
    #[inline(always)]
    fn close(
        &mut self,
        bar: usize,
        raw: i64,
        reason: ExitReason,
        bounds: (i64, i64),
        near: &mut Near<'_>,
    ) -> Option<()> {
        let (held, market) = (&self.held, &self.job.market);
        self.books.mark_held(held, bar, bounds, &mut near.marks)?;
        let (buying, maker) = (!held.way.is_long(), reason == ExitReason::TakeProfit);
        let price =
            if maker { market.maker_price(raw, buying) } else { market.taker_price(raw, buying) };
        let lot = market.cost(held.lot.quantity, price, maker)?;
        self.holds = false;
        self.books.close(held, &Closing { bar, price, reason, lot }, &mut near.waiting)
    }
}

/// The level at a distance from `entry`; `None` when it has no value or lies on the wrong side.
#[inline(always)]
fn level(
    distance: &Distance<'_>,
    entry: i64,
    up: bool,
    decided: usize,
    near: &Near<'_>,
) -> Option<i64> {
    let level = distance.at(decided, near).level(entry, up)?;
    let beyond = if up { level > entry } else { level < entry };
    beyond.then_some(level)
}
