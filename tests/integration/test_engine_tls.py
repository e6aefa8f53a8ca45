"""A Docker daemon beyond TCP, where both ends show certificates: a worker's whole work over it, and who is not let in."""

import uuid

import pytest

import engines
from sandboxes import Calls
from servers import Certificates
from services import free_port
from worker import run_program

pytestmark = [pytest.mark.long, pytest.mark.docker]


class Tls(engines.Another):
    def __init__(self, certificates):
        super().__init__()
        self.certificates, self.port = certificates, free_port()

    def command(self):
        certificate, key = self.certificates.server
        return [*super().command(), "--host", f"tcp://127.0.0.1:{self.port}", "--tlsverify", "--tlscacert", self.certificates.ca,
                "--tlscert", certificate, "--tlskey", key]

    def settings_of(self, name, authority, pair):
        """As DOCKER_CERT_PATH has them."""
        directory = self.dir / name
        directory.mkdir()
        for file, source in (("ca.pem", authority), ("cert.pem", pair[0]), ("key.pem", pair[1])):
            (directory / file).write_bytes(source.read_bytes())
            (directory / file).chmod(0o644)
        directory.chmod(0o755)
        self.dir.chmod(0o755)
        return {"DOCKER_HOST": f"tcp://127.0.0.1:{self.port}", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(directory)}


@pytest.fixture(scope="module")
def engine_tls(session_directory):
    ours, theirs = session_directory / "tls-ours", session_directory / "tls-theirs"
    for directory in (ours, theirs):
        directory.mkdir()
    engine = Tls(Certificates(ours))
    engine.stranger = Certificates(theirs)
    try:
        yield engine.start()
    finally:
        engine.stop()


def test_a_worker_works_over_it(engine_tls, make_full_worker, app, postgres):
    ours = engine_tls.certificates
    make_full_worker(**engine_tls.settings_of("right", ours.ca, ours.client))
    calls, conversation = Calls(app, postgres), f"c-{uuid.uuid4()}"
    value = calls.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\nopen('/sandbox/output/f', 'wb').write(bytes(1 << 20))\nsys.exit(3)",
                      conversation)
    assert (value["status"], value["exit_code"], value["stdout"], value["stderr"]) == ("error", 3, "out\n", "err\n")
    assert [(file["name"], file["size"]) for file in value["files"]] == [("f", 1 << 20)]
    assert calls.run("print('again')", conversation)["sandbox"] == value["sandbox"]
    assert engine_tls.docker("inspect", value["sandbox"]).stdout, "it is on another engine"


@pytest.mark.parametrize("authority, pair, said", [("ours", "theirs", "certificate"), ("theirs", "ours", "certificate")])
def test_who_is_not_let_in(engine_tls, broker, postgres, authority, pair, said):
    """A client that the engine does not know, and an engine that the client does not know."""
    by_name = {"ours": engine_tls.certificates, "theirs": engine_tls.stranger}
    settings = engine_tls.settings_of(f"{authority}-{pair}", by_name[authority].ca, by_name[pair].client)
    done = run_program("--check", CELERY_BROKER_URL=broker.url, DATABASE_URL=postgres.url("worker"), CELERIAC_METRICS="", **settings)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL  engine")]
    assert done.returncode == 1 and said in line.lower(), done.stdout
