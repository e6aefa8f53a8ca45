"""Celery's built-in tasks: what a Python worker says to the same message."""

import json

import celery.exceptions
import pytest
from celery import chain, chord, group, signature
from celery.result import result_from_tuple

from canvas_oracle import ordinals
from clients import Broker

ADD, ECHO, FAIL = ({"task": f"celeriac.{name}", "args": [], "kwargs": {}, "options": {}, "subtask_type": None,
                    "immutable": False} for name in ("add", "echo", "fail"))
BODY = {**ECHO, "task": "celeriac.xsum", "options": {"task_id": "the-body"}}

# name, args, kwargs
CALLS = [
    ("celery.accumulate", (1, "b", [3]), {}),
    ("celery.accumulate", (1, 2, 3), {"index": 0}),
    ("celery.accumulate", (1,), {"index": 3}),
    ("celery.accumulate", (1,), {"index": "x"}),
    ("celery.map", (ADD, []), {}),
    ("celery.map", (ECHO, [1, [2], None]), {}),
    ("celery.map", (), {"task": ECHO, "it": ["a"]}),
    ("celery.map", ({**ECHO, "task": "no.such.task"}, [1]), {}),
    ("celery.map", ("celeriac.echo", [1, 2]), {}),
    ("celery.map", (FAIL, ["boo"]), {}),
    ("celery.starmap", (ADD, [[1, 2], [3, 4]]), {}),
    ("celery.starmap", (ADD, [[1, 2], [3]]), {}),
    ("celery.starmap", ({**ECHO, "task": "no.such.task"}, []), {}),
    ("celery.starmap", (ECHO, [{"key": 1}]), {}),
    ("celery.starmap", (ECHO, [7]), {}),
    ("celery.chunks", (ADD, [[1, 2], [3, 4], [5, 6]], 2), {}),
    ("celery.chain", (1,), {"a": 2}),
    ("celery.group", ([{**ADD, "options": {"task_id": "one"}}, {**ADD, "options": {"task_id": "two"}}],
                      [["the-group", None], [[["one", None], None], [["two", None], None]]], "the-group", [1, 2]), {}),
    ("celery.chord", ([{**ADD, "args": [1, 2]}, {**ADD, "args": [3, 4]}], BODY), {}),
    ("celery.backend_cleanup", (), {}),
]

def said(broker, task_id):
    """What is compared of a meta: the text of a TypeError names the function, and that is not the same one."""
    meta = broker.meta(task_id, 60)
    result = meta["result"]
    if meta["status"] == "FAILURE" and meta["result"]["exc_type"] == "TypeError":
        result = {**result, "exc_message": "…"}
    return ordinals({"status": meta["status"], "result": result, "children": meta["children"], "keys": sorted(meta)})


@pytest.mark.parametrize("which", ["debian", "newest"])
def test_as_a_python_worker(make_worker, make_python_worker, redis_server, broker, app, instance, which):
    theirs = Broker(redis_server.new_url(), instance)
    make_python_worker(which=which, broker=theirs)
    make_worker()
    their_app = theirs.app()
    for n, (name, args, kwargs) in enumerate(CALLS):
        for each in (app, their_app):
            each.send_task(name, args, kwargs, task_id=f"call-{n}")
    for n, (name, args, kwargs) in enumerate(CALLS):
        assert said(broker, f"call-{n}") == said(theirs, f"call-{n}"), (name, args, kwargs)
    for task_id in ("one", "two", "the-body"):
        assert broker.meta(task_id)["result"] == theirs.meta(task_id)["result"]
    chunks = [json.loads(each.redis.get(f"celery-task-meta-call-{n}"))["result"]
              for n, (name, _, _) in enumerate(CALLS) if name == "celery.chunks" for each in (broker, theirs)]
    assert [result_from_tuple(tuple_, each).get(timeout=60) for tuple_, each in zip(chunks, (app, their_app))] == 2 * [
        [[3, 7], [11]]]
    broker.wait_settled()
    their_app.close()


def unlock(app, group_id, results, body, **kwargs):
    """As a producer whose backend cannot count: celery.backends.base.Backend.fallback_chord_unlock."""
    return app.send_task("celery.chord_unlock", (group_id, body), {"result": results, **kwargs}, countdown=0)


def test_chord_unlock(worker, app, broker):
    fast = [app.send_task("celeriac.add", (n, n), task_id=f"fast-{n}") for n in range(700)]
    body = {**ECHO, "options": {"task_id": "unlocked"}}
    sent = unlock(app, "g-1", [*[result.as_tuple() for result in fast], [["late", None], None]], body, interval=0.2)
    worker.wait_log(r"celery.chord_unlock\[.*retry: Retry in 0.2s")
    app.send_task("celeriac.echo", (None,), task_id="late")
    assert app.AsyncResult("unlocked").get(timeout=60) == [2 * n for n in range(700)] + [None]
    broker.wait_settled()
    assert broker.redis.get(f"celery-task-meta-{sent.id}") in (None, b""), "its own result is ignored, as Celery's is"


def test_chord_unlock_of_nested_results(worker, app):
    nested = group([signature("celeriac.add", (n, n), app=app) for n in range(3)]).apply_async()
    flat = app.send_task("celeriac.echo", ("flat",))
    unlock(app, "g-2", [nested.as_tuple(), flat.as_tuple()], {**ECHO, "options": {"task_id": "nested-body"}}, interval=0.05)
    assert app.AsyncResult("nested-body").get(timeout=60) == [[0, 2, 4], "flat"]


def test_chord_unlock_of_a_failure(worker, app, broker):
    failed = app.send_task("celeriac.fail", ("boo",), task_id="failed")
    errback = {**ECHO, "options": {"task_id": "unlock-errback"}}
    unlock(app, "g-3", [failed.as_tuple()], {**ECHO, "options": {"task_id": "no-body", "link_error": [errback]}}, interval=0.05)
    with pytest.raises(celery.exceptions.ChordError, match=r"Dependency failed raised RuntimeError\('boo'\)"):
        app.AsyncResult("no-body").get(timeout=60)
    assert app.AsyncResult("unlock-errback").get(timeout=60) == "no-body"


def test_chord_unlock_gives_up(worker, app, broker):
    body = {**ECHO, "options": {"task_id": "never"}}
    sent = unlock(app, "g-4", [[["nobody", None], None]], body, interval=0.01, max_retries=2)
    with pytest.raises(celery.exceptions.ChordError, match="chord_unlock could not be retried: MaxRetriesExceededError"):
        app.AsyncResult("never").get(timeout=60)
    broker.wait_settled()
    assert len(worker.log_lines(rf"Task celery.chord_unlock\[{sent.id}\] retry")) == 2
    assert worker.log_lines(rf"celery.chord_unlock\[{sent.id}\] raised unexpected: MaxRetriesExceededError")


@pytest.mark.parametrize("args", [("g", {}), ("g", {}, None, None, [5]), ("g", {"task": "celeriac.echo"}, "soon", None, []),
                                  ("g", None, None, None, [])])
def test_chord_unlock_of_nonsense(worker, app, args):
    app.send_task("celery.chord_unlock", args, task_id="nonsense")
    worker.wait_log(r"celery.chord_unlock\[nonsense\] raised unexpected: (TypeError|ValueError)")


def test_a_python_producer_without_counters(make_worker, broker):
    """Its backend has no counters; ours runs everything."""
    make_worker()
    producer = broker.app()
    body = signature("celeriac.xsum", app=producer, options={"task_id": "polled"})
    result = group(signature("celeriac.add", (n, n), app=producer) for n in range(20)).apply_async()
    producer.backend.fallback_chord_unlock(result, body, interval=0.1)
    assert producer.AsyncResult("polled").get(timeout=60) == 380
    producer.close()


def test_a_map_ends_with_its_limit(worker, app):
    sleeps = {**ECHO, "task": "celeriac.sleep"}
    with pytest.raises(Exception, match="TimeLimitExceeded"):
        app.send_task("celery.map", (sleeps, [30, 30]), time_limit=1).get(timeout=60)


def test_inner_tasks_that_want_what_only_a_message_can_have(worker, app):
    again = {**ECHO, "task": "celeriac.retry"}
    assert app.send_task("celery.map", (again, [0])).get(timeout=60) == [0]
    with pytest.raises(celery.exceptions.Retry, match="Task can be retried"):
        app.send_task("celery.map", (again, [1])).get(timeout=60)


def test_maps_and_chunks_in_canvases(worker, app):
    """As Celery's own signatures send them."""
    add, echo = signature("celeriac.add", app=app), signature("celeriac.echo", app=app)

    def mapped(kind, it, **more):
        return signature({"task": f"celery.{kind}", "args": [], "kwargs": {"task": add if kind != "map" else echo, "it": it, **more},
                          "options": {}, "subtask_type": {"map": "xmap", "starmap": "xstarmap"}.get(kind, kind),
                          "immutable": True}, app=app)

    assert mapped("map", [1, 2]).apply_async().get(timeout=60) == [1, 2]
    assert mapped("starmap", [[1, 2]]).apply_async().get(timeout=60) == [3]
    assert mapped("chunks", [[n, n] for n in range(5)], n=2).apply_async().get(timeout=60) == [[0, 2], [4, 6], [8]]
    assert chain(signature("celeriac.echo", (1,), app=app), mapped("starmap", [[1, 2], [3, 4]]))().get(timeout=60) == [3, 7]
    assert chord([mapped("map", [1]), mapped("map", [2])])(echo).get(timeout=60) == [[1], [2]]


def test_what_cannot_be_applied(worker, app):
    """A group ends at a signature that is none; the failure of an unlocked body that is none is one of the task."""
    fine, bad = {**ECHO, "args": [1], "options": {"task_id": "fine"}}, {"task": 5}
    with pytest.raises(ValueError, match="a signature without a task"):
        app.send_task("celery.group", ([fine, bad], [["g-5", None], []], "g-5", [])).get(timeout=60)
    with pytest.raises(ValueError, match="a signature without a task"):
        app.send_task("celery.chord", ([bad], BODY)).get(timeout=60)
    done = app.send_task("celeriac.echo", (1,))
    assert done.get(timeout=60) == 1
    app.send_task("celery.chord_unlock", ("g-6", {}), {"result": [done.as_tuple()]}, task_id="no-body")
    worker.wait_log(r"celery.chord_unlock\[no-body\] raised unexpected: .*chord body: a signature without a task")
    assert app.AsyncResult("fine").get(timeout=60) == 1, "as by Celery, which sends one after the other"


def test_what_follows_a_group_follows_its_tasks(worker, app):
    """What the task published and what its own message says go out together, in this order."""
    sent = app.send_task("celery.group", ([{**ECHO, "args": ["first"], "options": {"task_id": "published"}}], [["g-7", None], []], "g-7", []),
                         link=app.signature("celeriac.echo", task_id="linked"))
    assert sent.get(timeout=60) == [["g-7", None], []]
    assert app.AsyncResult("published").get(timeout=60) == "first"
    assert app.AsyncResult("linked").get(timeout=60) == [["g-7", None], []]
    order = [line.split("[")[-1].split("]")[0] for line in worker.log_lines(r"celeriac.echo\[.*received")]
    assert order == ["published", "linked"]


@pytest.mark.docker
def test_a_map_of_what_cannot_run_inside(make_full_worker, app):
    """It has a row and a lane of its own, which a task in a task has not."""
    make_full_worker()
    with pytest.raises(NotImplementedError, match="sandbox.close cannot run inside celery.map: send it by itself"):
        app.send_task("celery.map", ({**ECHO, "task": "sandbox.close"}, ["c"])).get(timeout=60)
