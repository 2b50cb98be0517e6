//! Months of a range, and what the server says of the rows of one: enough to tell that nothing in it has changed.
//! What is done with the answer stands in `parts`.

use chrono::{DateTime, Datelike, NaiveDate};
use sim::bars::Column;
use sqlx::AssertSqlSafe;

use crate::cache::Stamp;
use crate::cells::Scan;
use crate::error::Error;
use crate::postgres::value::TimeUs;
use crate::tx::{Conn, Tx};

/// A stretch of time, microseconds UTC, half-open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Month {
    pub(super) from_us: i64,
    pub(super) to_us: i64,
    /// `2024-01`
    pub(super) name: String,
}

/// The calendar months, UTC and whole, that [from, to) touches; none where it leaves the calendar.
pub(super) fn all(from_us: i64, to_us: i64) -> Vec<Month> {
    let Some(first) = DateTime::from_timestamp_micros(from_us) else { return Vec::new() };
    let (mut year, mut month) = (first.year(), first.month());
    let mut months = Vec::new();
    let start = |year, month| {
        let date = NaiveDate::from_ymd_opt(year, month, 1)?.and_hms_opt(0, 0, 0)?;
        Some(date.and_utc().timestamp_micros())
    };
    while let Some(from_us) = start(year, month).filter(|&us| us < to_us) {
        let name = format!("{year:04}-{month:02}");
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let Some(to_us) = start(year, month) else { return Vec::new() };
        months.push(Month { from_us, to_us, name });
    }
    months
}

/// [from, to) in up to `n` parts of about the same length, cut at multiples of `step` only.
pub(super) fn equal(from_us: i64, to_us: i64, n: u64, step: i64) -> Vec<Month> {
    let n = i64::try_from(n).unwrap_or(i64::MAX).max(1);
    let base_us = from_us.div_euclid(step) * step;
    let length = ((to_us - base_us) / n / step + 1) * step;
    let starts = (0..n).map(|i| base_us + i * length).filter(|&us| us < to_us);
    let part = |start_us: i64| Month {
        from_us: from_us.max(start_us),
        to_us: to_us.min(start_us + length),
        name: String::new(),
    };
    starts.map(part).collect()
}

/// What the server says of the rows of `month`, and whether all is sound: a row with a negative value is none that may
/// be kept, since the hash of a number does not see its sign. `None` when there are no rows.
///
/// A row's hash takes in its time and every column that is read, each value with the hash so far as its seed: so two
/// rows that exchange a value have other hashes, and so has their sum, which does not depend on the order of rows.
/// Trailing zeros of a number do not count. What the hash is worth rests on the server's own 64-bit hash of numbers.
pub(super) async fn stamp(
    tx: &mut Tx,
    scan: &Scan,
    month: &Month,
) -> Result<Option<(Stamp, bool)>, Error> {
    type Row = (i64, Option<TimeUs>, Option<String>, Option<bool>);
    let Conn::Postgres(conn) = &mut tx.conn else { return Ok(None) };
    let time = |us| {
        DateTime::from_timestamp_micros(us)
            .ok_or_else(|| sqlx::Error::Encode(format!("{us} us is no date").into()))
    };
    let asked = async {
        let query = sqlx::query_as::<_, Row>(AssertSqlSafe(sql(&scan.columns)))
            .bind(&scan.symbol)
            .bind(&scan.timeframe)
            .bind(time(month.from_us)?)
            .bind(time(month.to_us)?)
            .persistent(false);
        crate::tx::limited(query.fetch_one(&mut **conn)).await.transpose()
    };
    let row = match asked.await {
        Ok(row) => tx.answer(row.map(Ok))?,
        Err(source) => return Err(tx.failed(source)),
    };
    let (rows, newest, hash, sound) = row;
    let Some(hash) = hash else { return Ok(None) };
    let hash: i128 = hash.parse().map_err(|_| {
        tx.failed(sqlx::Error::Protocol(format!("`{hash}` is not a sum of whole numbers")))
    })?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "wrapped, as meant"
    )]
    let hash = hash as u64;
    let newest_us = newest.and_then(|time| time.0);
    let stamp = Stamp { rows: rows.unsigned_abs(), newest_us, hash };
    Ok(Some((stamp, sound == Some(true))))
}

fn sql(columns: &[Column]) -> String {
    let mut hash = "(date_part('epoch', timestamp) * 1e6)::int8".to_owned();
    let mut sound = Vec::new();
    for column in columns {
        let value = match column {
            Column::Open | Column::High | Column::Low | Column::Close | Column::Volume => {
                column.name().to_owned()
            }
            // No value of the table is as large, and NULL would swallow the whole row.
            Column::TradesCount => format!("coalesce({column}::numeric, 1e30)"),
            _ => format!("coalesce({column}, 1e30)"),
        };
        hash = format!("hash_numeric_extended({value}, {hash})");
        sound.push(format!("{value} >= 0"));
    }
    // Once more: the last value's power of ten is only added to its hash.
    format!(
        "SELECT count(*), max(created_at), sum(hash_numeric_extended(1, {hash}))::text, \
         bool_and({}) FROM market_data WHERE symbol = $1 AND timeframe = $2 \
         AND timestamp >= $3 AND timestamp < $4",
        sound.join(" AND ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = sim::timeframe::DAY_US;
    /// 2024-01-01
    const START: i64 = 1_704_067_200_000_000;

    #[test]
    fn months_are_whole_and_without_gaps() {
        let months = all(START - 1, START + 60 * DAY + 1);
        let names: Vec<&str> = months.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["2023-12", "2024-01", "2024-02", "2024-03"]);
        assert!(months.windows(2).all(|two| two[0].to_us == two[1].from_us));
        assert_eq!((months[1].from_us, months[1].to_us), (START, START + 31 * DAY));
        assert_eq!(all(START, START + DAY).len(), 1);
        assert_eq!(all(START, START), []);
    }

    #[test]
    fn equal_parts_cover_the_range() {
        for (late, length, n, step) in [
            (0, 1, 1, 60),
            (0, 7 * DAY, 3, 60_000_000),
            (0, DAY, 1_000, DAY),
            (0, 59, 7, 60),
            (8_000, 9 * DAY, 4, DAY),
            (DAY - 1, 2, 2, DAY),
        ] {
            let from_us = START + late;
            let parts = equal(from_us, from_us + length, n, step);
            let ends = (parts[0].from_us, parts.last().unwrap().to_us);
            assert_eq!(ends, (from_us, from_us + length));
            let cuts = parts.windows(2).map(|two| (two[0].to_us, two[1].from_us));
            assert!(cuts.clone().all(|(end, next)| end == next && end % step == 0));
            assert!(parts.iter().all(|part| part.from_us < part.to_us));
            assert!(parts.len() as u64 <= n);
        }
    }
}
