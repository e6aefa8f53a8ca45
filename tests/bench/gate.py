#!/usr/bin/env python3
"""What the gate, the quotas and the audit add to a call.

    make build/bench-gate && .run/venv/bin/python tests/bench/gate.py [-n CALLS] [-o FILE.json] [functions] [call]

`functions`: the gate's own functions (worker/gate.c), each call timed in one process, with Redis and PostgreSQL of its own: 200
rules of which none matches, rows of sandbox_settings, a quota with all three limits, a row of activity_events for each call; beside
it the least there can be: no rule, no quota, no database. All of the former is taken as added, though the latter is not nothing.
Most of it is one question to Redis, so that a bare PING is asked in between: of how many of those it takes the time.

`call`: the same tool call through a worker, message sent until the result is there, in turn for a project with all that and for one
without rules of its own and quota; that the audit writes is in both.
"""

import http.server
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from stand import created_postgres, Figure, finish, judge, load, options, PAUSE, Redis, ROOT, Stand, summary, timed, told, wait_until

from web import Web

RULES, PACE_MS, BAR_MS = 200, 5, 0.3
PARTS = ("policy", "quota_enter", "quota_leave", "audit")


def add_rules(postgres, project):
    """Rules that are all read, and let the call pass; what is used of the quota never ends."""
    for number in range(RULES):
        postgres.sql("INSERT INTO celeriac.policy_rules (project_id, kind, pattern, action, position) VALUES (%s, 'tool', %s, %s, %s)",
                     project, f"custom_*_{number}", ("deny", "allow")[number % 2], number)
        if number % 4 == 0:
            postgres.sql("INSERT INTO celeriac.sandbox_settings (tool, project_id, network) VALUES (%s, %s, true)", f"custom_{number}", project)
    postgres.sql("INSERT INTO celeriac.project_quotas (project_id, calls_per_minute, concurrent_runs, sandbox_seconds_per_day) "
                 "VALUES (%s, 1000000, 1000, 1000000)", project)


def run_gate(log, calls, *args, **settings):
    with open(log, "wb") as stderr:
        done = subprocess.run([ROOT / "build/bench-gate", str(calls), str(PACE_MS), *args], stdout=subprocess.PIPE, stderr=stderr, check=True,
                              env={"PATH": "/usr/bin:/bin", **settings})
    columns = list(zip(*([int(field) / 1e6 for field in line.split()] for line in done.stdout.splitlines())))
    figures = {name: summary_of(values) for name, values in zip(PARTS, columns)}
    figures["all"] = summary_of([sum(call) for call in zip(*columns[:len(PARTS)])])
    figures["ping"] = summary_of(columns[len(PARTS)])
    return figures


def summary_of(values):
    """Milliseconds, to the microsecond."""
    ordered = sorted(values)
    pick = lambda share: Figure(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)  # noqa: E731
    return {"p50": pick(0.5), "p90": pick(0.9), "p99": pick(0.99), "n": len(ordered)}


def functions(calls):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="celeriac-bench-"))
    directory.chmod(0o755)
    redis, postgres = Redis(directory / "redis"), None
    for name in ("redis", "postgres"):
        (directory / name).mkdir(mode=0o755)
    try:
        redis.start()
        postgres = created_postgres(directory / "postgres")
        add_rules(postgres, "p")
        broker = {"CELERY_BROKER_URL": redis.new_url()}
        least = run_gate(directory / "least.log", calls, **broker)
        whole = run_gate(directory / "whole.log", calls, "p", DATABASE_URL=postgres.url("worker"), **broker)
        ((rows,),) = postgres.sql("SELECT count(*) FROM celeriac.activity_events WHERE project_id = 'p' AND decision = 'allow'")
        assert rows == calls, "every call has its row"
        lines = sum(b"[audit]" in line for line in open(directory / "whole.log", "rb"))
        assert lines == calls, "and its line"
    finally:
        redis.kill()
        if postgres:
            postgres.kill()
        shutil.rmtree(directory, ignore_errors=True)
    row = {"whole_ms": whole, "least_ms": least, "beside_ping": Figure(whole["all"]["p50"] / whole["ping"]["p50"], 2), "rules": RULES, "load": load()}
    judge(row, p50_ms=(whole["all"]["p50"], "most", BAR_MS))
    parts = ", ".join(f"{name.replace('_', ' ')} {whole[name]['p50']:.3f}" for name in PARTS)
    print(f"gate, quota and audit of a call: p50 {whole['all']['p50']:.3f} ms, p90 {whole['all']['p90']:.3f} ms ({parts}); "
          f"no rules, quota or database {least['all']['p50']:.3f} ms; {row['beside_ping']} times a PING of {whole['ping']['p50']:.3f} ms; load {row['load']}{told(row)}", flush=True)
    return row


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


def call(calls):
    """Of far fewer calls, as each takes a worker's whole way."""
    with Web(Answer) as peer, Stand(SANDBOX_POOL=0, EGRESS_ALLOW=f"http:127.0.0.1:{peer.port}") as stand:
        postgres = next(service for service in stand.started if hasattr(service, "sql"))
        postgres.sql("INSERT INTO celeriac.http_tools (name, url) VALUES ('weather', %s)", f"http://127.0.0.1:{peer.port}/")
        add_rules(postgres, "ruled")
        # the last thing that the worker has to have heard of
        postgres.sql("INSERT INTO celeriac.policy_rules (project_id, kind, pattern, action) VALUES ('heard', 'tool', '*', 'deny')")

        def ask(project):
            return stand.send("tools.call_http", tool="custom_weather", params={}, project_id=project).get(timeout=60, interval=0.001)

        wait_until(lambda: ask("heard")["status"] == "denied", 60)
        figures = {"ruled": [], "plain": []}
        for number in range(max(50, calls // 10)):
            for project in ("ruled", "plain") if number % 2 else ("plain", "ruled"):
                time.sleep(PAUSE / 5)
                took, value = timed(lambda: ask(project))
                assert value["status"] == "ok", value
                if number >= 20:  # both are warm
                    figures[project].append(took)
    row = {f"{name}_ms": summary(values) for name, values in figures.items()}
    row["added_ms"] = Figure(row["ruled_ms"]["p50"] - row["plain_ms"]["p50"], 2)
    row["load"] = load()
    judge(row, added_ms=(row["added_ms"], "most", BAR_MS))
    print(f"a call of an HTTP tool: p50 {row['ruled_ms']['p50']} ms with {RULES} rules and a quota, {row['plain_ms']['p50']} ms without: "
          f"{row['added_ms']} ms added; load {row['load']}{told(row)}", flush=True)
    return row


ROWS = {"functions": functions, "call": call}


def main():
    asked = options(__doc__, 2000).parse_args()
    return finish(asked, {name: ROWS[name](asked.rounds) for name in asked.only or ROWS})


if __name__ == "__main__":
    sys.exit(main())
