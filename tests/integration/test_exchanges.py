"""Named exchanges: what Celery and kombu bind and send to them, and what we do with the same settings."""

import json

import pytest
from kombu import Exchange, Queue

from clients import OURS, Broker, told
from services import patience, wait_until
from worker import run_program

SEP = "\x06\x16"
DEFINITIONS = [
    {"name": "celery", "exchange": "celery", "routing_key": "celery"},
    {"name": "video", "exchange": "media", "exchange_type": "topic", "routing_key": "video.#"},
    {"name": "hd", "exchange": "media", "exchange_type": "topic", "routing_key": "*.hd"},
    {"name": "plain", "exchange": "straight", "exchange_type": "direct", "routing_key": "p"},
]
QUEUES = [Queue(d["name"], Exchange(d["exchange"], d.get("exchange_type", "direct")), routing_key=d["routing_key"])
          for d in DEFINITIONS]


@pytest.fixture
def queues_app(broker):
    """A Celery client that has the queues in its configuration."""
    app = broker.app(task_queues=QUEUES)
    yield app
    app.close()


def bindings(broker):
    return {key.decode(): broker.redis.smembers(key) for key in broker.redis.scan_iter("_kombu.binding*")
            if b"pidbox" not in key and b"celeryev" not in key}


def lengths(broker, *names):
    return {name: broker.redis.llen(name) for name in names}


def declare(app, *queues):
    with app.connection() as connection:
        for queue in queues:
            queue(connection.default_channel).declare()


def link_to(app, **options):
    return app.signature("celeriac.echo", args=("by exchange",), immutable=True).set(**options)


def test_queues_are_bound_as_celery_binds_them(broker, queues_app, redis_server, make_worker):
    other = Broker(redis_server.new_url(), "bindings")
    reference = other.app(task_queues=QUEUES)
    declare(reference, *reference.amqp.queues.values())
    for control in ("true", "false"):
        broker.redis.flushdb()
        worker = make_worker("-n", OURS, CELERY_TASK_QUEUES=json.dumps(DEFINITIONS), CELERY_WORKER_ENABLE_REMOTE_CONTROL=control)
        wait_until(lambda: bindings(broker) == bindings(other), 30,
                   lambda: f"{bindings(broker)}\nis not\n{bindings(other)}: bindings differ")
        if control == "true":
            ours = told(queues_app, OURS, "active_queues")
            assert {q["name"]: (q["exchange"]["name"], q["exchange"]["type"], q["routing_key"]) for q in ours} == {
                q.name: (q.exchange.name, q.exchange.type, q.routing_key) for q in QUEUES}
        worker.kill()


def test_what_a_celery_client_sends_to_exchanges_is_taken(queues_app, make_worker):
    make_worker(CELERY_TASK_QUEUES=json.dumps(DEFINITIONS))
    for options in ({"queue": "video"}, {"queue": "hd"}, {"queue": "plain"}, {"queue": "celery"}, {},
                    {"exchange": "media", "exchange_type": "topic", "routing_key": "video.x.y"},
                    {"exchange": "straight", "routing_key": "p"}):
        assert queues_app.send_task("celeriac.echo", (str(options),), **options).get(timeout=60) == str(options)


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_follow_up_goes_where_kombu_sends_it(broker, queues_app, make_worker, known):
    """Whether the exchange is in our settings or only in Redis; the queues are those of the moment."""
    make_worker("-Q", "celery", CELERY_TASK_QUEUES=json.dumps(DEFINITIONS if known else DEFINITIONS[:1]))
    declare(queues_app, *QUEUES)
    names = [queue.name for queue in QUEUES[1:]]
    for exchange, key in (("media", "video.hd"), ("media", "video"), ("media", "video.a.b"), ("media", "a.hd"), ("media", "a.b"),
                          ("straight", "p"), ("straight", "q"), ("media", "video."), ("media", ".hd")):
        with queues_app.connection() as connection:
            producer = connection.Producer()
            for queue in QUEUES:
                queue(connection.default_channel).declare()  # so that kombu knows the types
            producer.publish({}, exchange=exchange, routing_key=key)
        expected = lengths(broker, *names)
        broker.redis.delete(*names)
        first = queues_app.send_task("celeriac.echo", (1,), queue="celery", link=link_to(queues_app, exchange=exchange, routing_key=key))
        assert first.get(timeout=60) == 1
        broker.wait_settled()
        assert lengths(broker, *names) == expected, (exchange, key)
        for name in names:
            for raw in broker.redis.lrange(name, 0, -1):
                info = json.loads(raw)["properties"]["delivery_info"]
                assert (info["exchange"], info["routing_key"]) == (exchange, key)
        broker.redis.delete(*names)


def test_bound_and_unbound_while_we_run(broker, queues_app, make_worker):
    worker = make_worker("-Q", "celery")
    late = Queue("late", Exchange("later"), routing_key="k")

    def send():
        assert queues_app.send_task("celeriac.echo", (1,), link=link_to(queues_app, exchange="later", routing_key="k")).get(timeout=60) == 1
        broker.wait_settled()
        return broker.redis.llen("late")

    assert send() == 0
    worker.wait_log("No queues bound to exchange 'later' using binding key 'k'; it is dropped")
    wait_until(lambda: worker.metric("messages_undeliverable_total") == 1, 30, "it was not counted")
    declare(queues_app, late)
    assert send() == 1
    broker.redis.delete("_kombu.binding.later")
    assert send() == 1
    wait_until(lambda: worker.metric("messages_undeliverable_total") == 2, 30, "it was not counted")


@pytest.mark.parametrize("instead", [None, "a string"])
def test_all_bindings_are_lost_while_we_run(broker, queues_app, make_worker, instead):
    """Work and remote control go on; what follows by one of the exchanges is told of and counted."""
    worker = make_worker("-n", OURS, CELERY_TASK_QUEUES=json.dumps(DEFINITIONS))
    # each for good and for now
    wait_until(lambda: sum(map(len, bindings(broker).values())) == 2 * len(DEFINITIONS), 30, lambda: f"only {bindings(broker)} are bound")
    broker.wait_listening()
    for key in broker.redis.keys("_kombu.binding*"):
        broker.redis.delete(key)
        if instead and key.endswith(b".media"):  # of its own queues a client would say so
            broker.redis.set(key, instead)
    add = queues_app.signature("celeriac.add", args=(2,)).set(queue="celery", task_id="added")
    link = link_to(queues_app, routing_key="video.new", exchange="media")
    sent = queues_app.send_task("celeriac.echo", (1,), queue="celery", link=[add, link])
    assert sent.get(timeout=60) == 1
    assert queues_app.AsyncResult("added").get(timeout=60) == 3
    worker.wait_log("No queues bound to exchange 'media' using binding key '.*'; it is dropped")
    assert told(queues_app, OURS, "ping") == {"ok": "pong"}
    wait_until(lambda: worker.metric("messages_undeliverable_total") == 1, 30, "it was not counted")


def test_dead_letters(broker, queues_app, make_worker):
    options = {"deadletter_queue": "nobody", "global_keyprefix": "pre.", "priority_steps": [0, 5]}
    worker = make_worker(CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps(options))
    app = broker.app(broker_transport_options=options)
    link = link_to(app, exchange="nowhere", routing_key="k", priority=6)
    assert app.send_task("celeriac.echo", (1,), link=link).get(timeout=60) == 1
    wait_until(lambda: broker.redis.llen("pre.nobody\x06\x165") == 1, 30, "it is not with the dead letters")
    worker.wait_log("it is in pre.nobody")
    chain = app.signature("celeriac.add", args=(1, 2)) | app.signature("celeriac.add", args=(4,)).set(priority=7)
    assert chain.apply_async().get(timeout=60) == 7  # a follow-up with a priority, by the same steps


def test_fanout(broker, queues_app, make_worker):
    """A follow-up to a fanout exchange reaches every listener (consuming from one: test_broadcast.py)."""
    shout = [{"name": "celery"}, {"name": "shout", "exchange": "shout", "exchange_type": "fanout"}]
    make_worker("-Q", "celery", CELERY_TASK_QUEUES=json.dumps(shout))
    got = []
    connections = [queues_app.connection() for _ in range(2)]

    def listeners():
        database = str(broker.redis.connection_pool.connection_kwargs["db"])
        return sum(c["psub"] == "1" and c["db"] == database and c["name"] == "" for c in broker.redis.client_list())

    def listen(seconds):
        for connection in connections:
            try:
                connection.drain_events(timeout=seconds)
            except TimeoutError:
                pass

    try:
        for number, connection in enumerate(connections):
            queue = Queue(f"listener-{number}", Exchange("shout", "fanout"), routing_key="celery", auto_delete=True)
            connection.Consumer(queue, accept=["json"], no_ack=True,
                                callbacks=[lambda body, message: got.append(message.headers["task"])]).consume()
        wait_until(lambda: listen(0.1) or listeners() == 2, 30, "nobody listens")
        link = link_to(queues_app, queue="shout")
        assert queues_app.send_task("celeriac.echo", (1,), queue="celery", link=link).get(timeout=60) == 1
        wait_until(lambda: listen(0.1) or len(got) == 2, 30, "they did not all hear it")
    finally:
        for connection in connections:
            connection.release()
    assert got == ["celeriac.echo"] * 2


def test_a_queue_of_one_worker(broker, app, make_worker):
    from celery.utils.nodenames import worker_direct

    for name in ("one", "two"):
        make_worker("-n", f"{name}@test", CELERY_WORKER_DIRECT="true")
    queue = worker_direct("two@test")
    wait_until(lambda: f"two@test{SEP}{SEP}two@test.dq2".encode() in broker.redis.smembers("_kombu.binding.C.dq2"), 30)
    app.conf.result_extended = True
    result = app.send_task("celeriac.echo", ("direct",), exchange=queue.exchange, routing_key=queue.routing_key)
    assert result.get(timeout=60) == "direct"
    for name in ("one@test", "two@test"):
        assert [q["name"] for q in told(app, name, "active_queues")] == ["celery", f"{name}.dq2"]


def test_queues_that_are_not_defined(broker):
    for arguments, settings, words in (
        (("-Q", "video,strange"), {"CELERY_TASK_CREATE_MISSING_QUEUES": "false"}, "queue strange"),
        ((), {"CELERY_TASK_QUEUES": '[{"exchange": "x"}]'}, "no name"),
        ((), {"CELERY_TASK_QUEUES": "video"}, "CELERY_TASK_QUEUES"),
        ((), {"CELERY_TASK_DEFAULT_EXCHANGE_TYPE": "headers"}, "CELERY_TASK_DEFAULT_EXCHANGE_TYPE"),
    ):
        settings = {"CELERY_TASK_QUEUES": json.dumps(DEFINITIONS), **settings}
        done = run_program(*arguments, CELERY_BROKER_URL=broker.url, CELERIAC_METRICS="", **settings)
        assert done.returncode == 1 and words in done.stderr, done.stderr


def test_options_are_those_of_kombu(broker, make_worker):
    """Celery client and worker with the same options, of which each moves something; unknown ones are said."""
    options = {"global_keyprefix": "app1:", "sep": "|", "priority_steps": [0, 2, 4], "fanout_prefix": "fan.", "unacked_key": "held",
               "unacked_index_key": "held_index", "queue_order_strategy": "priority", "visibility_timeout": 600,
               "client_name": "ours", "polling_interval": 1, "max_connections": 7, "no_such_option": 1}
    backend = {"global_keyprefix": "results", "result_chord_ordered": False}
    worker = make_worker("-n", OURS, "-Q", "celery,b", CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps(options),
                         CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS=json.dumps(backend))
    known = {name: value for name, value in options.items() if name != "no_such_option"}
    app = broker.app(broker_transport_options=known, result_backend_transport_options=backend)
    results = [app.send_task("celeriac.echo", (n,), priority=n, queue="b" if n % 2 else "celery") for n in range(10)]
    assert [result.get(timeout=60) for result in results] == list(range(10))
    running = app.send_task("celeriac.sleep", (patience(3),))
    wait_until(lambda: broker.redis.hlen("app1:held") == 1 and broker.redis.zcard("app1:held_index") == 1, 30, "not in its place")
    assert told(app, OURS, "ping") == {"ok": "pong"}
    assert {c["name"] for c in broker.redis.client_list() if c["db"] == str(broker.redis.connection_pool.connection_kwargs["db"])} >= {"ours"}
    running.get(timeout=patience(60))
    keys = {key.decode().split("-task-meta-")[0] for key in broker.redis.scan_iter("*-task-meta-*")}
    assert keys == {"results_celery"}
    group = [app.signature("celeriac.echo", args=(n,)) for n in range(5)]
    from celery import chord

    body = app.signature("celeriac.xsum")
    assert chord(group, body, app=app).apply_async().get(timeout=60) == 10
    assert worker.log_lines("broker_transport_options: no_such_option is no known option")
    assert worker.log_lines("broker_transport_options: max_connections has no effect")
    checked = run_program("--check", **worker.settings).stdout
    assert "no_such_option is no known option" in checked


def test_a_wrong_option_is_refused(broker):
    for name, value, words in (("visibility_timeout", "1h", "visibility_timeout: must be a number of seconds"),
                               ("sep", 1, "sep: must be a string, not a number"),
                               ("credential_provider", "x.Y", "Python class")):
        done = run_program(CELERY_BROKER_URL=broker.url, CELERIAC_METRICS="",
                           CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps({name: value}))
        assert done.returncode == 1 and words in done.stderr
