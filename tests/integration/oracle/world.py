"""A broker, a client and one worker, which is Python's or ours: tests see no difference.

Where messages and results are: places.py. The client is the Celery of the interpreter that runs the tests, and so is the Python worker: the newest under
.run/venv/bin/python, the distribution's under /usr/bin/python3 (`make check-long` runs both).
"""

import base64
import datetime
import json
import sys
import threading
import uuid

import celery
import kombu
import redis

from clients import PythonWorker, envelope, enveloped
from differs import ROWS
from places import BACKEND, BROKER
from services import patience, wait_until
from worker import Worker

VERSION = tuple(int(part) for part in celery.__version__.split(".")[:2])
READY = ("SUCCESS", "FAILURE", "REVOKED")


class World:
    """`side` is "python" or "ours"; `servers` a places.Servers; `conf` are Celery's settings of the worker, in lower case."""

    def __init__(self, side, servers, directory, args=(), conf=None, start=True, client_conf=None):
        self.side = side
        self.ours = side == "ours"
        # What the worker behaves like: ours is like the newest, whatever the client is.
        self.version = (99, 0) if self.ours else VERSION
        self.broker = servers.broker(f"test-{uuid.uuid4().hex[:12]}")
        self.results = servers.results(self.broker)
        self.broker.results = self.results.of_celery
        self.redis = self.broker.redis
        if BROKER == "rabbitmq":
            self.broker.sent()  # from now on
        self.app = self.broker.app(**(client_conf or {}))
        conf = conf or {}
        if self.ours:
            self.name = f"ours-{uuid.uuid4().hex[:8]}@test"
            node = self.name.split("@")[0]
            settings = {f"CELERY_{key.upper()}": setting(value) for key, value in conf.items()}
            self.worker = Worker(
                directory, node, ["-n", self.name, "-c", "2", *args],
                **{"CELERY_BROKER_URL": self.broker.url, "CELERY_RESULT_BACKEND": self.results.url,
                   "CELERIAC_INSTANCE": self.broker.instance, "CELERY_WORKER_PREFETCH_MULTIPLIER": "1",
                   "CELERIAC_RESULT_PICKLE": "1" if VERSION < (5, 7) else "0", **settings},
            )
        else:
            if BROKER == "rabbitmq" and self.broker.rabbitmq.version >= (4,):
                # There a prefetch is no longer a channel's: it does not grow with the pool and with what is held for later.
                conf = {"worker_prefetch_multiplier": 100, **conf}
            self.worker = PythonWorker(self.broker, directory, python=sys.executable, args=args, TEST_CONF=json.dumps(conf))
            self.name = self.worker.name
        self.log_path = self.worker.log_path
        self._events = None
        if start:
            self.worker.start()

    def __str__(self):
        return f"{self.side} worker {self.name}"

    def log(self):
        return self.worker.log()

    def differs(self, row):
        """True for ours, where it differs on purpose."""
        assert row in ROWS
        return self.ours

    def kill(self):
        if self._events:
            self._events.stop()
        self.worker.count()
        self.worker.kill()
        self.app.close()
        self.results.close()
        self.broker.close()

    # ---- sending ----

    def send(self, task, *args, **options):
        return self.app.send_task(f"celeriac.{task}", args, **options)

    def sig(self, task, *args, **options):
        """`immutable` and execution options by name."""
        return celery.signature(f"celeriac.{task}", args=args, app=self.app, **options)

    def push(self, queue="celery", **parts):
        """A message of our own making (clients.envelope); its id."""
        if BACKEND == "rpc":
            parts["properties"] = {"reply_to": self.app.thread_oid, **parts.get("properties", {})}
        task_id, message = envelope(**parts)
        self.broker.push(json.dumps(message), queue)
        return task_id

    # ---- looking ----

    def stored(self, task_id):
        """What the backend holds now, or None."""
        return self.results.stored(task_id)

    def meta(self, task_id, state=READY, seconds=60):
        """The same, once it is in that state."""
        states = (state,) if isinstance(state, str) else state

        def there():
            meta = self.stored(task_id)
            return meta if meta and meta["status"] in states else None

        return wait_until(there, seconds, lambda: f"task {task_id} is {self.stored(task_id)}, not {state}")

    def ask(self, method, seconds=30, **arguments):
        """The reply of a control command. One that got lost (broadcasts may) is asked for again."""
        if self.ours:
            self.broker.wait_listening()
        for _ in range(3):
            got = self.app.control.broadcast(
                method, arguments=arguments, destination=[self.name], reply=True, timeout=patience(seconds) / 3, limit=1)
            if got:
                return got[0][self.name]
        raise AssertionError(f"no answer to {method} within {seconds} s")

    def active(self):
        """Ids of what runs."""
        return {info["id"] for info in self.ask("active")}

    def scheduled(self):
        """Ids of what waits for its time."""
        return {info["request"]["id"] for info in self.ask("scheduled")}

    def wait_active(self, *results):
        ids = {result.id for result in results}
        wait_until(lambda: ids <= self.active(), 60, lambda: f"not active: {self.ask('active')}")

    def wait_scheduled(self, *results):
        ids = {result.id for result in results}
        wait_until(lambda: ids <= self.scheduled(), 60, lambda: f"not scheduled: {self.ask('scheduled')}")



    def held(self, task_id):
        """The envelope of a message the worker holds, decoded; None without one."""
        return self.broker.held(task_id)

    def settle(self, *results, seconds=60):
        """Nothing of these is queued or held. (A Python worker keeps a revoked message until its eta.)"""
        ids = {getattr(result, "id", result) for result in results}
        left = self._left_in_redis if BROKER == "redis" else self._left_in_rabbitmq
        wait_until(lambda: not left(ids), seconds, lambda: f"{left(ids)} not settled")

    def _left_in_redis(self, ids):
        raw = self.redis.hvals("unacked") + [message for key in self.redis.scan_iter(_type="list", match="celery*")
                                             for message in self.redis.lrange(key, 0, -1)]
        return [task_id for task_id in ids if any(task_id.encode() in message for message in raw)]

    def _left_in_rabbitmq(self, ids):
        """Messages cannot be seen there: those that it has are as many as the worker still has, and these are not among them."""
        infos = [*(entry["request"] for entry in self.ask("scheduled")), *self.ask("reserved"), *self.ask("active")]
        kept = {info["id"] for info in infos if not info["acknowledged"]}
        rows = self.broker.rabbitmq.counts(self.broker.vhost)
        queued = sum(rows[queue["name"]]["messages"] for queue in self.ask("active_queues"))
        return sorted(ids & {info["id"] for info in infos}) or ([] if queued == len(kept) else [f"{queued} messages, {kept}"])

    @property
    def events(self):
        """Everything the worker tells monitors, from the first use on."""
        if self._events is None:
            self._events = Events(self.redis) if BROKER == "redis" else RabbitEvents(self.broker)
        return self._events


def setting(value):
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list):
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value)


class Events:
    """Takes events off the wire, on a thread; batches are taken apart. [(event, envelope, routing key)]"""

    def __init__(self, client):
        self.database = client.connection_pool.connection_kwargs["db"]
        self.seen = []
        self.pubsub = client.pubsub(ignore_subscribe_messages=False)
        self.pubsub.psubscribe(f"/{self.database}.celeryev/*")
        wait_until(lambda: (self.pubsub.get_message(timeout=1) or {}).get("type") == "psubscribe", 20)
        self.stopped = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopped:
            try:
                message = self.pubsub.get_message(timeout=0.2)
            except (redis.exceptions.ConnectionError, ValueError, OSError):
                return
            if message and message["type"] == "pmessage":
                outer = json.loads(message["data"])
                key = message["channel"].decode().split("/", 2)[2]
                self.seen += self.taken_apart(base64.b64decode(outer["body"]), outer, key)

    def stop(self):
        self.stopped = True
        self.thread.join(5)
        self.pubsub.close()

    @staticmethod
    def taken_apart(body, outer, key):
        body = json.loads(body)
        return [(event, outer, key) for event in (body if isinstance(body, list) else [body])]

    def of(self, task_id):
        return [event for event, _, _ in self.seen if event.get("uuid") == task_id]

    def kinds(self, task_id):
        return [event["type"] for event in self.of(task_id)]

    def wait(self, kind, task_id=None, seconds=60):
        def there():
            return [event for event, _, _ in self.seen if event["type"] == kind and task_id in (None, event.get("uuid"))]

        return wait_until(there, seconds, lambda: f"no {kind} of {task_id}, only {self.kinds(task_id)}")[-1]


class RabbitEvents(Events):
    """The same by a queue of RabbitMQ."""

    def __init__(self, broker):
        self.seen = []
        self.stopped = False
        self.connection = kombu.Connection(broker.url)
        channel = self.connection.channel()
        channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
        queue = channel.queue_declare("", exclusive=True).queue
        channel.queue_bind(queue, "celeryev", "#")
        channel.basic_consume(queue, no_ack=True, callback=self.heard)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def heard(self, message):
        outer = enveloped(message.body, message.properties, message.delivery_info)
        self.seen += self.taken_apart(message.body, outer, message.delivery_info["routing_key"])

    def run(self):
        while not self.stopped:
            try:
                self.connection.drain_events(timeout=0.2)
            except TimeoutError:
                continue
            except (OSError, *self.connection.connection_errors):
                return

    def stop(self):
        self.stopped = True
        self.thread.join(5)
        self.connection.release()


def error(kind, *args, module="builtins"):
    """An exception in a meta."""
    return {"exc_type": kind, "exc_message": list(args), "exc_module": module}


class Date:
    """Equals an ISO date of the last minutes. Celery 5.2 wrote UTC without saying so."""

    def __eq__(self, other):
        when = datetime.datetime.fromisoformat(other)
        when = when if when.tzinfo else when.replace(tzinfo=datetime.timezone.utc)
        return abs((datetime.datetime.now(datetime.timezone.utc) - when).total_seconds()) < 600

    def __repr__(self):
        return "<a date of the last minutes>"


class Is:
    """Equals what the function says."""

    def __init__(self, check, name):
        self.check, self.name = check, name

    def __eq__(self, other):
        return self.check(other)

    def __repr__(self):
        return f"<{self.name}>"


DATE = Date()
TEXT = Is(lambda value: isinstance(value, str) and value, "some text")
NUMBER = Is(lambda value: isinstance(value, (int, float)) and not isinstance(value, bool), "a number")


def traceback_of(*words):
    """A traceback as Python prints it, that ends with these words."""
    return Is(lambda value: isinstance(value, str) and value.startswith("Traceback (most recent call last):\n")
              and all(word in value for word in words), f"a traceback with {words}")


def done(task_id, status="SUCCESS", result=None, traceback=None, children=(), **more):
    """A whole meta, as far as the backend keeps it."""
    if BACKEND == "database":
        return {"status": status, "result": result, "traceback": traceback, "date_done": DATE, "task_id": task_id,
                **{name: value for name, value in more.items() if name not in ("parent_id", "group_id")}}
    return {"status": status, "result": result, "traceback": traceback,
            "children": list(children) if children is not None else None, "date_done": DATE, "task_id": task_id, **more}
