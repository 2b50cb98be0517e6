//! Statements that write many rows at once: SQLite takes longer to begin a statement than to write a row.
//! No table may be named here.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use rust_decimal::Decimal;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, Transaction};

/// Rows of one statement; of the widest table they have a tenth of the 32,766 values that SQLite takes.
pub(crate) const ROWS: usize = 100;

/// `rows` times `(?, ?, …)`. Only plain `?`: SQLite looks a numbered one up by walking through all of them.
pub(crate) fn places(columns: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row.as_str(); rows].join(", ")
}

/// A statement for [`ROWS`] rows and one for a single row.
pub(crate) type Statements = [String; 2];

/// Both, by what makes one for so many rows.
pub(crate) fn statements(sql: impl Fn(usize) -> String) -> Statements {
    [ROWS, 1].map(sql)
}

/// Writes all of `rows`, by `many` [`ROWS`] at a time and what is left by `one`; while SQLite writes some, `arguments` puts
/// together the values of the next.
pub(crate) async fn write<T>(
    tx: &mut Transaction<'static, Sqlite>,
    rows: &[T],
    [many, one]: &'static Statements,
    arguments: impl Fn(&[T]) -> Result<SqliteArguments, BoxDynError>,
) -> Result<(), sqlx::Error> {
    let mut chunks = chunks(rows);
    let mut next = || {
        let statement = chunks.next().map(|rows| {
            let sql = if rows.len() == ROWS { many } else { one };
            Ok(sqlx::query_with(AssertSqlSafe(sql.as_str()), arguments(rows)?))
        });
        statement.transpose().map_err(sqlx::Error::Encode)
    };
    let mut ready = next()?;
    while let Some(statement) = ready {
        let (done, after) = tokio::join!(statement.execute(&mut **tx), async { next() });
        done?;
        ready = after?;
    }
    Ok(())
}

/// The texts of one statement's values. What a value takes is made here and freed by SQLite's thread, so it is one piece of
/// memory and no more.
#[derive(Default)]
pub(crate) struct Texts {
    buffer: String,
    words: BTreeSet<Arc<str>>,
}

impl Texts {
    /// As [`crate::tx::decimal_text`].
    pub(crate) fn decimal(
        &mut self,
        mut value: Decimal,
        places: u32,
    ) -> Result<Arc<str>, BoxDynError> {
        value.rescale(places);
        self.buffer.clear();
        write!(self.buffer, "{value}")?;
        Ok(Arc::from(self.buffer.as_str()))
    }

    /// A text that many rows have.
    pub(crate) fn word(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(word);
        self.words.insert(Arc::clone(&new));
        new
    }
}

/// As many whole chunks as there are, then one by one, so that two statements are prepared.
fn chunks<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    let (many, rest) = all.as_chunks::<ROWS>();
    many.iter().map(<[T; ROWS]>::as_slice).chain(rest.iter().map(std::slice::from_ref))
}
