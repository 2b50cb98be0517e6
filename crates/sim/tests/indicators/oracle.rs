//! Indicators that TA-Lib has not, against slow and obvious definitions on random bars.
//! No trick may enter: every value is computed from its definition anew.

use proptest::prelude::*;

use super::laws::rows;
use super::{bars_of, numbers, rule};
use sim::bars::{Bars, Column};
use sim::timeframe::day;

fn doubles(units: &[i64]) -> Vec<f64> {
    units.iter().map(|&units| units as f64 / 1e8).collect()
}

/// Volume as doubles, NaN where it is undefined.
fn volumes(bars: &Bars) -> Vec<f64> {
    let units = bars.extra(Column::Volume).unwrap();
    units.iter().map(|units| units.map_or(f64::NAN, |units| units as f64 / 1e8)).collect()
}

/// `f` of every window of `n` values without NaN, NaN elsewhere.
fn windows(x: &[f64], n: usize, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let value = |i: usize| {
        let window = &x[(i + 1).saturating_sub(n)..=i];
        if window.len() < n || window.iter().any(|x| x.is_nan()) { f64::NAN } else { f(window) }
    };
    (0..x.len()).map(value).collect()
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn stddev(x: &[f64]) -> f64 {
    let squares: Vec<f64> = x.iter().map(|value| (value - mean(x)).powi(2)).collect();
    mean(&squares).sqrt()
}

fn vwap(bars: &Bars, i: usize) -> f64 {
    let (high, low, close) = (doubles(bars.high()), doubles(bars.low()), doubles(bars.close()));
    let today = |k: &usize| day(bars.time_us()[*k]) == day(bars.time_us()[i]);
    let volume = volumes(bars);
    let money: f64 =
        (0..=i).filter(today).map(|k| (high[k] + low[k] + close[k]) / 3.0 * volume[k]).sum();
    let total: f64 = (0..=i).filter(today).map(|k| volume[k]).sum();
    if total == 0.0 { f64::NAN } else { money / total }
}

/// Value and direction, carried bar by bar.
fn supertrend(bars: &Bars, n: usize, k: f64) -> Vec<(f64, f64)> {
    let (high, low, close) = (doubles(bars.high()), doubles(bars.low()), doubles(bars.close()));
    let atr = numbers(bars, &format!("atr({n})"));
    let mut all = vec![(f64::NAN, f64::NAN); bars.len()];
    let (mut upper, mut lower, mut direction) = (f64::NAN, f64::NAN, 1.0);
    for i in n..bars.len() {
        let basic_upper = (high[i] + low[i]) / 2.0 + k * atr[i];
        let basic_lower = (high[i] + low[i]) / 2.0 - k * atr[i];
        let first = upper.is_nan();
        if first || basic_upper < upper || close[i - 1] > upper {
            upper = basic_upper;
        }
        if first || basic_lower > lower || close[i - 1] < lower {
            lower = basic_lower;
        }
        if !first && direction > 0.0 && close[i] < lower {
            direction = -1.0;
        } else if !first && direction < 0.0 && close[i] > upper {
            direction = 1.0;
        }
        all[i] = (if direction > 0.0 { lower } else { upper }, direction);
    }
    all
}

/// The definition word by word: above now, and below at the last earlier bar where the two differed, with no
/// undefined bar in between.
fn crosses_above(a: &[f64], b: &[f64], i: usize) -> Option<bool> {
    if a[i].is_nan() || b[i].is_nan() {
        return None;
    }
    let before = (0..i).rev().find(|&k| a[k] != b[k]);
    Some(a[i] > b[i] && before.is_some_and(|k| a[k] < b[k]))
}

fn agree(ours: &[f64], expected: &[f64]) -> Result<(), TestCaseError> {
    for (i, (a, b)) in ours.iter().zip(expected).enumerate() {
        prop_assert!(
            (a - b).abs() <= 1e-12 * b.abs().max(1.0) || (a.is_nan() && b.is_nan()),
            "bar {}: {} {}",
            i,
            a,
            b
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn windows_are_what_they_say(rows in rows(50), n in 1_usize..9) {
        let bars = bars_of(&rows);
        let (close, volume) = (doubles(bars.close()), volumes(&bars));
        let max = |x: &[f64]| x.iter().copied().fold(f64::MIN, f64::max);
        let min = |x: &[f64]| x.iter().copied().fold(f64::MAX, f64::min);
        let sum = |x: &[f64]| x.iter().sum();
        for (name, x) in [("close", &close), ("volume", &volume)] {
            agree(&numbers(&bars, &format!("highest({name}, {n})")), &windows(x, n, max))?;
            agree(&numbers(&bars, &format!("lowest({name}, {n})")), &windows(x, n, min))?;
            agree(&numbers(&bars, &format!("sum({name}, {n})")), &windows(x, n, sum))?;
            agree(&numbers(&bars, &format!("sum({name} * 1, {n})")), &windows(x, n, sum))?;
            agree(&numbers(&bars, &format!("sma({name} * 1, {n})")), &windows(x, n, mean))?;
            let weigh = |x: &[f64]| {
                let weighted: f64 = (1..).zip(x).map(|(w, x)| f64::from(w) * x).sum();
                weighted / (n * (n + 1) / 2) as f64
            };
            agree(&numbers(&bars, &format!("wma({name} * 1, {n})")), &windows(x, n, weigh))?;
            agree(&numbers(&bars, &format!("wma({name}, {n})")), &windows(x, n, weigh))?;
        }
    }

    #[test]
    fn zscore_is_distance_in_deviations(rows in rows(50), n in 1_usize..9) {
        let bars = bars_of(&rows);
        let close = doubles(bars.close());
        let score = |x: &[f64]| {
            // A flat window has no deviation, whatever its rounded mean says.
            if x.iter().all(|&value| value == x[0]) {
                return f64::NAN;
            }
            (x[n - 1] - mean(x)) / stddev(x)
        };
        agree(&numbers(&bars, &format!("zscore(close, {n})")), &windows(&close, n, score))?;
    }

    #[test]
    fn vwap_is_the_days(rows in rows(50)) {
        let bars = bars_of(&rows);
        let expected: Vec<f64> = (0..bars.len()).map(|i| vwap(&bars, i)).collect();
        agree(&numbers(&bars, "vwap()"), &expected)?;
    }

    #[test]
    fn supertrend_follows_its_bands(rows in rows(50), n in 1_usize..5, tenths in 1_u8..30) {
        let bars = bars_of(&rows);
        let k = f64::from(tenths) / 10.0;
        let (values, directions): (Vec<f64>, Vec<f64>) = supertrend(&bars, n, k).into_iter().unzip();
        agree(&numbers(&bars, &format!("supertrend({n}, {k})")), &values)?;
        agree(&numbers(&bars, &format!("supertrend_dir({n}, {k})")), &directions)?;
    }

    #[test]
    fn crossings_are_what_they_say(rows in rows(50)) {
        let bars = bars_of(&rows);
        let (open, close) = (doubles(bars.open()), doubles(bars.close()));
        let above: Vec<_> = (0..bars.len()).map(|i| crosses_above(&close, &open, i)).collect();
        prop_assert_eq!(rule(&bars, "cross_above(close, open)"), above);
        let below: Vec<_> = (0..bars.len()).map(|i| crosses_above(&open, &close, i)).collect();
        prop_assert_eq!(rule(&bars, "cross_below(close, open)"), below);
    }

    #[test]
    fn pointwise_functions_are_what_they_say(rows in rows(30)) {
        let bars = bars_of(&rows);
        let (open, close) = (doubles(bars.open()), doubles(bars.close()));
        let pairs = || open.iter().zip(&close);
        let all = |f: fn(f64, f64) -> f64| -> Vec<f64> { pairs().map(|(&a, &b)| f(a, b)).collect() };
        agree(&numbers(&bars, "min(open, close)"), &all(f64::min))?;
        agree(&numbers(&bars, "max(open, close)"), &all(f64::max))?;
        agree(&numbers(&bars, "abs(open - close)"), &all(|a, b| (a - b).abs()))?;
    }
}
