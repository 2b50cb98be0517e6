//! `backtest data`: what bars are held, what is wrong with them, and bars written to a file.

use std::time::Instant;

use serde_json::{Value, json};
use sim::timeframe::Timeframe;
use store::export::{Exporter, Format};
use store::progress::Progress;
use store::{Held, Range, Store};

use crate::args::{Data, DataCheck, Export, Global};
use crate::fail::{Code, Fail};
use crate::table::{count, counted, table};
use crate::talk::{self, Bar, Unit};
use crate::verdict::{self, Judged};
use crate::when;

pub(crate) async fn data(global: &Global, store: &Store, command: Data) -> Result<(), Fail> {
    match command {
        Data::List => list(global, store).await,
        Data::Check(args) => check(global, store, args).await,
        Data::Export(args) => export(global, store, args).await,
    }
}

async fn list(global: &Global, store: &Store) -> Result<(), Fail> {
    let held = store.held().await?;
    if global.json {
        talk::json(&Value::Array(held.iter().map(document).collect()));
        return Ok(());
    }
    if held.is_empty() {
        talk::say(format!("`{}` holds no bars; load some with `backtest import`", store.place()));
        return Ok(());
    }
    let row = |h: &Held| {
        vec![
            h.symbol.clone(),
            h.timeframe.to_string(),
            when::show(h.from_us),
            when::show(h.to_us),
            count(h.bars),
            count(h.gaps),
            count(h.missing),
        ]
    };
    let header = ["symbol", "timeframe", "from", "to", "bars", "gaps", "missing"];
    talk::data(&table(&header, &[4, 5, 6], held.iter().map(row).collect()));
    Ok(())
}

fn document(held: &Held) -> Value {
    json!({
        "symbol": held.symbol,
        "timeframe": held.timeframe.to_string(),
        "from": when::iso(held.from_us),
        "to": when::iso(held.to_us),
        "bars": held.bars,
        "gaps": held.gaps,
        "missing": held.missing,
    })
}

async fn check(global: &Global, store: &Store, args: DataCheck) -> Result<(), Fail> {
    let (from_us, to_us) = args.range.ends();
    let mut all = Vec::new();
    for (symbol, timeframe) in chosen(store, &args).await? {
        let range = Range { from_us, to_us };
        let bar = Bar::new(Unit::Rows, global.json);
        let begun = Instant::now();
        let verdict = store.judge(&symbol, timeframe, range, &bar).await?;
        if global.verbose > 0 {
            let (bars, took) = (counted(verdict.bars as u64, "bar"), begun.elapsed().as_secs_f64());
            talk::say(format!("{symbol} {timeframe}: {bars} read and judged in {took:.3} s"));
        }
        all.push(Judged { symbol, verdict });
    }
    if all.iter().all(|judged| judged.verdict.bars == 0) {
        return Err(
            Fail::data("no bars in that range").hint("`backtest data list` shows what is held")
        );
    }
    if global.json {
        talk::json(&Value::Array(all.iter().map(Judged::json).collect()));
    } else {
        talk::data(&verdict::page(&all));
    }
    match args.fail_on {
        Some(kinds) => {
            verdict::refuse(&all, &kinds, "leave the kinds that you can live with out of --fail-on")
        }
        None => Ok(()),
    }
}

/// The series that are asked for, all that are held when none is named.
async fn chosen(store: &Store, args: &DataCheck) -> Result<Vec<(String, Timeframe)>, Fail> {
    if let (false, Some(timeframe)) = (args.symbol.is_empty(), args.timeframe) {
        return Ok(args.symbol.iter().map(|symbol| (symbol.clone(), timeframe)).collect());
    }
    let wanted = |h: &Held| {
        (args.symbol.is_empty() || args.symbol.contains(&h.symbol))
            && args.timeframe.is_none_or(|timeframe| timeframe == h.timeframe)
    };
    let held = store.held().await?;
    let missing = args.symbol.iter().find(|&symbol| held.iter().all(|h| h.symbol != *symbol));
    let found: Vec<(String, Timeframe)> =
        held.into_iter().filter(wanted).map(|h| (h.symbol, h.timeframe)).collect();
    if missing.is_none() && !found.is_empty() {
        return Ok(found);
    }
    let what = missing.map_or_else(String::new, |symbol| format!(" of `{symbol}`"));
    Err(Fail::data(format!("`{}` holds no such bars{what}", store.place()))
        .hint("`backtest data list` shows what is held"))
}

fn unknown_ending(path: &std::path::Path) -> Fail {
    Fail::usage(format!("`{}` has an ending that names no format", path.display()))
        .hint("end it in .csv, .csv.gz, .parquet or .feather")
}

async fn export(global: &Global, store: &Store, args: Export) -> Result<(), Fail> {
    if global.json && args.output.is_none() {
        return Err(Fail::usage("bars on stdout are CSV, not JSON")
            .hint("leave --json out, or give a file with --output"));
    }
    let (from_us, to_us) = args.range.ends();
    let range = Range { from_us, to_us };
    let mut batches = store.stream_rows(&args.symbol, args.timeframe, range).await?;
    let mut exporter = match &args.output {
        Some(path) => {
            let format = Format::of_path(path).ok_or_else(|| unknown_ending(path))?;
            Exporter::create(path, format)?
        }
        None => Exporter::to(talk::target(), Format::Csv)?,
    };
    let bar = Bar::new(Unit::Rows, global.json || args.output.is_none());
    bar.begin("exporting", None);
    let mut rows = 0_u64;
    while let Some(batch) = batches.recv().await {
        let batch = batch?;
        exporter.write(&batch)?;
        rows += batch.len() as u64;
        bar.advance(batch.len() as u64);
    }
    bar.end();
    if rows == 0 {
        return Err(Fail::new(Code::Data, anyhow::anyhow!("no bars in that range"))
            .hint("`backtest data list` shows what is held"));
    }
    exporter.finish()?;
    if let Some(path) = &args.output {
        let file = path.display();
        if global.json {
            talk::json(&json!({ "file": file.to_string(), "bars": rows }));
        } else {
            talk::say(format!("wrote {} to {file}", counted(rows, "bar")));
        }
    }
    Ok(())
}
