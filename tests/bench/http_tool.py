#!/usr/bin/env python3
"""A call of a custom HTTP tool, and the rows that such calls leave.

    .run/venv/bin/python tests/bench/http_tool.py [-n CALLS] [-o FILE.json] [call] [rows] [growth]

`call`: message sent until the result is there, of a tool whose server is on this machine: ours (policy, address rules, audit, row
included) beside `requests` in a Celery task (a worker of one process), with a session kept and with `requests.get`; and `requests`
in this process, so that what is beyond it is the way through broker and worker.
`rows`: calls sent at once through eight threads, each of which inserts a row before and finishes it after; beside psycopg, which
does the same two statements one after the other and nothing else.
`growth`: what a call takes of processors in worker, PostgreSQL and Redis while the tables of calls and of the audit have 100 rows and
ten, a hundred and a thousand times as many: calls one after the other.
"""

import http.server
import json
import sys
import time

import psycopg
import requests

from stand import cost, Figure, finish, grown, load, options, PAUSE, ROOT, Stand, summary, timed, wait_until

from clients import envelope, PythonWorker
from web import Web

THREADS = 8
ROWS_BEFORE = (100, 1000, 10_000, 100_000)


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1  # one write for an answer, or the second would wait for an ack

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


def database_of(stand):
    return next(service for service in stand.started if hasattr(service, "sql"))


def add_tool(stand, peer):
    url = f"http://127.0.0.1:{peer.port}/"
    database_of(stand).sql("INSERT INTO celeriac.http_tools (name, url) VALUES ('weather', %s)", url)
    return url


def standing(peer, *args):
    return Stand(args=args, SANDBOX_POOL=0, EGRESS_ALLOW=f"http:127.0.0.1:{peer.port}")


def call(calls):
    with Web(Answer) as peer, standing(peer) as stand:
        url = add_tool(stand, peer)
        python = PythonWorker(stand.broker, stand.directory, app="requests_task", args=("-P", "solo"), PYTHONPATH=str(ROOT / "tests/bench"))
        stand.started.append(python)
        python.start()
        here = requests.Session()

        def ours():
            value = stand.send("tools.call_http", tool="custom_weather", params={}).get(timeout=60, interval=0.001)
            assert value["status"] == "ok" and value["result"] == "ok", value

        def theirs(task):
            sent = stand.client.send_task(f"fetching.{task}", args=[url], queue="fetching")
            assert sent.get(timeout=60, interval=0.001) == "ok"

        ways = {"task": ours, "kept": lambda: theirs("kept"), "each": lambda: theirs("each"), "here": lambda: here.get(url, timeout=30)}
        figures = {name: [] for name in ways}
        for number in range(-20, calls):
            for name, way in ways.items():
                time.sleep(PAUSE / 5)
                took, _ = timed(way)
                if number >= 0:
                    figures[name].append(took)
    row = {f"{name}_ms": summary(values) for name, values in figures.items()}
    row["times"] = {name: Figure(row[f"{name}_ms"]["p50"] / row["task_ms"]["p50"], 2) for name in ("kept", "each")}
    row["load"] = load()
    print(f"an HTTP tool: p50 {row['task_ms']['p50']} ms; requests in a Celery task, session kept {row['kept_ms']['p50']} ms "
          f"({row['times']['kept']} times), requests.get {row['each_ms']['p50']} ms ({row['times']['each']} times); the request alone "
          f"{row['here_ms']['p50']} ms; load {row['load']}", flush=True)
    return row


def bare_rows(url, count):
    """Seconds for so many rows, begun and finished."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS celeriac.bench_rows")
        connection.execute("CREATE TABLE celeriac.bench_rows (LIKE celeriac.tool_results INCLUDING ALL)")
        kind = ("http", "tools.call_http")
        began = time.perf_counter()
        for number in range(count):
            connection.execute("INSERT INTO celeriac.bench_rows (task_id, kind, tool, params, worker) VALUES (%s, %s, %s, '{}', 'bench')", (str(number), *kind))
            connection.execute("UPDATE celeriac.bench_rows SET state = 'finished', status = 'ok', result = %s, finished_at = now() WHERE task_id = %s",
                               (json.dumps({"status": "ok", "result": "ok"}), str(number)))
        return time.perf_counter() - began


def rows(calls):
    count = calls * 5
    with Web(Answer) as peer, standing(peer, "-c", THREADS) as stand:
        add_tool(stand, peer)
        postgres = database_of(stand)
        figures = {"ours": [], "bare": []}
        for number in range(4):
            pipe = stand.broker.redis.pipeline(transaction=False)
            for _ in range(count):
                pipe.lpush("bench-filled", json.dumps(envelope(task="tools.call_http", kwargs={"tool": "custom_weather", "params": {}})[1]))
            pipe.execute()
            before = postgres.sql("SELECT count(*) FROM celeriac.tool_results")[0][0]
            began = time.perf_counter()
            stand.broker.redis.rename("bench-filled", "celery")
            wait_until(lambda: stand.broker.redis.llen("celery") == 0 and stand.broker.unacked() == (0, 0), 300)
            took = time.perf_counter() - began
            ((done,),) = postgres.sql("SELECT count(*) FROM celeriac.tool_results WHERE status = 'ok'")
            assert done - before == count, (done, before)
            bare = bare_rows(postgres.url("owner"), count)
            if number > 0:
                figures["ours"].append(count / took)
                figures["bare"].append(count / bare)
    row = {f"{name}_per_s": {key: Figure(value) for key, value in summary(values).items() if key in ("p50", "n")} for name, values in figures.items()}
    row["times_bare"] = Figure(row["ours_per_s"]["p50"] / row["bare_per_s"]["p50"], 2)
    row["load"] = load()
    print(f"rows: {row['ours_per_s']['p50']} a second of whole calls of an HTTP tool through {THREADS} threads, "
          f"{row['bare_per_s']['p50']} by psycopg alone: {row['times_bare']} times; load {row['load']}", flush=True)
    return row


def fill(postgres, numbers):
    """Rows of calls that were, and what the audit says of them: a second between them, a hundred conversations of ten projects."""
    each = (numbers.start, numbers.stop - 1)
    postgres.sql("INSERT INTO celeriac.tool_results (task_id, kind, tool, conversation_id, project_id, state, status, result, worker, started_at, "
                 "finished_at) SELECT 'filled-' || n, 'http', 'tools.call_http', 'c-' || n %% 100, 'p-' || n %% 10, 'finished', 'ok', "
                 "'{\"status\": \"ok\"}', 'another', now() - n * interval '1 second', now() - n * interval '1 second' "
                 "FROM generate_series(%s::int, %s::int) AS n", *each)
    postgres.sql("INSERT INTO celeriac.activity_events (at, decision, kind, tool, conversation_id, project_id, task_id) "
                 "SELECT now() - n * interval '1 second', 'allow', 'http', 'custom_weather', 'c-' || n %% 100, 'p-' || n %% 10, 'filled-' || n "
                 "FROM generate_series(%s::int, %s::int) AS n", *each)
    postgres.sql("VACUUM ANALYZE celeriac.tool_results, celeriac.activity_events")


def growth(calls):
    with Web(Answer) as peer, standing(peer) as stand:
        add_tool(stand, peer)
        filled, by_load = 0, {}

        def ask():
            for _ in range(calls):
                sent = stand.send("tools.call_http", tool="custom_weather", params={}, project_id="p-1", conversation_id="c-1")
                assert sent.get(timeout=60, interval=0.001)["status"] == "ok"

        wait_until(lambda: stand.send("tools.call_http", tool="custom_weather", params={}).get(timeout=60)["status"] == "ok", 60)
        for count in ROWS_BEFORE:
            fill(database_of(stand), range(filled, count))
            filled = count
            by_load[count] = cost(stand.used, ask, calls)
    return grown("a call", "rows in each table", by_load)


ROWS = {"call": call, "rows": rows, "growth": growth}


def main():
    asked = options(__doc__, 200).parse_args()
    return finish(asked, {name: ROWS[name](asked.rounds) for name in asked.only or ROWS})


if __name__ == "__main__":
    sys.exit(main())
