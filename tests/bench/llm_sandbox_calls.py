"""llm-sandbox's part of a measurement: reads one JSON object a line, answers with one.

    {"do": "open"}  {"do": "run", "code": …}  {"do": "pooled", "code": …}  {"do": "close"}

`open` opens a session on the image that is argv[1], without its set-up of an environment without a network,
and as root, which is what it does with images of its own; `pooled` is a session of a
pool: opened, one run, closed. Answers hold the milliseconds it took. In a virtual environment of its own.
"""

import contextlib
import json
import logging
import sys
import time

from llm_sandbox import SandboxBackend, SandboxSession
from llm_sandbox.pool import create_pool_manager, PoolConfig

WAYS = {"image": sys.argv[1], "lang": "python", "skip_environment_setup": True, "runtime_configs": {"network_mode": "none", "user": "root"}}
session = pool = None


def run(opened, code):
    done = opened.run(code)
    assert done.exit_code == 0, (done.exit_code, done.stdout, done.stderr)
    return done.stdout


def do(order):
    global session, pool
    if order["do"] == "open":
        session = SandboxSession(backend=SandboxBackend.DOCKER, **WAYS)
        session.open()
        return ""
    if order["do"] == "run":
        return run(session, order["code"])
    if order["do"] == "pooled":
        with SandboxSession(pool=pool, lang="python") as opened:
            return run(opened, order["code"])
    if order["do"] == "open pool":
        pool = create_pool_manager(backend=SandboxBackend.DOCKER, config=PoolConfig(min_pool_size=2, max_pool_size=2), **WAYS)
        return ""
    close()
    return ""


def close():
    with contextlib.suppress(Exception):
        if session:
            session.close()
    if pool:
        pool.close()


logging.disable(logging.CRITICAL)
try:
    for line in sys.stdin:
        began = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            said = do(json.loads(line))
        print(json.dumps({"ms": (time.perf_counter() - began) * 1000, "said": said}), flush=True)
finally:
    close()
