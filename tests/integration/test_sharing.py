"""A Python worker and ours on one broker and one queue: both work, neither disturbs the other."""

import json
import math
import time

import pytest

from clients import envelope
from services import patience, wait_until



@pytest.mark.parametrize("which", ["debian", "newest"])
def test_both_get_work_from_one_queue(make_worker, make_python_worker, app, broker, which):
    python = make_python_worker(which=which)
    ours = make_worker("-c", "2", "--prefetch-multiplier", "1")
    sent = 0

    def done():
        """Each one's; a Python worker says so only after the result is stored."""
        return python.log().count("] succeeded in"), int(ours.metric("tasks_succeeded_total"))

    def both_had_some():
        nonlocal sent
        slow = [app.send_task("celeriac.sleep", (0.02,)) for _ in range(300)]
        echoes = [app.send_task("celeriac.echo", ({"n": n},)) for n in range(100)]
        assert [result.get(timeout=60) for result in slow] == [None] * 300
        assert [result.get(timeout=60) for result in echoes] == [{"n": n} for n in range(100)]
        sent += 400
        wait_until(lambda: sum(done()) == sent, 30, lambda: f"{done()} are not {sent}")
        return min(done()) >= 5

    wait_until(both_had_some, 60, lambda: f"{done()} of one queue")
    broker.wait_settled()
    assert sum(done()) == sent
    assert broker.dead() == []


def test_each_has_tasks_and_queues_of_its_own(make_worker, make_python_worker, app, broker):
    make_python_worker(args=["-Q", "python"])
    ours = make_worker("-Q", "native")
    python_results = [app.send_task("python.echo", (n,), queue="python") for n in range(50)]
    our_results = [app.send_task("celeriac.echo", (n,), queue="native") for n in range(50)]
    assert [result.get(timeout=60) for result in python_results + our_results] == [*range(50), *range(50)]
    wait_until(lambda: ours.metric("tasks_succeeded_total") == 50, 30, "its own were not counted")
    broker.wait_settled()


def test_ours_dies_and_the_python_worker_does_the_rest(make_worker, make_python_worker, app, broker, headers, directory):
    """A Python worker whose visibility timeout is over takes what a dead one of ours held."""
    ours = make_worker("-c", "4", "-I", headers.compile("probe"), CELERY_TASK_ANNOTATIONS=json.dumps({"probe.wait_for": {"acks_late": True}}))
    gate = directory / "gate"
    results = [app.send_task("probe.wait_for", (str(gate),)) for _ in range(12)]
    wait_until(lambda: ours.metric("tasks_active") == 4, 30, "it was not busy")
    ours.kill()
    broker.wait_forgotten()
    held = broker.redis.hlen("unacked")
    assert held >= 4
    # as if the visibility timeout had passed
    for tag in broker.redis.zrange("unacked_index", 0, -1):
        broker.redis.zadd("unacked_index", {tag: time.time() - 7200}, xx=True)
    gate.touch()
    make_python_worker()
    assert [result.get(timeout=60) for result in results] == [1] * 12
    broker.wait_settled()


def test_python_dies_and_ours_does_the_rest(make_worker, make_python_worker, app, broker):
    """What a dead Python worker holds is put back when the visibility timeout is over, with none of its kind left."""
    python = make_python_worker(args=["-Q", "python", "-c", "1", "--prefetch-multiplier", "4"])
    held = [app.send_task("celeriac.sleep", (600,), queue="python")]
    wait_until(lambda: broker.redis.hlen("unacked") >= 1, 30, "it took nothing")
    held.append(app.send_task("celeriac.echo", ({"n": 2**70},), queue="python"))
    wait_until(lambda: broker.redis.hlen("unacked") >= 2, 30, "it did not prefetch")
    python.kill()
    records = {tag: json.loads(raw) for tag, raw in broker.redis.hgetall("unacked").items()}
    for tag, (message, _, _) in records.items():
        if message["headers"]["id"] == held[0].id:  # it would sleep for ten minutes
            broker.redis.hdel("unacked", tag)
            broker.redis.zrem("unacked_index", tag)
        else:
            broker.redis.zadd("unacked_index", {tag: time.time() - 60}, xx=True)
    ours = make_worker("-Q", "python,celery", CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps({"visibility_timeout": 30}))
    assert held[1].get(timeout=60) == {"n": 2**70}
    wait_until(lambda: ours.metric("messages_restored_total") == 1, 30, "it was not counted")
    broker.wait_settled()


def test_bindings_deleted_under_us_lose_nothing(make_worker, broker):
    """kombu drops what a sweep finds no queue for."""
    worker = make_worker(start=False, CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps({"visibility_timeout": 30}))
    _, lost = envelope(args=["lost"])
    task_id, found = envelope(args=["found"])
    for tag, message, exchange in (("one", lost, "gone"), ("two", found, "there")):
        broker.redis.hset("unacked", tag, json.dumps([message, exchange, "key"]))
        broker.redis.zadd("unacked_index", {tag: time.time() - 100})
    broker.redis.sadd("_kombu.binding.there", "key\x06\x16\x06\x16celery")
    worker.start()
    assert broker.meta(task_id)["result"] == "found"
    (said, message), = wait_until(broker.dead, 30)
    assert "no queue is bound to exchange 'gone' for routing key 'key'" in said["reason"]
    assert json.loads(message)["headers"]["id"] == lost["headers"]["id"]
    broker.wait_settled()


def test_python_dies_and_what_it_held_stays_its_own(make_worker, make_python_worker, app, broker):
    """We restore what we held, and nothing of others: their sweeper, or ours being one of theirs, would run things twice."""
    python = make_python_worker(args=["-Q", "python"])
    app.send_task("celeriac.sleep", (600,), queue="python")
    wait_until(lambda: broker.redis.hlen("unacked") == 1, 30, "it took nothing")
    python.kill()
    ours = make_worker("-Q", "python,celery")
    assert app.send_task("celeriac.echo", (1,)).get(timeout=20) == 1
    assert broker.redis.hlen("unacked") == 1
    assert ours.metric("messages_restored_total") == 0


def test_what_we_hold_is_written_as_kombu_would_read_it(make_worker, app, broker):
    worker = make_worker("-c", "1", "-Q", 'quo"te,celery')
    sent = [app.send_task("celeriac.sleep", (600,)), app.send_task("celeriac.sleep", (600,), queue='quo"te', priority=6)]
    wait_until(lambda: broker.unacked() == (2, 2), 30, "they were not held")
    records = {json.loads(raw)[0]["headers"]["id"]: json.loads(raw) for raw in broker.redis.hvals("unacked")}
    for result, queue in zip(sent, ("celery", 'quo"te')):
        message, exchange, routing_key = records[result.id]
        assert (exchange, routing_key) == ("", queue)
        assert message["properties"]["delivery_info"]["routing_key"] == queue
    assert set(broker.redis.hkeys("unacked")) == set(broker.redis.zrange("unacked_index", 0, -1))
    now = time.time()
    assert all(abs(score - now) < 60 for _, score in broker.redis.zrange("unacked_index", 0, -1, withscores=True))
    worker.quit()
    assert broker.redis.llen("celery") == 1 and broker.redis.llen('quo"te\x06\x166') == 1


def test_held_messages_outlive_the_visibility_timeout(make_worker, app, broker, headers, directory):
    """Renewed while we run them, so that no Python sweeper hands them out again."""
    timeout = min(15, math.ceil(patience(3)))
    ours = make_worker("-c", "1", "-I", headers.compile("probe"), CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps({"visibility_timeout": timeout}),
                       CELERY_TASK_ANNOTATIONS=json.dumps({"probe.wait_for": {"acks_late": True}}))
    gate = directory / "gate"
    result = app.send_task("probe.wait_for", (str(gate),))
    waiting = app.send_task("celeriac.echo", ("waits",))
    wait_until(lambda: broker.unacked() == (2, 2), 30, "they were not held")
    oldest = broker.redis.zrange("unacked_index", 0, -1, withscores=True)

    def renewed_thrice():
        now = time.time()
        scores = broker.redis.zrange("unacked_index", 0, -1, withscores=True)
        assert all(now - score < timeout for _, score in scores), "a record became stale"
        return scores and min(score for _, score in scores) > oldest[0][1] + timeout + 2

    wait_until(renewed_thrice, 30, "they were not renewed")
    gate.touch()
    assert (result.get(timeout=30), waiting.get(timeout=30)) == (1, "waits")
    wait_until(lambda: ours.metric("tasks_succeeded_total") == 2, 30, "they were not counted")
    broker.wait_settled()
    assert ours.metric("tasks_succeeded_total") == 2
