//! Puts parameter values into a checked expression and writes compound indicators in terms of simpler ones.
//! No bar may enter.

use crate::params::Params;

use super::bound::{Arith, Bound, Series, Term, Truth};
use super::check::{self, Number, NumberKind, Rule, Typed};
use super::error::Fault;
use super::function::{Arg, Function};

/// Closes `root` over the values of `params`.
pub(super) fn bind(root: &Typed, params: &Params) -> Result<Bound, Fault> {
    let binder = Binder { params };
    let term = match root {
        Typed::Number(number) => Term::Number(binder.number(number)?),
        Typed::Rule(rule) => Term::Rule(binder.rule(rule)?),
    };
    Ok(Bound { term })
}

/// The value of a number that needs no bar, parameters looked up with `value`; NaN when undefined,
/// `None` when it needs a bar or a parameter that has no value.
pub(super) fn constant(number: &Number, value: &dyn Fn(&str) -> Option<f64>) -> Option<f64> {
    Some(match &number.kind {
        NumberKind::Literal(literal) => *literal,
        NumberKind::Param(name) => value(name)?,
        NumberKind::Column(_) => return None,
        NumberKind::Neg(x) => -constant(x, value)?,
        NumberKind::Arith(op, a, b) => op.apply(constant(a, value)?, constant(b, value)?),
        NumberKind::Call(function, args) => {
            let args: Option<Vec<f64>> = args.iter().map(|arg| constant(arg, value)).collect();
            match (function, args?.as_slice()) {
                (Function::Abs, [x]) => x.abs(),
                (Function::Min, [a, b]) => super::bound::lesser(*a, *b),
                (Function::Max, [a, b]) => super::bound::greater(*a, *b),
                _ => return None,
            }
        }
    })
}

struct Binder<'a> {
    params: &'a Params,
}

impl Binder<'_> {
    fn rule(&self, rule: &Rule) -> Result<Truth, Fault> {
        Ok(match rule {
            Rule::Literal(value) => Truth::constant(Some(*value)),
            Rule::Compare(op, a, b) => Truth::compare(*op, self.number(a)?, self.number(b)?),
            Rule::Not(rule) => self.rule(rule)?.negate(),
            Rule::And(a, b) => Truth::and(self.rule(a)?, self.rule(b)?),
            Rule::Or(a, b) => Truth::or(self.rule(a)?, self.rule(b)?),
            Rule::Cross(a, b) => Truth::cross(self.number(a)?, self.number(b)?, false),
        })
    }

    fn number(&self, number: &Number) -> Result<Series, Fault> {
        Ok(match &number.kind {
            NumberKind::Literal(value) => Series::constant(*value),
            NumberKind::Param(name) => Series::constant(self.value(name, number)?),
            NumberKind::Column(column) => Series::column(*column),
            NumberKind::Neg(x) => self.number(x)?.neg(),
            NumberKind::Arith(op, a, b) => Series::arith(*op, self.number(a)?, self.number(b)?),
            NumberKind::Call(function, args) => self.call(*function, args)?,
        })
    }

    /// The double nearest to a parameter's decimal: its text read as a double is rounded once.
    fn value(&self, name: &str, place: &Number) -> Result<f64, Fault> {
        let decimal = self.params.get(name).and_then(|value| value.to_string().parse().ok());
        decimal.ok_or_else(|| Fault::new(&place.span, format!("parameter `{name}` has no value")))
    }

    fn call(&self, function: Function, args: &[Number]) -> Result<Series, Fault> {
        let mut series = Vec::new();
        let mut lengths = Vec::new();
        let mut factor = 0.0;
        for (&arg, number) in function.args().iter().zip(args) {
            match arg {
                Arg::Series(_) => series.push(self.number(number)?),
                Arg::Length(name) => {
                    let value = self.fixed(number)?;
                    let length = check::window(value, function, name);
                    lengths.push(length.map_err(|message| Fault::new(&number.span, message))?);
                }
                Arg::Factor(name) => {
                    let value = self.fixed(number)?;
                    let checked = check::factor(value, function, name);
                    factor = checked.map_err(|message| Fault::new(&number.span, message))?;
                }
            }
        }
        Ok(written_simply(function, series, lengths, factor))
    }

    /// The value of an argument that was checked to need no bar.
    fn fixed(&self, number: &Number) -> Result<f64, Fault> {
        let bound = Bound { term: Term::Number(self.number(number)?) };
        let place = &number.span;
        bound.constant_number().ok_or_else(|| Fault::new(place, "this must be constant"))
    }
}

/// A call in terms of as few indicators as possible, so that those with common parts share them.
fn written_simply(
    function: Function,
    series: Vec<Series>,
    mut lengths: Vec<usize>,
    factor: f64,
) -> Series {
    use Function as F;
    let mut series = series.into_iter();
    let first = series.next();
    match (function, first, series.next(), lengths.as_slice()) {
        (F::Abs, Some(x), ..) => x.abs(),
        (F::Min, Some(a), Some(b), _) => Series::min(a, b),
        (F::Max, Some(a), Some(b), _) => Series::max(a, b),
        (F::BbMiddle, x, ..) => Series::call(F::Sma, x, lengths, 0.0),
        (F::BbUpper, x, ..) => band(Arith::Add, x, lengths, factor),
        (F::BbLower, x, ..) => band(Arith::Sub, x, lengths, factor),
        (F::Zscore, Some(x), ..) => {
            let mean = Series::call(F::Sma, Some(x.clone()), lengths.clone(), 0.0);
            let stddev = Series::call(F::Stddev, Some(x.clone()), lengths, 0.0);
            Series::arith(Arith::Div, Series::arith(Arith::Sub, x, mean), stddev)
        }
        (F::StochK, None, _, &[n, k]) => stoch_k(n, k),
        (F::StochD, None, _, &[n, k, d]) => Series::call(F::Sma, Some(stoch_k(n, k)), vec![d], 0.0),
        (F::MacdHist, x, _, &[fast, slow, signal]) => {
            let lengths = vec![fast.min(slow), fast.max(slow), signal];
            let line = Series::call(F::Macd, x.clone(), lengths.clone(), 0.0);
            let signal = Series::call(F::MacdSignal, x, lengths, 0.0);
            Series::arith(Arith::Sub, line, signal)
        }
        (F::Macd | F::MacdSignal, x, _, &[fast, slow, _]) => {
            (lengths[0], lengths[1]) = (fast.min(slow), fast.max(slow));
            Series::call(function, x, lengths, 0.0)
        }
        (_, x, ..) => Series::call(function, x, lengths, factor),
    }
}

fn band(op: Arith, x: Option<Series>, lengths: Vec<usize>, factor: f64) -> Series {
    let middle = Series::call(Function::Sma, x.clone(), lengths.clone(), 0.0);
    let stddev = Series::call(Function::Stddev, x, lengths, 0.0);
    Series::arith(op, middle, Series::arith(Arith::Mul, Series::constant(factor), stddev))
}

fn stoch_k(n: usize, k: usize) -> Series {
    let raw = Series::call(Function::StochRaw, None, vec![n], 0.0);
    Series::call(Function::Sma, Some(raw), vec![k], 0.0)
}
