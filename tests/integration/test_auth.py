"""Signed messages: Celery's own clients with setup_security(), and everybody who is not believed."""

import base64
import datetime
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from clients import Client, envelope
from services import wait_until
from test_beat import make_beat
from worker import run_program

__all__ = ["make_beat"]
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
FORMS = {"debian": "5.4", "newest": "5.5"}


class Signer:
    """A key and its certificate, as files and as they sign."""

    def __init__(self, directory, name, serial, until=NOW + DAY):
        self.key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Celeriac"),
                             x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(self.key.public_key())
                .serial_number(serial).not_valid_before(NOW - 2 * DAY).not_valid_after(until).sign(self.key, hashes.SHA256()))
        self.id = f"Celeriac {name} {serial}"
        self.key_path, self.cert_path = directory.parent / f"{name}.key", directory / f"{name}.pem"
        self.key_path.write_bytes(self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        self.cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def conf(self, store):
        return {"security_key": str(self.key_path), "security_certificate": str(self.cert_path), "security_cert_store": str(store)}

    def body(self, text, claimed=None):
        """What SecureSerializer makes of a body that has been serialized, in the form of Celery 5.5 and later."""
        signature = self.key.sign(text, padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH), hashes.SHA256())
        fields = [base64.b64encode((claimed or self.id).encode()), base64.b64encode(signature), b"application/json", b"utf-8", text]
        return base64.b64encode(b"\0\1".join(fields))


class People:
    def __init__(self, directory):
        self.store = directory / "store"
        self.store.mkdir()
        (directory / "elsewhere").mkdir()
        self.worker = Signer(self.store, "worker", 1)
        self.client = Signer(self.store, "client", 2**80 + 1)
        self.expired = Signer(self.store, "expired", 3, until=NOW - DAY)
        self.stranger = Signer(directory / "elsewhere", "stranger", 4)

    def settings(self, **more):
        return {"CELERY_ACCEPT_CONTENT": "auth", "CELERY_TASK_SERIALIZER": "auth", "CELERY_RESULT_SERIALIZER": "auth",
                **{f"CELERY_{name.upper()}": value for name, value in self.worker.conf(self.store).items()}, **more}

    def celery(self):
        """As Celery's manual sets it up. Celery loads no store in which a certificate has expired."""
        return {"task_serializer": "auth", "event_serializer": "auth", "result_serializer": "auth", "accept_content": ["auth"],
                **self.client.conf(self.store / "[cw]*.pem")}


@pytest.fixture(scope="module")
def people(session_directory):
    directory = session_directory / "people"
    directory.mkdir()
    return People(directory)


CANVASES = [
    {"task": "celeriac.add", "args": [1, 2], "kwargs": {}, "options": {"link": [
        {"task": "celeriac.echo", "args": [], "kwargs": {}, "options": {"queue": "nobody"}, "subtask_type": None, "immutable": False}]},
     "subtask_type": None, "immutable": False},
]


@pytest.mark.parametrize("which", ["newest", "debian"])
def test_celery_with_setup_security(make_worker, broker, people, which):
    worker = make_worker(**people.settings(CELERIAC_SECURITY_FORM=FORMS[which], CELERY_EVENT_SERIALIZER="auth"))
    client = Client(which, broker)
    answers = client.call(
        [("celeriac.echo", ["gr\u00fc\u00df"], {}, {}), ("celeriac.retry", [2], {}, {}), ("celeriac.fail", ["no"], {}, {})],
        signed=True, conf=people.celery(), canvases=CANVASES)
    assert [answer.get("value") for answer in answers] == ["gr\u00fc\u00df", 2, None, 3], answers
    assert answers[2]["error"] == "builtins.RuntimeError"
    broker.wait_listening()
    pong = client.call([], signed=True, conf=people.celery(), ping=True, seconds=30)
    assert [list(each.values()) for each in pong] == [[{"ok": "pong"}]]
    # What follows from a task is signed by us: Celery's client says so of the answers; this one nobody took.
    follow_up = json.loads(broker.redis.lindex("nobody", 0))
    assert follow_up["content-type"] == "application/data"
    inner = base64.b64decode(base64.b64decode(follow_up["body"])).split(b"\0\1")
    assert people.worker.id.encode() == (inner[0] if which == "debian" else base64.b64decode(inner[0]))
    assert broker.redis.llen("celeriac:dead") == 0
    assert 'kind="message"' not in worker.http("/metrics")[1]


def opened(message):
    """(who signed, what is in it) of an envelope in the form of Celery 5.5 and later."""
    envelope = json.loads(message)
    assert envelope["content-type"] == "application/data"
    signer, _, mime, _, text = base64.b64decode(base64.b64decode(envelope["body"])).split(b"\0\1", 4)
    assert mime == b"application/json"
    return base64.b64decode(signer).decode(), json.loads(text)


def test_events_and_beat_are_signed(make_worker, make_beat, broker, people, directory):
    """Who reads them is Celery's own: here it is whose they are."""
    schedule = directory / "schedule.json"
    schedule.write_text(json.dumps({"often": {"task": "celeriac.echo", "schedule": 1, "args": ["by beat"]}}))
    with broker.redis.pubsub() as heard:
        # of this database: a server's channels are heard by all
        heard.psubscribe(f"/{broker.url.rpartition('/')[2]}.celeryev*")
        make_worker(**people.settings(CELERY_EVENT_SERIALIZER="auth"))
        event = wait_until(lambda: (said := heard.get_message(timeout=1)) and said["type"] == "pmessage" and said["data"], 30)
    signer, body = opened(event)
    assert signer == people.worker.id and body["type"].startswith("worker-")
    make_beat(CELERIAC_BEAT_SCHEDULE=schedule, CELERY_TASK_DEFAULT_QUEUE="nobody", **people.settings())
    message = wait_until(lambda: [m for m in broker.redis.lrange("nobody", 0, -1) if json.loads(m)["headers"]["task"] == "celeriac.echo"], 30)[0]
    assert opened(message) == (people.worker.id, [["by beat"], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])


def test_nobody_else_is_believed(make_worker, broker, people):
    worker = make_worker(**people.settings())
    text = b'[["hi"], {}, {}]'
    good = people.client.body(text)

    def data(body):
        return envelope(body=body, **{"content-type": "application/data"})

    tampered = base64.b64encode(base64.b64decode(good).replace(b'"hi"', b'"ho"'))
    refused = {
        "unsigned": (envelope(), "disabled content of type json"),
        "text": (data(b"[[1], {}, {}]"), "not a signed message"),
        "tampered": (data(tampered), "Bad signature"),
        "forged": (data(people.stranger.body(text, claimed=people.client.id)), "Bad signature"),
        "unknown": (data(people.stranger.body(text)), "Unknown certificate: 'Celeriac stranger 4'"),
        "expired": (data(people.expired.body(text)), "Expired certificate: 'Celeriac expired 3'"),
        "empty": (data(b""), "not a signed message"),
    }
    for (_, message), _ in refused.values():
        broker.push(json.dumps(message))
    task_id, message = data(good)
    broker.push(json.dumps(message))
    wait_until(lambda: broker.redis.exists(f"celery-task-meta-{task_id}"), 30, "what is signed did not run")
    broker.wait_settled()
    assert broker.result_count() == 1
    dead = {json.loads(message)["headers"]["id"]: said["reason"] for said, message in broker.dead()}
    for name, ((refused_id, _), expected) in refused.items():
        assert expected in dead.pop(refused_id), name
    assert dead == {}
    lines = [json.loads(line.split("[audit] ", 1)[1]) for line in worker.log_lines(r"\[audit\]")]
    denied = {line["task_id"]: line for line in lines if line["kind"] == "message"}
    assert set(denied) == {refused_id for (refused_id, _), _ in refused.values()}
    assert {(line["decision"], line["target"], line["tool"]) for line in denied.values()} == {("deny", "celery", "celeriac.echo")}
    assert 'celeriac_decisions_total{kind="message",decision="deny"} 7' in worker.http("/metrics")[1]


def test_unsigned_control_is_refused(make_worker, broker, people, app):
    worker = make_worker(**people.settings())
    broker.wait_listening()
    app.control.broadcast("shutdown")
    worker.wait_log("control: a message is refused: Refusing to deserialize disabled content of type json")
    wait_until(lambda: 'celeriac_decisions_total{kind="message",decision="deny"} 1' in worker.http("/metrics")[1], 30, "it was not counted")
    assert worker.alive()


def test_the_start_says_what_is_missing(broker, people):
    for settings, said in (
        ({"CELERY_SECURITY_KEY": ""}, "needs CELERY_SECURITY_KEY"),
        ({"CELERY_SECURITY_KEY": str(people.client.key_path)}, "not that of CELERY_SECURITY_KEY"),
        ({"CELERY_SECURITY_DIGEST": "md5"}, "CELERY_SECURITY_DIGEST"),
    ):
        done = run_program(CELERY_BROKER_URL=broker.url, **people.settings(**settings))
        assert done.returncode == 1 and said in done.stderr, done.stderr
