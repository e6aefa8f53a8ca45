"""RedBeat's entries, taken over once: the keys are what celery-redbeat itself wrote (tests/data/redbeat.json; made anew in the
long run)."""

import datetime
import json
import sys

import pytest

from services import ROOT, wait_until
from test_beat import Beat, run_beat

sys.path.insert(0, str(ROOT / "tests/data"))
import record_redbeat  # noqa: E402

RECORDING = json.loads((ROOT / "tests/data/redbeat.json").read_text())

WANTED = [
    'take    "celery.backend_cleanup" (celery.backend_cleanup) at 0 4 * * * to queue celery',
    'take    "dated" (app.dated) every 86400 s to queue celery',
    'cannot  "redbeat:exchanged": entry \'exchanged\': options: exchange: an exchange of its own is not for entries; a queue is what they can have',
    'take    "from the application" (app.static) at 0 4 * * * to queue celery',
    'take    "full hours" (app.hourly) every 3600 s to queue celery',
    'take    "half a second" (app.fast) every 0.5 s to queue celery',
    'take    "minutely" (app.minutely) every 60 s to queue celery',
    'take    "off" (app.off) every 5 s to queue celery, not enabled',
    'take    "report \\u00E9" (app.report) at */5 8 * * mon-fri to queue reports, 2 runs, the last at ',
    'cannot  "redbeat:ruled": schedule: there are no schedules of type rrule here',
    'take    "spaced" (app.spaced) by a crontab to queue celery, 2 runs, the last at ',
    "9 of 11 can be taken",
]


def import_from(broker, *args, **settings):
    return run_beat("--import-redbeat" + "".join(args), CELERY_REDBEAT_REDIS_URL=broker.url, CELERY_BROKER_URL="redis://127.0.0.1:1/0", **settings)


def check_dry_run(broker):
    before = broker.redis.dbsize()
    done = import_from(broker)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(WANTED) + 1 and "nothing was changed" in lines[-1]
    for line, wanted in zip(lines, WANTED):
        assert line.startswith(wanted) and (line == wanted or wanted.endswith(" ")), (line, wanted)
    assert broker.redis.dbsize() == before


def last_run(recording, name):
    """(ISO, microseconds) as RedBeat has it."""
    date = json.loads(recording[f"redbeat:{name}"]["meta"])["last_run_at"]
    parts = [date[part] for part in ("year", "month", "day", "hour", "minute", "second", "microsecond")]
    return datetime.datetime(*parts, tzinfo=datetime.timezone.utc)


def check_table(broker, postgres, recording):
    owner = {"CELERIAC_OWNER_DATABASE_URL": postgres.url("owner")}
    postgres.sql("INSERT INTO celeriac.periodic_tasks (name, task, schedule) VALUES ('minutely', 'app.mine', '7')")
    done = import_from(broker, "-apply", **owner)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "8 added to periodic_tasks, 1 were there already"
    done = import_from(broker, "-apply", **owner)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "0 added to periodic_tasks, 9 were there already"
    rows = {name: rest for name, *rest in postgres.sql(
        "SELECT name, task, schedule, args, kwargs, options, enabled, last_run_at, total_run_count FROM celeriac.periodic_tasks")}
    assert rows["minutely"][:2] == ["app.mine", "7"]
    assert rows["half a second"][:5] == ["app.fast", "0.5", [1, "é"], {"k": [None, {"a": 2.5}]}, {}]
    assert rows["report é"] == ["app.report", "*/5 8 * * mon-fri", [], {}, {"queue": "reports", "priority": 3, "expires": 600}, True,
                                last_run(recording, "report é"), 2]
    assert rows["off"][5] is False and rows["off"][7] == 0
    assert json.loads(rows["full hours"][1]) == {"type": "interval", "every": 3600, "relative": True}
    assert rows["dated"][3] == {"at": {"__type__": "datetime", "__value__": "2026-07-01T10:30:00+00:00"},
                                "list": [{"__type__": "datetime", "__value__": "2026-01-02T06:04:05.000678+00:00"}]}


def check_runs(make_beat, broker, postgres, recording):
    """Beat goes on where RedBeat ended: what is long due runs once, what ran is counted on."""
    beat = make_beat(DATABASE_URL=postgres.url("beat"))
    wait_until(lambda: broker.redis.hexists(f"celeriac:{broker.instance}:beat", "report é"), 30, beat.log)
    states = {key.decode(): json.loads(value) for key, value in broker.redis.hgetall(f"celeriac:{broker.instance}:beat").items()}
    assert "off" not in states and states["report é"]["total_run_count"] >= 2
    wait_until(lambda: "app.fast" in beat.log(), 30, beat.log)
    known = postgres.sql("SELECT last_run_at FROM celeriac.periodic_tasks WHERE name = 'report é'")[0][0]
    assert known >= last_run(recording, "report é")


@pytest.fixture
def make_beat(broker, instance, directory, ended):
    def make(**settings):
        made = Beat(directory, broker.url, instance, (), SANDBOX_CLEANUP_INTERVAL="3600", **settings)
        ended.append(made)
        return made.start()

    return make


def check_all(make_beat, broker, postgres, recording):
    check_dry_run(broker)
    postgres.sql("DELETE FROM celeriac.periodic_tasks")
    try:
        check_table(broker, postgres, recording)
        check_runs(make_beat, broker, postgres, recording)
    finally:
        postgres.sql("DELETE FROM celeriac.periodic_tasks")


def test_what_redbeat_wrote(make_beat, broker, postgres):
    record_redbeat.write(broker.url, RECORDING)
    check_all(make_beat, broker, postgres, RECORDING)


@pytest.mark.long
def test_what_redbeat_writes_now(make_beat, broker, postgres):
    check_all(make_beat, broker, postgres, record_redbeat.record(broker.url))


def test_a_file_and_another_prefix(broker, directory):
    """A database is not needed; keys that are no entries are told or passed over, whatever they are called."""
    prefix = "own[*]-"
    record_redbeat.write(broker.url, {key.replace("redbeat:", prefix, 1): value for key, value in RECORDING.items()})
    broker.redis.set(f"{prefix}text", "x")
    broker.redis.hset(f"{prefix}\x1b[31mred", "definition", "{")
    broker.redis.set("ownx-not ours", "x")
    path = directory / "beat.json"
    settings = {"CELERY_REDBEAT_KEY_PREFIX": prefix, "CELERIAC_BEAT_SCHEDULE": str(path)}
    done = import_from(broker, "-apply", **settings)
    assert done.returncode == 0, done.stderr
    assert f'cannot  "{prefix}text": ' in done.stdout and "WRONGTYPE" in done.stdout
    assert f'cannot  "{prefix}\\u001B[31mred": definition: ' in done.stdout and "not ours" not in done.stdout
    assert f"9 of 13 can be taken\n9 written to {path}\n" in done.stdout
    done = run_beat("--check", CELERY_BROKER_URL=broker.url, CELERIAC_BEAT_SCHEDULE=str(path))
    assert done.returncode == 0 and done.stdout.count("ok    entry ") == 9, "the ninth is off, sandbox.cleanup is there"
    done = import_from(broker, "-apply", **settings)
    assert done.returncode == 1 and "cannot be made: File exists" in done.stderr
    done = import_from(broker, "-apply", CELERY_REDBEAT_KEY_PREFIX=prefix)
    assert done.returncode == 1 and "CELERIAC_OWNER_DATABASE_URL" in done.stderr and "CELERIAC_BEAT_SCHEDULE" in done.stderr


def test_no_redis():
    done = run_beat("--import-redbeat", CELERY_BROKER_URL="redis://:hunter2@127.0.0.1:1/0")
    assert done.returncode == 1 and "hunter2" not in done.stderr and done.stderr.startswith("celeriac-beat: ")
    done = run_beat("--import-redbeat")
    assert done.returncode == 1 and "CELERY_BROKER_URL is not set" in done.stderr
