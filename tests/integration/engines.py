"""Engines that the sandbox suites run against: CELERIAC_TEST_ENGINE=runsc|podman|role|direct; else the machine's own Docker.

Each is private: its own socket, data and containers, ended by its pid. Images are copied from the machine's Docker.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from services import launch, wait_until

IMAGE = "celeriac-sandbox:latest"
MACHINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


class Engine:
    """The machine's own."""

    name = "docker"
    settings = {}  # of a worker that uses it
    unenforced = ()  # limits that it does not enforce
    lacks = ()  # what else tests can ask for: "bridge", a network whose containers do not reach one another

    def start(self):
        return self

    def stop(self):
        pass

    def load(self, image):
        """Sees to it that the engine has this image of the machine's Docker."""


class Private(Engine):
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="celeriac-engine-"))
        self.socket = self.dir / "engine.sock"
        self.host = f"unix://{self.socket}"
        self.data = self.dir / "data"
        self.place = ()  # where it runs (full.py)
        self.process = None

    def docker(self, *words, **options):
        return subprocess.run(["docker", "-H", self.host, *words], check=True, capture_output=True, **options)

    def answers(self):
        assert self.process.poll() is None, (self.dir / "log").read_text()[-3000:]
        return subprocess.run(["docker", "-H", self.host, "version"], capture_output=True).returncode == 0

    def load(self, image):
        if subprocess.run(["docker", "-H", self.host, "image", "inspect", image], capture_output=True).returncode == 0:
            return
        with subprocess.Popen(["docker", "-H", MACHINE, "save", image], stdout=subprocess.PIPE) as saved:
            self.docker("load", stdin=saved.stdout)

    def daemon(self):
        """Options of a dockerd that runs beside others."""
        return ["--host", self.host, "--data-root", self.data, "--exec-root", self.dir / "exec", "--pidfile", self.dir / "pid",
                "--bridge=none", "--iptables=false", "--ip6tables=false"]

    def resume(self):
        self.process = launch(self.command(), self.dir / "log", place=self.place, cwd=self.dir)  # where conmon leaves files
        wait_until(self.answers, 60, "the engine does not answer")

    def start(self):
        self.resume()
        self.load(IMAGE)
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            left = self.docker("ps", "-aq").stdout.decode().split()
            if left:
                subprocess.run(["docker", "-H", self.host, "rm", "-f", *left], capture_output=True)
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for line in reversed(pathlib.Path("/proc/mounts").read_text().splitlines()):
            mounted = line.split()[1]
            if mounted.startswith(str(self.dir)):
                subprocess.run(["umount", "-l", mounted], capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)


class Another(Private):
    """One more Docker daemon, with what it needs to run beside others: no bridge, and data of its own."""

    name = "another"

    @property
    def settings(self):
        return {"DOCKER_HOST": self.host}

    def command(self):
        return ["dockerd", *self.daemon()]


class Runsc(Private):
    """gVisor under a Docker daemon, in the way it works without control groups of its own."""

    name = "runsc"
    unenforced = ("memory", "pids", "cpu", "agent")
    lacks = ("bridge",)

    @property
    def settings(self):
        return {"DOCKER_HOST": self.host, "SANDBOX_RUNTIME": "runsc", "SANDBOX_ALLOW_UNENFORCED": ",".join(self.unenforced)}

    def command(self):
        config = self.dir / "daemon.json"
        runsc = {"path": shutil.which("runsc"), "runtimeArgs": ["--network=none", "--ignore-cgroups"]}
        config.write_text(json.dumps({"runtimes": {"runsc": runsc}}))
        return ["dockerd", "--config-file", config, *self.daemon()]


# Without that word a container's input ends with whoever is attached first, and no worker adopts what another leaves.
CONMON = """#!/bin/sh
exec conmon --leave-stdin-open "$@"
"""
CONTAINERS = """[containers]
base_hosts_file = "none"
host_containers_internal_ip = "none"
[engine]
conmon_path = ["{conmon}"]
"""


class Podman(Private):
    """Podman's service, which speaks Docker's API."""

    name = "podman"
    unenforced = ("inodes",)
    lacks = ("bridge",)

    @property
    def settings(self):
        return {"DOCKER_HOST": self.host, "SANDBOX_ALLOW_UNENFORCED": ",".join(self.unenforced)}

    def command(self):
        conmon, config = self.dir / "conmon", self.dir / "containers.conf"
        conmon.write_text(CONMON)
        conmon.chmod(0o755)
        config.write_text(CONTAINERS.format(conmon=conmon))
        return ["env", f"CONTAINERS_CONF={config}", "podman", "--root", self.dir / "data", "--runroot", self.dir / "run",
                "--tmpdir", self.dir / "tmp", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "system", "service",
                "--time", "0", self.host]


class Role(Engine):
    """The machine's own, which an engine role has and no worker (worker.py starts one for each)."""

    name = "role"


class Direct(Engine):
    """The machine's own, which each worker has itself."""

    name = "direct"
    settings = {"CELERIAC_ENGINE": "direct"}


ENGINES = {kind.name: kind for kind in (Engine, Runsc, Podman, Role, Direct)}


def name():
    return os.environ.get("CELERIAC_TEST_ENGINE", "docker")


def chosen():
    return ENGINES[name()]()
