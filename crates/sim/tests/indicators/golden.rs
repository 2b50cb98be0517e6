//! Every indicator that TA-Lib has, against TA-Lib's values on 2,000 bars with flat runs, bars without volume and gaps.
//! No number of our own making may enter the expected values, but for the exceptions listed here.

use sim::bars::{Bars, Column, Columns};

use super::numbers;

const BARS: &str = include_str!("../data/bars.csv");
const TALIB: &str = include_str!("../data/talib.csv");

fn units(text: &str) -> i64 {
    let value: rust_decimal::Decimal = text.parse().unwrap();
    i64::try_from(sim::exact::units(value).unwrap()).unwrap()
}

fn load() -> Bars {
    let mut columns = Columns::default();
    let mut volumes = Vec::new();
    for line in BARS.lines().skip(1) {
        let cells: Vec<&str> = line.split(';').collect();
        columns.time_us.push(cells[0].parse::<i64>().unwrap() * 60_000_000);
        columns.open.push(units(cells[1]));
        columns.high.push(units(cells[2]));
        columns.low.push(units(cells[3]));
        columns.close.push(units(cells[4]));
        volumes.push(Some(i128::from(units(cells[5]))));
    }
    columns.extra.insert(Column::Volume, volumes.into_iter().collect());
    Bars::new("GOLDEN", "1m".parse().unwrap(), 0, columns).unwrap()
}

fn thrice(bars: &Bars, i: usize) -> i64 {
    bars.high()[i] + bars.low()[i] + bars.close()[i]
}

fn thrice_as_double(bars: &Bars, i: usize) -> f64 {
    let double = |units: i64| sim::exact::to_f64(i128::from(units));
    double(bars.high()[i]) + double(bars.low()[i]) + double(bars.close()[i])
}

fn all_same<T: PartialEq>(values: impl IntoIterator<Item = T>) -> bool {
    let mut values = values.into_iter();
    let first = values.next();
    values.all(|value| Some(value) == first)
}

/// What stands in place of TA-Lib's value, where we differ on purpose; NaN asks for nothing.
fn exception(name: &str, bars: &Bars, i: usize) -> Option<f64> {
    let window = |n: usize| (i + 1).saturating_sub(n)..=i;
    match name {
        // Neither gain nor loss ever: 50, where TA-Lib gives 0. Only at the start, as averages never decay to 0.
        "rsi(close, 14)" => all_same(bars.close()[..=i].iter()).then_some(50.0),
        "rsi(open, 2)" => all_same(bars.open()[..=i].iter()).then_some(50.0),
        // What follows from that start, as long as a window still reaches into it.
        "sma(rsi(close, 14), 7)" | "wma(rsi(close, 14), 5)" | "stddev(rsi(close, 14), 6)" => {
            (i < 40 + 7).then_some(f64::NAN)
        }
        "ema(rsi(close, 14), 9)" => (i < 40 + 200).then_some(f64::NAN),
        // TA-Lib's running sum of squares leaves a rounding error where the window is flat, of which the root
        // is as large as 1e-6 of the price; ours is exactly 0.
        "stddev(close, 10)" if all_same(bars.close()[window(10)].iter()) => Some(0.0),
        "bb_upper(close, 20, 2.5)" | "bb_lower(close, 20, 2.5)"
            if all_same(bars.close()[window(20)].iter()) =>
        {
            Some(sim::exact::to_f64(i128::from(bars.close()[i])))
        }
        // A flat window: TA-Lib divides one rounding error by another; ours is exactly 0.
        "cci(20)" => all_same(window(20).map(|k| thrice(bars, k))).then_some(0.0),
        "mfi(14)" => mfi_exception(bars, i),
        _ => None,
    }
}

fn mfi_exception(bars: &Bars, i: usize) -> Option<f64> {
    let steps = (i + 1).saturating_sub(14).max(1)..=i;
    let volume = bars.extra(Column::Volume).unwrap();
    // No flow on either side: 50, where TA-Lib gives 0.
    let still = |k: usize| thrice(bars, k) == thrice(bars, k - 1) || volume.get(k) == Some(0);
    if steps.clone().all(still) {
        return Some(50.0);
    }
    // Typical prices that are the same to the cent, but differ as doubles: TA-Lib sees a step, we see none.
    let same = |k: usize| thrice(bars, k) == thrice(bars, k - 1);
    let same_as_double = |k: usize| thrice_as_double(bars, k) == thrice_as_double(bars, k - 1);
    steps.into_iter().any(|k| same(k) != same_as_double(k)).then_some(f64::NAN)
}

#[test]
fn every_value_is_talibs() {
    let bars = load();
    assert!(bars.len() >= 2_000);
    let mut lines = TALIB.lines();
    let names: Vec<&str> = lines.next().unwrap().split(';').collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(';').collect()).collect();
    assert_eq!(rows.len(), bars.len());
    for (k, name) in names.iter().enumerate() {
        let ours = numbers(&bars, name);
        let mut n_excused = 0;
        for (i, row) in rows.iter().enumerate() {
            let talib = if row[k].is_empty() { f64::NAN } else { row[k].parse().unwrap() };
            assert_eq!(talib.is_nan(), ours[i].is_nan(), "{name} at {i}: warm-up");
            let excused = exception(name, &bars, i).filter(|_| !talib.is_nan());
            n_excused += usize::from(excused.is_some());
            let expected = excused.unwrap_or(talib);
            let price = bars.close()[i] as f64 / 1e8;
            let tolerance = 1e-9 * expected.abs().max(price);
            let off = (ours[i] - expected).abs();
            assert!(off <= tolerance || expected.is_nan(), "{name} at {i}: {} {expected}", ours[i]);
        }
        assert!(n_excused < 300, "{name}: {n_excused} bars excused");
    }
}
