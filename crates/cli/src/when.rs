//! Moments as a person types and reads them, UTC throughout. No local zone and no clock.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// Forms of a moment, longest first.
const FORMS: &[&str] =
    &["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y%m%dT%H%M"];

/// A moment in microseconds UTC from `2024-01-31`, `2024-01-31T12:00[:00][Z]`, `20240131` or `20240131T1200`.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let bare = text.strip_suffix('Z').unwrap_or(text);
    let moment = FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(bare, form).ok());
    let day = || {
        ["%Y-%m-%d", "%Y%m%d"]
            .iter()
            .find_map(|form| NaiveDate::parse_from_str(bare, form).ok())
            .and_then(|day| day.and_hms_opt(0, 0, 0))
    };
    moment
        .or_else(day)
        .map(|moment| moment.and_utc().timestamp_micros())
        .ok_or_else(|| format!("`{text}` is not a time such as 2024-01-31 or 2024-01-31T12:00"))
}

/// `20240101-20240201`, half-open; either end may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeRange {
    pub(crate) from_us: Option<i64>,
    pub(crate) to_us: Option<i64>,
}

impl FromStr for TimeRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text
            .split_once('-')
            .filter(|(from, to)| !(to.contains('-') || from.is_empty() && to.is_empty()))
            .ok_or_else(|| format!("`{text}` is not a range such as 20240101-20240201"))?;
        let end = |text: &str| if text.is_empty() { Ok(None) } else { parse(text).map(Some) };
        Ok(Self { from_us: end(from)?, to_us: end(to)? })
    }
}

/// `2024-01-31`, with the time of day when it is not midnight.
pub(crate) fn show(us: i64) -> String {
    let Some(moment) = DateTime::from_timestamp_micros(us) else { return us.to_string() };
    let day = us.rem_euclid(sim::timeframe::DAY_US);
    let form = match day {
        0 => "%Y-%m-%d",
        _ if day % 60_000_000 == 0 => "%Y-%m-%d %H:%M",
        _ => "%Y-%m-%d %H:%M:%S",
    };
    moment.format(form).to_string()
}

/// RFC 3339, for machines.
pub(crate) fn iso(us: i64) -> String {
    DateTime::from_timestamp_micros(us)
        .map_or_else(|| us.to_string(), |m| m.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string())
}

/// The moment of a text that [`iso`] made.
pub(crate) fn of_iso(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.timestamp_micros())
}

/// A length of time in its two largest units: `3d 4h`, `25m`.
pub(crate) fn span(seconds: i64) -> String {
    const UNITS: [(&str, i64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let Some(first) = UNITS.iter().position(|&(_, size)| seconds >= size) else {
        return "0s".to_owned();
    };
    let (name, size) = UNITS[first];
    let mut text = format!("{}{name}", seconds / size);
    if let Some((name, unit)) = UNITS.get(first + 1) {
        let rest = seconds % size / unit;
        if rest > 0 {
            text.push_str(&format!(" {rest}{name}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_documented_form() {
        let day = 1_706_659_200_000_000;
        for text in ["2024-01-31", "20240131", "2024-01-31T00:00Z", "20240131T0000"] {
            assert_eq!(parse(text), Ok(day), "{text}");
        }
        assert!(parse("31.01.2024").is_err());
        assert!(parse("2024-02-30").is_err());
    }

    #[test]
    fn ranges_may_be_open() {
        let range: TimeRange = "20240131-".parse().unwrap();
        assert_eq!((range.from_us.is_some(), range.to_us), (true, None));
        assert!("-".parse::<TimeRange>().is_err());
        assert!("2024-01-01-2024-02-01".parse::<TimeRange>().is_err());
    }

    #[test]
    fn spans_show_two_units() {
        assert_eq!(span(90_000), "1d 1h");
        assert_eq!(span(59), "59s");
        assert_eq!(span(3_600), "1h");
        assert_eq!(span(0), "0s");
    }
}
