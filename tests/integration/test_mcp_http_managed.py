"""MCP servers in containers that are reached by HTTP: through the container's own stream, so without any network."""

import functools

import pytest

from mcp_servers import ask, instances, managed, served, servers
from services import patience, wait_until

LINES = 256  # connections at once over one container's stream (FRAME_DIALS in common/sandbox/frame.h)
# A server of one thread, which keeps connections open. Whoever meets waits until so many are there at once.
CROWDED = r'''
import asyncio, json, uuid
LINES = %d
here = most = 0
met = asyncio.Event()
async def meet():
    global here, most
    here += 1
    most = max(most, here)
    if here == LINES:
        met.set()
    await met.wait()
    here -= 1
    return {"most": most}
async def answer(request):
    if request["method"] == "initialize":
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "c", "version": "1"}}
    if request["method"] == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("meet", "most")]}
    if request["method"] == "tools/call":
        return {"content": [], "structuredContent": await meet() if request["params"]["name"] == "meet" else {"most": most}}
async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = head.partition("content-length:")[2].split("\r")[0].strip()
            request = json.loads(await reader.readexactly(int(length))) if length and head.startswith("post") else None
            said, status = b"", "202 Accepted" if request else "405 Not Allowed"
            if request and "id" in request:
                result = await answer(request)
                outcome = {"result": result} if result else {"error": {"code": -32601, "message": "Method not found"}}
                said, status = json.dumps({"jsonrpc": "2.0", "id": request["id"], **outcome}).encode(), "200 OK"
            session = "Mcp-Session-Id: " + uuid.uuid4().hex + "\r\n" if b"serverInfo" in said else ""
            writer.write(("HTTP/1.1 %%s\r\nContent-Type: application/json\r\n%%sContent-Length: %%d\r\n\r\n" %% (status, session, len(said))).encode() + said)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", 9000, backlog=1024) as server:
        await server.serve_forever()
asyncio.run(main())
''' % LINES

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
    assert "does not take connections on port 9000" in ask("mcp.call_tool", server_id=deaf, tool="x", timeout=patience(6))["error"]
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


def test_more_than_a_stream_has_lines_for(make_full_worker, servers, app, ask):
    """So many connections are carried at once, and those that come later wait for a line, which no idle session keeps from them."""
    make_full_worker("-c", str(LINES + 16), MCP_NETWORK="none")
    server = served(servers, source=CROWDED, keep_running=True)
    assert ask("mcp.call_tool", server_id=server, tool="most")["result"] == {"most": 0}
    met = [app.send_task("mcp.call_tool", kwargs={"server_id": server, "tool": "meet", "conversation_id": f"c{n}", "timeout": 120})
           for n in range(LINES + 16)]
    seen = [one.get(timeout=180) for one in met]
    assert [one["error"] for one in seen if one["status"] != "ok"] == []
    assert ask("mcp.call_tool", server_id=server, tool="most")["result"] == {"most": LINES}
    assert ask("mcp.call_tool", server_id=server, tool="most", conversation_id="c0")["result"] == {"most": LINES}
