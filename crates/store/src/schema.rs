//! Tables: the embedded migrations of both backends, what the server's edition allows, and whether a database is
//! the one this program knows. What each migration is for stands in migrations/README.md.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlSafeStr, SqliteConnection};

use crate::error::Error;
use crate::sqlite;

/// What a database can do beyond plain SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// One file, embedded.
    Sqlite,
    /// PostgreSQL without TimescaleDB: no hypertables.
    Postgres,
    /// TimescaleDB under the Apache licence: hypertables, but no compression, retention or continuous aggregates.
    TimescaleApache,
    /// TimescaleDB under the Timescale licence: everything.
    TimescaleCommunity,
}

impl Edition {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL without TimescaleDB",
            Self::TimescaleApache => "TimescaleDB, Apache edition",
            Self::TimescaleCommunity => "TimescaleDB, Community edition",
        }
    }
}

/// What [`crate::Store::migrate`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Migrations applied now, in order; empty when there was nothing to do.
    pub applied: Vec<String>,
    pub edition: Edition,
    /// What the edition lacks or what was not allowed, a sentence each.
    pub notes: Vec<String>,
}

struct File {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    server: &'static str,
}

macro_rules! files {
    ($($version:literal $name:literal),+ $(,)?) => {
        &[$(File {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
            server: include_str!(concat!("../../../migrations/timescale/", $name, ".sql")),
        }),+]
    };
}

/// Every migration, in order. A number is the order and never changes; below 100 they are the document's, from there
/// on ours.
const FILES: &[File] = files![
    10 "0010_market_data",
    15 "0015_order_book_trades",
    20 "0020_users_strategies",
    25 "0025_trading",
    30 "0030_models",
    40 "0040_risk",
    50 "0050_backtests",
    60 "0060_system",
    70 "0070_orders_partitioned",
    80 "0080_encryption",
    110 "0110_runs",
    120 "0120_units",
    130 "0130_keys",
    140 "0140_user_roles",
    150 "0150_policies",
    160 "0160_comments",
    170 "0170_sweeps",
    180 "0180_json_checks",
];

/// Which of the two folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    Sqlite,
    Server,
}

impl Folder {
    fn migrator(self) -> Migrator {
        let migration = |file: &File| {
            let sql = match self {
                Self::Sqlite => file.sqlite,
                Self::Server => file.server,
            };
            let name = Cow::Borrowed(file.name);
            Migration::new(file.version, name, MigrationType::Simple, sql.into_sql_str(), false)
        };
        Migrator::with_migrations(FILES.iter().map(migration).collect())
    }
}

/// Where sqlx keeps what was applied.
pub(crate) const APPLIED_TABLE: &str = "_sqlx_migrations";

fn name_of(version: i64) -> String {
    FILES
        .iter()
        .find(|file| file.version == version)
        .map_or_else(|| version.to_string(), |file| file.name.to_owned())
}

/// What a migration came to in one database.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Applied {
    pub name: String,
    /// `applied`, `missing`, `half done`, `changed` or `unknown`.
    pub state: &'static str,
}

/// Every migration of this program and of the database, in order, with its state there; changes nothing.
pub(crate) async fn list(
    folder: Folder,
    conn: &mut impl Migrate,
    place: &str,
) -> Result<Vec<Applied>, Error> {
    let explain = |error| migration_error(place, error);
    let dirty = conn.dirty_version(APPLIED_TABLE).await.map_err(explain)?;
    let applied = conn.list_applied_migrations(APPLIED_TABLE).await.map_err(explain)?;
    let mut found: BTreeMap<i64, Option<AppliedMigration>> =
        applied.into_iter().map(|m| (m.version, Some(m))).collect();
    let wanted: BTreeMap<i64, Migration> =
        folder.migrator().iter().map(|m| (m.version, m.clone())).collect();
    for &version in wanted.keys() {
        found.entry(version).or_insert(None);
    }
    let state = |version: i64, there: Option<&AppliedMigration>| match (there, wanted.get(&version))
    {
        (None, _) => "missing",
        (Some(_), _) if dirty == Some(version) => "half done",
        (Some(_), None) => "unknown",
        (Some(there), Some(wanted)) if there.checksum != wanted.checksum => "changed",
        (Some(_), Some(_)) => "applied",
    };
    let row = |(version, there): (i64, Option<AppliedMigration>)| Applied {
        name: name_of(version),
        state: state(version, there.as_ref()),
    };
    Ok(found.into_iter().map(row).collect())
}

/// Applies what is missing and returns the names of it.
pub(crate) async fn run(
    folder: Folder,
    conn: &mut impl Migrate,
    place: &str,
) -> Result<Vec<String>, Error> {
    let explain = |error| migration_error(place, error);
    conn.ensure_migrations_table(APPLIED_TABLE).await.map_err(explain)?;
    let before = conn.list_applied_migrations(APPLIED_TABLE).await.map_err(explain)?;
    let mut migrator = folder.migrator();
    // The caller holds a lock of its own that covers the ensure step too.
    migrator.set_locking(false);
    migrator.run_direct(None, conn, false).await.map_err(explain)?;
    Ok(missing_from(&before))
}

/// Names of the migrations that are not among `applied`.
fn missing_from(applied: &[AppliedMigration]) -> Vec<String> {
    let is_new = |file: &&File| applied.iter().all(|applied| applied.version != file.version);
    FILES.iter().filter(is_new).map(|file| file.name.to_owned()).collect()
}

/// Whether a server has exactly the migrations of this program; changes nothing.
pub(crate) async fn check(conn: &mut PgConnection, place: &str) -> Result<(), Error> {
    // Not by the library's own way: its statement has a name (see `Tx`).
    let listed = sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations").persistent(false);
    let listed: Vec<(i64, Vec<u8>)> = listed
        .fetch_all(conn)
        .await
        .map_err(|source| migration_error(place, MigrateError::Execute(source)))?;
    let mut applied: BTreeMap<i64, Vec<u8>> = listed.into_iter().collect();
    let place = place.to_owned();
    if applied.is_empty() {
        return Err(Error::NoSchema { place });
    }
    let mut missing = Vec::new();
    for wanted in Folder::Server.migrator().iter() {
        match applied.remove(&wanted.version) {
            None => missing.push(wanted.description.to_string()),
            Some(checksum) if checksum != *wanted.checksum => {
                return Err(migration_error(&place, MigrateError::VersionMismatch(wanted.version)));
            }
            Some(_) => {}
        }
    }
    if let Some((&version, _)) = applied.last_key_value() {
        return Err(Error::NewSchema { place, version });
    }
    if missing.is_empty() { Ok(()) } else { Err(Error::OldSchema { place, missing }) }
}

fn migration_error(place: &str, error: MigrateError) -> Error {
    let place = place.to_owned();
    let told = |version, why: &str, source| Error::Migration {
        place: place.clone(),
        name: name_of(version),
        why: why.to_owned(),
        source,
    };
    match error {
        MigrateError::VersionMissing(version) => Error::NewSchema { place, version },
        MigrateError::VersionMismatch(version) => told(
            version,
            "the file that was applied is not the file of this program: one of the two was changed \
             afterwards, or another program made these tables",
            None,
        ),
        MigrateError::Dirty(version) => told(
            version,
            "it was begun and not finished; look at the tables it makes, then delete its row from \
             _sqlx_migrations",
            None,
        ),
        MigrateError::ExecuteMigration(source, version) => {
            told(version, "the database refused it; nothing of it was kept", Some(Box::new(source)))
        }
        MigrateError::Execute(source) => {
            Error::Database { what: "reading the list of migrations", place, source }
        }
        other => Error::Migration {
            place,
            name: "list".to_owned(),
            why: other.to_string(),
            source: None,
        },
    }
}

/// The list of applied migrations that cannot be there yet in a fresh database.
pub(crate) async fn has_list(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .persistent(false)
        .fetch_one(conn)
        .await
}

/// Brings an embedded file up to date.
pub(crate) async fn run_sqlite(
    conn: &mut SqliteConnection,
    place: &str,
) -> Result<Vec<String>, Error> {
    const PAUSE: Duration = Duration::from_millis(20);
    // SQLite has no lock that spans several transactions: of two programs that find a fresh file, one sees its
    // migration refused because the other just applied it. The next look then finds it done.
    let (before, begun) = (applied(conn).await, Instant::now());
    let mut seen = before.len();
    loop {
        let Err(error) = run(Folder::Sqlite, conn, place).await else {
            // What an attempt that was refused has applied is news of this call too.
            return Ok(missing_from(&before));
        };
        let now = applied(conn).await.len();
        if now == seen && !(error.is_passing() && begun.elapsed() < sqlite::BUSY_LIMIT) {
            return Err(error);
        }
        seen = now;
        tokio::time::sleep(PAUSE).await;
    }
}

/// None where the list is not there yet.
async fn applied(conn: &mut SqliteConnection) -> Vec<AppliedMigration> {
    conn.list_applied_migrations(APPLIED_TABLE).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_start_with_their_version_and_ascend() {
        for file in FILES {
            assert_eq!(file.name[..4].parse(), Ok(file.version));
        }
        assert!(FILES.is_sorted_by_key(|f| f.version));
    }

    #[test]
    fn both_folders_hold_these_files_and_no_other() {
        let root = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        for folder in ["sqlite", "timescale"] {
            let mut found: Vec<String> =
                std::fs::read_dir(format!("{root}/../../migrations/{folder}"))
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect();
            found.sort();
            let wanted: Vec<String> = FILES.iter().map(|f| format!("{}.sql", f.name)).collect();
            assert_eq!(found, wanted, "{folder}");
        }
    }
}
