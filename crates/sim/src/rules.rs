//! The market's rules for a run: costs, fills, limits and conventions. The same for every variant of a sweep.
//! Nothing of a strategy (its size, its stops) may enter.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::exact;

/// When a decision taken at a bar's close is filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fill {
    /// At the open of the next bar.
    #[default]
    NextOpen,
    /// At the close it was taken on; flagged in the result.
    Close,
}

/// Which comes first when a stop and a target both lie inside one bar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Intrabar {
    /// The stop.
    #[default]
    Worst,
    /// The target.
    Best,
    /// The extreme nearer to the open; at equal distance the one worse for the position.
    Path,
}

/// A word that is none of the choices.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{given}` is not one of {choices}")]
pub struct UnknownChoice {
    given: String,
    choices: &'static str,
}

macro_rules! words {
    ($kind:ty, $choices:literal, $($word:literal => $value:path),+) => {
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($value => $word),+ })
            }
        }
        impl FromStr for $kind {
            type Err = UnknownChoice;
            fn from_str(text: &str) -> Result<Self, UnknownChoice> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err(UnknownChoice { given: text.to_owned(), choices: $choices }),
                }
            }
        }
    };
}
words!(Fill, "`next_open`, `close`", "next_open" => Self::NextOpen, "close" => Self::Close);
words!(Intrabar, "`worst`, `best`, `path`", "worst" => Self::Worst, "best" => Self::Best, "path" => Self::Path);

/// Costs, fills, limits and conventions of a run. Defaults are those a result is compared under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Initial capital, quote units.
    pub capital: Decimal,
    /// Fee of market and stop fills, basis points of notional a side.
    pub fee_bps: Decimal,
    /// Fee of targets and limits, basis points of notional a side.
    pub maker_fee_bps: Decimal,
    /// How far market and stop fills move against the trader, basis points of price.
    pub slippage_bps: Decimal,
    pub fill: Fill,
    pub intrabar: Intrabar,
    /// Quantities are multiples of this.
    pub lot_step: Decimal,
    /// Fill prices are multiples of this, rounded against the trader.
    pub tick_size: Decimal,
    /// Entries below this notional are refused; 0 for none.
    pub min_notional: Decimal,
    /// Days in a year for volatility, Sharpe and Sortino; never changes the annual return.
    pub year_days: u32,
    /// Risk-free rate, per cent a year.
    pub risk_free: Decimal,
}

impl Default for Rules {
    fn default() -> Self {
        let smallest = Decimal::new(1, exact::PLACES);
        Self {
            capital: Decimal::new(10_000, 0),
            fee_bps: Decimal::new(10, 0),
            maker_fee_bps: Decimal::new(10, 0),
            slippage_bps: Decimal::ZERO,
            fill: Fill::default(),
            intrabar: Intrabar::default(),
            lot_step: smallest,
            tick_size: smallest,
            min_notional: Decimal::ZERO,
            year_days: 365,
            risk_free: Decimal::ZERO,
        }
    }
}

/// A rule outside what a run takes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name} must be {must}, not {given}")]
pub struct RuleError {
    /// The field of [`Rules`].
    pub name: &'static str,
    must: &'static str,
    given: String,
}

impl Rules {
    /// Every rule by name and value, in a fixed order: what is stored with a run and hashed.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, String)> {
        let number = |d: Decimal| d.normalize().to_string();
        vec![
            ("capital", number(self.capital)),
            ("fee_bps", number(self.fee_bps)),
            ("maker_fee_bps", number(self.maker_fee_bps)),
            ("slippage_bps", number(self.slippage_bps)),
            ("fill", self.fill.to_string()),
            ("intrabar", self.intrabar.to_string()),
            ("limit_fill", "touch".to_owned()),
            ("lot_step", number(self.lot_step)),
            ("tick_size", number(self.tick_size)),
            ("min_notional", number(self.min_notional)),
            ("leverage", "1".to_owned()),
            ("year_days", self.year_days.to_string()),
            ("risk_free", number(self.risk_free)),
        ]
    }

    /// The same as one line of text.
    pub(crate) fn canonical(&self) -> String {
        let pairs: Vec<String> = self.named().iter().map(|(k, v)| format!("{k}={v}")).collect();
        pairs.join(" ")
    }

    /// Checks every value against what the ledger computes exactly.
    ///
    /// # Errors
    /// The first rule out of bounds.
    pub fn check(&self) -> Result<(), RuleError> {
        let places8 = |d: Decimal| d.normalize().scale() <= exact::PLACES;
        let money = |d: Decimal| places8(d) && exact::units(d).is_some();
        // Rates carry four places of a basis point, so that 1 + rate is exact in units of 1e-8.
        let rate = |d: Decimal, below: i64| {
            d.normalize().scale() <= 4 && d >= Decimal::ZERO && d < Decimal::new(below, 0)
        };
        let must_money = "above 0, below 10^12 and with at most 8 decimals";
        let must_rate = "from 0 to below 10000 with at most 4 decimals";
        let positive = |d: Decimal| money(d) && d > Decimal::ZERO;
        let checks: [(&'static str, bool, &'static str, Decimal); 7] = [
            ("capital", positive(self.capital), must_money, self.capital),
            ("fee_bps", rate(self.fee_bps, 10_000), must_rate, self.fee_bps),
            ("maker_fee_bps", rate(self.maker_fee_bps, 10_000), must_rate, self.maker_fee_bps),
            ("slippage_bps", rate(self.slippage_bps, 10_000), must_rate, self.slippage_bps),
            ("lot_step", positive(self.lot_step), must_money, self.lot_step),
            ("tick_size", positive(self.tick_size), must_money, self.tick_size),
            (
                "min_notional",
                money(self.min_notional) && self.min_notional >= Decimal::ZERO,
                "0 or more, below 10^12 and with at most 8 decimals",
                self.min_notional,
            ),
        ];
        if let Some(&(name, _, must, given)) = checks.iter().find(|c| !c.1) {
            return Err(RuleError { name, must, given: given.to_string() });
        }
        if !(1..=366).contains(&self.year_days) {
            let given = self.year_days.to_string();
            return Err(RuleError { name: "year_days", must: "from 1 to 366", given });
        }
        if self.risk_free.abs() > Decimal::new(1_000, 0) {
            let given = self.risk_free.to_string();
            return Err(RuleError { name: "risk_free", must: "within 1000 per cent", given });
        }
        Ok(())
    }
}

/// `bps` basis points as a fraction of 1.
#[must_use]
pub(crate) fn fraction_of_bps(bps: Decimal) -> Decimal {
    bps * Decimal::new(1, 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_bounds_are_named() {
        assert_eq!(Rules::default().check(), Ok(()));
        let rules = Rules { capital: Decimal::ZERO, ..Rules::default() };
        assert_eq!(rules.check().unwrap_err().name, "capital");
        let rules = Rules { fee_bps: Decimal::new(-1, 0), ..Rules::default() };
        assert_eq!(
            rules.check().unwrap_err().to_string(),
            "fee_bps must be from 0 to below 10000 with at most 4 decimals, not -1"
        );
        let rules = Rules { year_days: 0, ..Rules::default() };
        assert_eq!(rules.check().unwrap_err().name, "year_days");
    }

    #[test]
    fn choices_are_listed_when_a_word_is_none_of_them() {
        assert_eq!("close".parse(), Ok(Fill::Close));
        let error = "finer".parse::<Intrabar>().unwrap_err();
        assert_eq!(error.to_string(), "`finer` is not one of `worst`, `best`, `path`");
    }
}
