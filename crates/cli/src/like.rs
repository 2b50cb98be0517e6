//! `--like`: the fill and cost conventions that another engine has when it is told nothing, as far as our rules can
//! say them. What it does otherwise stands in docs/switching.md and is measured by tests/parity.

use clap::ValueEnum;
use rust_decimal::Decimal;
use sim::rules::{Fill, Rules};

/// Another engine. Its variants are not documented, so that `run --help` stays one line a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Like {
    Vectorbt,
    #[value(name = "backtesting.py")]
    BacktestingPy,
}

impl Like {
    /// Its defaults as our rules.
    pub(crate) fn rules(self) -> Rules {
        let free =
            Rules { fee_bps: Decimal::ZERO, maker_fee_bps: Decimal::ZERO, ..Rules::default() };
        match self {
            Self::Vectorbt => Rules { capital: Decimal::new(100, 0), fill: Fill::Close, ..free },
            Self::BacktestingPy => Rules { lot_step: Decimal::ONE, ..free },
        }
    }

    /// What it changed in `rules`, as flags; but for those `varied` by a sweep.
    pub(crate) fn told(self, rules: &Rules, varied: impl Fn(&str) -> bool) -> String {
        let default = Rules::default().named();
        let (mut set, mut kept) = (Vec::new(), Vec::new());
        for (((name, its), (_, now)), (_, ours)) in
            self.rules().named().into_iter().zip(rules.named()).zip(default)
        {
            let flag = name.replace('_', "-");
            if (its == ours && now == ours) || varied(name) {
                continue;
            }
            if its == now {
                set.push(format!("--{flag} {its}"));
            } else {
                kept.push(format!("--{flag} {now}"));
            }
        }
        let name = self.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
        if !kept.is_empty() {
            set.push(format!("(yours: {})", kept.join(" ")));
        }
        format!("like {name}: {}\nwhat still differs: docs/switching.md", set.join(" "))
    }
}
