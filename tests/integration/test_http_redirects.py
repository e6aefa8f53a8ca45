"""Redirects of custom HTTP tools: followed as far as the tool says, each judged like the first URL, and nothing of the tool's goes astray."""

import urllib.parse

from http_peer import call, peer, Peer, rows, worker_of_tools  # noqa: F401
from services import wait_until

# Where nobody may be sent, in every spelling: forbidden addresses are denied, other forms are no URL.
FORBIDDEN = ["http://169.254.169.254/latest/", "http://127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/",
             "http://10.0.0.1/", "http://[fd00:ec2::254]/", "http://0.0.0.0/", "//192.168.1.1/x", "http://localhost:6379/"]
NO_URL = ["http://2130706433/", "http://0177.0.0.1/", "http://0x7f.1/", "http://127.1/", "http://u:p@localhost/", "ftp://localhost/", "file:///etc/passwd",
          "gopher://localhost/", "http://localhost./", "http://[fe80::1%25lo]/", "http:\\\\localhost/", "http://localhost:0x50/", "/a/../b", "/%2e%2e/b"]


def go(status, to=None):
    return f"/go/{status}" + (f"?to={urllib.parse.quote(to, safe='')}" if to else "")


def seen_by(path):
    return [(method, {name.lower(): value for name, value in headers.items()}, body) for method, at, headers, body in Peer.seen if at.startswith(path)]


def test_followed(call, rows, peer):  # noqa: F811
    """Within the origin everything goes along, to another one nothing of the tool's."""
    secret = {"auth": {"type": "bearer", "token": "redirect-very-secret"}, "headers": "X-Own: own-very-secret\nAccept: text/plain", "redirects": 5}
    elsewhere = peer.replace("localhost", "127.0.0.1")
    rows(name="near", url=peer + go(302, "/near/end?q=1"), **secret)
    done = call("near")
    assert done["status"] == "ok" and done["result"]["path"] == "/near/end?q=1"
    assert done["result"]["headers"]["authorization"] == "Bearer redirect-very-secret" and done["result"]["headers"]["x-own"] == "own-very-secret"
    rows(name="far", url=peer + go(302, elsewhere + "/far"), **secret)
    done = call("far")
    assert done["status"] == "ok" and done["result"]["headers"]["host"] == urllib.parse.urlsplit(elsewhere).netloc
    assert done["result"]["headers"]["accept"] == "text/plain"
    assert "very-secret" not in str(done["result"]["headers"])
    rows(name="back", url=peer + go(302, elsewhere + go(302, peer + "/back")), **secret)
    assert "very-secret" not in str(call("back")["result"]["headers"]), "what was dropped does not come back"


def test_methods(call, rows, peer):  # noqa: F811
    for method, status, then in (("POST", 301, "GET"), ("POST", 302, "GET"), ("PUT", 303, "GET"), ("POST", 307, "POST"), ("PATCH", 308, "PATCH"),
                                 ("PUT", 302, "PUT"), ("DELETE", 302, "DELETE"), ("GET", 303, "GET")):
        name = f"{method}{status}".lower()
        rows(name=name, method=method, url=peer + go(status, f"/{name}"), redirects=1)
        result = call(name, {"a": 1} if method[0] == "P" else {})["result"]
        assert (result["method"], result["body"]) == (then, '{"a": 1}' if then[0] == "P" else ""), name
        assert ("content-type" in result["headers"]) == (then[0] == "P"), name
    rows(name="bodyaway", method="POST", url=peer + go(307, peer.replace("localhost", "127.0.0.1") + "/bodyaway"), redirects=1)
    done = call("bodyaway", {"a": "b"})
    assert (done["status"], done["error"]) == ("denied", "redirect: a body does not go to another origin") and not seen_by("/bodyaway")


def test_where_it_ends(call, rows, peer, postgres):  # noqa: F811
    rows(name="loop", url=peer + "/go/302", redirects=3)
    done = call("loop")
    assert (done["status"], done["error"]) == ("error", "more redirects than the tool follows")
    assert len(seen_by("/go/302")) >= 4
    rows(name="five", url=peer + go(302, go(302, go(302, go(302, go(302, "/five"))))), redirects=5)
    assert call("five")["result"]["path"] == "/five"
    rows(name="nowhere", url=peer + "/status/302", redirects=1)
    assert call("nowhere")["error"] == "HTTP status 302"
    for number, url in enumerate(FORBIDDEN + NO_URL):
        rows(name=f"to{number}", url=peer + go(302, url), redirects=5)
        done = call(f"to{number}")
        assert done["status"] == ("denied" if url in FORBIDDEN else "error") and done["error"], (url, done)
        assert url in FORBIDDEN or done["error"].startswith("redirect: "), (url, done)


def test_the_policy_is_asked_at_each(call, rows, peer, postgres):  # noqa: F811
    rows(name="astray", url=peer + go(302, "/secret/place"), redirects=1)
    assert call("astray")["result"]["path"] == "/secret/place"
    postgres.sql("INSERT INTO celeriac.policy_rules (kind, pattern, action, note) VALUES ('url', '*/secret/*', 'deny', 'not there')")
    denied = wait_until(lambda: (got := call("astray"))["status"] == "denied" and got, 30)
    assert "not there" in denied["error"] and denied["result"] is None
    targets = wait_until(lambda: [row[0] for row in postgres.sql(
        "SELECT target FROM celeriac.activity_events WHERE kind = 'http' AND decision = 'allow' AND target LIKE '%%/secret/place'")], 30)
    assert targets, "each hop has its line"
