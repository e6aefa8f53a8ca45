"""What becomes of a message however its task ends: the same is asked of a Python worker (python_matrix.py) and of ours, which
has the task from a module (modules/matrix.c). Options reach both as annotations."""

import json

import pytest

from services import wait_until
from test_events import Monitor, monitor

__all__ = ["monitor"]
LATE = {"acks_late": True}
EARLY = {"acks_late": False}
TIMED = {"time_limit": 1}


class Side:
    """A worker of one kind with the one task under test."""

    def __init__(self, kind, make_worker, make_python_worker, headers, app, broker):
        self.kind = kind
        self.make_worker = make_worker
        self.make_python_worker = make_python_worker
        self.headers = headers
        self.app = app
        self.broker = broker

    @property
    def ours(self):
        return self.kind == "ours"

    def start(self, options, **conf):
        annotations = {"matrix.run": options}
        if self.ours:
            settings = {f"CELERY_{name.upper()}": str(value).lower() for name, value in conf.items()}
            module = self.headers.compile("matrix")
            return self.make_worker("-E", "-I", module, CELERY_TASK_ANNOTATIONS=json.dumps(annotations), **settings)
        conf = {"task_annotations": annotations, "task_acks_late": False, **conf}
        # One process: Celery stores RETRY after it has published the retry, and a second process may be done with that by then.
        return self.make_python_worker(args=["-E", "-c", "1", "-I", "python_matrix"], TEST_CONF=json.dumps(conf))

    def send(self, how, **options):
        return self.app.send_task("matrix.run", (how,), **options)


@pytest.fixture(params=["ours", "python"])
def side(request, make_worker, make_python_worker, headers, app, broker):
    return Side(request.param, make_worker, make_python_worker, headers, app, broker)


def kinds(monitor, task_id):
    return {event["type"][5:] + (f" {event['requeue']}" if "requeue" in event else "")
            for event in monitor.events if event.get("uuid") == task_id}


OK = {"received", "started", "succeeded"}
FAILED = {"received", "started", "failed"}
# options of the task, how it ends, state and value (or exception), events, is its message kept among the dead (by us; kombu's
# Redis transport drops what is rejected)
ROWS = [
    ("late success", LATE, "fine", "SUCCESS", "fine", OK, False),
    ("early success", EARLY, "fine", "SUCCESS", "fine", OK, False),
    ("late failure", LATE, "fail", "FAILURE", RuntimeError, FAILED, False),
    ("early failure", EARLY, "fail", "FAILURE", RuntimeError, FAILED, False),
    ("late failure, not acknowledged", {**LATE, "acks_on_failure": False}, "fail", "FAILURE", RuntimeError,
     FAILED | {"rejected False"}, True),
    ("early failure, not acknowledged", {**EARLY, "acks_on_failure": False}, "fail", "FAILURE", RuntimeError, FAILED, False),
    ("late reject", LATE, "reject", "FAILURE", "Reject", FAILED | {"rejected False"}, True),
    ("early reject", EARLY, "reject", "FAILURE", "Reject", FAILED, False),
    ("late requeue", LATE, "requeue", "SUCCESS", "again", OK | {"rejected True"}, False),
    ("late retry", LATE, "retry", "SUCCESS", 2, OK | {"retried"}, False),
    ("early retry", EARLY, "retry", "SUCCESS", 2, OK | {"retried"}, False),
    ("retry at a time", LATE, "retry_eta", "SUCCESS", 1, OK | {"retried"}, False),
    ("retry with a limit of its own", {**LATE, "max_retries": 7}, "retry_once", "FAILURE", ValueError, FAILED | {"retried"}, False),
    ("late time limit", {**LATE, **TIMED}, "sleep_long", "FAILURE", "TimeLimitExceeded", FAILED, False),
    ("early time limit", {**EARLY, **TIMED, "acks_on_timeout": False}, "sleep_long", "FAILURE", "TimeLimitExceeded", FAILED,
     False),
    ("late time limit, not acknowledged", {**LATE, **TIMED, "acks_on_timeout": False}, "sleep_once", "SUCCESS", "again",
     FAILED | OK | {"rejected True"}, False),
    ("late soft time limit, not acknowledged", {**LATE, "soft_time_limit": 1, "acks_on_failure": False}, "sleep_long", "FAILURE",
     "SoftTimeLimitExceeded", FAILED | {"rejected False"}, True),
    ("soft time limit that is caught", {**LATE, "soft_time_limit": 1}, "catch_soft", "SUCCESS", "caught", OK, False),
    ("retries that are over", {**LATE, "max_retries": 1, "default_retry_delay": 0}, "retry", "FAILURE", "MaxRetriesExceededError",
     FAILED | {"retried"}, False),
    ("retries for a reason that are over", {**EARLY, "max_retries": 0}, "retry_for", "FAILURE", ValueError, FAILED, False),
]


@pytest.mark.parametrize("options, how, state, value, events, dead", [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_ends(side, monitor, broker, options, how, state, value, events, dead):
    side.start(options)
    sent = side.send(how)

    def result():
        """A new one: what has once seen a FAILURE does not look again."""
        return side.app.AsyncResult(sent.id)

    wait_until(lambda: result().state == state, 60, lambda: f"{result().state} {result().result!r}, not {state}")
    result = result()
    if isinstance(value, type) or state == "FAILURE":
        name = value if isinstance(value, str) else value.__name__
        assert type(result.result).__name__ == name
    else:
        assert result.result == value
    broker.wait_settled()
    wait_until(lambda: kinds(monitor, result.id) >= events, 30, lambda: f"{kinds(monitor, result.id)}, not {events}")
    assert kinds(monitor, result.id) == events
    assert len(broker.dead()) == (1 if dead and side.ours else 0)


def test_ignored(side, monitor, broker):
    """Nothing is stored, so nobody hears of an end."""
    side.start(LATE)
    result = side.send("ignore")
    wait_until(lambda: {"received", "started"} <= kinds(monitor, result.id), 30, "it did not start")
    broker.wait_settled()
    assert (result.state, kinds(monitor, result.id)) == ("PENDING", {"received", "started"})


def test_own_state(side, broker):
    """The last state a task told stays when it ends by Ignore."""
    side.start(LATE)
    result = side.send("progress")
    wait_until(lambda: result.state == "PROGRESS", 30, "no PROGRESS")
    assert result.info == {"current": 3, "total": 10}
    broker.wait_settled()
    assert (result.state, result.date_done) == ("PROGRESS", None)


def test_retry_tells_its_time(side, broker):
    side.start(LATE)
    sent = side.send("retry_2100")
    wait_until(lambda: side.app.AsyncResult(sent.id).state == "RETRY", 60)
    assert "Retry at 2100-01-01 00:00:00+00:00" in side.app.AsyncResult(sent.id).traceback


def test_retry_tells_its_reason(side, broker):
    side.start({**LATE, "default_retry_delay": 600})
    result = side.send("retry_for")
    wait_until(lambda: result.state == "RETRY", 30, "no RETRY")
    assert isinstance(result.result, ValueError) and result.result.args == ("reason",)
    assert "Retry in 600s: ValueError('reason')" in result.traceback


@pytest.mark.parametrize("options, acknowledged", [(LATE, False), (EARLY, True)], ids=["late", "early"])
def test_acknowledged(side, app, broker, options, acknowledged):
    """What runs is the broker's until it is done, or no longer: `inspect active` says which."""
    side.start({**options, "time_limit": 60})
    result = side.send("sleep_long")
    def active():
        return [task for tasks in (app.control.inspect(limit=1).active() or {}).values() for task in tasks]

    wait_until(active, 30, "not active")
    wait_until(lambda: broker.unacked()[0] == (0 if acknowledged else 1), 30, lambda: f"unacked: {broker.unacked()}")
    # the worker knows a moment after the broker
    [task] = wait_until(lambda: [task for task in active() if task["acknowledged"] == acknowledged], 30, lambda: f"{active()}")
    assert (task["id"], broker.unacked()[0]) == (result.id, 0 if acknowledged else 1)
    app.control.revoke(result.id, terminate=True, signal="KILL")
    wait_until(lambda: result.state == "REVOKED", 30, lambda: f"{result.state}, not REVOKED")
    broker.wait_settled()


def test_callbacks_of_an_early_task(side, app, broker):
    """What follows is published though the message is gone: callbacks, the next of a chain, errbacks."""
    side.start(EARLY)
    def run(how, **options):
        return app.signature("matrix.run", args=(how,), immutable=True, **options)

    assert (run("first") | run("last")).apply_async().get(timeout=60) == "last"
    failing = run("fail", task_id="failing")
    failing.link_error(run("heard", task_id="heard"))
    failing.apply_async()
    assert app.AsyncResult("heard").get(timeout=60) == "heard"


def test_settings_are_the_defaults(side, broker, monitor):
    side.start({}, task_acks_late=True, task_acks_on_failure=False)
    result = side.send("fail")
    wait_until(lambda: "rejected False" in kinds(monitor, result.id), 30, lambda: f"{kinds(monitor, result.id)}")
    broker.wait_settled()
    assert result.state == "FAILURE"
