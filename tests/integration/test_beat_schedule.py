"""Beat's schedules from a file and from the table, and one message per slot however many beats run."""

import datetime
import json
import os
import pathlib
import random
import signal
import time

import pytest

from services import wait_until
from test_beat import Beat, run_beat


@pytest.fixture
def make_beat(broker, instance, directory, ended):
    def make(*args, **settings):
        made = Beat(directory, broker.url, instance, args, SANDBOX_CLEANUP_INTERVAL="3600", **settings)
        ended.append(made)
        return made.start()

    return make


def messages(broker, queue="celery"):
    return [json.loads(message) for message in broker.redis.lrange(queue, 0, -1)[::-1]]


def test_a_file_of_entries(make_beat, broker, directory):
    (directory / "beat.json").write_text(json.dumps({
        "often": {"task": "app.often", "schedule": 0.2, "args": [1, "é"], "kwargs": {"k": [None]},
                  "options": {"queue": "fast", "priority": 3, "expires": 60, "headers": {"own": "header"},
                              "time_limit": 9.5, "soft_time_limit": 9, "ignore_result": True, "shadow": "said", "retry": True}},
        "once": {"task": "app.once", "schedule": {"type": "clocked", "clocked_time": "2020-01-01T00:00:00Z"}, "options": {"countdown": 30}},
        "off": {"task": "app.off", "schedule": 0.1, "enabled": False},
        "nightly": {"task": "app.nightly", "schedule": "0 4 * * *"},
    }))
    beat = make_beat(CELERIAC_BEAT_SCHEDULE=str(directory / "beat.json"))
    wait_until(lambda: broker.redis.llen("fast\x06\x163") >= 5, 30)
    message = messages(broker, "fast\x06\x163")[0]
    assert message["headers"]["task"] == "app.often" and message["headers"]["own"] == "header" and message["headers"]["expires"]
    assert message["headers"]["timelimit"] == [9.5, 9] and message["headers"]["ignore_result"] is True and message["headers"]["shadow"] == "said"
    assert message["properties"]["priority"] == 3
    (once,) = [message for message in messages(broker) if message["headers"]["task"] == "app.once"]
    assert once["headers"]["eta"] is not None
    assert not [message for message in messages(broker) if message["headers"]["task"] in ("app.off", "app.nightly")]
    state = {key.decode(): json.loads(value) for key, value in broker.redis.hgetall(f"celeriac:{broker.instance}:beat").items()}
    assert state["once"]["total_run_count"] == 1 and state["often"]["total_run_count"] >= 5
    assert beat.term()[0] == 0


@pytest.mark.parametrize("entries, words", [
    ({"x": {"schedule": 5}}, "entry 'x': task is missing"),
    ({"x": {"task": "t", "schedule": "99 * * * *"}}, "entry 'x': schedule: minute: 99 is not in 0-59"),
    ({"x": {"task": "t", "schedule": 5, "args": {}}}, "args must be a list"),
    ({"x": {"task": "t", "schedule": 5, "options": {"exchange": "e"}}}, "options: exchange"),
    ({"x": {"task": "t", "schedule": 5, "options": {"expires": "soon"}}}, "options: expires: must be a number of seconds"),
    ({"x": {"task": "t", "schedule": 5, "options": {"quue": "q"}}}, "entry 'x': options: quue: there is no option of this name"),
    ({"x": {"task": "t", "schedule": 5, "queue": "q"}}, "entry 'x': 'queue' is no member of an entry"),
    ({"x": {"task": "t", "schedule": 5, "relative": 1}}, "relative must be true or false"),
    ([], "not an object of entries"),
])
def test_files_that_are_refused(directory, broker, entries, words):
    (directory / "bad.json").write_text(json.dumps(entries))
    ran = run_beat("--check", CELERY_BROKER_URL=broker.url, CELERIAC_BEAT_SCHEDULE=str(directory / "bad.json"))
    assert ran.returncode == 1 and words in ran.stdout, ran.stdout + ran.stderr


def test_the_table(make_beat, broker, postgres):
    """Changes are seen at once; a row that cannot be read is left out."""
    try:
        postgres.sql("INSERT INTO celeriac.periodic_tasks (name, task, schedule) VALUES ('bad', 'app.bad', 'whenever')")
        beat = make_beat(DATABASE_URL=postgres.url("beat"))
        beat.wait_log("entry 'bad': schedule: a crontab has five fields")
        postgres.sql("INSERT INTO celeriac.periodic_tasks (name, task, schedule, args, options) VALUES "
                     "('row', 'app.row', '0.2', '[7]', '{\"queue\": \"rows\"}')")
        wait_until(lambda: broker.redis.llen("rows") >= 3, 30)
        assert messages(broker, "rows")[0]["headers"]["argsrepr"] == "[7]"
        postgres.sql("UPDATE celeriac.periodic_tasks SET enabled = false WHERE name = 'row'")
        beat.wait_log("Schedule changed: 1 entries", 2)
        count = broker.redis.llen("rows")
        postgres.sql("UPDATE celeriac.periodic_tasks SET enabled = true, options = '{\"queue\": \"others\"}' WHERE name = 'row'")
        wait_until(lambda: broker.redis.llen("others") >= 1, 30)
        assert broker.redis.llen("rows") == count
    finally:
        postgres.sql("DELETE FROM celeriac.periodic_tasks")


def storm(make_beat, broker, directory, seconds, seed):
    """Beats are killed at random; each slot of each entry is one message with an id of its own."""
    names = [f"e{n}" for n in range(10)]
    (directory / "beat.json").write_text(json.dumps({name: {"task": f"app.{name}", "schedule": 0.5, "options": {"queue": "storm"}} for name in names}))
    rng = random.Random(seed)
    start = lambda: make_beat(CELERIAC_BEAT_SCHEDULE=str(directory / "beat.json"))
    beats = [start() for _ in range(3)]
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        victim = rng.randrange(3)
        count = broker.redis.llen("storm")
        wait_until(lambda: broker.redis.llen("storm") > count + rng.randrange(30), 30)
        beats[victim].end(signal.SIGKILL, 10)
        beats[victim] = start()
    for beat in beats:
        beat.end(signal.SIGTERM, 10)
    sent = messages(broker, "storm")
    ids = [message["headers"]["id"] for message in sent]
    assert len(ids) == len(set(ids)), "a slot was sent twice"
    state = {key.decode(): json.loads(value) for key, value in broker.redis.hgetall(f"celeriac:{broker.instance}:beat").items()}
    for name in names:
        mine = [message["headers"]["id"] for message in sent if message["headers"]["task"] == f"app.{name}"]
        assert len(mine) == state[name]["total_run_count"] and mine[-1] == state[name]["task_id"]
        assert len(mine) >= (time.monotonic() - began) / 0.5 / 4, "slots were left out"


def test_one_message_per_slot(make_beat, broker, directory):
    storm(make_beat, broker, directory, 6, 1)


@pytest.mark.long
def test_one_message_per_slot_for_minutes(make_beat, broker, directory):
    storm(make_beat, broker, directory, 300, 2)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.long
def test_ten_thousand_entries(make_beat, broker, directory):
    """Due one after the other, 17 a second: less than 2 % of a core, and half of them not 50 ms late."""
    count, period, first = 10000, 600, time.time() + 10
    due = [first + period * n / count for n in range(count)]
    utc = datetime.timezone.utc
    broker.redis.hset(f"celeriac:{broker.instance}:beat", mapping={
        f"e{n}": json.dumps({"last_run_at": datetime.datetime.fromtimestamp(at - period, utc).isoformat(), "total_run_count": 1, "task_id": ""})
        for n, at in enumerate(due)})
    (directory / "beat.json").write_text(json.dumps({
        f"e{n}": {"task": "app.many", "schedule": period, "args": [n], "options": {"queue": "many", "expires": 3600}} for n in range(count)}))
    beat = make_beat(CELERIAC_BEAT_SCHEDULE=str(directory / "beat.json"))
    wait_until(lambda: broker.redis.llen("many") > 0, 60)
    cpu, began = cpu_seconds(beat.process.pid), time.monotonic()
    wait_until(lambda: broker.redis.llen("many") > 400, 120)
    share = (cpu_seconds(beat.process.pid) - cpu) / (time.monotonic() - began)
    late = {}
    for message in messages(broker, "many"):
        (n,) = json.loads(message["headers"]["argsrepr"])
        assert n not in late
        # it expires an hour after it was sent
        late[n] = datetime.datetime.fromisoformat(message["headers"]["expires"]).timestamp() - 3600 - due[n]
    assert sorted(late) == list(range(len(late)))
    assert share < 0.02 and sorted(late.values())[len(late) // 2] < 0.05, (share, sorted(late.values()))
