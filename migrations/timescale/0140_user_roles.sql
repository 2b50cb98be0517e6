-- Ours: which role of the server is which user, and who is asking. The policies are made by the ensure step
-- (migrations/ensure/security.sql), because they need a role that only a privileged one can make.
ALTER TABLE users ADD COLUMN db_role NAME UNIQUE;

-- Whose rows the session may see. A role that a row of users names is that user, whatever it sets. The setting
-- app.current_user_id counts only from the owner of these tables and from members of the role backtest_app: anyone
-- may set it. It is '' after a SET LOCAL has ended.
-- SECURITY DEFINER, because users is protected too; pg_temp comes last, so that no temporary table stands in for it.
DO $make$
BEGIN
    EXECUTE format($function$
CREATE FUNCTION current_user_id()
RETURNS INTEGER
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, %1$I, pg_temp
AS $body$
DECLARE
    bound INTEGER;
BEGIN
    SELECT id INTO bound FROM users WHERE db_role = session_user;
    IF bound IS NOT NULL THEN
        RETURN bound;
    END IF;
    -- Inside this function current_user is the owner of the tables.
    IF session_user = current_user
        OR (to_regrole('backtest_app') IS NOT NULL AND pg_has_role(session_user, 'backtest_app', 'MEMBER')) THEN
        RETURN NULLIF(current_setting('app.current_user_id', true), '')::INTEGER;
    END IF;
    RETURN NULL;
END
$body$
$function$, current_schema());
END
$make$;
