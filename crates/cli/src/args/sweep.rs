//! The command line of `backtest sweep`: a strategy begins one, the names of subcommands look after those there are.
//! Nothing of what they do.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand, ValueEnum};
use rust_decimal::Decimal;
use sim::grid;
use sim::sweep::MAX_THREADS;
use sim::timeframe::Timeframe;

use super::{Range, Rules, Trust, timeframe};

/// Most variants that are printed as the best.
const MAX_SHOWN: u64 = 100_000;

/// A strategy, or a subcommand; a strategy that is called like one is given as `./resume.toml`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Sweep {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) start: Start,
}

#[derive(Args, Debug)]
pub(crate) struct Start {
    /// Name of a ready strategy, or path of a .toml file
    #[arg(required = true)]
    pub(crate) strategy: Option<String>,
    /// Values of a parameter, of stop_loss, take_profit, trailing_stop (per cent), time_stop (hours), size, or of a
    /// cost such as fee_bps:
    /// `fast=5..100:5`, `fast=5,10,20`, `x=0.01..10:log7` [default: the ranges of the strategy file]
    #[arg(long = "param", value_parser = axis, value_name = "NAME=VALUES", allow_hyphen_values = true)]
    pub(crate) params: Vec<(String, Vec<Decimal>)>,
    /// Only variants that meet this, besides the file's `require`: `fast * 2 < slow`
    #[arg(long = "where", value_name = "RULE")]
    pub(crate) wheres: Vec<String>,
    /// Symbols, each a dimension's value [default: the strategy's first, or the only one held]
    #[arg(long = "symbol", value_delimiter = ',')]
    pub(crate) symbols: Vec<String>,
    /// Timeframes, each a dimension's value [default: the strategy's first]
    #[arg(long = "timeframe", value_parser = timeframe, value_delimiter = ',')]
    pub(crate) timeframes: Vec<Timeframe>,
    #[command(flatten)]
    pub(crate) range: Range,
    #[command(flatten)]
    pub(crate) rules: Rules,
    /// Bars before the range that feed indicators only
    #[arg(long, default_value_t = 1_000, value_name = "BARS")]
    pub(crate) warmup: usize,
    /// Which points of the grid are tried
    #[arg(long, value_enum, default_value = "grid")]
    pub(crate) search: Search,
    /// How many points random and sobol try
    #[arg(
        long,
        required_if_eq_any = [("search", "random"), ("search", "sobol")],
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) trials: Option<u64>,
    /// What random and sobol begin from: the same seed tries the same points
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) judge: Judge,
    #[command(flatten)]
    pub(crate) work: Work,
    /// Trades and daily equity to keep: all, none, or of the best, top=N
    #[arg(long, default_value = "top=20", value_parser = trades)]
    pub(crate) trades: Trades,
    /// How many of the best to print
    #[arg(long, default_value_t = 10, value_parser = shown())]
    pub(crate) top: usize,
    /// Print variants, rows, memory and time, and stop
    #[arg(long)]
    pub(crate) estimate: bool,
    /// Print the first variants, and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Most variants
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) max_variants: u64,
    /// What to do when this very sweep was begun before
    #[arg(long, value_enum, default_value = "resume")]
    pub(crate) if_exists: IfExists,
    /// Name of the sweep [default: the strategy's]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Whose sweep it is
    #[arg(long, default_value = "local")]
    pub(crate) user: String,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// What is best.
#[derive(Args, Clone, Debug)]
pub(crate) struct Judge {
    /// What the best has most of: a metric, or an expression such as `sharpe_ratio - max_drawdown / 10`
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    pub(crate) objective: Option<String>,
    /// Only variants that meet this may be best: `total_trades >= 30`
    #[arg(long, value_name = "RULE")]
    pub(crate) keep: Option<String>,
}

/// How the work is spread out. None of it changes a number.
#[derive(Args, Clone, Debug)]
pub(crate) struct Work {
    /// Threads [default: one a core]
    #[arg(
        short = 'j',
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(..=MAX_THREADS as u64)
    )]
    pub(crate) threads: usize,
    /// Variants that are simulated and saved together [default: a few seconds' worth]
    #[arg(long, value_name = "N")]
    pub(crate) block: Option<usize>,
    /// Only this part of the variants: `2/8` is the second of eight; `auto` asks the environment (Slurm, Kubernetes, …)
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Search {
    /// All points
    Grid,
    /// As many as --trials, each as likely as another
    Random,
    /// As many as --trials, spread evenly
    Sobol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IfExists {
    /// Go on with it
    Resume,
    /// Begin another one
    New,
    /// Stop
    Error,
}

/// Of which variants trades and daily equity are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trades {
    All,
    Top(usize),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List sweeps, newest first
    List {
        /// At most so many
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: u32,
    },
    /// Go on with a sweep that was stopped
    Resume {
        /// Its id, as `backtest sweep list` prints it
        id: i64,
        #[command(flatten)]
        work: Work,
        /// How many of the best to print
        #[arg(long, default_value_t = 10, value_parser = shown())]
        top: usize,
    },
    /// Say how far a sweep is
    Status { id: i64 },
    /// Print what a sweep is made of
    Show { id: i64 },
    /// Print the best variants, and how stable they are
    Top(Top),
    /// Draw the objective over two parameters
    Heatmap(Heatmap),
    /// Write all variants to a file (.csv, .parquet, .feather, .json), or as CSV to stdout
    Export {
        id: i64,
        /// File to write
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Tell the workers of a sweep to stop
    Cancel { id: i64 },
    /// Delete sweeps with all their variants
    Delete {
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Delete all but the best variants of a sweep
    Prune {
        id: i64,
        /// How many of the best to keep
        #[arg(long, value_name = "N")]
        best: usize,
        #[command(flatten)]
        judge: Judge,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Top {
    pub(crate) id: i64,
    /// At most so many
    #[arg(short = 'n', long, default_value_t = 20, value_parser = shown())]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) judge: Judge,
    /// Only variants on this symbol
    #[arg(long)]
    pub(crate) symbol: Option<String>,
    /// Only variants with these values of parameters: `fast < 20`
    #[arg(long = "where", value_name = "RULE")]
    pub(crate) wheres: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Heatmap {
    pub(crate) id: i64,
    /// Parameter from left to right [default: the one with most values]
    #[arg(long)]
    pub(crate) x: Option<String>,
    /// Parameter from top to bottom [default: the one with second most values]
    #[arg(long)]
    pub(crate) y: Option<String>,
    #[command(flatten)]
    pub(crate) judge: Judge,
}

fn axis(text: &str) -> Result<(String, Vec<Decimal>), String> {
    let (name, values) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not of the form NAME=VALUES, such as fast=5..100:5"))?;
    let values = grid::values(values.trim()).map_err(|e| format!("{e}; {}", e.hint()))?;
    Ok((name.trim().to_owned(), values))
}

/// How many variants are printed: all of them are for `export`.
fn shown() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(..=MAX_SHOWN)
}

/// `all`, `none` or `top=N`.
pub(crate) fn trades(text: &str) -> Result<Trades, String> {
    match text {
        "all" => Ok(Trades::All),
        "none" => Ok(Trades::Top(0)),
        _ => {
            let n = text.strip_prefix("top=").and_then(|n| n.parse().ok());
            n.map(Trades::Top).ok_or_else(|| format!("`{text}` is not all, none or top=N"))
        }
    }
}

impl std::fmt::Display for Trades {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Top(0) => f.write_str("none"),
            Self::Top(n) => write!(f, "top={n}"),
        }
    }
}
