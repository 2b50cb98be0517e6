//! One month of bars as a file: a label, the columns as they lie in memory (little-endian), a checksum over it all.
//! Where files lie and when they are deleted may not enter.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
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

/// Writes `rows` under their label.
pub(super) fn write(out: impl Write, label: &Label, rows: &Block) -> io::Result<()> {
    let mut out = Summed { inner: out, sum: Sum::default() };
    let text = text(label);
    out.put(&MAGIC)?;
    out.put(&(text.len() as u64).to_le_bytes())?;
    out.put(&text)?;
    // So that every number lies on a boundary of 8 bytes.
    out.put(&PADDING[..padding(text.len())])?;
    out.put_values(&rows.time_us)?;
    for cells in &rows.columns {
        let (narrow, wide) = cells.parts();
        out.put_values(narrow)?;
        out.put(&(wide.len() as u64).to_le_bytes())?;
        for (&row, value) in wide {
            out.put(&(row as u64).to_le_bytes())?;
            out.put(&value.to_le_bytes())?;
        }
    }
    let sum = out.sum.end();
    out.inner.write_all(&sum.to_le_bytes())?;
    out.inner.flush()
}

/// A label of strings and integers is always JSON.
fn text(label: &Label) -> Vec<u8> {
    serde_json::to_vec(label).unwrap_or_default()
}

const PADDING: [u8; 8] = [b' '; 8];

/// How many bytes stand between a label and the numbers.
fn padding(label: usize) -> usize {
    (LABEL + label).next_multiple_of(8) - (LABEL + label)
}

/// The rows of a file that has this very label.
pub(super) fn read(path: &Path, label: &Label) -> Found {
    match File::open(path).and_then(|file| found(file, label)) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Found::Damaged("it is cut off".to_owned())
        }
        Err(error) => Found::Damaged(error.to_string()),
    }
}

/// Piece by piece: a file and its columns at once would be twice the memory.
fn found(file: File, label: &Label) -> io::Result<Found> {
    let left = file.metadata()?.len().checked_sub(8).ok_or(io::ErrorKind::UnexpectedEof)?;
    let inner = BufReader::with_capacity(PIECE, file).take(left);
    let mut from = Summed { inner, sum: Sum::default() };
    let text = text(label);
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&(text.len() as u64).to_le_bytes());
    head.extend_from_slice(&text);
    head.extend_from_slice(&PADDING[..padding(text.len())]);
    let has_label = from.is(&head)?;
    let rows = usize::try_from(label.stamp.rows).unwrap_or(usize::MAX);
    let block = if has_label { from.block(rows, label.columns.len())? } else { None };
    let has_more = from.rest()?;
    let sum = from.sum.end();
    let mut given = [0; 8];
    from.inner.into_inner().read_exact(&mut given)?;
    if sum.to_le_bytes() != given {
        return Ok(Found::Damaged("its checksum is wrong".to_owned()));
    }
    Ok(match block {
        _ if !has_label => Found::Nothing,
        Some(block) if !has_more => Found::Rows(block),
        _ => Found::Damaged("it does not hold what its label says".to_owned()),
    })
}

/// Bytes that are read or written at once; a multiple of what the checksum takes.
const PIECE: usize = 1 << 15;

/// A stream and the checksum of what has passed.
struct Summed<T> {
    inner: T,
    sum: Sum,
}

impl<W: Write> Summed<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.add(bytes);
        self.inner.write_all(bytes)
    }

    fn put_values(&mut self, values: &[i64]) -> io::Result<()> {
        let mut bytes = [0; PIECE];
        for piece in values.chunks(PIECE / 8) {
            let places = bytes.as_chunks_mut().0.iter_mut();
            places.zip(piece).for_each(|(place, value)| *place = value.to_le_bytes());
            self.put(&bytes[..8 * piece.len()])?;
        }
        Ok(())
    }
}

impl<R: Read> Summed<R> {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.sum.add(bytes);
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether `expected` comes next.
    fn is(&mut self, expected: &[u8]) -> io::Result<bool> {
        let mut given = Vec::with_capacity(expected.len());
        self.inner.by_ref().take(expected.len() as u64).read_to_end(&mut given)?;
        self.sum.add(&given);
        Ok(given == expected)
    }

    fn values(&mut self, rows: usize) -> io::Result<Vec<i64>> {
        let mut values = Vec::with_capacity(rows);
        let mut bytes = [0; PIECE];
        while values.len() < rows {
            let piece = &mut bytes[..8 * (rows - values.len()).min(PIECE / 8)];
            self.fill(piece)?;
            values.extend(piece.as_chunks().0.iter().map(|&v| i64::from_le_bytes(v)));
        }
        Ok(values)
    }

    fn block(&mut self, rows: usize, columns: usize) -> io::Result<Option<Block>> {
        let mut block = Block { time_us: self.values(rows)?, columns: Vec::new() };
        for _ in 0..columns {
            let narrow = self.values(rows)?;
            let n_wide = u64::from_le_bytes(self.take()?);
            let mut wide = BTreeMap::new();
            for _ in 0..n_wide {
                let row = usize::try_from(u64::from_le_bytes(self.take()?)).unwrap_or(usize::MAX);
                wide.insert(row, i128::from_le_bytes(self.take()?));
            }
            let Some(cells) = Cells::from_parts(narrow, wide) else { return Ok(None) };
            block.columns.push(cells);
        }
        Ok(Some(block))
    }

    /// Reads to the end; whether there was anything.
    fn rest(&mut self) -> io::Result<bool> {
        let (mut bytes, mut any) = ([0; PIECE], false);
        loop {
            match self.inner.read(&mut bytes)? {
                0 => return Ok(any),
                n => self.sum.add(&bytes[..n]),
            }
            any = true;
        }
    }
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
struct Sum {
    lanes: [u64; 4],
    length: u64,
    /// What does not fill a block yet.
    rest: Vec<u8>,
}

impl Default for Sum {
    fn default() -> Self {
        Self { lanes: [1, 2, 3, 4], length: 0, rest: Vec::with_capacity(Self::BLOCK) }
    }
}

impl Sum {
    const BLOCK: usize = 32;
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

    fn add(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if !self.rest.is_empty() {
            let (first, behind) = bytes.split_at(bytes.len().min(Self::BLOCK - self.rest.len()));
            self.rest.extend_from_slice(first);
            bytes = behind;
            if self.rest.len() == Self::BLOCK {
                let block = std::mem::take(&mut self.rest);
                self.blocks(block.as_chunks().0);
            }
        }
        let (blocks, rest) = bytes.as_chunks();
        self.blocks(blocks);
        self.rest.extend_from_slice(rest);
    }

    fn blocks(&mut self, blocks: &[[u8; Self::BLOCK]]) {
        let mut lanes = self.lanes;
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks().0) {
                *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(Self::ODD).rotate_left(29);
            }
        }
        self.lanes = lanes;
    }

    fn end(&self) -> u64 {
        let step = |sum: u64, value: u64| (sum ^ value).wrapping_mul(Self::ODD).rotate_left(29);
        let sum = self.lanes.into_iter().fold(self.length, step);
        let sum = self.rest.iter().map(|&byte| byte.into()).fold(sum, step);
        sum ^ (sum >> 32)
    }
}
