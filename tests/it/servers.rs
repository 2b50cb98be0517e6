//! A fresh database on every backend, one set for each test, gone when the test ends.
//! No test of the engine's own behaviour may live here, and no SQL but what makes and drops a database.

use std::env;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

/// An empty database that only the test holding it knows. Dropping it deletes the database.
pub(crate) struct Backend {
    /// For messages: `sqlite`, `postgres`, `timescale` or `timescale-community`.
    pub(crate) name: &'static str,
    /// What `--db` takes.
    pub(crate) url: String,
    home: Home,
}

enum Home {
    File(TempDir),
    Server { admin: String, database: String },
}

/// Every backend there is to test on: SQLite, and each server that `tests/run` brought up or the user gave.
/// A server that is missing is skipped with a line on stderr, and is a failure where `CI` is `true`.
pub(crate) fn backends() -> Vec<Backend> {
    let mut all = vec![sqlite()];
    all.extend(on_server("postgres", "TEST_POSTGRES_URL", &[]));
    all.extend(on_server("timescale", "TEST_TIMESCALE_URL", &[EXTENSION]));
    all.extend(on_server("timescale-community", COMMUNITY_VARIABLE, &[EXTENSION]));
    all
}

const SKIP_VARIABLE: &str = "BACKTEST_SKIP_SERVERS";
const COMMUNITY_VARIABLE: &str = "TEST_TIMESCALE_COMMUNITY_URL";
const EXTENSION: &str = "SET client_min_messages = error; CREATE EXTENSION timescaledb";

/// Runs `sql` through psql as the URL's user and returns its unaligned rows, without the last newline.
/// Panics with what psql said where it fails.
pub(crate) fn psql(url: &str, sql: &str) -> String {
    try_psql(url, sql).unwrap_or_else(|said| panic!("psql could not run `{sql}`:\n{said}"))
}

/// Like [`psql`], but what psql said on a failure comes back as the error.
pub(crate) fn try_psql(url: &str, sql: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args(["-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| {
            format!("cannot start psql ({e}); install it: apt-get install postgresql-client")
        })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn sqlite() -> Backend {
    let dir = TempDir::new().expect("the temporary directory can be written");
    let url = format!("sqlite:{}", dir.path().join("backtest.db").display());
    Backend { name: "sqlite", url, home: Home::File(dir) }
}

fn on_server(name: &'static str, variable: &str, setup: &[&str]) -> Option<Backend> {
    let skip = env::var(SKIP_VARIABLE).is_ok_and(|skip| skip == "1");
    let given = env::var(variable).ok().filter(|url| !url.is_empty());
    let Some(admin) = given.filter(|_| !skip) else {
        let required =
            variable != COMMUNITY_VARIABLE && env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!required, "CI=true needs {variable}: run the tests by tests/run");
        eprintln!("SKIPPED on {name}: no {variable}, or {SKIP_VARIABLE}=1");
        return None;
    };
    let database = unique_name();
    // template0: no background worker is ever connected to it, as one may be to template1.
    psql(&admin, &format!("CREATE DATABASE {database} TEMPLATE template0"));
    let url = with_database(&admin, &database);
    let backend = Backend { name, url, home: Home::Server { admin, database } };
    for sql in setup {
        psql(&backend.url, sql);
    }
    Some(backend)
}

/// Unlike any other test's, also in other processes and, on a server that the user gave, other machines.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("backtest_test_{nanos:x}_{}_{count}", std::process::id())
}

/// `postgres://user@host:port/any?options` with `database` in the place of `any`.
fn with_database(url: &str, database: &str) -> String {
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let server = match address.rsplit_once('/') {
        Some((server, _)) if !server.ends_with('/') => server,
        _ => address,
    };
    let mark = if options.is_empty() { "" } else { "?" };
    format!("{server}/{database}{mark}{options}")
}

impl Drop for Backend {
    fn drop(&mut self) {
        match &self.home {
            Home::File(_) => {} // TempDir deletes itself
            Home::Server { admin, database } => {
                let sql = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
                if let Err(said) = try_psql(admin, &sql) {
                    eprintln!("could not drop the test database {database}: {said}");
                }
            }
        }
    }
}

#[test]
fn a_url_gets_its_database_replaced() {
    for (given, expected) in [
        ("postgres://u@h:1/postgres", "postgres://u@h:1/d"),
        ("postgres://u@h:1", "postgres://u@h:1/d"),
        ("postgres://u:p@h/x?sslmode=disable", "postgres://u:p@h/d?sslmode=disable"),
    ] {
        assert_eq!(with_database(given, "d"), expected);
    }
}

#[test]
fn every_backend_is_empty_and_gone_afterwards() {
    for backend in backends() {
        let (admin, database) = match &backend.home {
            Home::Server { admin, database } => (admin.clone(), database),
            Home::File(dir) => {
                let dir = dir.path().to_owned();
                assert_eq!(dir.read_dir().expect("it is there").count(), 0);
                drop(backend);
                assert!(!dir.exists());
                continue;
            }
        };
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(psql(&backend.url, tables), "0", "{}", backend.name);
        let extension = "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'";
        let expected = if backend.name == "postgres" { "0" } else { "1" };
        assert_eq!(psql(&backend.url, extension), expected, "{}", backend.name);

        let listed = format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'");
        assert_eq!(psql(&admin, &listed), "1");
        drop(backend);
        assert_eq!(psql(&admin, &listed), "0");
    }
}
