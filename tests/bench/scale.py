#!/usr/bin/env python3
"""From one worker to many: calls/s with 1, 2 and 4 workers, two engines, and a simulation of a thousand conversations.

    .run/venv/bin/python tests/bench/scale.py [-n ROUNDS] [-o FILE.json] [workers|engines|simulated…]

Calls sleep, so that processors are not the limit: what is seen is whether workers hinder one another. `workers` are real
containers, one conversation for each slot. `engines` are fifty real containers on two real Docker daemons under four workers.
`simulated` is A SIMULATION: a thousand conversations over eight real workers and a real Redis, whose calls only sleep in the worker
(pretended.c) and have no container; what it costs the broker, and whether each conversation's calls come in order, are real.
"""

import collections
import concurrent.futures
import json
import pathlib
import sys
import tempfile
import time
import uuid

from conversations import rest
from stand import Figure, finish, judge, load, options, Stand, told, wait_until

import engines
from building import Headers
from clients import envelope
from test_scale_engines import both_up

HERE = pathlib.Path(__file__).resolve().parent
SLOTS, SLEEP = 4, 10
SMALL = {"SANDBOX_MEMORY": "64MiB", "SANDBOX_WORK_SIZE": "32MiB", "CELERY_WORKER_PREFETCH_MULTIPLIER": 1, "SANDBOX_IDLE_TIMEOUT": "1h"}
RATIO_BAR = 0.85  # calls/s for each worker of four, of what one alone makes
PROGRAM = "import time\ntime.sleep({seconds})\nopen('/sandbox/log', 'a').write('x')\nprint(len(open('/sandbox/log').read()))"


def counted(broker):
    """{command: (calls, µs of the server)} so far, those within scripts among them."""
    return {name.removeprefix("cmdstat_"): (row["calls"], row["usec"]) for name, row in broker.redis.info("commandstats").items()}


def cost(before, after, calls, without=()):
    """What a call cost the broker: commands, and the server's time, by name where it is much."""
    names = [name for name in after if name not in ("info", "scan", *without)]
    each = {name: (after[name][0] - before.get(name, (0, 0))[0]) / calls for name in names}
    # A script's time holds that of its commands.
    outer = [name for name in names if name in ("evalsha", "eval")]
    inner = sum(after[name][1] - before.get(name, (0, 0))[1] for name in outer) / calls
    return {"commands": Figure(sum(each.values()), 1), "scripts": Figure(sum(each[name] for name in outer), 2), "script_us": Figure(inner, 1),
            "most": {name: Figure(value, 2) for name, value in sorted(each.items(), key=lambda item: -item[1])[:8]}}


def all_at_once(stand, names, rounds, seconds=SLEEP):
    """Each conversation calls as often, as soon as it is answered; the seconds, and the answers by conversation."""
    def one(name):
        return [stand.run(PROGRAM.format(seconds=seconds), name, timeout=seconds + 120) for _ in range(rounds)]

    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        values = dict(zip(names, pool.map(one, names)))
    return time.perf_counter() - began, values


def owners(stand, names):
    """How many conversations each node has."""
    keys = [f"celeriac:{stand.instance}:route:{name}" for name in names]
    return dict(collections.Counter(value.decode().rpartition("@")[0] for value in stand.broker.redis.mget(keys) if value))


def check(values, first):
    """Every call was the next of its container, which was never another one."""
    for answers in values.values():
        assert [int(value["stdout"]) for value in answers] == list(range(first, first + len(answers))), answers
        assert len({value["sandbox"] for value in answers}) == 1 and not any(value["restarted"] for value in answers)


def quick_calls(stand, name, count=40):
    """What `print(1)` costs the broker, less what workers that do nothing say in the same time. The client's part is in it."""
    stand.run("print(1)", name)
    before, began = counted(stand.broker), time.monotonic()
    for _ in range(count):
        stand.run("print(1)", name)
    after, seconds = counted(stand.broker), time.monotonic() - began
    time.sleep(seconds)
    idle = counted(stand.broker)
    without = {command: tuple(2 * now - then for now, then in zip(after[command], idle[command])) for command in after}
    return cost(before, without, count)


def with_workers(count, rounds):
    with Stand(workers=count, CELERY_WORKER_CONCURRENCY=SLOTS, SANDBOX_MAX=32, **SMALL) as stand:
        names = [f"scale-{number}" for number in range(count * SLOTS)]
        check(all_at_once(stand, names, 1, 5)[1], 1)  # each slot has its conversation now
        rest(30)
        seconds, values = all_at_once(stand, names, rounds)
        check(values, 2)
        row = {"calls_per_second": Figure(len(names) * rounds / seconds, 3), "conversations": owners(stand, names),
               "of_the_sleep": Figure(SLEEP * rounds / seconds, 3), "load": load(), "broker": quick_calls(stand, names[0])}
    print(f"{count} worker(s) of {SLOTS} slots: {row['calls_per_second']} calls/s, {row['of_the_sleep']} of what the sleep of {SLEEP} s allows;"
          f" load {row['load']}; conversations {row['conversations']}; `print(1)` costs the broker {row['broker']['commands']} commands"
          f" ({row['broker']['scripts']} scripts)", flush=True)
    return row


def workers(rounds):
    row = {str(count): with_workers(count, rounds) for count in (1, 2, 4)}
    alone = row["1"]["calls_per_second"]
    row["ratio_per_worker"] = {count: Figure(row[count]["calls_per_second"] / alone / int(count), 3) for count in ("1", "2", "4")}
    row["sleep"] = SLEEP
    judge(row, ratio_per_worker_of_4=(row["ratio_per_worker"]["4"], "least", RATIO_BAR))
    print(f"calls/s for each worker, of what one alone makes: {row['ratio_per_worker']}{told(row)}", flush=True)
    return row


def on_engine(engine, stand):
    listed = engine.docker("ps", "-aq", "--filter", f"label=celeriac.instance={stand.instance}")
    return len(listed.stdout.split())


class Machine(engines.Private):
    """The machine's own Docker, asked like another."""

    def __init__(self):
        self.host = engines.MACHINE


def two_engines(rounds, count=50):
    second, first = engines.Another(), Machine()
    try:
        second.start()
        with Stand(workers=4, CELERY_WORKER_CONCURRENCY=13, SANDBOX_MAX=40, DOCKER_HOST=f"{first.host},{second.host}", **SMALL) as stand:
            both_up(stand.workers, second)
            names = [f"engines-{number}" for number in range(count)]
            check(all_at_once(stand, names, 1, 5)[1], 1)
            rest(30)
            seconds, values = all_at_once(stand, names, rounds)
            check(values, 2)
            row = {"sleep": SLEEP, "calls_per_second": Figure(count * rounds / seconds, 3), "of_the_sleep": Figure(SLEEP * rounds / seconds, 3), "load": load(),
                   "containers": [on_engine(first, stand), on_engine(second, stand)], "conversations": owners(stand, names)}
    finally:
        second.stop()
    judge(row, containers=(sum(row["containers"]), "exactly", count), on_an_engine=(min(row["containers"]), "least", count // 5))
    print(f"{count} containers on two engines under 4 workers: {row['containers']}, {row['calls_per_second']} calls/s, {row['of_the_sleep']} of what"
          f" the sleep allows; load {row['load']}; conversations {row['conversations']}{told(row)}", flush=True)
    return row


def push_all(stand, names, calls, seconds):
    ids = []
    with stand.broker.redis.pipeline(transaction=False) as pipeline:
        for n in range(calls):
            for name in names:
                task_id, message = envelope(task="pretended.call", kwargs={"conversation_id": name, "n": n, "seconds": seconds})
                pipeline.lpush("celery", json.dumps(message))
                ids.append(task_id)
        pipeline.execute()
    return ids


def came_in_order(values):
    """Of each conversation: one after the other, in the order they were sent, on one node."""
    by_name = collections.defaultdict(list)
    for value in values:
        by_name[value["conversation"]].append(value)
    for calls in by_name.values():
        calls.sort(key=lambda value: value["began"])
        assert [value["n"] for value in calls] == list(range(len(calls))), calls
        assert all(before["ended"] <= after["began"] for before, after in zip(calls, calls[1:])), calls
    nodes = {name: {value["node"] for value in calls} for name, calls in by_name.items()}
    return sum(len(seen) == 1 for seen in nodes.values()), collections.Counter(next(iter(seen)) for seen in nodes.values())


def simulated(rounds, count=1000, nodes=8, slots=32, seconds=1.0):
    with tempfile.TemporaryDirectory(prefix="celeriac-bench-") as directory:
        module = Headers(pathlib.Path(directory)).compile("pretended", HERE / "pretended.c")
        with Stand(workers=nodes, args=("-I", module), CELERY_WORKER_CONCURRENCY=slots, CELERY_WORKER_PREFETCH_MULTIPLIER=1) as stand:
            return simulate(stand, rounds, count, nodes, slots, seconds)


def simulate(stand, rounds, count, nodes, slots, seconds):
    names = [f"pretended-{number}-{uuid.uuid4()}" for number in range(count)]
    before = counted(stand.broker)
    began = time.perf_counter()
    ids = push_all(stand, names, 2 * rounds, seconds)
    keys = [f"celery-task-meta-{task_id}" for task_id in ids]
    results = lambda: [json.loads(raw) for raw in stand.broker.redis.mget(keys) if raw]  # noqa: E731
    wait_until(lambda: stand.broker.redis.exists(*keys) == len(ids), 600, "they do not begin")
    wait_until(lambda: all(meta["status"] != "STARTED" for meta in results()), 60, "they do not end")
    took = time.perf_counter() - began
    after = counted(stand.broker)
    metas = results()
    assert all(meta["status"] == "SUCCESS" for meta in metas), [meta for meta in metas if meta["status"] != "SUCCESS"][:3]
    stayed, spread = came_in_order([meta["result"] for meta in metas])
    row = {"SIMULATION": "calls sleep in the worker, without a container", "conversations": count, "workers": nodes, "calls": len(ids),
           "seconds": Figure(took, 1), "calls_per_second": Figure(len(ids) / took, 1), "of_the_sleep": Figure(len(ids) * seconds / slots / nodes / took, 3),
           "stayed_on_one_node": stayed, "conversations_of_a_node": sorted(spread.values()), "load": load(),
           "broker": cost(before, after, len(ids), without=("exists", "mget"))}
    judge(row, stayed_on_one_node=(stayed, "exactly", count))
    print(f"SIMULATION (no containers): {count} conversations, {len(ids)} calls of {seconds} s over {nodes} workers of {slots} slots: in order, {stayed}"
          f" stayed on one node, {row['calls_per_second']} calls/s ({row['of_the_sleep']} of what the sleep allows); a node has"
          f" {min(spread.values())} to {max(spread.values())} of them; load {row['load']}{told(row)}", flush=True)
    print(f"what a call costs the broker: {row['broker']['commands']} commands, {row['broker']['scripts']} scripts, {row['broker']['script_us']} µs"
          f" in them; {row['broker']['most']}", flush=True)
    return row


ROWS = {"workers": workers, "engines": two_engines, "simulated": simulated}


def main():
    asked = options(__doc__, 1).parse_args()
    return finish(asked, {name: ROWS[name](asked.rounds) for name in asked.only or ROWS})


if __name__ == "__main__":
    sys.exit(main())
