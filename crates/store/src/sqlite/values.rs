//! Values on their way into a statement, all in two pieces of memory. No SQL may enter.

use std::ops::Range;

use rust_decimal::Decimal;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(&'a str),
}

/// Values in the order of the places that they are for.
#[derive(Debug, Default)]
pub(crate) struct Values {
    texts: String,
    kept: Vec<Kept>,
}

#[derive(Clone, Debug)]
enum Kept {
    Null,
    Int(i64),
    Real(f64),
    /// Where in `texts`.
    Text(Range<usize>),
}

impl Values {
    /// Empty, with room for so many values and the texts that they usually have.
    pub(crate) fn with_capacity(n: usize) -> Self {
        Self { texts: String::with_capacity(n * 10), kept: Vec::with_capacity(n) }
    }

    pub(crate) fn int(&mut self, value: impl Into<Option<i64>>) {
        self.kept.push(value.into().map_or(Kept::Null, Kept::Int));
    }

    pub(crate) fn real(&mut self, value: Option<f64>) {
        self.kept.push(value.map_or(Kept::Null, Kept::Real));
    }

    pub(crate) fn text<'a>(&mut self, value: impl Into<Option<&'a str>>) {
        match value.into() {
            Some(text) => self.add(|texts| texts.push_str(text)),
            None => self.kept.push(Kept::Null),
        }
    }

    /// As [`crate::tx::decimal_text`].
    pub(crate) fn decimal(&mut self, value: impl Into<Option<Decimal>>, places: u32) {
        match value.into() {
            Some(value) => self.add(|texts| push_decimal(texts, value, places)),
            None => self.kept.push(Kept::Null),
        }
    }

    fn add(&mut self, write: impl FnOnce(&mut String)) {
        let from = self.texts.len();
        write(&mut self.texts);
        self.kept.push(Kept::Text(from..self.texts.len()));
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Value<'_>> {
        self.kept.iter().map(|kept| match kept {
            Kept::Null => Value::Null,
            &Kept::Int(int) => Value::Int(int),
            &Kept::Real(real) => Value::Real(real),
            Kept::Text(at) => Value::Text(&self.texts[at.clone()]),
        })
    }
}

/// Most digits of a decimal: 96 bits, or 28 places and one before them.
const DIGITS: usize = 29;

/// Digit by digit: a formatter takes several times as long, and of a hundred thousand trades that is seen.
fn push_decimal(texts: &mut String, mut value: Decimal, places: u32) {
    value.rescale(places);
    let places = value.scale() as usize;
    let mut rest = value.mantissa().unsigned_abs();
    let mut digits = [b'0'; DIGITS];
    let mut first = DIGITS;
    // At least one digit stands before the point.
    while rest > 0 || DIGITS - first <= places {
        let digit;
        (rest, digit) = by_ten(rest);
        first -= 1;
        digits[first] += digit;
    }
    if value.is_sign_negative() {
        texts.push('-');
    }
    let text = std::str::from_utf8(&digits[first..]).unwrap_or_default();
    let (whole, part) = text.split_at(text.len() - places);
    texts.push_str(whole);
    if places > 0 {
        texts.push('.');
        texts.push_str(part);
    }
}

/// A tenth of `n`, and what is left over.
fn by_ten(n: u128) -> (u128, u8) {
    // 64 bits are divided in a few instructions, 128 are not.
    let (tenth, left) = match u64::try_from(n) {
        Ok(n) => (u128::from(n / 10), u128::from(n % 10)),
        Err(_) => (n / 10, n % 10),
    };
    (tenth, u8::try_from(left).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tx::decimal_text;

    fn pushed(value: Decimal, places: u32) -> String {
        let mut text = String::new();
        push_decimal(&mut text, value, places);
        text
    }

    #[test]
    fn decimals_at_the_ends_of_what_there_is() {
        for value in
            [Decimal::ZERO, -Decimal::ZERO, Decimal::MAX, Decimal::MIN, Decimal::new(-1, 28)]
        {
            for places in [0, 4, 8, 28] {
                assert_eq!(pushed(value, places), decimal_text(value, places), "{value:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_decimal_is_written_as_the_formatter_writes_it(
            mantissa in -(1_i128 << 96) + 1..1_i128 << 96,
            shift in 0_u32..96,
            scale in 0_u32..=28,
            places in 0_u32..=28,
        ) {
            let value = Decimal::from_i128_with_scale(mantissa >> shift, scale);
            prop_assert_eq!(pushed(value, places), decimal_text(value, places));
        }
    }
}
