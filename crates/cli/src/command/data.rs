//! `backtest data`: what bars are held, and bars written to a file.

use serde_json::{Value, json};
use store::export::{Exporter, Format};
use store::progress::Progress;
use store::{Held, Range, Store};

use crate::args::{Data, Export, Global};
use crate::fail::{Code, Fail};
use crate::table::{count, table};
use crate::talk::{self, Bar, Unit};
use crate::when;

pub(crate) async fn data(global: &Global, store: &Store, command: Data) -> Result<(), Fail> {
    match command {
        Data::List => list(global, store).await,
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
            talk::say(format!("wrote {} bars to {file}", count(rows)));
        }
    }
    Ok(())
}
