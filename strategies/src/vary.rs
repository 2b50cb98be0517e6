//! What a sweep asks of a strategy: its rules as they are, protection as dimensions, and the way back from what was stored.
//! No range and no grid is known here.

use rust_decimal::Decimal;
use serde::Deserialize as _;
use serde_json::{Value as Json, json};
use sim::expr::Expr;
use sim::signals::SignalRules;

use crate::definition::{Definition, Kind};
use crate::error::FileError;
use crate::ready::ready;

/// Risk rules that can be dimensions of a sweep: levels in per cent of the entry price, the time stop in hours, and
/// the size in whatever the file sizes by.
pub const RISKS: [&str; 5] = ["stop_loss", "take_profit", "trailing_stop", "time_stop", "size"];

impl Definition {
    /// The rules as expressions; `None` for a strategy written in Rust.
    #[must_use]
    pub fn signal_rules(&self) -> Option<&SignalRules> {
        match &self.kind {
            Kind::Rules { rules, .. } => Some(rules),
            Kind::Native { .. } => None,
        }
    }

    /// What every set of parameters has to meet.
    #[must_use]
    pub fn require(&self) -> Option<&Expr> {
        match &self.kind {
            Kind::Rules { require, .. } => require.as_ref(),
            Kind::Native { .. } => None,
        }
    }

    /// The same strategy with a parameter of the same name in the place of each of `risks`, all of them among
    /// [`RISKS`]: `stop_loss` becomes `"stop_loss%"`, whatever the file says of it.
    ///
    /// # Errors
    /// For a strategy written in Rust, and for one that has a parameter of that name already.
    pub fn with_risks(&self, risks: &[&str]) -> Result<Self, FileError> {
        if risks.is_empty() {
            return Ok(self.clone());
        }
        if self.is_native() {
            let message = format!("`{}` is written in Rust and sets its own risk rules", self.name);
            return Err(FileError::new(message).with_hint("sweep its parameters"));
        }
        let mut file = self.json.clone();
        let sized = self.signal_rules().map_or("equity", |rules| rules.size.word());
        for risk in risks {
            file["parameters"][risk] = json!({ "default": 1 });
            file["risk_parameters"][risk] = match *risk {
                "size" => json!({ sized: "size" }),
                "time_stop" => json!("time_stop h"),
                level => json!(format!("{level}%")),
            };
        }
        Self::from_json(&file)
    }

    /// The strategy of a file that was kept as JSON, as in `strategies.parameters`.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn from_json(file: &Json) -> Result<Self, FileError> {
        if file.get("written_in").is_some() {
            return ready(file.get("name").and_then(Json::as_str).unwrap_or_default());
        }
        let unreadable = |why: String| FileError::new(format!("the kept strategy file: {why}"));
        let table = toml::Table::deserialize(file).map_err(|e| unreadable(e.to_string()))?;
        let text = toml::to_string(&table).map_err(|e| unreadable(e.to_string()))?;
        Self::parse(&text, "the kept strategy file")
    }

    /// The default of parameter `name`.
    #[must_use]
    pub fn default(&self, name: &str) -> Option<Decimal> {
        self.parameters.iter().find(|p| p.name == name).map(|p| p.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ready_strategy_comes_back_from_its_json() {
        for name in crate::names() {
            let definition = ready(name).unwrap();
            let back = Definition::from_json(definition.json()).expect(name);
            assert_eq!(back.identity(), definition.identity(), "{name}");
            assert_eq!(back.parameters, definition.parameters, "{name}");
        }
    }

    #[test]
    fn every_risk_rule_becomes_a_parameter() {
        let definition = ready("sma_cross").unwrap().with_risks(&RISKS).unwrap();
        for expected in [
            "stop_loss: stop_loss%",
            "take_profit: take_profit%",
            "trailing_stop: trailing_stop%",
            "time_stop: time_stop * 3600000000",
            "size: equity size",
        ] {
            assert!(definition.identity().contains(expected), "{}", definition.identity());
        }
        assert_eq!(definition.default("stop_loss"), Some(Decimal::ONE));
        assert!(definition.require().is_some() && definition.signal_rules().is_some());
        assert!(ready("cooldown_breakout").unwrap().with_risks(&["stop_loss"]).is_err());
    }
}
