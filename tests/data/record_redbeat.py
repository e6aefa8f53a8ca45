#!/usr/bin/env python3
"""What RedBeat keeps in Redis, made by celery-redbeat itself: `record(url)` for tests, or

    .run/venv/bin/python tests/data/record_redbeat.py redis://… >tests/data/redbeat.json

for the recording that tests without the package read. The database must be empty."""

import datetime
import json
import sys
import warnings
import zoneinfo

import celery
import redis
from celery.schedules import crontab, schedule

STATIC = {"from the application": {"task": "app.static", "schedule": crontab(minute="0", hour="4")}}


def entries(app):
    import redbeat

    make = lambda name, task, when, **more: redbeat.RedBeatSchedulerEntry(name, task, when, app=app, **more)
    return [
        make("minutely", "app.minutely", schedule(60)),
        make("half a second", "app.fast", schedule(0.5), args=[1, "é"], kwargs={"k": [None, {"a": 2.5}]}),
        make("full hours", "app.hourly", schedule(3600, relative=True)),
        make("report é", "app.report", crontab(minute="*/5", hour=8, day_of_week="mon-fri"),
             options={"queue": "reports", "priority": 3, "expires": 600}),
        make("spaced", "app.spaced", crontab(minute="0", hour="1, 13")),
        make("off", "app.off", schedule(5), enabled=False),
        make("dated", "app.dated", schedule(86400), kwargs={
            "at": datetime.datetime(2026, 7, 1, 12, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
            "list": [datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=datetime.timezone(datetime.timedelta(hours=-3)))]}),
        make("ruled", "app.ruled", redbeat.schedules.rrule("DAILY", dtstart=datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc))),
        make("exchanged", "app.exchanged", schedule(60), options={"exchange": "e", "routing_key": "r"}),
    ]


def record(url, ran=("report é", "spaced")):
    """Writes the keys; returns them as {key: value}, a hash as an object, a set or sorted set as an array."""
    import redbeat

    app = celery.Celery(broker=url, set_as_current=False)
    app.conf.update(redbeat_redis_url=url, beat_schedule=STATIC, timezone="UTC")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        redbeat.RedBeatScheduler(app=app)  # writes what is static
        for entry in entries(app):
            entry.save()
            if entry.name in ran:
                entry._next_instance()._next_instance()
    client = redis.Redis.from_url(url, decode_responses=True)
    kinds = {"hash": client.hgetall, "zset": lambda key: client.zrange(key, 0, -1), "set": lambda key: sorted(client.smembers(key))}
    return {key: kinds[client.type(key)](key) for key in sorted(client.keys("redbeat:*"))}


def write(url, recorded):
    """The keys of a recording, into Redis."""
    client = redis.Redis.from_url(url)
    for key, value in recorded.items():
        if isinstance(value, dict):
            client.hset(key, mapping=value)
        elif key.endswith(":schedule"):
            client.zadd(key, {member: 1 for member in value})
        else:
            client.sadd(key, *value)


if __name__ == "__main__":
    json.dump(record(sys.argv[1]), sys.stdout, indent=1, ensure_ascii=False)
    print()
