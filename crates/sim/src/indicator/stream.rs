//! Indicators of prices that go on from bar to bar, some of one family side by side: each waits for its own bar before, so
//! that one alone would leave the processor idle. No window and no undefined price may enter.

use std::ops::Range;
use std::sync::Arc;

use crate::bars::Column;
use crate::expr::{Call, Function, Series, SeriesKind};

use super::average::{Emas, Wilders};
use super::trend::{Bits, Hlc, Supertrends, Swings};

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

    /// Whether all that its series can be is 1, -1 and undefined.
    pub(crate) fn is_direction(self) -> bool {
        matches!(self, Self::Supertrend { direction: true })
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
    /// Values at the last bars: [`ROWS`] rows for every group of [`LANES`] series or fewer. Directions have none.
    rows: Vec<Row>,
    /// Where the values of each series are.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Group and lane.
    Row(usize, usize),
    /// The line of the macds, from this bar on.
    Line(usize),
}

impl Place {
    /// Of a series, before it is given a row.
    fn of(call: &Call) -> Self {
        match (call.function, &call.lengths[..]) {
            (Function::Macd, [_, slow, signal]) => Self::Line(slow + signal - 2),
            _ => Self::Row(0, 0),
        }
    }
}

#[derive(Debug)]
enum Kind {
    Emas(Vec<Emas>),
    Macds(Box<Macds>),
    Supertrends(Ranges, Vec<Supertrends>),
    /// Directions, and at the last bars those that are up and those that are defined.
    Directions(Ranges, Vec<(Supertrends, [Bits; 2])>),
}

impl Stream {
    /// `all` are of `family`, and `prices` are what it reads.
    pub(crate) fn new(family: Family, all: &[&Series], prices: Vec<Arc<[f64]>>) -> Self {
        let calls: Vec<&Call> = all.iter().filter_map(|series| series.as_call()).collect();
        let groups = match family {
            Family::Supertrend { .. } => of_two_lengths(&calls),
            _ => {
                let own_row = |i: &usize| calls[*i].function != Function::Macd;
                let order: Vec<usize> = (0..calls.len()).filter(own_row).collect();
                order.chunks(LANES).map(<[usize]>::to_vec).collect()
            }
        };
        let mut places: Vec<Place> = calls.iter().map(|call| Place::of(call)).collect();
        for (group, members) in groups.iter().enumerate() {
            for (lane, &i) in members.iter().enumerate() {
                places[i] = Place::Row(group, lane);
            }
        }
        let of = |group: &Vec<usize>| group.iter().map(|&i| calls[i]).collect::<Vec<_>>();
        let kind = Kind::new(family, groups.iter().map(of).collect());
        let n_rows = if family.is_direction() { 0 } else { groups.len() * ROWS };
        Self { prices, next: 0, kind, rows: vec![[f64::NAN; LANES]; n_rows], places }
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
            (Kind::Supertrends(ranges, all), [high, low, close]) => {
                ranges.advance(Hlc { high, low, close }, bars.clone());
                for ((group, all), rows) in all.iter_mut().enumerate().zip(groups) {
                    all.values(ranges.swings(group, &close[bars.clone()]), rows);
                }
            }
            (Kind::Directions(ranges, all), [high, low, close]) => {
                ranges.advance(Hlc { high, low, close }, bars.clone());
                for (group, (all, bits)) in all.iter_mut().enumerate() {
                    *bits = all.directions(ranges.swings(group, &close[bars.clone()]));
                }
            }
            _ => unreachable!("a stream has the prices of its family"),
        }
    }

    /// Copies the values of a series, by its place among them, at the last bars; what is not finite is undefined.
    pub(crate) fn hand_out(&self, series: usize, out: &mut [f64]) {
        if let Kind::Directions(..) = self.kind {
            let [up, defined] = self.directions(series);
            let is = |bits: u64, bar: usize| bits >> bar & 1 == 1;
            for (bar, out) in out.iter_mut().enumerate() {
                let direction = if is(up, bar) { 1.0 } else { -1.0 };
                *out = if is(defined, bar) { direction } else { f64::NAN };
            }
            return;
        }
        let (group, lane) = match self.places[series] {
            Place::Row(group, lane) => (group, lane),
            Place::Line(from) => return self.hand_line_out(from, out),
        };
        let rows = &self.rows[group * ROWS..];
        out.iter_mut().zip(rows).for_each(|(out, row)| *out = row[lane]);
        // All others lie between prices, which are finite.
        if let Kind::Supertrends(..) = self.kind {
            super::undefine_infinite(out);
        }
    }

    /// Copies the line of macds at the last bars, undefined in front of the bar `from`.
    fn hand_line_out(&self, from: usize, out: &mut [f64]) {
        let Kind::Macds(macds) = &self.kind else { unreachable!("only macds have a line") };
        let first = self.next - out.len();
        let (undefined, shown) = out.split_at_mut(from.saturating_sub(first).min(out.len()));
        undefined.fill(f64::NAN);
        shown.copy_from_slice(&macds.line[undefined.len()..][..shown.len()]);
    }

    /// Of a series of directions, by its place among them: those of the last bars at which it is up, and those at which it is
    /// defined; it is down at the others of these.
    pub(crate) fn directions(&self, series: usize) -> [u64; 2] {
        match (&self.kind, self.places[series]) {
            (Kind::Directions(_, all), Place::Row(group, lane)) => {
                all[group].1.map(|bits| bits[lane])
            }
            _ => unreachable!("only directions have two values"),
        }
    }
}

/// The places of supertrends in groups whose average ranges are of two lengths at most.
fn of_two_lengths(calls: &[&Call]) -> Vec<Vec<usize>> {
    let length = |i: &usize| calls[*i].lengths[0];
    let mut order: Vec<usize> = (0..calls.len()).collect();
    order.sort_by_key(length);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for i in order {
        let fits = |group: &&mut Vec<usize>| {
            let lengths = group.chunk_by(|a, b| length(a) == length(b)).count();
            let known = group.last().is_some_and(|last| length(last) == length(&i));
            group.len() < LANES && (known || lengths < 2)
        };
        match groups.last_mut().filter(fits) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    groups
}

impl Kind {
    fn new(family: Family, groups: Vec<Vec<&Call>>) -> Self {
        match family {
            Family::Ema(_) => {
                let emas = |all: Vec<&Call>| Emas::new(all.iter().map(|call| (call.lengths[0], 0)));
                Self::Emas(groups.into_iter().map(emas).collect())
            }
            Family::Macd(_, spans) => {
                let signals = |all: Vec<&Call>| all.iter().map(|call| call.lengths[2]).collect();
                Self::Macds(Box::new(Macds::new(spans, groups.into_iter().map(signals))))
            }
            Family::Supertrend { direction } => {
                let ranges = Ranges::new(&groups);
                let all = groups.iter().map(|all| {
                    let second = |call: &Call| call.lengths[0] != all[0].lengths[0];
                    let lanes: Vec<_> =
                        all.iter().map(|call| (call.factor, second(call))).collect();
                    Supertrends::new(&lanes)
                });
                match direction {
                    true => {
                        Self::Directions(ranges, all.map(|all| (all, [[0; LANES]; 2])).collect())
                    }
                    false => Self::Supertrends(ranges, all.collect()),
                }
            }
        }
    }
}

/// Average true ranges of several lengths, side by side, and the middles of the bars.
#[derive(Debug)]
struct Ranges {
    averages: Vec<Wilders>,
    /// Of each length, at the last bars.
    values: Vec<[f64; ROWS]>,
    middles: [f64; ROWS],
    /// The places of the lengths of each group.
    of: Vec<[usize; 2]>,
}

impl Ranges {
    /// For groups of one or two lengths.
    fn new(groups: &[Vec<&Call>]) -> Self {
        let mut distinct: Vec<usize> =
            groups.iter().flatten().map(|call| call.lengths[0]).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let place = |call: Option<&&Call>| {
            call.and_then(|call| distinct.binary_search(&call.lengths[0]).ok()).unwrap_or_default()
        };
        let of = groups.iter().map(|all| [place(all.first()), place(all.last())]).collect();
        let averages: Vec<Wilders> = distinct.chunks(LANES).map(Wilders::new).collect();
        let values = vec![[f64::NAN; ROWS]; distinct.len()];
        Self { averages, values, middles: [f64::NAN; ROWS], of }
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
        let mut rows = [[f64::NAN; LANES]; ROWS];
        for (averages, values) in self.averages.iter_mut().zip(self.values.chunks_mut(LANES)) {
            averages.advance(measured, &mut rows[first..bars.len()]);
            for (lane, values) in values.iter_mut().enumerate() {
                values.iter_mut().zip(&rows).for_each(|(value, row)| *value = row[lane]);
            }
        }
        let Hlc { high, low, .. } = prices.part(bars);
        for ((middle, high), low) in self.middles.iter_mut().zip(high).zip(low) {
            *middle = (high + low) / 2.0;
        }
    }

    /// What a group reads of the last bars, which closed as is given.
    fn swings<'a>(&'a self, group: usize, close: &'a [f64]) -> Swings<'a> {
        let atr = self.of[group].map(|place| &self.values[place][..close.len()]);
        Swings { middle: &self.middles[..close.len()], close, atr }
    }
}

/// Macds of one line: fast ema − slow ema as TA-Lib's, where both start at the slow one's first bar, the fast one seeded with
/// the mean of the last values there. A macd shows the line from bar slow + signal − 2 on, and its signal is the line's ema.
#[derive(Debug)]
pub(super) struct Macds {
    /// The slow one and the fast one.
    spans: Emas,
    /// At the last bars.
    line: [f64; ROWS],
    signals: Vec<Emas>,
}

impl Macds {
    /// Signals of these lengths, eight a group or fewer; `fast` is not above `slow`.
    fn new([fast, slow]: [usize; 2], groups: impl Iterator<Item = Vec<usize>>) -> Self {
        let emas = |all: Vec<usize>| Emas::new(all.into_iter().map(|n| (n, slow - 1)));
        Self {
            spans: Emas::new([(slow, 0), (fast, slow - fast)].into_iter()),
            line: [f64::NAN; ROWS],
            signals: groups.map(emas).collect(),
        }
    }

    /// The next bars, no more than [`ROWS`], signals into rows of each group.
    fn advance<'a>(&mut self, x: &[f64], groups: impl Iterator<Item = &'a mut [Row]>) {
        self.line = self.line(x);
        for (emas, rows) in self.signals.iter_mut().zip(groups) {
            emas.advance(&self.line[..x.len()], rows);
        }
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
