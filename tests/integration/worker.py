"""One celeriac-worker under test."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from services import free_port, launch, patience, Postgres, ROOT, Service, wait_until

PROGRAM = pathlib.Path(os.environ.get("CELERIAC_TEST_PROGRAM", ROOT / "build/celeriac-worker"))

# Set for the whole session by the engine under test (engines.py).
ENGINE_SETTINGS = ("CELERIAC_ENGINE", "DOCKER_HOST", "SANDBOX_RUNTIME", "SANDBOX_ALLOW_UNENFORCED")


def program_env(**settings):
    """Nothing of the caller's own settings reaches a program under test; a None takes a setting away."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TSAN_OPTIONS", "ASAN_OPTIONS", "CELERIAC_CAGE_PATHS", *ENGINE_SETTINGS) if name in os.environ}
    return {**kept, **{name: str(value) for name, value in settings.items() if value is not None}}


def run_program(*args, program=PROGRAM, seconds=60, **settings):
    """Runs to its end; the finished process with stdout and stderr as text."""
    return subprocess.run([program, *args], env=program_env(**settings), capture_output=True, text=True, timeout=patience(seconds))


class EngineRole(Service):
    """celeriac-worker --engine: the process that alone has Docker, for workers of one instance."""

    def __init__(self, directory, args=(), **settings):
        self.path = directory / f"engine-{free_port()}.sock"
        self.log_path = self.path.with_suffix(".log")
        self.args = args
        self.address = f"unix:{self.path}"
        self.settings = {**settings, "CELERIAC_ENGINE": self.address}

    def __str__(self):
        return f"engine role {self.path.name}"

    def start(self):
        # of what is a worker's it gets nothing
        own = {name: value for name, value in self.settings.items() if not name.startswith(("CELERY_", "DATABASE_URL", "CELERIAC_METRICS"))}
        self.process = launch([PROGRAM, "--engine", "-l", "INFO", *self.args], self.log_path, env=program_env(**own))
        wait_until(self.answers, 30, self.log)
        return self

    def answers(self):
        with socket.socket(socket.AF_UNIX) as tried:
            return tried.connect_ex(str(self.path)) == 0

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def audit(self):
        """Its audit lines as objects."""
        return [json.loads(line.split("[audit] ", 1)[1]) for line in self.log().splitlines() if "[audit] " in line]


class Worker(Service):
    ends_on = signal.SIGQUIT
    role = None  # its own engine role, with CELERIAC_TEST_ENGINE=role

    def __init__(self, directory, node, args=(), program=PROGRAM, **settings):
        self.node = node
        self.args = [str(arg) for arg in args]
        self.program = program
        self.log_path = directory / f"{node}-{free_port()}.log"
        self.port = free_port()
        self.settings = {
            # Tests count containers; those of the pool are wanted only in test_pool.py.
            "SANDBOX_POOL": "0",
            "CELERIAC_NODE": node, "CELERIAC_METRICS": f"127.0.0.1:{self.port}", "CELERY_WORKER_CONCURRENCY": "4", **settings,
        }

    def __str__(self):
        return f"worker {self.node}"

    def spawn(self):
        """Starts without waiting for readiness."""
        wants_role = self.role is not None or "CELERIAC_ENGINE" not in self.settings  # unless a test says another
        if os.environ.get("CELERIAC_TEST_ENGINE") == "role" and "DATABASE_URL" in self.settings and wants_role:
            self.start_role()
        self.process = launch([self.program, "-l", "INFO", *self.args], self.log_path, env=program_env(**self.settings))
        return self

    def start_role(self):
        if self.role is None:
            self.role = EngineRole(self.log_path.parent, **{
                "CELERIAC_ENGINE_IMAGES": "*", "CELERIAC_ENGINE_NETWORKS": "*", "CELERIAC_ENGINE_RATE": 2000, **self.settings,
                "CELERIAC_ENGINE_PEERS": "65534",
            })
        if not self.role.alive():
            self.role.start()
        # the worker knows no other way
        self.settings.update(CELERIAC_ENGINE=self.role.address, DOCKER_HOST="unix:///nowhere/docker.sock")

    def kill(self):
        super().kill()
        if self.role is not None:
            self.role.kill()

    def start(self, seconds=60):
        self.spawn()
        return self.wait_ready(seconds)

    def wait_ready(self, seconds=60):
        def ready():
            assert self.alive(), f"{self} ended with {self.process.returncode}:\n{self.log()[-4000:]}"
            return self.http("/readyz")[0] == 200

        wait_until(ready, seconds, lambda: f"{self} was not ready: {self.http('/readyz')}\n{self.log()[-4000:]}\n")
        return self

    def wait_log(self, pattern, seconds=30, count=1):
        """Waits until `count` lines match."""
        return wait_until(
            lambda: (found := self.log_lines(pattern)) if len(self.log_lines(pattern)) >= count else None,
            seconds, lambda: f"no line {pattern!r} in the log of {self}:\n{self.log()[-4000:]}\n",
        )

    def http(self, path):
        """(status, text); status 0 if nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def readiness(self):
        """What /readyz says of each service; {} if nothing answers."""
        return dict(line.split(" ", 1) for line in self.http("/readyz")[1].splitlines())

    def metric(self, name):
        """The value of a metric, or 0 while nothing answers."""
        found = re.search(rf"^celeriac_{name}(?:{{.*}})? (\S+)$", self.http("/metrics")[1], re.M)
        return float(found.group(1)) if found else 0

    def anonymous(self):
        """Bytes of anonymous memory."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) << 10
        raise AssertionError("the kernel does not say")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_lines(self, pattern):
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def restart(self):
        self.kill()
        return self.start()

    def term(self, seconds=60):
        return self.end(signal.SIGTERM, seconds)

    def quit(self, seconds=30):
        return self.end(signal.SIGQUIT, seconds)


def created_postgres(path, made=None):
    server = made or Postgres(path)
    try:
        server.create()
        done = run_program("--migrate", CELERIAC_OWNER_DATABASE_URL=server.url("owner"))
        assert done.returncode == 0, done.stderr
    except BaseException:
        server.kill()
        raise
    return server
