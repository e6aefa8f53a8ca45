"""deploy/docker-daemon with a daemon of its own, in a mount namespace where no other daemon's files are to be seen."""

import os
import subprocess

import pytest

from services import ROOT

pytestmark = [pytest.mark.long, pytest.mark.skipif(os.getuid() != 0, reason="only root starts a daemon")]
APART = 'mount -t tmpfs none /run && mount -t tmpfs none /var/lib/docker && exec bash -e -c "$0"'


def apart(script):
    """What a script says that sees no daemon but those it starts; the last one is ended."""
    ended = f"trap 'kill $(cat /run/celeriac-dockerd/pid 2>/dev/null) 2>/dev/null || true' EXIT\n{script}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    done = subprocess.run(["unshare", "-m", "--propagation=private", "bash", "-c", APART, ended], cwd=ROOT, env=env,
                          capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("docker-daemon: sto", "docker-daemon: still", "docker-daemon: noth"))]


def test_who_started_it_without_a_name_keeps_it():
    said = apart("deploy/docker-daemon start; deploy/docker-daemon start first; deploy/docker-daemon stop first; "
                 "docker version >/dev/null; deploy/docker-daemon stop; ! docker version >/dev/null 2>&1")
    assert said == ["docker-daemon: still used by nobody-in-particular ", "docker-daemon: stopped"]


def test_the_last_of_those_with_names_ends_it():
    said = apart("deploy/docker-daemon start first; deploy/docker-daemon start second; deploy/docker-daemon start; "
                 "deploy/docker-daemon stop third; deploy/docker-daemon stop first; docker version >/dev/null; "
                 "deploy/docker-daemon stop second; ! docker version >/dev/null 2>&1")
    assert said == ["docker-daemon: nothing of ours to stop", "docker-daemon: still used by second ", "docker-daemon: stopped"]
