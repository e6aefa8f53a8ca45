"""ETA, countdown and rate limits: what waits is held by the worker, its payload stays in the broker."""

import datetime
import json
import math
import time

import pytest

from clients import OURS, Broker, envelope
from forwarder import Forwarder
from services import patience, wait_until

SLACK = 6 << 20


def eta(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


def fill(broker, count, due, task="celeriac.add", args=lambda n: [n, 1], queue="celery"):
    """Sends `count` messages in one go; their ids."""
    ids, pipeline = [], broker.redis.pipeline(transaction=False)
    for n in range(count):
        task_id, message = envelope(task=task, args=args(n), headers={"eta": due})
        ids.append(task_id)
        pipeline.lpush(queue, json.dumps(message))
        if len(pipeline) == 1000:
            pipeline.execute()
    pipeline.execute()
    return ids


def scheduled(worker, count, seconds=60):
    wait_until(lambda: worker.metric("tasks_scheduled") == count, seconds,
               lambda: f"{worker.metric('tasks_scheduled')} of {count} are scheduled")


def hold(broker, worker, count, seconds, margin=1, queue="celery", **options):
    """Has `count` tasks held that are due in at least `margin` and about `seconds`; on a slow machine later."""
    while True:
        due = time.time() + seconds
        ids = fill(broker, count, eta(seconds), queue=queue, **options)
        wait_until(lambda: worker.metric("tasks_scheduled") == count or time.time() > due - margin, 120)
        if time.time() < due - margin:
            return ids
        wait_until(lambda: broker.redis.llen(queue) == 0 and worker.metric("tasks_scheduled") == 0, 120)
        seconds *= 2


def received(worker):
    """The ids in the order the worker took them."""
    return [line.split("[")[-1].split("]")[0] for line in worker.log_lines(r"Task celeriac\.\w+\[.*\] received")]


def test_payloads_stay_in_the_broker(make_worker, broker, app):
    """400 messages of 100 kB are held in less memory than 60 of them would take."""
    worker = make_worker("-c", "1", "--prefetch-multiplier", "1")
    assert app.send_task("celeriac.echo", ("x" * 200_000,)).get(timeout=20)
    before = worker.anonymous()
    ids = hold(broker, worker, 400, 6, 2, task="celeriac.echo", args=lambda n: [f"{n}" * 50_000])
    grown = worker.anonymous() - before
    assert app.send_task("celeriac.echo", ("now",)).get(timeout=20) == "now"
    assert grown < SLACK, f"{grown >> 10} KiB"
    for n in (0, 1, 77, 399):
        assert broker.meta(ids[n], 60)["result"] == f"{n}" * 50_000
    broker.wait_settled(60)


def test_many_due_at_once_run_once_and_in_order(make_worker, broker):
    worker = make_worker("-c", "1", "--prefetch-multiplier", "4")
    ids = hold(broker, worker, 1000, 4)
    assert [broker.meta(task_id, 60)["result"] for task_id in ids] == [n + 1 for n in range(1000)]
    broker.wait_settled()
    done = [line.split("[")[-1].split("]")[0] for line in worker.log_lines(r"Task celeriac\.add\[.*\] succeeded")]
    assert [task_id for task_id in done if task_id in set(ids)] == ids


def test_what_is_due_is_not_pinned_to_a_full_worker(make_worker, broker, app):
    """But for the one that finds its last slot."""
    full = make_worker("-c", "1", "--prefetch-multiplier", "2")
    busy = app.send_task("celeriac.sleep", (600,))
    wait_until(lambda: full.metric("tasks_active") == 1, 20)
    ids = hold(broker, full, 300, 4)
    wait_until(lambda: broker.redis.llen("celery") == 299, 60, "what finds no slot goes back to its queue")
    wait_until(lambda: full.metric("tasks_scheduled") == 0, 30, "it still believes to hold them")
    idle = make_worker("-c", "1", "--prefetch-multiplier", "1")
    assert [broker.meta(task_id, 60)["result"] for task_id in ids[1:]] == [n + 1 for n in range(1, 300)]
    assert received(idle) == ids[1:], "they did not come in their order"
    assert busy.state == "PENDING"


def test_a_queue_that_is_no_longer_served_keeps_what_is_due(make_worker, broker, app, ask):
    """Given back, it might lie there for ever: the queue was cancelled after its messages were taken."""
    worker = make_worker("-n", OURS, "-c", "1", "--prefetch-multiplier", "2", "-Q", "celery,late")
    ids, busy = [], None
    for seconds in (3, 12, 48):  # on a slow machine later
        ids = fill(broker, 3, eta(seconds), queue="late")
        due = time.time() + seconds
        wait_until(lambda: worker.metric("tasks_scheduled") == 3 or time.time() > due, 120)
        busy = app.send_task("celeriac.sleep", (600,))
        wait_until(lambda: worker.metric("tasks_active") == 1, 20)
        ask("cancel_consumer", queue="late")
        wait_until(lambda: ask("active_queues") and len(ask("active_queues")) == 1, 20)
        if time.time() < due:
            break
        ask("revoke", task_id=busy.id, terminate=True)
        ask("add_consumer", queue="late")
        [broker.meta(task_id, 60) for task_id in ids]
    else:
        pytest.fail("they were due before the queue was cancelled")
    wait_until(lambda: time.time() > due, 60)
    ask("revoke", task_id=busy.id, terminate=True)
    assert [broker.meta(task_id, 60)["result"] for task_id in ids] == [1, 2, 3]
    broker.wait_settled()


def test_put_back_by_somebody_else_is_no_longer_ours(make_worker, broker):
    """As kombu's sweeper does it: the record is gone, the message is in its queue."""
    first = make_worker("-c", "1", "-Q", "celery")
    second = make_worker("-c", "1", "-Q", "other")
    ids = hold(broker, first, 50, 6, 4)
    done = first.metric("tasks_succeeded_total")
    with broker.redis.pipeline() as pipeline:
        for tag, record in broker.redis.hgetall("unacked").items():
            pipeline.hdel("unacked", tag).zrem("unacked_index", tag)
            pipeline.rpush("other", json.dumps(json.loads(record)[0]))
        pipeline.execute()
    assert sorted(broker.meta(task_id, 60)["result"] for task_id in ids) == [n + 1 for n in range(50)]
    wait_until(lambda: first.metric("tasks_scheduled") == 0, 20, "it still believes to hold them")
    wait_until(lambda: second.metric("tasks_succeeded_total") == 50, 30, "not all were counted, or some twice")
    broker.wait_settled()
    assert first.metric("tasks_succeeded_total") == done


def test_revoked_at_once_however_many(make_worker, broker, ask):
    worker = make_worker("-n", OURS, "-c", "1")
    ids = fill(broker, 600, eta(600))
    scheduled(worker, 600)
    assert ask("revoke", task_id=ids[:300])["ok"].startswith("tasks {")
    assert {broker.meta(task_id, 20)["status"] for task_id in ids[:300]} == {"REVOKED"}
    scheduled(worker, 300)
    assert ask("terminate", signal="KILL", task_id=[ids[400], "unknown"]) == {"ok": f"terminate: {ids[400]}"}
    assert broker.meta(ids[400], 20)["status"] == "REVOKED"
    scheduled(worker, 299)
    wait_until(lambda: broker.unacked() == (299, 299), 30, lambda: f"{broker.unacked()}")


def test_listed_with_everything(make_worker, app, broker, ask):
    worker = make_worker("-n", OURS, "-c", "1", "-Q", "celery,other")
    first = app.send_task("celeriac.echo", (["a", 1.5, None],), countdown=600, queue="other", priority=6)
    scheduled(worker, 1)
    later = app.send_task("celeriac.echo", (1,), {}, countdown=900)
    scheduled(worker, 2)
    one, two = ask("scheduled")
    assert one["request"]["id"] == first.id and two["request"]["id"] == later.id
    assert one["request"]["args"] == [["a", 1.5, None]] and one["request"]["kwargs"] == {}
    assert one["request"]["delivery_info"] == {"exchange": "", "routing_key": "other", "priority": 6, "redelivered": False}
    assert abs(datetime.datetime.fromisoformat(one["eta"]).timestamp() - time.time() - 600) < 60
    assert ask("query_task", ids=[later.id, "unknown"]) == {later.id: ["scheduled", two["request"]]}
    assert ask("reserved") == []
    ask("rate_limit", task_name="celeriac.add", rate_limit="1/h")
    adds = [app.send_task("celeriac.add", (n, 1)) for n in range(3)]
    assert adds[0].get(timeout=20) == 1
    scheduled(worker, 4)
    assert [request["args"] for request in ask("reserved")] == [[1, 1], [2, 1]]
    assert ask("query_task", ids=adds[2].id)[adds[2].id][0] == "reserved"
    assert len(ask("scheduled")) == 2


def test_so_many_and_no_more(make_worker, broker, app):
    """worker_eta_task_limit, and the slots of the prefetch count beyond it."""
    worker = make_worker("-c", "1", "--prefetch-multiplier", "2", CELERY_WORKER_ETA_TASK_LIMIT="5")
    fill(broker, 20, eta(600))
    scheduled(worker, 7)
    assert broker.redis.llen("celery") == 13
    assert broker.unacked() == (7, 7)


@pytest.mark.parametrize("end", ["term", "quit"])
def test_all_goes_back_in_its_order(make_worker, broker, end):
    worker = make_worker("-c", "1")
    ids = fill(broker, 700, eta(600))
    scheduled(worker, 700)
    assert getattr(worker, end)() == 0
    assert broker.unacked() == (0, 0)
    queued = [json.loads(message)["headers"]["id"] for message in reversed(broker.redis.lrange("celery", 0, -1))]
    assert queued == ids


def test_nothing_is_lost_when_it_dies(make_worker, broker):
    worker = make_worker("-c", "1")
    ids = hold(broker, worker, 300, 5)
    worker.restart()
    assert [broker.meta(task_id, 60)["result"] for task_id in ids] == [n + 1 for n in range(300)]
    broker.wait_settled()


def test_an_outage_of_the_broker_when_they_are_due(make_redis, make_worker):
    server = make_redis(durable=True).start()
    broker = Broker(server.url(), "outage")
    worker = make_worker("-c", "1", broker=broker)
    ids = hold(broker, worker, 100, 6, 4)
    server.kill()
    due = time.time() + 6
    wait_until(lambda: time.time() > due, 20)  # their time passes while nobody can be asked
    assert worker.metric("tasks_scheduled") == 100
    server.start()
    assert [broker.meta(task_id, 60)["result"] for task_id in ids] == [n + 1 for n in range(100)]
    broker.wait_settled()


def test_a_payload_that_can_no_longer_be_read(make_worker, broker, app):
    """Somebody wrote over it while it waited: it is kept with the reason, and the others run."""
    worker = make_worker("-c", "1", CELERIAC_DEAD_MAX="10")
    bad, good = hold(broker, worker, 2, 4)
    for tag, record in broker.redis.hgetall("unacked").items():
        message, *rest = json.loads(record)
        if message["headers"]["id"] == bad:
            broker.redis.hset("unacked", tag, json.dumps([{**message, "body": "bm8="}, *rest]))
    assert broker.meta(good, 60)["result"] == 2
    wait_until(broker.dead, 30, "it is not kept")
    assert len(broker.dead()) == 1 and not broker.redis.exists(f"celery-task-meta-{bad}")
    broker.wait_settled()


def test_stopped_while_the_broker_is_away(make_redis, make_worker):
    """What waits cannot be given back: the next worker of the name has it."""
    server = make_redis(durable=True).start()
    broker = Broker(server.url(), "outage")
    worker = make_worker("-c", "1", broker=broker)
    ids = fill(broker, 300, eta(600))
    scheduled(worker, 300)
    server.kill()
    assert worker.term() == 0
    assert len(worker.log_lines("300 held message.s. are restored by the next worker")) == 1
    server.start()
    worker.start()
    scheduled(worker, 300)
    assert len(ids) == 300 and broker.unacked() == (300, 300)


@pytest.mark.parametrize("full", [False, True])
def test_no_answer_when_they_are_due(make_redis, make_worker, ended, full):
    """The server hears and says nothing: what is due is still held here, and runs when it answers again, once."""
    for seconds in (6, 15, 40):  # a machine may be too slow to have it mute before the task is due
        server = make_redis().start()
        door = Forwarder(("127.0.0.1", server.port)).open()
        ended.append(door)
        broker = Broker(server.url(), "silent")
        behind = server.url().replace(f":{server.port}/", f":{door.port}/")
        worker = make_worker("-c", "1", "--prefetch-multiplier", "1", broker=broker, CELERY_BROKER_URL=behind, CELERY_RESULT_BACKEND=behind)
        due = time.time() + seconds
        (task_id,) = hold(broker, worker, 1, seconds, seconds / 2)
        if full:
            broker.send("celeriac.sleep", 2 * seconds)
            wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
        # what it asked before has its answers: the one that it misses is about what is due
        wait_until(lambda: time.time() > due - 1.5, seconds)
        door.muted = True
        if worker.metric("tasks_scheduled") == 1 and time.time() < due:
            break
        worker.kill()
    else:
        pytest.fail("it was due before the server was mute")
    worker.wait_log("Cannot connect to", 60 + seconds)
    door.close()
    door.muted = False
    door.open()
    assert broker.meta(task_id, 60)["result"] == 1
    broker.wait_settled()
    assert len(worker.log_lines(rf"\[{task_id}\] succeeded")) == 1


def watch_scores(broker, worker, count, timeout, seconds):
    """No record of `count` becomes as old as the visibility timeout; how often each was renewed at least."""
    until, oldest, first = time.time() + seconds, 0, None
    while time.time() < until:
        now = time.time()
        (_, score), = broker.redis.zrange("unacked_index", 0, 0, withscores=True)
        first = first or score
        oldest = max(oldest, now - score)
        assert now - score < timeout, f"a record is {now - score:.2f} s old"
        time.sleep(0.05)
    assert worker.metric("tasks_scheduled") == count
    assert score > first + seconds - timeout, "nothing was renewed"
    return oldest


def test_held_longer_than_the_visibility_timeout(make_worker, broker):
    timeout = min(15, math.ceil(patience(3)))
    worker = make_worker("-c", "1", CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps({"visibility_timeout": timeout}))
    ids = hold(broker, worker, 3000, 3 * timeout, 2 * timeout + 1)
    done = worker.metric("tasks_succeeded_total")
    watch_scores(broker, worker, 3000, timeout, timeout + 2)
    assert [broker.meta(task_id, 60)["result"] for task_id in ids] == [n + 1 for n in range(3000)]
    wait_until(lambda: worker.metric("tasks_succeeded_total") == done + 3000, 30, "not all were counted, or some twice")
    broker.wait_settled()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hundred_thousand_beside_a_sweeper(make_worker, broker, app):
    """A sweeper with a visibility timeout of some seconds finds nothing stale, and other work is not held up."""
    options = json.dumps({"visibility_timeout": 6})
    worker = make_worker("-c", "2", CELERY_BROKER_TRANSPORT_OPTIONS=options)
    ids = fill(broker, 100_000, eta(75))
    scheduled(worker, 100_000, 120)
    other = make_worker("-c", "2", CELERY_BROKER_TRANSPORT_OPTIONS=options)  # sweeps too
    oldest = watch_scores(broker, worker, 100_000, 6, 15)
    print(f"the oldest record was {oldest:.2f} s old")
    began = time.monotonic()
    assert [app.send_task("celeriac.echo", (n,)).get(timeout=10) for n in range(20)] == list(range(20))
    assert time.monotonic() - began < patience(5)
    wait_until(lambda: worker.metric("tasks_succeeded_total") + other.metric("tasks_succeeded_total") >= 100_020, 240,
               lambda: f"{worker.metric('tasks_succeeded_total')} + {other.metric('tasks_succeeded_total')}")
    broker.wait_settled(60)
    assert worker.metric("tasks_succeeded_total") + other.metric("tasks_succeeded_total") == 100_020
    assert broker.result_count() == 100_020 and len(set(ids)) == 100_000
