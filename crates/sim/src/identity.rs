//! The identity of a variant: a hash of everything that its numbers depend on.
//! Names, notes, comments and clocks may not enter.

use sha2::{Digest, Sha256};

use crate::params::Params;
use crate::rules::Rules;

/// Everything that decides a variant's numbers.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Canonical text of the strategy's rules and risk rules.
    pub strategy: &'a str,
    pub params: &'a Params,
    pub rules: &'a Rules,
    /// Fingerprint of the bars read.
    pub fingerprint: &'a str,
    pub symbol: &'a str,
    pub timeframe: &'a str,
    /// First traded bar's opening and last bar's end, microseconds UTC.
    pub range_us: (i64, i64),
    /// Bars of warm-up that fed the indicators.
    pub n_warmup: usize,
}

impl Identity<'_> {
    /// 64 hexadecimal digits, equal on every machine for equal parts and this engine version.
    #[must_use]
    pub fn hash(&self) -> String {
        let text = format!(
            "backtest {}\n{}\nparams {}\nrules {}\ndata {}\n{} {} {} {} {}\n",
            crate::VERSION,
            self.strategy,
            self.params,
            self.rules.canonical(),
            self.fingerprint,
            self.symbol,
            self.timeframe,
            self.range_us.0,
            self.range_us.1,
            self.n_warmup,
        );
        digest(&text)
    }
}

/// SHA-256 of `text`, 64 hexadecimal digits.
#[must_use]
pub fn digest(text: &str) -> String {
    hex(text, 32)
}

/// The first 16 hexadecimal digits of a text's SHA-256: enough to say whether it is the same text.
#[must_use]
pub fn short_hash(text: &str) -> String {
    hex(text, 8)
}

fn hex(text: &str, bytes: usize) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    let hash = Sha256::digest(text);
    hash.iter().take(bytes).flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
