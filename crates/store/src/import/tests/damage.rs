//! Damaged, misnamed and hostile files: each ends in an error that names the file, never in a panic.

use super::*;
use crate::export::{Exporter, Format};

fn exported(name: &str, n: i64) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    let mut exporter = Exporter::create(&path, Format::of_path(&path).unwrap()).unwrap();
    let rows: Vec<BarRow> = (0..n).map(bar).collect();
    exporter.write(&rows).unwrap();
    exporter.finish().unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn a_file_cut_short_is_an_error_wherever_it_was_cut() {
    let text = lines(300);
    for (name, whole) in [
        ("X-1m.csv.gz", gzip(&text)),
        ("X-1m.zip", zip(&[("X.csv", text.as_bytes())])),
        ("X-1m.parquet", exported("x.parquet", 300)),
        ("X-1m.feather", exported("x.feather", 300)),
    ] {
        assert_eq!(Made::new(name, &whole).ok().rows.len(), 300);
        for keep in (0..whole.len()).step_by(whole.len() / 60 + 1) {
            let (error, _) = Made::new(name, &whole[..keep]).error();
            assert!(error.starts_with(&format!("{name}: ")), "{keep}: {error}");
        }
    }
}

#[test]
fn a_changed_byte_is_never_a_panic() {
    // Of the binary forms only the footer: a length changed inside a compressed page can make polars ask for more
    // memory than there is, which no caller can catch. The process ends then, and its transaction with it.
    const FOOTER: usize = 400;
    for name in ["X-1m.parquet", "X-1m.feather", "X-1m.zip", "X-1m.csv.gz"] {
        let (whole, from) = match name {
            "X-1m.zip" => (zip(&[("X.csv", lines(50).as_bytes())]), 0),
            "X-1m.csv.gz" => (gzip(lines(50)), 0),
            other => {
                let bytes = exported(other, 50);
                let from = bytes.len() - FOOTER;
                (bytes, from)
            }
        };
        for at in (from..whole.len()).step_by((whole.len() - from) / 200 + 1) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            // Some bytes matter to nobody (padding, a writer's name); what is wrong must be an error.
            if let Err(error) = Made::new(name, &bytes).skip().get() {
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }
}

#[test]
fn other_forms_are_named() {
    for (name, bytes, said) in [
        ("x.feather", &b"FEA1\0\0\0\0"[..], "Feather version 1, which is not read"),
        ("x.arrow", b"\xff\xff\xff\xff\0\0\0\0", "an Arrow IPC stream, not a file"),
        ("x.csv", b"\xff\xfet\0i\0", "text in UTF-16"),
        ("x.csv.zst", b"\x28\xb5\x2f\xfd", "compressed with zstd"),
        ("x.json", b"[[1,2]]", "JSON, which is not read"),
        ("x.parquet", b"time,open", "named .parquet, but does not begin like such a file"),
        ("x.csv", b"", "empty: holds no bars"),
        ("x.csv", b"a\0b", "not a text file"),
        ("x.csv", b"hello\nworld\n", "no table"),
    ] {
        let (error, _) = Made::new(name, bytes).error();
        assert!(error.starts_with(&format!("{name}: {said}")), "{error}");
    }
    let made = Made::new("X-1m.csv", "");
    let mut spec = made.spec.clone();
    spec.path.set_file_name("missing.csv");
    assert!(matches!(FileBars::open(&spec), Err(ImportError::Io { .. })));
    spec.path = made.dir.path().to_owned();
    let error = FileBars::open(&spec).err().unwrap();
    assert!(error.to_string().ends_with(": not a file"), "{error}");
}

#[test]
fn archives_with_no_or_several_texts_name_their_members() {
    let two = zip(&[("a.csv", b"1"), ("b.csv", b"2")]);
    let (error, hint) = Made::new("X-1m.zip", two).error();
    assert_eq!(error, "X-1m.zip: a zip archive with several CSV files: `a.csv` `b.csv`");
    assert_eq!(hint.unwrap(), "unpack it, and import the files");
    let none = zip(&[("a.parquet", b"1")]);
    let (error, _) = Made::new("X-1m.zip", none).error();
    assert_eq!(error, "X-1m.zip: a zip archive with no CSV file: `a.parquet`");
}

#[test]
fn a_line_without_end_stops_at_the_limit() {
    let bomb = gzip(vec![b'1'; 100 * MAX_LINE_BYTES]);
    let (error, _) = Made::new("X-1m.csv.gz", bomb).error();
    assert_eq!(error, "X-1m.csv.gz:1: a line of more than 65536 bytes (the limit)");
    let mut text = lines(3);
    text.push_str(&"7".repeat(MAX_LINE_BYTES));
    assert_eq!(Made::new("X-1m.csv", &text).skip().ok().report.bad.total(), 1);
    text.push('7');
    let (error, _) = Made::new("X-1m.csv", &text).error();
    assert!(error.starts_with("X-1m.csv:5: a line of more than"), "{error}");
}
