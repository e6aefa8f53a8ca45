"""A result backend of clients that asks again. Celery's own subscribes to a result on one connection and then looks for it on
another, and Redis need not take them in that order: a result that comes in between is never heard of. Our worker is quick
enough for that, about once in 1500 chords. And it waits for results as long as tests wait for anything (patience.py)."""

import time

from celery.backends.redis import RedisBackend, ResultConsumer

from patience import patience

INTERVAL = 1  # seconds


class AskingConsumer(ResultConsumer):
    def _wait_for_pending(self, result, timeout=None, on_interval=None, on_message=None, **kwargs):
        last = time.monotonic()
        timeout = patience(timeout) if timeout else timeout

        def again():
            nonlocal last
            if on_interval:
                on_interval()
            if time.monotonic() - last >= INTERVAL:
                last = time.monotonic()
                self.on_wait_for_pending(result, timeout=timeout, **kwargs)

        return super()._wait_for_pending(result, timeout=timeout, on_interval=again, on_message=on_message, **kwargs)


class AskingBackend(RedisBackend):
    ResultConsumer = AskingConsumer


def asking(url):
    """The same backend, as a URL."""
    return f"asking.AskingBackend+{url}" if url.startswith("redis://") else url
