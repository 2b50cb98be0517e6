//! The functions an expression can call: their names, arguments and the columns they read by themselves.
//! No arithmetic may enter; what they compute stands in `indicator`.

use crate::bars::Column;

use super::Type;

/// A function of the language; the last one has no name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Function {
    Sma,
    Ema,
    Wma,
    Rsi,
    Stddev,
    Zscore,
    Roc,
    Highest,
    Lowest,
    Sum,
    Shift,
    Macd,
    MacdSignal,
    MacdHist,
    BbUpper,
    BbMiddle,
    BbLower,
    Atr,
    Adx,
    PlusDi,
    MinusDi,
    Cci,
    Mfi,
    StochK,
    StochD,
    Obv,
    Vwap,
    Supertrend,
    SupertrendDir,
    CrossAbove,
    CrossBelow,
    Min,
    Max,
    Abs,
    /// The unsmoothed stochastic that `stoch_k` averages.
    StochRaw,
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arg {
    /// Any number, bar by bar.
    Series(&'static str),
    /// A constant whole number of bars, at least 1.
    Length(&'static str),
    /// A constant above 0.
    Factor(&'static str),
}

impl Arg {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Series(name) | Self::Length(name) | Self::Factor(name) => name,
        }
    }
}

const X_N: &[Arg] = &[Arg::Series("x"), Arg::Length("n")];
const X_N_K: &[Arg] = &[Arg::Series("x"), Arg::Length("n"), Arg::Factor("k")];
const MACD: &[Arg] =
    &[Arg::Series("x"), Arg::Length("fast"), Arg::Length("slow"), Arg::Length("signal")];
const N: &[Arg] = &[Arg::Length("n")];
const N_FACTOR: &[Arg] = &[Arg::Length("n"), Arg::Factor("k")];
const STOCH_K: &[Arg] = &[Arg::Length("n"), Arg::Length("k")];
const STOCH_D: &[Arg] = &[Arg::Length("n"), Arg::Length("k"), Arg::Length("d")];
const A_B: &[Arg] = &[Arg::Series("a"), Arg::Series("b")];

impl Function {
    /// Every function with a name, in the order the documentation lists them.
    pub(crate) const ALL: [Self; 34] = [
        Self::Sma,
        Self::Ema,
        Self::Wma,
        Self::Rsi,
        Self::Stddev,
        Self::Zscore,
        Self::Roc,
        Self::Highest,
        Self::Lowest,
        Self::Sum,
        Self::Shift,
        Self::Macd,
        Self::MacdSignal,
        Self::MacdHist,
        Self::BbUpper,
        Self::BbMiddle,
        Self::BbLower,
        Self::Atr,
        Self::Adx,
        Self::PlusDi,
        Self::MinusDi,
        Self::Cci,
        Self::Mfi,
        Self::StochK,
        Self::StochD,
        Self::Obv,
        Self::Vwap,
        Self::Supertrend,
        Self::SupertrendDir,
        Self::CrossAbove,
        Self::CrossBelow,
        Self::Min,
        Self::Max,
        Self::Abs,
    ];

    /// Its name and arguments.
    fn shape(self) -> (&'static str, &'static [Arg]) {
        match self {
            Self::Sma => ("sma", X_N),
            Self::Ema => ("ema", X_N),
            Self::Wma => ("wma", X_N),
            Self::Rsi => ("rsi", X_N),
            Self::Stddev => ("stddev", X_N),
            Self::Zscore => ("zscore", X_N),
            Self::Roc => ("roc", X_N),
            Self::Highest => ("highest", X_N),
            Self::Lowest => ("lowest", X_N),
            Self::Sum => ("sum", X_N),
            Self::Shift => ("shift", X_N),
            Self::Macd => ("macd", MACD),
            Self::MacdSignal => ("macd_signal", MACD),
            Self::MacdHist => ("macd_hist", MACD),
            Self::BbUpper => ("bb_upper", X_N_K),
            Self::BbMiddle => ("bb_middle", X_N),
            Self::BbLower => ("bb_lower", X_N_K),
            Self::Atr => ("atr", N),
            Self::Adx => ("adx", N),
            Self::PlusDi => ("plus_di", N),
            Self::MinusDi => ("minus_di", N),
            Self::Cci => ("cci", N),
            Self::Mfi => ("mfi", N),
            Self::StochK => ("stoch_k", STOCH_K),
            Self::StochD => ("stoch_d", STOCH_D),
            Self::Obv => ("obv", &[]),
            Self::Vwap => ("vwap", &[]),
            Self::Supertrend => ("supertrend", N_FACTOR),
            Self::SupertrendDir => ("supertrend_dir", N_FACTOR),
            Self::CrossAbove => ("cross_above", A_B),
            Self::CrossBelow => ("cross_below", A_B),
            Self::Min => ("min", A_B),
            Self::Max => ("max", A_B),
            Self::Abs => ("abs", &[Arg::Series("x")]),
            Self::StochRaw => ("stoch_raw", N),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.shape().0
    }

    pub(crate) fn args(self) -> &'static [Arg] {
        self.shape().1
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    /// How it is written, such as `sma(x, n)`.
    pub(crate) fn signature(self) -> String {
        let args: Vec<&str> = self.args().iter().map(|arg| arg.name()).collect();
        format!("{}({})", self.name(), args.join(", "))
    }

    pub(crate) fn returns(self) -> Type {
        match self {
            Self::CrossAbove | Self::CrossBelow => Type::Rule,
            _ => Type::Number,
        }
    }

    /// Whether its value at a bar depends on its arguments at that bar alone.
    pub(crate) fn is_pointwise(self) -> bool {
        matches!(self, Self::Min | Self::Max | Self::Abs)
    }

    /// Columns it reads without being given them.
    pub(crate) fn reads(self) -> &'static [Column] {
        use Column::{Close, High, Low, Volume};
        match self {
            Self::Atr
            | Self::Adx
            | Self::PlusDi
            | Self::MinusDi
            | Self::Cci
            | Self::StochK
            | Self::StochD
            | Self::StochRaw
            | Self::Supertrend
            | Self::SupertrendDir => &[High, Low, Close],
            Self::Mfi | Self::Vwap => &[High, Low, Close, Volume],
            Self::Obv => &[Close, Volume],
            _ => &[],
        }
    }
}

/// What other programs call our functions, and what to write instead.
pub(crate) fn known_elsewhere(name: &str) -> Option<&'static str> {
    Some(match name {
        "crossover" | "crosses_above" | "cross_over" => "cross_above(a, b)",
        "crossunder" | "crosses_below" | "cross_under" => "cross_below(a, b)",
        "bollinger" | "bbands" | "bb" => {
            "bb_upper(x, n, k)`, `bb_middle(x, n)` or `bb_lower(x, n, k)"
        }
        "donchian" => "highest(high, n)` or `lowest(low, n)",
        "stochastic" | "stoch" => "stoch_k(n, k)` or `stoch_d(n, k, d)",
        "std" | "stdev" => "stddev(x, n)",
        "ref" | "lag" | "prev" => "shift(x, n)",
        _ => return None,
    })
}
