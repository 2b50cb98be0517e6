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

use store::sweeps::{Owner, SweepRow};
use store::{Loaded, Store};
use tokio::sync::Notify;

use crate::args::Global;
use crate::args::sweep::{Command, Judge as JudgeArgs, Sweep, Work};
use crate::fail::{Code, Fail};
use crate::talk;

use judge::Judge;
use plan::Plan;
use progress::Progress;
use shard::Shard;
use work::{Ended, Worker};

pub(crate) async fn sweep(global: &Global, store: &Store, args: Sweep) -> Result<(), Fail> {
    let Some(command) = args.command else {
        return begin::begin(global, store, &args.start).await;
    };
    match command {
        Command::List { limit } => kept::list(global, store, limit).await,
        Command::Resume { id, work, top } => {
            let sweep = row(store, id).await?;
            let plan = Plan::of(&sweep.definition)?;
            store.reopen_sweep(id).await?;
            go(global, store, id, plan, BTreeMap::new(), &work, top).await
        }
        Command::Status { id } => kept::status(global, &row(store, id).await?),
        Command::Show { id } => kept::show(global, &row(store, id).await?),
        Command::Top(args) => table::top(global, store, &args).await,
        Command::Heatmap(args) => heatmap::heatmap(global, store, &args).await,
        Command::Export { id, output } => table::export(store, id, output.as_deref()).await,
        Command::Cancel { id } => kept::cancel(global, store, id).await,
        Command::Delete { ids } => kept::delete(global, store, &ids).await,
        Command::Prune { id, best, judge } => kept::prune(global, store, id, best, &judge).await,
    }
}

/// The sweep of an id.
async fn row(store: &Store, id: i64) -> Result<SweepRow, Fail> {
    judge::read(store, || store.sweep(id)).await?.ok_or_else(|| {
        Fail::data(format!("`{}` keeps no sweep {id}", store.place()))
            .hint("`backtest sweep list` shows the ids")
    })
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
    id: i64,
    plan: Plan,
    held: BTreeMap<usize, Arc<Loaded>>,
    work: &Work,
    top: usize,
) -> Result<(), Fail> {
    let sweep = row(store, id).await?;
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
    });
    let place = store.place();
    let resume = format!("backtest sweep resume {id}");
    let ended = worker.work().await.map_err(|fail| match fail.hint {
        Some(_) => fail,
        None => fail.hint(format!("what is saved stays; go on with: {resume}")),
    })?;
    if ended == Ended::Stopped {
        let now = row(store, id).await?;
        let told = format!(
            "stopped; {} of {} variants are saved as sweep {id} in `{place}`",
            crate::table::count(now.n_completed + now.n_failed),
            crate::table::count(now.n_variants)
        );
        let hint = format!("go on with: {resume}");
        return Err(Fail::new(Code::Interrupted, anyhow::anyhow!("{told}")).hint(hint));
    }
    finish(global, &worker, top).await
}

/// After the last block of this worker: the best variants' trades, the state, the table.
async fn finish(global: &Global, worker: &Arc<Worker>, top: usize) -> Result<(), Fail> {
    let (store, id) = (&worker.store, worker.sweep.id);
    let all = 0..worker.sweep.n_blocks;
    let open = worker.patiently(|| store.open_blocks(id, all.clone())).await?;
    if open > 0 {
        let blocks = crate::table::counted(open, "block");
        talk::say(format!("this share is done; still open, of others: {blocks}"));
        return Ok(());
    }
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
