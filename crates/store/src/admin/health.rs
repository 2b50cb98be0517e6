//! Health of a server: sizes, slow queries, dead rows, failed jobs, archive lag, chunks left open.
//! Nothing is changed, and what cannot be seen is said to be unknown, never fine.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Admin;
use super::policies::Time;
use super::status::OPEN_CHUNKS;
use crate::error::Error;
use crate::schema::Edition;

/// Dead rows of a table that are wrong: so many, and such a share of it.
const DEAD_ROWS: i64 = 10_000;
const DEAD_SHARE: f64 = 0.2;
/// Segments of WAL waiting for the archive that are wrong.
const READY_SEGMENTS: i64 = 8;
/// Jobs below are TimescaleDB's own; one of them fails by nature on the Apache edition.
const FIRST_JOB: i32 = 1000;
/// Most tables and queries listed.
const LISTED: i64 = 10;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Fine,
    Wrong,
    /// Not in use, or not to be seen by this role.
    Unknown,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    pub name: &'static str,
    pub state: State,
    /// What was seen, and what to do about it.
    pub says: String,
}

/// Size of a table with its indexes and chunks.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Size {
    pub table: String,
    pub bytes: i64,
    /// The server's estimate.
    pub dead_rows: i64,
}

/// A statement that took long; its values are not shown.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Slow {
    pub query: String,
    pub calls: i64,
    pub total_ms: f64,
    pub mean_ms: f64,
    pub rows: i64,
}

/// Everything that was looked at.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Health {
    pub place: String,
    pub checks: Vec<Check>,
    /// Largest first.
    pub sizes: Vec<Size>,
    /// Longest in all first; empty where the extension is not loaded.
    pub slow: Vec<Slow>,
}

impl Health {
    /// The checks that came out wrong.
    pub fn wrong(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.state == State::Wrong)
    }
}

impl Admin {
    /// Looks at everything.
    ///
    /// # Errors
    /// [`Error::NoSchema`], [`Error::OldSchema`], [`Error::Database`].
    pub async fn health(&mut self) -> Result<Health, Error> {
        self.needs_schema().await?;
        let failed = self.failed("looking at the server's health");
        let sizes = self.sizes().await.map_err(&failed)?;
        let (slow, slow_check) = self.slow().await.map_err(&failed)?;
        let checks = vec![
            self.dead_rows().await.map_err(&failed)?,
            self.jobs().await.map_err(&failed)?,
            self.archive().await.map_err(&failed)?,
            self.chunks().await.map_err(&failed)?,
            slow_check,
        ];
        Ok(Health { place: self.place.clone(), checks, sizes, slow })
    }

    async fn sizes(&mut self) -> Result<Vec<Size>, sqlx::Error> {
        // pg_total_relation_size of a hypertable is that of its empty parent.
        let sql = if self.edition == Edition::Postgres {
            "SELECT t.relname::text AS name, pg_total_relation_size(t.relid) AS bytes, \
             t.n_dead_tup AS dead FROM pg_stat_user_tables t WHERE t.schemaname = current_schema() \
             ORDER BY 2 DESC, 1"
        } else {
            "SELECT t.relname::text AS name, CASE WHEN h.hypertable_name IS NULL \
             THEN pg_total_relation_size(t.relid) ELSE coalesce(hypertable_size(t.relid), 0) END AS bytes, \
             t.n_dead_tup + coalesce((SELECT sum(c.n_dead_tup) FROM pg_inherits \
             JOIN pg_stat_all_tables c ON c.relid = inhrelid WHERE inhparent = t.relid), 0)::bigint AS dead \
             FROM pg_stat_user_tables t LEFT JOIN timescaledb_information.hypertables h \
             ON h.hypertable_schema = t.schemaname AND h.hypertable_name = t.relname \
             WHERE t.schemaname = current_schema() ORDER BY 2 DESC, 1"
        };
        let rows = sqlx::query(sql).fetch_all(&mut self.conn).await?;
        let size = |row: &PgRow| {
            let (table, bytes) = (row.try_get("name")?, row.try_get("bytes")?);
            Ok(Size { table, bytes, dead_rows: row.try_get("dead")? })
        };
        rows.iter().map(size).collect()
    }

    async fn dead_rows(&mut self) -> Result<Check, sqlx::Error> {
        let name = "dead rows";
        let rows: Vec<PgRow> = sqlx::query(
            "SELECT relid::regclass::text AS name, n_dead_tup AS dead FROM pg_stat_user_tables \
             WHERE n_dead_tup > $1 AND n_dead_tup > $2 * (n_live_tup + n_dead_tup) \
             ORDER BY n_dead_tup DESC LIMIT $3",
        )
        .bind(DEAD_ROWS)
        .bind(DEAD_SHARE)
        .bind(LISTED)
        .fetch_all(&mut self.conn)
        .await?;
        let mut bloated = Vec::new();
        for row in &rows {
            let (table, dead): (String, i64) = (row.try_get("name")?, row.try_get("dead")?);
            bloated.push(format!("{table} ({dead})"));
        }
        Ok(if bloated.is_empty() {
            fine(name, format!("no table has more than {DEAD_ROWS}, or a fifth of its rows"))
        } else {
            wrong(name, format!("VACUUM {}; is autovacuum keeping up?", bloated.join(", ")))
        })
    }

    async fn jobs(&mut self) -> Result<Check, sqlx::Error> {
        let name = "jobs";
        if self.edition == Edition::Postgres {
            return Ok(unknown(name, "without TimescaleDB there are none"));
        }
        let failed: Vec<(i32, Option<String>)> = sqlx::query_as(
            "SELECT s.job_id, j.proc_name::text FROM timescaledb_information.job_stats s \
             LEFT JOIN timescaledb_information.jobs j USING (job_id) WHERE s.last_run_status = 'Failed' \
             AND s.job_id >= $1 ORDER BY s.job_id",
        )
        .bind(FIRST_JOB)
        .fetch_all(&mut self.conn)
        .await?;
        if failed.is_empty() {
            return Ok(fine(name, "no job's last run failed".to_owned()));
        }
        let named = |(id, what): &(i32, Option<String>)| {
            format!("{id} ({})", what.as_deref().unwrap_or("unknown"))
        };
        let list: Vec<String> = failed.iter().map(named).collect();
        let say = "the last run failed of job";
        Ok(wrong(
            name,
            format!("{say} {}; see timescaledb_information.job_errors", list.join(", ")),
        ))
    }

    async fn archive(&mut self) -> Result<Check, sqlx::Error> {
        let name = "archive";
        let mode: String = sqlx::query_scalar("SELECT current_setting('archive_mode')")
            .fetch_one(&mut self.conn)
            .await?;
        if mode == "off" {
            return Ok(unknown(
                name,
                "archive_mode is off: no recovery to a point in time (docs/backup.md)",
            ));
        }
        let row = sqlx::query(
            "SELECT last_archived_time AS archived, last_failed_time AS failed, last_failed_wal AS wal, \
             failed_count AS failures FROM pg_stat_archiver",
        )
        .fetch_one(&mut self.conn)
        .await?;
        let (archived, failed): (Option<Time>, Option<Time>) =
            (row.try_get("archived")?, row.try_get("failed")?);
        if failed.is_some_and(|failed| archived.is_none_or(|archived| failed > archived)) {
            let wal: Option<String> = row.try_get("wal")?;
            let wal = wal.unwrap_or_default();
            return Ok(wrong(
                name,
                format!("archive_command fails at {wal}; see the server's log"),
            ));
        }
        let allowed: bool = sqlx::query_scalar(
            "SELECT has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE')",
        )
        .fetch_one(&mut self.conn)
        .await?;
        if !allowed {
            return Ok(unknown(
                name,
                "it does not fail; how far it lags is for members of pg_monitor",
            ));
        }
        let ready: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'",
        )
        .fetch_one(&mut self.conn)
        .await?;
        let says = format!("{ready} segments of WAL wait for it");
        Ok(if ready > READY_SEGMENTS { wrong(name, says) } else { fine(name, says) })
    }

    async fn chunks(&mut self) -> Result<Check, sqlx::Error> {
        let name = "row security";
        let open: i64 = sqlx::query_scalar(OPEN_CHUNKS).fetch_one(&mut self.conn).await?;
        Ok(if open == 0 {
            fine(name, "no chunk of a protected table can be reached past its policies".to_owned())
        } else {
            wrong(
                name,
                format!("{open} chunks can be reached directly; run `backtest db maintain`"),
            )
        })
    }

    async fn slow(&mut self) -> Result<(Vec<Slow>, Check), sqlx::Error> {
        let name = "slow queries";
        let loaded: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements')",
        )
        .fetch_one(&mut self.conn)
        .await?;
        let how = "pg_stat_statements is not loaded: add it to shared_preload_libraries, restart, and \
                   CREATE EXTENSION pg_stat_statements";
        if !loaded {
            return Ok((Vec::new(), unknown(name, how)));
        }
        let rows = sqlx::query(
            "SELECT query, calls, total_exec_time AS total, mean_exec_time AS mean, rows FROM pg_stat_statements \
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             ORDER BY total_exec_time DESC LIMIT $1",
        )
        .bind(LISTED)
        .fetch_all(&mut self.conn)
        .await;
        // The extension can be made where the library is not loaded; then only its use fails.
        let Ok(rows) = rows else { return Ok((Vec::new(), unknown(name, how))) };
        let slow = |row: &PgRow| {
            Ok(Slow {
                query: row.try_get::<Option<String>, _>("query")?.unwrap_or_default(),
                calls: row.try_get("calls")?,
                total_ms: row.try_get("total")?,
                mean_ms: row.try_get("mean")?,
                rows: row.try_get("rows")?,
            })
        };
        let slow = rows.iter().map(slow).collect::<Result<Vec<_>, sqlx::Error>>()?;
        let says = format!("the {} that took longest are listed", slow.len());
        Ok((slow, fine(name, says)))
    }
}

fn fine(name: &'static str, says: String) -> Check {
    Check { name, state: State::Fine, says }
}

fn wrong(name: &'static str, says: String) -> Check {
    Check { name, state: State::Wrong, says }
}

fn unknown(name: &'static str, says: &str) -> Check {
    Check { name, state: State::Unknown, says: says.to_owned() }
}
