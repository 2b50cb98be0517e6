//! The tests of `sim` from outside, as a table of contents. No database, file or clock is needed here.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it fails")]

// What the numbers mean, case by case, for a person to read.
mod golden;
// Metrics worked out by hand, the traps that peers fall into among them.
mod metric_cases;
// A strategy that follows a script, and bars from a small table.
mod script;
