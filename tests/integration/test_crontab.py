"""beat's crontabs beside Celery's: random ones over ten years in zones with summer times, every difference explained."""

import datetime
import itertools
import random
import subprocess
import zoneinfo

import celery
import pytest
from celery.schedules import ParseException, crontab
from celery.utils.time import remaining

from services import ROOT

PROGRAM = ROOT / "build/beat-next"
UTC = datetime.timezone.utc
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
BEGIN = int(datetime.datetime(2025, 1, 1, tzinfo=UTC).timestamp())
END = int(datetime.datetime(2035, 1, 1, tzinfo=UTC).timestamp())
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()


def ours(rows):
    """The next runs for each (zone, crontab, after, count): a list of seconds since the epoch, or the error."""
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    done = subprocess.run([PROGRAM], input=text, capture_output=True, text=True, timeout=600, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(rows)
    return [line if line.startswith("!") else [int(each) for each in line.split()] for line in lines]


APPS = {}


def celerys(zone, text):
    if zone not in APPS:
        APPS[zone] = celery.Celery(set_as_current=False)
        APPS[zone].conf.timezone = zone
    minute, hour, day_of_month, month_of_year, day_of_week = text.split()
    return crontab(minute, hour, day_of_week, day_of_month, month_of_year, app=APPS[zone])


def celerys_next(schedule, zone, at):
    last = datetime.datetime.fromtimestamp(at, UTC)
    local, delta, _ = schedule.remaining_delta(last, tz=zoneinfo.ZoneInfo(zone))
    return at + round(remaining(local, delta, now=last).total_seconds())


# ---- what may differ, and why ----


def instant(local, zone):
    """As Python's clocks: a time that is skipped is later by as much, one that comes twice is the first."""
    return int(local.replace(tzinfo=zone, fold=0).timestamp())


def by_definition(schedule, zone, at):
    """The first instant after `at` of all minutes that match, each counted one by one."""
    zone = zoneinfo.ZoneInfo(zone)
    day = datetime.datetime.fromtimestamp(at, zone).date() - datetime.timedelta(days=1)
    found = []
    for _ in range(5000):
        if day.month in schedule.month_of_year and day.day in schedule.day_of_month and day.isoweekday() % 7 in schedule.day_of_week:
            times = itertools.product(schedule.hour, schedule.minute)
            instants = (instant(datetime.datetime(day.year, day.month, day.day, h, m), zone) for h, m in times)
            later = [each for each in instants if each > at]
            if found or later:  # a skipped hour may reach into the next day, so that one is looked at too
                return min(found + later)
        elif found:
            return min(found)
        day += datetime.timedelta(days=1)
    return None


def skipped_hour(zone, at, our, their):
    """Clocks were set forward less than an hour's worth ago: Celery has left that hour, of its minutes it runs one."""
    zone = zoneinfo.ZoneInfo(zone)
    before = datetime.datetime.fromtimestamp(our - 3600, zone).utcoffset()
    gap = (datetime.datetime.fromtimestamp(our, zone).utcoffset() - before).total_seconds()
    return gap > 0 and our < their and datetime.datetime.fromtimestamp(our - gap, zone).utcoffset() == before


def second_pass(zone, at, our, their):
    """The hour that comes twice, the second time: Celery goes back into the first, and runs at once, again and again."""
    return datetime.datetime.fromtimestamp(at, zoneinfo.ZoneInfo(zone)).fold == 1 and their <= at < our


REASONS = (skipped_hour, second_pass)

# zone, crontab, after, our next run, Celery's, why
DIFFERENCES = [
    ("Europe/Berlin", "*/5 2 * * *", "2026-03-29T03:00+02:00", "2026-03-29T03:05+02:00", "2026-03-30T02:00+02:00", skipped_hour),
    ("America/New_York", "*/20 2 * * *", "2029-03-11T03:20-04:00", "2029-03-11T03:40-04:00", "2029-03-12T02:00-04:00", skipped_hour),
    ("Australia/Lord_Howe", "10,17 * * * *", "2026-10-04T02:40+11:00", "2026-10-04T02:47+11:00", "2026-10-04T03:10+11:00", skipped_hour),
    ("Europe/Berlin", "*/2 * * * *", "2033-10-30T02:08+01:00", "2033-10-30T03:00+01:00", "2033-10-30T02:10+02:00", second_pass),
    ("America/New_York", "28 * * * *", "2025-11-02T01:21-05:00", "2025-11-02T02:28-05:00", "2025-11-02T01:28-04:00", second_pass),
    ("Australia/Lord_Howe", "2-40 * * * *", "2029-04-01T01:33+10:30", "2029-04-01T02:02+10:30", "2029-04-01T01:34+11:00", second_pass),
]


@pytest.mark.parametrize(("zone", "text", "after", "our", "their", "why"), DIFFERENCES)
def test_differences(zone, text, after, our, their, why):
    at, our, their = (int(datetime.datetime.fromisoformat(each).timestamp()) for each in (after, our, their))
    assert ours([(zone, text, at, 1)]) == [[our]]
    assert celerys_next(celerys(zone, text), zone, at) == their
    assert why(zone, at, our, their) and by_definition(celerys(zone, text), zone, at) == our


# ---- random ones ----


def random_field(r, low, high, names=None):
    def one():
        value = r.randint(low, high)
        return names[value - low] if names and r.random() < 0.5 else str(value)

    kind = r.random()
    if kind < 0.35:
        return "*"
    if kind < 0.5:
        return f"*/{r.randint(1, (high - low) // 2 + 1)}"
    forms = (lambda: one(), lambda: f"{one()}-{one()}", lambda: f"{one()}-{one()}/{r.randint(1, 5)}")
    return ",".join(r.choice(forms)() for _ in range(r.randint(1, 3)))


def random_crontab(r):
    def often_star(field):
        return field if r.random() < 0.5 else "*"

    return " ".join([random_field(r, 0, 59), random_field(r, 0, 23), often_star(random_field(r, 1, 31)),
                     often_star(random_field(r, 1, 12, MONTHS)), often_star(random_field(r, 0, 6, DAYS))])


def changes(zone):
    """When clocks are set."""
    zone, found, offset = zoneinfo.ZoneInfo(zone), [], None
    for at in range(BEGIN, END, 1800):
        now = datetime.datetime.fromtimestamp(at, zone).utcoffset()
        if offset not in (None, now):
            found.append(at)
        offset = now
    return found


def compare(rows):
    """Counts what is the same and what differs for each reason; fails on what has none."""
    counted = dict.fromkeys(["same", "never", *REASONS], 0)
    for (zone, text, at, _), runs in zip(rows, ours(rows)):
        if isinstance(runs, str):
            assert "no month" in runs and not taken_by_celery(text), (zone, text, runs)
            counted["never"] += 1
            continue
        schedule = celerys(zone, text)
        for our in itertools.takewhile(lambda run: run < END + 366 * 86400, runs):
            their = celerys_next(schedule, zone, at)
            why = "same" if our == their else next((each for each in REASONS if each(zone, at, our, their)), None)
            assert why, (zone, text, at, our, their)
            assert why == "same" or by_definition(schedule, zone, at) == our, (zone, text, at, our)
            counted[why] += 1
            at = our
    return counted


def random_rows(seed, crontabs, starts):
    r = random.Random(seed)
    for zone in ZONES:
        changed = changes(zone)
        for _ in range(crontabs):
            text = random_crontab(r)
            for start in range(starts):
                anywhere, near = r.randint(BEGIN, END), r.choice(changed) + r.randint(-2 * 86400, 86400)
                yield zone, text, near if start % 2 else anywhere, 4


def test_random_ones():
    counted = compare(list(random_rows(7, 100, 8)))
    assert counted["same"] > 8000, counted


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_many_random_ones(seed):
    counted = compare(list(random_rows(seed, 500, 40)))
    assert all(counted[each] > 0 for each in ("same", *REASONS)), counted


@pytest.mark.long
@pytest.mark.parametrize("zone", ZONES)
def test_ten_years_run_by_run(zone):
    r = random.Random(zone)
    rows = []
    while len(rows) < 60:
        text = random_crontab(r).split()
        text[:2] = str(r.randint(0, 59)), ",".join(str(r.randint(0, 23)) for _ in range(2))
        rows.append((zone, " ".join(text), BEGIN, 8000))
    counted = compare(rows)
    assert counted["same"] > 20000, counted


# ---- what is a crontab ----


def taken_by_celery(text):
    try:
        celerys("UTC", text)
    except (ValueError, ParseException, TypeError, AttributeError):
        return False
    return True


def random_text(r):
    field = "".join(r.choice("0123456789*/-,abmonjnfri") for _ in range(r.randint(1, 6)))
    fields = ["*"] * 5
    fields[r.randrange(5)] = field
    return " ".join(fields)


# What Celery overlooks is refused: it stops to read where its pattern ends, and of a name it reads three letters.
MISTAKES = ("nothing may stand at", "neither a number nor a name")


@pytest.mark.parametrize("text", ["7-5* * * * *", "2-9-9 * * * *", "* * * * mon16", "* * * janitor *"])
def test_mistakes(text):
    assert taken_by_celery(text)
    assert any(each in ours([("UTC", text, BEGIN, 1)])[0] for each in MISTAKES)


def test_what_is_a_crontab():
    r = random.Random(3)
    texts = [random_text(r) for _ in range(5000)]
    counted = {True: 0, False: 0}
    for text, runs in zip(texts, ours([("UTC", text, BEGIN, 1) for text in texts])):
        taken = not isinstance(runs, str)
        counted[taken] += 1
        assert taken == taken_by_celery(text) or not taken and any(each in runs for each in MISTAKES), (text, runs)
    assert counted[True] > 200 < counted[False], counted
