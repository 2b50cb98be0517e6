//! Comparisons and crossings of two numbers as bits, one a bar, a tile of bars after the other.
//! A bit is set where a rule is true; false and undefined are the same here. No indicator is computed.

use std::ops::Range;
use std::sync::Arc;

use crate::simd::{self, Lane, Word};

use super::formula::Formula;
use super::made::{Ladder, Made};

/// Bars in a word.
pub(super) const WORD: usize = 64;

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

/// A number that is read as it is, and its values over the present tile unless they lie in a column.
#[derive(Debug)]
pub(super) struct Number<'a> {
    source: Source<'a>,
    room: Buffer,
}

/// Where the values of a number come from.
#[derive(Debug)]
pub(super) enum Source<'a> {
    Made(Made<'a>),
    Column(Lagged),
    /// It is handed its values.
    Stream,
}

/// A column, read so many bars before: undefined at its first bars.
#[derive(Clone, Debug)]
pub(super) struct Lagged {
    pub(super) values: Arc<[f64]>,
    pub(super) lag: usize,
}

/// Room for the values of a tile.
#[derive(Debug)]
struct Buffer {
    /// From `first` on, where a line of the cache begins: registers are as long, and loads over two lines take twice.
    values: Vec<f64>,
    first: usize,
}

/// One side of a comparison.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand {
    Constant(f64),
    /// The number of this index.
    Number(usize),
    /// The formula of this index, of numbers.
    Formula(usize),
    /// The direction of this index; it is compared with a constant.
    Direction(usize),
}

/// A number that is 1 or -1 where it is defined: bits over the present tile.
#[derive(Debug)]
pub(super) struct Direction {
    up: Vec<u64>,
    defined: Vec<u64>,
}

/// What operands are over the present tile.
#[derive(Debug, Default)]
pub(super) struct Values<'a> {
    pub(super) ladders: Vec<Ladder<'a>>,
    pub(super) numbers: Vec<Number<'a>>,
    pub(super) formulas: Vec<Formula<usize>>,
    pub(super) directions: Vec<Direction>,
}

/// Two operands, and every rule that is read off their order, with the place that its bits go to.
#[derive(Debug)]
pub(super) struct Pair {
    a: Operand,
    b: Operand,
    pub(super) readings: Vec<(Reading, usize)>,
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

/// Room for one tile of a comparison, used by one after the other.
#[derive(Debug)]
pub(super) struct Room {
    above: Vec<u64>,
    below: Vec<u64>,
    /// Of the operands that are formulas.
    sides: [Buffer; 2],
}

impl Room {
    pub(super) fn new(tile_words: usize) -> Self {
        let words = vec![0; tile_words];
        let sides = [0, 1].map(|_| Buffer::new(tile_words * WORD));
        Self { above: words.clone(), below: words, sides }
    }
}

impl Buffer {
    fn new(tile: usize) -> Self {
        const LINE: usize = 64;
        let values = vec![f64::NAN; tile + LINE / size_of::<f64>()];
        // Where it cannot be told, any place will do.
        let first =
            Some(values.as_ptr().align_offset(LINE)).filter(|&at| at + tile <= values.len());
        Self { values, first: first.unwrap_or(0) }
    }

    fn values(&self) -> &[f64] {
        &self.values[self.first..]
    }

    /// The room for `n_bars` values; behind them, nothing is defined.
    fn of(&mut self, n_bars: usize) -> &mut [f64] {
        let (values, behind) = self.values[self.first..].split_at_mut(n_bars);
        let rest = n_bars.next_multiple_of(WORD) - n_bars;
        behind.iter_mut().take(rest).for_each(|value| *value = f64::NAN);
        values
    }
}

impl Lagged {
    /// The values of `bars` in their column, if they lie there in whole words.
    fn whole(&self, bars: &Range<usize>) -> Option<&[f64]> {
        let whole = bars.len().is_multiple_of(WORD) && self.lag <= bars.start;
        whole.then(|| &self.values[bars.start - self.lag..bars.end - self.lag])
    }

    /// Copies the values from the bar `from` on.
    fn copy(&self, from: usize, out: &mut [f64]) {
        let (front, rest) = out.split_at_mut(self.lag.saturating_sub(from).min(out.len()));
        front.fill(f64::NAN);
        let first = from + front.len() - self.lag.min(from + front.len());
        rest.copy_from_slice(&self.values[first..first + rest.len()]);
    }
}

impl<'a> Number<'a> {
    /// With room for tiles of so many bars.
    pub(super) fn new(source: Source<'a>, tile: usize) -> Self {
        // A column needs it where it begins and ends.
        Self { source, room: Buffer::new(tile) }
    }

    /// Makes the values of `bars`, undefined behind the last one of them, unless they are read where they lie.
    fn make(&mut self, bars: &Range<usize>, ladders: &[Ladder<'_>]) {
        let Self { source, room } = self;
        match source {
            Source::Made(made) => made.fill(bars.start, room.of(bars.len()), ladders),
            Source::Column(column) if column.whole(bars).is_none() => {
                column.copy(bars.start, room.of(bars.len()));
            }
            Source::Column(_) => {}
            Source::Stream => _ = room.of(bars.len()),
        }
    }

    /// Where values of the present tile are handed in.
    pub(super) fn room(&mut self) -> &mut [f64] {
        &mut self.room.values[self.room.first..]
    }

    /// The values of `bars`, which are the present tile.
    fn values(&self, bars: &Range<usize>) -> &[f64] {
        let column = match &self.source {
            Source::Column(column) => column.whole(bars),
            _ => None,
        };
        column.unwrap_or(self.room.values())
    }
}

impl Direction {
    /// With room for tiles of so many words.
    pub(super) fn new(tile_words: usize) -> Self {
        Self { up: vec![0; tile_words], defined: vec![0; tile_words] }
    }

    /// Takes a word of the tile: bars at which it is up, and bars at which it is defined.
    pub(super) fn set(&mut self, word: usize, [up, defined]: [u64; 2]) {
        (self.up[word], self.defined[word]) = (up, defined);
    }

    /// The bars of a word at which `is` is true of it.
    fn bars(&self, word: usize, is: impl Fn(f64) -> bool) -> u64 {
        let (up, defined) = (self.up[word], self.defined[word]);
        let all = |one: f64| if is(one) { u64::MAX } else { 0 };
        defined & ((up & all(1.0)) | (!up & all(-1.0)))
    }
}

impl Values<'_> {
    /// Goes to the tile of `bars`; what goes on from bar to bar is handed in afterwards.
    pub(super) fn make(&mut self, bars: &Range<usize>) {
        self.ladders.iter_mut().for_each(|ladder| ladder.stand(bars));
        self.numbers.iter_mut().for_each(|number| number.make(bars, &self.ladders));
    }

    /// Copies an operand over `bars`, which are the present tile.
    pub(super) fn copy(&self, of: Operand, bars: &Range<usize>, out: &mut [f64]) {
        match of {
            Operand::Constant(value) => out.fill(value),
            Operand::Number(number) => {
                out.copy_from_slice(&self.numbers[number].values(bars)[..bars.len()]);
            }
            Operand::Formula(formula) => {
                let leaf = |number: &usize| self.numbers[*number].values(bars);
                self.formulas[formula].fill(0, out, &leaf);
            }
            Operand::Direction(_) => unreachable!("a direction is compared with a constant"),
        }
    }

    /// An operand over `bars`, for which there is room.
    fn lane<'v>(
        &'v self,
        of: Operand,
        bars: &Range<usize>,
        constant: &'v mut Word,
        room: &'v mut Buffer,
    ) -> Lane<'v> {
        let values = match of {
            Operand::Constant(value) => {
                *constant = [value; WORD];
                return Lane::constant(constant);
            }
            Operand::Number(number) => self.numbers[number].values(bars),
            Operand::Formula(_) | Operand::Direction(_) => {
                self.copy(of, bars, room.of(bars.len()));
                room.values()
            }
        };
        Lane::column(values.as_chunks::<WORD>().0)
    }
}

impl Pair {
    pub(super) fn new(a: Operand, b: Operand) -> Self {
        Self { a, b, readings: Vec::new(), was: Was::default() }
    }

    /// Reads the tile of `bars` off, which follows the one read before and begins with a word. The bits of the place
    /// p go to `words[p × stride ..]`.
    pub(super) fn tile(
        &mut self,
        bars: &Range<usize>,
        values: &Values<'_>,
        room: &mut Room,
        words: &mut [u64],
        stride: usize,
    ) {
        let n_words = bars.len().div_ceil(WORD);
        let Room { above, below, sides: [side_a, side_b] } = room;
        let (above, below) = (&mut above[..n_words], &mut below[..n_words]);
        if let (Operand::Direction(direction), Operand::Constant(constant)) = (self.a, self.b) {
            let direction = &values.directions[direction];
            for at in 0..n_words {
                above[at] = direction.bars(at, |one| one > constant);
                below[at] = direction.bars(at, |one| one < constant);
            }
            let equal = |at: usize| direction.bars(at, |one| one == constant);
            return self.read(above, below, equal, words, stride);
        }
        let (mut x, mut y) = ([0.0; WORD], [0.0; WORD]);
        let a = values.lane(self.a, bars, &mut x, side_a);
        let b = values.lane(self.b, bars, &mut y, side_b);
        simd::orders(a, b, above, below);
        self.read(above, below, |at| equal(a.word(at), b.word(at)), words, stride);
    }

    /// Reads off where a is above b, below it, and where, asked a word at a time, they tie.
    fn read(
        &mut self,
        above: &[u64],
        below: &[u64],
        equal: impl Fn(usize) -> u64,
        words: &mut [u64],
        stride: usize,
    ) {
        let n_words = above.len();
        let plain = above.iter().zip(below).all(|(above, below)| above | below == u64::MAX);
        if !plain {
            for at in 0..n_words {
                let mut order = Order { above: above[at], below: below[at], equal: 0 };
                if order.above | order.below != u64::MAX {
                    order.equal = equal(at);
                }
                let was = self.was;
                self.was = order.after(was);
                for (reading, place) in &self.readings {
                    words[place * stride + at] = order.read(*reading, was);
                }
            }
            return;
        }
        for (reading, place) in &self.readings {
            let out = &mut words[place * stride..][..n_words];
            reading.read_plain(above, below, self.was, out);
        }
        let above = above[n_words - 1] >> (WORD - 1) == 1;
        self.was = Was { below: !above, above };
    }
}

impl Reading {
    /// Reads words off in which no two values tie and none is undefined.
    fn read_plain(self, above: &[u64], below: &[u64], was: Was, out: &mut [u64]) {
        match self {
            Self::Less | Self::LessEqual => out.copy_from_slice(below),
            Self::Greater | Self::GreaterEqual => out.copy_from_slice(above),
            Self::Equal => out.fill(0),
            Self::NotEqual => out.fill(u64::MAX),
            Self::CrossAbove { negated } => plain_crossings(out, above, below, was.below, negated),
            Self::CrossBelow { negated } => plain_crossings(out, below, above, was.above, negated),
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
