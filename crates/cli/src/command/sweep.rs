//! `backtest sweep`: a strategy over a grid, begun or gone on with, worked on, and what is best of it said.
//! Each part has its file: the plan, the worker, the judge, what is printed afterwards.

mod begin;
mod estimate;
mod heatmap;
mod judge;
mod kept;
pub(crate) mod plan;
mod progress;
mod shard;
mod stable;
mod table;
mod trades;
mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::Store;
use store::sweeps::{Owner, SweepRow};
use tokio::sync::Notify;

use crate::again::patiently;
use crate::args::Global;
use crate::args::sweep::{Command, Judge as JudgeArgs, Start, Sweep, Work};
use crate::fail::{Fail, Signals};
use crate::talk;

use begin::Begun;
use judge::Judge;
use plan::Plan;
use progress::Progress;
use shard::Shard;
use work::{Ended, Worker};

pub(crate) async fn sweep(
    global: &Global,
    store: &Store,
    args: Sweep,
    signals: &mut Signals,
) -> Result<(), Fail> {
    let Some(command) = args.command else {
        let Start { work, top, .. } = &args.start;
        return match signals.cut(begin::begin(global, store, &args.start)).await? {
            Some(begun) => go(global, store, begun, work, *top, signals).await,
            None => Ok(()),
        };
    };
    match command {
        Command::Resume { id, work, top } => {
            let begun = signals.cut(resumed(store, id)).await?;
            go(global, store, begun, &work, top, signals).await
        }
        Command::List { limit } => signals.cut(kept::list(global, store, limit)).await,
        Command::Status { id } => signals.cut(kept::status(global, store, id)).await,
        Command::Show { id } => signals.cut(kept::show(global, store, id)).await,
        Command::Top(args) => signals.cut(table::top(global, store, &args)).await,
        Command::Heatmap(args) => signals.cut(heatmap::heatmap(global, store, &args)).await,
        Command::Export { id, output } => {
            signals.cut(table::export(global, store, id, output.as_deref())).await
        }
        Command::Cancel { id } => signals.cut(kept::cancel(global, store, id)).await,
        Command::Delete { ids } => signals.cut(kept::delete(global, store, &ids)).await,
        Command::Prune { id, best, judge } => {
            signals.cut(kept::prune(global, store, id, best, &judge)).await
        }
    }
}

/// The sweep of an id.
async fn row(store: &Store, id: i64) -> Result<SweepRow, Fail> {
    patiently(store, || store.sweep(id)).await?.ok_or_else(|| {
        Fail::data(format!("`{}` keeps no sweep {id}", store.place()))
            .hint("`backtest sweep list` shows the ids")
    })
}

/// A sweep that was begun before, and runs again.
async fn resumed(store: &Store, id: i64) -> Result<Begun, Fail> {
    let plan = Plan::of(&row(store, id).await?.definition)?;
    store.reopen_sweep(id).await?;
    Ok(Begun { id, plan, held: BTreeMap::new() })
}

/// What was asked to judge by, else what the sweep was begun with.
fn judge(plan: &Plan, args: &JudgeArgs) -> Result<Judge, Fail> {
    let objective = args.objective.as_deref().unwrap_or(&plan.kept.objective);
    Judge::new(objective, args.keep.as_deref().or(plan.kept.keep.as_deref()))
}

/// Works on a sweep that is written down, and says what came of it.
async fn go(
    global: &Global,
    store: &Store,
    Begun { id, plan, held }: Begun,
    work: &Work,
    top: usize,
    signals: &mut Signals,
) -> Result<(), Fail> {
    let sweep = signals.cut(row(store, id)).await?;
    let judge = Judge::new(&plan.kept.objective, plan.kept.keep.as_deref())?;
    let shard = match &work.shard {
        Some(text) => Shard::parse(text, &|name| std::env::var(name).ok())?,
        None => Shard::ALL,
    };
    let saved = sweep.n_completed + sweep.n_failed;
    let strategy = plan.definition.identity();
    let progress = Progress::new(strategy, sweep.n_variants, saved, global.json);
    let worker = Arc::new(Worker {
        store: store.clone(),
        sweep,
        plan,
        judge,
        threads: work.threads,
        shard,
        owner: Owner::me(),
        progress,
        stages: Mutex::default(),
        held: Mutex::new(held),
        in_flight: AtomicUsize::new(0),
        saved: Notify::new(),
        stop: AtomicBool::new(false),
        drop_now: AtomicBool::new(false),
        dropped: Notify::new(),
    });
    let beats = tokio::spawn(Worker::beats(Arc::clone(&worker)));
    let done = tokio::select! {
        done = to_the_end(global, &worker, top) => done,
        never = worker.listen(signals) => match never {},
    };
    beats.abort();
    // Best effort: an owner that is silent or dead loses its blocks anyway.
    let _ = store.release_blocks(id, &worker.owner).await;
    done
}

/// Every block of the share, then the trades of the best.
async fn to_the_end(global: &Global, worker: &Arc<Worker>, top: usize) -> Result<(), Fail> {
    let resume = worker.resume();
    let ended = worker.work().await.map_err(|fail| match fail.hint {
        Some(_) => fail,
        None => fail.hint(format!("what is saved stays; go on with: {resume}")),
    })?;
    if ended == Ended::Stopped {
        let (store, id) = (&worker.store, worker.sweep.id);
        let now = row(store, id).await?;
        return Err(worker.stopped(format!(
            "{} of {} variants are saved as sweep {id} in `{}`",
            crate::table::count(now.n_completed + now.n_failed),
            crate::table::count(now.n_variants),
            store.place()
        )));
    }
    tokio::select! {
        biased;
        done = finish(global, worker, top) => done,
        () = worker.dropped.notified() => Err(trades::stopped(worker)),
    }
}

/// After the last block of this worker: the best variants' trades, the state, the table.
async fn finish(global: &Global, worker: &Arc<Worker>, top: usize) -> Result<(), Fail> {
    let (store, id) = (&worker.store, worker.sweep.id);
    let all = 0..worker.sweep.n_blocks;
    let open = worker.patiently(|| store.open_blocks(id, all.clone())).await?;
    if open > 0 {
        let blocks = crate::table::counted(open, "block");
        talk::say(format!("this share is done; still open, of others: {blocks}"));
        if global.json {
            let left = worker.patiently(|| store.n_variants_left(id)).await?;
            talk::json(&kept::document(&row(store, id).await?, left));
        }
        return Ok(());
    }
    // From here on no block is anybody's, and this is what tells that somebody works on it.
    worker.beat().await;
    trades::keep(worker).await?;
    worker.patiently(|| store.complete_sweep(id)).await?;
    if global.verbose > 0 {
        say_stages(worker);
    }
    kept::summary(global, store, worker, top).await
}

fn say_stages(worker: &Worker) {
    let stages = worker.stages.lock().unwrap_or_else(PoisonError::into_inner);
    let told = |d: Duration| format!("{:.3} s", d.as_secs_f64());
    talk::say(format!(
        "time by stage: load {}, simulate {}, write {} (beside simulating), simulate for trades {}, \
         write trades {}",
        told(stages.load),
        told(stages.simulate),
        told(stages.write),
        told(stages.again),
        told(stages.trades)
    ));
}
