//! What is wrong with an expression, where, and what was probably meant.
//! No parsing and no list of names may enter: callers hand both over.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::parse::MAX_SOURCE;

/// Similarity from which a name is close enough to be suggested (0 nothing alike, 1 the same).
const NEAR: f64 = 0.75;

/// Why an expression was refused, and the place in its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprError {
    fault: Fault,
    source: Arc<str>,
}

/// A fault before it is joined with the source it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self { span: span.clone(), message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    pub(crate) fn in_source(self, source: &Arc<str>) -> ExprError {
        ExprError { fault: self, source: Arc::clone(source) }
    }
}

impl ExprError {
    /// What is wrong with the whole of `source`.
    pub(crate) fn of(source: &str, message: &str) -> Self {
        Fault::new(&(0..source.len()), message).in_source(&Arc::from(source))
    }

    /// Bytes of the source that the error is about; empty at its end when something is missing there.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.fault.span.clone()
    }

    /// What to write instead, when there is a guess.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.fault.hint.as_deref()
    }

    /// The message, the line of the source it is about, and a line of carets under the place. The hint is not in it.
    /// Of a source longer than the limit the message alone.
    #[must_use]
    pub fn render(&self) -> String {
        let source = &*self.source;
        if source.len() > MAX_SOURCE {
            return self.to_string();
        }
        let Range { start, end } = self.fault.span;
        let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = source[start..].find('\n').map_or(source.len(), |at| start + at);
        let line = source[line_start..line_end].replace(|c: char| c.is_control(), " ");
        let indent = source[line_start..start].chars().count();
        let carets = source[start..end.min(line_end).max(start)].chars().count().max(1);
        format!("{self}\n  {line}\n  {}{}", " ".repeat(indent), "^".repeat(carets))
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fault.message)
    }
}

impl std::error::Error for ExprError {}

/// The candidate most like `name`, the first one given when two are equally like it.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let mut best = None;
    let mut best_score = NEAR;
    for candidate in candidates {
        let score = strsim::jaro_winkler(&lower, candidate);
        if score > best_score {
            best = Some(candidate);
            best_score = score;
        }
    }
    best
}
