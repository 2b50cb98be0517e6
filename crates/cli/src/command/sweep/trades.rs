//! Trades and daily equity of the best variants: each made again and saved in one transaction.
//! A variant that has them is left alone, so that this may be cut off and done again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use sim::DayMark;
use sim::order::Trade;
use sim::sweep::Variant;
use store::Loaded;
use store::sweeps::VariantRow;
use strategies::Definition;
use tokio::task::JoinSet;

use super::judge;
use super::work::Worker;
use crate::args::sweep::{Trades, trades};
use crate::fail::{Code, Fail};

pub(super) async fn keep(worker: &Arc<Worker>) -> Result<(), Fail> {
    let begun = Instant::now();
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
    each(worker, rows).await?;
    worker.spent(|stages| &mut stages.trades, begun);
    Ok(())
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

/// As many at once as there are threads.
async fn each(worker: &Arc<Worker>, rows: Vec<VariantRow>) -> Result<(), Fail> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let width = if worker.threads == 0 { cores } else { worker.threads };
    let mut tasks = JoinSet::new();
    for row in rows {
        if tasks.len() >= width
            && let Some(ended) = tasks.join_next().await
        {
            ended.map_err(|e| Fail::new(Code::Bug, e))??;
        }
        tasks.spawn(one(Arc::clone(worker), row));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| Fail::new(Code::Bug, e))??;
    }
    Ok(())
}

async fn one(worker: Arc<Worker>, row: VariantRow) -> Result<(), Fail> {
    if worker.stop.load(Ordering::Relaxed) {
        let hint = "all variants are saved; for the trades of the best: backtest sweep resume";
        return Err(Fail::new(Code::Interrupted, anyhow::anyhow!("interrupted"))
            .hint(format!("{hint} {}", worker.sweep.id)));
    }
    let (series, point) = worker.plan.space.place(row.idx);
    let loaded = worker.loaded(series).await?;
    let variant = worker.plan.space.grid().variant(point);
    let definition = worker.plan.definition.clone();
    let task = tokio::task::spawn_blocking(move || lists(&definition, &loaded, &variant));
    let (trades, daily) = task.await.map_err(|e| Fail::new(Code::Bug, e))??;
    worker.patiently(|| worker.store.keep_trades(row.id, &row.symbol, &trades, &daily)).await
}

/// Trades and daily equity of a variant: the kernel's trades, and the marks that follow from them; by the reference
/// loop what is written in Rust.
fn lists(
    definition: &Definition,
    loaded: &Loaded,
    variant: &Variant,
) -> Result<(Vec<Trade>, Vec<DayMark>), Fail> {
    let bug = |e: anyhow::Error| Fail::new(Code::Bug, e);
    if let Some(rules) = definition.signal_rules() {
        let trades = sim::sweep::trades(&loaded.bars, rules, variant).map_err(|e| bug(e.into()))?;
        let daily = sim::days(&loaded.bars, &variant.rules, &trades);
        return Ok((trades, daily));
    }
    let mut strategy = definition.build(&variant.params)?;
    let run = sim::run(&loaded.bars, &mut *strategy, &variant.rules).map_err(|e| bug(e.into()))?;
    Ok((run.trades, run.daily))
}
