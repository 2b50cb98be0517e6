//! What a run says of itself: its metrics as JSON at full precision, and as the block that a person reads.
//! Nothing is computed here that a stored row would not hold.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use sim::Run;
use sim::order::RejectReason;
use sim::rules::Rules;
use sim::sweep::Outcome;
use store::Loaded;

use crate::table::{count, counted, money, number, signed, sparkline};
use crate::verdict;
use crate::when;

/// Values by their names.
type Named = Vec<(&'static str, Value)>;

/// Metrics at 12 significant digits, with the conventions that they were computed under.
pub(crate) fn metrics_json(run: &Run, rules: &Rules, loaded: &Loaded) -> Value {
    let mut all = named(&Outcome::from(run), run.equity.len());
    all.push(("data", data(loaded)));
    all.push(("conventions", conventions(rules)));
    object(all)
}

/// The same of a variant; what all variants of a sweep share stands in the sweep.
pub(crate) fn outcome_json(outcome: &Outcome, n_bars: usize) -> Value {
    object(named(outcome, n_bars))
}

/// The text of [`outcome_json`], made without a map: a sweep makes one for every variant.
pub(crate) fn outcome_text(outcome: &Outcome, n_bars: usize) -> String {
    let mut all = named(outcome, n_bars);
    all.sort_unstable_by_key(|(name, _)| *name);
    let mut text = String::with_capacity(1_024);
    for (name, value) in all {
        text.push_str(if text.is_empty() { "{\"" } else { ",\"" });
        text.push_str(name);
        text.push_str("\":");
        text.push_str(&value.to_string());
    }
    text + "}"
}

fn object(all: Named) -> Value {
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The columns of `backtest_results`, undefined as null, and what has no column.
fn named(outcome: &Outcome, n_bars: usize) -> Named {
    let m = &outcome.metrics;
    let plain = |of: Decimal| json!(of.normalize().to_string());
    let counted = RejectReason::ALL.iter().zip(outcome.rejections).filter(|&(_, n)| n > 0);
    vec![
        ("total_return", digits(m.total_return)),
        ("annual_return", digits(m.annual_return)),
        ("volatility", digits(m.volatility)),
        ("sharpe_ratio", digits(m.sharpe_ratio)),
        ("sortino_ratio", digits(m.sortino_ratio)),
        ("max_drawdown", digits(m.max_drawdown)),
        ("calmar_ratio", digits(m.calmar_ratio)),
        ("win_rate", digits(m.win_rate)),
        ("profit_factor", digits(m.profit_factor)),
        ("avg_trade_return", digits(m.avg_trade_return)),
        ("avg_win", digits(m.avg_win)),
        ("avg_loss", digits(m.avg_loss)),
        ("largest_win", digits(m.largest_win)),
        ("largest_loss", digits(m.largest_loss)),
        ("max_drawdown_duration", json!(m.max_drawdown_duration)),
        ("total_trades", json!(m.total_trades)),
        ("winning_trades", json!(m.winning_trades)),
        ("losing_trades", json!(m.losing_trades)),
        ("avg_trade_duration", digits(m.avg_trade_duration_us.map(|us| us as f64 / 1e6))),
        ("final_capital", plain(m.final_capital)),
        ("exposure", digits(share(outcome.bars_held, n_bars))),
        ("buy_and_hold_return", digits(Some(outcome.buy_and_hold))),
        ("fees_paid", plain(outcome.fees)),
        ("open_pnl", plain(outcome.open_pnl)),
        ("open_trades", json!(outcome.open_trades)),
        ("rejections", counted.map(|(r, n)| (r.word().to_owned(), json!(n))).collect()),
        ("ambiguous_bars", json!(outcome.ambiguous_bars)),
        ("bars", json!(n_bars)),
    ]
}

/// A double at 12 significant digits: the last few of 17 are the noise of a platform's library.
pub(crate) fn digits(value: Option<f64>) -> Value {
    let rounded = value.and_then(|v| format!("{v:.11e}").parse::<f64>().ok());
    // Minus zero would be another text for the same number.
    json!(rounded.map(|v| if v == 0.0 { 0.0 } else { v }))
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

fn data(loaded: &Loaded) -> Value {
    json!({
        "source_timeframe": loaded.source_timeframe.to_string(),
        "source_bars": loaded.source_bars,
        "missing_bars": loaded.missing_bars,
        "warmup_bars": loaded.bars.n_warmup(),
        "short_warmup": loaded.short_warmup.is_some(),
        "verdict": verdict::json(&loaded.verdict),
    })
}

fn conventions(rules: &Rules) -> Value {
    let mut all: Map<String, Value> =
        rules.named().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    all.insert("returns".to_owned(), json!("simple, by UTC day, initial capital in front"));
    all.insert("deviation".to_owned(), json!("n - 1"));
    all.insert("annual_return_year_days".to_owned(), json!(365));
    all.insert("engine_version".to_owned(), json!(sim::VERSION));
    Value::Object(all)
}

/// What stands above and below the numbers of a result.
pub(crate) struct Heading {
    pub(crate) strategy: String,
    pub(crate) symbol: String,
    pub(crate) timeframe: String,
    pub(crate) source_timeframe: Option<String>,
    pub(crate) start_us: i64,
    pub(crate) end_us: i64,
    pub(crate) bars: Option<u64>,
    pub(crate) params: String,
    /// Rules by name and value, as stored.
    pub(crate) rules: Vec<(String, String)>,
}

/// The block a person reads, from the metrics as they are stored.
pub(crate) fn block(heading: &Heading, metrics: &Value, daily: &[f64]) -> String {
    let mut lines = title(heading);
    if daily.len() > 1 {
        lines.push(String::new());
        lines.push(format!("  equity  {}", sparkline(daily, 60)));
    }
    lines.push(String::new());
    lines.extend(columns(metrics));
    lines.extend(remarks(heading, metrics));
    if let Some(found) = metrics.pointer("/data/verdict").and_then(verdict::faults) {
        lines.push(String::new());
        lines.extend(found.lines().map(|line| format!("  {line}").trim_end().to_owned()));
    }
    lines.join("\n")
}

fn title(heading: &Heading) -> Vec<String> {
    let source = heading.source_timeframe.as_ref().filter(|s| **s != heading.timeframe);
    let made = source.map_or_else(String::new, |s| format!(" made from {s}"));
    let bars = heading.bars.map_or_else(String::new, |n| format!(", {}", counted(n, "bar")));
    let mut lines = vec![format!(
        "{} on {} {}{made}, {} to {}{bars}",
        heading.strategy,
        heading.symbol,
        heading.timeframe,
        when::show(heading.start_us),
        when::show(heading.end_us),
    )];
    let rule = |name: &str| {
        let found = heading.rules.iter().find(|(n, _)| n == name);
        found.map_or("?", |(_, value)| value.as_str()).to_owned()
    };
    let params =
        if heading.params.is_empty() { String::new() } else { format!("{}; ", heading.params) };
    lines.push(format!(
        "{params}fee {} bps a side, slippage {} bps, fills at {}, intrabar {}",
        rule("fee_bps"),
        rule("slippage_bps"),
        rule("fill").replace('_', " "),
        rule("intrabar"),
    ));
    lines
}

/// Two columns of names and numbers.
fn columns(metrics: &Value) -> Vec<String> {
    let f = |name: &str| metrics.get(name).and_then(Value::as_f64);
    let n = |name: &str| metrics.get(name).and_then(Value::as_i64).unwrap_or(0);
    let m = |name: &str| {
        let text = metrics.get(name).and_then(Value::as_str).unwrap_or("0");
        money(text.parse().unwrap_or_default())
    };
    let average = f("avg_trade_duration").map(f64::round);
    let held = average.map_or_else(|| "-".to_owned(), |s| when::span(whole(s)));
    let capital = metrics
        .pointer("/conventions/capital")
        .and_then(Value::as_str)
        .map_or_else(|| "-".to_owned(), |text| money(text.parse().unwrap_or_default()));
    let left = [
        ("initial capital", capital),
        ("final capital", m("final_capital")),
        ("total return", signed(f("total_return"), 2, " %")),
        ("buy and hold", signed(f("buy_and_hold_return"), 2, " %")),
        ("annual return", signed(f("annual_return"), 2, " %")),
        ("volatility", number(f("volatility"), 2, " %")),
        ("max drawdown", number(f("max_drawdown"), 2, " %")),
        ("  longest", when::span(n("max_drawdown_duration"))),
        ("sharpe", number(f("sharpe_ratio"), 4, "")),
        ("sortino", number(f("sortino_ratio"), 4, "")),
        ("calmar", number(f("calmar_ratio"), 4, "")),
    ];
    let right = [
        ("closed trades", count(n("total_trades"))),
        ("won / lost", format!("{} / {}", count(n("winning_trades")), count(n("losing_trades")))),
        ("win rate", number(f("win_rate"), 2, " %")),
        ("profit factor", number(f("profit_factor"), 4, "")),
        ("average trade", signed(f("avg_trade_return"), 4, " %")),
        ("average win", signed(f("avg_win"), 4, " %")),
        ("average loss", signed(f("avg_loss"), 4, " %")),
        ("largest win", signed(f("largest_win"), 4, " %")),
        ("largest loss", signed(f("largest_loss"), 4, " %")),
        ("average time held", held),
        ("fees paid", m("fees_paid")),
    ];
    let line = |((a, b), (c, d)): ((&str, String), (&str, String))| {
        format!("  {a:<17}{b:>15}     {c:<19}{d:>15}")
    };
    left.into_iter().zip(right).map(line).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a holding time fits 63 bits of seconds")]
fn whole(seconds: f64) -> i64 {
    seconds as i64
}

/// What a careful reader must know: open position, rejections, ambiguity, holes in the data.
fn remarks(heading: &Heading, metrics: &Value) -> Vec<String> {
    let n = |name: &str| metrics.get(name).and_then(Value::as_i64).unwrap_or(0);
    let mut remarks = Vec::new();
    if let Some(exposure) = metrics.get("exposure").and_then(Value::as_f64) {
        remarks.push(format!("in the market at {exposure:.1} % of closes"));
    }
    if n("open_trades") > 0 {
        let pnl = metrics.get("open_pnl").and_then(Value::as_str).unwrap_or("0");
        let pnl = money(pnl.parse().unwrap_or_default());
        remarks.push(format!("a position is still open, marked at {pnl}, in no trade count"));
    }
    if let Some(rejected) = metrics.get("rejections").and_then(Value::as_object) {
        let all: Vec<String> = rejected.iter().map(|(word, n)| format!("{word} {n}")).collect();
        if !all.is_empty() {
            remarks.push(format!("orders rejected: {}", all.join(", ")));
        }
    }
    if n("ambiguous_bars") > 0 {
        let rule = heading.rules.iter().find(|(name, _)| name == "intrabar");
        let rule = rule.map_or("?", |(_, value)| value);
        let bars = counted(n("ambiguous_bars"), "ambiguous bar");
        remarks.push(format!("{bars} decided by `{rule}`"));
    }
    let missing = metrics.pointer("/data/missing_bars").and_then(Value::as_i64).unwrap_or(0);
    if missing > 0 {
        let are = if missing == 1 { "is" } else { "are" };
        remarks.push(format!("{} {are} missing in the data", counted(missing, "bar")));
    }
    remarks.extend(metrics.pointer("/data/verdict").and_then(verdict::clean));
    if metrics.pointer("/data/short_warmup") == Some(&json!(true)) {
        let bars = metrics.pointer("/data/warmup_bars").and_then(Value::as_i64).unwrap_or(0);
        remarks.push(match bars {
            0 => "no warm-up: indicators begin with the first bar traded".to_owned(),
            _ => format!("warm-up is short: only {} before the range", counted(bars, "bar")),
        });
    }
    if metrics.pointer("/conventions/fill") == Some(&json!("close")) {
        remarks.push("fills at the close that decided them are optimistic".to_owned());
    }
    if remarks.is_empty() {
        return remarks;
    }
    std::iter::once(String::new()).chain(remarks.into_iter().map(|r| format!("  - {r}"))).collect()
}

#[cfg(test)]
mod tests {
    use sim::metrics::Metrics;

    use super::*;

    #[test]
    fn the_text_of_a_variant_is_that_of_its_values() {
        let mut outcome = Outcome {
            metrics: Metrics { sharpe_ratio: Some(-1.0 / 3.0), ..Metrics::default() },
            rejections: [0; RejectReason::ALL.len()],
            ambiguous_bars: 3,
            bars_held: 5,
            fees: Decimal::new(1_250, 2),
            open_pnl: Decimal::ZERO,
            buy_and_hold: 7.5,
            open_trades: 1,
        };
        for refused in [0, 2] {
            outcome.rejections[0] = refused;
            assert_eq!(outcome_text(&outcome, 10), outcome_json(&outcome, 10).to_string());
        }
    }
}
