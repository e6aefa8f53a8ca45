"""Packages from the registries that this machine's own clients use, installed inside a sandbox, through its proxy.

No registry is named here: the machine's pip, npm and go say which they ask, and its bundle of certificates goes along.
"""

import base64
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import uuid

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.long]
BUNDLE = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
CA = "/sandbox/ca.crt"
TRUST = {"PIP_CERT": CA, "SSL_CERT_FILE": CA, "NODE_EXTRA_CA_CERTS": CA, "REQUESTS_CA_BUNDLE": CA, "CURL_CA_BUNDLE": CA}


def said(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def registries():
    """Language → (the URL of the machine's registry, environment that names it)."""
    found = {}
    pip = said(sys.executable, "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)")
    found["python"] = pip, {}
    if shutil.which("npm"):
        npm = said("npm", "config", "get", "registry")
        found["javascript"] = npm, {"npm_config_registry": npm}
    if shutil.which("go"):
        proxy = said("go", "env", "GOPROXY").split(",")[0]
        found["go"] = proxy, {"GOPROXY": proxy, "GONOSUMDB": "*", "GOSUMDB": "off", "GOFLAGS": "-buildvcs=false -mod=mod"}
    return found


PROGRAMS = {
    "python": (["six"], "import six; print('installed', six.__name__)"),
    "javascript": (["is-number"], "console.log('installed', require('is-number')(1))"),
    "go": (["github.com/google/uuid"], 'package main\nimport ("fmt"; "github.com/google/uuid")\nfunc main() { fmt.Println("installed", len(uuid.NewString())) }'),
}


def host_of(url):
    return re.match(r"https?://(?:[^@/]*@)?([^/:]+)", url).group(1)


@pytest.fixture(scope="module")
def house_installing(make_house, engine):
    engine.load("celeriac-sandbox:full")
    # Their addresses may lie in ranges that are closed otherwise; files may come from a host beside the index.
    addresses = {info[4][0] for url, _ in registries().values() for info in socket.getaddrinfo(host_of(url), 443, socket.AF_INET)}
    ranges = {".".join(address.split(".")[:3]) + ".0/24" for address in addresses}
    return make_house(SANDBOX_IMAGE="celeriac-sandbox:full", EGRESS_ALLOW=",".join(f"sandbox:{one}" for one in sorted(ranges)))


@pytest.mark.parametrize("language", PROGRAMS)
def test_install(house_installing, language):
    url, env = registries()[language]
    packages, code = PROGRAMS[language]
    files = [{"name": "ca.crt", "content": base64.b64encode(BUNDLE.read_bytes()).decode()}]
    out = house_installing.calls.run(code, f"c-{uuid.uuid4()}", language=language, packages=packages, files=files,
                                     env={**TRUST, **env}, timeout=200)
    assert out["status"] == "ok" and out["stdout"].startswith("installed"), out
    lines = [line for line in house_installing.worker.log_lines(r"\[audit\]") if f'"target":"{host_of(url)}:443"' in line]
    assert any('"decision":"allow"' in line for line in lines)
