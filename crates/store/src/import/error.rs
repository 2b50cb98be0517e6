//! What can go wrong with a file, said with its place, and what to do about it.
//! Nothing is printed, and no error of a library is shown without the file it is about.

use std::path::{Path, PathBuf};

use sim::timeframe::UnknownTimeframe;

use super::report::{BadCounts, Located, excerpt};
use crate::row::BadRow;

/// Why a file was not read. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The operating system refused.
    #[error("{}: {cause}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// Not what it seems to be, cut short, or a form that is not read.
    #[error("{}: {what}", path.display())]
    Form { path: PathBuf, what: String, hint: Option<String> },
    /// A line longer than [`super::MAX_LINE_BYTES`].
    #[error("{}:{line}: a line of more than {limit} bytes (the limit)", path.display())]
    LineTooLong { path: PathBuf, line: u64, limit: usize },
    /// The columns are not recognised.
    #[error("{}: {trouble}; its columns are {}", path.display(), quoted(columns))]
    Columns { path: PathBuf, trouble: String, columns: Vec<String> },
    /// No symbol was given, and the file does not make it plain.
    #[error("{}: the symbol is not plain", path.display())]
    NoSymbol { path: PathBuf },
    /// A symbol that `market_data` cannot hold.
    #[error("{}: `{symbol}` is no symbol: it needs 1 to {limit} characters without blanks", path.display())]
    BadSymbol { path: PathBuf, symbol: String, limit: usize },
    /// Bars of two symbols in one file.
    #[error("{}:{line}: a bar of `{other}` in a file of `{first}`", path.display())]
    TwoSymbols { path: PathBuf, line: u64, first: String, other: String },
    /// No timeframe was given, and the file does not make it plain.
    #[error("{}: the timeframe is not plain: {why}", path.display())]
    NoTimeframe { path: PathBuf, why: String },
    /// Rows that cannot be bars; nothing of the file may stay.
    #[error("{}: {} of {rows} rows refused ({counts}){}", path.display(), counts.total(), listed(path, first))]
    BadRows { path: PathBuf, rows: u64, first: Vec<Located>, counts: BadCounts },
    /// Times so far apart that duplicates cannot be watched for.
    #[error("{}:{line}: times spread over more than {limit} places of {slots} bars (the limit)", path.display())]
    TooSpread { path: PathBuf, line: u64, limit: usize, slots: i64 },
    /// The refused rows cannot be written where they belong.
    #[error("{}: already there, and not a file of refused rows", path.display())]
    RefusedInTheWay { path: PathBuf },
    /// The receiver of the rows is gone.
    #[error("{}: stopped before its end", path.display())]
    Stopped { path: PathBuf },
}

impl ImportError {
    /// The next thing to type, when there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Form { hint, .. } => return hint.clone(),
            Self::Columns { .. } => "name them (or count them from 1): \
                --columns time=…,open=…,high=…,low=…,close=…,volume=…"
                .to_owned(),
            Self::NoSymbol { .. } => "give --symbol NAME".to_owned(),
            Self::BadSymbol { .. } => "give another with --symbol NAME".to_owned(),
            Self::TwoSymbols { .. } => "split the file, one symbol each".to_owned(),
            Self::NoTimeframe { .. } => format!("give --timeframe: {}", UnknownTimeframe::hint()),
            Self::BadRows { counts, .. } => bad_rows_hint(counts),
            Self::TooSpread { .. } => {
                "is --timeframe right, and the time column's unit?".to_owned()
            }
            Self::RefusedInTheWay { path } => {
                format!("move {} away: refused rows are written there", path.display())
            }
            Self::Io { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => {
                "look at the path, which is from the folder that this was typed in: ls".to_owned()
            }
            Self::Io { .. } | Self::LineTooLong { .. } | Self::Stopped { .. } => return None,
        })
    }

    pub(super) fn io(path: &Path, cause: std::io::Error) -> Self {
        // What a decompressor or a reader says of a damaged file is about its form, not about the disk.
        match cause.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Self::form(path, "ends too early: it is cut short")
            }
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => {
                Self::form(path, format!("damaged: {cause}"))
            }
            _ => Self::Io { path: path.to_owned(), cause },
        }
    }

    pub(super) fn form(path: &Path, what: impl Into<String>) -> Self {
        Self::Form { path: path.to_owned(), what: what.into(), hint: None }
    }

    pub(super) fn form_hint(path: &Path, what: impl Into<String>, hint: &str) -> Self {
        Self::Form { path: path.to_owned(), what: what.into(), hint: Some(hint.to_owned()) }
    }
}

fn bad_rows_hint(counts: &BadCounts) -> String {
    let skip = "--bad-rows skip imports the rest and writes the refused rows beside the file";
    // Rows off the grid in mass mean another timeframe, not bad rows.
    if counts.of(BadRow::OffGrid) * 2 > counts.total() {
        return format!("is --timeframe right? {skip}");
    }
    skip.to_owned()
}

fn quoted(columns: &[String]) -> String {
    const SHOWN: usize = 40;
    let mut text: Vec<String> =
        columns.iter().take(SHOWN).map(|c| format!("`{}`", excerpt(c.as_bytes()))).collect();
    if columns.len() > SHOWN {
        text.push(format!("and {} more", columns.len() - SHOWN));
    }
    if text.is_empty() { "none".to_owned() } else { text.join(" ") }
}

fn listed(path: &Path, first: &[Located]) -> String {
    use std::fmt::Write as _;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let mut text = String::new();
    for (line, kind, excerpt) in first {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {name}:{line}: {}: {excerpt}", kind.words());
    }
    text
}
