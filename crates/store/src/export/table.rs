//! Named, typed columns of equal length: how they are written as text and as a frame, and whole tables of them.
//! No bar and no trade is known here: the caller says what the columns are.

use std::io::{self, Write};

use polars::prelude::{
    Column, DataFrame, IntoSeries as _, NewChunkedArray as _, PolarsResult, Series, TimeUnit,
    TimeZone,
};
use polars::prelude::{Float64Chunked, Int32Chunked, Int64Chunked, Int128Chunked, StringChunked};
use sim::exact::{ONE_E8, PLACES};

use super::out::{Lent, Out, Target};
use super::{ExportError, Format, Writer};
use crate::import::time::iso_text;

/// Digits of DECIMAL(20,8).
const PRECISION: usize = 20;

/// One column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableColumn {
    pub name: String,
    pub values: Values,
}

/// The values of a column; `None` is NULL (nothing in CSV).
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Text(Vec<Option<String>>),
    /// A 32-bit count.
    Count(Vec<Option<i32>>),
    Integer(Vec<Option<i64>>),
    /// Units of 1e-8, below 10^20: DECIMAL(20,8).
    Decimal(Vec<Option<i128>>),
    /// Finite numbers.
    Number(Vec<Option<f64>>),
    /// Microseconds UTC.
    Time(Vec<Option<i64>>),
}

impl Values {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(v) => v.len(),
            Self::Count(v) => v.len(),
            Self::Integer(v) | Self::Time(v) => v.len(),
            Self::Decimal(v) => v.len(),
            Self::Number(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row `i` as text, quoted for nothing; false for NULL.
    fn write_text(&self, i: usize, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Text(v) => told(v[i].as_ref(), |t| out.extend_from_slice(t.as_bytes())),
            // Writing to a Vec cannot fail.
            Self::Count(v) => told(v[i], |n| drop(write!(out, "{n}"))),
            Self::Integer(v) => told(v[i], |n| drop(write!(out, "{n}"))),
            Self::Number(v) => told(v[i], |n| drop(write!(out, "{n}"))),
            Self::Decimal(v) => told(v[i], |units| decimal_text(units, out)),
            Self::Time(v) => told(v[i], |us| iso_text(us, out)),
        }
    }

    fn is_text(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Time(_))
    }

    fn series(self, name: &str) -> PolarsResult<Series> {
        let name = name.into();
        Ok(match self {
            Self::Text(v) => StringChunked::from_iter_options(name, v.into_iter()).into_series(),
            Self::Count(v) => Int32Chunked::from_iter_options(name, v.into_iter()).into_series(),
            Self::Integer(v) => Int64Chunked::from_iter_options(name, v.into_iter()).into_series(),
            Self::Number(v) => Float64Chunked::from_iter_options(name, v.into_iter()).into_series(),
            Self::Decimal(v) => Int128Chunked::from_iter_options(name, v.into_iter())
                .into_decimal(PRECISION, PLACES as usize)?
                .into_series(),
            Self::Time(v) => Int64Chunked::from_iter_options(name, v.into_iter())
                .into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
                .into_series(),
        })
    }
}

fn told<T>(value: Option<T>, write: impl FnOnce(T)) -> bool {
    value.map(write).is_some()
}

/// Units of 1e-8 as the shortest exact decimal: `46319`, `0.0001`, `-1.5`.
pub(super) fn decimal_text(units: i128, out: &mut Vec<u8>) {
    let magnitude = units.unsigned_abs();
    let one = ONE_E8.unsigned_abs();
    if units < 0 {
        out.push(b'-');
    }
    // 64-bit division where it does: it is several times as fast.
    let (whole, fraction) = match u64::try_from(magnitude) {
        Ok(small) => (u128::from(small / one), small % one),
        Err(_) => {
            let fraction = magnitude % u128::from(one);
            (magnitude / u128::from(one), u64::try_from(fraction).unwrap_or(0))
        }
    };
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{whole}");
    if fraction != 0 {
        let _ = write!(out, ".{fraction:08}");
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// A frame of the columns, for Parquet and IPC.
pub(super) fn frame(columns: Vec<TableColumn>) -> PolarsResult<DataFrame> {
    let height = columns.first().map_or(0, |c| c.values.len());
    let columns = columns
        .into_iter()
        .map(|c| c.values.series(&c.name).map(Column::from))
        .collect::<PolarsResult<Vec<_>>>()?;
    DataFrame::new(height, columns)
}

/// The forms a table can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// A header, then a line a row.
    Csv,
    /// One array with an object a row; decimals are exact JSON numbers, times ISO texts.
    Json,
    Parquet,
    /// Arrow IPC (Feather version 2).
    Ipc,
}

/// Writes a whole table, held in memory, to `target`.
///
/// # Errors
/// When the columns differ in length, or the target cannot be written.
pub fn write_table(
    target: Target,
    format: TableFormat,
    columns: Vec<TableColumn>,
) -> Result<(), ExportError> {
    let name = target.name();
    let rows = columns.first().map_or(0, |c| c.values.len());
    if let Some(odd) = columns.iter().find(|c| c.values.len() != rows) {
        let what = format!("column `{}` has {} rows, not {rows}", odd.name, odd.values.len());
        return Err(ExportError::Form { target: name, what });
    }
    let io = |e| ExportError::io(&name, e);
    let binary = match format {
        TableFormat::Csv => {
            let mut out = target.open()?;
            write_csv(&columns, rows, &mut out).map_err(io)?;
            return out.finish().map_err(io);
        }
        TableFormat::Json => {
            let mut out = target.open()?;
            write_json(&columns, rows, &mut out).map_err(io)?;
            return out.finish().map_err(io);
        }
        TableFormat::Parquet => Format::Parquet,
        TableFormat::Ipc => Format::Ipc,
    };
    let form = |e| ExportError::form(&name, &e);
    let frame = frame(columns).map_err(form)?;
    let lent = Lent::new(target.open()?);
    let mut writer = Writer::binary(lent.clone(), binary, frame.schema()).map_err(form)?;
    writer.write_frame(&frame).map_err(form)?;
    writer.close().map_err(form)?;
    lent.finish().map_err(io)
}

fn write_csv(columns: &[TableColumn], rows: usize, out: &mut Out) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(columns.iter().map(|c| &c.name))?;
    let mut field = Vec::new();
    for i in 0..rows {
        for column in columns {
            field.clear();
            column.values.write_text(i, &mut field);
            csv.write_field(&field)?;
        }
        csv.write_record(None::<&[u8]>)?;
    }
    csv.flush()
}

fn write_json(columns: &[TableColumn], rows: usize, out: &mut Out) -> io::Result<()> {
    let (mut line, mut field) = (Vec::new(), Vec::new());
    out.write_all(b"[")?;
    for i in 0..rows {
        line.clear();
        line.extend_from_slice(if i == 0 { b"\n{" } else { b",\n{" });
        for (n, column) in columns.iter().enumerate() {
            if n > 0 {
                line.push(b',');
            }
            serde_json::to_writer(&mut line, &column.name)?;
            line.push(b':');
            field.clear();
            if !column.values.write_text(i, &mut field) {
                line.extend_from_slice(b"null");
            } else if column.values.is_text() {
                serde_json::to_writer(&mut line, &String::from_utf8_lossy(&field))?;
            } else {
                line.extend_from_slice(&field);
            }
        }
        line.push(b'}');
        out.write_all(&line)?;
    }
    out.write_all(b"\n]\n")
}
