//! The data fingerprint: the same for the same stored bars on every backend and machine.
//! Nothing but the values read may enter: no place, no time of writing, no warm-up boundary.

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::frame::{Frame, TIME};

/// Stands for NULL; no stored value is negative.
const NULL: i64 = i64::MIN;
/// Goes in front of the 16 bytes of a value beyond 63 bits.
const WIDE: i64 = i64::MIN + 1;

/// SHA-256 of the columns of `frame`, at the stored timeframe, as 64 hexadecimal digits.
///
/// The bytes hashed are, for `timestamp` and then each column read, in the order of the table: the column's name in
/// ASCII, a zero byte, the number of rows as 8 bytes, then the values; all integers little-endian two's complement. A
/// time is 8 bytes of microseconds since 1970-01-01 UTC. Any other value is 8 bytes of units of 1e-8 (a count too);
/// NULL is -2^63, and a value of 2^63 units or more is -2^63 + 1 followed by 16 bytes of it.
pub(super) fn of(frame: &Frame) -> Result<String, Error> {
    let mut hash = Sha256::new();
    begin(&mut hash, TIME, frame.rows());
    add(&mut hash, frame.time_us()?);
    for column in frame.columns() {
        begin(&mut hash, column.name(), frame.rows());
        if let Ok(plain) = frame.prices(column)? {
            add(&mut hash, plain);
        } else {
            let (units, mut bytes) = (frame.units(column)?, Vec::with_capacity(24));
            for value in units.iter() {
                push(&mut bytes, value);
                hash.update(&bytes);
                bytes.clear();
            }
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn begin(hash: &mut Sha256, name: &str, rows: usize) {
    hash.update(name.as_bytes());
    hash.update([0]);
    hash.update((rows as u64).to_le_bytes());
}

/// Adds values piece by piece: a copy of a whole column would be a fifth of the memory of a load.
fn add(hash: &mut Sha256, values: &[i64]) {
    const PIECE: usize = 512;
    let mut bytes = [0; 8 * PIECE];
    for piece in values.chunks(PIECE) {
        let (places, _) = bytes.as_chunks_mut();
        places.iter_mut().zip(piece).for_each(|(place, value)| *place = value.to_le_bytes());
        hash.update(&bytes[..8 * piece.len()]);
    }
}

fn push(bytes: &mut Vec<u8>, value: Option<i128>) {
    match value.map(|v| (v, i64::try_from(v))) {
        None => bytes.extend_from_slice(&NULL.to_le_bytes()),
        Some((_, Ok(narrow))) => bytes.extend_from_slice(&narrow.to_le_bytes()),
        Some((wide, Err(_))) => {
            bytes.extend_from_slice(&WIDE.to_le_bytes());
            bytes.extend_from_slice(&wide.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use sim::bars::Column;

    use super::*;
    use crate::cells::Cells;

    fn frame(volume: &[Option<i128>]) -> Frame {
        let mut cells = Cells::default();
        volume.iter().for_each(|&v| cells.push(v));
        Frame::new(vec![0, 60_000_000], [(Column::Volume, cells)]).unwrap()
    }

    #[test]
    fn the_bytes_are_those_of_the_description() {
        let wide = 1_i128 << 70;
        let mut bytes = b"timestamp\0".to_vec();
        bytes.extend([2_i64, 0, 60_000_000].iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend(b"volume\0");
        bytes.extend([2_i64, i64::MIN, i64::MIN + 1].iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend(wide.to_le_bytes());
        let expected: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(of(&frame(&[None, Some(wide)])).unwrap(), expected);
    }

    #[test]
    fn every_value_counts() {
        let one = of(&frame(&[Some(1), Some(2)])).unwrap();
        assert_eq!(one, of(&frame(&[Some(1), Some(2)])).unwrap());
        assert_ne!(one, of(&frame(&[Some(1), Some(3)])).unwrap());
        assert_ne!(one, of(&frame(&[Some(1), None])).unwrap());
    }
}
