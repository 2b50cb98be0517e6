//! SIGKILL at seeded moments of an import and of a run: nothing torn is found, and a second try ends as if nothing had been.
//! Ctrl-C at some moment of what has something to take back. Moments are found by watching the database; no test may depend on how fast the machine is.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use store::{ListFilter, RunRow, Store};

use crate::market::{self, MINUTE_US, Random};
use crate::servers::{Backend, backends, psql};
use crate::shell::{Shell, block_on};

/// Kills a backend, of an import and again of a run: 32 of each with both servers.
fn rounds(backend: &Backend) -> u32 {
    if backend.name == "sqlite" { 16 } else { 8 }
}

const N_BARS: usize = 20_000;
/// Bars that are there before, with other values.
const N_OLD: usize = 500;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of the processes that were killed.
#[derive(Debug, Default)]
struct Tally {
    /// Killed alive, and the old state stood afterwards.
    before: u32,
    /// Killed alive, but what they did was committed.
    after: u32,
    /// Ended before the kill came.
    late: u32,
}

impl Tally {
    fn add(&mut self, killed: bool, committed: bool) {
        match (killed, committed) {
            (true, false) => self.before += 1,
            (true, true) => self.after += 1,
            (false, _) => self.late += 1,
        }
    }

    /// Prints, and fails where too few kills hit to show anything.
    fn check(&self, what: &str, backend: &Backend) {
        eprintln!("{what} on {}: {self:?}", backend.name);
        assert!(
            self.before * 2 >= rounds(backend),
            "too few kills hit {what} in the middle: {self:?}"
        );
    }
}

/// Kills, and tells whether there was still something to kill.
fn kill(mut child: Child) -> bool {
    child.kill().expect("it can be killed");
    let status = child.wait().expect("it ends");
    if status.signal() == Some(9) {
        return true;
    }
    assert_eq!(status.code(), Some(0), "it failed before it was killed");
    false
}

fn start(shell: &Shell, line: &str) -> Child {
    let mut command = shell.command(line.split_whitespace());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what} took more than {PATIENCE:?}");
        sleep(Duration::from_micros(200));
    }
}

/// Waits until the server has noticed that its clients are gone.
fn settle(backend: &Backend) {
    if backend.name == "sqlite" {
        return;
    }
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND application_name = 'backtest' AND NOT query LIKE '%kept by the test%'";
    wait_until("the killed session", || psql(&backend.url, left) == "0");
}

// ---- Import ----

/// A moment of an import: `at` of the way through the time that it takes, or a phase of the database's own work.
fn import_moment(
    backend: &Backend,
    shell: &Shell,
    random: &mut Random,
    whole: Duration,
    line: &str,
) -> Child {
    let at = |random: &mut Random, of: Duration| {
        of * u32::try_from(random.below(90) + 5).expect("small") / 100
    };
    if backend.name == "sqlite" {
        let child = start(shell, line);
        if random.below(4) == 0 {
            // The commit writes the log.
            let log = shell.path("backtest.db-wal");
            let size = || log.metadata().map_or(0, |m| m.len());
            let (begun, begin_size) = (Instant::now(), size());
            while size() <= begin_size && begun.elapsed() < whole * 3 {}
        } else {
            sleep(at(random, whole));
        }
        return child;
    }
    let phase = ["COPY staged_bars", "INSERT INTO market_data", "SELECT count"]
        [usize::try_from(random.below(3)).expect("small")];
    let watch = format!(
        "DO $$ BEGIN FOR i IN 1..10000 LOOP PERFORM pg_stat_clear_snapshot(); \
         EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'backtest' AND query LIKE '%{phase}%'); \
         PERFORM pg_sleep(0.0005); END LOOP; PERFORM pg_sleep({}); END $$",
        random.below(30) as f64 / 1_000.0
    );
    let mut watcher = Command::new("psql");
    let mut watcher =
        watcher.args(["-XAtqw", "-d", &backend.url, "-c", &watch]).spawn().expect("psql starts");
    let child = start(shell, line);
    watcher.wait().expect("it ends");
    child
}

#[test]
fn a_killed_import_leaves_the_old_state_or_the_new_one() {
    let old = market::csv(&market::bars(1, MINUTE_US, N_OLD, false), false);
    let new = market::csv(&market::bars(2, MINUTE_US, N_BARS, false), false);
    for backend in backends() {
        let shell =
            if backend.name == "sqlite" { Shell::embedded() } else { Shell::on(&backend.url) };
        shell.write("old.csv", &old);
        shell.write("new.csv", &new);
        shell.ok("migrate");
        let bars =
            |symbol: &str| shell.ok(&format!("data export --symbol {symbol} --timeframe 1m"));
        let import = |file: &str, symbol: &str| {
            shell.ok(&format!("import {file} --symbol {symbol} --timeframe 1m"))
        };
        import("old.csv", "CALM");
        let old_bars = bars("CALM");
        let begun = Instant::now();
        import("new.csv", "CALM");
        let whole = begun.elapsed();
        let new_bars = bars("CALM");
        assert_eq!((old_bars.lines().count(), new_bars.lines().count()), (N_OLD + 1, N_BARS + 1));
        let mut random = Random::new(31);
        let mut tally = Tally::default();
        for round in 0..rounds(&backend) {
            let symbol = format!("R{round}");
            import("old.csv", &symbol);
            let line = format!("import new.csv --symbol {symbol} --timeframe 1m");
            let killed = kill(import_moment(&backend, &shell, &mut random, whole, &line));
            settle(&backend);
            let found = bars(&symbol);
            let committed = found == new_bars;
            assert!(
                committed || found == old_bars,
                "{} holds a torn file, round {round}",
                backend.name
            );
            assert!(committed || killed, "it ended well and kept nothing");
            tally.add(killed, committed);
            import("new.csv", &symbol);
            assert!(bars(&symbol) == new_bars, "the second try differs, round {round}");
        }
        tally.check("import", &backend);
    }
}

// ---- Run ----

/// Trades at nearly every bar, so that there is much to save.
const FLIP: &str = "name = \"flip\"\nstrategy_type = \"test\"\nsymbols = [\"CALM\"]\ntimeframes = [\"1m\"]\n\
                    [rules]\nlong_entry = \"close > open\"\nlong_exit = \"close < open\"\n\
                    [risk_parameters]\nsize = { quote = 1 }\n";

/// Runs of `user`.
async fn rows(store: &Store, user: &str) -> Vec<RunRow> {
    let filter = ListFilter { user: Some(user.to_owned()), ..ListFilter::default() };
    store.list(&filter).await.expect("it can be listed")
}

/// Everything kept of a run, as text, but for what tells when and whose it was. Panics where it is torn.
async fn kept(store: &Store, id: i64) -> (bool, String) {
    let mut shown = store.show(id).await.expect("it can be shown").expect("it is there");
    let mut trades = store.trades(id).await.expect("it can be read");
    let equity = store.equity(id).await.expect("it can be read");
    trades.iter_mut().for_each(|trade| trade.id = 0);
    let completed = shown.row.status == "COMPLETED";
    if !completed {
        assert_eq!(shown.row.status, "RUNNING");
        assert_eq!(shown.row.results, None, "results without COMPLETED");
        assert_eq!((trades.len(), equity.len()), (0, 0), "trades and equity without COMPLETED");
        return (false, String::new());
    }
    assert!(
        shown.row.results.is_some() && !trades.is_empty() && !equity.is_empty(),
        "COMPLETED without results"
    );
    (shown.row.id, shown.row.created_us, shown.user) = (0, None, None);
    (shown.started_us, shown.completed_us, shown.heartbeat_us) = (None, None, None);
    (true, format!("{shown:?}\n{trades:?}\n{equity:?}"))
}

/// Waits until `user`'s run is RUNNING; false if it ended before that was seen.
fn running(store: &Store, user: &str, child: &mut Child) -> bool {
    let mut seen = false;
    wait_until("a run to begin", || {
        seen = block_on(rows(store, user)).iter().any(|row| row.status == "RUNNING");
        seen || child.try_wait().expect("it can be asked").is_some()
    });
    seen
}

/// One undisturbed run as `calm`: how long it was RUNNING, and what is kept of it.
fn calm(shell: &Shell, store: &Store, line: &str) -> (Duration, String) {
    let mut child = start(shell, &format!("{line} --user calm"));
    running(store, "calm", &mut child);
    let begun = Instant::now();
    assert!(child.wait().expect("it ends").success());
    let whole = begun.elapsed();
    let row = block_on(rows(store, "calm")).remove(0);
    (whole, block_on(kept(store, row.id)).1)
}

#[test]
fn a_killed_run_is_kept_whole_or_not_at_all() {
    let bars = market::csv(&market::bars(2, MINUTE_US, N_BARS, false), false);
    for backend in backends() {
        let shell =
            if backend.name == "sqlite" { Shell::embedded() } else { Shell::on(&backend.url) };
        shell.write("CALM-1m.csv", &bars);
        shell.write("flip.toml", FLIP);
        shell.ok("migrate");
        shell.ok("import CALM-1m.csv");
        let url = if backend.name == "sqlite" {
            format!("sqlite:{}", shell.path("backtest.db").display())
        } else {
            format!("{}?application_name=kept%20by%20the%20test", backend.url)
        };
        let store = block_on(Store::open(&url)).expect("it opens");
        let mut random = Random::new(57);
        let mut tally = Tally::default();
        for round in 0..rounds(&backend) {
            // Another capital is another run; the same run as another user is its undisturbed twin.
            let line = format!("run ./flip.toml --capital {}", 10_000 + round);
            let (whole, expected) = calm(&shell, &store, &line);
            let user = format!("user{round}");
            let line = format!("{line} --user {user}");
            let mut child = start(&shell, &line);
            if running(&store, &user, &mut child) {
                sleep(whole * u32::try_from(random.below(95)).expect("small") / 100);
            }
            let killed = kill(child);
            settle(&backend);
            let found = block_on(rows(&store, &user));
            assert_eq!(found.len(), 1, "one row a run");
            let (committed, text) = block_on(kept(&store, found[0].id));
            assert!(killed || committed, "it ended well and kept nothing");
            assert!(!committed || text == expected, "it kept something else, round {round}");
            tally.add(killed, committed);
            shell.ok(&line);
            let again = block_on(rows(&store, &user));
            assert_eq!((again.len(), again[0].id), (1, found[0].id), "a second row for one run");
            assert!(
                block_on(kept(&store, again[0].id)).1 == expected,
                "the second try differs, round {round}"
            );
        }
        nothing_torn(&backend);
        tally.check("run", &backend);
    }
}

/// The same in plain SQL, over all runs at once.
fn nothing_torn(backend: &Backend) {
    if backend.name == "sqlite" {
        return;
    }
    for (what, sql) in [
        (
            "not COMPLETED",
            "SELECT count(*) FROM backtests WHERE status <> 'COMPLETED' OR progress <> 100",
        ),
        (
            "without results",
            "SELECT count(*) FROM backtests b WHERE NOT EXISTS (SELECT FROM backtest_results WHERE backtest_id = b.id)",
        ),
        (
            "of no run",
            "SELECT count(*) FROM backtest_trades t WHERE NOT EXISTS (SELECT FROM backtests WHERE id = t.backtest_id)",
        ),
        (
            "unlike its results",
            "SELECT count(*) FROM backtest_results r WHERE total_trades <> (SELECT count(*) FROM backtest_trades t WHERE t.backtest_id = r.backtest_id AND exit_time IS NOT NULL)",
        ),
    ] {
        assert_eq!(psql(&backend.url, sql), "0", "{what}");
    }
}

// ---- Ctrl-C ----

/// Starts what `line` says, again and again, until Ctrl-C reaches it while `is_on`; what it said then.
fn interrupted(shell: &Shell, line: &dyn Fn(u32) -> String, is_on: &dyn Fn() -> bool) -> String {
    for attempt in 0..50 {
        let line = line(attempt);
        let mut command = shell.command(line.split_whitespace());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary that was just built starts");
        let mut seen = false;
        wait_until("the command to begin", || {
            seen = is_on();
            seen || child.try_wait().expect("our child").is_some()
        });
        if seen {
            let id = child.id().to_string();
            Command::new("kill").args(["-INT", &id]).status().expect("kill is there");
        }
        let ended = child.wait_with_output().expect("our child");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        match ended.status.code() {
            Some(130) => return said,
            Some(0) => {}
            code => panic!("`{line}` ended by {code:?}: {said}"),
        }
    }
    panic!("it was never interrupted");
}

#[test]
fn what_ctrl_c_interrupts_leaves_nothing_half_done() {
    const NOTHING: &str = "error: interrupted; nothing half-done is kept\n";
    let shell = Shell::embedded();
    let bars = market::csv(&market::bars(2, MINUTE_US, 3 * N_BARS, false), false);
    let (head, lines) = bars.split_once('\n').expect("a header");
    shell.write("CALM-1m.csv", &format!("{head}\n1704067200000,1,1,1,1,-1,,,,\n{lines}"));
    shell.write("flip.toml", FLIP);
    let unfinished = || {
        let files = std::fs::read_dir(shell.path(".")).expect("the folder");
        let names = files.map(|file| file.expect("a file").file_name());
        names.into_iter().any(|name| name.to_string_lossy().ends_with(".part"))
    };
    let import = "import CALM-1m.csv --bad-rows skip";
    assert!(interrupted(&shell, &|_| import.to_owned(), &unfinished).ends_with(NOTHING));
    assert!(!unfinished(), "after an import");
    shell.ok(import);

    let url = format!("sqlite:{}", shell.path("backtest.db").display());
    let store = block_on(Store::open(&url)).expect("it opens");
    let of_status = |status| {
        let rows = block_on(rows(&store, "local"));
        rows.iter().filter(|row| row.status == status).count()
    };
    // Another capital is another run.
    let run = |attempt| format!("run ./flip.toml --capital {}", 10_000 + attempt);
    assert!(interrupted(&shell, &run, &|| of_status("RUNNING") > 0).ends_with(NOTHING));
    assert_eq!((of_status("RUNNING"), of_status("FAILED")), (0, 1));

    shell.ok("sweep sma_cross --timeframe 1m --param fast=2..40 --param slow=41..60 --trades none");
    let export = |_| "sweep export 1 -o all.parquet".to_owned();
    assert!(interrupted(&shell, &export, &unfinished).ends_with(NOTHING));
    assert!(!unfinished(), "after an export");
    block_on(store.close());
}
