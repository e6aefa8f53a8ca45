"""Beat with many entries: how late its messages are, and what it takes. For the long tests and tests/bench/beat.py."""

import datetime
import json
import os
import pathlib
import time

from services import wait_until

PERIOD = 600
UTC = datetime.timezone.utc


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_entries(broker, path, due):
    """Entries that are due at these times next, each in a message that expires an hour after it was sent."""
    broker.redis.hset(f"celeriac:{broker.instance}:beat", mapping={
        f"e{n}": json.dumps({"last_run_at": datetime.datetime.fromtimestamp(at - PERIOD, UTC).isoformat(), "total_run_count": 1, "task_id": ""})
        for n, at in enumerate(due)})
    path.write_text(json.dumps({
        f"e{n}": {"task": "app.many", "schedule": PERIOD, "args": [n], "options": {"queue": "many", "expires": 3600}} for n in range(len(due))}))


def lateness(broker, due):
    """Milliseconds from the time of a slot to when its message was made, sorted; each entry was sent once, none before its turn."""
    late = {}
    for raw in broker.redis.lrange("many", 0, -1):
        headers = json.loads(raw)["headers"]
        (n,) = json.loads(headers["argsrepr"])
        assert n not in late
        late[n] = 1000 * (datetime.datetime.fromisoformat(headers["expires"]).timestamp() - 3600 - due[n])
    assert sorted(late) == list(range(len(late)))
    return sorted(late.values())


def percentiles(late):
    return {f"p{p}": round(late[min(len(late) - 1, len(late) * p // 100)], 1) for p in (50, 90, 99, 100)}


def spread(broker, path, start, count, sent):
    """`count` entries due one after the other within ten minutes, until `sent` of them were; `start()` starts beat."""
    first = time.time() + 10
    due = [first + PERIOD * n / count for n in range(count)]
    write_entries(broker, path, due)
    pid = start().process.pid
    wait_until(lambda: broker.redis.llen("many") > 0, 60)
    used, began = cpu_seconds(pid), time.monotonic()
    wait_until(lambda: broker.redis.llen("many") > sent, 2 * PERIOD * sent / count + 30)
    share = (cpu_seconds(pid) - used) / (time.monotonic() - began)
    return {"cpu_percent": round(100 * share, 2), **percentiles(lateness(broker, due))}


def at_once(broker, path, start, count):
    """All of them due at one instant; also the seconds until the last was on its queue."""
    first = time.time() + 10
    write_entries(broker, path, [first] * count)
    start()
    wait_until(lambda: broker.redis.llen("many") == count, 120)
    took = time.time() - first
    return {"seconds": round(took, 2), **percentiles(lateness(broker, [first] * count))}
