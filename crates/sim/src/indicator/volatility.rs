//! How far values stray: standard deviation and true range.
//! No undefined value may enter: callers hand over runs of defined ones.

use super::average::Wilder;
use super::trend::Hlc;
use super::window::{Sum, slide};

/// Population standard deviation of the last `n` values, in two passes a window.
pub(super) fn stddev(x: &[f64], n: usize, out: &mut [f64]) {
    let lift = |i: usize| Sum::of(x[i]);
    slide(x.len(), n, Sum::ZERO, lift, Sum::plus, |i, sum| {
        out[i] = deviation(&x[i + 1 - n..=i], sum.divided(n as f64));
    });
}

/// √(Σ(x − mean)² / n); exactly 0 for equal values, whose mean is exactly their value.
pub(super) fn deviation(window: &[f64], mean: f64) -> f64 {
    let squares: f64 = window.iter().map(|x| (x - mean) * (x - mean)).sum();
    (squares / window.len() as f64).sqrt()
}

/// Average true range as TA-Lib's: Wilder's average of the true range, which begins at bar 1, so that the
/// first value stands at bar `n`.
pub(super) fn atr(bars: Hlc<'_>, n: usize, out: &mut [f64]) {
    let mut average = Wilder::new(n);
    for (i, out) in out.iter_mut().enumerate().skip(1) {
        *out = average.step(bars.true_range(i));
    }
}
