//! Laws that hold for any bars: the future changes nothing, and averages of a column are exact.
//! No definition of an indicator may enter.

use proptest::prelude::*;

use super::{bars_of, numbers, rule};
use sim::bars::{Bars, Columns};

/// Every number of the language, with short windows so that few bars are enough to fill them.
pub(super) const EVERY_FUNCTION: [&str; 48] = [
    "open - low * 2 / volume",
    "sma(close, 3)",
    "sma(volume, 4)",
    "sma(close * 1.1, 5)",
    "ema(close, 4)",
    "ema(volume, 3)",
    "wma(close, 3)",
    "wma(volume / 3, 5)",
    "rsi(close, 3)",
    "rsi(volume, 2)",
    "stddev(close, 4)",
    "stddev(volume, 3)",
    "stddev(close / 3, 4)",
    "zscore(close, 5)",
    "roc(close, 2)",
    "roc(volume, 1)",
    "highest(high, 4)",
    "lowest(volume, 3)",
    "sum(close, 3)",
    "sum(close / 7, 6)",
    "shift(close, 2)",
    "macd(close, 2, 5, 3)",
    "macd_signal(close, 2, 5, 3)",
    "macd_hist(volume, 3, 2, 2)",
    "bb_upper(close, 4, 2)",
    "bb_middle(close, 4)",
    "bb_lower(volume, 3, 1.5)",
    "atr(3)",
    "atr(1)",
    "adx(3)",
    "adx(1)",
    "plus_di(3)",
    "minus_di(1)",
    "cci(4)",
    "mfi(3)",
    "stoch_k(4, 2)",
    "stoch_d(4, 2, 3)",
    "obv()",
    "vwap()",
    "supertrend(3, 1.5)",
    "supertrend_dir(3, 0.5)",
    "min(close, shift(open, 1))",
    "max(volume, 3)",
    "abs(close - open)",
    "-close",
    "ema(sma(volume, 2), 2)",
    "sma(volume, 1)",
    "rsi(close, 1)",
];

const EVERY_RULE: [&str; 5] = [
    "cross_above(close, sma(close, 3))",
    "cross_below(volume, 3)",
    "not cross_above(volume, close)",
    "close >= open and volume < 4 or close == 1",
    "not (close != shift(close, 1) or volume > 2)",
];

type Row = (i64, [i64; 4], Option<i64>);

/// Bars on a coarse grid, so that ties are common; some steps leave the day, some volumes are missing.
pub(super) fn rows(n: usize) -> impl Strategy<Value = Vec<Row>> {
    let step = prop_oneof![9 => Just(1_i64), 1 => 300_i64..900];
    let volume = prop_oneof![1 => Just(None), 12 => (0_i64..6).prop_map(Some)];
    let row = (step, 100_i64..110, 100_i64..110, 0_i64..4, 0_i64..4, volume);
    prop::collection::vec(row, 1..n).prop_map(|rows| {
        let mut minute = 0;
        let bar = |(step, open, close, up, down, volume): (i64, i64, i64, i64, i64, _)| {
            minute += step;
            (minute, [open, open.max(close) + up, open.min(close) - down, close], volume)
        };
        rows.into_iter().map(bar).collect()
    })
}

fn bits(values: &[f64]) -> Vec<u64> {
    // Every NaN is the same undefined.
    values.iter().map(|x| if x.is_nan() { u64::MAX } else { x.to_bits() }).collect()
}

fn exact_bars(prices: &[i64]) -> Bars {
    let columns = Columns {
        time_us: (0..).take(prices.len()).map(|i: i64| i * 60_000_000).collect(),
        open: prices.to_vec(),
        high: prices.to_vec(),
        low: prices.to_vec(),
        close: prices.to_vec(),
        ..Columns::default()
    };
    Bars::new("X", "1m".parse().unwrap(), 0, columns).unwrap()
}

/// `sum / (n × 1e8)` as a decimal text, for an `n` that divides 1000: reading it rounds once.
fn read_exactly(sum: i128, n: i128) -> f64 {
    let thousandths = sum * (1000 / n);
    let one = 100_000_000_000;
    format!("{}.{:011}", thousandths / one, thousandths % one).parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_future_changes_nothing(rows in rows(60), cut in 1_usize..60) {
        let bars = bars_of(&rows);
        let past = bars.head(cut).unwrap();
        for source in EVERY_FUNCTION {
            let all = bits(&numbers(&bars, source));
            prop_assert_eq!(&all[..past.len()], &bits(&numbers(&past, source))[..], "{}", source);
        }
        for source in EVERY_RULE {
            let all = rule(&bars, source);
            prop_assert_eq!(&all[..past.len()], &rule(&past, source)[..], "{}", source);
        }
    }

    #[test]
    fn no_value_is_infinite(rows in rows(40)) {
        let bars = bars_of(&rows);
        for source in EVERY_FUNCTION {
            prop_assert!(numbers(&bars, source).iter().all(|x| !x.is_infinite()), "{}", source);
        }
    }

    #[test]
    fn averages_of_a_column_are_rounded_once(
        prices in prop::collection::vec(prop_oneof![1_i64..1 << 40, 1_i64..i64::MAX], 25..60),
        n in prop::sample::select(vec![1_usize, 2, 4, 5, 8, 10, 20, 25]),
    ) {
        let bars = exact_bars(&prices);
        let sma = numbers(&bars, &format!("sma(close, {n})"));
        let sum = numbers(&bars, &format!("sum(close, {n})"));
        let wma = numbers(&bars, "wma(close, 4)");
        for i in n - 1..prices.len() {
            let exact: i128 = prices[i + 1 - n..=i].iter().map(|&x| i128::from(x)).sum();
            prop_assert_eq!(sma[i], read_exactly(exact, n as i128));
            prop_assert_eq!(sum[i], read_exactly(exact, 1));
        }
        for i in 3..prices.len() {
            let weighted = (1_i128..).zip(&prices[i - 3..=i]).map(|(w, &x)| w * i128::from(x)).sum();
            prop_assert_eq!(wma[i], read_exactly(weighted, 10));
        }
    }

    #[test]
    fn deviations_agree_whatever_the_size(
        prices in prop::collection::vec(prop_oneof![1_i64..1 << 40, 1_i64..i64::MAX], 25..60),
    ) {
        let bars = exact_bars(&prices);
        let of_column = numbers(&bars, "stddev(close, 5)");
        let of_series = numbers(&bars, "stddev(close + 0, 5)");
        for (a, b) in of_column.iter().zip(&*of_series).skip(4) {
            prop_assert!((a - b).abs() <= 1e-14 * 9.3e10_f64.max(*b), "{} {}", a, b);
        }
    }

    #[test]
    fn ratios_are_rounded_once(num in any::<i128>(), cut in 0_u32..127, places in 0_u32..38) {
        let num = num >> cut;
        let read: f64 = format!("{num}e-{places}").parse().unwrap();
        prop_assert_eq!(sim::exact::ratio(num, 10_i128.pow(places)), read);
    }
}
