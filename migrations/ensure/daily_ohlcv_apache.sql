-- daily_ohlcv on TimescaleDB's Apache edition: an ordinary materialized view, refreshed by `backtest db maintain`.
-- Days are those of UTC whatever the session's time zone is.
CREATE MATERIALIZED VIEW daily_ohlcv AS
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
GROUP BY symbol, time_bucket('1 day', timestamp);

CREATE UNIQUE INDEX ON daily_ohlcv (symbol, date);
