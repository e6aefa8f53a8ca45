"""Crash: workers, and Redis itself, die again and again under load, at random. Every result arrives, and never two that differ.

The seed is printed, so that a storm can be had again: STORM_SEED=… pytest tests/integration/test_crash_storm.py
"""

import collections
import json
import os
import random
import threading
import time

import pytest
import redis

from clients import Broker, PythonWorker, envelope
from services import ROOT, wait_until

READY = ("SUCCESS", "FAILURE", "REVOKED")
LEAST = 5
SEED = int(os.environ.get("STORM_SEED", random.SystemRandom().randrange(10**6)))


def link(task_id, *args, then=()):
    """An element of a chain; the rest of it comes after it."""
    return {"task": "celeriac.add", "args": list(args), "kwargs": {}, "options": {"task_id": task_id, "reply_to": ""},
            "subtask_type": None, "immutable": False}


class Load:
    """`count` messages, sent over `seconds` on a thread of its own, through outages. A third sleeps, a third echoes, a third is
    a chain of three whose later elements have ids of their own."""

    def __init__(self, broker, count, seconds, chance):
        self.broker, self.count, self.seconds = broker, count, seconds
        self.expected = {}
        self.lengths = [round(chance.uniform(0, 0.2), 3) for _ in range(count)]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.told = collections.defaultdict(set)
        self.listening = threading.Event()
        self.over = False
        self.listener = threading.Thread(target=self.listen, daemon=True)

    def start(self):
        self.listener.start()
        assert self.listening.wait(30), "no subscription to the results"
        self.thread.start()
        return self

    def message(self, n):
        task_id = f"storm-{n}"
        if n % 3 == 0:
            self.expected[task_id] = None
            return envelope(task="celeriac.sleep", args=[self.lengths[n]], task_id=task_id)[1]
        if n % 3 == 1:
            self.expected[task_id] = {"n": n}
            return envelope(task="celeriac.echo", args=[{"n": n}], task_id=task_id)[1]
        self.expected.update({task_id: n + 1, task_id + "-b": n + 11, task_id + "-c": n + 111})
        embed = {"callbacks": None, "errbacks": None, "chord": None, "chain": [link(task_id + "-c", 100), link(task_id + "-b", 10)]}
        return envelope(task_id=task_id, task="celeriac.add", body=json.dumps([[n, 1], {}, embed]))[1]

    def run(self):
        began = time.monotonic()
        for n in range(self.count):
            message = json.dumps(self.message(n))
            wait_until(lambda: self.push(message), 60, "Redis did not come back")
            time.sleep(max(0, began + self.seconds * (n + 1) / self.count - time.monotonic()))

    def push(self, message):
        # An answer that is lost with Redis leaves open whether it came in: then it is sent twice, with one id.
        return self.broker.push(message)

    def listen(self):
        """Every result that was ever published, by task."""
        while not self.over:
            try:
                pubsub = self.broker.redis.pubsub()
                pubsub.psubscribe("celery-task-meta-*")
                while not self.over:
                    message = pubsub.get_message(timeout=0.2)
                    if message and message["type"] == "psubscribe":
                        self.listening.set()
                    if message and message["type"] == "pmessage":
                        meta = json.loads(message["data"])
                        if meta["status"] in READY:
                            self.told[meta["task_id"]].add(json.dumps([meta["status"], meta["result"]]))
            except (redis.exceptions.ConnectionError, OSError):
                time.sleep(0.05)

    def stored(self):
        ids = list(self.expected)
        metas = {}
        for at in range(0, len(ids), 500):
            part = ids[at:at + 500]
            found = self.broker.redis.mget([f"celery-task-meta-{task_id}" for task_id in part])
            metas.update((task_id, json.loads(raw)) for task_id, raw in zip(part, found, strict=True) if raw)
        return {task_id: meta for task_id, meta in metas.items() if meta["status"] in READY}

    def missing(self):
        return sorted(set(self.expected) - set(self.stored()))

    def finish(self, seconds):
        """Waits for everything; what never came is returned."""
        self.thread.join(self.seconds + 120)
        assert not self.thread.is_alive() and len(self.expected) >= self.count
        last, since = len(self.missing()), time.monotonic()
        while last and time.monotonic() - since < seconds:  # as long as something still comes
            time.sleep(0.2)
            now = len(self.missing())
            if now != last:
                last, since = now, time.monotonic()
        self.over = True
        self.listener.join(10)
        return self.missing()

    def check(self):
        wrong = {task_id: meta for task_id, meta in self.stored().items()
                 if meta["status"] != "SUCCESS" or meta["result"] != self.expected[task_id]}
        assert wrong == {}, f"{len(wrong)} are wrong, seed {SEED}: {dict(list(wrong.items())[:5])}"
        differing = {task_id: told for task_id, told in self.told.items() if len(told) > 1}
        assert differing == {}, f"results that differ, seed {SEED}"


def executions(workers):
    """How often each task ended well, by the logs."""
    counted = collections.Counter()
    for worker in workers:
        counted.update(line.split("[", 2)[2].split("]")[0] for line in worker.log().splitlines() if "] succeeded in " in line)
    return counted


def storm(load, workers, seconds, chance, pause, server=None):
    """Kills one of the workers at random every now and then and starts it again, and Redis too, every fifth time. Returns how often
    each died: workers LEAST times and more."""
    deaths = collections.Counter()
    until, turn = time.monotonic() + seconds, chance.randrange(5)
    while time.monotonic() < until or deaths["workers"] < LEAST:
        time.sleep(chance.uniform(*pause))
        turn += 1
        if server is not None and turn % 5 == 0:
            server.kill()
            server.start()
            deaths["Redis"] += 1
            continue
        victim = chance.choice(workers)
        deaths["workers"] += 1
        victim.kill()
        getattr(victim, "spawn", victim.start)()
    return deaths


def weather(load, workers, deaths, missing, name):
    """One line for people, also kept in build/crash/."""
    runs = executions(workers)
    again = sum(count - 1 for count in runs.values())
    line = (f"{name}: {len(load.expected)} results of {load.count} messages, deaths {dict(deaths)}, lost {len(missing)} "
            f"({1000 * len(missing) / len(load.expected):.1f} in 1000), run again {again}, seed {SEED}")
    print(line)
    kept = ROOT / "build/crash"
    kept.mkdir(parents=True, exist_ok=True)
    with open(kept / "storms.txt", "a") as out:
        out.write(line + "\n")
    return line


def through(make_worker, broker, count, seconds, server=None):
    chance = random.Random(SEED)
    workers = [make_worker("-c", "4", broker=broker, node=f"storm-{n}") for n in range(3)]
    load = Load(broker, count, seconds, chance).start()
    deaths = storm(load, workers, seconds, chance, (0.3, 1.5), server)
    missing = load.finish(60)
    line = weather(load, workers, deaths, missing, "Redis and workers killed" if server else "workers killed")
    assert missing == [], f"{line}; {missing[:10]}"
    load.check()
    assert server is None or deaths["Redis"] >= 1, line
    wait_until(lambda: set(executions(workers)) == set(load.expected), 30, "there are results that nobody made")
    broker.wait_settled(60)
    assert broker.dead() == []


def test_workers_killed(make_worker, broker):
    through(make_worker, broker, 900, 15)


def test_redis_and_workers_killed(make_worker, make_redis, instance):
    server = make_redis(durable=True).start()
    through(make_worker, Broker(server.new_url(), instance), 900, 15, server)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_workers_killed_for_a_minute(make_worker, broker):
    through(make_worker, broker, 5000, 60)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_workers_killed_on_rabbitmq(make_worker, rabbit_broker):
    through(make_worker, rabbit_broker, 10000, 120)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_redis_and_workers_killed_for_a_minute(make_worker, make_redis, instance):
    server = make_redis(durable=True).start()
    through(make_worker, Broker(server.new_url(), instance), 5000, 60, server)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_python_workers_killed_for_a_minute(broker, directory, ended):
    """For comparison: Celery's own, late ack, a visibility timeout of 10 s so that what it restores comes back in time. It is slower
    to start, so it dies less often. What it loses is printed and kept beside ours; here only that it was a fair storm is judged."""
    chance = random.Random(SEED)
    conf = json.dumps({"broker_transport_options": {"visibility_timeout": 10}, "result_backend_transport_options": {},
                       "task_reject_on_worker_lost": True})
    workers = [PythonWorker(broker, directory, args=["-c", "4"], TEST_CONF=conf) for _ in range(3)]
    ended.extend(workers)
    for worker in workers:
        worker.start()
    load = Load(broker, 5000, 60, chance).start()
    deaths = storm(load, workers, 60, chance, (2, 5))
    missing = load.finish(150)
    weather(load, workers, deaths, missing, "Celery's workers killed")
    assert len(missing) < len(load.expected) / 2


@pytest.mark.parametrize("count, stops", [(600, 4), pytest.param(5000, 20, marks=pytest.mark.long)])
def test_stopped_and_started_under_load(make_worker, broker, count, stops):
    """A warm shutdown loses nothing and runs nothing twice."""
    chance = random.Random(SEED)
    workers = [make_worker("-c", "4", node=f"calm-{n}") for n in range(3)]
    load = Load(broker, count, count / 80, chance).start()
    for n in range(stops):
        at = count * (n + 1) / (stops + 1)
        wait_until(lambda: broker.result_count() >= at, 120, "the load came to a halt")
        victim = workers[n % 3]
        assert victim.term() == 0
        victim.start()
    assert load.finish(60) == []
    load.check()
    wait_until(lambda: set(executions(workers)) == set(load.expected), 30)
    assert {task_id: times for task_id, times in executions(workers).items() if times != 1} == {}
    broker.wait_settled()
