"""Canvases that no client of ours made: an error that says what was wrong, and a worker that goes on."""

import json
import time

import pytest

from clients import envelope
from services import patience, wait_until

NOTHING = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def sig(task="celeriac.echo", args=(), options=None, **more):
    return {"task": task, "args": list(args), "kwargs": {}, "options": options or {}, "subtask_type": None, "immutable": False, **more}


def nested(depth, kind="chain"):
    tree = sig()
    for _ in range(depth):
        tree = {"task": f"celery.{kind}", "args": [], "kwargs": {"tasks": [tree]}, "options": {}, "subtask_type": kind}
    return tree


def push(broker, embed, task="celeriac.echo", args=(1,), task_id=None, body=None, **headers):
    body = body or json.dumps([list(args), {}, {**NOTHING, **embed}])
    task_id, message = envelope(task, task_id=task_id, headers=headers, body=body)
    broker.push(json.dumps(message))
    return task_id


# embed, what the FAILURE says
UNFOLLOWABLE = [
    ({"callbacks": 5}, "callbacks are a int"),
    ({"callbacks": [7]}, "a int is not a signature"),
    ({"callbacks": [{}]}, "a signature without a task"),
    ({"callbacks": [sig(task="x" * 600)]}, "a signature whose task has 600 bytes"),
    ({"callbacks": [sig(options={"queue": 5})]}, "a signature whose queue is a int"),
    ({"callbacks": [sig(options={"queue": "q" * 5000})]}, "a signature whose queue has 5000 bytes"),
    ({"callbacks": [sig(options={"queue": ""})]}, "a signature whose queue has 0 bytes"),
    ({"callbacks": [sig(options={"queue": "a\0b"})]}, "a signature whose queue holds a control character"),
    ({"chain": [sig(options={"exchange": "e" * 256, "routing_key": "k"})]}, "a signature whose exchange has 256 bytes"),
    ({"callbacks": [sig(options={"task_id": "a\nb"})]}, "a signature whose task_id holds a control character"),
    ({"callbacks": [sig(options={"headers": []})]}, "a signature whose headers are a list"),
    ({"callbacks": [sig(options={"countdown": 1e300})]}, "a signature's countdown is out of range"),
    ({"callbacks": [sig(options={"eta": "tomorrow"})]}, "a signature's eta"),
    ({"callbacks": [sig(options={"expires": {}})]}, "a signature's expires"),
    ({"callbacks": [sig(options={"time_limit": "long"})]}, "a signature whose time_limit is a str"),
    ({"callbacks": [sig(options={"soft_time_limit": []})]}, "a signature whose soft_time_limit is a list"),
    ({"callbacks": [sig(options=[1])]}, "a signature whose options is a list"),
    ({"callbacks": [sig(subtask_type="braid")]}, "a signature of the unknown type braid"),
    ({"callbacks": [sig(options={"serializer": "pickle"})]}, "pickle"),
    ({"chain": ["x"]}, "a str is not a signature"),
    ({"chain": [nested(150)]}, "signatures nested more than 128 deep"),
    ({"callbacks": [{"task": "celery.chord", "subtask_type": "chord", "kwargs": {"header": [sig()]}}]}, "a chord without a body"),
    ({"callbacks": [{"task": "celery.chord", "subtask_type": "chord", "kwargs": {"header": 5, "body": sig()}}]},
     "a chord whose tasks are a int"),
]


AMPLIFIED = {
    "an argument for each of a group": lambda big: dict(
        embed={"callbacks": [{"task": "celery.group", "args": [], "kwargs": {"tasks": [sig()] * 300}, "options": {}, "subtask_type": "group"}]},
        args=(big,)),
    "the body of a chord for each of its parts": lambda big: dict(
        embed={"callbacks": [{"task": "celery.chord", "args": [], "kwargs": {"header": [sig(args=(1,))] * 300, "body": sig(args=(big,))},
                              "options": {}, "subtask_type": "chord"}]}),
}


@pytest.mark.parametrize("which", AMPLIFIED)
def test_what_follows_is_bounded(worker, broker, which):
    """Of two megabytes, six hundred."""
    before = worker.anonymous()
    task_id = push(broker, **AMPLIFIED[which]("x" * (2 << 20)))
    peak = 0
    deadline = time.monotonic() + patience(60)
    while not broker.redis.exists(f"celery-task-meta-{task_id}"):
        assert time.monotonic() < deadline
        peak = max(peak, worker.anonymous())
    meta = broker.meta(task_id)
    assert (meta["status"], meta["result"]["exc_type"]) == ("FAILURE", "EncodeError")
    assert "bytes of messages and results follow" in meta["result"]["exc_message"][0]
    assert peak - before < 300 << 20


def test_the_rest_of_a_chain_fails_within_bounds(worker, broker):
    """The failure stays what it is; that not all hear of it is said."""
    task_id = push(broker, {"chain": [sig(options={"task_id": f"t{n}"}) for n in range(300)]}, task="celeriac.fail", args=("y" * (1 << 20),))
    assert broker.meta(task_id, 60)["result"]["exc_type"] == "RuntimeError"
    broker.wait_settled()
    worker.wait_log("not all that follows from its failure: .*bytes of messages and results follow")


def test_what_cannot_be_followed_is_a_failure_that_says_so(worker, broker, app):
    sent = [push(broker, embed) for embed, _ in UNFOLLOWABLE]
    for task_id, (embed, text) in zip(sent, UNFOLLOWABLE):
        meta = broker.meta(task_id)
        assert (meta["status"], meta["result"]["exc_type"]) == ("FAILURE", "EncodeError"), (embed, meta)
        assert text in meta["result"]["exc_message"][0], (embed, meta)
    assert app.send_task("celeriac.echo", (2,)).get(timeout=60) == 2
    broker.wait_settled()
    assert worker.alive()


@pytest.mark.parametrize("depth", [400, 1000])
def test_too_deep_to_be_read(worker, broker, app, depth):
    # deeper than Python's own writer goes
    tree = '{"task": "celery.chain", "subtask_type": "chain", "kwargs": {"tasks": [' * depth + json.dumps(sig()) + "]}}" * depth
    push(broker, {}, body=f'[[1], {{}}, {{"chain": [{tree}]}}]')
    wait_until(broker.dead, 30, "it is not among the dead letters")
    assert "nested deeper than 512" in broker.dead()[0][0]["reason"]
    assert app.send_task("celeriac.echo", (2,)).get(timeout=60) == 2


def test_a_failure_stays_what_it_is(worker, broker):
    """Whatever its errbacks are."""
    for errbacks in (5, [7], [nested(150)], [sig(options={"queue": {}})]):
        task_id = push(broker, {"errbacks": errbacks}, task="celeriac.fail", args=("boo",))
        assert broker.meta(task_id)["result"] == {"exc_type": "RuntimeError", "exc_message": ["boo"], "exc_module": "builtins"}
    assert len(worker.wait_log("not all that follows from its failure", count=4)) == 4


def test_odd_but_harmless(worker, broker):
    """As Python would take it."""
    for n, options in enumerate((
        {"countdown": -5}, {"countdown": -1e9}, {"stamped_headers": "x"}, {"stamped_headers": [[], 5, None, "y"], "y": {}},
        {"group_index": 10 ** 30, "group_id": "g"}, {"group_index": "first", "group_id": "g"}, {"group_index": -1, "group_id": "g"},
        {"priority": 10 ** 18}, {"priority": -3}, {"retries": "many"}, {"ignore_result": "yes"}, {"link": None}, {"chord": None}, {"eta": ""}, {"delivery_mode": "x"},
    )):
        task_id = push(broker, {"callbacks": [sig(options={**options, "task_id": f"odd-{n}"})]})
        assert broker.meta(task_id)["status"] == "SUCCESS", options
        assert broker.meta(f"odd-{n}")["result"] == 1, options


def test_callbacks_that_nobody_knows(worker, broker):
    task_id = push(broker, {"callbacks": [sig("no.such.task", options={"task_id": "unknown"})]})
    assert broker.meta(task_id)["status"] == "SUCCESS"
    assert broker.meta("unknown")["result"]["exc_type"] == "NotRegistered"


def test_a_queue_that_is_none(worker, broker):
    """Nothing of what follows is sent, and nothing is lost without a word."""
    broker.redis.set("text", "not a list")
    first, second = sig(options={"task_id": "before", "queue": "fine"}), sig(options={"queue": "text"})
    task_id = push(broker, {"callbacks": [first, second]})
    meta = broker.meta(task_id)
    assert (meta["status"], meta["result"]["exc_type"]) == ("FAILURE", "OperationalError"), meta
    assert "the queue text is no list" in meta["result"]["exc_message"][0]
    broker.wait_settled()
    assert not broker.redis.exists("fine"), "a part of what follows was sent"
    ignored = push(broker, {"callbacks": [second]}, ignore_result=True)
    wait_until(lambda: broker.redis.llen("celeriac:dead") == 1, 20, "it is neither followed nor kept")
    reason, message = broker.redis.lpop("celeriac:dead").decode().split("\n", 1)
    assert "the queue text is no list" in reason and ignored in message
    broker.wait_settled()


def chord_size(broker, size):
    broker.redis.set("celery-taskset-meta-g.s", size)


def test_bodies_that_are_none(worker, broker):
    """The part says so, and the body where it has an id."""
    for n, (body, text) in enumerate(((5, "chord body: a int is not a signature"), ({}, "a signature without a task"),
                                      ("x", "chord body: a str is not a signature"))):
        broker.redis.set(f"celery-taskset-meta-g-{n}.s", 1)
        task_id = push(broker, {"chord": body}, group=f"g-{n}")
        meta = broker.meta(task_id)
        assert meta["status"] == "FAILURE" and text in meta["result"]["exc_message"][0], meta
    broker.redis.set("celery-taskset-meta-g-9.s", 1)
    task_id = push(broker, {"chord": sig(options={"task_id": "body", "queue": 5, "link_error": [sig(options={"task_id": "told"})]})},
                   group="g-9")
    meta = broker.meta("body")
    assert meta["result"]["exc_type"] == "ChordError" and "Callback error: " in meta["result"]["exc_message"][0]
    assert broker.meta("told")["result"] == "body"
    assert broker.meta(task_id)["status"] == "SUCCESS"


@pytest.mark.parametrize("key, make", [
    (".j", lambda redis, key: redis.set(key, "text")),
    (".d", lambda redis, key: redis.lpush(key, "list")),
    (".s", lambda redis, key: redis.set(key, "many")),
    (".s", lambda redis, key: redis.sadd(key, "set")),
    (".t", lambda redis, key: redis.set(key, "more")),
    (".c", lambda redis, key: redis.lpush(key, "list")),
    ("", lambda redis, key: redis.lpush(key, "list")),
])
def test_keys_of_a_chord_that_are_none(worker, broker, key, make):
    """It can never be counted: the body is a failure that says so, once, and its parts are what they are."""
    broker.redis.set("celery-taskset-meta-g.s", 2)
    broker.redis.delete(f"celery-taskset-meta-g{key}")
    make(broker.redis, f"celery-taskset-meta-g{key}")
    body = sig(options={"task_id": "body", "link_error": [sig(options={"task_id": "told"})]})
    parts = [push(broker, {"chord": body}, args=(n,), group="g", group_index=n) for n in range(2)]
    assert [broker.meta(part)["result"] for part in parts] == [0, 1]
    meta = broker.meta("body")
    assert meta["result"]["exc_type"] == "ChordError", meta
    assert broker.meta("told")["result"] == "body"
    broker.wait_settled()
    assert len(worker.log_lines(r"Task celeriac.echo\[told\] received")) == 1


def test_parts_that_are_none(worker, broker):
    chord_size(broker, 2)
    broker.redis.zadd("celery-taskset-meta-g.j", {"[1, 2": 0})
    push(broker, {"chord": sig(options={"task_id": "body"})}, group="g", group_index=1)
    assert "part 0 of a chord" in broker.meta("body")["result"]["exc_message"][0]


@pytest.mark.parametrize("index", [10 ** 30, -(10 ** 30), 2 ** 63, "x", None, 1.5, [], {}])
def test_indexes(worker, broker, index):
    chord_size(broker, 2)
    push(broker, {"chord": sig(options={"task_id": "body"})}, args=("a",), group="g", group_index=0)
    push(broker, {"chord": sig(options={"task_id": "body"})}, args=("b",), group="g", group_index=index)
    assert sorted(broker.meta("body")["result"]) == ["a", "b"]


def test_bodies_that_cannot_fail_as_they_should(worker, broker):
    """A body that cannot run, and whose failure cannot be told: its errback, the rest of its chain or what it is itself is none."""
    for n, (key, body, text) in enumerate((
        (".s", sig(options={"task_id": "a", "queue": 5, "link_error": [sig(options={"queue": {}})]}), "a signature whose queue is a dict"),
        (".s", sig(options={"task_id": "b", "queue": 5, "chain": [7]}), "a chain with a int in it"),
        (".j", 5, "chord body: a int is not a signature"),
    )):
        broker.redis.set(f"celery-taskset-meta-bad-{n}{key}", 1)
        meta = broker.meta(push(broker, {"chord": body}, group=f"bad-{n}"))
        assert (meta["status"], meta["result"]["exc_type"]) == ("FAILURE", "EncodeError") and text in meta["result"]["exc_message"][0], meta
    chord_size(broker, 1)
    task_id = push(broker, {"chord": sig(options={"queue": 5})}, group="g")
    assert broker.meta(task_id)["status"] == "SUCCESS", "what has no id cannot be a failure"
    worker.wait_log(r"Chord g raised: Callback error: .*a signature whose queue is a int")
    broker.wait_settled()


def test_a_chord_whose_body_cannot_run_is_a_part_of_another(worker, broker):
    """That one's body fails, too."""
    outer = sig(options={"task_id": "outer"})
    for group in ("inner-group", "outer-group"):
        broker.redis.set(f"celery-taskset-meta-{group}.s", 1)
    body = sig(options={"task_id": "inner", "queue": 5, "chord": outer, "group_id": "outer-group"})
    assert broker.meta(push(broker, {"chord": body}, group="inner-group"))["status"] == "SUCCESS"
    assert "Callback error: " in broker.meta("inner")["result"]["exc_message"][0]
    meta = broker.meta("outer")
    assert meta["result"]["exc_type"] == "ChordError" and "Dependency inner raised ChordError" in meta["result"]["exc_message"][0], meta


def test_each_of_a_body_that_is_a_group_fails_as_the_part_did(worker, broker):
    body = {"task": "celery.group", "args": [], "options": {"task_id": "both"}, "subtask_type": "group",
            "kwargs": {"tasks": [sig(options={"task_id": f"of-both-{n}"}) for n in range(2)]}}
    chord_size(broker, 1)
    push(broker, {"chord": body}, task="celeriac.fail", args=("boo",), group="g")
    for task_id in ("of-both-0", "of-both-1"):
        assert broker.meta(task_id)["result"] == {"exc_type": "RuntimeError", "exc_message": ["boo"], "exc_module": "builtins"}


def test_the_rest_of_a_chain_without_names(worker, broker):
    """What follows a failure has an id and no task: it is a failure all the same."""
    push(broker, {"chain": [{"options": {"task_id": "nameless"}}]}, task="celeriac.fail", args=("boo",))
    assert broker.meta("nameless")["result"]["exc_message"] == ["boo"]


def test_the_body_of_a_chord_is_bounded_as_well(worker, broker):
    """It is too long by itself for what is left by those before it."""
    def group(tasks):
        return {"task": "celery.group", "args": [], "kwargs": {"tasks": tasks}, "options": {}, "subtask_type": "group"}

    chord = {"task": "celery.chord", "args": [], "kwargs": {"header": [sig(args=(1,))], "body": sig(args=("y" * (11 << 20),))}, "options": {},
             "subtask_type": "chord"}
    task_id = push(broker, {"callbacks": [group([sig()] * 8), chord]}, args=("x" * (8 << 20),))
    meta = broker.meta(task_id, 60)
    assert "bytes of messages and results follow" in meta["result"]["exc_message"][0] and "follow-up" not in meta["result"]["exc_message"][0]


def test_a_group_that_ends_a_part_of_a_chord(worker, broker):
    """What it returns is a list in the list of the parts."""
    group = {"task": "celery.group", "args": [], "kwargs": {"tasks": [sig(args=(n,), immutable=True) for n in range(2)]}, "options": {},
             "subtask_type": "group"}
    inner = {"task": "celery.chord", "args": [], "options": {}, "subtask_type": "chord", "immutable": True,
             "kwargs": {"header": [sig(args=("first",), immutable=True)], "body": group}}
    chord = {"task": "celery.chord", "args": [], "options": {}, "subtask_type": "chord", "immutable": True,
             "kwargs": {"header": [inner, sig(args=("last",), immutable=True)], "body": sig(options={"task_id": "body"})}}
    push(broker, {"callbacks": [chord]})
    assert broker.meta("body")["result"] == [[0, 1], "last"]
    group["kwargs"]["tasks"] = [sig("celeriac.fail", (f"boo {n}",), immutable=True) for n in range(2)]
    chord["kwargs"]["body"] = sig(options={"task_id": "failing"})
    push(broker, {"callbacks": [chord]})
    assert broker.meta("failing")["result"]["exc_message"] == ["Join error: RuntimeError('boo 0')"]


@pytest.mark.long
def test_a_chain_of_100_000(worker, broker, app):
    """Longer than a message may hold values: said, and not followed by half."""
    began = time.monotonic()
    chain = [sig("celeriac.add", (1,)) for _ in range(100_000)]
    task_id = push(broker, {"chain": chain})
    wait_until(lambda: broker.dead() or broker.redis.exists(f"celery-task-meta-{task_id}"), 120, "nothing came of it")
    print(f"a chain of 100 000: {time.monotonic() - began:.1f} s, {broker.dead()[0][0] if broker.dead() else broker.meta(task_id)}")
    assert app.send_task("celeriac.echo", (2,)).get(timeout=60) == 2
    assert worker.alive()


def test_a_long_chain(worker, broker):
    """Each step carries what is left: 300 of them."""
    chain = [sig("celeriac.add", (1,), options={"task_id": f"step-{n}"}) for n in range(300)]
    push(broker, {"chain": chain[::-1]}, args=(0,))
    assert broker.meta("step-299", 60)["result"] == 300
