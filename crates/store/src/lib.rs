//! The outside world: every byte of SQL, every file of bars and every frame.
//! Nothing here prints, exits or decides what a number means.

pub mod export;
pub mod import;
pub mod progress;
pub mod row;
