"""Our side: the binary, as a person runs it, on a database of its own."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

from bars import FIRST, MINUTES

HERE = Path(__file__).parent


class Ours:
    """A folder with a database of its own."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder

    def load(self, symbol, bars):
        table = bars.copy()
        table.index = table.index.strftime("%Y-%m-%dT%H:%M:%SZ")
        table.to_csv(self.folder / f"{symbol}.csv", float_format="%.2f")
        self.type("import", f"{symbol}.csv", f"--symbol={symbol}", f"--timeframe={MINUTES}m")

    def type(self, *words):
        """stdout of a command; ends the comparison when it fails."""
        line = [self.binary, "--db=sqlite:parity.db", *words]
        done = subprocess.run(line, cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(line)}\n{done.stderr}")
        return done.stdout

    def run(self, file, symbol, flags):
        """Trades and metrics of a strategy file on `symbol` under `flags`.

        Trades: a frame with side (1 or -1), size, entry_bar, entry_price, exit_bar, exit_price, pnl, commission; the
        open one last, its exit_bar -1. Metrics: the JSON at full precision."""
        strategy = HERE / "strategies" / f"{file}.toml"
        shown = json.loads(self.type("run", str(strategy), f"--symbol={symbol}", *flags, "--json"))
        name = f"trades-{shown['id']}.csv"
        self.type("trades", str(shown["id"]), "--format=csv", f"--output={name}")
        return self.trades(self.folder / name), shown["metrics"]

    @staticmethod
    def trades(path):
        raw = pd.read_csv(path)

        def bar(column):
            time = pd.to_datetime(raw[column], utc=True).dt.tz_localize(None)
            step = pd.Timedelta(minutes=MINUTES)
            return ((time - FIRST) / step).fillna(-1).astype(int)

        return pd.DataFrame(
            {
                "side": np.where(raw.side == "LONG", 1, -1),
                "size": raw.quantity,
                "entry_bar": bar("entry_time"),
                "entry_price": raw.entry_price,
                "exit_bar": bar("exit_time"),
                "exit_price": raw.exit_price,
                "pnl": raw.pnl,
                "commission": raw.commission,
            }
        )
