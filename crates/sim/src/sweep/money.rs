//! The market's rules in integers of 1e-8: fill prices, costs, levels and quantities, digit for digit what `fill` computes.
//! No bar index and no state; what does not fit the fast integers goes through `fill`'s own decimals.

use rust_decimal::Decimal;

use crate::exact;
use crate::fill;
use crate::order::{Distance, Side, Size};
use crate::rules::{Fill, Intrabar, Rules, fraction_of_bps};

const ONE: i64 = exact::ONE_E8;
const ONE_U: u128 = exact::ONE_E8 as u128;
/// Greatest price and tick that the integers here take: a fill price (less than twice a bar's price and a tick
/// more) then fits 63 bits.
pub(super) const MAX_PRICE_E8: i64 = 1 << 61;

/// [`Rules`] of one variant and the size of its orders, in integers of 1e-8.
#[derive(Clone, Debug)]
pub(super) struct Market {
    pub(super) at_close: bool,
    pub(super) intrabar: Intrabar,
    pub(super) capital: i128,
    fee: i64,
    maker_fee: i64,
    slip_up: i64,
    slip_down: i64,
    tick: i64,
    lot: i128,
    pub(super) min_notional: i128,
    one_plus_fee: i128,
    size: Amount,
}

/// [`Size`] in units of 1e-8; `None` where its number is beyond DECIMAL(20,8), which ends the run at the first entry.
#[derive(Clone, Copy, Debug)]
enum Amount {
    Equity(Option<i128>),
    Quote(Option<i128>),
    Quantity(Option<i128>),
    Risk(Option<i128>),
}

impl Market {
    /// `None` when a rule does not fit: the reference loop takes such a variant.
    pub(super) fn new(rules: &Rules, size: Size) -> Option<Self> {
        let rate = |bps: Decimal| narrow(exact::units(fraction_of_bps(bps))?);
        let slip = rate(rules.slippage_bps)?;
        let fee = rate(rules.fee_bps)?;
        let tick = narrow(exact::units(rules.tick_size)?).filter(|&tick| tick <= MAX_PRICE_E8)?;
        Some(Self {
            at_close: rules.fill == Fill::Close,
            intrabar: rules.intrabar,
            capital: exact::units(rules.capital)?,
            fee,
            maker_fee: rate(rules.maker_fee_bps)?,
            slip_up: ONE + slip,
            slip_down: ONE - slip,
            tick,
            lot: exact::units(rules.lot_step)?,
            min_notional: exact::units(rules.min_notional)?,
            one_plus_fee: i128::from(ONE + fee),
            size: match size {
                Size::Equity(f) => Amount::Equity(exact::units(f)),
                Size::Quote(q) => Amount::Quote(exact::units(q)),
                Size::Quantity(n) => Amount::Quantity(exact::units(n)),
                Size::Risk(r) => Amount::Risk(exact::units(r)),
            },
        })
    }

    /// As [`fill::taker_price`].
    #[inline]
    pub(super) fn taker_price(&self, raw: i64, buying: bool) -> i64 {
        let factor = if buying { self.slip_up } else { self.slip_down };
        if factor == ONE {
            return self.maker_price(raw, buying);
        }
        let (quotient, rest) = split(product(raw.unsigned_abs(), factor.unsigned_abs()));
        // Below 2^62: the price is at most 2^61, the factor below 2.
        let below = i64::try_from(quotient).unwrap_or(i64::MAX);
        let on_tick = if self.tick == 1 { below } else { below - below % self.tick };
        let exact = rest == 0 && on_tick == below;
        if buying && !exact { on_tick + self.tick } else { on_tick }
    }

    /// As [`fill::maker_price`].
    #[inline]
    pub(super) fn maker_price(&self, raw: i64, buying: bool) -> i64 {
        if self.tick == 1 {
            return raw;
        }
        let below = raw - raw % self.tick;
        if buying && below != raw { below + self.tick } else { below }
    }

    /// As [`fill::cost`]: notional and fee, `None` when beyond DECIMAL(20,8).
    #[inline]
    pub(super) fn cost(&self, quantity: i128, price: i64, maker: bool) -> Option<(i128, i128)> {
        let notional = value(quantity, price)?;
        let rate = if maker { self.maker_fee } else { self.fee };
        Some((notional, if rate == 0 { 0 } else { value(notional, rate)? }))
    }

    /// As [`fill::quantity`], and what it costs: quantity, notional and fee. `stop` is the level that a size by risk
    /// measures from.
    pub(super) fn quantity(
        &self,
        price: i64,
        equity: i128,
        stop: Option<i128>,
    ) -> Option<(i128, i128, i128)> {
        if price <= 0 {
            return Some((0, 0, 0));
        }
        let wide_price = i128::from(price);
        let raw = match self.size {
            Amount::Equity(fraction) => self.affordable(equity, fraction?, price)?,
            Amount::Quote(quote) => quote?.checked_mul(i128::from(ONE))?.div_euclid(wide_price),
            Amount::Quantity(quantity) => quantity?,
            Amount::Risk(fraction) => {
                let distance = (wide_price - stop?).abs();
                equity.checked_mul(fraction?)?.checked_div(distance)?
            }
        };
        let on_grid = if self.lot == 1 { raw } else { raw - raw.rem_euclid(self.lot) };
        if on_grid >= exact::LIMIT_E8 {
            return None;
        }
        let (notional, fee) = self.cost(on_grid, price, false)?;
        let excess = notional + fee - equity;
        // The few lots by which rounding alone makes an equity-sized order exceed cash.
        if matches!(self.size, Amount::Equity(_)) && (1..=2).contains(&excess) {
            let fewer = self.within_cash(on_grid, price, excess)?;
            let (notional, fee) = self.cost(fewer, price, false)?;
            return Some((fewer, notional, fee));
        }
        Some((on_grid, notional, fee))
    }

    /// As [`exact::floor_affordable`]: estimated in doubles, corrected by one exact multiplication.
    #[expect(clippy::cast_possible_truncation, reason = "the estimate is below 2^48")]
    fn affordable(&self, equity: i128, fraction: i128, price: i64) -> Option<i128> {
        const SMALL: i64 = 1 << 62;
        const FEW: f64 = (1_u64 << 48) as f64;
        let wide_price = i128::from(price);
        let long = || exact::floor_affordable(equity, fraction, wide_price, self.one_plus_fee);
        let (Some(money), Some(part)) = (narrow(equity), narrow(fraction)) else { return long() };
        let one_plus_fee = ONE + self.fee;
        let estimate =
            money as f64 * part as f64 * ONE as f64 / (price as f64 * one_plus_fee as f64);
        if !(0..SMALL).contains(&money) || !(0..=ONE).contains(&part) || estimate >= FEW {
            return long();
        }
        // Below 2^48, and wrong by less than 1: six roundings of 2^-53 each.
        let mut quotient = i128::from(estimate as i64);
        // 2^62 × 1e8 × 1e8 < 2^116; the price is below 2^63 and one plus the fee below 2^28. The product
        // lies within one divisor of the dividend, so nothing wraps.
        let divisor = wide_price.wrapping_mul(self.one_plus_fee);
        let dividend = equity.wrapping_mul(fraction).wrapping_mul(i128::from(ONE));
        let mut rest = dividend.wrapping_sub(quotient.wrapping_mul(divisor));
        while rest < 0 {
            quotient -= 1;
            rest += divisor;
        }
        while rest >= divisor {
            quotient += 1;
            rest -= divisor;
        }
        Some(quotient)
    }

    /// As the function of this name in `fill`, once the excess is known to be one of rounding.
    fn within_cash(&self, quantity: i128, price: i64, excess: i128) -> Option<i128> {
        let lot_value = self.lot.checked_mul(i128::from(price))?;
        let excess_e16 = excess * i128::from(ONE);
        // Where a lot is worth more than the excess, as it is but for the cheapest, nothing need be divided.
        let lots = match lot_value >= excess_e16 {
            true => 1,
            false => (excess_e16 + lot_value - 1).div_euclid(lot_value),
        };
        Some((quantity - self.lot.checked_mul(lots)?).max(0))
    }
}

/// A distance as one entry uses it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gap {
    /// It has no value at the bar of the decision.
    Undefined,
    /// A fraction of the price, in units of 1e-8.
    Fraction(i64),
    /// Quote units of 1e-8, already rounded, where that rounds the level the same way.
    Units(i64),
    /// Whatever is not certain in integers.
    Exact(Distance),
}

impl Gap {
    /// A fraction of the price; exact in units of 1e-8 where it has no more than eight places.
    pub(super) fn fraction(fraction: Decimal) -> Self {
        let short = fraction.normalize();
        let units = (short.scale() <= exact::PLACES).then(|| exact::units(short)).flatten();
        match units.and_then(narrow) {
            Some(units) if units.abs() < 1 << 40 => Self::Fraction(units),
            _ => Self::Exact(Distance::Fraction(fraction)),
        }
    }

    /// A distance in quote units by its shortest decimal, as `signals` takes it; NaN is undefined.
    #[expect(clippy::cast_possible_truncation, reason = "what is cast is below 2^40")]
    pub(super) fn quote(distance: f64) -> Self {
        const NEAR: f64 = (1_u64 << 40) as f64;
        if distance.is_nan() {
            return Self::Undefined;
        }
        let units = distance * ONE as f64;
        // The shortest decimal lies within half a place of the double, so below 2^40 units within 2^-12 of
        // `units`; unless that is near a half, both round alike, and so does the level around a whole price.
        let from_half = (units - units.floor() - 0.5).abs();
        if units.abs() < NEAR && from_half > 0.01 {
            return Self::Units(units.round() as i64);
        }
        let money = exact::shortest_decimal(distance);
        money.map_or(Self::Undefined, |money| Self::Exact(Distance::Quote(money)))
    }

    /// The level at this distance above or below `price`, rounded half-even; `None` when not above 0 or too large.
    pub(super) fn level(self, price: i64, up: bool) -> Option<i128> {
        /// Below it decimals of 96 bits hold the product whole.
        const WHOLE: u128 = 1 << 89;
        let level = match self {
            Self::Undefined => return None,
            Self::Units(units) => i128::from(price) + i128::from(if up { units } else { -units }),
            Self::Fraction(fraction) => {
                let factor = if up { ONE + fraction } else { ONE - fraction };
                if factor <= 0 {
                    return None;
                }
                let num = product(price.unsigned_abs(), factor.unsigned_abs());
                if num >= WHOLE {
                    let fraction = exact::decimal(fraction.into());
                    return Self::Exact(Distance::Fraction(fraction)).level(price, up);
                }
                half_even(num)
            }
            Self::Exact(distance) => {
                let side = if up { Side::Short } else { Side::Long };
                let level = fill::trailing_level(exact::decimal(price.into()), side, distance)?;
                exact::units(level)?
            }
        };
        (level > 0 && level < exact::LIMIT_E8).then_some(level)
    }
}

/// `quantity × price` rounded half-even to eight places, all in units of 1e-8; `None` at or beyond DECIMAL(20,8).
#[inline]
pub(super) fn value(quantity: i128, price: i64) -> Option<i128> {
    if let (Ok(quantity), Ok(price)) = (u64::try_from(quantity), u64::try_from(price)) {
        let units = half_even(product(quantity, price));
        return (units < exact::LIMIT_E8).then_some(units);
    }
    let num = quantity.checked_mul(i128::from(price))?;
    let units = exact::div_half_even(num, i128::from(ONE));
    (units.abs() < exact::LIMIT_E8).then_some(units)
}

/// As [`exact::div_half_even`] of what is not negative: estimated in doubles, twice, and corrected.
#[expect(clippy::cast_possible_truncation, reason = "what is cast has no more than 64 bits")]
pub(super) fn div_half_even(num: i128, den: i128) -> i128 {
    const FEW: f64 = (1_u64 << 62) as f64;
    let divisor = den as f64;
    let estimate = num as f64 / divisor;
    if estimate >= FEW {
        return exact::div_half_even(num, den);
    }
    // The first estimate is wrong by less than 2^11, the second by less than 1; products lie near `num`, so that
    // nothing wraps.
    let mut quotient = i128::from(estimate as i64);
    let more = num.wrapping_sub(quotient.wrapping_mul(den)) as f64 / divisor;
    quotient += i128::from(more as i64);
    let mut rest = num.wrapping_sub(quotient.wrapping_mul(den));
    while rest < 0 {
        (quotient, rest) = (quotient - 1, rest + den);
    }
    while rest >= den {
        (quotient, rest) = (quotient + 1, rest - den);
    }
    let up = 2 * rest > den || (2 * rest == den && quotient & 1 == 1);
    quotient + i128::from(up)
}

/// The exact product of two 64-bit numbers.
#[inline]
fn product(a: u64, b: u64) -> u128 {
    // Two factors below 2^64 never wrap in 128 bits.
    u128::from(a).wrapping_mul(u128::from(b))
}

/// `num / 1e8` rounded half-even.
#[inline]
fn half_even(num: u128) -> i128 {
    const HALF: u64 = (exact::ONE_E8 / 2) as u64;
    let (quotient, rest) = split(num);
    let up = rest > HALF || (rest == HALF && quotient & 1 == 1);
    // A quotient of two 64-bit factors and 1e8 is below 2^102.
    (quotient + u128::from(up)).cast_signed()
}

/// Quotient and rest of `num / 1e8`. Below 2^90, where money lies, in two short divisions: 1e8 is 2^8 × 390,625.
#[expect(clippy::cast_possible_truncation, reason = "each part is shorter than what it is cast to")]
#[inline]
fn split(num: u128) -> (u128, u64) {
    const ODD: u64 = 390_625;
    if num >> 90 != 0 {
        return (num / ONE_U, (num % ONE_U) as u64);
    }
    let shifted = num >> 8;
    // Below 2^50 and, with the rest of the first division in front, below 2^51.
    let (top, bottom) = ((shifted >> 32) as u64, (shifted & 0xFFFF_FFFF) as u64);
    let (high, carry) = (top / ODD, top % ODD);
    let low = (carry << 32) | bottom;
    let quotient = (u128::from(high) << 32) + u128::from(low / ODD);
    (quotient, ((low % ODD) << 8) | (num & 0xFF) as u64)
}

fn narrow(units: i128) -> Option<i64> {
    i64::try_from(units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence of numbers that look random (SplitMix64).
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[test]
    fn short_divisions_equal_the_long_one() {
        let mut state = 1;
        for _ in 0..100_000 {
            let num = (u128::from(next(&mut state)) << 64 | u128::from(next(&mut state)))
                >> (next(&mut state) % 128);
            assert_eq!(split(num), (num / ONE_U, (num % ONE_U) as u64), "{num}");
            let num = num >> 2;
            let den = i128::from(next(&mut state) >> 1 >> (next(&mut state) % 62)) + 1;
            let some = (num >> 8).cast_signed();
            assert_eq!(div_half_even(some, den), exact::div_half_even(some, den), "{some} / {den}");
            let expected = exact::div_half_even(num.cast_signed(), i128::from(ONE));
            assert_eq!(half_even(num), expected, "{num}");
        }
        assert_eq!(half_even(150_000_000), 2);
        assert_eq!(half_even(250_000_000), 2);
    }

    #[test]
    fn prices_costs_and_quantities_equal_the_decimals() {
        let mut state = 2;
        for round in 0..20_000_u32 {
            let mut below = |n: u64| i64::try_from(next(&mut state) % n).unwrap();
            let tick = [1, 1_000_000, 25_000_000, 7][usize::try_from(below(4)).unwrap()];
            let lot = [1, 1_000, 100_000_000][usize::try_from(below(3)).unwrap()];
            let rules = Rules {
                fee_bps: Decimal::new(below(400_000), 4),
                slippage_bps: Decimal::new(below(3) * below(400_000), 4),
                tick_size: Decimal::new(tick, 8),
                lot_step: Decimal::new(lot, 8),
                ..Rules::default()
            };
            let size = match round % 4 {
                0 => Size::Equity(Decimal::new(below(100_000_001), 8)),
                1 => Size::Quote(Decimal::new(below(1_000_000_000_000), 8)),
                2 => Size::Quantity(Decimal::new(below(1_000_000_000), 8)),
                _ => Size::Equity(Decimal::ONE),
            };
            let market = Market::new(&rules, size).unwrap();
            let (raw_bits, equity_bits) = (1 + below(61), 1 + below(61));
            let raw = 1 + below(1 << raw_bits);
            let equity = 1 + below(1 << equity_bits);
            let (d_raw, d_equity) = (exact::decimal(raw.into()), exact::decimal(equity.into()));
            for buying in [true, false] {
                let price = market.taker_price(raw, buying);
                let expected = fill::taker_price(&rules, d_raw, buying);
                assert_eq!(exact::decimal(price.into()), expected);
                let maker = fill::maker_price(&rules, d_raw, buying);
                assert_eq!(exact::decimal(market.maker_price(raw, buying).into()), maker);
                let order = crate::order::Order::market(
                    Side::Long,
                    size,
                    crate::order::Protection::default(),
                    "t".into(),
                );
                let wanted =
                    fill::quantity(&rules, &order, expected, d_equity, &fill::Levels::default());
                let got = market.quantity(price, equity.into(), None);
                let wanted = wanted.and_then(|quantity| {
                    let (notional, fee) = fill::cost(quantity, expected, rules.fee_bps)?;
                    Some([quantity, notional, fee])
                });
                let got = got.map(|(quantity, n, f)| [quantity, n, f].map(exact::decimal));
                assert_eq!(got, wanted, "{raw} {equity} {rules:?} {size:?}");
            }
        }
    }

    #[test]
    fn levels_equal_the_decimals() {
        let mut state = 3;
        for _ in 0..20_000 {
            let mut below = |n: u64| i64::try_from(next(&mut state) % n).unwrap();
            let bits = 1 + below(62);
            let price = 1 + below(1 << bits);
            let fraction = Decimal::new(below(1 << 40), u32::try_from(below(20)).unwrap());
            let distance = below(1 << 53) as f64 / 10_f64.powi(i32::try_from(below(22)).unwrap());
            for up in [true, false] {
                let side = if up { Side::Short } else { Side::Long };
                let decimal = exact::decimal(price.into());
                let expected = |d| fill::trailing_level(decimal, side, d).and_then(exact::units);
                let level = Gap::fraction(fraction).level(price, up);
                assert_eq!(level, expected(Distance::Fraction(fraction)), "{price} {fraction}");
                let money = exact::shortest_decimal(distance);
                let money = money.map_or(Distance::Undefined, Distance::Quote);
                assert_eq!(Gap::quote(distance).level(price, up), expected(money));
            }
        }
    }
}
