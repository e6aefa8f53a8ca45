"""Workers are replaced one after the other, under load: the schema goes first, the code before it goes on with it, and whoever
comes takes over what whoever goes had."""

import collections
import functools
import subprocess
import threading

import pytest

from services import ROOT, wait_until
from test_pool import spares, wait_spares
from worker import PROGRAM, run_program

pytestmark = [pytest.mark.long, pytest.mark.docker]
PREVIOUS = ROOT / "build/previous/celeriac-worker"
CONVERSATIONS = 4


@pytest.fixture(scope="module")
def previous():
    """The worker that knows every migration but the newest."""
    subprocess.run(["make", "-s", "build/previous/celeriac-worker"], cwd=ROOT, check=True)
    return PREVIOUS


@pytest.fixture
def old_database(make_postgres, previous, monkeypatch):
    """A database as the code before has made it."""
    with monkeypatch.context() as patched:
        patched.setattr("worker.run_program", functools.partial(run_program, program=previous))
        return make_postgres()


class Load(threading.Thread):
    """Plain tasks, chains, and calls of conversations that append to a file of theirs, one after the other each."""

    def __init__(self, app):
        super().__init__()
        self.app, self.stopping, self.errors = app, threading.Event(), []
        self.plain, self.calls, self.expected = [], collections.defaultdict(list), {}

    def run(self):
        try:
            n = 0
            while not self.stopping.wait(0.05):
                n += 1
                result = self.app.send_task("celeriac.add", (n, n))
                self.plain.append((result, 2 * n))
                chain = self.app.signature("celeriac.add", (n, 1)) | self.app.signature("celeriac.add", (1,))
                self.plain.append((chain.apply_async(), n + 2))
                self.call(n)
        except Exception as error:  # noqa: BLE001
            self.errors.append(error)

    def call(self, n):
        """A conversation is called again when its last call is done: so many are under way whenever a worker goes."""
        name = f"c-{n % CONVERSATIONS}"
        calls = self.calls[name]
        if calls and not calls[-1].ready():
            return
        code = ("import time\nopen('/sandbox/log', 'a').write('x')\ntime.sleep(0.5)\n"
                "print(len(open('/sandbox/log').read()))")
        calls.append(self.app.send_task("sandbox.execute_code", kwargs={"conversation_id": name, "code": code}))

    def stop(self):
        self.stopping.set()
        self.join()
        assert self.errors == []


def test_one_after_the_other(make_worker, broker, app, old_database, previous, instance):
    database = old_database
    newest = len(list((ROOT / "deploy/sql").glob("[0-9]*.sql")))
    assert database.sql("SELECT max(number) FROM celeriac.schema_version") == [(newest - 1,)]
    settings = {"DATABASE_URL": database.url("worker"), "SANDBOX_POOL": "1", "SANDBOX_MAX": str(2 * CONVERSATIONS + 4)}

    def worker(node, program):
        made = make_worker(node=node, start=False, **settings)
        made.program = program
        return made.start()

    old = [worker(f"up-{n}-{instance}", previous) for n in (1, 2)]
    kept_ready = set(wait_spares(instance, 2))
    load = Load(app)
    load.start()
    try:
        wait_until(lambda: len(load.calls) == CONVERSATIONS and all(calls[0].ready() for calls in load.calls.values()), 120)
        first = {name: calls[0].get(timeout=60)["sandbox"] for name, calls in load.calls.items()}

        # Code whose schema is not there yet says so, takes nothing, and waits for it.
        early = make_worker(node=f"up-early-{instance}", start=False, **settings).spawn()
        early.wait_log(f"the database's schema is {newest - 1}, {newest} is needed", 60)
        wait_until(lambda: early.readiness().get("database") == "away", 60)
        assert early.metric("messages_received_total") == 0

        # The schema first, under the code before it.
        done = run_program("--migrate", program=PROGRAM, CELERIAC_OWNER_DATABASE_URL=database.url("owner"))
        assert (done.returncode, done.stdout) == (0, "1 migration(s) applied\n"), done.stderr
        early.wait_ready()
        reached = len(load.plain)
        wait_until(lambda: len(load.plain) > reached + 40 and load.plain[reached + 40][0].ready(), 120, "nothing ran on the new schema")
        counts = {name: len(calls) for name, calls in load.calls.items()}
        wait_until(lambda: all(len(calls) > counts[name] + 1 for name, calls in load.calls.items()), 120)

        # Then one worker after the other, under its name.
        new = [early]
        for gone in old:
            assert gone.term() == 0
            new.append(worker(gone.node, PROGRAM))
            reached = len(load.plain)
            wait_until(lambda: len(load.plain) > reached + 40 and load.plain[reached + 40][0].ready(), 120)
        counts = {name: len(calls) for name, calls in load.calls.items()}
        wait_until(lambda: all(len(calls) > counts[name] + 2 for name, calls in load.calls.items()), 180)
    finally:
        load.stop()

    # Nothing lost, nothing twice, and everybody still has what is theirs.
    assert [result.get(timeout=60) for result, _ in load.plain] == [value for _, value in load.plain]
    for name, calls in load.calls.items():
        results = [call.get(timeout=60) for call in calls]
        assert [result["status"] for result in results] == ["ok"] * len(results)
        assert [result["stdout"] for result in results] == [f"{n}\n" for n in range(1, len(results) + 1)], name
        assert {result["sandbox"] for result in results} == {first[name]}, "the container was not adopted"
    rows = database.sql("SELECT state, attempt, count(*) FROM celeriac.tool_results WHERE tool = 'sandbox.execute_code' GROUP BY 1, 2")
    assert rows == [("finished", 1, sum(map(len, load.calls.values())))]
    broker.wait_settled()
    assert broker.redis.llen("celeriac:dead") == 0

    # The pools are new: what the workers before kept ready is gone, and there is one of each now.
    wait_until(lambda: len(spares(instance)) == 3 and not spares(instance) & kept_ready, 60, lambda: f"{spares(instance)} after {kept_ready}")
    assert all(worker.alive() for worker in new)
