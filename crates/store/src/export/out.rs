//! Where exported bytes go: a file that appears when it is whole, or a stream the caller holds (its stdout).
//! No format is known here.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::ExportError;
use super::atomic::AtomicFile;

/// Writes `bytes` as the file at `path`, which appears when all of it is there, in place of an older one.
///
/// # Errors
/// When nothing can be written there; the error names the path.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let out = AtomicFile::create(path).and_then(|mut file| file.write_all(bytes).map(|()| file));
    out.and_then(AtomicFile::finish).map_err(|e| ExportError::io(&path.display().to_string(), e))
}

/// Where to write.
pub enum Target {
    /// A file, which appears when all of it is written, in place of an older one; a device or a pipe is written as the
    /// rows come.
    Path(PathBuf),
    /// A stream that is written as the rows come; the name is for errors.
    Stream { name: String, stream: Box<dyn Write + Send> },
}

impl From<&Path> for Target {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl Target {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Stream { name, .. } => name.clone(),
        }
    }

    pub(super) fn open(self) -> Result<Out, ExportError> {
        let name = self.name();
        match self {
            Self::Path(path) => {
                let file = AtomicFile::create(&path).map_err(|e| ExportError::io(&name, e))?;
                Ok(Out::File(file))
            }
            Self::Stream { stream, .. } => Ok(Out::Stream(stream)),
        }
    }
}

/// An opened target.
pub(super) enum Out {
    File(AtomicFile),
    Stream(Box<dyn Write + Send>),
}

impl Out {
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::File(file) => file.finish(),
            Self::Stream(mut stream) => stream.flush(),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stream(stream) => stream.flush(),
        }
    }
}

/// An [`Out`] lent to a writer that never gives back what it writes to (those of polars).
#[derive(Clone)]
pub(super) struct Lent(Arc<Mutex<Option<Out>>>);

impl Lent {
    pub(super) fn new(out: Out) -> Self {
        Self(Arc::new(Mutex::new(Some(out))))
    }

    /// Takes the target back and finishes it.
    pub(super) fn finish(&self) -> io::Result<()> {
        let out = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        out.map_or(Ok(()), Out::finish)
    }
}

impl Write for Lent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(out) => out.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(out) => out.flush(),
            None => Ok(()),
        }
    }
}
