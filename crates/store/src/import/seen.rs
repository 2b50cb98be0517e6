//! Which times of a file were seen: one bit a place on the timeframe's grid, so that order does not matter.
//! No row, file or format is known here.

use std::collections::HashMap;

/// Grid places in one page.
pub(super) const PAGE_SLOTS: i64 = 1 << 16;
/// Pages kept at most: 128 MiB of bits, 2^30 places (34 years of 1-second bars, 2,000 years of 1-minute bars).
pub(super) const MAX_PAGES: usize = 1 << 14;
const PAGE_WORDS: usize = 1 << 10;

/// The times seen so far.
///
/// A file in order stays on one page of 8 KiB for 65,536 bars; a stray time far away costs one page. A year of 1-minute
/// bars takes 72 KiB, in whatever order it comes.
pub(super) struct Seen {
    step_us: i64,
    pages: HashMap<i64, usize>,
    words: Vec<u64>,
    /// The page touched last, and where its words begin.
    last: (i64, usize),
}

/// More than [`MAX_PAGES`] pages would be needed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSpread;

impl Seen {
    /// For times on a grid of `step_us` microseconds.
    pub(super) fn new(step_us: i64) -> Self {
        Self { step_us, pages: HashMap::new(), words: Vec::new(), last: (i64::MIN, 0) }
    }

    /// Notes a time on the grid; false when it was noted before.
    ///
    /// # Errors
    /// When the times spread over more than [`MAX_PAGES`] pages.
    pub(super) fn note(&mut self, time_us: i64) -> Result<bool, TooSpread> {
        // Times are on one grid, so two of them share a place only when they are the same, wherever it is counted from.
        let slot = time_us.div_euclid(self.step_us);
        let page = slot.div_euclid(PAGE_SLOTS);
        if page != self.last.0 {
            self.last = (page, self.page(page)?);
        }
        let within = slot.rem_euclid(PAGE_SLOTS).unsigned_abs();
        let (word, bit) = ((within / 64) as usize, 1_u64 << (within % 64));
        let word = &mut self.words[self.last.1 + word];
        let new = *word & bit == 0;
        *word |= bit;
        Ok(new)
    }

    fn page(&mut self, page: i64) -> Result<usize, TooSpread> {
        if let Some(&start) = self.pages.get(&page) {
            return Ok(start);
        }
        if self.pages.len() == MAX_PAGES {
            return Err(TooSpread);
        }
        let start = self.words.len();
        self.words.resize(start + PAGE_WORDS, 0);
        self.pages.insert(page, start);
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_too_far_apart_are_refused() {
        let mut seen = Seen::new(1);
        for page in 0..i64::try_from(MAX_PAGES).unwrap() {
            assert_eq!(seen.note(page * PAGE_SLOTS), Ok(true));
        }
        assert_eq!(seen.note(-1), Err(TooSpread));
        assert_eq!(seen.note(0), Ok(false));
    }

    proptest! {
        #[test]
        fn as_a_set_says(slots in prop::collection::vec(-200_000_i64..200_000, 0..400)) {
            let (mut seen, mut set) = (Seen::new(60), HashSet::new());
            for slot in slots {
                prop_assert_eq!(seen.note(slot * 60), Ok(set.insert(slot)));
            }
        }
    }
}
