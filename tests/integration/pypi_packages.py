"""MCP servers from PyPI, in a directory, for the Python of the sandbox image: by the machine's own pip and its settings."""

import shutil
import subprocess
import sys

from npm_packages import IMAGE
from services import alone, ROOT

PACKAGES = ["mcp-server-time", "mcp-server-fetch"]


def installed(where=ROOT / ".run/npm/python"):
    """Path of a directory for PYTHONPATH, made once for this list and that Python."""
    with alone("npm"):
        return install(where)


def install(where):
    asked = subprocess.run(["docker", "run", "--rm", "--network=none", "--entrypoint=python3", IMAGE, "-c",
                            "import sys; print('%d.%d' % sys.version_info[:2])"], check=True, capture_output=True, text=True)
    version, stamp = asked.stdout.strip(), where.with_name("python-stamp")
    wanted = " ".join([version, *PACKAGES])
    if where.is_dir() and stamp.is_file() and stamp.read_text() == wanted:
        return where
    shutil.rmtree(where, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", where, "--python-version", version,
                    "--implementation", "cp", "--only-binary", ":all:", *PACKAGES], check=True, timeout=240)
    stamp.write_text(wanted)
    return where
