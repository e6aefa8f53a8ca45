"""Events as Celery's own receiver and its State see them."""

import base64
import json
import os
import signal
import statistics
import threading
import time

import pytest

from clients import OURS, Broker
from services import patience, wait_until

BASE = {"type", "hostname", "timestamp", "utcoffset", "pid", "clock", "local_received"}
WORKER = BASE | {"freq", "active", "processed", "loadavg", "sw_ident", "sw_ver", "sw_sys"}
FIELDS = {
    "task-received": BASE | {"uuid", "name", "args", "kwargs", "root_id", "parent_id", "retries", "eta", "expires"},
    "task-started": BASE | {"uuid"},
    "task-succeeded": BASE | {"uuid", "result", "runtime"},
    "task-failed": BASE | {"uuid", "exception", "traceback"},
    "task-revoked": BASE | {"uuid", "terminated", "signum", "expired"},
    "worker-online": WORKER, "worker-heartbeat": WORKER, "worker-offline": WORKER,
}


class Monitor:
    """Receives on a thread of its own."""

    def __init__(self, app):
        self.app = app
        self.events = []
        self.arrived = []
        self.state = app.events.State()
        self.connection = app.connection_for_read()
        self.receiver = app.events.Receiver(self.connection, handlers={"*": self.take})
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def take(self, event):
        self.arrived.append(time.monotonic())
        self.state.event(dict(event))
        self.events.append(dict(event))  # last: who waits for it finds the rest

    def run(self):
        # Without a timeout: what comes between two captures is lost. It looks at should_stop once a second.
        try:
            for _ in self.receiver.itercapture(limit=None, timeout=None, wakeup=True):
                pass
        except Exception:
            return

    def wait_subscribed(self, broker):
        database = str(broker.redis.connection_pool.connection_kwargs["db"])
        wait_until(lambda: any(client["db"] == database and client["psub"] != "0" and not client["name"].startswith("celeriac-")
                               for client in broker.redis.client_list()), 30, "the monitor did not subscribe")

    def stop(self):
        self.receiver.should_stop = True
        self.thread.join(5)

    def of(self, kind, uuid=None):
        return [event for event in self.events if event["type"] == kind and uuid in (None, event.get("uuid"))]

    def wait(self, kind, uuid=None, seconds=30):
        return wait_until(lambda: self.of(kind, uuid), seconds,
                          lambda: f"no {kind} {uuid}: {[event['type'] for event in self.events]}")[0]


@pytest.fixture
def monitor(app, broker):
    made = Monitor(app)
    made.wait_subscribed(broker)
    yield made
    made.stop()


def test_a_task_from_its_reception_to_its_success(monitor, make_worker, app):
    make_worker("-n", OURS, "-E")
    monitor.wait("worker-online")
    result = app.send_task("celeriac.add", (1,), {"y": 2}, expires=600)
    assert result.get(timeout=60) == 3
    succeeded = monitor.wait("task-succeeded", result.id)
    received, started = monitor.wait("task-received", result.id), monitor.wait("task-started", result.id)
    for event in (received, started, succeeded):
        assert set(event) == FIELDS[event["type"]]
        assert event["hostname"] == OURS and abs(event["timestamp"] - time.time()) < 60
        assert event["utcoffset"] == (time.altzone if time.localtime().tm_isdst else time.timezone) // 3600
    assert received["clock"] < started["clock"] < succeeded["clock"]
    assert (received["name"], received["args"], received["kwargs"]) == ("celeriac.add", "(1,)", "{'y': 2}")
    assert (received["root_id"], received["parent_id"], received["retries"], received["eta"]) == (result.id, None, 0, None)
    assert received["expires"].startswith("20")
    assert succeeded["result"] == "3" and 0 <= succeeded["runtime"] < patience(5)
    task = monitor.state.tasks[result.id]
    assert (task.state, task.name, task.worker.hostname) == ("SUCCESS", "celeriac.add", OURS)
    wait_until(lambda: task.worker.alive, 30, "it is not alive")


def test_the_same_fields_as_pythons(monitor, make_worker, make_python_worker, app):
    make_worker("-n", OURS, "-E", "-Q", "ours")
    make_python_worker(args=["-E", "-Q", "python"])
    ids = {}
    for queue in ("ours", "python"):
        ids[queue] = [app.send_task("celeriac.echo", (1,), queue=queue).id, app.send_task("celeriac.fail", ("no",), queue=queue).id,
                      app.send_task("celeriac.echo", (1,), queue=queue, expires=-1).id]
    kinds = ("task-succeeded", "task-failed", "task-revoked")
    for kind, mine, theirs in zip(kinds, ids["ours"], ids["python"], strict=True):
        mine, theirs = monitor.wait(kind, mine, 30), monitor.wait(kind, theirs, 30)
        assert set(mine) == set(theirs) == FIELDS[kind]
        for key in ("result", "exception", "terminated", "signum", "expired"):
            assert mine.get(key) == theirs.get(key), kind
        assert {type(mine[key]) for key in mine} == {type(theirs[key]) for key in theirs}
    for kind in ("worker-online", "worker-heartbeat"):
        # Python sends some without what a heart knows (celery/worker/control.py, enable_events).
        wait_until(lambda: len({event["hostname"] for event in monitor.of(kind) if set(event) == FIELDS[kind]}) == 2, 30)
        assert all(set(event) == FIELDS[kind] for event in monitor.of(kind) if event["hostname"] == OURS)


def test_failures_and_revocations(monitor, make_worker, app, broker):
    make_worker("-n", OURS, "-E")
    broker.wait_listening()
    failed = app.send_task("celeriac.fail", ("no luck",))
    event = monitor.wait("task-failed", failed.id)
    assert event["exception"] == "RuntimeError('no luck')" and "RuntimeError: no luck" in event["traceback"]
    expired = app.send_task("celeriac.echo", (1,), expires=-5)
    event = monitor.wait("task-revoked", expired.id)
    assert (event["terminated"], event["signum"], event["expired"]) == (False, None, True)
    app.control.revoke("r-1", reply=True, limit=1, timeout=30)
    app.send_task("celeriac.echo", (1,), task_id="r-1")
    event = monitor.wait("task-revoked", "r-1")
    assert (event["terminated"], event["signum"], event["expired"]) == (False, None, False)
    running = app.send_task("celeriac.sleep", (600,))
    monitor.wait("task-started", running.id)
    app.control.revoke(running.id, terminate=True, signal="KILL")
    event = monitor.wait("task-revoked", running.id)
    assert (event["terminated"], event["signum"], event["expired"]) == (True, 9, False)
    assert monitor.state.tasks[running.id].state == "REVOKED"


def test_a_task_nobody_knows_is_a_failure(monitor, make_worker, make_python_worker, app):
    make_worker("-n", OURS, "-E", "-Q", "ours")
    make_python_worker(args=["-E", "-Q", "python"])
    mine, theirs = (monitor.wait("task-failed", app.send_task("nobody.knows", queue=queue).id, 30) for queue in ("ours", "python"))
    assert set(mine) == set(theirs) and mine["exception"] == theirs["exception"] == "NotRegistered('nobody.knows')"


def test_the_result_is_there_when_its_event_comes(monitor, make_worker, app):
    make_worker("-n", OURS, "-E")
    states = {}
    take = monitor.take

    def look(event):
        if event["type"] == "task-succeeded":
            states[event["uuid"]] = app.AsyncResult(event["uuid"]).state
        take(event)

    monitor.receiver.handlers["*"] = look
    results = [app.send_task("celeriac.echo", (n,)) for n in range(50)]
    wait_until(lambda: len(states) == len(results), 30)
    assert set(states.values()) == {"SUCCESS"}


def test_task_events_are_off_until_they_are_wanted(monitor, make_worker, app, broker):
    make_worker("-n", OURS)
    monitor.wait("worker-online")
    broker.wait_listening()
    app.send_task("celeriac.echo", (1,)).get(timeout=60)
    assert app.control.enable_events(reply=True, timeout=30, limit=1) == [{OURS: {"ok": "task events enabled"}}]
    second = app.send_task("celeriac.echo", (2,))
    monitor.wait("task-succeeded", second.id)
    assert app.control.disable_events(reply=True, timeout=30, limit=1) == [{OURS: {"ok": "task events disabled"}}]
    app.send_task("celeriac.echo", (3,)).get(timeout=60)
    seen = len(monitor.of("worker-heartbeat"))
    wait_until(lambda: len(monitor.of("worker-heartbeat")) > seen, 30, "no heartbeat came after it")
    assert {event["uuid"] for event in monitor.events if event["type"].startswith("task-")} == {second.id}


def test_online_heartbeat_offline(monitor, make_worker, app):
    worker = make_worker("-n", OURS, "--heartbeat-interval", "0.5")
    online = monitor.wait("worker-online")
    assert set(online) == WORKER
    assert (online["hostname"], online["freq"], online["sw_ident"], online["sw_sys"]) == (OURS, 0.5, "celeriac", "Linux")
    assert online["pid"] == worker.process.pid
    assert len(online["loadavg"]) == 3
    # the kernel reckons it anew every five seconds
    wait_until(lambda: [event for event in monitor.of("worker-heartbeat")[-1:] if event["loadavg"] == [round(load, 2) for load in os.getloadavg()]],
               30, "it tells another load than the machine's")
    app.send_task("celeriac.sleep", (600,))
    wait_until(lambda: [event for event in monitor.of("worker-heartbeat") if (event["active"], event["processed"]) == (1, 1)], 30)
    wait_until(lambda: len(monitor.of("worker-heartbeat")) >= 5, 30)
    ticks = [event["timestamp"] for event in monitor.of("worker-heartbeat")]
    assert 0.3 < statistics.median(later - earlier for earlier, later in zip(ticks, ticks[1:])) < patience(1.5)
    # which it is for two heartbeats' time after each
    wait_until(lambda: monitor.state.workers[OURS].alive, 30, "it is not alive")
    worker.quit()
    monitor.wait("worker-offline")
    assert not monitor.state.workers[OURS].alive


def test_without_heartbeat(monitor, make_worker, app):
    worker = make_worker("-n", OURS, "-E", "--without-heartbeat")
    result = app.send_task("celeriac.echo", (1,))
    monitor.wait("task-succeeded", result.id)
    worker.term()
    assert {event["type"] for event in monitor.events} == {"task-received", "task-started", "task-succeeded"}


def test_many_events_come_in_batches_and_one_comes_at_once(make_worker, app, broker):
    make_worker("-n", OURS, "-E", "-c", "4", "--without-heartbeat")
    raw = broker.redis.pubsub()
    raw.psubscribe(f"/{broker.redis.connection_pool.connection_kwargs['db']}.celeryev/*")  # channels are the server's, not the database's
    wait_until(lambda: (raw.get_message(timeout=1) or {}).get("type") == "psubscribe", 30, "nobody listens")
    results = [app.send_task("celeriac.echo", (n,)) for n in range(300)]
    for result in results:
        result.get(timeout=60)
    sizes, seen = [], 0
    deadline = time.monotonic() + patience(60)
    while seen < 900 and time.monotonic() < deadline:
        message = raw.get_message(timeout=0.5)
        if message and message["type"] == "pmessage":
            envelope = json.loads(message["data"])
            events = json.loads(base64.b64decode(envelope["body"]))
            assert envelope["headers"] == {"hostname": OURS}
            sizes.append(len(events) if isinstance(events, list) else 1)
            assert message["channel"].endswith(b"/task.multi") == isinstance(events, list)
            seen += sizes[-1]
    assert seen == 900 and max(sizes) > 5 and max(sizes) <= 24, sizes

    def messages():
        """The kinds of events in each message, until a task has succeeded."""
        kinds = []
        while not kinds or "task-succeeded" not in kinds[-1]:
            message = wait_until(lambda: (message := raw.get_message(timeout=0.01)) and message["type"] == "pmessage" and message, 30)
            events = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
            kinds.append([event["type"] for event in (events if isinstance(events, list) else [events])])
        return kinds

    def first_message():
        """When nothing was said for a while, the first event waits for no other."""
        time.sleep(0.2)
        app.send_task("celeriac.echo", (1,))
        return messages()[0]

    # of a machine where the thread has to wait for a core, not every time
    wait_until(lambda: first_message() == ["task-received"], 30, "the first event waits for others")


def test_long_values_are_cut_and_secrets_left_out(monitor, make_full_worker, app, ask):
    make_full_worker("-n", OURS, "-E")
    result = app.send_task("celeriac.echo", ("x" * 100_000,))
    received = monitor.wait("task-received", result.id)
    succeeded = monitor.wait("task-succeeded", result.id)
    assert len(received["args"]) <= 1100 and len(succeeded["result"]) <= 1100
    for args, kwargs in (((), {"conversation_id": "c", "code": "print(1)", "env": {"TOKEN": "hunter2"}}),
                         (("c", "print(1)", "python", None, None, None, None, {"TOKEN": "hunter2"}), {})):
        task = app.send_task("sandbox.execute_code", args, kwargs, countdown=600)
        received = monitor.wait("task-received", task.id)
        assert "hunter2" not in json.dumps(received) and "print(1)" in json.dumps(received)
    scheduled = wait_until(lambda: len(got := ask("scheduled")) == 2 and got, 30)
    assert "hunter2" not in json.dumps(scheduled)


def test_events_stop_nobody_while_the_broker_is_away(make_redis, make_worker, instance):
    server = make_redis().start()
    broker = Broker(server.url(1), instance)
    worker = make_worker("-n", OURS, "-E", broker=broker)
    server.kill()
    wait_until(lambda: worker.readiness().get("broker") == "away", 30, "/readyz does not say so")
    worker.process.send_signal(signal.SIGSTOP)  # until somebody hears what it says
    server.start()
    app = broker.app()
    monitor = Monitor(app)
    monitor.wait_subscribed(broker)
    worker.process.send_signal(signal.SIGCONT)
    monitor.wait("worker-online")
    result = app.send_task("celeriac.echo", (1,))
    assert result.get(timeout=60) == 1
    monitor.wait("task-succeeded", result.id)
    monitor.stop()
    assert worker.alive()


def test_clocks_are_lamports(monitor, make_worker, app, broker):
    make_worker("-n", OURS, "-E")
    broker.wait_listening()
    app.control.mailbox.clock.adjust(100_000)
    app.control.ping(timeout=30, limit=1)
    result = app.send_task("celeriac.echo", (1,))
    assert monitor.wait("task-succeeded", result.id)["clock"] > 100_000
