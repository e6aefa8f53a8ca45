"""Python in a conversation's second and later calls, which are forked from an interpreter with the usual packages: as
the image's own `python3 -u FILE`, only faster. What runs can do to that interpreter is test_python.c's."""

import json
import re
import time

import pytest

from sandboxes import living
from services import patience, wait_until

FORKED = "import sys; print('pandas' in sys.modules)"


@pytest.fixture(scope="module")
def house(make_house):
    """Packages take their time on a busy machine, which is the code's own."""
    return make_house(SANDBOX_TIMEOUT="200s")


@pytest.fixture
def conversation(request):
    return f"python-{request.node.name}"[:200]


def wait_forked(calls, conversation, seconds=60):
    """Calls until one is forked; its container."""
    def forked():
        value = calls.run(FORKED, conversation)
        return value["stdout"] == "True\n" and value["sandbox"]

    return wait_until(forked, seconds, "no call was forked")


PROGRAMS = {
    "pandas": "import pandas, numpy\nprint(pandas.DataFrame({'a': [1, 2.5], 'b': ['x', 'ü']}).describe(include='all'))\nprint(numpy.arange(3) / 2)",
    "error in a library": "import pandas\npandas.DataFrame({'a': [1]})['b']",
    "error in a class": "class A:\n    def f(self):\n        raise ValueError('x' * 10)\nA().f()",
    "exit": "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(42)",
    "recursion": "def f(): f()\ntry: f()\nexcept RecursionError as e: print(e)",
    "processes": """
import multiprocessing, sys
def square(x): return x * x
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, pool.map(square, range(5)))
""",
    "subprocess": """
import subprocess, sys
print(subprocess.run([sys.executable, "-c", "import sys; print(sys.argv, sys.flags.isolated)", "x"], capture_output=True, text=True))
print(subprocess.run("echo $HOME $PYTHONPATH; ls /proc/self/fd | wc -l", shell=True, capture_output=True, text=True))
""",
    "threads at the end": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()\nprint('early')",
    "executor": "from concurrent.futures import *\nprint(list(ThreadPoolExecutor(2).map(str, range(3))))\n"
                "if __name__ == '__main__': print(list(ProcessPoolExecutor(2).map(str, range(3))))",
    "asyncio": "import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    return 5\nprint(asyncio.run(f()))",
    "pickle": "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))).__module__)",
    "inspection": "import inspect\ndef f(): return 1\nprint(inspect.getsource(f), __file__, __doc__)",
    "left open": "f = open('/sandbox/left', 'w')\nf.write('text')\nclass A:\n    def __del__(self): print('deleted')\na = A()\nb = [a]; b.append(b)",
    "exit functions": "import atexit, weakref\natexit.register(print, 'one')\natexit.register(print, 'two')\natexit.register(lambda: 1 / 0)",
    "warnings": "import warnings\nwarnings.warn('careful')\nimport sys\nprint(sys.warnoptions)",
    "logging": "import logging\nlogging.warning('logged')\nlogging.basicConfig(level='INFO')\nlogging.info('seen')",
    "modules": "import sys; sys.path.append('/sandbox'); import helper; print(helper.value, helper.__file__)",
    "signals": "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *a: print('got it'))\nos.kill(os.getpid(), signal.SIGUSR1)",
    "killed": "import os\nprint('before', flush=True)\nos.kill(os.getpid(), 9)",
    "closed output": "import os, sys\nos.close(1)\nprint('x')",
    "encodings": "# -*- coding: latin-1 -*-\nimport sys\nprint('\\udc80'.encode('utf-8', 'surrogateescape'), sys.getfilesystemencoding(), len('é'))",
    "syntax": "def f(:\n  pass",
    "indentation": "if 1:\nprint(1)",
}


@pytest.fixture(scope="module")
def warm(house):
    house.calls.run("open('/sandbox/helper.py', 'w').write('value = 7')", "python-warm")
    return wait_forked(house.calls, "python-warm")


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_the_interpreter_itself(house, warm, name):
    """The same bytes on both streams and the same end as from an interpreter started on the file."""
    code = PROGRAMS[name]
    forked = house.calls.run(code, "python-warm", files=[{"name": "left", "content": ""}])
    assert forked["reused"] and forked["sandbox"] == warm
    script = f"""
import json, subprocess
left = open('/sandbox/left').read()
open('/sandbox/left', 'w').close()
open('/sandbox/.celeriac/main.py', 'wb').write({code.encode()!r})
done = subprocess.run(['python3', '-u', '/sandbox/.celeriac/main.py'], capture_output=True, stdin=subprocess.DEVNULL)
print(json.dumps([done.stdout.decode(errors='replace'), done.stderr.decode(errors='replace'), done.returncode,
                  left == open('/sandbox/left').read()]))
"""
    *streams, status, same_file = json.loads(house.calls.run(script, "python-warm")["stdout"])
    addresses = re.compile("0x[0-9a-f]+")
    assert [addresses.sub("0x", forked[name]) for name in ("stdout", "stderr")] == [addresses.sub("0x", text) for text in streams]
    assert forked["exit_code"] == (status if status >= 0 else 128 - status) and same_file


def test_randomness(house, warm):
    code = "import random, numpy, uuid, tempfile\nprint(random.random(), numpy.random.rand(), uuid.uuid4(), tempfile.mktemp())"
    seen = [house.calls.run(code, "python-warm")["stdout"].split() for _ in range(4)]
    for column in zip(*seen):
        assert len(set(column)) == 4, column


def test_environment_that_an_interpreter_reads_at_its_start(house, warm):
    """Such a call is not forked, and right."""
    value = house.calls.run("import sys, os\nprint(sys.flags.hash_randomization, hash('x'), os.environ['OMP_NUM_THREADS'])", "python-warm",
                            env={"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"})
    again = house.calls.run("import sys, os\nprint(sys.flags.hash_randomization, hash('x'), os.environ['OMP_NUM_THREADS'])", "python-warm",
                            env={"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"})
    assert value["stdout"] == again["stdout"] and value["stdout"].startswith("0 ")
    assert house.calls.run("import os\nprint(os.environ['SECRET'])", "python-warm", env={"SECRET": "of one call"})["stdout"] == "of one call\n"
    assert house.calls.run("import os\nprint('SECRET' in os.environ)", "python-warm")["stdout"] == "False\n"


@pytest.mark.parametrize("forked", [False, True])
def test_open_figures(house, conversation, forked):
    if forked:
        wait_forked(house.calls, conversation)
    value = house.calls.run("""
import matplotlib.pyplot as plt
plt.plot([1, 2, 3]); plt.savefig('/sandbox/output/mine.png')
plt.figure(); plt.plot([3, 2, 1])
plt.figure('by name!'); plt.bar([1, 2], [3, 4])
plt.figure()
closed = plt.figure(); plt.plot([1]); plt.close(closed)
print(plt.get_fignums(), plt.get_backend().lower())
""", conversation)
    assert value["status"] == "ok" and value["stderr"] == "", value
    assert value["stdout"] == "[1, 2, 3, 4] agg\n"
    files = {entry["name"]: entry for entry in value["files"]}
    assert set(files) == {"mine.png", "figure_2.png", "figure_3.png"}, "saved ones and empty ones are left alone"
    for entry in files.values():
        content = house.postgres.sql("SELECT content FROM celeriac.conversation_outputs WHERE id = %s", entry["id"])[0][0]
        assert content.startswith(b"\x89PNG\r\n") and len(content) > 2000
    failed = house.calls.run("import matplotlib.pyplot as plt\nplt.plot([1])\n1 / 0", conversation)
    assert failed["status"] == "error" and [entry["name"] for entry in failed["files"]] == ["figure_1.png"]
    assert house.calls.run("import matplotlib.pyplot as plt\nprint(plt.get_fignums())", conversation)["stdout"] == "[]\n"


def test_variables_last(house, conversation):
    def run(code, **kwargs):
        return house.calls.run(code, conversation, stateful=True, **kwargs)

    first = run("import pandas as pd\nframe = pd.DataFrame({'a': [1, 2, 3]})\ndef total(): return frame.a.sum()")
    assert first["status"] == "ok" and first["stderr"] == "", first
    assert run("print(total(), len(frame))")["stdout"] == "6 3\n"
    assert house.calls.run("print('frame' in globals())", conversation)["stdout"] == "False\n"
    assert run("import sys\nprint(sys.stdin.read())", stdin="given")["stdout"] == "given\n"
    assert run("import os\nprint(os.environ['X'])", env={"X": "1"})["stdout"] == "1\n"
    failed = run("print(os.environ.get('X'))\ntotal(1)")
    assert failed["stdout"] == "None\n" and failed["status"] == "error" and failed["exit_code"] == 1
    assert 'File "<call 5>", line 2, in <module>\n    total(1)' in failed["stderr"]
    figure = run("import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2])")
    assert [entry["name"] for entry in figure["files"]] == ["figure_1.png"]
    assert run("print(1)")["files"] == [], "a figure that did not change is not saved again"
    assert [entry["name"] for entry in run("ax.set_title('changed')")["files"]] == ["figure_1.png"]
    slow = run("print(total(), flush=True)\nwhile True: pass", timeout=min(60, patience(2)))
    assert slow["status"] == "timeout" and slow["exit_code"] == 124 and slow["stdout"] == "6\n"
    assert slow["stderr"] == "[the interpreter has ended: the variables of this conversation are lost]\n"
    fresh = run("print('frame' in globals())")
    assert fresh["stdout"] == "False\n" and fresh["stderr"] == "" and fresh["sandbox"] == first["sandbox"]


@pytest.mark.parametrize("kwargs, named", [({"language": "python", "one_shot": True}, "one_shot")])
def test_stateful_where_it_cannot_be(house, kwargs, named):
    with pytest.raises(ValueError) as raised:
        house.calls.run("print(1)", stateful=True, **kwargs)
    assert named in str(raised.value)


def test_plain_programs(house, conversation):
    """A program that names no packages runs in a fork that has none, and one that loads some all the same is as good."""
    look = "import sys\nprint('statistics' in sys.modules, 'pandas' in sys.modules)"
    wait_until(lambda: house.calls.run(look, conversation)["stdout"] == "True False\n", 60, "no plain fork")
    value = house.calls.run("exec('imp' + 'ort matplotlib.pyplot as plt')\nplt.plot([1, 2])", conversation)
    assert (value["status"], [file["name"] for file in value["files"]]) == ("ok", ["figure_1.png"]), value


@pytest.mark.enforces("cpu")
def test_memory_and_idleness(house, conversation):
    """What the servers hold counts as the container's; nobody in there uses the processor between calls."""
    container = wait_forked(house.calls, conversation)
    # One that was used is there for a moment beside the one that replaces it.
    titles = wait_until(lambda: found if len(found := [line for line, _ in living(container)]) <= 5 else None, 30, "too many wait")
    assert any("celeriac: fork server" in line for line in titles), titles
    house.calls.run("import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()", conversation, stateful=True)

    def is_quiet():
        """For two seconds; an interpreter that has just been started may load its packages first."""
        before = living(container)
        time.sleep(2)
        after = living(container)
        return len(before) == len(after) and abs(sum(seconds for _, seconds in after) - sum(seconds for _, seconds in before)) <= 0.2

    wait_until(is_quiet, 60, lambda: f"somebody is busy: {living(container)}")


@pytest.mark.enforces("memory")
def test_out_of_memory(house, conversation):
    """The hog goes, the server may stay; the verdict is the hog's."""
    wait_forked(house.calls, conversation)
    value = house.calls.run("x = []\nwhile True: x.append(bytearray(1 << 20))", conversation)
    assert (value["status"], value["exit_code"]) in [("oom", 137), ("error", 1)], value
    assert house.calls.run("print(1)", conversation)["stdout"] == "1\n"
