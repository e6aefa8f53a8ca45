"""Results in PostgreSQL, in the tables of Celery's SQLAlchemy backend: clients and workers of either kind read what we write,
and we what they write. Celery up to 5.6 pickles results there (Debian's does); later ones serialize them and read both."""

import datetime
import decimal
import json
import pickle
import uuid

import celery
import pytest
from celery import chain, chord, group, signature

from clients import Client, envelope
from services import Postgres, patience, wait_until
from test_results import chord_of, environment, plain

DRIVERS = {"debian": "psycopg2", "newest": "psycopg"}  # of SQLAlchemy
VALUE = {"a": [1, -2.5, None, True, "x\ny", "é😀\x00", 2**40, 10**30], "b": {}, "": [[]]}


class Results:
    """A database of its own for results."""

    def __init__(self, server):
        self.server = server
        self.name = f"results_{uuid.uuid4().hex[:12]}"
        server.sql(f"CREATE DATABASE {self.name}", url=server.admin_url("postgres"))

    def url(self, which=None):
        """As Celery has it; without a driver as we may have it, too."""
        return "db+" + self.server.admin_url(self.name).replace("://", f"+{DRIVERS[which]}://" if which else "://", 1)

    def sql(self, query, *args):
        return self.server.sql(query, *args, url=self.server.admin_url(self.name))

    def row(self, task_id, columns="status, result"):
        """None while it, or the table, is not there."""
        there = self.sql("SELECT to_regclass('celery_taskmeta')")[0][0]
        rows = self.sql(f"SELECT {columns} FROM celery_taskmeta WHERE task_id = %s", task_id) if there else []
        return rows[0] if rows else None

    def drop(self):
        self.server.sql(f"DROP DATABASE {self.name} WITH (FORCE)", url=self.server.admin_url("postgres"))


@pytest.fixture
def results(postgres):
    made = Results(postgres)
    yield made
    made.drop()


@pytest.fixture
def database_worker(make_worker, results):
    def make(*args, **settings):
        return make_worker(*args, **{"CELERY_RESULT_BACKEND": results.url(), **settings})

    return make


@pytest.mark.parametrize("which, pickled", [("debian", "true"), *[pytest.param("newest", pickled, marks=pytest.mark.long)
                                                                  for pickled in ("true", "false")]])
def test_clients_read_them(database_worker, results, broker, which, pickled):
    worker = database_worker(CELERIAC_RESULT_PICKLE=pickled, CELERY_TASK_TRACK_STARTED="1")
    nested = chord_of([plain("add", 1, 2), plain("add", 3, 4)], plain("xsum"))
    failing = chord_of([plain("add", 1, 2), plain("fail", "boo")], plain("xsum"))
    answers = Client(which, broker).call(
        [("celeriac.echo", (VALUE,), {}, {}), ("celeriac.echo", (None,), {}, {}), ("celeriac.fail", ("no",), {}, {}),
         ("celeriac.echo", ("x" * 100000,), {}, {}), ("celeriac.retry", (1,), {}, {})],
        canvases=[nested, failing], backend=results.url(which))
    assert [answer["state"] for answer in answers] == ["SUCCESS", "SUCCESS", "FAILURE", "SUCCESS", "SUCCESS", "SUCCESS", "FAILURE"]
    assert answers[0]["value"] == VALUE and answers[1]["value"] is None and len(answers[3]["value"]) == 100000
    assert (answers[2]["error"], answers[2]["message"]) == ("builtins.RuntimeError", "no")
    assert answers[5]["value"] == 10
    assert answers[6]["error"] == "celery.exceptions.ChordError" and "RuntimeError('boo')" in answers[6]["message"]
    broker.wait_settled()
    written = bytes(results.row(answers[0]["id"])[1])
    assert (pickle.loads(written) if pickled == "true" else json.loads(written)) == VALUE
    assert worker.log_lines(" ERROR .*result") == []


@pytest.mark.parametrize("pickled", ["true", "false"])
def test_values_that_json_has_no_type_for(database_worker, results, broker, pickled):
    """They are Python's own again, whoever stored them, also where they are the arguments of a chord's body."""
    database_worker(CELERIAC_RESULT_PICKLE=pickled)
    app = celery.Celery(broker=broker.url, backend=results.url("newest"), set_as_current=False)
    noon = datetime.datetime(2026, 11, 28, 12, 0, 1, 5)
    value = [noon, noon.replace(tzinfo=datetime.timezone.utc), noon.astimezone(datetime.timezone(datetime.timedelta(hours=-5, minutes=-30))),
             noon.date(), noon.time(), 2**70, -(2**64), {"a": decimal.Decimal("-1.50E+40"), "b": [b"\xff\0", b"plain"]}]
    whole = [*value, uuid.uuid4()]
    result = app.send_task("celeriac.echo", (whole,))
    assert result.get(timeout=30) == whole
    if pickled == "true":
        assert pickle.loads(results.row(result.id)[1]) == whole
    results.sql("INSERT INTO celery_taskmeta (id, task_id, status, result) VALUES (nextval('task_id_sequence'), 'python', 'SUCCESS', %s)",
                pickle.dumps(value))
    body = {**plain("echo"), "options": {"task_id": "body"}}
    broker.push(json.dumps(envelope("celery.chord_unlock", ["g", body], {"result": [[[name, None], None] for name in (result.id, "python")]})[1]))
    assert app.AsyncResult("body").get(timeout=30) == [whole, value]
    broker.wait_settled()
    app.close()


def columns_of(results, task_id):
    names = "status, result, date_done IS NULL, traceback IS NULL, children, name, args, kwargs, retries, queue, stamps"
    return tuple(bytes(value) if isinstance(value, memoryview) else value for value in results.row(task_id, names))


@pytest.mark.parametrize("which", ["newest", pytest.param("debian", marks=pytest.mark.long)])
def test_rows_and_chords_of_both(database_worker, make_python_worker, results, broker, which):
    """The same rows, and chords whose parts, and whose unlocking, are now ours and now Python's."""
    newest = which == "newest"
    make_python_worker(which=which, args=["-Q", "python"], TEST_BACKEND=results.url(which), TEST_EXTENDED="1",
                       TEST_TRACK_STARTED="1")
    database_worker("-Q", "celery,ours", CELERY_RESULT_EXTENDED="1", CELERIAC_RESULT_PICKLE="false" if newest else "true")
    calls = [("celeriac.echo", (VALUE,), {}), ("celeriac.add", (), {"x": 1, "y": 2}), ("celeriac.fail", ("no",), {})]
    requests = [(*call, {"queue": queue, "shadow": None}) for call in calls for queue in ("ours", "python")]
    mixed = chord_of([plain("add", 1, 2, queue="ours"), plain("add", 3, 4, queue="python")], plain("xsum"))
    unlocked = chord_of([plain("add", 1, 2, queue="ours"), plain("add", 5, 4, queue="python")], plain("xsum", queue="python"))
    # a chord that ours sends, and one that Python sends
    sent = [chain(signature("celeriac.add", (1, 1), queue=queue),
                  chord([signature("celeriac.add", (n,), queue=other) for n in range(3)],
                        signature("celeriac.xsum", queue=queue))) for queue, other in (("ours", "python"), ("python", "ours"))]
    answers = Client(which, broker).call(requests, canvases=[mixed, unlocked, *sent], backend=results.url(which))
    assert [answer.get("value") for answer in answers[-4:]] == [10, 12, 9, 9]
    for ours, python in zip(answers[:6:2], answers[1:6:2]):
        left, right = columns_of(results, ours["id"]) if newest else None, columns_of(results, python["id"]) if newest else None
        assert (left[:9] + left[10:] if newest else None) == (right[:9] + right[10:] if newest else None)
        assert {name: ours.get(name) for name in ("state", "value", "error", "message")} == {
            name: python.get(name) for name in ("state", "value", "error", "message")}
    broker.wait_settled()


def test_success_is_never_overwritten(database_worker, results, broker):
    database_worker()
    first, other = envelope("celeriac.echo", ["first"], task_id="twice")[1], envelope("celeriac.fail", ["again"], task_id="twice")[1]
    broker.push(json.dumps(first))
    wait_until(lambda: results.row("twice"), 30, "no row")
    before = results.row("twice", "status, result, date_done")
    assert before[0] == "SUCCESS" and pickle.loads(before[1]) == "first"
    broker.push(json.dumps(other))
    broker.push(json.dumps(envelope("celeriac.fail", ["no"], task_id="fails")[1]))
    broker.wait_settled()
    wait_until(lambda: (results.row("fails") or [""])[0] == "FAILURE", 30, "no failure")
    assert results.row("twice", "status, result, date_done") == before
    broker.push(json.dumps(envelope("celeriac.echo", ["better"], task_id="fails")[1]))  # but a failure is
    wait_until(lambda: results.row("fails")[0] == "SUCCESS", 30, "the failure stays")


def test_outage(make_worker, broker, directory, ended, instance):
    """The database goes away and comes back, once while idle and once with results to write: nothing is lost."""
    path = directory / "results"
    path.mkdir()
    path.chmod(0o755)
    server = Postgres(path)
    ended.append(server)
    server.create()
    results = Results(server)
    worker = make_worker(CELERY_RESULT_BACKEND=results.url())
    broker.send("celeriac.echo", 1)
    broker.wait_settled()
    server.stop()
    wait_until(lambda: worker.readiness().get("backend") == "away", 30, "the outage went unnoticed")
    waiting = [broker.send("celeriac.echo", n) for n in range(50)]
    server.start()
    broker.wait_settled()
    assert [pickle.loads(results.row(task_id)[1]) for task_id in waiting] == list(range(50))
    running = [broker.send("celeriac.sleep", patience(3)) for n in range(2)]
    wait_until(lambda: worker.metric("tasks_active") == 2, 30, "they do not run")
    server.stop()
    wait_until(lambda: worker.readiness().get("backend") == "away", 30, "the outage went unnoticed")
    wait_until(lambda: worker.metric("tasks_succeeded_total") == 53, 30, "they did not end")
    assert broker.unacked()[0] == 2  # a result that is nowhere acknowledges nothing
    server.start()
    broker.wait_settled()
    assert [results.row(task_id)[0] for task_id in running] == ["SUCCESS", "SUCCESS"]
    assert len(worker.log_lines("result backend: .* Trying again")) == 2
    assert "secret" not in worker.log()


def test_old_rows_are_forgotten(database_worker, results, broker):
    database_worker(CELERY_RESULT_EXPIRES="1h")
    kept = broker.send("celeriac.echo", 1)
    broker.wait_settled()
    for name, age in (("old", "61 min"), ("young", "59 min")):
        results.sql("INSERT INTO celery_taskmeta (id, task_id, status, date_done) VALUES "
                    f"(nextval('task_id_sequence'), %s, 'SUCCESS', now() - interval '{age}')", name)
        results.sql("INSERT INTO celery_tasksetmeta (id, taskset_id, date_done) VALUES "
                    f"(nextval('taskset_id_sequence'), %s, now() - interval '{age}')", name)
    broker.send("celery.backend_cleanup")
    broker.wait_settled()
    left = {row[0] for row in results.sql("SELECT task_id FROM celery_taskmeta")}
    assert "old" not in left and {"young", kept} <= left
    assert results.sql("SELECT taskset_id FROM celery_tasksetmeta") == [("young",)]


def test_tables_of_others(database_worker, results, broker):
    """Another name and schema; no sequence but a default; columns of Celery 5.2, and names that need quotes."""
    results.sql('CREATE SCHEMA "my app"')
    results.sql("""CREATE TABLE "my app"."o'meta" (id SERIAL PRIMARY KEY, task_id VARCHAR(155) UNIQUE, status VARCHAR(50),
                   result BYTEA, date_done TIMESTAMP, traceback TEXT)""")
    worker = database_worker(CELERY_DATABASE_TABLE_NAMES='{"task": "o\'meta"}', CELERY_DATABASE_TABLE_SCHEMAS='{"task": "my app"}',
                    CELERY_RESULT_EXTENDED="1")
    task_id = broker.send("celeriac.echo", "x")
    broker.wait_settled()
    assert results.sql('SELECT status FROM "my app"."o\'meta" WHERE task_id = %s', task_id) == [("SUCCESS",)]
    assert results.sql("SELECT to_regclass('celery_taskmeta')") == [(None,)]
    assert worker.log_lines("ERROR") == []


def test_what_others_wrote_is_only_data(database_worker, results, broker, directory):
    """A chord over a result that would run code when it is unpickled, or that is too large: an error, and nothing ran."""
    database_worker()
    broker.send("celeriac.echo", 1)
    broker.wait_settled()
    target = directory / "ran"

    class Evil:
        def __reduce__(self):
            return (open, (str(target), "w"))

    results.sql("INSERT INTO celery_taskmeta (id, task_id, status, result) VALUES (nextval('task_id_sequence'), 'evil', 'SUCCESS', %s)",
                pickle.dumps([1, Evil()]))
    results.sql("INSERT INTO celery_taskmeta (id, task_id, status, result) VALUES (nextval('task_id_sequence'), 'huge', 'SUCCESS',"
                " convert_to('\"' || repeat('x', 64 << 20) || '\"', 'UTF8'))")
    for name in ("evil", "huge"):
        body = {**plain("echo"), "options": {"task_id": f"body-{name}"}}
        broker.push(json.dumps(envelope("celery.chord_unlock", ["g", body], {"result": [[[name, None], None]]})[1]))
        wait_until(lambda: results.row(f"body-{name}"), 30, "the body has no result")
        status, result = results.row(f"body-{name}")
        assert status == "FAILURE" and f"the result of {name} cannot be read" in pickle.loads(result)["exc_message"][0]
    assert not target.exists()
    broker.wait_settled()
