//! Numbers as trees over columns of indicators: read at one bar, or over a stretch of bars into a buffer.
//! No rule may enter. What looks at several bars is a column, but for streams, `shift`, short windows of highs and lows, and
//! means that are no part of another number: they are as quickly made where they are read, and never leave the cache.

use std::sync::Arc;

use crate::bars::Column;
use crate::exact::{Divisor, ONE_E8};
use crate::expr::{Arith, Function, Series, SeriesKind, greater, lesser};
use crate::indicator::{highest_windows, lowest_windows};
use crate::simd::{self, Task};

use super::columns::Columns;

/// Bars that an operation takes at a time: two operands of it stay on the stack.
const BLOCK: usize = 256;
/// Longest window that is made where it is read.
const SHORT: usize = 256;

/// A number a bar; NaN is undefined.
#[derive(Clone, Debug)]
pub(super) enum Formula {
    Constant(f64),
    /// A column, read so many bars before: undefined at its first bars.
    Column {
        values: Arc<[f64]>,
        lag: usize,
    },
    /// The greatest, or least, of the last `n` values of a column without gaps, read so many bars before.
    Extreme {
        values: Arc<[f64]>,
        n: usize,
        greatest: bool,
        lag: usize,
    },
    /// The mean of the last `n` prices, read so many bars before.
    Mean {
        /// At each place the sum of all prices in front of it, units of 1e-8; wrapping, as only differences count.
        sums: Arc<[i64]>,
        n: usize,
        lag: usize,
    },
    Neg(Box<Formula>),
    Abs(Box<Formula>),
    Join(Join, Box<Formula>, Box<Formula>),
}

/// What makes one number of two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Join {
    Arith(Arith),
    Min,
    Max,
}

/// Calls `found` with every column that `series` reads.
pub(super) fn columns<'a>(
    series: &'a Series,
    known: &Columns<'_>,
    found: &mut dyn FnMut(&'a Series),
) {
    read(series, true, known, found);
}

/// As [`columns`] of a series that is a `whole` number, or part of one.
fn read<'a>(
    series: &'a Series,
    whole: bool,
    known: &Columns<'_>,
    found: &mut dyn FnMut(&'a Series),
) {
    match &series.kind {
        SeriesKind::Constant(_) => {}
        SeriesKind::Neg(x) | SeriesKind::Abs(x) => read(x, false, known, found),
        SeriesKind::Arith(_, a, b) | SeriesKind::Min(a, b) | SeriesKind::Max(a, b) => {
            read(a, false, known, found);
            read(b, false, known, found);
        }
        SeriesKind::Column(_) | SeriesKind::Call(_) => match shifted(series) {
            Some((inner, _)) => read(inner, whole, known, found),
            None if whole && mean(series, known).is_some() => {}
            None => found(extreme(series).map_or(series, |(of, ..)| of)),
        },
    }
}

impl Formula {
    /// `series` over columns that were prepared.
    pub(super) fn new(series: &Series, columns: &Columns<'_>) -> Self {
        Self::lagged(series, true, 0, columns)
    }

    fn lagged(series: &Series, whole: bool, lag: usize, columns: &Columns<'_>) -> Self {
        let part = |series: &Series| Box::new(Self::lagged(series, false, lag, columns));
        match &series.kind {
            SeriesKind::Constant(value) => Self::Constant(*value),
            SeriesKind::Neg(x) => Self::Neg(part(x)),
            SeriesKind::Abs(x) => Self::Abs(part(x)),
            SeriesKind::Arith(op, a, b) => Self::Join(Join::Arith(*op), part(a), part(b)),
            SeriesKind::Min(a, b) => Self::Join(Join::Min, part(a), part(b)),
            SeriesKind::Max(a, b) => Self::Join(Join::Max, part(a), part(b)),
            SeriesKind::Column(_) | SeriesKind::Call(_) => {
                if let Some((inner, bars)) = shifted(series) {
                    Self::lagged(inner, whole, lag + bars, columns)
                } else if let Some((of, n)) = mean(series, columns).filter(|_| whole) {
                    Self::Mean { sums: columns.sums(of), n, lag }
                } else if let Some((of, n, greatest)) = extreme(series) {
                    Self::Extreme { values: columns.get(of), n, greatest, lag }
                } else {
                    Self::Column { values: columns.get(series), lag }
                }
            }
        }
    }

    /// The value at `bar`.
    pub(super) fn at(&self, bar: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Column { values, lag } => bar.checked_sub(*lag).map_or(f64::NAN, |at| values[at]),
            Self::Extreme { .. } | Self::Mean { .. } => {
                let mut value = [f64::NAN];
                self.fill(bar, &mut value);
                value[0]
            }
            Self::Neg(x) => -x.at(bar),
            Self::Abs(x) => x.at(bar).abs(),
            Self::Join(Join::Arith(op), a, b) => op.apply(a.at(bar), b.at(bar)),
            Self::Join(Join::Min, a, b) => lesser(a.at(bar), b.at(bar)),
            Self::Join(Join::Max, a, b) => greater(a.at(bar), b.at(bar)),
        }
    }

    /// The values of `[from, to)` where they lie, if they lie anywhere.
    pub(super) fn slice(&self, from: usize, to: usize) -> Option<&[f64]> {
        match self {
            Self::Column { values, lag } if *lag <= from => values.get(from - lag..to - lag),
            _ => None,
        }
    }

    /// Writes the values of the bars from `from` on, as many as `out` has room for.
    pub(super) fn fill(&self, from: usize, out: &mut [f64]) {
        match self {
            Self::Constant(value) => out.fill(*value),
            Self::Column { values, lag } => {
                let (front, rest) = out.split_at_mut(lag.saturating_sub(from).min(out.len()));
                let first = from + front.len() - lag.min(&(from + front.len()));
                front.fill(f64::NAN);
                rest.copy_from_slice(&values[first..first + rest.len()]);
            }
            Self::Mean { sums, n, lag } => {
                let Some((last, rest)) = full_windows(from, *n, *lag, out) else { return };
                let den = Divisor::new(*n as f64 * ONE_E8 as f64);
                let (newer, older) = (&sums[last + 1..], &sums[last + 1 - n..]);
                simd::wide(Means { newer, older, den, out: rest });
            }
            Self::Extreme { values, n, greatest, lag } => {
                let Some((last, rest)) = full_windows(from, *n, *lag, out) else { return };
                let x = &values[last + 1 - n..last + rest.len()];
                let windows = if *greatest { highest_windows } else { lowest_windows };
                windows(x, *n, rest);
            }
            Self::Neg(x) => {
                x.fill(from, out);
                out.iter_mut().for_each(|value| *value = -*value);
            }
            Self::Abs(x) => {
                x.fill(from, out);
                out.iter_mut().for_each(|value| *value = value.abs());
            }
            Self::Join(join, a, b) => {
                let mut other = [0.0; BLOCK];
                for (nth, out) in out.chunks_mut(BLOCK).enumerate() {
                    let other = &mut other[..out.len()];
                    a.fill(from + nth * BLOCK, out);
                    b.fill(from + nth * BLOCK, other);
                    join.all(out, other);
                }
            }
        }
    }
}

/// The part of `out` whose windows of `n` bars, `lag` bars before, are full, and the last bar of its first one; what is in
/// front is undefined.
fn full_windows(from: usize, n: usize, lag: usize, out: &mut [f64]) -> Option<(usize, &mut [f64])> {
    let undefined = (lag + n - 1).saturating_sub(from).min(out.len());
    let (front, rest) = out.split_at_mut(undefined);
    front.fill(f64::NAN);
    (!rest.is_empty()).then(|| (from + undefined - lag, rest))
}

impl Join {
    /// Joins every value of `other` to that of `out`, with one loop an operation.
    fn all(self, out: &mut [f64], other: &[f64]) {
        match self {
            Self::Arith(Arith::Add) => each(out, other, |a, b| Arith::Add.apply(a, b)),
            Self::Arith(Arith::Sub) => each(out, other, |a, b| Arith::Sub.apply(a, b)),
            Self::Arith(Arith::Mul) => each(out, other, |a, b| Arith::Mul.apply(a, b)),
            Self::Arith(Arith::Div) => each(out, other, |a, b| Arith::Div.apply(a, b)),
            Self::Min => each(out, other, lesser),
            Self::Max => each(out, other, greater),
        }
    }
}

fn each(out: &mut [f64], other: &[f64], f: impl Fn(f64, f64) -> f64) {
    simd::wide(Each { out, other, f });
}

/// Every value joined with another.
struct Each<'a, F> {
    out: &'a mut [f64],
    other: &'a [f64],
    f: F,
}

impl<F: Fn(f64, f64) -> f64> Task for Each<'_, F> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for (out, &other) in self.out.iter_mut().zip(self.other) {
            *out = (self.f)(*out, other);
        }
    }
}

/// Means as the column is made: the sum, a double without rounding, over the number.
struct Means<'a> {
    newer: &'a [i64],
    older: &'a [i64],
    den: Divisor,
    out: &'a mut [f64],
}

impl Task for Means<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for ((out, newer), older) in self.out.iter_mut().zip(self.newer).zip(self.older) {
            *out = self.den.quotient(newer.wrapping_sub(*older) as f64);
        }
    }
}

/// A mean over one of the prices whose sums are doubles without rounding: the price and the length.
fn mean(series: &Series, columns: &Columns<'_>) -> Option<(Column, usize)> {
    let SeriesKind::Call(call) = &series.kind else { return None };
    let SeriesKind::Column(of) = call.of.as_deref()?.kind else { return None };
    let n = call.lengths[0];
    (call.function == Function::Sma && columns.sums_fit(of, n)).then_some((of, n))
}

/// A short window over one of the prices, which are defined at every bar: its column, length, and whether it is for the
/// greatest value.
fn extreme(series: &Series) -> Option<(&Series, usize, bool)> {
    let SeriesKind::Call(call) = &series.kind else { return None };
    let greatest = match call.function {
        Function::Highest => true,
        Function::Lowest => false,
        _ => return None,
    };
    let price = |of: &&Series| matches!(&of.kind, SeriesKind::Column(column) if column.is_price());
    let of = call.of.as_deref().filter(price)?;
    (call.lengths[0] <= SHORT).then_some((of, call.lengths[0], greatest))
}

/// `shift(x, n)` is x read n bars before: it needs no column of its own.
fn shifted(series: &Series) -> Option<(&Series, usize)> {
    let SeriesKind::Call(call) = &series.kind else { return None };
    let inner = call.of.as_deref().filter(|_| call.function == Function::Shift)?;
    // A shifted constant is undefined at its first bars, as a column can be.
    (!matches!(inner.kind, SeriesKind::Constant(_))).then_some((inner, call.lengths[0]))
}
