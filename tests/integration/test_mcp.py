"""MCP servers behind tasks: external ones over both HTTP transports, managed ones in containers; sessions, catalogue, policy, ends."""

import functools
import json
import sys
import time
import uuid

import pytest
import requests

from mcp_servers import add_server, ask, COUNTER, instances, managed, served, servers
from sandboxes import docker
from services import free_port, launch, ROOT, wait_until

pytestmark = pytest.mark.docker
__all__ = ["ask", "servers"]

@pytest.fixture
def worker(make_full_worker, servers):
    return make_full_worker(MCP_NETWORK="none", MCP_MAX="3")


KEYS = {"status", "result", "content", "is_error", "error", "duration_ms"}


def test_a_conversation_keeps_its_session(worker, ask, servers, broker, postgres):
    server = managed(servers)
    listed = ask("mcp.test_connection", server_id=server)
    assert [tool["name"] for tool in listed["tools"]] == ["count", "where", "die", "hang"]
    assert listed["server"] == {"id": server, "name": "counter", "protocol_version": "2025-06-18", "server_name": "counter", "server_version": "1"}
    assert instances(broker) == [], "a test leaves no container"
    assert postgres.sql("SELECT name, description FROM celeriac.mcp_tools ORDER BY position")[0] == ("count", "counts")
    one, two = uuid.uuid4().hex, uuid.uuid4().hex
    done = ask("mcp.call_tool", server_id=server, tool="count", arguments={"by": 5}, conversation_id=one)
    assert set(done) == KEYS and (done["status"], done["result"], done["is_error"], done["error"]) == ("ok", {"count": 5}, False, None)
    assert done["content"] == [{"type": "text", "text": "5"}]
    assert ask("mcp.call_tool", server_id="counter", tool="count", conversation_id=one)["result"] == {"count": 6}
    assert ask("mcp.call_tool", server_id=server, tool="count", conversation_id=two)["result"] == {"count": 1}
    assert len(instances(broker)) == 2
    assert ask("mcp.call_tool", server_id=server, tool="count")["result"] == {"count": 1}
    assert len(instances(broker)) == 2, "a call without a conversation leaves nothing"
    stranger = ask("mcp.call_tool", server_id=server, tool="count", conversation_id=one, project_id="another")
    assert stranger["result"] == {"count": 1}, "a project has come into a conversation of none"
    assert ask("mcp.end_session", server_id=server, conversation_id=one, project_id="a third") == {"removed": 0}
    assert ask("mcp.end_session", server_id=server, conversation_id=one, project_id="another") == {"removed": 1}
    assert ask("mcp.call_tool", server_id=server, tool="count", conversation_id=one)["result"] == {"count": 7}, "it is not that project's"
    assert ask("mcp.end_session", server_id=server, conversation_id=one) == {"removed": 1}
    assert ask("mcp.end_session", server_id=server, conversation_id=one) == {"removed": 0}
    assert ask("mcp.call_tool", server_id=server, tool="count", conversation_id=one)["result"] == {"count": 1}
    assert ask("mcp.stop_server", server_id=server) == {"removed": 2}
    assert instances(broker) == []


@pytest.mark.long
def test_a_sign_of_life(make_full_worker, ask, servers, broker):
    """A quiet stream is what proxies before an engine cut: something is said on it from time to time, and an idle session ends all the same."""
    make_full_worker(MCP_NETWORK="none", SANDBOX_IDLE_TIMEOUT="24")
    server = managed(servers)
    call = functools.partial(ask, "mcp.call_tool", server_id=server, conversation_id="c")
    assert call(tool="count")["result"] == {"count": 1}
    (first,) = instances(broker)
    wait_until(lambda: docker("exec", first, "python3", "-c", "print(open('/tmp/pinged').read())", check=False).strip(), 30, "nothing was said")
    wait_until(lambda: instances(broker) == [], 90, "signs of life keep it")
    assert call(tool="count")["result"] == {"count": 1}


def test_by_its_name(worker, ask, servers, broker):
    server = managed(servers, name="my_server")
    managed(servers, name="my")
    done = ask("tools.call", name="mcp_my_server_count", params={"by": 2}, conversation_id="named")
    assert (done["status"], done["result"]) == ("ok", {"count": 2})
    assert ask("mcp.call_tool", server_id=server, tool="count", conversation_id="named")["result"] == {"count": 3}
    with pytest.raises(ValueError, match="there is no MCP tool 'mcp_nobody_count'"):
        ask("tools.call", name="mcp_nobody_count", params={})
    assert ask("mcp.stop_server", server_id=server) == {"removed": 1}


# Its tools change when one of them is called, and it says so.
GROWING = r'''
import json, sys
names = ["grow"]
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    answer = {"error": {"code": -32601, "message": "no"}}
    if request["method"] == "initialize":
        answer = {"result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": True}}, "serverInfo": {"name": "g", "version": "1"}}}
    elif request["method"] == "tools/list":
        answer = {"result": {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]}}
    elif request["method"] == "tools/call":
        names.append(f"grown{len(names)}")
        print(json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}), flush=True)
        answer = {"result": {"content": []}}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}), flush=True)
'''


def test_the_catalogue_follows_the_server(worker, ask, servers, postgres):
    server = managed(servers, name="growing", source=GROWING)
    tools = lambda: [name for (name,) in postgres.sql("SELECT name FROM celeriac.mcp_tools WHERE server_id = %s ORDER BY position", server)]
    for count in (1, 2):
        assert ask("mcp.call_tool", server_id=server, tool="grow", conversation_id="c")["status"] == "ok"
        assert tools() == ["grow", "grown1", "grown2"][: count + 1]
    assert ask("tools.call", name="mcp_growing_grown1", params={}, conversation_id="c")["status"] == "ok"
    # another configuration is another server: its tools are listed anew
    assert len(tools()) == 4
    postgres.sql("UPDATE celeriac.mcp_servers SET environment = environment || E'MORE=1\n' WHERE id = %s", server)
    assert ask("mcp.call_tool", server_id=server, tool="grow", conversation_id="d")["status"] == "ok"
    assert tools() == ["grow", "grown1"]
    # what does not fit the catalogue that the worker knows is looked at in a fresher one: one that the server did not speak of …
    silent = managed(servers, name="silent", source=GROWING.replace('"method": "notifications/tools/list_changed"', '"method": "notifications/message"'))
    assert ask("mcp.call_tool", server_id=silent, tool="grow", conversation_id="e")["status"] == "ok"
    assert "has no tool 'grown3'" in ask("mcp.call_tool", server_id=silent, tool="grown3", conversation_id="e")["error"]
    assert ask("mcp.call_tool", server_id=silent, tool="grown1", conversation_id="e")["status"] == "ok"
    # … or that somebody else has stored
    counter = managed(servers)
    count = functools.partial(ask, "mcp.call_tool", server_id=counter, tool="count", conversation_id="f", arguments={"by": 1.5})
    assert count()["error"] == "arguments.by must be integer"
    postgres.sql("UPDATE celeriac.mcp_tools SET input_schema = '{\"type\": \"object\"}' WHERE server_id = %s AND name = 'count'", counter)
    assert count()["result"] == {"count": 1.5}


def test_the_catalogue_follows_a_stateless_server(make_full_worker, ask, servers, postgres, tmp_path):
    """One of the official library, which says so on a stream that is asked for; also in sessions that begin with what is known of it."""
    port = free_port()
    process = launch([sys.executable, str(ROOT / "tests/integration/mcp/growing.py"), "http", str(port)], tmp_path / "growing.log")
    try:
        wait_until(lambda: requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 404, 60)
        make_full_worker(EGRESS_ALLOW=f"mcp:localhost:{port}")
        server = servers(name="growing", runtime="external", transport="streamable_http", url=f"http://localhost:{port}/mcp")
        listed = ask("mcp.test_connection", server_id=server)
        assert listed["server"]["protocol_version"] == "2026-07-28" and [tool["name"] for tool in listed["tools"]] == ["grow"]

        def grown():
            assert ask("mcp.call_tool", server_id=server, tool="grow", conversation_id="c")["status"] == "ok"
            return postgres.sql("SELECT 1 FROM celeriac.mcp_tools WHERE server_id = %s AND name = 'grown1'", server)

        wait_until(grown, 60, "the notice was not heard")
    finally:
        process.kill()
        process.wait()


@pytest.mark.long
def test_many_calls_of_many_conversations(make_full_worker, app, ask, servers, broker):
    """As many instances as sessions, counted from what the engine says, and none left."""
    make_full_worker(MCP_NETWORK="none", MCP_MAX="20", CELERY_WORKER_CONCURRENCY="20")
    server = managed(servers)
    since = int(docker("run", "--rm", "--network=none", "--entrypoint", "date", "celeriac-sandbox:latest", "+%s"))
    results = [app.send_task("mcp.call_tool", kwargs={"server_id": server, "tool": "count", "conversation_id": f"c{n % 20}", "timeout": 240})
               for n in range(200)]
    values = [result.get(timeout=300) for result in results]
    assert [value["error"] for value in values if value["status"] != "ok"] == []
    assert sorted(value["result"]["count"] for value in values) == sorted(list(range(1, 11)) * 20)
    assert ask("mcp.stop_server", server_id=server) == {"removed": 20}
    told = docker("events", f"--since={since}", f"--until={int(time.time()) + 1}", "--filter=type=container",
                  f"--filter=label=celeriac.instance={broker.instance}", "--filter=label=celeriac.role=mcp", "--format={{.Action}}").split()
    assert (told.count("create"), told.count("start"), told.count("destroy")) == (20, 20, 20), told
    assert instances(broker) == []


def test_what_a_server_sees(worker, ask, servers, postgres):
    server = managed(servers)
    seen = json.loads(ask("mcp.call_tool", server_id=server, tool="where")["result"])
    assert seen["uid"] == 10001 and seen["writable"] == ["/tmp"] and seen["interfaces"] == ["lo"]
    assert seen["env"]["TOKEN"] == "s3cret-in-env" and seen["env"]["HOME"] == "/tmp"
    assert not [name for name in seen["env"] if "DATABASE" in name or "REDIS" in name]
    assert postgres.sql("SELECT count(*) FROM celeriac.tool_results WHERE params::text LIKE '%%s3cret-in-env%%'") == [(0,)]


def test_what_goes_wrong(worker, ask, servers, broker):
    server = managed(servers)
    conversation = uuid.uuid4().hex
    assert "has no tool 'nope'" in ask("mcp.call_tool", server_id=server, tool="nope")["error"]
    assert ask("mcp.call_tool", server_id=server, tool="count", arguments={"by": "x"})["error"] == "arguments.by must be integer"
    died = ask("mcp.call_tool", server_id=server, tool="die", conversation_id=conversation)
    assert died["status"] == "error" and "the server ended" in died["error"]
    assert ask("mcp.call_tool", server_id=server, tool="count", conversation_id=conversation)["result"] == {"count": 1}
    hung = ask("mcp.call_tool", server_id=server, tool="hang", conversation_id=conversation, timeout=1)
    assert hung["status"] == "timeout"
    with pytest.raises(ValueError, match="there is no MCP server 'nowhere'"):
        ask("mcp.call_tool", server_id="nowhere", tool="x")
    broken = managed(servers, name="broken", source="import sys; print('no config', file=sys.stderr); sys.exit(1)")
    failed = ask("mcp.call_tool", server_id=broken, tool="x")
    assert failed["status"] == "error" and "it wrote: no config" in failed["error"], failed
    missing = servers(name="missing", image="127.0.0.1:1/no-such-image:1", command="x")
    assert "image 127.0.0.1:1/no-such-image:1: engine: " in ask("mcp.call_tool", server_id=missing, tool="x")["error"]
    ask("mcp.stop_server", server_id=server)
    assert instances(broker) == []


def test_no_more_than_the_cap(worker, ask, servers, broker, app):
    server = managed(servers)
    results = [app.send_task("mcp.call_tool", kwargs={"server_id": server, "tool": "count", "conversation_id": f"c{n % 6}"}) for n in range(24)]
    values = [result.get(timeout=120) for result in results]
    assert {value["status"] for value in values} == {"ok"}, values
    assert len(instances(broker)) <= 3
    assert ask("mcp.stop_server", server_id=server)["removed"] <= 3


def test_a_database_that_goes_while_the_server_starts(make_full_worker, app, make_postgres, broker):
    own = make_postgres()
    worker = make_full_worker(DATABASE_URL=own.url("worker"), MCP_NETWORK="none")
    server = managed(functools.partial(add_server, own), source="import os, time\nwhile not os.path.exists('/tmp/go'): time.sleep(0.05)\n" + COUNTER)
    result = app.send_task("mcp.call_tool", kwargs={"server_id": server, "tool": "count", "arguments": {"by": 3}, "timeout": 120})
    (container,) = wait_until(lambda: instances(broker, "--filter=status=running"), 60, "no container")
    own.kill()
    wait_until(lambda: worker.readiness().get("database") == "away", 60, "the outage went unnoticed")
    docker("exec", container, "touch", "/tmp/go")
    own.start()
    done = result.get(timeout=90)
    assert (done["status"], done["result"], done["error"]) == ("ok", {"count": 3}, None)


def test_policy_and_projects(worker, ask, servers, postgres):
    server = managed(servers, project_id="a")
    with pytest.raises(ValueError, match="there is no MCP server"):
        ask("mcp.call_tool", server_id=server, tool="count", project_id="b")
    assert ask("mcp.call_tool", server_id=server, tool="count", project_id="a")["status"] == "ok"
    for kind, pattern, words in (("tool", "mcp_counter_count", "tool mcp_counter_count"), ("mcp_server", "counter", "mcp_server counter"),
                                 ("command", "python3 **", "command python3"), ("image", "celeriac-sandbox:*", "")):
        number = postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, position, note) VALUES (%s, %s, 'deny', 1, 'not now') RETURNING id",
                              kind, pattern)[0][0]
        denied = wait_until(lambda: (got := ask("mcp.call_tool", server_id=server, tool="count", project_id="a"))["status"] == "denied" and got, 30)
        assert words in denied["error"] and "not now" in denied["error"], denied
        postgres.sql("DELETE FROM celeriac.policy_rules WHERE id = %s", number)
        wait_until(lambda: ask("mcp.call_tool", server_id=server, tool="count", project_id="a")["status"] == "ok", 30)


def test_what_may_not_be_called_any_more_can_be_ended(worker, ask, servers, postgres, broker):
    """A rule, a project, a key that is gone: what runs is ended all the same."""
    server = managed(servers, project_id="a")
    for conversation in ("one", "two"):
        assert ask("mcp.call_tool", server_id=server, tool="count", project_id="a", conversation_id=conversation)["status"] == "ok"
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, position) VALUES ('mcp_server', 'counter', 'deny', 1)")
    wait_until(lambda: ask("mcp.call_tool", server_id=server, tool="count", project_id="a")["status"] == "denied", 30)
    assert ask("mcp.end_session", server_id="counter", conversation_id="one") == {"removed": 1}
    postgres.sql("UPDATE celeriac.mcp_servers SET environment = 'v1:nokey:AAAA', enabled = false WHERE id = %s", server)
    assert ask("mcp.stop_server", server_id=server) == {"removed": 1}
    assert instances(broker) == []
    with pytest.raises(ValueError, match="there is no MCP server 'nobody'"):
        ask("mcp.stop_server", server_id="nobody")


def test_a_killed_workers_instances_go(make_full_worker, ask, servers, broker):
    first = make_full_worker(MCP_NETWORK="none", SANDBOX_ADOPT_GRACE="1")
    server = managed(servers)
    assert ask("mcp.call_tool", server_id=server, tool="count", conversation_id="kept")["status"] == "ok"
    assert ask("mcp.call_tool", server_id=served(servers, keep_running=True), tool="count")["status"] == "ok"
    assert len(instances(broker)) == 2
    first.kill()
    for left in instances(broker):
        wait_until(lambda: docker("inspect", "--format={{.State.Running}}", left).strip() == "false", 30, "it goes on without anybody")
    make_full_worker(MCP_NETWORK="none", SANDBOX_ADOPT_GRACE="1")
    wait_until(lambda: ask("sandbox.cleanup") and instances(broker) == [], 90, "their containers are still there")


def test_external_addresses_are_judged(make_full_worker, ask, servers):
    make_full_worker()
    for url in ("http://127.0.0.1:6379/", "http://169.254.169.254/mcp", "http://localhost:1/"):
        server = servers(name=url, runtime="external", transport="streamable_http", url=url)
        assert ask("mcp.call_tool", server_id=server, tool="x")["status"] == "denied", url
