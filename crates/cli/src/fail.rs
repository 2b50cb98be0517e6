//! How a command ends badly: one sentence, its causes, a hint, and an exit code that is documented; and the signals that
//! ask it to.

use std::future::Future;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit codes, as the README lists them. 2 is also what clap exits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Our bug.
    Bug = 1,
    /// The command line asks for something that cannot be.
    Usage = 2,
    /// Bars or a strategy file.
    Data = 3,
    /// The database.
    Database = 4,
    /// A regression gate or a look-ahead check failed.
    Gate = 5,
    /// Ctrl-C, or SIGTERM.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// An error on its way to the person.
#[derive(Debug)]
pub(crate) struct Fail {
    pub(crate) code: Code,
    pub(crate) error: anyhow::Error,
    pub(crate) hint: Option<String>,
}

impl Fail {
    pub(crate) fn new(code: Code, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into(), hint: None }
    }

    pub(crate) fn usage(message: impl std::fmt::Display) -> Self {
        Self::new(Code::Usage, anyhow::anyhow!("{message}"))
    }

    pub(crate) fn data(message: impl std::fmt::Display) -> Self {
        Self::new(Code::Data, anyhow::anyhow!("{message}"))
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Ctrl-C and SIGTERM, from [`Signals::listen`] on: one that comes while nobody waits is found by whoever waits next.
pub(crate) struct Signals([Option<Signal>; 2]);

impl Signals {
    /// Where the system reports none, none comes.
    pub(crate) fn listen() -> Self {
        Self([SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok()))
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            () = one(interrupt) => {}
            () = one(terminate) => {}
        }
    }

    /// `work`, which is dropped when a signal comes.
    pub(crate) async fn cut<T>(
        &mut self,
        work: impl Future<Output = Result<T, Fail>>,
    ) -> Result<T, Fail> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.next() => {
                let message = "interrupted; nothing half-done is kept";
                Err(Fail::new(Code::Interrupted, anyhow::anyhow!(message)))
            }
        }
    }
}

async fn one(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

impl std::fmt::Display for Fail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.error)?;
        let mut said = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let cause = store::in_words(cause);
            // A cause that its parent has quoted already would only be read twice.
            if !said.contains(&cause) {
                write!(f, "\n  {cause}")?;
            }
            said = cause;
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<store::Error> for Fail {
    fn from(error: store::Error) -> Self {
        let about_data = matches!(
            error,
            store::Error::NoBars(_)
                | store::Error::Bars { .. }
                | store::Error::Value { .. }
                | store::Error::NoRun { .. }
        );
        let code = match error {
            store::Error::NoPolicy { .. } | store::Error::Limit { .. } => Code::Usage,
            _ if about_data => Code::Data,
            _ => Code::Database,
        };
        let hint = error.hint();
        Self { code, error: error.into(), hint }
    }
}

impl From<store::import::ImportError> for Fail {
    fn from(error: store::import::ImportError) -> Self {
        let hint = error.hint();
        Self { code: Code::Data, error: error.into(), hint }
    }
}

impl From<store::export::ExportError> for Fail {
    fn from(error: store::export::ExportError) -> Self {
        let hint = error.hint();
        Self { code: Code::Data, error: error.into(), hint }
    }
}

impl From<strategies::FileError> for Fail {
    fn from(error: strategies::FileError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { code: Code::Data, error: error.into(), hint }
    }
}

impl From<std::io::Error> for Fail {
    fn from(error: std::io::Error) -> Self {
        Self::new(Code::Data, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_that_cannot_be_are_data_and_not_the_database() {
        let place = "sqlite:x.db".to_owned();
        let (column, given) = ("close".to_owned(), "NaN".to_owned());
        let (table, wanted) = ("market_data", "a number");
        let fail = Fail::from(store::Error::Value { place, table, column, given, wanted });
        assert_eq!(fail.code, Code::Data);
    }
}
