"""sandbox.execute_code on a real engine: what goes in, what comes out, and what is kept of it."""

import base64
import hashlib
import sys
import uuid

import pytest

pytestmark = pytest.mark.docker
KEYS = {"status", "exit_code", "stdout", "stderr", "stdout_dropped", "stderr_dropped", "duration_ms", "files", "files_skipped",
        "sandbox", "reused", "restarted"}


@pytest.fixture(scope="module")
def conversation():
    """One for the tests that do not care, so that they need not wait for a container each."""
    return f"c-{uuid.uuid4()}"


@pytest.fixture
def run(house, conversation):
    def call(code, **kwargs):
        return house.calls.run(code, conversation, **kwargs)
    return call


def test_a_print_and_its_row(house):
    result = house.calls.send("print('hello')", "the-first", project_id="p1")
    value = result.get(timeout=90)
    assert set(value) == KEYS
    assert (value["status"], value["exit_code"], value["stdout"], value["stderr"]) == ("ok", 0, "hello\n", "")
    assert (value["stdout_dropped"], value["stderr_dropped"], value["files"], value["files_skipped"]) == (0, 0, [], [])
    assert (value["reused"], value["restarted"]) == (False, False)
    assert 0 <= value["duration_ms"] < 30_000 and len(value["sandbox"]) == 64
    row = house.calls.row(result.id, "kind", "tool", "conversation_id", "project_id", "state", "status", "exit_code", "stdout",
                          "stderr", "attempt", "retries", "worker", "container_id", "result", "params", "error")
    assert row == ("sandbox", "sandbox.execute_code", "the-first", "p1", "finished", "ok", 0, "hello\n", "", 1, 0,
                   house.worker.node, value["sandbox"], value,
                   {"conversation_id": "the-first", "project_id": "p1", "code": "print('hello')"}, None)
    times = house.calls.row(result.id, "started_at", "finished_at")
    assert times[0] <= times[1]


def test_streams_are_apart_and_in_order(run):
    value = run("import sys\nfor n in range(100):\n  print(n)\n  print(-n, file=sys.stderr)")
    assert value["stdout"] == "".join(f"{n}\n" for n in range(100))
    assert value["stderr"] == "".join(f"{-n}\n" for n in range(100))
    assert value["status"] == "ok"


@pytest.mark.parametrize(
    "code, status, exit_code, said",
    [
        ("import sys; sys.exit(7)", "error", 7, ""),
        ("raise SystemExit('bye')", "error", 1, "bye"),
        ("1 / 0", "error", 1, "ZeroDivisionError"),
        ("def broken(:\n  pass", "error", 1, "SyntaxError"),
        ("import no_such_module", "error", 1, "ModuleNotFoundError"),
        ("import os; os.kill(os.getpid(), 9)", "killed", 137, ""),
        ("import os; os.abort()", "killed", 134, ""),
        ("import os; os._exit(0)", "ok", 0, ""),
        ("", "ok", 0, ""),
        ("# -*- coding: utf-8 -*-\nprint('ünïcode 漢字 😀')", "ok", 0, ""),
    ],
)
def test_how_code_ends(run, code, status, exit_code, said):
    value = run(code)
    assert (value["status"], value["exit_code"]) == (status, exit_code), value
    assert said in value["stderr"]


def test_output_that_is_no_text(house, conversation):
    result = house.calls.send("import os; os.write(1, b'a\\xff\\xfe\\x00b\\xe6\\xbc'); os.write(2, b'\\x1b[31mred\\x00')", conversation)
    value = result.get(timeout=60)
    assert value["stdout"].startswith("a") and "b" in value["stdout"] and "\x00" not in value["stdout"] + value["stderr"]
    assert house.calls.row(result.id, "stdout", "stderr") == (value["stdout"], value["stderr"])


def test_standard_input(run):
    text = "first\nünïcode 😀\n" + "x" * 300_000
    value = run("import sys; data = sys.stdin.read(); print(len(data), data[:5])", stdin=text)
    assert value["stdout"] == f"{len(text)} first\n"
    assert run("import sys; print(repr(sys.stdin.read()))")["stdout"] == "''\n", "without one it is empty"
    assert run("pass", stdin="y" * 500_000)["status"] == "ok", "code need not read it"


def test_environment(house, run):
    code = "import os; print(os.environ['GREETING'], len(os.environ['LONG'])); assert os.environ['TOKEN']"
    result = house.calls.send(code, "environment", env={"GREETING": "hällo = \"x\"", "LONG": "z" * 10000, "TOKEN": "only-inside"})
    assert result.get(timeout=60)["stdout"].startswith('hällo = "x" 10000\n')
    row = house.calls.row(result.id, "params")[0]
    assert "hällo" not in str(row) and "only-inside" not in str(row), "values of env are secrets"
    seen = run("import os; print(sorted(os.environ)); print(os.environ)")["stdout"]
    for name in ("GREETING", "DATABASE_URL", "CELERY", "CELERIAC_", "DOCKER_HOST", "secret-of"):
        assert name not in seen
    assert "only-inside" not in house.worker.log()


def test_input_files(run):
    files = [
        {"name": "data.csv", "content": base64.b64encode(b"a,b\n1,2\n3,4\n").decode()},
        {"name": "ünï côde 😀.bin", "content": base64.b64encode(bytes(range(256)) * 1000).decode()},
        {"name": "-rf", "content": ""},
        {"name": "n" * 255, "content": base64.b64encode(b"long").decode()},
    ]
    code = ("import pandas, os, hashlib\nprint(pandas.read_csv('data.csv').sum().to_dict())\n"
            "print(hashlib.sha256(open('/sandbox/ünï côde 😀.bin', 'rb').read()).hexdigest())\n"
            "print(os.path.getsize('-rf'), open('n' * 255).read())")
    value = run(code, files=files, timeout=120)
    digest = hashlib.sha256(bytes(range(256)) * 1000).hexdigest()
    assert value["stdout"] == f"{{'a': 4, 'b': 6}}\n{digest}\n0 long\n", value
    assert run("print(open('data.csv').read())")["stdout"].startswith("a,b"), "they stay for the conversation"
    replaced = [{"name": "data.csv", "content": base64.b64encode(b"new").decode()}]
    assert run("print(open('data.csv').read())", files=replaced)["stdout"] == "new\n"


@pytest.mark.parametrize(
    "name",
    ["a/b", "/etc/passwd", "..", ".", "", "../up", "a\x00b", "a\nb", "a\x1bb", "\x7f", "n" * 256, "é" * 128, "n" * 300, "output", "\ud800"],
    ids=lambda name: name.encode("unicode_escape").decode()[:12] or "empty",
)
def test_bad_names_of_input_files(house, conversation, name):
    result = house.calls.send("print('ran')", conversation, files=[{"name": "good", "content": ""}, {"name": name, "content": "eA=="}])
    with pytest.raises(ValueError) as raised:
        result.get(timeout=60)
    assert "files[1].name" in str(raised.value)
    state, status, error = house.calls.row(result.id, "state", "status", "error")
    assert state == "failed" and "files[1].name" in error


@pytest.mark.parametrize(
    "kwargs, error, named",
    [
        ({"code": 5}, TypeError, "code"), ({"code": None}, TypeError, "code"), ({"conversation_id": 5}, TypeError, "conversation_id"),
        ({"conversation_id": "x" * 300}, ValueError, "conversation_id"), ({"conversation_id": "a\nb"}, ValueError, "conversation_id"),
        ({"conversation_id": ""}, ValueError, "conversation_id"), ({"cod": "x"}, TypeError, "cod"),
        ({"language": "cobol"}, ValueError, "cobol"), ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": 100000}, ValueError, "timeout"), ({"timeout": "long"}, TypeError, "timeout"),
        ({"files": {}}, TypeError, "files"), ({"files": [5]}, TypeError, "files[0]"),
        ({"files": [{"name": "x"}]}, ValueError, "content"), ({"files": [{"name": "x", "content": "%%%"}]}, ValueError, "files[0].content"),
        ({"files": [{"name": "x", "content": ""}] * 2}, ValueError, "files[1].name"), ({"env": {"A=B": "x"}}, ValueError, "env"),
        ({"env": {"A": 5}}, TypeError, "env"), ({"env": {"A": "x\x00y"}}, ValueError, "env"), ({"stdin": 5}, TypeError, "stdin"),
        ({"project_id": ""}, ValueError, "project_id"), ({"one_shot": "yes"}, TypeError, "one_shot"), ({"code": "a\x00b"}, ValueError, "code"),
        ({"code": "x" * (5 << 20)}, ValueError, "code"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else None,
)
def test_wrong_arguments_start_nothing(house, kwargs, error, named):
    before = house.worker.metric("tasks_failed_total")
    result = house.app.send_task("sandbox.execute_code", kwargs={"conversation_id": "wrong", "code": "print(1)", **kwargs})
    with pytest.raises(error) as raised:
        result.get(timeout=60)
    assert named in str(raised.value)
    assert house.worker.metric("tasks_failed_total") == before + 1


def test_files_that_code_leaves(house, conversation):
    code = """
import matplotlib.pyplot as plt, pandas, os
plt.plot([1, 2, 3]); plt.savefig('/sandbox/output/plot.png')
pandas.DataFrame({'a': [1, 2]}).to_csv('/sandbox/output/table.csv', index=False)
os.makedirs('/sandbox/output/sub/deep', exist_ok=True)
open('/sandbox/output/sub/deep/ünï.txt', 'w').write('text')
open('/sandbox/output/empty', 'w')
"""
    result = house.calls.send(code, conversation, timeout=120)
    value = result.get(timeout=90)
    assert value["status"] == "ok", value
    files = {entry["name"]: entry for entry in value["files"]}
    assert set(files) == {"plot.png", "table.csv", "sub/deep/ünï.txt", "empty"} and value["files_skipped"] == []
    assert files["plot.png"]["mime"] == "image/png" and files["table.csv"]["mime"].startswith("text/csv")
    rows = house.postgres.sql("SELECT id::text, name, mime, size_bytes, sha256, content, conversation_id"
                              " FROM celeriac.conversation_outputs WHERE task_id = %s", result.id)
    assert len(rows) == 4
    for file_id, name, mime, size, sha256, content, of in rows:
        assert files[name] == {"id": file_id, "name": name, "mime": mime, "size": size, "sha256": sha256}
        assert hashlib.sha256(content).hexdigest() == sha256 and len(content) == size and of == conversation
    contents = {row[1]: row[5] for row in rows}
    assert contents["plot.png"].startswith(b"\x89PNG\r\n") and contents["table.csv"] == b"a\n1\n2\n"
    again = house.calls.run("open('/sandbox/output/table.csv', 'a').write('3\\n')", conversation)
    assert [entry["name"] for entry in again["files"]] == ["table.csv"], "only what is new or changed"
    assert house.calls.call("reset_output", conversation_id=conversation)["removed"] >= 4
    assert house.calls.run("import os; print(os.listdir('/sandbox/output'))", conversation)["stdout"] == "[]\n"
    assert house.calls.call("reset_output", conversation_id="never-seen") == {"removed": 0}


def test_files_that_are_not_taken(house):
    code = r"""
import os, socket
os.chdir('/sandbox/output')
os.symlink('/etc/passwd', 'link'); os.symlink('/', 'root'); os.mkfifo('pipe'); socket.socket(socket.AF_UNIX).bind('socket')
open(b'bad\xff', 'w').write('x'); open('new\nline', 'w').write('x')
open('huge', 'wb').truncate(33 << 20); open('good', 'w').write('x')
os.link('good', 'hard'); open('unreadable', 'w').write('x'); os.chmod('unreadable', 0)
"""
    value = house.calls.run(code, "not-taken")
    assert value["status"] == "ok", value
    names = {entry["name"] for entry in value["files"]}
    assert "good" in names and not names & {"link", "root", "pipe", "socket", "huge", "new\nline"}
    skipped = {entry["name"]: entry["reason"] for entry in value["files_skipped"]}
    assert {"link", "root", "pipe", "socket", "huge"} <= set(skipped), skipped
    assert all(skipped.values()) and not any("\n" in name for name in skipped)
    assert all(b"root:" not in row[0] for row in house.postgres.sql(
        "SELECT content FROM celeriac.conversation_outputs WHERE conversation_id = 'not-taken'"))


def test_too_many_files(house):
    code = "for n in range(200):\n  open(f'/sandbox/output/{n:03}', 'w').write('x')"
    value = house.calls.run(code, "too-many")
    assert len(value["files"]) == 64
    assert value["files_skipped"] and any("64" in entry["reason"] or "many" in entry["reason"] for entry in value["files_skipped"])


def test_files_in_a_media_directory(make_full_worker, calls, directory):
    """With MEDIA_DIR the bytes are kept by their digest, once, and the row says where."""
    media = directory / "media"
    media.mkdir()
    make_full_worker(MEDIA_DIR=media)
    code = "import os\nfor name in ('a', 'b'): open(f'/sandbox/output/{name}.txt', 'w').write('the same')"
    result = calls.send(code, "media")
    files = result.get(timeout=60)["files"]
    rows = calls.postgres.sql("SELECT name, content, path FROM celeriac.conversation_outputs WHERE task_id = %s ORDER BY name", result.id)
    assert [row[0] for row in rows] == ["a.txt", "b.txt"] and [row[1] for row in rows] == [None, None]
    assert rows[0][2] == rows[1][2] and files[0]["sha256"] in rows[0][2]
    kept = [path for path in media.rglob("*") if path.is_file()]
    assert len(kept) == 1 and kept[0].read_text() == "the same"
    assert kept[0].samefile(media / rows[0][2])


def test_values_the_database_does_not_take(house):
    """More of these than there are threads: each is answered, none is tried for ever."""
    digits = sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else None
    if digits is not None:
        sys.set_int_max_str_digits(0)
    try:
        results = [house.calls.send("1", packages=[[[[10 ** 140_000]]]]) for _ in range(12)]
    finally:
        if digits is not None:
            sys.set_int_max_str_digits(digits)
    for result in results:
        error = result.get(timeout=60, propagate=False)
        assert type(error).__name__ == "StoreError" and "numeric" in str(error)


def test_the_same_id_with_other_arguments(house):
    """An id that is sent again for another project learns nothing of the first call."""
    first = house.calls.send("print('secret')", "of-p1", project_id="p1")
    assert first.get(timeout=90)["stdout"] == "secret\n"
    first.forget()
    kwargs = {"conversation_id": "of-p2", "code": "print(2)", "project_id": "p2"}
    again = house.calls.app.send_task("sandbox.execute_code", kwargs=kwargs, task_id=first.id)
    error = again.get(timeout=60, propagate=False)
    assert type(error).__name__ == "StoreError" and "another call" in str(error)
    assert house.calls.row(first.id, "project_id", "stdout") == ("p1", "secret\n")


def test_a_run_of_its_own_is_bound_to_the_project_too(house):
    name = f"c-{uuid.uuid4()}"
    assert house.calls.run("print(1)", name, project_id="p1")["status"] == "ok"
    theirs = house.calls.send("open('/sandbox/output/x', 'w').close()", name, project_id="p2", one_shot=True)
    assert "another project" in str(theirs.get(timeout=60, propagate=False))
    assert house.calls.run("print(1)", name, project_id="p1", one_shot=True)["status"] == "ok"
