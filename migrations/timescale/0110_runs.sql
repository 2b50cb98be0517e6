-- Ours: what keeping runs needs beyond the document. See migrations/README.md for the reason of each.

-- Two trades opened on one symbol in one bar would collide in the document's key.
ALTER TABLE backtest_trades DROP CONSTRAINT backtest_trades_pkey;
ALTER TABLE backtest_trades ADD PRIMARY KEY (entry_time, backtest_id, symbol, id);

-- "The strategy called X" has to be one row.
ALTER TABLE strategies ADD CONSTRAINT strategies_user_id_name_key UNIQUE (user_id, name);

-- Full precision of every metric, and the conventions they were computed under; one row a backtest.
ALTER TABLE backtest_results ADD COLUMN metrics JSONB;
ALTER TABLE backtest_results ADD CONSTRAINT backtest_results_backtest_id_key UNIQUE (backtest_id);

ALTER TABLE backtests
    ADD COLUMN notes TEXT,
    ADD COLUMN tags TEXT[] NOT NULL DEFAULT '{}',
    ADD COLUMN rules JSONB,
    ADD COLUMN identity VARCHAR(64),
    ADD COLUMN data_fingerprint VARCHAR(64),
    ADD COLUMN engine_version VARCHAR(50),
    ADD COLUMN heartbeat_at TIMESTAMPTZ,
    ADD COLUMN error TEXT,
    ADD CONSTRAINT backtests_user_id_identity_key UNIQUE (user_id, identity);

CREATE TABLE backtest_equity (
    backtest_id INTEGER NOT NULL REFERENCES backtests(id) ON DELETE CASCADE,
    timestamp TIMESTAMPTZ NOT NULL,
    equity DECIMAL(20,8) NOT NULL,
    drawdown DECIMAL(8,4),
    PRIMARY KEY (backtest_id, timestamp)
);
