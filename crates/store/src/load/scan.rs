//! Rows out of either backend, block by block through a channel, so that a reader that is slow holds the database up
//! and memory does not grow. What the rows are for may not enter.

use sim::bars::Column;
use sim::exact::ONE_E8;
use sqlx::Transaction;
use sqlx::sqlite::Sqlite;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::cells::{Block, Scan};
use crate::error::Error;
use crate::row::BarRow;
use crate::tx::{Conn, Tx};
use crate::{postgres, sqlite};

/// Blocks that wait between the database and the reader.
const BLOCKS_AHEAD: usize = 2;

type Blocks = Sender<Result<Block, Error>>;

/// Starts to read; an error is the last item.
pub(super) fn start(tx: Tx, scan: Scan) -> Receiver<Result<Block, Error>> {
    let (sender, receiver) = mpsc::channel(BLOCKS_AHEAD);
    if let Conn::Postgres(_) = tx.conn {
        tokio::spawn(from_postgres(tx, scan, sender));
        return receiver;
    }
    tokio::task::spawn_blocking(move || {
        let Tx { conn, what, place } = tx;
        if let Conn::Sqlite(conn) = conn {
            from_sqlite(conn, &scan, &sender, what, place.to_string());
        }
    });
    receiver
}

fn from_sqlite(
    mut conn: Transaction<'static, Sqlite>,
    scan: &Scan,
    sender: &Blocks,
    what: &'static str,
    place: String,
) {
    let send = |block| sender.blocking_send(Ok(block)).is_ok();
    let wait = Handle::current();
    let _ = wait.block_on(sqlx::raw_sql(sqlite::CACHE_OF_A_SCAN).execute(&mut *conn));
    let done = match wait.block_on(conn.lock_handle()) {
        Ok(mut locked) => sqlite::scan::scan(locked.as_raw_handle(), scan, send)
            .map_err(|why| Error::Scan { what, place, why }),
        Err(source) => Err(Error::Database { what, place, source }),
    };
    // A cache of another size is slower or larger and no fault.
    let _ = wait.block_on(sqlx::raw_sql(sqlite::CACHE).execute(&mut *conn));
    if let Err(error) = done {
        // Nobody listens any more: there is nobody to tell.
        let _ = sender.blocking_send(Err(error));
    }
}

async fn from_postgres(mut tx: Tx, scan: Scan, sender: Blocks) {
    let done = async {
        let literals = postgres::out::literals(&mut tx, &scan).await?;
        let Conn::Postgres(conn) = &mut tx.conn else { return Ok(()) };
        let done = postgres::out::bars_out(conn, &scan, &literals, &sender).await;
        done.map_err(|broken| broken.error(tx.what, &tx.place, &scan))
    };
    if let Err(error) = done.await {
        // Nobody listens any more: there is nobody to tell.
        let _ = sender.send(Err(error)).await;
    }
}

/// The same as whole rows; `scan` has to ask for every column.
pub(super) fn start_rows(tx: Tx, scan: Scan) -> Receiver<Result<Vec<BarRow>, Error>> {
    let (sender, receiver) = mpsc::channel(1);
    let mut blocks = start(tx, scan);
    tokio::spawn(async move {
        while let Some(block) = blocks.recv().await {
            if sender.send(block.map(|block| rows(&block))).await.is_err() {
                return;
            }
        }
    });
    receiver
}

fn rows(block: &Block) -> Vec<BarRow> {
    let cell = |column: Column, row: usize| block.columns[column as usize].get(row);
    let row = |(row, &time_us): (usize, &i64)| BarRow {
        time_us,
        open: cell(Column::Open, row).unwrap_or_default(),
        high: cell(Column::High, row).unwrap_or_default(),
        low: cell(Column::Low, row).unwrap_or_default(),
        close: cell(Column::Close, row).unwrap_or_default(),
        volume: cell(Column::Volume, row).unwrap_or_default(),
        quote_volume: cell(Column::QuoteVolume, row),
        trades_count: cell(Column::TradesCount, row)
            .and_then(|units| i32::try_from(units / i128::from(ONE_E8)).ok()),
        taker_buy_volume: cell(Column::TakerBuyVolume, row),
        taker_buy_quote_volume: cell(Column::TakerBuyQuoteVolume, row),
    };
    block.time_us.iter().enumerate().map(row).collect()
}
