"""The kinds of messages of the soak: how one is made, and what of its result is right."""

import base64
import dataclasses
import datetime
import json
import pathlib
import sys
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/integration"), str(ROOT / "tests/integration/attacks")]

from clients import envelope  # noqa: E402
from table import PRELUDE, TABLES  # noqa: E402

CONVERSATIONS = 6
TOOL = """
from base import BaseTool, SandboxToolContext
class Doubles(BaseTool):
    name = "doubles"
    input_schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    def execute(self, params, ctx):
        return {"doubled": 2 * params["n"]}
"""
# Those that are over soon and leave their container; the whole table is test_attacks.py.
HOSTILE = [attack for table in TABLES.values() for attack in table if attack.survives and attack.timeout <= 20 and attack.name in (
    "fork bomb", "double fork into a session of its own", "stops a child that holds its output", "signals to the first process",
    "both streams without an end", "a child keeps the output open", "calls that are taken away", "sockets of other families",
    "links and special files as results", "names that are none")]


@dataclasses.dataclass
class Message:
    """`right` says of a meta "right", "lost" (the result says honestly that nobody knows) or "wrong"; `more` are the results that
    follow from it by their ids."""

    task: str
    args: list = dataclasses.field(default_factory=list)
    kwargs: dict = dataclasses.field(default_factory=dict)
    right: typing.Callable = None
    headers: dict = dataclasses.field(default_factory=dict)
    chain: list = None
    more: dict = dataclasses.field(default_factory=dict)

    def text(self, task_id):
        body = json.dumps([self.args, self.kwargs, {"callbacks": None, "errbacks": None, "chord": None, "chain": self.chain}])
        return json.dumps(envelope(task=self.task, task_id=task_id, body=body, headers=self.headers)[1])


def word(good):
    return "right" if good else "wrong"


def value(expected):
    return lambda meta: word(meta["status"] == "SUCCESS" and meta["result"] == expected)


def ended(status, kind=None):
    return lambda meta: word(meta["status"] == status and (kind is None or meta["result"]["exc_type"] == kind))


def ran(*statuses, check=lambda result: True):
    """A result of code or a tool."""
    def look(meta):
        result = meta["result"]
        if meta["status"] != "SUCCESS":
            return "wrong"
        if result["status"] == "lost":
            return "lost"
        return word(result["status"] in statuses and check(result))
    return look


def at(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


def link(task_id, *args):
    return {"task": "celeriac.add", "args": list(args), "kwargs": {}, "options": {"task_id": task_id, "reply_to": ""}, "subtask_type": None,
            "immutable": False}


def chain(n, task_id):
    return Message("celeriac.add", [n, 1], right=value(n + 1), chain=[link(task_id + "-c", 100), link(task_id + "-b", 10)],
                   more={task_id + "-b": value(n + 11), task_id + "-c": value(n + 111)})


def code(n, text, right, **kwargs):
    return Message("sandbox.execute_code", kwargs={"conversation_id": f"soak-{n % CONVERSATIONS}", "code": text, **kwargs}, right=right)


def hostile(n):
    attack = HOSTILE[n % len(HOSTILE)]
    statuses = (attack.status,) if isinstance(attack.status, str) else attack.status
    # who is killed while it runs leaves it to another, with the time that is left
    return code(n, PRELUDE + attack.code, ran(*statuses, "killed", "timeout"), timeout=min(attack.timeout, 5), conversation_id=f"hostile-{n}",
                one_shot=True)


def files(n):
    text = f"open('/sandbox/output/f{n}.bin', 'wb').write(bytes(50000))\nprint({n})"
    return code(n, text, ran("ok", check=lambda result: [each["size"] for each in result["files"] if each["name"] == f"f{n}.bin"] == [50000]))


# name: (weight, function of the number, the id and the house)
KINDS = {
    "echo": (20, lambda n, i, h: Message("celeriac.echo", [{"n": n, "text": "ü" * (n % 500)}], right=value({"n": n, "text": "ü" * (n % 500)}))),
    "sleep": (8, lambda n, i, h: Message("celeriac.sleep", [n % 10 / 20], right=value(None))),
    "failure": (5, lambda n, i, h: Message("celeriac.fail", [f"no {n}"], right=ended("FAILURE", "RuntimeError"))),
    "wrong arguments": (3, lambda n, i, h: Message("celeriac.add", [n], right=ended("FAILURE", "TypeError"))),
    "retries": (4, lambda n, i, h: Message("celeriac.retry", [2], {"countdown": 1}, right=value(2))),
    "eta": (5, lambda n, i, h: Message("celeriac.echo", [n], right=value(n), headers={"eta": at(5)})),
    "expired": (2, lambda n, i, h: Message("celeriac.echo", [n], right=ended("REVOKED"), headers={"expires": at(-60)})),
    "chain": (6, lambda n, i, h: chain(n, i)),
    "code": (12, lambda n, i, h: code(n, f"open('n', 'a').write('.')\nprint({n})", ran("ok", check=lambda r: r["stdout"].endswith(f"{n}\n")))),
    "code that fails": (3, lambda n, i, h: code(n, "import sys\nsys.exit(3)", ran("error", check=lambda r: r["exit_code"] == 3))),
    "code that hangs": (1, lambda n, i, h: code(n, "while True: pass", ran("timeout"), timeout=1)),
    "files": (3, lambda n, i, h: files(n)),
    "hostile code": (4, lambda n, i, h: hostile(n)),
    "tool": (4, lambda n, i, h: Message("tools.run_custom", kwargs={"source": TOOL, "params": {"n": n}},
                                        right=ran("ok", check=lambda r: r["result"] == {"doubled": 2 * n}))),
    "HTTP tool": (4, lambda n, i, h: Message("tools.call_http", kwargs={"tool": "web", "params": {"n": str(n)}},
                                             right=ran("ok", check=lambda r: r["result"] == {"path": f"/{n}"}))),
    "MCP": (4, lambda n, i, h: Message("mcp.call_tool", kwargs={"server_id": h.mcp, "tool": "count", "conversation_id": f"soak-{n % 3}"},
                                       right=ran("ok", "error", check=lambda r: r["status"] == "error" or r["result"]["count"] > 0))),
}
BAD = base64.b64encode(b"no message").decode()
