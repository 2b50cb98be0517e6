//! What a run says of itself: its metrics as JSON at full precision, and as the block that a person reads.
//! Nothing is computed here that a stored row would not hold.

use serde_json::{Map, Value, json};
use sim::Run;
use sim::metrics::Metrics;
use sim::order::RejectReason;
use sim::rules::Rules;
use sim::sweep::Outcome;
use store::Loaded;

use crate::table::{count, money, number, signed, sparkline};
use crate::verdict;
use crate::when;

/// Metrics at 12 significant digits, with the conventions that they were computed under.
pub(crate) fn metrics_json(run: &Run, rules: &Rules, loaded: &Loaded) -> Value {
    let mut all = named(&run.metrics);
    let n_bars = run.equity.len();
    let mut put = |key: &str, value: Value| all.insert(key.to_owned(), value);
    put("exposure", digits(share(run.bars_held, n_bars)));
    put("buy_and_hold_return", digits(Some(run.buy_and_hold)));
    put("fees_paid", json!(run.fees.normalize().to_string()));
    put("open_pnl", json!(run.open_pnl.normalize().to_string()));
    put("open_trades", json!(run.trades.iter().filter(|t| t.exit.is_none()).count()));
    put("rejections", rejections(run));
    put("ambiguous_bars", json!(run.ambiguous_bars));
    put("bars", json!(n_bars));
    put("data", data(loaded));
    put("conventions", conventions(rules));
    Value::Object(all)
}

/// The same of a variant; what all variants of a sweep share stands in the sweep.
pub(crate) fn outcome_json(outcome: &Outcome, n_bars: usize) -> Value {
    let mut all = named(&outcome.metrics);
    let mut put = |key: &str, value: Value| all.insert(key.to_owned(), value);
    put("exposure", digits(share(outcome.bars_held, n_bars)));
    put("buy_and_hold_return", digits(Some(outcome.buy_and_hold)));
    put("fees_paid", json!(outcome.fees.normalize().to_string()));
    put("open_pnl", json!(outcome.open_pnl.normalize().to_string()));
    put("open_trades", json!(outcome.open_trades));
    let counted = RejectReason::ALL.iter().zip(outcome.rejections).filter(|&(_, n)| n > 0);
    put("rejections", counted.map(|(r, n)| (r.word().to_owned(), json!(n))).collect());
    put("ambiguous_bars", json!(outcome.ambiguous_bars));
    put("bars", json!(n_bars));
    Value::Object(all)
}

/// The columns of `backtest_results` by name, undefined as null.
fn named(m: &Metrics) -> Map<String, Value> {
    let ratios = [
        ("total_return", m.total_return),
        ("annual_return", m.annual_return),
        ("volatility", m.volatility),
        ("sharpe_ratio", m.sharpe_ratio),
        ("sortino_ratio", m.sortino_ratio),
        ("max_drawdown", m.max_drawdown),
        ("calmar_ratio", m.calmar_ratio),
        ("win_rate", m.win_rate),
        ("profit_factor", m.profit_factor),
        ("avg_trade_return", m.avg_trade_return),
        ("avg_win", m.avg_win),
        ("avg_loss", m.avg_loss),
        ("largest_win", m.largest_win),
        ("largest_loss", m.largest_loss),
    ];
    let mut all: Map<String, Value> =
        ratios.into_iter().map(|(name, value)| (name.to_owned(), digits(value))).collect();
    all.insert("max_drawdown_duration".to_owned(), json!(m.max_drawdown_duration));
    all.insert("total_trades".to_owned(), json!(m.total_trades));
    all.insert("winning_trades".to_owned(), json!(m.winning_trades));
    all.insert("losing_trades".to_owned(), json!(m.losing_trades));
    let seconds = m.avg_trade_duration_us.map(|us| us as f64 / 1e6);
    all.insert("avg_trade_duration".to_owned(), digits(seconds));
    all.insert("final_capital".to_owned(), json!(m.final_capital.normalize().to_string()));
    all
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

fn rejections(run: &Run) -> Value {
    let number = |reason| run.rejections.iter().filter(|r| r.reason == reason).count();
    let counted = RejectReason::ALL.iter().map(|&reason| (reason.word(), number(reason)));
    let some = counted.filter(|&(_, n)| n > 0);
    Value::Object(some.map(|(word, n)| (word.to_owned(), json!(n))).collect())
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
    let bars = heading.bars.map_or_else(String::new, |n| format!(", {} bars", count(n)));
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
        remarks.push(format!("{} ambiguous bars decided by `{rule}`", count(n("ambiguous_bars"))));
    }
    let missing = metrics.pointer("/data/missing_bars").and_then(Value::as_i64).unwrap_or(0);
    if missing > 0 {
        remarks.push(format!("{} bars are missing in the data", count(missing)));
    }
    remarks.extend(metrics.pointer("/data/verdict").and_then(verdict::clean));
    if metrics.pointer("/data/short_warmup") == Some(&json!(true)) {
        let bars = metrics.pointer("/data/warmup_bars").and_then(Value::as_i64).unwrap_or(0);
        remarks.push(match bars {
            0 => "no warm-up: indicators begin with the first bar traded".to_owned(),
            _ => format!("warm-up is short: only {} bars before the range", count(bars)),
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
