"""Node and packages from npm, in a directory: installed in a container of the sandbox image, so that the machine needs neither.

A machine's own npm settings go along; no registry is named here.
"""

import configparser
import os
import pathlib
import shutil
import subprocess

from sandboxes import docker
from services import alone, ROOT

IMAGE = "celeriac-sandbox:full"
# Node 22 as a package of its own: the referee needs what Debian's does not have.
PACKAGES = [
    "node@22",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
    "@modelcontextprotocol/server-memory",
]


def npm_settings():
    """The machine's npmrc, and the file of certificates that it names."""
    files = [path for path in (pathlib.Path.home() / ".npmrc", pathlib.Path("/etc/npmrc")) if path.is_file()]
    for path in list(files):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.read_string("[npm]\n" + path.read_text())
        certificates = parser["npm"].get("cafile")
        if certificates and os.path.isfile(certificates):
            files.append(pathlib.Path(certificates))
    return files


def installed(where=ROOT / ".run/npm"):
    """Path of node_modules, made once for this list of packages."""
    with alone("npm"):
        return install(where)


def install(where):
    stamp = where / "stamp"
    if stamp.is_file() and stamp.read_text() == "\n".join(PACKAGES):
        return where / "node_modules"
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    options = [f"--env={name}={value}" for name, value in os.environ.items() if name.lower().startswith("npm_config_")]
    script = 'mkdir -p /w && cd /w && exec npm install --no-fund --no-audit --no-update-notifier "$@"'
    container = docker(
        "create", "--network=host", "--user=0", "--env=HOME=/tmp", *options, "--entrypoint=/bin/sh", IMAGE, "-c", script, "npm", *PACKAGES
    ).strip()
    try:
        for path in npm_settings():
            target = "/tmp/.npmrc" if path.name == ".npmrc" else str(path)
            subprocess.run(["docker", "cp", "-L", str(path), f"{container}:{target}"], check=True, capture_output=True)
        ran = subprocess.run(["docker", "start", "-a", container], capture_output=True, text=True, timeout=240)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        subprocess.run(["docker", "cp", f"{container}:/w/node_modules", str(where)], check=True, capture_output=True)
    finally:
        docker("rm", "-f", container)
    stamp.write_text("\n".join(PACKAGES))
    return where / "node_modules"
