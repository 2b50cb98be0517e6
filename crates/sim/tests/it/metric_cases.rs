//! Metrics worked out independently of our code, with the traps that other engines fall into.
//! The expected figures come from a few lines of Python with fractions and `math.fsum`, n - 1 deviations and 365 days.

use rust_decimal::Decimal;
use sim::metrics::{Drawdown, Metrics, Summary};
use sim::order::Size;
use sim::timeframe::DAY_US;
use sim::{Run, exact};

use crate::script::{MINUTE_US, Script, d, free, protection, table};

const ONE: Size = Size::Quantity(Decimal::ONE);

/// Metrics of daily bars that close at `equity`, no trades.
fn of_daily(initial: &str, equity: &[&str], year_days: u32, risk_free: &str) -> Metrics {
    let units = |text: &str| exact::units(d(text)).unwrap();
    let daily: Vec<i128> = equity.iter().map(|e| units(e)).collect();
    let mut drawdown = Drawdown::new(units(initial), 0);
    for (day, &e) in (1..).zip(&daily) {
        drawdown.mark(e, day * DAY_US);
    }
    Summary {
        initial_e8: units(initial),
        final_e8: *daily.last().unwrap(),
        daily_e8: &daily,
        drawdown: drawdown.finish(),
        elapsed_us: i64::try_from(daily.len()).unwrap() * DAY_US,
        timeframe: "1d".parse().unwrap(),
        year_days,
        risk_free: d(risk_free),
    }
    .metrics(&[])
}

#[track_caller]
fn close(got: Option<f64>, expected: f64) {
    let got = got.expect("defined");
    assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{got} is not {expected}");
}

const MONTH: [&str; 30] = [
    "9968.82", "10090.73", "10065.28", "10021.99", "9855.62", "9833.29", "10071.63", "10177.21",
    "10408.62", "10481.25", "10584.97", "10645.37", "10311.94", "10508.95", "10636.4", "10763.79",
    "10421.21", "10078.58", "9919.42", "9846.38", "9926.22", "9936.96", "10060.37", "9951.27",
    "10032.61", "10131.76", "10018.05", "10382.21", "10518.55", "10791.4",
];

#[test]
fn a_month_of_days() {
    let m = of_daily("10000", &MONTH, 365, "0");
    close(m.total_return, 7.914);
    close(m.annual_return, 152.607_623_298_425_44);
    close(m.volatility, 32.654_969_972_148_98);
    close(m.sharpe_ratio, 2.999_639_864_938_139_5);
    close(m.sortino_ratio, 4.475_339_300_946_265);
    close(m.max_drawdown, 8.523_113_141_374_939);
    close(m.calmar_ratio, 17.905_150_473_434_517);
    // Below 10763.79 from the end of day 16 to the end of day 30.
    assert_eq!(m.max_drawdown_duration, 14 * 86_400);
}

#[test]
fn another_year_and_a_risk_free_rate_leave_the_annual_return_alone() {
    let m = of_daily("10000", &MONTH, 252, "5");
    close(m.annual_return, 152.607_623_298_425_44);
    close(m.volatility, 27.133_331_879_799_066);
    close(m.sharpe_ratio, 2.308_154_719_114_744);
    close(m.sortino_ratio, 3.414_334_311_192_231_3);
}

#[test]
fn a_loss_on_the_first_bar_is_a_drawdown() {
    let m = of_daily("100", &["80", "90"], 365, "0");
    close(m.max_drawdown, 20.0);
    close(m.sharpe_ratio, -3.117_520_635_255_299);
    close(m.sortino_ratio, -5.065_971_032_289_86);
    // From the first bar's opening, never recovered.
    assert_eq!(m.max_drawdown_duration, 2 * 86_400);
}

#[test]
fn equal_losses_have_no_deviation_but_a_downside() {
    let m = of_daily("100", &["90", "81", "72.9"], 365, "0");
    assert_eq!(m.volatility, Some(0.0));
    assert_eq!(m.sharpe_ratio, None);
    close(m.sortino_ratio, -(365_f64.sqrt()));
}

#[test]
fn flat_days_count_and_no_losing_day_leaves_sortino_undefined() {
    let m = of_daily("100", &["100", "100", "110", "110"], 365, "0");
    close(m.volatility, 95.524_865_872_714);
    close(m.sharpe_ratio, 9.552_486_587_271_4);
    assert_eq!(m.sortino_ratio, None);
    assert_eq!(m.calmar_ratio, None);
    assert_eq!(m.max_drawdown, Some(0.0));
    assert_eq!(m.max_drawdown_duration, 0);
}

/// Figures by Python's decimals with 60 digits.
#[test]
fn small_changes_keep_their_digits_and_ties_go_to_even() {
    let m = of_daily("100000000", &["99999999.9999", "99999999.9998"], 365, "0");
    let exact = -3.649_999_999_337_525e-8;
    let got = m.annual_return.expect("two days");
    assert!((got / exact - 1.0).abs() < 1e-11, "{got}");
    // 0.00135 and 1.92355 as the nearest doubles: their columns round these to even, 0.0014 and 1.9236.
    assert_eq!(of_daily("10000", &["10000.135"], 365, "0").total_return, Some(0.001_35));
    assert_eq!(of_daily("10000", &["9807.645"], 365, "0").max_drawdown, Some(1.923_55));
}

/// A run of -106 % is no gain, and returns end with the day of bankruptcy.
#[test]
fn bankruptcy() {
    let m = of_daily("10000", &["9000", "4000", "-500", "-600"], 365, "0");
    close(m.total_return, -106.0);
    assert_eq!(m.annual_return, Some(-100.0));
    close(m.volatility, 981.142_477_268_000_2);
    close(m.sharpe_ratio, -22.079_796_184_391);
    close(m.sortino_ratio, -15.603_684_087_410_125);
    close(m.max_drawdown, 106.0);
}

#[test]
fn a_peak_that_is_only_reached_again_ends_its_drawdown_and_becomes_the_peak() {
    let m = of_daily("100", &["110", "90", "110", "109", "110"], 365, "0");
    assert_eq!(m.max_drawdown_duration, 2 * 86_400);
    let m = of_daily("100", &["110", "110", "90", "100", "105"], 365, "0");
    assert_eq!(m.max_drawdown_duration, 3 * 86_400, "counted from the last bar at the peak");
}

fn of_script(bars: &str, protect: &str) -> Run {
    let (bars, words) = table(bars, 0);
    let mut script = Script { words, size: ONE, protection: protection(protect) };
    sim::run(&bars, &mut script, &free()).unwrap()
}

#[test]
fn a_test_shorter_than_a_day_has_no_annual_return_and_one_daily_return() {
    let m = of_script("100 101 99 100 long\n100 101 99 101", "").metrics;
    close(m.total_return, 0.01);
    assert_eq!((m.annual_return, m.volatility, m.sharpe_ratio), (None, None, None));
    assert_eq!((m.win_rate, m.avg_trade_return, m.avg_trade_duration_us), (None, None, None));
    assert_eq!(m.total_trades, 0, "an open position is no closed trade");
    assert_eq!(m.final_capital, d("10001"));
}

#[test]
fn no_trade_leaves_ratios_undefined_and_equity_whole() {
    let m = of_script("100 101 99 100\n100 101 99 101", "").metrics;
    assert_eq!(m.total_return, Some(0.0));
    assert_eq!((m.profit_factor, m.win_rate, m.avg_win, m.largest_loss), (None, None, None, None));
}

/// Wins 2 and 1, a break-even, a loss of 4: a break-even trade counts in the denominators only.
#[test]
fn trades_by_hand() {
    let run = of_script(
        "100 100 100 100 long
         100 100 100 100 exit_long
         102 102 102 102 long
         100 100 100 100 exit_long
         101 101 101 101 short
         200 200 200 200 exit_short
         200 200 200 200 long
         200 200 200 200
         196 196 196 196 exit_long
         196 196 196 196",
        "",
    );
    let m = &run.metrics;
    assert_eq!((m.total_trades, m.winning_trades, m.losing_trades), (4, 2, 1));
    close(m.win_rate, 50.0);
    close(m.profit_factor, 0.75);
    close(m.avg_trade_return, (2.0 + 1.0 + 0.0 - 2.0) / 4.0);
    close(m.avg_win, 1.5);
    close(m.largest_win, 2.0);
    close(m.avg_loss, -2.0);
    close(m.largest_loss, -2.0);
    // Held 1, 1, 1 and 2 minutes.
    assert_eq!(m.avg_trade_duration_us, Some(MINUTE_US * 5 / 4));
    assert_eq!(m.final_capital, d("9999"));
    assert_eq!(run.bars_held, 5);
    close(Some(run.buy_and_hold), 96.0);
}

#[test]
fn all_winners_have_no_profit_factor() {
    let m = of_script("100 100 100 100 long\n100 100 100 100 exit_long\n103 103 103 103", "");
    assert_eq!(m.metrics.profit_factor, None);
    close(m.metrics.win_rate, 100.0);
    assert_eq!(m.metrics.avg_loss, None);
}
