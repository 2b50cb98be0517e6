//! What came out of a file: rows, range, values changed by rounding, and the refused rows by kind.
//! No row is judged here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::row::BadRow;

/// A refused row: its line (1-based, the header counted; in Parquet and Arrow files its row), why, and its text.
pub type Located = (u64, BadRow, String);

/// Refused rows that an error or a report shows.
pub const SHOWN_BAD_ROWS: usize = 10;

/// Characters of a refused row that a report shows.
const EXCERPT_CHARS: usize = 120;

/// What was read of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows handed on.
    pub rows: u64,
    /// Opening of the earliest bar, microseconds UTC; `None` without rows.
    pub from_us: Option<i64>,
    /// End of the latest bar (ranges are half-open), microseconds UTC; `None` without rows.
    pub to_us: Option<i64>,
    /// Values, not rows, that rounding to 8 places changed by more than 1e-12.
    pub rounded: u64,
    /// Refused rows by kind.
    pub bad: BadCounts,
    /// The first [`SHOWN_BAD_ROWS`] of them.
    pub first_bad: Vec<Located>,
    /// Where the refused rows were written, if there were any.
    pub refused_file: Option<PathBuf>,
}

/// How many rows were refused, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadCounts(BTreeMap<BadRow, u64>);

impl BadCounts {
    pub(super) fn add(&mut self, kind: BadRow) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// Rows refused for `kind`.
    #[must_use]
    pub fn of(&self, kind: BadRow) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// All refused rows.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Kinds that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (BadRow, u64)> + '_ {
        self.0.iter().map(|(&kind, &count)| (kind, count))
    }
}

impl fmt::Display for BadCounts {
    /// `2 price not above 0, 1 duplicate time`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (kind, count)) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {}", kind.words())?;
        }
        Ok(())
    }
}

/// The start of a text of a file as a report shows it: readable, on one line, and without what a terminal would obey.
pub(super) fn excerpt(text: &[u8]) -> String {
    // Four bytes a character at most: the rest of a long line is not looked at.
    let head = &text[..text.len().min(EXCERPT_CHARS * 4)];
    let readable = String::from_utf8_lossy(head);
    let shown = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    let mut out: String = readable.chars().take(EXCERPT_CHARS).map(shown).collect();
    if text.len() > head.len() || readable.chars().count() > EXCERPT_CHARS {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_tame() {
        assert_eq!(excerpt(b"1,2,\x1b[31m3"), "1,2,\u{fffd}[31m3");
        let long = excerpt("ä".repeat(500).as_bytes());
        assert_eq!(long.chars().count(), EXCERPT_CHARS + 1);
        assert!(long.ends_with('…'));
    }
}
