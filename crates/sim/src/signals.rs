//! Strategies that are rules: boolean expressions for entries and exits, and levels measured from the fill.
//! Expressions are evaluated over whole columns once; deciding only looks at bar i of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::bars::{Bars, Column};
use crate::exact;
use crate::expr::{Bound, Expr, ExprError};
use crate::indicator::Evaluator;
use crate::order::{Decision, Distance, Order, Protection, Side, Size};
use crate::params::Params;
use crate::strategy::{Strategy, View};

/// A level of protection as a strategy file gives it.
#[derive(Clone, Debug)]
pub enum Level {
    /// So many per cent of the entry price.
    Percent(Decimal),
    /// The parameter of this name, as per cent of the entry price.
    PercentOf(String),
    /// A distance in quote units, taken at the bar of the decision.
    Quote(Expr),
}

/// Entry and exit rules with their protection, parsed and checked, parameters still open.
#[derive(Clone, Debug)]
pub struct SignalRules {
    pub long_entry: Option<Expr>,
    pub long_exit: Option<Expr>,
    pub short_entry: Option<Expr>,
    pub short_exit: Option<Expr>,
    pub size: Size,
    pub stop_loss: Option<Level>,
    pub take_profit: Option<Level>,
    pub trailing_stop: Option<Level>,
    /// Microseconds.
    pub time_stop_us: Option<i64>,
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
        let percent = [&self.stop_loss, &self.take_profit, &self.trailing_stop];
        let percent = percent.into_iter().filter_map(|level| match level {
            Some(Level::PercentOf(name)) => Some(name.clone()),
            _ => None,
        });
        self.exprs().flat_map(Expr::params).chain(percent).collect()
    }

    /// One text for equal rules: white space, comments and the order of a file do not show in it.
    #[must_use]
    pub fn canonical(&self) -> String {
        let expr = |e: &Option<Expr>| e.as_ref().map_or_else(String::new, Expr::canonical);
        let level = |l: &Option<Level>| match l {
            None => String::new(),
            Some(Level::Percent(percent)) => format!("{}%", percent.normalize()),
            Some(Level::PercentOf(name)) => format!("{name}%"),
            Some(Level::Quote(e)) => e.canonical(),
        };
        let (word, amount) = match self.size {
            Size::Equity(a) => ("equity", a),
            Size::Quote(a) => ("quote", a),
            Size::Quantity(a) => ("quantity", a),
            Size::Risk(a) => ("risk", a),
        };
        [
            format!("long_entry: {}", expr(&self.long_entry)),
            format!("long_exit: {}", expr(&self.long_exit)),
            format!("short_entry: {}", expr(&self.short_entry)),
            format!("short_exit: {}", expr(&self.short_exit)),
            format!("size: {word} {}", amount.normalize()),
            format!("stop_loss: {}", level(&self.stop_loss)),
            format!("take_profit: {}", level(&self.take_profit)),
            format!("trailing_stop: {}", level(&self.trailing_stop)),
            format!("time_stop: {}", self.time_stop_us.map_or_else(String::new, |t| t.to_string())),
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
            let percent = |p: Decimal| Gap::Fraction(p / Decimal::ONE_HUNDRED);
            Ok(match l {
                None => None,
                Some(Level::Percent(p)) => Some(percent(*p)),
                Some(Level::PercentOf(name)) => params.get(name).map(percent),
                Some(Level::Quote(expr)) => Some(Gap::Quote(expr.bind(params)?)),
            })
        };
        Ok(Signals {
            rules: [
                rule(&self.long_entry)?,
                rule(&self.long_exit)?,
                rule(&self.short_entry)?,
                rule(&self.short_exit)?,
            ],
            size: self.size,
            levels: [
                level(&self.stop_loss)?,
                level(&self.take_profit)?,
                level(&self.trailing_stop)?,
            ],
            time_stop_us: self.time_stop_us,
            tags: ["long_entry".into(), "short_entry".into()],
            fired: Default::default(),
            distances: Default::default(),
        })
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
