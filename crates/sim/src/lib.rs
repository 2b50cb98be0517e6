//! Bars in, runs out: rules, ledger, metrics and the reference loop.
//! Knows no database, file, clock, environment, terminal or async.

pub mod bars;
mod days;
pub mod exact;
pub mod expr;
mod fill;
pub mod grid;
mod guard;
pub mod identity;
pub mod indicator;
mod ledger;
pub mod lookahead;
pub mod metrics;
pub mod order;
pub mod params;
pub mod rules;
mod run;
pub mod signals;
mod simd;
pub mod strategy;
pub mod sweep;
pub mod timeframe;
pub mod units;
pub mod verdict;
pub mod warmup;

/// The engine's version, part of every variant's identity.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use days::days;
pub use ledger::Position;
pub use run::{DayMark, Failure, Run, run};
