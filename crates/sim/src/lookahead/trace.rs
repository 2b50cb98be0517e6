//! What a strategy decided at every bar of a run, kept as its changes of mind.
//! Whether a difference is allowed is not judged here.

use std::cell::RefCell;
use std::rc::Rc;

use rust_decimal::Decimal;

use crate::bars::Bars;
use crate::order::{Decision, Distance, Order};
use crate::rules::Rules;
use crate::run::{Failure, Run, run};
use crate::strategy::{Strategy, View};

/// The bar at which a decision was first taken, until the next one.
type Changes = Vec<(usize, Decision)>;

/// A run and what was decided in it.
pub(crate) struct Trace {
    /// Bars at which something else was decided than at the one before; "nothing" goes without saying in front.
    pub(crate) changes: Changes,
    pub(crate) run: Result<Run, Failure>,
}

/// A rule by name, and what it came to on either side.
pub(super) type Differs = (usize, &'static str, String, String);

impl Trace {
    /// Runs `strategy` on `bars`.
    pub(crate) fn of(bars: &Bars, rules: &Rules, strategy: Box<dyn Strategy>) -> Self {
        let changes = Rc::new(RefCell::new(Changes::new()));
        let mut recorder = Recorder { strategy, changes: Rc::clone(&changes) };
        let run = run(bars, &mut recorder, rules);
        let changes = changes.take();
        Self { changes, run }
    }

    /// The decision at bar `bar_idx`.
    pub(crate) fn at(&self, bar_idx: usize) -> Option<&Decision> {
        let behind = self.changes.partition_point(|&(from, _)| from <= bar_idx);
        behind.checked_sub(1).map(|nth| &self.changes[nth].1)
    }

    /// The first bar before `until` at which the other decided differently.
    pub(super) fn differs(&self, other: &Self, until: usize) -> Option<Differs> {
        let within = |trace: &Self| trace.changes.partition_point(|&(from, _)| from < until);
        let (a, b) = (&self.changes[..within(self)], &other.changes[..within(other)]);
        let nth = (0..a.len().max(b.len())).find(|&nth| a.get(nth) != b.get(nth))?;
        let from =
            |changes: &[(usize, Decision)]| changes.get(nth).map_or(until, |&(from, _)| from);
        let bar_idx = from(a).min(from(b));
        let nothing = Decision::default();
        let (a, b) = (self.at(bar_idx).unwrap_or(&nothing), other.at(bar_idx).unwrap_or(&nothing));
        let (rule, before, after) = rule(a, b);
        Some((bar_idx, rule, before, after))
    }

    /// Whether the same rules fire at the same bars, whatever the orders' sizes and levels.
    pub(super) fn same_rules(&self, other: &Self) -> bool {
        fired(&self.changes) == fired(&other.changes)
    }
}

/// Changes of which rules fire.
fn fired(changes: &[(usize, Decision)]) -> Vec<(usize, [bool; 4])> {
    let flags =
        |d: &Decision| [d.long_entry.is_some(), d.long_exit, d.short_entry.is_some(), d.short_exit];
    let mut all: Vec<(usize, [bool; 4])> =
        changes.iter().map(|(from, decision)| (*from, flags(decision))).collect();
    all.dedup_by_key(|&mut (_, flags)| flags);
    all
}

/// The first rule that differs, and what it says on either side.
fn rule(a: &Decision, b: &Decision) -> (&'static str, String, String) {
    let exit = |fires: bool| if fires { "an exit" } else { "no exit" }.to_owned();
    if a.long_entry != b.long_entry {
        return ("long_entry", order(a.long_entry.as_ref()), order(b.long_entry.as_ref()));
    }
    if a.short_entry != b.short_entry {
        return ("short_entry", order(a.short_entry.as_ref()), order(b.short_entry.as_ref()));
    }
    let (name, before, after) = if a.long_exit == b.long_exit {
        ("short_exit", a.short_exit, b.short_exit)
    } else {
        ("long_exit", a.long_exit, b.long_exit)
    };
    (name, exit(before), exit(after))
}

/// An order in words.
fn order(order: Option<&Order>) -> String {
    let Some(order) = order else { return "no order".to_owned() };
    let mut text = format!("an order of {} {}", order.size.word(), order.size.amount());
    let protection = &order.protection;
    for (name, distance) in [
        ("stop_loss", protection.stop_loss),
        ("take_profit", protection.take_profit),
        ("trailing_stop", protection.trailing_stop),
    ] {
        match distance {
            Some(Distance::Fraction(f)) => {
                text.push_str(&format!(", {name} {} %", (f * Decimal::ONE_HUNDRED).normalize()));
            }
            Some(Distance::Quote(d)) => text.push_str(&format!(", {name} {} away", d.normalize())),
            Some(Distance::Undefined) => text.push_str(&format!(", {name} undefined")),
            None => {}
        }
    }
    text
}

/// Hands everything through and writes down what is decided.
struct Recorder {
    strategy: Box<dyn Strategy>,
    changes: Rc<RefCell<Changes>>,
}

impl Strategy for Recorder {
    fn prepare(&mut self, bars: &Bars) {
        self.strategy.prepare(bars);
    }

    fn decide(&mut self, view: &View<'_>) -> Decision {
        let decision = self.strategy.decide(view);
        let mut changes = self.changes.borrow_mut();
        let is_new = match changes.last() {
            Some((_, last)) => *last != decision,
            None => decision != Decision::default(),
        };
        if is_new {
            changes.push((view.bar_idx(), decision.clone()));
        }
        decision
    }
}
