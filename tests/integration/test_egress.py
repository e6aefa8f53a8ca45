"""The way out of a sandbox without a network: what its programs reach through their proxy, and what they do not."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import re
import socket
import subprocess
import time

import pytest

from clients import Broker
from sandboxes import Calls
from services import wait_until
from web import Web

pytestmark = pytest.mark.docker
SECRET = "a secret of at least sixteen bytes"
BULK = 3 << 20
# The servers of these tests are on the loopback address, which programs otherwise reach without their proxy.
EVERYTHING = {"no_proxy": "", "NO_PROXY": ""}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        if self.path == "/bulk":
            body = b"x" * BULK
        elif self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        else:
            body = b"hello from " + self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        answer = hashlib.sha256(body).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def certificate(session_directory):
    key, cert = session_directory / "web.key", session_directory / "web.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
         "-subj", "/CN=localhost", "-addext", f"subjectAltName=DNS:localhost,DNS:{socket.gethostname()},IP:127.0.0.1"],
        check=True, capture_output=True,
    )
    return cert, key


@pytest.fixture(scope="module")
def web():
    with Web(Handler) as made:
        yield made


@pytest.fixture(scope="module")
def secure_web(certificate):
    with Web(Handler, certificate=certificate) as made:
        yield made


@pytest.fixture
def world(make_full_worker, broker, app, postgres, web, secure_web):
    """A worker whose sandboxes may reach the two servers; its calls."""
    worker = make_full_worker(
        EGRESS_ALLOW=f"sandbox:localhost:{web.port},sandbox:localhost:{secure_web.port},sandbox:127.0.0.1:{web.port}",
        SANDBOX_CALLBACK_URL=f"GET,POST http://127.0.0.1:{web.port}/app", SANDBOX_CALLBACK_SECRET=SECRET,
    )
    return worker, Calls(app, postgres)


def audits(worker, pattern="", count=1):
    found = wait_until(
        lambda: (lines := [l for l in worker.log_lines(r"\[audit\]") if re.search(pattern, l)]) and len(lines) >= count and lines,
        30, lambda: f"no audit of {pattern}:\n{worker.log()[-3000:]}",
    )
    return [json.loads(line.split("[audit] ", 1)[1]) for line in found]


def test_there_is_no_network_but_the_proxy(world):
    worker, calls = world
    out = calls.run(
        "import os, socket\n"
        "print(sorted(os.listdir('/sys/class/net')))\n"
        "for address in ('127.0.0.1', 3129), ('10.0.0.1', 80), ('172.17.0.1', 2375):\n"
        "    try:\n        socket.create_connection(address, 2); print('reached')\n"
        "    except OSError as e: print(type(e).__name__)\n"
        "try: socket.getaddrinfo('localhost.example', 80); print('resolved')\n"
        "except OSError as e: print('no names')\n"
        "print(os.environ['https_proxy'])\n", "c-net")
    assert out["status"] == "ok", out
    assert out["stdout"].splitlines() == ["['lo']", "ConnectionRefusedError", "OSError", "OSError", "no names", "http://127.0.0.1:3128"]


def test_http_and_tls_through_it(world, web, secure_web):
    worker, calls = world
    out = calls.run(
        "import urllib.request, ssl, hashlib, os\n"
        f"print(urllib.request.urlopen('http://localhost:{web.port}/a?b=c').read().decode())\n"
        "body = os.urandom(1 << 20)\n"
        f"r = urllib.request.urlopen('http://localhost:{web.port}/post', data=body)\n"
        "print(r.read().decode() == hashlib.sha256(body).hexdigest())\n"
        "c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE\n"
        f"print(urllib.request.urlopen('https://localhost:{secure_web.port}/s', context=c).read().decode())\n"
        f"print(len(urllib.request.urlopen('https://localhost:{secure_web.port}/bulk', context=c).read()))\n", "c-web", env=EVERYTHING)
    assert out["status"] == "ok", out
    assert out["stdout"].splitlines() == ["hello from /a?b=c", "True", "hello from /s", str(BULK)]
    lines = audits(worker, f'"target":"localhost:(?:{web.port}|{secure_web.port})"', 4)
    assert all(line["decision"] == "allow" and line["kind"] == "egress" and line["conversation_id"] == "c-web" for line in lines)
    assert any(line["detail"]["bytes_down"] > BULK for line in lines)
    assert any(line["detail"]["bytes_up"] > 1 << 20 for line in lines)
    assert {line["detail"]["address"] for line in lines} <= {"127.0.0.1", "::1"}


def test_what_is_closed_stays_closed(world, web, broker):
    worker, calls = world
    broker_port = broker.url.rsplit(":", 1)[1].split("/")[0]
    targets = [
        f"http://127.0.0.1:{broker_port}/", f"http://localhost:{broker_port}/", f"http://127.0.0.1:{worker.port}/metrics",
        "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[::1]/", "http://0x7f.1/", "http://127.1/",
        f"http://localhost:{web.port}/redirect",
    ]
    out = calls.run(
        "import urllib.request, urllib.error\n"
        f"for url in {targets!r}:\n"
        "    try: print(urllib.request.urlopen(url).status)\n"
        "    except urllib.error.HTTPError as e: print(e.code, 'celeriac' in str(e.reason))\n", "c-closed", env=EVERYTHING)
    assert out["status"] == "ok", out
    assert out["stdout"].splitlines() == ["403 True"] * 6 + ["400 True"] * 2 + ["403 True"]
    reasons = [line["reason"] for line in audits(worker, '"decision":"deny"', 9)]
    assert sum("worker's own" in reason for reason in reasons) == 2, reasons


def test_other_protocols_and_noise(world, web):
    """No request, half of one, a head that never ends, a second request behind the first: an answer or an end, and the proxy lives."""
    worker, calls = world
    out = calls.run(
        "import socket\n"
        "def ask(text, shut=True):\n"
        "    s = socket.create_connection(('127.0.0.1', 3128)); s.settimeout(20)\n"
        "    try:\n"
        "        s.sendall(text)\n"
        "        if shut: s.shutdown(socket.SHUT_WR)\n"
        "        out = b''\n"
        "        while True:\n"
        "            piece = s.recv(65536)\n"
        "            if not piece: return out.split(b'\\r\\n')[0].decode()\n"
        "            out += piece\n"
        "    except OSError as e: return type(e).__name__\n"
        "print(ask(b'\\x05\\x01\\x00\\r\\n\\r\\n'))\n"
        "print(ask(b'GET http://localhost'))\n"
        "print(ask(b'a' * 70000, False))\n"
        f"print(ask(b'GET http://localhost:{web.port}/one HTTP/1.1\\r\\n\\r\\nGET http://localhost:{web.port}/two HTTP/1.1\\r\\n\\r\\n'))\n"
        f"print(ask(b'GET http://localhost:{web.port}/three HTTP/1.1\\r\\nHost: evil\\r\\n\\r\\n'))\n", "c-noise", env=EVERYTHING)
    assert out["status"] == "ok", out
    lines = out["stdout"].splitlines()
    assert lines[0].startswith("HTTP/1.1 400") and lines[1].startswith("HTTP/1.1 400") and lines[2].startswith("HTTP/1.1 400"), lines
    assert lines[3] == lines[4] == "HTTP/1.1 200 OK", lines
    paths = [path for _, path, _ in web.seen]
    assert "/one" in paths and "/two" not in paths
    assert [headers["Host"] for _, path, headers in web.seen if path == "/three"] == [f"localhost:{web.port}"]


def test_greedy_connections_do_not_hold_up_output(world, web):
    """32 downloads that nobody reads, and a run that goes on printing and ends in time."""
    worker, calls = world
    out = calls.run(
        "import socket, sys, time\n"
        "held = []\n"
        "for i in range(40):\n"
        "    s = socket.create_connection(('127.0.0.1', 3128))\n"
        f"    s.sendall(b'GET http://localhost:{web.port}/bulk HTTP/1.1\\r\\n\\r\\n')\n"
        "    held.append(s)\n"
        "for i in range(2000): print('line', i)\n"
        "print('end')\n", "c-greedy", timeout=60)
    assert out["status"] == "ok", out
    assert out["stdout"].splitlines()[-1] == "end" and out["duration_ms"] < 30_000
    assert calls.run("print('after')", "c-greedy")["stdout"] == "after\n"


def connections_to(pid, port):
    """How many sockets of a process are connected to a port of 127.0.0.1."""
    inodes = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(fd)))
        except FileNotFoundError:
            pass  # closed meanwhile
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2] == f"0100007F:{port:04X}" and row[9] in inodes for row in rows)


def test_nothing_outlives_the_run(world, web):
    """No listener and no connection when the run is over, and none for the next run's idle time."""
    worker, calls = world
    calls.run(
        "import socket\n"
        "s = socket.create_connection(('127.0.0.1', 3128))\n"
        f"s.sendall(b'CONNECT localhost:{web.port} HTTP/1.1\\r\\n\\r\\n'); print(s.recv(100))\n", "c-over")
    line = audits(worker, '"method":"CONNECT"')[-1]
    assert line["decision"] == "allow"
    wait_until(lambda: connections_to(worker.process.pid, web.port) == 0, 30, "the worker is still connected")


def test_the_callback(world, web):
    worker, calls = world
    result = calls.send(
        "import os, urllib.request, urllib.error\n"
        "base = os.environ['CELERIAC_CALLBACK_URL']; print(base)\n"
        "r = urllib.request.Request(base + '/tools', data=b'{}', headers={'Celeriac-Run': 'forged', 'Authorization': 'mine'})\n"
        "print(len(urllib.request.urlopen(r).read()))\n"
        "for method, path in ('DELETE', '/x'), ('GET', '/../admin'), ('GET', '/%2e%2e/admin'), ('GET', 'lication'):\n"
        "    try: urllib.request.urlopen(urllib.request.Request(base + path, method=method)); print('passed')\n"
        "    except urllib.error.HTTPError as e: print(e.code)\n", "c-callback", project_id="p-7")
    out = result.get(timeout=90)
    assert out["status"] == "ok", out
    assert out["stdout"].splitlines() == ["http://callback.celeriac.internal/app", "64", "403", "403", "403", "403"]
    seen = [headers for method, path, headers in web.seen if path == "/app/tools"]
    assert len(seen) == 1 and seen[0]["Host"] == f"127.0.0.1:{web.port}" and seen[0]["Authorization"] == "mine"
    version, claims, mac = seen[0]["Celeriac-Run"].split(".")
    padded = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert hmac.compare_digest(padded(mac), hmac.digest(SECRET.encode(), f"{version}.{claims}".encode(), "sha256"))
    said = json.loads(padded(claims))
    assert (said["task"], said["conversation"], said["project"]) == (result.id, "c-callback", "p-7")
    assert time.time() < said["exp"] <= time.time() + 301
    assert not any(path.startswith("/admin") or path.startswith("/application") for _, path, _ in web.seen)


def test_the_callback_over_tls(make_full_worker, app, postgres, secure_web, certificate):
    worker = make_full_worker(
        SANDBOX_CALLBACK_URL=f"https://localhost:{secure_web.port}/", SANDBOX_CALLBACK_SECRET=SECRET, SSL_CERT_FILE=certificate[0])
    code = ("import os, urllib.request, hashlib\n"
            "base = os.environ['CELERIAC_CALLBACK_URL']\n"
            "print(len(urllib.request.urlopen(base + '/bulk').read()))\n"
            "body = os.urandom(1 << 20)\n"
            "print(urllib.request.urlopen(base + '/post', data=body).read().decode() == hashlib.sha256(body).hexdigest())\n")
    out = Calls(app, postgres).run(code, "c-tls")
    assert out["stdout"].splitlines() == [str(BULK), "True"], out


def test_a_callback_whose_certificate_is_another_s(make_full_worker, app, postgres, secure_web):
    make_full_worker(SANDBOX_CALLBACK_URL=f"https://localhost:{secure_web.port}/", SANDBOX_CALLBACK_SECRET=SECRET)
    out = Calls(app, postgres).run(
        "import os, urllib.request\n"
        "try: print(urllib.request.urlopen(os.environ['CELERIAC_CALLBACK_URL'] + '/x').status)\n"
        "except OSError as e: print('refused')\n", "c-untrusted")
    assert out["stdout"] == "refused\n", out
    assert not any(path == "/x" for _, path, _ in secure_web.seen)


def test_without_egress_there_is_no_proxy(make_full_worker, app, postgres):
    make_full_worker(SANDBOX_NETWORK="none")
    out = Calls(app, postgres).run(
        "import os, socket\n"
        "print('https_proxy' in os.environ)\n"
        "try: socket.create_connection(('127.0.0.1', 3128)); print('listens')\n"
        "except ConnectionRefusedError: print('nobody')\n", "c-none")
    assert out["stdout"].splitlines() == ["False", "nobody"], out


@pytest.mark.parametrize("settings, said", [
    ({"EGRESS_ALLOW": "10.0.0.0/8"}, "EGRESS_ALLOW '10.0.0.0/8'"),
    ({"SANDBOX_CALLBACK_URL": "http://web/mcp"}, "SANDBOX_CALLBACK_SECRET"),
    ({"SANDBOX_CALLBACK_URL": "ftp://web/mcp", "SANDBOX_CALLBACK_SECRET": SECRET}, "SANDBOX_CALLBACK_URL"),
])
def test_settings_that_cannot_be(make_full_worker, settings, said):
    worker = make_full_worker(start=False, **settings)
    worker.spawn()
    assert worker.wait_end() == 1
    assert said in worker.log()
