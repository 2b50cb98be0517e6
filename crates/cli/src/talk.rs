//! The two streams: data on stdout, talk and progress on stderr. Everything that is printed goes through here.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use store::progress::Progress;

/// Writes data to stdout. A reader that has gone away is no error: `backtest list | head` ends well.
pub(crate) fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
}

/// Writes a JSON document to stdout.
pub(crate) fn json(value: &serde_json::Value) {
    data(&format!("{value:#}"));
}

/// Stdout for an exporter; a reader that has gone away is no error here either.
pub(crate) fn target() -> store::export::Target {
    store::export::Target::Stream { name: "stdout".to_owned(), stream: Box::new(Quiet) }
}

/// Stdout that takes whatever nobody reads.
struct Quiet;

impl Write for Quiet {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match std::io::stdout().write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match std::io::stdout().flush() {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

/// Says something on stderr.
pub(crate) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Asks on stderr and hears yes or no from stdin; `None` when nobody is there to answer.
pub(crate) fn ask(question: &str) -> Option<bool> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let _ = write!(std::io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// A progress bar on stderr, drawn only where a person looks.
pub(crate) struct Bar {
    shown: bool,
    unit: Unit,
    bar: Mutex<Option<ProgressBar>>,
}

/// What a bar counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Rows,
}

impl Bar {
    /// A bar that counts `unit`; silent when `quiet` or when stderr is no terminal.
    pub(crate) fn new(unit: Unit, quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        Self { shown, unit, bar: Mutex::new(None) }
    }

    /// Does `act`, which prints, without the bar in between.
    pub(crate) fn aside(&self, act: impl FnOnce()) {
        let bar = self.bar.lock().ok().and_then(|bar| bar.clone());
        match bar {
            Some(bar) => bar.suspend(act),
            None => act(),
        }
    }

    fn with(&self, act: impl FnOnce(&mut Option<ProgressBar>)) {
        if let Ok(mut bar) = self.bar.lock() {
            act(&mut bar);
        }
    }
}

impl Progress for Bar {
    fn begin(&self, what: &str, total: Option<u64>) {
        if !self.shown {
            return;
        }
        let (count, rate) = match self.unit {
            Unit::Bytes => ("{bytes}/{total_bytes}", "{bytes_per_sec}"),
            Unit::Rows => ("{human_pos}/{human_len}", "{per_sec}"),
        };
        let template = match total {
            Some(_) => format!("{{msg}} [{{bar:30}}] {count} {rate} {{eta}}"),
            None => format!("{{msg}} {{spinner}} {{human_pos}} {rate}"),
        };
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let bar = ProgressBar::with_draw_target(total, target).with_style(style);
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.with(|slot| *slot = Some(bar));
    }

    fn advance(&self, units: u64) {
        self.with(|slot| {
            if let Some(bar) = slot {
                bar.inc(units);
            }
        });
    }

    fn note(&self, text: &str) {
        say(format_args!("note: {text}"));
    }

    fn end(&self) {
        self.with(|slot| {
            if let Some(bar) = slot.take() {
                bar.finish_and_clear();
            }
        });
    }
}
