//! The command line: every command, flag and default, and nothing of what they do.

pub(crate) mod sweep;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rust_decimal::Decimal;
use sim::rules::{Fill, Intrabar};
use sim::timeframe::{Timeframe, UnknownTimeframe};

use crate::like::Like;
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

/// Flags that every command takes, before or after its name.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Where bars and results are kept: `sqlite:FILE` or `postgres://…`
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite:backtest.db",
        value_name = "URL"
    )]
    pub(crate) db: String,
    /// Print one JSON document instead of tables
    #[arg(long, global = true)]
    pub(crate) json: bool,
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
    #[arg(long = "tag", value_name = "TAG")]
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
    /// Refuse bars in which `data check` would find something; or only some kinds: --strict-data=gaps,outliers
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
    #[arg(long, default_value_t = 50, value_parser = cuts)]
    pub(crate) cuts: usize,
    /// What decides the scrambled futures
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Warmup {
    /// Name of a ready strategy, or path of a .toml file
    pub(crate) strategy: String,
    #[command(flatten)]
    pub(crate) choice: Choice,
}

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
    #[arg(long, default_value_t = 1_000, value_name = "BARS")]
    pub(crate) warmup: usize,
}

/// Costs, fills and conventions. What is not given is as `--like` says, else as [`sim::rules::Rules::default`].
#[derive(Args, Debug)]
pub(crate) struct Rules {
    /// Begin with the fills and costs of another engine; flags win over it
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub(crate) like: Option<Like>,
    /// Initial capital, quote units [default: 10000]
    #[arg(long)]
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
    #[arg(long)]
    pub(crate) lot_step: Option<Decimal>,
    /// Fill prices are multiples of this, rounded against the trader [default: 0.00000001]
    #[arg(long)]
    pub(crate) tick_size: Option<Decimal>,
    /// Entries below this notional are rejected [default: 0]
    #[arg(long)]
    pub(crate) min_notional: Option<Decimal>,
    /// Days in a year for volatility, Sharpe and Sortino [default: 365]
    #[arg(long)]
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

    /// What `--like` set, for a person to read, but for rules `varied` by a sweep.
    pub(crate) fn told(&self, varied: impl Fn(&str) -> bool) -> Option<String> {
        self.like.map(|like| like.told(&self.rules(), varied))
    }
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Baseline files [default: baselines/*.toml]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Write what comes out as the new expectations
    #[arg(long, conflicts_with = "record")]
    pub(crate) update: bool,
    /// Write a JUnit report too
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Add a case of this strategy, as the other flags say, to FILE [default: baselines/STRATEGY.toml]
    #[arg(long, value_name = "STRATEGY")]
    pub(crate) record: Option<String>,
    /// With --record: run on so many synthetic minutes instead of the database's bars
    #[arg(long, requires = "record", value_name = "MINUTES")]
    pub(crate) synthetic: Option<usize>,
    /// With --record: run on the bars of a file
    #[arg(long, requires = "record", conflicts_with = "synthetic", value_name = "FILE")]
    pub(crate) bars: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) choice: Choice,
}

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
    #[arg(short = 'n', long, default_value_t = 20)]
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
    #[arg(long, value_name = "TAG")]
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

/// Most places that a look-ahead check takes.
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

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
