"""A run whose worker died, or was believed to be dead, is another worker's."""

import signal
import uuid

import pytest

from sandboxes import HELD, container_of, containers, open_gate, wait_said
from services import ROOT, wait_until
from test_sandbox_life import COUNT

pytestmark = pytest.mark.docker


@pytest.fixture
def conversation():
    return f"c-{uuid.uuid4()}"


def test_another_worker_takes_over_a_run(make_full_worker, calls, broker, instance, conversation):
    """Nobody of the dead worker's name comes back: the others notice, and one has the run's end."""
    first = make_full_worker()
    kept = calls.run(COUNT, conversation)
    result = calls.send(HELD + COUNT, conversation)
    wait_said(broker, result.id, "begun")
    second = make_full_worker()
    first.kill()
    open_gate(kept["sandbox"])
    after = calls.send(COUNT, conversation)
    value = result.get(timeout=90)
    assert value["status"] == "ok" and calls.row(result.id, "state", "attempt", "worker") == ("finished", 1, second.node)
    assert value["stdout"] == "begun\n1\n"
    assert after.get(timeout=60)["stdout"] == "2\n"
    assert containers(instance) == [kept["sandbox"]]


@pytest.mark.long
def test_a_newer_worker_uses_what_an_older_one_left(make_full_worker, calls, broker, instance, conversation):
    """The agent in there is one version behind: a run that is going is followed to its end, and all else is as ever."""
    first = make_full_worker(program=ROOT / "build/behind/celeriac-worker")
    kept = calls.run(COUNT, conversation)
    result = calls.send(HELD + "open('/sandbox/output/late.txt', 'w').write('late')\n" + COUNT, conversation)
    wait_said(broker, result.id, "begun")
    second = make_full_worker()
    first.kill()
    open_gate(kept["sandbox"])
    value = result.get(timeout=90)
    assert (value["status"], value["stdout"], [file["name"] for file in value["files"]]) == ("ok", "begun\n1\n", ["late.txt"]), value
    assert calls.row(result.id, "attempt", "worker") == (1, second.node)

    def run(code, status="ok", **kwargs):
        value = calls.run(code, conversation, **kwargs)
        assert (value["status"], value["sandbox"]) == (status, kept["sandbox"]), value
        return value

    run("x = 41", stateful=True)
    assert run("print(x + 1)", stateful=True)["stdout"] == "42\n"
    assert run("print(input())", stdin="given\n")["stdout"] == "given\n"
    assert run("import os\nopen('/sandbox/output/new.txt', 'w').close()")["files"][0]["name"] == "new.txt"
    assert run("import time\nprint('early', flush=True)\ntime.sleep(600)", "timeout", timeout=5)["stdout"] == "early\n"
    assert run("import sys\nsys.exit(3)", "error")["exit_code"] == 3
    assert calls.call("reset_output", conversation_id=conversation) == {"removed": 2}
    assert containers(instance) == [kept["sandbox"]]
    assert calls.call("close", conversation_id=conversation) == {"removed": True}


def test_a_worker_that_slept_through_its_lease(make_full_worker, calls, broker, instance, conversation):
    """Stopped in the middle of a run and believed dead, it wakes up after another has told the run's end: its own word is dropped."""
    first = make_full_worker()
    result = calls.send(HELD + "print('done')", conversation)
    wait_said(broker, result.id, "begun")
    first.process.send_signal(signal.SIGSTOP)
    open_gate(container_of(instance, conversation))
    second = make_full_worker()
    value = result.get(timeout=90)
    assert value["stdout"] == "begun\ndone\n"
    row = calls.row(result.id, "state", "attempt", "worker", "result", "finished_at")
    assert row[:4] == ("finished", 1, second.node, value)
    first.process.send_signal(signal.SIGCONT)
    first.wait_log("this result is dropped|ran before|goes back|SandboxError", 60)
    broker.wait_settled()
    assert calls.row(result.id, "state", "attempt", "worker", "result", "finished_at") == row
    assert broker.meta(result.id)["result"] == value
    for worker in (first, second):
        wait_until(lambda: worker.http("/healthz")[0] == 200, 30, worker.log)
    assert calls.run("print('again')", conversation)["stdout"] == "again\n"


def running_row(postgres, task_id, conversation, worker, epoch):
    postgres.sql("INSERT INTO celeriac.tool_results (task_id, kind, tool, conversation_id, worker, epoch) "
                 "VALUES (%s, 'sandbox', 'sandbox.execute_code', %s, %s, %s)", task_id, conversation, worker, epoch)


def epoch_of(broker, worker):
    return int(broker.redis.get(f"celeriac:{broker.instance}:node:{worker.node}").split()[0])


def test_what_another_runs_is_set_aside(make_full_worker, app, broker, postgres):
    """Its row is one of a worker that lives; revoked, it does not wait for the next look."""
    ours, other = make_full_worker("-c", "1", "-Q", "celery"), make_full_worker("-c", "1", "-Q", "other")
    task_id = f"aside-{uuid.uuid4()}"
    running_row(postgres, task_id, "aside", other.node, epoch_of(broker, other))
    app.send_task("sandbox.execute_code", kwargs={"conversation_id": "aside", "code": "print(1)"}, task_id=task_id)
    ours.wait_log(rf"\[{task_id}\] received")
    wait_until(lambda: ours.metric("tasks_active") == 0, 30, "it is not set aside")
    assert app.send_task("celeriac.echo", (1,)).get(timeout=30) == 1, "it takes the only thread"
    broker.wait_listening(2)
    app.control.revoke(task_id)
    assert broker.meta(task_id)["status"] == "REVOKED"
    broker.wait_settled()
    assert postgres.sql("SELECT state, worker FROM celeriac.tool_results WHERE task_id = %s", task_id) == [("running", other.node)]


def test_a_row_of_ours_that_nobody_runs(make_full_worker, app, broker, postgres):
    worker = make_full_worker("-c", "1")
    task_id = f"ours-{uuid.uuid4()}"
    running_row(postgres, task_id, "ours", worker.node, epoch_of(broker, worker))
    result = app.send_task("sandbox.execute_code", kwargs={"conversation_id": "ours", "code": "print(1)"}, task_id=task_id)
    assert result.get(timeout=60)["stdout"] == "1\n"
    worker.wait_log(rf"\[{task_id}\]: its worker {worker.node} died in attempt 1, taken over")


def test_terminated_when_another_has_it(make_full_worker, calls, app, broker, postgres):
    """The row is not ours any more: what is told of the task is the other's to say."""
    worker = make_full_worker()
    result = calls.send(HELD, "lost")
    wait_said(broker, result.id, "begun")
    postgres.sql("UPDATE celeriac.tool_results SET worker = 'another', epoch = 1 WHERE task_id = %s", result.id)
    broker.wait_listening()
    app.control.revoke(result.id, terminate=True)
    worker.wait_log(rf"\[{result.id}\]: another worker has taken it over, this result is dropped")
    broker.wait_settled()
    assert not broker.redis.exists(f"celery-task-meta-{result.id}")
