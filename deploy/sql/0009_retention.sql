-- Rows that are old enough may go: celeriac.retention asks for it, batch by batch. The worker has no right to delete tool calls or
-- the audit: however it asks, calls and files that are a day old at most stay here, and the audit of a week.

CREATE FUNCTION celeriac.prune(what text, older_than interval, most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
    -- Times are compared, not intervals: to those a month has 30 days, to a time it has what the calendar says.
    until timestamptz := least(now() - older_than,
        now() - CASE what WHEN 'activity_events' THEN interval '7 days' ELSE interval '1 day' END);
    limited integer := least(greatest(most, 0), 10000);
BEGIN
    -- Of several who do this at once each takes other rows.
    CASE what
    WHEN 'tool_results' THEN
        DELETE FROM celeriac.tool_results WHERE ctid = ANY (ARRAY(SELECT ctid FROM celeriac.tool_results
            WHERE finished_at < until ORDER BY finished_at LIMIT limited FOR UPDATE SKIP LOCKED));
    WHEN 'conversation_outputs' THEN
        DELETE FROM celeriac.conversation_outputs WHERE ctid = ANY (ARRAY(SELECT ctid FROM celeriac.conversation_outputs
            WHERE created_at < until ORDER BY created_at LIMIT limited FOR UPDATE SKIP LOCKED));
    WHEN 'activity_events' THEN
        DELETE FROM celeriac.activity_events WHERE ctid = ANY (ARRAY(SELECT ctid FROM celeriac.activity_events
            WHERE at < until ORDER BY at LIMIT limited FOR UPDATE SKIP LOCKED));
    END CASE;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION celeriac.prune(text, interval, integer) IS
    'Deletes the oldest rows of tool_results, conversation_outputs or activity_events that are older than that, at most so many.';
REVOKE ALL ON FUNCTION celeriac.prune(text, interval, integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION celeriac.grant_rights() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT rolname FROM pg_roles
        WHERE rolname IN ('celeriac_worker', 'celeriac_beat', 'celeriac_application')
    LOOP
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA celeriac FROM %I', r.rolname);
        EXECUTE format('GRANT USAGE ON SCHEMA celeriac TO %I', r.rolname);
        EXECUTE format('GRANT SELECT ON celeriac.schema_version TO %I', r.rolname);
    END LOOP;

    FOR r IN
        SELECT rights.* FROM (VALUES
            ('celeriac_worker', 'SELECT, INSERT, UPDATE',         'tool_results'),
            ('celeriac_worker', 'SELECT, INSERT, UPDATE, DELETE', 'conversation_outputs'),
            ('celeriac_worker', 'SELECT, INSERT, UPDATE, DELETE', 'mcp_tools'),
            ('celeriac_worker', 'INSERT',                         'activity_events'),
            ('celeriac_worker', 'SELECT',                         'sandbox_settings'),
            ('celeriac_worker', 'SELECT',                         'http_tools'),
            ('celeriac_worker', 'SELECT',                         'plugin_configs'),
            ('celeriac_worker', 'SELECT',                         'mcp_servers'),
            ('celeriac_worker', 'SELECT',                         'policy_rules'),
            ('celeriac_worker', 'SELECT',                         'project_quotas'),

            ('celeriac_beat', 'SELECT, UPDATE (last_run_at, total_run_count)', 'periodic_tasks'),

            ('celeriac_application', 'SELECT', 'tool_results'),
            ('celeriac_application', 'SELECT', 'conversation_outputs'),
            ('celeriac_application', 'SELECT', 'mcp_tools'),
            ('celeriac_application', 'SELECT', 'activity_events'),
            ('celeriac_application', 'SELECT, INSERT, UPDATE, DELETE', 'sandbox_settings'),
            ('celeriac_application', 'SELECT, INSERT, UPDATE, DELETE', 'http_tools'),
            ('celeriac_application', 'SELECT, INSERT, UPDATE, DELETE', 'plugin_configs'),
            ('celeriac_application', 'SELECT, INSERT, UPDATE, DELETE', 'mcp_servers'),
            ('celeriac_application', 'SELECT, INSERT, UPDATE, DELETE', 'policy_rules'),
            ('celeriac_application', 'SELECT, INSERT, UPDATE, DELETE', 'project_quotas'),
            ('celeriac_application', 'SELECT, INSERT, UPDATE, DELETE', 'periodic_tasks')
        ) AS rights (role_name, privileges, table_name)
        JOIN pg_roles ON rolname = role_name
    LOOP
        EXECUTE format('GRANT %s ON celeriac.%I TO %I', r.privileges, r.table_name, r.role_name);
    END LOOP;

    -- A row's id is part of what seals its secrets, so the application takes it before it inserts.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'celeriac_application') THEN
        GRANT USAGE ON SEQUENCE celeriac.http_tools_id_seq, celeriac.plugin_configs_id_seq,
            celeriac.mcp_servers_id_seq TO celeriac_application;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'celeriac_worker') THEN
        GRANT EXECUTE ON FUNCTION celeriac.prune(text, interval, integer) TO celeriac_worker;
    END IF;
END
$$;

SELECT celeriac.grant_rights();
