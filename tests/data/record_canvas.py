"""
Records what a Python worker publishes while it works through canvases, as food for the unit tests.

    PYTHON record_canvas.py DIRECTORY

A private Redis, one process that is client and worker at once: each canvas is sent, then every message is run through
Celery's own tracer, in order, by a task that returns or raises what the recording says. Written to
DIRECTORY/celery-<version>/<name>.json: for each step the message it ran (or the index of the one it came from), what
was returned, and in `events`, in order, what was published (whole envelopes), which chord sizes were set, which group
results were saved; `children` as Celery counted them; and for the last part of a chord the body's own step.
"""

import base64
import collections
import datetime
import itertools
import json
import os
import pathlib
import random
import sys
import tempfile

import celery
import celery.app.amqp
import celery.signals
import kombu.transport.redis
from celery import chain, chord, group
from celery.app.trace import build_tracer
from celery.canvas import maybe_signature
from celery.result import GroupResult
from kombu.utils.json import dumps, loads
from record import REPLY_TO, private_redis

ETA = datetime.datetime(2026, 11, 21, 9, 30, 0, 250000, tzinfo=datetime.timezone.utc)


# Of hundreds of tangles, the smallest that noticed each mistake put into our code on purpose.
SEEDS = [156, 194, 239, 278, 316, 328]


def tangle(app, seed):
    """Chains, groups and chords in each other, by chance."""
    chance, numbers = random.Random(seed), itertools.count(1)

    def task():
        number = next(numbers)
        fails = chance.random() < 0.04
        options = {}
        if chance.random() < 0.15:
            options["queue"] = "other"
        if chance.random() < 0.1:
            options["link"] = [app.signature(f"t.L{number}")]
        if chance.random() < 0.1:
            options["link_error"] = [app.signature(f"t.E{number}")]
        if chance.random() < 0.1:
            options["priority"] = chance.randint(0, 9)
        args = tuple(range(chance.randint(0, 2)))
        name = "t.fail" if fails else f"t.n{number}"
        return app.signature(name, args=args, options=options, immutable=chance.random() < 0.15)

    def tree(depth):
        kind = chance.random()
        if depth == 0 or kind < 0.35:
            return task()
        if kind < 0.6:
            return chain(*[tree(depth - 1) for _ in range(chance.randint(1, 4))])
        if kind < 0.8:
            return group([tree(depth - 1) for _ in range(chance.randint(1, 3))])
        return chord([tree(depth - 1) for _ in range(chance.randint(1, 3))], tree(depth - 1))

    if seed % 2:
        top = chain(task(), tree(3), task())
    else:
        top = app.signature("t.top", options={"link": [tree(3) for _ in range(chance.randint(1, 2))]})
    if seed % 5 == 0:
        top.stamp(s="x")
    return top


def canvases(app):
    """name: signature; every task's name begins with "t."; one called "t.fail" fails."""

    def t(name, *args, **options):
        return app.signature(f"t.{name}", args=args, options=options)

    def i(name, *args, **options):
        return app.signature(f"t.{name}", args=args, options=options, immutable=True)

    def raw(kind, **options):
        """As no Celery of today writes it: a group that is followed by a task is not yet a chord."""
        def make(*tasks):
            return {"task": f"celery.{kind}", "args": [], "kwargs": {"tasks": list(tasks)}, "options": options,
                    "subtask_type": kind, "immutable": False}
        return make

    deep = t("in")
    for level in range(6):
        deep = chain(t(f"a{level}"), group(deep, t(f"b{level}")), t(f"c{level}"))
    stamped = chain(t("a"), t("b"), group(t("c"), t("d")))
    if hasattr(stamped, "stamp"):
        stamped.stamp(tenant="t1")
    linked_stamp = t("a", link=[t("b")])
    if hasattr(linked_stamp, "stamp"):
        linked_stamp.stamp(colour="red")
    return {
        "link": t("a", link=t("b", 7)),
        "link-immutable": t("a", link=i("b")),
        "link-options": t(
            "a",
            link=app.signature(
                "t.b", args=(1,), kwargs={"k": [1, None]},
                options=dict(queue="other", priority=3, eta=ETA, expires=ETA + datetime.timedelta(days=3650), time_limit=30,
                             soft_time_limit=25.5, shadow="nap", ignore_result=True, headers={"tenant": "t1"}, task_id="b-1"),
            ),
        ),
        "links": t("a", link=[t("b"), i("c", 1), t("d", queue="other")]),
        "links-group": t("a", link=[t("b"), group(t("c"), t("d")), t("e")]),
        "link-group": t("a", link=group(t("b", 1), i("c", 2))),
        "link-chain": t("a", link=chain(t("b", 1), t("c", 2), t("d"))),
        "link-chord": t("a", link=chord([t("b", 1), t("c", 2)], t("d"))),
        "link-of-link": t("a", link=t("b", link=t("c", link=t("d")))),
        "chain": chain(t("a", 1), t("b", 2), t("c", 3)),
        "chain-of-chains": chain(t("a"), chain(t("b"), chain(t("c"), t("d"))), t("e")),
        "chain-links": chain(t("a"), t("b"), t("c")).set(link=t("z"), link_error=t("e")),
        "chain-ends-in-group": chain(t("a"), group(t("b"), t("c"), t("d"))),
        "chain-group-task": chain(t("a"), group(t("b"), t("c")), t("d"), t("e")),
        "chain-group-group": chain(t("a"), group(t("b"), t("c")), group(t("d"), t("e")), t("f")),
        "chain-chord": chain(t("a"), chord([t("b"), t("c")], t("d")), t("e")),
        "chain-chord-chain": chain(t("a"), chord([t("b"), t("c")], chain(t("d"), t("e"))), t("f"), t("g")),
        "group": group(t("a", 1), t("b", 2)),
        "group-of-chains": group(chain(t("a"), t("b")), chain(t("c"), t("d"))),
        "chain-group-of-chains": chain(t("x"), group(chain(t("a"), t("b")), chain(t("c"), t("d"))), t("e")),
        "chain-nested-groups": chain(t("x"), group(t("a"), group(t("b"), t("c"))), t("e")),
        "chord": chord([t("a", 1), t("b", 2)], t("c")),
        "chord-of-chords": chord([chord([t("a"), t("b")], t("c")), t("d")], t("e")),
        "chain-chord-of-chords": chain(t("x"), chord([chord([t("a"), t("b")], t("c")), t("d")], t("e"))),
        "chain-chord-of-chains": chain(t("x"), chord([chain(t("a"), t("b")), t("d")], chain(t("e"), t("f")))),
        "chord-body-group": chord([t("a"), t("b")], group(t("c"), t("d"))),
        "chord-body-linked": chord([t("a"), t("b")], t("c", link=t("d"), link_error=t("e"))),
        "chain-chord-links": chain(t("x"), chord([t("a"), t("b")], t("c"))).set(link=t("z"), link_error=t("e")),
        "chain-group-in-chord-body": chain(t("x"), chord([t("a"), t("b")], group(t("c"), t("d"))), t("e")),
        "chain-single-group": chain(t("x"), group(t("a")), t("b")),
        "deep": deep,
        "errbacks": t("fail", link_error=[t("e", 1), i("f", 2)]),
        "errback": t("fail", link_error=t("e")),
        "chain-fails": chain(t("a"), t("fail"), t("b")).set(link_error=t("e")),
        "stamps": stamped,
        "link-stamps": linked_stamp,
        "raw-chain": t("a", link=raw("chain", link_error=[t("e")])(raw("group")(t("b"), t("c")), t("d"), t("f"))),
        "raw-chain-groups": t("a", link=raw("chain")(raw("group")(t("b"), t("c")), raw("group")(t("d"), t("e")), t("f"), t("g"))),
        "raw-chain-in-group": t("a", link=raw("group")(raw("chain")(raw("group")(t("b"), t("c")), t("d"), t("e"), t("f")), t("g"))),
        "raw-empty-first": t("a", link=raw("chain")(raw("group")(), raw("chain")(), raw("group")(t("b")), t("c"))),
        "raw-empty-in-group": t("a", link=raw("group")(raw("chain")(raw("group")(), raw("chain")()), t("b"))),
        "chord-body-nested-group-errbacks": t(
            "a", link=chord([t("b")], group(group(t("c"), t("d")).set(link_error=[t("e")]), t("f"))).set(link_error=t("y"))
        ),
        "chord-eta": chain(t("x"), chord([t("a"), t("b")], t("c")).set(eta=ETA)),
        "chord-body-group-links": chain(t("x"), chord([t("a"), t("b")], group(t("c"), t("d")))).set(link=t("z"), link_error=t("e")),
        "chord-body-groups-errbacks": chain(
            t("x"), chord([t("a")], group(t("b"), chord([t("c")], group(t("d"), t("f")).set(link_error=[t("e")])))).set(link_error=t("y"))
        ),
        "chunks": t("a", link=app.signature({"task": "celery.chunks", "args": [], "kwargs": {
            "task": dict(t("b")), "it": [[1], [2], [3]], "n": 2}, "options": {}, "subtask_type": "chunks", "immutable": True})),
        "xmap": t("a", link=app.signature({"task": "celery.map", "args": [], "kwargs": {
            "task": dict(t("b")), "it": [1, 2]}, "options": {"queue": "other"}, "subtask_type": "xmap", "immutable": True})),
        "priority": chain(t("a"), group(t("b"), t("c")), t("d")).set(priority=4),
        **{f"tangle-{seed}": tangle(app, seed) for seed in SEEDS},
    }


class Recorder:
    """Runs one canvas; keeps what happened in the step that is going on."""

    def __init__(self, app):
        self.app = app
        self.task = app.task(name="parent", lazy=False)(self.run)
        self.sizes, self.parts = {}, collections.defaultdict(list)
        self.queue, self.events, self.step, self.seen = [], [], None, []
        self.postrun = lambda **kwargs: setattr(self, "seen", self.children())
        celery.signals.task_postrun.connect(self.postrun)
        recorder = self

        def put(channel, queue, message, **kwargs):
            recorder.events.append({"queue": queue, "message": dumps(message)})
            recorder.queue.append(message)

        def set_chord_size(group_id, size):
            recorder.sizes[group_id] = size
            recorder.events.append({"group_id": group_id, "size": size})

        def apply_chord(header_result_args, body, **kwargs):
            result = app.GroupResult(*header_result_args)
            if any(isinstance(nested, GroupResult) for nested in result.results):
                recorder.events.append({"group_id": result.id, "results": result.as_tuple()})

        kombu.transport.redis.Channel._put = put
        app.backend.set_chord_size = set_chord_size
        app.backend.apply_chord = apply_chord
        app.backend.on_chord_part_return = self.part
        app.backend.store_result = lambda *a, **k: None

    def run(self, *args, **kwargs):
        if self.step["failed"]:
            raise RuntimeError("as recorded")
        return self.step["value"]

    def part(self, request, state, result, **kwargs):
        parts = self.parts[request.group]
        parts.append(result if state == "SUCCESS" else None)
        if state != "SUCCESS" or len(parts) != self.sizes.get(request.group):
            return
        self.step["events"], self.events = self.events, []
        self.step["children"] = self.children()
        self.step["body"], self.step["results"] = request.chord, list(parts)
        maybe_signature(request.chord, app=self.app).delay(parts)
        self.step["body_events"] = self.events

    def children(self):
        return [child.as_tuple() for child in self.task.request.children or []]

    def play(self, signature):
        steps, numbers = [], itertools.count(100)
        self.queue, self.events = [], []
        self.sizes.clear()
        self.parts.clear()
        signature.apply_async()
        sent = self.events
        while self.queue and len(steps) < 100:
            message = self.queue.pop(0)
            args, kwargs, embed = loads(base64.b64decode(message["body"]))
            headers = message["headers"]
            self.step = step = {"message": dumps(message), "failed": headers["task"] == "t.fail", "value": next(numbers)}
            self.events = []
            request = dict(headers, **embed, args=args, kwargs=kwargs, reply_to=message["properties"]["reply_to"],
                           delivery_info=dict(message["properties"]["delivery_info"], priority=message["properties"]["priority"]))
            build_tracer("parent", self.task, app=self.app)(headers["id"], args, kwargs, request)
            if "body" not in step:
                step["events"], step["children"] = self.events, self.seen
            steps.append(step)
        return {"sent": sent, "steps": steps}


def main():
    target = pathlib.Path(sys.argv[1]) / f"celery-{celery.__version__}"
    target.mkdir(parents=True, exist_ok=True)
    celery.app.amqp.anon_nodename = lambda *a, **k: "gen4711@client"
    with tempfile.TemporaryDirectory() as tmp, private_redis(tmp) as (sock, db):
        for name in canvases(celery.Celery()):
            app = celery.Celery(broker=f"redis+socket://{sock}", backend=f"redis+socket://{sock}")
            app.conf.task_inherit_parent_priority = name == "priority"
            type(app).thread_oid = REPLY_TO
            recording = Recorder(app).play(canvases(app)[name])
            (target / f"{name}.json").write_text(json.dumps(json.loads(dumps(recording))) + "\n")
            print(name, len(recording["sent"]), [len(step["events"]) for step in recording["steps"]])
        sys.stdout.flush()
        del app
    # The results of this process would look for their server for a long time.
    os._exit(0)


if __name__ == "__main__":
    main()
