//! The shape of a strategy file as TOML: which keys there are. Nothing is computed or checked against `sim` here.

use std::collections::BTreeMap;

use serde::Deserialize;
use sim::order::Size;
use toml::Spanned;
use toml::value::Value;

/// A whole file. A key not known is an error, never ignored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) name: Spanned<String>,
    pub(crate) strategy_type: Spanned<String>,
    pub(crate) description: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) symbols: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) timeframes: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) parameters: BTreeMap<Spanned<String>, ParameterForm>,
    pub(crate) rules: Rules,
    #[serde(default)]
    pub(crate) risk_parameters: Risk,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParameterForm {
    pub(crate) default: Spanned<Value>,
    pub(crate) range: Option<Spanned<[Value; 2]>>,
    pub(crate) step: Option<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    pub(crate) require: Option<Spanned<String>>,
    pub(crate) long_entry: Option<Spanned<String>>,
    pub(crate) long_exit: Option<Spanned<String>>,
    pub(crate) short_entry: Option<Spanned<String>>,
    pub(crate) short_exit: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Risk {
    pub(crate) size: Option<Spanned<SizeForm>>,
    pub(crate) stop_loss: Option<Spanned<String>>,
    pub(crate) take_profit: Option<Spanned<String>>,
    pub(crate) trailing_stop: Option<Spanned<String>>,
    pub(crate) time_stop: Option<Spanned<String>>,
}

/// `{ equity = 1.0 }`, `{ quote = 1000 }`, `{ quantity = 0.5 }` or `{ risk = 0.01 }`; a parameter as text.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SizeForm {
    Equity(Value),
    Quote(Value),
    Quantity(Value),
    Risk(Value),
}

impl SizeForm {
    /// What is sized by, and the value as it is written.
    pub(crate) fn size(&self) -> Size<&Value> {
        match self {
            Self::Equity(value) => Size::Equity(value),
            Self::Quote(value) => Size::Quote(value),
            Self::Quantity(value) => Size::Quantity(value),
            Self::Risk(value) => Size::Risk(value),
        }
    }
}
