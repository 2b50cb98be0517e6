//! A server whose disk is full: it is said, nothing is half-written, and once there is room the work goes on to the same
//! rows. A full disk under SQLite stands in `sweeps`.

use std::path::Path;

use crate::cluster::Home;
use crate::servers::psql;
use crate::shell::Shell;
use crate::sweeps::{bad, good, import, number, status, sweep_args, undisturbed, variants};

/// Bars that the sweep reads, and bars of a file for which there is no room.
const MINUTES: usize = 3_000;
const MORE: i64 = 60_000;
/// The disk of the tables; the server's log of changes lies elsewhere.
const MEGABYTES: u32 = 64;
/// What is left of it when the sweep begins, in KiB: more than a block takes, less than all of them.
const LEFT: u32 = 2_048;

#[test]
fn a_full_disk_of_postgres_is_said_and_work_goes_on_when_there_is_room() {
    if let Some(home) = Home::new() {
        runs_full(&home, "");
    }
}

#[test]
fn a_full_disk_of_timescale_is_said_and_work_goes_on_when_there_is_room() {
    if let Some(home) = Home::of("timescale") {
        runs_full(&home, "shared_preload_libraries = 'timescaledb'\n");
    }
}

fn runs_full(home: &Home, settings: &str) {
    let data = home.init("data", &format!("fsync = off\nautovacuum = off\n{settings}"));
    let disk = home.path("disk");
    let Some(server) = home.start_with_disk(&data, &disk, MEGABYTES) else { return };
    let (admin, tables) = (server.url(), disk.join("tables"));
    on_server(&admin, &format!("mkdir {}", tables.display()));
    psql(&admin, &format!("CREATE TABLESPACE small LOCATION '{}'", tables.display()));
    psql(&admin, "CREATE DATABASE small TEMPLATE template0 TABLESPACE small");
    let (address, _) = admin.rsplit_once('/').expect("a URL with a database");
    let url = format!("{address}/small");
    good(&url, &["migrate"]);
    import(&url, "RANDOM", MINUTES);
    fill(&admin, &disk, LEFT);

    let (code, said) = bad(&url, &sweep_args(&["--block", "64", "--trades", "none"]));
    is_told(code, &said);
    let state = status(&url, 1);
    let done = number(&state, "blocks_done");
    assert!(done > 0 && done < number(&state, "blocks"), "{state}");
    let shell = Shell::on(&url);
    let file = bars(&shell);
    fill(&admin, &disk, 0);
    let (code, said) = bad(&url, &["import", &file, "--symbol", "MORE", "--timeframe", "1m"]);
    is_told(code, &said);
    let held = "SELECT count(*) FROM market_data WHERE symbol = 'MORE'";
    assert_eq!(psql(&url, held), "0");

    on_server(&admin, &format!("rm {}", disk.join("ballast").display()));
    good(&url, &["sweep", "resume", "1"]);
    assert_eq!(variants(&url, 1), undisturbed(MINUTES).0);
    good(&url, &["import", &file, "--symbol", "MORE", "--timeframe", "1m"]);
    assert_eq!(psql(&url, held), MORE.to_string());
}

/// The exit code of a database, what is wrong, and what to do about it.
fn is_told(code: i32, said: &str) {
    assert_eq!(code, 4, "{said}");
    for part in ["error: ", "No space left on device", "\nhint: ", "disk is full: make room"] {
        assert!(said.contains(part), "`{part}` is not said:\n{said}");
    }
}

/// A file of bars that needs more room than is left, and its name.
fn bars(shell: &Shell) -> String {
    let line = |i: i64| format!("{},100.5,101.25,99.75,100.5,5.5\n", 1_735_689_600 + i * 60);
    let rows: String = (0..MORE).map(line).collect();
    shell.write("MORE-1m.csv", &format!("time,open,high,low,close,volume\n{rows}"));
    shell.path("MORE-1m.csv").display().to_string()
}

/// Fills `disk` but for `left` KiB.
fn fill(admin: &str, disk: &Path, left: u32) {
    let file = disk.join("ballast");
    let file = file.display();
    // It says that the disk is full, which is what is wanted.
    on_server(admin, &format!("dd if=/dev/zero bs=4096 2>/dev/null >>{file} || true"));
    on_server(admin, &format!("truncate -s -{left}K {file}"));
}

/// Runs `script` where the server runs: nobody else sees its disk.
fn on_server(admin: &str, script: &str) {
    // It reads what it is sent first, or a quick one would leave the server with a pipe that nobody reads.
    psql(admin, &format!("COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; {script}'"));
}
