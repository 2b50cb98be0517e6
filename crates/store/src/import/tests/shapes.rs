//! Shapes of files that must be recognised: exchanges' dumps, other tools' exports, packings, our user's own map.

use polars::prelude::{
    Column, DataFrame, DataType, IpcWriter, NamedFrom as _, ParquetWriter, SerWriter as _, Series,
    TimeUnit, TimeZone,
};

use super::*;

const ONE: i128 = 100_000_000;

/// Three bars by their lines, under `header` (which may be empty).
fn three(header: &str, line: impl Fn(i64) -> String) -> String {
    let mut text = header.to_owned();
    for minute in 0..3 {
        text.push_str(&line(minute));
        text.push('\n');
    }
    text
}

fn millis(minute: i64) -> i64 {
    T0 / 1_000 + minute * 60_000
}

fn bars() -> Vec<BarRow> {
    (0..3).map(bar).collect()
}

fn full_bars() -> Vec<BarRow> {
    let full = |row: BarRow| BarRow {
        quote_volume: Some(25 * ONE),
        trades_count: Some(7),
        taker_buy_volume: Some(4 * ONE),
        taker_buy_quote_volume: Some(ONE / 2),
        ..row
    };
    bars().into_iter().map(full).collect()
}

#[track_caller]
fn expect(made: &Made, symbol: &str, describe: &str, rows: &[BarRow]) {
    let got = made.ok();
    assert_eq!((got.symbol.as_str(), got.timeframe.as_str()), (symbol, "1m"));
    assert_eq!(got.describe, describe);
    assert_eq!(got.rows, rows);
    assert_eq!(got.report.bad.total(), 0);
}

#[test]
fn binance_dumps_with_and_without_header_in_ms_and_us() {
    let line = |scale: i64| {
        move |m| {
            let t = millis(m) * scale;
            format!("{t},2.00000000,4.00,1.0,3,10,{},25,7,4,0.5,0", t + 59_999)
        }
    };
    let archive = zip(&[("BTCUSDT-1m-2024-01.csv", three("", line(1)).as_bytes())]);
    let made = Made::new("BTCUSDT-1m-2024-01.zip", archive);
    let said = "CSV in a zip archive, 12 columns without header, time in ms";
    expect(&made, "BTCUSDT", said, &full_bars());
    let header = "open_time,open,high,low,close,volume,close_time,quote_volume,count,\
        taker_buy_volume,taker_buy_quote_volume,ignore\n";
    let made = Made::new("BTCUSDT-1m.csv", three(header, line(1_000)));
    expect(&made, "BTCUSDT", "CSV, 12 columns, time in µs", &full_bars());
    let header = "Open time,Open,High,Low,Close,Volume,Close time,Quote asset volume,Number of trades,\
        Taker buy base asset volume,Taker buy quote asset volume,Ignore\n";
    let made = Made::new("BTCUSDT-1m.csv.gz", gzip(three(header, line(1))));
    expect(&made, "BTCUSDT", "CSV, gzip, 12 columns, time in ms", &full_bars());
}

#[test]
fn files_without_header_of_six_and_seven_columns() {
    let made = Made::new("X-1m.csv", three("", |m| format!("{},2,4,1,3,10", millis(m))));
    expect(&made, "X", "CSV, 6 columns without header, time in ms", &bars());
    // Kraken's name ends in the minutes of a bar, which its rows confirm.
    let text = three("", |m| format!("{},2,4,1,3,10,7", millis(m) / 1_000));
    let counted: Vec<BarRow> =
        bars().into_iter().map(|b| BarRow { trades_count: Some(7), ..b }).collect();
    let said = "CSV, 7 columns without header, time in s";
    expect(&Made::new("XBTUSD_1.csv", text), "XBTUSD", said, &counted);
}

#[test]
fn newest_first_under_an_address_with_volumes_by_asset() {
    let mut text = String::from("https://www.CryptoDataDownload.com\r\n");
    text += "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD\r\n";
    for m in (0..3).rev() {
        let date = format!("2024-01-01 00:0{m}:00");
        text += &format!("{},{date},BTC/USD,2,4,1,3,10,25\r\n", millis(m) / 1_000);
    }
    let made = Made::new("Bitstamp_BTCUSD_minute.csv", text);
    let mut rows: Vec<BarRow> =
        bars().into_iter().map(|b| BarRow { quote_volume: Some(25 * ONE), ..b }).collect();
    rows.reverse();
    expect(&made, "BTC/USD", "CSV, 9 columns, time in s", &rows);
    let report = made.ok().report;
    assert_eq!((report.from_us, report.to_us), (Some(T0), Some(T0 + 3 * MINUTE)));
}

#[test]
fn texts_of_times_and_other_names() {
    let iso = |m: i64| format!("2024-01-01 00:0{m}:00");
    let said = "CSV, 6 columns, time as ISO text";
    for (header, line) in [
        ("date,open,high,low,close,volume", "{},2,4,1,3,10"),
        ("timestamp,Open,High,Low,Close,Volume", "{}.000000,2.0,4.0,1.0,3.0,1e1"),
        ("t,o,h,l,c,v", "{}+00:00,2,4,1,3,10"),
        (",open,high,low,close,volume", "\"{}\",\"2\",\"4\",\"1\",\"3\",\"10\""),
        ("Volume;CLOSE;low;High;open;Time", "10;3;1;4;2;{}Z"),
        ("time\topen\thigh\tlow\tclose\tvol", "{}\t2\t4\t1\t3\t10"),
    ] {
        let text = three(&format!("{header}\n"), |m| line.replace("{}", &iso(m)));
        expect(&Made::new("X-1m.csv", text), "X", said, &bars());
    }
    let yahoo = three("Date,Open,High,Low,Close,Adj Close,Volume\n", |m| {
        format!("{},2,4,1,3,9,10", iso(m))
    });
    expect(
        &Made::new("BTC-USD.csv", yahoo),
        "BTC-USD",
        "CSV, 7 columns, time as ISO text",
        &bars(),
    );
    let chart = three("time,open,high,low,close,Volume,Volume MA\n", |m| {
        format!("{},2,4,1,3,10,", millis(m) / 1_000)
    });
    let made = Made::new("BINANCE_BTCUSDT, 1.csv", chart);
    expect(&made, "BINANCE_BTCUSDT", "CSV, 7 columns, time in s", &bars());
}

#[test]
fn marks_line_ends_blank_lines_and_joined_gzips() {
    let text = format!("\u{feff}{}\n\n", lines(3).replace('\n', "\r\n"));
    let said = "CSV, 6 columns, time in ms";
    expect(&Made::new("X-1m.csv", &text), "X", said, &bars());
    expect(&Made::new("X-1m.csv", text.trim_end()), "X", said, &bars());
    let (head, tail) = text.split_at(text.len() / 2);
    let joined = [gzip(head), gzip(tail)].concat();
    expect(&Made::new("X-1m.csv.gz", joined), "X", "CSV, gzip, 6 columns, time in ms", &bars());
    let mac = zip(&[
        ("__MACOSX/._X.csv", b"\0"),
        ("d/", b""),
        ("d/X.csv", text.as_bytes()),
        ("README", b""),
    ]);
    let said = "CSV in a zip archive, 6 columns, time in ms";
    expect(&Made::new("X-1m.zip", mac), "X", said, &bars());
}

#[test]
fn the_users_own_map_and_words() {
    let text = three("when,a,b,c,d,e,f\n", |m| format!("{},2,4,1,3,99,10", millis(m)));
    let made = Made::new("X-1m.csv", &text);
    let (error, hint) = made.error();
    assert!(error.starts_with("X-1m.csv: no column recognised as time, open"), "{error}");
    assert!(error.contains("its columns are `when` `a` `b` `c` `d` `e` `f`"), "{error}");
    assert!(hint.unwrap().contains("--columns"));
    let said = "CSV, 7 columns, time in ms";
    let by_name = made.columns("time=When,open=a,high=b,low=c,close=d,volume=f");
    expect(&by_name, "X", said, &bars());
    expect(&by_name.columns("time=1,open=2,high=3,low=4,close=5,volume=7"), "X", said, &bars());
    let headless: String = text.lines().skip(1).map(|l| format!("{l}\n")).collect();
    let made =
        Made::new("X-1m.csv", headless).columns("time=1,open=2,high=3,low=4,close=5,volume=7");
    expect(&made, "X", "CSV, 7 columns without header, time in ms", &bars());
    let mut made = made;
    made.spec.symbol = Some("BINANCE:XUSDT".into());
    made.spec.timeframe = "1m".parse().ok();
    assert_eq!(made.ok().symbol, "BINANCE:XUSDT");
}

#[test]
fn what_is_not_plain_is_asked_for() {
    let made = Made::new("bars.csv", lines(3));
    let (error, hint) = made.error();
    assert_eq!(error, "bars.csv: the symbol is not plain");
    assert_eq!(hint.unwrap(), "give --symbol NAME");
    let (error, hint) = Made::new("XY.csv", lines(2)).error();
    assert_eq!(error, "XY.csv: the timeframe is not plain: too few rows to tell");
    assert!(hint.unwrap().starts_with("give --timeframe: use one of 1s"));
    let (error, _) = Made::new("A_NAME_FAR_TOO_LONG_FOR_US-1m.csv", lines(3)).error();
    assert!(error.contains("is no symbol: it needs 1 to 20 characters"), "{error}");
    let (error, _) = Made::new("X-1m.csv", "time,open,high,low,close,volume\n").error();
    assert!(error.contains("holds no bars"), "{error}");
    let us = lines(3).replace("1704067200000,", "01/01/2024,").replace("1704067", "x");
    let (error, _) = Made::new("X-1m.csv", us).error();
    assert!(
        error.contains("no column recognised as time; the first row is `01/01/2024,"),
        "{error}"
    );
}

/// A frame of three bars with times and prices of given types.
fn frame(time: Series, price: &DataType) -> DataFrame {
    let column = |name: &str, value: f64| {
        let series = Series::new(name.into(), vec![value; 3]);
        Column::from(series.cast(price).unwrap())
    };
    let mut columns = vec![Column::from(time)];
    for (name, value) in
        [("open", 2.0), ("high", 4.0), ("low", 1.0), ("close", 3.0), ("volume", 10.0)]
    {
        columns.push(column(name, value));
    }
    DataFrame::new(3, columns).unwrap()
}

fn parquet(frame: &mut DataFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(frame).unwrap();
    bytes
}

fn ipc(frame: &mut DataFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    IpcWriter::new(&mut bytes).finish(frame).unwrap();
    bytes
}

#[test]
fn frames_of_every_type() {
    let micros: Vec<i64> = (0..3).map(|m| T0 + m * MINUTE).collect();
    let times = |scale: i64, unit: i64| -> Series {
        Series::new("date".into(), micros.iter().map(|t| t * scale / unit).collect::<Vec<i64>>())
    };
    let texts: Vec<String> = (0..3).map(|m| format!("2024-01-01 00:0{m}:00")).collect();
    let stamp = |unit, zone| {
        times(
            if unit == TimeUnit::Nanoseconds { 1_000 } else { 1 },
            if unit == TimeUnit::Milliseconds { 1_000 } else { 1 },
        )
        .into_datetime(unit, zone)
    };
    for (time, words) in [
        (stamp(TimeUnit::Nanoseconds, Some(TimeZone::UTC)), "time as timestamp in ns"),
        (stamp(TimeUnit::Microseconds, None), "time as timestamp in µs"),
        (stamp(TimeUnit::Milliseconds, None), "time as timestamp in ms"),
        (times(1, 1_000_000), "time in s"),
        (times(1, 1_000), "time in ms"),
        (times(1, 1_000).cast(&DataType::Float64).unwrap(), "time in ms"),
        (Series::new("date".into(), texts), "time as ISO text"),
    ] {
        for price in [
            DataType::Float64,
            DataType::Float32,
            DataType::Int64,
            DataType::String,
            DataType::Decimal(20, 8),
            DataType::Decimal(38, 10),
        ] {
            let mut frame = frame(time.clone(), &price);
            let said = format!("Parquet, 6 columns, {words}");
            expect(&Made::new("X-1m.parquet", parquet(&mut frame)), "X", &said, &bars());
            let said = format!("Arrow IPC (Feather), 6 columns, {words}");
            expect(&Made::new("X-1m.feather", ipc(&mut frame)), "X", &said, &bars());
        }
    }
}

#[test]
fn frames_of_days_and_of_types_that_are_no_numbers() {
    let days = Series::new("date".into(), vec![19_723_i32, 19_724, 19_725]).into_date();
    let made = Made::new("X.parquet", parquet(&mut frame(days.clone(), &DataType::Float64)));
    let got = made.ok();
    assert_eq!((got.timeframe.as_str(), got.rows[0].time_us), ("1d", T0));
    let made = Made::new("X.parquet", parquet(&mut frame(days, &DataType::Boolean)));
    let (error, _) = made.error();
    assert!(error.contains("the column `open` is of type bool"), "{error}");
    let no_time = Series::new("date".into(), vec![1_i64, 2, 3]);
    let (error, _) =
        Made::new("X.parquet", parquet(&mut frame(no_time, &DataType::Float64))).error();
    assert!(error.contains("no column recognised as time"), "{error}");
}

#[test]
fn a_typed_time_far_outside_is_no_time() {
    for unit in [TimeUnit::Nanoseconds, TimeUnit::Microseconds, TimeUnit::Milliseconds] {
        let time =
            Series::new("date".into(), vec![i64::MIN, 0, i64::MAX / 60_000_000 * 60_000_000]);
        let mut frame = frame(time.into_datetime(unit, None), &DataType::Float64);
        let mut made = Made::new("X-1m.parquet", parquet(&mut frame)).skip();
        made.spec.timeframe = "1m".parse().ok();
        let bad = made.ok().report.bad;
        assert_eq!(bad.total(), 2, "{unit:?}: {bad}");
    }
}

#[test]
fn frames_of_several_groups_with_bad_rows_by_number() {
    let n = 1_000_i64;
    let times: Vec<i64> = (0..n).map(|m| (T0 + m * MINUTE) / 1_000).collect();
    let price = |v: f64| (0..n).map(|m| if m == 700 { f64::NAN } else { v }).collect::<Vec<_>>();
    let mut columns = vec![Column::from(Series::new("timestamp".into(), times))];
    for (name, value) in
        [("open", 2.0), ("high", 4.0), ("low", 1.0), ("close", 3.0), ("volume", 10.0)]
    {
        columns.push(Column::from(Series::new(name.into(), price(value))));
    }
    let mut frame = DataFrame::new(1_000, columns).unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).with_row_group_size(Some(300)).finish(&mut frame).unwrap();
    let made = Made::new("X-1m.parquet", bytes).skip();
    let got = made.ok();
    assert_eq!((got.report.rows, got.rows[699], got.rows[700]), (999, bar(699), bar(701)));
    let line = "701,not a finite number,\"1704109200000,NaN,NaN,NaN,NaN,NaN\"\n";
    assert!(std::fs::read_to_string(made.refused()).unwrap().ends_with(line));
}
