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


def few_of(broker, path, start, count, sent, used):
    """`sent` of so many entries are due, 20 a second, the others in some minutes: what each message takes, µs, the least of five parts of
    them; `used(pid)`: seconds so far."""
    first = time.time() + 10
    due = [first + n / 20 for n in range(sent)] + [first + PERIOD / 2 + PERIOD * n / 2 / count for n in range(count - sent)]
    write_entries(broker, path, due)
    consumer = Consumer(broker, sent)
    process, seen = start().process, []

    def next_part():
        now = len(consumer.taken), used(process.pid)
        if not seen or now[0] - seen[-1][0] >= sent // 5 or now[0] == sent:
            seen.append(now)
        return now[0] == sent

    wait_until(lambda: consumer.taken, 60)
    wait_until(next_part, sent / 10 + 30)
    parts = [((now - before) / (taken - taken_before)) for (taken_before, before), (taken, now) in zip(seen, seen[1:]) if taken > taken_before]
    return min(parts) * 1e6


def at_once(broker, path, start, count):
    """All of them due at one instant."""
    first = time.time() + 10
    write_entries(broker, path, [first] * count)
    consumer = Consumer(broker, count)
    start()
    consumer.wait(120)
    return percentiles(consumer.lateness([first] * count))
