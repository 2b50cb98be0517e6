//! Bar-by-bar arithmetic, comparisons and three-valued logic.
//! No window may enter; crossings, which look back, are the one exception.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::expr::{Arith, Comparison};

use super::Operand;

/// `f` of every value.
pub(super) fn map(x: &Operand, f: impl Fn(f64) -> f64, n_bars: usize) -> Arc<[f64]> {
    match x {
        Operand::Constant(x) => super::filled(f(*x), n_bars),
        Operand::Series(x) => x.iter().map(|&x| f(x)).collect(),
    }
}

/// `f` of every pair of values.
pub(super) fn zip(
    a: &Operand,
    b: &Operand,
    f: impl Fn(f64, f64) -> f64,
    n_bars: usize,
) -> Arc<[f64]> {
    match (a, b) {
        (Operand::Constant(a), Operand::Constant(b)) => super::filled(f(*a, *b), n_bars),
        (Operand::Constant(a), Operand::Series(b)) => b.iter().map(|&b| f(*a, b)).collect(),
        (Operand::Series(a), Operand::Constant(b)) => a.iter().map(|&a| f(a, *b)).collect(),
        (Operand::Series(a), Operand::Series(b)) => {
            a.iter().zip(&**b).map(|(&a, &b)| f(a, b)).collect()
        }
    }
}

/// Arithmetic; what is not finite is undefined.
pub(super) fn arith(op: Arith, a: &Operand, b: &Operand, n_bars: usize) -> Arc<[f64]> {
    match op {
        Arith::Add => zip(a, b, |a, b| Arith::Add.apply(a, b), n_bars),
        Arith::Sub => zip(a, b, |a, b| Arith::Sub.apply(a, b), n_bars),
        Arith::Mul => zip(a, b, |a, b| Arith::Mul.apply(a, b), n_bars),
        Arith::Div => zip(a, b, |a, b| Arith::Div.apply(a, b), n_bars),
    }
}

fn truths<T>(a: &Operand, b: &Operand, f: impl Fn(f64, f64) -> T, n_bars: usize) -> Vec<T> {
    match (a, b) {
        (Operand::Constant(a), Operand::Constant(b)) => (0..n_bars).map(|_| f(*a, *b)).collect(),
        (Operand::Constant(a), Operand::Series(b)) => b.iter().map(|&b| f(*a, b)).collect(),
        (Operand::Series(a), Operand::Constant(b)) => a.iter().map(|&a| f(a, *b)).collect(),
        (Operand::Series(a), Operand::Series(b)) => {
            a.iter().zip(&**b).map(|(&a, &b)| f(a, b)).collect()
        }
    }
}

/// A comparison; undefined where an operand is.
pub(super) fn compare(
    op: Comparison,
    a: &Operand,
    b: &Operand,
    n_bars: usize,
) -> Vec<Option<bool>> {
    use Comparison as C;
    match op {
        C::Less => truths(a, b, |a, b| C::Less.apply(a, b), n_bars),
        C::LessEqual => truths(a, b, |a, b| C::LessEqual.apply(a, b), n_bars),
        C::Greater => truths(a, b, |a, b| C::Greater.apply(a, b), n_bars),
        C::GreaterEqual => truths(a, b, |a, b| C::GreaterEqual.apply(a, b), n_bars),
        C::Equal => truths(a, b, |a, b| C::Equal.apply(a, b), n_bars),
        C::NotEqual => truths(a, b, |a, b| C::NotEqual.apply(a, b), n_bars),
    }
}

/// Whether `a` crosses above `b`: a > b now, and a < b at the last earlier bar at which they differed. Ties are
/// looked through; an undefined operand gives an undefined bar and forgets what was before.
pub(super) fn cross_above(
    a: &Operand,
    b: &Operand,
    negated: bool,
    n_bars: usize,
) -> Vec<Option<bool>> {
    let orders = truths(a, b, |a, b| a.partial_cmp(&b), n_bars);
    let mut was_below = false;
    let step = |order: Option<Ordering>| {
        let Some(order) = order else {
            was_below = false;
            return None;
        };
        let crosses = order == Ordering::Greater && was_below;
        if order != Ordering::Equal {
            was_below = order == Ordering::Less;
        }
        Some(crosses != negated)
    };
    orders.into_iter().map(step).collect()
}

/// SQL's `and`, into `left`: false beats undefined, undefined beats true.
pub(super) fn and(left: &mut [Option<bool>], right: &[Option<bool>]) {
    for (left, &right) in left.iter_mut().zip(right) {
        *left = match (*left, right) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        };
    }
}

/// SQL's `or`, into `left`: true beats undefined, undefined beats false.
pub(super) fn or(left: &mut [Option<bool>], right: &[Option<bool>]) {
    for (left, &right) in left.iter_mut().zip(right) {
        *left = match (*left, right) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        };
    }
}
