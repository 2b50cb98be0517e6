//! Trades and daily equity of the best variants: made again side by side, and saved so.
//! A variant that has them is left alone, so that this may be cut off and done again.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sim::DayMark;
use sim::order::Trade;
use sim::sweep::{Options, Variant};
use store::Loaded;
use store::sweeps::{Lists, VariantRow};
use strategies::Definition;

use super::judge;
use super::work::Worker;
use crate::args::sweep::{Trades, trades};
use crate::fail::{Code, Fail};

/// Variants whose trades are in memory at once, and saved in one transaction.
const TOGETHER: usize = 24;

type Made = (Vec<Trade>, Vec<DayMark>);

pub(super) async fn keep(worker: &Arc<Worker>) -> Result<(), Fail> {
    let most = match trades(&worker.plan.kept.trades) {
        Ok(Trades::Top(0)) | Err(_) => return Ok(()),
        Ok(Trades::Top(n)) => n,
        Ok(Trades::All) => return all(worker).await,
    };
    let (store, id) = (&worker.store, worker.sweep.id);
    let best = judge::best_rows(store, id, &worker.judge, most, |_| true).await?;
    // By series, so that each one's bars are loaded once.
    let mut rows: Vec<VariantRow> = best.into_iter().map(|(_, row)| row).collect();
    rows.sort_by_key(|row| row.idx);
    rows.retain(|row| !row.has_trades);
    each(worker, rows).await
}

/// Of every variant, a page of rows in memory at a time.
async fn all(worker: &Arc<Worker>) -> Result<(), Fail> {
    let mut from = 0;
    loop {
        let page = || worker.store.variants(worker.sweep.id, from, judge::PAGE);
        let rows = worker.patiently(page).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        from = last.idx + 1;
        let open = |row: &VariantRow| !row.has_trades && row.results.is_some();
        each(worker, rows.into_iter().filter(open).collect()).await?;
    }
}

/// Made and saved, some of one series at a time.
async fn each(worker: &Arc<Worker>, rows: Vec<VariantRow>) -> Result<(), Fail> {
    let series = |row: &VariantRow| worker.plan.space.place(row.idx).0;
    for of_series in rows.chunk_by(|a, b| series(a) == series(b)) {
        for together in of_series.chunks(TOGETHER) {
            if worker.stop.load(Ordering::Relaxed) {
                return Err(stopped(worker));
            }
            some(worker, together).await?;
        }
    }
    Ok(())
}

/// That it was stopped in between.
pub(super) fn stopped(worker: &Worker) -> Fail {
    let (id, place) = (worker.sweep.id, worker.store.place());
    worker.stopped(format!(
        "all variants are saved as sweep {id} in `{place}`, not yet all trades that are to be kept"
    ))
}

/// Rows of one series.
async fn some(worker: &Arc<Worker>, rows: &[VariantRow]) -> Result<(), Fail> {
    let places: Vec<_> = rows.iter().map(|row| worker.plan.space.place(row.idx)).collect();
    let Some(&(series, _)) = places.first() else { return Ok(()) };
    let loaded = worker.loaded(series).await?;
    let grid = worker.plan.space.grid();
    let variants: Vec<Variant> = places.iter().map(|&(_, point)| grid.variant(point)).collect();
    let (definition, threads) = (worker.plan.definition.clone(), worker.threads);
    let begun = Instant::now();
    let made = move || lists(&definition, &loaded, &variants, threads);
    let made = tokio::task::spawn_blocking(made).await.map_err(|e| Fail::new(Code::Bug, e))??;
    worker.spent(|stages| &mut stages.again, begun);
    let lists: Vec<Lists<'_>> = rows
        .iter()
        .zip(&made)
        .map(|(row, (trades, daily))| Lists { id: row.id, symbol: &row.symbol, trades, daily })
        .collect();
    let begun = Instant::now();
    worker.patiently(|| worker.store.keep_trades(&lists)).await?;
    worker.spent(|stages| &mut stages.trades, begun);
    Ok(())
}

/// Trades and daily equity of each variant: the kernel's trades, and the marks that follow from them; by the reference
/// loop what is written in Rust.
fn lists(
    definition: &Definition,
    loaded: &Loaded,
    variants: &[Variant],
    threads: usize,
) -> Result<Vec<Made>, Fail> {
    let bug = |e: anyhow::Error| Fail::new(Code::Bug, e);
    let bars = &loaded.bars;
    let Some(rules) = definition.signal_rules() else {
        let run = |variant: &Variant| {
            let mut strategy = definition.build(&variant.params)?;
            let run = sim::run(bars, &mut *strategy, &variant.rules).map_err(|e| bug(e.into()))?;
            Ok((run.trades, run.daily))
        };
        return variants.iter().map(run).collect();
    };
    let made = Mutex::new(BTreeMap::new());
    let options = Options { threads, ..Options::default() };
    sim::sweep::trades(bars, rules, variants, &options, &|at, trades| {
        let listed = trades.map(|trades| {
            let daily = sim::days(bars, &variants[at].rules, &trades);
            (trades, daily)
        });
        made.lock().unwrap_or_else(PoisonError::into_inner).insert(at, listed);
    })
    .map_err(|e| bug(e.into()))?;
    let made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    made.into_values().map(|listed| listed.map_err(|fault| bug(fault.into()))).collect()
}
