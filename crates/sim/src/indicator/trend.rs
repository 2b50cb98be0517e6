//! Direction of prices: directional movement, adx and supertrend.
//! No volume and no undefined price may enter.

use std::ops::Range;

use crate::simd::{self, Task};

use super::average;
use super::stream::{LANES, Row};

/// Whether a denominator counts as 0. Wilder's averages of a flat market halve for ever and never reach 0; once
/// they are too small for a double's full precision, their ratio would be noise.
pub(super) fn is_zero(value: f64) -> bool {
    value.abs() < f64::MIN_POSITIVE
}

/// High, low and close, one value a bar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hlc<'a> {
    pub(super) high: &'a [f64],
    pub(super) low: &'a [f64],
    pub(super) close: &'a [f64],
}

impl<'a> Hlc<'a> {
    pub(super) fn part(self, bars: Range<usize>) -> Self {
        let of = |column: &'a [f64]| &column[bars.clone()];
        Self { high: of(self.high), low: of(self.low), close: of(self.close) }
    }

    pub(super) fn len(&self) -> usize {
        self.close.len()
    }

    /// The greatest of high − low and the distances of both from the close before; `i` is at least 1.
    pub(super) fn true_range(&self, i: usize) -> f64 {
        let before = self.close[i - 1];
        let own = self.high[i] - self.low[i];
        own.max((self.high[i] - before).abs()).max((self.low[i] - before).abs())
    }

    /// Wilder's directional movement up and down, of which at most one is above 0; `i` is at least 1.
    /// Moves compare as doubles, as TA-Lib's do.
    fn movement(&self, i: usize) -> (f64, f64) {
        let up = self.high[i] - self.high[i - 1];
        let down = self.low[i - 1] - self.low[i];
        if down > 0.0 && up < down {
            (0.0, down)
        } else if up > 0.0 && up > down {
            (up, 0.0)
        } else {
            (0.0, 0.0)
        }
    }
}

/// Which directional indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Plus,
    Minus,
}

/// Wilder's sums of movement up, down and true range.
#[derive(Clone, Copy, Default)]
struct Movement {
    plus: f64,
    minus: f64,
    range: f64,
}

impl Movement {
    /// The sums over the first `n − 1` moves, which only seed.
    fn seed(bars: Hlc<'_>, n: usize) -> Self {
        let mut sums = Self::default();
        for i in 1..n.min(bars.len()) {
            let (plus, minus) = bars.movement(i);
            sums.plus += plus;
            sums.minus += minus;
            sums.range += bars.true_range(i);
        }
        sums
    }

    /// Takes 1/n of every sum away and adds bar `i`.
    fn step(&mut self, bars: Hlc<'_>, n: f64, i: usize) {
        let (plus, minus) = bars.movement(i);
        self.plus += plus - self.plus / n;
        self.minus += minus - self.minus / n;
        self.range += bars.true_range(i) - self.range / n;
    }

    /// 100 × |+di − −di| / (+di + −di), `None` where that has a denominator of 0.
    fn dx(self) -> Option<f64> {
        if is_zero(self.range) {
            return None;
        }
        let plus = 100.0 * (self.plus / self.range);
        let minus = 100.0 * (self.minus / self.range);
        let both = plus + minus;
        (!is_zero(both)).then(|| 100.0 * ((minus - plus).abs() / both))
    }
}

/// +di or −di as TA-Lib's: 100 × Wilder's sum of the movement / Wilder's sum of the true range, first at bar `n`;
/// 0 where there was no range. With `n` 1 TA-Lib gives the plain fraction, without the 100, and so do we.
pub(super) fn di(bars: Hlc<'_>, n: usize, side: Side, out: &mut [f64]) {
    let mut sums = Movement::seed(bars, n);
    let scale = if n == 1 { 1.0 } else { 100.0 };
    for (i, out) in out.iter_mut().enumerate().skip(n) {
        sums.step(bars, n as f64, i);
        let moved = if side == Side::Plus { sums.plus } else { sums.minus };
        *out = if is_zero(sums.range) { 0.0 } else { scale * (moved / sums.range) };
    }
}

/// Average directional index as TA-Lib's: the mean of the first `n` dx, at bar `2n − 1`, then Wilder's average.
/// A dx without denominator counts as 0 in that mean and is passed over afterwards.
pub(super) fn adx(bars: Hlc<'_>, n: usize, out: &mut [f64]) {
    let first = 2 * n - 1;
    if bars.len() <= first {
        return;
    }
    let n_real = n as f64;
    let mut sums = Movement::seed(bars, n);
    let mut seeds = Vec::with_capacity(n);
    for i in n..=first {
        sums.step(bars, n_real, i);
        seeds.push(sums.dx().unwrap_or(0.0));
    }
    let mut adx = average::mean(&seeds);
    out[first] = adx;
    for (i, out) in out.iter_mut().enumerate().skip(first + 1) {
        sums.step(bars, n_real, i);
        if let Some(dx) = sums.dx() {
            adx += (dx - adx) / n_real;
        }
        *out = adx;
    }
}

/// Supertrend's value, or its direction (+1 up, −1 down), for several factors at once.
///
/// Bands are (high + low)/2 ± factor × atr. Each only tightens, and starts anew when the close before was beyond
/// it. The direction is +1 at first and flips when the close is beyond the band of the other direction (above the
/// upper one while down, below the lower one while up); the value is the lower band while up, the upper while down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Supertrends {
    factors: Row,
    direction: bool,
    upper: Row,
    lower: Row,
    /// Above 0 while up.
    trend: Row,
    close_before: f64,
    /// Whether no bar had a range yet.
    first: bool,
}

impl Supertrends {
    pub(super) fn new(factors: &[f64], direction: bool) -> Self {
        let mut all = [0.0; LANES];
        all.iter_mut().zip(factors).for_each(|(all, factor)| *all = *factor);
        Self {
            factors: all,
            direction,
            // In front of the first bar no band is tighter.
            upper: [f64::INFINITY; LANES],
            lower: [f64::NEG_INFINITY; LANES],
            trend: [1.0; LANES],
            close_before: 0.0,
            first: true,
        }
    }

    /// The rows of the next bars; undefined where the average range is.
    pub(super) fn advance(&mut self, bars: Hlc<'_>, atr: &[f64], rows: &mut [Row]) {
        *self = simd::wide(Advance { from: *self, bars, atr, rows });
    }

    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "zipped iterators are not made wide")]
    fn step(&mut self, middle: f64, close: f64, atr: f64) -> Row {
        let mut row = [0.0; LANES];
        for k in 0..LANES {
            let (above, below) = (middle + self.factors[k] * atr, middle - self.factors[k] * atr);
            let (upper, lower) = (&mut self.upper[k], &mut self.lower[k]);
            let tighter = if above < *upper { above } else { *upper };
            *upper = if self.close_before <= *upper { tighter } else { above };
            let tighter = if below > *lower { below } else { *lower };
            *lower = if self.close_before >= *lower { tighter } else { below };
            let (stays, rises) = (self.first | (close >= *lower), close > *upper);
            let was_up = self.trend[k] > 0.0;
            let up = (was_up & stays) | (!was_up & rises);
            self.trend[k] = if up { 1.0 } else { -1.0 };
            let value = if up { *lower } else { *upper };
            row[k] = if self.direction { self.trend[k] } else { value };
        }
        (self.close_before, self.first) = (close, false);
        row
    }
}

/// Supertrends on their way over some bars.
struct Advance<'a> {
    from: Supertrends,
    bars: Hlc<'a>,
    atr: &'a [f64],
    rows: &'a mut [Row],
}

impl Task for Advance<'_> {
    type Out = Supertrends;

    #[inline(always)]
    fn run(self) -> Supertrends {
        // In registers meanwhile.
        let mut state = self.from;
        let Hlc { high, low, close } = self.bars;
        for (i, row) in self.rows.iter_mut().enumerate() {
            *row = match self.atr[i] {
                atr if atr.is_nan() => [f64::NAN; LANES],
                atr => state.step((high[i] + low[i]) / 2.0, close[i], atr),
            };
        }
        state
    }
}
