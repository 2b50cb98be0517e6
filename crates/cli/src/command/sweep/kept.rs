//! `backtest sweep list`, `status`, `show`, `cancel`, `delete` and `prune`, and what is said when a sweep is done.
//! What stands in the rows, and nothing more.

use serde_json::{Value, json};
use store::Store;
use store::sweeps::SweepRow;

use super::judge::best;
use super::plan::Plan;
use super::work::Worker;
use super::{judge, row, table as variants};
use crate::again::patiently;
use crate::args::Global;
use crate::args::sweep::Judge as JudgeArgs;
use crate::fail::Fail;
use crate::table::{count, counted, table};
use crate::{talk, verdict, when};

pub(super) async fn list(global: &Global, store: &Store, limit: u32) -> Result<(), Fail> {
    let rows = store.sweeps(None, limit).await?;
    if global.json {
        talk::json(&Value::Array(rows.iter().map(described).collect()));
        return Ok(());
    }
    if rows.is_empty() {
        if limit > 0 {
            let place = store.place();
            talk::say(format!("`{place}` keeps no sweep; begin one with `backtest sweep`"));
        }
        return Ok(());
    }
    let line = |s: &SweepRow| {
        vec![
            s.id.to_string(),
            s.strategy.clone().unwrap_or_default(),
            count(s.n_variants),
            count(s.n_completed),
            count(s.n_failed),
            s.status.to_lowercase(),
            when::show(s.created_us),
            s.name.clone(),
        ]
    };
    let header = ["id", "strategy", "variants", "completed", "failed", "status", "begun", "name"];
    talk::data(&table(&header, &[0, 2, 3, 4], rows.iter().map(line).collect()));
    Ok(())
}

fn described(s: &SweepRow) -> Value {
    json!({
        "id": s.id,
        "name": s.name,
        "user": s.user,
        "strategy": s.strategy,
        "status": s.status,
        "variants": s.n_variants,
        "completed": s.n_completed,
        "failed": s.n_failed,
        "blocks": s.n_blocks,
        "blocks_done": s.n_blocks_done,
        "engine_version": s.engine_version,
        "created_at": when::iso(s.created_us),
        "completed_at": s.completed_us.map(when::iso),
    })
}

/// A sweep with how many of its variants are there yet.
pub(super) fn document(sweep: &SweepRow, left: u64) -> Value {
    let mut all = described(sweep);
    all["left"] = left.into();
    all
}

/// What of the variants that were saved is no more; nothing where all are there.
fn pruned(sweep: &SweepRow, left: u64) -> String {
    match (sweep.n_completed + sweep.n_failed).saturating_sub(left) {
        0 => String::new(),
        n => format!(", {} deleted by `sweep prune`", count(n)),
    }
}

pub(super) async fn status(global: &Global, store: &Store, id: i64) -> Result<(), Fail> {
    let sweep = row(store, id).await?;
    let left = patiently(store, || store.n_variants_left(id)).await?;
    if global.json {
        talk::json(&document(&sweep, left));
        return Ok(());
    }
    say_status(store, &sweep, left).await
}

async fn say_status(store: &Store, sweep: &SweepRow, left: u64) -> Result<(), Fail> {
    let saved = sweep.n_completed + sweep.n_failed;
    let share =
        if sweep.n_variants == 0 { 0.0 } else { 100.0 * saved as f64 / sweep.n_variants as f64 };
    talk::data(&format!(
        "sweep {} is {}: {} of {} variants saved ({share:.1} %), {} of them failed{}; {} of {}",
        sweep.id,
        sweep.status.to_lowercase(),
        count(saved),
        count(sweep.n_variants),
        count(sweep.n_failed),
        pruned(sweep, left),
        sweep.n_blocks_done,
        counted(sweep.n_blocks, "block"),
    ));
    if let Some((error, n)) = why_failed(store, sweep).await? {
        let others = if n < sweep.n_failed { ", the others by something else" } else { "" };
        talk::data(&format!("  {} failed by: {error}{others}", count(n)));
    }
    if sweep.status == "STOPPED" || sweep.status == "CANCELLED" {
        talk::say(format!("go on with: backtest sweep resume {}", sweep.id));
    }
    Ok(())
}

/// What most of the failed variants failed by, and how many.
async fn why_failed(store: &Store, sweep: &SweepRow) -> Result<Option<(String, u64)>, Fail> {
    if sweep.n_failed == 0 {
        return Ok(None);
    }
    patiently(store, || store.commonest_error(sweep.id)).await
}

pub(super) async fn show(global: &Global, store: &Store, id: i64) -> Result<(), Fail> {
    let sweep = &row(store, id).await?;
    let left = patiently(store, || store.n_variants_left(id)).await?;
    if global.json {
        let mut all = document(sweep, left);
        all["definition"] = sweep.definition.clone();
        talk::json(&all);
        return Ok(());
    }
    let kept = Plan::of(&sweep.definition)?.kept;
    talk::data(&format!("sweep {} `{}`, {}", sweep.id, sweep.name, sweep.status.to_lowercase()));
    for series in &kept.series {
        talk::data(&format!(
            "  {} {}, {} to {}, {} bars",
            series.symbol,
            series.timeframe,
            when::show(series.start_us),
            when::show(series.end_us),
            count(series.n_bars as u64)
        ));
    }
    for told in kept.data.iter().filter_map(|v| verdict::clean(v).or_else(|| verdict::faults(v))) {
        told.lines().for_each(|line| talk::data(&format!("  {line}")));
    }
    for axis in &kept.axes {
        let values: Vec<String> = axis.values.iter().take(12).map(ToString::to_string).collect();
        let more = axis.values.len().saturating_sub(12);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        talk::data(&format!("  {} = {}{more}", axis.name, values.join(", ")));
    }
    for rule in &kept.constraints {
        talk::data(&format!("  where {rule}"));
    }
    let keep = kept.keep.map_or_else(String::new, |keep| format!(", if {keep}"));
    let (search, trades) = (kept.search.words(), &kept.trades);
    talk::data(&format!("  {search}; objective {}{keep}; trades {trades}", kept.objective));
    say_status(store, sweep, left).await
}

/// After the last block: what is best, and where to look.
pub(super) async fn summary(
    global: &Global,
    store: &Store,
    worker: &Worker,
    top: usize,
) -> Result<(), Fail> {
    let id = worker.sweep.id;
    let now = row(store, id).await?;
    let left = patiently(store, || store.n_variants_left(id)).await?;
    let why = why_failed(store, &now).await?;
    if let (0, Some((error, n))) = (now.n_completed, &why) {
        let message = format!("every variant of sweep {id} failed, {} by: {error}", count(*n));
        let hint = format!("each with its reason: backtest sweep export {id}");
        return Err(Fail::data(message).hint(hint));
    }
    variants::show(global, store, &now, &worker.plan, &worker.judge, top, |_| true).await?;
    let failed = match now.n_failed {
        0 => String::new(),
        n => format!(", {} failed", count(n)),
    };
    talk::say(format!(
        "{}{failed}{}, kept as sweep {id} in `{}`; more: backtest sweep top {id}",
        counted(now.n_completed + now.n_failed, "variant"),
        pruned(&now, left),
        store.place()
    ));
    if let Some((error, n)) = why {
        talk::say(format!("  {} failed by: {error}", count(n)));
    }
    Ok(())
}

pub(super) async fn cancel(global: &Global, store: &Store, id: i64) -> Result<(), Fail> {
    row(store, id).await?;
    let cancelled = store.cancel_sweep(id).await?;
    if global.json {
        talk::json(&json!({ "cancelled": cancelled }));
    } else if cancelled {
        talk::data(&format!("sweep {id} is cancelled; its workers stop after their blocks"));
    } else {
        talk::data(&format!("sweep {id} does not run"));
    }
    Ok(())
}

pub(super) async fn delete(global: &Global, store: &Store, ids: &[i64]) -> Result<(), Fail> {
    for &id in ids {
        row(store, id).await?;
    }
    let mut variants = 0;
    for &id in ids {
        variants += store.delete_sweep(id).await?;
    }
    if global.json {
        talk::json(&json!({ "deleted": ids, "variants": variants }));
    } else {
        talk::data(&format!("deleted with {}", counted(variants, "variant")));
    }
    Ok(())
}

pub(super) async fn prune(
    global: &Global,
    store: &Store,
    id: i64,
    most: usize,
    args: &JudgeArgs,
) -> Result<(), Fail> {
    let sweep = row(store, id).await?;
    if sweep.status != "COMPLETED" {
        let hint = format!("let it end first: backtest sweep resume {id}");
        return Err(
            Fail::usage(format!("sweep {id} is {}", sweep.status.to_lowercase())).hint(hint)
        );
    }
    let plan = Plan::of(&sweep.definition)?;
    let judge = judge(&plan, args)?;
    let best = best(store, id, &judge, most, |_| true).await?;
    let left = patiently(store, || store.n_variants_left(id)).await?;
    // Those that are judged by nothing are none of the best, but fewer than asked for shall not stay.
    if best.len() < most && (best.len() as u64) < left {
        let message = format!("{}; nothing was deleted", judge.few_values(best.len(), left));
        let hint = match best.len() {
            0 => "give another --objective or --keep".to_owned(),
            n => format!("`--best {n}` keeps just these; or give another --objective or --keep"),
        };
        return Err(Fail::usage(message).hint(hint));
    }
    let keep: Vec<i64> = best.iter().map(|judged| judged.id).collect();
    let deleted = store.prune_sweep(id, &keep).await?;
    if global.json {
        talk::json(&json!({ "kept": keep, "deleted": deleted }));
    } else {
        talk::data(&format!("kept the best {}, deleted {}", keep.len(), count(deleted)));
    }
    Ok(())
}
