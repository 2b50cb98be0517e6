//! Reading bars out of SQLite by stepping through the rows in place: the one file here that calls C.
//! Only SELECTs of `market_data` may enter; sqlx does everything else.
//!
//! sqlx hands every row over a channel between two threads with several allocations, which is ten times slower than
//! SQLite itself. Its own way out is `lock_handle`: while the handle is locked, its worker thread does not touch it.

use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

use libsqlite3_sys as ffi;
use sim::bars::Column;
use sim::exact::ONE_E8;

use crate::cells::{Block, Cells, Scan};

/// Sends the rows of `scan` to `send` block by block until it answers false.
///
/// `handle` has to be an open connection that no other thread uses during the call.
///
/// # Errors
/// SQLite's own words, or which value is none.
pub(crate) fn scan(
    handle: NonNull<ffi::sqlite3>,
    scan: &Scan,
    mut send: impl FnMut(Block) -> bool,
) -> Result<(), String> {
    let mut rows = Rows::prepare(handle, scan)?;
    let mut block = Block::new(scan.columns.len());
    while rows.step()? {
        rows.read(&mut block)?;
        if block.time_us.len() == Block::ROWS {
            let full = std::mem::replace(&mut block, Block::new(scan.columns.len()));
            if !send(full) {
                return Ok(());
            }
        }
    }
    send(block);
    Ok(())
}

/// A prepared statement, finalized when dropped.
struct Rows<'a> {
    handle: NonNull<ffi::sqlite3>,
    statement: *mut ffi::sqlite3_stmt,
    scan: &'a Scan,
}

#[expect(unsafe_code, reason = "the step loop of SQLite's C interface; see the head of this file")]
impl<'a> Rows<'a> {
    fn prepare(handle: NonNull<ffi::sqlite3>, scan: &'a Scan) -> Result<Self, String> {
        let columns: Vec<&str> = scan.columns.iter().map(|c| c.name()).collect();
        // Column names come from `Column`, never from a user.
        let sql = format!(
            "SELECT timestamp, {} FROM market_data WHERE symbol = ?1 AND timeframe = ?2 \
             AND timestamp >= ?3 AND timestamp < ?4 ORDER BY timestamp",
            columns.join(", ")
        );
        let mut rows = Self { handle, statement: ptr::null_mut(), scan };
        // SAFETY: the handle is open and locked; the text is passed with its length and only read during the call.
        let code = unsafe {
            ffi::sqlite3_prepare_v2(
                handle.as_ptr(),
                sql.as_ptr().cast(),
                length(sql.len())?,
                &raw mut rows.statement,
                ptr::null_mut(),
            )
        };
        rows.check(code)?;
        rows.bind()?;
        Ok(rows)
    }

    fn bind(&mut self) -> Result<(), String> {
        for (place, text) in [(1, &self.scan.symbol), (2, &self.scan.timeframe)] {
            // SAFETY: SQLITE_TRANSIENT makes SQLite copy the text before the call returns.
            let code = unsafe {
                ffi::sqlite3_bind_text(
                    self.statement,
                    place,
                    text.as_ptr().cast(),
                    length(text.len())?,
                    ffi::SQLITE_TRANSIENT(),
                )
            };
            self.check(code)?;
        }
        for (place, us) in [(3, self.scan.from_us), (4, self.scan.to_us)] {
            // SAFETY: the statement is prepared and not yet stepped.
            let code = unsafe { ffi::sqlite3_bind_int64(self.statement, place, us) };
            self.check(code)?;
        }
        Ok(())
    }

    /// Whether there is another row.
    fn step(&mut self) -> Result<bool, String> {
        // SAFETY: the statement is prepared, and only this thread uses its connection.
        match unsafe { ffi::sqlite3_step(self.statement) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => self.check(code).map(|()| false),
        }
    }

    fn read(&mut self, block: &mut Block) -> Result<(), String> {
        // SAFETY: `step` has just said that there is a row; column 0 exists.
        block.time_us.push(unsafe { ffi::sqlite3_column_int64(self.statement, 0) });
        for (place, (cells, &column)) in (1..).zip(block.columns.iter_mut().zip(&self.scan.columns))
        {
            self.read_cell(place, column, cells)?;
        }
        Ok(())
    }

    fn read_cell(&mut self, place: c_int, column: Column, cells: &mut Cells) -> Result<(), String> {
        // A count is stored as it is and read in units of 1e-8 like everything else.
        let unit = if column == Column::TradesCount { i128::from(ONE_E8) } else { 1 };
        // SAFETY: there is a row, and `place` is one of the columns selected for it.
        let value = match unsafe { ffi::sqlite3_column_type(self.statement, place) } {
            ffi::SQLITE_NULL => None,
            ffi::SQLITE_INTEGER => {
                // SAFETY: as above.
                let value = unsafe { ffi::sqlite3_column_int64(self.statement, place) };
                if unit == 1 {
                    cells.push_narrow(value);
                    return Ok(());
                }
                Some(i128::from(value) * unit)
            }
            _ => Some(self.digits(place).ok_or_else(|| {
                format!("`market_data.{column}` holds a value that is no number of units")
            })?),
        };
        cells.push(value);
        Ok(())
    }

    /// An integer too long for 63 bits, kept as text.
    fn digits(&mut self, place: c_int) -> Option<i128> {
        // SAFETY: there is a row; the text ends in a zero and lives until the next call on this column.
        let text = unsafe {
            let text = ffi::sqlite3_column_text(self.statement, place);
            (!text.is_null()).then(|| CStr::from_ptr(text.cast()))
        };
        text?.to_str().ok()?.parse().ok()
    }

    fn check(&self, code: c_int) -> Result<(), String> {
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        // SAFETY: the connection is open; its message lives until the next call on it, and is copied here.
        let text = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.handle.as_ptr())) };
        Err(format!("{} (code {code})", text.to_string_lossy()))
    }
}

#[expect(unsafe_code, reason = "gives the statement back to SQLite")]
impl Drop for Rows<'_> {
    fn drop(&mut self) {
        // SAFETY: the statement is ours alone; a null one is allowed.
        unsafe { ffi::sqlite3_finalize(self.statement) };
    }
}

fn length(bytes: usize) -> Result<c_int, String> {
    c_int::try_from(bytes).map_err(|_| format!("a text of {bytes} bytes is too long"))
}
