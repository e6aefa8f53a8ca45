"""Bad weather between the worker and Redis, PostgreSQL or the engine: nothing is lost, and work goes on within seconds of its end."""

import re
import time
import uuid

import pytest

from faulty import FAULTS, NONSENSE, FaultyDoor
from services import patience, wait_until

RECOVERY = 5  # seconds after the end of a fault
GARBLED = 25  # … of well-formed nonsense: what was made, but not said to be, is in the way until it is taken for somebody's who died
LASTS = 2  # seconds
CALLS = 6

pytestmark = [pytest.mark.long, pytest.mark.docker]


class Echo:
    """Of the broker: tasks that need nothing else."""

    def __init__(self, app):
        self.app = app

    def send(self, n):
        return self.app.send_task("celeriac.echo", (n,))

    def is_right(self, n, value):
        return value == n


class Run:
    """Of the engine and the database: each call is a run with its row, half of them in one conversation."""

    def __init__(self, app):
        self.app = app
        self.conversation = f"c-{uuid.uuid4()}"

    def send(self, n):
        conversation = self.conversation if n % 2 else f"c-{uuid.uuid4()}"
        return self.app.send_task("sandbox.execute_code", kwargs={"conversation_id": conversation, "code": f"print({n})"})

    def is_right(self, n, value):
        if isinstance(value, Exception):  # what an engine says for good, even if none says it, is taken at its word
            return type(value).__name__ == "SandboxError"
        # What ran while the engine's stream was lost may have no verdict: then it says so.
        return value["status"] == "lost" or (value["status"], value["stdout"]) == ("ok", f"{n}\n")


def behind_redis(directory, redis_server, broker, postgres):
    door = FaultyDoor(("127.0.0.1", redis_server.port)).open()
    url = broker.url.replace(f":{redis_server.port}/", f":{door.port}/")
    return door, Echo, {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}


def behind_postgres(directory, redis_server, broker, postgres):
    door = FaultyDoor(("127.0.0.1", postgres.port)).open()
    return door, Run, {"DATABASE_URL": postgres.url("worker").replace(f":{postgres.port}/", f":{door.port}/")}


def behind_engine(directory, redis_server, broker, postgres):
    door = FaultyDoor("/var/run/docker.sock", path=directory / "docker.sock").open()
    return door, Run, {"DOCKER_HOST": f"unix://{door.path}"}


AWAY = re.compile(r"(PostgreSQL|the container engine) is not usable: (.*?)\. N|consumer: Cannot connect to (\S+): (.*?)\. Trying")
BACK = re.compile(r"(PostgreSQL|the container engine) is usable again|consumer: Connected to (\S+)")


def said_twice(log):
    """What the log says to be away, and why, that it had said already of the same outage."""
    now, twice = {}, []
    for line in log.splitlines():
        if away := AWAY.search(line):
            what, why = (word for word in away.groups() if word is not None)
            twice += [line] if now.get(what) == why else []
            now[what] = why
        elif back := BACK.search(line):
            now.pop(back[1] or back[2], None)
    return twice


def faults():
    """All there are for each server."""
    for behind in (behind_redis, behind_postgres, behind_engine):
        for name, fault in {**FAULTS, **NONSENSE[behind.__name__.removeprefix("behind_")]}.items():
            yield pytest.param(behind, name, fault, id=f"{behind.__name__}-{name}")


@pytest.mark.parametrize("behind, name, fault", list(faults()))
def test_weather(behind, name, fault, directory, redis_server, broker, postgres, app, make_full_worker, ended, capsys):
    door, kind, settings = behind(directory, redis_server, broker, postgres)
    ended.append(door)
    worker = make_full_worker("-c", "2", **settings)
    calls = kind(app)
    assert calls.is_right(0, calls.send(0).get(timeout=60))
    does, goes_on = fault
    door.begin(does)
    began = time.monotonic()
    sent = [calls.send(n) for n in range(CALLS)]
    if not goes_on:
        wait_until(lambda: time.monotonic() - began > LASTS, LASTS + 5)  # the fault lasts so long
        door.end()
    back = time.monotonic()
    worker.wait_ready()
    ready = time.monotonic() - back
    values = [result.get(timeout=90, propagate=False) for result in sent]
    done = time.monotonic() - back
    door.end()
    with capsys.disabled():
        print(f"\n  {behind.__name__[7:]:9} {name:14} ready {ready:5.2f} s, {CALLS} calls done {done:5.2f} s", end="")
    assert [n for n in range(CALLS) if not calls.is_right(n, values[n])] == [], values
    refused = [value for value in values if isinstance(value, Exception)]
    assert not refused or (behind is behind_engine and name in NONSENSE["engine"]), refused
    lost = [value for value in values if isinstance(value, dict) and value["status"] == "lost"]
    assert not lost or (behind is behind_engine and not goes_on), "only a broken stream of the engine's loses a verdict"
    recovery = RECOVERY if name in FAULTS else GARBLED
    assert goes_on or ready < patience(recovery), f"ready again after {ready:.1f} s"
    assert goes_on or done < patience(recovery), f"all calls were done after {done:.1f} s"
    assert not said_twice(worker.log())
    broker.wait_settled()
    if kind is Run:
        rows = postgres.sql("SELECT state FROM celeriac.tool_results WHERE task_id = ANY(%s)", [result.id for result in sent])
        assert sorted(rows) == [("failed",)] * len(refused) + [("finished",)] * (CALLS - len(refused))
