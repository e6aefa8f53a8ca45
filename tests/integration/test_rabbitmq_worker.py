"""celeriac-worker on RabbitMQ: what real Celery clients get from it, and what a crash or an outage leaves."""

import pytest

from clients import Client, PYTHONS
from services import wait_until


@pytest.fixture
def broker(rabbit_broker):
    return rabbit_broker


@pytest.mark.parametrize("which", PYTHONS)
def test_clients_get_results(broker, make_worker, which):
    make_worker()
    [got] = Client(which, broker).call([("celeriac.echo", ["hello"], {}, {})], backend=broker.results)
    assert got["value"] == "hello"
    broker.wait_settled()
