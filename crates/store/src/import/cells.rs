//! Rows decoded from frames, whatever types their columns have, by the same exact rules as text.
//! No file is opened and no row judged here.

use std::borrow::Cow;

use polars::prelude::{
    Column, DataFrame, DataType, Float32Chunked, Float64Chunked, Int64Chunked, Int128Chunked,
    PolarsResult, StringChunked, TimeUnit,
};

use super::columns::{Field, Places};
use super::decimal::{self, Units};
use super::error::ImportError;
use super::frames::{Header, Kind, guarded};
use super::gate::{Decoded, Gate};
use super::time::{Epoch, TimeFormat};
use super::{ImportSpec, Progress, SAMPLE_ROWS};
use crate::row::{BadRow, BarRow};

/// A file of frames, recognised.
pub(super) struct Table {
    pub(super) header: Header,
    /// Places among all columns of the file.
    places: Places,
    /// The columns to read, ascending.
    projection: Vec<usize>,
    /// How times stand in a column of numbers or texts; typed timestamps need no telling.
    time: Option<TimeFormat>,
    pub(super) time_words: String,
}

/// The first rows of a file and what they show.
pub(super) struct Sample {
    pub(super) table: Table,
    pub(super) times_us: Vec<i64>,
    pub(super) symbol: Option<String>,
}

/// Reads the metadata and the first rows.
///
/// # Errors
/// When the file cannot be read, or its columns or times are not recognised.
pub(super) fn sample(spec: &ImportSpec, kind: Kind) -> Result<Sample, ImportError> {
    let path = &spec.path;
    let header = Header::read(path, kind)?;
    if header.is_empty() {
        return Err(ImportError::form(path, "holds no bars"));
    }
    let no = |trouble: String| ImportError::Columns {
        path: path.clone(),
        trouble,
        columns: header.names.clone(),
    };
    let time_like = |at: usize| sample_of_time(&header, at).is_ok_and(|t| t.is_some());
    let places = Places::by_names(&header.names, spec.columns.as_ref(), &time_like)
        .map_err(|trouble| no(trouble.to_string()))?;
    let time_at = places.get(Field::Time).unwrap_or(0);
    let Some(time) = sample_of_time(&header, time_at)? else {
        return Err(no(format!("the column `{}` holds no times", header.names[time_at])));
    };
    let symbol = match places.get(Field::Symbol) {
        Some(at) => first_text(&header, at)?,
        None => None,
    };
    let mut projection: Vec<usize> = places.present().map(|(_, at)| at).collect();
    projection.sort_unstable();
    projection.dedup();
    let table = Table { header, places, projection, time: time.format, time_words: time.words };
    Ok(Sample { table, times_us: time.times_us, symbol })
}

struct TimeSample {
    format: Option<TimeFormat>,
    words: String,
    times_us: Vec<i64>,
}

/// The first values of a column as times; `None` when they are none.
fn sample_of_time(header: &Header, at: usize) -> Result<Option<TimeSample>, ImportError> {
    let mut found = None;
    header.frames(&[at], Some(SAMPLE_ROWS), &mut |frame, _| {
        let Some(column) = frame.columns().first() else { return Ok(false) };
        let Ok(cells) = Cells::of(column) else { return Ok(false) };
        let rows = frame.height().min(SAMPLE_ROWS);
        let format = match &cells {
            Cells::Time(..) => None,
            _ => match (0..rows).find_map(|i| TimeFormat::of(&cells.text(i))) {
                Some(format) => Some(format),
                None => return Ok(false),
            },
        };
        let words = match (&cells, format) {
            (_, Some(format)) => format.words().to_owned(),
            (Cells::Time(_, unit), None) => format!("time as {}", unit.words()),
            _ => String::new(),
        };
        let times_us = (0..rows).filter_map(|i| cells.time(i, format).ok()).collect();
        found = Some(TimeSample { format, words, times_us });
        Ok(false)
    })?;
    Ok(found)
}

fn first_text(header: &Header, at: usize) -> Result<Option<String>, ImportError> {
    let mut found = None;
    header.frames(&[at], Some(1), &mut |frame, _| {
        let cells = frame.columns().first().and_then(|column| Cells::symbols(column).ok());
        if let Some(Cells::Text(texts)) = cells {
            found = texts.get(0).map(str::to_owned);
        }
        Ok(false)
    })?;
    Ok(found)
}

/// Offers every row of the file to the gate.
///
/// # Errors
/// When the file cannot be read to its end, a column has a type that is not read, or the gate refuses to go on.
pub(super) fn read(
    spec: &ImportSpec,
    table: &Table,
    total_bytes: u64,
    progress: &dyn Progress,
    gate: &mut Gate<'_>,
) -> Result<(), ImportError> {
    let (mut row_number, mut told) = (0, 0);
    let mut symbol = None;
    table.header.frames(&table.projection, None, &mut |frame, share| {
        let rows = guarded(&spec.path, || Rows::of(table, frame))?;
        for i in 0..frame.height() {
            row_number += 1;
            rows.same_symbol(spec, i, row_number, &mut symbol)?;
            gate.offer(row_number, &rows.decode(i), &|| Cow::Owned(rows.text(i)))?;
        }
        let now = bytes_done(total_bytes, share);
        progress.advance(now - told);
        told = now;
        Ok(true)
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a size, for a bar on a screen"
)]
fn bytes_done(total: u64, share: f64) -> u64 {
    (total as f64 * share) as u64
}

/// The unit of a typed time column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Day,
    Milli,
    Micro,
    Nano,
}

impl Unit {
    fn words(self) -> &'static str {
        match self {
            Self::Day => "date",
            Self::Milli => "timestamp in ms",
            Self::Micro => "timestamp in µs",
            Self::Nano => "timestamp in ns",
        }
    }

    fn micros(self, value: i64) -> Result<i64, BadRow> {
        let factor = match self {
            Self::Day => sim::timeframe::DAY_US,
            Self::Milli => 1_000,
            Self::Micro => 1,
            Self::Nano if value % 1_000 == 0 => return Ok(value / 1_000),
            Self::Nano => return Err(BadRow::OffGrid),
        };
        value.checked_mul(factor).ok_or(BadRow::Unreadable)
    }
}

/// The values of one column of a frame.
enum Cells {
    Double(Float64Chunked),
    Single(Float32Chunked),
    Int(Int64Chunked),
    Decimal(Int128Chunked, u32),
    Text(StringChunked),
    Time(Int64Chunked, Unit),
}

impl Cells {
    /// # Errors
    /// When no number, text or time can stand in such a column.
    fn of(column: &Column) -> PolarsResult<Self> {
        let series = column.as_materialized_series();
        let long = || series.to_physical_repr().strict_cast(&DataType::Int64);
        Ok(match series.dtype() {
            DataType::Float64 => Self::Double(series.f64()?.clone()),
            DataType::Float32 => Self::Single(series.f32()?.clone()),
            DataType::Decimal(_, scale) => {
                let scale = u32::try_from(*scale).unwrap_or(u32::MAX);
                Self::Decimal(series.decimal()?.physical().clone(), scale)
            }
            DataType::String => Self::Text(series.str()?.clone()),
            DataType::Date => Self::Time(long()?.i64()?.clone(), Unit::Day),
            DataType::Datetime(unit, _) => {
                let unit = match unit {
                    TimeUnit::Milliseconds => Unit::Milli,
                    TimeUnit::Microseconds => Unit::Micro,
                    TimeUnit::Nanoseconds => Unit::Nano,
                };
                Self::Time(long()?.i64()?.clone(), unit)
            }
            dtype if dtype.is_integer() => Self::Int(long()?.i64()?.clone()),
            other => {
                let text = format!("the column `{}` is of type {other}", series.name());
                return Err(polars::prelude::PolarsError::SchemaMismatch(text.into()));
            }
        })
    }

    /// The names of symbols, however they are stored (as text, or as numbers of a dictionary).
    fn symbols(column: &Column) -> PolarsResult<Self> {
        let texts = column.as_materialized_series().strict_cast(&DataType::String)?;
        Ok(Self::Text(texts.str()?.clone()))
    }

    /// The number in row `i`; `None` for null.
    fn units(&self, i: usize) -> Result<Option<Units>, BadRow> {
        let units = match self {
            Self::Double(c) => c.get(i).map(decimal::double),
            Self::Single(c) => c.get(i).map(decimal::single),
            Self::Int(c) => c.get(i).map(|v| Ok(decimal::fixed(v.into(), 0))),
            Self::Decimal(c, scale) => c.get(i).map(|v| Ok(decimal::fixed(v, *scale))),
            Self::Text(c) => c.get(i).map(|v| decimal::text(v.as_bytes())),
            Self::Time(..) => return Err(BadRow::Unreadable),
        };
        units.transpose()
    }

    fn time(&self, i: usize, format: Option<TimeFormat>) -> Result<i64, BadRow> {
        match (self, format) {
            (Self::Time(c, unit), _) => unit.micros(c.get(i).ok_or(BadRow::Unreadable)?),
            (Self::Int(c), Some(TimeFormat::Epoch(epoch))) => {
                Epoch::micros(epoch, c.get(i).ok_or(BadRow::Unreadable)?, 0)
            }
            (_, Some(format)) => format.parse(&self.text(i)),
            (_, None) => Err(BadRow::Unreadable),
        }
    }

    /// Row `i` as it would stand in a CSV file; nothing for null.
    fn text(&self, i: usize) -> Vec<u8> {
        let text = match self {
            Self::Double(c) => c.get(i).map(|v| v.to_string()),
            Self::Single(c) => c.get(i).map(|v| v.to_string()),
            Self::Int(c) => c.get(i).map(|v| v.to_string()),
            Self::Decimal(c, scale) => c.get(i).map(|v| decimal_text(v, *scale)),
            Self::Text(c) => c.get(i).map(str::to_owned),
            Self::Time(c, unit) => c.get(i).map(|v| {
                unit.micros(v).map_or_else(
                    |_| v.to_string(),
                    |us| {
                        let mut text = Vec::new();
                        super::time::iso_text(us, &mut text);
                        String::from_utf8_lossy(&text).into_owned()
                    },
                )
            }),
        };
        text.unwrap_or_default().into_bytes()
    }
}

fn decimal_text(mantissa: i128, scale: u32) -> String {
    rust_decimal::Decimal::try_from_i128_with_scale(mantissa, scale)
        .map_or_else(|_| format!("{mantissa}e-{scale}"), |d| d.normalize().to_string())
}

/// The columns of one frame by field.
struct Rows {
    cells: [Option<Cells>; Field::COUNT],
    time: Option<TimeFormat>,
}

impl Rows {
    fn of(table: &Table, frame: &DataFrame) -> PolarsResult<Self> {
        let mut cells = [const { None }; Field::COUNT];
        for (field, at) in table.places.present() {
            let column =
                table.projection.binary_search(&at).ok().and_then(|n| frame.columns().get(n));
            let Some(column) = column else { continue };
            let of = if field == Field::Symbol { Cells::symbols } else { Cells::of };
            cells[field as usize] = Some(of(column)?);
        }
        Ok(Self { cells, time: table.time })
    }

    fn cells(&self, field: Field) -> Option<&Cells> {
        self.cells[field as usize].as_ref()
    }

    fn required(&self, field: Field, i: usize) -> Result<Units, BadRow> {
        self.cells(field).map_or(Ok(None), |c| c.units(i))?.ok_or(BadRow::Unreadable)
    }

    fn decode(&self, i: usize) -> Decoded {
        let mut rounded = 0;
        let mut value = |units: Units| {
            rounded += u64::from(units.rounded);
            units.value
        };
        let optional = |field| self.cells(field).map_or(Ok(None), |c| c.units(i));
        let row = BarRow {
            open: value(self.required(Field::Open, i)?),
            high: value(self.required(Field::High, i)?),
            low: value(self.required(Field::Low, i)?),
            close: value(self.required(Field::Close, i)?),
            volume: value(self.required(Field::Volume, i)?),
            quote_volume: optional(Field::QuoteVolume)?.map(&mut value),
            taker_buy_volume: optional(Field::TakerBuyVolume)?.map(&mut value),
            taker_buy_quote_volume: optional(Field::TakerBuyQuoteVolume)?.map(&mut value),
            trades_count: optional(Field::TradesCount)?.map(decimal::count).transpose()?,
            time_us: self.cells(Field::Time).ok_or(BadRow::Unreadable)?.time(i, self.time)?,
        };
        Ok((row, rounded))
    }

    /// Row `i` as a line of CSV, for a person to find it again.
    fn text(&self, i: usize) -> Vec<u8> {
        let present = self.cells.iter().flatten();
        present.map(|cells| cells.text(i)).collect::<Vec<_>>().join(&b',')
    }

    fn same_symbol(
        &self,
        spec: &ImportSpec,
        i: usize,
        line: u64,
        first: &mut Option<String>,
    ) -> Result<(), ImportError> {
        let Some(Cells::Text(symbols)) = self.cells(Field::Symbol) else { return Ok(()) };
        let symbol = symbols.get(i).unwrap_or_default();
        match first {
            None => *first = Some(symbol.to_owned()),
            Some(first) if first != symbol => {
                let (first, other) = (first.clone(), symbol.to_owned());
                return Err(ImportError::TwoSymbols {
                    path: spec.path.clone(),
                    line,
                    first,
                    other,
                });
            }
            Some(_) => {}
        }
        Ok(())
    }
}
