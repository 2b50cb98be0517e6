//! Laws that hold for any bars, any script and any rules: L1 no look-ahead, L2 the books balance, L8 undefined is `None`.
//! Prices lie on a coarse grid, so that ties (open = level, low = level) are common.

use proptest::prelude::*;
use rust_decimal::Decimal;
use sim::bars::{Bars, Columns};
use sim::order::{Distance, ExitReason, Protection, Side, Size, Trade};
use sim::rules::{Fill, Intrabar, Rules};
use sim::{Run, exact};

use crate::script::{MINUTE_US, Script, d};

/// One random bar: gap to the bar before, open, up, down and where the close lies, plus what the script says.
type Row = (i64, i64, i64, i64, i64, u8);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((1..4_i64, -2..3_i64, 0..4_i64, 0..4_i64, 0..8_i64, 0..24_u8), 4..60)
}

fn bars(rows: &[Row]) -> (Bars, Vec<String>) {
    let unit = exact::ONE_E8 / 2;
    let mut columns = Columns::default();
    let (mut minute, mut last) = (0, 40);
    let mut words = Vec::new();
    for &(gap, step, up, down, share, say) in rows {
        minute += gap;
        let open = (last + step).max(6);
        let (high, low) = (open + up, open - down.min(open - 1));
        let close = low + share.min(high - low);
        columns.time_us.push(minute * MINUTE_US);
        columns.open.push(open * unit);
        columns.high.push(high * unit);
        columns.low.push(low * unit);
        columns.close.push(close * unit);
        words.push(said(say).to_owned());
        last = close;
    }
    (Bars::new("T", "1m".parse().unwrap(), 0, columns).unwrap(), words)
}

fn said(say: u8) -> &'static str {
    match say {
        0..4 => "long",
        4..8 => "short",
        8..10 => "exit_long",
        10..12 => "exit_short",
        12 => "long short",
        13 => "long exit_long",
        14 => "short exit_long",
        15 => "long exit_short",
        _ => "",
    }
}

fn distance() -> impl Strategy<Value = Option<Distance>> {
    prop_oneof![
        4 => Just(None),
        3 => (1..6_i64).prop_map(|n| Some(Distance::Quote(Decimal::new(n * 5, 1)))),
        3 => (1..12_i64).prop_map(|n| Some(Distance::Fraction(Decimal::new(n, 2)))),
        1 => Just(Some(Distance::Undefined)),
    ]
}

fn protection() -> impl Strategy<Value = Protection> {
    let time = prop_oneof![3 => Just(None), 1 => (1..8_i64).prop_map(|n| Some(n * MINUTE_US))];
    (distance(), distance(), distance(), time).prop_map(|(stop, target, trail, time)| Protection {
        stop_loss: stop,
        take_profit: target,
        trailing_stop: trail,
        time_stop_us: time,
    })
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![
        (1..11_i64).prop_map(|n| Size::Equity(Decimal::new(n, 1))),
        (1..4_i64).prop_map(|n| Size::Quote(Decimal::new(n * 3_333, 0))),
        (1..900_i64).prop_map(|n| Size::Quantity(Decimal::new(n, 0))),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    (any::<bool>(), 0..3_u8, 0..3_i64, 0..3_i64, 0..3_i64).prop_map(
        |(close, intrabar, fee, maker, slip)| Rules {
            fill: if close { Fill::Close } else { Fill::NextOpen },
            intrabar: [Intrabar::Worst, Intrabar::Best, Intrabar::Path][usize::from(intrabar)],
            fee_bps: Decimal::new(fee * 75, 1),
            maker_fee_bps: Decimal::new(maker * 3, 0),
            slippage_bps: Decimal::new(slip * 13, 1),
            ..Rules::default()
        },
    )
}

fn simulate(
    bars: &Bars,
    words: &[String],
    size: Size,
    protection: Protection,
    rules: &Rules,
) -> Run {
    let mut script = Script { words: words.to_vec(), size, protection };
    sim::run(bars, &mut script, rules).unwrap()
}

/// Cash flow of one fill, worked out again from the trade alone.
fn flow(side: Decimal, quantity: Decimal, price: Decimal, fee_bps: Decimal) -> Decimal {
    let round = |x: Decimal| {
        x.round_dp_with_strategy(8, rust_decimal::RoundingStrategy::MidpointNearestEven)
    };
    let notional = round(quantity * price);
    -side * notional - round(notional * fee_bps / d("10000"))
}

fn exit_fee(trade: &Trade, rules: &Rules) -> Decimal {
    let by_target = trade.exit.is_some_and(|x| x.reason == ExitReason::TakeProfit);
    if by_target { rules.maker_fee_bps } else { rules.fee_bps }
}

/// Cash and position after every bar, from the trades alone.
fn equity_again(bars: &Bars, run: &Run, rules: &Rules) -> Vec<Decimal> {
    let value = |bar_idx: usize| {
        let close = exact::decimal(bars.close()[bar_idx].into());
        run.trades.iter().fold(rules.capital, |equity, trade| {
            let sign = if trade.side == Side::Long { Decimal::ONE } else { Decimal::NEGATIVE_ONE };
            if trade.entry_bar_idx > bar_idx {
                return equity;
            }
            let entered = equity + flow(sign, trade.quantity, trade.entry_price, rules.fee_bps);
            match &trade.exit {
                Some(exit) if exit.bar_idx <= bar_idx => {
                    entered + flow(-sign, trade.quantity, exit.price, exit_fee(trade, rules))
                }
                _ => entered + flow(-sign, trade.quantity, close, Decimal::ZERO),
            }
        })
    };
    (0..bars.len()).map(value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn l2_the_books_balance(
        rows in rows(), size in size(), protection in protection(), rules in rules(),
    ) {
        let (bars, words) = bars(&rows);
        let run = simulate(&bars, &words, size, protection, &rules);
        prop_assert_eq!(&run.equity, &equity_again(&bars, &run, &rules));
        let closed: Decimal = run.trades.iter().filter_map(|t| t.exit.as_ref()).map(|x| x.pnl).sum();
        prop_assert_eq!(rules.capital + closed + run.open_pnl, run.metrics.final_capital);
        let paid: Decimal = run.trades.iter().map(|t| t.commission).sum();
        prop_assert_eq!(paid, run.fees);
    }

    #[test]
    fn l1_the_future_does_not_change_the_past(
        rows in rows(), other in rows(), cut in 1..50_usize,
        size in size(), protection in protection(), rules in rules(),
    ) {
        let (whole, words) = bars(&rows);
        let cut = cut.min(whole.len());
        let run = simulate(&whole, &words, size, protection, &rules);
        let short = simulate(&whole.head(cut).unwrap(), &words, size, protection, &rules);
        // The same past with another future behind it.
        let mut scrambled = rows[..cut].to_vec();
        scrambled.extend_from_slice(&other);
        let (scrambled, mut said) = bars(&scrambled);
        said[..cut].clone_from_slice(&words[..cut]);
        let changed = simulate(&scrambled, &said, size, protection, &rules);
        prop_assert_eq!(&run.equity[..cut], &short.equity[..]);
        prop_assert_eq!(&run.equity[..cut], &changed.equity[..cut]);
        let past = |run: &Run| -> Vec<Trade> {
            run.trades.iter().filter(|t| t.exit.is_some_and(|x| x.bar_idx < cut)).cloned().collect()
        };
        prop_assert_eq!(past(&run), past(&short));
        prop_assert_eq!(past(&run), past(&changed));
    }

    #[test]
    fn l8_what_is_undefined_is_none(
        rows in rows(), size in size(), protection in protection(), rules in rules(),
    ) {
        let (bars, words) = bars(&rows);
        let m = simulate(&bars, &words, size, protection, &rules).metrics;
        let all = [
            m.total_return, m.annual_return, m.volatility, m.sharpe_ratio, m.sortino_ratio,
            m.max_drawdown, m.calmar_ratio, m.win_rate, m.profit_factor, m.avg_trade_return,
            m.avg_win, m.avg_loss, m.largest_win, m.largest_loss,
        ];
        prop_assert!(all.into_iter().flatten().all(f64::is_finite), "{:?}", all);
        prop_assert_eq!(m.total_trades == 0, m.win_rate.is_none());
        prop_assert_eq!(m.losing_trades == 0, m.profit_factor.is_none());
    }
}
