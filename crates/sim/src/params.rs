//! Parameters: names with exact decimal values, one point of a strategy's space.
//! No range, grid or expression may enter.

use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;

/// Values by parameter name, in alphabetical order, so that two equal sets print alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Params(BTreeMap<String, Decimal>);

impl Params {
    /// The value of `name`, when there is such a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Decimal> {
        self.0.get(name).copied()
    }

    /// Sets `name` to `value` without trailing zeros, so that 2 and 2.0 are the same variant.
    pub fn set(&mut self, name: &str, value: Decimal) {
        self.0.insert(name.to_owned(), value.normalize());
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Decimal)> {
        self.0.iter().map(|(name, &value)| (name.as_str(), value))
    }

    /// Names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, Decimal)> for Params {
    fn from_iter<I: IntoIterator<Item = (String, Decimal)>>(pairs: I) -> Self {
        let mut params = Self::default();
        for (name, value) in pairs {
            params.set(&name, value);
        }
        params
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
