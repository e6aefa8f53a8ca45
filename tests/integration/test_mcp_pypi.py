"""Servers of the specification's authors from PyPI, installed from the registry that this machine's own pip uses."""

import re
import socket
import urllib.parse

import pytest
import requests

from mcp_servers import ask, instances, servers
from test_egress_installs import host_of, registries
from test_mcp_packages import IMAGE, volumes
from sandboxes import docker

pytestmark = [pytest.mark.docker, pytest.mark.long]
__all__ = ["ask", "servers"]


@pytest.fixture
def worker(make_full_worker, servers, broker):
    url, _ = registries()["python"]
    addresses = {info[4][0] for info in socket.getaddrinfo(host_of(url), 443, socket.AF_INET)}
    ranges = {".".join(address.split(".")[:3]) + ".0/24" for address in addresses}
    yield make_full_worker(MCP_NETWORK="none", EGRESS_ALLOW=",".join(f"mcp:{one}" for one in sorted(ranges)))
    for container in instances(broker):
        docker("rm", "-f", container)
    for volume in volumes(broker):
        docker("volume", "rm", volume)


def hosts_of(url):
    """The index's, and those that its page of one package sends pip to."""
    page = requests.get(url.rstrip("/") + "/mcp-server-time/", timeout=60)
    links = [urllib.parse.urljoin(page.url, link) for link in re.findall(r'href="([^"]+)"', page.text)]
    return {host_of(url), host_of(page.url)} | {host_of(link) for link in links}


def test_time_and_fetch(worker, ask, servers, broker):
    url, _ = registries()["python"]
    # the machine's bundle of certificates is not in the image
    environment = f"PIP_TRUSTED_HOST={' '.join(sorted(hosts_of(url)))}\nPIP_INDEX_URL={url}\n"
    clock = servers(name="time", image=IMAGE, command="uvx mcp-server-time --local-timezone=UTC", environment=environment)
    listed = ask("mcp.test_connection", server_id=clock)
    assert {tool["name"] for tool in listed["tools"]} == {"get_current_time", "convert_time"}
    said = ask("mcp.call_tool", server_id=clock, tool="get_current_time", arguments={"timezone": "Asia/Tokyo"}, timeout=60)
    assert said["status"] == "ok" and "+09:00" in said["content"][0]["text"], said
    fetch = servers(name="fetch", image=IMAGE, command="uvx mcp-server-fetch", environment=environment)
    assert "fetch" in {tool["name"] for tool in ask("mcp.test_connection", server_id=fetch)["tools"]}
    failed = ask("mcp.call_tool", server_id=fetch, tool="fetch", arguments={"url": "http://192.0.2.1/"}, timeout=60)
    assert failed["is_error"], "it has no network"
