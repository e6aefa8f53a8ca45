"""beat and worker together remove what is idle or orphaned, and nothing of anybody else's."""

import os
import subprocess
import time
import uuid

import pytest

from forwarder import Forwarder
from sandboxes import IMAGE, container_of, containers, docker, exists
from services import wait_until
from test_beat import Beat

pytestmark = pytest.mark.docker
# Podman would raise these limits, which not everybody may.
RUN = ("--network=none", "--ulimit=nproc=32768", "--ulimit=nofile=1024")


@pytest.fixture
def make_beat(broker, instance, directory, ended):
    """Sends sandbox.cleanup every second."""
    def make():
        made = Beat(directory, broker.url, instance)
        ended.append(made)
        return made.start()

    return make


@pytest.fixture
def stranger():
    """Starts containers with labels of the test's choice, under a name as workers give it if `ours`; removed at the end."""
    made = []

    def make(ours=False, image=IMAGE, **labels):
        words = [f"--label=celeriac.{name}={value}" for name, value in labels.items()]
        if ours:
            words.append(f"--name=celeriac-{labels['role']}-{uuid.uuid4().hex[:16]}")
        made.append(docker("run", "-d", *RUN, *words, image, "sleep", "600"))
        return made[-1]

    yield make
    if made:
        docker("rm", "-f", *made, check=False)


@pytest.fixture
def forged(instance):
    """An image that gives whatever is made of it, by whomever, the labels of a dead worker's container."""
    name = f"celeriac-test-forged-{instance}"
    lines = [f"FROM {IMAGE}", f"LABEL celeriac.instance={instance} celeriac.role=run celeriac.owner=dead-node@1 celeriac.task=t"]
    subprocess.run(["docker", "build", "-q", "-t", name, "-"], input="\n".join(lines), text=True, check=True, capture_output=True)
    yield name
    docker("rmi", "-f", name, check=False)


def reports(calls):
    """What the sweeps so far returned."""
    rows = calls.postgres.sql(
        "SELECT result FROM celeriac.tool_results WHERE tool = 'sandbox.cleanup' AND worker = %s AND state = 'finished'"
        " ORDER BY finished_at", calls.node)
    return [row[0] for row in rows]


@pytest.fixture
def house(make_full_worker, calls):
    """A worker whose patience is measured in seconds."""
    worker = make_full_worker(SANDBOX_IDLE_TIMEOUT="3", SANDBOX_ADOPT_GRACE="2")
    calls.node = worker.node
    calls.worker = worker
    return calls


def test_an_idle_conversation_is_reaped_and_begins_anew(house, make_beat, instance):
    conversation = f"c-{uuid.uuid4()}"
    first = house.run("open('/sandbox/kept', 'w')", conversation)
    beat = make_beat()
    wait_until(lambda: not exists(first["sandbox"]), 30, "the idle container was not removed")
    wait_until(lambda: sum(report["idle"] for report in reports(house)) == 1, 30, "no sweep says so")
    assert containers(instance) == []
    beat.term()
    second = house.run("import os; print(os.path.exists('/sandbox/kept'))", conversation)
    assert (second["stdout"], second["reused"], second["restarted"]) == ("False\n", False, True)
    assert second["sandbox"] != first["sandbox"]
    done = reports(house)
    assert sum(report["idle"] for report in done) == 1 and all(report["failed"] == 0 for report in done)
    why = ("SELECT decision, conversation_id, detail->>'why' FROM celeriac.activity_events"
           " WHERE kind = 'container' AND target = %s AND detail->>'action' = 'remove'")
    wait_until(lambda: house.postgres.sql(why, first["sandbox"]) == [("allow", conversation, "idle")], 30, "it is not recorded")
    assert 'celeriac_reaped_total{kind="idle"} 1\n' in house.worker.http("/metrics")[1]
    third = house.run("print('kept')", conversation)
    assert (third["reused"], third["restarted"]) == (True, False)


def test_what_is_used_is_not_idle(make_full_worker, calls, make_beat, instance):
    """Neither by a long run nor by calls that come again and again."""
    house = calls
    house.node = make_full_worker(SANDBOX_IDLE_TIMEOUT="6", SANDBOX_ADOPT_GRACE="2").node
    make_beat()
    busy, chatty = f"c-{uuid.uuid4()}", f"c-{uuid.uuid4()}"
    long_run = house.send("import os, time\nwhile not os.path.exists('/sandbox/gate'): time.sleep(0.05)\nprint('done')", busy, timeout=200)
    first = house.run("print(1)", chatty)
    until = time.monotonic() + 13
    while time.monotonic() < until or len(reports(house)) < 4:
        assert house.run("print(1)", chatty)["sandbox"] == first["sandbox"]
    docker("exec", container_of(instance, busy), "touch", "/sandbox/gate")
    assert long_run.get(timeout=30)["stdout"] == "done\n"
    done = reports(house)
    assert len(done) >= 4 and sum(report["idle"] + report["orphans"] for report in done) == 0
    assert max(report["kept"] for report in done) == 2


def test_orphans_go_and_strangers_stay(make_full_worker, calls, make_beat, forged, stranger, instance):
    worker = make_full_worker(SANDBOX_IDLE_TIMEOUT="3600", SANDBOX_ADOPT_GRACE="2")
    calls.node = worker.node
    orphan = stranger(True, instance=instance, role="conversation", owner="dead-node@1", conversation="nobody-s", project="",
                      created="2026-01-01T00:00:00+00:00")
    leftover = stranger(True, instance=instance, role="run", owner="dead-node@1", conversation="", task="some-task",
                        created="2026-01-01T00:00:00+00:00")
    strangers = [
        stranger(), stranger(instance=f"{instance}-2", role="conversation", owner="dead-node@1", conversation="theirs"),
        stranger(role="conversation", owner="dead-node@1"), stranger(instance="", role="run"), stranger(image=forged),
    ]
    unlabelled = docker("run", "-d", *RUN, IMAGE, "sleep", "600")
    strangers.append(unlabelled)
    try:
        own = calls.run("print(1)", "in-use")
        make_beat()
        wait_until(lambda: not exists(orphan) and not exists(leftover), 40, "the orphans were not removed")
        swept = len(reports(calls))
        wait_until(lambda: len(reports(calls)) >= swept + 2, 20, "no more sweeps")
        assert all(exists(container) for container in strangers)
        wait_until(lambda: sum(report["orphans"] for report in reports(calls)) == 2, 30, "the sweeps tell otherwise")
        assert set(containers(instance)) == {own["sandbox"], strangers[-2]}
    finally:
        docker("rm", "-f", unlabelled, check=False)


def test_orphans_have_their_time(make_full_worker, calls, make_beat, stranger, instance):
    """Before the grace time is over a dead worker's container is only watched."""
    worker = make_full_worker(SANDBOX_IDLE_TIMEOUT="3600", SANDBOX_ADOPT_GRACE="3600")
    calls.node = worker.node
    orphan = stranger(True, instance=instance, role="conversation", owner="dead-node@1", conversation="waits", project="",
                      created="2026-01-01T00:00:00+00:00")
    make_beat()
    wait_until(lambda: len(reports(calls)) >= 4, 30, "no sweeps")
    assert exists(orphan) and sum(report["orphans"] for report in reports(calls)) == 0


def test_a_restart_adopts_and_reaps_later(house, make_beat):
    """What a dead worker left is its successor's: neither lost nor an orphan, and idle like everything else."""
    conversation = f"c-{uuid.uuid4()}"
    first = house.run("open('/sandbox/kept', 'w')", conversation)
    house.worker.restart()
    house.worker.wait_log("adopted 1 conversation")
    second = house.run("import os; print(os.path.exists('/sandbox/kept'))", conversation)
    assert (second["stdout"], second["sandbox"]) == ("True\n", first["sandbox"])
    make_beat()
    wait_until(lambda: not exists(first["sandbox"]), 30, "the idle container was not removed")
    wait_until(lambda: sum(report["idle"] for report in reports(house)) == 1, 30, "no sweep says so")
    assert sum(report["orphans"] for report in reports(house)) == 0


def test_what_others_do_to_containers_is_known_at_once(make_full_worker, calls, broker, directory, instance):
    """By the engine's events; and what happened while the engine was away, as soon as it is back. No sweep is asked for."""
    door = Forwarder(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"), path=directory / "docker.sock").open()
    try:
        worker = make_full_worker(DOCKER_HOST=f"unix://{door.path}")

        def known(conversation):
            return broker.redis.hget(f"celeriac:{instance}:conversation:{conversation}", "container").decode()

        def wait_forgotten(conversation):
            wait_until(lambda: known(conversation) == "", 30, f"the index still has the container of {conversation}")

        for conversation, end in (("removed", ("rm", "-f")), ("killed", ("kill",))):
            container = calls.run("print(1)", conversation)["sandbox"]
            assert known(conversation) == container
            docker(*end, container)
            wait_forgotten(conversation)
            wait_until(lambda: not exists(container), 30, "it is forgotten, and still there")
        container = calls.run("print(1)", "meanwhile")["sandbox"]
        door.close()
        wait_until(lambda: worker.readiness().get("engine") == "away", 30, "the engine is not missed")
        docker("rm", "-f", container)
        assert known("meanwhile") == container
        door.open()
        wait_forgotten("meanwhile")
        assert calls.run("print(1)", "meanwhile")["restarted"]
    finally:
        door.close()


def test_redis_forgot_everything(house, broker, make_beat):
    """The labels are the truth: without its index in Redis a conversation still has its files, and still becomes idle."""
    conversation = f"c-{uuid.uuid4()}"
    first = house.run("open('/sandbox/kept', 'w')", conversation, project_id="p")
    for key in broker.redis.scan_iter(f"celeriac:{broker.instance}:*"):
        if b":node:" not in key and b":epoch:" not in key:
            broker.redis.delete(key)
    second = house.run("import os; print(os.path.exists('/sandbox/kept'))", conversation, project_id="p")
    assert (second["stdout"], second["sandbox"]) == ("True\n", first["sandbox"])
    make_beat()
    wait_until(lambda: not exists(first["sandbox"]), 30, "the idle container was not removed")
