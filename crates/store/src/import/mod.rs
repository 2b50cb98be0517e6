//! Files of bars, read: CSV (plain, gzip, zip), Parquet and Arrow IPC, recognised, checked row by row and streamed.
//! No SQL, no async, no terminal; what a bad row is stands in [`crate::row`].

use std::path::{Path, PathBuf};

use sim::timeframe::Timeframe;

use crate::progress::{Progress, Silent};
use crate::row::BarRow;

mod cells;
mod columns;
mod decimal;
mod error;
mod frames;
mod gate;
mod infer;
mod report;
mod seen;
mod source;
mod text;
pub(crate) mod time;

#[cfg(test)]
mod tests;

pub use columns::{ColumnMap, ColumnMapError, Field};
pub use error::ImportError;
pub use infer::SYMBOL_CHARS;
pub use report::{BadCounts, Located, Report, SHOWN_BAD_ROWS};

use frames::Kind;
use gate::Gate;
use source::{Form, Packing};

/// Rows handed on at a time.
pub const BATCH_ROWS: usize = 8_192;
/// Bytes of one line of text: a bar takes about 100, so a longer line is no bar (or a bomb in an archive).
pub const MAX_LINE_BYTES: usize = 1 << 16;
/// Rows at the head of a file that decide on columns, times and timeframe.
pub const SAMPLE_ROWS: usize = 500;

/// What to do about rows that cannot be bars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRows {
    /// Refuse the file.
    #[default]
    Refuse,
    /// Import the rest, and write the refused rows to `<file>.refused.csv`.
    Skip,
}

/// Which file to read, and what the user says about it.
#[derive(Clone, Debug)]
pub struct ImportSpec {
    pub path: PathBuf,
    /// `None`: the file's symbol column, else its name.
    pub symbol: Option<String>,
    /// `None`: the file's name, else its first rows.
    pub timeframe: Option<Timeframe>,
    /// `None`: columns are recognised.
    pub columns: Option<ColumnMap>,
    pub bad_rows: BadRows,
}

impl ImportSpec {
    /// A file that should speak for itself, and is refused over a bad row.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            symbol: None,
            timeframe: None,
            columns: None,
            bad_rows: BadRows::Refuse,
        }
    }
}

/// A file whose form, columns, symbol and timeframe are known; nothing of it is held open.
pub struct FileBars {
    spec: ImportSpec,
    symbol: String,
    timeframe: Timeframe,
    total_bytes: u64,
    body: Body,
}

enum Body {
    Text(Packing, Box<text::Layout>),
    Table(Kind, Box<cells::Table>),
}

/// What the head of a file shows, whatever its form.
struct Head {
    body: Body,
    times_us: Vec<i64>,
    symbol: Option<String>,
}

impl FileBars {
    /// Looks at the file's first bytes and rows and recognises what it holds.
    ///
    /// # Errors
    /// When the file cannot be read, has an unknown form or unknown columns, or when its symbol or timeframe is neither
    /// given nor plain.
    pub fn open(spec: &ImportSpec) -> Result<Self, ImportError> {
        let (form, total_bytes) = source::sniff(&spec.path)?;
        let head = match form {
            Form::Text(packing) => text_head(spec, packing)?,
            Form::Parquet => table_head(spec, Kind::Parquet)?,
            Form::Ipc => table_head(spec, Kind::Ipc)?,
        };
        let rows = infer::rows_say(&head.times_us);
        let name = infer::name_says(&spec.path, rows.timeframe);
        let timeframe = infer::timeframe(&spec.path, spec.timeframe, name.timeframe, &rows)?;
        let symbol = infer::symbol(&spec.path, spec.symbol.as_deref(), head.symbol, name.symbol)?;
        Ok(Self { spec: spec.clone(), symbol, timeframe, total_bytes, body: head.body })
    }

    /// The symbol the bars are of, at most [`SYMBOL_CHARS`] characters.
    #[must_use]
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// The length of a bar.
    #[must_use]
    pub fn timeframe(&self) -> Timeframe {
        self.timeframe
    }

    /// What was recognised, for the talk: `CSV in a zip archive, 12 columns without header, time in ms`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.body {
            Body::Text(packing, layout) => {
                let packed = match packing {
                    Packing::None => "",
                    Packing::Gzip => ", gzip",
                    Packing::Zip(_) => " in a zip archive",
                };
                let header = if layout.header { "" } else { " without header" };
                let time = layout.time.words();
                format!("CSV{packed}, {} columns{header}, {time}", layout.columns)
            }
            Body::Table(kind, table) => {
                let form = if *kind == Kind::Parquet { "Parquet" } else { "Arrow IPC (Feather)" };
                format!("{form}, {} columns, {}", table.header.names.len(), table.time_words)
            }
        }
    }

    /// Size of the file, packed as it lies: what [`Self::read`] tells its progress in.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Reads the file in its own order and hands its rows to `sink` in batches of [`BATCH_ROWS`] (the last one shorter).
    ///
    /// `sink` answers false when it wants no more. Memory does not grow with the file, but for one bit a bar by which
    /// duplicates are seen; of Parquet one row group (2^20 rows at most) is held, of IPC one record batch.
    ///
    /// # Errors
    /// When the file cannot be read to its end; when it has bad rows and [`BadRows::Refuse`] stands, after it was read
    /// to its end to count them; when `sink` wants no more. What `sink` got before is then to be thrown away.
    pub fn read(
        &self,
        progress: &dyn Progress,
        sink: &mut dyn FnMut(Vec<BarRow>) -> bool,
    ) -> Result<Report, ImportError> {
        let spec = &self.spec;
        let _ended = Told::begin(progress, &spec.path, self.total_bytes);
        let mut gate = Gate::new(&spec.path, self.timeframe, spec.bad_rows, sink);
        match &self.body {
            Body::Text(packing, layout) => {
                source::with_lines(&spec.path, packing, progress, &mut |lines| {
                    text::read(spec, layout, lines, &mut gate)
                })?;
            }
            Body::Table(_, table) => {
                cells::read(spec, table, self.total_bytes, progress, &mut gate)?;
            }
        }
        gate.finish()
    }
}

fn text_head(spec: &ImportSpec, packing: Packing) -> Result<Head, ImportError> {
    let sample =
        source::with_lines(&spec.path, &packing, &Silent, &mut |lines| text::sample(spec, lines))?;
    let body = Body::Text(packing, Box::new(sample.layout));
    Ok(Head { body, times_us: sample.times_us, symbol: sample.symbol })
}

fn table_head(spec: &ImportSpec, kind: Kind) -> Result<Head, ImportError> {
    let sample = cells::sample(spec, kind)?;
    let body = Body::Table(kind, Box::new(sample.table));
    Ok(Head { body, times_us: sample.times_us, symbol: sample.symbol })
}

/// Sees to it that a progress begun is ended, on errors too.
struct Told<'a>(&'a dyn Progress);

impl<'a> Told<'a> {
    fn begin(progress: &'a dyn Progress, path: &Path, total_bytes: u64) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        progress.begin(&name, Some(total_bytes));
        Self(progress)
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
