#!/usr/bin/env python3
"""What sandbox.py measures, under gVisor: a warm conversation's call beside `docker exec` there, and a first call.

    .run/venv/bin/python tests/bench/runsc.py [-n ROUNDS] [-o FILE.json] [print|pandas|first…]

All are of one private Docker daemon whose containers are runsc's, as the sandbox suite has it (tests/integration/engines.py). Where
there is no runsc nothing is measured, which is no failure. There are no bars. llm-sandbox copies each program into its container,
where gVisor does not always see it, and so is not beside it.
"""

import shutil
import sys

import conversations
import engines
from sandbox import measured
from stand import DockerExec, finish, options, Stand

NAMES = ("print", "pandas")


def main():
    asked = options(__doc__, 20).parse_args()
    if not shutil.which("runsc"):
        print("no runsc here: nothing was measured under gVisor", flush=True)
        return finish(asked, {"gVisor": {"missing": "there is no runsc on this machine"}})
    names, rows, engine = asked.only or [*NAMES, "first"], {}, engines.Runsc()
    try:
        engine.start()
        if calls := [name for name in names if name in NAMES]:
            with Stand(**engine.settings) as stand:
                rows = measured(calls, asked.rounds, stand, DockerExec(engine.host, "runsc"))
        if "first" in names:
            rows["first"] = conversations.first(asked.rounds, bar=None, **engine.settings)
    finally:
        engine.stop()
    return finish(asked, rows)


if __name__ == "__main__":
    sys.exit(main())
