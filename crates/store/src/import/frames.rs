//! Parquet and Arrow IPC (Feather version 2) files as a stream of frames of the columns that are needed.
//! Nothing is decoded here, and no polars panic over a damaged file may leave this file.
//!
//! Memory: of Parquet one row group, or [`SLICE_ROWS`] rows of a longer one; of IPC one record batch, at most
//! [`MAX_BATCH_BYTES`] as it lies in the file. The file itself is mapped (Parquet) or read through (IPC).

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use polars::prelude::{
    Column, DataFrame, FileMetadataRef, ParallelStrategy, ParquetReader, PolarsError, PolarsResult,
    SerReader, Series,
};
use polars_arrow::io::ipc::read::{self as ipc, FileMetadata, FileReader};

use super::error::ImportError;

/// Rows of a Parquet row group decoded at a time. A longer group is decoded in slices, each of which skips the ones
/// before it, so the slice is as long as the groups that others commonly write (2^20).
pub(super) const SLICE_ROWS: usize = 1 << 20;
/// Bytes of one record batch of an IPC file; as long as the file is not made to harm, 2^16 rows take some 4 MB.
pub(super) const MAX_BATCH_BYTES: i64 = 1 << 30;

/// The two binary forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Parquet,
    Ipc,
}

/// The metadata of an opened file: what it holds, before any value is read.
pub(super) struct Header {
    path: PathBuf,
    pub(super) names: Vec<String>,
    body: Body,
}

enum Body {
    Parquet(FileMetadataRef),
    Ipc(Box<FileMetadata>),
}

impl Header {
    /// Reads the metadata.
    ///
    /// # Errors
    /// When it cannot be read, or makes no sense.
    pub(super) fn read(path: &Path, kind: Kind) -> Result<Self, ImportError> {
        let mut file = File::open(path).map_err(|e| ImportError::io(path, e))?;
        let (names, body) = guarded(path, || match kind {
            Kind::Parquet => {
                let mut reader = ParquetReader::new(file);
                let schema = reader.schema()?;
                let names = schema.iter_names().map(ToString::to_string).collect();
                Ok((names, Body::Parquet(reader.get_metadata()?.clone())))
            }
            Kind::Ipc => {
                let metadata = ipc::read_file_metadata(&mut file)?;
                let names = metadata.schema.iter_names().map(ToString::to_string).collect();
                Ok((names, Body::Ipc(Box::new(metadata))))
            }
        })?;
        let header = Self { path: path.to_owned(), names, body };
        header.check_blocks()?;
        Ok(header)
    }

    /// Whether the file says that it holds no row.
    pub(super) fn is_empty(&self) -> bool {
        match &self.body {
            Body::Parquet(metadata) => metadata.num_rows == 0,
            Body::Ipc(metadata) => metadata.blocks.is_empty(),
        }
    }

    /// Sizes that a damaged footer claims are not to be allocated.
    fn check_blocks(&self) -> Result<(), ImportError> {
        let Body::Ipc(metadata) = &self.body else { return Ok(()) };
        let size = std::fs::metadata(&self.path).map_err(|e| ImportError::io(&self.path, e))?.len();
        for block in metadata.blocks.iter().chain(metadata.dictionaries.iter().flatten()) {
            let parts = [block.offset, i64::from(block.meta_data_length), block.body_length];
            let end = parts.iter().try_fold(0_u64, |sum, &part| {
                u64::try_from(part).ok().and_then(|p| sum.checked_add(p))
            });
            if end.is_none_or(|end| end > size) {
                return Err(ImportError::form(
                    &self.path,
                    "damaged: a record batch beyond its end",
                ));
            }
            if block.body_length > MAX_BATCH_BYTES {
                let what = format!(
                    "a record batch of {} bytes, the limit is {MAX_BATCH_BYTES}",
                    block.body_length
                );
                return Err(ImportError::form_hint(
                    &self.path,
                    what,
                    "write it in smaller batches",
                ));
            }
        }
        Ok(())
    }

    /// Calls `use_frame` with one frame after the other, of the columns in `projection` (ascending), and with the
    /// share of the file, 0 to 1, that is done with it; until it answers false. `first_rows` cuts the first frame
    /// short where that saves work.
    ///
    /// # Errors
    /// When the file cannot be read or makes no sense, and whatever `use_frame` says.
    pub(super) fn frames(
        &self,
        projection: &[usize],
        first_rows: Option<usize>,
        use_frame: &mut dyn FnMut(&DataFrame, f64) -> Result<bool, ImportError>,
    ) -> Result<(), ImportError> {
        match &self.body {
            Body::Parquet(metadata) => self.parquet(metadata, projection, first_rows, use_frame),
            Body::Ipc(metadata) => self.ipc(metadata, projection, use_frame),
        }
    }

    fn parquet(
        &self,
        metadata: &FileMetadataRef,
        projection: &[usize],
        first_rows: Option<usize>,
        use_frame: &mut dyn FnMut(&DataFrame, f64) -> Result<bool, ImportError>,
    ) -> Result<(), ImportError> {
        let all = metadata.num_rows.max(1) as f64;
        let mut start = 0;
        for group in &metadata.row_groups {
            let group_end = start + group.num_rows();
            while start < group_end {
                let length = (group_end - start).min(first_rows.unwrap_or(SLICE_ROWS));
                let file = File::open(&self.path).map_err(|e| ImportError::io(&self.path, e))?;
                let frame = guarded(&self.path, || {
                    let mut reader = ParquetReader::new(file)
                        // One group at a time: by columns the groups before the slice would be read again.
                        .read_parallel(ParallelStrategy::RowGroups)
                        .with_projection(Some(projection.to_vec()))
                        .with_slice(Some((start, length)));
                    reader.set_metadata(metadata.clone());
                    reader.finish()
                })?;
                start += length;
                if frame.height() != length {
                    let what = "damaged: a row group has fewer rows than it claims";
                    return Err(ImportError::form(&self.path, what));
                }
                if !use_frame(&frame, start as f64 / all)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn ipc(
        &self,
        metadata: &FileMetadata,
        projection: &[usize],
        use_frame: &mut dyn FnMut(&DataFrame, f64) -> Result<bool, ImportError>,
    ) -> Result<(), ImportError> {
        let file = File::open(&self.path).map_err(|e| ImportError::io(&self.path, e))?;
        let blocks = metadata.blocks.len().max(1) as f64;
        let mut reader = FileReader::new(file, metadata.clone(), Some(projection.to_vec()), None);
        let mut done = 0.0;
        while let Some(frame) = guarded(&self.path, || next_frame(&mut reader))? {
            done += 1.0;
            if !use_frame(&frame, done / blocks)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn next_frame(reader: &mut FileReader<File>) -> PolarsResult<Option<DataFrame>> {
    let Some(batch) = reader.next().transpose()? else { return Ok(None) };
    let (height, fields) = (batch.len(), batch.schema().clone());
    let columns = fields
        .iter_values()
        .zip(batch.into_arrays())
        .map(|(field, array)| Series::try_from((field, array)).map(Column::from))
        .collect::<PolarsResult<Vec<_>>>()?;
    DataFrame::new(height, columns).map(Some)
}

/// Runs polars on what may be damaged: its errors and its panics become errors that name the file.
pub(super) fn guarded<T>(
    path: &Path,
    work: impl FnOnce() -> PolarsResult<T>,
) -> Result<T, ImportError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(from_polars(path, error)),
        Err(_) => Err(ImportError::form(path, "damaged, or written in a way that is not read")),
    }
}

fn from_polars(path: &Path, error: PolarsError) -> ImportError {
    match error {
        PolarsError::IO { error, .. } if error.raw_os_error().is_some() => {
            ImportError::io(path, std::io::Error::new(error.kind(), error.to_string()))
        }
        // The first line says it; what follows is advice for users of polars.
        other => {
            let text = other.to_string();
            ImportError::form(
                path,
                format!("damaged or not readable: {}", text.lines().next().unwrap_or_default()),
            )
        }
    }
}
