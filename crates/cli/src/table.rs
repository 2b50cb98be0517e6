//! Tables and numbers as a person likes to read them. No value is computed here.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use rust_decimal::Decimal;

/// A plain table: a header line, a rule, columns apart by spaces. `right` holds the columns of numbers.
pub(crate) fn table(header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// `1,234,567`
pub(crate) fn count(n: impl Into<i128>) -> String {
    let n: i128 = n.into();
    let digits = n.unsigned_abs().to_string();
    let grouped: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|chunk| std::str::from_utf8(chunk).unwrap_or_default())
        .collect();
    format!("{}{}", if n < 0 { "-" } else { "" }, grouped.join(","))
}

/// `1 block`, `1,234 blocks`
pub(crate) fn counted(n: impl Into<i128>, thing: &str) -> String {
    let n: i128 = n.into();
    format!("{} {thing}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Money with two decimals and thousands apart.
pub(crate) fn money(value: Decimal) -> String {
    let rounded = value.round_dp(2);
    let whole = count(rounded.trunc().mantissa() / 10_i128.pow(rounded.trunc().scale()));
    let cents = (rounded.fract().abs() * Decimal::ONE_HUNDRED).trunc().normalize();
    let is_below = rounded.is_sign_negative() && !rounded.is_zero();
    let sign = if is_below && rounded.trunc().is_zero() { "-" } else { "" };
    format!("{sign}{whole}.{cents:0>2}")
}

/// A number with `places` decimals and a unit, or a dash when undefined.
pub(crate) fn number(value: Option<f64>, places: usize, unit: &str) -> String {
    match value {
        Some(value) => format!("{:.places$}{unit}", shown(value, places)),
        None => "-".to_owned(),
    }
}

/// `value`, without its sign where no digit but zeros is shown.
fn shown(value: f64, places: usize) -> f64 {
    let is_zero = format!("{value:.places$}").parse().is_ok_and(|shown: f64| shown == 0.0);
    if is_zero { 0.0 } else { value }
}

/// The same with its sign always shown.
pub(crate) fn signed(value: Option<f64>, places: usize, unit: &str) -> String {
    match value {
        Some(value) => format!("{:+.places$}{unit}", shown(value, places)),
        None => "-".to_owned(),
    }
}

/// A line of blocks that shows the course of `values` in at most `width` characters.
pub(crate) fn sparkline(values: &[f64], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let n = values.len().min(width);
    let pick = |i: usize| values[i * (values.len() - 1) / (n - 1).max(1)];
    let picked: Vec<f64> = (0..n).map(pick).collect();
    let low = picked.iter().copied().fold(f64::INFINITY, f64::min);
    let high = picked.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let level = |v: f64| {
        let share = if high > low { (v - low) / (high - low) } else { 0.5 };
        BLOCKS[step(share)]
    };
    picked.into_iter().map(level).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of 1 times 7 is one of eight steps"
)]
fn step(share: f64) -> usize {
    (share.clamp(0.0, 1.0) * 7.0).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(-999), "-999");
        assert_eq!(money("10000".parse().unwrap()), "10,000.00");
        assert_eq!(money("-0.07".parse().unwrap()), "-0.07");
        assert_eq!(money("-1234.567".parse().unwrap()), "-1,234.57");
        assert_eq!(money("-0.004".parse().unwrap()), "0.00");
        assert_eq!(signed(Some(3.0), 2, " %"), "+3.00 %");
        assert_eq!(
            [-0.0, -0.00004, -0.00006].map(|v| number(Some(v), 4, "")),
            ["0.0000", "0.0000", "-0.0001"]
        );
        assert_eq!(signed(Some(-0.001), 2, " %"), "+0.00 %");
        assert_eq!([1, 2].map(|n| counted(n, "bar")), ["1 bar", "2 bars"]);
        assert_eq!(number(None, 2, " %"), "-");
    }

    #[test]
    fn a_sparkline_keeps_its_width_and_ends() {
        let values: Vec<f64> = (0..365).map(f64::from).collect();
        let line = sparkline(&values, 60);
        assert_eq!(line.chars().count(), 60);
        assert!(line.starts_with('▁') && line.ends_with('█'));
        assert_eq!(sparkline(&[1.0], 60), "▅");
        assert_eq!(sparkline(&[], 60), "");
    }
}
