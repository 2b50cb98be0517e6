//! Strategies that are rules: boolean expressions for entries and exits, and levels measured from the fill.
//! Expressions are evaluated over whole columns once; deciding only looks at bar i of them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::bars::{Bars, Column};
use crate::exact;
use crate::expr::{Bound, Expr, ExprError};
use crate::indicator::Evaluator;
use crate::order::{Decision, Distance, Order, Protection, Side, Size};
use crate::params::Params;
use crate::strategy::{Strategy, View};

/// A number as a strategy file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    Fixed(Decimal),
    /// The value of the parameter of this name.
    Param(String),
}

/// A level of protection as a strategy file gives it.
#[derive(Clone, Debug)]
pub enum Level {
    /// So many per cent of the entry price.
    Percent(Amount),
    /// A distance in quote units, taken at the bar of the decision.
    Quote(Expr),
}

/// The longest holding time as a strategy file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeStop {
    /// How many of the unit.
    pub count: Amount,
    /// Microseconds.
    pub unit_us: i64,
}

/// Entry and exit rules with their protection, parsed and checked, parameters still open.
#[derive(Clone, Debug)]
pub struct SignalRules {
    pub long_entry: Option<Expr>,
    pub long_exit: Option<Expr>,
    pub short_entry: Option<Expr>,
    pub short_exit: Option<Expr>,
    pub size: Size<Amount>,
    pub stop_loss: Option<Level>,
    pub take_profit: Option<Level>,
    pub trailing_stop: Option<Level>,
    pub time_stop: Option<TimeStop>,
}

impl From<Decimal> for Amount {
    fn from(value: Decimal) -> Self {
        Self::Fixed(value)
    }
}

impl Amount {
    fn param(&self) -> Option<&str> {
        match self {
            Self::Fixed(_) => None,
            Self::Param(name) => Some(name),
        }
    }

    fn bind(&self, params: &Params) -> Result<Decimal, ExprError> {
        match self {
            Self::Fixed(value) => Ok(*value),
            Self::Param(name) => {
                params.get(name).ok_or_else(|| ExprError::of(name, "this parameter has no value"))
            }
        }
    }

    /// What `build` makes of its value; what is wrong with that is said of the parameter or number.
    fn build<T>(
        &self,
        params: &Params,
        build: impl FnOnce(Decimal) -> Result<T, &'static str>,
    ) -> Result<T, ExprError> {
        let value = self.bind(params)?;
        build(value).map_err(|wrong| match self {
            Self::Fixed(_) => ExprError::of(&self.to_string(), wrong),
            Self::Param(name) => ExprError::of(name, &format!("{wrong}, and `{name}` is {value}")),
        })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(value) => value.normalize().fmt(f),
            Self::Param(name) => f.write_str(name),
        }
    }
}

impl TimeStop {
    /// Microseconds in `count` of its unit.
    ///
    /// # Errors
    /// When that is not above 0, no whole number, or more than a day number holds.
    pub fn us(&self, count: Decimal) -> Result<i64, &'static str> {
        let us = count.checked_mul(self.unit_us.into()).filter(Decimal::is_integer);
        let us = us.and_then(|us| i64::try_from(us).ok());
        us.filter(|us| *us > 0).ok_or("a time stop must be above 0, in whole microseconds")
    }

    /// Its microseconds where they are known.
    fn canonical(&self) -> String {
        match &self.count {
            Amount::Fixed(count) => self.us(*count).map_or_else(str::to_owned, |us| us.to_string()),
            Amount::Param(name) => format!("{name} * {}", self.unit_us),
        }
    }
}

impl SignalRules {
    fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let rules = [&self.long_entry, &self.long_exit, &self.short_entry, &self.short_exit];
        let levels = [&self.stop_loss, &self.take_profit, &self.trailing_stop];
        let levels = levels.into_iter().filter_map(|level| match level {
            Some(Level::Quote(expr)) => Some(expr),
            _ => None,
        });
        rules.into_iter().filter_map(Option::as_ref).chain(levels)
    }

    /// Every column of `market_data` that the rules read besides those of every run.
    #[must_use]
    pub fn columns(&self) -> BTreeSet<Column> {
        self.exprs().flat_map(Expr::columns).collect()
    }

    /// Names of the parameters that the rules mention.
    #[must_use]
    pub fn params(&self) -> BTreeSet<String> {
        let levels = [&self.stop_loss, &self.take_profit, &self.trailing_stop];
        let percent = levels.into_iter().filter_map(|level| match level {
            Some(Level::Percent(percent)) => Some(percent),
            _ => None,
        });
        let counts = self.time_stop.iter().map(|stop| &stop.count);
        let amounts = percent.chain(counts).chain([self.size.amount()]);
        let named = amounts.filter_map(Amount::param).map(str::to_owned);
        self.exprs().flat_map(Expr::params).chain(named).collect()
    }

    /// One text for equal rules: white space, comments and the order of a file do not show in it.
    #[must_use]
    pub fn canonical(&self) -> String {
        let expr = |e: &Option<Expr>| e.as_ref().map_or_else(String::new, Expr::canonical);
        let level = |l: &Option<Level>| match l {
            None => String::new(),
            Some(Level::Percent(percent)) => format!("{percent}%"),
            Some(Level::Quote(e)) => e.canonical(),
        };
        let time_stop = self.time_stop.as_ref().map_or_else(String::new, TimeStop::canonical);
        [
            format!("long_entry: {}", expr(&self.long_entry)),
            format!("long_exit: {}", expr(&self.long_exit)),
            format!("short_entry: {}", expr(&self.short_entry)),
            format!("short_exit: {}", expr(&self.short_exit)),
            format!("size: {} {}", self.size.word(), self.size.amount()),
            format!("stop_loss: {}", level(&self.stop_loss)),
            format!("take_profit: {}", level(&self.take_profit)),
            format!("trailing_stop: {}", level(&self.trailing_stop)),
            format!("time_stop: {time_stop}"),
        ]
        .join("\n")
    }

    /// The strategy at one point of its parameters.
    ///
    /// # Errors
    /// When a value makes no sense where it stands, such as a length of 0; the error points at the place.
    pub fn bind(&self, params: &Params) -> Result<Signals, ExprError> {
        let rule = |e: &Option<Expr>| e.as_ref().map(|e| e.bind(params)).transpose();
        let level = |l: &Option<Level>| {
            Ok(match l {
                None => None,
                Some(Level::Percent(percent)) => {
                    Some(Gap::Fraction(percent.build(params, fraction)?))
                }
                Some(Level::Quote(expr)) => Some(Gap::Quote(expr.bind(params)?)),
            })
        };
        let size = |amount| self.size.of(amount).checked();
        let time_stop = |stop: &TimeStop| stop.count.build(params, |count| stop.us(count));
        Ok(Signals {
            rules: [
                rule(&self.long_entry)?,
                rule(&self.long_exit)?,
                rule(&self.short_entry)?,
                rule(&self.short_exit)?,
            ],
            size: self.size.amount().build(params, size)?,
            levels: [
                level(&self.stop_loss)?,
                level(&self.take_profit)?,
                level(&self.trailing_stop)?,
            ],
            time_stop_us: self.time_stop.as_ref().map(time_stop).transpose()?,
            tags: ["long_entry".into(), "short_entry".into()],
            fired: Default::default(),
            distances: Default::default(),
        })
    }
}

/// How far a level lies that is given in per cent.
fn fraction(percent: Decimal) -> Result<Decimal, &'static str> {
    if percent > Decimal::ZERO {
        Ok(percent / Decimal::ONE_HUNDRED)
    } else {
        Err("a stop or target must be above 0 %")
    }
}

/// A level with its parameters bound.
#[derive(Clone, Debug)]
pub(crate) enum Gap {
    Fraction(Decimal),
    Quote(Bound),
}

/// [`SignalRules`] with their parameters bound: a strategy.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Long entry, long exit, short entry, short exit.
    pub(crate) rules: [Option<Bound>; 4],
    pub(crate) size: Size,
    /// Stop loss, take profit, trailing stop.
    pub(crate) levels: [Option<Gap>; 3],
    pub(crate) time_stop_us: Option<i64>,
    tags: [Arc<str>; 2],
    /// Where each rule is true, a value a bar.
    fired: [Vec<bool>; 4],
    /// Distances of levels in quote units, a value a bar, NaN where undefined.
    distances: [Option<Arc<[f64]>>; 3],
}

impl Strategy for Signals {
    fn prepare(&mut self, bars: &Bars) {
        let mut evaluator = Evaluator::new(bars);
        for (fired, rule) in self.fired.iter_mut().zip(&self.rules) {
            *fired = match rule {
                // A rule fires only when it is true: undefined is not.
                Some(rule) => evaluator.rule(rule).iter().map(|v| *v == Some(true)).collect(),
                None => vec![false; bars.len()],
            };
        }
        for (distance, gap) in self.distances.iter_mut().zip(&self.levels) {
            *distance = match gap {
                Some(Gap::Quote(expr)) => Some(evaluator.numbers(expr)),
                _ => None,
            };
        }
    }

    fn decide(&mut self, view: &View<'_>) -> Decision {
        let i = view.bar_idx();
        let [long_entry, long_exit, short_entry, short_exit] =
            [0, 1, 2, 3].map(|r| self.fired[r][i]);
        Decision {
            long_entry: long_entry.then(|| self.order(Side::Long, i)),
            long_exit,
            short_entry: short_entry.then(|| self.order(Side::Short, i)),
            short_exit,
        }
    }
}

impl Signals {
    /// The rules and the distances of levels, those that there are.
    #[must_use]
    pub fn expressions(&self) -> Vec<Bound> {
        let distance = |gap: &Option<Gap>| match gap {
            Some(Gap::Quote(expr)) => Some(expr.clone()),
            _ => None,
        };
        let rules = self.rules.iter().filter_map(Clone::clone);
        rules.chain(self.levels.iter().filter_map(distance)).collect()
    }

    fn order(&self, side: Side, i: usize) -> Order {
        let protection = Protection {
            stop_loss: self.distance(0, i),
            take_profit: self.distance(1, i),
            trailing_stop: self.distance(2, i),
            time_stop_us: self.time_stop_us,
        };
        let tag = &self.tags[usize::from(side == Side::Short)];
        Order::market(side, self.size, protection, Arc::clone(tag))
    }

    fn distance(&self, level: usize, i: usize) -> Option<Distance> {
        match self.levels[level].as_ref()? {
            Gap::Fraction(fraction) => Some(Distance::Fraction(*fraction)),
            Gap::Quote(_) => {
                let value = self.distances[level].as_ref().map(|values| values[i]);
                let money = value.and_then(exact::shortest_decimal);
                Some(money.map_or(Distance::Undefined, Distance::Quote))
            }
        }
    }
}
