"""Writes bars.csv and talib.csv: invented bars and what TA-Lib makes of them.

    python3 -m venv venv && venv/bin/pip install TA-Lib==0.8.2 numpy
    cd crates/sim/tests/data && ../path/to/venv/bin/python make_talib.py

The tests read the two files only; nobody needs Python to run them. A column of talib.csv is headed by the
expression it is compared with; an empty cell is undefined. Every number is written so that it reads back as the
same double.
"""

import random

import numpy as np
import talib

N_BARS = 2000
# Bars [from, to) whose four prices are all the same as the close before.
FLAT = [(0, 40), (300, 330), (700, 850), (1200, 1203), (1500, 1560)]
# Bars [from, to) without volume; one run lies inside a flat one, one does not.
NO_VOLUME = [(20, 60), (500, 540), (760, 800), (1301, 1302), (1510, 1530)]
# Bars in front of which minutes are missing, and how many.
GAPS = {100: 7, 450: 1, 451: 1, 900: 600, 1300: 1440, 1700: 5000, 1701: 3}


def inside(runs, i):
    return any(start <= i < end for start, end in runs)


def invent():
    """Minutes and prices in whole cents, volumes in thousandths."""
    dice = random.Random(20240101)
    minute, close = 28_401_120 + 600, 10_000
    rows = []
    for i in range(N_BARS):
        minute += 1 + GAPS.get(i, 0)
        if inside(FLAT, i):
            open_ = high = low = close
        else:
            open_ = close + dice.choice([0, 0, 0, -1, 1, -12, 15])
            close = max(2_000, open_ + dice.randint(-60, 60) * dice.choice([0, 1, 1, 2]))
            high = max(open_, close) + dice.choice([0, 0, 1, 5, 20])
            low = min(open_, close) - dice.choice([0, 0, 1, 5, 20])
        volume = 0 if inside(NO_VOLUME, i) else dice.randint(0, 2_000_000)
        rows.append((minute, open_, high, low, close, volume))
    return rows


def columns(open_, high, low, close, volume):
    macd = talib.MACD(close, 12, 26, 9)
    # Short spans, handed over the wrong way round: TA-Lib swaps them.
    swapped = talib.MACD(close, 9, 4, 3)
    bands = talib.BBANDS(close, 20, 2.5, 2.5, 0)
    stoch = talib.STOCH(high, low, close, 14, 3, 0, 1, 0)
    smooth = talib.STOCH(high, low, close, 14, 3, 0, 5, 0)
    rsi = talib.RSI(close, 14)
    return {
        "sma(close, 20)": talib.SMA(close, 20),
        "sma(volume, 50)": talib.SMA(volume, 50),
        "sma(rsi(close, 14), 7)": talib.SMA(rsi, 7),
        "ema(close, 1)": talib.EMA(close, 1),
        "ema(close, 20)": talib.EMA(close, 20),
        "ema(rsi(close, 14), 9)": talib.EMA(rsi, 9),
        "wma(close, 14)": talib.WMA(close, 14),
        "wma(rsi(close, 14), 5)": talib.WMA(rsi, 5),
        "rsi(close, 14)": rsi,
        "rsi(open, 2)": talib.RSI(open_, 2),
        "macd(close, 12, 26, 9)": macd[0],
        "macd_signal(close, 12, 26, 9)": macd[1],
        "macd_hist(close, 12, 26, 9)": macd[2],
        "macd(close, 9, 4, 3)": swapped[0],
        "macd_signal(close, 9, 4, 3)": swapped[1],
        "bb_upper(close, 20, 2.5)": bands[0],
        "bb_middle(close, 20)": bands[1],
        "bb_lower(close, 20, 2.5)": bands[2],
        "stddev(close, 10)": talib.STDDEV(close, 10, 1.0),
        "stddev(rsi(close, 14), 6)": talib.STDDEV(rsi, 6, 1.0),
        "atr(1)": talib.ATR(high, low, close, 1),
        "atr(14)": talib.ATR(high, low, close, 14),
        "adx(14)": talib.ADX(high, low, close, 14),
        "adx(2)": talib.ADX(high, low, close, 2),
        "plus_di(14)": talib.PLUS_DI(high, low, close, 14),
        "minus_di(14)": talib.MINUS_DI(high, low, close, 14),
        "plus_di(1)": talib.PLUS_DI(high, low, close, 1),
        "minus_di(1)": talib.MINUS_DI(high, low, close, 1),
        "stoch_k(14, 3)": stoch[0],
        "stoch_d(14, 3, 5)": smooth[1],
        "highest(high, 20)": talib.MAX(high, 20),
        "lowest(low, 20)": talib.MIN(low, 20),
        "sum(volume, 30)": talib.SUM(volume, 30),
        "roc(close, 10)": talib.ROC(close, 10),
        "roc(volume, 3)": talib.ROC(volume, 3),
        "cci(20)": talib.CCI(high, low, close, 20),
        "mfi(14)": talib.MFI(high, low, close, volume, 14),
        "obv()": talib.OBV(close, volume),
    }


def main():
    rows = invent()
    with open("bars.csv", "w") as file:
        file.write("minute;open;high;low;close;volume\n")
        for minute, *cents, volume in rows:
            prices = ";".join(f"{cent / 100:.2f}" for cent in cents)
            file.write(f"{minute};{prices};{volume / 1000:.3f}\n")
    doubles = [np.array([row[k] for row in rows]) / 100 for k in range(1, 5)]
    doubles.append(np.array([row[5] for row in rows]) / 1000)
    table = columns(*doubles)
    with open("talib.csv", "w") as file:
        file.write(";".join(table) + "\n")
        for i in range(N_BARS):
            cells = [float(values[i]) for values in table.values()]
            file.write(";".join("" if cell != cell else repr(cell) for cell in cells) + "\n")


if __name__ == "__main__":
    main()
