//! `backtest reproduce`: a kept result made again from what is stored, and every digit compared. Nothing is kept of it.
//! A variant that a sweep's kernel made is made again by the reference loop.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sim::Run;
use sim::sweep::Outcome;
use store::{EquityRow, Loaded, Results, RunDetail, Store, TradeRow};

use crate::args::Global;
use crate::command::diff::{Trades, changed, first_difference, said};
use crate::command::kept::detail;
use crate::command::metric::{METRICS, metric};
use crate::command::origin::Origin;
use crate::fail::{Code, Fail};
use crate::report;
use crate::table::{counted, table};
use crate::talk::{self, Bar, Unit};
use crate::when;

/// Objects beside the metrics that say how they were made; they are compared by their parts.
const ABOUT: [&str; 3] = ["conventions", "data", "strategy"];

/// A metric that came out otherwise.
struct Off {
    metric: String,
    kept: String,
    now: String,
}

/// What is kept, and what comes out now.
struct Found {
    changed: Vec<String>,
    n_metrics: usize,
    metrics: Vec<Off>,
    /// `None` where trades and equity are not kept.
    lists: Option<Lists>,
}

struct Lists {
    trades: [Vec<TradeRow>; 2],
    equity: [Vec<EquityRow>; 2],
}

pub(crate) async fn reproduce(global: &Global, store: &Store, id: i64) -> Result<(), Fail> {
    let detail = detail(store, id).await?;
    if detail.row.status != "COMPLETED" {
        let status = detail.row.status.to_lowercase();
        return Err(Fail::data(format!("{id} is {status}: there is nothing to compare with"))
            .hint("`backtest list --status completed` shows what can be reproduced"));
    }
    let origin = Origin::of(&detail)?;
    let loaded = store.load(&origin.ask, &Bar::new(Unit::Rows, global.json)).await?;
    let outcome = origin.prepared.simulate(Arc::clone(&loaded.bars)).await?;
    let run = outcome.map_err(|failure| {
        let at = when::show(failure.time_us);
        Fail::data(format!("made again, {id} fails: {failure} ({at})"))
    })?;
    let (trades, equity) = (store.trades(id).await?, store.equity(id).await?);
    let lists = (!equity.is_empty()).then(|| Lists {
        trades: [trades, run.trades.iter().map(|t| TradeRow::of(&origin.ask.symbol, t)).collect()],
        equity: [equity, run.daily.iter().map(EquityRow::of).collect()],
    });
    let now = results(&detail, &origin, &loaded, &run);
    let (n_metrics, metrics) = metrics(&detail, &now);
    let found = Found { changed: under(&detail, &origin, &loaded), n_metrics, metrics, lists };
    tell(global, id, &found)
}

fn results(detail: &RunDetail, origin: &Origin, loaded: &Loaded, run: &Run) -> Results {
    let json = match detail.sweep {
        Some(_) => report::outcome_json(&Outcome::from(run), run.equity.len()),
        None => report::metrics_json(run, &origin.prepared.rules, loaded),
    };
    Results::of(&run.metrics, json)
}

/// What is not as it was when the result was kept.
fn under(detail: &RunDetail, origin: &Origin, loaded: &Loaded) -> Vec<String> {
    let short = |hash: &str| hash.chars().take(16).collect::<String>();
    let engine = detail.engine_version.as_deref().unwrap_or("unknown");
    let data = short(detail.fingerprint.as_deref().unwrap_or("unknown"));
    let identity = short(detail.identity.as_deref().unwrap_or("unknown"));
    // An identity names the engine too, so of another engine's it says nothing more.
    let strategy = match engine == sim::VERSION {
        true => short(&origin.identity),
        false => identity.clone(),
    };
    changed(&[
        ("engine version", engine, sim::VERSION),
        ("strategy, parameters or rules", &identity, &strategy),
        ("data", &data, &short(&loaded.fingerprint)),
    ])
}

/// How many metrics there are, and those that differ: by their columns, else at full precision.
fn metrics(detail: &RunDetail, now: &Results) -> (usize, Vec<Off>) {
    let none = Results::default();
    let kept = detail.row.results.as_ref().unwrap_or(&none);
    let full = |r: &Results| r.metrics.as_ref().and_then(Value::as_object).cloned();
    let (kept_full, now_full) = (full(kept).unwrap_or_default(), full(now).unwrap_or_default());
    let names: BTreeSet<&String> =
        kept_full.keys().chain(now_full.keys()).filter(|n| !ABOUT.contains(&n.as_str())).collect();
    let text = |all: &Map<String, Value>, name: &str| match all.get(name) {
        None => "not there".to_owned(),
        Some(Value::Null) => "undefined".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let full = names.iter().filter(|name| !same(kept_full.get(**name), now_full.get(**name)));
    let mut off: Vec<Off> = full
        .map(|name| Off {
            metric: (*name).clone(),
            kept: text(&kept_full, name),
            now: text(&now_full, name),
        })
        .collect();
    let shown = |r: &Results, name| {
        metric(r, name).map_or_else(|| "undefined".to_owned(), |value| value.to_string())
    };
    let columns = METRICS.iter().filter(|name| metric(kept, name) != metric(now, name));
    let columns: Vec<Off> = columns
        .filter(|name| !off.iter().any(|o| o.metric == **name))
        .map(|name| Off {
            metric: format!("{name} (its column)"),
            kept: shown(kept, name),
            now: shown(now, name),
        })
        .collect();
    off.extend(columns);
    (names.len(), off)
}

/// Databases write 1.0 and 1 as they like.
fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

impl Lists {
    fn trades(&self) -> Trades<'_> {
        Trades::new(&self.trades[0], &self.trades[1])
    }

    /// The first day on which equity differs, in words.
    fn equity(&self) -> Option<String> {
        let at = first_difference(&self.equity[0], &self.equity[1])?;
        let side = |rows: &[EquityRow]| {
            rows.get(at).map_or_else(
                || "no such day".to_owned(),
                |day| format!("{} at {}", day.equity, when::show(day.time_us)),
            )
        };
        let [kept, now] = [side(&self.equity[0]), side(&self.equity[1])];
        Some(format!("daily equity differs from day {} on: kept {kept}, now {now}", at + 1))
    }
}

impl Found {
    fn same(&self) -> bool {
        let lists = |lists: &Lists| lists.trades().same() && lists.equity().is_none();
        self.metrics.is_empty() && self.lists.as_ref().is_none_or(lists)
    }

    fn text(&self, id: i64) -> String {
        let mut lines = Vec::new();
        if self.same() {
            let kept = match &self.lists {
                None => "; its trades and equity are not kept".to_owned(),
                Some(lists) => {
                    let trades = counted(lists.trades[0].len() as u64, "trade");
                    format!(
                        ", {trades}, {} of equity",
                        counted(lists.equity[0].len() as u64, "day")
                    )
                }
            };
            lines.push(format!(
                "{id} is reproduced to the last digit: {} metrics{kept}",
                self.n_metrics
            ));
            if !self.changed.is_empty() {
                lines.push(format!("  {}", said(&self.changed)));
            }
            return lines.join("\n");
        }
        lines.push(format!("{id} is not reproduced"));
        lines.push(format!("  {}", said(&self.changed)));
        if !self.metrics.is_empty() {
            let row = |off: &Off| vec![off.metric.clone(), off.kept.clone(), off.now.clone()];
            let rows = self.metrics.iter().map(row).collect();
            lines.push(table(&["metric", "kept", "now"], &[1, 2], rows));
        }
        if let Some(lists) = &self.lists {
            lines.extend(lists.trades().text(["kept", "now"]));
            lines.extend(lists.equity());
        }
        lines.join("\n")
    }

    fn json(&self, id: i64) -> Value {
        let off = |o: &Off| json!({ "metric": o.metric, "kept": o.kept, "now": o.now });
        json!({
            "id": id,
            "outcome": if self.same() { "same" } else { "different" },
            "changed": self.changed,
            "metrics_compared": self.n_metrics,
            "metrics": self.metrics.iter().map(off).collect::<Vec<_>>(),
            "trades": self.lists.as_ref().map(|lists| lists.trades().json(["kept", "now"])),
            "equity": self.lists.as_ref().map(|lists| {
                json!({
                    "kept": lists.equity[0].len(),
                    "now": lists.equity[1].len(),
                    "first_difference": lists.equity(),
                })
            }),
        })
    }
}

fn tell(global: &Global, id: i64, found: &Found) -> Result<(), Fail> {
    if global.json {
        talk::json(&found.json(id));
    } else {
        talk::data(&found.text(id));
    }
    if found.same() {
        return Ok(());
    }
    let hint = "to keep what it comes to now as a result of its own: backtest run";
    Err(Fail::new(Code::Gate, anyhow::anyhow!("{id} comes out otherwise than it is kept"))
        .hint(hint))
}
