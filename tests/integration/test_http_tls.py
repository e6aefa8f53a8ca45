"""HTTP tools over TLS: who the server is must be what the URL says, by an authority that the machine trusts; of a request that is made
in a sandbox, one that its image trusts."""

import http.server
import subprocess
import uuid

import pytest

from namespaces import may_have_one, program_with
from servers import Certificates
from services import wait_until
from web import Web

pytestmark = [pytest.mark.docker, pytest.mark.skipif(not may_have_one(), reason="a mount namespace is for root")]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def servers(session_directory):
    ours, theirs = session_directory / "ours", session_directory / "theirs"
    for directory in (ours, theirs):
        directory.mkdir()
    trusted, unknown = Certificates(ours), Certificates(theirs)
    with Web(Handler, certificate=trusted.server) as right, Web(Handler, certificate=trusted.other) as other, \
            Web(Handler, certificate=unknown.server) as stranger:
        with Web(Handler) as plain:
            yield trusted.ca, {"right": right, "another's": other, "unknown": stranger, "plain": plain}


def holes(webs):
    return ",".join(f"http:localhost:{web.port},http:127.0.0.1:{web.port}" for web in webs.values())


@pytest.fixture(scope="module")
def directly(make_house, servers, session_directory):
    """Its machine trusts the first authority alone."""
    authority, webs = servers
    program = program_with(session_directory, {"/etc/ssl/certs/ca-certificates.crt": authority})
    return make_house(program=program, EGRESS_ALLOW=holes(webs))


@pytest.fixture(scope="module")
def in_sandbox(make_house, servers, session_directory, postgres):
    """So does its image; the machine has no part in it."""
    authority, webs = servers
    context, tag = session_directory / "trusting", f"celeriac-test-trusting:{uuid.uuid4().hex[:12]}"
    context.mkdir()
    (context / "ca.crt").write_bytes(authority.read_bytes())
    (context / "Dockerfile").write_text("FROM celeriac-sandbox:latest\nCOPY ca.crt /etc/ssl/certs/ca-certificates.crt\n")
    subprocess.run(["docker", "build", "-q", "-t", tag, context], check=True, capture_output=True, timeout=120)
    postgres.sql("INSERT INTO celeriac.sandbox_settings (tool, network, run_in_sandbox) VALUES ('tools.call_http', true, true)")
    try:
        yield make_house(SANDBOX_IMAGE=tag, EGRESS_ALLOW=holes(webs))
    finally:
        postgres.sql("DELETE FROM celeriac.sandbox_settings")
        subprocess.run(["docker", "rmi", "-f", tag], capture_output=True, timeout=60)


def ask(house, url):
    house.postgres.sql("INSERT INTO celeriac.http_tools (name, url, auth) VALUES ('there', %s, %s)", url,
                       '{"type": "bearer", "token": "for-the-right-one"}')
    try:
        return house.app.send_task("tools.call_http", kwargs={"tool": "there", "params": {}}).get(timeout=60)
    finally:
        house.postgres.sql("DELETE FROM celeriac.http_tools")


CASES = [("right", "localhost", "ok"), ("right", "127.0.0.1", "ok"), ("another's", "localhost", "error"), ("unknown", "localhost", "error")]


def check(house, servers, which, host, status):
    server = servers[1][which]
    server.seen.clear()
    done = ask(house, f"https://{host}:{server.port}/")
    assert done["status"] == status, done
    assert server.seen == (["Bearer for-the-right-one"] if status == "ok" else []), "somebody else heard the secret"
    assert status == "ok" or "certificate" in done["error"], done
    return done


@pytest.mark.parametrize("which, host, status", CASES)
def test_certificates(directly, servers, which, host, status):
    check(directly, servers, which, host, status)


@pytest.mark.parametrize("which, host, status", CASES)
def test_certificates_in_a_sandbox(in_sandbox, servers, which, host, status):
    done = check(in_sandbox, servers, which, host, status)
    assert status == "ok" or done["error"].startswith("TLS: "), done
    assert in_sandbox.postgres.sql("SELECT container_id FROM celeriac.tool_results WHERE tool = 'tools.call_http' ORDER BY started_at DESC LIMIT 1")[0][0]


def test_rules_in_a_sandbox(in_sandbox, servers):
    """What may be reached is judged for what is inside TLS as for all else; and what is no TLS is an error that says so."""
    port = servers[1]["right"].port
    for url, words in ((f"https://127.0.0.2:{port}/", "127.0.0.2"), ("https://10.0.0.1/", "10.0.0.1")):
        done = ask(in_sandbox, url)
        assert done["status"] == "denied" and words in done["error"], (url, done)
    plain = ask(in_sandbox, f"https://localhost:{servers[1]['plain'].port}/")
    assert plain["status"] == "error" and plain["error"].startswith("TLS: ") and servers[1]["plain"].seen == [], plain
    rule = in_sandbox.postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, note) VALUES ('url', %s, 'deny', 'not that page') "
                                   "RETURNING id", f"https://localhost:{port}/no*")[0][0]
    try:
        denied = wait_until(lambda: (got := ask(in_sandbox, f"https://localhost:{port}/nowhere"))["status"] == "denied" and got, 30)
        assert "not that page" in denied["error"], denied
    finally:
        in_sandbox.postgres.sql("DELETE FROM celeriac.policy_rules WHERE id = %s", rule)
