-- The document's system_logs and api_usage (section 6), as they stand there. The hypertables are made by the ensure
-- step.
CREATE TABLE system_logs (
    id BIGSERIAL,
    timestamp TIMESTAMPTZ DEFAULT NOW(),
    level VARCHAR(10) NOT NULL,
    component VARCHAR(50) NOT NULL,
    message TEXT NOT NULL,
    user_id INTEGER,
    session_id VARCHAR(100),
    ip_address INET,
    additional_data JSONB,
    PRIMARY KEY (timestamp, component, level)
);

CREATE INDEX idx_system_logs_level ON system_logs (level, timestamp DESC);
CREATE INDEX idx_system_logs_component ON system_logs (component, timestamp DESC);
CREATE INDEX idx_system_logs_user ON system_logs (user_id, timestamp DESC) WHERE user_id IS NOT NULL;

CREATE TABLE api_usage (
    id BIGSERIAL,
    timestamp TIMESTAMPTZ DEFAULT NOW(),
    user_id INTEGER,
    endpoint VARCHAR(255) NOT NULL,
    method VARCHAR(10) NOT NULL,
    status_code INTEGER NOT NULL,
    response_time INTEGER,
    ip_address INET,
    user_agent TEXT,
    request_size INTEGER,
    response_size INTEGER,
    PRIMARY KEY (timestamp, user_id, endpoint)
);

CREATE INDEX idx_api_usage_user ON api_usage (user_id, timestamp DESC);
CREATE INDEX idx_api_usage_endpoint ON api_usage (endpoint, timestamp DESC);
