//! Bars in, runs out: rules, ledger, metrics and the reference loop.
//! Knows no database, file, clock, environment, terminal or async.

pub mod bars;
pub mod exact;
pub mod expr;
pub mod indicator;
pub mod params;
pub mod timeframe;
