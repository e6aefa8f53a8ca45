"""Names that stand for another address a moment later: what was judged is what is connected to, for tools, sandboxes and MCP servers."""

import http.server
import os

import pytest

from namespaces import may_have_one
from resolver import Resolver
from services import wait_until
from web import Web

pytestmark = [pytest.mark.docker, pytest.mark.skipif(not may_have_one(), reason="a name server on port 53 is for root")]

# Of the loopback network, so that nothing leaves this machine: one is open to everybody by EGRESS_ALLOW, as public ones are; the other is forbidden.
NUMBER = os.getpid() % 65536
OPEN, FORBIDDEN, RESOLVER = (f"127.{net}.{NUMBER >> 8}.{NUMBER & 255}" for net in (77, 78, 79))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append(f"{self.headers['Host']} {self.path}")
        if self.path == "/hop":
            self.send_response(302)
            self.send_header("Location", "/landed")
        else:
            self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"open" if self.server.server_address[0] == OPEN else b"shut")

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def servers():
    """The two, on the same port."""
    with Web(Handler, OPEN) as first, Web(Handler, FORBIDDEN, first.port) as second:
        yield first, second


@pytest.fixture(scope="module")
def resolver():
    made = Resolver(RESOLVER)
    yield made
    made.close()


@pytest.fixture(scope="module")
def house(make_house, resolver, servers, session_directory):
    return make_house(program=resolver.program(session_directory), EGRESS_ALLOW=f"all:{OPEN}/32:{servers[0].port}")


@pytest.fixture
def name(resolver, servers):
    """A name that stands for the open address once, and for the forbidden one ever after."""
    made = f"n{len(resolver.says)}.rebind.test"
    resolver.says[made] = [[OPEN], [FORBIDDEN]]
    yield made
    assert servers[1].seen == [], "the forbidden one was reached"


def url(servers, host, path="/"):
    return f"http://{host}:{servers[0].port}{path}"


@pytest.fixture
def call(house):
    yield lambda tool: house.app.send_task("tools.call_http", kwargs={"tool": tool, "params": {}}).get(timeout=60)
    house.postgres.sql("DELETE FROM celeriac.http_tools")


def tool(house, name, url, redirects=0):
    house.postgres.sql("INSERT INTO celeriac.http_tools (name, url, redirects) VALUES (%s, %s, %s)", name, url, redirects)


def test_http_tools(house, call, name, resolver, servers):
    tool(house, "rebind", url(servers, name))
    done = call("rebind")
    assert (done["status"], done["result"]) == ("ok", "open"), done
    assert resolver.asked.count(name) == 1, "it is looked up once for each connection"
    assert call("rebind")["status"] == "denied" and resolver.asked.count(name) == 2


def test_redirects_of_http_tools(house, call, name, resolver, servers):
    """The same origin by its name, another one by its address."""
    tool(house, "hops", url(servers, name, "/hop"), redirects=5)
    assert call("hops")["status"] == "denied"
    assert [line.split()[1] for line in servers[0].seen if line.startswith(name)] == ["/hop"] and resolver.asked.count(name) == 2


def test_one_bad_address_is_enough(house, call, resolver, servers):
    resolver.says["mixed.rebind.test"] = [[OPEN, FORBIDDEN]]
    tool(house, "mixed", url(servers, "mixed.rebind.test"))
    assert call("mixed")["status"] == "denied"
    assert not [line for server in servers for line in server.seen if line.startswith("mixed")]


def test_one_bad_address_of_an_mcp_server(house, resolver, servers):
    """Whichever comes first, and over either transport."""
    try:
        for number, (transport, addresses) in enumerate((kind, order) for kind in ("streamable_http", "sse")
                                                        for order in ([OPEN, FORBIDDEN], [FORBIDDEN, OPEN])):
            name = f"mixed-mcp{number}.rebind.test"
            resolver.says[name] = [addresses]
            house.postgres.sql("INSERT INTO celeriac.mcp_servers (name, runtime, transport, url) VALUES (%s, 'external', %s, %s)",
                               f"mixed{number}", transport, url(servers, name, "/mcp"))
            done = house.app.send_task("mcp.call_tool", kwargs={"server_id": f"mixed{number}", "tool": "x"}).get(timeout=60)
            assert done["status"] == "denied" and FORBIDDEN in done["error"], done
            assert resolver.asked.count(name) == 1
        assert not [line for server in servers for line in server.seen if line.startswith("mixed-mcp")]
    finally:
        house.postgres.sql("DELETE FROM celeriac.mcp_servers")


def test_sandboxes(house, name, resolver, servers):
    code = ("import urllib.request, urllib.error\n"
            "for _ in range(2):\n"
            f"    try: print(urllib.request.urlopen({url(servers, name)!r}).read().decode())\n"
            "    except urllib.error.HTTPError as error: print(error.code)\n")
    done = house.app.send_task("sandbox.execute_code", kwargs={"conversation_id": name, "code": code}).get(timeout=120)
    assert done["stdout"].split() == ["open", "403"], done
    assert resolver.asked.count(name) == 2


def test_mcp_servers(house, name, servers):
    """It speaks no MCP, which does not matter here: it is asked once, and not found the next time."""
    house.postgres.sql("INSERT INTO celeriac.mcp_servers (name, runtime, transport, url) VALUES ('rebind', 'external', 'streamable_http', %s)",
                       url(servers, name, "/mcp"))
    try:
        for _ in range(2):
            result = house.app.send_task("mcp.test_connection", kwargs={"server_id": "rebind"})
            wait_until(result.ready, 60)
        assert [line for line in servers[0].seen if line.startswith(name)], "the first time it was asked"
        assert wait_until(lambda: [line for line in house.worker.log_lines("audit") if "rebind" in line], 30)
    finally:
        house.postgres.sql("DELETE FROM celeriac.mcp_servers")
