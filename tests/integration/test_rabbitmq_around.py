"""RabbitMQ and no Redis at all: results by rpc:// or in a database, remote control, events, broadcasts, TLS, as Celery's own
clients and programs see them."""

import base64
import json
import subprocess
import time
import urllib.parse
import uuid

import kombu
import pytest
import redis
from celery import Celery
from kombu.common import Broadcast

from clients import OURS, PYTHONS, Client, envelope
from faulty import FAULTS, NONSENSE, FaultyDoor
from servers import Certificates
from services import patience, wait_until
from test_beat import Beat, kill_leader, run_beat, sent_once
from test_database_results import Results
from test_events import Monitor
from test_results import chord_of, plain
from worker import Worker, run_program

QUEUES = [{"name": "celery"}, {"name": "shout", "exchange": "shout", "exchange_type": "fanout"}]
BASIC = {"CELERY_TASK_QUEUES": json.dumps(QUEUES), "CELERY_WORKER_CONCURRENCY": "2"}

BOTH = ["debian", pytest.param("newest", marks=pytest.mark.long)]


class Place:
    """A virtual host, and workers of ours that have nothing but it."""

    def __init__(self, server, directory):
        self.server = server
        self.directory = directory
        self.vhost = server.new_vhost()
        self.url = server.url(self.vhost)
        self.instance = f"test-{uuid.uuid4().hex[:12]}"

    def app(self, **conf):
        app = Celery(broker=self.url, backend="rpc://", set_as_current=False)
        app.conf.update(**conf)
        return app

    def worker(self, *args, node="a", **settings):
        return Worker(self.directory, node, args, **{
            "CELERY_BROKER_URL": self.url, "CELERY_RESULT_BACKEND": "rpc://", "CELERIAC_INSTANCE": self.instance, **BASIC, **settings})

    def queues(self):
        return self.server.queues(self.vhost)

    def mailbox(self):
        return self.queues().get(f"{OURS}.celery.pidbox")

    def wait_settled(self, queue="celery"):
        def settled():
            row = self.queues().get(queue)
            return row and row["messages"] == 0

        wait_until(settled, 30, lambda: f"not settled: {self.queues()}")


@pytest.fixture(scope="module")
def place(rabbitmq, session_directory):
    made = Place(rabbitmq, session_directory)
    yield made
    rabbitmq.delete_vhost(made.vhost)


@pytest.fixture(scope="module")
def worker(place):
    made = place.worker("-n", OURS, "-E")
    made.start()
    wait_until(place.mailbox, 30, "no mailbox")
    yield made
    made.count()
    made.kill()


@pytest.fixture
def app(place):
    made = place.app()
    yield made
    made.close()


def ask(app, method, seconds=30, **arguments):
    [got] = app.control.broadcast(method, arguments=arguments, destination=[OURS], reply=True, timeout=seconds, limit=1)
    return got[OURS]


# ---- rpc:// ----

@pytest.mark.parametrize("which", BOTH)
def test_results_reach_who_asked(worker, place, which):
    value = {"a": [1, 2.5, None, True, "é"], "b": {}}
    chain = {"task": "celery.chain", "args": [], "options": {}, "subtask_type": "chain", "immutable": False,
             "kwargs": {"tasks": [plain("add", 1, 2), plain("add", 3), plain("add", 4)]}}
    answers = Client(which, place).call(
        [("celeriac.echo", (value,), {}, {}), ("celeriac.fail", ("no",), {}, {}), ("celeriac.retry", (1,), {}, {}),
         ("celeriac.echo", ("x" * 300000,), {}, {})], canvases=[chain], backend="rpc://")
    assert [answer["state"] for answer in answers] == ["SUCCESS", "FAILURE", "SUCCESS", "SUCCESS", "SUCCESS"], answers
    assert answers[0]["value"] == value and answers[2]["value"] == 1 and answers[4]["value"] == 10
    assert (answers[1]["error"], answers[1]["message"]) == ("builtins.RuntimeError", "no")
    place.wait_settled()
    assert worker.log_lines("CELERIAC_STATE_URL is not set, and neither broker nor backend is a Redis")


def reply_of(place, app, reply_to, **options):
    """What comes to the queue `reply_to`, as RabbitMQ has it."""
    with kombu.Connection(place.url) as connection:
        queue = connection.channel().queue_declare(reply_to, durable=False, auto_delete=False).queue
        app.send_task("celeriac.echo", (1,), reply_to=queue, task_id="the-task", **options)
        channel = connection.channel()
        message = wait_until(lambda: channel.basic_get(queue, no_ack=True), 30, "no result came")
        channel.queue_delete(queue)
        return message


def test_a_result_is_a_message(worker, place, app):
    """Transient, with its task's id; when its queue is gone, so is it, and nobody waits."""
    message = reply_of(place, app, "who-asked")
    assert message.properties["correlation_id"] == "the-task" and message.properties["delivery_mode"] == 1
    assert (message.content_type, message.content_encoding) == ("application/json", "utf-8")
    meta = json.loads(message.body)
    assert (meta["task_id"], meta["status"], meta["result"]) == ("the-task", "SUCCESS", 1)
    app.send_task("celeriac.echo", (2,), reply_to="nobody-is-there", task_id="in-vain")
    worker.wait_log(r"celeriac.echo\[in-vain\] succeeded")
    place.wait_settled()
    assert "nobody-is-there" not in place.queues()


def test_there_are_no_chords(worker, place, app):
    """One that comes all the same fails, and its parts do not."""
    body = {**plain("xsum"), "options": {"task_id": "body", "link_error": [{**plain("echo"), "options": {"task_id": "told"}}]}}
    app.send_task("celeriac.echo", (1,), chain=[chord_of([plain("add", 1, 1), plain("add", 2, 2)], body)])
    worker.wait_log(r"celeriac.echo\[told\] succeeded")
    assert worker.log_lines("chords need a result backend")
    place.wait_settled()


# ---- remote control ----

@pytest.mark.parametrize("which", BOTH)
def test_celerys_own_program(worker, place, which):
    def celery(*words):
        done = subprocess.run([PYTHONS[which], "-s", "-m", "celery", "-b", place.url, *words, "-t", "10", "--json", "-d", OURS],
                              env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
        said = json.loads(done.stdout)
        return (said[0] if isinstance(said, list) else said)[OURS]

    assert celery("inspect", "ping") == {"ok": "pong"}
    task_id = f"revoked-{which}"
    assert "flagged as revoked" in celery("control", "revoke", task_id)["ok"]
    assert task_id in celery("inspect", "revoked")


def routed(place, exchange, key):
    """Whether a queue took a task that was sent there."""
    _, message = envelope("celeriac.echo", [1], task_id="by-topic")
    with kombu.Connection(place.url, transport_options={"confirm_publish": True}) as connection:
        channel = connection.channel()
        made = channel.prepare_message(base64.b64decode(message["body"]), content_type="application/json", content_encoding="utf-8",
                                       headers=message["headers"], properties={"correlation_id": "by-topic"})
        back = []
        channel.events["basic_return"].add(lambda *args: back.append(args))
        try:
            channel.basic_publish_confirm(made, exchange, key, mandatory=True)
        except connection.channel_errors:
            return False
        return not back


def test_commands_and_what_follows(worker, place, app):
    """A task that waits is seen and revoked; a queue is added, served and cancelled."""
    stats = ask(app, "stats")
    assert stats["broker"]["transport"] == "amqp" and stats["broker"]["port"] == place.server.port and stats["pool"]["max-concurrency"] == 2
    wait_until(lambda: ask(app, "active") == [], 30, "what came before still runs")
    assert {queue["name"] for queue in ask(app, "active_queues")} == {"celery", "shout"}
    held = app.send_task("celeriac.echo", (1,), countdown=600)
    wait_until(lambda: [one for one in ask(app, "scheduled") if one["request"]["id"] == held.id], 30, "it is not held")
    ask(app, "revoke", task_id=held.id)
    assert "add consumer" in ask(app, "add_consumer", queue="more")["ok"]
    assert app.send_task("celeriac.echo", (5,), queue="more").get(timeout=30) == 5
    assert "no longer consuming" in ask(app, "cancel_consumer", queue="more")["ok"]
    with kombu.Connection(place.url) as connection:
        channel = connection.channel()
        wait_until(lambda: channel.queue_declare("more", passive=True).consumer_count == 0, 30, "it is still consumed")
    assert "add consumer" in ask(app, "add_consumer", queue="news", exchange="topics", exchange_type="topic", routing_key="a.#")["ok"]
    wait_until(lambda: routed(place, "topics", "a.b"), 30, "it is not bound")
    worker.wait_log(r"celeriac.echo\[by-topic\] succeeded")
    row = place.mailbox()
    assert row["exclusive"] and row["auto_delete"] and not row["durable"], row
    assert row["arguments"] == {"x-message-ttl": 300000, "x-expires": 10000}, row


def test_mailboxes_that_cannot_be():
    done = run_program("--check", CELERY_BROKER_URL="amqp://127.0.0.1:1//", CELERY_CONTROL_QUEUE_DURABLE="1")
    assert "CELERY_CONTROL_QUEUE_DURABLE and CELERY_CONTROL_QUEUE_EXCLUSIVE cannot both be true" in done.stdout


# ---- events ----

def test_events_as_celerys_receiver_sees_them(worker, place, app):
    monitor = Monitor(place.app())
    try:
        wait_until(lambda: [name for name in place.queues() if name.startswith("celeryev")], 30, "the monitor did not subscribe")
        monitor.wait("worker-heartbeat")
        sent = app.send_task("celeriac.echo", (1,))
        for kind in ("task-received", "task-started", "task-succeeded"):
            monitor.wait(kind, sent.id)
        assert monitor.state.tasks[sent.id].state == "SUCCESS" and monitor.state.workers[OURS].alive
    finally:
        monitor.stop()


def test_events_as_rabbitmq_has_them(worker, place, app):
    """Routing keys with dots, transient, several of a task as one; by the program that dumps them as well."""
    with kombu.Connection(place.url) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).queue
        channel.queue_bind(queue, "celeryev", "#")
        kinds = {}

        def heard():
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                assert message.properties["delivery_mode"] == 1 and message.properties["application_headers"] == {"hostname": OURS}
                kinds.setdefault(message.delivery_info["routing_key"], []).append(json.loads(message.body))
            return kinds

        sent = [app.send_task("celeriac.echo", (n,)).id for n in range(20)]

        def succeeded():
            events = [event for found in heard().values() for one in found for event in (one if isinstance(one, list) else [one])]
            return {event["uuid"] for event in events if event["type"] == "task-succeeded"}

        wait_until(lambda: set(sent) <= succeeded() and "worker.heartbeat" in heard(), 30, lambda: f"{list(kinds)}")
        # where each task had to wait for a core, each event was on its own
        wait_until(lambda: "task.multi" in heard() or [app.send_task("celeriac.echo", (n,)) for n in range(20)] is None, 30, "none with several")
        assert set(kinds) <= {"worker.heartbeat", "task.multi", "task.received", "task.started", "task.succeeded"}
        assert len(kinds["task.multi"][0]) > 1


def test_the_program_that_dumps_them(worker, place):
    dump = subprocess.Popen([PYTHONS["newest"], "-s", "-m", "celery", "-b", place.url, "events", "--dump"], stdout=subprocess.PIPE, text=True,
                            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}, stderr=subprocess.DEVNULL)
    try:
        assert any(OURS in line and "heartbeat" in line for line in dump.stdout)
    finally:
        dump.kill()
        dump.wait()


# ---- broadcasts ----

def test_everybody_gets_one(worker, place):
    other = place.worker(node="b").start()
    app = place.app(task_queues=[kombu.Queue("celery"), Broadcast("shout")])
    try:
        bound = f"exchanges/{urllib.parse.quote(place.vhost, safe='')}/shout/bindings/source"
        wait_until(lambda: len(place.server.api("GET", bound)) == 2, 30, "not both are bound")
        app.send_task("celeriac.echo", ("all",), queue="shout", task_id="to-all")
        for one in (worker, other):
            one.wait_log(r"celeriac.echo\[to-all\] succeeded")
            assert len(one.log_lines(r"celeriac.echo\[to-all\] succeeded")) == 1
    finally:
        app.close()
        other.term()


# ---- a database instead of rpc:// ----

@pytest.mark.parametrize("which", BOTH)
def test_results_in_a_database(place, postgres, which):
    """And no Redis."""
    results = Results(postgres)
    one = place.worker("-Q", "stored", node="c", CELERY_RESULT_BACKEND=results.url(), CELERY_TASK_QUEUES="").start()
    try:
        answers = Client(which, place).call(
            [("celeriac.echo", ([1],), {}, {"queue": "stored"}), ("celeriac.fail", ("no",), {}, {"queue": "stored"})],
            backend=results.url(which))
        assert (answers[0]["value"], answers[1]["error"]) == ([1], "builtins.RuntimeError"), answers
        place.wait_settled("stored")
    finally:
        one.kill()
        results.drop()


# ---- beat, and what a worker could not run ----

def test_what_nobody_can_run_is_kept(place, worker, app):
    """Without a Redis in a queue, with the reason."""
    with place.server.channel(place.vhost) as channel:
        channel.basic_publish(channel.prepare_message(b"no json", content_type="application/json", content_encoding="utf-8"), "", "celery")
        message = wait_until(lambda: channel.basic_get("celeriac.dead", no_ack=True), 30, "it is nowhere")
        assert message.body in (b"no json", "no json")
        headers = message.properties["application_headers"]
        assert headers["x-celeriac-queue"] == "celery" and headers["x-celeriac-reason"]


def test_what_a_quorum_queue_counts(place, worker):
    """Delivered more often than CELERIAC_REDELIVERY_LIMIT, it is kept, looked at, put back and thrown away."""
    def dead(*words, rc=0):
        done = run_program("--dead", *words, CELERY_BROKER_URL=place.url, CELERY_RESULT_BACKEND="rpc://", CELERIAC_INSTANCE=place.instance)
        assert done.returncode == rc, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    quorum = {"x-queue-type": "quorum"}
    with place.server.channel(place.vhost) as channel:
        channel.queue_declare("counted", durable=True, auto_delete=False, arguments=quorum)
        channel.queue_purge("celeriac.dead")
        for task_id, times in (("often", 3), ("once", 1)):
            _, message = envelope("celeriac.echo", (task_id,), task_id=task_id)
            channel.basic_publish(
                channel.prepare_message(base64.b64decode(message["body"]), content_type="application/json", content_encoding="utf-8",
                                        headers=message["headers"], properties={"correlation_id": task_id}), "", "counted")
            for _ in range(times):
                got = wait_until(lambda: channel.basic_get("counted"), 30, "it is not there")
                channel.basic_reject(got.delivery_tag, requeue=True)
    queues = json.dumps([{"name": "counted", "exchange": "counted", "routing_key": "counted", "queue_arguments": quorum}])
    other = place.worker("-n", "counting@here", node="counting", CELERIAC_REDELIVERY_LIMIT="2", CELERY_TASK_QUEUES=queues)
    try:
        other.start()
        other.wait_log(r"celeriac.echo\[once\] succeeded")
        letter, = wait_until(lambda: dead("list"), 30, "it is not kept")
        assert (letter["id"], letter["queue"]) == ("often", "counted") and "WorkerLostError" in letter["reason"] and letter["at"]
        shown, = dead("show", letter["dead"])
        assert json.loads(shown["body"])[0] == ["often"] and "x-celeriac-reason" not in shown["headers"]
        wait_until(lambda: worker.metric("dead_letters") == 1, 30, "it is not counted")
        assert dead("show", "0" * 16, rc=1) == []
        assert dead("requeue", "all") == [{**letter, "requeued": "counted"}]
        other.wait_log(r"celeriac.echo\[often\] succeeded")
        assert dead("list") == []
    finally:
        other.kill()
    with place.server.channel(place.vhost) as channel:
        for n in range(2):
            channel.basic_publish(channel.prepare_message(f"no json {n}".encode(), content_type="application/json", content_encoding="utf-8"), "", "celery")
    letters = wait_until(lambda: found if len(found := dead("list")) == 2 else None, 30, "they are not kept")
    assert dead("drop", letters[0]["dead"])[0]["dropped"] is True
    assert [left["dead"] for left in dead("list")] == [letters[1]["dead"]]
    assert len(dead("drop", "all")) == 1 and dead("list") == []


def drained(channel, queue, found):
    while (message := channel.basic_get(queue, no_ack=True)) is not None:
        found.append(message)
    return found


@pytest.mark.parametrize("ledger", ["Redis", "PostgreSQL"])
def test_beat_sends_once(place, redis_server, postgres, directory, ended, ledger):
    """Two beats, of which the one that leads dies: each run is one message, confirmed, but for one that it has not written down."""
    known = {"CELERIAC_STATE_URL": redis_server.new_url()} if ledger == "Redis" else {"DATABASE_URL": postgres.url("beat")}
    beats = [Beat(directory, place.url, place.instance, **known) for _ in range(2)]
    for beat in beats:
        beat.settings["CELERY_TASK_DEFAULT_QUEUE"] = "beaten"
        ended.append(beat)
        beat.start().wait_role()
    found = []
    with place.server.channel(place.vhost) as channel:
        wait_until(lambda: place.server.ready("beaten", place.vhost), 30, lambda: beats[0].log())
        wait_until(lambda: len(drained(channel, "beaten", found)) >= 2, 30, lambda: beats[0].log())
        leads = next(beat for beat in beats if "beat: Leading" in beat.log())
        checked = run_beat("--check", **leads.settings).stdout
        assert "ok    broker       answers: RabbitMQ" in checked and f"ok    ledger       {ledger}\n" in checked, checked
        assert f"ok    leader       process {leads.process.pid} on " in checked
        written = kill_leader(beats, {
            "Redis": lambda: redis.Redis.from_url(known["CELERIAC_STATE_URL"]).hget(f"celeriac:{place.instance}:beat", "sandbox.cleanup"),
            "PostgreSQL": lambda: postgres.sql("SELECT state FROM celeriac.beat_entries WHERE instance = %s", place.instance)[0][0],
        }[ledger])
        before = len(drained(channel, "beaten", found))  # those it had sent meanwhile
        wait_until(lambda: len(drained(channel, "beaten", found)) > before + 2, 60, "nobody took over")
    sent_once([message.headers["id"] for message in found], written)
    assert {message.headers["task"] for message in found} == {"sandbox.cleanup"}
    assert all(message.properties["delivery_mode"] == 2 for message in found)


# ---- TLS ----

@pytest.mark.long
def test_certificates_of_both(make_rabbitmq, directory, make_worker, redis_server, instance, ended):
    """The server's is verified, the client's is asked for; worker (tasks, control, events, rpc://) and beat."""
    certificates = Certificates(directory)
    server = make_rabbitmq(certificates=certificates, mutual=True).create()
    files = {"ca_certs": str(certificates.ca), "certfile": str(certificates.client[0]), "keyfile": str(certificates.client[1])}
    ssl = json.dumps(files)
    one = make_worker("-n", OURS, CELERY_BROKER_URL=server.tls_url(), CELERY_RESULT_BACKEND="rpc://", CELERY_BROKER_USE_SSL=ssl)
    app = Celery(broker=server.tls_url().replace("amqps:", "amqp:"), backend="rpc://", set_as_current=False)
    app.conf.update(broker_use_ssl={**files, "cert_reqs": 2, "server_hostname": "localhost"})
    try:
        assert app.send_task("celeriac.echo", (7,)).get(timeout=30) == 7
        assert ask(app, "ping") == {"ok": "pong"}
    finally:
        app.close()
    beat = Beat(directory, server.tls_url(), instance, CELERIAC_STATE_URL=redis_server.new_url(), CELERY_BROKER_USE_SSL=ssl)
    ended.append(beat)
    beat.start()
    one.wait_log(r"sandbox.cleanup")
    for left in ({"ca_certs": files["ca_certs"]}, {name: files[name] for name in ("certfile", "keyfile")}):
        other = make_worker(start=False, CELERY_BROKER_URL=server.tls_url(), CELERY_RESULT_BACKEND="rpc://", CELERY_BROKER_USE_SSL=json.dumps(left))
        other.spawn().wait_log(r"localhost:\d+: .*certificate")
        assert not other.log_lines("Connected to")


# ---- bad weather ----

WEATHER = {**FAULTS, **NONSENSE["rabbitmq"]}


@pytest.mark.long
@pytest.mark.parametrize("fault", WEATHER)
def test_weather(fault, place, make_worker, ended, capsys):
    """Between worker and RabbitMQ: tasks and their results, and remote control, are there again within seconds of its end."""
    door = FaultyDoor(("127.0.0.1", place.server.port)).open()
    ended.append(door)
    url = place.url.replace(f":{place.server.port}/", f":{door.port}/")
    worker = make_worker("-n", f"{fault}@test", "-Q", fault, CELERY_BROKER_URL=url, CELERY_RESULT_BACKEND="rpc://")
    app = place.app()

    def answers():
        return app.control.ping(destination=[f"{fault}@test"], timeout=5, limit=1)

    try:
        assert app.send_task("celeriac.echo", (0,), queue=fault).get(timeout=60) == 0
        wait_until(answers, 30, "it is not heard")
        does, goes_on = WEATHER[fault]
        door.begin(does)
        began = time.monotonic()
        sent = [app.send_task("celeriac.echo", (n,), queue=fault) for n in range(6)]
        if not goes_on:
            wait_until(lambda: time.monotonic() - began > 2, 10)  # the fault lasts so long
            door.end()
        back = time.monotonic()
        worker.wait_ready()
        values = [result.get(timeout=90) for result in sent]
        done = time.monotonic() - back
        wait_until(answers, 60, "it is not heard")
        heard = time.monotonic() - back
        door.end()
        with capsys.disabled():
            print(f"\n  rabbitmq {fault:14} calls done {done:5.2f} s, control {heard:5.2f} s", end="")
        assert values == list(range(6))
        assert goes_on or max(done, heard) < patience(5), f"there again after {done:.1f} and {heard:.1f} s"
        place.wait_settled(fault)
    finally:
        app.close()


@pytest.mark.long
def test_a_name_that_is_held(place, make_worker, app):
    """By a connection that RabbitMQ has not missed yet, say: another queue will do."""
    with kombu.Connection(place.url) as connection:
        connection.channel().queue_declare("held@test.celery.pidbox", exclusive=True)
        worker = make_worker("-n", "held@test", "-Q", "held", CELERY_BROKER_URL=place.url, CELERY_RESULT_BACKEND="rpc://")
        worker.wait_log("control: mailbox held@test.celery.pidbox.*Another name will do")
        wait_until(lambda: app.control.ping(destination=["held@test"], timeout=2, limit=1), 30, "it is not heard")
