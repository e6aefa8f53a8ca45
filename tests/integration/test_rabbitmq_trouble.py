"""Trouble between a worker with late acknowledged tasks and RabbitMQ, and of RabbitMQ itself: every task and what follows it has its
one row in the store of results, with the right value; and how soon the next task is done after the trouble's end."""

import json
import time

import pytest

from clients import RabbitBroker, envelope
from faulty import FAULTS, FaultyDoor
from rabbitmq import RabbitMQ
from services import patience, wait_until
from test_database_results import Results

pytestmark = pytest.mark.long
COUNT, LATER = 160, 8  # tasks, and of those the ones that are sent when the trouble is over
LENGTH, LASTS = 0.2, 2  # seconds of each task, on a machine with time for rabbitmqctl, and of the trouble
RECOVERY = 5  # seconds


@pytest.fixture(scope="module")
def server(session_directory):
    made = RabbitMQ(session_directory)
    try:
        yield made.create()
    finally:
        made.kill()


@pytest.fixture
def store(postgres):
    made = Results(postgres)
    yield made
    made.drop()


def message(n, length):
    """A task that takes a while, and what follows it: its message is published by the worker, in the midst of the trouble."""
    then = {"task": "celeriac.echo", "args": [n], "kwargs": {}, "options": {"task_id": f"then-{n}", "reply_to": ""}, "subtask_type": None,
            "immutable": True}
    body = json.dumps([[length], {}, {"callbacks": None, "errbacks": None, "chain": [then], "chord": None}])
    return json.dumps(envelope(task="celeriac.sleep", task_id=f"task-{n}", body=body)[1])


class Trouble:
    """Of the way to the server (faulty.py), or of the server itself; begin returns when it is there, end when it is over."""

    def __init__(self, server, door):
        self.server, self.door = server, door

    def begin(self, name):
        if name in FAULTS:
            self.door.begin(FAULTS[name][0])
        else:
            {"stop_app": self.server.stop_app, "close_all_connections": self.server.close_connections,
             "memory_alarm": lambda: self.server.memory_alarm(True), "killed": self.server.kill}[name]()

    def end(self, name):
        if name in FAULTS:
            self.door.end()
        elif name != "close_all_connections":
            {"stop_app": self.server.start_app, "memory_alarm": lambda: self.server.memory_alarm(False),
             "killed": self.server.start}[name]()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [*FAULTS, "stop_app", "close_all_connections", "memory_alarm", "killed"])
def test_nothing_is_lost(name, server, store, instance, make_worker, ended, capsys):
    door = FaultyDoor(("127.0.0.1", server.port)).open()
    ended.append(door)
    trouble = Trouble(server, door)
    broker = RabbitBroker(server, None, instance)
    broker.results = store.url()
    url = broker.url.replace(f":{server.port}/", f":{door.port}/")
    worker = make_worker("-c", "4", "--prefetch-multiplier", "2", broker=broker, CELERY_BROKER_URL=url,
                         CELERY_TASK_ACKS_LATE="1", CELERIAC_RESULT_PICKLE="0")
    length = min(1, patience(LENGTH))
    for n in range(COUNT - LATER):
        broker.push(message(n, length))
    broker.let_go()
    wait_until(lambda: store.row("task-5"), 60, worker.log)

    def count():
        return store.sql("SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'")[0][0]

    lasts = name in FAULTS and FAULTS[name][1]  # work goes on, slowly
    trouble.begin(name)
    assert count() < 2 * (COUNT - LATER), "the trouble came too late"
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > LASTS, 10)  # the trouble is that long
    before = count()
    trouble.end(name)
    over = time.monotonic()
    for n in range(COUNT - LATER, COUNT):
        broker.push(message(n, LENGTH))
    wait_until(lambda: count() > before + 4, 60, worker.log)
    recovered = time.monotonic() - over
    wait_until(lambda: count() == 2 * COUNT, 120, lambda: f"{count()} of {2 * COUNT}\n{worker.log()[-3000:]}")
    broker.wait_settled(60)
    for n in range(COUNT):
        assert store.row(f"then-{n}", "status, convert_from(result, 'UTF8')") == ("SUCCESS", str(n)), n
    assert store.sql("SELECT count(*) FROM celery_taskmeta")[0][0] == 2 * COUNT
    runs = [line.split("[", 2)[2].split("]")[0] for line in worker.log_lines(r"celeriac\.\w+\[(task|then)-\d+\] succeeded")]
    with capsys.disabled():
        print(f"\n  rabbitmq {name:22} goes on {recovered:5.2f} s after its end, {len(runs) - len(set(runs))} of {2 * COUNT} run again", end="")
    assert set(runs) == {f"{kind}-{n}" for kind in ("task", "then") for n in range(COUNT)}
    assert lasts or recovered < patience(RECOVERY), f"{recovered:.1f} s"
    broker.close()
