"""Custom HTTP tools against a real server: every kind of authentication and content, and what a server or a message may try."""

import base64
import gzip
import hashlib
import http.server
import json
import os
import subprocess
import threading
import time
import urllib.parse

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services import ROOT, wait_until


class Peer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []

    def log_message(self, *_):
        pass

    def say(self, status=200, body=b"{}", kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        Peer.seen.append((self.command, self.path, dict(self.headers), body))
        path = urllib.parse.urlsplit(self.path).path
        special = getattr(self, "do_" + path.strip("/").split("/")[0], None)
        if special:
            return special()
        self.say(body=json.dumps({"method": self.command, "path": self.path, "body": body, "headers": {k.lower(): v for k, v in self.headers.items()},
                                  "list": [{"name": "first"}, {"name": "second"}]}).encode())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def do_redirect(self):
        self.say(302, b"", Location="http://169.254.169.254/latest/meta-data/")

    def do_status(self):
        self.say(int(self.path.rsplit("/", 1)[1]), b'{"detail": "so it is"}')

    def do_slow(self):
        time.sleep(30)

    def do_drip(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b".")
                time.sleep(0.05)
        except OSError:
            self.close_connection = True

    def do_bomb(self):
        """A kilobyte for each megabyte."""
        self.say(body=gzip.compress(b"0" * (64 << 20)), kind="text/plain", Content_Encoding="gzip")

    def do_zipped(self):
        self.say(body=gzip.compress(b'{"zipped": true}'), Content_Encoding="gzip")

    def do_endless(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            self.close_connection = True

    def do_heads(self):
        self.send_response(200)
        for number in range(60):
            self.send_header(f"X-{number}", "y" * 2000)
        self.end_headers()

    def do_early(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: text/plain\r\n\r\nshort")
        self.close_connection = True

    def do_nothing(self):
        self.close_connection = True

    def do_garbage(self):
        self.wfile.write(b"\x00\xff not http at all\r\n\r\n")
        self.close_connection = True

    def do_nested(self):
        self.say(body=b"[" * 100000 + b"]" * 100000)


@pytest.fixture(scope="module")
def peer():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Peer.seen.clear()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@pytest.fixture
def worker(make_full_worker, peer):
    port = urllib.parse.urlsplit(peer).port
    return make_full_worker(EGRESS_ALLOW=f"http:localhost:{port},http:127.0.0.1:{port}", SECRETS_ENCRYPTION_KEY=KEY)


@pytest.fixture
def rows(postgres):
    def add(**row):
        for key in ("auth", "input_schema"):
            if key in row:
                row[key] = json.dumps(row[key])
        names = list(row)
        return postgres.sql(f"INSERT INTO celeriac.http_tools ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) RETURNING id",
                            *row.values())[0][0]

    yield add
    postgres.sql("DELETE FROM celeriac.http_tools")
    postgres.sql("DELETE FROM celeriac.policy_rules")


@pytest.fixture
def call(worker, app):
    return lambda tool, params=None, **kwargs: app.send_task(
        "tools.call_http", kwargs={"tool": tool, "params": params or {}, **kwargs}).get(timeout=60)


def test_requests(call, rows, peer, postgres):
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
    row = postgres.sql("SELECT kind, tool, status, result->'result' FROM celeriac.tool_results WHERE result->>'result' = 'second'")
    assert row == [("http", "tools.call_http", "ok", "second")]


def seal(key, place, secret):
    """What an application does: the ten lines of the manual."""
    raw = base64.b64decode(key)
    nonce = os.urandom(12)
    sealed = AESGCM(raw).encrypt(nonce, secret.encode(), place.encode())
    return f"v1:{hashlib.sha256(raw).hexdigest()[:8]}:{base64.b64encode(nonce + sealed).decode()}"


def sealed_by_worker(place, secret, **environment):
    return subprocess.run([str(ROOT / "build/celeriac-worker"), "--seal", place], input=secret, capture_output=True, text=True,
                          env={**os.environ, "SECRETS_ENCRYPTION_KEY": KEY, **environment})


def test_seal(call, rows, peer, postgres):
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


def test_authentication(call, rows, peer, postgres):
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


def test_what_servers_may_try(call, rows, peer):
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
    assert tool("zipped", "/zipped")["result"] == {"zipped": True}
    assert tool("heads", "/heads")["error"] == "more than 65536 bytes of headers"
    assert tool("early", "/early")["status"] == "error"
    assert tool("nothing", "/nothing")["status"] == "error"
    assert tool("garbage", "/garbage")["status"] == "error"
    assert tool("nested", "/nested")["result"].startswith("[[[["), "text, as it cannot be read"


@pytest.mark.parametrize("url", [
    "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:6379/", "http://[::1]/", "http://10.0.0.1/", "http://192.168.1.1/",
    "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[fd00:ec2::254]/", "http://0.0.0.0/", "http://localhost/"])
def test_addresses_that_are_not_for_tools(call, rows, url):
    rows(name="inside", url=url)
    done = call("inside")
    assert done["status"] == "denied" and done["error"], done


def test_projects_are_apart(call, rows, peer):
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


def test_inline_tools_need_a_rule(call, rows, peer, postgres):
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
    events = wait_until(lambda: [row for row in postgres.sql(
        "SELECT decision, kind, target, reason, detail FROM celeriac.activity_events WHERE kind IN ('http', 'url', 'tool') ORDER BY id")
        if row[1] == "url"] and postgres.sql("SELECT DISTINCT decision, kind FROM celeriac.activity_events ORDER BY 1, 2"), 30)
    assert ("deny", "tool") in events and ("deny", "url") in events and ("allow", "http") in events
    assert postgres.sql("SELECT count(*) FROM celeriac.activity_events WHERE detail::text LIKE '%%very-secret%%'") == [(0,)]


def test_a_denied_tool_is_a_result(call, rows, peer, postgres):
    rows(name="weather", url=peer + "/w")
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, note) VALUES ('tool', 'weather', 'deny', 'no weather')")
    denied = wait_until(lambda: (got := call("weather"))["status"] == "denied" and got, 30)
    assert denied["error"] == "weather is denied by the policy: no weather" and denied["is_error"] is True


def test_secrets_are_in_no_log(worker, call, rows, peer):
    rows(name="quiet", url=peer + "/auth", auth={"type": "basic", "user": "u", "password": "l0g-very-secret"})
    call("quiet")
    assert "very-secret" not in worker.log()
