-- Money is exact decimal TEXT; lists and JSON are JSON text; times are INTEGER microseconds since 1970-01-01 UTC.
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT UNIQUE NOT NULL,
    email TEXT UNIQUE NOT NULL,
    password_hash TEXT NOT NULL,
    api_key_hash TEXT,
    api_secret_hash TEXT,
    is_active INTEGER DEFAULT 1,
    risk_profile TEXT DEFAULT 'moderate',
    max_position_size TEXT DEFAULT '10000.00',
    max_daily_loss TEXT DEFAULT '1000.00',
    created_at INTEGER DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    updated_at INTEGER DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

CREATE TABLE strategies (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER REFERENCES users(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT,
    strategy_type TEXT NOT NULL,
    parameters TEXT NOT NULL CHECK (json_valid(parameters)),
    risk_parameters TEXT CHECK (json_valid(risk_parameters)),
    is_active INTEGER DEFAULT 0,
    is_paper_trading INTEGER DEFAULT 1,
    max_position_size TEXT,
    max_drawdown TEXT,
    symbols TEXT DEFAULT '[]' CHECK (json_valid(symbols)),
    timeframes TEXT DEFAULT '[]' CHECK (json_valid(timeframes)),
    created_at INTEGER DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    updated_at INTEGER DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

CREATE INDEX idx_strategies_user_id ON strategies (user_id);
CREATE INDEX idx_strategies_type ON strategies (strategy_type);
CREATE INDEX idx_strategies_active ON strategies (is_active) WHERE is_active = 1;
