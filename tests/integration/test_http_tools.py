"""Custom HTTP tools against a real server: every kind of authentication and content, and what a server or a message may try."""

import base64
import hashlib
import json
import os
import subprocess
import urllib.parse

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from http_peer import KEY, call, peer, rows, worker_of_tools  # noqa: F401
from services import wait_until
from worker import PROGRAM


def test_requests(call, rows, peer, postgres):  # noqa: F811
    rows(name="get", url=peer + "/items/{id}", headers="X-Own: yes\n",
         input_schema={"type": "object", "properties": {"id": {"type": "string"}, "q": {}}, "required": ["id"]})
    done = call("custom_get", {"id": "a/../b", "q": "x&y=1"})
    assert set(done) == {"status", "result", "content", "is_error", "error", "duration_ms"}
    assert (done["status"], done["is_error"], done["error"]) == ("ok", False, None)
    assert done["result"]["path"] == "/items/a%2F..%2Fb?q=x%26y%3D1" and done["result"]["headers"]["x-own"] == "yes"
    assert call("get", {"q": 1})["error"] == "params.id is required"
    assert call("get", {"id": 5})["error"] == "params.id must be string"
    rows(name="post", method="POST", url=peer + "/things", body='{"say": "{text}", "count": {n}}')
    done = call("post", {"text": 'a"b\\\n', "n": [1, {"x": None}]})
    assert json.loads(done["result"]["body"]) == {"say": 'a"b\\\n', "count": [1, {"x": None}]}
    assert done["result"]["headers"]["content-type"] == "application/json"
    rows(name="form", method="PUT", url=peer + "/form", content_type="application/x-www-form-urlencoded")
    done = call("form", {"a": "x y", "b": "é&"})
    assert urllib.parse.parse_qs(done["result"]["body"]) == {"a": ["x y"], "b": ["é&"]}
    rows(name="plain", method="PATCH", url=peer + "/plain", content_type="text/plain", body="hello {who}")
    assert call("plain", {"who": "you"})["result"]["body"] == "hello you"
    rows(name="part", url=peer + "/part", response_path="list[1].name")
    assert call("part")["result"] == "second"
    rows(name="nopart", url=peer + "/part", response_path="/nothing/there")
    assert call("nopart")["error"] == "response_path: there is nothing at /nothing/there"
    last = postgres.sql("SELECT kind, tool, status, result->'result', result->>'error' FROM celeriac.tool_results ORDER BY started_at DESC LIMIT 2")
    assert last == [("http", "tools.call_http", "error", None, "response_path: there is nothing at /nothing/there"),
                    ("http", "tools.call_http", "ok", "second", None)]


def seal(key, place, secret):
    """What an application does: the ten lines of the manual."""
    raw = base64.b64decode(key)
    nonce = os.urandom(12)
    sealed = AESGCM(raw).encrypt(nonce, secret.encode(), place.encode())
    return f"v1:{hashlib.sha256(raw).hexdigest()[:8]}:{base64.b64encode(nonce + sealed).decode()}"


def sealed_by_worker(place, secret, **environment):
    return subprocess.run([str(PROGRAM), "--seal", place], input=secret, capture_output=True, text=True,
                          env={**os.environ, "SECRETS_ENCRYPTION_KEY": KEY, **environment})


def test_seal(call, rows, peer, postgres):  # noqa: F811
    """What the program seals, the application can open, and the worker."""
    number = rows(name="sealed", url=peer + "/auth")
    sealed = sealed_by_worker(f"http_tools.auth.{number}", "s3aled by us\n").stdout.strip()
    nonce = base64.b64decode(sealed.split(":")[2])
    assert AESGCM(base64.b64decode(KEY)).decrypt(nonce[:12], nonce[12:], f"http_tools.auth.{number}".encode()) == b"s3aled by us"
    postgres.sql("UPDATE celeriac.http_tools SET auth = %s WHERE id = %s", json.dumps({"type": "bearer", "token": sealed}), number)
    assert call("sealed")["result"]["headers"]["authorization"] == "Bearer s3aled by us"
    for key, words in (("", "SECRETS_ENCRYPTION_KEY is not set"), ("c2hvcnQ=", "key 1 is not the base64 of 32 bytes")):
        failed = sealed_by_worker("http_tools.auth.1", "x", SECRETS_ENCRYPTION_KEY=key)
        assert failed.returncode == 1 and words in failed.stderr and failed.stdout == ""


def test_authentication(call, rows, peer, postgres):  # noqa: F811
    secrets = {"bearer": "t0k-very-secret", "value": "k3y-very-secret", "password": "p4ss-very-secret"}
    rows(name="none", url=peer + "/auth")
    assert "authorization" not in call("none")["result"]["headers"]
    rows(name="bearer", url=peer + "/auth", auth={"type": "bearer", "token": secrets["bearer"]})
    assert call("bearer")["result"]["headers"]["authorization"] == "Bearer " + secrets["bearer"]
    rows(name="key", url=peer + "/auth", auth={"type": "api_key", "header": "X-Api-Key", "value": secrets["value"]})
    assert call("key")["result"]["headers"]["x-api-key"] == secrets["value"]
    rows(name="basic", url=peer + "/auth", auth={"type": "basic", "user": "u", "password": secrets["password"]})
    assert call("basic")["result"]["headers"]["authorization"] == "Basic " + base64.b64encode(("u:" + secrets["password"]).encode()).decode()
    number = rows(name="sealed", url=peer + "/auth")
    postgres.sql("UPDATE celeriac.http_tools SET auth = %s WHERE id = %s",
                 json.dumps({"type": "bearer", "token": seal(KEY, f"http_tools.auth.{number}", "s3aled")}), number)
    assert call("sealed")["result"]["headers"]["authorization"] == "Bearer s3aled"
    elsewhere = rows(name="moved", url=peer + "/auth", auth={"type": "bearer", "token": seal(KEY, f"http_tools.auth.{number}", "s3aled")})
    with pytest.raises(Exception, match=f"http_tools.auth.{elsewhere} does not open"):
        call("moved")


def test_what_servers_may_try(call, rows, peer):  # noqa: F811
    def tool(name, path, **row):
        rows(name=name, url=peer + path, **row)
        return call(name)

    redirect = tool("redirect", "/redirect")
    assert (redirect["status"], redirect["error"]) == ("error", "HTTP status 302, redirects are not followed")
    wrong = tool("wrong", "/status/418")
    assert (wrong["status"], wrong["is_error"], wrong["error"], wrong["result"]) == ("error", True, "HTTP status 418", {"detail": "so it is"})
    assert tool("slow", "/slow", timeout=0.5)["status"] == "timeout"
    assert tool("drip", "/drip", timeout=0.5)["status"] == "timeout"
    assert tool("bomb", "/bomb")["error"] == "the answer has more than 16777216 bytes"
    assert tool("endless", "/endless")["error"] == "the answer has more than 16777216 bytes"
    assert tool("brotli", "/brotli")["error"] == "the answer has more than 16777216 bytes"
    assert tool("continue", "/continue", timeout=1)["status"] == "timeout"
    assert tool("old", "/old")["error"] == "Received HTTP/0.9 when not allowed"
    assert tool("two", "/two")["result"] == {}
    assert tool("next", "/next")["result"]["path"] == "/next", "an answer that nobody asked for was taken"
    assert tool("zipped", "/zipped")["result"] == {"zipped": True}
    assert tool("heads", "/heads")["error"] == "more than 65536 bytes of headers"
    assert tool("early", "/early")["status"] == "error"
    assert tool("nothing", "/nothing")["status"] == "error"
    assert tool("garbage", "/garbage")["status"] == "error"
    assert tool("nested", "/nested")["result"].startswith("[[[["), "text, as it cannot be read"


@pytest.mark.parametrize("url", [
    "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:6379/", "http://[::1]/", "http://10.0.0.1/", "http://192.168.1.1/",
    "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[fd00:ec2::254]/", "http://0.0.0.0/", "http://localhost/"])
def test_addresses_that_are_not_for_tools(call, rows, url):  # noqa: F811
    rows(name="inside", url=url)
    done = call("inside")
    assert done["status"] == "denied" and done["error"], done


def test_projects_are_apart(call, rows, peer):  # noqa: F811
    rows(name="mine", project_id="a", url=peer + "/a")
    rows(name="both", url=peer + "/all")
    rows(name="both", project_id="a", url=peer + "/own")
    rows(name="off", url=peer + "/x", enabled=False)
    assert call("mine", project_id="a")["result"]["path"] == "/a"
    for project in ("b", None):
        with pytest.raises(ValueError, match="there is no HTTP tool 'mine'"):
            call("mine", project_id=project)
    assert call("both", project_id="a")["result"]["path"] == "/own"
    assert call("both", project_id="b")["result"]["path"] == "/all"
    with pytest.raises(ValueError, match="there is no HTTP tool 'off'"):
        call("off")
    with pytest.raises(TypeError, match="tool must be str or dict, not int"):
        call(5)


def test_inline_tools_need_a_rule(call, rows, peer, postgres):  # noqa: F811
    last = postgres.sql("SELECT coalesce(max(id), 0) FROM celeriac.activity_events")[0][0]
    tool = {"url": peer + "/inline", "auth": {"type": "bearer", "token": "inline-very-secret"}, "headers": "X-Key: header-very-secret"}
    denied = call(tool)
    assert (denied["status"], denied["is_error"]) == ("denied", True) and "http_inline is denied" in denied["error"]
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action) VALUES ('tool', 'http_inline', 'allow')")
    done = wait_until(lambda: (got := call(tool))["status"] == "ok" and got, 30)
    assert done["result"]["headers"]["authorization"] == "Bearer inline-very-secret"
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, note, position) VALUES ('url', '*/inline', 'deny', 'not there', 1)")
    denied = wait_until(lambda: (got := call(tool))["status"] == "denied" and got, 30)
    assert "not there" in denied["error"]
    assert postgres.sql("SELECT count(*) FROM celeriac.tool_results WHERE params::text LIKE '%%very-secret%%'") == [(0,)]

    def events():
        return postgres.sql("SELECT DISTINCT decision, kind FROM celeriac.activity_events WHERE id > %s", last)

    wait_until(lambda: {("deny", "tool"), ("deny", "url"), ("allow", "http")} <= set(events()), 30, lambda: f"only {events()}")
    assert postgres.sql("SELECT count(*) FROM celeriac.activity_events WHERE detail::text LIKE '%%very-secret%%'") == [(0,)]


def test_a_denied_tool_is_a_result(call, rows, peer, postgres):  # noqa: F811
    rows(name="weather", url=peer + "/w")
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, note) VALUES ('tool', 'weather', 'deny', 'no weather')")
    denied = wait_until(lambda: (got := call("weather"))["status"] == "denied" and got, 30)
    assert denied["error"] == "weather is denied by the policy: no weather" and denied["is_error"] is True


def test_secrets_are_in_no_log(worker_of_tools, call, rows, peer):  # noqa: F811
    """The server does not repeat them: what it answers is the result, and results are logged."""
    before = len(worker_of_tools.worker.log())
    kinds = ({"type": "basic", "user": "u", "password": "l0g-very-secret"}, {"type": "bearer", "token": "l0g-very-secret"},
             {"type": "api_key", "header": "X-Key", "value": "l0g-very-secret"})
    for number, auth in enumerate(kinds):
        for path in ("/status/200", "/status/401", "/garbage", "/go/302"):
            name = f"quiet{number}{path.strip('/').replace('/', '')}"
            rows(name=name, url=peer + path, auth=auth, headers="X-Own: l0g-very-secret", redirects=1)
            call(name)
    log = worker_of_tools.worker.log()[before:]
    assert "quiet2go302" in log
    for secret in ("very-secret", base64.b64encode(b"u:l0g-very-secret").decode()):
        assert secret not in log
