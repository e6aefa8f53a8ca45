"""The task of modules/matrix.c, for a Python worker (-I python_matrix); TEST_CONF is its configuration as JSON."""

import json
import os
import time
from datetime import datetime, timedelta, timezone

from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from python_app import app

app.conf.update(json.loads(os.environ["TEST_CONF"]))


def redelivered(task):
    return bool((task.request.delivery_info or {}).get("redelivered"))


@app.task(name="matrix.run", bind=True)
def run(self, how):
    if how == "fail":
        raise RuntimeError("boo")
    if how == "ignore":
        raise Ignore()
    if how == "reject":
        raise Reject("no", requeue=False)
    if how == "requeue":
        if not redelivered(self):
            raise Reject("later", requeue=True)
        return "again"
    if how == "retry":
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        return self.request.retries
    if how == "retry_eta":
        if self.request.retries < 1:
            raise self.retry(eta=datetime.now(timezone.utc) + timedelta(seconds=1))
        return self.request.retries
    if how == "retry_2100":
        raise self.retry(eta=datetime(2100, 1, 1, tzinfo=timezone.utc))
    if how == "retry_once":
        raise self.retry(exc=ValueError("reason"), countdown=0, max_retries=1)
    if how == "retry_for":
        raise self.retry(exc=ValueError("reason"))
    if how == "sleep_long" or (how == "sleep_once" and not redelivered(self)):
        time.sleep(600)
    if how == "sleep_once":
        return "again"
    if how == "catch_soft":
        try:
            time.sleep(600)
        except SoftTimeLimitExceeded:
            return "caught"
    if how == "progress":
        self.update_state(state="PROGRESS", meta={"current": 3, "total": 10})
        raise Ignore()
    return how
