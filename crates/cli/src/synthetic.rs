//! A synthetic market: a seeded random walk with calm and wild days, in integers only, so that every machine makes the same bars.
//! It looks like a market and is none: no conclusion about one may be drawn from it.

use store::row::BarRow;
use store::{Feed, Store, Written};
use tokio::sync::mpsc;

use crate::fail::{Code, Fail};

/// The symbol that synthetic bars are kept under.
pub(crate) const SYMBOL: &str = "SYNTHETIC";
/// First bar of the demo: 2025-01-01 UTC.
const START_US: i64 = 1_735_689_600_000_000;
/// Minutes in a year of 365 days.
pub(crate) const YEAR_MINUTES: usize = 525_600;

/// Most minutes of one market: ten years, which take about a gigabyte in memory.
pub(crate) const MAX_MINUTES: usize = 10 * YEAR_MINUTES;

/// Rows that go to a store at a time.
const BATCH: usize = 8_192;
/// Batches that may wait for the store.
const CHANNEL: usize = 4;
const MINUTE_US: i64 = 60_000_000;
/// Units of 1e-8 in a cent, the tick of this market.
const CENT: i64 = 1_000_000;

/// SplitMix64 (Steele, Lea and Flood 2014): 64 bits of state, good enough for a demo.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform from 0 to below `n`.
    fn below(&mut self, n: u64) -> i64 {
        i64::try_from(self.next() % n).unwrap_or_default()
    }

    /// About normal with deviation 1,000: the sum of twelve uniforms, minus its mean.
    fn bell(&mut self) -> i64 {
        (0..12).map(|_| self.below(1_001)).sum::<i64>() - 6_000
    }
}

/// `minutes`, if a market may have so many.
pub(crate) fn limited(minutes: usize) -> Result<usize, String> {
    match minutes {
        1..=MAX_MINUTES => Ok(minutes),
        _ => Err(format!("{minutes} synthetic minutes are not from 1 to {MAX_MINUTES}")),
    }
}

/// Writes the bars of a seed to `store`, batch by batch; `told` hears how many each has.
pub(crate) async fn write(
    store: &Store,
    seed: u64,
    minutes: usize,
    told: impl Fn(u64),
) -> Result<Written, Fail> {
    let minute = "1m".parse().map_err(|e| Fail::new(Code::Bug, anyhow::Error::from(e)))?;
    let (sender, receiver) = mpsc::channel(CHANNEL);
    let send = async {
        let sender = sender;
        let mut bars = bars(seed, minutes);
        loop {
            let batch: Vec<_> = bars.by_ref().take(BATCH).collect();
            let rows = batch.len() as u64;
            let feed = if rows == 0 { Feed::End } else { Feed::Rows(batch) };
            // The receiver is gone only when the database failed, which the other half reports.
            if sender.send(feed).await.is_err() || rows == 0 {
                break;
            }
            told(rows);
        }
    };
    let (written, ()) = tokio::join!(store.write_bars(SYMBOL, minute, receiver), send);
    Ok(written?)
}

/// `minutes` bars of one minute from [`START_US`] on, starting near 50,000, the same for the same `seed`.
fn bars(seed: u64, minutes: usize) -> impl Iterator<Item = BarRow> + Send {
    let mut random = Random(seed);
    let mut price = 50_000 * 100 * CENT;
    // Deviation of a minute's move in units of 1e-6 of the price, and a slow drift; both change from day to day.
    let (mut wildness, mut drift) = (400_i64, 0_i64);
    (0..minutes).map(move |minute| {
        if minute % 1_440 == 0 {
            wildness = (wildness * (80 + random.below(46)) / 100).clamp(150, 1_500);
            drift = drift * 7 / 10 + random.bell() / 150;
        }
        let open = price;
        let mut moved = |spread: i64| {
            let millionths = random.bell() * spread / 1_000;
            let step = i128::from(price) * i128::from(millionths) / 1_000_000;
            i64::try_from(step).unwrap_or_default()
        };
        let drifted = i64::try_from(i128::from(open) * i128::from(drift) / 10_000_000).unwrap_or(0);
        let close = to_cent(open + moved(wildness) + drifted);
        let high = to_cent(open.max(close) + moved(wildness / 2).abs());
        let low = to_cent(open.min(close) - moved(wildness / 2).abs());
        price = close;
        let trades = 20 + random.below(400);
        row(minute, [open, high, low, close], trades, &mut random)
    })
}

fn to_cent(units: i64) -> i64 {
    (units / CENT * CENT).max(CENT)
}

fn row(
    minute: usize,
    [open, high, low, close]: [i64; 4],
    trades: i64,
    random: &mut Random,
) -> BarRow {
    // Thousandths of a coin a trade.
    let volume = i128::from(trades * (1 + random.below(90)) * 100_000);
    let bought = volume * i128::from(30 + random.below(41)) / 100;
    let quote = |volume: i128| volume * i128::from((high + low) / 2) / 100_000_000;
    BarRow {
        time_us: START_US + i64::try_from(minute).unwrap_or_default() * MINUTE_US,
        open: open.into(),
        high: high.into(),
        low: low.into(),
        close: close.into(),
        volume,
        quote_volume: Some(quote(volume)),
        trades_count: i32::try_from(trades).ok(),
        taker_buy_volume: Some(bought),
        taker_buy_quote_volume: Some(quote(bought)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_good_bars_on_every_machine() {
        let timeframe = "1m".parse().unwrap();
        let rows: Vec<BarRow> = bars(1, 20_000).collect();
        assert!(rows.iter().all(|row| row.check(timeframe).is_ok()));
        let sum: i128 = rows.iter().map(|r| r.close + r.volume).sum();
        let again: i128 = bars(1, 20_000).map(|r| r.close + r.volume).sum();
        assert_eq!(sum, again);
        assert_ne!(sum, bars(2, 20_000).map(|r| r.close + r.volume).sum::<i128>());
        assert_eq!(rows[1].open, rows[0].close);
    }
}
