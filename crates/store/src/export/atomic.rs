//! A file that appears under its name only when it is whole: a temporary neighbour, then a rename.
//! No format is known here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

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
        let mut temporary_name = name.to_owned();
        // The process's number keeps two runs apart; what a killed run left is written over.
        temporary_name.push(format!(".{}.part", std::process::id()));
        let temporary = target.with_file_name(temporary_name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
        let writer = BufWriter::with_capacity(1 << 18, file);
        Ok(Self { writer, temporary, target: target.to_owned(), finished: false })
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
