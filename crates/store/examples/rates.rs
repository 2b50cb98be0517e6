//! How fast a year of minutes is written and read: `cargo run --release -p store --example rates -- URL [SYMBOL]`.
//! Measures only; what is right is the tests' business.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::collections::BTreeSet;
use std::time::Instant;

use sim::bars::Column;
use store::progress::Silent;
use store::row::BarRow;
use store::{LoadAsk, Store};
use tokio::sync::mpsc;

const MINUTE: i64 = 60_000_000;
const START: i64 = 1_704_067_200_000_000;
const ROWS: i64 = 525_600;
const BATCH: i64 = 8_192;

#[tokio::main]
async fn main() -> Result<(), store::Error> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "sqlite:rates.db".to_owned());
    let symbol = args.next().unwrap_or_else(|| "RATES".to_owned());
    Store::migrate(&url).await?;
    let store = Store::open(&url).await?;
    println!("{}, {}", store.place(), store.edition().name());
    for what in ["written", "written again"] {
        let (sender, receiver) = mpsc::channel(2);
        tokio::spawn(async move {
            let mut from = 0;
            while from < ROWS {
                let to = ROWS.min(from + BATCH);
                if sender.send(Ok((from..to).map(row).collect())).await.is_err() {
                    return;
                }
                from = to;
            }
        });
        let timeframe = minute();
        tell(what, store.write_bars(&symbol, timeframe, receiver)).await?;
    }
    let columns = |names: &[Column]| names.iter().copied().collect::<BTreeSet<_>>();
    for (what, timeframe, columns) in [
        ("prices loaded", "1m", columns(&[])),
        ("prices loaded", "1m", columns(&[])),
        ("all columns loaded", "1m", columns(&Column::ALL)),
        ("prices loaded to 1h", "1h", columns(&[])),
    ] {
        let timeframe = timeframe.parse().unwrap_or(minute());
        let (from_us, to_us, warmup_bars) = (None, None, 0);
        let ask =
            LoadAsk { symbol: symbol.clone(), timeframe, from_us, to_us, warmup_bars, columns };
        tell(what, store.load(&ask, &Silent)).await?;
    }
    Ok(())
}

fn minute() -> sim::timeframe::Timeframe {
    sim::timeframe::Timeframe::all().nth(5).unwrap_or_else(|| unreachable!("1m is the sixth"))
}

fn row(i: i64) -> BarRow {
    let price = i128::from(4_200_000_000_000 + i * 7_919 % 100_000_000_000);
    let volume = i128::from(1_000_000_000 + i * 104_729 % 50_000_000_000);
    BarRow {
        time_us: START + i * MINUTE,
        open: price,
        high: price + 1_000_000_000,
        low: price - 1_000_000_000,
        close: price + 300_000_000,
        volume,
        quote_volume: Some(volume * 42_000),
        trades_count: Some(1_234),
        taker_buy_volume: Some(volume / 2),
        taker_buy_quote_volume: Some(volume * 21_000),
    }
}

async fn tell<T>(
    what: &str,
    work: impl Future<Output = Result<T, store::Error>>,
) -> Result<T, store::Error> {
    let start = Instant::now();
    let done = work.await?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{ROWS} rows {what} in {seconds:.2} s, {:.0} rows/s", ROWS as f64 / seconds);
    Ok(done)
}
