"""Bodies that are compressed, and protocol 1, from a Celery client to results."""

import celery
import pytest


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "lzma"])
def test_compressed(worker, app, compression):
    value = ["again and again, " * 5000, {"n": 2**70}]
    assert app.send_task("celeriac.echo", (value,), compression=compression).get(timeout=60) == value


def test_protocol_1(worker, app):
    old = celery.Celery(broker=app.conf.broker_url, backend=app.conf.result_backend, set_as_current=False)
    old.conf.task_protocol = 1
    assert old.send_task("celeriac.add", (1,), {"y": 2}, countdown=0.1).get(timeout=60) == 3
