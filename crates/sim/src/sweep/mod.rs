//! Many variants of one strategy over one symbol's bars, on every core: the numbers of the reference loop, digit for digit.
//! The only room that knows threads. No database, clock or terminal; results leave through a closure as they are ready.

mod batch;
mod bits;
mod books;
mod columns;
mod flags;
mod formula;
mod levels;
mod made;
mod marks;
mod money;
mod pyramid;
mod round;
mod rules;
mod shares;
mod tape;
mod walk;

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use rust_decimal::Decimal;

use crate::bars::Bars;
use crate::expr::ExprError;
use crate::metrics::Metrics;
use crate::order::{RejectReason, Trade};
use crate::params::Params;
use crate::rules::Rules;
use crate::run::{self, Failure, Run};
use crate::signals::SignalRules;
use crate::strategy::Strategy;

use batch::{Ready, Work};
use bits::WORD;
use columns::Columns;
use tape::Tape;

/// Most variants of one sweep.
pub const MAX_VARIANTS: usize = 100_000_000;
/// Most variants that are prepared at once.
pub const MAX_BATCH: usize = 65_536;
/// Bars of the smallest and the largest tile.
pub const TILE_BARS: (usize, usize) = (64, 1 << 20);
/// Most threads.
pub const MAX_THREADS: usize = 1_024;
/// Least memory for columns and bits, bytes.
pub const MIN_MEMORY: usize = 1 << 20;

/// One point of a sweep: the strategy's parameters and the market's rules, which [`Rules::check`] has passed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    pub params: Params,
    pub rules: Rules,
}

/// What is kept of a variant: everything of its [`Run`] but lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub metrics: Metrics,
    /// How many orders were not made, in the order of [`RejectReason::ALL`].
    pub rejections: [usize; RejectReason::ALL.len()],
    /// Bars whose prices leave open what happened first.
    pub ambiguous_bars: usize,
    /// Traded bars at whose close a position was held.
    pub bars_held: usize,
    /// All fees, quote units.
    pub fees: Decimal,
    /// Profit of the open position at the last close: no exit cost, entry fee included.
    pub open_pnl: Decimal,
    /// Close of the last bar over open of the first, minus 1, per cent.
    pub buy_and_hold: f64,
    /// Positions still open at the end.
    pub open_trades: usize,
}

impl From<&Run> for Outcome {
    fn from(run: &Run) -> Self {
        let count = |reason| run.rejections.iter().filter(|r| r.reason == reason).count();
        Self {
            metrics: run.metrics.clone(),
            rejections: RejectReason::ALL.map(count),
            ambiguous_bars: run.ambiguous_bars,
            bars_held: run.bars_held,
            fees: run.fees,
            open_pnl: run.open_pnl,
            buy_and_hold: run.buy_and_hold,
            open_trades: run.trades.iter().filter(|trade| trade.exit.is_none()).count(),
        }
    }
}

/// Why a variant has no outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// A parameter's value makes no sense where it stands.
    #[error(transparent)]
    Expression(#[from] Box<ExprError>),
    #[error(transparent)]
    Run(#[from] Failure),
}

impl From<ExprError> for Fault {
    fn from(error: ExprError) -> Self {
        Self::Expression(Box::new(error))
    }
}

/// Which way a variant goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// By its signals and in integers; should its money pass 23 billion on the way, by the reference loop after all.
    Kernel,
    /// Bar by bar, for the reason given.
    Reference(&'static str),
}

/// The way that variants of expressions go under `rules`.
#[must_use]
pub fn path(bars: &Bars, rules: &Rules) -> Path {
    if !prices_fit(bars) {
        return Path::Reference("a price is above 23 billion");
    }
    match money::Market::new(rules, crate::order::Size::Equity(Decimal::ONE)) {
        Some(_) => Path::Kernel,
        None => Path::Reference("capital, tick, lot or least notional is above 23 billion"),
    }
}

fn prices_fit(bars: &Bars) -> bool {
    bars.highest() <= money::MAX_PRICE_E8
}

/// How a sweep is spread out. None of it changes a number.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Threads; 0 for one a core.
    pub threads: usize,
    /// Bars that all variants of a thread pass before the next ones, a multiple of 64; prices and signals of so many
    /// should fit a core's cache.
    pub tile: usize,
    /// Variants walked at once; fewer where their columns do not fit `memory`.
    pub batch: usize,
    /// Bytes for columns of indicators; not less than one variant needs.
    pub memory: usize,
    /// Set it to stop: variants not yet done are left out.
    pub cancel: Option<&'a AtomicBool>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { threads: 0, tile: 4_096, batch: 512, memory: 160 << 20, cancel: None }
    }
}

/// A sweep that could not begin.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error("{name} must be {must}, not {given}")]
    Option { name: &'static str, must: String, given: usize },
    #[error("the threads could not be started")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl Options<'_> {
    fn check(&self, n_variants: usize) -> Result<(), SweepError> {
        let within = |name, given: usize, from: usize, to: usize| {
            let must = format!("from {from} to {to}");
            if (from..=to).contains(&given) {
                Ok(())
            } else {
                Err(SweepError::Option { name, must, given })
            }
        };
        within("the number of variants", n_variants, 0, MAX_VARIANTS)?;
        within("threads", self.threads, 0, MAX_THREADS)?;
        within("batch", self.batch, 1, MAX_BATCH)?;
        within("tile", self.tile, TILE_BARS.0, TILE_BARS.1)?;
        within("memory", self.memory, MIN_MEMORY, usize::MAX)?;
        if !self.tile.is_multiple_of(WORD) {
            let must = format!("a multiple of {WORD}");
            return Err(SweepError::Option { name: "tile", must, given: self.tile });
        }
        Ok(())
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }

    fn pool(&self) -> Result<rayon::ThreadPool, SweepError> {
        Ok(rayon::ThreadPoolBuilder::new().num_threads(self.threads).build()?)
    }
}

/// Simulates every variant of `signal_rules` on `bars`. `sink` takes each result with the variant's index, from any
/// thread and in any order; every result equals that of [`run::run`].
///
/// # Errors
/// [`SweepError`] before anything is simulated; what fails in one variant goes to `sink`.
pub fn sweep(
    bars: &Bars,
    signal_rules: &SignalRules,
    variants: &[Variant],
    options: &Options<'_>,
    sink: &(dyn Fn(usize, Result<Outcome, Fault>) + Sync),
) -> Result<(), SweepError> {
    walk(bars, signal_rules, variants, options, false, &|index, result| {
        sink(index, result.map(|(outcome, _)| outcome));
    })
}

/// As [`sweep`], but what goes to `sink` are the trades of each variant, in order of their entries; they equal those of
/// [`run::run`].
///
/// # Errors
/// As [`sweep`].
pub fn trades(
    bars: &Bars,
    signal_rules: &SignalRules,
    variants: &[Variant],
    options: &Options<'_>,
    sink: &(dyn Fn(usize, Result<Vec<Trade>, Fault>) + Sync),
) -> Result<(), SweepError> {
    walk(bars, signal_rules, variants, options, true, &|index, result| {
        sink(index, result.map(|(_, trades)| trades));
    })
}

/// What comes of a variant, and its trades where they are kept.
type Walked = (Outcome, Vec<Trade>);

/// Walks every variant; with `list`, trades are kept.
fn walk(
    bars: &Bars,
    signal_rules: &SignalRules,
    variants: &[Variant],
    options: &Options<'_>,
    list: bool,
    sink: &(dyn Fn(usize, Result<Walked, Fault>) + Sync),
) -> Result<(), SweepError> {
    options.check(variants.len())?;
    let kernel = prices_fit(bars);
    let SignalRules { stop_loss, take_profit, trailing_stop, short_entry, .. } = signal_rules;
    let levels = [stop_loss, take_profit, trailing_stop];
    let guarded = short_entry.is_some() || levels.into_iter().any(Option::is_some);
    let tape = Tape::new(bars, guarded);
    let cancelled = || options.cancelled();
    let work = Work { tape: &tape, tile: options.tile, list, sink, cancelled: &cancelled };
    options.pool()?.install(|| {
        let mut columns = Columns::new(bars, options.memory);
        for (nth, part) in variants.chunks(options.batch).enumerate() {
            let first = nth * options.batch;
            let ready: Vec<Option<Ready<'_>>> = part
                .par_iter()
                .enumerate()
                .map(|(i, variant)| {
                    let ready = Ready::new(first + i, variant, signal_rules, kernel);
                    ready.map_err(|fault| sink(first + i, Err(fault))).ok()
                })
                .collect();
            let ready: Vec<Ready<'_>> = ready.into_iter().flatten().collect();
            let mut rest = &ready[..];
            while !rest.is_empty() && !options.cancelled() {
                let (batch, behind) = rest.split_at(batch::that_fit(rest, &columns));
                rest = behind;
                batch::walk_all(&work, &mut columns, batch);
            }
        }
    });
    Ok(())
}

/// Simulates variants of a strategy that is no set of signals, each by the reference loop. `make` builds the
/// strategy of the variant of an index.
///
/// # Errors
/// [`SweepError`] before anything is simulated; what fails in one variant goes to `sink`.
pub fn sweep_reference(
    bars: &Bars,
    variants: &[Variant],
    make: &(dyn Fn(usize) -> Box<dyn Strategy> + Sync),
    options: &Options<'_>,
    sink: &(dyn Fn(usize, Result<Outcome, Fault>) + Sync),
) -> Result<(), SweepError> {
    options.check(variants.len())?;
    options.pool()?.install(|| {
        variants.par_iter().enumerate().for_each(|(index, variant)| {
            if !options.cancelled() {
                let run = run::run(bars, &mut *make(index), &variant.rules);
                sink(index, run.map(|run| Outcome::from(&run)).map_err(Fault::Run));
            }
        });
    });
    Ok(())
}
