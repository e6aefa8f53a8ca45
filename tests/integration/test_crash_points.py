"""A worker killed between any two steps of a container's life: its successor ends the task, and nothing is left behind.

The points are those of the source (tests/fault-points); `POINTS` says how each is come to, and a point without a row fails.
"""

import os
import subprocess
import time
import uuid

import pytest

from sandboxes import containers, docker, wait_said
from services import ROOT, wait_until
from test_mcp import managed, servers  # noqa: F401

pytestmark = pytest.mark.docker
PROGRAM = ROOT / "build/fault/celeriac-worker"
PATIENCE = {"SANDBOX_ADOPT_GRACE": "1", "SANDBOX_IDLE_TIMEOUT": "600", "MCP_NETWORK": "none"}


class Case:
    """A worker that is going to be killed, its successor, and what they are asked."""

    def __init__(self, point, make_full_worker, calls, broker, request):
        self.make, self.calls, self.broker, self.request = make_full_worker, calls, broker, request
        self.node, self.point, self.kept = f"node-{uuid.uuid4().hex[:8]}", point, []
        self.settings = dict(PATIENCE)

    def start(self, **settings):
        self.settings.update(settings)
        self.victim = self.make(node=self.node, program=PROGRAM, start=False, CELERIAC_FAULT=self.point, **self.settings)
        self.victim.spawn()
        return self

    def ready(self, **settings):
        self.start(**settings).victim.wait_ready()
        return self

    def run(self, code="print('done')", conversation=None):
        self.conversation = conversation or f"c-{uuid.uuid4()}"
        return self.calls.send(code, self.conversation)

    def wait_killed(self):
        wait_until(lambda: not self.victim.alive(), 60, lambda: f"not killed at {self.point}:\n{self.victim.log()[-3000:]}")
        assert self.victim.process.returncode == -9 and self.victim.log_lines(f"^fault: killed at {self.point}$")

    def succeed(self):
        """By the same name, as a restart would be: so it is known at once that the other is dead."""
        self.successor = self.make(node=self.node, **self.settings)

    def sweep(self):
        return self.calls.call("cleanup")

    def wait_left(self, *expected):
        wait_until(lambda: self.sweep()["failed"] == 0 and set(containers(self.broker.instance)) == set(expected), 60,
                   lambda: f"left: {containers(self.broker.instance)}, not {expected}")

    def finished(self, result):
        """The task has one row and its result; its container is the only one, and goes with its conversation."""
        value = result.get(timeout=90)
        assert (value["status"], value["stdout"].splitlines()[-1]) == ("ok", "done")
        assert self.calls.row(result.id, "state", "worker") == ("finished", self.node)
        self.wait_left(value["sandbox"], *self.kept)
        assert self.calls.call("close", conversation_id=self.conversation) == {"removed": True}
        self.wait_left(*self.kept)
        return value

    def clean(self):
        """Redis holds nothing of what was half done."""
        base = f"celeriac:{self.broker.instance}:"

        def left():
            return [key for key in self.broker.redis.scan_iter(f"{base}*")
                    if key.decode()[len(base):].split(":")[0] in ("lease", "places", "suspects", "idle")]
        wait_until(lambda: self.sweep() and left() == [], 30, lambda: f"left in Redis: {left()}")
        assert self.broker.redis.hlen("unacked") == 0


def code_runs(case):
    case.ready()
    result = case.run()
    case.wait_killed()
    case.succeed()
    case.finished(result)


def one_has_room(case):
    """What a dead worker has reserved takes no place from its successor."""
    case.ready(SANDBOX_MAX="1")
    result = case.run()
    case.wait_killed()
    case.succeed()
    case.finished(result)


def one_must_go(case):
    case.ready(SANDBOX_MAX="1")
    first = case.run().get(timeout=90)
    conversation = case.conversation
    result = case.run()
    case.wait_killed()
    case.succeed()
    value = case.finished(result)
    assert value["sandbox"] != first["sandbox"]
    assert case.run("print('done')", conversation).get(timeout=90)["restarted"]
    case.calls.call("close", conversation_id=conversation)


def container_dies(case):
    case.ready()
    result = case.run("import time\nprint('begun', flush=True)\ntime.sleep(2)\nprint('done')")
    wait_said(case.broker, result.id, "begun")
    docker("kill", *containers(case.broker.instance))
    case.wait_killed()
    case.succeed()
    case.finished(result)


def idle_one_is_swept(case):
    case.ready(SANDBOX_IDLE_TIMEOUT="1")
    first, conversation = case.run().get(timeout=90), case.conversation
    results = []

    def dead():
        results.append(case.calls.app.send_task("sandbox.cleanup"))
        wait_until(lambda: results[-1].ready() or not case.victim.alive())
        return not case.victim.alive()

    wait_until(dead, 30, "no sweep has removed it")
    case.wait_killed()
    case.settings["SANDBOX_IDLE_TIMEOUT"] = "600"
    case.succeed()
    assert results[-1].get(timeout=60)["failed"] == 0
    value = case.run("print('done')", conversation).get(timeout=90)
    assert value["restarted"] and value["sandbox"] != first["sandbox"]
    case.calls.call("close", conversation_id=conversation)
    case.wait_left()


def spare_is_made(case):
    case.start(SANDBOX_POOL="1")
    case.wait_killed()
    (left,) = containers(case.broker.instance, "--filter", "label=celeriac.role=pool")
    case.settings["SANDBOX_POOL"] = "0"
    case.succeed()
    case.finished(case.run())


def spare_is_taken(case):
    case.ready(SANDBOX_POOL="1")
    earlier = []

    def dead():  # a spare that is not attached yet is not taken
        earlier.append((result := case.run(), case.conversation))
        wait_until(lambda: result.ready() or not case.victim.alive())
        return not case.victim.alive()

    wait_until(dead, 30, "no spare was taken")
    case.wait_killed()
    result, _ = earlier.pop()
    case.kept = [done.get()["sandbox"] for done, _ in earlier]
    case.settings["SANDBOX_POOL"] = "0"
    case.succeed()
    case.finished(result)
    for _, conversation in earlier:
        case.calls.call("close", conversation_id=conversation)


def server_starts(case):
    server = managed(case.request.getfixturevalue("servers"))
    case.ready()
    result = case.calls.app.send_task("mcp.call_tool", kwargs={"server_id": server, "tool": "count", "conversation_id": "kept"})
    case.wait_killed()
    case.succeed()
    assert result.get(timeout=90)["result"] == {"count": 1}
    wait_until(lambda: case.sweep()["failed"] == 0 and len(containers(case.broker.instance)) == 1, 60, "the other is still there")
    assert case.calls.app.send_task("mcp.stop_server", kwargs={"server_id": server}).get(timeout=60) == {"removed": 1}
    case.wait_left()


def file_is_kept(case):
    media = case.request.getfixturevalue("directory") / "media"
    media.mkdir()
    case.ready(MEDIA_DIR=media)
    result = case.run("open('/sandbox/output/f', 'w').write('x')\nprint('done')")
    case.wait_killed()
    (left,) = (media / ".staging").iterdir()
    case.succeed()
    value = case.finished(result)
    sha256 = value["files"][0]["sha256"]
    assert (media / sha256[:2] / sha256[2:4] / sha256).read_text() == "x"
    assert left.exists(), "it may still be written to"
    os.utime(left, (time.time() - 2 * 86400,) * 2)
    case.sweep()
    assert list((media / ".staging").iterdir()) == []


def helper_fills(case):
    case.start()
    case.wait_killed()
    assert len(containers(case.broker.instance, "--filter", "label=celeriac.role=helper")) == 1
    case.succeed()
    case.finished(case.run())


def calls_are_not_routed(case):
    """What a worker that lives has taken since comes behind it all the same."""
    note = "open('/sandbox/log', 'a').write('{n} ')\nprint(open('/sandbox/log').read(), end='')"
    case.ready()
    sent = [case.run(note.format(n=0))]
    case.wait_killed()
    case.node = f"node-{uuid.uuid4().hex[:8]}"
    case.succeed()
    sent += [case.run(note.format(n=n), case.conversation) for n in range(1, 4)]
    assert [result.get(timeout=120)["stdout"] for result in sent] == ["0 ", "0 1 ", "0 1 2 ", "0 1 2 3 "]
    assert {case.calls.row(result.id, "worker")[0] for result in sent} == {case.node}
    assert not case.successor.log_lines("without waiting for other workers")
    assert case.calls.call("close", conversation_id=case.conversation) == {"removed": True}


def more_is_asked_for(case):
    """Neither what has come nor what is on its way is lost, and none of it is done twice."""
    numbers = range(600)
    sent = [case.broker.send("celeriac.echo", [number]) for number in numbers]
    case.start(DATABASE_URL="", CELERY_WORKER_PREFETCH_MULTIPLIER="0").wait_killed()
    wait_until(lambda: case.broker.redis.hlen("unacked") == 512, 30, "there are not two claims")
    assert case.broker.redis.llen("celery") == len(numbers) - 512 and case.broker.result_count() == 0
    del case.settings["DATABASE_URL"]
    case.succeed()
    assert [case.broker.meta(task_id, 60)["result"] for task_id in sent] == [[number] for number in numbers]
    assert len(case.successor.log_lines("celeriac.echo.* succeeded in")) == len(numbers)


# How a worker comes to each point; True: in `make check`, the others in `make check-long`.
POINTS = {
    "capacity.reserved": (one_has_room, True),
    "capacity.removed": (one_must_go, False),
    "claim.received": (more_is_asked_for, True),
    "cleanup.removed": (idle_one_is_swept, False),
    "container.created": (code_runs, True),
    "container.started": (code_runs, True),
    "media.written": (file_is_kept, True),
    "pool.made": (spare_is_made, False),
    "pool.taken": (spare_is_taken, False),
    "route.claimed": (calls_are_not_routed, False),  # until a lease has expired
    "server.created": (server_starts, False),
    "server.started": (server_starts, False),
    "session.attached": (code_runs, True),
    "session.recorded": (code_runs, True),
    "session.removed": (container_dies, False),
    "volume.helper": (helper_fills, False),  # somebody else's helper is waited for 20 s
}


def test_each_point_has_its_row():
    listed = subprocess.run([ROOT / "tests/fault-points"], capture_output=True, text=True, check=True).stdout.split()
    assert listed == sorted(POINTS)
    symbols = subprocess.run(["nm", ROOT / "build/celeriac-worker"], capture_output=True, text=True, check=True).stdout
    assert "fault_point" not in symbols, "they are in the build that is delivered"
    assert os.access(PROGRAM, os.X_OK)


@pytest.mark.parametrize("point", [
    pytest.param(point, marks=[] if always else pytest.mark.long) for point, (_, always) in POINTS.items()])
def test_killed_at(point, make_full_worker, calls, broker, request):
    case = Case(point, make_full_worker, calls, broker, request)
    POINTS[point][0](case)
    case.clean()
