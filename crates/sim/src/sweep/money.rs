//! The market's rules in 64-bit integers of 1e-8: fill prices, costs, levels and quantities, digit for digit what `fill`
//! computes. No bar index and no state. What does not fit has no value here, and the reference loop takes the variant.

use rust_decimal::Decimal;

use crate::exact;
use crate::fill;
use crate::order::{Distance, Side, Size};
use crate::rules::{Fill, Intrabar, Rules, fraction_of_bps};

use super::levels::NEVER;
use super::round::{
    LIMIT, ROUNDED, certain_floor, half_even, narrow, nearest, product, short_value, split, value,
    wide,
};

const ONE: i64 = exact::ONE_E8;
/// Greatest price and tick that the integers here take: a fill price (less than twice a bar's price and a tick
/// more) then fits 63 bits.
pub(super) const MAX_PRICE_E8: i64 = 1 << 61;

/// [`Rules`] of one variant and the size of its orders, in integers of 1e-8.
#[derive(Clone, Debug)]
pub(super) struct Market {
    pub(super) at_close: bool,
    pub(super) intrabar: Intrabar,
    pub(super) capital: i64,
    fee: i64,
    maker_fee: i64,
    slip_up: i64,
    slip_down: i64,
    tick: i64,
    lot: i64,
    pub(super) min_notional: i64,
    size: Amount,
}

/// A quantity, what it costs, and the fee.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lot {
    pub(super) quantity: i64,
    pub(super) notional: i64,
    pub(super) fee: i64,
}

/// [`Size`] in units of 1e-8.
#[derive(Clone, Copy, Debug)]
enum Amount {
    /// A fraction, and what equity is worth at it before the price and its fee: fraction / (1 + fee), in units of 1e8.
    Equity(i64, f64),
    Quote(i64),
    Quantity(i64),
    Risk(i64),
}

impl Market {
    /// `None` when a rule does not fit: the reference loop takes such a variant.
    pub(super) fn new(rules: &Rules, size: Size) -> Option<Self> {
        let amount = |of: Decimal| narrow(exact::units(of)?).filter(|&units| units < LIMIT);
        let rate = |bps: Decimal| narrow(exact::units(fraction_of_bps(bps))?);
        let slip = rate(rules.slippage_bps)?;
        let fee = rate(rules.fee_bps)?;
        let share = |fraction: i64| fraction as f64 / (ONE + fee) as f64 * ONE as f64;
        Some(Self {
            at_close: rules.fill == Fill::Close,
            intrabar: rules.intrabar,
            capital: amount(rules.capital)?,
            fee,
            maker_fee: rate(rules.maker_fee_bps)?,
            slip_up: ONE + slip,
            slip_down: ONE - slip,
            tick: amount(rules.tick_size)?,
            lot: amount(rules.lot_step)?,
            min_notional: amount(rules.min_notional)?,
            size: match size {
                Size::Equity(f) => amount(f).map(|f| Amount::Equity(f, share(f)))?,
                Size::Quote(q) => Amount::Quote(amount(q)?),
                Size::Quantity(n) => Amount::Quantity(amount(n)?),
                Size::Risk(r) => Amount::Risk(amount(r)?),
            },
        })
    }

    /// As [`fill::taker_price`].
    #[inline(always)]
    pub(super) fn taker_price(&self, raw: i64, buying: bool) -> i64 {
        let factor = if buying { self.slip_up } else { self.slip_down };
        if factor == ONE {
            self.maker_price(raw, buying)
        } else {
            self.slipped(raw, factor, buying)
        }
    }

    fn slipped(&self, raw: i64, factor: i64, buying: bool) -> i64 {
        // Below 2^62: the price is at most 2^61, the factor below 2.
        let (quotient, rest) = split(product(raw, factor)).unwrap_or_default();
        let below = quotient.cast_signed();
        let on_tick = if self.tick == 1 { below } else { below - below % self.tick };
        let exact = rest == 0 && on_tick == below;
        if buying && !exact { on_tick + self.tick } else { on_tick }
    }

    /// As [`fill::maker_price`].
    #[inline(always)]
    pub(super) fn maker_price(&self, raw: i64, buying: bool) -> i64 {
        if self.tick == 1 { raw } else { self.to_tick(raw, buying) }
    }

    fn to_tick(&self, raw: i64, buying: bool) -> i64 {
        let below = raw - raw % self.tick;
        if buying && below != raw { below + self.tick } else { below }
    }

    /// As [`fill::cost`].
    #[inline(always)]
    pub(super) fn cost(&self, quantity: i64, price: i64, maker: bool) -> Option<Lot> {
        let notional = value(quantity, price)?;
        let rate = if maker { self.maker_fee } else { self.fee };
        Some(Lot { quantity, notional, fee: value(notional, rate)? })
    }

    /// As [`fill::quantity`], and what it costs. `stop` is the level that a size by risk measures from, 0 where
    /// there is none.
    #[inline(always)]
    pub(super) fn quantity(&self, price: i64, equity: i64, stop: i64) -> Option<Lot> {
        if price <= 0 {
            return Some(Lot { quantity: 0, notional: 0, fee: 0 });
        }
        let raw = match self.size {
            Amount::Equity(fraction, share) => {
                // The quotient does not wait for equity.
                let affordable = certain_floor(equity as f64 * (share / price as f64));
                affordable.or_else(|| self.affordable(equity, fraction, price))?
            }
            other => self.of_other_size(other, price, equity, stop)?,
        };
        let on_grid = if self.lot == 1 { raw } else { raw - raw.rem_euclid(self.lot) };
        if on_grid >= LIMIT {
            return None;
        }
        if on_grid <= 0 {
            return Some(Lot { quantity: 0, notional: 0, fee: 0 });
        }
        let lot = self.cost(on_grid, price, false)?;
        // Each is below 2^61.
        let excess = lot.notional.wrapping_add(lot.fee).wrapping_sub(equity);
        if excess <= 0 {
            return Some(lot);
        }
        self.cost(self.within_cash(on_grid, price, excess)?, price, false)
    }

    fn of_other_size(&self, size: Amount, price: i64, equity: i64, stop: i64) -> Option<i64> {
        match size {
            Amount::Equity(fraction, _) => self.affordable(equity, fraction, price),
            Amount::Quote(quote) => narrow(wide(quote, ONE).div_euclid(price.into())),
            Amount::Quantity(quantity) => Some(quantity),
            Amount::Risk(fraction) => {
                // A level that 63 bits do not hold is not known to the last place.
                if stop == 0 || stop == NEVER {
                    return None;
                }
                narrow(wide(equity, fraction).checked_div((price - stop).abs().into())?)
            }
        }
    }

    /// As [`exact::floor_affordable`].
    #[cold]
    fn affordable(&self, equity: i64, fraction: i64, price: i64) -> Option<i64> {
        let [equity, fraction, price] = [equity, fraction, price].map(i128::from);
        narrow(exact::floor_affordable(equity, fraction, price, (ONE + self.fee).into())?)
    }

    /// The quantity without the few lots by which rounding alone makes an equity-sized order exceed cash, as the function of
    /// this name in `fill`; what exceeds it by more stays.
    #[cold]
    fn within_cash(&self, quantity: i64, price: i64, excess: i64) -> Option<i64> {
        if excess > 2 || !matches!(self.size, Amount::Equity(..)) {
            return Some(quantity);
        }
        let lot_value = wide(self.lot, price);
        let lots = (wide(excess, ONE) + lot_value - 1).div_euclid(lot_value);
        let less = i128::from(self.lot).checked_mul(lots)?;
        narrow((i128::from(quantity) - less).max(0))
    }
}

/// A distance as one entry uses it; of two words, because it is often copied.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gap<'a> {
    /// A fraction of the price, in units of 1e-8.
    Fraction(i64),
    /// Quote units of 1e-8, already rounded, where that rounds the level the same way.
    Units(i64),
    /// A fraction of the price with more places.
    LongFraction(&'a Decimal),
    /// Quote units that are not certain in integers; NaN where it has no value at the bar of the decision.
    Quote(f64),
}

impl<'a> Gap<'a> {
    /// A fraction of the price; exact in units of 1e-8 where it has no more than eight places.
    pub(super) fn fraction(fraction: &'a Decimal) -> Self {
        let short = fraction.normalize();
        let units = (short.scale() <= exact::PLACES).then(|| exact::units(short)).flatten();
        match units.and_then(narrow) {
            Some(units) if units.abs() < 1 << 40 => Self::Fraction(units),
            _ => Self::LongFraction(fraction),
        }
    }

    /// A distance in quote units by its shortest decimal, as `signals` takes it; NaN is undefined.
    #[inline(always)]
    pub(super) fn quote(distance: f64) -> Self {
        const NEAR: f64 = (1_u64 << 40) as f64;
        let units = distance * ONE as f64;
        // The shortest decimal lies within half a place of the double, and so by two roundings of `units`; unless that is
        // near a half, both round alike, and so does the level around a whole price.
        let (whole, off) = nearest(units);
        if units.abs() < NEAR && off.abs() < 0.5 - units.abs() * ROUNDED {
            Self::Units(whole)
        } else {
            Self::Quote(distance)
        }
    }

    /// The level at this distance above or below `price`, rounded half-even, [`NEVER`] where 63 bits do not hold it;
    /// `None` when not above 0 or too large.
    #[inline(always)]
    pub(super) fn level(self, price: i64, up: bool) -> Option<i64> {
        let level = match self {
            // Below 2^40 beside a price below 2^62.
            Self::Units(units) if up => price.wrapping_add(units),
            Self::Units(units) => price.wrapping_sub(units),
            Self::Fraction(fraction) => {
                let factor = if up { ONE + fraction } else { ONE - fraction };
                if factor <= 0 {
                    return None;
                }
                match short_value(product(price, factor)) {
                    Some(level) => level,
                    None => self.far_level(price, up)?,
                }
            }
            Self::LongFraction(_) | Self::Quote(_) => self.far_level(price, up)?,
        };
        (level > 0).then_some(level)
    }

    /// The level, when it is long or not certain in integers.
    #[cold]
    fn far_level(self, price: i64, up: bool) -> Option<i64> {
        /// Below it decimals of 96 bits hold the product whole, and 63 bits the level.
        const WHOLE: u128 = 1 << 88;
        let distance = match self {
            Self::Fraction(fraction) => {
                let num = product(price, if up { ONE + fraction } else { ONE - fraction });
                if num < WHOLE {
                    return half_even(num);
                }
                Distance::Fraction(exact::decimal(fraction.into()))
            }
            Self::LongFraction(fraction) => Distance::Fraction(*fraction),
            Self::Quote(distance) => Distance::Quote(exact::shortest_decimal(distance)?),
            Self::Units(_) => return None,
        };
        let side = if up { Side::Short } else { Side::Long };
        let level = fill::trailing_level(exact::decimal(price.into()), side, distance)?;
        Some(narrow(exact::units(level)?).unwrap_or(NEVER))
    }
}

#[cfg(test)]
mod tests {
    use super::super::round::next;
    use super::*;

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
                let got = market.quantity(price, equity, 0);
                let wanted = wanted.and_then(|quantity| {
                    let (notional, fee) = fill::cost(quantity, expected, rules.fee_bps)?;
                    Some([quantity, notional, fee])
                });
                let got = got.map(|lot| [lot.quantity, lot.notional, lot.fee].map(i128::from));
                let small =
                    |of: &[Decimal; 3]| of.iter().all(|of| *of < exact::decimal(LIMIT.into()));
                let wanted = wanted.filter(small);
                assert_eq!(
                    got.map(|got| got.map(exact::decimal)),
                    wanted,
                    "{raw} {equity} {rules:?} {size:?}"
                );
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
                let expected = |d| {
                    let level = fill::trailing_level(decimal, side, d).and_then(exact::units)?;
                    Some(narrow(level).unwrap_or(NEVER))
                };
                let level = Gap::fraction(&fraction).level(price, up);
                assert_eq!(level, expected(Distance::Fraction(fraction)), "{price} {fraction}");
                let money = exact::shortest_decimal(distance);
                let money = money.map_or(Distance::Undefined, Distance::Quote);
                assert_eq!(Gap::quote(distance).level(price, up), expected(money));
            }
        }
    }
}
