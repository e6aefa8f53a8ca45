"""Native tasks from shared objects, compiled out of tree against installed headers and called by real Celery clients."""

import json
import re
import shutil
import subprocess

import celery
import pytest

from asking import asking
from clients import Broker, Client, envelope
from services import wait_until
from worker import PROGRAM, run_program

HEAD = """
#include <celeriac/task_module.h>
static int run(struct task_ctx *ctx, json_t *const *values, json_t **ret, struct err *err)
{ (void)ctx; (void)values; (void)err; *ret = json_true(); return 0; }
"""


def refusal(broker, path, **settings):
    """What a worker that does not start says."""
    done = run_program("-I", path, CELERY_BROKER_URL=broker.url, CELERIAC_METRICS="", **settings)
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_skeleton(make_worker, headers, app, broker):
    worker = make_worker("-I", headers.compile("skeleton", headers.examples / "skeleton.c"))
    assert app.send_task("skeleton.greet", kwargs={"name": "Ada", "times": 2}).get(timeout=30) == ["Hello, Ada!"] * 2
    assert app.send_task("skeleton.greet", ("Ada",)).get(timeout=30) == ["Hello, Ada!"]
    with pytest.raises(ValueError, match="between 1 and 100, not 0"):
        app.send_task("skeleton.greet", ("Ada", 0)).get(timeout=30)
    with pytest.raises(TypeError, match="unexpected keyword argument 'who'"):
        app.send_task("skeleton.greet", kwargs={"who": "Ada"}).get(timeout=30)
    for which in ("debian", "newest"):
        [answer] = Client(which, broker).call([("skeleton.greet", ["Ada"], {}, {})])
        assert answer["value"] == ["Hello, Ada!"]
    broker.wait_listening()
    assert any("skeleton.greet [rate_limit=100/s]" in tasks
               for tasks in app.control.inspect(timeout=30, limit=1).registered("rate_limit").values())
    assert worker.term() == 0


@pytest.fixture
def example(make_worker, headers):
    return make_worker("-I", headers.compile("example", headers.examples / "example.c"))


def test_progress(example, app):
    states = []
    result = app.send_task("example.primes", (5_000_000,))
    value = result.get(timeout=60, on_message=lambda meta: states.append((meta["status"], meta["result"])))
    assert value == 348_513
    progress = [told for state, told in states if state == "PROGRESS"]
    assert len(progress) >= 9 and progress[0] == {"current": 500_000, "total": 5_000_000}


def test_automatic_retries(make_worker, headers, app):
    """Backoff without jitter is 1, 2, 4 … seconds, here at most 1; the last exception is the result."""
    make_worker("-I", headers.compile("example", headers.examples / "example.c"), CELERY_TASK_ANNOTATIONS=json.dumps(
        {"example.flaky": {"retry_backoff_max": 1, "max_retries": 2}}))
    assert app.send_task("example.flaky", (2,)).get(timeout=30) == 2
    with pytest.raises(ConnectionError, match="run 3"):
        app.send_task("example.flaky", (3,)).get(timeout=30)


def test_retries_on_request(example, app):
    assert app.send_task("example.poll", ("http://x",)).get(timeout=30) == {"url": "http://x", "asked": 4}


def test_further_tasks(example, app):
    """A chord sent from a task: the total is its body's, and everything is a child."""
    result = app.send_task("example.total", ([1, 2, 3],))
    total = result.get(timeout=30)
    assert app.AsyncResult(total).get(timeout=30) == 12
    assert [child.id for child in app.AsyncResult(result.id).children or []], "no children"


def test_what_a_task_sees(make_worker, headers, app, broker):
    """The request, and send_task with options of apply_async."""
    worker = make_worker("-I", headers.compile("probe"), "-n", "probe@here", "-Q", "celery,other")
    seen = app.send_task(
        "probe.request", ("a",), {"b": 1}, task_id="seen", queue="other", priority=3, headers={"mine": [1, 2]}, expires=600, time_limit=50,
        root_id="root", parent_id="parent",
    ).get(timeout=30)
    assert seen["expires"] > 0
    del seen["expires"]
    assert seen == {
        "id": "seen", "name": "probe.request", "root_id": "root", "parent_id": "parent", "group": None, "retries": 0,
        "hostname": "probe@here", "queue": "other", "exchange": "", "routing_key": "other", "priority": 3, "redelivered": False,
        "args": ["a"], "kwargs": {"b": 1}, "mine": [1, 2], "time_limit": 50_000_000, "soft_time_limit": 0,
    }
    options = {"queue": "other", "priority": 6, "task_id": "chosen", "link": app.signature("celeriac.add", args=(40,)), "countdown": 0.1}
    sent = app.send_task("probe.send", ("celeriac.add", [1, 1], options))
    assert sent.get(timeout=30) == "chosen"
    child = app.AsyncResult("chosen")
    assert child.get(timeout=30) == 2
    assert [linked.get(timeout=30) for linked in child.children] == [42]
    for signature in ({}, {"task": 5, "args": []}, {"task": "celery.chain", "subtask_type": "chain", "kwargs": {"tasks": [3]}}):
        with pytest.raises(ValueError, match="send_task: "):
            app.send_task("probe.signature", (signature,)).get(timeout=30)
    for name, args, said in (("send", ("celeriac.echo", [], 5), "options must be dict, not int"), ("send_bytes", (), "a name that is not UTF-8")):
        with pytest.raises(ValueError, match=said):
            app.send_task(f"probe.{name}", args).get(timeout=30)
    for state, said in (("FAILURE", "needs an exception"), ("", "has 1 to 64 bytes"), ("x" * 65, "has 1 to 64 bytes"), ("two words", "a word of visible")):
        with pytest.raises(ValueError, match=said):
            app.send_task("probe.state", (state,)).get(timeout=30)
    with pytest.raises(ValueError, match="update_state: .*bytes"):
        app.send_task("probe.long_state", (65 << 20,)).get(timeout=30)
    app.send_task("probe.log", ("not so loud", 10), task_id="quiet").get(timeout=30)
    app.send_task("probe.log", ("it\nwas me",), task_id="logging").get(timeout=30)
    worker.wait_log(r"WARNING/MainProcess\] probe\.log\[logging\]: it\\x0awas me")
    assert not worker.log_lines(r"\[quiet\]: ")


def test_why_a_task_is_cancelled(make_worker, headers, app, broker):
    worker = make_worker("-I", headers.compile("probe"))
    for how, limits in (("revoked", {}), ("limit", {"time_limit": 1}), ("soft limit", {"soft_time_limit": 1}), ("shutdown", {})):
        result = app.send_task("probe.why", task_id=how, **limits)
        worker.wait_log(rf"probe\.why\[{how}\]: first not cancelled")
        if how == "revoked":
            broker.wait_listening()
            app.control.revoke(result.id, terminate=True)
        elif how == "shutdown":
            assert worker.quit() == 0
        worker.wait_log(rf"probe\.why\[{how}\]: then {how}$")


def test_children_are_those_that_it_sent_and_those_that_follow(make_worker, headers, app):
    make_worker("-I", headers.compile("probe"))
    sent = app.send_task("probe.send", ("celeriac.echo", [1], {"task_id": "sent"}), link=app.signature("celeriac.echo", task_id="linked"))
    assert sent.get(timeout=30) == "sent"
    assert [child.id for child in sent.children] == ["sent", "linked"]
    assert app.AsyncResult("linked").get(timeout=30) == "sent"


def test_without_results(make_worker, headers, app, broker):
    """What a task says of itself, and what its chain would hear, is kept nowhere."""
    worker = make_worker("-I", headers.compile("probe"), CELERY_RESULT_BACKEND="disabled://")
    app.send_task("probe.state", ("PROGRESS",), task_id="progress")
    worker.wait_log(r"probe\.state\[progress\] succeeded")
    failing = app.signature("celeriac.fail", args=("boo",), task_id="failing", chain=[app.signature("celeriac.echo", task_id="never")])
    failing.apply_async()
    worker.wait_log(r"celeriac\.fail\[failing\] raised unexpected")
    broker.wait_settled()
    assert broker.result_count() == 0 and not worker.log_lines("not all that follows")


def test_early_acknowledgement_and_rejection(make_worker, headers, app, broker, directory):
    """The message is gone by then: it is sent again, under the same id; one without a result leaves nothing."""
    worker, gate = make_worker("-I", f"{headers.compile('probe')},{headers.compile('matrix')}"), directory / "gate"
    result = app.send_task("probe.not_yet", (str(gate),), task_id="again")
    worker.wait_log(r"probe\.not_yet\[again\] reject requeue=True: None", count=3)
    gate.touch()
    assert result.get(timeout=30) == 0, "it counts as a retry"
    app.send_task("matrix.run", ("ignore",), task_id="ignored")
    worker.wait_log(r"matrix\.run\[ignored\] ignored")
    broker.wait_settled()
    assert worker.term() == 0 and not worker.log_lines("is lost|goes back")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_early_acknowledgement_and_results_that_are_refused(make_worker, make_redis, headers, broker, elsewhere):
    """STARTED cannot be stored, nor what it returns: it runs all the same, and all of it is said."""
    results = make_redis().start() if elsewhere else None
    worker = make_worker("-I", headers.compile("matrix"), **({"CELERY_RESULT_BACKEND": results.url()} if elsewhere else {}))
    (results.client() if elsewhere else broker.redis).lpush("celery-task-meta-refused", "not a string")
    broker.push(json.dumps(envelope("matrix.run", ("fine",), task_id="refused")[1]))
    worker.wait_log(r"matrix\.run\[refused\]: STARTED was not stored: .*WRONGTYPE")
    worker.wait_log(r"matrix\.run\[refused\]: the result was not stored: .*WRONGTYPE")
    broker.wait_settled()
    assert worker.term() == 0
    assert len(worker.log_lines(r"matrix\.run\[refused\] succeeded")) == 1


@pytest.mark.parametrize("how", ["retry", "not_yet"])
def test_what_is_too_long_to_be_sent_again(make_worker, headers, broker, directory, how):
    """It came with letters as they are, and is written as Python's json writes them: then it is a failure."""
    make_worker("-I", headers.compile("probe"))
    args = (2,) if how == "retry" else (str(directory / "never"),)
    task_id, message = envelope(f"{'celeriac' if how == 'retry' else 'probe'}.{how}", args, headers={"mine": "\u00e9" * (12 << 20)})
    broker.push(json.dumps(message, ensure_ascii=False).encode())
    meta = broker.meta(task_id, 60)
    assert (meta["status"], meta["result"]["exc_type"], meta["result"]["exc_module"]) == ("FAILURE", "EncodeError", "kombu.exceptions")
    broker.wait_settled()


def test_a_task_that_is_sent_again_sends_the_same(make_worker, headers, app, broker):
    """A run after a crash sends its further tasks under the same ids, a retry others."""
    worker = make_worker("-I", headers.compile("probe"), CELERY_TASK_ANNOTATIONS=json.dumps({"probe.send_and_wait": {"acks_late": True}}))
    sent = app.send_task("probe.send_and_wait", ("python.nobody", "elsewhere"))
    wait_until(lambda: broker.redis.llen("elsewhere") == 1, 30, "nothing was sent")
    worker.restart()
    wait_until(lambda: broker.redis.llen("elsewhere") == 2, 30, "nothing was sent again")
    first, second = (json.loads(raw)["headers"] for raw in broker.redis.lrange("elsewhere", 0, -1))
    assert first["id"] == second["id"]
    assert (first["parent_id"], first["root_id"]) == (sent.id, sent.id)


def test_early_acknowledgement_and_a_crash(make_worker, headers, app, broker):
    """It runs once at most, and what is lost stays visible as STARTED."""
    worker = make_worker("-I", headers.compile("matrix"))
    result = app.send_task("matrix.run", ("sleep_long",))
    wait_until(lambda: result.state == "STARTED", 30, lambda: f"{result.state}, not STARTED")
    assert result.info["hostname"] == f"celery@{result.info['hostname'].split('@')[1]}"
    wait_until(lambda: broker.unacked() == (0, 0), 30, "it is not acknowledged")
    worker.restart()
    assert app.send_task("matrix.run", ("fine",)).get(timeout=30) == "fine"
    assert result.state == "STARTED"
    assert broker.unacked() == (0, 0)


def test_early_acknowledgement_and_an_outage(make_worker, make_redis, headers, instance, directory):
    """Redis away while it runs: result and follow-up come once it is back, each once."""
    server = make_redis(durable=True).start()
    broker = Broker(server.url(), instance)
    app = broker.app()
    worker = make_worker("-I", headers.compile("probe"), broker=broker)
    flag = directory / "go on"
    link = app.signature("celeriac.add", args=(1,), task_id="linked")
    link.link(app.signature("celeriac.echo", queue="counted"))
    result = app.send_task("probe.wait_for", (str(flag),), link=link)
    wait_until(lambda: json.loads(broker.redis.get(f"celery-task-meta-{result.id}") or "{}").get("status") == "STARTED", 30, "not started")
    server.kill()
    flag.touch()
    worker.wait_log("Task probe.wait_for.* succeeded")
    server.start()
    assert broker.meta(result.id)["result"] == 1
    assert broker.meta("linked")["result"] == 2
    wait_until(lambda: broker.redis.llen("counted") == 1, 30, "nothing followed")
    broker.wait_settled()
    assert broker.redis.llen("counted") == 1
    app.close()


def test_early_acknowledgement_with_results_elsewhere(make_worker, headers, redis_server, broker, instance):
    """STARTED, and then the result, go to another database than the acknowledgement."""
    other = Broker(redis_server.new_url(), instance)
    app = celery.Celery(broker=broker.url, backend=asking(other.url), set_as_current=False)
    make_worker("-I", headers.compile("matrix"), CELERY_RESULT_BACKEND=other.url)
    states = []
    result = app.send_task("matrix.run", ("fine",), link=app.signature("matrix.run", args=("linked",), immutable=True, task_id="linked"))
    assert result.get(timeout=30, on_message=lambda meta: states.append(meta["status"])) == "fine"
    assert app.AsyncResult("linked").get(timeout=30) == "linked"
    failed = app.send_task("matrix.run", ("retry_for",), retries=3)
    with pytest.raises(ValueError, match="reason"):
        failed.get(timeout=30)
    broker.wait_settled()
    assert set(states) <= {"STARTED", "SUCCESS"}
    app.close()


def test_early_acknowledgement_and_a_cold_shutdown(make_worker, headers, app, broker):
    """Nobody runs it again, so it is told as a failure; a late one goes back to its queue."""
    worker = make_worker("-I", f"{headers.compile('matrix')},{headers.compile('probe')}", CELERY_TASK_ANNOTATIONS=json.dumps(
        {"probe.send_and_wait": {"acks_late": True}}))
    early = app.send_task("matrix.run", ("sleep_long",))
    late = app.send_task("probe.send_and_wait", ("python.nobody", "elsewhere"))
    wait_until(lambda: broker.redis.llen("elsewhere") == 1 and early.state == "STARTED", 30, "they did not start")
    assert worker.quit() == 0
    assert (early.state, type(early.result).__name__) == ("FAILURE", "WorkerLostError")
    assert late.state == "PENDING"
    assert broker.redis.llen("celery") == 1


def test_what_is_lost_with_its_worker_is_not_run_again(make_worker, headers, app, broker):
    """reject_on_worker_lost false: as Celery's default, a FAILURE; true, ours: run again."""
    annotations = {"matrix.run": {"acks_late": True, "reject_on_worker_lost": False}}
    worker = make_worker("-I", headers.compile("matrix"), CELERY_TASK_ANNOTATIONS=json.dumps(annotations), CELERY_TASK_TRACK_STARTED=1)
    result = app.send_task("matrix.run", ("sleep_long",))
    wait_until(lambda: result.state == "STARTED", 30, "it did not start")
    worker.restart()
    with pytest.raises(Exception) as raised:
        result.get(timeout=60)
    assert type(raised.value).__name__ == "WorkerLostError"
    broker.wait_settled()
    assert not broker.redis.keys("celeriac:begun:*")


def test_start_and_stop(make_worker, headers, broker, directory):
    left = directory / "stopped"
    worker = make_worker("-I", headers.compile("probe"), PROBE_STOPPED=left, CELERIAC_CAGE_PATHS=f"{directory}:rw")
    assert not left.exists()
    assert worker.term() == 0
    assert left.read_text() == "stopped\n"
    module = headers.compile("example", headers.examples / "example.c")
    assert "example.so: EXAMPLE_REFUSES is set" in refusal(broker, module, EXAMPLE_REFUSES=1)


def test_imports_and_include(make_worker, headers, app, broker):
    """All of CELERY_IMPORTS and CELERY_INCLUDE; one that is named twice is loaded once."""
    skeleton = headers.compile("skeleton", headers.examples / "skeleton.c")
    make_worker(CELERY_IMPORTS=f"{skeleton},{headers.compile('matrix')}", CELERY_INCLUDE=f"{headers.compile('probe')},{skeleton}")
    broker.wait_listening()
    registered = next(iter(app.control.inspect(timeout=30, limit=1).registered().values()))
    assert {"skeleton.greet", "matrix.run", "probe.send", "celeriac.echo"} <= {name.split(" ")[0] for name in registered}
    checked = run_program("--check", CELERY_BROKER_URL=broker.url, CELERY_INCLUDE=skeleton, CELERIAC_METRICS="")
    assert re.search(r"^ok +tasks +\d+, 1 module\(s\)$", checked.stdout, re.M)


ONE = 'static const struct task tasks[] = {{.name = "one.task", .run = run}};\n'
WRONG = {
    "other_abi": (ONE + 'const struct task_module celeriac_task_module = {.abi = 99, .size = sizeof(struct task_module), .task_size = '
                  'sizeof(struct task), .name = "x", .tasks = tasks, .task_count = 1};', r"made for module ABI 99, this worker's is 1"),
    "other_size": (ONE + 'const struct task_module celeriac_task_module = {.abi = 1, .size = sizeof(struct task_module), .task_size = '
                   'sizeof(struct task) - 8, .name = "x", .tasks = tasks, .task_count = 1};', r"its structures have"),
    "no_symbol": (ONE + "int unused(void) { return tasks[0].run == 0; }", r"it has no symbol celeriac_task_module"),
    "no_name": (ONE + "TASK_MODULE(.tasks = tasks, .task_count = 1);", r"it has no name"),
    "no_tasks": ('TASK_MODULE(.name = "x", .start = 0); int (*unused)(struct task_ctx *, json_t *const *, json_t **, struct err *) = run;',
                 r"it has no table of 1 to \d+ tasks"),
    "private_flags": ('static const struct task tasks[] = {{.name = "a.b", .run = run, .flags = TASK_STORED}};\n'
                      'TASK_MODULE(.name = "x", .tasks = tasks, .task_count = 1);', r"task a\.b: a module's tasks have no row"),
    "taken_name": ('static const struct task tasks[] = {{.name = "celeriac.echo", .run = run}};\n'
                   'TASK_MODULE(.name = "x", .tasks = tasks, .task_count = 1);', r"task celeriac\.echo is there already, from celeriac-worker"),
    "unknown_symbol": ('int worker_secret(void);\nint call(void) { return worker_secret(); }\n' + ONE +
                       'TASK_MODULE(.name = "x", .tasks = tasks, .task_count = 1);', r"undefined symbol: worker_secret"),
    "not_exported": ('int broker_ready(const void *);\nint call(void) { return broker_ready(0); }\n' + ONE +
                     'TASK_MODULE(.name = "x", .tasks = tasks, .task_count = 1);', r"undefined symbol: broker_ready"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused(headers, broker, name):
    text, reason = WRONG[name]
    said = refusal(broker, headers.write(name, HEAD + text))
    assert re.search(rf"module .*{name}\.so: .*{reason}|module: .*{name}\.so: {reason}", said), said


def test_refused_files(headers, broker, directory):
    writable = directory / "writable.so"
    shutil.copy(headers.compile("matrix"), writable)
    writable.chmod(0o666)
    text = directory / "text.so"
    text.write_text("no shared object")
    for path, reason in [("app.tasks", "is no path of a shared object"), (directory / "absent.so", "cannot be read"), (directory, "is not a file"),
                         (writable, "may be written by everybody"), (text, "text.so")]:
        assert f"module {path}: " in refusal(broker, path) and reason in refusal(broker, path)


def test_exports():
    """The worker exports what modules may call, and nothing else of its own."""
    listed = subprocess.run(["nm", "-D", "--defined-only", PROGRAM], capture_output=True, text=True, check=True).stdout
    ours = {line.split()[2] for line in listed.splitlines() if line.split()[1] == "T"}
    assert {"task_send", "task_update_state", "err_set"} <= ours
    assert all(name.startswith(("task_", "err_")) or name == "bug_at" for name in ours), ours
