//! Bars of one symbol: contiguous columns, checked once at birth and never changed.
//! No frame, file or database type may enter; volumes are here only when a strategy names them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::exact;
use crate::simd;
use crate::timeframe::{self, Timeframe};
use crate::units::Units;

/// Most bars that one simulation takes (a hundred years of minutes are 52.6 million).
pub const MAX_BARS: usize = 100_000_000;
/// Greatest price a simulation takes, in units of 1e-8: what 63 bits hold, about 92 billion.
pub const MAX_PRICE_E8: i128 = i64::MAX as i128;

/// A column of `market_data` that a rule can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Column {
    Open,
    High,
    Low,
    Close,
    Volume,
    QuoteVolume,
    TradesCount,
    TakerBuyVolume,
    TakerBuyQuoteVolume,
}

impl Column {
    /// Every column, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::Open,
        Self::High,
        Self::Low,
        Self::Close,
        Self::Volume,
        Self::QuoteVolume,
        Self::TradesCount,
        Self::TakerBuyVolume,
        Self::TakerBuyQuoteVolume,
    ];

    /// The name it has in SQL, in files and in expressions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Volume => "volume",
            Self::QuoteVolume => "quote_volume",
            Self::TradesCount => "trades_count",
            Self::TakerBuyVolume => "taker_buy_volume",
            Self::TakerBuyQuoteVolume => "taker_buy_quote_volume",
        }
    }

    /// Whether it is one of the four prices, which every run reads.
    #[must_use]
    pub fn is_price(self) -> bool {
        matches!(self, Self::Open | Self::High | Self::Low | Self::Close)
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Column {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|c| c.name() == text).ok_or(())
    }
}

/// Why columns were refused. Rows are counted from 0.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BarsError {
    #[error("no bars")]
    Empty,
    #[error("{given} bars are more than the limit of {MAX_BARS}")]
    TooMany { given: usize },
    #[error("column `{column}` holds {given} values for {bars} bars")]
    Length { column: Column, given: usize, bars: usize },
    #[error("bar {row} opens at or before the bar in front of it")]
    NotAscending { row: usize },
    #[error("bar {row} does not open on the grid of `{timeframe}`")]
    OffGrid { row: usize, timeframe: Timeframe },
    #[error(
        "bar {row} has a `{column}` that is not a price above 0 and up to {}",
        exact::decimal(MAX_PRICE_E8)
    )]
    Price { row: usize, column: Column },
    #[error("bar {row} has low and high that do not enclose its open and close")]
    Range { row: usize },
    #[error("bar {row} has a negative `{column}`")]
    Negative { row: usize, column: Column },
    #[error("{warmup} bars of warm-up leave none of {bars} to trade")]
    Warmup { warmup: usize, bars: usize },
}

/// Raw columns on their way into [`Bars`]; every vector has one value a bar.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Opening times, microseconds UTC.
    pub time_us: Vec<i64>,
    /// Prices in units of 1e-8.
    pub open: Vec<i64>,
    pub high: Vec<i64>,
    pub low: Vec<i64>,
    pub close: Vec<i64>,
    /// Volumes and counts in units of 1e-8 (`None` where the data have none), only those asked for.
    pub extra: BTreeMap<Column, Units>,
}

/// Bars of one symbol and timeframe, ascending in time, all checked. Prices are integers of 1e-8.
#[derive(Clone, Debug)]
pub struct Bars {
    symbol: String,
    timeframe: Timeframe,
    n_warmup: usize,
    columns: Columns,
    /// The greatest high.
    highest: i64,
}

impl Bars {
    /// Checks `columns` and keeps them. The first `n_warmup` bars feed indicators only.
    ///
    /// # Errors
    /// The first rule of [`BarsError`] that a bar breaks.
    pub fn new(
        symbol: &str,
        timeframe: Timeframe,
        n_warmup: usize,
        columns: Columns,
    ) -> Result<Self, BarsError> {
        Self::checked(symbol, timeframe, n_warmup, columns).map_err(|refused| refused.0)
    }

    /// As [`Self::new`].
    ///
    /// # Errors
    /// Likewise, and the columns as they were given.
    pub fn checked(
        symbol: &str,
        timeframe: Timeframe,
        n_warmup: usize,
        columns: Columns,
    ) -> Result<Self, Box<(BarsError, Columns)>> {
        match check(&columns, timeframe, n_warmup) {
            Ok(()) => Ok(Self::sound(symbol, timeframe, n_warmup, columns)),
            Err(error) => Err(Box::new((error, columns))),
        }
    }

    /// Bars of columns that were checked.
    fn sound(symbol: &str, timeframe: Timeframe, n_warmup: usize, columns: Columns) -> Self {
        let highest = simd::extremes(&columns.high).1;
        Self { symbol: symbol.to_owned(), timeframe, n_warmup, columns, highest }
    }

    #[must_use]
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    #[must_use]
    pub fn timeframe(&self) -> Timeframe {
        self.timeframe
    }

    /// Number of bars, warm-up included; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.columns.time_us.len()
    }

    /// Index of the first bar that trades; those before it are warm-up.
    #[must_use]
    pub fn n_warmup(&self) -> usize {
        self.n_warmup
    }

    /// Index of the last traded bar of each UTC day that has traded bars.
    #[must_use]
    pub fn day_ends(&self) -> Vec<usize> {
        let (time_us, mut next) = (self.time_us(), self.n_warmup);
        let mut ends = Vec::new();
        while let Some(&opening) = time_us.get(next) {
            let day = timeframe::day(opening);
            // Without a gap it has all the bars that are left of it; with gaps fewer, never more.
            let left = timeframe::DAY_US - opening.rem_euclid(timeframe::DAY_US);
            let most = usize::try_from((left - 1) / self.timeframe.us()).unwrap_or(0) + 1;
            let near = &time_us[next..time_us.len().min(next + most)];
            next += match near.last() {
                Some(&last) if timeframe::day(last) == day => near.len(),
                _ => near.partition_point(|&time| timeframe::day(time) == day),
            };
            ends.push(next - 1);
        }
        ends
    }

    /// Opening times, microseconds UTC.
    #[must_use]
    pub fn time_us(&self) -> &[i64] {
        &self.columns.time_us
    }

    /// End of bar `bar_idx`, microseconds UTC: the moment at which it is known.
    #[must_use]
    pub fn end_us(&self, bar_idx: usize) -> i64 {
        self.columns.time_us[bar_idx] + self.timeframe.us()
    }

    /// Opening prices in units of 1e-8.
    #[must_use]
    pub fn open(&self) -> &[i64] {
        &self.columns.open
    }

    /// Highest prices in units of 1e-8.
    #[must_use]
    pub fn high(&self) -> &[i64] {
        &self.columns.high
    }

    /// The greatest of all prices, in units of 1e-8.
    #[must_use]
    pub fn highest(&self) -> i64 {
        self.highest
    }

    /// Lowest prices in units of 1e-8.
    #[must_use]
    pub fn low(&self) -> &[i64] {
        &self.columns.low
    }

    /// Closing prices in units of 1e-8.
    #[must_use]
    pub fn close(&self) -> &[i64] {
        &self.columns.close
    }

    /// A price column, in units of 1e-8; `None` for a volume.
    #[must_use]
    pub fn prices(&self, column: Column) -> Option<&[i64]> {
        match column {
            Column::Open => Some(self.open()),
            Column::High => Some(self.high()),
            Column::Low => Some(self.low()),
            Column::Close => Some(self.close()),
            _ => None,
        }
    }

    /// A volume or count column in units of 1e-8, when it was loaded.
    #[must_use]
    pub fn extra(&self, column: Column) -> Option<&Units> {
        self.columns.extra.get(&column)
    }

    /// The first `n_bars` of these bars, as if the rest had not happened yet.
    ///
    /// # Errors
    /// [`BarsError::Warmup`] when nothing would be left to trade.
    pub fn head(&self, n_bars: usize) -> Result<Self, BarsError> {
        let n = n_bars.min(self.len());
        if n <= self.n_warmup {
            return Err(BarsError::Warmup { warmup: self.n_warmup, bars: n });
        }
        Ok(Self::sound(&self.symbol, self.timeframe, self.n_warmup, self.columns_of(0..n)))
    }

    /// The bars from `first` on, as if there had been none before; none of them is warm-up.
    ///
    /// # Errors
    /// [`BarsError::Empty`] when none is left.
    pub fn tail(&self, first: usize) -> Result<Self, BarsError> {
        if first >= self.len() {
            return Err(BarsError::Empty);
        }
        let columns = self.columns_of(first..self.len());
        Ok(Self::sound(&self.symbol, self.timeframe, 0, columns))
    }

    /// A copy of bars `range`.
    pub(crate) fn columns_of(&self, range: Range<usize>) -> Columns {
        let c = &self.columns;
        let prices = |values: &[i64]| values[range.clone()].to_vec();
        let extra = c.extra.iter().map(|(&column, values)| {
            let mut units = Units::with_capacity(range.len());
            units.append(values, range.clone());
            (column, units)
        });
        Columns {
            time_us: prices(&c.time_us),
            open: prices(&c.open),
            high: prices(&c.high),
            low: prices(&c.low),
            close: prices(&c.close),
            extra: extra.collect(),
        }
    }
}

fn check(columns: &Columns, timeframe: Timeframe, n_warmup: usize) -> Result<(), BarsError> {
    let bars = columns.time_us.len();
    check_lengths(columns, bars)?;
    if n_warmup >= bars {
        return Err(BarsError::Warmup { warmup: n_warmup, bars });
    }
    (0..bars).try_for_each(|row| check_row(columns, row, timeframe))
}

fn check_lengths(columns: &Columns, bars: usize) -> Result<(), BarsError> {
    if bars == 0 {
        return Err(BarsError::Empty);
    }
    if bars > MAX_BARS {
        return Err(BarsError::TooMany { given: bars });
    }
    let prices = [
        (Column::Open, columns.open.len()),
        (Column::High, columns.high.len()),
        (Column::Low, columns.low.len()),
        (Column::Close, columns.close.len()),
    ];
    let extra = columns.extra.iter().map(|(&column, values)| (column, values.len()));
    match prices.into_iter().chain(extra).find(|&(_, given)| given != bars) {
        Some((column, given)) => Err(BarsError::Length { column, given, bars }),
        None => Ok(()),
    }
}

fn check_row(columns: &Columns, row: usize, timeframe: Timeframe) -> Result<(), BarsError> {
    let time = columns.time_us[row];
    if row > 0 && time <= columns.time_us[row - 1] {
        return Err(BarsError::NotAscending { row });
    }
    if timeframe.floor(time) != time {
        return Err(BarsError::OffGrid { row, timeframe });
    }
    let [open, high, low, close] =
        [columns.open[row], columns.high[row], columns.low[row], columns.close[row]];
    // Low is the least of the four once the range holds, so it alone is compared with 0.
    if low <= 0 {
        return Err(BarsError::Price { row, column: Column::Low });
    }
    if low > open.min(close) || high < open.max(close) {
        return Err(BarsError::Range { row });
    }
    match columns.extra.iter().find(|(_, values)| values.get(row).is_some_and(|v| v < 0)) {
        Some((&column, _)) => Err(BarsError::Negative { row, column }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(rows: &[(i64, [i64; 4])]) -> Columns {
        let mut c = Columns::default();
        for &(minute, [open, high, low, close]) in rows {
            c.time_us.push(minute * 60_000_000);
            c.open.push(open);
            c.high.push(high);
            c.low.push(low);
            c.close.push(close);
        }
        c
    }

    fn check(rows: &[(i64, [i64; 4])]) -> Result<Bars, BarsError> {
        Bars::new("X", "1m".parse().unwrap(), 0, columns(rows))
    }

    #[test]
    fn bad_columns_are_refused_by_row() {
        let good = [10, 12, 9, 11];
        assert_eq!(check(&[]).unwrap_err(), BarsError::Empty);
        assert_eq!(check(&[(0, good), (0, good)]).unwrap_err(), BarsError::NotAscending { row: 1 });
        assert_eq!(check(&[(0, [10, 10, 9, 11])]).unwrap_err(), BarsError::Range { row: 0 });
        assert_eq!(check(&[(0, [10, 12, 11, 11])]).unwrap_err(), BarsError::Range { row: 0 });
        let zero = check(&[(0, [0, 12, 0, 11])]).unwrap_err();
        assert_eq!(zero, BarsError::Price { row: 0, column: Column::Low });
        let mut off_grid = columns(&[(0, good)]);
        off_grid.time_us[0] = 1;
        let timeframe = "1m".parse().unwrap();
        let error = Bars::new("X", timeframe, 0, off_grid).unwrap_err();
        assert_eq!(error, BarsError::OffGrid { row: 0, timeframe });
    }

    #[test]
    fn head_keeps_the_past_as_it_was() {
        let good = [10, 12, 9, 11];
        let bars = check(&[(0, good), (1, good), (5, good)]).unwrap();
        let past = bars.head(2).unwrap();
        assert_eq!(past.time_us(), &bars.time_us()[..2]);
        assert!(bars.head(0).is_err());
        assert_eq!(bars.tail(1).unwrap().time_us(), &bars.time_us()[1..]);
        assert!(bars.tail(3).is_err());
    }
}
