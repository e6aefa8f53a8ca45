"""Private servers for tests: each on a free loopback port, in a directory of its own, ended by its pid."""

import contextlib
import fcntl
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

import psycopg
import redis

from patience import patience

ROOT = pathlib.Path(__file__).resolve().parents[2]
SQL = ROOT / "deploy/sql"


def wait_until(condition, seconds=30, sentence="it did not happen"):
    """Waits for a condition rather than for time. Errors of connecting count as "not yet"."""
    began = time.monotonic()
    while True:
        try:
            value = condition()
        except (OSError, redis.exceptions.ConnectionError, psycopg.OperationalError):
            value = None
        if value:
            return value
        assert time.monotonic() - began < patience(seconds), f"{sentence() if callable(sentence) else sentence} within {seconds} s"
        time.sleep(0.01)


@contextlib.contextmanager
def alone(what):
    """One process at a time, of all that run these tests in this tree, makes what all of them share."""
    (ROOT / ".run").mkdir(exist_ok=True)
    with open(ROOT / f".run/{what}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def free_port():
    """Below those that the kernel gives to outgoing connections: nobody else gets it before its server starts, or between two starts."""
    end = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    draw = random.SystemRandom()  # tests seed the other one
    while True:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", draw.randrange(10000, max(end, 20000)))) as listener:
            return listener.getsockname()[1]


class Process(subprocess.Popen):
    def wait(self, timeout=None):
        return super().wait(timeout and patience(timeout))

    def send_signal(self, number):
        """Who is told to stop has stopped: the kernel tells one thread, and the others go on until that one has had a processor."""
        super().send_signal(number)
        if number == signal.SIGSTOP:
            wait_until(lambda: self.poll() is not None or self._has_stopped(), 30, "it did not stop")

    def _has_stopped(self):
        states = [stat.read_text().rpartition(") ")[2][0] for stat in pathlib.Path(f"/proc/{self.pid}/task").glob("*/stat")]
        return set(states) <= {"T", "Z"}


def launch(argv, log, user=None, place=(), **options):
    """A process of our own that also ends when we are killed; `place`: a command that goes where it shall run (full.py)."""
    prefix = [*place, "setpriv", "--pdeathsig", "KILL"]
    if user and os.getuid() == 0:
        prefix += [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    with open(log, "ab") as out:
        return Process(
            [*prefix, "--", *map(str, argv)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            **options,
        )


class Service:
    process = None
    ends_on = None  # the signal on which one of our programs ends at once, and as it should

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def end(self, signal, seconds=30):
        """Sends a signal and waits for the end; returns the exit status (-n = signal n)."""
        if self.alive():
            self.process.send_signal(signal)
        return self.wait_end(seconds, f"of signal {signal}")

    def wait_end(self, seconds=60, after="of being asked to end"):
        """Its exit status, once it has ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self} did not end within {seconds} s {after}") from None

    def kill(self):
        if self.process is not None:
            self.end(9)

    def count(self):
        """Lets it end by itself and write what it reached, where that is wanted (make coverage): who is killed writes nothing."""
        if "CELERIAC_TEST_COUNTED" in os.environ and self.ends_on and self.alive():
            self.process.send_signal(self.ends_on)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience(20))


class Redis(Service):
    """Redis with an append-only file if `durable`: every answer is on disk, so that a kill forgets nothing."""

    place = ()

    def __init__(self, directory, durable=False):
        self.directory = pathlib.Path(directory)
        self.port = free_port()
        self.options = ["--appendonly", "yes", "--appendfsync", "always"] if durable else []
        self.databases = 0

    def start(self):
        self.process = launch(
            ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--dir", self.directory, "--save", "",
             "--databases", "4000", "--proto-max-bulk-len", "1gb", *self.options],
            self.directory / "redis.log", place=self.place,
        )
        wait_until(self.client().ping, 20, "Redis did not answer")
        return self

    def client(self, database=0):
        return redis.Redis(port=self.port, db=database)

    def url(self, database=0):
        return f"redis://127.0.0.1:{self.port}/{database}"

    def new_url(self):
        """An empty database."""
        self.databases += 1
        return self.url(self.databases)


class Postgres(Service):
    """PostgreSQL with our roles and schema."""

    ROLES = ("owner", "worker", "beat", "application")
    place = ()

    def __init__(self, directory, initdb=()):
        self.directory = pathlib.Path(directory)
        self.data = self.directory / "data"
        self.initdb = initdb
        self.port = free_port()
        self.bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.user = "postgres" if os.getuid() == 0 else None
        self.log = self.directory / "postgres.log"

    def create(self):
        owner = ["-o", self.user, "-g", self.user] if self.user else []
        subprocess.run([*self.place, "install", "-d", "-m", "700", *owner, self.data], check=True)
        made = launch([self.bin / "initdb", "-N", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D", self.data,
                       *self.initdb], self.log, self.user, self.place, cwd="/")
        assert made.wait(60) == 0, self.log.read_text()
        self.start()
        self.sql("CREATE DATABASE celeriac", url=self.admin_url("postgres"))
        words = [f"-v{role}_password={self.password(role)}" for role in self.ROLES]
        done = subprocess.run(["psql", "-qX", *words, "-f", SQL / "roles.sql", self.admin_url()], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return self

    def start(self):
        self.process = launch(
            [self.bin / "postgres", "-D", self.data, "-c", "listen_addresses=127.0.0.1", "-p", self.port,
             "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=200"],
            self.log, self.user, self.place, cwd="/",
        )
        wait_until(lambda: self.sql("SELECT 1", url=self.admin_url("postgres")), 30, "PostgreSQL did not answer")
        return self

    @staticmethod
    def password(role):
        return f"secret-of-{role}"

    def admin_url(self, database="celeriac"):
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def url(self, role="worker"):
        return f"postgresql://celeriac_{role}:{self.password(role)}@127.0.0.1:{self.port}/celeriac"

    def sql(self, query, *args, url=None):
        with psycopg.connect(url or self.admin_url(), autocommit=True) as connection:
            cursor = connection.execute(query, args)
            return cursor.fetchall() if cursor.description else []

    def stop(self):
        if self.alive():
            self.end(2)  # fast: does not wait for clients
