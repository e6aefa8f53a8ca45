"""celeriac-worker --dead: what could not be run is looked at, put back and thrown away."""

import base64
import json

import pytest

from clients import envelope
from services import wait_until
from worker import run_program


@pytest.fixture
def dead(broker, instance):
    """dead("list") …; the lines it printed, as objects."""
    def run(*words, rc=0, **settings):
        done = run_program("--dead", *words, CELERY_BROKER_URL=broker.url, CELERIAC_INSTANCE=instance, **settings)
        assert done.returncode == rc, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()] if rc == 0 else done.stderr

    return run


def buried(broker, worker, *messages):
    for message in messages:
        broker.push(message if isinstance(message, bytes) else json.dumps(message))
        broker.wait_settled()
    assert broker.redis.llen("celeriac:dead") == len(messages)


def test_listed_and_shown(worker, broker, dead):
    assert dead("list") == []
    yaml_id, yaml = envelope(body=b"[[1], {}, {}]", headers={"tenant": "\x1b[31m"}, **{"content-type": "application/x-yaml"})
    large = json.dumps(envelope(task="no.body", body="[" + "1," * (60 << 10) + "1]")[1]).encode()
    buried(broker, worker, b"\xff\x00 not JSON\x1b[2J", yaml, large)
    first, second, third = dead("list")
    assert first["queue"] == second["queue"] == "celery" and first["bytes"] > 11
    assert "JSON" in first["reason"] and "yaml" in second["reason"]
    assert (second["task"], second["id"]) == ("celeriac.echo", yaml_id) and "task" not in first
    assert third["bytes"] > 1 << 16 and "task" not in third, "of what is large only the beginning is read"
    assert first["at"] <= second["at"] <= third["at"]
    [shown] = dead("show", second["dead"])
    assert {name: shown[name] for name in second} == second
    assert shown["body"] == "[[1], {}, {}]" and shown["content-type"] == "application/x-yaml"
    assert shown["headers"]["id"] == yaml_id and shown["properties"]["priority"] == 0
    assert dead("show", first["dead"])[0]["message_base64"] == "/wAgbm90IEpTT04bWzJK"
    assert len(dead("show", third["dead"])[0]["body"]) == (60 << 11) + 3
    raw = run_program("--dead", "list", CELERY_BROKER_URL=broker.url).stdout
    assert raw.isascii() and "\x1b" not in raw


def test_bytes_in_a_queue(rabbit_broker, instance):
    """Of RabbitMQ: a letter that never was a message is its bytes, whatever they are."""
    bodies = [b"\0" * 4096, b"\0", b"a\0" * 3000]
    with rabbit_broker.rabbitmq.channel(rabbit_broker.vhost) as channel:
        channel.queue_declare("celeriac.dead", durable=True, auto_delete=False)
        for body in bodies:
            channel.basic_publish(channel.prepare_message(body), "", "celeriac.dead")
    wait_until(lambda: rabbit_broker.rabbitmq.ready("celeriac.dead", rabbit_broker.vhost) == len(bodies), 30, "they are not there")
    settings = {"CELERY_BROKER_URL": rabbit_broker.url, "CELERIAC_INSTANCE": instance}
    listed = run_program("--dead", "list", **settings)
    assert listed.returncode == 0, listed.stderr
    letters = [json.loads(line) for line in listed.stdout.splitlines()]
    assert sorted(letter["bytes"] for letter in letters) == [1, 4096, 6000]
    for letter in letters:
        [shown] = [json.loads(line) for line in run_program("--dead", "show", letter["dead"], **settings).stdout.splitlines()]
        body = base64.b64decode(shown["message_base64"]) if "message_base64" in shown else shown["message"].encode()
        assert body in bodies and len(body) == letter["bytes"]


def test_put_back(make_worker, broker, dead):
    """What a worker with other settings would run is run, in its order, and the rest stays."""
    worker = make_worker()
    sent = [envelope(args=(n,), properties={"priority": n}, **{"content-type": "application/x-yaml"}) for n in (0, 9)]
    buried(broker, worker, *[message for _, message in sent], b"broken")
    worker.term()
    first, second, third = dead("list")
    assert dead("requeue", first["dead"]) == [{**first, "requeued": "celery"}]
    assert dead("requeue", second["dead"])[0]["requeued"] == "celery"
    assert (broker.redis.llen("celery"), broker.redis.llen("celery\x06\x169")) == (1, 1)
    assert json.loads(broker.redis.lindex("celery", 0)) == sent[0][1], "byte for byte"
    assert dead("list") == [third]
    assert "there is no dead letter" in dead("requeue", first["dead"], rc=1)
    make_worker(CELERY_ACCEPT_CONTENT="json,yaml")
    assert [broker.meta(task_id)["result"] for task_id, _ in sent] == [0, 9]


def test_all_of_them(worker, broker, dead):
    """Those that cannot go back are named, the others do; all can be thrown away."""
    buried(broker, worker, b"one", b"two")
    broker.redis.lpush("celeriac:dead", "somebody else's", json.dumps({"reason": "r", "queue": "wrong"}) + "\nthree")
    broker.redis.set("wrong", "no list")
    worker.term()
    said = dead("requeue", "all", rc=1)
    assert "names no queue" in said and "is no list" in said and "2 of 4 are still there" in said, said
    assert broker.redis.lrange("celery", 0, -1) == [b"two", b"one"]
    assert len(dead("list")) == 2
    assert [each["dropped"] for each in dead("drop", "all")] == [True, True]
    assert not broker.redis.exists("celeriac:dead")
    for words, expected in ((("bury",), "list, show, requeue, drop"), (("show",), "needs an id"), (("drop",), "or all"), (("list", "x"), "no id")):
        assert expected in dead(*words, rc=1)


def test_what_many_of_them_cost(broker, dead):
    """Each is read as a whole once, and once more where the one before it had to stay."""
    letters = [json.dumps({"reason": "r", "queue": "wrong" if n % 10 == 0 else "celery"}) + f"\n{n:03}" + "x" * 20000 for n in range(300)]
    broker.redis.set("wrong", "no list")
    broker.redis.lpush("celeriac:dead", *letters)
    sent = lambda: broker.redis.info("stats")["total_net_output_bytes"]
    before = sent()
    assert "30 of 300 are still there" in dead("requeue", "all", rc=1)
    assert sent() - before < 1.5 * sum(map(len, letters))
    assert broker.redis.llen("celery") == 270 and broker.redis.llen("celeriac:dead") == 30


def test_counted(make_worker, broker):
    broker.redis.lpush("celeriac:dead", *[json.dumps({"reason": "r", "queue": "celery"}) + f"\n{n}" for n in range(3)])
    worker = make_worker(CELERIAC_DEAD_MAX="2")
    wait_until(lambda: worker.metric("messages_forgotten_total") == 1, 30, "the oldest was not counted")
    assert worker.metric("dead_letters") == 2
