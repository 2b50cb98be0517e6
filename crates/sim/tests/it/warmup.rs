//! How long a start shows, for indicators whose memory is known.
//! What is printed of it is the voice's.

use sim::bars::{Bars, Column};
use sim::expr::{Bound, Expr, Type};
use sim::order::Decision;
use sim::params::Params;
use sim::rules::Rules;
use sim::strategy::{Strategy, View};
use sim::warmup::{Report, Settled, measure};

use crate::walk::hours;

fn bars(n: usize) -> Bars {
    hours(5, n, 0, |_| false)
}

struct Nothing;

impl Strategy for Nothing {
    fn decide(&mut self, _: &View<'_>) -> Decision {
        Decision::default()
    }
}

fn bound(text: &str) -> Bound {
    let expr = Expr::parse(text, Type::Number, &[]).expect("an expression");
    expr.bind(&Params::default()).expect("no parameter is open")
}

fn settled(n_bars: usize, text: &str) -> Vec<Settled> {
    let nothing = |_: &Bars| -> Box<dyn Strategy> { Box::new(Nothing) };
    let report: Report = measure(&bars(n_bars), &Rules::default(), &[bound(text)], &nothing);
    assert_eq!(report.decisions, Some(0));
    report.indicators
}

#[test]
fn windows_forget_the_start_at_once_and_averages_that_recur_slowly() {
    for (text, needed) in
        [("sma(close, 10)", 9), ("highest(high, 20)", 19), ("shift(close, 3)", 3), ("atr(1)", 1)]
    {
        let all = settled(3_000, text);
        let is = (all[0].first, all[0].near, all[0].equal);
        assert_eq!(is, (Some(needed), Some(needed), Some(needed)), "{text}");
    }
    let ema = &settled(3_000, "ema(close, 20)")[0];
    let (near, equal) = (ema.near.expect("it settles"), ema.equal.expect("it settles"));
    // A weight of (19/21)^k falls below 1e-9 of the price's spread after 150 to 230 bars.
    assert!(ema.first == Some(19) && (120..260).contains(&near) && near < equal, "{ema:?}");
    // What sums up from the first bar on never forgets it, and what starts each day does by the next midnight.
    let obv = &settled(3_000, "obv()")[0];
    assert_eq!((obv.near, obv.equal), (None, None));
    let vwap = &settled(3_000, "vwap()")[0];
    assert!(vwap.near.is_some_and(|bars| (1..24).contains(&bars)), "{vwap:?}");
    // Bars too few to see an end of it.
    assert_eq!(settled(300, "ema(close, 200)")[0].near, None);
}

#[test]
fn every_indicator_inside_another_stands_for_itself() {
    let names: Vec<String> = settled(3_000, "sma(rsi(close, 14), 5) - ema(close, 9) * 2")
        .into_iter()
        .map(|indicator| indicator.name)
        .collect();
    assert_eq!(names, ["ema(close, 9)", "rsi(close, 14)", "sma(rsi(close, 14), 5)"]);
}

#[test]
fn decisions_are_measured_by_themselves() {
    /// Holds while the close is above that of so many bars before; forgets, or counts from the first bar.
    struct Since(usize, bool);
    impl Strategy for Since {
        fn decide(&mut self, view: &View<'_>) -> Decision {
            let (now, then) = (view.price(Column::Close, 0), view.price(Column::Close, self.0));
            let counted = self.1 && view.bar_idx().is_multiple_of(2);
            Decision { long_exit: then.is_none() || now < then || counted, ..Decision::default() }
        }
    }
    let decisions = |length: usize, counts: bool| {
        let make = move |_: &Bars| -> Box<dyn Strategy> { Box::new(Since(length, counts)) };
        measure(&bars(3_000), &Rules::default(), &[], &make).decisions
    };
    let settled = decisions(100, false).expect("it settles");
    assert!((90..=100).contains(&settled), "{settled}");
    assert_eq!(decisions(100, true), None, "it counts bars from the first");
}
