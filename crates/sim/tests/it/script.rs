//! A strategy that follows a script, and bars written as a table: the vocabulary of the golden tests.

use rust_decimal::Decimal;
use sim::bars::{Bars, Columns};
use sim::order::{Decision, Distance, Order, Protection, Side, Size};
use sim::rules::Rules;
use sim::strategy::{Strategy, View};
use sim::{Run, exact};

pub(crate) const MINUTE_US: i64 = 60_000_000;

pub(crate) fn d(text: &str) -> Decimal {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is not a number"))
}

/// Says what its script says at each bar; every entry has the same size and protection.
pub(crate) struct Script {
    pub(crate) words: Vec<String>,
    pub(crate) size: Size,
    pub(crate) protection: Protection,
}

impl Strategy for Script {
    fn decide(&mut self, view: &View<'_>) -> Decision {
        let words = &self.words[view.bar_idx()];
        let says = |word: &str| words.split_whitespace().any(|w| w == word);
        let order = |side, tag: &str| Order::market(side, self.size, self.protection, tag.into());
        Decision {
            long_entry: says("long").then(|| order(Side::Long, "L")),
            long_exit: says("exit_long"),
            short_entry: says("short").then(|| order(Side::Short, "S")),
            short_exit: says("exit_short"),
        }
    }
}

/// Reads lines of `open high low close [words of the decision]`, one a minute; `~` skips a minute.
pub(crate) fn table(text: &str, warmup: usize) -> (Bars, Vec<String>) {
    let mut columns = Columns::default();
    let mut words = Vec::new();
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    for (minute, line) in lines.enumerate() {
        if line == "~" {
            continue;
        }
        let mut parts = line.split_whitespace();
        let mut price = || {
            let units = exact::units(d(parts.next().expect("four prices a line"))).unwrap();
            i64::try_from(units).unwrap()
        };
        columns.time_us.push(i64::try_from(minute).unwrap() * MINUTE_US);
        columns.open.push(price());
        columns.high.push(price());
        columns.low.push(price());
        columns.close.push(price());
        words.push(parts.collect::<Vec<_>>().join(" "));
    }
    let bars = Bars::new("T", "1m".parse().unwrap(), warmup, columns).expect("a good table");
    (bars, words)
}

/// `stop=2% target=3 trail=1.5% time=2` (minutes), in any order.
pub(crate) fn protection(text: &str) -> Protection {
    let mut protection = Protection::default();
    for part in text.split_whitespace() {
        let (key, value) = part.split_once('=').expect("key=value");
        let distance = || match value.strip_suffix('%') {
            Some(percent) => Distance::Fraction(d(percent) / d("100")),
            None if value == "undefined" => Distance::Undefined,
            None => Distance::Quote(d(value)),
        };
        match key {
            "stop" => protection.stop_loss = Some(distance()),
            "target" => protection.take_profit = Some(distance()),
            "trail" => protection.trailing_stop = Some(distance()),
            "time" => {
                protection.time_stop_us = Some(value.parse::<i64>().unwrap() * MINUTE_US);
            }
            other => panic!("no such protection: {other}"),
        }
    }
    protection
}

/// Rules without costs, to keep the arithmetic of a table in one's head.
pub(crate) fn free() -> Rules {
    Rules { fee_bps: Decimal::ZERO, maker_fee_bps: Decimal::ZERO, ..Rules::default() }
}

/// The run as text: a line a trade, then what else a person would ask about.
pub(crate) fn story(run: &Run) -> String {
    let mut lines = Vec::new();
    for t in &run.trades {
        let entry = format!(
            "{} {} @{} bar {}",
            t.side,
            t.quantity.normalize(),
            t.entry_price.normalize(),
            t.entry_bar_idx
        );
        lines.push(match &t.exit {
            Some(x) => format!(
                "{entry} -> @{} bar {} {} pnl {}",
                x.price.normalize(),
                x.bar_idx,
                t.strategy_signal(),
                x.pnl.normalize()
            ),
            None => format!("{entry} -> open {}", t.strategy_signal()),
        });
    }
    for r in &run.rejections {
        lines.push(format!("rejected {} bar {}", r.reason.word(), r.bar_idx));
    }
    if run.ambiguous_bars > 0 {
        lines.push(format!("ambiguous {}", run.ambiguous_bars));
    }
    lines.push(format!("final {}", run.metrics.final_capital.normalize()));
    lines.join("\n")
}

/// Runs a scripted table and compares its story.
pub(crate) fn check(rules: &Rules, size: Size, protect: &str, bars: &str, expected: &str) {
    let (bars, words) = table(bars, 0);
    let mut script = Script { words, size, protection: protection(protect) };
    let run = sim::run(&bars, &mut script, rules).expect("the run ends well");
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(story(&run), expected.join("\n"));
}
