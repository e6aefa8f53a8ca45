"""The application's time zone: what it changes in messages and results, and what it does not."""

import base64
import datetime
import json
import zoneinfo

import pytest

from places import LATER
from services import wait_until

UTC = datetime.timezone.utc
WHILE = datetime.timedelta(seconds=LATER)


@pytest.fixture(params=[{"timezone": "America/St_Johns"}, {"timezone": "Pacific/Kiritimati", "enable_utc": False}],
                ids=["west", "east without utc"])
def abroad(make_world, request):
    """Hours away from UTC: a date read in the wrong zone is hours off, more than those that tests send."""
    made = make_world(conf=request.param)
    made.zone = zoneinfo.ZoneInfo(request.param["timezone"])
    return made


def scheduled(world, task_id):
    wait_until(lambda: task_id in [info["request"]["id"] for info in world.ask("scheduled")], 60, "it was not held")
    (eta,) = [info["eta"] for info in world.ask("scheduled") if info["request"]["id"] == task_id]
    return datetime.datetime.fromisoformat(eta)


def test_without_an_offset_it_is_utc_all_the_same(abroad):
    """Celery makes such dates aware as UTC, then shows them in its own zone."""
    now = datetime.datetime.now(UTC).replace(microsecond=0)
    later, before = [(now + sign * WHILE).replace(tzinfo=None).isoformat() for sign in (1, -1)]
    eta = scheduled(abroad, abroad.push(task="celeriac.echo", args=[1], headers={"eta": later}))
    assert eta == now + WHILE and eta.utcoffset() == (now + WHILE).astimezone(abroad.zone).utcoffset()
    assert abroad.meta(abroad.push(task="celeriac.echo", args=[2], headers={"eta": before}))["result"] == 2
    assert abroad.meta(abroad.push(task="celeriac.echo", args=[3], headers={"expires": later}))["result"] == 3
    assert abroad.meta(abroad.push(task="celeriac.echo", args=[4], headers={"expires": before}))["status"] == "REVOKED"


@pytest.mark.parametrize("utc", [True, False])
def test_protocol_1(abroad, utc):
    """So it is whatever `utc` says."""
    now = datetime.datetime.now(UTC).replace(microsecond=0)
    body = {"task": "celeriac.echo", "id": f"v1-{utc}", "args": [1], "kwargs": {}, "retries": 0, "expires": None, "utc": utc,
            "eta": (now + WHILE).replace(tzinfo=None).isoformat(), "callbacks": None, "errbacks": None, "timelimit": [None, None],
            "taskset": None, "chord": None}
    message = {"body": base64.b64encode(json.dumps(body).encode()).decode(), "content-encoding": "utf-8",
               "content-type": "application/json", "headers": {},
               "properties": {"body_encoding": "base64", "correlation_id": body["id"], "reply_to": "", "delivery_mode": 2,
                              "delivery_info": {"exchange": "", "routing_key": "celery"}, "priority": 0, "delivery_tag": "v1"}}
    abroad.broker.push(json.dumps(message))
    assert scheduled(abroad, body["id"]) == now + WHILE


@pytest.mark.only("whole metas", "a row's date has no zone")
def test_done_is_told_in_the_zone(abroad):
    meta = abroad.meta(abroad.send("echo", 1).id)
    if abroad.version < (5, 3):
        return  # Celery 5.2 says no zone
    done = datetime.datetime.fromisoformat(meta["date_done"])
    assert abs(done - datetime.datetime.now(UTC)) < datetime.timedelta(minutes=10)
    assert done.utcoffset() == done.astimezone(abroad.zone).utcoffset()


@pytest.mark.since(5, 3)
@pytest.mark.parametrize("form", ["%Y%m%dT%H%M%S", "%Y-%j %H:%M:%S", "%G-W%V-%uT%H:%M:%S", "%G%Vx"], ids=["basic", "ordinal", "week", "none"])
def test_forms_that_isoparse_takes(world, form):
    """Or not: then it is no task, and nothing is stored."""
    now = datetime.datetime.now(UTC).replace(microsecond=0)
    task_id = world.push(task="celeriac.echo", args=[1], headers={"eta": (now + WHILE).strftime(form)})
    if form.endswith("x"):
        assert world.send("echo", 2).get(timeout=60) == 2
        assert world.stored(task_id) is None
    else:
        assert scheduled(world, task_id) == now + WHILE
        world.ask("revoke", task_id=task_id, terminate=True)
