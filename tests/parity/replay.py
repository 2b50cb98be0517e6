"""A third simulator, small and slow, in which each deviation of a peer is a switch.

With no switch on it must make our trades, with a peer's switches on the peer's. So a difference between the two is what
the switches say, and nothing else: that is the proof behind README.md's table."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

# Switch by name: what it does, as the table of README.md says it.
DEVIATIONS = {
    "stop_bar_takes_no_entry": "one order a bar: a bar on which a stop or target acted takes no entry at its close",
    "stop_before_gapped_target": "the stop is looked at first, even where the open had passed the target already",
    "entry_bar_unprotected": "with fills at the open, stop and target begin on the bar after the entry",
    "shrinks_to_cash": "an entry that cash does not cover is made smaller instead of rejected",
}


@dataclass
class Open:
    side: int
    size: float
    price: float
    bar: int
    stop: float
    target: float
    trail: float
    best: float


def replay(bars, s, rules, deviations=()):
    """Trades as in ours.py, the open one last."""
    desk = Desk(bars, s, rules, set(deviations))
    for i in range(len(bars)):
        desk.step(i)
    if desk.held:
        p, none = desk.held, np.nan
        desk.trades.append((p.side, p.size, p.bar, p.price, -1, none, none, none))
    return pd.DataFrame(desk.trades, columns=list(COLUMNS))


COLUMNS = ("side", "size", "entry_bar", "entry_price", "exit_bar", "exit_price", "pnl", "commission")


class Desk:
    def __init__(self, bars, s, rules, deviations):
        self.o, self.h, self.l, self.c = (bars[n].to_numpy() for n in ["open", "high", "low", "close"])
        self.s, self.rules, self.deviations = s, rules, deviations
        self.fee, self.slip = rules.fee_bps / 1e4, rules.slippage_bps / 1e4
        self.cash, self.held, self.trades = rules.capital, None, []
        self.exit, self.entry = False, 0

    def step(self, i):
        at_close = self.rules.fill == "close"
        if not at_close:
            self.fill(i, i - 1, self.o[i])
        acted = self.protect(i)
        if at_close and acted and "stop_bar_takes_no_entry" in self.deviations:
            return
        self.decide(i)
        if at_close:
            self.fill(i, i, self.c[i])

    def decide(self, i):
        s, side = self.s, self.held.side if self.held else 0
        le = s.long_entry[i] and not s.short_entry[i] and not s.long_exit[i]
        se = s.short_entry[i] and not s.long_entry[i] and not s.short_exit[i]
        self.exit = bool((side > 0 and (s.long_exit[i] or se)) or (side < 0 and (s.short_exit[i] or le)))
        self.entry = 1 if le and side <= 0 else -1 if se and side >= 0 else 0

    def fill(self, i, decided, raw):
        if self.exit and self.held:
            self.close(i, raw * (1 - self.held.side * self.slip))
        if self.entry:
            self.open(i, decided, raw * (1 + self.entry * self.slip))
        self.exit, self.entry = False, 0

    def open(self, i, decided, price):
        s, side = self.s, self.entry
        kind, amount = s.size
        if kind == "equity":
            amount = self.cash * amount / (price * (1 + self.fee))
        elif kind == "quote":
            amount = amount / price
        size = np.floor(amount / self.rules.lot_step + 1e-6) * self.rules.lot_step
        if size * price * (1 + self.fee) > self.cash + 1e-6:
            if "shrinks_to_cash" not in self.deviations:
                return
            size = self.cash / (price * (1 + self.fee))
        scale = 1 if s.in_quote else price
        stop = round(price - side * s.stop[decided] * scale, 8)
        target = round(price + side * s.target[decided] * scale, 8)
        self.cash -= size * price * (side + self.fee)
        # With fills at the close the protection begins with the next bar, which the order of events sees to.
        self.held = Open(side, size, price, i, stop, target, s.trail, price)

    def protect(self, i):
        """Whether a stop or target acted inside bar i; NaN levels never do."""
        p = self.held
        if p is None or (i == p.bar and "entry_bar_unprotected" in self.deviations):
            return False
        side, o = p.side, self.o[i]
        worst, best = (self.l[i], self.h[i]) if side > 0 else (self.h[i], self.l[i])
        trailing = round(p.best * (1 - side * p.trail), 8)
        stop = p.stop if np.isnan(trailing) else trailing
        gapped = side * (o - p.target) >= 0
        if gapped and "stop_before_gapped_target" in self.deviations:
            gapped = not side * (worst - stop) <= 0
        p.best = side * max(side * p.best, side * best)
        if side * (o - stop) <= 0:
            return self.close(i, o * (1 - side * self.slip))
        if gapped:
            return self.close(i, o)
        if side * (worst - stop) <= 0:
            return self.close(i, stop * (1 - side * self.slip))
        if side * (best - p.target) >= 0:
            return self.close(i, p.target)
        return False

    def close(self, i, price):
        p, self.held = self.held, None
        self.cash += p.size * price * (p.side - self.fee)
        commission = p.size * (p.price + price) * self.fee
        pnl = p.side * p.size * (price - p.price) - commission
        self.trades.append((p.side, p.size, p.bar, p.price, i, price, pnl, commission))
        return True
