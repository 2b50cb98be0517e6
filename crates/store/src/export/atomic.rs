//! A file that appears under its name only when it is whole: a temporary neighbour, then a rename.
//! No format is known here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Names of temporary files tried.
const TRIES: u32 = 100;
/// Links followed from one to the next.
const LINKS: u32 = 40;
/// How the name of a temporary file ends.
pub(crate) const PART: &str = "part";

/// A file being written beside the place it is meant for; dropped without [`Self::finish`], it is removed. What is no
/// file (a device, a pipe) is written as the bytes come.
pub(crate) struct AtomicFile {
    writer: BufWriter<File>,
    /// What becomes the target, and the target; none where the target itself is written.
    beside: Option<(PathBuf, PathBuf)>,
}

impl AtomicFile {
    /// Begins a file that is to stand at `target`, or where the link that stands there leads.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        let (file, beside) = match fs::metadata(target) {
            // In its place a file would take a device from everybody.
            Ok(about) if !about.is_file() => (OpenOptions::new().write(true).open(target)?, None),
            about => {
                let target = followed(target)?;
                let (file, temporary) = temporary(&target)?;
                if let Ok(about) = about {
                    // What only its owner may read stays so; where that cannot be said, the file matters more.
                    let _ = file.set_permissions(about.permissions());
                }
                (file, Some((temporary, target)))
            }
        };
        Ok(Self { writer: BufWriter::with_capacity(1 << 18, file), beside })
    }

    /// Puts the whole file in its place, where a power cut leaves it.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.writer.flush()?;
        if self.beside.is_some() {
            self.writer.get_ref().sync_all()?;
        }
        self.place()
    }

    /// Puts the whole file in its place; a power cut may tear it.
    pub(crate) fn finish_unsynced(mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.place()
    }

    fn place(mut self) -> io::Result<()> {
        if let Some((temporary, target)) = &self.beside {
            fs::rename(temporary, target)?;
        }
        self.beside = None;
        Ok(())
    }
}

/// Where links lead, be it to what is not there yet: a rename onto a link would replace the link.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            // No link.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("links lead in a circle"))
}

/// A new file beside the target: never one that is there, be it a link laid for us or what a killed run left.
fn temporary(target: &Path) -> io::Result<(File, PathBuf)> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let process = std::process::id();
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for n in 0..TRIES {
        let mut temporary = name.to_owned();
        temporary.push(format!(".{process}-{n}.{PART}"));
        let path = target.with_file_name(temporary);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
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
        if let Some((temporary, _)) = &self.beside {
            // Nobody is left to tell; a leftover is harmless.
            let _ = fs::remove_file(temporary);
        }
    }
}
