"""Others meddle with a run: an image full of surprises, somebody at the engine, a revoke."""

import time
import uuid

import pytest

import engines
from sandboxes import IMAGE, container_of, containers, docker, inspect, wait_said
from services import patience, wait_until

pytestmark = pytest.mark.docker

SURPRISES = """
FROM {base}
VOLUME ["/data", "/tmp", "/sandbox", "/opt/kept"]
USER root
ENTRYPOINT ["/bin/echo", "surprise"]
CMD ["surprise"]
HEALTHCHECK --interval=1s CMD touch /tmp/health
ENV FROM_IMAGE=yes LD_PRELOAD=/nowhere.so PYTHONSTARTUP=/nowhere.py
WORKDIR /data
EXPOSE 80
STOPSIGNAL SIGUSR1
LABEL celeriac.instance=another celeriac.role=helper celeriac.conversation=theirs celeriac.project=theirs celeriac.policy=none
ONBUILD RUN false
"""


@pytest.fixture
def surprising_image(directory, instance):
    tag = f"celeriac-test:{uuid.uuid4().hex}"
    (directory / "Dockerfile").write_text(SURPRISES.format(base=IMAGE))
    docker("build", "-q", "-t", tag, directory)
    yield tag
    for container in containers(instance):
        docker("rm", "-fv", container, check=False)
    docker("rmi", "-f", tag, check=False)


def test_an_image_changes_nothing(make_full_worker, calls, instance, surprising_image):
    make_full_worker(SANDBOX_IMAGE=surprising_image, SANDBOX_POOL="1")
    code = """
import os
print(os.getuid(), os.getcwd(), os.environ.get('FROM_IMAGE'), os.environ.get('LD_PRELOAD'))
for path in ('/data/x', '/opt/kept/x', '/x', '/sandbox/x', '/tmp/y'):
    try: open(path, 'w').close(); print(path, 'written')
    except OSError as error: print(path, error.strerror)
print(os.path.exists('/tmp/health'))
"""
    conversation = f"c-{uuid.uuid4()}"
    value = calls.run(code, conversation, project_id="ours")
    lines = value["stdout"].splitlines()
    assert lines[0] == "10001 /sandbox None None", value
    # gVisor looks at the modes first, which let nobody write either.
    refusal = "Permission" if engines.name() == "runsc" else "Read-only"
    assert [line.split()[1] for line in lines[1:6]] == [refusal] * 3 + ["written"] * 2, lines
    assert lines[6] == "False"
    seen = inspect(value["sandbox"])
    assert seen["Config"]["Labels"]["celeriac.instance"] == instance and not (seen["State"].get("Health") or {}).get("Status")
    assert all(mount["Type"] == "tmpfs" or not mount["RW"] for mount in seen["Mounts"])
    assert calls.run("print(1)", conversation, project_id="ours")["sandbox"] == value["sandbox"]
    assert calls.call("close", conversation_id=conversation) == {"removed": True}
    # A volume without a name has one of 64 digits; that of the agent is for all.
    own = {mount["Name"] for mount in seen["Mounts"] if mount["Type"] == "volume"}
    assert not [name for name in own & set(docker("volume", "ls", "-q").split()) if not name.startswith("celeriac-")]


def test_a_writable_volume_in_the_work_space_is_refused(make_worker, postgres, directory):
    tag = f"celeriac-test:{uuid.uuid4().hex}"
    (directory / "Dockerfile").write_text(f"FROM {IMAGE}\nVOLUME /sandbox/output\n")
    docker("build", "-q", "-t", tag, directory)
    try:
        worker = make_worker(SANDBOX_IMAGE=tag, DATABASE_URL=postgres.url("worker"), start=False)
        worker.spawn()
        worker.wait_log("VOLUME '/sandbox/output'")
        wait_until(lambda: worker.readiness().get("engine") == "away", 30, "/readyz does not say so")
    finally:
        docker("rmi", "-f", tag, check=False)


def pause(container):
    """Now and then the engine cannot, while somebody in there is at work."""
    wait_until(lambda: docker("pause", container, check=False) == container, 30, "it cannot be paused")


def test_paused_before_the_call(house):
    """What never ran has not used up its time: it runs in a container that is not paused."""
    conversation = f"c-{uuid.uuid4()}"
    first = house.calls.run("print(1)", conversation)
    pause(first["sandbox"])
    value = house.calls.run("print(2)", conversation, timeout=60)
    assert (value["status"], value["stdout"], value["restarted"]) == ("ok", "2\n", True), value
    assert value["sandbox"] != first["sandbox"]


def test_paused_in_the_middle(house):
    """It has not timed out either, and nobody knows how it would have ended."""
    conversation = f"c-{uuid.uuid4()}"
    house.calls.run("print('here')", conversation)
    container = container_of(house.instance, conversation)
    result = house.calls.send("import time\nprint('begun', flush=True)\ntime.sleep(600)", conversation, timeout=min(60, patience(5)))
    wait_said(house.broker, result.id, "begun")
    pause(container)
    value = result.get(timeout=90)
    assert (value["status"], value["stdout"]) == ("lost", "begun\n"), value
    after = house.calls.run("print('again')", conversation)
    assert (after["stdout"], after["restarted"]) == ("again\n", True)


def test_a_revoke_ends_the_run(house):
    """Within a second where the machine has time; nothing of the run is left when it says so."""
    conversation = f"c-{uuid.uuid4()}"
    result = house.calls.send("import time\nprint('begun', flush=True)\ntime.sleep(600)", conversation, timeout=60)
    wait_said(house.broker, result.id, "begun")
    container = container_of(house.instance, conversation)
    house.broker.wait_listening()
    began = time.monotonic()
    house.app.control.revoke(result.id, terminate=True)
    wait_until(lambda: house.app.AsyncResult(result.id).state == "REVOKED", 30, "it was not revoked")
    took = time.monotonic() - began
    print(f"revoke: {took * 1000:.0f} ms")
    assert took < patience(10), "far from a second"
    assert house.calls.run("print('again')", conversation)["sandbox"] == container, "the conversation keeps its container"
