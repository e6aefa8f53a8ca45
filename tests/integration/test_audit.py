"""The record beside the calls themselves: what was refused to us and by us, what ran, and how much of it at once."""

import base64
import contextlib
import hashlib
import http.server
import json
import pathlib
import socketserver
import threading
import uuid

import pytest
from redis import Redis

from clients import Broker
from forwarder import Forwarder
from namespaces import may_have_one
from sandboxes import Calls, containers, inspect, wait_said
from sealing import KEY, seal
from services import ROOT, wait_until
from web import Web

pytestmark = pytest.mark.docker


@pytest.fixture
def rules(postgres):
    def empty():
        for table in "policy_rules", "sandbox_settings", "http_tools", "mcp_servers":
            postgres.sql(f"DELETE FROM celeriac.{table}")

    empty()
    yield postgres
    empty()


def ended(result):
    try:
        return result.get(timeout=90)
    except Exception as error:  # whatever Python makes of it
        return type(error).__name__, str(error)


def rows(postgres, where, *values, count=1):
    columns = "decision, kind, tool, target, project_id, reason, detail"
    return wait_until(
        lambda: (got := postgres.sql(f"SELECT {columns} FROM celeriac.activity_events WHERE {where} ORDER BY at, id", *values))
        and len(got) >= count and got, 30, lambda: f"no event with {where} {values}")


def lines(worker, **fields):
    found = (json.loads(line.split("[audit] ", 1)[1]) for line in worker.log_lines(r"\[audit\]"))
    return [line for line in found if all(line.get(name) == value for name, value in fields.items())]


def test_what_runs_and_what_tries_to(make_full_worker, app, rules):
    """Each run by the digest of its code; arguments that do not fit; attempts to have more than there is."""
    make_full_worker(CELERIAC_TASK_ALIASES="app.run=sandbox.execute_code", PLUGIN_DIR=str(ROOT / "tests/data/plugins"))
    calls, conversation = Calls(app, rules), f"c-{uuid.uuid4()}"
    result = calls.send("print(1)", conversation, project_id="p", files=[{"name": "a", "content": ""}])
    value = ended(result)
    (ran,) = rows(rules, "task_id = %s AND kind = 'exec'", result.id)
    assert ran[:6] == ("allow", "exec", "sandbox.execute_code", value["sandbox"], "p", None)
    assert ran[6] == {"language": "python", "code_sha256": hashlib.sha256(b"print(1)").hexdigest(), "packages": 0, "files": 1,
                      "again": False, "followed": False}

    attempts = [
        (calls.send("1", conversation, project_id="other"), "PermissionError", "the conversation belongs to another project"),
        (calls.send("1", files=[{"name": "../etc/passwd", "content": ""}]), "ValueError", "files[0].name holds a slash"),
        (app.send_task("tools.call", kwargs={"name": "execute_code", "params": {"code": "1", "project_id": "q"}}), "TypeError",
         "params must not hold project_id"),
    ]
    for result, name, why in attempts:
        said = ended(result)
        assert said[0] == name and why in said[1]
        (row,) = rows(rules, "task_id = %s AND kind = 'privilege'", result.id)
        assert row[0] == "deny" and why in row[5]

    wrong = [
        (app.send_task("app.run", kwargs={"conversation_id": "c", "code": "1", "privileged": True}), "privileged"),
        (app.send_task("tools.call", kwargs={"name": "execute_code", "params": {"code": "1", "mounts": "/:rw"}, "conversation_id": "c"}), "mounts"),
    ]
    for result, why in wrong:
        said = ended(result)
        assert said[0] == "TypeError" and why in said[1]
        (row,) = rows(rules, "task_id = %s AND kind = 'schema'", result.id)
        assert row[0] == "error" and why in row[5]


@pytest.mark.skipif(not may_have_one(), reason="another's descriptors are for root")
def test_what_programs_try_on_their_sandbox(make_full_worker, app, rules, broker):
    """On the agent that runs them: its limits, which they may name; its stream, which only somebody at the engine can reach."""
    make_full_worker()
    calls = Calls(app, rules)
    lower = "import resource\nresource.prlimit(1, resource.RLIMIT_NOFILE, (64, 64))"
    conversation = f"c-{uuid.uuid4()}"
    container = calls.run("print('before')", conversation)["sandbox"]
    result = calls.send(lower, conversation)
    ended(result)
    (row,) = rows(rules, "task_id = %s AND kind = 'privilege'", result.id)
    assert row[:4] == ("deny", "privilege", "sandbox.execute_code", container) and row[5] == "the limits of the sandbox's agent were changed"

    result = calls.send("import time\nprint('begun', flush=True)\ntime.sleep(600)", one_shot=True)
    wait_said(broker, result.id, "begun")
    (container,) = containers(broker.instance, "--filter", "status=running", "--filter", "label=celeriac.role=run")
    for way in pathlib.Path(f"/proc/{inspect(container)['State']['Pid']}/fd").glob("20?"):
        with contextlib.suppress(OSError), open(way, "wb", buffering=0) as stream:  # a pipe's end for reading is none for writing
            stream.write(b"nothing that an agent would say to anybody, and enough of it to be a frame")
    assert ended(result)["status"] == "lost"
    (row,) = rows(rules, "task_id = %s AND kind = 'privilege'", result.id)
    assert row[3].startswith(container) and row[5] == "the agent's stream was forged or damaged"


@pytest.fixture
def sealed_elsewhere(rules):
    """Rows of each table that has secrets, by name: of another key, and of another row."""
    def make(insert, place, update):
        (((number,),), made) = rules.sql(insert + " RETURNING id"), []
        stranger = seal("x", f"{place}.{number}", base64.b64encode(bytes(32)).decode())
        for value, words in ((stranger, "is sealed with the key 66687aad"), (seal("x", f"{place}.{number + 1}"), "sealed for another place")):
            made.append((lambda value=value: rules.sql(update, json.dumps({"type": "bearer", "token": value}) if "auth" in place else value, number),
                         f"{place}.{number} ", words))
        return made

    yield make
    rules.sql("DELETE FROM celeriac.plugin_configs")


def test_secrets_from_elsewhere(make_full_worker, app, rules, sealed_elsewhere):
    """They are not used, the caller hears why, and it is recorded; no word of what is sealed is told."""
    make_full_worker(PLUGIN_DIR=str(ROOT / "tests/data/plugins"), SECRETS_ENCRYPTION_KEY=KEY)
    cases = [
        ("tools.call_http", {"tool": "far", "params": {}}, "INSERT INTO celeriac.http_tools (name, url) VALUES ('far', 'https://example.com/')",
         "http_tools.auth", "UPDATE celeriac.http_tools SET auth = %s WHERE id = %s"),
        ("mcp.call_tool", {"server_id": "far", "tool": "x"},
         "INSERT INTO celeriac.mcp_servers (name, image, command) VALUES ('far', 'celeriac-sandbox:latest', 'x')",
         "mcp_servers.environment", "UPDATE celeriac.mcp_servers SET environment = %s WHERE id = %s"),
        ("tools.run_plugin", {"plugin": "context", "tool": "context", "params": {}},
         "INSERT INTO celeriac.plugin_configs (plugin, config) VALUES ('context', 'v1:none:AAAA')",
         "plugin_configs.config", "UPDATE celeriac.plugin_configs SET config = %s WHERE id = %s"),
    ]
    for task, kwargs, insert, place, update in cases:
        for put, where, words in sealed_elsewhere(insert, place, update):
            put()
            result = app.send_task(task, kwargs=kwargs)
            said = str(ended(result))
            assert where in said and words in said, said
            (row,) = rows(rules, "task_id = %s AND kind = 'privilege'", result.id)
            assert row[0] == "deny" and where in row[5] and words in row[5], row


def test_packages_are_commands(make_full_worker, app, rules):
    make_full_worker()
    calls = Calls(app, rules)
    rules.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, note) VALUES ('command', 'python3 -m pip install **', 'deny', 'no packages')")

    def refused():
        result = calls.send("1", packages=["requests"])
        said = ended(result)  # a value where the worker has not heard of the rule
        return isinstance(said, tuple) and said[0] == "PermissionError" and (result, said)

    result, said = wait_until(refused, 30)
    assert said[1] == "packages: command python3 is denied by the policy: no packages"
    assert [row[:2] for row in rows(rules, "task_id = %s AND kind = 'command'", result.id)] == [("deny", "command")]
    assert ended(calls.send("print(1)"))["status"] == "ok"


def test_a_flood_is_counted(make_full_worker, app, rules):
    """Of many refusals a minute has few rows, and one that counts the rest; the log has each. What comes in bursts is said."""
    worker = make_full_worker("-l", "WARNING", AUDIT_ROWS="5", AUDIT_BURST_DENIALS="4", AUDIT_BURST_CONTAINERS="2", SANDBOX_POOL="0")
    calls, project = Calls(app, rules), f"p-{uuid.uuid4()}"
    made = [calls.send("print(1)", one_shot=True, project_id=project) for _ in range(3)]
    assert {ended(result)["status"] for result in made} == {"ok"}
    (burst,) = rows(rules, "kind = 'burst' AND project_id = %s", project)
    assert burst[:6] == ("allow", "burst", None, "containers", project, "2 within a minute")
    rules.sql("INSERT INTO celeriac.policy_rules (project_id, kind, pattern, action) VALUES (%s, 'tool', 'sandbox.*', 'deny')", project)
    wait_until(lambda: "PermissionError" in ended(calls.send("1", project_id=project)), 30)
    flood = [calls.send("1", project_id=project) for _ in range(20)]
    assert {ended(result)[0] for result in flood} == {"PermissionError"}
    worker.term()
    said = lines(worker, kind="sandbox", decision="deny", project_id=project)
    assert len(said) == 22 and said[-1]["detail"] == {"more": 16}, "each has its line, whatever the level"
    written = rules.sql("SELECT detail FROM celeriac.activity_events WHERE kind = 'sandbox' AND decision = 'deny' AND project_id = %s "
                        "ORDER BY at, id", project)
    assert [row[0] for row in written] == [{}] * 5 + [{"more": 16}]
    bursts = rules.sql("SELECT decision, target, reason FROM celeriac.activity_events WHERE kind = 'burst' AND project_id = %s ORDER BY id", project)
    assert bursts == [("allow", "containers", "2 within a minute"), ("deny", "denials", "4 within a minute")]


@pytest.fixture
def closed_door():
    """A web server that lets nobody in."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def refuse(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(401 if self.path == "/401" else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_DELETE = refuse

        def log_message(self, *args):
            pass

    with Web(Handler) as server:
        yield server.port


def test_tools_that_are_not_let_in(make_full_worker, app, rules, closed_door):
    make_full_worker(EGRESS_ALLOW=f"http:127.0.0.1:{closed_door},mcp:127.0.0.1:{closed_door}")
    rules.sql("INSERT INTO celeriac.http_tools (name, url) VALUES ('door', %s)", f"http://127.0.0.1:{closed_door}/401")
    rules.sql("INSERT INTO celeriac.mcp_servers (name, runtime, transport, url) VALUES ('door', 'external', 'streamable_http', %s)",
              f"http://127.0.0.1:{closed_door}/mcp")
    result = app.send_task("tools.call_http", kwargs={"tool": "custom_door", "params": {}})
    assert result.get(timeout=60)["status"] == "error"
    (row,) = rows(rules, "task_id = %s AND kind = 'login'", result.id)
    assert row[0] == "deny" and f"127.0.0.1:{closed_door}/401" in row[3]
    assert app.send_task("mcp.call_tool", kwargs={"server_id": "door", "tool": "x"}).get(timeout=60)["is_error"]
    (row,) = rows(rules, "kind = 'login' AND target = %s", f"MCP server http://127.0.0.1:{closed_door}")
    assert (row[0], row[5], row[6]) == ("deny", "HTTP status 403", {"times": 1})


class Refuser:
    """An engine, or what stands before it, that says no."""

    def __init__(self, path):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        self.server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.long
def test_services_that_do_not_let_us_in(make_full_worker, make_redis, make_postgres, directory, instance):
    """Redis, PostgreSQL and the engine, each in the middle of work; the rows are there once the database is."""
    redis, own, socket = make_redis().start(), make_postgres(), directory / "docker.sock"
    door = Forwarder("/var/run/docker.sock", socket).open()
    broker = Broker(redis.new_url(), instance)
    worker = make_full_worker(broker=broker, DATABASE_URL=own.url("worker"), DOCKER_HOST=f"unix://{socket}", SANDBOX_POOL="0")
    calls = Calls(broker.app(), own)
    assert calls.run("print(1)")["status"] == "ok"

    own.sql("ALTER ROLE celeriac_worker NOLOGIN")
    own.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'celeriac_worker'")
    worker.wait_log(r'"kind":"login","target":"PostgreSQL', 60)
    redis.client().config_set("requirepass", "another")
    inside = Redis(port=redis.port, password="another")
    inside.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    worker.wait_log(r'"kind":"login","target":"Redis', 60)
    inside.config_set("requirepass", "")
    own.sql("ALTER ROLE celeriac_worker LOGIN")
    worker.wait_ready()
    door.close()
    refuser = Refuser(socket)
    worker.wait_log(r'"kind":"login","target":"engine', 60)
    refuser.close()
    socket.unlink()
    door.open()
    worker.wait_ready()
    assert calls.run("print(1)")["status"] == "ok"
    said = rows(own, "kind = 'login'", count=3)
    assert {(row[0], row[3]) for row in said} == {
        ("deny", f"PostgreSQL 127.0.0.1:{own.port}"), ("deny", f"Redis 127.0.0.1:{redis.port}"), ("deny", f"engine unix://{socket}")}
    assert own.password("worker") not in worker.log() and "another" not in str(said)
