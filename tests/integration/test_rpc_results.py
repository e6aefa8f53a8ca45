"""rpc://: results as messages on the client's own queue."""

import json

import pytest

from clients import PYTHONS, Client, envelope
from services import wait_until
from test_results import chord_of, plain


@pytest.mark.parametrize("which", list(PYTHONS))
def test_clients_hear_of_them(make_worker, broker, which):
    make_worker(CELERY_RESULT_BACKEND="rpc://", CELERY_TASK_TRACK_STARTED="1")
    value = {"a": [1, 2.5, None, True, "é"], "b": {}}
    chain = {"task": "celery.chain", "args": [], "options": {}, "subtask_type": "chain", "immutable": False,
             "kwargs": {"tasks": [plain("add", 1, 2), plain("add", 3), plain("add", 4)]}}
    answers = Client(which, broker).call(
        [("celeriac.echo", (value,), {}, {}), ("celeriac.fail", ("no",), {}, {}), ("celeriac.retry", (1,), {}, {}),
         ("celeriac.echo", ("x" * 100000,), {}, {})], canvases=[chain], backend="rpc://")
    assert [answer["state"] for answer in answers] == ["SUCCESS", "FAILURE", "SUCCESS", "SUCCESS", "SUCCESS"]
    assert answers[0]["value"] == value and answers[2]["value"] == 1 and answers[4]["value"] == 10
    assert (answers[1]["error"], answers[1]["message"]) == ("builtins.RuntimeError", "no")
    broker.wait_settled()
    assert broker.redis.keys("celery-task-meta-*") == []


def test_where_they_go(make_worker, broker):
    """What nobody takes goes some day, but for a list that may be somebody's queue; what is no list takes nothing."""
    make_worker(CELERY_RESULT_BACKEND="rpc://", CELERY_RESULT_EXPIRES="1h")
    uuid = "0f0e1cd3-7a63-4c1b-8a3e-0d6a0d1e2f30"
    for number, reply_to in enumerate([uuid, "other-queue", "a-string", ""]):
        broker.redis.set("a-string", "x")
        broker.push(json.dumps(envelope("celeriac.echo", [number], properties={"reply_to": reply_to})[1]))
    broker.wait_settled()
    reply = json.loads(broker.redis.lindex(uuid, 0))
    assert reply["content-type"] == "application/json" and reply["properties"]["delivery_info"]["routing_key"] == uuid
    assert 0 < broker.redis.ttl(uuid) <= 3600 and broker.redis.ttl("other-queue") == -1
    assert broker.redis.llen(uuid) == broker.redis.llen("other-queue") == 1
    assert broker.redis.get("a-string") == b"x" and broker.redis.ttl("a-string") == -1


def test_there_are_no_chords(make_worker, broker):
    """One that comes all the same fails, and its parts do not."""
    worker = make_worker(CELERY_RESULT_BACKEND="rpc://")
    body = {**plain("xsum"), "options": {"task_id": "body", "link_error": [{**plain("echo"), "options": {"task_id": "told"}}]}}
    header = {**chord_of([plain("add", 1, 1), plain("add", 2, 2)], body)}
    embed = [[1], {}, {"callbacks": None, "errbacks": None, "chain": [header], "chord": None}]
    broker.push(json.dumps(envelope("celeriac.echo", body=json.dumps(embed))[1]))
    wait_until(lambda: worker.log_lines(r"celeriac.echo\[told\] succeeded"), 30, "nobody is told")
    broker.wait_settled()
    assert worker.log_lines("chords need a result backend")
