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

from stand import DockerExec, finish, IMAGE, options, PAUSE, ROOT, Stand, summary, timed, told

CODES = {
    "print": "print(1)",
    "pandas": "import pandas\nprint(pandas.DataFrame({'a': [1, 2, 3]}).describe())",
    "plot": "import os\nos.makedirs('/sandbox/output', exist_ok=True)\nimport matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.savefig('/sandbox/output/plot.png')",
}
BARS = {"print": {"p50_ms": 12, "times_exec": 8, "times_llm_sandbox": 15}, "pandas": {"p50_ms": 40, "times_exec": 12}}
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
    code, conversation = CODES[name], f"bench-{name}"
    for _ in range(5):
        stand.run(code, conversation)
        time.sleep(1)
    engine.run(code)
    llm.do("run", code)
    figures = {"task_ms": [], "inside_ms": [], "docker_exec_ms": [], "llm_sandbox_ms": [], "llm_sandbox_pool_ms": [], "client_ms": [],
               "visible_ms": []}
    for number in range(rounds):
        time.sleep(PAUSE)
        figures["visible_ms"].append(stand.sent_until_visible("sandbox.execute_code", conversation_id=conversation, code=code))
        time.sleep(PAUSE)
        took, value = timed(lambda: stand.run(code, conversation))
        figures["task_ms"].append(took)
        figures["inside_ms"].append(value["duration_ms"])
        time.sleep(PAUSE)
        figures["docker_exec_ms"].append(timed(lambda: engine.run(code))[0])
        time.sleep(PAUSE)
        figures["llm_sandbox_ms"].append(llm.do("run", code))
        if number % 10 == 0:
            time.sleep(PAUSE)
            figures["llm_sandbox_pool_ms"].append(llm.do("pooled", code))
        time.sleep(PAUSE)
        figures["client_ms"].append(timed(lambda: stand.send("celeriac.echo", value=1).get(timeout=60, interval=0.001))[0])
    row = {key: summary(values) for key, values in figures.items()}
    median = {name: statistics.median(values) for name, values in figures.items()}
    for way, of in (("", "visible_ms"), ("_with_client", "task_ms")):
        row[f"times_exec{way}"] = round(median["docker_exec_ms"] / median[of], 1)
        row[f"times_llm_sandbox{way}"] = round(median["llm_sandbox_ms"] / median[of], 1)
    row["times_llm_sandbox_pool"] = round(median["llm_sandbox_pool_ms"] / median["visible_ms"], 1)
    if name in BARS:
        row["bar"] = BARS[name]
        row["met"] = max(median["visible_ms"], median["task_ms"]) <= BARS[name]["p50_ms"] and all(
            min(row[key], row[f"{key}_with_client"]) >= least for key, least in BARS[name].items() if key != "p50_ms")
    return row


def main():
    asked = options(__doc__, 100).parse_args()
    rows, engine = {}, DockerExec()
    with Stand() as stand, LlmSandbox() as llm:
        try:
            engine.create()
            for name in asked.only or CODES:
                row = rows[name] = measure(stand, engine, llm, name, asked.rounds)
                print(f"{name:7} {row['times_exec']} times docker exec, {row['times_llm_sandbox']} times llm-sandbox, "
                      f"{row['times_llm_sandbox_pool']} times its pool: p50 {row['visible_ms']['p50']} ms (p90 {row['visible_ms']['p90']}, "
                      f"p99 {row['visible_ms']['p99']}; inside {row['inside_ms']['p50']}), with a Celery client {row['task_ms']['p50']} "
                      f"({row['times_exec_with_client']} times exec), which alone takes {row['client_ms']['p50']}; "
                      f"exec {row['docker_exec_ms']['p50']}, llm-sandbox {row['llm_sandbox_ms']['p50']}, "
                      f"its pool {row['llm_sandbox_pool_ms']['p50']}{told(row)}", flush=True)
            rows["llm-sandbox open"] = {"ms": round(llm.open_ms, 1)}
        finally:
            engine.remove()
    return finish(asked, rows)


if __name__ == "__main__":
    sys.exit(main())
