"""Revoked in each state; rate limits."""

import time

import celery.exceptions
import pytest

from services import patience, wait_until
from world import done, error

REVOKED = error("TaskRevokedError", "revoked", module="celery.exceptions")
TERMINATED = error("TaskRevokedError", "terminated", module="celery.exceptions")
WINDOWS = (3, 10, 40)  # seconds in which a task that ends by itself is to be revoked: as few as this machine allows


def check_revoked(world, result, why=REVOKED):
    meta = world.meta(result.id)
    children = meta.get("children")
    assert meta == done(result.id, "REVOKED", why, children=children) and not children
    with pytest.raises(celery.exceptions.TaskRevokedError):
        result.get(timeout=60)
    assert result.state == "REVOKED"


def test_before_it_is_sent(world):
    task_id = "before-" + world.name
    assert world.ask("revoke", task_id=task_id) in (
        {"ok": f"tasks {{'{task_id}'}} flagged as revoked"}, {"ok": f"tasks {task_id} flagged as revoked"})
    check_revoked(world, world.send("echo", 1, task_id=task_id))
    assert task_id in world.ask("revoked")


def test_many_at_once(world):
    ids = [f"many-{n}-{world.name}" for n in range(20)]
    world.ask("revoke", task_id=ids)
    for result in [world.send("echo", 1, task_id=task_id) for task_id in ids]:
        check_revoked(world, result)
    assert world.send("echo", 1).get(timeout=60) == 1


def test_while_it_waits_for_a_thread(make_world):
    lone = make_world("-c", "1")
    busy = lone.send("sleep", 600)
    lone.wait_active(busy)
    waits = [lone.send("echo", n) for n in range(3)]
    lone.ask("revoke", task_id=[each.id for each in waits])
    lone.ask("revoke", task_id=busy.id, terminate=True)
    check_revoked(lone, busy, TERMINATED)
    for each in waits:
        check_revoked(lone, each)
    assert lone.send("echo", 1).get(timeout=60) == 1
    lone.settle(busy, *waits)


def test_while_it_waits_for_its_eta(world):
    # Celery's is settled when its eta comes
    for seconds in (600,) if world.differs("revoked eta") else WINDOWS:
        result = world.send("echo", 1, countdown=seconds)
        wait_until(lambda: result.id in world.scheduled() or result.ready(), 60, "it was not held")
        world.ask("revoke", task_id=result.id)
        if world.meta(result.id)["status"] == "REVOKED":
            break
    check_revoked(world, result)
    world.settle(result)


def test_what_runs_goes_on_unless_it_is_terminated(world):
    for seconds in WINDOWS:
        result = world.send("sleep", seconds)
        wait_until(lambda: result.id in world.active() or result.ready(), 60, "it did not run")
        world.ask("revoke", task_id=result.id)
        if result.id in world.active():
            break
    else:
        pytest.fail("it was over before it was revoked")
    wait_until(lambda: result.id not in world.active(), 60)
    meta = world.meta(result.id, ("SUCCESS", "REVOKED"))
    # 5.6 tells the backend at once; a success is never overwritten, and overwrites.
    wait_until(lambda: world.stored(result.id)["status"] == "SUCCESS", 60, lambda: f"{meta}")


@pytest.mark.parametrize("signal", ["TERM", "SIGKILL", "USR1", 9])
def test_terminated_while_it_runs(world, signal):
    if signal == "USR1" and not world.ours:
        signal = "KILL"  # billiard's children do not end by it
    result = world.send("sleep", 600)
    world.wait_active(result)
    reply = world.ask("revoke", task_id=result.id, terminate=True, signal=signal)
    assert result.id in reply["ok"] and "terminate" in reply["ok"] or "revoked" in reply["ok"], reply
    check_revoked(world, result, TERMINATED)
    world.settle(result)


def test_revoked_children_do_not_run(world):
    first = world.send("sleep", 600, link=world.sig("echo", task_id="child-" + world.name),
                       link_error=world.sig("echo", task_id="error-" + world.name))
    world.wait_active(first)
    world.ask("revoke", task_id=first.id, terminate=True)
    check_revoked(world, first, TERMINATED)
    assert world.send("echo", 1).get(timeout=60) == 1
    assert world.stored("child-" + world.name) is None


def stamped(world, task, *args, **stamps):
    return world.sig(task, *args).set(stamped_headers=sorted(stamps), **stamps)


@pytest.mark.since(5, 3)
@pytest.mark.parametrize("running", [False, True])
def test_by_stamp(world, running):
    mine = f"{world.name}-{running}"
    if not running:
        assert "ok" in world.ask("revoke_by_stamped_headers", headers={"monitor": [mine]})
        check_revoked(world, stamped(world, "echo", 1, monitor=mine).apply_async())
        check_revoked(world, stamped(world, "echo", 1, monitor=["x", mine]).apply_async())
        assert stamped(world, "echo", 1, monitor="another").apply_async().get(timeout=60) == 1
        assert stamped(world, "echo", 1, other=mine).apply_async().get(timeout=60) == 1
        return
    result = stamped(world, "sleep", 600, monitor=mine).apply_async()
    world.wait_active(result)
    world.ask("revoke_by_stamped_headers", headers={"monitor": [mine]}, terminate=True, signal="KILL")
    check_revoked(world, result, TERMINATED)


# ---- rate limits ----

def test_a_rate_limit(make_world):
    slow = make_world("-c", "2", "-E")
    slow.events  # noqa: B018
    assert slow.ask("rate_limit", task_name="celeriac.add", rate_limit="4/s") == {"ok": "new rate limit set successfully"}
    assert "celeriac.add [rate_limit=4/s]" in slow.ask("registered", taskinfoitems=["rate_limit"])
    results = [slow.send("add", n, 0) for n in range(9)]
    assert [result.get(timeout=60) for result in results] == list(range(9))
    for result in results:
        slow.events.wait("task-started", result.id)
    started = [event["timestamp"] for event, _, _ in slow.events.seen if event["type"] == "task-started"]
    assert max(started) - min(started) >= 8 * 0.25 - 0.3, started
    assert slow.ask("rate_limit", task_name="celeriac.add", rate_limit=0) == {"ok": "rate limit disabled successfully"}
    began = time.monotonic()
    assert [slow.send("add", n, 0).get(timeout=60) for n in range(20)] == list(range(20))
    assert time.monotonic() - began < patience(20)
