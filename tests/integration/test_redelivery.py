"""Messages that come again: what kills whoever runs it comes to an end, and what is innocent does not."""

import base64
import hashlib
import json
import signal
import subprocess
import sys

import pytest
from billiard.exceptions import WorkerLostError

from clients import envelope
from services import wait_until
from test_crash import RESTORE
from worker import PROGRAM

LIMIT = {"CELERIAC_REDELIVERY_LIMIT": "2"}


def redelivered(message):
    """As kombu's sweeper marks it."""
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
    return json.dumps(message)


def wait_active(worker, count=1):
    wait_until(lambda: worker.metric("tasks_active") == count, 30, "it did not begin")


def wait_begun(broker, worker, task_id, times):
    """It runs, and has been begun so often when it came again: a worker that is killed a moment before has not lost it."""
    wait_until(lambda: worker.metric("tasks_active") == 1 and broker.redis.scard(f"celeriac:begun:{task_id}") == times, 30,
               lambda: f"begun {broker.redis.scard(f'celeriac:begun:{task_id}')} times, not {times}")


def begun(broker):
    return broker.redis.keys("celeriac:begun:*")


def test_what_kills_every_worker_ends_as_worker_lost(make_worker, app, broker):
    """Run once, delivered again twice; the third time it is buried. What was only held beside it is not."""
    worker = make_worker("-c", "1", **LIMIT)
    told = app.signature("celeriac.echo", task_id="told")
    poison = app.send_task("celeriac.sleep", (600,), link_error=told)
    beside = [app.send_task("celeriac.echo", (n,)) for n in range(3)]
    for times in range(3):
        wait_begun(broker, worker, poison.id, times)
        worker.kill()
        worker.start()
    with pytest.raises(WorkerLostError, match="delivered again more than 2 time"):
        poison.get(timeout=30)
    assert [result.get(timeout=30) for result in beside] == [0, 1, 2]
    assert broker.meta("told")["result"] == poison.id, "its errback was not told"
    broker.wait_settled()
    ((said, message),) = broker.dead()
    assert said["queue"] == "celery" and said["reason"].startswith("WorkerLostError: ")
    assert json.loads(message)["headers"]["id"] == poison.id
    assert json.loads(base64.b64decode(json.loads(message)["body"]))[0] == [600]
    assert begun(broker) == []


def taken(broker):
    return broker.redis.keys("celeriac:taken:*")


@pytest.mark.skipif(PROGRAM.parent.name != "build", reason="a sanitizer's memory cannot be limited")
def test_what_nobody_lives_to_read(make_worker, app, broker, directory):
    """It needs more memory than there is: taken once, delivered again twice, then buried unread."""
    limited = directory / "worker"
    limited.write_text(f'#!/bin/sh\nulimit -v 98000\nexec {PROGRAM} "$@"\n')
    limited.chmod(0o755)
    worker = make_worker("-c", "1", start=False, MALLOC_ARENA_MAX="1", **LIMIT)
    worker.program = limited
    _, poison = envelope("celeriac.echo", ("x" * (12 << 20),))
    broker.push(json.dumps(poison))
    beside = [app.send_task("celeriac.echo", (n,)) for n in range(3)]
    for _ in range(3):
        worker.spawn()
        wait_until(lambda: not worker.alive(), 60, "it lives")
    worker.start()
    assert [result.get(timeout=30) for result in beside] == [0, 1, 2]
    broker.wait_settled()
    ((said, message),) = broker.dead()
    assert "nobody lived to read it" in said["reason"] and json.loads(message)["body"] == poison["body"]
    wait_until(lambda: worker.log_lines("CRITICAL.*1 message.* moved to celeriac:dead"), 30, "it is not said")
    # forgotten by who has read it, while another runs it
    wait_until(lambda: taken(broker) == [], 30, "it is still counted")


def test_what_is_read_is_not_counted(make_worker, app, broker):
    """However often it comes again; and what others left unread is taken alone."""
    worker = make_worker("-c", "1", **LIMIT)
    for _ in range(4):
        task_id, message = envelope("celeriac.echo", (1,), task_id="again")
        broker.push(redelivered(message))
        broker.wait_settled()
    suspects = [redelivered(envelope("celeriac.echo", (n,))[1]) for n in range(5)]
    for message in suspects:
        broker.redis.set("celeriac:taken:" + hashlib.sha1(message.encode()).hexdigest(), 1)
    worker.process.send_signal(signal.SIGSTOP)
    for message in suspects:
        broker.push(message)
    worker.process.send_signal(signal.SIGCONT)
    for message in suspects:
        assert broker.meta(json.loads(message)["headers"]["id"])["status"] == "SUCCESS"
    broker.wait_settled()
    wait_until(lambda: taken(broker) == [], 30, "it is still counted")
    assert broker.dead() == []


def test_a_python_worker_calls_it_the_same(make_python_worker, app):
    make_python_worker()
    with pytest.raises(WorkerLostError, match="Worker exited prematurely"):
        app.send_task("python.die").get(timeout=60)


def test_what_a_python_sweeper_restores_counts(make_worker, app, broker):
    worker = make_worker("-c", "1", **LIMIT)
    poison = app.send_task("celeriac.sleep", (600,))
    for times in range(3):
        wait_begun(broker, worker, poison.id, times)
        worker.kill()
        broker.wait_forgotten()
        subprocess.run([sys.executable, "-c", RESTORE, broker.url], check=True, timeout=60)
        assert broker.unacked() == (0, 0)
        worker.start()
    with pytest.raises(WorkerLostError):
        poison.get(timeout=30)
    assert len(broker.dead()) == 1 and begun(broker) == []


@pytest.mark.parametrize("how", ["term", "quit"])
def test_what_goes_back_does_not_count(make_worker, app, broker, how):
    """Given back at the end of a worker as often as one likes, also after it was lost once."""
    worker = make_worker("-c", "1", CELERIAC_REDELIVERY_LIMIT="1", CELERIAC_GRACE_TIME="0")
    result = app.send_task("celeriac.sleep", (600,))
    wait_begun(broker, worker, result.id, 0)
    worker.kill()
    worker.start()
    for _ in range(3):
        wait_active(worker)
        getattr(worker, how)()
        assert broker.redis.llen("celery") == 1 and begun(broker) == []
        worker.start()
    wait_active(worker)
    wait_until(lambda: broker.redis.scard(f"celeriac:begun:{result.id}") == 1, 30, lambda: f"{begun(broker)}")
    broker.wait_listening()
    app.control.revoke(result.id, terminate=True)
    broker.wait_settled()
    assert broker.meta(result.id)["status"] == "REVOKED" and begun(broker) == [] and broker.dead() == []


def test_held_for_its_time_is_not_run(make_worker, app, broker):
    worker = make_worker("-c", "1", CELERIAC_REDELIVERY_LIMIT="1")
    result = app.send_task("celeriac.echo", (1,), countdown=600)
    for times in range(5):
        if times > 0:
            worker.restart()
        # what a dead worker holds looks the same: this one must have read it
        worker.wait_log(f"{result.id}.*received", count=times + 1)
        wait_until(lambda: broker.unacked() == (1, 1) and taken(broker) == [], 30, "it is not held")
    assert broker.dead() == [] and begun(broker) == []
    assert result.state == "PENDING"


def test_no_limit(make_worker, app, broker):
    worker = make_worker("-c", "1", CELERIAC_REDELIVERY_LIMIT="0")
    app.send_task("celeriac.sleep", (600,))
    for _ in range(4):
        wait_active(worker)
        worker.kill()
        worker.start()
    wait_active(worker)
    assert broker.dead() == []


@pytest.mark.docker
def test_a_row_tells_of_it_too(make_full_worker, app, broker, postgres):
    worker = make_full_worker("-c", "1", CELERIAC_REDELIVERY_LIMIT="1")
    task_id, message = envelope("sandbox.execute_code", kwargs={"conversation_id": "buried", "code": "print(1)"})
    broker.redis.sadd(f"celeriac:begun:{task_id}", "some", "others")  # died with it
    broker.push(redelivered(message))
    meta = broker.meta(task_id)
    assert (meta["status"], meta["result"]["exc_type"]) == ("FAILURE", "WorkerLostError")
    ((state, error),) = postgres.sql("SELECT state, error FROM celeriac.tool_results WHERE task_id = %s", task_id)
    assert state == "failed" and "Worker exited prematurely" in error
    wait_until(lambda: len(broker.dead()) == 1 and worker.metric("tasks_failed_total") == 1, 30, worker.log)


class TestDeduplication:
    """The same expectations of both kinds of worker."""

    @pytest.fixture(params=["ours", "python"])
    def start(self, request, make_worker, make_python_worker):
        def start(on):
            if request.param == "ours":
                return make_worker(CELERY_WORKER_DEDUPLICATE_SUCCESSFUL_TASKS=on)
            return make_python_worker(TEST_DEDUPLICATE=on)

        return start

    def again(self, broker, status, chain=None, children=()):
        task_id, message = envelope(
            "celeriac.add", body=json.dumps([[1, 1], {}, {"callbacks": None, "errbacks": None, "chain": chain, "chord": None}]))
        lost = {"exc_type": "WorkerLostError", "exc_message": ["lost"], "exc_module": "billiard.exceptions"}
        meta = {"status": status, "result": lost if status == "FAILURE" else 77, "traceback": None, "children": list(children),
                "date_done": None, "task_id": task_id}
        broker.redis.set(f"celery-task-meta-{task_id}", json.dumps(meta))
        broker.push(redelivered(message))
        return task_id

    def test_is_not_run_again(self, start, broker):
        worker = start("1")
        task_id = self.again(broker, "SUCCESS")
        wait_until(lambda: "Task already completed successfully" in worker.log(), 30, worker.log)
        broker.wait_settled()
        assert broker.meta(task_id)["result"] == 77

    def test_other_states_are(self, start, broker):
        start("1")
        for state in ("FAILURE", "STARTED"):
            task_id = self.again(broker, state)
            wait_until(lambda: broker.meta(task_id)["result"] == 2, 30, "it was not run")

    def test_follow_ups_that_nobody_tells_of_go_out(self, start, broker):
        start("1")
        chain = [{"task": "celeriac.add", "args": [1], "kwargs": {}, "options": {"task_id": "next"}, "subtask_type": None,
                  "immutable": False}]
        self.again(broker, "SUCCESS", chain=chain)
        assert broker.meta("next")["result"] == 78

    def test_follow_ups_that_went_out_do_not(self, start, broker):
        worker = start("1")
        chain = [{"task": "celeriac.add", "args": [1], "kwargs": {}, "options": {"task_id": "next"}, "subtask_type": None,
                  "immutable": False}]
        self.again(broker, "SUCCESS", chain=chain, children=[[["next", None], None]])
        wait_until(lambda: "Task already completed successfully" in worker.log(), 30, worker.log)
        broker.wait_settled()
        assert not broker.redis.exists("celery-task-meta-next")

    def test_off(self, start, broker):
        worker = start("0")
        self.again(broker, "SUCCESS")
        wait_until(lambda: "succeeded in" in worker.log(), 30, worker.log)


def test_the_dead_make_room(make_worker, app, broker):
    for n in range(20):
        broker.redis.lpush("celeriac:dead", f"old {n}")
    worker = make_worker("-c", "1", CELERIAC_DEAD_MAX="5")
    wait_until(lambda: broker.redis.llen("celeriac:dead") == 5, 30, "the oldest are still there")
    assert broker.redis.lrange("celeriac:dead", 0, -1) == [f"old {n}".encode() for n in range(19, 14, -1)]
    worker.wait_log("ERROR.*celeriac:dead is full: the 15 oldest")
    wait_until(lambda: worker.metric("messages_forgotten_total") == 15, 30, "not counted")


def test_redelivered_cannot_be_hidden(make_worker, app, broker):
    """A message whose own words contradict it: the limit holds all the same."""
    worker = make_worker("-c", "1", **LIMIT)
    task_id, message = envelope("celeriac.sleep", (600,), headers={"delivery_info": {}, "redelivered": False})
    broker.push(json.dumps(message)[:-1] + ', "redelivered": false}')
    for times in range(3):
        wait_begun(broker, worker, task_id, times)
        worker.kill()
        worker.start()
    assert broker.meta(task_id)["result"]["exc_type"] == "WorkerLostError"
    broker.wait_settled()
    assert len(broker.dead()) == 1


def test_what_others_took_before_it_began(make_worker, app, broker, headers, directory):
    """It waits for a thread, and a sweeper believes that its worker is dead: it is left to whoever has it now."""
    worker, gate = make_worker("-c", "1", "-I", headers.compile("probe"), **LIMIT), directory / "gate"
    app.send_task("probe.wait_for", (str(gate),), task_id="first")
    wait_active(worker)
    _, message = envelope("celeriac.echo", (1,), task_id="taken")
    broker.push(redelivered(message))
    worker.wait_log(r"\[taken\] received")
    for tag, record in broker.redis.hgetall("unacked").items():
        if json.loads(record)[0]["headers"]["id"] == "taken":
            broker.redis.hdel("unacked", tag)
            broker.redis.zrem("unacked_index", tag)
    gate.touch()
    worker.wait_log(r"\[taken\] was taken from us before it began: left to others")
    broker.wait_settled()
    assert not broker.redis.exists("celery-task-meta-taken")
