//! Upkeep on demand: what background jobs do on the Community edition, done now. Safe to run from cron, and twice at
//! once: the second finds the lock taken and leaves.
//! No rule may be decided here: they stand in `rules`, and which are on, in the database.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::Admin;
use super::policies::{self, Doomed, Time};
use super::rules::{Kind, RULES, Rule};
use crate::error::Error;
use crate::progress::Progress;
use crate::schema::Edition;

/// Key of the lock that upkeep of one database holds.
const MAINTAIN_KEY: i64 = 0x6d61_696e_7461_696e;
/// How much of a table's time is deleted in one statement, so that no lock is held long.
const SLICE: &str = "30 days";

/// One thing that upkeep did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Did {
    /// A policy's name, or `chunks`.
    pub name: &'static str,
    /// What was done, a sentence.
    pub what: String,
    /// Rows deleted.
    pub rows: u64,
}

/// What upkeep came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maintained {
    Done(Vec<Did>),
    /// Another program is at it; nothing was done.
    Busy,
}

impl Admin {
    /// What [`Admin::maintain`] would delete now: the policies that are on and that no job of the server does.
    ///
    /// # Errors
    /// [`Error::NoSchema`], [`Error::OldSchema`], [`Error::Database`].
    pub async fn due(&mut self) -> Result<Vec<Doomed>, Error> {
        self.needs_schema().await?;
        let failed = self.failed("counting what upkeep would delete");
        let mut all = Vec::new();
        for rule in self.ours().await? {
            if rule.deletes() {
                all.push(
                    policies::doomed(&mut self.conn, self.edition, &rule).await.map_err(&failed)?,
                );
            }
        }
        Ok(all)
    }

    /// Does what is due, and tells `progress`.
    ///
    /// # Errors
    /// [`Error::NoSchema`], [`Error::OldSchema`], [`Error::Database`].
    pub async fn maintain(&mut self, progress: &dyn Progress) -> Result<Maintained, Error> {
        self.needs_schema().await?;
        let failed = self.failed("upkeep");
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(MAINTAIN_KEY)
            .fetch_one(&mut self.conn)
            .await
            .map_err(&failed)?;
        if !locked {
            return Ok(Maintained::Busy);
        }
        let done = self.work(progress).await;
        // The lock would go with the connection too; this lets a second call on it work.
        let unlocked =
            sqlx::query("SELECT pg_advisory_unlock($1)").bind(MAINTAIN_KEY).execute(&mut self.conn);
        let unlocked = unlocked.await.map_err(&failed);
        let done = done?;
        unlocked?;
        Ok(Maintained::Done(done))
    }

    /// The policies that are on and that no job of the server does.
    async fn ours(&mut self) -> Result<Vec<Rule>, Error> {
        if self.edition == Edition::TimescaleCommunity {
            return Ok(Vec::new());
        }
        let failed = self.failed("reading the policies");
        let on = policies::enabled(&mut self.conn).await.map_err(failed)?;
        let mine = |r: &&Rule| r.kind != Kind::Compress && on.iter().any(|name| name == r.name);
        Ok(RULES.iter().filter(mine).copied().collect())
    }

    async fn work(&mut self, progress: &dyn Progress) -> Result<Vec<Did>, Error> {
        let rules = self.ours().await?;
        let failed = self.failed("upkeep");
        let mut did = Vec::new();
        let closed: i32 = sqlx::query_scalar("SELECT protect_chunks()")
            .fetch_one(&mut self.conn)
            .await
            .map_err(&failed)?;
        if closed > 0 {
            let what = format!("closed {closed} chunks to all but their owner");
            did.push(Did { name: "chunks", what, rows: 0 });
        }
        for rule in &rules {
            if rule.deletes() {
                did.push(
                    delete(&mut self.conn, self.edition, rule, progress).await.map_err(&failed)?,
                );
            }
        }
        // Last, so that the view shows what is there now.
        if rules.iter().any(|rule| rule.kind == Kind::Refresh) {
            progress.begin("refreshing daily_ohlcv", None);
            let done = refresh(&mut self.conn).await;
            progress.end();
            did.push(Did { name: "refresh", what: done.map_err(&failed)?, rows: 0 });
        }
        Ok(did)
    }
}

/// Deletes what `rule` dooms, and says how much that was.
async fn delete(
    conn: &mut PgConnection,
    edition: Edition,
    rule: &Rule,
    progress: &dyn Progress,
) -> Result<Did, sqlx::Error> {
    let doomed = policies::doomed(conn, edition, rule).await?;
    let (mut rows, mut what) =
        (0, format!("nothing in {} is older than {}", rule.table, rule.after));
    progress.begin(&format!("deleting from {}", rule.table), Some(doomed.rows));
    if let Some(chunks) = doomed.chunks {
        drop_chunks(conn, rule).await?;
        progress.advance(doomed.rows);
        rows = doomed.rows;
        let s = if chunks == 1 { "" } else { "s" };
        what = format!("dropped {chunks} chunk{s} of {} older than {}", rule.table, rule.after);
    } else if doomed.rows > 0 {
        rows = delete_rows(conn, rule, progress).await?;
        what = format!("deleted rows of {} older than {}", rule.table, rule.after);
    }
    progress.end();
    Ok(Did { name: rule.name, what, rows })
}

async fn drop_chunks(conn: &mut PgConnection, rule: &Rule) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT FROM drop_chunks($1::text::regclass, older_than => $2::text::interval)")
        .bind(rule.table)
        .bind(rule.after)
        .execute(conn)
        .await?;
    Ok(())
}

/// Oldest slice first, each its own transaction: what was deleted stays deleted when this is interrupted.
async fn delete_rows(
    conn: &mut PgConnection,
    rule: &Rule,
    progress: &dyn Progress,
) -> Result<u64, sqlx::Error> {
    let (table, time, condition) = (rule.table, rule.time, rule.condition());
    let oldest = format!(
        "SELECT min({time})::text AS oldest, greatest(min({time}), '0001-01-01') + INTERVAL '{SLICE}' AS until, \
         NOW() - $1::interval AS cutoff FROM {table} WHERE {time} < NOW() - $1::interval AND {condition}"
    );
    let slice = format!(
        "DELETE FROM {table} WHERE {time} >= $1::text::timestamptz AND {time} < $2 AND {condition}"
    );
    let mut deleted = 0;
    loop {
        let row = sqlx::query(AssertSqlSafe(oldest.as_str()))
            .bind(rule.after)
            .fetch_one(&mut *conn)
            .await?;
        // As text, which minus infinity has too.
        let from: Option<String> = row.try_get("oldest")?;
        let Some(from) = from else { return Ok(deleted) };
        let until: Time = row.try_get("until")?;
        let cutoff: Time = row.try_get("cutoff")?;
        let done = sqlx::query(AssertSqlSafe(slice.as_str()))
            .bind(from)
            .bind(until.min(cutoff))
            .execute(&mut *conn)
            .await?;
        deleted += done.rows_affected();
        progress.advance(done.rows_affected());
    }
}

/// Brings the view up to date while others read it; the first time nobody can.
async fn refresh(conn: &mut PgConnection) -> Result<String, sqlx::Error> {
    let populated: Option<bool> = sqlx::query_scalar(
        "SELECT ispopulated FROM pg_matviews WHERE schemaname = current_schema() \
         AND matviewname = 'daily_ohlcv'",
    )
    .fetch_optional(&mut *conn)
    .await?;
    let sql = match populated {
        None => return Ok("there is no daily_ohlcv; `backtest migrate` makes it".to_owned()),
        Some(true) => "REFRESH MATERIALIZED VIEW CONCURRENTLY daily_ohlcv",
        Some(false) => "REFRESH MATERIALIZED VIEW daily_ohlcv",
    };
    sqlx::raw_sql(sql).execute(&mut *conn).await?;
    let days: i64 = sqlx::query_scalar("SELECT count(*) FROM daily_ohlcv").fetch_one(conn).await?;
    Ok(format!("refreshed daily_ohlcv: {days} days"))
}
