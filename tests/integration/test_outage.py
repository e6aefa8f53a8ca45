"""Redis, PostgreSQL or the engine away, at the start or in the middle: said once, nothing lost, and on within seconds."""

import json
import socket
import threading
import time
import uuid

import pytest
import redis

from clients import Broker, envelope
from faulty import FaultyDoor, stall
from forwarder import Forwarder
from sandboxes import HELD, IMAGE, container_of, docker, open_gate, wait_said
from services import free_port, patience, wait_until
from worker import run_program

DOCKER = "/var/run/docker.sock"
RECOVERY = 5  # seconds after the return of what was away


@pytest.fixture
def own_redis(make_redis):
    return make_redis(durable=True)


@pytest.fixture
def own_broker(own_redis, instance):
    return Broker(own_redis.url(), instance)


@pytest.fixture
def door(directory, ended):
    """A door to the engine, closed at first."""
    made = Forwarder(DOCKER, path=directory / "docker.sock")
    ended.append(made)
    return made


def execute(app, code="print('ran')", **kwargs):
    kwargs = {"conversation_id": f"c-{uuid.uuid4()}", "code": code, **kwargs}
    return app.send_task("sandbox.execute_code", kwargs=kwargs)


def test_redis_absent_at_the_start(own_redis, own_broker, make_worker):
    worker = make_worker(broker=own_broker, start=False).spawn()
    worker.wait_log(f"Cannot connect to redis://127.0.0.1:{own_redis.port}")
    own_redis.start()
    back = time.monotonic()
    worker.wait_ready()
    assert own_broker.meta(own_broker.send("celeriac.echo", 1))["result"] == 1
    assert time.monotonic() - back < patience(RECOVERY)
    assert len(worker.log_lines("Cannot connect")) == 1


def test_an_order_whose_connection_is_refused(own_redis, own_broker, instance, make_worker):
    """Who consumes another queue connects anew, here to a server that asks for a password by now: the order is kept until it does not."""
    own_redis.start()
    worker, inside = make_worker(broker=own_broker), own_redis.client()
    own_broker.wait_listening()  # it is ready before, and would not hear of the queue
    inside.acl_setuser("another", enabled=True, passwords=["+another"], keys=["*"], channels=["*"], commands=["+@all"])
    app = Broker(own_broker.url.replace("//", "//another:another@"), instance).app()
    inside.config_set("requirepass", "secret")
    app.control.broadcast("add_consumer", arguments={"queue": "late"})
    worker.wait_log("consumer: Cannot connect")
    inside.config_set("requirepass", "")
    assert app.send_task("celeriac.echo", (2,), queue="late").get(timeout=patience(30)) == 2
    worker.wait_ready()


def test_stopped_while_redis_is_absent(own_broker, make_worker):
    for how in ("term", "quit"):
        worker = make_worker(broker=own_broker, start=False).spawn()
        worker.wait_log("Cannot connect")
        assert getattr(worker, how)(seconds=15) == 0


def test_redis_killed_in_the_middle(own_redis, own_broker, make_worker):
    """Twice, under load: every message that Redis took has its one result."""
    own_redis.start()
    worker = make_worker("-c", "4", broker=own_broker)
    sent, stop = [], threading.Event()

    def send():
        while not stop.is_set():
            try:
                slow = len(sent) % 50 == 0
                sent.append((own_broker.send("celeriac.sleep", 0.3) if slow else own_broker.send("celeriac.echo", len(sent)),
                             None if slow else len(sent)))
            except redis.RedisError:
                stop.wait(0.05)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(2):
            target = len(sent) + 300
            wait_until(lambda: len(sent) >= target, 60, "too little was sent")
            own_redis.kill()
            wait_until(lambda: worker.readiness().get("broker") == "away", 20, "the outage went unnoticed")
            assert worker.http("/readyz")[0] == 503
            own_redis.start()
            back = time.monotonic()
            worker.wait_ready()
            assert time.monotonic() - back < patience(RECOVERY)
        target = len(sent) + 300
        wait_until(lambda: len(sent) >= target, 60, "too little was sent")
    finally:
        stop.set()
        sender.join()
    own_broker.wait_settled(60)
    for task_id, value in sent:
        meta = own_broker.meta(task_id)
        assert (meta["status"], meta["result"]) == ("SUCCESS", value)
    assert worker.alive() and 1 <= len(worker.log_lines("Cannot connect")) <= 2


def test_a_claim_without_an_answer(redis_server, broker, make_worker, ended):
    """The server made the claim and the connection broke before it could say so: what it took is not lost."""
    door = Forwarder(("127.0.0.1", redis_server.port)).open()
    ended.append(door)
    behind = broker.url.replace(f":{redis_server.port}/", f":{door.port}/")
    worker = make_worker("-c", "2", CELERY_BROKER_URL=behind, CELERY_RESULT_BACKEND=behind)
    assert broker.meta(broker.send("celeriac.echo", "first"))["result"] == "first"  # it has its script there
    broker.wait_settled()
    door.muted = True
    sent = [envelope(args=[n]) for n in range(50)]
    broker.redis.lpush("celery", *(json.dumps(message) for _, message in sent))  # all at once
    wait_until(lambda: broker.redis.hlen("unacked") == 8, 30, "it claimed nothing")
    assert worker.metric("messages_received_total") == 1
    door.close()
    door.muted = False
    door.open()
    assert [broker.meta(task_id)["result"] for task_id, _ in sent] == list(range(50))
    broker.wait_settled()
    wait_until(lambda: worker.metric("messages_restored_total") == 8 and worker.metric("tasks_succeeded_total") == 51, 30, worker.log)


@pytest.fixture
def gated(make_worker, own_broker, headers):
    """A worker on the Redis of its own, with probe.wait_for."""
    def make(*args, **settings):
        return make_worker(*args, "-I", headers.compile("probe"), broker=own_broker,
                           CELERY_TASK_ANNOTATIONS=json.dumps({"probe.wait_for": {"acks_late": True}}), **settings)

    return make


def test_results_wait_for_redis(own_redis, own_broker, gated, directory):
    """Tasks that end during an outage keep their results until Redis is back; nothing is run again."""
    own_redis.start()
    worker, gate = gated("-c", "4"), directory / "gate"
    sent = [own_broker.send("probe.wait_for", str(gate)) for _ in range(4)]
    wait_until(lambda: worker.metric("tasks_active") == 4, 20, "it was not busy")
    own_redis.kill()
    gate.touch()
    wait_until(lambda: worker.metric("tasks_succeeded_total") == 4, 20, "they did not end")
    own_redis.start()
    for task_id in sent:
        assert own_broker.meta(task_id, seconds=RECOVERY)["status"] == "SUCCESS"
    own_broker.wait_settled()
    assert worker.metric("tasks_succeeded_total") == 4, "they were run again"


def test_stopped_during_an_outage(own_redis, own_broker, gated, directory):
    """What ran meanwhile is not lost: the next worker of this name runs it again."""
    own_redis.start()
    worker, gate = gated("-c", "2", CELERIAC_GRACE_TIME="2"), directory / "gate"
    sent = [own_broker.send("probe.wait_for", str(gate)) for _ in range(6)]
    wait_until(lambda: worker.metric("tasks_active") == 2, 20, "it was not busy")
    own_redis.kill()
    gate.touch()
    assert worker.term(seconds=40) == 0
    own_redis.start()
    worker.start()
    for task_id in sent:
        assert own_broker.meta(task_id)["status"] == "SUCCESS"
    own_broker.wait_settled()


@pytest.mark.docker
def test_postgres_absent_at_the_start(make_postgres, make_full_worker, broker):
    database = make_postgres()
    database.stop()
    worker = make_full_worker(start=False, DATABASE_URL=database.url(), CELERIAC_OWNER_DATABASE_URL=database.url("owner")).spawn()
    worker.wait_log("PostgreSQL is not usable")
    wait_until(lambda: worker.readiness().get("database") == "away", 20, "/readyz does not say so")
    waiting = broker.app().send_task("celeriac.echo", (1,))
    database.start()
    back = time.monotonic()
    worker.wait_ready()
    assert time.monotonic() - back < patience(RECOVERY)
    assert waiting.get(timeout=20) == 1
    assert len(worker.log_lines("PostgreSQL is not usable")) <= 2  # it may first be starting up, and say so


@pytest.mark.docker
def test_postgres_lost_in_the_middle(make_postgres, make_full_worker, app, broker, instance):
    database = make_postgres()
    worker = make_full_worker(DATABASE_URL=database.url())
    result = execute(app, HELD + "print('done')", conversation_id="held", timeout=200)
    wait_said(broker, result.id, "begun")
    database.kill()
    wait_until(lambda: worker.readiness().get("database") == "away", 30, "/readyz does not say so")
    late = execute(app)
    open_gate(container_of(instance, "held"))
    database.start()
    back = time.monotonic()
    worker.wait_ready()
    assert time.monotonic() - back < patience(RECOVERY)
    assert result.get(timeout=30)["stdout"] == "begun\ndone\n"
    assert late.get(timeout=30)["stdout"] == "ran\n"
    rows = database.sql("SELECT state, attempt FROM celeriac.tool_results ORDER BY started_at")
    assert rows == [("finished", 1), ("finished", 1)]


def test_a_result_that_redis_refuses_for_good(make_worker, broker):
    """Its key is of another type: the result is lost, said, and the message does not stay for ever."""
    worker = make_worker()
    task_id, message = envelope(task="celeriac.echo", args=(1,))
    broker.redis.lpush(f"celery-task-meta-{task_id}", "not a string")
    broker.push(json.dumps(message))
    worker.wait_log(f"{task_id}.*the result was not stored: .*WRONGTYPE")
    broker.wait_settled()


@pytest.mark.docker
def test_engine_absent_at_the_start(make_full_worker, app, door):
    worker = make_full_worker(start=False, DOCKER_HOST=f"unix://{door.path}").spawn()
    lines = worker.wait_log("the container engine is not usable")
    assert str(door.path) in lines[0]
    wait_until(lambda: worker.readiness().get("engine") == "away" and worker.http("/readyz")[0] == 503, 20, "/readyz does not say so")
    result = execute(app)
    door.open()
    back = time.monotonic()
    worker.wait_ready()
    assert time.monotonic() - back < patience(RECOVERY)
    assert result.get(timeout=30)["stdout"] == "ran\n"
    assert len(worker.log_lines("the container engine is not usable")) == 1


@pytest.mark.docker
def test_engine_lost_in_the_middle(make_full_worker, app, broker, door):
    door.open()
    worker = make_full_worker(DOCKER_HOST=f"unix://{door.path}")
    conversation = f"c-{uuid.uuid4()}"
    assert execute(app, "open('/sandbox/kept', 'w').write('here')", conversation_id=conversation).get(timeout=60)["status"] == "ok"
    door.close()
    wait_until(lambda: worker.readiness().get("engine") == "away", 30, "/readyz does not say so")
    waiting = execute(app, "print(open('/sandbox/kept').read())", conversation_id=conversation)
    other = app.send_task("celeriac.echo", (1,))
    wait_until(lambda: worker.log_lines("the container engine is not usable"), 20, "the log does not say so")
    assert broker.redis.llen("celery") == 2, "messages are claimed that cannot be run"
    door.open()
    back = time.monotonic()
    worker.wait_ready()
    assert time.monotonic() - back < patience(RECOVERY)
    assert waiting.get(timeout=30)["stdout"] == "here\n"
    assert other.get(timeout=20) == 1
    worker.wait_log("the container engine is usable again")
    assert len(worker.log_lines("the container engine is not usable")) == 1


@pytest.mark.docker
def test_what_was_claimed_waits_for_the_engine(make_full_worker, app, broker, directory, ended):
    """A call that came before the outage was noticed is not failed by it, however long it lasts, unless it is revoked."""
    door = FaultyDoor(DOCKER, path=directory / "docker.sock").open()
    ended.append(door)
    worker = make_full_worker("-c", "3", DOCKER_HOST=f"unix://{door.path}")
    broker.wait_listening()
    door.begin(stall)
    sent = [execute(app), app.send_task("sandbox.reset_output", kwargs={"conversation_id": "waits"}), execute(app)]
    wait_until(lambda: worker.metric("messages_received_total") == 3, 30, "they were not claimed")
    door.close()
    worker.wait_log("the container engine is away, waiting", 40, count=3)
    app.control.revoke(sent[2].id, terminate=True)
    assert broker.meta(sent[2].id)["status"] == "REVOKED"
    door.end()
    door.open()
    assert sent[0].get(timeout=30)["stdout"] == "ran\n"
    assert sent[1].get(timeout=30) == {"removed": 0}


@pytest.mark.docker
def test_engine_lost_while_code_runs(make_full_worker, app, broker, postgres, instance, door):
    """The run is not left without an end: fetched when the engine is back, or known to be lost."""
    door.open()
    make_full_worker(DOCKER_HOST=f"unix://{door.path}")
    result = execute(app, HELD + "open('/sandbox/output/f.txt', 'w').write('x')", conversation_id="held", timeout=200)
    wait_said(broker, result.id, "begun")
    door.close()
    door.open()
    open_gate(container_of(instance, "held"))
    value = result.get(timeout=60)
    assert value["status"] in ("ok", "lost"), value
    rows = postgres.sql("SELECT state FROM celeriac.tool_results WHERE task_id = %s", result.id)
    assert rows == [("finished",)]


class RefusingDoor(Forwarder):
    """An engine that answers requests for `refused` with an error of its own, and all others as ever."""

    refused = None

    def _carry(self, source, sink, is_answer, gone):
        text = b'{"message": "it is broken"}'
        try:
            while data := source.recv(65536):
                if not is_answer and self.refused and self.refused in data.partition(b"\r\n")[0]:
                    source.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
                else:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._shut(source)
            self._shut(sink)


@pytest.mark.docker
def test_an_engine_that_answers_and_cannot(make_full_worker, app, directory, ended):
    """What is none of its outages is not waited for: the task fails with what the engine says, and the next one goes on."""
    door = RefusingDoor(DOCKER, path=directory / "docker.sock").open()
    ended.append(door)
    worker = make_full_worker(DOCKER_HOST=f"unix://{door.path}")
    door.refused = b"/containers/json"
    result = app.send_task("sandbox.cleanup")
    with pytest.raises(Exception, match="it is broken"):
        result.get(timeout=60)
    assert type(result.result).__name__ == "SandboxError" and not worker.log_lines("waiting")
    door.refused = None
    assert app.send_task("sandbox.cleanup").get(timeout=60)["failed"] == 0


@pytest.mark.docker
def test_an_image_that_is_gone(make_full_worker, app):
    """Somebody removed it while the worker runs: the call fails with what the engine says, and nobody waits for it."""
    image = f"celeriac-test-gone:{uuid.uuid4().hex}"
    docker("tag", IMAGE, image)
    worker = make_full_worker(SANDBOX_IMAGE=image)
    docker("rmi", image)
    result = execute(app)
    with pytest.raises(Exception, match="No such image"):
        result.get(timeout=60)
    assert type(result.result).__name__ == "SandboxError" and worker.alive()


@pytest.mark.docker
def test_check_names_what_is_missing(broker, postgres, directory):
    good = {"CELERY_BROKER_URL": broker.url, "CELERY_RESULT_BACKEND": broker.url, "DATABASE_URL": postgres.url(),
            "CELERIAC_INSTANCE": broker.instance}
    done = run_program("--check", **good)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout and done.stdout.splitlines()[-1] == "ready"
    assert "egress" in done.stdout, "it does not say that sandboxes have no network yet"
    closed = free_port()
    for name, value, what in (
        ("CELERY_BROKER_URL", f"redis://127.0.0.1:{closed}/0", "broker"),
        ("CELERY_RESULT_BACKEND", f"redis://127.0.0.1:{closed}/0", "backend"),
        ("DATABASE_URL", f"postgresql://u:p@127.0.0.1:{closed}/d", "database"),
        ("DATABASE_URL", postgres.url().replace("/celeriac?", "/postgres?").removesuffix("celeriac") + "postgres", "database"),
        ("DOCKER_HOST", f"unix://{directory}/nothing.sock", "engine"),
        ("DOCKER_HOST", f"tcp://127.0.0.1:{closed}", "engine"),
        ("SANDBOX_IMAGE", "no-such-image:ever", "engine"),
        ("SANDBOX_RUNTIME", "no-such-runtime", "engine"),
    ):
        done = run_program("--check", **{**good, name: value})
        assert done.returncode == 1, (name, value, done.stdout)
        failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
        assert [line.split()[1] for line in failed][:1] == [what], done.stdout
        assert str(closed) in failed[0] or name != "DATABASE_URL" or "migrat" in failed[0], failed


@pytest.mark.docker
@pytest.mark.long
def test_no_container_is_free(make_full_worker, app):
    """A call waits for a place, as long as it takes; the engine is not blamed for it, and other tasks are not held up."""
    worker = make_full_worker("-c", "3", SANDBOX_MAX="1")
    execute(app, conversation_id="first").get(timeout=60)
    first = execute(app, "import time; time.sleep(50)", conversation_id="first", timeout=60)
    wait_until(lambda: worker.metric("tasks_active") == 1, 30, "it did not begin")
    second = execute(app)
    worker.wait_log("waiting: .*in use", 60)
    for _ in range(20):
        assert worker.readiness()["engine"] != "away"
        time.sleep(0.1)
    assert app.send_task("celeriac.echo", (1,)).get(timeout=30) == 1
    assert first.get(timeout=60)["status"] == "ok"
    assert second.get(timeout=60)["stdout"] == "ran\n"
    assert not worker.log_lines("container engine is away")
