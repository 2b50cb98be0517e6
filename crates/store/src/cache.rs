//! Bars that were read from a server, kept on this machine by month, so that only changed months are read again.
//! Whether a month is still true is asked of the server by `load`; no SQL may enter here.

mod file;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::cells::Block;
use crate::export::atomic::{AtomicFile, PART};

/// Most bytes that are kept unless said otherwise: about a hundred years of minutes.
pub const LIMIT_BYTES: u64 = 2 << 30;
/// What is left after the least recently used months were deleted, in per cent of the limit.
const LEFT_PERCENT: u64 = 90;
/// A temporary file of this age was left by a program that was killed.
const LEFTOVER: Duration = Duration::from_secs(3_600);
/// How the name of a whole file ends; of one that is being written, [`PART`].
const WHOLE: &str = "bars";

/// A folder of bars. Several programs may use it at once: a file appears whole or not at all, and one that is damaged
/// is found out by its checksum.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    limit_bytes: u64,
}

/// What is kept of one series of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// A name of the server and database that says neither.
    pub server: String,
    pub symbol: String,
    pub timeframe: String,
    /// The first and the last month, `2024-01`.
    pub first: String,
    pub last: String,
    pub files: u64,
    pub bytes: u64,
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cleared {
    pub files: u64,
    pub bytes: u64,
}

/// A month of a series, and what the server said of its rows when they were read. A file is used only where all of it
/// is what the server says now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    /// See [`server_name`].
    pub(crate) server: String,
    pub(crate) symbol: String,
    pub(crate) timeframe: String,
    /// `2024-01`
    pub(crate) month: String,
    pub(crate) columns: Vec<String>,
    pub(crate) stamp: Stamp,
}

/// What tells one state of a month's rows from every other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) rows: u64,
    /// Newest `created_at`, microseconds UTC.
    pub(crate) newest_us: Option<i64>,
    /// Sum of a 64-bit hash of each row, wrapped.
    pub(crate) hash: u64,
}

/// What the folder has for a label.
pub(crate) enum Found {
    Rows(Block),
    /// Nothing, or rows of another state.
    Nothing,
    /// A file that is not as it was written, and why.
    Damaged(String),
}

/// The name of a server that its folder has: nobody reads an address out of it.
pub(crate) fn server_name(server: &str) -> String {
    sim::identity::short_hash(server)
}

impl Cache {
    /// The cache in `folder`, which is made when something is kept; `limit_bytes` is how large it may grow.
    #[must_use]
    pub fn new(folder: PathBuf, limit_bytes: u64) -> Self {
        Self { folder, limit_bytes }
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// What is kept, series by series.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn kept(&self) -> io::Result<Vec<Kept>> {
        let mut series: BTreeMap<(String, String, String), Kept> = BTreeMap::new();
        for entry in self.files()?.iter().filter(|entry| entry.is(WHOLE)) {
            let Some(label) = file::label(&entry.path) else { continue };
            let key = (label.server, label.symbol, label.timeframe);
            let kept = series.entry(key.clone()).or_insert_with(|| Kept {
                server: key.0,
                symbol: key.1,
                timeframe: key.2,
                first: label.month.clone(),
                last: label.month.clone(),
                files: 0,
                bytes: 0,
            });
            kept.files += 1;
            kept.bytes += entry.bytes;
            kept.first = label.month.clone().min(kept.first.clone());
            kept.last = label.month.max(kept.last.clone());
        }
        Ok(series.into_values().collect())
    }

    /// Deletes everything that is kept. Programs that are using it read from their server again.
    ///
    /// # Errors
    /// When a file cannot be deleted.
    pub fn clear(&self) -> io::Result<Cleared> {
        let mut cleared = Cleared::default();
        for entry in self.files()? {
            remove(&entry.path)?;
            cleared.files += 1;
            cleared.bytes += entry.bytes;
        }
        Ok(cleared)
    }

    /// The rows that were kept under `label`.
    pub(crate) fn find(&self, label: &Label) -> Found {
        let path = self.path(label);
        let found = file::read(&path, label);
        if let (Found::Rows(_), Ok(file)) = (&found, File::open(&path)) {
            // When it was last used; a read-only folder is no reason to fail.
            let _ = file.set_modified(SystemTime::now());
        }
        found
    }

    /// Keeps `rows` in the place of what there was of the month.
    pub(crate) fn keep(&self, label: &Label, rows: &Block) -> io::Result<()> {
        let path = self.path(label);
        make(path.parent().unwrap_or(&self.folder))?;
        let mut out = AtomicFile::create(&path)?;
        file::write(&mut out, label, rows)?;
        // Not synced: what a power cut tears, the checksum finds.
        out.finish_unsynced()
    }

    /// Deletes the least recently used months beyond the limit.
    pub(crate) fn prune(&self) -> io::Result<()> {
        let mut files = self.files()?;
        let old = SystemTime::now() - LEFTOVER;
        for entry in files.iter().filter(|entry| entry.is(PART) && entry.used < old) {
            remove(&entry.path)?;
        }
        files.retain(|entry| entry.is(WHOLE));
        let mut bytes: u64 = files.iter().map(|entry| entry.bytes).sum();
        if bytes <= self.limit_bytes {
            return Ok(());
        }
        files.sort_by_key(|entry| entry.used);
        for entry in files {
            if bytes <= self.limit_bytes / 100 * LEFT_PERCENT {
                break;
            }
            remove(&entry.path)?;
            bytes -= entry.bytes;
        }
        Ok(())
    }

    fn path(&self, label: &Label) -> PathBuf {
        let columns: u32 = sim::bars::Column::ALL
            .into_iter()
            .filter(|column| label.columns.iter().any(|name| name == column.name()))
            .map(|column| 1 << column as u32)
            .sum();
        self.folder
            .join(&label.server)
            .join(file_name(&label.symbol))
            .join(&label.timeframe)
            .join(format!("{}-{columns:03x}.{WHOLE}", label.month))
    }

    /// Every file of ours; one that another program deletes meanwhile is left out.
    fn files(&self) -> io::Result<Vec<Entry>> {
        let mut folders = vec![(self.folder.clone(), 0)];
        let mut files = Vec::new();
        while let Some((folder, depth)) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                // Of the entry itself: what a link leads to is not ours.
                let Ok(about) = entry.metadata() else { continue };
                if about.is_dir() && depth < DEPTH {
                    folders.push((entry.path(), depth + 1));
                } else if about.is_file() {
                    let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    files.push(Entry { path: entry.path(), bytes: about.len(), used });
                }
            }
        }
        files.retain(|entry| entry.is(WHOLE) || entry.is(PART));
        Ok(files)
    }
}

/// Server, symbol and timeframe.
const DEPTH: u32 = 3;

struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Entry {
    fn is(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|e| e == extension)
    }
}

/// A symbol as the name of a folder, whatever signs it has.
fn file_name(symbol: &str) -> String {
    let mut name = String::from("s-");
    for byte in symbol.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A folder that only its owner can read: what somebody trades is their own affair.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Cells;

    fn block(values: &[Option<i128>]) -> Block {
        let mut cells = Cells::default();
        values.iter().for_each(|&v| cells.push(v));
        let time_us = (0..).map(|i| i * 60).take(values.len()).collect();
        Block { time_us, columns: vec![cells] }
    }

    fn label(month: &str) -> Label {
        let (server, symbol) = (server_name("db:5432/lab"), "A/../%\u{0}É".to_owned());
        let stamp = Stamp { rows: 3, newest_us: Some(1), hash: u64::MAX };
        let (month, columns) = (month.to_owned(), vec!["open".to_owned()]);
        Label { server, symbol, timeframe: "1m".to_owned(), month, columns, stamp }
    }

    fn rows(cache: &Cache, label: &Label) -> Option<Block> {
        match cache.find(label) {
            Found::Rows(rows) => Some(rows),
            _ => None,
        }
    }

    #[test]
    fn what_is_kept_comes_back_only_in_the_state_it_was_read_in() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("deep"), LIMIT_BYTES);
        let (label, block) = (label("2024-01"), block(&[Some(1), None, Some(1 << 80)]));
        assert!(rows(&cache, &label).is_none());
        cache.keep(&label, &block).unwrap();
        assert_eq!(rows(&cache, &label), Some(block));
        let mut other = label.clone();
        other.stamp.hash = 0;
        assert!(matches!(cache.find(&other), Found::Nothing));
        other = Label { server: server_name("db:5432/other"), ..label.clone() };
        assert!(matches!(cache.find(&other), Found::Nothing));
        let kept = cache.kept().unwrap();
        assert_eq!((kept.len(), kept[0].files, kept[0].first.as_str()), (1, 1, "2024-01"));
        assert_eq!(cache.clear().unwrap().files, 1);
        assert!(rows(&cache, &label).is_none());
    }

    #[test]
    fn a_file_damaged_anywhere_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), LIMIT_BYTES);
        let label = label("2024-01");
        cache.keep(&label, &block(&[Some(1), None, Some(1 << 80)])).unwrap();
        let path = cache.path(&label);
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(cache.find(&label), Found::Damaged(_)), "byte {place}");
            fs::write(&path, &whole[..place]).unwrap();
            assert!(matches!(cache.find(&label), Found::Damaged(_)), "cut at {place}");
        }
    }

    #[test]
    fn what_a_killed_program_left_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), LIMIT_BYTES);
        let (label, block) = (label("2024-01"), block(&[Some(1); 3]));
        make(cache.path(&label).parent().unwrap()).unwrap();
        // In a container every run may have the same process id.
        let mut left = cache.path(&label).into_os_string();
        left.push(format!(".{}-0.{PART}", std::process::id()));
        fs::write(&left, "torn").unwrap();
        cache.keep(&label, &block).unwrap();
        assert_eq!(rows(&cache, &label), Some(block));
        assert_eq!(fs::read(&left).unwrap(), b"torn", "it may be another program's");
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let block = block(&[Some(1); 3]);
        let months = ["2024-01", "2024-02", "2024-03"].map(label);
        let mut whole = Vec::new();
        file::write(&mut whole, &months[0], &block).unwrap();
        let one = whole.len() as u64;
        let cache = Cache::new(folder.path().to_owned(), 2 * one + one / 2);
        for (age, month) in (1..).zip(&months) {
            cache.keep(month, &block).unwrap();
            let file = File::open(cache.path(month)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(100 / age)).unwrap();
        }
        // Used just now, so the second one is the oldest.
        assert!(rows(&cache, &months[0]).is_some());
        cache.prune().unwrap();
        let there = months.each_ref().map(|month| rows(&cache, month).is_some());
        assert_eq!(there, [true, false, true]);
    }
}
