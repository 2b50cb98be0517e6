//! The tests of `sim` from outside, as a table of contents. No database or clock is needed here.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it fails")]

// Daily marks that follow from trades.
mod daily;
// What the numbers mean, case by case, for a person to read.
mod golden;
// What holds for any bars, any script and any rules.
mod laws;
// Metrics worked out by hand, the traps that peers fall into among them.
mod metric_cases;
// A strategy that follows a script, and bars from a small table.
mod script;
// The rules and the grid of a strategy file that lies in the repository.
mod ready_file;
// The sweep's kernel against the reference loop: random bars, rules and markets.
mod sweep_oracle;
// The same for the strategy files that lie in the repository.
mod sweep_ready;
// Faults put into good bars, found where they were put.
mod verdict;
// Strategies that cheat, and honest ones.
mod lookahead;
// How long a start shows.
mod warmup;
// Bars of a random walk.
mod walk;
