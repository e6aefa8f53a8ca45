"""The MCP client against real servers of both runtimes, the referee of the specification, and servers that break the rules."""

import concurrent.futures
import json
import os
import re
import subprocess
import sys

import pytest
import requests

import npm_packages
from services import ROOT, free_port, launch, patience, wait_until

CLIENT = str(ROOT / "build/mcp-client")
HOSTILE = str(ROOT / "tests/integration/mcp/hostile.py")


class Talk(list):
    """What the client said, line by line."""

    def __init__(self, ran):
        super().__init__(json.loads(line) for line in ran.stdout.splitlines())
        self.code, self.stderr = ran.returncode, ran.stderr

    def all(self, key):
        return [line[key] for line in self if key in line]

    def one(self, key):
        values = self.all(key)
        assert len(values) == 1, (key, list(self), self.stderr)
        return values[0]


def talk(*words, server=None, steps=(), seconds=60, env=None):
    """With an HTTP server (words end with its URL), or with a program and its standard streams."""
    argv = [CLIENT, *words, *([] if server else steps), *(["--", *server] if server else [])]
    environment = {**os.environ, **(env or {}), **({"MCP_STEPS": "\n".join(steps)} if server else {})}
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=patience(seconds), env=environment)
    assert ran.returncode in (0, 1), ran.stderr
    return Talk(ran)


def text_of(result):
    return "".join(part["text"] for part in result["content"] if part["type"] == "text")


@pytest.fixture(scope="module")
def npm():
    return npm_packages.installed()


@pytest.fixture(scope="module")
def node(npm):
    return str(npm / "node/bin/node")


@pytest.fixture
def listening(tmp_path):
    """Starts a server of HTTP and says its port."""
    started = []

    def listening(make_argv, **options):
        port = free_port()
        started.append(launch(make_argv(port), tmp_path / f"server-{port}.log", **options))
        # any answer will do; it listens
        wait_until(lambda: requests.get(f"http://127.0.0.1:{port}/", timeout=5, stream=True) is not None, 60)
        return port

    yield listening
    for process in started:
        process.kill()
        process.wait()


# ---- real servers ----
EVERYTHING = ["list", 'call:echo:{"message":"h\u00e9llo"}', 'call:get-sum:{"a":1,"b":2}', "call:get-tiny-image:{}",
              'call:get-structured-content:{"location":"Chicago"}', 'call:trigger-long-running-operation:{"duration":0.3,"steps":3}',
              'call:get-resource-links:{"count":2}', "call:nope:{}"]


def check_everything(said, version):
    assert said.one("opened") == version and said.one("usable") is True
    names = {tool["name"] for tool in said.one("tools")}
    assert {"echo", "get-sum", "get-tiny-image", "get-env"} <= names
    results = {line["called"]: line["result"] for line in said if "called" in line}
    assert text_of(results["echo"]) == "Echo: h\u00e9llo"
    assert "3" in text_of(results["get-sum"])
    assert any(part["type"] == "image" and part["mimeType"] == "image/png" for part in results["get-tiny-image"]["content"])
    assert set(results["get-structured-content"]["structuredContent"]) == {"temperature", "conditions", "humidity"}
    assert [part["type"] for part in results["get-resource-links"]["content"]].count("resource_link") == 2
    assert said.all("progress") == [1, 2, 3]
    assert results["nope"]["isError"] is True


def test_everything_over_stdio(npm, node):
    said = talk("-w", "30", server=[node, str(npm / "@modelcontextprotocol/server-everything/dist/index.js"), "stdio"], steps=EVERYTHING)
    check_everything(said, "2025-11-25")
    assert said.one("ended_by_signal") == 0, "the end of its input is enough"


@pytest.mark.parametrize("transport, path, options", [("streamableHttp", "/mcp", []), ("sse", "/sse", ["-s"]), ("sse", "/sse", [])],
                         ids=["streamable", "sse", "sse-found-out"])
def test_everything_over_http(npm, node, listening, transport, path, options):
    argv = [node, str(npm / "@modelcontextprotocol/server-everything/dist/index.js"), transport]
    port = listening(lambda port: ["env", f"PORT={port}", *argv])
    said = talk(*options, f"http://127.0.0.1:{port}{path}", steps=EVERYTHING)
    check_everything(said, "2025-11-25")


def test_filesystem_and_memory(npm, node, tmp_path):
    (tmp_path / "a.txt").write_text("from a file")
    said = talk(server=[node, str(npm / "@modelcontextprotocol/server-filesystem/dist/index.js"), str(tmp_path)],
                steps=["list", "call:read_text_file:" + json.dumps({"path": str(tmp_path / "a.txt")}),
                       'call:read_text_file:{"path":"/etc/passwd"}'])
    inside, outside = said.all("result")
    assert text_of(inside) == "from a file" and outside["isError"] is True
    said = talk(server=[node, str(npm / "@modelcontextprotocol/server-memory/dist/index.js")], steps=[
        "list", "call:create_entities:" + json.dumps({"entities": [{"name": "n", "entityType": "t", "observations": ["o"]}]}),
        "call:read_graph:{}"], env={"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")})
    assert json.loads(text_of(said.all("result")[-1]))["entities"][0]["name"] == "n"


@pytest.mark.parametrize("module, steps", [
    ("mcp_server_time", ["list", 'call:convert_time:{"source_timezone":"UTC","time":"12:00","target_timezone":"Asia/Tokyo"}']),
    ("mcp_server_fetch", ["list"]),
])
def test_servers_of_python(module, steps):
    said = talk(server=[sys.executable, "-m", module], steps=steps)
    assert said.one("usable") is True and said.one("tools")
    if len(steps) > 1:
        assert "21:00" in text_of(said.one("result"))


GROWING = [sys.executable, str(ROOT / "tests/integration/mcp/growing.py")]


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_changes_of_the_stateless_generation(listening, transport):
    """By subscriptions/listen, of a server of the official library."""
    steps = ["list", *["call:grow:{}"] * 5, "heard", "list"]
    if transport == "stdio":
        said = talk(server=[*GROWING, "stdio"], steps=steps)
    else:
        said = talk(f"http://127.0.0.1:{listening(lambda port: [*GROWING, 'http', str(port)])}/mcp", steps=steps)
    assert said.one("opened") == "2026-07-28" and said.all("failed") == []
    assert [len(tools) for tools in said.all("tools")] == [1, 6]
    assert said.all("tools_changed"), "nobody said so"


# ---- the referee ----
def scenarios(node, referee, revision):
    """What the referee requires of clients of a revision, but for authorisation."""
    listed = subprocess.run([node, referee, "list", "--requirements", revision], capture_output=True, text=True, check=True)
    clients = listed.stdout.split("Client scenarios")[1].split("\n\n")[0]
    names = re.findall(r"^\s+- ([\w./-]+)", clients, re.M)
    return sorted(name for name in names if not name.startswith("auth/"))


@pytest.mark.parametrize("revision, known", [
    ("2026-07-28", {"tools_call", "request-metadata", "sep-2322-client-request-state", "http-standard-headers", "http-custom-headers",
                    "http-invalid-tool-headers", "json-schema-ref-no-deref"}),
    ("2025-11-25", {"initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"}),
])
def test_conformance(npm, node, revision, known, tmp_path):
    referee = str(npm / "@modelcontextprotocol/conformance/dist/index.js")

    def judged(name):
        ran = subprocess.run([node, referee, "client", "--command", CLIENT, "--scenario", name, "--spec-version", revision],
                             capture_output=True, text=True, timeout=patience(120), cwd=tmp_path)
        passed = re.search(r"Passed: (\d+)/(\d+), (\d+) failed", ran.stdout + ran.stderr)
        return passed and passed[1] == passed[2] and passed[3] == "0", ran.stdout + ran.stderr

    names = scenarios(node, referee, revision)
    assert known <= set(names), names
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        verdicts = dict(zip(names, pool.map(judged, names)))
    assert {name: said[-2000:] for name, (good, said) in verdicts.items() if not good} == {}


# ---- servers that break the rules ----
NEVER = {"silent", "deep", "flood", "not-utf8", "mute"}  # answer when they should: to be waited for just as long as a greeting takes


def limits(manner):
    return "-t", str(min(20, patience(3)) if manner in NEVER else 60), "-p", str(patience(1))


def hostile(manner, *steps, options=()):
    return talk(*limits(manner), *options, server=[sys.executable, HOSTILE, manner], steps=steps or ("list", "call:t:{}"), seconds=120)


@pytest.mark.parametrize("manner, code, words", [
    ("silent", "timed out", "tools/call"),
    ("giant", "too big", "longer than"),
    ("deep", "timed out", "tools/call"),
    ("flood", "timed out", "tools/call"),
    ("exits", "closed", "the server ended"),
    ("half", "closed", "the server ended"),
    ("not-an-object", "protocol error", "its result is no object"),
    ("null", "protocol error", "its result is no object"),
    ("content", "protocol error", "its content is no array"),
])
def test_what_is_refused_over_stdio(manner, code, words):
    said = hostile(manner)
    assert said.one("failed") == "t" and said.one("code") == code and words in said.one("error")


@pytest.mark.parametrize("manner, words", [("exits-at-once", "the server ended"), ("banners", "what are no messages"), ("mute", "initialize")])
def test_what_is_no_server(manner, words):
    said = hostile(manner)
    assert said.one("failed") == "open" and words in said.one("error")


@pytest.mark.parametrize("manner, text", [
    ("twice", "first"), ("wrong-id", "fine"), ("banner", "fine"), ("stderr", "fine"), ("stays", "fine"), ("drip", "fine"), ("slow", "fine")])
def test_what_is_borne(manner, text):
    said = hostile(manner, options=[] if manner == "stays" else ["-w", "30"])
    assert text_of(said.one("result")) == text
    assert said.one("ended_by_signal") == (15 if manner == "stays" else 0)


def test_bytes_that_are_no_text():
    """The line is no message; the next one would be."""
    assert hostile("not-utf8").one("code") == "timed out"


def test_a_late_answer_is_not_the_next_ones():
    said = hostile("twice", "list", "call:t:{}", "call:t:{}")
    assert [text_of(result) for result in said.all("result")] == ["first", "first"]


def test_it_answers_and_refuses():
    replies = json.loads(text_of(hostile("asks").one("result")))
    assert replies[0] == {"jsonrpc": "2.0", "id": "p", "result": {}}
    assert replies[1]["id"] == 1 and replies[1]["error"]["code"] == -32601


def test_pages_without_end():
    said = hostile("pages", "list")
    assert said.one("code") == "too big" and "pages" in said.one("error")


def test_what_is_unknown_is_passed_on():
    result = hostile("unknown").one("result")
    assert result["content"] == [{"type": "hologram", "x": 1}, 5]
    assert result["structuredContent"] == [1, None] and result["extra"] is True


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_who_does_not_hear_of_changes_any_more_asks_again(hostile_http, transport):
    """A subscription that ended, and one that failed: each time there may have been a change."""
    talk_to = hostile if transport == "stdio" else hostile_http
    said = talk_to("forgets-who-listens", "list", "heard", "heard", "heard", "call:t:{}", options=["-l", "0.1"])
    assert said.one("opened") == "2026-07-28" and said.all("failed") == []
    assert text_of(said.one("result")) == "3" and len(said.all("tools_changed")) == 3


def test_an_error_is_escaped():
    said = hostile("error")
    assert said.one("code") == "failed" and "\x1b" not in said.one("error") and "\n" not in said.one("error")
    assert said.one("usable") is True


@pytest.fixture
def hostile_http(listening):
    def hostile_http(manner, *steps, options=()):
        port = listening(lambda port: [sys.executable, HOSTILE, manner, str(port)])
        return talk(*limits(manner), *options, f"http://127.0.0.1:{port}/mcp", steps=steps or ("list", "call:t:{}"), seconds=120)

    return hostile_http


@pytest.mark.parametrize("manner, failed, code, words", [
    ("redirects", "open", "protocol error", "307"),
    ("unauthorized", "open", "denied", "credentials"),
    ("elsewhere", "open", "denied", "another origin"),
    ("other-port", "open", "denied", "another origin"),
    ("silent", "t", "timed out", "tools/call"),
    ("giant", "t", "too big", "more than"),
    ("deep", "t", "too big", "answer"),
    ("flood", "t", "timed out", "tools/call"),
    ("not-an-object", "t", "protocol error", "its result is no object"),
])
def test_what_is_refused_over_http(hostile_http, manner, failed, code, words):
    said = hostile_http(manner, options=["-s"] if manner in ("elsewhere", "other-port") else [])
    assert said.one("failed") == failed and said.one("code") == code and words in said.one("error")
    assert "secret page" not in json.dumps(said)


def test_a_forgotten_session_is_begun_anew(hostile_http):
    said = hostile_http("forgets")
    assert text_of(said.one("result")) == "s2"


def test_headers_that_are_the_protocols_own():
    for header in ("Mcp-Session-Id: x", "Content-Length: 5", "Host: evil", "no colon", "A: b\r\nX: y"):
        said = talk("-H", header, "http://127.0.0.1:1/", steps=["list"])
        assert said.one("failed") == "url" and "header" in said.one("error")
    said = talk("http://user:password@127.0.0.1:1/", steps=["list"])
    assert said.one("failed") == "url" and "password@" not in json.dumps(said)
