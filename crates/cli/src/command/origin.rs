//! What a kept result was made from, put together from its rows: strategy, parameters, rules and bars to load.
//! A variant shares most of it with its sweep. Nothing is run here.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;
use sim::grid::RULES;
use sim::identity::Identity;
use sim::params::Params;
use sim::rules::Rules;
use store::{LoadAsk, RunDetail};
use strategies::Definition;

use crate::command::run::Prepared;
use crate::command::sweep::plan::Plan;
use crate::fail::Fail;

/// Everything that decides a result's numbers.
pub(crate) struct Origin {
    pub(crate) prepared: Prepared,
    pub(crate) ask: LoadAsk,
    /// Hash of it all by today's engine, with the data as they were then.
    pub(crate) identity: String,
}

impl Origin {
    /// Of a result that is COMPLETED.
    pub(crate) fn of(detail: &RunDetail) -> Result<Self, Fail> {
        let (prepared, n_warmup) = match (&detail.sweep_definition, detail.variant_idx) {
            (Some(sweep), Some(idx)) => of_variant(sweep, idx)?,
            _ => of_run(detail)?,
        };
        let row = &detail.row;
        let first = |list: &[String]| list.first().cloned().unwrap_or_default();
        let (symbol, timeframe) = (first(&row.symbols), first(&row.timeframes));
        let identity = Identity {
            strategy: &prepared.definition.identity(),
            params: &prepared.params,
            rules: &prepared.rules,
            fingerprint: detail.fingerprint.as_deref().unwrap_or_default(),
            symbol: &symbol,
            timeframe: &timeframe,
            range_us: (row.start_us, row.end_us),
            n_warmup,
        }
        .hash();
        let ask = LoadAsk {
            timeframe: timeframe.parse().map_err(|_| unreadable("timeframe"))?,
            symbol,
            from_us: Some(row.start_us),
            to_us: Some(row.end_us),
            // As many as there were, also where more have been imported since.
            warmup_bars: n_warmup,
            columns: prepared.definition.columns(),
        };
        Ok(Self { prepared, ask, identity })
    }
}

fn unreadable(what: &str) -> Fail {
    Fail::data(format!("the kept {what} cannot be read"))
        .hint("the row was changed, or made by another program: run it again with `backtest run`")
}

fn of_variant(sweep: &Value, idx: u64) -> Result<(Prepared, usize), Fail> {
    let plan = Plan::of(sweep)?;
    let (series, point) = plan.space.place(idx);
    let variant = plan.space.grid().variant(point);
    let n_warmup = plan.kept.series.get(series).ok_or_else(|| unreadable("sweep"))?.n_warmup;
    let Plan { definition, .. } = plan;
    Ok((Prepared { definition, params: variant.params, rules: variant.rules }, n_warmup))
}

fn of_run(detail: &RunDetail) -> Result<(Prepared, usize), Fail> {
    let file = file(detail).ok_or_else(|| unreadable("strategy"))?;
    let definition = Definition::from_json(file)?;
    let mut params = Params::default();
    for (name, text) in parameters(detail) {
        let value = text.parse().or_else(|_| Decimal::from_scientific(&text));
        params.set(&name, value.map_err(|_| unreadable(&format!("parameter `{name}`")))?);
    }
    let texts = detail.rules.as_ref().and_then(Value::as_object).into_iter().flatten();
    let rules = rules(&texts.map(|(name, value)| (name.clone(), text(value))).collect())?;
    let metrics = detail.row.results.as_ref().and_then(|r| r.metrics.as_ref());
    let warmup = metrics.and_then(|m| m.pointer("/data/warmup_bars")).and_then(Value::as_u64);
    let n_warmup = warmup.and_then(|n| usize::try_from(n).ok());
    Ok((Prepared { definition, params, rules }, n_warmup.ok_or_else(|| unreadable("warm-up"))?))
}

/// The strategy file as it was run; of a run that an older version kept, as it was last saved under its name.
pub(crate) fn file(detail: &RunDetail) -> Option<&Value> {
    let of_sweep = detail.sweep_definition.as_ref().and_then(|d| d.get("strategy"));
    let metrics = detail.row.results.as_ref().and_then(|r| r.metrics.as_ref());
    let of_run = metrics.and_then(|m| m.get("strategy"));
    of_sweep.or(of_run).or(detail.strategy_parameters.as_ref())
}

/// Of a variant the bars that it was run on, as its sweep holds them.
pub(crate) fn series(detail: &RunDetail) -> Option<&Value> {
    let row = &detail.row;
    let is = |series: &Value, name: &str, list: &[String]| {
        series.get(name).and_then(Value::as_str) == list.first().map(String::as_str)
    };
    let all = detail.sweep_definition.as_ref()?.get("series")?.as_array()?;
    all.iter().find(|s| is(s, "symbol", &row.symbols) && is(s, "timeframe", &row.timeframes))
}

/// Every parameter of the strategy with its value as text; of a variant also those that its sweep fixed.
pub(crate) fn parameters(detail: &RunDetail) -> BTreeMap<String, String> {
    let fixed = detail.sweep_definition.as_ref().and_then(|d| d.get("params"));
    let own = detail.row.parameters.as_ref();
    let both = [fixed, own].into_iter().flatten().filter_map(Value::as_object).flatten();
    let is_rule = |name: &str| detail.variant_idx.is_some() && RULES.contains(&name);
    both.filter(|(name, _)| !is_rule(name)).map(|(n, v)| (n.clone(), text(v))).collect()
}

/// A kept value as it would be typed.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Rules from their texts by name, as they are kept.
pub(crate) fn rules(texts: &BTreeMap<String, String>) -> Result<Rules, Fail> {
    let text = |name: &str| texts.get(name).map_or("", String::as_str);
    let bad = |name: &str| unreadable(&format!("rule `{name}`"));
    let number = |name: &str| text(name).parse::<Decimal>().map_err(|_| bad(name));
    Ok(Rules {
        capital: number("capital")?,
        fee_bps: number("fee_bps")?,
        maker_fee_bps: number("maker_fee_bps")?,
        slippage_bps: number("slippage_bps")?,
        fill: text("fill").parse().map_err(|_| bad("fill"))?,
        intrabar: text("intrabar").parse().map_err(|_| bad("intrabar"))?,
        lot_step: number("lot_step")?,
        tick_size: number("tick_size")?,
        min_notional: number("min_notional")?,
        year_days: text("year_days").parse().map_err(|_| bad("year_days"))?,
        risk_free: number("risk_free")?,
    })
}
