"""A run whose worker died, or was believed to be dead, is another worker's."""

import signal
import uuid

import pytest

from sandboxes import containers, wait_running
from test_sandbox_life import COUNT

pytestmark = pytest.mark.docker


@pytest.fixture
def conversation():
    return f"c-{uuid.uuid4()}"


def test_another_worker_takes_over_a_run(make_full_worker, calls, instance, conversation):
    """Nobody of the dead worker's name comes back: the others notice, and one has the run's end."""
    first = make_full_worker()
    kept = calls.run(COUNT, conversation)
    result = calls.send("import time\ntime.sleep(4)\n" + COUNT, conversation)
    wait_running(instance)
    second = make_full_worker()
    first.kill()
    after = calls.send(COUNT, conversation)
    value = result.get(timeout=90)
    assert value["status"] == "ok" and calls.row(result.id, "state", "attempt", "worker") == ("finished", 1, second.node)
    assert value["stdout"] == "1\n"
    assert after.get(timeout=60)["stdout"] == "2\n"
    assert len(containers(instance)) == 1 and kept["sandbox"]


def test_a_worker_that_slept_through_its_lease(make_full_worker, calls, broker, instance, conversation):
    """Stopped in the middle of a run and believed dead, it wakes up after another has told the run's end: its own word is dropped."""
    first = make_full_worker()
    result = calls.send("import time\ntime.sleep(3)\nprint('done')", conversation)
    wait_running(instance)
    first.process.send_signal(signal.SIGSTOP)
    second = make_full_worker()
    value = result.get(timeout=90)
    assert value["stdout"] == "done\n"
    row = calls.row(result.id, "state", "attempt", "worker", "result", "finished_at")
    assert row[:4] == ("finished", 1, second.node, value)
    first.process.send_signal(signal.SIGCONT)
    first.wait_log("this result is dropped|ran before|goes back|SandboxError", 60)
    broker.wait_settled()
    assert calls.row(result.id, "state", "attempt", "worker", "result", "finished_at") == row
    assert broker.meta(result.id)["result"] == value
    for worker in (first, second):
        assert worker.http("/healthz")[0] == 200
    assert calls.run("print('again')", conversation)["stdout"] == "again\n"
