//! What is best: an objective and a condition over metrics, on variants just made and on rows read back.
//! Nothing is printed, and no metric is made here.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use sim::metrics::Metrics;
use store::Store;
use store::sweeps::{Score, VariantRow};

use crate::again::patiently;
use crate::command::metric::{OverMetrics, in_full};
use crate::fail::Fail;

/// What a sweep's best is when nothing is said.
pub(crate) const DEFAULT: &str = "sharpe_ratio";
/// Variants read from the database at once.
pub(crate) const PAGE: u32 = 20_000;

/// Judges variants.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    objective: OverMetrics,
    keep: Option<OverMetrics>,
    /// What both of them mention.
    mentioned: Vec<&'static str>,
}

impl Judge {
    pub(crate) fn new(objective: &str, keep: Option<&str>) -> Result<Self, Fail> {
        let objective = OverMetrics::number(objective)?;
        let keep = keep.map(OverMetrics::rule).transpose()?;
        let mut mentioned = objective.mentioned().to_vec();
        mentioned.extend(keep.iter().flat_map(OverMetrics::mentioned));
        mentioned.sort_unstable();
        mentioned.dedup();
        Ok(Self { objective, keep, mentioned })
    }

    /// The objective as it was written.
    pub(crate) fn source(&self) -> &str {
        self.objective.source()
    }

    /// What the objective is worth; `None` when it is undefined or the condition does not hold.
    fn value(&self, metric: &dyn Fn(&str) -> Option<f64>) -> Option<f64> {
        if self.keep.as_ref().is_some_and(|keep| !keep.holds(metric)) {
            return None;
        }
        self.objective.value(metric)
    }

    /// The same of a variant just made.
    pub(crate) fn of_metrics(&self, m: &Metrics) -> Option<f64> {
        let count = |n: usize| Some(n as f64);
        self.value(&|name| match name {
            "total_return" => m.total_return,
            "annual_return" => m.annual_return,
            "volatility" => m.volatility,
            "sharpe_ratio" => m.sharpe_ratio,
            "sortino_ratio" => m.sortino_ratio,
            "max_drawdown" => m.max_drawdown,
            "max_drawdown_duration" => Some(m.max_drawdown_duration as f64),
            "calmar_ratio" => m.calmar_ratio,
            "win_rate" => m.win_rate,
            "profit_factor" => m.profit_factor,
            "total_trades" => count(m.total_trades),
            "winning_trades" => count(m.winning_trades),
            "losing_trades" => count(m.losing_trades),
            "avg_trade_return" => m.avg_trade_return,
            "avg_win" => m.avg_win,
            "avg_loss" => m.avg_loss,
            "largest_win" => m.largest_win,
            "largest_loss" => m.largest_loss,
            "avg_trade_duration" => m.avg_trade_duration_us.map(|us| us as f64 / 1e6),
            "final_capital" => m.final_capital.to_f64(),
            _ => None,
        })
    }

    /// What the objective is worth at a variant that is kept, whether it may be best or not.
    pub(crate) fn objective(&self, row: &VariantRow) -> Option<f64> {
        let results = row.results.as_ref()?;
        self.objective.value(&|name| in_full(results, name))
    }

    /// That no variant has a value, in words.
    pub(crate) fn no_value(&self) -> String {
        self.defined("no variant has", "meets")
    }

    /// The same where only `n` of `all` variants have a value.
    pub(crate) fn few_values(&self, n: usize, all: u64) -> String {
        match n {
            0 => self.no_value(),
            1 => self.defined(&format!("only 1 of {all} variants has"), "meets"),
            n => self.defined(&format!("only {n} of {all} variants have"), "meet"),
        }
    }

    fn defined(&self, who: &str, meets: &str) -> String {
        let keep = self.keep.as_ref();
        let keep = keep.map_or_else(String::new, |k| format!(" and {meets} `{}`", k.source()));
        format!("{who} a defined `{}`{keep}", self.source())
    }

    /// The metrics that it reads.
    pub(crate) fn mentioned(&self) -> &[&'static str] {
        &self.mentioned
    }

    /// The same of a variant as it is kept, read with [`Judge::mentioned`].
    pub(crate) fn of_score(&self, score: &Score) -> Option<f64> {
        let place = |name: &str| self.mentioned.iter().position(|m| *m == name);
        self.value(&|name| score.metrics[place(name)?])
    }
}

/// Shows every variant of a sweep to `see`, by index, a page of rows at a time, until it fails.
pub(crate) async fn pages(
    store: &Store,
    sweep: i64,
    mut see: impl FnMut(Vec<VariantRow>) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let mut from = 0;
    loop {
        let rows = patiently(store, || store.variants(sweep, from, PAGE)).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        from = last.idx + 1;
        see(rows)?;
    }
}

/// A variant that has a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judged {
    pub(crate) value: f64,
    pub(crate) id: i64,
    pub(crate) idx: u64,
}

/// Shows every variant that has a value to `see`, by index; only the columns that decide it are read.
pub(crate) async fn each_judged(
    store: &Store,
    sweep: i64,
    judge: &Judge,
    mut see: impl FnMut(Judged),
) -> Result<(), Fail> {
    let mut from = 0;
    loop {
        let page = || store.scores(sweep, judge.mentioned(), from, PAGE);
        let scores = patiently(store, page).await?;
        let Some(last) = scores.last() else { return Ok(()) };
        from = last.idx + 1;
        for score in scores {
            if let Some(value) = judge.of_score(&score) {
                see(Judged { value, id: score.id, idx: score.idx });
            }
        }
    }
}

/// The best variants first, at most `most`; equal ones by index. `fits` is asked by the index.
pub(crate) async fn best(
    store: &Store,
    sweep: i64,
    judge: &Judge,
    most: usize,
    fits: impl Fn(u64) -> bool,
) -> Result<Vec<Judged>, Fail> {
    let mut best: Vec<Judged> = Vec::new();
    let order = |a: &Judged, b: &Judged| b.value.total_cmp(&a.value).then(a.idx.cmp(&b.idx));
    each_judged(store, sweep, judge, |judged| {
        if !fits(judged.idx) {
            return;
        }
        best.push(judged);
        // Sorted only when twice as many as wanted have come, so that a variant costs next to nothing.
        if best.len() > most.saturating_mul(2).saturating_add(1_000) {
            best.sort_by(order);
            best.truncate(most);
        }
    })
    .await?;
    best.sort_by(order);
    best.truncate(most);
    Ok(best)
}

/// The best with all that is kept of them.
pub(crate) async fn best_rows(
    store: &Store,
    sweep: i64,
    judge: &Judge,
    most: usize,
    fits: impl Fn(u64) -> bool,
) -> Result<Vec<(f64, VariantRow)>, Fail> {
    let best = best(store, sweep, judge, most, fits).await?;
    let indices: Vec<u64> = best.iter().map(|judged| judged.idx).collect();
    let rows = patiently(store, || store.variants_of(sweep, &indices)).await?;
    let mut rows: BTreeMap<i64, VariantRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    // One that was deleted meanwhile is passed over.
    Ok(best.iter().filter_map(|j| Some((j.value, rows.remove(&j.id)?))).collect())
}

/// A parameter's value of a row.
pub(crate) fn parameter(row: &VariantRow, name: &str) -> Option<Decimal> {
    let value = row.parameters.get(name)?;
    value.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_any_expression_over_metrics() {
        let metrics = Metrics {
            sharpe_ratio: Some(1.5),
            max_drawdown: Some(20.0),
            total_trades: 29,
            ..Metrics::default()
        };
        let value = |objective: &str, keep: Option<&str>| {
            Judge::new(objective, keep).unwrap().of_metrics(&metrics)
        };
        assert_eq!(value("sharpe_ratio", None), Some(1.5));
        assert_eq!(value("sharpe_ratio - max_drawdown / 10", None), Some(-0.5));
        assert_eq!(value("-max_drawdown", None), Some(-20.0));
        assert_eq!(value("sharpe_ratio", Some("total_trades >= 30")), None);
        assert_eq!(value("sharpe_ratio", Some("total_trades >= 29")), Some(1.5));
        assert_eq!(value("sortino_ratio", None), None, "undefined");
        assert!(Judge::new("sharp_ratio", None).is_err());
        assert!(Judge::new("close", None).is_err());
        assert!(Judge::new("sharpe_ratio", Some("total_trades")).is_err());
    }
}
