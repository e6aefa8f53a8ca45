"""Each call that a worker makes of Redis, PostgreSQL or the engine fails once, in turn: what was asked is done all the same, once.

A call is what the worker says on a connection until it is answered. It is lost before it comes to the server, or its answer is.
"""

import itertools
import threading
import uuid

import pytest

from forwarder import Forwarder
from sandboxes import containers
from services import wait_until

LEAST = 10  # calls that the story takes of any of the three

pytestmark = [pytest.mark.long, pytest.mark.docker]


class LosingDoor(Forwarder):
    """Counts calls; one of them, or its answer, ends its connection instead of being carried."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.waiting = set()  # connections on which a call was not answered yet
        self.count, self.loses, self.of_answer = 0, None, False
        self.due = None  # the connection whose next answer is lost
        self.lost = threading.Event()

    def begin(self, loses=None, of_answer=False):
        with self.lock:
            self.count, self.loses, self.of_answer, self.due = 0, loses, of_answer, None
            self.lost.clear()

    def _passes(self, source, sink, is_answer):
        with self.lock:
            if is_answer:
                self.waiting.discard(sink)
                return sink is not self.due
            if source in self.waiting:
                return True
            self.waiting.add(source)
            self.count += 1
            if self.count != self.loses:
                return True
            if self.of_answer:
                self.due = source
            return self.of_answer

    def _carry(self, source, sink, is_answer, gone):
        try:
            while data := source.recv(65536):
                if not self._passes(source, sink, is_answer):
                    self.lost.set()
                    raise OSError("lost")
                sink.sendall(data)
            sink.shutdown(1)
        except OSError:
            self._shut(source)
            self._shut(sink)


class Story:
    """Two runs in a conversation, which ends."""

    def __init__(self, calls, broker):
        self.calls, self.broker = calls, broker

    def tell(self):
        conversation = f"c-{uuid.uuid4()}"
        self.values = [self.calls.run(f"open('n', 'a').write('.'); print({n}, len(open('n').read()))", conversation) for n in range(2)]
        self.closed = self.calls.call("close", conversation_id=conversation)
        self.rows = self.calls.postgres.sql("SELECT state, count(*) FROM celeriac.tool_results WHERE conversation_id = %s AND tool = 'sandbox.execute_code' GROUP BY 1", conversation)

    def check(self, what):
        shown = [(value["status"], value["stdout"]) for value in self.values]
        assert shown == [("ok", f"{n} {n + 1}\n") for n in range(2)], f"{what}: {self.values}"
        assert self.rows == [("finished", 2)], what
        wait_until(lambda: not containers(self.broker.instance), 60, f"{what}: a container is left")
        self.broker.wait_settled()


def before_redis(directory, redis_server, broker, postgres):
    door = LosingDoor(("127.0.0.1", redis_server.port)).open()
    url = broker.url.replace(f":{redis_server.port}/", f":{door.port}/")
    return door, {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}


def before_postgres(directory, redis_server, broker, postgres):
    door = LosingDoor(("127.0.0.1", postgres.port)).open()
    return door, {"DATABASE_URL": postgres.url("worker").replace(f":{postgres.port}/", f":{door.port}/")}


def before_engine(directory, redis_server, broker, postgres):
    door = LosingDoor("/var/run/docker.sock", path=directory / "docker.sock").open()
    return door, {"DOCKER_HOST": f"unix://{door.path}"}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("loses", ["call", "answer"])
@pytest.mark.parametrize("before", [before_redis, before_postgres, before_engine])
def test_each_call_is_lost_once(before, loses, directory, redis_server, broker, postgres, calls, make_full_worker, ended, capsys):
    door, settings = before(directory, redis_server, broker, postgres)
    ended.append(door)
    worker = make_full_worker("-c", "2", **settings)
    story = Story(calls, broker)
    story.tell()
    story.check("nothing is lost")
    for n in itertools.count(1):
        door.begin(n, loses == "answer")
        story.tell()
        story.check(f"{loses} {n} is lost")
        worker.wait_ready()
        if not door.lost.is_set():
            break  # the story has no more
    with capsys.disabled():
        print(f"\n  {before.__name__[7:]:9} {n - 1} {loses}s lost, one at a time", end="")
    assert n > LEAST, f"after {n - 1} the story had no more"
