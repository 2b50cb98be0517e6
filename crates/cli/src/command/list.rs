//! `backtest list`: which results are kept, narrowed down by words, dates and rules over metrics, in any order.
//! One result in full is `kept`'s.

use serde_json::Value;
use store::{ListFilter, RunRow, Store};

use crate::args::Global;
use crate::args::kept::{List, Status};
use crate::command::kept::{params, row_json};
use crate::command::metric::{OverMetrics, in_full};
use crate::fail::Fail;
use crate::table::{count, number, signed, table};
use crate::talk;

/// Metrics that every list shows.
const SHOWN: [&str; 4] = ["total_trades", "total_return", "sharpe_ratio", "max_drawdown"];

pub(crate) async fn list(global: &Global, store: &Store, args: List) -> Result<(), Fail> {
    let rules: Vec<OverMetrics> =
        args.wheres.iter().map(|text| OverMetrics::rule(text)).collect::<Result<_, _>>()?;
    let sort = args.sort.as_deref().map(OverMetrics::number).transpose()?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    // What is judged here may drop any row, so then the database cannot stop early.
    let all_pass = rules.is_empty() && sort.is_none();
    let filter = ListFilter {
        user: args.user,
        strategy: args.strategy,
        symbol: args.symbol,
        timeframe: args.timeframe.map(|timeframe| timeframe.to_string()),
        tags: args.tags,
        status: args.status.map(Status::word),
        created_from_us: args.since,
        created_to_us: args.until,
        limit: all_pass.then_some(limit),
        metrics: !all_pass,
    };
    let mut rows = store.list(&filter).await?;
    rows.retain(|row| rules.iter().all(|rule| rule.holds(&|name| of(row, name))));
    if let Some(by) = &sort {
        rows = sorted(rows, by, args.ascending);
    }
    rows.truncate(limit);
    if global.json {
        talk::json(&Value::Array(rows.iter().map(row_json).collect()));
    } else if rows.is_empty() && limit > 0 {
        let place = store.place();
        talk::say(format!("`{place}` keeps no such result; make one with `backtest run`"));
    } else if !rows.is_empty() {
        talk::data(&lines(&rows, sort.as_ref()));
    }
    Ok(())
}

fn of(row: &RunRow, name: &str) -> Option<f64> {
    in_full(row.results.as_ref()?, name)
}

/// The greatest first, or the least; what is undefined stands last either way. Equal ones stay newest first.
fn sorted(rows: Vec<RunRow>, by: &OverMetrics, ascending: bool) -> Vec<RunRow> {
    let value = |row: &RunRow| by.value(&|name| of(row, name));
    let mut valued: Vec<(Option<f64>, RunRow)> =
        rows.into_iter().map(|row| (value(&row), row)).collect();
    valued.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(a), Some(b)) if ascending => a.total_cmp(b),
        (Some(a), Some(b)) => b.total_cmp(a),
        (a, b) => a.is_none().cmp(&b.is_none()),
    });
    valued.into_iter().map(|(_, row)| row).collect()
}

fn lines(rows: &[RunRow], sort: Option<&OverMetrics>) -> String {
    // What it is sorted by is shown, unless it stands there anyway.
    let by = sort.filter(|by| !SHOWN.contains(&by.source()));
    let mut header = vec!["id", "strategy", "symbol", "tf", "parameters", "status"];
    header.extend(by.map(OverMetrics::source));
    header.extend(["trades", "return", "sharpe", "drawdown", "tags", "name"]);
    let right: Vec<usize> = std::iter::once(0).chain(6..header.len() - 2).collect();
    table(&header, &right, rows.iter().map(|row| line(row, by)).collect())
}

fn line(row: &RunRow, by: Option<&OverMetrics>) -> Vec<String> {
    let trades = row.results.as_ref().and_then(|r| r.total_trades);
    let mut cells = vec![
        row.id.to_string(),
        row.strategy.clone().unwrap_or_default(),
        row.symbols.join(" "),
        row.timeframes.join(" "),
        params(row.parameters.as_ref()),
        row.status.to_lowercase(),
    ];
    cells.extend(by.map(|by| number(by.value(&|name| of(row, name)), 4, "")));
    cells.extend([
        trades.map_or_else(|| "-".to_owned(), count),
        signed(of(row, "total_return"), 2, " %"),
        number(of(row, "sharpe_ratio"), 2, ""),
        number(of(row, "max_drawdown"), 2, " %"),
        row.tags.join(" "),
        row.name.clone(),
    ]);
    cells
}
