//! Indicators of prices that go on from bar to bar, some of one family side by side: each waits for its own bar before, so
//! that one alone would leave the processor idle. No window and no undefined price may enter.

use std::ops::Range;
use std::sync::Arc;

use crate::bars::Column;
use crate::expr::{Call, Function, Series, SeriesKind};

use super::average::{Emas, Wilders};
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
    /// Supertrends, or their directions.
    Supertrend { direction: bool },
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
            Function::Supertrend => Self::Supertrend { direction: false },
            Function::SupertrendDir => Self::Supertrend { direction: true },
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
    /// Values at the last bars: [`ROWS`] rows for every group of [`LANES`] series or fewer.
    rows: Vec<Row>,
    /// Group and lane of each series.
    places: Vec<(usize, usize)>,
}

#[derive(Debug)]
enum Kind {
    Emas(Vec<Emas>),
    Macds(Box<Macds>),
    /// With the average ranges of each length; `bands` where it is not their directions.
    Supertrends {
        ranges: Ranges,
        all: Vec<Supertrends>,
        bands: bool,
    },
}

impl Stream {
    /// `all` are of `family`, and `prices` are what it reads.
    pub(crate) fn new(family: Family, all: &[&Series], prices: Vec<Arc<[f64]>>) -> Self {
        let calls: Vec<&Call> = all.iter().filter_map(|series| series.as_call()).collect();
        let mut order: Vec<usize> = (0..calls.len()).collect();
        // Only of one range can supertrends go side by side.
        let alike = |a: usize, b: usize| match family {
            Family::Supertrend { .. } => calls[a].lengths[0] == calls[b].lengths[0],
            _ => true,
        };
        if matches!(family, Family::Supertrend { .. }) {
            order.sort_by_key(|&i| calls[i].lengths[0]);
        }
        let groups: Vec<&[usize]> =
            order.chunk_by(|&a, &b| alike(a, b)).flat_map(|all| all.chunks(LANES)).collect();
        let mut places = vec![(0, 0); calls.len()];
        for (group, members) in groups.iter().enumerate() {
            members.iter().enumerate().for_each(|(lane, &i)| places[i] = (group, lane));
        }
        let of = |group: &[usize]| group.iter().map(|&i| calls[i]).collect::<Vec<_>>();
        let kind = Kind::new(family, groups.iter().map(|group| of(group)).collect());
        let rows = vec![[f64::NAN; LANES]; groups.len() * ROWS];
        Self { prices, next: 0, kind, rows, places }
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
                ranges.advance(prices, bars.clone());
                let part = prices.part(bars);
                for ((all, rows), of) in all.iter_mut().zip(groups).zip(&ranges.of) {
                    all.advance(part, &ranges.at(*of), rows);
                }
            }
            _ => unreachable!("a stream has the prices of its family"),
        }
    }

    /// Copies the values of a series, by its place among them, at the last bars; what is not finite is undefined.
    pub(crate) fn hand_out(&self, series: usize, out: &mut [f64]) {
        let (group, lane) = self.places[series];
        let rows = &self.rows[group * ROWS..];
        out.iter_mut().zip(rows).for_each(|(out, row)| *out = row[lane]);
        // All others lie between prices, which are finite.
        if matches!(self.kind, Kind::Supertrends { bands: true, .. }) {
            super::undefine_infinite(out);
        }
    }
}

impl Kind {
    fn new(family: Family, groups: Vec<Vec<&Call>>) -> Self {
        match family {
            Family::Ema(_) => {
                let emas = |all: Vec<&Call>| Emas::new(all.iter().map(|call| (call.lengths[0], 0)));
                Self::Emas(groups.into_iter().map(emas).collect())
            }
            Family::Macd(_, spans) => {
                let signals = |all: Vec<&Call>| {
                    all.iter().map(|call| (call.function, call.lengths[2])).collect()
                };
                Self::Macds(Box::new(Macds::new(spans, groups.into_iter().map(signals))))
            }
            Family::Supertrend { direction } => {
                let ranges =
                    Ranges::new(&groups.iter().map(|all| all[0].lengths[0]).collect::<Vec<_>>());
                let supertrends = |all: Vec<&Call>| {
                    let factors: Vec<f64> = all.iter().map(|call| call.factor).collect();
                    Supertrends::new(&factors, direction)
                };
                let all = groups.into_iter().map(supertrends).collect();
                Self::Supertrends { ranges, all, bands: !direction }
            }
        }
    }
}

/// Average true ranges of several lengths, side by side.
#[derive(Debug)]
struct Ranges {
    averages: Vec<Wilders>,
    /// Of each, at the last bars.
    rows: Vec<[Row; ROWS]>,
    /// The place of the length of each group.
    of: Vec<usize>,
}

impl Ranges {
    /// For groups of these lengths, equal ones being neighbours.
    fn new(lengths: &[usize]) -> Self {
        let mut distinct = lengths.to_vec();
        distinct.dedup();
        let place = |n: &usize| distinct.iter().position(|of| of == n).unwrap_or_default();
        let of = lengths.iter().map(place).collect();
        let averages: Vec<Wilders> = distinct.chunks(LANES).map(Wilders::new).collect();
        let rows = vec![[[f64::NAN; LANES]; ROWS]; averages.len()];
        Self { averages, rows, of }
    }

    /// Goes on over some bars, no more than [`ROWS`].
    fn advance(&mut self, prices: Hlc<'_>, bars: Range<usize>) {
        let mut ranges = [f64::NAN; ROWS];
        // The first bar has none before it to measure from.
        let first = usize::from(bars.start == 0).min(bars.len());
        let measured = &mut ranges[first..bars.len()];
        measured.iter_mut().zip(bars.start + first..).for_each(|(range, bar)| {
            *range = prices.true_range(bar);
        });
        for (averages, rows) in self.averages.iter_mut().zip(&mut self.rows) {
            averages.advance(measured, &mut rows[first..bars.len()]);
        }
    }

    /// The averages of the length at a place, at the last bars.
    fn at(&self, place: usize) -> [f64; ROWS] {
        let (rows, lane) = (&self.rows[place / LANES], place % LANES);
        std::array::from_fn(|i| rows[i][lane])
    }
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
