//! Products and quotients of money in units of 1e-8, rounded as decimals are, in one short division where that is certain.
//! No market and no rule may enter.

use crate::exact;

use super::levels::NEVER;

const ONE: i64 = exact::ONE_E8;
const ONE_U: u128 = exact::ONE_E8 as u128;
/// First amount of money, and first quantity, that is not counted here (23 billion): so that two of them add up.
pub(super) const LIMIT: i64 = 1 << 61;

/// `quantity × price` rounded half-even to eight places, all in units of 1e-8 and none negative; `None` from [`LIMIT`]
/// on.
#[inline(always)]
pub(super) fn value(quantity: i64, price: i64) -> Option<i64> {
    let num = product(quantity, price);
    short_value(num).or_else(|| long_value(num))
}

#[cold]
fn long_value(num: u128) -> Option<i64> {
    half_even(num).filter(|&units| units < LIMIT)
}

/// Where a short's equity is 0 before its own costs: cash / quantity, rounded half-even; [`NEVER`] beyond every price.
#[inline(always)]
pub(super) fn liquidation(cash: i64, quantity: i64) -> Option<i64> {
    let level = cash as f64 * ONE as f64 / quantity as f64;
    let (whole, off) = nearest(level);
    let certain = cash >= 0 && level < FEW && off.abs() < 0.5 - level * ROUNDED;
    if certain { Some(whole) } else { far_liquidation(cash, quantity) }
}

#[cold]
fn far_liquidation(cash: i64, quantity: i64) -> Option<i64> {
    if cash < 0 {
        let level = exact::decimal(cash.into()).checked_div(exact::decimal(quantity.into()))?;
        return Some(exact::units(level).map_or(NEVER, |level| narrow(level).unwrap_or(NEVER)));
    }
    // Of what is not negative a decimal's 28 digits tell every quotient from a half.
    Some(narrow(exact::div_half_even(wide(cash, ONE), quantity.into())).unwrap_or(NEVER))
}

/// Doubles of this size and up to twice as much are whole: added to a smaller one, it leaves the nearest whole number in
/// the last bits.
const WHOLE: f64 = (3_u64 << 51) as f64;

/// Doubles below it are less than 1/4 off after eight roundings of 2^-53 of their size each, which are less than [`ROUNDED`].
const FEW: f64 = (1_u64 << 47) as f64;
pub(super) const ROUNDED: f64 = 1.0 / (1_u64 << 49) as f64;

/// The whole number nearest to a double below 2^50, and how far the double is off.
#[inline(always)]
pub(super) fn nearest(value: f64) -> (i64, f64) {
    let raised = value + WHOLE;
    let bits = raised.to_bits().cast_signed().wrapping_sub(WHOLE.to_bits().cast_signed());
    (bits, value - (raised - WHOLE))
}

/// The greatest whole number not above the quotient that `value` was rounded from a few times, none negative: `None`
/// where that is not certain.
#[inline(always)]
pub(super) fn certain_floor(value: f64) -> Option<i64> {
    let (floor, off) = nearest(value - 0.5);
    let certain = off.abs() < 0.5 - value * ROUNDED;
    (value > 0.0 && value < FEW && certain).then_some(floor)
}

/// The exact product of two numbers that are not negative.
#[inline(always)]
pub(super) fn product(a: i64, b: i64) -> u128 {
    // Two factors below 2^64 never wrap in 128 bits.
    u128::from(a.cast_unsigned()).wrapping_mul(b.cast_unsigned().into())
}

/// The exact product of two numbers.
#[inline]
pub(super) fn wide(a: i64, b: i64) -> i128 {
    i128::from(a).wrapping_mul(b.into())
}

/// `num / 1e8` rounded half-even of a number below 2^71, where most money lies: in one short division, because 1e8 is
/// 2^8 × 390,625. What comes of it is below [`LIMIT`].
#[expect(clippy::cast_possible_truncation, reason = "what is cut off is compared nowhere")]
#[inline(always)]
pub(super) fn short_value(num: u128) -> Option<i64> {
    if num >> 71 != 0 {
        return None;
    }
    // Up from the half on, but back to even from the half itself: there the division leaves nothing.
    let raised = num.wrapping_add(ONE_U / 2);
    let quotient = (raised >> 8) as u64 / ODD;
    let half = quotient.wrapping_mul(ONE.cast_unsigned()) == raised as u64;
    Some(quotient.wrapping_sub(u64::from(half) & quotient & 1).cast_signed())
}

/// What is left of 1e8 without its factor 2^8.
const ODD: u64 = 390_625;

/// `num / 1e8` rounded half-even, where 63 bits hold it.
pub(super) fn half_even(num: u128) -> Option<i64> {
    let (quotient, rest) = split(num)?;
    // To even: a rest of a half goes up from an odd quotient.
    let up = 2 * rest + (quotient & 1) > ONE.unsigned_abs();
    Some(quotient.cast_signed() + i64::from(up))
}

/// Quotient and rest of `num / 1e8`, where the quotient has no more than 62 bits.
#[expect(clippy::cast_possible_truncation, reason = "each part is shorter than what it is cast to")]
pub(super) fn split(num: u128) -> Option<(u64, u64)> {
    let last = num as u64 & 0xFF;
    if num >> 72 == 0 {
        let shifted = (num >> 8) as u64;
        return Some((shifted / ODD, ((shifted % ODD) << 8) | last));
    }
    if num >> 62 >= ONE_U {
        return None;
    }
    let shifted = num >> 8;
    // Below 2^50 and, with the rest of the first division in front, below 2^51.
    let (top, bottom) = ((shifted >> 32) as u64, (shifted & 0xFFFF_FFFF) as u64);
    let low = ((top % ODD) << 32) | bottom;
    Some((((top / ODD) << 32) + low / ODD, ((low % ODD) << 8) | last))
}

pub(super) fn narrow(units: i128) -> Option<i64> {
    i64::try_from(units).ok()
}

/// A sequence of numbers that look random (SplitMix64), for tests.
#[cfg(test)]
pub(super) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_divisions_equal_the_long_one() {
        let mut state = 1;
        for _ in 0..100_000 {
            let num = (u128::from(next(&mut state)) << 64 | u128::from(next(&mut state)))
                >> (next(&mut state) % 128);
            let quotient = u64::try_from(num / ONE_U).ok().filter(|quotient| *quotient < 1 << 62);
            let long = quotient.map(|quotient| (quotient, (num % ONE_U) as u64));
            assert_eq!(split(num), long, "{num}");
            let num = num >> 2;
            let den = i64::try_from(next(&mut state) >> 2 >> (next(&mut state) % 62)).unwrap() + 1;
            let cash = i64::try_from(next(&mut state) >> 2 >> (next(&mut state) % 62)).unwrap();
            let expected = exact::div_half_even(wide(cash, ONE), den.into());
            let expected = narrow(expected).unwrap_or(NEVER);
            assert_eq!(liquidation(cash, den), Some(expected), "{cash} / {den}");
            if let Some(short) = half_even(num) {
                let expected = exact::div_half_even(num.cast_signed(), i128::from(ONE));
                assert_eq!(i128::from(short), expected, "{num}");
            }
            for num in [num, num - num % ONE_U + ONE_U / 2 - u128::from(next(&mut state) % 3)] {
                if num >> 71 == 0 {
                    assert_eq!(short_value(num), half_even(num), "{num}");
                }
            }
        }
        assert_eq!(half_even(150_000_000), Some(2));
        assert_eq!(half_even(250_000_000), Some(2));
        assert_eq!(liquidation(3, 2 * ONE), Some(2));
        assert_eq!(liquidation(5, 2 * ONE), Some(2));
    }
}
