//! A file that appears under its name only when it is whole: a temporary neighbour, then a rename.
//! No format is known here.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Names of temporary files tried.
const TRIES: u32 = 100;

/// A file being written beside the place it is meant for; dropped without [`Self::finish`], it is removed.
pub(crate) struct AtomicFile {
    writer: BufWriter<File>,
    temporary: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl AtomicFile {
    /// Begins a file that is to stand at `target`.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let (file, temporary) = Self::temporary(target, name)?;
        let writer = BufWriter::with_capacity(1 << 18, file);
        Ok(Self { writer, temporary, target: target.to_owned(), finished: false })
    }

    /// A new file beside the target: never one that is there, be it a link laid for us or what a killed run left.
    fn temporary(target: &Path, name: &OsStr) -> io::Result<(File, PathBuf)> {
        let process = std::process::id();
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for n in 0..TRIES {
            let mut temporary = name.to_owned();
            temporary.push(format!(".{process}-{n}.part"));
            let path = target.with_file_name(temporary);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, path)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => last = e,
                Err(e) => return Err(e),
            }
        }
        Err(last)
    }

    /// Puts the whole file in its place.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        fs::rename(&self.temporary, &self.target)?;
        self.finished = true;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody is left to tell; a leftover is harmless.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
