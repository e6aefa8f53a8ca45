"""Containers that are ready before anybody asks: a new conversation does not wait for one to be made."""

import os
import uuid

import pytest

from forwarder import Forwarder
from sandboxes import IMAGE, capabilities, containers, docker, inspect, wait_spares_ready
from services import wait_until

pytestmark = pytest.mark.docker


def spares(instance):
    """Ids of containers that wait."""
    names = docker("ps", "--no-trunc", "--filter", f"label=celeriac.instance={instance}", "--format", "{{.ID}} {{.Names}}").splitlines()
    return {line.split()[0] for line in names if line.split()[1].startswith("celeriac-pool-")}


def wait_spares(instance, count, seconds=60):
    return wait_until(lambda: found if len(found := spares(instance)) == count else None, seconds,
                      lambda: f"not {count} spare containers but {len(spares(instance))}")


def test_a_new_conversation_takes_one_and_another_is_made(make_full_worker, calls, instance):
    wait_spares_ready(make_full_worker(SANDBOX_POOL="2"), 2)
    waiting = spares(instance)
    conversation = f"c-{uuid.uuid4()}"
    value = calls.run("print('hello')", conversation, project_id="mine")
    assert (value["stdout"], value["reused"], value["restarted"]) == ("hello\n", False, False)
    assert value["sandbox"] in waiting
    wait_spares(instance, 2)
    assert len(containers(instance)) == 3
    assert calls.run("print('again')", conversation, project_id="mine")["sandbox"] == value["sandbox"]
    seen = inspect(value["sandbox"])
    host = seen["HostConfig"]
    assert host["NetworkMode"] == "none" and capabilities(seen) == 0 and host["ReadonlyRootfs"]


def test_streams_that_a_proxy_cuts(make_full_worker, calls, instance, directory):
    """As proxies before the engine do with those that are idle: neither the spares nor a conversation notice."""
    door = Forwarder(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"), path=directory / "docker.sock").open()
    try:
        wait_spares_ready(make_full_worker(SANDBOX_POOL="2", DOCKER_HOST=f"unix://{door.path}"), 2)
        waiting = spares(instance)
        door.cut(b"/attach")
        value = calls.run("print('hello')", "cut")
        assert value["sandbox"] in waiting and value["stdout"] == "hello\n"
        door.cut(b"/attach")
        again = calls.run("print('again')", "cut")
        assert (again["sandbox"], again["reused"], again["restarted"], again["stdout"]) == (value["sandbox"], True, False, "again\n")
        wait_until(lambda: len(spares(instance)) == 2 and spares(instance) & waiting, 60, "the other was thrown away")
    finally:
        door.close()


def test_none_is_handed_to_two(make_full_worker, calls, instance):
    workers = [make_full_worker("-c", "4", SANDBOX_POOL="3") for _ in range(2)]
    wait_spares(instance, 6)
    results = [calls.send("import os\nprint(os.listdir('/sandbox'))\nopen('/sandbox/mine', 'w')", f"c-{n}") for n in range(16)]
    values = [result.get(timeout=120) for result in results]
    assert {value["stdout"] for value in values} == {values[0]["stdout"]} and "mine" not in values[0]["stdout"]
    assert len({value["sandbox"] for value in values}) == 16
    assert all(worker.alive() for worker in workers)


def test_a_new_image_makes_new_ones(make_full_worker, calls, instance, directory):
    """What was made of the old image is thrown away, without a restart."""
    tag = f"celeriac-test:{uuid.uuid4().hex}"
    docker("tag", IMAGE, tag)
    (directory / "Dockerfile").write_text(f"FROM {IMAGE}\nLABEL newer=yes\n")
    try:
        worker = make_full_worker(SANDBOX_POOL="2", SANDBOX_IMAGE=tag)
        old = wait_spares(instance, 2)
        kept = calls.run("print(1)", "old")
        docker("build", "-q", "-t", tag, directory)
        wait_until(lambda: len(now := spares(instance)) == 2 and not now & old, 60, "the old ones are still there")
        value = calls.run("print(2)", "new")
        assert inspect(value["sandbox"])["Config"]["Labels"]["newer"] == "yes"
        assert calls.run("print(3)", "old")["sandbox"] == kept["sandbox"], "a conversation keeps what it has"
        assert worker.log_lines("has changed: spare sandboxes are made anew")
    finally:
        for container in containers(instance):
            docker("rm", "-f", container, check=False)
        docker("rmi", "-f", tag, check=False)


@pytest.mark.parametrize("how", ["term", "kill"])
def test_none_outlives_its_worker(make_full_worker, calls, instance, how):
    worker = make_full_worker(SANDBOX_POOL="2", SANDBOX_ADOPT_GRACE="2")
    wait_spares_ready(worker, 2)
    old = spares(instance)
    getattr(worker, how)()
    if how == "term":
        wait_until(lambda: containers(instance) == [], 30, "they outlive it")
        return
    worker.start()
    calls.call("cleanup")
    wait_until(lambda: len(now := spares(instance)) == 2 and not now & old and len(containers(instance)) == 2, 60, "the old ones stay")


def test_the_first_call_takes_one_that_is_ready(make_full_worker, calls, instance):
    """The engine's own work on a container is not waited for. (What that saves is measured by the benchmark.)"""
    worker = make_full_worker(SANDBOX_POOL="2", SANDBOX_MAX="50")
    for _ in range(3):
        wait_spares_ready(worker, 2)
        waiting = spares(instance)
        value = calls.run("print(1)")
        assert value["reused"] is False and value["sandbox"] in waiting
