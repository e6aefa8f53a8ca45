"""MCP servers for tests: rows of mcp_servers, what runs of them, images with real ones."""

import base64
import functools

import pytest

from sandboxes import docker

# A server with a memory: what a session is.
COUNTER = r'''
import json, os, sys
count = 0
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    def say(**answer):
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}), flush=True)
    method = request["method"]
    if method == "initialize":
        print("stderr is free", file=sys.stderr, flush=True)
        say(result={"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "counter", "version": "1"}})
    elif method == "tools/list":
        say(result={"tools": [{"name": "count", "description": "counts", "inputSchema": {"type": "object", "properties": {"by": {"type": "integer"}}}},
                              {"name": "where", "inputSchema": {"type": "object"}}, {"name": "die", "inputSchema": {"type": "object"}},
                              {"name": "hang", "inputSchema": {"type": "object"}}]})
    elif method == "tools/call":
        name = request["params"]["name"]
        if name == "count":
            count += request["params"]["arguments"].get("by", 1)
            say(result={"content": [{"type": "text", "text": str(count)}], "structuredContent": {"count": count}})
        elif name == "where":
            writable = []
            for path in ("/", "/tmp", "/etc", "/usr"):
                try:
                    open(os.path.join(path, "probe"), "w").close()
                    writable.append(path)
                except OSError:
                    pass
            text = json.dumps({"uid": os.getuid(), "env": dict(os.environ), "writable": writable, "pid": os.getpid(),
                               "interfaces": sorted(os.listdir("/sys/class/net"))})
            say(result={"content": [{"type": "text", "text": text}]})
        elif name == "die":
            print("gone for good", file=sys.stderr, flush=True)
            sys.exit(3)
    elif method == "ping":
        open("/tmp/pinged", "w").write("pinged")
        say(result={})
    else:
        say(error={"code": -32601, "message": "Method not found"})
'''


# Streamable HTTP: the count is the process', the session's own is its name.
HTTP_COUNTER = r'''
import http.server, json, os, sys, time, uuid
count = 0
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(405)
    do_DELETE = do_GET
    def do_POST(self):
        global count
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        def say(headers={}, **answer):
            self.answer(200, json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}).encode(), Content_Type="application/json", **headers)
        method = request["method"]
        if "id" not in request:
            self.answer(202)
        elif method == "initialize":
            say({"Mcp_Session_Id": uuid.uuid4().hex}, result={"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "c", "version": "1"}})
        elif method == "tools/list":
            say(result={"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("count", "where", "big", "die", "hang")]})
        elif method == "tools/call":
            name, arguments = request["params"]["name"], request["params"]["arguments"]
            if name == "count":
                count += 1
                say(result={"content": [], "structuredContent": {"count": count, "session": self.headers["Mcp-Session-Id"], "host": self.headers["Host"]}})
            elif name == "where":
                writable = []
                for path in ("/", "/tmp", "/etc", "/usr"):
                    try:
                        open(os.path.join(path, "probe"), "w").close()
                        writable.append(path)
                    except OSError:
                        pass
                say(result={"content": [], "structuredContent": {"uid": os.getuid(), "env": dict(os.environ), "writable": writable,
                                                                 "interfaces": sorted(os.listdir("/sys/class/net"))}})
            elif name == "big":
                say(result={"content": [{"type": "text", "text": "x" * 3_000_000 + arguments.get("back", "")}]})
            elif name == "die":
                print("gone for good", flush=True)
                os._exit(3)
            elif name == "hang":
                time.sleep(600)
        else:
            say(error={"code": -32601, "message": "Method not found"})
    def log_message(self, *args):
        print("a line of its log", flush=True)
time.sleep(0.3)
http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Handler).serve_forever()
'''


def add_server(postgres, **row):
    names = list(row)
    return postgres.sql(f"INSERT INTO celeriac.mcp_servers ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) RETURNING id",
                        *row.values())[0][0]


@pytest.fixture
def servers(postgres):
    """To be asked for before a worker is started: these rules are among the first that it reads."""
    def empty():
        postgres.sql("DELETE FROM celeriac.mcp_servers")
        postgres.sql("DELETE FROM celeriac.policy_rules")

    empty()
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action) VALUES ('image', 'celeriac-*', 'allow'), "
                 "('image', '127.0.0.1:*', 'allow')")
    yield functools.partial(add_server, postgres)
    empty()


@pytest.fixture
def ask(app):
    return lambda task, **kwargs: app.send_task(task, kwargs=kwargs).get(timeout=90)


def managed(servers, name="counter", source=COUNTER, **row):
    code = base64.b64encode(source.encode()).decode()
    return servers(name=name, image="celeriac-sandbox:latest", command="""python3 -u -c "import base64, os; exec(base64.b64decode(os.environ['CODE']))" """,
                   environment=f"CODE={code}\nTOKEN=s3cret-in-env\n", **row)


def instances(broker, *options):
    return docker("ps", "-aq", "--filter=label=celeriac.role=mcp", f"--filter=label=celeriac.instance={broker.instance}", *options).split()


def served(servers, name="web", source=HTTP_COUNTER, **row):
    return managed(servers, name=name, source=source, transport="streamable_http", port=9000, endpoint_path="/mcp", **row)
