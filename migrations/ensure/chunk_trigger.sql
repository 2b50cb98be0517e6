-- Where TimescaleDB reports the making of a chunk to event triggers (2.30 does, 2.19 does not), a chunk is closed the
-- moment it is born. Making an event trigger takes a superuser; elsewhere writers and `db maintain` close chunks.
DO $make$
BEGIN
    IF current_setting('timescaledb.enable_event_triggers', true) IS NULL
        OR NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
        OR EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'backtest_protect_chunks') THEN
        RETURN;
    END IF;
    CREATE OR REPLACE FUNCTION on_new_table() RETURNS EVENT_TRIGGER LANGUAGE plpgsql
        SECURITY DEFINER SET search_path FROM CURRENT AS $body$
    BEGIN
        PERFORM protect_chunks();
    END
    $body$;
    CREATE EVENT TRIGGER backtest_protect_chunks ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
        EXECUTE FUNCTION on_new_table();
    EXECUTE format('ALTER DATABASE %I SET timescaledb.enable_event_triggers = on', current_database());
END
$make$;
