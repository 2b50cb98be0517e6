//! Trades and daily equity on a server: a few as arrays in one statement, many by COPY. SQLite's way stands in `many`.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sim::DayMark;
use sim::order::Trade;
use sqlx::PgConnection;

use super::columns;
use super::save::{Lists, MONEY, PERCENT};
use crate::postgres::copy::{Rows, copy_in, is_secured, patient};
use crate::postgres::value::Numeric;
use crate::tx::time_of;

/// From so many rows on COPY is quicker: it ends in two small messages, and the second one waits some 40 ms for word
/// that the first one came.
const MANY: usize = 2_000;

type TradeOf<'a> = (i32, &'a str, &'a Trade);
type DayOf<'a> = (i32, &'a DayMark);

/// Where both lists go.
const TABLES: &[&str] = &["backtest_trades", "backtest_equity"];
/// A chunk that these trades began is closed before anyone can see it (migrations/ensure/security.sql).
const PROTECT: &str = "SELECT protect_chunks()";

/// Adds them in their order.
pub(super) async fn insert(
    conn: &mut PgConnection,
    lists: &[Lists<'_>],
) -> Result<(), sqlx::Error> {
    let (mut trades, mut days): (Vec<TradeOf<'_>>, Vec<DayOf<'_>>) = (Vec::new(), Vec::new());
    for of in lists {
        let id = i32::try_from(of.id).map_err(|error| sqlx::Error::Encode(error.into()))?;
        trades.extend(of.trades.iter().map(|trade| (id, of.symbol, trade)));
        days.extend(of.daily.iter().map(|day| (id, day)));
    }
    let is_long = trades.len().max(days.len()) >= MANY;
    let secured = is_long && is_secured(conn, TABLES).await?;
    if trades.len() < MANY {
        few_trades(conn, &trades).await?;
    } else {
        many(conn, secured, &trade_rows(&trades)?, &TRADES).await?;
    }
    if days.len() < MANY {
        few_days(conn, &days).await?;
    } else {
        many(conn, secured, &day_rows(&days)?, &DAYS).await?;
    }
    patient(sqlx::query(PROTECT).persistent(false).execute(conn)).await.map(|_| ())
}

const FEW_TRADES: &str = "INSERT INTO backtest_trades (backtest_id, symbol, side, quantity, \
     entry_price, exit_price, entry_time, exit_time, pnl, pnl_percentage, commission, \
     strategy_signal) SELECT * FROM unnest($1::int4[], $2::text[], $3::text[], $4::numeric[], \
     $5::numeric[], $6::numeric[], $7::timestamptz[], $8::timestamptz[], $9::numeric[], \
     $10::numeric[], $11::numeric[], $12::text[])";

async fn few_trades(conn: &mut PgConnection, all: &[TradeOf<'_>]) -> Result<(), sqlx::Error> {
    if all.is_empty() {
        return Ok(());
    }
    let trades = || all.iter().map(|of| of.2);
    let exits = || trades().map(|trade| trade.exit.as_ref());
    let entry_times = trades().map(|trade| time_of(trade.entry_time_us));
    let exit_times = exits().map(|exit| exit.map(|e| time_of(e.time_us)).transpose());
    let query = sqlx::query(FEW_TRADES)
        .bind(all.iter().map(|of| of.0).collect::<Vec<_>>())
        .bind(all.iter().map(|of| of.1).collect::<Vec<_>>())
        .bind(trades().map(|trade| trade.side.to_string()).collect::<Vec<_>>())
        .bind(decimals(MONEY, trades().map(|trade| Some(trade.quantity))))
        .bind(decimals(MONEY, trades().map(|trade| Some(trade.entry_price))))
        .bind(decimals(MONEY, exits().map(|exit| exit.map(|e| e.price))))
        .bind(entry_times.collect::<Result<Vec<_>, _>>()?)
        .bind(exit_times.collect::<Result<Vec<Option<DateTime<Utc>>>, _>>()?)
        .bind(decimals(MONEY, exits().map(|exit| exit.map(|e| e.pnl))))
        .bind(decimals(PERCENT, trades().map(columns::pnl_percentage)))
        .bind(decimals(MONEY, trades().map(|trade| Some(trade.commission))))
        .bind(trades().map(Trade::strategy_signal).collect::<Vec<_>>());
    patient(query.persistent(false).execute(conn)).await.map(|_| ())
}

const FEW_DAYS: &str = "INSERT INTO backtest_equity (backtest_id, timestamp, equity, drawdown) \
     SELECT * FROM unnest($1::int4[], $2::timestamptz[], $3::numeric[], $4::numeric[])";

async fn few_days(conn: &mut PgConnection, all: &[DayOf<'_>]) -> Result<(), sqlx::Error> {
    if all.is_empty() {
        return Ok(());
    }
    let times = all.iter().map(|of| time_of(of.1.time_us));
    let query = sqlx::query(FEW_DAYS)
        .bind(all.iter().map(|of| of.0).collect::<Vec<_>>())
        .bind(times.collect::<Result<Vec<_>, _>>()?)
        .bind(decimals(MONEY, all.iter().map(|of| Some(of.1.equity))))
        .bind(decimals(PERCENT, all.iter().map(|of| columns::drawdown(of.1.drawdown))));
    patient(query.persistent(false).execute(conn)).await.map(|_| ())
}

fn decimals(places: u32, values: impl Iterator<Item = Option<Decimal>>) -> Vec<Option<Numeric>> {
    let rounded = |mut value: Decimal| {
        value.rescale(places);
        Numeric(value)
    };
    values.map(|value| value.map(rounded)).collect()
}

/// How many rows go into a table. COPY is refused where row level security is on, so there they go through a temporary one.
/// Its columns have the very types of the table, so that nothing is converted on the way.
struct Way {
    copy: &'static str,
    stage: &'static str,
    copy_to_stage: &'static str,
    /// Ids ascend as the rows do: a temporary table without an index is only read from its beginning to its end.
    move_rows: &'static str,
}

const TRADES: Way = Way {
    copy: "COPY backtest_trades (backtest_id, symbol, side, quantity, \
     entry_price, exit_price, entry_time, exit_time, pnl, pnl_percentage, commission, \
     strategy_signal) FROM STDIN (FORMAT binary)",
    stage: "SET LOCAL client_min_messages = warning; \
     CREATE TEMP TABLE IF NOT EXISTS staged_trades (backtest_id INTEGER, symbol VARCHAR(20), \
     side VARCHAR(10), quantity NUMERIC(20,8), entry_price NUMERIC(20,8), exit_price NUMERIC(20,8), \
     entry_time TIMESTAMPTZ, exit_time TIMESTAMPTZ, pnl NUMERIC(20,8), pnl_percentage NUMERIC(10,4), \
     commission NUMERIC(20,8), strategy_signal VARCHAR(50)) ON COMMIT DELETE ROWS",
    copy_to_stage: "COPY staged_trades FROM STDIN (FORMAT binary)",
    move_rows: "INSERT INTO backtest_trades (backtest_id, symbol, side, quantity, \
     entry_price, exit_price, entry_time, exit_time, pnl, pnl_percentage, commission, \
     strategy_signal) SELECT backtest_id, symbol, side, quantity, entry_price, exit_price, \
     entry_time, exit_time, pnl, pnl_percentage, commission, strategy_signal \
     FROM staged_trades",
};

const DAYS: Way = Way {
    copy: "COPY backtest_equity (backtest_id, timestamp, equity, drawdown) \
                         FROM STDIN (FORMAT binary)",
    stage: "SET LOCAL client_min_messages = warning; \
     CREATE TEMP TABLE IF NOT EXISTS staged_equity (backtest_id INTEGER, timestamp TIMESTAMPTZ, \
     equity NUMERIC(20,8), drawdown NUMERIC(8,4)) ON COMMIT DELETE ROWS",
    copy_to_stage: "COPY staged_equity FROM STDIN (FORMAT binary)",
    move_rows: "INSERT INTO backtest_equity (backtest_id, timestamp, equity, drawdown) \
                         SELECT backtest_id, timestamp, equity, drawdown FROM staged_equity",
};

async fn many(
    conn: &mut PgConnection,
    secured: bool,
    rows: &Rows,
    way: &Way,
) -> Result<(), sqlx::Error> {
    if !secured {
        return copy_in(conn, way.copy, rows).await;
    }
    patient(sqlx::raw_sql(way.stage).execute(&mut *conn)).await?;
    copy_in(conn, way.copy_to_stage, rows).await?;
    patient(sqlx::query(way.move_rows).persistent(false).execute(conn)).await.map(|_| ())
}

fn trade_rows(trades: &[TradeOf<'_>]) -> Result<Rows, sqlx::Error> {
    let mut rows = Rows::default();
    for (id, symbol, trade) in trades {
        trade_row(&mut rows, *id, symbol, trade)?;
    }
    Ok(rows)
}

fn trade_row(rows: &mut Rows, id: i32, symbol: &str, trade: &Trade) -> Result<(), sqlx::Error> {
    let exit = trade.exit.as_ref();
    rows.int(Some(id));
    rows.text(symbol);
    rows.text(&trade.side.to_string());
    rows.decimal(Some(trade.quantity), MONEY);
    rows.decimal(Some(trade.entry_price), MONEY);
    rows.decimal(exit.map(|e| e.price), MONEY);
    rows.time(trade.entry_time_us)?;
    match exit {
        Some(exit) => rows.time(exit.time_us)?,
        None => rows.null(),
    }
    rows.decimal(exit.map(|e| e.pnl), MONEY);
    rows.decimal(columns::pnl_percentage(trade), PERCENT);
    rows.decimal(Some(trade.commission), MONEY);
    rows.text(&trade.strategy_signal());
    rows.end();
    Ok(())
}

fn day_rows(days: &[DayOf<'_>]) -> Result<Rows, sqlx::Error> {
    let mut rows = Rows::default();
    for (id, day) in days {
        rows.int(Some(*id));
        rows.time(day.time_us)?;
        rows.decimal(Some(day.equity), MONEY);
        rows.decimal(columns::drawdown(day.drawdown), PERCENT);
        rows.end();
    }
    Ok(rows)
}
