//! Indicators of prices that go on from bar to bar, some of one family side by side: each waits for its own bar before, so
//! that one alone would leave the processor idle. No window and no undefined price may enter.

use std::ops::Range;
use std::sync::Arc;

use crate::bars::Column;
use crate::expr::{Call, Function, Series, SeriesKind};

use super::average::{Emas, Wilder};
use super::trend::{Hlc, Supertrends};

/// Indicators that one register takes.
pub(super) const LANES: usize = 8;
/// Bars of a block of them: rows are kept together and handed out lane by lane, because columns that lie alike in memory
/// would drive each other out of the cache.
pub(crate) const ROWS: usize = 64;

/// Their values at one bar.
pub(super) type Row = [f64; LANES];

/// What series have in common that are computed side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Exponential averages of a price.
    Ema(Column),
    /// Macds and their signals of a price, whose line has these spans.
    Macd(Column, [usize; 2]),
    /// Supertrends, or their directions, over an average range of this length.
    Supertrend { direction: bool, n: usize },
}

impl Family {
    /// The family of `series`, if it goes on from bar to bar over prices.
    pub(crate) fn of(series: &Series) -> Option<Self> {
        let call = series.as_call()?;
        let price = || match call.of.as_deref()?.kind {
            SeriesKind::Column(column) if column.is_price() => Some(column),
            _ => None,
        };
        let n = *call.lengths.first()?;
        Some(match call.function {
            Function::Ema => Self::Ema(price()?),
            Function::Macd | Function::MacdSignal => Self::Macd(price()?, [n, call.lengths[1]]),
            Function::Supertrend => Self::Supertrend { direction: false, n },
            Function::SupertrendDir => Self::Supertrend { direction: true, n },
            _ => return None,
        })
    }

    /// The prices that it reads.
    pub(crate) fn reads(self) -> Vec<Column> {
        match self {
            Self::Ema(column) | Self::Macd(column, _) => vec![column],
            Self::Supertrend { .. } => vec![Column::High, Column::Low, Column::Close],
        }
    }
}

/// Some indicators of one family, in front of the next bar.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The prices they read, whole.
    prices: Vec<Arc<[f64]>>,
    next: usize,
    kind: Kind,
    /// Values at the last bars: [`ROWS`] rows for every [`LANES`] series.
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Kind {
    Emas(Vec<Emas>),
    Macds(Box<Macds>),
    /// `bands` where it is not their directions.
    Supertrends {
        ranges: Wilder,
        all: Vec<Supertrends>,
        bands: bool,
    },
}

impl Stream {
    /// `all` are of `family`, and `prices` are what it reads.
    pub(crate) fn new(family: Family, all: &[&Series], prices: Vec<Arc<[f64]>>) -> Self {
        let calls: Vec<&Call> = all.iter().filter_map(|series| series.as_call()).collect();
        let groups = calls.chunks(LANES);
        let kind = match family {
            Family::Ema(_) => Kind::Emas(
                groups.map(|all| Emas::new(all.iter().map(|call| (call.lengths[0], 0)))).collect(),
            ),
            Family::Macd(_, spans) => Kind::Macds(Box::new(Macds::new(
                spans,
                groups.map(|all| all.iter().map(|call| (call.function, call.lengths[2])).collect()),
            ))),
            Family::Supertrend { direction, n } => {
                let factors =
                    |all: &[&Call]| all.iter().map(|call| call.factor).collect::<Vec<_>>();
                let all = groups.map(|all| Supertrends::new(&factors(all), direction)).collect();
                Kind::Supertrends { ranges: Wilder::new(n), all, bands: !direction }
            }
        };
        let rows = vec![[f64::NAN; LANES]; calls.len().div_ceil(LANES) * ROWS];
        Self { prices, next: 0, kind, rows }
    }

    /// Goes on by `n_bars`, no more than [`ROWS`].
    pub(crate) fn advance(&mut self, n_bars: usize) {
        let bars = self.next..self.next + n_bars;
        self.next = bars.end;
        let groups = self.rows.chunks_mut(ROWS).map(|rows| &mut rows[..n_bars]);
        match (&mut self.kind, &self.prices[..]) {
            (Kind::Emas(all), [x]) => {
                let x = &x[bars];
                all.iter_mut().zip(groups).for_each(|(emas, rows)| emas.advance(x, rows));
            }
            (Kind::Macds(macds), [x]) => macds.advance(&x[bars], groups),
            (Kind::Supertrends { ranges, all, .. }, [high, low, close]) => {
                let prices = Hlc { high, low, close };
                let atr = average_ranges(ranges, prices, bars.clone());
                let part = prices.part(bars);
                all.iter_mut().zip(groups).for_each(|(all, rows)| all.advance(part, &atr, rows));
            }
            _ => unreachable!("a stream has the prices of its family"),
        }
    }

    /// Copies the values of a series, by its place among them, at the last bars; what is not finite is undefined.
    pub(crate) fn hand_out(&self, series: usize, out: &mut [f64]) {
        let (rows, lane) = (&self.rows[series / LANES * ROWS..], series % LANES);
        out.iter_mut().zip(rows).for_each(|(out, row)| *out = row[lane]);
        // All others lie between prices, which are finite.
        if matches!(self.kind, Kind::Supertrends { bands: true, .. }) {
            super::undefine_infinite(out);
        }
    }
}

/// The average true range at some bars, no more than [`ROWS`].
fn average_ranges(average: &mut Wilder, prices: Hlc<'_>, bars: Range<usize>) -> [f64; ROWS] {
    let mut ranges = [f64::NAN; ROWS];
    // The first bar has none before it to measure from.
    let first = usize::from(bars.start == 0);
    let measured = &mut ranges[first..bars.len().max(first)];
    measured.iter_mut().zip(bars.start + first..).for_each(|(range, bar)| {
        *range = prices.true_range(bar);
    });
    measured.iter_mut().for_each(|range| *range = average.step(*range));
    ranges
}

/// Macds of one line: fast ema − slow ema as TA-Lib's, where both start at the slow one's first bar, the fast one seeded with
/// the mean of the last values there. A macd shows the line from bar slow + signal − 2 on, and its signal is the line's ema.
#[derive(Debug)]
pub(super) struct Macds {
    /// The slow one and the fast one.
    spans: Emas,
    groups: Vec<Signals>,
    /// Bars that are over.
    seen: usize,
}

/// Up to eight of them.
#[derive(Debug)]
struct Signals {
    emas: Emas,
    /// The bar from which on each macd shows the line; of those that are signals, none.
    shown: [usize; LANES],
}

impl Macds {
    /// Macds and signals of these lengths, eight a group; `fast` is not above `slow`.
    fn new([fast, slow]: [usize; 2], groups: impl Iterator<Item = Vec<(Function, usize)>>) -> Self {
        let group = |all: Vec<(Function, usize)>| {
            let mut shown = [usize::MAX; LANES];
            for (shown, (function, signal)) in shown.iter_mut().zip(&all) {
                if *function == Function::Macd {
                    *shown = slow + signal - 2;
                }
            }
            Signals {
                emas: Emas::new(all.into_iter().map(|(_, signal)| (signal, slow - 1))),
                shown,
            }
        };
        Self {
            spans: Emas::new([(slow, 0), (fast, slow - fast)].into_iter()),
            groups: groups.map(group).collect(),
            seen: 0,
        }
    }

    /// The next bars, no more than [`ROWS`], into rows of each group.
    fn advance<'a>(&mut self, x: &[f64], groups: impl Iterator<Item = &'a mut [Row]>) {
        let line = self.line(x);
        for (signals, rows) in self.groups.iter_mut().zip(groups) {
            signals.emas.advance(&line[..x.len()], rows);
            for ((row, line), bar) in rows.iter_mut().zip(line).zip(self.seen..) {
                for (value, shown) in row.iter_mut().zip(signals.shown) {
                    *value = if shown <= bar { line } else { *value };
                }
            }
        }
        self.seen += x.len();
    }

    /// The line at the next bars, undefined in front of its first.
    fn line(&mut self, x: &[f64]) -> [f64; ROWS] {
        let mut rows = [[f64::NAN; LANES]; ROWS];
        self.spans.advance(x, &mut rows[..x.len()]);
        rows.map(|[slow, fast, ..]| fast - slow)
    }
}

/// The line of macds of these spans over a run of defined values.
pub(super) fn macd_line(x: &[f64], fast: usize, slow: usize, out: &mut [f64]) {
    let mut line = Macds::new([fast, slow], std::iter::empty());
    for (x, out) in x.chunks(ROWS).zip(out.chunks_mut(ROWS)) {
        out.iter_mut().zip(line.line(x)).for_each(|(out, line)| *out = line);
    }
}
