"""How broker and backend are reached: TLS, sockets, sentinels, several servers; and peers that vanish."""

import base64
import json
import time

import celery
import pytest

from asking import asking
from clients import Broker, envelope
from forwarder import Forwarder, SlowForwarder
from servers import Certificates, Group, TlsRedis
from services import Redis, free_port, patience, wait_until
from worker import run_program

RECOVERY = 5  # seconds after the return of what was away


@pytest.fixture(scope="module")
def certificates(session_directory):
    path = session_directory / "certificates"
    path.mkdir()
    return Certificates(path)


@pytest.fixture
def tls(directory, certificates, ended):
    def make(**options):
        made = TlsRedis(directory, certificates, **options)
        ended.append(made)
        return made.start()

    return make


def client_of(broker, backend=None, **conf):
    app = celery.Celery(broker=broker, backend=asking(backend or broker), set_as_current=False)
    app.conf.update(broker_connection_retry_on_startup=True, **conf)
    return app


def echo(app, value, seconds=30):
    return app.send_task("celeriac.echo", (value,)).get(timeout=seconds)


# --- TLS ---


def test_tls(tls, certificates, make_worker):
    """Worker and Celery client over TLS, each verifying the other."""
    server = tls(mutual=True)
    certificate, key = certificates.client
    url = server.tls_url(cert_reqs="required", ca_certs=certificates.ca, certfile=certificate, keyfile=key)
    worker = make_worker(CELERY_BROKER_URL=url, CELERY_RESULT_BACKEND=url, broker=Broker(server.url(), "tls"))
    app = client_of(url)
    assert [app.send_task("celeriac.echo", (n,)).get(timeout=60) for n in range(20)] == list(range(20))
    large = "x" * (3 << 20)  # many records
    assert echo(app, large) == large
    wait_until(lambda: app.control.ping(timeout=5, limit=1), 60, "remote control does not go over TLS")
    kept = [client["laddr"] for client in server.client().client_list() if client["name"].startswith("celeriac-")]
    assert kept and all(address.endswith(f":{server.tls_port}") for address in kept)
    assert not worker.log_lines("not verified")


def test_tls_by_settings(tls, certificates, make_worker):
    """CELERY_BROKER_USE_SSL and CELERY_REDIS_BACKEND_USE_SSL, as Celery's dictionaries."""
    server = tls()
    url = f"redis://127.0.0.1:{server.tls_port}/0"
    options = {"ssl_cert_reqs": "required", "ssl_ca_certs": str(certificates.ca)}
    make_worker(CELERY_BROKER_URL=url, CELERY_RESULT_BACKEND=url, broker=Broker(server.url(), "tls"),
                CELERY_BROKER_USE_SSL=json.dumps(options), CELERY_REDIS_BACKEND_USE_SSL=json.dumps(options))
    app = client_of(url, broker_use_ssl=options, redis_backend_use_ssl=options)
    assert echo(app, "seen") == "seen"


def test_a_certificate_is_verified(tls, certificates, directory, make_worker):
    good = {"cert_reqs": "required", "ca_certs": certificates.ca}
    server = tls(pair=certificates.other)  # for elsewhere.example
    for parameters, words in (
        (good, "certificate is refused: .*(mismatch|match)"),
        ({"cert_reqs": "required"}, "certificate is refused"),  # of an authority that this system does not know
    ):
        worker = make_worker(CELERY_BROKER_URL=server.tls_url(**parameters), CELERY_RESULT_BACKEND=None,
                             broker=Broker(server.url(), "tls"), start=False).spawn()
        assert worker.wait_end() == 1
        assert worker.log_lines(words), worker.log()
    for parameters in ({**good, "check_hostname": "false"}, {"cert_reqs": "none"}, {}):
        url = server.tls_url(**parameters)
        worker = make_worker(CELERY_BROKER_URL=url, CELERY_RESULT_BACKEND=None, broker=Broker(server.url(), "tls"))
        assert bool(worker.log_lines("certificate is not verified")) == ("ca_certs" not in parameters)
        worker.kill()


def test_tls_by_name(tls, certificates, make_worker, ended):
    """The name of the URL, or ssl_server_hostname, is asked for (SNI), and the certificate must be its; an address has none."""
    server = tls(pair=certificates.other)  # for elsewhere.example
    cases = [("127.0.0.1", {"server_hostname": "elsewhere.example"}, b"elsewhere.example"), ("localhost", {}, b"localhost"), ("127.0.0.1", {}, None)]
    for host, more, named in cases:
        door = Forwarder(("127.0.0.1", server.tls_port)).open()  # one each: what a worker asked last may come after its end
        ended.append(door)
        there = server.tls_url(host, cert_reqs="required", ca_certs=certificates.ca, **more)
        broker = there.replace(f":{server.tls_port}/", f":{door.port}/")
        worker = make_worker(CELERY_BROKER_URL=broker, CELERY_RESULT_BACKEND=broker, broker=Broker(server.url(), "name"),
                             start=False).spawn()
        if more:
            worker.wait_ready()
            assert echo(client_of(server.url()), named.decode()) == named.decode()
        else:
            assert worker.process.wait(60) == 1
            assert worker.log_lines("certificate is refused: .*(mismatch|match)"), worker.log()
        worker.kill()
        heard = [door.names[one] for one in door.named(b"\x16\x03")]
        assert heard and all(said.startswith(b"\x16\x03") for said in heard), heard
        assert all(named in said if named else b"localhost" not in said for said in heard), heard


def test_tls_without_a_certificate_of_ours(tls, certificates, make_worker):
    """A server that wants one says so, and so do we, however soon it closes the connection."""
    server = tls(mutual=True)
    url = server.tls_url(cert_reqs="required", ca_certs=certificates.ca)
    worker = make_worker(CELERY_BROKER_URL=url, CELERY_RESULT_BACKEND=url, broker=Broker(server.url(), "tls"), start=False).spawn()
    for part in ("celeriac-broker", "consumer", "celeriac-fanout"):
        worker.wait_log(f"{part}: .*TLS: .*certificate required")
    assert not worker.log_lines("reset by peer|Broken pipe")


def test_tls_refused_at_the_start(tls, certificates, make_redis):
    """What cannot work is said at once, with its reason."""
    server = tls()
    plain = make_redis().start()
    for settings, words in (
        ({"CELERY_BROKER_URL": server.tls_url(ca_certs="/no/such/file")}, "/no/such/file"),
        ({"CELERY_BROKER_URL": server.tls_url(cert_reqs="perhaps")}, "ssl_cert_reqs"),
        ({"CELERY_BROKER_URL": plain.url(), "CELERY_RESULT_BACKEND": server.tls_url()}, "must have parameter ssl_cert_reqs"),
        ({"CELERY_BROKER_URL": plain.url(), "CELERY_RESULT_BACKEND": plain.url() + "?ssl_cert_reqs=none"}, "rediss://"),
        ({"CELERY_BROKER_URL": plain.url(), "CELERY_BROKER_USE_SSL": '{"ssl_hat": 1}'}, "ssl_hat"),
    ):
        done = run_program(CELERIAC_METRICS="", **settings)
        assert done.returncode == 1 and words in done.stderr, (settings, done.stderr)


# --- sockets, users, several servers ---


def test_socket_and_user(directory, ended, make_worker):
    """redis+socket:// with a user of its own, as kombu writes it."""
    server = Redis(directory)
    server.options = ["--unixsocket", directory / "r.sock", "--unixsocketperm", "777"]
    ended.append(server)
    server.start()
    server.client().execute_command("ACL", "SETUSER", "us+er", "on", ">pass/word", "~*", "&*", "+@all")
    url = f"redis+socket://us%2Ber:pass%2Fword@{directory}/r.sock?virtual_host=3"
    worker = make_worker(broker=Broker(server.url(3), "socket"), CELERY_BROKER_URL=url, CELERY_RESULT_BACKEND=url)
    app = client_of(f"{server.url(3)}")
    assert echo(app, 1) == 1
    names = {client["user"] for client in server.client().client_list() if client["name"].startswith("celeriac-")}
    assert names == {"us+er"} and "pass/word" not in worker.log()


def test_the_next_server_is_used_when_one_fails(make_redis, directory, ended, make_worker):
    """All connections go on together; what the first one kept is there when it is used again."""
    servers = []
    for number in range(2):
        path = directory / f"server-{number}"
        path.mkdir()
        servers.append(Redis(path, durable=True))
        ended.append(servers[-1])
    first, second = servers
    dead = f"redis://127.0.0.1:{free_port()}/0"
    url = ";".join([dead, first.url(), second.url()])
    first.start()
    second.start()
    worker = make_worker(broker=Broker(first.url(), "several"), CELERY_BROKER_URL=url, CELERY_RESULT_BACKEND=url)
    assert echo(client_of(first.url()), "one") == "one"
    first.kill()
    begin = time.monotonic()
    assert echo(client_of(second.url()), "two") == "two"
    worker.wait_ready()
    assert time.monotonic() - begin < patience(RECOVERY)
    assert echo(client_of(second.url()), "again") == "again"
    wait_until(lambda: any(c["name"] == "celeriac-control" for c in second.client().client_list()), 30, "remote control stayed behind")


# --- sentinels ---


@pytest.fixture
def group(directory, ended):
    return Group(directory).start(ended)


def test_sentinel(group, make_worker):
    """The master changes while the worker runs: on within 5 s of the promotion, nothing lost that Redis kept."""
    options = json.dumps(group.options())
    worker = make_worker("-c", "4", broker=Broker(group.servers[0].url(), "sentinel"), CELERY_BROKER_URL=group.url(),
                         CELERY_RESULT_BACKEND=group.url(), CELERY_BROKER_TRANSPORT_OPTIONS=options,
                         CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS=options)
    app = client_of(group.url(), broker_transport_options=group.options(), result_backend_transport_options=group.options())
    assert echo(app, "by sentinel") == "by sentinel"

    old = group.servers[0].client()
    sent = []
    for number in range(400):
        task_id, message = envelope(task="celeriac.sleep" if number < 4 else "celeriac.echo", args=(6 if number < 4 else number,))
        old.lpush("celery", json.dumps(message))
        sent.append(task_id)
        if number == 3:
            wait_until(lambda: worker.metric("tasks_active") == 4, 20, "it was not busy")
    assert old.execute_command("WAIT", 1, 20000) == 1, "the replica is behind"
    group.servers[0].kill()
    new = wait_until(lambda: group.master() if group.master() is not group.servers[0] else None, 60, "nobody was promoted")
    promoted = time.monotonic()
    worker.wait_ready()
    backend = new.client()
    assert time.monotonic() - promoted < patience(RECOVERY), "it took too long to find the new master"
    for task_id in sent:
        meta = wait_until(lambda: backend.get(f"celery-task-meta-{task_id}"), 60, f"{task_id} was lost")
        assert json.loads(meta)["status"] == "SUCCESS"
    wait_until(lambda: backend.hlen("unacked") == 0 and backend.llen("celery") == 0, 30, "not settled")
    assert echo(app, "after") == "after"


def test_sentinel_demotion(group, make_worker):
    """The old master lives on as a replica: nobody writes to it any more."""
    options = json.dumps(group.options())
    make_worker(broker=Broker(group.servers[0].url(), "sentinel"), CELERY_BROKER_URL=group.url(),
                CELERY_RESULT_BACKEND=group.url(), CELERY_BROKER_TRANSPORT_OPTIONS=options,
                CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS=options)
    group.sentinels[0].client().execute_command("SENTINEL", "FAILOVER", group.NAME)
    new = wait_until(lambda: group.master() if group.master() is not group.servers[0] else None, 60, "nobody was promoted")
    wait_until(lambda: new.client().info("replication")["role"] == "master", 30)
    task_id, message = envelope(args=("new",))
    new.client().lpush("celery", json.dumps(message))
    begin = time.monotonic()
    wait_until(lambda: new.client().get(f"celery-task-meta-{task_id}"), 30, "the new master is not used")
    assert time.monotonic() - begin < patience(RECOVERY)


def test_sentinel_with_a_password(directory, ended, make_worker):
    group = Group(directory, password="hunter2").start(ended)
    settings = {"CELERY_BROKER_URL": group.url(), "CELERY_RESULT_BACKEND": None, "broker": Broker(group.servers[0].url(), "s")}
    worker = make_worker(**settings, CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps(group.options(min_other_sentinels=2)))
    assert "hunter2" not in worker.log()
    stats = run_program("--settings", **{name: value for name, value in worker.settings.items()}).stdout
    assert "hunter2" not in stats
    worker.kill()
    lonely = make_worker(**settings, start=False,
                         CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps(group.options(min_other_sentinels=3))).spawn()
    lonely.wait_log("fewer than 3 other sentinels")
    lonely.kill()
    wrong = {**group.options(), "sentinel_kwargs": {"password": "wrong"}}
    done = run_program(CELERIAC_METRICS="", CELERY_BROKER_URL=group.url(), CELERY_BROKER_TRANSPORT_OPTIONS=json.dumps(wrong))
    assert done.returncode == 1 and "the sentinel refused the password" in done.stderr


# --- peers that vanish ---


@pytest.mark.parametrize("seconds", [3, 8])
def test_a_peer_that_says_nothing(redis_server, broker, make_worker, ended, seconds):
    """Connections that stay open but carry nothing for a while: work goes on within seconds of the end, nothing is lost."""
    door = Forwarder(("127.0.0.1", redis_server.port)).open()
    ended.append(door)
    behind = broker.url.replace(f":{redis_server.port}/", f":{door.port}/")
    worker = make_worker("-c", "2", CELERY_BROKER_URL=behind, CELERY_RESULT_BACKEND=behind)
    assert broker.meta(broker.send("celeriac.echo", "first"))["result"] == "first"
    running = broker.send("celeriac.sleep", seconds)  # it began before the outage, so it ends in it
    wait_until(lambda: worker.metric("tasks_active") == 1, 20, "it was not busy")
    door.swallow = True
    sent = [broker.send("celeriac.echo", number) for number in range(20)]
    stalled = time.monotonic()
    wait_until(lambda: time.monotonic() - stalled > seconds, seconds + 30)  # the outage lasts so long
    door.swallow = False
    begin = time.monotonic()
    assert broker.meta(running)["status"] == "SUCCESS"
    assert [broker.meta(task_id)["result"] for task_id in sent] == list(range(20))
    worker.wait_ready()
    assert time.monotonic() - begin < patience(RECOVERY + 1), "it took too long to notice"
    broker.wait_settled()


@pytest.mark.parametrize("countdown", [0, 1], ids=["now", "later"])
def test_an_answer_that_takes_longer_than_one_may(redis_server, app, broker, make_worker, ended, countdown):
    """A long message over a slow way is taken once: what comes, comes, and is no server that says nothing."""
    text = "x" * (24 << 20)
    door = SlowForwarder(("127.0.0.1", redis_server.port), 4 << 20).open()  # six seconds
    ended.append(door)
    behind = broker.url.replace(f":{redis_server.port}/", f":{door.port}/")
    worker = make_worker("-c", "1", CELERY_BROKER_URL=behind, CELERY_RESULT_BACKEND=behind)
    sent = app.send_task("celeriac.echo", (text,), countdown=countdown or None)
    assert sent.get(timeout=90) == text
    broker.wait_settled()
    assert not worker.log_lines("in time|does not answer|Cannot connect|ERROR|CRITICAL")
    assert len(worker.log_lines(r"celeriac\.echo\[.*received")) == 1


# --- messages taken from one server, sent to another ---


def test_read_and_write_urls(make_redis, directory, ended, make_worker):
    """Follow-ups and events go to the write URL; what is taken is acknowledged only when they are there."""
    servers = []
    for name in ("read", "write"):
        path = directory / name
        path.mkdir()
        servers.append(Redis(path, durable=True))
        ended.append(servers[-1])
        servers[-1].start()
    read, write = servers
    broker = Broker(read.url(), "apart")
    first = make_worker("-E", broker=broker, CELERY_BROKER_READ_URL=read.url(), CELERY_BROKER_WRITE_URL=write.url(),
                        CELERY_BROKER_URL="redis://nowhere.invalid/0", CELERY_RESULT_BACKEND=read.url())
    app = client_of(read.url())
    listener = write.client()  # kept, for its end ends what it made
    events = listener.pubsub()
    events.psubscribe("/0.celeryev/*")
    wait_until(lambda: (said := events.get_message(timeout=0.1)) and said["type"] == "psubscribe", 20, "nobody listens")
    chain = app.signature("celeriac.add", args=(1, 2)) | app.signature("celeriac.add", args=(4,)).set(task_id="second")
    result = chain.apply_async()
    assert result.parent.get(timeout=60) == 3
    wait_until(lambda: write.client().llen("celery") == 1, 20, "the follow-up is not there")
    broker.wait_settled()
    assert json.loads(write.client().lindex("celery", 0))["headers"]["id"] == "second"

    def succeeded():
        message = events.get_message(timeout=0.1)
        if not message or message["type"] != "pmessage":
            return False
        # several at once go as task.multi
        return b"task-succeeded" in base64.b64decode(json.loads(message["data"])["body"])

    wait_until(succeeded, 20, "no event was sent there")

    write.kill()
    late = (app.signature("celeriac.add", args=(1, 1)) | app.signature("celeriac.add", args=(1,)).set(task_id="late")).apply_async()
    wait_until(lambda: first.readiness().get("broker") == "away", 20, "/readyz does not say so")
    write.start()
    back = time.monotonic()
    assert late.parent.get(timeout=60) == 2
    wait_until(lambda: write.client().llen("celery") == 2, 30, "the follow-up was lost")
    assert time.monotonic() - back < patience(RECOVERY)
    broker.wait_settled()
    make_worker(broker=Broker(write.url(), "apart"), CELERY_RESULT_BACKEND=read.url())
    assert (result.get(timeout=60), late.get(timeout=30)) == (7, 3)
