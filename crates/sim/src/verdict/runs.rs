//! Bars that are wrong by themselves or by being like the one in front of them.
//! No time and no size of a move is looked at.

use super::{Found, Series};

/// Bars in a row whose price stands still that count: a minute or two without a trade is a quiet market, five bars in
/// a row are a feed that repeats its last price or a market that was closed.
const FLAT_BARS: usize = 5;
/// Runs of bars equal in price and volume, those that stand still left to [`flat`]. Of volumes that were not read, none: on a
/// coarse tick even five small bars of equal prices are chance.
pub(super) fn duplicates(s: &Series<'_>) -> Found {
    let Some(volume) = s.volume else { return Found::default() };
    let volumes = |i: usize| {
        volume.get(i) == volume.get(i - 1) && volume.get(i).is_some_and(|volume| volume > 0)
    };
    let equal = |i: usize| i > 0 && s.same(i, i - 1) && !s.still(i) && volumes(i);
    // The first bar of a run is not equal to the one in front of it.
    runs(s.len(), equal, |found, from, to| {
        found.add(s.place(from - 1, to, count(to - from + 1), ""));
    })
}

/// Stretches in which the price stood still.
pub(super) fn flat(s: &Series<'_>) -> Found {
    let goes_on = |i: usize| i > 0 && s.still(i) && s.still(i - 1) && s.close[i] == s.close[i - 1];
    runs(s.len(), goes_on, |found, from, to| {
        if to - from + 1 >= FLAT_BARS {
            let mut place = s.place(from - 1, to, count(to - from + 1), "");
            place.prices.push(("price", s.close[from]));
            found.add(place);
        }
    })
}

/// Stretches without volume; of volumes that were not read, none.
pub(super) fn without_volume(s: &Series<'_>) -> Found {
    let Some(volume) = s.volume else { return Found::default() };
    let none = |i: usize| volume.get(i).is_none_or(|v| v == 0);
    runs(s.len(), none, |found, from, to| found.add(s.place(from, to, count(to - from), "")))
}

/// Bars that cannot be.
pub(super) fn invalid(s: &Series<'_>) -> Found {
    let negative = |i: usize| s.volume.is_some_and(|v| v.get(i).is_some_and(|v| v < 0));
    let bad = |i: usize| {
        let (open, high, low, close) = (s.open[i], s.high[i], s.low[i], s.close[i]);
        let lowest = low.min(open).min(close);
        lowest <= 0 || low > lowest || high < open.max(close) || negative(i)
    };
    let mut found = Found::default();
    for i in (0..s.len()).filter(|&i| bad(i)) {
        let mut place = s.place(i, i + 1, 0.0, "");
        place.prices = vec![
            ("open", s.open[i]),
            ("high", s.high[i]),
            ("low", s.low[i]),
            ("close", s.close[i]),
        ];
        found.add(place);
    }
    found
}

/// Tells `end` of every longest run `from..to` of bars for which `is` holds.
fn runs(n: usize, is: impl Fn(usize) -> bool, end: impl Fn(&mut Found, usize, usize)) -> Found {
    let mut found = Found::default();
    let mut from = None;
    for i in 0..n {
        match (is(i), from) {
            (true, None) => from = Some(i),
            (false, Some(start)) => {
                end(&mut found, start, i);
                from = None;
            }
            _ => {}
        }
    }
    if let Some(start) = from {
        end(&mut found, start, n);
    }
    found
}

/// A number of bars as a size.
fn count(bars: usize) -> f64 {
    bars as f64
}
