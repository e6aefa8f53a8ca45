"""The demonstration: asks the Flask application to run two pieces of code, and shows what came back and what is stored.

Exit 0 only if the picture is a picture, its bytes in PostgreSQL are those the result names, and the job that fails
is reported as failed code, not as a failed task.
"""

import hashlib
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time

import psycopg
import requests

PLOT = """\
import pandas as pd
import matplotlib.pyplot as plt

sales = pd.DataFrame({"month": ["Jan", "Feb", "Mar", "Apr"], "root": [12, 18, 31, 27], "leaf": [7, 9, 14, 22]})
print(sales.describe().round(1))
sales.plot.bar(x="month", title="Celeriac sold, by part")
plt.tight_layout()
plt.savefig("/sandbox/output/plot.png")
"""
FAILS = """\
import sys
print("about to go wrong")
sys.exit(int("seven"))
"""

OUT = pathlib.Path(os.environ["RUN_DIR"]) / "demo"
CONVERSATION = f"demo-{os.getpid()}-{int(time.time())}"


def check(condition, sentence):
    print(f"  {'ok' if condition else 'FAILED'}: {sentence}")
    if not condition:
        sys.exit(1)


def start_application():
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    log = open(OUT / "app.log", "w")
    script = pathlib.Path(__file__).with_name("app.py")
    process = subprocess.Popen([sys.executable, script], env={**os.environ, "PORT": str(port)}, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            requests.get(url, timeout=5)
            return process, url
        except requests.ConnectionError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    sys.exit(f"the application did not start: {(OUT / 'app.log').read_text()}")


def run(url, title, code):
    print(f"\n== {title}\n   POST {url}/conversations/{CONVERSATION}/run")
    began = time.monotonic()
    answer = requests.post(f"{url}/conversations/{CONVERSATION}/run", json={"code": code}, timeout=30)
    answer.raise_for_status()
    task_id = answer.json()["task_id"]
    deadline = time.monotonic() + 120
    while True:
        task = requests.get(f"{url}/tasks/{task_id}", timeout=30).json()
        if task["state"] in ("SUCCESS", "FAILURE", "REVOKED"):
            break
        if time.monotonic() > deadline:
            sys.exit(f"task {task_id} is still {task['state']} after 120 s")
        time.sleep(0.02)
    print(f"   GET  {url}/tasks/{task_id}   ({(time.monotonic() - began) * 1000:.0f} ms)")
    result = dict(task.get("result") or {})
    streams = {name: result.pop(name) for name in ("stdout", "stderr") if result.get(name)}
    shown = {**task, "result": result} if result else task
    print("   " + json.dumps(shown, indent=2).replace("\n", "\n   "))
    for name, text in streams.items():
        print(f"   {name}:\n      " + text.rstrip().replace("\n", "\n      "))
    check(task["state"] == "SUCCESS", "the task succeeded")
    return task_id, task["result"]


def show_rows(connection, title, query):
    cursor = connection.execute(query, (CONVERSATION,))
    print(f"\n== {title}\n   " + " | ".join(c.name for c in cursor.description))
    rows = cursor.fetchall()
    for row in rows:
        print("   " + " | ".join(str(v) for v in row))
    return rows


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    application, url = start_application()
    try:
        plot_id, plot = run(url, "a pandas and matplotlib job", PLOT)
        check(plot["status"] == "ok" and plot["exit_code"] == 0, "the code ran to its end")
        check("mean" in plot["stdout"], "its output came back")
        check([f["name"] for f in plot["files"]] == ["plot.png"], "it made one file, plot.png")

        fails_id, fails = run(url, "a job that fails, in the same conversation", FAILS)
        check(fails["status"] == "error" and fails["exit_code"] == 1, "code that fails is a result, with its exit code")
        check("ValueError" in fails["stderr"], "and its traceback")
        check(fails["sandbox"] == plot["sandbox"] and fails["reused"], "the conversation kept its container")
    finally:
        application.terminate()
        application.wait()

    with psycopg.connect(os.environ["CELERIAC_APPLICATION_DATABASE_URL"]) as connection:
        rows = show_rows(
            connection,
            "celeriac.tool_results",
            "select task_id, tool, state, status, exit_code, attempt, length(stdout) as stdout_chars, "
            "finished_at - started_at as took from celeriac.tool_results "
            "where conversation_id = %s order by started_at",
        )
        check([(str(r[0]), r[3], r[4]) for r in rows] == [(plot_id, "ok", 0), (fails_id, "error", 1)], "one row for each task")
        rows = show_rows(
            connection,
            "celeriac.conversation_outputs",
            "select task_id, name, mime, size_bytes, sha256 from celeriac.conversation_outputs where conversation_id = %s",
        )
        check([str(r[0]) for r in rows] == [plot_id], "one row for the picture")
        (content,) = connection.execute(
            "select content from celeriac.conversation_outputs where task_id = %s and name = 'plot.png'", (plot_id,)
        ).fetchone()

    content = bytes(content)
    named = plot["files"][0]
    check(content[:8] == b"\x89PNG\r\n\x1a\n" and content.rstrip(b"\0")[-8:-4] == b"IEND", "its bytes are a whole PNG")
    check(hashlib.sha256(content).hexdigest() == named["sha256"] and len(content) == named["size"], "the ones the result names")
    path = OUT / "plot.png"
    path.write_bytes(content)
    width, height = struct.unpack(">II", content[16:24])
    print(f"\nThe picture, {width} x {height} pixels, is {path}")


main()
