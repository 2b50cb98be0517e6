-- Row level security: who may see and write whose rows. Run by every `backtest migrate`, and again it changes nothing.
-- How to use it stands in docs/security.md. The owner of the tables is not restricted.

-- What a client's role gets through the table itself, it could also get through a chunk of it, by another name and
-- past every policy. TimescaleDB refuses inserts into a chunk that has row security, so chunks are closed the other
-- way: no role but the owner has any privilege on them. Access through the table needs none.
-- New chunks are born with the table's privileges: the writer calls this before it commits, and so does `db maintain`.
DO $make$
BEGIN
    EXECUTE format($function$
CREATE OR REPLACE FUNCTION protect_chunks()
RETURNS INTEGER
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, %1$I, pg_temp
AS $body$
DECLARE
    open_chunk REGCLASS;
    closed INTEGER := 0;
BEGIN
    IF to_regrole('authenticated_users') IS NULL THEN
        RETURN 0;
    END IF;
    FOR open_chunk IN
        SELECT chunk.oid
        FROM pg_inherits JOIN pg_class parent ON parent.oid = inhparent JOIN pg_class chunk ON chunk.oid = inhrelid
        WHERE parent.relrowsecurity AND parent.relkind = 'r' AND parent.relnamespace = %1$L::regnamespace
            AND (has_table_privilege('authenticated_users', chunk.oid, 'SELECT, INSERT, UPDATE, DELETE')
                OR has_any_column_privilege('authenticated_users', chunk.oid, 'SELECT, INSERT, UPDATE'))
    LOOP
        EXECUTE format('REVOKE ALL ON %%s FROM authenticated_users', open_chunk);
        closed := closed + 1;
    END LOOP;
    RETURN closed;
END
$body$
$function$, current_schema());
END
$make$;

-- Every table with rows of users; those of orders_partitioned's partitions too, which can be named by themselves.
DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['users', 'accounts', 'orders', 'orders_partitioned', 'orders_p0', 'orders_p1',
        'orders_p2', 'orders_p3', 'positions', 'trades_executed', 'strategies', 'strategy_performance', 'risk_limits',
        'risk_events', 'backtests', 'backtest_results', 'backtest_trades', 'backtest_equity', 'system_logs', 'api_usage',
        'sweeps', 'sweep_blocks']
    LOOP
        IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = name::REGCLASS) THEN
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        END IF;
    END LOOP;
END
$$;

-- Roles belong to the whole server. authenticated_users: what its members may do at all; backtest_app: whose members
-- may say for whom they ask. A role that may not make them leaves every table closed but to its owner.
DO $$
DECLARE
    role TEXT;
BEGIN
    FOREACH role IN ARRAY ARRAY['authenticated_users', 'backtest_app'] LOOP
        IF to_regrole(role) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION
                WHEN insufficient_privilege THEN
                    RAISE NOTICE 'role % cannot be made', role;
                -- Another database's migrate made it just now.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
END
$$;

-- The document's two policies, and the same shape for every other table with a user_id.
-- Columns are granted one by one: id is the server's to give, user_id nobody's to change, and hashes nobody's to read.
-- So granted, a new chunk cannot be read even before protect_chunks has seen it.
DO $$
DECLARE
    -- Table, and the condition on its rows.
    -- The sub-select asks once a statement instead of once a row.
    own CONSTANT TEXT := 'user_id = (SELECT current_user_id())';
    of_backtest CONSTANT TEXT := 'backtest_id IN (SELECT id FROM backtests)';
    policies CONSTANT TEXT[] := ARRAY[
        ['accounts', own], ['orders', own], ['orders_partitioned', own], ['orders_p0', own], ['orders_p1', own],
        ['orders_p2', own], ['orders_p3', own], ['positions', own], ['trades_executed', own], ['strategies', own],
        ['risk_limits', own], ['risk_events', own], ['backtests', own], ['system_logs', own], ['api_usage', own],
        ['backtest_results', of_backtest], ['backtest_trades', of_backtest], ['backtest_equity', of_backtest],
        ['sweeps', own], ['sweep_blocks', 'sweep_id IN (SELECT id FROM sweeps)'],
        ['strategy_performance', 'strategy_id IN (SELECT id FROM strategies)'], ['users', 'id = (SELECT current_user_id())']];
    hidden CONSTANT TEXT[] := ARRAY['password_hash', 'api_key_hash', 'api_secret_hash'];
    item TEXT[];
    policy TEXT;
    readable TEXT;
    writable TEXT;
    changeable TEXT;
    sequence REGCLASS;
BEGIN
    IF to_regrole('authenticated_users') IS NULL THEN
        RETURN;
    END IF;
    FOREACH item SLICE 1 IN ARRAY policies LOOP
        policy := format('user_%s_policy', item[1]);
        IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = item[1]::REGCLASS AND polname = policy) THEN
            EXECUTE format('CREATE POLICY %I ON %I FOR ALL TO authenticated_users USING (%s)', policy, item[1], item[2]);
        END IF;
        -- A partition is reached through its table.
        CONTINUE WHEN item[1] ~ '^orders_p[0-3]$';
        SELECT string_agg(quote_ident(attname), ', '),
            string_agg(quote_ident(attname), ', ') FILTER (WHERE attname <> 'id'),
            string_agg(quote_ident(attname), ', ') FILTER (WHERE attname NOT IN ('id', 'user_id'))
            INTO readable, writable, changeable
            FROM pg_attribute WHERE attrelid = item[1]::REGCLASS AND attnum > 0 AND NOT attisdropped
                AND NOT (item[1] = 'users' AND attname = ANY (hidden));
        EXECUTE format('GRANT SELECT (%s) ON %I TO authenticated_users', readable, item[1]);
        CONTINUE WHEN item[1] = 'users';
        EXECUTE format('GRANT INSERT (%s), UPDATE (%s), DELETE ON %I TO authenticated_users',
            writable, changeable, item[1]);
        IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = item[1]::REGCLASS AND attname = 'id') THEN
            sequence := pg_get_serial_sequence(item[1], 'id');
            -- That of orders_partitioned is orders' own.
            CONTINUE WHEN sequence IS NULL;
            EXECUTE format('GRANT USAGE ON SEQUENCE %s TO authenticated_users', sequence);
        END IF;
    END LOOP;
    -- A run names a strategy by a foreign key, which sees every row: without this, whether the key is refused would
    -- tell which strategies others have.
    IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = 'backtests'::REGCLASS AND polname = 'own_strategies_only') THEN
        CREATE POLICY own_strategies_only ON backtests AS RESTRICTIVE FOR ALL TO authenticated_users
            USING (true) WITH CHECK (strategy_id IS NULL OR strategy_id IN (SELECT id FROM strategies));
    END IF;
    -- What belongs to nobody is everybody's to read.
    GRANT SELECT ON market_data, order_book_snapshots, trades, ml_models, predictions, technical_indicators,
        data_policies, _sqlx_migrations TO authenticated_users;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO authenticated_users', current_schema());
END
$$;

SELECT protect_chunks();
