"""The peers, given the same bars, signals and rules through their public interfaces."""

import warnings

import backtesting
import backtesting.lib
import numpy as np
import pandas as pd
import vectorbt as vbt

from bars import MINUTES

UNIT = 1e-8


def columns(**named):
    table = pd.DataFrame(named)
    return table.sort_values(["entry_bar", "exit_bar"], ignore_index=True)


# ---- vectorbt ----


def run_vectorbt(bars, s, rules):
    """Closed trades as in ours.py, and the portfolio to ask for metrics."""
    portfolio = vbt.Portfolio.from_signals(**arguments(bars, s, rules))
    found = portfolio.trades.closed.records
    trades = columns(
        side=np.where(found.direction == 0, 1, -1),
        size=found["size"],
        entry_bar=found.entry_idx,
        entry_price=found.entry_price,
        exit_bar=found.exit_idx,
        exit_price=found.exit_price,
        pnl=found.pnl,
        commission=found.entry_fees + found.exit_fees,
    )
    return trades, portfolio


def arguments(bars, s, rules):
    freq = f"{MINUTES}min"
    if rules.like:
        # What a person types who reads no further than the first example.
        return dict(close=bars.close, entries=s.long_entry, exits=s.long_exit, freq=freq)
    # It fills at the bar of the signal, at `price`: a fill at the next open is a signal one bar later.
    at_open = rules.fill == "next_open"
    moved = (lambda x: np.concatenate([[False], x[:-1]])) if at_open else (lambda x: x)
    price = bars.open if at_open else bars.close
    given = dict(
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
        entries=moved(s.long_entry),
        exits=moved(s.long_exit),
        short_entries=moved(s.short_entry),
        short_exits=moved(s.short_exit),
        price=price,
        fees=rules.fee_bps / 1e4,
        slippage=rules.slippage_bps / 1e4,
        init_cash=rules.capital,
        upon_opposite_entry="reverse",
        freq=freq,
    )
    kind, amount = s.size
    if kind == "quote":
        given |= dict(size=amount, size_type="value")
    elif kind == "quantity":
        given |= dict(size=amount)
    fraction = (lambda x: x / price.to_numpy()) if s.in_quote else (lambda x: x)
    if not np.isnan(s.stop).all():
        given |= dict(sl_stop=pd.Series(fraction(s.stop), bars.index), stop_entry_price="fillprice")
    if not np.isnan(s.target).all():
        given |= dict(tp_stop=pd.Series(fraction(s.target), bars.index))
    if not np.isnan(s.trail):
        given |= dict(sl_stop=s.trail, sl_trail=True, stop_entry_price="fillprice")
    return given


# ---- backtesting.py ----


def run_backtesting(bars, s, rules):
    """Closed trades as in ours.py, and the statistics."""
    table = bars.rename(columns=str.capitalize)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if rules.like:
            stats = backtesting.Backtest(table, plain(s)).run()
        else:
            test = backtesting.lib.FractionalBacktest(
                table,
                follower(bars, s, rules),
                cash=rules.capital,
                commission=rules.fee_bps / 1e4,
                trade_on_close=rules.fill == "close",
            )
            stats = test.run()
    found = stats._trades
    trades = columns(
        side=np.sign(found.Size).astype(int),
        size=found.Size.abs(),
        entry_bar=found.EntryBar,
        entry_price=found.EntryPrice,
        exit_bar=found.ExitBar,
        exit_price=found.ExitPrice,
        pnl=found.PnL,
        commission=found.Commission,
    )
    return trades, stats


def plain(s):
    """A strategy as one writes it first: buy, close, no argument anywhere."""

    class Plain(backtesting.Strategy):
        def init(self):
            pass

        def next(self):
            i = len(self.data) - 1
            if s.long_exit[i]:
                self.position.close()
            elif s.long_entry[i] and not self.position:
                self.buy()

    return Plain


def follower(bars, s, rules):
    """A strategy that follows the signals, its prices in the peer's units of 1e-8 of a coin.

    Levels are measured from the fill: the next open is looked up beforehand, for the peer wants them with the order."""
    fills = bars.close.to_numpy() if rules.fill == "close" else np.append(bars.open.to_numpy()[1:], np.nan)
    high, low = bars.high.to_numpy(), bars.low.to_numpy()

    class Follower(backtesting.Strategy):
        def init(self):
            pass

        def next(self):
            i = len(self.data) - 1
            held = np.sign(self.position.size)
            if held and not np.isnan(s.trail):
                self.trail(i, held)
            if np.isnan(fills[i]):
                return
            le = s.long_entry[i] and not s.short_entry[i] and not s.long_exit[i]
            se = s.short_entry[i] and not s.long_entry[i] and not s.short_exit[i]
            if (held > 0 and (s.long_exit[i] or se)) or (held < 0 and (s.short_exit[i] or le)):
                self.position.close()
            if le and held <= 0:
                self.enter(i, 1)
            elif se and held >= 0:
                self.enter(i, -1)

        def enter(self, i, side):
            level = lambda d, sign: None if np.isnan(d) else round(fills[i] + sign * side * d, 8) * UNIT
            scale = 1 if s.in_quote else fills[i]
            stop = s.trail if not np.isnan(s.trail) else s.stop[i]
            more = dict(sl=level(stop * scale, -1), tp=level(s.target[i] * scale, 1))
            kind, amount = s.size
            if kind == "quote":
                more["size"] = int(round(amount / UNIT) * 100 // round(fills[i] * 100))
            elif kind == "quantity":
                more["size"] = round(amount / UNIT)
            self.buy(**more) if side > 0 else self.sell(**more)

        def trail(self, i, held):
            """Moves the stop to where the best price since the entry puts it, for the bars to come."""
            trade = self.trades[0]
            entry = round(trade.entry_price / UNIT, 8)
            span = slice(trade.entry_bar, i + 1)
            best = max(entry, high[span].max()) if held > 0 else min(entry, low[span].min())
            level = round(best * (1 - held * s.trail), 8) * UNIT
            if trade.sl is None or (level - trade.sl) * held > 0:
                trade.sl = level

    return Follower
