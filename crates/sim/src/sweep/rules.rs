//! The rules of a batch of variants as bits, every distinct comparison and every distinct rule once.
//! No variant's money may enter; which bars fire is all that leaves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rayon::prelude::*;

use crate::bars::Bars;
use crate::expr::{Comparison, Function, Series, SeriesKind, Truth, TruthKind};

use super::bits::{self, Operand, Pair, Reading, WORD};
use super::columns::Columns;

/// Words that `and` and `or` take at a time, small enough for the stack.
const BLOCK: usize = 64;

/// Bits of rules by the key of the rule, kept from batch to batch while they are needed.
#[derive(Debug)]
pub(super) struct RuleBits {
    n_bars: usize,
    tile_words: usize,
    known: HashMap<Arc<str>, Vec<u64>>,
    /// Of a rule that there is not.
    nothing: Vec<u64>,
}

impl RuleBits {
    pub(super) fn new(bars: &Bars, tile_words: usize) -> Self {
        let n_bars = bars.len();
        let nothing = vec![0; n_bars.div_ceil(WORD)];
        Self { n_bars, tile_words, known: HashMap::new(), nothing }
    }

    /// Makes the bits of `rules`, and forgets those of others.
    pub(super) fn prepare(&mut self, rules: &[&Truth], columns: &mut Columns<'_>) {
        let mut leaves = Vec::new();
        let mut wanted = HashSet::new();
        for rule in rules {
            collect(rule, &mut wanted, &mut leaves);
        }
        self.known.retain(|key, _| wanted.contains(key));
        leaves.retain(|leaf| !self.known.contains_key(&leaf.key));
        self.compare(&leaves, columns);
        let missing: Vec<&&Truth> =
            rules.iter().filter(|rule| !self.known.contains_key(&rule.key)).collect();
        let joined: Vec<(Arc<str>, Vec<u64>)> =
            missing.into_par_iter().map(|rule| (Arc::clone(&rule.key), self.join(rule))).collect();
        self.known.extend(joined);
    }

    /// The bits of a rule that was prepared; of none, no bit.
    pub(super) fn of(&self, rule: Option<&Truth>) -> &[u64] {
        rule.and_then(|rule| self.known.get(&rule.key)).unwrap_or(&self.nothing)
    }

    /// Evaluates comparisons and crossings, as many at a time as their columns may take memory.
    fn compare(&mut self, leaves: &[&Truth], columns: &mut Columns<'_>) {
        let mut rest = leaves;
        while !rest.is_empty() {
            let (group, behind) = rest.split_at(columns.that_fit(rest));
            rest = behind;
            let series: Vec<&Series> = group.iter().flat_map(|leaf| operands(leaf)).collect();
            columns.prepare(&series);
            let (mut pairs, mut keys) = self.pairs(group, columns);
            let share = pairs.len().div_ceil(rayon::current_num_threads()).max(1);
            let (n_bars, tile_words) = (self.n_bars, self.tile_words);
            pairs.par_chunks_mut(share).for_each(|pairs| bits::evaluate(pairs, n_bars, tile_words));
            for (pair, keys) in pairs.into_iter().zip(&mut keys) {
                let words = pair.readings.into_iter().map(|(_, words)| words);
                self.known.extend(keys.drain(..).zip(words));
            }
        }
    }

    /// Leaves over the same two operands share one comparison; with each pair the keys of its readings.
    fn pairs(
        &self,
        leaves: &[&Truth],
        columns: &mut Columns<'_>,
    ) -> (Vec<Pair>, Vec<Vec<Arc<str>>>) {
        let (mut pairs, mut keys): (Vec<Pair>, Vec<Vec<Arc<str>>>) = (Vec::new(), Vec::new());
        let mut places: HashMap<(&str, &str), usize> = HashMap::new();
        for leaf in leaves {
            let Some((a, b, reading)) = ordered(leaf) else { continue };
            let place = *places.entry((&a.key, &b.key)).or_insert_with(|| {
                pairs.push(Pair::new(operand(a, columns), operand(b, columns)));
                keys.push(Vec::new());
                pairs.len() - 1
            });
            pairs[place].readings.push((reading, vec![0; self.n_bars.div_ceil(WORD)]));
            keys[place].push(Arc::clone(&leaf.key));
        }
        (pairs, keys)
    }

    /// A rule of several leaves, or a constant one.
    fn join(&self, rule: &Truth) -> Vec<u64> {
        let mut words = vec![0; self.n_bars.div_ceil(WORD)];
        for (block, out) in words.chunks_mut(BLOCK).enumerate() {
            self.fill(rule, block * BLOCK, out);
        }
        let used = self.n_bars % WORD;
        if let Some(last) = words.last_mut().filter(|_| used > 0) {
            *last &= u64::MAX >> (WORD - used);
        }
        words
    }

    fn fill(&self, rule: &Truth, from: usize, out: &mut [u64]) {
        if let Some(known) = self.known.get(&rule.key) {
            out.copy_from_slice(&known[from..from + out.len()]);
            return;
        }
        let mut other = [0; BLOCK];
        let other = &mut other[..out.len()];
        match &rule.kind {
            TruthKind::Constant(value) => out.fill(if *value == Some(true) { u64::MAX } else { 0 }),
            TruthKind::And(a, b) => {
                self.fill(a, from, out);
                self.fill(b, from, other);
                out.iter_mut().zip(other).for_each(|(out, other)| *out &= *other);
            }
            TruthKind::Or(a, b) => {
                self.fill(a, from, out);
                self.fill(b, from, other);
                out.iter_mut().zip(other).for_each(|(out, other)| *out |= *other);
            }
            TruthKind::Compare(..) | TruthKind::Cross { .. } => {
                unreachable!("every comparison was evaluated before: `{}`", rule.key)
            }
        }
    }
}

/// The keys of `rule` and of the comparisons in it; those not seen before go to `leaves`.
fn collect<'a>(rule: &'a Truth, seen: &mut HashSet<Arc<str>>, leaves: &mut Vec<&'a Truth>) {
    let new = seen.insert(Arc::clone(&rule.key));
    if new && matches!(rule.kind, TruthKind::Compare(..) | TruthKind::Cross { .. }) {
        leaves.push(rule);
    }
    rule.children().for_each(|child| collect(child, seen, leaves));
}

/// The columns that a leaf compares.
pub(super) fn operands(leaf: &Truth) -> impl Iterator<Item = &Series> {
    let (a, b) = match &leaf.kind {
        TruthKind::Compare(_, a, b) | TruthKind::Cross { a, b, .. } => (Some(a), Some(b)),
        _ => (None, None),
    };
    let column = |series: &&Series| !matches!(series.kind, SeriesKind::Constant(_));
    a.into_iter().chain(b).filter(column).map(|series| unshifted(series).0)
}

/// A leaf as its operands in the order of their keys, and what is read off them.
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
    Some(if a.key <= b.key { (a, b, reading) } else { (b, a, mirrored) })
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

fn operand(series: &Series, columns: &mut Columns<'_>) -> Operand {
    if let SeriesKind::Constant(value) = series.kind {
        return Operand::Constant(value);
    }
    let (inner, lag) = unshifted(series);
    Operand::Column { values: columns.get(inner), lag }
}

/// `shift(x, n)` is x read n bars before: it needs no column of its own.
fn unshifted(series: &Series) -> (&Series, usize) {
    match &series.kind {
        SeriesKind::Call(call) if call.function == Function::Shift => match call.of.as_deref() {
            Some(inner) if !matches!(inner.kind, SeriesKind::Constant(_)) => {
                let (inner, lag) = unshifted(inner);
                (inner, lag + call.lengths[0])
            }
            _ => (series, 0),
        },
        _ => (series, 0),
    }
}
