//! `backtest demo`: a synthetic year, imported once, and a ready strategy run on it, for the first five minutes.

use clap::Parser;
use sim::timeframe::Timeframe;
use store::Store;
use store::progress::Progress;

use crate::args::{Cli, Command, Global};
use crate::command::run;
use crate::fail::{Code, Fail, Signals};
use crate::synthetic::{self, SYMBOL, YEAR_MINUTES};
use crate::talk::{self, Bar, Unit};

/// The seed of the demo's year.
const SEED: u64 = 2025;
/// What to type next; the id has the width that keeps the columns apart.
const NEXT: &str = "
The bars are synthetic: they look like a market and are none. What to type next:
  backtest list                         what is kept
  backtest trades {id} every trade of it
  backtest run supertrend --symbol SYNTHETIC --timeframe 4h
  backtest strategy list                the ready strategies
  backtest import FILE                  your own bars: CSV, Binance .zip, Parquet, Feather
(`backtest` is target/release/backtest, or type `cargo run --release --` in its place)";

pub(crate) async fn demo(
    global: &Global,
    store: &Store,
    signals: &mut Signals,
) -> Result<(), Fail> {
    let unknown = |e: sim::timeframe::UnknownTimeframe| Fail::new(Code::Bug, e);
    let minute: Timeframe = "1m".parse().map_err(unknown)?;
    let held = store.held().await?;
    let whole = held
        .iter()
        .any(|h| h.symbol == SYMBOL && h.timeframe == minute && h.bars >= YEAR_MINUTES as u64);
    if whole {
        talk::say(format!("the synthetic year `{SYMBOL}` is already there"));
    } else {
        signals.cut(make_year(global, store)).await?;
    }
    let line = ["backtest", "run", "sma_cross", "--symbol", SYMBOL, "--timeframe", "1h"];
    let line = line.into_iter().chain(["--name", "demo"]);
    let Command::Run(args) = Cli::parse_from(line).command else {
        return Err(Fail::new(Code::Bug, anyhow::anyhow!("the demo's own command is no run")));
    };
    let id = run::run(global, store, *args, signals).await?;
    if !global.json {
        talk::say(NEXT.replace("{id}", &format!("{id:<21}")));
    }
    Ok(())
}

async fn make_year(global: &Global, store: &Store) -> Result<(), Fail> {
    talk::say(format!("making a synthetic year of 1-minute bars, `{SYMBOL}` (seed {SEED})"));
    let bar = Bar::new(Unit::Rows, global.json);
    bar.begin("importing", Some(YEAR_MINUTES as u64));
    let written = synthetic::write(store, SEED, YEAR_MINUTES, |rows| bar.advance(rows)).await;
    bar.end();
    talk::say(format!("imported {} bars", crate::table::count(written?.rows)));
    Ok(())
}
