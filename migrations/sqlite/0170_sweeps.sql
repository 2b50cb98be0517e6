-- Ours: sweeps. A variant is a row of `backtests` with the sweep it belongs to; see docs/sweeps.md.
CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    strategy_id INTEGER REFERENCES strategies(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    definition TEXT NOT NULL CHECK (json_valid(definition)),
    identity TEXT NOT NULL,
    copy INTEGER NOT NULL DEFAULT 1,
    engine_version TEXT NOT NULL,
    n_variants INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'RUNNING',
    created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    completed_at INTEGER
) STRICT;

CREATE UNIQUE INDEX sweeps_user_id_identity_key ON sweeps (user_id, identity, copy);

-- What one worker simulates and saves in one transaction.
CREATE TABLE sweep_blocks (
    sweep_id INTEGER NOT NULL REFERENCES sweeps(id) ON DELETE CASCADE,
    block INTEGER NOT NULL,
    first_idx INTEGER NOT NULL,
    end_idx INTEGER NOT NULL,
    n_variants INTEGER NOT NULL,
    owner TEXT,
    heartbeat_at INTEGER,
    n_completed INTEGER,
    n_failed INTEGER,
    completed_at INTEGER,
    PRIMARY KEY (sweep_id, block)
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_sweep_blocks_open ON sweep_blocks (sweep_id, block) WHERE completed_at IS NULL;

ALTER TABLE backtests ADD COLUMN sweep_id INTEGER REFERENCES sweeps(id) ON DELETE CASCADE;
ALTER TABLE backtests ADD COLUMN variant_idx INTEGER;

CREATE UNIQUE INDEX backtests_sweep_id_variant_idx_key ON backtests (sweep_id, variant_idx)
    WHERE sweep_id IS NOT NULL;

-- Single runs stay one row each; a variant is one row of its sweep, even where a run or another sweep has the same.
DROP INDEX backtests_user_id_identity_key;
CREATE UNIQUE INDEX backtests_user_id_identity_key ON backtests (user_id, identity)
    WHERE sweep_id IS NULL;

DROP VIEW backtests_v;
CREATE VIEW backtests_v AS
SELECT id,
       user_id,
       strategy_id,
       name,
       description,
       start_date,
       end_date,
       CAST(initial_capital AS REAL) AS initial_capital,
       symbols,
       timeframes,
       parameters,
       status,
       progress,
       created_at,
       started_at,
       completed_at,
       notes,
       tags,
       rules,
       identity,
       data_fingerprint,
       engine_version,
       heartbeat_at,
       error,
       sweep_id,
       variant_idx
FROM backtests;
