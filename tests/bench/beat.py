#!/usr/bin/env python3
"""Beat with 10 000 entries, against the bars of the design.

    .run/venv/bin/python tests/bench/beat.py [--entries N] [-o FILE.json]

Due one after the other (17 a second): its share of a core, and how late messages are. Due at one instant: how long that takes.
"""

import argparse
import json
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

import beat_load  # noqa: E402
from clients import Broker  # noqa: E402
from services import Redis  # noqa: E402
from test_beat import Beat  # noqa: E402


def run(name, measure, directory, *args):
    """One measurement with a Redis and a beat of its own."""
    here = directory / name.split()[0]
    here.mkdir(mode=0o755)
    server = Redis(here).start()
    broker = Broker(server.new_url(), f"bench-{here.name}")
    path = here / "beat.json"
    beat = Beat(here, broker.url, broker.instance, ("-l", "WARNING"), CELERIAC_BEAT_SCHEDULE=str(path), SANDBOX_CLEANUP_INTERVAL="3600")
    try:
        return {"scenario": name, **measure(broker, path, beat.start, *args)}
    finally:
        beat.kill()
        server.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("-o", "--output", type=pathlib.Path)
    options = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="celeriac-bench-"))
    directory.chmod(0o755)
    try:
        spread = run("spread over ten minutes", beat_load.spread, directory, options.entries, options.entries // 10)
        burst = run("at one instant", beat_load.at_once, directory, options.entries)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    spread["ok"] = spread["cpu_percent"] < 2 and spread["p99"] <= 50
    print(f"{options.entries} entries, ms late      p50     p90     p99     max")
    for row in (spread, burst):
        print(f"{row['scenario']:25} {row['p50']:7} {row['p90']:7} {row['p99']:7} {row['p100']:7}")
    print(f"one after the other: {spread['cpu_percent']} % of a core (bar 2), p99 {spread['p99']} ms (bar 50): {'ok' if spread['ok'] else 'ABOVE'}")
    if options.output:
        options.output.write_text(json.dumps([spread, burst], indent=1) + "\n")
    return 0 if spread["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
