"""Each call that a worker makes of Redis, PostgreSQL or the engine fails once, in turn: what was asked is done all the same, once.

A call is what the worker says on a connection until it is answered. It is lost before it comes to the server, or its answer is.
Of Redis, which is asked more before it has answered, these are commands and replies, and of RabbitMQ, which tells what nobody asked,
the methods of either side.
"""

import itertools
import threading
import uuid

import pytest
from celery import chain, signature

from forwarder import Forwarder
from sandboxes import Calls, containers
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


class LosingPieces(LosingDoor):
    """The same of what one side says, piece by piece, whether or not it is answered before the next."""

    def cut(self):
        with self.lock:
            cut, self.connections = self.connections, set()
        for connection in cut:
            self._shut(connection)

    def _passes(self, source, sink, is_answer):
        with self.lock:
            self.count += is_answer == self.of_answer
            return is_answer != self.of_answer or self.count != self.loses

    def _carry(self, source, sink, is_answer, gone):
        said = b""
        try:
            while data := source.recv(65536):
                said += data
                while length := self.length(said):
                    if self.counts(said) and not self._passes(source, sink, is_answer):
                        self.lost.set()
                        raise OSError("lost")
                    sink.sendall(said[:length])
                    said = said[length:]
            sink.shutdown(1)
        except OSError:
            self._shut(source)
            self._shut(sink)


class LosingValues(LosingPieces):
    """Redis' commands and replies."""

    @staticmethod
    def counts(said):
        return True

    def length(self, said, at=0):
        """Of the first value; 0 while it is not whole."""
        line, end, _ = said[at:].partition(b"\r\n")
        if not end:
            return 0
        at += len(line) + len(end)
        count = int(line[1:]) if line[:1] in (b"$", b"*") else 0
        if line[:1] == b"$" and count >= 0:
            at += count + len(end)
        for _ in range(count if line[:1] == b"*" else 0):
            at = at and self.length(said, at)
        return at if at <= len(said) else 0


class LosingMethods(LosingPieces):
    """AMQP's methods; heartbeats and what methods carry are none."""

    METHOD, AROUND = 1, 8  # the type of a frame, and its bytes that are no payload

    def counts(self, said):
        return said[0] == self.METHOD

    def length(self, said):
        greeting = said.startswith(b"AMQP")
        length = self.AROUND if greeting else self.AROUND + int.from_bytes(said[3:7], "big")
        return length if self.AROUND <= len(said) >= length else 0


class Story:
    """Two runs in a conversation, which ends."""

    def __init__(self, calls, broker):
        self.calls, self.broker = calls, broker

    def tell(self):
        conversation = f"c-{uuid.uuid4()}"
        self.values = [self.calls.run(f"open('n', 'a').write('.'); print({n}, len(open('n').read()))", conversation, timeout=200) for n in range(2)]
        self.closed = self.calls.call("close", conversation_id=conversation)
        self.rows = self.calls.postgres.sql("SELECT state, count(*) FROM celeriac.tool_results WHERE conversation_id = %s AND tool = 'sandbox.execute_code' GROUP BY 1", conversation)

    def check(self, what):
        shown = [(value["status"], value["stdout"]) for value in self.values]
        assert shown == [("ok", f"{n} {n + 1}\n") for n in range(2)], f"{what}: {self.values}"
        assert self.rows == [("finished", 2)], what
        wait_until(lambda: not containers(self.broker.instance), 60, f"{what}: a container is left")
        self.broker.wait_settled()


class StoryWithRabbit(Story):
    """Also a chain, and somebody who asks who is there."""

    def tell(self):
        super().tell()
        app = self.calls.app
        steps = [signature("celeriac.add", args=args, app=app) for args in ((1, 2), (3,), (4,))]
        self.sum = chain(*steps).apply_async().get(timeout=90)

    def check(self, what):
        super().check(what)
        assert self.sum == 10, what
        wait_until(lambda: self.calls.app.control.ping(timeout=1, limit=1), 30, f"{what}: nobody is there")


def before_redis(directory, redis_server, broker, postgres):
    door = LosingValues(("127.0.0.1", redis_server.port)).open()
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


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("loses", ["of the worker", "of the server"])
@pytest.mark.parametrize("again", [False, True], ids=["connected", "connecting again"])
def test_each_method_of_amqp_is_lost_once(again, loses, rabbit_broker, postgres, make_full_worker, ended, capsys):
    broker = rabbit_broker
    door = LosingMethods(("127.0.0.1", broker.rabbitmq.port)).open()
    ended.append(door)
    url = broker.url.replace(f":{broker.rabbitmq.port}/", f":{door.port}/")
    worker = make_full_worker("-c", "2", "--without-heartbeat", broker=broker, CELERY_BROKER_URL=url)
    app = broker.app()
    story = StoryWithRabbit(Calls(app, postgres), broker)
    story.tell()
    story.check("nothing is lost")
    for n in itertools.count(1):
        door.begin(n, loses == "of the server")
        if again:
            door.cut()
        story.tell()
        story.check(f"method {n} {loses} is lost")
        worker.wait_ready()
        if not door.lost.is_set():
            break
    app.close()
    with capsys.disabled():
        print(f"\n  RabbitMQ  {n - 1} methods {loses} lost, one at a time", end="")
    assert n > LEAST, f"after {n - 1} the story had no more"
