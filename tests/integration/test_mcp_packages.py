"""Commands of MCP servers that are packages: installed apart, once, into a volume that the server cannot write."""

import subprocess

import pytest

from mcp_servers import ask, instances, servers
from package_index import Index, NAME
from sandboxes import docker
from services import wait_until

pytestmark = pytest.mark.docker
__all__ = ["ask", "servers"]
IMAGE = "celeriac-sandbox:full"


@pytest.fixture
def index():
    index = Index()
    yield index
    index.close()


def volumes(broker):
    return docker("volume", "ls", "-q", "--filter=label=celeriac.role=package", f"--filter=label=celeriac.instance={broker.instance}").split()


@pytest.fixture
def worker(make_full_worker, servers, broker, index):
    yield make_full_worker(MCP_NETWORK="none", EGRESS_ALLOW=f"mcp:{NAME}:{index.port}")
    left = volumes(broker)
    if left:
        docker("rm", "-f", *instances(broker)) if instances(broker) else None
        subprocess.run(["docker", "volume", "rm", *left], check=True, capture_output=True, timeout=60)


def test_a_name_of_npms(worker, app, ask, servers, broker, index, postgres):
    environment = f"npm_config_registry={index.url}/\nTOKEN=s3cret\n"
    server = servers(name="hello", image=IMAGE, command=f"{index.npm_name} --flag 'two words'", environment=environment)
    results = [app.send_task("mcp.call_tool", kwargs={"server_id": server, "tool": "where", "conversation_id": f"c{n}", "timeout": 120})
               for n in range(3)]
    seen = [(got := result.get(timeout=150))["result"] or got["error"] for result in results]
    assert seen == [{"args": ["--flag", "two words"], "token": "s3cret", "writable": [], "interfaces": ["lo"], "noise": True}] * 3
    assert index.asked.count("/hello-1.2.0.tgz") == 1, index.asked
    (volume,) = volumes(broker)
    environment_seen = docker("run", "--rm", "--network=none", "-v", f"{volume}:/v:ro", "--entrypoint", "cat", IMAGE,
                              f"/v/p/node_modules/{index.npm_name}/environment")
    assert "s3cret" not in environment_seen and "npm_config_registry" in environment_seen
    assert ask("mcp.stop_server", server_id=server) == {"removed": 3}
    assert instances(broker) == []
    # the same package, said otherwise, of another server
    again = servers(name="again", image=IMAGE, command=f"npx -y {index.npm_name}", environment=f"npm_config_registry={index.url}/")
    assert ask("mcp.call_tool", server_id=again, tool="where", timeout=120)["result"]["args"] == []
    assert index.asked.count("/hello-1.2.0.tgz") == 1 and volumes(broker) == [volume]
    assert [line for line in worker.log_lines(r"\[audit\]") if '"kind":"egress"' in line and f'"target":"{NAME}:{index.port}"' in line]
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, position) VALUES ('command', 'npx **', 'deny', -1)")
    wait_until(lambda: ask("mcp.call_tool", server_id=server, tool="where", timeout=120)["status"] == "denied", 30)


@pytest.mark.long
def test_what_cannot_be_installed(worker, ask, servers, broker, index):
    missing = servers(name="missing", image=IMAGE, command=f"npx -y {index.npm_name}@9.9.9", environment=f"npm_config_registry={index.url}/")
    failed = ask("mcp.call_tool", server_id=missing, tool="where", timeout=120)
    assert failed["status"] == "error" and "its installer ended with code 1; it wrote: " in failed["error"], failed
    denied = servers(name="denied", image=IMAGE, command=index.npm_name, environment="npm_config_registry=http://192.0.2.1/\nnpm_config_fetch_retries=0")
    assert "its installer ended with code 1" in ask("mcp.call_tool", server_id=denied, tool="where", timeout=120)["error"]
    large = servers(name="large", image=IMAGE, command=f"{index.npm_name}@1.1.0", environment=f"npm_config_registry={index.url}/")
    assert "it is larger than 1024 MiB" in ask("mcp.call_tool", server_id=large, tool="where", timeout=120)["error"]
    assert volumes(broker) == [] and instances(broker) == []


def test_a_package_of_pypis(worker, ask, servers, broker, index):
    server = servers(name="hello", image=IMAGE, command="uvx celeriac-hello@2.0 x",
                     environment=f"PIP_INDEX_URL={index.url}/simple/\nPIP_TRUSTED_HOST={NAME}\n")
    seen = ask("mcp.call_tool", server_id=server, tool="where", timeout=120)
    assert seen["result"] == {"args": ["x"], "file": "/package/p/celeriac_hello.py"}, seen
    assert len(volumes(broker)) == 1


def test_what_is_no_package(make_full_worker, ask, servers):
    make_full_worker()
    for command, words in (("npx", "npx without a package"), ("npx --call x", "npx is not known with option --call"),
                           ("npx git+https://example.com/x", "is not the name of a package")):
        failed = ask("mcp.call_tool", server_id=servers(name=command, image=IMAGE, command=command), tool="x")
        assert failed["status"] == "error" and words in failed["error"]
