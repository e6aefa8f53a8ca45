"""Sealed secrets: what the application seals in the ten lines of the manual, and what celeriac-worker --seal does."""

import base64
import hashlib
import subprocess

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealing import KEY, OTHER, seal
from worker import program_env, PROGRAM, run_program

PLACE = "plugin_configs.config.7"
SECRET = '{"token": "zauberwort-é"}'


def program(option, place, text, key=KEY):
    return subprocess.run([PROGRAM, option, place], input=text.encode() if isinstance(text, str) else text,
                          env=program_env(SECRETS_ENCRYPTION_KEY=key), capture_output=True, timeout=60)


def open_sealed(text, place, key=KEY):
    raw = base64.b64decode(key)
    version, name, data = text.split(":")
    assert (version, name) == ("v1", hashlib.sha256(raw).hexdigest()[:8])
    data = base64.b64decode(data)
    return AESGCM(raw).decrypt(data[:12], data[12:], place.encode()).decode()


def test_what_the_program_seals_opens_in_python():
    first, second = (program("--seal", PLACE, SECRET + "\n") for _ in range(2))
    assert first.returncode == 0 and first.stderr == b"" and first.stdout != second.stdout
    sealed = first.stdout.decode().strip()
    assert open_sealed(sealed, PLACE) == SECRET
    with pytest.raises(InvalidTag):
        open_sealed(sealed, "plugin_configs.config.8")
    empty = program("--seal", PLACE, "")
    assert open_sealed(empty.stdout.decode().strip(), PLACE) == ""


def test_what_python_seals_opens_in_the_program():
    """By sealing it again under another key: the old one opens, the new one seals."""
    sealed = seal(SECRET, PLACE)
    assert open_sealed(sealed, PLACE) == SECRET
    again = program("--reseal", PLACE, sealed, f"{OTHER},{KEY}")
    assert again.returncode == 0, again.stderr
    assert open_sealed(again.stdout.decode().strip(), PLACE, OTHER) == SECRET


@pytest.mark.parametrize("place, spoil, key, words", [
    (PLACE, None, OTHER, "plugin_configs.config.7 is sealed with the key 630dcd29, which SECRETS_ENCRYPTION_KEY does not hold"),
    ("plugin_configs.config.8", None, KEY, "plugin_configs.config.8 does not open: it was changed, or sealed for another place"),
    (PLACE, lambda text: text[:-8] + ("AAAA" if text[-8:-4] != "AAAA" else "BBBB") + text[-4:], KEY, "does not open"),
    (PLACE, lambda text: text[:20], KEY, "is not a sealed value"),
    (PLACE, lambda text: "plain " + SECRET, KEY, "is not sealed"),
    (PLACE, None, "", "SECRETS_ENCRYPTION_KEY is not set"),
    (PLACE, None, KEY[:-8], "SECRETS_ENCRYPTION_KEY: key 1 is not the base64 of 32 bytes"),
    (PLACE, None, f"{OTHER},{OTHER},{KEY}", "more than 2 keys"),
    ("plugin_configs.name.7", None, KEY, "'plugin_configs.name.7' is no place for a secret"),
    ("plugin_configs.config.", None, KEY, "is no place for a secret"),
    ("plugin_configs.config.07", None, KEY, "is no place for a secret"),
])
def test_what_does_not_open(place, spoil, key, words):
    sealed = seal(SECRET, PLACE)
    done = program("--reseal", place, spoil(sealed) if spoil else sealed, key)
    said = done.stderr.decode()
    assert done.returncode == 1 and done.stdout == b"" and words in said, said
    assert len(said.splitlines()) == 1 and "zauberwort" not in said and KEY[:10] not in said and sealed[12:40] not in said


def test_too_much_to_seal():
    done = program("--seal", PLACE, b"x" * ((1 << 20) + 1))
    assert done.returncode == 1 and b"more than 1048576 bytes" in done.stderr
    assert program("--seal", PLACE, b"x" * (3 << 20)).returncode == 1


def test_the_key_is_not_shown():
    shown = run_program("--settings", SECRETS_ENCRYPTION_KEY=f"{OTHER},{KEY}").stdout
    assert "SECRETS_ENCRYPTION_KEY" in shown and KEY[:12] not in shown and OTHER[:12] not in shown


def test_a_worker_with_a_key_that_is_none(make_full_worker):
    """It does not start, and does not say the key."""
    worker = make_full_worker(start=False, SECRETS_ENCRYPTION_KEY="c2VjcmV0").spawn()
    assert worker.process.wait(timeout=30) == 1
    assert "SECRETS_ENCRYPTION_KEY: key 1 is not the base64 of 32 bytes" in worker.log() and "c2VjcmV0" not in worker.log()
    check = run_program("--check", CELERY_BROKER_URL="redis://127.0.0.1:1/0", SECRETS_ENCRYPTION_KEY="c2VjcmV0")
    assert check.returncode == 1 and "key 1 is not the base64" in check.stdout and "c2VjcmV0" not in check.stdout + check.stderr
