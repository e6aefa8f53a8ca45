"""The worker as a process: its options, its files, its user; and a consumer that stands still."""

import ctypes
import json
import os
import pathlib
import socket
import stat
import threading

import pytest

from clients import envelope
from forwarder import Forwarder
from services import free_port, wait_until
from worker import run_program

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000
NOBODY = "65534"


# ---- options

@pytest.mark.parametrize("args, said", [
    (["-S", "state.db"], "--statedb is accepted and ignored"),
    (["--max-tasks-per-child", "10"], "--max-tasks-per-child is accepted and ignored"),
    (["--max-memory-per-child=1000"], "--max-memory-per-child is accepted and ignored"),
    (["-O", "fair"], "--optimization is accepted and ignored"),
    (["-P", "prefork"], "tasks run in threads"),
    (["-P", "processes"], "tasks run in threads"),
    (["--executable", "python9"], "--executable is accepted and ignored"),
    (["-s", "file"], "--schedule is accepted and ignored"),
    (["--scheduler", "x:Y"], "--scheduler is accepted and ignored"),
    (["--loader", "x"], "--loader is accepted and ignored"), (["--config", "x"], "--config is accepted and ignored"),
    (["--pool-start-method", "spawn"], "--pool-start-method is accepted and ignored"),
])
def test_options_that_mean_nothing_here(args, said):
    done = run_program(*args, "--settings")
    assert done.returncode == 0 and said in done.stderr


@pytest.mark.parametrize("args, said", [
    (["-B"], "--beat"), (["-P", "eventlet"], "greenlets"), (["-P", "gevent"], "greenlets"), (["-P", "custom"], "custom"),
    (["-P", "fibres"], "fibres"), (["-P", "solo", "--autoscale", "4,1"], "autoscale"),
    (["--workdir", "/no/such/place"], "/no/such/place"), (["--uid", "no-such-user"], "no-such-user"),
    (["--gid", "no-such-group"], "no-such-group"), (["--umask", "999"], "umask"), (["-f", "%z"], "--logfile"),
    (["--pidfile", "%z"], "--pidfile"), (["-f", "/no/such/place/log"], "/no/such/place/log"),
])
def test_options_that_are_refused(args, said):
    done = run_program(*args, CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1 and said in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("celeriac-worker: ")


def test_variables_of_options():
    """Those that click reads for celery's own command."""
    done = run_program("--settings", CELERY_WORKER_CONCURRENCY="3", CELERY_WORKER_TASK_EVENTS="1", CELERY_WORKER_TIME_LIMIT="7",
                       CELERY_WORKER_QUEUES="a,b", CELERY_WORKER_POOL="solo", CELERY_WORKER_STATEDB="state.db",
                       CELERY_WORKER_WITHOUT_GOSSIP="true")
    assert done.returncode == 0 and "--statedb is accepted and ignored" in done.stderr
    rows = {line.split(" = ")[0].strip(): line.split(" = ")[1] for line in done.stdout.splitlines() if " = " in line}
    assert rows["CELERY_WORKER_SEND_TASK_EVENTS"].startswith("true") and "CELERY_WORKER_TASK_EVENTS" in rows["CELERY_WORKER_SEND_TASK_EVENTS"]
    assert rows["CELERY_TASK_TIME_LIMIT"].startswith("7") and rows["CELERY_WORKER_QUEUES"].startswith("a,b")
    assert rows["CELERY_WORKER_CONCURRENCY"].startswith("1 "), "solo is one at a time"
    assert run_program("--settings", CELERY_WORKER_LOGLEVEL="LOUD").stderr.startswith("celeriac-worker: CELERY_WORKER_LOGLEVEL")


def test_solo_runs_in_order(make_worker, app, broker):
    """One at a time, in the order of the queue, also what came while something ran."""
    gate = app.send_task("celeriac.sleep", (600,))
    worker = make_worker("-P", "solo", "-c", "8")
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
    sent = [app.send_task("celeriac.echo", (n,), priority=9 if n < 5 else 0) for n in range(10)]
    assert broker.unacked() == (1, 1), "it holds more than it runs"
    broker.wait_listening()
    app.control.revoke(gate.id, terminate=True)
    assert [result.get(timeout=30) for result in sent] == list(range(10)) and broker.meta(gate.id)["status"] == "REVOKED"
    ran = [line.split("[")[2].split("]")[0] for line in worker.log_lines("celeriac.echo.* succeeded")]
    assert ran == [result.id for result in sent[5:] + sent[:5]]


def test_no_prefetching(make_worker, app, broker):
    worker = make_worker("-c", "2", "--disable-prefetch")
    for _ in range(6):
        app.send_task("celeriac.sleep", (600,))
    wait_until(lambda: worker.metric("tasks_active") == 2, 30, "it was not busy")
    app.send_task("celeriac.echo", (1,))
    assert broker.unacked() == (2, 2) and broker.redis.llen("celery") == 5


# ---- files and user

def test_in_the_background(broker, directory, ended):
    """-D returns once the process in the background has its files; TERM ends it by the pid that it wrote."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    home = directory / "home"
    home.mkdir()
    os.chown(home, int(NOBODY), int(NOBODY))
    done = run_program("-D", "-l", "INFO", "-n", "w1@here", "-f", "%n-%h%I.log", "--pidfile", "%n.pid", "--workdir", str(home), "--uid", NOBODY,
                       "--umask", "077", CELERY_BROKER_URL=broker.url, CELERIAC_METRICS="", CELERIAC_NODE="background", seconds=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int((home / "w1.pid").read_text())
    try:
        log = home / "w1-here.log"
        wait_until(lambda: "w1@here ready." in log.read_text(), 30, lambda: log.read_text())
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        assert set(status["Uid"].split()) == {NOBODY} and "0" not in status["Gid"].split()
        assert int(status["CapEff"], 16) == 0
        assert os.readlink(f"/proc/{pid}/cwd") == str(home) and os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
        assert os.getsid(pid) == pid
        assert stat.S_IMODE(log.stat().st_mode) & 0o077 == 0 and log.stat().st_uid == int(NOBODY)
        again = run_program("-D", "-n", "w1@here", "--pidfile", "%n.pid", "--workdir", str(home), CELERY_BROKER_URL=broker.url, CELERIAC_METRICS="")
        assert again.returncode == 1, "a second one took the file"
    finally:
        os.kill(pid, 15)
    wait_until(lambda: not (home / "w1.pid").exists(), 30, lambda: log.read_text())
    assert "Warm shutdown" in log.read_text()


def test_a_pidfile_of_somebody_elses_pid(make_worker, directory):
    """In a container the pids of an earlier life are soon others'."""
    path = directory / "worker.pid"
    path.write_text("1\n")
    worker = make_worker("--pidfile", path)
    assert int(path.read_text()) == worker.process.pid


# ---- a broker that is away

@pytest.mark.parametrize("settings, said", [
    ({"CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP": "false"}, "broker_connection_retry_on_startup=False"),
    ({"CELERY_BROKER_CONNECTION_MAX_RETRIES": "1"}, "broker_connection_max_retries"),
])
def test_no_patience_at_the_start(settings, said):
    done = run_program(CELERY_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0", CELERIAC_METRICS="", seconds=30, **settings)
    assert done.returncode == 1 and said in done.stderr


@pytest.mark.parametrize("settings, said", [
    ({"CELERY_BROKER_CONNECTION_RETRY": "false"}, "broker_connection_retry=False"),
    ({"CELERY_BROKER_CONNECTION_MAX_RETRIES": "2"}, "broker_connection_max_retries"),
])
def test_no_patience_later(make_redis, make_worker, instance, settings, said):
    from clients import Broker

    server = make_redis().start()
    worker = make_worker(broker=Broker(server.url(), instance), **settings)
    server.kill()
    assert worker.process.wait(60) == 1 and worker.log_lines(said)


# ---- a consumer that stands still

def test_half_open_connections_are_replaced(redis_server, broker, make_worker, ended):
    """The way from Redis to the consumer is silent, though open; all else goes through. The watchdog is faster than any
    timeout of the connection's own."""
    door = Forwarder(("127.0.0.1", redis_server.port)).open()
    ended.append(door)
    behind = broker.url.replace(f":{redis_server.port}/", f":{door.port}/")
    worker = make_worker("-c", "2", CELERY_BROKER_URL=behind, CELERY_RESULT_BACKEND=behind, CELERIAC_WATCHDOG="2s")
    assert broker.meta(broker.send("celeriac.echo", "first"))["result"] == "first"
    door.silence(b"celeriac-consumer")
    sent = [envelope(args=[n]) for n in range(20)]
    broker.redis.lpush("celery", *(json.dumps(message) for _, message in sent))
    worker.wait_log("watchdog: the consumer has stood still for 2 s although Redis answers")
    assert [broker.meta(task_id)["result"] for task_id, _ in sent] == list(range(20))
    broker.wait_settled()
    wait_until(lambda: worker.metric("tasks_succeeded_total") == 21, 30, worker.log)


class Freezer:
    """Stops one thread of another process for good, as a kernel or a library that hangs would."""

    def __init__(self, tid):
        self.tid = tid
        self.done, self.frozen = threading.Event(), threading.Event()
        self.error = 0
        self.thread = threading.Thread(target=self._hold)  # a tracer is a thread

    def _hold(self):
        if LIBC.ptrace(PTRACE_SEIZE, self.tid, None, None) != 0 or LIBC.ptrace(PTRACE_INTERRUPT, self.tid, None, None) != 0:
            self.error = ctypes.get_errno()
        else:
            os.waitpid(self.tid, WALL)
        self.frozen.set()
        while not self.done.wait(0.05) and not self.error:
            if os.waitpid(self.tid, WALL | os.WNOHANG)[0]:  # a dead thread is a zombie until its tracer has heard of it
                return

    def __enter__(self):
        self.thread.start()
        assert self.frozen.wait(10) and self.error == 0, f"ptrace: {os.strerror(self.error)}"
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join(30)


def thread_of(worker, name):
    for task in pathlib.Path(f"/proc/{worker.process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"there is no thread {name}")


def test_what_cannot_be_woken_ends(make_worker, app, broker, headers, directory):
    """Nothing helps a consumer that hangs elsewhere: the process ends, not well, and the next one has what it held."""
    worker = make_worker("-c", "1", "-I", headers.compile("probe"), CELERIAC_WATCHDOG="1s", CELERY_TASK_TRACK_STARTED="1",
                         CELERY_TASK_ANNOTATIONS=json.dumps({"probe.wait_for": {"acks_late": True}}))
    gate = directory / "gate"
    result = app.send_task("probe.wait_for", (str(gate),))
    wait_until(lambda: worker.metric("tasks_active") == 1 and result.state == "STARTED", 30, "it was not busy")
    with Freezer(thread_of(worker, "consumer")):
        assert worker.process.wait(60) == 1
    assert worker.log_lines("connections are replaced") and worker.log_lines("still stands still")
    assert worker.log_lines(r"thread \d+ \(consumer\): state t"), "it does not say where it hangs"
    gate.touch()
    worker.start()
    assert result.get(timeout=30) == 1
    broker.wait_settled()


def test_a_stopped_worker_is_not_stuck(make_worker, app):
    """SIGSTOP and SIGCONT stop the clock of everything at once: the consumer has its time to go round."""
    worker = make_worker(CELERIAC_WATCHDOG="2s")
    os.kill(worker.process.pid, 19)
    threading.Event().wait(5)
    os.kill(worker.process.pid, 18)
    assert app.send_task("celeriac.echo", (1,)).get(timeout=30) == 1
    threading.Event().wait(2.5)
    assert worker.alive() and not worker.log_lines("still stands still")


def test_what_a_service_manager_hears(make_worker, directory):
    """Type=notify with a watchdog: ready, alive, stopping."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(directory / "notify"))
        manager.settimeout(30)
        worker = make_worker(NOTIFY_SOCKET=directory / "notify", WATCHDOG_USEC="2000000")
        assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        worker.term()
        heard = b"WATCHDOG=1"
        while heard == b"WATCHDOG=1":
            heard = manager.recv(100)
        assert heard == b"STOPPING=1"
