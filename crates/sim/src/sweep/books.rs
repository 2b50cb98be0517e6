//! The books of one variant in integers: cash, marks over stretches of bars, drawdown by block bounds, closed trades.
//! No signal and no level may enter: it is told what was filled, and over which bars a state lasted.

use std::sync::Arc;

use crate::exact;
use crate::metrics::{Drawdown, Summary, Tally, Waiting};
use crate::order::{Exit, ExitReason, RejectReason, Side, Trade};
use crate::rules::Rules;

use super::Outcome;
use super::marks::{Marks, Time};
use super::money::Lot;
use super::pyramid::Spans;
use super::round::{LIMIT, value};
use super::tape::Tape;

/// Long or short, as a mask that turns the sign of money without a branch. It fills a word, so that what holds it is moved
/// in whole words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way(i64);

impl Way {
    #[inline(always)]
    pub(super) fn of(long: bool) -> Self {
        Self(i64::from(long) - 1)
    }

    #[inline(always)]
    pub(super) fn is_long(self) -> bool {
        self.0 == 0
    }

    /// The same for a long position, with its sign changed for a short one.
    #[inline(always)]
    fn signed(self, money: i64) -> i64 {
        (money ^ self.0).wrapping_sub(self.0)
    }
}

/// The lot held, money and quantity in units of 1e-8, all below [`LIMIT`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) way: Way,
    /// What it cost; the quantity is above 0.
    pub(super) lot: Lot,
    pub(super) price: i64,
    pub(super) bar: usize,
}

impl Held {
    /// What lies where there is no lot.
    pub(super) const NONE: Self =
        Self { way: Way(0), lot: Lot { quantity: 0, notional: 0, fee: 0 }, price: 0, bar: 0 };
}

/// An exit as it was filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) bar: usize,
    pub(super) price: i64,
    pub(super) reason: ExitReason,
    pub(super) lot: Lot,
}

/// Units that what is worth less than [`LIMIT`] is less than off when it is estimated in doubles: a few roundings of 2^-53.
const ESTIMATED: f64 = 4_096.0;

/// Cash, marks and counts of one variant so far. Money that reaches [`LIMIT`] has no value here: the books are closed, and
/// the reference loop takes the variant.
#[derive(Debug)]
pub(super) struct Books<'a> {
    tape: &'a Tape<'a>,
    pub(super) cash: i64,
    fees: i128,
    /// Equity is marked up to this bar.
    pub(super) marked: usize,
    /// The next end of a day that has no mark yet; behind the last one, none.
    day_end: usize,
    drawdown: Drawdown,
    /// The highest mark so far, initial capital included.
    peak: i64,
    /// Least equity since the peak, but for times that wait; `drawdown` learns of it when the peak is reached again, or at
    /// the end.
    trough: i64,
    daily: Vec<i64>,
    tally: Tally,
    bars_held: usize,
    pub(super) ambiguous_bars: usize,
    rejections: [usize; RejectReason::ALL.len()],
    /// Closed trades one by one, only when asked for.
    pub(super) trades: Option<Vec<Trade>>,
}

impl<'a> Books<'a> {
    pub(super) fn new(tape: &'a Tape<'a>, capital: i64) -> Self {
        let first = tape.bars.n_warmup();
        Self {
            tape,
            cash: capital,
            fees: 0,
            marked: first,
            day_end: tape.day_ends.first().copied().unwrap_or(usize::MAX),
            drawdown: Drawdown::new(capital.into(), tape.bars.time_us()[first]),
            peak: capital,
            trough: capital,
            daily: Vec::with_capacity(tape.day_ends.len()),
            tally: Tally::default(),
            bars_held: 0,
            ambiguous_bars: 0,
            rejections: [0; RejectReason::ALL.len()],
            trades: None,
        }
    }

    pub(super) fn reject(&mut self, reason: RejectReason, times: usize) {
        self.rejections[reason as usize] += times;
    }

    /// Books an entry that cash covers.
    #[inline(always)]
    pub(super) fn open(&mut self, way: Way, lot: &Lot) -> Option<()> {
        self.book(way.signed(lot.notional).wrapping_neg(), lot.fee)
    }

    /// Books the exit of the whole lot. Its metrics wait for others.
    #[inline(always)]
    pub(super) fn close(
        &mut self,
        held: &Held,
        closing: &Closing,
        waiting: &mut Waiting,
    ) -> Option<()> {
        self.book(held.way.signed(closing.lot.notional), closing.lot.fee)?;
        // Four amounts below 2^61.
        let fees = held.lot.fee.wrapping_add(closing.lot.fee);
        let gained = closing.lot.notional.wrapping_sub(held.lot.notional);
        let pnl = held.way.signed(gained).wrapping_sub(fees);
        let held_us = self.tape.lasted_us(held.bar, closing.bar);
        if !waiting.push(pnl, held.lot.quantity, held.price, held_us) {
            self.count(waiting);
        }
        if self.trades.is_some() {
            // In parts, so that nobody needs to write it down as a whole.
            let Closing { bar, price, reason, lot } = *closing;
            self.list_closed(held, bar, price, reason, lot.fee, pnl);
        }
        Some(())
    }

    /// Counts the closed trades that wait.
    #[inline(never)]
    pub(super) fn count(&mut self, waiting: &mut Waiting) {
        self.tally.add_waiting(waiting);
    }

    /// Books a fill: what it brings, or takes, and its fee.
    #[inline(always)]
    fn book(&mut self, brought: i64, fee: i64) -> Option<()> {
        // Three amounts below 2^61.
        self.cash = in_range(self.cash.wrapping_add(brought).wrapping_sub(fee))?;
        self.fees += i128::from(fee);
        Some(())
    }

    #[cold]
    fn list_closed(
        &mut self,
        held: &Held,
        bar_idx: usize,
        price: i64,
        reason: ExitReason,
        fee: i64,
        pnl: i64,
    ) {
        let [price, pnl] = [price, pnl].map(|units| exact::decimal(units.into()));
        let time_us = self.tape.time_us(bar_idx);
        self.list(held, fee, Some(Exit { price, bar_idx, time_us, reason, pnl }));
    }

    fn list(&mut self, held: &Held, exit_fee: i64, exit: Option<Exit>) {
        let Some(trades) = &mut self.trades else { return };
        trades.push(Trade {
            side: if held.way.is_long() { Side::Long } else { Side::Short },
            quantity: exact::decimal(held.lot.quantity.into()),
            entry_price: exact::decimal(held.price.into()),
            entry_bar_idx: held.bar,
            entry_time_us: self.tape.bars.time_us()[held.bar],
            entry_tag: Arc::from(if held.way.is_long() { "long_entry" } else { "short_entry" }),
            commission: exact::decimal((held.lot.fee + exit_fee).into()),
            exit,
        });
    }

    /// Marks the bars up to `to` without a position.
    #[inline(always)]
    pub(super) fn mark_flat(&mut self, to: usize, marks: &mut Marks<'_>) -> Option<()> {
        let from = self.marked;
        if from >= to {
            return Some(());
        }
        self.marked = to;
        if self.day_end < to {
            self.end_days_flat(to);
        }
        if self.cash >= self.peak {
            return self.stay_at_peak(from, to, marks);
        }
        self.trough = self.trough.min(self.cash);
        Some(())
    }

    #[cold]
    fn stay_at_peak(&mut self, from: usize, to: usize, marks: &mut Marks<'_>) -> Option<()> {
        self.settle(marks)?;
        // Every equal mark moves the peak's moment on: the first and the last of them are enough.
        self.rise_to(self.cash, from);
        self.drawdown.mark(self.cash.into(), self.tape.bars.end_us(to - 1));
        Some(())
    }

    fn end_days_flat(&mut self, to: usize) {
        while self.day_end < to {
            self.end_day(self.cash);
        }
    }

    /// Marks the bars up to `to`, all in the stretch of `marks`, with `held`; their closes lie between `low` and `high`. Where
    /// doubles show that no mark comes near the peak, none is made yet.
    #[inline(always)]
    pub(super) fn mark_held(
        &mut self,
        held: &Held,
        to: usize,
        (low, high): (i64, i64),
        marks: &mut Marks<'_>,
    ) -> Option<()> {
        let from = self.marked;
        if from >= to {
            return Some(());
        }
        self.marked = to;
        self.bars_held = self.bars_held.wrapping_add(to.wrapping_sub(from));
        if self.day_end < to {
            self.end_days_held(held, to)?;
        }
        let (best, worst) = if held.way.is_long() { (high, low) } else { (low, high) };
        let (cash, one) = (self.cash as f64, unit_worth(held));
        if cash + one * best as f64 > self.peak as f64 - ESTIMATED {
            return self.climb(held, from, to, marks);
        }
        let floor = cash + one * worst as f64 - ESTIMATED;
        let (time, may) = (self.time(held, from, to), floor < self.trough as f64);
        if marks.wait(floor, time, may) { Some(()) } else { self.settle(marks) }
    }

    /// Whether equity with the short `held` surely stays above 0 where prices are at most `high`: one more unit of price
    /// outweighs how the level of liquidation is rounded.
    #[inline(always)]
    pub(super) fn stays_solvent(&self, held: &Held, high: i64) -> bool {
        let (cash, one) = (self.cash as f64, unit_worth(held));
        cash + one * (high as f64 + 1.0) > ESTIMATED
    }

    /// Makes the marks of the times that wait, as long as one of them may be the least.
    #[inline(never)]
    pub(super) fn settle(&mut self, marks: &mut Marks<'_>) -> Option<()> {
        let (waiting, closes) = marks.take();
        // Fees let equity fall more often than not, so that the last ones are the deepest.
        for (floor, time) in waiting.iter().rev() {
            if *floor < self.trough as f64 {
                self.sink(time, closes)?;
            }
        }
        Some(())
    }

    /// Makes the marks of a time, none of which reaches the peak.
    #[inline(never)]
    fn sink(&mut self, time: &Time, closes: &Spans<'_>) -> Option<()> {
        let (low, high) = closes.extremes(time.from, time.to);
        let close = if time.way.is_long() { low } else { high };
        let worst = worth(time.cash, time.way, time.quantity, close)?;
        self.trough = self.trough.min(worst);
        Some(())
    }

    #[inline(always)]
    fn time(&self, held: &Held, from: usize, to: usize) -> Time {
        Time { cash: self.cash, way: held.way, quantity: held.lot.quantity, from, to }
    }

    fn end_days_held(&mut self, held: &Held, to: usize) -> Option<()> {
        while self.day_end < to {
            self.end_day(self.equity(held, self.tape.bars.close()[self.day_end])?);
        }
        Some(())
    }

    fn end_day(&mut self, equity: i64) {
        self.daily.push(equity);
        self.day_end = self.tape.day_ends.get(self.daily.len()).copied().unwrap_or(usize::MAX);
    }

    /// Marks of `[from, to)` that reach the peak, and between them the least ones: the others change nothing.
    #[inline(never)]
    fn climb(&mut self, held: &Held, from: usize, to: usize, marks: &mut Marks<'_>) -> Option<()> {
        self.settle(marks)?;
        let closes = &marks.closes;
        let mut next = from;
        while next < to {
            let need = i128::from(self.peak) - i128::from(self.cash);
            let (floor, ceiling) = peak_band(need, held);
            let found = closes.first_outside(next, to, floor, ceiling);
            let end = found.unwrap_or(to);
            if next < end {
                self.sink(&self.time(held, next, end), closes)?;
            }
            if let Some(bar) = found {
                let equity = self.equity(held, self.tape.bars.close()[bar])?;
                self.rise_to(equity, bar);
            }
            next = end + 1;
        }
        Some(())
    }

    /// A mark at the peak or higher.
    fn rise_to(&mut self, equity: i64, bar: usize) {
        self.tell_drawdown(bar);
        self.drawdown.mark(equity.into(), self.tape.bars.end_us(bar));
        (self.peak, self.trough) = (equity, equity);
    }

    /// Marks the trough, if there is one; of its bar nothing is kept, because a mark at `bar` follows.
    fn tell_drawdown(&mut self, bar: usize) {
        if self.trough < self.peak {
            self.drawdown.mark(self.trough.into(), self.tape.bars.end_us(bar));
        }
    }

    /// Equity with `held` marked at `close`.
    #[inline(always)]
    pub(super) fn equity(&self, held: &Held, close: i64) -> Option<i64> {
        worth(self.cash, held.way, held.lot.quantity, close)
    }

    /// What came of the variant, `open` being the position still held; every bar is marked.
    pub(super) fn outcome(
        &mut self,
        rules: &Rules,
        capital: i64,
        open: Option<&Held>,
    ) -> Option<Outcome> {
        let bars = self.tape.bars;
        let (first, last) = (bars.n_warmup(), bars.len() - 1);
        let close = bars.close()[last];
        let (mut final_e8, mut open_pnl) = (self.cash, 0);
        if let Some(held) = open {
            let worth = value(held.lot.quantity, close)?;
            final_e8 += held.way.signed(worth);
            open_pnl = held.way.signed(worth - held.lot.notional) - held.lot.fee;
            self.list(held, 0, None);
        }
        self.tell_drawdown(last);
        // A drawdown still open counts to the last mark.
        self.drawdown.mark(final_e8.into(), bars.end_us(last));
        let daily_e8: Vec<i128> = self.daily.iter().copied().map(i128::from).collect();
        let metrics = Summary {
            initial_e8: capital.into(),
            final_e8: final_e8.into(),
            daily_e8: &daily_e8,
            drawdown: self.drawdown.finish(),
            elapsed_us: bars.end_us(last) - bars.time_us()[first],
            timeframe: bars.timeframe(),
            year_days: rules.year_days,
            risk_free: rules.risk_free,
        }
        .with(&self.tally);
        Some(Outcome {
            metrics,
            rejections: self.rejections,
            ambiguous_bars: self.ambiguous_bars,
            bars_held: self.bars_held,
            fees: exact::decimal(self.fees),
            open_pnl: exact::decimal(open_pnl.into()),
            buy_and_hold: self.tape.buy_and_hold,
            open_trades: usize::from(open.is_some()),
        })
    }
}

/// Closes that mark `held` at `need` or more, counted as its share of equity (negative for a short): those at or below
/// the first, or at or above the second.
fn peak_band(need: i128, held: &Held) -> (i64, i64) {
    const ONE: i128 = exact::ONE_E8 as i128;
    let quantity = i128::from(held.lot.quantity);
    let clamp = |level: i128| i64::try_from(level.max(0)).unwrap_or(i64::MAX);
    // Halves go to even, so the half in front of an odd number belongs to the even one before it, and the half
    // behind an odd number to the even one behind.
    if held.way.is_long() {
        let least = need * ONE - ONE / 2 + (need & 1);
        (i64::MIN, clamp(-(-least).div_euclid(quantity)))
    } else {
        let greatest = -need * ONE + ONE / 2 - (need & 1);
        let level = greatest.div_euclid(quantity);
        (if level < 0 { i64::MIN } else { clamp(level) }, i64::MAX)
    }
}

/// What one unit of price changes in what is held, in units.
#[inline(always)]
fn unit_worth(held: &Held) -> f64 {
    held.way.signed(held.lot.quantity) as f64 * (1.0 / exact::ONE_E8 as f64)
}

/// Cash and what is held at a close.
#[inline(always)]
fn worth(cash: i64, way: Way, quantity: i64, close: i64) -> Option<i64> {
    // Both below 2^61.
    in_range(cash.wrapping_add(way.signed(value(quantity, close)?)))
}

#[inline(always)]
fn in_range(money: i64) -> Option<i64> {
    // From -LIMIT on, as what is not negative.
    let raised = money.wrapping_add(LIMIT).cast_unsigned();
    (raised < 2 * LIMIT.cast_unsigned()).then_some(money)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_band_holds_what_marks_at_the_peak() {
        for quantity in [1, 3, 25_000_000, 50_000_000, 100_000_000, 150_000_001, 250_000_000] {
            for long in [true, false] {
                let lot = Lot { quantity, notional: 0, fee: 0 };
                let way = Way::of(long);
                let held = Held { way, lot, price: 1, bar: 0 };
                for need in -12..=12 {
                    let (floor, ceiling) = peak_band(need, &held);
                    for close in 1..60 {
                        let reached =
                            i128::from(way.signed(value(quantity, close).unwrap())) >= need;
                        let inside = close <= floor || close >= ceiling;
                        assert_eq!(inside, reached, "{quantity} {long} {need} {close}");
                    }
                }
            }
        }
    }
}
