"""What a worker declares in RabbitMQ, beside what Celery and kombu declare."""

import time

import kombu
import kombu.pidbox
import pytest
from kombu.transport import native_delayed_delivery as delayed

from amqp_program import AmqpProgram, Refused
from services import wait_until


@pytest.fixture
def make_side(rabbitmq, directory, ended):
    """A virtual host with a client of ours in it."""
    made = []

    def make():
        made.append(rabbitmq.new_vhost())
        client = AmqpProgram(directory, rabbitmq.url(made[-1]))
        ended.append(client)
        return made[-1], client.start()

    yield make
    for vhost in made:
        rabbitmq.delete_vhost(vhost)


def definitions(rabbitmq, vhost):
    """Everything that is declared in a virtual host, as others would be told to declare it."""
    told = rabbitmq.api("GET", f"definitions/{vhost}")
    rows = {kind: sorted(({**row} for row in told[kind]), key=repr) for kind in ("queues", "exchanges", "bindings")}
    for row in rows["queues"]:
        row["arguments"] = dict(sorted(row["arguments"].items()))
    return {kind: sorted(map(repr, value)) for kind, value in rows.items()}


def test_task_queues(rabbitmq, make_side):
    """New queues are as kombu makes them; what is there already is taken as it is."""
    theirs, _ = make_side()
    ours, client = make_side()
    rows = (
        ("celery", "celery", "direct", "celery", None),
        ("important", "tasks", "topic", "important.#", {"x-max-priority": 10}),
        ("all", "everybody", "fanout", "", {"x-queue-type": "quorum"}),
    )
    with rabbitmq.channel(theirs) as channel:
        for name, exchange, kind, key, arguments in rows:
            kombu.Queue(name, kombu.Exchange(exchange, kind), routing_key=key, queue_arguments=arguments)(channel).declare()
    for _ in range(2):
        made = [client.do("task_queue", queue=name, exchange=exchange, type=kind, key=key, arguments=arguments)
                for name, exchange, kind, key, arguments in rows]
    assert made == [False] * 3
    assert definitions(rabbitmq, ours) == definitions(rabbitmq, theirs)
    # declared otherwise by somebody else: no error, nothing changed, and our arguments do not count
    assert not client.do("task_queue", queue="important", exchange="tasks", type="topic", key="important.#", arguments={"x-max-priority": 3})
    assert definitions(rabbitmq, ours) == definitions(rabbitmq, theirs)
    with pytest.raises(Refused, match="x-queue-type"):
        client.do("task_queue", queue="strange", exchange="", key="", arguments={"x-queue-type": "no such"})


def test_mailbox(rabbitmq, make_side):
    """A control request of kombu's reaches it; it goes with its connection, and a second of the name is refused for the time."""
    vhost, client = make_side()
    client.do("mailbox", exchange="celery.pidbox", queue="celery@us.celery.pidbox")
    with rabbitmq.channel(vhost) as channel:
        mailbox = kombu.pidbox.Mailbox("celery", type="fanout")(channel.connection.client)
        client.do("consume", queue="celery@us.celery.pidbox", prefetch=0, no_ack=True)
        mailbox.cast([], "ping", {})
        assert "ping" in client.take(1)[0]["body"]
    second = AmqpProgram(client.log_path.parent, rabbitmq.url(vhost)).start()
    try:
        with pytest.raises(Refused) as found:
            second.do("mailbox", exchange="celery.pidbox", queue="celery@us.celery.pidbox")
        assert found.value.code == "conflict" and found.value.transient
        client.close()
        wait_until(lambda: rabbitmq.ready("celery@us.celery.pidbox", vhost) is None, 30, "the mailbox stays")
        second.do("mailbox", exchange="celery.pidbox", queue="celery@us.celery.pidbox")
    finally:
        second.kill()


def test_delay_keys(make_side):
    _, client = make_side()
    for seconds in (1, 2, 3, 60, 86400, (1 << 28) - 1):
        for key in ("celery", "a.b", "", "1.0.x"):
            if key:
                assert client.do("delay_key", count=seconds, key=key) == delayed.calculate_routing_key(seconds, key)
    again = delayed.calculate_routing_key(5, "celery")
    assert client.do("delay_key", count=7, key=again) == delayed.calculate_routing_key(7, again)
    for seconds, key in ((0, "k"), (1 << 28, "k"), (1, "k" * 200)):
        with pytest.raises(Refused):
            client.do("delay_key", count=seconds, key=key)


@pytest.mark.parametrize("kind", ["classic", pytest.param("quorum", marks=pytest.mark.long)])
def test_delay(rabbitmq, make_side, kind):
    """The cascade is kombu's own, and lets go of a message when it is due, not before."""
    theirs, _ = make_side()
    ours, client = make_side()
    queue = kombu.Queue("q", kombu.Exchange("tasks", "topic"), routing_key="key", queue_arguments={"x-queue-type": kind})
    with rabbitmq.channel(theirs) as channel:
        connection = channel.connection.client
        queue(channel).declare()
        delayed.declare_native_delayed_delivery_exchanges_and_queues(connection, kind)
        delayed.bind_queue_to_native_delayed_delivery_exchange(connection, queue)
    where = {"queue": "q", "exchange": "tasks", "type": "topic", "key": "key", "arguments": {"x-queue-type": kind}}
    client.do("task_queue", **where)
    client.do("delay", type=kind)
    assert client.do("delay", **where)
    assert not client.do("delay", queue="q", exchange="tasks", type="direct", key="key"), "a direct exchange cannot take it"
    assert definitions(rabbitmq, ours) == definitions(rabbitmq, theirs)
    client.do("consume", queue="q", prefetch=0)
    began = time.monotonic()
    client.do("perform", exchange="celery_delayed_27", key=client.do("delay_key", count=3, key="key"), count=1, mandatory=True)
    assert client.take(1)[0]["body"] == "0"
    assert time.monotonic() - began >= 3
