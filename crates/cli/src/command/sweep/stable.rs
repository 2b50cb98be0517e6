//! How stable a variant is: what the objective is worth at the points one step away from it on the grid.
//! A lone spike has neighbours that are worth little; a plateau has none that stands out.

use std::collections::{BTreeMap, BTreeSet};

use store::Store;
use store::sweeps::VariantRow;

use super::judge::Judge;
use super::plan::Plan;
use crate::again::patiently;
use crate::fail::Fail;

/// The neighbours of a variant that the sweep has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Around {
    /// Neighbours whose objective is defined.
    pub(super) n: usize,
    /// Neighbours that have no row: pruned, or not run yet.
    pub(super) missing: usize,
    /// Of all neighbours; `None` also where one is missing, for those that are left are the better ones.
    pub(super) mean: Option<f64>,
    pub(super) worst: Option<f64>,
}

/// Of each of `best`, what lies around it, be it kept by the judge or not.
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
    let rows = patiently(store, || store.variants_of(sweep, &wanted)).await?;
    let values: BTreeMap<u64, Option<f64>> =
        rows.iter().map(|row| (row.idx, judge.objective(row))).collect();
    Ok(near.iter().map(|near| of(near, &values)).collect())
}

/// Variants one step away on one dimension, on the same series.
fn neighbours(plan: &Plan, idx: u64) -> Vec<u64> {
    let (series, point) = plan.space.place(idx);
    let first = series as u64 * plan.space.grid().n_points();
    let near = plan.space.grid().neighbours(point).into_iter().map(|near| first + near);
    near.filter(|&idx| plan.space.has(idx)).collect()
}

/// What lies around a variant whose neighbours are `near`, by what each that is there is worth.
fn of(near: &[u64], worth: &BTreeMap<u64, Option<f64>>) -> Around {
    let there: Vec<Option<f64>> = near.iter().filter_map(|idx| worth.get(idx).copied()).collect();
    let missing = near.len() - there.len();
    let values: Vec<f64> = there.into_iter().flatten().collect();
    let n = values.len();
    if n == 0 || missing > 0 {
        return Around { n, missing, ..Around::default() };
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let worst = values.into_iter().fold(f64::INFINITY, f64::min);
    Around { n, missing, mean: Some(mean), worst: Some(worst) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_worst_of_all_that_there_are() {
        let worth = [(1, Some(1.0)), (2, Some(3.0)), (3, None), (4, Some(-1.0))].into();
        let around = of(&[1, 2, 3, 4], &worth);
        assert_eq!((around.n, around.mean, around.worst), (3, Some(1.0), Some(-1.0)));
        assert_eq!(of(&[], &worth), Around::default());
        let one_is_gone = Around { n: 1, missing: 1, mean: None, worst: None };
        assert_eq!(of(&[1, 5], &worth), one_is_gone);
    }
}
