//! How stable a variant is: what the objective is worth at the points one step away from it on the grid.
//! A lone spike has neighbours that are worth little; a plateau has none that stands out.

use std::collections::{BTreeMap, BTreeSet};

use store::Store;
use store::sweeps::{Score, VariantRow};

use super::judge::{Judge, read};
use super::plan::Plan;
use crate::fail::Fail;

/// The neighbours of a variant that the sweep has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Around {
    /// Neighbours whose objective is defined.
    pub(super) n: usize,
    pub(super) mean: Option<f64>,
    pub(super) worst: Option<f64>,
}

/// Of each of `best`, what lies around it.
pub(super) async fn around(
    store: &Store,
    sweep: i64,
    plan: &Plan,
    judge: &Judge,
    best: &[(f64, VariantRow)],
) -> Result<Vec<Around>, Fail> {
    let near: Vec<Vec<u64>> = best.iter().map(|(_, row)| neighbours(plan, row.idx)).collect();
    let wanted: BTreeSet<u64> = near.iter().flatten().copied().collect();
    // A few for each of the few that are shown, whatever the size of the sweep.
    let wanted: Vec<u64> = wanted.into_iter().collect();
    let scores = read(store, || store.scores_of(sweep, judge.mentioned(), &wanted)).await?;
    let value = |score: &Score| Some((score.idx, judge.of_score(score)?));
    let values: BTreeMap<u64, f64> = scores.iter().filter_map(value).collect();
    Ok(near.iter().map(|near| of(near.iter().filter_map(|idx| values.get(idx).copied()))).collect())
}

/// Variants one step away on one dimension, on the same series.
pub(super) fn neighbours(plan: &Plan, idx: u64) -> Vec<u64> {
    let (series, point) = plan.space.place(idx);
    let first = series as u64 * plan.space.grid().n_points();
    plan.space.grid().neighbours(point).into_iter().map(|near| first + near).collect()
}

fn of(values: impl Iterator<Item = f64>) -> Around {
    let values: Vec<f64> = values.collect();
    let n = values.len();
    if n == 0 {
        return Around::default();
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let worst = values.iter().copied().fold(f64::INFINITY, f64::min);
    Around { n, mean: Some(mean), worst: Some(worst) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_worst_of_what_there_is() {
        let around = of([1.0, 3.0, -1.0].into_iter());
        assert_eq!((around.n, around.mean, around.worst), (3, Some(1.0), Some(-1.0)));
        assert_eq!(of(std::iter::empty()), Around::default());
    }
}
