//! Bars for tests: a seeded walk wild enough for every rule to fire, with gaps, flat stretches and bars without volume.
//! No test lives here, and nothing random that a seed does not fix.

use std::fmt::Write as _;

use store::row::BarRow;

/// 2024-03-01 UTC, microseconds.
pub(crate) const START_US: i64 = 1_709_251_200_000_000;
pub(crate) const MINUTE_US: i64 = 60_000_000;
const CENT: i64 = 1_000_000;

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 to below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    pub(crate) fn signed(&mut self, n: u64) -> i64 {
        i64::try_from(self.below(n)).expect("small")
    }
}

/// Bars from [`START_US`], `step_us` apart, the same for the same seed; `gaps` leaves about one in 200 stretches out.
pub(crate) fn bars(seed: u64, step_us: i64, n: usize, gaps: bool) -> Vec<BarRow> {
    let mut random = Random::new(seed);
    let mut close = 10_000_i64;
    let mut rows = Vec::with_capacity(n);
    let mut missing = 0;
    for i in 0..n {
        let flat = i % 500 > 480;
        let open = if flat { close } else { (close + random.signed(7) - 3).max(100) };
        close = if flat { open } else { (open + random.signed(61) - 30).max(100) };
        let (high, low) = (open.max(close) + random.signed(9), open.min(close) - random.signed(9));
        let volume = if i % 50 == 49 { 0 } else { random.signed(5_000) * CENT * 3 };
        let trades = random.signed(900);
        if gaps && missing == 0 && random.below(200) == 0 {
            missing = random.below(5) + 1;
        }
        if missing > 0 && i > 0 && i + 1 < n {
            missing -= 1;
            continue;
        }
        let money = |cents: i64| i128::from(cents * CENT);
        let quote = i128::from(volume) * i128::from(close) / 100;
        rows.push(BarRow {
            time_us: START_US + i64::try_from(i).expect("small") * step_us,
            open: money(open),
            high: money(high),
            low: money(low),
            close: money(close),
            volume: volume.into(),
            quote_volume: Some(quote),
            trades_count: i32::try_from(trades).ok(),
            taker_buy_volume: Some(i128::from(volume) / 3),
            taker_buy_quote_volume: Some(quote / 3),
        });
    }
    rows
}

/// The rows as a CSV file with a header. `noise` writes every third close and volume as an export of doubles does.
pub(crate) fn csv(rows: &[BarRow], noise: bool) -> String {
    let mut text = String::from(
        "timestamp,open,high,low,close,volume,quote_volume,trades_count,taker_buy_volume,taker_buy_quote_volume\n",
    );
    for (i, row) in rows.iter().enumerate() {
        let noisy = if noise && i % 3 == 0 { "0000000012" } else { "" };
        let time = row.time_us / 1_000;
        // Writing to a String cannot fail.
        let _ = write!(text, "{time}");
        for (units, end) in
            [(row.open, ""), (row.high, ""), (row.low, ""), (row.close, noisy), (row.volume, noisy)]
        {
            let _ = write!(text, ",{}{end}", decimal(units));
        }
        let optional = |units: Option<i128>| units.map_or_else(String::new, decimal);
        let trades = row.trades_count.map_or_else(String::new, |n| n.to_string());
        let _ = writeln!(
            text,
            ",{},{trades},{},{}",
            optional(row.quote_volume),
            optional(row.taker_buy_volume),
            optional(row.taker_buy_quote_volume)
        );
    }
    text
}

fn decimal(units: i128) -> String {
    format!("{}.{:08}", units / 100_000_000, units % 100_000_000)
}
