//! A strategy ready to be given parameters: parsed from a file or written in Rust.
//! Every expression and number of a file is checked here, before any bar is read.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};
use sim::bars::Column;
use sim::exact;
use sim::expr::{Bound, Expr, Type};
use sim::order::Size;
use sim::params::Params;
use sim::signals::{Amount, Level, SignalRules, TimeStop};
use sim::strategy::Strategy;
use sim::timeframe::Timeframe;
use toml::Spanned;
use toml::value::Value;

use crate::error::{FileError, nearest};
use crate::form;

/// Most characters of a strategy's type, as its column takes.
const MAX_TYPE: usize = 50;
/// Most parameters a strategy takes.
const MAX_PARAMETERS: usize = 32;

/// A parameter with its default and the range a sweep takes when told nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub default: Decimal,
    /// First and last value, both included.
    pub range: Option<(Decimal, Decimal)>,
    pub step: Option<Decimal>,
}

/// How a strategy decides.
#[derive(Clone)]
pub(crate) enum Kind {
    Rules { rules: Box<SignalRules>, require: Option<Expr> },
    Native { identity: &'static str, build: fn(&Params) -> Result<Box<dyn Strategy>, FileError> },
}

/// A strategy by name, with everything but the values of its parameters.
#[derive(Clone)]
pub struct Definition {
    pub name: String,
    pub strategy_type: String,
    pub description: String,
    /// Symbols and timeframes that it is meant for; the first of each is taken when none is asked for.
    pub symbols: Vec<String>,
    pub timeframes: Vec<Timeframe>,
    pub parameters: Vec<Parameter>,
    pub(crate) kind: Kind,
    /// The file, or what stands for it, as JSON.
    pub(crate) json: Json,
}

impl Definition {
    /// Parses a strategy file. `origin` is the path or name that errors show.
    ///
    /// # Errors
    /// The first thing wrong with it, with its line.
    pub fn parse(text: &str, origin: &str) -> Result<Self, FileError> {
        let file: form::File = toml::from_str(text).map_err(|e| toml_error(&e, text, origin))?;
        let table: toml::Table = toml::from_str(text).map_err(|e| toml_error(&e, text, origin))?;
        let reader = Reader { text, origin };
        reader.texts(&file)?;
        let parameters = reader.parameters(&file)?;
        let names: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
        let rules = reader.rules(&file, &names)?;
        let require = reader.rule("require", file.rules.require.as_ref(), &names)?;
        if let (Some(expr), Some(place)) = (&require, &file.rules.require)
            && !expr.columns().is_empty()
        {
            let message = "`require` may name parameters only, it is tested before any bar";
            return Err(reader.error(place.span(), message));
        }
        let name = file.name.get_ref();
        if !is_name(name) {
            let message = "a name is 1 to 100 of a-z, A-Z, 0-9, _ and -, and starts with a letter";
            return Err(reader.error(file.name.span(), message));
        }
        Ok(Self {
            name: name.clone(),
            strategy_type: file.strategy_type.get_ref().clone(),
            timeframes: reader.timeframes(&file)?,
            description: file.description.map(Spanned::into_inner).unwrap_or_default(),
            symbols: file.symbols.into_iter().map(Spanned::into_inner).collect(),
            parameters,
            kind: Kind::Rules { rules: Box::new(rules), require },
            json: serde_json::to_value(table).map_err(|e| FileError::new(e.to_string()))?,
        })
    }

    /// The default of every parameter with `given` values put over them.
    ///
    /// # Errors
    /// When a name is not a parameter of this strategy, or `require` does not hold.
    pub fn params(&self, given: &[(String, Decimal)]) -> Result<Params, FileError> {
        let mut params: Params =
            self.parameters.iter().map(|p| (p.name.clone(), p.default)).collect();
        for (name, value) in given {
            if params.get(name).is_none() {
                let known = self.parameters.iter().map(|p| p.name.as_str());
                let hint = nearest(name, known);
                let message = format!("`{}` has no parameter `{name}`", self.name);
                return Err(FileError::new(message).with_hint(hint));
            }
            params.set(name, *value);
        }
        if !self.require_holds(&params)? {
            let rule = match &self.kind {
                Kind::Rules { require: Some(expr), .. } => expr.source().to_owned(),
                _ => String::new(),
            };
            let message = format!("`{}` requires `{rule}`, which {params} breaks", self.name);
            return Err(FileError::new(message).with_hint("choose other values with --set"));
        }
        Ok(params)
    }

    /// Whether the file's `require` holds for `params`; true when it has none.
    ///
    /// # Errors
    /// When the expression cannot take these values.
    pub fn require_holds(&self, params: &Params) -> Result<bool, FileError> {
        let Kind::Rules { require: Some(require), .. } = &self.kind else { return Ok(true) };
        let bound = require.bind(params).map_err(|e| bind_error(&self.name, &e))?;
        Ok(bound.constant_rule() == Some(Some(true)))
    }

    /// The strategy at one point of its parameters, for one run.
    ///
    /// # Errors
    /// When a value makes no sense where a rule uses it.
    pub fn build(&self, params: &Params) -> Result<Box<dyn Strategy>, FileError> {
        match &self.kind {
            Kind::Rules { rules, .. } => {
                let signals = rules.bind(params).map_err(|e| bind_error(&self.name, &e))?;
                Ok(Box::new(signals))
            }
            Kind::Native { build, .. } => build(params),
        }
    }

    /// Its rules and the distances of its levels at one point of its parameters; none for a strategy written in Rust.
    ///
    /// # Errors
    /// When a value makes no sense where a rule uses it.
    pub fn expressions(&self, params: &Params) -> Result<Vec<Bound>, FileError> {
        match &self.kind {
            Kind::Rules { rules, .. } => {
                Ok(rules.bind(params).map_err(|e| bind_error(&self.name, &e))?.expressions())
            }
            Kind::Native { .. } => Ok(Vec::new()),
        }
    }

    /// Columns of `market_data` that it reads besides the four prices.
    #[must_use]
    pub fn columns(&self) -> BTreeSet<Column> {
        match &self.kind {
            Kind::Rules { rules, .. } => {
                rules.columns().into_iter().filter(|c| !c.is_price()).collect()
            }
            Kind::Native { .. } => BTreeSet::new(),
        }
    }

    /// What the identity of a variant covers of the strategy: rules and risk rules, not words about them.
    #[must_use]
    pub fn identity(&self) -> String {
        match &self.kind {
            Kind::Rules { rules, .. } => rules.canonical(),
            Kind::Native { identity, .. } => (*identity).to_owned(),
        }
    }

    /// Whether it is written in Rust rather than in a file.
    #[must_use]
    pub fn is_native(&self) -> bool {
        matches!(self.kind, Kind::Native { .. })
    }

    /// The strategy file as JSON, for `strategies.parameters`.
    #[must_use]
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// Its risk rules as JSON, for `strategies.risk_parameters`.
    #[must_use]
    pub fn risk_json(&self) -> Json {
        self.json.get("risk_parameters").cloned().unwrap_or_else(|| json!({}))
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(allowed)
}

/// Whether rules can mention a parameter of this name.
fn is_parameter(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let taken = ["and", "or", "not", "true", "false"].contains(&name);
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(allowed)
        && !taken
        && name.parse::<Column>().is_err()
}

fn toml_error(error: &toml::de::Error, text: &str, origin: &str) -> FileError {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    FileError::new(format!("{origin}:{line}: {}", error.message()))
        .with_hint("`backtest strategy new NAME` writes a file to start from")
}

fn bind_error(name: &str, error: &sim::expr::ExprError) -> FileError {
    FileError::new(format!("`{name}`: {}", error.render()))
        .with_hint(error.hint().unwrap_or("choose another value with --set"))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&b| b == b'\n').count() + 1
}

/// Turns the pieces of one file into checked values, knowing where each stands.
struct Reader<'a> {
    text: &'a str,
    origin: &'a str,
}

impl Reader<'_> {
    fn error(&self, span: std::ops::Range<usize>, message: impl std::fmt::Display) -> FileError {
        let line = line_of(self.text, span.start);
        FileError::new(format!("{}:{line}: {message}", self.origin))
    }

    /// Refuses texts that a database does not take as they are.
    fn texts(&self, file: &form::File) -> Result<(), FileError> {
        let strategy_type = &file.strategy_type;
        if strategy_type.get_ref().chars().count() > MAX_TYPE {
            let message = format!("`strategy_type` is longer than {MAX_TYPE} characters");
            return Err(self.error(strategy_type.span(), message));
        }
        let mut texts = [strategy_type].into_iter().chain(&file.description).chain(&file.symbols);
        match texts.find(|text| text.get_ref().contains('\0')) {
            Some(text) => Err(self.error(text.span(), "a text may not hold the character U+0000")),
            None => Ok(()),
        }
    }

    fn timeframes(&self, file: &form::File) -> Result<Vec<Timeframe>, FileError> {
        let parse = |t: &Spanned<String>| {
            t.get_ref().parse().map_err(|e: sim::timeframe::UnknownTimeframe| {
                let hint = sim::timeframe::UnknownTimeframe::hint();
                self.error(t.span(), e).with_hint(hint)
            })
        };
        file.timeframes.iter().map(parse).collect()
    }

    fn parameters(&self, file: &form::File) -> Result<Vec<Parameter>, FileError> {
        if file.parameters.len() > MAX_PARAMETERS {
            let n = file.parameters.len();
            let message = format!("{n} parameters are more than the limit of {MAX_PARAMETERS}");
            return Err(self.error(0..0, message));
        }
        let mut parameters = Vec::new();
        for (name, form) in &file.parameters {
            if !is_parameter(name.get_ref()) {
                let message = format!("`{name}` cannot name a parameter", name = name.get_ref());
                let hint = "use a-z, 0-9 and _, begin with a letter, and take no column's name";
                return Err(self.error(name.span(), message).with_hint(hint));
            }
            let default = self.number(form.default.span(), form.default.get_ref())?;
            let range = form.range.as_ref().map(|r| {
                let [from, to] = r.get_ref();
                Ok((self.number(r.span(), from)?, self.number(r.span(), to)?))
            });
            let range = range.transpose()?;
            if let (Some((from, to)), Some(place)) = (range, &form.range)
                && from > to
            {
                return Err(self.error(place.span(), "the range ends before it begins"));
            }
            let step = form.step.as_ref().map(|s| self.number(s.span(), s.get_ref()));
            let step = step.transpose()?;
            if let (Some(step), Some(place)) = (step, &form.step)
                && step <= Decimal::ZERO
            {
                return Err(self.error(place.span(), "a step must be above 0"));
            }
            parameters.push(Parameter { name: name.get_ref().clone(), default, range, step });
        }
        Ok(parameters)
    }

    /// A TOML number as the decimal a person typed.
    fn number(&self, span: std::ops::Range<usize>, value: &Value) -> Result<Decimal, FileError> {
        let number = match value {
            Value::Integer(i) => Some(Decimal::from(*i)),
            Value::Float(f) => exact::shortest_decimal(*f),
            _ => None,
        };
        let fits = |d: &Decimal| exact::units(*d).is_some() && d.normalize().scale() <= 8;
        number.filter(fits).map(|d| d.normalize()).ok_or_else(|| {
            self.error(
                span,
                format!("`{value}` is not a number below 10^12 with at most 8 decimals"),
            )
        })
    }

    fn rules(&self, file: &form::File, names: &[&str]) -> Result<SignalRules, FileError> {
        let (rules, risk) = (&file.rules, &file.risk_parameters);
        let parsed = SignalRules {
            long_entry: self.rule("long_entry", rules.long_entry.as_ref(), names)?,
            long_exit: self.rule("long_exit", rules.long_exit.as_ref(), names)?,
            short_entry: self.rule("short_entry", rules.short_entry.as_ref(), names)?,
            short_exit: self.rule("short_exit", rules.short_exit.as_ref(), names)?,
            size: self.size(risk, names)?,
            stop_loss: self.level("stop_loss", risk.stop_loss.as_ref(), names)?,
            take_profit: self.level("take_profit", risk.take_profit.as_ref(), names)?,
            trailing_stop: self.level("trailing_stop", risk.trailing_stop.as_ref(), names)?,
            time_stop: risk.time_stop.as_ref().map(|t| self.time_stop(t, names)).transpose()?,
        };
        if parsed.long_entry.is_none() && parsed.short_entry.is_none() {
            let message = "no entry: `rules` needs `long_entry` or `short_entry`";
            return Err(self.error(0..0, message));
        }
        let stopped = parsed.stop_loss.is_some() || parsed.trailing_stop.is_some();
        if let (Size::Risk(_), false, Some(place)) = (&parsed.size, stopped, &risk.size) {
            let message = "size by risk needs a `stop_loss` or a `trailing_stop`";
            return Err(self.error(place.span(), message));
        }
        Ok(parsed)
    }

    fn rule(
        &self,
        key: &str,
        source: Option<&Spanned<String>>,
        names: &[&str],
    ) -> Result<Option<Expr>, FileError> {
        source.map(|s| self.expr(key, s, s.get_ref(), Type::Rule, names)).transpose()
    }

    fn expr(
        &self,
        key: &str,
        place: &Spanned<String>,
        source: &str,
        want: Type,
        names: &[&str],
    ) -> Result<Expr, FileError> {
        Expr::parse(source, want, names).map_err(|e| {
            let error = self.error(place.span(), format!("`{key}`: {}", e.render()));
            match e.hint() {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        })
    }

    /// `"2%"`, `"sl%"` with a parameter `sl`, or an expression for a distance in quote units.
    fn level(
        &self,
        key: &str,
        source: Option<&Spanned<String>>,
        names: &[&str],
    ) -> Result<Option<Level>, FileError> {
        let Some(place) = source else { return Ok(None) };
        let Some(inner) = place.get_ref().trim().strip_suffix('%').map(str::trim) else {
            let expr = self.expr(key, place, place.get_ref(), Type::Number, names)?;
            return Ok(Some(Level::Quote(expr)));
        };
        let percent = self.amount(key, place.span(), inner, names)?;
        if let Amount::Fixed(percent) = percent
            && (percent <= Decimal::ZERO || percent.scale() > 6)
        {
            let message = format!("`{key}` must be above 0 % with at most 6 decimals");
            return Err(self.error(place.span(), message));
        }
        Ok(Some(Level::Percent(percent)))
    }

    /// A number, or a parameter by its name.
    fn amount(
        &self,
        key: &str,
        span: std::ops::Range<usize>,
        text: &str,
        names: &[&str],
    ) -> Result<Amount, FileError> {
        if let Ok(number) = text.parse::<Decimal>() {
            return Ok(Amount::Fixed(number.normalize()));
        }
        if names.contains(&text) {
            return Ok(Amount::Param(text.to_owned()));
        }
        let message = format!("`{key}`: `{text}` is neither a number nor a parameter");
        Err(self.error(span, message).with_hint(nearest(text, names.iter().copied())))
    }

    /// `{ equity = 0.5 }`, or `{ equity = "share" }` with a parameter `share`; all equity where the file says nothing.
    fn size(&self, risk: &form::Risk, names: &[&str]) -> Result<Size<Amount>, FileError> {
        let Some(place) = &risk.size else { return Ok(Size::Equity(Decimal::ONE.into())) };
        let written = place.get_ref().size();
        let size = written.of(match written.amount() {
            Value::String(name) => self.amount("size", place.span(), name.trim(), names)?,
            number => self.number(place.span(), number)?.into(),
        });
        if let Amount::Fixed(amount) = size.amount() {
            let checked = size.of(*amount).checked();
            checked.map_err(|wrong| self.error(place.span(), wrong))?;
        }
        Ok(size)
    }

    /// `3d`, `12h`, `90m`, or `hold h` with a parameter `hold`: a number and a unit.
    fn time_stop(&self, place: &Spanned<String>, names: &[&str]) -> Result<TimeStop, FileError> {
        const UNITS: [(char, i64); 5] =
            [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)];
        let text = place.get_ref().trim();
        let unit = UNITS.iter().find_map(|&(unit, s)| Some((text.strip_suffix(unit)?.trim(), s)));
        let Some((count, seconds)) = unit.filter(|(count, _)| !count.is_empty()) else {
            let message = format!("`{text}` is not a time such as `3d`, `12h` or `90m`");
            return Err(self.error(place.span(), message));
        };
        let count = self.amount("time_stop", place.span(), count, names)?;
        let stop = TimeStop { count, unit_us: seconds * 1_000_000 };
        if let Amount::Fixed(count) = stop.count {
            stop.us(count).map_err(|wrong| self.error(place.span(), wrong))?;
        }
        Ok(stop)
    }
}
