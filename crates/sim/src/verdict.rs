//! A verdict on bars as they are stored: what looks wrong, how often, and the worst places.
//! Nothing is mended or refused here, and no bar is needed to be good: what is wrong is what is looked for.

mod clock;
mod moves;
mod runs;

use std::fmt;
use std::str::FromStr;

use crate::timeframe::Timeframe;
use crate::units::Units;

/// Most places that a finding shows, the worst first.
pub const MAX_WORST: usize = 5;

/// Columns of one stored series, ascending in time, each with one value a bar. Prices are in units of 1e-8.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    pub timeframe: Timeframe,
    /// Opening times, microseconds UTC.
    pub time_us: &'a [i64],
    pub open: &'a [i64],
    pub high: &'a [i64],
    pub low: &'a [i64],
    pub close: &'a [i64],
    /// `None` when it was not read, which leaves volumes unjudged.
    pub volume: Option<Volumes<'a>>,
}

/// Volumes in units of 1e-8, wherever they lie: a copy would be as much memory as a column.
#[derive(Clone, Copy, Debug)]
pub enum Volumes<'a> {
    /// None is missing, and all fit 63 bits.
    Plain(&'a [i64]),
    Any(&'a Units),
}

impl Volumes<'_> {
    /// The volume of bar `i`; `None` where it is missing.
    fn get(self, i: usize) -> Option<i128> {
        match self {
            Self::Plain(units) => Some(units[i].into()),
            Self::Any(units) => units.get(i),
        }
    }
}

/// What can be wrong with bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Bars are missing between two others. Size: bars missing.
    Gaps,
    /// Bars equal the one in front of them although prices moved inside them. Size: bars of the run.
    Duplicates,
    /// Bars without volume. Size: bars of the run.
    ZeroVolume,
    /// The price stood still: open = high = low = close, bar after bar. Size: bars of the run.
    Flat,
    /// The price jumped away and came back, or the first or last bars lie far from the rest. Size: multiples of the
    /// usual move.
    Outliers,
    /// A bar opens at no multiple of its timeframe. Size: seconds behind the grid.
    OffGrid,
    /// Bars look shifted by whole hours. Size: hours.
    Timezone,
    /// The level of prices breaks between two bars and stays. Size: the ratio of the levels, above 1.
    Splits,
    /// Prices that cannot be: not above 0, or low and high do not enclose open and close; a negative volume. Size: 0.
    Invalid,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Gaps,
        Self::Duplicates,
        Self::ZeroVolume,
        Self::Flat,
        Self::Outliers,
        Self::OffGrid,
        Self::Timezone,
        Self::Splits,
        Self::Invalid,
    ];

    /// The word in results and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gaps => "gaps",
            Self::Duplicates => "duplicates",
            Self::ZeroVolume => "zero_volume",
            Self::Flat => "flat",
            Self::Outliers => "outliers",
            Self::OffGrid => "off_grid",
            Self::Timezone => "timezone",
            Self::Splits => "splits",
            Self::Invalid => "invalid",
        }
    }

    /// Whether volumes have to be read to find all of this kind.
    #[must_use]
    pub fn needs_volume(self) -> bool {
        matches!(self, Self::Duplicates | Self::ZeroVolume | Self::Invalid)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.word() == text).ok_or(())
    }
}

/// A place where something is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Opening of the first bar meant (of a gap: of the first bar missing), microseconds UTC.
    pub from_us: i64,
    /// End of the last bar meant, microseconds UTC.
    pub to_us: i64,
    /// Bars meant.
    pub bars: usize,
    /// How bad it is, in the unit that [`Kind`] says.
    pub size: f64,
    /// Which way it is wrong, in one word, where a kind has several ways; else empty. Of outliers the column, or
    /// `first` or `last` of bars that begin or end the series; of time zones `block` (equals the bars so many hours
    /// before), `clock_change` (an hour is missing where clocks are changed) or `opening` (opens so many hours off the
    /// grid); of splits `power_of_ten` or `level`.
    pub how: &'static str,
    /// Prices that show it, by name, in units of 1e-8.
    pub prices: Vec<(&'static str, i64)>,
}

/// All that is wrong in one way.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub kind: Kind,
    /// Places there are.
    pub places: usize,
    /// Bars that all of them mean.
    pub bars: usize,
    /// The worst of them, worst first; of equals the earlier first.
    pub worst: Vec<Place>,
}

/// What is wrong with a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub timeframe: Timeframe,
    /// Opening of the first bar and end of the last one, microseconds UTC; 0 without bars.
    pub range_us: (i64, i64),
    pub bars: usize,
    /// Whether volumes were there to be judged.
    pub volume_read: bool,
    /// Median move from close to close that is not 0, as a fraction; what outliers and splits are measured by.
    /// `None` when there are too few moves to say, and then these two are not looked for.
    pub usual_move: Option<f64>,
    /// One a kind that was found, in the order of [`Kind::ALL`].
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// What was found of `kinds`.
    pub fn of<'a>(&'a self, kinds: &'a [Kind]) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(|finding| kinds.contains(&finding.kind))
    }
}

/// Judges `series`. Time grows with its bars alone: no search, and no allocation a bar but one column of moves.
///
/// # Panics
/// When the columns differ in length.
#[must_use]
pub fn judge(series: &Series<'_>) -> Verdict {
    let bars = series.time_us.len();
    for column in [series.open, series.high, series.low, series.close] {
        assert_eq!(column.len(), bars, "every column has one value a bar");
    }
    let usual_move = moves::usual(series);
    let (mut outliers, mut splits) = (Found::default(), Found::default());
    if let Some(usual) = usual_move {
        outliers = moves::outliers(series, usual);
        splits = moves::splits(series, usual);
    }
    let all = [
        (Kind::Gaps, clock::gaps(series)),
        (Kind::Duplicates, runs::duplicates(series)),
        (Kind::ZeroVolume, runs::without_volume(series)),
        (Kind::Flat, runs::flat(series)),
        (Kind::Outliers, outliers),
        (Kind::OffGrid, clock::off_grid(series)),
        (Kind::Timezone, clock::shifted(series)),
        (Kind::Splits, splits),
        (Kind::Invalid, runs::invalid(series)),
    ];
    let found = all.into_iter().filter(|(_, found)| found.places > 0);
    Verdict {
        timeframe: series.timeframe,
        range_us: match (series.time_us.first(), series.time_us.last()) {
            (Some(&first), Some(&last)) => (first, last + series.timeframe.us()),
            _ => (0, 0),
        },
        bars,
        volume_read: series.volume.is_some(),
        usual_move,
        findings: found
            .map(|(kind, Found { places, bars, worst })| Finding { kind, places, bars, worst })
            .collect(),
    }
}

/// A finding that is being counted.
#[derive(Debug, Default)]
struct Found {
    places: usize,
    bars: usize,
    worst: Vec<Place>,
}

impl Found {
    fn add(&mut self, place: Place) {
        self.places += 1;
        self.bars += place.bars;
        // Behind those that are as bad: they came earlier.
        let at = self.worst.partition_point(|known| known.size >= place.size);
        if at < MAX_WORST {
            self.worst.truncate(MAX_WORST - 1);
            self.worst.insert(at, place);
        }
    }
}

impl Series<'_> {
    fn len(&self) -> usize {
        self.time_us.len()
    }

    /// The place of bars `from..to`.
    fn place(&self, from: usize, to: usize, size: f64, how: &'static str) -> Place {
        let to_us = self.time_us[to - 1] + self.timeframe.us();
        let bars = to - from;
        Place { from_us: self.time_us[from], to_us, bars, size, how, prices: Vec::new() }
    }

    /// Whether prices of bars `i` and `j` are the same, all four.
    fn same(&self, i: usize, j: usize) -> bool {
        self.close[i] == self.close[j]
            && self.open[i] == self.open[j]
            && self.high[i] == self.high[j]
            && self.low[i] == self.low[j]
    }

    /// Whether no price moved inside bar `i`.
    fn still(&self, i: usize) -> bool {
        self.high[i] == self.low[i]
    }

    /// Whether bar `i` follows right behind the one in front of it.
    fn follows(&self, i: usize) -> bool {
        self.time_us[i] - self.time_us[i - 1] <= self.timeframe.us()
    }
}
