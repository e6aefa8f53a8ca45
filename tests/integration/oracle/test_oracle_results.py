"""What the result backend holds, key by key, and how clients are told."""

import datetime
import json

import celery.result
import pytest
from celery import chain, group

from services import wait_until
from world import DATE, NUMBER, done, error, traceback_of

GROUP = {"group_id"}


@pytest.mark.only("redis results", "of their form there")
def test_the_key_its_life_and_its_form(world):
    result = world.send("echo", {"b": 1, "a": "grüß"})
    result.get(timeout=60)
    raw = world.redis.get(f"celery-task-meta-{result.id}")
    assert 86000 < world.redis.ttl(f"celery-task-meta-{result.id}") <= 86400
    assert raw == raw.decode().encode("ascii"), "Python escapes what is not ASCII"
    assert list(json.loads(raw)["result"]) == ["b", "a"], "the order of keys is kept"
    assert json.dumps(json.loads(raw)).encode() == raw, "blanks as Python writes them"


@pytest.mark.only("redis results", "by its channels")
def test_who_waits_is_told(world):
    """The meta is also published, on a channel of the same name, with the same text."""
    pubsub = world.redis.pubsub()
    pubsub.subscribe("celery-task-meta-told-" + world.name)
    wait_until(lambda: (pubsub.get_message(timeout=1) or {}).get("type") == "subscribe", 30)
    world.send("echo", 1, task_id="told-" + world.name)
    message = wait_until(lambda: pubsub.get_message(timeout=1), 60)
    assert message["data"] == world.redis.get("celery-task-meta-told-" + world.name)
    pubsub.close()


@pytest.mark.only("redis results", "by its channels")
def test_started_retry_and_success_are_told_in_order(telling):
    key = "celery-task-meta-states-" + telling.name
    pubsub = telling.redis.pubsub()
    pubsub.subscribe(key)
    wait_until(lambda: (pubsub.get_message(timeout=1) or {}).get("type") == "subscribe", 30)
    telling.send("retry", 1, 1, task_id="states-" + telling.name)
    states = []
    wait_until(lambda: (message := pubsub.get_message(timeout=1)) and states.append(json.loads(message["data"])["status"])
               or "SUCCESS" in states, 60, lambda: f"{states}")
    assert states == ["STARTED", "RETRY", "STARTED", "SUCCESS"]
    pubsub.close()


@pytest.mark.parametrize("kind", ["success", "failure", "group", "child", "unknown"])
def test_every_field(world, kind):
    if kind == "success":
        result = world.send("echo", [1])
        assert world.meta(result.id) == done(result.id, result=[1])
    if kind == "failure":
        result = world.send("fail", "x")
        assert world.meta(result.id) == done(result.id, "FAILURE", error("RuntimeError", "x"), traceback_of("RuntimeError: x"))
    if kind == "group":
        result = group([world.sig("add", 1, 1), world.sig("fail", "x")])()
        ok, bad = result.results
        assert world.meta(ok.id) == done(ok.id, result=2, group_id=result.id)
        assert world.meta(bad.id) == done(bad.id, "FAILURE", error("RuntimeError", "x"), traceback_of("x"), group_id=result.id)
    if kind == "child":
        result = world.send("echo", 1, parent_id="the-parent", root_id="the-root")
        assert world.meta(result.id) == done(result.id, result=1, parent_id="the-parent")
    if kind == "unknown":
        result = world.app.send_task("nobody.knows")
        meta = world.meta(result.id)
        assert meta == done(result.id, "FAILURE", error("NotRegistered", "nobody.knows", module="celery.exceptions"),
                            children=meta.get("children"))


def test_every_extended_field(telling):
    result = telling.app.send_task("celeriac.add", (1,), {"y": 2}, queue="celery")
    assert telling.meta(result.id) == done(
        result.id, result=3, name="celeriac.add", args=[1], kwargs={"y": 2}, worker=telling.name, retries=0, queue="celery")
    assert result.name == "celeriac.add" and result.args == [1] and result.kwargs == {"y": 2}
    assert result.worker == telling.name and result.queue == "celery" and result.retries == 0
    failed = telling.send("fail", "x")
    assert telling.meta(failed.id) == done(
        failed.id, "FAILURE", error("RuntimeError", "x"), traceback_of("x"), name="celeriac.fail", args=["x"], kwargs={},
        worker=telling.name, retries=0, queue="celery")


def test_the_queue_is_the_routing_key(telling):
    """Of a message that came by an exchange it is not the queue's name."""
    sent = telling.push(task="celeriac.echo", args=["x"], properties={"delivery_info": {"exchange": "news", "routing_key": "news.today"}})
    assert telling.meta(sent)["queue"] == "news.today"


def test_extended_fields_of_started_and_retry(telling):
    running = telling.send("sleep", 600)
    meta = telling.meta(running.id, "STARTED")
    assert (meta["name"], meta["args"], meta["worker"]) == ("celeriac.sleep", [600], telling.name)
    assert meta["result"] == {"pid": NUMBER, "hostname": telling.name}
    telling.ask("revoke", task_id=running.id, terminate=True)
    assert telling.meta(running.id)["status"] == "REVOKED"
    retried = telling.send("retry", 2, 1)
    assert telling.meta(retried.id, "SUCCESS")["retries"] == 2


@pytest.mark.only("whole metas", "rows have no stamps")
@pytest.mark.since(5, 3)
def test_stamps_are_part_of_an_extended_result(telling):
    result = telling.sig("echo", 1).set(stamped_headers=["user"], user="7").apply_async()
    meta = telling.meta(result.id)
    assert meta["stamped_headers"] == ["user"] and meta["user"] == ["7"] or meta["user"] == "7"


@pytest.mark.only("whole metas", "a row's date has no zone")
def test_dates_say_where_they_are(make_world):
    """In the worker's time zone, as everything Celery writes."""
    east = make_world(conf={"timezone": "Asia/Kolkata"})
    result = east.send("echo", 1)
    meta = east.meta(result.id)
    assert meta["date_done"] == DATE
    if east.version >= (5, 3):
        assert datetime.datetime.fromisoformat(meta["date_done"]).utcoffset() is not None
    assert abs((result.date_done.replace(tzinfo=result.date_done.tzinfo or datetime.timezone.utc)
                - datetime.datetime.now(datetime.timezone.utc)).total_seconds()) < 600


@pytest.mark.only("redis results", "they expire there")
def test_results_live_as_long_as_they_should(make_world):
    brief = make_world(conf={"result_expires": 7})
    result = brief.send("echo", 1)
    brief.meta(result.id)
    assert 0 < brief.redis.ttl(f"celery-task-meta-{result.id}") <= 7


@pytest.mark.only("redis results", "they expire there")
def test_results_that_never_end(make_world):
    forever = make_world(conf={"result_expires": 0})
    result = forever.send("echo", 1)
    forever.meta(result.id)
    assert forever.redis.ttl(f"celery-task-meta-{result.id}") == -1


@pytest.mark.since(5, 3)  # 5.2 sends that they are not, whatever the call says
def test_nothing_is_stored_where_results_are_ignored(make_world):
    quiet = make_world(conf={"task_ignore_result": True})
    results = [quiet.send("echo", 1), quiet.send("fail", 1)]
    quiet.settle(*results)
    assert [quiet.stored(result.id) for result in results] == [None, None]
    assert quiet.send("echo", 2, ignore_result=False).get(timeout=60) == 2, "the message goes first"


@pytest.mark.only("stored results", "rpc:// saves no groups")
def test_groups_are_saved_and_restored(world):
    result = group(world.sig("echo", n) for n in range(3))()
    result.save()
    assert result.get(timeout=60) == [0, 1, 2]
    again = celery.result.GroupResult.restore(result.id, app=world.app)
    assert again.get(timeout=60) == [0, 1, 2] and again.successful()
    again.delete()
    for part in result.results:
        part.forget()
    assert world.stored(result.results[0].id) is None


def test_a_result_can_be_written_down_and_read_again(world):
    last = chain(world.sig("add", 1, 1), world.sig("add", 1))()
    again = celery.result.result_from_tuple(last.as_tuple(), app=world.app)
    assert again.get(timeout=60) == 3 and again.parent.get(timeout=60) == 2
