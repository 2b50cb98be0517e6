//! Whole files through the public door: what is recognised, what is refused and how it is said.
//! Every file is made here; damage has a room of its own.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::row::BadRow;

mod bad;
mod damage;
mod shapes;

/// 2024-01-01 00:00 UTC.
const T0: i64 = 1_704_067_200_000_000;
const MINUTE: i64 = 60_000_000;

/// A file in a directory of its own.
struct Made {
    dir: TempDir,
    spec: ImportSpec,
}

/// What came out of a file.
#[derive(Debug)]
struct Got {
    symbol: String,
    timeframe: String,
    describe: String,
    rows: Vec<BarRow>,
    report: Report,
}

impl Made {
    fn new(name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self { dir, spec: ImportSpec::new(path) }
    }

    fn columns(mut self, map: &str) -> Self {
        self.spec.columns = Some(map.parse().unwrap());
        self
    }

    fn skip(mut self) -> Self {
        self.spec.bad_rows = BadRows::Skip;
        self
    }

    fn get(&self) -> Result<Got, ImportError> {
        let file = FileBars::open(&self.spec)?;
        let (symbol, timeframe) = (file.symbol().to_owned(), file.timeframe().to_string());
        let (describe, mut rows) = (file.describe(), Vec::new());
        let report = file.read(&Silent, &mut |batch| {
            rows.extend(batch);
            true
        })?;
        Ok(Got { symbol, timeframe, describe, rows, report })
    }

    fn ok(&self) -> Got {
        self.get().unwrap()
    }

    /// The error without the directory, and its hint.
    fn error(&self) -> (String, Option<String>) {
        let error = self.get().unwrap_err();
        let tame = |text: String| text.replace(&format!("{}/", self.dir.path().display()), "");
        (tame(error.to_string()), error.hint().map(tame))
    }

    fn refused(&self) -> PathBuf {
        let name = self.spec.path.file_name().unwrap().to_string_lossy().into_owned();
        self.dir.path().join(format!("{name}.refused.csv"))
    }
}

/// A bar of prices 1 to 4 whole units: open 2, high 4, low 1, close 3, volume 10.
fn bar(minute: i64) -> BarRow {
    let one = 100_000_000;
    BarRow {
        time_us: T0 + minute * MINUTE,
        open: 2 * one,
        high: 4 * one,
        low: one,
        close: 3 * one,
        volume: 10 * one,
        ..BarRow::default()
    }
}

/// `n` lines of `time,2,4,1,3,10`, a minute apart, under a header.
fn lines(n: i64) -> String {
    let mut text = String::from("timestamp,open,high,low,close,volume\n");
    for minute in 0..n {
        text.push_str(&format!("{},2,4,1,3,10\n", T0 / 1_000 + minute * 60_000));
    }
    text
}

fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        archive.start_file(*name, ::zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn batches_come_in_order_and_progress_adds_up() {
    #[derive(Default)]
    struct Heard(Mutex<(u32, u64, u64, u32)>);
    impl Progress for Heard {
        fn begin(&self, what: &str, total: Option<u64>) {
            assert_eq!(what, "X-1m.csv.gz");
            let mut heard = self.0.lock().unwrap();
            heard.0 += 1;
            heard.1 = total.unwrap();
        }
        fn advance(&self, units: u64) {
            self.0.lock().unwrap().2 += units;
        }
        fn end(&self) {
            self.0.lock().unwrap().3 += 1;
        }
    }
    let n = i64::try_from(BATCH_ROWS).unwrap() * 2 + 5;
    let made = Made::new("X-1m.csv.gz", gzip(lines(n)));
    let file = FileBars::open(&made.spec).unwrap();
    let (heard, mut sizes, mut next) = (Heard::default(), Vec::new(), 0);
    let report = file
        .read(&heard, &mut |batch| {
            sizes.push(batch.len());
            for row in batch {
                assert_eq!(row, bar(next));
                next += 1;
            }
            true
        })
        .unwrap();
    assert_eq!(sizes, [BATCH_ROWS, BATCH_ROWS, 5]);
    assert_eq!(report.rows, n.cast_unsigned());
    assert_eq!((report.from_us, report.to_us), (Some(T0), Some(T0 + n * MINUTE)));
    let heard = heard.0.into_inner().unwrap();
    assert_eq!((heard.0, heard.3), (1, 1));
    assert_eq!(heard.1, heard.2, "all bytes were told");
}

#[test]
fn a_receiver_that_is_gone_ends_the_reading() {
    let made = Made::new("X-1m.csv", lines(i64::try_from(BATCH_ROWS).unwrap() * 3));
    let mut batches = 0;
    let result = FileBars::open(&made.spec).unwrap().read(&Silent, &mut |_| {
        batches += 1;
        false
    });
    assert!(matches!(result, Err(ImportError::Stopped { .. })));
    assert_eq!(batches, 1);
}
