//! The regression gate: what `backtest check` says when nothing changed, when a number did, and when a case cannot run.
//! The project's own baselines, in baselines/, are checked here too.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn check(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backtest"))
        .arg("check")
        .args(arguments)
        .current_dir(folder)
        .env_remove("DATABASE_URL")
        .env_remove("GITHUB_ACTIONS")
        .output()
        .expect("the binary that was just built can be started")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder with one recorded case.
fn recorded() -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    let arguments = ["--record", "sma_cross", "--synthetic", "6000", "--timeframe", "15m"];
    let output = check(dir.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir
}

fn edit(dir: &TempDir, file: &str, from: &str, to: &str) {
    let path = dir.path().join("baselines").join(file);
    let text = fs::read_to_string(&path).expect("it was recorded");
    assert!(text.contains(from), "`{from}` is in {file}: {text}");
    fs::write(&path, text.replacen(from, to, 1)).expect("it can be written");
}

#[test]
fn the_ready_strategies_are_as_their_baselines_say() {
    let root = crate::shell::repository();
    let output = check(&root, &[]);
    assert!(output.status.success(), "{}", stdout(&output));
    let said = stdout(&output);
    let missing = strategies::names().into_iter().find(|n| !said.contains(&format!(": {n} ")));
    assert_eq!(missing, None, "every ready strategy has a case");
}

#[test]
fn nothing_changed_passes() {
    let dir = recorded();
    let output = check(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).ends_with("1 passed, 0 failed, 0 could not run\n"));
    assert!(!dir.path().join("backtest.db").exists(), "a synthetic case needs no database");
}

#[test]
fn a_metric_that_moved_fails_unless_its_tolerance_allows_it() {
    let dir = recorded();
    edit(&dir, "sma_cross.toml", "total_trades = ", "total_trades = 1");
    let output = check(dir.path(), &["--junit", "report.xml"]);
    assert_eq!(output.status.code(), Some(5));
    let said = stdout(&output);
    assert!(said.contains("total_trades") && said.contains("the numbers alone changed"), "{said}");
    let junit = fs::read_to_string(dir.path().join("report.xml")).expect("it was asked for");
    assert!(junit.contains("failures=\"1\"") && junit.contains("<failure>"), "{junit}");
    edit(
        &dir,
        "sma_cross.toml",
        "[case.expect]",
        "[case.tolerance]\ntotal_trades = 1000\n\n[case.expect]",
    );
    assert_eq!(check(dir.path(), &[]).status.code(), Some(0));
}

#[test]
fn the_first_trade_that_differs_is_shown_on_both_sides() {
    let dir = recorded();
    edit(&dir, "sma_cross.trades/sma_cross_15m.csv", "LONG,", "SHORT,");
    let output = check(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(5));
    let said = stdout(&output);
    assert!(said.contains("first trade that differs, number 1"), "{said}");
    assert!(said.contains("expected SHORT,") && said.contains("got      LONG,"), "{said}");
}

#[test]
fn what_changed_under_the_numbers_is_said_and_update_takes_it_over() {
    let dir = recorded();
    edit(&dir, "sma_cross.toml", "seed = 1", "seed = 2");
    edit(&dir, "sma_cross.toml", "[case.expect]", "[case.set]\nfast = 7\n\n[case.expect]");
    let output = check(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(5));
    let said = stdout(&output);
    assert!(said.contains("changed: strategy or parameters (was "), "{said}");
    assert!(said.contains("; data (was SYNTHETIC "), "{said}");
    assert_eq!(check(dir.path(), &["--update"]).status.code(), Some(0));
    assert_eq!(check(dir.path(), &[]).status.code(), Some(0));
}

#[test]
fn a_case_that_cannot_run_is_no_difference() {
    let dir = recorded();
    edit(&dir, "sma_cross.toml", "strategy = \"sma_cross\"", "strategy = \"sma_crss\"");
    let output = check(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("no ready strategy is called `sma_crss`"));
    edit(&dir, "sma_cross.toml", "[case.data]", "[case.dta]");
    let output = check(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(3));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("sma_cross.toml:8: unknown field `dta`"), "{error}");
}
