"""What workers share in another Redis than messages: CELERIAC_STATE_URL."""

import json
import signal
import uuid

import pytest

from services import Redis, wait_until
from test_beat import Beat, kill_leader, sent_once
from worker import run_program

def keys(server):
    return {key.decode() for key in server.scan_iter("*", count=10000)}


@pytest.fixture
def shared(make_redis):
    return make_redis().start()


def test_a_deployment_that_shares_another_redis(shared, broker, make_worker, app, instance):
    """Leases are where they are shared and shown where messages are; what a dead worker held is put back."""
    state = shared.client()
    first = make_worker("-c", "1", node="one", CELERIAC_STATE_URL=shared.url())
    assert first.readiness()["state"] == "up"
    lease = f"celeriac:{instance}:node:one"
    wait_until(lambda: state.get(lease) and state.get(lease) == broker.redis.get(lease), 30, "they differ")
    assert app.send_task("celeriac.add", args=(1, 2)).get(timeout=30) == 3
    held = app.send_task("celeriac.sleep", args=(3600,), task_id="held")
    wait_until(lambda: broker.unacked() == (1, 1), 30, "it was not taken")
    broker.wait_listening()
    app.control.revoke("never-sent")
    wait_until(lambda: state.zscore(f"celeriac:{instance}:revoked", "never-sent"), 30, "what is revoked is not shared")
    first.kill()
    app.control.revoke("held")  # nobody hears it
    state.zadd(f"celeriac:{instance}:revoked", {"held": 1 << 40})
    second = make_worker("-c", "1", node="one", CELERIAC_STATE_URL=shared.url())
    second.wait_log(r"Restored 1 message")
    wait_until(lambda: held.state == "REVOKED", 30, "what is shared was not learnt")
    broker.wait_settled()
    wait_until(lambda: len(state.smembers(f"celeriac:{instance}:owners")) == 1, 30, "the dead owner is not forgotten")
    second.term()
    assert not state.exists(lease) and not broker.redis.exists(lease)
    assert not any(key.startswith(f"celeriac:{instance}:revoked") for key in keys(broker.redis))


@pytest.mark.docker
def test_conversations(shared, broker, make_full_worker, calls, instance):
    """Containers, live output and quotas are known there; routes stay with the messages."""
    workers = [make_full_worker(start=False, CELERIAC_STATE_URL=shared.url()).spawn() for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    conversation = f"c-{uuid.uuid4()}"
    sent = [calls.send(f"open('n', 'a').write('{n}')\nprint(open('n').read())", conversation) for n in range(6)]
    said = [result.get(timeout=120) for result in sent]
    assert [value["stdout"].strip() for value in said] == ["012345"[: n + 1] for n in range(6)]
    assert len({value["sandbox"] for value in said}) == 1
    state = shared.client()
    assert state.exists(f"celeriac:stream:{sent[-1].id}")
    assert not [key for key in keys(broker.redis) if key.startswith("celeriac:stream:")]
    broker.wait_settled()


@pytest.mark.docker
def test_a_conversation_on_an_engine_of_others(shared, broker, make_full_worker, calls, instance):
    """Who reaches an engine is asked where calls are routed: it is theirs, however long the grace."""
    make_full_worker(node="here", CELERIAC_STATE_URL=shared.url(), SANDBOX_ENGINE_GRACE="1h")
    base, conversation = f"celeriac:{instance}", f"c-{uuid.uuid4()}"
    shared.client().hset(f"{base}:conversation:{conversation}", mapping={"engine": "theirs", "container": "0" * 64})
    broker.redis.sadd(f"{base}:engine:theirs", "there@1")
    broker.redis.sadd(f"{base}:routers", "there@1")
    calls.send("print(1)", conversation)
    wait_until(lambda: broker.redis.llen(f"celeriac.node.{instance}:there") == 1, 30, "it was not given to who reaches the engine")


@pytest.mark.docker
def test_calls_that_were_taken_while_it_is_away(shared, broker, make_full_worker, calls, app):
    """Nobody says whose conversation it is: the call goes back, and what else there is goes on when it answers again."""
    worker = make_full_worker(CELERIAC_STATE_URL=shared.url())
    assert calls.run("print(0)")["status"] == "ok"
    worker.process.send_signal(signal.SIGSTOP)  # it takes the call before it can miss who does not answer any more
    late = calls.send("print(1)")
    shared.process.send_signal(signal.SIGSTOP)
    worker.process.send_signal(signal.SIGCONT)
    worker.wait_log("calls of conversations are put back: ", 60)
    wait_until(lambda: broker.redis.llen("celery") == 1 and broker.unacked() == (0, 0), 60, "it was not put back")
    shared.process.send_signal(signal.SIGCONT)
    assert late.get(timeout=90)["stdout"] == "1\n"
    broker.wait_settled()


def test_away(shared, broker, make_worker, app):
    worker = make_worker(CELERIAC_STATE_URL=shared.url())
    shared.kill()
    wait_until(lambda: worker.readiness().get("state") == "away", 30, "/readyz does not say so")
    late = app.send_task("celeriac.add", args=(1, 2))
    wait_until(lambda: worker.http("/readyz")[0] == 503, 30, "it would claim")
    assert broker.redis.llen("celery") == 1 and broker.unacked() == (0, 0), "it was claimed"
    shared.start()
    assert late.get(timeout=30) == 3
    worker.wait_ready()


def test_beat_sends_elsewhere(shared, broker, directory, ended, instance):
    """Two beats, one of them killed: each slot is one message, but for the one that it may have sent and not written down."""
    beats = [Beat(directory, broker.url, instance, CELERIAC_STATE_URL=shared.url()) for _ in range(2)]
    for beat in beats:
        ended.append(beat)
        beat.start().wait_role()
    wait_until(lambda: broker.redis.llen("celery") >= 2, 30, "nothing was sent")
    written = kill_leader(beats, lambda: shared.client().hget(f"celeriac:{instance}:beat", "sandbox.cleanup"))
    sent = broker.redis.llen("celery")
    wait_until(lambda: broker.redis.llen("celery") > sent + 2, 60, "nobody took over")
    messages = reversed(broker.redis.lrange("celery", 0, -1))
    sent_once([json.loads(message)["headers"]["id"] for message in messages], written)
    assert f"celeriac:{instance}:beat" in keys(shared.client()) and f"celeriac:{instance}:beat" not in keys(broker.redis)


NOWHERE = {"CELERY_BROKER_URL": "amqp://127.0.0.1:1//", "CELERY_RESULT_BACKEND": "rpc://"}


@pytest.mark.parametrize("settings, said", [
    ({**NOWHERE, "DATABASE_URL": "postgresql://127.0.0.1:1/none"}, "CELERIAC_STATE_URL is not set"),
    ({"CELERIAC_STATE_URL": "memcached://x"}, "CELERIAC_STATE_URL: "),
    ({"CELERIAC_STATE_URL": "redis://127.0.0.1:1/"}, "127.0.0.1:1"),
])
def test_check(settings, said, broker):
    done = run_program("--check", **{"CELERY_BROKER_URL": broker.url, **settings})
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.startswith("FAIL  state") and said in line], done.stdout


def test_check_without_any(broker):
    """Plain tasks need none: what goes without it is said."""
    done = run_program("--check", **NOWHERE)
    assert [line for line in done.stdout.splitlines() if line.startswith("note  state") and "no sandbox and tool tasks" in line], done.stdout
