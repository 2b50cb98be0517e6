-- Money and per cents are exact decimal TEXT (the *_v views give REAL: as text '9' sorts after '10'); lists and JSON are
-- JSON text; times are INTEGER microseconds since 1970-01-01 UTC; avg_trade_duration is REAL seconds.
CREATE TABLE backtests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER REFERENCES users(id) ON DELETE CASCADE,
    strategy_id INTEGER REFERENCES strategies(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT,
    start_date INTEGER NOT NULL,
    end_date INTEGER NOT NULL,
    initial_capital TEXT NOT NULL,
    symbols TEXT NOT NULL CHECK (json_valid(symbols)),
    timeframes TEXT NOT NULL CHECK (json_valid(timeframes)),
    parameters TEXT CHECK (json_valid(parameters)),
    status TEXT DEFAULT 'PENDING',
    progress INTEGER DEFAULT 0,
    created_at INTEGER DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    started_at INTEGER,
    completed_at INTEGER
) STRICT;

CREATE INDEX idx_backtests_user_id ON backtests (user_id);
CREATE INDEX idx_backtests_strategy ON backtests (strategy_id);
CREATE INDEX idx_backtests_status ON backtests (status);

CREATE TABLE backtest_results (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    backtest_id INTEGER REFERENCES backtests(id) ON DELETE CASCADE,
    total_return TEXT,
    annual_return TEXT,
    volatility TEXT,
    sharpe_ratio TEXT,
    sortino_ratio TEXT,
    max_drawdown TEXT,
    max_drawdown_duration INTEGER,
    calmar_ratio TEXT,
    win_rate TEXT,
    profit_factor TEXT,
    total_trades INTEGER,
    winning_trades INTEGER,
    losing_trades INTEGER,
    avg_trade_return TEXT,
    avg_win TEXT,
    avg_loss TEXT,
    largest_win TEXT,
    largest_loss TEXT,
    avg_trade_duration REAL,
    final_capital TEXT,
    created_at INTEGER DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

CREATE TABLE backtest_trades (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    backtest_id INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,
    quantity TEXT NOT NULL,
    entry_price TEXT NOT NULL,
    exit_price TEXT,
    entry_time INTEGER NOT NULL,
    exit_time INTEGER,
    pnl TEXT,
    pnl_percentage TEXT,
    commission TEXT DEFAULT '0.00000000',
    strategy_signal TEXT
) STRICT;

CREATE INDEX idx_backtest_trades_backtest ON backtest_trades (backtest_id, entry_time DESC);
