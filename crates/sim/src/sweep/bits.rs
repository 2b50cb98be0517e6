//! Rules as bits, one a bar: comparisons of two columns in tiles, crossings, `and` and `or`.
//! A bit is set where a rule is true; false and undefined are the same here. No indicator is computed.

use std::sync::Arc;

use super::simd::{self, Lane, Word};

/// Bars in a word.
pub(super) const WORD: usize = 64;

/// One side of a comparison.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    Constant(f64),
    /// A column, read so many bars before: undefined at its first bars.
    Column {
        values: Arc<[f64]>,
        lag: usize,
    },
}

/// What is read off the order of two operands a and b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Less,
    Greater,
    LessEqual,
    GreaterEqual,
    Equal,
    NotEqual,
    /// a crosses above b, or defined and does not.
    CrossAbove {
        negated: bool,
    },
    CrossBelow {
        negated: bool,
    },
}

/// Two operands, and every rule that is read off their order.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) a: Operand,
    pub(super) b: Operand,
    pub(super) readings: Vec<(Reading, Vec<u64>)>,
    /// Whether a was below, above b at the last bar at which they differed.
    was: Was,
}

#[derive(Clone, Copy, Debug, Default)]
struct Was {
    below: bool,
    above: bool,
}

/// The order of 64 pairs of values; in none of the three where one is undefined.
#[derive(Clone, Copy, Debug)]
struct Order {
    above: u64,
    below: u64,
    equal: u64,
}

impl Pair {
    pub(super) fn new(a: Operand, b: Operand) -> Self {
        Self { a, b, readings: Vec::new(), was: Was::default() }
    }

    /// Reads words `[from, to)` off.
    fn tile(&mut self, from: usize, to: usize, n_bars: usize, orders: &mut Orders) {
        let Orders { above, below } = orders;
        let (above, below) = (&mut above[..to - from], &mut below[..to - from]);
        let words = |operand: &Operand| operand.whole_words(from, to, n_bars);
        let whole = words(&self.a) && words(&self.b);
        if whole {
            let constants = [self.a.constant(), self.b.constant()];
            let a = self.a.lane(from, to, &constants[0]);
            let b = self.b.lane(from, to, &constants[1]);
            simd::orders(a, b, above, below);
        }
        if whole && above.iter().zip(&*below).all(|(above, below)| above | below == u64::MAX) {
            self.read_plain(from, above, below);
        } else {
            self.read_words(from, n_bars, whole, above, below);
        }
    }

    /// Reads words off in which no two values tie and none is undefined.
    fn read_plain(&mut self, from: usize, above: &[u64], below: &[u64]) {
        let range = from..from + above.len();
        for (reading, out) in &mut self.readings {
            let out = &mut out[range.clone()];
            match *reading {
                Reading::Less | Reading::LessEqual => out.copy_from_slice(below),
                Reading::Greater | Reading::GreaterEqual => out.copy_from_slice(above),
                Reading::Equal => out.fill(0),
                Reading::NotEqual => out.fill(u64::MAX),
                Reading::CrossAbove { negated } => {
                    plain_crossings(out, above, below, self.was.below, negated);
                }
                Reading::CrossBelow { negated } => {
                    plain_crossings(out, below, above, self.was.above, negated);
                }
            }
        }
        if let Some(&last) = above.last() {
            let above = last >> (WORD - 1) == 1;
            self.was = Was { below: !above, above };
        }
    }

    /// Reads any words off; those that do not lie whole in their columns are compared here.
    fn read_words(
        &mut self,
        from: usize,
        n_bars: usize,
        whole: bool,
        above: &mut [u64],
        below: &mut [u64],
    ) {
        for at in 0..above.len() {
            let word = from + at;
            if !whole {
                let (a, b) = (self.a.word(word, n_bars), self.b.word(word, n_bars));
                let (a, b) = (Lane::constant(&a), Lane::constant(&b));
                simd::orders(a, b, &mut above[at..=at], &mut below[at..=at]);
            }
            let mut order = Order { above: above[at], below: below[at], equal: 0 };
            if order.above | order.below != u64::MAX {
                order.equal = equal(&self.a.word(word, n_bars), &self.b.word(word, n_bars));
            }
            let was = self.was;
            self.was = order.after(was);
            for (reading, out) in &mut self.readings {
                out[word] = order.read(*reading, was);
            }
        }
    }
}

/// Bars where the first are above the second for the first time since they were below.
fn plain_crossings(out: &mut [u64], above: &[u64], below: &[u64], was: bool, negated: bool) {
    let mut carry = u64::from(was);
    for ((out, above), below) in out.iter_mut().zip(above).zip(below) {
        let crossings = above & (below << 1 | carry);
        carry = below >> (WORD - 1);
        *out = if negated { !crossings } else { crossings };
    }
}

/// Room for the orders of one tile.
struct Orders {
    above: Vec<u64>,
    below: Vec<u64>,
}

/// Reads every rule of `pairs` off, in tiles of `tile_words` words, all pairs before the next tile: the columns that
/// they share are then in the cache.
pub(super) fn evaluate(pairs: &mut [Pair], n_bars: usize, tile_words: usize) {
    let n_words = n_bars.div_ceil(WORD);
    let mut orders = Orders { above: vec![0; tile_words], below: vec![0; tile_words] };
    for from in (0..n_words).step_by(tile_words) {
        let to = (from + tile_words).min(n_words);
        for pair in &mut *pairs {
            pair.tile(from, to, n_bars, &mut orders);
        }
    }
}

impl Operand {
    /// Whether words `[from, to)` can be read where they lie.
    fn whole_words(&self, from: usize, to: usize, n_bars: usize) -> bool {
        let lag = match self {
            Self::Constant(_) => 0,
            Self::Column { lag, .. } => *lag,
        };
        lag <= from * WORD && to * WORD <= n_bars
    }

    fn constant(&self) -> Word {
        match self {
            Self::Constant(value) => [*value; WORD],
            Self::Column { .. } => [f64::NAN; WORD],
        }
    }

    fn lane<'a>(&'a self, from: usize, to: usize, constant: &'a Word) -> Lane<'a> {
        match self {
            Self::Constant(_) => Lane::constant(constant),
            Self::Column { values, lag } => {
                let values = &values[from * WORD - lag..to * WORD - lag];
                Lane::column(values.as_chunks::<WORD>().0)
            }
        }
    }

    /// One word, undefined in front of the first value and behind the last bar.
    fn word(&self, word: usize, n_bars: usize) -> Word {
        match self {
            Self::Constant(value) => {
                let defined = (n_bars - word * WORD).min(WORD);
                std::array::from_fn(|bit| if bit < defined { *value } else { f64::NAN })
            }
            Self::Column { values, lag } => std::array::from_fn(|bit| {
                let bar = word * WORD + bit;
                if bar >= *lag && bar < n_bars { values[bar - lag] } else { f64::NAN }
            }),
        }
    }
}

fn equal(a: &Word, b: &Word) -> u64 {
    a.iter().zip(b).rev().fold(0, |bits, (a, b)| (bits << 1) | u64::from(a == b))
}

impl Order {
    fn read(self, reading: Reading, was: Was) -> u64 {
        let Self { above, below, equal } = self;
        let cross = |bits: u64, negated: bool| {
            if negated { (above | below | equal) & !bits } else { bits }
        };
        match reading {
            Reading::Less => below,
            Reading::Greater => above,
            Reading::LessEqual => below | equal,
            Reading::GreaterEqual => above | equal,
            Reading::Equal => equal,
            Reading::NotEqual => above | below,
            Reading::CrossAbove { negated } => cross(self.crossings(was), negated),
            Reading::CrossBelow { negated } => {
                let mirrored = Self { above: below, below: above, equal };
                let was = Was { below: was.above, above: was.below };
                cross(mirrored.crossings(was), negated)
            }
        }
    }

    /// Bars where a is above b and was below it at the last earlier bar at which they differed; an undefined bar
    /// forgets what was before.
    fn crossings(self, was: Was) -> u64 {
        if self.above | self.below == u64::MAX {
            return self.above & (self.below << 1 | u64::from(was.below));
        }
        let mut was = was;
        let mut crossings = 0;
        for bit in 0..WORD {
            crossings |= u64::from(was.below && self.above >> bit & 1 == 1) << bit;
            was = self.step(was, bit);
        }
        crossings
    }

    /// What is remembered behind the last bar.
    fn after(self, was: Was) -> Was {
        if (self.above | self.below) >> (WORD - 1) == 1 {
            return Was {
                below: self.below >> (WORD - 1) == 1,
                above: self.above >> (WORD - 1) == 1,
            };
        }
        (0..WORD).fold(was, |was, bit| self.step(was, bit))
    }

    fn step(self, was: Was, bit: usize) -> Was {
        let is = |bits: u64| bits >> bit & 1 == 1;
        if is(self.equal) { was } else { Was { below: is(self.below), above: is(self.above) } }
    }
}
