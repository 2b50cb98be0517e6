//! Columns of indicators within a bound of memory: computed on all threads, kept while they are needed.
//! No rule and no variant may enter.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use crate::bars::{Bars, Column};
use crate::exact::{EXACT_DOUBLE, ONE_E8};
use crate::expr::Series;
use crate::indicator::{DeviationSums, Evaluator, Steps};

/// Bytes of a value.
const VALUE: usize = 8;
/// Columns that are held at once however long they are: those of one comparison and what they are made of.
const FEWEST: usize = 8;

/// A bounded store of columns.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    bars: &'a Bars,
    evaluator: Evaluator<'a>,
    /// Open, high, low and close as series.
    prices: [Series; 4],
    /// Running sums of prices, and what deviations are made of, as they are asked for.
    sums: [OnceLock<Arc<[i64]>>; 4],
    steps: [OnceLock<Steps>; 4],
    deviations: [OnceLock<Arc<DeviationSums>>; 4],
    /// How many columns may be held at once.
    pub(super) most: usize,
}

impl<'a> Columns<'a> {
    /// Columns of `bars` in about `bytes` of memory.
    pub(super) fn new(bars: &'a Bars, bytes: usize) -> Self {
        let most = (bytes / (VALUE * bars.len())).max(FEWEST);
        let (sums, steps, deviations) = Default::default();
        let prices = [Column::Open, Column::High, Column::Low, Column::Close].map(Series::column);
        Self { bars, evaluator: Evaluator::new(bars), prices, sums, steps, deviations, most }
    }

    /// A price as a series.
    pub(super) fn price(&self, column: Column) -> &Series {
        &self.prices[column as usize]
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

    pub(super) fn bars(&self) -> &'a Bars {
        self.bars
    }

    /// Whether `column` is a price, and its values are doubles in units of 1e-8.
    pub(super) fn doubles_fit(&self, column: Column) -> bool {
        column.is_price() && self.bars.highest() < EXACT_DOUBLE
    }

    /// Whether `n` values of `column`, which is a price then, and `n` itself in units of 1e-8, sum to what a double holds
    /// without rounding.
    pub(super) fn sums_fit(&self, column: Column, n: usize) -> bool {
        let sum = |of: i64| i64::try_from(n).ok().and_then(|n| n.checked_mul(of));
        let fits = |sum: Option<i64>| sum.is_some_and(|sum| sum < EXACT_DOUBLE);
        column.is_price() && fits(sum(self.bars.highest())) && fits(sum(ONE_E8))
    }

    /// Whether deviations of `n` values of `column`, which is a price then, are made of [`Self::deviation_sums`].
    pub(super) fn deviations_fit(&self, column: Column, n: usize) -> bool {
        let Some(prices) = self.bars.prices(column) else { return false };
        self.steps[column as usize].get_or_init(|| Steps::of(prices)).fit(n)
    }

    /// What deviations of `column` are made of, where it is a price.
    pub(super) fn deviation_sums(&self, column: Column) -> Option<Arc<DeviationSums>> {
        let prices = self.bars.prices(column)?;
        let steps = *self.steps[column as usize].get_or_init(|| Steps::of(prices));
        let make = || Arc::new(DeviationSums::new(steps, prices));
        Some(Arc::clone(self.deviations[column as usize].get_or_init(make)))
    }

    /// At each place the wrapping sum of the prices in front of it; of what is no price, nothing.
    pub(super) fn sums(&self, column: Column) -> Arc<[i64]> {
        let Some(prices) = self.bars.prices(column) else { return Arc::default() };
        let make = || {
            let mut sum = 0_i64;
            let behind = prices.iter().map(|price| {
                sum = sum.wrapping_add(*price);
                sum
            });
            std::iter::once(0).chain(behind).collect()
        };
        Arc::clone(self.sums[column as usize].get_or_init(make))
    }

    /// A column that was prepared.
    pub(super) fn get(&self, series: &Series) -> Arc<[f64]> {
        let known = self.evaluator.known(&series.key);
        known.unwrap_or_else(|| unreachable!("`{}` was prepared before", series.key))
    }
}
