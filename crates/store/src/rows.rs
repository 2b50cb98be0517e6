//! Reading runs back: lists, one run in full, its trades and its equity. Writing them is `runs`.
//! Nothing is computed from what is stored, but for a run that has gone silent being shown as abandoned.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::Store;
use crate::error::Error;
use crate::tx::{Arg, Mode, Row};

/// How long a RUNNING row may be without sign of life, microseconds.
pub(crate) const ABANDONED_US: i64 = 60_000_000;

/// Which runs to list; everything given has to hold.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    pub user: Option<String>,
    pub strategy: Option<String>,
    pub symbol: Option<String>,
    pub timeframe: Option<String>,
    /// Every one of them.
    pub tags: Vec<String>,
    /// PENDING, RUNNING, COMPLETED, FAILED, CANCELLED or ABANDONED.
    pub status: Option<String>,
    /// When it was begun, microseconds UTC: from the first, to before the second.
    pub created_from_us: Option<i64>,
    pub created_to_us: Option<i64>,
    /// Most rows, the newest first.
    pub limit: Option<usize>,
    /// Whether [`Results::metrics`] are read too.
    pub metrics: bool,
}

/// The columns of `backtest_results`: per cent or ratio as their comments say, money in quote units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    pub total_return: Option<Decimal>,
    pub annual_return: Option<Decimal>,
    pub volatility: Option<Decimal>,
    pub sharpe_ratio: Option<Decimal>,
    pub sortino_ratio: Option<Decimal>,
    pub max_drawdown: Option<Decimal>,
    /// Seconds.
    pub max_drawdown_duration: Option<i64>,
    pub calmar_ratio: Option<Decimal>,
    pub win_rate: Option<Decimal>,
    pub profit_factor: Option<Decimal>,
    pub total_trades: Option<i64>,
    pub winning_trades: Option<i64>,
    pub losing_trades: Option<i64>,
    pub avg_trade_return: Option<Decimal>,
    pub avg_win: Option<Decimal>,
    pub avg_loss: Option<Decimal>,
    pub largest_win: Option<Decimal>,
    pub largest_loss: Option<Decimal>,
    /// Microseconds.
    pub avg_trade_duration_us: Option<i64>,
    pub final_capital: Option<Decimal>,
    /// Everything at full precision, and the conventions used; left out of lists that do not ask for it.
    pub metrics: Option<Value>,
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    pub id: i64,
    pub name: String,
    pub strategy: Option<String>,
    pub symbols: Vec<String>,
    pub timeframes: Vec<String>,
    pub parameters: Option<Value>,
    /// PENDING, RUNNING, COMPLETED, FAILED, CANCELLED; ABANDONED is a RUNNING one without sign of life for 60 s.
    pub status: String,
    /// Microseconds UTC.
    pub created_us: Option<i64>,
    pub start_us: i64,
    pub end_us: i64,
    pub tags: Vec<String>,
    /// `None` until the run is COMPLETED.
    pub results: Option<Results>,
}

/// A run in full. Times are microseconds UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct RunDetail {
    pub row: RunRow,
    pub user: Option<String>,
    pub description: Option<String>,
    /// Quote units.
    pub initial_capital: Decimal,
    /// Per cent.
    pub progress: i64,
    pub started_us: Option<i64>,
    pub completed_us: Option<i64>,
    pub heartbeat_us: Option<i64>,
    pub notes: Option<String>,
    pub rules: Option<Value>,
    pub identity: Option<String>,
    pub fingerprint: Option<String>,
    pub engine_version: Option<String>,
    pub error: Option<String>,
    /// The strategy file as it was last saved under its name.
    pub strategy_parameters: Option<Value>,
    pub risk_parameters: Option<Value>,
    /// The sweep that it is a variant of.
    pub sweep: Option<i64>,
    /// Which variant of it, and the sweep's own definition.
    pub variant_idx: Option<u64>,
    pub sweep_definition: Option<Value>,
}

/// A row of `backtest_trades`. Times are microseconds UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeRow {
    pub id: i64,
    pub symbol: String,
    pub side: String,
    pub quantity: Decimal,
    pub entry_price: Decimal,
    pub exit_price: Option<Decimal>,
    pub entry_time_us: i64,
    pub exit_time_us: Option<i64>,
    /// Net, quote units.
    pub pnl: Option<Decimal>,
    /// Per cent of entry notional.
    pub pnl_percentage: Option<Decimal>,
    pub commission: Option<Decimal>,
    pub strategy_signal: Option<String>,
}

/// A row of `backtest_equity`.
#[derive(Clone, Debug, PartialEq)]
pub struct EquityRow {
    /// Opening of the last bar of the UTC day, microseconds.
    pub time_us: i64,
    pub equity: Decimal,
    /// Per cent below the highest mark so far.
    pub drawdown: Option<Decimal>,
}

macro_rules! run_columns {
    ($metrics:literal) => {
        concat!(
            "b.id, b.name, s.name AS strategy, b.symbols, b.timeframes, b.parameters, b.created_at, \
         b.start_date, b.end_date, b.tags, \
         CASE WHEN b.status = 'RUNNING' AND (b.heartbeat_at IS NULL OR b.heartbeat_at < $1) \
         THEN 'ABANDONED' ELSE b.status END AS state, r.backtest_id AS has_results, \
         r.total_return, r.annual_return, r.volatility, r.sharpe_ratio, r.sortino_ratio, \
         r.max_drawdown, r.max_drawdown_duration, r.calmar_ratio, r.win_rate, r.profit_factor, \
         r.total_trades, r.winning_trades, r.losing_trades, r.avg_trade_return, r.avg_win, \
         r.avg_loss, r.largest_win, r.largest_loss, r.avg_trade_duration, r.final_capital, ",
            $metrics
        )
    };
}
macro_rules! run_tables {
    () => {
        " FROM backtests b LEFT JOIN strategies s ON s.id = b.strategy_id \
         LEFT JOIN users u ON u.id = b.user_id \
         LEFT JOIN backtest_results r ON r.backtest_id = b.id \
         LEFT JOIN sweeps w ON w.id = b.sweep_id "
    };
}

// Symbols, timeframes, tags and states are filtered after reading: lists are spelled differently by the two dialects.
const LIST: &str = concat!(
    "SELECT ",
    run_columns!("CASE WHEN $7 = 1 THEN r.metrics END AS metrics"),
    run_tables!(),
    "WHERE b.sweep_id IS NULL AND ($2 IS NULL OR u.username = $2) AND ($3 IS NULL OR s.name = $3) \
     AND ($4 IS NULL OR b.created_at >= $4) AND ($5 IS NULL OR b.created_at < $5) \
     ORDER BY b.id DESC LIMIT $6"
);
const SHOW: &str = concat!(
    "SELECT ",
    run_columns!("r.metrics"),
    ", u.username, b.description, b.initial_capital, b.progress, b.started_at, b.completed_at, \
     b.heartbeat_at, b.notes, b.rules, b.identity, b.data_fingerprint, b.engine_version, b.error, \
     s.parameters AS strategy_parameters, s.risk_parameters, b.sweep_id, b.variant_idx, \
     w.definition AS sweep_definition",
    run_tables!(),
    "WHERE b.id = $2"
);
const TRADES: &str = "SELECT id, symbol, side, quantity, entry_price, exit_price, entry_time, \
                      exit_time, pnl, pnl_percentage, commission, strategy_signal \
                      FROM backtest_trades WHERE backtest_id = $1 ORDER BY id";
const EQUITY: &str = "SELECT timestamp, equity, drawdown FROM backtest_equity \
                      WHERE backtest_id = $1 ORDER BY timestamp";

/// See [`Store::list`].
pub(crate) async fn list(store: &Store, filter: &ListFilter) -> Result<Vec<RunRow>, Error> {
    let mut tx = store.begin_tx(Mode::Read, "listing runs").await?;
    let silent_us = tx.now_us().await? - ABANDONED_US;
    let (user, strategy) = (filter.user.as_deref(), filter.strategy.as_deref());
    let limit = filter.limit.unwrap_or(usize::MAX);
    // What is filtered here may drop any row, so then the database cannot stop early.
    let all_pass = filter.symbol.is_none()
        && filter.timeframe.is_none()
        && filter.tags.is_empty()
        && filter.status.is_none();
    let read = if all_pass { i64::try_from(limit).unwrap_or(i64::MAX) } else { i64::MAX };
    let args = [
        Arg::time(silent_us),
        Arg::Text(user),
        Arg::Text(strategy),
        Arg::Time(filter.created_from_us),
        Arg::Time(filter.created_to_us),
        Arg::int(read),
        Arg::int(filter.metrics.into()),
    ];
    let rows = tx.rows(LIST, &args).await?;
    let rows = rows.iter().map(run_row);
    rows.filter(|row| row.as_ref().map_or(true, |row| passes(filter, row))).take(limit).collect()
}

fn passes(filter: &ListFilter, row: &RunRow) -> bool {
    let has = |wanted: &Option<String>, held: &[String]| {
        wanted.as_ref().is_none_or(|wanted| held.contains(wanted))
    };
    has(&filter.symbol, &row.symbols)
        && has(&filter.timeframe, &row.timeframes)
        && filter.tags.iter().all(|tag| row.tags.contains(tag))
        && filter.status.as_ref().is_none_or(|status| status.eq_ignore_ascii_case(&row.status))
}

fn run_row(row: &Row) -> Result<RunRow, Error> {
    let has_results = row.opt_int("has_results")?.is_some();
    Ok(RunRow {
        id: row.int("id")?,
        name: row.text("name")?,
        strategy: row.opt_text("strategy")?,
        symbols: row.list("symbols")?,
        timeframes: row.list("timeframes")?,
        parameters: row.opt_json("parameters")?,
        status: row.opt_text("state")?.unwrap_or_default(),
        created_us: row.opt_time("created_at")?,
        start_us: row.time("start_date")?,
        end_us: row.time("end_date")?,
        tags: row.list("tags")?,
        results: if has_results { Some(results(row)?) } else { None },
    })
}

pub(crate) fn results(row: &Row) -> Result<Results, Error> {
    Ok(Results {
        total_return: row.opt_money("total_return")?,
        annual_return: row.opt_money("annual_return")?,
        volatility: row.opt_money("volatility")?,
        sharpe_ratio: row.opt_money("sharpe_ratio")?,
        sortino_ratio: row.opt_money("sortino_ratio")?,
        max_drawdown: row.opt_money("max_drawdown")?,
        max_drawdown_duration: row.opt_int("max_drawdown_duration")?,
        calmar_ratio: row.opt_money("calmar_ratio")?,
        win_rate: row.opt_money("win_rate")?,
        profit_factor: row.opt_money("profit_factor")?,
        total_trades: row.opt_int("total_trades")?,
        winning_trades: row.opt_int("winning_trades")?,
        losing_trades: row.opt_int("losing_trades")?,
        avg_trade_return: row.opt_money("avg_trade_return")?,
        avg_win: row.opt_money("avg_win")?,
        avg_loss: row.opt_money("avg_loss")?,
        largest_win: row.opt_money("largest_win")?,
        largest_loss: row.opt_money("largest_loss")?,
        avg_trade_duration_us: row.opt_span("avg_trade_duration")?,
        final_capital: row.opt_money("final_capital")?,
        metrics: row.opt_json("metrics")?,
    })
}

/// See [`Store::show`].
pub(crate) async fn show(store: &Store, id: i64) -> Result<Option<RunDetail>, Error> {
    let mut tx = store.begin_tx(Mode::Read, "reading a run").await?;
    let silent_us = tx.now_us().await? - ABANDONED_US;
    let row = tx.row(SHOW, &[Arg::time(silent_us), Arg::int(id)]).await?;
    row.as_ref().map(detail).transpose()
}

fn detail(row: &Row) -> Result<RunDetail, Error> {
    Ok(RunDetail {
        row: run_row(row)?,
        user: row.opt_text("username")?,
        description: row.opt_text("description")?,
        initial_capital: row.money("initial_capital")?,
        progress: row.opt_int("progress")?.unwrap_or_default(),
        started_us: row.opt_time("started_at")?,
        completed_us: row.opt_time("completed_at")?,
        heartbeat_us: row.opt_time("heartbeat_at")?,
        notes: row.opt_text("notes")?,
        rules: rules(row)?,
        identity: row.opt_text("identity")?,
        fingerprint: row.opt_text("data_fingerprint")?,
        engine_version: row.opt_text("engine_version")?,
        error: row.opt_text("error")?,
        strategy_parameters: row.opt_json("strategy_parameters")?,
        risk_parameters: row.opt_json("risk_parameters")?,
        sweep: row.opt_int("sweep_id")?,
        variant_idx: row.opt_int("variant_idx")?.and_then(|idx| u64::try_from(idx).ok()),
        sweep_definition: row.opt_json("sweep_definition")?,
    })
}

/// The rules of a run; of a variant those of its sweep, with what differs.
fn rules(row: &Row) -> Result<Option<Value>, Error> {
    if let Some(rules) = row.opt_json("rules")? {
        return Ok(Some(rules));
    }
    let Some(definition) = row.opt_json("sweep_definition")? else { return Ok(None) };
    let Some(Value::Object(mut rules)) = definition.get("rules").cloned() else {
        return Ok(None);
    };
    let parameters = row.opt_json("parameters")?;
    let differs = parameters.as_ref().and_then(Value::as_object);
    for (name, value) in differs.into_iter().flatten() {
        if let Some(rule) = rules.get_mut(name) {
            *rule = Value::String(value.to_string());
        }
    }
    // Where nobody said otherwise, the maker's fee is the fee.
    if definition.get("maker_follows_fee") == Some(&Value::Bool(true)) {
        let fee = rules.get("fee_bps").cloned().unwrap_or_default();
        rules.insert("maker_fee_bps".to_owned(), fee);
    }
    Ok(Some(Value::Object(rules)))
}

/// See [`Store::trades`].
pub(crate) async fn trades(store: &Store, id: i64) -> Result<Vec<TradeRow>, Error> {
    let mut tx = store.begin_tx(Mode::Read, "reading trades").await?;
    let rows = tx.rows(TRADES, &[Arg::int(id)]).await?;
    rows.iter().map(trade).collect()
}

fn trade(row: &Row) -> Result<TradeRow, Error> {
    Ok(TradeRow {
        id: row.int("id")?,
        symbol: row.text("symbol")?,
        side: row.text("side")?,
        quantity: row.money("quantity")?,
        entry_price: row.money("entry_price")?,
        exit_price: row.opt_money("exit_price")?,
        entry_time_us: row.time("entry_time")?,
        exit_time_us: row.opt_time("exit_time")?,
        pnl: row.opt_money("pnl")?,
        pnl_percentage: row.opt_money("pnl_percentage")?,
        commission: row.opt_money("commission")?,
        strategy_signal: row.opt_text("strategy_signal")?,
    })
}

/// See [`Store::equity`].
pub(crate) async fn equity(store: &Store, id: i64) -> Result<Vec<EquityRow>, Error> {
    let mut tx = store.begin_tx(Mode::Read, "reading equity").await?;
    let rows = tx.rows(EQUITY, &[Arg::int(id)]).await?;
    let row = |row: &Row| {
        let (time_us, equity) = (row.time("timestamp")?, row.money("equity")?);
        Ok(EquityRow { time_us, equity, drawdown: row.opt_money("drawdown")? })
    };
    rows.iter().map(row).collect()
}
