//! L7: every backend gives the same answers to the last digit; L6: the same run twice is one row; and what plain SQL reads
//! is what `show --json` says. How a backend stores things stands in `store`'s own contract tests.

use std::process::Command;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use store::{Store, TradeRow};

use crate::market::{self, MINUTE_US};
use crate::resampled::short_params;
use crate::servers::{Backend, backends, psql};
use crate::shell::{Shell, block_on};

const N_MINUTES: usize = 60 * 1_440;
const TIMEFRAMES: [&str; 4] = [
    "1m --timerange 20240420T0130-20240421T1200",
    "5m --from 2024-04-22",
    "1h --from 2024-03-25 --to 2024-04-25",
    "1d",
];
const RULES: [&str; 4] = [
    "",
    "--fill close --slippage-bps 2.5 --intrabar best",
    "--intrabar path --lot-step 0.001 --tick-size 0.05 --min-notional 20 --maker-fee-bps 1",
    "--capital 250.5 --fee-bps 7.5 --year-days 252 --risk-free 2.5 --warmup 50",
];
/// What may differ between two backends: where, which row, and when.
const OWN: [&str; 6] = ["id", "place", "created_at", "started_at", "heartbeat_at", "completed_at"];

/// One run as a backend keeps it.
struct Kept {
    id: i64,
    line: String,
    /// `run --json` without [`OWN`].
    document: Value,
    trades: Vec<TradeRow>,
    equity: Vec<Day>,
}

/// Time, equity and drawdown.
type Day = (i64, Decimal, Option<Decimal>);

fn shell_of(backend: &Backend, bars: &str) -> Shell {
    let shell = Shell::on(&backend.url);
    shell.write("WALK-1m.csv", bars);
    shell.ok("migrate");
    let imported = shell.json("import WALK-1m.csv --json");
    assert_eq!(imported["files"][0]["bad_rows"], json!(0));
    shell
}

fn lines() -> Vec<String> {
    let mut lines = Vec::new();
    for (i, name) in strategies::names().into_iter().enumerate() {
        for (j, timeframe) in TIMEFRAMES.into_iter().enumerate() {
            let rules = RULES[(i + j) % RULES.len()];
            let short = if timeframe == "1d" { short_params(name) } else { Vec::new() };
            let set: String = short.iter().map(|(n, v)| format!(" --set {n}={v}")).collect();
            lines.push(format!("run {name} --symbol WALK --timeframe {timeframe} {rules}{set}"));
        }
    }
    lines
}

fn keep(shell: &Shell, store: &Store, line: String) -> Kept {
    let mut document = shell.json(&format!("{line} --json"));
    let id = document["id"].as_i64().expect("an id is a number");
    for name in OWN {
        document.as_object_mut().expect("an object").remove(name);
    }
    let equity = block_on(store.equity(id)).expect("it can be read");
    let equity = equity.into_iter().map(|e| (e.time_us, e.equity, e.drawdown)).collect();
    let trades = block_on(store.trades(id)).expect("they can be read");
    let trades = trades.into_iter().map(|trade| TradeRow { id: 0, ..trade }).collect();
    Kept { id, line, document, trades, equity }
}

fn all_kept(backend: &Backend, bars: &str) -> Vec<Kept> {
    let shell = shell_of(backend, bars);
    let store = block_on(Store::open(&backend.url)).expect("it opens");
    let kept: Vec<Kept> = lines().into_iter().map(|line| keep(&shell, &store, line)).collect();
    read_by_sql(backend, &kept);
    block_on(store.close());
    kept
}

#[test]
fn every_backend_gives_the_same_answers() {
    let bars = market::csv(&market::bars(4, MINUTE_US, N_MINUTES, true), true);
    let (backends, bars) = (backends(), bars.as_str());
    let mut all: Vec<Vec<Kept>> = std::thread::scope(|scope| {
        let start = |backend| scope.spawn(move || all_kept(backend, bars));
        let threads: Vec<_> = backends.iter().map(start).collect();
        threads.into_iter().map(|t| t.join().expect("it holds on each backend")).collect()
    });
    let first = all.remove(0);
    for (backend, kept) in backends[1..].iter().zip(&all) {
        for (one, other) in first.iter().zip(kept) {
            let line = &one.line;
            assert_eq!(one.document, other.document, "{}: {line}", backend.name);
            assert!(one.trades == other.trades, "{}: trades of {line}", backend.name);
            assert_eq!(one.equity, other.equity, "{}: equity of {line}", backend.name);
        }
    }
    let trades: u64 =
        first.iter().filter_map(|k| k.document["results"]["total_trades"].as_u64()).sum();
    let idle = first.iter().filter(|k| k.trades.is_empty()).count();
    assert!(
        trades > 500 && idle * 4 < first.len(),
        "{trades} trades, {idle} runs without: it shows little"
    );
}

// ---- What SQL reads ----

fn sql(backend: &Backend, query: &str) -> Option<Vec<Vec<String>>> {
    sql_at(&backend.url, query)
}

/// Rows of fields as text, NULL as the empty text; `None` where there is no client to ask with.
pub(crate) fn sql_at(url: &str, query: &str) -> Option<Vec<Vec<String>>> {
    let text = match url.strip_prefix("sqlite:") {
        None => psql(url, query),
        Some(file) => {
            let args = ["-batch", "-cmd", ".timeout 10000", file, query];
            let output = match Command::new("sqlite3").args(args).output() {
                Ok(output) => output,
                Err(error) => {
                    eprintln!("SKIPPED plain SQL on sqlite: no sqlite3 ({error})");
                    return None;
                }
            };
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{query}: {said}");
            String::from_utf8(output.stdout).expect("UTF-8")
        }
    };
    Some(text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect())
}

/// A column of a time as microseconds.
fn micros(backend: &Backend, column: &str) -> String {
    if backend.name == "sqlite" {
        return column.to_owned();
    }
    format!("CAST(extract(epoch FROM {column}) * 1000000 AS BIGINT)")
}

/// A column of a list as JSON.
fn list(backend: &Backend, column: &str) -> String {
    if backend.name == "sqlite" { column.to_owned() } else { format!("to_json({column})") }
}

fn read_by_sql(backend: &Backend, kept: &[Kept]) {
    let Some(users) = sql(backend, "SELECT username, email, password_hash FROM users") else {
        return;
    };
    assert_eq!(users, [["local", "local@localhost", "!"]]);
    let names = sql(backend, "SELECT name FROM strategies ORDER BY name").expect("it answered");
    assert_eq!(names.concat(), strategies::names(), "one row a strategy");
    results_by_sql(backend, kept);
    backtests_by_sql(backend, kept);
    trades_by_sql(backend, kept);
    equity_by_sql(backend, kept);
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap_or_else(|e| panic!("`{text}`: {e}"))
}

fn text<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A column that may be NULL.
fn optional(field: &str) -> Option<Decimal> {
    (!field.is_empty()).then(|| decimal(field))
}

/// A value of a document, be it text or a number.
fn said(value: &Value) -> Option<Decimal> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(decimal(text)),
        number => Some(decimal(&number.to_string())),
    }
}

fn results_by_sql(backend: &Backend, kept: &[Kept]) {
    let names: Vec<&String> =
        kept[0].document["results"].as_object().expect("an object").keys().collect();
    assert_eq!(names.len(), 20, "every column of backtest_results");
    let column = |name: &&String| match (name.as_str(), backend.name) {
        ("avg_trade_duration", "sqlite") => "avg_trade_duration".to_owned(),
        ("avg_trade_duration", _) => "extract(epoch FROM avg_trade_duration)".to_owned(),
        (name, _) => name.to_owned(),
    };
    let columns = names.iter().map(column).collect::<Vec<_>>().join(", ");
    let query = format!(
        "SELECT {columns}, created_at IS NULL, metrics FROM backtest_results ORDER BY backtest_id"
    );
    let rows = sql(backend, &query).expect("it answered");
    assert_eq!(rows.len(), kept.len(), "one row of results a run");
    for (row, run) in rows.iter().zip(kept) {
        let metrics: Value = serde_json::from_str(&row[21..].join("|")).expect("metrics are JSON");
        assert_eq!(metrics, run.document["metrics"], "{}", run.line);
        assert!(row[20].starts_with(['0', 'f']), "created_at is filled");
        for (name, field) in names.iter().zip(row) {
            let stored = optional(field);
            assert_eq!(stored, said(&run.document["results"][*name]), "{name} of {}", run.line);
            rounded_metric(name, &metrics[*name], stored);
        }
    }
}

/// The column is the metric at full precision, rounded; NULL where that is or where it does not fit.
fn rounded_metric(name: &str, metric: &Value, stored: Option<Decimal>) {
    let full = metric.as_str().map_or_else(|| metric.as_f64(), |text| text.parse().ok());
    match (full, stored) {
        (Some(full), Some(stored)) => {
            let stored: f64 = stored.to_string().parse().expect("a number");
            let half = if name == "win_rate" { 0.005 } else { 0.000_05 };
            let near = (full - stored).abs() <= half + full.abs() * 1e-11;
            assert!(near, "{name}: {full} and {stored}");
        }
        (full, None) => {
            assert!(full.is_none_or(|f| f.abs() >= 9_999.0), "{name}: {full:?} and NULL");
        }
        (None, Some(stored)) => panic!("{name}: {stored} of no metric"),
    }
}

fn backtests_by_sql(backend: &Backend, kept: &[Kept]) {
    let (lists, times) = (["symbols", "timeframes", "tags"], ["start_date", "end_date"]);
    let lists_sql = lists.map(|c| list(backend, &format!("b.{c}"))).join(", ");
    let times_sql =
        ["start_date", "end_date", "created_at", "started_at", "heartbeat_at", "completed_at"]
            .map(|c| micros(backend, &format!("b.{c}")))
            .join(", ");
    let query = format!(
        "SELECT b.status, b.progress, u.username, s.name, b.name, b.identity, b.data_fingerprint, \
         b.engine_version, b.error, b.notes, b.description, s.description, b.initial_capital, \
         {times_sql}, {lists_sql}, b.parameters, b.rules FROM backtests b \
         JOIN users u ON u.id = b.user_id JOIN strategies s ON s.id = b.strategy_id ORDER BY b.id"
    );
    let rows = sql(backend, &query).expect("it answered");
    assert_eq!(rows.len(), kept.len(), "one row a run");
    for (row, run) in rows.iter().zip(kept) {
        let shown = &run.document;
        assert_eq!(row.len(), 24, "{row:?}");
        let plain =
            ["/user", "/strategy", "/name", "/identity", "/data_fingerprint", "/engine_version"];
        assert_eq!(row[..2], ["COMPLETED", "100"]);
        assert_eq!(row[2..8], plain.map(|pointer| text(shown, pointer)));
        for hash in &row[5..7] {
            assert!(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
        }
        assert_eq!((row[8].as_str(), row[9].as_str(), &row[10]), ("", "", &row[11]));
        assert!(!row[10].is_empty(), "a description");
        assert_eq!(Some(decimal(&row[12])), said(&shown["initial_capital"]));
        let time = |i: usize| -> i64 { row[i].parse().expect("no time is NULL") };
        for (i, name) in times.into_iter().enumerate() {
            let moment = chrono::DateTime::parse_from_rfc3339(text(shown, &format!("/{name}")));
            assert_eq!(time(13 + i), moment.expect("RFC 3339").timestamp_micros(), "{name}");
        }
        assert!((15..18).all(|i| time(i) <= time(i + 1)), "created, started, alive, completed");
        for (i, name) in lists.into_iter().chain(["parameters", "rules"]).enumerate() {
            let stored: Value = serde_json::from_str(&row[19 + i]).expect("JSON");
            assert_eq!(stored, shown[name], "{name}");
        }
    }
}

/// Rows by the run they belong to, its id in front.
fn of_run(rows: &[Vec<String>], id: i64) -> Vec<&[String]> {
    let id = id.to_string();
    rows.iter().filter(|row| row[0] == id).map(|row| &row[1..]).collect()
}

fn trades_by_sql(backend: &Backend, kept: &[Kept]) {
    let query = format!(
        "SELECT backtest_id, symbol, side, quantity, entry_price, exit_price, {}, {}, pnl, \
         pnl_percentage, commission, strategy_signal FROM backtest_trades ORDER BY id",
        micros(backend, "entry_time"),
        micros(backend, "exit_time"),
    );
    let rows = sql(backend, &query).expect("it answered");
    for run in kept {
        let mut pnl = Decimal::ZERO;
        let stored = of_run(&rows, run.id);
        assert_eq!(stored.len(), run.trades.len(), "{}", run.line);
        for (row, trade) in stored.into_iter().zip(&run.trades) {
            let fields = (row[0].as_str(), row[1].as_str(), Some(row[10].as_str()));
            let signal = trade.strategy_signal.as_deref();
            assert_eq!(fields, (trade.symbol.as_str(), trade.side.as_str(), signal));
            let money = [2, 3, 4, 7, 8, 9].map(|i| optional(&row[i]));
            let (quantity, entry) = (Some(trade.quantity), Some(trade.entry_price));
            let rest = [trade.exit_price, trade.pnl, trade.pnl_percentage, trade.commission];
            assert_eq!((money[0], money[1], &money[2..]), (quantity, entry, &rest[..]));
            let times = (row[5].parse().ok(), row[6].parse().ok());
            assert_eq!(times, (Some(trade.entry_time_us), trade.exit_time_us));
            pnl += trade.pnl.unwrap_or_default();
        }
        // The books balance in the rows: initial + closed + open = final, to the last digit.
        let money = |pointer: &str| decimal(text(&run.document, pointer));
        let sum = money("/initial_capital") + pnl + money("/metrics/open_pnl");
        assert_eq!(sum, money("/results/final_capital"), "{}", run.line);
    }
}

fn equity_by_sql(backend: &Backend, kept: &[Kept]) {
    let time = micros(backend, "timestamp");
    let query =
        format!("SELECT backtest_id, {time}, equity, drawdown FROM backtest_equity ORDER BY 1, 2");
    let rows = sql(backend, &query).expect("it answered");
    for run in kept {
        let day = |row: &[String]| {
            let time_us = row[0].parse().expect("a time");
            (time_us, decimal(&row[1]), optional(&row[2]))
        };
        let days: Vec<Day> = of_run(&rows, run.id).into_iter().map(day).collect();
        assert_eq!(days, run.equity, "{}", run.line);
        let last = days.last().map(|day| day.1);
        assert_eq!(last, said(&run.document["results"]["final_capital"]), "{}", run.line);
    }
}

// ---- Twice is once ----

#[test]
fn the_same_run_twice_is_one_row_and_takes_new_words() {
    let bars = market::csv(&market::bars(4, MINUTE_US, 3 * 1_440, true), false);
    for backend in backends() {
        let shell = shell_of(&backend, &bars);
        let line = "run sma_cross --symbol WALK --timeframe 15m";
        let first = shell.json(&format!("{line} --json"));
        let id = first["id"].clone();
        let again = shell.run_args(line.split(' ').chain([
            "--json",
            "--name",
            "second",
            "--notes",
            "two words",
            "--tag",
            "a,b",
            "--tag",
            "c",
        ]));
        assert!(again.stderr.contains("kept already"), "{}", again.stderr);
        let again: Value = serde_json::from_str(&again.stdout).expect("JSON");
        let words = |v: &Value| json!([v["id"], v["name"], v["notes"], v["tags"]]);
        assert_eq!(words(&again), json!([id, "second", "two words", ["a,b", "c"]]));
        // Importing the same bars again changes nothing, and words not given stay.
        shell.ok("import WALK-1m.csv");
        let third = shell.json(&format!("{line} --json"));
        assert_eq!(words(&third), words(&again));
        for name in
            ["results", "metrics", "identity", "data_fingerprint", "created_at", "completed_at"]
        {
            assert_eq!((&first[name], &first[name]), (&again[name], &third[name]), "{name}");
        }
        assert_eq!(shell.json("list --json").as_array().map(Vec::len), Some(1));
        // What a number depends on makes another run.
        for other in [
            "--fee-bps 11",
            "--set fast=11",
            "--from 2024-03-01T00:15",
            "--fill close",
            "--user ann",
        ] {
            let other_id = shell.json(&format!("{line} {other} --json"))["id"].clone();
            assert_ne!(other_id, id, "{other}");
        }
        shell.ok(&format!("delete {id}"));
        assert_eq!(shell.json("list --json").as_array().map(Vec::len), Some(5));
        assert_eq!(shell.json(&format!("{line} --json"))["results"], first["results"]);
    }
}

/// Several files of one command: each is whole or not there, the last one of the same bars wins, and what is said
/// comes in their order, however many are read at once.
#[test]
fn many_files_are_imported_as_if_one_after_the_other() {
    let csv = |seed| market::csv(&market::bars(seed, MINUTE_US, 20_000, false), false);
    let bad = format!("{}1709251200000,1,2,3,4,5\n", csv(9));
    for backend in backends() {
        let shell = Shell::on(&backend.url);
        shell.ok("migrate");
        let files = ["AAA-1m.csv", "BBB-1m.csv", "AAA-1m-2.csv", "CCC-1m.csv", "AAA-1m-3.csv"];
        for (seed, file) in (1..).zip(files) {
            shell.write(file, &csv(seed));
        }
        shell.write("BAD-1m.csv", &bad);
        let said = shell.ok("import AAA-1m.csv BBB-1m.csv CCC-1m.csv");
        let first_words: Vec<&str> =
            said.lines().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(first_words, ["AAA-1m.csv", "BBB-1m.csv", "CCC-1m.csv"], "{said}");
        // The same bars three times over, each time with other values.
        let again = "import --symbol AAA --timeframe 1m AAA-1m.csv AAA-1m-2.csv AAA-1m-3.csv";
        shell.ok(again);
        let held = shell.ok("data export --symbol AAA --timeframe 1m");
        shell.ok("import --symbol LAST --timeframe 1m AAA-1m-3.csv");
        assert!(held == shell.ok("data export --symbol LAST --timeframe 1m"), "{}", backend.name);
        // What was kept is what is told, and nothing of the bad file is kept.
        for name in ["DDD-1m.csv", "EEE-1m.csv", "FFF-1m.csv", "GGG-1m.csv"] {
            shell.write(name, &csv(4));
        }
        let line = "import DDD-1m.csv BAD-1m.csv EEE-1m.csv FFF-1m.csv GGG-1m.csv --json";
        let said = shell.run(line);
        let told: Value = serde_json::from_str(&said.stdout).expect("what was imported is told");
        let symbols = |list: &Value, of: fn(&Value) -> &str| -> Vec<String> {
            list.as_array().expect("a list").iter().map(|item| of(item).to_owned()).collect()
        };
        let symbol: fn(&Value) -> &str = |item| item["symbol"].as_str().expect("a text");
        let told = symbols(&told["files"], symbol);
        let mut kept = symbols(&shell.json("data list --json"), symbol);
        kept.retain(|symbol| !["AAA", "BBB", "CCC", "LAST"].contains(&symbol.as_str()));
        assert_eq!((said.code, &told), (Some(3), &kept), "{}", backend.name);
        assert_eq!(told.len(), 4, "a bad file keeps no other from being tried: {told:?}");
    }
}
