//! Names and types: turns a parsed tree into one whose every piece is known to be a number or a rule.
//! No parameter's value may enter: what depends on one is checked when it is bound.

use std::ops::Range;

use crate::bars::Column;

use super::bound::{Arith, Comparison};
use super::error::{Fault, nearest};
use super::function::{Arg, Function, known_elsewhere};
use super::lex::KEYWORDS;
use super::parse::{Binary, Kind, Node, Unary};
use super::{MAX_WINDOW, Type};

/// A checked expression.
#[derive(Clone, Debug)]
pub(super) enum Typed {
    Number(Number),
    Rule(Rule),
}

#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) span: Range<usize>,
    pub(super) kind: NumberKind,
}

#[derive(Clone, Debug)]
pub(super) enum NumberKind {
    Literal(f64),
    Param(String),
    Column(Column),
    Neg(Box<Number>),
    Arith(Arith, Box<Number>, Box<Number>),
    Call(Function, Vec<Number>),
}

#[derive(Clone, Debug)]
pub(super) enum Rule {
    Literal(bool),
    Compare(Comparison, Number, Number),
    Not(Box<Rule>),
    And(Box<Rule>, Box<Rule>),
    Or(Box<Rule>, Box<Rule>),
    /// The first crosses above the second.
    Cross(Number, Number),
}

impl Typed {
    /// Shows every number in the tree to `see`, outer ones first.
    pub(super) fn walk(&self, see: &mut impl FnMut(&Number)) {
        match self {
            Self::Number(number) => number.walk(see),
            Self::Rule(rule) => rule.walk(see),
        }
    }
}

impl Number {
    fn walk(&self, see: &mut impl FnMut(&Self)) {
        see(self);
        match &self.kind {
            NumberKind::Neg(x) => x.walk(see),
            NumberKind::Arith(_, a, b) => {
                a.walk(see);
                b.walk(see);
            }
            NumberKind::Call(_, args) => args.iter().for_each(|arg| arg.walk(see)),
            _ => {}
        }
    }
}

impl Rule {
    fn walk(&self, see: &mut impl FnMut(&Number)) {
        match self {
            Self::Literal(_) => {}
            Self::Compare(_, a, b) | Self::Cross(a, b) => {
                a.walk(see);
                b.walk(see);
            }
            Self::Not(rule) => rule.walk(see),
            Self::And(a, b) | Self::Or(a, b) => {
                a.walk(see);
                b.walk(see);
            }
        }
    }
}

/// Checks `node`, which must be of type `want`.
pub(super) fn check(node: &Node, want: Type, params: &[&str]) -> Result<Typed, Fault> {
    let checker = Checker { params };
    Ok(match want {
        Type::Number => Typed::Number(checker.number(node)?),
        Type::Rule => Typed::Rule(checker.rule(node)?),
    })
}

/// A length as a count of bars; the message says what is wrong with it.
pub(super) fn window(value: f64, function: Function, name: &str) -> Result<usize, String> {
    let limit = MAX_WINDOW as f64;
    if (1.0..=limit).contains(&value) && value.fract() == 0.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and in range"
        )]
        return Ok(value as usize);
    }
    let function = function.name();
    Err(format!(
        "`{name}` of `{function}` is {}, not a whole number from 1 to {MAX_WINDOW}",
        shown(value)
    ))
}

/// A factor, which must be above 0.
pub(super) fn factor(value: f64, function: Function, name: &str) -> Result<f64, String> {
    if value > 0.0 {
        return Ok(value);
    }
    Err(format!("`{name}` of `{}` is {}, not above 0", function.name(), shown(value)))
}

fn shown(value: f64) -> String {
    if value.is_nan() { "undefined".to_owned() } else { super::canonical::number(value) }
}

struct Checker<'a> {
    params: &'a [&'a str],
}

impl Checker<'_> {
    fn number(&self, node: &Node) -> Result<Number, Fault> {
        let kind = match &node.kind {
            Kind::Number(value) => NumberKind::Literal(*value),
            Kind::Name(name) => self.name(name, &node.span)?,
            Kind::Unary(Unary::Neg, x) => NumberKind::Neg(Box::new(self.number(x)?)),
            Kind::Binary(op, a, b) if arith(*op).is_some() => {
                let op = arith(*op).unwrap_or(Arith::Add);
                NumberKind::Arith(op, Box::new(self.number(a)?), Box::new(self.number(b)?))
            }
            Kind::Call { name, name_span, args } => {
                let function = self.function(name, name_span)?;
                if function.returns() == Type::Rule {
                    return Err(number_wanted(&node.span));
                }
                NumberKind::Call(function, self.args(function, args, &node.span)?)
            }
            Kind::Bool(_) | Kind::Unary(Unary::Not, _) | Kind::Binary(..) => {
                return Err(number_wanted(&node.span));
            }
        };
        Ok(Number { span: node.span.clone(), kind })
    }

    fn rule(&self, node: &Node) -> Result<Rule, Fault> {
        match &node.kind {
            Kind::Bool(value) => Ok(Rule::Literal(*value)),
            Kind::Unary(Unary::Not, rule) => Ok(Rule::Not(Box::new(self.rule(rule)?))),
            Kind::Binary(Binary::And, a, b) => {
                Ok(Rule::And(Box::new(self.rule(a)?), Box::new(self.rule(b)?)))
            }
            Kind::Binary(Binary::Or, a, b) => {
                Ok(Rule::Or(Box::new(self.rule(a)?), Box::new(self.rule(b)?)))
            }
            Kind::Binary(op, a, b) if comparison(*op).is_some() => {
                let op = comparison(*op).unwrap_or(Comparison::Less);
                Ok(Rule::Compare(op, self.number(a)?, self.number(b)?))
            }
            Kind::Call { name, name_span, args } => {
                let function = self.function(name, name_span)?;
                if function.returns() == Type::Number {
                    return Err(rule_wanted(&node.span));
                }
                self.cross(function, args, &node.span)
            }
            Kind::Name(name) => {
                // An unknown name is worth more to the reader than its wrong type.
                self.name(name, &node.span)?;
                Err(rule_wanted(&node.span))
            }
            _ => Err(rule_wanted(&node.span)),
        }
    }

    fn cross(&self, function: Function, args: &[Node], span: &Range<usize>) -> Result<Rule, Fault> {
        let mut args = self.args(function, args, span)?.into_iter();
        let (Some(a), Some(b)) = (args.next(), args.next()) else {
            return Err(wrong_count(function, args.len(), span));
        };
        Ok(if function == Function::CrossBelow { Rule::Cross(b, a) } else { Rule::Cross(a, b) })
    }

    fn args(
        &self,
        function: Function,
        given: &[Node],
        span: &Range<usize>,
    ) -> Result<Vec<Number>, Fault> {
        let wanted = function.args();
        if given.len() != wanted.len() {
            return Err(wrong_count(function, given.len(), span));
        }
        wanted.iter().zip(given).map(|(&arg, node)| self.arg(function, arg, node)).collect()
    }

    fn arg(&self, function: Function, arg: Arg, node: &Node) -> Result<Number, Fault> {
        let number = self.number(node)?;
        if matches!(arg, Arg::Series(_)) {
            return Ok(number);
        }
        if let Some(place) = changing(&number) {
            let message = format!("`{}` of `{}` must be constant", arg.name(), function.name());
            return Err(Fault::new(&place.span, message).hint("use numbers and parameters only"));
        }
        // With no parameter in it, it is known already now.
        if let Some(value) = super::bind::constant(&number, &|_| None) {
            let checked = match arg {
                Arg::Length(name) => window(value, function, name).map(|_| ()),
                Arg::Factor(name) | Arg::Series(name) => factor(value, function, name).map(|_| ()),
            };
            checked.map_err(|message| Fault::new(&node.span, message))?;
        }
        Ok(number)
    }

    fn name(&self, name: &str, span: &Range<usize>) -> Result<NumberKind, Fault> {
        let column = name.parse::<Column>().ok();
        match (column, self.params.contains(&name)) {
            (Some(column), false) => Ok(NumberKind::Column(column)),
            (None, true) => Ok(NumberKind::Param(name.to_owned())),
            (Some(_), true) => {
                let message = format!("`{name}` is a column and a parameter too");
                Err(Fault::new(span, message).hint("give the parameter another name"))
            }
            (None, false) => Err(self.unknown_name(name, span)),
        }
    }

    fn unknown_name(&self, name: &str, span: &Range<usize>) -> Fault {
        if let Some(function) = Function::named(name) {
            let fault = Fault::new(span, format!("`{name}` is a function and needs arguments"));
            return fault.hint(format!("write `{}`", function.signature()));
        }
        let columns = Column::ALL.iter().map(|column| column.name());
        let functions = Function::ALL.iter().map(|function| function.name());
        let all = columns.chain(self.params.iter().copied()).chain(functions).chain(KEYWORDS);
        Fault::new(span, format!("no column or parameter is named `{name}`"))
            .maybe_hint(did_you_mean(name, all))
    }

    fn function(&self, name: &str, span: &Range<usize>) -> Result<Function, Fault> {
        if let Some(function) = Function::named(name) {
            return Ok(function);
        }
        if name.parse::<Column>().is_ok() || self.params.contains(&name) {
            let fault = Fault::new(span, format!("`{name}` is not a function"));
            return Err(fault.hint(format!("for an earlier bar write `shift({name}, 1)`")));
        }
        let functions = Function::ALL.iter().map(|function| function.name());
        let columns = Column::ALL.iter().map(|column| column.name());
        let all = functions.chain(columns).chain(self.params.iter().copied());
        Err(Fault::new(span, format!("no function is named `{name}`"))
            .maybe_hint(did_you_mean(name, all)))
    }
}

fn did_you_mean<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known = known_elsewhere(&name.to_lowercase()).or_else(|| nearest(name, all))?;
    Some(format!("did you mean `{known}`?"))
}

/// The first piece of `number` that may differ from bar to bar.
fn changing(number: &Number) -> Option<&Number> {
    match &number.kind {
        NumberKind::Literal(_) | NumberKind::Param(_) => None,
        NumberKind::Column(_) => Some(number),
        NumberKind::Neg(x) => changing(x),
        NumberKind::Arith(_, a, b) => changing(a).or_else(|| changing(b)),
        NumberKind::Call(function, args) if function.is_pointwise() => {
            args.iter().find_map(changing)
        }
        NumberKind::Call(..) => Some(number),
    }
}

fn wrong_count(function: Function, given: usize, span: &Range<usize>) -> Fault {
    let wanted = function.args().len();
    let plural = if wanted == 1 { "" } else { "s" };
    let message = format!("`{}` takes {wanted} argument{plural}, {given} given", function.name());
    Fault::new(span, message).hint(format!("write `{}`", function.signature()))
}

fn number_wanted(span: &Range<usize>) -> Fault {
    Fault::new(span, "a number is needed here, this is a rule (true or false)")
}

fn rule_wanted(span: &Range<usize>) -> Fault {
    Fault::new(span, "a rule (true or false) is needed here, this is a number")
        .hint("compare it with something, such as `> 0`")
}

fn arith(op: Binary) -> Option<Arith> {
    Some(match op {
        Binary::Add => Arith::Add,
        Binary::Sub => Arith::Sub,
        Binary::Mul => Arith::Mul,
        Binary::Div => Arith::Div,
        _ => return None,
    })
}

fn comparison(op: Binary) -> Option<Comparison> {
    Some(match op {
        Binary::Less => Comparison::Less,
        Binary::LessEqual => Comparison::LessEqual,
        Binary::Greater => Comparison::Greater,
        Binary::GreaterEqual => Comparison::GreaterEqual,
        Binary::Equal => Comparison::Equal,
        Binary::NotEqual => Comparison::NotEqual,
        _ => return None,
    })
}
