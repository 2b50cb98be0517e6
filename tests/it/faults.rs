//! Servers that are not there, refuse, go away halfway or do nothing: a sentence with a hint, nothing half-written, and
//! an end in any case. TLS and passwords stand in `secrets`; sweeps that go on after a fault in `sweeps`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::{Home, as_server, done};
use crate::servers::{Backend, backends, psql};
use crate::shell::Shell;

/// No command that meets a fault takes longer than this.
const END: Duration = Duration::from_secs(60);

/// Runs `backtest` with `url` and expects it to fail with the database's exit code, saying all of `says` and a hint.
fn fails(shell: &Shell, url: &str, line: &str, says: &[&str]) {
    let begun = Instant::now();
    is_told(line, &run(shell, url, line), says);
    assert!(begun.elapsed() < END, "`{line}` took {:?}", begun.elapsed());
}

fn is_told(line: &str, output: &Output, says: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "`{line}`: {text}");
    for part in says.iter().chain(&["error: ", "\nhint: "]) {
        assert!(text.contains(part), "`{line}` does not say `{part}`:\n{text}");
    }
    assert!(!text.contains(" at line "), "a line of the server's own source: {text}");
}

fn run(shell: &Shell, url: &str, line: &str) -> Output {
    let mut command = shell.command(line.split(' '));
    command.env("DATABASE_URL", url).env("BACKTEST_NO_CACHE", "1");
    command.output().expect("the binary that was just built starts")
}

fn good(shell: &Shell, url: &str, line: &str) {
    let output = run(shell, url, line);
    assert!(output.status.success(), "`{line}`: {}", String::from_utf8_lossy(&output.stderr));
}

/// Every server, with tables, and a folder with a file of `minutes` bars.
fn servers(minutes: i64) -> Vec<(Backend, Shell)> {
    let found = backends().into_iter().filter(|backend| backend.name != "sqlite");
    let ready = |backend: Backend| {
        let shell = Shell::on(&backend.url);
        shell.ok("migrate");
        self::minutes(&shell, minutes);
        (backend, shell)
    };
    found.map(ready).collect()
}

/// A file of so many bars.
fn minutes(shell: &Shell, n: i64) {
    let line = |i: i64| {
        format!("{},100.5,101.25,99.75,100.{:02},5.5\n", 1_735_689_600 + i * 60, i % 90 + 10)
    };
    let rows: String = (0..n).map(line).collect();
    shell.write("X-1m.csv", &format!("time,open,high,low,close,volume\n{rows}"));
}

fn bars(url: &str) -> i64 {
    psql(url, "SELECT count(*) FROM market_data").parse().expect("a count")
}

/// `url` with another user, another address.
fn with(url: &str, user: Option<&str>, address: Option<&str>) -> String {
    let (_, rest) = url.split_once("://").expect("a URL");
    let (authority, database) = rest.split_once('/').expect("a URL with a database");
    let (old_user, old_address) = authority.rsplit_once('@').expect("a URL with a user");
    let (user, address) = (user.unwrap_or(old_user), address.unwrap_or(old_address));
    format!("postgres://{user}@{address}/{database}")
}

#[test]
fn a_server_that_is_not_there_is_said() {
    let shell = Shell::embedded();
    fails(&shell, "postgres://me@no-such-host.invalid/x", "list", &["host"]);
    // A port that was free a moment ago.
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.local_addr().expect("bound").port()
    };
    let url = format!("postgres://me@127.0.0.1:{port}/x");
    fails(&shell, &url, "list", &["nothing listens there", "start the server"]);
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("bound").port();
    // Takes connections, by the kernel, and never reads one.
    let url = format!("postgres://me@127.0.0.1:{port}/x");
    fails(&Shell::embedded(), &url, "list", &["no answer within 10 s"]);
    drop(listener);
}

/// What becomes of a connection by a [`proxy`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Cut,
    /// It stays, and nothing comes through any more.
    Silence,
}

/// A way to `to` with a fault once `bytes` have come from the server, or gone to it; then it lets everything pass.
fn proxy(to: &str, bytes: i64, from_server: bool, fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("bound").to_string();
    let (to, left) = (to.to_owned(), Arc::new(AtomicI64::new(bytes)));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            let Ok(server) = TcpStream::connect(&to) else { return };
            for (mut reader, mut writer, counts) in [
                (client.try_clone(), server.try_clone(), !from_server),
                (server.try_clone(), client.try_clone(), from_server),
            ]
            .map(|(a, b, counts)| (a.expect("open"), b.expect("open"), counts))
            {
                let left = left.clone();
                std::thread::spawn(move || {
                    let mut buffer = [0; 8_192];
                    while let Ok(n @ 1..) = reader.read(&mut buffer) {
                        let n_bytes = i64::try_from(n).unwrap_or(i64::MAX);
                        if counts
                            && (1..=n_bytes).contains(&left.fetch_sub(n_bytes, Ordering::Relaxed))
                        {
                            while fault == Fault::Silence
                                && reader.read(&mut buffer).is_ok_and(|n| n > 0)
                            {
                            }
                            break;
                        }
                        if writer.write_all(&buffer[..n]).is_err() {
                            break;
                        }
                    }
                    let _ = (reader.shutdown(Shutdown::Both), writer.shutdown(Shutdown::Both));
                });
            }
        }
    });
    address
}

fn address(url: &str) -> String {
    let (_, rest) = url.split_once('@').expect("a URL with a user");
    rest.split('/').next().unwrap_or_default().to_owned()
}

#[test]
fn a_connection_that_breaks_halfway_leaves_nothing_half_written() {
    for (backend, shell) in servers(30_000) {
        let to = address(&backend.url);
        let cut = with(&backend.url, None, Some(&proxy(&to, 1_000_000, false, Fault::Cut)));
        fails(&shell, &cut, "import X-1m.csv", &["writing bars in `postgres://"]);
        assert_eq!(bars(&backend.url), 0, "{}", backend.name);
        // The way is whole again.
        good(&shell, &cut, "import X-1m.csv");
        assert_eq!(bars(&backend.url), 30_000);
        let cut = with(&backend.url, None, Some(&proxy(&to, 500_000, true, Fault::Cut)));
        let run = "run sma_cross --symbol X --timeframe 1m --warmup 0";
        fails(&shell, &cut, run, &["loading bars in `postgres://"]);
        assert_eq!(psql(&backend.url, "SELECT count(*) FROM backtests"), "0");
        good(&shell, &cut, run);
    }
}

/// A network that swallows everything from some byte on, without a word: in the middle of what is written, and of what is
/// read.
#[test]
fn a_server_that_falls_silent_halfway_is_given_up() {
    for (backend, shell) in servers(30_000) {
        let to = address(&backend.url);
        let given_up = |line: &str, bytes: i64, from_server: bool, what: &str| {
            let way = proxy(&to, bytes, from_server, Fault::Silence);
            let mut command = shell.command(line.split(' '));
            command.env("DATABASE_URL", with(&backend.url, None, Some(&way)));
            command.env("BACKTEST_NO_CACHE", "1").env("BACKTEST_STATEMENT_LIMIT", "2");
            let output = command.output().expect("the binary that was just built starts");
            let says = [what, "did not answer within 2 s", "BACKTEST_STATEMENT_LIMIT"];
            is_told(line, &output, &says);
        };
        given_up("import X-1m.csv", 1_000_000, false, "writing bars in `postgres://");
        assert_eq!(bars(&backend.url), 0, "{}", backend.name);
        good(&shell, &backend.url, "import X-1m.csv");
        let run = "run sma_cross --symbol X --timeframe 1m --warmup 0";
        given_up(run, 500_000, true, "loading bars in `postgres://");
        assert_eq!(psql(&backend.url, "SELECT count(*) FROM backtests"), "0");
    }
}

#[test]
fn what_a_server_does_not_allow_is_said() {
    for (backend, shell) in servers(2_000) {
        let (url, import) = (&backend.url, "import X-1m.csv");
        let database = url.rsplit('/').next().unwrap_or_default();
        let set = |setting: &str| {
            // Both hold for this very statement too.
            let free = "SET TRANSACTION READ WRITE; SET statement_timeout = 0";
            psql(url, &format!("{free}; ALTER DATABASE {database} {setting}"))
        };
        set("SET default_transaction_read_only = on");
        fails(&shell, url, import, &["writing bars", "read-only transaction", "another server"]);
        set("RESET default_transaction_read_only");
        assert_eq!(bars(url), 0);
        // A lock that somebody holds makes every statement wait longer than it may.
        set("SET statement_timeout = '300ms'");
        let lock = "BEGIN; LOCK TABLE market_data; SELECT pg_sleep(20)";
        let mut holder = std::process::Command::new("psql")
            .args(["-XAtqw", "-d", url, "-c", &format!("SET statement_timeout = 0; {lock}")])
            .spawn()
            .expect("psql starts");
        let held = "SELECT count(*) FROM pg_locks WHERE relation = 'market_data'::regclass \
                    AND mode = 'AccessExclusiveLock' AND granted";
        while psql(url, held) == "0" {
            std::thread::sleep(Duration::from_millis(20));
        }
        fails(&shell, url, import, &["statement timeout", "statement_timeout"]);
        set("RESET statement_timeout");
        let _ = (holder.kill(), holder.wait());
        psql(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'market_data'::regclass",
        );
        assert_eq!(bars(url), 0);
        good(&shell, url, import);
    }
}

/// Whoever has just simulated for hours does not lose it to a connection that is cut while the result is written.
#[test]
fn a_run_outlives_a_cut_while_it_is_written() {
    for (backend, shell) in servers(3_000) {
        let url = &backend.url;
        good(&shell, url, "import X-1m.csv");
        let mut holder = std::process::Command::new("psql")
            .args(["-XAtqw", "-d", url, "-c"])
            .arg("BEGIN; LOCK TABLE backtest_results IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("psql starts");
        let of = |granted: &str| {
            format!(
                "FROM pg_locks WHERE relation = 'backtest_results'::regclass AND {granted} \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        };
        let until = |what: &str| {
            let begun = Instant::now();
            while psql(url, &format!("SELECT count(*) {what}")) == "0" {
                assert!(begun.elapsed() < END, "{what}");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        until(&of("granted AND mode = 'AccessExclusiveLock'"));
        let line = "run sma_cross --symbol X --timeframe 1m --warmup 0";
        let mut command = shell.command(line.split(' '));
        command.env("DATABASE_URL", url).env("BACKTEST_NO_CACHE", "1");
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        let child = command.spawn().expect("the binary that was just built starts");
        let waits = of("NOT granted");
        until(&waits);
        psql(url, &format!("SELECT count(pg_terminate_backend(pid)) {waits}"));
        let _ = (holder.kill(), holder.wait());
        psql(
            url,
            &format!(
                "SELECT count(pg_terminate_backend(pid)) {}",
                of("granted AND pid <> pg_backend_pid()")
            ),
        );
        let ended = child.wait_with_output().expect("it was started");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{}: {said}", backend.name);
        let kept = "SELECT count(*) FROM backtests b JOIN backtest_results r ON r.backtest_id = b.id \
                    WHERE b.status = 'COMPLETED'";
        assert_eq!(psql(url, kept), "1");
    }
}

/// What `meet` waits for, and what the other session waits for: who holds the series, and who would like to.
const OTHER: &str = "SET deadlock_timeout = '1h'; BEGIN; SELECT pg_advisory_xact_lock(42); \
    DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM series WHERE granted) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$; \
    SELECT pg_advisory_xact_lock(hashtextextended('X 1m', 0)); COMMIT";
const MEET: &str = "CREATE VIEW series AS SELECT granted FROM pg_locks WHERE locktype = 'advisory' \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
    AND (classid::int8 << 32 | objid::int8) = hashtextextended('X 1m', 0); \
    CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    WHILE NOT pg_try_advisory_xact_lock(42) AND NOT EXISTS (SELECT FROM series WHERE NOT granted) \
    LOOP PERFORM pg_sleep(0.01); END LOOP; \
    PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$; \
    CREATE TRIGGER meet BEFORE INSERT ON market_data EXECUTE FUNCTION meet()";
const NO_ORDER: &str = "CREATE OR REPLACE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    RAISE EXCEPTION 'no order' USING ERRCODE = 'serialization_failure'; END $$; TRUNCATE market_data";

/// A deadlock in an order that leaves no choice: the import holds its series; another session holds 42 and waits for the
/// series; only then does the import wait for 42. It is the one undone, for the other looks after an hour only.
#[test]
fn an_import_that_a_deadlock_undid_is_begun_again_a_few_times() {
    for (backend, shell) in servers(30_000) {
        let url = &backend.url;
        psql(url, MEET);
        let mut other = std::process::Command::new("psql")
            .args(["-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", OTHER])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("psql starts");
        // Of this database: other tests import the same series into theirs.
        let held = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database \
             WHERE locktype = 'advisory' AND objid = 42 AND datname = current_database()";
        while psql(url, held) == "0" {
            assert!(other.try_wait().expect("it was started").is_none(), "the other waits");
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = run(&shell, url, "import X-1m.csv");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(said, "note: X 1m is begun again: deadlock detected\n", "{}", backend.name);
        assert!(other.wait().expect("it was started").success(), "the other went on");
        assert_eq!(bars(url), 30_000);

        psql(url, NO_ORDER);
        let output = run(&shell, url, "import X-1m.csv");
        is_told("import", &output, &["no order", "another program holds these rows; try again"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.matches("note: X 1m is begun again").count(), 5, "{said}");
        assert_eq!(bars(url), 0);
    }
}

/// A role that may have so many connections and no more: none, the one that every command needs, and more than a load
/// would like to have.
#[test]
fn a_server_without_connections_left_is_said_and_one_is_enough() {
    for (backend, shell) in servers(150_000) {
        let url = &backend.url;
        good(&shell, url, "import X-1m.csv");
        let role = format!("few_{}_{}", backend.name.replace('-', "_"), std::process::id());
        psql(url, &format!("CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 0"));
        psql(url, &format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"));
        let few = with(url, Some(&format!("{role}:x")), None);
        fails(&shell, &few, "list", &["no connection left", "try again later"]);
        let whole = shell.path("whole.csv");
        for limit in [1, 2, 100] {
            psql(url, &format!("ALTER ROLE {role} CONNECTION LIMIT {limit}"));
            let line = "sweep sma_cross --symbol X --timeframe 1m --warmup 0 --dry-run --json";
            let output = run(&shell, &few, line);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "with {limit}: {text}");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            if whole.exists() {
                assert_eq!(said, std::fs::read_to_string(&whole).expect("just written"));
            }
            std::fs::write(&whole, said).expect("the folder can be written");
        }
        psql(url, &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    }
}

/// A pooler that gives a connection to whoever has a transaction just then, and knows no prepared statements: all but
/// looking after the database works by it, by several connections at once too.
#[test]
fn a_pooler_without_prepared_statements_is_enough() {
    let Some(pooler) = std::env::var("TEST_POOLER_URL").ok().filter(|url| !url.is_empty()) else {
        let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!required, "CI=true needs TEST_POOLER_URL: run the tests by tests/run");
        eprintln!("SKIPPED: no TEST_POOLER_URL");
        return;
    };
    let (backend, shell) =
        servers(150_000).into_iter().find(|(b, _)| b.name == "postgres").expect("a pooler has one");
    let pooled = with(&backend.url, None, Some(&address(&pooler)));
    good(&shell, &pooled, "import X-1m.csv");
    assert_eq!(bars(&backend.url), 150_000);
    good(&shell, &pooled, "run sma_cross --symbol X --timeframe 1m --warmup 0");
    let sweep = "sweep sma_cross --symbol X --timeframe 1m --warmup 0 --param fast=5,10 --param \
                 slow=20,30 --block 1 -j 2 --trades all";
    good(&shell, &pooled, sweep);
    let direct = run(&shell, &backend.url, "sweep top 1 --json");
    let same = run(&shell, &pooled, "sweep top 1 --json");
    assert!(direct.status.success());
    assert_eq!(direct.stdout, same.stdout);
    let saved = "SELECT count(*) FROM backtests WHERE status = 'COMPLETED'";
    assert_eq!(psql(&backend.url, saved), "5");
}

/// A standby answers what only reads, by several connections at once too, and says why it takes nothing.
#[test]
fn a_standby_is_read_and_takes_no_writes() {
    let Some(home) = Home::new() else { return };
    let data = home.init("data", "fsync = off\nwal_level = replica\n");
    let primary = home.start(&data);
    let shell = Shell::on(&primary.url());
    shell.ok("migrate");
    minutes(&shell, 150_000);
    shell.ok("import X-1m.csv");
    let copy = home.path("standby");
    let mut base = as_server("pg_basebackup");
    base.args(["-h", "127.0.0.1", "-U", "postgres", "-R", "-X", "stream", "-c", "fast", "-p"]);
    done(base.arg(primary.port.to_string()).arg("-D").arg(&copy));
    let standby = home.start(&copy);
    let url = standby.url();
    assert_eq!(psql(&url, "SELECT pg_is_in_recovery()"), "t");
    let check = run(&shell, &url, "data check --symbol X --timeframe 1m --json");
    let same = run(&shell, &primary.url(), "data check --symbol X --timeframe 1m --json");
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stderr));
    assert_eq!(check.stdout, same.stdout, "{}", String::from_utf8_lossy(&check.stderr));
    good(&shell, &url, "list");
    for line in ["import X-1m.csv", "run sma_cross --symbol X --timeframe 1m"] {
        fails(&shell, &url, line, &["read-only transaction", "write to another server"]);
    }
}
