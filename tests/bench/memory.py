#!/usr/bin/env python3
"""Memory of our processes (worker and beat), against the bars of the design.

    .run/venv/bin/python tests/bench/memory.py [SCENARIO…] [--scale 1.0] [-n ETA TASKS TO HOLD] [-o FILE.json]

Each scenario has a Redis database, a worker (with PostgreSQL and the engine, as it is run) and a beat of its own. Anonymous
memory is that of /proc/PID/smaps_rollup, read every 50 ms: what it was at the most, and what it is when all is at rest.
"""

import contextlib
import datetime
import json
import pathlib
import shutil
import sys
import tempfile
import threading
import time

import celery

from stand import created_postgres, Figure, finish, judge, options, Redis, remove_containers, ROOT, told, wait_until, Worker

from clients import Broker, envelope
from services import launch, Service
from worker import program_env

MIB = 1 << 20
BATCH = 5000


def fields(pid):
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name.rstrip(":"): int(value) << 10 for name, value, *_ in map(str.split, lines)}


def cpu_seconds(pid):
    after_name = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / 100


class Beat(Service):
    def __init__(self, directory, **settings):
        self.log_path = directory / "beat.log"
        self.settings = settings

    def __str__(self):
        return "beat"

    def start(self):
        self.process = launch([ROOT / "build/celeriac-beat", "-l", "INFO"], self.log_path, env=program_env(**self.settings))
        wait_until(lambda: "beat: Starting" in self.log_path.read_text(), 20, "beat did not start")
        return self


class House:
    """Redis, worker, beat, and a thread that watches their memory."""

    def __init__(self, directory, postgres, *args, **settings):
        self.directory = directory
        self.instance = f"bench-{directory.name}"
        self.redis = Redis(directory).start()
        self.broker = Broker(self.redis.new_url(), self.instance)
        if postgres is not None:
            settings["DATABASE_URL"] = postgres.url("worker")
        common = {"CELERY_BROKER_URL": self.broker.url, "CELERIAC_INSTANCE": self.instance}
        self.worker = Worker(directory, "bench", ["-l", "WARNING", *args], CELERY_RESULT_BACKEND=self.broker.url, **common, **settings)
        self.beat = Beat(directory, **common)
        self.peak = 0
        self.stopped = threading.Event()
        self.watcher = threading.Thread(target=self.watch)

    def __enter__(self):
        try:
            self.worker.start()
            self.beat.start()
            self.broker.wait_listening()  # the last part of it to be there
        except BaseException:
            self.__exit__()
            raise
        self.watcher.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        if self.watcher.ident:
            self.watcher.join()
        for service in (self.worker, self.beat, self.redis):
            service.kill()
        remove_containers(self.instance)

    def sample(self, field="Anonymous"):
        return sum(fields(service.process.pid)[field] for service in (self.worker, self.beat))

    def at_rest(self):
        """What they have once nothing has changed for half a second."""
        def unchanged():
            before = self.sample()
            time.sleep(0.5)
            return before if self.sample() == before else None

        return wait_until(unchanged, 30, "they grow and shrink")

    def watch(self):
        with contextlib.suppress(OSError, ValueError):
            while not self.stopped.wait(0.05):
                self.peak = max(self.peak, self.sample())

    def push(self, count, task="celeriac.echo", args=lambda n: [n], **headers):
        """As fast as Redis takes them: one message is the mould, its ids and arguments are new."""
        done = 0
        while done < count:
            messages = [json.dumps(envelope(task=task, args=args(n), headers=headers)[1]) for n in range(done, min(count, done + BATCH))]
            self.broker.redis.lpush("celery", *messages)
            done += len(messages)

    def result(self, name, bar_mib, count=0, base=0, **more):
        time.sleep(1)  # what is at rest stays so
        rest = self.sample()
        row = {"scenario": name, "peak_mib": Figure(max(self.peak, rest) / MIB, 2), "rest_mib": Figure(rest / MIB, 2),
               "resident_mib": Figure(self.sample("Rss") / MIB, 2), **more}
        bars = {"peak_mib": (row["peak_mib"], "most", bar_mib)}
        if count:
            row["bytes_each"] = Figure((rest - base) / count)
            bars["bytes_each"] = (row["bytes_each"], "most", 460)
        if "cpu_percent" in row:
            bars["cpu_percent"] = (row["cpu_percent"], "below", 1)
        return judge(row, **bars)


def soon(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


def idle(house, _):
    time.sleep(3)
    return house.result("32 threads idle", 16)


def queued(house, scale):
    count = int(1_000_000 * scale)
    house.push(32, "celeriac.sleep", lambda n: [3600])
    wait_until(lambda: house.worker.metric("tasks_active") == 32, 60)
    house.push(count)
    wait_until(lambda: house.worker.metric("messages_held") >= 128, 60)
    return house.result(f"{count} messages queued", 16, waiting=house.broker.redis.llen("celery"))


def scheduled(house, scale, wanted=100_000):
    count = int(wanted * scale)
    base = house.at_rest()
    house.push(count, eta=soon(7200))
    wait_until(lambda: house.worker.metric("tasks_scheduled") == count, 300,
               lambda: f"{house.worker.metric('tasks_scheduled')} are held")
    pid, began = house.worker.process.pid, time.monotonic()
    used = cpu_seconds(pid)
    time.sleep(10 * scale)
    share = (cpu_seconds(pid) - used) / (time.monotonic() - began)
    return house.result(f"{count} ETA tasks held", 64, count, base, cpu_percent=Figure(100 * share, 2))


def due(house, scale):
    """All of them due at one moment, and run."""
    count, seconds = int(100_000 * scale), 45 * scale + 5
    began = time.monotonic()
    house.push(count, eta=soon(seconds))
    wait_until(lambda: house.worker.metric("tasks_succeeded_total") >= count, 300,
               lambda: f"{house.worker.metric('tasks_succeeded_total')} ran")
    house.broker.wait_settled(60)
    return house.result(f"{count} ETA tasks due at once", 64, seconds_late=Figure(time.monotonic() - began - seconds, 1))


def limited(house, scale):
    app = house.broker.app()
    app.control.rate_limit("celeriac.add", "1/h", reply=True, timeout=5)
    base = house.sample()
    house.push(int(20_000 * scale), "celeriac.add", lambda n: [n, 1])
    wait_until(lambda: house.worker.metric("tasks_scheduled") >= 2000 * min(1, 10 * scale), 60)
    app.close()
    return house.result("rate-limited tasks parked", 16, base=base, held=house.worker.metric("tasks_scheduled"))


def chord(house, scale):
    count = int(10_000 * scale)
    app = house.broker.app()
    header = [app.signature("celeriac.add", args=(n, 1)) for n in range(count)]
    result = celery.chord(header, app=app)(app.signature("celeriac.xsum"))
    assert result.get(timeout=200) == sum(range(1, count + 1))
    result.forget()
    del result, header  # while there is a Redis that can be told
    house.broker.wait_settled(60)
    app.close()
    return house.result(f"chord of {count}", 64)


SCENARIOS = {function.__name__: function for function in (idle, queued, scheduled, due, limited, chord)}


def run(name, scale, directory, postgres=None, **options):
    path = pathlib.Path(tempfile.mkdtemp(dir=directory))
    path.chmod(0o755)
    with House(path, postgres, "-c", "32") as house:
        return SCENARIOS[name](house, scale, **options)


def main():
    parser = options(__doc__, 100_000)
    parser.add_argument("--scale", type=float, default=1.0)
    asked = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="celeriac-bench-"))
    directory.chmod(0o755)
    (directory / "postgres").mkdir(mode=0o755)
    postgres = created_postgres(directory / "postgres")
    rows = {}
    try:
        for name in asked.only or SCENARIOS:
            more = {"wanted": asked.rounds} if name == "scheduled" else {}
            row = rows[name] = run(name, asked.scale, directory, postgres, **more)
            each = f", {row['bytes_each']} bytes each" if "bytes_each" in row else ""
            print(f"{row['scenario']}: {row['peak_mib']} MiB at the most, {row['rest_mib']} at rest, {row['resident_mib']} resident{each}{told(row)}",
                  flush=True)
    finally:
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return finish(asked, rows)


if __name__ == "__main__":
    sys.exit(main())
