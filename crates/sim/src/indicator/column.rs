//! Columns of the bars as doubles, and the sums of a column that are exact before they are rounded once.
//! No running sum of doubles may enter: ties of two averages must be seen as ties.

use std::sync::Arc;

use crate::bars::{Bars, Column};
use crate::exact::{self, Divisor, EXACT_DOUBLE};
use crate::expr::Function;
use crate::simd::{self, Task};

use super::volatility;
use super::window::runs;

/// `units` of 1e-8 as the double nearest to the decimal; the same as [`exact::to_f64`], sooner for small ones.
pub(super) fn double(units: i128) -> f64 {
    match i64::try_from(units) {
        Ok(units) if units.abs() < EXACT_DOUBLE => units as f64 / exact::ONE_E8 as f64,
        _ => exact::to_f64(units),
    }
}

/// A column as doubles; NaN where it has no value.
pub(super) fn values(bars: &Bars, column: Column) -> Arc<[f64]> {
    if let Some(prices) = bars.prices(column) {
        let mut values = super::filled(0.0, prices.len());
        let out = Arc::make_mut(&mut values);
        if bars.highest() < EXACT_DOUBLE {
            doubles(prices, out);
        } else {
            out.iter_mut().zip(prices).for_each(|(out, &units)| *out = double(units.into()));
        }
        return values;
    }
    match bars.extra(column) {
        Some(units) => units.iter().map(|units| units.map_or(f64::NAN, double)).collect(),
        None => super::filled(f64::NAN, bars.len()),
    }
}

/// Prices as doubles; in units of 1e-8 all of them are below 2^53.
pub(crate) fn doubles(prices: &[i64], out: &mut [f64]) {
    simd::wide(Doubles { prices, out });
}

/// Prices, which are above 0, that are doubles themselves in units of 1e-8, so that one division is all that rounds.
struct Doubles<'a> {
    prices: &'a [i64],
    out: &'a mut [f64],
}

impl Task for Doubles<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let one = Divisor::new(exact::ONE_E8 as f64);
        for (out, &units) in self.out.iter_mut().zip(self.prices) {
            *out = one.quotient(units as f64);
        }
    }
}

/// What is computed exactly of a column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Exact {
    Sum,
    Mean,
    Weighted,
    Stddev,
}

impl Exact {
    /// The exact form of `function`, if it has one.
    pub(super) fn of(function: Function) -> Option<Self> {
        Some(match function {
            Function::Sum => Self::Sum,
            Function::Sma => Self::Mean,
            Function::Wma => Self::Weighted,
            Function::Stddev => Self::Stddev,
            _ => return None,
        })
    }
}

/// `op` over windows of `n` bars of `column`, run by run of its defined values.
pub(super) fn exact(bars: &Bars, column: Column, op: Exact, n: usize, out: &mut [f64]) {
    if let Some(prices) = bars.prices(column) {
        if let Exact::Stddev = op {
            let steps = Steps::of(prices);
            if steps.fit(n) {
                return steps.stddev(prices, n, out);
            }
        }
        return over(prices, op, n, out);
    }
    let Some(units) = bars.extra(column) else { return };
    for run in runs(units.len(), |i| units.get(i).is_some()) {
        // One type for a run: as i64 where all of it fits, which the exact sums do not depend on.
        let wide: Vec<i128> = units.range(run.clone()).flatten().collect();
        let narrow: Result<Vec<i64>, _> = wide.iter().map(|&units| i64::try_from(units)).collect();
        match narrow {
            Ok(narrow) => over(&narrow, op, n, &mut out[run]),
            Err(_) => over(&wide, op, n, &mut out[run]),
        }
    }
}

fn over<T: Copy + Into<i128>>(x: &[T], op: Exact, n: usize, out: &mut [f64]) {
    match op {
        Exact::Sum => means(x, n, 1, out),
        Exact::Mean => means(x, n, n, out),
        Exact::Weighted => weighted(x, n, out),
        Exact::Stddev => stddev(x, n, out),
    }
}

/// Σ of the last `n` values / `parts`, exact until the division rounds.
fn means<T: Copy + Into<i128>>(x: &[T], n: usize, parts: usize, out: &mut [f64]) {
    let den = parts as i128 * i128::from(exact::ONE_E8);
    let greatest = x.iter().map(|&units| units.into()).max().unwrap_or(0);
    if greatest.saturating_mul(n as i128) < i128::from(EXACT_DOUBLE)
        && den < i128::from(EXACT_DOUBLE)
    {
        return small_means(x, n, den as f64, out);
    }
    let mut sum: i128 = 0;
    for i in 0..x.len() {
        sum += x[i].into();
        if i + 1 >= n {
            out[i] = exact::ratio(sum, den);
            sum -= x[i + 1 - n].into();
        }
    }
}

/// The same where every sum is below 2^53, and so a double itself: integers add in one step, and the division takes
/// a block at a time.
#[expect(clippy::cast_possible_truncation, reason = "each value is below 2^53")]
fn small_means<T: Copy + Into<i128>>(x: &[T], n: usize, den: f64, out: &mut [f64]) {
    const BLOCK: usize = 256;
    let whole = |units: T| -> i64 {
        let units: i128 = units.into();
        units as i64
    };
    let first = (n - 1).min(x.len());
    let mut sum: i64 = x[..first].iter().map(|&units| whole(units)).sum();
    let blocks = out[first..].chunks_mut(BLOCK).zip(x[first..].chunks(BLOCK)).zip(x.chunks(BLOCK));
    for ((out, new), old) in blocks {
        for ((out, &new), &old) in out.iter_mut().zip(new).zip(old) {
            // Sums of what is below 2^53 in all.
            sum = sum.wrapping_add(whole(new));
            *out = sum as f64;
            sum = sum.wrapping_sub(whole(old));
        }
        out.iter_mut().for_each(|out| *out /= den);
    }
}

/// Σ of value × place (1 the oldest, `n` the newest) / (n(n + 1)/2), exact until the division rounds.
fn weighted<T: Copy + Into<i128>>(x: &[T], n: usize, out: &mut [f64]) {
    let den = (n * (n + 1) / 2) as i128 * i128::from(exact::ONE_E8);
    let (mut sum, mut weighted) = (0_i128, 0_i128);
    for i in 0..x.len() {
        let new: i128 = x[i].into();
        if i < n {
            sum += new;
            weighted += new * (i as i128 + 1);
        } else {
            // Every place moves down by one, which takes each value away once, the oldest for good.
            weighted += new * n as i128 - sum;
            let old: i128 = x[i - n].into();
            sum += new - old;
        }
        if i + 1 >= n {
            out[i] = exact::ratio(weighted, den);
        }
    }
}

/// Population standard deviation: √(n Σd² − (Σd)²) / n, with d the distance from the run's first value, so that
/// the integers stay small. A window with a distance too great for 128 bits is computed in doubles, two passes.
fn stddev<T: Copy + Into<i128>>(x: &[T], n: usize, out: &mut [f64]) {
    let Some(&base) = x.first() else { return };
    let base: i128 = base.into();
    // Below it n Σd² and (Σd)² are under (n × limit)² = 2^126.
    let limit = (1_i128 << 63) / n as i128;
    let distance = |i: usize| -> i128 { x[i].into() - base };
    let scale = n as f64 * exact::ONE_E8 as f64;
    let (mut sum, mut squares) = (0_i128, 0_i128);
    let mut last_great = None;
    for i in 0..x.len() {
        let new = distance(i);
        if new.abs() < limit {
            sum += new;
            squares = squares.wrapping_add(square(new));
        } else {
            last_great = Some(i);
        }
        if i + 1 < n {
            continue;
        }
        let first = i + 1 - n;
        out[i] = if last_great.is_some_and(|great| great >= first) {
            in_doubles(&x[first..=i])
        } else {
            // Below 2^126, as is said above.
            let spread = squares.wrapping_mul(n as i128).wrapping_sub(square(sum));
            (spread as f64).sqrt() / scale
        };
        let old = distance(first);
        if old.abs() < limit {
            sum -= old;
            squares = squares.wrapping_sub(square(old));
        }
    }
}

/// Distances of prices from one of them, counted in steps that all of them are multiples of, so few that the spread of every
/// window is a double itself: no rounding comes in but those of the long way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    base: i64,
    /// Units of 1e-8 of one.
    step: i64,
    /// From the least price to the greatest.
    range: i64,
}

impl Steps {
    /// Those of `prices`, which are not empty.
    pub(crate) fn of(prices: &[i64]) -> Self {
        let base = prices.first().copied().unwrap_or_default();
        // Between prices, which are above 0, every distance fits.
        let whole = |of: i64| prices.iter().all(|price| price.wrapping_sub(base) % of == 0);
        // Divided by constants, which takes no division.
        let step = match () {
            () if whole(1_000_000) => 1_000_000,
            () if whole(1_000) => 1_000,
            () => 1,
        };
        let (least, greatest) = simd::extremes(prices);
        Self { base, step, range: greatest.wrapping_sub(least) / step }
    }

    /// Whether they are few enough for windows of `n` bars.
    pub(crate) fn fit(self, n: usize) -> bool {
        // n Σd² − (Σd)² is at most (n × range / 2)².
        let spread = i64::try_from(n).ok().and_then(|n| self.range.checked_mul(n));
        spread.is_some_and(|spread| spread < 1 << 27)
    }

    /// The deviations of all full windows of `n` bars, a block at a time.
    fn stddev(self, prices: &[i64], n: usize, out: &mut [f64]) {
        const BLOCK: usize = 1_024;
        let Some(out) = out.get_mut(n - 1..) else { return };
        for (nth, out) in out.chunks_mut(BLOCK).enumerate() {
            let prices = &prices[nth * BLOCK..nth * BLOCK + out.len() + n - 1];
            DeviationSums::new(self, prices).deviations(0, n, out);
        }
    }

    fn count(self, price: i64) -> i64 {
        let distance = price.wrapping_sub(self.base);
        match self.step {
            1_000_000 => distance / 1_000_000,
            1_000 => distance / 1_000,
            _ => distance,
        }
    }
}

/// What makes deviations of windows of any length: in front of each bar the sum of all distances in steps, and of their
/// squares; wrapping, as only differences count.
#[derive(Debug)]
pub(crate) struct DeviationSums {
    steps: Steps,
    sums: Vec<i64>,
    squares: Vec<i64>,
}

impl DeviationSums {
    pub(crate) fn new(steps: Steps, prices: &[i64]) -> Self {
        let (mut sum, mut square) = (0_i64, 0_i64);
        let mut sums = Vec::with_capacity(prices.len() + 1);
        let mut squares = Vec::with_capacity(prices.len() + 1);
        sums.push(sum);
        squares.push(square);
        for price in prices {
            let distance = steps.count(*price);
            sum = sum.wrapping_add(distance);
            square = square.wrapping_add(distance.wrapping_mul(distance));
            sums.push(sum);
            squares.push(square);
        }
        Self { steps, sums, squares }
    }

    /// Population standard deviations of windows of `n` bars, which the steps fit; the first begins at the bar `first`.
    pub(crate) fn deviations(&self, first: usize, n: usize, out: &mut [f64]) {
        let (sums, squares) = (&self.sums[first..], &self.squares[first..]);
        simd::wide(Spreads { step: self.steps.step, sums, squares, n, out });
    }
}

/// The deviation of every full window of `n` bars.
struct Spreads<'a> {
    step: i64,
    sums: &'a [i64],
    squares: &'a [i64],
    n: usize,
    out: &'a mut [f64],
}

impl Task for Spreads<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Self { step, sums, squares, n, out } = self;
        let scale = Divisor::new(n as f64 * exact::ONE_E8 as f64);
        let (unit, count) = ((step * step) as f64, n.cast_signed() as i64);
        let ends = sums[n..].iter().zip(&squares[n..]);
        for ((out, old), new) in out.iter_mut().zip(sums.iter().zip(squares)).zip(ends) {
            let (sum, squares) = (new.0.wrapping_sub(*old.0), new.1.wrapping_sub(*old.1));
            let spread = squares.wrapping_mul(count).wrapping_sub(sum.wrapping_mul(sum));
            // Below 2^52 and below 2^40: their product is rounded once.
            *out = scale.quotient((spread as f64 * unit).sqrt());
        }
    }
}

/// The square of what 64 bits hold, by one multiplication.
#[expect(clippy::cast_possible_truncation, reason = "it is below 2^63")]
fn square(distance: i128) -> i128 {
    let short = distance as i64;
    i128::from(short).wrapping_mul(i128::from(short))
}

fn in_doubles<T: Copy + Into<i128>>(window: &[T]) -> f64 {
    let values: Vec<f64> = window.iter().map(|&units| double(units.into())).collect();
    volatility::deviation(&values, super::average::mean(&values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_in_steps_are_those_of_the_long_way() {
        let mut state = 3_u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            i64::try_from((state >> 33) % n).unwrap()
        };
        for (step, most) in [(1_000_000, 900), (1_000, 1 << 20), (1, 1 << 22), (7_000, 30)] {
            let x: Vec<i64> = (0..300).map(|_| 5_000_000_000 + step * next(most)).collect();
            for n in [1, 2, 20] {
                let (mut short, mut long) = (vec![0.0; 300], vec![0.0; 300]);
                assert!(Steps::of(&x).fit(n), "few steps");
                Steps::of(&x).stddev(&x, n, &mut short);
                over(&x, Exact::Stddev, n, &mut long);
                assert_eq!(short, long, "{step} {n}");
            }
            let far: Vec<i64> = x.iter().copied().chain([1 << 61]).collect();
            assert!(!Steps::of(&far).fit(2));
        }
    }
}
