//! `backtest compare`: kept results side by side: metrics, what they were made from where that differs, the first trade
//! that differs, and how far their equity is apart. Everything is read from the rows; nothing is run.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use store::{EquityRow, Results, RunDetail, Store, TradeRow};
use strategies::Definition;

use crate::args::Global;
use crate::command::diff::{EquityGap, Trades};
use crate::command::kept::detail;
use crate::command::metric::{METRICS, metric};
use crate::command::origin;
use crate::fail::Fail;
use crate::table::table;
use crate::{talk, when};

/// Most results at once: more columns than a page is wide.
const MAX_RUNS: usize = 50;

/// A result with its lists.
struct Side {
    detail: RunDetail,
    trades: Vec<TradeRow>,
    equity: Vec<EquityRow>,
}

/// A name with its value in each result; `None` where it has none.
type Line<T> = (String, Vec<Option<T>>);

pub(crate) async fn compare(global: &Global, store: &Store, ids: &[i64]) -> Result<(), Fail> {
    let distinct: BTreeSet<i64> = ids.iter().copied().collect();
    if ids.len() < 2 || distinct.len() < ids.len() {
        return Err(Fail::usage("two different results or more are compared")
            .hint("`backtest list` shows the ids: backtest compare 1 2"));
    }
    if ids.len() > MAX_RUNS {
        let message = format!("{} results are more than the limit of {MAX_RUNS}", ids.len());
        return Err(Fail::usage(message).hint("backtest list --sort sharpe_ratio"));
    }
    let mut sides = Vec::new();
    for &id in ids {
        let detail = detail(store, id).await?;
        let (trades, equity) = (store.trades(id).await?, store.equity(id).await?);
        sides.push(Side { detail, trades, equity });
    }
    let (metrics, differing) = (metrics(&sides), differing(&sides));
    if global.json {
        talk::json(&document(&sides, &metrics, &differing));
    } else {
        print(&sides, &metrics, &differing);
    }
    Ok(())
}

/// Metrics as their columns hold them, then the other numbers that are kept with them.
fn metrics(sides: &[Side]) -> Vec<Line<Decimal>> {
    let results = || sides.iter().map(|side| side.detail.row.results.as_ref());
    let mut lines: Vec<Line<Decimal>> = METRICS
        .iter()
        .map(|&name| {
            let value = |r: Option<&Results>| Some(metric(r?, name)?.normalize());
            (name.to_owned(), results().map(value).collect())
        })
        .collect();
    let more = |side: &Side| -> Map<String, Value> {
        let all = side.detail.row.results.as_ref().and_then(|r| r.metrics.as_ref()?.as_object());
        let is_new = |name: &str, value: &Value| {
            !METRICS.contains(&name) && (value.is_number() || value.is_string() || value.is_null())
        };
        let pairs = all.into_iter().flatten().filter(|(name, value)| is_new(name, value));
        pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let more: Vec<Map<String, Value>> = sides.iter().map(more).collect();
    let names: BTreeSet<&String> = more.iter().flat_map(Map::keys).collect();
    for name in names {
        let values = more.iter().map(|all| decimal(all.get(name)?)).collect();
        lines.push((name.clone(), values));
    }
    lines
}

fn decimal(value: &Value) -> Option<Decimal> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let value = text.parse().or_else(|_| Decimal::from_scientific(&text));
    value.ok().map(|value: Decimal| value.normalize())
}

/// What the results were made from, where it is not the same for all.
fn differing(sides: &[Side]) -> Vec<Line<String>> {
    let facts: Vec<BTreeMap<String, String>> =
        sides.iter().map(|side| facts(&side.detail)).collect();
    let names: BTreeSet<&String> = facts.iter().flat_map(BTreeMap::keys).collect();
    let lines = names.into_iter().map(|name| {
        let values: Vec<_> = facts.iter().map(|all| all.get(name).cloned()).collect();
        (name.clone(), values)
    });
    lines.filter(|(_, values)| values.iter().any(|value| *value != values[0])).collect()
}

/// Everything that a result was made from, by name.
fn facts(detail: &RunDetail) -> BTreeMap<String, String> {
    let row = &detail.row;
    let short = |hash: &str| hash.chars().take(16).collect::<String>();
    let rules = origin::file(detail).map(|file| {
        let canonical = Definition::from_json(file).map(|definition| definition.identity());
        sim::identity::short_hash(&canonical.unwrap_or_else(|_| file.to_string()))
    });
    let metrics = row.results.as_ref().and_then(|r| r.metrics.as_ref());
    let of_sweep = || origin::series(detail)?.get("n_warmup");
    let warmup = metrics.and_then(|m| m.pointer("/data/warmup_bars")).or_else(of_sweep);
    let own = [
        ("data: fingerprint", detail.fingerprint.as_deref().map(short)),
        ("data: from", Some(when::show(row.start_us))),
        ("data: symbol", Some(row.symbols.join(" "))),
        ("data: timeframe", Some(row.timeframes.join(" "))),
        ("data: to", Some(when::show(row.end_us))),
        ("data: warm-up bars", warmup.map(Value::to_string)),
        ("engine version", detail.engine_version.clone()),
        ("strategy", row.strategy.clone()),
        ("strategy: its rules", rules),
        ("status", Some(row.status.to_lowercase()).filter(|status| status != "completed")),
    ];
    let mut all: BTreeMap<String, String> =
        own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    all.extend(origin::parameters(detail).into_iter().map(|(n, v)| (format!("parameter: {n}"), v)));
    let rules = detail.rules.as_ref().and_then(Value::as_object).into_iter().flatten();
    all.extend(rules.map(|(name, value)| (format!("rule: {name}"), origin::text(value))));
    all
}

/// The second less the first, where there are two and both are defined.
fn difference(values: &[Option<Decimal>]) -> Option<Decimal> {
    match values {
        [Some(first), Some(second)] => second.checked_sub(*first).map(|d| d.normalize()),
        _ => None,
    }
}

fn print(sides: &[Side], metrics: &[Line<Decimal>], differing: &[Line<String>]) {
    let ids: Vec<String> = sides.iter().map(|side| side.detail.row.id.to_string()).collect();
    let two = sides.len() == 2;
    let mut header = vec!["metric"];
    header.extend(ids.iter().map(String::as_str));
    header.extend(two.then_some("difference"));
    let right: Vec<usize> = (1..header.len()).collect();
    let shown = |value: &Option<Decimal>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
    let row = |(name, values): &Line<Decimal>| {
        let mut cells = vec![name.clone()];
        cells.extend(values.iter().map(shown));
        let gap = difference(values).map(|d| match d > Decimal::ZERO {
            true => format!("+{d}"),
            false => d.to_string(),
        });
        cells.extend(two.then(|| gap.unwrap_or_else(|| "-".to_owned())));
        cells
    };
    talk::data(&table(&header, &right, metrics.iter().map(row).collect()));
    if differing.is_empty() {
        talk::data("\nstrategy, parameters, rules, data and engine version are the same");
    } else {
        header = vec!["what differs"];
        header.extend(ids.iter().map(String::as_str));
        let row = |(name, values): &Line<String>| {
            let values = values.iter().map(|v| v.clone().unwrap_or_else(|| "-".to_owned()));
            std::iter::once(name.clone()).chain(values).collect()
        };
        let right: Vec<usize> = (1..header.len()).collect();
        talk::data(&format!("\n{}", table(&header, &right, differing.iter().map(row).collect())));
    }
    for other in &sides[1..] {
        talk::data(&format!("\n{}", beside(&sides[0], other)));
    }
}

/// Trades and equity of two results, in words.
fn beside(first: &Side, other: &Side) -> String {
    let names = [first, other].map(|side| side.detail.row.id.to_string());
    let names = [names[0].as_str(), names[1].as_str()];
    if let Some(without) = [first, other].into_iter().find(|side| side.equity.is_empty()) {
        let id = without.detail.row.id;
        return format!(
            "{} and {}: the trades and equity of {id} are not kept",
            names[0], names[1]
        );
    }
    let trades = Trades::new(&first.trades, &other.trades);
    let trades = trades.text(names).unwrap_or_else(|| "every trade is the same".to_owned());
    let none = || "daily equity: no day in common".to_owned();
    let equity = EquityGap::new(&first.equity, &other.equity);
    let equity = equity.map_or_else(none, |gap| gap.text());
    format!("{} and {}: {trades}\n{equity}", names[0], names[1])
}

fn document(sides: &[Side], metrics: &[Line<Decimal>], differing: &[Line<String>]) -> Value {
    let runs = sides.iter().map(|side| {
        let row = &side.detail.row;
        json!({ "id": row.id, "name": row.name, "strategy": row.strategy, "status": row.status })
    });
    let text = |value: &Option<Decimal>| value.map(|v| v.to_string());
    let values: Map<String, Value> = metrics
        .iter()
        .map(|(name, of)| (name.clone(), json!(of.iter().map(text).collect::<Vec<_>>())))
        .collect();
    let gaps: Map<String, Value> = metrics
        .iter()
        .map(|(name, of)| (name.clone(), json!(difference(of).map(|d| d.to_string()))))
        .collect();
    let differing: Map<String, Value> =
        differing.iter().map(|(name, of)| (name.clone(), json!(of))).collect();
    let others = sides[1..].iter().map(|other| {
        let first = &sides[0];
        let kept = !first.equity.is_empty() && !other.equity.is_empty();
        let trades =
            kept.then(|| Trades::new(&first.trades, &other.trades).json(["first", "this"]));
        let equity = EquityGap::new(&first.equity, &other.equity).map(|gap| gap.json());
        json!({ "id": other.detail.row.id, "trades": trades, "equity": equity })
    });
    json!({
        "runs": runs.collect::<Vec<_>>(),
        "metrics": values,
        "difference": (sides.len() == 2).then_some(gaps),
        "differing": differing,
        "against_first": others.collect::<Vec<_>>(),
    })
}
