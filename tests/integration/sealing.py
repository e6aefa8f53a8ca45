"""Sealing as the manual tells an application to do it."""

import base64
import os
import re

from services import ROOT

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(range(1, 33))).decode()


def documented():
    """The manual's own lines, as somebody would copy them."""
    page = (ROOT / "worker/celeriac-schema.7").read_text()
    (lines,) = re.findall(r"^(import base64.*?)^\.Ed$", page, re.DOTALL | re.MULTILINE)
    assert len([line for line in lines.splitlines() if line]) <= 10
    namespace = {}
    exec(lines, namespace)
    return namespace["seal"]


def seal(secret, place, key=KEY):
    before = os.environ.get("SECRETS_ENCRYPTION_KEY")
    os.environ["SECRETS_ENCRYPTION_KEY"] = key
    try:
        return documented()(secret, place)
    finally:
        if before is None:
            del os.environ["SECRETS_ENCRYPTION_KEY"]
        else:
            os.environ["SECRETS_ENCRYPTION_KEY"] = before
