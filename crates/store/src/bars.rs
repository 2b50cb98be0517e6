//! Writing bars and telling what bars are held. How a backend stores a bar stands in its own file.
//! No simulation and no frame may enter.

use sim::timeframe::Timeframe;
use tokio::sync::mpsc::Receiver;

use crate::error::Error;
use crate::row::BarRow;
use crate::tx::{Arg, Conn, Mode, Row, Tx};
use crate::{Edition, Feed, Range, Store, postgres, sqlite};

/// Most characters of a symbol, as its column takes.
pub const MAX_SYMBOL: usize = 20;

/// What was written. Rows that were there with the same values are in neither `inserted` nor `updated`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows received.
    pub rows: u64,
    /// Rows whose time was not stored before.
    pub inserted: u64,
    /// Rows that were stored with other values.
    pub updated: u64,
}

/// One stored series of bars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub symbol: String,
    pub timeframe: Timeframe,
    /// Opening of the first bar, microseconds UTC.
    pub from_us: i64,
    /// End of the last bar, microseconds UTC.
    pub to_us: i64,
    pub bars: u64,
    /// Number of stretches without bars between the first and the last.
    pub gaps: u64,
    /// Number of bars that these lack.
    pub missing: u64,
}

const COUNT: &str = "SELECT count(*) AS bars FROM market_data WHERE symbol = $1 AND timeframe = $2";
const SERIES: &str = "SELECT symbol, timeframe, min(timestamp) AS first, max(timestamp) AS last, \
                      count(*) AS bars FROM market_data GROUP BY symbol, timeframe \
                      ORDER BY symbol, timeframe";
const SERIES_OF: &str = "SELECT symbol, timeframe, min(timestamp) AS first, \
                         max(timestamp) AS last, count(*) AS bars FROM market_data \
                         WHERE symbol = $1 GROUP BY symbol, timeframe ORDER BY timeframe";
/// On SQLite the key leads to both ends of a series at once, where counting would read all of it.
const ENDS_SQLITE: &str = "SELECT $1 AS symbol, $2 AS timeframe, 0 AS bars, \
     (SELECT min(timestamp) FROM market_data WHERE symbol = $1 AND timeframe = $2) AS first, \
     (SELECT max(timestamp) FROM market_data WHERE symbol = $1 AND timeframe = $2) AS last";
/// On a server an index leads to the ends of one series, where finding all of a symbol reads every row. The first bar of
/// one stretch of time, the last one of another, each from ($3, $5) and to ($4, $6); NULL is an open end.
const ENDS_SERVER: &str = "SELECT \
     (SELECT min(timestamp) FROM market_data WHERE symbol = $1 AND timeframe = $2 \
     AND ($3::timestamptz IS NULL OR timestamp >= $3) AND ($4::timestamptz IS NULL OR timestamp < $4)) AS first, \
     (SELECT max(timestamp) FROM market_data WHERE symbol = $1 AND timeframe = $2 \
     AND ($5::timestamptz IS NULL OR timestamp >= $5) AND ($6::timestamptz IS NULL OR timestamp < $6)) AS last";
/// Where the chunks of TimescaleDB begin.
const CUTS: &str = "SELECT DISTINCT range_start AS cut FROM timescaledb_information.chunks \
     WHERE hypertable_name = 'market_data' AND range_start IS NOT NULL ORDER BY cut";
/// From each symbol to the next by the key, where a DISTINCT would read every bar.
const SYMBOLS: &str = "WITH RECURSIVE names(symbol) AS (SELECT min(symbol) FROM market_data UNION ALL \
     SELECT (SELECT min(m.symbol) FROM market_data m WHERE m.symbol > names.symbol) FROM names \
     WHERE names.symbol IS NOT NULL) \
     SELECT symbol FROM names WHERE symbol IS NOT NULL ORDER BY symbol";
const GAPS_SQLITE: &str = "SELECT count(*) AS gaps FROM (SELECT timestamp - lag(timestamp) OVER \
                           (ORDER BY timestamp) AS step FROM market_data \
                           WHERE symbol = $1 AND timeframe = $2) WHERE step > $3";
const GAPS_POSTGRES: &str = "SELECT count(*) AS gaps FROM (SELECT timestamp - lag(timestamp) OVER \
                             (ORDER BY timestamp) AS step FROM market_data \
                             WHERE symbol = $1 AND timeframe = $2) AS steps \
                             WHERE step > $3 * INTERVAL '1 microsecond'";

/// See [`Store::write_bars`].
pub(crate) async fn write(
    store: &Store,
    symbol: &str,
    timeframe: Timeframe,
    mut batches: Receiver<Feed>,
) -> Result<Written, Error> {
    crate::limit("symbol", symbol, MAX_SYMBOL)?;
    let name = timeframe.to_string();
    let mut tx = store.begin_tx(Mode::Write, "writing bars").await?;
    let now_us = tx.now_us().await?;
    let before = prepare(&mut tx, symbol, &name).await?;
    let (mut rows, mut changed) = (0, 0);
    // A server is sent many rows at once.
    let at_once = if let Conn::Postgres(_) = tx.conn { postgres::ROWS_AT_ONCE } else { 1 };
    let mut part = gather(&mut batches, at_once).await?;
    loop {
        rows += part.rows.len() as u64;
        let sent = send(&mut tx, symbol, &name, now_us, &part.rows);
        if part.is_last {
            changed += sent.await?;
            break;
        }
        // The next rows are read while the database takes these.
        let (done, next) = tokio::join!(sent, gather(&mut batches, at_once));
        changed += done?;
        part = next?;
    }
    let inserted = count(&mut tx, symbol, &name).await?.saturating_sub(before);
    tx.commit().await?;
    Ok(Written { rows, inserted, updated: changed.saturating_sub(inserted) })
}

/// Writes `rows` and returns how many were new or changed.
async fn send(
    tx: &mut Tx,
    symbol: &str,
    timeframe: &str,
    now_us: i64,
    rows: &[BarRow],
) -> Result<u64, Error> {
    let done = match &mut tx.conn {
        Conn::Sqlite(conn) => sqlite::write_bars(conn, symbol, timeframe, now_us, rows).await,
        Conn::Postgres(conn) => postgres::write_bars(conn, symbol, timeframe, rows).await,
    };
    done.map_err(|source| tx.failed(source))
}

/// Some rows on their way into the database.
struct Part {
    rows: Vec<BarRow>,
    is_last: bool,
}

/// At least `at_once` rows, or all that are left.
async fn gather(batches: &mut Receiver<Feed>, at_once: usize) -> Result<Part, Error> {
    let mut rows = Vec::new();
    while rows.len() < at_once {
        match batches.recv().await {
            Some(Feed::Rows(batch)) if rows.is_empty() => rows = batch,
            Some(Feed::Rows(batch)) => rows.extend(batch),
            Some(Feed::End) => return Ok(Part { rows, is_last: true }),
            Some(Feed::Abort(why)) => return Err(Error::Aborted(why)),
            // A sender that panicked or was dropped never said that this was all.
            None => {
                let why = "the reader of the bars ended before its last row";
                return Err(Error::Aborted(why.to_owned()));
            }
        }
    }
    Ok(Part { rows, is_last: false })
}

/// Keeps other writers of the series out and counts its bars.
async fn prepare(tx: &mut Tx, symbol: &str, timeframe: &str) -> Result<u64, Error> {
    if let Conn::Postgres(conn) = &mut tx.conn {
        let done = postgres::prepare_bars(conn, symbol, timeframe).await;
        done.map_err(|source| tx.failed(source))?;
    }
    count(tx, symbol, timeframe).await
}

async fn count(tx: &mut Tx, symbol: &str, timeframe: &str) -> Result<u64, Error> {
    let row = tx.row(COUNT, &[Arg::text(symbol), Arg::text(timeframe)]).await?;
    row.map_or(Ok(0), |row| Ok(row.int("bars")?.unsigned_abs()))
}

/// See [`Store::held`].
pub(crate) async fn held(store: &Store) -> Result<Vec<Held>, Error> {
    let mut tx = store.begin_tx(Mode::Read, "reading which bars are held").await?;
    let rows = tx.rows(SERIES, &[]).await?;
    let mut held =
        rows.iter().filter_map(|row| series(row).transpose()).collect::<Result<Vec<_>, _>>()?;
    for series in &mut held {
        if series.missing == 0 {
            continue;
        }
        let sql = match tx.conn {
            Conn::Sqlite(_) => GAPS_SQLITE,
            Conn::Postgres(_) => GAPS_POSTGRES,
        };
        let timeframe = series.timeframe.to_string();
        let step = Arg::int(series.timeframe.us());
        let row = tx.row(sql, &[Arg::text(&series.symbol), Arg::text(&timeframe), step]).await?;
        series.gaps = row.map_or(Ok(0), |row| row.int("gaps"))?.unsigned_abs();
    }
    held.sort_by(|a, b| (&a.symbol, a.timeframe).cmp(&(&b.symbol, b.timeframe)));
    Ok(held)
}

/// The series of one symbol, shortest timeframe first; gaps are not counted.
pub(crate) async fn series_of(tx: &mut Tx, symbol: &str) -> Result<Vec<Held>, Error> {
    let rows = tx.rows(SERIES_OF, &[Arg::text(symbol)]).await?;
    let mut held =
        rows.iter().filter_map(|row| series(row).transpose()).collect::<Result<Vec<_>, _>>()?;
    held.sort_by_key(|series| series.timeframe);
    Ok(held)
}

/// The same for choosing among them: where counting costs a scan, `bars` and `missing` are left 0.
pub(crate) async fn ends_of(tx: &mut Tx, symbol: &str) -> Result<Vec<Held>, Error> {
    if let Conn::Postgres(_) = tx.conn {
        return series_of(tx, symbol).await;
    }
    let mut held = Vec::new();
    for timeframe in Timeframe::all() {
        held.extend(ends_in_file(tx, symbol, timeframe).await?);
    }
    Ok(held)
}

/// One series, not counted.
pub(crate) async fn ends(
    store: &Store,
    tx: &mut Tx,
    symbol: &str,
    timeframe: Timeframe,
) -> Result<Option<Held>, Error> {
    match tx.conn {
        Conn::Sqlite(_) => ends_in_file(tx, symbol, timeframe).await,
        Conn::Postgres(_) => ends_on_server(store, tx, symbol, timeframe).await,
    }
}

async fn ends_in_file(
    tx: &mut Tx,
    symbol: &str,
    timeframe: Timeframe,
) -> Result<Option<Held>, Error> {
    match tx.row(ENDS_SQLITE, &[Arg::text(symbol), Arg::text(&timeframe.to_string())]).await? {
        Some(row) if row.opt_time("first")?.is_some() => {
            Ok(series(&row)?.map(|series| Held { missing: 0, ..series }))
        }
        _ => Ok(None),
    }
}

/// To plan a statement over hundreds of chunks takes as long as to read a month, so the ends are looked for in the first
/// and the last chunk, then in twice as many, and so on. All stretches together are all of time, wherever the chunks are
/// said to begin.
async fn ends_on_server(
    store: &Store,
    tx: &mut Tx,
    symbol: &str,
    timeframe: Timeframe,
) -> Result<Option<Held>, Error> {
    let cuts = match store.edition {
        Edition::TimescaleApache | Edition::TimescaleCommunity => {
            let rows = tx.rows(CUTS, &[]).await?;
            rows.iter().map(|row| row.time("cut")).collect::<Result<_, _>>()?
        }
        Edition::Postgres | Edition::Sqlite => Vec::new(),
    };
    let name = timeframe.to_string();
    let (mut first, mut last) = (None, None);
    for (early, late) in stretches(&cuts) {
        let mut args = vec![Arg::text(symbol), Arg::text(&name)];
        args.extend([early.from_us, early.to_us, late.from_us, late.to_us].map(Arg::Time));
        let Some(row) = tx.row(ENDS_SERVER, &args).await? else { continue };
        // What an earlier round has found lies further out.
        first = first.or(row.opt_time("first")?);
        last = last.or(row.opt_time("last")?);
        if let Some((from_us, last_us)) = first.zip(last) {
            let (symbol, to_us) = (symbol.to_owned(), last_us + timeframe.us());
            let (bars, gaps, missing) = (0, 0, 0);
            return Ok(Some(Held { symbol, timeframe, from_us, to_us, bars, gaps, missing }));
        }
    }
    Ok(None)
}

/// Stretches of time that grow from the beginning on, and as many that grow from the end on; each are all of time, cut at
/// some of `cuts`, which ascend.
fn stretches(cuts: &[i64]) -> Vec<(Range, Range)> {
    // Before the second cut lies the first chunk, before the fourth two more.
    let ends: Vec<usize> = std::iter::successors(Some(1), |n| Some(2 * n + 1))
        .take_while(|&n| n < cuts.len())
        .collect();
    let at = |n: Option<&usize>, from_behind: bool| {
        n.map(|&n| cuts[if from_behind { cuts.len() - n } else { n }])
    };
    let stretch = |i: usize| {
        let (near, far) = (i.checked_sub(1).and_then(|i| ends.get(i)), ends.get(i));
        let early = Range { from_us: at(near, false), to_us: at(far, false) };
        let late = Range { from_us: at(far, true), to_us: at(near, true) };
        (early, late)
    };
    (0..=ends.len()).map(stretch).collect()
}

/// Every symbol that has bars, in order.
pub(crate) async fn symbols(tx: &mut Tx) -> Result<Vec<String>, Error> {
    tx.rows(SYMBOLS, &[]).await?.iter().map(|row| row.text("symbol")).collect()
}

/// A series; none where another program stored a timeframe that we do not know.
fn series(row: &Row) -> Result<Option<Held>, Error> {
    let Ok(timeframe) = row.text("timeframe")?.parse::<Timeframe>() else { return Ok(None) };
    let (from_us, last_us) = (row.time("first")?, row.time("last")?);
    let bars = row.int("bars")?.unsigned_abs();
    let to_us = last_us + timeframe.us();
    let missing = ((to_us - from_us) / timeframe.us()).unsigned_abs().saturating_sub(bars);
    let symbol = row.text("symbol")?;
    Ok(Some(Held { symbol, timeframe, from_us, to_us, bars, gaps: 0, missing }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_all_of_time_whatever_the_cuts() {
        for n in 0..40 {
            let cuts: Vec<i64> = (0..n).map(|i| i * i).collect();
            let (early, late): (Vec<Range>, Vec<Range>) = stretches(&cuts).into_iter().unzip();
            let follow = |all: &[Range]| all.windows(2).all(|two| two[0].to_us == two[1].from_us);
            let open = |all: &[Range]| (all[0].from_us, all[all.len() - 1].to_us) == (None, None);
            let turned: Vec<Range> = late.iter().rev().copied().collect();
            assert!(follow(&early) && follow(&turned) && open(&early) && open(&turned), "{n}");
            assert!(early.len() <= 7, "{n}");
        }
        let of = |from_us, to_us| Range { from_us, to_us };
        // Four chunks: one, then the other three.
        assert_eq!(
            stretches(&[10, 20, 30, 40])[..2],
            [
                (of(None, Some(20)), of(Some(40), None)),
                (of(Some(20), Some(40)), of(Some(20), Some(40)))
            ]
        );
    }
}
