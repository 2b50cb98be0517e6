//! Metrics of a run from its marks and trades: one function for every path that simulates.
//! No bar, rule or position may enter; undefined is `None`, never a NaN or a sentinel.

mod waiting;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::exact;
use crate::order::Trade;
use crate::timeframe::{DAY_US, SECOND_US, Timeframe};

pub(crate) use waiting::Waiting;

/// Days of the year that annual_return counts in, whatever the convention for the other metrics.
const CALENDAR_YEAR_DAYS: f64 = 365.0;

/// The columns of `backtest_results`. Per cent where [`Metrics`] says so, undefined is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Per cent.
    pub total_return: Option<f64>,
    /// Per cent a year, compounded over calendar time.
    pub annual_return: Option<f64>,
    /// Standard deviation of daily returns (n - 1) a year, per cent.
    pub volatility: Option<f64>,
    /// Mean excess daily return over its standard deviation, a year; a ratio (Sharpe 1994).
    pub sharpe_ratio: Option<f64>,
    /// Mean excess daily return over downside deviation of all n returns, a year; a ratio (Sortino 1994).
    pub sortino_ratio: Option<f64>,
    /// Greatest fall of bar-level equity from its highest mark, initial capital included; per cent, positive.
    pub max_drawdown: Option<f64>,
    /// Longest time from a peak to the first mark that reaches it again, seconds.
    pub max_drawdown_duration: i64,
    /// annual_return / max_drawdown; a ratio.
    pub calmar_ratio: Option<f64>,
    /// Per cent of closed trades with net profit.
    pub win_rate: Option<f64>,
    /// Sum of winning pnl over the sum of losing pnl, positive; a ratio.
    pub profit_factor: Option<f64>,
    pub total_trades: usize,
    pub winning_trades: usize,
    pub losing_trades: usize,
    /// Means and extremes of pnl_percentage, per cent; losses are negative.
    pub avg_trade_return: Option<f64>,
    pub avg_win: Option<f64>,
    pub avg_loss: Option<f64>,
    pub largest_win: Option<f64>,
    pub largest_loss: Option<f64>,
    /// Mean time from entry to exit, microseconds.
    pub avg_trade_duration_us: Option<i64>,
    /// Equity at the last bar, quote units.
    pub final_capital: Decimal,
}

/// Everything but trades that metrics are made of. Money in units of 1e-8.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    pub initial_e8: i128,
    pub final_e8: i128,
    /// Equity at the last bar of each UTC day that has bars (of each bar, above one day).
    pub daily_e8: &'a [i128],
    pub drawdown: DrawdownSummary,
    /// From the first bar's opening to the last bar's end, microseconds.
    pub elapsed_us: i64,
    pub timeframe: Timeframe,
    /// Days in a year for volatility, Sharpe and Sortino.
    pub year_days: u32,
    /// Per cent a year.
    pub risk_free: Decimal,
}

impl Summary<'_> {
    /// The metrics of this summary and `trades`, of which only closed ones count.
    #[must_use]
    pub fn metrics(&self, trades: &[Trade]) -> Metrics {
        let mut tally = Tally::default();
        trades.iter().filter_map(Closed::of).for_each(|closed| tally.add(&closed));
        self.with(&tally)
    }

    /// The metrics of this summary and the closed trades that `tally` has counted.
    pub(crate) fn with(&self, tally: &Tally) -> Metrics {
        let mut metrics = tally.metrics();
        metrics.final_capital = exact::decimal(self.final_e8);
        metrics.total_return =
            finite(exact::per_cent(self.final_e8 - self.initial_e8, self.initial_e8));
        metrics.annual_return = self.annual_return();
        metrics.max_drawdown = finite(self.drawdown.deepest);
        metrics.max_drawdown_duration = self.drawdown.longest_us / SECOND_US;
        metrics.calmar_ratio = match (metrics.annual_return, metrics.max_drawdown) {
            (Some(annual), Some(drawdown)) if drawdown > 0.0 => finite(annual / drawdown),
            _ => None,
        };
        self.daily_metrics(&mut metrics);
        metrics
    }

    fn annual_return(&self) -> Option<f64> {
        if self.elapsed_us < DAY_US {
            return None;
        }
        if self.final_e8 <= 0 {
            return Some(-100.0);
        }
        let years_inverse = CALENDAR_YEAR_DAYS * float(DAY_US) / float(self.elapsed_us);
        // growth^y − 1 by what growth has beyond 1: taken from a power, the difference of a small one would lose its digits.
        let beyond = exact::ratio(self.final_e8 - self.initial_e8, self.initial_e8);
        finite(100.0 * (years_inverse * beyond.ln_1p()).exp_m1())
    }

    fn daily_metrics(&self, metrics: &mut Metrics) {
        let returns = self.daily_returns();
        if returns.len() < 2 {
            return;
        }
        // Above one day a return is a bar's, so a year holds fewer of them.
        let days = (float(self.timeframe.us()) / float(DAY_US)).max(1.0);
        let year = f64::from(self.year_days) / days;
        let risk_free = self.risk_free.to_f64().unwrap_or(0.0) / 100.0 / year;
        let n = count(returns.len());
        let mean = returns.iter().sum::<f64>() / n;
        let deviation = sample_deviation(&returns, mean);
        metrics.volatility = finite(100.0 * deviation * year.sqrt());
        if deviation > 0.0 {
            metrics.sharpe_ratio = finite((mean - risk_free) / deviation * year.sqrt());
        }
        if returns.iter().any(|&r| r < risk_free) {
            let below = |r: &f64| (r - risk_free).min(0.0).powi(2);
            let downside = (returns.iter().map(below).sum::<f64>() / n).sqrt();
            metrics.sortino_ratio = finite((mean - risk_free) * year.sqrt() / downside);
        }
    }

    /// Simple daily returns, initial capital in front, up to and including the first day that ends at 0 or below.
    fn daily_returns(&self) -> Vec<f64> {
        let mut before = self.initial_e8;
        let mut returns = Vec::with_capacity(self.daily_e8.len());
        for &equity in self.daily_e8 {
            returns.push(exact::ratio(equity - before, before));
            if equity <= 0 {
                break;
            }
            before = equity;
        }
        returns
    }
}

/// Standard deviation with n - 1 in the denominator; exactly 0 when all values are equal.
fn sample_deviation(values: &[f64], mean: f64) -> f64 {
    if values.iter().all(|v| v == &values[0]) {
        return 0.0;
    }
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    (squares / (count(values.len()) - 1.0)).sqrt()
}

/// What metrics need of a closed trade, in units of 1e-8 and microseconds.
#[derive(Clone, Copy, Debug)]
struct Closed {
    pnl_e8: i128,
    quantity_e8: i128,
    entry_price_e8: i128,
    held_us: i64,
}

impl Closed {
    /// `None` for a trade still open.
    fn of(trade: &Trade) -> Option<Self> {
        let exit = trade.exit.as_ref()?;
        let units = |d: Decimal| exact::units(d).unwrap_or_default();
        Some(Self {
            pnl_e8: units(exit.pnl),
            quantity_e8: units(trade.quantity),
            entry_price_e8: units(trade.entry_price),
            held_us: exit.time_us - trade.entry_time_us,
        })
    }

    /// `100 * pnl / (quantity * entry price)`, the double nearest to the exact value.
    fn pnl_percentage(&self) -> Option<f64> {
        let cost_e16 = exact::product(self.quantity_e8, self.entry_price_e8)?;
        let pnl_e16 = exact::product(self.pnl_e8, 100 * i128::from(exact::ONE_E8))?;
        (cost_e16 > 0).then(|| exact::ratio(pnl_e16, cost_e16))
    }
}

/// Closed trades counted one by one, in order of their exits.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    won_e8: i128,
    net_e8: i128,
    held_us: i128,
    /// Sums of pnl percentages: of all, of winners, of losers.
    all: f64,
    wins: f64,
    losses: f64,
    total: usize,
    winning: usize,
    losing: usize,
    /// Infinite as long as there is none.
    largest_win: f64,
    largest_loss: f64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            won_e8: 0,
            net_e8: 0,
            held_us: 0,
            all: 0.0,
            wins: 0.0,
            losses: 0.0,
            total: 0,
            winning: 0,
            losing: 0,
            largest_win: f64::NEG_INFINITY,
            largest_loss: f64::INFINITY,
        }
    }
}

impl Tally {
    fn add(&mut self, closed: &Closed) {
        let percent = closed.pnl_percentage().unwrap_or_default();
        self.count(closed.pnl_e8, percent, closed.held_us);
    }

    fn count(&mut self, pnl_e8: i128, percent: f64, held_us: i64) {
        let (won, lost) = (pnl_e8 > 0, pnl_e8 < 0);
        self.total += 1;
        self.winning += usize::from(won);
        self.losing += usize::from(lost);
        self.held_us += i128::from(held_us);
        self.net_e8 += pnl_e8;
        self.all += percent;
        if won {
            self.won_e8 += pnl_e8;
            self.wins += percent;
            self.largest_win = self.largest_win.max(percent);
        } else if lost {
            self.losses += percent;
            self.largest_loss = self.largest_loss.min(percent);
        }
    }

    fn metrics(&self) -> Metrics {
        let mean = |sum: f64, n: usize| if n == 0 { None } else { finite(sum / count(n)) };
        let mut metrics = Metrics {
            total_trades: self.total,
            winning_trades: self.winning,
            losing_trades: self.losing,
            avg_trade_return: mean(self.all, self.total),
            avg_win: mean(self.wins, self.winning),
            avg_loss: mean(self.losses, self.losing),
            largest_win: finite(self.largest_win),
            largest_loss: finite(self.largest_loss),
            ..Metrics::default()
        };
        if self.losing > 0 {
            metrics.profit_factor = finite(exact::ratio(self.won_e8, self.won_e8 - self.net_e8));
        }
        if self.total > 0 {
            let n = self.total as i128;
            metrics.win_rate = finite(exact::per_cent(self.winning as i128, n));
            let mean_us = exact::div_half_even(self.held_us, n);
            metrics.avg_trade_duration_us = i64::try_from(mean_us).ok();
        }
        metrics
    }
}

/// `100 * pnl / (quantity * entry price)` of a closed trade, the double nearest to the exact value.
#[must_use]
pub fn pnl_percentage(trade: &Trade) -> Option<f64> {
    Closed::of(trade)?.pnl_percentage()
}

/// What a run's drawdowns came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DrawdownSummary {
    /// Per cent, 0 when equity never fell below its peak.
    pub deepest: f64,
    /// Microseconds.
    pub longest_us: i64,
}

/// Follows equity from peak to peak. Money in units of 1e-8.
#[derive(Clone, Copy, Debug)]
pub struct Drawdown {
    peak_e8: i128,
    /// End of the last bar at the peak; before the first bar, its opening.
    peak_us: i64,
    last_us: i64,
    below: bool,
    summary: DrawdownSummary,
}

impl Drawdown {
    /// Starts with initial capital as the first peak, at the first bar's opening.
    #[must_use]
    pub fn new(initial_e8: i128, start_us: i64) -> Self {
        let summary = DrawdownSummary::default();
        Self { peak_e8: initial_e8, peak_us: start_us, last_us: start_us, below: false, summary }
    }

    /// Takes the mark at a bar's end and returns how far it lies below the peak, per cent.
    pub fn mark(&mut self, equity_e8: i128, end_us: i64) -> f64 {
        self.last_us = end_us;
        if equity_e8 >= self.peak_e8 {
            if self.below {
                self.close_at(end_us);
            }
            (self.peak_e8, self.peak_us, self.below) = (equity_e8, end_us, false);
            return 0.0;
        }
        self.below = true;
        let depth = exact::per_cent(self.peak_e8 - equity_e8, self.peak_e8);
        self.summary.deepest = self.summary.deepest.max(depth);
        depth
    }

    /// The summary, with a drawdown still open counted to the last mark.
    #[must_use]
    pub fn finish(mut self) -> DrawdownSummary {
        if self.below {
            self.close_at(self.last_us);
        }
        self.summary
    }

    fn close_at(&mut self, end_us: i64) {
        self.summary.longest_us = self.summary.longest_us.max(end_us - self.peak_us);
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn float(us: i64) -> f64 {
    us as f64
}

fn count(n: usize) -> f64 {
    n as f64
}
