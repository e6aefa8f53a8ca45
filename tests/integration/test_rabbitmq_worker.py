"""celeriac-worker on RabbitMQ: what real Celery clients get from it, and what a crash or an outage leaves."""

import base64
import datetime
import hashlib
import json
import urllib.parse
import uuid

import pytest
from celery import chain, chord, group, signature

from clients import Client, PYTHONS, RabbitBroker, envelope
from faulty import FaultyDoor, hold
from sandboxes import container_of, docker
from services import wait_until


@pytest.fixture
def broker(rabbit_broker):
    return rabbit_broker


def sig(app, name, *args, immutable=False, **options):
    return signature(f"celeriac.{name}", args=args, app=app, options=options, immutable=immutable)


@pytest.mark.parametrize("which", PYTHONS)
def test_clients_get_results(broker, make_worker, which):
    worker = make_worker()
    [got] = Client(which, broker).call([("celeriac.echo", ["hello"], {}, {})], backend=broker.results)
    assert got["value"] == "hello"
    broker.wait_settled()
    assert "Connected to amqp://guest:**@127.0.0.1" in worker.log()


def test_canvases_retries_and_countdowns(worker, app, broker):
    def s(name, *args, **options):
        return sig(app, name, *args, **options)

    got = {
        "chain": chain(s("add", 1, 2), s("add", 3), s("add", 4)).apply_async(),
        "group": group(s("add", n, n) for n in range(3)).apply_async(),
        "chord": chord([s("add", n, n) for n in range(5)], s("xsum")).apply_async(),
        "retry": app.send_task("celeriac.retry", (2, 0.2)),
        "countdown": app.send_task("celeriac.echo", ("later",), countdown=1),
    }
    expected = {"chain": 10, "group": [0, 2, 4], "chord": 20, "retry": 2, "countdown": "later"}
    assert {name: result.get(timeout=60) for name, result in got.items()} == expected
    broker.wait_settled()


def test_priorities_go_from_the_highest_down(broker, make_worker, app):
    worker = make_worker("-c", "1", "--prefetch-multiplier", "1", CELERY_TASK_QUEUE_MAX_PRIORITY="9", start=False)
    with broker.rabbitmq.channel(broker.vhost) as channel:
        channel.queue_declare("celery", durable=True, auto_delete=False, arguments={"x-max-priority": 9})
    app.conf.task_queue_max_priority = 9
    results = [app.send_task("celeriac.echo", (n,), priority=n, task_id=f"priority-{n}") for n in (1, 9, 5)]
    worker.start()
    assert [result.get(timeout=60) for result in results] == [1, 9, 5]
    order = [line.split("priority-")[1][0] for line in worker.log().splitlines() if "received" in line and "priority-" in line]
    assert order == ["9", "5", "1"]


def test_late_acks_survive_a_kill(broker, make_worker, app):
    worker = make_worker("-c", "2", CELERY_TASK_ACKS_LATE="true")
    results = [app.send_task("celeriac.sleep", (0.3,)) for _ in range(10)]
    wait_until(lambda: results[0].ready(), 60, "the first did not end")
    worker.restart()
    assert [result.get(timeout=60) for result in results] == [None] * 10
    broker.wait_settled()
    assert broker.result_count() == 10


def test_queues_of_their_own_exchange_and_of_other_arguments(broker, make_worker, app):
    with broker.rabbitmq.channel(broker.vhost) as channel:
        channel.queue_declare("said", durable=True, auto_delete=False, arguments={"x-max-priority": 5})
    queues = [
        {"name": "topical", "exchange": "topics", "exchange_type": "topic", "routing_key": "a.#"},
        {"name": "quorate", "exchange": "quorate", "routing_key": "quorate", "queue_arguments": {"x-queue-type": "quorum"}},
        {"name": "said", "exchange": "said", "routing_key": "said", "max_priority": 3},
    ]
    make_worker(CELERY_TASK_QUEUES=json.dumps(queues))
    wait_until(lambda: {"topical", "quorate", "said"} <= set(broker.queues()), 60, "no queues")
    with app.producer_pool.acquire() as producer:
        results = [
            app.send_task("celeriac.echo", (1,), exchange="topics", routing_key="a.b", producer=producer),
            app.send_task("celeriac.echo", (2,), exchange="quorate", routing_key="quorate", producer=producer),
            app.send_task("celeriac.echo", (3,), exchange="said", routing_key="said", producer=producer),
        ]
    assert [result.get(timeout=60) for result in results] == [1, 2, 3]
    rows = broker.queues()
    assert rows["quorate"]["type"].endswith("quorum") and rows["said"]["arguments"] == {"x-max-priority": 5}


def test_what_no_queue_is_bound_for_is_told(worker, app, broker):
    """It is no failure, and is counted; one that is bound gets there."""
    with broker.rabbitmq.channel(broker.vhost) as channel:
        channel.exchange_declare("partly", "topic", durable=True, auto_delete=False)
        channel.queue_declare("celery", durable=True, auto_delete=False)
        channel.queue_bind("celery", "partly", "bound.#")
    links = [sig(app, "echo", key, immutable=True, task_id=key, exchange="partly", routing_key=key) for key in ("nobody", "bound.to")]
    assert app.send_task("celeriac.add", (1, 2), link=links).get(timeout=60) == 3
    assert broker.meta("bound.to")["result"] == "bound.to"
    broker.wait_settled()
    worker.wait_log("exchange partly with routing key nobody is dropped")
    wait_until(lambda: worker.metric("messages_undeliverable_total") == 1, 30, "it was not counted")


def test_much_later_waits_in_the_server(broker, make_worker, app):
    make_worker()
    eta = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=3)
    app.send_task("celeriac.echo", ("much later",), eta=eta)

    def waits():
        rows = broker.queues()
        return rows.get("celery", {}).get("messages") == 0 and sum(
            row["messages"] for name, row in rows.items() if name.startswith("celery_delayed_")) == 1

    wait_until(waits, 60, lambda: f"{broker.queues()}")


def test_much_later_in_a_queue_with_a_long_name(broker, make_worker, app):
    """The server could not bring it back there: it is held here."""
    queue = "q" * 220
    worker = make_worker("-Q", queue)
    app.send_task("celeriac.echo", ("much later",), countdown=3 * 3600, queue=queue, task_id="held")
    worker.wait_log(r"celeriac.echo\[held\] is held here until it is due: the routing key")
    wait_until(lambda: worker.metric("tasks_scheduled") == 1, 30, "it is not held")


def works_again(worker, app, trouble):
    before = worker.log().count("Connected to amqp://")
    trouble()
    wait_until(lambda: worker.log().count("Connected to amqp://") > before, 60, "it did not connect again")
    assert app.send_task("celeriac.echo", ("again",)).get(timeout=60) == "again"


def test_lost_connections(broker, make_worker, app):
    worker = make_worker("-c", "2", CELERY_TASK_ACKS_LATE="true")
    assert app.send_task("celeriac.echo", (1,)).get(timeout=60) == 1
    works_again(worker, app, broker.rabbitmq.close_connections)
    broker.wait_settled()


def cut_connections(broker):
    """As close_connections, in a moment: a new Erlang node may take seconds. Once that which consumes is listed, which takes seconds too."""
    rows = broker.rabbitmq.api("GET", f"vhosts/{broker.vhost}/connections")
    if not any(row.get("client_properties", {}).get("connection_name") == "celeriac-broker" for row in rows):
        return False
    for row in rows:
        broker.rabbitmq.api("DELETE", f"connections/{urllib.parse.quote(row['name'], safe='')}")
    return True


def test_what_outlives_its_connection_runs_once(broker, make_worker, app, headers, directory):
    """Each is delivered again while it runs: the second waits for the first, and is acknowledged."""
    worker, gate = make_worker("-c", "4", "-I", headers.compile("probe"), CELERY_TASK_ACKS_LATE="true"), directory / "gate"
    results = {name: app.send_task("probe.wait_for", (str(gate),), task_id=name) for name in ("long-lived", "as-long-lived")}
    for name in results:
        worker.wait_log(rf"probe.wait_for\[{name}\] received")
    works_again(worker, app, lambda: wait_until(lambda: cut_connections(broker), 30, "there is no connection"))
    for name in results:
        worker.wait_log(rf"\[{name}\] received", count=2)
    gate.touch()
    for name, result in results.items():
        worker.wait_log(rf"\[{name}\] ended here after its connection was lost: not run again")
        assert len(worker.log_lines(rf"\[{name}\] succeeded")) == 1 and result.get(timeout=30) == 1
    broker.wait_settled()


def test_what_had_not_begun_is_left_to_who_has_it(broker, make_worker, app, headers, directory):
    """Its connection is lost while it waits for a thread: it runs once, of the message that is delivered again."""
    worker, gate = make_worker("-c", "1", "-I", headers.compile("probe"), CELERY_TASK_ANNOTATIONS=json.dumps(
        {"probe.wait_for": {"acks_late": True}})), directory / "gate"
    app.send_task("probe.wait_for", (str(gate),), task_id="first")
    second = app.send_task("celeriac.echo", (2,), task_id="second")
    early = app.send_task("probe.request", task_id="early")
    worker.wait_log(r"\[early\] received")
    before = worker.log().count("Connected to amqp://")
    wait_until(lambda: cut_connections(broker), 30, "there is no connection")
    wait_until(lambda: worker.log().count("Connected to amqp://") > before, 60, "it did not connect again")
    gate.touch()
    for name in ("second", "early"):
        worker.wait_log(rf"\[{name}\] goes back to its queue")
    assert second.get(timeout=60) == 2 and early.get(timeout=60)["id"] == "early"
    broker.wait_settled()
    assert all(len(worker.log_lines(rf"\[{name}\] succeeded")) == 1 for name in ("second", "early"))


def delivered_before(broker, task_ids, queue="celery"):
    """Messages that were taken and given back; their marks."""
    messages = [envelope("celeriac.echo", (task_id,), task_id=task_id)[1] for task_id in task_ids]
    for message in messages:
        broker.push(json.dumps(message), queue)
    with broker.rabbitmq.channel(broker.vhost) as channel:
        for got in [wait_until(lambda: channel.basic_get(queue), 30, "it is not there") for _ in task_ids]:
            channel.basic_reject(got.delivery_tag, requeue=True)
    return [hashlib.sha1(message["headers"]["id"].encode() + base64.b64decode(message["body"])).hexdigest() for message in messages]


def test_what_nobody_lives_to_read_is_kept(broker, make_worker, app):
    """It is counted while it is taken, and no more once it was read."""
    with broker.rabbitmq.channel(broker.vhost) as channel:
        channel.queue_declare("celery", durable=True, auto_delete=False)
    for mark, taken in zip(delivered_before(broker, ("deadly", "suspect", "innocent")), (2, 1, 0)):
        broker.redis.set(f"celeriac:taken:{mark}", taken)
    make_worker(CELERIAC_REDELIVERY_LIMIT="2")
    assert [broker.meta(task_id)["result"] for task_id in ("suspect", "innocent")] == ["suspect", "innocent"]
    wait_until(lambda: broker.redis.llen("celeriac:dead") == 1, 30, "it is not kept")
    ((line, message),) = broker.dead()
    assert "no worker lived to read it" in line["reason"] and json.loads(message)["headers"]["id"] == "deadly"
    wait_until(lambda: not broker.redis.keys("celeriac:taken:*"), 30, "it is still counted")


@pytest.mark.long
def test_the_server_goes_and_comes(make_rabbitmq, redis_server, instance, make_worker):
    server = make_rabbitmq().create()
    broker = RabbitBroker(server, redis_server.new_url(), instance)
    worker = make_worker("-c", "2", broker=broker, CELERY_TASK_ACKS_LATE="true")
    app = broker.app()
    assert app.send_task("celeriac.echo", (1,)).get(timeout=60) == 1
    works_again(worker, app, lambda: (server.stop_app(), server.start_app()))

    # While it takes no messages, what follows waits, and nothing is lost.
    worker.kill()
    chains = [chain(sig(app, "echo", "first"), sig(app, "echo", n, immutable=True)).apply_async() for n in range(3)]
    server.memory_alarm(True)
    worker.start()
    wait_until(lambda: "the broker takes no messages" in worker.log(), 60, "there was no alarm")
    server.memory_alarm(False)
    assert [result.get(timeout=60) for result in chains] == [0, 1, 2]
    broker.wait_settled()
    app.close()


def test_unreadable_messages_are_kept(broker, worker):
    with broker.rabbitmq.channel(broker.vhost) as channel:
        channel.basic_publish(channel.prepare_message(b"\xff\x00no task", 0, "application/json", "utf-8"), exchange="", routing_key="celery")
    wait_until(lambda: len(broker.dead()) == 1, 60, "it was not kept")
    assert broker.dead()[0][0]["queue"] == "celery"
    broker.wait_settled()


NOTE = "open('log', 'a').write('{n} ')\nprint(open('log').read(), end='')"  # says which calls ran before in this sandbox


def said(results):
    return [result.get(timeout=120)["stdout"] for result in results]


def in_order(first, last):
    return ["".join(f"{n} " for n in range(until + 1)) for until in range(first, last)]


@pytest.mark.docker
def test_calls_of_conversations_reach_the_node_that_has_them(broker, make_full_worker, calls, instance):
    """Whoever takes them; and what a dead node leaves comes before what is newer."""
    workers = {name: make_full_worker("-c", "2", "-n", f"{name}@here", "--prefetch-multiplier", "1", node=name, start=False).spawn()
               for name in ("first", "second")}
    for worker in workers.values():
        worker.wait_ready()
    # three, as RabbitMQ hands messages to its two consumers by turns: each conversation's come to both
    conversations = [f"c-{uuid.uuid4()}" for _ in range(3)]
    sent = {conversation: [] for conversation in conversations}
    for n in range(5):
        for conversation in conversations:
            sent[conversation].append(calls.send(NOTE.format(n=n), conversation))
        assert [said(results[-1:]) for results in sent.values()] == [in_order(n, n + 1)] * 3
    for results in sent.values():
        assert len({calls.row(result.id, "worker")[0] for result in results}) == 1, "more than one node had it"
    assert sum(worker.metric("calls_routed_total") for worker in workers.values()) > 0, "all came to the right one at once"
    broker.wait_settled()

    # One call runs, others of its conversation wait behind it; what they came from is in the node's own queue.
    busy = conversations[0]
    node, = calls.row(sent[busy][0].id, "worker")
    other = "second" if node == "first" else "first"
    theirs = f"celeriac.node.{instance}:{node}"
    gate = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.05)\n"
    waiting = []
    for n in range(5, 9):
        waiting.append(calls.send((gate if n == 5 else "") + NOTE.format(n=n), busy, timeout=200))
        wait_until(lambda: broker.rabbitmq.queues(broker.vhost)[theirs]["messages"] == len(waiting), 30, lambda: f"{broker.queues()}")
    workers[node].kill()
    waiting.append(calls.send(NOTE.format(n=9), busy))
    docker("exec", container_of(instance, busy), "touch", "/sandbox/go")
    broker.redis.delete(f"celeriac:{instance}:node:{node}")  # its lease is over
    assert said(waiting) == in_order(5, 10)
    assert calls.row(waiting[-1].id, "worker") == (other,)
    workers[other].wait_log(f"waited for node {node} are taken over")
    wait_until(lambda: theirs not in broker.queues(), 30, "its queue is still there")
    broker.wait_settled()


@pytest.mark.docker
def test_what_another_sends_by_now_stays_its_own(broker, make_full_worker, calls, instance, ended):
    """A call is sent to the node that has its conversation. Our lease was over while it was on its way, and another sends there since."""
    door = FaultyDoor(("127.0.0.1", broker.rabbitmq.port)).open()
    ended.append(door)
    base, conversation = f"celeriac:{instance}:", f"c-{uuid.uuid4()}"
    worker = make_full_worker(CELERY_BROKER_URL=broker.url.replace(f":{broker.rabbitmq.port}/", f":{door.port}/"))
    me = wait_until(lambda: broker.redis.srandmember(f"{base}routers"), 30, "it takes no calls")
    broker.redis.set(f"{base}node:there", "1 ")
    broker.redis.sadd(f"{base}routers", "there@1")
    broker.redis.sadd(f"{base}nodes", "there")
    broker.redis.set(f"{base}route:{conversation}", "there@1")
    door.begin(hold)
    calls.send("print(1)", conversation)
    wait_until(lambda: broker.redis.hget(f"{base}sending", conversation) == me, 30, worker.log)
    assert broker.redis.sismember(f"{base}moving:there", me)
    broker.redis.hset(f"{base}sending", conversation, "another@7")
    door.end()
    wait_until(lambda: not broker.redis.sismember(f"{base}moving:there", me), 30, worker.log)
    assert broker.redis.hget(f"{base}sending", conversation) == b"another@7"
    assert broker.rabbitmq.queues(broker.vhost)[f"celeriac.node.{instance}:there"]["messages"] == 1
