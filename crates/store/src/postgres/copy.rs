//! COPY in its binary form: rows on their way in, half the server's work of the text form, and nothing to escape.
//! No float may enter.

use rust_decimal::Decimal;
use sqlx::PgConnection;

use super::value::{EPOCH_US, put_numeric};
use crate::row::BarRow;
use crate::tx::{limited, statement_limit};

/// Bars into the table itself, and into the staging table.
pub(crate) const BARS: &str = "COPY market_data (symbol, timestamp, timeframe, open, high, low, close, volume, \
     quote_volume, trades_count, taker_buy_volume, taker_buy_quote_volume) FROM STDIN (FORMAT binary)";
pub(crate) const STAGED_BARS: &str = "COPY staged_bars (symbol, timestamp, timeframe, open, high, low, close, volume, \
     quote_volume, trades_count, taker_buy_volume, taker_buy_quote_volume) FROM STDIN (FORMAT binary)";
/// What every stream begins with: a signature, no flags, no more header.
pub(super) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Years 1 to 9999, microseconds UTC: what is surely a date everywhere.
const DATES: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;
/// Decimal places of a unit of 1e-8.
const PLACES: u32 = sim::exact::PLACES;

/// `rows` for [`BARS`] or [`STAGED_BARS`].
pub(crate) fn bar_rows(
    symbol: &str,
    timeframe: &str,
    rows: &[BarRow],
) -> Result<Rows, sqlx::Error> {
    let mut sent = Rows::default();
    for row in rows {
        sent.text(symbol);
        sent.time(row.time_us)?;
        sent.text(timeframe);
        for value in [row.open, row.high, row.low, row.close, row.volume] {
            sent.units(Some(value));
        }
        sent.units(row.quote_volume);
        sent.int(row.trades_count);
        sent.units(row.taker_buy_volume);
        sent.units(row.taker_buy_quote_volume);
        sent.end();
    }
    Ok(sent)
}

/// Sends `rows` by the COPY statement `sql`, which has to say that they are binary; it is given up like any statement.
/// That they are all there, the protocol says.
pub(crate) async fn copy_in(
    conn: &mut PgConnection,
    sql: &'static str,
    rows: &Rows,
) -> Result<(), sqlx::Error> {
    patient(async {
        let mut copy = conn.copy_in_raw(sql).await?;
        copy.send(rows.bytes.as_slice()).await?;
        copy.finish().await.map(|_| ())
    })
    .await
}

/// Whether row level security is on in one of `tables` for who is connected, where COPY is refused; the owner is let
/// through.
pub(crate) async fn is_secured(
    conn: &mut PgConnection,
    tables: &[&str],
) -> Result<bool, sqlx::Error> {
    const SECURED: &str = "SELECT coalesce(bool_or(row_security_active(of)), true) \
                           FROM unnest($1::text[]) AS of";
    patient(sqlx::query_scalar(SECURED).bind(tables).persistent(false).fetch_one(conn)).await
}

/// A statement is given up as everywhere.
pub(crate) async fn patient<T>(
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    limited(work).await.unwrap_or_else(|| Err(silent()))
}

/// What is said of a server that is given up.
pub(super) fn silent() -> sqlx::Error {
    let seconds = statement_limit().as_secs();
    let why = format!("the server did not answer within {seconds} s");
    std::io::Error::new(std::io::ErrorKind::TimedOut, why).into()
}

/// Stands where a field has its length.
const NULL: i32 = -1;

/// Rows of COPY. The type of each value has to be that of its column.
pub(crate) struct Rows {
    bytes: Vec<u8>,
    /// Where the row that is being written begins, and how many fields it has so far.
    row: usize,
    fields: i16,
}

impl Default for Rows {
    fn default() -> Self {
        Self { bytes: HEADER.to_vec(), row: 0, fields: 0 }
    }
}

impl Rows {
    /// The next field, of so many bytes that the caller adds.
    fn begin(&mut self, length: i32) {
        if self.fields == 0 {
            self.row = self.bytes.len();
            // Written when the row ends.
            self.bytes.extend([0; 2]);
        }
        self.fields += 1;
        self.bytes.extend(length.to_be_bytes());
    }

    pub(crate) fn end(&mut self) {
        self.bytes[self.row..self.row + 2].copy_from_slice(&self.fields.to_be_bytes());
        self.fields = 0;
    }

    pub(crate) fn null(&mut self) {
        self.begin(NULL);
    }

    /// TEXT and VARCHAR.
    pub(crate) fn text(&mut self, value: &str) {
        // A longer text does not fit the message either, so the server refuses it.
        self.begin(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.bytes.extend(value.as_bytes());
    }

    /// JSONB.
    pub(crate) fn json(&mut self, text: &str) {
        // The version of the form, then the text.
        self.begin(i32::try_from(text.len() + 1).unwrap_or(i32::MAX));
        self.bytes.push(1);
        self.bytes.extend(text.as_bytes());
    }

    /// A TEXT[] of one element.
    pub(crate) fn one_text(&mut self, value: &str) {
        /// One dimension, no NULL, of TEXT; one element, the first one.
        const ARRAY: [i32; 5] = [1, 0, 25, 1, 1];
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.begin(length.saturating_add(24));
        ARRAY.into_iter().chain([length]).for_each(|part| self.bytes.extend(part.to_be_bytes()));
        self.bytes.extend(value.as_bytes());
    }

    /// INTERVAL, microseconds.
    pub(crate) fn span(&mut self, us: Option<i64>) {
        let Some(us) = us else { return self.null() };
        self.begin(16);
        self.bytes.extend(us.to_be_bytes());
        // No days and no months.
        self.bytes.extend([0; 8]);
    }

    /// INTEGER.
    pub(crate) fn int(&mut self, value: Option<i32>) {
        let Some(value) = value else { return self.null() };
        self.begin(4);
        self.bytes.extend(value.to_be_bytes());
    }

    /// BIGINT.
    pub(crate) fn long(&mut self, value: Option<i64>) {
        let Some(value) = value else { return self.null() };
        self.begin(8);
        self.bytes.extend(value.to_be_bytes());
    }

    /// NUMERIC, in units of 1e-8.
    fn units(&mut self, value: Option<i128>) {
        self.numeric(value, PLACES);
    }

    /// NUMERIC of so many places.
    pub(crate) fn decimal(&mut self, value: Option<Decimal>, places: u32) {
        let rounded = value.map(|mut value| {
            value.rescale(places);
            value
        });
        // A very large one may not reach as many places.
        self.numeric(rounded.map(|v| v.mantissa()), rounded.map_or(places, |v| v.scale()));
    }

    fn numeric(&mut self, value: Option<i128>, scale: u32) {
        let Some(value) = value else { return self.null() };
        self.begin(0);
        let start = self.bytes.len();
        put_numeric(value, scale, &mut self.bytes);
        // At most 10 groups of digits: it fits.
        let length = i32::try_from(self.bytes.len() - start).unwrap_or(i32::MAX);
        self.bytes[start - 4..start].copy_from_slice(&length.to_be_bytes());
    }

    /// TIMESTAMPTZ, microseconds UTC.
    pub(crate) fn time(&mut self, us: i64) -> Result<(), sqlx::Error> {
        if !DATES.contains(&us) {
            return Err(sqlx::Error::Protocol(format!("{us} us is no date to store")));
        }
        self.long(Some(us - EPOCH_US));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_the_server_expects() {
        let mut rows = Rows::default();
        rows.text("A\t");
        rows.units(Some(-5));
        rows.null();
        rows.end();
        rows.int(Some(7));
        rows.end();
        let mut expected = HEADER.to_vec();
        expected.extend([0, 3]);
        expected.extend(b"\0\0\0\x02A\t");
        // One group of digits, the second behind the point, negative, 8 places.
        expected.extend([0, 0, 0, 10, 0, 1, 0xff, 0xfe, 0x40, 0, 0, 8, 0, 5]);
        expected.extend([0xff; 4]);
        expected.extend([0, 1, 0, 0, 0, 4, 0, 0, 0, 7]);
        assert_eq!(rows.bytes, expected);
    }

    #[test]
    fn times_count_from_2000_and_have_a_year() {
        let mut rows = Rows::default();
        rows.time(EPOCH_US - 1).unwrap();
        assert!(rows.bytes.ends_with(&(-1_i64).to_be_bytes()));
        rows.time(DATES.start).unwrap();
        assert!(rows.time(DATES.start - 1).is_err() && rows.time(DATES.end).is_err());
    }
}
