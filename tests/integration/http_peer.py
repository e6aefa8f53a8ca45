"""A server for custom HTTP tools, which answers as it is asked to, and a worker whose tools may reach it."""

import base64
import ctypes
import gzip
import http.server
import json
import time
import urllib.parse

import pytest

from web import Web


def brotli(data):
    """Debian's Python has no module for it; the library is there for the programs."""
    library = ctypes.CDLL("libbrotlienc.so.1")
    size, out = ctypes.c_size_t(len(data)), ctypes.create_string_buffer(len(data))
    assert library.BrotliEncoderCompress(5, 22, 0, ctypes.c_size_t(len(data)), data, ctypes.byref(size), out)
    return out.raw[:size.value]


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

    def do_go(self):
        """/go/307?to=URL; without `to` to itself."""
        url = urllib.parse.urlsplit(self.path)
        self.say(int(url.path.rsplit("/", 1)[1]), b"", Location=urllib.parse.parse_qs(url.query).get("to", [self.path])[0])

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

    def do_brotli(self):
        self.say(body=brotli(b"0" * (64 << 20)), kind="text/plain", Content_Encoding="br")

    def do_continue(self):
        """Again and again: go on. Never an answer."""
        try:
            while True:
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.01)
        except OSError:
            self.close_connection = True

    def do_old(self):
        """As HTTP/0.9 had it: a body and nothing before it."""
        self.wfile.write(b'{"old": true}')
        self.close_connection = True

    def do_two(self):
        """Two answers for one request; the second waits for whoever asks next over this connection."""
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
        self.wfile.write(answer % (2, b"{}") + answer % (16, b'{"forged": true}'))

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
    Peer.seen.clear()
    with Web(Peer) as server:
        yield f"http://localhost:{server.port}"


KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@pytest.fixture(scope="module")
def worker_of_tools(make_house, peer):
    port = urllib.parse.urlsplit(peer).port
    return make_house(EGRESS_ALLOW=f"http:localhost:{port},http:127.0.0.1:{port}", SECRETS_ENCRYPTION_KEY=KEY)


@pytest.fixture
def rows(postgres):
    def empty():
        postgres.sql("DELETE FROM celeriac.http_tools")
        postgres.sql("DELETE FROM celeriac.policy_rules")

    def add(**row):
        for key in ("auth", "input_schema"):
            if key in row:
                row[key] = json.dumps(row[key])
        names = list(row)
        return postgres.sql(f"INSERT INTO celeriac.http_tools ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) RETURNING id",
                            *row.values())[0][0]

    empty()
    yield add
    empty()


@pytest.fixture
def call(worker_of_tools):
    return lambda tool, params=None, **kwargs: worker_of_tools.app.send_task(
        "tools.call_http", kwargs={"tool": tool, "params": params or {}, **kwargs}).get(timeout=60)
