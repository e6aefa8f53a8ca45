"""Registries of npm and PyPI with one package each, an MCP server: enough of their protocols for real clients."""

import base64
import hashlib
import http.server
import io
import json
import socket
import tarfile
import threading
import zipfile

# Not a loopback name: programs in sandboxes go past their proxy for those.
NAME = socket.gethostname()

JAVASCRIPT = r"""#!/usr/bin/env node
const fs = require('fs');
const tools = [{name: 'where', inputSchema: {type: 'object'}}];
require('readline').createInterface({input: process.stdin}).on('line', (line) => {
  const {id, method} = JSON.parse(line);
  const say = (answer) => console.log(JSON.stringify({jsonrpc: '2.0', id, ...answer}));
  if (id === undefined) return;
  let writable = [];
  for (const path of ['/package', '/package/p', __dirname]) try { fs.writeFileSync(path + '/x', 'x'); writable.push(path); } catch {}
  if (method === 'initialize') say({result: {protocolVersion: '2025-06-18', capabilities: {tools: {}}, serverInfo: {name: 'n', version: '1'}}});
  else if (method === 'tools/list') say({result: {tools}});
  else if (method === 'tools/call') say({result: {content: [], structuredContent: {args: process.argv.slice(2), token: process.env.TOKEN, writable,
    interfaces: fs.readdirSync('/sys/class/net').sort(), noise: fs.existsSync(__dirname + '/installed')}}});
  else say({error: {code: -32601, message: 'no'}});
});
"""

PYTHON = r"""
import json, os, sys
def main():
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        method = request["method"]
        answer = {"error": {"code": -32601, "message": "no"}}
        if method == "initialize":
            answer = {"result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "p", "version": "1"}}}
        elif method == "tools/list":
            answer = {"result": {"tools": [{"name": "where", "inputSchema": {"type": "object"}}]}}
        elif method == "tools/call":
            answer = {"result": {"content": [], "structuredContent": {"args": sys.argv[1:], "file": __file__}}}
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}), flush=True)
"""


SCRIPTS = {"1.2.0": "echo noise && echo yes >installed && printenv >environment",
           "1.1.0": "fallocate -l 600M one && fallocate -l 600M two && sleep 600"}


def npm_archive(name, version):
    manifest = {"name": name, "version": version, "bin": "main.js", "scripts": {"postinstall": SCRIPTS[version]}}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in (("package/package.json", json.dumps(manifest)), ("package/main.js", JAVASCRIPT)):
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(text.encode()), 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
    return manifest, out.getvalue()


def wheel(version):
    out = io.BytesIO()
    info = f"celeriac_hello-{version}.dist-info"
    files = {"celeriac_hello.py": PYTHON, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: celeriac-hello\nVersion: {version}\n",
             f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
             f"{info}/entry_points.txt": "[console_scripts]\nceleriac-hello = celeriac_hello:main\n"}
    record = ""
    with zipfile.ZipFile(out, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text.encode())}\n"
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return out.getvalue()


class Index:
    """`asked`: the paths, in order."""

    npm_name = "@celeriac-test/hello"

    def __init__(self):
        self.asked = []
        index = self
        archives = {version: npm_archive(self.npm_name, version) for version in SCRIPTS}
        python = wheel("2.0")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                index.asked.append(self.path)
                path = self.path.replace("%2f", "/").replace("%2F", "/")
                found = {
                    f"/{index.npm_name}": ("application/json", json.dumps(index.document(archives)).encode()),
                    **{f"/hello-{version}.tgz": ("application/octet-stream", archive) for version, (_, archive) in archives.items()},
                    "/simple/celeriac-hello/": ("text/html", b'<a href="/celeriac_hello-2.0-py3-none-any.whl">celeriac_hello-2.0-py3-none-any.whl</a>'),
                    "/celeriac_hello-2.0-py3-none-any.whl": ("application/octet-stream", python),
                }.get(path)
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", found[0] if found else "text/plain")
                self.send_header("Content-Length", str(len(found[1]) if found else 0))
                self.end_headers()
                self.wfile.write(found[1] if found else b"")

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((socket.gethostbyname(NAME), 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://{NAME}:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def document(self, archives):
        versions = {version: {**manifest, "dist": {
            "tarball": f"{self.url}/hello-{version}.tgz", "shasum": hashlib.sha1(archive).hexdigest(),
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()}} for version, (manifest, archive) in archives.items()}
        return {"name": self.npm_name, "dist-tags": {"latest": "1.2.0"}, "versions": versions}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
