//! Timeframes, their grid in UTC, and the day a moment belongs to. Times are microseconds since 1970-01-01 UTC.
//! No calendar, time zone or clock may enter: every bucket is plain integer arithmetic.

use std::fmt;
use std::str::FromStr;

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds in a UTC day.
pub const DAY_US: i64 = 86_400 * SECOND_US;
/// The first Monday after the epoch: weeks are counted from here.
const MONDAY_US: i64 = 4 * DAY_US;

const NAMES: &[(&str, i64)] = &[
    ("1s", 1),
    ("5s", 5),
    ("10s", 10),
    ("15s", 15),
    ("30s", 30),
    ("1m", 60),
    ("3m", 180),
    ("5m", 300),
    ("15m", 900),
    ("30m", 1_800),
    ("1h", 3_600),
    ("2h", 7_200),
    ("4h", 14_400),
    ("6h", 21_600),
    ("8h", 28_800),
    ("12h", 43_200),
    ("1d", 86_400),
    ("3d", 259_200),
    ("1w", 604_800),
];

/// The length of a bar, one of a fixed list (`1m`, `1h`, `1d`, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timeframe(i64);

impl Timeframe {
    /// Length in microseconds.
    #[must_use]
    pub fn us(self) -> i64 {
        self.0
    }

    /// Every timeframe known, shortest first.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|&(_, seconds)| Self(seconds * SECOND_US))
    }

    /// The timeframe that lasts exactly `us` microseconds, if there is one.
    #[must_use]
    pub fn from_us(us: i64) -> Option<Self> {
        Self::all().find(|t| t.0 == us)
    }

    /// Opening of the bucket that `time_us` falls in: aligned to 1970-01-01 UTC, weeks to Monday.
    #[must_use]
    pub fn floor(self, time_us: i64) -> i64 {
        let origin = if self.0 == 7 * DAY_US { MONDAY_US } else { 0 };
        time_us - (time_us - origin).rem_euclid(self.0)
    }

    /// Whether bars of `self` can be put together from bars of `finer`.
    #[must_use]
    pub fn is_multiple_of(self, finer: Self) -> bool {
        // A week starts on a Monday, which no 3-day grid meets.
        self.0 % finer.0 == 0 && !(self.0 == 7 * DAY_US && finer.0 == 3 * DAY_US)
    }
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|&&(_, seconds)| seconds * SECOND_US == self.0);
        f.write_str(name.map_or("?", |&(name, _)| name))
    }
}

/// A text that names no timeframe.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a timeframe")]
pub struct UnknownTimeframe(pub String);

impl UnknownTimeframe {
    /// The list to choose from.
    #[must_use]
    pub fn hint() -> String {
        let names: Vec<&str> = NAMES.iter().map(|&(name, _)| name).collect();
        format!("use one of {}", names.join(" "))
    }
}

impl FromStr for Timeframe {
    type Err = UnknownTimeframe;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        NAMES
            .iter()
            .find(|&&(name, _)| name == text)
            .map(|&(_, seconds)| Self(seconds * SECOND_US))
            .ok_or_else(|| UnknownTimeframe(text.to_owned()))
    }
}

/// Number of the UTC day (0 is 1970-01-01) that a bar opening at `time_us` belongs to.
#[must_use]
pub fn day(time_us: i64) -> i64 {
    time_us.div_euclid(DAY_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_start_on_monday_and_days_at_midnight() {
        let week: Timeframe = "1w".parse().unwrap();
        // 2024-01-03 was a Wednesday, 2024-01-01 its Monday.
        assert_eq!(week.floor(1_704_240_000 * SECOND_US), 1_704_067_200 * SECOND_US);
        let day: Timeframe = "1d".parse().unwrap();
        assert_eq!(day.floor(-1), -DAY_US);
    }

    #[test]
    fn names_round_trip() {
        for timeframe in Timeframe::all() {
            assert_eq!(timeframe.to_string().parse(), Ok(timeframe));
        }
        assert!("7m".parse::<Timeframe>().is_err());
    }
}
