//! What can be wrong with a strategy file or with the values given to it, said with the place and a way out.

/// A strategy file, or a value for it, that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct FileError {
    message: String,
    hint: Option<String>,
}

impl FileError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What to try next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// "did you mean `x`?" when a known name is near to `given`, else the names there are.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let score = |name: &str| strsim::jaro_winkler(given, name);
    let best = known.iter().max_by(|a, b| score(a).total_cmp(&score(b)));
    match best {
        Some(name) if score(name) > 0.75 => format!("did you mean `{name}`?"),
        Some(_) => format!("there are {}", known.join(", ")),
        None => "there are none".to_owned(),
    }
}
