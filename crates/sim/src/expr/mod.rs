//! The expression language of strategy files: text in, a closed and type-checked tree out.
//! No bar's data and no indicator's arithmetic may enter: what a tree is worth is `indicator`'s business.

mod bind;
mod bound;
mod canonical;
mod check;
mod error;
mod function;
mod lex;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::bars::Column;
use crate::params::Params;

pub use bound::Bound;
pub(crate) use bound::{
    Arith, Call, Comparison, Series, SeriesKind, Term, Truth, TruthKind, greater, lesser,
};
pub use error::ExprError;
pub(crate) use function::Function;

/// Longest window of an indicator, in bars.
pub(crate) const MAX_WINDOW: usize = 100_000;

/// What an expression is worth at a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A double, or undefined.
    Number,
    /// True, false or undefined.
    Rule,
}

/// An expression, parsed and type-checked, whose parameters have no values yet.
#[derive(Clone, Debug)]
pub struct Expr {
    source: Arc<str>,
    canonical: String,
    root: check::Typed,
}

impl Expr {
    /// Parses `source` as a number or a rule. `params` are the names of the declared parameters;
    /// they serve as numbers, lengths of indicators included.
    ///
    /// # Errors
    /// A text that is no expression, an unknown name, a wrong count or type of arguments, a length that is not
    /// constant, or a limit passed, each with its place and, where there is one, a hint.
    pub fn parse(source: &str, want: Type, params: &[&str]) -> Result<Self, ExprError> {
        let text: Arc<str> = Arc::from(source);
        let parsed = parse::parse(source).and_then(|node| {
            let root = check::check(&node, want, params)?;
            Ok((canonical::canonical(&node), root))
        });
        match parsed {
            Ok((canonical, root)) => Ok(Self { source: text, canonical, root }),
            Err(fault) => Err(fault.in_source(&text)),
        }
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// A text that is the same for the same tree: without needless blanks and parentheses, numbers in one form.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.canonical.clone()
    }

    /// The columns of `market_data` it needs, those that `atr`, `mfi`, `obv`, … read by themselves included.
    #[must_use]
    pub fn columns(&self) -> BTreeSet<Column> {
        let mut found = BTreeSet::new();
        self.root.walk(&mut |number| match &number.kind {
            check::NumberKind::Column(column) => {
                found.insert(*column);
            }
            check::NumberKind::Call(function, _) => found.extend(function.reads()),
            _ => {}
        });
        found
    }

    /// The names of the parameters it mentions.
    #[must_use]
    pub fn params(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.root.walk(&mut |number| {
            if let check::NumberKind::Param(name) = &number.kind {
                found.insert(name.clone());
            }
        });
        found
    }

    /// Puts the values of `params` in, each as the double nearest to its decimal, and folds what is constant.
    ///
    /// # Errors
    /// A mentioned parameter without value; a length that is not a whole number from 1 to 100,000; a factor
    /// that is not above 0. The span points at the argument in the source.
    pub fn bind(&self, params: &Params) -> Result<Bound, ExprError> {
        bind::bind(&self.root, params).map_err(|fault| fault.in_source(&self.source))
    }
}
