//! Import, load and save of a year of minutes by the real binary, beside the database's own bulk path on the same rows.
//! `cargo bench -p backtest --bench io`; servers by TEST_POSTGRES_URL and TEST_TIMESCALE_URL. Words behind `--` choose:
//! `sqlite`, `postgres`, `timescale`; `import`, `load`, `save`. Nothing is asserted: README.md beside this file holds what
//! it printed, and on what machine.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints, and stops where it fails"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use store::cache::{Cache, LIMIT_BYTES};
use store::progress::Silent;
use store::sweeps::Lists;
use store::{LoadAsk, Store};

const MINUTES: u32 = 525_600;
/// Each is measured so often, the ways in turn, and the best counts.
const ROUNDS: u32 = 3;
/// The columns that both ways fill.
const COLUMNS: &str = "symbol, timeframe, timestamp, open, high, low, close, volume, quote_volume, trades_count, \
                       taker_buy_volume, taker_buy_quote_volume";

fn main() {
    let dir = tempfile::tempdir().expect("the temporary directory can be written");
    let dir = dir.path();
    std::fs::write(dir.join("YEAR-1m.csv"), year()).expect("it can be written");
    let backends = ["sqlite", "postgres", "timescale"];
    if wanted("sqlite", &backends) {
        sqlite(dir);
        if measured("load") {
            load(dir);
        }
    }
    for (name, variable) in [("postgres", "TEST_POSTGRES_URL"), ("timescale", "TEST_TIMESCALE_URL")]
    {
        match std::env::var(variable) {
            _ if !wanted(name, &backends) => {}
            Ok(url) => server(dir, variable, &url),
            Err(_) => println!("NOT MEASURED: {variable} is not set"),
        }
    }
}

/// Whether the command line names `word`, or none of its `kind`.
fn wanted(word: &str, kind: &[&str]) -> bool {
    let named = |word: &str| std::env::args().skip(1).any(|arg| arg == word);
    named(word) || !kind.iter().any(|word| named(word))
}

fn measured(word: &str) -> bool {
    wanted(word, &["import", "load", "save"])
}

/// A random walk in cents from 50,000, with every column of a kline.
fn year() -> String {
    let mut state = 1_u64;
    let mut random = move |n: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut text = String::from(
        "timestamp,open,high,low,close,volume,quote_volume,trades_count,taker_buy_volume,taker_buy_quote_volume\n",
    );
    let mut close = 5_000_000_u64;
    for minute in 0..u64::from(MINUTES) {
        let open = close;
        close = (open + random(10_001)).saturating_sub(5_000).max(1_000);
        let (high, low) = (open.max(close) + random(100), open.min(close) - random(50));
        let cents = |c: u64| format!("{}.{:02}", c / 100, c % 100);
        let (volume, trades) = (random(9_000_000), random(900));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{},{},{},{},{},{}.{:05},{}.5,{trades},{}.25,{}.125",
            (1_735_689_600 + minute * 60) * 1_000,
            cents(open),
            cents(high),
            cents(low),
            cents(close),
            volume / 100_000,
            volume % 100_000,
            volume / 2,
            volume / 300_000,
            volume / 5,
        );
    }
    text
}

fn timed(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let took = begun.elapsed();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    took
}

fn backtest(dir: &Path, url: &str, line: &str) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backtest"));
    timed(command.current_dir(dir).env("DATABASE_URL", url).args(line.split(' ')))
}

fn best(times: &[Duration]) -> Duration {
    times.iter().copied().min().unwrap_or_default()
}

/// Prints `ours` beside `theirs`.
fn beside(what: &str, ours: &[Duration], name: &str, theirs: &[Duration]) {
    let rate = |times: &[Duration]| f64::from(MINUTES) / best(times).as_secs_f64();
    println!(
        "{what}: {:.0} rows/s ({:.2} s); {name}: {:.0} rows/s ({:.2} s); ratio {:.2}",
        rate(ours),
        best(ours).as_secs_f64(),
        rate(theirs),
        best(theirs).as_secs_f64(),
        rate(ours) / rate(theirs)
    );
}

fn sqlite(dir: &Path) {
    let sqlite3 = |file: &str, commands: &[&str]| {
        let mut command = Command::new("sqlite3");
        timed(command.current_dir(dir).arg("-batch").arg(file).args(commands))
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..if measured("import") { ROUNDS } else { 1 } {
        let _ = std::fs::remove_file(dir.join("ours.db"));
        ours.push(backtest(dir, "sqlite:ours.db", "import YEAR-1m.csv"));
        if round == 0 {
            // The rows as the table holds them, but for `id`: `.import` knows no NULL.
            let rows = "SELECT symbol, timeframe, timestamp, open, high, low, close, volume, quote_volume, \
                        trades_count, taker_buy_volume, taker_buy_quote_volume, created_at, 0 \
                        FROM market_data";
            sqlite3("ours.db", &[".mode csv", ".once rows.csv", rows]);
        }
        let _ = std::fs::remove_file(dir.join("theirs.db"));
        sqlite3(
            "theirs.db",
            &[concat!("\n", include_str!("../migrations/sqlite/0010_market_data.sql"))],
        );
        theirs.push(sqlite3("theirs.db", &[".import --csv rows.csv market_data"]));
    }
    beside("import into SQLite", &ours, "sqlite3 .import", &theirs);
}

fn server(dir: &Path, variable: &str, admin: &str) {
    let psql = |url: &str, sql: &str| {
        timed(Command::new("psql").current_dir(dir).args([
            "-XAtqw",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            url,
            "-c",
            sql,
        ]))
    };
    let name = format!("backtest_bench_{}", std::process::id());
    let (address, _) = admin.rsplit_once('/').expect("a server's URL has a database");
    let url = format!("{address}/{name}");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let rounds = if measured("import") { ROUNDS } else { 1 };
    for _ in 0..rounds {
        psql(admin, &format!("CREATE DATABASE {name} TEMPLATE template0"));
        if variable == "TEST_TIMESCALE_URL" {
            psql(&url, "SET client_min_messages = error; CREATE EXTENSION timescaledb");
        }
        backtest(dir, &url, "migrate");
        ours.push(backtest(dir, &url, "import YEAR-1m.csv"));
        psql(&url, &format!("\\copy (SELECT {COLUMNS} FROM market_data) TO 'rows.txt'"));
        // The very same table, emptied: its chunks and indexes are made anew.
        psql(&url, "TRUNCATE market_data");
        theirs.push(psql(&url, &format!("\\copy market_data ({COLUMNS}) FROM 'rows.txt'")));
        if theirs.len() == rounds as usize {
            psql(&url, "VACUUM ANALYZE market_data");
            if measured("load") {
                load_from_server(dir, variable, &url, &psql);
            }
            if measured("save") {
                save_to_server(dir, variable, &url, &psql);
            }
        }
        psql(admin, &format!("DROP DATABASE {name} WITH (FORCE)"));
    }
    beside(&format!("import into {variable}"), &ours, "psql \\copy", &theirs);
}

/// What the strategy reads: prices and times.
fn ask() -> LoadAsk {
    LoadAsk {
        symbol: "YEAR".to_owned(),
        timeframe: "1m".parse().expect("known"),
        from_us: None,
        to_us: None,
        warmup_bars: 0,
        columns: std::collections::BTreeSet::new(),
    }
}

/// Most memory that `load` took beyond what there was, in megabytes, and that of its columns; Linux only.
fn memory(load: &dyn Fn()) {
    let status = |name: &str| {
        let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes =
            line.and_then(|line| line.trim_end_matches("kB").trim().parse::<f64>().ok());
        kilobytes.unwrap_or_default() / 1e3
    };
    // Makes the highest mark so far that of now.
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        return;
    }
    let before = status("VmRSS:");
    load();
    let (peak, columns) = (status("VmHWM:") - before, f64::from(MINUTES) * 5.0 * 8.0 / 1e6);
    println!(
        "memory of a load: {peak:.0} MB beyond what there was; its columns: {columns:.0} MB; ratio {:.2}",
        peak / columns
    );
}

type Psql<'a> = &'a dyn Fn(&str, &str) -> Duration;

/// Loading in this process, connecting included, beside the server's COPY of the same rows into nothing.
fn load_from_server(dir: &Path, variable: &str, url: &str, psql: Psql<'_>) {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let cache = Cache::new(dir.join(variable), LIMIT_BYTES);
    let load = |cache: Option<&Cache>| {
        let begun = Instant::now();
        let loaded = runtime.block_on(async {
            let store = Store::open(url).await.expect("it opens");
            let store = match cache {
                Some(cache) => store.with_cache(cache.clone()),
                None => store,
            };
            store.load(&ask(), &Silent).await.expect("there are bars")
        });
        assert_eq!(u64::from(MINUTES), loaded.source_bars);
        begun.elapsed()
    };
    let nothing = "\\copy (SELECT timestamp, open, high, low, close FROM market_data WHERE symbol = 'YEAR' \
                   AND timeframe = '1m' ORDER BY timestamp) TO '/dev/null'";
    let (mut copies, mut plain, mut cold, mut warm) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS + 1 {
        copies.push(psql(url, nothing));
        plain.push(load(None));
        cache.clear().expect("it can be deleted");
        cold.push(load(Some(&cache)));
        warm.push(load(Some(&cache)));
    }
    memory(&|| {
        load(None);
    });
    let copy = "COPY into nothing";
    beside(&format!("load from {variable}"), &plain, copy, &copies);
    beside(&format!("load from {variable}, filling the cache"), &cold, copy, &copies);
    beside(&format!("load from {variable}, from the cache"), &warm, copy, &copies);
}

/// Trades of one save.
const TRADES: usize = 100_000;
const TRADE: &str = "symbol, side, quantity, entry_price, exit_price, entry_time, exit_time, pnl, \
                     pnl_percentage, commission, strategy_signal";

/// Saving the trades of a run, by the owner and under row level security, beside `\\copy` of the same rows.
fn save_to_server(dir: &Path, variable: &str, url: &str, psql: Psql<'_>) {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    backtest(dir, url, "run buy_and_hold --symbol YEAR --timeframe 1m --warmup 0");
    let trades = runtime.block_on(async {
        let store = Store::open(url).await.expect("it opens");
        let bars = store.load(&ask(), &Silent).await.expect("there are bars").bars;
        let definition = strategies::ready("sma_cross").expect("it is ready");
        let params = definition.params(&[]).expect("defaults");
        let mut strategy = definition.build(&params).expect("it can be built");
        let trades = sim::run(&bars, &mut *strategy, &sim::rules::Rules::default());
        // Its trades again and again, for a number that takes time.
        trades.expect("it runs").trades.into_iter().cycle().take(TRADES).collect::<Vec<_>>()
    });
    let role = format!("bench_{}", std::process::id());
    psql(url, &format!("CREATE ROLE {role} LOGIN PASSWORD 'x' IN ROLE authenticated_users"));
    psql(url, &format!("UPDATE users SET db_role = '{role}'"));
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let secured = format!("{scheme}://{role}:x@{}", rest.rsplit_once('@').expect("a user").1);
    let save = |url: &str| {
        let store = runtime.block_on(Store::open(url)).expect("it opens");
        let lists = [Lists { id: 1, symbol: "YEAR", trades: &trades, daily: &[] }];
        let begun = Instant::now();
        runtime.block_on(store.keep_trades(&lists)).expect("they are saved");
        begun.elapsed()
    };
    let (mut owner, mut user, mut theirs) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let clear = "TRUNCATE backtest_trades";
        psql(url, clear);
        owner.push(save(url));
        let columns = format!("backtest_id, {TRADE}");
        psql(
            url,
            &format!("\\copy (SELECT {columns} FROM backtest_trades ORDER BY id) TO 'trades.txt'"),
        );
        psql(url, clear);
        user.push(save(&secured));
        psql(url, clear);
        theirs.push(psql(url, &format!("\\copy backtest_trades ({columns}) FROM 'trades.txt'")));
    }
    psql(url, &format!("DROP OWNED BY {role}"));
    psql(url, &format!("DROP ROLE {role}"));
    let n = trades.len() as f64;
    for (who, times) in [("the owner", &owner), ("a user under row security", &user)] {
        let (ours, theirs) = (best(times).as_secs_f64(), best(&theirs).as_secs_f64());
        println!(
            "{n} trades into {variable} by {who}: {:.0} rows/s ({ours:.2} s); psql \\copy by the owner: \
             {:.0} rows/s ({theirs:.2} s); ratio {:.2}",
            n / ours,
            n / theirs,
            theirs / ours
        );
    }
}

/// Reading alone, in this process, beside the whole process of a run.
fn load(dir: &Path) {
    let url = format!("sqlite:{}", dir.join("ours.db").display());
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let (mut reads, mut hours, mut minutes) = (Vec::new(), Vec::new(), Vec::new());
    let load = || {
        let begun = Instant::now();
        let loaded = runtime.block_on(async {
            let store = Store::open(&url).await.expect("it opens");
            store.load(&ask(), &Silent).await.expect("there are bars")
        });
        assert_eq!(u64::from(MINUTES), loaded.source_bars);
        begun.elapsed()
    };
    memory(&|| {
        load();
    });
    for round in 0..ROUNDS + 1 {
        let read = load();
        // Another capital each time, so that every run is a new one.
        let run = |timeframe: &str, capital: u32| {
            let line =
                format!("run sma_cross --symbol YEAR --timeframe {timeframe} --capital {capital}");
            backtest(dir, &url, &line)
        };
        let (hour, minute) = (run("1h", 1_000 + round), run("1m", 2_000 + round));
        // The first round warms the file.
        if round > 0 {
            reads.push(read);
            hours.push(hour);
            minutes.push(minute);
        }
    }
    beside(
        "whole run of sma_cross at 1h from a warm SQLite file",
        &hours,
        "reading the rows alone",
        &reads,
    );
    beside(
        "whole run of sma_cross at 1m from a warm SQLite file",
        &minutes,
        "reading the rows alone",
        &reads,
    );
}
