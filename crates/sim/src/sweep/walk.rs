//! One variant from event to event: the next signal, the bar that a level stops, and nothing in between.
//! Every decision of the reference loop has its counterpart here; no expression is evaluated.

use std::ops::Range;

use crate::metrics::Waiting;
use crate::order::{ExitReason, RejectReason};
use crate::rules::{Intrabar, Rules};

use super::Walked;
use super::books::{Books, Closing, Held, Way};
use super::flags::{Flags, Holding};
use super::levels::{Guard, Levels, Prices};
use super::money::{Gap, Market};
use super::pyramid::Spans;
use super::round;
use super::tape::Tape;

/// Where the distance of a level comes from.
#[derive(Clone, Debug)]
pub(super) enum Distance {
    /// The same at every bar.
    Fixed(Gap),
    /// A value a bar, quote units: the place among [`Near::distances`].
    Varying(usize),
}

impl Distance {
    #[inline(always)]
    fn at(&self, bar: usize, near: &Near<'_>) -> Gap {
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
    pub(super) distances: [Option<Distance>; 3],
    pub(super) time_stop_us: Option<i64>,
}

/// What all variants of a thread look at over one stretch of bars, the core's cache being warm with it.
#[derive(Debug)]
pub(super) struct Near<'a> {
    tape: &'a Tape<'a>,
    /// Lows and highs.
    range: Spans<'a>,
    closes: Spans<'a>,
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
        let (range, closes) = (Spans::new(&tape.range), Spans::new(&tape.closes));
        let (distances, waiting) = (Vec::new(), Waiting::new());
        Self { tape, range, closes, distances, from: 0, to: 0, waiting }
    }

    /// Goes to the stretch of `bars`; its distances are written by others.
    pub(super) fn read(&mut self, bars: &Range<usize>) {
        (self.from, self.to) = (bars.start, bars.end);
        self.range.read(bars.start);
        self.closes.read(bars.start);
    }
}

/// A variant on its way over the bars: it is told its signals a stretch at a time and remembers where it stands.
///
/// A position lies here in parts, each written where it stays: to move it as a whole takes longer than to open it.
#[derive(Debug)]
pub(super) struct Walker<'a> {
    job: Job<'a>,
    books: Books<'a>,
    held: Option<Held>,
    /// What guards the lot held, where it is `armed`.
    guard: Guard,
    armed: bool,
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
            held: None,
            guard: Guard::new(true, 0, Levels::default(), None, None),
            armed: false,
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
        self.books.count(&mut near.waiting);
    }

    /// What came of the variant, all bars being walked, and its trades if they were kept. `None` where only the reference
    /// loop can say that.
    pub(super) fn finish(mut self, tape: &Tape<'_>) -> Option<Walked> {
        if self.beyond {
            return None;
        }
        if self.held.is_none() {
            self.books.mark_flat(tape.bars.len());
        }
        let (rules, capital) = (self.job.rules, self.job.market.capital);
        let outcome = self.books.outcome(rules, capital, self.held.as_ref())?;
        Some((outcome, self.books.trades.unwrap_or_default()))
    }

    fn follow(&mut self, flags: &Flags, near: &mut Near<'_>) -> Option<()> {
        self.books.reject(RejectReason::Conflict, flags.conflicts());
        let mut held = self.held;
        while self.next < near.to {
            held = if let Some(held) = held {
                self.hold(held, flags, near)?
            } else if let Some(decided) = flags.next(Holding::Nothing, self.next) {
                self.entered(!flags.is_short(decided), decided, near)?
            } else {
                self.next = near.to;
                None
            };
        }
        if let Some(held) = &held {
            self.books.mark_held(held, near.to, &near.closes)?;
        }
        self.held = held;
        Some(())
    }

    /// The bar on which a decision at the close of `decided` fills.
    #[inline(always)]
    fn fill_bar(&self, decided: usize) -> usize {
        decided + usize::from(!self.job.market.at_close)
    }

    /// Price of a market fill on `fill_bar` before slippage.
    #[inline(always)]
    fn raw_price(&self, tape: &Tape<'_>, fill_bar: usize) -> i64 {
        let bars = tape.bars;
        if self.job.market.at_close { bars.close()[fill_bar] } else { bars.open()[fill_bar] }
    }

    /// Makes the entry decided on at `decided`, or counts why not.
    #[inline(always)]
    fn entered(&mut self, long: bool, decided: usize, near: &Near<'_>) -> Option<Option<Held>> {
        // The close of the bar of the fill is the first to decide something, unless the fill was at that close.
        self.next = decided + 1;
        match self.enter(long, decided, near) {
            Ok(held) => Some(Some(held)),
            Err(Not::Refused(reason)) => {
                self.books.reject(reason, 1);
                Some(None)
            }
            Err(Not::Beyond) => None,
        }
    }

    /// The tests stand in the order in which a refusal is named.
    #[inline(always)]
    fn enter(&mut self, long: bool, decided: usize, near: &Near<'_>) -> Result<Held, Not> {
        let tape = near.tape;
        let (market, bar) = (&self.job.market, self.fill_bar(decided));
        let equity = self.books.cash;
        if equity <= 0 {
            return Err(Not::Refused(RejectReason::Cash));
        }
        let price = market.taker_price(self.raw_price(tape, bar), long);
        let (mut levels, mut trailing) = Default::default();
        if self.guarded {
            (levels, trailing) = self
                .levels(long, price, decided, near)
                .ok_or(Not::Refused(RejectReason::StopUndefined))?;
        }
        let stop = levels.stop_loss.or(levels.first_trail);
        let lot = market.quantity(price, equity, stop).ok_or(Not::Beyond)?;
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
        self.books.mark_flat(bar);
        let way = Way::of(long);
        self.books.open(way, &lot).ok_or(Not::Beyond)?;
        self.armed = self.guarded || !long;
        if self.armed {
            let cash = self.books.cash;
            let liquidation = if long { None } else { round::liquidation(cash, lot.quantity) };
            self.guard = Guard::new(long, price, levels, liquidation, trailing);
        }
        if let Some(us) = self.job.time_stop_us {
            self.due = tape.first_after(bar, us);
        }
        Ok(Held { way, lot, price, bar })
    }

    /// Levels around `entry`, and the distance of the trailing one; `None` when one has no value or lies on the wrong side.
    #[inline(always)]
    fn levels(
        &self,
        long: bool,
        entry: i64,
        decided: usize,
        near: &Near<'_>,
    ) -> Option<(Levels, Option<Gap>)> {
        let [stop_loss, target, trailing] = &self.job.distances;
        let stop_loss = gap(stop_loss, decided, near);
        let target = gap(target, decided, near);
        let trailing = gap(trailing, decided, near);
        let levels = Levels {
            stop_loss: level(stop_loss, entry, !long)?,
            target: level(target, entry, long)?,
            first_trail: level(trailing, entry, !long)?,
        };
        Some((levels, trailing))
    }

    /// Follows the lot held to its end, books that, and makes the entry that follows from it; or goes to the end of the
    /// stretch.
    #[inline(always)]
    fn hold(&mut self, held: Held, flags: &Flags, near: &mut Near<'_>) -> Option<Option<Held>> {
        let long = held.way.is_long();
        match self.end(long, flags, near) {
            End::Open => {
                self.next = near.to;
                Some(Some(held))
            }
            End::Stopped(bar, raw, reason) => {
                self.next = bar;
                self.close(&held, bar, raw, reason, near)?;
                Some(None)
            }
            End::Decided(decided) => {
                let bar = self.fill_bar(decided);
                let raw = self.raw_price(near.tape, bar);
                // With fill = close the position is still held when the decision looks at equity.
                if self.job.market.at_close {
                    self.books.equity(&held, raw)?;
                }
                let turns = flags.enters(!long, decided);
                let reverse = turns && !flags.exits(long, decided);
                let reason = if reverse { ExitReason::Reverse } else { ExitReason::Signal };
                self.close(&held, bar, raw, reason, near)?;
                self.next = decided + 1;
                if turns { self.entered(!long, decided, near) } else { Some(None) }
            }
        }
    }

    /// What ends an open position comes first of: a level inside a bar, the time stop, a signal.
    #[inline(always)]
    fn end(&mut self, long: bool, flags: &Flags, near: &Near<'_>) -> End {
        let holding = if long { Holding::Long } else { Holding::Short };
        let signal = flags.next(holding, self.next);
        // A signal lets its own bar pass whole; the bar of a time stop only opens.
        let end = signal.map_or(near.to, |bar| bar + 1);
        let until = end.min(self.due);
        if self.armed && self.next < until {
            let (low, high) = near.range.bounds(self.next, until);
            // Most positions end by a signal long before a level is near. One that stays open needs its trailing stop again.
            let over = signal.is_some() || self.due < end || !self.guard.trails();
            if !(over && self.guard.stays_clear(low, high)) {
                let (bars, intrabar) = (self.next..until, self.job.market.intrabar);
                let ambiguous = &mut self.books.ambiguous_bars;
                let hit = level_hit(&mut self.guard, near, intrabar, bars, ambiguous);
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

    /// Marks the position up to `bar` and closes it there at `raw`: a target as maker at its price, all else as taker with
    /// slippage.
    #[inline(always)]
    fn close(
        &mut self,
        held: &Held,
        bar: usize,
        raw: i64,
        reason: ExitReason,
        near: &mut Near<'_>,
    ) -> Option<()> {
        self.books.mark_held(held, bar, &near.closes)?;
        let market = &self.job.market;
        let (buying, maker) = (!held.way.is_long(), reason == ExitReason::TakeProfit);
        let price =
            if maker { market.maker_price(raw, buying) } else { market.taker_price(raw, buying) };
        let lot = market.cost(held.lot.quantity, price, maker)?;
        self.books.close(held, &Closing { bar, price, reason, lot }, &mut near.waiting)
    }
}

/// A distance, if there is one, as it is at `bar`.
#[inline(always)]
fn gap(distance: &Option<Distance>, bar: usize, near: &Near<'_>) -> Option<Gap> {
    distance.as_ref().map(|distance| distance.at(bar, near))
}

/// The level at a distance from `entry`, if there is a distance; `None` when it has no value or lies on the wrong side.
#[inline(always)]
fn level(gap: Option<Gap>, entry: i64, up: bool) -> Option<Option<i64>> {
    let Some(gap) = gap else { return Some(None) };
    let level = gap.level(entry, up)?;
    let beyond = if up { level > entry } else { level < entry };
    if beyond { Some(Some(level)) } else { None }
}

/// The first of `bars` in which a level acts. Only bars that reach a level, or a new extreme under a trailing stop, are
/// looked at; those that leave open what happened first are counted.
#[inline(never)]
fn level_hit(
    guard: &mut Guard,
    near: &Near<'_>,
    intrabar: Intrabar,
    bars: Range<usize>,
    ambiguous: &mut usize,
) -> Option<(usize, i64, ExitReason)> {
    let Range { start: mut next, end: to } = bars;
    let range = &near.range;
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
        let touch = guard.pass(prices, intrabar);
        *ambiguous += usize::from(touch.ambiguous);
        if let Some((price, reason)) = touch.exit {
            return Some((bar, price, reason));
        }
        next = bar + 1;
    }
    None
}
