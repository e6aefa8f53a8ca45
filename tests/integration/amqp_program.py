"""include/amqp.h as a program (tests/integration/amqp/client.c): one request, one answer."""

import json
import os
import pathlib
import subprocess

from services import ROOT, Service, patience, wait_until

PROGRAM = pathlib.Path(os.environ.get("CELERIAC_TEST_AMQP_CLIENT", ROOT / "build/amqp-client"))


class Refused(Exception):
    def __init__(self, code, message, transient):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.transient = code, message, transient


class AmqpProgram(Service):
    def __init__(self, directory, url, heartbeat=0):
        self.log_path = pathlib.Path(directory) / f"amqp-client-{id(self)}.log"
        self.argv = [str(PROGRAM), url, str(heartbeat)]
        self.pending = 0

    def __str__(self):
        return "AMQP client"

    def log(self):
        return self.log_path.read_text(errors="replace")

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *self.argv], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1)
        return self

    def ask(self, do, **arguments):
        """Sends a request and does not wait for its answer, which `answer` gives."""
        arguments.setdefault("seconds", patience(30))
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, f"{self} ended with {self.process.wait()}:\n{self.log()[-4000:]}"
        reply = json.loads(line)
        if "error" in reply:
            raise Refused(*reply["error"])
        return reply["ok"]

    def do(self, do, **arguments):
        self.ask(do, **arguments)
        return self.answer()

    def take(self, count, **arguments):
        got = self.do("take", count=count, **arguments)
        assert len(got) == count, f"{len(got)} of {count} came"
        return got

    def wait_event(self, name, events=None):
        """Waits until that was told; every event so far."""
        events = [] if events is None else events

        def told():
            events.extend(self.do("events"))
            return any(event[0] == name for event in events)

        wait_until(told, 30, lambda: f"no \"{name}\" among {events}")
        return events

    def close(self):
        """The end of its input is an orderly end."""
        self.process.stdin.close()
        assert self.process.wait(patience(20)) == 0, self.log()[-4000:]
