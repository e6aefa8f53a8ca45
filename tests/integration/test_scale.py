"""Many workers: a conversation's calls reach the one that has it, in their order, whichever of them took the message."""

import uuid

import pytest

from sandboxes import HELD, container_of, containers, docker, open_gate, wait_said
from services import wait_until

pytestmark = pytest.mark.docker

# Says which calls have run before in this container.
NOTE = "open('/sandbox/log', 'a').write('{n} ')\nprint(open('/sandbox/log').read(), end='')"


def ready(workers):
    for worker in workers:
        worker.wait_ready()
    return workers


@pytest.fixture
def make_workers(make_full_worker):
    def make(count, *args, **settings):
        return ready([make_full_worker(*args, start=False, **settings).spawn() for _ in range(count)])

    return make


def names(count):
    return [f"c-{uuid.uuid4()}" for _ in range(count)]


def send_in_turn(calls, conversations, first, last, **kwargs):
    """{conversation: its calls}, sent without waiting, one of each conversation after the other."""
    sent = {conversation: [] for conversation in conversations}
    for n in range(first, last):
        for conversation in conversations:
            sent[conversation].append(calls.send(NOTE.format(n=n), conversation, **kwargs))
    return sent


def check_order(results, first=0):
    """In order, each call once; what they returned."""
    values = [result.get(timeout=180) for result in results]
    said = [value["stdout"].removeprefix("begun\n") for value in values]
    assert said == ["".join(f"{n} " for n in range(first + i + 1)) for i in range(len(said))], [
        (value["stdout"], value["status"], value["reused"], value["restarted"]) for value in values]
    return values


def nodes_of(calls, results):
    return [calls.row(result.id, "worker")[0] for result in results]


def is_left_clean(broker, instance):
    """No call is anywhere, and nobody waits for another to route."""
    broker.wait_settled()
    assert not broker.redis.zcard(f"celeriac:{instance}:claims")


def test_conversations_stay_where_they_are(make_workers, calls, broker, instance):
    """One worker is kept busy with the first call of all: the others take what comes meanwhile, and its next call is not theirs."""
    workers = make_workers(3, "-c", "1", CELERY_WORKER_PREFETCH_MULTIPLIER="1")
    first, *others = conversations = names(5)
    busy = calls.send(HELD + NOTE.format(n=0), first, timeout=120)
    wait_said(broker, busy.id, "begun")
    sent = send_in_turn(calls, others, 0, 1)
    for results in sent.values():
        results[0].get(timeout=60)
    sent[first] = [busy]
    for conversation, results in send_in_turn(calls, conversations, 1, 8).items():
        sent[conversation] += results
    wait_until(lambda: sum(worker.metric("calls_routed_total") for worker in workers) > 0, 60, "nobody took a call of the busy one's")
    open_gate(container_of(instance, first))
    seen = set()
    for results in sent.values():
        values = check_order(results)
        assert len({value["sandbox"] for value in values}) == 1
        assert [value["reused"] for value in values] == [False] + [True] * 7 and not any(value["restarted"] for value in values)
        nodes = set(nodes_of(calls, results))
        assert len(nodes) == 1
        seen |= nodes
    assert len(containers(instance)) == 5
    assert len(seen) > 1, "one worker did everything"
    is_left_clean(broker, instance)


def test_a_worker_that_ends_hands_its_conversations_over(make_workers, calls, broker, instance):
    """TERM: what runs ends here, what waits for it comes after it, and all other conversations go on elsewhere at once."""
    first, = make_workers(1)
    busy, idle = names(2)
    assert calls.run(NOTE.format(n=0), idle)["stdout"] == "0 "
    calls.run(NOTE.format(n=0), busy)
    running = calls.send(HELD + NOTE.format(n=1), busy, timeout=120)
    wait_said(broker, running.id, "begun")
    waiting = [calls.send(NOTE.format(n=n), busy) for n in (2, 3)]
    second, = make_workers(1)
    first.process.terminate()
    wait_until(lambda: first.log_lines("handed over|Warm shutdown"), 30, "it did not hear")
    later = [calls.send(NOTE.format(n=n), idle) for n in (1, 2)]
    assert [result.get(timeout=60)["stdout"] for result in later] == ["0 1 ", "0 1 2 "]
    assert set(nodes_of(calls, later)) == {second.node}
    assert first.alive(), "the other conversation's call was not waited for"
    open_gate(container_of(instance, busy))
    assert [result.get(timeout=60)["stdout"] for result in [running, *waiting]] == ["begun\n0 1 ", "0 1 2 ", "0 1 2 3 "]
    assert nodes_of(calls, [running, *waiting]) == [first.node, second.node, second.node]
    assert len(containers(instance)) == 2
    assert first.process.wait(30) == 0
    is_left_clean(broker, instance)


def test_a_drained_worker_goes_on_with_everything_else(make_full_worker, make_workers, calls, app, ask, broker, instance):
    """Its conversations go to the other at once, that in which a call runs when it has ended; and the way back."""
    first = make_full_worker("-n", "first@here")
    busy, idle, longer = names(3)
    assert calls.run(NOTE.format(n=0), idle)["stdout"] == "0 "
    gate = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.05)\n"
    running, run_on = (calls.send(gate + NOTE.format(n=1), conversation, timeout=200) for conversation in (busy, longer))
    for result in (running, run_on):
        wait_until(lambda: (calls.row(result.id, "state") or [""])[0] == "running", 30, "it does not run")
    waiting = [calls.send(NOTE.format(n=n), busy) for n in (2, 3)]
    run_after = calls.send(NOTE.format(n=2), longer)
    for reply in ("conversations are handed over",) * 2:
        assert ask("drain", to="first@here") == {"ok": reply}
    first.wait_log("draining: ")
    waiting.append(calls.send(NOTE.format(n=4), busy))
    new = calls.send("print('new')")
    assert app.send_task("celeriac.echo", kwargs={"value": 7}).get(timeout=30) == 7, "it does nothing else"
    wait_until(lambda: broker.unacked() == (2, 2), 30, "it took one")
    assert not new.ready() and not waiting[0].ready(), "it ran one"
    second = make_full_worker("-n", "second@here")
    later = [calls.send(NOTE.format(n=n), idle) for n in (1, 2)]
    assert [result.get(timeout=60)["stdout"] for result in [*later, new]] == ["0 1 ", "0 1 2 ", "new\n"]
    # What waits for one of two calls that run here comes after that one, not after both.
    docker("exec", container_of(instance, busy), "touch", "/sandbox/go")
    assert [result.get(timeout=60)["stdout"] for result in [running, *waiting]] == [
        "1 ", "1 2 ", "1 2 3 ", "1 2 3 4 "]
    assert not run_on.ready() and not run_after.ready()
    docker("exec", container_of(instance, longer), "touch", "/sandbox/go")
    assert [result.get(timeout=60)["stdout"] for result in [run_on, run_after]] == ["1 ", "1 2 "]
    assert nodes_of(calls, [run_on, run_after]) == [first.node, second.node]
    assert nodes_of(calls, [running, *waiting, *later, new]) == [first.node] + [second.node] * 6
    # The other takes nothing from the queue: what comes is taken by the first, and goes to it all the same, until it is told otherwise.
    ask("cancel_consumer", to="second@here", queue="celery")
    second.wait_log("Canceling queue")
    assert app.send_task("celeriac.echo", kwargs={"value": 8}).get(timeout=30) == 8
    through = calls.send("print(1)")
    assert through.get(timeout=60)["status"] == "ok" and nodes_of(calls, [through]) == [second.node]
    assert ask("undrain", to="first@here") == {"ok": "conversations are taken again"}
    first.wait_log("conversations are taken again")
    again = [calls.send("print(1)"), calls.send(NOTE.format(n=3), idle)]
    assert [result.get(timeout=60)["stdout"] for result in again] == ["1\n", "0 1 2 3 "]
    assert nodes_of(calls, again) == [first.node, second.node]
    is_left_clean(broker, instance)


@pytest.mark.long
@pytest.mark.parametrize("kills", [0, 3], ids=["quiet", "killed"])
def test_order_under_load(make_workers, make_full_worker, calls, broker, instance, kills):
    """Twelve conversations of forty calls under four workers, of which three are killed one after the other and replaced."""
    workers = make_workers(4, "-c", "4")
    conversations = names(12)
    sent = send_in_turn(calls, conversations, 0, 40)
    for n in range(kills):
        done = 100 * (n + 1)
        wait_until(lambda: sum(worker.metric("tasks_succeeded_total") for worker in workers) >= done or broker.result_count() >= done, 180, "they do not go on")
        workers[n].kill()
        workers.append(make_full_worker("-c", "4"))
    for results in sent.values():
        values = check_order(results)
        assert len({value["sandbox"] for value in values}) == 1 and not any(value["restarted"] for value in values)
    assert len(containers(instance)) == 12
    is_left_clean(broker, instance)
