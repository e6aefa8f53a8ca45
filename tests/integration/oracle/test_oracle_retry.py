"""Retries, and time limits."""

import base64
import collections
import json

import billiard.exceptions
import celery.exceptions
import pytest

from places import BACKEND, BROKER
from services import wait_until
from world import DATE, TEXT, done, error, traceback_of

# What a message of the second try may have of its own.
OWN_HEADERS = {"retries", "eta", "origin", "argsrepr", "kwargsrepr"}


def without_itself(world, meta):
    """What Celery makes of a retried task without a parent."""
    if world.differs("own parent") or BACKEND == "database":
        return meta
    meta = {key: value for key, value in meta.items() if (key, value) != ("parent_id", meta["task_id"])}
    return {**meta, "children": [child for child in meta["children"] if child[0][0] != meta["task_id"]]}


def test_retried_until_it_succeeds(world):
    world.events  # noqa: B018
    result = world.send("retry", 3, 1)  # a Python worker stores RETRY after it sends the next try
    assert result.get(timeout=60) == 3
    assert without_itself(world, world.stored(result.id)) == done(result.id, result=3)
    world.events.wait("task-succeeded", result.id)
    wait_until(lambda: len(world.events.of(result.id)) == 12, 60)
    assert collections.Counter(world.events.kinds(result.id)) == {
        "task-received": 4, "task-started": 4, "task-retried": 3, "task-succeeded": 1}
    assert [event["retries"] for event in world.events.of(result.id) if event["type"] == "task-received"] == [0, 1, 2, 3]
    world.settle(result)


@pytest.mark.only("whole metas", "rows have always a date")
def test_what_is_stored_of_a_retry(world):
    world.events  # noqa: B018
    result = world.send("retry", 1, 600)
    meta = world.meta(result.id, "RETRY")
    assert without_itself(world, meta) == {
        "status": "RETRY", "result": None, "traceback": traceback_of("celery.exceptions.Retry: Retry in 600s\n"), "children": [],
        "date_done": None, "task_id": result.id}
    event = world.events.wait("task-retried", result.id)
    assert event["exception"] == "None" and event["traceback"] == traceback_of("celery.exceptions.Retry: Retry in 600s\n")
    world.wait_scheduled(result)
    world.ask("revoke", task_id=result.id)


def retried(world, signature, **options):
    """The first message of a task that asks to be retried in ten minutes, and its second."""
    queue = options.pop("queue", "celery")
    held_back = signature.apply_async(queue="parked", **options)
    first = wait_until(lambda: world.broker.take("parked", priority=3), 30)
    first["properties"]["delivery_info"]["routing_key"] = queue
    world.broker.push(json.dumps(first), queue)
    world.meta(held_back.id, "RETRY")
    wait_until(lambda: (world.held(held_back.id) or {}).get("headers", {}).get("retries") == 1, 60, "it was not sent again")
    second = world.held(held_back.id)
    world.ask("revoke", task_id=held_back.id)
    return first, second


def body_of(message):
    return json.loads(base64.b64decode(message["body"]))


@pytest.mark.parametrize("what", [
    "plain", pytest.param("headers", marks=pytest.mark.python_since(5, 3)), pytest.param("times", marks=pytest.mark.python_since(5, 3)),
    "limits", "canvas", pytest.param("stamps", marks=pytest.mark.since(5, 3)), "shadow", "kwargs"])
def test_a_retry_keeps_everything(world, what):
    sig, options = world.sig("retry", 1, 600), {}
    if what == "headers":
        options = {"headers": {"tenant": "t1", "deep": {"a": [1, None, "grüß"]}}}
    if what == "times":
        options = {"expires": 3600, "priority": 3}
    if what == "limits":
        options = {"time_limit": 30.5, "soft_time_limit": 25, "ignore_result": False}
    if what == "canvas":
        options = {"root_id": "the-root", "parent_id": "the-parent", "group_id": "the-group", "group_index": 7,
                   "link": [world.sig("echo", queue="other")], "link_error": [world.sig("echo", priority=9)],
                   "chord": world.sig("xsum").set(chord_size=9), "chain": [world.sig("add", 3), world.sig("add", 4)]}
    if what == "stamps":
        options = {"stamped_headers": ["groups", "user"], "user": "7", "groups": ["a", "b"]}
    if what == "shadow":
        options = {"shadow": "another-name"}
    if what == "kwargs":
        sig = world.sig("retry", kwargs={"times": 1, "countdown": 600})
    first, second = retried(world, sig, queue="other", **options)
    before, after = first["headers"], second["headers"]
    if not world.differs("own parent") and before["parent_id"] is None:
        assert after.pop("parent_id") == after["id"]
    if before.get("ignore_result", 0) is None:
        assert not after.pop("ignore_result")
    changed = {key: value for key, value in after.items() if key not in OWN_HEADERS and before.get(key) != value}
    assert {key: value for key, value in changed.items() if key in before or value} == {}
    assert set(before) - OWN_HEADERS - {"parent_id", "ignore_result"} <= set(after)
    assert after["retries"] == before["retries"] + 1 and after["eta"]
    assert body_of(second) == body_of(first)
    for key in ("correlation_id", "priority", "delivery_mode", *(("body_encoding",) if BROKER == "redis" else ())):
        assert second["properties"][key] == first["properties"][key], key
    assert second["properties"]["delivery_info"]["routing_key"] == "other"
    assert (second["content-type"], second["content-encoding"]) == ("application/json", "utf-8")


def test_a_retry_calls_its_callbacks_once(world):
    result = (world.sig("retry", 2, 1) | world.sig("add", 40)).apply_async(link=world.sig("echo", task_id="linked-" + world.name))
    assert result.get(timeout=60) == 42
    assert world.meta("linked-" + world.name)["result"] == 42


# ---- time limits ----

def test_the_hard_limit(world):
    world.events  # noqa: B018
    result = world.send("sleep", 600, time_limit=1)
    with pytest.raises(billiard.exceptions.TimeLimitExceeded) as raised:
        result.get(timeout=60)
    assert raised.value.args in ((1,), ("TimeLimitExceeded(1,)",), ("TimeLimitExceeded(1)",))
    meta = world.stored(result.id)
    assert (meta["status"], meta["result"]["exc_type"], meta["result"]["exc_module"], meta["date_done"]) == (
        "FAILURE", "TimeLimitExceeded", "billiard.exceptions", DATE)
    assert meta["result"]["exc_message"] == [1]
    world.settle(result)


def test_the_soft_limit(world):
    result = world.send("sleep", 600, soft_time_limit=1, time_limit=500)
    with pytest.raises(billiard.exceptions.SoftTimeLimitExceeded):
        result.get(timeout=60)
    assert world.stored(result.id) == done(
        result.id, "FAILURE", error("SoftTimeLimitExceeded", *world.stored(result.id)["result"]["exc_message"],
                                    module="billiard.exceptions"), TEXT)
    world.settle(result)


def test_limits_of_the_worker_and_of_remote_control(make_world):
    strict = make_world(conf={"task_time_limit": 1})
    with pytest.raises(billiard.exceptions.TimeLimitExceeded):
        strict.send("sleep", 600).get(timeout=60)
    assert strict.send("sleep", 1.5, time_limit=500).get(timeout=60) is None, "the message's own goes first"
    assert strict.ask("time_limit", task_name="celeriac.sleep", soft=1, hard=500) == {"ok": "time limits set successfully"}
    with pytest.raises(billiard.exceptions.SoftTimeLimitExceeded if strict.differs("time_limit")
                       else billiard.exceptions.TimeLimitExceeded):
        strict.send("sleep", 600).get(timeout=60)


def test_errbacks_hear_of_limits(world):
    slow = world.sig("sleep", 600).set(time_limit=1, link_error=world.sig("echo", task_id="heard-" + world.name))
    result = slow.apply_async()
    assert world.meta("heard-" + world.name)["result"] == result.id
    with pytest.raises((billiard.exceptions.TimeLimitExceeded, celery.exceptions.TimeoutError)):
        result.get(timeout=60)
