"""
Records what Celery itself puts on a Redis list, as food for the unit tests.

    PYTHON record.py DIRECTORY [NAME…]

Starts a private Redis in a temporary directory, sends one message of each kind with the Celery of that interpreter, and
writes each envelope, byte for byte, to DIRECTORY/celery-<version>/<name>.json. Only the sender's name and the ids of its
process are replaced, so that no recording tells where it was made.
"""

import contextlib
import datetime
import decimal
import math
import pathlib
import subprocess
import sys
import tempfile
import time
import uuid

import celery
import celery.app.amqp
import celery.beat
import kombu.compression
import kombu.exceptions
import kombu.serialization
import redis

ID = "3c9bd6a0-4a10-4f5b-9d3c-0f0a54d8b7a%d"
REPLY_TO = "0a8f3f7e-2f4c-3a5e-8c7b-1d2e3f405162"
ETA = datetime.datetime(2026, 11, 21, 9, 30, 0, 250000, tzinfo=datetime.timezone.utc)


def send(app, name):
    """Sends the message called `name`."""
    sig = app.signature
    calls = {
        "plain": lambda: app.send_task("celeriac.echo", args=["hello"], task_id=ID % 0),
        "empty": lambda: app.send_task("sandbox.cleanup", task_id=ID % 1),
        "kwargs": lambda: app.send_task(
            "sandbox.execute_code",
            kwargs={"conversation_id": "c-1", "code": "print('a\\n')\n", "timeout": 2.5, "one_shot": False, "stdin": None},
            task_id=ID % 2,
        ),
        "countdown": lambda: app.send_task(
            "celeriac.add", args=(1, 2), task_id=ID % 3, eta=ETA, expires=ETA + datetime.timedelta(days=3650), priority=6
        ),
        "limits": lambda: app.send_task(
            "celeriac.sleep", args=(1,), task_id=ID % 4, time_limit=30, soft_time_limit=25.5, ignore_result=True, shadow="nap"
        ),
        "numbers": lambda: app.send_task(
            "celeriac.xsum", args=[[1, 2.5, 10**30, math.nan, -math.inf]], task_id=ID % 5
        ),
        "text": lambda: app.send_task(
            "celeriac.echo", args=["gr\u00fc\u00df \u4f60 \U0001f331 \x00 \ud800 \"'\\"], task_id=ID % 6, headers={"tenant": "t1"}
        ),
        "chain": lambda: (sig("celeriac.add", args=(1, 2)) | sig("celeriac.add", args=(3,))).apply_async(
            task_id=ID % 7, link=sig("celeriac.echo"), link_error=sig("celeriac.fail")
        ),
    }
    calls[name]()


def send_beat(app):
    """What `celery beat` sends for an entry of a task it does not know."""
    entry = {"task": "sandbox.cleanup", "schedule": 300.0}
    scheduler = celery.beat.Scheduler(app, schedule={})
    scheduler.producer  # connects
    entry = scheduler.Entry(**dict(entry, name="sandbox.cleanup", app=app))
    scheduler.apply_async(entry, producer=scheduler.producer, advance=False)


# name: (serializer, compression); what the interpreter does not have is left out.
BODIES = {
    "yaml": ("yaml", None),
    "msgpack": ("msgpack", None),
    "gzip": ("json", "gzip"),
    "bzip2": ("json", "bzip2"),
    "xz": ("json", "lzma"),
    "zstd": ("json", "zstd"),
    "brotli": ("json", "brotli"),
    "yaml-gzip": ("yaml", "gzip"),
    "msgpack-zstd": ("msgpack", "zstd"),
}
BODY_ARGS = ["gr\u00fc\u00df \U0001f331", [1, -1, 2**40, 2.5, 1e100, True, None], {"yes": "12", "k": {"n": []}}]


def send_body(app, name):
    serializer, compression = BODIES[name]
    kombu.serialization.dumps([], serializer)
    if compression:
        kombu.compression.get_encoder(compression)
    args = BODY_ARGS + ([b"\x00\xff", b"text", "\x00"] if serializer == "msgpack" else [])
    app.send_task("celeriac.echo", args=args, kwargs={"k": "v"}, task_id=ID % 20, serializer=serializer, compression=compression)


def send_typed(app):
    """What kombu 5.3 and later mark, and earlier ones write as text."""
    args = [ETA, ETA.date(), ETA.time(), decimal.Decimal("3.140"), uuid.UUID(REPLY_TO)]
    try:
        app.send_task("celeriac.echo", args=args + [b"text", b"\xff\x00"], task_id=ID % 21)
    except kombu.exceptions.EncodeError:
        app.send_task("celeriac.echo", args=args, task_id=ID % 21)


def send_v1(app):
    """Protocol 1: everything in the body."""
    app.conf.task_protocol = 1
    sig = app.signature
    app.amqp.__dict__.pop("create_task_message", None)
    app.send_task(
        "celeriac.add", args=(1, 2), kwargs={"k": None}, task_id=ID % 22, eta=ETA, expires=ETA + datetime.timedelta(days=3650),
        time_limit=30, soft_time_limit=25.5, group_id="g-1", group_index=3, link=[sig("celeriac.echo")], link_error=[sig("celeriac.fail")],
        chord=sig("celeriac.xsum"), retries=2, priority=6,
    )
    app.conf.task_protocol = 2
    app.amqp.__dict__.pop("create_task_message", None)


def send_auth(app, tmp, target):
    """Signed. The certificate stays beside the recording, its key does not. Comes last: from here on nothing else is read."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from celery.security import setup_security

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Gr\u00fcn & Co"),
                      x509.NameAttribute(x509.NameOID.COMMON_NAME, f"recorded by {celery.__version__}")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(
        2**70 + 4711).not_valid_before(datetime.datetime(2026, 1, 1)).not_valid_after(datetime.datetime(2096, 1, 1)).sign(
        key, hashes.SHA256())
    (target / "auth.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pathlib.Path(f"{tmp}/key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    app.conf.update(task_serializer="auth", accept_content=["auth"])
    setup_security(key=f"{tmp}/key", cert=str(target / "auth.pem"), store=str(target / "auth.pem"), digest="sha256", app=app)
    app.send_task("celeriac.echo", args=["hello"], kwargs={"k": "gr\u00fc\u00df"}, task_id=ID % 23)


@contextlib.contextmanager
def private_redis(tmp):
    """A server of its own: its socket's path, and a connection."""
    sock = f"{tmp}/redis.sock"
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", sock, "--save", "", "--dir", tmp], stdout=subprocess.DEVNULL
    )
    try:
        db = redis.Redis(unix_socket_path=sock)
        for _ in range(100):
            try:
                db.ping()
                break
            except redis.exceptions.ConnectionError:
                time.sleep(0.05)
        yield sock, db
    finally:
        server.terminate()
        server.wait()


def main():
    target = pathlib.Path(sys.argv[1]) / f"celery-{celery.__version__}"
    target.mkdir(parents=True, exist_ok=True)
    celery.app.amqp.anon_nodename = lambda *a, **k: "gen4711@client"
    with tempfile.TemporaryDirectory() as tmp, private_redis(tmp) as (sock, db):
        app = celery.Celery(broker=f"redis+socket://{sock}", set_as_current=False)
        app.conf.broker_connection_retry_on_startup = True
        app.oid = type(app).thread_oid = REPLY_TO
        senders = {name: send for name in ["plain", "empty", "kwargs", "countdown", "limits", "numbers", "text", "chain"]}
        senders.update({"beat": lambda app, _: send_beat(app), "typed": lambda app, _: send_typed(app)})
        senders.update({name: send_body for name in BODIES})
        senders["v1"] = lambda app, _: send_v1(app)
        senders["auth"] = lambda app, _: send_auth(app, tmp, target)
        only = sys.argv[2:]
        for name, sender in senders.items():
            if only and name not in only:
                continue
            try:
                sender(app, name)
            except (KeyError, ImportError, kombu.exceptions.SerializerNotInstalled) as error:
                print(f"{name}: not with this interpreter ({error!r})")
                continue
            keys = [k for k in db.keys() if db.type(k) == b"list"]
            (target / f"{name}.json").write_bytes(db.rpop(keys[0]))


if __name__ == "__main__":
    main()
