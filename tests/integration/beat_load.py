"""Beat with many entries: how late its messages are, and what it takes. For the long tests and tests/bench/beat.py."""

import datetime
import json
import pathlib
import threading
import time

from services import wait_until

PERIOD = 600
UTC = datetime.timezone.utc


def cpu_seconds(pid):
    """Of its threads, to the nanosecond: who wakes in step with the kernel's ticks is counted wrongly by these."""
    return sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def write_entries(broker, path, due):
    """Entries that are due at these times next."""
    broker.redis.hset(f"celeriac:{broker.instance}:beat", mapping={
        f"e{n}": json.dumps({"last_run_at": datetime.datetime.fromtimestamp(at - PERIOD, UTC).isoformat(), "total_run_count": 1, "task_id": ""})
        for n, at in enumerate(due)})
    path.write_text(json.dumps({
        f"e{n}": {"task": "app.many", "schedule": PERIOD, "args": [n], "options": {"queue": "many"}} for n in range(len(due))}))


class Consumer(threading.Thread):
    """Takes messages as they come, and when, until there were so many."""

    def __init__(self, broker, count):
        super().__init__(daemon=True)
        self.redis, self.count, self.taken, self.over = broker.redis, count, [], False
        self.start()

    def run(self):
        while len(self.taken) < self.count and not self.over:
            answer = self.redis.execute_command("BLMPOP", 1, 1, "many", "LEFT", "COUNT", 1000)
            now = time.time()
            self.taken += [(raw, now) for raw in (answer[1] if answer else ())]

    def wait(self, seconds):
        self.join(seconds)
        self.over = True
        assert len(self.taken) >= self.count, f"{len(self.taken)} messages of {self.count} in {seconds} s"

    def lateness(self, due):
        """Milliseconds from the time of a slot to its message, sorted; each entry was sent once, none before its turn."""
        late = {}
        for raw, at in self.taken:
            (n,) = json.loads(json.loads(raw)["headers"]["argsrepr"])
            assert n not in late
            late[n] = 1000 * (at - due[n])
        assert sorted(late) == list(range(len(late))) and min(late.values()) >= 0
        return sorted(late.values())


def percentiles(late):
    return {f"p{p}": round(late[min(len(late) - 1, len(late) * p // 100)], 1) for p in (50, 90, 99, 100)}


def spread(broker, path, start, count, sent):
    """`count` entries due one after the other within ten minutes, until `sent` of them were; `start()` starts beat."""
    first = time.time() + 10
    due = [first + PERIOD * n / count for n in range(count)]
    write_entries(broker, path, due)
    consumer = Consumer(broker, sent)
    pid = start().process.pid
    wait_until(lambda: consumer.taken, 60)
    used, began = cpu_seconds(pid), time.monotonic()
    consumer.wait(2 * PERIOD * sent / count + 30)
    share = (cpu_seconds(pid) - used) / (time.monotonic() - began)
    return {"cpu_percent": round(100 * share, 2), **percentiles(consumer.lateness(due))}


def at_once(broker, path, start, count):
    """All of them due at one instant."""
    first = time.time() + 10
    write_entries(broker, path, [first] * count)
    consumer = Consumer(broker, count)
    start()
    consumer.wait(120)
    return percentiles(consumer.lateness([first] * count))
