//! The command line of costs, fills and conventions, which `run`, `sweep` and `check --record` share.
//! What they mean is `sim`'s; what another engine begins with is `like`'s.

use clap::Args;
use rust_decimal::Decimal;
use sim::rules::{Fill, Intrabar};

use crate::fail::Fail;
use crate::like::Like;

/// Costs, fills and conventions. What is not given is as `--like` says, else as [`sim::rules::Rules::default`].
#[derive(Args, Debug)]
pub(crate) struct Rules {
    /// Begin with the fills and costs of another engine; flags win over it
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub(crate) like: Option<Like>,
    /// Initial capital, quote units [default: 10000]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) capital: Option<Decimal>,
    /// Fee a side of market and stop fills, basis points of notional [default: 10]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) fee_bps: Option<Decimal>,
    /// Fee a side of targets and limits, basis points [default: the same]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) maker_fee_bps: Option<Decimal>,
    /// Slippage of market and stop fills, basis points of price [default: 0]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) slippage_bps: Option<Decimal>,
    /// When a decision fills: next_open or close [default: next_open]
    #[arg(long)]
    pub(crate) fill: Option<Fill>,
    /// Stop and target inside one bar: worst, best or path [default: worst]
    #[arg(long)]
    pub(crate) intrabar: Option<Intrabar>,
    /// Quantities are multiples of this [default: 0.00000001]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) lot_step: Option<Decimal>,
    /// Fill prices are multiples of this, rounded against the trader [default: 0.00000001]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) tick_size: Option<Decimal>,
    /// Entries below this notional are rejected [default: 0]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) min_notional: Option<Decimal>,
    /// Days in a year for volatility, Sharpe and Sortino [default: 365]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) year_days: Option<u32>,
    /// Risk-free rate, per cent a year [default: 0]
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) risk_free: Option<Decimal>,
}

impl Rules {
    /// The same as the simulator takes them, not yet checked.
    pub(crate) fn rules(&self) -> sim::rules::Rules {
        let base = self.like.map_or_else(sim::rules::Rules::default, Like::rules);
        sim::rules::Rules {
            capital: self.capital.unwrap_or(base.capital),
            fee_bps: self.fee_bps.unwrap_or(base.fee_bps),
            maker_fee_bps: self.maker_fee_bps.or(self.fee_bps).unwrap_or(base.maker_fee_bps),
            slippage_bps: self.slippage_bps.unwrap_or(base.slippage_bps),
            fill: self.fill.unwrap_or(base.fill),
            intrabar: self.intrabar.unwrap_or(base.intrabar),
            lot_step: self.lot_step.unwrap_or(base.lot_step),
            tick_size: self.tick_size.unwrap_or(base.tick_size),
            min_notional: self.min_notional.unwrap_or(base.min_notional),
            year_days: self.year_days.unwrap_or(base.year_days),
            risk_free: self.risk_free.unwrap_or(base.risk_free),
        }
    }

    /// The same, checked.
    pub(crate) fn checked(&self) -> Result<sim::rules::Rules, Fail> {
        let rules = self.rules();
        rules.check().map_err(|e| {
            let flag = e.name.replace('_', "-");
            Fail::usage(&e).hint(format!("give another value with --{flag}"))
        })?;
        Ok(rules)
    }

    /// What `--like` set, for a person to read, but for rules `varied` by a sweep.
    pub(crate) fn told(&self, varied: impl Fn(&str) -> bool) -> Option<String> {
        self.like.map(|like| like.told(&self.rules(), varied))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::args::{Cli, Command};

    fn given(flags: &str) -> Rules {
        let words = ["backtest", "run", "sma_cross"].into_iter().chain(flags.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Run(run) => run.choice.rules,
            _ => unreachable!(),
        }
    }

    #[test]
    fn the_help_names_the_defaults_that_hold() {
        let rules = given("").rules();
        assert_eq!(rules, sim::rules::Rules::default());
        let mut cli = Cli::command();
        let run = cli.find_subcommand_mut("run").unwrap();
        for (name, value) in rules.named() {
            let flag = name.replace('_', "-");
            // The maker's fee follows the taker's; some rules have no flag yet.
            let arg = run.get_arguments().find(|a| a.get_long() == Some(&flag));
            if let (Some(arg), true) = (arg, name != "maker_fee_bps") {
                let help = arg.get_help().unwrap().to_string();
                assert!(help.ends_with(&format!("[default: {value}]")), "{flag}: {help}");
            }
        }
    }

    #[test]
    fn flags_win_over_like_and_like_over_defaults() {
        let named = |flags: &str| -> Vec<String> {
            let defaults = sim::rules::Rules::default().named();
            let now = given(flags).rules().named().into_iter().zip(defaults);
            now.filter(|(n, d)| n != d)
                .map(|((name, value), _)| format!("{name} {value}"))
                .collect()
        };
        assert_eq!(
            named("--like vectorbt"),
            ["capital 100", "fee_bps 0", "maker_fee_bps 0", "fill close"]
        );
        assert_eq!(named("--like backtesting.py"), ["fee_bps 0", "maker_fee_bps 0", "lot_step 1"]);
        // A flag wins even where it says what would have been the default, wherever it stands.
        assert_eq!(
            named("--fill next_open --like vectorbt --capital 10000"),
            ["fee_bps 0", "maker_fee_bps 0"]
        );
        // The maker's fee follows the fee that was given, not the other engine's.
        assert_eq!(
            named("--like backtesting.py --fee-bps 5"),
            ["fee_bps 5", "maker_fee_bps 5", "lot_step 1"]
        );
        assert_eq!(
            named("--like backtesting.py --fee-bps 5 --maker-fee-bps 2 --lot-step 0.00000001"),
            ["fee_bps 5", "maker_fee_bps 2"]
        );
    }

    #[test]
    fn what_like_set_is_told_apart_from_what_was_given() {
        let told = |flags: &str| given(flags).told(|name| name == "slippage_bps");
        assert_eq!(told("--fee-bps 3"), None);
        assert_eq!(
            told("--like vectorbt --fee-bps 3").unwrap().lines().next(),
            Some(
                "like vectorbt: --capital 100 --fill close (yours: --fee-bps 3 --maker-fee-bps 3)"
            )
        );
        let varied = given("--like vectorbt").told(|name| name == "fee_bps").unwrap();
        assert_eq!(
            varied.lines().next(),
            Some("like vectorbt: --capital 100 --maker-fee-bps 0 --fill close")
        );
    }
}
