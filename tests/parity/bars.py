"""Generated bars: a seeded walk in whole cents, with calm and wild days and with gaps between close and next open.

The gaps are what the program's own generator has not: without them a fill at the close equals one at the next open,
and no stop is ever passed at an open. Only `random.Random` is used, whose numbers are the same on every machine."""

import random

import pandas as pd

MINUTES = 15
FIRST = pd.Timestamp("2024-01-01")


def bars(seed=7, n=20_000):
    """`n` bars of 15 minutes from FIRST on: open, high, low, close in quote units (2 decimals), volume.

    Index: opening times without a zone, UTC."""
    dice = random.Random(seed)
    rows, close, wildness, drift = [], 10_000, 0.0025, 0.0
    for i in range(n):
        if i % 96 == 0:
            wildness = min(0.005, max(0.0012, wildness * dice.uniform(0.75, 1.33)))
            drift = 0.7 * drift + dice.gauss(0, 0.00012)
            # Back to the middle, so that many trades leave some capital and prices stay near 100.
            drift += 0.00002 * (10_000 - close) / 10_000
        # Wide enough to pass levels, too narrow to pass one between a decision and its fill.
        widest = min(2 * wildness, 0.005)
        gap = dice.gauss(0, 1.2 * wildness if dice.random() < 0.05 else 0.0002)
        gap = min(widest, max(-widest, gap))
        start = max(100, round(close * (1 + gap)))
        end = max(100, round(start * (1 + drift + dice.gauss(0, wildness))))
        high = max(start, end) + round(abs(dice.gauss(0, wildness / 2)) * start)
        low = max(50, min(start, end) - round(abs(dice.gauss(0, wildness / 2)) * start))
        rows.append((start, high, low, end, 1 + dice.randrange(1_000)))
        close = end
    index = pd.date_range(FIRST, periods=n, freq=f"{MINUTES}min", name="time")
    table = pd.DataFrame(rows, index=index, columns=["open", "high", "low", "close", "volume"])
    for name in ["open", "high", "low", "close"]:
        table[name] = table[name] / 100
    return table
