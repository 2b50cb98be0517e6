//! Named, typed columns of equal length: how they are written as text and as a frame, and whole tables of them.
//! No bar and no trade is known here: the caller says what the columns are.

use std::io::{self, Write};
use std::path::Path;

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

impl TableFormat {
    /// The form that a file's ending names; CSV where it has none.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        let ending = path.extension().map_or("csv".into(), |e| e.to_string_lossy().to_lowercase());
        match ending.as_str() {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            "parquet" | "pq" => Some(Self::Parquet),
            "feather" | "ipc" | "arrow" => Some(Self::Ipc),
            _ => None,
        }
    }
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
    let mut writer = TableWriter::to(target, format)?;
    writer.write(columns)?;
    writer.finish()
}

/// Writes a table a page at a time, so that only a page is held in memory; nothing stands under the target's name
/// until [`Self::finish`].
pub struct TableWriter {
    name: String,
    /// Names of the columns, once a page has said them.
    header: Option<Vec<String>>,
    form: Form,
}

enum Form {
    Csv(Box<csv::Writer<Out>>),
    Json { out: Out, is_begun: bool },
    Binary { lent: Lent, format: Format, writer: Option<Box<Writer>> },
}

impl TableWriter {
    /// Begins to write to a file or to a stream.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn to(target: Target, format: TableFormat) -> Result<Self, ExportError> {
        let (name, out) = (target.name(), target.open()?);
        let binary = |out, format| Form::Binary { lent: Lent::new(out), format, writer: None };
        let form = match format {
            TableFormat::Parquet => binary(out, Format::Parquet),
            TableFormat::Ipc => binary(out, Format::Ipc),
            TableFormat::Csv => Form::Csv(Box::new(csv::Writer::from_writer(out))),
            TableFormat::Json => Form::Json { out, is_begun: false },
        };
        Ok(Self { name, header: None, form })
    }

    /// Writes the rows of `columns`, which have the same names in every page; the first page may have no rows.
    ///
    /// # Errors
    /// When the columns differ in length or from those of the page before, or the target cannot be written.
    pub fn write(&mut self, columns: Vec<TableColumn>) -> Result<(), ExportError> {
        let rows = columns.first().map_or(0, |c| c.values.len());
        let form = |what| ExportError::Form { target: self.name.clone(), what };
        if let Some(odd) = columns.iter().find(|c| c.values.len() != rows) {
            let given = odd.values.len();
            return Err(form(format!("column `{}` has {given} rows, not {rows}", odd.name)));
        }
        let names: Vec<String> = columns.iter().map(|c| c.name.clone()).collect();
        let is_first = self.header.is_none();
        let header = self.header.get_or_insert_with(|| names.clone());
        if *header != names {
            let message = format!("columns `{}` after `{}`", names.join(","), header.join(","));
            return Err(form(message));
        }
        let io = |e| ExportError::io(&self.name, e);
        match &mut self.form {
            Form::Csv(csv) => write_csv(&columns, rows, csv, is_first).map_err(io),
            Form::Json { out, is_begun } => write_json(&columns, rows, out, is_begun).map_err(io),
            Form::Binary { lent, format, writer } => {
                let written = write_frame(columns, lent, *format, writer);
                written.map_err(|e| ExportError::form(&self.name, &e))
            }
        }
    }

    /// Writes what is left and puts the whole file in its place.
    ///
    /// # Errors
    /// When the target cannot be written; then nothing stands under its name that did not before.
    pub fn finish(self) -> Result<(), ExportError> {
        let io = |e| ExportError::io(&self.name, e);
        match self.form {
            Form::Csv(csv) => {
                let out = csv.into_inner().map_err(|e| io(e.into_error()))?;
                out.finish().map_err(io)
            }
            Form::Json { mut out, is_begun } => {
                let end: &[u8] = if is_begun { b"\n]\n" } else { b"[\n]\n" };
                out.write_all(end).and_then(|()| out.finish()).map_err(io)
            }
            Form::Binary { lent, writer, .. } => {
                let closed = writer.map_or(Ok(()), |mut writer| writer.close());
                closed.map_err(|e| ExportError::form(&self.name, &e))?;
                lent.finish().map_err(io)
            }
        }
    }
}

fn write_frame(
    columns: Vec<TableColumn>,
    lent: &Lent,
    format: Format,
    writer: &mut Option<Box<Writer>>,
) -> PolarsResult<()> {
    let frame = frame(columns)?;
    if writer.is_none() {
        *writer = Some(Box::new(Writer::binary(lent.clone(), format, frame.schema())?));
    }
    match writer {
        Some(writer) if frame.height() > 0 => writer.write_frame(&frame),
        _ => Ok(()),
    }
}

fn write_csv(
    columns: &[TableColumn],
    rows: usize,
    csv: &mut csv::Writer<Out>,
    is_first: bool,
) -> io::Result<()> {
    if is_first {
        csv.write_record(columns.iter().map(|c| &c.name))?;
    }
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

fn write_json(
    columns: &[TableColumn],
    rows: usize,
    out: &mut Out,
    is_begun: &mut bool,
) -> io::Result<()> {
    let (mut line, mut field) = (Vec::new(), Vec::new());
    for i in 0..rows {
        line.clear();
        line.extend_from_slice(if *is_begun { b",\n{" } else { b"[\n{" });
        *is_begun = true;
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
    Ok(())
}
