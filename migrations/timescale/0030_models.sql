-- The document's strategy_performance, ml_models, predictions and technical_indicators (section 3), as they stand
-- there. The hypertables are made by the ensure step.
CREATE TABLE strategy_performance (
    id BIGSERIAL,
    strategy_id INTEGER NOT NULL,
    timestamp TIMESTAMPTZ NOT NULL,
    total_return DECIMAL(10,4),
    daily_return DECIMAL(10,4),
    cumulative_return DECIMAL(10,4),
    sharpe_ratio DECIMAL(8,4),
    max_drawdown DECIMAL(8,4),
    win_rate DECIMAL(5,2),
    profit_factor DECIMAL(8,4),
    total_trades INTEGER DEFAULT 0,
    winning_trades INTEGER DEFAULT 0,
    losing_trades INTEGER DEFAULT 0,
    avg_win DECIMAL(10,4),
    avg_loss DECIMAL(10,4),
    largest_win DECIMAL(10,4),
    largest_loss DECIMAL(10,4),
    PRIMARY KEY (timestamp, strategy_id)
);

CREATE INDEX idx_strategy_performance_id ON strategy_performance (strategy_id, timestamp DESC);

CREATE TABLE ml_models (
    id SERIAL PRIMARY KEY,
    name VARCHAR(100) NOT NULL,
    model_type VARCHAR(50) NOT NULL,
    version VARCHAR(20) NOT NULL,
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    features JSONB NOT NULL,
    hyperparameters JSONB,
    training_data_start TIMESTAMPTZ,
    training_data_end TIMESTAMPTZ,
    validation_score DECIMAL(8,6),
    test_score DECIMAL(8,6),
    model_path VARCHAR(255),
    is_active BOOLEAN DEFAULT false,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_ml_models_symbol ON ml_models (symbol, timeframe);
CREATE INDEX idx_ml_models_active ON ml_models (is_active) WHERE is_active = true;
CREATE UNIQUE INDEX idx_ml_models_unique ON ml_models (name, version, symbol, timeframe);

CREATE TABLE predictions (
    id BIGSERIAL,
    model_id INTEGER NOT NULL,
    symbol VARCHAR(20) NOT NULL,
    timestamp TIMESTAMPTZ NOT NULL,
    prediction_timestamp TIMESTAMPTZ NOT NULL,
    prediction_type VARCHAR(20) NOT NULL,
    predicted_value DECIMAL(20,8) NOT NULL,
    confidence DECIMAL(5,4),
    actual_value DECIMAL(20,8),
    error DECIMAL(20,8),
    features JSONB,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    PRIMARY KEY (timestamp, model_id, prediction_timestamp)
);

CREATE INDEX idx_predictions_model ON predictions (model_id, timestamp DESC);
CREATE INDEX idx_predictions_symbol ON predictions (symbol, prediction_timestamp DESC);

CREATE TABLE technical_indicators (
    id BIGSERIAL,
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    timestamp TIMESTAMPTZ NOT NULL,
    indicator_name VARCHAR(50) NOT NULL,
    value DECIMAL(20,8),
    additional_values JSONB,
    PRIMARY KEY (timestamp, symbol, timeframe, indicator_name)
);

CREATE INDEX idx_technical_indicators_symbol ON technical_indicators (symbol, timeframe, indicator_name, timestamp DESC);
