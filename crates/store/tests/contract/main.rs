//! What every backend has to do alike (law L7), one test a promise, each on a fresh database of every backend.
//! No SQL that belongs to one backend may enter but in `places`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper of tests fails and talks as a test does"
)]

mod bars;
mod cache;
mod document; // the tables are the document's, but for what is listed
mod places;
mod runs;
mod schema;
mod security; // nobody sees or guesses another user's rows
mod unsound; // values that no bar has
mod upgrade; // older tables of ours keep their rows
mod upkeep; // status, policies, maintain, health
