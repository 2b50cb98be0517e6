"""Compares and prints; see `run`."""

import argparse
import contextlib
import io
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import metrics
import peers
from bars import bars as generated
from cases import CASES, Rules
from ours import Ours
from replay import DEVIATIONS, replay

# Largest differences that rounding leaves: we round quantities down to 8 places and money to the nearest of 8, the
# peers compute in doubles. With all equity in each trade a lot of 1e-8 carries over from trade to trade.
PRICE, SIZE, MONEY, METRIC = 1e-7, 1e-7, 1e-6, 1e-8
FEWEST = 200
PEERS = {"vectorbt": "vectorbt", "backtesting": "backtesting.py"}


class Compared:
    """What one strategy comes to beside one peer."""

    def __init__(self, case, peer, ours, numbers, theirs, asked, bars):
        self.case, self.peer = case, peer
        self.rules = getattr(case, peer)
        because = getattr(case, f"{peer}_because")
        signals = case.signals(bars)
        plain = replay(bars, signals, self.rules)
        # The third simulator with the peer's deviations: what our trades become under the peer's rules.
        meant = replay(bars, signals, self.rules, because) if because else ours
        self.n_ours, self.n_theirs = len(closed(ours)), len(theirs)
        self.same = len(twins(closed(ours), theirs))
        self.away = largest(closed(meant), theirs)
        self.solo = {d: (plain, replay(bars, signals, self.rules, [d])) for d in because}
        judged = "replay" if because else "ours"
        self.problems = differing("ours and replay", ours, plain)
        self.problems += differing(f"{judged} and {PEERS[peer]}", meant, theirs)
        if not case.hand_made and min(self.n_ours, self.n_theirs) < FEWEST:
            self.problems.append(f"fewer than {FEWEST} trades")
        self.metrics = [] if case.hand_made else self.judge(numbers, meant, asked, bars, bool(because))
        bad = [(PEERS[peer], m) for m in self.metrics if not off(m) <= METRIC]
        if not case.hand_made:
            # Our definitions, applied to our trades, have to give what the program printed.
            again = metrics.own(metrics.Book(bars, ours, self.rules))
            mine = [(name, float(numbers[name]), float(value), True) for name, value in again.items()]
            bad += [("by definition", m) for m in mine if not off(m) <= METRIC]
        self.problems += [f"{m[0]}: {m[1]:.12g}, {who} {m[2]:.12g}" for who, m in bad]

    def judge(self, numbers, meant, asked, bars, deviates):
        book = metrics.Book(bars, meant, self.rules, marks_after_close=self.peer == "vectorbt")
        pairs = getattr(metrics, f"pairs_{self.peer}")
        # Where trades deviate on purpose, our definitions are applied to the trades that follow from the deviation.
        rows = pairs(None if deviates else numbers, book, asked)
        return [(name, a, b, again or deviates) for name, a, b, again in rows]

    def row(self):
        plain = sum(not m[3] for m in self.metrics)
        explained = max(self.n_ours, self.n_theirs) - self.same
        worst = max(map(off, self.metrics), default=float("nan"))
        return [
            self.case.name,
            PEERS[self.peer],
            f"--like {self.rules.like}" if self.rules.like else self.rules.fill,
            f"{self.n_ours}",
            f"{self.n_theirs}",
            f"{self.same}",
            f"{explained or '-'}",
            *[f"{x:.0e}" if x else "0" for x in self.away],
            f"{plain}+{len(self.metrics) - plain}" if self.metrics else "-",
            f"{worst:.0e}" if worst == worst else "-",
            "differs" if self.problems else "ok",
        ]


def closed(trades):
    return trades[trades.exit_bar >= 0].reset_index(drop=True)


def apart(a, b):
    """How far two equally long lists of trades are apart: price, size, money."""

    def gap(*names):
        return float(np.nanmax([np.abs(a[n].to_numpy() - b[n].to_numpy()) for n in names], initial=0))

    return gap("entry_price", "exit_price"), gap("size"), gap("pnl", "commission")


def keys(trades):
    return list(zip(trades.side, trades.entry_bar, trades.exit_bar))


def largest(a, b):
    return apart(a, b) if len(a) == len(b) else (np.inf,) * 3


def twins(a, b):
    """Trades of `a` that are in `b` too, number for number."""
    both = a.merge(b, on=["side", "entry_bar", "exit_bar"], suffixes=("", "_b"))
    near = lambda name, by: (both[name] - both[f"{name}_b"]).abs() <= by
    good = near("entry_price", PRICE) & near("exit_price", PRICE) & near("size", SIZE)
    return both[good & near("pnl", MONEY) & near("commission", MONEY)]


def differing(names, a, b):
    """Sentences about what is not the same in two lists of closed trades."""
    a, b = closed(a), closed(b)
    for i, (one, other) in enumerate(zip(keys(a), keys(b))):
        far = apart(a.iloc[[i]], b.iloc[[i]])
        if one != other or any(x > most for x, most in zip(far, (PRICE, SIZE, MONEY))):
            return [f"{names}: trade {i}\n    {line(a, i)}\n    {line(b, i)}"]
    return [f"{names}: {len(a)} and {len(b)} trades"] if len(a) != len(b) else []


def line(trades, i):
    return " ".join(f"{name}={value:.12g}" for name, value in trades.iloc[i].items())


def off(metric):
    _, a, b, _ = metric
    return abs(a - b) / max(1.0, abs(b)) if np.isfinite(a) and np.isfinite(b) else np.inf


def table(head, rows):
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    left = lambda i: i < 3 or i == len(widths) - 1

    def text(row):
        return "  ".join(c.ljust(w) if left(i) else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths)))

    return "\n".join([text(head).rstrip(), *[text(row).rstrip() for row in rows]])


class Bench:
    """Both sides on the same bars."""

    def __init__(self, folder):
        self.ours = Ours(os.environ["BACKTEST"], folder)
        self.bars = generated()
        self.loaded = set()

    def compare(self, case, peer, fee_bps=None, flags=(), late=0):
        """`fee_bps` and `flags` are for our side only, and the peer's entries come `late` bars: for the controls."""
        rules, bars = getattr(case, peer), case.bars(self.bars)
        told = rules if fee_bps is None else replace(rules, fee_bps=fee_bps)
        symbol = "CORNERS" if case.hand_made else "PARITY"
        if symbol not in self.loaded:
            self.ours.load(symbol, bars)
            self.loaded.add(symbol)
        trades, numbers = self.ours.run(case.file, symbol, [*told.flags(), *flags])
        signals = case.signals(bars)
        if late:
            signals = replace(signals, long_entry=np.roll(signals.long_entry, late))
        # The peer's progress bars are none of ours.
        with contextlib.redirect_stderr(io.StringIO()):
            theirs, asked = getattr(peers, f"run_{peer}")(bars, signals, rules)
        return Compared(case, peer, trades, numbers, theirs, asked, bars)

    def controls(self):
        """Faults that the comparison has to notice, or it proves nothing."""
        case = next(c for c in CASES if c.name == "sma_cross")
        faults = {
            "our fee 0.001 basis points too high": dict(fee_bps=10.001),
            "our year of 252 days": dict(flags=["--year-days=252"]),
            "the peer's entries one bar late": dict(late=1),
        }
        bare = replace(case, vectorbt=Rules())
        for what, fault in faults.items():
            for peer in PEERS:
                # Only vectorbt has a metric in which the length of our year counts.
                if "year" not in what or peer == "vectorbt":
                    yield what, PEERS[peer], self.compare(bare, peer, **fault).problems


def changed(plain, with_it):
    """Trades only in the one and only in the other."""
    n = len(twins(closed(plain), closed(with_it)))
    return len(closed(plain)) - n, len(closed(with_it)) - n


def main():
    ask = argparse.ArgumentParser(prog="tests/parity/run", description="`backtest` beside its peers.")
    ask.add_argument("strategies", nargs="*", metavar="STRATEGY", help=", ".join(c.name for c in CASES))
    ask.add_argument("--keep", metavar="FOLDER", type=Path, help="keep bars, database and trades there")
    ask.add_argument("--metrics", action="store_true", help="print every metric")
    args = ask.parse_args()
    wanted = [c for c in CASES if not args.strategies or c.name in args.strategies]
    if not wanted:
        ask.error(f"no such strategy; there are {', '.join(c.name for c in CASES)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            ask.error(f"{folder} is not empty")
        sys.exit(0 if report(Bench(folder.resolve()), wanted, args.metrics) else 1)


def report(bench, wanted, all_metrics):
    done = []
    for case in wanted:
        for peer in PEERS:
            print(f"{case.name} beside {PEERS[peer]}", file=sys.stderr)
            done.append(bench.compare(case, peer))
    noticed = list(bench.controls())
    head = ["strategy", "peer", "rules", "trades", "peer's", "same", "explained"]
    head += ["Δ price", "Δ size", "Δ pnl", "metrics", "Δ metric", ""]
    print(table(head, [c.row() for c in done]))
    print("\nmetrics: as they are + after the peer's definition; Δ: the largest, explained trades after their explanation")
    explained = [
        [c.case.name, PEERS[c.peer], what, *map(str, changed(*both))] for c in done for what, both in c.solo.items()
    ]
    if explained:
        print()
        print(table(["explained", "peer", "by", "only ours", "only peer's"], [[*row] for row in explained]))
        print()
        for name in dict.fromkeys(row[2] for row in explained):
            print(f"{name}: {DEVIATIONS[name]}")
    if all_metrics:
        rows = [
            [c.case.name, PEERS[c.peer], m[0], f"{m[1]:.10g}", f"{m[2]:.10g}", f"{off(m):.0e}", "restated" * m[3]]
            for c in done
            for m in c.metrics
        ]
        print()
        print(table(["strategy", "peer", "metric", "ours", "peer's", "Δ", ""], rows))
    print()
    for what, peer, problems in noticed:
        print(f"control, {peer}: {what}: {'noticed' if problems else 'NOT NOTICED'}")
    bad = [c for c in done if c.problems]
    for c in bad:
        print(f"\n{c.case.name} beside {PEERS[c.peer]}, not explained:")
        print("\n".join(f"  {p}" for p in c.problems))
    return not bad and all(problems for _, _, problems in noticed)


if __name__ == "__main__":
    main()
