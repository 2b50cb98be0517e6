//! `backtest db …` as a person meets it: what it prints, asks, refuses and exits with.

use std::process::Output;

use crate::cluster::{backtest, said};
use crate::servers::{Backend, backends, psql};

fn db(backend: &Backend, arguments: &[&str]) -> Output {
    let mut command = backtest();
    command.arg("db").args(arguments).env("DATABASE_URL", &backend.url);
    command.output().expect("the binary that was just built can be started")
}

fn ok(backend: &Backend, arguments: &[&str]) -> String {
    let output = db(backend, arguments);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?} on {}: {}",
        backend.name,
        said(&output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn migrate(backend: &Backend) {
    let output = backtest().args(["migrate", "--db", &backend.url]).output().expect("built");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn status_says_what_this_is_and_what_is_not_here() {
    for backend in backends() {
        migrate(&backend);
        let text = ok(&backend, &["status"]);
        assert!(text.contains("migrations   18 of 18 applied"), "{text}");
        let edition = match backend.name {
            "sqlite" => "SQLite",
            "postgres" => "PostgreSQL without TimescaleDB",
            "timescale" => "Apache edition",
            _ => "Community edition",
        };
        assert!(text.contains(edition), "{text}");
        assert_eq!(text.contains("not here"), backend.name != "timescale-community", "{text}");
        assert_eq!(text.contains("hypertable  "), backend.name.starts_with("timescale"), "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&ok(&backend, &["status", "--json"])).expect("JSON");
        assert_eq!(json["migrations"].as_array().map(Vec::len), Some(18));
    }
}

#[test]
fn nothing_is_deleted_that_was_not_shown_and_agreed_to() {
    for backend in backends() {
        migrate(&backend);
        if backend.name == "sqlite" {
            let output = db(&backend, &["maintain"]);
            assert!(output.status.success() && said(&output).contains("needs no upkeep"));
            continue;
        }
        psql(
            &backend.url,
            "INSERT INTO market_data (symbol, timestamp, timeframe, open, high, low, close, volume) \
             VALUES ('X', now() - interval '3 years', '1m', 1, 1, 1, 1, 1), \
             ('X', now() - interval '3 years', '1d', 1, 1, 1, 1, 1)",
        );
        let rows = || psql(&backend.url, "SELECT count(*) FROM market_data");
        let shown = ok(&backend, &["policies", "enable", "retention", "--dry-run"]);
        let minutes = shown.lines().find(|l| l.contains("market_data_minutes")).expect("listed");
        assert_eq!(minutes.split_whitespace().nth(2), Some("1"), "{shown}");
        // Nobody to be asked: refused, and still off.
        let output = db(&backend, &["policies", "enable", "retention"]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains("--yes"), "{}", said(&output));
        ok(&backend, &["maintain"]);
        assert_eq!(rows(), "2");
        let output = db(&backend, &["policies", "enable", "retention", "--yes"]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("deleted by these policies"), "{}", said(&output));
        let shown = ok(&backend, &["policies", "show"]);
        let on = shown.lines().filter(|l| l.split_whitespace().nth(1) == Some("on")).count();
        assert_eq!(on, 8, "{shown}");
        if backend.name == "timescale-community" {
            continue; // its own job deletes
        }
        ok(&backend, &["maintain", "--dry-run"]);
        assert_eq!(rows(), "2");
        let output = db(&backend, &["maintain"]);
        assert!(said(&output).contains("to be deleted:"), "{}", said(&output));
        assert_eq!(rows(), "1");
        assert!(ok(&backend, &["policies", "disable", "retention"]).contains("switched off"));
        let output = db(&backend, &["policies", "enable", "retentoin"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains("hint: the policies are"), "{}", said(&output));
    }
}

#[test]
fn health_exits_with_4_only_when_strict_and_something_is_wrong() {
    for backend in backends() {
        migrate(&backend);
        ok(&backend, &["health", "--strict"]);
        if !backend.name.starts_with("timescale") {
            continue;
        }
        psql(
            &backend.url,
            "INSERT INTO api_usage (endpoint, method, status_code) VALUES ('/', 'GET', 200)",
        );
        assert!(ok(&backend, &["health"]).contains("WRONG"), "a chunk that nobody closed");
        let output = db(&backend, &["health", "--strict", "--json"]);
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        assert!(said(&output).contains("not healthy: row security"), "{}", said(&output));
        ok(&backend, &["maintain"]);
        ok(&backend, &["health", "--strict"]);
    }
}
