//! What a person sees: exit code, stdout and stderr (behind `!`) of every command, on good and on bad input.
//! No number is checked for being right here, only for being shown; ids of an empty database begin at 1.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::Value;

use crate::market::{self, MINUTE_US};
use crate::servers::{self, Backend, psql};
use crate::shell::Shell;

const HOUR_US: i64 = 60 * MINUTE_US;
/// A run with enough trades to look at.
const RUN: &str = "run sma_cross --set fast=3 --set slow=8 --to 2024-03-06";

const RUN_SPOILED: &str = "run sma_cross --symbol SPOILED --timeframe 5m";

/// A shell whose folder holds `BTCUSDT-1h.csv`, ten days.
fn with_file() -> Shell {
    let shell = Shell::embedded();
    shell.write("BTCUSDT-1h.csv", &market::csv(&market::bars(1, HOUR_US, 240, false), false));
    shell
}

/// The same, with the file imported.
fn with_bars() -> Shell {
    let shell = with_file();
    shell.ok("import BTCUSDT-1h.csv");
    shell
}

fn pages<'a>(shell: &Shell, lines: impl IntoIterator<Item = &'a str>) -> String {
    lines.into_iter().map(|line| shell.page(line)).collect()
}

// ---- The good path ----

#[test]
fn bars_go_in_and_a_result_comes_out() {
    let shell = with_file();
    assert_snapshot!(pages(&shell, ["import BTCUSDT-1h.csv", "data list", RUN, RUN]));
    assert_snapshot!(pages(
        &shell,
        ["list --symbol BTCUSDT -n 1", "trades 1", "trades 1 --format csv"]
    ));
    assert_eq!(shell.ok("show 1"), shell.ok(RUN));
    assert_snapshot!(pages(
        &shell,
        [
            "trades 1 -o t.json",
            "trades 1 -o t.parquet",
            "trades 1 -o t.feather",
            "trades 1 -o t.csv.gz",
            "delete 1",
            "list",
            "show 1"
        ]
    ));
    let file = std::fs::read_to_string(shell.path("t.json")).expect("it was written");
    let trades: Value = serde_json::from_str(&file).expect("it is JSON");
    assert_eq!(trades.as_array().map(Vec::len), Some(7));
}

#[test]
fn results_are_found_marked_compared_and_made_again() {
    let shell = with_bars();
    shell.ok(RUN);
    shell.ok("run sma_cross --set fast=5 --set slow=8 --to 2024-03-06 --fee-bps 2 --tag try");
    assert_snapshot!(pages(
        &shell,
        [
            "list --sort total_return --ascending --where total_trades>0",
            "list --sort total_return/max_drawdown --tag try",
            "list --where sharp>1",
            "list --sort close",
            "list --ascending",
            "tag 1 2 --add good --remove try",
            "tag 3",
            "notes 2 why",
            "notes 2",
            "notes 1",
        ]
    ));
    assert_snapshot!(pages(&shell, ["compare 1 2", "compare 1", "reproduce 1", "reproduce 3"]));
}

#[test]
fn a_coarser_timeframe_is_made_from_a_finer_one() {
    let shell = with_bars();
    assert_snapshot!(
        shell.page("run supertrend --timeframe 4h --from 2024-03-04T01:00 --tag a --notes why")
    );
}

#[test]
fn exported_bars_are_the_imported_ones() {
    let shell = with_bars();
    let range = "data export --symbol BTCUSDT --timeframe 1h --timerange 20240301-20240302";
    assert_snapshot!(shell.page(&format!("{range} -o day.csv.gz")));
    assert_eq!(shell.ok(range).lines().count(), 25);
    shell.ok("data export --symbol BTCUSDT --timeframe 1h -o COPY-1h.parquet");
    shell.ok("import COPY-1h.parquet");
    let bars = |symbol| shell.ok(&format!("data export --symbol {symbol} --timeframe 1h"));
    assert_eq!(bars("COPY").replace("COPY", "BTCUSDT"), bars("BTCUSDT"));
}

#[test]
fn strategies_are_listed_shown_started_and_checked() {
    let shell = Shell::embedded();
    assert_snapshot!(pages(
        &shell,
        [
            "strategy list",
            "strategy show sma_cross",
            "strategy show cooldown_breakout",
            "strategy new my_idea",
            "strategy new my_idea",
            "strategy check my_idea.toml",
            "strategy check buy_and_hold",
            "strategy check nothing.toml",
        ]
    ));
    assert!(!shell.path("backtest.db").exists(), "looking at strategies makes no database");
}

#[test]
fn an_embedded_file_is_migrated_by_itself() {
    let shell = Shell::embedded();
    assert_snapshot!(pages(&shell, ["list", "migrate"]));
}

/// A day of minutes spoiled in four ways: a gap, a bad print, a stretch that stands still, another unit.
fn spoiled() -> String {
    let mut rows = market::bars(3, MINUTE_US, 1_440, false);
    rows[300].high *= 40;
    for i in 600..630 {
        let close = rows[599].close;
        (rows[i].open, rows[i].high, rows[i].low, rows[i].close) = (close, close, close, close);
    }
    for row in &mut rows[1_200..] {
        for price in [&mut row.open, &mut row.high, &mut row.low, &mut row.close] {
            *price *= 100;
        }
    }
    rows.drain(900..915);
    market::csv(&rows, false)
}

#[test]
fn faults_of_the_data_are_found_kept_and_refused() {
    let shell = with_bars();
    shell.write("SPOILED-1m.csv", &spoiled());
    shell.ok("import SPOILED-1m.csv");
    let gaps = "data check --symbol SPOILED --timeframe 1m --to 2024-03-01T18:00 --fail-on";
    assert_snapshot!(pages(
        &shell,
        [
            "data check",
            "data check --symbol BTCUSDT --fail-on any",
            &format!("{gaps} gaps,splits"),
            "data check --symbol NOBODY",
            "data check --fail-on holes",
            "run sma_cross --symbol SPOILED --timeframe 5m --strict-data",
            "run sma_cross --symbol SPOILED --timeframe 5m --strict-data=zero_volume",
            "run sma_cross --symbol SPOILED --timeframe 5m --strict-data=duplicates",
            "sweep sma_cross --symbol SPOILED --timeframe 5m --param slow=20,40 --param fast=5 --strict-data=splits",
            "sweep sma_cross --symbol BTCUSDT --param slow=20,40 --param fast=5 --strict-data=zero_volume",
        ]
    ));
    assert_eq!(shell.run(&format!("{gaps} splits")).code, Some(0), "they begin later");
    let again = shell.run("run sma_cross --symbol SPOILED --timeframe 5m").stderr;
    assert!(again.contains("the data of SPOILED 1m have faults: gaps 1, "), "{again}");
    // What is kept says the same as the check, and decides no identity.
    let kept = shell.json("show 1 --json");
    let checked = shell.json("data check --symbol SPOILED --json");
    let kinds = |v: &Value| -> Vec<String> {
        let all = v["findings"].as_array().expect("a list");
        all.iter().map(|f| f["kind"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let of_run = kinds(&kept["metrics"]["data"]["verdict"]);
    assert_eq!(of_run, ["gaps", "flat", "outliers", "splits"]);
    let with_volumes: Vec<String> =
        kinds(&checked[0]).into_iter().filter(|k| k != "zero_volume").collect();
    assert_eq!(with_volumes, of_run);
    let sweep = "sweep sma_cross --symbol SPOILED --timeframe 5m --param slow=20,40 --param fast=5";
    assert!(shell.run(sweep).stderr.starts_with("the data of SPOILED 1m have faults: gaps 1, "));
    assert!(shell.ok("sweep show 1").contains("another unit (x 100)"));
    let definition = &shell.json("sweep show 1 --json")["definition"];
    assert_eq!(kinds(&definition["data"][0]), of_run);
}

#[test]
fn every_backend_gives_the_same_verdict() {
    let shell = Shell::embedded();
    let judge = |shell: &Shell| {
        shell.write("SPOILED-1m.csv", &spoiled());
        shell.ok("import SPOILED-1m.csv");
        shell.ok(RUN_SPOILED);
        (shell.ok("data check --json"), shell.json("show 1 --json")["metrics"]["data"].clone())
    };
    let expected = judge(&shell);
    each_server(|backend, shell| {
        shell.ok("migrate");
        assert_eq!(judge(shell), expected, "{}", backend.name);
    });
}

#[test]
fn look_ahead_is_checked_and_warm_up_is_measured() {
    let shell = with_bars();
    assert_snapshot!(pages(
        &shell,
        [
            "lookahead sma_cross --param fast=3 --param slow=8",
            "lookahead cooldown_breakout --warmup 0",
            "lookahead buy_and_hold --cuts 49",
            "run sma_cross --set fast=3 --set slow=8 --to 2024-03-02 --verify-lookahead",
            "sweep sma_cross --param fast=3 --param slow=8,9 --top 0 --verify-lookahead",
            "warmup sma_cross --set fast=3 --set slow=8 --from 2024-03-03",
            "warmup macd_trend --set trend=20",
            "warmup cooldown_breakout",
        ]
    ));
    let report = shell.json("lookahead sma_cross --json");
    assert_eq!((&report["looks_ahead"], &report["first"]), (&Value::Bool(false), &Value::Null));
    assert!(report["cuts"].as_u64() >= Some(50), "{report}");
    let report = shell.json("warmup sma_cross --set fast=3 --set slow=8 --from 2024-03-03 --json");
    assert_eq!((&report["enough"], &report["given"]), (&Value::Bool(true), &Value::from(48)));
    assert_eq!(report["indicators"][1]["equal"], 7, "sma(close, 8)");
    let short = shell.json("warmup sma_cross --set fast=3 --set slow=99 --to 2024-03-02 --json");
    assert_eq!((&short["enough"], &short["needed"]), (&Value::Bool(false), &Value::Null));
}

// ---- What a person types wrong ----

#[test]
fn words_of_the_command_line() {
    let shell = with_bars();
    assert_snapshot!(pages(
        &shell,
        [
            "runn",
            "run sma_cross --timeframe 7m",
            "run sma_cross --set fast",
            "run sma_cross --set fast=ten",
            "run sma_cross --from 31.01.2024",
            "run sma_cross --from 2024-03-05 --to 2024-03-05",
            "run sma_cross --timerange 20240301-20240302 --to 2024-03-05",
            "run sma_cross --fill sometime",
            "trades 1 --format parquet",
            "list --sort clos",
            "data export --symbol BTCUSDT --timeframe 1d",
            "data export --symbol BTCUSDT --timeframe 1h -o bars.doc",
        ]
    ));
}

#[test]
fn costs_beyond_their_limits() {
    let shell = with_bars();
    assert_snapshot!(pages(
        &shell,
        [
            "run sma_cross --fee-bps 10000",
            "run sma_cross --fee-bps=-1",
            "run sma_cross --slippage-bps 0.00001",
            "run sma_cross --capital 0",
            "run sma_cross --capital -1",
            "run sma_cross --year-days 0",
            "run sma_cross --lot-step 0",
            "run sma_cross --warmup 1000001",
            "run sma_cross --warmup -1",
        ]
    ));
}

#[test]
fn conventions_of_other_engines() {
    let shell = with_bars();
    let run = format!("{RUN} --like vectorbt");
    let mine = format!("{RUN} --like backtesting.py --fee-bps 5 --lot-step 0.01");
    let sweep = "sweep sma_cross --like vectorbt --param fast=3,4 --param slow=8 --param fee_bps=5 --dry-run";
    let record =
        "check --record sma_cross --like backtesting.py --synthetic 3000 --capital 1000000";
    assert_snapshot!(pages(
        &shell,
        [&run, &mine, sweep, record, "check", "run sma_cross --like zipline"]
    ));
}

#[test]
fn names_that_do_not_exist() {
    let shell = with_bars();
    assert_snapshot!(pages(
        &shell,
        [
            "run sma_cros",
            "list --tag nothing",
            "run no/such.toml",
            "strategy show rsi",
            "run sma_cross --set fats=3",
            "run sma_cross --set fast=60",
            "run sma_cross --symbol BTCUSD",
            "run sma_cross --symbol BTCUSDT,ETHUSDT",
            "run sma_cross --from 2025-01-01",
            "run sma_cross --to 2024-03-01",
            "run sma_cross --timeframe 5m",
            "data export --symbol ETH --timeframe 1h",
            "trades 7",
            "delete 7",
        ]
    ));
}

#[test]
fn nothing_is_held() {
    let shell = Shell::embedded();
    assert_snapshot!(pages(
        &shell,
        ["data list", "run sma_cross", "run sma_cross --symbol BTCUSDT"]
    ));
}

#[test]
fn several_symbols_are_held_and_none_is_named() {
    let shell = with_file();
    shell.ok("import BTCUSDT-1h.csv --symbol AAA");
    assert_snapshot!(
        shell.page("run sma_cross").lines().find(|l| l.starts_with('!')).unwrap_or("")
    );
    shell.ok("import BTCUSDT-1h.csv --symbol BBB");
    assert_snapshot!(shell.page("run sma_cross"));
}

/// `sma_cross` with `from` replaced by `to`.
fn strategy(shell: &Shell, file: &str, from: &str, to: &str) {
    let text = shell.ok("strategy show sma_cross");
    assert!(text.contains(from), "{from}");
    shell.write(file, &text.replace(from, to));
}

#[test]
fn mistakes_in_a_strategy_file_are_shown_at_their_place() {
    let shell = with_bars();
    let entry = "cross_above(sma(close, fast), sma(close, slow))";
    strategy(&shell, "key.toml", "long_exit", "long_exot");
    strategy(&shell, "toml.toml", "default = 10,", "default = ,");
    strategy(&shell, "name.toml", entry, "cross_above(smma(close, fast), sma(close, slow))");
    strategy(&shell, "column.toml", entry, "clsoe > sma(close, slow)");
    strategy(&shell, "type.toml", entry, "sma(close, fast)");
    strategy(&shell, "count.toml", entry, "close > sma(close)");
    strategy(&shell, "paren.toml", entry, "close > (sma(close, fast)");
    strategy(&shell, "chained.toml", entry, "1 < close < 2");
    strategy(&shell, "size.toml", "{ equity = 1.0 }", "{ equity = 1.5 }");
    let files = ["key", "toml", "name", "column", "type", "count", "paren", "chained", "size"];
    let lines: Vec<String> = files.map(|name| format!("strategy check {name}.toml")).into();
    assert_snapshot!(pages(&shell, lines.iter().map(String::as_str)));
    for name in files {
        let (checked, ran) = (
            shell.run(&format!("strategy check ./{name}.toml")),
            shell.run(&format!("run ./{name}.toml")),
        );
        assert_eq!((ran.code, ran.stderr), (Some(3), checked.stderr), "{name}");
    }
    assert!(shell.ok("list").is_empty(), "none of them left a row");
}

// ---- Files that are not as they should be ----

#[test]
fn files_that_cannot_be_bars() {
    let shell = Shell::embedded();
    shell.write("empty.csv", "");
    shell.write("BTCUSDT-1h.csv", "time,price\n1,2\n");
    shell.write("bars.csv", &market::csv(&market::bars(1, HOUR_US, 30, false), false));
    shell.write("ETH-1m.csv", &market::csv(&market::bars(1, HOUR_US, 30, false), false));
    shell.write("ETH-1h.zip", "PK is not enough");
    assert_snapshot!(pages(
        &shell,
        [
            "import nothere.csv",
            "import .",
            "import empty.csv",
            "import BTCUSDT-1h.csv",
            "import bars.csv",
            "import ETH-1m.csv",
            "import ETH-1h.zip",
            "import bars.csv --symbol A_SYMBOL_OF_MORE_THAN_20",
            "import bars.csv --symbol X --columns open=1",
        ]
    ));
    assert!(shell.ok("data list").is_empty(), "none of them left a bar");
}

/// Bars with one row of each kind of fault.
fn bad_rows() -> String {
    let good = market::csv(&market::bars(1, HOUR_US, 12, false), false);
    let mut lines: Vec<String> =
        good.lines().map(|l| l.split(',').take(6).collect::<Vec<_>>().join(",")).collect();
    lines[2] = "1709254800000,100,101,99,NaN,1".to_owned();
    lines[4] = "1709262000000,100,99,98,100,1".to_owned();
    lines[5] = "1709265600000,0,101,99,100,1".to_owned();
    lines[6] = "1709269200000,100,101,99,100,-1".to_owned();
    lines[7] = "1709272800001,100,101,99,100,1".to_owned();
    lines[9] = lines[8].clone();
    lines[10] = "1709283600000,100,101,99,abc,1".to_owned();
    lines[11] = "1709287200000,100,1000000000000,99,100,1".to_owned();
    lines.join("\n") + "\n"
}

#[test]
fn bad_rows_are_named_and_the_file_is_refused() {
    let shell = Shell::embedded();
    shell.write("BAD-1h.csv", &bad_rows());
    assert_snapshot!(shell.page("import BAD-1h.csv"));
    assert!(shell.ok("data list").is_empty(), "not one row of it is kept");
    assert!(!shell.path("BAD-1h.csv.refused.csv").exists());
}

#[test]
fn bad_rows_are_skipped_when_asked_and_written_beside() {
    let shell = Shell::embedded();
    shell.write("BAD-1h.csv", &bad_rows());
    assert_snapshot!(pages(&shell, ["import BAD-1h.csv --bad-rows skip", "data list"]));
    let refused = std::fs::read_to_string(shell.path("BAD-1h.csv.refused.csv"));
    assert_snapshot!(refused.expect("it was written"));
}

#[test]
fn a_file_that_is_refused_keeps_no_other_from_being_imported() {
    let shell = with_file();
    shell.write("BAD-1h.csv", &bad_rows());
    assert_eq!(shell.run("import BTCUSDT-1h.csv BAD-1h.csv").code, Some(3));
    let held = shell.json("data list --json");
    assert_eq!(
        (held[0]["symbol"].as_str(), held.as_array().map(Vec::len)),
        (Some("BTCUSDT"), Some(1))
    );
    let good = std::fs::read_to_string(shell.path("BTCUSDT-1h.csv")).expect("just written");
    shell.write("ETH-1h.csv", &good);
    shell.write("WORSE-1h.csv", "time,price\n1,2\n");
    let said = shell.run("import BAD-1h.csv WORSE-1h.csv ETH-1h.csv");
    assert_eq!(said.code, Some(3), "as the first that failed");
    assert!(said.stdout.starts_with("ETH-1h.csv: 240 bars"), "tried all the same: {}", said.stdout);
    assert_eq!(said.stderr.matches("error: ").count(), 3, "each, and the sum: {}", said.stderr);
    let sum = "error: 2 of 3 files failed: BAD-1h.csv, WORSE-1h.csv\n";
    assert!(said.stderr.ends_with(sum), "{}", said.stderr);
    let said = shell.run("import BTCUSDT-1h.csv BAD-1h.csv --json");
    let files: Value = serde_json::from_str(&said.stdout).expect("what was imported is told");
    assert_eq!((said.code, files["files"].as_array().map(Vec::len)), (Some(3), Some(1)));
    assert_eq!(files["files"][0]["bars"], 240);
}

// ---- Databases that are not as they should be ----

#[test]
fn databases_that_cannot_be_opened() {
    let shell = Shell::embedded();
    shell.write("text.db", "this is a letter and no database at all, however long one reads it");
    assert_snapshot!(pages(
        &shell,
        [
            "--db mysql://me:secret@localhost/market list",
            "--db backtest.db list",
            "--db postgres://me:secret@127.0.0.1:1/market list",
            "--db sqlite:no/such/folder.db list",
            "--db sqlite:text.db list",
            "--db postgres://me:secret@127.0.0.1:x/market list",
        ]
    ));
}

/// Every server there is.
fn each_server(test: impl Fn(&Backend, &Shell)) {
    for backend in servers::backends().into_iter().filter(|b| b.name != "sqlite") {
        let shell = Shell::on(&backend.url);
        shell.write("BTCUSDT-1h.csv", &market::csv(&market::bars(1, HOUR_US, 240, false), false));
        test(&backend, &shell);
    }
}

/// A page with the server's address as `[URL]` and its edition as `[EDITION]`, without what that edition lacks.
fn on_server(backend: &Backend, shell: &Shell, line: &str) -> String {
    let address = backend.url.split('?').next().unwrap_or_default();
    let mut page = shell.page(line).replace(address, "[URL]");
    for edition in [
        "PostgreSQL without TimescaleDB",
        "TimescaleDB, Apache edition",
        "TimescaleDB, Community edition",
    ] {
        page = page.replace(&format!("({edition})"), "([EDITION])");
    }
    let lacks = |line: &&str| line.starts_with("! without ") || line.starts_with("! the Apache ");
    page.split_inclusive('\n').filter(|line| !lacks(line)).collect()
}

#[test]
fn a_server_is_given_its_tables_by_migrate() {
    each_server(|backend, shell| {
        let mut pages = String::new();
        let mut page = |line: &str| pages += &on_server(backend, shell, line);
        page("list");
        page("import BTCUSDT-1h.csv");
        page("migrate");
        page("migrate");
        shell.ok("import BTCUSDT-1h.csv");
        shell.ok(RUN);
        psql(&backend.url, "DELETE FROM _sqlx_migrations WHERE version = 120");
        page("list");
        psql(&backend.url, "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 110");
        page("list");
        {
            assert_snapshot!("a_server_is_given_its_tables_by_migrate", pages);
        }
    });
}

#[test]
fn a_password_is_in_no_output() {
    each_server(|backend, shell| {
        let role = format!("role_{}", backend.url.rsplit('_').next().unwrap_or("x").len());
        let role = format!("{role}_{}", std::process::id());
        psql(&backend.url, &format!("CREATE ROLE {role} LOGIN PASSWORD 'right-Secret'"));
        let (_, address) = backend.url.split_once('@').expect("the tests' URLs have a user");
        for (password, code) in [("wr0ng-Secret", 4), ("right-Secret", 4)] {
            let url = format!("postgres://{role}:{password}@{address}");
            for line in [
                format!("-vv --db {url} list"),
                format!("--json --db {url} migrate"),
                format!("--db {url} demo"),
            ] {
                let said = shell.run(&line);
                assert_eq!(said.code, Some(code), "{said:?}");
                assert!(
                    !said.stdout.contains("Secret") && !said.stderr.contains("Secret"),
                    "{said:?}"
                );
                let refused = said.stderr.contains("the server refused this user or password");
                assert_eq!(refused, password.starts_with("wr0ng"), "{said:?}");
            }
            let help = Shell::on(&url).run("run --help");
            assert!(!help.stdout.contains("Secret"), "{}", help.stdout);
        }
        psql(&backend.url, &format!("DROP ROLE {role}"));
    });
}

// ---- What holds for every command ----

#[test]
fn global_flags_stand_before_and_after_the_command() {
    let shell = with_bars();
    shell.ok(RUN);
    for (before, after) in [
        ("--json list", "list --json"),
        ("--json data list", "data list --json"),
        ("--json show 1", "show 1 --json"),
        ("--db sqlite:other.db data list", "data list --db sqlite:other.db"),
        ("-v --json strategy list", "strategy list --json -v"),
        ("-v data list", "data list -v"),
        ("--json -v data list", "data --json list -v"),
    ] {
        assert_eq!(shell.run(before), shell.run(after), "{before}");
    }
    assert!(shell.run("-v list").stderr.contains("using `sqlite:backtest.db`"));
}

#[test]
fn json_is_one_document_whatever_the_command() {
    let shell = with_file();
    for line in [
        "data list --json",
        "import BTCUSDT-1h.csv --json",
        "data list --json",
        "data check --json",
        "lookahead sma_cross --json",
        "warmup sma_cross --json",
        "list --json",
        "run sma_cross --set fast=3 --json",
        "run sma_cross --set fast=3 --json",
        "list --json",
        "show 1 --json",
        "tag 1 --add a --json",
        "notes 1 --json",
        "reproduce 1 --json",
        "trades 1 --json",
        "trades 1 -o t.csv --json",
        "data export --symbol BTCUSDT --timeframe 1h -o b.csv --json",
        "strategy list --json",
        "strategy show sma_cross --json",
        "strategy show cooldown_breakout --json",
        "strategy new idea --json",
        "strategy check idea.toml --json",
        "delete 1 --json",
        "migrate --json",
    ] {
        shell.json(line);
    }
    for line in [
        "show 9 --json",
        "data export --symbol BTCUSDT --timeframe 1h --json",
        "run no --json",
        "import no.csv --json",
    ] {
        assert_eq!(shell.run(line).stdout, "", "an error leaves stdout empty: {line}");
    }
}

#[test]
fn the_next_command_finds_the_same_database() {
    let shell = with_file();
    shell.ok("--db sqlite:one.db import BTCUSDT-1h.csv");
    let said = shell.run(&format!("--db sqlite:one.db {RUN}")).stderr;
    assert!(said.contains("its trades: backtest --db sqlite:one.db trades 1"), "{said}");
    assert!(!shell.ok("--db sqlite:one.db trades 1").is_empty());
    let other = Shell::on("sqlite:one.db");
    other.write("BTCUSDT-1h.csv", &market::csv(&market::bars(1, HOUR_US, 240, false), false));
    other.ok("import BTCUSDT-1h.csv");
    let said = other.run(RUN).stderr;
    assert!(said.contains("its trades: backtest trades 1"), "the environment stays: {said}");
}

#[test]
fn words_of_other_people_do_not_steer_the_terminal() {
    let shell = with_bars();
    let name = ["--name", "a\u{1b}[2J\nb"];
    assert_eq!(shell.run_args(RUN.split_whitespace().chain(name)).code, Some(0));
    let list = shell.ok("list");
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.trim_end().ends_with(r"a\u{1b}[2J\nb"), "{list}");
    assert!(!shell.ok("show 1").contains('\u{1b}'));
}

#[test]
fn small_amounts_are_shown_by_their_digits() {
    let shell = with_bars();
    shell.ok(&format!("{RUN} --capital 0.1"));
    assert_snapshot!(pages(&shell, ["show 1", "trades 1"]));
}

#[cfg(target_os = "linux")]
#[test]
fn data_that_cannot_be_printed_is_an_error() {
    let shell = with_bars();
    shell.ok(RUN);
    for line in ["list", "show 1 --json", "data list", "trades 1 --format csv"] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
        let ended = shell.command(line.split_whitespace()).stdout(full).output();
        let output = ended.expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{line}: {stderr}");
        assert!(stderr.contains("error: stdout: No space left on device"), "{line}: {stderr}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_of_any_name_can_be_given() {
    use std::os::unix::ffi::OsStrExt;

    let shell = with_file();
    let name = std::ffi::OsStr::from_bytes(b"x\xff-1h.csv");
    std::fs::copy(shell.path("BTCUSDT-1h.csv"), shell.path("").join(name)).expect("it is there");
    let mut command = shell.command(["import", "--symbol", "X"]);
    let output = command.arg(name).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let shell = with_file();
    let file = market::csv(&market::bars(2, MINUTE_US, 6_000, false), false);
    shell.write("LONG-1m.csv", &file);
    shell.ok("import LONG-1m.csv");
    shell.ok("run sma_cross --timeframe 1m --set fast=1 --set slow=2 --symbol LONG");
    for line in [
        "list",
        "data export --symbol LONG --timeframe 1m",
        "trades 1",
        "trades 1 --format csv",
        "show 1 --json",
    ] {
        let mut child = shell
            .command(line.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut reader = BufReader::new(child.stdout.take().expect("piped"));
        let mut first = String::new();
        reader.read_line(&mut first).expect("it is text");
        drop(reader);
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{line}");
        assert!(!first.is_empty());
    }
}
