//! `backtest import`: each file read, checked and written in one transaction of its own.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use store::import::{BadRows, FileBars, ImportSpec, Report};
use store::progress::Progress;
use store::{Feed, Store, Written};
use tokio::sync::mpsc;

use crate::args::{self, Global, Import};
use crate::fail::{Code, Fail};
use crate::table::count;
use crate::talk::{self, Bar, Unit};
use crate::when;

/// Batches that may wait for the database.
const CHANNEL: usize = 4;

pub(crate) async fn import(global: &Global, store: &Store, args: Import) -> Result<(), Fail> {
    let mut documents = Vec::new();
    let mut failed = None;
    for path in &args.files {
        match import_one(global, store, &args, path.clone()).await {
            Ok(document) => documents.push(document),
            Err(fail) => {
                failed = Some(fail);
                break;
            }
        }
    }
    // What was imported before a file failed is kept, so it is said.
    if global.json && !(failed.is_some() && documents.is_empty()) {
        talk::json(&json!({ "place": store.place(), "files": documents }));
    }
    failed.map_or(Ok(()), Err)
}

async fn import_one(
    global: &Global,
    store: &Store,
    args: &Import,
    path: PathBuf,
) -> Result<Value, Fail> {
    let file = FileBars::open(&ImportSpec {
        path: path.clone(),
        symbol: args.symbol.clone(),
        timeframe: args.timeframe,
        columns: args.columns.clone(),
        bad_rows: match args.bad_rows {
            args::BadRows::Refuse => BadRows::Refuse,
            args::BadRows::Skip => BadRows::Skip,
        },
    })?;
    let (symbol, timeframe) = (file.symbol().to_owned(), file.timeframe());
    if global.verbose > 0 {
        talk::say(format!("{}: {}", path.display(), file.describe()));
    }
    let bar = Bar::new(Unit::Bytes, global.json);
    let (written, report) = write_file(store, file, bar).await?;
    let series = (symbol.as_str(), timeframe.to_string());
    if !global.json {
        say_imported(&path, &series, written.rows, &report);
    }
    Ok(document(&path, &series, written.rows, &report))
}

/// Reads an opened file and writes its bars, whole or not at all.
pub(crate) async fn write_file(
    store: &Store,
    file: FileBars,
    progress: impl Progress + 'static,
) -> Result<(Written, Report), Fail> {
    let (symbol, timeframe) = (file.symbol().to_owned(), file.timeframe());
    let (sender, receiver) = mpsc::channel(CHANNEL);
    let reader = tokio::task::spawn_blocking(move || {
        let rows = &mut |rows| sender.blocking_send(Feed::Rows(rows)).is_ok();
        let read = file.read(&progress, rows);
        // A receiver that is gone has failed itself, and says why.
        let _ = sender.blocking_send(match &read {
            Ok(_) => Feed::End,
            Err(error) => Feed::Abort(error.to_string()),
        });
        read
    });
    let written = store.write_bars(&symbol, timeframe, receiver).await;
    let report = reader.await.map_err(|e| Fail::new(Code::Bug, e))?;
    // When the database failed first, the reader only noticed that nobody listens.
    let aborted = matches!(&written, Ok(_) | Err(store::Error::Aborted(_)));
    match (written, report) {
        (_, Err(error)) if aborted => Err(error.into()),
        (Err(error), _) => Err(error.into()),
        (Ok(written), report) => Ok((written, report?)),
    }
}

fn say_imported(path: &Path, (symbol, timeframe): &(&str, String), rows: u64, report: &Report) {
    let range = match (report.from_us, report.to_us) {
        (Some(from), Some(to)) => format!(", {} to {}", when::show(from), when::show(to)),
        _ => String::new(),
    };
    let name = path.display();
    talk::data(&format!("{name}: {} bars of {symbol} {timeframe}{range}", count(rows)));
    if report.rounded > 0 {
        talk::say(format!("  {} values were rounded to 8 places", count(report.rounded)));
    }
    if let Some(beside) = &report.refused_file {
        let bad = count(report.bad.total());
        talk::say(format!("  {bad} bad rows were left out, see {}", beside.display()));
    }
}

fn document(
    path: &Path,
    (symbol, timeframe): &(&str, String),
    rows: u64,
    report: &Report,
) -> Value {
    json!({
        "file": path.display().to_string(),
        "symbol": symbol,
        "timeframe": timeframe,
        "bars": rows,
        "from": report.from_us.map(when::iso),
        "to": report.to_us.map(when::iso),
        "rounded": report.rounded,
        "bad_rows": report.bad.total(),
        "refused_file": report.refused_file.as_ref().map(|p| p.display().to_string()),
    })
}
