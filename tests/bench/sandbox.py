#!/usr/bin/env python3
"""How long a warm conversation's call takes, beside `docker exec python` through the API, in one run on one machine.

    .run/venv/bin/python tests/bench/sandbox.py [-n ROUNDS] [-o FILE.json]

Each round does the same work once by the task (message sent until the result is visible to a Celery client) and once by
exec (create, start, read to the end, inspect) in a container of the same image and limits, one after the other, so that
whatever else the machine does falls on both. Servers are private and removed afterwards. Where the time of a call goes
comes from what the worker and the agent themselves report: `inside` is the run's own time as its agent saw it.
"""

import argparse
import http.client
import json
import os
import pathlib
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

from clients import Broker  # noqa: E402
from sandboxes import remove_containers  # noqa: E402
from services import Redis  # noqa: E402
from worker import created_postgres, Worker  # noqa: E402

IMAGE = os.environ.get("SANDBOX_IMAGE", "celeriac-sandbox:latest")
CODES = {
    "print": "print(1)",
    "pandas": "import pandas\nprint(pandas.DataFrame({'a': [1, 2, 3]}).describe())",
    "plot": "import os\nos.makedirs('/sandbox/output', exist_ok=True)\nimport matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.savefig('/sandbox/output/plot.png')",
}
PAUSE = 0.05  # seconds before each, so that neither pays for what the engine still does after the other
BARS = {"print": (12, 8), "pandas": (40, 12)}  # ms, times faster than exec


class Engine:
    """Docker's API over its socket, as a client library would use it."""

    def __init__(self):
        self.path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")

    def open(self):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        return connection

    def call(self, method, path, body=None):
        connection = self.open()
        connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status < 300, (path, data)
        return json.loads(data) if data else None

    def create(self):
        # The task's limits: memory and work size together, one processor.
        host = {"NetworkMode": "none", "Memory": 768 << 20, "NanoCpus": 10**9, "ReadonlyRootfs": True,
                "Tmpfs": {"/sandbox": "exec,uid=10001", "/tmp": "exec,mode=1777"}}
        body = {"Image": IMAGE, "Entrypoint": ["sleep", "1000000"], "Cmd": [], "HostConfig": host, "User": "10001:10001"}
        made = self.call("POST", "/containers/create", body)["Id"]
        self.call("POST", f"/containers/{made}/start")
        return made

    def run(self, container, code):
        spec = {"AttachStdout": True, "AttachStderr": True, "Cmd": ["python3", "-c", code],
                "Env": ["MPLBACKEND=Agg", "MPLCONFIGDIR=/tmp/matplotlib"]}
        made = self.call("POST", f"/containers/{container}/exec", spec)["Id"]
        connection = self.open()
        connection.request("POST", f"/exec/{made}/start", json.dumps({"Detach": False, "Tty": False}), {"Content-Type": "application/json"})
        connection.getresponse().read()
        connection.close()
        assert self.call("GET", f"/exec/{made}/json")["ExitCode"] == 0


def summary(values):
    ordered = sorted(values)
    pick = lambda share: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)  # noqa: E731
    return {"p50": round(statistics.median(ordered), 2), "p90": pick(0.9), "p99": pick(0.99), "n": len(ordered)}


def timed(function):
    began = time.perf_counter()
    value = function()
    return (time.perf_counter() - began) * 1000, value


def measure(app, engine, container, name, code, rounds, conversation):
    def by_task():
        result = app.send_task("sandbox.execute_code", kwargs={"conversation_id": conversation, "code": code})
        value = result.get(timeout=60, interval=0.001)
        assert value["status"] == "ok", value
        return value

    for _ in range(5):
        by_task()
        time.sleep(1)
    engine.run(container, code)
    task, inside, execs = [], [], []
    for _ in range(rounds):
        time.sleep(PAUSE)
        took, value = timed(by_task)
        task.append(took)
        inside.append(value["duration_us"] / 1000 if "duration_us" in value else value["duration_ms"])
        time.sleep(PAUSE)
        execs.append(timed(lambda: engine.run(container, code))[0])
    ratio = statistics.median(execs) / statistics.median(task)
    row = {"task_ms": summary(task), "inside_ms": summary(inside), "docker_exec_ms": summary(execs), "ratio": round(ratio, 1)}
    if name in BARS:
        row["bar"] = {"p50_ms": BARS[name][0], "ratio": BARS[name][1]}
        row["met"] = row["task_ms"]["p50"] <= BARS[name][0] and ratio >= BARS[name][1]
    return row


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-n", "--rounds", type=int, default=100)
    options.add_argument("-o", "--output", type=pathlib.Path)
    options.add_argument("only", nargs="*", choices=[[], *CODES], help="which of the codes")
    asked = options.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="celeriac-bench-"))
    directory.chmod(0o755)
    for name in ("redis", "postgres"):
        (directory / name).mkdir(mode=0o755)
    instance, engine, started, container = f"bench-{uuid.uuid4().hex[:12]}", Engine(), [], None
    report = {"image": IMAGE, "machine": f"{platform.release()}, {os.cpu_count()} processors", "rows": {}}
    try:
        redis = Redis(directory / "redis").start()
        started.append(redis)
        postgres = created_postgres(directory / "postgres")
        started.append(postgres)
        broker = Broker(redis.new_url(), instance)
        worker = Worker(directory, "bench", CELERY_BROKER_URL=broker.url, CELERY_RESULT_BACKEND=broker.url, CELERIAC_INSTANCE=instance,
                        DATABASE_URL=postgres.url("worker"), SANDBOX_IMAGE=IMAGE)
        started.append(worker)
        worker.start()
        container = engine.create()
        app = broker.app()
        for name in asked.only or CODES:
            row = report["rows"][name] = measure(app, engine, container, name, CODES[name], asked.rounds, f"bench-{name}")
            print(f"{name:8} task p50 {row['task_ms']['p50']:7} ms (inside {row['inside_ms']['p50']:6}), p99 {row['task_ms']['p99']:7};"
                  f" docker exec p50 {row['docker_exec_ms']['p50']:7} ms; {row['ratio']} times faster"
                  + (f"; bar {row['bar']['p50_ms']} ms and {row['bar']['ratio']} times: {'met' if row['met'] else 'MISSED'}"
                     if name in BARS else ""), flush=True)
        app.close()
    finally:
        for service in reversed(started):
            service.kill()
        remove_containers(instance)
        if container:
            subprocess.run(["docker", "rm", "-f", container], capture_output=True)
        shutil.rmtree(directory, ignore_errors=True)
    if asked.output:
        asked.output.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if all(row.get("met", True) for row in report["rows"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
