//! Verdicts on stored rows: on those that a run reads, and on a whole series for its own sake.
//! What is wrong with bars is `sim::verdict`'s business.

use sim::bars::Column;
use sim::timeframe::Timeframe;
use sim::verdict::{self, Series, Verdict, Volumes};

use super::{Range, bad_cell, halves, open_series};
use crate::Store;
use crate::cells::Cells;
use crate::error::Error;
use crate::frame::Frame;
use crate::progress::Progress;

/// What is read of a series to judge it.
const READ: [Column; 5] = [Column::Open, Column::High, Column::Low, Column::Close, Column::Volume];

/// The verdict on rows that were read for a run; on volumes only where the run reads them.
pub(super) fn of(
    place: &str,
    symbol: &str,
    timeframe: Timeframe,
    source: &Frame,
) -> Result<Verdict, Error> {
    let prices = |column| {
        source.prices(column)?.map_err(|bad| bad_cell(place, symbol, timeframe, source, bad))
    };
    let has_volume = source.columns().contains(&Column::Volume);
    let plain = if has_volume { source.prices(Column::Volume)?.ok() } else { None };
    let copied =
        (has_volume && plain.is_none()).then(|| source.units(Column::Volume)).transpose()?;
    Ok(verdict::judge(&Series {
        timeframe,
        time_us: source.time_us()?,
        open: prices(Column::Open)?,
        high: prices(Column::High)?,
        low: prices(Column::Low)?,
        close: prices(Column::Close)?,
        volume: plain.map(Volumes::Plain).or(copied.as_ref().map(Volumes::Any)),
    }))
}

/// See [`Store::judge`].
pub(crate) async fn judge(
    store: &Store,
    symbol: &str,
    timeframe: Timeframe,
    range: Range,
    progress: &dyn Progress,
) -> Result<Verdict, Error> {
    let (tx, scan) = open_series(store, symbol, timeframe, range, READ.to_vec()).await?;
    let all = halves::read(tx, None, scan, timeframe.us(), progress).await?;
    let judged = tokio::task::spawn_blocking(move || {
        let mut columns = all.columns.into_iter();
        let [open, high, low, close] =
            [(); 4].map(|()| columns.next().map(prices).unwrap_or_default());
        let volume = columns.next();
        verdict::judge(&Series {
            timeframe,
            time_us: &all.time_us,
            open: &open,
            high: &high,
            low: &low,
            close: &close,
            volume: volume.as_ref().map(Volumes::Any),
        })
    });
    judged.await.or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Prices as 63 bits hold them. What is beyond is cut off there, far from its neighbours; what is missing becomes 0,
/// which is no price.
fn prices(cells: Cells) -> Vec<i64> {
    let narrow = |units: Option<i128>| units.map_or(0, |u| i64::try_from(u).unwrap_or(i64::MAX));
    cells.into_plain().unwrap_or_else(|(_, cells)| cells.iter().map(narrow).collect())
}
