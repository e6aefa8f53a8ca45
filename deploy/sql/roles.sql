-- The four roles of a Celeriac database. Run by a superuser, connected to that database:
--   psql -v owner_password=… -v worker_password=… -v beat_password=… -v application_password=… -f roles.sql DATABASE
-- May be run again at any time, for example to change a password. Rights on tables come from the migrations
-- (celeriac.grant_rights); run `celeriac-worker --migrate` before or after.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;
-- Passwords stay out of the server's log.
SET LOCAL log_statement = 'none';
SET LOCAL log_min_error_statement = 'panic';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL password_encryption = 'scram-sha-256';

SELECT format('CREATE ROLE %I', name)
    FROM unnest(ARRAY['celeriac_owner', 'celeriac_worker', 'celeriac_beat', 'celeriac_application']) AS name
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

-- owner: makes and changes the schema; used by migrations alone
ALTER ROLE celeriac_owner NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS LOGIN
    PASSWORD :'owner_password';
-- worker: the rows of its tasks, the audit (adding only), and reading what it is told to do
ALTER ROLE celeriac_worker NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS LOGIN
    PASSWORD :'worker_password';
-- beat: reading the schedule, and noting what ran
ALTER ROLE celeriac_beat NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS LOGIN
    PASSWORD :'beat_password';
-- application: tools, servers, policy, schedule; reading results and the audit
ALTER ROLE celeriac_application NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS LOGIN
    PASSWORD :'application_password';

SELECT format('GRANT CONNECT, CREATE ON DATABASE %I TO celeriac_owner', current_database()),
       format('GRANT CONNECT ON DATABASE %I TO celeriac_worker, celeriac_beat, celeriac_application',
              current_database())
\gexec

-- As its owner: what the owner can change never runs with a superuser's rights.
SELECT format('SET LOCAL ROLE %I', pg_get_userbyid(proowner)), 'SELECT celeriac.grant_rights()'
    FROM pg_proc WHERE oid = to_regprocedure('celeriac.grant_rights()')
\gexec
COMMIT;
