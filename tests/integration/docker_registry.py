"""A registry of images of our own, Debian's docker-registry: unpacked, not installed, since a package would start a service."""

import subprocess

from services import alone, free_port, launch, ROOT, Service, wait_until
import requests

CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {directory}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def unpacked(where=ROOT / ".run/docker-registry"):
    """Path of the program, fetched once."""
    program = where / "usr/bin/docker-registry"
    with alone("docker-registry"):
        fetch(program, where)
    return program


def fetch(program, where):
    if not program.exists():
        where.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", "docker-registry"], cwd=where, check=True, capture_output=True, timeout=240)
        (package,) = where.glob("docker-registry_*.deb")
        subprocess.run(["dpkg-deb", "-x", package, where], check=True, capture_output=True, timeout=120)
        package.unlink()


class Registry(Service):
    def __init__(self, directory):
        self.port = free_port()
        self.directory = directory
        self.log_path = directory / "registry.log"

    def __str__(self):
        return "registry"

    def start(self):
        config = self.directory / "registry.yml"
        config.write_text(CONFIG.format(directory=self.directory / "images", port=self.port))
        self.process = launch([unpacked(), "serve", config], self.log_path)
        wait_until(lambda: requests.get(f"http://127.0.0.1:{self.port}/v2/", timeout=5).status_code == 200, 30)
        return self

    def log(self):
        return self.log_path.read_text(errors="replace")
