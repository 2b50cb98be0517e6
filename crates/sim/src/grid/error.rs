//! What is wrong with a grid, said before anything is simulated, with the limit that was passed.

use rust_decimal::Decimal;

use crate::expr::ExprError;
use crate::rules::RuleError;

use super::{MAX_VALUES, RULES};

/// A grid that cannot be searched.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    #[error("`{text}` is not a value, a list `5,10,20` or a range `5..100:5`: {why}")]
    Values { text: String, why: &'static str },
    #[error("the range `{0}` never ends: its step must be above 0")]
    Endless(String),
    #[error("the range `{0}` is empty: it ends before it begins")]
    Backwards(String),
    #[error("`{text}` has more values than the limit of {MAX_VALUES}")]
    TooManyValues { text: String },
    #[error("the value {0} stands twice")]
    Repeated(Decimal),
    #[error("`{name}` has no values: the grid is empty")]
    Empty { name: String },
    #[error("`{name}` is given twice")]
    Twice { name: String },
    #[error("{given} dimensions are more than the limit of {limit}")]
    Axes { limit: usize, given: usize },
    #[error("a grid of {} is more than the limit of {limit} points", many(*given, "points"))]
    Points { limit: u64, given: Option<u64> },
    #[error("{} are more than the limit of {limit}", many(*given, "variants"))]
    Variants { limit: u64, given: Option<u64> },
    #[error("the dimensions that rules mention have more points than the limit of {limit}")]
    Tried { limit: u64 },
    #[error("none of {points} combinations meets `{}`", rules.join("` and `"))]
    NoneAllowed { rules: Vec<String>, points: u64 },
    #[error("{}", .0.render())]
    Constraint(Box<ExprError>),
    #[error(transparent)]
    Rule(RuleError),
    #[error("{given} trials are more than the limit of {limit} for `{search}`")]
    Trials { search: &'static str, limit: u64, given: u64 },
}

fn many(given: Option<u64>, what: &str) -> String {
    given.map_or_else(|| format!("2^64 {what} or more"), |n| format!("{n} {what}"))
}

impl GridError {
    /// What to try next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Values { .. } | Self::Repeated(_) => {
                "both ends of a range are included; `0.001..1:log7` is 7 values evenly apart in logarithm".to_owned()
            }
            Self::Endless(_) => "give a step above 0: 5..100:5".to_owned(),
            Self::Backwards(_) => "give the smaller end first: 5..100:5".to_owned(),
            Self::TooManyValues { .. } | Self::Axes { .. } | Self::Points { .. } => {
                "give a larger step, fix a dimension with --param name=value, or take --search random --trials N"
                    .to_owned()
            }
            Self::Empty { .. } | Self::Twice { .. } => "give --param name=5..100:5 once".to_owned(),
            Self::Variants { .. } => {
                "give larger steps, --search random --trials N, or a higher --max-variants".to_owned()
            }
            Self::Tried { .. } => "give larger steps to the dimensions that rules mention".to_owned(),
            Self::NoneAllowed { .. } => "widen a range, or change the rule".to_owned(),
            Self::Constraint(error) => {
                error.hint().unwrap_or("rules of a sweep may mention parameters and dimensions").to_owned()
            }
            Self::Rule(_) => format!("rules that can be dimensions: {}", RULES.join(", ")),
            Self::Trials { limit, .. } => format!("give --trials {limit}, or take --search random"),
        }
    }
}
