//! Averages of a run of doubles. Those of a column itself are exact and stand in `column`.
//! No undefined value may enter: callers hand over runs of defined ones.

use super::window::{Sum, slide};

/// Σ of the last `n` values.
pub(super) fn sum(x: &[f64], n: usize, out: &mut [f64]) {
    let lift = |i: usize| Sum::of(x[i]);
    slide(x.len(), n, Sum::ZERO, lift, Sum::plus, |i, sum| out[i] = sum.value());
}

/// Simple moving average: Σ of the last `n` values / `n`.
pub(super) fn sma(x: &[f64], n: usize, out: &mut [f64]) {
    let lift = |i: usize| Sum::of(x[i]);
    slide(x.len(), n, Sum::ZERO, lift, Sum::plus, |i, sum| out[i] = sum.divided(n as f64));
}

/// A window's count, sum and Σ of value × place, places counted from 1 at the oldest.
#[derive(Clone, Copy)]
struct Weighted {
    count: f64,
    sum: Sum,
    weighted: Sum,
}

impl Weighted {
    /// The values of `newer` come behind ours, so each moves up by as many places as we have.
    fn join(self, newer: Self) -> Self {
        Self {
            count: self.count + newer.count,
            sum: self.sum.plus(newer.sum),
            weighted: self.weighted.plus(newer.weighted).plus(newer.sum.times(self.count)),
        }
    }
}

/// Weighted moving average: weights 1 (oldest) to `n` (newest), divided by n(n + 1)/2.
pub(super) fn wma(x: &[f64], n: usize, out: &mut [f64]) {
    let zero = Weighted { count: 0.0, sum: Sum::ZERO, weighted: Sum::ZERO };
    let lift = |i: usize| Weighted { count: 1.0, sum: Sum::of(x[i]), weighted: Sum::of(x[i]) };
    let weights = (n * (n + 1) / 2) as f64;
    slide(x.len(), n, zero, lift, Weighted::join, |i, window| {
        out[i] = window.weighted.divided(weights);
    });
}

/// The mean of `x`, which is not empty.
pub(super) fn mean(x: &[f64]) -> f64 {
    x.iter().fold(Sum::ZERO, |sum, &value| sum.plus(Sum::of(value))).divided(x.len() as f64)
}

/// Exponential moving average as TA-Lib's: the first value, at bar `n − 1`, is the mean of the first `n`;
/// then it moves by 2/(n + 1) of the way to each new value.
pub(super) fn ema(x: &[f64], n: usize, out: &mut [f64]) {
    let Some(seed) = x.get(..n).map(mean) else { return };
    out[n - 1] = seed;
    let factor = 2.0 / (n as f64 + 1.0);
    let mut value = seed;
    for (out, &x) in out[n..].iter_mut().zip(&x[n..]) {
        value += (x - value) * factor;
        *out = value;
    }
}

/// Wilder's average: the first value, at bar `n − 1`, is the mean of the first `n`; then it moves by 1/n of the
/// way to each new value. Returned values are handed to `emit` by bar.
pub(super) fn wilder(x: &[f64], n: usize, mut emit: impl FnMut(usize, f64)) {
    let Some(mut value) = x.get(..n).map(mean) else { return };
    emit(n - 1, value);
    let n_real = n as f64;
    for (i, &x) in x.iter().enumerate().skip(n) {
        value += (x - value) / n_real;
        emit(i, value);
    }
}
