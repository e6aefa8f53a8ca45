"""Beat's schedules from a file and from the table, and one message per slot however many beats run."""

import datetime
import hashlib
import json
import os
import random
import signal
import time
import uuid

import celery
import celery.beat
import pytest

import beat_load
from patience import clock_ahead
from services import patience, wait_until
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


def test_an_ini_file(broker, directory):
    (directory / "beat.ini").write_text("""; entries
[report é]
task = app.report
schedule = 0 8 * * mon-fri
args = [1, "a;b # c"]
kwargs = {"all": true}
queue = 7
expires = 3600
options = {"priority": 3, "queue": "no"}
# off
[off]
task=app.off
schedule=5
enabled = No
[sunny]
task = app.sun
schedule = {"type": "solar", "event": "sunset", "lat": 52.5, "lon": 13.4}
relative = yes
""")
    done = run_beat("--check", CELERY_BROKER_URL=broker.url, CELERIAC_BEAT_SCHEDULE=str(directory / "beat.ini"))
    assert done.returncode == 0, done.stdout
    assert "report é (app.report) at 0 8 * * mon-fri to queue 7\n" in done.stdout and "app.off" not in done.stdout
    assert "sunny (app.sun) by the sun to queue celery\n" in done.stdout


@pytest.mark.parametrize("text, words", [
    ("task = x\n", "Key file does not start with a group"),
    ("[a]\ntask = t\nschedule = 5\n[b]\n[a]\n", "line 5: [a] is there twice"),
    ("[a]\nnonsense\n", "nonsense"),
    ("[a]\ntask = t\nschedule = 5\nargs = [1\n", "entry 'a': args: "),
    ("[a]\ntask = t\nschedule = 5\nenabled = maybe\n", "entry 'a': enabled: neither true nor false"),
    ("[a]\ntask = t\nschedule = 5\nquue = q\n", "entry 'a': quue: "),
    ("[a]\ntask = t\nschedule = 5\nquue = 1\n", "entry 'a': 'quue' is no member of an entry"),
    ("[a]\ntask = t\nschedule = 5\noptions = 5\n", "entry 'a': options must be an object"),
    ("[a]\ntask = t\nschedule = 5 * * *\n", "entry 'a': schedule: a crontab has five fields"),
    ("[a]\ntask = t\0\n", "a NUL is in it"),
])
def test_ini_files_that_are_refused(directory, broker, text, words):
    (directory / "bad.ini").write_text(text)
    done = run_beat("--check", CELERY_BROKER_URL=broker.url, CELERIAC_BEAT_SCHEDULE=str(directory / "bad.ini"))
    assert done.returncode == 1 and words in done.stdout, done.stdout + done.stderr


def test_results_are_cleaned_up_where_celery_does(make_beat, broker, directory, postgres):
    """The entry is that of Celery: task, time and expiry; not for a backend that expires by itself, nor when nothing expires."""
    def has(entry="celery.backend_cleanup (celery.backend_cleanup) at 0 4 * * * to queue celery", **settings):
        done = run_beat("--check", CELERY_BROKER_URL=broker.url, **settings)
        assert done.returncode == 0, done.stdout
        return entry in done.stdout

    retention = "celeriac.retention (celeriac.retention) at 30 4 * * *"
    assert has(CELERIAC_RETENTION_EVENTS="30d", DATABASE_URL=postgres.url("beat"), entry=retention)
    assert not has(CELERIAC_RETENTION_EVENTS="30d", entry="celeriac.retention"), "there is nothing to remove rows from"
    assert not has(DATABASE_URL=postgres.url("beat"), entry="celeriac.retention")
    database = "db+postgresql://u:p@127.0.0.1/db"
    assert has(CELERY_RESULT_BACKEND=database) and has(CELERY_RESULT_BACKEND="mongodb://127.0.0.1/")
    assert not has() and not has(CELERY_RESULT_BACKEND=database, CELERY_RESULT_EXPIRES="0")
    for url in (broker.url, "redis+socket:///run/redis.sock", "rpc://", "cache+memcached://127.0.0.1:11211/"):
        assert not has(CELERY_RESULT_BACKEND=url)
    app = celery.Celery(broker=broker.url, backend="db+sqlite://", set_as_current=False)
    theirs = celery.beat.Scheduler(app, lazy=True, schedule={})
    theirs.install_default_entries({})
    theirs = theirs.schedule["celery.backend_cleanup"]
    assert (theirs.task, str(theirs.schedule._orig_minute), theirs.schedule._orig_hour) == ("celery.backend_cleanup", "0", "4")
    ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=2)
    broker.redis.hset(f"celeriac:{broker.instance}:beat", "celery.backend_cleanup",
                      json.dumps({"last_run_at": ago.isoformat(), "total_run_count": 3, "task_id": ""}))
    make_beat("--result-backend", database)
    wait_until(lambda: broker.redis.llen("celery") == 1, 30)
    (message,) = messages(broker)
    left = datetime.datetime.fromisoformat(message["headers"]["expires"]) - datetime.datetime.now(datetime.timezone.utc)
    assert message["headers"]["task"] == "celery.backend_cleanup"
    assert theirs.options["expires"] - 60 < left.total_seconds() <= theirs.options["expires"]


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


@pytest.fixture
def table(postgres):
    """PostgreSQL, with no rows of others."""
    postgres.sql("DELETE FROM celeriac.periodic_tasks")
    yield postgres
    postgres.sql("DELETE FROM celeriac.periodic_tasks")
    postgres.sql("SELECT celeriac.grant_rights()")  # what a test took away


def test_the_table(make_beat, broker, table):
    """Changes are seen at once; a row that cannot be read is left out."""
    table.sql("INSERT INTO celeriac.periodic_tasks (name, task, schedule) VALUES ('bad', 'app.bad', 'whenever')")
    beat = make_beat(DATABASE_URL=table.url("beat"))
    beat.wait_log("entry 'bad': schedule: a crontab has five fields")
    table.sql("INSERT INTO celeriac.periodic_tasks (name, task, schedule, args, options) VALUES "
              "('row', 'app.row', '0.2', '[7]', '{\"queue\": \"rows\"}')")
    wait_until(lambda: broker.redis.llen("rows") >= 3, 30)
    assert messages(broker, "rows")[0]["headers"]["argsrepr"] == "[7]"
    table.sql("UPDATE celeriac.periodic_tasks SET enabled = false WHERE name = 'row'")
    beat.wait_log("Schedule changed: 1 entries", 2)
    count = broker.redis.llen("rows")
    table.sql("UPDATE celeriac.periodic_tasks SET enabled = true, options = '{\"queue\": \"others\"}' WHERE name = 'row'")
    wait_until(lambda: broker.redis.llen("others") >= 1, 30)
    assert broker.redis.llen("rows") == count


def test_the_table_changes_while_the_file_is_broken(make_beat, broker, directory, table):
    """Entries stay as they were until it is mended, and then the table's are those of now, though nobody says again that it changed."""
    path = directory / "beat.json"
    whole, said = {"task": "app.often", "schedule": 0.2, "options": {"queue": "of the file"}}, "the entries stay as they were"

    def write(text):
        """Nobody reads half of it."""
        (directory / "next.json").write_text(text)
        (directory / "next.json").rename(path)

    def goes_on(times, why=""):
        """Having said why not, once for each reason."""
        beat.wait_log(said, times)
        assert why in [line for line in beat.log().splitlines() if said in line][-1]
        count = broker.redis.llen("of the file")
        wait_until(lambda: broker.redis.llen("of the file") > count + 2, 30, "the entries did not stay")
        assert broker.redis.llen("rows") == 0 and beat.log().count(said) == times

    write(json.dumps({"often": whole}))
    beat = make_beat(DATABASE_URL=table.url("beat"), CELERIAC_BEAT_SCHEDULE=str(path)).wait_log("Schedule changed: 2 entries")
    write("{")
    table.sql("INSERT INTO celeriac.periodic_tasks (name, task, schedule, options) VALUES ('row', 'app.row', '0.2', '{\"queue\": \"rows\"}')")
    goes_on(1)
    write('{"often": {}}')
    goes_on(2, "entry 'often': task is missing")
    write("{")
    goes_on(3)
    write(json.dumps({"often": whole}))
    wait_until(lambda: broker.redis.llen("rows") >= 1, 30, beat.log)


def row(postgres, name):
    return postgres.sql(f"SELECT last_run_at, total_run_count FROM celeriac.periodic_tasks WHERE name = '{name}'")[0]


def test_the_rows_know_what_ran(make_beat, broker, table):
    """Beat's role writes the last run and the count; they stand in for a Redis that forgot; a role that may not changes nothing."""
    table.sql("INSERT INTO celeriac.periodic_tasks (name, task, schedule, options) VALUES "
              "('often', 'app.often', '0.1', '{\"queue\": \"rows\"}'), ('never', 'app.never', '3600', '{}')")
    beat = make_beat(DATABASE_URL=table.url("beat"))
    wait_until(lambda: row(table, "often")[1] >= 12, 30, beat.log)  # more than one statement
    assert beat.log().count("Schedule changed") == 1, "what beat writes is no change"
    assert beat.term()[0] == 0
    # what was not written any more is written by the next
    known = states(broker)["often"]
    beat = make_beat(DATABASE_URL=table.url("beat")).wait_log("beat: Leading")
    wait_until(lambda: row(table, "often")[1] >= known["total_run_count"], 30, beat.log)
    assert beat.term()[0] == 0
    broker.redis.delete(f"celeriac:{broker.instance}:beat")
    table.sql("UPDATE celeriac.periodic_tasks SET last_run_at = now() - interval '2 hours', total_run_count = 5 WHERE name = 'never'")
    table.sql("REVOKE UPDATE (last_run_at, total_run_count) ON celeriac.periodic_tasks FROM celeriac_beat")
    beat = make_beat(DATABASE_URL=table.url("beat"))
    wait_until(lambda: states(broker).get("never", {}).get("total_run_count") == 6, 30, beat.log)
    beat.wait_log("last runs cannot be written to periodic_tasks: ").wait_log(": Sending due task often", 15)
    assert beat.log().count("cannot be written") == 1 and row(table, "never")[1] == 5
    assert states(broker)["often"]["total_run_count"] > known["total_run_count"]


def states(broker):
    return {key.decode(): json.loads(value) for key, value in broker.redis.hgetall(f"celeriac:{broker.instance}:beat").items()}


def run_id(broker, name, at):
    """The id of the message of a slot, which every beat gives it."""
    digest = list(hashlib.sha256(f"celeriac:{broker.instance}:beat:{name}:{at}".encode()).hexdigest())
    digest[12], digest[16] = "8", "89ab"[ord(digest[16]) & 3]
    return str(uuid.UUID("".join(digest[:32])))


def microseconds(iso):
    return (datetime.datetime.fromisoformat(iso) - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


class Slots:
    """Entries every half a second, and what is to be sent of them from now on: every slot, in its turn, once.

    A run that is later than LATE counts from when it was sent, which its message tells by when it expires: what follows is reckoned from there.
    """

    PERIOD = 500000
    LATE = 10000000
    EXPIRES = 3600

    def __init__(self, broker, directory, count=10):
        self.broker = broker
        self.path = directory / "beat.json"
        self.names = [f"e{n}" for n in range(count)]
        self.path.write_text(json.dumps(
            {name: {"task": f"app.{name}", "schedule": self.PERIOD / 1e6, "options": {"queue": "slots", "expires": self.EXPIRES}} for name in self.names}))
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        broker.redis.hset(f"celeriac:{broker.instance}:beat", mapping={
            name: json.dumps({"last_run_at": now, "total_run_count": 0, "task_id": ""}) for name in self.names})
        self.began = microseconds(now)

    def count(self):
        return self.broker.redis.llen("slots")

    def check(self):
        """With no beat alive any more. How many runs were later than LATE."""
        sent, state, late = messages(self.broker, "slots"), states(self.broker), 0
        for name in self.names:
            mine = [message["headers"] for message in sent if message["headers"]["task"] == f"app.{name}"]
            at = self.began
            for n, headers in enumerate(mine):
                slot, made = at + self.PERIOD, microseconds(headers["expires"]) - self.EXPIRES * 1000000
                assert headers["id"] == run_id(self.broker, name, slot), (name, n, len(mine), (made - slot) / 1e6, late)
                on_time = 0 <= made - slot <= self.LATE
                at = slot if on_time else made
                late += made - slot > self.LATE
            assert state[name]["total_run_count"] == len(mine) and state[name]["task_id"] == mine[-1]["id"]
            assert microseconds(state[name]["last_run_at"]) == at
        return late


def storm(make_beat, broker, directory, seconds, seed):
    """Beats are killed at random, one always lives: every slot is one message."""
    slots = Slots(broker, directory)
    rng = random.Random(seed)
    start = lambda: make_beat(CELERIAC_BEAT_SCHEDULE=str(slots.path))
    beats = [start() for _ in range(3)]
    began, kills = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        victim, wanted = rng.randrange(3), slots.count() + 1 + rng.randrange(30)
        wait_until(lambda: slots.count() >= wanted, 30)
        beats[victim].end(signal.SIGKILL, 10)
        beats[victim] = start().wait_role()
        kills += 1
    now = time.time() * 1e6
    wait_until(lambda: all(microseconds(states(broker)[name]["last_run_at"]) >= now for name in slots.names), 30)
    for beat in beats:
        beat.end(signal.SIGTERM, 10)
    late = slots.check()
    print(f"{kills} kills in {time.monotonic() - began:.0f} s, {slots.count()} runs, {late} of them more than {slots.LATE / 1e6:.0f} s late")
    assert late == 0 or patience(1) > 1, "with a machine to itself none is so late"


def test_one_message_per_slot(make_beat, broker, directory):
    storm(make_beat, broker, directory, 6, 1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_one_message_per_slot_for_minutes(make_beat, broker, directory):
    storm(make_beat, broker, directory, 300, 2)


LEADING, STANDING_BY = "beat: Leading", "beat: Standing by: process {} on "


def test_another_beat_takes_over(make_beat, broker, directory):
    """Within five seconds when the leader was killed or stopped, at once when it ended; and no slot is left out."""
    ahead = clock_ahead()
    slots = Slots(broker, directory, 3)
    start = lambda: make_beat(CELERIAC_BEAT_SCHEDULE=str(slots.path))
    first = start().wait_log(LEADING)
    second = start().wait_log(STANDING_BY.format(first.process.pid))
    first.wait_log(": Sending due task", 3).kill()
    died = time.monotonic()
    second.wait_log(LEADING)
    assert time.monotonic() - died < patience(5)
    third = start().wait_log(STANDING_BY.format(second.process.pid))
    # one that sleeps past its lease knows when it wakes, and sends nothing then
    second.process.send_signal(signal.SIGSTOP)
    third.wait_log(f"{LEADING}, after process {second.process.pid}")
    count = slots.count()
    wait_until(lambda: slots.count() >= count + 6, 30)
    second.process.send_signal(signal.SIGCONT)
    second.wait_log(f"The lease went to process {third.process.pid} on ")
    count = slots.count()
    wait_until(lambda: slots.count() >= count + 6, 30)
    assert third.term()[0] == 0
    second.wait_log(f"{LEADING}, after process {third.process.pid}", seconds=2)
    assert second.term()[0] == 0
    assert slots.check() == 0 or patience(1) > 1 or clock_ahead() - ahead > 1, "with a machine to itself none is so late"
    assert all(beat.log().count(": Sending due task") > 0 for beat in (first, second, third))


@pytest.mark.long
def test_ten_thousand_entries(make_beat, broker, directory):
    """Due one after the other, 17 a second: less than 2 % of a core, and less than 50 ms late."""
    path = directory / "beat.json"
    figures = beat_load.spread(broker, path, lambda: make_beat(CELERIAC_BEAT_SCHEDULE=str(path)), 10000, 500)
    print(figures, os.getloadavg())
    assert figures["cpu_percent"] < 2 and figures["p50"] < 50 and figures["p99"] < patience(50), figures


@pytest.mark.long
def test_ten_thousand_entries_at_once(make_beat, broker, directory):
    """They were made before, and go out in batches."""
    path = directory / "beat.json"
    figures = beat_load.at_once(broker, path, lambda: make_beat("-l", "WARNING", CELERIAC_BEAT_SCHEDULE=str(path)), 10000)
    print(figures, os.getloadavg())
    assert figures["p100"] < patience(500), figures
