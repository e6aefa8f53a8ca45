"""The systemd units: judged by systemd-analyze, and run by a real systemd in a container, with a call through them."""

import subprocess
import uuid

import pytest

from sandboxes import docker, remove_containers
from services import ROOT, wait_until

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.timeout(1800)]
UNITS = {name: f"celeriac-{name}.service" for name in ("worker", "beat", "engine")}
DOCKERFILE = """FROM {}
USER 0:0
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends systemd
"""


@pytest.mark.parametrize("name", UNITS)
def test_what_systemd_says_of_it(name, directory):
    unit = directory / UNITS[name]
    unit.write_text((ROOT / "deploy/systemd" / UNITS[name]).read_text().replace("/usr/bin/celeriac", f"{ROOT}/build/celeriac"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", unit], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-300:]


@pytest.fixture(scope="module")
def image():
    """Ours, with systemd."""
    names = [f"celeriac-test-units:{uuid.uuid4().hex[:8]}" for _ in range(2)]
    proxy = subprocess.run([ROOT / "deploy/images/base", "--proxy"], capture_output=True, text=True, check=True).stdout.strip()
    try:
        subprocess.run([ROOT / "deploy/images/worker/build", names[0]], capture_output=True, check=True, timeout=1200)
        subprocess.run(["docker", "build", "-q", "--network=host", *([f"--build-arg=http_proxy={proxy}"] if proxy else []), "-t", names[1], "-"],
                       input=DOCKERFILE.format(names[0]), text=True, capture_output=True, check=True, timeout=600)
        yield names[1]
    finally:
        for name in names[::-1]:
            docker("rmi", "-f", name, check=False)


class Machine:
    """A container whose first process is systemd; it may do what systemd needs for the cages of units, and has the engine's socket."""

    def __init__(self, image, directory):
        # what this engine's control groups are called; where they are of version 2, a container's own are enough
        legacy = docker("info", "-f", "{{.CgroupVersion}}") == "1"
        groups = ["-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro", "-v", "/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd:rw",
                  "-e", "SYSTEMD_PROC_CMDLINE=systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"] if legacy else []
        self.name = docker("run", "-d", "--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined",
                           "--network=host", "--cgroupns=private", "-e", "container=docker", *groups, "--tmpfs=/run:exec", "--tmpfs=/run/lock",
                           "--tmpfs=/tmp", "-v", "/var/run/docker.sock:/run/docker.sock", image, "/usr/lib/systemd/systemd")
        self.directory = directory

    def prepare(self):
        for unit in UNITS.values():
            docker("cp", ROOT / "deploy/systemd" / unit, f"{self.name}:/etc/systemd/system/")
        self("groupadd -g $(stat -c %g /run/docker.sock) docker; mkdir -p /etc/celeriac")
        wait_until(lambda: self("systemctl is-system-running || true") in ("running", "degraded"), 120, lambda: docker("logs", self.name))

    def __call__(self, script):
        return docker("exec", self.name, "sh", "-ec", script)

    def write(self, name, settings):
        path = self.directory / "settings"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        docker("cp", path, f"{self.name}:/etc/celeriac/{name}")

    def start(self, name):
        self(f"systemctl daemon-reload; systemctl restart {UNITS[name]} || {{ systemctl status {UNITS[name]} >&2; exit 1; }}")
        assert self.state(name) == ("active", "success")
        status = self(f"cat /proc/$(systemctl show {UNITS[name]} -p MainPID --value)/status")
        assert "CapBnd:\t0000000000000000" in status and "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
        return {line.split(":")[0]: line.split()[1:] for line in status.splitlines()}

    def stop(self, name):
        self(f"systemctl stop {UNITS[name]}")
        assert self.state(name) == ("inactive", "success")

    def state(self, name):
        return tuple(self(f"systemctl show {UNITS[name]} -p {what} --value") for what in ("ActiveState", "Result"))


@pytest.fixture
def machine(image, directory, instance):
    made = Machine(image, directory)
    try:
        made.prepare()
        yield made
    finally:
        docker("rm", "-f", made.name)
        remove_containers(instance)


def test_they_run(machine, broker, postgres, instance, calls):
    """The role as a unit with a worker that has no group of the engine's; then, as shipped, a worker that starts its own; and beat."""
    common = {"CELERY_BROKER_URL": broker.url, "CELERY_RESULT_BACKEND": broker.url, "CELERIAC_INSTANCE": instance}
    worker = {**common, "DATABASE_URL": postgres.url("worker"), "CELERIAC_METRICS": ""}
    machine.write("engine.conf", {"CELERIAC_INSTANCE": instance, "CELERIAC_ENGINE_PEERS": machine("id -u celeriac")})
    machine.write("celeriac.conf", {**worker, "CELERIAC_ENGINE": "unix:/run/celeriac-engine/engine.sock"})
    machine("mkdir /etc/systemd/system/celeriac-worker.service.d; "
            "printf '[Service]\\nSupplementaryGroups=\\n' >/etc/systemd/system/celeriac-worker.service.d/own.conf")
    group, user = machine("getent group docker | cut -d: -f3"), machine("id -u celeriac")
    assert group in machine.start("engine")["Groups"]
    status = machine.start("worker")
    assert group not in status["Groups"] and status["Uid"] == [user] * 4
    first = calls.run("print(1)", "c-1")
    assert first["stdout"] == "1\n"

    machine("rm -r /etc/systemd/system/celeriac-worker.service.d")
    machine.stop("worker")
    machine.stop("engine")
    machine.write("celeriac.conf", worker)
    machine.start("worker")
    second = calls.run("print(2)", "c-1")
    assert second["stdout"] == "2\n" and second["sandbox"] == first["sandbox"]

    machine.write("celeriac.conf", {**common, "DATABASE_URL": postgres.url("beat")})
    machine.start("beat")
    for name in ("beat", "worker"):
        machine.stop(name)
