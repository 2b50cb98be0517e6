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

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// As `check`, of what has to go well.
fn checked(folder: &Path, arguments: &[&str]) -> String {
    let output = check(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

fn read(dir: &TempDir, file: &str) -> String {
    fs::read_to_string(dir.path().join(file)).expect("it is there")
}

/// A folder with one recorded case.
fn recorded() -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    let arguments = ["--record", "sma_cross", "--synthetic", "6000", "--timeframe", "15m"];
    checked(dir.path(), &arguments);
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

/// 300 minutes that rise from `price` on.
fn bars(dir: &TempDir, file: &str, price: u32) {
    let mut text = "timestamp,open,high,low,close,volume\n".to_owned();
    for minute in 0..300 {
        let (hour, price) = (minute / 60, price + minute);
        text.push_str(&format!("2024-01-01T{hour:02}:{:02}:00Z,", minute % 60));
        text.push_str(&format!("{price},{},{price},{price},1\n", price + 1));
    }
    let path = dir.path().join(file);
    fs::create_dir_all(path.parent().expect("it has a folder")).expect("it can be made");
    fs::write(path, text).expect("it can be written");
}

#[test]
fn a_bar_file_is_the_one_beside_its_baseline_read_as_its_case_says() {
    let dir = TempDir::new().expect("a temporary folder");
    let files = ["a/x.toml", "b/x.toml"];
    for (folder, price) in [("a", 100), ("b", 5_000)] {
        let (file, csv) = (format!("{folder}/x.toml"), format!("{folder}/BTC-1m.csv"));
        bars(&dir, &csv, price);
        let record = ["--record", "buy_and_hold", &file, "--timeframe", "1m", "--bars", &csv];
        let said = stderr(&check(dir.path(), &record));
        assert!(said.contains(&format!("from now on: backtest check {file}\n")), "{said}");
        checked(dir.path(), &[&record[..], &["--symbol", "ETH"]].concat());
        let text = read(&dir, &file).replace(&format!("../{csv}"), "BTC-1m.csv");
        fs::write(dir.path().join(&file), text).expect("it can be written");
    }
    let before = files.map(|file| read(&dir, file));
    assert!(before[0].contains("path = \"BTC-1m.csv\"") && before[0] != before[1], "{before:?}");
    assert!(before[0].contains("data = \"BTC ") && before[0].contains("data = \"ETH "));
    assert!(checked(dir.path(), &files).ends_with("4 passed, 0 failed, 0 could not run\n"));
    checked(dir.path(), &["--update", files[0], files[1]]);
    assert_eq!(files.map(|file| read(&dir, file)), before);
    fs::remove_file(dir.path().join("b/BTC-1m.csv")).expect("it is there");
    let output = check(dir.path(), &files);
    assert_eq!(output.status.code(), Some(3));
    let said = stdout(&output);
    assert!(said.contains("b/BTC-1m.csv: ") && said.contains("the baseline's folder"), "{said}");
}

#[test]
fn a_synthetic_market_has_a_limit() {
    let dir = recorded();
    for minutes in ["99999999999", "18446744073709551615", "18446744073709551616", "0"] {
        let output = check(dir.path(), &["--record", "sma_cross", "--synthetic", minutes]);
        assert_eq!(output.status.code(), Some(2), "{minutes}");
    }
    edit(&dir, "sma_cross.toml", "minutes = 6000", "minutes = 99999999999");
    let output = check(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(3));
    let said = stdout(&output);
    assert!(said.contains("99999999999 synthetic minutes are not from 1 to 5256000"), "{said}");
}

#[test]
fn what_a_person_wrote_into_a_baseline_stays() {
    let (dir, file) = (recorded(), "baselines/sma_cross.toml");
    edit(&dir, "sma_cross.toml", "timeframe =", "# as traded\ntimeframe   =");
    edit(&dir, "sma_cross.toml", "[case.expect]", "[case.expect] # of the desk");
    edit(&dir, "sma_cross.toml", "engine = \"", "engine = \"older than ");
    edit(&dir, "sma_cross.toml", "win_rate = ", "# too low\nwin_rate = 9 # was better: ");
    fs::write(dir.path().join(file), read(&dir, file) + "# the end\n").expect("it can be written");
    let before = read(&dir, file);
    checked(dir.path(), &["--update"]);
    let after = read(&dir, file);
    let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(a, b)| a != b).collect();
    assert_eq!(before.lines().count(), after.lines().count());
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert!(changed[0].1.starts_with("engine = \"") && !changed[0].1.contains("older"));
    assert!(changed[1].1.starts_with("win_rate = 33.") && changed[1].1.contains(" # was better: "));
    checked(dir.path(), &["--update"]);
    assert_eq!(read(&dir, file), after);
    checked(dir.path(), &["--record", "sma_cross", "--synthetic", "6000", "--timeframe", "5m"]);
    let both = read(&dir, file);
    assert!(both.starts_with(&after) && both.contains("name = \"sma_cross 5m\""), "{both}");
    assert!(checked(dir.path(), &[]).ends_with("2 passed, 0 failed, 0 could not run\n"));
}

#[test]
fn names_that_differ_in_signs_alone_have_files_of_their_own() {
    let dir = TempDir::new().expect("a temporary folder");
    for (symbol, minutes) in [("A-B", "3000"), ("A_B", "9000"), ("a.b", "6000")] {
        let record = ["--record", "sma_cross", "--synthetic", minutes, "--timeframe", "15m"];
        checked(dir.path(), &[&record[..], &["--symbol", symbol]].concat());
    }
    checked(dir.path(), &[]);
    let before = read(&dir, "baselines/sma_cross.toml");
    checked(dir.path(), &["--update"]);
    assert_eq!(read(&dir, "baselines/sma_cross.toml"), before, "each keeps its file");
    checked(dir.path(), &[]);
}

#[test]
fn a_report_that_cannot_be_written_takes_no_verdict_along() {
    let dir = recorded();
    let output = check(dir.path(), &["--junit", "no/such/report.xml"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).ends_with("1 passed, 0 failed, 0 could not run\n"));
    assert!(stderr(&output).contains("error: no/such/report.xml: "), "{}", stderr(&output));
    edit(&dir, "sma_cross.toml", "total_trades = ", "total_trades = 1");
    let output = check(dir.path(), &["--junit", "no/such/report.xml"]);
    assert_eq!(output.status.code(), Some(5), "what the gate found is how it ends");
    assert!(stderr(&output).contains("error: no/such/report.xml: "), "{}", stderr(&output));
    fs::write(dir.path().join("file"), "").expect("it can be written");
    let record = ["--record", "sma_cross", "--synthetic", "6000", "file/x.toml"];
    let output = check(dir.path(), &record);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("cannot make the folder `file`"), "{}", stderr(&output));
}

#[test]
fn recording_is_told_to_machines_and_its_flags_mean_nothing_without_it() {
    let dir = recorded();
    let said = checked(dir.path(), &["--record", "sma_cross", "--synthetic", "3000", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(told["file"], "baselines/sma_cross.toml");
    assert!(told["case"] == "sma_cross" && told["trades"].is_u64(), "{told}");
    let file = "baselines/sma_cross.toml";
    assert!(!read(&dir, file).contains("warmup"));
    let warmup = ["--from", "2025-01-03", "--warmup", "7"];
    let record = ["--record", "sma_cross", "--synthetic", "6000", "--timeframe", "15m"];
    checked(dir.path(), &[&record[..], &warmup].concat());
    assert!(read(&dir, file).contains("[case.rules]\nwarmup = 7\n"), "{}", read(&dir, file));
    assert!(checked(dir.path(), &[]).ends_with("3 passed, 0 failed, 0 could not run\n"));
    for flags in [["--fee-bps", "3"], ["--symbol", "X"], ["--warmup", "5"], ["--synthetic", "9"]] {
        let output = check(dir.path(), &flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(stderr(&output).contains("--record <STRATEGY>"), "{}", stderr(&output));
    }
}
