//! `backtest import`: each file read, checked and written in one transaction of its own, several at once where that
//! is quicker.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sim::timeframe::Timeframe;
use store::import::{BadRows, FileBars, ImportSpec, Report};
use store::progress::Progress;
use store::{Edition, Feed, Store, Written};
use tokio::sync::mpsc;

use crate::again::until_done;
use crate::args::{self, Global, Import};
use crate::fail::{Code, Fail};
use crate::table::counted;
use crate::talk::{self, Bar, Unit};
use crate::when;

/// Batches that may wait for the database.
const CHANNEL: usize = 4;
/// How often a file is begun again that the server undid for another program's sake.
const MORE_TRIES: usize = 5;

pub(crate) async fn import(global: &Global, store: &Store, args: Import) -> Result<(), Fail> {
    let work = Work {
        store,
        args: &args,
        bar: Arc::new(Bar::new(Unit::Bytes, global.json)),
        broken: AtomicBool::new(false),
        series: Mutex::default(),
    };
    work.begin();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = at_once(store.edition(), cores, store.connections());
    let mut done = stream::iter(&args.files).map(|path| work.import(path)).buffered(at_once);
    let (mut documents, mut fails, mut left) = (Vec::new(), Fails::default(), Vec::new());
    // In the order of the command line; what goes wrong with one file keeps no other from being tried.
    for path in &args.files {
        match done.next().await.flatten() {
            None => left.push(path.as_path()),
            Some(Ok(imported)) => {
                work.bar.aside(|| imported.say(global));
                documents.push(imported.document());
            }
            Some(Err(fail)) => fails.add(path, fail, &work),
        }
    }
    work.bar.end();
    // What was imported before a file failed is kept, so it is said.
    if global.json && !(fails.first.is_some() && documents.is_empty()) {
        talk::json(&json!({ "place": store.place(), "files": documents }));
    }
    fails.end(&left, args.files.len())
}

/// How many files are imported at once: as many as there are cores, and connections. SQLite has one writer; and on
/// TimescaleDB whoever begins a chunk holds up, until its end, all others that would.
fn at_once(edition: Edition, cores: usize, connections: usize) -> usize {
    match edition {
        Edition::Postgres => cores.min(connections),
        Edition::Sqlite | Edition::TimescaleApache | Edition::TimescaleCommunity => 1,
    }
}

/// The files that were not imported.
#[derive(Default)]
struct Fails<'a> {
    first: Option<Fail>,
    paths: Vec<&'a Path>,
}

impl<'a> Fails<'a> {
    /// Says what is wrong with one of several files; that of a single file is how the command ends.
    fn add(&mut self, path: &'a Path, fail: Fail, work: &Work<'_>) {
        if work.args.files.len() > 1 {
            work.bar.aside(|| talk::say(&fail));
        }
        self.first.get_or_insert(fail);
        self.paths.push(path);
    }

    /// Ends as the first of them did; `left` were not begun, of `files` in all.
    fn end(self, left: &[&Path], files: usize) -> Result<(), Fail> {
        let Some(first) = self.first else { return Ok(()) };
        if files == 1 {
            return Err(first);
        }
        let names = |paths: &[&Path]| {
            let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            names.join(", ")
        };
        let mut message =
            format!("{} of {files} files failed: {}", self.paths.len(), names(&self.paths));
        if !left.is_empty() {
            message += &format!("; {} not begun: {}", left.len(), names(left));
        }
        Err(Fail::new(first.code, anyhow::anyhow!("{message}")))
    }
}

/// Whoever holds it writes.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// What all files of one command share.
struct Work<'a> {
    store: &'a Store,
    args: &'a Import,
    bar: Arc<Bar>,
    /// Whether the database failed: then no other file is begun, for it would as well.
    broken: AtomicBool,
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
        if self.broken.load(Ordering::Relaxed) {
            return None;
        }
        let done = self.import_one(path).await;
        if done.as_ref().is_err_and(|fail| fail.code == Code::Database) {
            self.broken.store(true, Ordering::Relaxed);
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
        let (written, report) = write_file(self.store, file, Part::of(&self.bar)).await?;
        let (path, rows) = (path.to_owned(), written.rows);
        Ok(Imported { path, symbol, timeframe, described, rows, report })
    }
}

/// One file's part of the bar of all; what is read once more is not counted once more.
struct Part {
    bar: Arc<Bar>,
    /// Read since it was begun, the last time and at most.
    now: AtomicU64,
    most: AtomicU64,
}

impl Part {
    fn of(bar: &Arc<Bar>) -> Self {
        Self { bar: bar.clone(), now: AtomicU64::new(0), most: AtomicU64::new(0) }
    }
}

impl Progress for Part {
    fn begin(&self, _what: &str, _total: Option<u64>) {
        self.now.store(0, Ordering::Relaxed);
    }

    fn advance(&self, units: u64) {
        let now = self.now.fetch_add(units, Ordering::Relaxed) + units;
        let most = self.most.fetch_max(now, Ordering::Relaxed);
        self.bar.advance(now.saturating_sub(most));
    }

    fn end(&self) {}

    fn note(&self, text: &str) {
        self.bar.aside(|| self.bar.note(text));
    }
}

/// Reads an opened file and writes its bars, whole or not at all. Where the server undid that for another program's sake,
/// as in a deadlock with a job that compresses, it is begun again, a few times.
pub(crate) async fn write_file(
    store: &Store,
    file: FileBars,
    progress: impl Progress + 'static,
) -> Result<(Written, Report), Fail> {
    let (file, progress) = (Arc::new(file), Arc::new(progress));
    let mut tries = 0;
    let again = |error: &store::Error, _| {
        tries += 1;
        let Some(why) = error.undone().filter(|_| tries <= MORE_TRIES) else { return false };
        let (symbol, timeframe) = (file.symbol(), file.timeframe());
        progress.note(&format!("{symbol} {timeframe} is begun again: {why}"));
        true
    };
    until_done(again, || write_once(store, &file, &progress)).await?
}

/// The outer error is the database's, the inner one is not.
async fn write_once(
    store: &Store,
    file: &Arc<FileBars>,
    progress: &Arc<impl Progress + 'static>,
) -> Result<Result<(Written, Report), Fail>, store::Error> {
    let (sender, receiver) = mpsc::channel(CHANNEL);
    let (source, told) = (file.clone(), progress.clone());
    let reader = tokio::task::spawn_blocking(move || {
        let rows = &mut |rows| sender.blocking_send(Feed::Rows(rows)).is_ok();
        let read = source.read(&*told, rows);
        // A receiver that is gone has failed itself, and says why.
        let _ = sender.blocking_send(match &read {
            Ok(_) => Feed::End,
            Err(error) => Feed::Abort(error.to_string()),
        });
        read
    });
    let written = store.write_bars(file.symbol(), file.timeframe(), receiver).await;
    let report = match reader.await {
        Ok(report) => report,
        Err(error) => return Ok(Err(Fail::new(Code::Bug, error))),
    };
    // When the database failed first, the reader only noticed that nobody listens.
    let aborted = matches!(&written, Ok(_) | Err(store::Error::Aborted(_)));
    match (written, report) {
        (_, Err(error)) if aborted => Ok(Err(error.into())),
        (Err(error), _) => Err(error),
        (Ok(written), report) => Ok(report.map(|report| (written, report)).map_err(Fail::from)),
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
        let (bars, symbol, timeframe) = (counted(self.rows, "bar"), &self.symbol, self.timeframe);
        talk::data(&format!("{name}: {bars} of {symbol} {timeframe}{range}"));
        if report.rounded > 0 {
            talk::say(format!("  rounded {} to 8 places", counted(report.rounded, "value")));
        }
        if let Some(beside) = &report.refused_file {
            let bad = counted(report.bad.total(), "bad row");
            talk::say(format!("  left out {bad}, see {}", beside.display()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_files_at_once_than_there_are_connections() {
        assert_eq!(at_once(Edition::Postgres, 64, 8), 8);
        assert_eq!(at_once(Edition::Postgres, 2, 8), 2);
        assert_eq!(at_once(Edition::TimescaleCommunity, 64, 8), 1);
    }
}
