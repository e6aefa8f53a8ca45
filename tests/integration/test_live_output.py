"""The output of a run while it is going: a Redis stream that a web process reads, leaves and resumes by id."""

import uuid

import pytest

from sandboxes import container_of, docker
from services import wait_until

pytestmark = pytest.mark.docker


class Reader:
    """Reads a stream as a web process would: from the last id it has seen."""

    def __init__(self, broker, task_id):
        self.broker = broker
        self.key = f"celeriac:stream:{task_id}"
        self.last = "0"
        self.entries = []

    def read(self):
        for _, entries in self.broker.redis.xread({self.key: self.last}, block=1000) or []:
            for entry_id, fields in entries:
                assert set(fields) == {b"stream", b"data", b"seq"}
                self.last = entry_id
                self.entries.append((fields[b"stream"].decode(), fields[b"data"].decode(), int(fields[b"seq"])))
        return self.entries

    def until(self, stream, text, seconds=60):
        wait_until(lambda: any(entry[0] == stream and text in entry[1] for entry in self.read()), seconds,
                   lambda: f"no {text!r} in {self.entries[-5:]}")
        return self

    def text(self, stream):
        return "".join(entry[1] for entry in self.entries if entry[0] == stream)

    def resumed(self):
        """Another process that goes on where this one was."""
        other = Reader(self.broker, "")
        other.key, other.last, other.entries = self.key, self.last, list(self.entries)
        return other


# Its time is the test's: a worker may be started meanwhile.
GATED = """
import os, sys, time
print('first line')
print('a warning', file=sys.stderr)
while not os.path.exists('/sandbox/gate'): time.sleep(0.01)
sys.stdout.buffer.write('last line ü'.encode() + b'\\xff')
"""


def open_gate(container):
    docker("exec", container, "touch", "/sandbox/gate")


def test_lines_are_seen_while_the_run_is_going(house):
    conversation = f"c-{uuid.uuid4()}"
    result = house.calls.send(GATED, conversation, timeout=200)
    reader = Reader(house.broker, result.id).until("stdout", "first line\n").until("stderr", "a warning\n")
    assert not result.ready(), "they were not seen in time"
    open_gate(container_of(house.instance, conversation))
    reader = reader.resumed().until("end", "ok")
    value = result.get(timeout=60)
    assert reader.text("stdout") == value["stdout"] == "first line\nlast line ü\ufffd"
    assert reader.text("stderr") == value["stderr"] == "a warning\n"
    assert [entry[2] for entry in reader.entries] == list(range(1, len(reader.entries) + 1))
    assert reader.entries[-1][:2] == ("end", "ok")
    assert 3_000_000 < house.broker.redis.pttl(reader.key) <= 3_600_000


def test_a_flood_is_bounded_and_told(house):
    code = "import sys\nfor n in range(400_000): sys.stdout.write(f'line {n:07}\\n')"
    result = house.calls.send(code, f"c-{uuid.uuid4()}", timeout=60)
    value = result.get(timeout=90)
    reader = Reader(house.broker, result.id).until("end", "ok")
    text = reader.text("stdout")
    dropped = sum(int(entry[1].split()[1]) for entry in reader.entries if entry[0] == "dropped")
    assert len(text) <= 1 << 20 and len(text) + dropped == 400_000 * 13
    assert text.startswith("line 0000000\n") and text.endswith("line 0399999\n")
    assert value["stdout_dropped"] > 0 and all(len(entry[1]) <= 8192 for entry in reader.entries)


@pytest.mark.parametrize("code, timeout, status", [
    ("1/0", 60, "error"), ("import time; time.sleep(600)", 1, "timeout"), ("import os; os.abort()", 60, "killed")])
def test_every_end_is_told(house, code, timeout, status):
    result = house.calls.send(code, f"c-{uuid.uuid4()}", timeout=timeout)
    assert result.get(timeout=60)["status"] == status
    reader = Reader(house.broker, result.id).until("end", status)
    assert reader.text("stderr") == result.get()["stderr"]


def test_it_goes_on_after_its_worker_died(make_full_worker, calls, broker, instance):
    worker = make_full_worker()
    conversation = f"c-{uuid.uuid4()}"
    result = calls.send(GATED, conversation, timeout=200)
    reader = Reader(broker, result.id).until("stdout", "first line\n").until("stderr", "a warning\n")
    worker.restart()
    open_gate(container_of(instance, conversation))
    assert result.get(timeout=60)["status"] == "ok"
    reader.until("end", "ok")
    assert reader.text("stdout") == "first line\nlast line ü\ufffd" and reader.text("stderr") == "a warning\n"
    assert [entry[2] for entry in reader.entries] == list(range(1, len(reader.entries) + 1))
