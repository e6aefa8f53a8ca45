"""Flower, the newest, watches and drives our worker: its pages, its API and its buttons."""

import signal

import requests

from monitoring import OURS, flower, watched
from services import patience, wait_until

__all__ = ["flower", "watched"]


def test_worker_tasks_states_arguments_and_runtime(watched, flower, app):
    done = app.send_task("celeriac.add", (1,), {"y": 2})
    failed = app.send_task("celeriac.fail", ("no luck",))
    running = app.send_task("celeriac.sleep", (600,))
    info = flower.task(done.id, "SUCCESS")
    assert (info["name"], info["args"], info["kwargs"], info["result"]) == ("celeriac.add", "(1,)", "{'y': 2}", "3")
    assert info["worker"] == OURS and info["runtime"] < patience(5) and info["received"] and info["started"] and info["succeeded"]
    info = flower.task(failed.id, "FAILURE")
    assert info["exception"] == "RuntimeError('no luck')" and "RuntimeError: no luck" in info["traceback"]
    assert flower.task(running.id, "STARTED")["worker"] == OURS
    listed = flower.get("/api/tasks").json()
    assert {listed[result.id]["state"] for result in (done, failed, running)} == {"SUCCESS", "FAILURE", "STARTED"}
    assert "celeriac.add" in flower.get("/api/task/types").json()["task-types"]
    worker = flower.wait_worker(lambda worker: worker["active"] and worker["stats"]["total"]["celeriac.sleep"] and worker["conf"]
                                and worker["registered"] and worker["active_queues"])
    assert worker["active"][0]["id"] == running.id and worker["stats"]["pool"]["max-concurrency"] == 2
    assert worker["active_queues"][0]["name"] == "celery" and "celeriac.echo" in worker["registered"]
    assert worker["stats"]["total"]["celeriac.sleep"] == 1 and worker["conf"]["worker_concurrency"] == 2
    for path, words in (
        ("/workers", [OURS]), (f"/worker/{OURS}", [OURS, "Max concurrency", "celery", "celeriac.echo", "nvcsw"]),
        ("/tasks", []), (f"/task/{done.id}", ["celeriac.add", "(1,)", "{&#x27;y&#x27;: 2}", "SUCCESS", OURS]),
        (f"/task/{failed.id}", ["FAILURE", "no luck"]), ("/broker", ["celery"]),
    ):
        page = flower.get(path).text
        for word in words:
            assert word in page or word.replace("&#x27;", "&#39;") in page, (path, word)

    def table():
        return [(row["hostname"], row["status"], row["sw_ident"]) for row in flower.get("/workers", json="1").json()["data"]]

    # online is who was heard of within four seconds, which neither of them always has
    wait_until(lambda: table() == [(OURS, True, "celeriac")], 30, table)


def test_the_buttons_for_a_task(watched, flower, app):
    running = app.send_task("celeriac.sleep", (600,))
    flower.task(running.id, "STARTED")
    later = app.send_task("celeriac.echo", (1,), countdown=600)
    flower.task(later.id, "RECEIVED")
    flower.post(f"/api/task/revoke/{running.id}", terminate="true", signal="SIGKILL")
    flower.post(f"/api/task/revoke/{later.id}")
    assert flower.task(running.id, "REVOKED") and flower.task(later.id, "REVOKED")
    wait_until(flower.worker, 30)
    flower.post("/api/task/rate-limit/celeriac.echo", workername=OURS, ratelimit="10/m")
    assert "celeriac.echo [rate_limit=10/m]" in app.control.inspect([OURS], timeout=30, limit=1).registered()[OURS]
    flower.post("/api/task/timeout/celeriac.echo", workername=OURS, soft="10", hard="20")
    answer = requests.post(f"{flower.url}/api/task/send-task/celeriac.add", json={"args": [1, 2]}, timeout=90).json()
    assert flower.task(answer["task-id"], "SUCCESS")["result"] == "3"
    assert flower.get(f"/api/task/result/{answer['task-id']}").json()["result"] == 3


def test_the_buttons_for_a_worker(watched, flower, app):
    wait_until(flower.worker, 30)
    flower.post(f"/api/worker/pool/grow/{OURS}", n=3)
    flower.wait_worker(lambda worker: worker["stats"]["pool"]["max-concurrency"] == 5)
    flower.post(f"/api/worker/pool/shrink/{OURS}", n=4)
    flower.wait_worker(lambda worker: worker["stats"]["pool"]["max-concurrency"] == 1)
    assert flower.post(f"/api/worker/pool/autoscale/{OURS}", ok=False, min=1, max=3).status_code == 403
    assert flower.post(f"/api/worker/pool/restart/{OURS}", ok=False).status_code == 403
    flower.post(f"/api/worker/queue/add-consumer/{OURS}", queue="late")
    assert app.send_task("celeriac.echo", (1,), queue="late").get(timeout=60) == 1
    flower.wait_worker(lambda worker: [queue["name"] for queue in worker["active_queues"]] == ["celery", "late"])
    flower.post(f"/api/worker/queue/cancel-consumer/{OURS}", queue="late")
    flower.wait_worker(lambda worker: [queue["name"] for queue in worker["active_queues"]] == ["celery"])
    flower.post(f"/api/worker/shutdown/{OURS}")
    assert watched.wait_end() == 0
    wait_until(lambda: flower.get("/api/workers", status="1").json() == {OURS: False}, 30)


def test_a_worker_that_dies_is_seen_as_offline(watched, flower):
    watched.end(signal.SIGKILL)
    wait_until(lambda: flower.get("/api/workers", status="1").json() == {OURS: False}, 30)
