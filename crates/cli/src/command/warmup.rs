//! `backtest warmup`: after how many bars indicators and decisions no longer depend on where the data start.
//! It is measured by `sim::warmup`; here it is told, beside what a range gives.

use std::sync::Arc;

use serde_json::json;
use sim::bars::Bars;
use sim::warmup::{self, Report, STARTS, Settled};
use store::{LoadAsk, Loaded, Store};

use crate::args::{Global, Warmup};
use crate::command::run::{self, Prepared};
use crate::fail::{Code, Fail};
use crate::table::{count, counted, table};
use crate::talk::{self, Bar, Unit};
use crate::when;

pub(crate) async fn warmup(global: &Global, store: &Store, args: Warmup) -> Result<(), Fail> {
    let prepared = Prepared::new(&args.strategy, &args.choice)?;
    let ask = run::ask(store, &args.choice, &prepared.definition).await?;
    let loaded = store.load(&ask, &Bar::new(Unit::Rows, global.json)).await?;
    let report = measure(&prepared, &loaded).await?;
    let given = loaded.bars.n_warmup();
    if global.json {
        let indicator = |s: &Settled| json!({ "name": s.name, "first_value": s.first, "near": s.near, "equal": s.equal });
        talk::json(&json!({
            "strategy": prepared.definition.name,
            "symbol": ask.symbol,
            "timeframe": ask.timeframe.to_string(),
            "bars": loaded.bars.len(),
            "starts": STARTS,
            "seen": report.shortest,
            "indicators": report.indicators.iter().map(indicator).collect::<Vec<_>>(),
            "decisions": report.decisions,
            "needed": report.needed(),
            "given": given,
            "enough": report.needed().is_some_and(|needed| given >= needed),
        }));
    } else {
        talk::data(&page(&prepared, &ask, &loaded, &report));
    }
    if let Some(warning) = warning(&report, &loaded.bars, args.choice.warmup) {
        talk::say(warning);
    }
    Ok(())
}

async fn measure(prepared: &Prepared, loaded: &Loaded) -> Result<Report, Fail> {
    let (it, bars) = (prepared.clone(), Arc::clone(&loaded.bars));
    let task = tokio::task::spawn_blocking(move || {
        let rules = it.rules.clone();
        let expressions = it.definition.expressions(&it.params)?;
        let make = it.maker()?;
        Ok(warmup::measure(&bars, &rules, &expressions, &make))
    });
    task.await.map_err(|e| Fail::new(Code::Bug, e))?
}

fn page(prepared: &Prepared, ask: &LoadAsk, loaded: &Loaded, report: &Report) -> String {
    // What did not settle needs more than could be seen.
    let bars = |n: Option<usize>| match n {
        Some(n) => count(n as u64),
        None => format!("> {}", count(report.shortest as u64)),
    };
    let row = |s: &Settled| {
        let first = s.first.map_or_else(|| "-".to_owned(), |n| count(n as u64));
        vec![s.name.clone(), first, bars(s.near), bars(s.equal)]
    };
    let mut rows: Vec<Vec<String>> = report.indicators.iter().map(row).collect();
    rows.push(vec!["decisions".to_owned(), String::new(), bars(report.decisions), String::new()]);
    let header = ["bars needed before", "a first value", "within 1e-9", "the last bit"];
    let what = format!(
        "warm-up of {} on {} {}, measured on {} from {STARTS} starts",
        prepared.definition.name,
        ask.symbol,
        ask.timeframe,
        counted(loaded.bars.len() as u64, "bar")
    );
    let given =
        format!("this range gives {} of warm-up", counted(loaded.bars.n_warmup() as u64, "bar"));
    format!("{what}\n\n{}\n\n{given}", table(&header, &[1, 2, 3], rows))
}

fn warning(report: &Report, bars: &Bars, asked: usize) -> Option<String> {
    let given = bars.n_warmup();
    let Some(needed) = report.needed() else {
        return Some(format!(
            "warning: decisions still depend on where the data start after {}; a longer range may settle it",
            counted(report.shortest as u64, "bar")
        ));
    };
    (given < needed).then(|| {
        // Fewer than were asked for are all that there are in front of the range.
        let more = match bars.time_us().get(needed) {
            Some(&from) if given < asked => format!("give --from {} or later", when::show(from).replace(' ', "T")),
            None if given < asked => "load earlier bars".to_owned(),
            _ => format!("give at least --warmup {needed}"),
        };
        format!(
            "warning: a warm-up of {} is needed and this range gives {}: the first decisions depend on where the data \
             start; {more}",
            counted(needed as u64, "bar"),
            count(given as u64)
        )
    })
}
