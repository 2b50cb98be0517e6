//! Strategies by name: the TOML form of a strategy file, the ready ones, and those written in Rust.
//! Knows no database, no terminal and no bars beyond what `sim` shows a strategy.

mod cooldown;
mod definition;
mod error;
mod form;
mod ready;
#[cfg(test)]
mod tests;
mod vary;

pub use definition::{Definition, Parameter};
pub use error::FileError;
pub use ready::{names, ready, source};
pub use vary::RISKS;
