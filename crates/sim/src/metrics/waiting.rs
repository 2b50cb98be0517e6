//! Closed trades that wait until several are counted side by side: the counts of one after the other, digit for digit.
//! Knows no money beyond a trade's own.

use crate::exact;
use crate::simd::{self, Task};

use super::{Closed, Tally};

/// Closed trades that are counted at once.
const SIDE: usize = 8;
/// Times as many may wait.
const SIDES: usize = 8;

/// Closed trades, money in units of 1e-8, in order of their exits; from where a line of the cache begins.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Waiting {
    n: usize,
    pnl: [[i64; SIDE]; SIDES],
    quantity: [[i64; SIDE]; SIDES],
    entry_price: [[i64; SIDE]; SIDES],
    held_us: [[i64; SIDE]; SIDES],
}

impl Waiting {
    pub(crate) fn new() -> Self {
        let none = [[0; SIDE]; SIDES];
        Self { n: 0, pnl: none, quantity: none, entry_price: none, held_us: none }
    }

    /// One more; whether there is room for another.
    #[inline(always)]
    pub(crate) fn push(&mut self, pnl: i64, quantity: i64, entry_price: i64, held_us: i64) -> bool {
        let i = self.n % (SIDE * SIDES);
        self.pnl.as_flattened_mut()[i] = pnl;
        self.quantity.as_flattened_mut()[i] = quantity;
        self.entry_price.as_flattened_mut()[i] = entry_price;
        self.held_us.as_flattened_mut()[i] = held_us;
        self.n = i + 1;
        self.n < SIDE * SIDES
    }

    /// Fills the last side up with trades that change nothing, and begins anew; how many trades and sides there are.
    #[inline(always)]
    fn take(&mut self) -> (usize, usize) {
        let n = self.n;
        let sides = n.div_ceil(SIDE);
        while self.n < sides * SIDE {
            self.push(0, 1, 1, 0);
        }
        self.n = 0;
        (n, sides)
    }

    /// Profits per cent of a side.
    #[inline(always)]
    fn percents(&self, side: usize) -> [f64; SIDE] {
        let [pnl, quantity, entry_price] =
            [&self.pnl, &self.quantity, &self.entry_price].map(|of| &of[side]);
        let mut percents = [0.0; SIDE];
        let mut doubt = false;
        for i in 0..SIDE {
            percents[i] = exact::quick_per_cent(pnl[i], quantity[i], entry_price[i]);
            doubt |= percents[i].is_nan();
        }
        if doubt {
            settle(&mut percents, [pnl, quantity, entry_price]);
        }
        percents
    }
}

/// Makes those that doubles left in doubt.
#[cold]
fn settle(percents: &mut [f64; SIDE], of: [&[i64; SIDE]; 3]) {
    for (i, percent) in percents.iter_mut().enumerate().filter(|(_, percent)| percent.is_nan()) {
        let [pnl_e8, quantity_e8, entry_price_e8] = of.map(|of| i128::from(of[i]));
        let closed = Closed { pnl_e8, quantity_e8, entry_price_e8, held_us: 0 };
        *percent = closed.pnl_percentage().unwrap_or_default();
    }
}

/// Sums of integers by their place, each in two parts that the sides never overflow.
#[derive(Clone, Copy, Default)]
struct Sum {
    low: [i64; SIDE],
    high: [i64; SIDE],
}

impl Sum {
    #[inline(always)]
    fn add(&mut self, values: &[i64; SIDE]) {
        for ((low, high), value) in self.low.iter_mut().zip(&mut self.high).zip(values) {
            *low = low.wrapping_add(value & 0xFFFF_FFFF);
            *high = high.wrapping_add(value >> 32);
        }
    }

    #[inline(always)]
    fn total(&self) -> i128 {
        (i128::from(sum(&self.high)) << 32) + i128::from(sum(&self.low))
    }
}

#[inline(always)]
fn sum(of: &[i64; SIDE]) -> i64 {
    of.iter().fold(0_i64, |sum, part| sum.wrapping_add(*part))
}

/// The double of the greatest bits; `None` when all are 0.
#[inline(always)]
fn greatest(of: &[i64; SIDE]) -> Option<f64> {
    let bits = of.iter().fold(0_i64, |greatest, bits| greatest.max(*bits));
    (bits > 0).then(|| f64::from_bits(bits.cast_unsigned()))
}

/// What integers of the sides came to, by their place.
#[derive(Default)]
struct Counts {
    won: Sum,
    net: Sum,
    held_us: Sum,
    winning: [i64; SIDE],
    losing: [i64; SIDE],
    /// Bits of the per cent farthest from 0, which are ordered as it is.
    win: [i64; SIDE],
    loss: [i64; SIDE],
}

/// Trades that wait, on their way to a tally.
struct Counting<'a> {
    tally: &'a mut Tally,
    waiting: &'a mut Waiting,
}

impl Task for Counting<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Self { tally, waiting } = self;
        let (n, sides) = waiting.take();
        let mut counts = Counts::default();
        for side in 0..sides.min(SIDES) {
            counts.held_us.add(&waiting.held_us[side]);
            tally.add_side(&waiting.pnl[side], &waiting.percents(side), &mut counts);
        }
        tally.total += n;
        tally.add_counts(&counts);
    }
}

impl Tally {
    /// Counts each trade that waits; none does afterwards.
    pub(crate) fn add_waiting(&mut self, waiting: &mut Waiting) {
        simd::wide(Counting { tally: self, waiting });
    }

    #[inline(always)]
    fn add_side(&mut self, pnl: &[i64; SIDE], percents: &[f64; SIDE], counts: &mut Counts) {
        let (mut wins, mut losses, mut gains) = ([0.0; SIDE], [0.0; SIDE], [0; SIDE]);
        for i in 0..SIDE {
            let (won, lost) = (pnl[i] > 0, pnl[i] < 0);
            wins[i] = if won { percents[i] } else { 0.0 };
            losses[i] = if lost { percents[i] } else { 0.0 };
            gains[i] = pnl[i].max(0);
            counts.winning[i] = counts.winning[i].wrapping_add(won.into());
            counts.losing[i] = counts.losing[i].wrapping_add(lost.into());
            counts.win[i] = counts.win[i].max(wins[i].to_bits().cast_signed());
            counts.loss[i] = counts.loss[i].max(losses[i].abs().to_bits().cast_signed());
        }
        counts.won.add(&gains);
        counts.net.add(pnl);
        // Doubles are summed in order, as they would be one by one; 0 changes no sum.
        for i in 0..SIDE {
            self.all += percents[i];
            self.wins += wins[i];
            self.losses += losses[i];
        }
    }

    #[inline(always)]
    fn add_counts(&mut self, counts: &Counts) {
        let Counts { won, net, held_us, winning, losing, win, loss } = counts;
        let whole = |of: &[i64; SIDE]| usize::try_from(sum(of)).unwrap_or_default();
        self.winning += whole(winning);
        self.losing += whole(losing);
        self.won_e8 += won.total();
        self.net_e8 += net.total();
        self.held_us += held_us.total();
        if let Some(win) = greatest(win) {
            self.largest_win = self.largest_win.max(win);
        }
        if let Some(loss) = greatest(loss) {
            self.largest_loss = self.largest_loss.min(-loss);
        }
    }
}
