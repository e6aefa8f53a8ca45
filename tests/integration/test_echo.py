"""Ordinary calls: what a Celery client sends comes back, and what it reads is what a Python worker would have written."""

import datetime
import decimal
import json
import signal
import uuid

import celery
import celery.exceptions
import pytest

from clients import Client, envelope
from services import patience, wait_until

NAN = float("nan")
VALUES = [
    None, True, False, 0, 1, -1, 2**31, -(2**63), 2**63, 2**64 + 1, 10**60, -(10**300), 0.0, -0.0, 1.5, 0.1, 1e300, 5e-324,
    -1e22, NAN, float("inf"), float("-inf"), "", "plain", "naïve café", "漢字", "😀 emoji", "a\u0000b", "\u0000",
    "line\nbreak\ttab\r\x1b[31m\x7f", "\u2028\u2029", "\\ \" /", "\ud800 alone", "\u0001 first", [], {}, [[]], [{}], {"": ""},
    [1, [2, [3, [4, [None, True, "x", 1.5]]]]], {"a": {"b": {"c": [1, 2, {"d": "ü"}]}}}, {"ключ": "значение", "k\x1f": 1},
    {"__type__": "datetime"}, list(range(500)), "x" * 20000, {str(n): n for n in range(200)}, [NAN, {"n": NAN}, 2**70],
]


def same(one, other):
    """Equal as JSON, which tells True from 1, 1 from 1.0, and finds NaN equal to itself."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.parametrize("which", ["debian", "newest"])
def test_a_thousand_echoes(which, worker, broker):
    sent = [[VALUES[n % len(VALUES)], n] for n in range(1000)]
    requests = [
        ("celeriac.echo", [value], {}, {}) if n % 2 else ("celeriac.echo", [], {"value": value}, {})
        for n, value in enumerate(sent)
    ]
    got = Client(which, broker).call(requests)
    wrong = [(value, answer) for value, answer in zip(sent, got, strict=True) if not same(answer.get("value"), value)]
    assert wrong == []
    assert {answer["state"] for answer in got} == {"SUCCESS"}
    assert worker.metric("tasks_succeeded_total") == 1000
    broker.wait_settled()


def test_values_with_types_of_their_own(worker, app):
    when = datetime.datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=datetime.timezone.utc)
    for value in (when, when.date(), when.time(), decimal.Decimal("1.10"), uuid.uuid4(), b"\x00\xff bytes", [when, {"d": when}]):
        assert app.send_task("celeriac.echo", (value,)).get(timeout=60) == value


def test_adding_and_summing(worker, app):
    def call(name, *args, **kwargs):
        return app.send_task(name, args, kwargs).get(timeout=60)

    for x, y in ((1, 2), (2**63 - 1, 1), (-(2**64), 10**40), (1, 2.5), (0.1, 0.2), (True, 1)):
        assert same(call("celeriac.add", x, y), x + y), (x, y)
    assert call("celeriac.add", x=2, y=3) == 5
    assert call("celeriac.add", 2, y=3) == 5
    for numbers in ([], [1, 2, 3], [0.5, 1], [2**62] * 5, [10**30, -(10**30), 1]):
        assert same(call("celeriac.xsum", numbers), sum(numbers)), numbers


def test_a_sleep_takes_its_time_and_its_slots(make_worker, app, broker):
    make_worker("-c", "2")
    results = [app.send_task("celeriac.sleep", (0.4,)) for _ in range(4)]
    for result in results:
        result.get(timeout=60)
    done = sorted(result.date_done for result in results)
    assert done[2] - done[0] >= datetime.timedelta(seconds=0.35), "more than two ran at a time"


def test_states_of_a_result(make_worker, app):
    make_worker(CELERY_TASK_TRACK_STARTED="1")
    slow = app.send_task("celeriac.sleep", (patience(2),))
    wait_until(lambda: slow.state == "STARTED", 20, "it was not reported as started")
    assert set(slow.info) == {"pid", "hostname"}
    slow.get(timeout=patience(60))
    assert (slow.state, slow.successful(), slow.failed(), slow.ready()) == ("SUCCESS", True, False, True)
    failed = app.send_task("celeriac.fail", ("no",))
    failed.get(timeout=60, propagate=False)
    assert (failed.state, failed.successful(), failed.failed()) == ("FAILURE", False, True)
    assert "RuntimeError: no" in failed.traceback
    assert app.AsyncResult(str(uuid.uuid4())).state == "PENDING"


@pytest.mark.parametrize("message", ["no luck", "", "ünïcode 😀", "two\nlines", "nul \u0000 inside", "x" * 5000])
def test_exceptions_are_rebuilt(worker, app, message):
    with pytest.raises(RuntimeError) as raised:
        app.send_task("celeriac.fail", (message,)).get(timeout=60)
    assert raised.value.args == (message,)


@pytest.mark.parametrize(
    "name, args, kwargs, named",
    [
        ("celeriac.add", (1,), {}, "y"),
        ("celeriac.add", (), {}, "x"),
        ("celeriac.add", (1, 2, 3), {}, "3"),
        ("celeriac.add", (1, 2), {"z": 3}, "z"),
        ("celeriac.add", (1,), {"x": 3}, "x"),
        ("celeriac.add", ("one", 2), {}, "x"),
        ("celeriac.add", (1, [2]), {}, "y"),
        ("celeriac.add", (1, None), {}, "y"),
        ("celeriac.echo", (), {}, "value"),
        ("celeriac.echo", (1,), {"valu\ne": 1}, "valu"),
        ("celeriac.xsum", (5,), {}, "numbers"),
        ("celeriac.sleep", ("long",), {}, "seconds"),
        ("celeriac.fail", (7,), {}, "message"),
    ],
)
def test_wrong_arguments_are_named(worker, app, name, args, kwargs, named):
    result = app.send_task(name, args, kwargs)
    with pytest.raises((TypeError, ValueError)) as raised:
        result.get(timeout=60)
    assert named in str(raised.value)
    assert result.state == "FAILURE"


@pytest.mark.parametrize(
    "name, argument, error, words",
    [
        ("celeriac.xsum", [1, "two"], TypeError, "unsupported operand type(s) for +: 'int' and 'str'"),
        ("celeriac.sleep", -1, ValueError, "sleep length must be non-negative"),
        ("celeriac.sleep", NAN, ValueError, "Invalid value NaN (not a number)"),
        ("celeriac.sleep", 1e300, OverflowError, "timestamp out of range for platform time_t"),
    ],
)
def test_values_that_python_would_refuse(worker, app, name, argument, error, words):
    with pytest.raises(error) as raised:
        app.send_task(name, (argument,)).get(timeout=60)
    assert str(raised.value) == words


def test_a_task_nobody_knows(worker, app, broker):
    result = app.send_task("nobody.knows", (1,))
    with pytest.raises(celery.exceptions.NotRegistered) as raised:
        result.get(timeout=60)
    assert "nobody.knows" in str(raised.value)
    broker.wait_settled()
    worker.wait_log("Received unregistered task of type 'nobody.knows'")
    assert broker.dead() == []


def test_a_message_past_its_expiry_is_not_run(make_worker, app, broker):
    late = app.send_task("celeriac.fail", ("ran",), expires=datetime.datetime.now(datetime.timezone.utc))
    in_time = app.send_task("celeriac.echo", ("ran",), expires=600)
    make_worker()
    with pytest.raises(celery.exceptions.TaskRevokedError):
        late.get(timeout=60)
    assert late.state == "REVOKED"
    assert in_time.get(timeout=60) == "ran"
    broker.wait_settled()


def test_a_result_nobody_wants_is_not_stored(worker, app, broker):
    ignored = [app.send_task("celeriac.echo", (n,), ignore_result=True) for n in range(5)]
    kept = app.send_task("celeriac.echo", (1,))
    kept.get(timeout=60)
    wait_until(lambda: worker.metric("tasks_succeeded_total") == 6, 20, "not all ran")
    broker.wait_settled()
    assert broker.result_count() == 1
    assert [result.state for result in ignored] == ["PENDING"] * 5


def test_a_countdown_is_not_early_and_blocks_nobody(make_worker, app, broker):
    make_worker("-c", "1", "--prefetch-multiplier", "1")
    due = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=patience(5))
    held = [app.send_task("celeriac.echo", (n,), eta=due) for n in range(20)]
    assert app.send_task("celeriac.echo", ("now",)).get(timeout=60) == "now"
    assert datetime.datetime.now(datetime.timezone.utc) < due, "too slow to tell"
    assert [result.get(timeout=patience(60)) for result in held] == list(range(20))
    for result in held:
        done = result.date_done
        if done.tzinfo is None:
            done = done.replace(tzinfo=datetime.timezone.utc)
        assert due <= done < due + datetime.timedelta(seconds=patience(10))
    broker.wait_settled()


def test_urgent_messages_come_first(make_worker, app, broker):
    priorities = [9, 3, 0, 6, 0, 9, 3, 6, 5, 1]
    sent = [(app.send_task("celeriac.echo", (n,), priority=p).id, p) for n, p in enumerate(priorities)]
    worker = make_worker("-c", "1", "--prefetch-multiplier", "1")
    broker.wait_settled()
    order = [line.split("[")[-1].split("]")[0] for line in worker.log_lines(r"Task celeriac\.echo\[.*\] received")]
    step = {0: 0, 1: 0, 3: 3, 5: 3, 6: 6, 9: 9}
    assert order == [task_id for task_id, _ in sorted(sent, key=lambda item: step[item[1]])]


def test_several_queues_are_served(make_worker, app, broker):
    make_worker("-Q", "one,two,three", "-c", "1", "--prefetch-multiplier", "1")
    results = [app.send_task("celeriac.echo", (n,), queue=name) for n, name in enumerate(["one", "two", "three"] * 20)]
    other = app.send_task("celeriac.echo", ("other",))
    assert [result.get(timeout=60) for result in results] == list(range(60))
    assert other.state == "PENDING" and broker.redis.llen("celery") == 1


def test_what_expired_comes_between_others(worker, broker):
    """All taken at once: each is what it is alone."""
    sent = [envelope(args=(n,), headers={"expires": "2020-01-01T00:00:00+00:00"} if n % 2 else {}) for n in range(40)]
    worker.process.send_signal(signal.SIGSTOP)
    for _, message in sent:
        broker.push(json.dumps(message))
    worker.process.send_signal(signal.SIGCONT)
    metas = [broker.meta(task_id) for task_id, _ in sent]
    assert [meta["status"] for meta in metas] == ["SUCCESS", "REVOKED"] * 20
    assert [meta["result"] for meta in metas[::2]] == list(range(0, 40, 2))
    broker.wait_settled()


def test_a_group(worker, app):
    result = celery.group(
        (app.signature("celeriac.echo", args=(n,)) for n in range(50)), app=app
    ).apply_async()
    assert result.get(timeout=60) == list(range(50))
    assert result.successful() and result.completed_count() == 50


def metas_of(app, broker):
    """What is stored for each kind of call, decoded."""
    results = {
        "success": app.send_task("celeriac.echo", ([1, {"a": None}],)),
        "failure": app.send_task("celeriac.fail", ("oh\nno",)),
        "unknown": app.send_task("nobody.knows"),
        "missing": app.send_task("celeriac.add", (1,)),
        "expired": app.send_task("celeriac.echo", (1,), expires=datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)),
    }
    group = celery.group([app.signature("celeriac.add", args=(1, 1))], app=app).apply_async()
    results["in a group"] = group.results[0]
    results["child"] = app.send_task("celeriac.echo", (1,), parent_id="the-parent", root_id="the-root")
    return {kind: broker.meta(result.id) for kind, result in results.items()}


@pytest.mark.parametrize("extended", ["0", "1"])
def test_metas_are_those_of_a_python_worker(make_worker, make_python_worker, app, broker, extended):
    python = make_python_worker(TEST_EXTENDED=extended)
    theirs = metas_of(app, broker)
    python.stop()
    make_worker(CELERY_RESULT_EXTENDED=extended)
    ours = metas_of(app, broker)
    always_varying = {"task_id", "date_done", "traceback", "group_id", "worker"}
    for kind, expected in theirs.items():
        got, varying = ours[kind], always_varying
        assert set(got) == set(expected), kind
        if kind == "unknown":  # Python leaves the extended fields of what it does not know empty; ours say what was sent
            varying = varying | {key for key, value in expected.items() if value is None}
        for key in varying & set(expected):
            assert expected[key] is None or type(got[key]) is type(expected[key]), (kind, key)
        for key in set(expected) - varying - {"result"}:
            assert got[key] == expected[key], (kind, key)
        if kind == "missing":  # Python's wording has the function's name in it
            assert {**got["result"], "exc_message": 0} == {**expected["result"], "exc_message": 0}
        else:
            assert got["result"] == expected["result"], kind
        assert datetime.datetime.fromisoformat(got["date_done"]).tzinfo is not None
    ttl = {kind: broker.redis.ttl(f"celery-task-meta-{meta['task_id']}") for kind, meta in ours.items()}
    assert all(86000 < seconds <= 86400 for seconds in ttl.values()), ttl


def test_a_success_is_never_overwritten(worker, app, broker):
    first = app.send_task("celeriac.echo", ("first",))
    first.get(timeout=60)
    before = broker.redis.get(f"celery-task-meta-{first.id}")
    app.send_task("celeriac.fail", ("second",), task_id=first.id)
    wait_until(lambda: worker.metric("tasks_failed_total") == 1, 20, "the second did not run")
    broker.wait_settled()
    assert broker.redis.get(f"celery-task-meta-{first.id}") == before
