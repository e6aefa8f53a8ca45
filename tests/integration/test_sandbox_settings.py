"""sandbox_settings: what a tool's container may have, by project, changed while the worker runs."""

import os
import pathlib
import uuid

import pytest

from sandboxes import HELD, IMAGE, Calls, containers, docker, inspect, open_gate, wait_said
from services import ROOT, wait_until

pytestmark = pytest.mark.docker
MIB = 1 << 20
COUNT = """import pathlib
p = pathlib.Path('/sandbox/n')
p.write_text(str(int(p.read_text()) + 1 if p.exists() else 1))
print(p.read_text())
"""


def on_the_host(script):
    """What is done in /var/tmp of the engine's host, which need not be the root that this test sees."""
    return docker("run", "--rm", "--network=none", "--user=0:0", "--workdir=/host", "-v", "/var/tmp:/host", IMAGE, "sh", "-ec", script)


@pytest.fixture
def shared():
    """Directories of the engine's host; not below /tmp, which is a sandbox's own."""
    name = f"celeriac-test-{uuid.uuid4().hex}"
    on_the_host(f"mkdir -p {name}/in/below {name}/out; printf 'hello from the host' >{name}/in/hello; chmod 777 {name}/out")
    yield pathlib.Path("/var/tmp", name)
    on_the_host(f"rm -r {name}")


class Rows:
    def __init__(self, postgres):
        self.postgres = postgres

    def set(self, tool="sandbox.execute_code", project=None, network=True, mounts="", limits="{}"):
        self.postgres.sql(
            "INSERT INTO celeriac.sandbox_settings (tool, project_id, network, mounts, limits) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (tool, coalesce(project_id, '')) DO UPDATE SET network = excluded.network, mounts = excluded.mounts, limits = excluded.limits",
            tool, project, network, mounts, limits)

    def rule(self, kind, pattern, action="allow", position=0):
        self.postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, position) VALUES (%s, %s, %s, %s)",
                          kind, pattern, action, position)

    def clear(self):
        for table in "sandbox_settings", "policy_rules":
            self.postgres.sql(f"DELETE FROM celeriac.{table}")

    def events(self, result, kind):
        return wait_until(lambda: self.postgres.sql(
            "SELECT decision, target, reason FROM celeriac.activity_events WHERE task_id = %s AND kind = %s ORDER BY id", result.id, kind),
            30, f"no {kind} event")


@pytest.fixture
def rows(postgres):
    made = Rows(postgres)
    yield made
    made.clear()


def ended(result):
    """Its value, or (class, text) of what it raised."""
    try:
        return result.get(timeout=90)
    except Exception as error:  # whatever Python makes of it
        return type(error).__name__, str(error)


def until(calls, wanted, *args, **kwargs):
    """Calls until it ends so: a change is there at once, but not before the next call."""
    def look():
        look.last = (result := calls.send(*args, **kwargs)), ended(result)
        return look.last if wanted(look.last[1]) else None

    return wait_until(look, 30, lambda: f"ended as {look.last[1]}")


def denied(value):
    return isinstance(value, tuple) and value[0] == "PermissionError"


def test_mounts(make_full_worker, app, postgres, rows, shared, instance):
    """Listed with its mode and allowed by a rule, or refused and recorded; never what is not only files, even if it is listed."""
    make_full_worker(SANDBOX_POOL="1", SANDBOX_MOUNT_ALLOW=f"{shared}/in:ro,{shared}/out:rw,/etc:ro,/var/run/docker.sock:rw,/:ro")
    calls = Calls(app, postgres)
    read = (f"import errno, os\nprint(os.path.exists('{shared}/in/hello') and open('{shared}/in/hello').read())\n"
            f"for p in '{shared}/in/x', '{shared}/out/x':\n"
            "    try: print(open(p, 'w').write('from inside'))\n"
            "    except OSError as e: print(errno.errorcode[e.errno])\n")

    def pooled():
        name = f"c-{uuid.uuid4()}"
        value = calls.run(read, name)
        return inspect(value["sandbox"])["Config"]["Labels"]["celeriac.role"] == "pool" and (name, value)

    conversation, first = wait_until(pooled, 30)
    assert first["stdout"] == "False\nENOENT\nENOENT\n"
    assert [m["Type"] for m in inspect(first["sandbox"])["Mounts"]] == ["volume"]

    rows.set(mounts=f" {shared}/in:ro \n\n{shared}/out:rw\n")
    result, said = until(calls, denied, read, conversation)
    assert said[1] == f"sandbox_settings of sandbox.execute_code: mount {shared}/in:ro is denied by the policy, as no rule allows it"
    assert rows.events(result, "mount") == [("deny", f"{shared}/in:ro", "no rule allows it")]

    rows.rule("mount", f"{shared}/*")
    result, value = until(calls, lambda v: not denied(v), read, conversation)
    assert value["stdout"] == "hello from the host\nEROFS\n11\n"
    assert value["restarted"] and not value["reused"] and value["sandbox"] != first["sandbox"]
    assert on_the_host(f"cat {shared.name}/out/x") == "from inside"
    made = inspect(value["sandbox"])
    assert made["Config"]["Labels"]["celeriac.role"] == "conversation", "what is ready has no mounts"
    assert sorted((m["Source"], m["Destination"], m["RW"]) for m in made["Mounts"] if m["Type"] == "bind") == [
        (f"{shared}/in", f"{shared}/in", False), (f"{shared}/out", f"{shared}/out", True)]
    wait_until(lambda: first["sandbox"] not in containers(instance), 30, "what it was in before stayed")
    assert calls.run(read, conversation)["reused"]

    refused = {
        f"{shared}/out:ro": f"SANDBOX_MOUNT_ALLOW does not list {shared}/out:ro",
        f"{shared}/in/below:ro": f"SANDBOX_MOUNT_ALLOW does not list {shared}/in/below:ro",
        "/etc:ro": "/etc is the host's own and never mounted",
        "/:ro": "/ is the host's own and never mounted",
        "/var/run/docker.sock:rw": "/var/run/docker.sock is a socket and never mounted",
        "/proc:ro": "/proc is the host's own and never mounted",
        "/var/lib/docker/volumes:ro": "/var/lib/docker/volumes is the engine's own and never mounted",
        f"{shared}/in": f"'{shared}/in' is not path:ro or path:rw",
        f"{shared}/in/../../etc:ro": f"'{shared}/in/../../etc:ro': not a plain absolute path",
    }
    rows.rule("mount", "*")
    for line, why in refused.items():
        rows.set(mounts=f"{shared}/in:ro\n{line}")
        result, said = until(calls, lambda v: denied(v) and why in v[1], "print(1)", conversation)
        assert rows.events(result, "mount") == [("deny", line, why)]

    rows.rule("mount", f"{shared}/out:*", "deny", -1)
    rows.set(mounts=f"{shared}/in:ro\n{shared}/out:rw")
    until(calls, lambda v: denied(v) and f"mount {shared}/out:rw is denied by the policy" in v[1], "print(1)", conversation)
    rows.clear()
    _, after = until(calls, lambda v: not denied(v), read, conversation)
    assert after["stdout"] == "False\nENOENT\nENOENT\n" and after["restarted"]


def test_limits(make_full_worker, app, postgres, rows):
    """Within the settings, the project's row before the one for all, each for its own tool; what is wrong is said by name."""
    make_full_worker(SANDBOX_POOL="0", PLUGIN_DIR=str(ROOT / "tests/data/plugins"))
    calls, conversation = Calls(app, postgres), f"c-{uuid.uuid4()}"
    rows.set(project="p", limits='{"memory": "80m"}')
    rows.set(limits='{"memory": "100m", "pids": 50, "cpus": 0.5, "work_size": "20m", "timeout": 20, "output_limit": "2k", "files_max": 1}')
    until(calls, lambda v: v == ("ValueError", "timeout must be at most 20 seconds (sandbox_settings)"), "1", timeout=21)
    value = calls.run("print('x' * 10000)\nopen('/sandbox/output/a', 'w').write('a')\nopen('/sandbox/output/b', 'w').write('b')", conversation)
    host = inspect(value["sandbox"])["HostConfig"]
    assert (host["Memory"], host["PidsLimit"], host["NanoCpus"]) == (120 * MIB, 50, 500_000_000)
    assert value["stdout_dropped"] == 10001 - 2048 and len(value["files"]) == 1 and len(value["files_skipped"]) == 1
    other = calls.run("print(1)", project_id="p")
    host = inspect(other["sandbox"])["HostConfig"]
    assert (host["Memory"], host["PidsLimit"], host["NanoCpus"]) == ((80 + 256) * MIB, 256, 1_000_000_000)

    assert calls.run(COUNT, conversation)["reused"]
    rows.set(limits='{"timeout": "1s", "memory": "100m", "pids": 50, "cpus": 0.5, "work_size": "20m"}')
    _, value = until(calls, lambda v: v["status"] == "timeout", "import time; time.sleep(5)", conversation)
    assert value["reused"], "another time limit is no other container"

    for text, why in {'{"memory": "1g"}': "limits.memory: above SANDBOX_MEMORY", '{"privileged": true}': "limits: there is no 'privileged'"}.items():
        rows.set(limits=text)
        result, said = until(calls, lambda v: isinstance(v, tuple) and why in v[1], "print(1)", conversation)
        assert said == ("RuntimeError", f"sandbox_settings of sandbox.execute_code: {why}")
        assert rows.events(result, "sandbox")[0][0] == "error"
    assert calls.run("print(1)", project_id="p")["status"] == "ok", "the row for all does not concern it"

    def tool(name, **kwargs):
        return ended(app.send_task(name, kwargs=kwargs))

    source = ("from base import BaseTool\nclass Tool(BaseTool):\n    name = 'custom_x'\n    description = ''\n"
              "    input_schema = {'type': 'object'}\n    def execute(self, params, ctx): import time; time.sleep(5); return 'done'\n")
    rows.set(tool="tools.run_custom", limits='{"timeout": 0.5}')
    wait_until(lambda: tool("tools.run_custom", source=source, params={})["status"] == "timeout", 30)
    rows.set(tool="calc_add", limits='{"files_max": 0}')
    rows.set(tool="tools.run_plugin", limits='{"memory": 1}')
    add = {"plugin": "calculator", "tool": "calc_add", "params": {"a": 1, "b": 2}}
    wait_until(lambda: "limits.memory" in str(tool("tools.run_plugin", plugin="calculator", tool="calc_divide", params={"a": 1, "b": 2})), 30)
    assert tool("tools.run_plugin", **add)["result"] == "3", "the row of the tool goes before that of its task"
    rows.set(tool="calc_add", mounts="/srv/nowhere:ro")
    refused = wait_until(lambda: (got := tool("tools.run_plugin", **add))["status"] == "denied" and got, 30)
    assert refused["error"] == "sandbox_settings of calc_add: SANDBOX_MOUNT_ALLOW does not list /srv/nowhere:ro" and refused["is_error"]


@pytest.mark.parametrize("dies", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_change_in_the_middle_of_a_run(make_full_worker, app, broker, postgres, rows, instance, dies):
    """A run that has begun ends where it is, whoever's it is then; the next one is in another container."""
    first = make_full_worker(SANDBOX_POOL="1")
    calls, conversation = Calls(app, postgres), f"c-{uuid.uuid4()}"
    kept = calls.run(COUNT, conversation)
    result = calls.send(HELD + COUNT, conversation)
    wait_said(broker, result.id, "begun")
    rows.set(limits='{"memory": "64m"}')
    if dies:
        second = make_full_worker(SANDBOX_POOL="1")
        first.kill()
    open_gate(kept["sandbox"])
    value = result.get(timeout=90)
    assert (value["status"], value["stdout"], value["sandbox"]) == ("ok", "begun\n2\n", kept["sandbox"])
    assert calls.row(result.id, "attempt", "worker") == (1, (second if dies else first).node)
    _, after = until(calls, lambda v: v["restarted"], COUNT, conversation)
    assert after["stdout"] == "1\n" and after["sandbox"] != kept["sandbox"]
    assert inspect(after["sandbox"])["HostConfig"]["Memory"] == (64 + 256) * MIB
    wait_until(lambda: kept["sandbox"] not in containers(instance), 30, "what it was in before stayed")


def test_a_named_network_is_for_those_who_have_one(make_full_worker, app, postgres, rows):
    network = f"celeriac-test-{uuid.uuid4().hex[:8]}"
    try:
        make_full_worker(SANDBOX_NETWORK=network, SANDBOX_POOL="1", PLUGIN_DIR=str(ROOT / "tests/data/plugins"))
        calls, conversation = Calls(app, postgres), f"c-{uuid.uuid4()}"
        value = calls.run("print(1)", conversation)
        assert inspect(value["sandbox"])["HostConfig"]["NetworkMode"] == network
        plugin = app.send_task("tools.run_plugin", kwargs={"plugin": "context", "tool": "context", "params": {}}).get(timeout=90)
        assert plugin["result"]["network"] is False
        rows.set(network=False)
        _, value = until(calls, lambda v: v["restarted"], "print(1)", conversation)
        assert inspect(value["sandbox"])["HostConfig"]["NetworkMode"] == "none"
    finally:
        for container in docker("ps", "-aq", "--filter", f"network={network}").split():
            docker("rm", "-f", container, check=False)
        docker("network", "rm", network, check=False)


def test_a_list_that_cannot_be(make_full_worker):
    worker = make_full_worker(start=False, CELERIAC_ENGINE="fork", SANDBOX_MOUNT_ALLOW="/srv/a:rw,/srv/a/b:ro").spawn()
    assert worker.process.wait(timeout=30) == 1
    assert "SANDBOX_MOUNT_ALLOW: /srv/a/b lies below /srv/a:rw" in worker.log()
