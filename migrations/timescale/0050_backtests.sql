-- The document's backtests, backtest_results and backtest_trades, as they stand there. The hypertable is made by
-- the ensure step.
CREATE TABLE backtests (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users(id) ON DELETE CASCADE,
    strategy_id INTEGER REFERENCES strategies(id) ON DELETE CASCADE,
    name VARCHAR(100) NOT NULL,
    description TEXT,
    start_date TIMESTAMPTZ NOT NULL,
    end_date TIMESTAMPTZ NOT NULL,
    initial_capital DECIMAL(20,8) NOT NULL,
    symbols TEXT[] NOT NULL,
    timeframes TEXT[] NOT NULL,
    parameters JSONB,
    status VARCHAR(20) DEFAULT 'PENDING',
    progress INTEGER DEFAULT 0,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    started_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ
);

CREATE INDEX idx_backtests_user_id ON backtests (user_id);
CREATE INDEX idx_backtests_strategy ON backtests (strategy_id);
CREATE INDEX idx_backtests_status ON backtests (status);

CREATE TABLE backtest_results (
    id SERIAL PRIMARY KEY,
    backtest_id INTEGER REFERENCES backtests(id) ON DELETE CASCADE,
    total_return DECIMAL(10,4),
    annual_return DECIMAL(10,4),
    volatility DECIMAL(10,4),
    sharpe_ratio DECIMAL(8,4),
    sortino_ratio DECIMAL(8,4),
    max_drawdown DECIMAL(8,4),
    max_drawdown_duration INTEGER,
    calmar_ratio DECIMAL(8,4),
    win_rate DECIMAL(5,2),
    profit_factor DECIMAL(8,4),
    total_trades INTEGER,
    winning_trades INTEGER,
    losing_trades INTEGER,
    avg_trade_return DECIMAL(10,4),
    avg_win DECIMAL(10,4),
    avg_loss DECIMAL(10,4),
    largest_win DECIMAL(10,4),
    largest_loss DECIMAL(10,4),
    avg_trade_duration INTERVAL,
    final_capital DECIMAL(20,8),
    created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_backtest_results_backtest ON backtest_results (backtest_id);

CREATE TABLE backtest_trades (
    id BIGSERIAL,
    backtest_id INTEGER NOT NULL,
    symbol VARCHAR(20) NOT NULL,
    side VARCHAR(10) NOT NULL,
    quantity DECIMAL(20,8) NOT NULL,
    entry_price DECIMAL(20,8) NOT NULL,
    exit_price DECIMAL(20,8),
    entry_time TIMESTAMPTZ NOT NULL,
    exit_time TIMESTAMPTZ,
    pnl DECIMAL(20,8),
    pnl_percentage DECIMAL(10,4),
    commission DECIMAL(20,8) DEFAULT 0,
    strategy_signal VARCHAR(50),
    PRIMARY KEY (entry_time, backtest_id, symbol)
);

CREATE INDEX idx_backtest_trades_backtest ON backtest_trades (backtest_id, entry_time DESC);
