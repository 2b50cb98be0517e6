"""Metrics side by side: those whose definitions coincide as they are, the others after the peer's definition has been
applied to our trades. Written from each peer's documented meaning; no line of theirs is here."""

import numpy as np
import pandas as pd

from bars import FIRST, MINUTES

DAY = 24 * 60 // MINUTES
STEP = pd.Timedelta(minutes=MINUTES)


class Book:
    """What follows from our trades and the bars alone."""

    def __init__(self, bars, trades, rules, marks_after_close=True):
        self.bars, self.rules = bars, rules
        self.capital = rules.capital
        self.closed, self.open = trades[trades.exit_bar >= 0], trades[trades.exit_bar < 0]
        self.returns = (self.closed.pnl / (self.closed["size"] * self.closed.entry_price)).to_numpy()
        self.equity = self.marks(trades, marks_after_close)

    def marks(self, trades, after):
        """Equity at every close; with fills at the close, after them or (`after` False) before them."""
        n, fee = len(self.bars), self.rules.fee_bps / 1e4
        cash, held = np.zeros(n + 1), np.zeros(n + 1)
        late = 0 if after or self.rules.fill == "next_open" else 1
        for t in trades.itertuples():
            signed = t.side * t.size
            cash[t.entry_bar + late] -= signed * t.entry_price + t.size * t.entry_price * fee
            held[t.entry_bar + late] += signed
            if t.exit_bar >= 0:
                # A stop acts inside its bar: only what filled at the close comes late.
                at = t.exit_bar + (late if t.exit_price == self.bars.close.iat[t.exit_bar] else 0)
                cash[at] += signed * t.exit_price - t.size * t.exit_price * fee
                held[at] -= signed
        close = self.bars.close.to_numpy()
        self.held = np.abs(held[:n].cumsum()) > 1e-6
        return self.capital + cash[:n].cumsum() + held[:n].cumsum() * close

    def daily(self, in_front=True):
        last = self.equity[DAY - 1 :: DAY]
        if len(self.equity) % DAY:
            last = np.append(last, self.equity[-1])
        marks = np.append(self.capital, last) if in_front else last
        return marks[1:] / marks[:-1] - 1

    def by_bar(self):
        return np.diff(self.equity, prepend=self.capital) / np.append(self.capital, self.equity[:-1])

    def drawdown(self):
        return (1 - self.equity / np.maximum.accumulate(self.equity)).max()


def pairs_vectorbt(ours, book, portfolio):
    """Rows (name, ours or its restatement, the peer's, whether restated)."""
    pf, trades = portfolio, portfolio.trades.closed
    returns = trades.returns.values
    daily = pf.value().resample("1D").last()
    daily = pd.concat([pd.Series([book.capital], [FIRST - pd.Timedelta(days=1)]), daily]).pct_change().iloc[1:]
    year = daily.vbt.returns(freq="1D", year_freq="365 days")
    same = {
        "total_return": 100 * pf.total_return(),
        "final_capital": pf.final_value(),
        "max_drawdown": -100 * pf.max_drawdown(),
        "total_trades": trades.count(),
        "winning_trades": trades.winning.count(),
        "losing_trades": trades.losing.count(),
        "win_rate": 100 * trades.win_rate(),
        "profit_factor": trades.profit_factor(),
        "avg_trade_return": 100 * returns.mean(),
        "avg_win": 100 * returns[returns > 0].mean(),
        "avg_loss": 100 * returns[returns < 0].mean(),
        "largest_win": 100 * returns.max(),
        "largest_loss": 100 * returns.min(),
        "avg_trade_duration": trades.duration.mean() * STEP.total_seconds(),
        "fees_paid": pf.orders.fees.sum(),
        "exposure": 100 * pf.position_coverage(),
        # Its functions on daily returns: the definitions are ours.
        "volatility": 100 * year.annualized_volatility(),
        "sharpe_ratio": year.sharpe_ratio(),
        "sortino_ratio": year.sortino_ratio(),
    }
    bars, r = 365 * DAY, book.by_bar()
    down = np.sqrt((np.minimum(r, 0) ** 2).mean())
    annual = (book.equity[-1] / book.capital) ** (bars / len(r)) - 1
    close = book.bars.close
    restated = {
        "sharpe_ratio": (r.mean() / r.std(ddof=1) * np.sqrt(bars), pf.sharpe_ratio()),
        "sortino_ratio": (r.mean() / down * np.sqrt(bars), pf.sortino_ratio()),
        "volatility": (r.std(ddof=1) * np.sqrt(bars), pf.annualized_volatility()),
        "annual_return": (annual, pf.annualized_return()),
        "calmar_ratio": (annual / book.drawdown(), pf.calmar_ratio()),
        "buy_and_hold_return": (close.iat[-1] / close.iat[0] - 1, pf.total_benchmark_return()),
        "max_drawdown_duration": (below_peak(book.equity), pf.drawdowns.max_duration() / STEP),
    }
    return rows(ours or own(book), same, restated)


def pairs_backtesting(ours, book, stats):
    returns = stats._trades.ReturnPct.to_numpy()
    same = {
        "total_return": stats["Return [%]"],
        # Fills at the close enter its curve when the next bar comes: see below.
        **({"max_drawdown": -stats["Max. Drawdown [%]"]} if book.rules.fill == "next_open" else {}),
        "final_capital": stats["Equity Final [$]"],
        "total_trades": stats["# Trades"],
        "win_rate": stats["Win Rate [%]"],
        "avg_trade_return": stats["Expectancy [%]"],
        "avg_win": 100 * returns[returns > 0].mean(),
        "avg_loss": 100 * returns[returns < 0].mean(),
        "largest_win": stats["Best Trade [%]"],
        "largest_loss": stats["Worst Trade [%]"],
    }
    r, won = book.daily(in_front=False), book.returns[book.returns > 0].sum()
    gross = 1 + r
    mean = np.exp(np.log(gross).mean())
    annual = mean**365 - 1
    risk = np.sqrt((r.var(ddof=1) + mean**2) ** 365 - mean ** (2 * 365))
    down = np.sqrt((np.minimum(r, 0) ** 2).mean() * 365)
    close, closed = book.bars.close, book.closed
    years = (len(book.bars) - 1) * STEP / pd.Timedelta(days=365.25)
    held = np.zeros(len(close), bool)
    for t in closed.itertuples():
        held[t.entry_bar : t.exit_bar + 1] = True
    duration = (closed.exit_bar - closed.entry_bar).mean()
    restated = {
        "max_drawdown": (100 * book.drawdown(), -stats["Max. Drawdown [%]"]),
        "max_drawdown_duration": (below_peak(book.equity), stats["Max. Drawdown Duration"] / STEP),
        "annual_return": (100 * annual, stats["Return (Ann.) [%]"]),
        "annual_return (CAGR)": (
            100 * ((book.equity[-1] / book.capital) ** (1 / years) - 1),
            stats["CAGR [%]"],
        ),
        "volatility": (100 * risk, stats["Volatility (Ann.) [%]"]),
        "sharpe_ratio": (annual / risk, stats["Sharpe Ratio"]),
        "sortino_ratio": (annual / down, stats["Sortino Ratio"]),
        "calmar_ratio": (annual / book.drawdown(), stats["Calmar Ratio"]),
        "profit_factor": (won / -book.returns[book.returns < 0].sum(), stats["Profit Factor"]),
        "avg_trade_return (geometric)": (
            100 * (np.exp(np.log1p(book.returns).mean()) - 1),
            stats["Avg. Trade [%]"],
        ),
        "avg_trade_duration": (np.ceil(duration * MINUTES) / MINUTES, stats["Avg. Trade Duration"] / STEP),
        "exposure": (100 * held.mean(), stats["Exposure Time [%]"]),
        "fees_paid": (closed.commission.sum(), stats.get("Commissions [$]", 0.0)),
        "buy_and_hold_return": (100 * (close.iat[-1] / close.iat[0] - 1), stats["Buy & Hold Return [%]"]),
    }
    return rows(ours or own(book), same, restated)


def own(book):
    """Our definitions (docs/numbers.md) applied to a book, for trades that the program did not make."""
    closed, r, daily, pnl = book.closed, book.returns, book.daily(), book.closed.pnl
    fee = book.rules.fee_bps / 1e4
    fees = closed.commission.sum() + (book.open["size"] * book.open.entry_price * fee).sum()
    peak = np.maximum.accumulate(np.append(book.capital, book.equity))
    down = np.sqrt((np.minimum(daily, 0) ** 2).mean())
    return {
        "total_return": 100 * (book.equity[-1] / book.capital - 1),
        "final_capital": book.equity[-1],
        "max_drawdown": 100 * (1 - book.equity / peak[1:]).max(),
        "total_trades": len(closed),
        "winning_trades": (pnl > 0).sum(),
        "losing_trades": (pnl < 0).sum(),
        "win_rate": 100 * (pnl > 0).mean(),
        "profit_factor": pnl[pnl > 0].sum() / -pnl[pnl < 0].sum(),
        "avg_trade_return": 100 * r.mean(),
        "avg_win": 100 * r[pnl > 0].mean(),
        "avg_loss": 100 * r[pnl < 0].mean(),
        "largest_win": 100 * r.max(),
        "largest_loss": 100 * r.min(),
        "avg_trade_duration": (closed.exit_bar - closed.entry_bar).mean() * STEP.total_seconds(),
        "fees_paid": fees,
        "exposure": 100 * book.held.mean(),
        "volatility": 100 * daily.std(ddof=1) * np.sqrt(365),
        "sharpe_ratio": daily.mean() / daily.std(ddof=1) * np.sqrt(365),
        "sortino_ratio": daily.mean() * np.sqrt(365) / down,
    }


def below_peak(equity):
    """Bars from the last one at a peak to the first that reaches it again, or to the last bar; the longest such."""
    peak, since, longest = equity[0], 0, 0
    for i, e in enumerate(equity):
        if e >= peak:
            longest = max(longest, i - since if i > since + 1 else 0)
            peak, since = e, i
    return max(longest, len(equity) - 1 - since)


def rows(ours, same, restated):
    number = lambda x: float("nan") if x is None else float(x)
    plain = [(name, number(ours.get(name)), float(value), False) for name, value in same.items()]
    again = [(name, float(a), float(b), True) for name, (a, b) in restated.items()]
    return plain + again
