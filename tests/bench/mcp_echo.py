#!/usr/bin/env python3
"""A warm call of an MCP server's tool by stdio, in a container, message sent until the result is there.

    .run/venv/bin/python tests/bench/mcp_echo.py [-n ROUNDS] [-o FILE.json] [echo] [reuse] [growth]

`echo` of @modelcontextprotocol/server-everything, in turn: `mcp.call_tool` in a conversation; the official Python client in a Celery
task (its worker is of one process, without prefetch of others), its session kept open, and as such tasks are written today: connect,
initialize, list, call, close. All have the same image and limits. Beside them the same lines written to the same server by hand over
`docker run -i`: what is beyond that is added. `visible` is our task without a Celery client, from a message that is made already until
its result is published: that less the same by hand is what we add. `client` is `celeriac.echo` with the client, for comparison. The bar has to hold with
the client's time in it, too.

`reuse`: what a server is asked by a number of calls, by the lines that it read, and how many containers were made. A server that
says that its catalogue has changed is asked for it again.

`growth`: what a call takes of processors in worker, Redis and PostgreSQL when 10, 100 and 1 000 were made before it in its conversation.
"""

import collections
import contextlib
import json
import os
import subprocess
import sys
import time
import uuid

from stand import cost, Figure, finish, grown, judge, load, options, PAUSE, ROOT, Stand, summary, timed, told, wait_until

import npm_packages
from clients import PythonWorker

BAR_ADDED_MS = 5
BEFORE, MEASURED = (10, 100, 1000), 18  # a fifth of the least that lies between them, as each is measured five times
SERVER = "node /opt/node_modules/@modelcontextprotocol/server-everything/dist/index.js stdio"
HERE = ROOT / "tests/bench"


@contextlib.contextmanager
def image():
    """The sandbox image with servers from npm in it."""
    tag = f"celeriac-bench-mcp:{uuid.uuid4().hex[:12]}"
    context = npm_packages.installed().parent
    (context / "Dockerfile").write_text(f"FROM {npm_packages.IMAGE}\nCOPY node_modules /opt/node_modules\n")
    subprocess.run(["docker", "build", "-q", "-t", tag, context], check=True, capture_output=True)
    try:
        yield tag
    finally:
        subprocess.run(["docker", "rmi", "-f", tag], capture_output=True)


def by_hand(tag):
    """The argument vector of the same container, as whoever writes such a task today would start it."""
    return ["docker", "run", "-i", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--memory=512m", "--cpus=1", "--pids-limit=256",
            "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=10001:10001", "--env=HOME=/tmp", "--entrypoint=node", tag,
            *SERVER.split()[1:]]


class Bare:
    """JSON lines to and from the server, and nothing else."""

    def __init__(self, argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.number = 0
        self.ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "bare", "version": "1"})
        self.write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def write(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method, **params):
        self.number += 1
        self.write({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})
        while True:
            answer = json.loads(self.process.stdout.readline())
            if answer.get("id") == self.number and "method" not in answer:
                return answer["result"]

    def echo(self, message):
        return self.ask("tools/call", name="echo", arguments={"message": message})["content"][0]["text"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


def add_server(stand, tag, command):
    postgres = next(service for service in stand.started if hasattr(service, "sql"))
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action) VALUES ('image', 'celeriac-*', 'allow')")
    postgres.sql("INSERT INTO celeriac.mcp_servers (name, image, command) VALUES ('every', %s, %s)", tag, command)


def ours(stand, message, conversation="warm"):
    value = stand.send("mcp.call_tool", server_id="every", tool="echo", arguments={"message": message},
                       conversation_id=conversation).get(timeout=60, interval=0.001)
    assert value["status"] == "ok", value
    return value["result"]


def echo(rounds):
    with image() as tag, Stand(SANDBOX_POOL=0, MCP_NETWORK="none") as stand:
        add_server(stand, tag, SERVER)
        wait_until(lambda: stand.send("mcp.call_tool", server_id="every", tool="echo", arguments={"message": "x"}, conversation_id="warm")
                   .get(timeout=60)["status"] == "ok", 60)
        bare = Bare(by_hand(tag))
        python = PythonWorker(stand.broker, stand.directory, app="official_mcp", args=("-P", "solo"), PYTHONPATH=str(HERE),
                              HOME=os.environ.get("HOME", "/"), BENCH_SERVER=json.dumps(by_hand(tag)))
        stand.started.append(python)
        python.start()

        def official(task, message):
            return stand.client.send_task(f"official.{task}", args=[message], queue="official").get(timeout=60, interval=0.001)

        client = lambda word: stand.send("celeriac.echo", value=f"Echo: {word}").get(timeout=60, interval=0.001)  # noqa: E731
        ways = {"task": lambda word: ours(stand, word), "bare": bare.echo, "client": client, "open": lambda word: official("open", word),
                "each": lambda word: official("each", word)}
        figures = {name: [] for name in (*ways, "visible")}
        for number in range(-3, rounds):
            for name, way in ways.items():
                if name == "each" and number >= rounds // 4:  # each takes most of a second
                    continue
                time.sleep(PAUSE)
                took, said = timed(lambda: way(f"hello {number}"))
                assert said == f"Echo: hello {number}", said
                if number >= 0:
                    figures[name].append(took)
            time.sleep(PAUSE)
            took = stand.sent_until_visible("mcp.call_tool", server_id="every", tool="echo", arguments={"message": f"hello {number}"},
                                            conversation_id="warm")
            if number >= 0:
                figures["visible"].append(took)
        bare.close()
    row = {f"{name}_ms": summary(values) for name, values in figures.items()}
    row["added_ms"] = Figure(row["visible_ms"]["p50"] - row["bare_ms"]["p50"], 2)
    row["added_with_client_ms"] = Figure(row["task_ms"]["p50"] - row["bare_ms"]["p50"], 2)
    row["times"] = {name: Figure(row[f"{name}_ms"]["p50"] / row["task_ms"]["p50"], 1) for name in ("open", "each")}
    row["load"] = load()
    judge(row, **{name: (row[name], "most", BAR_ADDED_MS) for name in ("added_ms", "added_with_client_ms")})
    print(f"echo, warm, by stdio: p50 {row['visible_ms']['p50']} ms, by hand {row['bare_ms']['p50']} ms: {row['added_ms']} ms added by us; with a Celery "
          f"client {row['task_ms']['p50']} ms, which takes {row['client_ms']['p50']} ms for a task without a tool; official client "
          f"in a Celery task, session open {row['open_ms']['p50']} ms ({row['times']['open']} times), a session each "
          f"{row['each_ms']['p50']} ms ({row['times']['each']} times); load {row['load']}{told(row)}", flush=True)
    return row


def made(stand, since):
    told_of = subprocess.run(["docker", "events", f"--since={since}", f"--until={int(time.time()) + 1}", "--filter=type=container",
                              "--filter=event=create", f"--filter=label=celeriac.instance={stand.instance}",
                              "--filter=label=celeriac.role=mcp", "--format={{.ID}}"], capture_output=True, text=True, check=True)
    return told_of.stdout.split()


def reuse(calls):
    with image() as tag, Stand(SANDBOX_POOL=0, MCP_NETWORK="none") as stand:
        add_server(stand, tag, f"""sh -c "tee /tmp/asked | {SERVER} | tee /tmp/told" """)
        since = int(time.time())
        for number in range(calls):
            assert wait_until(lambda: ours(stand, str(number)), 60) == f"Echo: {number}"
        (container,) = made(stand, since)
        lines = {name: subprocess.run(["docker", "exec", container, "cat", f"/tmp/{name}"], capture_output=True, text=True,
                                      check=True).stdout.splitlines() for name in ("asked", "told")}
    asked = collections.Counter(json.loads(line)["method"] for line in lines["asked"])
    changes = sum(json.loads(line).get("method") == "notifications/tools/list_changed" for line in lines["told"])
    row = {"calls": calls, "containers": 1, "asked": dict(asked), "changes": changes}
    # one greeting, one catalogue, and one more for each change that the server tells of
    judge(row, calls=(asked["tools/call"], "exactly", calls), greetings=(asked["initialize"], "most", 1), catalogues=(asked["tools/list"], "most", 1 + changes))
    print(f"{calls} calls of a conversation: 1 container, which was asked {dict(asked)} and told of {changes} changes of its catalogue{told(row)}", flush=True)
    return row


def growth(calls):
    with image() as tag, Stand(SANDBOX_POOL=0, MCP_NETWORK="none") as stand:
        add_server(stand, tag, SERVER)
        done, by_load = 0, {}

        def call(count):
            nonlocal done
            for done in range(done + 1, done + count + 1):
                assert ours(stand, str(done)) == f"Echo: {done}"

        wait_until(lambda: stand.send("mcp.call_tool", server_id="every", tool="echo", arguments={"message": "x"}, conversation_id="warm")
                   .get(timeout=60)["status"] == "ok", 60)
        for before in BEFORE:
            call(before - done)
            by_load[before] = cost(stand.used, lambda: call(MEASURED), MEASURED)
    return grown("a call", "calls of its conversation before it", by_load)


ROWS = {"echo": echo, "reuse": reuse, "growth": growth}


def main():
    asked = options(__doc__, 60).parse_args()
    return finish(asked, {name: ROWS[name](asked.rounds) for name in asked.only or ROWS})


if __name__ == "__main__":
    sys.exit(main())
