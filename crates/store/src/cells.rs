//! A column of exact values in units of 1e-8, eight bytes each as long as they fit.
//! No database or frame may enter.

use std::collections::BTreeMap;

use sim::bars::Column;

/// Stands for a missing value; no stored value is negative, so it cannot be one.
pub(crate) const NULL: i64 = i64::MIN;
/// Stands for a value beyond 63 bits, which is kept aside.
const WIDE: i64 = i64::MIN + 1;

/// Values in units of 1e-8 (a count too), with missing and very large ones marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cells {
    narrow: Vec<i64>,
    nulls: usize,
    /// Values beyond 63 bits by row.
    wide: BTreeMap<usize, i128>,
}

impl Cells {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self { narrow: Vec::with_capacity(rows), ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.narrow.len()
    }

    pub(crate) fn push(&mut self, value: Option<i128>) {
        let Some(value) = value else {
            self.nulls += 1;
            self.narrow.push(NULL);
            return;
        };
        match i64::try_from(value) {
            Ok(narrow) if narrow > WIDE => self.narrow.push(narrow),
            _ => {
                self.wide.insert(self.narrow.len(), value);
                self.narrow.push(WIDE);
            }
        }
    }

    /// Adds a value that fits 63 bits.
    pub(crate) fn push_narrow(&mut self, value: i64) {
        if value > WIDE { self.narrow.push(value) } else { self.push(Some(value.into())) }
    }

    /// Adds `other` behind these.
    pub(crate) fn append(&mut self, other: &Self) {
        let offset = self.narrow.len();
        self.narrow.extend_from_slice(&other.narrow);
        self.nulls += other.nulls;
        self.wide.extend(other.wide.iter().map(|(&row, &value)| (row + offset, value)));
    }

    pub(crate) fn get(&self, row: usize) -> Option<i128> {
        match self.narrow[row] {
            NULL => None,
            WIDE => self.wide.get(&row).copied(),
            narrow => Some(narrow.into()),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<i128>> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// The values as they are, when none is missing and all fit 63 bits; else the first row that is not.
    pub(crate) fn into_plain(self) -> Result<Vec<i64>, (usize, Self)> {
        match self.narrow.iter().position(|&v| v <= WIDE) {
            None => Ok(self.narrow),
            Some(row) => Err((row, self)),
        }
    }

    pub(crate) fn has_wide(&self) -> bool {
        !self.wide.is_empty()
    }
}

/// Rows of one series whose opening lies in [from, to), to be read ascending.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) symbol: String,
    pub(crate) timeframe: String,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    pub(crate) columns: Vec<Column>,
}

/// Rows on their way from a database, column by column, ascending in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// Opening times, microseconds UTC.
    pub(crate) time_us: Vec<i64>,
    /// The columns that were asked for, in that order.
    pub(crate) columns: Vec<Cells>,
}

impl Block {
    /// Rows of one block: large enough to make a channel's cost vanish, small enough for the cache.
    pub(crate) const ROWS: usize = 4096;

    pub(crate) fn new(columns: usize) -> Self {
        Self {
            time_us: Vec::with_capacity(Self::ROWS),
            columns: vec![Cells::with_capacity(Self::ROWS); columns],
        }
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.time_us.extend_from_slice(&other.time_us);
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            mine.append(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_very_large_values_come_back() {
        let values = [Some(0), None, Some(i128::from(i64::MAX)), Some(1 << 63), Some(99_999 << 50)];
        let mut first = Cells::default();
        values.iter().for_each(|&v| first.push(v));
        let mut both = first.clone();
        both.append(&first);
        assert_eq!(both.iter().collect::<Vec<_>>(), [values, values].concat());
        assert_eq!(both.into_plain().unwrap_err().0, 1);
    }
}
