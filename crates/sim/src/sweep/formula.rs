//! Numbers as trees over columns of indicators: read at one bar, or over a stretch of bars into a buffer.
//! No rule may enter. What looks at several bars is a column, but for `shift` and short windows of highs and lows, which
//! are as quickly made where they are read.

use std::sync::Arc;

use crate::expr::{Arith, Function, Series, SeriesKind, greater, lesser};
use crate::indicator::{highest_windows, lowest_windows};

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
pub(super) fn columns<'a>(series: &'a Series, found: &mut dyn FnMut(&'a Series)) {
    match &series.kind {
        SeriesKind::Constant(_) => {}
        SeriesKind::Neg(x) | SeriesKind::Abs(x) => columns(x, found),
        SeriesKind::Arith(_, a, b) | SeriesKind::Min(a, b) | SeriesKind::Max(a, b) => {
            columns(a, found);
            columns(b, found);
        }
        SeriesKind::Column(_) | SeriesKind::Call(_) => match shifted(series) {
            Some((inner, _)) => columns(inner, found),
            None => found(extreme(series).map_or(series, |(of, ..)| of)),
        },
    }
}

impl Formula {
    /// `series` over the columns that `column` gives.
    pub(super) fn new(series: &Series, column: &mut dyn FnMut(&Series) -> Arc<[f64]>) -> Self {
        Self::lagged(series, 0, column)
    }

    fn lagged(series: &Series, lag: usize, column: &mut dyn FnMut(&Series) -> Arc<[f64]>) -> Self {
        let mut part = |series: &Series| Box::new(Self::lagged(series, lag, column));
        match &series.kind {
            SeriesKind::Constant(value) => Self::Constant(*value),
            SeriesKind::Neg(x) => Self::Neg(part(x)),
            SeriesKind::Abs(x) => Self::Abs(part(x)),
            SeriesKind::Arith(op, a, b) => Self::Join(Join::Arith(*op), part(a), part(b)),
            SeriesKind::Min(a, b) => Self::Join(Join::Min, part(a), part(b)),
            SeriesKind::Max(a, b) => Self::Join(Join::Max, part(a), part(b)),
            SeriesKind::Column(_) | SeriesKind::Call(_) => match shifted(series) {
                Some((inner, bars)) => Self::lagged(inner, lag + bars, column),
                None => match extreme(series) {
                    Some((of, n, greatest)) => {
                        Self::Extreme { values: column(of), n, greatest, lag }
                    }
                    None => Self::Column { values: column(series), lag },
                },
            },
        }
    }

    /// The value at `bar`.
    pub(super) fn at(&self, bar: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Column { values, lag } => bar.checked_sub(*lag).map_or(f64::NAN, |at| values[at]),
            Self::Extreme { .. } => {
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
            Self::Extreme { values, n, greatest, lag } => {
                let undefined = (lag + n - 1).saturating_sub(from).min(out.len());
                let (front, rest) = out.split_at_mut(undefined);
                front.fill(f64::NAN);
                if rest.is_empty() {
                    return;
                }
                let last = from + undefined - lag;
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
    out.iter_mut().zip(other).for_each(|(out, &other)| *out = f(*out, other));
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
