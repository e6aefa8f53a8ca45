"""`celery inspect` and `celery control` against our worker, beside a real Python worker that is asked the same."""

import json
import operator
import subprocess
import time
import uuid

import pytest

from clients import OURS, PYTHONS, Broker, envelope, told
from services import patience, wait_until

PIDBOX = "_kombu.binding.celery.pidbox"
REPLIES = "_kombu.binding.reply.celery.pidbox"


@pytest.fixture
def ours(make_worker):
    return make_worker("-n", OURS, "-c", "2")


def shape(value):
    """What it is made of: names and types, not the values."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def has_all(mine, theirs):
    """Everything an older Celery says is there; what it left empty may be filled, and there may be more."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        return all(key in mine and has_all(mine[key], item) for key, item in theirs.items())
    if isinstance(theirs, list) and theirs:
        return isinstance(mine, list) and has_all(mine[0], theirs[0])
    return theirs in ("NoneType", mine) or not theirs


# ---- shapes: the same as Python's ----

@pytest.mark.parametrize("which", ["debian", "newest"])
def test_every_inspect_reply_has_the_shape_of_pythons(ours, make_python_worker, app, ask, which):
    python = make_python_worker(which=which, args=["-Q", "python"])
    same = has_all if which == "debian" else operator.eq
    results = []
    for queue in ("celery", "python"):
        app.send_task("celeriac.sleep", (1,), queue=queue, countdown=600)
        wait_until(lambda to=python.name if queue == "python" else OURS: len(ask("scheduled", to=to)) == 1, 30)
        results += [app.send_task("celeriac.sleep", (600,), queue=queue) for _ in range(3)]
    wait_until(lambda: len(ask("active")) == 2 and len(ask("active", to=python.name)) == 2
               and len(ask("reserved")) == 1, 30)
    for method, arguments in (
        ("active", {}), ("active", {"safe": True}), ("scheduled", {}), ("active_queues", {}), ("clock", {}),
        ("ping", {}), ("revoked", {}), ("report", {}), ("hello", {"from_node": "x"}), ("registered", {}),
    ):
        mine, theirs = ask(method, **arguments), ask(method, to=python.name, **arguments)
        assert same(shape(mine), shape(theirs)), (method, mine, theirs)
    mine, theirs = ask("stats"), ask("stats", to=python.name)
    for stats in (mine, theirs):
        stats.pop("total"), stats["pool"].pop("writes", None), stats["pool"].pop("threads", None)
        # The name and password of a broker are None when there are none.
        assert stats["broker"]["hostname"] == "127.0.0.1"
    assert same(shape(mine), shape(theirs)), (mine, theirs)
    assert mine["pool"]["max-concurrency"] == len(mine["pool"]["processes"]) == 2
    assert shape(ask("active")[0]) == shape(ask("reserved")[0]) | {"time_start": "number", "worker_pid": "number"}
    running = ask("active")[0]
    state, info = ask("query_task", ids=[running["id"], "nope"])[running["id"]]
    assert (state, info["args"], info["name"]) == ("active", [600], "celeriac.sleep")
    for result in results:
        ask("revoke", task_id=result.id, terminate=True)
        ask("revoke", to=python.name, task_id=result.id, terminate=True, signal="KILL")


@pytest.mark.parametrize("which", ["debian", "newest"])
def test_the_commands_of_celerys_own_program(ours, broker, which):
    def celery(*words):
        done = subprocess.run([PYTHONS[which], "-s", "-m", "celery", "-b", broker.url, *words, "--json", "-d", OURS, "--timeout", "30"],
                              env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, capture_output=True, text=True, timeout=patience(60))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{"):])[0][OURS]  # what follows is for people

    broker.wait_listening()
    assert celery("inspect", "ping") == {"ok": "pong"}
    assert celery("inspect", "stats")["pool"]["max-concurrency"] == 2
    assert "celeriac.echo" in celery("inspect", "registered")
    assert celery("inspect", "query_task", "a", "b") == {}
    assert celery("inspect", "conf")["worker_concurrency"] == 2
    assert celery("control", "rate_limit", "celeriac.echo", "10/m") == {"ok": "new rate limit set successfully"}
    assert celery("control", "pool_grow", "2") == {"ok": "pool will grow"}
    assert celery("control", "add_consumer", "late") == {"ok": "add consumer late"}
    assert "flagged" in celery("control", "revoke", "x")["ok"]
    assert celery("status") == {"ok": "pong"}


def error_class(reply):
    return reply["error"].split("(")[0]


@pytest.mark.parametrize(
    "method, arguments",
    [
        ("nope", {}), ("enable_events", {"x": 1}), ("revoke", {}), ("revoke", {"task_id": {"a": 1}}), ("pool_grow", {"n": "x"}),
        ("pool_restart", {}), ("autoscale", {"max": 3, "min": 1}), ("pool_shrink", {"n": 100}), ("add_consumer", {}),
        ("terminate", {"task_id": "x"}), ("revoke", {"task_id": "x", "terminate": True, "signal": "BOOM"}),
        ("rate_limit", {"task_name": "nope", "rate_limit": "1/s"}), ("time_limit", {"task_name": "nope", "soft": 1, "hard": 2}),
        ("rate_limit", {"task_name": "celeriac.echo", "rate_limit": "x/m"}), ("rate_limit", {"task_name": "celeriac.echo"}),
    ],
)
def test_wrong_requests_fail_as_in_python(make_worker, make_python_worker, ask, method, arguments):
    make_worker("-n", OURS)
    python = make_python_worker(args=["-Q", "python"])
    assert error_class(ask(method, **arguments)) == error_class(ask(method, to=python.name, **arguments))
    assert ask("ping") == {"ok": "pong"}


def test_control_replies_are_pythons(ours, make_python_worker, ask):
    python = make_python_worker(args=["-Q", "python"])
    for method, arguments in (
        ("ping", {"more": 1}), ("revoke", {"task_id": "a"}), ("revoke", {"task_id": []}), ("revoke", {"task_id": None}),
        ("terminate", {"signal": "KILL", "task_id": "z"}), ("pool_grow", {}), ("pool_shrink", {"n": 1}),
        ("rate_limit", {"task_name": "celeriac.echo", "rate_limit": "10/m"}),
        ("rate_limit", {"task_name": "celeriac.echo", "rate_limit": 0}),
        ("rate_limit", {"task_name": "nope", "rate_limit": "1/s"}), ("time_limit", {"task_name": "nope"}),
        ("time_limit", {"task_name": "celeriac.echo", "soft": 1, "hard": 2}), ("enable_events", {}), ("enable_events", {}),
        ("disable_events", {}), ("disable_events", {}), ("heartbeat", {}), ("add_consumer", {"queue": "more"}),
        ("cancel_consumer", {"queue": "more"}), ("cancel_consumer", {"queue": "never"}),
        ("revoke_by_stamped_headers", {"headers": {"user": ["7"]}}),
        ("revoke_by_stamped_headers", {"headers": {"user": ["7"]}, "terminate": True}),
    ):
        assert ask(method, **arguments) == ask(method, to=python.name, **arguments), (method, arguments)


def test_what_has_no_meaning_here_says_so(ours, ask):
    for method in ("objgraph", "memdump"):
        assert "not supported" in ask(method)["error"]
    assert ask("memsample").endswith("MB")
    assert ask("election", id="1", topic="t") is None


def test_broadcast_reaches_everybody_and_directed_only_whom_it_names(make_worker, make_python_worker, app):
    make_worker("-n", "one@test")
    make_worker("-n", "two@test")
    python = make_python_worker(args=["-Q", "python"])
    everybody = {"one@test", "two@test", python.name}

    def who(wanted, **options):
        """Who answers within a second, once those who should do; of others it takes one answer to be told."""
        def answered():
            seen = {name for reply in app.control.broadcast("ping", reply=True, timeout=1, **options) or [] for name in reply}
            return seen if seen >= wanted else None

        return wait_until(answered, 30, f"not all of {wanted} answer")

    assert who(everybody) == everybody
    assert who({"two@test"}, destination=["two@test"]) == {"two@test"}
    assert who(everybody, pattern="*@test", matcher="glob") == everybody
    assert who({"one@test", "two@test"}, pattern="one|t.o", matcher="pcre") == {"one@test", "two@test"}
    assert app.control.inspect(pattern="nobody*", matcher="glob", timeout=0.3).ping() is None


def test_answers_while_every_thread_is_busy(make_worker, app, ask):
    make_worker("-n", OURS, "-c", "1")
    for _ in range(5):
        app.send_task("celeriac.sleep", (600,))
    wait_until(lambda: ask("active"), 30)
    began = time.monotonic()
    for _ in range(50):
        assert ask("ping") == {"ok": "pong"}
    assert time.monotonic() - began < patience(5)


# ---- the mailbox and its replies ----

def test_the_mailbox_is_bound_and_gone_after_the_end(ours, broker):
    member = f"\x06\x16\x06\x16{OURS}.celery.pidbox".encode()
    wait_until(lambda: broker.redis.sismember(PIDBOX, member), 30)
    assert broker.redis.sismember("_kombu.binding.celery", b"celery\x06\x16\x06\x16celery")
    assert ours.term() == 0
    assert not broker.redis.sismember(PIDBOX, member)


def publish(broker, body, **options):
    """A control message with a body of our own making, which a worker hears."""
    _, message = envelope(body=json.dumps(body) if not isinstance(body, bytes) else body, headers={"clock": 1, "expires": 0},
                          properties={"delivery_info": {"exchange": "celery.pidbox", "routing_key": ""}}, **options)
    assert broker.redis.publish(f"/{broker.redis.connection_pool.connection_kwargs['db']}.celery.pidbox", json.dumps(message)) >= 1


def test_replies_nobody_takes_vanish_and_forged_addresses_get_none(ours, broker, ask):
    broker.wait_listening()
    oid = str(uuid.uuid4())
    queue = f"{oid}.reply.celery.pidbox"
    publish(broker, {"method": "ping", "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": oid}})  # not bound
    assert ask("ping") == {"ok": "pong"}
    assert not broker.redis.exists(queue)
    broker.redis.sadd(REPLIES, f"{oid}\x06\x16\x06\x16{queue}", "evil\x06\x16\x06\x16celery")
    publish(broker, {"method": "ping", "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": oid}})
    wait_until(lambda: broker.redis.llen(queue) == 1, 30)
    assert 0 < broker.redis.pttl(queue) <= 120_000
    for reply_to in (
        {"exchange": "celery", "routing_key": "celery"}, {"exchange": "", "routing_key": "celery"}, {"exchange": 7}, 7, [], "x",
        {"exchange": "reply.celery.pidbox", "routing_key": "evil"}, {"exchange": "reply.celery.pidbox", "routing_key": ["celery"]},
    ):
        publish(broker, {"method": "ping", "reply_to": reply_to})
    assert ask("ping") == {"ok": "pong"}
    assert not broker.redis.exists("celery")


def test_messages_that_are_none_change_nothing(ours, broker, ask):
    broker.wait_listening()
    channel = f"/{broker.redis.connection_pool.connection_kwargs['db']}.celery.pidbox"
    for raw in (b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"{" * 5000, b'{"body": 7}', b'{"body": "!!!!"}',
                json.dumps({"body": "bnVsbA==", "content-type": "application/json"}).encode()):
        broker.redis.publish(channel, raw)
    for body in (7, [], None, {}, {"method": 7}, {"method": "ping", "arguments": 7}, {"method": "ping", "destination": 7},
                 {"method": "ping", "pattern": 7, "matcher": "glob"}, {"method": "ping", "pattern": "(a+)\\1", "matcher": "pcre"},
                 {"method": "ping", "pattern": "x", "matcher": "soundex"}, {"method": "x" * 100_000}, b"[" * 50_000,
                 {"method": "revoke", "arguments": {"task_id": "x" * 2_000_000}}):
        publish(broker, body)
    publish(broker, b"\x80\x04.", **{"content-type": "application/x-python-serialize"})
    for method in ("revoke", "rate_limit", "time_limit", "autoscale", "pool_grow", "add_consumer", "cancel_consumer", "hello",
                   "query_task", "registered", "revoke_by_stamped_headers", "terminate", "conf", "active", "shutdown_", "heartbeat"):
        for wrong in (7, None, [], {}, "", [[]], [None], {"a": {"b": [1]}}, True, 2**70, -1, float("nan"), "\x00", "x" * 5000):
            publish(broker, {"method": method, "arguments": wrong})
            publish(broker, {"method": method, "arguments": {name: wrong for name in (
                "task_id", "headers", "task_name", "rate_limit", "soft", "hard", "max", "n", "exchange_type", "from_node", "revoked",
                "ids", "taskinfoitems", "signal", "terminate", "with_defaults", "safe")}})
    assert ask("ping") == {"ok": "pong"}
    assert ours.alive()


def test_control_comes_back_after_redis(make_redis, make_worker, instance):
    server = make_redis().start()
    broker = Broker(server.url(1), instance)
    worker = make_worker("-n", OURS, broker=broker)
    broker.wait_listening()
    assert broker.app().control.ping(destination=[OURS], timeout=30, limit=1)
    server.kill()
    server.start()
    assert told(broker.app(), OURS, "ping") == {"ok": "pong"}, "no answer after the outage"
    assert worker.alive()


def test_hello_exchanges_what_is_revoked(ours, make_python_worker, ask):
    ask("revoke", task_id="ours-knows")
    reply = ask("hello", from_node="somebody@else", revoked=["they-know"])
    assert reply["revoked"] == ["ours-knows", "they-know"] and reply["clock"] > 0
    assert ask("hello", from_node=OURS) is None
    assert ask("hello", from_node="x@y", revoked={"old-form": 123.4})["revoked"][-1] == "old-form"


# ---- limits ----

def test_a_rate_limit_holds_its_task_and_no_other(make_worker, app, ask):
    make_worker("-n", OURS, "-c", "2", CELERY_WORKER_PREFETCH_MULTIPLIER="1")
    assert ask("rate_limit", task_name="celeriac.add", rate_limit="2/s") == {"ok": "new rate limit set successfully"}
    assert "celeriac.add [rate_limit=2/s]" in ask("registered")
    began = time.monotonic()
    limited = [app.send_task("celeriac.add", (n, 1)) for n in range(30)]
    assert app.send_task("celeriac.echo", (5,)).get(timeout=60) == 5
    assert not limited[-1].ready(), "a limited task stood in the way"
    wait_until(lambda: sum(result.ready() for result in limited) >= 5, 30)
    done = sum(result.ready() for result in limited)
    assert done <= (time.monotonic() - began) * 2 + 3, "faster than its limit"
    assert ask("rate_limit", task_name="celeriac.add", rate_limit="0") == {"ok": "rate limit disabled successfully"}
    assert [result.get(timeout=60) for result in limited] == [n + 1 for n in range(30)]


# ---- pool ----

def run_at_once(ask, app, threads, count):
    """Of `count` long tasks as many run side by side as there are threads."""
    results = [app.send_task("celeriac.sleep", (600,)) for _ in range(count)]

    def state():
        return len(ask("active")), len(ask("reserved"))

    wait_until(lambda: state() == (threads, count - threads), 30, lambda: f"{state()} are active and reserved, not {threads} of {count}")
    assert state() == (threads, count - threads), "not for long"
    ask("revoke", task_id=[result.id for result in results], terminate=True)
    wait_until(lambda: state() == (0, 0), 30)


def test_the_pool_grows_and_shrinks(ours, app, ask):
    run_at_once(ask, app, 2, 6)
    assert ask("pool_grow", n=2) == {"ok": "pool will grow"}
    run_at_once(ask, app, 4, 6)
    assert ask("stats")["pool"]["max-concurrency"] == 4
    assert ask("pool_shrink", n=3) == {"ok": "pool will shrink"}
    wait_until(lambda: len(ask("stats")["pool"]["processes"]) == 1, 30)
    run_at_once(ask, app, 1, 3)
    assert "ValueError" in ask("pool_shrink", n=1)["error"]
    assert "ValueError" in ask("pool_grow", n=1_000_000)["error"]


def test_the_pool_shrinks_without_hurting_what_runs(ours, app, ask):
    results = [app.send_task("celeriac.sleep", (patience(2),)) for _ in range(4)]
    wait_until(lambda: len(ask("active")) == 2, 30)
    ask("pool_shrink", n=1)
    for result in results:
        assert result.get(timeout=patience(60)) is None


def test_pool_restart_where_it_is_allowed(make_worker, app, ask):
    make_worker("-n", OURS, "-c", "3", CELERY_WORKER_POOL_RESTARTS="1")
    before = set(ask("stats")["pool"]["processes"])
    assert ask("pool_restart") == {"ok": "reload started"}
    wait_until(lambda: len(set(ask("stats")["pool"]["processes"]) - before) == 3
               and len(ask("stats")["pool"]["processes"]) == 3, 30)
    assert app.send_task("celeriac.echo", (1,)).get(timeout=60) == 1


def test_autoscale(make_worker, app, ask):
    make_worker("-n", OURS, "--autoscale=4,1", AUTOSCALE_KEEPALIVE="1")
    assert ask("stats")["autoscaler"] == {"max": 4, "min": 1, "current": 1, "qty": 0}
    assert "autoscale" in ask("pool_grow")["error"]
    results = [app.send_task("celeriac.sleep", (600,)) for _ in range(6)]
    wait_until(lambda: len(ask("active")) == 4, 30)
    assert ask("autoscale", max=5, min=2) == {"ok": "autoscale now max=5 min=2"}
    wait_until(lambda: len(ask("active")) == 5, 30)
    ask("revoke", task_id=[result.id for result in results], terminate=True)
    wait_until(lambda: ask("stats")["autoscaler"]["current"] == 2, 30)
    assert "ValueError" in ask("autoscale", max=1, min=9)["error"]


KNOWS_DRAIN = """
import celery
from celery.worker.control import control_command

app = celery.Celery(broker={url!r})

@control_command()
def drain(state):
    "Hands conversations over."

@control_command()
def undrain(state):
    "Takes conversations again."
"""


def test_drain_by_the_command_line(ours, broker, ask, tmp_path):
    """Of an application that knows the command; a worker without conversations has nothing to hand over."""
    (tmp_path / "drainer.py").write_text(KNOWS_DRAIN.format(url=broker.url))
    broker.wait_listening()
    for command in ("drain", "undrain"):
        done = subprocess.run([PYTHONS["newest"], "-m", "celery", "-A", "drainer", "control", "-d", OURS, "--timeout", "30", "--json", command],
                              cwd=tmp_path, capture_output=True, text=True, timeout=patience(60))
        assert json.loads(done.stdout) == [{OURS: {"error": "there are no conversations without a database"}}], done
    assert "unexpected keyword argument 'now'" in ask("drain", now=True)["error"]


# ---- queues ----

def test_queues_are_added_and_cancelled(ours, app, ask):
    def names():
        return [queue["name"] for queue in ask("active_queues")]

    result = app.send_task("celeriac.echo", (1,), queue="late")
    assert ask("add_consumer", queue="late") == {"ok": "add consumer late"}
    assert result.get(timeout=60) == 1
    assert names() == ["celery", "late"]
    assert ask("cancel_consumer", queue="celery") == {"ok": "no longer consuming from celery"}
    wait_until(lambda: names() == ["late"], 30)
    kept = app.send_task("celeriac.echo", (2,), queue="celery")
    assert app.send_task("celeriac.echo", (3,), queue="late").get(timeout=60) == 3
    assert not kept.ready()
    ask("add_consumer", queue="celery")
    assert kept.get(timeout=60) == 2


def test_a_queue_is_bound_as_it_was_asked_for(ours, app, ask):
    ask("add_consumer", queue="t", exchange="topics", exchange_type="topic", routing_key="a.*.#")
    bound = next(queue for queue in ask("active_queues") if queue["name"] == "t")
    assert (bound["exchange"]["name"], bound["exchange"]["type"], bound["routing_key"]) == ("topics", "topic", "a.*.#")
    from kombu import Exchange

    exchange = Exchange("topics", type="topic")
    app.conf.task_queues = None
    with app.connection_for_write() as connection:
        exchange(connection.default_channel).declare()
        assert app.send_task("celeriac.echo", (4,), exchange="topics", exchange_type="topic", routing_key="a.b.c",
                             connection=connection).get(timeout=60) == 4


def test_every_queue_may_be_cancelled(ours, app, ask):
    ask("cancel_consumer", queue="celery")
    wait_until(lambda: ask("active_queues") == [], 30)
    result = app.send_task("celeriac.echo", (1,))
    assert ask("ping") == {"ok": "pong"}
    assert not result.ready()
    ask("add_consumer", queue="celery")
    assert result.get(timeout=60) == 1


def test_excluded_queues_and_purge(make_worker, app, ask, broker):
    for _ in range(5):
        app.send_task("celeriac.echo", (1,), queue="one")
        app.send_task("celeriac.echo", (1,), queue="two")
    worker = make_worker("-n", OURS, "-Q", "one,two", "-X", "two", "--purge")
    worker.wait_log(r"purge: Erased 5 message\(s\)")
    assert [queue["name"] for queue in ask("active_queues")] == ["one"]
    assert broker.redis.llen("two") == 5
    assert app.send_task("celeriac.echo", (1,), queue="one").get(timeout=60) == 1


# ---- the worker ----

def test_shutdown_is_warm(ours, app, ask):
    result = app.send_task("celeriac.sleep", (8,))
    wait_until(lambda: ask("active"), 30)
    app.control.shutdown(destination=[OURS])
    assert ours.wait_end() == 0
    assert result.get(timeout=60) is None


def test_secrets_are_not_shown(make_worker, ask, app, broker):
    worker = make_worker("-n", OURS, CELERY_BROKER_URL=broker.url.replace("redis://", "redis://:hunter2@"), start=False)
    worker.settings["CELERY_BROKER_URL"] = broker.url
    worker.settings["CELERY_BROKER_TRANSPORT_OPTIONS"] = json.dumps({"sentinel_kwargs": {"password": "hunter2"}})
    worker.start()
    said = json.dumps([ask("conf", with_defaults=True), ask("stats"), ask("report")])
    assert "hunter2" not in said


def test_without_remote_control(make_worker, app):
    make_worker("-n", OURS, CELERY_WORKER_ENABLE_REMOTE_CONTROL="0")
    assert app.send_task("celeriac.echo", (1,)).get(timeout=60) == 1
    assert app.control.ping(timeout=0.5) == []


@pytest.mark.parametrize("options", [
    {"global_keyprefix": "pre:"}, {"fanout_prefix": False}, {"fanout_prefix": "x.{db}."}, {"fanout_patterns": False},
])
def test_transport_options(make_worker, broker, options):
    make_worker("-n", OURS, CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps(options))
    app = broker.app(broker_transport_options=options)
    broker.wait_listening()
    assert app.control.ping(timeout=30, limit=1) == [{OURS: {"ok": "pong"}}]
    app.close()


def test_stats_hold_no_secret(make_worker, app):
    options = {"master_name": "m", "password": "hunter2", "sentinel_kwargs": {"password": "hunter2"}, "deep": {"ssl_password": "hunter2"}}
    make_worker("-n", OURS, CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps(options))
    stats = told(app, OURS, "stats")
    assert stats["broker"]["transport_options"] == {"master_name": "m", "deep": {}}


def test_more_queues_than_are_consumed(ours, app, ask):
    for n in range(256):
        app.control.broadcast("add_consumer", arguments={"queue": f"more-{n}"}, destination=[OURS])
    assert ask("add_consumer", queue="last") == {"ok": "add consumer last"}
    ours.wait_log("ERROR.*queue last is not consumed: more than 256 queues")
    assert app.send_task("celeriac.echo", (1,), queue="more-0").get(timeout=30) == 1
    assert not any(queue["name"] == "last" for queue in ask("active_queues"))
