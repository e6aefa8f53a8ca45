-- Who may do what, in one table. A migration that adds a table replaces this function and calls it again; roles.sql
-- calls it too, so it does not matter whether the roles or the schema come first. Roles that do not exist are passed over.

CREATE FUNCTION celeriac.grant_rights() RETURNS void
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
END
$$;
COMMENT ON FUNCTION celeriac.grant_rights() IS
    'Gives the roles worker, beat and application exactly the rights they should have on these tables.';
REVOKE ALL ON FUNCTION celeriac.grant_rights() FROM PUBLIC;

SELECT celeriac.grant_rights();
