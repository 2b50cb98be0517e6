//! The four rules of one variant as bits over a stretch of bars, the conflict rules between them, and the bars at which a
//! position, or none, acts. No price and no position's money may enter.

use crate::simd::{self, Task};

use super::bits::WORD;
use super::pyramid::STRETCH;

/// Words of a stretch: as many as a word has bits.
const WORDS: usize = STRETCH / WORD;

/// What a position, or none, looks for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    Nothing,
    Long,
    Short,
}

/// Bars of a stretch, one bit each, from where a line of the cache begins: stores over two lines take twice.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Words([u64; WORDS]);

/// Bars at which something happens.
#[derive(Clone, Copy, Debug)]
struct Events {
    words: Words,
    /// The words that are not 0.
    filled: u64,
}

/// Bars at which something is decided.
#[derive(Debug)]
pub(super) struct Flags {
    /// The bar of the first bit.
    from: usize,
    /// Where each of [`Holding`] acts: at an entry when flat; at the own exit or the opposite entry when not.
    events: [Events; 3],
    /// Bars of an entry to the short side that acts.
    shorts: Words,
    /// Bars of the exit rules, long and short.
    exits: [Words; 2],
    /// Whether there are short entries at all.
    two_sided: bool,
    /// Bars at which both entries fire.
    conflicts: usize,
}

impl Flags {
    pub(super) fn new() -> Self {
        let none = Words([0; WORDS]);
        let events = [Events { words: none, filled: 0 }; 3];
        Self { from: 0, events, shorts: none, exits: [none; 2], two_sided: false, conflicts: 0 }
    }

    /// Reads long entry, long exit, short entry and short exit from `from` on: a stretch, or what is left of the bars, behind
    /// which bits are 0. Decisions count from the bar `first` to the bar in front of `end`. Without `shorts`, the short
    /// rules are not read.
    pub(super) fn read(
        &mut self,
        from: usize,
        rules: [&[u64]; 4],
        (first, end): (usize, usize),
        shorts: bool,
    ) {
        self.from = from;
        let within = (first.saturating_sub(from), end.saturating_sub(from));
        simd::wide(Reading { flags: self, rules, within, shorts });
    }

    /// The first bar from `from` on, which lies in this stretch, at which `holding` acts.
    #[inline(always)]
    pub(super) fn next(&self, holding: Holding, from: usize) -> Option<usize> {
        let Events { words: Words(words), filled } = &self.events[holding as usize];
        let at = self.at(from);
        let word = at / WORD % WORDS;
        let ahead = u64::MAX << (at % WORD);
        // This word and those behind it are looked at as one: whether it holds the bit is anyone's guess.
        let here = words[word] & ahead;
        let behind = filled & (u64::MAX - 1) << word;
        let candidates = behind | u64::from(here != 0) << word;
        if candidates == 0 {
            return None;
        }
        let found = candidates.trailing_zeros() as usize % WORDS;
        let bits = words[found] & if found == word { ahead } else { u64::MAX };
        let bit = found * WORD + bits.trailing_zeros() as usize;
        Some(self.from.wrapping_add(bit))
    }

    /// Whether the entry at `bar`, one to one side, is short.
    #[inline(always)]
    pub(super) fn is_short(&self, bar: usize) -> bool {
        bit(&self.shorts, self.at(bar))
    }

    /// Whether the entry of a side acts at `bar`, at which the other side is held.
    #[inline(always)]
    pub(super) fn enters(&self, long: bool, bar: usize) -> bool {
        let at = self.at(bar);
        self.two_sided
            && bit(&self.events[Holding::Nothing as usize].words, at)
            && bit(&self.shorts, at) != long
    }

    /// Whether the exit rule of the side held fires at `bar`.
    #[inline(always)]
    pub(super) fn exits(&self, long: bool, bar: usize) -> bool {
        bit(&self.exits[usize::from(!long)], self.at(bar))
    }

    /// The place of a bar of this stretch.
    #[inline(always)]
    fn at(&self, bar: usize) -> usize {
        bar.wrapping_sub(self.from)
    }

    /// Bars of this stretch at which both entries fire.
    pub(super) fn conflicts(&self) -> usize {
        self.conflicts
    }
}

#[inline(always)]
fn bit(words: &Words, at: usize) -> bool {
    words.0[at / WORD % WORDS] >> (at % WORD) & 1 == 1
}

/// The words of a stretch joined, and where they lie.
struct Reading<'a> {
    flags: &'a mut Flags,
    rules: [&'a [u64]; 4],
    within: (usize, usize),
    shorts: bool,
}

impl Task for Reading<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Self { flags, rules, within, shorts } = self;
        let n_words = rules[0].len();
        let [long_entry, long_exit, short_entry, short_exit] = rules.map(|rule| &rule[..n_words]);
        let [flat, long, short] = &mut flags.events;
        (flags.conflicts, flags.two_sided) = (0, shorts);
        if shorts {
            let mut both = 0;
            for i in 0..n_words {
                let [to_long, to_short] = [long_entry[i], short_entry[i]];
                both |= to_long & to_short;
                let entries =
                    (to_long & !to_short & !long_exit[i], to_short & !to_long & !short_exit[i]);
                flat.words.0[i] = entries.0 | entries.1;
                long.words.0[i] = long_exit[i] | entries.1;
                short.words.0[i] = short_exit[i] | entries.0;
                flags.shorts.0[i] = entries.1;
                flags.exits[0].0[i] = long_exit[i];
                flags.exits[1].0[i] = short_exit[i];
            }
            if both != 0 {
                let both = long_entry.iter().zip(short_entry).map(|(long, short)| long & short);
                flags.conflicts = both
                    .enumerate()
                    .map(|(i, both)| (both & mask(i, within)).count_ones() as usize)
                    .sum();
            }
            short.finish(n_words, within);
        } else {
            flags.shorts.0.fill(0);
            for i in 0..n_words {
                flat.words.0[i] = long_entry[i] & !long_exit[i];
                long.words.0[i] = long_exit[i];
                flags.exits[0].0[i] = long_exit[i];
            }
        }
        flat.finish(n_words, within);
        long.finish(n_words, within);
    }
}

impl Events {
    /// Leaves the bits of bars within, of `n_words` words that were set, and looks which are filled.
    #[inline(always)]
    fn finish(&mut self, n_words: usize, within: (usize, usize)) {
        self.words.0[n_words..].fill(0);
        if within.0 > 0 || within.1 < STRETCH {
            for (i, word) in self.words.0.iter_mut().enumerate() {
                *word &= mask(i, within);
            }
        }
        let filled = self.words.0.iter().enumerate();
        self.filled = filled.fold(0, |filled, (i, word)| filled | u64::from(*word != 0) << i);
    }
}

/// The bits of word `i` that lie in `[from, to)`.
#[inline(always)]
fn mask(i: usize, (from, to): (usize, usize)) -> u64 {
    let below = |at: usize| match at.saturating_sub(i * WORD) {
        n @ 0..WORD => (1 << n) - 1,
        _ => u64::MAX,
    };
    below(to) & !below(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64, with ever fewer bits set.
    fn word(state: &mut u64, sparse: u32) -> u64 {
        (0..=sparse).fold(u64::MAX, |bits, _| {
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            bits & (z ^ (z >> 31))
        })
    }

    #[test]
    fn events_are_those_of_each_bar() {
        let mut state = 5;
        let mut flags = Flags::new();
        for round in 0..200_u32 {
            let n_words = [1, 3, WORDS][round as usize % 3];
            let rules: [Vec<u64>; 4] = std::array::from_fn(|_| {
                (0..n_words).map(|_| word(&mut state, round % 9)).collect()
            });
            let from = STRETCH * (round as usize % 2);
            let n = n_words * WORD;
            let mut below = |n: usize| usize::try_from(word(&mut state, 0) >> 33).unwrap() % n;
            let (first, end) = (from + below(n), from + below(n + 1));
            let shorts = !round.is_multiple_of(4);
            flags.read(from, [0, 1, 2, 3].map(|rule| &rules[rule][..]), (first, end), shorts);
            let at = |rule: usize, bar: usize| {
                let i = bar - from;
                (shorts || rule < 2) && rules[rule][i / WORD] >> (i % WORD) & 1 == 1
            };
            let long = |bar| at(0, bar) && !at(2, bar) && !at(1, bar);
            let short = |bar| at(2, bar) && !at(0, bar) && !at(3, bar);
            let bars = first..end;
            assert_eq!(
                flags.conflicts(),
                bars.clone().filter(|&bar| at(0, bar) && at(2, bar)).count()
            );
            for start in first..from + n {
                let find = |acts: &dyn Fn(usize) -> bool| (start..end).find(|&bar| acts(bar));
                assert_eq!(
                    flags.next(Holding::Nothing, start),
                    find(&|bar| long(bar) || short(bar))
                );
                assert_eq!(flags.next(Holding::Long, start), find(&|bar| at(1, bar) || short(bar)));
                if shorts {
                    assert_eq!(
                        flags.next(Holding::Short, start),
                        find(&|bar| at(3, bar) || long(bar))
                    );
                }
            }
            for bar in bars {
                let sides = (flags.enters(true, bar), flags.enters(false, bar));
                assert_eq!(sides, (shorts && long(bar), short(bar)));
                assert_eq!(flags.exits(true, bar), at(1, bar));
                if long(bar) || short(bar) {
                    assert_eq!(flags.is_short(bar), short(bar));
                }
            }
        }
    }
}
