//! Lows and highs of blocks of bars, and of all runs of 1, 2, 4 … of them within one stretch: bounds of any range by two
//! looks, and the bar that first leaves a band. It knows nothing of trades, and keeps the columns as slices of the bars.

use crate::simd::{self, Task};

/// Bars of a block.
const BLOCK: usize = 8;
/// Bars of the stretch that is searched at a time.
pub(super) const STRETCH: usize = 4_096;
/// Blocks of a stretch.
const BLOCKS: usize = STRETCH / BLOCK;
/// Runs of 1, 2, 4 … blocks, up to all of a stretch.
const LEVELS: usize = BLOCKS.ilog2() as usize + 1;

/// Two columns of equal length, of which bounds are asked.
#[derive(Debug)]
pub(super) struct Pyramid<'a> {
    low: &'a [i64],
    high: &'a [i64],
    /// Whether anybody will ask.
    read: bool,
}

impl<'a> Pyramid<'a> {
    pub(super) fn new(low: &'a [i64], high: &'a [i64]) -> Self {
        Self { low, high, read: true }
    }

    /// Columns of which no bounds will be asked.
    pub(super) fn unread(low: &'a [i64], high: &'a [i64]) -> Self {
        Self { low, high, read: false }
    }
}

/// One stretch of a [`Pyramid`], which a core keeps near.
#[derive(Debug)]
pub(super) struct Spans<'a> {
    of: &'a Pyramid<'a>,
    /// Its first bar.
    from: usize,
    /// Place b of level k: least low, and greatest high with its sign changed, of 2^k blocks from block b on. What lies
    /// behind the stretch changes nothing.
    levels: Box<[Row; LEVELS]>,
}

/// The extremes of each block, both as least values: one loop joins them.
type Row = [[i64; 2]; BLOCKS];

const NOTHING: [i64; 2] = [i64::MAX; 2];

impl<'a> Spans<'a> {
    /// Spans that have not read a stretch yet.
    pub(super) fn new(of: &'a Pyramid<'a>) -> Self {
        Self { of, from: 0, levels: Box::new([[NOTHING; BLOCKS]; LEVELS]) }
    }

    /// Goes to the stretch that begins at bar `from`, where a block begins.
    pub(super) fn read(&mut self, from: usize) {
        self.from = from;
        if !self.of.read {
            return;
        }
        let to = (from + STRETCH).min(self.of.low.len());
        let (low, high) = (&self.of.low[from..to], &self.of.high[from..to]);
        simd::wide(Blocks { low, high, out: &mut self.levels[0] });
        for level in 1..LEVELS {
            let (below, above) = self.levels.split_at_mut(level);
            simd::wide(Pairs {
                runs: &below[level - 1],
                width: 1 << (level - 1),
                out: &mut above[0],
            });
        }
    }

    /// A floor of all lows and a ceiling of all highs of `[from, to)`, which is not empty: the extremes of the blocks that it
    /// touches.
    #[inline(always)]
    pub(super) fn bounds(&self, from: usize, to: usize) -> (i64, i64) {
        let (first, last) = self.blocks(from, to);
        // Two runs that overlap cover every length.
        let behind = last.wrapping_add(1);
        let level = ((behind.wrapping_sub(first) | 1).ilog2() as usize).min(LEVELS - 1);
        let row = &self.levels[level];
        let (a, b) = (row[first % BLOCKS], row[behind.wrapping_sub(1 << level) % BLOCKS]);
        (a[0].min(b[0]), a[1].min(b[1]).wrapping_neg())
    }

    /// The extremes of `[from, to)`.
    pub(super) fn extremes(&self, from: usize, to: usize) -> (i64, i64) {
        let lows = simd::extremes(&self.of.low[from..to]);
        // Closes are their own lows and highs.
        let same = std::ptr::eq(self.of.low, self.of.high);
        let highs = if same { lows } else { simd::extremes(&self.of.high[from..to]) };
        (lows.0, highs.1)
    }

    /// The first bar of `[from, to)` with low ≤ `floor` or high ≥ `ceiling`.
    pub(super) fn first_outside(
        &self,
        from: usize,
        to: usize,
        floor: i64,
        ceiling: i64,
    ) -> Option<usize> {
        /// Bars that are passed over together where none of them is outside: most ranges are shorter.
        const RUN: usize = 256;
        let mut from = from;
        while from < to {
            let end = (from / RUN + 1).saturating_mul(RUN).min(to);
            let (low, high) = self.bounds(from, end);
            if low <= floor || high >= ceiling {
                let (lows, highs) = (&self.of.low[from..end], &self.of.high[from..end]);
                if let Some(found) = simd::first_outside(lows, highs, floor, ceiling) {
                    return Some(from + found);
                }
            }
            from = end;
        }
        None
    }

    /// End of the block that holds bar `from`.
    pub(super) fn block_end(&self, from: usize) -> usize {
        (from / BLOCK + 1) * BLOCK
    }

    /// Least low and greatest high of `[from, to)`, which lies in one block.
    pub(super) fn block(&self, from: usize, to: usize) -> (i64, i64) {
        if to - from == BLOCK {
            let [low, high] = self.levels[0][(from - self.from) / BLOCK];
            return (low, high.wrapping_neg());
        }
        self.extremes(from, to)
    }

    /// The first and the last block that `[from, to)` touches.
    #[inline(always)]
    fn blocks(&self, from: usize, to: usize) -> (usize, usize) {
        let block = |bar: usize| bar.wrapping_sub(self.from) / BLOCK;
        (block(from), block(to.wrapping_sub(1)))
    }
}

/// The extremes of every block of a stretch.
struct Blocks<'a> {
    low: &'a [i64],
    high: &'a [i64],
    out: &'a mut Row,
}

impl Task for Blocks<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let (low, low_rest) = self.low.as_chunks::<BARS>();
        let (high, high_rest) = self.high.as_chunks::<BARS>();
        let (sides, behind) = self.out.split_at_mut(low.len() * SIDE);
        for ((out, low), high) in sides.as_chunks_mut::<SIDE>().0.iter_mut().zip(low).zip(high) {
            let (least, greatest) = (of_blocks(low, i64::min), of_blocks(high, i64::max));
            for ((out, least), greatest) in out.iter_mut().zip(least).zip(greatest) {
                *out = [least, greatest.wrapping_neg()];
            }
        }
        behind.fill(NOTHING);
        for ((out, low), high) in
            behind.iter_mut().zip(low_rest.chunks(BLOCK)).zip(high_rest.chunks(BLOCK))
        {
            *out = [simd::extremes(low).0, simd::extremes(high).1.wrapping_neg()];
        }
    }
}

/// Blocks that are made together, and their bars.
const SIDE: usize = 64;
const BARS: usize = SIDE * BLOCK;

/// The prices of each block joined, neighbours two by two: to read one price of every block would be to gather it.
#[inline(always)]
fn of_blocks(prices: &[i64; BARS], join: impl Fn(i64, i64) -> i64 + Copy) -> [i64; SIDE] {
    let pairs: [i64; BARS / 2] = halves(prices, join);
    let fours: [i64; BARS / 4] = halves(&pairs, join);
    halves(&fours, join)
}

/// Each two joined.
#[inline(always)]
fn halves<const N: usize>(of: &[i64], join: impl Fn(i64, i64) -> i64) -> [i64; N] {
    let mut out = [0; N];
    for (out, [a, b]) in out.iter_mut().zip(of.as_chunks().0) {
        *out = join(*a, *b);
    }
    out
}

/// Every run joined with the one `width` blocks further on.
struct Pairs<'a> {
    runs: &'a Row,
    width: usize,
    out: &'a mut Row,
}

impl Task for Pairs<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let split = BLOCKS - self.width;
        let (joined, rest) = self.out.as_flattened_mut().split_at_mut(2 * split);
        let runs = self.runs.as_flattened();
        for ((out, a), b) in joined.iter_mut().zip(runs).zip(&runs[2 * self.width..]) {
            *out = (*a).min(*b);
        }
        // Behind the end there is nothing to join.
        rest.copy_from_slice(&runs[2 * split..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_walking_finds() {
        let mut x = 12_345_u64;
        let mut next = |n: usize| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (x >> 33) as usize % n
        };
        let price = |i: usize| i64::try_from(i).unwrap();
        for n in [1, 7, 8, 9, 255, 300, 4_095, 4_096, 10_000] {
            let low: Vec<i64> = (0..n).map(|_| price(500 + next(500))).collect();
            let high: Vec<i64> = low.iter().map(|l| l + price(next(500))).collect();
            let pyramid = Pyramid::new(&low, &high);
            let mut spans = Spans::new(&pyramid);
            for start in (0..n).step_by(STRETCH) {
                spans.read(start);
                let end = (start + STRETCH).min(n);
                for _ in 0..500 {
                    let from = start + next(end - start);
                    let to = from + 1 + next(end - from);
                    let (floor, ceiling) = (price(500 + next(20)), price(1_490 - next(40)));
                    let walked = (from..to).find(|&i| low[i] <= floor || high[i] >= ceiling);
                    assert_eq!(spans.first_outside(from, to, floor, ceiling), walked);
                    let least = *low[from..to].iter().min().unwrap();
                    let greatest = *high[from..to].iter().max().unwrap();
                    assert_eq!(spans.extremes(from, to), (least, greatest));
                    let (floor, ceiling) = spans.bounds(from, to);
                    assert!(floor <= least && ceiling >= greatest);
                    let blocks = from / BLOCK * BLOCK..to.next_multiple_of(BLOCK).min(n);
                    assert_eq!(floor, *low[blocks.clone()].iter().min().unwrap());
                    assert_eq!(ceiling, *high[blocks].iter().max().unwrap());
                }
            }
        }
    }
}
