"""The gate before every call: rules of file and database, settings of tools, changed while running; and the audit behind it."""

import json
import re
import http.server
import uuid

import pytest

from sandboxes import Calls, HELD, container_of, open_gate, wait_said
from services import ROOT, wait_until
from web import Web

pytestmark = pytest.mark.docker
PRINT = "print('ran')"


@pytest.fixture
def rules(postgres):
    """Adds and removes rows; nothing stays."""
    yield postgres
    postgres.sql("DELETE FROM celeriac.policy_rules")
    postgres.sql("DELETE FROM celeriac.sandbox_settings")


def events(postgres, task_id, count=1):
    columns = "decision, kind, tool, target, conversation_id, project_id, actor, reason, duration_ms, detail"
    return wait_until(
        lambda: (rows := postgres.sql(f"SELECT {columns} FROM celeriac.activity_events WHERE task_id = %s AND kind <> 'container' "
                                      "ORDER BY at, id", task_id))
        and len(rows) >= count and rows, 30, lambda: f"no event of {task_id}")


def outcome(calls, **kwargs):
    """('ran', value) or (the exception's class, its text)."""
    result = calls.send(PRINT, **kwargs)
    try:
        return result.id, ("ran", result.get(timeout=90)["stdout"])
    except Exception as error:  # whatever Python makes of it
        return result.id, (type(error).__name__, str(error))


def test_a_rule_takes_effect_at_once(make_full_worker, app, rules):
    worker = make_full_worker()
    calls = Calls(app, rules)
    assert outcome(calls)[1] == ("ran", "ran\n")
    rules.sql("INSERT INTO celeriac.policy_rules (project_id, kind, pattern, action, note) "
              "VALUES ('closed', 'tool', 'sandbox.*', 'deny', 'not for them')")
    task, said = wait_until(lambda: (got := outcome(calls, project_id="closed"))[1][0] != "ran" and got, 30)
    assert said == ("PermissionError", "sandbox.execute_code is denied by the policy: not for them")
    assert outcome(calls, project_id="open")[1][0] == "ran"
    (row,) = events(rules, task)
    assert row[:3] == ("deny", "sandbox", "sandbox.execute_code") and row[5] == "closed" and row[7] == "not for them"
    assert rules.sql("SELECT count(*) FROM celeriac.tool_results WHERE task_id = %s", task) == [(0,)]
    rules.sql("DELETE FROM celeriac.policy_rules")
    wait_until(lambda: outcome(calls, project_id="closed")[1][0] == "ran", 30)
    assert worker.alive()


def test_the_file_is_read_first(make_full_worker, app, rules, directory):
    (directory / "policy").write_text("# ours\nallow tool sandbox.execute_code project=friends\ndeny tool sandbox.execute_code # closed here\n")
    rules.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, position) VALUES ('tool', '*', 'allow', 1)")
    make_full_worker(CELERIAC_POLICY=directory / "policy")
    calls = Calls(app, rules)
    assert outcome(calls, project_id="friends")[1][0] == "ran"
    assert outcome(calls)[1] == ("PermissionError", "sandbox.execute_code is denied by the policy: closed here")


def test_a_file_that_cannot_be_read(make_full_worker, directory):
    (directory / "policy").write_text("allow tool x\nperhaps tool y\n")
    worker = make_full_worker(start=False, CELERIAC_POLICY=directory / "policy").spawn()
    assert worker.process.wait(timeout=30) == 1
    assert "policy:2" in worker.log()


def test_a_policy_that_may_not_be_read(make_full_worker, make_postgres, app):
    """Nothing runs before it is known, and it is said why."""
    database = make_postgres()
    database.sql("REVOKE SELECT ON celeriac.policy_rules FROM PUBLIC, celeriac_worker")
    worker = make_full_worker(start=False, DATABASE_URL=database.url()).spawn()
    worker.wait_log("ERROR.*the policy cannot be loaded: .*permission denied")
    waiting = app.send_task("celeriac.echo", (1,))
    wait_until(lambda: worker.http("/readyz")[0] == 503, 30, "/readyz does not say so")
    database.sql("GRANT SELECT ON celeriac.policy_rules TO celeriac_worker")
    worker.wait_ready()
    assert waiting.get(timeout=30) == 1


def test_a_rule_that_means_nothing(make_full_worker, app, rules):
    """One that allows opens nothing; one that denies keeps everything of its kind closed."""
    rules.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action) VALUES ('url', 'ftp://x', 'allow')")
    worker = make_full_worker()
    calls = Calls(app, rules)
    assert outcome(calls)[1][0] == "ran"
    worker.wait_log("the rule is passed over")
    rules.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action) VALUES ('tool', E'\\u0001', 'deny')")
    wait_until(lambda: outcome(calls)[1][0] == "PermissionError", 30)
    worker.wait_log("everything of that kind is denied")


@pytest.fixture
def web():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *args):
            pass

    with Web(Handler) as server:
        yield server.port


def test_network_and_urls_by_project(make_full_worker, app, rules, web):
    make_full_worker(EGRESS_ALLOW=f"sandbox:localhost:{web}")
    calls = Calls(app, rules)
    code = ("import urllib.request, urllib.error\n"
            f"for path in '/open/x', '/closed':\n"
            f"    try: print(urllib.request.urlopen('http://localhost:{web}' + path).read().decode())\n"
            "    except urllib.error.HTTPError as e: print(e.code)\n"
            "    except OSError as e: print('nothing')\n")

    def tried(project):
        result = calls.send(code, f"c-{uuid.uuid4()}", project_id=project, env={"no_proxy": "", "NO_PROXY": ""})
        return result.id, result.get(timeout=90)["stdout"].split()

    assert tried("a")[1] == ["hello", "hello"]
    rules.sql(f"INSERT INTO celeriac.policy_rules (project_id, kind, pattern, action, position) VALUES "
              f"('a', 'url', 'http://localhost:{web}/open/*', 'allow', 1), ('a', 'url', '*', 'deny', 2)")
    task, _ = wait_until(lambda: (got := tried("a"))[1] == ["hello", "403"] and got, 30)
    assert tried("b")[1] == ["hello", "hello"]
    rows = events(rules, task, 4)
    assert sorted((row[0], row[1]) for row in rows) == [("allow", "egress"), ("allow", "exec"), ("allow", "sandbox"), ("deny", "egress")]
    assert {row[3] for row in rows if row[1] == "egress"} == {f"localhost:{web}"}
    rules.sql("INSERT INTO celeriac.sandbox_settings (tool, project_id, network) VALUES ('sandbox.execute_code', 'b', false)")
    wait_until(lambda: tried("b")[1] == ["nothing", "nothing"], 30)


def test_the_story_of_a_conversation(make_full_worker, app, rules):
    """Every call of it is there, in order, with who, what and how long; and nothing that is secret."""
    worker = make_full_worker()
    calls = Calls(app, rules)
    conversation = f"c-{uuid.uuid4()}"
    for code in "print(1)", "1/0":
        calls.run(code, conversation, project_id="p", env={"TOKEN": "very-secret"})
    with pytest.raises(Exception):
        calls.run("print(2)", conversation, project_id="another")
    columns = "decision, tool, project_id, actor, duration_ms >= 0"
    rows = wait_until(
        lambda: (got := rules.sql(f"SELECT {columns} FROM celeriac.activity_events WHERE conversation_id = %s AND kind = 'sandbox' "
                                  "ORDER BY at, id", conversation)) and len(got) >= 3 and got, 30)
    assert [row[0] for row in rows] == ["allow", "allow", "error"]
    assert all(row[1] == "sandbox.execute_code" and row[3].startswith("celery@") and row[4] for row in rows)
    assert [row[2] for row in rows] == ["p", "p", "another"]
    everything = rules.sql("SELECT e::text FROM celeriac.activity_events e WHERE conversation_id = %s", conversation)
    assert "very-secret" not in str(everything) and "very-secret" not in worker.log()
    lines = [json.loads(line.split("[audit] ", 1)[1]) for line in worker.log_lines(r"\[audit\]")
             if conversation in line and '"kind":"container"' not in line]
    assert [(line["decision"], line["kind"]) for line in lines] == [
        ("allow", "exec"), ("allow", "sandbox"), ("allow", "exec"), ("allow", "sandbox"), ("deny", "privilege"), ("error", "sandbox")]


def documented_story():
    """The SELECT of celeriac-schema(7), as it stands there."""
    page = (ROOT / "worker/celeriac-schema.7").read_text()
    found = re.search(r"^(WITH own AS .*?;)$", page, re.M | re.S)
    return found.group(1).rstrip(";").replace("'c-42'", "%s")


def test_the_whole_story_in_one_select(make_full_worker, app, rules):
    """A container's birth, what ran in it, what was denied, its death: also of one that was ready before."""
    worker = make_full_worker(SANDBOX_POOL="1", EGRESS_ALLOW="")
    calls = Calls(app, rules)
    conversation = f"c-{uuid.uuid4()}"
    result = calls.run(PRINT, conversation, project_id="p")
    with pytest.raises(Exception):
        calls.run(PRINT, conversation, project_id="another")
    app.send_task("sandbox.close", kwargs={"conversation_id": conversation}).get(timeout=60)

    def story():
        rows = rules.sql(documented_story(), conversation, conversation)
        return rows if {"remove", "sandbox.close"} <= {row[3] for row in rows} else None

    told = wait_until(story, 30, lambda: f"{rules.sql(documented_story(), conversation, conversation)}\n{worker.log()[-3000:]}")
    what = [(row[1], row[2], row[3]) for row in told]
    assert what == [
        ("allow", "container", "create"), ("allow", "exec", "sandbox.execute_code"), ("allow", "sandbox", "sandbox.execute_code"),
        ("deny", "privilege", "sandbox.execute_code"), ("error", "sandbox", "sandbox.execute_code"),
        ("allow", "container", "remove"), ("allow", "sandbox", "sandbox.close")]
    assert {row[4] for row in told if row[2] == "container"} == {result["sandbox"]} == {told[1][4]}
    assert all(row[5] for row in told) and worker.metric("audit_dropped_total") == 0


def test_events_wait_for_the_database(make_full_worker, app, broker, instance, make_postgres):
    """A database that goes away in the middle of a call: the call waits, its event too, and both arrive."""
    own = make_postgres()
    worker = make_full_worker(DATABASE_URL=own.url("worker"))
    calls = Calls(app, own)
    calls.run(PRINT, "c-before")
    result = calls.send(HELD, "c-outage")
    wait_said(broker, result.id, "begun")
    own.kill()
    wait_until(lambda: worker.readiness().get("database") == "away", 60, "the outage went unnoticed")
    open_gate(container_of(instance, "c-outage"))
    own.start()
    assert result.get(timeout=90)["status"] == "ok"
    assert [row[:2] for row in events(own, result.id, 2)] == [("allow", "exec"), ("allow", "sandbox")]


def test_a_denial_holds_by_every_entry(make_full_worker, app, rules):
    """One rule about a tool: by its task, by an alias, by tools.call; a plugin's; HTTP tools that a message brings along."""
    make_full_worker(CELERIAC_TASK_ALIASES="app.run=sandbox.execute_code", PLUGIN_DIR=str(ROOT / "tests/data/plugins"))
    rules.sql("INSERT INTO celeriac.policy_rules (project_id, kind, pattern, action, note) VALUES "
              "('p', 'tool', 'sandbox.execute_code', 'deny', 'closed'), ('p', 'tool', 'calc_*', 'deny', 'closed')")
    code = {"conversation_id": "c-entry", "code": "print(1)", "project_id": "p"}
    add = {"a": 1, "b": 2}
    entries = [
        ("sandbox.execute_code", code), ("app.run", code),
        ("tools.call", {"name": "execute_code", "params": {"code": "print(1)"}, "conversation_id": "c-entry", "project_id": "p"}),
        ("tools.run_plugin", {"plugin": "calculator", "tool": "calc_add", "params": add, "project_id": "p"}),
        ("tools.call", {"name": "calc_add", "params": add, "project_id": "p"}),
        ("tools.call_http", {"tool": {"name": "inline", "method": "GET", "url": "http://127.0.0.1:1/"}, "params": {}, "project_id": "p"}),
    ]

    def tried(name, kwargs):
        result = app.send_task(name, kwargs=kwargs)
        try:
            value = result.get(timeout=90)
            return result, value["status"] if value.get("status") == "denied" else value
        except PermissionError:
            return result, "denied"

    wait_until(lambda: tried(*entries[0])[1] == "denied", 30)
    for name, kwargs in entries:
        result, said = tried(name, kwargs)
        assert said == "denied", (name, kwargs, said)
        assert "deny" in [row[0] for row in events(rules, result.id)], name
