//! Averages of a run of doubles. Those of a column itself are exact and stand in `column`.
//! No undefined value may enter: callers hand over runs of defined ones.

use crate::simd::{self, Task};

use super::stream::{LANES, ROWS, Row};
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

/// Exponential moving averages side by side, as TA-Lib's: the first value, at bar `n − 1`, is the mean of the first `n`;
/// then it moves by 2/(n + 1) of the way to each new value.
#[derive(Debug)]
pub(super) struct Emas {
    /// Bars that are over, and after how many all of them have a value.
    seen: usize,
    settled: usize,
    /// Length, and bars that are passed over in front of its first.
    spans: [(usize, usize); LANES],
    seeds: [Sum; LANES],
    values: Row,
    factors: Row,
}

impl Emas {
    /// For each a length, and how many bars are passed over in front of its first.
    pub(super) fn new(spans: impl Iterator<Item = (usize, usize)>) -> Self {
        let mut all = [(1, 0); LANES];
        all.iter_mut().zip(spans).for_each(|(all, span)| *all = span);
        Self {
            seen: 0,
            settled: all.iter().map(|(n, passed)| n + passed).max().unwrap_or(0),
            spans: all,
            seeds: [Sum::ZERO; LANES],
            values: [f64::NAN; LANES],
            factors: all.map(|(n, _)| 2.0 / (n as f64 + 1.0)),
        }
    }

    /// Their values at the next bars, one row a bar.
    pub(super) fn advance(&mut self, x: &[f64], rows: &mut [Row]) {
        let unsettled = self.settled.saturating_sub(self.seen).min(x.len());
        let (first, x) = x.split_at(unsettled);
        let (first_rows, rows) = rows.split_at_mut(unsettled);
        first.iter().zip(first_rows).for_each(|(&x, row)| *row = self.seed(x));
        self.seen += x.len();
        let (values, factors) = (&mut self.values, self.factors);
        simd::wide(Moves { values, factors, x, rows, step: moves });
    }

    /// One bar, at which some may have no value yet.
    fn seed(&mut self, x: f64) -> Row {
        for (k, (n, passed)) in self.spans.into_iter().enumerate() {
            if self.seen >= passed + n {
                moves(&mut self.values[k], x, self.factors[k]);
            } else if self.seen >= passed {
                self.seeds[k] = self.seeds[k].plus(Sum::of(x));
                if self.seen + 1 == passed + n {
                    self.values[k] = self.seeds[k].divided(n as f64);
                }
            }
        }
        self.seen += 1;
        self.values
    }
}

#[inline(always)]
fn moves(value: &mut f64, x: f64, factor: f64) {
    *value += (x - *value) * factor;
}

#[inline(always)]
fn moves_one_nth(value: &mut f64, x: f64, n: f64) {
    *value += (x - *value) / n;
}

/// Bars at which all averages have a value: `step` moves one by its factor.
struct Moves<'a, F> {
    values: &'a mut Row,
    factors: Row,
    x: &'a [f64],
    rows: &'a mut [Row],
    step: F,
}

impl<F: Fn(&mut f64, f64, f64)> Task for Moves<'_, F> {
    type Out = ();

    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "zipped iterators are not made wide")]
    fn run(self) {
        let mut values = *self.values;
        for (&x, row) in self.x.iter().zip(self.rows) {
            for k in 0..LANES {
                (self.step)(&mut values[k], x, self.factors[k]);
            }
            *row = values;
        }
        *self.values = values;
    }
}

/// One exponential average of a run.
pub(super) fn ema(x: &[f64], n: usize, out: &mut [f64]) {
    let mut emas = Emas::new(std::iter::once((n, 0)));
    let mut rows = [[f64::NAN; LANES]; ROWS];
    for (x, out) in x.chunks(ROWS).zip(out.chunks_mut(ROWS)) {
        emas.advance(x, &mut rows[..x.len()]);
        out.iter_mut().zip(&rows).for_each(|(out, row)| *out = row[0]);
    }
}

/// Wilder's average: the first value, at bar `n − 1`, is the mean of the first `n`; then it moves by 1/n of the
/// way to each new value.
#[derive(Debug)]
pub(super) struct Wilder {
    n: f64,
    /// Bars that are missing for the first value.
    missing: usize,
    seed: Sum,
    value: f64,
}

impl Wilder {
    pub(super) fn new(n: usize) -> Self {
        Self { n: n as f64, missing: n, seed: Sum::ZERO, value: f64::NAN }
    }

    /// Its value at the next bar, NaN in front of the first.
    #[inline]
    pub(super) fn step(&mut self, x: f64) -> f64 {
        if self.missing == 0 {
            moves_one_nth(&mut self.value, x, self.n);
            return self.value;
        }
        self.seed = self.seed.plus(Sum::of(x));
        self.missing -= 1;
        if self.missing == 0 {
            self.value = self.seed.divided(self.n);
        }
        self.value
    }
}

/// Some of them side by side.
#[derive(Debug)]
pub(super) struct Wilders {
    all: [Wilder; LANES],
}

impl Wilders {
    /// Of these lengths, no more than [`LANES`].
    pub(super) fn new(lengths: &[usize]) -> Self {
        let length = |k: usize| lengths.get(k).copied().unwrap_or(1);
        Self { all: std::array::from_fn(|k| Wilder::new(length(k))) }
    }

    /// Their values at the next bars, one row a bar.
    pub(super) fn advance(&mut self, x: &[f64], rows: &mut [Row]) {
        let missing = self.all.iter().map(|one| one.missing).max().unwrap_or(0).min(x.len());
        let (first, x) = x.split_at(missing);
        let (first_rows, rows) = rows.split_at_mut(missing);
        for (&x, row) in first.iter().zip(first_rows) {
            self.all.iter_mut().zip(row).for_each(|(one, value)| *value = one.step(x));
        }
        let (factors, mut values) =
            (self.all.each_ref().map(|one| one.n), self.all.each_ref().map(|one| one.value));
        simd::wide(Moves { values: &mut values, factors, x, rows, step: moves_one_nth });
        self.all.iter_mut().zip(values).for_each(|(one, value)| one.value = value);
    }
}
