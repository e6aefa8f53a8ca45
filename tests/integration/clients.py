"""Celery clients: the newest one in this process and either one in a process of its own, and real Python workers."""

import base64
import json
import pathlib
import subprocess
import sys
import uuid

import celery
import kombu
import redis

from asking import asking
from services import Service, launch, patience, wait_until

HERE = pathlib.Path(__file__).parent
OURS = "ours@test"  # -n of a worker that is asked or watched
PYTHONS = {"debian": "/usr/bin/python3", "newest": sys.executable}


class Broker:
    """One Redis database that is broker and backend."""

    def __init__(self, url, instance):
        self.url = self.results = url
        self.instance = instance
        self.redis = redis.Redis.from_url(url, socket_timeout=60)  # messages may be long, and machines slow
        self.handed_over = f"celeriac.node.{instance}:"  # calls of conversations that no node has

    def close(self):
        """What is left goes with its server."""

    def app(self, **conf):
        app = celery.Celery(broker=self.url, backend=asking(self.results), set_as_current=False)
        app.conf.update(broker_connection_retry_on_startup=True, **conf)
        return app

    def push(self, message, queue="celery"):
        return self.redis.lpush(queue, message)

    def take(self, queue, priority=0):
        """The oldest message of a queue, as push has it, or None. It is gone from there."""
        raw = self.redis.rpop(queue) or self.redis.rpop(f"{queue}\x06\x16{priority // 3 * 3}")
        return json.loads(raw) if raw else None

    def queued(self, queue="celery"):
        """How many messages nobody has."""
        return self.redis.llen(queue)

    def held(self, task_id):
        """The message of a task that a worker holds, or None."""
        for raw in self.redis.hvals("unacked"):
            message = json.loads(raw)[0]
            if message["headers"].get("id") == task_id:
                return message
        return None

    def send(self, task, *args):
        """A message without a Celery client, which has states of its own when Redis goes away; returns the id."""
        task_id, message = envelope(task=task, args=args)
        self.push(json.dumps(message))
        return task_id

    def meta(self, task_id, seconds=30):
        """What the result backend holds, once the task is done."""
        def done():
            raw = self.redis.get(f"celery-task-meta-{task_id}")
            return json.loads(raw) if raw and json.loads(raw)["status"] in ("SUCCESS", "FAILURE", "REVOKED") else None

        return wait_until(done, seconds, f"task {task_id} had no result")

    def result_count(self):
        return sum(1 for _ in self.redis.scan_iter("celery-task-meta-*", count=10000))

    def unacked(self):
        return self.redis.hlen("unacked"), self.redis.zcard("unacked_index")

    def wait_forgotten(self):
        """Redis has carried out all that a worker of ours which died had still sent."""
        wait_until(lambda: not self._connections(), 30, lambda: f"Redis still serves {self._connections()}")

    def wait_listening(self, workers=1):
        """So many workers of ours hear broadcasts; they are ready for tasks before."""
        wait_until(lambda: sum(each["psub"] != "0" for each in self._connections("celeriac-control")) >= workers, 30,
                   lambda: f"{workers} should listen: {self._connections('celeriac-control')}")

    def _connections(self, name="celeriac-"):
        database = str(self.redis.connection_pool.connection_kwargs["db"])
        return [each for each in self.redis.client_list() if each["db"] == database and each["name"].startswith(name)]

    def wait_settled(self, seconds=30):
        """Nothing queued, nothing held: all at one moment, as what ends puts what follows it where we have looked already."""
        def settled():
            look = self.redis.pipeline(transaction=True)
            for queue in ("celery", "celery\x06\x163", "celery\x06\x166", "celery\x06\x169"):
                look.llen(queue)
            look.hlen("unacked").zcard("unacked_index").keys("celeriac.node.*")
            return not any(look.execute())

        wait_until(settled, seconds, lambda: f"{self.unacked()} (unacked, index) and {self.redis.llen('celery')} queued: not settled")

    def dead(self):
        """[(what is said about it, the message as it came)], the oldest first."""
        entries = reversed(self.redis.lrange("celeriac:dead", 0, -1))
        return [(json.loads(line), message) for line, message in (entry.split(b"\n", 1) for entry in entries)]


class RabbitBroker(Broker):
    """A virtual host of RabbitMQ that is the broker, and a Redis database for results, if any."""

    def __init__(self, rabbitmq, results, instance):
        if results:
            super().__init__(results, instance)
        else:
            self.instance, self.redis, self.results = instance, None, None
        self.rabbitmq = rabbitmq
        self.vhost = rabbitmq.new_vhost()
        self.url = rabbitmq.url(self.vhost)
        self._firehose = self._publishing = None

    def let_go(self):
        """Of the connection that pushes: its server is about to go, or is gone."""
        if self._publishing:
            self._publishing.connection.collect()
            self._publishing = None

    def close(self):
        self.let_go()
        if self._firehose:
            self._firehose.close()
        self.rabbitmq.delete_vhost(self.vhost)

    def push(self, message, queue="celery"):
        message = json.loads(message)
        properties = {name: message["properties"][name] for name in ("correlation_id", "reply_to", "delivery_mode") if name in message["properties"]}
        exchange, key = (message["properties"]["delivery_info"][name] for name in ("exchange", "routing_key"))
        channel = self._publisher()
        if exchange:
            channel.exchange_declare(exchange, "direct", durable=True, auto_delete=False)
            channel.queue_bind(queue, exchange, key)
        made = channel.prepare_message(base64.b64decode(message["body"]), message["properties"].get("priority"), message["content-type"],
                                       message["content-encoding"], message["headers"], properties)
        channel.basic_publish(made, exchange=exchange, routing_key=key if exchange else queue)
        return True

    def _publisher(self):
        """A channel whose messages are confirmed, kept for the next."""
        if self._publishing is None or not self._publishing.connection.connected:
            self._publishing = kombu.Connection(self.url, transport_options={"confirm_publish": True}).channel()
        return self._publishing

    def take(self, queue, priority=0):
        with self.rabbitmq.channel(self.vhost) as channel:
            try:
                message = channel.basic_get(queue, no_ack=True)
            except channel.connection.channel_errors:
                return None
        return enveloped(message.body, message.properties, message.delivery_info) if message else None

    def queued(self, queue="celery"):
        return self.rabbitmq.counts(self.vhost)[queue]["messages_ready"]

    def sent(self):
        """Everything that was published since the first call, by whomever."""
        if self._firehose is None:
            self._firehose = Firehose(self.rabbitmq, self.vhost)
        return self._firehose.messages()

    def held(self, task_id):
        """The last message of a task that was sent since the first call of `sent`: what is in queues cannot be seen."""
        return next((each for each in reversed(self.sent()) if each["headers"].get("id") == task_id), None)

    def queues(self):
        return self.rabbitmq.queues(self.vhost)

    def unacked(self):
        held = sum(row["messages_unacknowledged"] for row in self.rabbitmq.counts(self.vhost).values())
        return held, held

    def wait_settled(self, seconds=30):
        def empty():
            return all(row["messages"] == 0 for row in self.rabbitmq.counts(self.vhost).values())

        # What follows is there before what it follows is gone, though maybe in a queue that was counted before.
        wait_until(lambda: empty() and empty(), seconds, lambda: f"{self.queues()}: not settled")

    def wait_forgotten(self):
        wait_until(lambda: self.unacked() == (0, 0), 30, "RabbitMQ still waits")

    def wait_listening(self, workers=1):
        def mailboxes():
            """A queue is there before it is bound."""
            return [row["destination"] for row in self.rabbitmq.api("GET", f"bindings/{self.vhost}") if row["source"] == "celery.pidbox"]

        wait_until(lambda: len(mailboxes()) >= workers, 30, lambda: f"{workers} should listen: {mailboxes()}")


class Firehose:
    """Every message that is published in a virtual host, whoever gets it: RabbitMQ's own trace."""

    def __init__(self, rabbitmq, vhost):
        rabbitmq.api("PUT", f"vhosts/{vhost}", {"tracing": True})
        self.connection = kombu.Connection(rabbitmq.url(vhost))
        self.channel = self.connection.channel()
        self.queue = self.channel.queue_declare("", exclusive=True).queue
        self.channel.queue_bind(self.queue, "amq.rabbitmq.trace", "publish.#")
        self.seen = []

    def messages(self):
        while (message := self.channel.basic_get(self.queue, no_ack=True)) is not None:
            about = message.headers
            info = {"exchange": about["exchange_name"], "routing_key": about["routing_keys"][0]}
            self.seen.append(enveloped(message.body, about["properties"], info, headers="headers"))
        return self.seen

    def close(self):
        self.connection.release()


def enveloped(body, properties, info, headers="application_headers"):
    """A message of RabbitMQ in the form that kombu gives those in Redis, as far as it has it."""
    named = {name: properties[name] for name in ("correlation_id", "reply_to", "delivery_mode", "priority") if name in properties}
    return {"body": base64.b64encode(body.encode() if isinstance(body, str) else body).decode(), "headers": properties.get(headers) or {},
            "content-type": properties.get("content_type"), "content-encoding": properties.get("content_encoding"),
            "properties": {**named, "delivery_info": {name: info[name] for name in ("exchange", "routing_key")}}}


def envelope(task="celeriac.echo", args=(), kwargs=None, task_id=None, body=None, headers=None, properties=None, **outer):
    """A protocol-2 message as kombu writes it, with parts replaced or (None) left out. Returns (id, dict)."""
    task_id = task_id or str(uuid.uuid4())
    if body is None:
        body = json.dumps([args, kwargs or {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    head = {"lang": "py", "task": task, "id": task_id, "root_id": task_id, "parent_id": None, "group": None, "retries": 0,
            "timelimit": [None, None], "eta": None, "expires": None, "origin": "test", **(headers or {})}
    props = {"correlation_id": task_id, "reply_to": "", "delivery_mode": 2, "priority": 0, "body_encoding": "base64",
             "delivery_info": {"exchange": "", "routing_key": "celery"}, "delivery_tag": str(uuid.uuid4()),
             **(properties or {})}
    whole = {"body": base64.b64encode(body if isinstance(body, bytes) else body.encode()).decode(),
             "content-encoding": "utf-8", "content-type": "application/json",
             "headers": {name: value for name, value in head.items() if value is not Ellipsis},
             "properties": {name: value for name, value in props.items() if value is not Ellipsis}, **outer}
    return task_id, {name: value for name, value in whole.items() if value is not Ellipsis}


def told(app, worker, method, seconds=60, **arguments):
    """The reply of a worker to a command that may be said twice: said again until it answers, for it may not listen yet."""
    def asked():
        return app.control.broadcast(method, arguments=arguments, destination=[worker], reply=True, timeout=5, limit=1)

    return wait_until(asked, seconds, f"{worker} does not answer to {method}")[0][worker]


class Client:
    """A Celery client in another process: `debian` is the distribution's, `newest` the one of the test environment."""

    def __init__(self, which, broker):
        self.which = which
        self.broker = broker

    def call(self, requests, seconds=120, **more):
        """Sends [(name, args, kwargs, options)] one after the other, then `canvases` (signatures as dicts), with `conf` as
        further settings and `backend` where results are not where messages are; waits for each result, in order. Returns
        [{"id", "state", "value"} or {"id", "state", "error", "message"}]."""
        request = {"url": self.broker.url, "requests": requests, "seconds": seconds, **more}
        done = subprocess.run(
            [PYTHONS[self.which], "-s", HERE / "client_process.py"], input=json.dumps(request), capture_output=True, text=True,
            timeout=patience(seconds + 30),
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)


class PythonWorker(Service):
    """A real Celery worker with the tasks of python_app.py."""

    def __init__(self, broker, directory, which="newest", args=(), app="python_app", python=None, **env):
        self.name = f"py-{uuid.uuid4().hex[:8]}@test"
        self.broker = broker
        self.python = python or PYTHONS[which]
        self.log_path = directory / f"{self.name}.log"
        self.args = args
        self.app = app
        self.env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TEST_REDIS_URL": broker.url, **env}
        if broker.results != broker.url:
            self.env.setdefault("TEST_BACKEND", broker.results)

    def __str__(self):
        return f"Python worker {self.name}"

    def start(self):
        self.process = launch(
            [self.python, "-s", "-m", "celery", "-A", self.app, "worker", "-l", "INFO", "-c", "2", "-n", self.name,
             "--without-mingle", "--without-gossip", *self.args],
            self.log_path, env=self.env, cwd=HERE,
        )
        def ready():
            assert self.alive(), f"{self} ended:\n{self.log()[-4000:]}"
            return self.is_ready()

        wait_until(ready, 120,
                   lambda: f"{self} was not ready:\n{self.log_path.read_text(errors='replace')[-4000:]}\n")
        return self

    def is_ready(self):
        return " ready." in self.log()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        if self.alive():
            self.end(15)


