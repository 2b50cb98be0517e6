-- Ours: keys of the document in which rows would collide. See migrations/README.md for the reason of each.
ALTER TABLE risk_events DROP CONSTRAINT risk_events_pkey;
ALTER TABLE risk_events ADD PRIMARY KEY (timestamp, user_id, event_type, id);

ALTER TABLE system_logs DROP CONSTRAINT system_logs_pkey;
ALTER TABLE system_logs ADD PRIMARY KEY (timestamp, component, level, id);

-- user_id stays NOT NULL after its key is gone, so that goes by itself: an anonymous request is a request.
ALTER TABLE api_usage DROP CONSTRAINT api_usage_pkey;
ALTER TABLE api_usage ADD PRIMARY KEY (timestamp, id);
ALTER TABLE api_usage ALTER COLUMN user_id DROP NOT NULL;

ALTER TABLE predictions DROP CONSTRAINT predictions_pkey;
ALTER TABLE predictions ADD PRIMARY KEY (timestamp, model_id, prediction_timestamp, prediction_type);

ALTER TABLE positions DROP CONSTRAINT positions_pkey;
ALTER TABLE positions ADD PRIMARY KEY (opened_at, user_id, symbol, side, account_id);
