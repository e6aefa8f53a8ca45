#!/usr/bin/env python3
"""What a conversation costs, for the capacity table of deploy/RUNBOOKS.md: descriptors and memory of the worker, memory of
containers, connections.

    .run/venv/bin/python tests/bench/capacity.py [-n CONVERSATIONS] [-o FILE.json]

Read from /proc, from Redis' CLIENT LIST, from pg_stat_activity and from the engine: at rest, with conversations that are idle
(each has run `print(1)`), then with as many that run and print a line now and then.
"""

import json
import os
import pathlib
import subprocess
import time

from stand import Stand, options, wait_until

CODE = "import time\nfor n in range(10**6):\n    print(n, flush=True)\n    time.sleep(1)\n"


def fields(pid):
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name.rstrip(":"): int(value) << 10 for name, value, *_ in map(str.split, lines)}


def worker_now(stand):
    pid = stand.worker.process.pid
    memory = fields(pid)
    return {"descriptors": len(os.listdir(f"/proc/{pid}/fd")), "threads": len(os.listdir(f"/proc/{pid}/task")),
            "anonymous_kib": memory["Anonymous"] >> 10, "resident_kib": memory["Rss"] >> 10}


def containers_now(stand):
    names = stand.containers("conversation")
    if not names:
        return {}
    said = subprocess.run(["docker", "stats", "--no-stream", "--format", "{{json .}}", *names], capture_output=True, text=True, check=True)
    units = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    sizes = []
    for line in said.stdout.splitlines():
        text = json.loads(line)["MemUsage"].split(" / ")[0]
        number = text.rstrip("BKMGi")
        sizes.append(float(number) * units[text[len(number):]])
    return {"container_mib": round(sum(sizes) / len(sizes) / (1 << 20), 1)}


def connections_now(stand, postgres):
    own = [each["name"] for each in stand.broker.redis.client_list() if each["name"].startswith("celeriac-")]
    rows = postgres.sql("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'celeriac-%%'")
    return {"redis": len(own), "redis_names": sorted(own), "postgres": len(rows)}


def main():
    asked = options(__doc__, 8).parse_args()
    count, rows = asked.rounds, {}
    with Stand(CELERY_WORKER_CONCURRENCY=str(count), SANDBOX_MAX=str(count)) as stand:
        postgres = stand.started[1]
        time.sleep(3)
        rows["at rest"] = worker_now(stand)
        for n in range(count):
            stand.run("print(1)", f"c-{n}")
        time.sleep(2)
        rows["idle"] = {**worker_now(stand), **containers_now(stand)}
        time.sleep(70)  # the fork servers have gone
        rows["idle for a minute"] = {**worker_now(stand), **containers_now(stand)}
        for n in range(count):
            stand.send("sandbox.execute_code", conversation_id=f"c-{n}", code=CODE, timeout=120)
        wait_until(lambda: stand.worker.metric("tasks_active") == count, 60)
        time.sleep(5)
        rows["running"] = {**worker_now(stand), **containers_now(stand)}
        connections = connections_now(stand, postgres)
    each = {state: {name: round((rows[state][name] - rows["at rest"][name]) / count, 2) for name in rows["at rest"]}
            for state in rows if state != "at rest"}
    report = {"conversations": count, "worker": rows, "each": each, "connections": connections}
    print(json.dumps(report, indent=1))
    if asked.output:
        asked.output.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
