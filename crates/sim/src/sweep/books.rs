//! The books of one variant in integers: cash, marks over stretches of bars, drawdown by block bounds, closed trades.
//! No signal and no level may enter: it is told what was filled, and over which bars a state lasted.

use std::sync::Arc;

use crate::exact;
use crate::metrics::{Closed, Drawdown, Summary, Tally};
use crate::order::{Exit, ExitReason, RejectReason, Side, Trade};
use crate::rules::Rules;

use super::Outcome;
use super::money::{LIMIT, value};
use super::pyramid::Pyramid;
use super::tape::Tape;

/// The lot held, money and quantity in units of 1e-8, all below [`LIMIT`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) long: bool,
    /// Above 0.
    pub(super) quantity: i64,
    pub(super) price: i64,
    pub(super) bar: usize,
    pub(super) notional: i64,
    pub(super) fee: i64,
}

/// An exit as it was filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) bar: usize,
    pub(super) price: i64,
    pub(super) reason: ExitReason,
    pub(super) notional: i64,
    pub(super) fee: i64,
}

/// Cash, marks and counts of one variant so far. Money that reaches [`LIMIT`] has no value here: the books are closed, and
/// the reference loop takes the variant.
#[derive(Debug)]
pub(super) struct Books<'a> {
    tape: &'a Tape<'a>,
    pub(super) cash: i64,
    fees: i128,
    /// Equity is marked up to this bar.
    pub(super) marked: usize,
    drawdown: Drawdown,
    /// Least equity since the last peak; `drawdown` learns of it when the peak is reached again, or at the end.
    trough: i64,
    /// A bar that was marked below the peak, while `drawdown` does not know of it.
    sunk_at: Option<usize>,
    daily: Vec<i128>,
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
            drawdown: Drawdown::new(capital.into(), tape.bars.time_us()[first]),
            trough: capital,
            sunk_at: None,
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
    pub(super) fn open(&mut self, held: &Held) -> Option<()> {
        self.cash = in_range(self.cash - signed(held.long, held.notional) - held.fee)?;
        self.fees += i128::from(held.fee);
        Some(())
    }

    /// Books the exit of the whole lot.
    pub(super) fn close(&mut self, held: &Held, closing: &Closing) -> Option<()> {
        self.cash = in_range(self.cash + signed(held.long, closing.notional) - closing.fee)?;
        self.fees += i128::from(closing.fee);
        let pnl_e8 = signed(held.long, closing.notional - held.notional) - held.fee - closing.fee;
        self.tally.add(&Closed {
            pnl_e8: pnl_e8.into(),
            quantity_e8: held.quantity.into(),
            entry_price_e8: held.price.into(),
            held_us: self.tape.time_us(closing.bar) - self.tape.time_us(held.bar),
        });
        if self.trades.is_some() {
            let exit = Exit {
                price: exact::decimal(closing.price.into()),
                bar_idx: closing.bar,
                time_us: self.tape.time_us(closing.bar),
                reason: closing.reason,
                pnl: exact::decimal(pnl_e8.into()),
            };
            self.list(held, closing.fee, Some(exit));
        }
        Some(())
    }

    fn list(&mut self, held: &Held, exit_fee: i64, exit: Option<Exit>) {
        let Some(trades) = &mut self.trades else { return };
        trades.push(Trade {
            side: if held.long { Side::Long } else { Side::Short },
            quantity: exact::decimal(held.quantity.into()),
            entry_price: exact::decimal(held.price.into()),
            entry_bar_idx: held.bar,
            entry_time_us: self.tape.bars.time_us()[held.bar],
            entry_tag: Arc::from(if held.long { "long_entry" } else { "short_entry" }),
            commission: exact::decimal((held.fee + exit_fee).into()),
            exit,
        });
    }

    /// Marks the bars up to `to` without a position.
    pub(super) fn mark_flat(&mut self, to: usize) {
        let from = self.marked;
        if from >= to {
            return;
        }
        self.marked = to;
        let (cash, bars) = (self.cash, self.tape.bars);
        while self.day_end().is_some_and(|day_end| day_end < to) {
            self.daily.push(cash.into());
        }
        if i128::from(cash) >= self.drawdown.peak_e8() {
            // Every equal mark moves the peak's moment on: the first and the last of them are enough.
            self.rise_to(cash, from);
            self.drawdown.mark(cash.into(), bars.end_us(to - 1));
        } else {
            self.sink_to(cash, from);
        }
    }

    /// Marks the bars up to `to` with `held`.
    #[inline]
    pub(super) fn mark_held(&mut self, held: &Held, to: usize) -> Option<()> {
        let from = self.marked;
        if from >= to {
            return Some(());
        }
        self.marked = to;
        self.bars_held += to - from;
        let (least, greatest) = self.tape.closes.bounds(from, to);
        let (best, worst) = if held.long { (greatest, least) } else { (least, greatest) };
        let (best, worst) = (self.equity(held, best)?, self.equity(held, worst)?);
        while let Some(day_end) = self.day_end().filter(|&day_end| day_end < to) {
            let equity = self.equity(held, self.tape.bars.close()[day_end])?;
            self.daily.push(equity.into());
        }
        if i128::from(best) >= self.drawdown.peak_e8() {
            self.climb(held, from, to)?;
        } else if Pyramid::is_exact(from, to) {
            self.sink_to(worst, from);
        } else if worst < self.trough {
            self.sink_within(held, from, to)?;
        }
        Some(())
    }

    /// The least mark of `[from, to)`, none of which reaches the peak.
    fn sink_within(&mut self, held: &Held, from: usize, to: usize) -> Option<()> {
        let closes = &self.tape.closes;
        let worst = if held.long { closes.least(from, to) } else { closes.greatest(from, to) };
        self.sink_to(self.equity(held, worst)?, from);
        Some(())
    }

    /// Marks of `[from, to)` that reach the peak, and between them the least ones: the others change nothing.
    fn climb(&mut self, held: &Held, from: usize, to: usize) -> Option<()> {
        let closes = self.tape.bars.close();
        let mut next = from;
        while next < to {
            let need = self.drawdown.peak_e8() - i128::from(self.cash);
            let (floor, ceiling) = peak_band(need, held);
            let found = self.tape.closes.first_outside(next, to, floor, ceiling);
            let end = found.unwrap_or(to);
            if next < end {
                self.sink_within(held, next, end)?;
            }
            if let Some(bar) = found {
                let equity = self.equity(held, closes[bar])?;
                self.rise_to(equity, bar);
            }
            next = end + 1;
        }
        Some(())
    }

    /// A mark below the peak; only one lower than all since that peak can matter.
    fn sink_to(&mut self, equity: i64, bar: usize) {
        if equity < self.trough {
            (self.trough, self.sunk_at) = (equity, Some(bar));
        }
    }

    /// A mark at the peak or higher.
    fn rise_to(&mut self, equity: i64, bar: usize) {
        self.tell_drawdown();
        self.drawdown.mark(equity.into(), self.tape.bars.end_us(bar));
        self.trough = equity;
    }

    fn tell_drawdown(&mut self) {
        if let Some(bar) = self.sunk_at.take() {
            self.drawdown.mark(self.trough.into(), self.tape.bars.end_us(bar));
        }
    }

    /// The next end of a day that has no mark yet.
    fn day_end(&self) -> Option<usize> {
        self.tape.day_ends.get(self.daily.len()).copied()
    }

    /// Equity with `held` marked at `close`.
    #[inline]
    pub(super) fn equity(&self, held: &Held, close: i64) -> Option<i64> {
        in_range(self.cash + signed(held.long, value(held.quantity, close)?))
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
            let worth = value(held.quantity, close)?;
            final_e8 += signed(held.long, worth);
            open_pnl = signed(held.long, worth - held.notional) - held.fee;
            self.list(held, 0, None);
        }
        self.tell_drawdown();
        // A drawdown still open counts to the last mark.
        self.drawdown.mark(final_e8.into(), bars.end_us(last));
        let metrics = Summary {
            initial_e8: capital.into(),
            final_e8: final_e8.into(),
            daily_e8: &self.daily,
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
    let quantity = i128::from(held.quantity);
    let clamp = |level: i128| i64::try_from(level.max(0)).unwrap_or(i64::MAX);
    // Halves go to even, so the half in front of an odd number belongs to the even one before it, and the half
    // behind an odd number to the even one behind.
    if held.long {
        let least = need * ONE - ONE / 2 + (need & 1);
        (i64::MIN, clamp(-(-least).div_euclid(quantity)))
    } else {
        let greatest = -need * ONE + ONE / 2 - (need & 1);
        let level = greatest.div_euclid(quantity);
        (if level < 0 { i64::MIN } else { clamp(level) }, i64::MAX)
    }
}

#[inline]
fn signed(long: bool, money: i64) -> i64 {
    if long { money } else { -money }
}

#[inline]
fn in_range(money: i64) -> Option<i64> {
    (money.abs() < LIMIT).then_some(money)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_band_holds_what_marks_at_the_peak() {
        for quantity in [1, 3, 25_000_000, 50_000_000, 100_000_000, 150_000_001, 250_000_000] {
            for long in [true, false] {
                let held = Held { long, quantity, price: 1, bar: 0, notional: 0, fee: 0 };
                for need in -12..=12 {
                    let (floor, ceiling) = peak_band(need, &held);
                    for close in 1..60 {
                        let reached =
                            i128::from(signed(long, value(quantity, close).unwrap())) >= need;
                        let inside = close <= floor || close >= ceiling;
                        assert_eq!(inside, reached, "{quantity} {long} {need} {close}");
                    }
                }
            }
        }
    }
}
