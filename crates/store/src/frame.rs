//! Bars as a polars frame: the second hop, between rows and `sim::Bars`.
//! No database and no SQL may enter; resampling and hashing read frames, they do not build them.
//!
//! Dtypes are the cheapest that are exact. Prices and volumes are Int64 in units of 1e-8, which moves without a copy
//! and is what `Bars` takes; a column with a value beyond 63 bits (above about 92 billion) is Decimal(38, 8), which
//! polars keeps in 128 bits. Time is a Datetime of microseconds without zone, meaning UTC.

use std::collections::BTreeMap;

use polars::prelude::{
    ChunkedArray, Column as Series, DataFrame, DataType, Int64Chunked, Int64Type, IntoColumn,
    IntoSeries, NewChunkedArray, PolarsResult, TimeUnit,
};
use polars::prelude::{Int128Chunked, PlSmallStr};
use sim::bars::Column;

use crate::cells::Cells;
use crate::error::Error;

/// Name of the time column, as in SQL.
pub(crate) const TIME: &str = "timestamp";
/// Precision of a column of wide values: what 128 bits hold.
const WIDE_PRECISION: usize = 38;
const WIDE_SCALE: usize = 8;

/// Bars of one series as a frame, ascending in time.
#[derive(Clone, Debug)]
pub(crate) struct Frame(DataFrame);

/// A value that a column may not hold, by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadCell {
    pub(crate) column: Column,
    pub(crate) row: usize,
    pub(crate) value: Option<i128>,
}

impl Frame {
    /// Columns of equal length, with times ascending.
    pub(crate) fn new(
        time_us: Vec<i64>,
        columns: impl IntoIterator<Item = (Column, Cells)>,
    ) -> Result<Self, Error> {
        let rows = time_us.len();
        let time = Int64Chunked::from_vec(PlSmallStr::from_static(TIME), time_us);
        let time = time.into_datetime(TimeUnit::Microseconds, None).into_series().into_column();
        let mut series = vec![time];
        for (column, cells) in columns {
            series.push(column_of(column, cells)?);
        }
        Ok(Self(DataFrame::new(rows, series)?))
    }

    pub(crate) fn rows(&self) -> usize {
        self.0.height()
    }

    /// The rows from `first` on, without a copy.
    pub(crate) fn starting_at(&self, first: usize) -> Self {
        let rows = self.rows() - first;
        // A row number past 2^63 cannot be.
        Self(self.0.slice(i64::try_from(first).unwrap_or(i64::MAX), rows))
    }

    /// Opening times, microseconds UTC.
    pub(crate) fn time_us(&self) -> Result<&[i64], Error> {
        let time = self.0.column(TIME)?.as_materialized_series().datetime()?;
        Ok(time.physical().cont_slice()?)
    }

    /// A price column: no value may be missing or beyond 63 bits.
    pub(crate) fn prices(&self, column: Column) -> Result<Result<&[i64], BadCell>, Error> {
        let series = self.0.column(column.name())?;
        if series.null_count() == 0 && *series.dtype() == DataType::Int64 {
            return Ok(Ok(series.as_materialized_series().i64()?.cont_slice()?));
        }
        let cells = self.units(column)?;
        let bad = |v: &Option<i128>| v.is_none_or(|v| i64::try_from(v).is_err());
        let row = cells.iter().position(|v| bad(&v)).unwrap_or_default();
        Ok(Err(BadCell { column, row, value: cells.range(row..cells.len()).next().flatten() }))
    }

    /// Any column in units of 1e-8, copied.
    pub(crate) fn units(&self, column: Column) -> Result<Cells, Error> {
        units(self.0.column(column.name())?)
    }

    /// The columns besides time, in the table's order.
    pub(crate) fn columns(&self) -> Vec<Column> {
        Column::ALL.into_iter().filter(|c| self.0.column(c.name()).is_ok()).collect()
    }

    /// The first missing value of a column that may have none.
    pub(crate) fn first_null(&self) -> Result<Option<BadCell>, Error> {
        for column in self.columns() {
            // The same columns that are NOT NULL in the table.
            if !(column.is_price() || column == Column::Volume) {
                continue;
            }
            let series = self.0.column(column.name())?.as_materialized_series();
            if series.null_count() > 0 {
                let row = series.is_null().iter().position(|null| null == Some(true));
                return Ok(Some(BadCell { column, row: row.unwrap_or_default(), value: None }));
            }
        }
        Ok(None)
    }

    /// Takes the times out: without a copy where no other frame has them.
    pub(crate) fn take_times(&mut self) -> Result<Vec<i64>, Error> {
        let series = self.0.drop_in_place(TIME)?.take_materialized_series();
        let values = series.datetime()?.physical().clone();
        drop(series);
        Ok(into_vec(values))
    }

    /// Takes a price column out, likewise.
    pub(crate) fn take_prices(
        &mut self,
        column: Column,
    ) -> Result<Result<Vec<i64>, BadCell>, Error> {
        if let Err(bad) = self.prices(column)? {
            return Ok(Err(bad));
        }
        let series = self.0.drop_in_place(column.name())?.take_materialized_series();
        let values = series.i64()?.clone();
        drop(series);
        Ok(Ok(into_vec(values)))
    }

    /// Takes volumes and counts out, for `Bars`; likewise where none is missing.
    pub(crate) fn take_extra(&mut self) -> Result<BTreeMap<Column, Cells>, Error> {
        let mut extra = BTreeMap::new();
        for column in self.columns().into_iter().filter(|c| !c.is_price()) {
            let series = self.0.drop_in_place(column.name())?;
            let cells = if series.null_count() == 0 && *series.dtype() == DataType::Int64 {
                let series = series.take_materialized_series();
                let values = series.i64()?.clone();
                drop(series);
                into_vec(values).into()
            } else {
                units(&series)?
            };
            extra.insert(column, cells);
        }
        Ok(extra)
    }
}

/// The values of a column, copied.
fn units(series: &Series) -> Result<Cells, Error> {
    let series = series.as_materialized_series();
    if *series.dtype() == DataType::Int64 {
        return Ok(series.i64()?.iter().map(|v| v.map(i128::from)).collect());
    }
    Ok(series.decimal()?.physical().iter().collect())
}

fn into_vec(values: Int64Chunked) -> Vec<i64> {
    let mut all = Vec::new();
    for chunk in values.downcast_into_iter() {
        let (_, values, _) = chunk.into_inner();
        let values = values.into_mut().right_or_else(|shared| <[i64]>::to_vec(&shared));
        if all.is_empty() {
            all = values;
        } else {
            all.extend(values);
        }
    }
    all
}

fn column_of(column: Column, cells: Cells) -> PolarsResult<Series> {
    let name = PlSmallStr::from_static(column.name());
    let cells = match cells.into_plain() {
        Ok(plain) => return Ok(ChunkedArray::<Int64Type>::from_vec(name, plain).into_column()),
        Err((_, cells)) => cells,
    };
    if cells.has_wide() {
        let wide = Int128Chunked::from_iter_options(name, cells.iter());
        return Ok(wide.into_decimal(WIDE_PRECISION, WIDE_SCALE)?.into_series().into_column());
    }
    let narrow = cells.iter().map(|v| v.and_then(|v| i64::try_from(v).ok()));
    Ok(Int64Chunked::from_iter_options(name, narrow).into_column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(values: &[Option<i128>]) -> Cells {
        let mut cells = Cells::default();
        values.iter().for_each(|&v| cells.push(v));
        cells
    }

    #[test]
    fn every_value_comes_back_from_the_cheapest_dtype() {
        let plain = [Some(1), Some(2)];
        let holes = [None, Some(i128::from(i64::MAX))];
        let wide = [Some(99_999_999_999_999_999_999), None];
        let frame = Frame::new(
            vec![0, 60],
            [
                (Column::Open, cells(&plain)),
                (Column::QuoteVolume, cells(&holes)),
                (Column::TakerBuyVolume, cells(&wide)),
            ],
        )
        .unwrap();
        assert_eq!(frame.time_us().unwrap(), [0, 60]);
        assert_eq!(frame.prices(Column::Open).unwrap(), Ok(&[1, 2][..]));
        assert_eq!(frame.units(Column::QuoteVolume).unwrap(), cells(&holes));
        assert_eq!(frame.units(Column::TakerBuyVolume).unwrap(), cells(&wide));
        let bad = BadCell { column: Column::TakerBuyVolume, row: 0, value: wide[0] };
        assert_eq!(frame.prices(Column::TakerBuyVolume).unwrap(), Err(bad));
        assert_eq!(frame.starting_at(1).units(Column::QuoteVolume).unwrap(), cells(&holes[1..]));
        let mut taken = frame.starting_at(1);
        assert_eq!(taken.take_prices(Column::Open).unwrap(), Ok(vec![2]));
        assert_eq!(taken.take_times().unwrap(), [60]);
        assert!(taken.take_prices(Column::TakerBuyVolume).unwrap().is_err());
        assert_eq!(frame.first_null().unwrap(), None);
    }

    #[test]
    fn a_hole_in_a_price_is_found() {
        let frame = Frame::new(vec![0, 60], [(Column::Low, cells(&[Some(1), None]))]).unwrap();
        let bad = BadCell { column: Column::Low, row: 1, value: None };
        assert_eq!(frame.first_null().unwrap(), Some(bad));
        assert_eq!(frame.prices(Column::Low).unwrap(), Err(bad));
    }
}
