"""What a project may use, counted for all workers of a deployment; changed while they run."""

import json
import uuid

import pytest

from clients import envelope
from sandboxes import Calls
from services import wait_until

pytestmark = pytest.mark.docker


@pytest.fixture
def project(postgres):
    yield f"p-{uuid.uuid4().hex[:8]}"
    postgres.sql("DELETE FROM celeriac.project_quotas")


@pytest.fixture
def limit(postgres, project):
    def set_limits(**columns):
        postgres.sql("DELETE FROM celeriac.project_quotas WHERE project_id = %s", project)
        postgres.sql(f"INSERT INTO celeriac.project_quotas (project_id, {', '.join(columns)}) "
                     f"VALUES (%s{', %s' * len(columns)})", project, *columns.values())

    return set_limits


def said(calls, project, code="print('ran')", **kwargs):
    """'ran', or what the exception says."""
    result = calls.send(code, f"c-{uuid.uuid4()}", project_id=project, **kwargs)
    try:
        return result.get(timeout=90)["stdout"].strip()
    except Exception as error:  # whatever Python makes of it
        return f"{type(error).__name__}: {error}"


def test_calls_of_two_workers_are_counted_together(make_full_worker, app, postgres, project, limit):
    """Each knows the quota from its first message on; another one takes effect while they run."""
    limit(calls_per_minute=3)
    workers = [make_full_worker(), make_full_worker()]
    calls = Calls(app, postgres)
    results = [calls.send("print('ran')", f"c-{uuid.uuid4()}", project_id=project) for _ in range(8)]
    for result in results:
        result.get(timeout=90, propagate=False)
    failed = [str(result.result) for result in results if result.state == "FAILURE"]
    assert len(failed) == 5 and all(f"project {project}: 3 calls per minute are used up, open at 20" in text for text in failed)
    assert said(calls, f"{project}-other") == "ran"
    rows = wait_until(lambda: (found := postgres.sql(
        "SELECT decision, tool, reason FROM celeriac.activity_events WHERE project_id = %s AND decision = 'deny'", project))
        and len(found) == 5 and found, 30)
    assert {row[:2] for row in rows} == {("deny", "sandbox.execute_code")} and "3 calls per minute" in rows[0][2]
    limit(calls_per_minute=1000)
    wait_until(lambda: said(calls, project) == "ran", 30)
    assert all(worker.alive() for worker in workers)


def test_runs_at_once(make_full_worker, app, broker, postgres, project, limit):
    limit(concurrent_runs=1)
    make_full_worker()
    calls = Calls(app, postgres)
    conversation = f"c-{uuid.uuid4()}"
    long = calls.send("import time\nprint('on', flush=True)\ntime.sleep(600)", conversation, project_id=project, timeout=300)
    wait_until(lambda: postgres.sql("SELECT 1 FROM celeriac.tool_results WHERE task_id = %s", long.id), 30)
    assert said(calls, project) == f"PermissionError: project {project}: 1 calls run at once, open when one of them ends"
    # A tool says it in its result.
    result = app.send_task("tools.call_http", kwargs={"tool": "nothing", "project_id": project}).get(timeout=60)
    assert (result["status"], result["is_error"]) == ("denied", True) and "1 calls run at once" in result["error"]
    broker.wait_listening()
    long.revoke(terminate=True)
    assert wait_until(lambda: (text := said(calls, project)) == "ran" and text, 60)


def test_sandbox_seconds(make_full_worker, app, postgres, project, limit):
    limit(sandbox_seconds_per_day=1)
    make_full_worker()
    calls = Calls(app, postgres)
    assert said(calls, project, "import time\ntime.sleep(1.1)\nprint('ran')") == "ran"
    text = said(calls, project)
    assert text.startswith(f"PermissionError: project {project}: 1 sandbox seconds a day are used up, open at ") and "T00:00:0" in text


def test_what_was_let_in_once_stays_so(make_full_worker, app, broker, postgres, project, limit):
    """By a worker that may be dead: a call that comes again is not counted against its project."""
    limit(calls_per_minute=1)
    make_full_worker()
    assert said(Calls(app, postgres), project) == "ran"
    _, message = envelope("sandbox.execute_code", kwargs={"conversation_id": "again", "code": "print('ran')", "project_id": project}, task_id="again")
    message["headers"]["redelivered"] = message["properties"]["delivery_info"]["redelivered"] = True
    broker.push(json.dumps(message))
    assert broker.meta("again", 60)["result"]["stdout"] == "ran\n"
    assert "calls per minute" in said(Calls(app, postgres), project)


def test_what_cannot_be_counted_waits(make_full_worker, app, broker, postgres, project, limit, instance):
    """As long as Redis refuses to count it; and it is said."""
    limit(calls_per_minute=5)
    worker = make_full_worker()
    key = f"celeriac:{instance}:quota:{project}:calls"
    broker.redis.set(key, "no such thing")
    result = Calls(app, postgres).send("print('ran')", "waits", project_id=project)
    worker.wait_log(rf"\[{result.id}\]: its project's quota cannot be counted, waiting: .*WRONGTYPE")
    refused = broker.redis.info("errorstats")["errorstat_WRONGTYPE"]["count"]
    wait_until(lambda: broker.redis.info("errorstats")["errorstat_WRONGTYPE"]["count"] > refused, 30, "it was not tried again")
    broker.redis.delete(key)
    assert result.get(timeout=90)["stdout"] == "ran\n"
    assert len(worker.log_lines("quota cannot be counted")) == 1
