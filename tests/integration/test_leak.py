"""A worker under address and undefined-behaviour sanitizers: ten thousand tasks, and not a byte is left behind."""

import json
import os
import re
import subprocess

import pytest

from clients import envelope
from services import ROOT, wait_until

pytestmark = pytest.mark.timeout(900)  # the program is built, too
MODE = "address,undefined"
PROGRAM = ROOT / "build/address-undefined/celeriac-worker"
REPORT = r"AddressSanitizer|LeakSanitizer|runtime error|UndefinedBehaviorSanitizer"


@pytest.fixture(scope="module")
def sanitized():
    built = subprocess.run(
        ["make", "--no-print-directory", "-j2", f"SANITIZE={MODE}", str(PROGRAM.relative_to(ROOT))], cwd=ROOT,
        capture_output=True, text=True, env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return PROGRAM


@pytest.fixture
def make_sanitized(sanitized, make_worker):
    def make(*args, **settings):
        # the search for leaks at the end is a process of its own that looks into this one
        return make_worker(*args, program=sanitized, ASAN_OPTIONS="detect_leaks=1:exitcode=99:abort_on_error=0",
                           UBSAN_OPTIONS="print_stacktrace=1:exitcode=98", CELERIAC_CAGE="off", **settings)
    return make


def clean(worker, status):
    found = re.search(REPORT, worker.log())
    assert found is None, worker.log()[max(0, found.start() - 500):][:8000]
    assert status == 0
    assert worker.log_lines("Warm shutdown|Cold shutdown")


def test_the_sanitizers_would_tell(sanitized):
    symbols = subprocess.run(["nm", "-D", sanitized], capture_output=True, text=True, check=True).stdout
    assert "__asan_init" in symbols and "__ubsan_handle" in symbols


def test_ten_thousand_tasks_leave_nothing(make_sanitized, broker):
    worker = make_sanitized("-c", "4", CELERY_TASK_TRACK_STARTED="1", CELERY_RESULT_EXTENDED="1")
    values = ["text", [1, 2.5, None, {"a": "ü"}], 2**80, "x" * 3000, {"nan": float("nan")}]
    for _ in range(10):
        with broker.redis.pipeline(transaction=False) as pipeline:
            for n in range(1000):
                pipeline.lpush("celery", json.dumps(envelope(args=[values[n % len(values)]])[1]))
            pipeline.execute()
    wait_until(lambda: worker.metric("tasks_succeeded_total") == 10_000, 200, "not all ran")
    broker.wait_settled()
    clean(worker, worker.term())


def test_everything_that_goes_wrong_leaves_nothing(make_sanitized, broker, make_redis):
    """Bad messages, wrong arguments, unknown names, expiry, countdowns, failures, cancelled sleeps; Redis away in between."""
    from test_bad_messages import DEAD

    worker = make_sanitized("-c", "2", "-l", "DEBUG")
    for message, _ in DEAD.values():
        broker.push(message)
    for n in range(200):
        broker.send("celeriac.add", n)
        broker.send("celeriac.add", n, "text")
        broker.send("celeriac.fail", "x" * n)
        broker.send("nobody.knows", n)
        broker.send("celeriac.xsum", list(range(n)))
        broker.push(json.dumps(envelope(args=[n], headers={"expires": "2020-01-01T00:00:00+00:00"})[1]))
        broker.push(json.dumps(envelope(args=[n], headers={"eta": "2020-01-01T00:00:00+00:00"})[1]))
    broker.wait_settled(60)
    assert broker.redis.llen("celeriac:dead") == len(DEAD)
    for _ in range(20):
        broker.send("celeriac.sleep", 600)
        broker.push(json.dumps(envelope(args=[1], headers={"eta": "2099-01-01T00:00:00+00:00"})[1]))
    wait_until(lambda: worker.metric("tasks_active") == 2, 30, "it was not busy")
    broker.redis.client_kill_filter(_type="normal", skipme=True)
    worker.wait_log("celeriac-broker: connected again")  # a consumer without room need not have noticed
    wait_until(lambda: worker.http("/readyz")[0] == 200, 30, "it did not come back")
    clean(worker, worker.quit())


@pytest.mark.docker
def test_running_code_leaves_nothing(make_sanitized, postgres, app):
    worker = make_sanitized("-c", "4", DATABASE_URL=postgres.url())
    codes = ["print('x' * 3_000_000)", "1 / 0", "def", "open('/sandbox/output/f.bin', 'wb').write(bytes(100000))",
             "import sys; sys.exit(3)"]
    results = [
        app.send_task("sandbox.execute_code", kwargs={"conversation_id": f"leak-{worker.port}-{n % 3}", "code": codes[n % 5]})
        for n in range(15)
    ]
    results.append(app.send_task("sandbox.execute_code", kwargs={
        "conversation_id": f"leak-{worker.port}-t", "code": "import time; time.sleep(60)", "timeout": 1}))
    results.append(app.send_task("sandbox.execute_code", kwargs={"conversation_id": "", "code": 7}))
    results.append(app.send_task("sandbox.cleanup"))
    for n in range(3):
        results.append(app.send_task("sandbox.reset_output", kwargs={"conversation_id": f"leak-{worker.port}-{n}"}))
    for result in results:
        result.get(timeout=120, propagate=False)
    for n in range(3):
        app.send_task("sandbox.close", kwargs={"conversation_id": f"leak-{worker.port}-{n}"}).get(timeout=60)
    clean(worker, worker.term())
