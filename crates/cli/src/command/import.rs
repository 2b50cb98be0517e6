//! `backtest import`: each file read, checked and written in one transaction of its own, several at once where that
//! is quicker.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sim::timeframe::Timeframe;
use store::import::{BadRows, FileBars, ImportSpec, Report};
use store::progress::Progress;
use store::{Edition, Feed, Store, Written};
use tokio::sync::mpsc;

use crate::args::{self, Global, Import};
use crate::fail::{Code, Fail};
use crate::table::count;
use crate::talk::{self, Bar, Unit};
use crate::when;

/// Batches that may wait for the database.
const CHANNEL: usize = 4;

pub(crate) async fn import(global: &Global, store: &Store, args: Import) -> Result<(), Fail> {
    let work = Work {
        store,
        args: &args,
        bar: Arc::new(Bar::new(Unit::Bytes, global.json)),
        failed: AtomicBool::new(false),
        series: Mutex::default(),
    };
    work.begin();
    let mut done =
        stream::iter(&args.files).map(|path| work.import(path)).buffered(at_once(store.edition()));
    let (mut documents, mut failed) = (Vec::new(), None);
    // In the order of the command line. What was begun beside a file that failed is finished, and said.
    while let Some(done) = done.next().await {
        match done {
            None => {}
            Some(Ok(imported)) => {
                work.bar.aside(|| imported.say(global));
                documents.push(imported.document());
            }
            Some(Err(fail)) if failed.is_none() => failed = Some(fail),
            Some(Err(fail)) => work.bar.aside(|| talk::say(fail)),
        }
    }
    work.bar.end();
    // What was imported before a file failed is kept, so it is said.
    if global.json && !(failed.is_some() && documents.is_empty()) {
        talk::json(&json!({ "place": store.place(), "files": documents }));
    }
    failed.map_or(Ok(()), Err)
}

/// How many files are imported at once. SQLite has one writer; and on TimescaleDB whoever begins a chunk holds up, until
/// its end, all others that would.
fn at_once(edition: Edition) -> usize {
    match edition {
        Edition::Postgres => std::thread::available_parallelism().map_or(1, usize::from),
        Edition::Sqlite | Edition::TimescaleApache | Edition::TimescaleCommunity => 1,
    }
}

/// Whoever holds it writes.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// What all files of one command share.
struct Work<'a> {
    store: &'a Store,
    args: &'a Import,
    bar: Arc<Bar>,
    /// Whether one failed: then no other is begun.
    failed: AtomicBool,
    /// Whose turn it is with a series: files of the same bars are written one after the other, the last one last.
    series: Mutex<HashMap<(String, Timeframe), Turn>>,
}

/// A file whose bars are kept.
struct Imported {
    path: PathBuf,
    symbol: String,
    timeframe: Timeframe,
    described: String,
    rows: u64,
    report: Report,
}

impl Work<'_> {
    fn begin(&self) {
        let name = match self.args.files.as_slice() {
            [path] => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            files => format!("{} files", files.len()),
        };
        // A file that is not there is told of when its turn comes.
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        self.bar.begin(&name, Some(self.args.files.iter().map(size).sum()));
    }

    /// `None` when it was not begun.
    async fn import(&self, path: &Path) -> Option<Result<Imported, Fail>> {
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let done = self.import_one(path).await;
        if done.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        Some(done)
    }

    async fn import_one(&self, path: &Path) -> Result<Imported, Fail> {
        let file = FileBars::open(&ImportSpec {
            path: path.to_owned(),
            symbol: self.args.symbol.clone(),
            timeframe: self.args.timeframe,
            columns: self.args.columns.clone(),
            bad_rows: match self.args.bad_rows {
                args::BadRows::Refuse => BadRows::Refuse,
                args::BadRows::Skip => BadRows::Skip,
            },
        })?;
        let (symbol, timeframe) = (file.symbol().to_owned(), file.timeframe());
        let described = file.describe();
        let turn = {
            let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
            series.entry((symbol.clone(), timeframe)).or_default().clone()
        };
        let _turn = turn.lock().await;
        let (written, report) = write_file(self.store, file, Part(self.bar.clone())).await?;
        let (path, rows) = (path.to_owned(), written.rows);
        Ok(Imported { path, symbol, timeframe, described, rows, report })
    }
}

/// One file's part of the bar of all.
struct Part(Arc<Bar>);

impl Progress for Part {
    fn begin(&self, _what: &str, _total: Option<u64>) {}

    fn advance(&self, units: u64) {
        self.0.advance(units);
    }

    fn end(&self) {}

    fn note(&self, text: &str) {
        self.0.note(text);
    }
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

impl Imported {
    fn say(&self, global: &Global) {
        let (report, name) = (&self.report, self.path.display());
        if global.verbose > 0 {
            talk::say(format!("{name}: {}", self.described));
        }
        if global.json {
            return;
        }
        let range = match (report.from_us, report.to_us) {
            (Some(from), Some(to)) => format!(", {} to {}", when::show(from), when::show(to)),
            _ => String::new(),
        };
        let (rows, symbol, timeframe) = (count(self.rows), &self.symbol, self.timeframe);
        talk::data(&format!("{name}: {rows} bars of {symbol} {timeframe}{range}"));
        if report.rounded > 0 {
            talk::say(format!("  {} values were rounded to 8 places", count(report.rounded)));
        }
        if let Some(beside) = &report.refused_file {
            let bad = count(report.bad.total());
            talk::say(format!("  {bad} bad rows were left out, see {}", beside.display()));
        }
    }

    fn document(&self) -> Value {
        let report = &self.report;
        json!({
            "file": self.path.display().to_string(),
            "symbol": self.symbol,
            "timeframe": self.timeframe.to_string(),
            "bars": self.rows,
            "from": report.from_us.map(when::iso),
            "to": report.to_us.map(when::iso),
            "rounded": report.rounded,
            "bad_rows": report.bad.total(),
            "refused_file": report.refused_file.as_ref().map(|p| p.display().to_string()),
        })
    }
}
