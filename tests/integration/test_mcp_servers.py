"""The servers of the specification's authors, over every transport that each has: in containers, and behind a URL.

What they do with the client alone is in test_mcp_client.py; packages that are installed by the worker in test_mcp_packages.py and
test_mcp_pypi.py.
"""

import collections
import concurrent.futures
import functools
import json
import uuid

import pytest
import requests

from mcp_servers import add_server, instances
from sandboxes import inspect
from services import free_port, launch, wait_until

pytestmark = pytest.mark.docker
NODE = "node /opt/node_modules/@modelcontextprotocol/"
PLACES = {"sse": "/sse", "streamable_http": "/mcp"}


# ---- what each is asked ----
def everything(call, tools, app, server):
    assert {"echo", "get-sum", "get-tiny-image", "get-structured-content"} <= tools
    assert call("echo", message="hi")["result"] == "Echo: hi"
    assert set(call("get-structured-content", location="Chicago")["result"]) == {"temperature", "conditions", "humidity"}
    assert [part["type"] for part in call("get-tiny-image")["content"]].count("image") == 1
    assert call("echo")["error"] == "arguments.message is required"
    result = app.send_task("mcp.call_tool", kwargs={"server_id": server, "tool": "trigger-long-running-operation",
                                                    "arguments": {"duration": 1, "steps": 4}, "conversation_id": "c", "timeout": 120})
    told = []
    assert result.get(timeout=120, on_message=lambda meta: told.append((meta["status"], meta["result"])))["status"] == "ok"
    progress = [value for state, value in told if state == "PROGRESS"]
    assert progress and {value["total"] for value in progress} == {4} and progress[0]["progress"] >= 1, told


def filesystem(call, tools, *_):
    assert {"read_text_file", "write_file", "list_directory"} <= tools
    assert call("write_file", path="/tmp/a.txt", content="kept")["status"] == "ok"
    assert call("read_text_file", path="/tmp/a.txt")["content"][0]["text"] == "kept"
    outside = call("read_text_file", path="/etc/passwd")
    assert (outside["status"], outside["is_error"]) == ("error", True) and "outside" in outside["error"]


def memory(call, tools, *_):
    assert {"create_entities", "read_graph"} <= tools
    assert call("create_entities", entities=[{"name": "n", "entityType": "t", "observations": ["o"]}])["status"] == "ok"
    assert "n" in json.dumps(call("read_graph")["result"])


def time(call, tools, *_):
    assert tools == {"get_current_time", "convert_time"}
    assert "21:00" in call("convert_time", source_timezone="UTC", time="12:00", target_timezone="Asia/Tokyo")["content"][0]["text"]


def fetch(call, tools, *_):
    assert tools == {"fetch"}
    assert call("fetch", url="http://192.0.2.1/")["is_error"]


# ---- the table ----
Row = collections.namedtuple("Row", "server runtime transport command")
ROWS = [
    Row(everything, "docker", "stdio", NODE + "server-everything/dist/index.js stdio"),
    Row(everything, "docker", "sse", NODE + "server-everything/dist/index.js sse"),
    Row(everything, "docker", "streamable_http", NODE + "server-everything/dist/index.js streamableHttp"),
    Row(everything, "external", "sse", "sse"),
    Row(everything, "external", "streamable_http", "streamableHttp"),
    Row(filesystem, "docker", "stdio", NODE + "server-filesystem/dist/index.js /tmp"),
    Row(memory, "docker", "stdio", NODE + "server-memory/dist/index.js"),
    Row(time, "docker", "stdio", "python3 -m mcp_server_time --local-timezone=UTC"),
    Row(fetch, "docker", "stdio", "python3 -m mcp_server_fetch"),
]
LONG = {("everything", "docker", "sse")}  # by the other HTTP transport the same way
PORTS = {transport: free_port() for transport in PLACES}


@pytest.fixture(scope="module")
def house(make_house, postgres):
    holes = ",".join(f"mcp:localhost:{port}" for port in PORTS.values())
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action) VALUES ('image', 'celeriac-*', 'allow')")
    yield make_house(MCP_NETWORK="none", MCP_MAX="3", EGRESS_ALLOW=holes)
    postgres.sql("DELETE FROM celeriac.mcp_servers")
    postgres.sql("DELETE FROM celeriac.policy_rules")


@pytest.fixture
def listening(npm_modules, tmp_path):
    """The server of npm's that has HTTP, as a program of this machine."""
    started = []

    def start(how, port):
        program = [str(npm_modules / "node/bin/node"), str(npm_modules / "@modelcontextprotocol/server-everything/dist/index.js"), how]
        started.append(launch(program, tmp_path / "server.log", env={"PATH": "/usr/bin:/bin", "PORT": str(port)}))
        wait_until(lambda: requests.get(f"http://127.0.0.1:{port}/", timeout=5, stream=True) is not None, 60)

    yield start
    for process in started:
        process.kill()
        process.wait()


def settings_of(row, image):
    if row.runtime == "external":
        return {"url": f"http://localhost:{PORTS[row.transport]}{PLACES[row.transport]}", "headers": "X-Own: yes"}
    place = {"endpoint_path": PLACES[row.transport], "port": 3001, "keep_running": True} if row.transport in PLACES else {}
    environment = "PORT=3001\nPYTHONPATH=/opt/python\nMEMORY_FILE_PATH=/tmp/memory.jsonl"
    return {"image": image, "command": row.command, "environment": environment, **place}


@pytest.mark.parametrize("row", [
    pytest.param(row, id="-".join(name), marks=[pytest.mark.long] if name in LONG else [])
    for row in ROWS for name in [(row.server.__name__, row.runtime, row.transport)]])
def test_server(house, postgres, npm_image, listening, row):
    if row.runtime == "external":
        listening(row.command, PORTS[row.transport])
    name = f"{row.server.__name__}-{uuid.uuid4().hex[:8]}"
    server = add_server(postgres, name=name, runtime=row.runtime, transport=row.transport, **settings_of(row, npm_image))
    ask = lambda task, **kwargs: house.app.send_task(task, kwargs=kwargs).get(timeout=240)  # noqa: E731

    def call(tool, **arguments):
        return ask("mcp.call_tool", server_id=server, tool=tool, arguments=arguments, conversation_id="c", timeout=120)

    listed = ask("mcp.test_connection", server_id=server)
    assert listed["server"]["protocol_version"] in ("2025-11-25", "2026-07-28"), listed
    row.server(call, {tool["name"] for tool in listed["tools"]}, house.app, server)
    running = instances(house.broker)
    assert len(running) == (row.runtime == "docker"), "one for the conversation, or for all"
    assert all(inspect(one)["HostConfig"]["NetworkMode"] == "none" for one in running)
    ask("mcp.stop_server", server_id=server)
    assert instances(house.broker) == []


def test_many_conversations_with_one_that_is_kept(house, postgres, npm_image):
    """By HTTP, one instance for all of them."""
    row = ROWS[2]
    server = add_server(postgres, name="kept", runtime=row.runtime, transport=row.transport, **settings_of(row, npm_image))
    ask = functools.partial(house.app.send_task, "mcp.call_tool")

    def call(n):
        return ask(kwargs={"server_id": server, "tool": "echo", "arguments": {"message": str(n)}, "conversation_id": f"c{n % 20}",
                           "timeout": 200}).get(timeout=240)["result"]

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert list(pool.map(call, range(60))) == [f"Echo: {n}" for n in range(60)]
    assert len(instances(house.broker)) == 1
    stopped = house.app.send_task("mcp.stop_server", kwargs={"server_id": server}).get(timeout=120)
    assert stopped["removed"] >= 20 and instances(house.broker) == []
