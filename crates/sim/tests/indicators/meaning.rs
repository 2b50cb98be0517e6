//! What expressions mean at a bar: three-valued logic, ties, crossings, undefined values.
//! No random input may enter: every case can be read.

use super::{bars_of, bound, closes, numbers, rule};
use sim::expr::Type;
use sim::indicator::Evaluator;

const T: Option<bool> = Some(true);
const F: Option<bool> = Some(false);
const U: Option<bool> = None;

#[test]
fn logic_is_sqls() {
    // shift is undefined at bar 0 only.
    let bars = closes(&[100, 100]);
    let at_0 = |source: &str| rule(&bars, source)[0];
    let unknown = "shift(close, 1) > 0";
    for (word, expected) in [("true", [T, T, T]), ("false", [F, F, F])] {
        let beats = if word == "true" { "or" } else { "and" };
        assert_eq!(at_0(&format!("{word} {beats} {unknown}")), expected[0]);
        assert_eq!(at_0(&format!("{unknown} {beats} {word}")), expected[1]);
        assert_eq!(
            at_0(&format!("close {} 0 {beats} {unknown}", if word == "true" { ">" } else { "<" })),
            expected[2]
        );
    }
    assert_eq!(at_0(&format!("close > 0 and {unknown}")), U);
    assert_eq!(at_0(&format!("close < 0 or {unknown}")), U);
    assert_eq!(at_0(&format!("not ({unknown})")), U);
    assert_eq!(at_0(&format!("not ({unknown} and close < 0)")), T);
    assert_eq!(at_0(&format!("not ({unknown} or close > 0)")), F);
    assert_eq!(at_0("shift(close, 1) == shift(close, 1)"), U);
    assert_eq!(at_0("shift(close, 1) != shift(close, 1)"), U);
    assert_eq!(at_0("close / 0 > 1"), U);
}

#[test]
fn crossings_look_through_ties_and_start_false() {
    let bars = closes(&[3, 1, 2, 2, 3, 2, 3, 2, 1, 2, 3]);
    let above = rule(&bars, "cross_above(close, 0.02)");
    assert_eq!(above, [F, F, F, F, T, F, F, F, F, F, T]);
    let below = rule(&bars, "cross_below(close, 0.02)");
    assert_eq!(below, [F, T, F, F, F, F, F, F, T, F, F]);
    let not_above: Vec<_> = above.iter().map(|fires| fires.map(|fires| !fires)).collect();
    assert_eq!(rule(&bars, "not cross_above(close, 0.02)"), not_above);
}

#[test]
fn an_undefined_value_resets_crossings_and_recursions_and_empties_windows() {
    let row = |i: i64, volume: Option<i64>| (i, [100, 101, 99, 100], volume);
    let volumes = [Some(1), Some(1), None, Some(5), Some(1), Some(6), Some(6), Some(9)];
    let rows: Vec<_> = (0..).zip(volumes).map(|(i, v)| row(i, v)).collect();
    let bars = bars_of(&rows);
    // 1, 1 | 5: no crossing at bar 3, as the past was forgotten.
    assert_eq!(rule(&bars, "cross_above(volume, 2)"), [F, F, U, F, F, T, F, F]);
    let shown = |source: &str| format!("{:?}", numbers(&bars, source));
    assert_eq!(shown("sum(volume, 2)"), "[NaN, 2.0, NaN, NaN, 6.0, 7.0, 12.0, 15.0]");
    assert_eq!(shown("sma(volume, 2)"), "[NaN, 1.0, NaN, NaN, 3.0, 3.5, 6.0, 7.5]");
    assert_eq!(shown("ema(volume, 3)"), "[NaN, NaN, NaN, NaN, NaN, 4.0, 5.0, 7.0]");
    assert_eq!(shown("highest(volume, 2)"), "[NaN, 1.0, NaN, NaN, 5.0, 6.0, 6.0, 9.0]");
    assert_eq!(shown("shift(volume, 1)"), "[NaN, 1.0, 1.0, NaN, 5.0, 1.0, 6.0, 6.0]");
    assert_eq!(shown("obv()"), "[1.0, 1.0, NaN, 5.0, 5.0, 5.0, 5.0, 5.0]");
    assert_eq!(shown("max(volume, 3)"), "[3.0, 3.0, NaN, 5.0, 3.0, 6.0, 6.0, 9.0]");
    // A day's vwap cannot be known once one of its volumes is not.
    assert_eq!(shown("vwap()"), "[1.0, 1.0, NaN, NaN, NaN, NaN, NaN, NaN]");
}

#[test]
fn columns_not_loaded_are_undefined() {
    let bars = closes(&[100, 101]);
    assert!(numbers(&bars, "quote_volume").iter().all(|x| x.is_nan()));
    assert!(numbers(&bars, "sma(quote_volume, 1)").iter().all(|x| x.is_nan()));
}

#[test]
fn flat_windows_are_exact() {
    let bars = closes(&[10_007; 60]);
    for (source, value) in [
        ("sma(close, 7)", 100.07),
        ("wma(close, 7)", 100.07),
        ("ema(close, 7)", 100.07),
        ("bb_upper(close, 7, 2)", 100.07),
        ("stddev(close, 7)", 0.0),
        ("sma(close * 1.1, 7)", 100.07 * 1.1),
        ("wma(close * 1.1, 7)", 100.07 * 1.1),
        ("ema(close * 1.1, 7)", 100.07 * 1.1),
        ("stddev(close * 1.1, 7)", 0.0),
        ("rsi(close, 7)", 50.0),
        ("mfi(7)", 50.0),
        ("cci(7)", 0.0),
        ("stoch_d(7, 3, 3)", 0.0),
        ("plus_di(7)", 0.0),
        ("adx(7)", 0.0),
        ("roc(close, 7)", 0.0),
        ("vwap()", 100.07),
    ] {
        assert_eq!(numbers(&bars, source)[59], value, "{source}");
    }
    assert!(numbers(&bars, "zscore(close, 7)")[59].is_nan(), "0 / 0");
}

#[test]
fn a_tie_of_two_averages_is_a_tie() {
    // Both are 100.05 exactly; sums of doubles would tell them apart.
    let bars = closes(&[10_000, 10_010, 10_000, 10_010, 10_000, 10_010]);
    assert_eq!(rule(&bars, "sma(close, 2) == sma(close, 4)")[3..], [T, T, T]);
    assert_eq!(rule(&bars, "sma(close, 2) == sma(close, 6)")[5], T);
}

#[test]
fn precedence_is_pythons() {
    let bars = closes(&[200]);
    let value = |source: &str| numbers(&bars, source)[0];
    assert_eq!(value("1 + close * 3"), 7.0);
    assert_eq!(value("-close + 3"), 1.0);
    assert_eq!(value("2 - close - 1"), -1.0);
    assert_eq!(value("8 / close / 2"), 2.0);
    assert_eq!(value("2 - -close"), 4.0);
    assert_eq!(value("-(close - 5) * 2"), 6.0);
    assert_eq!(rule(&bars, "not close > 3")[0], T);
    assert_eq!(rule(&bars, "not close < 3 or close == 2")[0], T);
    assert_eq!(rule(&bars, "close > 1 or close > 1 and close > 9")[0], T);
    assert_eq!(rule(&bars, "not not close == 2")[0], T);
}

#[test]
fn what_means_the_same_has_one_key_and_is_computed_once() {
    let same = |a: &str, b: &str, want: Type| {
        assert_eq!(bound(a, want).key(), bound(b, want).key());
    };
    same("sma(close, 2 * 5)", "bb_middle(close, 10)", Type::Number);
    same("macd(close, 26, 12, 9)", "macd(close, 12, 26, 9)", Type::Number);
    same("close > open", "open < close", Type::Rule);
    same("not close > open", "close <= open", Type::Rule);
    same("cross_below(close, open)", "cross_above(open, close)", Type::Rule);
    same("not (close > 1 and open > 1)", "open <= 1.0 or close <= 1", Type::Rule);
    let bars = closes(&[1, 2, 3]);
    let mut evaluator = Evaluator::new(&bars);
    let first = evaluator.numbers(&bound("sma(close, 2)", Type::Number));
    let again = evaluator.numbers(&bound("bb_middle(close, 1 + 1)", Type::Number));
    assert!(std::sync::Arc::ptr_eq(&first, &again));
}

#[test]
fn a_lone_bar_is_enough_for_every_function() {
    let bars = closes(&[100]);
    for source in super::laws::EVERY_FUNCTION {
        assert_eq!(numbers(&bars, source).len(), 1, "{source}");
    }
}
