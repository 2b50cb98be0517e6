//! The values of a dimension as a person writes them: lists, ranges with both ends, and ranges by factors.
//! No name and no rule is known here.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::GridError;
use crate::exact;

/// Most values of one dimension.
pub const MAX_VALUES: usize = 100_000;
/// Significant digits of a value of a logarithmic range.
const LOG_DIGITS: usize = 6;

/// Reads `5`, `5,10,20`, `5..100:5` (both ends included, step 1 between whole numbers when none is given),
/// `0.001..1:log7` (7 values evenly apart in logarithm), or several of them with commas between.
///
/// # Errors
/// A text that is none of these, a range that never ends or is empty, a value twice, or more than [`MAX_VALUES`].
pub fn values(text: &str) -> Result<Vec<Decimal>, GridError> {
    let mut all: Vec<Decimal> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let found = match part.split_once("..") {
            None => vec![number(part, text)?],
            Some((from, rest)) => range(part, from, rest)?,
        };
        all.extend(found);
        if all.len() > MAX_VALUES {
            return Err(GridError::TooManyValues { text: text.to_owned() });
        }
    }
    let mut sorted = all.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(GridError::Repeated(pair[0])),
        None => Ok(all),
    }
}

fn number(text: &str, whole: &str) -> Result<Decimal, GridError> {
    let refused = |why| GridError::Values { text: whole.to_owned(), why };
    if text.is_empty() {
        return Err(refused("a value is missing"));
    }
    let value: Decimal = text.parse().map_err(|_| refused("that is no decimal number"))?;
    let value = value.normalize();
    if value.scale() > exact::PLACES || exact::units(value).is_none() {
        return Err(refused("a value is below 10^12 and has at most 8 decimals"));
    }
    Ok(value)
}

fn range(text: &str, from: &str, rest: &str) -> Result<Vec<Decimal>, GridError> {
    let (to, step) = rest.split_once(':').map_or((rest, None), |(to, step)| (to, Some(step)));
    if to.trim().is_empty() {
        return Err(GridError::Endless(text.to_owned()));
    }
    let (from, to) = (number(from.trim(), text)?, number(to.trim(), text)?);
    if to < from {
        return Err(GridError::Backwards(text.to_owned()));
    }
    let step = match step.map(str::trim) {
        Some(step) if step.starts_with("log") => return logarithmic(text, from, to, &step[3..]),
        Some(step) => number(step, text)?,
        None if from.is_integer() && to.is_integer() => Decimal::ONE,
        None => {
            let why = "a range between fractions needs a step";
            return Err(GridError::Values { text: text.to_owned(), why });
        }
    };
    if step <= Decimal::ZERO {
        return Err(GridError::Endless(text.to_owned()));
    }
    // Both are below 10^12 with 8 places, so nothing overflows.
    let steps = ((to - from) / step).floor();
    match steps.to_usize().filter(|&n| n < MAX_VALUES) {
        Some(n) => Ok((0..=n).map(|i| (from + step * Decimal::from(i)).normalize()).collect()),
        None => Err(GridError::TooManyValues { text: text.to_owned() }),
    }
}

/// `count` values from `from` to `to`, each the one before times the same factor, to 6 significant digits.
fn logarithmic(
    text: &str,
    from: Decimal,
    to: Decimal,
    count: &str,
) -> Result<Vec<Decimal>, GridError> {
    let refused = |why| GridError::Values { text: text.to_owned(), why };
    let count: usize =
        count.parse().map_err(|_| refused("`log` takes how many values there are"))?;
    if count > MAX_VALUES {
        return Err(GridError::TooManyValues { text: text.to_owned() });
    }
    if count < 2 || from <= Decimal::ZERO {
        return Err(refused("`log` takes 2 values or more, above 0"));
    }
    let low = from.to_f64().unwrap_or(1.0).ln();
    let high = to.to_f64().unwrap_or(1.0).ln();
    let inner = (1..count - 1).map(|i| {
        let share = i as f64 / (count - 1) as f64;
        let value = (low + (high - low) * share).exp();
        let digits = format!("{value:.*e}", LOG_DIGITS - 1);
        let rounded =
            Decimal::from_scientific(&digits).map(|d| exact::round_half_even(d).normalize());
        rounded.map_err(|_| refused("a value is out of range"))
    });
    let inner: Vec<Decimal> = inner.collect::<Result<_, _>>()?;
    Ok([vec![from], inner, vec![to]].concat())
}
