//! A small pyramid of lows and highs over two columns: which bar first leaves a band, and the extremes of a range.
//! It knows nothing of trades, and keeps the columns as slices of the bars.

use crate::simd;

use super::levels::NEVER;

/// Nodes that one node above covers.
const FAN: usize = 16;
/// Bars up to which looking at each of them is quicker than climbing.
const SHORT: usize = 256;

/// Lows and highs of blocks of 16, 256, 4,096 … bars over two columns of equal length.
#[derive(Debug)]
pub(super) struct Pyramid<'a> {
    low: &'a [i64],
    high: &'a [i64],
    /// Least low and greatest high of each block, finest level first.
    levels: Vec<(Vec<i64>, Vec<i64>)>,
}

impl<'a> Pyramid<'a> {
    pub(super) fn new(low: &'a [i64], high: &'a [i64]) -> Self {
        let mut levels: Vec<(Vec<i64>, Vec<i64>)> = Vec::new();
        loop {
            let (lows, highs) = levels.last().map_or((low, high), |(l, h)| (&l[..], &h[..]));
            if lows.len() <= FAN {
                break;
            }
            let (least, mut greatest) = simd::block_extremes(lows, FAN);
            if !std::ptr::eq(lows, highs) {
                greatest = simd::block_extremes(highs, FAN).1;
            }
            levels.push((least, greatest));
        }
        Self { low, high, levels }
    }

    /// The columns alone: every search walks.
    pub(super) fn flat(low: &'a [i64], high: &'a [i64]) -> Self {
        Self { low, high, levels: Vec::new() }
    }

    fn level(&self, level: usize) -> (&[i64], &[i64]) {
        match level {
            0 => (self.low, self.high),
            _ => (&self.levels[level - 1].0, &self.levels[level - 1].1),
        }
    }

    /// The first bar of `[from, to)` with low ≤ `floor` or high ≥ `ceiling`.
    pub(super) fn first_outside(
        &self,
        from: usize,
        to: usize,
        floor: i64,
        ceiling: i64,
    ) -> Option<usize> {
        if to <= from {
            return None;
        }
        // What is beyond every price need not be looked for; most of what is looked for is not near either.
        let (lows, highs) = self.cover(from, to);
        let above = floor <= -NEVER || lowest(lows) > floor;
        if above && (ceiling == NEVER || highest(highs) < ceiling) {
            return None;
        }
        let (mut level, mut node, mut width) = (0, from, 1);
        // Up: over whole blocks as soon as one begins.
        let mut found = loop {
            if node * width >= to {
                return None;
            }
            let (lows, highs) = self.level(level);
            let top = level == self.levels.len();
            let block = if top { lows.len() } else { (node / FAN + 1) * FAN };
            let end = block.min(lows.len());
            match first(&lows[node..end], &highs[node..end], floor, ceiling) {
                Some(offset) => break node + offset,
                None if end == lows.len() => return None,
                None => (level, node, width) = (level + 1, end / FAN, width * FAN),
            }
        };
        // Down: into the block that holds it.
        while level > 0 {
            level -= 1;
            let (lows, highs) = self.level(level);
            let start = found * FAN;
            let end = (start + FAN).min(lows.len());
            found = start + first(&lows[start..end], &highs[start..end], floor, ceiling)?;
        }
        (found < to).then_some(found)
    }

    /// The least low of `[from, to)`, which is not empty.
    pub(super) fn least(&self, from: usize, to: usize) -> i64 {
        self.fold(from, to, i64::MAX, |level, least, from, to| {
            least.min(lowest(&self.level(level).0[from..to]))
        })
    }

    /// The greatest high of `[from, to)`, which is not empty.
    pub(super) fn greatest(&self, from: usize, to: usize) -> i64 {
        self.fold(from, to, i64::MIN, |level, greatest, from, to| {
            greatest.max(highest(&self.level(level).1[from..to]))
        })
    }

    /// Joins the nodes of `[from, to)`: whole blocks as one node of the level above.
    fn fold(
        &self,
        from: usize,
        to: usize,
        start: i64,
        join: impl Fn(usize, i64, usize, usize) -> i64,
    ) -> i64 {
        let (mut joined, mut level, mut from, mut to) = (start, 0, from, to);
        while from < to {
            let (inner_from, inner_to) = (from.div_ceil(FAN) * FAN, to / FAN * FAN);
            if inner_from >= inner_to || level == self.levels.len() {
                return join(level, joined, from, to);
            }
            joined = join(level, joined, from, inner_from);
            joined = join(level, joined, inner_to, to);
            (level, from, to) = (level + 1, inner_from / FAN, inner_to / FAN);
        }
        joined
    }

    /// End of the block of 16 that holds bar `from`.
    pub(super) fn block_end(&self, from: usize) -> usize {
        (from / FAN + 1) * FAN
    }

    /// Least low and greatest high of `[from, to)`, which lies in one block of 16.
    pub(super) fn block(&self, from: usize, to: usize) -> (i64, i64) {
        if to - from == FAN && !self.levels.is_empty() {
            let (lows, highs) = self.level(1);
            return (lows[from / FAN], highs[from / FAN]);
        }
        (lowest(&self.low[from..to]), highest(&self.high[from..to]))
    }

    /// Whether [`Self::bounds`] of `[from, to)` are its extremes.
    pub(super) fn is_exact(from: usize, to: usize) -> bool {
        to - from <= SHORT
    }

    /// A floor of all lows and a ceiling of all highs of `[from, to)`, from a few blocks that cover it.
    pub(super) fn bounds(&self, from: usize, to: usize) -> (i64, i64) {
        if Self::is_exact(from, to) {
            let lows = simd::extremes(&self.low[from..to]);
            // Closes are their own lows and highs.
            let same = std::ptr::eq(self.low, self.high);
            let highs = if same { lows } else { simd::extremes(&self.high[from..to]) };
            return (lows.0, highs.1);
        }
        let (lows, highs) = self.cover(from, to);
        (lowest(lows), highest(highs))
    }

    /// Lows and highs of a few blocks that cover `[from, to)`, which is not empty.
    fn cover(&self, from: usize, to: usize) -> (&[i64], &[i64]) {
        let (mut level, mut from, mut last) = (0, from, to - 1);
        while last - from > 2 * FAN && level < self.levels.len() {
            (level, from, last) = (level + 1, from / FAN, last / FAN);
        }
        let (lows, highs) = self.level(level);
        (&lows[from..=last], &highs[from..=last])
    }
}

fn first(lows: &[i64], highs: &[i64], floor: i64, ceiling: i64) -> Option<usize> {
    lows.iter().zip(highs).position(|(&low, &high)| low <= floor || high >= ceiling)
}

fn lowest(values: &[i64]) -> i64 {
    simd::extremes(values).0
}

fn highest(values: &[i64]) -> i64 {
    simd::extremes(values).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_walking_finds() {
        let mut x = 12_345_u64;
        let mut next = |n: i64| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            i64::try_from(x >> 33).unwrap() % n
        };
        let index = |i: i64| usize::try_from(i).unwrap();
        for n in [1, 15, 16, 17, 255, 300, 5_000] {
            let low: Vec<i64> = (0..n).map(|_| 500 + next(500)).collect();
            let high: Vec<i64> = low.iter().map(|l| l + next(500)).collect();
            let pyramid = Pyramid::new(&low, &high);
            for _ in 0..500 {
                let from = next(n);
                let to = index(from + 1 + next(n - from));
                let from = index(from);
                let (floor, ceiling) = (500 + next(20), 1_490 - next(40));
                let walked = (from..to).find(|&i| low[i] <= floor || high[i] >= ceiling);
                assert_eq!(pyramid.first_outside(from, to, floor, ceiling), walked);
                let least = *low[from..to].iter().min().unwrap();
                let greatest = *high[from..to].iter().max().unwrap();
                assert_eq!(
                    (pyramid.least(from, to), pyramid.greatest(from, to)),
                    (least, greatest)
                );
                let (floor, ceiling) = pyramid.bounds(from, to);
                assert!(floor <= least && ceiling >= greatest);
            }
        }
    }
}
