//! Loading: which series answers a question, its rows into a frame, the frame into `sim::Bars` (hops 1 to 3).
//! What a bucket is made of stands in `resample`; how rows come out of a backend, in its own file.

mod fingerprint;
mod halves;
mod judge;
mod month;
mod parts;
mod scan;

pub(crate) use judge::judge;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sim::bars::{Bars, BarsError, Column, Columns};
use sim::timeframe::Timeframe;
use sim::verdict::Verdict;
use tokio::sync::mpsc::Receiver;

use crate::bars::{self, Held};
use crate::cells::Scan;
use crate::error::{Error, NoBars};
use crate::frame::{BadCell, Frame};
use crate::progress::Progress;
use crate::resample::resample;
use crate::tx::{Arg, Conn, Mode, Tx};
use crate::{Store, row::BarRow};

/// A stretch of time, microseconds UTC, half-open; `None` is an open end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub from_us: Option<i64>,
    pub to_us: Option<i64>,
}

/// Which bars to load.
#[derive(Clone, Debug)]
pub struct LoadAsk {
    pub symbol: String,
    pub timeframe: Timeframe,
    /// Bars that open at this or later are traded; microseconds UTC, `None` from the first one.
    pub from_us: Option<i64>,
    /// Bars that end at this or earlier are traded; microseconds UTC, `None` up to the last one.
    pub to_us: Option<i64>,
    /// Most bars in front of `from_us` that feed indicators only.
    pub warmup_bars: usize,
    /// Volumes and counts wanted besides the four prices.
    pub columns: BTreeSet<Column>,
}

/// Bars, and what has to be known to judge them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Shared, since a sweep reads them from every thread.
    pub bars: Arc<Bars>,
    /// The stored timeframe that they were made from; the one asked for, or a divisor of it.
    pub source_timeframe: Timeframe,
    /// Stored bars that went into `bars`, warm-up included.
    pub source_bars: u64,
    /// Bars of the source timeframe that its grid has inside the traded range and the store has not.
    pub missing_bars: u64,
    /// Bars of warm-up (got, wanted), when there were too few.
    pub short_warmup: Option<(usize, usize)>,
    /// First traded bar's opening and last bar's end, when that is less than was asked for.
    pub shorter: Option<Range>,
    /// SHA-256 of what was read, hexadecimal.
    pub fingerprint: String,
    /// What is wrong with the stored bars that went into `bars`, at their own timeframe.
    pub verdict: Verdict,
    pub took: Took,
}

/// How long the parts of a load took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// Connecting, and choosing the series.
    pub choosing: Duration,
    /// Until every row was there.
    pub reading: Duration,
    /// Of the reading, what months are still true; what several connections asked at once is added up.
    pub asking: Duration,
    /// Of the reading, kept months out of their files, added up likewise.
    pub kept: Duration,
    /// Coarser bars, fingerprint, verdict and checks.
    pub finishing: Duration,
}

/// The series to read and the traded range on the grid of the timeframe asked for.
struct Plan {
    source: Held,
    /// Whether that is all that was asked for.
    covers: bool,
    /// Opening of the first traded bar and end of the last one.
    start_us: i64,
    end_us: i64,
    /// First opening that is a whole bar of the timeframe asked for.
    first_us: i64,
}

impl Plan {
    /// Of what is read.
    fn source(&self) -> Timeframe {
        self.source.timeframe
    }
}

/// See [`Store::load`].
pub(crate) async fn load(
    store: &Store,
    ask: &LoadAsk,
    progress: &dyn Progress,
) -> Result<Loaded, Error> {
    let (begun, mut took) = (Instant::now(), Took::default());
    let mut tx = store.begin_tx(Mode::Read, "loading bars").await?;
    let second = halves::second(store, &mut tx).await?;
    let ahead = parts::ahead(store, &mut tx, ask).await?;
    let Some(plan) = choose(store, &mut tx, ask).await? else {
        return Err(no_bars(&mut tx, ask, false).await?);
    };
    let read_from_us = warmup_start(&mut tx, ask, &plan).await?;
    let mut columns: Vec<Column> = Column::ALL.into_iter().filter(|c| c.is_price()).collect();
    columns.extend(ask.columns.iter().copied().filter(|c| !c.is_price()));
    let scan = Scan {
        symbol: ask.symbol.clone(),
        timeframe: plan.source().to_string(),
        from_us: read_from_us,
        to_us: plan.end_us,
        columns,
    };
    let columns = scan.columns.clone();
    took.choosing = begun.elapsed();
    let block = match tx.conn {
        Conn::Sqlite(_) => halves::read(tx, second, scan, plan.source().us(), progress).await?,
        Conn::Postgres(_) => {
            let read = parts::read(store, tx, ahead, &plan.source, scan, progress).await?;
            (took.asking, took.kept) = (read.asking, read.kept);
            read.rows
        }
    };
    took.reading = begun.elapsed() - took.choosing;
    let frame = Frame::new(block.time_us, columns.into_iter().zip(block.columns))?;
    // Buckets and fingerprint of a year of minutes are tens of milliseconds of pure computing.
    let (place, asked) = (store.place(), ask.clone());
    let made = tokio::task::spawn_blocking(move || finish(&place, &asked, &plan, frame)).await;
    match made {
        Ok(Ok(Some(loaded))) => {
            took.finishing = begun.elapsed() - took.reading - took.choosing;
            Ok(Loaded { took, ..loaded })
        }
        Ok(Ok(None)) => {
            let mut tx = store.begin_tx(Mode::Read, "loading bars").await?;
            Err(no_bars(&mut tx, ask, false).await?)
        }
        Ok(Err(error)) => Err(error),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// The series to read, if there is one. A server is asked for the very timeframe first, and for the others only where
/// that does not cover the range: to find them all is to read every row.
async fn choose(store: &Store, tx: &mut Tx, ask: &LoadAsk) -> Result<Option<Plan>, Error> {
    if let Conn::Postgres(_) = tx.conn {
        let own = bars::ends(store, tx, &ask.symbol, ask.timeframe).await?;
        if let Some(plan) = plan(own.as_slice(), ask).filter(|plan| plan.covers) {
            return Ok(Some(plan));
        }
    }
    Ok(plan(&bars::ends_of(tx, &ask.symbol).await?, ask))
}

/// The first opening on the grid of `timeframe` at or after `time_us`.
fn ceil(timeframe: Timeframe, time_us: i64) -> i64 {
    let floor = timeframe.floor(time_us);
    if floor == time_us { floor } else { floor + timeframe.us() }
}

/// Chooses the source: the timeframe asked for if it covers the range, else the coarsest divisor that does, else the
/// one that covers most of it. An open end is covered by whatever is stored. A bar belongs to the range if it opens and ends in it, so nothing after `to_us` leaks
/// in. Of the source, a bar that its data begin or end inside is left out.
fn plan(series: &[Held], ask: &LoadAsk) -> Option<Plan> {
    let timeframe = ask.timeframe;
    let wanted_start = ask.from_us.map(|us| ceil(timeframe, us));
    let wanted_end = ask.to_us.map(|us| timeframe.floor(us));
    let plans = series.iter().filter(|held| timeframe.is_multiple_of(held.timeframe)).map(|held| {
        let (first_us, last_us) = (ceil(timeframe, held.from_us), timeframe.floor(held.to_us));
        let start_us = wanted_start.map_or(first_us, |us| us.max(first_us));
        let end_us = wanted_end.map_or(last_us, |us| us.min(last_us));
        let covers = wanted_start.is_none_or(|us| us == start_us)
            && wanted_end.is_none_or(|us| us == end_us);
        Plan { source: held.clone(), covers, start_us, end_us, first_us }
    });
    plans.filter(|plan| plan.start_us < plan.end_us).max_by_key(|plan| {
        let covered_us = if plan.covers { 0 } else { plan.end_us - plan.start_us };
        (plan.covers, covered_us, plan.source() == timeframe, plan.source())
    })
}

/// Where to start reading, so that `warmup_bars` bars come before the first traded one if the store has them.
async fn warmup_start(tx: &mut Tx, ask: &LoadAsk, plan: &Plan) -> Result<i64, Error> {
    const SQL: &str = "SELECT min(timestamp) AS first FROM (SELECT timestamp FROM market_data \
                       WHERE symbol = $1 AND timeframe = $2 AND timestamp >= $3 AND timestamp < $4 \
                       ORDER BY timestamp DESC LIMIT $5) AS before";
    if ask.warmup_bars == 0 {
        return Ok(plan.start_us);
    }
    // So many source bars fill at least so many buckets, however many are missing.
    let ratio = ask.timeframe.us() / plan.source().us();
    let limit = i64::try_from(ask.warmup_bars).unwrap_or(i64::MAX).saturating_mul(ratio);
    let source = plan.source().to_string();
    let args = [
        Arg::text(&ask.symbol),
        Arg::text(&source),
        Arg::time(plan.first_us),
        Arg::time(plan.start_us),
        Arg::int(limit),
    ];
    let first = match tx.row(SQL, &args).await? {
        Some(row) => row.opt_time("first")?,
        None => None,
    };
    Ok(first.map_or(plan.start_us, |us| ask.timeframe.floor(us)))
}

/// Buckets, warm-up, fingerprint and checks; `None` when nothing is left to trade.
fn finish(place: &str, ask: &LoadAsk, plan: &Plan, read: Frame) -> Result<Option<Loaded>, Error> {
    let bad_source = |bad: BadCell| bad_cell(place, &ask.symbol, plan.source(), &read, bad);
    if let Some(bad) = read.first_null()? {
        return Err(bad_source(bad));
    }
    let mut frame = if plan.source() == ask.timeframe {
        read.clone()
    } else {
        resample(&read, ask.timeframe)?.map_err(bad_source)?
    };
    let before = frame.time_us()?.partition_point(|&us| us < plan.start_us);
    if before == frame.rows() {
        return Ok(None);
    }
    let n_warmup = before.min(ask.warmup_bars);
    // In the place of the one before: what two frames hold cannot become columns of the bars without a copy.
    frame = frame.starting_at(before - n_warmup);
    let first_us = frame.time_us()?[0];
    let source = read.starting_at(read.time_us()?.partition_point(|&us| us < first_us));
    let traded = source.time_us()?.iter().filter(|&&us| us >= plan.start_us).count() as u64;
    let grid = ((plan.end_us - plan.start_us) / plan.source().us()).unsigned_abs();
    let shorter = Range { from_us: Some(plan.start_us), to_us: Some(plan.end_us) };
    let is_shorter = ask.from_us.is_some_and(|us| ceil(ask.timeframe, us) < plan.start_us)
        || ask.to_us.is_some_and(|us| ask.timeframe.floor(us) > plan.end_us);
    let (fingerprint, verdict) = std::thread::scope(|threads| {
        let fingerprint = threads.spawn(|| fingerprint::of(&source));
        let verdict = judge::of(place, &ask.symbol, plan.source(), &source);
        (fingerprint.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), verdict)
    });
    let source_bars = source.rows() as u64;
    // Now the columns are the frame's alone and can become those of the bars without a copy.
    drop((read, source));
    Ok(Some(Loaded {
        bars: Arc::new(to_bars(place, ask, n_warmup, frame)?),
        source_timeframe: plan.source(),
        source_bars,
        missing_bars: grid.saturating_sub(traded),
        short_warmup: (n_warmup < ask.warmup_bars).then_some((n_warmup, ask.warmup_bars)),
        shorter: is_shorter.then_some(shorter),
        fingerprint: fingerprint?,
        verdict: verdict?,
        took: Took::default(),
    }))
}

fn to_bars(place: &str, ask: &LoadAsk, n_warmup: usize, mut frame: Frame) -> Result<Bars, Error> {
    let extra = frame.take_extra()?;
    let mut prices = |column| match frame.take_prices(column)? {
        Ok(prices) => Ok(prices),
        Err(bad) => Err(bad_cell(place, &ask.symbol, ask.timeframe, &frame, bad)),
    };
    let [open, high, low, close] = [
        prices(Column::Open)?,
        prices(Column::High)?,
        prices(Column::Low)?,
        prices(Column::Close)?,
    ];
    let columns = Columns { time_us: frame.take_times()?, open, high, low, close, extra };
    Bars::checked(&ask.symbol, ask.timeframe, n_warmup, columns).map_err(|refused| {
        let (source, columns) = *refused;
        let row = match source {
            BarsError::NotAscending { row }
            | BarsError::OffGrid { row, .. }
            | BarsError::Price { row, .. }
            | BarsError::Range { row }
            | BarsError::Negative { row, .. } => row,
            _ => 0,
        };
        let (place, symbol) = (place.to_owned(), ask.symbol.clone());
        let time_us = columns.time_us.get(row).copied().unwrap_or_default();
        Error::Bars { place, symbol, timeframe: ask.timeframe, time_us, source }
    })
}

fn bad_cell(place: &str, symbol: &str, timeframe: Timeframe, frame: &Frame, bad: BadCell) -> Error {
    let given = bad
        .value
        .map_or_else(|| "NULL".to_owned(), |v| sim::exact::decimal(v).normalize().to_string());
    let time_us = frame.time_us().ok().and_then(|times| times.get(bad.row));
    let at = time_us.map(|&us| format!(" at {}", crate::when(us))).unwrap_or_default();
    Error::Value {
        place: place.to_owned(),
        table: "market_data",
        column: bad.column.name().to_owned(),
        given: format!("{given} in {symbol} {timeframe}{at}"),
        wanted: "a price that a simulation takes (above 0, up to 92233720368.54775807)",
    }
}

/// What to say when there is nothing to load; `exact` where only stored bars of the very timeframe would do.
async fn no_bars(tx: &mut Tx, ask: &LoadAsk, exact: bool) -> Result<Error, Error> {
    let series = bars::series_of(tx, &ask.symbol).await?;
    let symbols = bars::symbols(tx).await?;
    // What could have answered, the series asked for first; else whatever there is of the symbol.
    let (mut of_symbol, others): (Vec<Held>, Vec<Held>) =
        series.into_iter().partition(|held| ask.timeframe.is_multiple_of(held.timeframe));
    of_symbol.sort_by_key(|held| std::cmp::Reverse(held.timeframe));
    if of_symbol.is_empty() {
        of_symbol = others;
    }
    Ok(Error::NoBars(Box::new(NoBars {
        place: tx.place.to_string(),
        symbol: ask.symbol.clone(),
        timeframe: ask.timeframe,
        from_us: ask.from_us,
        to_us: ask.to_us,
        of_symbol,
        symbols,
        exact,
    })))
}

/// A read of the stored rows of one series whose opening lies in `range`.
async fn open_series(
    store: &Store,
    symbol: &str,
    timeframe: Timeframe,
    range: Range,
    columns: Vec<Column>,
) -> Result<(Tx, Scan), Error> {
    let mut tx = store.begin_tx(Mode::Read, "reading bars").await?;
    let Some(held) = bars::ends(store, &mut tx, symbol, timeframe).await? else {
        let ask = LoadAsk {
            symbol: symbol.to_owned(),
            timeframe,
            from_us: range.from_us,
            to_us: range.to_us,
            warmup_bars: 0,
            columns: BTreeSet::new(),
        };
        return Err(no_bars(&mut tx, &ask, true).await?);
    };
    let scan = Scan {
        symbol: symbol.to_owned(),
        timeframe: timeframe.to_string(),
        from_us: range.from_us.map_or(held.from_us, |us| us.max(held.from_us)),
        to_us: range.to_us.map_or(held.to_us, |us| us.min(held.to_us)),
        columns,
    };
    Ok((tx, scan))
}

/// See [`Store::stream_rows`].
pub(crate) async fn stream_rows(
    store: &Store,
    symbol: &str,
    timeframe: Timeframe,
    range: Range,
) -> Result<Receiver<Result<Vec<BarRow>, Error>>, Error> {
    let all = Column::ALL.to_vec();
    let (tx, scan) = open_series(store, symbol, timeframe, range, all).await?;
    Ok(scan::start_rows(tx, scan))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(timeframe: &str, from_hours: i64, to_hours: i64) -> Held {
        let hour = 3_600_000_000;
        Held {
            symbol: "X".to_owned(),
            timeframe: timeframe.parse().unwrap(),
            from_us: from_hours * hour,
            to_us: to_hours * hour,
            bars: 1,
            gaps: 0,
            missing: 0,
        }
    }

    /// Source, first traded opening and last end in hours.
    fn planned(
        series: &[Held],
        timeframe: &str,
        from: Option<i64>,
        to: Option<i64>,
    ) -> Option<(String, i64, i64)> {
        let hour = 3_600_000_000;
        let ask = LoadAsk {
            symbol: "X".to_owned(),
            timeframe: timeframe.parse().unwrap(),
            from_us: from.map(|h| h * hour),
            to_us: to.map(|h| h * hour),
            warmup_bars: 0,
            columns: BTreeSet::new(),
        };
        plan(series, &ask).map(|p| (p.source().to_string(), p.start_us / hour, p.end_us / hour))
    }

    #[test]
    fn the_source_is_what_covers_the_range() {
        let series = [held("1m", 0, 100), held("1h", 0, 50), held("4h", 20, 40)];
        let plan = |tf, from, to| planned(&series, tf, from, to);
        let is = |source: &str, from, to| Some((source.to_owned(), from, to));
        assert_eq!(plan("4h", Some(20), Some(40)), is("4h", 20, 40));
        assert_eq!(plan("4h", Some(8), Some(40)), is("1h", 8, 40), "4h begins too late");
        assert_eq!(plan("4h", Some(8), Some(60)), is("1m", 8, 60), "1h ends too early");
        assert_eq!(plan("4h", None, None), is("4h", 20, 40), "an open end is what is stored");
        assert_eq!(plan("4h", Some(8), Some(200)), is("1m", 8, 100), "nothing covers it");
        assert_eq!(plan("8h", Some(0), Some(40)), is("1h", 0, 40));
        assert_eq!(plan("15m", Some(0), Some(1)), is("1m", 0, 1));
        assert_eq!(plan("1s", None, None), None);
        assert_eq!(plan("4h", Some(100), Some(200)), None);
    }

    #[test]
    fn bars_that_the_data_or_the_range_cut_are_left_out() {
        let is = |from, to| Some(("1h".to_owned(), from, to));
        let series = [held("1h", 5, 50)];
        assert_eq!(planned(&series, "4h", None, None), is(8, 48));
        assert_eq!(planned(&series, "4h", Some(10), Some(30)), is(12, 28));
        // 1970-01-01 was a Thursday: the first whole week opens on Monday, 96 hours later.
        let series = [held("1h", 0, 400)];
        assert_eq!(planned(&series, "1w", None, None), is(96, 264));
    }
}
