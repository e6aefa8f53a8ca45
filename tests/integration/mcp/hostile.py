"""A server that breaks the rules: hostile.py MANNER, over its standard streams; hostile.py MANNER PORT, over HTTP.

Before it misbehaves it greets as it should, unless its manner is to misbehave at once.
"""

import http.server
import itertools
import json
import sys
import threading
import time

TOOL = {"name": "t", "inputSchema": {"type": "object"}}


def answer(request, result):
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result})


def greet(request):
    return answer(request, {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "hostile", "version": "0"}})


def text(request, words="fine"):
    return answer(request, {"content": [{"type": "text", "text": words}]})


def deep(request):
    return '{"jsonrpc":"2.0","id":%d,"result":{"content":[' % request["id"] + "[" * 100000 + "]" * 100000 + "]}}"


def pages(request):
    cursor = int(request.get("params", {}).get("cursor") or 0)
    return answer(request, {"tools": [dict(TOOL, name=f"t{cursor}")], "nextCursor": str(cursor + 1)})


def flood(request):
    """Progress that nobody asked for, without end."""
    while True:
        yield json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": request["id"], "progress": 1}})


def drip(request):
    for letter in text(request):
        yield letter.encode()
        time.sleep(0.01)
    yield b"\n"


def wrong_id(request):
    yield answer({"id": request["id"] + 1000}, {"content": []})
    yield answer({"id": str(request["id"])}, {"content": []})
    yield json.dumps({"jsonrpc": "2.0", "id": None, "result": {}})
    yield text(request)


def twice(request):
    yield text(request, "first")
    yield text(request, "second")


def asks(request):
    """Requests of its own, before it answers: it counts what comes back."""
    yield json.dumps({"jsonrpc": "2.0", "id": "p", "method": "ping"})
    yield json.dumps({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}})
    replies = [json.loads(sys.stdin.readline()) for _ in range(2)]
    yield text(request, json.dumps(replies))


def giant(request):
    for _ in range(1024):
        yield b"x" * (1 << 20)


LISTENED = []


def listen(request):
    """Of changes it says nothing the first time, and ends; the second time it fails; then there is one."""
    LISTENED.append(request["id"])
    if len(LISTENED) == 1:
        return answer(request, {})
    if len(LISTENED) == 2:
        return json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32603, "message": "not now"}})
    return [json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})]


# What a call of the tool is answered with: text, or pieces.
CALLS = {
    "forgets-who-listens": lambda request: text(request, str(len(LISTENED))),
    "silent": lambda request: [],
    "twice": twice,
    "wrong-id": wrong_id,
    "giant": giant,
    "not-utf8": lambda request: [text(request, "@").encode().replace(b"@", b"\xff\xfe") + b"\n"],
    "deep": deep,
    "drip": drip,
    "flood": flood,
    "asks": asks,
    "null": lambda request: answer(request, None),
    "not-an-object": lambda request: answer(request, [1]),
    "content": lambda request: answer(request, {"content": "text"}),
    "unknown": lambda request: answer(request, {"content": [{"type": "hologram", "x": 1}, 5], "structuredContent": [1, None], "extra": True}),
    "error": lambda request: json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -5, "message": "no\x1b[31m\nway", "data": {}}}),
    "half": lambda request: [text(request)[:20].encode()],
    "exits": lambda request: sys.exit(3),
}


def stateless(request):
    """Of the stateless generation: with manner "slow", only a patient client finds out at once."""
    if request["method"] == "server/discover":
        return answer(request, {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": True}}})
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32022, "message": "stateless", "data": {}}})


def reply(manner, request):
    method = request.get("method")
    if manner in ("slow", "forgets-who-listens") and method in ("server/discover", "initialize"):
        return stateless(request)
    if method == "subscriptions/listen" and manner == "forgets-who-listens":
        return listen(request)
    if "id" not in request or method is None:
        return []
    if method == "initialize":
        return greet(request)
    if method == "tools/list":
        return pages(request) if manner == "pages" else answer(request, {"tools": [TOOL]})
    if method == "tools/call":
        return CALLS.get(manner, text)(request)
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "Method not found"}})


def stdio(manner):
    out = sys.stdout.buffer
    if manner == "exits-at-once":
        sys.exit(3)
    if manner == "banner":
        out.write(b"Welcome!\n\n=== v1 ===\n{not json}\n5\n")
    while manner == "banners":
        out.write(b"Welcome!\n")
    if manner == "stderr":
        threading.Thread(target=lambda: [sys.stderr.write("x" * 1000 + "\n") for _ in range(1000)], daemon=True).start()
    held = [next(sys.stdin), next(sys.stdin)] if manner == "slow" else []
    for line in itertools.chain(held, sys.stdin):
        if manner == "mute":
            continue
        said = reply(manner, json.loads(line))
        for piece in [said] if isinstance(said, str) else said:
            out.write(piece if isinstance(piece, bytes) else piece.encode() + b"\n")
            out.flush()
        if manner == "half" and '"tools/call"' in line:
            sys.exit(0)
    while manner == "stays":
        time.sleep(60)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    manner = None
    sessions = 0
    seen = []

    def log_message(self, *_):
        pass

    def say(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        Handler.seen.append(("GET", dict(self.headers)))
        endpoint = {"elsewhere": "http://169.254.169.254/latest", "other-port": "//127.0.0.1:1/x"}.get(self.manner)
        if endpoint:
            return self.say(200, f"event: endpoint\ndata: {endpoint}\n\n".encode(), "text/event-stream")
        self.say(405)

    def do_DELETE(self):
        Handler.seen.append(("DELETE", dict(self.headers)))
        self.say(200)

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Handler.seen.append((request.get("method"), dict(self.headers)))
        if self.manner == "redirects":
            return self.say(307, Location="http://169.254.169.254/latest/meta-data")
        if self.manner == "unauthorized":
            return self.say(401, b"<html>secret page</html>", "text/html", WWW_Authenticate='Bearer resource_metadata="http://x"')
        if self.manner == "forgets":
            # every session is forgotten at its second call, as after a restart
            if request.get("method") == "initialize":
                Handler.sessions += 1
                return self.say(200, greet(request).encode(), Mcp_Session_Id=f"s{Handler.sessions}")
            if request.get("method") == "tools/call" and self.headers["Mcp-Session-Id"] == "s1":
                return self.say(404, json.dumps({"jsonrpc": "2.0", "id": "server-error", "error": {"code": -32600, "message": "Session not found"}}).encode())
            if request.get("method") == "tools/call":
                return self.say(200, text(request, self.headers["Mcp-Session-Id"]).encode())
        said = reply(self.manner, request)
        listens = request.get("method") == "subscriptions/listen"
        if listens and len(LISTENED) == 2:
            return self.say(503)
        if said == []:
            return self.say(202) if "id" not in request else time.sleep(60)
        if isinstance(said, str):
            return self.say(200, said.encode())
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if self.manner != "giant" else "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for piece in said:
                self.wfile.write(piece if isinstance(piece, bytes) else f"event: message\ndata: {piece}\n\n".encode())
            if listens:
                time.sleep(60)
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.close_connection = True


if __name__ == "__main__":
    if len(sys.argv) == 2:
        stdio(sys.argv[1])
    else:
        Handler.manner = sys.argv[1]
        http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
