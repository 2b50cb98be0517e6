//! Statements that write many rows at once: SQLite takes longer to begin a statement than to write a row.
//! No table may be named here.

/// Rows of one statement; of the widest table they have a tenth of the 32,766 values that SQLite takes.
pub(crate) const ROWS: usize = 100;

/// `rows` times `(?, ?, …)`. Only plain `?`: SQLite looks a numbered one up by walking through all of them.
pub(crate) fn places(columns: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row.as_str(); rows].join(", ")
}

/// As many whole chunks as there are, then one by one, so that two statements are prepared.
pub(crate) fn chunks<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    let (many, rest) = all.as_chunks::<ROWS>();
    many.iter().map(<[T; ROWS]>::as_slice).chain(rest.iter().map(std::slice::from_ref))
}
