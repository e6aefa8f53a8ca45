"""A machine with no more descriptors, threads or memory, and an engine that stands still: said, nothing lost, and on when there is more."""

import os
import pathlib
import signal
import time

import pytest

import engines
from forwarder import Forwarder
from full import limited, program_under
from services import ROOT, patience, wait_until
from worker import PROGRAM, run_program

RECOVERY = 5  # seconds after there is more again
NOBODY = 54321  # a user whose threads are nobody else's: the limit counts those of a user, and root has none
START = [("descriptors", ["prlimit", "--nofile=12:12"], "Too many open files"),
         ("threads", ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "prlimit", "--nproc=6:6"], "cannot start thread"),
         ("memory", ["prlimit", f"--as={32 << 20}"], "cannot start thread|out of memory for")]


@pytest.mark.parametrize("_, prefix, said", START, ids=[row[0] for row in START])
def test_too_little_to_start(_, prefix, said, directory, make_worker):
    """It ends at once, says what is missing, and leaves nothing behind."""
    worker = make_worker("-c", "32", program=program_under(directory, prefix, PROGRAM), start=False).spawn()
    assert worker.process.wait(30) != 0
    assert worker.log_lines(said), worker.log()


def test_too_few_descriptors_for_beat(directory):
    done = run_program("-b", "redis://127.0.0.1:1/0", program=program_under(directory, ["prlimit", "--nofile=12:12"], ROOT / "build/celeriac-beat"))
    assert done.returncode == 1 and "Too many open files: the limit is 12, and at least 32 are needed" in done.stderr


def first_free(worker):
    """The number of its next descriptor."""
    taken = {int(name) for name in os.listdir(f"/proc/{worker.process.pid}/fd")}
    return next(number for number in range(len(taken) + 1) if number not in taken)


@pytest.mark.docker
def test_no_more_descriptors(make_full_worker, calls, app, broker):
    """Whoever needs another one waits for it or says so; what has its own goes on."""
    worker = make_full_worker("-c", "4")
    assert calls.run("print(1)", "before")["status"] == "ok"
    with limited(worker.process, "nofile", first_free(worker)):
        sent = [calls.send(f"print({n})") for n in range(6)]
        worker.wait_log("[Tt]oo many open files", 60)
        echoes = [app.send_task("celeriac.echo", (n,)) for n in range(20)]
    back = time.monotonic()
    worker.wait_ready()
    assert [echo.get(timeout=60) for echo in echoes] == list(range(20))
    values = [result.get(timeout=90) for result in sent]
    assert [value["stdout"] for value in values] == [f"{n}\n" for n in range(6)]
    assert time.monotonic() - back < patience(RECOVERY + 6)  # six containers are made, too
    broker.wait_settled()
    assert worker.alive() and len(worker.log_lines("[Tt]oo many open files")) < 50, "it is said again and again"


@pytest.mark.docker
def test_no_more_threads(directory, make_full_worker, calls, app, broker, ended):
    door = Forwarder("/var/run/docker.sock", path=directory / "docker.sock").open()
    ended.append(door)
    door.path.chmod(0o666)
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    worker = make_full_worker("--autoscale=16,2", program=program_under(directory, prefix, PROGRAM), DOCKER_HOST=f"unix://{door.path}")
    assert calls.run("print(1)", "before")["status"] == "ok"
    with limited(worker.process, "nproc", 1, NOBODY):
        sleeping = [app.send_task("celeriac.sleep", (patience(1),)) for _ in range(12)]
        running = [calls.send(f"print({n})") for n in range(2)]
        worker.wait_log("cannot start thread")
    assert [result.get(timeout=patience(60)) for result in sleeping] == [None] * 12
    assert [result.get(timeout=90)["stdout"] for result in running] == ["0\n", "1\n"]
    broker.wait_settled()
    assert worker.alive() and len(worker.log_lines("cannot start thread")) < 50, "it is said again and again"


def test_no_more_memory(make_worker, broker):
    """It says so, and ends or tries again; what it held is not lost, and no message is blamed."""
    worker = make_worker("-c", "2", "-l", "WARNING")
    used = int(pathlib.Path(f"/proc/{worker.process.pid}/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    with limited(worker.process, "data", used + (8 << 20)):  # less than the first message takes
        sent = [broker.send("celeriac.echo", [n, "x" * (8 << 20)]) for n in range(3)]
        worker.wait_log("(?i)out of memory", 60)
    wait_until(lambda: not worker.alive() or broker.result_count() == len(sent), 60, "it neither ended nor went on")
    if not worker.alive():
        assert worker.process.returncode == -signal.SIGABRT
        worker.start()
    assert [(meta["status"], meta["result"][0]) for meta in (broker.meta(task_id, 60) for task_id in sent)] == [("SUCCESS", n) for n in range(3)]
    broker.wait_settled()
    assert broker.dead() == []


@pytest.fixture
def own_engine():
    made = engines.Another()
    try:
        yield made.start()
    finally:
        made.process.send_signal(signal.SIGCONT)
        made.stop()


@pytest.mark.docker
@pytest.mark.long
def test_an_engine_that_stands_still(own_engine, make_full_worker, calls, app, broker):
    """Stopped and continued: it is as if it were away, what runs keeps its verdict, and no container is left."""
    worker = make_full_worker("-c", "4", **own_engine.settings)
    assert calls.run("print(1)", "before")["status"] == "ok"
    running = calls.send("import time\nprint('begun', flush=True)\ntime.sleep(3)\nprint('done')", "before")
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it did not begin")
    own_engine.process.send_signal(signal.SIGSTOP)
    sent = [calls.send(f"print({n})") for n in range(3)]
    worker.wait_log("the container engine is (not usable|away)", 120)
    wait_until(lambda: worker.http("/readyz")[0] == 503, 60, "/readyz does not say so")
    own_engine.process.send_signal(signal.SIGCONT)
    back = time.monotonic()
    worker.wait_ready()
    assert time.monotonic() - back < patience(RECOVERY)
    assert running.get(timeout=60)["stdout"] == "begun\ndone\n"
    assert [result.get(timeout=60)["stdout"] for result in sent] == ["0\n", "1\n", "2\n"]
    broker.wait_settled()
    assert len(worker.log_lines("the container engine is not usable")) == 1
    for conversation in ["before"]:
        assert calls.call("close", conversation_id=conversation) == {"removed": True}
