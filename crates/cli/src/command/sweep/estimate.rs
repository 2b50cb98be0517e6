//! What a sweep will cost: variants, rows, disk, memory and time, before anything is written.
//! Rates are those of benches/README.md; only the simulation is timed here.

use std::time::Duration;

use serde_json::json;
use store::{Edition, Store};

use super::begin::{self, Held};
use super::plan::Plan;
use super::work::{MAX_HELD_BARS, told};
use crate::args::Global;
use crate::fail::{Code, Fail};
use crate::table::{count, counted};
use crate::talk;

/// Bytes that a variant's two rows take with their indexes: SQLite, a server.
const ROW_BYTES: (u64, u64) = (1_600, 2_600);
/// Bytes of a trade and of a day of equity, about.
const TRADE_BYTES: u64 = 250;
/// Variants a second that are written: SQLite, a server.
const WRITE_RATE: (f64, f64) = (20_000.0, 10_000.0);
/// Bytes that a sweep needs whatever it is.
const BASE_MEMORY: u64 = 60 << 20;
/// Bytes of a variant between simulator and writer.
const FLIGHT_BYTES: u64 = 3_000;
/// Blocks that are in flight at once.
const FLIGHT_BLOCKS: u64 = 4;
/// Part of the free disk that rows may fill.
const DISK_SHARE: f64 = 0.9;

pub(super) struct Estimate {
    variants: u64,
    rows: u64,
    disk: u64,
    memory: u64,
}

pub(super) fn estimate(store: &Store, plan: &Plan) -> Estimate {
    let variants = plan.space.n_variants();
    let (most, all) = bars(plan);
    let bytes = if embedded(store) { ROW_BYTES.0 } else { ROW_BYTES.1 };
    Estimate {
        variants,
        rows: 2 * variants,
        disk: variants * bytes + kept_trades(plan, most),
        // Columns of the bars held, the kernel's columns and bits, and what is in flight.
        memory: BASE_MEMORY
            + all.min(MAX_HELD_BARS as u64) * 48
            + most * 40
            + (192 << 20).min(most * 8 * 64)
            + FLIGHT_BLOCKS * plan.kept.block as u64 * FLIGHT_BYTES,
    }
}

fn embedded(store: &Store) -> bool {
    store.edition() == Edition::Sqlite
}

/// Bars of the longest series, and of all.
fn bars(plan: &Plan) -> (u64, u64) {
    let bars = |s: &super::plan::Series| (s.n_bars + s.n_warmup) as u64;
    let each = || plan.kept.series.iter().map(bars);
    (each().max().unwrap_or(0), each().sum())
}

/// How long it will take: loading took `load`, a few variants are simulated to see, and writing goes on beside that.
pub(super) fn time(
    store: &Store,
    plan: &Plan,
    held: &Held,
    load: Duration,
    threads: usize,
) -> Result<Duration, Fail> {
    let variants = plan.space.n_variants() as f64;
    let rate = if embedded(store) { WRITE_RATE.0 } else { WRITE_RATE.1 };
    let (_, all) = bars(plan);
    let mean = all as f64 / plan.kept.series.len().max(1) as f64;
    let sampled = plan.kept.series.last().map_or(1, |s| s.n_bars + s.n_warmup).max(1) as f64;
    let simulate = begin::sample(plan, held, threads)? * mean / sampled * variants;
    Ok(load + Duration::from_secs_f64(simulate.max(variants / rate)))
}

/// Bytes of the trades and days of the variants whose trades are kept, at a trade in 200 bars.
fn kept_trades(plan: &Plan, bars: u64) -> u64 {
    let each = (bars / 200 + 365) * TRADE_BYTES;
    match crate::args::sweep::trades(&plan.kept.trades) {
        Ok(crate::args::sweep::Trades::All) => plan.space.n_variants() * each,
        Ok(crate::args::sweep::Trades::Top(n)) => (n as u64).min(plan.space.n_variants()) * each,
        Err(_) => 0,
    }
}

/// Refuses a sweep whose rows will not fit.
pub(super) fn check(store: &Store, estimate: &Estimate) -> Result<(), Fail> {
    let Some(free) = store.free_bytes() else { return Ok(()) };
    if estimate.disk as f64 <= free as f64 * DISK_SHARE {
        return Ok(());
    }
    let message = format!(
        "{} variants take about {} of disk, and `{}` has {} left",
        count(estimate.variants),
        size(estimate.disk),
        store.place(),
        size(free)
    );
    Err(Fail::new(Code::Database, anyhow::anyhow!("{message}"))
        .hint("give larger steps, --search random --trials N, or a --db on another disk"))
}

pub(super) fn print(
    global: &Global,
    store: &Store,
    plan: &Plan,
    e: &Estimate,
    seconds: Duration,
) -> Result<(), Fail> {
    let free = store.free_bytes();
    if global.json {
        talk::json(&json!({
            "variants": e.variants,
            "points": plan.space.grid().n_points() * plan.kept.series.len() as u64,
            "series": plan.kept.series.len(),
            "block": plan.kept.block,
            "rows": e.rows,
            "disk_bytes": e.disk,
            "free_bytes": free,
            "memory_bytes": e.memory,
            "seconds": seconds.as_secs_f64(),
        }));
        return check(store, e);
    }
    let free = free.map_or_else(|| "unknown".to_owned(), size);
    let lines = [
        ("variants", count(e.variants)),
        ("series of bars", count(plan.kept.series.len() as u64)),
        ("variants a block", count(plan.kept.block as u64)),
        ("rows", count(e.rows)),
        ("disk, about", format!("{} (free: {free})", size(e.disk))),
        ("memory, about", size(e.memory)),
        (
            "time, about",
            crate::when::span(i64::try_from(seconds.as_secs() + 1).unwrap_or(i64::MAX)),
        ),
    ];
    for (name, value) in lines {
        talk::data(&format!("  {name:<18}{value}"));
    }
    check(store, e)
}

pub(super) fn dry_run(global: &Global, plan: &Plan) -> Result<(), Fail> {
    const SHOWN: usize = 20;
    let n = plan.space.n_variants();
    let first: Vec<u64> = plan.space.indices(0, u64::MAX).take(SHOWN).collect();
    if global.json {
        let shown: Vec<_> = first
            .iter()
            .map(|&idx| json!({ "variant_idx": idx, "told": told(plan, idx) }))
            .collect();
        talk::json(&json!({ "variants": n, "first": shown }));
        return Ok(());
    }
    for idx in &first {
        talk::data(&format!("{idx:>8}  {}", told(plan, *idx)));
    }
    let more = n.saturating_sub(first.len() as u64);
    if more > 0 {
        talk::data(&format!("  and {} more", count(more)));
    }
    talk::say(format!("{}; nothing was run", counted(n, "variant")));
    Ok(())
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
