//! Whether a strategy knows what has not happened: it runs again on bars whose future is cut off or scrambled, and
//! what it decided before must stay. No strategy is looked into: only what it decides counts.

mod future;
mod trace;

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use crate::bars::{Bars, Column};
use crate::order::Trade;
use crate::rules::{Fill, Rules};
use crate::run::{Failure, Run};
use crate::strategy::Strategy;

pub(crate) use trace::Trace;

/// Fewest cuts that a check makes, where there are bars enough.
pub const LEAST_CUTS: usize = 50;
/// Bars behind the first traded one at which the future is cut too: what is filled backwards shows there.
const EARLY: [usize; 10] = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89];
/// Most cuts where a column of volumes or counts begins again behind a hole.
const MOST_HOLES: usize = 20;
/// Bars of scrambled future: enough for whatever looks ahead to see them, and no more than that costs.
const SCRAMBLED_BARS: usize = 2_000;
/// Fewest changes of mind from which a strategy that decides alike on other bars is told of.
const LEAST_CHANGES: usize = 6;

/// What was done to the bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The later ones were taken away.
    Cut,
    /// The later ones were replaced by others.
    Scrambled,
    /// Nothing: the same bars once more.
    Nothing,
}

/// The first thing that came out differently.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Index of the bar whose decision changed, warm-up counted.
    pub bar_idx: usize,
    /// Its opening, microseconds UTC.
    pub time_us: i64,
    /// `long_entry`, `long_exit`, `short_entry`, `short_exit`; `equity` or `trade` when the books changed and no
    /// decision did.
    pub what: &'static str,
    pub change: Change,
    /// Opening of the first bar that was changed, microseconds UTC.
    pub changed_from_us: i64,
    /// What was decided on the bars as they are, and what on the changed ones.
    pub before: String,
    pub after: String,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Places at which the future was changed.
    pub cuts: usize,
    /// Simulations made.
    pub runs: usize,
    /// Bars at whose close something else was decided than at the one before.
    pub changes_of_mind: usize,
    /// Trades on the bars as they are.
    pub trades: usize,
    /// The earliest bar that changed; `None` when none did.
    pub first: Option<Difference>,
    /// It decides the same on bars that are quite different from the first one on, so it reads no price from them: it
    /// counts bars, follows the calendar, or carries data in from elsewhere, which no cut can show.
    pub ignores_prices: bool,
}

/// Checks the strategy that `make` makes, which it calls once a run with the bars of that run. `cuts` places (at
/// least [`LEAST_CUTS`]) lie evenly over the traded bars, and as many right behind bars at which it decided; more lie
/// at the start and behind holes. `seed` decides the scrambled futures.
///
/// # Errors
/// [`Failure`] when the run on the bars as they are fails.
pub fn check(
    bars: &Bars,
    rules: &Rules,
    make: &dyn Fn(&Bars) -> Box<dyn Strategy>,
    cuts: usize,
    seed: u64,
) -> Result<Report, Failure> {
    let whole = Trace::of(bars, rules, make(bars));
    let run = whole.run.clone()?;
    let cuts = places(bars, &whole, cuts.max(LEAST_CUTS));
    let mut report = Report {
        cuts: cuts.len(),
        runs: 1,
        changes_of_mind: whole.changes.len(),
        trades: run.trades.len(),
        first: None,
        ignores_prices: false,
    };
    for &cut in &cuts {
        // Decisions at the last bar of a cut are not asked for when they could not fill.
        let asked = if rules.fill == Fill::Close { cut } else { cut - 1 };
        let futures = [
            (Change::Cut, asked, bars.head(cut)),
            (Change::Scrambled, cut, future::scrambled(bars, cut, SCRAMBLED_BARS, seed)),
        ];
        for (change, until, changed) in futures {
            let Ok(changed) = changed else { continue };
            let trace = Trace::of(&changed, rules, make(&changed));
            report.runs += 1;
            report.take(difference(bars, &whole, &trace, cut, until, change));
        }
    }
    // State that runs leave behind shows at the latest now.
    let again = Trace::of(bars, rules, make(bars));
    report.take(difference(bars, &whole, &again, bars.len(), bars.len(), Change::Nothing));
    report.ignores_prices = ignores_prices(bars, rules, make, &whole, seed)?;
    report.runs += 2;
    Ok(report)
}

impl Report {
    /// Keeps the earliest difference.
    fn take(&mut self, found: Option<Difference>) {
        let earlier =
            |new: &Difference| self.first.as_ref().is_none_or(|known| new.bar_idx < known.bar_idx);
        if let Some(new) = found.filter(earlier) {
            self.first = Some(new);
        }
    }
}

/// Where the future begins to change: indices of first changed bars.
fn places(bars: &Bars, whole: &Trace, cuts: usize) -> BTreeSet<usize> {
    let (first, end) = (bars.n_warmup() + 1, bars.len());
    let mut all: BTreeSet<usize> = (0..cuts).map(|k| first + k * (end - first) / cuts).collect();
    all.extend(EARLY.map(|n| bars.n_warmup() + n));
    let decided = whole.changes.len();
    let chosen = (0..cuts.min(decided)).map(|k| k * decided / cuts.min(decided));
    all.extend(chosen.map(|k| whole.changes[k].0 + 1));
    all.extend(behind_holes(bars).into_iter().take(MOST_HOLES));
    all.retain(|cut| (first..end).contains(cut));
    all
}

/// Bars at which a column that has holes goes on.
fn behind_holes(bars: &Bars) -> BTreeSet<usize> {
    let columns = Column::ALL.into_iter().filter_map(|column| bars.extra(column));
    let ends = columns.flat_map(|values| {
        (1..values.len()).filter(|&i| values.get(i).is_some() && values.get(i - 1).is_none())
    });
    ends.filter(|&i| i > bars.n_warmup()).collect()
}

/// The first decision before `until` that differs; else what differs in the books before bar `cut`.
fn difference(
    bars: &Bars,
    whole: &Trace,
    other: &Trace,
    cut: usize,
    until: usize,
    change: Change,
) -> Option<Difference> {
    let changed_from_us = bars.time_us().get(cut).copied().unwrap_or_else(|| bars.end_us(cut - 1));
    let at = |bar_idx: usize, what, before, after| Difference {
        bar_idx,
        time_us: bars.time_us()[bar_idx],
        what,
        change,
        changed_from_us,
        before,
        after,
    };
    if let Some((bar_idx, what, before, after)) = whole.differs(other, until) {
        return Some(at(bar_idx, what, before, after));
    }
    let (Ok(run), Ok(other)) = (&whole.run, &other.run) else { return None };
    let (a, b) = (equity(bars, run, cut), equity(bars, other, cut));
    if let Some(i) = (0..a.len()).find(|&i| a.get(i) != b.get(i)) {
        let told = |marks: &[Decimal]| marks.get(i).map_or("none".to_owned(), Decimal::to_string);
        return Some(at(bars.n_warmup() + i, "equity", told(a), told(b)));
    }
    let (a, b) = (closed(run, cut), closed(other, cut));
    let i = (0..a.len().max(b.len())).find(|&i| a.get(i) != b.get(i))?;
    let bar_idx = a.get(i).or(b.get(i)).map_or(0, |t| t.entry_bar_idx);
    let told = |t: Option<&&Trade>| t.map_or("none".to_owned(), |t| t.strategy_signal());
    Some(at(bar_idx, "trade", told(a.get(i)), told(b.get(i))))
}

/// Marks before bar `cut`.
fn equity<'a>(bars: &Bars, run: &'a Run, cut: usize) -> &'a [Decimal] {
    &run.equity[..run.equity.len().min(cut - bars.n_warmup())]
}

/// Trades that were over before bar `cut`.
fn closed(run: &Run, cut: usize) -> Vec<&Trade> {
    run.trades.iter().filter(|t| t.exit.is_some_and(|exit| exit.bar_idx < cut)).collect()
}

/// Whether the strategy's mind changes at the same bars when every bar is another one.
fn ignores_prices(
    bars: &Bars,
    rules: &Rules,
    make: &dyn Fn(&Bars) -> Box<dyn Strategy>,
    whole: &Trace,
    seed: u64,
) -> Result<bool, Failure> {
    let Ok(foreign) = future::scrambled(bars, 1, bars.len(), seed) else { return Ok(false) };
    let trace = Trace::of(&foreign, rules, make(&foreign));
    Ok(whole.changes.len() >= LEAST_CHANGES && whole.same_rules(&trace))
}
