//! Variants on their way through the kernel: bound to their parameters, cut into batches that memory holds, walked tile
//! by tile. No bit is made and no trade is followed here.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::expr::{Bound, Series, Term, Truth};
use crate::run::{self, Failure};
use crate::signals::{self, SignalRules, Signals};

use super::columns::Columns;
use super::flags::Flags;
use super::money::{Gap, Market};
use super::pyramid::STRETCH;
use super::rules::{self, RuleBits};
use super::shares;
use super::tape::Tape;
use super::walk::{Distance, Job, Near, Walker};
use super::{Fault, Outcome, Variant, Walked};

/// A variant whose rules have their parameters.
pub(super) struct Ready<'v> {
    pub(super) index: usize,
    variant: &'v Variant,
    signals: Signals,
    /// `None` when the reference loop takes it.
    market: Option<Market>,
}

/// What is made of every variant of a batch.
pub(super) struct Work<'a> {
    pub(super) tape: &'a Tape<'a>,
    pub(super) tile: usize,
    /// Whether trades are kept.
    pub(super) list: bool,
    pub(super) sink: &'a (dyn Fn(usize, Result<Walked, Fault>) + Sync),
    pub(super) cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl<'v> Ready<'v> {
    pub(super) fn new(
        index: usize,
        variant: &'v Variant,
        rules: &SignalRules,
        kernel: bool,
    ) -> Result<Self, Fault> {
        let signals = rules.bind(&variant.params)?;
        let market = if kernel { Market::new(&variant.rules, signals.size) } else { None };
        Ok(Self { index, variant, signals, market })
    }

    fn rule(&self, rule: usize) -> Option<&Truth> {
        match self.signals.rules[rule].as_ref().map(Bound::term) {
            Some(Term::Rule(truth)) => Some(truth),
            _ => None,
        }
    }

    fn rules(&self) -> impl Iterator<Item = &Truth> {
        (0..4).filter_map(|rule| self.rule(rule))
    }

    /// What a level's distance is read from, where that varies.
    fn varying(&self, level: usize) -> Option<&Series> {
        match self.signals.levels[level].as_ref()? {
            signals::Gap::Quote(bound) => match bound.term() {
                Term::Number(series) => Some(series),
                Term::Rule(_) => None,
            },
            signals::Gap::Fraction(_) => None,
        }
    }

    fn distance(&self, level: usize, bits: &RuleBits<'_>) -> Option<Distance<'_>> {
        Some(match self.signals.levels[level].as_ref()? {
            signals::Gap::Fraction(fraction) => Distance::Fixed(Gap::fraction(fraction)),
            signals::Gap::Quote(_) => Distance::Varying(bits.distance(self.varying(level)?)?),
        })
    }

    /// Every column that its rules and levels read, some of them more than once.
    fn columns<'a>(&'a self, known: &'a Columns<'_>) -> Vec<&'a Series> {
        let mut found = Vec::new();
        self.rules().for_each(|rule| rules::columns(rule, known, &mut |column| found.push(column)));
        for level in (0..3).filter_map(|level| self.varying(level)) {
            rules::columns_of(level, known, &mut |column| found.push(column));
        }
        found
    }

    fn job(&self, market: &Market, bits: &RuleBits<'_>, tape: &Tape<'_>) -> Job<'_> {
        Job {
            rules: &self.variant.rules,
            market: market.clone(),
            distances: [0, 1, 2].map(|level| self.distance(level, bits)),
            time_stop: self.signals.time_stop_us.map(|us| tape.lapse(us)),
        }
    }
}

/// How many of `ready`, from the first on, read few enough columns between them; at least one.
pub(super) fn that_fit(ready: &[Ready<'_>], columns: &Columns<'_>) -> usize {
    let mut keys: HashSet<&str> = HashSet::new();
    let fit = ready.iter().take_while(|ready| {
        keys.extend(ready.columns(columns).into_iter().map(|series| &*series.key));
        keys.len() <= columns.most
    });
    fit.count().max(1)
}

/// Walks a batch. Results go out from the threads as they are ready.
pub(super) fn walk_all(work: &Work<'_>, columns: &mut Columns<'_>, batch: &[Ready<'_>]) {
    let kernel: Vec<(&Ready<'_>, &Market)> =
        batch.iter().filter_map(|ready| Some((ready, ready.market.as_ref()?))).collect();
    let mut seen: HashSet<&str> = HashSet::new();
    let read = kernel.iter().flat_map(|(ready, _)| ready.columns(columns));
    let series: Vec<Series> = read.filter(|series| seen.insert(&series.key)).cloned().collect();
    columns.prepare(&series.iter().collect::<Vec<_>>());
    let columns = &*columns;
    shares::shares(&kernel, rayon::current_num_threads(), |(ready, _)| ready.rules())
        .into_par_iter()
        .for_each(|share| walk_share(work, columns, &share));
    batch.par_iter().filter(|ready| ready.market.is_none()).for_each(|ready| {
        if !(work.cancelled)() {
            (work.sink)(ready.index, reference(work.tape, ready).map_err(Fault::Run));
        }
    });
}

/// Walks some variants side by side: all of them over one tile of bars before the next, so that the tile's prices and
/// bits are in this core's cache.
fn walk_share(work: &Work<'_>, columns: &Columns<'_>, share: &[(&Ready<'_>, &Market)]) {
    let rules: Vec<&Truth> = share.iter().flat_map(|(ready, _)| ready.rules()).collect();
    let distances: Vec<&Series> = share
        .iter()
        .flat_map(|(ready, _)| (0..3).filter_map(|level| ready.varying(level)))
        .collect();
    // Prices of a longer one would not stay near.
    let tile_bars = work.tile.min(STRETCH);
    let mut bits = RuleBits::new(&rules, &distances, columns, tile_bars);
    let places: Vec<[usize; 4]> = share
        .iter()
        .map(|(ready, _)| [0, 1, 2, 3].map(|rule| bits.place(ready.rule(rule))))
        .collect();
    let jobs = share.iter().map(|(ready, market)| ready.job(market, &bits, work.tape));
    let mut walkers: Vec<Walker<'_>> =
        jobs.map(|job| Walker::new(job, work.tape, work.list)).collect();
    let shorts: Vec<bool> = share.iter().map(|(ready, _)| ready.rule(2).is_some()).collect();
    let (mut flags, mut near) = (Flags::new(), Near::new(work.tape));
    let n_bars = work.tape.bars.len();
    for from in (0..n_bars).step_by(tile_bars) {
        if (work.cancelled)() {
            return;
        }
        let tile = from..(from + tile_bars).min(n_bars);
        near.read(&tile);
        bits.advance(&tile, &mut near.distances);
        for ((walker, places), shorts) in walkers.iter_mut().zip(&places).zip(&shorts) {
            let rules = places.map(|place| bits.words(place, &tile));
            flags.read(from, rules, walker.decisions(work.tape), *shorts);
            walker.advance(&flags, &mut near);
        }
    }
    for (walker, (ready, _)) in walkers.into_iter().zip(share) {
        let walked = walker.finish().map_or_else(|| reference(work.tape, ready), Ok);
        (work.sink)(ready.index, walked.map_err(Fault::Run));
    }
}

fn reference(tape: &Tape<'_>, ready: &Ready<'_>) -> Result<Walked, Failure> {
    let mut signals = ready.signals.clone();
    let run = run::run(tape.bars, &mut signals, &ready.variant.rules)?;
    Ok((Outcome::from(&run), run.trades))
}
