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

/// Supertrends of several factors at once.
///
/// Bands are (high + low)/2 ± factor × atr. Each only tightens, and starts anew when the close before was beyond
/// it. The direction is +1 at first and flips when the close is beyond the band of the other direction (above the
/// upper one while down, below the lower one while up); the value is the lower band while up, the upper while down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Supertrends {
    factors: Row,
    /// Which of two average ranges each is of: not 0 for the second.
    second: Bits,
    upper: Row,
    lower: Row,
    /// All bits set while up, none while down.
    up: Bits,
    close_before: f64,
    /// Whether no bar had a range yet.
    fresh: [bool; LANES],
}

/// One word for each supertrend.
pub(super) type Bits = [u64; LANES];

/// What supertrends read of some bars.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swings<'a> {
    /// (high + low)/2.
    pub(super) middle: &'a [f64],
    pub(super) close: &'a [f64],
    /// The two average ranges; undefined in front of their first.
    pub(super) atr: [&'a [f64]; 2],
}

impl Supertrends {
    /// Of factors, and for each whether it is of the second of two average ranges.
    pub(super) fn new(all: &[(f64, bool)]) -> Self {
        let (mut factors, mut second) = ([0.0; LANES], [0; LANES]);
        for (k, (factor, of_second)) in all.iter().enumerate() {
            (factors[k], second[k]) = (*factor, u64::from(*of_second));
        }
        Self {
            factors,
            second,
            // In front of the first bar no band is tighter.
            upper: [f64::INFINITY; LANES],
            lower: [f64::NEG_INFINITY; LANES],
            up: [u64::MAX; LANES],
            close_before: 0.0,
            fresh: [true; LANES],
        }
    }

    /// The values at the next bars; undefined where the average range is.
    pub(super) fn values(&mut self, bars: Swings<'_>, rows: &mut [Row]) {
        simd::wide(Advance { state: self, bars, told: rows });
    }

    /// The next bars, no more than 64, as bits: those at which each is up, and those at which it is defined.
    pub(super) fn directions(&mut self, bars: Swings<'_>) -> [Bits; 2] {
        let told = Directions { up: [0; LANES], defined: [0; LANES], bit: 1 };
        let Directions { up, defined, .. } = simd::wide(Advance { state: self, bars, told });
        [up, defined]
    }

    /// One bar of one of them.
    #[inline(always)]
    fn step(&mut self, k: usize, middle: f64, close: f64, atr: f64, first: bool) {
        let (above, below) = (middle + self.factors[k] * atr, middle - self.factors[k] * atr);
        let (upper, lower) = (&mut self.upper[k], &mut self.lower[k]);
        let tighter = if above < *upper { above } else { *upper };
        *upper = if self.close_before <= *upper { tighter } else { above };
        let tighter = if below > *lower { below } else { *lower };
        *lower = if self.close_before >= *lower { tighter } else { below };
        let stays = if first | (close >= *lower) { u64::MAX } else { 0 };
        let rises = if close > *upper { u64::MAX } else { 0 };
        self.up[k] = (self.up[k] & stays) | (!self.up[k] & rises);
    }
}

/// What is told, bar by bar, the state behind it and which of them are defined there.
trait Told {
    /// To be marked `#[inline(always)]`.
    fn bar(&mut self, bar: usize, state: &Supertrends, defined: &[bool; LANES]);
}

impl Told for &mut [Row] {
    #[inline(always)]
    fn bar(&mut self, bar: usize, state: &Supertrends, defined: &[bool; LANES]) {
        for k in 0..LANES {
            let value = if state.up[k] == 0 { state.upper[k] } else { state.lower[k] };
            self[bar][k] = if defined[k] { value } else { f64::NAN };
        }
    }
}

/// Words of 64 bars, filled bit by bit.
struct Directions {
    up: Bits,
    defined: Bits,
    bit: u64,
}

impl Told for Directions {
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "zipped iterators are not made wide")]
    fn bar(&mut self, _: usize, state: &Supertrends, defined: &[bool; LANES]) {
        for k in 0..LANES {
            self.up[k] |= state.up[k] & self.bit;
            self.defined[k] |= if defined[k] { self.bit } else { 0 };
        }
        self.bit <<= 1;
    }
}

/// Supertrends on their way over some bars.
struct Advance<'a, T> {
    state: &'a mut Supertrends,
    bars: Swings<'a>,
    told: T,
}

impl<T: Told> Task for Advance<'_, T> {
    type Out = T;

    #[inline(always)]
    fn run(self) -> T {
        // Nothing is undefined behind what is defined.
        let defined = |atr: &[f64]| atr.first().is_some_and(|atr| !atr.is_nan());
        if self.state.fresh != [false; LANES] || !self.bars.atr.into_iter().all(defined) {
            return self.settle();
        }
        // In registers meanwhile.
        let (mut state, mut told) = (*self.state, self.told);
        let Swings { middle, close, atr: [one, other] } = self.bars;
        let n_bars = middle.len();
        // Slices known to be as long, by an index: zipped, the loop would spend as much on walking them.
        let (close, one, other) = (&close[..n_bars], &one[..n_bars], &other[..n_bars]);
        for bar in 0..n_bars {
            let (middle, close, one, other) = (middle[bar], close[bar], one[bar], other[bar]);
            for k in 0..LANES {
                let atr = if state.second[k] == 0 { one } else { other };
                state.step(k, middle, close, atr, false);
            }
            state.close_before = close;
            told.bar(bar, &state, &[true; LANES]);
        }
        *self.state = state;
        told
    }
}

impl<T: Told> Advance<'_, T> {
    /// Over bars at which some may have no range yet.
    #[cold]
    fn settle(self) -> T {
        let Self { state, bars, mut told } = self;
        let Swings { middle, close, atr } = bars;
        for (i, (&middle, &close)) in middle.iter().zip(close).enumerate() {
            let atr = state.second.map(|second| atr[usize::from(second != 0)][i]);
            let defined = atr.map(|atr| !atr.is_nan());
            for k in (0..LANES).filter(|&k| defined[k]) {
                state.step(k, middle, close, atr[k], state.fresh[k]);
                state.fresh[k] = false;
            }
            state.close_before = close;
            told.bar(i, state, &defined);
        }
        told
    }
}
