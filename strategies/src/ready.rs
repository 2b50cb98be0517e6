//! The register: strategy files that lie beside this crate and are built in, and strategies written in Rust.

use crate::cooldown;
use crate::definition::Definition;
use crate::error::{FileError, nearest};

/// Name and text of each ready file.
const FILES: &[(&str, &str)] = &[
    ("bollinger_reversion", include_str!("../bollinger_reversion.toml")),
    ("buy_and_hold", include_str!("../buy_and_hold.toml")),
    ("donchian_breakout", include_str!("../donchian_breakout.toml")),
    ("macd_trend", include_str!("../macd_trend.toml")),
    ("rsi_reversion", include_str!("../rsi_reversion.toml")),
    ("sma_cross", include_str!("../sma_cross.toml")),
    ("supertrend", include_str!("../supertrend.toml")),
];

/// Names of all ready strategies, sorted.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = FILES.iter().map(|&(name, _)| name).collect();
    names.push(cooldown::NAME);
    names.sort_unstable();
    names
}

/// The ready strategy called `name`.
///
/// # Errors
/// When there is none, with the nearest name as a hint.
pub fn ready(name: &str) -> Result<Definition, FileError> {
    if name == cooldown::NAME {
        return Ok(cooldown::definition());
    }
    match source(name) {
        Some(text) => Definition::parse(text, &format!("strategies/{name}.toml")),
        None => Err(FileError::new(format!("no ready strategy is called `{name}`"))
            .with_hint(format!("{} (a path to a file ends in .toml)", nearest(name, names())))),
    }
}

/// The file of a ready strategy; `None` for one written in Rust or not known.
#[must_use]
pub fn source(name: &str) -> Option<&'static str> {
    FILES.iter().find(|&&(n, _)| n == name).map(|&(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ready_strategy_parses_under_its_own_name_and_builds_at_its_defaults() {
        for name in names() {
            let definition = ready(name).expect(name);
            assert_eq!(definition.name, name);
            let params = definition.params(&[]).expect(name);
            assert!(definition.build(&params).is_ok(), "{name}");
        }
    }

    #[test]
    fn the_register_holds_every_file_that_lies_here() {
        let here = std::fs::read_dir(std::env::var("CARGO_MANIFEST_DIR").unwrap()).unwrap();
        let mut lying: Vec<String> = here
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned))
            .filter(|name| name != "Cargo")
            .collect();
        lying.sort();
        let held: Vec<&str> = FILES.iter().map(|&(name, _)| name).collect();
        assert_eq!(lying, held);
    }
}
