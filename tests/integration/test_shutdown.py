"""How a worker ends, by the same signals as a Python worker and with the same outcome."""

import json
import pathlib
import re
import signal

import pytest

from clients import OURS
from services import wait_until

TERM, INT, QUIT, HUP, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1


BOTH = pytest.mark.parametrize("start", ["ours", "python"], indirect=True)
RARELY = pytest.mark.parametrize("start", ["ours", pytest.param("python", marks=pytest.mark.long)], indirect=True)
EITHER = (0, 1)  # Celery's own depends on which of two flags it looks at first; ours is the first of the two


@pytest.fixture
def gate(directory):
    """A file for which tasks wait."""
    return directory / "gate"


@pytest.fixture
def make_gated(make_worker, headers):
    """A worker of ours with the task that waits for a file, late acknowledged."""
    def make(*args, **settings):
        return make_worker("-c", "1", "-I", headers.compile("probe"), *args, **{
            "CELERIAC_GRACE_TIME": "600", "CELERY_TASK_ANNOTATIONS": json.dumps({"probe.wait_for": {"acks_late": True}}), **settings})

    return make


@pytest.fixture
def start(request, make_gated, make_python_worker, gate):
    """A worker of either kind with one thread or process that is busy until the gate is opened; Celery's settings by their names."""

    def start(app, **settings):
        if request.param == "ours":
            worker = make_gated(**settings)
        else:
            worker = make_python_worker(args=["-c", "1"], **{f"TEST_{name}": value for name, value in settings.items()}, **settings)
        result = app.send_task("probe.wait_for", (str(gate),))
        wait_until(lambda: any((app.control.inspect(limit=1).active() or {}).values()), 30, "it does not run")
        return worker, result

    return start


def signals(worker, *sent):
    """Each once the one before has been heard of."""
    for signum, said in sent:
        count = worker.log().count(said) if said else 0
        worker.process.send_signal(signum)
        if said:
            wait_until(lambda: worker.log().count(said) > count, 20, lambda: f"nothing of {said!r}:\n{worker.log()}")


def pending(worker, signum):
    """Sent to it, and not yet taken."""
    [mask] = re.findall(r"^ShdPnd:\s*(\w+)$", pathlib.Path(f"/proc/{worker.process.pid}/status").read_text(), re.M)
    return int(mask, 16) >> (signum - 1) & 1


WARM, COLD = "Warm shutdown", "Hitting Ctrl+C again will terminate all running tasks"


class TestAsCelery:
    def check_end(self, worker, statuses):
        ours = hasattr(worker, "node")
        assert worker.process.wait(60) in (statuses[:1] if ours else statuses)

    def check_warm(self, worker, result, broker, gate, how, *statuses):
        signals(worker, *how)
        gate.touch()
        self.check_end(worker, statuses)
        assert result.state == "SUCCESS" and broker.unacked() == (0, 0) and broker.redis.llen("celery") == 0

    def check_cold(self, worker, result, broker, how, *statuses):
        signals(worker, *how)
        self.check_end(worker, statuses)
        assert result.state == "PENDING" and broker.unacked() == (0, 0) and broker.redis.llen("celery") == 1

    @BOTH
    def test_term(self, start, app, broker, gate):
        self.check_warm(*start(app), broker, gate, [(TERM, WARM), (TERM, None)], 0)

    @BOTH
    def test_int(self, start, app, broker, gate):
        self.check_warm(*start(app), broker, gate, [(INT, WARM)], 1)

    @RARELY
    def test_int_after_term(self, start, app, broker, gate):
        self.check_warm(*start(app), broker, gate, [(TERM, WARM), (INT, "Hitting Ctrl+C again will initiate cold shutdown")], *EITHER)

    @BOTH
    def test_quit(self, start, app, broker):
        self.check_cold(*start(app), broker, [(QUIT, COLD)], 0)

    @RARELY
    def test_quit_after_term(self, start, app, broker):
        self.check_cold(*start(app), broker, [(TERM, WARM), (QUIT, COLD)], 0)

    @RARELY
    def test_int_twice(self, start, app, broker):
        self.check_cold(*start(app), broker, [(INT, WARM), (INT, COLD)], *EITHER[::-1])

    @RARELY
    def test_term_can_mean_quit(self, start, app, broker):
        self.check_cold(*start(app, REMAP_SIGTERM="SIGQUIT"), broker, [(TERM, COLD)], 0)

    @RARELY
    def test_soft_waits_for_what_is_nearly_done(self, start, app, broker, gate):
        worker, result = start(app, CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT="60")
        self.check_warm(worker, result, broker, gate, [(QUIT, "Initiating Soft Shutdown, terminating in 60")], 0)

    @RARELY
    def test_soft_does_not_wait_for_long(self, start, app, broker):
        worker, result = start(app, CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT="1")
        self.check_cold(worker, result, broker, [(QUIT, "Initiating Soft Shutdown, terminating in 1")], 0)


def test_soft_is_cut_short(make_worker, app, broker):
    """A second QUIT cancels at once, though the soft time is not over; warm first, it is the same."""
    worker = make_worker("-c", "1", CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT="600", CELERIAC_GRACE_TIME="600")
    app.send_task("celeriac.sleep", (600,))
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
    signals(worker, (TERM, WARM), (QUIT, "Initiating Soft Shutdown"), (QUIT, "Waiting gracefully"))
    assert worker.process.wait(20) == 0
    assert broker.redis.llen("celery") == 1 and broker.unacked() == (0, 0)


@pytest.mark.parametrize("on_idle", ["0", "1"])
def test_soft_when_idle(make_worker, on_idle):
    worker = make_worker(CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT="1", CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE=on_idle)
    assert worker.quit() == 0
    assert bool(worker.log_lines("Initiating Soft Shutdown")) == (on_idle == "1")


def test_force_loses_nothing(make_worker, app, broker, directory):
    """Somebody who presses until it is gone: what was held is recorded, and the next worker has it at once."""
    pidfile = directory / "pid"
    worker = make_worker("-c", "1", "--pidfile", pidfile, CELERIAC_GRACE_TIME="600", CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT="600")
    result = app.send_task("celeriac.sleep", (600,))
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
    worker.process.send_signal(QUIT)
    worker.wait_log("Initiating Soft Shutdown")
    # no more than Redis can be told of: the message stays recorded, for the task cannot be heard of to have ended
    broker.redis.client_pause(60000, all=False)
    try:
        signals(worker, (QUIT, "Waiting gracefully"))
        worker.process.send_signal(QUIT)
        assert worker.process.wait(30) == 1
    finally:
        broker.redis.client_unpause()
    assert worker.log_lines("ended by force") and not pidfile.exists()
    worker.start()
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it does not run again")
    broker.wait_listening()
    app.control.revoke(result.id, terminate=True)
    assert broker.meta(result.id)["status"] == "REVOKED"
    broker.wait_settled()


def test_shutdown_by_remote_control_is_warm(make_gated, app, broker, gate):
    worker = make_gated(REMAP_SIGTERM="SIGQUIT")
    result = app.send_task("probe.wait_for", (str(gate),))
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
    broker.wait_listening()
    app.control.shutdown()
    worker.wait_log(WARM)
    gate.touch()
    assert worker.process.wait(60) == 0
    assert result.state == "SUCCESS"


def test_an_order_that_comes_at_the_end(make_gated, app, broker, ask, gate):
    """Somebody adds a queue while it waits for its last task: it is not consumed any more."""
    worker = make_gated("-n", OURS)
    result = app.send_task("probe.wait_for", (str(gate),))
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
    broker.wait_listening()
    signals(worker, (TERM, WARM))
    app.send_task("celeriac.echo", (1,), queue="late")
    assert ask("add_consumer", queue="late") == {"ok": "add consumer late"}
    gate.touch()
    assert worker.process.wait(60) == 0 and result.state == "SUCCESS"
    assert broker.redis.llen("late") == 1


class TestRestart:
    def test_under_load(self, make_worker, app, broker, directory):
        """The same process, the same node, another life; every task has its one result."""
        pidfile = directory / "pid"
        worker = make_worker("-c", "2", "-b", broker.url, "--pidfile", pidfile, "--workdir", directory.parent, node="again",
                             CELERY_BROKER_URL=None, CELERY_RESULT_BACKEND=broker.url)
        results = [app.send_task("celeriac.sleep", (0.02,)) for _ in range(200)]
        for lives in (1, 2):
            wait_until(lambda: broker.result_count() > 40 * lives, 30, "it does not work")
            worker.process.send_signal(HUP)
            worker.wait_log(" ready\\.", count=lives + 1)
        assert [result.get(timeout=60) for result in results] == [None] * 200
        broker.wait_settled()
        worker.wait_ready()
        assert worker.alive() and int(pidfile.read_text()) == worker.process.pid
        assert not worker.log_lines("is taken by a live worker") and not worker.log_lines("Restored")
        (lease,) = broker.redis.keys("celeriac:*:node:*")
        assert lease.endswith(b":again")
        assert worker.term() == 0 and not pidfile.exists()

    def test_while_redis_is_away(self, make_redis, instance, make_worker):
        """The lease of its earlier life cannot be let go: it is taken over, the name stays."""
        from clients import Broker

        server = make_redis(durable=True).start()
        broker = Broker(server.url(), instance)
        worker = make_worker(broker=broker, node="same")
        server.kill()
        wait_until(lambda: worker.readiness().get("broker") == "away", 20, "it did not notice")
        worker.process.send_signal(HUP)
        worker.wait_log("Restarting celeriac-worker", 60)
        server.start()
        worker.wait_log(" ready\\.", 30, count=2)
        assert not worker.log_lines("is taken by a live worker")
        assert broker.meta(broker.send("celeriac.echo", 1))["result"] == 1

    def test_a_second_signal_means_an_end(self, make_gated, app, gate):
        worker = make_gated()
        result = app.send_task("probe.wait_for", (str(gate),))
        wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
        signals(worker, (HUP, WARM))
        worker.process.send_signal(TERM)
        wait_until(lambda: not pending(worker, TERM), 30, "it was not told")
        gate.touch()
        assert worker.process.wait(60) == 0 and result.state == "SUCCESS"
        assert len(worker.log_lines(" ready\\.")) == 1


def test_usr1_tells_what_runs(make_worker, app):
    worker = make_worker("-c", "2", "-l", "WARNING")
    result = app.send_task("celeriac.sleep", (600,))
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
    worker.process.send_signal(USR1)
    worker.wait_log("=== end of threads ===")
    threads = worker.log_lines(r"thread \d+ \([^)]+\): state [A-Z], [0-9.]+ s of CPU")
    names = {line.split("(")[1].split(")")[0] for line in threads}
    assert {"consumer", "keeper", "control", "events", "pool-1", "pool-2"} <= names
    (busy,) = [line for line in threads if "runs" in line]
    assert f"runs celeriac.sleep[{result.id}] for " in busy and "(pool-" in busy
    assert app.send_task("celeriac.echo", (1,)).get(timeout=20) == 1
