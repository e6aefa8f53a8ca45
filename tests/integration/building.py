"""Modules of tasks, compiled out of tree against installed headers."""

import os
import pathlib
import subprocess

from services import ROOT, alone

SOURCES = pathlib.Path(__file__).parent / "modules"


class Headers:
    """`make install` into a directory of its own: nothing of the tree is seen by what is compiled."""

    def __init__(self, directory):
        self.destination = directory / "destination"
        self.built = directory / "modules"
        self.built.mkdir()
        with alone("install"):
            subprocess.run(
                ["make", "-s", "--no-print-directory", "install", f"DESTDIR={self.destination}", "PREFIX=/opt/celeriac"],
                cwd=ROOT, check=True, capture_output=True, text=True,
            )
        self.prefix = self.destination / "opt/celeriac"
        self.examples = self.prefix / "share/celeriac/modules"

    def flags(self):
        environment = {
            **os.environ, "PKG_CONFIG_PATH": str(self.prefix / "share/pkgconfig"), "PKG_CONFIG_SYSROOT_DIR": str(self.destination),
        }
        done = subprocess.run(["pkg-config", "--cflags", "celeriac"], env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    def compile(self, name, source=None):
        """The path of the shared object, of SOURCES or of another file; compiled once for each name."""
        path = self.built / f"{name}.so"
        if path.exists():
            return path
        done = subprocess.run(
            ["cc", "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *self.flags(), "-o", path,
             source or SOURCES / f"{name}.c"],
            cwd=self.built, capture_output=True, text=True,
        )
        assert done.returncode == 0, done.stderr
        return path

    def write(self, name, text):
        """The same of a text."""
        source = self.built / f"{name}.c"
        source.write_text(text)
        return self.compile(name, source)
