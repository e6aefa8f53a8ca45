"""What monitors are told: the events of each life, their fields and the messages they come in."""

import os
import time

import pytest

from places import BROKER
from services import wait_until
from world import NUMBER, TEXT

BASE = {"type", "hostname", "timestamp", "utcoffset", "pid", "clock"}
FIELDS = {
    "task-received": {"uuid", "name", "args", "kwargs", "root_id", "parent_id", "retries", "eta", "expires"},
    "task-started": {"uuid"},
    "task-succeeded": {"uuid", "result", "runtime"},
    "task-failed": {"uuid", "exception", "traceback"},
    "task-retried": {"uuid", "exception", "traceback"},
    "task-revoked": {"uuid", "terminated", "signum", "expired"},
    "worker-online": {"freq", "active", "processed", "loadavg", "sw_ident", "sw_ver", "sw_sys"},
}
FIELDS["worker-heartbeat"] = FIELDS["worker-offline"] = FIELDS["worker-online"]


def check(world, event):
    assert set(event) == BASE | FIELDS[event["type"]], event["type"]
    assert event["hostname"] == world.name and event["pid"] == NUMBER and event["clock"] == NUMBER
    assert abs(event["timestamp"] - time.time()) < 600
    assert event["utcoffset"] == (time.altzone if time.localtime().tm_isdst else time.timezone) // 3600


def life(world, result, *kinds, last=None):
    """The events of one task, once its last has come, of these kinds and no other."""
    world.events.wait(last or kinds[-1], result.id)
    # a Python worker's processes tell theirs in no order
    wait_until(lambda: set(world.events.kinds(result.id)) >= set(kinds), 60, lambda: world.events.kinds(result.id))
    events = sorted(world.events.of(result.id), key=lambda event: event["timestamp"])
    # A time limit is told twice by Celery.
    assert sorted(set(world.events.kinds(result.id))) == sorted(set(kinds))
    for event in events:
        check(world, event)
    return {event["type"]: event for event in events}


def test_success(world):
    world.events  # noqa: B018
    result = world.app.send_task("celeriac.add", (1,), {"y": 2}, expires=600, parent_id="p", root_id="r")
    events = life(world, result, "task-received", "task-started", "task-succeeded")
    received, succeeded = events["task-received"], events["task-succeeded"]
    assert (received["name"], received["args"], received["kwargs"]) == ("celeriac.add", "(1,)", "{'y': 2}")
    assert (received["root_id"], received["parent_id"], received["retries"], received["eta"]) == ("r", "p", 0, None)
    assert received["expires"].startswith("20")
    assert succeeded["result"] == "3" and 0 <= succeeded["runtime"] < 60
    assert received["clock"] < succeeded["clock"]


def test_failure(world):
    world.events  # noqa: B018
    events = life(world, world.send("fail", "no 'luck'"), "task-received", "task-started", "task-failed")
    assert events["task-failed"]["exception"] == '''RuntimeError("no 'luck'")'''
    assert "RuntimeError: no 'luck'" in events["task-failed"]["traceback"]


def test_retry(world):
    world.events  # noqa: B018
    events = life(world, world.send("retry", 1, 1), "task-received", "task-started", "task-retried", "task-succeeded")
    assert events["task-retried"]["traceback"] == TEXT


def test_revoked(world):
    world.events  # noqa: B018
    world.ask("revoke", task_id="event-" + world.name)
    event = life(world, world.send("echo", 1, task_id="event-" + world.name), "task-revoked")["task-revoked"]
    assert (event["terminated"], event["signum"], event["expired"]) == (False, None, False)


def test_expired(world):
    world.events  # noqa: B018
    event = life(world, world.send("echo", 1, expires=-5), "task-revoked")["task-revoked"]
    assert (event["terminated"], event["signum"], event["expired"]) == (False, None, True)


@pytest.mark.parametrize("signal, number", [("KILL", 9), ("TERM", 15)])
def test_terminated(world, signal, number):
    world.events  # noqa: B018
    result = world.send("sleep", 600)
    world.wait_active(result)
    world.ask("revoke", task_id=result.id, terminate=True, signal=signal)
    event = life(world, result, "task-received", "task-started", "task-revoked")["task-revoked"]
    assert (event["terminated"], event["signum"], event["expired"]) == (True, number, False) or not world.ours


def test_a_time_limit_is_a_failure(world):
    world.events  # noqa: B018
    event = life(world, world.send("sleep", 600, time_limit=1), "task-received", "task-started", "task-failed")["task-failed"]
    assert "TimeLimitExceeded" in event["exception"] + event["traceback"]


def test_unknown(world):
    world.events  # noqa: B018
    result = world.app.send_task("nobody.knows")
    event = world.events.wait("task-failed", result.id)
    assert event["exception"] == "NotRegistered('nobody.knows')"
    assert set(event) == BASE | {"uuid", "exception"}
    assert world.events.kinds(result.id) == ["task-failed"]


def test_a_shadow_is_the_name_shown(world):
    world.events  # noqa: B018
    result = world.send("echo", 1, shadow="another name")
    received = life(world, result, "task-received", "task-started", "task-succeeded")["task-received"]
    assert received["name"] == "another name"


def test_long_arguments_are_cut(world):
    world.events  # noqa: B018
    result = world.send("echo", "x" * 5000)
    events = life(world, result, "task-received", "task-started", "task-succeeded")
    assert len(events["task-received"]["args"]) <= 1100 and events["task-received"]["args"].startswith("('xxx")
    assert len(events["task-succeeded"]["result"]) <= 1100 and events["task-succeeded"]["result"].startswith("'xxx")


def test_heartbeats(world):
    events = world.events
    beat = wait_until(lambda: [event for event, _, _ in events.seen if event["type"] == "worker-heartbeat"], 60)[-1]
    check(world, beat)
    assert beat["freq"] == 2 and len(beat["loadavg"]) == 3 and beat["active"] == NUMBER and beat["processed"] == NUMBER
    assert (beat["sw_sys"], bool(beat["sw_ident"]), bool(beat["sw_ver"])) == (os.uname().sysname, True, True)


def test_online_and_offline(make_world):
    brief = make_world(start=False)
    events = brief.events
    brief.worker.start()
    check(brief, events.wait("worker-online"))
    brief.worker.end(15, 60)
    check(brief, events.wait("worker-offline"))


def test_task_events_are_switched(make_world):
    quiet = make_world()
    events = quiet.events
    first = quiet.send("echo", 1)
    assert first.get(timeout=60) == 1
    # Celery sends a task's last event after its result: the task is over when the worker has forgotten it
    wait_until(lambda: quiet.ask("query_task", ids=[first.id]) == {}, 60)
    assert quiet.ask("enable_events") == {"ok": "task events enabled"}
    second = quiet.send("echo", 2)
    events.wait("task-succeeded", second.id)
    assert events.of(first.id) == []
    assert quiet.ask("disable_events") == {"ok": "task events disabled"}
    third, mark = quiet.send("echo", 3), len(events.seen)
    assert third.get(timeout=60) == 3
    wait_until(lambda: [event for event, _, _ in events.seen[mark:] if event["type"] == "worker-heartbeat"], 60)
    assert events.of(third.id) == []


def test_the_message_around_it(world):
    events = world.events
    result = world.send("echo", 1)
    events.wait("task-succeeded", result.id)
    for event, outer, key in list(events.seen):
        if event.get("uuid") not in (None, result.id):
            continue
        assert key in (event["type"].replace("-", "."), "task.multi")
        assert (outer["content-type"], outer["content-encoding"]) == ("application/json", "utf-8")
        assert outer["headers"]["hostname"] == world.name
        properties = outer["properties"]
        assert properties["delivery_mode"] == 1
        assert BROKER != "redis" or properties["body_encoding"] == "base64" and properties["delivery_tag"]
        assert properties["delivery_info"] == {"exchange": "celeryev", "routing_key": key}
