//! Variants on their way through the kernel: bound to their parameters, cut into batches that memory holds, walked.
//! No bit is made and no trade is followed here.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::bars::Bars;
use crate::expr::{Bound, Series, Term, Truth};
use crate::order::Trade;
use crate::run::{self, Failure};
use crate::signals::{self, SignalRules, Signals};

use super::bits::WORD;
use super::columns::Columns;
use super::flags::Flags;
use super::money::{Gap, Market};
use super::rules::RuleBits;
use super::tape::Tape;
use super::walk::{self, Distance, Job};
use super::{Fault, Outcome, Variant};

/// A variant whose rules have their parameters.
pub(super) struct Ready<'v> {
    pub(super) index: usize,
    variant: &'v Variant,
    signals: Signals,
    /// `None` when the reference loop takes it.
    market: Option<Market>,
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

    /// The column that a level's distance is read from, where it is one.
    fn distance_column(&self, level: usize) -> Option<&Series> {
        match self.signals.levels[level].as_ref()? {
            signals::Gap::Quote(bound) => match bound.term() {
                Term::Number(series) => Some(series),
                Term::Rule(_) => None,
            },
            signals::Gap::Fraction(_) => None,
        }
    }

    fn distance_columns(&self) -> impl Iterator<Item = &Series> {
        (0..3).filter_map(|level| self.distance_column(level))
    }

    fn distance(&self, level: usize, columns: &mut Columns<'_>) -> Option<Distance> {
        Some(match self.signals.levels[level].as_ref()? {
            signals::Gap::Fraction(fraction) => Distance::Fixed(Gap::fraction(*fraction)),
            signals::Gap::Quote(_) => Distance::Column(columns.get(self.distance_column(level)?)),
        })
    }
}

/// How many of `ready`, from the first on, have bits and distances of `bytes` at most; at least one.
pub(super) fn that_fit(ready: &[Ready<'_>], n_bars: usize, bytes: usize) -> usize {
    let mut seen: HashSet<&str> = HashSet::new();
    let mut used = 0;
    let fit = ready.iter().take_while(|ready| {
        let mut leaves = Vec::new();
        ready.rules().for_each(|rule| parts(rule, &mut leaves));
        let new = leaves.into_iter().filter(|key| seen.insert(key)).count();
        used += new * n_bars.div_ceil(WORD) * 8;
        for series in ready.distance_columns() {
            if seen.insert(&series.key) {
                used += n_bars * 8;
            }
        }
        used <= bytes
    });
    fit.count().max(1)
}

/// Keys of everything that takes bits: the rule and the comparisons in it.
fn parts<'a>(rule: &'a Truth, keys: &mut Vec<&'a str>) {
    keys.push(&rule.key);
    rule.children().for_each(|child| parts(child, keys));
}

/// Walks a batch. Results go out from the threads as they are ready.
pub(super) fn walk_all(
    tape: &Tape<'_>,
    bits: &mut RuleBits,
    columns: &mut Columns<'_>,
    batch: &[Ready<'_>],
    sink: &(dyn Fn(usize, Result<Outcome, Fault>) + Sync),
    cancelled: &(dyn Fn() -> bool + Sync),
) {
    let kernel = || batch.iter().filter(|ready| ready.market.is_some());
    let rules: Vec<&Truth> = kernel().flat_map(Ready::rules).collect();
    bits.prepare(&rules, columns);
    let series: Vec<&Series> = kernel().flat_map(Ready::distance_columns).collect();
    columns.prepare(&series);
    let jobs: Vec<Option<Job<'_>>> = batch.iter().map(|ready| job(ready, bits, columns)).collect();
    batch.par_iter().zip(jobs).for_each(|(ready, job)| {
        if cancelled() {
            return;
        }
        let result = match job {
            Some(job) => walk::walk(&job, tape, false).map(|(outcome, _)| outcome),
            None => reference(tape.bars, ready),
        };
        sink(ready.index, result.map_err(Fault::Run));
    });
}

/// The trades of one variant, by the way it takes.
pub(super) fn trades(
    tape: &Tape<'_>,
    bits: &mut RuleBits,
    columns: &mut Columns<'_>,
    ready: &Ready<'_>,
) -> Result<Vec<Trade>, Failure> {
    let rules: Vec<&Truth> = ready.rules().collect();
    bits.prepare(&rules, columns);
    match job(ready, bits, columns) {
        Some(job) => walk::walk(&job, tape, true).map(|(_, trades)| trades),
        None => {
            let mut signals = ready.signals.clone();
            run::run(tape.bars, &mut signals, &ready.variant.rules).map(|run| run.trades)
        }
    }
}

fn job<'a>(ready: &'a Ready<'_>, bits: &'a RuleBits, columns: &mut Columns<'_>) -> Option<Job<'a>> {
    Some(Job {
        rules: &ready.variant.rules,
        market: ready.market.clone()?,
        flags: Flags::new(
            [0, 1, 2, 3].map(|rule| bits.of(ready.rule(rule))),
            ready.rule(2).is_some(),
        ),
        distances: [0, 1, 2].map(|level| ready.distance(level, columns)),
        time_stop_us: ready.signals.time_stop_us,
    })
}

fn reference(bars: &Bars, ready: &Ready<'_>) -> Result<Outcome, Failure> {
    let mut signals = ready.signals.clone();
    run::run(bars, &mut signals, &ready.variant.rules).map(|run| Outcome::from(&run))
}
