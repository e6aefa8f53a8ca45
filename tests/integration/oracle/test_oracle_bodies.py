"""Messages of every form: protocols, serializers, compressions, values that JSON has no type for, and Python's own JSON."""

import bz2
import datetime
import decimal
import json
import lzma
import uuid
import zlib

import pytest

from clients import envelope
from places import BACKEND
from world import World, done

NOTHING = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


@pytest.fixture(scope="module")
def polyglot(side, servers, session_directory):
    made = World(side, servers, session_directory, conf={"accept_content": ["json", "yaml", "msgpack"]})
    yield made
    made.kill()


VALUE = ["grüß \U0001f331", [1, -1, 2**40, 2.5, 1e100, True, None], {"yes": "12", "k": {"n": []}}, "\x00", "no", "1_000", "~"]


@pytest.mark.parametrize("serializer", ["json", pytest.param("yaml", marks=pytest.mark.needs("yaml")),
                                        pytest.param("msgpack", marks=pytest.mark.needs("msgpack"))])
@pytest.mark.parametrize("compression", [None, "zlib", "gzip", "bzip2", pytest.param("lzma", marks=pytest.mark.since(5, 0)),
                                         pytest.param("zstd", marks=pytest.mark.needs("zstd")),
                                         pytest.param("brotli", marks=pytest.mark.needs("brotli"))])
def test_serializers_and_compressions(polyglot, serializer, compression):
    value = VALUE if serializer != "yaml" else [item for item in VALUE if item != "\x00"]
    result = polyglot.send("echo", value, serializer=serializer, compression=compression)
    assert result.get(timeout=60) == value


@pytest.mark.parametrize("content_type", ["application/x-yaml", "application/x-python-serialize", "application/x-msgpack"])
def test_what_is_not_accepted_is_not_run(world, content_type):
    """And stands in nobody's way."""
    task_id = world.push(task="celeriac.echo", args=[1], **{"content-type": content_type})
    assert world.send("echo", 2).get(timeout=60) == 2
    world.settle(task_id)
    assert world.stored(task_id) is None


@pytest.mark.parametrize("text", [
    "NaN", "Infinity", "-Infinity", "[NaN, 1]", "123456789012345678901234567890", "-0.0", "1E400", "1e-400", "0.1", "5e-324",
    r'"\ud800"', r'"\ud83c\udf31"', r'"\u0000"', '{"a": 1, "a": 2}', '{"__type__": "x", "__value__": 1, "more": 2}',
    '"\U0001f331 raw"', "1.0", "1e5", "100000000000000000000.0", '{"": ""}', "[[],{}]",
])
def test_pythons_json(world, text):
    """What Python's json reads and writes is the measure, whatever JSON says."""
    body = f'[[{text}], {{}}, {json.dumps(NOTHING)}]'
    task_id = world.push(task="celeriac.echo", body=body)
    world.meta(task_id)
    expected = json.dumps(json.loads(text))
    assert json.dumps(world.stored(task_id)["result"]) == expected
    if BACKEND != "database":
        assert f'"result": {expected},'.encode() in world.results.raw(task_id)
    assert world.stored(task_id)["status"] == "SUCCESS"


@pytest.mark.since(5, 3)
@pytest.mark.parametrize("value", [
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.timezone.utc), datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.date(2026, 1, 2),
    datetime.time(3, 4, 5), decimal.Decimal("3.140"), uuid.UUID(int=5), b"text", b"\xff\x00",
], ids=repr)
def test_values_json_has_no_type_for(world, value):
    """kombu marks them since 5.3, in the result too."""
    result = world.send("echo", {"v": [value]})
    assert result.get(timeout=60) == {"v": [value]}


def version_1(world, **fields):
    task_id = str(uuid.uuid4())
    body = {"task": "celeriac.echo", "id": task_id, "args": [1], "kwargs": {}, "retries": 0, "eta": None, "expires": None, "utc": True,
            "callbacks": None, "errbacks": None, "timelimit": [None, None], "taskset": None, "chord": None, **fields}
    empty = {name: ... for name in ("lang", "task", "id", "root_id", "parent_id", "group", "retries", "timelimit", "eta", "expires",
                                    "origin")}
    world.push(body=json.dumps({key: value for key, value in body.items() if value is not ...}), headers=empty,
               properties={"correlation_id": task_id})
    return task_id


def test_protocol_1(world):
    later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).isoformat()
    assert world.meta(version_1(world))["result"] == 1
    assert world.meta(version_1(world, args=..., kwargs={"value": 2}))["result"] == 2
    assert world.meta(version_1(world, expires=later))["result"] == 1
    assert world.meta(version_1(world, expires="2020-01-01T00:00:00"))["status"] == "REVOKED"
    assert world.meta(version_1(world, task="celeriac.fail", args=["x"]))["status"] == "FAILURE"
    assert world.meta(version_1(world, task="nobody.knows"))["result"]["exc_type"] == "NotRegistered"
    linked = f"linked-1-{world.name}"
    version_1(world, callbacks=[world.sig("add", 10).set(task_id=linked)])
    assert world.meta(linked)["result"] == 11
    failed = f"failed-1-{world.name}"
    task_id = version_1(world, task="celeriac.fail", args=["x"], errbacks=[world.sig("echo").set(task_id=failed)])
    assert world.meta(failed)["result"] == task_id


def test_protocol_1_of_a_client(make_world):
    old = make_world(client_conf={"task_protocol": 1})
    result = old.send("add", 1, 2, link=old.sig("add", 10).set(task_id="old-link"))
    assert result.get(timeout=60) == 3 and old.meta("old-link")["result"] == 13
    assert old.send("retry", 2, 1).get(timeout=60) == 2


@pytest.mark.parametrize("parts", [
    {"headers": {"lang": ..., "root_id": ..., "parent_id": ..., "group": ..., "retries": ..., "timelimit": ..., "eta": ..., "expires": ...,
                 "origin": ...}},
    {"headers": {"timelimit": None}}, {"headers": {"retries": None}}, {"headers": {"unknown": {"deep": [1]}}},
    {"headers": {"argsrepr": None, "kwargsrepr": None}}, {"headers": {"ignore_result": None}}, {"headers": {"lang": "js"}},
    {"properties": {"priority": ...}}, pytest.param({"properties": {"reply_to": ...}}, marks=pytest.mark.only("stored results", "nobody asked"), id="properties:reply_to"), {"properties": {"correlation_id": ...}},
    {"properties": {"priority": 200}},
    {"body": json.dumps([["hello"], {}, {}])}, {"body": json.dumps([["hello"], {}, NOTHING | {"more": 1}])},
    {"body": json.dumps([["hello"], {}, NOTHING], ensure_ascii=False, indent=3)},
], ids=lambda parts: "-".join(f"{key}:{','.join(value) if isinstance(value, dict) else 'x'}" for key, value in parts.items()))
def test_messages_of_other_clients(world, parts):
    task_id = world.push(task="celeriac.echo", **({"args": ["hello"]} | parts))
    assert world.meta(task_id) == done(task_id, result="hello")
    world.settle(task_id)


@pytest.mark.parametrize("compress, name", [
    (zlib.compress, "application/x-gzip"), (bz2.compress, "application/x-bz2"), (zlib.compress, "gzip"), (bz2.compress, "bzip2"),
    (lambda data: lzma.compress(data), "application/x-lzma"),
])
def test_names_of_compressions(world, compress, name):
    body = compress(json.dumps([["hello"], {}, NOTHING]).encode())
    assert world.meta(world.push(task="celeriac.echo", body=body, headers={"compression": name}))["result"] == "hello"


@pytest.mark.only("redis broker", "RabbitMQ carries bytes")
@pytest.mark.python_since(5, 3)
def test_a_body_that_is_text(world):
    """Without base64, as body_encoding says."""
    task_id, message = envelope(task="celeriac.echo", properties={"body_encoding": "utf-8"})
    message["body"] = json.dumps([["hello"], {}, NOTHING])
    world.broker.push(json.dumps(message))
    assert world.meta(task_id)["result"] == "hello"
