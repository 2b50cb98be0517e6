//! Rows on their way from a database, column by column.
//! No database or frame may enter.

use std::ops::Range;

use sim::bars::Column;
pub(crate) use sim::units::Units as Cells;

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

    /// Empty, with room for a row at each of so many places, as far as that is little. Memory that is never written to costs
    /// nothing, and a column that has to grow is there twice meanwhile; but of a long range on a fine grid not every
    /// place can have room.
    pub(crate) fn with_room(columns: usize, places: i64) -> Self {
        const MOST: usize = 1 << 22;
        Self::with_capacity(columns, usize::try_from(places).unwrap_or_default().min(MOST))
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
}
