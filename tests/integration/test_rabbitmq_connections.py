"""How a worker gets to its RabbitMQ: by certificate, under another name, by one of several servers; and what it throws away first."""

import json

import kombu
import pytest
from celery import Celery

from servers import Certificates
from services import free_port, wait_until


def answers(url, worker, **conf):
    """A client of Celery's gets a result from it, by rpc://."""
    app = Celery(broker=url, backend="rpc://", set_as_current=False)
    app.conf.update(**conf)
    try:
        assert app.send_task("celeriac.echo", ("here",)).get(timeout=60) == "here", worker.log()
    finally:
        app.close()


@pytest.fixture
def rabbit(rabbitmq):
    """URLs of a virtual host of its own, and of a server that is not there."""
    vhost = rabbitmq.new_vhost()
    yield rabbitmq.url(vhost), f"amqp://guest:guest@127.0.0.1:{free_port()}/{vhost}"
    rabbitmq.delete_vhost(vhost)


@pytest.mark.parametrize("strategy", ["round-robin", "shuffle"])
def test_one_of_several_servers(rabbit, make_worker, strategy):
    here, gone = rabbit
    worker = make_worker("--without-heartbeat", CELERY_BROKER_URL=f"{gone};{gone};{here}", CELERY_RESULT_BACKEND="rpc://",
                         CELERY_BROKER_FAILOVER_STRATEGY=strategy)
    answers(here, worker)


def test_purge(rabbit, make_worker):
    """What waits is erased, and said; what comes later is run."""
    here, _ = rabbit
    with kombu.Connection(here) as connection:
        producer = connection.Producer()
        kombu.Queue("celery", kombu.Exchange("celery"), "celery")(connection.default_channel).declare()
        for _ in range(7):
            producer.publish("not even a task", routing_key="celery")
    worker = make_worker("--purge", CELERY_BROKER_URL=here, CELERY_RESULT_BACKEND="rpc://")
    answers(here, worker)
    assert worker.log_lines(r"purge: Erased 7 message\(s\)")


def ssl(**files):
    return json.dumps({name: str(value) for name, value in files.items()})


@pytest.mark.long
def test_by_certificate(make_rabbitmq, directory, make_worker):
    """EXTERNAL: the user is who the certificate names, and no password is asked for."""
    certificates = Certificates(directory)
    server = make_rabbitmq(certificates=certificates, mutual=True, config=[
        "auth_mechanisms.1 = EXTERNAL", "auth_mechanisms.2 = PLAIN", "ssl_cert_login_from = common_name"])
    server.plugins.append("rabbitmq_auth_mechanism_ssl")
    server.create()
    server.ctl("add_user", "client", "never-used")
    server.ctl("set_permissions", "client", ".*", ".*", ".*")
    files = {"ca_certs": certificates.ca, "certfile": certificates.client[0], "keyfile": certificates.client[1]}
    url = server.tls_url(user="")
    worker = make_worker(CELERY_BROKER_URL=url, CELERY_RESULT_BACKEND="rpc://", CELERY_BROKER_LOGIN_METHOD="EXTERNAL", CELERY_BROKER_USE_SSL=ssl(**files))
    users = {row["user"] for row in json.loads(server.ctl("list_connections", "--formatter", "json", "user"))}
    assert users == {"client"}
    answers(server.url(), worker)


@pytest.mark.long
def test_by_another_name(make_rabbitmq, directory, make_worker):
    """The certificate is that of server_hostname, wherever the server is; of nobody else's."""
    certificates = Certificates(directory)
    certificates.server = certificates.other
    server = make_rabbitmq(certificates=certificates).create()
    url = server.tls_url(host="127.0.0.1")
    ours = {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": "rpc://"}
    worker = make_worker(**ours, CELERY_BROKER_USE_SSL=ssl(ca_certs=certificates.ca, server_hostname="elsewhere.example"))
    answers(server.url(), worker)
    for asked in ({}, {"server_hostname": "localhost"}):
        other = make_worker(**ours, start=False, CELERY_BROKER_USE_SSL=ssl(ca_certs=certificates.ca, **asked)).spawn()
        other.wait_log(r"127\.0\.0\.1:\d+: .*(certificate|host)")
        assert not other.log_lines("Connected to")


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["round-robin", "shuffle"])
def test_another_server_when_one_goes(make_rabbitmq, make_worker, strategy):
    """Two servers that know nothing of one another: where the first goes for good, the other is consumed."""
    servers = [make_rabbitmq().create() for _ in range(2)]
    worker = make_worker(CELERY_BROKER_URL=";".join(server.url() for server in servers), CELERY_RESULT_BACKEND="rpc://",
                         CELERY_BROKER_FAILOVER_STRATEGY=strategy)
    first = next(server for server in servers if server.connections())
    answers(first.url(), worker)
    [other] = [server for server in servers if server is not first]
    first.kill()
    wait_until(other.connections, 60, worker.log)
    answers(other.url(), worker)
