-- Bars in the layout that loads fastest: the key is the table, so one symbol and timeframe is one range of pages.
--
-- Prices and volumes are exact INTEGER units of 1e-8; a value beyond 63 bits is the same integer as TEXT.
-- Times are INTEGER microseconds since 1970-01-01 UTC. `id` is there for the document's column list; nothing fills it.
-- market_data_v shows values as REAL.
CREATE TABLE market_data (
    symbol TEXT NOT NULL,
    timeframe TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    open ANY NOT NULL,
    high ANY NOT NULL,
    low ANY NOT NULL,
    close ANY NOT NULL,
    volume ANY NOT NULL,
    quote_volume ANY,
    trades_count INTEGER,
    taker_buy_volume ANY,
    taker_buy_quote_volume ANY,
    created_at INTEGER,
    id INTEGER,
    PRIMARY KEY (symbol, timeframe, timestamp)
) STRICT, WITHOUT ROWID;
