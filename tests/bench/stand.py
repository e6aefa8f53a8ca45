"""What measurements of the sandbox have in common: private servers and a worker, Docker's API as a client library would
use it, and figures."""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

import report  # noqa: E402
from clients import Broker, envelope  # noqa: E402
from sandboxes import remove_containers  # noqa: E402
from services import Redis, wait_until  # noqa: E402,F401
from worker import created_postgres, Worker  # noqa: E402

IMAGE = os.environ.get("SANDBOX_IMAGE", "celeriac-sandbox:latest")
HOST = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
PAUSE = 0.05  # seconds before each measured call, so that none pays for what the engine still does after another
GROWTH_BAR = 1.25  # of what an item costs under the largest load, of the least that it costs under any


class DockerExec:
    """Docker's API over its socket, as a client library would use it, and a container to run code in."""

    container = None

    def __init__(self, host=HOST, runtime=None):
        self.path, self.runtime = host.removeprefix("unix://"), runtime

    def open(self):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        return connection

    def call(self, method, path, body=None):
        connection = self.open()
        connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status < 300, (path, data)
        return json.loads(data) if data else None

    def create(self):
        # The task's limits: memory and work size together, one processor.
        host = {"NetworkMode": "none", "Memory": 768 << 20, "NanoCpus": 10**9, "ReadonlyRootfs": True,
                "Tmpfs": {"/sandbox": "exec,uid=10001", "/tmp": "exec,mode=1777"}, **({"Runtime": self.runtime} if self.runtime else {})}
        body = {"Image": IMAGE, "Entrypoint": ["sleep", "1000000"], "Cmd": [], "HostConfig": host, "User": "10001:10001"}
        self.container = self.call("POST", "/containers/create", body)["Id"]
        self.call("POST", f"/containers/{self.container}/start")

    def remove(self):
        if self.container:
            subprocess.run(["docker", "-H", f"unix://{self.path}", "rm", "-f", self.container], capture_output=True)

    def run(self, code):
        spec = {"AttachStdout": True, "AttachStderr": True, "Cmd": ["python3", "-c", code],
                "Env": ["MPLBACKEND=Agg", "MPLCONFIGDIR=/tmp/matplotlib"]}
        made = self.call("POST", f"/containers/{self.container}/exec", spec)["Id"]
        connection = self.open()
        connection.request("POST", f"/exec/{made}/start", json.dumps({"Detach": False, "Tty": False}), {"Content-Type": "application/json"})
        connection.getresponse().read()
        connection.close()
        assert self.call("GET", f"/exec/{made}/json")["ExitCode"] == 0


class Figure(float):
    """A number that is what it is, is judged as what it is, and is shown with so many digits behind the point at the most."""

    def __new__(cls, value, digits=0):
        self = super().__new__(cls, value)
        self.digits = digits
        return self

    def __str__(self):
        shown = f"{float(self):.{self.digits}f}"
        return shown.rstrip("0").rstrip(".") if self.digits else shown

    __repr__ = __str__  # in lists; JSON has all digits


def summary(values):
    ordered = sorted(values)
    pick = lambda share: Figure(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)  # noqa: E731
    return {"p50": Figure(statistics.median(ordered), 2), "p90": pick(0.9), "p99": pick(0.99), "n": len(ordered)}


def load():
    return round(os.getloadavg()[0], 1)


def seconds_of_threads(pid):
    """What each thread of a process and of its children has had of processors, finer than the ticks of its stat."""
    used = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            used[task.name] = int((task / "schedstat").read_text().split()[0]) / 1e9
            for child in (task / "children").read_text().split():
                used.update(seconds_of_threads(child))
    return used


def processor_seconds(pid):
    """Of all that live."""
    return sum(seconds_of_threads(pid).values())


def cost(used, work, count, times=5):
    """Microseconds of processors that each of `count` items of `work` takes, beyond what is taken at rest in the same time: the least of
    so many times, as other programs and the machine's host only add to it. `used()`: seconds by thread so far; those
    of threads that have ended are nobody's."""
    def taken(what):
        before, began = used(), time.perf_counter()
        what()
        return sum(now - before.get(thread, 0) for thread, now in used().items()), time.perf_counter() - began

    rest, seconds = taken(lambda: time.sleep(1))
    each = (seconds_used - rest / seconds * took for seconds_used, took in (taken(work) for _ in range(times)))
    return Figure(min(each) / count * 1e6, 1)


def timed(function):
    began = time.perf_counter()
    value = function()
    return (time.perf_counter() - began) * 1000, value


class Stand:
    """Servers, workers and a client of our own; everything is gone afterwards."""

    def __init__(self, image=IMAGE, workers=1, args=(), **settings):
        self.image, self.settings, self.started, self.client = image, settings, [], None
        self.count, self.args = workers, args
        self.host = settings.get("DOCKER_HOST", HOST)
        self.instance = f"bench-{uuid.uuid4().hex[:12]}"

    def __enter__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="celeriac-bench-"))
        self.directory.chmod(0o755)
        for name in ("redis", "postgres"):
            (self.directory / name).mkdir(mode=0o755)
        try:
            redis = Redis(self.directory / "redis").start()
            self.started.append(redis)
            postgres = created_postgres(self.directory / "postgres")
            self.started.append(postgres)
            self.broker = Broker(redis.new_url(), self.instance)
            names = ["bench", *(f"bench-{number}" for number in range(2, self.count + 1))]
            self.workers = [Worker(self.directory, name, self.args, CELERY_BROKER_URL=self.broker.url, CELERY_RESULT_BACKEND=self.broker.url,
                                   CELERIAC_INSTANCE=self.instance, DATABASE_URL=postgres.url("worker"), SANDBOX_IMAGE=self.image,
                                   **self.settings) for name in names]
            self.worker = self.workers[0]
            self.started += self.workers
            for worker in self.workers:
                worker.spawn()
            for worker in self.workers:
                worker.wait_ready()
            self.client = self.broker.app()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        if self.client:
            self.client.close()
        for service in reversed(self.started):
            service.kill()
        if HOST in self.host.split(","):  # an engine of our own is gone with all that it has
            remove_containers(self.instance)
        shutil.rmtree(self.directory, ignore_errors=True)

    def send(self, task, **kwargs):
        return self.client.send_task(task, kwargs=kwargs)

    def run(self, code, conversation, **more):
        value = self.send("sandbox.execute_code", conversation_id=conversation, code=code, **more).get(timeout=300, interval=0.001)
        assert value["status"] == "ok", value
        return value

    def sent_until_visible(self, task, **kwargs):
        """Milliseconds from a message that is ready until its result is told of, without the time a Celery client takes to make
        the one and to read the other."""
        task_id, message = envelope(task=task, kwargs=kwargs)
        text = json.dumps(message)
        with self.broker.redis.pubsub() as heard:
            heard.subscribe(f"celery-task-meta-{task_id}")
            heard.get_message(timeout=10)
            began = time.perf_counter()
            self.broker.push(text)
            told_of = heard.get_message(timeout=300)
            took = (time.perf_counter() - began) * 1000
        assert json.loads(told_of["data"])["status"] == "SUCCESS", told_of
        return took

    def used(self):
        """Seconds of processors that each thread of workers and servers has had so far."""
        return {thread: seconds for service in self.started for thread, seconds in seconds_of_threads(service.process.pid).items()}

    def containers(self, role):
        listed = subprocess.run(["docker", "-H", self.host, "ps", "--format", "{{.Names}}", "--filter", f"label=celeriac.instance={self.instance}",
                                 "--filter", f"label=celeriac.role={role}"], capture_output=True, text=True, check=True)
        return listed.stdout.split()


def options(description, rounds):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--rounds", type=int, default=rounds)
    parser.add_argument("-o", "--output", type=pathlib.Path)
    parser.add_argument("only", nargs="*", help="which of the rows")
    return parser


def judge(row, **bars):
    """Sets what is measured against a bar: each is (what it is, one of report.WAYS, the bar)."""
    row["bars"] = {name: {"is": value, way: bar, "met": report.WAYS[way][1](value, bar)} for name, (value, way, bar) in bars.items()}
    row["met"] = all(each["met"] for each in row["bars"].values())
    return row


def told(row):
    """Its bars, for people."""
    return "".join(f"; bar: {name.replace('_', ' ')} {report.told(bar)}" for name, bar in row.get("bars", {}).items())


def flat(by_load):
    """A bar: what an item costs under the largest load, of the least of all. Where fixed costs are spread it falls, and this is 1."""
    costs = list(by_load.values())
    return Figure(costs[-1] / min(costs), 2), "most", GROWTH_BAR


def grown(what, of, by_load):
    """A row of growth: microseconds of processors for an item, by load, the smallest first."""
    row = judge({"item": what, "load_is": of, "by_load": by_load, "load": load()}, of_the_least=flat(by_load))
    print(f"growth: {what} takes, of processors, " + ", ".join(f"{each} us with {many}" for many, each in by_load.items()) +
          f" {of}; load {row['load']}{told(row)}", flush=True)
    return row


def finish(asked, rows):
    """Writes the report; the exit status: 1 when a bar was missed."""
    written = {"image": IMAGE, "machine": f"{platform.release()}, {os.cpu_count()} processors", "rows": rows}
    if asked.output:
        asked.output.write_text(json.dumps(written, indent=1) + "\n")
    return 0 if all(row.get("met", True) for row in rows.values()) else 1
