"""Programs that see other files than the rest of the machine: in a mount namespace of their own, which takes root."""

import os

from services import ROOT


def program_with(directory, files, program=ROOT / "build/celeriac-worker"):
    """A program that is `program` with `files`: {path: what is there instead}."""
    path = directory / f"program-with-{len(list(directory.iterdir()))}"
    mounts = " && ".join(f"mount --bind {source} {target}" for target, source in files.items())
    path.write_text(f"#!/bin/sh\nexec unshare --mount sh -c '{mounts} && exec \"$@\"' sh {program} \"$@\"\n")
    path.chmod(0o755)
    return path


def may_have_one():
    return os.geteuid() == 0
