#!/usr/bin/env python3
"""Tasks that do nothing (`celeriac.echo`), through Redis, beside Python Celery and beside hiredis alone.

    make build/bench-redis && .run/venv/bin/python tests/bench/tasks.py [-n TASKS] [-o FILE.json] [ROW…]

`beside`: tasks a second with results: our worker, Celery's prefork -c 2 and threads -c 2, and a bare single-threaded hiredis loop
(redis_loop.c), in turn, five times; the ratios are medians of the rounds' own ratios. Also processor time of a task (of the
worker's processes, and of Redis beside it) and connections. All queues are full before: the list appears at once, by RENAME.
All programs log at WARNING; ours and Celery's have worker_prefetch_multiplier = 64, as Celery advises for short tasks (the loop
has 256 messages at once; ours, with four threads, too).
`reserved`: the same, ours beside the bare loop alone, with multipliers of 4 (what both programs have when nothing is said), 16 and 64.
`latency`: a message is pushed by a raw client until its result is heard of, one at a time, the worker idle before.
`payload`, `ignored`, `threads`, `delay`: likewise, ours beside the bare loop alone, for arguments of 1, 10 and 100 KiB,
without results, with 1, 8 and 64 threads, and with 5 ms more to Redis for what goes there.
`growth`: a 1x, 10x and 100x longer queue: what each task takes of processors (the worker's and Redis'), which is to stay flat, and its time.
"""

import contextlib
import json
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from stand import Figure, finish, grown, judge, load, options, processor_seconds, Redis, ROOT, told, wait_until, Worker

from clients import Broker, envelope, PythonWorker
from forwarder import DelayingForwarder

ROUNDS, LOOP = 5, ROOT / "build/bench-redis"
RESERVED = 64  # messages for each thread or process
TIMES_PREFORK, TIMES_BARE = 40, 1.2
BARS_LATENCY_MS = {"p50": 0.5, "p99": 2}


def children_seconds():
    """Of all that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Bench:
    """A Redis of our own; everything is gone afterwards."""

    def __enter__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="celeriac-bench-"))
        self.started = []
        self.redis = Redis(self.directory).start()
        self.started.append(self.redis)
        self.made, self.messages = {}, Broker(self.redis.new_url(), "bench")
        return self

    def __exit__(self, *_):
        for service in reversed(self.started):
            service.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @contextlib.contextmanager
    def running(self, service):
        self.started.append(service)
        before = self.connections()
        service.start()
        try:
            service.connections = lambda: self.connections() - before
            yield service
        finally:
            service.kill()
            self.started.remove(service)

    def connections(self):
        return len(self.redis.client().client_list())

    def fill(self, broker, count, size=0, ignored=False):
        """The messages, in a list that nobody reads yet; their ids. They are the same each time."""
        name = f"{count}-{size}-{ignored}"
        if name not in self.made:
            self.made[name] = make(self.messages.redis, name, count, size, ignored)
        assert self.messages.redis.copy(name, "bench-filled", destination_db=int(broker.url.rpartition("/")[2]))
        return self.made[name]

    def ours(self, threads=4, port=None, reserved=RESERVED):
        """A worker without database and engine on a database of Redis of its own, and that database."""
        broker = Broker(self.redis.new_url(), "bench")
        url = broker.url.replace(f":{self.redis.port}/", f":{port or self.redis.port}/")
        worker = Worker(self.directory, "bench", args=("-l", "WARNING", "-c", threads), CELERY_BROKER_URL=url, CELERY_RESULT_BACKEND=url,
                        CELERY_WORKER_PREFETCH_MULTIPLIER=reserved, CELERIAC_INSTANCE="bench")
        return broker, worker

    def celery(self, pool, port=None):
        broker = Broker(self.redis.new_url(), "bench")
        app = Broker(broker.url.replace(f":{self.redis.port}/", f":{port or self.redis.port}/"), "bench")
        conf = {"worker_prefetch_multiplier": RESERVED, "task_acks_late": False}
        return broker, QuietPython(broker, app, self.directory, args=("-P", pool), TEST_CONF=json.dumps(conf))


class QuietPython(PythonWorker):
    """A Python worker that logs what is wrong alone: that it is ready is known by the result of a task."""

    def __init__(self, watched, broker, *args, **kwargs):
        super().__init__(broker, *args, **kwargs)
        self.watched = watched
        self.args = (*self.args, "-l", "WARNING")

    def start(self):
        self.first = self.watched.send("celeriac.echo", 1)
        return super().start()

    def is_ready(self):
        return self.watched.redis.delete(f"celery-task-meta-{self.first}")


def make(client, name, count, size, ignored):
    ids, value, pipe = [], "x" * size if size else 1, client.pipeline(transaction=False)
    for number in range(count):
        task_id, message = envelope(args=[value], headers={"ignore_result": ignored})
        ids.append(task_id)
        pipe.lpush(name, json.dumps(message))
        if number % 500 == 499:
            pipe.execute()
    pipe.execute()
    return ids


def forget(broker, ids, ignored):
    """Every task has been done, with its result; and the results go."""
    for at in range(0, len(ids), 1000):
        keys = [f"celery-task-meta-{one}" for one in ids[at:at + 1000]]
        assert broker.redis.unlink(*keys) == (0 if ignored else len(keys)), "results are missing"


def drained(bench, broker, count, size=0, ignored=False, pids=()):
    """Seconds a worker takes for so many, and processor seconds of it and of Redis."""
    ids, redis_pid = bench.fill(broker, count, size, ignored), bench.redis.process.pid
    before = [sum(map(processor_seconds, pids)), processor_seconds(redis_pid)]
    began = time.perf_counter()
    broker.redis.rename("bench-filled", "celery")
    if ignored:
        done = lambda: broker.redis.llen("celery") == 0 and broker.unacked() == (0, 0)  # noqa: E731
    else:  # an early ack comes before the result of the last
        done = lambda: broker.redis.exists(*[f"celery-task-meta-{one}" for one in ids[-64:]]) == min(64, len(ids)) \
            and broker.redis.llen("celery") == 0 and broker.unacked() == (0, 0)  # noqa: E731
    wait_until(done, 600)
    took = time.perf_counter() - began
    after = [sum(map(processor_seconds, pids)), processor_seconds(redis_pid)]
    if not ignored:
        wait_until(lambda: broker.redis.exists(*[f"celery-task-meta-{one}" for one in ids]) == len(ids), 60)
    forget(broker, ids, ignored)
    return took, after[0] - before[0], after[1] - before[1]


def drained_bare(bench, broker, count, size=0, ignored=False, port=None):
    """The same of the bare loop."""
    ids = bench.fill(broker, count, size, ignored)
    broker.redis.rename("bench-filled", "celery")
    database = broker.url.rpartition("/")[2]
    before = [children_seconds(), processor_seconds(bench.redis.process.pid)]
    done = subprocess.run([LOOP, "drain", str(port or bench.redis.port), database, str(count), "0" if ignored else "1"], capture_output=True,
                          text=True, check=True)
    after = [children_seconds(), processor_seconds(bench.redis.process.pid)]
    assert broker.unacked() == (0, 0) and broker.redis.llen("celery") == 0
    forget(broker, ids, ignored)
    return float(done.stdout), after[0] - before[0], after[1] - before[1]


def figures(values):
    return {"p50": Figure(statistics.median(values), 1), "least": Figure(min(values), 1), "most": Figure(max(values), 1), "n": len(values)}


def in_turn(bench, count, rounds=ROUNDS, threads=4, size=0, ignored=False, port=None, reserved=RESERVED):
    """Ours and the bare loop; tasks a second of each, microseconds of processor time a task, and the ratio."""
    broker, worker = bench.ours(threads, port, reserved)
    bare = Broker(bench.redis.new_url(), "bare")
    rates, ratios = {"ours": [], "bare": []}, []
    cpu = {name: [] for name in ("worker_us", "redis_us", "bare_us", "bare_redis_us")}
    with bench.running(worker):
        for number in range(-1, rounds):
            run = drained(bench, broker, count, size, ignored, [worker.process.pid])
            bare_run = drained_bare(bench, bare, count, size, ignored, port)
            if number < 0:
                continue
            rates["ours"].append(count / run[0])
            rates["bare"].append(count / bare_run[0])
            ratios.append(bare_run[0] / run[0])
            for name, used in zip(cpu, run[1:] + bare_run[1:]):
                cpu[name].append(used / count * 1e6)
        connections = worker.connections()
    return {"tasks": count, "ours_per_s": figures(rates["ours"]), "bare_per_s": figures(rates["bare"]),
            "cpu_of_a_task": {name: figures(values) for name, values in cpu.items()}, "connections": connections,
            "times_bare": Figure(statistics.median(ratios), 2), "load": load()}


def say(what, row):
    cpu = {name: each["p50"] for name, each in row["cpu_of_a_task"].items()}
    print(f"{what}: {row['ours_per_s']['p50']:.0f} tasks/s, bare loop {row['bare_per_s']['p50']:.0f}: {row['times_bare']} times; "
          f"processors' time of a task {cpu['worker_us']} us and {cpu['redis_us']} of Redis, the loop's {cpu['bare_us']} and {cpu['bare_redis_us']}; "
          f"{row['connections']} connections; load {row['load']}{told(row)}", flush=True)
    return row


def beside(bench, count):
    row = in_turn(bench, count)
    slow = max(200, count // 40)  # as many as take Python about as long
    row["celery"] = {}
    for pool in ("prefork", "threads"):
        broker, python = bench.celery(pool)
        with bench.running(python):
            runs = [drained(bench, broker, slow, pids=[python.process.pid]) for _ in range(4)][1:]
            row["celery"][pool] = {"per_s": figures([slow / took for took, _, _ in runs]),
                                   "cpu_us": figures([used / slow * 1e6 for _, used, _ in runs]), "connections": python.connections()}
    again = in_turn(bench, count, rounds=3)  # ours once more: the load may have changed since
    rates = statistics.median([row["ours_per_s"]["p50"], again["ours_per_s"]["p50"]])
    row["again"] = again
    row["times_celery"] = {pool: Figure(rates / python["per_s"]["p50"], 1) for pool, python in row["celery"].items()}
    judge(row, times_celery_prefork=(row["times_celery"]["prefork"], "least", TIMES_PREFORK), times_bare=(row["times_bare"], "least", TIMES_BARE))
    for pool, python in row["celery"].items():
        print(f"Celery {pool}: {python['per_s']['p50']:.0f} tasks/s, {python['cpu_us']['p50']:.0f} us of a processor each, "
              f"{python['connections']} connections: ours is {row['times_celery'][pool]} times", flush=True)
    return say("no-op tasks with results", row)


def reserved(bench, count):
    return {str(number): say(f"{number} messages for each of four threads", in_turn(bench, count, rounds=3, reserved=number))
            for number in (4, 16, 64)}


def latency(bench, count):
    broker, worker = bench.ours()
    rounds = max(200, count // 40)
    lines = "".join(json.dumps(envelope(args=[1])[1]) + "\n" for _ in range(rounds + 100))
    with bench.running(worker):
        done = subprocess.run([LOOP, "latency", str(bench.redis.port), broker.url.rpartition("/")[2], "3000"], input=lines,
                              capture_output=True, text=True, check=True)
    values = sorted(float(line) / 1000 for line in done.stdout.split()[100:])
    pick = lambda share: Figure(values[min(len(values) - 1, int(share * len(values)))], 3)  # noqa: E731
    row = {"ms": {"p10": pick(0.1), "p25": pick(0.25), "p50": pick(0.5), "p90": pick(0.9), "p99": pick(0.99), "n": len(values)},
           "load": load()}
    judge(row, **{f"{name}_ms": (row["ms"][name], "most", bar) for name, bar in BARS_LATENCY_MS.items()})
    print(f"pushed until the result is heard of: p10 {row['ms']['p10']} ms, p50 {row['ms']['p50']}, p99 {row['ms']['p99']}; "
          f"load {row['load']}{told(row)}", flush=True)
    return row


def payload(bench, count):
    # so that the messages of all rounds are about as many bytes
    return {f"{size} KiB": say(f"arguments of {size} KiB", in_turn(bench, max(200, count // 2 // size), rounds=3, size=size << 10))
            for size in (1, 10, 100)}


def ignored(bench, count):
    return say("results ignored", in_turn(bench, count, rounds=3, ignored=True))


def threads(bench, count):
    return {str(number): say(f"{number} threads", in_turn(bench, count, rounds=3, threads=number)) for number in (1, 8, 64)}


def delay(bench, count):
    """The peer here is Celery too, since both wait."""
    door = DelayingForwarder(("127.0.0.1", bench.redis.port), 0.005).open()
    bench.started.append(door)
    row = say("5 ms more to Redis", in_turn(bench, count, rounds=3, port=door.port, threads=64))
    broker, python = bench.celery("prefork", door.port)
    few = 100
    with bench.running(python):
        runs = [drained(bench, broker, few, pids=[python.process.pid])[0] for _ in range(3)][1:]
    row["celery_per_s"] = figures([few / took for took in runs])
    row["times_celery"] = Figure(row["ours_per_s"]["p50"] / row["celery_per_s"]["p50"], 1)
    print(f"Celery prefork there: {row['celery_per_s']['p50']} tasks/s: ours is {row['times_celery']} times", flush=True)
    return row


def growth(bench, count):
    broker, worker = bench.ours()
    by_load, us = {}, {}
    with bench.running(worker):
        drained(bench, broker, count // 10)
        for times in (1, 10, 100):
            many = times * max(100, count // 20)
            runs = [drained(bench, broker, many, pids=[worker.process.pid]) for _ in range(3)]
            by_load[many] = Figure(min(used + of_redis for _, used, of_redis in runs) / many * 1e6, 1)
            us[many] = Figure(statistics.median(took for took, _, _ in runs) / many * 1e6, 1)
    return {**grown("a task", "tasks in the queue", by_load), "us": us}


ROWS = {"beside": beside, "reserved": reserved, "latency": latency, "payload": payload, "ignored": ignored, "threads": threads, "delay": delay, "growth": growth}


def main():
    asked = options(__doc__, 20000).parse_args()
    rows = {}
    with Bench() as bench:
        for name in asked.only or ROWS:
            rows[name] = ROWS[name](bench, asked.rounds)
    return finish(asked, rows)


if __name__ == "__main__":
    sys.exit(main())
