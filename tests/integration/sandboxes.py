"""Calls of sandbox.* tasks, and what the engine says of the containers they made."""

import json
import os
import pathlib
import re
import subprocess
import uuid

import engines
from services import patience, wait_until

IMAGE = "celeriac-sandbox:latest"

# Python that says that it runs, and goes on when a test opens its gate.
HELD = "import os, time\nprint('begun', flush=True)\nwhile not os.path.exists('/sandbox/go'): time.sleep(0.05)\n"


# Short name and command line of each process; the shell that looks is known by its first word.
INSIDE = """INSIDE=; for p in /proc/[0-9]*; do
  read -r name <$p/comm && printf '%s %s\\n' "$(echo $name | tr ' ' _)" "$(tr '\\0\\n' '  ' <$p/cmdline)"
done 2>/dev/null"""


def docker(*words, check=True):
    done = subprocess.run(["docker", *map(str, words)], capture_output=True, text=True, timeout=patience(120))
    assert not check or done.returncode == 0, f"docker {words}: {done.stderr}"
    return done.stdout.strip()


def containers(instance, *options):
    """Ids of a deployment's containers, running or not."""
    return docker("ps", "-aq", "--no-trunc", "--filter", f"label=celeriac.instance={instance}", *options).split()


def remove_containers(instance):
    listed = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=celeriac.instance={instance}"], capture_output=True, text=True
    )
    if listed.stdout.split():
        subprocess.run(["docker", "rm", "-f", *listed.stdout.split()], capture_output=True)


def container_of(instance, conversation, seconds=30):
    """The running container that was made for this conversation (not taken from a pool)."""
    found = wait_until(lambda: containers(instance, "--filter", f"label=celeriac.conversation={conversation}", "--filter", "status=running"),
                       seconds, "the conversation has no container")
    assert len(found) == 1
    return found[0]


def open_gate(container):
    """What is HELD in there goes on."""
    docker("exec", container, "touch", "/sandbox/go")


def wait_spares_ready(worker, count, seconds=60):
    """Waits until so many containers of the pool can be taken: their agents have answered."""
    def ready():
        return sum(map(int, re.findall(r'^celeriac_sandboxes{[^}]*state="ready"} (\d+)$', worker.http("/metrics")[1], re.M)))

    wait_until(lambda: ready() == count, seconds, lambda: f"not {count} containers are ready but {ready()}")


def wait_said(broker, task_id, text, seconds=60):
    """Waits until a run has printed `text`."""
    key = f"celeriac:stream:{task_id}"
    wait_until(lambda: any(text.encode() in fields[b"data"] for _, fields in broker.redis.xrange(key)), seconds, f"{text!r} was not printed")


def inspect(container):
    return json.loads(docker("inspect", container))[0]


def exists(container):
    return subprocess.run(["docker", "inspect", container], capture_output=True).returncode == 0


def living(container):
    """[command line, seconds of processor] of all processes where the first one is, as this machine sees them."""
    found = []
    place = os.readlink(f"/proc/{inspect(container)['State']['Pid']}/ns/pid")
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "ns/pid") == place:
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                times = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
                # Those that have ended have a name, as ps shows it.
                words = words or f"[{(process / 'comm').read_text().strip()}]"
                found.append([words, sum(map(int, times)) / os.sysconf("SC_CLK_TCK")])
        except OSError:
            continue  # it is gone
    return found


def capabilities(seen):
    """Of the first process of an inspected container, all that it can ever get."""
    if engines.name() == "runsc":
        return 0 if seen["HostConfig"]["CapDrop"] == ["ALL"] else -1
    status = pathlib.Path(f"/proc/{seen['State']['Pid']}/status").read_text()
    return int(status.split("CapBnd:")[1].split()[0], 16)


def processes(container):
    """Command lines of the agent and of runs: its fork servers, starting or started, and spares are none."""
    if engines.name() == "runsc":  # whose processes are no processes of the machine's
        listed = docker("exec", container, "sh", "-c", INSIDE, check=False)
        lines = [line for line in listed.splitlines() if line.split(None, 1)[1:] and "INSIDE=" not in line]
        # A title that a process gives itself is only its short name there.
        lines = [line.split(None, 1)[1] for line in lines if not line.startswith("fork-server ")]
    else:
        lines = [line for line, _ in living(container) if line != "[fork-server]"]
    # "uname -p" is what a fork server asks while it loads its modules.
    lines = [line for line in lines if line != "uname -p"]
    return [line for line in lines if "celeriac: fork server" not in line and "'exec')) loaded" not in line and "'exec')) plain" not in line]


def wait_running(instance, program="python", seconds=30):
    """Waits until code runs in a container of this deployment; returns the container's id."""
    def look():
        for container in containers(instance, "--filter", "status=running"):
            if any(program in line for line in processes(container)):
                return container
        return None

    return wait_until(look, seconds, "no code was seen running")


class Calls:
    """The tasks as an application calls them, and their rows."""

    def __init__(self, app, postgres, timeout=90):
        self.app = app
        self.postgres = postgres
        self.timeout = timeout

    def send(self, code, conversation=None, **kwargs):
        if HELD in code:
            kwargs = {"timeout": 200, **kwargs}
        kwargs = {"conversation_id": conversation or f"c-{uuid.uuid4()}", "code": code, **kwargs}
        return self.app.send_task("sandbox.execute_code", kwargs=kwargs)

    def run(self, code, conversation=None, **kwargs):
        return self.send(code, conversation, **kwargs).get(timeout=self.timeout)

    def call(self, name, **kwargs):
        return self.app.send_task(f"sandbox.{name}", kwargs=kwargs).get(timeout=self.timeout)

    def row(self, task_id, *columns):
        rows = self.postgres.sql(f"SELECT {', '.join(columns)} FROM celeriac.tool_results WHERE task_id = %s", task_id)
        assert len(rows) <= 1
        return rows[0] if rows else None
