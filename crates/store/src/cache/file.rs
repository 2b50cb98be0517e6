//! One month of bars as a file: a label, the columns as they lie in memory (little-endian), a checksum over it all.
//! Where files lie and when they are deleted may not enter.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{Found, Label};
use crate::cells::{Block, Cells};

/// What a file begins with; another layout gets another number.
const MAGIC: [u8; 8] = *b"btbars\x001";
/// Longest label that is read, bytes.
const MAX_LABEL: usize = 1 << 16;
/// Where the label's length and the label begin.
const LENGTH: usize = MAGIC.len();
const LABEL: usize = LENGTH + 8;

/// `rows` under their label.
pub(super) fn bytes(label: &Label, rows: &Block) -> Vec<u8> {
    let text = text(label);
    let mut out = Vec::with_capacity(LABEL + text.len() + 64 + 8 * rows.rows() * 10);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(&text);
    // So that every number lies on a boundary of 8 bytes, and the checksum reads whole words.
    out.resize(out.len().next_multiple_of(8), b' ');
    push(&mut out, &rows.time_us);
    for cells in &rows.columns {
        let (narrow, wide) = cells.parts();
        push(&mut out, narrow);
        out.extend_from_slice(&(wide.len() as u64).to_le_bytes());
        for (&row, value) in wide {
            out.extend_from_slice(&(row as u64).to_le_bytes());
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    let sum = checksum(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn push(out: &mut Vec<u8>, values: &[i64]) {
    values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
}

/// A label of strings and integers is always JSON.
fn text(label: &Label) -> Vec<u8> {
    serde_json::to_vec(label).unwrap_or_default()
}

/// The rows of a file that has this very label.
pub(super) fn read(path: &Path, label: &Label) -> Found {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Err(error) => return Found::Damaged(error.to_string()),
    };
    let Some(rest) = checked(&bytes) else {
        return Found::Damaged("its checksum is wrong".to_owned());
    };
    let text = text(label);
    if bytes.get(LENGTH..LABEL) != Some(&(text.len() as u64).to_le_bytes()[..])
        || bytes.get(LABEL..LABEL + text.len()) != Some(&text[..])
    {
        return Found::Nothing;
    }
    let columns = label.columns.len();
    let rows = usize::try_from(label.stamp.rows).unwrap_or(usize::MAX);
    let from = (LABEL + text.len()).next_multiple_of(8);
    match rest.get(from..).and_then(|bytes| block(bytes, rows, columns)) {
        Some(block) => Found::Rows(block),
        None => Found::Damaged("it does not hold what its label says".to_owned()),
    }
}

/// The bytes in front of the checksum, when it is theirs.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (rest, sum) = bytes.split_last_chunk::<8>()?;
    (rest.starts_with(&MAGIC) && checksum(rest).to_le_bytes() == *sum).then_some(rest)
}

fn block(mut bytes: &[u8], rows: usize, columns: usize) -> Option<Block> {
    let time_us = values(&mut bytes, rows)?;
    let columns = (0..columns).map(|_| {
        let narrow = values(&mut bytes, rows)?;
        let n_wide = u64::from_le_bytes(take(&mut bytes)?);
        let mut wide = BTreeMap::new();
        for _ in 0..n_wide {
            let row = usize::try_from(u64::from_le_bytes(take(&mut bytes)?)).ok()?;
            wide.insert(row, i128::from_le_bytes(take(&mut bytes)?));
        }
        Cells::from_parts(narrow, wide)
    });
    let columns = columns.collect::<Option<Vec<_>>>()?;
    bytes.is_empty().then_some(Block { time_us, columns })
}

fn values(bytes: &mut &[u8], rows: usize) -> Option<Vec<i64>> {
    let (these, rest) = bytes.split_at_checked(rows.checked_mul(8)?)?;
    *bytes = rest;
    Some(these.as_chunks().0.iter().map(|&v| i64::from_le_bytes(v)).collect())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (these, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*these)
}

/// The label of a file, without looking at its rows.
pub(super) fn label(path: &Path) -> Option<Label> {
    let mut file = File::open(path).ok()?;
    let mut head = [0; LABEL];
    file.read_exact(&mut head).ok()?;
    let (magic, length) = head.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u64::from_le_bytes(*length.first_chunk()?)).ok()?;
    let mut text = vec![0; (*magic == MAGIC && length <= MAX_LABEL).then_some(length)?];
    file.read_exact(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// 64 bits in which any change of a few bytes shows. Four lanes, because one would wait for its own products.
fn checksum(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut lanes = [1_u64, 2, 3, 4];
    let (blocks, rest) = bytes.as_chunks::<32>();
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks().0) {
            *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(ODD).rotate_left(29);
        }
    }
    let mut sum = bytes.len() as u64;
    for lane in lanes {
        sum = (sum ^ lane).wrapping_mul(ODD).rotate_left(29);
    }
    for &byte in rest {
        sum = (sum ^ u64::from(byte)).wrapping_mul(ODD).rotate_left(29);
    }
    sum ^ (sum >> 32)
}
