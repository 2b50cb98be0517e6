//! Closed expressions: no name is left in them, and constants are folded as they are built.
//! No source text, place or parameter may enter.

use std::sync::Arc;

use crate::bars::Column;

use super::canonical::number;
use super::function::Function;

/// An expression in which every parameter has its value. Two with the same [`key`](Self::key) mean the same.
#[derive(Clone, Debug)]
pub struct Bound {
    pub(super) term: Term,
}

impl Bound {
    /// A text that is the same for the same meaning: `a > b` and `b < a` share it, as do `sma(close, 2 * 5)`
    /// and `bb_middle(close, 10)`. It is for comparing, not for reading back.
    #[must_use]
    pub fn key(&self) -> &str {
        match &self.term {
            Term::Number(series) => &series.key,
            Term::Rule(truth) => &truth.key,
        }
    }

    /// The value of a rule that needs no bar, such as `10 < 50`: inside, `None` is undefined.
    /// `None` outside for a rule that reads bars, and for a number.
    #[must_use]
    pub fn constant_rule(&self) -> Option<Option<bool>> {
        match &self.term {
            Term::Rule(Truth { kind: TruthKind::Constant(value), .. }) => Some(*value),
            _ => None,
        }
    }

    /// The value of a number that needs no bar, NaN when it is undefined. `None` for one that reads bars, and for a rule.
    #[must_use]
    pub fn constant_number(&self) -> Option<f64> {
        match &self.term {
            Term::Number(Series { kind: SeriesKind::Constant(value), .. }) => Some(*value),
            _ => None,
        }
    }

    /// Every indicator in it, those inside others included, each as an expression of its own; some may come twice.
    #[must_use]
    pub fn indicators(&self) -> Vec<Self> {
        let mut found = Vec::new();
        match &self.term {
            Term::Number(series) => series.calls(&mut found),
            Term::Rule(truth) => truth.calls(&mut found),
        }
        found.into_iter().map(|series| Self { term: Term::Number(series.clone()) }).collect()
    }

    pub(crate) fn term(&self) -> &Term {
        &self.term
    }
}

/// The root of a closed expression.
#[derive(Clone, Debug)]
pub(crate) enum Term {
    Number(Series),
    Rule(Truth),
}

/// A number a bar.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) key: Arc<str>,
    pub(crate) kind: SeriesKind,
}

#[derive(Clone, Debug)]
pub(crate) enum SeriesKind {
    /// NaN is undefined, and no value is infinite.
    Constant(f64),
    Column(Column),
    Neg(Box<Series>),
    Arith(Arith, Box<Series>, Box<Series>),
    Abs(Box<Series>),
    Min(Box<Series>, Box<Series>),
    Max(Box<Series>, Box<Series>),
    Call(Call),
}

/// An indicator with its arguments by kind.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: Function,
    /// The series it is of, for those that take one.
    pub(crate) of: Option<Box<Series>>,
    pub(crate) lengths: Vec<usize>,
    /// Multiple of the range, for those that take one, else 0.
    pub(crate) factor: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

/// True, false or undefined, a bar. There is no `not` in it: it was pushed to the leaves, so that a kernel
/// needs one bit a bar only (a leaf that is undefined does not fire, nor does its negation).
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    pub(crate) key: Arc<str>,
    pub(crate) kind: TruthKind,
}

#[derive(Clone, Debug)]
pub(crate) enum TruthKind {
    Constant(Option<bool>),
    /// One of `<`, `<=`, `==`, `!=`: the other two are written with their sides changed.
    Compare(Comparison, Series, Series),
    /// Whether the first crosses above the second, or whether it does not.
    Cross {
        a: Series,
        b: Series,
        negated: bool,
    },
    And(Box<Truth>, Box<Truth>),
    Or(Box<Truth>, Box<Truth>),
}

impl Arith {
    /// The value for two operands; NaN where it is not finite.
    #[inline(always)]
    pub(crate) fn apply(self, a: f64, b: f64) -> f64 {
        let value = match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
        };
        if value.is_finite() { value } else { f64::NAN }
    }

    fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Sub => '-',
            Self::Mul => '*',
            Self::Div => '/',
        }
    }
}

impl Comparison {
    /// The value for two operands; `None` when one of them is undefined.
    pub(crate) fn apply(self, a: f64, b: f64) -> Option<bool> {
        if a.is_nan() || b.is_nan() {
            return None;
        }
        Some(match self {
            Self::Less => a < b,
            Self::LessEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterEqual => a >= b,
            Self::Equal => a == b,
            Self::NotEqual => a != b,
        })
    }

    fn opposite(self) -> Self {
        match self {
            Self::Less => Self::GreaterEqual,
            Self::LessEqual => Self::Greater,
            Self::Greater => Self::LessEqual,
            Self::GreaterEqual => Self::Less,
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }
}

/// The lesser of two numbers, undefined where one of them is.
pub(crate) fn lesser(a: f64, b: f64) -> f64 {
    if a.is_nan() || a < b { a } else { b }
}

/// The greater of two numbers, undefined where one of them is.
pub(crate) fn greater(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

impl Series {
    fn new(key: String, kind: SeriesKind) -> Self {
        Self { key: key.into(), kind }
    }

    pub(crate) fn constant(value: f64) -> Self {
        let value = if value.is_finite() { value } else { f64::NAN };
        let key = if value.is_nan() { "undefined".to_owned() } else { number(value) };
        Self::new(key, SeriesKind::Constant(value))
    }

    /// The indicators in it.
    fn calls<'a>(&'a self, found: &mut Vec<&'a Self>) {
        match &self.kind {
            SeriesKind::Constant(_) | SeriesKind::Column(_) => {}
            SeriesKind::Neg(x) | SeriesKind::Abs(x) => x.calls(found),
            SeriesKind::Arith(_, a, b) | SeriesKind::Min(a, b) | SeriesKind::Max(a, b) => {
                a.calls(found);
                b.calls(found);
            }
            SeriesKind::Call(call) => {
                found.push(self);
                call.of.iter().for_each(|of| of.calls(found));
            }
        }
    }

    /// The indicator that it is, if it is one.
    pub(crate) fn as_call(&self) -> Option<&Call> {
        match &self.kind {
            SeriesKind::Call(call) => Some(call),
            _ => None,
        }
    }

    pub(crate) fn column(column: Column) -> Self {
        Self::new(column.name().to_owned(), SeriesKind::Column(column))
    }

    pub(crate) fn neg(self) -> Self {
        if let SeriesKind::Constant(value) = self.kind {
            return Self::constant(-value);
        }
        Self::new(format!("-{}", self.key), SeriesKind::Neg(Box::new(self)))
    }

    pub(crate) fn arith(op: Arith, a: Self, b: Self) -> Self {
        if let (SeriesKind::Constant(x), SeriesKind::Constant(y)) = (&a.kind, &b.kind) {
            return Self::constant(op.apply(*x, *y));
        }
        let (a, b) = if matches!(op, Arith::Add | Arith::Mul) { sorted(a, b) } else { (a, b) };
        let key = format!("({} {} {})", a.key, op.sign(), b.key);
        Self::new(key, SeriesKind::Arith(op, Box::new(a), Box::new(b)))
    }

    pub(crate) fn abs(self) -> Self {
        if let SeriesKind::Constant(value) = self.kind {
            return Self::constant(value.abs());
        }
        Self::new(format!("abs({})", self.key), SeriesKind::Abs(Box::new(self)))
    }

    pub(crate) fn min(a: Self, b: Self) -> Self {
        if let (SeriesKind::Constant(x), SeriesKind::Constant(y)) = (&a.kind, &b.kind) {
            return Self::constant(lesser(*x, *y));
        }
        let (a, b) = sorted(a, b);
        let key = format!("min({}, {})", a.key, b.key);
        Self::new(key, SeriesKind::Min(Box::new(a), Box::new(b)))
    }

    pub(crate) fn max(a: Self, b: Self) -> Self {
        if let (SeriesKind::Constant(x), SeriesKind::Constant(y)) = (&a.kind, &b.kind) {
            return Self::constant(greater(*x, *y));
        }
        let (a, b) = sorted(a, b);
        let key = format!("max({}, {})", a.key, b.key);
        Self::new(key, SeriesKind::Max(Box::new(a), Box::new(b)))
    }

    pub(crate) fn call(
        function: Function,
        of: Option<Self>,
        lengths: Vec<usize>,
        factor: f64,
    ) -> Self {
        let mut args: Vec<String> = of.iter().map(|x| x.key.to_string()).collect();
        args.extend(lengths.iter().map(ToString::to_string));
        if factor != 0.0 {
            args.push(number(factor));
        }
        let key = format!("{}({})", function.name(), args.join(", "));
        Self::new(key, SeriesKind::Call(Call { function, of: of.map(Box::new), lengths, factor }))
    }
}

impl Truth {
    fn new(key: String, kind: TruthKind) -> Self {
        Self { key: key.into(), kind }
    }

    pub(crate) fn constant(value: Option<bool>) -> Self {
        let key = value.map_or("undefined".to_owned(), |value| value.to_string());
        Self::new(key, TruthKind::Constant(value))
    }

    pub(crate) fn compare(op: Comparison, a: Series, b: Series) -> Self {
        if let (SeriesKind::Constant(x), SeriesKind::Constant(y)) = (&a.kind, &b.kind) {
            return Self::constant(op.apply(*x, *y));
        }
        let (op, a, b) = match op {
            Comparison::Greater => (Comparison::Less, b, a),
            Comparison::GreaterEqual => (Comparison::LessEqual, b, a),
            Comparison::Equal | Comparison::NotEqual => {
                let (a, b) = sorted(a, b);
                (op, a, b)
            }
            _ => (op, a, b),
        };
        let key = format!("{} {} {}", a.key, op.sign(), b.key);
        Self::new(key, TruthKind::Compare(op, a, b))
    }

    pub(crate) fn cross(a: Series, b: Series, negated: bool) -> Self {
        let not = if negated { "not " } else { "" };
        let key = format!("{not}cross_above({}, {})", a.key, b.key);
        Self::new(key, TruthKind::Cross { a, b, negated })
    }

    pub(crate) fn and(a: Self, b: Self) -> Self {
        use TruthKind::Constant;
        match (&a.kind, &b.kind) {
            (Constant(Some(false)), _) | (_, Constant(Some(true))) => a,
            (_, Constant(Some(false))) | (Constant(Some(true)), _) => b,
            (Constant(None), Constant(None)) => a,
            _ => {
                let (a, b) = if a.key <= b.key { (a, b) } else { (b, a) };
                let key = format!("({} and {})", a.key, b.key);
                Self::new(key, TruthKind::And(Box::new(a), Box::new(b)))
            }
        }
    }

    pub(crate) fn or(a: Self, b: Self) -> Self {
        use TruthKind::Constant;
        match (&a.kind, &b.kind) {
            (Constant(Some(true)), _) | (_, Constant(Some(false))) => a,
            (_, Constant(Some(true))) | (Constant(Some(false)), _) => b,
            (Constant(None), Constant(None)) => a,
            _ => {
                let (a, b) = if a.key <= b.key { (a, b) } else { (b, a) };
                let key = format!("({} or {})", a.key, b.key);
                Self::new(key, TruthKind::Or(Box::new(a), Box::new(b)))
            }
        }
    }

    /// The indicators in it.
    fn calls<'a>(&'a self, found: &mut Vec<&'a Series>) {
        match &self.kind {
            TruthKind::Constant(_) => {}
            TruthKind::Compare(_, a, b) | TruthKind::Cross { a, b, .. } => {
                a.calls(found);
                b.calls(found);
            }
            TruthKind::And(a, b) | TruthKind::Or(a, b) => {
                a.calls(found);
                b.calls(found);
            }
        }
    }

    /// The rules that it joins; none for a comparison, a crossing or a constant.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Self> {
        let both = match &self.kind {
            TruthKind::And(a, b) | TruthKind::Or(a, b) => Some([&**a, &**b]),
            _ => None,
        };
        both.into_iter().flatten()
    }

    /// Its negation, with no `not` left in it: undefined stays undefined on either side.
    pub(crate) fn negate(self) -> Self {
        match self.kind {
            TruthKind::Constant(value) => Self::constant(value.map(|value| !value)),
            TruthKind::Compare(op, a, b) => Self::compare(op.opposite(), a, b),
            TruthKind::Cross { a, b, negated } => Self::cross(a, b, !negated),
            TruthKind::And(a, b) => Self::or(a.negate(), b.negate()),
            TruthKind::Or(a, b) => Self::and(a.negate(), b.negate()),
        }
    }
}

/// Operands whose order does not matter, in one order.
fn sorted(a: Series, b: Series) -> (Series, Series) {
    if a.key <= b.key { (a, b) } else { (b, a) }
}
