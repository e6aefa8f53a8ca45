"""HTTP tools over TLS: who the server is must be what the URL says, by an authority that the machine trusts."""

import http.server

import pytest

from namespaces import may_have_one, program_with
from servers import Certificates
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
        yield trusted.ca, {"right": right, "another's": other, "unknown": stranger}


@pytest.fixture(scope="module")
def house(make_house, servers, session_directory):
    """Its machine trusts the first authority alone."""
    authority, webs = servers
    program = program_with(session_directory, {"/etc/ssl/certs/ca-certificates.crt": authority})
    holes = ",".join(f"http:localhost:{web.port},http:127.0.0.1:{web.port}" for web in webs.values())
    return make_house(program=program, EGRESS_ALLOW=holes)


@pytest.mark.parametrize("which, host, status", [
    ("right", "localhost", "ok"), ("right", "127.0.0.1", "ok"), ("another's", "localhost", "error"), ("unknown", "localhost", "error")])
def test_certificates(house, servers, which, host, status):
    server = servers[1][which]
    server.seen.clear()
    house.postgres.sql("DELETE FROM celeriac.http_tools")
    house.postgres.sql("INSERT INTO celeriac.http_tools (name, url, auth) VALUES ('there', %s, %s)", f"https://{host}:{server.port}/",
                       '{"type": "bearer", "token": "for-the-right-one"}')
    done = house.app.send_task("tools.call_http", kwargs={"tool": "there", "params": {}}).get(timeout=60)
    assert done["status"] == status, done
    assert server.seen == (["Bearer for-the-right-one"] if status == "ok" else []), "somebody else heard the secret"
    assert status == "ok" or "certificate" in done["error"], done
