"""HTTP tools over TLS: who the server is must be what the URL says, by an authority that the machine trusts."""

import http.server
import ssl
import threading

import pytest

from namespaces import may_have_one, program_with
from servers import Certificates

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


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, certificate, key):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        try:
            super().finish_request(self.context.wrap_socket(request, server_side=True), client_address)
        except (ssl.SSLError, OSError):
            pass  # the client went away, as it should


@pytest.fixture(scope="module")
def servers(session_directory):
    ours, theirs = session_directory / "ours", session_directory / "theirs"
    for directory in (ours, theirs):
        directory.mkdir()
    trusted, unknown = Certificates(ours), Certificates(theirs)
    made = {"right": Server(*trusted.server), "another's": Server(*trusted.other), "unknown": Server(*unknown.server)}
    made["right"].ca = trusted.ca
    yield made
    for server in made.values():
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def house(make_house, servers, session_directory):
    """Its machine trusts the first authority alone."""
    program = program_with(session_directory, {"/etc/ssl/certs/ca-certificates.crt": servers["right"].ca})
    holes = ",".join(f"http:localhost:{server.server_port},http:127.0.0.1:{server.server_port}" for server in servers.values())
    return make_house(program=program, EGRESS_ALLOW=holes)


@pytest.mark.parametrize("which, host, status", [
    ("right", "localhost", "ok"), ("right", "127.0.0.1", "ok"), ("another's", "localhost", "error"), ("unknown", "localhost", "error")])
def test_certificates(house, servers, which, host, status):
    server = servers[which]
    server.seen.clear()
    house.postgres.sql("DELETE FROM celeriac.http_tools")
    house.postgres.sql("INSERT INTO celeriac.http_tools (name, url, auth) VALUES ('there', %s, %s)", f"https://{host}:{server.server_port}/",
                       '{"type": "bearer", "token": "for-the-right-one"}')
    done = house.app.send_task("tools.call_http", kwargs={"tool": "there", "params": {}}).get(timeout=60)
    assert done["status"] == status, done
    assert server.seen == (["Bearer for-the-right-one"] if status == "ok" else []), "somebody else heard the secret"
    assert status == "ok" or "certificate" in done["error"], done
