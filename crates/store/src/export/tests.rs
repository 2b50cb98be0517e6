//! What is exported reads back as the same rows, in every form; a file appears whole or not at all.

use std::io::Write;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::import::{FileBars, ImportSpec, Report};
use crate::progress::Silent;

const MINUTE: i64 = 60_000_000;
/// 10^12 - 1e-8, the largest value of DECIMAL(20,8).
const LARGEST: i128 = sim::exact::LIMIT_E8 - 1;

fn bar(time_us: i64, units: i128) -> BarRow {
    BarRow {
        time_us,
        open: units,
        high: units,
        low: units,
        close: units,
        volume: units - 1,
        ..BarRow::default()
    }
}

fn rows() -> Vec<BarRow> {
    let mut rows = vec![bar(0, 1), bar(MINUTE, LARGEST), bar(3 * MINUTE, 150_000_000)];
    rows[0].quote_volume = Some(0);
    rows[1].trades_count = Some(i32::MAX);
    rows[1].taker_buy_volume = Some(LARGEST);
    rows[2].taker_buy_quote_volume = Some(123_456_789);
    rows
}

fn read(path: &Path) -> (Vec<BarRow>, Report) {
    let mut spec = ImportSpec::new(path);
    (spec.symbol, spec.timeframe) = (Some("X".into()), "1m".parse().ok());
    let mut rows = Vec::new();
    let report = FileBars::open(&spec)
        .unwrap()
        .read(&Silent, &mut |batch| {
            rows.extend(batch);
            true
        })
        .unwrap();
    (rows, report)
}

fn round_trip(rows: &[BarRow], name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    let mut exporter = Exporter::create(&path, Format::of_path(&path).unwrap()).unwrap();
    for part in rows.chunks(1_000) {
        exporter.write(part).unwrap();
    }
    assert!(!path.exists(), "nothing stands there before it is whole");
    exporter.finish().unwrap();
    let (back, report) = read(&path);
    assert_eq!(back, rows);
    assert_eq!(report.rounded, 0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
}

const NAMES: [&str; 4] = ["x.csv", "x.csv.gz", "x.parquet", "x.feather"];

#[test]
fn every_form_reads_back_the_same() {
    for name in NAMES {
        round_trip(&rows(), name);
    }
}

#[test]
fn more_than_one_group_reads_back_the_same() {
    let many: Vec<BarRow> = (0..i64::try_from(GROUP_ROWS).unwrap() * 2 + 7)
        .map(|i| bar(i * MINUTE, i128::from(i) + 1))
        .collect();
    for name in NAMES {
        round_trip(&many, name);
    }
}

#[test]
fn csv_is_as_documented() {
    let text = Arc::new(Mutex::new(Vec::new()));
    let stream = Box::new(Shared(text.clone()));
    let target = Target::Stream { name: "stdout".into(), stream };
    let mut exporter = Exporter::to(target, Format::Csv).unwrap();
    exporter.write(&rows()).unwrap();
    exporter.finish().unwrap();
    let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
    assert_eq!(
        text,
        "timestamp,open,high,low,close,volume,quote_volume,trades_count,taker_buy_volume,taker_buy_quote_volume\n\
         1970-01-01T00:00:00Z,0.00000001,0.00000001,0.00000001,0.00000001,0,0,,,\n\
         1970-01-01T00:01:00Z,999999999999.99999999,999999999999.99999999,999999999999.99999999,999999999999.99999999,999999999999.99999998,,2147483647,999999999999.99999999,\n\
         1970-01-01T00:03:00Z,1.5,1.5,1.5,1.5,1.49999999,,,,1.23456789\n"
    );
}

#[test]
fn an_export_not_finished_leaves_what_was() {
    let dir = tempfile::tempdir().unwrap();
    for name in NAMES {
        let path = dir.path().join(name);
        std::fs::write(&path, "old").unwrap();
        let mut exporter = Exporter::create(&path, Format::of_path(&path).unwrap()).unwrap();
        exporter.write(&rows()).unwrap();
        drop(exporter);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), NAMES.len());
}

#[test]
fn errors_name_the_target() {
    let missing = Path::new("/no/such/directory/x.csv");
    let error = Exporter::create(missing, Format::Csv).err().unwrap();
    assert!(error.to_string().starts_with("/no/such/directory/x.csv: "), "{error}");
    let error = "xlsx".parse::<Format>().unwrap_err();
    assert_eq!(error.hint().unwrap(), "use csv, csv.gz, parquet or feather");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_what_is_written_over_stays_what_it_is() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("deep")).unwrap();
    std::fs::write(path("deep/old"), "old").unwrap();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path("deep/old"), private).unwrap();
    for (to, link) in [("deep/old", "one"), ("one", "two"), ("deep/new", "dangling")] {
        symlink(to, path(link)).unwrap();
        write_file(&path(link), link.as_bytes()).unwrap();
        assert!(path(link).is_symlink(), "{link} is one still");
        assert_eq!(std::fs::read(path(to)).unwrap(), link.as_bytes());
    }
    assert_eq!(std::fs::read(path("deep/old")).unwrap(), b"two");
    let mode = std::fs::metadata(path("one")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may read it still");
    symlink("circle", path("circle")).unwrap();
    assert!(write_file(&path("circle"), b"").is_err());
    let pipe = path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read(pipe).unwrap()
    });
    write_file(&pipe, b"through").unwrap();
    assert_eq!(reader.join().unwrap(), b"through");
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let error = write_file(&path("deep"), b"").unwrap_err().to_string();
    assert!(error.contains("deep: Is a directory"), "{error}");
    assert_eq!(std::fs::read_dir(path("deep")).unwrap().count(), 2, "no temporary file is left");
}

fn columns() -> Vec<TableColumn> {
    let column = |name: &str, values| TableColumn { name: name.into(), values };
    vec![
        column("side", Values::Text(vec![Some("LONG".into()), Some("a \"b\",\nc".into()), None])),
        column("pnl", Values::Decimal(vec![Some(-150_000_000), Some(LARGEST), None])),
        column("n", Values::Integer(vec![Some(7), None, Some(-1)])),
        column("bars", Values::Count(vec![Some(7), None, Some(-1)])),
        column("x", Values::Number(vec![Some(0.5), None, Some(1e21)])),
        column("at", Values::Time(vec![Some(0), None, Some(1)])),
    ]
}

#[test]
fn tables_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t");
    write_table(Target::from(&*path), TableFormat::Csv, columns()).unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "side,pnl,n,bars,x,at\n\
         LONG,-1.5,7,7,0.5,1970-01-01T00:00:00Z\n\
         \"a \"\"b\"\",\nc\",999999999999.99999999,,,,\n\
         ,,-1,-1,1000000000000000000000,1970-01-01T00:00:00.000001Z\n"
    );
    write_table(Target::from(&*path), TableFormat::Json, columns()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"pnl\":999999999999.99999999,"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json[1]["side"], "a \"b\",\nc");
    assert!(json[2]["pnl"].is_null());
    write_table(Target::from(&*path), TableFormat::Json, Vec::new()).unwrap();
    assert!(serde_json::from_slice::<Vec<()>>(&std::fs::read(&path).unwrap()).unwrap().is_empty());
}

#[test]
fn tables_as_frames() {
    use polars::prelude::{ParquetReader, SerReader as _};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    write_table(Target::from(&*path), TableFormat::Parquet, columns()).unwrap();
    let frame = ParquetReader::new(std::fs::File::open(&path).unwrap()).finish().unwrap();
    assert!(frame.equals_missing(&table::frame(columns()).unwrap()));
    let mut odd = columns();
    odd[1].values = Values::Integer(vec![None]);
    let error = write_table(Target::from(&*path), TableFormat::Ipc, odd).unwrap_err();
    assert!(error.to_string().ends_with("column `pnl` has 1 rows, not 3"), "{error}");
}

/// The first `n` rows, or those from there on.
fn page(rest: bool, n: usize) -> Vec<TableColumn> {
    fn cut<T: Clone>(all: &[T], rest: bool, n: usize) -> Vec<T> {
        if rest { all[n..].to_vec() } else { all[..n].to_vec() }
    }
    let cut_column = |column: TableColumn| {
        let values = match column.values {
            Values::Text(v) => Values::Text(cut(&v, rest, n)),
            Values::Count(v) => Values::Count(cut(&v, rest, n)),
            Values::Integer(v) => Values::Integer(cut(&v, rest, n)),
            Values::Decimal(v) => Values::Decimal(cut(&v, rest, n)),
            Values::Number(v) => Values::Number(cut(&v, rest, n)),
            Values::Time(v) => Values::Time(cut(&v, rest, n)),
        };
        TableColumn { name: column.name, values }
    };
    columns().into_iter().map(cut_column).collect()
}

#[test]
fn pages_of_a_table_make_the_whole_table() {
    use polars::prelude::{IpcReader, ParquetReader, SerReader as _};
    let dir = tempfile::tempdir().unwrap();
    let (whole, paged) = (dir.path().join("whole"), dir.path().join("paged"));
    let forms = [TableFormat::Csv, TableFormat::Json, TableFormat::Parquet, TableFormat::Ipc];
    for form in forms {
        write_table(Target::from(&*whole), form, columns()).unwrap();
        let mut writer = TableWriter::to(Target::from(&*paged), form).unwrap();
        for part in [page(false, 0), page(false, 1), page(true, 1)] {
            writer.write(part).unwrap();
        }
        let mut odd = page(false, 1);
        odd[0].name = "other".to_owned();
        assert!(writer.write(odd).unwrap_err().to_string().contains("columns `other,"));
        assert!(!paged.exists() || form != TableFormat::Csv, "not there before it is whole");
        writer.finish().unwrap();
        let open = |path| std::fs::File::open(path).unwrap();
        let expected = table::frame(columns()).unwrap();
        match form {
            TableFormat::Parquet => {
                let frame = ParquetReader::new(open(&paged)).finish().unwrap();
                assert!(frame.equals_missing(&expected));
            }
            TableFormat::Ipc => {
                let frame = IpcReader::new(open(&paged)).finish().unwrap();
                assert!(frame.equals_missing(&expected));
            }
            _ => assert_eq!(std::fs::read(&paged).unwrap(), std::fs::read(&whole).unwrap()),
        }
        // A table without rows has its columns still.
        write_table(Target::from(&*paged), form, page(false, 0)).unwrap();
        if form == TableFormat::Parquet {
            let frame = ParquetReader::new(open(&paged)).finish().unwrap();
            assert_eq!((frame.height(), frame.width()), (0, columns().len()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_rows_read_back_the_same(values in prop::collection::vec((1..=LARGEST, 0..=LARGEST, prop::option::of(0..=LARGEST), prop::option::of(0..i32::MAX)), 1..40), form in 0..4_usize) {
        let rows: Vec<BarRow> = values.into_iter().zip(-20_i64..).map(|((price, volume, quote, count), i)| BarRow {
            volume,
            quote_volume: quote,
            taker_buy_volume: quote.map(|q| q / 3),
            trades_count: count,
            ..bar(i * MINUTE, price)
        }).collect();
        round_trip(&rows, NAMES[form]);
    }
}

struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
