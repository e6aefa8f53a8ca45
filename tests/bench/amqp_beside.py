#!/usr/bin/env python3
"""Our AMQP client beside rabbitmq-c alone, doing the same: take a message, send an answer with a confirm, acknowledge.

    make build/bench-amqp && .run/venv/bin/python tests/bench/amqp_beside.py [-n MESSAGES] [-o FILE.json] [small] [large]

In turn, five times each, on a RabbitMQ of their own; the bar is 0.7 of the messages a second of the bare loop.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

from stand import finish, options, ROOT, told

from rabbitmq import RabbitMQ

import kombu

ROUNDS, PREFETCH, BAR = 5, 200, 0.7
HEADERS = {
    "lang": "py", "task": "celeriac.echo", "id": "x" * 36, "shadow": None, "eta": None, "expires": None, "group": None, "group_index": None,
    "retries": 0, "timelimit": [None, None], "root_id": "x" * 36, "parent_id": None, "argsrepr": "(1,)", "kwargsrepr": "{}",
    "origin": "gen1@host", "ignore_result": False, "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
}


def one(rabbitmq, kind, messages, size):
    vhost = rabbitmq.new_vhost()
    with rabbitmq.channel(vhost) as channel:
        for name in ("in", "out"):
            kombu.Queue(name)(channel).declare()
        producer = kombu.Producer(channel)
        for _ in range(messages):
            producer.publish(b"x" * size, routing_key="in", headers=HEADERS, content_type="application/json", content_encoding="utf-8")
    argv = [ROOT / "build/bench-amqp", kind, "127.0.0.1", rabbitmq.port, vhost, "in", "out", messages, PREFETCH]
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=True, timeout=600)
    assert rabbitmq.ready("out", vhost) == messages and rabbitmq.ready("in", vhost) == 0
    rabbitmq.delete_vhost(vhost)
    return round(messages / float(done.stdout))


def measured(rabbitmq, messages, size):
    rates, ratios = {"bare": [], "ours": []}, []
    for _ in range(ROUNDS):
        for kind, values in rates.items():
            values.append(one(rabbitmq, kind, messages, size))
        ratios.append(rates["ours"][-1] / rates["bare"][-1])
    row = {f"{kind}_per_s": {"p50": statistics.median(values), "each": values} for kind, values in rates.items()}
    row["ratio"], row["load"], row["bar"] = round(statistics.median(ratios), 2), round(os.getloadavg()[0], 1), {"ratio": BAR}
    row["met"] = row["ratio"] >= BAR
    print(f"{size} bytes: {row['ours_per_s']['p50']} messages/s, {row['bare_per_s']['p50']} by rabbitmq-c alone: {row['ratio']} of it; "
          f"load {row['load']}{told(row)}", flush=True)
    return row


SIZES = {"small": 200, "large": 20000}


def main():
    asked = options(__doc__, 10000).parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="celeriac-bench-"))
    directory.chmod(0o755)
    rabbitmq = RabbitMQ(directory)
    try:
        rabbitmq.create()
        return finish(asked, {name: measured(rabbitmq, asked.rounds, SIZES[name]) for name in asked.only or SIZES})
    finally:
        rabbitmq.kill()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
