//! COPY in its text form: bars and trades on their way in, bars on their way out, without a String per value.
//! No float may enter: digits become integers of 1e-8 and back.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Datelike};
use futures_util::{TryStream, TryStreamExt};
use sim::timeframe::{DAY_US, SECOND_US};
use sqlx::postgres::Postgres;
use sqlx::{PgConnection, Transaction};
use tokio::sync::mpsc::Sender;

use crate::cells::{Block, Scan};
use crate::error::Error;
use crate::row::BarRow;
use crate::tx::limited;

/// How long the server may take for the next rows.
const SILENCE_LIMIT: Duration = Duration::from_secs(300);
/// Decimal places of a unit of 1e-8.
const PLACES: usize = 8;

/// Bars into the table itself, and into the staging table.
pub(crate) const BARS: &str = "COPY market_data (symbol, timestamp, timeframe, open, high, low, close, volume, \
     quote_volume, trades_count, taker_buy_volume, taker_buy_quote_volume) FROM STDIN";
pub(crate) const STAGED_BARS: &str = "COPY staged_bars (symbol, timestamp, timeframe, open, high, low, close, volume, \
     quote_volume, trades_count, taker_buy_volume, taker_buy_quote_volume) FROM STDIN";

/// `rows` as lines for [`BARS`] or [`STAGED_BARS`].
pub(crate) fn bar_lines(
    symbol: &str,
    timeframe: &str,
    rows: &[BarRow],
) -> Result<Lines, sqlx::Error> {
    let mut lines = Lines::default();
    for row in rows {
        lines.text(symbol);
        lines.time(row.time_us)?;
        lines.text(timeframe);
        for value in [row.open, row.high, row.low, row.close, row.volume] {
            lines.units(Some(value));
        }
        lines.units(row.quote_volume);
        lines.count(row.trades_count);
        lines.units(row.taker_buy_volume);
        lines.units(row.taker_buy_quote_volume);
        lines.end();
    }
    Ok(lines)
}

/// Sends `lines` by the COPY statement `sql`; a server that takes nothing any more is given up after a while.
pub(crate) async fn copy_in(
    conn: &mut PgConnection,
    sql: &'static str,
    lines: &Lines,
) -> Result<(), sqlx::Error> {
    let sent = limited(async {
        let mut copy = conn.copy_in_raw(sql).await?;
        copy.send(lines.text.as_bytes()).await?;
        copy.finish().await.map(|_| ())
    });
    sent.await.unwrap_or_else(|| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

/// Lines of COPY text.
#[derive(Default)]
pub(crate) struct Lines {
    text: String,
    begun: bool,
    /// The last day written, and how it is spelled.
    day: Option<(i64, String)>,
}

impl Lines {
    fn next(&mut self) -> &mut String {
        if self.begun {
            self.text.push('\t');
        }
        self.begun = true;
        &mut self.text
    }

    pub(crate) fn text(&mut self, value: &str) {
        let text = self.next();
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '\t' => text.push_str("\\t"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                _ => text.push(c),
            }
        }
    }

    pub(crate) fn null(&mut self) {
        self.next().push_str("\\N");
    }

    /// Anything whose `Display` needs no escaping: numbers.
    pub(crate) fn number(&mut self, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.next(), "{value}");
    }

    /// A value in units of 1e-8.
    pub(crate) fn units(&mut self, value: Option<i128>) {
        match value {
            None => self.null(),
            Some(value) => {
                let (sign, units) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
                let (whole, part) = (units / 100_000_000, units % 100_000_000);
                self.number(format_args!("{sign}{whole}.{part:08}"));
            }
        }
    }

    fn count(&mut self, value: Option<i32>) {
        match value {
            None => self.null(),
            Some(value) => self.number(value),
        }
    }

    /// A moment, microseconds UTC.
    pub(crate) fn time(&mut self, us: i64) -> Result<(), sqlx::Error> {
        let day = us.div_euclid(DAY_US);
        if self.day.as_ref().is_none_or(|(last, _)| *last != day) {
            let date = DateTime::from_timestamp_micros(day * DAY_US)
                .filter(|date| (1..=9999).contains(&date.year()))
                .ok_or_else(|| sqlx::Error::Protocol(format!("{us} us is no date to store")))?;
            self.day = Some((day, date.format("%Y-%m-%d").to_string()));
        }
        let in_day = us.rem_euclid(DAY_US);
        let (seconds, part) = (in_day / SECOND_US, in_day % SECOND_US);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let date = self.day.as_ref().map(|(_, date)| date.clone()).unwrap_or_default();
        self.number(format_args!("{date} {hours:02}:{minutes:02}:{seconds:02}.{part:06}+00"));
        Ok(())
    }

    pub(crate) fn end(&mut self) {
        self.text.push('\n');
        self.begun = false;
    }
}

/// Sends the rows of `scan` to `sender` block by block, as long as somebody listens.
pub(crate) async fn bars_out(
    tx: &mut Transaction<'static, Postgres>,
    scan: &Scan,
    sender: &Sender<Result<Block, Error>>,
) -> Result<(), sqlx::Error> {
    let sql = bars_out_sql(tx, scan).await?;
    let mut messages = tx.copy_out_raw(&sql).await?;
    let mut decoder = Decoder::new(Block::new(scan.columns.len()));
    while let Some(bytes) = next(&mut messages).await? {
        decoder.take(&bytes).map_err(sqlx::Error::Protocol)?;
        let full = decoder.block.rows() >= Block::ROWS;
        if full && sender.send(Ok(decoder.next_block())).await.is_err() {
            return Ok(());
        }
    }
    // Nobody listens any more: the rows are not wanted.
    let _ = sender.send(Ok(decoder.finish()?)).await;
    Ok(())
}

/// The rows of `scan`, of which there are about `rows`.
pub(crate) async fn bars_whole(
    tx: &mut Transaction<'static, Postgres>,
    scan: &Scan,
    rows: usize,
) -> Result<Block, sqlx::Error> {
    let sql = bars_out_sql(tx, scan).await?;
    let mut messages = tx.copy_out_raw(&sql).await?;
    let mut decoder = Decoder::new(Block::with_capacity(scan.columns.len(), rows));
    while let Some(bytes) = next(&mut messages).await? {
        decoder.take(&bytes).map_err(sqlx::Error::Protocol)?;
    }
    decoder.finish()
}

/// The next message of a COPY.
async fn next<T>(
    messages: &mut (impl TryStream<Ok = T, Error = sqlx::Error> + Unpin),
) -> Result<Option<T>, sqlx::Error> {
    let message = tokio::time::timeout(SILENCE_LIMIT, messages.try_next()).await;
    message.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}

/// COPY takes no parameters, so the server itself writes the literals of a statement that does.
async fn bars_out_sql(
    tx: &mut Transaction<'static, Postgres>,
    scan: &Scan,
) -> Result<String, sqlx::Error> {
    // What the decoder below expects, whatever the user's settings are.
    sqlx::raw_sql("SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'")
        .execute(&mut **tx)
        .await?;
    let columns: Vec<&str> = scan.columns.iter().map(|c| c.name()).collect();
    let select = format!(
        "COPY (SELECT timestamp, {} FROM market_data WHERE symbol = %L AND timeframe = %L \
         AND timestamp >= %L AND timestamp < %L ORDER BY timestamp) TO STDOUT",
        columns.join(", ")
    );
    let literal = |us: i64| {
        let mut lines = Lines::default();
        lines.time(us).map(|()| lines.text)
    };
    sqlx::query_scalar("SELECT format($1, $2::text, $3::text, $4::text, $5::text)")
        .bind(select)
        .bind(&scan.symbol)
        .bind(&scan.timeframe)
        .bind(literal(scan.from_us)?)
        .bind(literal(scan.to_us)?)
        .persistent(false)
        .fetch_one(&mut **tx)
        .await
}

/// Turns messages into rows, wherever a row is cut.
struct Decoder {
    block: Block,
    /// The beginning of a row whose end is in the next message.
    rest: Vec<u8>,
    days: Days,
}

impl Decoder {
    /// Adds rows to `block`.
    fn new(block: Block) -> Self {
        Self { block, rest: Vec::new(), days: Days::default() }
    }

    /// What is left after the last message.
    fn finish(self) -> Result<Block, sqlx::Error> {
        if self.rest.is_empty() {
            Ok(self.block)
        } else {
            Err(sqlx::Error::Protocol("COPY ended within a row".to_owned()))
        }
    }

    fn next_block(&mut self) -> Block {
        let columns = self.block.columns.len();
        std::mem::replace(&mut self.block, Block::new(columns))
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            if self.rest.is_empty() {
                self.row(&bytes[..end])?;
            } else {
                let mut row = std::mem::take(&mut self.rest);
                row.extend_from_slice(&bytes[..end]);
                self.row(&row)?;
            }
            bytes = &bytes[end + 1..];
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn row(&mut self, row: &[u8]) -> Result<(), String> {
        let bad = |field: &[u8]| format!("COPY sent `{}`", String::from_utf8_lossy(field));
        let mut fields = row.split(|&b| b == b'\t');
        let time = fields.next().unwrap_or_default();
        self.block.time_us.push(self.days.time(time).ok_or_else(|| bad(time))?);
        for cells in &mut self.block.columns {
            let field = fields.next().ok_or_else(|| bad(row))?;
            if field == b"\\N" {
                cells.push(None);
            } else if let Some(units) = short_units(field) {
                cells.push_narrow(units);
            } else {
                cells.push(Some(long_units(field).ok_or_else(|| bad(field))?));
            }
        }
        if fields.next().is_some() { Err(bad(row)) } else { Ok(()) }
    }
}

/// A decimal with up to 18 digits, of which up to 8 behind the point, in units of 1e-8.
fn short_units(field: &[u8]) -> Option<i64> {
    let (mut units, mut places, mut point) = (0_i64, 0, false);
    if field.len() > 19 {
        return None;
    }
    for &byte in field {
        match byte {
            b'0'..=b'9' => {
                units = units * 10 + i64::from(byte - b'0');
                places += usize::from(point);
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    const POWERS: [i64; PLACES + 1] =
        [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    units.checked_mul(*POWERS.get(PLACES.checked_sub(places)?)?)
}

/// The same for a number of any length and sign; `None` for NaN, infinity and more than 8 places that are not 0.
fn long_units(field: &[u8]) -> Option<i128> {
    let (negative, digits) = match field.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, field),
    };
    let (mut units, mut places, mut point) = (0_i128, 0, false);
    for &byte in digits {
        match byte {
            b'0' if places == PLACES => {}
            b'0'..=b'9' if places < PLACES => {
                units = units.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                places += usize::from(point);
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    let shift = u32::try_from(PLACES - places).ok()?;
    let units = units.checked_mul(10_i128.pow(shift))?;
    Some(if negative { -units } else { units })
}

/// Reads `2024-01-01 00:00:00[.ffffff]+00`; most rows have the day of the row before.
#[derive(Default)]
struct Days {
    text: [u8; 10],
    start_us: i64,
}

impl Days {
    fn time(&mut self, text: &[u8]) -> Option<i64> {
        let (date, rest) = text.split_first_chunk::<10>()?;
        if *date != self.text {
            self.start_us = day_start(date)?;
            self.text = *date;
        }
        let (clock, rest) = rest.split_first_chunk::<9>()?;
        let &[b' ', a, b, b':', c, d, b':', e, f] = clock else { return None };
        let pair = |a: u8, b: u8| Some(10 * digit(a)? + digit(b)?);
        let seconds = pair(a, b)? * 3600 + pair(c, d)? * 60 + pair(e, f)?;
        let part = match rest.strip_suffix(b"+00")? {
            b"" => 0,
            fraction => micros(fraction.strip_prefix(b".")?)?,
        };
        Some(self.start_us + seconds * SECOND_US + part)
    }
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

/// Up to six digits of a fraction of a second.
fn micros(fraction: &[u8]) -> Option<i64> {
    if fraction.is_empty() || fraction.len() > 6 {
        return None;
    }
    (0..6).try_fold(0, |us, place| {
        Some(us * 10 + fraction.get(place).map_or(Some(0), |&b| digit(b))?)
    })
}

fn day_start(date: &[u8; 10]) -> Option<i64> {
    let text = std::str::from_utf8(date).ok()?;
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_become_units() {
        let both = |text: &str| (short_units(text.as_bytes()), long_units(text.as_bytes()));
        assert_eq!(both("42000.12345678"), (Some(4_200_012_345_678), Some(4_200_012_345_678)));
        assert_eq!(both("7"), (Some(700_000_000), Some(700_000_000)));
        assert_eq!(both("0.5"), (Some(50_000_000), Some(50_000_000)));
        assert_eq!(both("999999999999.99999999"), (None, Some(99_999_999_999_999_999_999)));
        assert_eq!(both("92233720368.54775807"), (None, Some(i128::from(i64::MAX))));
        assert_eq!(both("-1.5"), (None, Some(-150_000_000)));
        assert_eq!(both("1.123456780"), (None, Some(112_345_678)));
        for text in ["NaN", "Infinity", "1.123456789", "1.2.3", "1e5"] {
            assert_eq!(both(text), (None, None), "{text}");
        }
    }

    #[test]
    fn times_are_read_to_the_microsecond() {
        let mut days = Days::default();
        assert_eq!(days.time(b"1970-01-02 00:00:01+00"), Some(86_401_000_000));
        assert_eq!(days.time(b"1970-01-02 23:59:59.5+00"), Some(2 * DAY_US - 500_000));
        assert_eq!(days.time(b"1969-12-31 23:59:59.999999+00"), Some(-1));
        for text in ["infinity", "1970-01-02 00:00:01-05", "0044-03-15 00:00:00+00 BC"] {
            assert_eq!(days.time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn rows_cut_anywhere_are_the_same_rows() {
        let text = b"2024-01-01 00:00:00+00\t1.5\t\\N\n2024-01-01 00:01:00+00\t2\t3.25\n";
        let whole = {
            let mut decoder = Decoder::new(Block::new(2));
            decoder.take(text).unwrap();
            decoder.block
        };
        assert_eq!(whole.columns[1].get(0), None);
        assert_eq!(whole.columns[1].get(1), Some(325_000_000));
        for cut in 0..text.len() {
            let mut decoder = Decoder::new(Block::new(2));
            decoder.take(&text[..cut]).unwrap();
            decoder.take(&text[cut..]).unwrap();
            assert_eq!(decoder.block, whole, "cut at {cut}");
            assert!(decoder.rest.is_empty());
        }
    }

    #[test]
    fn lines_are_escaped_and_exact() {
        let mut lines = Lines::default();
        lines.text("A\tB\\");
        lines.time(-1).unwrap();
        lines.units(Some(-5));
        lines.units(None);
        lines.end();
        assert_eq!(lines.text, "A\\tB\\\\\t1969-12-31 23:59:59.999999+00\t-0.00000005\t\\N\n");
    }
}
