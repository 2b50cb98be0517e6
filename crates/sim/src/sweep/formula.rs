//! Numbers as trees over leaves, a stretch of bars at a time.
//! No rule may enter, and nothing that looks at several bars: such a number is a leaf, whoever makes it.

use crate::expr::{Arith, Function, Series, SeriesKind, greater, lesser};
use crate::simd::{self, Task};

/// Bars that an operation takes at a time: two operands of it stay on the stack.
const BLOCK: usize = 256;

/// A number a bar; NaN is undefined.
#[derive(Clone, Debug)]
pub(super) enum Formula<L> {
    Constant(f64),
    Leaf(L),
    Neg(Box<Formula<L>>),
    Abs(Box<Formula<L>>),
    Join(Join, Box<Formula<L>>, Box<Formula<L>>),
}

/// What makes one number of two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Join {
    Arith(Arith),
    Min,
    Max,
}

impl<L> Formula<L> {
    /// `series` as a tree. `leaf` makes one of a series that is no tree, and the number of bars before at which it is read.
    pub(super) fn new<'a>(
        series: &'a Series,
        leaf: &mut dyn FnMut(&'a Series, usize) -> L,
    ) -> Self {
        Self::lagged(series, 0, leaf)
    }

    fn lagged<'a>(
        series: &'a Series,
        lag: usize,
        leaf: &mut dyn FnMut(&'a Series, usize) -> L,
    ) -> Self {
        let mut part = |series: &'a Series| Box::new(Self::lagged(series, lag, leaf));
        match &series.kind {
            SeriesKind::Constant(value) => Self::Constant(*value),
            SeriesKind::Neg(x) => Self::Neg(part(x)),
            SeriesKind::Abs(x) => Self::Abs(part(x)),
            SeriesKind::Arith(op, a, b) => Self::Join(Join::Arith(*op), part(a), part(b)),
            SeriesKind::Min(a, b) => Self::Join(Join::Min, part(a), part(b)),
            SeriesKind::Max(a, b) => Self::Join(Join::Max, part(a), part(b)),
            SeriesKind::Column(_) | SeriesKind::Call(_) => match shifted(series) {
                Some((inner, bars)) => Self::lagged(inner, lag + bars, leaf),
                None => Self::Leaf(leaf(series, lag)),
            },
        }
    }

    /// Writes the values of the bars from `from` on, as many as `out` has room for, counted as those of each `leaf` are.
    pub(super) fn fill<'v>(&self, from: usize, out: &mut [f64], leaf: &impl Fn(&L) -> &'v [f64]) {
        match self {
            Self::Constant(value) => out.fill(*value),
            Self::Leaf(of) => out.copy_from_slice(&leaf(of)[from..from + out.len()]),
            Self::Neg(x) => {
                x.fill(from, out, leaf);
                out.iter_mut().for_each(|value| *value = -*value);
            }
            Self::Abs(x) => {
                x.fill(from, out, leaf);
                out.iter_mut().for_each(|value| *value = value.abs());
            }
            Self::Join(join, a, b) => {
                for (nth, out) in out.chunks_mut(BLOCK).enumerate() {
                    join_all(*join, (a, b), from + nth * BLOCK, out, leaf);
                }
            }
        }
    }
}

/// Joins two formulas over a block of bars. Leaves are read where they lie.
fn join_all<'v, L>(
    join: Join,
    (a, b): (&Formula<L>, &Formula<L>),
    from: usize,
    out: &mut [f64],
    leaf: &impl Fn(&L) -> &'v [f64],
) {
    let bars = from..from + out.len();
    let mut other;
    let b = match b {
        Formula::Leaf(of) => &leaf(of)[bars.clone()],
        _ => {
            other = [0.0; BLOCK];
            let other = &mut other[..out.len()];
            b.fill(from, other, leaf);
            other
        }
    };
    if let Formula::Leaf(of) = a {
        return join.all(out, Some(&leaf(of)[bars]), b);
    }
    a.fill(from, out, leaf);
    join.all(out, None, b);
}

impl Join {
    /// Joins every value of `a`, or else of `out`, with that of `b`, with one loop an operation.
    fn all(self, out: &mut [f64], a: Option<&[f64]>, b: &[f64]) {
        match self {
            Self::Arith(Arith::Add) => each(out, a, b, |a, b| Arith::Add.apply(a, b)),
            Self::Arith(Arith::Sub) => each(out, a, b, |a, b| Arith::Sub.apply(a, b)),
            Self::Arith(Arith::Mul) => each(out, a, b, |a, b| Arith::Mul.apply(a, b)),
            Self::Arith(Arith::Div) => each(out, a, b, |a, b| Arith::Div.apply(a, b)),
            Self::Min => each(out, a, b, lesser),
            Self::Max => each(out, a, b, greater),
        }
    }
}

fn each(out: &mut [f64], a: Option<&[f64]>, b: &[f64], f: impl Fn(f64, f64) -> f64) {
    simd::wide(Each { out, a, b, f });
}

/// Every value joined with another.
struct Each<'a, F> {
    out: &'a mut [f64],
    a: Option<&'a [f64]>,
    b: &'a [f64],
    f: F,
}

impl<F: Fn(f64, f64) -> f64> Task for Each<'_, F> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        match self.a {
            Some(a) => {
                for ((out, &a), &b) in self.out.iter_mut().zip(a).zip(self.b) {
                    *out = (self.f)(a, b);
                }
            }
            None => {
                for (out, &b) in self.out.iter_mut().zip(self.b) {
                    *out = (self.f)(*out, b);
                }
            }
        }
    }
}

/// `shift(x, n)` is x read n bars before: it needs no column of its own.
fn shifted(series: &Series) -> Option<(&Series, usize)> {
    let SeriesKind::Call(call) = &series.kind else { return None };
    let inner = call.of.as_deref().filter(|_| call.function == Function::Shift)?;
    // A shifted constant is undefined at its first bars, as a column can be.
    (!matches!(inner.kind, SeriesKind::Constant(_))).then_some((inner, call.lengths[0]))
}
