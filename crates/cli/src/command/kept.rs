//! `backtest show`, `trades` and `delete`: one kept result, as it stands in the rows. Lists of them are `list`.

use std::path::Path;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value, json};
use store::export::{TableColumn, TableFormat, Target, Values, write_table};
use store::{Results, RunDetail, RunRow, Store, TradeRow};

use crate::args::Global;
use crate::args::kept::{TradeFormat, Trades};
use crate::fail::Fail;
use crate::report::{self, Heading};
use crate::table::{counted, decimals, table};
use crate::talk;
use crate::when;

/// `fast=10 slow=50`
pub(crate) fn params(parameters: Option<&Value>) -> String {
    let pairs = parameters.and_then(Value::as_object).into_iter().flatten();
    pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// What a list says of a result.
pub(crate) fn row_json(row: &RunRow) -> Value {
    json!({
        "id": row.id,
        "name": row.name,
        "strategy": row.strategy,
        "symbols": row.symbols,
        "timeframes": row.timeframes,
        "parameters": row.parameters,
        "status": row.status,
        "created_at": row.created_us.map(when::iso),
        "start_date": when::iso(row.start_us),
        "end_date": when::iso(row.end_us),
        "tags": row.tags,
        "results": row.results.as_ref().map(results_json),
    })
}

/// The columns of `backtest_results` as stored: decimals as text, so that no digit is lost.
pub(crate) fn results_json(r: &Results) -> Value {
    let mut all = Map::new();
    let decimals = [
        ("total_return", r.total_return),
        ("annual_return", r.annual_return),
        ("volatility", r.volatility),
        ("sharpe_ratio", r.sharpe_ratio),
        ("sortino_ratio", r.sortino_ratio),
        ("max_drawdown", r.max_drawdown),
        ("calmar_ratio", r.calmar_ratio),
        ("win_rate", r.win_rate),
        ("profit_factor", r.profit_factor),
        ("avg_trade_return", r.avg_trade_return),
        ("avg_win", r.avg_win),
        ("avg_loss", r.avg_loss),
        ("largest_win", r.largest_win),
        ("largest_loss", r.largest_loss),
        ("final_capital", r.final_capital),
    ];
    for (name, value) in decimals {
        all.insert(name.to_owned(), json!(value.map(|v| v.to_string())));
    }
    all.insert("max_drawdown_duration".to_owned(), json!(r.max_drawdown_duration));
    all.insert("total_trades".to_owned(), json!(r.total_trades));
    all.insert("winning_trades".to_owned(), json!(r.winning_trades));
    all.insert("losing_trades".to_owned(), json!(r.losing_trades));
    let seconds = r.avg_trade_duration_us.map(|us| us as f64 / 1e6);
    all.insert("avg_trade_duration".to_owned(), json!(seconds));
    Value::Object(all)
}

/// The result of an id.
pub(crate) async fn detail(store: &Store, id: i64) -> Result<RunDetail, Fail> {
    store.show(id).await?.ok_or_else(|| {
        Fail::data(format!("`{}` keeps no result {id}", store.place()))
            .hint("`backtest list` shows the ids")
    })
}

pub(crate) async fn show(global: &Global, store: &Store, id: i64) -> Result<(), Fail> {
    let detail = detail(store, id).await?;
    if global.json {
        talk::json(&detail_json(store, &detail));
        return Ok(());
    }
    let row = &detail.row;
    let Some(metrics) = row.results.as_ref().and_then(|r| r.metrics.as_ref()) else {
        talk::data(&format!("{} {} is {}", row.id, row.name, row.status.to_lowercase()));
        if let Some(error) = &detail.error {
            talk::data(&format!("  {error}"));
        }
        return Ok(());
    };
    let equity = store.equity(id).await?;
    let capital = detail.initial_capital.to_f64();
    let days = equity.iter().filter_map(|e| e.equity.to_f64());
    let daily: Vec<f64> = capital.into_iter().chain(days).collect();
    talk::data(&report::block(&heading(&detail, metrics), metrics, &daily));
    if let Some(notes) = &detail.notes {
        talk::data(&format!("\n  {notes}"));
    }
    Ok(())
}

fn heading(detail: &RunDetail, metrics: &Value) -> Heading {
    let row = &detail.row;
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let rules = detail.rules.as_ref().and_then(Value::as_object).into_iter().flatten();
    let source = metrics.pointer("/data/source_timeframe").and_then(Value::as_str);
    Heading {
        strategy: row.strategy.clone().unwrap_or_else(|| row.name.clone()),
        symbol: row.symbols.join(" "),
        timeframe: row.timeframes.join(" "),
        source_timeframe: source.map(str::to_owned),
        start_us: row.start_us,
        end_us: row.end_us,
        bars: metrics.get("bars").and_then(Value::as_u64),
        params: params(row.parameters.as_ref()),
        rules: rules.map(|(name, value)| (name.clone(), text(value))).collect(),
    }
}

fn detail_json(store: &Store, detail: &RunDetail) -> Value {
    let mut all = row_json(&detail.row);
    let more = json!({
        "place": store.place(),
        "user": detail.user,
        "initial_capital": detail.initial_capital.normalize().to_string(),
        "description": detail.description,
        "progress": detail.progress,
        "started_at": detail.started_us.map(when::iso),
        "heartbeat_at": detail.heartbeat_us.map(when::iso),
        "completed_at": detail.completed_us.map(when::iso),
        "sweep": detail.sweep,
        "variant_idx": detail.variant_idx,
        "notes": detail.notes,
        "rules": detail.rules,
        "identity": detail.identity,
        "data_fingerprint": detail.fingerprint,
        "engine_version": detail.engine_version,
        "error": detail.error,
        "metrics": detail.row.results.as_ref().and_then(|r| r.metrics.clone()),
    });
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    all
}

pub(crate) async fn trades(global: &Global, store: &Store, args: Trades) -> Result<(), Fail> {
    detail(store, args.id).await?;
    let trades = store.trades(args.id).await?;
    let format = match (args.format, args.output.as_deref()) {
        (TradeFormat::Table, None) if !global.json => {
            talk::data(&trade_table(&trades));
            return Ok(());
        }
        (TradeFormat::Parquet, None) => {
            let hint = format!("backtest trades {} --output trades.parquet", args.id);
            return Err(Fail::usage("Parquet goes to a file").hint(hint));
        }
        (TradeFormat::Table, None) | (TradeFormat::Json, _) => TableFormat::Json,
        (TradeFormat::Table, Some(path)) if global.json && path.extension().is_none() => {
            TableFormat::Json
        }
        (TradeFormat::Table, Some(path)) => format_of(path)?,
        (TradeFormat::Csv, _) => TableFormat::Csv,
        (TradeFormat::Parquet, Some(_)) => TableFormat::Parquet,
    };
    let target = match &args.output {
        Some(path) => Target::from(path.as_path()),
        None => talk::target(),
    };
    write_table(target, format, trade_columns(&trades))?;
    if let Some(path) = &args.output {
        let (file, n_trades) = (path.display(), trades.len());
        if global.json {
            talk::json(&json!({ "file": file.to_string(), "trades": n_trades }));
        } else {
            talk::say(format!("wrote {} to {file}", counted(n_trades as u64, "trade")));
        }
    }
    Ok(())
}

/// The form of a table that the ending of its file names.
pub(crate) fn format_of(path: &Path) -> Result<TableFormat, Fail> {
    TableFormat::of_path(path).ok_or_else(|| {
        let ending = path.extension().unwrap_or_default().display();
        Fail::usage(format!("no format is known by `.{ending}`"))
            .hint("give --output with .csv, .parquet, .feather or .json")
    })
}

fn plain(value: Option<Decimal>) -> String {
    value.map_or_else(String::new, |v| v.normalize().to_string())
}

/// Formatting alone would cut digits off.
fn rounded(value: Option<Decimal>, places: u32) -> String {
    let width = places as usize;
    // What rounds to 0 has no sign.
    let shown = |v: Decimal| if v.is_zero() { v.abs() } else { v };
    value.map_or_else(String::new, |v| format!("{:.width$}", shown(v.round_dp(places))))
}

fn trade_table(trades: &[TradeRow]) -> String {
    let header =
        ["side", "entered", "at", "left", "at", "quantity", "pnl", "pnl %", "commission", "signal"];
    // A column has as many decimals as its greatest amount is told by.
    let places = |of: fn(&TradeRow) -> Option<Decimal>| {
        decimals(trades.iter().filter_map(of).map(|v| v.abs()).max().unwrap_or_default())
    };
    let (of_pnl, of_commission) = (places(|t| t.pnl), places(|t| t.commission));
    let row = |t: &TradeRow| {
        vec![
            t.side.to_lowercase(),
            when::show(t.entry_time_us),
            plain(Some(t.entry_price)),
            t.exit_time_us.map_or_else(|| "open".to_owned(), when::show),
            plain(t.exit_price),
            plain(Some(t.quantity)),
            rounded(t.pnl, of_pnl),
            rounded(t.pnl_percentage, 2),
            rounded(t.commission, of_commission),
            t.strategy_signal.clone().unwrap_or_default(),
        ]
    };
    table(&header, &[2, 4, 5, 6, 7, 8], trades.iter().map(row).collect())
}

/// Trades as columns with the names of `backtest_trades`.
fn trade_columns(trades: &[TradeRow]) -> Vec<TableColumn> {
    let text = |of: fn(&TradeRow) -> Option<String>| Values::Text(trades.iter().map(of).collect());
    let time = |of: fn(&TradeRow) -> Option<i64>| Values::Time(trades.iter().map(of).collect());
    let money = |of: fn(&TradeRow) -> Option<Decimal>| {
        let units = |t: &TradeRow| of(t).and_then(sim::exact::units);
        Values::Decimal(trades.iter().map(units).collect())
    };
    let columns = [
        ("symbol", text(|t| Some(t.symbol.clone()))),
        ("side", text(|t| Some(t.side.clone()))),
        ("quantity", money(|t| Some(t.quantity))),
        ("entry_price", money(|t| Some(t.entry_price))),
        ("exit_price", money(|t| t.exit_price)),
        ("entry_time", time(|t| Some(t.entry_time_us))),
        ("exit_time", time(|t| t.exit_time_us)),
        ("pnl", money(|t| t.pnl)),
        ("pnl_percentage", money(|t| t.pnl_percentage)),
        ("commission", money(|t| t.commission)),
        ("strategy_signal", text(|t| t.strategy_signal.clone())),
    ];
    columns.map(|(name, values)| TableColumn { name: name.to_owned(), values }).into()
}

pub(crate) async fn delete(global: &Global, store: &Store, ids: &[i64]) -> Result<(), Fail> {
    for &id in ids {
        detail(store, id).await?;
    }
    let deleted = store.delete(ids).await?;
    if global.json {
        talk::json(&json!({ "deleted": deleted }));
    } else {
        let results = counted(deleted, "result");
        talk::data(&format!("deleted {results} with trades and equity"));
    }
    Ok(())
}
