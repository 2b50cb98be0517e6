//! Golden tables for what a decision, a fill and a level mean. Bars are one a minute: open high low close.

use rust_decimal::Decimal;
use sim::order::Size;
use sim::rules::{Fill, Intrabar, Rules};

use crate::script::{check, d, free};

const ONE: Size = Size::Quantity(Decimal::ONE);

#[test]
fn a_decision_fills_at_the_next_open_and_never_after_the_last_bar() {
    check(
        &free(),
        ONE,
        "",
        "100 101 99 100 long
         102 103 101 103 exit_long
         104 105 103 104 long",
        "LONG 1 @102 bar 1 -> @104 bar 2 L>signal pnl 2
         final 10002",
    );
}

#[test]
fn fill_at_close_fills_the_decision_of_the_last_bar_too() {
    let rules = Rules { fill: Fill::Close, ..free() };
    check(
        &rules,
        ONE,
        "",
        "100 101 99 100 long
         102 103 101 103 exit_long
         104 105 103 104 short",
        "LONG 1 @100 bar 0 -> @103 bar 1 L>signal pnl 3
         SHORT 1 @104 bar 2 -> open S
         final 10003",
    );
}

#[test]
fn both_entries_are_a_conflict_but_exits_still_act() {
    check(
        &free(),
        ONE,
        "",
        "100 101 99 100 long short
         100 101 99 100 long
         100 101 99 100 long short exit_long
         101 102 99 100
         100 101 99 100 long short",
        "LONG 1 @100 bar 2 -> @101 bar 3 L>signal pnl 1
         rejected conflict bar 0
         rejected conflict bar 2
         final 10001",
    );
}

#[test]
fn entry_with_its_own_exit_on_one_bar_does_not_enter() {
    check(&free(), ONE, "", "100 101 99 100 long exit_long\n100 101 99 100", "final 10000");
}

#[test]
fn the_opposite_entry_reverses_and_names_the_reason() {
    check(
        &free(),
        ONE,
        "",
        "100 101 99 100 long
         100 101 99 100 short
         101 101 99 100 long exit_short
         99 101 99 100 long
         99 101 99 100",
        "LONG 1 @100 bar 1 -> @101 bar 2 L>reverse pnl 1
         SHORT 1 @101 bar 2 -> @99 bar 3 S>signal pnl 2
         LONG 1 @99 bar 3 -> open L
         final 10004",
    );
}

#[test]
fn a_reversal_whose_entry_is_refused_still_closes() {
    check(
        &free(),
        Size::Quote(d("10000")),
        "",
        "100 101 99 100 long
         100 101 99 100 short
         99 101 99 100",
        "LONG 100 @100 bar 1 -> @99 bar 2 L>reverse pnl -100
         rejected cash bar 2
         final 9900",
    );
}

#[test]
fn a_stop_fills_at_its_level_and_touch_is_enough() {
    check(
        &free(),
        ONE,
        "stop=2%",
        "100 101 99 100 long
         100 101 98 99",
        "LONG 1 @100 bar 1 -> @98 bar 1 L>stop_loss pnl -2
         final 9998",
    );
}

#[test]
fn a_stop_passed_at_the_open_fills_at_the_open() {
    check(
        &free(),
        ONE,
        "stop=2% target=5",
        "100 101 99 100 long
         100 101 99 99
         95 110 94 99",
        "LONG 1 @100 bar 1 -> @95 bar 2 L>stop_loss pnl -5
         final 9995",
    );
}

#[test]
fn a_target_passed_at_the_open_fills_at_the_better_open() {
    check(
        &free(),
        ONE,
        "target=5",
        "100 101 99 100 short
         100 101 99 99
         94 96 90 95",
        "SHORT 1 @100 bar 1 -> @94 bar 2 S>take_profit pnl 6
         final 10006",
    );
}

#[test]
fn a_pending_signal_beats_a_stop_gapped_at_the_same_open() {
    check(
        &free(),
        ONE,
        "stop=2%",
        "100 101 99 100 long
         100 101 99 100 exit_long
         90 91 89 90",
        "LONG 1 @100 bar 1 -> @90 bar 2 L>signal pnl -10
         final 9990",
    );
}

/// Both levels inside one bar: worst takes the stop, best the target, path the extreme nearer to the open.
#[test]
fn ambiguous_bars_go_the_way_that_was_chosen() {
    let bars = "100 101 99 100 long
                100 104 97 100";
    let at = |intrabar, expected: &str| {
        check(&Rules { intrabar, ..free() }, ONE, "stop=2 target=3", bars, expected);
    };
    let stop = "LONG 1 @100 bar 1 -> @98 bar 1 L>stop_loss pnl -2\nambiguous 1\nfinal 9998";
    at(Intrabar::Worst, stop);
    at(
        Intrabar::Best,
        "LONG 1 @100 bar 1 -> @103 bar 1 L>take_profit pnl 3\nambiguous 1\nfinal 10003",
    );
    at(Intrabar::Path, stop);
}

#[test]
fn path_at_equal_distance_takes_the_extreme_worse_for_the_position() {
    let bars = |side: &str| format!("100 101 99 100 {side}\n100 104 96 100");
    let path = Rules { intrabar: Intrabar::Path, ..free() };
    let long = "LONG 1 @100 bar 1 -> @98 bar 1 L>stop_loss pnl -2\nambiguous 1\nfinal 9998";
    check(&path, ONE, "stop=2 target=3", &bars("long"), long);
    let short = "SHORT 1 @100 bar 1 -> @102 bar 1 S>stop_loss pnl -2\nambiguous 1\nfinal 9998";
    check(&path, ONE, "stop=2 target=3", &bars("short"), short);
    let nearer_high = "100 101 99 100 long\n100 103.5 96 100";
    let target = "LONG 1 @100 bar 1 -> @103 bar 1 L>take_profit pnl 3\nambiguous 1\nfinal 10003";
    check(&path, ONE, "stop=2 target=3", nearer_high, target);
}

/// The trailing stop of a bar knows the highs before it, never its own.
#[test]
fn a_trailing_stop_follows_earlier_highs_only() {
    check(
        &free(),
        ONE,
        "trail=5",
        "100 101 99 100 long
         100 108 100 108
         106 107 103 104",
        "LONG 1 @100 bar 1 -> @103 bar 2 L>trailing_stop pnl 3
         ambiguous 1
         final 10003",
    );
}

#[test]
fn a_trailing_stop_of_a_short_is_mirrored_and_gaps() {
    check(
        &free(),
        ONE,
        "trail=10%",
        "100 101 99 100 short
         100 101 80 100
         89 95 85 90",
        "SHORT 1 @100 bar 1 -> @89 bar 2 S>trailing_stop pnl 11
         ambiguous 1
         final 10011",
    );
}

#[test]
fn with_fill_at_close_the_entry_bar_neither_stops_nor_trails() {
    let rules = Rules { fill: Fill::Close, ..free() };
    check(
        &rules,
        ONE,
        "trail=5 stop=6",
        "100 120 90 100 long
         100 101 96 100
         100 103 96 99",
        "LONG 1 @100 bar 0 -> @96 bar 2 L>trailing_stop pnl -4
         ambiguous 2
         final 9996",
    );
}

#[test]
fn of_several_stops_the_nearest_acts_and_equal_ones_have_an_order() {
    check(
        &free(),
        ONE,
        "stop=2 trail=2",
        "100 101 99 100 long
         100 100 99 100
         97 98 96 97",
        "LONG 1 @100 bar 1 -> @97 bar 2 L>stop_loss pnl -3
         final 9997",
    );
}

#[test]
fn a_time_stop_leaves_at_the_first_open_at_or_after_its_time_gaps_included() {
    check(
        &free(),
        ONE,
        "time=2",
        "100 101 99 100 long
         100 101 99 100
         100 101 99 100
         ~
         105 106 104 105",
        "LONG 1 @100 bar 1 -> @105 bar 3 L>time_stop pnl 5
         final 10005",
    );
}

#[test]
fn a_time_stop_beats_a_gapped_stop_and_yields_to_a_pending_signal() {
    check(
        &free(),
        ONE,
        "time=1 stop=2",
        "100 101 99 100 long
         100 101 99 100
         90 91 89 90",
        "LONG 1 @100 bar 1 -> @90 bar 2 L>time_stop pnl -10\nfinal 9990",
    );
    check(
        &free(),
        ONE,
        "time=1",
        "100 101 99 100 long
         100 101 99 100 exit_long
         90 91 89 90",
        "LONG 1 @100 bar 1 -> @90 bar 2 L>signal pnl -10\nfinal 9990",
    );
}

#[test]
fn costs_move_against_the_trader_and_a_target_pays_the_maker_only() {
    let rules =
        Rules { fee_bps: d("10"), maker_fee_bps: d("2"), slippage_bps: d("5"), ..Rules::default() };
    // Entry 100 * 1.0005 = 100.05, fee 0.10005; target 105.05, fee 105.05 * 0.0002 = 0.02101.
    check(
        &rules,
        ONE,
        "target=5",
        "100 101 99 100 long
         100 101 99 100
         100 106 99 100",
        "LONG 1 @100.05 bar 1 -> @105.05 bar 2 L>take_profit pnl 4.87894
         final 10004.87894",
    );
}

#[test]
fn equity_size_leaves_room_for_the_fee_on_both_sides() {
    // 10000 / (100 * 1.001) = 99.9000999000..., floored to 8 places.
    for (word, side) in [("long", "LONG"), ("short", "SHORT")] {
        let tag = side.get(..1).unwrap_or_default();
        check(
            &Rules::default(),
            Size::Equity(Decimal::ONE),
            "",
            &format!("100 101 99 100 {word}\n100 101 99 100"),
            &format!("{side} 99.9000999 @100 bar 1 -> open {tag}\nfinal 9990.00999001"),
        );
    }
}

#[test]
fn risk_size_divides_by_the_distance_to_the_rounded_stop() {
    check(
        &free(),
        Size::Risk(d("0.01")),
        "stop=4",
        "100 101 99 100 long\n100 101 99 100",
        "LONG 25 @100 bar 1 -> open L\nfinal 10000",
    );
}

#[test]
fn refusals_are_named_in_the_order_of_the_tests() {
    let bars = "100 101 99 100 long\n100 101 99 100";
    let refused = |rules: &Rules, size, protect, reason: &str| {
        check(rules, size, protect, bars, &format!("rejected {reason} bar 1\nfinal 10000"));
    };
    refused(&free(), ONE, "stop=undefined", "stop_undefined");
    refused(&free(), ONE, "stop=100", "stop_undefined");
    refused(&free(), ONE, "target=0", "stop_undefined");
    refused(&free(), Size::Quantity(d("0.000000001")), "", "lot");
    let least = Rules { min_notional: d("100.00000001"), ..free() };
    refused(&least, ONE, "", "min_notional");
    refused(&free(), Size::Quantity(d("100.00000001")), "", "cash");
    refused(&least, Size::Quantity(d("0.000000001")), "", "lot");
}

/// A short without a stop is bought back where equity is 0; a gap beyond it leaves less, and no more entries.
#[test]
fn a_short_is_liquidated_and_bankruptcy_ends_entries() {
    let all_in = Size::Quote(d("10000"));
    check(
        &free(),
        all_in,
        "",
        "100 101 99 100 short
         100 150 99 150
         190 250 190 240 short
         240 250 230 240",
        "SHORT 100 @100 bar 1 -> @200 bar 2 S>liquidation pnl -10000
         rejected cash bar 3
         final 0",
    );
    check(
        &free(),
        all_in,
        "",
        "100 101 99 100 short
         100 150 99 150
         230 250 230 240 short
         240 250 230 240",
        "SHORT 100 @100 bar 1 -> @230 bar 2 S>liquidation pnl -13000
         rejected cash bar 3
         final -3000",
    );
}

#[test]
fn money_beyond_the_column_fails_and_names_the_bar() {
    let (bars, words) = crate::script::table(
        "0.00000001 0.00000001 0.00000001 0.00000001 long
         0.00000001 0.00000001 0.00000001 0.00000001
         9000000000 9000000000 9000000000 9000000000",
        0,
    );
    let mut script = crate::script::Script {
        words,
        size: Size::Quote(d("9999")),
        protection: Default::default(),
    };
    let failure = sim::run(&bars, &mut script, &free()).unwrap_err();
    assert_eq!(failure.bar_idx, 2);
}

#[test]
fn warm_up_bars_neither_trade_nor_count() {
    let (bars, words) = crate::script::table(
        "100 101 99 100 long
         100 101 99 100 long
         100 101 99 100 long
         100 101 99 101",
        2,
    );
    let mut script = crate::script::Script { words, size: ONE, protection: Default::default() };
    let run = sim::run(&bars, &mut script, &free()).unwrap();
    assert_eq!(run.equity.len(), 2);
    assert_eq!(run.trades[0].entry_bar_idx, 3);
    assert_eq!(run.bars_held, 1);
}
