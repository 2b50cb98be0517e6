//! What every variant of a sweep reads of the bars: the prices, their pyramids and the ends of days, made once.
//! Nothing of a strategy or of a market's rules may enter.

use std::ops::Range;

use crate::bars::Bars;
use crate::exact;

use super::pyramid::Pyramid;

/// Bars prepared for searching.
#[derive(Debug)]
pub(super) struct Tape<'a> {
    pub(super) bars: &'a Bars,
    /// Lows and highs.
    pub(super) range: Pyramid<'a>,
    /// Closes, as lows and as highs.
    pub(super) closes: Pyramid<'a>,
    /// Index of the last traded bar of each UTC day that has bars.
    pub(super) day_ends: Vec<usize>,
    first_us: i64,
    /// What a bar lasts, where bars follow each other without a gap: times then need no look at the column.
    gapless_us: Option<i64>,
    /// Close of the last bar over open of the first traded one, minus 1, per cent.
    pub(super) buy_and_hold: f64,
}

impl<'a> Tape<'a> {
    /// `guarded` where positions have levels, or can be short, so that lows and highs are searched.
    pub(super) fn new(bars: &'a Bars, guarded: bool) -> Self {
        let time_us = bars.time_us();
        let (first, last) = (bars.n_warmup(), bars.len() - 1);
        let bar_us = bars.timeframe().us();
        let (from, to) = (i128::from(bars.open()[first]), i128::from(bars.close()[last]));
        Self {
            bars,
            range: match guarded {
                true => Pyramid::new(bars.low(), bars.high()),
                false => Pyramid::unread(bars.low(), bars.high()),
            },
            closes: Pyramid::new(bars.close(), bars.close()),
            first_us: time_us[0],
            gapless_us: Some(bar_us)
                .filter(|bar_us| time_us[last] - time_us[0] == bar_us * whole(last)),
            day_ends: bars.day_ends(),
            buy_and_hold: exact::per_cent(to - from, from),
        }
    }

    /// Opening time of a bar, microseconds UTC.
    #[inline(always)]
    pub(super) fn time_us(&self, bar: usize) -> i64 {
        match self.gapless_us {
            // As many bars as there are last less than 2^63 microseconds.
            Some(bar_us) => self.first_us.wrapping_add(bar_us.wrapping_mul(whole(bar))),
            None => self.bars.time_us()[bar],
        }
    }

    /// Microseconds from the opening of one bar to that of another.
    #[inline(always)]
    pub(super) fn lasted_us(&self, from: usize, to: usize) -> i64 {
        match self.gapless_us {
            Some(bar_us) => bar_us.wrapping_mul(whole(to.wrapping_sub(from))),
            None => self.bars.time_us()[to].wrapping_sub(self.bars.time_us()[from]),
        }
    }

    /// How long `after_us` is in bars: where they follow each other without a gap, so many bars on it is over.
    pub(super) fn lapse(&self, after_us: i64) -> Lapse {
        let steps = usize::try_from((after_us - 1).div_euclid(self.bars.timeframe().us()) + 1);
        Lapse { us: after_us, steps: steps.unwrap_or(0).max(1) }
    }

    /// The first bar behind `entry` that opens when it is over; the number of bars when there is none.
    #[inline(always)]
    pub(super) fn first_after(&self, entry: usize, lapse: Lapse) -> usize {
        // With gaps it is earlier, never later.
        let latest = entry.saturating_add(lapse.steps).min(self.bars.len());
        match self.gapless_us {
            Some(_) => latest,
            None => self.first_in(entry + 1..latest, entry, lapse),
        }
    }

    /// The first of some bars that opens when it is over, or the one behind them.
    #[inline(never)]
    fn first_in(&self, bars: Range<usize>, entry: usize, lapse: Lapse) -> usize {
        let time_us = self.bars.time_us();
        let due = time_us[entry].saturating_add(lapse.us);
        bars.start + time_us[bars].partition_point(|&time| time < due)
    }
}

/// A time that a position is held at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lapse {
    us: i64,
    /// Bars that last as long or longer; at least one.
    steps: usize,
}

/// A count of bars, of which there are fewer than 2^63.
#[inline(always)]
fn whole(bars: usize) -> i64 {
    bars.cast_signed() as i64
}
