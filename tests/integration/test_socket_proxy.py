"""Behind a socket proxy that lets through by method and regular expression: deploy/socket-proxy.allow is enough, and no row is idle."""

import contextlib
import os
import re
import subprocess
import uuid

import pytest

from sandboxes import docker
from services import ROOT, free_port, wait_until
from test_engine_role import IMAGE, Peer, create, make_image, make_role

__all__ = ["make_image", "make_role"]
pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.timeout(1200)]
ALLOW = [line.split(" ", 1) for line in (ROOT / "deploy/socket-proxy.allow").read_text().splitlines() if line and line[0] != "#"]
CONFIG = """global
    log stdout format raw daemon
defaults
    mode http
    log global
    log-format "asked %ST %HM %HP"
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    timeout tunnel 10m
frontend socket
    bind 127.0.0.1:{port}
{rows}
    http-request deny
    default_backend engine
backend engine
    server engine /var/run/docker.sock
"""
ASKED = re.compile(r"asked (\d+) (\S+) (\S+)")


class Proxy:
    def __init__(self, image, directory):
        self.port = free_port()
        rows = "\n".join(f"    http-request allow if {{ method {method} }} {{ path,url_dec -m reg ^{path}$ }}" for method, path in ALLOW)
        config = directory / "haproxy.cfg"
        config.write_text(CONFIG.format(port=self.port, rows=rows.replace("\\", "\\\\")))
        directory.chmod(0o755)
        self.name = docker("run", "-d", "--network=host", "-v", f"{config}:/etc/haproxy.cfg:ro", "-v", "/var/run/docker.sock:/var/run/docker.sock", image)
        self.address = f"tcp://127.0.0.1:{self.port}"

    def asked(self):
        """(status, method, path) of every request so far."""
        log = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        return [found.groups() for found in ASKED.finditer(log.stdout + log.stderr)]


@pytest.fixture
def proxy(directory):
    name = f"celeriac-test-regex:{uuid.uuid4().hex[:8]}"
    base, way = (subprocess.run([ROOT / "deploy/images/base", *words], capture_output=True, text=True, check=True).stdout.strip()
                 for words in ((), ("--proxy",)))
    subprocess.run(["docker", "build", "-q", "--network=host", f"--build-arg=BASE={base}", *([f"--build-arg=http_proxy={way}"] if way else []),
                    "-t", name, ROOT / "tests/data/compose/proxy"], capture_output=True, check=True, timeout=600)
    made = Proxy(name, directory)
    yield made
    docker("rm", "-f", made.name)
    docker("rmi", "-f", name, check=False)


def test_what_is_let_through_is_enough(proxy, make_full_worker, make_role, make_image, calls, instance):
    worker = make_full_worker(DOCKER_HOST=proxy.address, SANDBOX_POOL="1")
    value = calls.run("open('/sandbox/output/a', 'w').write('a')\nprint(1)", "c-1")
    assert (value["status"], value["stdout"], len(value["files"])) == ("ok", "1\n", 1)
    wait_until(lambda: re.search(r'^celeriac_sandboxes{.*state="ready"} 1$', worker.http("/metrics")[1], re.M), 60)
    assert calls.run("print(2)", "c-2")["stdout"] == "2\n", "by one that was ready"
    make_image(2001, ["LABEL celeriac.recipe=x"], **{"celeriac.recipe": instance})
    assert worker.term() == 0

    network = f"celeriac-test-{instance}"
    role = make_role(DOCKER_HOST=proxy.address, CELERIAC_ENGINE_IMAGES="*", CELERIAC_ENGINE_NETWORKS=network)
    agent = (ROOT / "build/celeriac-agent").read_bytes() + os.urandom(16)
    with contextlib.closing(Peer(role)) as peer:
        peer.send({"op": "deliver", "image": IMAGE, "size": len(agent)})
        peer.socket.sendall(agent)
        volume = peer.receive()["text"]
        own = create(peer)["text"]
        for op, members in {"start": {"id": own}, "group": {"id": own}, "kill": {"id": own}, "inspect": {"id": own}, "list": {}, "probe": {},
                            "reap": {"id": own, "why": "test"}, "usage": {}, "network": {"name": network},
                            "image_env": {"image": IMAGE}, "package_volume": {"name": f"celeriac-package-{'0' * 32}"},
                            "package_remove": {"name": f"celeriac-package-{'0' * 32}"}}.items():
            assert "error" not in (said := peer.ask(op, **members)), (op, said)
        assert peer.ask("pull", image="127.0.0.1:1/none:latest")["error"] != "denied", "there is no such registry"
        assert "error" not in peer.ask("sweep_images", before=1009843200 * 1000000)
        later = 4102444800 * 1000000
        assert peer.ask("sweep_volumes", keep=[], before=later)["number"] >= 1 and peer.ask("sweep_networks", keep=[], before=later)["number"] == 1
    assert volume not in docker("volume", "ls", "-q").split()

    asked = proxy.asked()
    assert [one for one in asked if one[0] == "403"] == []
    idle = [row for row in ALLOW if not any(method == row[0] and re.fullmatch(row[1], path.replace("%3A", ":")) for _, method, path in asked)]
    assert idle == [], "nobody needs them"
    for method, path in (("POST", f"/v1.41/containers/{own}/exec"), ("GET", f"/v1.41/containers/{own}/logs"), ("POST", "/v1.41/build"),
                         ("DELETE", "/v1.41/volumes/postgres-data"), ("POST", f"/v1.41/containers/{own}/update")):
        done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, f"http://127.0.0.1:{proxy.port}{path}"],
                              capture_output=True, text=True)
        assert done.stdout == "403", (method, path)
