//! Verdicts on bars as JSON, as a line or a table that a person reads, and as a reason to refuse.
//! What is wrong with bars is found in `sim::verdict`; a stored verdict reads like a fresh one.

use std::str::FromStr;

use serde_json::{Map, Value, json};
use sim::exact;
use sim::verdict::{Finding, Kind, Place, Verdict};
use store::{Loaded, Range, Store};

use crate::args::{Global, Trust};
use crate::fail::Fail;
use crate::report::digits;
use crate::table::{count, counted, table};
use crate::talk::{Bar, Unit};
use crate::when;

/// Places of a kind that a page shows; JSON has more.
const SHOWN: usize = 3;

/// Kinds of faults, as `gaps,outliers` or `any`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kinds(Vec<Kind>);

impl FromStr for Kinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = |word: &str| match word.trim() {
            "any" => Ok(Kind::ALL.to_vec()),
            word => word.parse().map(|kind| vec![kind]).map_err(|()| {
                let words = Kind::ALL.map(Kind::word).join(", ");
                format!("`{word}` is no kind of fault; there are any, {words}")
            }),
        };
        text.split(',').map(kind).collect::<Result<Vec<_>, _>>().map(|all| Self(all.concat()))
    }
}

/// A verdict and whose bars it is about.
pub(crate) struct Judged {
    pub(crate) symbol: String,
    pub(crate) verdict: Verdict,
}

impl Judged {
    pub(crate) fn json(&self) -> Value {
        let mut all = json!({ "symbol": self.symbol });
        if let (Some(all), Value::Object(verdict)) = (all.as_object_mut(), json(&self.verdict)) {
            all.extend(verdict);
        }
        all
    }

    fn name(&self) -> String {
        format!("{} {}", self.symbol, self.verdict.timeframe)
    }
}

/// A verdict as it is stored with a run.
pub(crate) fn json(verdict: &Verdict) -> Value {
    let (from, to) = verdict.range_us;
    json!({
        "timeframe": verdict.timeframe.to_string(),
        "from": when::iso(from),
        "to": when::iso(to),
        "bars": verdict.bars,
        "volume_read": verdict.volume_read,
        "usual_move": digits(verdict.usual_move),
        "clean": verdict.is_clean(),
        "findings": verdict.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind.word(),
        "places": finding.places,
        "bars": finding.bars,
        "worst": finding.worst.iter().map(place).collect::<Vec<_>>(),
    })
}

fn place(place: &Place) -> Value {
    let money = |units: i64| exact::decimal(units.into()).normalize().to_string();
    let prices = place.prices.iter().map(|&(name, units)| (name.to_owned(), json!(money(units))));
    json!({
        "from": when::iso(place.from_us),
        "to": when::iso(place.to_us),
        "bars": place.bars,
        "size": digits(Some(place.size)),
        "how": place.how,
        "prices": prices.collect::<Map<_, _>>(),
    })
}

/// The line of a stored verdict that found nothing.
pub(crate) fn clean(verdict: &Value) -> Option<String> {
    (verdict.get("clean") == Some(&json!(true)))
        .then(|| format!("nothing wrong was found in the data: {}", read(verdict)))
}

/// `240 bars of 1h, volumes not read`
fn read(verdict: &Value) -> String {
    let bars = counted(verdict["bars"].as_u64().unwrap_or(0), "bar");
    let unread = if verdict["volume_read"] == json!(false) { ", volumes not read" } else { "" };
    format!("{bars} of {}{unread}", verdict["timeframe"].as_str().unwrap_or("?"))
}

/// The table of a stored verdict that found something.
pub(crate) fn faults(verdict: &Value) -> Option<String> {
    let findings = verdict.get("findings")?.as_array().filter(|all| !all.is_empty())?;
    let found = table(&HEADER, &RIGHT, rows(findings, 1));
    Some(format!("found in the data ({}):\n{found}", read(verdict)))
}

const HEADER: [&str; 4] = ["fault", "places", "bars", "worst"];
const RIGHT: [usize; 2] = [1, 2];

/// A row a place, at most `shown` a kind.
fn rows(findings: &[Value], shown: usize) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for finding in findings {
        let kind = finding["kind"].as_str().unwrap_or("?");
        let number = |name: &str| count(finding[name].as_u64().unwrap_or(0));
        let empty = Vec::new();
        let worst = finding["worst"].as_array().unwrap_or(&empty);
        for (nth, place) in worst.iter().take(shown).enumerate() {
            let first = nth == 0;
            let once = |text: String| if first { text } else { String::new() };
            rows.push(vec![
                once(kind.to_owned()),
                once(number("places")),
                once(number("bars")),
                words(kind, place),
            ]);
        }
    }
    rows
}

/// A place in words: when, and what shows the fault.
fn words(kind: &str, place: &Value) -> String {
    let at = |end: &str| {
        let moment = place[end].as_str().and_then(when::of_iso);
        moment.map_or_else(|| "?".to_owned(), when::show)
    };
    let price = |name: &str| place["prices"][name].as_str().unwrap_or("?").to_owned();
    let bars = place["bars"].as_u64().unwrap_or(0);
    let bars_are = counted(bars, "bar");
    let size = place["size"].as_f64().unwrap_or(0.0);
    let how = place["how"].as_str().unwrap_or("");
    let (before, after) = (price("before"), price("after"));
    let what = match (kind, how) {
        ("gaps", _) => {
            return format!(
                "{} to {}: {bars_are} missing, {before} then {after}",
                at("from"),
                at("to")
            );
        }
        ("duplicates", _) => format!("{bars_are} are equal"),
        ("zero_volume", _) => format!("{bars_are} without volume"),
        ("flat", _) => format!("{bars_are} at {}", price("price")),
        ("outliers", "first") => {
            let (close, next, times) = (price("close"), price("next"), magnitude(size));
            format!("the data begin at {close}, then {next}: {times} x the usual move")
        }
        ("outliers", "last") => {
            let (close, next, times) = (price("close"), price("next"), magnitude(size));
            format!("the data end at {close}, {next} before: {times} x the usual move")
        }
        ("outliers", _) => {
            format!("{how} {before}, {}, {after}: {} x the usual move", price(how), magnitude(size))
        }
        ("off_grid", _) => format!("opens {} s behind the grid", magnitude(size)),
        ("timezone", "clock_change") => "an hour is missing where clocks are changed".to_owned(),
        ("timezone", "opening") => format!("{bars_are} open {size} h behind the grid"),
        ("timezone", _) => format!("{bars_are} equal those {size} h before"),
        ("splits", "power_of_ten") => {
            format!("{before} then {}: another unit (x {})", price("open"), magnitude(size))
        }
        ("splits", _) => {
            format!("{before} then {}: another level (x {size:.4})", price("open"))
        }
        _ => format!(
            "open {}, high {}, low {}, close {}",
            price("open"),
            price("high"),
            price("low"),
            price("close")
        ),
    };
    format!("{}: {what}", at("from"))
}

/// Three digits, grouped when there are more in front of the point.
fn magnitude(size: f64) -> String {
    if (1_000.0..1e15).contains(&size) {
        #[expect(clippy::cast_possible_truncation, reason = "below 10^15")]
        return count(size.round() as i64);
    }
    match size {
        s if s >= 100.0 => format!("{s:.0}"),
        s if s >= 10.0 => format!("{s:.1}"),
        s => format!("{s:.2}"),
    }
}

/// All verdicts: a line a series, then the faults of each that has some.
pub(crate) fn page(all: &[Judged]) -> String {
    let line = |judged: &Judged| {
        let verdict = &judged.verdict;
        let (from, to) = verdict.range_us;
        vec![
            judged.symbol.clone(),
            verdict.timeframe.to_string(),
            when::show(from),
            when::show(to),
            count(verdict.bars as u64),
            summary(verdict, &Kind::ALL),
        ]
    };
    let with_bars = all.iter().filter(|judged| judged.verdict.bars > 0);
    let header = ["symbol", "timeframe", "from", "to", "bars", "verdict"];
    let mut page = table(&header, &[4], with_bars.map(line).collect());
    for judged in all.iter().filter(|judged| !judged.verdict.is_clean()) {
        let found = json(&judged.verdict);
        let empty = Vec::new();
        let findings = found["findings"].as_array().unwrap_or(&empty);
        let found = table(&HEADER, &RIGHT, rows(findings, SHOWN));
        page.push_str(&format!("\n\n{}\n{found}", judged.name()));
    }
    page
}

/// `3 gaps, 1 outliers`, or `clean`.
fn summary(verdict: &Verdict, kinds: &[Kind]) -> String {
    let told: Vec<String> =
        verdict.of(kinds).map(|f| format!("{} {}", f.kind, count(f.places as u64))).collect();
    if told.is_empty() { "clean".to_owned() } else { told.join(", ") }
}

/// Refuses bars with faults of `kinds`, naming the worst of each; `way_out` is what to type when that is too strict.
pub(crate) fn refuse(all: &[Judged], kinds: &Kinds, way_out: &str) -> Result<(), Fail> {
    let bad: Vec<&Judged> =
        all.iter().filter(|judged| judged.verdict.of(&kinds.0).next().is_some()).collect();
    if bad.is_empty() {
        return Ok(());
    }
    let mut message = "the data have faults".to_owned();
    for judged in &bad {
        message.push_str(&format!("\n  {}: {}", judged.name(), summary(&judged.verdict, &kinds.0)));
        for finding in judged.verdict.of(&kinds.0) {
            let kind = finding.kind.word();
            let worst = finding.worst.first().map(|worst| words(kind, &place(worst)));
            message.push_str(&format!("\n    {kind} {}", worst.unwrap_or_default()));
        }
    }
    Err(Fail::data(message).hint(way_out.to_owned()))
}

/// Refuses the bars of a run or a sweep where `--strict-data` asks for it, by what `data check` would find in them:
/// volumes that the strategy does not read are read for it when a kind needs them. They enter no fingerprint.
pub(crate) async fn strict(
    global: &Global,
    store: &Store,
    trust: &Trust,
    symbol: &str,
    loaded: &Loaded,
) -> Result<(), Fail> {
    let Some(kinds) = &trust.strict_data else { return Ok(()) };
    let mut verdict = loaded.verdict.clone();
    if !verdict.volume_read && kinds.0.iter().any(|kind| kind.needs_volume()) {
        let (from, to) = verdict.range_us;
        let range = Range { from_us: Some(from), to_us: Some(to) };
        let bar = Bar::new(Unit::Rows, global.json);
        verdict = store.judge(symbol, verdict.timeframe, range, &bar).await?;
    }
    refuse(
        &[Judged { symbol: symbol.to_owned(), verdict }],
        kinds,
        "`backtest data check` shows more of it; mend the data, or name the kinds that matter, such as \
         --strict-data=gaps,outliers",
    )
}

/// Says on which bars of a sweep something was found, in a line each.
pub(crate) fn remark(symbol: &str, verdict: &Verdict) -> Option<String> {
    let found = || summary(verdict, &Kind::ALL);
    let what = || format!("the data of {symbol} {} have faults: {}", verdict.timeframe, found());
    (!verdict.is_clean()).then(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_a_list_or_any() {
        assert_eq!("gaps,flat".parse(), Ok(Kinds(vec![Kind::Gaps, Kind::Flat])));
        assert_eq!("any".parse(), Ok(Kinds(Kind::ALL.to_vec())));
        assert!("gap".parse::<Kinds>().is_err_and(|e| e.contains("there are any, gaps")));
        assert!("".parse::<Kinds>().is_err());
    }

    #[test]
    fn sizes_have_three_digits() {
        assert_eq!(
            [1_234_567.8, 100.4, 31.27, 2.0].map(magnitude),
            ["1,234,568", "100", "31.3", "2.00"]
        );
    }
}
