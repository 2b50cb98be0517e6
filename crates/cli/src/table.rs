//! Tables and numbers as a person likes to read them. No value is computed here.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use rust_decimal::Decimal;

/// A plain table: a header line, a rule, columns apart by spaces. `right` holds the columns of numbers.
pub(crate) fn table(header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    // A cell is one line, whatever a person called something.
    let one_line = |cell: String| spelled(&cell, char::is_control);
    table.add_rows(rows.into_iter().map(|row| row.into_iter().map(one_line)));
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// `text` with the characters that are `hidden` spelled out.
pub(crate) fn spelled(text: &str, hidden: impl Fn(char) -> bool) -> String {
    let mut spelled = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) { spelled.extend(c.escape_default()) } else { spelled.push(c) }
    }
    spelled
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

/// Money with thousands apart and two decimals, or more where that would leave less than three digits of it.
pub(crate) fn money(value: Decimal) -> String {
    let rounded = value.round_dp(decimals(value)).normalize();
    let sign = if rounded.is_sign_negative() && !rounded.is_zero() { "-" } else { "" };
    let places = rounded.scale().max(2) as usize;
    let digits = format!("{:.places$}", rounded.abs());
    let (whole, cents) = digits.split_once('.').unwrap_or((&digits, "00"));
    format!("{sign}{}.{cents}", count(whole.parse::<i128>().unwrap_or_default()))
}

/// How many decimals tell an amount: cents, and what is below 1 to three digits as far as amounts are kept.
pub(crate) fn decimals(value: Decimal) -> u32 {
    const PLACES: u32 = 8;
    let mut size = value.abs();
    let mut places = 2;
    while size < Decimal::ONE && !size.is_zero() && places < PLACES {
        size *= Decimal::TEN;
        places += 1;
    }
    places
}

/// A number with `places` decimals and a unit, or a dash when undefined.
pub(crate) fn number(value: Option<f64>, places: usize, unit: &str) -> String {
    /// From here on nobody counts digits.
    const LONG: f64 = 1e12;
    match value {
        Some(value) if value.abs() >= LONG => format!("{value:.places$e}{unit}"),
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
    let number = number(value, places, unit);
    // A dash, too, stays as it is.
    if number.starts_with('-') { number } else { format!("+{number}") }
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
        assert_eq!(money("-0.001".parse().unwrap()), "-0.001");
        assert_eq!(money("0.11000049".parse().unwrap()), "0.11");
        assert_eq!(money("0.0000123456".parse().unwrap()), "0.0000123");
        assert_eq!(money("0.000000001".parse().unwrap()), "0.00");
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
