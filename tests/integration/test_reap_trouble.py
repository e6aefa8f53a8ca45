"""Clocks that are set, a Redis that forgets, an engine that begins anew: the next sweep puts things right, and takes nothing away."""

import time

import pytest

from engines import Private
from sandboxes import containers
from services import wait_until
from test_clocks import FAKETIME

pytestmark = pytest.mark.docker


class Clock:
    """The wall clock of one program, set by a file; the monotonic one is the machine's."""

    def __init__(self, path):
        self.path = path
        self.set(0)

    def set(self, hours):
        self.path.with_suffix(".new").write_text(f"{hours:+d}h\n")
        self.path.with_suffix(".new").rename(self.path)

    @property
    def settings(self):
        # where a worker in its cage may look
        return {"CELERIAC_CAGE_PATHS": f"{self.path.parent}:ro", "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self.path), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}


def test_the_clock_of_a_worker_is_set(make_full_worker, calls, broker, directory, instance):
    """An hour forward and back, while it works: what was used a moment ago stays, and its idle time is right."""
    clock = Clock(directory / "clock")
    worker = make_full_worker(SANDBOX_IDLE_TIMEOUT="600", **clock.settings)
    first = calls.run("open('/sandbox/kept', 'w')", "c")
    for hours, seen in ((1, "3600 seconds: this machine is ahead"), (0, "agrees with that of"), (-1, "3600 seconds: this machine is behind")):
        clock.set(hours)
        assert calls.call("cleanup") == {"idle": 0, "orphans": 0, "kept": 1, "failed": 0}
        worker.wait_log(seen)
        done = calls.run("import os; print(os.path.exists('/sandbox/kept'))", "c")
        assert (done["stdout"], done["sandbox"]) == ("True\n", first["sandbox"])
        used = int(broker.redis.hget(f"celeriac:{instance}:conversation:c", "used")) / 1000
        assert -60 < time.time() - used < 300


def test_redis_is_emptied(make_full_worker, calls, broker, instance):
    """While sweeps go on: whoever is alive keeps what it has, spare containers too."""
    make_full_worker(SANDBOX_POOL="1", SANDBOX_ADOPT_GRACE="120")
    first = calls.run("open('/sandbox/kept', 'w')", "c", project_id="p")
    (spare,) = wait_until(lambda: [one for one in containers(instance, "--filter", "name=celeriac-pool-")], 60, "there is no spare")
    for _ in range(3):
        broker.redis.flushdb()
        report = calls.call("cleanup")
        assert (report["idle"], report["orphans"], report["failed"]) == (0, 0, 0)
    assert {first["sandbox"], spare} <= set(containers(instance))
    done = calls.run("import os; print(os.path.exists('/sandbox/kept'))", "c", project_id="p")
    assert (done["stdout"], done["sandbox"]) == ("True\n", first["sandbox"])


class Dockerd(Private):
    def command(self):
        return ["dockerd", "--host", self.host, "--data-root", self.dir / "data", "--exec-root", self.dir / "exec", "--pidfile",
                self.dir / "pid", "--bridge=none", "--iptables=false", "--ip6tables=false"]


@pytest.fixture
def dockerd():
    made = Dockerd()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.mark.long
def test_the_engine_is_restarted(make_full_worker, calls, broker, instance, dockerd):
    """All containers have ended: conversations begin anew and say so, and nothing of before is left."""
    worker = make_full_worker(DOCKER_HOST=dockerd.host, SANDBOX_POOL="1", SANDBOX_ADOPT_GRACE="1")

    def listed(*options):
        return set(dockerd.docker("ps", "-aq", "--no-trunc", "--filter", f"label=celeriac.instance={instance}", *options).stdout.decode().split())

    wait_until(lambda: listed("--filter", "name=celeriac-pool-"), 60, "there is no spare")
    before = {calls.run("print(1)", name)["sandbox"] for name in ("a", "b")}
    before |= listed()
    dockerd.process.terminate()
    dockerd.process.wait(60)
    wait_until(lambda: worker.readiness().get("engine") == "away", 30, "the engine is not missed")
    dockerd.resume()
    wait_until(lambda: worker.http("/readyz")[0] == 200, 60, "the worker does not go on")
    for name in ("a", "b"):
        wait_until(lambda: broker.redis.hget(f"celeriac:{instance}:conversation:{name}", "container") == b"", 60, "the index is not right")
    assert calls.run("print(1)", "a")["restarted"]
    wait_until(lambda: calls.call("cleanup")["failed"] == 0 and not listed() & before, 60, lambda: f"left: {listed() & before}")
