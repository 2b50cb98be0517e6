//! Times that are missing, lie off the grid, or look like those of another time zone.
//! Prices are only compared for being equal.

use crate::timeframe::{DAY_US, SECOND_US};

use super::{Found, Place, Series};

const HOUR_US: i64 = 3_600 * SECOND_US;
/// Hours that a block may be shifted by: zones of the world lie up to 14 from UTC.
const MAX_SHIFT_HOURS: i64 = 14;
/// Equal bars in a row that make a shifted block: chance does not do that, even on a coarse tick.
const BLOCK_BARS: usize = 6;

/// Stretches without bars.
pub(super) fn gaps(s: &Series<'_>) -> Found {
    let mut found = Found::default();
    for i in 1..s.len() {
        let missing = missing(s, i);
        if missing > 0 {
            found.add(gap(s, i, missing, missing as f64, ""));
        }
    }
    found
}

/// Bars that lack in front of bar `i`; a bar that is off the grid lacks nothing for less than half a bar.
fn missing(s: &Series<'_>, i: usize) -> usize {
    let step = s.time_us[i] - s.time_us[i - 1];
    // Of nearly every bar; a division takes longer than all else.
    if step == s.timeframe.us() {
        return 0;
    }
    let bars = (step + s.timeframe.us() / 2) / s.timeframe.us();
    usize::try_from(bars - 1).unwrap_or(0)
}

fn gap(s: &Series<'_>, i: usize, missing: usize, size: f64, how: &'static str) -> Place {
    let from_us = s.time_us[i - 1] + s.timeframe.us();
    let prices = vec![("before", s.close[i - 1]), ("after", s.open[i])];
    Place { from_us, to_us: s.time_us[i], bars: missing, size, how, prices }
}

/// Bars that open at no multiple of the timeframe.
pub(super) fn off_grid(s: &Series<'_>) -> Found {
    let mut found = Found::default();
    let mut behind = 0;
    for (i, &time) in s.time_us.iter().enumerate() {
        // What follows right behind another bar lies where that one does.
        if i == 0 || time - s.time_us[i - 1] != s.timeframe.us() {
            behind = time - s.timeframe.floor(time);
        }
        if behind > 0 {
            found.add(s.place(i, i + 1, behind as f64 / SECOND_US as f64, ""));
        }
    }
    found
}

/// Three signs of another time zone: blocks of bars that stand there again whole hours later; an hour missing where
/// clocks are changed in spring; bars above one hour that open whole hours off their grid.
pub(super) fn shifted(s: &Series<'_>) -> Found {
    let mut found = Found::default();
    for hours in 1..=MAX_SHIFT_HOURS {
        if (hours * HOUR_US) % s.timeframe.us() == 0 {
            blocks(s, hours, &mut found);
        }
    }
    for i in 1..s.len() {
        if is_clock_change(s.time_us[i - 1] + s.timeframe.us(), s.time_us[i]) {
            found.add(gap(s, i, missing(s, i), 1.0, "clock_change"));
        }
    }
    openings(s, &mut found);
    found
}

/// Blocks that equal the bars `hours` before them. One bar in [`BLOCK_BARS`] is looked at, since no block that counts
/// lies between two of them.
fn blocks(s: &Series<'_>, hours: i64, found: &mut Found) {
    // Where there is no gap, the bar of so many hours before is always the same number of bars back.
    let mut back = 0;
    let mut equal = |i: usize| {
        let then = s.time_us[i] - hours * HOUR_US;
        if i < back || s.time_us[i - back] != then {
            let Ok(j) = s.time_us[..i].binary_search(&then) else { return false };
            back = i - j;
        }
        // Bars that are alike anyway say nothing.
        s.same(i, i - back) && !s.still(i) && !s.same(i, i - 1)
    };
    let mut i = BLOCK_BARS - 1;
    while i < s.len() {
        if !equal(i) {
            i += BLOCK_BARS;
            continue;
        }
        let (mut from, mut to) = (i, i + 1);
        while from > 0 && equal(from - 1) {
            from -= 1;
        }
        while to < s.len() && equal(to) {
            to += 1;
        }
        if to - from >= BLOCK_BARS {
            found.add(s.place(from, to, hours as f64, "block"));
        }
        i = to + BLOCK_BARS - 1;
    }
}

/// Stretches of bars of several hours that open whole hours off the grid.
fn openings(s: &Series<'_>, found: &mut Found) {
    if s.timeframe.us() <= HOUR_US {
        return;
    }
    let hours = |i: usize| {
        let behind = s.time_us[i] - s.timeframe.floor(s.time_us[i]);
        if behind % HOUR_US == 0 { behind / HOUR_US } else { 0 }
    };
    let mut from = 0;
    for i in 1..=s.len() {
        if i < s.len() && hours(i) == hours(from) {
            continue;
        }
        if hours(from) > 0 {
            found.add(s.place(from, i, hours(from) as f64, "opening"));
        }
        from = i;
    }
}

/// Whether nothing but the hour from 1 or 2 o'clock lacks, on the last Sunday of March or the second one: local times
/// of Europe or North America that were taken for UTC.
fn is_clock_change(from_us: i64, to_us: i64) -> bool {
    if to_us - from_us != HOUR_US {
        return false;
    }
    let (days, hour) = (from_us.div_euclid(DAY_US), from_us.rem_euclid(DAY_US) / HOUR_US);
    // 1970-01-01 was a Thursday.
    let sunday = (days + 4).rem_euclid(7) == 0;
    let (month, day) = month_and_day(days);
    let change = month == 3 && ((8..=14).contains(&day) || (25..=31).contains(&day));
    sunday && change && (hour == 1 || hour == 2) && from_us % HOUR_US == 0
}

/// Month and day of month of a day since 1970-01-01 (Hinnant's `civil_from_days`).
fn month_and_day(days: i64) -> (i64, i64) {
    let of_era = (days + 719_468).rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    (if shifted < 10 { shifted + 3 } else { shifted - 9 }, day)
}
