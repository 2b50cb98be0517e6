//! Policies: which are on, what switching one on would delete now, switching on and off.
//! Nothing is deleted here but by jobs of TimescaleDB that were asked for; `maintain` deletes on other editions.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::Admin;
use super::rules::{GROUP, Kind, RULES, Rule};
use crate::error::Error;
use crate::postgres::value::TimeUs;
use crate::schema::Edition;

pub(super) type Time = chrono::DateTime<chrono::Utc>;

/// A policy and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Policy {
    pub name: &'static str,
    pub table: &'static str,
    /// What it does, for people.
    pub what: &'static str,
    /// The age from which it acts.
    pub after: &'static str,
    pub deletes: bool,
    pub is_enabled: bool,
    /// What does the work: `job 1003`, `backtest db maintain`, or why nothing does.
    pub by: String,
}

/// What a policy that deletes would delete now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Doomed {
    pub name: &'static str,
    pub table: &'static str,
    pub rows: u64,
    /// Chunks that would be dropped whole; `None` where rows are deleted one by one.
    pub chunks: Option<u64>,
    /// The oldest row that would go, microseconds UTC; `None` for one of minus infinity.
    pub oldest_us: Option<i64>,
    /// Rows before this would go; microseconds UTC.
    pub before_us: Option<i64>,
}

/// The rules that `names` name; all where there are none.
fn chosen(names: &[String]) -> Result<Vec<Rule>, Error> {
    for name in names {
        if !RULES.iter().any(|rule| rule.is_named(name)) {
            let known: Vec<&str> = RULES.iter().map(|r| r.name).chain([GROUP]).collect();
            return Err(Error::NoPolicy { given: name.clone(), known: known.join(", ") });
        }
    }
    let wanted = |r: &&Rule| names.is_empty() || names.iter().any(|n| r.is_named(n));
    Ok(RULES.iter().filter(wanted).copied().collect())
}

impl Admin {
    /// Every policy and how it stands.
    ///
    /// # Errors
    /// [`Error::NoSchema`], [`Error::OldSchema`], [`Error::Database`].
    pub async fn policies(&mut self) -> Result<Vec<Policy>, Error> {
        self.needs_schema().await?;
        let failed = self.failed("reading the policies");
        let enabled = enabled(&mut self.conn).await.map_err(&failed)?;
        let mut all = Vec::new();
        for rule in RULES {
            let is_enabled = enabled.iter().any(|name| name == rule.name);
            let by = match self.edition {
                Edition::TimescaleCommunity => {
                    let job = job_id(&mut self.conn, &rule).await.map_err(&failed)?;
                    job.map_or_else(|| "no job".to_owned(), |id| format!("job {id}"))
                }
                _ if rule.kind == Kind::Compress => {
                    "nothing: only the Community edition compresses".to_owned()
                }
                _ => "backtest db maintain".to_owned(),
            };
            all.push(Policy {
                name: rule.name,
                table: rule.table,
                what: rule.what,
                after: rule.after,
                deletes: rule.deletes(),
                is_enabled,
                by,
            });
        }
        Ok(all)
    }

    /// What those of the policies `names` (none: all) that delete would delete now.
    ///
    /// # Errors
    /// [`Error::NoPolicy`], [`Error::NoSchema`], [`Error::OldSchema`], [`Error::Database`].
    pub async fn doomed(&mut self, names: &[String]) -> Result<Vec<Doomed>, Error> {
        let rules = chosen(names)?;
        self.needs_schema().await?;
        let mut all = Vec::new();
        for rule in rules.iter().filter(|rule| rule.deletes()) {
            let failed = self.failed("counting what a policy would delete");
            all.push(doomed(&mut self.conn, self.edition, rule).await.map_err(failed)?);
        }
        Ok(all)
    }

    /// Switches the policies `names` (none: all) on or off; returns their names.
    ///
    /// # Errors
    /// [`Error::NoPolicy`], [`Error::NoSchema`], [`Error::OldSchema`], [`Error::Database`].
    pub async fn switch(
        &mut self,
        names: &[String],
        is_enabled: bool,
    ) -> Result<Vec<&'static str>, Error> {
        let rules = chosen(names)?;
        self.needs_schema().await?;
        let failed = self.failed("switching policies");
        let community = self.edition == Edition::TimescaleCommunity;
        let mut tx = sqlx::Connection::begin(&mut self.conn).await.map_err(&failed)?;
        for rule in &rules {
            set(&mut tx, rule, is_enabled).await.map_err(&failed)?;
            if community {
                let done = if is_enabled {
                    add_job(&mut tx, rule).await
                } else {
                    remove_job(&mut tx, rule).await
                };
                done.map_err(&failed)?;
            }
        }
        tx.commit().await.map_err(&failed)?;
        Ok(rules.iter().map(|rule| rule.name).collect())
    }
}

async fn set(conn: &mut PgConnection, rule: &Rule, is_enabled: bool) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO data_policies (name, is_enabled) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET is_enabled = excluded.is_enabled, updated_at = NOW()",
    )
    .bind(rule.name)
    .bind(is_enabled)
    .execute(conn)
    .await?;
    Ok(())
}

/// Names of the policies that are on.
pub(crate) async fn enabled(conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT name FROM data_policies WHERE is_enabled").fetch_all(conn).await
}

/// On the Community edition: gives every policy that is on its job, if it has none.
pub(crate) async fn ensure_jobs(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let on = enabled(conn).await?;
    for rule in RULES.iter().filter(|rule| on.iter().any(|name| name == rule.name)) {
        add_job(conn, rule).await?;
    }
    Ok(())
}

/// What the rule would delete now. Chunks go only when the whole of them is old enough.
pub(crate) async fn doomed(
    conn: &mut PgConnection,
    edition: Edition,
    rule: &Rule,
) -> Result<Doomed, sqlx::Error> {
    let (chunks, before) = if rule.kind == Kind::DropChunks && edition != Edition::Postgres {
        let row = sqlx::query(
            "SELECT count(*) AS chunks, max(range_end) AS before FROM timescaledb_information.chunks \
             WHERE hypertable_schema = current_schema() AND hypertable_name = $1 \
             AND range_end <= NOW() - $2::interval",
        )
        .bind(rule.table)
        .bind(rule.after)
        .fetch_one(&mut *conn)
        .await?;
        (Some(row.try_get::<i64, _>("chunks")?.unsigned_abs()), row.try_get("before")?)
    } else {
        let cutoff: Option<Time> = sqlx::query_scalar("SELECT NOW() - $1::interval")
            .bind(rule.after)
            .fetch_one(&mut *conn)
            .await?;
        (None, cutoff)
    };
    let Some(before) = before else {
        let (rows, oldest_us, before_us) = (0, None, None);
        let (name, table) = (rule.name, rule.table);
        return Ok(Doomed { name, table, rows, chunks: None, oldest_us, before_us });
    };
    let sql = format!(
        "SELECT count(*) AS rows, min({time}) AS oldest FROM {table} WHERE {time} < $1 AND {condition}",
        time = rule.time,
        table = rule.table,
        condition = rule.condition()
    );
    let row = sqlx::query(AssertSqlSafe(sql)).bind(before).fetch_one(conn).await?;
    let oldest: Option<TimeUs> = row.try_get("oldest")?;
    Ok(Doomed {
        name: rule.name,
        table: rule.table,
        rows: row.try_get::<i64, _>("rows")?.unsigned_abs(),
        chunks,
        oldest_us: oldest.and_then(|time| time.0),
        before_us: Some(before.timestamp_micros()),
    })
}

/// How TimescaleDB names the work of a rule, and the hypertable it looks for.
fn job_key(rule: &Rule) -> (&'static str, Option<&'static str>) {
    match rule.kind {
        Kind::DeleteMinutes => ("delete_old_minutes", None),
        Kind::DropChunks => ("policy_retention", Some(rule.table)),
        Kind::Compress => ("policy_compression", Some(rule.table)),
        // Its job names the hypertable behind the view; there is one aggregate only.
        Kind::Refresh => ("policy_refresh_continuous_aggregate", None),
    }
}

async fn job_id(conn: &mut PgConnection, rule: &Rule) -> Result<Option<i32>, sqlx::Error> {
    let (procedure, table) = job_key(rule);
    sqlx::query_scalar(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = $1 \
         AND ($2::text IS NULL OR (hypertable_name = $2 AND hypertable_schema = current_schema())) \
         ORDER BY job_id LIMIT 1",
    )
    .bind(procedure)
    .bind(table)
    .fetch_optional(conn)
    .await
}

async fn add_job(conn: &mut PgConnection, rule: &Rule) -> Result<(), sqlx::Error> {
    if job_id(&mut *conn, rule).await?.is_some() {
        return Ok(());
    }
    let sql = match rule.kind {
        Kind::DeleteMinutes => {
            "SELECT FROM add_job('delete_old_minutes', INTERVAL '1 day', \
             config => jsonb_build_object('drop_after', $2::text))"
        }
        Kind::DropChunks => "SELECT FROM add_retention_policy($1::regclass, $2::interval)",
        Kind::Compress => "SELECT FROM add_compression_policy($1::regclass, $2::interval)",
        Kind::Refresh => {
            "SELECT FROM add_continuous_aggregate_policy($1::regclass, start_offset => INTERVAL '1 month', \
             end_offset => $2::interval, schedule_interval => INTERVAL '1 hour')"
        }
    };
    // One statement does not use the table: its type has to be known all the same.
    let sql = format!("{sql} WHERE $1::text IS NOT NULL");
    let sql = sql
        .replace("$1::regclass", "$1::text::regclass")
        .replace("$2::interval", "$2::text::interval");
    sqlx::query(AssertSqlSafe(sql)).bind(rule.table).bind(rule.after).execute(conn).await?;
    Ok(())
}

async fn remove_job(conn: &mut PgConnection, rule: &Rule) -> Result<(), sqlx::Error> {
    if let Some(id) = job_id(&mut *conn, rule).await? {
        sqlx::query("SELECT FROM delete_job($1)").bind(id).execute(conn).await?;
    }
    Ok(())
}
