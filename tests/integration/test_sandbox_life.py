"""The life of a conversation's sandbox: kept between calls and workers, bound to its project, gone when it should be."""

import concurrent.futures
import hashlib
import threading
import time
import uuid

import pytest

from sandboxes import HELD, container_of, containers, docker, exists, inspect, open_gate, processes, wait_said
from services import wait_until

pytestmark = pytest.mark.docker
COUNT = "import os\nn = int(open('/sandbox/n').read()) if os.path.exists('/sandbox/n') else 0\nopen('/sandbox/n', 'w').write(str(n + 1))\nprint(n)"


@pytest.fixture
def conversation():
    return f"c-{uuid.uuid4()}"


def flags(value):
    return value["reused"], value["restarted"]


def test_a_conversation_keeps_its_files(house, conversation):
    values = [house.calls.run(COUNT, conversation) for _ in range(4)]
    assert [value["stdout"] for value in values] == ["0\n", "1\n", "2\n", "3\n"]
    assert [flags(value) for value in values] == [(False, False)] + [(True, False)] * 3
    assert len({value["sandbox"] for value in values}) == 1
    other = house.calls.run(COUNT)
    assert other["stdout"] == "0\n" and other["sandbox"] != values[0]["sandbox"]


def test_variables_do_not_outlive_a_call(house, conversation):
    house.calls.run("x = 1", conversation)
    assert "NameError" in house.calls.run("print(x)", conversation)["stderr"]


@pytest.mark.parametrize("how", ["rm", "kill", "stop"])
def test_a_container_that_went_is_made_anew(house, conversation, how):
    first = house.calls.run(COUNT, conversation)
    docker(*{"rm": ("rm", "-f"), "kill": ("kill",), "stop": ("stop", "-t", "0")}[how], first["sandbox"])
    second = house.calls.run(COUNT, conversation)
    assert (second["status"], second["stdout"], flags(second)) == ("ok", "0\n", (False, True)), second
    assert second["sandbox"] != first["sandbox"]
    third = house.calls.run(COUNT, conversation)
    assert (third["stdout"], flags(third)) == ("1\n", (True, False))


def test_removed_in_the_middle_of_a_run(house, conversation):
    result = house.calls.send(HELD, conversation)
    wait_said(house.broker, result.id, "begun")
    docker("rm", "-f", container_of(house.instance, conversation))
    value = result.get(timeout=60)
    assert value["status"] in ("lost", "killed"), value
    assert house.calls.row(result.id, "state", "status") == ("finished", value["status"])
    after = house.calls.run("print('again')", conversation)
    assert after["stdout"] == "again\n" and flags(after) == (False, True)


def test_a_conversation_belongs_to_one_project(house, conversation):
    assert house.calls.run("print(1)", conversation, project_id="one")["status"] == "ok"
    for project in ({"project_id": "two"}, {}):
        with pytest.raises(PermissionError) as raised:
            house.calls.run("print(open('/sandbox/n').read())", conversation, **project)
        assert conversation in str(raised.value)
    assert flags(house.calls.run("print(1)", conversation, project_id="one")) == (True, False)


def test_close(house, conversation):
    first = house.calls.run("print(1)", conversation)
    assert house.calls.call("close", conversation_id=conversation) == {"removed": True}
    assert not exists(first["sandbox"])
    assert house.calls.call("close", conversation_id=conversation) == {"removed": False}
    again = house.calls.run(COUNT, conversation, project_id="another, since it was closed")
    assert again["stdout"] == "0\n"


def test_cleanup_keeps_what_is_in_use(house, conversation):
    first = house.calls.run(COUNT, conversation)
    report = house.calls.call("cleanup")
    assert set(report) == {"idle", "orphans", "kept", "failed"}
    assert (report["idle"], report["orphans"], report["failed"]) == (0, 0, 0) and report["kept"] >= 1
    assert exists(first["sandbox"])


def test_conversations_run_at_once_and_their_calls_in_order(make_full_worker, calls, app, broker, instance):
    """Calls of one conversation wait without holding a thread, in the order they came."""
    make_full_worker("-c", "4")
    sent = {f"c-{uuid.uuid4()}": [] for _ in range(3)}
    for _ in range(4):
        for conversation, results in sent.items():
            results.append(calls.send(HELD + COUNT, conversation))
    for first, *_ in sent.values():
        wait_said(broker, first.id, "begun")
    # 12 calls wait or run on 4 threads: one is always free for others
    assert app.send_task("celeriac.echo", ("not behind them",)).get(timeout=60) == "not behind them"
    assert not any(result.ready() for results in sent.values() for result in results)
    for conversation in sent:
        open_gate(container_of(instance, conversation))
    for results in sent.values():
        assert [result.get(timeout=60)["stdout"] for result in results] == [f"begun\n{n}\n" for n in range(4)]
        rows = [calls.row(result.id, "started_at", "finished_at") for result in results]
        assert all(before[1] <= after[0] for before, after in zip(rows, rows[1:])), "two calls of one conversation overlapped"


def test_two_workers_share_a_conversation(make_full_worker, calls, conversation):
    workers = [make_full_worker("-c", "2", "--prefetch-multiplier", "1") for _ in range(2)]
    results = [calls.send(COUNT, conversation) for _ in range(16)]
    values = [result.get(timeout=90) for result in results]
    assert sorted(int(value["stdout"]) for value in values) == list(range(16))
    assert len({value["sandbox"] for value in values}) == 1
    assert sum(flags(value) == (False, False) for value in values) == 1
    wait_until(lambda: sum(worker.metric("tasks_succeeded_total") for worker in workers) == 16, 30, "not all were counted, or some twice")


@pytest.mark.parametrize("how", ["kill", "term", "quit"])
def test_the_next_worker_finds_the_files(make_full_worker, calls, conversation, how):
    worker = make_full_worker()
    first = calls.run(COUNT, conversation)
    getattr(worker, how)()
    assert inspect(first["sandbox"])["State"]["Running"], "the container died with its worker"
    worker.start()
    second = calls.run(COUNT, conversation)
    assert (second["stdout"], flags(second), second["sandbox"]) == ("1\n", (True, False), first["sandbox"])


def test_another_worker_finds_the_files(make_full_worker, calls, conversation):
    first = make_full_worker(node="first-node")
    assert calls.run(COUNT, conversation)["stdout"] == "0\n"
    first.kill()
    make_full_worker(node="second-node")
    value = calls.run(COUNT, conversation)
    assert (value["stdout"], flags(value)) == ("1\n", (True, False))


SLOW = f"open('/sandbox/starts', 'a').write('x')\n{HELD}open('/sandbox/output/f.txt', 'w').write('x')\nprint('done')\n"


def assert_ran_once(calls, result, conversation):
    """One row of one attempt, its files once, and the code itself has seen no other start."""
    value = result.get(timeout=90)
    assert (value["status"], value["exit_code"], value["stdout"]) == ("ok", 0, "begun\ndone\n"), value
    assert [entry["name"] for entry in value["files"]] == ["f.txt"]
    assert calls.row(result.id, "state", "attempt", "retries", "result", "container_id") == ("finished", 1, 0, value, value["sandbox"])
    outputs = calls.postgres.sql("SELECT count(*) FROM celeriac.conversation_outputs WHERE task_id = %s", result.id)
    assert outputs == [(1,)]
    assert calls.run("print(open('/sandbox/starts').read())", conversation)["stdout"] == "x\n"
    return value


def test_killed_in_the_middle_of_a_run(make_full_worker, calls, broker, instance, conversation):
    """The run goes on without its worker, and whoever restores the message gets its verdict and output."""
    worker = make_full_worker()
    result = calls.send(SLOW, conversation)
    wait_said(broker, result.id, "begun")
    container = container_of(instance, conversation)
    wait_until(lambda: calls.row(result.id, "container_id") == (container,), 30, "the row does not say where the run is")
    worker.kill()
    assert calls.row(result.id, "state", "attempt") == ("running", 1)
    worker.start()
    open_gate(container)
    value = assert_ran_once(calls, result, conversation)
    assert flags(value) == (False, False) and containers(instance) == [container]


def test_killed_and_restarted_after_the_end_of_a_run(make_full_worker, calls, broker, instance, conversation):
    """Nobody heard the end: the agent has kept it."""
    worker = make_full_worker()
    result = calls.send(SLOW, conversation)
    wait_said(broker, result.id, "begun")
    worker.kill()
    container = container_of(instance, conversation)
    open_gate(container)
    wait_until(lambda: len(processes(container)) == 1, 30, "the run did not end")
    worker.start()
    assert_ran_once(calls, result, conversation)


def test_killed_when_the_container_went_too(make_full_worker, calls, broker, instance, conversation):
    """Only a run that is nowhere any more is run again, and that is a second attempt."""
    worker = make_full_worker()
    result = calls.send(SLOW, conversation)
    wait_said(broker, result.id, "begun")
    worker.kill()
    docker("rm", "-f", container_of(instance, conversation))
    worker.start()
    open_gate(container_of(instance, conversation))
    value = result.get(timeout=90)
    assert (value["stdout"], flags(value)) == ("begun\ndone\n", (False, True))
    assert calls.row(result.id, "state", "attempt", "container_id") == ("finished", 2, value["sandbox"])


def test_killed_in_a_run_of_its_own(make_full_worker, calls, broker, instance, conversation):
    """A one-shot run is found by its task; its container goes when the result is written."""
    worker = make_full_worker()
    result = calls.send(SLOW, conversation, one_shot=True)
    wait_said(broker, result.id, "begun")
    (container,) = containers(instance)
    worker.kill()
    worker.start()
    open_gate(container)
    value = result.get(timeout=90)
    assert (value["stdout"], value["sandbox"]) == ("begun\ndone\n", container)
    assert calls.row(result.id, "state", "attempt") == ("finished", 1)
    wait_until(lambda: containers(instance) == [], 30, "the container of a one-shot run stayed")


@pytest.mark.parametrize("size", [1, 2_000_000])
def test_standard_input_goes_on_where_it_was(make_full_worker, calls, broker, instance, conversation, size):
    """What a dead worker has fed is not fed again."""
    worker = make_full_worker()
    code = HELD + "import sys, hashlib\nprint(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    text = "".join(chr(97 + n % 26) for n in range(size))
    result = calls.send(code, conversation, stdin=text)
    wait_said(broker, result.id, "begun")
    worker.kill()
    worker.start()
    open_gate(container_of(instance, conversation))
    value = result.get(timeout=90)
    assert value["stdout"] == f"begun\n{hashlib.sha256(text.encode()).hexdigest()}\n"
    assert calls.row(result.id, "attempt") == (1,)


def test_killed_between_row_and_result(make_full_worker, calls, broker, conversation):
    """A task delivered again after its row was written is not run again: its result is sent again."""
    worker = make_full_worker()
    result = calls.send("print('once')", conversation)
    value = result.get(timeout=60)
    broker.redis.delete(f"celery-task-meta-{result.id}")
    again = calls.app.send_task("sandbox.execute_code", kwargs={"conversation_id": conversation, "code": "print('twice')"}, task_id=result.id)
    assert broker.meta(again.id)["result"] == value
    assert calls.row(result.id, "state", "attempt") == ("finished", 1)
    assert worker.log_lines("ran before: its result is sent again")


def test_stopped_while_code_runs(make_full_worker, calls, broker, instance, conversation):
    """TERM lets it finish; QUIT leaves it to itself and gives the message back, and the next worker has its end."""
    worker = make_full_worker()
    slow = HELD + "os.remove('/sandbox/go')\nprint('done')"
    result = calls.send(slow, conversation)
    wait_said(broker, result.id, "begun")
    worker.process.terminate()
    worker.wait_log("Warm shutdown")
    container = container_of(instance, conversation)
    open_gate(container)
    assert worker.process.wait(60) == 0
    assert result.get(timeout=30)["stdout"] == "begun\ndone\n"
    worker.start()
    result = calls.send(slow, conversation)
    wait_said(broker, result.id, "begun")
    assert worker.quit(seconds=20) == 0
    assert broker.redis.llen(broker.handed_over) == 1 and broker.unacked() == (0, 0)
    worker.start()
    open_gate(container)
    assert result.get(timeout=60)["stdout"] == "begun\ndone\n"
    assert calls.row(result.id, "state", "attempt") == ("finished", 1)


def test_many_conversations_from_many_threads(house):
    """Eight clients at once; everybody gets their own answers."""
    wrong = []

    def converse(me):
        conversation = f"many-{uuid.uuid4()}"
        for n in range(4):
            value = house.calls.run(f"print({me}, {n})\nopen('/sandbox/output/{me}-{n}', 'w').write('x')", conversation)
            if value["stdout"] != f"{me} {n}\n" or [entry["name"] for entry in value["files"]] != [f"{me}-{n}"]:
                wrong.append((me, n, value))
        house.calls.call("close", conversation_id=conversation)

    threads = [threading.Thread(target=converse, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.long
def test_a_hundred_conversations_in_turn(make_house):
    """Their calls go over the streams that their containers have already, however many there are. (Where all stood still for longer than a
    lease holds, the calls of that moment attach anew, so that it is a round without any that is waited for.)"""
    names = [f"turn-{number}" for number in range(100)]
    house = make_house(SANDBOX_POOL="0", SANDBOX_MAX="101", SANDBOX_MEMORY="64MiB", SANDBOX_WORK_SIZE="32MiB")

    def attached():
        began = time.time()
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            values = list(threads.map(lambda name: house.calls.run("echo 1", name, language="bash"), names))
        assert {value["stdout"] for value in values} == {"1\n"}
        return docker("events", f"--since={began:.6f}", f"--until={time.time():.6f}", "--filter=type=container", "--filter=event=attach",
                      f"--filter=label=celeriac.instance={house.instance}", "--format={{.ID}}").split()

    attached()
    wait_until(lambda: not attached(), 120, "each round attaches anew")


@pytest.mark.long
def test_hundreds_of_conversations(make_house):
    """Created, used and closed, four at a time: nothing is left of them, and the worker is no larger than before."""
    house, hundreds, memory = make_house(SANDBOX_POOL="0"), 5, []

    def live_and_die(name):
        value = house.calls.run("open('/sandbox/output/x', 'w').write('x')", name)
        assert (value["status"], len(value["files"])) == ("ok", 1), value
        assert house.calls.call("close", conversation_id=name) == {"removed": True}

    for hundred in range(hundreds):
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            list(threads.map(live_and_die, [f"many-{hundred}-{number}" for number in range(100)]))
        memory.append(house.worker.anonymous())
    assert containers(house.instance) == []
    assert memory[-1] - memory[0] < 2 << 20, memory
