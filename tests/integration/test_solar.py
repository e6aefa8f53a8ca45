"""beat's solar schedules beside Celery's, which asks ephem."""

import datetime
import json
import random

import celery
import pytest

from test_crontab import BEGIN, END, UTC, ours

EVENTS = "dawn_astronomical dawn_nautical dawn_civil sunrise solar_noon sunset dusk_civil dusk_nautical dusk_astronomical".split()


def misses_by(solar, at):
    """How far the sun is from where it should be, in degrees; the events below the horizon go by its middle."""
    ephem = solar.ephem
    solar.cal.date = ephem.Date(datetime.datetime.fromtimestamp(at, UTC).replace(tzinfo=None))
    sun = ephem.Sun(solar.cal)
    edge = 0 if solar.use_center else sun.radius
    return abs(sun.alt + edge - solar.cal.horizon) * 180 / ephem.pi


@pytest.mark.long
@pytest.mark.parametrize("event", EVENTS)
def test_solar(event):
    """Within a minute; where the sun runs along its height, within a hundredth of a degree of it."""
    pytest.importorskip("ephem", reason="deploy/setup --long installs it")
    app = celery.Celery(set_as_current=False)
    r = random.Random(event)
    places = [(round(r.uniform(-85, 85), 3), round(r.uniform(-180, 180), 3), r.randint(BEGIN, END)) for _ in range(1000)]
    rows = [("UTC", json.dumps({"type": "solar", "event": event, "lat": lat, "lon": lon}), at, 1) for lat, lon, at in places]
    apart = []
    for (lat, lon, at), (our,) in zip(places, ours(rows)):
        last = datetime.datetime.fromtimestamp(at, UTC)
        solar = celery.schedules.solar(event, lat, lon, nowfun=lambda: last, app=app)
        their = at + solar.remaining_estimate(last).total_seconds()
        apart.append(abs(our - their))
        assert apart[-1] <= 60 or misses_by(solar, our) < 0.01, (lat, lon, last, our - their)
    apart.sort()
    assert apart[len(apart) // 2] < 3 and apart[-50] < 60, apart[-50:]
