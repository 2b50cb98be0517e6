//! Tests of the whole, in one binary: the table of contents.
//! A test lives in the module it belongs to; nothing but modules may be named here.
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a helper of tests fails and talks as a test does"
)]

mod backends; // L6, L7: the same answers everywhere, twice is once, and SQL reads what `show` says
mod backup; // recovery to a point in time, by the script that is shipped
mod cluster; // a server of one test's own
mod commands; // what a person sees of every command, on good and on bad input
mod compared; // compare and reproduce: what differs is said, what is kept comes out again
mod determinism; // L3: the same rows, whatever the threads, blocks and shards, on every backend
mod faults; // servers that refuse, go away halfway or do nothing
mod full; // a server whose disk is full
mod gate; // backtest check: passes, fails, cannot run; the project's own baselines
mod keeping; // `backtest db …`: what a person sees
mod killed; // SIGKILL at any moment of import and run leaves nothing torn
mod lists; // finding results again: list, tag, notes
mod lookahead; // L1: no ready strategy sees what has not happened
mod market; // bars for tests, seeded
mod resampled; // L1 for bars that a store puts together
mod secrets; // passwords and TLS
mod servers; // a fresh database on every backend, for the tests that need one
mod shell; // the real binary, run as a person runs it
mod sweeps; // sweeps killed, cut off, sharded and refused: every variant once
mod tidy; // house rules: dependencies, code map, lengths, migration pairs, README, scripts
