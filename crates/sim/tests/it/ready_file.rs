//! Reads what a sweep needs of a ready strategy file, line by line: `sim` may not depend on the crate that owns the form.
//! It reads the files of this repository only, and panics at anything else.

use std::collections::BTreeMap;
use std::path::Path;

use rust_decimal::Decimal;
use sim::expr::{Expr, Type};
use sim::order::Size;
use sim::params::Params;
use sim::signals::{Amount, Level, SignalRules, TimeStop};

/// A ready strategy and the grid of its file.
pub(crate) struct ReadyFile {
    pub(crate) name: String,
    pub(crate) rules: SignalRules,
    require: Option<Expr>,
    /// Name, first, last and step of each parameter, in the order of the file.
    ranges: Vec<(String, [Decimal; 3])>,
}

/// Every `strategies/*.toml`, by name.
pub(crate) fn all() -> Vec<ReadyFile> {
    // Read at run time: clones may share what is built.
    let crate_folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let folder = Path::new(&crate_folder).join("../../strategies");
    let entries = std::fs::read_dir(folder).expect("the folder of ready strategies");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.retain(|path| !path.ends_with("Cargo.toml"));
    paths.sort();
    paths.iter().map(|path| parse(&std::fs::read_to_string(path).expect("a text file"))).collect()
}

fn parse(text: &str) -> ReadyFile {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut ranges = Vec::new();
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').expect("key = value");
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        if section == "parameters" {
            ranges.push((key, range(&value)));
        } else {
            values.insert(key, value.trim_matches('"').to_owned());
        }
    }
    let names: Vec<&str> = ranges.iter().map(|(name, _)| name.as_str()).collect();
    let expr = |text: &str, want| Expr::parse(text, want, &names).expect("a good expression");
    let rule = |key: &str| values.get(key).map(|text| expr(text, Type::Rule));
    let level = |key: &str| {
        values.get(key).map(|text| match text.strip_suffix('%') {
            Some(percent) => Level::Percent(
                percent.parse().map_or_else(|_| Amount::Param(percent.to_owned()), Amount::Fixed),
            ),
            None => Level::Quote(expr(text, Type::Number)),
        })
    };
    let rules = SignalRules {
        long_entry: rule("long_entry"),
        long_exit: rule("long_exit"),
        short_entry: rule("short_entry"),
        short_exit: rule("short_exit"),
        size: Size::Equity(numbers(&values["size"])[0].into()),
        stop_loss: level("stop_loss"),
        take_profit: level("take_profit"),
        trailing_stop: level("trailing_stop"),
        time_stop: values.get("time_stop").map(|text| days(text)),
    };
    let require = rule("require");
    ReadyFile { name: values["name"].clone(), rules, require, ranges }
}

fn days(text: &str) -> TimeStop {
    let days: Decimal = text.strip_suffix('d').and_then(|n| n.parse().ok()).expect("days");
    TimeStop { count: days.into(), unit_us: sim::timeframe::DAY_US }
}

/// First, last and step of `{ default = 10, range = [5, 100], step = 5 }`.
fn range(value: &str) -> [Decimal; 3] {
    let n = numbers(value);
    [n[1], n[2], n[3]]
}

fn numbers(text: &str) -> Vec<Decimal> {
    let parts = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    parts.filter_map(|part| part.parse().ok()).collect()
}

impl ReadyFile {
    /// Every point of its grid that its `require` lets pass, the last parameter running fastest.
    pub(crate) fn grid(&self) -> Vec<Params> {
        let mut grid = vec![Params::default()];
        for (name, [from, to, step]) in &self.ranges {
            let mut wider = Vec::new();
            for params in &grid {
                let mut value = *from;
                while value <= *to {
                    let mut params: Params = params.clone();
                    params.set(name, value);
                    wider.push(params);
                    value += *step;
                }
            }
            grid = wider;
        }
        grid.retain(|params| {
            self.require.as_ref().is_none_or(|require| {
                let bound = require.bind(params).expect("a value for every parameter");
                bound.constant_rule() == Some(Some(true))
            })
        });
        grid
    }
}
