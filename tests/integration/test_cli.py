"""The command line of celeriac-worker, as an operator types it."""

import os
import re
import subprocess

import pytest

from services import ROOT, free_port, wait_until
from worker import PROGRAM, run_program

SECRET = "hunter2"


def test_help_and_version():
    done = run_program("--help")
    assert done.returncode == 0 and done.stderr == ""
    for option in ("-A", "-Q", "-c", "-n", "-l", "-E", "-P", "-b", "--result-backend", "--prefetch-multiplier", "--pidfile",
                   "--without-gossip", "--check", "--settings", "--migrate", "--version"):
        assert option in done.stdout
    assert run_program("-h").stdout == done.stdout
    version = run_program("--version")
    assert version.returncode == 0 and version.stdout.startswith("celeriac-worker ")


def test_settings_are_listed_with_their_source_and_without_secrets():
    done = run_program(
        "-c", "7", "--settings",
        CELERY_BROKER_URL=f"redis://user:{SECRET}@127.0.0.1:6399/3",
        CELERY_RESULT_BACKEND=f"redis://:{SECRET}@127.0.0.1:6399/4",
        DATABASE_URL=f"postgresql+psycopg2://worker:{SECRET}@db/celeriac?sslpassword={SECRET}",
        CELERIAC_OWNER_DATABASE_URL=f"postgresql://db/celeriac?user=owner&password={SECRET}",
        SANDBOX_MEMORY="1 GiB", SANDBOX_IDLE_TIMEOUT="15m",
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    rows = {line.split(" = ")[0].strip(): line for line in done.stdout.splitlines() if " = " in line}
    assert "127.0.0.1:6399/3" in rows["CELERY_BROKER_URL"] and "# CELERY_BROKER_URL" in rows["CELERY_BROKER_URL"]
    assert " 7 " in rows["CELERY_WORKER_CONCURRENCY"] and "--concurrency" in rows["CELERY_WORKER_CONCURRENCY"]
    assert "900s" in rows["SANDBOX_IDLE_TIMEOUT"]
    assert "default" in rows["SANDBOX_PIDS"]
    assert {"DATABASE_URL", "DOCKER_HOST", "CELERIAC_INSTANCE", "CELERIAC_METRICS"} <= set(rows)


@pytest.mark.parametrize("args", [["--nonsense"], ["-Z"], ["stray"], ["-c"], ["--settings=yes"], ["--concurency", "3"]])
def test_options_that_do_not_exist(args):
    done = run_program(*args, CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert args[0].split("=")[0].lstrip("-")[:1] in done.stderr and done.stderr.startswith("celeriac-worker: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "name, value",
    [
        ("CELERY_WORKER_CONCURRENCY", "many"), ("CELERY_WORKER_CONCURRENCY", "-1"), ("CELERY_WORKER_CONCURRENCY", "1e99"),
        ("CELERY_TASK_TRACK_STARTED", "perhaps"), ("CELERY_RESULT_EXPIRES", "a while"), ("SANDBOX_MEMORY", "12 bananas"),
        ("SANDBOX_MEMORY", "1"), ("SANDBOX_CPUS", "nan"), ("SANDBOX_IDLE_TIMEOUT", "0"), ("SANDBOX_NETWORK", ""),
        ("SANDBOX_IMAGE", ""), ("CELERY_BROKER_TRANSPORT_OPTIONS", "[1]"), ("CELERY_BROKER_TRANSPORT_OPTIONS", "{"),
        ("CELERIAC_LOG_FORMAT", "xml"), ("CELERIAC_INSTANCE", "a b\nc"), ("SANDBOX_PIDS", "17 "),
    ],
)
def test_wrong_values_are_named(name, value):
    done = run_program("--settings", CELERY_BROKER_URL=f"redis://:{SECRET}@127.0.0.1:1/0", **{name: value})
    if value == "17 ":  # forgiven
        assert done.returncode == 0
        return
    assert done.returncode == 1
    assert name in done.stderr and SECRET not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    [f"amqp://guest:{SECRET}@127.0.0.1:port//", f"amqps://guest:{SECRET}@127.0.0.1//?ssl_cert_reqs=sometimes", f"sqs://{SECRET}@",
     f"redis://:{SECRET}@127.0.0.1:port/0", f"http://u:{SECRET}@h/", f"redis://:{SECRET}@127.0.0.1:1/zero", f"rediss://:{SECRET}@127.0.0.1:1/0?ssl_cert_reqs=sometimes"],
)
def test_brokers_that_cannot_be(url):
    done = run_program(CELERY_BROKER_URL=url, CELERIAC_METRICS="")
    assert done.returncode == 1
    assert SECRET not in done.stderr + done.stdout
    assert done.stderr.strip()


def test_no_broker_at_all():
    done = run_program(CELERIAC_METRICS="")
    assert done.returncode == 1 and "CELERY_BROKER_URL" in done.stderr


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:80000", "localhost:9808"])
def test_an_address_for_metrics_that_cannot_be(address, broker):
    for args in (["--check"], []):
        done = run_program(*args, CELERY_BROKER_URL=broker.url, CELERIAC_METRICS=address)
        assert done.returncode == 1 and f"CELERIAC_METRICS: '{address}'" in done.stdout + done.stderr


def test_an_address_for_metrics_that_another_has(worker, broker):
    taken = f"127.0.0.1:{worker.port}"
    done = run_program(CELERY_BROKER_URL=broker.url, CELERIAC_METRICS=taken)
    assert done.returncode == 1 and f"{taken}: the address is in use" in done.stderr


def test_a_check_without_a_broker_names_the_setting():
    done = run_program("--check")
    assert done.returncode == 1 and "CELERY_BROKER_URL is not set" in done.stdout and "not tried" in done.stdout


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("CELERY_TASK_QUEUES", "[1", "CELERY_TASK_QUEUES: JSON"), ("CELERY_TASK_QUEUES", "[{}]", "a queue has no name"),
        ("CELERY_WORKER_EXCLUDE_QUEUES", "celery", "every queue is excluded"),
        ("CELERY_WORKER_QUEUES", "im\npossible", "queue im\\x0apossible: its name holds a control character"),
        ("CELERY_TASK_DEFAULT_EXCHANGE", "im\npossible", "queue celery: its exchange holds a control character"),
        ("CELERY_ACCEPT_CONTENT", "json,yml", "CELERY_ACCEPT_CONTENT: yml"), ("CELERY_ACCEPT_CONTENT", "pickle", "names nothing"),
        ("CELERY_RESULT_ACCEPT_CONTENT", "xml", "CELERY_RESULT_ACCEPT_CONTENT: xml"),
        ("CELERY_RESULT_SERIALIZER", "pickle", "result_serializer: pickle"), ("CELERY_RESULT_COMPRESSION", "rar", "result_compression: rar"),
        ("CELERY_WORKER_AUTOSCALE", "2,3", "autoscale: \"2,3\""), ("CELERY_TASK_ANNOTATIONS", '{"*": 1}', "CELERY_TASK_ANNOTATIONS"),
        ("CELERIAC_TASK_ALIASES", "a=b", "CELERIAC_TASK_ALIASES"), ("CELERIAC_POLICY", "/no/such/file", "/no/such/file"),
        ("CELERY_RESULT_BACKEND", "cache+memory://", "cache+memory"),
    ],
)
def test_a_check_fails_where_the_worker_would_not_run(broker, name, value, said):
    settings = {"CELERY_BROKER_URL": broker.url, "CELERIAC_METRICS": "", "DOCKER_HOST": "unix:///no/such/socket", name: value}
    if name == "CELERIAC_POLICY":
        settings["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing"
    checked = run_program("--check", **settings)
    assert checked.returncode == 1
    assert any(line.startswith("FAIL") and said in line for line in checked.stdout.splitlines()), checked.stdout
    started = run_program(**settings)
    assert started.returncode == 1 and said in started.stderr


def test_content_that_is_refused_is_said(make_worker, broker):
    settings = {"CELERY_ACCEPT_CONTENT": "json,pickle", "DOCKER_HOST": "unix:///no/such/socket"}
    said = "CELERY_ACCEPT_CONTENT: pickle is refused"
    assert said in run_program("--check", CELERY_BROKER_URL=broker.url, **settings).stdout
    make_worker(**settings).wait_log(said)


def test_celerys_own_command_line_is_understood(make_worker, app):
    worker = make_worker(
        "-A", "proj.app", "worker", "-c2", "-P", "prefork", "-E", "-Ofair", "--without-gossip", "--without-mingle",
        "--without-heartbeat", "--hostname=w1@%h", "-Q", "celery,more", "--prefetch-multiplier=2",
    )
    log = worker.log()
    assert "--app is accepted and ignored" in log and "w1@" in log
    assert app.send_task("celeriac.echo", (1,), queue="more").get(timeout=60) == 1


def test_a_pidfile_lives_as_long_as_the_worker(make_worker, directory):
    path = directory / "worker.pid"
    worker = make_worker("--pidfile", path)
    assert int(path.read_text()) == worker.process.pid
    second = make_worker("--pidfile", path, start=False).spawn()
    assert second.wait_end() == 1 and str(path) in second.log()
    assert int(path.read_text()) == worker.process.pid, "the second took the first one's file away"
    assert worker.term() == 0
    assert not path.exists()
    path.write_text(f"{second.process.pid}\n")  # of a process that is gone
    worker.start()
    assert int(path.read_text()) == worker.process.pid


def test_a_logfile_and_its_level(make_worker, app, directory):
    path = directory / "own.log"
    worker = make_worker("-f", path, "-l", "warning")
    app.send_task("celeriac.echo", (1,)).get(timeout=60)
    app.send_task("celeriac.fail", ("loud",)).get(timeout=60, propagate=False)
    wait_until(lambda: "loud" in path.read_text(), 20, "nothing was logged")
    assert "received" not in path.read_text() and worker.log() == ""


def test_a_port_in_use_is_named(make_worker, broker):
    first = make_worker()
    second = make_worker(start=False, CELERIAC_METRICS=f"127.0.0.1:{first.port}").spawn()
    assert second.wait_end() == 1
    assert f"127.0.0.1:{first.port}" in second.log()
    assert not broker.redis.keys(f"celeriac:*:node:{second.node}"), "its lease stays until it expires"


def test_migrating_twice_and_without_rights(postgres):
    again = run_program("--migrate", CELERIAC_OWNER_DATABASE_URL=postgres.url("owner"))
    assert again.returncode == 0 and again.stdout.startswith("0 ")
    refused = run_program("--migrate")
    assert refused.returncode == 1 and "CELERIAC_OWNER_DATABASE_URL" in refused.stderr
    away = run_program("--migrate", CELERIAC_OWNER_DATABASE_URL=f"postgresql://owner:{SECRET}@127.0.0.1:{free_port()}/celeriac")
    assert away.returncode == 1 and SECRET not in away.stderr


def test_metrics_and_health(worker, app):
    app.send_task("celeriac.echo", (1,)).get(timeout=60)
    assert worker.http("/healthz") == (200, "ok\n")
    status, text = worker.http("/metrics")
    assert status == 200
    names = {re.sub("(_seconds)_(bucket|sum|count)$", r"\1", re.split("[ {]", line)[0]) for line in text.splitlines() if line[:1] != "#"}
    assert all(text.count(f"# HELP {name} ") == text.count(f"# TYPE {name} ") == 1 for name in names)
    assert "\nceleriac_ready 1\n" in text and '\nceleriac_tasks_total{name="celeriac.echo",state="SUCCESS"} ' in text
    assert re.search(r'\nceleriac_task_runtime_seconds_bucket{name="celeriac.echo",le="\+Inf"} [1-9]', text)
    assert worker.http("/nothing")[0] == 404


def test_whether_it_is_ready(worker):
    there = run_program("--ready", CELERIAC_METRICS=f"0.0.0.0:{worker.port}")
    assert there.returncode == 0 and "broker up\n" in there.stdout and there.stderr == ""
    port = free_port()
    nobody = run_program("--ready", CELERIAC_METRICS=f"127.0.0.1:{port}")
    assert nobody.returncode == 1 and nobody.stderr.startswith(f"celeriac-worker: http://127.0.0.1:{port}: ")
    assert run_program("--ready", CELERIAC_METRICS="").returncode == 1


def test_secrets_are_in_no_process_title(make_worker):
    worker = make_worker(DATABASE_URL=None, CELERIAC_OWNER_DATABASE_URL=None)
    title = subprocess.run(["ps", "-o", "args=", "-p", str(worker.process.pid)], capture_output=True, text=True).stdout
    assert "redis://" not in title and os.path.basename(worker.program) in title


@pytest.mark.parametrize("aliases", ["nothing", "app.run=no.such.task", "=celeriac.echo", "app.a=celeriac.echo,app.b="])
def test_aliases_that_lead_nowhere(aliases):
    done = run_program(CELERY_BROKER_URL="redis://127.0.0.1:1/0", CELERIAC_TASK_ALIASES=aliases)
    assert done.returncode == 1
    assert "CELERIAC_TASK_ALIASES" in done.stderr


@pytest.mark.parametrize("typed, wanted", [(["--im"], {"--import-openapi", "--import-openapi-apply"}), (["-l", "W"], {"WARNING"}), (["--rea"], {"--ready"})])
def test_completion(typed, wanted):
    """As bash asks for it, with the program's own list of options."""
    script = 'source "$1"; COMP_WORDS=("${@:2}"); COMP_CWORD=$(($# - 2)); _celeriac "$2"; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script, "bash", ROOT / "deploy/completion/celeriac.bash", PROGRAM, *typed],
                          capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == wanted
