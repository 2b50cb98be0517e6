-- The document's risk_limits and risk_events (section 4), as they stand there. The hypertable is made by the ensure
-- step.
CREATE TABLE risk_limits (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users(id) ON DELETE CASCADE,
    limit_type VARCHAR(50) NOT NULL,
    symbol VARCHAR(20),
    strategy_id INTEGER,
    limit_value DECIMAL(20,8) NOT NULL,
    current_value DECIMAL(20,8) DEFAULT 0,
    is_active BOOLEAN DEFAULT true,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_risk_limits_user_id ON risk_limits (user_id);
CREATE INDEX idx_risk_limits_type ON risk_limits (limit_type);

CREATE TABLE risk_events (
    id BIGSERIAL,
    user_id INTEGER NOT NULL,
    event_type VARCHAR(50) NOT NULL,
    severity VARCHAR(20) NOT NULL,
    symbol VARCHAR(20),
    strategy_id INTEGER,
    description TEXT,
    risk_value DECIMAL(20,8),
    limit_value DECIMAL(20,8),
    action_taken VARCHAR(100),
    timestamp TIMESTAMPTZ DEFAULT NOW(),
    PRIMARY KEY (timestamp, user_id, event_type)
);

CREATE INDEX idx_risk_events_user ON risk_events (user_id, timestamp DESC);
CREATE INDEX idx_risk_events_severity ON risk_events (severity, timestamp DESC);
