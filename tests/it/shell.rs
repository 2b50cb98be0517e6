//! The real binary, run the way a person runs it: in a folder of its own, against one database.
//! What a command should say belongs to the tests; nothing is expected here but that it starts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder and a database that commands are run with.
pub(crate) struct Shell {
    dir: TempDir,
    url: Option<String>,
}

/// The repository that these tests came from, known when they run: clones may share what is built.
pub(crate) fn repository() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..")
}

/// What a command left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Shell {
    /// Without `--db` and `DATABASE_URL`: the file `backtest.db` in the folder.
    pub(crate) fn embedded() -> Self {
        Self { dir: TempDir::new().expect("the temporary directory can be written"), url: None }
    }

    /// With `DATABASE_URL`.
    pub(crate) fn on(url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..Self::embedded() }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Writes a file into the folder and returns its name.
    pub(crate) fn write<'a>(&self, file: &'a str, text: &str) -> &'a str {
        std::fs::write(self.path(file), text).expect("the folder can be written");
        file
    }

    /// The binary with arguments, ready to be started.
    pub(crate) fn command<I: IntoIterator<Item = S>, S: AsRef<str>>(&self, args: I) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backtest"));
        command
            .args(args.into_iter().map(|arg| arg.as_ref().to_owned()))
            .current_dir(self.dir.path())
            .env_remove("DATABASE_URL")
            .env_remove("RUST_BACKTRACE")
            .env_remove("COLUMNS")
            // What one test keeps of a server, another must not find.
            .env("XDG_CACHE_HOME", self.path(".cache"))
            .stdin(Stdio::null());
        if let Some(url) = &self.url {
            command.env("DATABASE_URL", url);
        }
        command
    }

    /// Runs `backtest` with the words of `line`.
    pub(crate) fn run(&self, line: &str) -> Said {
        self.run_args(line.split_whitespace())
    }

    pub(crate) fn run_args<I: IntoIterator<Item = S>, S: AsRef<str>>(&self, args: I) -> Said {
        let output = self.command(args).output().expect("the binary that was just built starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what it says is UTF-8");
        Said {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Stdout of a command that must end well.
    pub(crate) fn ok(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.code, Some(0), "`backtest {line}` failed:\n{}{}", said.stdout, said.stderr);
        said.stdout
    }

    /// The one JSON document on stdout of a command that must end well.
    pub(crate) fn json(&self, line: &str) -> Value {
        let text = self.ok(line);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("`backtest {line}`: {e}\n{text}"))
    }

    /// What a command said as a page to compare: its line, exit code, stdout, and stderr behind `!`; the folder is
    /// `[DIR]`.
    pub(crate) fn page(&self, line: &str) -> String {
        let said = self.run(line);
        let marked = |text: &str, mark: &str| -> String {
            text.lines().map(|line| format!("{mark}{line}").trim_end().to_owned() + "\n").collect()
        };
        let code = said.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        let text = format!(
            "$ backtest {line}\n{}{}exit {code}\n\n",
            marked(&said.stdout, ""),
            marked(&said.stderr, "! ")
        );
        text.replace(&dir_text(self.dir.path()), "[DIR]")
    }
}

/// Waits for what the store does.
pub(crate) fn block_on<F: Future>(work: F) -> F::Output {
    use std::sync::LazyLock;
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Runtime::new().expect("threads can be started"));
    RUNTIME.block_on(work)
}

fn dir_text(dir: &Path) -> String {
    dir.display().to_string()
}
