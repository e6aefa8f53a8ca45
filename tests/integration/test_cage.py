"""What a program can still do once it is at work: /proc says which parts hold, a module tries what they forbid."""

import pathlib
import signal

import pytest

from services import free_port, wait_until
from test_beat import Beat
from worker import run_program

FORBIDDEN = {
    "fork": "ENOSYS", "clone": "ENOSYS", "execve": "ENOSYS", "ptrace": "EPERM", "shadow": "EACCES", "read": "EACCES",
    "write": "EACCES", "environ": "EACCES", "memory": "EACCES", "packet": "ENOSYS", "raw": "ENOSYS", "audit": "ENOSYS",
    "bind": "EACCES", "code": "ENOSYS", "later code": "ENOSYS", "signal": "ENOSYS", "namespace": "EPERM", "mount": "EPERM",
    "keys": "EPERM", "typing": "ENOSYS",
}
NEEDED = ["hosts", "tcp"]
# what root can without a cage, and does no harm to the machine
FREE = ["fork", "clone", "execve", "shadow", "read", "write", "environ", "memory", "packet", "raw", "audit", "bind", "code",
        "later code", "signal"]


def status(process):
    lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {line.split(":")[0]: line.split(":")[1].split() for line in lines}


def assert_caged(process, uid="0"):
    now = status(process)
    assert now["NoNewPrivs"] == ["1"] and now["Seccomp"] == ["2"]
    assert now["Groups"] == [] if uid == "0" else now["Uid"] == [uid] * 4 and now["Groups"] == [uid]
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(now[kind][0], 16) == 0, kind
    if uid == "0":
        assert int(now["CapBnd"][0], 16) == 0
    # what belongs to a process that is not dumpable is root's, whoever runs it
    assert pathlib.Path(f"/proc/{process.pid}/environ").stat().st_uid == 0


@pytest.fixture
def caged(make_worker, headers, directory):
    """A worker with the module, and a file of somebody's that no setting names."""
    (directory / "elsewhere").mkdir()
    path = directory / "elsewhere" / "file"
    path.write_text("of somebody else")
    return make_worker("-I", headers.compile("cage")), path


def attempt(app, name, path):
    return app.send_task("cage.try", (name, str(path))).get(timeout=60)


def test_what_is_forbidden(caged, app):
    worker, path = caged
    assert_caged(worker.process)
    assert worker.log_lines("cage: privileges, files, calls, memory$")
    got = {name: attempt(app, name, path) for name in FORBIDDEN}
    assert got == FORBIDDEN
    assert [attempt(app, name, path) for name in NEEDED] == ["done"] * len(NEEDED)
    assert attempt(app, "other program", path) != "done"
    assert app.send_task("celeriac.echo", (1,)).get(timeout=60) == 1 and worker.term() == 0


def test_without(make_worker, headers, directory, app):
    """The same attempts succeed where there is no cage: it is what stops them."""
    path = directory / "file"
    path.write_text("")
    worker = make_worker("-I", headers.compile("cage"), CELERIAC_CAGE="off")
    assert status(worker.process)["NoNewPrivs"] == ["0"] and status(worker.process)["Seccomp"] == ["0"]
    assert worker.log_lines("cage: nothing")
    assert {name: attempt(app, name, path) for name in FREE} == {name: "done" for name in FREE}


def test_parts_left_out(make_worker, headers, directory, app):
    path = directory / "file"
    path.write_text("")
    worker = make_worker("-I", headers.compile("cage"), CELERIAC_CAGE="strict", CELERIAC_CAGE_WITHOUT="calls,memory",
                         CELERIAC_CAGE_PATHS=f"{path}:ro")
    now = status(worker.process)
    assert now["Seccomp"] == ["0"] and now["NoNewPrivs"] == ["1"]
    assert worker.log_lines("WARNING.*cage: calls does not hold: left out")
    assert [attempt(app, name, path) for name in ("fork", "code", "read", "write", "shadow", "execve")] == [
        "done", "done", "done", "EACCES", "EACCES", "done"]


@pytest.mark.parametrize("settings, said", [
    ({"CELERIAC_CAGE": "open"}, "CELERIAC_CAGE"),
    ({"CELERIAC_CAGE_WITHOUT": "bars"}, "'bars' is none of privileges, files, calls, memory"),
    ({"CELERIAC_CAGE_PATHS": "/srv"}, "'/srv' is not /path:ro or /path:rw"),
])
def test_settings_that_are_refused(broker, settings, said):
    done = run_program(CELERY_BROKER_URL=broker.url, CELERIAC_METRICS="", **settings)
    assert done.returncode == 1 and said in done.stderr


def test_another_user(make_worker, app):
    worker = make_worker("--uid", "65534")
    assert_caged(worker.process, "65534")
    assert app.send_task("celeriac.echo", (1,)).get(timeout=60) == 1


def test_restarts(caged, app):
    """The cage outlives a restart in place, and is not built twice: the kernel stacks 16 at most."""
    worker, path = caged
    for n in range(1, 19):
        worker.process.send_signal(signal.SIGHUP)
        worker.wait_log(r"ready\.$", count=n + 1)
    assert_caged(worker.process)
    assert worker.log_lines("cage: .*, as before the restart")
    assert [attempt(app, name, path) for name in ("shadow", "execve", "fork")] == ["EACCES", "ENOSYS", "ENOSYS"]
    assert worker.term() == 0


def test_pidfile_and_log_in_the_cage(make_worker, directory, app):
    """What is written after the start: the log again after a restart, the pidfile's end."""
    own = directory / "own"
    own.mkdir()
    worker = make_worker("--pidfile", own / "pid", "-f", own / "log")
    (own / "log").rename(own / "log.1")
    worker.process.send_signal(signal.SIGHUP)
    wait_until(lambda: (own / "log").exists() and "ready." in (own / "log").read_text(), 30, "it did not restart")
    assert int((own / "pid").read_text()) == worker.process.pid
    assert worker.term() == 0 and not (own / "pid").exists()


def test_beat(redis_server, instance, directory, ended):
    beat = Beat(directory, redis_server.new_url(), instance, CELERIAC_BEAT_METRICS=f"127.0.0.1:{free_port()}").start()
    ended.append(beat)
    beat.wait_role()
    assert_caged(beat.process)
    assert "cage: privileges, files, calls, memory" in beat.log()
    assert beat.term()[0] == 0


def test_check(broker):
    settings = {"CELERY_BROKER_URL": broker.url, "CELERIAC_METRICS": ""}
    said = run_program("--check", **settings).stdout
    for part in ("privileges", "files", "calls", "memory"):
        assert f"ok    cage         {part}: " in said
    said = run_program("--check", CELERIAC_CAGE_WITHOUT="calls", **settings).stdout
    assert "note  cage         calls: left out" in said and "ok    broker" in said
