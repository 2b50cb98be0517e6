//! Tests of expressions and indicators through the crate's public door.
//! No private item may be reached from here.

#![expect(clippy::unwrap_used, reason = "a test may fail on its own input")]

mod golden;
mod laws;
mod meaning;
mod oracle;
mod speed;

use std::sync::Arc;

use sim::bars::{Bars, Column, Columns};
use sim::expr::{Bound, Expr, Type};
use sim::indicator::Evaluator;
use sim::params::Params;

/// Units of 1e-8 in a cent.
const CENT: i64 = 1_000_000;

fn bound(source: &str, want: Type) -> Bound {
    let expr = Expr::parse(source, want, &[]).unwrap_or_else(|e| panic!("{}", e.render()));
    expr.bind(&Params::default()).unwrap_or_else(|e| panic!("{}", e.render()))
}

fn numbers(bars: &Bars, source: &str) -> Arc<[f64]> {
    Evaluator::new(bars).numbers(&bound(source, Type::Number))
}

fn rule(bars: &Bars, source: &str) -> Vec<Option<bool>> {
    Evaluator::new(bars).rule(&bound(source, Type::Rule))
}

/// Minute bars from rows of (minute, [open, high, low, close] in cents, volume in whole units).
fn bars_of(rows: &[(i64, [i64; 4], Option<i64>)]) -> Bars {
    let mut columns = Columns::default();
    let mut volumes = Vec::new();
    for &(minute, [open, high, low, close], volume) in rows {
        columns.time_us.push(minute * 60_000_000);
        columns.open.push(open * CENT);
        columns.high.push(high * CENT);
        columns.low.push(low * CENT);
        columns.close.push(close * CENT);
        volumes.push(volume.map(|volume| i128::from(volume) * 100_000_000));
    }
    columns.extra.insert(Column::Volume, volumes.into_iter().collect());
    Bars::new("X", "1m".parse().unwrap(), 0, columns).unwrap()
}

/// Minute bars whose four prices are the same, in cents.
fn closes(cents: &[i64]) -> Bars {
    let rows: Vec<_> = (0..).zip(cents).map(|(i, &c)| (i, [c; 4], Some(1))).collect();
    bars_of(&rows)
}
