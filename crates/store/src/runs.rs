//! Keeping runs: begin, sign of life, whole results in one transaction, failure, deletion. Reading them is `rows`.
//! No metric is computed here; values are only rounded to what their columns hold.

pub(crate) mod columns;
mod many;
pub(crate) mod save;
mod server;
mod stored;

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde_json::Value;

use crate::error::Error;
use crate::tx::{Arg, Conn, Mode, Tx};
use crate::{Store, limit};

pub(crate) use save::finish;

/// Most characters of a run's or strategy's name, a strategy's type and a user's name, as their columns take.
pub(crate) const MAX_NAME: usize = 100;
pub(crate) const MAX_TYPE: usize = 50;
pub(crate) const MAX_USER: usize = 50;
/// Most characters of a tag and of a note, and most tags of a run.
const MAX_TAG: usize = 100;
const MAX_NOTES: usize = 100_000;
const MAX_TAGS: usize = 100;

/// A strategy as its file says it.
#[derive(Clone, Debug)]
pub struct StrategyRow {
    pub name: String,
    pub description: Option<String>,
    pub strategy_type: String,
    /// The whole strategy file.
    pub parameters: Value,
    pub risk_parameters: Value,
    pub symbols: Vec<String>,
    pub timeframes: Vec<String>,
}

/// A run that is about to begin. Times are microseconds UTC.
#[derive(Clone, Debug)]
pub struct NewRun<'a> {
    /// Who it belongs to; made if there is no such user.
    pub user: &'a str,
    pub strategy: StrategyRow,
    /// Without one: the strategy's name, symbols and timeframes.
    pub name: Option<String>,
    pub notes: Option<String>,
    /// Put on; a run that is there already keeps those that it has.
    pub tags: Vec<String>,
    /// Opening of the first traded bar and end of the last one.
    pub start_us: i64,
    pub end_us: i64,
    /// Quote units.
    pub initial_capital: Decimal,
    pub symbols: Vec<String>,
    pub timeframes: Vec<String>,
    pub parameters: Value,
    pub rules: Value,
    /// Hash of strategy, parameters, rules, data, range and engine version.
    pub identity: String,
    pub fingerprint: String,
    pub engine_version: String,
}

/// The row that a run writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// RUNNING from now on.
    New(i64),
    /// The same run was COMPLETED before; only name, notes and tags were updated.
    Existing(i64),
}

const ADD_USER: &str = "INSERT INTO users (username, email, password_hash) VALUES ($1, $2, '!') \
                        ON CONFLICT DO NOTHING";
const USER: &str = "SELECT id FROM users WHERE username = $1";
const SAVE_STRATEGY: &str = "INSERT INTO strategies (user_id, name, description, strategy_type, \
     parameters, risk_parameters, symbols, timeframes, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
     ON CONFLICT (user_id, name) DO UPDATE SET description = excluded.description, \
     strategy_type = excluded.strategy_type, parameters = excluded.parameters, \
     risk_parameters = excluded.risk_parameters, symbols = excluded.symbols, \
     timeframes = excluded.timeframes, updated_at = excluded.updated_at RETURNING id";
const FIND_RUN: &str =
    "SELECT id FROM backtests WHERE user_id = $1 AND identity = $2 AND sweep_id IS NULL";
const ADD_RUN: &str = "INSERT INTO backtests (user_id, strategy_id, name, description, start_date, \
     end_date, initial_capital, symbols, timeframes, parameters, status, progress, created_at, \
     started_at, heartbeat_at, notes, tags, rules, identity, data_fingerprint, engine_version) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'RUNNING', 0, $11, $11, $11, $12, $13, $14, \
     $15, $16, $17) ON CONFLICT (user_id, identity) WHERE sweep_id IS NULL DO NOTHING RETURNING id";
// Takes a run over that was never finished. The condition decides between two that try at once.
const TAKE_RUN: &str = "UPDATE backtests SET strategy_id = $3, status = 'RUNNING', progress = 0, \
     error = NULL, completed_at = NULL, started_at = $4, heartbeat_at = $4, \
     name = coalesce($5, name), notes = coalesce($6, notes) \
     WHERE user_id = $1 AND identity = $2 AND sweep_id IS NULL AND status <> 'COMPLETED' \
     RETURNING id";
const NAME_RUN: &str = "UPDATE backtests SET name = coalesce($3, name), \
     notes = coalesce($4, notes) \
     WHERE user_id = $1 AND identity = $2 AND sweep_id IS NULL RETURNING id";
const HEARTBEAT: &str =
    "UPDATE backtests SET heartbeat_at = $2 WHERE id = $1 AND status = 'RUNNING'";
const FAIL: &str = "UPDATE backtests SET status = 'FAILED', error = $2, completed_at = $3 \
                    WHERE id = $1 AND status <> 'COMPLETED'";
// Written to at once, so that of two that change the tags of a run the second sees what the first one made of them.
const LOCK: &str = "UPDATE backtests SET progress = progress WHERE id = $1 RETURNING tags";
const SET_TAGS: &str = "UPDATE backtests SET tags = $2 WHERE id = $1";
const SET_NOTES: &str = "UPDATE backtests SET notes = $2 WHERE id = $1 RETURNING id";

/// What deletes some backtests with all that is theirs; see [`erase`].
pub(crate) struct Erasure {
    pub(crate) lock: &'static str,
    pub(crate) children: [&'static str; 3],
    pub(crate) own: &'static str,
}

/// The [`Erasure`] of the backtests that a condition holds for; `$1` in it is for the caller of [`erase`] to give.
macro_rules! erasure {
    ($condition:literal) => {
        $crate::runs::Erasure {
            lock: concat!(
                "SELECT count(*) AS locked FROM (SELECT id FROM backtests WHERE ",
                $condition,
                " ORDER BY id FOR UPDATE) AS these"
            ),
            children: [
                concat!(
                    "DELETE FROM backtest_trades WHERE backtest_id IN (SELECT id FROM backtests WHERE ",
                    $condition,
                    ")"
                ),
                concat!(
                    "DELETE FROM backtest_equity WHERE backtest_id IN (SELECT id FROM backtests WHERE ",
                    $condition,
                    ")"
                ),
                concat!(
                    "DELETE FROM backtest_results WHERE backtest_id IN (SELECT id FROM backtests WHERE ",
                    $condition,
                    ")"
                ),
            ],
            own: concat!("DELETE FROM backtests WHERE ", $condition),
        }
    };
}
pub(crate) use erasure;

const ONE: Erasure = erasure!("id = $1");

/// See [`Store::begin`].
pub(crate) async fn begin(store: &Store, run: &NewRun<'_>) -> Result<Begun, Error> {
    check(run)?;
    let mut tx = store.begin_tx(Mode::Write, "beginning a run").await?;
    let now_us = tx.now_us().await?;
    let user = Arg::int(user(&mut tx, run.user).await?);
    let strategy = Arg::int(save_strategy(&mut tx, user, &run.strategy, now_us).await?);
    // Looked for first: an insert that finds the row there would use an id up.
    let known = tx.row(FIND_RUN, &[user, Arg::text(&run.identity)]).await?.is_some();
    let inserted = if known { None } else { insert(&mut tx, user, strategy, run, now_us).await? };
    let begun = match inserted {
        Some(id) => Begun::New(id),
        None => again(&mut tx, user, strategy, run, now_us).await?,
    };
    tx.commit().await?;
    Ok(begun)
}

fn check(run: &NewRun<'_>) -> Result<(), Error> {
    limit("user name", run.user, MAX_USER)?;
    limit("strategy name", &run.strategy.name, MAX_NAME)?;
    limit("strategy type", &run.strategy.strategy_type, MAX_TYPE)?;
    limit("run name", run.name.as_deref().unwrap_or_default(), MAX_NAME)?;
    limit("note", run.notes.as_deref().unwrap_or_default(), MAX_NOTES)?;
    check_tags(&run.tags)?;
    run.symbols.iter().try_for_each(|symbol| limit("symbol", symbol, crate::MAX_SYMBOL))
}

fn check_tags(tags: &[String]) -> Result<(), Error> {
    if tags.len() > MAX_TAGS {
        return Err(Error::Limit { what: "list of tags", limit: MAX_TAGS, given: tags.len() });
    }
    tags.iter().try_for_each(|tag| limit("tag", tag, MAX_TAG))
}

pub(crate) async fn user(tx: &mut Tx, name: &str) -> Result<i64, Error> {
    // Looked for first: a role that is a user itself may not make users.
    if let Some(row) = tx.row(USER, &[Arg::text(name)]).await? {
        return row.int("id");
    }
    let email = format!("{name}@localhost");
    tx.execute(ADD_USER, &[Arg::text(name), Arg::text(&email)]).await?;
    only_id(tx, USER, &[Arg::text(name)]).await
}

pub(crate) async fn save_strategy(
    tx: &mut Tx,
    user: Arg<'_>,
    strategy: &StrategyRow,
    now_us: i64,
) -> Result<i64, Error> {
    let args = [
        user,
        Arg::text(&strategy.name),
        Arg::Text(strategy.description.as_deref()),
        Arg::text(&strategy.strategy_type),
        Arg::json(&strategy.parameters),
        Arg::json(&strategy.risk_parameters),
        Arg::list(&strategy.symbols),
        Arg::list(&strategy.timeframes),
        Arg::time(now_us),
    ];
    only_id(tx, SAVE_STRATEGY, &args).await
}

async fn insert(
    tx: &mut Tx,
    user: Arg<'_>,
    strategy: Arg<'_>,
    run: &NewRun<'_>,
    now_us: i64,
) -> Result<Option<i64>, Error> {
    let name = run.name.clone().unwrap_or_else(|| default_name(run));
    let args = [
        user,
        strategy,
        Arg::text(&name),
        Arg::Text(run.strategy.description.as_deref()),
        Arg::time(run.start_us),
        Arg::time(run.end_us),
        Arg::Money(Some(run.initial_capital), sim::exact::PLACES),
        Arg::list(&run.symbols),
        Arg::list(&run.timeframes),
        Arg::json(&run.parameters),
        Arg::time(now_us),
        Arg::Text(run.notes.as_deref()),
        Arg::list(&run.tags),
        Arg::json(&run.rules),
        Arg::text(&run.identity),
        Arg::text(&run.fingerprint),
        Arg::text(&run.engine_version),
    ];
    tx.row(ADD_RUN, &args).await?.map(|row| row.int("id")).transpose()
}

/// A run with this identity is there: finished, or to be taken over.
async fn again(
    tx: &mut Tx,
    user: Arg<'_>,
    strategy: Arg<'_>,
    run: &NewRun<'_>,
    now_us: i64,
) -> Result<Begun, Error> {
    let identity = Arg::text(&run.identity);
    let name = Arg::Text(run.name.as_deref());
    let notes = Arg::Text(run.notes.as_deref());
    let taken = [user, identity, strategy, Arg::time(now_us), name, notes];
    let (begun, id) = match tx.row(TAKE_RUN, &taken).await? {
        Some(row) => row.int("id").map(|id| (Begun::New(id), id))?,
        None => {
            let id = only_id(tx, NAME_RUN, &[user, identity, name, notes]).await?;
            (Begun::Existing(id), id)
        }
    };
    if !run.tags.is_empty() {
        retag_one(tx, id, &run.tags, &[]).await?;
    }
    Ok(begun)
}

fn default_name(run: &NewRun<'_>) -> String {
    let words = [run.strategy.name.as_str()].into_iter();
    let words = words.chain(run.symbols.iter().chain(&run.timeframes).map(String::as_str));
    words.collect::<Vec<_>>().join(" ").chars().take(MAX_NAME).collect()
}

pub(crate) async fn only_id(
    tx: &mut Tx,
    sql: &'static str,
    args: &[Arg<'_>],
) -> Result<i64, Error> {
    match tx.row(sql, args).await? {
        Some(row) => row.int("id"),
        None => Err(tx.failed(sqlx::Error::RowNotFound)),
    }
}

/// See [`Store::heartbeat`].
pub(crate) async fn heartbeat(store: &Store, id: i64) -> Result<(), Error> {
    let mut tx = store.begin_tx(Mode::Write, "giving a sign of life").await?;
    let now_us = tx.now_us().await?;
    tx.execute(HEARTBEAT, &[Arg::int(id), Arg::time(now_us)]).await?;
    tx.commit().await
}

/// See [`Store::fail`].
pub(crate) async fn fail(store: &Store, id: i64, reason: &str) -> Result<(), Error> {
    let mut tx = store.begin_tx(Mode::Write, "marking a run FAILED").await?;
    let now_us = tx.now_us().await?;
    tx.execute(FAIL, &[Arg::int(id), Arg::text(reason), Arg::time(now_us)]).await?;
    tx.commit().await
}

/// See [`Store::retag`].
pub(crate) async fn retag(
    store: &Store,
    ids: &[i64],
    add: &[String],
    remove: &[String],
) -> Result<Vec<Vec<String>>, Error> {
    let mut tx = store.begin_tx(Mode::Write, "changing tags").await?;
    let mut all = BTreeMap::new();
    for id in ascending(ids) {
        let tags = retag_one(&mut tx, id, add, remove).await?;
        all.insert(id, tags.ok_or_else(|| Error::NoRun { place: store.place(), id })?);
    }
    tx.commit().await?;
    Ok(ids.iter().filter_map(|id| all.get(id).cloned()).collect())
}

/// Each once, in the order in which everybody locks them.
fn ascending(ids: &[i64]) -> BTreeSet<i64> {
    ids.iter().copied().collect()
}

/// The tags of a run after a change; `None` when there is no such run.
async fn retag_one(
    tx: &mut Tx,
    id: i64,
    add: &[String],
    remove: &[String],
) -> Result<Option<Vec<String>>, Error> {
    let Some(row) = tx.row(LOCK, &[Arg::int(id)]).await? else { return Ok(None) };
    let mut tags = row.list("tags")?;
    tags.retain(|tag| !remove.contains(tag));
    for tag in add {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    check_tags(&tags)?;
    tx.execute(SET_TAGS, &[Arg::int(id), Arg::list(&tags)]).await?;
    Ok(Some(tags))
}

/// See [`Store::note`].
pub(crate) async fn note(store: &Store, id: i64, notes: Option<&str>) -> Result<(), Error> {
    limit("note", notes.unwrap_or_default(), MAX_NOTES)?;
    let mut tx = store.begin_tx(Mode::Write, "writing a note").await?;
    if tx.row(SET_NOTES, &[Arg::int(id), Arg::Text(notes)]).await?.is_none() {
        return Err(Error::NoRun { place: store.place(), id });
    }
    tx.commit().await
}

/// See [`Store::delete`].
pub(crate) async fn delete(store: &Store, ids: &[i64]) -> Result<u64, Error> {
    let mut tx = store.begin_tx(Mode::Write, "deleting runs").await?;
    let mut deleted = 0;
    for id in ascending(ids) {
        deleted += erase(&mut tx, &ONE, id).await?;
    }
    tx.commit().await?;
    Ok(deleted)
}

/// Deletes backtests with their results, trades and equity; returns how many there were. Whoever saves one of them on a
/// server just then ends first, and what it added goes too: the key of trades names no backtest that has to be there.
pub(crate) async fn erase(tx: &mut Tx, these: &Erasure, of: i64) -> Result<u64, Error> {
    if let Conn::Postgres(_) = tx.conn {
        tx.execute(these.lock, &[Arg::int(of)]).await?;
    }
    // By sets: the cascade of the last one would go row by row.
    for sql in these.children {
        tx.execute(sql, &[Arg::int(of)]).await?;
    }
    tx.execute(these.own, &[Arg::int(of)]).await
}
