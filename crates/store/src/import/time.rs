//! Times of a file to microseconds UTC: epoch numbers told apart by their size, and ISO texts.
//! No time zone but an offset written in the text itself may enter: a text without one is UTC.

use sim::timeframe::{DAY_US, SECOND_US};

use crate::row::BadRow;

/// The unit of an epoch number. Each covers 1973-03-03 to 5138-11-16, so that size alone tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Epoch {
    /// 10^8 ≤ n < 10^11.
    Seconds,
    /// 10^11 ≤ n < 10^14.
    Millis,
    /// 10^14 ≤ n < 10^17.
    Micros,
    /// 10^17 ≤ n.
    Nanos,
}

/// How a file writes its times; the same for all its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeFormat {
    Epoch(Epoch),
    Iso,
}

impl TimeFormat {
    /// What a sample of the time column shows, if it is a time at all.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        if iso(text).is_ok() {
            return Some(Self::Iso);
        }
        let (whole, _) = number(text).ok()?;
        Epoch::of(whole).map(Self::Epoch)
    }

    /// The words of `FileBars::describe`.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Epoch(Epoch::Seconds) => "time in s",
            Self::Epoch(Epoch::Millis) => "time in ms",
            Self::Epoch(Epoch::Micros) => "time in µs",
            Self::Epoch(Epoch::Nanos) => "time in ns",
            Self::Iso => "time as ISO text",
        }
    }

    /// One time of the file.
    ///
    /// # Errors
    /// `Unreadable` for another format or unit than the file's, `OffGrid` for a part of a microsecond.
    pub(super) fn parse(self, text: &[u8]) -> Result<i64, BadRow> {
        let text = text.trim_ascii();
        match self {
            Self::Iso => iso(text),
            Self::Epoch(epoch) => {
                let (whole, fraction) = number(text)?;
                epoch.micros(whole, fraction)
            }
        }
    }
}

impl Epoch {
    /// The unit that a number's size tells.
    pub(super) fn of(n: i64) -> Option<Self> {
        match n {
            ..100_000_000 => None,
            100_000_000..100_000_000_000 => Some(Self::Seconds),
            100_000_000_000..100_000_000_000_000 => Some(Self::Millis),
            100_000_000_000_000..100_000_000_000_000_000 => Some(Self::Micros),
            _ => Some(Self::Nanos),
        }
    }

    /// `whole` of this unit and `fraction` nanounits (1e-9) of it, as microseconds.
    ///
    /// # Errors
    /// `Unreadable` when the size tells another unit: a file keeps to one. `OffGrid` for a part of a microsecond.
    pub(super) fn micros(self, whole: i64, fraction: u32) -> Result<i64, BadRow> {
        if Self::of(whole) != Some(self) {
            return Err(BadRow::Unreadable);
        }
        // Parts of a microsecond, per unit: the rest must be 0, for no bar opens between two microseconds.
        let (factor, divisor, parts) = match self {
            Self::Seconds => (SECOND_US, 1, 1_000),
            Self::Millis => (1_000, 1, 1_000_000),
            Self::Micros => (1, 1, 1_000_000_000),
            Self::Nanos => (1, 1_000, u32::MAX),
        };
        if !fraction.is_multiple_of(parts) || whole % divisor != 0 {
            return Err(BadRow::OffGrid);
        }
        Ok(whole / divisor * factor + i64::from(fraction / parts))
    }
}

/// A plain number: its whole part and its fraction in 1e-9. No exponent: `1.70407E+12` has lost its digits.
fn number(text: &[u8]) -> Result<(i64, u32), BadRow> {
    let at = text.iter().position(|&b| b == b'.');
    let (whole, fraction) = at.map_or((text, &[][..]), |at| (&text[..at], &text[at + 1..]));
    if whole.is_empty() || whole.len() > 19 || fraction.len() > 9 {
        return Err(BadRow::Unreadable);
    }
    let mut value = 0_i64;
    for &byte in whole {
        let digit = digit(byte)?;
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(i64::from(digit)))
            .ok_or(BadRow::Unreadable)?;
    }
    Ok((value, nanos(fraction)?))
}

fn digit(byte: u8) -> Result<u32, BadRow> {
    let digit = byte.wrapping_sub(b'0');
    if digit < 10 { Ok(u32::from(digit)) } else { Err(BadRow::Unreadable) }
}

/// Up to nine digits after a point, in 1e-9.
fn nanos(digits: &[u8]) -> Result<u32, BadRow> {
    let mut value = 0;
    for i in 0..9 {
        value = value * 10 + digits.get(i).map_or(Ok(0), |&b| digit(b))?;
    }
    Ok(value)
}

/// `2021-12-31`, `2021-12-31 23:01`, `2021-12-31T23:01:00.000000Z`, `20211231 23:01:00+02:00` and the like.
///
/// # Errors
/// `Unreadable` for anything else or a date that does not exist, `OffGrid` for a part of a microsecond.
pub(super) fn iso(text: &[u8]) -> Result<i64, BadRow> {
    let (day, rest) = date(text)?;
    let Some((&mark, clock)) = rest.split_first() else {
        return Ok(day * DAY_US);
    };
    if !matches!(mark, b' ' | b'T' | b't') {
        return Err(BadRow::Unreadable);
    }
    let (seconds, rest) = clock_time(clock)?;
    let (fraction, zone) = fraction(rest)?;
    if fraction % 1_000 != 0 {
        return Err(BadRow::OffGrid);
    }
    let local = day * DAY_US + i64::from(seconds) * SECOND_US + i64::from(fraction / 1_000);
    Ok(local - offset_seconds(zone)? * SECOND_US)
}

/// The day number of `YYYY-MM-DD`, `YYYY/MM/DD` or `YYYYMMDD`, and what follows.
fn date(text: &[u8]) -> Result<(i64, &[u8]), BadRow> {
    let year = two(text, 0)? * 100 + two(text, 2)?;
    let mark = *text.get(4).ok_or(BadRow::Unreadable)?;
    let (month, day, end) = if matches!(mark, b'-' | b'/') {
        if text.get(7) != Some(&mark) {
            return Err(BadRow::Unreadable);
        }
        (two(text, 5)?, two(text, 8)?, 10)
    } else {
        (two(text, 4)?, two(text, 6)?, 8)
    };
    if year < 1900 || !(1..=12).contains(&month) || !(1..=month_days(year, month)).contains(&day) {
        return Err(BadRow::Unreadable);
    }
    Ok((day_number(year, month, day), &text[end..]))
}

/// Seconds of `HH:MM` or `HH:MM:SS`, and what follows.
fn clock_time(text: &[u8]) -> Result<(u32, &[u8]), BadRow> {
    let (hour, minute) = (two(text, 0)?, two(text, 3)?);
    if text.get(2) != Some(&b':') {
        return Err(BadRow::Unreadable);
    }
    let (second, end) = if text.get(5) == Some(&b':') { (two(text, 6)?, 8) } else { (0, 5) };
    if hour > 23 || minute > 59 || second > 59 {
        return Err(BadRow::Unreadable);
    }
    Ok((hour * 3_600 + minute * 60 + second, &text[end..]))
}

/// Nanoseconds of `.123456`, and what follows.
fn fraction(text: &[u8]) -> Result<(u32, &[u8]), BadRow> {
    let Some((b'.', digits)) = text.split_first() else {
        return Ok((0, text));
    };
    let end = digits.iter().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
    if end == 0 || end > 9 {
        return Err(BadRow::Unreadable);
    }
    Ok((nanos(&digits[..end])?, &digits[end..]))
}

/// Seconds east of UTC: nothing, `Z`, `UTC`, `+02:00`, `+0200` or `+02`.
fn offset_seconds(zone: &[u8]) -> Result<i64, BadRow> {
    let zone = zone.trim_ascii();
    if matches!(zone, b"" | b"Z" | b"z" | b"UTC" | b"GMT") {
        return Ok(0);
    }
    let sign = match zone.first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(BadRow::Unreadable),
    };
    let (hours, minutes) = match zone.len() {
        3 => (two(zone, 1)?, 0),
        5 => (two(zone, 1)?, two(zone, 3)?),
        6 if zone[3] == b':' => (two(zone, 1)?, two(zone, 4)?),
        _ => return Err(BadRow::Unreadable),
    };
    if hours > 18 || minutes > 59 {
        return Err(BadRow::Unreadable);
    }
    Ok(sign * i64::from(hours * 3_600 + minutes * 60))
}

fn two(text: &[u8], at: usize) -> Result<u32, BadRow> {
    match text.get(at..at + 2) {
        Some(&[tens, ones]) => Ok(digit(tens)? * 10 + digit(ones)?),
        _ => Err(BadRow::Unreadable),
    }
}

fn month_days(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar: years are counted from March, so that the leap day comes last.
fn day_number(year: u32, month: u32, day: u32) -> i64 {
    let (year, month) = (i64::from(year), i64::from(month));
    let (march_year, march_month) =
        if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = march_year / 4 - march_year / 100 + march_year / 400;
    // 719,469 days lie between 0000-03-01 (day 1 of march-year 0) and 1970-01-01.
    march_year * 365 + leap_days + (153 * march_month + 2) / 5 + i64::from(day) - 719_469
}

/// `2024-01-01T00:00:00Z`, with a fraction only when there is one; years 0 to 9999.
pub(crate) fn iso_text(time_us: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(time_us.div_euclid(DAY_US));
    let within = time_us.rem_euclid(DAY_US);
    let (seconds, micros) = (within / SECOND_US, within % SECOND_US);
    push_digits(year, 4, out);
    for (mark, part) in [
        (b'-', month),
        (b'-', day),
        (b'T', seconds / 3_600),
        (b':', seconds / 60 % 60),
        (b':', seconds % 60),
    ] {
        out.push(mark);
        push_digits(part, 2, out);
    }
    if micros != 0 {
        out.push(b'.');
        push_digits(micros, 6, out);
    }
    out.push(b'Z');
}

/// The last `count` decimal digits of `value` ≥ 0.
fn push_digits(value: i64, count: u32, out: &mut Vec<u8>) {
    for place in (0..count).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// Year, month and day of a day number: the inverse of [`day_number`].
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};
    use proptest::prelude::*;

    use super::*;

    const T: i64 = 1_640_991_660_000_000;

    #[test]
    fn iso_texts() {
        for text in [
            "2021-12-31 23:01:00.000000",
            "2021-12-31T23:01:00Z",
            "2021-12-31 23:01",
            "2021/12/31 23:01:00",
            "20211231 23:01:00",
            "2022-01-01T01:01:00+02:00",
            "2021-12-31 18:01:00-0500",
            "2021-12-31 23:01:00+00",
            "2021-12-31 23:01:00 UTC",
        ] {
            assert_eq!(iso(text.as_bytes()), Ok(T), "{text}");
        }
        assert_eq!(iso(b"1970-01-02"), Ok(DAY_US));
        assert_eq!(iso(b"19700102"), Ok(DAY_US));
        assert_eq!(iso(b"1969-12-31T23:59:59.999999Z"), Ok(-1));
        assert_eq!(iso(b"2021-12-31 23:01:00.0000001"), Err(BadRow::OffGrid));
        for text in [
            "2021-02-29",
            "2021-13-01",
            "2021-1-1",
            "2021-12-31 24:00:00",
            "2021-12-31 23:01:60",
            "12/31/2021",
            "2021-12-31X",
            "2021-12-31 23",
            "2021-12/31",
            "",
            "2021-12-31 11-PM",
            "2021-12-31 23:01:00 EST",
        ] {
            assert_eq!(iso(text.as_bytes()), Err(BadRow::Unreadable), "{text}");
        }
    }

    #[test]
    fn epochs_by_size() {
        for text in [
            "1640991660",
            "1640991660.0",
            "1640991660000",
            "1640991660000000",
            "1640991660000000000",
        ] {
            assert_eq!(
                TimeFormat::of(text.as_bytes()).unwrap().parse(text.as_bytes()),
                Ok(T),
                "{text}"
            );
        }
        let millis = TimeFormat::Epoch(Epoch::Millis);
        assert_eq!(millis.parse(b"1640991660000.5"), Ok(T + 500));
        assert_eq!(
            millis.parse(b"1640991660"),
            Err(BadRow::Unreadable),
            "a file keeps to one unit"
        );
        assert_eq!(
            TimeFormat::Epoch(Epoch::Nanos).parse(b"1640991660000000001"),
            Err(BadRow::OffGrid)
        );
        assert_eq!(
            TimeFormat::Epoch(Epoch::Seconds).parse(b"1640991660.0000001"),
            Err(BadRow::OffGrid)
        );
        assert_eq!(TimeFormat::of(b"20211231"), Some(TimeFormat::Iso));
        for text in ["0", "1", "17", "1.7E+12", "open", "99999999999999999999"] {
            assert_eq!(TimeFormat::of(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn days_as_chrono_counts_them(days in -25_567_i64..1_000_000, second in 0_i64..86_400, micros in 0_i64..1_000_000) {
            let time_us = (days * 86_400 + second) * SECOND_US + micros;
            let chrono = DateTime::from_timestamp_micros(time_us).unwrap();
            let mut text = Vec::new();
            iso_text(time_us, &mut text);
            let pattern = if micros == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%.6fZ" };
            prop_assert_eq!(std::str::from_utf8(&text).unwrap(), chrono.format(pattern).to_string());
            prop_assert_eq!(iso(&text), Ok(time_us));
        }

        #[test]
        fn only_days_that_exist(year in 1900_i32..3000, month in 0_u32..15, day in 0_u32..34) {
            let text = format!("{year}-{month:02}-{day:02}");
            prop_assert_eq!(iso(text.as_bytes()).is_ok(), NaiveDate::from_ymd_opt(year, month, day).is_some());
        }
    }
}
