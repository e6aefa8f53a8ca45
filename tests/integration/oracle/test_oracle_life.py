"""A task from its message to its result."""

import datetime

import celery.exceptions
import pytest

from places import BACKEND, BROKER, LATER
from services import wait_until
from world import NUMBER, Is, done, error, traceback_of

UTC = datetime.timezone.utc


# ---- ends ----

@pytest.mark.parametrize("value", [
    None, True, 0, -1, 2**63 - 1, -(2**63), 2**64, 10**40, 1.5, 1e308, -0.0, 5e-324, "", "text", "grüß \U0001f331", "\x00\x1f\"\\/",
    [], {}, [[[]]], {"": {"a": [1, "x", None]}}, "x" * 100_000, list(range(2000)),
], ids=lambda value: repr(value)[:20])
def test_success_of_any_value(world, value):
    result = world.send("echo", value)
    got = result.get(timeout=60)
    assert got == value and type(got) is type(value) and repr(got) == repr(value)
    assert world.stored(result.id) == done(result.id, result=value)
    assert result.successful() and result.state == "SUCCESS"


def test_failure(world):
    result = world.send("fail", "oh\nno 'quoted' grüß")
    with pytest.raises(RuntimeError) as raised:
        result.get(timeout=60)
    assert raised.value.args == ("oh\nno 'quoted' grüß",)
    assert world.stored(result.id) == done(
        result.id, "FAILURE", error("RuntimeError", "oh\nno 'quoted' grüß"), traceback_of("RuntimeError: oh\nno 'quoted' grüß"))
    assert result.failed() and result.traceback.startswith("Traceback")


@pytest.mark.parametrize("args, kwargs, words", [
    ([], {}, ["missing", "'x'"]), ([1], {}, ["missing", "'y'"]), ([1, 2, 3], {}, ["takes 2 positional arguments but 3 were given"]),
    ([1, 2], {"z": 3}, ["unexpected keyword argument 'z'"]), ([1], {"x": 1}, ["multiple values for argument 'x'"]),
    ([1], {"y": "a"}, []),
    ([[1], 2], {}, []),
])
def test_wrong_arguments_are_a_type_error(world, args, kwargs, words):
    result = world.app.send_task("celeriac.add", args, kwargs)
    with pytest.raises(TypeError) as raised:
        result.get(timeout=60)
    for word in words:
        assert word in str(raised.value)


def test_a_task_nobody_knows(world):
    result = world.app.send_task("nobody.knows", (1,))
    with pytest.raises(celery.exceptions.NotRegistered) as raised:
        result.get(timeout=60)
    assert raised.value.args == ("nobody.knows",)
    assert world.stored(result.id) == done(
        result.id, "FAILURE", error("NotRegistered", "nobody.knows", module="celery.exceptions"), traceback=Is(
            lambda text: text is None or isinstance(text, str), "None or text"),
        children=world.stored(result.id).get("children"))
    world.settle(result)


# ---- what is stored ----

@pytest.mark.since(5, 3)
def test_an_ignored_result_is_not_stored(world):
    ignored = [world.send("echo", 1, ignore_result=True), world.send("fail", "x", ignore_result=True)]
    assert world.send("echo", 2, ignore_result=False).get(timeout=60) == 2
    world.settle(*ignored)
    assert [world.stored(result.id) for result in ignored] == [None, None]


@pytest.mark.since(5, 3)
def test_errors_are_stored_even_if_ignored(telling):
    quiet, loud = telling.send("echo", 1, ignore_result=True), telling.send("fail", "x", ignore_result=True)
    assert telling.meta(loud.id)["status"] == "FAILURE"
    telling.settle(quiet, loud)
    assert telling.stored(quiet.id) is None


def test_started_is_stored(telling):
    result = telling.send("sleep", 600)
    meta = telling.meta(result.id, "STARTED")
    assert meta["result"] == {"pid": NUMBER, "hostname": telling.name}
    assert meta["traceback"] is None
    assert BACKEND == "database" or (meta["date_done"], meta["children"]) == (None, []), "rows have always a date"
    telling.ask("revoke", task_id=result.id, terminate=True)
    assert telling.meta(result.id)["status"] == "REVOKED"


@pytest.mark.since(5, 3)
def test_started_of_an_ignored_result_is_not_stored(telling):
    ignored = telling.send("sleep", 600, ignore_result=True)
    telling.wait_active(ignored)
    assert telling.stored(ignored.id) is None
    telling.ask("revoke", task_id=ignored.id, terminate=True)
    telling.settle(ignored)


@pytest.mark.only("stored results", "each is a message, to whoever waits")
def test_a_success_is_never_overwritten(world):
    first = world.send("echo", "first")
    first.get(timeout=60)
    world.events  # noqa: B018
    before = world.stored(first.id)
    world.send("fail", "second", task_id=first.id)
    world.events.wait("task-failed", first.id)
    world.settle(first)
    assert world.stored(first.id) == before


def test_a_failure_is_overwritten(world):
    first = world.send("fail", "first")
    world.meta(first.id, "FAILURE")
    world.send("echo", "second", task_id=first.id)
    assert world.meta(first.id, "SUCCESS")["result"] == "second"


# ---- when ----

def test_a_countdown_is_waited_for(world):
    sent = datetime.datetime.now(UTC)
    result = world.send("echo", 1, countdown=1.5)
    assert result.get(timeout=60) == 1
    assert (datetime.datetime.now(UTC) - sent).total_seconds() >= 1.5


@pytest.mark.parametrize("make", [
    lambda now: (now + datetime.timedelta(seconds=LATER)).isoformat(),
    lambda now: (now + datetime.timedelta(seconds=LATER)).astimezone(datetime.timezone(datetime.timedelta(hours=9, minutes=30))).isoformat(),
    lambda now: (now + datetime.timedelta(seconds=LATER)).replace(tzinfo=None).isoformat(),
    lambda now: (now + datetime.timedelta(seconds=LATER)).replace(tzinfo=None).isoformat() + "Z",
    lambda now: (now + datetime.timedelta(seconds=LATER)).replace(microsecond=0).isoformat(),
], ids=["utc", "offset", "naive", "z", "whole"])
def test_dates_of_every_form(world, make):
    """The same instant, some minutes ahead, as eta and then as expires; and hours ago."""
    now = datetime.datetime.now(UTC)
    later, before = make(now), make(now - datetime.timedelta(hours=2))
    held = world.push(task="celeriac.echo", args=[1], headers={"eta": later})
    wait_until(lambda: held in [info["request"]["id"] for info in world.ask("scheduled")], 60, "it was not held")
    info = next(info for info in world.ask("scheduled") if info["request"]["id"] == held)
    assert abs((datetime.datetime.fromisoformat(info["eta"]) - now).total_seconds() - LATER) < 5
    assert world.meta(world.push(task="celeriac.echo", args=[2], headers={"eta": before}))["result"] == 2
    assert world.meta(world.push(task="celeriac.echo", args=[3], headers={"expires": later}))["result"] == 3
    assert world.meta(world.push(task="celeriac.echo", args=[4], headers={"expires": before}))["status"] == "REVOKED"
    world.ask("revoke", task_id=held, terminate=True)


@pytest.mark.parametrize("name", ["eta", "expires"])
@pytest.mark.parametrize("value", ["yesterday", "2026-13-01T00:00:00"])
def test_a_date_that_is_none_stops_nothing(world, name, value):
    """Whatever becomes of the message, the worker goes on."""
    world.push(task="celeriac.echo", args=[1], headers={name: value})
    assert world.send("echo", 2).get(timeout=60) == 2


def test_expired(world):
    result = world.send("echo", 1, expires=datetime.datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(celery.exceptions.TaskRevokedError, match="expired"):
        result.get(timeout=60)
    assert world.stored(result.id) == done(
        result.id, "REVOKED", error("TaskRevokedError", "expired", module="celery.exceptions"))
    world.settle(result)


def test_expired_while_it_waits_for_its_eta(world):
    result = world.send("echo", 1, countdown=1.5, expires=0.5)
    assert world.meta(result.id)["result"] == error("TaskRevokedError", "expired", module="celery.exceptions")
    world.settle(result)


@pytest.mark.only("redis broker", "RabbitMQ drops what expires in a queue: Celery's clients tell it when")
def test_expired_while_it_waits_for_a_thread(world):
    busy = [world.send("sleep", 600) for _ in range(2)]
    world.wait_active(*busy)
    expires = datetime.datetime.now(UTC) + datetime.timedelta(seconds=0.5)
    result = world.send("echo", 1, expires=expires)
    wait_until(lambda: datetime.datetime.now(UTC) > expires, 30)
    world.ask("revoke", task_id=[each.id for each in busy], terminate=True)
    assert world.meta(result.id)["result"] == error("TaskRevokedError", "expired", module="celery.exceptions")


# ---- in what order ----

def test_urgent_messages_come_first(make_world):
    """kombu's steps on Redis: 0, 3, 6, 9, the lowest first; RabbitMQ's priorities, the highest first. Within one as they were sent."""
    ranked = {"task_queue_max_priority": 9} if BROKER == "rabbitmq" else {}
    lone = make_world("-c", "1", conf=ranked, client_conf=ranked, start=False)
    rank = (lambda priority: -priority) if ranked else (lambda priority: priority // 3)
    priorities = [9, 3, 0, 6, 0, 9, 3, 6, 5, 1, 2, 8, 7]
    sent = [(lone.send("echo", n, priority=priority).id, priority) for n, priority in enumerate(priorities)]
    lone.events  # noqa: B018
    lone.worker.args = [*lone.worker.args, "-E"]
    lone.worker.start()
    for task_id, _ in sent:
        lone.events.wait("task-succeeded", task_id)
    started = [event["uuid"] for event, _, _ in lone.events.seen if event["type"] == "task-started"]
    assert started == [task_id for task_id, _ in sorted(sent, key=lambda item: rank(item[1]))]


def test_queues_are_served_in_turn(make_world):
    lone = make_world("-c", "1", "--prefetch-multiplier", "1", "-Q", "one,two,three", "-E", start=False)
    lone.events  # noqa: B018
    sent = {lone.send("echo", n, queue=queue).id: queue for n in range(20) for queue in ("one", "two", "three")}
    other = lone.send("echo", "other")
    lone.worker.start()
    for task_id in sent:
        lone.events.wait("task-succeeded", task_id)
    started = [sent[event["uuid"]] for event, _, _ in lone.events.seen if event["type"] == "task-started"]
    least = 5 if BROKER == "redis" else 2  # RabbitMQ's turns are its own
    assert all(started[:15].count(queue) >= least for queue in ("one", "two", "three")), started
    assert other.state == "PENDING" and lone.broker.queued("celery") == 1


def test_a_message_of_the_same_id_runs_again(world):
    """Celery does not look for duplicates."""
    for value in ("one", "two"):
        world.send("fail", value, task_id="same-" + world.name)
        wait_until(lambda: (world.stored("same-" + world.name) or {}).get("result") == error("RuntimeError", value), 60)
