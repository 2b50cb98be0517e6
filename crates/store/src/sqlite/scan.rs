//! Reading bars out of SQLite by stepping through the rows in place. Only SELECTs of `market_data` may enter.

use std::ffi::c_int;
use std::ptr::NonNull;

use libsqlite3_sys::sqlite3;
use sim::bars::Column;
use sim::exact::ONE_E8;

use super::statement::{Row, Statement};
use super::values::{Value, Values};
use crate::cells::{Block, Cells, Scan};

/// Sends the rows of `scan` to `send` block by block until it answers false.
///
/// `handle` has to be an open connection that no other thread uses during the call.
///
/// # Errors
/// SQLite's own words, or which value is none.
pub(crate) fn scan(
    handle: NonNull<sqlite3>,
    scan: &Scan,
    mut send: impl FnMut(Block) -> bool,
) -> Result<(), String> {
    let columns: Vec<&str> = scan.columns.iter().map(|c| c.name()).collect();
    // Column names come from `Column`, never from a user.
    let sql = format!(
        "SELECT timestamp, {} FROM market_data WHERE symbol = ?1 AND timeframe = ?2 \
         AND timestamp >= ?3 AND timestamp < ?4 ORDER BY timestamp",
        columns.join(", ")
    );
    let mut range = Values::default();
    range.text(scan.symbol.as_str());
    range.text(scan.timeframe.as_str());
    range.int(scan.from_us);
    range.int(scan.to_us);
    let mut block = Block::new(scan.columns.len());
    let mut wanted = true;
    Statement::prepare(handle, &sql)?.rows(&range, |row| {
        read(row, &scan.columns, &mut block)?;
        if block.time_us.len() == Block::ROWS {
            let full = std::mem::replace(&mut block, Block::new(scan.columns.len()));
            wanted = send(full);
        }
        Ok(wanted)
    })?;
    if wanted {
        send(block);
    }
    Ok(())
}

fn read(row: &Row<'_>, columns: &[Column], block: &mut Block) -> Result<(), String> {
    block.time_us.push(row.int(0));
    for (place, (cells, &column)) in (1..).zip(block.columns.iter_mut().zip(columns)) {
        read_cell(row, place, column, cells)?;
    }
    Ok(())
}

fn read_cell(row: &Row<'_>, place: c_int, column: Column, cells: &mut Cells) -> Result<(), String> {
    let no_units = || format!("`market_data.{column}` holds a value that is no number of units");
    let value = match row.value(place) {
        Some(Value::Null) => None,
        // A count is stored as it is and read in units of 1e-8 like everything else.
        Some(Value::Int(count)) if column == Column::TradesCount => {
            Some(i128::from(count) * i128::from(ONE_E8))
        }
        Some(Value::Int(units)) => {
            cells.push_narrow(units);
            return Ok(());
        }
        // An integer too long for 63 bits is kept as text.
        Some(Value::Text(digits)) => Some(digits.parse().map_err(|_| no_units())?),
        Some(Value::Real(_)) | None => return Err(no_units()),
    };
    cells.push(value);
    Ok(())
}
