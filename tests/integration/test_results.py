"""What clients read of our results: in every form that Celery has for them."""

import json

import celery.exceptions
import pytest
from celery import chain, chord, group, signature
from celery.result import GroupResult, ResultSet

from asking import asking
from clients import PYTHONS, Broker, Client, envelope
from services import wait_until

BOTH = pytest.mark.parametrize("which", list(PYTHONS))


def plain(name, *args, **options):
    return {"task": f"celeriac.{name}", "args": args, "kwargs": {}, "options": options, "subtask_type": None, "immutable": False}


def chord_of(header, body):
    return {"task": "celery.chord", "args": [], "kwargs": {"header": header, "body": body, "kwargs": {}}, "options": {},
            "subtask_type": "chord", "immutable": False}


# setting, its values, which Pythons can read that
FORMS = [("yaml", {"result_serializer": "yaml"}, ["debian"]), ("msgpack", {"result_serializer": "msgpack"}, ["debian"]),
         *[(name, {"result_compression": name}, ["newest"]) for name in ("gzip", "bzip2", "lzma")]]


def environment(conf):
    return {f"CELERY_{name.upper()}": value for name, value in conf.items()}


@pytest.mark.parametrize("name, conf, pythons", FORMS, ids=[form[0] for form in FORMS])
def test_forms(make_worker, make_python_worker, broker, name, conf, pythons):
    """Results, failures, and a chord whose parts were run by both."""
    conf = {**conf, "accept_content": ["json", "yaml", "msgpack"] if "result_serializer" in conf else ["json"]}
    which = pythons[0]
    make_worker("-Q", "celery,ours", **environment({key: ",".join(value) if isinstance(value, list) else value
                                                     for key, value in conf.items()}))
    make_python_worker(which=which, args=["-Q", "python"], TEST_CONF=json.dumps(conf))
    value = {"a": [1, 2.5, None, True, "x\nstatus: SUCCESS\ny", "é"], "b": {}}
    nested = chord_of([plain("add", 1, 2, queue="ours"), plain("add", 3, 4, queue="python")], plain("xsum"))
    failing = chord_of([plain("add", 1, 2, queue="python"), plain("fail", "boo", queue="ours")], plain("xsum"))
    answers = Client(which, broker).call(
        [("celeriac.echo", (value,), {}, {}), ("celeriac.fail", ("no",), {}, {}), ("celeriac.echo", ("x" * 100000,), {}, {})],
        canvases=[nested, failing], conf=conf)
    assert [answer["state"] for answer in answers] == ["SUCCESS", "FAILURE", "SUCCESS", "SUCCESS", "FAILURE"]
    assert answers[0]["value"] == value and answers[2]["value"] == "x" * 100000 and answers[3]["value"] == 10
    assert (answers[1]["error"], answers[1]["message"]) == ("builtins.RuntimeError", "no")
    assert answers[4]["error"] == "celery.exceptions.ChordError" and "RuntimeError('boo')" in answers[4]["message"]


@pytest.mark.parametrize("name, conf, pythons", [("json", {}, ["newest"]), *FORMS], ids=["json", *[form[0] for form in FORMS]])
def test_success_is_never_overwritten(make_worker, make_python_worker, broker, name, conf, pythons):
    """A message that comes again, of a task that succeeded elsewhere."""
    make_python_worker(which=pythons[0], TEST_CONF=json.dumps(conf))
    client = Client(pythons[0], broker)
    accept = {**conf, "accept_content": ["json", "yaml", "msgpack"]}
    assert client.call([("celeriac.echo", ("first",), {}, {"task_id": "twice"})], conf=accept)[0]["value"] == "first"
    before = broker.redis.get("celery-task-meta-twice")
    ours = make_worker("-Q", "ours", **environment(conf))
    broker.push(json.dumps(envelope("celeriac.fail", ["again"], task_id="twice")[1]), "ours")
    broker.push(json.dumps(envelope("celeriac.fail", ["new"], task_id="other")[1]), "ours")
    wait_until(lambda: ours.metric("tasks_failed_total") == 2 and broker.redis.exists("celery-task-meta-other"), 30,
               "they did not run")
    wait_until(lambda: broker.unacked() == (0, 0), 30, "they were not settled")
    assert broker.redis.get("celery-task-meta-twice") == before


@pytest.mark.parametrize("setting, word", [("CELERY_RESULT_SERIALIZER", "pickle"), ("CELERY_RESULT_SERIALIZER", "raw"),
                                           ("CELERY_RESULT_COMPRESSION", "zip")])
def test_forms_that_are_none(make_worker, setting, word):
    worker = make_worker(start=False, **{setting: word}).spawn()
    assert worker.process.wait(30) == 1
    assert f"{setting.removeprefix('CELERY_').lower()}: {word} is not one of" in worker.log()


# in MessagePack: integers beyond 64 bit, and characters that UTF-8 has not; at any depth, as keys, beside what can be written
UNWRITABLE = ["[18446744073709551616]", '{"a": [-9223372036854775809]}', '"\\ud800"', '{"\\udfff": 1}']


def cannot_be_written(broker, app):
    for value in UNWRITABLE:
        task_id, message = envelope(body=f"[[{value}], {{}}, {{}}]")
        broker.push(json.dumps(message))
        result = app.AsyncResult(task_id)
        with pytest.raises(Exception) as caught:
            result.get(timeout=30)
        assert type(caught.value).__name__ == "EncodeError", (value, caught.value)
        yield result
    assert app.send_task("celeriac.echo", ("fine",)).get(timeout=30) == "fine"


@pytest.mark.parametrize("side", ["ours", "python"])
def test_results_that_cannot_be_written(make_worker, make_python_worker, broker, side):
    """A FAILURE that says so."""
    conf = {"result_serializer": "msgpack", "accept_content": ["json", "msgpack"]}
    if side == "ours":
        make_worker(**environment({**conf, "accept_content": "json,msgpack"}))
    else:
        make_python_worker(which="debian", TEST_CONF=json.dumps(conf))
    assert len(list(cannot_be_written(broker, broker.app(**conf)))) == len(UNWRITABLE)


def test_arguments_that_cannot_be_written(make_worker, broker):
    """result_extended asks for them: they are left out. Celery's client waits for ever."""
    conf = {"result_serializer": "msgpack", "accept_content": ["json", "msgpack"], "result_extended": True}
    make_worker(**environment({**conf, "accept_content": "json,msgpack", "result_extended": "true"}))
    app = broker.app(**conf)
    for result in cannot_be_written(broker, app):
        assert (result.name, result.args, result.kwargs) == ("celeriac.echo", None, None)
    result = app.send_task("celeriac.xsum", ([2**70, 1 - 2**70],))
    assert (result.get(timeout=30), result.args) == (1, None)


@BOTH
def test_exceptions_are_rebuilt(worker, broker, which):
    """Of Celery's, of Python's, and of ours, whose module no client has."""
    unknown = ("celery.map", ({"task": "no.such.task"}, []), {}, {})
    broker.redis.set("celery-task-meta-ours", json.dumps({
        "status": "FAILURE", "traceback": None, "children": [], "date_done": None, "task_id": "ours",
        "result": {"exc_type": "SandboxError", "exc_message": ["gone"], "exc_module": "celeriac"}}))
    answers = Client(which, broker).call([
        unknown, ("celeriac.fail", ("é",), {}, {}), ("celeriac.add", (1,), {}, {}), ("no.such.task", (), {}, {}),
        ("celeriac.echo", (1,), {}, {"task_id": "ours", "queue": "nobody"})])
    assert [answer["error"] for answer in answers] == [
        "celery.exceptions.NotRegistered", "builtins.RuntimeError", "builtins.TypeError", "celery.exceptions.NotRegistered",
        "celery.exceptions.SandboxError"]
    assert answers[4]["message"] == "gone"


def test_async_result(worker, app):
    first = signature("celeriac.add", (1, 2), app=app)
    first.link(signature("celeriac.add", (10,), app=app))
    first.link(signature("celeriac.echo", ("told",), app=app, immutable=True))
    result = first.apply_async()
    assert result.get(timeout=30) == 3 and result.successful() and result.date_done is not None
    assert isinstance(result.children[0], GroupResult)
    assert sorted(str(value) for _, value in result.collect(timeout=30) if not isinstance(value, list)) == ["13", "3", "told"]
    assert len(list(result.iterdeps())) == 4
    assert result.name is None, "result_extended is off"
    result.forget()
    assert app.AsyncResult(result.id).state == "PENDING"
    assert result.backend.client.exists(f"celery-task-meta-{result.id}") == 0


def test_group_result(make_worker, app, broker):
    worker = make_worker("-c", "2")
    result = group(signature("celeriac.add", (n, n), app=app) for n in range(4)).apply_async()
    result.save()
    restored = GroupResult.restore(result.id, app=app)
    assert restored.join(timeout=30) == restored.join_native(timeout=30) == [0, 2, 4, 6]
    assert restored.completed_count() == 4 and restored.successful()
    mixed = ResultSet([app.send_task("celeriac.add", (1, 1)), app.send_task("celeriac.fail", ("boo",))], app=app)
    with pytest.raises(RuntimeError, match="boo"):
        mixed.get(timeout=30)
    assert mixed.failed()
    assert isinstance(mixed.get(timeout=30, propagate=False)[1], RuntimeError)
    slow = group(signature("celeriac.sleep", (600,), app=app) for _ in range(3)).apply_async()
    wait_until(lambda: worker.metric("tasks_active") == 2, 30, "it was not busy")
    broker.wait_listening()
    slow.revoke(terminate=True)
    with pytest.raises(celery.exceptions.TaskRevokedError):
        slow.get(timeout=30)
    wait_until(lambda: all(each.state == "REVOKED" for each in slow), 30, "not all were revoked")
    restored.forget()
    broker.wait_settled()


def test_a_meta_is_as_celerys(make_worker, app, broker):
    make_worker(CELERY_RESULT_EXTENDED="1")
    result = chain(signature("celeriac.add", (1, 2), app=app), group(signature("celeriac.add", (n,), app=app) for n in (1, 2)))()
    assert result.get(timeout=30) == [4, 5]
    meta = broker.meta(result[0].id)
    assert {key for key in meta} == {"status", "result", "traceback", "children", "date_done", "group_id", "parent_id", "name", "args",
                                     "kwargs", "worker", "retries", "queue", "task_id"}
    assert meta["group_id"] == result.id and meta["parent_id"] == result.parent.id
    assert meta["date_done"].endswith("+00:00") and meta["queue"] == "celery" and meta["args"] == [3, 1]
    assert broker.meta(result.parent.id)["children"] == [[[result.id, None], [[[each.id, None], None] for each in result]]]
    assert broker.redis.ttl(f"celery-task-meta-{result[0].id}") > 86000


@pytest.mark.long
def test_a_result_too_big(worker, broker):
    """What the message holds as UTF-8 is three times as long in a result."""
    body = json.dumps([["é" * 12_000_000], {}, {}], ensure_ascii=False).encode()
    task_id, message = envelope("celeriac.echo", body=body)
    broker.push(json.dumps(message))
    meta = broker.meta(task_id, 120)
    assert meta["status"] == "FAILURE" and meta["result"]["exc_type"] == "EncodeError"
    assert worker.alive()


def test_chords_by_arrival(make_worker, make_python_worker, broker, app):
    """result_chord_ordered off: a list, shared with a Python worker."""
    options = {"result_chord_ordered": False}
    make_worker("-Q", "celery,ours", CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS=json.dumps(options))
    python = make_python_worker(args=["-Q", "python"], TEST_CONF=json.dumps({"result_backend_transport_options": options}))
    made = broker.app(result_backend_transport_options=options)

    def s(name, *args, **more):
        return signature(f"celeriac.{name}", args=args, app=made, options=more)

    result = chord([s("add", 1, 1, queue="ours"), s("add", 2, 2, queue="nobody"), s("add", 3, 3, queue="python")])(s("echo"))
    key = f"celery-taskset-meta-{result.parent.id}.j"
    wait_until(lambda: broker.redis.llen(key) == 2, 30, "two parts are not in")
    assert broker.redis.type(key) == b"list"
    python.stop()
    make_worker("-Q", "nobody", CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS=json.dumps(options))
    values = result.get(timeout=30)
    assert sorted(values) == [2, 4, 6] and values[-1] == 4
    made.close()


def test_another_server_for_results(make_worker, redis_server, broker, instance, app):
    """Broker and backend apart: chords, nested, failing, and their sets."""
    backend = Broker(redis_server.new_url(), instance)
    make_worker(CELERY_RESULT_BACKEND=backend.url)
    made = app.__class__(broker=broker.url, backend=asking(backend.url), set_as_current=False)

    def s(name, *args, **more):
        return signature(f"celeriac.{name}", args=args, app=made, options=more)

    results = [chord([s("add", n, m) for m in range(20)])(s("xsum")) for n in range(10)]
    assert [result.get(timeout=30) for result in results] == [20 * n + 190 for n in range(10)]
    assert chain(s("add", 1, 2), group(s("add", 1), s("add", 2)), s("xsum"))().get(timeout=30) == 9
    failing = chord([s("add", 1, 1), s("fail", "boo")])(s("xsum"))
    with pytest.raises(celery.exceptions.ChordError, match="boo"):
        made.AsyncResult(failing.id).get(timeout=30)
    wait_until(lambda: not backend.redis.keys("celery-taskset-meta-*.[jstd]"), 30, "sets stay behind")
    broker.wait_settled()
    made.close()
