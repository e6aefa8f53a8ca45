"""tools.call: from a name to the tool behind it, by every tier; and what nobody may name."""

import http.server
import shutil
import uuid

import pytest

from sandboxes import containers, wait_running
from services import ROOT, wait_until
from web import Web
from worker import run_program

pytestmark = pytest.mark.docker
PLUGINS = ROOT / "tests/data/plugins"
KEYS = {"status", "result", "content", "is_error", "error", "duration_ms"}


@pytest.fixture(scope="module")
def plugin_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugins")
    shutil.copytree(PLUGINS, path, dirs_exist_ok=True)
    (path / "linked").mkdir()
    (path / "linked/tools.py").symlink_to("/etc/passwd")
    (path / "channel").mkdir()
    (path / "channel/channel.py").write_text("x = 1\n")
    (path / "a file").write_text("")
    return path


@pytest.fixture
def web():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"path": "%s"}' % self.path.encode())

        def log_message(self, *args):
            pass

    with Web(Handler) as server:
        yield server.port


@pytest.fixture
def call(make_full_worker, app, postgres, plugin_dir, web):
    make_full_worker(PLUGIN_DIR=str(plugin_dir), EGRESS_ALLOW=f"http:127.0.0.1:{web}")

    def call(name, params=None, **kwargs):
        result = app.send_task("tools.call", kwargs={"name": name, "params": params or {}, **kwargs})
        call.id = result.id
        return result.get(timeout=90)

    yield call
    for table in "policy_rules", "http_tools", "sandbox_settings":
        postgres.sql(f"DELETE FROM celeriac.{table}")


def row(postgres, task_id):
    return postgres.sql("SELECT kind, tool, status, project_id, conversation_id FROM celeriac.tool_results WHERE task_id = %s", task_id)


def audit(postgres, task_id, count=1):
    return wait_until(lambda: len(got := postgres.sql(
        "SELECT decision, kind, tool, target FROM celeriac.activity_events WHERE task_id = %s AND kind NOT IN ('egress', 'container') ORDER BY id",
        task_id)) >= count and got, 30)


def test_every_tier(call, postgres, web):
    conversation = f"c-{uuid.uuid4()}"
    ran = call("execute_code", {"code": "import os\nprint(6 * 7, os.environ['TOKEN'])", "env": {"TOKEN": "zauberwort"}},
               conversation_id=conversation, project_id="p")
    assert set(ran) == KEYS and (ran["status"], ran["is_error"], ran["error"]) == ("ok", False, None)
    assert (ran["result"]["stdout"], ran["result"]["exit_code"]) == ("42 zauberwort\n", 0)
    assert row(postgres, call.id) == [("sandbox", "sandbox.execute_code", "ok", "p", conversation)]
    assert audit(postgres, call.id, 2) == [("allow", kind, "sandbox.execute_code", ran["result"]["sandbox"]) for kind in ("exec", "sandbox")]
    assert postgres.sql("SELECT params->>'env' FROM celeriac.tool_results WHERE task_id = %s", call.id) == [("**",)]
    again = call("execute_code", {"code": "raise SystemExit(3)"}, conversation_id=conversation, project_id="p")
    assert (again["status"], again["is_error"], again["error"]) == ("error", True, "the code ended with status error, exit code 3")
    assert again["result"]["reused"], "it is the conversation's own container"

    added = call("calc_add", {"a": 1, "b": 2}, project_id="p", context={"project_name": "P"})
    assert set(added) == KEYS and (added["status"], added["result"]) == ("ok", "3")
    assert row(postgres, call.id) == [("plugin", "tools.run_plugin", "ok", "p", None)]
    executed, called = audit(postgres, call.id, 2)
    assert executed[:3] == ("allow", "exec", "tools.run_plugin") and called == ("allow", "plugin", "tools.run_plugin", "calc_add")
    assert call("context", context={"project_name": "P"})["result"]["project"] == "P"
    assert "ZeroDivisionError" in call("calc_divide", {"a": 1, "b": 0})["error"]

    postgres.sql("INSERT INTO celeriac.http_tools (name, project_id, url) VALUES ('where', 'p', %s)", f"http://127.0.0.1:{web}/{{place}}")
    found = call("custom_where", {"place": "here"}, project_id="p")
    assert (found["status"], found["result"]) == ("ok", {"path": "/here"})
    assert row(postgres, call.id) == [("http", "tools.call_http", "ok", "p", None)]
    with pytest.raises(ValueError, match="there is no HTTP tool 'where'"):
        call("custom_where", {"place": "here"}, project_id="q")


@pytest.mark.parametrize("name, params, kwargs, error, words", [
    ("calc_multiply", {}, {}, ValueError, "name: there is no tool 'calc_multiply'"),
    ("linked", {}, {}, ValueError, "name: there is no tool 'linked'"),
    ("../calculator", {}, {}, ValueError, "there is no tool"),
    ("mcp_server_tool", {}, {}, ValueError, "there is no MCP tool 'mcp_server_tool'"),
    ("sandbox.execute_code", {"code": "1"}, {}, ValueError, "there is no tool"),
    ("execute_code", {"code": "1"}, {}, TypeError, "missing 1 required positional argument: 'conversation_id'"),
    ("execute_code", {"code": "1", "conversation_id": "another"}, {"conversation_id": "c"}, TypeError, "params must not hold conversation_id"),
    ("execute_code", {"code": "1", "project_id": "another"}, {"conversation_id": "c"}, TypeError, "params must not hold project_id"),
    ("execute_code", {"code": "1", "sudo": True}, {"conversation_id": "c"}, TypeError, "unexpected keyword argument 'sudo'"),
    ("", {}, {}, ValueError, "name"),
])
def test_names_and_arguments_that_are_none(call, postgres, name, params, kwargs, error, words):
    with pytest.raises(error, match=words):
        call(name, params, **kwargs)
    assert row(postgres, call.id) == []
    if name:
        told = [("error", "core", "tools.call", name)]
        if "must not hold" in words:
            told.insert(0, ("deny", "privilege", "tools.call", None))
        elif error is TypeError:
            told.insert(0, ("error", "schema", "tools.call", None))
        assert audit(postgres, call.id, len(told)) == told


@pytest.mark.parametrize("pattern", ["calc_add", "tools.run_plugin", "tools.call"])
def test_a_rule_holds_by_whatever_name_it_speaks_of(call, postgres, pattern):
    postgres.sql("INSERT INTO celeriac.policy_rules (project_id, kind, pattern, action, note) VALUES ('closed', 'tool', %s, 'deny', 'not here')", pattern)
    denied = wait_until(lambda: (got := call("calc_add", {"a": 1, "b": 2}, project_id="closed"))["status"] == "denied" and got, 30)
    assert set(denied) == KEYS and denied["error"] == f"{pattern} is denied by the policy: not here"
    assert [event[0] for event in audit(postgres, call.id)] == ["deny"] and row(postgres, call.id) == []
    assert call("calc_add", {"a": 1, "b": 2}, project_id="open")["status"] == "ok"


def test_code_denied_by_its_task_is_denied_as_a_tool(call, postgres):
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action) VALUES ('tool', 'sandbox.*', 'deny')")
    denied = wait_until(lambda: (got := call("execute_code", {"code": "1"}, conversation_id="c"))["status"] == "denied" and got, 30)
    assert denied["error"] == "sandbox.execute_code is denied by the policy" and denied["is_error"] is True


@pytest.mark.parametrize("pattern", ["custom_where", "where"])
def test_an_http_tool_has_two_names(call, app, postgres, web, pattern):
    """Neither is a way around a rule about the other."""
    postgres.sql("INSERT INTO celeriac.http_tools (name, url) VALUES ('where', %s)", f"http://127.0.0.1:{web}/x")
    postgres.sql("INSERT INTO celeriac.policy_rules (project_id, kind, pattern, action) VALUES ('closed', 'tool', %s, 'deny')", pattern)
    wait_until(lambda: call("custom_where", project_id="closed")["status"] == "denied", 30)
    for name in "custom_where", "where":
        direct = app.send_task("tools.call_http", kwargs={"tool": name, "project_id": "closed"}).get(timeout=90)
        assert direct["status"] == "denied" and f"{pattern} is denied by the policy" in direct["error"]
    assert call("custom_where", project_id="open")["status"] == "ok"


def test_the_worker_dies_in_the_middle(make_full_worker, app, postgres, plugin_dir, broker):
    """The tool goes on in its container; the worker of the same name has its answer, once."""
    first = make_full_worker(PLUGIN_DIR=str(plugin_dir), node="again")
    result = app.send_task("tools.call", kwargs={"name": "sleeper", "params": {"seconds": 4}, "project_id": "p"})
    wait_running(broker.instance)
    first.kill()
    make_full_worker(PLUGIN_DIR=str(plugin_dir), node="again")
    assert result.get(timeout=90)["result"] == "slept"
    assert postgres.sql("SELECT kind, tool, attempt, status FROM celeriac.tool_results WHERE task_id = %s", result.id) == [
        ("plugin", "tools.run_plugin", 1, "ok")]
    *executed, called = wait_until(lambda: (rows := audit(postgres, result.id, 2))[-1][1] == "plugin" and rows, 30)
    # of the first worker, if its row was written before it died, and of the one that follows the run: the same execution
    assert 1 <= len(executed) <= 2 and len(set(executed)) == 1 and executed[0][:3] == ("allow", "exec", "tools.run_plugin"), executed
    assert called == ("allow", "plugin", "tools.run_plugin", "sleeper")
    wait_until(lambda: containers(broker.instance) == [], 30, "its container stayed")


def test_a_name_that_cannot_be_looked_up_waits(make_full_worker, app, postgres):
    """Whatever ails the database is mended by somebody; the call is neither lost nor failed."""
    worker = make_full_worker()
    try:
        postgres.sql("REVOKE SELECT ON celeriac.mcp_servers FROM celeriac_worker")
        result = app.send_task("tools.call", kwargs={"name": "mcp_nobody_nothing", "params": {}})
        worker.wait_log(r"waiting: .*permission denied")
        assert not result.ready()
    finally:
        postgres.sql("SELECT celeriac.grant_rights()")
    with pytest.raises(ValueError, match="name: "):
        result.get(timeout=60)


TOOL = "from base import BaseTool\n\n\nclass {}(BaseTool):\n    name = \"{}\"\n"


@pytest.mark.parametrize("tools, words", [
    ({"one": [("A", "same")], "two": [("B", "same")]}, "the plugins one and two both have a tool named same"),
    ({"one": [("A", "same"), ("B", "same")]}, "plugin one has two tools named same"),
    ({"one": [("A", "execute_code")]}, "plugin one has a tool named execute_code, which is no name for one of a plugin"),
    ({"one": [("A", "custom_x")]}, "plugin one has a tool named custom_x, which is no name for one of a plugin"),
    ({"one": [("A", "mcp_x")]}, "plugin one has a tool named mcp_x, which is no name for one of a plugin"),
])
def test_clashes(make_full_worker, tmp_path, tools, words):
    for plugin, classes in tools.items():
        (tmp_path / plugin).mkdir()
        (tmp_path / plugin / "tools.py").write_text("".join(TOOL.format(*one) for one in classes))
    worker = make_full_worker(start=False, PLUGIN_DIR=str(tmp_path)).spawn()
    assert worker.process.wait(timeout=30) == 1
    assert words in worker.log()
    check = run_program("--check", PLUGIN_DIR=tmp_path, CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert check.returncode == 1 and words in check.stdout
