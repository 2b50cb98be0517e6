//! Sweeps as a whole: each variant saved exactly once whatever dies when, shards that add up, and errors before work.
//! The kernel's numbers are `sim`'s tests; here rows are compared with rows.

use std::collections::BTreeMap;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use store::Store;

use crate::backends::sql_at;
use crate::market::{self, MINUTE_US, Random};
use crate::servers::{Backend, backends};
use crate::shell::{Shell, block_on};

/// SIGKILLs of the sweep that is killed most, and how many of them between its first and its last committed block.
const KILLS: usize = 50;
const KILLS_BETWEEN: usize = 30;
/// 19 values of each of three dimensions, of which `fast < slow` leaves 171 × 19.
const GRID: [&str; 6] =
    ["--param", "fast=2..20", "--param", "slow=2..20", "--param", "fee_bps=0..18"];
/// 171 × 2 for the sweep that is killed most: a variant a block, each a transaction.
const SMALL: [&str; 6] =
    ["--param", "fast=2..20", "--param", "slow=2..20", "--param", "fee_bps=0,10"];

fn command(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backtest"));
    command.args(["--db", url]).args(args).env_remove("DATABASE_URL").stdin(Stdio::null());
    command
}

fn run(url: &str, args: &[&str]) -> Output {
    command(url, args).output().expect("the binary that was just built can be started")
}

/// Runs it and returns its stdout; it has to end well.
pub(crate) fn good(url: &str, args: &[&str]) -> String {
    let output = run(url, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    String::from_utf8(output.stdout).expect("stdout is UTF-8")
}

/// Runs it and returns its exit code and stderr; it has to end badly.
pub(crate) fn bad(url: &str, args: &[&str]) -> (i32, String) {
    let output = run(url, args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{args:?} ended well");
    (output.status.code().unwrap_or(-1), said)
}

/// Bars of a random walk, the same each time, imported as `NAME`.
pub(crate) fn import(url: &str, name: &str, minutes: usize) {
    let dir = tempfile::TempDir::new().expect("a directory");
    let file = dir.path().join(format!("{name}-1m.csv"));
    let mut text = String::from("timestamp,open,high,low,close,volume\n");
    let mut seeded = Random::new(7 + name.len() as u64);
    let mut random = |n| seeded.signed(n);
    let mut close = 100_000;
    for minute in 0..minutes {
        let open = close;
        close = (open + random(401) - 200).max(1_000);
        let (high, low) = (open.max(close) + random(50), open.min(close) - random(50));
        let cents = |v: i64| format!("{}.{:02}", v / 100, v % 100);
        let time_ms = 1_704_067_200_000_usize + minute * 60_000;
        text.push_str(&format!(
            "{time_ms},{},{},{},{},1\n",
            cents(open),
            cents(high),
            cents(low),
            cents(close)
        ));
    }
    std::fs::write(&file, text).expect("the file can be written");
    let file = file.display().to_string();
    good(url, &["import", &file, "--symbol", name, "--timeframe", "1m"]);
}

fn prepare(backend: &Backend, minutes: usize) {
    good(&backend.url, &["migrate"]);
    import(&backend.url, "RANDOM", minutes);
}

/// Every variant as the export tells it, ids apart; and that no index stands twice.
pub(crate) fn variants(url: &str, sweep: i64) -> BTreeMap<u64, String> {
    let text = good(url, &["sweep", "export", &sweep.to_string()]);
    let mut all = BTreeMap::new();
    for line in text.lines().skip(1) {
        let mut fields = line.splitn(3, ',');
        let idx = fields.next().expect("an index").parse().expect("a number");
        let _id = fields.next();
        let rest = fields.next().expect("more columns").to_owned();
        assert!(all.insert(idx, rest).is_none(), "variant {idx} stands twice");
    }
    all
}

pub(crate) fn status(url: &str, sweep: i64) -> Value {
    let text = good(url, &["sweep", "status", &sweep.to_string(), "--json"]);
    serde_json::from_str(&text).expect("JSON")
}

pub(crate) fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_else(|| panic!("{name} of {value}"))
}

/// The arguments of the sweep that most tests run, with `more` of their own.
pub(crate) fn sweep_args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    sweep_args_of(&GRID, more)
}

fn sweep_args_of<'a>(grid: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["sweep", "sma_cross", "--symbol", "RANDOM", "--timeframe", "1m"];
    args.extend(grid);
    args.extend(["-j", "1", "--warmup", "0", "--if-exists", "resume"]);
    args.extend(more);
    args
}

/// Trades and equity rows that the best variants have.
fn kept_trades(url: &str, sweep: i64) -> Vec<(u64, usize)> {
    let text = good(url, &["sweep", "top", &sweep.to_string(), "-n", "5", "--json"]);
    let top: Value = serde_json::from_str(&text).expect("JSON");
    let variants = top["variants"].as_array().expect("a list");
    let kept = variants.iter().map(|v| {
        assert_eq!(v["has_trades"], true, "{v}");
        let id = v["id"].as_i64().expect("an id").to_string();
        let trades = good(url, &["trades", &id, "--format", "csv"]);
        (v["variant_idx"].as_u64().expect("an index"), trades.lines().count())
    });
    kept.collect()
}

/// The same sweep, undisturbed, in a database of its own.
pub(crate) fn undisturbed(minutes: usize) -> Undisturbed {
    undisturbed_of(&GRID, minutes, 171 * 19)
}

/// Variants by index, and of the best how many trades they have.
type Undisturbed = (BTreeMap<u64, String>, Vec<(u64, usize)>);

fn undisturbed_of(grid: &[&str], minutes: usize, n_variants: usize) -> Undisturbed {
    let dir = tempfile::TempDir::new().expect("a directory");
    let url = format!("sqlite:{}", dir.path().join("whole.db").display());
    import(&url, "RANDOM", minutes);
    good(&url, &sweep_args_of(grid, &["--trades", "top=5"]));
    let rows = variants(&url, 1);
    assert_eq!(rows.len(), n_variants);
    (rows, kept_trades(&url, 1))
}

fn spawn(url: &str, args: &[&str]) -> Child {
    command(url, args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary that was just built can be started")
}

/// Blocks saved so far, and how many there are; before the sweep is written down, none of one.
fn blocks(url: &str) -> (i64, i64) {
    let output = run(url, &["sweep", "status", "1", "--json"]);
    serde_json::from_slice::<Value>(&output.stdout)
        .map_or((0, 1), |s| (number(&s, "blocks_done"), number(&s, "blocks")))
}

/// Blocks saved so far, and how many there are, asked without a process, so that no moment is missed.
fn saved(store: &Store) -> (i64, i64) {
    let sweep = block_on(store.sweep(1)).expect("it can be read");
    sweep.map_or((0, i64::MAX), |s| (s.n_blocks_done, s.n_blocks))
}

/// Kills a worker somewhere within the block after its second one: at another moment of its work each time.
fn kill_within_a_block(store: &Store, child: &mut Child, random: &mut Random) {
    let before = saved(store).0;
    let mut when_saved = |blocks| {
        while saved(store).0 < before + blocks {
            let ended = child.try_wait().expect("our child");
            assert!(ended.is_none(), "{ended:?} before it was killed");
        }
        Instant::now()
    };
    let first = when_saved(1);
    let second = when_saved(2);
    let hundredths = u32::try_from(random.below(100)).expect("small");
    std::thread::sleep((second - first) * hundredths / 100);
    child.kill().expect("our child");
}

/// Kills workers of one sweep again and again, then lets one finish. Every tenth dies sooner, perhaps before it has
/// read anything. The store is closed before the next one begins, so that it finds the files as the dead one left them.
fn killed_fifty_times(backend: &Backend, minutes: usize, (rows, trades): &Undisturbed) {
    prepare(backend, minutes);
    let args = sweep_args_of(&SMALL, &["--trades", "top=5", "--block", "1"]);
    let mut random = Random::new(50);
    let mut between = 0;
    for kill in 0..KILLS {
        let mut child = spawn(&backend.url, &args);
        if kill % 10 == 0 {
            std::thread::sleep(Duration::from_millis(random.below(60)));
            child.kill().expect("our child");
        }
        let store = block_on(Store::open(&backend.url)).expect("it opens");
        if kill % 10 != 0 {
            kill_within_a_block(&store, &mut child, &mut random);
        }
        child.wait().expect("our child");
        let (done, all) = saved(&store);
        block_on(store.close());
        assert!(done < all, "{}: all was done after {kill} kills", backend.name);
        between += usize::from(done > 0);
    }
    eprintln!(
        "{}: {KILLS} SIGKILLs, {between} of them between the first and the last committed block",
        backend.name
    );
    assert!(between >= KILLS_BETWEEN);
    good(&backend.url, &args);
    assert_eq!(status(&backend.url, 1)["status"], "COMPLETED");
    assert_eq!(&variants(&backend.url, 1), rows, "{}", backend.name);
    assert_eq!(&kept_trades(&backend.url, 1), trades, "{}", backend.name);
}

#[test]
fn a_sweep_killed_fifty_times_has_every_variant_once() {
    const MINUTES: usize = 3_000;
    let undisturbed = undisturbed_of(&SMALL, MINUTES, 171 * 2);
    // At once: most of the time each waits for its own server.
    std::thread::scope(|scope| {
        for backend in backends() {
            let undisturbed = &undisturbed;
            scope.spawn(move || killed_fifty_times(&backend, MINUTES, undisturbed));
        }
    });
}

/// A worker that `stop` stops once it has saved something: it saves what it has begun, says how to go on, and whoever
/// goes on ends with the rows of an undisturbed run. `state` is the sweep's meanwhile.
fn stopped(state: &str, stop: impl Fn(&Backend, &Child)) {
    const MINUTES: usize = 3_000;
    let (rows, trades) = undisturbed(MINUTES);
    for backend in backends() {
        prepare(&backend, MINUTES);
        let url = &backend.url;
        let mut child = command(url, &sweep_args(&["--trades", "top=5", "--block", "64"]))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary that was just built can be started");
        let open = |owner: &str| {
            let query = format!(
                "SELECT block FROM sweep_blocks WHERE completed_at IS NULL AND owner {owner}"
            );
            sql_at(url, &query).map(|blocks| blocks.concat())
        };
        let mut in_flight = Vec::new();
        while blocks(url).0 == 0 || in_flight.is_empty() {
            assert!(child.try_wait().expect("our child").is_none(), "it ended too soon");
            // Without a client to ask with there is nothing to see in flight.
            let Some(taken) = open("IS NOT NULL") else { break };
            in_flight = taken;
        }
        stop(&backend, &child);
        let ended = child.wait_with_output().expect("our child");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(130), "{}: {said}", backend.name);
        assert!(said.contains("sweep resume 1\n"), "{said}");
        let now = status(url, 1);
        assert_eq!(now["status"], state);
        let saved = number(&now, "completed");
        assert!(0 < saved && saved < 171 * 19, "{}: {saved} variants are saved", backend.name);
        let thousands =
            format!("stopped; {} of 3,249 variants are saved as sweep 1", grouped(saved));
        assert!(said.contains(&thousands), "{thousands}: {said}");
        if let (Some(left), Some(taken)) = (open("IS NULL"), open("IS NOT NULL")) {
            assert_eq!(taken, [""; 0], "nobody has a block any more");
            assert!(in_flight.iter().all(|block| !left.contains(block)), "{in_flight:?} was saved");
        }
        good(url, &["sweep", "resume", "1"]);
        assert_eq!(status(url, 1)["status"], "COMPLETED");
        assert_eq!(variants(url, 1), rows, "{}", backend.name);
        assert_eq!(kept_trades(url, 1), trades, "{}", backend.name);
    }
}

/// Trades that are kept of all variants take longer than the variants: a signal meanwhile ends that too, and whoever goes
/// on keeps the rest. Until then somebody works on the sweep, and that is said.
#[test]
fn a_signal_while_trades_are_kept_stops_that_too() {
    const MINUTES: usize = 3_000;
    let grid = ["--param", "fast=2..20", "--param", "slow=2..20", "--param", "fee_bps=0..2"];
    for backend in backends() {
        prepare(&backend, MINUTES);
        let url = &backend.url;
        let mut child = command(url, &sweep_args_of(&grid, &["--trades", "all"]))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary that was just built can be started");
        let store = block_on(Store::open(url)).expect("it opens");
        let with_trades = || {
            let rows = block_on(store.variants(1, 0, 10_000)).expect("it can be read");
            rows.iter().filter(|row| row.has_trades).count()
        };
        while with_trades() == 0 {
            assert!(child.try_wait().expect("our child").is_none(), "it ended too soon");
        }
        let state = block_on(store.sweep(1)).expect("it can be read").expect("it is there");
        assert_eq!((state.n_blocks_done, &*state.status), (state.n_blocks, "RUNNING"));
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
        let ended = child.wait_with_output().expect("our child");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(130), "{}: {said}", backend.name);
        assert!(said.contains("not yet all trades that are to be kept"), "{said}");
        assert!(said.contains("sweep resume 1\n"), "{said}");
        assert_eq!(status(url, 1)["status"], "STOPPED");
        let kept = with_trades();
        assert!(0 < kept && kept < 171 * 3, "{}: {kept} variants have trades", backend.name);
        good(url, &["sweep", "resume", "1", "--top", "0"]);
        assert_eq!(with_trades(), 171 * 3, "{}", backend.name);
        assert_eq!(status(url, 1)["status"], "COMPLETED");
        block_on(store.close());
    }
}

fn grouped(n: i64) -> String {
    if n < 1_000 { n.to_string() } else { format!("{},{:03}", n / 1_000, n % 1_000) }
}

#[test]
fn ctrl_c_saves_what_is_in_flight_and_says_how_to_go_on() {
    stopped("STOPPED", |_, child| {
        let id = child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().expect("kill is there");
        assert!(sent.success());
    });
}

#[test]
fn a_cancelled_sweep_stops_its_worker_until_it_is_resumed() {
    stopped("CANCELLED", |backend, _| {
        let said = good(&backend.url, &["sweep", "cancel", "1"]);
        assert_eq!(said, "sweep 1 is cancelled; its workers stop after their blocks\n");
        assert_eq!(good(&backend.url, &["sweep", "cancel", "1"]), "sweep 1 does not run\n");
    });
}

#[test]
fn four_shards_at_once_with_one_killed_add_up_to_one_process() {
    const MINUTES: usize = 3_000;
    let (rows, trades) = undisturbed(MINUTES);
    for backend in backends() {
        prepare(&backend, MINUTES);
        let shards = ["1/4", "2/4", "3/4", "4/4"];
        let mut workers: Vec<Child> = shards
            .iter()
            .map(|shard| {
                let more = ["--trades", "top=5", "--block", "64", "--shard", shard];
                spawn(&backend.url, &sweep_args(&more))
            })
            .collect();
        // The third dies as soon as there is a sweep.
        let begun = Instant::now();
        while !run(&backend.url, &["sweep", "status", "1"]).status.success() {
            assert!(begun.elapsed() < Duration::from_secs(60), "no sweep was begun");
        }
        workers[2].kill().expect("our child");
        for (nth, worker) in workers.iter_mut().enumerate() {
            let ended = worker.wait().expect("our child");
            assert_eq!(ended.success(), nth != 2, "{}: shard {}", backend.name, nth + 1);
        }
        let state = status(&backend.url, 1);
        assert!(number(&state, "blocks_done") < number(&state, "blocks"), "{state}");
        good(&backend.url, &["sweep", "resume", "1"]);
        assert_eq!(status(&backend.url, 1)["status"], "COMPLETED");
        assert_eq!(variants(&backend.url, 1), rows, "{}", backend.name);
        assert_eq!(kept_trades(&backend.url, 1), trades, "{}", backend.name);
        let list = good(&backend.url, &["sweep", "list", "--json"]);
        assert_eq!(
            serde_json::from_str::<Value>(&list).expect("JSON")[1],
            Value::Null,
            "one sweep"
        );
    }
}

/// Cuts every connection to the database from outside, again and again, while a sweep is written.
#[test]
fn a_sweep_outlives_connections_that_are_cut() {
    const MINUTES: usize = 3_000;
    let (rows, trades) = undisturbed(MINUTES);
    for backend in backends().iter().filter(|b| b.name != "sqlite") {
        prepare(backend, MINUTES);
        let mut child = spawn(&backend.url, &sweep_args(&["--trades", "top=5", "--block", "16"]));
        let mut cut = 0;
        while blocks(&backend.url).0 == 0 {
            assert!(child.try_wait().expect("our child").is_none(), "it ended too soon");
        }
        while child.try_wait().expect("our child").is_none() {
            let (done, all) = blocks(&backend.url);
            if done == all {
                break;
            }
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                       WHERE datname = current_database() AND pid <> pg_backend_pid() \
                       AND application_name = 'backtest'";
            cut += crate::servers::psql(&backend.url, sql).parse::<usize>().expect("a number");
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(child.wait().expect("our child").success(), "{}", backend.name);
        eprintln!("{}: {cut} connections cut", backend.name);
        assert!(cut > 0, "no connection was there to be cut");
        assert_eq!(variants(&backend.url, 1), rows, "{}", backend.name);
        assert_eq!(kept_trades(&backend.url, 1), trades, "{}", backend.name);
    }
}

/// A PostgreSQL server of this test alone, since it is restarted under its clients. Stopped and deleted when dropped.
pub(crate) struct OwnServer {
    home: String,
    port: u32,
}

/// A port that nothing listens on just now.
fn free_port() -> u32 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
    listener.local_addr().expect("it is bound").port().into()
}

impl OwnServer {
    /// `None`, with a line on stderr, where tests have no server.
    pub(crate) fn start() -> Option<Self> {
        let given = std::env::var("TEST_POSTGRES_URL").is_ok_and(|url| !url.is_empty());
        if !given || std::env::var("BACKTEST_SKIP_SERVERS").is_ok_and(|skip| skip == "1") {
            eprintln!("SKIPPED: no TEST_POSTGRES_URL, so no server of its own either");
            return None;
        }
        let home = Self::server(&["mktemp", "-d", "/var/tmp/backtest-restart.XXXXXX"]);
        let server = Self { home: home.trim().to_owned(), port: free_port() };
        let data = server.data();
        Self::server(&["initdb", "-D", &data, "-U", "postgres", "-A", "trust", "--no-sync"]);
        server.control("start");
        Some(server)
    }

    fn data(&self) -> String {
        format!("{}/data", self.home)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) fn control(&self, what: &str) {
        let options = format!("-p {} -h 127.0.0.1 -k ''", self.port);
        let log = format!("{}/log", self.home);
        let data = self.data();
        let mut args = vec!["pg_ctl", what, "-w", "-D", &data, "-l", &log, "-o", &options];
        if what != "start" {
            args.extend(["-m", "immediate"]);
        }
        if what == "stop" {
            args.retain(|arg| !["-l", &log, "-o", &options].contains(arg));
        }
        Self::server(&args);
    }

    /// Runs it as the user that PostgreSQL agrees to run as, and returns its stdout.
    fn server(args: &[&str]) -> String {
        let root = std::fs::metadata("/proc/self").is_ok_and(|m| {
            use std::os::unix::fs::MetadataExt as _;
            m.uid() == 0
        });
        let mut words =
            vec!["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"];
        if !root {
            words.clear();
        }
        words.extend(args);
        // The server keeps what it inherits open, so its output goes to a file or nowhere.
        let quiet = args[0] == "pg_ctl";
        let stdout = if quiet { Stdio::null() } else { Stdio::piped() };
        let child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::null())
            .current_dir("/var/tmp")
            .spawn();
        let output = child.and_then(Child::wait_with_output).expect("PostgreSQL's programs");
        assert!(output.status.success(), "{words:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.control("stop");
        if let Err(error) = std::fs::remove_dir_all(&self.home) {
            eprintln!("could not delete {}: {error}", self.home);
        }
    }
}

/// Three times the server dies at once, as in a power cut, and starts again, while a sweep is written.
#[test]
fn a_sweep_outlives_restarts_of_its_server() {
    const MINUTES: usize = 3_000;
    let Some(server) = OwnServer::start() else { return };
    let (rows, trades) = undisturbed(MINUTES);
    let url = server.url();
    good(&url, &["migrate"]);
    import(&url, "RANDOM", MINUTES);
    let mut child = spawn(&url, &sweep_args(&["--trades", "top=5", "--block", "4"]));
    for restart in 1..=3 {
        while blocks(&url).0 < restart * 100 {
            assert!(child.try_wait().expect("our child").is_none(), "it ended too soon");
        }
        server.control("restart");
        let (done, all) = blocks(&url);
        eprintln!("restart {restart}: {done} of {all} blocks were saved");
        assert!(done < all, "all was done");
    }
    assert!(child.wait().expect("our child").success());
    assert_eq!(variants(&url, 1), rows);
    assert_eq!(kept_trades(&url, 1), trades);
}

/// A quota of 0 bytes beyond what is there, by the limit of the size of a file that a process may write.
#[test]
fn a_full_disk_stops_a_sweep_and_loses_nothing() {
    const MINUTES: usize = 3_000;
    let (rows, _) = undisturbed(MINUTES);
    let backend = backends().remove(0);
    assert_eq!(backend.name, "sqlite");
    prepare(&backend, MINUTES);
    let file = backend.url.trim_start_matches("sqlite:");
    let kib = std::fs::metadata(file).expect("the database").len() / 1_024 + 600;
    let args = sweep_args(&["--block", "64", "--trades", "none"]);
    let words: Vec<String> = args.iter().map(|a| format!("'{a}'")).collect();
    let program = env!("CARGO_BIN_EXE_backtest");
    let script = format!(
        "trap '' XFSZ; ulimit -f {kib}; exec '{program}' --db '{}' {}",
        backend.url,
        words.join(" ")
    );
    let output = Command::new("bash").args(["-c", &script]).output().expect("bash");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("backtest sweep resume 1") || said.contains("disk"), "{said}");
    let state = status(&backend.url, 1);
    let done = number(&state, "blocks_done");
    assert!(done > 0 && done < number(&state, "blocks"), "{state}");
    good(&backend.url, &["sweep", "resume", "1"]);
    assert_eq!(variants(&backend.url, 1), rows);
}

#[test]
fn what_cannot_be_is_refused_before_work() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let url = format!("sqlite:{}", dir.path().join("refused.db").display());
    import(&url, "RANDOM", 500);
    let error = |more: &[&str]| {
        let mut args = vec!["sweep", "sma_cross", "--symbol", "RANDOM", "--timeframe", "1m"];
        args.extend(more);
        bad(&url, &args)
    };
    for (more, expected) in [
        (&["--param", "fast=5..100:0"][..], "never ends"),
        (&["--param", "fast=5.."], "never ends"),
        (&["--param", "fast=100..5"], "empty"),
        (&["--param", "fast="], "a value is missing"),
        (&["--param", "fats=1,2"], "`sma_cross` has no parameter `fats`"),
        (
            &["--where", "fast > slow"],
            "none of 400 combinations meets `fast < slow` and `fast > slow`",
        ),
        (&["--where", "fast > close"], "reads bars"),
        (&["--max-variants", "100"], "355 variants are more than the limit of 100"),
        (&["--param", "fee_bps=-1,5"], "fee_bps must be"),
        (&["--objective", "sharp"], "sharp"),
        (&["--keep", "total_trades"], "total_trades"),
        (&["--search", "random"], "--trials"),
        (&["--search", "sobol", "--trials", "0"], "--trials"),
        (&["--trials", "5"], "--search random"),
        (&["-j", "99999"], "--threads"),
        (&["--shard", "3/2"], "no shard"),
        (&["--block", "0"], "a block of 0"),
    ] {
        let (code, said) = error(more);
        assert!(code == 2 && said.contains(expected), "{more:?}: {code}: {said}");
    }
    let huge = ["--param", "fast=1..99999", "--param", "slow=100000..199999", "--max-variants"];
    let (code, said) = error(&[&huge[..], &["900000000000", "--search", "random"]].concat());
    assert_eq!(code, 2, "{said}");
    let list = good(&url, &["sweep", "list", "--json"]);
    assert_eq!(list.trim(), "[]", "nothing was begun");
    // 91 million variants.
    let rows = ["--param", "fast=1..200", "--param", "slow=201..5200", "--param", "fee_bps=0..90"];
    let (code, said) = error(&[&rows[..], &["--max-variants", "99999999"]].concat());
    assert!(code == 4 && said.contains("of disk"), "{code}: {said}");
}

#[test]
fn the_same_sweep_goes_on_and_another_is_another() {
    for backend in backends() {
        prepare(&backend, 500);
        let url = &backend.url;
        let args = ["sweep", "sma_cross", "--symbol", "RANDOM", "--timeframe", "1m"];
        let small = [&args[..], &["--param", "fast=5,10", "--param", "slow=20,40"]].concat();
        good(url, &small);
        good(url, &small);
        let (code, said) = bad(url, &[&small[..], &["--if-exists", "error"]].concat());
        assert!(code == 2 && said.contains("kept already, as 1"), "{said}");
        good(url, &[&small[..], &["--if-exists", "new"]].concat());
        let wider = [&args[..], &["--param", "fast=5,10,15", "--param", "slow=20,40"]].concat();
        good(url, &wider);
        // The same variants stand in three sweeps, and a run of one of them is a row of its own.
        assert_eq!(variants(url, 1), variants(url, 2));
        assert_eq!(variants(url, 3).len(), 6);
        let run =
            ["run", "sma_cross", "--symbol", "RANDOM", "--timeframe", "1m", "--set", "slow=20"];
        let single: Value =
            serde_json::from_str(&good(url, &[&run[..], &["--json"]].concat())).expect("JSON");
        let top = good(
            url,
            &[
                "sweep",
                "top",
                "1",
                "--where",
                "fast == 10 and slow == 20",
                "--objective",
                "total_return",
                "--json",
            ],
        );
        let top: Value = serde_json::from_str(&top).expect("JSON");
        let variant = &top["variants"][0];
        for metric in ["total_return", "sharpe_ratio", "max_drawdown", "final_capital"] {
            assert_eq!(variant["results"][metric], single["results"][metric], "{metric}");
        }
        let shown = good(url, &["show", &variant["id"].to_string(), "--json"]);
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(shown["identity"], single["identity"], "a variant is the run of its parameters");
        assert_eq!(shown["rules"], single["rules"]);
        let (code, said) =
            bad(url, &["sweep", "prune", "3", "--best", "2", "--objective", "sharpe_ratio"]);
        assert!(code == 2 && said.contains("nothing was deleted"), "{said}");
        assert_eq!(
            good(url, &["sweep", "prune", "3", "--best", "2", "--objective", "total_return"]),
            "kept the best 2, deleted 4\n"
        );
        assert_eq!(variants(url, 3).len(), 2);
        assert_eq!(good(url, &["sweep", "delete", "1", "3"]), "deleted with 6 variants\n");
        assert_eq!(variants(url, 2).len(), 4);
        let map = good(url, &["sweep", "heatmap", "2", "--objective", "total_return"]);
        assert!(map.contains("0 is"), "{map}");
    }
}

/// Bars before those of a sweep change nothing of it, also where it would have warmed up on them.
#[test]
fn a_sweep_goes_on_where_earlier_bars_were_imported_since() {
    let shell = Shell::embedded();
    let text = market::csv(&market::bars(4, MINUTE_US, 2 * 1_440, false), false);
    let (head, rows) = text.split_once('\n').expect("a header");
    let half = rows.match_indices('\n').nth(1_439).expect("so many lines").0 + 1;
    shell.write("early.csv", &format!("{head}\n{}", &rows[..half]));
    shell.write("late.csv", &format!("{head}\n{}", &rows[half..]));
    let import = |file: &str| shell.ok(&format!("import {file} --symbol WALK --timeframe 1m"));
    import("late.csv");
    let sweep = "sweep sma_cross --timeframe 1m --param fast=5,10 --param slow=20,40 --block 1";
    shell.ok(&format!("{sweep} --shard 1/2"));
    import("early.csv");
    shell.ok("sweep resume 1");
    assert_eq!(shell.json("sweep status 1 --json")["status"], "COMPLETED");
}

/// What judges a variant is read by itself; it must be what stands in its row, before that was rounded.
#[test]
fn every_metric_judges_by_what_the_row_holds() {
    const METRICS: [&str; 20] = [
        "total_return",
        "annual_return",
        "volatility",
        "sharpe_ratio",
        "sortino_ratio",
        "max_drawdown",
        "max_drawdown_duration",
        "calmar_ratio",
        "win_rate",
        "profit_factor",
        "total_trades",
        "winning_trades",
        "losing_trades",
        "avg_trade_return",
        "avg_win",
        "avg_loss",
        "largest_win",
        "largest_loss",
        "avg_trade_duration",
        "final_capital",
    ];
    for backend in backends() {
        prepare(&backend, 3 * 1_440);
        let url = &backend.url;
        let grid = ["--param", "fast=3,9,12", "--param", "slow=20,40,80"];
        let args = ["sweep", "sma_cross", "--symbol", "RANDOM", "--timeframe", "1m", "--keep"];
        good(url, &[&args[..], &["total_trades >= 1"], &grid].concat());
        for metric in METRICS {
            let top = good(url, &["sweep", "top", "1", "--objective", metric, "--json"]);
            let top: Value = serde_json::from_str(&top).expect("JSON");
            let variants = top["variants"].as_array().expect("a list");
            assert_eq!(variants.len(), 9, "{metric} on {}", backend.name);
            let values: Vec<f64> = variants.iter().map(|v| number_of(&v["objective"])).collect();
            assert!(values.is_sorted_by(|a, b| a >= b), "{metric}: {values:?}");
            for (variant, value) in variants.iter().zip(values) {
                let kept = number_of(&variant["results"][metric]);
                let places = if metric == "win_rate" { 2 } else { 4 };
                let off = (value - kept).abs();
                assert!(off <= 0.500_001 * 0.1_f64.powi(places), "{metric}: {value}, {kept}");
            }
        }
    }
}

fn number_of(value: &Value) -> f64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    value.as_f64().or(text).unwrap_or_else(|| panic!("{value} is no number"))
}

/// Protection and costs as dimensions, several series, samples: all are variants like others.
#[test]
fn symbols_levels_costs_and_samples_are_dimensions() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let url = format!("sqlite:{}", dir.path().join("wide.db").display());
    import(&url, "RANDOM", 1_000);
    import(&url, "OTHERS", 1_000);
    let args = [
        "sweep",
        "sma_cross",
        "--symbol",
        "RANDOM,OTHERS",
        "--timeframe",
        "1m,5m",
        "--param",
        "fast=5,10",
        "--param",
        "slow=20,40",
        "--param",
        "stop_loss=0.5,1",
        "--param",
        "slippage_bps=0,5",
        "--objective",
        "total_return",
        "--keep",
        "total_trades >= 1",
    ];
    good(&url, &args);
    assert_eq!(variants(&url, 1).len(), 4 * 16);
    let sampled = [&args[..], &["--search", "sobol", "--trials", "20", "--seed", "3"]].concat();
    good(&url, &sampled);
    let whole = variants(&url, 1);
    let some = variants(&url, 2);
    assert_eq!(some.len(), 20);
    assert!(some.iter().all(|(idx, row)| whole.get(idx) == Some(row)), "the same indices");
    let native = [
        "sweep",
        "cooldown_breakout",
        "--symbol",
        "RANDOM",
        "--timeframe",
        "1m",
        "--param",
        "channel=12,0",
    ];
    good(&url, &[&native[..], &["--param", "cooldown=0", "--param", "sl=1,2"]].concat());
    let failed = variants(&url, 3);
    assert_eq!(failed.values().filter(|row| row.contains("FAILED")).count(), 2, "a channel of 0");
}

/// A variant by size and time stop has the results of a file that says the same, and one that makes no sense says why.
#[test]
fn size_and_time_stop_are_dimensions() {
    let shell = Shell::embedded();
    shell.write("WALK-1m.csv", &market::csv(&market::bars(4, MINUTE_US, 4 * 1_440, false), false));
    shell.ok("migrate");
    shell.ok("import WALK-1m.csv");
    let grid = "--param fast=5 --param slow=20 --param size=0.25,1,1.5 --param time_stop=0,0.5,4";
    shell.ok(&format!("sweep sma_cross --timeframe 1m --warmup 0 {grid}"));
    let ready = shell.ok("strategy show sma_cross");
    let swept = shell.json("sweep top 1 -n 9 --json");
    let swept = swept["variants"].as_array().expect("variants");
    assert_eq!(swept.len(), 4, "those that make sense");
    for variant in swept {
        let value = |name: &str| variant["parameters"][name].as_f64().expect(name);
        let minutes = value("time_stop") * 60.0;
        let file =
            ready.lines().filter(|line| !line.starts_with("size =")).map(|line| match line {
                "[risk_parameters]" => {
                    let size = value("size");
                    format!("{line}\nsize = {{ equity = {size} }}\ntime_stop = \"{minutes}m\"\n")
                }
                line => format!("{line}\n"),
            });
        shell.write("same.toml", &file.collect::<String>());
        let run = "run same.toml --timeframe 1m --warmup 0 --set fast=5 --set slow=20 --json";
        let id = shell.json(run)["id"].as_i64().expect("an id");
        let alone = shell.json(&format!("show {id} --json"))["results"].clone();
        assert!(alone["total_trades"].as_u64() > Some(0), "{alone}");
        assert_eq!(variant["results"], alone, "{}", variant["parameters"]);
    }
    let failed = shell.ok("sweep export 1");
    let why = |reason: &str| failed.lines().filter(|line| line.contains(reason)).count();
    assert_eq!(why("a time stop must be above 0"), 2, "{failed}");
    assert_eq!(why("a fraction of equity is at most 1"), 3, "{failed}");
}

/// An embedded file can be copied as soon as a command has ended: what was written is in it, not in a log beside it.
#[test]
fn an_embedded_file_is_whole_when_a_command_has_ended() {
    let shell = Shell::embedded();
    shell.write("WALK-1m.csv", &market::csv(&market::bars(4, MINUTE_US, 4 * 1_440, false), false));
    let grid = "--param fast=5..40:5 --param slow=20..80:20 --trades all";
    for line in [
        "migrate",
        "import WALK-1m.csv",
        "run sma_cross --timeframe 1m",
        &format!("sweep sma_cross --timeframe 1m {grid}"),
        "sweep top 1",
        "sweep prune 1 --best 5",
        "check --record sma_cross --timeframe 1m",
        "check",
        "delete 1",
    ] {
        shell.ok(line);
        for beside in ["backtest.db-wal", "backtest.db-shm"] {
            assert!(!shell.path(beside).exists(), "{beside} after {line}");
        }
    }
}

/// What one variant's rows run into, by a rule that somebody added to the database, no other variant feels.
#[test]
fn a_variant_that_the_database_refuses_fails_alone() {
    const MINUTES: usize = 600;
    const REFUSED: [u64; 3] = [3, 70, 71];
    const SQLITE: &str = "CREATE TRIGGER no_luck BEFORE INSERT ON backtests \
        WHEN NEW.variant_idx IN (3, 70, 71) AND NEW.status = 'COMPLETED' \
        BEGIN SELECT RAISE(ABORT, 'no luck'); END";
    const SERVER: &str = "CREATE FUNCTION no_luck() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN RAISE EXCEPTION ''no luck''; END'; \
        CREATE TRIGGER no_luck BEFORE INSERT ON backtests FOR EACH ROW \
        WHEN (NEW.variant_idx IN (3, 70, 71) AND NEW.status = 'COMPLETED') EXECUTE FUNCTION no_luck()";
    const WHY: &str = "SELECT variant_idx FROM backtests WHERE status = 'FAILED' \
        AND error LIKE '%refuses its results: no luck%' ORDER BY variant_idx";
    let (rows, _) = undisturbed_of(&SMALL, MINUTES, 171 * 2);
    for backend in backends() {
        prepare(&backend, MINUTES);
        let added = if backend.name == "sqlite" { SQLITE } else { SERVER };
        if sql_at(&backend.url, added).is_none() {
            continue;
        }
        good(&backend.url, &sweep_args_of(&SMALL, &["--trades", "none", "--block", "128"]));
        let found = variants(&backend.url, 1);
        let differ: Vec<u64> = rows.keys().copied().filter(|i| found[i] != rows[i]).collect();
        assert_eq!(differ, REFUSED, "{}", backend.name);
        let status = status(&backend.url, 1);
        assert_eq!(number(&status, "failed"), 3, "{status}");
        let why = sql_at(&backend.url, WHY).expect("it was there a moment ago");
        assert_eq!(why, [["3"], ["70"], ["71"]], "{}", backend.name);
    }
}
