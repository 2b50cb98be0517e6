//! What a fill costs and where protection lies: prices after slippage, fees, levels and quantities.
//! Pure functions of an order and the market's rules; no state and no bar index.

use rust_decimal::Decimal;

use crate::exact;
use crate::order::{Distance, Order, Protection, RejectReason, Side, Size};
use crate::rules::{Rules, fraction_of_bps};

/// Price of a market or stop fill: `raw` moved against the trader by slippage, rounded to the tick against them.
pub(crate) fn taker_price(rules: &Rules, raw: Decimal, buying: bool) -> Decimal {
    let slip = fraction_of_bps(rules.slippage_bps);
    let factor = if buying { Decimal::ONE + slip } else { Decimal::ONE - slip };
    to_tick(raw * factor, rules.tick_size, buying)
}

/// Price of a target or limit fill: `raw` rounded to the tick against the trader, no slippage.
pub(crate) fn maker_price(rules: &Rules, raw: Decimal, buying: bool) -> Decimal {
    to_tick(raw, rules.tick_size, buying)
}

fn to_tick(price: Decimal, tick: Decimal, up: bool) -> Decimal {
    let below = price - price % tick;
    if up && below != price { below + tick } else { below }
}

/// Levels of a position, fixed at its entry fill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Levels {
    pub(crate) stop_loss: Option<Decimal>,
    pub(crate) take_profit: Option<Decimal>,
    /// The first trailing level, from the entry price alone.
    pub(crate) trailing_stop: Option<Decimal>,
}

impl Levels {
    /// Levels of `protection` around `entry`; refused when one has no value or lies on the wrong side.
    pub(crate) fn around(
        entry: Decimal,
        side: Side,
        protection: &Protection,
    ) -> Result<Self, RejectReason> {
        let stop = |d: Distance| against(entry, side, d).ok_or(RejectReason::StopUndefined);
        let target = |d: Distance| {
            let level = offset(entry, side.sign(), d).filter(|&l| beyond(l, entry, side));
            level.ok_or(RejectReason::StopUndefined)
        };
        Ok(Self {
            stop_loss: protection.stop_loss.map(stop).transpose()?,
            take_profit: protection.take_profit.map(target).transpose()?,
            trailing_stop: protection.trailing_stop.map(stop).transpose()?,
        })
    }
}

/// The level of a stop at `distance` on the losing side of `price`; `None` unless it lies there and above 0.
fn against(price: Decimal, side: Side, distance: Distance) -> Option<Decimal> {
    offset(price, -side.sign(), distance).filter(|&level| beyond(price, level, side))
}

/// The trailing level once the best price seen is `extreme`; always defined after a valid first level.
pub(crate) fn trailing_level(extreme: Decimal, side: Side, distance: Distance) -> Option<Decimal> {
    offset(extreme, -side.sign(), distance)
}

/// Whether `a` is strictly better for the position than `b`.
pub(crate) fn beyond(a: Decimal, b: Decimal, side: Side) -> bool {
    match side {
        Side::Long => a > b,
        Side::Short => a < b,
    }
}

/// `price` moved by `distance` in `direction`, rounded half-even; `None` when not above 0 or too large.
fn offset(price: Decimal, direction: Decimal, distance: Distance) -> Option<Decimal> {
    let amount = match distance {
        Distance::Fraction(fraction) => price.checked_mul(fraction)?,
        Distance::Quote(quote) => quote,
        Distance::Undefined => return None,
    };
    let level = exact::round_half_even(price.checked_add(direction * amount)?);
    let fits = exact::units(level).is_some();
    (fits && level > Decimal::ZERO).then_some(level)
}

/// Notional and fee of a fill, each rounded half-even to 8 places; `None` when beyond DECIMAL(20,8).
pub(crate) fn cost(
    quantity: Decimal,
    price: Decimal,
    fee_bps: Decimal,
) -> Option<(Decimal, Decimal)> {
    let notional = exact::round_half_even(quantity.checked_mul(price)?);
    exact::units(notional)?;
    let fee = exact::round_half_even(notional.checked_mul(fraction_of_bps(fee_bps))?);
    Some((notional, fee))
}

/// Quantity of `order` at `price` with `equity` to spend, rounded down to the lot step; may be 0.
/// `None` when it is beyond DECIMAL(20,8).
pub(crate) fn quantity(
    rules: &Rules,
    order: &Order,
    price: Decimal,
    equity: Decimal,
    levels: &Levels,
) -> Option<Decimal> {
    let (price_e8, equity_e8) = (exact::units(price)?, exact::units(equity)?);
    if price_e8 <= 0 {
        return Some(Decimal::ZERO);
    }
    let one = i128::from(exact::ONE_E8);
    let raw = match order.size {
        Size::Equity(fraction) => {
            let one_plus_fee = exact::units(Decimal::ONE + fraction_of_bps(rules.fee_bps))?;
            exact::floor_affordable(equity_e8, exact::units(fraction)?, price_e8, one_plus_fee)?
        }
        Size::Quote(quote) => exact::units(quote)?.checked_mul(one)?.div_euclid(price_e8),
        Size::Quantity(quantity) => exact::units(quantity)?,
        Size::Risk(fraction) => {
            let stop = levels.stop_loss.or(levels.trailing_stop)?;
            let distance = exact::units((price - stop).abs())?;
            equity_e8.checked_mul(exact::units(fraction)?)?.checked_div(distance)?
        }
    };
    let lot = exact::units(rules.lot_step)?;
    let on_grid = raw - raw.rem_euclid(lot);
    if on_grid >= exact::LIMIT_E8 {
        return None;
    }
    let quantity = exact::decimal(on_grid);
    match order.size {
        Size::Equity(_) => within_cash(rules, quantity, price, equity),
        _ => Some(quantity),
    }
}

/// Takes off the few lots by which rounding alone makes an equity-sized order exceed cash.
fn within_cash(
    rules: &Rules,
    quantity: Decimal,
    price: Decimal,
    equity: Decimal,
) -> Option<Decimal> {
    let (notional, fee) = cost(quantity, price, rules.fee_bps)?;
    let excess = notional + fee - equity;
    // Rounding adds at most two halves and a bit of the last place: more is no matter of rounding.
    if excess <= Decimal::ZERO || excess > Decimal::new(2, exact::PLACES) {
        return Some(quantity);
    }
    let lot_value = exact::units(rules.lot_step)?.checked_mul(exact::units(price)?)?;
    let excess_e16 = exact::units(excess)? * i128::from(exact::ONE_E8);
    let lots = (excess_e16 + lot_value - 1).div_euclid(lot_value);
    let less = exact::decimal(exact::units(rules.lot_step)?.checked_mul(lots)?);
    Some((quantity - less).max(Decimal::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn prices_round_against_the_trader() {
        let rules = Rules { slippage_bps: d("1"), ..Rules::default() };
        assert_eq!(taker_price(&rules, d("0.00001234"), true), d("0.00001235"));
        assert_eq!(taker_price(&rules, d("0.00001234"), false), d("0.00001233"));
        let ticks = Rules { tick_size: d("0.25"), ..Rules::default() };
        assert_eq!(maker_price(&ticks, d("10.30"), true), d("10.50"));
        assert_eq!(maker_price(&ticks, d("10.30"), false), d("10.25"));
        assert_eq!(maker_price(&ticks, d("10.25"), true), d("10.25"));
    }

    #[test]
    fn levels_on_the_wrong_side_or_undefined_are_refused() {
        let around = |side, distance| {
            let protection = Protection { stop_loss: Some(distance), ..Protection::default() };
            Levels::around(d("100"), side, &protection).map(|l| l.stop_loss)
        };
        assert_eq!(around(Side::Long, Distance::Fraction(d("0.02"))), Ok(Some(d("98"))));
        assert_eq!(around(Side::Short, Distance::Quote(d("1.5"))), Ok(Some(d("101.5"))));
        let refused = Err(RejectReason::StopUndefined);
        assert_eq!(around(Side::Long, Distance::Undefined), refused);
        assert_eq!(around(Side::Long, Distance::Quote(d("0"))), refused);
        assert_eq!(around(Side::Long, Distance::Quote(d("-1"))), refused);
        assert_eq!(around(Side::Long, Distance::Fraction(d("1"))), refused);
        assert_eq!(around(Side::Short, Distance::Quote(d("0.000000001"))), refused);
    }

    #[test]
    fn equity_size_never_exceeds_cash_by_rounding() {
        let rules = Rules::default();
        let order = Order::market(
            Side::Long,
            Size::Equity(Decimal::ONE),
            Protection::default(),
            "t".into(),
        );
        for (price, equity) in
            [("0.00001234", "10000"), ("3", "10000"), ("0.37", "9999.99999999"), ("46319", "1")]
        {
            let (price, equity) = (d(price), d(equity));
            let q = quantity(&rules, &order, price, equity, &Levels::default()).unwrap();
            let (notional, fee) = cost(q, price, rules.fee_bps).unwrap();
            assert!(notional + fee <= equity, "{q} at {price} costs more than {equity}");
            let (notional, fee) =
                cost(q + d("0.00001") / price + d("0.00000002"), price, rules.fee_bps).unwrap();
            assert!(notional + fee > equity, "{q} at {price} leaves cash of {equity}");
        }
    }
}
