//! A block of variants on its way to a server: large ones by COPY straight into the tables, under ids that are reserved for
//! them; small ones, and where row level security is on, by a temporary table.

use sim::metrics::Metrics;
use sqlx::postgres::PgConnection;

use super::NewBlock;
use super::save::{BlockRows, NewVariant, RESULTS, status};
use crate::error::Error;
use crate::postgres::copy::{Rows, copy_in, is_secured, patient};
use crate::runs::columns;
use crate::runs::save::MONEY;
use crate::tx::{Arg, Conn, Tx};

/// From so many variants on two COPYs straight are quicker than one into a temporary table, since each ends by waiting.
const MANY: usize = 1_000;
const TABLES: &[&str] = &["backtests", "backtest_results"];

/// Writes `variants` with their results.
pub(super) async fn insert(
    tx: &mut Tx,
    rows: &BlockRows,
    variants: &[NewVariant],
    now_us: i64,
) -> Result<(), Error> {
    let Conn::Postgres(conn) = &mut tx.conn else { return Ok(()) };
    let sent = async {
        let straight = variants.len() >= MANY && !is_secured(conn, TABLES).await?;
        match straight {
            true => copy(conn, rows, variants, now_us).await?,
            false => stage(conn, variants).await?,
        }
        Ok(straight)
    };
    let straight = sent.await.map_err(|source| tx.failed(source))?;
    if straight { Ok(()) } else { move_rows(tx, rows, now_us).await }
}

const RESERVE: &str =
    "SELECT nextval(pg_get_serial_sequence('backtests', 'id')) FROM generate_series(1, $1)";
const COPY_BACKTESTS: &str = "COPY backtests (id, variant_idx, initial_capital, parameters, status, \
     identity, error, sweep_id, user_id, strategy_id, name, start_date, end_date, symbols, \
     timeframes, data_fingerprint, engine_version, progress, created_at, started_at, completed_at) \
     FROM STDIN (FORMAT binary)";
const COPY_RESULTS: &str = "COPY backtest_results (backtest_id, total_return, annual_return, \
     volatility, sharpe_ratio, sortino_ratio, max_drawdown, calmar_ratio, win_rate, profit_factor, \
     avg_trade_return, avg_win, avg_loss, largest_win, largest_loss, max_drawdown_duration, \
     total_trades, winning_trades, losing_trades, avg_trade_duration, final_capital, metrics) \
     FROM STDIN (FORMAT binary)";

async fn copy(
    conn: &mut PgConnection,
    rows: &BlockRows,
    variants: &[NewVariant],
    now_us: i64,
) -> Result<(), sqlx::Error> {
    let count = long(variants.len())?;
    let reserved = sqlx::query_scalar(RESERVE).bind(count).persistent(false);
    let ids: Vec<i64> = patient(reserved.fetch_all(&mut *conn)).await?;
    let (mut own, mut results) = (Rows::default(), Rows::default());
    for (id, variant) in ids.into_iter().zip(variants) {
        let id = integer(id)?;
        backtest_row(&mut own, id, rows, variant, now_us)?;
        result_row(&mut results, id, variant)?;
    }
    copy_in(conn, COPY_BACKTESTS, &own).await?;
    copy_in(conn, COPY_RESULTS, &results).await
}

fn backtest_row(
    sent: &mut Rows,
    id: i32,
    rows: &BlockRows,
    variant: &NewVariant,
    now_us: i64,
) -> Result<(), sqlx::Error> {
    sent.int(Some(id));
    own_fields(sent, variant)?;
    sent.int(Some(integer(rows.sweep)?));
    sent.int(Some(integer(rows.user_id)?));
    sent.int(rows.strategy_id.map(integer).transpose()?);
    sent.text(&rows.name);
    sent.time(rows.start_us)?;
    sent.time(rows.end_us)?;
    sent.one_text(&rows.symbol);
    sent.one_text(&rows.timeframe);
    sent.text(&rows.fingerprint);
    sent.text(&rows.engine_version);
    sent.int(Some(100));
    (0..3).try_for_each(|_| sent.time(now_us))?;
    sent.end();
    Ok(())
}

/// What differs from variant to variant, in the order of both COPYs.
fn own_fields(sent: &mut Rows, variant: &NewVariant) -> Result<(), sqlx::Error> {
    sent.long(Some(long(variant.idx)?));
    sent.decimal(Some(variant.capital), MONEY);
    sent.json(&variant.parameters);
    sent.text(status(variant));
    sent.text(&variant.identity);
    match &variant.outcome {
        Ok(_) => sent.null(),
        Err(error) => sent.text(error),
    }
    Ok(())
}

/// None of a variant that failed.
fn result_row(sent: &mut Rows, id: i32, variant: &NewVariant) -> Result<(), sqlx::Error> {
    let Ok((m, metrics)) = &variant.outcome else { return Ok(()) };
    sent.int(Some(id));
    result_fields(sent, m, metrics)?;
    sent.end();
    Ok(())
}

/// Results in the order of both their COPYs.
fn result_fields(sent: &mut Rows, m: &Metrics, metrics: &str) -> Result<(), sqlx::Error> {
    for (value, places) in columns::decimals(m) {
        sent.decimal(value, places);
    }
    let counts = [
        columns::integer(m.max_drawdown_duration),
        columns::integer(m.total_trades),
        columns::integer(m.winning_trades),
        columns::integer(m.losing_trades),
    ];
    for count in counts {
        sent.int(count.map(integer).transpose()?);
    }
    sent.span(m.avg_trade_duration_us);
    sent.decimal(Some(m.final_capital), MONEY);
    sent.json(metrics);
    Ok(())
}

/// As an INTEGER.
fn integer(value: i64) -> Result<i32, sqlx::Error> {
    value.try_into().map_err(|error: std::num::TryFromIntError| sqlx::Error::Encode(error.into()))
}

/// COPY is refused on a table with row level security, so rows go through a temporary table. Its columns have the very types
/// of the tables, so that nothing is converted on the way.
const STAGE: &str = "SET LOCAL client_min_messages = warning; \
     CREATE TEMP TABLE IF NOT EXISTS staged_variants (idx BIGINT, capital NUMERIC(20,8), \
     parameters JSONB, status VARCHAR(20), identity VARCHAR(64), error TEXT, total_return NUMERIC(10,4), \
     annual_return NUMERIC(10,4), volatility NUMERIC(10,4), sharpe_ratio NUMERIC(8,4), \
     sortino_ratio NUMERIC(8,4), max_drawdown NUMERIC(8,4), calmar_ratio NUMERIC(8,4), \
     win_rate NUMERIC(5,2), profit_factor NUMERIC(8,4), avg_trade_return NUMERIC(10,4), \
     avg_win NUMERIC(10,4), avg_loss NUMERIC(10,4), largest_win NUMERIC(10,4), \
     largest_loss NUMERIC(10,4), max_drawdown_duration INTEGER, total_trades INTEGER, \
     winning_trades INTEGER, losing_trades INTEGER, avg_trade_duration INTERVAL, \
     final_capital NUMERIC(20,8), metrics JSONB) ON COMMIT DELETE ROWS; DELETE FROM staged_variants";
const COPY_VARIANTS: &str = "COPY staged_variants FROM STDIN (FORMAT binary)";
// Ids are the server's to give: a user's role may not choose them.
const MOVE_BACKTESTS: &str = "INSERT INTO backtests (variant_idx, initial_capital, parameters, \
     status, identity, error, sweep_id, user_id, strategy_id, name, start_date, end_date, symbols, \
     timeframes, data_fingerprint, engine_version, progress, created_at, started_at, completed_at) \
     SELECT idx, capital, parameters, status, identity, error, $1, $2, $3, $4, $5, $6, \
     $7, $8, $9, $10, 100, $11, $11, $11 FROM staged_variants ORDER BY idx";
// LIMIT makes it look up one by one. Where statistics are older than the sweep, a join would walk through all its
// variants, and for each of them through all that are staged.
const MOVE_RESULTS: &str = "INSERT INTO backtest_results (backtest_id, total_return, annual_return, \
     volatility, sharpe_ratio, sortino_ratio, max_drawdown, calmar_ratio, win_rate, profit_factor, \
     avg_trade_return, avg_win, avg_loss, largest_win, largest_loss, max_drawdown_duration, \
     total_trades, winning_trades, losing_trades, avg_trade_duration, final_capital, metrics) \
     SELECT b.id, v.total_return, v.annual_return, v.volatility, v.sharpe_ratio, v.sortino_ratio, \
     v.max_drawdown, v.calmar_ratio, v.win_rate, v.profit_factor, v.avg_trade_return, v.avg_win, \
     v.avg_loss, v.largest_win, v.largest_loss, v.max_drawdown_duration, v.total_trades, \
     v.winning_trades, v.losing_trades, v.avg_trade_duration, v.final_capital, \
     v.metrics FROM staged_variants v CROSS JOIN LATERAL \
     (SELECT id FROM backtests WHERE sweep_id = $1 AND variant_idx = v.idx LIMIT 1) b \
     WHERE v.status = 'COMPLETED' ORDER BY v.idx";

async fn stage(conn: &mut PgConnection, variants: &[NewVariant]) -> Result<(), sqlx::Error> {
    patient(sqlx::raw_sql(STAGE).execute(&mut *conn)).await?;
    let mut sent = Rows::default();
    for variant in variants {
        own_fields(&mut sent, variant)?;
        match &variant.outcome {
            Ok((m, metrics)) => result_fields(&mut sent, m, metrics)?,
            Err(_) => (0..RESULTS - 1).for_each(|_| sent.null()),
        }
        sent.end();
    }
    copy_in(conn, COPY_VARIANTS, &sent).await
}

async fn move_rows(tx: &mut Tx, rows: &BlockRows, now_us: i64) -> Result<(), Error> {
    let (symbols, timeframes) = ([rows.symbol.clone()], [rows.timeframe.clone()]);
    let args = [
        Arg::int(rows.sweep),
        Arg::int(rows.user_id),
        Arg::Int(rows.strategy_id),
        Arg::text(&rows.name),
        Arg::time(rows.start_us),
        Arg::time(rows.end_us),
        Arg::list(&symbols),
        Arg::list(&timeframes),
        Arg::text(&rows.fingerprint),
        Arg::text(&rows.engine_version),
        Arg::time(now_us),
    ];
    tx.execute(MOVE_BACKTESTS, &args).await?;
    tx.execute(MOVE_RESULTS, &[Arg::int(rows.sweep)]).await.map(|_| ())
}

const STAGE_BLOCKS: &str = "SET LOCAL client_min_messages = warning; \
     CREATE TEMP TABLE IF NOT EXISTS staged_blocks (sweep_id BIGINT, block BIGINT, \
     first_idx BIGINT, end_idx BIGINT, n_variants BIGINT) ON COMMIT DELETE ROWS";
const COPY_BLOCKS: &str = "COPY staged_blocks FROM STDIN (FORMAT binary)";
const MOVE_BLOCKS: &str = "INSERT INTO sweep_blocks (sweep_id, block, first_idx, end_idx, n_variants) \
     SELECT sweep_id, block, first_idx, end_idx, n_variants FROM staged_blocks";

/// Writes the blocks of a new sweep on PostgreSQL.
pub(super) async fn copy_blocks(
    conn: &mut PgConnection,
    sweep: i64,
    blocks: &[NewBlock],
) -> Result<(), sqlx::Error> {
    patient(sqlx::raw_sql(STAGE_BLOCKS).execute(&mut *conn)).await?;
    let mut sent = Rows::default();
    for (nth, block) in (0..).zip(blocks) {
        sent.long(Some(sweep));
        sent.long(Some(nth));
        sent.long(Some(long(block.first_idx)?));
        sent.long(Some(long(block.end_idx)?));
        sent.long(Some(long(block.n_variants)?));
        sent.end();
    }
    copy_in(conn, COPY_BLOCKS, &sent).await?;
    patient(sqlx::raw_sql(MOVE_BLOCKS).execute(conn)).await.map(|_| ())
}

/// As a BIGINT.
fn long<T: TryInto<i64, Error = std::num::TryFromIntError>>(value: T) -> Result<i64, sqlx::Error> {
    value.try_into().map_err(|error| sqlx::Error::Encode(error.into()))
}
