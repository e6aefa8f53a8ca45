"""Whatever dies at whatever instant, no message is lost, and each has one result."""

import json
import subprocess
import threading

import pytest

from clients import PYTHONS
from services import patience, wait_until

RESTORE = """
import sys, time, kombu
with kombu.Connection(sys.argv[1], transport_options={"visibility_timeout": 0}) as connection:
    while connection.default_channel.client.zcount("unacked_index", time.time(), "inf"):
        time.sleep(0.01)  # what we took is dated with the next whole second
    connection.default_channel.qos.restore_visible(num=None)
print(kombu.__version__)
"""


def results_of(results, seconds=60):
    return [result.get(timeout=patience(seconds)) for result in results]


def send_in_background(app, name, arguments):
    """Sends from a thread of its own; returns the list of results that grows, and the thread."""
    results = []

    def send():
        for args in arguments:
            results.append(app.send_task(name, args))

    thread = threading.Thread(target=send)
    thread.start()
    return results, thread


def test_killed_in_the_middle_of_a_thousand_echoes(worker, app, broker):
    results, sender = send_in_background(app, "celeriac.echo", [(n,) for n in range(1000)])
    in_the_middle = 0
    for at in (100, 250, 400, 550, 700):
        wait_until(lambda: broker.result_count() >= at, 60, f"there were never {at} results")
        worker.kill()
        in_the_middle += broker.result_count() < 1000
        worker.start()
    sender.join()
    assert in_the_middle > 0, "no kill was in the middle"
    assert results_of(results) == list(range(1000))
    broker.wait_settled()
    assert broker.dead() == []


def test_killed_with_a_full_queue(make_worker, app, broker):
    """Killed again and again while it claims as fast as it can; some of it perhaps each time before it has read what it took."""
    results = [app.send_task("celeriac.echo", (n,)) for n in range(1000)]
    worker = make_worker("-c", "8", start=False, CELERIAC_REDELIVERY_LIMIT="0")
    in_the_middle = 0
    for _ in range(6):
        if broker.result_count() == len(results):  # it was quicker than we
            results += [app.send_task("celeriac.echo", (n,)) for n in range(len(results), len(results) + 1000)]
        held, before = set(broker.redis.hkeys("unacked")), broker.result_count()
        worker.spawn()
        wait_until(lambda: set(broker.redis.hkeys("unacked")) - held or broker.result_count() > before, 30, "it claimed nothing")
        worker.kill()
        in_the_middle += broker.redis.hlen("unacked") > 0
    worker.start()
    assert results_of(results) == list(range(len(results)))
    broker.wait_settled()
    assert in_the_middle > 0, "no kill found a message held"


def test_killed_while_tasks_run(make_worker, app, broker):
    results = [app.send_task("celeriac.sleep", (0.4,)) for _ in range(120)]
    worker = make_worker("-c", "8")
    in_the_middle = 0
    for done in (10, 30, 50):
        wait_until(lambda: broker.result_count() >= done and (broker.redis.hlen("unacked") >= 8 or broker.redis.llen("celery") == 0), 60, "it was not busy")
        worker.kill()
        broker.wait_forgotten()
        held = broker.redis.hlen("unacked")
        in_the_middle += held
        assert broker.redis.zcard("unacked_index") == held
        assert held + broker.redis.llen("celery") + broker.result_count() == 120
        worker.start()
    assert len(results_of(results)) == 120 and in_the_middle > 0, "no kill found a message held"
    broker.wait_settled()


@pytest.mark.parametrize("how", ["TERM", "QUIT"])
def test_stopped_under_load(make_worker, app, broker, how):
    worker = make_worker("-c", "4")
    results = [app.send_task("celeriac.sleep", (0.5,)) for _ in range(40)]
    wait_until(lambda: worker.metric("tasks_active") == 4, 30, "it was not busy")
    assert (worker.term if how == "TERM" else worker.quit)() == 0
    assert broker.unacked() == (0, 0)
    done = broker.result_count()
    assert done + broker.redis.llen("celery") == 40
    # a warm shutdown finishes what runs, a cold one gives it back
    assert done >= 4 if how == "TERM" else done < 40
    assert worker.log_lines("Warm shutdown" if how == "TERM" else "Cold shutdown")
    worker.start()
    results_of(results)
    broker.wait_settled()


def test_quit_does_not_wait_for_long_tasks(make_worker, app, broker):
    worker = make_worker("-c", "2")
    for _ in range(5):
        app.send_task("celeriac.sleep", (600,))
    wait_until(lambda: worker.metric("tasks_active") == 2, 30, "it was not busy")
    assert worker.quit(seconds=30) == 0
    assert broker.redis.llen("celery") == 5 and broker.unacked() == (0, 0)
    assert broker.result_count() == 0


def test_term_waits_no_longer_than_the_grace_time(make_worker, app, broker):
    worker = make_worker("-c", "2", CELERIAC_GRACE_TIME="1")
    app.send_task("celeriac.sleep", (600,))
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
    assert worker.term(seconds=60) == 0
    assert broker.redis.llen("celery") == 1 and broker.unacked() == (0, 0)


def test_what_goes_back_keeps_its_order(make_worker, app, broker):
    """One thread, four calls claimed, the first of them running."""
    worker = make_worker("-c", "1", CELERIAC_GRACE_TIME="1")
    sent = [app.send_task("celeriac.sleep", (600,)).id]
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
    sent += [app.send_task("celeriac.echo", (n,)).id for n in range(3)]
    wait_until(lambda: broker.unacked() == (4, 4), 30, "it has not claimed the others")
    assert worker.term(seconds=60) == 0
    queued = [json.loads(message)["headers"]["id"] for message in broker.redis.lrange("celery", 0, -1)]
    assert queued[::-1] == sent


def test_held_until_its_time_and_stopped(make_worker, app, broker):
    worker = make_worker()
    app.send_task("celeriac.echo", (1,), countdown=600)
    wait_until(lambda: broker.unacked() == (1, 1), 30, "it was not held")
    assert worker.term() == 0
    assert broker.redis.llen("celery") == 1 and broker.unacked() == (0, 0)
    worker.start()
    wait_until(lambda: broker.unacked() == (1, 1), 30, "it was not held again")
    worker.kill()
    worker.start()
    wait_until(lambda: worker.metric("messages_restored_total") == 1, 30, "it was not restored")
    wait_until(lambda: broker.unacked() == (1, 1) and worker.metric("messages_held") == 1, 30, "it was not held again")


def test_restored_messages_keep_order_and_priority(make_worker, app, broker):
    worker = make_worker("-c", "1", "--prefetch-multiplier", "6")
    sent = [app.send_task("celeriac.sleep", (600,), priority=0)]
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it was not busy")
    sent += [app.send_task("celeriac.echo", (n,), priority=priority) for n, priority in enumerate((0, 3, 6, 9, 0))]
    wait_until(lambda: broker.redis.hlen("unacked") == 6, 30, "they were not held")
    assert worker.quit() == 0
    lists = {step: broker.redis.llen("celery" + (f"\x06\x16{step}" if step else "")) for step in (0, 3, 6, 9)}
    assert lists == {0: 3, 3: 1, 6: 1, 9: 1}


def test_two_workers_of_one_node_name(make_worker, app, broker):
    first = make_worker("-c", "1", "--prefetch-multiplier", "1", node="twin")
    second = make_worker("-c", "1", "--prefetch-multiplier", "1", node="twin")
    assert second.log_lines("node name twin is taken by a live worker: this one is twin-2")
    results = [app.send_task("celeriac.sleep", (0.02,)) for _ in range(60)]
    results_of(results)
    done = [worker.metric("tasks_succeeded_total") for worker in (first, second)]
    assert sum(done) == 60 and min(done) > 0
    # the first dies with a message; whoever takes its name next brings that message back at once
    for _ in range(2):
        app.send_task("celeriac.sleep", (patience(3),))
    wait_until(lambda: first.metric("tasks_active") == 1 and second.metric("tasks_active") == 1, 30, "not both were busy")
    first.kill()
    assert broker.redis.hlen("unacked") >= 1
    first.start()
    assert not first.log_lines("is taken by a live worker")
    broker.wait_settled(60)
    assert broker.result_count() == 62


@pytest.mark.parametrize("which", ["debian", "newest"])
def test_a_python_sweeper_restores_what_we_held(make_worker, app, broker, which):
    worker = make_worker("-c", "2")
    results = [app.send_task("celeriac.sleep", (patience(1),), priority=n % 2 * 6) for n in range(8)]
    wait_until(lambda: worker.metric("tasks_active") == 2, 30, "it was not busy")
    worker.kill()
    broker.wait_forgotten()
    held = broker.redis.hlen("unacked")
    assert held >= 2
    queued = broker.redis.llen("celery"), broker.redis.llen("celery\x06\x166")
    subprocess.run([PYTHONS[which], "-c", RESTORE, broker.url], check=True, timeout=patience(60))
    assert broker.unacked() == (0, 0)
    assert broker.redis.llen("celery") + broker.redis.llen("celery\x06\x166") == sum(queued) + held
    assert b'"redelivered": true' in broker.redis.lindex("celery", -1)
    other = make_worker("-c", "8")
    assert len(results_of(results)) == 8
    assert other.metric("messages_restored_total") == 0
    broker.wait_settled()


def test_three_workers_share_and_one_dies(make_worker, app, broker):
    workers = [make_worker("-c", "2", "--prefetch-multiplier", "1") for _ in range(3)]
    results = [app.send_task("celeriac.sleep", (0.02,)) for _ in range(300)]
    results_of(results)
    done = [worker.metric("tasks_succeeded_total") for worker in workers]
    assert sum(done) == 300 and min(done) > 30, done
    # nobody comes back under the dead one's name: the others notice once its lease is over
    results = [app.send_task("celeriac.sleep", (patience(3),)) for _ in range(6)]
    wait_until(lambda: all(worker.metric("tasks_active") == 2 for worker in workers), 30, "not all were busy")
    workers[0].kill()
    results_of(results)
    wait_until(lambda: sum(worker.metric("messages_restored_total") for worker in workers[1:]) == 2, 30, "not what it held was restored")
    broker.wait_settled()


def test_nothing_is_taken_from_the_living(make_worker, app, broker):
    """A worker that starts beside another restores nothing of it, however long that has held its messages."""
    first = make_worker("-c", "1")
    result = app.send_task("celeriac.sleep", (patience(3),))
    wait_until(lambda: first.metric("tasks_active") == 1, 30, "it was not busy")
    second = make_worker("-c", "1")
    result.get(timeout=patience(60))
    assert second.metric("messages_restored_total") == 0 and second.metric("messages_received_total") == 0
    assert first.metric("tasks_succeeded_total") == 1
