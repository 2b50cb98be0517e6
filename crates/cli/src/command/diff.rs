//! Two runs beside each other: the first trade that differs, how far their equity is apart, and what changed under them.
//! Nothing is run, read or printed here.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use sim::timeframe::DAY_US;
use store::{EquityRow, TradeRow};

use crate::table::{count, counted, money, table};
use crate::when;

/// What is compared of a trade. A line of a baseline's file of trades has the first eight.
const FIELDS: [&str; 10] = [
    "side",
    "quantity",
    "entry_time",
    "entry_price",
    "exit_time",
    "exit_price",
    "pnl",
    "strategy_signal",
    "commission",
    "pnl_percentage",
];
const IN_LINE: usize = 8;

fn fields(trade: &TradeRow) -> [String; FIELDS.len()] {
    let money = |value: Option<Decimal>| value.map_or_else(String::new, |v| v.to_string());
    [
        trade.side.clone(),
        trade.quantity.to_string(),
        when::iso(trade.entry_time_us),
        trade.entry_price.to_string(),
        trade.exit_time_us.map_or_else(String::new, when::iso),
        money(trade.exit_price),
        money(trade.pnl),
        trade.strategy_signal.clone().unwrap_or_default(),
        money(trade.commission),
        money(trade.pnl_percentage),
    ]
}

/// Columns of [`trade_line`].
pub(crate) fn trade_header() -> String {
    FIELDS[..IN_LINE].join(",")
}

/// A trade as a line of a file.
pub(crate) fn trade_line(trade: &TradeRow) -> String {
    fields(trade)[..IN_LINE].join(",")
}

/// The first place where two lists differ, one being shorter included.
pub(crate) fn first_difference<A: PartialEq<B>, B>(left: &[A], right: &[B]) -> Option<usize> {
    let same = left.iter().zip(right).position(|(a, b)| a != b);
    same.or_else(|| (left.len() != right.len()).then(|| left.len().min(right.len())))
}

/// What was under two results, by name, before and now: the parts that are not the same, in words.
pub(crate) fn changed(parts: &[(&str, &str, &str)]) -> Vec<String> {
    let differs = parts.iter().filter(|(_, was, is)| was != is);
    differs.map(|(what, was, is)| format!("{what} (was {was}, is {is})")).collect()
}

/// The same as one sentence.
pub(crate) fn said(changed: &[String]) -> String {
    if changed.is_empty() {
        "strategy, rules, data and engine version are as they were: the numbers alone changed"
            .to_owned()
    } else {
        format!("changed: {}", changed.join("; "))
    }
}

/// The trades of two runs.
#[derive(Debug)]
pub(crate) struct Trades<'a> {
    left: &'a [TradeRow],
    right: &'a [TradeRow],
    first: Option<usize>,
}

impl<'a> Trades<'a> {
    /// Trades as they were saved; their ids do not count.
    pub(crate) fn new(left: &'a [TradeRow], right: &'a [TradeRow]) -> Self {
        let all = |trades: &[TradeRow]| trades.iter().map(fields).collect::<Vec<_>>();
        Self { left, right, first: first_difference(&all(left), &all(right)) }
    }

    pub(crate) fn same(&self) -> bool {
        self.first.is_none()
    }

    /// The first pair that differs, a field a line; `None` when all are the same.
    pub(crate) fn text(&self, names: [&str; 2]) -> Option<String> {
        let first = self.first?;
        let side = |trades: &[TradeRow]| {
            let none =
                || FIELDS.map(|name| if name == "side" { "no such trade" } else { "" }.to_owned());
            trades.get(first).map_or_else(none, fields)
        };
        let rows =
            FIELDS.iter().zip(side(self.left)).zip(side(self.right)).map(|((name, a), b)| {
                let mark = if a == b { "" } else { "differs" };
                vec![(*name).to_owned(), a, b, mark.to_owned()]
            });
        let header = ["trade", names[0], names[1], ""];
        let (n, m) = (count(self.left.len() as u64), count(self.right.len() as u64));
        let shown = table(&header, &[1, 2], rows.collect());
        Some(format!("first trade that differs, number {} (of {n} and {m}):\n{shown}", first + 1))
    }

    pub(crate) fn json(&self, names: [&str; 2]) -> Value {
        let of = |trades: &[TradeRow], at: usize| {
            trades.get(at).map(|trade| {
                let pairs = FIELDS.iter().zip(fields(trade));
                pairs.map(|(name, text)| ((*name).to_owned(), json!(text))).collect::<Map<_, _>>()
            })
        };
        let first = self.first.map(|at| {
            json!({ "number": at + 1, names[0]: of(self.left, at), names[1]: of(self.right, at) })
        });
        json!({
            names[0]: self.left.len(),
            names[1]: self.right.len(),
            "first_difference": first,
        })
    }
}

/// How far the daily equity of two runs is apart, on the UTC days that both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EquityGap {
    pub(crate) days: usize,
    /// The day, microseconds UTC, and the equity of both where they are furthest apart.
    pub(crate) largest: (i64, Decimal, Decimal),
    /// The second's last equity less the first's.
    pub(crate) last: Decimal,
}

impl EquityGap {
    /// `None` when they have no day in common.
    pub(crate) fn new(left: &[EquityRow], right: &[EquityRow]) -> Option<Self> {
        let day = |row: &EquityRow| row.time_us - row.time_us.rem_euclid(DAY_US);
        let right_by_day: BTreeMap<i64, Decimal> =
            right.iter().map(|row| (day(row), row.equity)).collect();
        let both = left
            .iter()
            .filter_map(|row| Some((day(row), row.equity, *right_by_day.get(&day(row))?)));
        let both: Vec<(i64, Decimal, Decimal)> = both.collect();
        // Of equal ones the first day.
        let largest = both.iter().rev().max_by_key(|(_, a, b)| (*a - *b).abs()).copied()?;
        let last = right.last()?.equity - left.last()?.equity;
        Some(Self { days: both.len(), largest, last })
    }

    pub(crate) fn text(&self) -> String {
        let (day, left, right) = self.largest;
        if left == right {
            let end = signed(self.last);
            return format!(
                "daily equity: the same on {}; at the end {end}",
                counted(self.days as u64, "common day")
            );
        }
        format!(
            "daily equity, {}: furthest apart on {}, {} ({} and {}); at the end {}",
            counted(self.days as u64, "common day"),
            when::show(day),
            signed(right - left),
            money(left),
            money(right),
            signed(self.last)
        )
    }

    pub(crate) fn json(&self) -> Value {
        let (day, left, right) = self.largest;
        json!({
            "days": self.days,
            "largest_difference": (right - left).normalize().to_string(),
            "day": when::show(day),
            "final_difference": self.last.normalize().to_string(),
        })
    }
}

fn signed(value: Decimal) -> String {
    let sign = if value > Decimal::ZERO { "+" } else { "" };
    format!("{sign}{}", money(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_also_where_one_list_ends() {
        assert_eq!(first_difference(&[1, 2, 3], &[1, 2, 3]), None);
        assert_eq!(first_difference(&[1, 2, 3], &[1, 9, 3]), Some(1));
        assert_eq!(first_difference(&[1, 2], &[1, 2, 3]), Some(2));
        assert_eq!(first_difference::<i32, i32>(&[], &[]), None);
    }

    #[test]
    fn equity_is_compared_by_day_whatever_the_timeframe() {
        let row = |time_us, equity: i64| EquityRow {
            time_us,
            equity: Decimal::from(equity),
            drawdown: None,
        };
        let hour = 3_600_000_000;
        let left = [row(23 * hour, 100), row(DAY_US + 23 * hour, 90), row(2 * DAY_US, 95)];
        let right = [row(DAY_US + 20 * hour, 97), row(2 * DAY_US, 102), row(3 * DAY_US, 101)];
        let gap = EquityGap::new(&left, &right).expect("they have days in common");
        let (first, second) = (Decimal::from(90), Decimal::from(97));
        assert_eq!(gap.largest, (DAY_US, first, second), "7 on both days: the first");
        assert_eq!((gap.days, gap.last), (2, Decimal::from(6)));
        assert_eq!(EquityGap::new(&left[..1], &right), None);
    }
}
