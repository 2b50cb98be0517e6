//! The closes of a stretch, by which positions are marked, and the times whose marks may be the least of a drawdown: they
//! wait, because the deepest of them mostly settles the others. No money is booked here.

use super::books::Way;
use super::pyramid::Spans;
use super::tape::Tape;

/// Times that may wait.
const WAITING: usize = 64;

/// A time with a position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) cash: i64,
    pub(super) way: Way,
    pub(super) quantity: i64,
    /// From the first bar to the one in front of the second.
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Closes of a stretch, and what waits of the variant that is here.
#[derive(Debug)]
pub(super) struct Marks<'a> {
    pub(super) closes: Spans<'a>,
    n: usize,
    /// Each with what no mark of it is below.
    waiting: [(f64, Time); WAITING],
}

impl<'a> Marks<'a> {
    pub(super) fn new(tape: &'a Tape<'a>) -> Self {
        let none = Time { cash: 0, way: Way::of(true), quantity: 0, from: 0, to: 0 };
        Self { closes: Spans::new(&tape.closes), n: 0, waiting: [(0.0, none); WAITING] }
    }

    /// Lets `time`, no mark of which is below `floor`, wait if it `may` matter; whether there is room for another. Which it is
    /// is anyone's guess, so that nothing is skipped.
    #[inline(always)]
    pub(super) fn wait(&mut self, floor: f64, time: Time, may: bool) -> bool {
        let i = self.n % WAITING;
        self.waiting[i] = (floor, time);
        self.n = i + usize::from(may);
        self.n < WAITING
    }

    /// Forgets those that wait.
    pub(super) fn clear(&mut self) {
        self.n = 0;
    }

    /// Those that waited, and the closes.
    pub(super) fn take(&mut self) -> (&[(f64, Time)], &Spans<'a>) {
        (&self.waiting[..std::mem::take(&mut self.n)], &self.closes)
    }
}
