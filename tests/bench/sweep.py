#!/usr/bin/env python3
"""How long a sweep takes over many conversations of which none is due: message sent until the result is there; and what it takes of
processors for each of 10, 100 and 1 000.

    .run/venv/bin/python tests/bench/sweep.py [-n ROUNDS] [-o FILE.json] [tracked]

The containers are real ones of the engine, recorded as a worker records them, but of a program that only sleeps, and only
RUNNING of them are started (1 000 would take 10 GiB): to the engine's list and to a sweep it is the same, but that the sweep also
asks itself how long the others have been half made. Beside it `docker ps -a` with the same filter: what the engine takes to list
them.
"""

import concurrent.futures
import subprocess
import sys
import time
import uuid

from stand import cost, DockerExec, finish, flat, IMAGE, judge, load, options, PAUSE, processor_seconds, Stand, summary, timed, told

COUNTS, RUNNING, AT_A_TIME = (10, 100, 1000), 50, 4
BAR_MS = 1000


def make(stand, engine, owner, number):
    conversation = f"swept-{number}"
    labels = {"instance": stand.instance, "role": "conversation", "conversation": conversation, "project": "", "owner": owner}
    body = {"Image": IMAGE, "Entrypoint": ["sleep", "1000000"], "Cmd": [], "Labels": {f"celeriac.{name}": value for name, value in labels.items()},
            "HostConfig": {"NetworkMode": "none", "ReadonlyRootfs": True, "LogConfig": {"Type": "none"}}}
    container = engine.call("POST", f"/containers/create?name=celeriac-conversation-{uuid.uuid4().hex}", body)["Id"]
    if number < RUNNING:
        engine.call("POST", f"/containers/{container}/start")
    now = int(time.time() * 1000)
    base = f"celeriac:{stand.instance}:"
    with stand.broker.redis.pipeline() as pipeline:
        pipeline.hset(f"{base}conversation:{conversation}", mapping={"container": container, "owner": owner, "project": "", "epoch": 1, "used": now})
        pipeline.zadd(f"{base}idle", {conversation: now})
        pipeline.execute()


def make_more(stand, engine, owner, numbers):
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(lambda number: make(stand, engine, owner, number), numbers))
    print(f"{len(numbers)} containers made in {time.perf_counter() - began:.0f} s", flush=True)


def sweep(stand, count):
    took, report = timed(lambda: stand.send("sandbox.cleanup").get(timeout=300, interval=0.001))
    assert report == {"idle": 0, "orphans": 0, "kept": count, "failed": 0}, report
    return took


def measured(stand, rounds, count):
    """A sweep and the engine's list in turn."""
    figures = {"sweep_ms": [], "worker_cpu_ms": [], "list_ms": []}
    for _ in range(rounds):
        time.sleep(PAUSE)
        before = processor_seconds(stand.worker.process.pid)
        figures["sweep_ms"].append(sweep(stand, count))
        figures["worker_cpu_ms"].append((processor_seconds(stand.worker.process.pid) - before) * 1000)
        time.sleep(PAUSE)
        figures["list_ms"].append(timed(lambda: subprocess.run(
            ["docker", "ps", "-aq", "--filter", f"label=celeriac.instance={stand.instance}"], check=True, capture_output=True))[0])
    return {key: summary(values) for key, values in figures.items()}


def tracked(rounds):
    with Stand(SANDBOX_POOL=0, SANDBOX_IDLE_TIMEOUT="24h", SANDBOX_ADOPT_GRACE="24h", SANDBOX_MAX=COUNTS[-1] + 10) as stand:
        engine, tracked, by_load = DockerExec(), 1, {}
        stand.run("print(1)", "one that is real")
        owner = stand.broker.redis.hget(f"celeriac:{stand.instance}:conversation:one that is real", "owner").decode()
        assert owner
        for count in COUNTS:
            make_more(stand, engine, owner, range(tracked, count))
            tracked = count
            by_load[count] = cost(stand.used, lambda: sweep(stand, count), count, rounds)
        row = measured(stand, rounds, count)
    row = {**row, "conversations": count, "load_is": "conversations", "by_load": by_load, "load": load()}
    judge(row, p50_ms=(row["sweep_ms"]["p50"], "most", BAR_MS), of_the_least=flat(by_load))
    print(f"a sweep over {count} conversations, none due: p50 {row['sweep_ms']['p50']} ms, p90 {row['sweep_ms']['p90']} ms, "
          f"{row['worker_cpu_ms']['p50']} ms of a processor in the worker; `docker ps -a` of them {row['list_ms']['p50']} ms; for each "
          f"conversation, of {', '.join(map(str, by_load))}: {', '.join(map(str, by_load.values()))} us of processors; "
          f"load {row['load']}{told(row)}", flush=True)
    return row


ROWS = {"tracked": tracked}


def main():
    asked = options(__doc__, 10).parse_args()
    return finish(asked, {name: ROWS[name](asked.rounds) for name in asked.only or ROWS})


if __name__ == "__main__":
    sys.exit(main())
