//! Which column of a file is what: the user's own map, the names of common exports, the shapes without names.
//! No value is read and no file opened here.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What a column can be to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    Time,
    Open,
    High,
    Low,
    Close,
    Volume,
    QuoteVolume,
    TradesCount,
    TakerBuyVolume,
    TakerBuyQuoteVolume,
    /// Only to name the symbol and to see that a file holds one.
    Symbol,
}

impl Field {
    /// Number of fields, for tables indexed by `field as usize`.
    pub(super) const COUNT: usize = 11;
    /// Every field, in the order of a bar's columns.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Time,
        Self::Open,
        Self::High,
        Self::Low,
        Self::Close,
        Self::Volume,
        Self::QuoteVolume,
        Self::TradesCount,
        Self::TakerBuyVolume,
        Self::TakerBuyQuoteVolume,
        Self::Symbol,
    ];
    /// What every bar has.
    pub(super) const REQUIRED: [Self; 6] =
        [Self::Time, Self::Open, Self::High, Self::Low, Self::Close, Self::Volume];

    /// The name in `--columns` and in our own exports (there, time is `timestamp`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Volume => "volume",
            Self::QuoteVolume => "quote_volume",
            Self::TradesCount => "trades_count",
            Self::TakerBuyVolume => "taker_buy_volume",
            Self::TakerBuyQuoteVolume => "taker_buy_quote_volume",
            Self::Symbol => "symbol",
        }
    }

    /// Names seen in exports, best first, as [`plain`] leaves them.
    fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Time => &[
                "opentime",
                "timestamp",
                "unix",
                "unixtimestamp",
                "timestampms",
                "datetime",
                "time",
                "date",
                "ts",
                "t",
                "index",
                "indexlevel0",
                "unnamed0",
                "",
            ],
            Self::Open => &["open", "openprice", "o"],
            Self::High => &["high", "highprice", "h"],
            Self::Low => &["low", "lowprice", "l"],
            Self::Close => &["close", "closeprice", "c"],
            Self::Volume => &["volume", "vol", "basevolume", "v"],
            Self::QuoteVolume => &["quotevolume", "quoteassetvolume", "quotevol", "volumequote"],
            Self::TradesCount => {
                &["tradescount", "count", "trades", "numberoftrades", "tradecount", "numtrades"]
            }
            Self::TakerBuyVolume => {
                &["takerbuyvolume", "takerbuybaseassetvolume", "takerbuybasevolume", "takerbuybase"]
            }
            Self::TakerBuyQuoteVolume => {
                &["takerbuyquotevolume", "takerbuyquoteassetvolume", "takerbuyquote"]
            }
            Self::Symbol => &["symbol", "ticker", "pair"],
        }
    }
}

/// A column as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ColumnRef {
    Name(String),
    /// From 0; the user counts from 1.
    At(usize),
}

/// The user's word on which column is what, e.g. `time=Open time,open=2,high=3,low=4,close=5,volume=vol`.
///
/// Columns are named as the header has them (case, blanks and underscores aside) or counted from 1. What is not
/// named here is recognised as without a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMap(BTreeMap<Field, ColumnRef>);

/// A `--columns` text that cannot be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ColumnMapError {
    #[error("`{0}` is not of the form field=column")]
    Form(String),
    #[error("`{part}`: there is no field `{field}`")]
    Field { part: String, field: String },
    #[error("`{0}`: columns are counted from 1")]
    Zero(String),
    #[error("`{0}`: the field is given twice")]
    Twice(String),
}

impl ColumnMapError {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        let names: Vec<&str> = Field::ALL.iter().map(|f| f.name()).collect();
        format!("write field=column, separated by commas; fields are {}", names.join(" "))
    }
}

impl FromStr for ColumnMap {
    type Err = ColumnMapError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut map = BTreeMap::new();
        for part in text.split(',') {
            let Some((name, column)) = part.split_once('=') else {
                return Err(ColumnMapError::Form(part.to_owned()));
            };
            let (name, column) = (name.trim(), column.trim());
            if column.is_empty() {
                return Err(ColumnMapError::Form(part.to_owned()));
            }
            let field = Field::ALL.into_iter().find(|f| f.name() == name).ok_or_else(|| {
                ColumnMapError::Field { part: part.to_owned(), field: name.to_owned() }
            })?;
            let column = match column.parse::<usize>() {
                Ok(0) => return Err(ColumnMapError::Zero(part.to_owned())),
                Ok(n) => ColumnRef::At(n - 1),
                Err(_) => ColumnRef::Name(column.to_owned()),
            };
            if map.insert(field, column).is_some() {
                return Err(ColumnMapError::Twice(part.to_owned()));
            }
        }
        Ok(Self(map))
    }
}

impl ColumnMap {
    /// Whether every field a bar needs is given by number, so that no header is needed.
    pub(super) fn needs_no_names(&self) -> bool {
        Field::REQUIRED.iter().all(|f| matches!(self.0.get(f), Some(ColumnRef::At(_))))
    }

    fn find(&self, field: Field, names: &[String]) -> Result<Option<usize>, ColumnTrouble> {
        match self.0.get(&field) {
            None => Ok(None),
            Some(&ColumnRef::At(at)) if at < names.len() => Ok(Some(at)),
            Some(ColumnRef::At(at)) => Err(ColumnTrouble::NotThere(format!("number {}", at + 1))),
            Some(ColumnRef::Name(name)) => {
                let exact = names.iter().position(|n| n == name);
                let loose = || names.iter().position(|n| plain(n) == plain(name));
                let at = exact.or_else(loose);
                at.map(Some).ok_or_else(|| ColumnTrouble::NotThere(format!("`{name}`")))
            }
        }
    }
}

/// Why the columns of a file are not plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ColumnTrouble {
    /// A column of the user's map does not exist.
    NotThere(String),
    /// No column for these fields was recognised.
    Missing(Vec<Field>),
    /// Two columns of one name.
    Twice(Field),
}

impl fmt::Display for ColumnTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere(column) => write!(f, "there is no column {column}"),
            Self::Missing(fields) => {
                let names: Vec<&str> = fields.iter().map(|f| f.name()).collect();
                write!(f, "no column recognised as {}", names.join(", "))
            }
            Self::Twice(field) => write!(f, "two columns could be {}", field.name()),
        }
    }
}

/// Where each field stands, from 0; fields that the file lacks have no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places([Option<usize>; Field::COUNT]);

impl Places {
    pub(super) fn get(&self, field: Field) -> Option<usize> {
        self.0[field as usize]
    }

    pub(super) fn set(&mut self, field: Field, at: Option<usize>) {
        self.0[field as usize] = at;
    }

    /// Columns a row must have for all fields to be there.
    pub(super) fn width(&self) -> usize {
        self.0.iter().flatten().max().map_or(0, |at| at + 1)
    }

    /// The fields the file has, with their places.
    pub(super) fn present(&self) -> impl Iterator<Item = (Field, usize)> + '_ {
        Field::ALL.into_iter().filter_map(|f| self.get(f).map(|at| (f, at)))
    }

    /// Places by column names; `candidates` of the time column are told apart by `is_time`.
    ///
    /// # Errors
    /// When a field is missing, not where the user said, or could be two columns.
    pub(super) fn by_names(
        names: &[String],
        map: Option<&ColumnMap>,
        is_time: &dyn Fn(usize) -> bool,
    ) -> Result<Self, ColumnTrouble> {
        let mut places = Self::default();
        for field in Field::ALL {
            let given = map.map_or(Ok(None), |m| m.find(field, names))?;
            let found = match given {
                Some(at) => Some(at),
                None if field == Field::Time => time_column(names, is_time),
                None => recognised(field, names)?,
            };
            places.set(field, found);
        }
        places.complete().map(|()| places)
    }

    /// Places in a file without names: Binance's 12 columns, Kraken's 7, or time, OHLC and volume.
    pub(super) fn by_width(width: usize, map: Option<&ColumnMap>) -> Result<Self, ColumnTrouble> {
        use Field as F;
        let order: &[(F, usize)] = match width {
            12 => &[
                (F::QuoteVolume, 7),
                (F::TradesCount, 8),
                (F::TakerBuyVolume, 9),
                (F::TakerBuyQuoteVolume, 10),
            ],
            7 => &[(F::TradesCount, 6)],
            _ => &[],
        };
        let mut places = Self::default();
        if matches!(width, 6 | 7 | 12) {
            for (at, field) in F::REQUIRED.into_iter().enumerate() {
                places.set(field, Some(at));
            }
            for &(field, at) in order {
                places.set(field, Some(at));
            }
        }
        if let Some(map) = map {
            // A map for a file without names says all: what it leaves out of a known shape must not slip in.
            let names: Vec<String> = vec!["\u{0}".to_owned(); width];
            if map.needs_no_names() {
                places = Self::default();
            }
            for field in F::ALL {
                if let Some(at) = map.find(field, &names)? {
                    places.set(field, Some(at));
                }
            }
        }
        places.complete().map(|()| places)
    }

    fn complete(&self) -> Result<(), ColumnTrouble> {
        let missing: Vec<Field> =
            Field::REQUIRED.into_iter().filter(|&f| self.get(f).is_none()).collect();
        if missing.is_empty() { Ok(()) } else { Err(ColumnTrouble::Missing(missing)) }
    }
}

/// A name without case, blanks, underscores and other marks.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The best-named column whose values are times: `unix` beside `date`, but not a row counter called `index`.
fn time_column(names: &[String], is_time: &dyn Fn(usize) -> bool) -> Option<usize> {
    let named = |alias: &str| {
        names
            .iter()
            .enumerate()
            .filter(|(_, n)| plain(n) == alias)
            .map(|(at, _)| at)
            .collect::<Vec<_>>()
    };
    let candidates: Vec<usize> = Field::Time.aliases().iter().flat_map(|&a| named(a)).collect();
    candidates.into_iter().find(|&at| is_time(at))
}

fn recognised(field: Field, names: &[String]) -> Result<Option<usize>, ColumnTrouble> {
    for alias in field.aliases() {
        let mut found = names.iter().enumerate().filter(|(_, n)| plain(n) == *alias);
        if let Some((at, _)) = found.next() {
            if found.next().is_some() {
                return Err(ColumnTrouble::Twice(field));
            }
            return Ok(Some(at));
        }
    }
    Ok(match field {
        Field::Volume => volume_of_asset(names, 0),
        Field::QuoteVolume if recognised(Field::Volume, names)? == volume_of_asset(names, 0) => {
            volume_of_asset(names, 1)
        }
        _ => None,
    })
}

/// `Volume BTC`, `Volume USDT`: of the traded asset first, of the quoted one second.
fn volume_of_asset(names: &[String], nth: usize) -> Option<usize> {
    let of_asset = |name: &String| {
        let mut words = name.split([' ', '_']);
        let first = words.next().is_some_and(|w| w.eq_ignore_ascii_case("volume"));
        let asset = words.next().is_some_and(|w| {
            (2..=6).contains(&w.len())
                && w.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        });
        first && asset && words.next().is_none()
    };
    // "Volume MA" of a chart is an indicator, and not two assets' volumes.
    let found: Vec<usize> =
        names.iter().enumerate().filter(|(_, n)| of_asset(n)).map(|(at, _)| at).collect();
    found.get(nth).copied().filter(|_| found.len() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    fn by_names(text: &str) -> Result<Vec<(Field, usize)>, ColumnTrouble> {
        Places::by_names(&names(text), None, &|_| true).map(|p| p.present().collect())
    }

    #[test]
    fn a_map_is_read_or_names_its_bad_part() {
        let map: ColumnMap = "time=Open time,open=2,volume=vol".parse().unwrap();
        assert_eq!(map.0[&Field::Time], ColumnRef::Name("Open time".into()));
        assert_eq!(map.0[&Field::Open], ColumnRef::At(1));
        let error = |t: &str| t.parse::<ColumnMap>().unwrap_err().to_string();
        assert_eq!(error("time"), "`time` is not of the form field=column");
        assert_eq!(error("time="), "`time=` is not of the form field=column");
        assert_eq!(error("time=1,opn=2"), "`opn=2`: there is no field `opn`");
        assert_eq!(error("open=0"), "`open=0`: columns are counted from 1");
        assert_eq!(error("open=1,open=2"), "`open=2`: the field is given twice");
    }

    #[test]
    fn names_of_common_exports() {
        use Field as F;
        let ohlcv = [(F::Open, 1), (F::High, 2), (F::Low, 3), (F::Close, 4), (F::Volume, 5)];
        let binance = "Open time,Open,High,Low,Close,Volume,Close time,Quote asset volume,\
            Number of trades,Taker buy base asset volume,Taker buy quote asset volume,Ignore";
        let mut twelve = vec![(F::Time, 0)];
        twelve.extend(ohlcv);
        let mut plain = twelve.clone();
        twelve.extend([
            (F::QuoteVolume, 7),
            (F::TradesCount, 8),
            (F::TakerBuyVolume, 9),
            (F::TakerBuyQuoteVolume, 10),
        ]);
        assert_eq!(by_names(binance).unwrap(), twelve);
        let new = "open_time,open,high,low,close,volume,close_time,quote_volume,count,\
            taker_buy_volume,taker_buy_quote_volume,ignore";
        assert_eq!(by_names(new).unwrap(), twelve);
        for header in ["date,open,high,low,close,volume", "t,o,h,l,c,v", ",Open,High,Low,Close,Vol"]
        {
            assert_eq!(by_names(header).unwrap(), plain, "{header}");
        }
        plain[5].1 = 6;
        assert_eq!(by_names("Date,Open,High,Low,Close,Adj Close,Volume").unwrap(), plain);
        plain[5].1 = 5;
        assert_eq!(by_names("time,open,high,low,close,Volume,Volume MA").unwrap(), plain);
    }

    #[test]
    fn volumes_by_asset_come_in_pairs() {
        let header = "Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount";
        let found = by_names(header).unwrap();
        assert!(found.contains(&(Field::Time, 0)) && found.contains(&(Field::Volume, 7)));
        assert!(found.contains(&(Field::QuoteVolume, 8)) && found.contains(&(Field::Symbol, 2)));
        assert!(found.contains(&(Field::TradesCount, 9)));
        assert_eq!(
            by_names("time,open,high,low,close,Volume MA"),
            Err(ColumnTrouble::Missing(vec![Field::Volume]))
        );
    }

    #[test]
    fn what_is_not_plain_is_said() {
        assert_eq!(
            by_names("timestamp,id,price").unwrap_err().to_string(),
            "no column recognised as open, high, low, close, volume"
        );
        assert_eq!(
            by_names("time,open,high,low,close,close,volume"),
            Err(ColumnTrouble::Twice(Field::Close))
        );
        let map = "time=8".parse().unwrap();
        let error = Places::by_names(&names("time,open"), Some(&map), &|_| true).unwrap_err();
        assert_eq!(error.to_string(), "there is no column number 8");
    }

    #[test]
    fn shapes_without_names() {
        assert_eq!(Places::by_width(12, None).unwrap().present().count(), 10);
        assert_eq!(Places::by_width(7, None).unwrap().get(Field::TradesCount), Some(6));
        assert!(Places::by_width(8, None).is_err());
        let map = "time=1,open=2,high=3,low=4,close=5,volume=7".parse().unwrap();
        let places = Places::by_width(8, Some(&map)).unwrap();
        assert_eq!((places.get(Field::Volume), places.width()), (Some(6), 7));
        assert_eq!(Places::by_width(12, Some(&map)).unwrap().get(Field::QuoteVolume), None);
    }
}
