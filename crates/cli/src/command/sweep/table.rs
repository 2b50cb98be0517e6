//! `backtest sweep top` and `export`: variants as a table, as JSON and as a file.
//! What is best is `judge`'s, how stable it is `stable`'s.

use std::collections::BTreeSet;
use std::path::Path;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use sim::expr::Expr;
use store::Store;
use store::export::{TableColumn, TableFormat, TableWriter, Target, Values};
use store::sweeps::{SweepRow, VariantRow};

use super::judge::{Judge, best_rows, pages, parameter};
use super::plan::Plan;
use super::stable::{self, Around};
use super::{judge, row};
use crate::again::patiently;
use crate::args::Global;
use crate::args::sweep::Top;
use crate::command::kept::{format_of, results_json};
use crate::command::metric::{METRICS, float, metric, rule};
use crate::fail::Fail;
use crate::table::{count, counted, number, signed, table};
use crate::talk;

pub(super) async fn top(global: &Global, store: &Store, args: &Top) -> Result<(), Fail> {
    let sweep = row(store, args.id).await?;
    let plan = Plan::of(&sweep.definition)?;
    let judge = judge(&plan, &args.judge)?;
    let names: Vec<&str> = plan.kept.axes.iter().map(|a| a.name.as_str()).collect();
    let wheres: Vec<Expr> =
        args.wheres.iter().map(|source| rule(source, &names)).collect::<Result<_, _>>()?;
    let symbols: BTreeSet<&str> = plan.kept.series.iter().map(|s| s.symbol.as_str()).collect();
    if let Some(given) = args.symbol.as_deref().filter(|given| !symbols.contains(given)) {
        let symbols: Vec<&str> = symbols.into_iter().collect();
        return Err(Fail::usage(format!("the sweep has no symbol `{given}`"))
            .hint(format!("there are {}", symbols.join(", "))));
    }
    let fits = |idx: u64| {
        let (series, _) = plan.space.place(idx);
        args.symbol.as_ref().is_none_or(|symbol| *symbol == plan.kept.series[series].symbol)
            && wheres.iter().all(|rule| meets(rule, &plan, idx, &names))
    };
    show(global, store, &sweep, &plan, &judge, args.limit, fits).await
}

/// Finds the best of those that `fit` by their index, with what lies around them, and prints them.
pub(super) async fn show(
    global: &Global,
    store: &Store,
    sweep: &SweepRow,
    plan: &Plan,
    judge: &Judge,
    most: usize,
    fits: impl Fn(u64) -> bool,
) -> Result<(), Fail> {
    let best = best_rows(store, sweep.id, judge, most, &fits).await?;
    let around = stable::around(store, sweep.id, plan, judge, &best).await?;
    if global.json {
        let variants: Vec<Value> =
            best.iter().zip(&around).map(|(best, around)| document(best, around)).collect();
        talk::json(&json!({ "objective": judge.source(), "variants": variants }));
    } else if !best.is_empty() {
        print(plan, judge.source(), &best, &around);
    } else if most > 0 {
        talk::say(why_none(store, sweep, plan, judge, &fits).await?);
    }
    Ok(())
}

/// Why there is no best of those that `fit`.
async fn why_none(
    store: &Store,
    sweep: &SweepRow,
    plan: &Plan,
    judge: &Judge,
    fits: impl Fn(u64) -> bool,
) -> Result<String, Fail> {
    if patiently(store, || store.n_variants_left(sweep.id)).await? == 0 {
        return Ok(match sweep.n_completed + sweep.n_failed {
            0 => "no variant is saved yet".to_owned(),
            _ => "every variant was deleted by `sweep prune`".to_owned(),
        });
    }
    if !plan.space.indices(0, u64::MAX).any(fits) {
        return Ok(format!("none of {} meets --where", counted(sweep.n_variants, "variant")));
    }
    Ok(judge.no_value())
}

fn meets(rule: &Expr, plan: &Plan, idx: u64, names: &[&str]) -> bool {
    let known = names.iter().filter_map(|&n| Some((n.to_owned(), plan.parameter(idx, n)?)));
    let bound = rule.bind(&known.collect());
    bound.is_ok_and(|bound| bound.constant_rule() == Some(Some(true)))
}

fn print(plan: &Plan, objective: &str, best: &[(f64, VariantRow)], around: &[Around]) {
    let many = plan.kept.series.len() > 1;
    let mut header = vec!["id"];
    if many {
        header.extend(["symbol", "tf"]);
    }
    let swept: Vec<&str> = plan.kept.axes.iter().map(|a| a.name.as_str()).collect();
    header.extend(swept.iter());
    let left = if many { 3 } else { 1 };
    header.extend([objective, "near", "worst", "return", "drawdown", "trades"]);
    let line = |((value, row), around): (&(f64, VariantRow), &Around)| {
        let mut cells = vec![row.id.to_string()];
        if many {
            cells.extend([row.symbol.clone(), row.timeframe.clone()]);
        }
        let shown = |n: &&str| parameter(row, n).map_or_else(String::new, |v| v.to_string());
        cells.extend(swept.iter().map(shown));
        let of = |name| float(row.results.as_ref().and_then(|r| metric(r, name)));
        let trades = row.results.as_ref().and_then(|r| r.total_trades);
        cells.extend([
            number(Some(*value), 4, ""),
            number(around.mean, 4, ""),
            number(around.worst, 4, ""),
            signed(of("total_return"), 2, " %"),
            number(of("max_drawdown"), 2, " %"),
            trades.map_or_else(|| "-".to_owned(), count),
        ]);
        cells
    };
    let rows = best.iter().zip(around).map(line).collect();
    let numbers: Vec<usize> = std::iter::once(0).chain(left..header.len()).collect();
    talk::data(&table(&header, &numbers, rows));
    if around.iter().any(|around| around.missing > 0) {
        talk::say("near and worst are - beside a variant that was pruned, or is not saved yet");
    }
}

fn document((value, row): &(f64, VariantRow), around: &Around) -> Value {
    json!({
        "id": row.id,
        "variant_idx": row.idx,
        "symbol": row.symbol,
        "timeframe": row.timeframe,
        "parameters": row.parameters,
        "objective": value,
        "neighbours": {
            "n": around.n,
            "missing": around.missing,
            "mean": around.mean,
            "worst": around.worst,
        },
        "has_trades": row.has_trades,
        "results": row.results.as_ref().map(results_json),
    })
}

/// Every variant of a sweep as one table, by index, a page of rows in memory at a time.
pub(super) async fn export(
    global: &Global,
    store: &Store,
    id: i64,
    output: Option<&Path>,
) -> Result<(), Fail> {
    let sweep = row(store, id).await?;
    let plan = Plan::of(&sweep.definition)?;
    let stdout = if global.json { TableFormat::Json } else { TableFormat::Csv };
    let format = output.map_or(Ok(stdout), format_of)?;
    let mut writer = TableWriter::to(output.map_or_else(talk::target, Target::from), format)?;
    // The names of the columns, also where there is no row.
    writer.write(columns(&plan, &[]))?;
    let mut written = 0_u64;
    pages(store, id, |rows| {
        written += rows.len() as u64;
        Ok(writer.write(columns(&plan, &rows))?)
    })
    .await?;
    writer.finish()?;
    if let Some(path) = output {
        let file = path.display();
        if global.json {
            talk::json(&json!({ "file": file.to_string(), "variants": written }));
        } else {
            talk::say(format!("wrote {} to {file}", counted(written, "variant")));
        }
    }
    Ok(())
}

fn columns(plan: &Plan, rows: &[VariantRow]) -> Vec<TableColumn> {
    let text = |of: fn(&VariantRow) -> Option<String>| Values::Text(rows.iter().map(of).collect());
    let units = |value: Option<Decimal>| value.and_then(sim::exact::units);
    let mut columns = vec![
        (
            "variant_idx".to_owned(),
            Values::Integer(rows.iter().map(|r| i64::try_from(r.idx).ok()).collect()),
        ),
        ("backtest_id".to_owned(), Values::Integer(rows.iter().map(|r| Some(r.id)).collect())),
        ("symbol".to_owned(), text(|r| Some(r.symbol.clone()))),
        ("timeframe".to_owned(), text(|r| Some(r.timeframe.clone()))),
        ("status".to_owned(), text(|r| Some(r.status.clone()))),
        ("error".to_owned(), text(|r| r.error.clone())),
    ];
    for axis in &plan.kept.axes {
        let values = rows.iter().map(|r| units(parameter(r, &axis.name))).collect();
        columns.push((axis.name.clone(), Values::Decimal(values)));
    }
    for name in METRICS {
        let of = |r: &VariantRow| units(r.results.as_ref().and_then(|r| metric(r, name)));
        columns.push((name.to_owned(), Values::Decimal(rows.iter().map(of).collect())));
    }
    columns.into_iter().map(|(name, values)| TableColumn { name, values }).collect()
}
