"""What is no task, put into the queue byte by byte: refused, kept with the reason, said in one line, and nothing else is disturbed."""

import json
import random
import re

import pytest

from clients import envelope
from services import wait_until

PICKLE = "application/x-python-serialize"


def bytes_of(**parts):
    return json.dumps(envelope(**parts)[1]).encode()


DEAD = {
    # what is put into the queue, what the reason must say
    "nothing": (b"", "JSON"),
    "spaces": (b"   ", "JSON"),
    "not JSON": (b"hello world", "JSON"),
    "binary": (bytes(range(256)), "JSON"),
    "half a message": (bytes_of()[:200], "JSON"),
    "braces only": (b"{]}", "."),
    "two messages": (bytes_of() + bytes_of(), "."),
    "invalid UTF-8": (bytes_of().replace(b'"lang"', b'"l\xff\xfeng"'), "."),
    "a list": (b"[1, 2, 3]", "object"),
    "a string": (b'"text"', "object"),
    "a number": (b"17", "object"),
    "null": (b"null", "object"),
    "an empty object": (b"{}", "."),
    "no body": (bytes_of(body="x", **{"content-type": "application/json"}).replace(b'"body"', b'"corpse"'), "body"),
    "body a number": (json.dumps({**envelope()[1], "body": 5}).encode(), "body"),
    "body not base64": (json.dumps({**envelope()[1], "body": "***"}).encode(), "base64"),
    "base64 cut off": (json.dumps({**envelope()[1], "body": "W1tdLCB7fSwge31"}).encode(), "base64"),
    "unknown body encoding": (bytes_of(properties={"body_encoding": "rot13"}), "rot13"),
    "body not JSON": (bytes_of(body="[[], {}, "), "body"),
    "body binary": (bytes_of(body=b"\x80\x02\xff\x00"), "body"),
    "body empty": (bytes_of(body=b""), "body"),
    "body an object": (bytes_of(body='{"value": 1}'), "body"),
    "body too short": (bytes_of(body="[[], {}]"), "body"),
    "headers a list": (json.dumps({**envelope()[1], "headers": []}).encode(), "headers"),
    "no headers": (json.dumps({**envelope()[1], "headers": None}).encode(), "."),
    "properties a string": (json.dumps({**envelope()[1], "properties": "x"}).encode(), "properties"),
    "no task": (bytes_of(headers={"task": Ellipsis}), "task"),
    "no id": (bytes_of(headers={"id": Ellipsis}), "id"),
    "task a number": (bytes_of(headers={"task": 5}), "task"),
    "task empty": (bytes_of(headers={"task": ""}), "task"),
    "task too long": (bytes_of(headers={"task": "t" * 5000}), "task"),
    "id a list": (bytes_of(headers={"id": [1]}), "id"),
    "id too long": (bytes_of(headers={"id": "i" * 5000}), "id"),
    "id with NUL": (bytes_of(headers={"id": "a\u0000b"}), "id"),
    "args an object": (bytes_of(body='[{"x": 1}, {}, {}]'), "args"),
    "args a string": (bytes_of(body='["text", {}, {}]'), "args"),
    "args null": (bytes_of(body="[null, {}, {}]"), "args"),
    "kwargs a list": (bytes_of(body="[[], [], {}]"), "keyword"),
    "eta no date": (bytes_of(headers={"eta": "tomorrow"}), "eta"),
    "expires no date": (bytes_of(headers={"expires": "2026-13-45T99:00:00"}), "expires"),
    "retries a string": (bytes_of(headers={"retries": "many"}), "retries"),
    "too many headers": (bytes_of(headers={f"h{n}": n for n in range(5000)}), "headers"),
    "pickle": (bytes_of(body=b"cos\nsystem\n(S'false'\ntR.", **{"content-type": PICKLE, "content-encoding": "binary"}), "pickle"),
    "pickle, by its name": (bytes_of(**{"content-type": "application/x-pickle"}), "pickle"),
    "unknown content type": (bytes_of(**{"content-type": "application/x-unheard-of"}), "unheard-of"),
    "yaml": (bytes_of(**{"content-type": "application/x-yaml"}), "yaml"),
    "unknown compression": (bytes_of(headers={"compression": "application/x-lzop"}), "lzop"),
    "envelope nested 10000 deep": (b'{"headers": ' + b"[" * 10000 + b"]" * 10000 + b"}", "deep|nest"),
    "body nested 10000 deep": (bytes_of(body="[[" + "[" * 10000 + "]" * 10000 + "], {}, {}]"), "deep|nest"),
    "body nested 10000 objects": (bytes_of(body="[[" + '{"a":' * 10000 + "1" + "}" * 10000 + "], {}, {}]"), "deep|nest"),
    "nesting never closed": (bytes_of(body="[" * 10_000_000), "."),
    "protocol 1 without id": (bytes_of(body='{"task": "celeriac.echo", "args": [1], "kwargs": {}}',
                                       headers={"task": Ellipsis, "id": Ellipsis}), "id"),
    "control characters": (bytes_of(headers={"eta": "x\r\n[2026] CRITICAL forged\x1b[31m\u0000\u0007\u202e"}), "eta"),
    "control characters in the type": (bytes_of(**{"content-type": "a\nforged line\x1b]0;title\x07"}), "."),
}


@pytest.fixture(scope="module")
def answers():
    """Asks a worker for an echo: whatever came before, it still runs."""
    def ask(app, broker, worker):
        assert app.send_task("celeriac.echo", ("still here",)).get(timeout=60) == "still here"
        broker.wait_settled()
        assert worker.alive()
    return ask


def plain_lines(log):
    """Every line is one event that begins as ours do; nothing in it is a control character."""
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202e]", log), "control characters in the log"
    lines = [line for line in log.splitlines() if line]
    assert [line for line in lines if not line.startswith("[")] == []


def test_each_is_buried_with_its_reason(worker, app, broker, answers):
    names = list(DEAD)
    for name in names:
        broker.push(DEAD[name][0])
    answers(app, broker, worker)
    assert [name for name in names if DEAD[name][0] not in [message for _, message in broker.dead()]] == [], "not buried"
    assert broker.redis.llen("celeriac:dead") == len(names)
    assert broker.unacked() == (0, 0)
    buried = {message: said for said, message in broker.dead()}
    for name in names:
        message, expected = DEAD[name]
        assert message in buried, f"{name}: not buried byte for byte"
        said = buried[message]
        assert set(said) == {"reason", "queue", "at"} and isinstance(said["at"], float), name
        assert re.search(expected, said["reason"], re.I), (name, said["reason"])
    assert broker.result_count() == 1, "something was stored for what never ran"
    plain_lines(worker.log())
    lines = worker.log_lines("ERROR")
    assert len([line for line in lines if "Refusing to deserialize disabled content" in line]) >= 4
    assert [line for line in lines if "forged" in line and not re.search(r"\\[rnx]", line)] == []


def test_each_has_a_line_of_its_own(worker, app, broker, answers):
    """One message at a time, so that the line can only be about it."""
    for name in ("not JSON", "body not base64", "no task", "args an object", "pickle", "control characters"):
        before = len(worker.log_lines("ERROR"))
        broker.push(DEAD[name][0])
        lines = wait_until(lambda: worker.log_lines("ERROR")[before:], 30, f"no line about {name!r}")
        answers(app, broker, worker)
        assert len(worker.log_lines("ERROR")) == before + 1, (name, lines)


def test_a_message_too_large_is_buried_unread(make_worker, app, broker, answers):
    # Redis, which takes it in pieces, may be slow
    worker = make_worker(CELERY_BROKER_TRANSPORT_OPTIONS='{"socket_timeout": 120}')
    message = b'{"body": "' + b"x" * (64 << 20) + b'"}'
    broker.push(message)
    answers(app, broker, worker)
    wait_until(lambda: broker.redis.llen("celeriac:dead") == 1, 60, "it was not buried")
    said, buried = broker.dead()[0]
    assert buried == message
    assert re.search("large|long|bytes|MiB", said["reason"]), said
    answers(app, broker, worker)


def test_a_large_message_is_no_trouble(worker, app):
    value = "ab" * (4 << 20)
    assert app.send_task("celeriac.echo", (value,)).get(timeout=60) == value


@pytest.mark.parametrize(
    "written",
    ["NaN", "[NaN, Infinity, -Infinity]", "9" * 1000, "-" + "7" * 5000, "1e400", "-1E-400", "0.1000000000000000055511151231257827",
     '"\\u0000"', '["\\ud800", "\\udc00\\ud800"]', '"\\u0001\\u0000"', "[" * 400 + "]" * 400, '{"a": 1, "a": 2}',
     '" \\/\\b\\f\\n\\r\\t\\u001b "'],
    ids=lambda text: text[:20].encode("unicode_escape").decode(),
)
def test_what_only_python_calls_json(worker, broker, written):
    """Values at the edge of JSON come back as they were: read by Python, where it can read them, they are the same."""
    task_id, message = envelope(body=f"[[{written}], {{}}, {{}}]")
    broker.push(json.dumps(message))
    wait_until(lambda: broker.redis.exists(f"celery-task-meta-{task_id}"), 30, "no result")
    meta = broker.redis.get(f"celery-task-meta-{task_id}").decode()
    if re.fullmatch(r"-?\d+", written):  # more digits than Python converts
        assert f'"result": {written},' in meta
    else:
        got = json.loads(meta)
        assert got["status"] == "SUCCESS"
        assert repr(got["result"]) == repr(json.loads(written))
    broker.wait_settled()


@pytest.mark.parametrize("header", ["task", "id", "eta", "root_id", "parent_id", "group", "origin", "shadow"])
def test_control_characters_in_headers(worker, app, broker, answers, header):
    """Whether such a message is refused or run, what it says never makes a line of the log."""
    text = "evil\r\n[2026-01-01 00:00:00,000: CRITICAL/MainProcess] forged\x1b[2J\u0085\u2028\u202e\u0000"
    broker.push(json.dumps(envelope(headers={header: text})[1]))
    answers(app, broker, worker)
    plain_lines(worker.log())
    assert [line for line in worker.log_lines("forged") if "evil" not in line] == []


def test_hostile_argument_names(worker, broker):
    for key in ("a\\u0000b", "", "\\ud800", "value\\u0000"):
        task_id, message = envelope(body='[[], {"%s": 1}, {}]' % key)
        broker.push(json.dumps(message))
        broker.wait_settled()
        raw = broker.redis.get(f"celery-task-meta-{task_id}")
        assert raw is None or json.loads(raw)["status"] == "FAILURE", key
        assert raw is not None or broker.redis.llen("celeriac:dead") > 0, key
    assert worker.alive()


def test_damaged_messages_are_all_accounted_for(worker, app, broker, answers):
    """Every one of 400 messages with a few damaged bytes either ran or is kept."""
    dice = random.Random(20260102)
    for n in range(400):
        message = bytearray(bytes_of(task=dice.choice(["celeriac.echo", "celeriac.add"]), args=[n]))
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(message))
            if dice.random() < 0.5:
                message[at] = dice.choice(b'"{}[]:,\\\x00\xff0a')
            else:
                del message[at:at + dice.randint(1, 20)]
        broker.push(bytes(message))
    broker.wait_settled(60)
    ended = sum(worker.metric(f"tasks_{how}_total") for how in ("succeeded", "failed", "unregistered", "expired"))
    held = worker.metric("messages_held")  # a damaged eta may be a date to come
    assert ended + held + broker.redis.llen("celeriac:dead") == 400
    answers(app, broker, worker)
    plain_lines(worker.log())
