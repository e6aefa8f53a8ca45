"""--import-openapi: a public API's document becomes HTTP tools, which are called against a server of that API's form."""

import http.server
import json
import urllib.parse

import pytest

from services import ROOT
from web import Web
from worker import run_program

DOCUMENT = ROOT / "tests/data/openapi/open-meteo.json"
KENNEL = ROOT / "tests/data/openapi/kennel.json"


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if url.path == "/kennel.json":
            answer = json.loads(KENNEL.read_text())
        elif url.path.startswith("/api/"):
            answer = {"asked": f"{self.command} {self.path}", "body": sent, "type": self.headers["Content-Type"],
                      "auth": self.headers["Authorization"] or self.headers["X-Door-Key"]}
        elif url.path == "/openapi.json":
            answer = {**json.loads(DOCUMENT.read_text()), "servers": [{"url": "/v1"}]}
        else:
            answer = {"path": url.path, "query": urllib.parse.parse_qs(url.query)}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture
def api():
    with Web(Api) as server:
        yield server.port


@pytest.fixture(autouse=True)
def no_other_tools(postgres):
    """The whole table is looked at."""
    postgres.sql("DELETE FROM celeriac.http_tools")
    yield
    postgres.sql("DELETE FROM celeriac.http_tools")


def test_a_dry_run_writes_nothing(postgres):
    done = run_program("--import-openapi", DOCUMENT, CELERIAC_OWNER_DATABASE_URL=postgres.url("owner"))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["get_forecast", "post_places_place_id_notes"]
    assert "nothing was written" in done.stderr
    assert postgres.sql("SELECT count(*) FROM celeriac.http_tools WHERE name = 'get_forecast'") == [(0,)]


def test_imported_and_called(make_full_worker, app, postgres, api):
    owner = {"CELERIAC_OWNER_DATABASE_URL": postgres.url("owner")}
    source = f"http://localhost:{api}/openapi.json"
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


def test_every_operation_of_a_document(make_full_worker, app, postgres, api):
    """Methods, bodies and authentication of each come from the document; secrets are added by the operator, who enables the tool."""
    done = run_program("--import-openapi-apply", f"http://localhost:{api}/kennel.json", CELERIAC_OWNER_DATABASE_URL=postgres.url("owner"))
    assert done.returncode == 0 and "6 tools, 1 operations that cannot be one; 6 added" in done.stderr, done.stderr
    assert postgres.sql("SELECT name, method, auth->>'type', enabled FROM celeriac.http_tools ORDER BY name") == [
        ("add_animal", "POST", "bearer", False), ("get_animal", "GET", "none", True), ("list_animals", "GET", "none", True),
        ("remove_animal", "DELETE", "api_key", False), ("rename_animal", "POST", "basic", False), ("replace_animal", "PUT", "api_key", False)]
    for kind, secret in (("bearer", {"token": "t0k"}), ("api_key", {"value": "k3y"}), ("basic", {"user": "u", "password": "p"})):
        postgres.sql("UPDATE celeriac.http_tools SET enabled = true, auth = auth || %s WHERE auth->>'type' = %s", json.dumps(secret), kind)
    make_full_worker(EGRESS_ALLOW=f"http:localhost:{api}")

    def call(tool, **params):
        return app.send_task("tools.call", kwargs={"name": f"custom_{tool}", "params": params}).get(timeout=60)

    json_type, form = "application/json", "application/x-www-form-urlencoded"
    for name, params, asked, body, kind, auth in (
            ("list_animals", {"status": "waiting", "limit": 5}, "GET /api/v2/animals?status=waiting&limit=5", None, None, None),
            ("get_animal", {"animalId": 7}, "GET /api/v2/animals/7", None, None, None),
            ("add_animal", {"name": "Rex", "tags": ["big"], "owner": {"name": "O"}}, "POST /api/v2/animals",
             {"name": "Rex", "tags": ["big"], "owner": {"name": "O"}}, json_type, "Bearer t0k"),
            ("replace_animal", {"animalId": 7, "name": "Max"}, "PUT /api/v2/animals/7", {"name": "Max"}, json_type, "k3y"),
            ("rename_animal", {"animalId": 7, "name": "A & B"}, "POST /api/v2/animals/7", {"name": ["A & B"]}, form, "Basic dTpw"),
            ("remove_animal", {"animalId": 7}, "DELETE /api/v2/animals/7", None, None, "k3y")):
        done = call(name, **params)
        assert done["status"] == "ok", (name, done)
        got = done["result"]
        sent = urllib.parse.parse_qs(got["body"]) if kind == form else json.loads(got["body"] or "null")
        assert (urllib.parse.unquote(got["asked"]), got["auth"]) == (asked, auth), name
        assert {key: value for key, value in (sent or {}).items() if value is not None} == (body or {}), name
        assert kind is None or got["type"] == kind, name
    for name, params, said in (("list_animals", {"status": "lost"}, "status"), ("get_animal", {}, "animalId"), ("add_animal", {"name": ""}, "name")):
        done = call(name, **params)
        assert done["status"] == "error" and said in done["error"], (name, done)


@pytest.mark.parametrize("text, said", [("{", "openapi.json"), ("{}", "not an OpenAPI 3 document"), ('{"openapi": "3.0.0"}', "relative")])
def test_documents_that_are_none(directory, text, said):
    (directory / "openapi.json").write_text(text)
    done = run_program("--import-openapi", directory / "openapi.json")
    assert done.returncode == 1 and said in done.stderr
