"""Disks that are full, of Redis, PostgreSQL, the media directory or the engine: said, nothing lost, and on within seconds of room."""

import json
import time

import pytest
import redis

import engines
from clients import Broker
from full import Small, program_under
from namespaces import may_have_one
from services import Postgres, Redis, patience, wait_until
from worker import PROGRAM, created_postgres

RECOVERY = 5  # seconds after there is room again

pytestmark = pytest.mark.skipif(not may_have_one(), reason="file systems of our own take root")


@pytest.fixture
def small(directory, ended):
    def make(mebibytes):
        made = Small(directory, mebibytes)
        ended.insert(0, made)  # it goes after those that are in it
        return made.start()

    return make


def results(broker, sent, seconds=30):
    return [(meta["status"], meta["result"]) for meta in (broker.meta(task_id, seconds) for task_id in sent)]


def fill_append_file(disk, broker):
    """Until Redis takes nothing more; the number of messages that it took meanwhile."""
    disk.fill()
    sent = []

    def refused():
        try:
            sent.append(broker.send("celeriac.echo", "x" * 1000))
        except redis.ResponseError as error:
            assert "MISCONF" in str(error)
            return True
        except redis.ConnectionError:
            return True
        return False

    wait_until(refused, 30, "Redis takes messages without a disk")
    return sent


@pytest.fixture
def full_redis(small, directory, instance, ended):
    """(its disk, the server, the broker): Redis whose append-only file has a disk of its own."""
    def make(**options):
        disk = small(48)
        server = Redis(directory, **options)
        server.place = disk.place
        server.options += ["--appendonly", "yes", "--dir", disk.path]
        ended.append(server)
        return disk, server, Broker(server.start().url(), instance)

    return make


@pytest.fixture
def make_busy(make_worker, headers, directory):
    """A worker whose two threads are busy until the gate is opened; what they run, and the gate."""
    def make(broker):
        gate = directory / "gate"
        worker = make_worker("-c", "2", "-I", headers.compile("probe"), broker=broker,
                             CELERY_TASK_ANNOTATIONS=json.dumps({"probe.wait_for": {"acks_late": True}}))
        held = [broker.send("probe.wait_for", str(gate)) for _ in range(2)]
        wait_until(lambda: worker.metric("tasks_active") == 2, 20, "it was not busy")
        return worker, held, gate

    return make


def test_the_append_file_of_redis(full_redis, make_busy):
    """Redis refuses all writes: what ends meanwhile keeps its result, nothing is claimed, and all that Redis took is done."""
    disk, _, broker = full_redis()
    worker, held, gate = make_busy(broker)
    quick = fill_append_file(disk, broker)
    worker.wait_log("MISCONF.*[Nn]o space left on device")
    wait_until(lambda: worker.http("/readyz")[0] == 503, 20, "/readyz does not say so")
    gate.touch()
    wait_until(lambda: worker.metric("tasks_succeeded_total") >= 2, 30, "they did not end")
    worker.wait_log("celeriac-broker: .*MISCONF.*; trying again until it works")
    assert broker.redis.get(f"celery-task-meta-{held[0]}") is None
    disk.free()
    back = time.monotonic()
    worker.wait_ready()
    assert results(broker, held) == [("SUCCESS", 1)] * 2
    assert results(broker, quick) == [("SUCCESS", "x" * 1000)] * len(quick)
    assert time.monotonic() - back < patience(RECOVERY + 1)  # it looks at its disk once a second
    broker.wait_settled()
    assert worker.metric("tasks_succeeded_total") == 2 + len(quick), "something was run again"
    assert len(worker.log_lines("MISCONF")) <= 4, "it is said again and again"


@pytest.mark.long
def test_an_append_file_that_must_be_written(full_redis, make_busy):
    """With every answer on disk Redis ends when it has none: that is an outage."""
    disk, server, broker = full_redis(durable=True)
    worker, held, gate = make_busy(broker)
    quick = fill_append_file(disk, broker)
    server.wait_end()
    wait_until(lambda: worker.readiness().get("broker") == "away", 20, "the outage went unnoticed")
    gate.touch()
    disk.free()
    server.start()
    back = time.monotonic()
    worker.wait_ready()
    assert time.monotonic() - back < patience(RECOVERY)
    assert results(broker, held) == [("SUCCESS", 1)] * 2
    assert results(broker, quick) == [("SUCCESS", "x" * 1000)] * len(quick)
    broker.wait_settled()


@pytest.mark.docker
def test_the_disk_of_postgres(small, directory, make_full_worker, calls, app, ended):
    """Rows that have no room are written when there is some; what runs meanwhile is not run again."""
    disk = small(160)
    database = Postgres(directory, ["--wal-segsize=1"])
    database.data = disk.path / "data"
    database.place = disk.place
    created_postgres(directory, database)
    ended.append(database)
    calls.postgres = database
    worker = make_full_worker("-c", "2", DATABASE_URL=database.url())
    assert calls.run("print(1)", "c")["status"] == "ok"
    disk.fill()
    # files and output take pages that there are not
    code = "import os\nfor n in range(4): open(f'/sandbox/output/{n}', 'wb').write(os.urandom(4 << 20))\nprint('ran')"
    result = calls.send(code, "c")
    worker.wait_log("[Nn]o space left on device|could not extend file|not usable", 60)
    assert not result.ready()
    disk.free()

    def answers():
        """It may have ended, or be about to: it could not write ahead."""
        if not database.alive():
            database.start()
        return database.sql("SELECT 1")

    wait_until(answers, 60, database.log.read_text)
    back = time.monotonic()
    worker.wait_ready()
    value = result.get(timeout=60)
    took = time.monotonic() - back
    assert (value["status"], value["stdout"], len(value["files"])) == ("ok", "ran\n", 4)
    assert took < patience(RECOVERY), f"{took:.1f} s after there was room"
    assert calls.row(result.id, "state", "attempt") == ("finished", 1)
    sizes = database.sql("SELECT length(content) FROM celeriac.conversation_outputs WHERE task_id = %s", result.id)
    assert sizes == [(4 << 20,)] * 4


@pytest.mark.docker
def test_the_media_directory(small, directory, make_full_worker, calls, app):
    """A run whose files have no room waits with them; others go on."""
    disk = small(24)
    disk.inside("media").mkdir()
    worker = make_full_worker("-c", "2", program=program_under(directory, disk.place, PROGRAM), MEDIA_DIR=disk.path / "media")
    assert calls.run("print(1)", "c")["status"] == "ok"
    disk.fill()
    result = calls.send("open('/sandbox/output/f', 'wb').write(b'f' * (4 << 20))", "c")
    worker.wait_log("MEDIA_DIR: cannot write .*No space left on device")
    assert calls.run("print(2)")["stdout"] == "2\n"
    assert app.send_task("celeriac.echo", (3,)).get(timeout=60) == 3
    assert not result.ready()
    disk.free()
    back = time.monotonic()
    assert [(file["name"], file["size"]) for file in result.get(timeout=60)["files"]] == [("f", 4 << 20)]
    assert time.monotonic() - back < patience(RECOVERY)
    assert len(worker.log_lines("MEDIA_DIR: ")) <= 3, "it is said again and again"
    kept = [path for path in disk.inside("media").rglob("*") if path.is_file()]
    assert [path.stat().st_size for path in kept] == [4 << 20], "parts of files stay"
    assert calls.row(result.id, "state", "attempt") == ("finished", 1)


@pytest.mark.docker
@pytest.mark.long
def test_the_disk_of_the_engine(small, make_full_worker, calls):
    """A Docker daemon whose images and containers have a small disk: no container can be made until there is room."""
    disk = small(1600)
    engine = engines.Another()
    engine.place = disk.place
    engine.data = disk.path / "data"
    try:
        engine.start()
        worker = make_full_worker("-c", "2", **engine.settings)
        assert calls.run("print(1)", "before")["status"] == "ok"
        disk.fill()
        result = calls.send("print(2)", "new")
        worker.wait_log("no space left on device", 60)
        assert calls.run("print(3)", "before")["stdout"] == "3\n", "those that are there go on"
        assert not result.ready()
        disk.free()
        back = time.monotonic()
        assert result.get(timeout=60)["stdout"] == "2\n"
        assert time.monotonic() - back < patience(RECOVERY)
        assert calls.row(result.id, "state", "attempt") == ("finished", 1)
        assert len(worker.log_lines("no space left on device")) <= 4, "it is said again and again"
    finally:
        engine.stop()
