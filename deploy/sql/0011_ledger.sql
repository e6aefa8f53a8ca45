-- What beat knows of its schedule where no Redis is named: which beat leads, and when each entry ran last.

CREATE TABLE celeriac.beat_lease (
    instance text PRIMARY KEY,
    holder   text NOT NULL,
    until    timestamptz NOT NULL
);
COMMENT ON TABLE celeriac.beat_lease IS
    'The beat that leads, of each CELERIAC_INSTANCE, and until when unless it renews: node, process and a random id.';

CREATE TABLE celeriac.beat_entries (
    instance text NOT NULL,
    name     text NOT NULL,
    state    text NOT NULL,
    PRIMARY KEY (instance, name)
);
COMMENT ON TABLE celeriac.beat_entries IS
    'The last run of each entry of the schedule, as Redis'' hash celeriac:<instance>:beat has it: JSON of last_run_at, total_run_count, task_id.';

-- Who may do what, as rows: a migration that adds a table inserts its rows and calls grant_rights().
CREATE TABLE celeriac.rights (
    role_name  text NOT NULL,
    privileges text NOT NULL,
    table_name text NOT NULL,
    PRIMARY KEY (role_name, table_name)
);
COMMENT ON TABLE celeriac.rights IS 'What grant_rights() gives the roles worker, beat and application.';

INSERT INTO celeriac.rights (role_name, privileges, table_name) VALUES
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
    ('celeriac_beat', 'SELECT, INSERT, UPDATE, DELETE',                'beat_lease'),
    ('celeriac_beat', 'SELECT, INSERT, UPDATE',                        'beat_entries'),

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
    ('celeriac_application', 'SELECT, INSERT, UPDATE, DELETE', 'periodic_tasks');

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

    FOR r IN SELECT rights.* FROM celeriac.rights JOIN pg_roles ON rolname = role_name
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
