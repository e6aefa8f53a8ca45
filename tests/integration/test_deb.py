"""`make deb`: built in a container, installed in a bare one, used, and purged without a trace."""

import json
import subprocess
import uuid

import pytest

from sandboxes import docker
from services import ROOT

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.timeout(1800)]

USE = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null
find / -xdev \( -name '*celeriac*' -o -path '*celeriac*' \) ! -path '/deb/*' ! -path '/proc/*' | sort >/deb-before
apt-get install -q -y --no-install-recommends /deb/celeriac.deb >/dev/null
printf '{"version": "%s", "user": "%s", "conf": "%s", "state": "%s", ' "$(celeriac-worker --version)" "$(id -un celeriac)" \
	"$(stat -c '%U:%G %a' /etc/celeriac/celeriac.conf)" "$(stat -c '%U:%G %a' /var/lib/celeriac)"
printf '"beat": "%s", "verified": "%s", ' "$(celeriac-beat --version)" "$(dpkg -V celeriac)"
echo '# mine' >>/etc/celeriac/celeriac.conf
apt-get remove -q -y celeriac >/dev/null 2>&1
printf '"kept": "%s", ' "$(tail -n 1 /etc/celeriac/celeriac.conf)"
apt-get purge -q -y celeriac >/dev/null 2>&1
find / -xdev \( -name '*celeriac*' -o -path '*celeriac*' \) ! -path '/deb/*' ! -path '/proc/*' | sort >/deb-after
printf '"left": "%s"}\n' "$(diff /deb-before /deb-after | sed -n 's/^> //p' | paste -sd ' ')"
"""


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, timeout=1500, **options)
    assert done.returncode == 0, done.stdout[-2000:].decode() + done.stderr[-4000:].decode()
    return done.stdout


def test_installed_and_purged(directory):
    name = f"celeriac-test-deb:{uuid.uuid4().hex[:8]}"
    base, proxy = (run(ROOT / "deploy/images/base", *words).decode().strip() for words in ((), ("--proxy",)))
    try:
        run(ROOT / "deploy/images/worker/build", name, "build")
        (directory / "celeriac.deb").write_bytes(
            run("docker", "run", "--rm", "--network=none", name, "sh", "-c", "make -C /src -s WERROR=0 deb >&2 && cat /src/build/celeriac_*.deb"))
    finally:
        docker("rmi", "-f", name, check=False)
    directory.chmod(0o755)
    said = run("docker", "run", "--rm", "--network=host", *(["-e", f"http_proxy={proxy}"] if proxy else []), "-v", f"{directory}:/deb:ro", base,
               "sh", "-c", USE)
    seen = json.loads(said)
    assert seen["version"].startswith("celeriac-worker ") and seen["beat"].startswith("celeriac-beat ") and seen["user"] == "celeriac"
    assert (seen["conf"], seen["state"], seen["kept"]) == ("root:celeriac 640", "celeriac:celeriac 750", "# mine")
    assert seen["left"] == "" and seen["verified"] == ""
