//! Beginning a sweep: arguments into a definition, checked as far as can be before any work, and written down.
//! Nothing is simulated here but the few variants that an estimate times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rust_decimal::Decimal;
use sim::grid::{RULES, Space};
use sim::sweep::Path;
use sim::timeframe::Timeframe;
use store::sweeps::{IfExists as StoreIfExists, MAX_BLOCK, NewBlock, NewSweep};
use store::{LoadAsk, Loaded, Store, StrategyRow};
use strategies::{Definition, RISKS};

use super::judge::{DEFAULT, Judge};
use super::plan::{Kept, KeptAxis, KeptSearch, Plan, Series, grid_fail};
use super::shard::Shard;
use super::{estimate, row, work};
use crate::args::Global;
use crate::args::sweep::{IfExists, Search, Start};
use crate::command::lookahead;
use crate::command::run::{self, Prepared};
use crate::fail::Fail;
use crate::table::{count, counted};
use crate::talk::{self, Bar, Unit};
use crate::verdict;

/// Bars times variants that a block holds: a few seconds of one core, by the kernel and by the reference loop.
const BLOCK_KERNEL: usize = 2_000_000_000;
const BLOCK_REFERENCE: usize = 20_000_000;
/// Fewest and most variants of a block that nobody chose.
const BLOCK: (usize, usize) = (16, 4_096);
/// Blocks that each shard should have at least, so that they end at about the same time.
const BLOCKS_A_SHARD: u64 = 4;

/// Bars read while a sweep was begun, by series.
pub(super) type Held = BTreeMap<usize, Arc<Loaded>>;

/// A sweep that is written down, with what was read of its bars.
pub(super) struct Begun {
    pub(super) id: i64,
    pub(super) plan: Plan,
    pub(super) held: Held,
}

/// `None` when it was only to be told what would be.
pub(super) async fn begin(
    global: &Global,
    store: &Store,
    args: &Start,
) -> Result<Option<Begun>, Fail> {
    let begun = Instant::now();
    let file = run::definition(args.strategy.as_deref().unwrap_or_default())?;
    let strategy = run::strategy_row(&file);
    let (definition, axes) = dimensions(args, &file)?;
    let mut kept = kept(args, &definition, axes)?;
    Judge::new(&kept.objective, kept.keep.as_deref())?;
    let is_axis = |name: &str| kept.axes.iter().any(|axis| axis.name == name);
    let follows = |name: &str| name == "maker_fee_bps" && kept.maker_follows_fee;
    let varied = |name: &str| is_axis(name) || (follows(name) && is_axis("fee_bps"));
    args.rules.told(varied).into_iter().for_each(talk::say);
    let asks = asks(store, args, &definition).await?;
    // Everything about the grid is checked before a bar is read.
    let grid = kept.grid(&definition)?;
    let space =
        Space::new(grid, asks.len(), &kept.search(), args.max_variants).map_err(grid_fail)?;
    let trials = kept.search.trials.filter(|trials| *trials > space.n_variants());
    if let Some(trials) = trials {
        let all = counted(space.n_variants(), "variant");
        talk::say(format!("of {} trials, the grid has {all}: all are run", count(trials)));
    }
    let shard = match &args.work.shard {
        Some(text) => Shard::parse(text, &|name| std::env::var(name).ok())?,
        None => Shard::ALL,
    };
    let mut held = Held::new();
    for (nth, ask) in asks.iter().enumerate() {
        let loaded = store.load(ask, &Bar::new(Unit::Rows, global.json)).await?;
        crate::command::took(global, &ask.symbol, &loaded);
        verdict::strict(global, store, &args.trust, &ask.symbol, &loaded).await?;
        verdict::remark(&ask.symbol, &loaded.verdict).into_iter().for_each(talk::say);
        kept.series.push(series(ask, &loaded));
        kept.data.push(verdict::json(&loaded.verdict));
        held.retain(|_, l| l.bars.len() + loaded.bars.len() < work::MAX_HELD_BARS);
        held.insert(nth, Arc::new(loaded));
    }
    let load = begun.elapsed();
    let way = way(&definition, &space, &held);
    kept.block = block_size(args, &kept, &space, way, shard)?;
    let plan = Plan { kept, definition, space };
    if args.dry_run {
        return estimate::dry_run(global, &plan).map(|()| None);
    }
    let estimated = estimate::estimate(store, &plan);
    if args.estimate {
        let time = estimate::time(store, &plan, &held, load, args.work.threads)?;
        return estimate::print(global, store, &plan, &estimated, time).map(|()| None);
    }
    estimate::check(store, &estimated)?;
    if let Path::Reference(why) = way {
        talk::say(format!("the reference loop takes it, bar by bar: {why}"));
    }
    if args.trust.verify_lookahead {
        verify_lookahead(&plan, &held).await?;
    }
    if global.verbose > 0 {
        talk::say(format!("plan and load took {:.3} s", load.as_secs_f64()));
    }
    let id = write_down(store, args, strategy, &plan).await?;
    Ok(Some(Begun { id, plan, held }))
}

/// Checks the strategy at its defaults on the first series that is held.
async fn verify_lookahead(plan: &Plan, held: &Held) -> Result<(), Fail> {
    let Some((&series, loaded)) = held.first_key_value() else { return Ok(()) };
    let prepared = Prepared {
        definition: plan.definition.clone(),
        params: plan.definition.params(&[])?,
        rules: plan.space.grid().variant(0).rules,
    };
    let of = &plan.kept.series[series];
    let what = format!("at its defaults on {} {}", of.symbol, of.timeframe);
    lookahead::verify(&prepared, &loaded.bars, &what).await
}

/// Its id, or that of the same sweep begun before.
async fn write_down(
    store: &Store,
    args: &Start,
    strategy: StrategyRow,
    plan: &Plan,
) -> Result<i64, Fail> {
    let identity = plan.kept.identity(&plan.definition);
    let blocks: Vec<NewBlock> = plan
        .space
        .blocks(plan.kept.block)
        .into_iter()
        .map(|b| NewBlock { first_idx: b.first, end_idx: b.end, n_variants: b.n_variants })
        .collect();
    let if_exists = match args.if_exists {
        IfExists::New => StoreIfExists::New,
        IfExists::Resume => StoreIfExists::Resume,
        IfExists::Error => {
            if let Some(id) = store.find_sweep(&args.user, &identity).await? {
                return Err(Fail::usage(format!("this very sweep is kept already, as {id}"))
                    .hint(format!("go on with: backtest sweep resume {id}")));
            }
            StoreIfExists::Resume
        }
    };
    let new = NewSweep {
        user: &args.user,
        strategy,
        name: args.name.clone().unwrap_or_else(|| plan.definition.name.clone()),
        definition: serde_json::to_value(&plan.kept)
            .map_err(|e| Fail::new(crate::fail::Code::Bug, e))?,
        identity,
        engine_version: sim::VERSION.to_owned(),
        blocks: &blocks,
    };
    let begun = store.begin_sweep(&new, if_exists).await?;
    let id = begun.id;
    if !begun.existed {
        let variants = counted(plan.space.n_variants(), "variant");
        talk::say(format!("sweep {id}: {variants} in {}", counted(blocks.len() as u64, "block")));
    } else if row(store, id).await?.status == "COMPLETED" {
        talk::say(format!("this very sweep was done before, as {id}"));
    } else {
        talk::say(format!("this very sweep was begun before, as {id}: going on with it"));
    }
    Ok(id)
}

/// The strategy as it is swept, and its dimensions: parameters with the risk rules among them by name, then costs.
fn dimensions(args: &Start, definition: &Definition) -> Result<(Definition, Vec<KeptAxis>), Fail> {
    let is_param = |name: &str| definition.default(name).is_some();
    let mut risks = Vec::new();
    for (name, _) in &args.params {
        if is_param(name) || RULES.contains(&name.as_str()) {
            continue;
        }
        if !RISKS.contains(&name.as_str()) {
            return Err(unknown(definition, name));
        }
        risks.push(name.as_str());
    }
    let definition = definition.with_risks(&risks)?;
    let mut axes: Vec<KeptAxis> = Vec::new();
    let given = |name: &str| -> Vec<Vec<Decimal>> {
        args.params.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect()
    };
    for parameter in &definition.parameters {
        let mut values = given(&parameter.name);
        if values.is_empty()
            && let Some((from, to)) = parameter.range
        {
            let step = parameter.step.map_or_else(String::new, |s| format!(":{s}"));
            let text = format!("{from}..{to}{step}");
            values.push(sim::grid::values(&text).map_err(grid_fail)?);
        }
        let name = &parameter.name;
        axes.extend(values.into_iter().map(|values| KeptAxis { name: name.clone(), values }));
    }
    for name in RULES {
        let axis = |values| KeptAxis { name: name.to_owned(), values };
        axes.extend(given(name).into_iter().map(axis));
    }
    Ok((definition, axes))
}

fn unknown(definition: &Definition, name: &str) -> Fail {
    let parameters: Vec<&str> = definition.parameters.iter().map(|p| p.name.as_str()).collect();
    let others = [&RISKS[..], &RULES[..]].concat().join(", ");
    Fail::usage(format!("`{}` has no parameter `{name}`", definition.name))
        .hint(format!("there are {}; and {others}", parameters.join(", ")))
}

fn kept(args: &Start, definition: &Definition, axes: Vec<KeptAxis>) -> Result<Kept, Fail> {
    let rules = args.rules.checked()?;
    run::warmup(args.warmup)?;
    let is_axis = |name: &str| axes.iter().any(|axis| axis.name == name);
    let fixed = definition.parameters.iter().filter(|p| !is_axis(&p.name));
    let require = definition.require().map(|rule| rule.source().to_owned());
    let named = rules.named().into_iter();
    let kind = match args.search {
        Search::Grid => "grid",
        Search::Random => "random",
        Search::Sobol => "sobol",
    };
    let sampled = args.search != Search::Grid;
    if args.trials.is_some() && !sampled {
        return Err(Fail::usage("--trials is for a search that tries some points, not all")
            .hint("give --search random or --search sobol, or leave --trials out"));
    }
    Ok(Kept {
        strategy: definition.json().clone(),
        params: fixed.map(|p| (p.name.clone(), p.default)).collect(),
        rules: named.map(|(name, value)| (name.to_owned(), value)).collect(),
        maker_follows_fee: args.rules.maker_fee_bps.is_none() && !is_axis("maker_fee_bps"),
        constraints: require.into_iter().chain(args.wheres.iter().cloned()).collect(),
        search: KeptSearch {
            kind: kind.to_owned(),
            trials: args.trials.filter(|_| sampled),
            seed: sampled.then_some(args.seed),
        },
        axes,
        series: Vec::new(),
        data: Vec::new(),
        warmup: args.warmup,
        block: 0,
        objective: args.judge.objective.clone().unwrap_or_else(|| DEFAULT.to_owned()),
        keep: args.judge.keep.clone(),
        trades: args.trades.to_string(),
    })
}

/// What to load, a series for each symbol and timeframe.
async fn asks(store: &Store, args: &Start, definition: &Definition) -> Result<Vec<LoadAsk>, Fail> {
    let (from_us, to_us) = run::ends(&args.range)?;
    let symbols = match args.symbols.is_empty() {
        true => vec![run::symbol(store, definition).await?],
        false => args.symbols.clone(),
    };
    let wished = definition.timeframes.first().copied();
    let hour = || Timeframe::from_us(3_600_000_000);
    let timeframes = match args.timeframes.is_empty() {
        true => wished.or_else(hour).into_iter().collect(),
        false => args.timeframes.clone(),
    };
    let mut asks = Vec::new();
    for symbol in &symbols {
        for &timeframe in &timeframes {
            asks.push(LoadAsk {
                symbol: symbol.clone(),
                timeframe,
                from_us,
                to_us,
                warmup_bars: args.warmup,
                columns: definition.columns(),
            });
        }
    }
    let twice = |a: &LoadAsk, b: &LoadAsk| a.symbol == b.symbol && a.timeframe == b.timeframe;
    for (nth, ask) in asks.iter().enumerate() {
        if asks[..nth].iter().any(|before| twice(before, ask)) {
            let message = format!("`{}` `{}` is given twice", ask.symbol, ask.timeframe);
            return Err(Fail::usage(message).hint("name each symbol and timeframe once"));
        }
    }
    Ok(asks)
}

fn series(ask: &LoadAsk, loaded: &Loaded) -> Series {
    let bars = &loaded.bars;
    Series {
        symbol: ask.symbol.clone(),
        timeframe: ask.timeframe.to_string(),
        start_us: bars.time_us()[bars.n_warmup()],
        end_us: bars.end_us(bars.len() - 1),
        n_bars: bars.len() - bars.n_warmup(),
        n_warmup: bars.n_warmup(),
        fingerprint: loaded.fingerprint.clone(),
    }
}

/// Whether the kernel takes it.
fn way(definition: &Definition, space: &Space, held: &Held) -> Path {
    if definition.is_native() {
        return Path::Reference("the strategy is written in Rust");
    }
    let rules = space.grid().variant(0).rules;
    let ways = held.values().map(|loaded| sim::sweep::path(&loaded.bars, &rules));
    ways.into_iter().find(|way| *way != Path::Kernel).unwrap_or(Path::Kernel)
}

fn block_size(
    args: &Start,
    kept: &Kept,
    space: &Space,
    way: Path,
    shard: Shard,
) -> Result<usize, Fail> {
    if let Some(size) = args.work.block {
        if !(1..=MAX_BLOCK).contains(&size) {
            return Err(Fail::usage(format!("a block of {size} variants is none"))
                .hint(format!("give --block 1 to {MAX_BLOCK}")));
        }
        return Ok(size);
    }
    let bars = kept.series.iter().map(|s| s.n_bars + s.n_warmup).max().unwrap_or(1).max(1);
    let budget = if way == Path::Kernel { BLOCK_KERNEL } else { BLOCK_REFERENCE };
    let by_time = (budget / bars).clamp(BLOCK.0, BLOCK.1);
    if shard.count == 1 {
        return Ok(by_time);
    }
    let share = space.n_variants() / (shard.count * BLOCKS_A_SHARD);
    Ok(by_time.min(usize::try_from(share).unwrap_or(by_time)).max(1))
}

/// A few variants, evenly apart, simulated for the time it takes; seconds a variant.
pub(super) fn sample(plan: &Plan, held: &Held, threads: usize) -> Result<f64, Fail> {
    const SAMPLE: u64 = 32;
    let Some((&series, loaded)) = held.iter().next_back() else { return Ok(0.0) };
    let n = plan.space.grid().n_points();
    let series = series as u64 * n;
    let step = (n / SAMPLE).max(1);
    let indices = (0..n).step_by(usize::try_from(step).unwrap_or(1));
    let chosen = indices.filter(|&point| plan.space.grid().allows(point) && series < u64::MAX);
    let variants: Vec<_> = chosen.map(|point| plan.space.grid().variant(point)).collect();
    let begun = Instant::now();
    let options = sim::sweep::Options { threads, ..Default::default() };
    work::simulate(plan, loaded, &variants, &options, &|_, _| {})?;
    Ok(begun.elapsed().as_secs_f64() / variants.len().max(1) as f64)
}
