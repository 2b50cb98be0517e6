//! `backtest run`: one strategy, once, through the five hops, and the result kept as rows.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Map, Value, json};
use sim::Failure;
use sim::bars::Bars;
use sim::identity::Identity;
use sim::params::Params;
use sim::rules::Rules;
use sim::strategy::Strategy;
use sim::timeframe::Timeframe;
use store::{Begun, LoadAsk, Loaded, NewRun, Range, Store, StrategyRow};
use strategies::Definition;

use crate::again::patiently;
use crate::args::{self, Choice, Global, Run};
use crate::command::{kept, lookahead};
use crate::fail::{Code, Fail, Signals};
use crate::report;
use crate::talk::{self, Bar, Unit};
use crate::verdict;
use crate::when;

/// How often a running row says that it lives; 60 s of silence and it counts as abandoned.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Most bars of warm-up that can be asked for.
pub(crate) const MAX_WARMUP: usize = 1_000_000;

/// How long a run that is interrupted may take to be marked so.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs it and prints the result; returns the id that it is kept as. Interrupted, a run that was begun is FAILED.
pub(crate) async fn run(
    global: &Global,
    store: &Store,
    args: Run,
    signals: &mut Signals,
) -> Result<i64, Fail> {
    let begun = OnceLock::new();
    let done = signals.cut(work(global, store, args, &begun)).await;
    if let (Err(Fail { code: Code::Interrupted, .. }), Some(&id)) = (&done, begun.get()) {
        // Best effort: a row that nobody gives signs of life for counts as abandoned in a minute.
        let _ = tokio::time::timeout(FAREWELL, store.fail(id, "interrupted")).await;
    }
    done
}

/// Leaves the id of the run in `begun` as soon as it has one.
async fn work(
    global: &Global,
    store: &Store,
    args: Run,
    begun: &OnceLock<i64>,
) -> Result<i64, Fail> {
    let prepared = Prepared::new(&args.strategy, &args.choice)?;
    args.choice.rules.told(|_| false).into_iter().for_each(talk::say);
    let ask = ask(store, &args.choice, &prepared.definition).await?;
    let loaded = store.load(&ask, &Bar::new(Unit::Rows, global.json)).await?;
    super::took(global, &ask.symbol, &loaded);
    if let Some(Range { from_us: Some(from), to_us: Some(to) }) = loaded.shorter {
        let (from, to) = (when::show(from), when::show(to));
        talk::say(format!("the bars held cover only {from} to {to} of the range asked for"));
    }
    verdict::strict(global, store, &args.trust, &ask.symbol, &loaded).await?;
    if args.trust.verify_lookahead {
        lookahead::verify(&prepared, &loaded.bars, "before the run").await?;
    }
    let new = new_run(&args, &prepared, &ask, &loaded);
    let id = match store.begin(&new).await? {
        Begun::Existing(id) => {
            talk::say(format!("this very run is kept already, as {id}"));
            // The verdict that is kept with it may be an earlier version's, which found less.
            verdict::remark(&ask.symbol, &loaded.verdict).into_iter().for_each(talk::say);
            id
        }
        Begun::New(id) => {
            let _ = begun.set(id);
            simulate(store, id, prepared, loaded).await?;
            id
        }
    };
    kept::show(global, store, id).await?;
    talk::say(format!("kept as {id} in `{}`; its trades: backtest trades {id}", store.place()));
    Ok(id)
}

/// A strategy with its parameters and the market's rules, all found good before any bar is read.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) definition: Definition,
    pub(crate) params: Params,
    pub(crate) rules: Rules,
}

impl Prepared {
    /// What `choice` makes of the strategy called `name`.
    pub(crate) fn new(name: &str, choice: &Choice) -> Result<Self, Fail> {
        let definition = definition(name)?;
        let params = definition.params(&choice.set)?;
        let rules = choice.rules.checked()?;
        // Values that no rule can take are found here.
        definition.build(&params)?;
        Ok(Self { definition, params, rules })
    }

    /// Makes the strategy anew for every run; its values are found good here.
    pub(crate) fn maker(self) -> Result<impl Fn(&Bars) -> Box<dyn Strategy>, Fail> {
        self.definition.build(&self.params)?;
        Ok(move |_: &Bars| match self.definition.build(&self.params) {
            Ok(strategy) => strategy,
            Err(error) => unreachable!("it was built a moment ago: {error}"),
        })
    }

    /// Hop 4: the run on `bars`, away from the async threads.
    pub(crate) async fn simulate(
        &self,
        bars: Arc<Bars>,
    ) -> Result<Result<sim::Run, Failure>, Fail> {
        let it = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let mut strategy = it.definition.build(&it.params)?;
            Ok::<_, strategies::FileError>(sim::run(&bars, &mut *strategy, &it.rules))
        });
        Ok(task.await.map_err(|e| Fail::new(Code::Bug, e))??)
    }
}

/// A ready strategy by name, or a file by path.
pub(crate) fn definition(name: &str) -> Result<Definition, Fail> {
    let path = Path::new(name);
    let is_path = path.extension().is_some_and(|e| e == "toml") || name.contains(['/', '\\']);
    if !is_path {
        return Ok(strategies::ready(name)?);
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        Fail::new(Code::Data, anyhow::Error::new(error).context(format!("cannot read `{name}`")))
            .hint("`backtest strategy list` names the ready ones")
    })?;
    Ok(Definition::parse(&text, name)?)
}

/// What to load: the flags, else the strategy's own wishes, else the only thing that is held.
pub(crate) async fn ask(
    store: &Store,
    args: &Choice,
    definition: &Definition,
) -> Result<LoadAsk, Fail> {
    if args.symbol.len() > 1 {
        let symbols = args.symbol.join(", ");
        return Err(Fail::usage(format!("one run trades one symbol for now, not {symbols}"))
            .hint(format!("run them one by one: --symbol {}", args.symbol[0])));
    }
    let symbol = match args.symbol.first() {
        Some(symbol) => symbol.clone(),
        None => symbol(store, definition).await?,
    };
    ask_of(args, definition, symbol)
}

/// The same when the symbol is known.
pub(crate) fn ask_of(
    args: &Choice,
    definition: &Definition,
    symbol: String,
) -> Result<LoadAsk, Fail> {
    warmup(args.warmup)?;
    let hour = || Timeframe::from_us(3_600_000_000);
    let wished = args.timeframe.or(definition.timeframes.first().copied()).or_else(hour);
    let none = || Fail::usage("no timeframe").hint("give --timeframe 1h");
    let timeframe = wished.ok_or_else(none)?;
    let (from_us, to_us) = ends(&args.range)?;
    let columns = definition.columns();
    Ok(LoadAsk { symbol, timeframe, from_us, to_us, warmup_bars: args.warmup, columns })
}

/// Refuses more bars of warm-up than there may be.
pub(crate) fn warmup(bars: usize) -> Result<(), Fail> {
    if bars <= MAX_WARMUP {
        return Ok(());
    }
    let message = format!("{bars} bars of warm-up are more than the limit of {MAX_WARMUP}");
    Err(Fail::usage(message).hint("give a smaller --warmup"))
}

/// The ends of a range, microseconds UTC, found to be in order.
pub(crate) fn ends(range: &args::Range) -> Result<(Option<i64>, Option<i64>), Fail> {
    let (from_us, to_us) = range.ends();
    if from_us.zip(to_us).is_some_and(|(from, to)| from >= to) {
        let hint = "--from is included, --to is not";
        return Err(Fail::usage("the range ends before it begins").hint(hint));
    }
    Ok((from_us, to_us))
}

/// The strategy's first symbol when it is held, else the only one that is.
pub(crate) async fn symbol(store: &Store, definition: &Definition) -> Result<String, Fail> {
    let held = store.symbols().await?;
    let wished = definition.symbols.iter().find(|s| held.contains(*s));
    if let Some(symbol) = wished {
        return Ok(symbol.clone());
    }
    if let [only] = &held[..] {
        talk::say(format!("no --symbol given: taking `{only}`, the only one held"));
        return Ok(only.clone());
    }
    if held.is_empty() {
        return Err(Fail::data(format!("`{}` holds no bars", store.place()))
            .hint("load some with `backtest import FILE`, or try `backtest demo`"));
    }
    let names: Vec<String> = held.into_iter().take(8).collect();
    Err(Fail::usage("no symbol given").hint(format!("give --symbol, one of {}", names.join(", "))))
}

fn new_run<'a>(
    args: &'a Run,
    Prepared { definition, params, rules }: &Prepared,
    ask: &LoadAsk,
    loaded: &Loaded,
) -> NewRun<'a> {
    let bars = &loaded.bars;
    let range_us = (bars.time_us()[bars.n_warmup()], bars.end_us(bars.len() - 1));
    let timeframe = ask.timeframe.to_string();
    let identity = Identity {
        strategy: &definition.identity(),
        params,
        rules,
        fingerprint: &loaded.fingerprint,
        symbol: &ask.symbol,
        timeframe: &timeframe,
        range_us,
        n_warmup: bars.n_warmup(),
    }
    .hash();
    let parameters: Map<String, Value> =
        params.iter().map(|(name, value)| (name.to_owned(), number(value))).collect();
    let named = rules.named().into_iter();
    let rules_json: Map<String, Value> =
        named.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    NewRun {
        user: &args.user,
        strategy: strategy_row(definition),
        name: args.name.clone(),
        notes: args.notes.clone(),
        tags: args.tags.clone(),
        start_us: range_us.0,
        end_us: range_us.1,
        initial_capital: rules.capital,
        symbols: vec![ask.symbol.clone()],
        timeframes: vec![timeframe],
        parameters: Value::Object(parameters),
        rules: Value::Object(rules_json),
        identity,
        fingerprint: loaded.fingerprint.clone(),
        engine_version: sim::VERSION.to_owned(),
    }
}

pub(crate) fn strategy_row(definition: &Definition) -> StrategyRow {
    StrategyRow {
        name: definition.name.clone(),
        description: Some(definition.description.clone()),
        strategy_type: definition.strategy_type.clone(),
        parameters: definition.json().clone(),
        risk_parameters: definition.risk_json(),
        symbols: definition.symbols.clone(),
        timeframes: definition.timeframes.iter().map(Timeframe::to_string).collect(),
    }
}

/// A parameter as a JSON number, so that SQL can compare it.
pub(crate) fn number(value: rust_decimal::Decimal) -> Value {
    serde_json::from_str(&value.normalize().to_string()).unwrap_or(Value::Null)
}

/// Hops 4 and 5, with the row kept alive meanwhile.
async fn simulate(store: &Store, id: i64, prepared: Prepared, loaded: Loaded) -> Result<(), Fail> {
    let work = prepared.simulate(Arc::clone(&loaded.bars));
    tokio::pin!(work);
    let mut beat = tokio::time::interval(HEARTBEAT);
    beat.tick().await;
    let outcome = loop {
        tokio::select! {
            done = &mut work => break done?,
            // A beat that fails is followed by another; what the run is worth does not hang on one.
            _ = beat.tick() => drop(store.heartbeat(id).await),
        }
    };
    match outcome {
        Ok(run) => {
            let mut metrics = report::metrics_json(&run, &prepared.rules, &loaded);
            // Under its name another file may be saved tomorrow; this is the one that the numbers are of.
            metrics["strategy"] = prepared.definition.json().clone();
            patiently(store, || store.finish(id, &run, &metrics)).await
        }
        Err(failure) => {
            store.fail(id, &failure.to_string()).await?;
            let at = when::show(failure.time_us);
            Err(Fail::data(format!("run {id} failed: {failure} ({at})"))
                .hint("give less --capital, or a --to before that bar"))
        }
    }
}
