//! Values as the columns of results and trades hold them: rounded half-even, NULL where undefined or too large.
//! No SQL may enter.

use rust_decimal::{Decimal, RoundingStrategy};
use sim::exact;
use sim::metrics::Metrics;
use sim::order::Trade;

/// A DECIMAL(digits, places) column.
#[derive(Clone, Copy, Debug)]
struct Size {
    digits: u32,
    places: u32,
}

const PERCENT: Size = Size { digits: 10, places: 4 };
const RATIO: Size = Size { digits: 8, places: 4 };
const RATE: Size = Size { digits: 5, places: 2 };

impl Size {
    /// `value` rounded half-even, if it fits.
    fn fit(self, value: Decimal) -> Option<Decimal> {
        let rounded =
            value.round_dp_with_strategy(self.places, RoundingStrategy::MidpointNearestEven);
        // Without the sign that a number may leave behind where it is too small to be seen.
        let rounded = if rounded.is_zero() { rounded.abs() } else { rounded };
        (rounded.abs() < Decimal::from(10_u64.pow(self.digits - self.places))).then_some(rounded)
    }

    /// The same of a double, taken as the shortest decimal that reads back as it: a tie a person sees is a tie.
    fn fit_f64(self, value: Option<f64>) -> Option<Decimal> {
        self.fit(exact::shortest_decimal(value?)?)
    }
}

/// Decimal columns of `backtest_results` with their places, in the order of [`DECIMALS`].
pub(crate) const DECIMALS: usize = 14;

pub(crate) fn decimals(m: &Metrics) -> [(Option<Decimal>, u32); DECIMALS] {
    [
        (m.total_return, PERCENT),
        (m.annual_return, PERCENT),
        (m.volatility, PERCENT),
        (m.sharpe_ratio, RATIO),
        (m.sortino_ratio, RATIO),
        (m.max_drawdown, RATIO),
        (m.calmar_ratio, RATIO),
        (m.win_rate, RATE),
        (m.profit_factor, RATIO),
        (m.avg_trade_return, PERCENT),
        (m.avg_win, PERCENT),
        (m.avg_loss, PERCENT),
        (m.largest_win, PERCENT),
        (m.largest_loss, PERCENT),
    ]
    .map(|(value, size)| (size.fit_f64(value), size.places))
}

/// `backtest_equity.drawdown`.
pub(crate) fn drawdown(percent: f64) -> Option<Decimal> {
    RATIO.fit_f64(Some(percent))
}

/// `backtest_trades.pnl_percentage`: 100 * pnl / (quantity * entry price), rounded once from the exact ratio.
pub(crate) fn pnl_percentage(trade: &Trade) -> Option<Decimal> {
    let pnl_e8 = exact::units(trade.exit.as_ref()?.pnl)?;
    let cost_e16 = exact::units(trade.quantity)?.checked_mul(exact::units(trade.entry_price)?)?;
    if cost_e16 <= 0 {
        return None;
    }
    // 10^8 for the units, 10^2 for per cent, 10^4 for the places.
    let scaled = pnl_e8.checked_mul(10_i128.pow(14))?;
    let rounded = exact::div_half_even(scaled, cost_e16);
    let value = Decimal::try_from_i128_with_scale(rounded, PERCENT.places).ok()?;
    PERCENT.fit(value)
}

/// A count or number of seconds, if an INTEGER holds it.
pub(crate) fn integer(value: impl TryInto<i32>) -> Option<i64> {
    value.try_into().ok().map(i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_null() {
        let text = |size: Size, value: f64| size.fit_f64(Some(value)).map(|d| d.to_string());
        assert_eq!(text(RATIO, 9_999.999_94).as_deref(), Some("9999.9999"));
        assert_eq!(text(RATIO, 9_999.999_95), None, "rounds up to 10000");
        assert_eq!(text(RATIO, -50_000.0), None);
        assert_eq!(text(RATE, 100.0).as_deref(), Some("100"));
        assert_eq!(text(RATE, 1000.0), None);
        assert_eq!(text(PERCENT, 1e300), None);
        assert_eq!(text(PERCENT, f64::NAN), None);
        assert_eq!(PERCENT.fit_f64(None), None);
        assert_eq!(text(RATIO, -5.668_819_695_8e-16).as_deref(), Some("0.0000"), "it is defined");
    }

    #[test]
    fn halves_go_to_even() {
        let text = |value: f64| PERCENT.fit_f64(Some(value)).unwrap().to_string();
        assert_eq!(text(0.12345), "0.1234");
        assert_eq!(text(0.12355), "0.1236");
        assert_eq!(text(-0.12345), "-0.1234");
    }
}
