-- daily_ohlcv without TimescaleDB: an ordinary materialized view, refreshed by `backtest db maintain`.
-- Days are those of UTC whatever the session's time zone is.
CREATE MATERIALIZED VIEW daily_ohlcv AS
SELECT
    symbol,
    date_trunc('day', timestamp, 'UTC') as date,
    (array_agg(open ORDER BY timestamp))[1] as open,
    max(high) as high,
    min(low) as low,
    (array_agg(close ORDER BY timestamp DESC))[1] as close,
    sum(volume) as volume
FROM market_data
WHERE timeframe = '1m'
GROUP BY symbol, date_trunc('day', timestamp, 'UTC');

CREATE UNIQUE INDEX ON daily_ohlcv (symbol, date);
