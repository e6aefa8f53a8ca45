"""Trace context: from a client's message to the row, the log and everything that follows."""

import json

import celery

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS = {"traceparent": PARENT, "tracestate": "vendor=1"}


def logged(worker, task_id):
    lines = [json.loads(line) for line in worker.log().splitlines()]
    return [line for line in lines if line.get("task_id") == task_id]


def test_from_message_to_row_and_log(make_full_worker, app, postgres, broker):
    worker = make_full_worker(CELERIAC_LOG_FORMAT="json")
    kwargs = {"conversation_id": "c-trace", "code": "print(1)"}
    first = app.send_task("sandbox.execute_code", kwargs=kwargs, headers=HEADERS)
    assert first.get(timeout=60)["status"] == "ok"
    other = app.send_task("sandbox.execute_code", kwargs=kwargs, headers={"traceparent": "00-nonsense\n"})
    assert other.get(timeout=60)["status"] == "ok"
    rows = dict(postgres.sql("SELECT task_id, traceparent FROM celeriac.tool_results WHERE task_id = ANY(%s)", [first.id, other.id]))
    assert rows == {first.id: PARENT, other.id: None}
    broker.wait_settled()
    lines = logged(worker, first.id)
    for word in ("received", "succeeded"):
        assert any(f"[{first.id}] {word}" in line["message"] for line in lines), lines
    assert {(line["trace_id"], line["span_id"]) for line in lines} == {(PARENT[3:35], PARENT[36:52])}
    assert logged(worker, other.id) and not any("trace_id" in line for line in logged(worker, other.id))


def test_what_follows(worker, app, broker):
    """Links, the next of a chain, the parts and the body of a chord, and retries."""
    add = app.signature("celeriac.add", args=(1, 2))
    nobody = app.signature("celeriac.echo", queue="nobody")
    chain = celery.chain(add, app.signature("celeriac.add", args=(3,), link=nobody), app=app)
    assert chain.apply_async(headers=HEADERS).get(timeout=30) == 6
    app.send_task("celeriac.retry", (1,), link=nobody, headers=HEADERS).get(timeout=30)
    # Celery gives the headers of a call to its first task alone; the body of a chord has those of the task before.
    part = app.signature("celeriac.add", args=(1, 2), immutable=True)
    second = celery.chord([part, part], app.signature("celeriac.xsum", queue="nobody"), app=app)
    celery.chain(add, second, app=app).apply_async(headers=HEADERS)
    broker.wait_settled()
    messages = [json.loads(message)["headers"] for message in broker.redis.lrange("nobody", 0, -1)]
    assert sorted(headers["task"] for headers in messages) == ["celeriac.echo", "celeriac.echo", "celeriac.xsum"]
    assert [(headers["traceparent"], headers["tracestate"]) for headers in messages] == [(PARENT, "vendor=1")] * 3
