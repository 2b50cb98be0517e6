//! Rows that cannot be bars: each kind with its line, refused or skipped, and the file of refused rows.

use super::*;

/// Three good lines (2 to 4), one bad one (5) and a good one (6).
fn with(bad: &str) -> String {
    let mut text = lines(3);
    text.push_str(bad);
    text.push_str(&format!("\n{},2,4,1,3,10\n", T0 / 1_000 + 240_000));
    text
}

fn at(minute: i64) -> i64 {
    T0 / 1_000 + minute * 60_000
}

#[test]
fn each_kind_is_named_with_its_line() {
    let t = at(3);
    for (bad, kind) in [
        (format!("{t},2,4,1,3"), BadRow::Unreadable),
        (format!("{t},2,4,1,,10"), BadRow::Unreadable),
        (format!("{t},2,4,1,null,10"), BadRow::Unreadable),
        (format!("{t},2,4,1,3x,10"), BadRow::Unreadable),
        ("x,2,4,1,3,10".to_owned(), BadRow::Unreadable),
        (format!("{},2,4,1,3,10", t / 1_000), BadRow::Unreadable),
        (format!("{t},2,inf,1,3,10"), BadRow::NotFinite),
        (format!("{t},2,4,1,3,NaN"), BadRow::NotFinite),
        (format!("{t},2,4,0,3,10"), BadRow::PriceNotPositive),
        (format!("{t},2,4,-1,3,10"), BadRow::PriceNotPositive),
        (format!("{t},2,4,0.000000005,3,10"), BadRow::PriceNotPositive),
        (format!("{t},2,4,1,3,-1"), BadRow::NegativeVolume),
        (format!("{t},2,2.5,1,3,10"), BadRow::Range),
        (format!("{t},2,4,2.00000001,3,10"), BadRow::Range),
        (format!("{t},2,1000000000000,1,3,10"), BadRow::TooLarge),
        (format!("{t},2,4,1,3,1e12"), BadRow::TooLarge),
        (format!("{},2,4,1,3,10", t + 1), BadRow::OffGrid),
        (format!("{t}.0000001,2,4,1,3,10"), BadRow::OffGrid),
        (format!("{},2,4,1,3,10", at(1)), BadRow::Duplicate),
    ] {
        let made = Made::new("X-1m.csv", with(&bad));
        let Err(ImportError::BadRows { rows, first, counts, .. }) = made.get() else {
            panic!("{bad} was not refused");
        };
        assert_eq!((rows, counts.total()), (5, 1), "{bad}");
        assert_eq!(first, [(5, kind, bad.clone())]);
        let got = made.skip().ok();
        assert_eq!(got.rows, [bar(0), bar(1), bar(2), bar(4)], "{bad}");
        assert_eq!(got.report.first_bad, [(5, kind, bad)]);
    }
}

#[test]
fn a_refused_file_says_which_lines_and_hands_nothing_on() {
    let mut text = lines(2);
    for minute in 2..30 {
        text.push_str(&format!("{},2,4,0,3,10\n", at(minute)));
    }
    text.push_str(&format!("{},2,4,1,3,10\n{},2,4,1,3,10\n", at(30), at(30)));
    let made = Made::new("X-1m.csv", text);
    let (error, hint) = made.error();
    let mut expected =
        String::from("X-1m.csv: 29 of 32 rows refused (28 price not above 0, 1 duplicate time)");
    for n in 0..10 {
        let t = at(n + 2);
        expected.push_str(&format!("\n  X-1m.csv:{}: price not above 0: {t},2,4,0,3,10", n + 4));
    }
    assert_eq!(error, expected);
    assert!(hint.unwrap().starts_with("--bad-rows skip"));
    let file = FileBars::open(&made.spec).unwrap();
    let mut batches = 0;
    file.read(&Silent, &mut |_| {
        batches += 1;
        true
    })
    .unwrap_err();
    assert_eq!(batches, 0);
    assert!(!made.refused().exists());
}

#[test]
fn skipped_rows_are_written_beside_the_file() {
    let bad = format!("{},2,4,\"1,3\",10", at(3));
    let made = Made::new("X-1m.csv", with(&bad)).skip();
    let report = made.ok().report;
    assert_eq!(report.refused_file, Some(made.refused()));
    let text = std::fs::read_to_string(made.refused()).unwrap();
    let doubled = bad.replace('"', "\"\"");
    assert_eq!(text, format!("line,reason,text\n5,unreadable field,\"{doubled}\"\n"));
    assert_eq!(std::fs::read_dir(made.dir.path()).unwrap().count(), 2, "nothing temporary is left");
    // Again: an older file of refused rows may go, anything else may not.
    assert_eq!(made.ok().report.refused_file, Some(made.refused()));
    std::fs::write(made.refused(), "my notes\n").unwrap();
    let (error, hint) = made.error();
    assert_eq!(error, "X-1m.csv.refused.csv: already there, and not a file of refused rows");
    assert!(hint.unwrap().contains("X-1m.csv.refused.csv away"));
    assert_eq!(std::fs::read_to_string(made.refused()).unwrap(), "my notes\n");
}

#[test]
fn no_file_of_refused_rows_without_any_and_none_left_by_a_damaged_file() {
    let made = Made::new("X-1m.csv", lines(4)).skip();
    assert_eq!(made.ok().report.refused_file, None);
    assert!(!made.refused().exists());
    let whole = gzip(with("bad"));
    let cut = Made::new("X-1m.csv.gz", &whole[..whole.len() - 4]).skip();
    assert!(cut.get().is_err());
    assert_eq!(std::fs::read_dir(cut.dir.path()).unwrap().count(), 1);
}

#[test]
fn all_rows_bad_are_a_report_when_skipped() {
    let mut text = String::from("time,open,high,low,close,volume\n");
    text.extend((0..3).map(|m| format!("{},2,4,0,3,10\n", at(m))));
    let got = Made::new("X-1m.csv", text).skip().ok();
    assert_eq!((got.report.rows, got.report.from_us), (0, None));
    assert_eq!(got.report.bad.of(BadRow::PriceNotPositive), 3);
}

#[test]
fn duplicates_are_seen_in_any_order() {
    let n = 100_000_i64;
    // A full cycle through all minutes in steps of 7,919, then one of them again.
    let mut text = String::from("time,open,high,low,close,volume\n");
    for i in 0..n {
        text.push_str(&format!("{},2,4,1,3,10\n", at(i * 7_919 % n)));
    }
    let mut made = Made::new("X-1m.csv", &text);
    made.spec.timeframe = "1m".parse().ok();
    let got = made.ok();
    assert_eq!(got.report.rows, n.cast_unsigned());
    assert_eq!(got.report.to_us, Some(T0 + n * MINUTE));
    text.push_str(&format!("{},2,4,1,3,11\n", at(70_000)));
    std::fs::write(&made.spec.path, text).unwrap();
    let got = made.skip().ok();
    let line = n.cast_unsigned() + 2;
    assert_eq!(got.report.first_bad[0].0, line);
    assert_eq!(got.report.first_bad[0].1, BadRow::Duplicate);
}

#[test]
fn rounding_counts_values_beyond_noise() {
    let text = with(&format!("{},2.00000000000000001,4.0000000049,1,3,10.000000005", at(3)));
    let got = Made::new("X-1m.csv", text).ok();
    assert_eq!(got.report.rounded, 2);
    assert_eq!(got.rows[3], bar(3));
}

#[test]
fn the_wrong_timeframe_is_suspected_when_most_is_off_its_grid() {
    let mut made = Made::new("X.csv", lines(600));
    made.spec.timeframe = "1h".parse().ok();
    let (error, hint) = made.error();
    assert!(error.starts_with("X.csv: 590 of 600 rows refused (590 time off the grid)"), "{error}");
    assert!(hint.unwrap().starts_with("is --timeframe right?"));
    let (error, _) = Made::new("X-1h.csv", lines(600)).error();
    assert!(error.contains("its name says 1h, its bars are 1m apart"), "{error}");
}

#[test]
fn two_symbols_in_one_file_are_refused_even_when_skipping() {
    let mut text = String::from("time,symbol,open,high,low,close,volume\n");
    for (m, symbol) in [(0, "A"), (1, "A"), (2, "A"), (3, "B")] {
        text.push_str(&format!("{},{symbol},2,4,1,3,10\n", at(m)));
    }
    let (error, hint) = Made::new("X-1m.csv", text).skip().error();
    assert_eq!(error, "X-1m.csv:5: a bar of `B` in a file of `A`");
    assert_eq!(hint.unwrap(), "split the file, one symbol each");
}
