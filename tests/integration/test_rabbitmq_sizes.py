"""A result or a follow-up that is longer than RabbitMQ takes: said, and not tried for ever; nobody waits for it, nothing is lost."""

import json

import celery
import pytest
from celery import signature

from asking import asking
from clients import RabbitBroker
from rabbitmq import RabbitMQ

MOST = 100_000  # bytes
LONG = "x" * (2 * MOST)  # comes as a compressed message, which is short


@pytest.fixture(scope="module")
def server(session_directory):
    made = RabbitMQ(session_directory, config=[f"max_message_size = {MOST}"])
    try:
        yield made.create()
    finally:
        made.kill()


def client_of(broker, backend):
    return celery.Celery(broker=broker.url, backend=asking(backend), set_as_current=False)


@pytest.fixture
def apart(server, redis_server, instance):
    """Messages in RabbitMQ, results in Redis."""
    made = RabbitBroker(server, redis_server.new_url(), instance)
    yield made
    made.close()


@pytest.fixture
def alone(server, instance):
    """Nothing but RabbitMQ."""
    made = RabbitBroker(server, None, instance)
    yield made
    made.close()


def echo_of_what_is_long(app, **options):
    return app.send_task("celeriac.echo", (LONG,), compression="zlib", **options)


def then(app, **options):
    return signature("celeriac.echo", app=app, options=options)


def test_a_result(alone, make_worker):
    """Who asked gets a failure with the server's words; what would have followed from the result does not."""
    worker = make_worker("-c", "1", broker=alone, CELERY_RESULT_BACKEND="rpc://")
    app = client_of(alone, "rpc://")
    short = [app.send_task("celeriac.echo", (n,)) for n in range(20)]
    with pytest.raises(Exception, match=f"larger than configured max size {MOST}") as caught:
        echo_of_what_is_long(app, chain=[then(app, task_id="never")]).get(timeout=60)
    assert type(caught.value).__name__ == "EncodeError"
    assert [one.get(timeout=60) for one in short] == list(range(20))
    assert app.send_task("celeriac.echo", ("next",)).get(timeout=60) == "next"
    alone.wait_settled()
    assert len(worker.log_lines("the server closed a channel")) == 1, "it was tried again"
    assert worker.log_lines(r"the result was not stored: PRECONDITION_FAILED - message size \d+ is larger")
    assert not worker.log_lines("never")
    app.close()


RETRYING = """
#include <celeriac/task_module.h>
#include <string.h>
static int run(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{
	static char text[%d];
	json_t *value;
	(void)values;
	if (task_ctx_retries(ctx) > 0) {
		*ret = json_string("done");
		return 0;
	}
	memset(text, 'x', sizeof(text) - 1);
	value = json_string(text);
	task_raise_value(ctx, err, "builtins", "ValueError", value);
	json_decref(value);
	return task_retry(ctx, 0, err);
}
static const struct task tasks[] = {{.name = "long.retry", .run = run}};
TASK_MODULE(.name = "long", .tasks = tasks, .task_count = 1);
""" % len(LONG)


def test_a_retry(alone, make_worker, headers):
    """Why it is run again is said to nobody, as Celery does, and it is."""
    worker = make_worker("-c", "1", "-I", headers.write("long_retry", RETRYING), broker=alone, CELERY_RESULT_BACKEND="rpc://")
    app = client_of(alone, "rpc://")
    assert app.send_task("long.retry").get(timeout=60) == "done"
    alone.wait_settled()
    assert worker.log_lines(r"RETRY was not stored: PRECONDITION_FAILED - message size \d+ is larger")
    app.close()


def test_what_follows(apart, make_worker):
    """The result is stored; the message is kept among the dead, with the server's words, and what else is sent goes on."""
    worker = make_worker("-c", "1", broker=apart, CELERY_RESULT_BACKEND=apart.results)
    app = client_of(apart, apart.results)
    result = echo_of_what_is_long(app, task_id="first", chain=[then(app, task_id="never")])
    others = [app.send_task("celeriac.echo", (n,), chain=[then(app, task_id=f"then-{n}")]) for n in range(20)]
    assert result.get(timeout=60) == LONG
    assert [one.get(timeout=60) for one in others] == list(range(20))
    assert [app.AsyncResult(f"then-{n}").get(timeout=60) for n in range(20)] == list(range(20))
    apart.wait_settled()
    [(said, message)] = apart.dead()
    assert f"larger than configured max size {MOST}" in said["reason"] and json.loads(message)["headers"]["id"] == "first"
    assert worker.log_lines(r"\[first\]: what follows from it is refused: .*message size")
    assert not apart.redis.exists("celery-task-meta-never")
    app.close()
