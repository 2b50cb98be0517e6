//! Prices that jump: away and back (outliers), or away for good (splits), measured by the usual move.
//! No time is looked at beyond whether one bar follows another.

use std::ops::Range;

use super::{Found, Place, Series};

/// Fewest moves from which a usual one can be told.
const LEAST_MOVES: usize = 20;
/// A jump of so many usual moves is one that no market makes and takes back: with normal returns 30 medians are 20
/// deviations, and fat tails reach 15. Flash crashes do reach it; they are worth a look too.
const FACTOR: f64 = 30.0;
/// Moves on either side that say how wild the neighbourhood is: a wild day is judged by its own moves.
const NEIGHBOURS: usize = 16;
/// Bars within which a jump has to be taken back to be an outlier.
const RETURN_BARS: usize = 4;
/// Closes on either side whose medians say whether a level stays: more than twice [`RETURN_BARS`], so that an outlier
/// moves no median.
const LEVEL_BARS: usize = 2 * RETURN_BARS + 1;
/// How near a ratio has to come to 10, 100, 1000, … to be taken for another unit, as a fraction.
const POWER_TOLERANCE: f64 = 0.1;

/// How far `b` is from `a` as a fraction of the lesser: 1 for twice and for half. 0 where one is no price.
fn moved(a: i64, b: i64) -> f64 {
    let (low, high) = (a.min(b), a.max(b));
    if low <= 0 { 0.0 } else { high as f64 / low as f64 - 1.0 }
}

/// Whether `high` is surely less than `least` from `low`, told without a division: it is true of nearly every bar. Where
/// rounding might decide, it is not sure.
fn is_near(low: i64, high: i64, least: f64) -> bool {
    low > 0 && (high as f64) < low as f64 * (1.0 + least) * (1.0 - 1e-9)
}

/// The median of the moves from close to close that are not 0.
pub(super) fn usual(s: &Series<'_>) -> Option<f64> {
    let following = (1..s.len()).filter(|&i| s.follows(i));
    let mut moves: Vec<f64> =
        following.map(|i| moved(s.close[i - 1], s.close[i])).filter(|&m| m > 0.0).collect();
    (moves.len() >= LEAST_MOVES).then(|| median(&mut moves))
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The usual move around bar `i`: of all bars, or of its neighbours when they are wilder. The moves to and from the
/// bars `i..end` are left out.
fn scale(s: &Series<'_>, usual: f64, i: usize, end: usize) -> f64 {
    let before = i.saturating_sub(NEIGHBOURS).max(1)..i;
    let after = (end + 1).min(s.len())..(end + 1 + NEIGHBOURS).min(s.len());
    let mut moves: Vec<f64> =
        before.chain(after).map(|j| moved(s.close[j - 1], s.close[j])).collect();
    if moves.len() < NEIGHBOURS { usual } else { median(&mut moves).max(usual) }
}

/// Bars whose close leaves and comes back within a few bars, or whose high or low does within the bar; and the first or
/// last bars when they lie far from the rest.
pub(super) fn outliers(s: &Series<'_>, usual: f64) -> Found {
    let mut found = Found::default();
    let (n, least) = (s.len(), FACTOR * usual);
    let mut i = 0;
    if let Some(first) = (1..=RETURN_BARS).rev().find_map(|end| astray(s, usual, 0..end)) {
        i = first.bars;
        found.add(first);
    }
    while i < n {
        let Some(Jump { end, column, price, back, size }) = jump(s, i, least) else {
            i += 1;
            continue;
        };
        let times = size / scale(s, usual, i, end);
        if times >= FACTOR {
            let mut place = s.place(i, end, times, column);
            place.prices = vec![("before", before(s, i)), (column, price), ("after", back)];
            found.add(place);
        }
        i = end;
    }
    if let Some(last) = (n - RETURN_BARS..n).find_map(|i| astray(s, usual, i..n)) {
        found.add(last);
    }
    found
}

/// The bars of `odd`, the first or the last ones, when all of their closes lie far from the bars next to them. So few do
/// not say whether the price was about to come back, or where it had come from.
fn astray(s: &Series<'_>, usual: f64, odd: Range<usize>) -> Option<Place> {
    let is_first = odd.start == 0;
    // The bar that the move leads to, the closes at its ends, and more bars on the side that is not odd.
    let i = if is_first { odd.end } else { odd.start };
    let (own, other) = if is_first { (i - 1, i) } else { (i, i - 1) };
    let mut more = if is_first { i + 1..i + 1 + RETURN_BARS } else { other - RETURN_BARS..other };
    let size = moved(s.close[own], s.close[other]);
    let times = size / scale(s, usual, odd.start, odd.end);
    // As with splits: after a gap any move is fair, but not another unit.
    if times < FACTOR || !(s.follows(i) || is_power_of_ten(size + 1.0)) {
        return None;
    }
    let is_far = |a: usize, b: usize| moved(s.close[a], s.close[b]) >= size / 2.0;
    if !odd.clone().all(|j| is_far(j, other)) || !more.all(|j| is_far(j, own)) {
        return None;
    }
    let mut place = s.place(odd.start, odd.end, times, if is_first { "first" } else { "last" });
    place.prices = vec![("close", s.close[own]), ("next", s.close[other])];
    Some(place)
}

/// The close in front of bar `i`; of the first bar its own, for want of another.
fn before(s: &Series<'_>, i: usize) -> i64 {
    s.close[i.saturating_sub(1)]
}

/// A price that left and came back.
struct Jump {
    /// The first bar that is back.
    end: usize,
    column: &'static str,
    price: i64,
    back: i64,
    /// As a fraction.
    size: f64,
}

/// What jumps at bar `i` by at least `least`.
fn jump(s: &Series<'_>, i: usize, least: f64) -> Option<Jump> {
    let (before, close) = (before(s, i), s.close[i]);
    let (low, high) = (before.min(close).min(s.low[i]), before.max(close).max(s.high[i]));
    if is_near(low, high, least) {
        return None;
    }
    let size = moved(before, close);
    if size >= least {
        let near = |&j: &usize| moved(before, s.close[j]) < size / 2.0;
        let end = (i + 1..s.len().min(i + 1 + RETURN_BARS)).find(near)?;
        return Some(Jump { end, column: "close", price: close, back: s.close[end], size });
    }
    // Measured from the closes on both sides, so that an opening price that is wrong is seen too.
    let up = moved(before.max(close), s.high[i].max(before).max(close));
    let down = moved(before.min(close), s.low[i].min(before).min(close));
    let (column, price, size) =
        if up >= down { ("high", s.high[i], up) } else { ("low", s.low[i], down) };
    (size >= least).then_some(Jump { end: i + 1, column, price, back: close, size })
}

/// Openings far from the close in front of them, at which a new level of prices begins.
pub(super) fn splits(s: &Series<'_>, usual: f64) -> Found {
    let mut found = Found::default();
    for i in 1..s.len() {
        let (before, open) = (s.close[i - 1], s.open[i]);
        if is_near(before.min(open), before.max(open), FACTOR * usual) {
            continue;
        }
        let size = moved(before, open);
        if size < FACTOR * usual {
            continue;
        }
        let power = is_power_of_ten(size + 1.0);
        // After a gap any move is fair, but not another unit.
        let far = power || (s.follows(i) && size >= FACTOR * scale(s, usual, i, i));
        if !far || !stays(s, i, size) {
            continue;
        }
        let mut place = s.place(i, i + 1, size + 1.0, if power { "power_of_ten" } else { "level" });
        place.prices = vec![("before", s.close[i - 1]), ("open", s.open[i])];
        found.add(place);
    }
    found
}

fn is_power_of_ten(ratio: f64) -> bool {
    let mut power = 10.0;
    while power <= 1e9 {
        if ratio >= power * (1.0 - POWER_TOLERANCE) && ratio <= power / (1.0 - POWER_TOLERANCE) {
            return true;
        }
        power *= 10.0;
    }
    false
}

/// Whether the closes from bar `i` on lie on the side of the jump, by at least half of it.
fn stays(s: &Series<'_>, i: usize, size: f64) -> bool {
    let level = |closes: &[i64]| {
        let mut closes = closes.to_vec();
        let middle = closes.len() / 2;
        *closes.select_nth_unstable(middle).1
    };
    let before = &s.close[i.saturating_sub(LEVEL_BARS)..i];
    let after = &s.close[i..s.len().min(i + LEVEL_BARS)];
    // So near an end nobody can tell.
    if before.len().min(after.len()) <= RETURN_BARS {
        return false;
    }
    let (before, after) = (level(before), level(after));
    let up = s.open[i] > s.close[i - 1];
    (after > before) == up && moved(before, after) >= size / 2.0
}
