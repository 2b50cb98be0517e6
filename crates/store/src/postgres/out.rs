//! Bars on their way out of a server: COPY in its binary form, decoded to exact integers of 1e-8 without a String or a
//! float. No settings of the user reach it: times are microseconds there, and numbers groups of four digits.

use chrono::DateTime;
use futures_util::{TryStream, TryStreamExt};
use sim::bars::Column;
use sim::exact::ONE_E8;
use sqlx::Transaction;
use sqlx::postgres::Postgres;
use tokio::sync::mpsc::Sender;

use super::copy::{HEADER, patient, silent};
use super::value::time_us;
use crate::cells::{Block, Cells, Scan};
use crate::error::Error;
use crate::tx::{Arg, Tx, limited};
use crate::when;

/// How many values a group of digits has, and how many groups stand for 1e-8.
const GROUP: i64 = 10_000;
const GROUPS_BEHIND: i32 = 2;

/// Why rows do not come out.
#[derive(Debug)]
pub(crate) enum Broken {
    Server(sqlx::Error),
    /// A stored value that no bar has.
    Value {
        column: &'static str,
        time_us: Option<i64>,
        given: &'static str,
    },
}

impl From<sqlx::Error> for Broken {
    fn from(source: sqlx::Error) -> Self {
        Self::Server(source)
    }
}

impl Broken {
    fn stream(why: &str) -> Self {
        Self::Server(sqlx::Error::Protocol(why.to_owned()))
    }

    /// As everybody is told.
    pub(crate) fn error(self, what: &'static str, place: &str, scan: &Scan) -> Error {
        let place = place.to_owned();
        match self {
            Self::Server(source) => Error::Database { what, place, source },
            Self::Value { column, time_us, given } => Error::Value {
                place,
                table: "market_data",
                column: column.to_owned(),
                given: format!(
                    "{given} in {} {}{}",
                    scan.symbol,
                    scan.timeframe,
                    time_us.map(|us| format!(" at {}", when(us))).unwrap_or_default()
                ),
                wanted: "a finite number of 8 decimal places",
            },
        }
    }
}

/// Sends the rows of `scan` to `sender` block by block, as long as somebody listens.
pub(crate) async fn bars_out(
    tx: &mut Transaction<'static, Postgres>,
    scan: &Scan,
    of: &Literals,
    sender: &Sender<Result<Block, Error>>,
) -> Result<(), Broken> {
    let sql = bars_out_sql(scan, of, "ORDER BY timestamp")?;
    let mut messages = patient(tx.copy_out_raw(&sql)).await?;
    let mut decoder = Decoder::new(&scan.columns, Block::ROWS);
    while fill(&mut messages, &mut decoder).await? {
        if sender.send(Ok(decoder.next_block())).await.is_err() {
            return Ok(());
        }
    }
    // Nobody listens any more: the rows are not wanted.
    let _ = sender.send(Ok(decoder.finish()?)).await;
    Ok(())
}

/// The rows of `scan`, of which there are about `rows`. The server sends them as they lie, which is mostly in order:
/// asked for that, it would fetch them one by one by an index, or sort them on its disk.
pub(crate) async fn bars_whole(
    tx: &mut Transaction<'static, Postgres>,
    scan: &Scan,
    of: &Literals,
    rows: usize,
) -> Result<Block, Broken> {
    let sql = bars_out_sql(scan, of, "")?;
    let mut messages = patient(tx.copy_out_raw(&sql)).await?;
    let mut decoder = Decoder::new(&scan.columns, rows);
    while fill(&mut messages, &mut decoder).await? {}
    let mut block = decoder.finish()?;
    block.sort();
    Ok(block)
}

/// Some [`Block::ROWS`] rows more, for which the server may take as long as for a statement; whether there may be others. A clock for every message would cost as much as its row.
async fn fill<T: AsRef<[u8]>>(
    messages: &mut (impl TryStream<Ok = T, Error = sqlx::Error> + Unpin),
    decoder: &mut Decoder<'_>,
) -> Result<bool, Broken> {
    let enough = decoder.block.rows() + Block::ROWS;
    let filled = limited(async {
        while decoder.block.rows() < enough {
            let Some(bytes) = messages.try_next().await? else { return Ok(false) };
            decoder.take(bytes.as_ref())?;
        }
        Ok(true)
    });
    filled.await.unwrap_or_else(|| Err(silent().into()))
}

/// What a scan is of, as the server itself writes it in a statement: COPY takes no parameters.
pub(crate) struct Literals {
    symbol: String,
    timeframe: String,
}

/// Asks for the literals of `scan`; of nothing where `tx` is on no server.
pub(crate) async fn literals(tx: &mut Tx, scan: &Scan) -> Result<Literals, Error> {
    const SQL: &str =
        "SELECT quote_literal($1::text) AS symbol, quote_literal($2::text) AS timeframe";
    let args = [Arg::text(&scan.symbol), Arg::text(&scan.timeframe)];
    match tx.row(SQL, &args).await? {
        Some(row) => {
            Ok(Literals { symbol: row.text("symbol")?, timeframe: row.text("timeframe")? })
        }
        None => Err(tx.failed(sqlx::Error::RowNotFound)),
    }
}

fn bars_out_sql(scan: &Scan, of: &Literals, order: &str) -> Result<String, sqlx::Error> {
    let columns: Vec<&str> = scan.columns.iter().map(|c| c.name()).collect();
    let time = |us: i64| match DateTime::from_timestamp_micros(us) {
        Some(time) => Ok(time.format("'%Y-%m-%d %H:%M:%S%.6f+00'").to_string()),
        None => Err(sqlx::Error::Protocol(format!("{us} us is no date"))),
    };
    Ok(format!(
        "COPY (SELECT timestamp, {} FROM market_data WHERE symbol = {} AND timeframe = {} \
         AND timestamp >= {} AND timestamp < {} {order}) TO STDOUT (FORMAT binary)",
        columns.join(", "),
        of.symbol,
        of.timeframe,
        time(scan.from_us)?,
        time(scan.to_us)?
    ))
}

/// Where in the stream the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Header,
    Row,
    End,
}

/// Turns messages into rows, wherever a row is cut.
struct Decoder<'a> {
    columns: &'a [Column],
    block: Block,
    at: At,
    /// The beginning of a row whose end is in the next message.
    rest: Vec<u8>,
}

impl<'a> Decoder<'a> {
    /// With room for so many rows.
    fn new(columns: &'a [Column], rows: usize) -> Self {
        let block = Block::with_capacity(columns.len(), rows);
        Self { columns, block, at: At::Header, rest: Vec::new() }
    }

    /// What is left after the last message. The stream says itself where it ends.
    fn finish(self) -> Result<Block, Broken> {
        if self.at == At::End && self.rest.is_empty() {
            Ok(self.block)
        } else {
            Err(Broken::stream("COPY ended within a row"))
        }
    }

    fn next_block(&mut self) -> Block {
        std::mem::replace(&mut self.block, Block::new(self.columns.len()))
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.rest.is_empty() {
            let used = self.rows(bytes)?;
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            let mut joined = std::mem::take(&mut self.rest);
            joined.extend_from_slice(bytes);
            let used = self.rows(&joined)?;
            joined.drain(..used);
            self.rest = joined;
        }
        Ok(())
    }

    /// Adds the whole rows at the beginning of `bytes`, and says how long they are.
    fn rows(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut used = 0;
        if self.at == At::Header {
            let Some(length) = header(bytes)? else { return Ok(0) };
            (self.at, used) = (At::Row, length);
        }
        while let Some(length) = self.row(&bytes[used..])? {
            used += length;
        }
        Ok(used)
    }

    /// Adds the row at the beginning of `bytes` if all of it is there, and says how long it is.
    fn row(&mut self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let Some((count, fields)) = bytes.split_first_chunk() else { return Ok(None) };
        let count = i16::from_be_bytes(*count);
        if self.at == At::End {
            return Err(Broken::stream("COPY goes on behind its end"));
        }
        if count == -1 {
            self.at = At::End;
            return Ok(Some(2));
        }
        if usize::try_from(count).ok() != Some(1 + self.columns.len()) {
            return Err(Broken::stream("COPY sent a row of other columns"));
        }
        // Nothing is added before all of it is there.
        let Some(length) = length(fields, count) else { return Ok(None) };
        let mut rest = fields;
        let time = |value: &[u8]| time_us(value.try_into().ok()?);
        let time_us = field(&mut rest).and_then(time).ok_or(Broken::Value {
            column: "timestamp",
            time_us: None,
            given: "a time without end",
        })?;
        self.block.time_us.push(time_us);
        for (cells, &column) in self.block.columns.iter_mut().zip(self.columns) {
            match field(&mut rest) {
                None => cells.push(None),
                Some(value) => add(cells, column, value).map_err(|given| Broken::Value {
                    column: column.name(),
                    time_us: Some(time_us),
                    given,
                })?,
            }
        }
        Ok(Some(2 + length))
    }
}

/// How long the header is, if all of it is there.
fn header(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    let Some((header, behind)) = bytes.split_first_chunk::<{ HEADER.len() }>() else {
        return Ok(None);
    };
    // No flag is set in what this program asks for. A later server may put more behind, which says how long it is.
    let [.., a, b, c, d] = *header;
    let more = u32::from_be_bytes([a, b, c, d]) as usize;
    if header[..header.len() - 4] != HEADER[..HEADER.len() - 4] {
        return Err(Broken::stream("COPY did not send its binary form"));
    }
    Ok((behind.len() >= more).then_some(header.len() + more))
}

/// How long `count` fields are, if all of them are there.
fn length(fields: &[u8], count: i16) -> Option<usize> {
    let mut rest = fields;
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or_default();
        rest = behind.get(length..)?;
    }
    Some(fields.len() - rest.len())
}

/// Takes the next field off `rest`, which is known to have it; `None` is NULL.
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok();
    let (value, behind) = behind.split_at_checked(length.unwrap_or_default())?;
    *rest = behind;
    length.map(|_| value)
}

/// Adds `value` to `cells`, or says what it is.
fn add(cells: &mut Cells, column: Column, value: &[u8]) -> Result<(), &'static str> {
    if column == Column::TradesCount {
        let count: [u8; 4] = value.try_into().map_err(|_| "a count of another type")?;
        cells.push_narrow(i64::from(i32::from_be_bytes(count)) * ONE_E8);
    } else if let Some(units) = short_units(value) {
        cells.push_narrow(units);
    } else {
        cells.push(Some(long_units(value)?));
    }
    Ok(())
}

/// A number from 0 to 1e8 without the server's sign, in units of 1e-8.
fn short_units(value: &[u8]) -> Option<i64> {
    let (head, digits) = value.split_first_chunk()?;
    let [_, _, a, b, 0, 0, _, _] = *head else { return None };
    let weight = i32::from(i16::from_be_bytes([a, b]));
    // Four groups of four digits fit.
    let groups = usize::try_from(weight + 1 + GROUPS_BEHIND).ok().filter(|&n| n <= 4)?;
    let (digits, _) = digits.as_chunks();
    if digits.len() > groups {
        return None;
    }
    let given = digits.iter().fold(0, |units, &d| units * GROUP + i64::from(u16::from_be_bytes(d)));
    Some(given * [1, GROUP, GROUP.pow(2), GROUP.pow(3), GROUP.pow(4)][groups - digits.len()])
}

/// Any number in units of 1e-8; else what it is.
fn long_units(value: &[u8]) -> Result<i128, &'static str> {
    const NO_NUMBER: &str = "what is no number";
    const TOO_LONG: &str = "a number that is too long";
    let (head, digits) = value.split_first_chunk().ok_or(NO_NUMBER)?;
    let [_, _, a, b, c, d, _, _] = *head;
    let sign = match u16::from_be_bytes([c, d]) {
        0 => 1,
        0x4000 => -1,
        0xC000 => return Err("NaN"),
        0xD000 => return Err("infinity"),
        0xF000 => return Err("-infinity"),
        _ => return Err(NO_NUMBER),
    };
    let weight = i32::from(i16::from_be_bytes([a, b]));
    let (digits, _) = digits.as_chunks();
    let mut units = 0_i128;
    for (place, &digit) in (0..).zip(digits) {
        let digit = i128::from(u16::from_be_bytes(digit));
        // Which power of 10,000 times 1e-8 the digits of this group are.
        match u32::try_from(weight + GROUPS_BEHIND - place) {
            Ok(power) => {
                let value = i128::from(GROUP).checked_pow(power).and_then(|p| p.checked_mul(digit));
                units = value.and_then(|v| v.checked_add(units)).ok_or(TOO_LONG)?;
            }
            Err(_) if digit == 0 => {}
            Err(_) => return Err("a number of more than 8 decimal places"),
        }
    }
    Ok(sign * units)
}

#[cfg(test)]
mod tests {
    use super::super::value::EPOCH_US;
    use super::*;

    /// The server's binary form of a number: weight, sign, groups of four digits.
    fn number(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        let mut bytes = u16::try_from(digits.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend([0, 8]);
        digits.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
        bytes
    }

    #[test]
    fn groups_of_digits_become_units() {
        let both = |weight, sign, digits: &[u16]| {
            let bytes = number(weight, sign, digits);
            (short_units(&bytes), long_units(&bytes))
        };
        // 42000.12345678
        assert_eq!(
            both(1, 0, &[4, 2000, 1234, 5678]),
            (Some(4_200_012_345_678), Ok(4_200_012_345_678))
        );
        assert_eq!(both(0, 0, &[]), (Some(0), Ok(0)));
        assert_eq!(both(0, 0, &[7]), (Some(700_000_000), Ok(700_000_000)));
        assert_eq!(both(1, 0, &[1]), (Some(1_000_000_000_000), Ok(1_000_000_000_000)));
        assert_eq!(both(-1, 0, &[5000]), (Some(50_000_000), Ok(50_000_000)));
        assert_eq!(both(-2, 0, &[1]), (Some(1), Ok(1)));
        assert_eq!(both(0, 0x4000, &[1, 5000]), (None, Ok(-150_000_000)));
        let largest = both(2, 0, &[9999, 9999, 9999, 9999, 9999]);
        assert_eq!(largest, (None, Ok(99_999_999_999_999_999_999)));
        // 92233720368.54775807
        assert_eq!(both(2, 0, &[922, 3372, 368, 5477, 5807]), (None, Ok(i64::MAX.into())));
        assert_eq!(both(-3, 0, &[1]), (None, Err("a number of more than 8 decimal places")));
        assert_eq!(both(-3, 0, &[]), (Some(0), Ok(0)));
        assert_eq!(both(0, 0xC000, &[]), (None, Err("NaN")));
        assert_eq!(both(0, 0xD000, &[]), (None, Err("infinity")));
        assert_eq!(both(0, 0xF000, &[]), (None, Err("-infinity")));
        assert_eq!(both(3000, 0, &[1]), (None, Err("a number that is too long")));
        assert!(long_units(b"").is_err());
    }

    /// Two rows as the server sends them: a time and two columns.
    fn stream(second: &[u8]) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        let mut row = |us: i64, values: [Option<&[u8]>; 2]| {
            bytes.extend(3_i16.to_be_bytes());
            bytes.extend(8_i32.to_be_bytes());
            bytes.extend(us.to_be_bytes());
            for value in values {
                let length = value.map_or(-1, |v| i32::try_from(v.len()).unwrap());
                bytes.extend(length.to_be_bytes());
                bytes.extend(value.unwrap_or_default());
            }
        };
        row(-EPOCH_US, [Some(&number(0, 0, &[1, 5000])), None]);
        row(60_000_000 - EPOCH_US, [Some(&number(0, 0, &[2])), Some(second)]);
        bytes.extend((-1_i16).to_be_bytes());
        bytes
    }

    const COLUMNS: [Column; 2] = [Column::Close, Column::TradesCount];

    #[test]
    fn rows_cut_anywhere_are_the_same_rows() {
        let bytes = stream(&7_i32.to_be_bytes());
        let whole = |parts: &[&[u8]]| {
            let mut decoder = Decoder::new(&COLUMNS, 2);
            parts.iter().for_each(|part| decoder.take(part).unwrap());
            decoder.finish()
        };
        let block = whole(&[&bytes]).unwrap();
        assert_eq!(block.time_us, [0, 60_000_000]);
        let cells = |column: usize| block.columns[column].iter().collect::<Vec<_>>();
        assert_eq!(cells(0), [Some(150_000_000), Some(200_000_000)]);
        assert_eq!(cells(1), [None, Some(700_000_000)]);
        for cut in 0..=bytes.len() {
            assert_eq!(whole(&[&bytes[..cut], &bytes[cut..]]).unwrap(), block, "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(whole(&single).unwrap(), block);
        // The server says where its last row is, so a stream that lacks anything is not taken for a shorter one.
        for end in 0..bytes.len() {
            assert!(whole(&[&bytes[..end]]).is_err(), "ended at {end}");
        }
    }

    #[test]
    fn a_value_that_no_bar_has_is_named_with_its_row() {
        let mut bytes = stream(&[0; 3]);
        let mut decoder = Decoder::new(&COLUMNS, 2);
        let broken = decoder.take(&bytes).unwrap_err();
        assert!(matches!(
            broken,
            Broken::Value { column: "trades_count", time_us: Some(60_000_000), .. }
        ));
        bytes[HEADER.len() + 6..HEADER.len() + 14].copy_from_slice(&i64::MAX.to_be_bytes());
        let broken = Decoder::new(&COLUMNS, 2).take(&bytes).unwrap_err();
        assert!(matches!(broken, Broken::Value { column: "timestamp", time_us: None, .. }));
    }
}
