"""Custom HTTP tools whose request is made in a sandbox: the same request, under the same rules, and its secret in that run alone."""

import base64
import json
import subprocess
import threading
import urllib.parse

import pytest

from http_peer import call, peer, Peer, rows, worker_of_tools  # noqa: F401
from sandboxes import containers
from services import wait_until

pytestmark = pytest.mark.docker
IN_SANDBOX = "INSERT INTO celeriac.sandbox_settings (tool, network, run_in_sandbox) VALUES (%s, %s, true)"


@pytest.fixture
def in_sandbox(postgres, worker_of_tools, call, rows, peer):  # noqa: F811
    """Every HTTP tool from now on; not before the worker knows."""
    rows(name="where", url=peer + "/where")
    postgres.sql(IN_SANDBOX, "tools.call_http", True)

    def from_there():
        done = call("where")  # refused as long as the worker knows of what an earlier test forbade
        return done["status"] == "ok" and "celeriac" not in done["result"]["headers"].get("user-agent", "")

    wait_until(from_there, 30, "the request is not made in a sandbox")
    yield
    postgres.sql("DELETE FROM celeriac.sandbox_settings")


def test_the_same_request(in_sandbox, call, rows, peer, postgres):  # noqa: F811
    """What the server sees and what comes back is what it would be without the sandbox."""
    rows(name="get", url=peer + "/items/{id}", headers="X-Own: yés\nAccept: text/plain", auth={"type": "bearer", "token": "t0k"},
         response_path="list[1].name")
    Peer.seen.clear()
    done = call("custom_get", {"id": "a/b", "q": "x&y"})
    assert (done["status"], done["result"]) == ("ok", "second"), done
    method, path, headers, body = Peer.seen[-1]
    assert (method, path, body) == ("GET", "/items/a%2Fb?q=x%26y", "")
    headers = {name.lower(): value for name, value in headers.items()}
    assert headers["host"] == urllib.parse.urlsplit(peer).netloc and headers["authorization"] == "Bearer t0k"
    assert headers["accept"] == "text/plain" and headers["x-own"].encode("latin-1").decode() == "yés"
    rows(name="post", method="POST", url=peer + "/things", auth={"type": "basic", "user": "u", "password": "p"}, body='{"say": "{text}"}')
    done = call("post", {"text": 'ä"'})
    assert json.loads(done["result"]["body"]) == {"say": 'ä"'} and done["result"]["headers"]["content-type"] == "application/json"
    assert done["result"]["headers"]["authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
    row = postgres.sql("SELECT kind, status, container_id FROM celeriac.tool_results WHERE tool = 'tools.call_http' ORDER BY started_at DESC LIMIT 1")[0]
    assert row[:2] == ("http", "ok") and row[2], "the row names the container"


TRIED = {"/bomb": ("error", "the answer has more than 16777216 bytes"), "/early": ("error", "the answer ended early"),
         "/drip": ("timeout", "no answer within the time")}
TRIED_TOO = {"/go/302": ("error", "HTTP status 302, redirects are not followed"), "/endless": ("error", "the answer has more than 16777216 bytes"),
             "/heads": ("error", "more than 65536 bytes of headers"), "/garbage": ("error", "the answer is no HTTP"), "/nothing": ("error", ""),
             "/nested": ("ok", ""), "/status/418": ("error", "HTTP status 418"), "/zipped": ("ok", "")}


@pytest.mark.parametrize("paths", [TRIED, pytest.param(TRIED_TOO, marks=pytest.mark.long)], ids=["some", "more"])
def test_what_servers_may_try(in_sandbox, call, rows, peer, paths):  # noqa: F811
    for number, (path, (status, error)) in enumerate(paths.items()):
        rows(name=f"try{number}", url=peer + path, timeout=2 if path == "/drip" else 30, redirects=5)
        done = call(f"try{number}")
        assert done["status"] == status and (done["error"] or "").startswith(error), (path, done)
        assert path != "/zipped" or done["result"] == {"zipped": True}


def test_the_same_rules(in_sandbox, call, rows, peer, postgres, worker_of_tools):  # noqa: F811
    for number, url in enumerate(("http://169.254.169.254/latest/", "https://10.0.0.1/", "http://localhost/")):
        rows(name=f"inside{number}", url=url)
        done = call(f"inside{number}")
        assert done["status"] == "denied" and done["error"], (url, done)
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, note) VALUES ('url', '*/where', 'deny', 'not there')")
    denied = wait_until(lambda: (got := call("where"))["status"] == "denied" and got, 30)
    assert "not there" in denied["error"]
    postgres.sql("UPDATE celeriac.sandbox_settings SET network = false")
    postgres.sql("DELETE FROM celeriac.policy_rules")
    wait_until(lambda: call("where")["error"] == "sandbox_settings give the tool no network", 30)


def test_its_secret_is_in_that_run_alone(in_sandbox, call, rows, peer, worker_of_tools, monkeypatch):  # noqa: F811
    """Not in the container's configuration, nor in an environment or a command line in it."""
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(Peer, "do_held", lambda self: (begun.set(), go_on.wait(60), self.say()), raising=False)
    rows(name="held", url=peer + "/held", auth={"type": "bearer", "token": "held-very-secret"}, timeout=60)
    result = worker_of_tools.app.send_task("tools.call_http", kwargs={"tool": "held", "params": {}})
    try:
        assert begun.wait(60)
        # those of earlier calls may still be on their way out
        found = wait_until(lambda: len(now := containers(worker_of_tools.instance, "--filter", "status=running")) == 1 and now, 30,
                           "not one container")
        inspected = subprocess.run(["docker", "inspect", found[0]], capture_output=True, text=True, check=True).stdout
        inside = subprocess.run(["docker", "exec", "--user", "0", found[0], "sh", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline"],
                                capture_output=True, text=True).stdout
        assert "http_proxy" in inside or "celeriac" in inside, "something was read"
        assert "very-secret" not in inspected + inside
    finally:
        go_on.set()
    assert result.get(timeout=60)["status"] == "ok"
    assert "very-secret" not in worker_of_tools.worker.log()
    wait_until(lambda: containers(worker_of_tools.instance) == [], 60, "its container is still there")
