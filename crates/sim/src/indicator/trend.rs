//! Direction of prices: directional movement, adx and supertrend.
//! No volume and no undefined price may enter.

use crate::simd::Task;

use super::average;

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

impl Hlc<'_> {
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

/// Supertrends that are computed side by side.
pub(super) const LANES: usize = 8;
/// Bars of a block of them.
const ROWS: usize = 64;

/// Supertrend's value, or its direction (+1 up, −1 down), for up to eight factors at once: each waits for its own bar
/// before, so that one alone would leave the processor idle.
///
/// Bands are (high + low)/2 ± factor × atr. Each only tightens, and starts anew when the close before was beyond
/// it. The direction is +1 at first and flips when the close is beyond the band of the other direction (above the
/// upper one while down, below the lower one while up); the value is the lower band while up, the upper while down.
pub(super) struct Supertrends<'a, 'b> {
    pub(super) bars: Hlc<'a>,
    pub(super) atr: &'a [f64],
    /// Those behind the columns of `out` do not count.
    pub(super) factors: [f64; LANES],
    pub(super) direction: bool,
    pub(super) out: Vec<&'b mut [f64]>,
}

impl Task for Supertrends<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        const N: usize = LANES;
        let Self { bars, atr, factors, direction, mut out } = self;
        // In front of the first bar no band is tighter.
        let (mut upper, mut lower) = ([f64::INFINITY; N], [f64::NEG_INFINITY; N]);
        let mut trend = [1.0; N];
        let (mut close_before, mut first) = (0.0, true);
        // Rows of a block are kept together and handed out lane by lane: columns that lie alike in memory would drive each
        // other out of the cache.
        let mut rows = [[f64::NAN; N]; ROWS];
        for from in (0..atr.len()).step_by(ROWS) {
            let to = (from + ROWS).min(atr.len());
            for (row, i) in rows.iter_mut().zip(from..to) {
                if atr[i].is_nan() {
                    *row = [f64::NAN; N];
                    continue;
                }
                let (middle, close, atr) =
                    ((bars.high[i] + bars.low[i]) / 2.0, bars.close[i], atr[i]);
                for k in 0..N {
                    let (above, below) = (middle + factors[k] * atr, middle - factors[k] * atr);
                    let tighter = if above < upper[k] { above } else { upper[k] };
                    upper[k] = if close_before <= upper[k] { tighter } else { above };
                    let tighter = if below > lower[k] { below } else { lower[k] };
                    lower[k] = if close_before >= lower[k] { tighter } else { below };
                    let (stays, rises) = (first | (close >= lower[k]), close > upper[k]);
                    let was_up = trend[k] > 0.0;
                    let up = (was_up & stays) | (!was_up & rises);
                    trend[k] = if up { 1.0 } else { -1.0 };
                    let value = if up { lower[k] } else { upper[k] };
                    row[k] = if direction { trend[k] } else { value };
                }
                (close_before, first) = (close, false);
            }
            for (k, out) in out.iter_mut().enumerate() {
                out[from..to].iter_mut().zip(&rows).for_each(|(out, row)| *out = row[k]);
            }
        }
    }
}
