//! A worker: takes blocks, simulates them, and hands them to a writer through a channel that makes it wait.
//! What a block is and who owns it is the store's; what is best is `judge`'s.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use sim::identity::Identity;
use sim::sweep::{Options, Outcome, Variant};
use store::progress::Silent;
use store::sweeps::{BlockRows, Claim, NewVariant, Owner, SweepRow};
use store::{Error, Loaded, Store};
use tokio::sync::{Notify, mpsc};

use super::judge::Judge;
use super::plan::Plan;
use super::progress::Progress;
use super::shard::Shard;
use crate::again::patiently_unless;
use crate::command::run::number;
use crate::fail::{Code, Fail, Signals};
use crate::{report, talk};

/// How often a worker says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How often a worker without a block looks for one.
const LOOK: Duration = Duration::from_millis(500);
/// Bars of all series together that are held in memory; beyond it they are loaded again when they are needed.
pub(super) const MAX_HELD_BARS: usize = 8_000_000;
/// Blocks between simulator and writer.
const CHANNEL: usize = 1;

/// Time spent in each stage.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    pub(crate) load: Duration,
    pub(crate) simulate: Duration,
    pub(crate) write: Duration,
    /// Simulating the variants whose trades are kept once more, for their trades.
    pub(crate) again: Duration,
    pub(crate) trades: Duration,
}

/// Everything that a worker works with.
pub(crate) struct Worker {
    pub(crate) store: Store,
    pub(crate) sweep: SweepRow,
    pub(crate) plan: Plan,
    pub(crate) judge: Judge,
    pub(crate) threads: usize,
    pub(crate) shard: Shard,
    pub(crate) owner: Owner,
    pub(crate) progress: Progress,
    pub(crate) stages: Mutex<Stages>,
    pub(crate) held: Mutex<BTreeMap<usize, Arc<Loaded>>>,
    /// Blocks that were taken and are not saved yet.
    pub(crate) in_flight: AtomicUsize,
    /// A block of this worker was saved.
    pub(crate) saved: Notify,
    /// No more blocks are taken.
    pub(crate) stop: AtomicBool,
    /// The block at hand is dropped too.
    pub(crate) drop_now: AtomicBool,
    /// Somebody asked for that.
    pub(crate) dropped: Notify,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every block of its share is saved.
    Done,
    /// It was told to stop.
    Stopped,
}

impl Worker {
    /// Works until the share is saved, Ctrl-C or `sweep cancel`. Blocks that are not saved are left to be given back.
    pub(crate) async fn work(self: &Arc<Self>) -> Result<Ended, Fail> {
        let (to_simulate, claims) = mpsc::channel(CHANNEL);
        let (to_writer, rows) = mpsc::channel(CHANNEL);
        let taken = tokio::spawn(Self::take(Arc::clone(self), to_simulate));
        let simulated = tokio::spawn(Self::simulate(Arc::clone(self), claims, to_writer));
        let written = self.write(rows).await;
        if written.is_err() {
            self.stop.store(true, Ordering::Relaxed);
            self.drop_now.store(true, Ordering::Relaxed);
        }
        let simulated = joined(simulated.await);
        let taken = joined(taken.await);
        self.progress.end();
        written.and(simulated)?;
        taken
    }

    fn blocks(&self) -> std::ops::Range<i64> {
        self.shard.blocks(self.sweep.n_blocks)
    }

    /// First Ctrl-C (or SIGTERM): finish what is in flight. Second: drop it.
    pub(crate) async fn listen(&self, signals: &mut Signals) -> Infallible {
        loop {
            signals.next().await;
            if self.stop.swap(true, Ordering::Relaxed) {
                self.drop_now.store(true, Ordering::Relaxed);
                self.dropped.notify_one();
            } else {
                talk::say("stopping: saving what is in flight (Ctrl-C again drops it)");
            }
        }
    }

    /// How it is gone on with.
    pub(crate) fn resume(&self) -> String {
        format!("backtest sweep resume {}", self.sweep.id)
    }

    /// That it was stopped, and how far it came.
    pub(crate) fn stopped(&self, how_far: impl std::fmt::Display) -> Fail {
        Fail::new(Code::Interrupted, anyhow::anyhow!("stopped; {how_far}"))
            .hint(format!("go on with: {}", self.resume()))
    }

    pub(crate) async fn beats(self: Arc<Self>) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.tick().await;
        loop {
            beat.tick().await;
            self.beat().await;
        }
    }

    /// Says that it lives. A beat that fails is followed by another; losing the lease costs work, no result.
    pub(crate) async fn beat(&self) {
        let _ = self.store.beat_blocks(self.sweep.id, &self.owner).await;
    }

    /// Takes block after block until none of the share is left.
    async fn take(self: Arc<Self>, to: mpsc::Sender<Claim>) -> Result<Ended, Fail> {
        let (id, blocks) = (self.sweep.id, self.blocks());
        self.patiently(|| self.store.release_dead(id)).await?;
        let mut waiting = false;
        loop {
            // A simulator that failed takes no more, and the block it failed on would stay open for ever.
            if self.stop.load(Ordering::Relaxed) || to.is_closed() {
                return Ok(Ended::Stopped);
            }
            let claim =
                self.patiently(|| self.store.claim_block(id, &self.owner, blocks.clone())).await?;
            if let Some(claim) = claim {
                waiting = false;
                self.in_flight.fetch_add(1, Ordering::Relaxed);
                if to.send(claim).await.is_err() {
                    return Ok(Ended::Stopped);
                }
                continue;
            }
            if self.patiently(|| self.store.open_blocks(id, blocks.clone())).await? == 0 {
                let cancelled = self.patiently(|| self.store.sweep(id)).await?;
                let cancelled = cancelled.is_none_or(|sweep| sweep.status == "CANCELLED");
                return Ok(if cancelled { Ended::Stopped } else { Ended::Done });
            }
            // The rest is in flight here, or another worker has it: it ends, or its lease does.
            tokio::select! {
                () = self.saved.notified() => continue,
                () = tokio::time::sleep(LOOK) => {}
            }
            // A claim whose answer was lost with its connection may stand: ours by name, and nobody works on it.
            if self.in_flight.load(Ordering::Relaxed) == 0 {
                self.patiently(|| self.store.release_blocks(id, &self.owner)).await?;
            }
            if waiting {
                self.patiently(|| self.store.release_dead(id)).await?;
            }
            waiting = true;
        }
    }

    async fn simulate(
        self: Arc<Self>,
        mut claims: mpsc::Receiver<Claim>,
        to: mpsc::Sender<BlockRows>,
    ) -> Result<(), Fail> {
        while let Some(claim) = claims.recv().await {
            let series = self.plan.space.place(claim.first_idx).0;
            let loaded = self.loaded(series).await?;
            let worker = Arc::clone(&self);
            let task = tokio::task::spawn_blocking(move || worker.block(&claim, &loaded));
            let rows = task.await.map_err(|e| Fail::new(Code::Bug, e))??;
            let Some(rows) = rows else { return Ok(()) };
            if to.send(rows).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn write(&self, mut rows: mpsc::Receiver<BlockRows>) -> Result<(), Fail> {
        while let Some(rows) = rows.recv().await {
            let begun = Instant::now();
            self.patiently(|| self.store.save_block(&rows, &self.owner)).await?;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.saved.notify_one();
            self.spent(|stages| &mut stages.write, begun);
            self.progress.saved(rows.variants.len() as u64);
        }
        Ok(())
    }

    /// The bars of a series, as they were when the sweep began.
    pub(crate) async fn loaded(&self, series: usize) -> Result<Arc<Loaded>, Fail> {
        let found = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&series).cloned();
        if let Some(loaded) = found {
            return Ok(loaded);
        }
        let begun = Instant::now();
        let of = &self.plan.kept.series[series];
        let ask = of.ask(&self.plan.definition)?;
        let loaded = Arc::new(self.patiently(|| self.store.load(&ask, &Silent)).await?);
        self.spent(|stages| &mut stages.load, begun);
        if loaded.fingerprint != of.fingerprint {
            let what = format!("{} {}", of.symbol, of.timeframe);
            return Err(Fail::data(format!(
                "the bars of {what} have changed since the sweep began"
            ))
            .hint("begin it anew with `backtest sweep`: it becomes another sweep"));
        }
        hold(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner), series, &loaded);
        Ok(loaded)
    }

    /// Simulates a block; `None` when it was dropped halfway.
    fn block(&self, claim: &Claim, loaded: &Loaded) -> Result<Option<BlockRows>, Fail> {
        let begun = Instant::now();
        let space = &self.plan.space;
        let indices: Vec<u64> = space.indices(claim.first_idx, claim.end_idx).collect();
        let variants: Vec<Variant> =
            indices.iter().map(|&idx| space.grid().variant(space.place(idx).1)).collect();
        let series = space.place(claim.first_idx).0;
        let made: Mutex<Vec<NewVariant>> = Mutex::new(Vec::with_capacity(indices.len()));
        let sink = |at: usize, outcome: Result<Outcome, String>| {
            if let Ok(outcome) = &outcome {
                self.progress.simulated(self.judge.of_metrics(&outcome.metrics), || {
                    told(&self.plan, indices[at])
                });
            }
            let new = self.variant(series, indices[at], &variants[at], loaded, outcome);
            made.lock().unwrap_or_else(PoisonError::into_inner).push(new);
        };
        self.run(loaded, &variants, &sink)?;
        self.spent(|stages| &mut stages.simulate, begun);
        let mut variants = made.into_inner().unwrap_or_else(PoisonError::into_inner);
        if variants.len() < indices.len() {
            return Ok(None);
        }
        variants.sort_unstable_by_key(|variant| variant.idx);
        let of = &self.plan.kept.series[series];
        Ok(Some(BlockRows {
            sweep: self.sweep.id,
            block: claim.block,
            user_id: self.sweep.user_id,
            strategy_id: self.sweep.strategy_id,
            name: self.sweep.name.clone(),
            symbol: of.symbol.clone(),
            timeframe: of.timeframe.clone(),
            start_us: of.start_us,
            end_us: of.end_us,
            fingerprint: of.fingerprint.clone(),
            engine_version: sim::VERSION.to_owned(),
            variants,
        }))
    }

    fn run(
        &self,
        loaded: &Loaded,
        variants: &[Variant],
        sink: &(dyn Fn(usize, Result<Outcome, String>) + Sync),
    ) -> Result<(), Fail> {
        let options =
            Options { threads: self.threads, cancel: Some(&self.drop_now), ..Options::default() };
        simulate(&self.plan, loaded, variants, &options, sink)
    }

    fn variant(
        &self,
        series: usize,
        idx: u64,
        variant: &Variant,
        loaded: &Loaded,
        outcome: Result<Outcome, String>,
    ) -> NewVariant {
        let of = &self.plan.kept.series[series];
        let identity = Identity {
            strategy: &self.progress.strategy,
            params: &variant.params,
            rules: &variant.rules,
            fingerprint: &of.fingerprint,
            symbol: &of.symbol,
            timeframe: &of.timeframe,
            range_us: (of.start_us, of.end_us),
            n_warmup: of.n_warmup,
        };
        let n_bars = loaded.bars.len() - loaded.bars.n_warmup();
        let point = self.plan.space.grid().point(self.plan.space.place(idx).1);
        let parameters: Map<String, Value> =
            point.map(|(axis, value)| (axis.name.clone(), number(value))).collect();
        NewVariant {
            idx,
            parameters: Value::Object(parameters).to_string(),
            identity: identity.hash(),
            capital: variant.rules.capital,
            outcome: outcome.map(|outcome| {
                let text = report::outcome_text(&outcome, n_bars);
                (Box::new(outcome.metrics), text)
            }),
        }
    }

    /// See [`patiently_unless`]; a second Ctrl-C ends the waiting.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T, Error>>>(
        &self,
        act: impl Fn() -> F,
    ) -> Result<T, Fail> {
        patiently_unless(&self.store, &self.drop_now, act).await
    }

    pub(crate) fn spent(&self, stage: impl Fn(&mut Stages) -> &mut Duration, begun: Instant) {
        *stage(&mut self.stages.lock().unwrap_or_else(PoisonError::into_inner)) += begun.elapsed();
    }
}

/// Simulates `variants` by the way the strategy allows.
pub(crate) fn simulate(
    plan: &Plan,
    loaded: &Loaded,
    variants: &[Variant],
    options: &Options<'_>,
    sink: &(dyn Fn(usize, Result<Outcome, String>) + Sync),
) -> Result<(), Fail> {
    let bug = |e: sim::sweep::SweepError| Fail::new(Code::Usage, e);
    if let Some(rules) = plan.definition.signal_rules() {
        let sink = |at, outcome: Result<Outcome, sim::sweep::Fault>| {
            sink(at, outcome.map_err(|fault| fault.to_string()));
        };
        return sim::sweep::sweep(&loaded.bars, rules, variants, options, &sink).map_err(bug);
    }
    // Values that the strategy refuses fail here; the others are built again on the thread that runs them.
    let mut good = Vec::new();
    for (at, variant) in variants.iter().enumerate() {
        match plan.definition.build(&variant.params) {
            Ok(_) => good.push(at),
            Err(error) => sink(at, Err(error.to_string())),
        }
    }
    let chosen: Vec<Variant> = good.iter().map(|&at| variants[at].clone()).collect();
    let make = |at: usize| match plan.definition.build(&chosen[at].params) {
        Ok(strategy) => strategy,
        Err(error) => unreachable!("it was built a moment ago: {error}"),
    };
    let sink = |at: usize, outcome: Result<Outcome, sim::sweep::Fault>| {
        sink(good[at], outcome.map_err(|fault| fault.to_string()));
    };
    sim::sweep::sweep_reference(&loaded.bars, &chosen, &make, options, &sink).map_err(bug)
}

/// Keeps a series in memory, and lets others go when all together are too many.
fn hold(held: &mut BTreeMap<usize, Arc<Loaded>>, series: usize, loaded: &Arc<Loaded>) {
    let bars = |l: &Arc<Loaded>| l.bars.len();
    let sum: usize = held.values().map(bars).sum();
    if sum + bars(loaded) > MAX_HELD_BARS {
        held.clear();
    }
    held.insert(series, Arc::clone(loaded));
}

/// A variant in words.
pub(crate) fn told(plan: &Plan, idx: u64) -> String {
    let (series, point) = plan.space.place(idx);
    let mut words: Vec<String> = Vec::new();
    if plan.kept.series.len() > 1 {
        let of = &plan.kept.series[series];
        words.push(format!("{} {}", of.symbol, of.timeframe));
    }
    words.extend(plan.space.grid().point(point).map(|(a, v)| format!("{}={v}", a.name)));
    words.join(" ")
}

fn joined<T>(ended: Result<Result<T, Fail>, tokio::task::JoinError>) -> Result<T, Fail> {
    ended.map_err(|e| Fail::new(Code::Bug, e))?
}
