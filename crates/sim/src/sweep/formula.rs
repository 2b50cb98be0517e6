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
                if let Some((middle, width, spread)) = band(*join, a, b) {
                    let [middle, spread] =
                        [middle, spread].map(|of| &leaf(of)[from..from + out.len()]);
                    return simd::wide(Band { out, middle, width, spread });
                }
                for (nth, out) in out.chunks_mut(BLOCK).enumerate() {
                    join_all(*join, (a, b), from + nth * BLOCK, out, leaf);
                }
            }
        }
    }

    /// Where its values over a block are: in place, or else in `out`, where it writes them.
    fn side<'v>(&self, from: usize, out: &mut [f64], leaf: &impl Fn(&L) -> &'v [f64]) -> Side<'v> {
        match self {
            Self::Constant(value) => Side::Constant(*value),
            Self::Leaf(of) => Side::There(&leaf(of)[from..from + out.len()]),
            _ => {
                self.fill(from, out, leaf);
                Side::Out
            }
        }
    }
}

/// A join that is a leaf and so many times another one: most bands and channels are, and one loop makes both steps.
fn band<'a, L>(join: Join, a: &'a Formula<L>, b: &'a Formula<L>) -> Option<(&'a L, f64, &'a L)> {
    let (Formula::Leaf(middle), Formula::Join(Join::Arith(Arith::Mul), x, y)) = (a, b) else {
        return None;
    };
    let (width, spread) = match (&**x, &**y) {
        (Formula::Constant(width), Formula::Leaf(spread))
        | (Formula::Leaf(spread), Formula::Constant(width)) => (*width, spread),
        _ => return None,
    };
    match join {
        Join::Arith(Arith::Add) => Some((middle, width, spread)),
        Join::Arith(Arith::Sub) => Some((middle, -width, spread)),
        _ => None,
    }
}

/// `middle` and so many times `spread`. A product that is not finite leaves no sum that is.
struct Band<'a> {
    out: &'a mut [f64],
    middle: &'a [f64],
    width: f64,
    spread: &'a [f64],
}

impl Task for Band<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Self { out, middle, width, spread } = self;
        for ((out, &middle), &spread) in out.iter_mut().zip(middle).zip(spread) {
            *out = Arith::Add.apply(middle, width * spread);
        }
    }
}

/// Where one side of a join is.
#[derive(Clone, Copy)]
enum Side<'a> {
    Constant(f64),
    There(&'a [f64]),
    /// Where what comes of the join is to be.
    Out,
}

/// Joins two formulas over a block of bars.
fn join_all<'v, L>(
    join: Join,
    (a, b): (&Formula<L>, &Formula<L>),
    from: usize,
    out: &mut [f64],
    leaf: &impl Fn(&L) -> &'v [f64],
) {
    let a = a.side(from, out, leaf);
    if let Side::Out = a {
        let mut other = [0.0; BLOCK];
        let other = &mut other[..out.len()];
        let b = match b.side(from, other, leaf) {
            Side::Out => Side::There(other),
            b => b,
        };
        return join.all(out, a, b);
    }
    let b = b.side(from, out, leaf);
    join.all(out, a, b);
}

impl Join {
    /// Writes what comes of both sides, with one loop an operation.
    fn all(self, out: &mut [f64], a: Side<'_>, b: Side<'_>) {
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

fn each(out: &mut [f64], a: Side<'_>, b: Side<'_>, f: impl Fn(f64, f64) -> f64) {
    simd::wide(Each { out, a, b, f });
}

/// Every value of one side joined with that of the other.
struct Each<'a, F> {
    out: &'a mut [f64],
    a: Side<'a>,
    b: Side<'a>,
    f: F,
}

impl<F: Fn(f64, f64) -> f64> Task for Each<'_, F> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Self { out, a, b, f } = self;
        match (a, b) {
            (Side::There(a), Side::There(b)) => {
                out.iter_mut().zip(a).zip(b).for_each(|((out, &a), &b)| *out = f(a, b));
            }
            (Side::There(a), Side::Constant(b)) => {
                out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a, b));
            }
            (Side::Constant(a), Side::There(b)) => {
                out.iter_mut().zip(b).for_each(|(out, &b)| *out = f(a, b));
            }
            (Side::Out, Side::There(b)) => {
                out.iter_mut().zip(b).for_each(|(out, &b)| *out = f(*out, b));
            }
            (Side::There(a), Side::Out) => {
                out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a, *out));
            }
            (Side::Out, Side::Constant(b)) => out.iter_mut().for_each(|out| *out = f(*out, b)),
            (Side::Constant(a), Side::Out) => out.iter_mut().for_each(|out| *out = f(a, *out)),
            (Side::Out, Side::Out) => out.iter_mut().for_each(|out| *out = f(*out, *out)),
            (Side::Constant(a), Side::Constant(b)) => out.fill(f(a, b)),
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
