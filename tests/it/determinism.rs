//! L3: the same rows, whatever the threads, blocks and shards, on every backend, today and after a restart.
//! What is compared is read by plain SQL, every column but ids and clocks, so that it is what SQL users see.

use std::fmt::Write as _;

use rust_decimal::Decimal;
use serde_json::Value;
use sim::identity::digest;

use crate::backends::sql_at;
use crate::market::{self, MINUTE_US};
use crate::servers::backends;
use crate::shell::Shell;
use crate::sweeps::OwnServer;

const TABLES: [&str; 4] = ["backtests", "backtest_results", "backtest_trades", "backtest_equity"];
/// Ids, whose row it is among them, and the wall clock.
const APART: [&str; 9] = [
    "id",
    "backtest_id",
    "user_id",
    "strategy_id",
    "sweep_id",
    "created_at",
    "started_at",
    "completed_at",
    "heartbeat_at",
];
const TIMES: [&str; 5] = ["start_date", "end_date", "timestamp", "entry_time", "exit_time"];
const LISTS: [&str; 3] = ["symbols", "timeframes", "tags"];
const JSON: [&str; 3] = ["parameters", "rules", "metrics"];
/// Between two columns: what no text of ours holds.
const BETWEEN: &str = "|";

/// Columns of a table as they stand in the catalogue, by name.
fn columns(url: &str, table: &str) -> Vec<String> {
    let query = match url.starts_with("sqlite:") {
        true => format!("SELECT name FROM pragma_table_info('{table}') ORDER BY name"),
        false => format!(
            "SELECT column_name FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY 1"
        ),
    };
    let rows = sql_at(url, &query).expect("there is a client to ask with");
    rows.concat().into_iter().filter(|name| !APART.contains(&name.as_str())).collect()
}

/// A column as both dialects write it alike: times and spans as numbers, lists as JSON.
fn spelled(url: &str, column: &str) -> String {
    let of_row = format!("t.{column}");
    if url.starts_with("sqlite:") {
        return of_row;
    }
    match column {
        _ if TIMES.contains(&column) => {
            format!("CAST(extract(epoch FROM {of_row}) * 1000000 AS BIGINT)")
        }
        _ if LISTS.contains(&column) => format!("to_json({of_row})"),
        "avg_trade_duration" => format!("extract(epoch FROM {of_row})"),
        _ => of_row,
    }
}

/// A field without what two databases write differently: trailing zeros, the order of keys.
fn plain(column: &str, field: &str) -> String {
    if JSON.contains(&column) || LISTS.contains(&column) {
        let value = serde_json::from_str::<Value>(field);
        return value.map_or_else(|_| field.to_owned(), |value| value.to_string());
    }
    let is_text = ["identity", "data_fingerprint", "engine_version"].contains(&column);
    match field.parse::<Decimal>() {
        Ok(number) if !is_text => number.normalize().to_string(),
        _ => field.to_owned(),
    }
}

/// Every row of the backtests that meet `which`, a line each, and how many there are in each table.
fn rows(url: &str, which: &str) -> (String, [usize; TABLES.len()]) {
    let (mut text, mut counts) = (String::new(), [0; TABLES.len()]);
    for (nth, table) in TABLES.into_iter().enumerate() {
        let names = columns(url, table);
        assert!(names.len() > 1, "{table} has columns");
        let spelled: Vec<String> = names.iter().map(|name| spelled(url, name)).collect();
        let key = if nth == 0 { "t.id = b.id" } else { "t.backtest_id = b.id" };
        // Trades in the order in which they were saved.
        let order = ["b.id", "b.id", "b.identity, t.id", "b.identity, t.timestamp"][nth];
        let query = format!(
            "SELECT b.identity, {} FROM {table} t JOIN backtests b ON {key} WHERE {which} \
             ORDER BY b.variant_idx, {order}",
            spelled.join(", ")
        );
        for row in sql_at(url, &query).expect("there is a client to ask with") {
            let fields = names.iter().zip(&row[1..]);
            let fields: Vec<String> =
                fields.map(|(name, field)| format!("{name}={}", plain(name, field))).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{table} {} {}", row[0], fields.join(BETWEEN));
            counts[nth] += 1;
        }
    }
    (text, counts)
}

/// Asserts that two sets of rows hash alike, and shows the first line that differs where they do not.
fn assert_same(expected: &str, got: &str, what: &str) {
    if digest(expected) == digest(got) {
        return;
    }
    let lines = expected.lines().zip(got.lines()).find(|(a, b)| a != b);
    let counts = (expected.lines().count(), got.lines().count());
    panic!("{what}: rows differ ({counts:?} lines), first {lines:#?}");
}

/// A client for SQLite's files may be missing on a person's machine, never in CI.
fn has_client(url: &str) -> bool {
    let has = sql_at(url, "SELECT 1").is_some();
    assert!(has || !std::env::var("CI").is_ok_and(|ci| ci == "true"), "CI needs sqlite3");
    has
}

const BARS: usize = 4 * 1_440;
/// A sweep by the kernel, with levels and costs as dimensions, on two series; and one by the reference loop.
const SWEEPS: [&str; 2] = [
    "sma_cross --timeframe 15m,5m --param fast=3..9:2 --param slow=10..40:10 --param stop_loss=0.5,2 \
     --param fee_bps=0,7.5 --objective total_return --trades top=7",
    "cooldown_breakout --timeframe 15m --param channel=16,8,0 --param cooldown=0,3 --param sl=1,2 \
     --objective total_return --trades all",
];
/// How the work can be spread out.
const SPREADS: [&str; 4] = ["-j 1", "-j 8 --block 7", "-j 2 --block 1", "-j 3 --block 4096"];

fn prepared(url: &str) -> Shell {
    let shell = Shell::on(url);
    shell.write("WALK-1m.csv", &market::csv(&market::bars(4, MINUTE_US, BARS, true), false));
    shell.ok("migrate");
    shell.ok("import WALK-1m.csv");
    shell
}

fn sweep_rows(url: &str, id: i64) -> (String, [usize; TABLES.len()]) {
    rows(url, &format!("b.sweep_id = {id}"))
}

#[test]
fn a_sweep_has_the_same_rows_whatever_threads_blocks_and_shards_on_every_backend() {
    let mut expected: [Option<String>; SWEEPS.len()] = [None, None];
    for backend in backends() {
        if !has_client(&backend.url) {
            continue;
        }
        let shell = prepared(&backend.url);
        let mut id = 0;
        for (sweep, expected) in SWEEPS.iter().zip(&mut expected) {
            let line = |more: &str| format!("sweep {sweep} --symbol WALK --if-exists new {more}");
            let mut check = |id: i64, how: &str| {
                let (text, counts) = sweep_rows(&backend.url, id);
                assert!(counts.iter().all(|&n| n >= 8), "{counts:?}: it shows little");
                let expected = expected.get_or_insert_with(|| text.clone());
                assert_same(expected, &text, &format!("{}: {how}: {sweep}", backend.name));
            };
            for spread in SPREADS {
                id += 1;
                shell.ok(&line(spread));
                check(id, spread);
            }
            id += 1;
            shell.ok(&line("--block 3 --shard 2/3"));
            std::thread::scope(|scope| {
                for shard in ["1/3", "3/3"] {
                    let work = format!("sweep resume {id} -j 2 --shard {shard}");
                    let shell = &shell;
                    scope.spawn(move || shell.ok(&work));
                }
            });
            check(id, "three shards");
        }
    }
}

/// A block of a thousand variants goes to a server another way than a few do.
#[test]
fn a_large_block_has_the_same_rows_on_every_backend() {
    const LARGE: &str = "sweep sma_cross --symbol WALK --timeframe 1h --warmup 0 --param fast=2..41 \
                         --param slow=42..71 --trades top=60 --block 4096";
    let mut expected: Option<String> = None;
    for backend in backends() {
        if !has_client(&backend.url) {
            continue;
        }
        let shell = prepared(&backend.url);
        shell.ok(LARGE);
        let (text, counts) = sweep_rows(&backend.url, 1);
        assert_eq!(counts[..2], [1_200, 1_200], "{counts:?}");
        let expected = expected.get_or_insert_with(|| text.clone());
        assert_same(expected, &text, backend.name);
        // What comes next is numbered behind it.
        shell.ok("run sma_cross --symbol WALK --timeframe 1h --warmup 0");
    }
}

const RUN: &str = "run supertrend --symbol WALK --timeframe 15m --json";

/// A run in a new process, on bars imported anew, has the rows of the first one, on every backend.
#[test]
fn a_run_has_the_same_rows_in_another_process() {
    let mut expected: Option<String> = None;
    for backend in backends() {
        if !has_client(&backend.url) {
            continue;
        }
        for bars in ["first", "imported again"] {
            let shell = prepared(&backend.url);
            let id = shell.json(RUN)["id"].as_i64().expect("an id");
            let (text, counts) = rows(&backend.url, &format!("b.id = {id}"));
            assert!(counts[2] > 10, "{counts:?}: it shows little");
            let expected = expected.get_or_insert_with(|| text.clone());
            assert_same(expected, &text, &format!("{}: {bars}", backend.name));
            shell.ok(&format!("delete {id}"));
        }
    }
}

#[test]
fn a_run_has_the_same_rows_after_a_restart_of_its_server() {
    let Some(server) = OwnServer::start() else { return };
    let shell = prepared(&server.url());
    let id = shell.json(RUN)["id"].as_i64().expect("an id");
    let before = rows(&server.url(), &format!("b.id = {id}"));
    server.control("restart");
    let after = rows(&server.url(), &format!("b.id = {id}"));
    assert_same(&before.0, &after.0, "kept over the restart");
    let said = shell.ok(&format!("reproduce {id}"));
    assert!(said.contains("to the last digit"), "{said}");
    shell.ok(&format!("delete {id}"));
    let id = shell.json(RUN)["id"].as_i64().expect("an id");
    let again = rows(&server.url(), &format!("b.id = {id}"));
    assert_same(&before.0, &again.0, "made again after the restart");
}
