//! Tests of the whole, in one binary: the table of contents.
//! A test lives in the module it belongs to; nothing but modules may be named here.
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a helper of tests fails and talks as a test does"
)]

mod gate; // backtest check: passes, fails, cannot run; the project's own baselines
mod lookahead; // L1: no ready strategy sees what has not happened
mod servers; // a fresh database on every backend, for the tests that need one
mod tidy; // house rules: dependencies, code map, lengths, migration pairs, README, scripts
