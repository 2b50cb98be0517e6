-- Ours: which policies of `backtest db policies` are on, and what those about rows (not chunks) need.
CREATE TABLE data_policies (
    name VARCHAR(50) PRIMARY KEY,
    is_enabled BOOLEAN NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

-- What deletes nothing is on from the start; what deletes is switched on by hand.
INSERT INTO data_policies (name, is_enabled) VALUES ('compression', true), ('refresh', true);

-- Whether a bar of this timeframe is shorter than 1 hour.
CREATE FUNCTION is_below_1h(timeframe TEXT)
RETURNS BOOLEAN
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN timeframe ~ '^[0-9]{1,8}s$' THEN rtrim(timeframe, 's')::INTEGER < 3600
    WHEN timeframe ~ '^[0-9]{1,8}m$' THEN rtrim(timeframe, 'm')::INTEGER < 60
    ELSE false
END;

-- The retention of short bars as a job of TimescaleDB runs it: their chunks hold long bars too, so rows go, not chunks.
CREATE PROCEDURE delete_old_minutes(job_id INTEGER, config JSONB)
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM market_data
    WHERE timestamp < NOW() - (config ->> 'drop_after')::INTERVAL AND is_below_1h(timeframe);
END
$$;
