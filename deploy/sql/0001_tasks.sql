-- What ran, and what it made: one row per tool or sandbox task, one row per file.

CREATE SCHEMA IF NOT EXISTS celeriac;
COMMENT ON SCHEMA celeriac IS 'Tables of the Celeriac worker and beat.';

CREATE TABLE celeriac.schema_version (
    number     integer PRIMARY KEY CHECK (number > 0),
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE celeriac.schema_version IS
    'The migrations this database has had, one row each, without gaps.';

CREATE TABLE celeriac.tool_results (
    task_id         text PRIMARY KEY CHECK (length(task_id) BETWEEN 1 AND 255),
    kind            text NOT NULL CHECK (kind IN ('sandbox', 'plugin', 'custom', 'http', 'mcp', 'core')),
    tool            text NOT NULL CHECK (tool <> ''),
    conversation_id text CHECK (conversation_id <> ''),
    project_id      text CHECK (project_id <> ''),
    params          jsonb NOT NULL DEFAULT '{}',
    state           text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'finished', 'failed')),
    status          text CHECK (length(status) BETWEEN 1 AND 32),
    exit_code       integer,
    result          jsonb,
    result_text     text,
    stdout          text,
    stderr          text,
    error           text,
    attempt         integer NOT NULL DEFAULT 1 CHECK (attempt > 0),
    retries         integer NOT NULL DEFAULT 0 CHECK (retries >= 0),
    worker          text NOT NULL,
    epoch           bigint NOT NULL DEFAULT 0,
    delivery        text,
    container_id    text,
    started_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CHECK ((state = 'running') = (finished_at IS NULL))
);
COMMENT ON TABLE celeriac.tool_results IS
    'One row per tool or sandbox task: inserted as running before anything starts, written once more when it ends.';
COMMENT ON COLUMN celeriac.tool_results.tool IS 'The task''s own name, whatever alias it was sent under.';
COMMENT ON COLUMN celeriac.tool_results.params IS
    'The arguments, secrets redacted. As in result: NUL and lone surrogates are U+FFFD, NaN and Infinity are strings.';
COMMENT ON COLUMN celeriac.tool_results.state IS
    'running, finished (the task succeeded, whatever its status), failed (the task is a Celery FAILURE).';
COMMENT ON COLUMN celeriac.tool_results.status IS
    'What the run or call came to: ok, error, timeout, oom, killed, disk_full, start_failed, lost, denied, cancelled.';
COMMENT ON COLUMN celeriac.tool_results.result_text IS
    'The result exactly as it went to the result backend, for a message that is delivered again; empty means: see result.';
COMMENT ON COLUMN celeriac.tool_results.attempt IS 'Grows when a live worker takes the task over from a dead one.';
COMMENT ON COLUMN celeriac.tool_results.retries IS 'Celery''s count of retries; each retry begins the row anew.';
COMMENT ON COLUMN celeriac.tool_results.worker IS
    'Node name of the worker that has or had the task; with epoch, one life of that worker.';
COMMENT ON COLUMN celeriac.tool_results.delivery IS
    'Tag of the delivery that began the row, so that a begin whose answer was lost can be repeated.';

CREATE INDEX tool_results_conversation ON celeriac.tool_results (conversation_id, started_at)
    WHERE conversation_id IS NOT NULL;
CREATE INDEX tool_results_project ON celeriac.tool_results (project_id, started_at) WHERE project_id IS NOT NULL;
CREATE INDEX tool_results_running ON celeriac.tool_results (worker, epoch) WHERE state = 'running';
CREATE INDEX tool_results_finished ON celeriac.tool_results (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE celeriac.conversation_outputs (
    id              uuid PRIMARY KEY,
    task_id         text NOT NULL,
    conversation_id text,
    name            text NOT NULL CHECK (name <> ''),
    mime            text NOT NULL DEFAULT 'application/octet-stream',
    size_bytes      bigint NOT NULL CHECK (size_bytes >= 0),
    sha256          text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    content         bytea,
    path            text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (task_id, name),
    CHECK (num_nonnulls(content, path) = 1)
);
-- Pictures and archives are compressed already.
ALTER TABLE celeriac.conversation_outputs ALTER COLUMN content SET STORAGE EXTERNAL;
COMMENT ON TABLE celeriac.conversation_outputs IS
    'Files that runs left in /sandbox/output. A row outlives its tool_results row if retention says so.';
COMMENT ON COLUMN celeriac.conversation_outputs.id IS 'Made from task_id and name: the same file of the same task has the same id.';
COMMENT ON COLUMN celeriac.conversation_outputs.name IS 'Path below /sandbox/output.';
COMMENT ON COLUMN celeriac.conversation_outputs.path IS
    'With MEDIA_DIR set, where the bytes are: MEDIA_DIR/<2 digits>/<2 digits>/<sha256>; else content holds them.';

CREATE INDEX conversation_outputs_conversation ON celeriac.conversation_outputs (conversation_id, created_at)
    WHERE conversation_id IS NOT NULL;
CREATE INDEX conversation_outputs_created ON celeriac.conversation_outputs (created_at);
CREATE INDEX conversation_outputs_sha256 ON celeriac.conversation_outputs (sha256) WHERE path IS NOT NULL;
