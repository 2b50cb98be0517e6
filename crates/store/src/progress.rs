//! How long work tells how far it is. The terminal's bars live in `cli`; here is only what they are told.

/// Hears of progress; all calls are cheap and may come from any thread.
pub trait Progress: Send + Sync {
    /// A piece of work begins, of `total` units when that is known (bytes of a file, rows of a table).
    fn begin(&self, what: &str, total: Option<u64>);
    /// `units` more are done.
    fn advance(&self, units: u64);
    /// The piece is over, well or not.
    fn end(&self);
    /// Something that a person should hear of, and that does not stop the work: a sentence.
    fn note(&self, _text: &str) {}
}

/// Says nothing: for tests and `--json`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _total: Option<u64>) {}
    fn advance(&self, _units: u64) {}
    fn end(&self) {}
}
