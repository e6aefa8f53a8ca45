"""The engine role that a worker starts for itself: what it is told, what the worker can no longer do, and who ends with whom."""

import base64
import os
import pathlib
import signal
import stat

import pytest

import engines
from sandboxes import containers
from services import wait_until
from worker import run_program

pytestmark = pytest.mark.skipif(engines.name() in ("role", "direct"), reason="there the worker has no role of its own")
NOBODY = "65534"


def proc(pid, what):
    return pathlib.Path(f"/proc/{pid}/{what}")


def children(pid):
    return [int(child) for child in proc(pid, f"task/{pid}/children").read_text().split()]


def exists(pid):
    """And is more than what is left until its parent has looked."""
    try:
        return proc(pid, "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def make_forking_worker(make_full_worker):
    def make(*args, **settings):
        return make_full_worker(*args, **settings)

    return make


class Family:
    """The processes of a worker with a role of its own."""

    def __init__(self, worker):
        self.worker = worker.process.pid
        self.keeper = wait_until(lambda: one[0] if len(one := children(self.worker)) == 1 else None, 30, "no keeper")
        self.role = self.new_role()

    def new_role(self, but=0):
        """The role's process once it is in its cage."""
        def inside():
            for child in children(self.keeper):
                if child != but and "Seccomp:\t2" in proc(child, "status").read_text():
                    return child
        return wait_until(inside, 60, "no role")

    def wait_end(self):
        wait_until(lambda: not exists(self.keeper) and not exists(self.role), 30, "they outlived their worker")


def test_what_it_knows(make_forking_worker, postgres, calls, instance):
    secret = base64.b64encode(os.urandom(32)).decode()
    signing = os.urandom(16).hex()
    worker = make_forking_worker(SECRETS_ENCRYPTION_KEY=secret, SANDBOX_CALLBACK_SECRET=signing, SANDBOX_CALLBACK_URL="GET http://127.0.0.1:1/")
    family = Family(worker)
    for pid in (family.keeper, family.role):
        environment = proc(pid, "environ").read_bytes()
        assert secret.encode() not in environment and signing.encode() not in environment
        assert b"postgres" not in environment and b"redis" not in environment, environment
        assert f"CELERIAC_INSTANCE={instance}".encode() in environment
        assert proc(pid, "cmdline").read_bytes().split(b"\0")[:2] == [b"celeriac-worker", b"--engine"]
        descriptors = os.listdir(proc(pid, "fd"))
        assert len(descriptors) < 40 and os.readlink(proc(pid, "fd/0")) == "/dev/null", descriptors
    status = proc(family.role, "status").read_text()
    assert "NoNewPrivs:\t1" in status and "CapEff:\t0000000000000000" in status
    assert calls.run("print(1)", "c-1")["stdout"] == "1\n" and len(containers(instance)) == 1
    assert worker.log_lines("cage: privileges, files, calls, memory$") and worker.term() == 0
    family.wait_end()


def test_it_ends_and_comes_back(make_forking_worker, calls):
    """Killed, and asked to end: the conversation goes on, and a call that waits is not lost."""
    worker = make_forking_worker()
    family = Family(worker)
    first = calls.run("open('/sandbox/kept', 'w').write('kept')", "c-1")
    os.kill(family.role, signal.SIGKILL)
    again = family.new_role(family.role)
    worker.wait_log("engine role: ended by signal 9: started again")
    second = calls.run("print(open('/sandbox/kept').read())", "c-1")
    assert second["stdout"] == "kept\n" and second["sandbox"] == first["sandbox"] and not second["restarted"]
    os.kill(again, signal.SIGTERM)
    os.kill(family.keeper, signal.SIGTERM)
    assert calls.run("print(2)", "c-1")["stdout"] == "2\n"
    assert exists(again) and exists(family.keeper), "they end with their worker, and no sooner"
    assert worker.term() == 0
    family.wait_end()


def test_who_ends_with_whom(make_forking_worker, calls):
    worker = make_forking_worker()
    family = Family(worker)
    worker.kill()
    family.wait_end()
    worker.start()
    family = Family(worker)
    os.kill(family.keeper, signal.SIGKILL)
    wait_until(lambda: not exists(family.role), 30, "the role outlived its keeper")
    worker.wait_log("the process that keeps the engine's is gone: the worker ends")
    assert worker.wait_end() == 1, "nobody could start it again but a service manager, the worker with it"


def test_a_restart_in_place(make_forking_worker, calls, directory):
    """The keeper stays, the role is a new one, and all write to the log that the worker has then."""
    log = directory / "w.log"
    worker = make_forking_worker("-f", log)
    family = Family(worker)
    first = calls.run("print(1)", "c-1")
    log.rename(directory / "old.log")
    worker.process.send_signal(signal.SIGHUP)
    role = family.new_role(family.role)
    assert children(family.worker) == [family.keeper]
    second = calls.run("print(2)", "c-1")
    assert second["sandbox"] == first["sandbox"] and not second["restarted"]
    assert "engine role: serves its worker" in log.read_text()
    assert os.readlink(proc(role, "fd/2")) == os.readlink(proc(family.keeper, "fd/2")) == str(log)
    assert worker.term() == 0
    family.wait_end()


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another")
def test_another_user(make_forking_worker, calls, directory):
    """Whose groups do not have the engine's socket: the role was started before they were taken."""
    directory.chmod(0o777)
    worker = make_forking_worker("--uid", NOBODY, "--gid", NOBODY)
    family = Family(worker)
    ids = [line.split()[1:] for line in proc(family.worker, "status").read_text().splitlines() if line.startswith(("Uid", "Gid", "Groups"))]
    assert ids == [[NOBODY] * 4, [NOBODY] * 4, [NOBODY]]
    socket = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    assert stat.S_IMODE(os.stat(socket).st_mode) & 0o006 == 0, "anybody may talk to the engine of this machine"
    assert calls.run("print(1)", "c-1")["stdout"] == "1\n"
    assert worker.term() == 0
    family.wait_end()


def test_in_the_background(make_forking_worker, directory):
    """Who starts it hears the end of its output, though a keeper lives on."""
    worker = make_forking_worker(start=False)
    pidfile = directory / "w.pid"
    done = run_program("-D", "--pidfile", pidfile, "-f", directory / "w.log", seconds=30, **worker.settings)
    assert done.returncode == 0, done.stderr
    pid = int(pidfile.read_text())
    try:
        wait_until(lambda: worker.http("/readyz")[0] == 200, 60, lambda: (directory / "w.log").read_text())
        keeper = children(pid)[0]
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not exists(pid) and not exists(keeper), 60, "it did not end")


def test_in_the_same_process(make_forking_worker, calls):
    worker = make_forking_worker(CELERIAC_ENGINE="direct")
    assert children(worker.process.pid) == []
    assert calls.run("print(1)", "c-1")["stdout"] == "1\n" and worker.term() == 0


def test_no_engine_no_role(make_worker):
    """A worker without sandboxes starts nothing."""
    assert children(make_worker().process.pid) == []
