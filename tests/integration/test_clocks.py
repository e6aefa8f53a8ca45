"""Workers whose clocks are an hour off: nothing early, nothing late, nothing twice, and the log says so."""

import datetime
import json
import pathlib
import subprocess
import sys
import time

import pytest

from services import patience, wait_until
from test_beat import Beat

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
    assert app.send_task("celeriac.echo", (2,), expires=now + datetime.timedelta(minutes=30)).get(timeout=60) == 2
    gone = app.send_task("celeriac.echo", (3,), expires=now - datetime.timedelta(minutes=30))
    assert broker.meta(gone.id)["status"] == "REVOKED"
    assert app.send_task("celeriac.echo", (4,), eta=now - datetime.timedelta(minutes=30)).get(timeout=60) == 4
    due = app.send_task("celeriac.echo", (5,), countdown=1)
    due.get(timeout=60)
    assert abs(datetime.datetime.fromisoformat(broker.meta(due.id)["date_done"]) - datetime.datetime.now(UTC)) < datetime.timedelta(minutes=10)
    assert later.state == "PENDING" and broker.unacked() == (1, 1)
    assert all(abs(score) < 600 for score in scores(broker)), scores(broker)
    assert len(wrong.log_lines("Substantial drift")) == 1


def test_with_a_worker_whose_clock_is_right(wrong, make_worker, app, broker):
    """Retries go from one to the other; what either holds is nobody else's."""
    right = make_worker("-c", "2", "--disable-prefetch")
    assert not right.log_lines("Substantial drift")
    results = []

    def both_had_some():
        """One of them may be quick enough to take all of a round."""
        began = time.monotonic()
        results.extend(app.send_task("celeriac.retry", (3,), {"countdown": 0.2}) for _ in range(20))
        assert [result.get(timeout=60) for result in results[-20:]] == [3] * 20
        assert time.monotonic() - began < patience(60)
        return min(wrong.metric("messages_received_total"), right.metric("messages_received_total")) > 0

    wait_until(both_had_some, 60, "one of them takes nothing")
    sleeping = [app.send_task("celeriac.sleep", (600,)) for _ in range(4)]
    wait_until(lambda: wrong.metric("tasks_active") == 2 and right.metric("tasks_active") == 2, 30, "not both are busy")
    assert all(abs(score) < 600 for score in scores(broker)), scores(broker)
    # a Python worker with half an hour of patience sees nothing that is due
    subprocess.run([sys.executable, "-c", STALE, broker.url], check=True, timeout=patience(60))
    assert broker.unacked() == (4, 4) and broker.redis.llen("celery") == 0
    broker.wait_listening(2)
    app.control.revoke([result.id for result in sleeping], terminate=True)
    assert {broker.meta(result.id)["status"] for result in sleeping} == {"REVOKED"}
    broker.wait_settled()
    assert sum(one.metric("tasks_succeeded_total") for one in (wrong, right)) == len(results)
    assert right.metric("messages_restored_total") == wrong.metric("messages_restored_total") == 0


class Clock:
    """The wall clock of programs that are started with `settings`, which a test sets while they run."""

    def __init__(self, directory):
        self.file = directory / "clock"
        self.set(0)
        self.settings = {**off_by(0), "FAKETIME": None, "FAKETIME_TIMESTAMP_FILE": self.file, "FAKETIME_NO_CACHE": "1"}

    def set(self, seconds):
        """So far off from the machine's. In place, as programs may not read another file."""
        text = f"{seconds:+.0f}s\n".ljust(16)
        with open(self.file, "r+" if self.file.exists() else "w") as file:
            file.write(text)


@pytest.mark.parametrize("seconds", [pytest.param(3600, id="ahead"), pytest.param(-3600, id="behind", marks=pytest.mark.long)])
def test_set_while_a_worker_holds_and_runs(seconds, directory, make_worker, app, broker):
    """What is held keeps its time and is nobody else's, what runs goes on; the same when the clock is set right again."""
    clock = Clock(directory)
    worker = make_worker("-c", "2", **clock.settings)
    running = app.send_task("celeriac.sleep", (600,))
    late = app.send_task("celeriac.echo", (1,), countdown=1800)
    wait_until(lambda: broker.unacked() == (2, 2), 30, "it does not hold both")
    for to, said in ((seconds, "Substantial drift from"), (0, "agrees with that of")):
        soon = app.send_task("celeriac.echo", (2,), eta=datetime.datetime.now(UTC) + datetime.timedelta(seconds=patience(4)), expires=600)
        wait_until(lambda: broker.unacked() == (3, 3), 30, "it is not held")
        clock.set(to)
        worker.wait_log(said)
        assert soon.get(timeout=patience(60)) == 2
        done = datetime.datetime.fromisoformat(broker.meta(soon.id)["date_done"])
        assert abs(done - datetime.datetime.now(UTC)) < datetime.timedelta(minutes=10)
        assert app.send_task("celeriac.retry", (2,), {"countdown": 0.5}).get(timeout=60) == 2
        wait_until(lambda: broker.unacked() == (2, 2), 30, "it lost or ran what it held")
        assert all(abs(score) < 600 for score in scores(broker)), scores(broker)
        assert late.state == "PENDING" and running.state in ("PENDING", "STARTED")
    subprocess.run([sys.executable, "-c", STALE, broker.url], check=True, timeout=patience(60))
    assert broker.unacked() == (2, 2) and worker.metric("messages_restored_total") == 0
    assert len(worker.log_lines("Substantial drift")) == 1


@pytest.mark.long
def test_set_while_beat_leads(directory, broker, ended):
    """Waits go on as they were; what is told by the clock comes once, however often its hour does."""
    clock = Clock(directory)
    half_past = 1800 - time.time() % 3600  # from here to that of this hour
    clock.set(half_past)
    (directory / "beat.json").write_text(json.dumps({
        "often": {"task": "app.often", "schedule": 0.5, "options": {"queue": "often"}},
        "hourly": {"task": "app.hourly", "schedule": "0 * * * *", "options": {"queue": "hourly"}}}))
    beat = Beat(directory, broker.url, broker.instance, SANDBOX_CLEANUP_INTERVAL="3600", CELERIAC_BEAT_SCHEDULE=directory / "beat.json",
                CELERY_BEAT_MAX_LOOP_INTERVAL="1", **clock.settings)
    ended.append(beat)
    began = time.monotonic()
    beat.start()

    def goes_on():
        before = broker.redis.llen("often")
        wait_until(lambda: broker.redis.llen("often") >= before + 4, 30, "it stands still")

    goes_on()
    assert broker.redis.llen("hourly") == 0
    clock.set(half_past + 1797 - (time.monotonic() - began))  # three seconds before the hour
    wait_until(lambda: broker.redis.llen("hourly") == 1, 30, "the hour went by")
    for step, (seconds, runs) in enumerate(((-2700, 1), (60, 1), (4500, 2)), 2):  # the hour before, this one again, a quarter into the next
        clock.set(half_past + 1800 + seconds)
        beat.wait_log("the clock was set by", step)
        goes_on()
        assert broker.redis.llen("hourly") == runs, f"after step {step}"
    took = time.monotonic() - began
    assert took / 0.5 / 4 <= broker.redis.llen("often") <= took / 0.5 + 2, "too few or too many"
