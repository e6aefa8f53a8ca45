"""What is shipped for Prometheus and Grafana, against promtool and against the pages of programs that run."""

import json
import os
import re
import subprocess

import pytest
import requests

from sandboxes import docker
from services import ROOT, free_port, wait_until
from test_beat import make_beat

__all__ = ["make_beat"]

FILES = ROOT / "deploy/monitoring"
NAME = re.compile(r"\bceleriac_[a-z_]+")


def used():
    """Names in expressions of rules and dashboard, without a histogram's endings."""
    board = json.loads((FILES / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    expressions += re.findall(r"expr: (.*)", (FILES / "alerts.yaml").read_text())
    return {re.sub("(_seconds)_(bucket|sum|count)$", r"\1", name) for text in expressions for name in NAME.findall(text)}


def test_the_dashboard_is_what_its_rows_make(directory):
    made = directory / "dashboard"
    made.write_text((FILES / "dashboard").read_text())
    subprocess.run(["python3", made], check=True)
    assert (directory / "dashboard.json").read_text() == (FILES / "dashboard.json").read_text()


def test_every_name_is_told_by_a_program():
    """A panel or a rule about what nobody counts would be empty for ever."""
    sources = [*ROOT.glob("common/metrics/*.c"), *ROOT.glob("worker/*.c"), *ROOT.glob("beat/*.c")]
    told = {name for path in sources for name in re.findall(r'"(celeriac_[a-z_]+)"', path.read_text())}
    assert used() <= told, used() - told


def test_the_disk_of_the_engine(house):
    """Free and size at once; what images and volumes take with the first sweep."""
    def told():
        rows = re.findall(r'^celeriac_engine_disk_bytes{engine="[^"]+",what="(\w+)"} (\d+)$', house.worker.http("/metrics")[1], re.M)
        return {what: int(value) for what, value in rows}

    here = os.path.isdir(docker("info", "-f", "{{.DockerRootDir}}"))
    if here:
        first = wait_until(lambda: told() if "free" in told() else None, 60)
        assert 0 < first["free"] <= first["size"]
    house.app.send_task("sandbox.cleanup").get(timeout=120)
    after = told()
    assert after["own_images"] > 0 and after["images"] > 0 and "own_volumes" in after and ("free" in after) == here, after


def test_sandboxes_by_state(house):
    def states():
        return {state: int(value) for state, value in
                re.findall(r'^celeriac_sandboxes{engine="[^"]+",state="(\w+)"} (\d+)$', house.worker.http("/metrics")[1], re.M)}

    house.calls.run("print(1)", "states")
    wait_until(lambda: states() == {"busy": 0, "idle": 1, "ready": 0}, 30, states)
    begun = house.calls.send("import time\nwhile not __import__('os').path.exists('/sandbox/go'): time.sleep(0.05)", "states", timeout=60)
    wait_until(lambda: states() == {"busy": 1, "idle": 0, "ready": 0}, 30, states)
    house.broker.wait_listening()
    begun.revoke(terminate=True)
    wait_until(lambda: states()["busy"] == 0, 60, states)
    assert house.worker.metric("pool_threads") == 4


@pytest.mark.long
def test_promtool_accepts_them(house, make_beat):
    house.calls.run("print(1)")
    port = free_port()
    make_beat(CELERIAC_BEAT_METRICS=f"127.0.0.1:{port}")
    ask = requests.Session()
    beat = wait_until(lambda: ask.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text, 30)
    for words in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]):
        done = subprocess.run(["promtool", *words], cwd=FILES, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    for page in (house.worker.http("/metrics")[1], beat):
        done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
