"""include/amqp.h beside a real RabbitMQ and kombu: what it sends and reads, what is refused, and every kind of trouble."""

import datetime
import decimal

import kombu
import pytest

from amqp_program import AmqpProgram, Refused
from forwarder import Forwarder
from servers import Certificates
from services import free_port, patience, wait_until


@pytest.fixture
def vhost(rabbitmq):
    name = rabbitmq.new_vhost()
    yield name
    rabbitmq.delete_vhost(name)


@pytest.fixture
def make_client(directory, ended):
    def make(url, **options):
        made = AmqpProgram(directory, url, **options)
        ended.append(made)
        return made.start()

    return make


@pytest.fixture
def client(make_client, rabbitmq, vhost):
    return make_client(rabbitmq.url(vhost))


def ready(rabbitmq, vhost, queue):
    return rabbitmq.ready(queue, vhost)


def refused(client, do, **arguments):
    with pytest.raises(Refused) as caught:
        client.do(do, **arguments)
    return caught.value


# --- declarations and calls ---


def test_calls(client, rabbitmq, vhost):
    assert client.do("declare", queue="q", durable=True, arguments={"x-max-priority": 10}) == ["q", 0, 0]
    assert client.do("declare", queue="q", passive=True) == ["q", 0, 0]
    named = client.do("declare", queue="", exclusive=True)[0]
    assert named.startswith("amq.gen")
    client.do("exchange", exchange="topics", type="topic", durable=True)
    client.do("exchange", exchange="first", type="fanout")
    client.do("bind", exchange="topics", key="a.#", to="q", arguments={"x": 1})
    client.do("bind", exchange="first", key="", to="topics", to_exchange=True)
    client.do("perform", exchange="first", key="a.b", count=3, mandatory=True)
    assert client.do("declare", queue="q", passive=True) == ["q", 3, 0]
    client.do("bind", exchange="topics", key="a.#", to="q", arguments={"x": 1}, off=True)
    assert refused(client, "perform", exchange="first", key="a.b", count=1, mandatory=True).code == "not found"
    assert client.do("purge", queue="q") == 3
    client.do("perform", exchange="", key="q", count=2)
    assert refused(client, "delete", queue="q", if_empty=True).code == "conflict"
    assert client.do("delete", queue="q") == 2
    client.do("delete", exchange="first")
    assert refused(client, "declare", queue="q", passive=True).code == "not found"
    # for this the server ends the connection, and from RabbitMQ 4 on the channel: who asked is told why, and it is made anew
    code, lost = ("invalid", 1) if rabbitmq.version < (4,) else ("conflict", 0)
    found = refused(client, "exchange", exchange="e", type="no-such-type")
    assert found.code == code and "no-such-type" in found.message
    client.do("declare", queue="q")
    status = client.do("status")
    assert status["up"] and status["reconnects"] == lost and status["product"] == "RabbitMQ" and tuple(status["version"]) >= (3, 10, 0)


def test_refusals_close_only_what_they_must(client, rabbitmq, vhost):
    """A refusal is an error that names what is wrong; deliveries, messages and other calls go on."""
    client.do("declare", queue="q", durable=True)
    client.do("perform", exchange="", key="q", count=1)
    client.do("consume", queue="q", prefetch=10)
    held = client.take(1)[0]
    client.do("events")
    found = refused(client, "declare", queue="q", durable=False)
    assert found.code == "conflict" and "durable" in found.message and not found.transient
    assert refused(client, "declare", queue="none", passive=True).code == "not found"
    assert refused(client, "consume", queue="none").code == "not found"
    assert refused(client, "bind", exchange="none", key="", to="q").code == "not found"
    found = refused(client, "declare", queue="q" * 256)
    assert found.code == "invalid" and "255 bytes" in found.message
    assert refused(client, "cancel", queue="none").code == "not found"
    # no exchange: those that name it fail, not what is on its way beside them
    found = refused(client, "perform", exchange="nowhere", key="q", count=1)
    assert found.code == "not found" and "nowhere" in found.message
    client.do("submit", exchange="", key="q", count=1, batches=50, keep=True)
    client.do("submit", exchange="nowhere", key="q", count=1, keep=True)
    client.do("submit", exchange="", key="q", count=1, batches=50, keep=True)
    finished, failures = client.do("finished")
    assert finished == 101 and [code for code, *_ in failures] == ["not found"]
    with rabbitmq.channel(vhost) as channel:
        exclusive = kombu.Queue("mine", exclusive=True)(channel)
        exclusive.declare()
        found = refused(client, "declare", queue="mine", passive=True)
        assert found.code == "conflict" and found.transient
    client.do("perform", settle=[held["ref"]], how="ack")
    assert not [event for event in client.do("events") if event[0] == "lost"]
    client.close()
    # the one is settled, the others are not lost
    assert ready(rabbitmq, vhost, "q") >= 100


@pytest.mark.parametrize("name", ["message size 1 is", "x 'known' y", "known' in vhost '/", "known' in vhost '" + "x" * 200])
def test_only_who_is_refused_fails(client, name):
    """What the server says of a message holds words of who sent it: they name no other."""
    client.do("declare", queue="q")
    client.do("exchange", exchange="known", type="fanout")
    client.do("bind", exchange="known", key="", to="q")
    client.do("submit", exchange="known", key="", count=1, batches=50, keep=True)
    client.do("submit", exchange=name, key="", count=1, keep=True)
    client.do("submit", exchange="known", key="", count=1, batches=50, keep=True)
    finished, failures = client.do("finished")
    assert finished == 101 and [code for code, *_ in failures] == ["not found"]


# --- messages ---


HEADERS = {
    "lang": "py", "id": "é", "retries": 0, "big": 1 << 40, "less": -(1 << 40), "share": 1.5, "yes": True, "eta": None,
    "timelimit": [None, 30], "stamps": {"a": ["b", {"c": "d"}]}, "empty": "",
}


def test_messages_from_kombu(client, rabbitmq, vhost):
    with rabbitmq.channel(vhost) as channel:
        kombu.Queue("q")(channel).declare()
        when = datetime.datetime(2026, 11, 28, 16, 0)
        kombu.Producer(channel).publish(
            {"x": 1}, routing_key="q", correlation_id="c", reply_to="r", priority=3, expiration=60,
            headers={**HEADERS, "when": when, "price": decimal.Decimal("-12.34"), "raw": b"\xff"},
        )
    client.do("consume", queue="q", prefetch=1)
    got = client.take(1)[0]
    assert got["body"] == '{"x": 1}' and got["key"] == "q" and got["exchange"] == "" and not got["redelivered"]
    assert (got["content_type"], got["content_encoding"], got["delivery_mode"]) == ("application/json", "utf-8", 2)
    assert (got["correlation_id"], got["reply_to"], got["priority"], got["expiration"]) == ("c", "r", 3, "60000")
    assert got["headers"] == {
        **HEADERS, "when": {"__type__": "datetime", "__value__": "2026-11-28T16:00:00+00:00"},
        "price": {"__type__": "decimal", "__value__": "-12.34"}, "raw": {"__type__": "base64", "__value__": "/w=="},
    }


def test_messages_to_kombu(client, rabbitmq, vhost):
    headers = {
        **HEADERS, "when": {"__type__": "datetime", "__value__": "2026-11-28T16:00:00+00:00"},
        "price": {"__type__": "decimal", "__value__": "-12.34"}, "raw": {"__type__": "base64", "__value__": "/w=="},
    }
    client.do("declare", queue="q", durable=True)
    client.do("perform", exchange="", key="q", count=1, body="[1]", headers=headers, priority=3, content_type="application/json",
              correlation_id="c", reply_to="r", expiration="60000")
    with rabbitmq.channel(vhost) as channel:
        got = kombu.Queue("q")(channel).get()
    assert got.body == b"[1]"
    assert got.headers == {**HEADERS, "when": datetime.datetime(2026, 11, 28, 16, 0), "price": decimal.Decimal("-12.34"), "raw": b"\xff"}
    assert (got.properties["correlation_id"], got.properties["priority"], got.content_type) == ("c", 3, "application/json")


@pytest.mark.parametrize("size", [0, 1, 131064, 131065, 1 << 20, 20 << 20])
def test_sizes(client, size):
    client.do("declare", queue="q")
    client.do("perform", exchange="", key="q", count=1, body="", size=size)
    client.do("consume", queue="q", prefetch=1)
    got = client.take(1)[0]
    assert got["length"] == size and set(got["body"]) <= {"."}


def test_too_long(client, rabbitmq, vhost):
    """What passes a bound is refused here with its name, or rejected unread and counted."""
    client.do("declare", queue="dead")
    client.do("declare", queue="q", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    found = refused(client, "perform", exchange="", key="q", count=1, headers={"long": "x" * 200000})
    assert found.code == "too big"
    assert refused(client, "perform", exchange="", key="q", count=1, size=(64 << 20) + 1).code == "too big"
    with rabbitmq.channel(vhost) as channel:
        producer = kombu.Producer(channel)
        producer.publish(b"x" * ((64 << 20) + 1), routing_key="q", content_type="application/data", content_encoding="binary")
        producer.publish(b"short", routing_key="q", content_type="application/data", content_encoding="binary")
        deep = {}
        for _ in range(100):
            deep = {"d": deep}
        producer.publish(b"deep", routing_key="q", headers=deep, content_type="application/data", content_encoding="binary")
    client.do("consume", queue="q", prefetch=1)
    short = client.take(1)[0]
    assert short["body"] == "short"
    client.do("perform", settle=[short["ref"]], how="ack")
    deep = client.take(1)[0]
    assert deep["body"] == "deep" and deep["fault"][0] == "too big" and "headers" not in deep
    assert client.do("status")["oversize"] == 1
    wait_until(lambda: ready(rabbitmq, vhost, "dead") == 1, 30, "it was not rejected")


def test_too_long_for_the_server(make_rabbitmq, make_client):
    """The server closes the channel for it: it is refused with the server's words and tried once; what went with it is sent again."""
    rabbitmq = make_rabbitmq(config=["max_message_size = 100000"]).create()
    client = make_client(rabbitmq.url())
    client.do("declare", queue="q")
    client.do("declare", queue="in")
    client.do("perform", exchange="", key="in", count=1)
    client.do("consume", queue="in", prefetch=1)
    held = client.take(1)[0]["ref"]
    found = refused(client, "perform", exchange="", key="q", count=1, size=100001, keep=True, settle=[held], how="ack")
    assert (found.code, found.transient) == ("too big", False) and "100001" in found.message, found
    client.do("submit", exchange="", key="q", count=1, size=100000, batches=50, keep=True)
    assert refused(client, "perform", exchange="", key="q", count=1, size=100001, keep=True).code == "too big"
    client.do("finished", seconds=60)
    assert client.do("status")["reconnects"] == 0
    assert rabbitmq.queues()["in"]["messages_unacknowledged"] == 1, "it was settled without what follows"
    client.close()
    assert ready(rabbitmq, "/", "q") >= 50


# --- consuming and settling ---


def test_settling(client, rabbitmq, vhost):
    client.do("declare", queue="dead")
    client.do("declare", queue="q", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    client.do("perform", exchange="", key="q", count=10)
    client.do("consume", queue="q", prefetch=4)
    first = client.take(4)
    assert [one["body"] for one in first] == ["0", "1", "2", "3"]
    assert client.do("take", count=1, seconds=0.2) == [], "more than the prefetch"
    assert ready(rabbitmq, vhost, "q") == 6
    # out of order, then the rest: acks of a row, and single ones
    client.do("perform", settle=[first[2]["ref"]], how="ack")
    client.do("perform", settle=[first[1]["ref"]], how="reject")
    client.do("perform", settle=[first[0]["ref"], first[3]["ref"]], how="ack")
    rest = client.take(4)
    assert [one["body"] for one in rest] == ["4", "5", "6", "7"]
    client.do("perform", settle=[rest[0]["ref"]], how="requeue")
    again = client.take(1)[0]
    assert (again["body"], again["redelivered"]) == ("4", True)
    # twice is once; of something that never was, nothing
    client.do("perform", settle=[again["ref"]], how="ack")
    assert refused(client, "perform", settle=[again["ref"]], how="ack").code == "conflict"
    assert refused(client, "perform", settle=[[again["ref"][0], 999]], how="ack").code == "conflict"
    assert client.do("status")["stale"] == 2
    client.do("perform", settle=[one["ref"] for one in rest[1:]], how="ack")
    last = client.take(2)
    client.do("perform", settle=[one["ref"] for one in last], how="ack")
    client.close()
    wait_until(lambda: (ready(rabbitmq, vhost, "q"), ready(rabbitmq, vhost, "dead")) == (0, 1), 30, "one is dead, the others are settled")


def test_consumers_change(client, rabbitmq, vhost):
    """Prefetch changes while deliveries are held; consuming ends, by us and by the server."""
    client.do("declare", queue="q")
    client.do("perform", exchange="", key="q", count=5)
    client.do("consume", queue="q", prefetch=1)
    held = client.take(1)
    client.do("consume", queue="q", prefetch=3)
    held += client.take(3)
    assert ready(rabbitmq, vhost, "q") == 1, "the fifth is one too many, for one consumer and the other"
    client.do("cancel", queue="q")
    client.do("perform", settle=[one["ref"] for one in held], how="ack")
    assert ready(rabbitmq, vhost, "q") == 1
    assert client.do("take", count=1, seconds=0.2) == [], "it was cancelled"
    client.do("consume", queue="q", prefetch=3)
    held = client.take(1)
    with rabbitmq.channel(vhost) as channel:
        kombu.Queue("q")(channel).delete()
    events = client.wait_event("cancelled")
    assert [event[1] for event in events if event[0] == "cancelled"] == ["q"]
    # the queue is gone, and with it what was held: nothing closes
    client.do("perform", settle=[one["ref"] for one in held], how="ack")
    client.do("declare", queue="q")
    assert not [event for event in client.do("events") if event[0] == "lost"]


def test_batch_settles_only_when_confirmed(client, rabbitmq, vhost):
    client.do("declare", queue="q")
    client.do("declare", queue="full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    client.do("perform", exchange="", key="q", count=1)
    client.do("perform", exchange="", key="full", count=1)
    client.do("consume", queue="q", prefetch=1)
    held = client.take(1)[0]["ref"]
    found = refused(client, "perform", exchange="", key="full", count=1, settle=[held], how="ack")
    assert found.code == "unavailable" and found.transient
    found = refused(client, "perform", exchange="", key="nobody", count=1, mandatory=True, settle=[held], how="ack")
    assert found.code == "not found" and "unroutable" in found.message and "nobody" in found.message
    assert rabbitmq.queues(vhost)["q"]["messages_unacknowledged"] == 1
    client.do("perform", exchange="", key="nobody", count=1, settle=[held], how="ack")
    client.close()
    assert ready(rabbitmq, vhost, "q") == 0


def test_returns_are_told_apart(client):
    """Of many on their way at once, those that no queue takes fail, and no other."""
    client.do("declare", queue="q")
    for n in range(20):
        client.do("submit", exchange="", key="q", count=1, mandatory=True, correlation_id=f"good-{n}")
        client.do("submit", exchange="", key="nobody", count=1, mandatory=True, correlation_id=f"bad-{n}")
    finished, failures = client.do("finished")
    assert finished == 40 and len(failures) == 20
    assert client.do("status")["unroutable"] == 20
    assert client.do("purge", queue="q") == 20


def number_of(message):
    return int(message["body"].rstrip("."))


def test_waiting_is_bounded(client, rabbitmq, vhost):
    """Beyond 64 MiB that nobody takes the rest stays with the server, and comes when there is room."""
    client.do("declare", queue="q")
    client.do("perform", exchange="", key="q", count=24, size=4 << 20)
    client.do("consume", queue="q", prefetch=0)
    wait_until(lambda: client.do("status")["given_back"] > 0, 60, "nothing was given back")
    got = client.take(24)
    first_time = [number_of(one) for one in got if not one["redelivered"]]
    assert first_time and first_time == sorted(first_time) and {number_of(one) for one in got} == set(range(24))
    client.do("perform", settle=[one["ref"] for one in got], how="ack")
    client.close()
    assert ready(rabbitmq, vhost, "q") == 0


# --- trouble ---


COUNT = 3000
LAST = 100  # of them are there only after the trouble: it is not over before


def loaded(rabbitmq, vhost, url, make_client, count=COUNT, **options):
    """A client in the middle of much work: take, answer with a confirm, acknowledge."""
    with rabbitmq.channel(vhost) as channel:
        for name in ("in", "out"):
            kombu.Queue(name)(channel).declare()
    filler = make_client(rabbitmq.url(vhost))
    filler.do("perform", exchange="", key="in", count=count - LAST)
    filler.close()
    client = make_client(url, **options)
    client.do("consume", queue="in", prefetch=50)
    client.ask("work", count=count, key="out", seconds=patience(120))
    wait_until(lambda: (ready(rabbitmq, vhost, "out") or 0) > 50, 60, "no work was done")
    return client


def check_all_done(client, rabbitmq, vhost, count=COUNT):
    """Every message was answered at least once and settled; what was done twice is little."""
    with rabbitmq.channel(vhost) as channel:
        producer = kombu.Producer(channel)
        for n in range(count - LAST, count):
            producer.publish(str(n), routing_key="in", content_type="text/plain", content_encoding="utf-8")
    done, taken = client.answer()
    assert done == count
    lost = [event for event in client.do("events") if event[0] == "lost"]
    assert lost, "the trouble did not come in the middle of the work"
    client.close()
    assert ready(rabbitmq, vhost, "in") == 0
    with rabbitmq.channel(vhost) as channel:
        queue, bodies = kombu.Queue("out")(channel), []
        while (message := queue.get(no_ack=True)) is not None:
            bodies.append(int(message.body))
    assert set(bodies) == set(range(count)), f"{count - len(set(bodies))} are lost"
    assert len(bodies) <= taken + 50 * max(1, len(lost)), f"{len(bodies)} answers to {taken} deliveries"


def test_connections_closed(rabbitmq, vhost, make_client):
    client = loaded(rabbitmq, vhost, rabbitmq.url(vhost), make_client)
    rabbitmq.close_connections()
    check_all_done(client, rabbitmq, vhost)


@pytest.mark.parametrize("kind", ["cut", "silent"])
def test_network(rabbitmq, vhost, make_client, ended, kind):
    """Connections that are cut, and a network that swallows everything: found by heartbeats."""
    forwarder = Forwarder(("127.0.0.1", rabbitmq.port)).open()
    ended.append(forwarder)
    url = rabbitmq.url(vhost).replace(f":{rabbitmq.port}/", f":{forwarder.port}/")
    client = loaded(rabbitmq, vhost, url, make_client, heartbeat=1)
    if kind == "cut":
        forwarder.cut(b"AMQP")
    else:
        forwarder.silence(b"AMQP")
    check_all_done(client, rabbitmq, vhost)


def test_interrupted(rabbitmq, vhost, make_client):
    client = make_client(rabbitmq.url(vhost))
    client.do("declare", queue="q")
    client.do("perform", exchange="", key="q", count=2)
    client.do("consume", queue="q", prefetch=10)
    held = client.take(2)
    client.do("events")
    client.do("interrupt")
    client.wait_event("up")
    # of the earlier connection: told, and nothing of the new one is settled by its numbers
    assert refused(client, "perform", settle=[one["ref"] for one in held], how="ack").code == "conflict"
    again = client.take(2)
    assert all(one["redelivered"] for one in again) and client.do("status")["stale"] == 2
    client.do("perform", settle=[one["ref"] for one in again], how="ack")
    client.close()
    assert ready(rabbitmq, vhost, "q") == 0


def test_server_goes_and_comes(rabbitmq, vhost, make_client):
    """stop_app in the middle of work, start_app: what is durable is done, once or twice."""
    client = loaded(rabbitmq, vhost, rabbitmq.url(vhost), make_client)
    rabbitmq.stop_app()
    try:
        found = refused_without_server(rabbitmq, make_client)
        assert found.code == "timed out" and "127.0.0.1" in found.message
    finally:
        rabbitmq.start_app()
    check_all_done(client, rabbitmq, vhost)


@pytest.mark.long
def test_node_is_killed(make_rabbitmq, make_client):
    rabbitmq = make_rabbitmq().create()
    client = loaded(rabbitmq, "/", rabbitmq.url(), make_client)
    rabbitmq.end(9)
    rabbitmq.start()
    check_all_done(client, rabbitmq, "/")


def refused_without_server(rabbitmq, make_client):
    """A call waits until its deadline and says why nothing came; a message that is not to be kept fails at once."""
    client = make_client(rabbitmq.url())
    assert refused(client, "perform", exchange="", key="q", count=1).code == "unavailable"
    found = refused(client, "declare", queue="q", seconds=0.5)
    client.kill()
    return found


def test_memory_alarm(rabbitmq, vhost, make_client):
    """Messages wait, acknowledgements and calls go on; when it is over, everything is done once."""
    client = make_client(rabbitmq.url(vhost))
    client.do("declare", queue="in")
    client.do("declare", queue="out")
    client.do("perform", exchange="", key="in", count=10)
    client.do("consume", queue="in", prefetch=10)
    held = client.take(10)
    rabbitmq.memory_alarm(True)
    try:
        client.do("submit", exchange="", key="out", count=1, batches=100, keep=True)
        client.wait_event("blocked")
        client.do("perform", settle=[one["ref"] for one in held], how="ack")
        wait_until(lambda: rabbitmq.queues(vhost)["in"]["messages"] == 0, 30, "acks do not go on")
        assert client.do("declare", queue="out", passive=True)[0] == "out"
        assert client.do("status")["blocked"] and client.do("finished", seconds=0.1, partly=True)[0] < 100
    finally:
        rabbitmq.memory_alarm(False)
    client.do("finished", seconds=60)
    wait_until(lambda: not client.do("status")["blocked"], 30, "still blocked")
    client.close()
    assert ready(rabbitmq, vhost, "out") == 100


@pytest.mark.long
def test_consumer_timeout(make_rabbitmq, make_client):
    """The server closes the channel of who holds a delivery too long: the rest of the client notices nothing."""
    rabbitmq = make_rabbitmq(config=["consumer_timeout = 500"]).create()
    rabbitmq.ctl("eval", "application:set_env(rabbit, channel_tick_interval, 500).")
    client = make_client(rabbitmq.url())
    client.do("declare", queue="q")
    client.do("perform", exchange="", key="q", count=1)
    client.do("consume", queue="q", prefetch=10)
    held = client.take(1)
    client.do("events")
    events = client.wait_event("lost")
    (why,) = [event[1] for event in events if event[0] == "lost"]
    assert "delivery acknowledgement on channel" in why and "timed out" in why
    again = client.take(1)
    assert again[0]["redelivered"] and again[0]["ref"][0] > held[0]["ref"][0]
    assert client.do("status")["reconnects"] == 0
    client.do("perform", settle=[again[0]["ref"]], how="ack")


# --- how it is reached ---


def trouble(client, words):
    wait_until(lambda: words in client.do("status")["trouble"], 30, lambda: f"no \"{words}\" in \"{client.do('status')['trouble']}\"")
    return client.do("status")["trouble"]


def test_not_let_in(rabbitmq, vhost, make_client):
    assert "hunter2" not in trouble(make_client(rabbitmq.url(vhost, password="hunter2")), "ACCESS_REFUSED")
    client = make_client(rabbitmq.url("nowhere"))
    trouble(client, "nowhere")
    assert "nowhere" in refused(client, "declare", queue="q", seconds=0).message
    trouble(make_client(rabbitmq.url(vhost).replace("amqp:", "amqps:")), "TLS")


def test_failover(rabbitmq, vhost, make_client):
    client = make_client(f"amqp://127.0.0.1:{free_port()}//;{rabbitmq.url(vhost)}")
    assert client.do("declare", queue="q") == ["q", 0, 0]


def test_tls(make_rabbitmq, make_client, directory):
    certificates = Certificates(directory)
    rabbitmq = make_rabbitmq(certificates=certificates, mutual=True).create()
    certificate, key = certificates.client
    verified = f"?ssl_ca_certs={certificates.ca}&ssl_certfile={certificate}&ssl_keyfile={key}"
    client = make_client(rabbitmq.tls_url() + verified)
    client.do("declare", queue="q")
    client.do("perform", exchange="", key="q", count=200, size=70000)
    client.do("consume", queue="q", prefetch=0)
    assert [one["length"] for one in client.take(200)] == [70000] * 200
    client.close()
    unknown = f"?ssl_certfile={certificate}&ssl_keyfile={key}"
    trouble(make_client(rabbitmq.tls_url() + unknown), "certificate is refused")
    trouble(make_client(rabbitmq.tls_url() + verified + "&ssl_server_hostname=elsewhere.example"), "certificate is refused")
    trouble(make_client(rabbitmq.tls_url() + f"?ssl_ca_certs={certificates.ca}"), "TLS")  # no certificate of ours
    client = make_client(rabbitmq.tls_url() + unknown + "&ssl_cert_reqs=none")
    assert client.do("declare", queue="q")[0] == "q"
