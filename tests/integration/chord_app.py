"""
python_app, whose process dies when it has added the last part of a chord and is about to publish the body: TEST_DIE=child
is the pool's process alone, TEST_DIE=all is the worker with it.
"""

import os
import signal
import time

import celery.result
import redis
from python_app import URL, app  # noqa: F401


def die(*args, **kwargs):
    if os.environ.get("TEST_ACKS_EARLY") == "1":
        # the parent process acknowledges when it hears that we began
        while redis.Redis.from_url(URL).hlen("unacked"):
            time.sleep(0.01)
    if os.environ["TEST_DIE"] == "all":
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if "TEST_DIE" in os.environ:
    celery.result.GroupResult.restore = die  # what on_chord_part_return calls next
