//! The symbol and the timeframe of a file, where its name or its first rows make them plain.
//! Nothing is guessed: what is not plain is an error that says what to give.

use std::collections::HashMap;
use std::path::Path;

use sim::timeframe::{SECOND_US, Timeframe};

use super::error::ImportError;

/// Characters of `market_data.symbol`.
pub const SYMBOL_CHARS: usize = 20;
/// Differences of times that the rows must show before they speak for a timeframe.
const LEAST_DIFFERENCES: usize = 2;
/// Differences, all alike, that contradict the timeframe in a file's name.
const CONTRADICTION: usize = 10;

/// What a file's name says, as far as it says it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NameSays {
    pub(super) symbol: Option<String>,
    pub(super) timeframe: Option<Timeframe>,
}

/// Reads `BTCUSDT-1m-2024-01.zip`, `ETH_BTC-5m.feather`, `XBTUSD_60.csv`, `BTC-USD.csv`; `by_rows` is the
/// timeframe that the rows show, which tells whether a bare number is one.
pub(super) fn name_says(path: &Path, by_rows: Option<Timeframe>) -> NameSays {
    let stem = stem(path);
    let mut previous_end = 0;
    for (start, word) in words(&stem) {
        let before = stem[..previous_end].to_owned();
        previous_end = start + word.len();
        if before.is_empty() {
            continue;
        }
        let minutes = by_rows.filter(|t| word.parse() == Ok(t.us() / SECOND_US / 60));
        if let Some(timeframe) = timeframe_word(word).or(minutes) {
            return NameSays { symbol: Some(before), timeframe: Some(timeframe) };
        }
    }
    NameSays { symbol: looks_like_symbol(&stem).then_some(stem), timeframe: None }
}

/// The file's name without the endings of forms we read.
fn stem(path: &Path) -> String {
    const ENDINGS: [&str; 12] = [
        ".gz", ".zip", ".csv", ".txt", ".tsv", ".parquet", ".pq", ".feather", ".arrow", ".ipc",
        ".dat", ".refused",
    ];
    let mut name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    while let Some(ending) = ENDINGS.iter().find(|e| name.to_lowercase().ends_with(*e)) {
        name.truncate(name.len() - ending.len());
    }
    name
}

/// The words of a name and where each begins.
fn words(stem: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    stem.split(['-', '_', '.', ',', ' '])
        .map(move |word| {
            let start = at;
            at += word.len() + 1;
            (start, word)
        })
        .filter(|(_, word)| !word.is_empty())
}

/// `1m`, `4h`, and how others write them; `1M` is a month and no timeframe of ours.
fn timeframe_word(word: &str) -> Option<Timeframe> {
    if let Ok(timeframe) = word.parse() {
        return Some(timeframe);
    }
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let count = &word[..word.len() - unit.len()];
    let short = match unit {
        "min" | "mins" | "minute" | "minutes" => "m",
        "H" | "hr" | "hour" | "hours" => "h",
        "D" | "day" | "days" => "d",
        "W" | "week" => "w",
        _ => return None,
    };
    if (count, short) == ("60", "m") {
        return "1h".parse().ok();
    }
    format!("{count}{short}").parse().ok()
}

/// A whole name such as `BTCUSDT`, `BTC-USD` or `AAPL`: capitals and digits, but no date.
fn looks_like_symbol(stem: &str) -> bool {
    let mark = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "-_.:".contains(c);
    let date = |word: &str| word.len() >= 4 && word.bytes().all(|b| b.is_ascii_digit());
    stem.chars().count() <= SYMBOL_CHARS
        && stem.chars().all(mark)
        && stem.chars().any(|c| c.is_ascii_uppercase())
        && !words(stem).any(|(_, word)| date(word))
}

/// What the differences of the first times say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RowsSay {
    /// The smallest difference, when it is also the most common one and a timeframe.
    pub(super) timeframe: Option<Timeframe>,
    /// Whether it is the only difference, seen often enough to contradict a name.
    sure: bool,
    /// Why there is none.
    why: String,
}

/// Reads the timeframe out of times in file order.
pub(super) fn rows_say(times_us: &[i64]) -> RowsSay {
    let mut counts: HashMap<i64, usize> = HashMap::new();
    for pair in times_us.windows(2) {
        let difference = pair[1].abs_diff(pair[0]);
        if let Ok(us @ 1..) = i64::try_from(difference) {
            *counts.entry(us).or_default() += 1;
        }
    }
    let all: usize = counts.values().sum();
    let not_plain = |why: String| RowsSay { timeframe: None, sure: false, why };
    let Some((&smallest, &often)) = counts.iter().min().filter(|_| all >= LEAST_DIFFERENCES) else {
        return not_plain("too few rows to tell".to_owned());
    };
    let seconds = smallest as f64 / SECOND_US as f64;
    let Some(timeframe) = Timeframe::from_us(smallest) else {
        return not_plain(format!("bars {seconds} s apart are no timeframe"));
    };
    if often * 2 < all {
        return not_plain(format!("{often} of the first {all} bars are {seconds} s apart"));
    }
    RowsSay {
        timeframe: Some(timeframe),
        sure: often == all && all >= CONTRADICTION,
        why: String::new(),
    }
}

/// The timeframe by the user's word, else by the file's name, else by its rows.
///
/// # Errors
/// When none is plain, or the rows plainly contradict the name.
pub(super) fn timeframe(
    path: &Path,
    given: Option<Timeframe>,
    named: Option<Timeframe>,
    rows: &RowsSay,
) -> Result<Timeframe, ImportError> {
    let no = |why: String| ImportError::NoTimeframe { path: path.to_owned(), why };
    if let Some(given) = given {
        return Ok(given);
    }
    match (named, rows.timeframe) {
        (Some(named), Some(seen)) if rows.sure && named != seen => {
            Err(no(format!("its name says {named}, its bars are {seen} apart")))
        }
        (Some(named), _) => Ok(named),
        (None, Some(seen)) => Ok(seen),
        (None, None) => Err(no(rows.why.clone())),
    }
}

/// The symbol by the user's word, else by a symbol column, else by the file's name.
///
/// # Errors
/// When none is plain, or it does not fit `market_data`.
pub(super) fn symbol(
    path: &Path,
    given: Option<&str>,
    column: Option<String>,
    named: Option<String>,
) -> Result<String, ImportError> {
    let found = given.map(str::to_owned).or(column).or(named);
    let symbol = found.ok_or_else(|| ImportError::NoSymbol { path: path.to_owned() })?;
    let fits = (1..=SYMBOL_CHARS).contains(&symbol.chars().count());
    if fits && !symbol.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Ok(symbol);
    }
    Err(ImportError::BadSymbol { path: path.to_owned(), symbol, limit: SYMBOL_CHARS })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> (Option<String>, Option<String>) {
        let says = name_says(Path::new(name), Timeframe::from_us(3_600 * SECOND_US));
        (says.symbol, says.timeframe.map(|t| t.to_string()))
    }

    #[test]
    fn names_of_files() {
        for (name, symbol, timeframe) in [
            ("BTCUSDT-1m-2024-01.zip", "BTCUSDT", "1m"),
            ("BTCUSD_PERP-1m.csv", "BTCUSD_PERP", "1m"),
            ("ETH_BTC-5m.feather", "ETH_BTC", "5m"),
            ("XRP_USDT_USDT-1h-futures.feather", "XRP_USDT_USDT", "1h"),
            ("data/Binance_BTCUSDT_1h.csv.gz", "Binance_BTCUSDT", "1h"),
            ("gemini_BTCUSD_2020_1min.csv", "gemini_BTCUSD_2020", "1min"),
            ("XBTUSD_60.csv", "XBTUSD", "1h"),
            ("BINANCE_BTCUSDT, 60.csv", "BINANCE_BTCUSDT", "1h"),
            ("BITSTAMP_BTCUSD, 1D.csv", "BITSTAMP_BTCUSD", "1d"),
        ] {
            let timeframe = if timeframe == "1min" { "1m" } else { timeframe };
            assert_eq!(named(name), (Some(symbol.into()), Some(timeframe.into())), "{name}");
        }
        assert_eq!(named("BTC-USD.csv"), (Some("BTC-USD".into()), None));
        for name in
            ["bars.csv", "export.parquet", "EXPORT-2024-01.csv", "1m.csv", "BTCUSDT-1M.zip.bak"]
        {
            assert_eq!(named(name), (None, None), "{name}");
        }
    }

    #[test]
    fn times_of_rows() {
        let minutes = |m: &[i64]| m.iter().map(|m| m * 60 * SECOND_US).collect::<Vec<_>>();
        let say = |m: &[i64]| rows_say(&minutes(m)).timeframe.map(|t| t.to_string());
        assert_eq!(say(&[0, 5, 10, 30, 35]), Some("5m".into()));
        assert_eq!(say(&[180, 120, 60]), Some("1h".into()));
        assert_eq!(say(&[0, 5]), None, "one difference may be a gap");
        assert_eq!(say(&[0, 7, 14, 21]), None, "7 minutes are no timeframe");
        assert_eq!(say(&[0, 5, 20, 35, 50]), None, "most are 15 minutes apart, one is 5");
    }

    #[test]
    fn rows_contradict_a_name_only_when_they_are_sure() {
        let hours: Vec<i64> = (0..20).map(|h| h * 3_600 * SECOND_US).collect();
        let minute = "1m".parse().ok();
        let path = Path::new("X-1m.csv");
        let error = timeframe(path, None, minute, &rows_say(&hours)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "X-1m.csv: the timeframe is not plain: its name says 1m, its bars are 1h apart"
        );
        assert_eq!(timeframe(path, None, minute, &rows_say(&hours[..5])).ok(), minute);
        assert_eq!(timeframe(path, minute, None, &rows_say(&hours)).ok(), minute);
    }
}
