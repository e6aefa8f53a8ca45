"""The fork server, and the interpreter that keeps a conversation's variables. Follows python_run.py in one text.

The agent is our parent. Over a socket it asks for a spare: a process forked ahead of its run, so that a run does not wait
for the fork. The process between us and the spare ends at once, which makes the agent the spare's parent. A spare gets
one message: the run's three streams and a memory file with its arguments and environment, which therefore are never here.

Hostile code has the same user as we have. Against it: not dumpable before anything else is done, no path that it can
write is read or searched, and no descriptor of ours is left in a run. Whatever it does to us beyond that (signals, limits)
the agent notices or undoes, and then there is another server, or a run without one.
"""
import atexit
import ctypes
import fcntl
import gc
import io
import linecache
import signal
import site
import socket
import struct
import threading
import traceback
from importlib.machinery import all_suffixes

PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
SERVER_TITLE = ["celeriac: fork server"]
MADE = "/usr/share/celeriac/matplotlib"  # the image's list of fonts
STATEFUL = 1
# Variables that an interpreter looks at when it begins, or a library when it is loaded.
EARLY = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LANG", "TZ", "OMP_", "OPENBLAS_", "MKL_", "GOTO_", "NUMEXPR_", "NPY_",
         "MPL", "PANDAS_")

SUFFIXES = all_suffixes()

libc = ctypes.CDLL(None)
LOADED = set()  # first parts of the names of all modules that are here


def find_arguments():
    """Where the kernel looks for our command line."""
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
        return int(fields[45]), int(fields[46]) - int(fields[45])
    except (OSError, ValueError, IndexError):
        return 0, 0


def set_title(words, name):
    begin, room = ARGUMENTS
    text = b"\0".join(word.encode("utf-8", "surrogateescape") for word in words) + b"\0"
    if begin and len(text) < room:
        ctypes.memmove(begin, text + bytes(room - len(text)), room)
    libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


# ---- the server ----

def preload():
    """The packages that most programs begin with, and what they in turn load at their first use."""
    try:
        import numpy  # noqa: F401
        import pandas

        pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}).describe().to_string()
    except Exception:
        pass
    if not os.path.isdir(MADE):
        return
    # Its configuration and its fonts come from the image; a run looks for its own again.
    access = os.access
    os.access = lambda path, *args, **kwargs: str(path) == MADE or access(path, *args, **kwargs)
    try:
        import matplotlib.backend_bases
        import matplotlib.pyplot as pyplot

        watch_saving(matplotlib.backend_bases)
        pyplot.plot([1, 2])
        pyplot.savefig(io.BytesIO())
        pyplot.close("all")
        matplotlib.get_configdir.cache_clear()
        matplotlib.get_cachedir.cache_clear()
    except Exception:
        pass
    finally:
        os.access = access


def preload_plain():
    """The modules that a plain program may name, and what shows a figure should it load more after all."""
    for name in sys.argv[2].split():
        try:
            __import__(name)
        except Exception:
            pass
    sys.meta_path.insert(0, Watcher())


def serve(fd, load_all):
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=fd)
    control.send(b"S")
    set_title(SERVER_TITLE, "fork-server")
    # Nothing is looked for in the current directory, and what a run may put into its home is its own.
    sys.path[:] = [path for path in sys.path if path]
    load_all()
    gc.collect()
    gc.freeze()
    while True:
        data, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            os._exit(0)
        between = os.fork()
        if between == 0:
            if os.fork() > 0:
                os._exit(0)
            control.close()
            try:
                spare(socket.socket(fileno=fds[0]))
            finally:
                os._exit(1)
        os.close(fds[0])
        os.waitpid(between, 0)


# ---- a spare, and what becomes of it ----

class Order:
    """One message of the agent: streams, arguments, environment."""

    def __init__(self, channel):
        data, fds, _, _ = socket.recv_fds(channel, 12, 4)
        if len(data) != 12 or len(fds) != 4:
            os._exit(0)
        args, env, self.flags = struct.unpack("<III", data)
        text = os.pread(fds[3], args + env, 0)
        self.args = [os.fsdecode(word) for word in text[:args].split(b"\0")[:-1]]
        pairs = [entry.split(b"=", 1) for entry in text[args:].split(b"\0")[:-1]]
        self.env = {os.fsdecode(pair[0]): os.fsdecode(pair[1]) for pair in pairs if len(pair) == 2}
        for number in range(3):
            os.dup2(fds[number], number)
        for fd in fds:
            os.close(fd)


def spare(channel):
    LOADED.update(name.partition(".")[0] for name in sys.modules if name != "__main__")
    while os.getppid() != 1:
        os.sched_yield()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    rehearse()
    # Until the agent can hear who we are, the server's session is how it knows us from what a run has left behind.
    channel.send(b"R")
    os.setsid()
    order = Order(channel)
    come_out()
    os.chdir("/sandbox")
    if order.flags & STATEFUL:
        prepare(order)
        keep_variables(channel, order)
    channel.close()
    path, args = order.args[2], order.args[3:]
    if not prepare(order):
        run_afresh(order)
    set_title(order.args, "python3")
    known = set(sys.modules)
    sys.orig_argv[:] = order.args
    finish(run_file(path, args), known)


def rehearse():
    """Goes through what a run goes through, with nothing in it: the pages that it writes to are then ours, and have not to
    be copied while somebody waits. Nothing of it stays."""
    environ, path, us = dict(os.environ), list(sys.path), sys.modules["__main__"]
    prepare(rehearsed_order())
    set_title(SERVER_TITLE, "fork-server")
    main = new_main("/dev/null")
    load("/dev/null", "/dev/null")
    execute(compile("import sys\nprint(sys, 1)", "/dev/null", "exec"), main.__dict__)
    save_figures()
    sys.modules["__main__"] = us
    clear_away([main], 0)
    os.environ.clear()
    os.environ.update(environ)
    sys.path[:] = path


def rehearsed_order():
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    null, text = os.open("/dev/null", os.O_RDWR), os.memfd_create("order")
    args = b"python3\0-u\0/dev/null\0"
    env = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in os.environ.items())
    os.write(text, args + env)
    socket.send_fds(there, [struct.pack("<III", len(args), len(env), 0)], [null, null, null, text])
    try:
        return Order(here)
    finally:
        here.close()
        there.close()
        os.close(null)
        os.close(text)


def come_out():
    """From here on a process like any other: it may be looked into, and is the first to go when memory is short."""
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass


def new_streams():
    """sys.stdin and the others as the interpreter makes them for these descriptors."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        old = getattr(sys, name)
        raw = io.open(fd, mode + "b", -1 if fd == 0 else 0, closefd=False)
        (raw.raw if fd == 0 else raw).name = f"<{name}>"
        new = io.TextIOWrapper(raw, encoding=old.encoding, errors=old.errors, newline="\n",
                               write_through=True)
        new.mode = mode
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def shadows(directory):
    """Would something in there have been imported instead of what is loaded already?"""
    try:
        entries = os.listdir(directory)
    except OSError:
        return False
    for entry in entries:
        stem = entry.partition(".")[0]
        if entry.endswith(".pth"):
            return True
        if stem in LOADED and (any(entry == stem + suffix for suffix in SUFFIXES) or entry.endswith(".so")
                              or os.path.exists(f"{directory}/{entry}/__init__.py")):
            return True
    return False


def early(env):
    return {name: env[name] for name in env if name.startswith(EARLY) and name not in ("PYTHONPATH", "MPLCONFIGDIR")}


def prepare(order):
    """Environment, paths and streams of the run. False when only an interpreter of its own can be right."""
    fitting = early(order.env) == early(os.environ)
    os.environ.clear()
    os.environ.update(order.env)
    own = [] if order.flags & STATEFUL else [os.path.dirname(order.args[2])]
    own += [path for path in order.env.get("PYTHONPATH", "").split(":") if path]
    site.USER_BASE = site.USER_SITE = None
    user_site = [site.getusersitepackages()] if os.path.isdir(site.getusersitepackages()) else []
    configured = ("/sandbox/matplotlibrc", order.env.get("MPLCONFIGDIR", "/tmp/matplotlib") + "/matplotlibrc")
    if any(shadows(path) for path in own + user_site) or any(map(os.path.lexists, configured)):
        fitting = False
    at = next((i for i, path in enumerate(sys.path) if path.endswith("-packages")), len(sys.path))
    sys.path[:] = own + sys.path[:at] + user_site + sys.path[at:]
    new_streams()
    return fitting


def run_afresh(order):
    """The direct way, in this process."""
    source = os.memfd_create("python_run", 0)
    os.write(source, RUN_SOURCE)
    os.lseek(source, 0, os.SEEK_SET)
    os.dup2(source, 3)
    if source != 3:
        os.close(source)
    os.execve(sys.executable, ["python3", "-u", "-c", BOOT, "direct", *order.args[2:]], os.environ)


def finish(status, known):
    """What the interpreter does at its end, as far as a program can tell, without taking all of pandas to pieces: threads
    are waited for, exit functions called, the program's own modules cleared so that what they hold is closed."""
    interrupted = status == 130 and isinstance(getattr(sys, "last_value", None), KeyboardInterrupt)
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
    except BaseException as error:
        sys.__excepthook__(type(error), error, error.__traceback__)
    status = flush(status)
    sys.last_type = sys.last_value = sys.last_traceback = sys.last_exc = None
    status = clear_away([sys.modules.pop(name) for name in list(sys.modules) if name == "__main__" or name not in known],
                        status)
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)


def clear_away(modules, status):
    while modules:
        clear(getattr(modules.pop(), "__dict__", {}))
    gc.collect()
    status = flush(status)
    libc.fflush(None)
    return status


def clear(names):
    """Private names first, as the interpreter does it."""
    try:
        for name in [name for name in names if isinstance(name, str) and name[:1] == "_" != name[1:2]]:
            names[name] = None
        for name in [name for name in names if name != "__builtins__"]:
            names[name] = None
    except BaseException:
        pass


def flush(status):
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except BaseException:
            status = 120
    return status


# ---- variables that last ----

def keep_variables(channel, order):
    """Runs one program after the other in one namespace. The agent stops us in between."""
    global print_error
    set_title(["python3", "-u", "(the conversation's interpreter)"], "python3")
    channel = socket.socket(fileno=move_away(channel.detach()))
    print_error = traceback.print_exception  # which knows where the lines of earlier calls are
    main, given, number = new_main(None), {}, 0
    null = move_away(os.open("/dev/null", os.O_RDWR))
    while True:
        number += 1
        for name in given.keys() - order.env.keys():
            if os.environ.get(name) == given[name]:
                del os.environ[name]
        os.environ.update(order.env)
        given = order.env
        sys.argv[:] = [order.args[2], *order.args[3:]]
        status = run_cell(order.args[2], f"<call {number}>", main.__dict__)
        flush(0)
        libc.fflush(None)
        for fd in range(3):
            os.dup2(null, fd)
        channel.send(bytes([68, status & 0xFF]))
        order = Order(channel)
        if sys.stdin is sys.__stdin__:
            new_streams()


def run_cell(path, name, namespace):
    source, code = load(path, name)
    text = source.decode("utf-8", "replace")
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    if code is None:
        return 1
    status = execute(code, namespace)
    save_figures()
    return status


def move_away(fd):
    away = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200)
    os.close(fd)
    return away


def begin_state(fd):
    """An interpreter that begins with this, where there is no server."""
    sys.meta_path.insert(0, Watcher())
    channel = socket.socket(fileno=fd)
    order = Order(channel)
    come_out()
    sys.path[:] = [path for path in sys.path if path]
    os.chdir("/sandbox")
    prepare(order)
    keep_variables(channel, order)


ARGUMENTS = find_arguments()
BOOT = sys.orig_argv[3]
RUN_SOURCE = text.partition(b"# -- end of python_run.py --\n")[0]  # noqa: F821
if sys.argv[1] == "loaded":
    serve(4, preload)
elif sys.argv[1] == "plain":
    serve(4, preload_plain)
elif sys.argv[1] == "state":
    begin_state(4)
