"""The compose files, as they are, with Debian's Compose: the demonstration inside, three workers, and what each container may."""

import json
import os
import re
import subprocess
import uuid

import pytest
import requests

from sandboxes import docker, remove_containers
from services import ROOT, free_port, wait_until

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.timeout(1800)]
DATA = ROOT / "tests/data/compose"
IMAGES = {"redis": DATA / "redis", "db": DATA / "db", "proxy": DATA / "proxy", "web": ROOT / "deploy/demo"}


def script(*words):
    done = subprocess.run([ROOT / "deploy/images" / words[0], *words[1:]], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def images():
    """Local ones in place of those a registry has, and ours as it is."""
    base, proxy = script("base"), script("base", "--proxy")
    names = {name: f"celeriac-test-{name}:{uuid.uuid4().hex[:8]}" for name in (*IMAGES, "worker")}
    try:
        size = int(re.search(r"(\d+) MB on top of the base", script("worker/build", names["worker"]))[1])
        assert size < 60
        for name, context in IMAGES.items():
            arguments = [f"--build-arg=BASE={base}"] + ([f"--build-arg=http_proxy={proxy}"] if proxy else [])
            done = subprocess.run(["docker", "build", "-q", "--network=host", "--force-rm", *arguments, "-t", names[name], context],
                                  capture_output=True, text=True, timeout=1200)
            assert done.returncode == 0, done.stderr
        yield names
    finally:
        for name in names.values():
            docker("rmi", "-f", name, check=False)


class Compose:
    def __init__(self, file, images, **settings):
        self.project = f"celeriac-{uuid.uuid4().hex[:8]}"
        self.port = free_port()
        self.words = ["docker-compose", "-f", ROOT / "deploy" / file, "-p", self.project]
        own = {name: value for name, value in os.environ.items() if not name.startswith(("CELER", "SANDBOX", "DATABASE"))}
        self.settings = {**own, "CELERIAC_IMAGE": images["worker"], "WEB_IMAGE": images["web"], "DB_IMAGE": images["db"],
                         "REDIS_IMAGE": images["redis"], "SOCKET_PROXY_IMAGE": images["proxy"], "WEB_PORT": str(self.port),
                         "CELERIAC_INSTANCE": self.project, "DOCKER_GID": str(os.stat("/var/run/docker.sock").st_gid), **settings}

    def __call__(self, *words, check=True):
        done = subprocess.run([*self.words, *words], env=self.settings, capture_output=True, text=True, timeout=600)
        assert not check or done.returncode == 0, done.stdout + done.stderr + (self("logs", "--tail", "50", check=False) if check else "")
        return done.stdout

    def containers(self, service):
        return self("ps", "-q", service).split()

    def inspect(self, service):
        return [json.loads(docker("inspect", container))[0] for container in self.containers(service)]

    def healthy(self, service, count=1):
        states = [one["State"].get("Health", {}).get("Status") for one in self.inspect(service)]
        return len(states) == count and set(states) == {"healthy"}

    def wait_healthy(self, service, count=1):
        wait_until(lambda: self.healthy(service, count), 180, lambda: self("logs", "--tail", "50", service, check=False))

    def run(self, conversation, code):
        url = f"http://127.0.0.1:{self.port}"
        answer = requests.post(f"{url}/conversations/{conversation}/run", json={"code": code}, timeout=30)
        answer.raise_for_status()
        return f"{url}/tasks/{answer.json()['task_id']}"

    def result(self, task):
        done = wait_until(lambda: found if (found := requests.get(task, timeout=30).json())["state"] in ("SUCCESS", "FAILURE") else None,
                          120, lambda: self("logs", "--tail", "50", "worker", check=False))
        assert done["state"] == "SUCCESS", done
        return done["result"]

    def sql(self, query):
        return self("exec", "-T", "db", "psql", "-qAtX", "-U", "postgres", "-d", "celeriac", "-c", query).split()

    def down(self):
        self("down", "-v", "-t", "40", check=False)
        remove_containers(self.project)


@pytest.fixture
def compose(images, request):
    made = []

    def make(file, **settings):
        made.append(Compose(file, images, **settings))
        made[-1]("up", "-d", "--no-build")
        return made[-1]

    yield make
    for one in made:
        one.down()


def test_both_files_are_whole():
    """What a newcomer's Compose says to them, without a setting."""
    for file in ("compose.yaml", "compose.prod.yaml"):
        done = subprocess.run(["docker-compose", "-f", ROOT / "deploy" / file, "config", "-q"], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_newer_compose_reads_them():
    """Version 2, which Debian 13 has: the same services, and nothing said against them."""
    proxy = script("base", "--proxy")
    reads = "apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends docker-compose >/dev/null 2>&1 " \
        "&& docker-compose version --short && for file in compose compose.prod; do docker-compose -f /deploy/$file.yaml config --services | sort; done"
    done = subprocess.run(["docker", "run", "--rm", "--network=host", *(["-e", f"http_proxy={proxy}"] if proxy else []),
                           "-v", f"{ROOT}/deploy:/deploy:ro", script("base"), "sh", "-ec", reads], capture_output=True, text=True, timeout=600)
    version, *services = done.stdout.split()
    assert done.returncode == 0 and version.startswith("2."), done.stdout + done.stderr
    assert services == ["beat", "db", "migrate", "redis", "web", "worker", "beat", "db", "engine", "migrate", "proxy", "redis", "web", "worker"]
    assert "warn" not in done.stderr.lower(), done.stderr


def work_on_three(stack):
    """Two may be quick enough to take all of one round; whoever takes calls is seen in their rows, and each must be, by and by."""
    stack("up", "-d", "--no-build", "--scale", "worker=3")
    stack.wait_healthy("worker", 3)
    for turn in range(10):
        tasks = [stack.run(f"s-{turn}-{n}", "import time\ntime.sleep(1)\nprint('there')") for n in range(12)]
        assert {stack.result(task)["stdout"] for task in tasks} == {"there\n"}
        if len(set(stack.sql("SELECT worker FROM celeriac.tool_results"))) == 3:
            return
    pytest.fail("one of three workers takes no calls")


def test_the_stack_for_a_try(compose):
    stack = compose("compose.yaml")
    for service in ("worker", "beat"):
        stack.wait_healthy(service)
    value = stack.result(stack.run("c-1", "import pandas as pd\nprint(pd.DataFrame({'a': [1, 2]}).sum().a)\n"
                                          "open('/sandbox/output/a.txt', 'w').write('kept')"))
    assert (value["status"], value["stdout"]) == ("ok", "3\n")
    assert stack.sql("SELECT name FROM celeriac.conversation_outputs") == ["a.txt"]
    work_on_three(stack)
    stack("stop", "-t", "40", "worker")
    again = stack.run("c-1", "print(open('/sandbox/output/a.txt').read())")
    stack("up", "-d", "--no-build", "--scale", "worker=1")
    assert stack.result(again)["stdout"] == "kept\n", "a conversation did not outlive its worker"


# Run inside the worker's container, as its user: what it is, and that there is no way to Docker but to the role.
LOOK = r"""
set -u
id -u
grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/1/status
find / -xdev -name 'docker*.sock' 2>/dev/null; find /run /tmp -type s
for path in / /usr /etc /run/celeriac /data; do (: >"$path/probe") 2>/dev/null && echo "wrote $path"; done
rm -f /run/celeriac/engine.sock 2>/dev/null && echo removed
getent hosts proxy engine
env | grep -c DOCKER
"""


def look_around(worker):
    said = docker("exec", worker, "sh", "-c", LOOK, check=False).split("\n")
    assert said == ["10002", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
                    "/run/celeriac/engine.sock", "0"], said


def audit(log):
    """Audit lines of a program whose format is JSON, behind the names that Compose writes before them."""
    return [json.loads(line[line.index("{"):])["audit"] for line in log.splitlines() if '"[audit]"' in line]


def test_the_stack_in_earnest(compose, tmp_path):
    made = subprocess.run([ROOT / "deploy/secrets", tmp_path / "secrets"], capture_output=True, text=True, check=True)
    secrets = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert not any(value in made.stdout for value in secrets.values())
    # a proxy that cuts what is idle for two seconds; this engine has no gVisor
    stack = compose("compose.prod.yaml", SECRETS_DIR=str(tmp_path / "secrets"), SANDBOX_RUNTIME="", SOCKET_PROXY_IDLE="2s")
    for service in ("worker", "beat"):
        stack.wait_healthy(service)
    value = stack.result(stack.run("c-1", "import time\ntime.sleep(6)\nprint('silent for long')"))
    assert (value["status"], value["stdout"], value["restarted"]) == ("ok", "silent for long\n", False)
    assert stack.result(stack.run("c-1", "print('again')"))["sandbox"] == value["sandbox"]

    inside = {name: stack.inspect(name)[0] for name in ("web", "worker", "beat", "engine", "proxy", "db", "redis")}
    for name, container in inside.items():
        host, mounts = container["HostConfig"], [mount["Source"] for mount in container["Mounts"]]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"], name
        assert "no-new-privileges:true" in host["SecurityOpt"] and host["Memory"] > 0, name
        assert (name == "proxy") == any("docker.sock" in mount for mount in mounts), name
        assert name == "proxy" or container["Config"]["User"].split(":")[0] not in ("", "0", "root"), name
        assert not any(value in variable for variable in container["Config"]["Env"] for value in secrets.values()), name
        status = docker("exec", container["Id"], "cat", "/proc/1/status")
        assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status, name
    networks = {name: {network.split("_")[-1] for network in container["NetworkSettings"]["Networks"]} for name, container in inside.items()}
    assert networks == {"web": {"data", "front"}, "worker": {"data", "outside"}, "beat": {"data"}, "engine": {"engine"},
                        "proxy": {"engine"}, "db": {"data"}, "redis": {"data"}}
    look_around(inside["worker"]["Id"])

    work_on_three(stack)
    peers = {(line["peer_uid"], line["decision"]) for line in audit(stack("logs", "--no-color", "engine")) if line["tool"] == "create"}
    assert peers == {(10002, "allow")}, peers
    assert json.loads(docker("inspect", value["sandbox"]))[0]["HostConfig"]["NetworkMode"] == "none"
