//! What a case came to beside what it expects: which metric, which trade first, and what changed under it.
//! Nothing is run and no file is written here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::baseline::{Case, Expect, Word};
use crate::command::diff::{changed, first_difference, said, trade_header};
use crate::command::run::Prepared;
use crate::fail::Fail;
use crate::table::table;

/// How far a metric may be off when the case says nothing: the noise of another platform's `pow`.
const RELATIVE: f64 = 1e-9;
/// What stands for NULL in a baseline.
const UNDEFINED: &str = "undefined";

/// What a case comes to now.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) strategy: String,
    pub(super) rules: String,
    pub(super) data: String,
    pub(super) metrics: BTreeMap<String, Word>,
    pub(super) trades: Vec<String>,
}

impl Got {
    pub(super) fn new(
        prepared: &Prepared,
        symbol: &str,
        fingerprint: &str,
        metrics: &Value,
        trades: Vec<String>,
    ) -> Self {
        let strategy = format!("{}\n{}", prepared.definition.identity(), prepared.params);
        let rules: Vec<String> =
            prepared.rules.named().iter().map(|(k, v)| format!("{k}={v}")).collect();
        let words = metrics.as_object().into_iter().flatten();
        let metrics = words.filter_map(|(name, value)| Some((name.clone(), word(value)?)));
        Self {
            strategy: sim::identity::short_hash(&strategy),
            rules: sim::identity::short_hash(&rules.join(" ")),
            data: format!("{symbol} {}", &fingerprint[..fingerprint.len().min(16)]),
            metrics: metrics.collect(),
            trades,
        }
    }
}

/// A metric as a baseline holds it; `None` for what is no single value.
fn word(value: &Value) -> Option<Word> {
    match value {
        Value::Null => Some(Word::Text(UNDEFINED.to_owned())),
        Value::String(text) => Some(Word::Text(text.clone())),
        Value::Number(n) => n.as_i64().map(Word::Whole).or(n.as_f64().map(Word::Number)),
        _ => None,
    }
}

/// A metric that is not as expected.
#[derive(Clone, Debug)]
struct Off {
    metric: String,
    expected: String,
    got: String,
    tolerance: String,
}

/// How one case ended.
pub(super) struct Verdict {
    file: PathBuf,
    case: String,
    outcome: Outcome,
}

enum Outcome {
    Same,
    Different { changed: Vec<String>, metrics: Vec<Off>, trade: Option<FirstTrade> },
    Broken(String),
}

/// The first trade that differs; `None` on a side that has no such trade.
struct FirstTrade {
    nth: usize,
    expected: Option<String>,
    got: Option<String>,
}

impl Verdict {
    pub(super) fn new(file: &Path, case: &Case, got: Result<Got, Fail>) -> Self {
        let outcome = match got {
            Err(fail) => Outcome::Broken(fail.to_string()),
            Ok(got) => match &case.expect {
                None => Outcome::Broken(
                    "it expects nothing yet: fill it with `backtest check --update`".to_owned(),
                ),
                Some(expect) => compared(file, case, expect, &got),
            },
        };
        Self { file: file.to_owned(), case: case.name.clone(), outcome }
    }

    pub(super) fn is_difference(&self) -> bool {
        matches!(self.outcome, Outcome::Different { .. })
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self.outcome, Outcome::Broken(_))
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let name = format!("{}: {}", self.file.display(), self.case);
        match &self.outcome {
            Outcome::Same => format!("ok    {name}"),
            Outcome::Broken(why) => format!("ERROR {name}\n  {}", why.replace('\n', "\n  ")),
            Outcome::Different { changed, metrics, trade } => {
                let mut lines = vec![format!("FAIL  {name}"), format!("  {}", said(changed))];
                if !metrics.is_empty() {
                    let row = |off: &Off| {
                        let Off { metric, expected, got, tolerance } = off.clone();
                        vec![metric, expected, got, tolerance]
                    };
                    let header = ["metric", "expected", "got", "tolerance"];
                    let rows = table(&header, &[1, 2, 3], metrics.iter().map(row).collect());
                    lines.extend(rows.lines().map(|line| format!("  {line}")));
                }
                if let Some(FirstTrade { nth, expected, got }) = trade {
                    let header = trade_header();
                    let shown =
                        |t: &Option<String>| t.clone().unwrap_or("no such trade".to_owned());
                    lines.push(format!("  first trade that differs, number {nth}: {header}"));
                    lines.push(format!("    expected {}", shown(expected)));
                    lines.push(format!("    got      {}", shown(got)));
                }
                lines.join("\n")
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        let mut all = json!({ "file": self.file.display().to_string(), "case": self.case });
        let more = match &self.outcome {
            Outcome::Same => json!({ "outcome": "same" }),
            Outcome::Broken(why) => json!({ "outcome": "could not run", "why": why }),
            Outcome::Different { changed, metrics, trade } => {
                let off = |o: &Off| json!({ "metric": o.metric, "expected": o.expected, "got": o.got, "tolerance": o.tolerance });
                let first = trade
                    .as_ref()
                    .map(|t| json!({ "number": t.nth, "expected": t.expected, "got": t.got }));
                json!({
                    "outcome": "different",
                    "changed": changed,
                    "metrics": metrics.iter().map(off).collect::<Vec<_>>(),
                    "first_trade": first,
                })
            }
        };
        if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
        all
    }

    /// A line that GitHub shows beside the file.
    pub(super) fn annotation(&self) -> Option<String> {
        let text = match &self.outcome {
            Outcome::Same => return None,
            _ => self.text(),
        };
        let escaped = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        Some(format!("::error file={}::{escaped}", self.file.display()))
    }
}

/// What changed under the numbers, which is the first question.
fn compared(file: &Path, case: &Case, expect: &Expect, got: &Got) -> Outcome {
    let metrics: Vec<Off> =
        expect.metrics.iter().filter_map(|(name, word)| off(case, name, word, got)).collect();
    let folder = file.parent().unwrap_or(Path::new(""));
    let Ok(text) = std::fs::read_to_string(folder.join(&expect.trades)) else {
        let path = folder.join(&expect.trades);
        return Outcome::Broken(format!("cannot read its trades, `{}`", path.display()));
    };
    let expected: Vec<&str> = text.lines().skip(1).collect();
    let trade = first_trade(&expected, &got.trades);
    if metrics.is_empty() && trade.is_none() {
        return Outcome::Same;
    }
    let changed = changed(&[
        ("engine version", &expect.engine, sim::VERSION),
        ("strategy or parameters", &expect.strategy, &got.strategy),
        ("rules", &expect.rules, &got.rules),
        ("data", &expect.data, &got.data),
    ]);
    Outcome::Different { changed, metrics, trade }
}

fn off(case: &Case, name: &str, expected: &Word, got: &Got) -> Option<Off> {
    let missing = Word::Text("not there".to_owned());
    let value = got.metrics.get(name).unwrap_or(&missing);
    let number = |word: &Word| match word {
        Word::Whole(n) => Some(*n as f64),
        Word::Number(x) => Some(*x),
        Word::Text(text) => text.parse().ok(),
    };
    let allowed = case.tolerance.get(name).copied();
    let same = match (number(expected), number(value)) {
        (Some(a), Some(b)) => (a - b).abs() <= allowed.unwrap_or(RELATIVE * a.abs().max(b.abs())),
        _ => expected == value,
    };
    let shown = |word: &Word| match word {
        Word::Whole(n) => n.to_string(),
        Word::Number(x) => x.to_string(),
        Word::Text(text) => text.clone(),
    };
    (!same).then(|| Off {
        metric: name.to_owned(),
        expected: shown(expected),
        got: shown(value),
        tolerance: allowed.map_or_else(|| "-".to_owned(), |t| t.to_string()),
    })
}

fn first_trade(expected: &[&str], got: &[String]) -> Option<FirstTrade> {
    let at = first_difference(expected, got)?;
    Some(FirstTrade {
        nth: at + 1,
        expected: expected.get(at).map(|&t| t.to_owned()),
        got: got.get(at).cloned(),
    })
}

/// All verdicts as a JUnit report.
pub(super) fn junit(verdicts: &[Verdict]) -> String {
    let escape = |text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        text.replace('"', "&quot;")
    };
    let failed = verdicts.iter().filter(|v| v.is_difference()).count();
    let broken = verdicts.iter().filter(|v| v.is_broken()).count();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"backtest check\" \
         tests=\"{}\" failures=\"{failed}\" errors=\"{broken}\">\n",
        verdicts.len()
    );
    for verdict in verdicts {
        let (file, case) = (escape(&verdict.file.display().to_string()), escape(&verdict.case));
        let body = match &verdict.outcome {
            Outcome::Same => "/>\n".to_owned(),
            other => {
                let word = if matches!(other, Outcome::Broken(_)) { "error" } else { "failure" };
                format!("><{word}>{}</{word}></testcase>\n", escape(&verdict.text()))
            }
        };
        xml.push_str(&format!("  <testcase classname=\"{file}\" name=\"{case}\"{body}"));
    }
    xml.push_str("</testsuite>\n");
    xml
}
