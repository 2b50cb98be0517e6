-- The document's order_book_snapshots and trades (section 1), as they stand there. The hypertables are made by the
-- ensure step.
CREATE TABLE order_book_snapshots (
    id BIGSERIAL,
    symbol VARCHAR(20) NOT NULL,
    timestamp TIMESTAMPTZ NOT NULL,
    bids JSONB NOT NULL,
    asks JSONB NOT NULL,
    last_update_id BIGINT,
    PRIMARY KEY (timestamp, symbol)
);

CREATE INDEX idx_orderbook_symbol_time ON order_book_snapshots (symbol, timestamp DESC);

CREATE TABLE trades (
    id BIGSERIAL,
    symbol VARCHAR(20) NOT NULL,
    timestamp TIMESTAMPTZ NOT NULL,
    trade_id BIGINT NOT NULL,
    price DECIMAL(20,8) NOT NULL,
    quantity DECIMAL(20,8) NOT NULL,
    quote_quantity DECIMAL(20,8) NOT NULL,
    is_buyer_maker BOOLEAN NOT NULL,
    PRIMARY KEY (timestamp, symbol, trade_id)
);

CREATE INDEX idx_trades_symbol_time ON trades (symbol, timestamp DESC);
