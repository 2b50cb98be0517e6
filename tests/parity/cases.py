"""The strategies that are compared. Their signals are computed here from the bars with numpy and TA-Lib, never from our
output: where an indicator or the meaning of a crossing differed, trades would differ.

All arrays have the length of the bars; a signal at bar i is decided at the close of bar i."""

from dataclasses import dataclass, field
from typing import Callable

import numpy as np
import pandas as pd
import talib

from bars import FIRST, MINUTES


@dataclass(frozen=True)
class Rules:
    """What both sides are told. Fees and slippage in basis points, money in quote units."""

    fill: str = "next_open"
    fee_bps: float = 10.0
    slippage_bps: float = 0.0
    capital: float = 10_000.0
    like: str | None = None
    lot_step: float = 1e-8

    def flags(self):
        """The same as flags of `backtest run`."""
        if self.like:
            return [f"--like={self.like}"]
        return [f"--fill={self.fill}", f"--fee-bps={self.fee_bps:g}", f"--slippage-bps={self.slippage_bps:g}"]


@dataclass
class Signals:
    """Decisions by bar. `stop`, `target`: distances from the entry price, in quote units where `in_quote`, else as
    fractions of it; NaN for none. `trail`: the same for the trailing stop, a fraction."""

    long_entry: np.ndarray
    long_exit: np.ndarray
    short_entry: np.ndarray
    short_exit: np.ndarray
    stop: np.ndarray
    target: np.ndarray
    trail: float = np.nan
    in_quote: bool = False
    # ("equity", 1), ("quote", q) or ("quantity", n)
    size: tuple = ("equity", 1.0)


@dataclass(frozen=True)
class Case:
    name: str
    file: str
    signals: Callable
    vectorbt: Rules = field(default_factory=Rules)
    backtesting: Rules = field(default_factory=Rules)
    # Which deviations of the peer its result is proven to come from; see README.md.
    vectorbt_because: tuple = ()
    backtesting_because: tuple = ()
    bars: Callable = lambda bars: bars
    # Too short for metrics and for hundreds of trades.
    hand_made: bool = False


def cross_above(a, b):
    """Above now, and below at the last earlier bar where the two differed."""
    sign = np.where(np.isnan(a - b), 0, np.sign(a - b)).astype(int)
    last, hit = 0, np.zeros(len(sign), bool)
    for i, s in enumerate(sign):
        hit[i] = s > 0 and last < 0
        last = s or last
    return hit


def cross_below(a, b):
    return cross_above(b, a)


def sma(x, n):
    """Of prices in whole cents, so that a tie of two averages is a tie: no sum of doubles drifts."""
    cents = np.concatenate([[0], np.rint(x * 100).astype(np.int64).cumsum()])
    out = np.full(len(x), np.nan)
    out[n - 1 :] = (cents[n:] - cents[:-n]) / (100 * n)
    return out


def shifted(x):
    return np.concatenate([[np.nan], x[:-1]])


def signals(bars, *, le=None, lx=None, se=None, sx=None, stop=np.nan, target=np.nan, **more):
    n = len(bars)
    rule = lambda x: np.zeros(n, bool) if x is None else np.asarray(x, bool)
    level = lambda x: np.broadcast_to(np.asarray(x, float), n)
    return Signals(rule(le), rule(lx), rule(se), rule(sx), level(stop), level(target), **more)


def sma_cross(bars):
    close = bars.close.to_numpy()
    fast, slow = sma(close, 8), sma(close, 30)
    return signals(bars, le=cross_above(fast, slow), lx=cross_below(fast, slow))


def ema_reverse(bars):
    close = bars.close.to_numpy()
    fast, slow = talib.EMA(close, 10), talib.EMA(close, 40)
    le, se = cross_above(fast, slow), cross_below(fast, slow)
    return signals(bars, le=le, se=se, size=("quote", 2_000.0))


def rsi_stop(bars):
    rsi = talib.RSI(bars.close.to_numpy(), 14)
    le = cross_above(rsi, np.full(len(rsi), 35.0))
    return signals(bars, le=le, lx=rsi > 55, stop=0.012, size=("quote", 3_000.0))


def bollinger_bracket(bars):
    close = bars.close.to_numpy()
    upper, _, lower = talib.BBANDS(close, 20, 2, 2)
    upper_1, _, lower_1 = talib.BBANDS(close, 20, 1, 1)
    le, se = cross_above(close, lower), cross_below(close, upper)
    lx, sx = close > upper_1, close < lower_1
    more = dict(stop=0.006, target=0.0055, size=("quote", 2_000.0))
    return signals(bars, le=le, lx=lx, se=se, sx=sx, **more)


def donchian_short(bars):
    high, low, close = (bars[name].to_numpy() for name in ["high", "low", "close"])
    atr = talib.ATR(high, low, close, 14)
    se = cross_below(close, shifted(talib.MIN(low, 20)))
    sx = close > shifted(talib.MAX(high, 12))
    more = dict(stop=2 * atr, target=3 * atr, in_quote=True, size=("quantity", 25.0))
    return signals(bars, se=se, sx=sx, **more)


def macd_close(bars):
    macd, signal, _ = talib.MACD(bars.close.to_numpy(), 12, 26, 9)
    return signals(bars, le=cross_above(macd, signal), lx=cross_below(macd, signal))


def roc_trailing(bars):
    roc = talib.ROC(bars.close.to_numpy(), 8)
    one = np.ones(len(roc))
    le, se = cross_above(roc, one), cross_below(roc, -one)
    return signals(bars, le=le, se=se, trail=0.013, size=("quote", 1_000.0))


def corner_bars(_):
    """A stop on the bar of the entry; a target passed at the open of a bar that falls to the stop later; an entry that
    cash does not cover."""
    flat = (99.5, 99.5, 99.5, 99.5)
    rows = [
        *[(100, 100, 100, 100)] * 3,
        (100, 100.5, 100, 100.5),
        (100.5, 100.6, 99, 99.8),
        (99.8, 99.9, 99, 99.5),
        *[flat] * 2,
        (99.5, 100.5, 99.5, 100.5),
        (100.5, 100.6, 99.9, 100),
        (102, 102, 99, 99.5),
        *[flat] * 2,
        (210, 211, 210, 210.5),
        (210.5, 210.6, 210.4, 210.4),
        (210.4, 214, 210.4, 213),
        *[(213, 213, 213, 213)] * 3,
    ]
    index = pd.date_range(FIRST, periods=len(rows), freq=f"{MINUTES}min", name="time")
    table = pd.DataFrame(rows, index=index, columns=["open", "high", "low", "close"], dtype=float)
    return table.assign(volume=1)


def corners(bars):
    close = bars.close.to_numpy()
    le = (close == 100.5) | (close == 210.5)
    return signals(bars, le=le, stop=0.01, target=0.01, size=("quantity", 50.0))


# vectorbt's stops begin on the bar after the entry, as ours do with fills at the close: so they are compared there.
AT_CLOSE = Rules(fill="close")
STOPS_OF_VECTORBT = ("stop_bar_takes_no_entry",)

CASES = [
    Case("sma_cross", "sma_cross", sma_cross, vectorbt=Rules(slippage_bps=2)),
    Case("ema_reverse", "ema_reverse", ema_reverse),
    Case("macd_close", "macd_close", macd_close, AT_CLOSE, AT_CLOSE),
    Case("rsi_stop", "rsi_stop", rsi_stop, AT_CLOSE, Rules(), STOPS_OF_VECTORBT),
    Case("bollinger_bracket", "bollinger_bracket", bollinger_bracket, AT_CLOSE, Rules(), STOPS_OF_VECTORBT),
    Case("donchian_short", "donchian_short", donchian_short, AT_CLOSE, Rules(), STOPS_OF_VECTORBT),
    Case("roc_trailing", "roc_trailing", roc_trailing, AT_CLOSE, Rules(), STOPS_OF_VECTORBT),
    Case(
        "corners",
        "corners",
        corners,
        vectorbt_because=("stop_before_gapped_target", "entry_bar_unprotected", "shrinks_to_cash"),
        backtesting_because=("stop_before_gapped_target",),
        bars=corner_bars,
        hand_made=True,
    ),
    # The peers are told nothing at all, and we only --like.
    Case(
        "defaults",
        "sma_cross",
        sma_cross,
        Rules(fill="close", fee_bps=0, capital=100, like="vectorbt"),
        Rules(fee_bps=0, like="backtesting.py", lot_step=1),
    ),
]
