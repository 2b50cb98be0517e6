//! Strategies that cheat in every way we know of, each caught; honest ones, none of them accused.
//! The ready strategies are checked in the tests of the whole.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};

use rust_decimal::Decimal;
use sim::bars::{Bars, Column};
use sim::lookahead::{Change, LEAST_CUTS, Report, check};
use sim::order::{Decision, Order, Protection, Side, Size};
use sim::rules::{Fill, Rules};
use sim::strategy::{Strategy, View};

use crate::walk::{CENT, hours};

/// A walk of hours; every 50th stretch of volumes is missing.
fn bars(n_warmup: usize) -> Bars {
    hours(11, 1_200, n_warmup, |i| i % 50 >= 45)
}

/// Holds while a column made ahead is true.
struct Ahead {
    wanted: Vec<bool>,
    make: fn(&Bars) -> Vec<bool>,
}

impl Strategy for Ahead {
    fn prepare(&mut self, bars: &Bars) {
        if self.wanted.is_empty() {
            self.wanted = (self.make)(bars);
        }
    }

    fn decide(&mut self, view: &View<'_>) -> Decision {
        hold(self.wanted.get(view.bar_idx()).copied().unwrap_or(false))
    }
}

fn hold(wanted: bool) -> Decision {
    let order = || {
        Order::market(Side::Long, Size::Equity(Decimal::ONE), Protection::default(), "in".into())
    };
    Decision { long_entry: wanted.then(order), long_exit: !wanted, ..Decision::default() }
}

/// A strategy whose column is made when the run begins.
fn prepared(make: fn(&Bars) -> Vec<bool>) -> impl Fn(&Bars) -> Box<dyn Strategy> {
    move |_| Box::new(Ahead { wanted: Vec::new(), make })
}

/// A strategy that is a closure over what it is shown.
struct Shown<F>(F);

impl<F: FnMut(&View<'_>) -> bool> Strategy for Shown<F> {
    fn decide(&mut self, view: &View<'_>) -> Decision {
        hold((self.0)(view))
    }
}

fn rises(bars: &Bars) -> Vec<bool> {
    (0..bars.len()).map(|i| i > 0 && bars.close()[i] > bars.close()[i - 1]).collect()
}

fn report(n_warmup: usize, make: &dyn Fn(&Bars) -> Box<dyn Strategy>) -> Report {
    check(&bars(n_warmup), &Rules::default(), make, LEAST_CUTS, 1).expect("it ends well")
}

/// Asserts that a cheat is caught, and returns the report.
fn caught(what: &str, n_warmup: usize, make: &dyn Fn(&Bars) -> Box<dyn Strategy>) -> Report {
    let report = report(n_warmup, make);
    let first = report.first.as_ref().unwrap_or_else(|| panic!("`{what}` was not caught"));
    assert!(first.what.starts_with("long_"), "{what}: {first:?}");
    assert_ne!(first.before, first.after, "{what}");
    assert_eq!(first.time_us, i64::try_from(first.bar_idx).expect("small") * 3_600_000_000);
    if first.change != Change::Nothing {
        assert!(first.changed_from_us > first.time_us, "{what}: {first:?}");
    }
    report
}

#[test]
fn honest_strategies_are_not_accused() {
    for fill in [Fill::NextOpen, Fill::Close] {
        let rules = Rules { fill, ..Rules::default() };
        let honest = prepared(rises);
        let report = check(&bars(100), &rules, &honest, LEAST_CUTS, 1).expect("it ends well");
        assert_eq!(report.first, None);
        assert!(report.cuts >= LEAST_CUTS && report.runs > 2 * LEAST_CUTS, "{report:?}");
        assert!(report.trades > 100 && !report.ignores_prices);
    }
    let by_books = |_: &Bars| -> Box<dyn Strategy> {
        Box::new(Shown(|view: &View<'_>| {
            view.trades().len().is_multiple_of(2)
                || view.price(Column::Close, 0) > view.price(Column::Close, 3)
        }))
    };
    assert_eq!(report(100, &by_books).first, None);
}

#[test]
fn the_next_close_captured_when_the_strategy_was_made() {
    let make = |bars: &Bars| -> Box<dyn Strategy> {
        let close = bars.close().to_vec();
        Box::new(Shown(move |view: &View<'_>| {
            let i = view.bar_idx();
            close.get(i + 1).is_some_and(|next| *next > close[i])
        }))
    };
    let report = caught("next close", 100, &make);
    assert!(report.first.is_some_and(|first| first.bar_idx < 110), "at one of the first bars");
}

#[test]
fn an_average_that_is_centered() {
    let make = prepared(|bars| {
        let close = bars.close();
        let mean = |i: usize| {
            let around = &close[i.saturating_sub(5)..close.len().min(i + 6)];
            around.iter().sum::<i64>() / i64::try_from(around.len()).expect("small")
        };
        (0..close.len()).map(|i| close[i] > mean(i)).collect()
    });
    caught("centered average", 100, &make);
}

#[test]
fn prices_normalised_by_the_highest_of_all() {
    let make = prepared(|bars| {
        let most = bars.close().iter().max().copied().unwrap_or(1);
        bars.close().iter().map(|&close| close > most / 10 * 7).collect()
    });
    caught("whole maximum", 100, &make);
}

#[test]
fn a_signal_shifted_by_minus_one() {
    let make = prepared(|bars| {
        let mut signal = rises(bars);
        signal.remove(0);
        signal.push(false);
        signal
    });
    caught("shifted signal", 100, &make);
}

#[test]
fn undefined_values_filled_backwards() {
    // The start of an average: only the first bars show it, so there may be no warm-up.
    let start = prepared(|bars| {
        let close = bars.close();
        let mean = |i: usize| close[i - 19..=i].iter().sum::<i64>() / 20;
        (0..close.len()).map(|i| close.len() > 19 && close[i] > mean(i.max(19))).collect()
    });
    let report = caught("filled start", 0, &start);
    assert!(report.first.is_some_and(|first| first.bar_idx < 19));
    // Holes in the volumes, filled from behind.
    let holes = prepared(|bars| {
        let volume = bars.extra(Column::Volume).unwrap();
        let filled = |i: usize| volume.range(i..volume.len()).flatten().next().unwrap_or(0);
        (0..bars.len()).map(|i| filled(i) > i128::from(500 * CENT)).collect()
    });
    caught("filled holes", 100, &holes);
}

#[test]
fn state_that_outlives_a_run() {
    static HIGHEST: AtomicI64 = AtomicI64::new(0);
    let highest = |_: &Bars| -> Box<dyn Strategy> {
        Box::new(Shown(|view: &View<'_>| {
            let close = view.price(Column::Close, 0).unwrap_or(0);
            let most = HIGHEST.fetch_max(close, Ordering::Relaxed).max(close);
            close > most / 10 * 7
        }))
    };
    caught("highest close of all runs", 100, &highest);
    // A run that learns from the one before it: what came after a bar then comes again.
    let memory: Rc<RefCell<Vec<i64>>> = Rc::default();
    let learns = |_: &Bars| -> Box<dyn Strategy> {
        let memory = Rc::clone(&memory);
        Box::new(Shown(move |view: &View<'_>| {
            let (i, close) = (view.bar_idx(), view.price(Column::Close, 0).unwrap_or(0));
            let mut memory = memory.borrow_mut();
            if memory.len() <= i {
                memory.resize(i + 1, 0);
            }
            memory[i] = close;
            memory.get(i + 1).is_some_and(|&next| next > close)
        }))
    };
    caught("memory of another run", 100, &learns);
    // Chance without a seed: no future has to change for it to decide otherwise.
    let calls = Rc::new(Cell::new(0_u64));
    let chance = |_: &Bars| -> Box<dyn Strategy> {
        let calls = Rc::clone(&calls);
        Box::new(Shown(move |_: &View<'_>| {
            calls.set(calls.get() + 1);
            calls.get() % 7 < 3
        }))
    };
    caught("unseeded chance", 100, &chance);
}

#[test]
fn data_from_elsewhere_are_told_of() {
    // No cut can show what never came from the bars; that it does not follow them can be seen.
    let all = bars(100);
    let close = all.close().to_vec();
    let make = |_: &Bars| -> Box<dyn Strategy> {
        let close = close.clone();
        Box::new(Shown(move |view: &View<'_>| {
            let i = view.bar_idx();
            close.get(i + 1).is_some_and(|next| *next > close[i])
        }))
    };
    let carried = report(100, &make);
    assert!(carried.first.is_none() && carried.ignores_prices);
}

#[test]
fn the_report_names_the_first_bar_the_rule_and_both_decisions() {
    // It knows of one bar only: the close of bar 700 decides at bar 650.
    let make = prepared(|bars| {
        let close = bars.close();
        let knows = close.len() > 700 && close[700] > close[640];
        (0..close.len()).map(|i| if i == 650 { knows } else { i % 40 < 20 }).collect()
    });
    let first = caught("one bar", 100, &make).first.expect("it was caught");
    assert_eq!(first.bar_idx, 650);
    assert!(["long_entry", "long_exit"].contains(&first.what), "{first:?}");
    let words = [first.before.as_str(), first.after.as_str()];
    assert!(words.contains(&"no order") && words.contains(&"an order of equity 1"), "{words:?}");
}
