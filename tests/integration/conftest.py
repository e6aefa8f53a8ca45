"""What tests ask for by name.

    broker          an empty Redis database as broker and backend, with a deployment (CELERIAC_INSTANCE) of its own
    postgres        PostgreSQL with our roles and schema, one for the session
    make_worker     starts a celeriac-worker on `broker`; make_full_worker one with database and engine too
    house           such a worker with everything around it, one for each module whose tests break nothing
    calls           sandbox.* tasks on `broker`
    ask             remote control of the worker that was made with "-n", OURS
    make_python_worker, make_redis, make_postgres   more of each, for tests that break things
    headers         what modules of tasks are compiled against, installed
    rabbitmq        RabbitMQ, one for the session; a virtual host each for those who ask it for one; make_rabbitmq more of them
    npm_modules, npm_image   MCP servers from npm, in a directory; and, with those from PyPI, in an image
    stack, make_stack   the stack of `make up`

Everything that a test started is ended by its pid, and containers of its deployment are removed, also after a failure.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import uuid

import pytest

import engines
import npm_packages
import pypi_packages
from building import Headers
from clients import OURS, Broker, PythonWorker, RabbitBroker
from rabbitmq import RabbitMQ
from sandboxes import Calls, remove_containers
from services import Redis, Service, patience, wait_until
from stack import ROOT, SERVICES, Stack
from worker import created_postgres, ENGINE_SETTINGS, Worker

# Celery's clients take these over what a test says: of a shell that works with a stack, say.
for name in [name for name in os.environ if name.startswith("CELERY_")]:
    del os.environ[name]

__all__ = ["ROOT", "SERVICES", "Stack", "wait_until"]
FAILED = pytest.StashKey[bool]()
STARTED = pytest.StashKey[list]()


def pytest_collection_modifyitems(config, items):
    """What the engine under test does not enforce is not asked of it."""
    kind = engines.ENGINES[engines.name()]
    missing = {*kind.unenforced, *kind.lacks}
    left = [item for item in items if missing & {limit for mark in item.iter_markers("enforces") for limit in mark.args}]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    item.stash.setdefault(FAILED, False)
    item.stash[FAILED] |= report.failed
    if not report.failed:
        return
    # What the programs said is most of the story.
    for value in item.funcargs.values():
        if isinstance(value, Stack):
            report.sections.append(("worker log", value.log("worker")[-6000:]))
        elif isinstance(value, House):
            report.sections.append(("worker log", value.worker.log()[-6000:]))
    for started in item.stash.get(STARTED, []):
        if hasattr(started, "log_path"):
            report.sections.append((f"log of {started}", started.log()[-6000:]))


@pytest.fixture(scope="session", autouse=True)
def engine():
    """The engine under test; the docker command and every worker find it in the environment."""
    made = engines.chosen()
    before = {name: os.environ.get(name) for name in ENGINE_SETTINGS}
    try:
        made.start()
        os.environ.update(made.settings)
        yield made
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        made.stop()


@pytest.fixture(scope="session")
def session_directory():
    path = pathlib.Path(tempfile.mkdtemp(prefix="celeriac-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def headers(session_directory):
    path = session_directory / "installed"
    path.mkdir()
    return Headers(path)


@pytest.fixture
def directory(session_directory):
    """A directory that servers of another user can reach."""
    path = pathlib.Path(tempfile.mkdtemp(dir=session_directory))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def redis_server(session_directory):
    path = session_directory / "redis"
    path.mkdir()
    server = Redis(path).start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def rabbitmq(session_directory):
    server = RabbitMQ(session_directory)
    try:
        yield server.create()
    finally:
        server.kill()


@pytest.fixture(scope="session")
def postgres(session_directory):
    path = session_directory / "postgres"
    path.mkdir(mode=0o755)
    server = created_postgres(path)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def npm_modules():
    """Path of node_modules with Node, MCP servers and their referee."""
    return npm_packages.installed()


@pytest.fixture(scope="session")
def npm_image(npm_modules):
    """An image with them in /opt."""
    tag = "celeriac-test-mcp:" + uuid.uuid4().hex[:12]
    context = npm_modules.parent
    pypi_packages.installed()
    lines = f"FROM {npm_packages.IMAGE}\nCOPY node_modules /opt/node_modules\nCOPY python /opt/python\n"
    subprocess.run(["docker", "build", "-q", "-t", tag, "-f", "-", str(context)], input=lines.encode(), check=True, capture_output=True, timeout=240)
    yield tag
    subprocess.run(["docker", "rmi", "-f", tag], capture_output=True, timeout=120)


@pytest.fixture
def instance():
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    remove_containers(name)


@pytest.fixture
def ended(request, instance):
    """A list: every service on it is killed at the end of the test, and only then its containers are removed."""
    services = []
    request.node.stash[STARTED] = services
    yield services
    for service in reversed(services):
        if isinstance(service, Service):
            service.count()
        service.kill()


@pytest.fixture
def rabbit_broker(rabbitmq, redis_server, instance):
    made = RabbitBroker(rabbitmq, redis_server.new_url(), instance)
    yield made
    made.close()


@pytest.fixture
def broker(redis_server, instance, request):
    """CELERIAC_TEST_BROKER=rabbitmq: the suites of tasks run on RabbitMQ, with results in Redis (places.py)."""
    if os.environ.get("CELERIAC_TEST_BROKER", "redis").startswith("rabbitmq"):
        return request.getfixturevalue("rabbit_broker")
    return Broker(redis_server.new_url(), instance)


@pytest.fixture
def app(broker):
    """The newest Celery, in this process."""
    made = broker.app()
    yield made
    made.close()


@pytest.fixture
def make_worker(instance, directory, ended, request):
    def make(*args, broker=None, node=None, start=True, **options):
        broker = broker or request.getfixturevalue("broker")
        made = Worker(
            directory, node or f"node-{uuid.uuid4().hex[:8]}", args,
            **{"CELERY_BROKER_URL": broker.url, "CELERY_RESULT_BACKEND": broker.results, "CELERIAC_INSTANCE": instance, **options},
        )
        ended.append(made)
        return made.start() if start else made

    return make


@pytest.fixture
def worker(make_worker):
    return make_worker()


@pytest.fixture
def ask(app, broker):
    """ask("method", …) of the worker named OURS, or of another; the reply."""
    def call(method, to=OURS, seconds=30, **arguments):
        if to == OURS:
            broker.wait_listening()
        else:
            wait_until(lambda: app.control.ping([to], timeout=1, limit=1), 30, f"{to} does not hear")
        got = app.control.broadcast(method, arguments=arguments, destination=[to], reply=True, timeout=patience(seconds), limit=1)
        return got[0][to] if got else "no reply"

    return call


@pytest.fixture
def make_full_worker(make_worker, request):
    def make(*args, **settings):
        if "DATABASE_URL" not in settings:
            settings["DATABASE_URL"] = request.getfixturevalue("postgres").url("worker")
        return make_worker(*args, **settings)

    return make


@pytest.fixture
def calls(app, postgres):
    return Calls(app, postgres)


class House:
    """A full worker for the tests of one module that break nothing."""

    def __init__(self, redis_server, postgres, directory, **settings):
        self.instance = f"test-{uuid.uuid4().hex[:12]}"
        self.broker = Broker(redis_server.new_url(), self.instance)
        self.app = self.broker.app()
        self.calls = Calls(self.app, postgres)
        self.postgres = postgres
        self.worker = Worker(
            directory, f"node-{self.instance}", CELERY_BROKER_URL=self.broker.url, CELERY_RESULT_BACKEND=self.broker.url,
            CELERIAC_INSTANCE=self.instance, DATABASE_URL=postgres.url("worker"), **settings,
        )


@pytest.fixture(scope="module")
def make_house(redis_server, postgres, session_directory):
    houses = []

    def make(**settings):
        houses.append(House(redis_server, postgres, session_directory, **settings))
        houses[-1].worker.start()
        return houses[-1]

    yield make
    for made in houses:
        made.app.close()
        made.worker.count()
        made.worker.kill()
        remove_containers(made.instance)


@pytest.fixture(scope="module")
def house(make_house):
    return make_house()


@pytest.fixture
def make_python_worker(broker, directory, ended):
    def make(broker=broker, **options):
        made = PythonWorker(broker, directory, **options)
        ended.append(made)
        return made.start()

    return make


@pytest.fixture
def make_redis(directory, ended):
    def make(**options):
        made = Redis(directory, **options)
        ended.append(made)
        return made

    return make


@pytest.fixture
def make_rabbitmq(directory, ended):
    def make(**options):
        made = RabbitMQ(directory, **options)
        ended.append(made)
        return made

    return make


@pytest.fixture
def make_postgres(directory, ended):
    def make():
        made = created_postgres(directory)
        ended.append(made)
        return made

    return make


@pytest.fixture(scope="session")
def stack():
    made = Stack()
    try:
        yield made.start()
    finally:
        made.stop()
        shutil.rmtree(made.dir, ignore_errors=True)


@pytest.fixture
def make_stack(request):
    stacks = []

    def make(**settings):
        made = Stack(**settings)
        stacks.append(made)
        return made.start()

    yield make
    for made in stacks:
        if request.node.stash.get(FAILED, False):
            request.node.add_report_section("teardown", f"worker log of {made.dir}", made.log("worker")[-6000:])
        made.stop()
        shutil.rmtree(made.dir, ignore_errors=True)
