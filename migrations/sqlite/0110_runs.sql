-- Ours: what keeping runs needs beyond the document. (Here backtest_trades has its wider key from the start.)
CREATE UNIQUE INDEX strategies_user_id_name_key ON strategies (user_id, name);

ALTER TABLE backtest_results ADD COLUMN metrics TEXT CHECK (json_valid(metrics));
CREATE UNIQUE INDEX backtest_results_backtest_id_key ON backtest_results (backtest_id);

ALTER TABLE backtests ADD COLUMN notes TEXT;
ALTER TABLE backtests ADD COLUMN tags TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags));
ALTER TABLE backtests ADD COLUMN rules TEXT CHECK (json_valid(rules));
ALTER TABLE backtests ADD COLUMN identity TEXT;
ALTER TABLE backtests ADD COLUMN data_fingerprint TEXT;
ALTER TABLE backtests ADD COLUMN engine_version TEXT;
ALTER TABLE backtests ADD COLUMN heartbeat_at INTEGER;
ALTER TABLE backtests ADD COLUMN error TEXT;
CREATE UNIQUE INDEX backtests_user_id_identity_key ON backtests (user_id, identity);

CREATE TABLE backtest_equity (
    backtest_id INTEGER NOT NULL REFERENCES backtests(id) ON DELETE CASCADE,
    timestamp INTEGER NOT NULL,
    equity TEXT NOT NULL,
    drawdown TEXT,
    PRIMARY KEY (backtest_id, timestamp)
) STRICT, WITHOUT ROWID;
