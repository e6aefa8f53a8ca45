"""Machines that have no more: a small file system, and limits of a running process. Nothing else of the machine is touched."""

import contextlib
import os
import pathlib
import subprocess

from services import Service, launch, wait_until


class Small(Service):
    """A file system of so many MiB at `path`, in a mount namespace that only the programs of `place` see."""

    def __init__(self, directory, mebibytes):
        self.path = directory / "small"
        self.path.mkdir()
        self.place = ()
        self.size = mebibytes << 20

    def start(self):
        mount = f'mount -t tmpfs -o mode=755,size={self.size} small "$0" && exec sleep infinity'
        self.process = launch(["unshare", "--mount", "sh", "-c", mount, self.path], os.devnull)
        wait_until(lambda: os.statvfs(self.inside()).f_blocks * os.statvfs(self.inside()).f_frsize == self.size, 10, "it is not mounted")
        self.place = ["nsenter", f"--target={self.process.pid}", "--mount", "--root", "--wd", "--"]
        return self

    def inside(self, *names):
        """The same path, as the test sees it."""
        return pathlib.Path(f"/proc/{self.process.pid}/root{self.path}", *names)

    def fill(self):
        """Until not a byte can be written."""
        with open(self.inside("filler"), "ab", buffering=0) as filler, contextlib.suppress(OSError):
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while filler.write(bytes(size)):
                        pass

    def free(self):
        self.inside("filler").unlink()


@contextlib.contextmanager
def limited(process, what, most, user=None):
    """A running process, of this user or ours, may have so much of `what` (prlimit's name) for a while."""
    prlimit = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"] if user else []
    prlimit += ["prlimit", f"--pid={process.pid}"]
    before = subprocess.run([*prlimit, f"--{what}", "--output=SOFT", "--noheadings"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([*prlimit, f"--{what}={most}:"], check=True)
    try:
        yield
    finally:
        if process.poll() is None:
            subprocess.run([*prlimit, f"--{what}={before}:"], check=True)


def program_under(directory, prefix, program):
    """A program that is `program`, started by way of others, such as prlimit."""
    path = directory / f"under-{len(list(directory.iterdir()))}"
    path.write_text(f'#!/bin/sh\nexec {" ".join(map(str, prefix))} {program} "$@"\n')
    path.chmod(0o755)
    return path
