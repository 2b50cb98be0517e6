//! `backtest check`: the cases of baseline files run again, and every difference from what they expect said.
//! Nothing is kept in the database; bars come from it, from a file, or from the synthetic generator.

mod baseline;
mod compare;
mod edit;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use clap::Parser;
use serde_json::json;
use sim::Run;
use store::export::write_file;
use store::import::{FileBars, ImportError, ImportSpec};
use store::progress::Silent;
use store::{LoadAsk, Loaded, Store, TradeRow};

use self::baseline::{Baseline, Case, Data};
use self::compare::{Got, Verdict};
use crate::args::{self, Cli, Command, Global};
use crate::command::diff::trade_line;
use crate::command::import;
use crate::command::run::{self, Prepared};
use crate::fail::{Code, Fail};
use crate::report;
use crate::synthetic;
use crate::table::counted;
use crate::talk::{self, Bar, Unit};

/// Cases that run at once.
const AT_ONCE: usize = 16;
/// Where baselines lie when no file is named.
const FOLDER: &str = "baselines";

/// The user's database is opened, into `opened`, when a case wants its bars.
pub(crate) async fn check(
    global: &Global,
    opened: &OnceLock<Store>,
    args: args::Check,
) -> Result<(), Fail> {
    let mut stores = Stores { global, opened, held: HashMap::new() };
    if let Some(strategy) = &args.record {
        return record(&mut stores, &args, strategy).await;
    }
    let files = if args.files.is_empty() { found()? } else { args.files.clone() };
    // All of them first: a mistake in the last one is no reason to run the others for nothing.
    let mut baselines =
        files.iter().map(|path| Baseline::read(path)).collect::<Result<Vec<_>, Fail>>()?;
    let mut verdicts = Vec::new();
    for (path, baseline) in files.iter().zip(&mut baselines) {
        verdicts.extend(run_all(&mut stores, path, baseline, args.update).await?);
        if args.update {
            baseline.write(path)?;
            talk::say(format!("wrote {}", path.display()));
        }
    }
    let told = tell(global, &verdicts);
    let Some(path) = &args.junit else { return told };
    let written = write_file(path, compare::junit(&verdicts).as_bytes());
    if let (Err(_), Err(error)) = (&told, &written) {
        // What the gate found is how the command ends.
        talk::say(format!("error: {error}"));
    }
    told.and(written.map_err(Fail::from))
}

fn found() -> Result<Vec<PathBuf>, Fail> {
    let listed = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = listed
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Fail::data(format!("there is no baseline in `{FOLDER}`"))
            .hint("write one with `backtest check --record STRATEGY --synthetic 10000`"));
    }
    Ok(files)
}

/// Runs all cases of one file, several at a time, and answers in the file's order.
async fn run_all(
    stores: &mut Stores<'_>,
    path: &Path,
    baseline: &mut Baseline,
    update: bool,
) -> Result<Vec<Verdict>, Fail> {
    let mut verdicts = Vec::new();
    while verdicts.len() < baseline.cases.len() {
        let mut running = Vec::new();
        for case in baseline.cases.iter().skip(verdicts.len()).take(AT_ONCE) {
            // Bars of one file or seed are made once for all cases that name them.
            let source = stores.of(path, case).await.map_err(beside_the_baseline);
            let case = case.clone();
            let base = path.to_owned();
            running.push(tokio::spawn(async move { run_case(source?, &base, &case).await }));
        }
        for task in running {
            let (nth, got) = (verdicts.len(), task.await.map_err(|e| Fail::new(Code::Bug, e))?);
            if let (true, Ok(got)) = (update, &got) {
                baseline.expect(nth, path, got)?;
            }
            verdicts.push(Verdict::new(path, &baseline.cases[nth], got));
        }
    }
    Ok(verdicts)
}

/// The hint of a missing file, which nobody typed.
fn beside_the_baseline(fail: Fail) -> Fail {
    let is_missing = matches!(fail.error.downcast_ref(), Some(ImportError::Io { cause, .. })
        if cause.kind() == std::io::ErrorKind::NotFound);
    if is_missing {
        fail.hint("look at `path` in its [case.data], which is from the baseline's folder")
    } else {
        fail
    }
}

/// What one case comes to now.
async fn run_case(source: Source, base: &Path, case: &Case) -> Result<Got, Fail> {
    let run = case.run(base)?;
    let prepared = Prepared::new(&run.strategy, &run.choice)?;
    let (choice, definition) = (&run.choice, &prepared.definition);
    let ask = match &source.symbol {
        Some(symbol) => run::ask_of(choice, definition, symbol.clone())?,
        None => run::ask(&source.store, choice, definition).await?,
    };
    let loaded = source.store.load(&ask, &Bar::new(Unit::Rows, true)).await?;
    let outcome = prepared.simulate(Arc::clone(&loaded.bars)).await?;
    let run = outcome.map_err(|failure| Fail::data(format!("the run failed: {failure}")))?;
    Ok(got(&prepared, &ask, &loaded, &run))
}

fn got(prepared: &Prepared, ask: &LoadAsk, loaded: &Loaded, run: &Run) -> Got {
    let trades = run.trades.iter().map(|t| trade_line(&TradeRow::of(&ask.symbol, t))).collect();
    let metrics = report::metrics_json(run, &prepared.rules, loaded);
    Got::new(prepared, &ask.symbol, &loaded.fingerprint, &metrics, trades)
}

/// Where a case's bars are, and the symbol they have when they are not in the user's database.
#[derive(Clone)]
struct Source {
    store: Store,
    symbol: Option<String>,
}

/// Stores that were opened, by the bars they hold (`None`: the user's) and, of a file, the symbol it was read as.
struct Stores<'a> {
    global: &'a Global,
    opened: &'a OnceLock<Store>,
    held: HashMap<(Option<Data>, Option<String>), Source>,
}

impl Stores<'_> {
    async fn of(&mut self, base: &Path, case: &Case) -> Result<Source, Fail> {
        let key = match &case.data {
            Some(Data::File { path }) => {
                let path = base.parent().unwrap_or(Path::new("")).join(path);
                (Some(Data::File { path }), case.symbol.clone())
            }
            data => (data.clone(), None),
        };
        if let Some(source) = self.held.get(&key) {
            return Ok(source.clone());
        }
        let source = match &key.0 {
            None => {
                let store = super::open(self.global, self.opened).await?.clone();
                Source { store, symbol: None }
            }
            Some(Data::Synthetic { seed, minutes }) => synthetic_store(*seed, *minutes).await?,
            Some(Data::File { path }) => file_store(path, key.1.clone()).await?,
        };
        self.held.insert(key, source.clone());
        Ok(source)
    }
}

async fn synthetic_store(seed: u64, minutes: usize) -> Result<Source, Fail> {
    let minutes = synthetic::limited(minutes).map_err(Fail::data)?;
    let store = Store::open("sqlite::memory:").await?;
    synthetic::write(&store, seed, minutes, |_| {}).await?;
    Ok(Source { store, symbol: Some(synthetic::SYMBOL.to_owned()) })
}

async fn file_store(path: &Path, symbol: Option<String>) -> Result<Source, Fail> {
    let mut spec = ImportSpec::new(path);
    spec.symbol = symbol;
    let file = FileBars::open(&spec)?;
    let symbol = file.symbol().to_owned();
    let store = Store::open("sqlite::memory:").await?;
    import::write_file(&store, file, Silent).await?;
    Ok(Source { store, symbol: Some(symbol) })
}

/// Prints every verdict and ends as the worst of them asks.
fn tell(global: &Global, verdicts: &[Verdict]) -> Result<(), Fail> {
    let failed = verdicts.iter().filter(|v| v.is_difference()).count();
    let broken = verdicts.iter().filter(|v| v.is_broken()).count();
    if global.json {
        let cases: Vec<_> = verdicts.iter().map(Verdict::json).collect();
        talk::json(&json!({ "cases": cases, "failed": failed, "could_not_run": broken }));
    } else {
        for verdict in verdicts {
            talk::data(&verdict.text());
        }
        let passed = verdicts.len() - failed - broken;
        talk::data(&format!("{passed} passed, {failed} failed, {broken} could not run"));
    }
    if std::env::var("GITHUB_ACTIONS").is_ok_and(|v| v == "true") {
        verdicts.iter().filter_map(Verdict::annotation).for_each(talk::say);
    }
    let all = counted(verdicts.len() as u64, "case");
    if broken > 0 {
        return Err(Fail::data(format!("{broken} of {all} could not run")));
    }
    if failed > 0 {
        let message = format!("{failed} of {all} not as expected");
        return Err(Fail::new(Code::Gate, anyhow::anyhow!(message)).hint(
            "if the change is meant, take it over with `backtest check --update` and review the diff",
        ));
    }
    Ok(())
}

/// Adds a case to a baseline file, with what it comes to now as its expectations.
async fn record(stores: &mut Stores<'_>, args: &args::Check, strategy: &str) -> Result<(), Fail> {
    let name = run::definition(strategy)?.name;
    let path = match args.files.as_slice() {
        [] => Path::new(FOLDER).join(format!("{name}.toml")),
        [path] => path.clone(),
        _ => return Err(Fail::usage("--record writes to one file").hint("name one FILE or none")),
    };
    let mut baseline = if path.exists() { Baseline::read(&path)? } else { Baseline::default() };
    let mut case = Case::of(args, strategy, &name, &path)?;
    let (first, mut nth) = (case.name.clone(), 1);
    while baseline.cases.iter().any(|c| c.name == case.name) {
        nth += 1;
        case.name = format!("{first} ({nth})");
    }
    // Before the run: its files are named as seen from there, and `baselines/..` leads nowhere without it.
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    args.choice.rules.told(|_| false).into_iter().for_each(talk::say);
    let source = stores.of(&path, &case).await?;
    let got = run_case(source, &path, &case).await?;
    let (name, nth) = (case.name.clone(), baseline.cases.len());
    baseline.cases.push(case);
    baseline.expect(nth, &path, &got)?;
    baseline.write(&path)?;
    let file = path.display().to_string();
    if stores.global.json {
        talk::json(&json!({ "file": file, "case": name, "trades": got.trades.len() }));
    } else {
        talk::data(&format!("{file}: recorded `{name}`"));
        // Those of the folder are found by themselves.
        let named = if path.parent() == Some(Path::new(FOLDER)) {
            String::new()
        } else {
            format!(" {}", talk::typed(&file))
        };
        talk::say(format!("from now on: backtest check{named}"));
    }
    Ok(())
}

fn make_folder(folder: &Path) -> Result<(), Fail> {
    std::fs::create_dir_all(folder).map_err(|error| {
        let what = format!("cannot make the folder `{}`", folder.display());
        Fail::new(Code::Data, anyhow::Error::new(error).context(what))
    })
}

/// A `run` command line, parsed as if it had been typed.
fn parsed(line: Vec<String>) -> Result<args::Run, Fail> {
    let cli = Cli::try_parse_from(line).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        Fail::data(first.trim_start_matches("error: ").to_owned())
    })?;
    match cli.command {
        Command::Run(run) => Ok(*run),
        _ => Err(Fail::new(Code::Bug, anyhow::anyhow!("a case is no run"))),
    }
}
