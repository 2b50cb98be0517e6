-- The document's users and strategies, as they stand there.
CREATE TABLE users (
    id SERIAL PRIMARY KEY,
    username VARCHAR(50) UNIQUE NOT NULL,
    email VARCHAR(255) UNIQUE NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    api_key_hash VARCHAR(255),
    api_secret_hash VARCHAR(255),
    is_active BOOLEAN DEFAULT true,
    risk_profile VARCHAR(20) DEFAULT 'moderate',
    max_position_size DECIMAL(10,2) DEFAULT 10000.00,
    max_daily_loss DECIMAL(10,2) DEFAULT 1000.00,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_users_username ON users (username);
CREATE INDEX idx_users_email ON users (email);

CREATE TABLE strategies (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users(id) ON DELETE CASCADE,
    name VARCHAR(100) NOT NULL,
    description TEXT,
    strategy_type VARCHAR(50) NOT NULL,
    parameters JSONB NOT NULL,
    risk_parameters JSONB,
    is_active BOOLEAN DEFAULT false,
    is_paper_trading BOOLEAN DEFAULT true,
    max_position_size DECIMAL(20,8),
    max_drawdown DECIMAL(5,2),
    symbols TEXT[] DEFAULT '{}',
    timeframes TEXT[] DEFAULT '{}',
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_strategies_user_id ON strategies (user_id);
CREATE INDEX idx_strategies_type ON strategies (strategy_type);
CREATE INDEX idx_strategies_active ON strategies (is_active) WHERE is_active = true;
