//! The command line of what looks at kept results: list, tag, notes, trades.
//! Nothing of what they do.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sim::timeframe::Timeframe;

use super::timeframe;
use crate::when;

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only results of this strategy
    #[arg(long)]
    pub(crate) strategy: Option<String>,
    /// Only results on this symbol
    #[arg(long)]
    pub(crate) symbol: Option<String>,
    /// Only results on this timeframe
    #[arg(long, value_parser = timeframe)]
    pub(crate) timeframe: Option<Timeframe>,
    /// Only results in this state
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) status: Option<Status>,
    /// Only results with this tag; several times: with all of them
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Only results of this user
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Only results made at this moment or later, UTC
    #[arg(long, value_parser = when::parse, value_name = "TIME")]
    pub(crate) since: Option<i64>,
    /// Only results made before this moment, UTC
    #[arg(long, value_parser = when::parse, value_name = "TIME")]
    pub(crate) until: Option<i64>,
    /// Only results that meet this rule over metrics: `sharpe_ratio > 1 and total_trades >= 30`
    #[arg(long = "where", value_name = "RULE")]
    pub(crate) wheres: Vec<String>,
    /// Order by a metric, or an expression over metrics, the greatest first; undefined ones come last
    #[arg(long, value_name = "METRIC", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
    /// The least first
    #[arg(long, requires = "sort")]
    pub(crate) ascending: bool,
    /// At most so many
    #[arg(short = 'n', long, default_value_t = 20, allow_negative_numbers = true)]
    pub(crate) limit: u32,
}

/// How far a result is. `abandoned` is one that runs but has given no sign of life for a minute.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Status {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    Abandoned,
}

impl Status {
    /// As the rows spell it, but for its case.
    pub(crate) fn word(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[derive(Args, Debug)]
pub(crate) struct Tag {
    /// Ids of results or of variants of sweeps
    #[arg(required = true)]
    pub(crate) ids: Vec<i64>,
    /// A tag to put on
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub(crate) add: Vec<String>,
    /// A tag to take off
    #[arg(long, value_name = "TAG")]
    pub(crate) remove: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Notes {
    /// Id of a result or of a variant of a sweep
    pub(crate) id: i64,
    /// What to write in the place of what stands there; "" takes it away
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Trades {
    /// Id of the result, as `backtest list` prints it
    pub(crate) id: i64,
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: TradeFormat,
    /// File to write instead of stdout (needed for parquet)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TradeFormat {
    Table,
    Csv,
    Json,
    Parquet,
}

pub(super) fn tag(text: &str) -> Result<String, String> {
    let word = Some(text.trim()).filter(|word| !word.is_empty());
    word.map(str::to_owned).ok_or_else(|| "a tag is a word, not nothing".to_owned())
}
