//! Windows that slide over a run of defined values in constant time a bar, without sums that drift.
//! No indicator's definition may enter.

use std::ops::Range;

/// Maximal runs of bars at which `defined` holds.
pub(super) fn runs(n_bars: usize, defined: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for bar_idx in 0..n_bars {
        match (defined(bar_idx), start) {
            (true, None) => start = Some(bar_idx),
            (false, Some(from)) => {
                found.push(from..bar_idx);
                start = None;
            }
            _ => {}
        }
    }
    found.extend(start.map(|from| from..n_bars));
    found
}

/// Applies `f` to every run of defined values of `x`, so that windows never reach over an undefined value
/// and recursive indicators start afresh behind it. `out` holds NaN already.
pub(super) fn over_runs(x: &[f64], out: &mut [f64], f: impl Fn(&[f64], &mut [f64])) {
    // Looked at without a way out, which the compiler makes wide.
    if !x.iter().fold(false, |undefined, x| undefined | x.is_nan()) {
        return f(x, out);
    }
    for run in runs(x.len(), |bar_idx| !x[bar_idx].is_nan()) {
        f(&x[run.clone()], &mut out[run]);
    }
}

/// Joins the values of every full window of `n` bars: `emit(i, joined)` for the window that ends at `i`.
///
/// The bars are cut into blocks of `n`; a window is the end of one block and the beginning of the next, and both
/// are joined step by step, two joins a bar. Nothing is ever taken out, so a joined sum holds its window's
/// terms only. `join` must be associative with `zero` as its neutral element.
pub(super) fn slide<S: Copy>(
    n_bars: usize,
    n: usize,
    zero: S,
    lift: impl Fn(usize) -> S,
    join: impl Fn(S, S) -> S,
    mut emit: impl FnMut(usize, S),
) {
    if n_bars < n {
        return;
    }
    // older[k] joins the block in front from its k-th bar on.
    let mut older = vec![zero; n + 1];
    let mut start = 0;
    while start < n_bars {
        let end = (start + n).min(n_bars);
        let mut newer = zero;
        for bar_idx in start..end {
            newer = join(newer, lift(bar_idx));
            if bar_idx + 1 >= n {
                emit(bar_idx, join(older[bar_idx - start + 1], newer));
            }
        }
        if end < n_bars {
            let mut joined = zero;
            for bar_idx in (start..end).rev() {
                joined = join(lift(bar_idx), joined);
                older[bar_idx - start] = joined;
            }
        }
        start = end;
    }
}

/// Joins every full window of `n` values into `out`, `join` being associative with `zero` as its neutral element, and
/// `join(x, x) = x`, so that two windows that overlap make one that is longer.
///
/// A block at a time: windows of 1, 2, 4 … values until the next would be too long, then two of the last kind. Every
/// step goes over the block in a straight line, several values an instruction.
fn overlap(x: &[f64], n: usize, zero: f64, out: &mut [f64], join: impl Fn(f64, f64) -> f64) {
    const BLOCK: usize = 1_024;
    if n > BLOCK {
        return slide(x.len(), n, zero, |i| x[i], join, |i, value| out[i + 1 - n] = value);
    }
    let (mut joined, mut wider) = (Vec::new(), vec![0.0; BLOCK + n]);
    for (nth, out) in out.chunks_mut(BLOCK).enumerate() {
        joined.clear();
        joined.extend_from_slice(&x[nth * BLOCK..nth * BLOCK + out.len() + n - 1]);
        let mut width = 1;
        while 2 * width <= n {
            let len = joined.len() - width;
            let wider = &mut wider[..len];
            for ((wider, &older), &newer) in wider.iter_mut().zip(&joined).zip(&joined[width..]) {
                *wider = join(older, newer);
            }
            joined.clear();
            joined.extend_from_slice(wider);
            width *= 2;
        }
        for ((out, &older), &newer) in out.iter_mut().zip(&joined).zip(&joined[n - width..]) {
            *out = join(older, newer);
        }
    }
}

/// The greatest value of the last `n` bars, the bar itself included.
pub(super) fn highest(x: &[f64], n: usize, out: &mut [f64]) {
    if let Some(out) = out.get_mut(n - 1..) {
        overlap(x, n, f64::NEG_INFINITY, out, |a, b| if a > b { a } else { b });
    }
}

/// The least value of the last `n` bars, the bar itself included.
pub(super) fn lowest(x: &[f64], n: usize, out: &mut [f64]) {
    if let Some(out) = out.get_mut(n - 1..) {
        overlap(x, n, f64::INFINITY, out, |a, b| if a < b { a } else { b });
    }
}

/// The value `n` bars before.
pub(super) fn shift(x: &[f64], n: usize, out: &mut [f64]) {
    if n < x.len() {
        out[n..].copy_from_slice(&x[..x.len() - n]);
    }
}

/// A sum kept in two doubles: about 106 bits, so that a window's sum is rounded once for practical purposes
/// and `n` times the same value is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    pub(super) const ZERO: Self = Self { high: 0.0, low: 0.0 };

    pub(super) fn of(value: f64) -> Self {
        Self { high: value, low: 0.0 }
    }

    /// The exact product of two doubles.
    pub(super) fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        Self { high, low: a.mul_add(b, -high) }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let high = self.high + other.high;
        let taken = high - self.high;
        let lost = (self.high - (high - taken)) + (other.high - taken);
        let low = lost + (self.low + other.low);
        let sum = high + low;
        Self { high: sum, low: low - (sum - high) }
    }

    /// `count` times the sum; `count` is a whole number far below 2^53.
    pub(super) fn times(self, count: f64) -> Self {
        let exact = Self::product(self.high, count);
        exact.plus(Self::of(self.low * count))
    }

    pub(super) fn value(self) -> f64 {
        self.high + self.low
    }

    /// The sum divided by a whole number, rounded once; of equal values, exactly that value.
    pub(super) fn divided(self, count: f64) -> f64 {
        let quotient = self.high / count;
        let rest = (-quotient).mul_add(count, self.high) + self.low;
        quotient + rest / count
    }
}
