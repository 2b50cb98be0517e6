//! Coarser bars from finer ones: the rule of semantics "Time", nothing else.
//! No database may enter; which buckets are whole is decided by the caller, who knows where the data begin and end.

use sim::bars::Column;
use sim::timeframe::Timeframe;

use crate::cells::Cells;
use crate::error::Error;
use crate::frame::{BadCell, Frame};

/// One coarser bar's rows: its opening, and [first, end) among the finer rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    time_us: i64,
    first: usize,
    end: usize,
}

/// The bars of `frame` put together to `timeframe`: first open, highest high, lowest low, last close, and sums.
///
/// A bucket is built from the bars it has; one without bars is left out. A sum is missing where a part of it is
/// missing: a sum of what happens to be there would look like less volume.
pub(crate) fn resample(
    frame: &Frame,
    timeframe: Timeframe,
) -> Result<Result<Frame, BadCell>, Error> {
    let buckets = buckets(frame.time_us()?, timeframe);
    let mut columns = Vec::new();
    for column in frame.columns() {
        let cells = if column.is_price() {
            match frame.prices(column)? {
                Ok(prices) => price(column, prices, &buckets),
                Err(bad) => return Ok(Err(bad)),
            }
        } else {
            sums(&frame.units(column)?, &buckets)
        };
        columns.push((column, cells));
    }
    Frame::new(buckets.iter().map(|b| b.time_us).collect(), columns).map(Ok)
}

fn buckets(time_us: &[i64], timeframe: Timeframe) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for (row, &time) in time_us.iter().enumerate() {
        let opening = timeframe.floor(time);
        match buckets.last_mut() {
            Some(bucket) if bucket.time_us == opening => bucket.end = row + 1,
            _ => buckets.push(Bucket { time_us: opening, first: row, end: row + 1 }),
        }
    }
    buckets
}

fn price(column: Column, prices: &[i64], buckets: &[Bucket]) -> Cells {
    let mut cells = Cells::with_capacity(buckets.len());
    for bucket in buckets {
        let rows = &prices[bucket.first..bucket.end];
        let value = match column {
            Column::Open => rows.first().copied(),
            Column::High => rows.iter().max().copied(),
            Column::Low => rows.iter().min().copied(),
            _ => rows.last().copied(),
        };
        cells.push(value.map(i128::from));
    }
    cells
}

fn sums(values: &Cells, buckets: &[Bucket]) -> Cells {
    let mut cells = Cells::with_capacity(buckets.len());
    for bucket in buckets {
        cells.push(values.range(bucket.first..bucket.end).sum());
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;
    const DAY: i64 = 1_440 * MINUTE;

    /// Rows of open, high, low, close, volume, quote_volume; -1 is a missing value.
    fn frame(rows: &[(i64, [i128; 6])]) -> Frame {
        let columns = [
            Column::Open,
            Column::High,
            Column::Low,
            Column::Close,
            Column::Volume,
            Column::QuoteVolume,
        ];
        let cells = columns.iter().enumerate().map(|(i, &column)| {
            let mut cells = Cells::default();
            rows.iter().for_each(|(_, values)| cells.push(Some(values[i]).filter(|&v| v >= 0)));
            (column, cells)
        });
        Frame::new(rows.iter().map(|r| r.0).collect(), cells).unwrap()
    }

    fn rows(frame: &Frame) -> Vec<(i64, [i128; 6])> {
        let columns: Vec<_> = frame.columns().iter().map(|&c| frame.units(c).unwrap()).collect();
        let times = frame.time_us().unwrap().iter().enumerate();
        times
            .map(|(row, &time)| (time, std::array::from_fn(|i| columns[i].get(row).unwrap_or(-1))))
            .collect()
    }

    #[test]
    fn five_minutes_from_minutes() {
        let minutes = frame(&[
            //    minute      open high low close volume quote
            (0, [10, 12, 9, 11, 1, 10]),
            (MINUTE, [11, 15, 11, 14, 2, 20]),
            (4 * MINUTE, [14, 14, 8, 9, 3, 30]),
            // 00:05 is a bucket of one bar, and its quote volume is not known.
            (7 * MINUTE, [9, 10, 9, 10, 4, -1]),
            // 00:10 has no bar at all; 00:15 has all of its bars but one.
            (15 * MINUTE, [10, 11, 10, 11, 5, 50]),
            (16 * MINUTE, [11, 11, 7, 8, 6, -1]),
            (19 * MINUTE, [8, 9, 8, 9, 7, 70]),
        ]);
        let expected = [
            (0, [10, 15, 8, 9, 6, 60]),
            (5 * MINUTE, [9, 10, 9, 10, 4, -1]),
            (15 * MINUTE, [10, 11, 7, 9, 18, -1]),
        ];
        let five = resample(&minutes, "5m".parse().unwrap()).unwrap().unwrap();
        assert_eq!(rows(&five), expected);
    }

    #[test]
    fn weeks_open_on_monday() {
        // 1970-01-01 was a Thursday: days 0-3 belong to the week of Monday 1969-12-29, day 4 opens the next.
        let bar = [5, 6, 4, 5, 1, 1];
        let days =
            frame(&[(0, bar), (3 * DAY, bar), (4 * DAY, bar), (10 * DAY, bar), (11 * DAY, bar)]);
        let weeks = resample(&days, "1w".parse().unwrap()).unwrap().unwrap();
        let week = |n: i128| [5, 6, 4, 5, n, n];
        assert_eq!(rows(&weeks), [(-3 * DAY, week(2)), (4 * DAY, week(2)), (11 * DAY, week(1))]);
    }

    #[test]
    fn sums_may_outgrow_63_bits() {
        let large = i128::from(i64::MAX);
        let minutes = frame(&[(0, [1, 1, 1, 1, large, 1]), (MINUTE, [1, 1, 1, 1, large, 1])]);
        let hour = resample(&minutes, "1h".parse().unwrap()).unwrap().unwrap();
        assert_eq!(rows(&hour), [(0, [1, 1, 1, 1, 2 * large, 2])]);
    }
}
