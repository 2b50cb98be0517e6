//! A PostgreSQL server of one test's own, for what a shared one cannot be: destroyed, restored, given certificates.
//! No test may live here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where a test keeps its server's files: a directory of the user that the server runs as.
pub(crate) struct Home {
    /// As the server sees it.
    pub(crate) dir: PathBuf,
    programs: Programs,
}

/// A running server; dropping it stops it.
pub(crate) struct Cluster {
    pub(crate) data: PathBuf,
    pub(crate) port: u16,
    programs: Programs,
}

/// Whose programs run a server: this machine's, or those in a root that `tests/servers` has built.
#[derive(Clone, Default)]
struct Programs {
    /// Empty for the machine itself.
    root: String,
    /// Where PostgreSQL's own lie, if not in PATH.
    bin: Option<String>,
}

impl Programs {
    /// `program` behind `before`, as the user postgres where we are root, because PostgreSQL refuses to run as root.
    fn command(&self, before: &[&str], program: &str) -> Command {
        let mut words = before.to_vec();
        if !self.root.is_empty() {
            words.extend(["chroot", &self.root]);
        }
        if is_root() {
            words.extend(["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]);
            words.push("--");
        }
        words.push(program);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir("/").env_remove("LANG").env("LC_ALL", "C.UTF-8");
        if let Some(bin) = &self.bin {
            command.env("PATH", format!("{bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"));
        }
        command.stdin(Stdio::null());
        command
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// `program`, as the user that the machine's own servers run as.
pub(crate) fn as_server(program: &str) -> Command {
    Programs::default().command(&[], program)
}

/// What runs a command in a namespace where it may mount, for it and its children alone.
fn apart() -> &'static [&'static str] {
    if is_root() {
        &["unshare", "--mount"]
    } else {
        &["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"]
    }
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
        Some(Self::with(Programs::default()))
    }

    /// The same for a server of the kind that `tests/servers` calls `name`; `None`, loudly, where it has brought none up.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let servers = std::env::var("TEST_SERVERS_DIR").unwrap_or_default();
        let Ok(known) = std::fs::read_to_string(Path::new(&servers).join(name)) else {
            let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!required, "CI=true needs {name}: run the tests by tests/run");
            eprintln!("SKIPPED: no {name} by tests/servers");
            return None;
        };
        let mut lines = known.lines().map(str::to_owned);
        let root = lines.next().unwrap_or_default();
        Some(Self::with(Programs { root, bin: lines.next() }))
    }

    fn with(programs: Programs) -> Self {
        let mut make = programs.command(&[], "mktemp");
        let dir = done(make.args(["-d", "/var/tmp/backtest-own.XXXXXX"]));
        Self { dir: dir.into(), programs }
    }

    fn command(&self, program: &str) -> Command {
        self.programs.command(&[], program)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file that the server's user owns.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let script = "umask 077; printf '%s' \"$1\" >\"$0\"";
        done(self.command("sh").args(["-c", script]).arg(&path).arg(text));
        path
    }

    /// A new data directory with `settings`, not started.
    pub(crate) fn init(&self, name: &str, settings: &str) -> PathBuf {
        let data = self.path(name);
        let init = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
        done(self.command("initdb").args(init).arg("-D").arg(&data));
        let common = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n";
        self.write(&format!("{name}/extra.conf"), &format!("{common}{settings}\n"));
        let script = "echo \"include = 'extra.conf'\" >>\"$0/postgresql.conf\"";
        done(self.command("sh").args(["-c", script]).arg(&data));
        data
    }

    /// Starts the server on `data` on a free port.
    pub(crate) fn start(&self, data: &Path) -> Cluster {
        self.started(data, &[])
    }

    /// The same with a disk of `megabytes` in the folder `disk`, which nobody but the server sees; `None`, loudly, where
    /// nothing may be mounted.
    pub(crate) fn start_with_disk(
        &self,
        data: &Path,
        disk: &Path,
        megabytes: u32,
    ) -> Option<Cluster> {
        done(self.command("mkdir").arg(disk));
        let folder = format!("{}{}", self.programs.root, disk.display());
        let mount =
            format!("mount -t tmpfs -o size={megabytes}m,mode=0777 tmpfs \"$0\" && exec \"$@\"");
        let before = [apart(), &["sh", "-c", &mount, &folder]].concat();
        if !self.programs.command(&before, "true").output().is_ok_and(|o| o.status.success()) {
            eprintln!("SKIPPED: nothing may be mounted here, so no disk of a server can be full");
            return None;
        }
        Some(self.started(data, &before))
    }

    fn started(&self, data: &Path, before: &[&str]) -> Cluster {
        for _ in 0..10 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
            let port = free.expect("a port is free").port();
            let log = self.path("log");
            let mut start = self.programs.command(before, "pg_ctl");
            start.args(["start", "-w", "-t", "60", "-D"]).arg(data).arg("-l").arg(log);
            // To a file of its own: the server would hold a pipe of ours open.
            start.args(["-o", &format!("-p {port}")]).stdout(Stdio::null()).stderr(Stdio::null());
            if start.status().is_ok_and(|status| status.success()) {
                let programs = self.programs.clone();
                return Cluster { data: data.to_owned(), port, programs };
            }
        }
        panic!("the server does not start: {}", self.log());
    }

    /// The server's log.
    pub(crate) fn log(&self) -> String {
        done(self.command("cat").arg(self.path("log")))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.command("rm").args(["-rf", "--one-file-system"]).arg(&self.dir).status();
    }
}

impl Cluster {
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.programs.command(&[], "pg_ctl");
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
