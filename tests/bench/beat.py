#!/usr/bin/env python3
"""Beat with 10 000 entries, against the bars of the design.

    .run/venv/bin/python tests/bench/beat.py [-n ENTRIES] [-o FILE.json] [spread] [at_once] [growth]

`spread`: due one after the other (17 a second): its share of a core, and how late messages are. `at_once`: due at one instant: how long
that takes. `growth`: what a message takes of processors in beat and Redis while 100 entries are due, 20 a second, of 100, 1 000 and 10 000.
"""

import contextlib
import pathlib
import shutil
import sys
import tempfile

from stand import Figure, finish, grown, judge, load, options, processor_seconds, Redis, told

import beat_load
from clients import Broker
from test_beat import Beat

DUE = 100


@contextlib.contextmanager
def running(name):
    """A Redis and a beat of its own, which is not started yet."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="celeriac-bench-"))
    directory.chmod(0o755)
    server = Redis(directory).start()
    broker = Broker(server.new_url(), f"bench-{name}")
    path = directory / "beat.json"
    beat = Beat(directory, broker.url, broker.instance, ("-l", "WARNING"), CELERIAC_BEAT_SCHEDULE=str(path), SANDBOX_CLEANUP_INTERVAL="3600")
    try:
        yield broker, path, beat, server
    finally:
        beat.kill()
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


def late(what, row):
    row["load"] = load()
    print(f"{what}: p50 {row['p50']} ms late, p90 {row['p90']}, p99 {row['p99']}, the last {row['p100']}; load {row['load']}{told(row)}", flush=True)
    return row


def spread(entries):
    with running("spread") as (broker, path, beat, _):
        row = beat_load.spread(broker, path, beat.start, entries, entries // 20)
    judge(row, cpu_percent=(row["cpu_percent"], "below", 2), p99=(row["p99"], "most", 50))
    return late(f"{entries} entries, one after the other, {row['cpu_percent']} % of a core", row)


def at_once(entries):
    with running("at-once") as (broker, path, beat, _):
        return late(f"{entries} entries at one instant", beat_load.at_once(broker, path, beat.start, entries))


def growth(entries):
    by_load = {}
    for count in (entries // 100, entries // 10, entries):
        with running("growth") as (broker, path, beat, server):
            def used(pid):
                return processor_seconds(pid) + processor_seconds(server.process.pid)

            by_load[count] = Figure(beat_load.few_of(broker, path, beat.start, count, min(count, DUE), used), 1)
    return grown("a message", "entries", by_load)


ROWS = {"spread": spread, "at_once": at_once, "growth": growth}


def main():
    asked = options(__doc__, 10_000).parse_args()
    return finish(asked, {name: ROWS[name](asked.rounds) for name in asked.only or ROWS})


if __name__ == "__main__":
    sys.exit(main())
