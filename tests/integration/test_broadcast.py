"""Queues on fanout exchanges (Celery's Broadcast): everybody who listens gets a copy, Python workers and ours alike."""

import collections
import contextlib
import fcntl
import json
import re
import socket
import struct
import subprocess
import termios
import time

import pytest
from kombu import Exchange, Queue
from kombu.common import Broadcast

from clients import Broker, told
from faulty import FaultyDoor
from services import wait_until
from test_events import Monitor

SO_SNDBUFFORCE = 32  # socket(7)
SHOUTED = rb"pmessage\r\n\$\d+\r\n\S*\.shout\S*\r\n\$\d+\r\n\S+\r\n\$(\d+)\r\n"  # until the length of what was said
SHOUT = [{"name": "celery"}, {"name": "shout", "exchange": "shout", "exchange_type": "fanout"}]


class Crowd:
    """Workers that listen to one exchange, and what each of them did."""

    def __init__(self, broker, make_worker, make_python_worker, options=None, queues=SHOUT):
        self.broker = broker
        self.options = options or {}
        self.queues = queues
        self.make_worker = make_worker
        self.make_python_worker = make_python_worker
        self.names = []
        self.app = broker.app(broker_transport_options=self.options, task_queues=[Queue("celery"), Broadcast("shout")])

        self.monitor = None
        self.watch()

    def watch(self):
        """From now on; a monitor does not outlive its connection."""
        if self.monitor is not None:
            self.monitor.stop()
        self.monitor = Monitor(self.broker.app(broker_transport_options=self.options))

    def ours(self, *args, **settings):
        name = f"{'abcdef'[len(self.names)]}@test"
        self.names.append(name)
        return self.make_worker("-E", "-n", name, *args, broker=self.broker, node=name[0], CELERY_TASK_QUEUES=json.dumps(self.queues),
                                CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps(self.options), **settings)

    def python(self, **queue):
        worker = self.make_python_worker(broker=self.broker, args=["-E"], TEST_BROADCAST=json.dumps({"name": "shout", **queue}),
                                         TEST_CONF=json.dumps({"broker_transport_options": self.options}))
        self.names.append(worker.name)
        return worker

    def send(self, *args, task="celeriac.echo", **options):
        """As a client must that wants Python workers to hear it: Celery declares no exchange of a Broadcast queue by itself."""
        declare = [] if "queue" in options else [Exchange("shout", "fanout")]
        return self.app.send_task(task, args, **{"queue": "shout", "declare": declare, **options}).id

    def did(self, task_id, what="task-succeeded"):
        """Whoever reported it, and how often."""
        return collections.Counter(e["hostname"] for e in self.monitor.events if e.get("uuid") == task_id and e["type"] == what)

    def wait_listening(self, *names, **options):
        """Nobody tells that he listens: asked, five times a second, until all have answered one call."""
        names = set(names or self.names)
        sent = []
        began = time.monotonic()

        def all_of_them():
            if time.monotonic() - began >= 0.2 * len(sent):
                sent.append(self.send("is anybody there", **options))
            return any(set(self.did(one)) >= names for one in sent)

        wait_until(all_of_them, 60, lambda: f"not all of {names} listen: {[dict(self.did(one)) for one in sent]}")

    def wait_did(self, task_id, *names, what="task-succeeded", **counts):
        """Each of `names` did it once, nobody else did, and nobody will: what all were asked later is done."""
        expected = collections.Counter(names)
        wait_until(lambda: self.did(task_id, what) >= expected, 60, lambda: f"{self.did(task_id, what)} is not {expected}")
        self.wait_listening(*names, **counts)
        assert self.did(task_id, what) == expected


@pytest.fixture
def crowd_of(make_worker, make_python_worker):
    made = []

    def make(broker, **options):
        made.append(Crowd(broker, make_worker, make_python_worker, **options))
        return made[-1]

    yield make
    for one in made:
        one.monitor.stop()
        one.app.close()


@pytest.fixture
def crowd(broker, crowd_of):
    return lambda **options: crowd_of(broker, **options)


def test_everybody_gets_one(crowd):
    """Two of ours and a Python worker; a follow-up of ours reaches all of them, too."""
    crowd = crowd()
    crowd.ours()
    crowd.ours("-Q", "shout,mine")
    crowd.python()
    crowd.wait_listening()
    crowd.wait_did(crowd.send("once each"), *crowd.names)
    link = crowd.app.signature("celeriac.echo", args=("then all",), immutable=True).set(queue="shout", task_id="follow-up")
    crowd.send("one", queue="mine", link=link)
    crowd.wait_did("follow-up", *crowd.names)
    wait_until(lambda: not list(crowd.broker.redis.scan_iter("celeriac:*:broadcast:*")), 30, "something is left over")
    crowd.broker.wait_settled()


def test_a_client_that_does_not_know(crowd):
    """Celery's client takes the exchange for a direct one, and asks its bindings: kombu's own workers hear nothing of that."""
    crowd = crowd()
    worker = crowd.ours()
    crowd.ours()
    crowd.wait_listening()
    assert members(crowd) == {"a", "b"}
    sent = crowd.send("once each", queue="shout")
    crowd.wait_did(sent, *crowd.names)
    worker.term()
    assert members(crowd) == {"b"}, "one that is gone is still bound"


def members(crowd):
    """The nodes whose lists are bound, for good and for now; None while one of the two is done and the other is not."""
    found = [crowd.broker.redis.smembers(f"_kombu.{kind}.shout") for kind in ("binding", "binding_permanent")]
    if found[0] != found[1]:
        return None
    lists = [member.decode().split("\x06\x16") for member in found[0]]
    assert all(parts[:2] == ["celery", ""] and parts[2].startswith("celeriac:") and parts[2].endswith(":shout") for parts in lists)
    return {parts[2].split(":")[3] for parts in lists}


@pytest.mark.long
def test_one_that_died_is_bound_no_longer(crowd):
    """Once its lease is over; what it had heard stays for its return."""
    crowd = crowd()
    worker = crowd.ours()
    crowd.ours()
    crowd.wait_listening()
    worker.kill()
    wait_until(lambda: members(crowd) == {"b"}, 90, lambda: f"still bound: {members(crowd)}")
    worker.start()
    wait_until(lambda: members(crowd) == {"a", "b"}, 30, "not bound again")


@pytest.mark.parametrize(
    "options, key",
    [({"fanout_prefix": "/to all of {db}."}, None), ({"fanout_prefix": False, "fanout_patterns": False}, "any"),
     ({"global_keyprefix": "mine:"}, "news.today"), ({}, "news.today")],
)
def test_channels_are_those_of_kombu(crowd, options, key):
    """Prefixes, and routing keys as patterns where they are some."""
    routing = {"routing_key": "news.#"} if key == "news.today" else {}
    crowd = crowd(options=options, queues=[SHOUT[0], {**SHOUT[1], **routing}])
    crowd.ours()
    crowd.python(**routing)
    how = {"routing_key": key} if key else {}
    crowd.wait_listening(**how)
    crowd.wait_did(crowd.send("once each", **how), *crowd.names, **how)
    if routing:
        other = crowd.send("for nobody", routing_key="weather.today")
        crowd.wait_did(other, **how)


def test_who_does_not_listen_gets_none(crowd):
    """Queues that are left out, cancelled and added again."""
    crowd = crowd()
    crowd.ours("-X", "shout")
    crowd.ours()
    crowd.wait_listening("b@test")
    crowd.wait_did(crowd.send("only the second"), "b@test")

    def queues(name):
        return {queue["name"]: queue["exchange"]["type"] for queue in told(crowd.app, name, "active_queues")}

    assert told(crowd.app, "b@test", "cancel_consumer", queue="shout") == {"ok": "no longer consuming from shout"}
    assert told(crowd.app, "a@test", "add_consumer", queue="shout")["ok"]
    wait_until(lambda: queues("b@test") == {"celery": "direct"}, 30, lambda: f"the second has {queues('b@test')}")
    crowd.wait_listening("a@test")
    crowd.wait_did(crowd.send("only the first"), "a@test")
    assert queues("a@test") == {"celery": "direct", "shout": "fanout"}
    assert "CELERY_TASK_QUEUES" in told(crowd.app, "a@test", "add_consumer", queue="new", exchange_type="fanout")["error"]


def test_what_was_heard_outlives_the_worker(crowd):
    """Killed with one running, one held and the rest waiting: the next worker of the node runs them, nobody else does."""
    crowd = crowd()
    worker = crowd.ours("-c", "1", "--prefetch-multiplier", "2")
    crowd.ours()
    crowd.wait_listening()
    long = crowd.send(600, task="celeriac.sleep")
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it does not run")
    sent = [crowd.send(number) for number in range(4)]
    wait_until(lambda: all(crowd.did(one) for one in sent), 30, "the other one did not do it")
    wait_until(lambda: crowd.broker.redis.hlen("unacked") == 3, 30, "it does not hold one beside the one that runs")
    worker.kill()
    worker.start()
    told(crowd.app, crowd.names[0], "revoke", task_id=long, terminate=True)
    for one in sent:
        crowd.wait_did(one, *crowd.names)


def test_a_retry_stays_where_it_was(crowd):
    """On purpose: Celery sends it to the exchange again, so that each who retries has all who listen run it."""
    crowd = crowd()
    crowd.ours()
    crowd.ours()
    crowd.wait_listening()
    sent = crowd.send(1, task="celeriac.retry")
    crowd.wait_did(sent, *crowd.names, what="task-retried")
    crowd.wait_did(sent, *crowd.names)
    python = crowd.python()
    crowd.wait_listening()
    sent = crowd.send(1, task="celeriac.retry")
    crowd.wait_did(sent, *crowd.names, what="task-retried")
    ours = crowd.names[:2] * 2
    wait_until(lambda: all(crowd.did(sent)[name] == 2 for name in ours), 60, lambda: f"Celery does not say it again: {crowd.did(sent)}")
    assert python.alive()


def test_after_an_outage(make_redis, instance, crowd_of):
    """Heard again once Redis is back."""
    server = make_redis(durable=True).start()
    crowd = crowd_of(Broker(server.url(), instance))
    crowd.ours()
    crowd.ours()
    crowd.wait_listening()
    server.kill()
    server.start()
    crowd.watch()
    crowd.wait_listening()
    crowd.wait_did(crowd.send("once each"), *crowd.names)


def test_a_stream_that_does_not_pause(redis_server, broker, crowd_of, ended):
    """Whoever listens still hears that the worker is to end."""
    door = FaultyDoor(("127.0.0.1", redis_server.port)).open()
    ended.append(door)
    crowd = crowd_of(broker)
    behind = broker.url.replace(f":{redis_server.port}/", f":{door.port}/")
    worker = crowd.ours(CELERY_BROKER_URL=behind, CELERY_RESULT_BACKEND=behind)
    crowd.wait_listening()
    heard, streams = collections.defaultdict(bytes), []

    def flood(door, sink, data, is_answer):
        """More, by a pattern that is heard no longer, than anybody can look at; on the connection that a message to the queue comes by."""
        sink.sendall(data)
        heard[sink] += data if is_answer else b""
        found = re.search(SHOUTED, heard[sink])
        if found and len(heard[sink]) >= found.end() + int(found[1]) + 2:
            with contextlib.suppress(PermissionError):  # who reads is to find something also while the one who writes waits for a core
                sink.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 26)
            streams.append(sink)
            subprocess.run(["yes", "*4\r\n$8\r\npmessage\r\n$1\r\nx\r\n$1\r\nx\r\n$0\r\n\r"], stdout=sink, stderr=subprocess.DEVNULL)

    def unread():
        return struct.unpack("i", fcntl.ioctl(streams[0], termios.TIOCOUTQ, b"    "))[0]

    def much():
        """As far as its place is enough for it; a part of that is for what the kernel notes of each piece."""
        return min(1 << 20, streams[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 4)

    door.begin(flood)
    crowd.send("one")
    wait_until(lambda: streams and unread() > much(), 30, "there is no such stream")
    assert worker.term() == 0
