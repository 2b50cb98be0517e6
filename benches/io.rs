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
use store::sweeps::{BlockRows, IfExists, Lists, NewBlock, NewSweep, NewVariant, Owner};
use store::{LoadAsk, Store, StrategyRow, Took};

const MINUTES: u32 = 525_600;
/// Each is measured so often, the ways in turn, and the best counts.
const ROUNDS: u32 = 3;
/// The columns that both ways fill.
const COLUMNS: &str = "symbol, timeframe, timestamp, open, high, low, close, volume, quote_volume, trades_count, \
                       taker_buy_volume, taker_buy_quote_volume";

fn main() {
    if let Ok(url) = std::env::var(MEMORY_OF) {
        return memory_of(&url);
    }
    if let Ok(url) = std::env::var(ONE_LOAD_OF) {
        return println!("{}", load_once(&url, None).0.as_secs_f64());
    }
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

/// Set in the process that [`by_one_connection`] starts: the database that it loads from.
const ONE_LOAD_OF: &str = "BENCH_ONE_LOAD_OF";

/// How long a load takes by one connection: by a process that may run on one core only.
fn by_one_connection(url: &str) -> Duration {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(std::env::current_exe().expect("this is it"));
    let output = command.env(ONE_LOAD_OF, url).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).trim().parse();
    Duration::from_secs_f64(said.expect("seconds"))
}

/// Set in the process that [`memory`] starts: the database that it loads from.
const MEMORY_OF: &str = "BENCH_MEMORY_OF";

/// Most memory that a load of the year takes, by a process of its own.
fn memory(url: &str) {
    let program = std::env::current_exe().expect("this is it");
    for columns in ["prices", "prices and volume"] {
        let mut command = Command::new(&program);
        let output = command.env(MEMORY_OF, url).arg(columns).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Loads a day, so that the program's own pages and its connections are there, then the year, and prints how far the
/// process grew at most; Linux only. Columns are counted with 8 bytes a value.
fn memory_of(url: &str) {
    let status = |name: &str| {
        let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes =
            line.and_then(|line| line.trim_end_matches("kB").trim().parse::<f64>().ok());
        kilobytes.unwrap_or_default() / 1e3
    };
    let what = std::env::args().nth(1).unwrap_or_default();
    let mut year = ask();
    if what.ends_with("volume") {
        year.columns.insert(sim::bars::Column::Volume);
    }
    let day = LoadAsk { to_us: Some((1_735_689_600 + 86_400) * 1_000_000), ..year.clone() };
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let store = runtime.block_on(Store::open(url)).expect("it opens");
    let load = |ask| runtime.block_on(store.load(ask, &Silent)).expect("there are bars");
    drop(load(&day));
    // Makes the highest mark so far that of now.
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        return;
    }
    let before = status("VmRSS:");
    let loaded = load(&year);
    let (peak, after) = (status("VmHWM:") - before, status("VmRSS:") - before);
    let columns = loaded.source_bars as f64 * (5 + year.columns.len()) as f64 * 8.0 / 1e6;
    println!(
        "memory of a load of {what}: {peak:.1} MB at most, {after:.1} MB when it is done, beyond {before:.0} MB before; \
         its columns: {columns:.1} MB; ratio {:.2}",
        peak / columns
    );
}

type Psql<'a> = &'a dyn Fn(&str, &str) -> Duration;

/// How long a load takes, connecting included, and its parts.
fn load_once(url: &str, cache: Option<&Cache>) -> (Duration, Took) {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
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
    (begun.elapsed(), loaded.took)
}

/// Loading in this process beside the server's COPY of the same rows into nothing.
fn load_from_server(dir: &Path, variable: &str, url: &str, psql: Psql<'_>) {
    let cache = Cache::new(dir.join(variable), LIMIT_BYTES);
    let nothing = "\\copy (SELECT timestamp, open, high, low, close FROM market_data WHERE symbol = 'YEAR' \
                   AND timeframe = '1m' ORDER BY timestamp) TO '/dev/null'";
    let (mut copies, mut plain, mut one, mut cold, mut warm) =
        (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS + 1 {
        copies.push(psql(url, nothing));
        plain.push(load_once(url, None).0);
        one.push(by_one_connection(url));
        cache.clear().expect("it can be deleted");
        cold.push(load_once(url, Some(&cache)).0);
        warm.push(load_once(url, Some(&cache)));
    }
    memory(url);
    let copy = "COPY into nothing";
    beside(&format!("load from {variable}"), &plain, copy, &copies);
    beside(&format!("load from {variable} by one connection"), &one, copy, &copies);
    beside(&format!("load from {variable}, filling the cache"), &cold, copy, &copies);
    let (warm, took): (Vec<Duration>, Vec<Took>) = warm.into_iter().unzip();
    beside(&format!("load from {variable}, from the cache"), &warm, copy, &copies);
    let ms = |part: &dyn Fn(&Took) -> Duration| {
        best(&took.iter().map(part).collect::<Vec<_>>()).as_secs_f64() * 1e3
    };
    println!(
        "its parts, each at its best: choosing {:.0} ms, reading {:.0} ms (asking {:.0} ms and kept months {:.1} ms, \
         over all connections), checking {:.0} ms",
        ms(&|t| t.choosing),
        ms(&|t| t.reading),
        ms(&|t| t.asking),
        ms(&|t| t.kept),
        ms(&|t| t.finishing)
    );
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
    variants_to_server(variable, url, &secured, dir, psql);
    psql(url, &format!("DROP OWNED BY {role}"));
    psql(url, &format!("DROP ROLE {role}"));
    let what = format!("trades into {variable}");
    rates(&what, trades.len() as f64, &owner, &user, &theirs);
}

/// Prints how both kinds of role save `n` rows, beside `\\copy` by the owner.
fn rates(what: &str, n: f64, owner: &[Duration], user: &[Duration], theirs: &[Duration]) {
    for (who, times) in [("the owner", owner), ("a user under row security", user)] {
        let (ours, theirs) = (best(times).as_secs_f64(), best(theirs).as_secs_f64());
        println!(
            "{n} {what} by {who}: {:.0} rows/s ({ours:.2} s); psql \\copy by the owner: \
             {:.0} rows/s ({theirs:.2} s); ratio {:.2}",
            n / ours,
            n / theirs,
            theirs / ours
        );
    }
}

/// Variants of one save, and the columns of their two tables that a sweep fills.
const VARIANTS: usize = 20_000;
const BACKTESTS: &str = "id, variant_idx, initial_capital, parameters, status, identity, sweep_id, user_id, strategy_id, \
                         name, start_date, end_date, symbols, timeframes, data_fingerprint, engine_version, progress, \
                         created_at, started_at, completed_at";
const RESULTS: &str = "backtest_id, total_return, annual_return, volatility, sharpe_ratio, sortino_ratio, max_drawdown, \
                       calmar_ratio, win_rate, profit_factor, avg_trade_return, avg_win, avg_loss, largest_win, \
                       largest_loss, max_drawdown_duration, total_trades, winning_trades, losing_trades, \
                       avg_trade_duration, final_capital, metrics";

/// The rows of a block that a sweep of `store` has just begun with: one run's results again and again.
async fn block(store: &Store) -> BlockRows {
    let bars = store.load(&ask(), &Silent).await.expect("there are bars").bars;
    let definition = strategies::ready("sma_cross").expect("it is ready");
    let params = definition.params(&[]).expect("defaults");
    let mut strategy = definition.build(&params).expect("it can be built");
    let run = sim::run(&bars, &mut *strategy, &sim::rules::Rules::default()).expect("it runs");
    let (name, user_id) = (definition.name.clone(), 1);
    let all = [NewBlock { first_idx: 0, end_idx: VARIANTS as u64, n_variants: VARIANTS }];
    let sweep = NewSweep {
        user: "bench",
        strategy: StrategyRow {
            name: name.clone(),
            description: None,
            strategy_type: definition.strategy_type.clone(),
            parameters: definition.json().clone(),
            risk_parameters: serde_json::json!({}),
            symbols: vec![],
            timeframes: vec![],
        },
        name: name.clone(),
        definition: serde_json::json!({}),
        identity: "bench".to_owned(),
        engine_version: sim::VERSION.to_owned(),
        blocks: &all,
    };
    let begun = store.begin_sweep(&sweep, IfExists::New).await.expect("it begins");
    // As many numbers as the results of a run have.
    let metrics: serde_json::Value =
        (0..30).map(|i| (format!("metric_{i}"), f64::from(i) / 7.0)).collect();
    let variant = |idx: u64| NewVariant {
        idx,
        parameters: serde_json::json!({ "fast": idx % 100, "slow": idx }).to_string(),
        identity: format!("{idx:064x}"),
        capital: 10_000.into(),
        outcome: Ok((Box::new(run.metrics.clone()), metrics.to_string())),
    };
    BlockRows {
        sweep: begun.id,
        block: 0,
        user_id,
        strategy_id: None,
        name,
        symbol: "YEAR".to_owned(),
        timeframe: "1m".to_owned(),
        start_us: bars.time_us()[0],
        end_us: bars.end_us(bars.len() - 1),
        fingerprint: "bench".to_owned(),
        engine_version: sim::VERSION.to_owned(),
        variants: (0..VARIANTS as u64).map(variant).collect(),
    }
}

/// Saving the variants of a block with their results, by the owner and by a user under row level security, beside two
/// `\\copy` of the same rows by the owner.
fn variants_to_server(variable: &str, url: &str, secured: &str, dir: &Path, psql: Psql<'_>) {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    psql(url, "UPDATE users SET username = 'bench' WHERE id = 1");
    let save = |url: &str| {
        runtime.block_on(async {
            let store = Store::open(url).await.expect("it opens");
            let rows = block(&store).await;
            let begun = Instant::now();
            store.save_block(&rows, &Owner::me()).await.expect("it is saved");
            begun.elapsed()
        })
    };
    let copy = |from: bool, table: &str, columns: &str| {
        let (what, way) = if from {
            (format!("{table} ({columns})"), "FROM")
        } else {
            (format!("(SELECT {columns} FROM {table} ORDER BY id)"), "TO")
        };
        psql(url, &format!("\\copy {what} {way} '{}'", dir.join(table).display()))
    };
    let (mut owner, mut user, mut theirs) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let clear = "DELETE FROM backtests; TRUNCATE backtest_results";
        psql(url, clear);
        owner.push(save(url));
        copy(false, "backtests", BACKTESTS);
        copy(false, "backtest_results", RESULTS);
        psql(url, clear);
        user.push(save(secured));
        psql(url, clear);
        theirs.push(copy(true, "backtests", BACKTESTS) + copy(true, "backtest_results", RESULTS));
    }
    let what = format!("variants with results into {variable}");
    rates(&what, VARIANTS as f64, &owner, &user, &theirs);
}

/// Reading in this process, beside the whole process of a run, and beside the sqlite3 program that reads the same.
fn load(dir: &Path) {
    let url = format!("sqlite:{}", dir.join("ours.db").display());
    let (mut reads, mut hours, mut minutes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut written, mut looked_at) = (Vec::new(), Vec::new());
    memory(&url);
    let theirs = |columns: &str| {
        let sql = format!(
            "SELECT {columns} FROM market_data WHERE symbol = 'YEAR' AND timeframe = '1m' \
             ORDER BY timestamp"
        );
        let mut command = Command::new("sqlite3");
        timed(command.current_dir(dir).args(["-batch", "ours.db", ".once /dev/null", &sql]))
    };
    for round in 0..ROUNDS + 1 {
        let read = load_once(&url, None).0;
        let text = theirs("timestamp, open, high, low, close");
        let most = theirs("count(timestamp), max(open), max(high), max(low), max(close)");
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
            written.push(text);
            looked_at.push(most);
            hours.push(hour);
            minutes.push(minute);
        }
    }
    let load = "load from a warm SQLite file";
    beside(load, &reads, "sqlite3 writes the same rows to /dev/null", &written);
    beside(load, &reads, "sqlite3 looks for the greatest of each column", &looked_at);
    beside("whole run of sma_cross at 1h", &hours, load, &reads);
    beside("whole run of sma_cross at 1m", &minutes, load, &reads);
}
