"""--import-openapi: a public API's document becomes HTTP tools, which are called against a server of that API's form."""

import http.server
import json
import threading
import urllib.parse

import pytest

from services import ROOT
from worker import run_program

DOCUMENT = ROOT / "tests/data/openapi/open-meteo.json"


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/openapi.json":
            answer = {**json.loads(DOCUMENT.read_text()), "servers": [{"url": "/v1"}]}
        else:
            answer = {"path": url.path, "query": urllib.parse.parse_qs(url.query)}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def api():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_dry_run_writes_nothing(postgres):
    done = run_program("--import-openapi", DOCUMENT, CELERIAC_OWNER_DATABASE_URL=postgres.url("owner"))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["get_forecast", "post_places_place_id_notes"]
    assert "nothing was written" in done.stderr
    assert postgres.sql("SELECT count(*) FROM celeriac.http_tools WHERE name = 'get_forecast'") == [(0,)]


def test_imported_and_called(make_full_worker, app, postgres, api):
    owner = {"CELERIAC_OWNER_DATABASE_URL": postgres.url("owner")}
    source = f"http://localhost:{api}/openapi.json"
    try:
        done = run_program("--import-openapi-apply", source, **owner)
        assert done.returncode == 0 and "2 tools, 2 operations that cannot be one; 2 added" in done.stderr, done.stderr
        assert postgres.sql("SELECT name, enabled FROM celeriac.http_tools ORDER BY name") == [
            ("get_forecast", True), ("post_places_place_id_notes", False)]
        # What is there already stays what it is.
        postgres.sql("UPDATE celeriac.http_tools SET description = 'ours' WHERE name = 'get_forecast'")
        assert "; 0 added" in run_program("--import-openapi-apply", source, **owner).stderr
        assert postgres.sql("SELECT description FROM celeriac.http_tools WHERE name = 'get_forecast'") == [("ours",)]
        make_full_worker(EGRESS_ALLOW=f"http:localhost:{api}")

        def call(**params):
            return app.send_task("tools.call", kwargs={"name": "custom_get_forecast", "params": params}).get(timeout=60)

        result = call(latitude=52.5, longitude=13.4, current_weather=True)
        assert result["status"] == "ok", result
        assert result["result"] == {"path": "/v1/forecast", "query": {
            "latitude": ["52.5"], "longitude": ["13.4"], "current_weather": ["true"]}}
        refused = call(latitude=-91, longitude=0)
        assert refused["status"] == "error" and "latitude" in refused["error"]
    finally:
        postgres.sql("DELETE FROM celeriac.http_tools")


@pytest.mark.parametrize("text, said", [("{", "openapi.json"), ("{}", "not an OpenAPI 3 document"), ('{"openapi": "3.0.0"}', "relative")])
def test_documents_that_are_none(directory, text, said):
    (directory / "openapi.json").write_text(text)
    done = run_program("--import-openapi", directory / "openapi.json")
    assert done.returncode == 1 and said in done.stderr
