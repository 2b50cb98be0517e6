//! Bars in, runs out: rules, ledger, metrics and the reference loop.
//! Knows no database, file, clock, environment, terminal or async.

pub mod bars;
pub mod exact;
pub mod expr;
mod fill;
mod guard;
pub mod indicator;
mod ledger;
pub mod metrics;
pub mod order;
pub mod params;
pub mod rules;
mod run;
pub mod strategy;
pub mod timeframe;

pub use ledger::Position;
pub use run::{DayMark, Failure, Run, run};
