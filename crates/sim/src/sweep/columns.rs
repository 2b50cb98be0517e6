//! Columns of indicators within a bound of memory: computed on all threads, kept while they are needed.
//! No rule and no variant may enter.

use std::collections::HashSet;
use std::sync::Arc;

use rayon::prelude::*;

use crate::bars::Bars;
use crate::expr::Series;
use crate::indicator::Evaluator;

/// Bytes of a value.
const VALUE: usize = 8;
/// Columns that are held at once however long they are: those of one comparison and what they are made of.
const FEWEST: usize = 8;

/// A bounded store of columns.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    evaluator: Evaluator<'a>,
    /// How many columns may be held at once.
    pub(super) most: usize,
}

impl<'a> Columns<'a> {
    /// Columns of `bars` in about `bytes` of memory.
    pub(super) fn new(bars: &'a Bars, bytes: usize) -> Self {
        let most = (bytes / (VALUE * bars.len())).max(FEWEST);
        Self { evaluator: Evaluator::new(bars), most }
    }

    /// Computes those of `series` that are missing. Where they do not fit beside the others, the others go.
    pub(super) fn prepare(&mut self, series: &[&Series]) {
        let wanted: HashSet<&str> = series.iter().map(|s| &*s.key).collect();
        let mut missing: Vec<&Series> =
            series.iter().copied().filter(|s| !self.evaluator.knows(&s.key)).collect();
        // Neighbours by key are made of the same parts, so they go to one thread.
        missing.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        missing.dedup_by(|a, b| a.key == b.key);
        if missing.is_empty() {
            return;
        }
        if self.evaluator.n_known() + missing.len() > self.most {
            self.evaluator.keep(|key| wanted.contains(key));
        }
        let share = missing.len().div_ceil(rayon::current_num_threads());
        let evaluators: Vec<Evaluator<'a>> = missing
            .par_chunks(share)
            .map(|part| {
                let mut evaluator = self.evaluator.clone();
                evaluator.learn_columns(part);
                evaluator
            })
            .collect();
        evaluators.into_iter().for_each(|evaluator| self.evaluator.learn(evaluator));
        if self.evaluator.n_known() > self.most {
            self.evaluator.keep(|key| wanted.contains(key));
        }
    }

    /// A column that was prepared.
    pub(super) fn get(&self, series: &Series) -> Arc<[f64]> {
        let known = self.evaluator.known(&series.key);
        known.unwrap_or_else(|| unreachable!("`{}` was prepared before", series.key))
    }
}
