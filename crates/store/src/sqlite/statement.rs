//! A prepared statement by SQLite's own interface: the one file here that calls C. What it says is the caller's.
//!
//! sqlx hands every row and every value over a channel between two threads, with several allocations each, which takes
//! longer than SQLite itself. Its own way out is `lock_handle`: while the handle is locked, its worker thread does not
//! touch it.

use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

use libsqlite3_sys as ffi;

use super::values::{Value, Values};

/// A prepared statement, finalized when dropped.
pub(crate) struct Statement {
    handle: NonNull<ffi::sqlite3>,
    raw: *mut ffi::sqlite3_stmt,
}

#[expect(unsafe_code, reason = "SQLite's C interface; see the head of this file")]
impl Statement {
    /// `handle` has to be an open connection that no other thread uses as long as the statement lives.
    ///
    /// # Errors
    /// SQLite's own words, here and below.
    pub(crate) fn prepare(handle: NonNull<ffi::sqlite3>, sql: &str) -> Result<Self, String> {
        let mut statement = Self { handle, raw: ptr::null_mut() };
        let length = c_int::try_from(sql.len()).map_err(|e| e.to_string())?;
        // SAFETY: the handle is open and locked; the text is passed with its length and only read during the call.
        let code = unsafe {
            ffi::sqlite3_prepare_v2(
                handle.as_ptr(),
                sql.as_ptr().cast(),
                length,
                &raw mut statement.raw,
                ptr::null_mut(),
            )
        };
        statement.check(code)?;
        Ok(statement)
    }

    /// Gives all of its places their values, which have to live until it is reset or dropped.
    fn bind(&mut self, values: &Values) -> Result<(), String> {
        // A place left out would keep what it had before, which may be gone.
        // SAFETY: the statement is prepared.
        let places = unsafe { ffi::sqlite3_bind_parameter_count(self.raw) };
        if usize::try_from(places) != Ok(values.len()) {
            return Err(format!("{} values for {places} places", values.len()));
        }
        for (place, value) in (1..).zip(values.iter()) {
            // SAFETY: the statement is prepared and not being stepped; SQLite looks at a text only while it is stepped,
            // and every caller here sees to it that the values outlive that.
            let code = unsafe {
                match value {
                    Value::Null => ffi::sqlite3_bind_null(self.raw, place),
                    Value::Int(int) => ffi::sqlite3_bind_int64(self.raw, place, int),
                    Value::Real(real) => ffi::sqlite3_bind_double(self.raw, place, real),
                    Value::Text(text) => ffi::sqlite3_bind_text64(
                        self.raw,
                        place,
                        text.as_ptr().cast(),
                        text.len() as u64,
                        ffi::SQLITE_STATIC(),
                        UTF8,
                    ),
                }
            };
            self.check(code)?;
        }
        Ok(())
    }

    /// Runs it with `values` from beginning to end, rows that it returns left aside.
    pub(crate) fn execute(&mut self, values: &Values) -> Result<(), String> {
        self.bind(values)?;
        while self.step()? {}
        // SAFETY: the statement is prepared. What it returns is what `step` has returned.
        unsafe { ffi::sqlite3_reset(self.raw) };
        Ok(())
    }

    /// Shows `see` each row that it returns with `values`, until it fails or answers false.
    pub(crate) fn rows(
        mut self,
        values: &Values,
        mut see: impl FnMut(&Row<'_>) -> Result<bool, String>,
    ) -> Result<(), String> {
        self.bind(values)?;
        while self.step()? && see(&Row(&self))? {}
        Ok(())
    }

    /// Whether there is another row.
    fn step(&mut self) -> Result<bool, String> {
        // SAFETY: the statement is prepared, and only this thread uses its connection.
        match unsafe { ffi::sqlite3_step(self.raw) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => self.check(code).map(|()| false),
        }
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

/// How a text is written, as SQLite is told it.
const UTF8: u8 = 1;

#[expect(unsafe_code, reason = "gives the statement back to SQLite")]
impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: the statement is ours alone; a null one is allowed.
        unsafe { ffi::sqlite3_finalize(self.raw) };
    }
}

/// The row at which a statement stands; columns count from 0.
pub(crate) struct Row<'a>(&'a Statement);

#[expect(unsafe_code, reason = "reads the row in place")]
impl Row<'_> {
    pub(crate) fn int(&self, column: c_int) -> i64 {
        // SAFETY: there is a row. A column that does not exist reads as NULL, and NULL as 0.
        unsafe { ffi::sqlite3_column_int64(self.0.raw, column) }
    }

    /// What lies there; a blob is read as a text, and one that is no UTF-8 is `None`.
    #[inline]
    pub(crate) fn value(&self, column: c_int) -> Option<Value<'_>> {
        let raw = self.0.raw;
        // SAFETY: there is a row; a text ends in a zero and lives until the statement is stepped, which a borrow of the
        // row does not allow.
        unsafe {
            Some(match ffi::sqlite3_column_type(raw, column) {
                ffi::SQLITE_NULL => Value::Null,
                ffi::SQLITE_INTEGER => Value::Int(ffi::sqlite3_column_int64(raw, column)),
                ffi::SQLITE_FLOAT => Value::Real(ffi::sqlite3_column_double(raw, column)),
                _ => {
                    let text = ffi::sqlite3_column_text(raw, column);
                    let text = (!text.is_null()).then(|| CStr::from_ptr(text.cast()))?;
                    Value::Text(text.to_str().ok()?)
                }
            })
        }
    }
}
