//! Metrics of a kept result by name, and expressions over them: what is best, what is listed, in which order.
//! No metric is made here, and nothing is read or printed.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::Value;
use sim::exact::shortest_decimal;
use sim::expr::{Expr, Type};
use sim::params::Params;
use store::Results;

use crate::fail::Fail;

/// Metrics that an expression may mention, as the columns of `backtest_results` are named.
pub(crate) const METRICS: [&str; 20] = [
    "total_return",
    "annual_return",
    "volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "max_drawdown",
    "max_drawdown_duration",
    "calmar_ratio",
    "win_rate",
    "profit_factor",
    "total_trades",
    "winning_trades",
    "losing_trades",
    "avg_trade_return",
    "avg_win",
    "avg_loss",
    "largest_win",
    "largest_loss",
    "avg_trade_duration",
    "final_capital",
];

/// A metric of a result with all its digits, where they were read: a column has no room for some numbers, and rounds others
/// until they tie.
pub(crate) fn in_full(r: &Results, name: &str) -> Option<f64> {
    match r.metrics.as_ref().and_then(|all| all.get(name)) {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(digits)) => digits.parse().ok(),
        Some(_) => None,
        None => float(metric(r, name)),
    }
}

/// A column of `backtest_results` by its name.
pub(crate) fn metric(r: &Results, name: &str) -> Option<Decimal> {
    match name {
        "total_return" => r.total_return,
        "annual_return" => r.annual_return,
        "volatility" => r.volatility,
        "sharpe_ratio" => r.sharpe_ratio,
        "sortino_ratio" => r.sortino_ratio,
        "max_drawdown" => r.max_drawdown,
        "max_drawdown_duration" => r.max_drawdown_duration.map(Decimal::from),
        "calmar_ratio" => r.calmar_ratio,
        "win_rate" => r.win_rate,
        "profit_factor" => r.profit_factor,
        "total_trades" => r.total_trades.map(Decimal::from),
        "winning_trades" => r.winning_trades.map(Decimal::from),
        "losing_trades" => r.losing_trades.map(Decimal::from),
        "avg_trade_return" => r.avg_trade_return,
        "avg_win" => r.avg_win,
        "avg_loss" => r.avg_loss,
        "largest_win" => r.largest_win,
        "largest_loss" => r.largest_loss,
        "avg_trade_duration" => r.avg_trade_duration_us.map(seconds),
        "final_capital" => r.final_capital,
        _ => None,
    }
}

/// Seconds of a length of time in microseconds.
fn seconds(us: i64) -> Decimal {
    Decimal::new(us, 6)
}

/// A decimal as a double, for tables.
pub(crate) fn float(value: Option<Decimal>) -> Option<f64> {
    value.and_then(|v| v.to_f64())
}

/// A rule over `names`, which stand for numbers.
pub(crate) fn rule(source: &str, names: &[&str]) -> Result<Expr, Fail> {
    Expr::parse(source, Type::Rule, names).map_err(|error| {
        let fail = Fail::usage(error.render());
        match error.hint() {
            Some(hint) => fail.hint(hint),
            None => fail,
        }
    })
}

/// An expression over metrics.
#[derive(Clone, Debug)]
pub(crate) struct OverMetrics {
    expr: Expr,
    mentioned: Vec<&'static str>,
    /// Whether it is a metric as it stands.
    plain: bool,
}

impl OverMetrics {
    /// A metric, or an expression that is a number.
    pub(crate) fn number(source: &str) -> Result<Self, Fail> {
        Self::parse(source, Type::Number)
    }

    /// A condition.
    pub(crate) fn rule(source: &str) -> Result<Self, Fail> {
        Self::parse(source, Type::Rule)
    }

    fn parse(source: &str, kind: Type) -> Result<Self, Fail> {
        let names = || format!("metrics: {}", METRICS.join(" "));
        // What is like a name of bars or of a parameter is no metric.
        let helps = |hint: &&str| {
            !hint.starts_with("did you mean") || METRICS.iter().any(|m| hint.contains(m))
        };
        let expr = Expr::parse(source, kind, &METRICS).map_err(|error| {
            let hint = error.hint().filter(helps).map_or_else(names, str::to_owned);
            Fail::usage(error.render()).hint(hint)
        })?;
        if !expr.columns().is_empty() {
            let message = format!("`{}` reads bars, not metrics", expr.source());
            return Err(Fail::usage(message).hint(names()));
        }
        let params = expr.params();
        let mentioned: Vec<&'static str> =
            METRICS.into_iter().filter(|m| params.iter().any(|n| n == m)).collect();
        let plain = mentioned == [expr.source().trim()];
        Ok(Self { expr, mentioned, plain })
    }

    /// As it was written.
    pub(crate) fn source(&self) -> &str {
        self.expr.source()
    }

    /// The metrics that it reads.
    pub(crate) fn mentioned(&self) -> &[&'static str] {
        &self.mentioned
    }

    fn known(&self, metric: &dyn Fn(&str) -> Option<f64>) -> Params {
        let known = |&m: &&str| Some((m.to_owned(), shortest_decimal(metric(m)?)?));
        self.mentioned.iter().filter_map(known).collect()
    }

    /// Its number; `None` when a metric that it needs is undefined, or it is itself.
    pub(crate) fn value(&self, metric: &dyn Fn(&str) -> Option<f64>) -> Option<f64> {
        if self.plain {
            return metric(self.mentioned[0]);
        }
        let value = self.expr.bind(&self.known(metric)).ok()?.constant_number()?;
        value.is_finite().then_some(value)
    }

    /// Whether the condition holds; an undefined metric meets none.
    pub(crate) fn holds(&self, metric: &dyn Fn(&str) -> Option<f64>) -> bool {
        let bound = self.expr.bind(&self.known(metric));
        bound.is_ok_and(|bound| bound.constant_rule() == Some(Some(true)))
    }
}
