"""celeriac.retention: what is old goes from the database and from MEDIA_DIR, and nothing else does."""

import hashlib
import os
import time
import uuid

import psycopg
import pytest

from worker import created_postgres

DAY = 86400
AGES = (0.5, 3, 10, 40)  # days


@pytest.fixture(scope="module")
def server(session_directory):
    path = session_directory / "retention"
    path.mkdir(mode=0o755)
    made = created_postgres(path)
    yield made
    made.kill()


@pytest.fixture
def database(server):
    """Nobody else's rows are in it."""
    yield server
    server.sql("TRUNCATE celeriac.tool_results, celeriac.conversation_outputs, celeriac.activity_events")


def fill(database, media, count=1):
    """Of each kind `count` rows of each age, and their files; ages by kind are what is left to be asked of."""
    media.mkdir()
    with psycopg.connect(database.url("owner"), autocommit=True) as connection:
        for age in AGES:
            for n in range(count):
                name = f"{age}-{n}-{uuid.uuid4()}"
                content = name.encode()
                digest = hashlib.sha256(content).hexdigest()
                path = media / digest[:2] / digest[2:4] / digest
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                os.utime(path, (time.time() - age * DAY,) * 2)
                at = f"now() - interval '{age} days'"
                connection.execute(
                    f"INSERT INTO celeriac.tool_results (task_id, kind, tool, worker, state, started_at, finished_at)"
                    f" VALUES ('{name}', 'sandbox', 't', 'w', 'finished', {at}, {at})")
                connection.execute(
                    f"INSERT INTO celeriac.conversation_outputs (id, task_id, name, size_bytes, sha256, path, created_at)"
                    f" VALUES (gen_random_uuid(), '{name}', 'a', {len(content)}, '{digest}', '{path}', {at})")
                connection.execute(f"INSERT INTO celeriac.activity_events (at, decision, kind) VALUES ({at}, 'allow', 'k')")
        connection.execute(
            "INSERT INTO celeriac.tool_results (task_id, kind, tool, worker, started_at)"
            " VALUES ('running', 'sandbox', 't', 'w', now() - interval '99 days')")


def ages(database, table, column):
    return sorted({round(float(age), 1) for (age,) in database.sql(
        f"SELECT extract(epoch FROM now() - {column}) / 86400 FROM celeriac.{table} WHERE now() - {column} > interval '1 hour'")})


def files(media):
    return sorted(path for path in media.rglob("*") if path.is_file())


def test_what_is_old_goes(make_worker, app, database, directory):
    media = directory / "media"
    fill(database, media)
    stranger = media / "notes.txt"
    stranger.write_text("not ours")
    os.utime(stranger, (0, 0))
    make_worker(DATABASE_URL=database.url("worker"), MEDIA_DIR=media, CELERIAC_RETENTION_RESULTS="5d",
                CELERIAC_RETENTION_OUTPUTS="20d", CELERIAC_RETENTION_EVENTS="1d")
    result = app.send_task("celeriac.retention").get(timeout=60)
    assert result.pop("bytes") > 30
    assert result == {"results": 2, "outputs": 1, "events": 2, "files": 1, "more": False}
    assert ages(database, "tool_results", "finished_at") == [0.5, 3]
    assert ages(database, "conversation_outputs", "created_at") == [0.5, 3, 10]
    assert ages(database, "activity_events", "at") == [0.5, 3], "events stay for a week whatever the setting says"
    assert database.sql("SELECT count(*) FROM celeriac.tool_results WHERE state = 'running'") == [(1,)]
    named = {path for (path,) in database.sql("SELECT path FROM celeriac.conversation_outputs")}
    assert set(map(str, files(media))) == {*named, str(stranger)}
    again = app.send_task("celeriac.retention").get(timeout=60)
    assert again == {"results": 0, "outputs": 0, "events": 0, "files": 0, "bytes": 0, "more": False}


def test_nothing_goes_until_it_is_asked_for(make_worker, app, database, directory):
    media = directory / "media"
    fill(database, media)
    before = files(media)
    worker = make_worker(DATABASE_URL=database.url("worker"), MEDIA_DIR=media)
    result = app.send_task("celeriac.retention").get(timeout=60)
    assert set(result.values()) == {0, False}
    assert ages(database, "activity_events", "at") == list(AGES) and files(media) == before
    assert worker.log_lines("retention: ") == []


def test_batches_and_a_bounded_time(make_worker, app, database, directory):
    """More than a batch, each of which takes its time; what one run has no time for the next ones do."""
    with psycopg.connect(database.url("owner"), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO celeriac.activity_events (at, decision, kind)"
            " SELECT now() - interval '30 days', 'allow', 'k' FROM generate_series(1, 5000)")
        connection.execute(
            "CREATE FUNCTION celeriac.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END'")
        connection.execute("CREATE TRIGGER slow AFTER DELETE ON celeriac.activity_events EXECUTE FUNCTION celeriac.slow()")
    worker = make_worker(DATABASE_URL=database.url("worker"), CELERIAC_RETENTION_EVENTS="10d", CELERIAC_RETENTION_TIME="1s")
    results = []
    while not results or results[-1]["more"]:
        results.append(app.send_task("celeriac.retention").get(timeout=60))
        assert len(results) < 10, results
    database.sql("DROP FUNCTION celeriac.slow() CASCADE")
    assert sum(result["events"] for result in results) == 5000
    assert [result["events"] % 1000 for result in results] == [0] * len(results)
    assert len(results) >= 2, "all at once"
    assert len(worker.log_lines("there was no time for all")) == len(results) - 1
    assert ages(database, "activity_events", "at") == []


def test_the_worker_cannot_delete_more(database):
    with psycopg.connect(database.url("owner"), autocommit=True) as connection:
        for age in (0, 6, 8):
            connection.execute(f"INSERT INTO celeriac.activity_events (at, decision, kind) VALUES (now() - interval '{age} days', 'deny', 'k')")
    ask = "SELECT celeriac.prune('activity_events', interval '{}', 1000000)"
    # longer than a week as intervals go, and years ahead in the calendar
    assert database.sql(ask.format("-1200 mons +36008 days"), url=database.url("worker")) == [(1,)]
    for age in ("-100 years", "0"):
        assert database.sql(ask.format(age), url=database.url("worker")) == [(0,)]
    for role in ("beat", "application"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.sql(ask.format("0"), url=database.url(role))
    for table in ("policy_rules", "schema_version; DROP TABLE celeriac.activity_events"):
        with pytest.raises(psycopg.errors.CaseNotFound):
            database.sql("SELECT celeriac.prune(%s, interval '0', 1)", table, url=database.url("worker"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.sql("DELETE FROM celeriac.activity_events", url=database.url("worker"))
