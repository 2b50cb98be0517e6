//! Exact arithmetic on decimals of eight places, as integers of 1e-8 and as `Decimal`.
//! No f64 may decide a money question here: f64 leaves this file only as a correctly rounded result.

use rust_decimal::{Decimal, RoundingStrategy};

/// Decimal places of every price, quantity and money column.
pub const PLACES: u32 = 8;
/// One, in units of 1e-8.
pub const ONE_E8: i64 = 100_000_000;
/// First magnitude that DECIMAL(20,8) cannot hold, in units of 1e-8 (10^12).
pub const LIMIT_E8: i128 = 100_000_000_000_000_000_000;

/// Integers below this are doubles themselves, so one division of them is rounded once.
pub(crate) const EXACT_DOUBLE: i64 = 1 << 53;

/// `units` of 1e-8 as a `Decimal`.
///
/// # Panics
/// When `units` is beyond 96 bits, far past [`LIMIT_E8`]: callers check the limit first.
#[must_use]
pub fn decimal(units: i128) -> Decimal {
    Decimal::from_i128_with_scale(units, PLACES)
}

/// `value` in units of 1e-8, rounded half-even; `None` at or beyond DECIMAL(20,8).
#[must_use]
pub fn units(value: Decimal) -> Option<i128> {
    let rounded = round_half_even(value);
    let shift = PLACES - rounded.scale().min(PLACES);
    let units = rounded.mantissa().checked_mul(10_i128.pow(shift))?;
    (units.abs() < LIMIT_E8).then_some(units)
}

/// `value` rounded half-even to eight places.
#[must_use]
pub fn round_half_even(value: Decimal) -> Decimal {
    value.round_dp_with_strategy(PLACES, RoundingStrategy::MidpointNearestEven)
}

/// `num / den` rounded half-even to an integer; `den > 0`.
#[must_use]
pub fn div_half_even(num: i128, den: i128) -> i128 {
    debug_assert!(den > 0);
    let quotient = num.div_euclid(den);
    let remainder = num.rem_euclid(den);
    match (remainder * 2).cmp(&den) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + (quotient & 1),
    }
}

/// The double nearest to `num / den` (ties to even); `den != 0`.
///
/// Both as exact integers, so the result is rounded once whatever their size.
#[must_use]
pub fn ratio(num: i128, den: i128) -> f64 {
    const EXACT: u128 = 1 << 53;
    let negative = (num < 0) != (den < 0);
    let (n, d) = (num.unsigned_abs(), den.unsigned_abs());
    let magnitude = if n <= EXACT && d <= EXACT {
        double(n) / double(d)
    } else {
        near_ratio(n, d).unwrap_or_else(|| wide_ratio(n, d))
    };
    if negative { -magnitude } else { magnitude }
}

/// The product of two integers, which those of 64 bits always have: sooner for them.
#[inline]
pub(crate) fn product(a: i128, b: i128) -> Option<i128> {
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a).wrapping_mul(b.into())),
        _ => a.checked_mul(b),
    }
}

/// `100 * pnl / (quantity * price)`, all in units of 1e-8, as [`ratio`] rounds it: by doubles, and NaN where they leave a
/// doubt. Without a branch, so that several are made at once.
#[inline(always)]
pub(crate) fn quick_per_cent(pnl: i64, quantity: i64, price: i64) -> f64 {
    /// Integers up to here are doubles.
    const EXACT: u64 = 1 << 53;
    /// Far above what is lost below, as a part of the quotient.
    const LOST: f64 = 1.0 / (1_u128 << 90) as f64;
    // Numerator and denominator as sums of two doubles each, without an error.
    let split = |a: f64, b: f64| (a * b, a.mul_add(b, -(a * b)));
    let (num, num_rest) = split(pnl as f64, 100.0 * ONE_E8 as f64);
    let (den, den_rest) = split(quantity as f64, price as f64);
    let quotient = num / den;
    // What the quotient leaves; its first part is without an error, the others are 2^-53 of it or less.
    let left = (-quotient).mul_add(den, num) + (num_rest - quotient * den_rest);
    let more = left / den;
    let doubt = quotient * LOST;
    let (one, other) = (quotient + (more - doubt), quotient + (more + doubt));
    let short = (pnl.unsigned_abs() | quantity.unsigned_abs() | price.unsigned_abs()) < EXACT;
    if short & (quantity > 0) & (price > 0) & (one == other) { one } else { f64::NAN }
}

/// What many numbers are divided by, as a division rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Divisor {
    den: f64,
    inverse: f64,
}

impl Divisor {
    /// By a whole number.
    pub(crate) fn new(den: f64) -> Self {
        Self { den, inverse: 1.0 / den }
    }

    /// `num / den` of 0, or of a double from 1 up to 2^53, without the wait for a division: the first product is less than two
    /// of its last places off, and after the first correction less than one. The rest that is left then is exact, and what it
    /// adds rounds the quotient as a division would (Markstein 1990).
    #[inline(always)]
    pub(crate) fn quotient(self, num: f64) -> f64 {
        let corrected = |near: f64| (-near).mul_add(self.den, num).mul_add(self.inverse, near);
        corrected(corrected(num * self.inverse))
    }
}

/// The quotient by one division of doubles, set right by the exact rest it leaves. `None` where the numbers are too long
/// or too far apart for that, or lie at a power of two, where doubles change their distance.
#[inline]
fn near_ratio(n: u128, d: u128) -> Option<f64> {
    const LEAST: u64 = 1 << 52;
    let guess = (rough(n) / rough(d)).to_bits();
    // The guess is whole × 2^-shift; the true whole number is at most 2 away.
    let mut whole = guess & (LEAST - 1) | LEAST;
    let shift = 1_075_u32.checked_sub((guess >> 52) as u32)?;
    if shift >= n.leading_zeros() || d >> 74 != 0 {
        return None;
    }
    // Both below 2^127.
    let product = d.wrapping_mul(whole.into());
    let mut twice = (n << shift).cast_signed().wrapping_sub(product.cast_signed()) * 2;
    let d = d.cast_signed();
    // To even: a rest of half the divisor moves an odd number.
    while twice + i128::from(whole & 1) > d {
        (whole, twice) = (whole + 1, twice - 2 * d);
    }
    while twice - i128::from(whole & 1) < -d {
        (whole, twice) = (whole - 1, twice + 2 * d);
    }
    let plain = LEAST < whole && whole < 2 * LEAST;
    plain.then(|| whole as f64 * power_of_two(-shift.cast_signed()))
}

/// `n` as a double that is at most one place off.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "63 bits are left")]
fn rough(n: u128) -> f64 {
    let over = 65_u32.saturating_sub(n.leading_zeros());
    ((n >> over) as u64).cast_signed() as f64 * power_of_two(over.cast_signed())
}

/// Long division to at least 55 significant bits with a sticky bit; the cast to f64 then rounds once, to even.
fn wide_ratio(n: u128, d: u128) -> f64 {
    if n == 0 {
        return 0.0;
    }
    // Shifted so that the first division gives some 62 bits, which the processor does in one step.
    let wanted = (62 + n.leading_zeros()).saturating_sub(d.leading_zeros());
    let shift = wanted.min(n.leading_zeros());
    let n = n << shift;
    let mut quotient = n / d;
    let mut remainder = n - quotient * d;
    let mut exponent = -shift.cast_signed();
    while quotient < 1 << 55 && remainder != 0 {
        // d < 2^127 because it came from an i128, so the doubled remainder fits.
        remainder <<= 1;
        quotient = (quotient << 1) | u128::from(remainder >= d);
        if remainder >= d {
            remainder -= d;
        }
        exponent -= 1;
    }
    if remainder != 0 {
        quotient |= 1;
    }
    double(quotient) * power_of_two(exponent)
}

/// `n` as the nearest double; 64 bits are converted in one instruction, 128 in a call.
fn double(n: u128) -> f64 {
    u64::try_from(n).map_or(n as f64, |n| n as f64)
}

/// 2^`exponent`, which is that of a normal double.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(u64::from((1023 + exponent).unsigned_abs()) << 52)
}

/// Units of 1e-8 as the double nearest to the decimal they stand for.
#[must_use]
pub fn to_f64(units: i128) -> f64 {
    ratio(units, i128::from(ONE_E8))
}

/// `100 × num / den`, the double nearest to the exact value; `den` is above 0, and `num` below 2^120.
pub(crate) fn per_cent(num: i128, den: i128) -> f64 {
    ratio(100 * num, den)
}

/// A double as the shortest decimal that reads back as the same double, but for digits behind the 28th place, which a
/// decimal does not hold: there it is rounded. `None` if not finite or too large.
#[must_use]
pub fn shortest_decimal(value: f64) -> Option<Decimal> {
    if !value.is_finite() {
        return None;
    }
    let short = Decimal::from_scientific(&format!("{value:e}")).ok();
    short.or_else(|| format!("{value:.28}").parse().ok())
}

/// Floor of `equity * fraction / (price * (1 + fee))` in units of 1e-8, every operand in units of 1e-8.
/// `None` when the intermediate product would not fit 128 bits.
#[must_use]
pub fn floor_affordable(
    equity: i128,
    fraction: i128,
    price: i128,
    one_plus_fee: i128,
) -> Option<i128> {
    let numerator = equity.checked_mul(fraction)?.checked_mul(i128::from(ONE_E8))?;
    let denominator = price.checked_mul(one_plus_fee)?;
    (denominator > 0).then(|| numerator.div_euclid(denominator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_is_rounded_once() {
        assert_eq!(ratio(1, 3), 1.0 / 3.0);
        assert_eq!(ratio(-1, 3), -1.0 / 3.0);
        // 9007199254740993 / 1 lies half way between two doubles: ties to even.
        assert_eq!(ratio((1 << 53) + 1, 1), 9_007_199_254_740_992.0);
        assert_eq!(ratio((1 << 53) + 3, 1), 9_007_199_254_740_996.0);
        assert_eq!(ratio(i128::MAX, i128::MAX - 1), 1.0);
        let mut state = 9_u128;
        for _ in 0..200_000 {
            let mut next = |bits: u128| {
                state =
                    state.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(1);
                let length = (state >> 64) % bits;
                (state >> 2 >> (126 - length)) + 1
            };
            let (n, d) = (next(100), next(60));
            assert_eq!(ratio(n.cast_signed(), d.cast_signed()), wide_ratio(n, d), "{n} / {d}");
            // Half way between two doubles, and next to that.
            let odd = (1 << 53) + 2 * (n % (1 << 52)) + 1;
            for near in [0, 1, 2] {
                let (n, d) = (odd * d + near - 1, d << (n % 12));
                assert_eq!(ratio(n.cast_signed(), d.cast_signed()), wide_ratio(n, d), "{n} / {d}");
            }
        }
        let text: f64 = "123456789012.12345678".parse().unwrap();
        assert_eq!(to_f64(12_345_678_901_212_345_678), text);
        assert_eq!(to_f64(0), 0.0);
    }

    #[test]
    fn quotients_are_those_of_a_division() {
        let mut state = 13_u64;
        for round in 0..400_000_u64 {
            let mut next = |most: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 11) % (1 << (1 + (state >> 5) % most))
            };
            let den = (1 + next(24)) as f64 * if round % 2 == 0 { ONE_E8 as f64 } else { 1.0 };
            // Also next to a multiple, where quotients are nearly whole.
            let whole = (next(20) as f64 * den + next(2) as f64).min(9e15);
            let num = next(53) as f64;
            for num in [num, num.sqrt(), whole] {
                assert_eq!(Divisor::new(den).quotient(num), num / den, "{num} / {den}");
            }
        }
    }

    #[test]
    fn quick_per_cents_are_rounded_once() {
        let (mut state, mut quick) = (11_u64, 0);
        for _ in 0..200_000 {
            let mut next = |most: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let bits = 1 + (state >> 33) % most;
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ((state >> 10 >> (54 - bits)) + 1).cast_signed()
            };
            let (pnl, quantity, price) = (next(54) - next(54), next(54), next(54));
            let got = quick_per_cent(pnl, quantity, price);
            if !got.is_nan() {
                quick += 1;
                let num = i128::from(pnl) * 100 * i128::from(ONE_E8);
                let den = i128::from(quantity) * i128::from(price);
                assert_eq!(got.to_bits(), ratio(num, den).to_bits(), "{pnl} {quantity} {price}");
            }
        }
        assert!(quick > 150_000, "{quick}");
        // Ties: halves of the last place, in both directions.
        for n in [1, 3, 5] {
            let (pnl, price) = ((1_i64 << 52) + n, 1_i64 << 50);
            let got = quick_per_cent(pnl, 10_000_000_000, price);
            assert!(got.is_nan() || got == pnl as f64 / price as f64);
        }
    }

    #[test]
    fn halves_go_to_even() {
        assert_eq!(div_half_even(5, 2), 2);
        assert_eq!(div_half_even(7, 2), 4);
        assert_eq!(div_half_even(-5, 2), -2);
        assert_eq!(div_half_even(-7, 2), -4);
        assert_eq!(div_half_even(-1, 3), 0);
    }

    #[test]
    fn units_round_and_refuse() {
        let d = |s: &str| s.parse::<Decimal>().unwrap();
        assert_eq!(units(d("0.000000005")), Some(0));
        assert_eq!(units(d("0.000000015")), Some(2));
        assert_eq!(units(d("999999999999.99999999")), Some(LIMIT_E8 - 1));
        assert_eq!(units(d("1000000000000")), None);
        assert_eq!(decimal(150_000_000), d("1.5"));
    }

    #[test]
    fn shortest_decimal_keeps_what_a_person_typed() {
        assert_eq!(shortest_decimal(0.1).unwrap().to_string(), "0.1");
        assert_eq!(shortest_decimal(1e-7).unwrap().to_string(), "0.0000001");
        assert_eq!(shortest_decimal(f64::NAN), None);
        assert_eq!(shortest_decimal(1e30), None);
        let tiny = shortest_decimal(-5.668_819_695_812_345e-16).unwrap();
        assert_eq!(tiny.to_string(), "-0.0000000000000005668819695812");
        assert!(shortest_decimal(5e-324).unwrap().is_zero());
    }
}
