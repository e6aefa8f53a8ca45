#!/usr/bin/env python3
"""Ours beside rabbitmq-c alone, doing the same: take a message, send an answer with a confirm, acknowledge.

    make build/bench-amqp && .run/venv/bin/python tests/bench/amqp_beside.py [-n MESSAGES] [-o FILE.json] [small] [large] [worker]

In turn, three times each, on a RabbitMQ of their own; the bar is 0.7 of the messages a second of the bare loop. `small` and `large`:
our AMQP client; `worker`: celeriac-worker with tasks that do nothing (`celeriac.echo`) and results by rpc://, and Celery's prefork
-c 2 beside it, which confirms nothing, acknowledges early and gets a tenth of the messages. All answers are persistent.
"""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from stand import Figure, finish, judge, load, options, ROOT, told, wait_until, Worker

from clients import envelope, PythonWorker, RabbitBroker
from rabbitmq import RabbitMQ

import kombu

ROUNDS, PREFETCH, BAR = 3, 200, 0.7
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
    row["times_bare"], row["load"] = Figure(statistics.median(ratios), 2), load()
    judge(row, times_bare=(row["times_bare"], "least", BAR))
    print(f"{size} bytes: {row['ours_per_s']['p50']} messages/s, {row['bare_per_s']['p50']} by rabbitmq-c alone: {row['times_bare']} times; "
          f"load {row['load']}{told(row)}", flush=True)
    return row


def filled(rabbitmq, messages):
    """A broker whose tasks are to be answered in the queue "out", and whose results are messages."""
    broker = RabbitBroker(rabbitmq, None, "bench")
    broker.results = "rpc://"
    with rabbitmq.channel(broker.vhost) as channel:
        kombu.Queue("out")(channel).declare()
        kombu.Queue("celery", kombu.Exchange("celery"), "celery")(channel).declare()
    for n in range(messages):
        broker.push(json.dumps(envelope(args=[n], properties={"reply_to": "out"})[1]))
    return broker


def by_worker(broker, worker, messages):
    """Tasks a second, from the first answer that is seen to the last ack."""
    seen = []

    def answered():
        rows = broker.rabbitmq.counts(broker.vhost)
        if rows["out"]["messages"] and not seen:
            seen.append((time.perf_counter(), rows["out"]["messages"]))
        return rows["out"]["messages"] == messages and rows["celery"]["messages"] == 0

    try:
        worker.start()
        wait_until(answered, 600)
        assert seen[0][1] < messages / 2, "it began before anybody looked"
        return round((messages - seen[0][1]) / (time.perf_counter() - seen[0][0]))
    finally:
        worker.kill()
        broker.close()


def ours(rabbitmq, directory, messages):
    broker = filled(rabbitmq, messages)
    worker = Worker(directory, "bench", ("-l", "WARNING", "-c", "4", "--prefetch-multiplier", str(PREFETCH // 4)), CELERIAC_INSTANCE="bench",
                    CELERY_BROKER_URL=broker.url, CELERY_RESULT_BACKEND="rpc://", CELERY_RESULT_PERSISTENT="1")
    worker.start = worker.spawn  # it may be done before it is asked whether it is ready
    return by_worker(broker, worker, messages)


def celery(rabbitmq, directory, messages):
    broker = filled(rabbitmq, messages)
    conf = {"worker_prefetch_multiplier": PREFETCH // 2, "task_acks_late": False, "result_persistent": True}
    worker = PythonWorker(broker, directory, args=("-l", "WARNING"), TEST_CONF=json.dumps(conf))
    worker.is_ready = lambda: True
    return by_worker(broker, worker, messages)


def workers(rabbitmq, directory, messages):
    rates = {"bare": [], "ours": [], "celery": []}
    for _ in range(ROUNDS):
        rates["bare"].append(one(rabbitmq, "bare", messages, SIZES["small"]))
        rates["ours"].append(ours(rabbitmq, directory, messages))
        rates["celery"].append(celery(rabbitmq, directory, messages // 10))
    row = {f"{kind}_per_s": {"p50": statistics.median(values), "each": values} for kind, values in rates.items()}
    for other in ("bare", "celery"):
        each = [mine / theirs for mine, theirs in zip(rates["ours"], rates[other], strict=True)]
        row[f"times_{other}"] = Figure(statistics.median(each), 2)
    row["load"] = load()
    judge(row, times_bare=(row["times_bare"], "least", BAR))
    print(f"worker: {row['ours_per_s']['p50']} tasks/s, {row['bare_per_s']['p50']} by rabbitmq-c alone: {row['times_bare']} times; "
          f"{row['celery_per_s']['p50']} by Celery: {row['times_celery']} times; load {row['load']}{told(row)}", flush=True)
    return row


SIZES = {"small": 200, "large": 20000}


def main():
    asked = options(__doc__, 10000).parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="celeriac-bench-"))
    directory.chmod(0o755)
    rabbitmq = RabbitMQ(directory)
    try:
        rabbitmq.create()
        rows = {}
        for name in asked.only or (*SIZES, "worker"):
            rows[name] = workers(rabbitmq, directory, asked.rounds) if name == "worker" else measured(rabbitmq, asked.rounds, SIZES[name])
        return finish(asked, rows)
    finally:
        rabbitmq.kill()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
