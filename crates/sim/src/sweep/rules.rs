//! The rules of some variants as bits, and the distances of their levels, a tile of bars after the other; every distinct
//! comparison, rule and distance once. No variant's money may enter.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::expr::{Comparison, Series, SeriesKind, Truth, TruthKind};
use crate::indicator::{Family, ROWS, Stream};

use super::bits::{Direction, Lagged, Number, Operand, Pair, Reading, Room, Source, Values, WORD};
use super::columns::Columns;
use super::formula::Formula;
use super::made::{self, Made};

/// The place of a rule that there is not: no bit is ever set.
const NOTHING: usize = 0;

/// Operands and pairs that were met before, by the keys of their series; operands also by whether they are kept as bits.
#[derive(Debug, Default)]
struct Seen<'a> {
    operands: HashMap<(&'a str, bool), Operand>,
    /// Leaves of formulas, by their series and how many bars before they are read.
    leaves: HashMap<(&'a str, usize), usize>,
    pairs: HashMap<(&'a str, &'a str), usize>,
    /// Series that go on from bar to bar, by family, with what each is.
    streamed: Vec<(Family, Vec<(&'a Series, Operand)>)>,
}

/// Bars that all comparisons pass before the next ones.
const PIECE: usize = 1_024;

/// Rules in an order in which each follows what it is made of, and their bits over the present tile.
#[derive(Debug)]
pub(super) struct RuleBits<'a> {
    tile_words: usize,
    /// What is compared, every distinct number once, constants apart.
    values: Values<'a>,
    pairs: Vec<Pair>,
    streams: Vec<Together>,
    /// Rules that are no comparison, with their places.
    joins: Vec<(usize, Join)>,
    places: HashMap<Arc<str>, usize>,
    /// Distances of levels, by the keys of their series.
    distances: Vec<(Arc<str>, Operand)>,
    /// `tile_words` words a place.
    words: Vec<u64>,
    room: Room,
}

/// Operands that go on from bar to bar together.
#[derive(Debug)]
struct Together {
    stream: Stream,
    all: Vec<Operand>,
}

#[derive(Clone, Copy, Debug)]
enum Join {
    Always,
    And(usize, usize),
    Or(usize, usize),
}

impl<'c> RuleBits<'c> {
    /// Rules, and distances of levels, over columns that were prepared.
    pub(super) fn new(
        rules: &[&Truth],
        distances: &[&Series],
        columns: &Columns<'c>,
        tile: usize,
    ) -> Self {
        let tile_words = tile / WORD;
        let mut new = Self {
            tile_words,
            values: Values::default(),
            pairs: Vec::new(),
            streams: Vec::new(),
            joins: Vec::new(),
            places: HashMap::new(),
            distances: Vec::new(),
            words: Vec::new(),
            room: Room::new(tile_words.min(PIECE / WORD)),
        };
        let mut seen = Seen::default();
        for rule in rules {
            new.add(rule, columns, &mut seen);
        }
        for distance in distances {
            if new.distance(distance).is_none() {
                let operand = new.operand(distance, false, columns, &mut seen);
                new.distances.push((Arc::clone(&distance.key), operand));
            }
        }
        for (family, all) in seen.streamed {
            new.streams.push(Together::new(family, all, columns));
        }
        new.words = vec![0; (new.places.len() + 1) * tile_words];
        new
    }

    /// The place of `rule`, which comes behind those of its parts. Comparisons of the same two operands share them.
    fn add<'a>(&mut self, rule: &'a Truth, columns: &Columns<'c>, seen: &mut Seen<'a>) -> usize {
        if let Some(&known) = self.places.get(&rule.key) {
            return known;
        }
        let join = match &rule.kind {
            TruthKind::Constant(Some(true)) => Some(Join::Always),
            TruthKind::Constant(_) => return NOTHING,
            TruthKind::And(a, b) => {
                Some(Join::And(self.add(a, columns, seen), self.add(b, columns, seen)))
            }
            TruthKind::Or(a, b) => {
                Some(Join::Or(self.add(a, columns, seen), self.add(b, columns, seen)))
            }
            TruthKind::Compare(..) | TruthKind::Cross { .. } => None,
        };
        let place = self.places.len() + 1;
        self.places.insert(Arc::clone(&rule.key), place);
        if let Some(join) = join {
            self.joins.push((place, join));
        } else if let Some((a, b, reading)) = ordered(rule) {
            let constant = matches!(b.kind, SeriesKind::Constant(_));
            let operands = [a, b].map(|side| self.operand(side, constant, columns, seen));
            let pair = *seen.pairs.entry((&a.key, &b.key)).or_insert_with(|| {
                let [a, b] = operands;
                self.pairs.push(Pair::new(a, b));
                self.pairs.len() - 1
            });
            self.pairs[pair].readings.push((reading, place));
        }
        place
    }

    /// One side of a comparison, by whether the other one is a constant.
    fn operand<'a>(
        &mut self,
        series: &'a Series,
        constant: bool,
        columns: &Columns<'c>,
        seen: &mut Seen<'a>,
    ) -> Operand {
        if let SeriesKind::Constant(value) = series.kind {
            return Operand::Constant(value);
        }
        let family = Family::of(series);
        let as_bits = constant && family.is_some_and(Family::is_direction);
        if let Some(&known) = seen.operands.get(&(&*series.key, as_bits)) {
            return known;
        }
        let piece = self.piece();
        let operand = match family {
            Some(family) => {
                let operand = if as_bits {
                    self.values.directions.push(Direction::new(piece / WORD));
                    Operand::Direction(self.values.directions.len() - 1)
                } else {
                    self.values.numbers.push(Number::new(Source::Stream, piece));
                    Operand::Number(self.values.numbers.len() - 1)
                };
                match seen.streamed.iter_mut().find(|(known, _)| *known == family) {
                    Some((_, all)) => all.push((series, operand)),
                    None => seen.streamed.push((family, vec![(series, operand)])),
                }
                operand
            }
            None => {
                let leaf = |leaf, lag| self.leaf(leaf, lag, columns, seen);
                match Formula::new(series, &mut { leaf }) {
                    Formula::Leaf(number) => Operand::Number(number),
                    formula => {
                        self.values.formulas.push(formula);
                        Operand::Formula(self.values.formulas.len() - 1)
                    }
                }
            }
        };
        seen.operands.insert((&series.key, as_bits), operand);
        operand
    }

    /// Bars that there is room for at a time.
    fn piece(&self) -> usize {
        PIECE.min(self.tile_words * WORD)
    }

    /// The number of a leaf of a formula.
    fn leaf<'a>(
        &mut self,
        series: &'a Series,
        lag: usize,
        columns: &Columns<'c>,
        seen: &mut Seen<'a>,
    ) -> usize {
        let piece = self.piece();
        let Values { numbers, ladders, .. } = &mut self.values;
        *seen.leaves.entry((&series.key, lag)).or_insert_with(|| {
            let made = Made::new(series, lag, columns, ladders).map(Source::Made);
            let column = || Source::Column(Lagged { values: columns.get(series), lag });
            numbers.push(Number::new(made.unwrap_or_else(column), piece));
            numbers.len() - 1
        })
    }

    /// The place of a rule, or of none, for [`Self::words`].
    pub(super) fn place(&self, rule: Option<&Truth>) -> usize {
        rule.and_then(|rule| self.places.get(&rule.key)).copied().unwrap_or(NOTHING)
    }

    /// The place of a distance among those that [`Self::advance`] fills.
    pub(super) fn distance(&self, series: &Series) -> Option<usize> {
        self.distances.iter().position(|(key, _)| *key == series.key)
    }

    /// Goes on to the tile of `bars`, which begins where the last one ended, and writes the distances over it.
    pub(super) fn advance(&mut self, bars: &Range<usize>, out: &mut Vec<Vec<f64>>) {
        let Self { tile_words, values, pairs, streams, joins, words, room, distances, .. } = self;
        out.resize(distances.len(), vec![f64::NAN; *tile_words * WORD]);
        // Pieces so small that one operand stays in the nearest cache while others pass.
        for from in bars.clone().step_by(PIECE) {
            let piece = from..(from + PIECE).min(bars.end);
            let words = &mut words[(from - bars.start) / WORD..];
            values.make(&piece);
            streams.iter_mut().for_each(|together| together.make(piece.len(), values));
            for pair in &mut *pairs {
                pair.tile(&piece, values, room, words, *tile_words);
            }
            for ((_, distance), out) in distances.iter().zip(&mut *out) {
                values.copy(*distance, &piece, &mut out[from - bars.start..][..piece.len()]);
            }
        }
        let n_words = bars.len().div_ceil(WORD);
        for (place, join) in joins {
            let (parts, out) = words.split_at_mut(*place * *tile_words);
            let part = |place: usize| &parts[place * *tile_words..][..n_words];
            let out = &mut out[..n_words];
            match *join {
                Join::Always => always(out, bars.len()),
                Join::And(a, b) => each(out, part(a), part(b), |a, b| a & b),
                Join::Or(a, b) => each(out, part(a), part(b), |a, b| a | b),
            }
        }
    }

    /// The bits of the present tile, that of `bars`, at a place.
    pub(super) fn words(&self, place: usize, bars: &Range<usize>) -> &[u64] {
        &self.words[place * self.tile_words..][..bars.len().div_ceil(WORD)]
    }
}

impl Together {
    fn new(family: Family, all: Vec<(&Series, Operand)>, columns: &Columns<'_>) -> Self {
        let (series, all): (Vec<&Series>, Vec<Operand>) = all.into_iter().unzip();
        let prices = family.reads().into_iter().map(|price| columns.get(columns.price(price)));
        Self { stream: Stream::new(family, &series, prices.collect()), all }
    }

    /// Hands the next `n_bars` bars out. Rows are as long as words.
    fn make(&mut self, n_bars: usize, values: &mut Values<'_>) {
        for (word, from) in (0..n_bars).step_by(ROWS).enumerate() {
            let to = (from + ROWS).min(n_bars);
            self.stream.advance(to - from);
            for (i, operand) in self.all.iter().enumerate() {
                match *operand {
                    Operand::Direction(of) => {
                        values.directions[of].set(word, self.stream.directions(i));
                    }
                    Operand::Number(of) => {
                        self.stream.hand_out(i, &mut values.numbers[of].room()[from..to]);
                    }
                    Operand::Constant(_) | Operand::Formula(_) => {}
                }
            }
        }
    }
}

/// Sets the bits of `n_bars` bars, and none behind them.
fn always(out: &mut [u64], n_bars: usize) {
    out.fill(u64::MAX);
    let behind = out.len() * WORD - n_bars;
    if let Some(last) = out.last_mut() {
        *last >>= behind;
    }
}

fn each(out: &mut [u64], a: &[u64], b: &[u64], f: impl Fn(u64, u64) -> u64) {
    out.iter_mut().zip(a).zip(b).for_each(|((out, &a), &b)| *out = f(a, b));
}

/// Calls `found` with every column that `rule` reads.
pub(super) fn columns<'a>(
    rule: &'a Truth,
    known: &'a Columns<'_>,
    found: &mut dyn FnMut(&'a Series),
) {
    compared(rule, &mut |number| columns_of(number, known, found));
}

/// Calls `found` with both sides of every comparison in `rule`.
pub(super) fn compared<'a>(rule: &'a Truth, found: &mut dyn FnMut(&'a Series)) {
    if let TruthKind::Compare(_, a, b) | TruthKind::Cross { a, b, .. } = &rule.kind {
        found(a);
        found(b);
    }
    rule.children().for_each(|child| compared(child, found));
}

/// Calls `found` with every column that a number reads: those of a formula that are not made where they are read, and the
/// prices of what goes on from bar to bar.
pub(super) fn columns_of<'a>(
    number: &'a Series,
    known: &'a Columns<'_>,
    found: &mut dyn FnMut(&'a Series),
) {
    if let Some(family) = Family::of(number) {
        return family.reads().into_iter().for_each(|price| found(known.price(price)));
    }
    let mut leaf = |leaf: &'a Series, _| {
        if !made::is_made(leaf, known) {
            found(leaf);
        }
    };
    Formula::new(number, &mut leaf);
}

/// A leaf as its operands in the order of their keys, constants last, and what is read off them.
fn ordered(leaf: &Truth) -> Option<(&Series, &Series, Reading)> {
    let (a, b, reading, mirrored) = match &leaf.kind {
        TruthKind::Compare(op, a, b) => {
            let (reading, mirrored) = readings(*op);
            (a, b, reading, mirrored)
        }
        TruthKind::Cross { a, b, negated } => {
            let negated = *negated;
            (a, b, Reading::CrossAbove { negated }, Reading::CrossBelow { negated })
        }
        _ => return None,
    };
    let place = |side: &Series| (matches!(side.kind, SeriesKind::Constant(_)), side.key.clone());
    Some(if place(a) <= place(b) { (a, b, reading) } else { (b, a, mirrored) })
}

/// What a comparison reads, and what it reads with its sides changed.
fn readings(op: Comparison) -> (Reading, Reading) {
    match op {
        Comparison::Less => (Reading::Less, Reading::Greater),
        Comparison::LessEqual => (Reading::LessEqual, Reading::GreaterEqual),
        Comparison::Greater => (Reading::Greater, Reading::Less),
        Comparison::GreaterEqual => (Reading::GreaterEqual, Reading::LessEqual),
        Comparison::Equal => (Reading::Equal, Reading::Equal),
        Comparison::NotEqual => (Reading::NotEqual, Reading::NotEqual),
    }
}
