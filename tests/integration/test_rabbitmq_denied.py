"""A RabbitMQ that refuses what RabbitMQ 4.3 has given up: transient queues that are not exclusive, and one prefetch for a whole channel.
What can be told to refuse them (3.13 and later) is told to; an older one is asked the same."""

import json

import celery
import kombu
import pytest

from asking import asking
from clients import OURS, RabbitBroker
from rabbitmq import RabbitMQ
from services import wait_until


@pytest.fixture(scope="module")
def server(session_directory):
    made = RabbitMQ(session_directory)
    if made.version >= (3, 13):
        made.config = [f"deprecated_features.permit.{name} = false" for name in ("transient_nonexcl_queues", "global_qos")]
    try:
        yield made.create()
    finally:
        made.kill()


@pytest.fixture
def broker(server, redis_server, instance):
    made = RabbitBroker(server, redis_server.new_url(), instance)
    yield made
    made.close()


@pytest.fixture
def app(broker):
    made = celery.Celery(broker=broker.url, backend=asking(broker.results), set_as_current=False)
    yield made
    made.close()


def refuses(broker):
    """A queue such as Celery up to 5.6 makes for a worker's mailbox."""
    with kombu.Connection(broker.url) as connection:
        try:
            connection.channel().queue_declare("transient", durable=False, auto_delete=True)
        except connection.connection_errors as error:
            assert "transient_nonexcl_queues" in str(error), error
            return True
    return False


def asked(broker, method, seconds=60):
    """What a worker answers to a command, on a queue that such a server lets one have."""
    with kombu.Connection(broker.url) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).queue
        channel.exchange_declare("reply.celery.pidbox", "direct", durable=False, auto_delete=False)
        channel.queue_bind(queue, "reply.celery.pidbox", queue)
        body = {"method": method, "arguments": {}, "destination": [OURS], "pattern": None, "matcher": None, "ticket": "t",
                "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": queue}}
        mailbox = kombu.Exchange("celery.pidbox", "fanout", durable=False, passive=True)
        connection.Producer(channel).publish(body, exchange=mailbox, serializer="json")
        message = wait_until(lambda: channel.basic_get(queue, no_ack=True), seconds, "no answer")
        return json.loads(message.body)[OURS]


def heard_events(broker, channel, queue):
    kinds = set()
    while (message := channel.basic_get(queue, no_ack=True)) is not None:
        told = json.loads(message.body)
        kinds |= {one["type"] for one in (told if isinstance(told, list) else [told])}
    return kinds


@pytest.mark.parametrize("exclusive", ["1", "0"])
def test_a_worker_does_without(broker, app, server, make_worker, exclusive):
    """Tasks, classic and quorum queues, a broadcast, commands, events; a mailbox of the kind that is refused is made of the other."""
    denied = refuses(broker)
    assert denied == (server.version >= (3, 13))
    queues = [{"name": "celery"}, {"name": "quorate", "queue_arguments": {"x-queue-type": "quorum"}},
              {"name": "shout", "exchange": "shout", "exchange_type": "fanout"}]
    worker = make_worker("-n", OURS, "-E", "-c", "2", broker=broker, CELERY_TASK_QUEUES=json.dumps(queues),
                         CELERY_CONTROL_QUEUE_EXCLUSIVE=exclusive)
    with kombu.Connection(broker.url) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).queue
        channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
        channel.queue_bind(queue, "celeryev", "#")
        for name in ("celery", "quorate"):
            got = [app.send_task("celeriac.echo", (n,), queue=kombu.Queue(name, passive=True, no_declare=True)) for n in range(20)]
            assert [one.get(timeout=60) for one in got] == list(range(20))
        kinds = set()

        def told():
            kinds.update(heard_events(broker, channel, queue))
            return {"task-received", "task-started", "task-succeeded", "worker-heartbeat"} <= kinds

        wait_until(told, 60, lambda: f"{kinds}")
        app.send_task("celeriac.echo", ("all",), exchange="shout", routing_key="", task_id="to-all")
    worker.wait_log(r"celeriac.echo\[to-all\] succeeded")
    assert asked(broker, "ping") == {"ok": "pong"}
    row = broker.queues()[f"{OURS}.celery.pidbox"]
    assert row["exclusive"] == (denied or exclusive == "1") and not row["durable"]
    if denied and exclusive == "0":
        assert worker.log_lines("CELERY_CONTROL_QUEUE_EXCLUSIVE")


def test_a_queue_that_cannot_be(broker, make_worker):
    """A worker that cannot have one of its queues says which, with the server's words, and is not ready."""
    queues = [{"name": "celery"}, {"name": "passing", "durable": False, "auto_delete": True}]
    worker = make_worker("-c", "2", broker=broker, CELERY_TASK_QUEUES=json.dumps(queues), start=False).spawn()
    if refuses(broker):
        worker.wait_log("queue passing cannot be consumed: .*transient_nonexcl_queues")
        assert worker.http("/readyz")[0] == 503
    else:
        worker.wait_ready()
        assert broker.queues()["passing"]["consumers"] == 1


def serves(app, queue):
    """Within the two minutes after which what was refused three times is asked for again."""
    return app.send_task("celeriac.echo", (queue,), queue=queue).get(timeout=150) == queue


def test_others_are_consumed(broker, app, make_worker):
    """Queues that cannot be made, or are somebody else's alone, are named; when they can be had they are."""
    queues = [{"name": "impossible", "queue_arguments": {"x-max-priority": 1000}}, {"name": "taken"}, {"name": "celery"}]
    with kombu.Connection(broker.url) as connection:
        channel = connection.channel()
        channel.queue_declare("taken", durable=True, auto_delete=False)
        channel.basic_consume("taken", exclusive=True)
        worker = make_worker("-c", "2", broker=broker, CELERY_TASK_QUEUES=json.dumps(queues), start=False).spawn()
        worker.wait_log("queue impossible cannot be consumed: .*max-priority.*406")
        worker.wait_log("queue taken cannot be consumed: .*exclusive.*403")
        assert serves(app, "celery")
        status, text = worker.http("/readyz")
        assert status == 503 and "\nqueue:impossible refused\nqueue:taken refused\n" in text and "consumer connected" in text
        assert worker.metric("queues_refused") == 2
        connection.channel().queue_declare("impossible", durable=True, auto_delete=False)
        assert serves(app, "impossible")
        wait_until(lambda: worker.metric("queues_refused") == 1, 30)
    assert serves(app, "taken")
    worker.wait_ready()
    assert worker.metric("queues_refused") == 0
    assert len(worker.log_lines("queue impossible cannot")) == len(worker.log_lines("queue taken cannot")) == 1
