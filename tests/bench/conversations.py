#!/usr/bin/env python3
"""Many conversations: the first call of one, several at once, hundreds one after the other, and what calls cost beside others.

    .run/venv/bin/python tests/bench/conversations.py [-n ROUNDS] [-o FILE.json] [first|at_once|many|growth…]

`first` is a conversation's first call while the pool has containers ready. `at_once` is `print(1)` in 1, 8 and 32 warm
conversations, each calling as fast as it is answered. `many` creates, uses and closes 500: nothing is left of them, and the
worker's memory is what it was. `growth` is what a call takes of processors in worker, Redis and PostgreSQL while 1, 10 and 100
conversations have their containers: calls one after the other, of all conversations in turn. They are of bash, whose containers
hold little.
"""

import pathlib
import subprocess
import sys
import threading
import time

from stand import cost, Figure, finish, grown, judge, options, PAUSE, Stand, summary, timed, told, wait_until

FIRST_BAR_MS = 50
AT_ONCE = (1, 8, 32)
MANY, AT_A_TIME = 500, 4
LIVE = (1, 10, 100)
GROWTH_MIB = 2  # of the worker over the last four fifths of them, at the most
# 32 conversations must all have room beside the pool.
SMALL = {"SANDBOX_MAX": 40, "SANDBOX_MEMORY": "192MiB", "SANDBOX_WORK_SIZE": "32MiB"}


def first(rounds, bar=FIRST_BAR_MS, **settings):
    with Stand(SANDBOX_POOL=2, **settings) as stand:
        took = []
        for number in range(rounds):
            wait_until(lambda: sum("celeriac-pool-" in name for name in stand.containers("pool")) >= 2, 60, "the pool is not full")
            time.sleep(4 * PAUSE)
            took.append(timed(lambda: stand.run("print(1)", f"first-{number}"))[0])
            stand.send("sandbox.close", conversation_id=f"first-{number}").get(timeout=60)
    row = {"first_ms": summary(took)}
    if bar is not None:
        judge(row, p50_ms=(row["first_ms"]["p50"], "most", bar))
    print(f"first call, pool warm: p50 {row['first_ms']['p50']} ms, p90 {row['first_ms']['p90']}{told(row)}", flush=True)
    return row


def calls_of(stand, conversation, rounds, took):
    for _ in range(rounds):
        took.append(timed(lambda: stand.run("print(1)", conversation))[0])


def rest(seconds=120):
    """Until the machine has little to do: each conversation's interpreters have loaded what they load."""
    def busy():
        fields = [int(value) for value in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(fields) - fields[3] - fields[4], sum(fields)

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = busy()
        time.sleep(1)
        after = busy()
        if after[0] - before[0] < (after[1] - before[1]) / 4:
            return
    print("the machine does not come to rest", flush=True)


def on_threads(targets):
    threads = [threading.Thread(target=target, args=args) for target, args in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def at_once(rounds):
    row = {}
    with Stand(CELERY_WORKER_CONCURRENCY=32, **SMALL) as stand:
        for count in AT_ONCE:
            names = [f"at-once-{number}" for number in range(count)]
            on_threads([(calls_of, (stand, name, 3, [])) for name in names])
            rest()
            took = []
            each = max(4, rounds // count)
            began = time.perf_counter()
            on_threads([(calls_of, (stand, name, each, took)) for name in names])
            seconds = time.perf_counter() - began
            assert len(took) == count * each, "a call failed"
            row[str(count)] = {"calls_per_second": Figure(len(took) / seconds, 1), "call_ms": summary(took)}
            print(f"{count:2} conversations at once: {row[str(count)]['calls_per_second']} calls/s, p50 {row[str(count)]['call_ms']['p50']}"
                  f" ms, p99 {row[str(count)]['call_ms']['p99']}", flush=True)
    return row


def live_and_die(stand, names):
    for name in names:
        stand.run("open('/sandbox/output/x', 'w').write('x')\nprint(1)", name)
        stand.send("sandbox.close", conversation_id=name).get(timeout=60)


def left_of(stand):
    listed = subprocess.run(["docker", "ps", "-aq", "--filter", f"label=celeriac.instance={stand.instance}"], capture_output=True, text=True)
    return len(listed.stdout.split())


def many(_, count=MANY):
    with Stand(SANDBOX_POOL=0, **SMALL) as stand:
        names = [f"many-{number}" for number in range(count)]
        began, memory = time.perf_counter(), []
        for share in range(5):
            part = names[share * count // 5:(share + 1) * count // 5]
            on_threads([(live_and_die, (stand, part[number::AT_A_TIME])) for number in range(AT_A_TIME)])
            memory.append(stand.worker.anonymous() / (1 << 20))
        seconds = time.perf_counter() - began
        left = left_of(stand)
    row = {"conversations": count, "ms_each": Figure(seconds / count * 1000, 1), "left": left, "memory_mib": [Figure(m, 2) for m in memory],
           "growth_mib": Figure(memory[-1] - memory[0], 2)}
    judge(row, left=(left, "most", 0), growth_mib=(row["growth_mib"], "most", GROWTH_MIB))
    print(f"{count} conversations created, used, closed: {row['ms_each']} ms each, {left} containers left, memory of the worker "
          f"{row['memory_mib']} MiB{told(row)}", flush=True)
    return row


def echo(stand, names):
    for name in names:
        stand.run("echo 1", name, language="bash")


def growth(rounds):
    calls = max(100, 2 * rounds)
    names, by_load = [], {}
    with Stand(SANDBOX_POOL=0, SANDBOX_MAX=LIVE[-1] + 10, SANDBOX_MEMORY="64MiB", SANDBOX_WORK_SIZE="32MiB", SANDBOX_IDLE_TIMEOUT="1h") as stand:
        for count in LIVE:
            more = [f"growth-{number}" for number in range(len(names), count)]
            on_threads([(echo, (stand, more[number::AT_A_TIME])) for number in range(AT_A_TIME)])
            names += more
            rest(30)
            by_load[count] = cost(stand.used, lambda: echo(stand, [names[number % count] for number in range(calls)]), calls)
        assert len(stand.containers("conversation")) == count
    return grown("a call", "conversations that are live", by_load)


ROWS = {"first": first, "at_once": at_once, "many": many, "growth": growth}


def main():
    asked = options(__doc__, 40).parse_args()
    return finish(asked, {name: ROWS[name](asked.rounds) for name in asked.only or ROWS})


if __name__ == "__main__":
    sys.exit(main())
