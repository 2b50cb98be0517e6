//! CSV: what its first lines show (separator, header, columns, times), and rows decoded from bytes.
//! No file is opened and no row judged here; nothing is allocated a row.

use std::borrow::Cow;

use super::columns::{ColumnTrouble, Field, Places};
use super::decimal;
use super::error::ImportError;
use super::gate::{Decoded, Gate};
use super::report::excerpt;
use super::source::Lines;
use super::time::TimeFormat;
use super::{ImportSpec, SAMPLE_ROWS};
use crate::row::{BadRow, BarRow};

/// Separators, the likeliest first.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];
/// Lines that may stand above the header: an address, a title.
const MAX_PREAMBLE: usize = 10;
/// Fields of the narrowest file: a time and four prices.
const LEAST_FIELDS: usize = 5;
/// Columns looked at in a file of text.
const MAX_COLUMNS: usize = 1_024;
/// Rows of the sample that decide on the time's format.
const TIME_ROWS: usize = 50;

/// How the lines of one file are to be read.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    separator: u8,
    /// Number of the first line that is a row.
    first_row: u64,
    pub(super) columns: usize,
    pub(super) header: bool,
    places: Places,
    pub(super) time: TimeFormat,
}

/// The first lines of a file and what they show.
pub(super) struct Sample {
    pub(super) layout: Layout,
    /// Times of the first rows, in file order.
    pub(super) times_us: Vec<i64>,
    /// The first row's symbol, if there is such a column.
    pub(super) symbol: Option<String>,
}

/// Reads the first lines.
///
/// # Errors
/// When the file cannot be read, or its columns or times are not recognised.
pub(super) fn sample(spec: &ImportSpec, lines: &mut Lines<'_>) -> Result<Sample, ImportError> {
    let mut first = Vec::new();
    while first.len() < SAMPLE_ROWS {
        let Some((number, line)) = lines.next()? else { break };
        if !is_blank(line) {
            first.push((number, line.to_vec()));
        }
    }
    let shape = Shape::of(spec, &first)?;
    let map = spec.columns.as_ref();
    let is_time = |at: usize| shape.time_format(at).is_some();
    let places = match &shape.names {
        Some(names) => Places::by_names(names, map, &is_time),
        None => Places::by_width(shape.first_fields.len(), map),
    };
    let places = places.map_err(|trouble| shape.column_error(spec, &trouble))?;
    let time_at = places.get(Field::Time).unwrap_or(0);
    let Some(time) = shape.time_format(time_at) else {
        return Err(shape.column_error(spec, &ColumnTrouble::Missing(vec![Field::Time])));
    };
    let layout = Layout {
        separator: shape.separator,
        first_row: shape.rows[0].0,
        columns: shape.first_fields.len(),
        header: shape.names.is_some(),
        places,
        time,
    };
    Ok(shape.into_sample(layout))
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// The first lines, cut apart.
struct Shape<'a> {
    separator: u8,
    names: Option<Vec<String>>,
    /// Fields of the header, or of the first row where there is none.
    first_fields: Vec<String>,
    rows: &'a [(u64, Vec<u8>)],
}

impl<'a> Shape<'a> {
    fn of(spec: &ImportSpec, first: &'a [(u64, Vec<u8>)]) -> Result<Self, ImportError> {
        let fields_of = |line: &[u8], separator| split_all(line, separator, MAX_COLUMNS).len();
        let widest = |line: &[u8]| {
            SEPARATORS.into_iter().rev().max_by_key(|&separator| fields_of(line, separator))
        };
        let wide = |line: &[u8]| widest(line).filter(|&s| fields_of(line, s) >= LEAST_FIELDS);
        let found = first
            .iter()
            .take(MAX_PREAMBLE + 1)
            .enumerate()
            .find_map(|(at, (_, line))| wide(line).map(|separator| (at, separator)));
        let Some((at, separator)) = found else {
            let columns = first.first().map_or_else(Vec::new, |(_, l)| vec![lossy(l)]);
            let trouble =
                format!("no table: no line with {LEAST_FIELDS} fields among the first lines");
            return Err(ImportError::Columns { path: spec.path.clone(), trouble, columns });
        };
        let fields: Vec<String> =
            split_all(&first[at].1, separator, MAX_COLUMNS).into_iter().map(lossy).collect();
        let number =
            |f: &&String| matches!(decimal::text(f.as_bytes()), Ok(_) | Err(BadRow::NotFinite));
        let header = fields.iter().filter(number).count() < LEAST_FIELDS - 1;
        let rows = &first[at + usize::from(header)..];
        if rows.is_empty() {
            return Err(ImportError::form(&spec.path, "a header and nothing else: holds no bars"));
        }
        Ok(Self { separator, names: header.then(|| fields.clone()), first_fields: fields, rows })
    }

    /// The commonest format of times in a column; `None` when its texts are no times.
    fn time_format(&self, at: usize) -> Option<TimeFormat> {
        let mut formats: Vec<(TimeFormat, usize)> = Vec::new();
        for (_, line) in self.rows.iter().take(TIME_ROWS) {
            let fields = split_all(line, self.separator, at + 1);
            let Some(format) = fields.get(at).and_then(|f| TimeFormat::of(f)) else { continue };
            match formats.iter_mut().find(|(f, _)| *f == format) {
                Some((_, count)) => *count += 1,
                None => formats.push((format, 1)),
            }
        }
        // Of equals the first one found: `max_by_key` would take the last.
        formats.into_iter().rev().max_by_key(|&(_, count)| count).map(|(format, _)| format)
    }

    fn column_error(&self, spec: &ImportSpec, trouble: &ColumnTrouble) -> ImportError {
        let lacks_time =
            |t: &ColumnTrouble| matches!(t, ColumnTrouble::Missing(f) if f.contains(&Field::Time));
        let mut said = trouble.to_string();
        if self.names.is_none() {
            said.push_str(" in a file without header");
        } else if lacks_time(trouble) {
            said.push_str(&format!("; the first row is `{}`", excerpt(&self.rows[0].1)));
        }
        ImportError::Columns {
            path: spec.path.clone(),
            trouble: said,
            columns: self.first_fields.clone(),
        }
    }

    fn into_sample(self, layout: Layout) -> Sample {
        let field = |line: &'a [u8], at: usize| {
            split_all(line, layout.separator, at + 1).get(at).copied().unwrap_or_default()
        };
        let time_at = layout.places.get(Field::Time).unwrap_or(0);
        let times_us = self
            .rows
            .iter()
            .filter_map(|(_, line)| layout.time.parse(field(line, time_at)).ok())
            .collect();
        let symbol = layout.places.get(Field::Symbol).map(|at| lossy(field(&self.rows[0].1, at)));
        Sample { times_us, symbol: symbol.filter(|s| !s.is_empty()), layout }
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text.trim_ascii()).into_owned()
}

/// At most `limit` fields of a line.
fn split_all(line: &[u8], separator: u8, limit: usize) -> Vec<&[u8]> {
    let mut cuts = Vec::new();
    split(line, separator, limit, &mut cuts);
    cuts.into_iter().map(|(start, end)| &line[start..end]).collect()
}

/// Where the first `limit` fields begin and end, without the quotes around them.
fn split(line: &[u8], separator: u8, limit: usize, cuts: &mut Vec<(usize, usize)>) {
    cuts.clear();
    let mut start = 0;
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        if byte == separator {
            cuts.push((start, at));
            start = at + 1;
            if cuts.len() == limit {
                return;
            }
        } else if byte == b'"' && at == start {
            // What stands between the quotes; a quote doubled inside would make no number anyway.
            let rest = &line[at + 1..];
            let length = rest.iter().position(|&b| b == b'"').unwrap_or(rest.len());
            cuts.push((at + 1, at + 1 + length));
            let after = (at + 2 + length).min(line.len());
            match line[after..].iter().position(|&b| b == separator) {
                Some(next) if cuts.len() < limit => start = after + next + 1,
                _ => return,
            }
            at = start;
            continue;
        }
        at += 1;
    }
    cuts.push((start, line.len()));
}

/// Offers every row of the file to the gate.
///
/// # Errors
/// When the file cannot be read to its end, holds a second symbol, or the gate refuses to go on.
pub(super) fn read(
    spec: &ImportSpec,
    layout: &Layout,
    lines: &mut Lines<'_>,
    gate: &mut Gate<'_>,
) -> Result<(), ImportError> {
    let width = layout.places.width();
    let mut cuts = Vec::with_capacity(width);
    let mut symbol: Option<Vec<u8>> = None;
    while let Some((number, line)) = lines.next()? {
        if number < layout.first_row || is_blank(line) {
            continue;
        }
        split(line, layout.separator, width, &mut cuts);
        let row = Fields { line, cuts: &cuts };
        if let Some(at) = layout.places.get(Field::Symbol) {
            row.same_symbol(spec, number, at, &mut symbol)?;
        }
        gate.offer(number, &row.decode(layout), &|| Cow::Borrowed(line))?;
    }
    Ok(())
}

/// One line, cut apart.
struct Fields<'a> {
    line: &'a [u8],
    cuts: &'a [(usize, usize)],
}

impl Fields<'_> {
    fn at(&self, at: usize) -> Result<&[u8], BadRow> {
        let &(start, end) = self.cuts.get(at).ok_or(BadRow::Unreadable)?;
        Ok(&self.line[start..end])
    }

    /// A bar of another symbol is no bad row: skipping it would import half of a file that is two.
    fn same_symbol(
        &self,
        spec: &ImportSpec,
        line: u64,
        at: usize,
        first: &mut Option<Vec<u8>>,
    ) -> Result<(), ImportError> {
        let Ok(symbol) = self.at(at) else { return Ok(()) };
        match first {
            None => *first = Some(symbol.to_vec()),
            Some(first) if first != symbol => {
                let (first, other) = (lossy(first), lossy(symbol));
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

    fn decode(&self, layout: &Layout) -> Decoded {
        let places = &layout.places;
        let mut rounded = 0;
        let mut required = |field| {
            let units = decimal::text(self.at(places.get(field).ok_or(BadRow::Unreadable)?)?)?;
            rounded += u64::from(units.rounded);
            Ok(units.value)
        };
        let mut row = BarRow {
            open: required(Field::Open)?,
            high: required(Field::High)?,
            low: required(Field::Low)?,
            close: required(Field::Close)?,
            volume: required(Field::Volume)?,
            ..BarRow::default()
        };
        let time_at = places.get(Field::Time).ok_or(BadRow::Unreadable)?;
        row.time_us = layout.time.parse(self.at(time_at)?)?;
        let mut optional = |field| -> Result<Option<i128>, BadRow> {
            let Some(text) = self.optional(places.get(field))? else { return Ok(None) };
            let units = decimal::text(text)?;
            rounded += u64::from(units.rounded);
            Ok(Some(units.value))
        };
        row.quote_volume = optional(Field::QuoteVolume)?;
        row.taker_buy_volume = optional(Field::TakerBuyVolume)?;
        row.taker_buy_quote_volume = optional(Field::TakerBuyQuoteVolume)?;
        let count = self.optional(places.get(Field::TradesCount))?;
        row.trades_count = count.map(|t| decimal::text(t).and_then(decimal::count)).transpose()?;
        Ok((row, rounded))
    }

    /// A field that may be missing: nothing, `null` or `\N` stands for no value.
    fn optional(&self, at: Option<usize>) -> Result<Option<&[u8]>, BadRow> {
        let Some(at) = at else { return Ok(None) };
        let text = self.at(at)?;
        let none = text.is_empty() || text == b"\\N" || text.eq_ignore_ascii_case(b"null");
        Ok((!none).then_some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_separators_outside_quotes() {
        let cut = |line: &'static str, limit| {
            split_all(line.as_bytes(), b',', limit).into_iter().map(lossy).collect::<Vec<_>>()
        };
        assert_eq!(cut("a,b,,d", 9), ["a", "b", "", "d"]);
        assert_eq!(cut("a,b,,d", 2), ["a", "b"]);
        assert_eq!(cut("\"a,b\",\"c\" ,d,", 9), ["a,b", "c", "d", ""]);
        assert_eq!(cut("a,\"open", 9), ["a", "open"]);
        assert_eq!(cut("a,\"", 9), ["a", ""]);
        assert_eq!(cut("", 9), [""]);
    }
}
