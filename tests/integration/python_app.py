"""The tasks of the real Python workers of the tests: some under names that celeriac-worker has too, some their own."""

import json
import os
import time

import celery
from kombu import Queue
from kombu.common import Broadcast

URL = os.environ["TEST_REDIS_URL"]
app = celery.Celery("python_app", broker=URL, backend=os.environ.get("TEST_BACKEND", URL))
conf = {
    "broker_connection_retry_on_startup": True, "worker_prefetch_multiplier": 1,
    "task_acks_late": os.environ.get("TEST_ACKS_EARLY") != "1",
    "result_extended": os.environ.get("TEST_EXTENDED") == "1",
    "worker_soft_shutdown_timeout": float(os.environ.get("TEST_CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT", "0")),
    "worker_deduplicate_successful_tasks": os.environ.get("TEST_DEDUPLICATE") == "1",
    "task_track_started": os.environ.get("TEST_TRACK_STARTED") == "1",
}
app.conf.update({**conf, **json.loads(os.environ.get("TEST_CONF", "{}"))})
if "TEST_BROADCAST" in os.environ:
    app.conf.task_queues = [Queue("celery"), Broadcast(**json.loads(os.environ["TEST_BROADCAST"]))]


@app.task(name="celeriac.echo")
def echo(value):
    return value


@app.task(name="celeriac.add")
def add(x, y):
    return x + y


@app.task(name="celeriac.xsum")
def xsum(numbers):
    return sum(numbers)


@app.task(name="celeriac.fail")
def fail(message):
    raise RuntimeError(message)


@app.task(name="celeriac.sleep")
def sleep(seconds):
    time.sleep(seconds)


@app.task(name="probe.wait_for")
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.02)
    return 1


@app.task(name="celeriac.retry", bind=True, max_retries=None)
def retry(self, times, countdown=0):
    if self.request.retries < times:
        raise self.retry(countdown=countdown)
    return self.request.retries


@app.task(name="python.echo")
def python_echo(value):
    return value


@app.task(name="python.pid")
def python_pid():
    return os.getpid()


@app.task(name="python.die")
def python_die():
    os.kill(os.getpid(), 9)
