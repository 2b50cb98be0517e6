//! After how many bars indicators and decisions no longer depend on where the data start: computed again from several
//! later starts and compared. No formula is asked how long it remembers.

use rust_decimal::prelude::ToPrimitive;

use crate::bars::Bars;
use crate::expr::Bound;
use crate::indicator::Evaluator;
use crate::lookahead::Trace;
use crate::order::{Decision, Distance, Order};
use crate::rules::Rules;
use crate::strategy::Strategy;

/// Later starts that are tried.
pub const STARTS: usize = 8;
/// How near values have to come to count as equal, relative to the greater.
pub const NEAR: f64 = 1e-9;
/// The last part of the bars behind a start, one in so many, must hold no difference: else nobody can say that there
/// will be none.
const TAIL: usize = 10;

/// After how many bars a value no longer depends on the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The indicator as an expression.
    pub name: String,
    /// Bars before its first value; `None` when it has none. In the other two, `None` says that the start shows as far
    /// as these bars reach.
    pub first: Option<usize>,
    /// Bars before it is within [`NEAR`] for good.
    pub near: Option<usize>,
    /// Bars before it is equal to the last bit for good.
    pub equal: Option<usize>,
}

/// What a measurement came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub indicators: Vec<Settled>,
    /// Bars before every decision is the same for good, levels of orders within [`NEAR`].
    pub decisions: Option<usize>,
    /// Bars behind the latest start: no more than this could be seen.
    pub shortest: usize,
}

impl Report {
    /// Bars of warm-up to ask for: so many that decisions are the same and every indicator has a value. It is a lower
    /// bound: decisions that did not come up on these bars could not differ. `None` where these bars are too few to
    /// tell, or an indicator has no value on them.
    #[must_use]
    pub fn needed(&self) -> Option<usize> {
        self.indicators.iter().try_fold(self.decisions?, |most, one| Some(most.max(one.first?)))
    }
}

/// Measures the indicators in `expressions` and the decisions of the strategy that `make` makes, on `bars` from
/// [`STARTS`] starts in their first half. The bars' own warm-up counts as bars like any others.
#[must_use]
pub fn measure(
    bars: &Bars,
    rules: &Rules,
    expressions: &[Bound],
    make: &dyn Fn(&Bars) -> Box<dyn Strategy>,
) -> Report {
    let starts = starts(bars.len());
    let tails: Vec<(usize, Bars)> =
        starts.into_iter().filter_map(|start| Some((start, bars.tail(start).ok()?))).collect();
    let mut indicators: Vec<Bound> = expressions.iter().flat_map(Bound::indicators).collect();
    indicators.sort_by(|a, b| a.key().cmp(b.key()));
    indicators.dedup_by(|a, b| a.key() == b.key());
    let mut whole = Evaluator::new(bars);
    let mut later: Vec<Evaluator<'_>> =
        tails.iter().map(|(_, tail)| Evaluator::new(tail)).collect();
    let mut settled = |indicator: &Bound| {
        let values = whole.numbers(indicator);
        let (mut near, mut equal) = (Some(0), Some(0));
        for ((start, _), evaluator) in tails.iter().zip(&mut later) {
            let other = evaluator.numbers(indicator);
            let values = &values[*start..];
            near = worse(near, needed(values.len(), |i| is_near(values[i], other[i])));
            equal = worse(equal, needed(values.len(), |i| is_same(values[i], other[i])));
        }
        let first = values.iter().position(|v| !v.is_nan());
        Settled { name: indicator.key().to_owned(), first, near, equal }
    };
    Report {
        indicators: indicators.iter().map(&mut settled).collect(),
        decisions: decisions(bars, rules, &tails, make),
        shortest: tails.iter().map(|(_, tail)| tail.len()).min().unwrap_or(0),
    }
}

/// Starts in the first half, none of them at a whole day or hour.
fn starts(n_bars: usize) -> Vec<usize> {
    (1..=STARTS).map(|k| k * n_bars / (2 * STARTS) + k).filter(|&start| start < n_bars).collect()
}

fn decisions(
    bars: &Bars,
    rules: &Rules,
    tails: &[(usize, Bars)],
    make: &dyn Fn(&Bars) -> Box<dyn Strategy>,
) -> Option<usize> {
    // Warm-up bars decide nothing, so from here on they are bars like any others.
    let bars = bars.tail(0).ok()?;
    let whole = Trace::of(&bars, rules, make(&bars));
    let nothing = Decision::default();
    let mut most = Some(0);
    for (start, tail) in tails {
        let other = Trace::of(tail, rules, make(tail));
        let alike = |i: usize| {
            let a = whole.at(start + i).unwrap_or(&nothing);
            is_alike(a, other.at(i).unwrap_or(&nothing))
        };
        most = worse(most, needed(tail.len(), alike));
    }
    most
}

/// Bars up to the last one for which `same` does not hold; `None` when that lies too near the end.
fn needed(n_bars: usize, same: impl Fn(usize) -> bool) -> Option<usize> {
    let needed = (0..n_bars).rev().find(|&i| !same(i)).map_or(0, |last| last + 1);
    (needed <= n_bars - n_bars.div_ceil(TAIL)).then_some(needed)
}

fn worse(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    Some(a?.max(b?))
}

fn is_same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

fn is_near(a: f64, b: f64) -> bool {
    is_same(a, b) || (a - b).abs() <= NEAR * a.abs().max(b.abs())
}

/// Whether two decisions are the same but for the last digits of their levels.
fn is_alike(a: &Decision, b: &Decision) -> bool {
    let orders = |a: &Option<Order>, b: &Option<Order>| match (a, b) {
        (Some(a), Some(b)) => is_alike_order(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    a.long_exit == b.long_exit
        && a.short_exit == b.short_exit
        && orders(&a.long_entry, &b.long_entry)
        && orders(&a.short_entry, &b.short_entry)
}

fn is_alike_order(a: &Order, b: &Order) -> bool {
    let distance = |a: Option<Distance>, b: Option<Distance>| match (a, b) {
        (Some(Distance::Quote(a)), Some(Distance::Quote(b))) => {
            a.to_f64().zip(b.to_f64()).is_some_and(|(a, b)| is_near(a, b))
        }
        (a, b) => a == b,
    };
    let (p, q) = (&a.protection, &b.protection);
    a.side == b.side
        && a.size == b.size
        && a.tag == b.tag
        && p.time_stop_us == q.time_stop_us
        && distance(p.stop_loss, q.stop_loss)
        && distance(p.take_profit, q.take_profit)
        && distance(p.trailing_stop, q.trailing_stop)
}
