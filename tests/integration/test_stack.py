"""`make up` and `make down`: what they promise in .run/env, and that they leave nothing behind."""

import contextlib
import os
import pathlib
import shutil
import subprocess

from services import wait_until
from stack import ROOT, SERVICES, Stack

NAMES = """CELERY_BROKER_URL CELERY_RESULT_BACKEND DATABASE_URL CELERIAC_OWNER_DATABASE_URL DOCKER_HOST
    CELERIAC_METRICS_URL PYTHON WORKER_PID BEAT_PID""".split()


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def held_by(pid):
    """What a process has open; descriptors that were closed since they were listed are none."""
    held = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.add(os.readlink(fd))
    return held


def test_environment_file_holds_every_name(stack):
    assert [name for name in NAMES if not stack.env.get(name)] == []


def test_python_has_a_current_celery(stack):
    code = "import celery, redis, psycopg; assert celery.VERSION >= (5, 4)"
    subprocess.run([stack.env["PYTHON"], "-c", code], check=True)


def test_programs_run_without_root_and_without_other_secrets(stack):
    for name in ("worker", "beat"):
        status = pathlib.Path(f"/proc/{stack.pid(name)}/status").read_text()
        uid = int(status.split("Uid:")[1].split()[0])
        assert uid != 0 or os.stat(ROOT).st_mode & 0o5 != 0o5, f"{name} runs as root"
        environment = pathlib.Path(f"/proc/{stack.pid(name)}/environ").read_bytes().decode()
        assert "POSTGRES_PASSWORD" not in environment
        assert "CELERIAC_APPLICATION_DATABASE_URL" not in environment


def test_nothing_listens_on_a_public_address(stack):
    inodes = {held.removeprefix("socket:[").removesuffix("]") for name in SERVICES for held in held_by(stack.pid(name))}
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                assert fields[1].split(":")[0] == loopback, line


def test_a_second_stack_beside_the_first_leaves_nothing_behind(stack, make_stack):
    other = make_stack(SANDBOX_POOL="0")
    assert other.env["CELERIAC_INSTANCE"] != stack.env["CELERIAC_INSTANCE"]
    assert other.env["CELERY_BROKER_URL"] != stack.env["CELERY_BROKER_URL"]
    pids = [other.pid(name) for name in SERVICES]
    other.stop()
    assert [pid for pid in pids if alive(pid)] == []
    assert other.containers() == []
    assert not (other.dir / "env").exists() and not (other.dir / "data").exists()
    assert all(alive(stack.pid(name)) for name in SERVICES)


def test_services_hold_no_pipe_of_their_caller(make_stack):
    made = make_stack()
    made.stop()
    reader, writer = os.pipe()
    try:
        subprocess.run([ROOT / "deploy/stack", "start"], env=made.settings, pass_fds=[writer], check=True, timeout=120)
        made.read_env()
        pipe = os.readlink(f"/proc/self/fd/{writer}")
        for name in SERVICES:
            assert pipe not in held_by(made.pid(name)), f"{name} keeps `make -j up` from ending"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_second_stack_from_a_shell_that_knows_the_first(stack, make_stack):
    lent = {name: stack.env[name] for name in ("CELERIAC_INSTANCE", "CELERIAC_METRICS", "CELERIAC_METRICS_URL")}
    other = make_stack(**lent)
    assert {name for name, value in lent.items() if other.env[name] == value} == set()
    assert alive(other.pid("worker"))


def test_up_after_everything_was_killed(make_stack):
    made = make_stack()
    pids = [made.pid(name) for name in SERVICES]
    for pid in pids:
        os.kill(pid, 9)
    wait_until(lambda: not any(map(alive, pids)), 30, "they live on")  # else it is up already
    made.start()
    assert all(alive(made.pid(name)) for name in SERVICES)


def test_another_broker_is_refused_for_now():
    refused = Stack(BROKER="amqp")
    said = refused.script("start", check=False)
    shutil.rmtree(refused.dir)
    assert "not supported yet" in said
