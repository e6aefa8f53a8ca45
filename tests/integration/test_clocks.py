"""Workers whose clocks are an hour off: nothing early, nothing late, nothing twice, and the log says so."""

import datetime
import pathlib
import subprocess
import sys
import time

import pytest

from services import wait_until

UTC = datetime.timezone.utc
FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
STALE = """
import sys, kombu
with kombu.Connection(sys.argv[1], transport_options={"visibility_timeout": 1800}) as connection:
    connection.default_channel.qos.restore_visible(num=None)
"""


def off_by(hours):
    """Of the wall clock alone; waits on the monotonic one are left as they are."""
    return {"LD_PRELOAD": FAKETIME, "FAKETIME": f"{hours:+d}h", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0"}


@pytest.fixture(params=[1, -1], ids=["ahead", "behind"])
def wrong(request, make_worker):
    """A worker whose clock is an hour off, and knows it."""
    made = make_worker("-c", "2", "--disable-prefetch", **off_by(request.param))
    made.wait_log(rf"Substantial drift from redis://\S+ may mean clocks are out of sync. Current drift is 3600 seconds: this "
                  f"machine is {'ahead' if request.param > 0 else 'behind'}")
    return made


def scores(broker):
    return [score - time.time() for _, score in broker.redis.zrange("unacked_index", 0, -1, withscores=True)]


def test_what_a_message_says_is_kept(wrong, app, broker):
    now = datetime.datetime.now(UTC)
    later = app.send_task("celeriac.echo", (1,), eta=now + datetime.timedelta(minutes=30))
    wait_until(lambda: broker.unacked() == (1, 1), 30, "it is not held")
    assert app.send_task("celeriac.echo", (2,), expires=now + datetime.timedelta(minutes=30)).get(timeout=30) == 2
    gone = app.send_task("celeriac.echo", (3,), expires=now - datetime.timedelta(minutes=30))
    assert broker.meta(gone.id)["status"] == "REVOKED"
    assert app.send_task("celeriac.echo", (4,), eta=now - datetime.timedelta(minutes=30)).get(timeout=30) == 4
    due = app.send_task("celeriac.echo", (5,), countdown=1)
    due.get(timeout=30)
    assert abs(datetime.datetime.fromisoformat(broker.meta(due.id)["date_done"]) - datetime.datetime.now(UTC)) < datetime.timedelta(minutes=1)
    assert later.state == "PENDING" and broker.unacked() == (1, 1)
    assert all(abs(score) < 60 for score in scores(broker)), scores(broker)
    assert len(wrong.log_lines("Substantial drift")) == 1


def test_with_a_worker_whose_clock_is_right(wrong, make_worker, app, broker):
    """Retries go from one to the other; what either holds is nobody else's."""
    right = make_worker("-c", "2", "--disable-prefetch")
    assert not right.log_lines("Substantial drift")
    began = time.monotonic()
    results = [app.send_task("celeriac.retry", (3,), {"countdown": 0.2}) for _ in range(20)]
    assert [result.get(timeout=60) for result in results] == [3] * 20
    assert time.monotonic() - began < 60
    assert min(wrong.metric("messages_received_total"), right.metric("messages_received_total")) > 0
    sleeping = [app.send_task("celeriac.sleep", (600,)) for _ in range(4)]
    wait_until(lambda: wrong.metric("tasks_active") == 2 and right.metric("tasks_active") == 2, 30, "not both are busy")
    assert all(abs(score) < 60 for score in scores(broker)), scores(broker)
    # a Python worker with half an hour of patience sees nothing that is due
    subprocess.run([sys.executable, "-c", STALE, broker.url], check=True, timeout=60)
    assert broker.unacked() == (4, 4) and broker.redis.llen("celery") == 0
    broker.wait_listening()
    app.control.revoke([result.id for result in sleeping], terminate=True)
    assert {broker.meta(result.id)["status"] for result in sleeping} == {"REVOKED"}
    broker.wait_settled()
    assert sum(one.metric("tasks_succeeded_total") for one in (wrong, right)) == 20
    assert right.metric("messages_restored_total") == wrong.metric("messages_restored_total") == 0
