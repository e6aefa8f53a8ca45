"""Each test of this folder runs twice: against a Python worker, whose behaviour is right by definition, and ours.

    world        the worker most tests share: two threads, default settings, events on
    telling      another, with result_extended, task_track_started and task_store_errors_even_if_ignored
    make_world   one of the test's own
"""

import importlib.util

import kombu.compression
import pytest

from places import HAS, Servers
from world import VERSION, World


@pytest.fixture(scope="session", params=["python", "ours"])
def side(request):
    return request.param


@pytest.fixture(scope="session")
def servers(request):
    return Servers(request)


@pytest.fixture(scope="session")
def shared_world(side, servers, session_directory):
    made = World(side, servers, session_directory, ["-E", "-Q", "celery,other"])
    yield made
    made.kill()


@pytest.fixture(scope="session")
def shared_telling(side, servers, session_directory):
    made = World(side, servers, session_directory, conf={
        "result_extended": True, "task_track_started": True, "task_store_errors_even_if_ignored": True}, client_conf={"result_extended": True})
    yield made
    made.kill()


def lent(made, request):
    """Its log of this test alone is shown on a failure."""
    if not made.worker.alive():
        made.worker.start()  # the test that ended it has failed
    before = len(made.log())
    yield made
    request.node.add_report_section("teardown", f"log of {made}", made.log()[before:][-6000:])
    assert made.worker.alive(), f"{made} ended:\n{made.log()[-4000:]}"


@pytest.fixture
def world(shared_world, request):
    yield from lent(shared_world, request)


@pytest.fixture
def telling(shared_telling, request):
    yield from lent(shared_telling, request)


@pytest.fixture
def make_world(side, servers, directory, ended):
    def make(*args, conf=None, **options):
        made = World(side, servers, directory, args, conf, **options)
        ended.append(made)
        return made

    return make


def pytest_collection_modifyitems(config, items):
    """`only("redis results", why)`: what not every place has (places.HAS); `since(5, 3)`: what the client could not ask for before; `python_since(5, 3)`: what Celery's own worker did wrong before;
    `needs("yaml")`: a module, or a compression, that may come with `deploy/setup --long` only. Deselected, for a skip counts as a failure."""
    def is_old(item):
        mark, of_python = item.get_closest_marker("since"), item.get_closest_marker("python_since")
        needs = item.get_closest_marker("needs")
        if needs and importlib.util.find_spec(needs.args[0]) is None and needs.args[0] not in kombu.compression._aliases:
            return True
        if any(not HAS[only.args[0]] for only in item.iter_markers("only")):
            return True
        return mark and VERSION < mark.args or (
            of_python and VERSION < of_python.args and item.callspec.params["side"] == "python")

    old = [item for item in items if is_old(item)]
    if old:
        config.hook.pytest_deselected(items=old)
        items[:] = [item for item in items if item not in old]
