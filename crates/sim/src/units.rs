//! A column of exact values in units of 1e-8, some of which may be missing or very large: eight bytes each as long as they
//! fit. What the values mean may not enter.

use std::collections::BTreeMap;
use std::ops::Range;

/// Stands for a missing value.
const NULL: i64 = i64::MIN;
/// Stands for a value beyond 63 bits, which is kept aside.
const WIDE: i64 = i64::MIN + 1;

/// Values in units of 1e-8 (a count too), with missing and very large ones marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    narrow: Vec<i64>,
    /// Values beyond 63 bits by row.
    wide: BTreeMap<usize, i128>,
}

impl Units {
    /// Empty, with room for so many rows.
    #[must_use]
    pub fn with_capacity(rows: usize) -> Self {
        Self { narrow: Vec::with_capacity(rows), ..Self::default() }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.narrow.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.narrow.is_empty()
    }

    /// Adds a value behind the others; `None` is a missing one.
    pub fn push(&mut self, value: Option<i128>) {
        self.narrow.push(NULL);
        self.set(self.narrow.len() - 1, value);
    }

    /// Adds a value that fits 63 bits.
    pub fn push_narrow(&mut self, value: i64) {
        if value > WIDE { self.narrow.push(value) } else { self.push(Some(value.into())) }
    }

    /// Puts `value` in the place of the one of `row`.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn set(&mut self, row: usize, value: Option<i128>) {
        if self.narrow[row] == WIDE {
            self.wide.remove(&row);
        }
        self.narrow[row] = match value.map(|value| (value, i64::try_from(value))) {
            None => NULL,
            Some((_, Ok(narrow))) if narrow > WIDE => narrow,
            Some((value, _)) => {
                self.wide.insert(row, value);
                WIDE
            }
        };
    }

    /// The value of `row`; `None` where it is missing.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<i128> {
        match self.narrow[row] {
            NULL => None,
            WIDE => self.wide.get(&row).copied(),
            narrow => Some(narrow.into()),
        }
    }

    /// Every value, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<i128>> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// The values of `rows`, in order.
    pub fn range(&self, rows: Range<usize>) -> impl Iterator<Item = Option<i128>> {
        rows.map(|row| self.get(row))
    }

    /// Adds the given rows of `other` behind these.
    ///
    /// # Panics
    /// When `other` has not so many.
    pub fn append(&mut self, other: &Self, rows: Range<usize>) {
        let offset = self.narrow.len();
        let wide = other.wide.range(rows.clone());
        self.wide.extend(wide.map(|(&row, &value)| (row - rows.start + offset, value)));
        self.narrow.extend_from_slice(&other.narrow[rows]);
    }

    /// The values as they lie in memory, and those beyond 63 bits by row.
    #[must_use]
    pub fn parts(&self) -> (&[i64], &BTreeMap<usize, i128>) {
        (&self.narrow, &self.wide)
    }

    /// What [`Self::parts`] gave; `None` when the two do not belong together.
    #[must_use]
    pub fn from_parts(narrow: Vec<i64>, wide: BTreeMap<usize, i128>) -> Option<Self> {
        let marked = narrow.iter().filter(|&&v| v == WIDE).count();
        let fits = wide.keys().all(|&row| narrow.get(row) == Some(&WIDE));
        (marked == wide.len() && fits).then_some(Self { narrow, wide })
    }

    /// The values as they are, when none is missing and all fit 63 bits.
    ///
    /// # Errors
    /// The first row that is not so, and the values.
    pub fn into_plain(self) -> Result<Vec<i64>, (usize, Self)> {
        match self.narrow.iter().position(|&v| v <= WIDE) {
            None => Ok(self.narrow),
            Some(row) => Err((row, self)),
        }
    }

    /// Whether a value is beyond 63 bits.
    #[must_use]
    pub fn has_wide(&self) -> bool {
        !self.wide.is_empty()
    }
}

impl From<Vec<i64>> for Units {
    /// Values of which none is missing.
    fn from(values: Vec<i64>) -> Self {
        if values.iter().all(|&value| value > WIDE) {
            return Self { narrow: values, ..Self::default() };
        }
        values.into_iter().map(|value| Some(value.into())).collect()
    }
}

impl FromIterator<Option<i128>> for Units {
    fn from_iter<I: IntoIterator<Item = Option<i128>>>(values: I) -> Self {
        let values = values.into_iter();
        let mut units = Self::with_capacity(values.size_hint().0);
        values.for_each(|value| units.push(value));
        units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_very_large_values_come_back() {
        let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
        let values =
            [Some(0), None, Some(most), Some(most + 1), Some(99_999 << 50), Some(least), Some(-1)];
        let first: Units = values.into_iter().collect();
        let mut both = first.clone();
        both.append(&first, 0..7);
        assert_eq!(both.iter().collect::<Vec<_>>(), [values, values].concat());
        both.append(&first, 3..5);
        assert_eq!(both.range(14..16).collect::<Vec<_>>(), values[3..5]);
        let (narrow, wide) = both.parts();
        let same = Units::from_parts(narrow.to_vec(), wide.clone());
        assert_eq!(same.as_ref(), Some(&both));
        assert_eq!(Units::from_parts(narrow.to_vec(), BTreeMap::new()), None);
        assert_eq!(both.into_plain().unwrap_err().0, 1);
    }

    #[test]
    fn a_value_takes_the_place_of_any_other() {
        let kinds = [None, Some(7), Some(1 << 70)];
        for (before, after) in kinds.into_iter().flat_map(|b| kinds.map(|a| (b, a))) {
            let mut units: Units = [Some(1), before, Some(2)].into_iter().collect();
            units.set(1, after);
            assert_eq!(units, [Some(1), after, Some(2)].into_iter().collect());
        }
        let plain: Units = [Some(1), Some(2)].into_iter().collect();
        assert_eq!(plain.into_plain(), Ok(vec![1, 2]));
        assert_eq!(Units::from(vec![1, i64::MIN]).get(1), Some(i64::MIN.into()));
    }
}
