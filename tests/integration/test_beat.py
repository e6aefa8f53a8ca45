"""celeriac-beat beside Python's: its messages, its memory, outages, its command line."""

import datetime
import json
import os
import pathlib
import re
import signal
import time
import urllib.error
import urllib.request

import pytest
import redis

from clients import HERE, PYTHONS
from patience import clock_ahead
from services import ROOT, Service, free_port, launch, patience, wait_until
from worker import program_env, run_program

PROGRAM = pathlib.Path(os.environ.get("CELERIAC_TEST_BEAT", ROOT / "build/celeriac-beat"))
SENDING = "Scheduler: Sending due task sandbox.cleanup (sandbox.cleanup)"


def run_beat(*args, **settings):
    return run_program(*args, program=PROGRAM, **settings)


class Beat(Service):
    ends_on = signal.SIGTERM

    def __init__(self, directory, url, instance, args=(), **settings):
        self.log_path = directory / f"beat-{free_port()}.log"
        self.args = args
        self.settings = {
            "CELERY_BROKER_URL": url, "CELERIAC_INSTANCE": instance, "SANDBOX_CLEANUP_INTERVAL": "1", **settings,
        }

    def __str__(self):
        return f"beat {self.log_path.name}"

    def start(self):
        self.process = launch([PROGRAM, "-l", "DEBUG", *self.args], self.log_path, env=program_env(**self.settings))
        return self

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, text, count=1, seconds=30):
        wait_until(lambda: self.log().count(text) >= count, seconds, lambda: f"{count} x {text!r} not in:\n{self.log()}")
        return self

    def wait_role(self):
        """Until it leads or stands by."""
        wait_until(lambda: "beat: Leading" in self.log() or "beat: Standing by" in self.log(), 30, self.log)
        return self

    def term(self):
        """The exit status and the seconds it took."""
        began = time.monotonic()
        status = self.end(signal.SIGTERM, 60)
        return status, time.monotonic() - began


def kill_leader(beats, state):
    """Kills the one of two beats that leads; the id of the last message that is written down (`state` reads the entry's) before the other
    goes on."""
    leads, other = sorted(beats, key=lambda beat: "beat: Leading" not in beat.log())
    other.process.send_signal(signal.SIGSTOP)
    leads.end(signal.SIGKILL)
    written = json.loads(state())["task_id"]
    other.process.send_signal(signal.SIGCONT)
    return written


def sent_once(ids, written):
    """Of messages in their order: where they go to another server than what is written of them, a beat that was killed may have sent
    the one behind `written`, which is sent again. No other is."""
    again = {one for one in ids if ids.count(one) > 1}
    assert len(ids) - len(set(ids)) <= 1 and again <= set(ids[ids.index(written) + 1:][:1])


class PythonProgram(Service):
    """`celery worker` or `celery beat` on beat_app.py."""

    def __init__(self, which, url, directory, *args):
        self.which = which
        self.args = args
        self.directory = directory
        self.log_path = directory / f"python-{args[0]}-{free_port()}.log"
        self.env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TEST_REDIS_URL": url, "TEST_ROLE": args[0]}

    def __str__(self):
        return f"Python {self.args[0]}"

    def start(self):
        self.process = launch(
            [PYTHONS[self.which], "-s", "-m", "celery", "-A", "beat_app", *self.args], self.log_path, env=self.env, cwd=HERE
        )
        return self

    def log(self):
        return self.log_path.read_text(errors="replace")


@pytest.fixture
def make_beat(broker, instance, directory, ended):
    def make(*args, url=None, start=True, **settings):
        made = Beat(directory, url or broker.url, instance, args, **settings)
        ended.append(made)
        return made.start() if start else made

    return make


def state(broker):
    raw = broker.redis.hget(f"celeriac:{broker.instance}:beat", "sandbox.cleanup")
    return json.loads(raw) if raw else None


@pytest.mark.parametrize("which", PYTHONS)
def test_a_python_worker_runs_what_beat_sends(which, broker, directory, ended, make_beat):
    worker = PythonProgram(which, broker.url, directory, "worker", "-l", "INFO", "-c", "1", "-n", f"w@{which}")
    ended.append(worker)
    worker.start()
    beat = make_beat()
    wait_until(lambda: broker.redis.llen("noted") >= 2, 60, lambda: worker.log() + beat.log())
    first, second = (json.loads(raw) for raw in broker.redis.lrange("noted", 0, 1))
    assert first["id"] == first["root_id"] != second["id"]
    assert (first["args"], first["kwargs"], first["retries"], first["routing_key"]) == ([], {}, 0, "celery")
    assert first["parent_id"] is first["eta"] is first["expires"] is None
    assert first["origin"].startswith(f"gen{beat.process.pid}@")
    assert first["reply_to"] == second["reply_to"] and len(first["reply_to"]) == 36
    assert broker.meta(first["id"])["result"] == "cleaned"
    assert beat.term()[0] == 0
    assert beat.log().count(SENDING) == state(broker)["total_run_count"] >= 2
    assert "beat: Starting..." in beat.log() and "beat: Shutting down..." in beat.log()
    assert f"sandbox.cleanup sent. id->{first['id']}" in beat.log()


def levelled(raw):
    """A message without what differs from one to the next; the order of its members stays."""
    message = json.loads(raw)
    head, props = message["headers"], message["properties"]
    assert head["id"] == head["root_id"] == props["correlation_id"]
    for part, names in ((head, ("id", "root_id", "origin")), (props, ("correlation_id", "reply_to", "delivery_tag"))):
        for name in names:
            assert isinstance(part[name], str)
            part[name] = "-"
    return json.dumps(message)


def test_its_messages_are_those_of_pythons_beat(broker, directory, redis_server, ended, make_beat):
    other = redis_server.new_url()
    python = PythonProgram("newest", other, directory, "beat", "-l", "INFO", "-s", str(directory / "schedule"))
    ended.append(python)
    python.start()
    make_beat()
    client = type(broker)(other, "other").redis
    wait_until(lambda: client.llen("celery") and broker.redis.llen("celery"), 60, lambda: python.log())
    assert levelled(broker.redis.lindex("celery", 0)) == levelled(client.lindex("celery", 0))
    # and so are its sentences
    assert "beat: Starting..." in python.log() and SENDING in python.log()


def test_a_restarted_beat_neither_sends_at_once_nor_forgets(broker, make_beat):
    beat = make_beat(SANDBOX_CLEANUP_INTERVAL="600").wait_log("Waking up")
    began = state(broker)
    assert began["total_run_count"] == 0
    for _ in range(3):
        assert beat.term()[0] == 0
        beat = make_beat(SANDBOX_CLEANUP_INTERVAL="600").wait_log("Waking up")
    assert broker.redis.llen("celery") == 0 and state(broker) == began


def test_the_slot_is_the_one_that_an_earlier_beat_began(broker, make_beat):
    ahead = clock_ahead()
    beat = make_beat(SANDBOX_CLEANUP_INTERVAL="4").wait_log("Waking up")
    began = state(broker)
    beat.kill()
    beat = make_beat(SANDBOX_CLEANUP_INTERVAL="4").wait_log(SENDING)
    assert 4 <= seconds_between(began, state(broker)) < patience(8) + clock_ahead() - ahead
    # what was missed while nobody was there, for a minute, is sent once
    beat.kill()
    broker.wait_forgotten()
    before = state(broker)
    last = datetime.datetime.fromisoformat(before["last_run_at"]) - datetime.timedelta(seconds=60)
    broker.redis.hset(f"celeriac:{broker.instance}:beat", "sandbox.cleanup", json.dumps({**before, "last_run_at": last.isoformat()}))
    back = time.monotonic()
    beat = make_beat(SANDBOX_CLEANUP_INTERVAL="4").wait_log(SENDING).wait_log("Waking up")
    time.sleep(0.5)
    assert beat.term()[0] == 0
    sent, since = beat.log().count(SENDING), time.monotonic() - back
    assert sent <= 1 + since / 4, "more than one for the slots that were missed"
    assert broker.redis.llen("celery") == state(broker)["total_run_count"] == before["total_run_count"] + sent


def seconds_between(earlier, later):
    first, second = (datetime.datetime.fromisoformat(each["last_run_at"]) for each in (earlier, later))
    return (second - first).total_seconds()


def test_two_beats_send_each_slot_once(broker, make_beat):
    beats = [make_beat(), make_beat()]
    wait_until(lambda: (state(broker) or {}).get("total_run_count", 0) >= 5)
    assert [beat.term()[0] for beat in beats] == [0, 0]
    sent = sum(beat.log().count(SENDING) for beat in beats)
    assert broker.redis.llen("celery") == state(broker)["total_run_count"] == sent
    ids = [json.loads(raw)["headers"]["id"] for raw in broker.redis.lrange("celery", 0, -1)]
    assert len(set(ids)) == len(ids)


def test_redis_away_at_the_start_and_in_the_middle(make_redis, make_beat):
    server = make_redis(durable=True)
    beat = make_beat(url=server.url()).wait_log("trying again")
    time.sleep(2)  # it tries again, and does not say so each time
    assert beat.alive()
    assert beat.log().count("trying again") == 1
    server.start()
    beat.wait_log(SENDING)
    server.kill()
    beat.wait_log("trying again", 2)
    time.sleep(2)
    before = beat.log().count(SENDING)
    server.start()
    beat.wait_log(SENDING, before + 1)
    status, took = beat.term()
    assert status == 0
    assert beat.log().count("trying again") == 2, "one line for an outage"
    client = redis.Redis.from_url(server.url())
    queued = client.llen("celery")
    counted = json.loads(client.hget(f"celeriac:{beat.settings['CELERIAC_INSTANCE']}:beat", "sandbox.cleanup"))
    # no slot was lost, none was sent twice
    assert queued == counted["total_run_count"] == beat.log().count(SENDING)


@pytest.mark.parametrize("trouble", ["none", "away", "frozen"])
def test_sigterm_ends_it_within_a_second(trouble, make_redis, make_beat):
    server = make_redis()
    if trouble != "away":
        server.start()

    def in_time():
        beat = make_beat(url=server.url())
        beat.wait_log("trying again" if trouble == "away" else SENDING)
        if trouble == "frozen":
            server.process.send_signal(signal.SIGSTOP)
            time.sleep(1.5)
        status, took = beat.term()
        if trouble == "frozen":
            os.kill(server.process.pid, signal.SIGCONT)
        assert status == 0
        return took < patience(1)

    # of a machine where it has to wait for a core, not every time
    assert any(in_time() for _ in range(3)), "it takes longer"


def test_pidfile(make_beat, directory):
    path = directory / "beat.pid"
    beat = make_beat("--pidfile", str(path)).wait_log("Waking up")
    assert int(path.read_text()) == beat.process.pid
    again = run_beat("--pidfile", str(path), **beat.settings)
    assert again.returncode == 1 and str(beat.process.pid) in again.stderr
    assert beat.term()[0] == 0 and not path.exists()


def test_command_line_of_celery_beat(make_beat, directory):
    log = directory / "said.log"
    beat = make_beat("-A", "app", "beat", "-s", "x.db", "-S", "django", "--max-interval=5", "-C", "-f", str(log), "-n", "b@%h",
                     "--enable-remote-control", "--skip-checks", "--executable", "python3")
    wait_until(lambda: log.exists() and SENDING in log.read_text())
    assert "Ticking with max interval->5.00 seconds" in log.read_text()
    assert beat.term()[0] == 0
    noted = beat.log()
    for name in ("--app", "--schedule", "--scheduler", "--hostname", "--enable-remote-control", "--executable"):
        assert f"celeriac-beat: {name} is accepted and ignored" in noted
    assert "maxinterval -> 5.00 seconds" in noted
    quiet = make_beat("-q").wait_log(SENDING)
    assert "Configuration" not in quiet.log()


def test_help_version_and_settings():
    done = run_beat("--help")
    assert done.returncode == 0 and done.stderr == ""
    for option in ("-A", "-b", "-s", "-S", "-l", "-f", "-C", "-q", "--max-interval", "--pidfile", "--check", "--settings", "--version"):
        assert option in done.stdout
    assert run_beat("--version").stdout.startswith("celeriac-beat ")
    done = run_beat("--max-interval", "7", "--settings", CELERY_BROKER_URL="redis://:hunter2@127.0.0.1:1/0")
    assert done.returncode == 0 and "hunter2" not in done.stdout and "--max-interval" in done.stdout


@pytest.mark.parametrize("args", [["--nonsense"], ["-Z"], ["stray"], ["--max-interval"], ["--max-interval", "soon"], ["--uid", "no-such-user"],
                                  ["--settings=yes"], ["-l", "LOUD"]])
def test_options_that_make_no_sense(args):
    done = run_beat(*args, CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("celeriac-beat: ") and len(done.stderr.splitlines()) == 1


def test_in_the_background(broker, directory):
    log, pidfile = directory / "beat.log", directory / "beat.pid"
    done = run_beat("--detach", "-l", "DEBUG", "-f", str(log), "--pidfile", str(pidfile), CELERY_BROKER_URL=broker.url,
                    CELERIAC_INSTANCE=broker.instance, SANDBOX_CLEANUP_INTERVAL="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int(pidfile.read_text())
    try:
        wait_until(lambda: SENDING in log.read_text(), 30, lambda: log.read_text())
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not pidfile.exists(), 30, lambda: log.read_text())


def page(beat, path):
    """(status, text); status 0 if nothing answers."""
    try:
        with urllib.request.urlopen(f"http://{beat.settings['CELERIAC_BEAT_METRICS']}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_pages(broker, make_beat, make_redis):
    address = lambda: f"127.0.0.1:{free_port()}"
    leader = make_beat(CELERIAC_BEAT_METRICS=address()).wait_log(SENDING, 2)
    standby = make_beat(CELERIAC_BEAT_METRICS=address()).wait_log("beat: Standing by")
    who = f"leader process {leader.process.pid} on "
    for beat, role in ((leader, "leader"), (standby, "standby")):
        wait_until(lambda: page(beat, "/readyz")[0] == 200, 30, lambda: page(beat, "/readyz"))
        text = page(beat, "/readyz")[1]
        assert f"broker up\nrole {role}\n{who}" in text and "database none\n" in text
        done = run_beat("--ready", **beat.settings)
        assert done.returncode == 0 and done.stdout == text
        metrics = page(beat, "/metrics")[1]
        assert f"celeriac_beat_leader {int(beat is leader)}\n" in metrics and "celeriac_beat_entries 1\n" in metrics
    sent = int(re.search(r"celeriac_beat_late_seconds_count (\d+)\n", page(leader, "/metrics")[1])[1])
    assert 2 <= sent <= state(broker)["total_run_count"] and "late_seconds_count" not in metrics
    away = make_beat(url=make_redis().url(), CELERIAC_BEAT_METRICS=address())
    wait_until(lambda: page(away, "/readyz")[1].startswith("broker away\nrole none yet\nleader not known\n"), 30, lambda: page(away, "/readyz"))
    status, text = page(away, "/readyz")
    assert status == 503 and page(away, "/healthz")[0] == 200
    done = run_beat("--ready", **away.settings)
    assert done.returncode == 1 and done.stdout == text
    done = run_beat("--ready", CELERIAC_BEAT_METRICS="")
    assert done.returncode == 1 and "CELERIAC_BEAT_METRICS" in done.stderr
    done = run_beat("--check", CELERY_BROKER_URL=broker.url, CELERIAC_BEAT_METRICS="localhost")
    assert done.returncode == 1 and "CELERIAC_BEAT_METRICS: 'localhost' is not address:port" in done.stdout


def test_check(broker, make_beat, postgres):
    done = run_beat("--check", CELERY_BROKER_URL=broker.url, CELERIAC_INSTANCE=broker.instance)
    assert done.returncode == 0 and "ready" in done.stdout and "sandbox.cleanup" in done.stdout
    assert re.search("ok +leader +nobody\n", done.stdout)
    leader = make_beat().wait_log("beat: Leading")
    done = run_beat("--check", CELERY_BROKER_URL=broker.url, CELERIAC_INSTANCE=broker.instance, DATABASE_URL=postgres.url("beat"))
    assert done.returncode == 0, done.stdout
    assert re.search(rf"ok +leader +process {leader.process.pid} on \S+, for [0-3]\.\d s more unless it renews\n", done.stdout)
    assert re.search(r"ok +table +\d+ enabled rows\n", done.stdout)
    done = run_beat("--check", CELERY_BROKER_URL=broker.url, DATABASE_URL=f"postgresql://beat:hunter2@127.0.0.1:{free_port()}/none")
    assert done.returncode == 1 and "FAIL  table" in done.stdout and "hunter2" not in done.stdout
    done = run_beat("--check", CELERY_BROKER_URL=f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    assert done.returncode == 1 and "FAIL  broker" in done.stdout and "hunter2" not in done.stdout
    done = run_beat("--check")
    assert done.returncode == 1 and "CELERY_BROKER_URL" in done.stdout
    done = run_beat()
    assert done.returncode == 1 and "CELERY_BROKER_URL" in done.stderr
