//! A column of exact values in units of 1e-8, eight bytes each as long as they fit.
//! No database or frame may enter.

use std::collections::BTreeMap;
use std::ops::Range;

use sim::bars::Column;

/// Stands for a missing value; no stored value is negative, so it cannot be one.
pub(crate) const NULL: i64 = i64::MIN;
/// Stands for a value beyond 63 bits, which is kept aside.
const WIDE: i64 = i64::MIN + 1;

/// Values in units of 1e-8 (a count too), with missing and very large ones marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cells {
    narrow: Vec<i64>,
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

    /// Adds the given rows of `other` behind these.
    pub(crate) fn append(&mut self, other: &Self, rows: Range<usize>) {
        let offset = self.narrow.len();
        let wide = other.wide.range(rows.clone());
        self.wide.extend(wide.map(|(&row, &value)| (row - rows.start + offset, value)));
        self.narrow.extend_from_slice(&other.narrow[rows]);
    }

    /// The values as they lie in memory, and those beyond 63 bits by row.
    pub(crate) fn parts(&self) -> (&[i64], &BTreeMap<usize, i128>) {
        (&self.narrow, &self.wide)
    }

    /// What [`Self::parts`] gave; `None` when the two do not belong together.
    pub(crate) fn from_parts(narrow: Vec<i64>, wide: BTreeMap<usize, i128>) -> Option<Self> {
        let marked = narrow.iter().filter(|&&v| v == WIDE).count();
        let fits = wide.keys().all(|&row| narrow.get(row) == Some(&WIDE));
        (marked == wide.len() && fits).then_some(Self { narrow, wide })
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
        Self::with_capacity(columns, Self::ROWS)
    }

    /// Empty, with room for so many rows.
    pub(crate) fn with_capacity(columns: usize, rows: usize) -> Self {
        // Not `vec!`: a clone has no room.
        let columns = (0..columns).map(|_| Cells::with_capacity(rows)).collect();
        Self { time_us: Vec::with_capacity(rows), columns }
    }

    /// Adds the given rows of `other` behind these.
    pub(crate) fn append(&mut self, other: &Self, rows: Range<usize>) {
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            mine.append(theirs, rows.clone());
        }
        self.time_us.extend_from_slice(&other.time_us[rows]);
    }

    /// Adds all of `other` behind these; each of its columns is given back as soon as it is copied.
    pub(crate) fn extend(&mut self, other: Self) {
        let rows = other.rows();
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            mine.append(&theirs, 0..rows);
        }
        self.time_us.extend(other.time_us);
    }

    pub(crate) fn rows(&self) -> usize {
        self.time_us.len()
    }

    /// Puts the rows in the order of their times.
    pub(crate) fn sort(&mut self) {
        if self.time_us.is_sorted() {
            return;
        }
        let mut order: Vec<usize> = (0..self.rows()).collect();
        order.sort_by_key(|&row| self.time_us[row]);
        self.time_us = order.iter().map(|&row| self.time_us[row]).collect();
        for cells in &mut self.columns {
            let mut sorted = Cells::with_capacity(order.len());
            order.iter().for_each(|&row| sorted.push(cells.get(row)));
            *cells = sorted;
        }
    }

    /// The rows that open in [from, to).
    pub(crate) fn between(&self, from_us: i64, to_us: i64) -> Range<usize> {
        let place = |us: i64| self.time_us.partition_point(|&t| t < us);
        place(from_us)..place(to_us).max(place(from_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_any_order_are_sorted_with_all_their_values() {
        let rows = [(3, Some(1 << 70)), (1, Some(7)), (2, None)];
        let mut block = Block::new(1);
        for (time, value) in rows {
            block.time_us.push(time);
            block.columns[0].push(value);
        }
        block.sort();
        assert_eq!(block.time_us, [1, 2, 3]);
        assert_eq!(block.columns[0].iter().collect::<Vec<_>>(), [Some(7), None, Some(1 << 70)]);
    }

    #[test]
    fn missing_and_very_large_values_come_back() {
        let values = [Some(0), None, Some(i128::from(i64::MAX)), Some(1 << 63), Some(99_999 << 50)];
        let mut first = Cells::default();
        values.iter().for_each(|&v| first.push(v));
        let mut both = first.clone();
        both.append(&first, 0..5);
        assert_eq!(both.iter().collect::<Vec<_>>(), [values, values].concat());
        both.append(&first, 3..5);
        assert_eq!(both.iter().skip(10).collect::<Vec<_>>(), values[3..]);
        let (narrow, wide) = both.parts();
        let same = Cells::from_parts(narrow.to_vec(), wide.clone());
        assert_eq!(same.as_ref(), Some(&both));
        assert_eq!(Cells::from_parts(narrow.to_vec(), BTreeMap::new()), None);
        assert_eq!(both.into_plain().unwrap_err().0, 1);
    }
}
