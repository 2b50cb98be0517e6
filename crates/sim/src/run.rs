//! The reference loop: one strategy over one symbol's bars, slow and obvious. Every faster path must equal it.
//! No thread, no cache, no shortcut may enter.

use rust_decimal::Decimal;

use crate::bars::Bars;
use crate::exact;
use crate::fill::{self, Levels};
use crate::guard::{Guard, Hit, Prices};
use crate::ledger::{At, Ledger, Overflow};
use crate::metrics::{Drawdown, Metrics, Summary};
use crate::order::{Decision, ExitReason, Order, RejectReason, Rejection, Side, Trade};
use crate::rules::{Fill, Rules};
use crate::strategy::{Strategy, View};
use crate::timeframe;

/// A run that ended early because a number left DECIMAL(20,8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("money beyond DECIMAL(20,8) at bar {bar_idx}")]
pub struct Failure {
    /// Index of the bar, warm-up counted.
    pub bar_idx: usize,
    /// Opening time of the bar, microseconds UTC.
    pub time_us: i64,
}

/// Equity at the last bar of a UTC day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DayMark {
    /// Opening time of that bar, microseconds UTC.
    pub time_us: i64,
    pub equity: Decimal,
    /// How far equity stands below its highest mark so far, per cent.
    pub drawdown: f64,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Closed trades in order of their exits, then the open one.
    pub trades: Vec<Trade>,
    /// Equity at the close of each traded bar.
    pub equity: Vec<Decimal>,
    /// Equity by UTC day.
    pub daily: Vec<DayMark>,
    pub rejections: Vec<Rejection>,
    /// Bars whose prices leave open what happened first.
    pub ambiguous_bars: usize,
    /// Traded bars at whose close a position was held.
    pub bars_held: usize,
    /// All fees, quote units.
    pub fees: Decimal,
    /// Profit of the open position at the last close: no exit cost, entry fee included.
    pub open_pnl: Decimal,
    /// Close of the last bar over open of the first, minus 1, per cent.
    pub buy_and_hold: f64,
    pub metrics: Metrics,
}

/// Simulates `strategy` on `bars` under `rules`, which [`Rules::check`] has passed.
///
/// # Errors
/// [`Failure`] when a number leaves DECIMAL(20,8).
pub fn run(bars: &Bars, strategy: &mut dyn Strategy, rules: &Rules) -> Result<Run, Failure> {
    strategy.prepare(bars);
    let mut desk = Desk::new(bars, rules);
    for bar_idx in bars.n_warmup()..bars.len() {
        let failed = |Overflow| Failure { bar_idx, time_us: bars.time_us()[bar_idx] };
        desk.step(bar_idx, strategy).map_err(failed)?;
    }
    Ok(desk.finish())
}

/// What waits for the next fill moment.
#[derive(Default)]
struct Pending {
    exit: Option<ExitReason>,
    entry: Option<Order>,
}

/// The state of a run between two bars.
struct Desk<'a> {
    bars: &'a Bars,
    rules: &'a Rules,
    ledger: Ledger,
    guard: Option<Guard>,
    pending: Pending,
    drawdown: Drawdown,
    equity: Vec<Decimal>,
    daily: Vec<DayMark>,
    rejections: Vec<Rejection>,
    ambiguous_bars: usize,
    bars_held: usize,
}

impl<'a> Desk<'a> {
    fn new(bars: &'a Bars, rules: &'a Rules) -> Self {
        let start_us = bars.time_us()[bars.n_warmup()];
        Self {
            bars,
            rules,
            ledger: Ledger::new(rules.capital),
            guard: None,
            pending: Pending::default(),
            drawdown: Drawdown::new(money_e8(rules.capital), start_us),
            equity: Vec::with_capacity(bars.len() - bars.n_warmup()),
            daily: Vec::new(),
            rejections: Vec::new(),
            ambiguous_bars: 0,
            bars_held: 0,
        }
    }

    /// The order of events in a bar.
    fn step(&mut self, i: usize, strategy: &mut dyn Strategy) -> Result<(), Overflow> {
        let (open, close) = (price(self.bars.open()[i]), price(self.bars.close()[i]));
        let at_close = self.rules.fill == Fill::Close;
        self.expire(i);
        self.fill_at_market(i, open)?;
        self.protect(i)?;
        // A decision on the last bar would never fill at a next open, so it is not asked for.
        if at_close || i + 1 < self.bars.len() {
            let decision = strategy.decide(&self.view(i, self.ledger.equity(close)?));
            self.take(i, decision);
        }
        if at_close {
            self.fill_at_market(i, close)?;
        }
        self.mark(i, self.ledger.equity(close)?);
        Ok(())
    }

    fn view(&self, bar_idx: usize, equity: Decimal) -> View<'_> {
        let (position, trades) = (self.ledger.position(), self.ledger.trades());
        View { bars: self.bars, bar_idx, position, equity, trades }
    }

    /// Turns a decision into what waits for the next fill. Whether a position is held is judged here.
    fn take(&mut self, i: usize, decision: Decision) {
        let Decision { long_entry, long_exit, short_entry, short_exit } = decision;
        let conflict = long_entry.is_some() && short_entry.is_some();
        if conflict {
            self.reject(i, RejectReason::Conflict);
        }
        let long_entry = long_entry.filter(|_| !conflict && !long_exit);
        let short_entry = short_entry.filter(|_| !conflict && !short_exit);
        let holding = |own_exit: bool, opposite: Option<Order>| {
            let reverse = opposite.is_some().then_some(ExitReason::Reverse);
            let exit = if own_exit { Some(ExitReason::Signal) } else { reverse };
            Pending { exit, entry: opposite }
        };
        self.pending = match self.ledger.position().map(|p| p.side) {
            None => Pending { exit: None, entry: long_entry.or(short_entry) },
            Some(Side::Long) => holding(long_exit, short_entry),
            Some(Side::Short) => holding(short_exit, long_entry),
        };
    }

    /// A time stop that is due becomes a market exit, unless a signal waits already.
    fn expire(&mut self, i: usize) {
        let now = self.bars.time_us()[i];
        if self.guard.as_ref().is_some_and(|guard| guard.expired(now)) {
            self.pending.exit.get_or_insert(ExitReason::TimeStop);
        }
    }

    /// Market exits first, then market entries, both at `raw` before slippage.
    fn fill_at_market(&mut self, i: usize, raw: Decimal) -> Result<(), Overflow> {
        let Pending { exit, entry } = std::mem::take(&mut self.pending);
        if let Some(reason) = exit {
            self.close(i, Hit { price: raw, reason })?;
        }
        match entry {
            Some(order) => self.enter(i, raw, &order),
            None => Ok(()),
        }
    }

    /// Makes an entry, or says why not. The tests stand in the order in which a refusal is named.
    fn enter(&mut self, i: usize, raw: Decimal, order: &Order) -> Result<(), Overflow> {
        let equity = self.ledger.cash();
        if equity <= Decimal::ZERO {
            self.reject(i, RejectReason::Cash);
            return Ok(());
        }
        let price = fill::taker_price(self.rules, raw, order.side == Side::Long);
        let levels = match Levels::around(price, order.side, &order.protection) {
            Ok(levels) => levels,
            Err(reason) => {
                self.reject(i, reason);
                return Ok(());
            }
        };
        let quantity = fill::quantity(self.rules, order, price, equity, &levels).ok_or(Overflow)?;
        let cost = fill::cost(quantity, price, self.rules.fee_bps).ok_or(Overflow)?;
        if let Some(reason) = self.refusal(quantity, cost, equity) {
            self.reject(i, reason);
            return Ok(());
        }
        let at = At { bar_idx: i, time_us: self.bars.time_us()[i] };
        self.ledger.open(order.side, quantity, price, cost, order.tag.clone(), at)?;
        let cash = self.ledger.cash();
        let guard = |position| Guard::new(position, levels, &order.protection, cash);
        self.guard = self.ledger.position().map(guard);
        Ok(())
    }

    fn refusal(
        &self,
        quantity: Decimal,
        (notional, fee): (Decimal, Decimal),
        equity: Decimal,
    ) -> Option<RejectReason> {
        if quantity <= Decimal::ZERO {
            Some(RejectReason::Lot)
        } else if notional < self.rules.min_notional {
            Some(RejectReason::MinNotional)
        } else if notional + fee > equity {
            Some(RejectReason::Cash)
        } else {
            None
        }
    }

    /// Stops and targets inside the bar.
    fn protect(&mut self, i: usize) -> Result<(), Overflow> {
        let Some(guard) = &mut self.guard else { return Ok(()) };
        let bar = Prices {
            open: price(self.bars.open()[i]),
            high: price(self.bars.high()[i]),
            low: price(self.bars.low()[i]),
        };
        let (hit, ambiguous) = guard.check(bar, self.rules.intrabar);
        guard.trail(bar);
        self.ambiguous_bars += usize::from(ambiguous);
        hit.map_or(Ok(()), |hit| self.close(i, hit))
    }

    /// Closes the position: a target as maker at its price, all else as taker with slippage.
    fn close(&mut self, i: usize, hit: Hit) -> Result<(), Overflow> {
        let Some(side) = self.ledger.position().map(|p| p.side) else { return Ok(()) };
        let buying = side == Side::Short;
        let (price, fee_bps) = if hit.reason == ExitReason::TakeProfit {
            (fill::maker_price(self.rules, hit.price, buying), self.rules.maker_fee_bps)
        } else {
            (fill::taker_price(self.rules, hit.price, buying), self.rules.fee_bps)
        };
        self.guard = None;
        let at = At { bar_idx: i, time_us: self.bars.time_us()[i] };
        self.ledger.close(price, fee_bps, hit.reason, at)
    }

    fn mark(&mut self, i: usize, equity: Decimal) {
        let time_us = self.bars.time_us()[i];
        self.equity.push(equity);
        self.bars_held += usize::from(self.ledger.position().is_some());
        let drawdown = self.drawdown.mark(money_e8(equity), self.bars.end_us(i));
        let next = self.bars.time_us().get(i + 1);
        if next.is_none_or(|&next| timeframe::day(next) != timeframe::day(time_us)) {
            self.daily.push(DayMark { time_us, equity, drawdown });
        }
    }

    fn reject(&mut self, bar_idx: usize, reason: RejectReason) {
        self.rejections.push(Rejection { bar_idx, reason });
    }

    fn finish(self) -> Run {
        let (first, last) = (self.bars.n_warmup(), self.bars.len() - 1);
        let close = price(self.bars.close()[last]);
        let open_pnl = self.ledger.position().and_then(|p| p.open_pnl(close));
        let fees = self.ledger.fees();
        let trades = self.ledger.into_trades();
        let daily_e8: Vec<i128> = self.daily.iter().map(|d| money_e8(d.equity)).collect();
        let metrics = Summary {
            initial_e8: money_e8(self.rules.capital),
            final_e8: self.equity.last().map_or(0, |&e| money_e8(e)),
            daily_e8: &daily_e8,
            drawdown: self.drawdown.finish(),
            elapsed_us: self.bars.end_us(last) - self.bars.time_us()[first],
            timeframe: self.bars.timeframe(),
            year_days: self.rules.year_days,
            risk_free: self.rules.risk_free,
        }
        .metrics(&trades);
        let (from, to) = (self.bars.open()[first], self.bars.close()[last]);
        Run {
            trades,
            equity: self.equity,
            daily: self.daily,
            rejections: self.rejections,
            ambiguous_bars: self.ambiguous_bars,
            bars_held: self.bars_held,
            fees,
            open_pnl: open_pnl.unwrap_or_default(),
            buy_and_hold: exact::per_cent(i128::from(to) - i128::from(from), from.into()),
            metrics,
        }
    }
}

fn price(units_e8: i64) -> Decimal {
    exact::decimal(units_e8.into())
}

/// Money that the ledger has checked, in units of 1e-8.
fn money_e8(money: Decimal) -> i128 {
    exact::units(money).unwrap_or_default()
}
