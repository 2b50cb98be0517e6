//! Writing many rows into a table of SQLite. No table may be named here.

use std::ptr::NonNull;
use std::sync::mpsc::sync_channel;
use std::thread;

use libsqlite3_sys::sqlite3;
use sqlx::{Sqlite, Transaction};

use super::statement::Statement;
use super::values::Values;

/// Rows of one statement: to begin one takes SQLite longer than a row.
const ROWS: usize = 32;
/// Rows that are written at a stretch, some ten milliseconds: so long nothing else happens on the thread.
const STRETCH: usize = 256 * ROWS;
/// Statements whose values are ready before SQLite takes them.
const AHEAD: usize = 4;

/// Where rows go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    /// `INSERT INTO table (columns)`.
    pub(crate) insert: &'static str,
    /// How many columns these are.
    pub(crate) columns: usize,
}

impl Table {
    /// The statement for so many rows.
    fn sql(self, rows: usize) -> String {
        format!("{} VALUES {}", self.insert, places(self.columns, rows))
    }
}

/// `rows` times `(?, ?, …)`. Only plain `?`: SQLite looks a numbered one up by walking through all of them.
pub(crate) fn places(columns: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row.as_str(); rows].join(", ")
}

/// Writes all of `rows` into `table` in their order, each as the values of the columns that `put` adds.
pub(crate) async fn write<T: Sync>(
    tx: &mut Transaction<'static, Sqlite>,
    table: Table,
    rows: &[T],
    put: impl Fn(&T, &mut Values) + Sync,
) -> Result<(), sqlx::Error> {
    for stretch in rows.chunks(STRETCH) {
        let mut locked = tx.lock_handle().await?;
        if let Err(why) = write_all(locked.as_raw_handle(), table, stretch, &put) {
            let known = locked.last_error().map(sqlx::Error::from);
            return Err(known.unwrap_or_else(|| sqlx::Error::Encode(why.into())));
        }
    }
    Ok(())
}

/// As many whole statements as there are, then one by one; while SQLite writes some rows, another thread puts together the
/// values of the next.
fn write_all<T: Sync>(
    handle: NonNull<sqlite3>,
    table: Table,
    rows: &[T],
    put: impl Fn(&T, &mut Values) + Sync,
) -> Result<(), String> {
    let (many, rest) = rows.as_chunks::<ROWS>();
    let (sender, ready) = sync_channel(AHEAD);
    let values = |rows: &[T]| {
        let mut values = Values::with_capacity(rows.len() * table.columns);
        rows.iter().for_each(|row| put(row, &mut values));
        values
    };
    let each = many.iter().map(<[T; ROWS]>::as_slice).chain(rest.chunks(1));
    // Nobody takes them any more when SQLite has refused some.
    let prepare = move || each.map(values).all(|values| sender.send(values).is_ok());
    // What it takes from is its own, and gone when it has failed: the other thread may be waiting for room.
    thread::scope(move |scope| {
        let spawned = thread::Builder::new().spawn_scoped(scope, prepare);
        spawned.map_err(|e| format!("no thread for the values: {e}"))?;
        for (at_once, times) in [(ROWS, many.len()), (1, rest.len())] {
            if times == 0 {
                continue;
            }
            let mut statement = Statement::prepare(handle, &table.sql(at_once))?;
            for values in ready.iter().take(times) {
                statement.execute(&values)?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use sqlx::SqlitePool;

    use super::*;

    const TABLE: Table = Table { insert: "INSERT INTO t (n, text)", columns: 2 };

    async fn table() -> Transaction<'static, Sqlite> {
        let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
        let mut tx = pool.begin().await.unwrap();
        let made = sqlx::query("CREATE TABLE t (n INTEGER, text TEXT CHECK (text <> 'row 40'))");
        made.execute(&mut *tx).await.unwrap();
        tx
    }

    fn put(n: &i64, values: &mut Values) {
        values.int(*n);
        values.text(format!("row {n}").as_str());
    }

    #[tokio::test]
    async fn every_row_is_written_once_and_in_order() {
        for n in [0, 1, ROWS, ROWS + 1, STRETCH + 2 * ROWS + 3] {
            let mut tx = table().await;
            let rows: Vec<i64> = (1_000..).take(n).collect();
            write(&mut tx, TABLE, &rows, put).await.unwrap();
            let written = "SELECT n FROM t WHERE text = 'row ' || n ORDER BY rowid";
            let written: Vec<i64> = sqlx::query_scalar(written).fetch_all(&mut *tx).await.unwrap();
            assert!(written == rows, "of {n} rows");
        }
    }

    #[tokio::test]
    async fn a_refused_row_ends_it_with_the_reason() {
        let mut tx = table().await;
        let rows: Vec<i64> = (0..).take(STRETCH).collect();
        let error = write(&mut tx, TABLE, &rows, put).await.unwrap_err();
        let refused = error.as_database_error().unwrap();
        assert_eq!(refused.code().as_deref(), Some("275"), "{refused}");
    }

    #[tokio::test]
    async fn a_row_with_too_few_values_is_not_written() {
        let mut tx = table().await;
        let done = write(&mut tx, TABLE, &[1], |n, values| values.int(*n)).await;
        assert!(done.unwrap_err().to_string().contains("1 values for 2 places"));
    }
}
