//! The four rules of one variant as bits over a tile of bars, and the conflict rules between them.
//! No price and no position's money may enter.

use super::bits::WORD;

/// Long entry, long exit, short entry and short exit, one bit a bar. Bits behind the last bar are 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags<'a> {
    /// The bar of the first bit.
    from: usize,
    rules: [&'a [u64]; 4],
    /// Whether a short can be entered; if not, the short rules are not read.
    shorts: bool,
}

/// What a position, or none, looks for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    Nothing,
    Long,
    Short,
}

impl<'a> Flags<'a> {
    pub(super) fn new(from: usize, rules: [&'a [u64]; 4], shorts: bool) -> Self {
        Self { from, rules, shorts }
    }

    pub(super) fn from(&self) -> usize {
        self.from
    }

    /// Entries that act: alone on their bar and without the exit of their own side.
    #[inline]
    fn entries(&self, word: usize) -> (u64, u64) {
        let [long_entry, long_exit] = [self.rules[0][word], self.rules[1][word]];
        if !self.shorts {
            return (long_entry & !long_exit, 0);
        }
        let [short_entry, short_exit] = [self.rules[2][word], self.rules[3][word]];
        (long_entry & !short_entry & !long_exit, short_entry & !long_entry & !short_exit)
    }

    /// Bars at which `holding` decides to act: an entry when flat; the own exit or the opposite entry when not.
    #[inline]
    fn events(&self, word: usize, holding: Holding) -> u64 {
        let (long, short) = self.entries(word);
        match holding {
            Holding::Nothing => long | short,
            Holding::Long => self.rules[1][word] | short,
            Holding::Short => self.rules[3][word] | long,
        }
    }

    /// The first bar of `[from, to)` at which `holding` acts.
    #[inline]
    pub(super) fn next(&self, holding: Holding, from: usize, to: usize) -> Option<usize> {
        let [entry, exit, ..] = self.rules;
        match holding {
            Holding::Nothing if !self.shorts => self.first(from, to, |i| entry[i] & !exit[i]),
            Holding::Long if !self.shorts => self.first(from, to, |i| exit[i]),
            _ => self.first(from, to, |i| self.events(i, holding)),
        }
    }

    /// The first bar of `[from, to)` whose bit is set in its word.
    #[inline]
    fn first(&self, from: usize, to: usize, events: impl Fn(usize) -> u64) -> Option<usize> {
        if from >= to {
            return None;
        }
        let (from, to) = (from - self.from, to - self.from);
        let last = (to - 1) / WORD;
        let mut word = from / WORD;
        let mut bits = events(word) & (u64::MAX << (from % WORD));
        while bits == 0 {
            if word == last {
                return None;
            }
            word += 1;
            bits = events(word);
        }
        let bar = word * WORD + bits.trailing_zeros() as usize;
        (bar < to).then_some(self.from + bar)
    }

    /// Whether the long entry, the short entry act at `bar`.
    #[inline]
    pub(super) fn entries_at(&self, bar: usize) -> (bool, bool) {
        let at = bar - self.from;
        let (long, short) = self.entries(at / WORD);
        let bit = 1 << (at % WORD);
        (long & bit != 0, short & bit != 0)
    }

    /// Whether the exit rule of the side held fires at `bar`.
    #[inline]
    pub(super) fn exit_at(&self, long: bool, bar: usize) -> bool {
        let (rule, at) = (if long { 1 } else { 3 }, bar - self.from);
        self.rules[rule][at / WORD] & (1 << (at % WORD)) != 0
    }

    /// Bars of `[from, to)` at which both entries fire.
    pub(super) fn conflicts(&self, from: usize, to: usize) -> usize {
        if from >= to || !self.shorts {
            return 0;
        }
        let (from, to) = (from - self.from, to - self.from);
        let (first, last) = (from / WORD, (to - 1) / WORD);
        let both = |word: usize| {
            let mut bits = self.rules[0][word] & self.rules[2][word];
            if word == first {
                bits &= u64::MAX << (from % WORD);
            }
            if word == last {
                bits &= u64::MAX >> (WORD - 1 - (to - 1) % WORD);
            }
            bits.count_ones() as usize
        };
        (first..=last).map(both).sum()
    }
}
