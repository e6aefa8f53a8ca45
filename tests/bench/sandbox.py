#!/usr/bin/env python3
"""How long a warm conversation's call takes, beside `docker exec python` through the API and llm-sandbox from PyPI, in one
run on one machine.

    .run/venv/bin/python tests/bench/sandbox.py [-n ROUNDS] [-o FILE.json] [print|pandas|plot…]

Each round does the same work once by the task, from a message that is sent until its result is published (`visible`), once more with
all that a Celery client does for it (`task`), once by exec (create, start, read to the end, inspect) in a container of the same image
and limits, and once by an open session of llm-sandbox, one after the other, so that whatever else the machine does falls on all of
them; every tenth round also by a session of llm-sandbox's pool, which is opened and closed for it. Servers and containers are private
and removed afterwards. `inside` is the run's own time as its agent saw it; `client` is what a Celery client takes for a task without
work. The bars have to hold both ways, also with the client's time in it.
"""

import json
import statistics
import subprocess
import sys
import time
import venv

from stand import DockerExec, Figure, finish, IMAGE, judge, options, PAUSE, ROOT, Stand, summary, timed, told

CODES = {
    "print": "print(1)",
    "pandas": "import pandas\nprint(pandas.DataFrame({'a': [1, 2, 3]}).describe())",
    "plot": "import os\nos.makedirs('/sandbox/output', exist_ok=True)\nimport matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.savefig('/sandbox/output/plot.png')",
}
P50_MS = {"print": 12, "pandas": 40}
TIMES = {"print": {"docker_exec": 8, "llm_sandbox": 15}, "pandas": {"docker_exec": 12}}
PEERS = {"docker_exec": "docker exec", "llm_sandbox": "llm-sandbox", "llm_sandbox_pool": "its pool"}
VENV = ROOT / "build/bench-venv"
LLM_SANDBOX = "llm-sandbox[docker]==0.3.46"
LLM_IMAGE = "celeriac-bench-llm-sandbox"
# It calls `python`, and where it has set nothing up it looks for an environment's.
LLM_DOCKERFILE = f"""FROM {IMAGE}
USER root
RUN ln -s python3 /usr/bin/python && mkdir -p /sandbox/.sandbox-venv/bin && ln -s /usr/bin/python3 /sandbox/.sandbox-venv/bin/python
"""


class LlmSandbox:
    """An open session, and a pool of two containers, in a process and a virtual environment of its own."""

    def __enter__(self):
        if not (VENV / "bin/python").exists():
            venv.create(VENV, with_pip=True)
        subprocess.run([VENV / "bin/pip", "install", "-q", LLM_SANDBOX], check=True)
        subprocess.run(["docker", "build", "-q", "--network", "none", "-t", LLM_IMAGE, "-"], input=LLM_DOCKERFILE, text=True,
                       check=True, capture_output=True)
        self.process = subprocess.Popen([VENV / "bin/python", ROOT / "tests/bench/llm_sandbox_calls.py", LLM_IMAGE], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.open_ms = self.do("open")
        self.do("open pool")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()  # it closes what it has opened
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        subprocess.run(["docker", "rmi", "-f", LLM_IMAGE], capture_output=True)

    def do(self, what, code=None):
        self.process.stdin.write(json.dumps({"do": what, "code": code}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "llm-sandbox ended"
        return json.loads(answer)["ms"]


def measure(stand, engine, llm, name, rounds):
    """A row; `llm` may be None."""
    code, conversation = CODES[name], f"bench-{name}"
    for _ in range(5):
        stand.run(code, conversation)
        time.sleep(1)
    inside = []

    def by_client():
        took, value = timed(lambda: stand.run(code, conversation))
        inside.append(value["duration_ms"])
        return took

    ways = {"visible_ms": lambda: stand.sent_until_visible("sandbox.execute_code", conversation_id=conversation, code=code), "task_ms": by_client,
            "docker_exec_ms": lambda: timed(lambda: engine.run(code))[0],
            "client_ms": lambda: timed(lambda: stand.send("celeriac.echo", value=1).get(timeout=60, interval=0.001))[0]}
    if llm:
        ways.update(llm_sandbox_ms=lambda: llm.do("run", code), llm_sandbox_pool_ms=lambda: llm.do("pooled", code))
        llm.do("run", code)
    engine.run(code)
    figures = {key: [] for key in ways}
    for number in range(rounds):
        for key, way in ways.items():
            if key == "llm_sandbox_pool_ms" and number % 10:
                continue
            time.sleep(PAUSE)
            figures[key].append(way())
    row = {key: summary(values) for key, values in (*figures.items(), ("inside_ms", inside))}
    median = {key: statistics.median(values) for key, values in figures.items()}
    for other in ("docker_exec", *(("llm_sandbox",) if llm else ())):
        for way, of in (("", "visible_ms"), ("_with_client", "task_ms")):
            row[f"times_{other}{way}"] = Figure(median[f"{other}_ms"] / median[of], 1)
    if llm:
        row["times_llm_sandbox_pool"] = Figure(median["llm_sandbox_pool_ms"] / median["visible_ms"], 1)
    return row


def judged(name, row):
    """Against the bars of the design, both with and without a Celery client."""
    judge(row, p50_ms=(max(row["visible_ms"]["p50"], row["task_ms"]["p50"]), "most", P50_MS[name]), **{
        f"times_{other}{way}": (row[f"times_{other}{way}"], "least", bar) for other, bar in TIMES[name].items() for way in ("", "_with_client")})


def measured(names, rounds, stand, engine, llm=None, bars=False):
    """The rows of a stand; all that is measured beside it uses the same engine."""
    rows = {}
    try:
        engine.create()
        for name in names:
            row = rows[name] = measure(stand, engine, llm, name, rounds if name in P50_MS else rounds // 2)
            if bars and name in P50_MS:
                judged(name, row)
            others = "".join(f"; {row[f'times_{other}']} times {words}, which takes {row[f'{other}_ms']['p50']}" for other, words in PEERS.items()
                             if f"times_{other}" in row)
            print(f"{name:7} p50 {row['visible_ms']['p50']} ms (p90 {row['visible_ms']['p90']}, p99 {row['visible_ms']['p99']}; inside "
                  f"{row['inside_ms']['p50']}), with a Celery client {row['task_ms']['p50']} ({row['times_docker_exec_with_client']} times exec), "
                  f"which alone takes {row['client_ms']['p50']}{others}{told(row)}", flush=True)
    finally:
        engine.remove()
    return rows


def main():
    asked = options(__doc__, 40).parse_args()
    with Stand() as stand, LlmSandbox() as llm:
        rows = measured(asked.only or CODES, asked.rounds, stand, DockerExec(), llm, bars=True)
        rows["llm-sandbox open"] = {"ms": Figure(llm.open_ms, 1)}
    return finish(asked, rows)


if __name__ == "__main__":
    sys.exit(main())
