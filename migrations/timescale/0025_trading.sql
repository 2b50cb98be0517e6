-- The document's accounts, orders, positions and trades_executed (section 2), as they stand there. The hypertables
-- are made by the ensure step.
CREATE TABLE accounts (
    id SERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users(id) ON DELETE CASCADE,
    exchange VARCHAR(20) NOT NULL,
    account_type VARCHAR(20) DEFAULT 'spot',
    balance DECIMAL(20,8) DEFAULT 0,
    available_balance DECIMAL(20,8) DEFAULT 0,
    locked_balance DECIMAL(20,8) DEFAULT 0,
    total_wallet_balance DECIMAL(20,8) DEFAULT 0,
    unrealized_pnl DECIMAL(20,8) DEFAULT 0,
    margin_balance DECIMAL(20,8) DEFAULT 0,
    is_active BOOLEAN DEFAULT true,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_accounts_user_id ON accounts (user_id);
CREATE INDEX idx_accounts_exchange ON accounts (exchange);

CREATE TABLE orders (
    id BIGSERIAL,
    user_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    order_id VARCHAR(50) NOT NULL,
    client_order_id VARCHAR(50),
    symbol VARCHAR(20) NOT NULL,
    side VARCHAR(10) NOT NULL CHECK (side IN ('BUY', 'SELL')),
    type VARCHAR(20) NOT NULL CHECK (type IN ('MARKET', 'LIMIT', 'STOP', 'STOP_MARKET', 'TAKE_PROFIT', 'TAKE_PROFIT_MARKET')),
    time_in_force VARCHAR(10) DEFAULT 'GTC',
    quantity DECIMAL(20,8) NOT NULL,
    price DECIMAL(20,8),
    stop_price DECIMAL(20,8),
    executed_quantity DECIMAL(20,8) DEFAULT 0,
    cumulative_quote_quantity DECIMAL(20,8) DEFAULT 0,
    status VARCHAR(20) NOT NULL DEFAULT 'NEW',
    strategy_id INTEGER,
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW(),
    PRIMARY KEY (created_at, user_id, order_id)
);

CREATE INDEX idx_orders_user_id ON orders (user_id, created_at DESC);
CREATE INDEX idx_orders_symbol ON orders (symbol, created_at DESC);
CREATE INDEX idx_orders_status ON orders (status, created_at DESC);
CREATE INDEX idx_orders_strategy ON orders (strategy_id, created_at DESC);

CREATE TABLE positions (
    id BIGSERIAL,
    user_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    symbol VARCHAR(20) NOT NULL,
    side VARCHAR(10) NOT NULL CHECK (side IN ('LONG', 'SHORT')),
    size DECIMAL(20,8) NOT NULL,
    entry_price DECIMAL(20,8) NOT NULL,
    mark_price DECIMAL(20,8),
    unrealized_pnl DECIMAL(20,8) DEFAULT 0,
    percentage DECIMAL(10,4) DEFAULT 0,
    margin DECIMAL(20,8) DEFAULT 0,
    isolated_margin DECIMAL(20,8) DEFAULT 0,
    is_auto_add_margin BOOLEAN DEFAULT false,
    position_side VARCHAR(10) DEFAULT 'BOTH',
    max_notional_value DECIMAL(20,8),
    strategy_id INTEGER,
    opened_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW(),
    closed_at TIMESTAMPTZ,
    PRIMARY KEY (opened_at, user_id, symbol, side)
);

CREATE INDEX idx_positions_user_id ON positions (user_id, opened_at DESC);
CREATE INDEX idx_positions_symbol ON positions (symbol, opened_at DESC);
CREATE INDEX idx_positions_active ON positions (user_id, symbol) WHERE closed_at IS NULL;

CREATE TABLE trades_executed (
    id BIGSERIAL,
    user_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    order_id VARCHAR(50) NOT NULL,
    trade_id VARCHAR(50) NOT NULL,
    symbol VARCHAR(20) NOT NULL,
    side VARCHAR(10) NOT NULL,
    quantity DECIMAL(20,8) NOT NULL,
    price DECIMAL(20,8) NOT NULL,
    quote_quantity DECIMAL(20,8) NOT NULL,
    commission DECIMAL(20,8) DEFAULT 0,
    commission_asset VARCHAR(10),
    realized_pnl DECIMAL(20,8) DEFAULT 0,
    strategy_id INTEGER,
    executed_at TIMESTAMPTZ DEFAULT NOW(),
    PRIMARY KEY (executed_at, user_id, trade_id)
);

CREATE INDEX idx_trades_executed_user_id ON trades_executed (user_id, executed_at DESC);
CREATE INDEX idx_trades_executed_symbol ON trades_executed (symbol, executed_at DESC);
CREATE INDEX idx_trades_executed_order ON trades_executed (order_id, executed_at DESC);
