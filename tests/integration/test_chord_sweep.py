"""Chords that are complete, but whose body nobody published: healed, or said to be beyond help."""

import json

import pytest
from celery import chord, signature

from services import wait_until

PATIENCE = {"CELERIAC_CHORD_PATIENCE": "1"}
BOTH = pytest.mark.parametrize("which", ["debian", "newest"])


@pytest.fixture
def sig(app):
    def make(name, *args, **options):
        return signature(f"celeriac.{name}", args=args, app=app, options=options)

    return make


@pytest.fixture
def make_dying_worker(make_python_worker):
    """A Python worker that is killed between the ZADD of a last part and the publishing of the body."""
    def make(which, dies="all", **env):
        return make_python_worker(which=which, args=["-Q", "python"], app="chord_app", TEST_DIE=dies, **env)

    return make


def part_count(broker):
    return sum(broker.redis.zcard(key) for key in broker.redis.keys("celery-taskset-meta-*.j"))


def nothing_left(broker):
    left = [key for pattern in ("celery-taskset-meta-*.[jstd]", "celeriac:chord:*") for key in broker.redis.keys(pattern)]
    return not left and broker.redis.zcard("celeriac:chords") == 0


@BOTH
def test_python_dies_after_the_last_part_that_one_of_ours_was_a_part_of(make_worker, make_dying_worker, sig, broker, which):
    """Acknowledged early, so that its message is gone: the body is what our worker saw."""
    ours = make_worker("-Q", "celery,ours", **PATIENCE)
    python = make_dying_worker(which, TEST_ACKS_EARLY="1")
    body = sig("xsum")
    first = sig("add", 1, 2, queue="ours", task_id="first")
    result = chord([first, sig("add", 3, 4, queue="later")])(body)
    wait_until(lambda: part_count(broker) == 1, 30, "the first part was not counted")
    assert broker.redis.lmove("later", "python")
    wait_until(lambda: not python.alive(), 60, "the Python worker did not die")
    assert broker.meta("first")["result"] == 3
    assert result.get(timeout=60) == 10
    assert result.parent.get(timeout=60) == [3, 7]
    assert len(ours.wait_log(r"Chord .* nobody had published its body: done now")) == 1
    wait_until(lambda: nothing_left(broker), 30, "the set stays behind")
    assert len(ours.log_lines(r"Task celeriac.xsum\[.*received")) == 1


@BOTH
def test_python_dies_and_its_message_is_unacked(make_worker, make_dying_worker, sig, broker, which):
    """No worker of ours had to do with it: the body is in the message that the dead one holds."""
    python = make_dying_worker(which)
    result = chord([sig("add", n, n, queue="python") for n in range(5)])(sig("xsum"))
    wait_until(lambda: not python.alive(), 60, "the Python worker did not die")
    held = broker.redis.hlen("unacked")  # one more when it died before an ack was out
    assert part_count(broker) == 5 and held >= 1
    ours = make_worker(**PATIENCE)
    assert result.get(timeout=60) == 20
    assert len(ours.log_lines(r"Task celeriac.xsum\[.*received")) == 1
    wait_until(lambda: broker.redis.hlen("unacked") == held, 30, "what a Python worker held is its own")


@BOTH
def test_beyond_help(make_worker, make_dying_worker, sig, broker, app, which):
    """Only Python workers with early acknowledgement: nothing that is left tells what the body was. It is said, once."""
    python = make_dying_worker(which, TEST_ACKS_EARLY="1")
    result = chord([sig("add", n, n, queue="python") for n in range(3)])(sig("xsum"))
    wait_until(lambda: not python.alive(), 60, "the Python worker did not die")
    ours = make_worker(**PATIENCE)
    said = f"Chord {result.parent.id} is complete, but nobody published its body"
    ours.wait_log(said, 60)
    looked = broker.redis.zscore("celeriac:chords", result.parent.id)
    wait_until(lambda: broker.redis.zscore("celeriac:chords", result.parent.id) > looked + 2, 30, "it was not looked at again")
    assert len(ours.log_lines(said)) == 1
    assert app.AsyncResult(result.id).state == "PENDING"


@pytest.mark.long
def test_a_part_that_was_counted_twice(make_worker, make_dying_worker, sig, broker):
    """Celery 5.2's parent process adds a failure for the child that died after it had added a success, some seconds later."""
    ours = make_worker("-Q", "celery,ours", CELERIAC_CHORD_PATIENCE="15")
    python = make_dying_worker("debian", "child")
    result = chord([sig("add", 1, 2, queue="ours"), sig("add", 3, 4, queue="python", countdown=1)])(sig("xsum"))
    wait_until(lambda: "WorkerLostError" in python.log(), 60, "its child did not die")
    assert part_count(broker) == 3
    assert result.get(timeout=60) == 10
    wait_until(lambda: nothing_left(broker), 30, "the set stays behind")
    assert len(ours.log_lines(r"Task celeriac.xsum\[.*received")) == 1


def test_a_part_of_ours_that_another_counted_twice(make_worker, sig, broker):
    """As the worker before, with our worker returning the part that makes it complete: no need to wait."""
    ours = make_worker("-c", "1", start=False)  # part-1 is in when part-2 makes it complete
    result = chord([sig("add", n, n, task_id=f"part-{n}") for n in range(3)])(sig("xsum"))
    key = f"celery-taskset-meta-{result.parent.id}"
    broker.redis.zadd(f"{key}.j", {json.dumps([1, "part-1", "FAILURE", {"exc_type": "E", "exc_message": ["x"],
                                                                       "exc_module": "builtins"}]): 1})
    ours.start()
    assert result.get(timeout=60) == 6
    wait_until(lambda: nothing_left(broker), 30, "the set stays behind")


def test_a_size_that_went_missing(make_worker, sig, broker):
    """Evicted, after one of ours had seen it."""
    make_worker("-Q", "celery,ours")
    result = chord([sig("add", 1, 2, queue="ours", countdown=1), sig("add", 3, 4, queue="late")])(sig("xsum"))
    key = f"celery-taskset-meta-{result.parent.id}"
    wait_until(lambda: broker.redis.zcard(f"{key}.j") == 1, 30, "it was not counted")
    broker.redis.delete(f"{key}.s")
    make_worker("-Q", "late")
    assert result.get(timeout=60) == 10


def test_a_size_that_comes_late(make_worker, sig, broker):
    worker = make_worker(start=False, **PATIENCE)
    result = chord([sig("add", n, n) for n in range(3)])(sig("xsum"))
    key = f"celery-taskset-meta-{result.parent.id}"
    assert broker.redis.getdel(f"{key}.s") == b"3"
    worker.start()
    wait_until(lambda: broker.redis.zcard(f"{key}.j") == 3, 30, "they were not counted")
    assert broker.redis.set(f"{key}.s", 3)
    assert result.get(timeout=60) == 6


def test_the_one_that_sweeps_dies(make_worker, make_dying_worker, sig, broker):
    """Only one sweeps; another takes over when its right has expired."""
    workers = [make_worker("-Q", "celery", **PATIENCE) for _ in range(2)]
    holder = wait_until(lambda: broker.redis.get("celeriac:chords:sweeper"), 30, "nobody sweeps").decode()
    sweeping = next(worker for worker in workers if holder.startswith(f"{worker.node}@"))
    sweeping.kill()
    python = make_dying_worker("debian")
    result = chord([sig("add", n, n, queue="python") for n in range(2)])(sig("xsum"))
    wait_until(lambda: not python.alive(), 60, "the Python worker did not die")
    assert result.get(timeout=60) == 2


def test_what_is_no_set_stops_nothing(make_worker, sig, broker):
    """Keys of other types, parts that are none: a line in the log, and the next."""
    worker = make_worker(**PATIENCE)
    broker.redis.set("celery-taskset-meta-odd.j", "text")
    broker.redis.zadd("celery-taskset-meta-junk.j", {"not json": 0})
    broker.redis.set("celery-taskset-meta-junk.s", 1)
    broker.redis.zadd("celery-taskset-meta-text.j", {json.dumps([1, "a", "SUCCESS", 1]): 0})
    broker.redis.set("celery-taskset-meta-text.s", "many")
    broker.redis.zadd("celery-taskset-meta-wrong.j", {json.dumps([1, "a", "SUCCESS", 1]): 0})
    broker.redis.lpush("celery-taskset-meta-wrong.s", "list")
    worker.wait_log("Chord junk cannot be helped: ", 60)
    worker.wait_log("Chord wrong cannot be helped: ", 60)
    assert worker.alive()
    assert chord([sig("add", n, n) for n in range(2)])(sig("xsum")).get(timeout=60) == 2
