"""What was taken before an outage and cannot begin during it: it waits, and goes back when the worker is stopped meanwhile."""

import json

import pytest

from clients import Broker, envelope
from faulty import FaultyDoor, held_until
from sandboxes import Calls, HELD, container_of, open_gate, wait_said
from services import wait_until


@pytest.fixture
def make_gated(make_worker, headers, directory):
    """A worker with one thread, which is busy until the gate is opened; and the gate."""
    def make(broker, *args, **settings):
        worker = make_worker("-c", "1", "-I", headers.compile("probe"), *args, broker=broker, **{
            "CELERY_TASK_ANNOTATIONS": json.dumps({"probe.wait_for": {"acks_late": True}}), "CELERIAC_GRACE_TIME": "600", **settings})
        broker.push(json.dumps(envelope("probe.wait_for", (str(directory / "gate"),), headers={"ignore_result": True})[1]))
        wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
        return worker, directory / "gate"

    return make


def push(broker, worker, name, redelivered=False, **more):
    task_id, message = envelope(name, task_id="waits", **more)
    if redelivered:
        message["headers"]["redelivered"] = message["properties"]["delivery_info"]["redelivered"] = True
    broker.push(json.dumps(message))
    worker.wait_log(r"\[waits\] received")


def queued(broker):
    """With calls of conversations that no node has any more."""
    return broker.redis.llen("celery") + broker.redis.llen(broker.handed_over)


def began(worker):
    """The first one has ended, and the one that waited has the thread."""
    worker.wait_log(r"probe\.wait_for\[.*\] succeeded")
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it did not begin")


GOES_BACK = r"\[waits\] goes back to its queue"
# How the worker is set, and what it says at its end: of what it has acknowledged, as far as it knows, nothing goes back.
REDIS = {
    "acknowledged before it runs": ({}, r"2 task\(s\) did not end; their messages are restored by the next worker"),
    "delivered before": ({"CELERY_TASK_ACKS_LATE": "1"}, GOES_BACK),
    "asked whether it was done before": ({"CELERY_TASK_ACKS_LATE": "1", "CELERY_WORKER_DEDUPLICATE_SUCCESSFUL_TASKS": "1"}, GOES_BACK),
}


@pytest.mark.parametrize("which", REDIS)
def test_redis(make_redis, instance, make_gated, which):
    server = make_redis(durable=True).start()
    broker = Broker(server.url(), instance)
    settings, says = REDIS[which]
    worker, gate = make_gated(broker, **settings)
    push(broker, worker, "probe.log", args=("it ran",), redelivered=says == GOES_BACK)
    server.kill()
    gate.touch()
    began(worker)
    worker.quit(60)
    assert worker.log_lines(says) and not worker.log_lines("it ran")
    server.start()
    worker.start()
    assert broker.meta("waits")["status"] == "SUCCESS"
    broker.wait_settled()
    assert len(worker.log_lines("it ran")) == 1


DATABASE = {
    "its row": ("sandbox.execute_code", {"conversation_id": "waits", "code": "print('ran')"}),
    "its tool": ("tools.call", {"name": "mcp_nobody_nothing", "params": {}, "conversation_id": "waits"}),
}


@pytest.mark.docker
@pytest.mark.parametrize("which", DATABASE)
def test_the_database(make_postgres, broker, make_gated, which):
    database = make_postgres()
    name, kwargs = DATABASE[which]
    worker, gate = make_gated(broker, DATABASE_URL=database.url())
    push(broker, worker, name, kwargs=kwargs)
    database.kill()
    gate.touch()
    began(worker)
    assert worker.quit(60) == 0
    assert worker.log_lines(GOES_BACK)
    assert queued(broker) == 1 and broker.unacked() == (0, 0)


@pytest.mark.docker
def test_a_row_that_waited_for_the_database(make_postgres, broker, make_gated):
    """It is back before anybody stops the worker: the call runs."""
    database = make_postgres()
    worker, gate = make_gated(broker, DATABASE_URL=database.url())
    push(broker, worker, *DATABASE["its row"][:1], kwargs=DATABASE["its row"][1])
    database.kill()
    gate.touch()
    worker.wait_log(r"\[waits\]: the database is away, waiting")
    database.start()
    assert broker.meta("waits", 60)["result"]["stdout"] == "ran\n"


@pytest.mark.docker
def test_a_result_that_the_database_refuses(make_postgres, broker, make_full_worker, app):
    """By its form, so that it would be refused again: a failure, and not a call that waits for ever."""
    database = make_postgres()
    database.sql("ALTER TABLE celeriac.tool_results ALTER COLUMN error TYPE varchar(1), ALTER COLUMN stdout TYPE varchar(1)")
    make_full_worker(DATABASE_URL=database.url())
    result = Calls(app, database).send("print('ran')")
    with pytest.raises(Exception, match="too long"):
        result.get(timeout=60)
    assert type(result.result).__name__ == "StoreError"
    broker.wait_settled()


@pytest.mark.docker
def test_a_result_without_its_row(make_postgres, broker, make_full_worker, app, instance):
    """The code ran, and nobody can be told: another worker has its message."""
    database = make_postgres()
    worker = make_full_worker("-c", "1", DATABASE_URL=database.url())
    result = Calls(app, database).send(HELD, "held")
    wait_said(broker, result.id, "begun")
    database.kill()
    open_gate(container_of(instance, "held"))
    worker.wait_log(r"the database is away, waiting")
    assert worker.quit(60) == 0
    assert queued(broker) == 1 and broker.unacked() == (0, 0) and result.state == "PENDING"


@pytest.mark.docker
def test_a_quota(make_redis, broker, postgres, make_gated):
    """Nobody counts how much its project has had."""
    shared = make_redis().start()
    postgres.sql("INSERT INTO celeriac.project_quotas (project_id, calls_per_minute) VALUES ('given-back', 5)")
    try:
        worker, gate = make_gated(broker, DATABASE_URL=postgres.url(), CELERIAC_STATE_URL=shared.url())
        push(broker, worker, "tools.call_http", kwargs={"tool": "nothing", "project_id": "given-back"})
        shared.kill()
        gate.touch()
        began(worker)
        assert worker.quit(60) == 0
    finally:
        postgres.sql("DELETE FROM celeriac.project_quotas")
    assert worker.log_lines(GOES_BACK)
    assert broker.redis.llen("celery") == 1 and broker.unacked() == (0, 0)


def test_the_parts_of_a_chord(make_redis, broker, make_gated, directory):
    """They cannot be counted, and were acknowledged early: they are lost, and it is said."""
    results = make_redis().start()
    chord = {"callbacks": None, "errbacks": None, "chain": None, "chord": {"task": "celeriac.echo", "args": [], "kwargs": {}, "options": {}}}
    worker, gate = make_gated(broker, "-c", "3", CELERY_RESULT_BACKEND=results.url(),
                              CELERY_TASK_ANNOTATIONS="{}")
    wrong = {**chord, "callbacks": 5}
    late = str(directory / "gate")
    for task_id, embed in (("early", chord), ("wrong", wrong)):
        message = envelope("probe.wait_for", task_id=task_id, headers={"group": "g"}, body=json.dumps([[late], {}, embed]))[1]
        broker.push(json.dumps(message))
    started = [f"celery-task-meta-{task_id}" for task_id in ("early", "wrong")]
    wait_until(lambda: results.client().exists(*started) == 2 and broker.unacked() == (0, 0), 30, "they are not acknowledged")
    results.kill()
    gate.touch()
    worker.wait_log(r"\[wrong\] succeeded")
    worker.wait_log(r"\[early\] succeeded")
    assert worker.quit(60) == 0
    for task_id in ("early", "wrong"):
        assert worker.log_lines(rf"\[{task_id}\] is lost: it was acknowledged before it ran")


def test_the_last_part_of_a_chord_that_is_counted_late(make_redis, broker, make_worker, headers, directory, ended):
    """Results are away for longer than one answer of theirs is waited for: it is counted when they are back, once, and the body runs."""
    results = make_redis().start()
    door = FaultyDoor(("127.0.0.1", results.port)).open()
    ended.append(door)
    # the connection itself is not given up meanwhile: what is asked anew is not what it says again
    worker = make_worker("-I", headers.compile("probe"), CELERY_RESULT_BACKEND=f"redis://127.0.0.1:{door.port}/0", CELERY_REDIS_SOCKET_TIMEOUT="600")
    inside, gate = results.client(), directory / "gate"
    inside.set("celery-taskset-meta-g.s", 1)
    embed = {"callbacks": None, "errbacks": None, "chain": None,
             "chord": {"task": "celeriac.echo", "args": [], "kwargs": {}, "options": {"task_id": "body"}}}
    broker.push(json.dumps(envelope("probe.wait_for", task_id="late", headers={"group": "g"}, body=json.dumps([[str(gate)], {}, embed]))[1]))
    wait_until(lambda: inside.exists("celery-task-meta-late") and broker.unacked() == (0, 0), 30, "it is not acknowledged")
    door.begin(held_until(b"celeriac:late", 2))
    gate.touch()
    meta = wait_until(lambda: inside.get("celery-task-meta-body"), 60, worker.log)
    assert (json.loads(meta)["status"], json.loads(meta)["result"]) == ("SUCCESS", [1])
    broker.wait_settled()
    wait_until(lambda: json.loads(inside.get("celery-task-meta-late"))["status"] == "SUCCESS", 30, "its own result is lost")
    assert len(worker.log_lines(r"\[body\] received")) == 1
