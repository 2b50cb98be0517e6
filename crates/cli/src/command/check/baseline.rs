//! A baseline file: cases with what they expect, as TOML that a person reads and a review shows small differences of.
//! Trades stand in a CSV file beside it. Nothing is run here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};
use store::export::write_file;

use super::compare::Got;
use super::edit;
use crate::args;
use crate::command::diff::trade_header;
use crate::fail::{Code, Fail};

/// What stands on top of every file that is written.
const HEADER: &str = "# Baselines of `backtest check`. Edit cases and tolerances by hand; \
`backtest check --update` rewrites what is expected.\n\n";

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    #[serde(rename = "case")]
    pub(super) cases: Vec<Case>,
    /// The file as it was read, with what only a person reads.
    #[serde(skip)]
    text: String,
}

/// One run and what is expected of it. Keys of `rules` are the flags of `backtest run` with `_` for `-`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    /// A ready strategy, or the path of a file from where the baseline lies.
    pub(super) strategy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) symbol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeframe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Bars; without it the database's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Data>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    set: BTreeMap<String, Word>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    rules: BTreeMap<String, Word>,
    /// How far a metric may be off, absolutely; others may be off by the 12th digit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tolerance: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expect: Option<Expect>,
}

#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "kind")]
pub(super) enum Data {
    /// Bars of the synthetic generator.
    Synthetic { seed: u64, minutes: usize },
    /// A file of bars, from where the baseline lies.
    File { path: PathBuf },
}

/// A number or a word.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Word {
    Whole(i64),
    Number(f64),
    Text(String),
}

impl Word {
    /// As a person would type it.
    fn text(&self) -> String {
        match self {
            Self::Whole(n) => n.to_string(),
            Self::Number(x) => {
                let exact = sim::exact::shortest_decimal(*x);
                exact.map_or_else(|| x.to_string(), |d| d.normalize().to_string())
            }
            Self::Text(text) => text.clone(),
        }
    }

    fn of(value: Decimal) -> Self {
        match (value.is_integer().then(|| value.to_i64()).flatten(), value.to_f64()) {
            (Some(n), _) => Self::Whole(n),
            (None, Some(x)) => Self::Number(x),
            _ => Self::Text(value.to_string()),
        }
    }
}

/// What came out when the case was recorded.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) engine: String,
    /// Hashes that say what changed when numbers do.
    pub(super) strategy: String,
    pub(super) rules: String,
    pub(super) data: String,
    /// File with the trades, from where the baseline lies.
    pub(super) trades: PathBuf,
    /// A number, money as text, or "undefined". A metric that is not here is not checked.
    pub(super) metrics: BTreeMap<String, Word>,
}

impl Baseline {
    pub(super) fn read(path: &Path) -> Result<Self, Fail> {
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let error = anyhow::Error::new(error).context(format!("cannot read `{name}`"));
            Fail::new(Code::Data, error).hint("write a baseline with `backtest check --record`")
        })?;
        let read = toml::from_str(&text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let line = text.as_bytes().iter().take(offset).filter(|&&b| b == b'\n').count() + 1;
            Fail::data(format!("{name}:{line}: {}", error.message()))
        });
        read.map(|read| Self { text, ..read })
    }

    /// Replaces the file in one step: an interrupted update leaves the old one.
    pub(super) fn write(&self, path: &Path) -> Result<(), Fail> {
        let plain = toml::to_string(self).map_err(|e| Fail::new(Code::Bug, e))?;
        let text = match self.text.as_str() {
            "" => format!("{HEADER}{plain}"),
            old => edit::merged(old, &plain).map_err(|e| Fail::new(Code::Bug, e))?,
        };
        Ok(write_file(path, text.as_bytes())?)
    }

    /// Takes what came out of the case as its expectation, and writes its trades beside the baseline.
    pub(super) fn expect(&mut self, nth: usize, base: &Path, got: &Got) -> Result<(), Fail> {
        let trades = self.trades_file(nth, base);
        let file = base.parent().unwrap_or(Path::new("")).join(&trades);
        super::make_folder(file.parent().unwrap_or(Path::new("")))?;
        let mut text = format!("{}\n", trade_header());
        got.trades.iter().for_each(|line| text.extend([line.as_str(), "\n"]));
        write_file(&file, text.as_bytes())?;
        let expect = &mut self.cases[nth].expect;
        // A metric that somebody took out of the file stays out.
        let kept = expect.take().map(|old| old.metrics);
        let wanted = |name: &String| kept.as_ref().is_none_or(|old| old.contains_key(name));
        let metrics = got.metrics.iter().filter(|(name, _)| wanted(name));
        *expect = Some(Expect {
            engine: sim::VERSION.to_owned(),
            strategy: got.strategy.clone(),
            rules: got.rules.clone(),
            data: got.data.clone(),
            trades,
            metrics: metrics.map(|(n, v)| (n.clone(), v.clone())).collect(),
        });
        Ok(())
    }

    /// The file for the trades of a case, from where the baseline lies: by its name, and with a number where names that
    /// differ in signs alone would share one.
    fn trades_file(&self, nth: usize, base: &Path) -> PathBuf {
        let folder = format!("{}.trades", base.file_stem().unwrap_or_default().to_string_lossy());
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let slug: String = self.cases[nth].name.chars().map(plain).collect();
        let others = self.cases.iter().enumerate().filter(|&(other, _)| other != nth);
        let taken: Vec<&PathBuf> =
            others.filter_map(|(_, case)| Some(&case.expect.as_ref()?.trades)).collect();
        let (mut file, mut number) = (Path::new(&folder).join(format!("{slug}.csv")), 1);
        // Some file systems know no case.
        while taken.iter().any(|t| t.as_os_str().eq_ignore_ascii_case(&file)) {
            number += 1;
            file = Path::new(&folder).join(format!("{slug}_{number}.csv"));
        }
        file
    }
}

impl Case {
    /// The case that the flags of `check --record` describe.
    pub(super) fn of(
        args: &args::Check,
        strategy: &str,
        name: &str,
        base: &Path,
    ) -> Result<Self, Fail> {
        let choice = &args.choice;
        if choice.symbol.len() > 1 {
            return Err(
                Fail::usage("a case trades one symbol for now").hint("record them one by one")
            );
        }
        let (from, to) = choice.range.ends();
        let given = choice.rules.rules();
        let defaults = sim::rules::Rules::default().named();
        let changed =
            given.named().into_iter().zip(defaults).filter(|(now, default)| now != default);
        let rules = changed.map(|((name, value), _)| {
            let number = value.parse().ok().map(Word::of);
            (name.to_owned(), number.unwrap_or(Word::Text(value)))
        });
        let warmup = i64::try_from(choice.warmup).ok().filter(|_| choice.warmup != args::WARMUP);
        let warmup = warmup.map(|bars| ("warmup".to_owned(), Word::Whole(bars)));
        let minutes = |minutes| Data::Synthetic { seed: 1, minutes };
        let beside = |path: &PathBuf| Data::File { path: from_folder(base, path) };
        let timeframe = choice.timeframe.map(|t| t.to_string());
        let words = [Some(name.to_owned()), choice.symbol.first().cloned(), timeframe.clone()];
        Ok(Self {
            name: words.into_iter().flatten().collect::<Vec<_>>().join(" "),
            strategy: from_folder(base, Path::new(strategy)).display().to_string(),
            symbol: choice.symbol.first().cloned(),
            timeframe,
            from: from.map(crate::when::iso),
            to: to.map(crate::when::iso),
            data: args.synthetic.map(minutes).or(args.bars.as_ref().map(beside)),
            set: choice.set.iter().map(|(n, v)| (n.clone(), Word::of(*v))).collect(),
            rules: rules.chain(warmup).collect(),
            tolerance: BTreeMap::new(),
            expect: None,
        })
    }

    /// The case as the command line of `backtest run`, so that one parser judges both.
    pub(super) fn run(&self, base: &Path) -> Result<args::Run, Fail> {
        let is_path = self.strategy.ends_with(".toml") || self.strategy.contains('/');
        let strategy = if is_path {
            let folder = base.parent().unwrap_or(Path::new(""));
            Path::new(".").join(folder).join(&self.strategy).display().to_string()
        } else {
            self.strategy.clone()
        };
        let mut line = vec!["backtest".to_owned(), "run".to_owned(), strategy];
        let mut flag = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                line.push(format!("--{}={value}", name.replace('_', "-")));
            }
        };
        flag("symbol", self.symbol.clone());
        flag("timeframe", self.timeframe.clone());
        flag("from", self.from.clone());
        flag("to", self.to.clone());
        self.set.iter().for_each(|(name, v)| flag("set", Some(format!("{name}={}", v.text()))));
        self.rules.iter().for_each(|(name, v)| flag(name, Some(v.text())));
        super::parsed(line)
    }
}

/// `path`, which is from the working folder, as seen from the folder of `base`.
fn from_folder(base: &Path, path: &Path) -> PathBuf {
    let is_name = path.components().count() == 1 && path.extension().is_none();
    if is_name || path.is_absolute() {
        return path.to_owned();
    }
    let folder = base.parent().unwrap_or(Path::new(""));
    let up: PathBuf = folder.components().map(|_| "..").collect();
    up.join(path)
}
