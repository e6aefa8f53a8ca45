"""Images of MCP servers that the engine does not have: fetched, once, from a registry."""

import json
import subprocess
import uuid

import pytest

from docker_registry import Registry
from mcp_servers import ask, instances, servers
from sandboxes import docker
from services import ROOT, wait_until

pytestmark = pytest.mark.docker
__all__ = ["ask", "servers"]


@pytest.fixture
def registry(directory, ended):
    registry = Registry(directory)
    ended.append(registry)
    return registry.start()


@pytest.fixture
def pushed(registry, directory):
    """The name of an image with a server in it, which only the registry has."""
    name = f"127.0.0.1:{registry.port}/celeriac-test/tiny:{uuid.uuid4().hex[:8]}"
    subprocess.run(["gcc", "-static", "-s", "-O1", "-o", directory / "server", ROOT / "tests/integration/mcp/tiny.c"], check=True)
    archive = subprocess.run(["tar", "-C", directory, "-c", "server"], check=True, capture_output=True).stdout
    subprocess.run(["docker", "import", "-", name], input=archive, check=True, capture_output=True)
    docker("push", "-q", name)
    docker("rmi", name)
    yield name
    subprocess.run(["docker", "rmi", name], capture_output=True, timeout=60)


def audit(worker):
    return [json.loads(line.split("[audit] ", 1)[1]) for line in worker.log_lines(r"\[audit\].*\"action\":\"pull\"")]


def test_an_image_is_fetched_once(make_full_worker, app, ask, servers, broker, pushed, registry, postgres):
    worker = make_full_worker(MCP_NETWORK="none")
    server = servers(name="tiny", image=pushed, command="/server")
    results = [app.send_task("mcp.call_tool", kwargs={"server_id": server, "tool": "t", "timeout": 60}) for _ in range(4)]
    assert [(got := result.get(timeout=90))["result"] or got["error"] for result in results] == ["tiny"] * 4
    (event,) = audit(worker)
    assert (event["decision"], event["target"], event["detail"]["image"]) == ("allow", pushed, pushed)
    blobs = [line for line in registry.log().splitlines() if '"GET ' in line and "/blobs/" in line]
    assert len(blobs) == len(set(blobs)) == 2, "its configuration and its one layer, once each"
    assert worker.log_lines("was fetched in") and instances(broker) == []
    missing = servers(name="missing", image=f"127.0.0.1:{registry.port}/celeriac-test/none:1", command="/server")
    failed = ask("mcp.call_tool", server_id=missing, tool="t")
    assert failed["status"] == "error" and "none:1" in failed["error"] and "not found" in failed["error"], failed
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, position) VALUES ('image', '127.0.0.1:*/denied*', 'deny', -1)")
    denied = servers(name="denied", image=f"127.0.0.1:{registry.port}/denied:1", command="/server")
    wait_until(lambda: ask("mcp.call_tool", server_id=denied, tool="t")["status"] == "denied", 30)
