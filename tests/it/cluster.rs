//! A PostgreSQL server of one test's own, for what a shared one cannot be: destroyed, restored, given certificates.
//! No test may live here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where a test keeps its server's files: a directory of the user that the server runs as.
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
}

/// A running server; dropping it stops it.
pub(crate) struct Cluster {
    pub(crate) data: PathBuf,
    pub(crate) port: u16,
}

/// `program`, as the user postgres where we are root, because PostgreSQL refuses to run as root.
pub(crate) fn as_server(program: &str) -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|m| {
        use std::os::unix::fs::MetadataExt;
        m.uid() == 0
    });
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--", program]);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/").env_remove("LANG").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// What a command wrote, or a panic with what it said.
pub(crate) fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

impl Home {
    /// A fresh directory; `None`, loudly, where servers are skipped or there is no PostgreSQL.
    pub(crate) fn new() -> Option<Self> {
        let skip = std::env::var("BACKTEST_SKIP_SERVERS").is_ok_and(|skip| skip == "1");
        if skip || Command::new("initdb").arg("--version").output().is_err() {
            let required = !skip && std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!required, "CI=true needs initdb in PATH: run the tests by tests/run");
            eprintln!("SKIPPED: no initdb in PATH, or BACKTEST_SKIP_SERVERS=1");
            return None;
        }
        let dir = done(as_server("mktemp").args(["-d", "/var/tmp/backtest-own.XXXXXX"]));
        Some(Self { dir: dir.into() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file that the server's user owns.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let script = "umask 077; printf '%s' \"$1\" >\"$0\"";
        done(as_server("sh").args(["-c", script]).arg(&path).arg(text));
        path
    }

    /// A new data directory with `settings`, not started.
    pub(crate) fn init(&self, name: &str, settings: &str) -> PathBuf {
        let data = self.path(name);
        let init = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
        done(as_server("initdb").args(init).arg("-D").arg(&data));
        let common = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n";
        self.write(&format!("{name}/extra.conf"), &format!("{common}{settings}\n"));
        let script = "echo \"include = 'extra.conf'\" >>\"$0/postgresql.conf\"";
        done(as_server("sh").args(["-c", script]).arg(&data));
        data
    }

    /// Starts the server on `data` on a free port.
    pub(crate) fn start(&self, data: &Path) -> Cluster {
        for _ in 0..10 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
            let port = free.expect("a port is free").port();
            let log = self.path("log");
            let mut start = as_server("pg_ctl");
            start.args(["start", "-w", "-t", "60", "-D"]).arg(data).arg("-l").arg(log);
            // To a file of its own: the server would hold a pipe of ours open.
            start.args(["-o", &format!("-p {port}")]).stdout(Stdio::null()).stderr(Stdio::null());
            if start.status().is_ok_and(|status| status.success()) {
                return Cluster { data: data.to_owned(), port };
            }
        }
        panic!("the server does not start: {}", self.log());
    }

    /// The server's log.
    pub(crate) fn log(&self) -> String {
        done(as_server("cat").arg(self.path("log")))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = as_server("rm").args(["-rf", "--one-file-system"]).arg(&self.dir).status();
    }
}

impl Cluster {
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = as_server("pg_ctl");
        stop.args(["stop", "-w", "-m", "immediate", "-D"]).arg(&self.data);
        let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// The program, without what the user's environment says about databases.
pub(crate) fn backtest() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backtest"));
    for name in
        ["DATABASE_URL", "PGPASSWORD", "PGPASSFILE", "PGSSLMODE", "PGSSLROOTCERT", "PGOPTIONS"]
    {
        command.env_remove(name);
    }
    // What one test keeps of a server, another must not find.
    command.env("BACKTEST_NO_CACHE", "1").stdin(Stdio::null());
    command
}

/// Both streams of a command.
pub(crate) fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}
