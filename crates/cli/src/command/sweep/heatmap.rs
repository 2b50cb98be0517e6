//! `backtest sweep heatmap`: the best of the objective over two dimensions, in shades and in digits, so that colour is
//! not needed to read it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::json;
use store::Store;

use super::judge::each_judged;
use super::plan::{KeptAxis, Plan};
use super::{judge, row};
use crate::args::Global;
use crate::args::sweep::Heatmap;
use crate::fail::Fail;
use crate::talk;

/// From worst to best.
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
/// Most columns and rows that are drawn; of more, every n-th is left out by taking the best of neighbours.
const MOST: (usize, usize) = (40, 40);

pub(super) async fn heatmap(global: &Global, store: &Store, args: &Heatmap) -> Result<(), Fail> {
    let sweep = row(store, args.id).await?;
    let plan = Plan::of(&sweep.definition)?;
    let judge = judge(&plan, &args.judge)?;
    let (x, y) = axes(&plan, args)?;
    let mut cells: BTreeMap<(Decimal, Decimal), f64> = BTreeMap::new();
    each_judged(store, args.id, &judge, |judged| {
        let place = plan.parameter(judged.idx, &x.name).zip(plan.parameter(judged.idx, &y.name));
        if let Some((x, y)) = place {
            // Of the variants at one place, which differ in other dimensions, the best.
            let cell = cells.entry((y.normalize(), x.normalize())).or_insert(judged.value);
            *cell = cell.max(judged.value);
        }
    })
    .await?;
    if global.json {
        let cells: Vec<_> = cells
            .iter()
            .map(|((y, x), v)| json!({ "x": x.to_string(), "y": y.to_string(), "best": v }))
            .collect();
        let objective = judge.source();
        talk::json(&json!({ "x": x.name, "y": y.name, "objective": objective, "cells": cells }));
        return Ok(());
    }
    if cells.is_empty() {
        talk::say(judge.no_value());
        return Ok(());
    }
    talk::data(&draw(x, y, &cells, judge.source()));
    Ok(())
}

/// The dimensions asked for, else the two with most values.
fn axes<'a>(plan: &'a Plan, args: &Heatmap) -> Result<(&'a KeptAxis, &'a KeptAxis), Fail> {
    let mut by_size: Vec<&KeptAxis> = plan.kept.axes.iter().collect();
    by_size.sort_by_key(|axis| std::cmp::Reverse(axis.values.len()));
    let find = |name: &str| {
        let names: Vec<&str> = plan.kept.axes.iter().map(|a| a.name.as_str()).collect();
        plan.kept.axes.iter().find(|axis| axis.name == name).ok_or_else(|| {
            Fail::usage(format!("the sweep has no dimension `{name}`"))
                .hint(format!("there are {}", names.join(", ")))
        })
    };
    let named = [args.x.as_deref(), args.y.as_deref()];
    let free = |other: Option<&str>| {
        let found = by_size
            .iter()
            .copied()
            .find(|a| named.iter().all(|n| *n != Some(&a.name)) && other != Some(&a.name));
        found.ok_or_else(|| {
            Fail::usage("a heat map needs two dimensions")
                .hint("`backtest sweep top` lists the variants")
        })
    };
    let x = args.x.as_deref().map_or_else(|| free(None), find)?;
    let y = args.y.as_deref().map_or_else(|| free(Some(&x.name)), find)?;
    if x.name == y.name {
        return Err(Fail::usage("a heat map needs two dimensions, and --x and --y are one")
            .hint("leave one of them out"));
    }
    Ok((x, y))
}

fn draw(
    x: &KeptAxis,
    y: &KeptAxis,
    cells: &BTreeMap<(Decimal, Decimal), f64>,
    objective: &str,
) -> String {
    let (columns, rows) = (groups(&x.values, MOST.0), groups(&y.values, MOST.1));
    let low = cells.values().copied().fold(f64::INFINITY, f64::min);
    let high = cells.values().copied().fold(f64::NEG_INFINITY, f64::max);
    let best = |ys: &[Decimal], xs: &[Decimal]| {
        let places = ys.iter().flat_map(|y| xs.iter().map(move |x| (y.normalize(), x.normalize())));
        let values = places.filter_map(|place| cells.get(&place).copied());
        values.reduce(f64::max)
    };
    let width = rows.iter().map(|ys| ys[0].to_string().len()).max().unwrap_or(1).max(y.name.len());
    let mut lines = vec![format!(
        "best `{objective}`; {} from left to right, {} from top to bottom",
        x.name, y.name
    )];
    for ys in &rows {
        let shades: String = columns
            .iter()
            .map(|xs| best(ys, xs).map_or(" ·".to_owned(), |v| cell(v, low, high)))
            .collect();
        lines.push(format!("{:>width$} │{shades}", ys[0].to_string()));
    }
    lines.push(format!("{:>width$} └{}", "", "──".repeat(columns.len())));
    let (first, last) = (columns[0][0], columns[columns.len() - 1].last().copied());
    let last = last.unwrap_or(first);
    lines.push(format!("{:>width$}   {first} … {last}", x.name));
    let (across, down) = (columns[0].len(), rows[0].len());
    if across * down > 1 {
        let (x, y) = (&x.name, &y.name);
        let of = format!("{across} of {x} by {down} of {y}");
        lines.push(format!("each place is the best of {of}; a row is named by its first {y}"));
    }
    lines.push(format!("0 is {low:.4}, 9 is {high:.4}; · has no variant or no defined value"));
    lines.join("\n")
}

/// A shade and a digit from 0 (worst) to 9 (best).
fn cell(value: f64, low: f64, high: f64) -> String {
    let share = if high > low { (value - low) / (high - low) } else { 1.0 };
    let shade = SHADES[step(share, SHADES.len())];
    format!("{shade}{}", step(share, 10))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of n is an index below n"
)]
fn step(share: f64, n: usize) -> usize {
    ((share.clamp(0.0, 1.0) * n as f64) as usize).min(n - 1)
}

/// Values in order, in at most `most` groups of neighbours.
fn groups(values: &[Decimal], most: usize) -> Vec<Vec<Decimal>> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let size = sorted.len().div_ceil(most).max(1);
    sorted.chunks(size).map(<[Decimal]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_shows_shade_and_digit_and_leaves_holes() {
        let axis = |name: &str, n: i64| KeptAxis {
            name: name.to_owned(),
            values: (1..=n).map(Decimal::from).collect(),
        };
        let d = Decimal::from;
        let cells = [((d(1), d(1)), 0.0), ((d(1), d(2)), 1.0), ((d(2), d(2)), 0.5)].into();
        let text = draw(&axis("fast", 2), &axis("slow", 2), &cells, "sharpe_ratio");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "   1 │ 0█9");
        assert_eq!(lines[2], "   2 │ ·▒5");
        assert!(lines[5].starts_with("0 is 0.0000, 9 is 1.0000"));
        // Of 100 values 34 groups of 3: the last one is 100 alone.
        let text = draw(&axis("fast", 100), &axis("slow", 2), &cells, "sharpe_ratio");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[4].trim(), "fast   1 … 100");
        let grouped =
            "each place is the best of 3 of fast by 1 of slow; a row is named by its first slow";
        assert_eq!(lines[5], grouped);
    }
}
