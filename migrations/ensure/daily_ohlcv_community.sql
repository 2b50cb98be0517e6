-- daily_ohlcv on TimescaleDB's Community edition: a continuous aggregate, refreshed by a job of the server.
-- It takes no unique index. Filled by its first refresh, so that it can be made in a transaction.
CREATE MATERIALIZED VIEW daily_ohlcv WITH (timescaledb.continuous) AS
SELECT
    symbol,
    time_bucket('1 day', timestamp) as date,
    first(open, timestamp) as open,
    max(high) as high,
    min(low) as low,
    last(close, timestamp) as close,
    sum(volume) as volume
FROM market_data
WHERE timeframe = '1m'
GROUP BY symbol, time_bucket('1 day', timestamp)
WITH NO DATA;

CREATE INDEX ON daily_ohlcv (symbol, date);
