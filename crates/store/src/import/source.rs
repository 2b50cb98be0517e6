//! Bytes of a file: what form it has, its unpacked lines one at a time, and progress while they are read.
//! No column or value is known here.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use zip::ZipArchive;

use super::error::ImportError;
use super::{MAX_LINE_BYTES, Progress};

/// Bytes asked of the disk, and of a decompressor, at a time.
const BUFFER_BYTES: usize = 1 << 18;

/// How the lines of a text file are packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    /// Number of the one text member.
    Zip(usize),
}

/// What a file is, by its first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text(Packing),
    Parquet,
    Ipc,
}

/// The form of the file at `path` and its size in bytes.
///
/// # Errors
/// When it cannot be opened, is empty, or has a form that is not read.
pub(super) fn sniff(path: &Path) -> Result<(Form, u64), ImportError> {
    let io = |e| ImportError::io(path, e);
    let mut file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(ImportError::form(path, "not a file"));
    }
    let mut head = [0_u8; 8];
    let n = fill(&mut file, &mut head).map_err(io)?;
    let head = &head[..n];
    let form = match head {
        [] => return Err(ImportError::form(path, "empty: holds no bars")),
        [b'P', b'A', b'R', b'1', ..] => Form::Parquet,
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => Form::Ipc,
        [0x1f, 0x8b, ..] => Form::Text(Packing::Gzip),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Form::Text(Packing::Zip(text_member(path)?)),
        _ => {
            refuse_known(path, head)?;
            Form::Text(Packing::None)
        }
    };
    if matches!(form, Form::Parquet | Form::Ipc) {
        whole_to_its_end(path, &mut file, &form)?;
    }
    Ok((form, meta.len()))
}

/// Forms that look like something else than text, and what to do about each.
fn refuse_known(path: &Path, head: &[u8]) -> Result<(), ImportError> {
    let (what, hint) = match head {
        [b'F', b'E', b'A', b'1', ..] => {
            ("Feather version 1", "write it again as Feather version 2 (Arrow IPC file)")
        }
        [0xff, 0xff, 0xff, 0xff, ..] => {
            ("an Arrow IPC stream, not a file", "write it as an Arrow IPC file (Feather version 2)")
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ("text in UTF-16", "save it as UTF-8"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("compressed with zstd", "unpack it first, or use .gz"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ("compressed with xz", "unpack it first, or use .gz"),
        [b'B', b'Z', b'h', ..] => ("compressed with bzip2", "unpack it first, or use .gz"),
        [b'7', b'z', 0xbc, 0xaf, ..] => ("a 7z archive", "unpack it first, or use .zip"),
        [b'{' | b'[', ..] => ("JSON", "convert it to CSV or Parquet"),
        _ => return refuse_misnamed(path),
    };
    Err(ImportError::form_hint(path, format!("{what}, which is not read"), hint))
}

/// A name that promises a binary form, over bytes that are none.
fn refuse_misnamed(path: &Path) -> Result<(), ImportError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match extension.as_str() {
        "parquet" | "pq" | "feather" | "arrow" | "ipc" | "gz" | "zip" => Err(ImportError::form(
            path,
            format!("named .{extension}, but does not begin like such a file"),
        )),
        _ => Ok(()),
    }
}

/// Parquet and Arrow files end as they begin: one that does not was cut short.
fn whole_to_its_end(path: &Path, file: &mut File, form: &Form) -> Result<(), ImportError> {
    let io = |e| ImportError::io(path, e);
    let (magic, back, least): (&[u8], i64, u64) =
        if *form == Form::Parquet { (b"PAR1", -4, 12) } else { (b"ARROW1", -6, 20) };
    let cut = || ImportError::form(path, "ends too early: it is cut short");
    if file.metadata().map_err(io)?.len() < least {
        return Err(cut());
    }
    let mut tail = [0_u8; 6];
    let tail = &mut tail[..magic.len()];
    file.seek(SeekFrom::End(back)).map_err(io)?;
    file.read_exact(tail).map_err(io)?;
    if tail == magic { Ok(()) } else { Err(cut()) }
}

/// The one text file in a zip archive.
fn text_member(path: &Path) -> Result<usize, ImportError> {
    let archive = open_zip(path, File::open(path).map_err(|e| ImportError::io(path, e))?)?;
    let mut members = Vec::new();
    for at in 0..archive.len() {
        let name = match archive.name_for_index(at) {
            Some(Ok(name)) => name.into_owned(),
            _ => format!("(member {})", at + 1),
        };
        if !name.ends_with('/') && !name.starts_with("__MACOSX/") {
            members.push((at, name));
        }
    }
    let is_text = |name: &str| {
        let name = name.to_lowercase();
        [".csv", ".txt", ".tsv"].iter().any(|end| name.ends_with(end))
    };
    let texts: Vec<usize> =
        members.iter().filter(|(_, name)| is_text(name)).map(|&(at, _)| at).collect();
    if let [one] = texts[..] {
        return Ok(one);
    }
    let found = if texts.is_empty() { "no CSV file" } else { "several CSV files" };
    let names: Vec<String> = members.iter().take(10).map(|(_, n)| format!("`{n}`")).collect();
    let more = if members.len() > 10 { " …" } else { "" };
    Err(ImportError::form_hint(
        path,
        format!("a zip archive with {found}: {}{more}", names.join(" ")),
        "unpack it, and import the files",
    ))
}

fn open_zip<R: Read + Seek>(path: &Path, reader: R) -> Result<ZipArchive<R>, ImportError> {
    ZipArchive::new(reader).map_err(|e| zip_error(path, e))
}

fn zip_error(path: &Path, error: zip::result::ZipError) -> ImportError {
    match error {
        zip::result::ZipError::Io(e) => ImportError::io(path, e),
        other => ImportError::form(path, format!("a zip archive that cannot be read: {other}")),
    }
}

/// As many bytes as there are, up to the length of `out`.
fn fill(reader: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < out.len() {
        match reader.read(&mut out[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

/// Calls `use_lines` with the unpacked lines of a text file; `progress` hears of every byte read from the disk.
///
/// # Errors
/// When the file cannot be opened or unpacked, and whatever `use_lines` says.
pub(super) fn with_lines<T>(
    path: &Path,
    packing: &Packing,
    progress: &dyn Progress,
    use_lines: &mut dyn FnMut(&mut Lines<'_>) -> Result<T, ImportError>,
) -> Result<T, ImportError> {
    let io = |e| ImportError::io(path, e);
    let file = File::open(path).map_err(io)?;
    let left = file.metadata().map_err(io)?.len();
    let counted = BufReader::with_capacity(BUFFER_BYTES, Counted { file, left, progress });
    match packing {
        Packing::None => use_lines(&mut Lines::new(path, Box::new(counted))?),
        Packing::Gzip => use_lines(&mut Lines::new(path, Box::new(MultiGzDecoder::new(counted)))?),
        Packing::Zip(at) => {
            let mut archive = open_zip(path, counted)?;
            let member = archive.by_index(*at).map_err(|e| zip_error(path, e))?;
            use_lines(&mut Lines::new(path, Box::new(member))?)
        }
    }
}

/// A file that tells what is read of it, never more than its size (a zip's directory is read twice).
struct Counted<'a> {
    file: File,
    left: u64,
    progress: &'a dyn Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(out)?;
        let told = self.left.min(n as u64);
        self.left -= told;
        self.progress.advance(told);
        Ok(n)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Lines with their numbers, without their ends, in one buffer that is used again.
pub(super) struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<Box<dyn Read + 'a>>,
    line: Vec<u8>,
    number: u64,
}

impl<'a> Lines<'a> {
    fn new(path: &'a Path, reader: Box<dyn Read + 'a>) -> Result<Self, ImportError> {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        let head = reader.fill_buf().map_err(|e| ImportError::io(path, e))?;
        if head.iter().take(4_096).any(|&b| b == 0) {
            return Err(ImportError::form(path, "not a text file, nor another form that is read"));
        }
        let marked = head.starts_with(b"\xef\xbb\xbf");
        reader.consume(if marked { 3 } else { 0 });
        Ok(Self { path, reader, line: Vec::new(), number: 0 })
    }

    /// The next line and its number, counted from 1; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read or unpacked further, or the line is longer than the limit.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>, ImportError> {
        self.line.clear();
        let limit = MAX_LINE_BYTES as u64 + 2;
        let n = Read::take(&mut self.reader, limit)
            .read_until(b'\n', &mut self.line)
            .map_err(|e| ImportError::io(self.path, e))?;
        if n == 0 {
            return Ok(None);
        }
        self.number += 1;
        let mut end = self.line.len();
        end -= usize::from(self.line[..end].last() == Some(&b'\n'));
        end -= usize::from(self.line[..end].last() == Some(&b'\r'));
        if end > MAX_LINE_BYTES {
            let (path, line) = (self.path.to_owned(), self.number);
            return Err(ImportError::LineTooLong { path, line, limit: MAX_LINE_BYTES });
        }
        Ok(Some((self.number, &self.line[..end])))
    }
}
