//! The command line: every command, flag and default, and nothing of what they do.

pub(crate) mod kept;
pub(crate) mod rules;
pub(crate) mod sweep;

use std::path::PathBuf;

use clap::{Arg, Args, Parser, Subcommand, ValueEnum};
use rust_decimal::Decimal;
use sim::timeframe::{Timeframe, UnknownTimeframe};

use self::kept::{List, Notes, Tag, Trades};
pub(crate) use self::rules::Rules;
use crate::synthetic;
use crate::verdict::Kinds;
use crate::when::{self, TimeRange};

/// Backtest trading strategies on bars that you keep, and keep every result as rows.
#[derive(Debug, Parser)]
#[command(name = "backtest", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where everything is kept unless somebody says otherwise.
pub(crate) const DEFAULT_DB: &str = "sqlite:backtest.db";

/// Flags that every command takes, before or after its name.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Where bars and results are kept: `sqlite:FILE` or `postgres://…`
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = DEFAULT_DB,
        value_name = "URL"
    )]
    pub(crate) db: String,
    /// Print one JSON document instead of tables
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Neither use nor keep bars in the cache of this machine
    #[arg(
        long,
        global = true,
        env = "BACKTEST_NO_CACHE",
        hide_env_values = true,
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub(crate) no_cache: bool,
    /// Say more on stderr
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a synthetic year of 1-minute bars, import it and run a strategy on it
    Demo,
    /// Read bars from files (CSV, .gz, .zip, Parquet, Feather) into the database
    Import(Import),
    /// Look at the bars that are held, or write them to a file
    #[command(subcommand)]
    Data(Data),
    /// Run one strategy once and keep the result
    Run(Box<Run>),
    /// Run one strategy over a grid of parameters, and look at what came of it
    Sweep(Box<sweep::Sweep>),
    /// List the results that are kept, newest first or sorted by a metric
    List(Box<List>),
    /// Show one result in full
    Show {
        /// Its id, as `backtest list` prints it
        id: i64,
    },
    /// Print the trades of a result
    Trades(Trades),
    /// Put results side by side: metrics, what differs under them, the first trade that differs, equity
    Compare {
        /// Ids of results or of variants of sweeps, two or more
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Run a result again from what is stored, and say whether every digit is the same
    Reproduce {
        /// Id of a result or of a variant of a sweep
        id: i64,
    },
    /// Print the tags of results, or change them
    Tag(Tag),
    /// Print the note of a result, or write it
    Notes(Notes),
    /// Delete results with their trades and equity
    Delete {
        /// Ids, as `backtest list` prints them
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Run the cases of baseline files and fail where a metric or a trade is not as expected
    Check(Box<Check>),
    /// Check that a strategy decides the same whatever happens afterwards
    Lookahead(Box<Lookahead>),
    /// Measure how many bars a strategy needs before its range
    Warmup(Box<Warmup>),
    /// Look at strategies, start a new one, check a file
    #[command(subcommand)]
    Strategy(Strategy),
    /// Bring a server's schema up to date (an embedded file does so by itself)
    Migrate,
    /// Look at the bars that are kept on this machine, or delete them
    #[command(subcommand)]
    Cache(Cache),
    /// Look after the database: what it is, its policies, its upkeep and its health
    #[command(subcommand)]
    Db(Db),
}

#[derive(Args, Debug)]
pub(crate) struct Import {
    /// Files to read; each is imported whole or not at all
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Symbol of the bars [default: from the file's name]
    #[arg(long)]
    pub(crate) symbol: Option<String>,
    /// Timeframe of the bars [default: from the file's name or its times]
    #[arg(long, value_parser = timeframe)]
    pub(crate) timeframe: Option<Timeframe>,
    /// Which column is what: `time=Date,open=o,high=h,low=l,close=c,volume=v` (names, or numbers from 1)
    #[arg(long, value_name = "MAP")]
    pub(crate) columns: Option<store::import::ColumnMap>,
    /// What to do when rows are bad
    #[arg(long, value_enum, default_value = "refuse")]
    pub(crate) bad_rows: BadRows,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum BadRows {
    /// Import nothing of the file and name the first bad rows
    Refuse,
    /// Import the good rows and write the bad ones beside the file
    Skip,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// List what is held: symbol, timeframe, from, to, bars, gaps
    List,
    /// Look for gaps, duplicates, outliers and other faults in the bars that are held
    Check(DataCheck),
    /// Write bars to a file, or as CSV to stdout
    Export(Export),
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    #[arg(long)]
    pub(crate) symbol: String,
    #[arg(long, value_parser = timeframe)]
    pub(crate) timeframe: Timeframe,
    #[command(flatten)]
    pub(crate) range: Range,
    /// File to write: .csv, .csv.gz, .parquet, .feather [default: CSV to stdout]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct DataCheck {
    /// Only bars of these symbols
    #[arg(long, value_delimiter = ',')]
    pub(crate) symbol: Vec<String>,
    /// Only bars of this timeframe
    #[arg(long, value_parser = timeframe)]
    pub(crate) timeframe: Option<Timeframe>,
    #[command(flatten)]
    pub(crate) range: Range,
    /// Exit with 3 when one of these is found: any, or of gaps, duplicates, zero_volume, flat, outliers, off_grid,
    /// timezone, splits, invalid
    #[arg(long, value_name = "KIND,…")]
    pub(crate) fail_on: Option<Kinds>,
}

/// A half-open range of time.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Range {
    /// First moment, UTC, included: `2024-01-31` or `2024-01-31T12:00`
    #[arg(long, value_parser = when::parse, value_name = "TIME")]
    pub(crate) from: Option<i64>,
    /// Last moment, UTC, excluded
    #[arg(long, value_parser = when::parse, value_name = "TIME")]
    pub(crate) to: Option<i64>,
    /// Both at once: `20240101-20240201`, either end may be left open
    #[arg(long, conflicts_with_all = ["from", "to"], value_name = "RANGE")]
    pub(crate) timerange: Option<TimeRange>,
}

impl Range {
    /// From and to, microseconds UTC, however they were given.
    pub(crate) fn ends(self) -> (Option<i64>, Option<i64>) {
        self.timerange.map_or((self.from, self.to), |r| (r.from_us, r.to_us))
    }
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// Name of a ready strategy, or path of a .toml file
    pub(crate) strategy: String,
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Name of the result [default: the strategy's]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A note to keep with the result
    #[arg(long)]
    pub(crate) notes: Option<String>,
    /// Words to find the result by
    #[arg(long = "tag", value_name = "TAG", value_parser = kept::tag)]
    pub(crate) tags: Vec<String>,
    /// Whose result it is
    #[arg(long, default_value = "local")]
    pub(crate) user: String,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// What has to hold before a number is believed.
#[derive(Args, Clone, Debug)]
pub(crate) struct Trust {
    /// Refuse bars in which `data check` would find something, volumes included; or only some kinds:
    /// --strict-data=gaps,outliers
    #[arg(
        long,
        value_name = "KIND,…",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "any"
    )]
    pub(crate) strict_data: Option<Kinds>,
    /// Check first that the strategy does not look ahead (a sweep: at its defaults, on its first series); see
    /// `backtest lookahead`
    #[arg(long)]
    pub(crate) verify_lookahead: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Lookahead {
    /// Name of a ready strategy, or path of a .toml file
    pub(crate) strategy: String,
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Places over the range at which the future is changed; as many more lie right behind decisions
    #[arg(long, default_value_t = sim::lookahead::LEAST_CUTS, value_parser = cuts)]
    pub(crate) cuts: usize,
    /// What decides the scrambled futures
    #[arg(long, default_value_t = SEED, allow_negative_numbers = true)]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Warmup {
    /// Name of a ready strategy, or path of a .toml file
    pub(crate) strategy: String,
    #[command(flatten)]
    pub(crate) choice: Choice,
}

/// Bars of warm-up unless said otherwise.
pub(crate) const WARMUP: usize = 1_000;

/// What a strategy is run on, and how.
#[derive(Args, Debug)]
pub(crate) struct Choice {
    /// Symbol to trade [default: the strategy's first, or the only one held]
    #[arg(long, value_delimiter = ',')]
    pub(crate) symbol: Vec<String>,
    /// Timeframe to trade [default: the strategy's first]; put together from a finer one when need be
    #[arg(long, value_parser = timeframe)]
    pub(crate) timeframe: Option<Timeframe>,
    #[command(flatten)]
    pub(crate) range: Range,
    /// Value of a parameter, such as `fast=10`
    #[arg(long, visible_alias = "param", value_parser = assignment, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<(String, Decimal)>,
    #[command(flatten)]
    pub(crate) rules: Rules,
    /// Bars before the range that feed indicators only
    #[arg(long, default_value_t = WARMUP, value_name = "BARS", allow_negative_numbers = true)]
    pub(crate) warmup: usize,
}

#[derive(Args, Debug)]
#[command(mut_args(of_a_case))]
pub(crate) struct Check {
    /// Baseline files [default: baselines/*.toml]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Write what comes out as the new expectations
    #[arg(long, conflicts_with = "record")]
    pub(crate) update: bool,
    /// Write a JUnit report too
    #[arg(long, conflicts_with = "record", value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Add a case of this strategy, as the other flags say, to FILE [default: baselines/STRATEGY.toml]
    #[arg(long, value_name = "STRATEGY")]
    pub(crate) record: Option<String>,
    /// With --record: run on so many synthetic minutes instead of the database's bars
    #[arg(long, value_parser = synthetic_minutes, value_name = "MINUTES")]
    pub(crate) synthetic: Option<usize>,
    /// With --record: run on the bars of a file
    #[arg(long, conflicts_with = "synthetic", value_name = "FILE")]
    pub(crate) bars: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) choice: Choice,
}

/// What says how a case runs is refused where none is recorded: those of a file have theirs.
fn of_a_case(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "files" | "update" | "junit" | "record" => arg,
        _ => arg.requires("record"),
    }
}

fn synthetic_minutes(text: &str) -> Result<usize, String> {
    synthetic::limited(text.parse().map_err(|e: std::num::ParseIntError| e.to_string())?)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Strategy {
    /// List the ready strategies
    List,
    /// Print the file of a ready strategy
    Show { name: String },
    /// Write a strategy file to start from
    New {
        /// Name of the strategy; the file is NAME.toml
        name: String,
    },
    /// Check a strategy file without running it
    Check { file: PathBuf },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// List what is kept, and where
    Show,
    /// Delete all of it; what is needed is read from the server again
    Clear,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Edition, versions, migrations, hypertables, policies, and what the edition lacks
    Status,
    /// Retention, compression and refresh: which are on
    #[command(subcommand)]
    Policies(Policies),
    /// Do now what background jobs do on the Community edition; safe to run from cron
    Maintain {
        /// Only print what would be deleted
        #[arg(long)]
        dry_run: bool,
    },
    /// Sizes, slow queries, dead rows, failed jobs, archive lag
    Health {
        /// Exit with 4 when something is wrong
        #[arg(long)]
        strict: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policies {
    /// List the policies and whether they are on
    Show,
    /// Switch policies on, after printing what that would delete now
    Enable(Switch),
    /// Switch policies off
    Disable(Switch),
}

#[derive(Args, Debug)]
pub(crate) struct Switch {
    /// Names as `backtest db policies show` prints them; `retention` is all that delete [default: every policy]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Only print what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

pub(crate) fn timeframe(text: &str) -> Result<Timeframe, String> {
    text.parse().map_err(|e: UnknownTimeframe| format!("{e}; {}", UnknownTimeframe::hint()))
}

/// What decides the scrambled futures of a look-ahead check when nobody says.
pub(crate) const SEED: u64 = 1;
/// Most places that it takes.
const MAX_CUTS: usize = 10_000;

fn cuts(text: &str) -> Result<usize, String> {
    let (least, most) = (sim::lookahead::LEAST_CUTS, MAX_CUTS);
    let number = text.parse().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| format!("`{text}` is not a whole number from {least} to {most}"))
}

fn assignment(text: &str) -> Result<(String, Decimal), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("`{text}` is not of the form NAME=VALUE"))?;
    let number: Decimal =
        value.trim().parse().map_err(|_| format!("`{value}` is not a decimal number"))?;
    if sim::exact::units(number).is_none() || number.normalize().scale() > 8 {
        return Err(format!("`{value}` is not a number below 10^12 with at most 8 decimals"));
    }
    Ok((name.trim().to_owned(), number.normalize()))
}
