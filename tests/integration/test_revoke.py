"""Revoked before it is taken, while it waits and while it runs; by id and by stamp; and who remembers it."""

import pytest
from celery.canvas import StampingVisitor

from clients import OURS
from services import wait_until


@pytest.fixture
def ours(make_worker):
    return make_worker("-n", OURS, "-c", "2")


def test_revoked_before_it_is_taken(ours, app, ask, broker):
    assert "flagged" in ask("revoke", task_id=["r-1", "r-2"])["ok"]
    result = app.send_task("celeriac.echo", (1,), task_id="r-1")
    meta = broker.meta("r-1")
    assert (meta["status"], meta["result"]["exc_type"], meta["result"]["exc_message"]) == ("REVOKED", "TaskRevokedError", ["revoked"])
    with pytest.raises(Exception, match="revoked"):
        result.get(timeout=30)
    assert set(ask("revoked")) == {"r-1", "r-2"}
    ours.wait_log(r"Discarding revoked task: celeriac.echo\[r-1\]")
    broker.wait_settled()


def test_a_revoked_result_is_told_at_once_and_never_instead_of_another(make_worker, app, ask, broker, headers, directory):
    make_worker("-n", OURS, "-c", "2", "-I", headers.compile("probe"))
    done = app.send_task("celeriac.echo", (1,))
    assert done.get(timeout=30) == 1
    queued = app.send_task("celeriac.echo", (1,), queue="nobody-consumes")
    running = app.send_task("probe.wait_for", (str(directory / "gate"),))
    wait_until(lambda: ask("active"), 30)
    ask("revoke", task_id=[done.id, queued.id, running.id])
    meta = broker.meta(queued.id, 5)
    assert (meta["status"], meta["result"]["exc_message"], meta["task_id"]) == ("REVOKED", ["revoked"], queued.id)
    (directory / "gate").touch()
    assert running.get(timeout=30) == 1 and done.state == "SUCCESS"


def test_revoked_while_it_waits_for_a_thread_or_its_eta(make_worker, app, ask, broker):
    make_worker("-n", OURS, "-c", "1")
    busy = app.send_task("celeriac.sleep", (600,))
    waiting = app.send_task("celeriac.echo", (1,))
    later = app.send_task("celeriac.echo", (1,), countdown=600)
    wait_until(lambda: len(ask("reserved")) == 1 and len(ask("scheduled")) == 1, 30)
    ask("revoke", task_id=[waiting.id, later.id])
    ask("revoke", task_id=busy.id, terminate=True)
    assert [broker.meta(result.id)["status"] for result in (busy, waiting, later)] == ["REVOKED"] * 3
    broker.wait_settled()


@pytest.mark.parametrize("signal", [None, "KILL", "SIGTERM", 15])
def test_terminated_while_it_runs(ours, app, ask, broker, signal):
    running = app.send_task("celeriac.sleep", (600,))
    wait_until(lambda: ask("active"), 30)
    assert ask("revoke", task_id=running.id, terminate=True, signal=signal) == {"ok": f"terminate: {running.id}"}
    meta = broker.meta(running.id)
    assert (meta["status"], meta["result"]["exc_message"]) == ("REVOKED", ["terminated"])
    wait_until(lambda: ask("active") == [], 30)
    broker.wait_settled()


def stamped(app, name, *args, **headers):
    class Stamp(StampingVisitor):
        def on_signature(self, sig, **_):
            return {**headers, "stamped_headers": list(headers)}

    made = app.signature(name, args)
    made.stamp(Stamp())
    return made.apply_async()


def test_what_is_revoked_outlives_a_restart_and_reaches_late_workers(make_worker, app, ask, broker):
    first = make_worker("-n", OURS)
    ask("revoke", task_id="kept")
    ask("revoke_by_stamped_headers", headers={"user": ["7", "8"]})
    for key, count in (("revoked", 1), ("revoked-stamps", 2)):
        wait_until(lambda: broker.redis.zcard(f"celeriac:{broker.instance}:{key}") == count, 30, "it was not kept")
        assert 0 < broker.redis.ttl(f"celeriac:{broker.instance}:{key}") <= 10801
    assert first.kill() is None
    second = make_worker("-n", OURS)
    wait_until(lambda: ask("revoked") == ["kept"], 30, "it does not know")
    app.send_task("celeriac.echo", (1,), task_id="kept")
    assert broker.meta("kept")["status"] == "REVOKED"
    assert broker.meta(stamped(app, "celeriac.echo", 1, user="8").id)["status"] == "REVOKED"
    assert stamped(app, "celeriac.echo", 1, user="9").get(timeout=30) == 1
    second.term()


def test_revoked_ids_are_bounded(make_worker, ask, broker):
    make_worker("-n", OURS, CELERY_WORKER_REVOKES_MAX="3")
    ask("revoke", task_id=[f"id-{n}" for n in range(10)])
    assert ask("revoked") == ["id-7", "id-8", "id-9"]
    key = f"celeriac:{broker.instance}:revoked"
    wait_until(lambda: set(broker.redis.zrange(key, 0, -1)) == {b"id-7", b"id-8", b"id-9"}, 30)


def test_revoked_ids_expire(make_worker, ask, broker):
    make_worker("-n", OURS, CELERY_WORKER_REVOKE_EXPIRES="2")
    assert "flagged" in ask("revoke", task_id=["a", "b"])["ok"]
    wait_until(lambda: ask("revoked") == [] and not broker.redis.exists(f"celeriac:{broker.instance}:revoked"), 30)


def test_revoked_by_stamp(ours, app, ask, broker):
    result = stamped(app, "celeriac.sleep", 600, user="7")
    other = app.send_task("celeriac.sleep", (600,))
    wait_until(lambda: len(ask("active")) == 2, 30)
    assert "revoked" in ask("revoke_by_stamped_headers", headers={"user": ["7"]}, terminate=True)["ok"]
    assert broker.meta(result.id)["result"]["exc_message"] == ["terminated"]
    assert broker.meta(stamped(app, "celeriac.echo", 1, user="7").id)["result"]["exc_message"] == ["revoked"]
    ask("revoke", task_id=other.id, terminate=True)
