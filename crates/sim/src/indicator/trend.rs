//! Direction of prices: directional movement, adx and supertrend.
//! No volume and no undefined price may enter.

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

/// Supertrend's value, or its direction (+1 up, −1 down).
///
/// Bands are (high + low)/2 ± factor × atr. Each only tightens, and starts anew when the close before was beyond
/// it. The direction is +1 at first and flips when the close is beyond the band of the other direction (above the
/// upper one while down, below the lower one while up); the value is the lower band while up, the upper while down.
pub(super) fn supertrend(
    bars: Hlc<'_>,
    atr: &[f64],
    factor: f64,
    direction: bool,
    out: &mut [f64],
) {
    let mut bands: Option<(f64, f64)> = None;
    let mut up = true;
    for i in 0..bars.len() {
        if atr[i].is_nan() {
            continue;
        }
        let middle = (bars.high[i] + bars.low[i]) / 2.0;
        let mut upper = middle + factor * atr[i];
        let mut lower = middle - factor * atr[i];
        if let Some((upper_before, lower_before)) = bands {
            let close_before = bars.close[i - 1];
            if close_before <= upper_before {
                upper = upper.min(upper_before);
            }
            if close_before >= lower_before {
                lower = lower.max(lower_before);
            }
            up = if up { bars.close[i] >= lower } else { bars.close[i] > upper };
        }
        bands = Some((upper, lower));
        out[i] = match (direction, up) {
            (true, true) => 1.0,
            (true, false) => -1.0,
            (false, true) => lower,
            (false, false) => upper,
        };
    }
}
