//! Numbers of a file to exact integers of 1e-8: texts byte by byte, doubles by their shortest decimal.
//! No f64 arithmetic may decide a digit here, and nothing is allocated.

use std::io::Write as _;

use sim::exact::{LIMIT_E8, ONE_E8, PLACES};

use crate::row::BadRow;

/// A value in units of 1e-8 and whether rounding to 8 places changed it by more than 1e-12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Units {
    pub(super) value: i128,
    pub(super) rounded: bool,
}

/// Places at which a change by rounding is counted: half a unit of float noise stays below 1e-12.
const NOISE_PLACES: u32 = 12;
/// Bytes of digits that surely fit a u64.
const FAST_DIGITS: usize = 19;
/// Significant digits kept of a long text; what follows only decides ties ("sticky").
const KEPT_DIGITS: usize = 30;
/// Integers of units below this are told by at most 15 digits, which a double keeps apart.
const FIFTEEN_DIGITS: f64 = 1e15;

const POW10: [u64; 20] = {
    let mut table = [1; 20];
    let mut i = 1;
    while i < 20 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// A decimal text such as `-12.5`, `1e-05` or `.5` (blanks around it allowed) in units of 1e-8, rounded half-even.
///
/// Magnitudes of 10^12 and more come back as exactly ±[`LIMIT_E8`], which `BarRow::check` refuses by size.
///
/// # Errors
/// `NotFinite` for `nan`, `inf` and their kin, `Unreadable` for what is no number.
pub(super) fn text(text: &[u8]) -> Result<Units, BadRow> {
    let (negative, body) = sign(text);
    if body.len() > FAST_DIGITS {
        return long_text(text);
    }
    let mut mantissa = 0_u64;
    let mut point = None;
    for (at, &byte) in body.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            // 19 digits fit: nothing wraps.
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return long_text(text);
        }
    }
    let places = point.map_or(0, |at| body.len() - at - 1);
    if body.len() == usize::from(point.is_some()) {
        return long_text(text);
    }
    Ok(signed(negative, short_scaled(mantissa, places)))
}

/// A double in units of 1e-8, by the shortest decimal that reads back as the same double.
///
/// # Errors
/// `NotFinite` for NaN and the infinities.
pub(super) fn double(value: f64) -> Result<Units, BadRow> {
    // With at most 15 digits a decimal that reads back as `value` is its shortest decimal: no text is needed.
    let units = (value * ONE_E8 as f64).round();
    if units.abs() < FIFTEEN_DIGITS && units / ONE_E8 as f64 == value {
        return Ok(Units { value: whole(units), rounded: false });
    }
    if !value.is_finite() {
        return Err(BadRow::NotFinite);
    }
    let mut buffer = [0_u8; 40];
    text(formatted(&mut buffer, format_args!("{value:e}")))
}

/// A single-precision number, likewise by its own shortest decimal.
///
/// # Errors
/// `NotFinite` for NaN and the infinities.
pub(super) fn single(value: f32) -> Result<Units, BadRow> {
    if !value.is_finite() {
        return Err(BadRow::NotFinite);
    }
    let mut buffer = [0_u8; 40];
    text(formatted(&mut buffer, format_args!("{value:e}")))
}

/// `mantissa` × 10^-`places` in units of 1e-8 (an Arrow decimal, or an integer with 0 places).
pub(super) fn fixed(mantissa: i128, places: u32) -> Units {
    let negative = mantissa < 0;
    let magnitude = mantissa.unsigned_abs();
    if places > 38 {
        return Units { value: 0, rounded: magnitude != 0 };
    }
    signed(negative, scaled(magnitude, places))
}

/// A plain count out of units of 1e-8: whole, and within i32.
///
/// # Errors
/// `Unreadable` when it has a fraction or is beyond i32; what is below 0 stays so for the row's own check.
pub(super) fn count(units: Units) -> Result<i32, BadRow> {
    let one = i128::from(ONE_E8);
    if units.rounded || units.value % one != 0 {
        return Err(BadRow::Unreadable);
    }
    i32::try_from(units.value / one).map_err(|_| BadRow::Unreadable)
}

#[expect(clippy::cast_possible_truncation, reason = "whole, and below 10^15 by the caller's test")]
fn whole(units: f64) -> i128 {
    i128::from(units as i64)
}

fn formatted<'a>(buffer: &'a mut [u8; 40], text: std::fmt::Arguments<'_>) -> &'a [u8] {
    let capacity = buffer.len();
    let mut rest = &mut buffer[..];
    // 17 digits, a point, a sign and an exponent fit 40 bytes.
    let left = if rest.write_fmt(text).is_ok() { rest.len() } else { capacity };
    &buffer[..capacity - left]
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn signed(negative: bool, units: Units) -> Units {
    Units { value: if negative { -units.value } else { units.value }, ..units }
}

/// [`scaled`] for what most fields are: up to 19 digits with up to 8 places, in one multiplication.
fn short_scaled(mantissa: u64, places: usize) -> Units {
    const EIGHT: usize = PLACES as usize;
    let Some(missing) = EIGHT.checked_sub(places) else {
        return scaled(u128::from(mantissa), u32::try_from(places).unwrap_or(u32::MAX));
    };
    let units = u128::from(mantissa).wrapping_mul(u128::from(POW10[missing]));
    Units { value: saturated(units), rounded: false }
}

/// `mantissa` × 10^-`places`, `places` ≤ 38, rounded half-even to units.
fn scaled(mantissa: u128, places: u32) -> Units {
    if places <= PLACES {
        let factor = u128::from(POW10[(PLACES - places) as usize]);
        let value = mantissa.checked_mul(factor).map_or(LIMIT_E8, saturated);
        return Units { value, rounded: false };
    }
    let denominator = 10_u128.pow(places - PLACES);
    let (mut quotient, rest) = match u64::try_from(mantissa) {
        // Doubles printed in full land here: 64-bit division is several times as fast.
        Ok(small) if places - PLACES < 20 => {
            let d = POW10[(places - PLACES) as usize];
            (u128::from(small / d), u128::from(small % d))
        }
        _ => (mantissa / denominator, mantissa % denominator),
    };
    let up = match (rest * 2).cmp(&denominator) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient & 1 == 1,
        std::cmp::Ordering::Greater => true,
    };
    quotient += u128::from(up);
    let change = if up { denominator - rest } else { rest };
    let noise = 10_u128.pow(places.saturating_sub(NOISE_PLACES));
    let counted = if places >= NOISE_PLACES { change > noise } else { change > 0 };
    Units { value: saturated(quotient), rounded: counted }
}

fn saturated(magnitude: u128) -> i128 {
    i128::try_from(magnitude).map_or(LIMIT_E8, |v| v.min(LIMIT_E8))
}

/// The general form: blanks, exponents, more than 19 digits, and the words that are no numbers.
fn long_text(text: &[u8]) -> Result<Units, BadRow> {
    let text = text.trim_ascii();
    let (negative, body) = sign(text);
    if is_not_finite(body) {
        return Err(BadRow::NotFinite);
    }
    let (digits, exponent) = match body.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&body[..at], exponent(&body[at + 1..])?),
        None => (body, 0),
    };
    let mut kept = Kept::default();
    for &byte in digits {
        kept.push(byte)?;
    }
    if !kept.any {
        return Err(BadRow::Unreadable);
    }
    Ok(signed(negative, kept.units(exponent)))
}

fn is_not_finite(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] = [b"nan", b"inf", b"infinity", b"1.#inf", b"1.#qnan", b"1.#ind"];
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// An exponent, held within ±10^6: beyond that every value is 0 or too large anyway.
fn exponent(text: &[u8]) -> Result<i64, BadRow> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadRow::Unreadable);
    }
    let value = digits.iter().fold(0_i64, |n, b| (n * 10 + i64::from(b - b'0')).min(1_000_000));
    Ok(if negative { -value } else { value })
}

/// The leading digits of a text of any length.
#[derive(Default)]
struct Kept {
    mantissa: u128,
    significant: usize,
    /// Digits after the point that were kept, less the ones before it that were not.
    places: i64,
    after_point: bool,
    /// A digit other than 0 was not kept.
    sticky: bool,
    any: bool,
}

impl Kept {
    fn push(&mut self, byte: u8) -> Result<(), BadRow> {
        if byte == b'.' && !self.after_point {
            self.after_point = true;
            return Ok(());
        }
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(BadRow::Unreadable);
        }
        self.any = true;
        if self.significant == KEPT_DIGITS {
            self.sticky |= digit != 0;
            self.places -= i64::from(!self.after_point);
            return Ok(());
        }
        self.mantissa = self.mantissa * 10 + u128::from(digit);
        self.significant += usize::from(self.mantissa != 0);
        self.places += i64::from(self.after_point);
        Ok(())
    }

    fn units(&self, exponent: i64) -> Units {
        // One more digit carries the sticky bit, so that ties and noise are told exactly.
        let mantissa = self.mantissa * 10 + u128::from(self.sticky);
        let places = self.places + 1 - exponent;
        if self.mantissa == 0 {
            return Units { value: 0, rounded: false };
        }
        match u32::try_from(places) {
            Ok(places) if places <= 38 => scaled(mantissa, places),
            Ok(places) => tiny(mantissa, places),
            Err(_) => {
                let factor = u32::try_from(-places).ok().and_then(|p| 10_u128.checked_pow(p));
                let whole = factor.and_then(|f| mantissa.checked_mul(f));
                whole.map_or(Units { value: LIMIT_E8, rounded: false }, |w| scaled(w, 0))
            }
        }
    }
}

/// More than 38 places: digits past the 38th only matter as "something more follows".
fn tiny(mantissa: u128, places: u32) -> Units {
    let cut = places - 37;
    let Some(divisor) = 10_u128.checked_pow(cut) else {
        return Units { value: 0, rounded: false };
    };
    let (head, tail) = (mantissa / divisor, mantissa % divisor);
    scaled(head * 10 + u128::from(tail != 0), 38)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;

    fn units(s: &str) -> (i128, bool) {
        let u = text(s.as_bytes()).unwrap();
        (u.value, u.rounded)
    }

    #[test]
    fn texts_of_every_shape() {
        assert_eq!(units("46319.0"), (4_631_900_000_000, false));
        assert_eq!(units(" +1.5 "), (150_000_000, false));
        assert_eq!(units("-.5"), (-50_000_000, false));
        assert_eq!(units("5."), (500_000_000, false));
        assert_eq!(units("1e-05"), (1_000, false));
        assert_eq!(units("1.5E+3"), (150_000_000_000, false));
        assert_eq!(units("0"), (0, false));
        assert_eq!(units("-0.0"), (0, false));
        assert_eq!(units("0.00000000000000000000000000000000000000000000000001"), (0, false));
        assert_eq!(
            units("000000000000000000000000000000000000000000000000001"),
            (ONE_E8.into(), false)
        );
        assert_eq!(units("1e-400"), (0, false));
        assert_eq!(units("123456789012.12345678"), (12_345_678_901_212_345_678, false));
    }

    #[test]
    fn halves_go_to_even_and_only_real_changes_count() {
        assert_eq!(units("0.000000005"), (0, true));
        assert_eq!(units("0.000000015"), (2, true));
        assert_eq!(units("0.0000000050000000000000000000000000000000000000000001"), (1, true));
        assert_eq!(units("0.09847660000000001"), (9_847_660, false));
        assert_eq!(units("0.09847659999999999"), (9_847_660, false));
        assert_eq!(
            units("0.000000010001"),
            (1, false),
            "a change of exactly 1e-12 is not above it"
        );
        assert_eq!(units("0.0000000100010000000000000000000001"), (1, true));
        assert_eq!(units("0.00000001000200"), (1, true));
        assert_eq!(units("1e-9"), (0, true));
    }

    #[test]
    fn what_decimal_20_8_cannot_hold_saturates() {
        assert_eq!(units("999999999999.99999999").0, LIMIT_E8 - 1);
        assert_eq!(units("999999999999.999999999").0, LIMIT_E8);
        assert_eq!(units("1e12").0, LIMIT_E8);
        assert_eq!(units("-1e300").0, -LIMIT_E8);
        assert_eq!(units(&"9".repeat(500)).0, LIMIT_E8);
    }

    #[test]
    fn words_are_no_numbers() {
        for word in ["nan", "NaN", "inf", "-Infinity", "+INF"] {
            assert_eq!(text(word.as_bytes()), Err(BadRow::NotFinite), "{word}");
        }
        for word in
            ["", " ", "-", ".", "e5", "1e", "1,5", "0x10", "1.2.3", "null", "1e5.0", "--1", "1 2"]
        {
            assert_eq!(text(word.as_bytes()), Err(BadRow::Unreadable), "{word}");
        }
    }

    #[test]
    fn doubles_by_their_shortest_decimal() {
        assert_eq!(double(0.1).unwrap().value, 10_000_000);
        assert_eq!(
            double(0.098_476_600_000_000_01).unwrap(),
            Units { value: 9_847_660, rounded: false }
        );
        assert_eq!(double(1e-9).unwrap(), Units { value: 0, rounded: true });
        assert_eq!(double(2_300_413.729_5).unwrap().value, 230_041_372_950_000);
        assert_eq!(double(1e300).unwrap().value, LIMIT_E8);
        assert_eq!(double(f64::NAN), Err(BadRow::NotFinite));
        assert_eq!(double(f64::NEG_INFINITY), Err(BadRow::NotFinite));
        assert_eq!(single(0.1).unwrap().value, 10_000_000);
    }

    #[test]
    fn counts_are_whole() {
        assert_eq!(count(text(b"12.0").unwrap()), Ok(12));
        assert_eq!(count(text(b"-3").unwrap()), Ok(-3));
        assert_eq!(count(text(b"1.5").unwrap()), Err(BadRow::Unreadable));
        assert_eq!(count(text(b"3000000000").unwrap()), Err(BadRow::Unreadable));
    }

    fn oracle(d: Decimal) -> (i128, bool) {
        let rounded = sim::exact::round_half_even(d);
        let change = (d - rounded).abs();
        (sim::exact::units(d).unwrap(), change > Decimal::new(1, 12))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn as_rust_decimal_says(mantissa in -999_999_999_999_999_999_999_i128..1_000_000_000_000_000_000_000, scale in 10_u32..=22) {
            let d = Decimal::from_i128_with_scale(mantissa, scale);
            prop_assert_eq!(units(&d.to_string()), oracle(d));
            let u = fixed(mantissa, scale);
            prop_assert_eq!((u.value, u.rounded), oracle(d));
        }

        #[test]
        fn near_ties_as_rust_decimal_says(units_ in 0_i64..1_000_000, tail in 0_u32..=10_001) {
            let d = Decimal::from_i128_with_scale(i128::from(units_) * 10_000 + i128::from(tail), 12);
            prop_assert_eq!(units(&d.to_string()), oracle(d));
        }

        #[test]
        fn exponents_only_move_the_point(mantissa in 1_u64..10_000_000_000_000, shift in -20_i32..8) {
            let plain = if shift < 0 {
                fixed(i128::from(mantissa), shift.unsigned_abs())
            } else {
                fixed(i128::from(mantissa) * 10_i128.pow(shift.unsigned_abs()), 0)
            };
            prop_assert_eq!(text(format!("{mantissa}e{shift}").as_bytes()).unwrap(), plain);
        }

        #[test]
        fn a_double_is_its_printed_text(value in prop_oneof![any::<f64>(), -1e6..1e6, 0.0..1e-6, (0_u64..10_000_000_000_000_000).prop_map(|u| u as f64 / 1e8)]) {
            if value.is_finite() {
                prop_assert_eq!(double(value), text(format!("{value}").as_bytes()));
            }
        }
    }
}
