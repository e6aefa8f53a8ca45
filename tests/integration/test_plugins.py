"""Plugins and tools given as source text: what they see, what they return, and every way in which they fail."""

import base64
import hashlib
import json
import os
import shutil
import uuid

import pytest

from sandboxes import containers, docker, wait_spares_ready
from sealing import KEY, OTHER, seal
from services import ROOT, wait_until

pytestmark = pytest.mark.docker
PLUGINS = ROOT / "tests/data/plugins"


@pytest.fixture(scope="module")
def plugin_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugins")
    shutil.copytree(PLUGINS, path, dirs_exist_ok=True)
    (path / "linked").mkdir()
    (path / "linked/tools.py").symlink_to("/etc/passwd")
    (path / "piped").mkdir()
    (path / "piped/tools.py").write_text("")
    os.mkfifo(path / "piped/pipe")
    (path / "empty").mkdir()
    (path / "large").mkdir()
    (path / "large/tools.py").write_text("")
    (path / "large/data").write_bytes(b"x" * (9 << 20))
    (path / "elsewhere").symlink_to("/etc")
    return path


@pytest.fixture
def tools(make_full_worker, app, postgres, plugin_dir):
    make_full_worker(PLUGIN_DIR=str(plugin_dir))

    def call(name, **kwargs):
        result = app.send_task(name, kwargs=kwargs)
        call.id = result.id
        return result.get(timeout=90)

    return call


def plugin(tools, name, tool=None, params=None, **kwargs):
    return tools("tools.run_plugin", plugin=name, tool=tool or name, params=params or {}, **kwargs)


KEYS = {"status", "result", "content", "is_error", "error", "duration_ms"}


def test_what_plugins_return(tools, broker, postgres):
    done = plugin(tools, "calculator", "calc_add", {"a": 1, "b": 2.5})
    assert set(done) == KEYS and (done["status"], done["result"], done["is_error"], done["error"]) == ("ok", "3.5", False, None)
    assert plugin(tools, "calculator", "calc_add", {"a": 1, "b": 2, "mode": "double"})["result"] == "6"
    noisy = plugin(tools, "noisy", params={"say": "é\u2028"})
    assert noisy["result"] == {"said": "é\u2028", "größe": 3, "list": [1, None, True]}
    row = postgres.sql("SELECT kind, tool, status, stdout, state FROM celeriac.tool_results WHERE task_id = %s", tools.id)
    assert row == [("plugin", "tools.run_plugin", "ok", 'imported\n{"ok": true, "result": "printed"}\n', "finished")]
    forger = plugin(tools, "forger")
    assert (forger["status"], forger["result"]) == ("ok", "honest")
    assert containers(broker.instance, "--filter=label=celeriac.role=run") == [], "its container goes with it"


def test_what_plugins_see(tools, postgres):
    conversation = uuid.uuid4().hex
    done = plugin(tools, "context", conversation_id=conversation, project_id="p",
                  context={"project_name": "P", "assistant_name": "A", "user_email": "u@example.org"})
    assert set(done) == KEYS | {"api_calls"}
    assert done["api_calls"] == [{"service": "weather", "method": "GET", "url": "https://api.example/x", "status_code": 200, "duration_ms": 12}]
    seen = done["result"]
    assert (seen["project"], seen["assistant"], seen["user"], seen["app_config"], seen["plugin_config"]) == ("P", "A", "u@example.org", {}, {})
    assert seen["network"] is False and seen["proxy"] is None and seen["environment"] == []
    assert seen["writable"] == [] and seen["listing"] == ["deep", "helper.py", "manifest.py", "tools.py"]
    assert (seen["helper"], seen["deep"]) == ("from a file beside it", "from a package below it")
    configured = plugin(tools, "context", plugin_config={"key": "s3cret-0815"})
    assert configured["result"]["plugin_config"] == {"key": "s3cret-0815"}
    assert postgres.sql("SELECT count(*) FROM celeriac.tool_results WHERE params::text LIKE '%%s3cret-0815%%'") == [(0,)]


@pytest.mark.parametrize("name, tool, params, words", [
    ("calculator", "calc_add", {"a": 1}, "do not fit the tool's input_schema: params.b is required"),
    ("calculator", "calc_add", {"a": "1", "b": 2}, "params.a must be number"),
    ("calculator", "calc_add", {"a": 1, "b": 2, "mode": "half"}, 'params.mode must be one of ["plain", "double"]'),
    ("calculator", "calc_add", {"a": 1, "b": 2, "c": 3}, "params.c is not known"),
    ("calculator", "calc_multiply", {}, "could not be made: there is no tool 'calc_multiply'"),
    ("calculator", "calc_divide", {"a": 1, "b": 0},
     'raised an exception: ZeroDivisionError: division by zero\n  File "tools.py", line 29, in execute: return divide(params["a"], params["b"])\n'
     '  File "tools.py", line 33, in divide: return a / b'),
    ("broken_import", "never", {}, "could not be imported: ModuleNotFoundError: No module named 'no_such_module_anywhere'\n  File \"tools.py\", line 2"),
    ("broken_syntax", "never", {}, 'could not be imported: SyntaxError: expected \':\' (tools.py, line 3)\n  File "tools.py", line 3: class Never(BaseTool)'),
    ("failing", "raises", {}, "KeyError: 'what it needs'"),
    ("failing", "unspeakable", {}, "returned what is no JSON: TypeError: Object of type set is not JSON serializable"),
    ("failing", "cannot_be_made", {}, "could not be made: RuntimeError: not today"),
    ("failing", "exits", {}, "raised an exception: SystemExit: 3"),
    ("failing", "dies", {}, "ended without an answer (error, exit code 7): about to die"),
    ("failing", "twice", {}, "more than one tool: Twice, TwiceAgain"),
    ("failing", "too_much", {}, "ended without an answer"),
])
def test_how_plugins_fail(tools, name, tool, params, words):
    done = plugin(tools, name, tool, params)
    assert (done["status"], done["is_error"], done["result"]) == ("error", True, None)
    assert words in done["error"], done["error"]


def test_a_plugin_that_sleeps(tools, broker):
    done = plugin(tools, "sleeper", timeout=1)
    assert (done["status"], done["is_error"]) == ("timeout", True)
    wait_until(lambda: containers(broker.instance, "--filter=label=celeriac.role=run") == [], 20)


@pytest.mark.parametrize("name, error, words", [
    ("nowhere", ValueError, "plugin nowhere"),
    ("../calculator", ValueError, "is not the name of one"),
    (".hidden", ValueError, "is not the name of one"),
    ("linked", PermissionError, "tools.py is a link or a special file"),
    ("piped", PermissionError, "pipe is a link or a special file"),
    ("elsewhere", PermissionError, "is not a directory"),
    ("empty", ValueError, "has no tools.py"),
    ("large", ValueError, "more than 8388608 bytes"),
])
def test_directories_that_are_refused(tools, postgres, name, error, words):
    with pytest.raises(error, match=words):
        plugin(tools, name)
    if error is PermissionError:
        wait_until(lambda: postgres.sql("SELECT 1 FROM celeriac.activity_events WHERE task_id = %s AND decision = 'deny' AND kind = 'privilege' "
                                        "AND tool = 'tools.run_plugin' AND reason LIKE %s", tools.id, f"plugin {name}%{words}"), 30)


def digest(path):
    """As the manual says: of the JSON object of names and contents."""
    files = {str(file.relative_to(path)): base64.b64encode(file.read_bytes()).decode()
             for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    return hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


@pytest.fixture
def configure(postgres):
    """Writes a row as the application does; nothing stays."""
    def write(plugin, project, config, key=KEY):
        url = postgres.url("application")
        ((number,),) = postgres.sql("SELECT nextval(pg_get_serial_sequence('celeriac.plugin_configs', 'id'))", url=url)
        sealed = seal(config, f"plugin_configs.config.{number}", key)
        postgres.sql("INSERT INTO celeriac.plugin_configs (id, plugin, project_id, config) VALUES (%s, %s, %s, %s)",
                     number, plugin, project, sealed, url=url)
        return number, sealed

    yield write
    postgres.sql("DELETE FROM celeriac.plugin_configs")


def test_configured_by_reference(make_full_worker, app, postgres, plugin_dir, configure):
    """No message holds it; a project has its own or the one for all, and never another's. The key was changed meanwhile."""
    worker = make_full_worker(PLUGIN_DIR=str(plugin_dir), SECRETS_ENCRYPTION_KEY=f"{OTHER},{KEY}")

    def configured(project, **kwargs):
        result = app.send_task("tools.run_plugin", kwargs={"plugin": "context", "tool": "context", "params": {}, "project_id": project, **kwargs})
        return result.get(timeout=90)["result"]["plugin_config"], result.id

    own, _ = configure("context", "p", '{"token": "zauberwort-p", "deep": [{"é": 1}]}', OTHER)
    general, sealed = configure("context", None, '{"token": "zauberwort-all"}')
    configure("calculator", "q", '{"token": "zauberwort-other"}')
    assert configured("p")[0] == {"token": "zauberwort-p", "deep": [{"é": 1}]}
    seen, task = configured("q")
    assert seen == {"token": "zauberwort-all"}
    assert configured(None)[0] == {"token": "zauberwort-all"}
    assert configured("p", plugin_config={"said": True})[0] == {"said": True}
    detail = {"plugin": "context", "plugin_sha256": digest(plugin_dir / "context")}
    assert postgres.sql("SELECT detail, params->'plugin_config' FROM celeriac.tool_results WHERE task_id = %s", task) == [(detail, None)]
    audited = wait_until(lambda: postgres.sql("SELECT decision, target, detail FROM celeriac.activity_events WHERE task_id = %s AND kind = 'plugin'", task), 30)
    assert audited == [("allow", "context", detail)]
    postgres.sql("DELETE FROM celeriac.plugin_configs WHERE id = %s", general)
    assert configured("q")[0] == {}
    quiet = app.send_task("tools.run_plugin", kwargs={"plugin": "calculator", "tool": "calc_add", "params": {"a": 1, "b": 1}, "project_id": "q"})
    assert quiet.get(timeout=90)["status"] == "ok"
    assert "zauberwort-other" not in worker.log(), "a plugin that does not tell it leaves no trace of it"
    for table in "activity_events", "tool_results":
        assert postgres.sql(f"SELECT count(*) FROM celeriac.{table} e WHERE e::text LIKE '%%zauberwort-other%%'") == [(0,)]

    def fails(words):
        with pytest.raises(RuntimeError, match=f"the configuration of plugin context: {words}"):
            configured("p")

    postgres.sql("UPDATE celeriac.plugin_configs SET config = %s WHERE id = %s", sealed, own)
    fails(f"plugin_configs.config.{own} does not open: it was changed, or sealed for another place")
    postgres.sql("UPDATE celeriac.plugin_configs SET config = %s WHERE id = %s", seal("[1]", f"plugin_configs.config.{own}"), own)
    fails(f"plugin_configs.config.{own} is not a JSON object")
    third = base64.b64encode(bytes(32)).decode()
    postgres.sql("UPDATE celeriac.plugin_configs SET config = %s WHERE id = %s", seal("{}", f"plugin_configs.config.{own}", third), own)
    fails(f"plugin_configs.config.{own} is sealed with the key 66687aad, which SECRETS_ENCRYPTION_KEY does not hold")


SOURCE = '''from base import BaseTool, SandboxToolContext


class Shout(BaseTool):
    name = "custom_shout"
    description = "Shouts"
    input_schema = {"type": "object", "properties": {"text": {"type": "string", "minLength": 1}}, "required": ["text"]}

    def execute(self, params, ctx: SandboxToolContext) -> str:
        return params["text"].upper() + " " + str(ctx.user_email)
'''


def test_tools_given_as_source(tools, postgres):
    done = tools("tools.run_custom", source=SOURCE, params={"text": "straße"}, context={"user_email": "u@example.org"})
    assert set(done) == KEYS and (done["status"], done["result"]) == ("ok", "STRASSE u@example.org")
    digests = {"source_sha256": hashlib.sha256(SOURCE.encode()).hexdigest()}
    assert postgres.sql("SELECT kind, detail FROM celeriac.tool_results WHERE task_id = %s", tools.id) == [("custom", digests)]
    wrong = tools("tools.run_custom", source=SOURCE, params={"text": ""})
    assert wait_until(lambda: postgres.sql(
        "SELECT tool, decision, reason FROM celeriac.activity_events WHERE kind = 'schema' AND task_id = %s", tools.id), 30) == [(
            "tools.run_custom", "error", "the parameters do not fit the tool's input_schema")]
    assert "params.text must have 1 to any number of characters" in wrong["error"]
    assert "no class that derives from BaseTool" in tools("tools.run_custom", source="x = 1\n", params={})["error"]



def test_one_tool_denied_and_one_with_a_network(tools, postgres):
    try:
        postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, note) VALUES ('tool', 'calc_div*', 'deny', 'no division')")
        postgres.sql("INSERT INTO celeriac.sandbox_settings (tool, network) VALUES ('context', true)")

        denied = wait_until(lambda: (got := plugin(tools, "calculator", "calc_divide", {"a": 1, "b": 1}))["status"] == "denied" and got, 30)
        assert denied["error"] == "calc_divide is denied by the policy: no division" and denied["is_error"] is True
        assert wait_until(lambda: postgres.sql(
            "SELECT decision, kind, tool, target, reason FROM celeriac.activity_events WHERE task_id = %s AND decision = 'deny'", tools.id),
            30) == [("deny", "plugin", "tools.run_plugin", "calc_divide", "no division")]
        assert plugin(tools, "calculator", "calc_add", {"a": 1, "b": 1})["status"] == "ok"
        wait_until(lambda: plugin(tools, "context")["result"]["proxy"] == "http://127.0.0.1:3128", 30)
    finally:
        postgres.sql("DELETE FROM celeriac.policy_rules")
        postgres.sql("DELETE FROM celeriac.sandbox_settings")


def test_a_plugin_takes_a_spare(make_full_worker, app, postgres, plugin_dir, instance):
    """From the second call on; it is never used again."""
    worker = make_full_worker(PLUGIN_DIR=str(plugin_dir), SANDBOX_POOL="1")

    def waiting():
        lines = docker("ps", "--no-trunc", "--filter", f"label=celeriac.instance={instance}", "--format", "{{.ID}} {{.Names}}").splitlines()
        return {line.split()[0] for line in lines if line.split()[1].startswith("celeriac-pool-")}

    def add():
        result = app.send_task("tools.run_plugin", kwargs={"plugin": "calculator", "tool": "calc_add", "params": {"a": 1, "b": 2}})
        assert result.get(timeout=90)["result"] == "3"
        return postgres.sql("SELECT container_id FROM celeriac.tool_results WHERE task_id = %s", result.id)[0][0]

    wait_spares_ready(worker, 1)
    first = add()
    wait_spares_ready(worker, 2)
    spares = waiting()
    second = add()
    assert second in spares and second != first
    wait_until(lambda: not {first, second} & set(docker("ps", "-aq", "--no-trunc").split()), 60, "they are kept")
    wait_spares_ready(worker, 2)


MEDDLER = """
import ctypes, os, subprocess
from base import BaseTool

def attempt(what):
    try:
        what()
        return "done"
    except OSError as error:
        return type(error).__name__

class Meddler(BaseTool):
    name = "meddler"
    def execute(self, params, ctx):
        own = "/plugin/tools.py"
        os.chmod("/plugin", 0o755), os.chmod(own, 0o644)
        os.makedirs("/sandbox/a"), os.makedirs("/sandbox/b")
        return {
            "landlock": ctypes.CDLL(None).syscall(444, None, 0, 1) >= 2,
            "write": attempt(lambda: open(own, "a").close()),
            "truncate": attempt(lambda: os.truncate(own, 0)),
            "create": attempt(lambda: open("/plugin/new", "w").close()),
            "remove": attempt(lambda: os.unlink(own)),
            "rename": attempt(lambda: os.rename(own, "/plugin/other")),
            "child": subprocess.run(["sh", "-c", "echo x >>" + own], stderr=subprocess.DEVNULL).returncode != 0,
            "elsewhere": [attempt(lambda: open("/sandbox/a/f", "w").close()), attempt(lambda: os.rename("/sandbox/a/f", "/sandbox/b/f")),
                          attempt(lambda: open("/tmp/f", "w").close()), attempt(lambda: open("/dev/null", "w").close())],
        }
"""


def test_what_a_tool_may_do_to_its_own_files(tools):
    done = tools("tools.run_custom", source=MEDDLER, params={})
    assert done["status"] == "ok", done
    seen = done["result"]
    assert seen.pop("elsewhere") == ["done"] * 4
    if seen.pop("landlock"):  # without it the modes are all there is
        assert seen.pop("child") is True and set(seen.values()) == {"PermissionError"}, seen
