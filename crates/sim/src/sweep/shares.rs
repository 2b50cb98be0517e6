//! Which variants go to which thread: those that compare the same numbers go together, because every thread makes the numbers
//! of its variants by itself. No column, bit or trade is looked at.

use std::collections::{HashMap, HashSet};

use crate::expr::Truth;

use super::rules;

/// One share of `all` a thread, of the orders that come to mind the one by which the fewest numbers are made more than once:
/// as the variants stand, or by one of the numbers that their `rules` compare.
pub(super) fn shares<'a, T: Copy, R: Iterator<Item = &'a Truth>>(
    all: &[T],
    n: usize,
    rules: impl Fn(T) -> R,
) -> Vec<Vec<T>> {
    if n == 1 {
        return vec![all.to_vec()];
    }
    let compared = compared(all.iter().map(|&of| rules(of)));
    let n_places = compared.iter().map(Vec::len).max().unwrap_or(0);
    let mut order: Vec<usize> = (0..all.len()).collect();
    let mut best = cut(&order, n);
    let mut fewest = made(&best, &compared);
    for place in 0..n_places {
        // Numbers count up along the grid, and so do costs.
        order.sort_by_key(|&of| (compared[of].get(place), of));
        let shares = cut(&order, n);
        let n_made = made(&shares, &compared);
        if n_made < fewest {
            (best, fewest) = (shares, n_made);
        }
    }
    best.iter().map(|share| share.iter().map(|&of| all[of]).collect()).collect()
}

/// The numbers that each variant's rules compare, by the place where they stand there, counted as they first occur.
fn compared<'a, R: Iterator<Item = &'a Truth>>(all: impl Iterator<Item = R>) -> Vec<Vec<usize>> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    let numbers = |rules: R| {
        let mut numbers = Vec::new();
        rules.for_each(|rule| {
            rules::compared(rule, &mut |number| {
                let next = known.len();
                numbers.push(*known.entry(&number.key).or_insert(next));
            });
        });
        numbers
    };
    all.map(numbers).collect()
}

/// One share a thread. Neighbours have the most in common and stay together, but cost rises or falls along a grid, so
/// a share is one piece from the front and one from the back.
fn cut(order: &[usize], n: usize) -> Vec<Vec<usize>> {
    let pieces: Vec<&[usize]> = order.chunks(order.len().div_ceil(2 * n).max(1)).collect();
    let share = |i: usize| {
        let back = (2 * n - 1).checked_sub(i).filter(|&back| back != i);
        let pieces = [Some(i), back].into_iter().flatten().filter_map(|at| pieces.get(at));
        pieces.flat_map(|piece| piece.iter().copied()).collect()
    };
    (0..n).map(share).filter(|share: &Vec<usize>| !share.is_empty()).collect()
}

/// How many numbers the shares make between them.
fn made(shares: &[Vec<usize>], compared: &[Vec<usize>]) -> usize {
    let of = |share: &Vec<usize>| {
        share.iter().flat_map(|&of| &compared[of]).collect::<HashSet<_>>().len()
    };
    shares.iter().map(of).sum()
}
