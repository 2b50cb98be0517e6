-- Ours: sweeps. A variant is a row of `backtests` with the sweep it belongs to; see docs/sweeps.md.
CREATE TABLE sweeps (
    id SERIAL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    strategy_id INTEGER REFERENCES strategies(id) ON DELETE CASCADE,
    name VARCHAR(100) NOT NULL,
    definition JSONB NOT NULL,
    identity VARCHAR(64) NOT NULL,
    copy INTEGER NOT NULL DEFAULT 1,
    engine_version VARCHAR(50) NOT NULL,
    n_variants BIGINT NOT NULL,
    status VARCHAR(20) NOT NULL DEFAULT 'RUNNING',
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    completed_at TIMESTAMPTZ,
    CONSTRAINT sweeps_user_id_identity_key UNIQUE (user_id, identity, copy)
);

-- What one worker simulates and saves in one transaction.
CREATE TABLE sweep_blocks (
    sweep_id INTEGER NOT NULL REFERENCES sweeps(id) ON DELETE CASCADE,
    block INTEGER NOT NULL,
    first_idx BIGINT NOT NULL,
    end_idx BIGINT NOT NULL,
    n_variants INTEGER NOT NULL,
    owner VARCHAR(200),
    heartbeat_at TIMESTAMPTZ,
    n_completed INTEGER,
    n_failed INTEGER,
    completed_at TIMESTAMPTZ,
    PRIMARY KEY (sweep_id, block)
);

CREATE INDEX idx_sweep_blocks_open ON sweep_blocks (sweep_id, block) WHERE completed_at IS NULL;

ALTER TABLE backtests
    ADD COLUMN sweep_id INTEGER REFERENCES sweeps(id) ON DELETE CASCADE,
    ADD COLUMN variant_idx BIGINT;

CREATE UNIQUE INDEX backtests_sweep_id_variant_idx_key ON backtests (sweep_id, variant_idx)
    WHERE sweep_id IS NOT NULL;

-- Single runs stay one row each; a variant is one row of its sweep, even where a run or another sweep has the same.
ALTER TABLE backtests DROP CONSTRAINT backtests_user_id_identity_key;
CREATE UNIQUE INDEX backtests_user_id_identity_key ON backtests (user_id, identity)
    WHERE sweep_id IS NULL;

COMMENT ON TABLE sweeps IS 'One sweep a row: what its variants share.';
COMMENT ON COLUMN sweeps.definition IS 'Strategy, grid, search, rules, series with their fingerprints, objective.';
COMMENT ON COLUMN sweeps.identity IS 'SHA-256 of everything that decides which variants there are and what they give.';
COMMENT ON COLUMN sweeps.copy IS 'Counts sweeps of one identity, asked for by --if-exists new.';
COMMENT ON COLUMN sweeps.n_variants IS 'Variants that the search tries.';
COMMENT ON COLUMN sweeps.status IS 'RUNNING (or stopped, when no block has a heartbeat), COMPLETED or CANCELLED.';
COMMENT ON TABLE sweep_blocks IS 'Stretches of variants; a block and its variants are saved in one transaction.';
COMMENT ON COLUMN sweep_blocks.first_idx IS 'First variant_idx.';
COMMENT ON COLUMN sweep_blocks.end_idx IS 'First variant_idx behind it.';
COMMENT ON COLUMN sweep_blocks.owner IS 'The worker that has it, as host:process:start; NULL when nobody has.';
COMMENT ON COLUMN sweep_blocks.heartbeat_at IS 'Last sign of life of the owner; after 60 s without one the block is free.';
COMMENT ON COLUMN backtests.sweep_id IS 'The sweep it is a variant of; NULL for a single run.';
COMMENT ON COLUMN backtests.variant_idx IS 'Its point in the sweep: series times points of the grid, plus the point.';
