"""Every language of the image with all of them: programs, compile errors, caches, packages."""

import base64
import contextlib
import functools
import hashlib
import http.server
import io
import json
import re
import subprocess
import tarfile
import threading
import uuid
import zipfile

import pytest

from sandboxes import containers, docker, remove_containers
from services import patience

IMAGE = "celeriac-sandbox:full"

PROGRAMS = {
    "python": "import sys\nprint('hello', sys.stdin.read())",
    "javascript": "const fs = require('fs');\nconsole.log('hello', fs.readFileSync(0, 'utf8'))",
    "typescript": "import { readFileSync } from 'fs';\nconst x: string = readFileSync(0, 'utf8');\nconsole.log('hello', x as any)",
    "java": "import java.util.*;\npublic class Any {\n  public static void main(String[] args) {\n"
            "    System.out.println(\"hello \" + new Scanner(System.in).nextLine());\n  }\n}",
    "cpp": "#include <iostream>\n#include <string>\nint main() { std::string s; std::cin >> s; std::cout << \"hello \" << s << std::endl; }",
    "c": "#include <stdio.h>\n#include <math.h>\nint main(void) { char s[9]; if (scanf(\"%8s\", s) == 1) printf(\"hello %s\\n\", s); return floor(sqrt(0.5)); }",
    "go": "package main\nimport \"fmt\"\nfunc main() {\n\tvar s string\n\tfmt.Scan(&s)\n\tfmt.Println(\"hello\", s)\n}",
    "r": "cat('hello', readLines(file('stdin'), warn = FALSE), '\\n', sep = ' ')",
    "bash": "read -r x || true\necho hello \"$x\"",
}
EXIT_7 = {
    "python": "import sys; sys.exit(7)", "javascript": "process.exit(7)", "typescript": "process.exit(7 as number)",
    "java": "class A { public static void main(String[] a) { System.exit(7); } }", "cpp": "int main() { return 7; }",
    "c": "int main(void) { return 7; }", "go": "package main\nimport \"os\"\nfunc main() { os.Exit(7) }", "r": "quit(status = 7)", "bash": "exit 7",
}
# What does not compile, or not run, and what its language says about that: each names the line.
WRONG = {
    "python": ("x = 1\ny ===", "line 2"), "javascript": ("let x = 1\nx ==== 2", "main.js:2"), "typescript": ("let x = 1\nx ==== 2", "main.ts:2"),
    "java": ("class A {\n  int x = \"text\";\n}", "Main.java:2: error: incompatible types"), "cpp": ("int main() {\n  return x;\n}", "main.cpp:2"),
    "c": ("int main(void) {\n  return x;\n}", "main.c:2"), "go": ("package main\nfunc main() {\n\tx\n}", "main.go:3"),
    "r": ("x <- 1\nif (", "unexpected end of input"), "bash": ("echo fine\nif", "line 3: syntax error"),
}
FILES = {
    "r": "png('/sandbox/output/plot.png'); plot(1:3); invisible(dev.off())",
    "go": "package main\nimport \"os\"\nfunc main() { os.WriteFile(\"output/a.txt\", []byte(\"x\"), 0644) }",
    "java": "import java.nio.file.*;\nclass A { public static void main(String[] a) throws Exception { Files.writeString(Path.of(\"output/a.txt\"), \"x\"); } }",
}


@pytest.fixture(scope="module")
def full(make_house, engine):
    engine.load(IMAGE)
    return make_house(SANDBOX_IMAGE=IMAGE)


@pytest.mark.parametrize("language", PROGRAMS)
def test_language(full, language):
    """One conversation each: hello, an exit code, an error, hello again from what is cached."""
    def run(code, **kwargs):
        return full.calls.run(code, f"language-{language}", language=language, timeout=120, **kwargs)

    value = run(PROGRAMS[language], stdin="world\n")
    assert (value["status"], value["exit_code"], value["stderr"]) == ("ok", 0, ""), value
    assert value["stdout"].split() == ["hello", "world"]
    value = run(EXIT_7[language])
    assert (value["status"], value["exit_code"], value["stdout"]) == ("error", 7, ""), value
    code, said = WRONG[language]
    value = run(code)
    assert value["status"] == "error" and value["exit_code"] in (1, 2) and said in value["stderr"], value
    assert value["files"] == [] and "celeriac\"" not in value["stderr"]
    assert run(PROGRAMS[language], stdin="again\n")["stdout"].split() == ["hello", "again"]


@pytest.mark.parametrize("language", FILES)
def test_files(full, language):
    value = full.calls.run(FILES[language], f"language-{language}", language=language, timeout=120)
    assert value["status"] == "ok" and len(value["files"]) == 1 and value["files"][0]["size"] > 0, value


def test_languages_share_a_conversation(full):
    full.calls.run("open('shared.txt', 'w').write('from python')", "language-c")
    code = "#include <stdio.h>\nint main(void) { char s[99]; FILE *f = fopen(\"shared.txt\", \"r\"); puts(fgets(s, 99, f)); }"
    assert full.calls.run(code, "language-c", language="c")["stdout"] == "from python\n"


def test_time_limit_while_compiling_or_running(full):
    value = full.calls.run("#include <cstdio>\nint main() { puts(\"begun\"); fflush(stdout); for (;;); }", "language-cpp", language="cpp", timeout=patience(5))
    assert (value["status"], value["exit_code"], value["stdout"]) == ("timeout", 124, "begun\n")
    endless = "template <int n> struct A { A<n + 1> a; };\n#include <%s>\nint main() { A<0> a; }" % ("bits/stdc++.h",)
    value = full.calls.run("#include <bits/stdc++.h>\n" * 3 + endless, "language-cpp", language="cpp", timeout=0.1)
    assert (value["status"], value["exit_code"]) == ("timeout", 124), value


def test_a_language_that_the_image_lacks(house):
    """By its label: named, and nothing is started."""
    result = house.calls.send("console.log(1)", "no-such-language", language="javascript")
    with pytest.raises(ValueError) as raised:
        result.get(timeout=60)
    assert "'javascript'" in str(raised.value) and "celeriac-sandbox:latest" in str(raised.value) and "python" in str(raised.value)
    assert house.calls.run("echo hello $0", "bash", language="bash")["stdout"].startswith("hello /sandbox")
    assert containers(house.instance, "--filter", "label=celeriac.conversation=no-such-language") == []


def test_an_image_that_does_not_say_what_it_has(make_full_worker, calls):
    tag = f"celeriac-test:{uuid.uuid4().hex[:12]}"
    subprocess.run(["docker", "build", "-q", "-t", tag, "--label", "celeriac.languages=python java", "-"], check=True, capture_output=True,
                   input=b"FROM celeriac-sandbox:latest\n", timeout=120)
    try:
        make_full_worker(SANDBOX_IMAGE=tag)
        value = calls.run("class A {}", language="java")
        assert (value["status"], value["exit_code"]) == ("start_failed", 127), value
        assert value["stderr"] == f"language java: the image {tag} has no program java\n"
    finally:
        docker("rmi", "-f", tag, check=False)


def test_packages_without_a_network(make_full_worker, calls):
    make_full_worker(SANDBOX_NETWORK="none")
    result = calls.send("import x", "no-network", packages=["x"])
    with pytest.raises(ValueError) as raised:
        result.get(timeout=60)
    assert "packages" in str(raised.value) and "no network" in str(raised.value)


def test_names_of_packages(house):
    for bad in ("--target=/tmp/x", "", "a\nb", "x" * 300):
        with pytest.raises(ValueError) as raised:
            house.calls.run("import x", packages=["good", bad])
        assert "packages[1]" in str(raised.value)


# ---- packages, from an index of our own on the sandboxes' network ----

def wheel(name, text):
    data, info = io.BytesIO(), f"{name}-1.0.dist-info"
    with zipfile.ZipFile(data, "w") as file:
        file.writestr(f"{name}.py", text)
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return data.getvalue()


@functools.cache  # it has the time in it, and its digest is told before it is fetched
def tarball(name, text):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as file:
        for path, content in (("package/package.json", json.dumps({"name": name, "version": "1.0.0", "main": "index.js"})), ("package/index.js", text)):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content.encode()))
    return data.getvalue()


class Index(http.server.BaseHTTPRequestHandler):
    """PyPI's simple pages and npm's registry, with one package each."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        host, npm = self.headers["Host"], tarball("celeriac-test", "module.exports = 'from npm'")
        pages = {
            "/simple/celeriac-test/": ("text/html", b'<a href="/celeriac_test-1.0-py3-none-any.whl">celeriac_test-1.0-py3-none-any.whl</a>'),
            "/celeriac_test-1.0-py3-none-any.whl": ("application/zip", wheel("celeriac_test", "value = 'from pip'\n")),
            "/celeriac-test": ("application/json", json.dumps({
                "name": "celeriac-test", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
                    "name": "celeriac-test", "version": "1.0.0", "dist": {
                        "tarball": f"http://{host}/t.tgz", "integrity": "sha512-" + base64.b64encode(hashlib.sha512(npm).digest()).decode()}}},
            }).encode()),
            "/t.tgz": ("application/octet-stream", npm),
        }
        kind, body = pages.get(self.path, (None, b""))
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind or "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def index_on(address):
    with http.server.ThreadingHTTPServer((address, 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{address}:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def network():
    """The name of a network that is removed when its sandboxes are."""
    name = f"celeriac-test-{uuid.uuid4().hex[:8]}"
    yield name
    docker("network", "rm", name, check=False)


@pytest.fixture(scope="module")
def networked(network, make_house):
    """Its sandboxes are on a Docker network that the worker makes."""
    made = make_house(SANDBOX_IMAGE=IMAGE, SANDBOX_NETWORK=network)
    found = json.loads(docker("network", "inspect", network))[0]
    assert found["Options"]["com.docker.network.bridge.enable_icc"] == "false" and not found["EnableIPv6"]
    with index_on(found["IPAM"]["Config"][0]["Gateway"]) as url:
        made.index = url
        yield made
        made.worker.kill()
        remove_containers(made.instance)


@pytest.mark.enforces("bridge")
def test_python_packages(networked):
    host = re.sub("^http://|:.*$", "", networked.index)
    env = {"PIP_INDEX_URL": f"{networked.index}/simple/", "PIP_TRUSTED_HOST": host}
    run = functools.partial(networked.calls.run, conversation="packages", timeout=120)
    value = run("import celeriac_test\nprint(celeriac_test.value)", packages=["celeriac-test"], env=env)
    assert (value["status"], value["stdout"], value["stderr"]) == ("ok", "from pip\n", ""), value
    assert run("import celeriac_test\nprint(celeriac_test.value)")["stdout"] == "from pip\n", "it stays for the conversation"
    assert run("import celeriac_test", conversation="others")["status"] == "error", "and is nobody else's"
    value = run("print('never')", packages=["celeriac-test", "celeriac-missing"], env=env)
    assert (value["status"], value["exit_code"], value["stdout"]) == ("start_failed", 1, ""), value
    assert "celeriac-missing" in value["stderr"] and value["stderr"].endswith("[packages could not be installed; the code was not run]\n")


@pytest.mark.enforces("bridge")
def test_javascript_packages(networked):
    env = {"npm_config_registry": f"{networked.index}/"}
    run = functools.partial(networked.calls.run, conversation="packages", language="javascript", timeout=120)
    value = run("console.log(require('celeriac-test'))", packages=["celeriac-test"], env=env)
    assert (value["status"], value["stdout"]) == ("ok", "from npm\n"), value
    assert run("console.log(require('celeriac-test'))")["stdout"] == "from npm\n"
    value = run("console.log('never')", packages=["celeriac-missing"], env=env)
    assert value["status"] == "start_failed" and value["stdout"] == "" and "celeriac-missing" in value["stderr"], value


@pytest.mark.enforces("bridge")
def test_no_installer(networked):
    with pytest.raises(ValueError) as raised:
        networked.calls.run("int main() {}", language="cpp", packages=["boost"])
    assert "no installer for cpp" in str(raised.value)
