"""Canvas: everything that Celery's clients can put together, with failures at each place."""

import celery.exceptions
import pytest
from celery import chain, chord, group

from places import BACKEND
from services import wait_until
from world import DATE, error


def get(result):
    return result.get(timeout=60)


def names(world):
    """Task ids of this side, so that both may run against one another's leftovers."""
    return lambda name: f"{name}-{world.name}"


# ---- what works ----

SHAPES = {
    "chain": (lambda s: chain(s("add", 1, 2), s("add", 3), s("add", 4)), 10),
    "chain of one": (lambda s: chain(s("add", 1, 2)), 3),
    "chain, immutable": (lambda s: chain(s("add", 1, 2), s("add", 5, 5, immutable=True), s("add", 1)), 11),
    "chain, partial": (lambda s: lambda: chain(s("add", 1), s("add", 3))(10), 14),
    "chain, keywords": (lambda s: chain(s("add", 1, 2), s("add", kwargs={"y": 5})), 8),
    "chain of chains": (lambda s: chain(chain(s("add", 1, 1), s("add", 1)), chain(s("add", 1), s("add", 1))), 5),
    "chain of 100": (lambda s: chain(s("add", 0, 1), *[s("add", 1) for _ in range(99)]), 100),
    "group": (lambda s: group(s("add", n, n) for n in range(5)), [0, 2, 4, 6, 8]),
    "group of one": (lambda s: group([s("add", 1, 1)]), [2]),
    "group of chains": (lambda s: group(chain(s("add", n, 1), s("add", 1)) for n in range(4)), [2, 3, 4, 5]),
    "group of groups": (lambda s: group(group(s("echo", 1), s("echo", 2)), s("echo", 3)), None),
    "chord": (lambda s: chord([s("add", n, n) for n in range(10)], s("xsum")), 90),
    "chord of one": (lambda s: chord([s("add", 1, 1)], s("xsum")), 2),
    "chord, order": (lambda s: chord([s("echo", n) for n in range(30)], s("echo")), list(range(30))),
    "chord, body immutable": (lambda s: chord([s("echo", 1)], s("echo", "body", immutable=True)), "body"),
    "chord of chains": (lambda s: chord([chain(s("add", n, 1), s("add", 1)) for n in range(4)], s("xsum")), 14),
    "chord of chords": (lambda s: chord([chord([s("echo", n)] * 2, s("xsum")) for n in range(3)], s("xsum")), 6),
    "chord of groups": (lambda s: chord([group(s("echo", 1), s("echo", 2)), s("echo", 3)], s("echo")), None),
    "chord, body a chain": (lambda s: chord([s("echo", 1), s("echo", 2)], chain(s("xsum"), s("add", 10))), 13),
    "chord, body a chord": (lambda s: chord([s("echo", 1), s("echo", 2)], chord([s("xsum"), s("xsum")], s("xsum"))), 6),
    "chord, body a group": (lambda s: chord([s("echo", 1), s("echo", 2)], group(s("xsum"), s("xsum"))), [3, 3]),
    "chain then chord": (lambda s: chain(s("add", 1, 2), group(s("add", n) for n in range(3)), s("xsum")), 12),
    "chain ends in group": (lambda s: chain(s("add", 1, 2), group(s("add", 1), s("add", 2))), [4, 5]),
    "group, group": (lambda s: chain(group(s("echo", 1), s("echo", 2)), group(s("xsum"), s("xsum"))), [3, 3]),
    "group, task, group, task": (lambda s: chain(
        group(s("echo", 1), s("echo", 2)), s("xsum"), group(s("add", 1), s("add", 2)), s("xsum")), 9),
    "chord in a chain in a group": (lambda s: group(
        chain(s("echo", n), chord([s("add", 1), s("add", 2)], s("xsum")), s("add", 100)) for n in range(2)), [103, 105]),
    "deep": (lambda s: chain(s("echo", 1), group(chain(s("add", 1), group(chain(s("add", 1), s("add", 1)), s("add", 5)), s("xsum")),
                                                 s("add", 2)), s("xsum")), 14),
}


def flatten(value):
    return [inner for item in value for inner in flatten(item)] if isinstance(value, list) else [value]


# What 5.2 sends of these does not say what follows the chord.
OF_5_3 = {"chord in a chain in a group"}


# What clients make chords of.
CHORDS = {"group, group", "group, task, group, task", "deep", *(name for name in SHAPES if "chord" in name)}


def marks(name):
    chords = pytest.mark.only("stored results", "rpc:// has no chords")
    return [pytest.mark.since(5, 3)] * (name in OF_5_3) + [chords] * (name in CHORDS)


@pytest.mark.parametrize("shape", [pytest.param(name, marks=marks(name)) for name in SHAPES])
def test_shape(world, shape):
    make, expected = SHAPES[shape]
    result = make(world.sig)()
    got = get(result)
    if expected is None:  # Celery's versions nest these differently
        assert sorted(flatten(got)) == [1, 2, 3]
    else:
        assert got == expected


@pytest.mark.only("stored results", "rpc:// has no chords")
def test_a_big_chord(world):
    assert get(chord([world.sig("add", n, n) for n in range(300)])(world.sig("xsum"))) == 300 * 299
    wait_until(lambda: BACKEND != "redis" or world.redis.keys("celery-taskset-meta-*.j") == [], 60, "the set of a finished chord stays behind")


@pytest.mark.only("whole metas", "rows have neither parents nor children")
@pytest.mark.only("stored results", "whoever waits for rpc:// sees each once")
def test_the_parents_of_a_chain(world):
    last = chain(world.sig("add", 1, 2), world.sig("add", 3), world.sig("add", 4))()
    assert get(last) == 10
    middle, first = last.parent, last.parent.parent
    assert (get(middle), get(first), first.parent) == (6, 3, None)
    metas = {result.id: world.stored(result.id) for result in (first, middle, last)}
    assert metas[first.id]["children"] == [[[middle.id, metas[first.id]["children"][0][0][1]], None]]
    assert metas[middle.id]["parent_id"] == first.id and metas[last.id]["parent_id"] == middle.id
    assert metas[last.id]["children"] == [] and "parent_id" not in metas[first.id]
    assert [value for _, value in first.collect()] == [3, 6, 10]


@pytest.mark.only("whole metas", "rows have neither parents nor children")
def test_links_become_children(world):
    name = names(world)
    first = world.sig("add", 1, 2)
    first.link(world.sig("add", 10).set(task_id=name("link-1")))
    first.link(world.sig("echo", "kept", immutable=True).set(task_id=name("link-2")))
    result = first.apply_async()
    assert get(result) == 3
    assert world.meta(name("link-1"))["result"] == 13 and world.meta(name("link-2"))["result"] == "kept"
    assert world.stored(name("link-1"))["parent_id"] == result.id
    leaves = {child.id for each in result.children for child in (getattr(each, "results", None) or [each])}
    assert leaves == {name("link-1"), name("link-2")}


def test_a_link_has_options_of_its_own(world):
    name = names(world)
    first = world.sig("add", 1, 2)
    first.link(world.sig("add", 10).set(task_id=name("queued"), queue="nobody-reads-" + world.name, priority=6,
                                        headers={"tenant": "t"}, expires=600, countdown=500))
    result = first.apply_async()
    assert get(result) == 3
    message = wait_until(lambda: world.broker.take(f"nobody-reads-{world.name}", priority=6), 60, "it was not sent there")
    headers = message["headers"]
    assert (headers["id"], headers["root_id"], headers["parent_id"], headers["task"]) == (
        name("queued"), result.id, result.id, "celeriac.add")
    assert headers["eta"] and headers["expires"] and headers["tenant"] == "t" and message["properties"]["priority"] == 6


@pytest.mark.only("stored results", "rpc:// has no chords")
def test_everything_of_a_canvas_has_one_root(telling):
    first = telling.sig("add", 1, 2)
    result = chain(first, group(telling.sig("add", 1), telling.sig("add", 2)), telling.sig("xsum")).apply_async()
    assert get(result) == 9
    assert result.parent.parent.id and telling.stored(result.id)["name"] == "celeriac.xsum"


def test_map_starmap_chunks(world):
    """They are tasks of every worker's own."""
    canvas, app = celery.canvas, world.app
    assert get(canvas.xmap(world.sig("xsum"), [[1, 2], [3]], app=app).apply_async()) == [3, 3]
    assert get(canvas.xstarmap(world.sig("add"), [(1, 2), (3, 4)], app=app).apply_async()) == [3, 7]
    pieces = canvas.chunks(world.sig("add"), iter([(0, 1), (1, 2), (2, 3)]), 2, app=app)
    assert get(pieces.apply_async()) == [[1, 3], [5]]


# ---- what fails ----

def failed(world, result):
    return world.meta(result.id, "FAILURE")["result"]


def test_a_chain_ends_where_it_fails(world):
    last = chain(world.sig("add", 1, 2), world.sig("fail", "no", immutable=True), world.sig("add", 4), world.sig("add", 5))()
    with pytest.raises(RuntimeError, match="no"):
        get(last.parent.parent)
    # the rest is told, with the same error
    assert failed(world, last.parent) == failed(world, last) == error("RuntimeError", "no")
    assert get(last.parent.parent.parent) == 3


@pytest.mark.only("whole metas", "rows have neither parents nor children")
def test_the_errbacks_of_a_task(world):
    name = names(world)
    failing = world.sig("fail", "boo").set(link_error=[
        world.sig("echo").set(task_id=name("err-1")), world.sig("echo", "kept", immutable=True).set(task_id=name("err-2"))])
    result = failing.apply_async(link=world.sig("echo", task_id=name("never")))
    assert failed(world, result) == error("RuntimeError", "boo")
    assert world.meta(name("err-1"))["result"] == result.id
    assert world.meta(name("err-2"))["result"] == "kept"
    assert world.stored(name("never")) is None
    assert world.stored(name("err-1"))["parent_id"] == result.id


def test_the_errbacks_of_a_chain(world):
    name = names(world)
    last = chain(world.sig("add", 1, 2), world.sig("fail", "no", immutable=True), world.sig("add", 4)).apply_async(
        link_error=world.sig("echo").set(task_id=name("chain-err")))
    assert world.meta(name("chain-err"))["result"] == last.parent.id


def test_a_success_calls_no_errback(world):
    name = names(world)
    result = world.sig("echo", 1).set(link_error=world.sig("echo").set(task_id=name("no-err"))).apply_async()
    assert get(result) == 1
    assert get(world.send("echo", 2)) == 2
    assert world.stored(name("no-err")) is None


@pytest.mark.only("stored results", "rpc:// has no chords")
def test_a_chord_whose_header_fails(world):
    name = names(world)
    body = world.sig("xsum").set(link_error=[world.sig("echo").set(task_id=name("chord-err"))])
    result = chord([world.sig("add", 1, 1), world.sig("fail", "boo"), world.sig("add", 2, 2)])(body)
    reason = "Dependency .* raised " if BACKEND != "database" else ""  # Celery's chord_unlock may not find which it was
    with pytest.raises(celery.exceptions.ChordError, match=rf"^{reason}.*RuntimeError\('boo'\)$"):
        world.app.AsyncResult(result.id).get(timeout=60)
    meta = world.stored(result.id)
    assert meta["result"]["exc_type"] == "ChordError" and meta["result"]["exc_module"] == "celery.exceptions"
    assert meta["date_done"] == DATE
    assert world.meta(name("chord-err"))["result"] == result.id


@pytest.mark.only("stored results", "rpc:// has no chords")
@pytest.mark.parametrize("place", ["first", "last", "only"])
def test_a_chord_fails_in_a_chain_of_its_header(world, place):
    failing = {"first": [world.sig("fail", "boo"), world.sig("add", 1)], "last": [world.sig("add", 1, 1), world.sig("fail", "boo",
               immutable=True)], "only": [world.sig("fail", "boo")]}[place]
    result = chord([chain(*failing), world.sig("add", 2, 2)])(world.sig("xsum"))
    with pytest.raises(celery.exceptions.ChordError, match="boo"):
        world.app.AsyncResult(result.id).get(timeout=60)


@pytest.mark.only("stored results", "rpc:// has no chords")
def test_a_chord_whose_body_fails(world):
    result = chord([world.sig("echo", 1)])(world.sig("fail"))  # gets a list
    assert failed(world, result)["exc_type"] in ("RuntimeError", "TypeError")
    result = chord([world.sig("echo", 1)])(world.sig("fail", "body", immutable=True))
    assert failed(world, result) == error("RuntimeError", "body")


@pytest.mark.only("stored results", "rpc:// has no chords")
def test_a_chord_of_what_nobody_knows(world):
    unknown = celery.signature("no.such.task", app=world.app)
    result = chord([world.sig("add", 1, 1), unknown])(world.sig("xsum"))
    if not world.differs("unknown part"):
        parts = [world.meta(part.id)["status"] for part in result.parent.results]
        assert sorted(parts) == ["FAILURE", "SUCCESS"] and world.stored(result.id) is None
        return
    with pytest.raises(celery.exceptions.ChordError, match="no.such.task"):
        world.app.AsyncResult(result.id).get(timeout=60)


@pytest.mark.only("stored results", "rpc:// has no chords")
@pytest.mark.since(5, 3)  # what 5.2 sends does not say what follows the chord
def test_a_chord_in_a_chain_fails_what_follows(world):
    result = chain(world.sig("echo", 1), group(world.sig("add", 1), world.sig("fail", "boo", immutable=True)), world.sig("xsum"),
                   world.sig("add", 1)).apply_async()
    assert failed(world, result.parent)["exc_type"] == failed(world, result)["exc_type"] == "ChordError"


@pytest.mark.only("stored results", "rpc:// has no chords")
def test_a_revoked_part_fails_its_chord(world):
    name = names(world)
    world.ask("revoke", task_id=name("part"))
    result = chord([world.sig("echo", 1), world.sig("echo", 2).set(task_id=name("part"))])(world.sig("xsum"))
    with pytest.raises(celery.exceptions.ChordError, match="revoked"):
        world.app.AsyncResult(result.id).get(timeout=60)


@pytest.mark.only("stored results", "rpc:// has no chords")
def test_a_retried_part_counts_once(world):
    result = chord([world.sig("retry", 2, 1), world.sig("echo", 5)])(world.sig("xsum"))
    assert get(result) == 7


@pytest.mark.only("stored results", "whoever waits for rpc:// sees each once")
def test_a_group_with_a_failure(world):
    result = group(world.sig("echo", 1), world.sig("fail", "boo"), world.sig("echo", 3))()
    with pytest.raises(RuntimeError, match="boo"):
        get(result)
    wait_until(result.ready, 60)
    assert result.failed() and result.completed_count() == 2
    assert [str(value) for value in result.get(propagate=False, timeout=60)] == ["1", "boo", "3"]
