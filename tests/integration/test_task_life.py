"""The life of a task between its start and its end: retries and time limits."""

import json
import time

import billiard.exceptions
import celery.exceptions
import pytest


def test_retries_keep_id_and_options(worker, app, broker):
    result = app.send_task("celeriac.retry", (3,), task_id="retried", headers={"mine": "kept"}, priority=3)
    assert result.get(timeout=30) == 3
    assert result.id == "retried"
    broker.wait_settled()


def test_retry_waits_for_its_countdown(worker, app):
    began = time.monotonic()
    result = app.send_task("celeriac.retry", (2, 0.7))
    states = set()
    assert result.get(timeout=30, on_message=lambda meta: states.add(meta["status"])) == 2
    assert time.monotonic() - began >= 1.4
    assert "RETRY" in states


def test_retry_goes_on_after_a_kill(make_worker, app):
    worker = make_worker()
    results = [app.send_task("celeriac.retry", (4, 0.2)) for _ in range(20)]
    worker.restart()
    assert [result.get(timeout=60) for result in results] == [4] * 20


def test_hard_limit(worker, app):
    began = time.monotonic()
    with pytest.raises(billiard.exceptions.TimeLimitExceeded):
        app.send_task("celeriac.sleep", (60,), time_limit=1).get(timeout=30)
    assert time.monotonic() - began < 50
    worker.wait_log(r"Hard time limit \(1s\) exceeded for celeriac.sleep")


def test_soft_limit(worker, app):
    with pytest.raises(billiard.exceptions.SoftTimeLimitExceeded):
        app.send_task("celeriac.sleep", (60,), soft_time_limit=1, time_limit=50).get(timeout=30)
    worker.wait_log(r"Soft time limit \(1s\) exceeded for celeriac.sleep")


def test_limits_of_the_settings_and_of_remote_control(make_worker, app, broker):
    worker = make_worker("--time-limit", "1")
    with pytest.raises(billiard.exceptions.TimeLimitExceeded):
        app.send_task("celeriac.sleep", (60,)).get(timeout=30)
    assert app.send_task("celeriac.sleep", (1.5,), time_limit=30).get(timeout=30) is None, "the message's own goes first"
    broker.wait_listening()
    assert app.control.time_limit("celeriac.sleep", soft=1, hard=40, reply=True, timeout=30, limit=1)
    with pytest.raises(billiard.exceptions.SoftTimeLimitExceeded):
        app.send_task("celeriac.sleep", (60,)).get(timeout=30)
    assert worker.term() == 0


def test_errbacks_hear_of_a_limit(worker, app):
    slow = app.signature("celeriac.sleep", args=(60,), time_limit=1)
    slow.link_error(app.signature("celeriac.echo", task_id="heard"))
    result = slow.apply_async()
    with pytest.raises((billiard.exceptions.TimeLimitExceeded, celery.exceptions.TimeoutError)):
        result.get(timeout=30)
    assert app.AsyncResult("heard").get(timeout=30) == result.id


def test_an_application_keeps_its_names(make_worker, app):
    worker = make_worker("-l", "INFO", CELERIAC_TASK_ALIASES="app.sum=celeriac.add")
    assert app.send_task("app.sum", (1, 2)).get(timeout=30) == 3
    assert app.send_task("celeriac.add", (1, 2)).get(timeout=30) == 3
    assert "Task app.sum[" in worker.log()


def test_a_limit_that_is_over_at_once(worker, app):
    for _ in range(5):
        with pytest.raises(billiard.exceptions.TimeLimitExceeded):
            app.send_task("celeriac.sleep", (60,), time_limit=0.02).get(timeout=30)
    # the task is told before it is said
    assert len(worker.wait_log(r"Hard time limit \(0\.02s\) exceeded", count=5)) == 5


def test_every_exception_is_retried(make_worker, app):
    options = {"autoretry_for": ["Exception"], "max_retries": 2, "default_retry_delay": 0}
    worker = make_worker(CELERY_TASK_ANNOTATIONS=json.dumps({"celeriac.fail": options}))
    with pytest.raises(RuntimeError, match="boo"):
        app.send_task("celeriac.fail", ("boo",), task_id="failing").get(timeout=30)
    assert len(worker.log_lines(r"celeriac.fail\[failing\] retry: ")) == 2
