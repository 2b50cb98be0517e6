//! A bar as it lies in a file or in `market_data`: exact values in units of 1e-8, checked one by one.
//! No database, file format or frame may enter.

use sim::exact;
use sim::timeframe::Timeframe;

/// One row of `market_data`. Values are in units of 1e-8 and below 10^20 (DECIMAL(20,8)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BarRow {
    /// Opening time, microseconds UTC.
    pub time_us: i64,
    pub open: i128,
    pub high: i128,
    pub low: i128,
    pub close: i128,
    pub volume: i128,
    pub quote_volume: Option<i128>,
    /// A plain count, not in units of 1e-8.
    pub trades_count: Option<i32>,
    pub taker_buy_volume: Option<i128>,
    pub taker_buy_quote_volume: Option<i128>,
}

/// What is wrong with a row; the kinds that a refused file is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BadRow {
    /// A field is missing or is no number, no count or no time.
    Unreadable,
    /// NaN or infinite.
    NotFinite,
    /// A price is 0 or below, or becomes 0 when rounded to 8 places.
    PriceNotPositive,
    /// A volume or count is below 0.
    NegativeVolume,
    /// low ≤ open, close ≤ high does not hold.
    Range,
    /// 10^12 or more: DECIMAL(20,8) cannot hold it.
    TooLarge,
    /// The time is not on the timeframe's grid.
    OffGrid,
    /// The time stands twice in the file.
    Duplicate,
}

impl BadRow {
    /// The words of a report.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable field",
            Self::NotFinite => "not a finite number",
            Self::PriceNotPositive => "price not above 0",
            Self::NegativeVolume => "negative volume",
            Self::Range => "low and high do not enclose open and close",
            Self::TooLarge => "10^12 or more",
            Self::OffGrid => "time off the grid",
            Self::Duplicate => "duplicate time",
        }
    }
}

impl BarRow {
    /// Whether the row can stand in `market_data` as a bar of `timeframe` (duplicates are seen by the reader).
    ///
    /// # Errors
    /// The first kind of [`BadRow`] that applies, in the order prices, volumes, range, size, grid.
    pub fn check(&self, timeframe: Timeframe) -> Result<(), BadRow> {
        let prices = [self.open, self.high, self.low, self.close];
        let optional = [self.quote_volume, self.taker_buy_volume, self.taker_buy_quote_volume];
        if prices.iter().any(|&p| p <= 0) {
            return Err(BadRow::PriceNotPositive);
        }
        let negative = |v: Option<i128>| v.is_some_and(|v| v < 0);
        if self.volume < 0
            || optional.into_iter().any(negative)
            || self.trades_count.is_some_and(|n| n < 0)
        {
            return Err(BadRow::NegativeVolume);
        }
        if self.low > self.open.min(self.close) || self.high < self.open.max(self.close) {
            return Err(BadRow::Range);
        }
        let too_large = |v: i128| v >= exact::LIMIT_E8;
        if too_large(self.high)
            || too_large(self.volume)
            || optional.into_iter().flatten().any(too_large)
        {
            return Err(BadRow::TooLarge);
        }
        if timeframe.floor(self.time_us) != self.time_us {
            return Err(BadRow::OffGrid);
        }
        Ok(())
    }
}
