//! Indicators that are as quickly made of the prices where they are read as kept in a column: prices as doubles, their means,
//! deviations and short windows. A tile at a time, each distinct one once, so that they never leave the cache. No rule may enter.

use std::ops::Range;
use std::sync::Arc;

use crate::bars::Column;
use crate::exact::{Divisor, ONE_E8};
use crate::expr::{Function, Series, SeriesKind};
use crate::indicator::{DeviationSums, doubles};
use crate::simd::{self, Task};

use super::columns::Columns;

/// Longest window of highs and lows that is made where it is read.
const SHORT: usize = 256;

/// Whether `series` is made where it is read: it needs no column then.
pub(super) fn is_made(series: &Series, columns: &Columns<'_>) -> bool {
    Kind::of(series, columns).is_some()
}

/// What is made of a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Price,
    Mean(usize),
    Deviation(usize),
    /// The greatest, or least, of so many.
    Extreme(usize, bool),
}

impl Kind {
    fn of(series: &Series, columns: &Columns<'_>) -> Option<(Self, Column)> {
        let SeriesKind::Call(call) = &series.kind else {
            let SeriesKind::Column(price) = series.kind else { return None };
            return columns.doubles_fit(price).then_some((Self::Price, price));
        };
        let SeriesKind::Column(price) = call.of.as_deref()?.kind else { return None };
        let n = call.lengths[0];
        let (kind, fits) = match call.function {
            Function::Sma => (Self::Mean(n), columns.sums_fit(price, n)),
            Function::Stddev => (Self::Deviation(n), columns.deviations_fit(price, n)),
            Function::Highest => (Self::Extreme(n, true), n <= SHORT && columns.doubles_fit(price)),
            Function::Lowest => (Self::Extreme(n, false), n <= SHORT && columns.doubles_fit(price)),
            _ => return None,
        };
        fits.then_some((kind, price))
    }
}

/// One of them, read so many bars before.
#[derive(Debug)]
pub(super) struct Made<'a> {
    lag: usize,
    of: Of<'a>,
}

#[derive(Debug)]
enum Of<'a> {
    Price(&'a [i64]),
    /// At each place the sum of all prices in front of it, units of 1e-8; wrapping, as only differences count.
    Mean(Arc<[i64]>, usize),
    Deviation(Arc<DeviationSums>, usize),
    /// By the ladder of this index.
    Extreme(usize, usize),
}

impl<'a> Made<'a> {
    /// `series` read `lag` bars before, if it is made; of a window it asks its ladder.
    pub(super) fn new(
        series: &Series,
        lag: usize,
        columns: &Columns<'a>,
        ladders: &mut Vec<Ladder<'a>>,
    ) -> Option<Self> {
        let (kind, price) = Kind::of(series, columns)?;
        let prices = columns.bars().prices(price)?;
        let of = match kind {
            Kind::Price => Of::Price(prices),
            Kind::Mean(n) => Of::Mean(columns.sums(price), n),
            Kind::Deviation(n) => Of::Deviation(columns.deviation_sums(price)?, n),
            Kind::Extreme(n, greatest) => {
                let alike = |ladder: &Ladder<'_>| {
                    std::ptr::eq(ladder.prices, prices)
                        && (ladder.greatest, ladder.lag) == (greatest, lag)
                };
                let known = ladders.iter().position(alike).unwrap_or_else(|| {
                    ladders.push(Ladder::new(prices, greatest, lag));
                    ladders.len() - 1
                });
                ladders[known].longest = ladders[known].longest.max(n);
                Of::Extreme(known, n)
            }
        };
        Some(Self { lag, of })
    }

    /// Writes the values of the bars from `from` on, over which the ladders stand.
    pub(super) fn fill(&self, from: usize, out: &mut [f64], ladders: &[Ladder<'_>]) {
        let n = match &self.of {
            Of::Price(_) => 1,
            Of::Mean(_, n) | Of::Deviation(_, n) | Of::Extreme(_, n) => *n,
        };
        // What lies in front of the first full window is undefined.
        let undefined = (self.lag + n - 1).saturating_sub(from).min(out.len());
        let (front, out) = out.split_at_mut(undefined);
        front.fill(f64::NAN);
        if out.is_empty() {
            return;
        }
        let first = from + undefined - self.lag + 1 - n;
        match &self.of {
            Of::Price(prices) => doubles(&prices[first..first + out.len()], out),
            Of::Mean(sums, n) => {
                let den = Divisor::new(*n as f64 * ONE_E8 as f64);
                simd::wide(Means { newer: &sums[first + n..], older: &sums[first..], den, out });
            }
            Of::Deviation(sums, n) => sums.deviations(first, *n, out),
            Of::Extreme(ladder, n) => ladders[*ladder].extremes(first, *n, out),
        }
    }
}

/// Means as the column is made: the sum, a double without rounding, over the number.
struct Means<'a> {
    newer: &'a [i64],
    older: &'a [i64],
    den: Divisor,
    out: &'a mut [f64],
}

impl Task for Means<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for ((out, newer), older) in self.out.iter_mut().zip(self.newer).zip(self.older) {
            *out = self.den.quotient(newer.wrapping_sub(*older) as f64);
        }
    }
}

/// Extremes of windows of 1, 2, 4 … prices around a tile: two of them make every other window.
#[derive(Debug)]
pub(super) struct Ladder<'a> {
    prices: &'a [i64],
    greatest: bool,
    lag: usize,
    /// The longest window that is asked for.
    longest: usize,
    /// The first price that it stands over.
    from: usize,
    /// By the bar that the window begins at.
    rungs: Vec<Vec<f64>>,
}

impl<'a> Ladder<'a> {
    fn new(prices: &'a [i64], greatest: bool, lag: usize) -> Self {
        Self { prices, greatest, lag, longest: 1, from: 0, rungs: Vec::new() }
    }

    /// Goes to the tile of `bars`.
    pub(super) fn stand(&mut self, bars: &Range<usize>) {
        self.from = bars.start.saturating_sub(self.lag + self.longest - 1);
        let to = bars.end.saturating_sub(self.lag).max(self.from);
        let n_rungs = self.longest.ilog2() as usize + 1;
        self.rungs.resize(n_rungs, Vec::new());
        self.rungs[0].resize(to - self.from, 0.0);
        doubles(&self.prices[self.from..to], &mut self.rungs[0]);
        for rung in 1..n_rungs {
            let (below, above) = self.rungs.split_at_mut(rung);
            let (windows, width) = (&below[rung - 1], 1 << (rung - 1));
            above[0].resize(windows.len().saturating_sub(width), 0.0);
            join(windows, width, self.greatest, &mut above[0]);
        }
    }

    /// The extreme of each window of `n` prices, the first of which begins at the bar `first`.
    fn extremes(&self, first: usize, n: usize, out: &mut [f64]) {
        let rung = n.ilog2() as usize;
        join(&self.rungs[rung][first - self.from..], n - (1 << rung), self.greatest, out);
    }
}

/// Joins windows with those `step` bars further on.
fn join(windows: &[f64], step: usize, greatest: bool, out: &mut [f64]) {
    let (a, b) = (windows, windows.get(step..).unwrap_or_default());
    match greatest {
        true => simd::wide(Joined { a, b, out, join: |a, b| if a > b { a } else { b } }),
        false => simd::wide(Joined { a, b, out, join: |a, b| if a < b { a } else { b } }),
    }
}

/// Windows joined two by two.
struct Joined<'a, F> {
    a: &'a [f64],
    b: &'a [f64],
    out: &'a mut [f64],
    join: F,
}

impl<F: Fn(f64, f64) -> f64> Task for Joined<'_, F> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for ((out, &a), &b) in self.out.iter_mut().zip(self.a).zip(self.b) {
            *out = (self.join)(a, b);
        }
    }
}
