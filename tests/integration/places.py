"""Where the tests of tasks have their messages and their results: CELERIAC_TEST_BROKER=BROKER[+BACKEND], of

    redis (the default), redis+database, rabbitmq (results in Redis), rabbitmq+rpc, rabbitmq+database
"""

import base64
import json
import os
import pickle

from clients import Broker, RabbitBroker
from test_database_results import Results

BROKER, _, BACKEND = os.environ.get("CELERIAC_TEST_BROKER", "redis").partition("+")
BACKEND = BACKEND or "redis"
assert (BROKER, BACKEND) in {("redis", "redis"), ("redis", "database"), ("rabbitmq", "redis"), ("rabbitmq", "rpc"), ("rabbitmq", "database")}

LATER = 500  # seconds that a worker holds a message: what is due much later waits in RabbitMQ, where nobody sees it

# What not every place has: tests that ask for it are marked only(WHAT, why).
HAS = {
    "redis broker": BROKER == "redis",
    "redis results": BACKEND == "redis",
    "stored results": BACKEND != "rpc",
    "whole metas": BACKEND != "database",
}


class Servers:
    """The servers of the session, each started when it is first asked for."""

    def __init__(self, request):
        self.get = request.getfixturevalue

    def broker(self, instance):
        if BROKER == "redis":
            return Broker(self.get("redis_server").new_url(), instance)
        results = self.get("redis_server").new_url() if BACKEND == "redis" else None
        return RabbitBroker(self.get("rabbitmq"), results, instance)

    def results(self, broker):
        if BACKEND == "database":
            return DatabaseResults(self.get("postgres"))
        return {"redis": RedisResults, "rpc": RpcResults}[BACKEND](broker)


class RedisResults:
    """`url` is what a worker of ours has, `of_celery` what Celery's clients and workers have."""

    def __init__(self, broker):
        self.redis = broker.redis
        self.url = self.of_celery = broker.results

    def stored(self, task_id):
        """The meta as it is now, or None."""
        raw = self.raw(task_id)
        return json.loads(raw) if raw else None

    def raw(self, task_id):
        return self.redis.get(f"celery-task-meta-{task_id}")

    def close(self):
        pass


class RpcResults:
    """Seen on their way to who asked."""

    url = of_celery = "rpc://"

    def __init__(self, broker):
        self.broker = broker
        self.last = {}
        self.looked = 0
        broker.sent()  # from now on

    def stored(self, task_id):
        raw = self.raw(task_id)
        return json.loads(raw) if raw else None

    def raw(self, task_id):
        sent = self.broker.sent()
        for message in sent[self.looked:]:
            properties = message["properties"]
            body = base64.b64decode(message["body"])
            if "task" not in message["headers"] and "correlation_id" in properties and b'"status":' in body:
                self.last[properties["correlation_id"]] = body
        self.looked = len(sent)
        return self.last.get(task_id)

    def close(self):
        pass


class DatabaseResults:
    """A database of their own. Without parents and children, which only extended rows of the newest Celery have."""

    COLUMNS = ("status", "result", "traceback", "date_done", "task_id")
    EXTENDED = ("name", "args", "kwargs", "worker", "retries", "queue")

    def __init__(self, postgres):
        self.database = Results(postgres)
        self.url = self.database.url()
        self.of_celery = self.database.url("newest")

    def stored(self, task_id):
        row = self.database.row(task_id, "row_to_json(celery_taskmeta)")
        if row is None:
            return None
        names = [*self.COLUMNS, *(name for name in self.EXTENDED if row[0].get(name) is not None)]
        meta = {name: self.value(name, row[0][name]) for name in names}
        return meta

    @staticmethod
    def value(name, value):
        """Bytes are \\x and hexadecimal digits in JSON; they are what was pickled or written as JSON."""
        if name in ("result", "args", "kwargs") and value is not None:
            raw = bytes.fromhex(value[2:])
            return pickle.loads(raw) if raw[:1] == b"\x80" else json.loads(raw)
        return value

    def close(self):
        self.database.drop()
