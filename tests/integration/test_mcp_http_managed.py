"""MCP servers in containers that are reached by HTTP: through the container's own stream, so without any network."""

import functools

import pytest

from mcp_servers import ask, instances, managed, served, servers
from services import patience, wait_until

pytestmark = pytest.mark.docker
__all__ = ["ask", "servers"]

@pytest.fixture
def worker(make_full_worker, servers):
    return make_full_worker(MCP_NETWORK="none", MCP_MAX="3")


def test_one_instance_for_all(worker, ask, app, servers, broker):
    """However many ask at once, it is started once; it outlives their sessions, and its death is got over."""
    server = served(servers, keep_running=True)
    results = [app.send_task("mcp.call_tool", kwargs={"server_id": server, "tool": "count", "conversation_id": f"c{n % 5}"}) for n in range(20)]
    seen = [result.get(timeout=120) for result in results]
    assert [one["error"] for one in seen if one["status"] != "ok"] == []
    assert sorted(one["result"]["count"] for one in seen) == list(range(1, 21))
    assert len({one["result"]["session"] for one in seen}) == 5 and {one["result"]["host"] for one in seen} == {"127.0.0.1:9000"}
    (container,) = instances(broker)
    assert ask("mcp.end_session", server_id=server, conversation_id="c0") == {"removed": 1}
    assert ask("mcp.call_tool", server_id=server, tool="count")["result"]["count"] == 21
    died = ask("mcp.call_tool", server_id=server, tool="die", conversation_id="c1")
    assert died["status"] == "error"
    again = wait_until(lambda: (got := ask("mcp.call_tool", server_id=server, tool="count", conversation_id="c1"))["status"] == "ok" and got, 30)
    assert again["result"]["count"] == 1
    assert ask("mcp.stop_server", server_id=server)["removed"] >= 1
    assert instances(broker) == []


def test_each_session_its_own(worker, ask, servers, broker):
    server = served(servers)
    for conversation in ("one", "two"):
        assert ask("mcp.call_tool", server_id=server, tool="count", conversation_id=conversation)["result"]["count"] == 1
    assert ask("mcp.call_tool", server_id=server, tool="count", conversation_id="one")["result"]["count"] == 2
    assert len(instances(broker)) == 2
    assert ask("mcp.end_session", server_id=server, conversation_id="one") == {"removed": 1}
    assert len(instances(broker)) == 1
    assert ask("mcp.call_tool", server_id=server, tool="count")["result"]["count"] == 1
    assert len(instances(broker)) == 1
    assert ask("mcp.stop_server", server_id=server) == {"removed": 1}
    assert instances(broker) == []


def test_what_it_sees_and_says(worker, ask, servers, broker):
    server = served(servers)
    seen = ask("mcp.call_tool", server_id=server, tool="where")["result"]
    assert seen["uid"] == 10001 and seen["writable"] == ["/tmp"] and seen["interfaces"] == ["lo"]
    assert seen["env"]["TOKEN"] == "s3cret-in-env" and seen["env"]["HOME"] == "/tmp" and "PATH" in seen["env"]
    assert not [name for name in seen["env"] if "DATABASE" in name or "REDIS" in name or "proxy" in name.lower()]
    big = ask("mcp.call_tool", server_id=server, tool="big", arguments={"back": "y" * 500_000}, conversation_id="big")
    assert len(big["content"][0]["text"]) == 3_500_000 and big["content"][0]["text"].endswith("y")
    hung = ask("mcp.call_tool", server_id=server, tool="hang", conversation_id="big", timeout=1)
    assert hung["status"] == "timeout"
    assert ask("mcp.call_tool", server_id=server, tool="count", conversation_id="big")["result"]["count"] == 1
    broken = served(servers, name="broken", source="print('no config', flush=True); raise SystemExit(4)")
    failed = ask("mcp.call_tool", server_id=broken, tool="x")
    assert failed["status"] == "error" and "it ended with code 4; it wrote: no config" in failed["error"], failed
    deaf = served(servers, name="deaf", source="import time; time.sleep(600)")
    assert "does not take connections on port 9000" in ask("mcp.call_tool", server_id=deaf, tool="x", timeout=patience(3))["error"]
    missing = servers(name="missing", image="127.0.0.1:1/no-such-image:1", command="x", transport="sse")
    assert "image 127.0.0.1:1/no-such-image:1: engine: " in ask("mcp.call_tool", server_id=missing, tool="x")["error"]
    ask("mcp.stop_server", server_id=server)
    assert instances(broker) == []


def test_the_cap_and_idleness(make_full_worker, ask, servers, broker):
    make_full_worker(MCP_NETWORK="none", MCP_MAX="2", SANDBOX_IDLE_TIMEOUT="3")
    kept = [served(servers, name=f"web{n}", keep_running=True) for n in range(3)]
    for server in kept:
        assert ask("mcp.call_tool", server_id=server, tool="count", conversation_id="a")["result"]["count"] == 1
        assert len(instances(broker)) <= 2
    wait_until(lambda: instances(broker) == [], 30, "one that nobody uses is still there")


def test_who_has_the_most_gives_up(make_full_worker, ask, servers, broker):
    """Room for one more: what a project with many sessions used longest ago, not a kept server or what another project has."""
    make_full_worker(MCP_NETWORK="none", MCP_MAX="4")
    kept, other = served(servers, keep_running=True), managed(servers, name="other")
    count = functools.partial(ask, "mcp.call_tool", tool="count", conversation_id="c")
    assert count(server_id=kept)["result"]["count"] == 1
    assert ask("mcp.end_session", server_id=kept, conversation_id="c") == {"removed": 1}
    assert count(server_id=other, project_id="modest")["result"] == {"count": 1}
    many = [managed(servers, name=f"many{n}") for n in range(4)]
    for server in many:
        assert count(server_id=server, project_id="greedy")["result"] == {"count": 1}
        assert len(instances(broker)) <= 4
    assert count(server_id=kept)["result"]["count"] == 2
    assert count(server_id=other, project_id="modest")["result"] == {"count": 2}
    assert [count(server_id=many[n], project_id="greedy")["result"]["count"] for n in (3, 2, 0)] == [2, 2, 1]
