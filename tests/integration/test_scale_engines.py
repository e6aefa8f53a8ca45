"""Several engines: two real Docker daemons on this machine, the one that is there and one of the module's own."""

import subprocess
import uuid

import pytest

import engines
from mcp_servers import ask, instances, managed, servers
from sandboxes import containers
from services import wait_until
from test_scale import NOTE, check_order, is_left_clean, make_workers, names, nodes_of, send_in_turn

__all__ = ["ask", "make_workers", "servers"]
pytestmark = [pytest.mark.docker, pytest.mark.long]
FIRST = "unix:///var/run/docker.sock"


@pytest.fixture(scope="module")
def second():
    made = engines.Another()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def both(second, instance):
    yield {"DOCKER_HOST": f"{FIRST},{second.host}", "SANDBOX_ENGINE_GRACE": "4s"}
    left = there(second, instance)
    if left:
        second.docker("rm", "-f", *left)


def there(engine, instance):
    """Containers of the deployment on that engine."""
    return engine.docker("ps", "-aq", "--no-trunc", "--filter", f"label=celeriac.instance={instance}").stdout.decode().split()


def both_up(workers, second):
    """They are ready with the first engine that answers."""
    for worker in workers:
        wait_until(lambda: all(state == "up" for name, state in worker.readiness().items() if name.startswith("engine:")), 60,
                   lambda: f"not both engines: {worker.readiness()}")
        assert f"engine:{second.host}" in worker.readiness()


def stop(engine):
    engine.process.terminate()
    engine.process.wait(60)


@pytest.mark.parametrize("kills", [0, 1], ids=["quiet", "killed"])
def test_four_workers_on_two_engines(make_workers, calls, broker, instance, second, both, kills):
    """Conversations are spread over the engines by what is free, stay there, in order, also when a worker is killed."""
    workers = make_workers(4, **both, SANDBOX_MAX="16")
    both_up(workers, second)
    conversations = names(10)
    sent = send_in_turn(calls, conversations, 0, 10)
    for n in range(kills):
        wait_until(lambda: broker.result_count() >= 30, 120, "they do not go on")
        workers[n].kill()
    homes = {}
    for conversation, results in sent.items():
        values = check_order(results)
        assert len({value["sandbox"] for value in values}) == 1 and not any(value["restarted"] for value in values)
        homes[conversation] = values[0]["sandbox"]
    on_first, on_second = set(containers(instance)), set(there(second, instance))
    assert on_first | on_second == set(homes.values()) and len(on_first) + len(on_second) == 10
    assert min(len(on_first), len(on_second)) >= 2, (len(on_first), len(on_second))
    engine_of = {}
    for conversation, container in homes.items():
        written = broker.redis.hget(f"celeriac:{instance}:conversation:{conversation}", "engine")
        engine_of.setdefault(container in on_second, set()).add(written)
    assert all(len(seen) == 1 for seen in engine_of.values()) and engine_of[True] != engine_of[False]
    is_left_clean(broker, instance)


def test_an_engine_that_is_away(make_workers, calls, broker, instance, second, both):
    """It gets no new conversation and is named once; its conversations wait, then begin anew on the other, and say so."""
    worker, other = make_workers(2, **both, SANDBOX_MAX="8")
    both_up((worker, other), second)
    kept = {}
    for conversation in names(8):
        kept[conversation] = calls.run(NOTE.format(n=0), conversation)["sandbox"]
    lost = [conversation for conversation, container in kept.items() if container in there(second, instance)]
    stay = [conversation for conversation in kept if conversation not in lost]
    assert lost and stay
    stop(second)
    try:
        wait_until(lambda: worker.readiness()[f"engine:{second.host}"] == "away", 30, "it is not noticed")
        assert worker.http("/readyz")[0] == 200 and worker.readiness()["engine"] == "up"
        assert all(calls.run("print(1)")["sandbox"] in containers(instance) for _ in range(3))
        for conversation in stay:
            value = calls.run(NOTE.format(n=1), conversation)
            assert (value["stdout"], value["restarted"]) == ("0 1 ", False)
        value = calls.run(NOTE.format(n=1), lost[0])
        assert (value["stdout"], value["restarted"]) == ("1 ", True)
        value = calls.run(NOTE.format(n=2), lost[0])
        assert (value["stdout"], value["restarted"], value["reused"]) == ("1 2 ", False, True)
        wait_until(lambda: other.readiness()[f"engine:{second.host}"] == "away", 30, "it is not noticed")
        assert len(worker.log_lines("container engine .* is not usable")) == len(other.log_lines("container engine .* is not usable")) == 1
    finally:
        second.resume()
    for each in (worker, other):
        wait_until(lambda: each.readiness()[f"engine:{second.host}"] == "up", 60, "its return is not noticed")
    wait_until(lambda: calls.run("print(1)")["sandbox"] in there(second, instance), 60, "it gets no conversation again")


def test_each_worker_with_an_engine_of_its_own(make_full_worker, calls, broker, instance, second, both):
    """A call is run where its container is, whoever took it; only a container whose engine nobody reaches any more is replaced."""
    grace = {"SANDBOX_ENGINE_GRACE": "60s"}
    one = make_full_worker(node=f"one-{uuid.uuid4().hex[:8]}", DOCKER_HOST=FIRST, **grace)
    two = make_full_worker(node=f"two-{uuid.uuid4().hex[:8]}", DOCKER_HOST=second.host, **grace)
    sent = send_in_turn(calls, names(6), 0, 6)
    homes = {}
    for conversation, results in sent.items():
        values = check_order(results)
        assert not any(value["restarted"] for value in values)
        homes[conversation], = set(nodes_of(calls, results))
    of_one = [conversation for conversation, node in homes.items() if node == one.node]
    of_two = [conversation for conversation, node in homes.items() if node == two.node]
    assert len(containers(instance)) == len(of_one) and len(there(second, instance)) == len(of_two)
    assert of_one and of_two
    # Away for a moment, for a new version say: its conversations wait for it.
    assert one.term() == 0
    waiting = calls.send(NOTE.format(n=6), of_one[0]), calls.send(NOTE.format(n=7), of_one[0])
    two.wait_log("no worker reaches the engine", 30)
    one.start()
    assert [result.get(timeout=90)["stdout"] for result in waiting] == ["0 1 2 3 4 5 6 ", "0 1 2 3 4 5 6 7 "]
    assert nodes_of(calls, waiting) == [one.node] * 2
    # Away for good.
    assert one.term() == 0
    value = calls.send(NOTE.format(n=8), of_one[0]).get(timeout=150)
    assert (value["stdout"], value["restarted"]) == ("8 ", True)
    value = calls.run(NOTE.format(n=6), of_two[0])
    assert (value["stdout"], value["restarted"]) == ("0 1 2 3 4 5 6 ", False)
    is_left_clean(broker, instance)


def test_mcp_servers_on_two_engines(make_full_worker, ask, servers, broker, instance, second, both):
    """Their containers are spread like those of conversations, and a session stays with its own; one of an engine that is away is begun anew."""
    worker = make_full_worker(**both, MCP_NETWORK="none", SANDBOX_POOL="0", SANDBOX_MAX="8")
    both_up((worker,), second)
    server = managed(servers)
    count = lambda conversation: ask("mcp.call_tool", server_id=server, tool="count", conversation_id=conversation)
    conversations = names(6)
    for n in range(1, 4):
        for conversation in conversations:
            assert count(conversation)["result"] == {"count": n}
    here = instances(broker)
    assert len(here) >= 2 and len(there(second, instance)) >= 2 and len(here) + len(there(second, instance)) == 6
    stop(second)
    try:
        wait_until(lambda: worker.readiness()[f"engine:{second.host}"] == "away", 30, "it is not noticed")
        # those that were there have lost their server with their engine, and the others have not
        said = [count(conversation) for conversation in conversations]
        assert sorted(value["result"] and value["result"]["count"] for value in said) == [1] * (6 - len(here)) + [4] * len(here), said
        assert len(instances(broker)) == 6
    finally:
        second.resume()
    assert ask("mcp.stop_server", server_id=server) == {"removed": 6}
    wait_until(lambda: ask("sandbox.cleanup")["failed"] == 0 and instances(broker) == there(second, instance) == [], 60, "some are left")
