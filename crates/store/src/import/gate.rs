//! Where every row of every format passes: checked, counted, batched and handed on, or refused with its place.
//! No format and no column is known here.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use sim::timeframe::{DAY_US, Timeframe};

use super::error::ImportError;
use super::report::{Report, SHOWN_BAD_ROWS, excerpt};
use super::seen::{MAX_PAGES, PAGE_SLOTS, Seen};
use super::{BATCH_ROWS, BadRows};
use crate::export::atomic::AtomicFile;
use crate::row::{BadRow, BarRow};

/// First line of a file of refused rows, by which an older one is known.
const REFUSED_HEADER: &str = "line,reason,text";

/// Times that a bar can have, 1900 to 9999: a typed timestamp far outside is no time, and must overflow nothing.
const TIMES_US: std::ops::Range<i64> = -25_567 * DAY_US..2_932_897 * DAY_US;

/// Receives batches of rows; false when it wants no more.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Vec<BarRow>) -> bool;

/// A row as decoded: with the number of its values that rounding changed, or why it is none.
pub(super) type Decoded = Result<(BarRow, u64), BadRow>;

pub(super) struct Gate<'a> {
    path: &'a Path,
    timeframe: Timeframe,
    mode: BadRows,
    sink: Sink<'a>,
    batch: Vec<BarRow>,
    seen: Seen,
    report: Report,
    rows_seen: u64,
    refused: Option<Refused>,
}

impl<'a> Gate<'a> {
    pub(super) fn new(path: &'a Path, timeframe: Timeframe, mode: BadRows, sink: Sink<'a>) -> Self {
        Self {
            path,
            timeframe,
            mode,
            sink,
            batch: Vec::with_capacity(BATCH_ROWS),
            seen: Seen::new(timeframe.us()),
            report: Report::default(),
            rows_seen: 0,
            refused: None,
        }
    }

    /// Takes one row; `line` is its place in the file and `text` what stands there.
    ///
    /// # Errors
    /// When the receiver is gone or the refused row cannot be written; a bad row is no error yet.
    pub(super) fn offer<'t>(
        &mut self,
        line: u64,
        decoded: &Decoded,
        text: &dyn Fn() -> Cow<'t, [u8]>,
    ) -> Result<(), ImportError> {
        self.rows_seen += 1;
        let (row, rounded) = match decoded {
            Ok((row, rounded)) => (row, *rounded),
            Err(kind) => return self.refuse(line, *kind, &text()),
        };
        match self.judged(line, row)? {
            None => self.accept(row, rounded),
            Some(kind) => self.refuse(line, kind, &text()),
        }
    }

    /// What is wrong with a row, if anything.
    fn judged(&mut self, line: u64, row: &BarRow) -> Result<Option<BadRow>, ImportError> {
        if !TIMES_US.contains(&row.time_us) {
            return Ok(Some(BadRow::Unreadable));
        }
        if let Err(kind) = row.check(self.timeframe) {
            return Ok(Some(kind));
        }
        // Only a row that is good otherwise takes its time's place: the first good one stands.
        match self.seen.note(row.time_us) {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(BadRow::Duplicate)),
            Err(_) => {
                let path = self.path.to_owned();
                Err(ImportError::TooSpread { path, line, limit: MAX_PAGES, slots: PAGE_SLOTS })
            }
        }
    }

    fn accept(&mut self, row: &BarRow, rounded: u64) -> Result<(), ImportError> {
        let report = &mut self.report;
        report.rows += 1;
        report.rounded += rounded;
        let end_us = row.time_us + self.timeframe.us();
        report.from_us = Some(report.from_us.map_or(row.time_us, |t| t.min(row.time_us)));
        report.to_us = Some(report.to_us.map_or(end_us, |t| t.max(end_us)));
        if self.must_refuse() {
            return Ok(());
        }
        self.batch.push(*row);
        if self.batch.len() == BATCH_ROWS { self.hand_on() } else { Ok(()) }
    }

    /// Whether a bad row decided that nothing more of this file is handed on.
    fn must_refuse(&self) -> bool {
        self.mode == BadRows::Refuse && !self.report.first_bad.is_empty()
    }

    fn hand_on(&mut self) -> Result<(), ImportError> {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_ROWS));
        if (self.sink)(batch) {
            return Ok(());
        }
        Err(ImportError::Stopped { path: self.path.to_owned() })
    }

    fn refuse(&mut self, line: u64, kind: BadRow, text: &[u8]) -> Result<(), ImportError> {
        self.report.bad.add(kind);
        if self.report.first_bad.len() < SHOWN_BAD_ROWS {
            self.report.first_bad.push((line, kind, excerpt(text)));
        }
        if self.mode == BadRows::Refuse {
            self.batch.clear();
            return Ok(());
        }
        let refused = match self.refused.take() {
            Some(open) => open,
            None => Refused::create(self.path)?,
        };
        self.refused.insert(refused).write(line, kind, text)
    }

    /// Hands on the last rows and closes the file of refused ones.
    ///
    /// # Errors
    /// `BadRows` when rows were refused and none may be; otherwise as [`Self::offer`].
    pub(super) fn finish(mut self) -> Result<Report, ImportError> {
        if self.must_refuse() {
            return Err(ImportError::BadRows {
                path: self.path.to_owned(),
                rows: self.rows_seen,
                first: self.report.first_bad,
                counts: self.report.bad,
            });
        }
        if self.rows_seen == 0 {
            return Err(ImportError::form(self.path, "holds no bars"));
        }
        if !self.batch.is_empty() {
            self.hand_on()?;
        }
        if let Some(refused) = self.refused.take() {
            self.report.refused_file = Some(refused.finish()?);
        }
        Ok(self.report)
    }
}

/// `<file>.refused.csv`, which appears only when it is whole.
struct Refused {
    path: PathBuf,
    csv: csv::Writer<AtomicFile>,
}

impl Refused {
    fn create(imported: &Path) -> Result<Self, ImportError> {
        let mut name = imported.file_name().unwrap_or_default().to_owned();
        name.push(".refused.csv");
        let path = imported.with_file_name(name);
        if !may_replace(&path).map_err(|e| ImportError::io(&path, e))? {
            return Err(ImportError::RefusedInTheWay { path });
        }
        let file = AtomicFile::create(&path).map_err(|e| ImportError::io(&path, e))?;
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(REFUSED_HEADER.split(','))
            .map_err(|e| ImportError::io(&path, e.into()))?;
        Ok(Self { path, csv })
    }

    fn write(&mut self, line: u64, kind: BadRow, text: &[u8]) -> Result<(), ImportError> {
        let line = line.to_string();
        self.csv
            .write_record([line.as_bytes(), kind.words().as_bytes(), text])
            .map_err(|e| ImportError::io(&self.path, e.into()))
    }

    fn finish(self) -> Result<PathBuf, ImportError> {
        let Self { path, csv } = self;
        let io = |e| ImportError::io(&path, e);
        csv.into_inner().map_err(|e| io(e.into_error()))?.finish().map_err(io)?;
        Ok(path)
    }
}

/// Whether nothing stands at `path`, or an older file of refused rows.
fn may_replace(path: &Path) -> std::io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(e),
    };
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut head = Vec::new();
    let longest = REFUSED_HEADER.len() as u64 + 2;
    BufReader::new(std::io::Read::take(file, longest)).read_until(b'\n', &mut head)?;
    Ok(head.trim_ascii_end() == REFUSED_HEADER.as_bytes())
}
