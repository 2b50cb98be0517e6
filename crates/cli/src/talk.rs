//! The two streams: data on stdout, talk and progress on stderr. Everything that is printed goes through here.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use store::progress::Progress;

use crate::table::spelled;

/// Why data that was to be printed is not all there.
static LOST: OnceLock<io::Error> = OnceLock::new();
/// Where the commands that a person is told to type find what they speak of.
static PLACE: OnceLock<Place> = OnceLock::new();

/// Words that every command needs, and the names of all commands.
#[derive(Debug)]
struct Place {
    words: String,
    commands: Vec<String>,
}

/// Writes data to stdout. A reader that has gone away is no error: `backtest list | head` ends well.
pub(crate) fn data(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{}", shown(text))
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error);
    }
}

/// Why data is lost, if it is.
pub(crate) fn lost() -> Option<&'static io::Error> {
    LOST.get()
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
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match io::stdout().write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match io::stdout().flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

/// Says something on stderr.
pub(crate) fn say(text: impl std::fmt::Display) {
    let mut text = text.to_string();
    if let Some(place) = PLACE.get() {
        text = place.named_in(&text);
    }
    let _ = writeln!(io::stderr().lock(), "{}", shown(&text));
}

/// From now on, commands that are spoken of say `words` as well; `commands` are the names of all there are.
pub(crate) fn say_with_commands(words: String, commands: Vec<String>) {
    let _ = PLACE.set(Place { words, commands });
}

/// A word as it is typed in a shell.
pub(crate) fn typed(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Place {
    /// `text` with the words in every command of ours.
    fn named_in(&self, text: &str) -> String {
        const OURS: &str = "backtest ";
        let mut parts = text.split(OURS);
        let mut named = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            named += OURS;
            let command = part.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
            if self.commands.iter().any(|known| known == command) {
                named += &format!("{} ", self.words);
            }
            named += part;
        }
        named
    }
}

/// Names and notes are anyone's words: what would steer the terminal is spelled out.
fn shown(text: &str) -> String {
    spelled(text, |c| c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Asks on stderr and hears yes or no from stdin; `None` when nobody is there to answer.
pub(crate) fn ask(question: &str) -> Option<bool> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let _ = write!(io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
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
        let shown = !quiet && io::stderr().is_terminal();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_say_where_what_they_speak_of_is() {
        let commands = ["run", "trades"].map(str::to_owned).into();
        let place = Place { words: "--db sqlite:one.db".to_owned(), commands };
        let told = "kept; its trades: backtest trades 1\nhint: `backtest run`, or use the newer backtest that made it";
        assert_eq!(
            place.named_in(told),
            "kept; its trades: backtest --db sqlite:one.db trades 1\nhint: `backtest --db sqlite:one.db run`, or use the \
             newer backtest that made it"
        );
    }

    #[test]
    fn nothing_that_is_said_steers_the_terminal() {
        assert_eq!(shown("a\tb\n\u{1b}[2Jé"), "a\tb\n\\u{1b}[2Jé");
    }
}
