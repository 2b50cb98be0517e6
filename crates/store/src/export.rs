//! Bars and tables, written to files and streams: CSV, Parquet and Arrow IPC, exact to the last of 8 decimals.
//! No SQL, no terminal: the caller brings rows and, for stdout, the stream.

use std::io::{self, Write as _};
use std::path::Path;
use std::str::FromStr;

use flate2::Compression;
use flate2::write::GzEncoder;
use polars::prelude::{
    DataFrame, IpcCompression, IpcWriter, ParquetWriter, PolarsError, PolarsResult, Schema,
    SerWriter as _,
};
use polars_arrow::io::ipc::IpcField;

use crate::import::time::iso_text;
use crate::row::BarRow;

pub(crate) mod atomic;
mod out;
mod table;

#[cfg(test)]
mod tests;

pub use out::{Target, write_file};
pub use table::{TableColumn, TableFormat, TableWriter, Values, write_table};

use out::{Lent, Out};
use table::decimal_text;

/// First line of an exported CSV file; the same names stand in Parquet and IPC.
pub const HEADER: &str = "timestamp,open,high,low,close,volume,quote_volume,trades_count,\
taker_buy_volume,taker_buy_quote_volume";

/// Rows of a row group of Parquet and of a record batch of IPC: some 10 MB while it is built.
pub const GROUP_ROWS: usize = 1 << 16;

/// The forms bars can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    CsvGz,
    Parquet,
    /// Arrow IPC (Feather version 2).
    Ipc,
}

impl Format {
    /// The form that a file's ending names.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let ends = |ending: &str| name.ends_with(ending);
        match () {
            () if ends(".csv") => Some(Self::Csv),
            () if ends(".csv.gz") => Some(Self::CsvGz),
            () if ends(".parquet") || ends(".pq") => Some(Self::Parquet),
            () if ends(".feather") || ends(".arrow") || ends(".ipc") => Some(Self::Ipc),
            () => None,
        }
    }
}

impl FromStr for Format {
    type Err = ExportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "csv" => Ok(Self::Csv),
            "csv.gz" => Ok(Self::CsvGz),
            "parquet" => Ok(Self::Parquet),
            "feather" | "arrow" | "ipc" => Ok(Self::Ipc),
            other => Err(ExportError::UnknownFormat(other.to_owned())),
        }
    }
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("{target}: {cause}")]
    Io {
        target: String,
        #[source]
        cause: io::Error,
    },
    #[error("{target}: {what}")]
    Form { target: String, what: String },
    #[error("`{0}` is no format of a file")]
    UnknownFormat(String),
}

impl ExportError {
    /// The next thing to type, when there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownFormat(_) => Some("use csv, csv.gz, parquet or feather".to_owned()),
            Self::Io { .. } | Self::Form { .. } => None,
        }
    }

    fn io(target: &str, cause: io::Error) -> Self {
        Self::Io { target: target.to_owned(), cause }
    }

    fn form(target: &str, error: &PolarsError) -> Self {
        Self::Form { target: target.to_owned(), what: error.to_string() }
    }
}

/// Writes bars as they come; nothing stands under the target's name until [`Self::finish`].
///
/// What is written reads back, by `import`, as the same rows.
pub struct Exporter {
    name: String,
    form: Form,
}

enum Form {
    Csv { out: CsvOut, text: Vec<u8> },
    Binary { lent: Lent, writer: Box<Writer>, group: Vec<BarRow> },
}

enum CsvOut {
    Plain(Out),
    Gzip(Box<GzEncoder<Out>>),
}

impl Exporter {
    /// Begins a file at `path`.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn create(path: &Path, format: Format) -> Result<Self, ExportError> {
        Self::to(Target::from(path), format)
    }

    /// Begins to write to a file or to a stream (stdout, that the caller opens).
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn to(target: Target, format: Format) -> Result<Self, ExportError> {
        let name = target.name();
        let out = target.open()?;
        let form = match format {
            Format::Csv => Form::csv(CsvOut::Plain(out)),
            Format::CsvGz => {
                Form::csv(CsvOut::Gzip(Box::new(GzEncoder::new(out, Compression::default()))))
            }
            Format::Parquet | Format::Ipc => {
                Form::binary(out, format).map_err(|e| ExportError::form(&name, &e))?
            }
        };
        Ok(Self { name, form })
    }

    /// Writes rows, which should be ascending in time (a file is easier to read so; nothing else depends on it).
    ///
    /// # Errors
    /// When the target cannot be written.
    pub fn write(&mut self, rows: &[BarRow]) -> Result<(), ExportError> {
        match &mut self.form {
            Form::Csv { out, text } => {
                for row in rows {
                    row_text(row, text);
                }
                let written = out.write_all(text);
                text.clear();
                written.map_err(|e| ExportError::io(&self.name, e))
            }
            Form::Binary { writer, group, .. } => {
                for row in rows {
                    group.push(*row);
                    if group.len() == GROUP_ROWS {
                        writer.write_group(group).map_err(|e| ExportError::form(&self.name, &e))?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Writes what is left and puts the whole file in its place.
    ///
    /// # Errors
    /// When the target cannot be written; then nothing stands under its name that did not before.
    pub fn finish(self) -> Result<(), ExportError> {
        let Self { name, form } = self;
        let io = |e| ExportError::io(&name, e);
        match form {
            Form::Csv { out, text } => out.finish(&text).map_err(io),
            Form::Binary { lent, mut writer, mut group } => {
                let last = writer.write_group(&mut group).and_then(|()| writer.close());
                last.map_err(|e| ExportError::form(&name, &e))?;
                lent.finish().map_err(io)
            }
        }
    }
}

impl Form {
    fn csv(out: CsvOut) -> Self {
        Self::Csv { out, text: format!("{HEADER}\n").into_bytes() }
    }

    fn binary(out: Out, format: Format) -> PolarsResult<Self> {
        let lent = Lent::new(out);
        let schema = bars_frame(&[])?.schema().clone();
        let writer = Box::new(Writer::binary(lent.clone(), format, &schema)?);
        Ok(Self::Binary { lent, writer, group: Vec::new() })
    }
}

impl CsvOut {
    fn write_all(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.write_all(text),
            Self::Gzip(out) => out.write_all(text),
        }
    }

    fn finish(mut self, text: &[u8]) -> io::Result<()> {
        self.write_all(text)?;
        match self {
            Self::Plain(out) => out.finish(),
            Self::Gzip(gzip) => gzip.finish()?.finish(),
        }
    }
}

/// One line of CSV: what is NULL stays empty.
fn row_text(row: &BarRow, out: &mut Vec<u8>) {
    iso_text(row.time_us, out);
    for units in [row.open, row.high, row.low, row.close, row.volume] {
        out.push(b',');
        decimal_text(units, out);
    }
    let optional = |units: Option<i128>, out: &mut Vec<u8>| {
        out.push(b',');
        if let Some(units) = units {
            decimal_text(units, out);
        }
    };
    optional(row.quote_volume, out);
    out.push(b',');
    if let Some(count) = row.trades_count {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{count}");
    }
    optional(row.taker_buy_volume, out);
    optional(row.taker_buy_quote_volume, out);
    out.push(b'\n');
}

/// The rows as columns, named as in [`HEADER`].
fn bars_frame(rows: &[BarRow]) -> PolarsResult<DataFrame> {
    let decimals =
        |of: &dyn Fn(&BarRow) -> Option<i128>| Values::Decimal(rows.iter().map(of).collect());
    let values = [
        Values::Time(rows.iter().map(|r| Some(r.time_us)).collect()),
        decimals(&|r| Some(r.open)),
        decimals(&|r| Some(r.high)),
        decimals(&|r| Some(r.low)),
        decimals(&|r| Some(r.close)),
        decimals(&|r| Some(r.volume)),
        decimals(&|r| r.quote_volume),
        Values::Count(rows.iter().map(|r| r.trades_count).collect()),
        decimals(&|r| r.taker_buy_volume),
        decimals(&|r| r.taker_buy_quote_volume),
    ];
    let columns = HEADER
        .split(',')
        .zip(values)
        .map(|(name, values)| TableColumn { name: name.to_owned(), values })
        .collect();
    table::frame(columns)
}

/// A binary file being written, frame by frame.
enum Writer {
    Parquet(Box<polars::io::parquet::write::BatchedWriter<Lent>>),
    Ipc(Box<polars::io::ipc::BatchedWriter<Lent>>),
}

impl Writer {
    fn binary(lent: Lent, format: Format, schema: &Schema) -> PolarsResult<Self> {
        if format == Format::Parquet {
            return Ok(Self::Parquet(Box::new(ParquetWriter::new(lent).batched(schema)?)));
        }
        let fields = vec![IpcField::default(); schema.len()];
        let writer = IpcWriter::new(lent).with_compression(Some(IpcCompression::default()));
        Ok(Self::Ipc(Box::new(writer.batched(schema, fields)?)))
    }

    fn write_group(&mut self, rows: &mut Vec<BarRow>) -> PolarsResult<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let frame = bars_frame(rows)?;
        rows.clear();
        self.write_frame(&frame)
    }

    fn write_frame(&mut self, frame: &DataFrame) -> PolarsResult<()> {
        match self {
            Self::Parquet(writer) => writer.write_batch(frame),
            Self::Ipc(writer) => writer.write_batch(frame),
        }
    }

    fn close(&mut self) -> PolarsResult<()> {
        match self {
            Self::Parquet(writer) => writer.finish().map(drop),
            Self::Ipc(writer) => writer.finish(),
        }
    }
}
