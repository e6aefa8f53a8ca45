"""Canvas: what Celery's clients build from signatures is followed as a Python worker would."""

import base64
import json
import time

import celery.exceptions
import pytest
from celery import chain, chord, group, signature

from services import wait_until


@pytest.fixture
def sig(app):
    def make(name, *args, **options):
        return signature(f"celeriac.{name}", args=args, app=app, **options)

    return make


def get(result):
    return result.get(timeout=60)


def test_chains(worker, sig):
    assert get(chain(sig("add", 1, 2), sig("add", 3), sig("add", 4))()) == 10
    assert get(chain(sig("add", 1, 2), sig("add", 5, 5, immutable=True))()) == 10
    long = chain(sig("add", 0, 1), *[sig("add", 1) for _ in range(200)])()
    assert get(long) == 201
    assert long.parent.parent is not None


def test_links_and_children(worker, sig):
    first = sig("add", 1, 2)
    first.link(sig("add", 10))
    first.link(sig("add", 20))
    result = first.apply_async()
    assert get(result) == 3
    assert sorted(get(child) for each in result.children for child in (getattr(each, "results", None) or [each])) == [13, 23]


def test_groups_and_chords(worker, sig, broker):
    assert get(group(sig("add", n, n) for n in range(5))()) == [0, 2, 4, 6, 8]
    assert get(chord([sig("add", n, n) for n in range(10)])(sig("xsum"))) == 90
    assert get(chain(sig("add", 1, 2), group(sig("add", n) for n in range(3)), sig("xsum"))()) == 12
    nested = chord([chain(sig("add", 1, 1), sig("add", 1)), group(sig("add", 1, 1), sig("add", 2, 2))])(sig("echo"))
    assert sorted(get(nested)) == [2, 3, 4]
    assert get(chord([sig("add", n, n) for n in range(500)])(sig("xsum"))) == 249500
    broker.wait_settled()
    wait_until(lambda: broker.redis.keys("celery-taskset-meta-*.j") == [], 30, "sets of finished chords stay behind")


def test_failures_travel(worker, sig, app):
    failing = chord([sig("add", 1, 1), sig("fail", "boo")])(sig("xsum"))
    with pytest.raises(celery.exceptions.ChordError, match=r"raised RuntimeError\('boo'\)"):
        app.AsyncResult(failing.id).get(timeout=60)
    broken = chain(sig("add", 1, 2), sig("fail", "no", immutable=True), sig("add", 4))()
    with pytest.raises(Exception, match="no"):
        get(broken)
    unknown = chord([sig("add", 1, 1), signature("no.such.task", app=app)])(sig("xsum"))
    with pytest.raises(celery.exceptions.ChordError, match="Task of kind .no.such.task. never registered"):
        app.AsyncResult(unknown.id).get(timeout=60)


def test_errbacks_are_called_with_the_id(worker, sig, broker):
    failing = sig("fail", "boo")
    failing.link_error(sig("echo").set(task_id="the-errback"))
    result = failing.apply_async()
    with pytest.raises(RuntimeError):
        get(result)
    assert get(sig("echo").app.AsyncResult("the-errback")) == result.id


def test_chords_survive_kills(make_worker, sig):
    """The body runs once and gets every part, though its header's workers die in the middle."""
    worker = make_worker("-c", "4")
    results = [chord([sig("add", n, m) for m in range(40)])(sig("xsum")) for n in range(25)]
    for _ in range(3):
        worker.kill()
        worker.start()
    assert [get(result) for result in results] == [40 * n + sum(range(40)) for n in range(25)]


def test_a_link_to_a_named_exchange(worker, sig):
    first = sig("add", 1, 2)
    first.link(sig("add", 10).set(exchange="celery", routing_key="celery", task_id="by-exchange"))
    assert get(first.apply_async()) == 3
    assert get(first.app.AsyncResult("by-exchange")) == 13


def anonymous_kib(worker):
    """Anonymous memory of the worker's process."""
    with open(f"/proc/{worker.process.pid}/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Anonymous:"))


def big_chord(make_worker, sig, broker, size):
    worker = make_worker("-c", "4", "-l", "WARNING")
    before = anonymous_kib(worker)
    worker.term()
    sent = time.monotonic()
    result = chord([sig("add", n, n) for n in range(size)])(sig("xsum"))
    began = time.monotonic()
    worker.start()
    assert result.get(timeout=300) == size * (size - 1)
    done = time.monotonic()
    after = anonymous_kib(worker)
    broker.wait_settled()
    wait_until(lambda: broker.redis.keys("celery-taskset-meta-*.[jstd]") == [] and broker.redis.zcard("celeriac:chords") == 0, 30,
               "something of it stays behind")
    print(f"\na chord of {size}: sent in {began - sent:.2f} s, done {done - began:.2f} s after the worker's start, "
          f"anonymous memory {before} KiB idle, {after} KiB after")
    return after - before


def test_a_chord_of_a_thousand(make_worker, sig, broker):
    assert big_chord(make_worker, sig, broker, 1000) < 16 * 1024


@pytest.mark.long
def test_a_chord_of_ten_thousand(make_worker, sig, broker):
    assert big_chord(make_worker, sig, broker, 10000) < 64 * 1024


def test_priorities_are_inherited(make_worker, sig, broker):
    """task_inherit_parent_priority"""
    def priorities_of(queue):
        return [json.loads(message)["properties"]["priority"] for message in broker.redis.lrange(queue, 0, -1)]

    first = sig("add", 1, 2).set(priority=6)
    first.link(sig("add", 1).set(queue="kept"))
    first.link(sig("add", 1).set(queue="kept-own", priority=3))
    worker = make_worker(CELERY_TASK_INHERIT_PARENT_PRIORITY="1")
    get(first.apply_async())
    assert priorities_of("kept\x06\x166") == [6] and priorities_of("kept-own\x06\x163") + priorities_of("kept-own\x06\x166") != []
    worker.term()
    make_worker()
    get(first.apply_async())
    assert priorities_of("kept") == [0]


@pytest.mark.parametrize("allowed", [False, True])
def test_errbacks_on_headers(make_worker, sig, broker, app, allowed):
    """task_allow_error_cb_on_chord_header, for chords that our worker makes of a chain's group."""
    make_worker(CELERY_TASK_ALLOW_ERROR_CB_ON_CHORD_HEADER=str(int(allowed)))
    inner = {"task": "celery.chain", "args": [], "kwargs": {"tasks": [
        {"task": "celery.group", "args": [], "kwargs": {"tasks": [sig("fail", "boo").set(task_id="part"), sig("add", 1, 1)]},
         "options": {}, "subtask_type": "group", "immutable": False}, sig("xsum").set(task_id="sum")]},
        "options": {"link_error": [sig("echo").set(queue="errors")]}, "subtask_type": "chain", "immutable": False}
    first = sig("echo", "go")
    first.options["link"] = [inner]
    for task in inner["kwargs"]["tasks"][0]["kwargs"]["tasks"]:
        task["immutable"] = True
    get(first.apply_async())
    with pytest.raises(celery.exceptions.ChordError):
        wait_until(lambda: app.AsyncResult("sum").ready(), 30, "the body has no result")
        app.AsyncResult("sum").get(timeout=60)
    broker.wait_settled()
    told = [json.loads(base64.b64decode(json.loads(message)["body"]))[0] for message in broker.redis.lrange("errors", 0, -1)]
    assert (["sum"] in told) and (len(told) == 2) is allowed, told
