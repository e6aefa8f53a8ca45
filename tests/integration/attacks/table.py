"""Attacks on a sandbox from inside: what each tries, and the verdict it earns.

One row each: code in Python; the statuses that are right; what its output must be (a string, or a function of the
result); the time limit. What every attack has in common is checked in test_attacks.py: its verdict, that nothing of it is
alive, and that its conversation, a neighbour's, the worker and the engine go on.
"""

from dataclasses import dataclass, replace
from typing import Callable, Union


@dataclass
class Attack:
    name: str
    code: str
    status: Union[str, tuple] = "ok"
    output: Union[None, str, Callable] = None
    timeout: float = 20
    survives: bool = True  # the container is used on afterwards
    needs: tuple = ()  # limits: without them the attack would be on the machine


PRELUDE = """
import ctypes, errno, os, signal, socket, stat, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return 'ok' if result >= 0 else errno.errorcode.get(ctypes.get_errno(), ctypes.get_errno())
def attempt(what):
    try: return repr(what())
    except BaseException as error: return type(error).__name__
"""


def only(*words):
    """Each line of the output begins with one of these."""
    return lambda value: all(line.split()[0] in words for line in value["stdout"].splitlines()) and value["stdout"]


PROCESSES = [
    Attack("fork bomb", "while True:\n    try: os.fork()\n    except OSError: pass", ("timeout", "killed"), timeout=3, needs=("pids",)),
    Attack("thread bomb", """
n = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        n += 1
except RuntimeError:
    print(n < 300)
    sys.stdout.flush()
    os._exit(0)
""", output="True\n", needs=("pids",)),
    Attack("double fork into a session of its own", """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: time.sleep(1)
    os._exit(0)
os.wait()
print('gone')
""", output="gone\n"),
    Attack("a reaper of its own for its orphans", """
assert libc.prctl(36, 1, 0, 0, 0) == 0    # PR_SET_CHILD_SUBREAPER
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        libc.prctl(36, 1, 0, 0, 0)
        if os.fork() == 0:
            for s in range(1, 65):
                try: signal.signal(s, signal.SIG_IGN)
                except (OSError, ValueError): pass
            while True: time.sleep(1)
        while True: time.sleep(1)
print('left')
""", output="left\n"),
    Attack("a relay: each process is another one's child by the time it is looked for", """
for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork(): os._exit(0)
print('running')
""", ("ok", "timeout", "killed"), timeout=5),
    Attack("stops itself and its group", "os.kill(0, signal.SIGSTOP)\ntime.sleep(60)", "timeout", timeout=2),
    Attack("stops a child that holds its output", """
pid = os.fork()
if pid == 0:
    while True: time.sleep(1)
os.kill(pid, signal.SIGSTOP)
print('parent')
""", output="parent\n"),
    Attack("kills everything it may", "print(attempt(lambda: os.kill(-1, signal.SIGKILL)), flush=True)\ntime.sleep(60)",
           ("killed", "timeout"), timeout=3),
    Attack("signals to the first process", """
for s in list(range(1, 32)) + [34, 40, 64]:
    attempt(lambda: os.kill(1, s))
print('still here')
""", output="still here\n"),
    Attack("ignores every signal", """
for s in range(1, 65):
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: time.sleep(1)
""", "timeout", timeout=2),
    Attack("memory by the heap", "x = []\nwhile True: x.append(bytearray(1 << 24))", ("oom", "error"), timeout=60, needs=("memory",)),
    Attack("memory by files in memory", """
for place in ('/dev/shm/x', '/tmp/x', '/sandbox/x'):
    try:
        with open(place, 'wb') as f:
            while True: f.write(b'x' * (1 << 20))
    except OSError as error: print(errno.errorcode[error.errno])
for place in ('/dev/shm/x', '/tmp/x', '/sandbox/x'): os.remove(place)
""", output=only("ENOSPC"), timeout=60),
    Attack("memory by many processes", """
for _ in range(40):
    if os.fork() == 0:
        x = bytearray(64 << 20); time.sleep(2); os._exit(0)
while True:
    try: os.wait()
    except ChildProcessError: break
sys.exit(3)
""", ("oom", "error"), timeout=60, needs=("memory",)),
    Attack("all descriptors", """
kept = []
try:
    while True: kept.append(os.dup(0))
except OSError as error: print(errno.errorcode[error.errno], len(kept) <= 1024)
""", output="EMFILE True\n"),
    Attack("System V and POSIX IPC", """
print(call(29, 0, 1 << 40, 0o1600) != 'ok', len([1 for _ in range(64) if call(68, 0, 0o1600) == 'ok']) <= 64)
""", output=only("True")),
    Attack("a file larger than everything", """
fd = os.open('/sandbox/sparse', os.O_RDWR | os.O_CREAT)
print(attempt(lambda: os.ftruncate(fd, 1 << 40)), attempt(lambda: os.posix_fallocate(fd, 0, 1 << 40)))
os.remove('/sandbox/sparse')
""", ("ok", "killed"), output=lambda value: "None" not in value["stdout"]),
]

OUTPUT = [
    Attack("both streams without an end", """
def flood(stream):
    while True: stream.write('x' * 65536)
threading.Thread(target=flood, args=(sys.stderr,), daemon=True).start()
flood(sys.stdout)
""", "timeout", timeout=2, output=lambda value: value["stdout_dropped"] > 0 and len(value["stdout"]) < 1_100_000),
    Attack("no newline, NUL, split and invalid characters", """
sys.stdout.buffer.write(b'a\\0b\\xff' + '\\u20ac'.encode()[:2] + b'z')
sys.stdout.buffer.flush()
""", output="a\ufffdb\ufffd\ufffd\ufffdz"),
    Attack("escape sequences of terminals", "sys.stdout.write('\\x1b]0;title\\x07\\x1b[2J\\x1b[31mred')",
           output="\x1b]0;title\x07\x1b[2J\x1b[31mred"),
    Attack("closes its output and runs on", "sys.stdout.flush(); os.close(1); os.close(2); time.sleep(0.3); os._exit(5)", "error"),
    Attack("a child keeps the output open", "subprocess.Popen(['sleep', '600'])\nprint('done')", output="done\n"),
    Attack("writes where the agent speaks", """
for path in ('/proc/1/fd/1', '/proc/1/fd/0', '/proc/1/fd/200', '/proc/1/fd/201', '/dev/console', '/dev/kmsg', '/dev/tty'):
    print(attempt(lambda: open(path, 'wb').write(b'x')))
""", output=only("PermissionError", "FileNotFoundError", "OSError")),
    Attack("speaks the agent's language", """
import struct
mark = bytes([0xc5]) + b'CELERIAC' + bytes([0xff, 13, 10, 0x1a, 0, 0xfe, 1])
for epoch in range(64):
    for run in range(8):
        exit_frame = struct.pack('<BBHIII', 36, 0, 0, epoch, run, 112) + bytes(112)
        sys.stdout.buffer.write(mark + exit_frame)
        sys.stderr.buffer.write(mark + exit_frame)
sys.stdout.flush()
os._exit(7)
""", "error", output=lambda value: value["exit_code"] == 7 and value["stdout"].count("CELERIAC") == 512),
]

PROC = [
    Attack("what the agent is, has and remembers", """
for name in ('environ', 'mem', 'maps', 'fd', 'cwd', 'exe', 'root', 'stack', 'syscall', 'auxv', 'io', 'map_files'):
    path = '/proc/1/' + name
    print(attempt(lambda: os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(16)))
""", output=lambda value: all(line in ("PermissionError", "FileNotFoundError", "NotADirectoryError", "[]") for line in value["stdout"].splitlines())),
    Attack("traces the agent", "print(call(101, 16, 1, 0, 0), call(101, 0x4206, 1, 0, 0))", output="EPERM EPERM\n"),
    Attack("the environment of others", """
seen = b''
for pid in os.listdir('/proc'):
    if pid.isdigit() and int(pid) != os.getpid():
        try: seen += open(f'/proc/{pid}/environ', 'rb').read()
        except OSError: pass
print(b'SECRET' in seen or b'DATABASE' in seen or b'CELERY' in seen)
""", output="False\n"),
    Attack("the kernel's switches", """
for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/vm/overcommit_memory', '/proc/sysrq-trigger', '/sys/kernel/uevent_helper',
             '/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/release_agent', '/sys/fs/cgroup/memory/release_agent',
             '/sys/fs/cgroup/memory.max', '/proc/sys/kernel/randomize_va_space', '/proc/self/oom_score_adj_x'):
    print(attempt(lambda: open(path, 'w').write('1')))
""", output=only("PermissionError", "FileNotFoundError", "OSError")),
    Attack("where the host keeps it", """
text = open('/proc/self/mountinfo').read()
print(any(word in text for word in ('/var/run/docker.sock', '/home/', 'docker.sock')), os.path.exists('/var/run/docker.sock'), os.path.exists('/.dockerenv') or True)
""", output="False False True\n"),
    Attack("spares itself at the agent's cost", """
print(attempt(lambda: open('/proc/1/oom_score_adj', 'w').write('1000')), attempt(lambda: open('/proc/self/oom_score_adj', 'w').write('-1000')))
""", output=only("PermissionError")),
    Attack("lowers the agent's limits", """
import resource
for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU):
    attempt(lambda: resource.prlimit(1, what, (0, 0)))
print('tampered')
""", ("ok", "killed", "lost"), survives=False),
]

KERNEL = [
    Attack("calls that are taken away", """
print([name for name, number, args in (
    ('keyctl', 250, (0,)), ('add_key', 248, ()), ('request_key', 249, ()), ('bpf', 321, (0,)), ('perf', 298, ()), ('userfaultfd', 323, (0,)),
    ('uring', 425, (8,)), ('unshare user', 272, (0x10000000,)), ('unshare net', 272, (0x40000000,)), ('setns', 308, (0, 0)), ('mount', 165, ()),
    ('umount', 166, ()), ('pivot_root', 155, ()), ('chroot', 161, ()), ('fsopen', 430, ()), ('open_tree', 428, ()), ('process_vm_readv', 310, (1,)),
    ('pidfd_getfd', 438, ()), ('open_by_handle', 304, ()), ('kexec', 246, ()), ('init_module', 175, ()), ('clone newuser', 56, (0x10000000,)),
    ('ptrace', 101, (0,)), ('x32 getpid', 0x40000027, ()), ('iopl', 172, (3,)), ('reboot', 169, ()), ('settime', 164, ()))
    if call(number, *args) == 'ok'])
""", output="[]\n"),
    Attack("sockets of other families", """
print([family for family in (16, 17, 38, 40, 44, 9, 29, 15, 21, 30, 31, 45)
       if family != 16 and not attempt(lambda: socket.socket(family, socket.SOCK_DGRAM)).endswith('Error')])
print(attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)), attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)))
""", output="[]\nPermissionError OSError\n"),
    Attack("more than it is", """
print(attempt(lambda: os.setuid(0)), attempt(lambda: os.setgroups([0])), attempt(lambda: os.mknod('/tmp/d', 0o60600, os.makedev(8, 0))))
status = dict(line.split(':\\t') for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
print(*(status.get(name) for name in ('CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp')))
print([p for p in ('/usr/bin/su', '/bin/mount', '/usr/bin/passwd') if os.path.exists(p) and os.stat(p).st_mode & stat.S_ISUID and subprocess.run([p], capture_output=True, stdin=subprocess.DEVNULL, timeout=5).returncode == 0 and os.getuid() == 0])
""", output="PermissionError PermissionError PermissionError\n0000000000000000 0000000000000000 0000000000000000 1 2\n[]\n"),
    Attack("the way out", """
print(sorted(os.listdir('/sys/class/net')))
for address in (('169.254.169.254', 80), ('172.17.0.1', 2375), ('8.8.8.8', 53), ('10.0.0.1', 80)):
    print(attempt(lambda: socket.create_connection(address, 2)))
""", output=lambda value: value["stdout"].startswith("['lo'") and "<socket" not in value["stdout"]),
]

FILES = [
    Attack("links and special files as results", """
os.chdir('/sandbox/output')
os.symlink('/etc/passwd', 'link'); os.symlink('/', 'root'); os.symlink('.', 'loop')
os.mkfifo('fifo'); socket.socket(socket.AF_UNIX).bind('socket')
open('fine.txt', 'w').write('fine'); os.link('fine.txt', 'hard.txt')
open('closed', 'w').write('x'); os.chmod('closed', 0)
""", output=lambda value: {"fine.txt"} <= {entry["name"] for entry in value["files"]} <= {"fine.txt", "hard.txt", "closed"}
           and {"link", "root", "loop", "fifo", "socket"} <= {entry["name"] for entry in value["files_skipped"]}),
    Attack("names that are none", """
os.chdir('/sandbox/output')
for name in (b'new\\nline', b'\\xff\\xfe', b'tab\\t', b'esc\\x1b[2J', b'x' * 255, b'-rf', b'a b', 'ü.txt'.encode()):
    open(name, 'w').write('x')
""", output=lambda value: {entry["name"] for entry in value["files"]} == {"x" * 255, "-rf", "a b", "ü.txt"}),
    Attack("a tree without a bottom", """
os.chdir('/sandbox/output')
for n in range(3000):
    try: os.mkdir('d'); os.chdir('d')
    except OSError: break
""", output=lambda value: value["files"] == [] and value["files_skipped"]),
    Attack("a hundred thousand files", """
for n in range(100_000):
    try: open(f'/sandbox/output/{n}', 'w').close()
    except OSError: break
""", ("ok", "disk_full"), output=lambda value: len(value["files"]) <= 64, timeout=60),
    Attack("files that are mostly holes", """
with open('/sandbox/output/holes', 'wb') as f: f.truncate(100 << 20)
open('/sandbox/output/small', 'w').write('x')
""", output=lambda value: [entry["name"] for entry in value["files"]] == ["small"]),
    Attack("a link in place of the directory", """
import shutil
shutil.rmtree('/sandbox/output', ignore_errors=True)
os.symlink('/etc', '/sandbox/output')
""", output=lambda value: value["files"] == []),
    Attack("no home", "os.chmod('/sandbox', 0)"),
]


def keeps_its_memory(value):
    """gVisor's /proc/1 of 2022: environment (nothing secret is in it), maps and descriptors are there for the same user."""
    lines = value["stdout"].splitlines()
    return [lines[at] for at in (1, 4, 5, 6)] == ["PermissionError"] * 4 and "SECRET" not in value["stdout"]


# What another verdict is right for on an engine of engines.py, and why.
DIFFERS = {
    "runsc": {
        # It has no subreapers: orphans are the agent's at once.
        "a reaper of its own for its orphans": {"status": "error", "output": None},
        # Its PID 1 dies of SIGKILL from inside: the run has ended itself, and the container with it.
        "signals to the first process": {"status": ("killed", "lost"), "output": None, "survives": False},
        # A segment of any size can be named; its memory is not there before it is used.
        "System V and POSIX IPC": {"output": "False True\n"},
        # SANDBOX_ALLOW_UNENFORCED=agent: the run has spoilt its own stream, which ends in any verdict but a lie about another.
        "writes where the agent speaks": {"status": ("ok", "error", "timeout", "killed", "lost"), "output": None},
        "what the agent is, has and remembers": {"output": keeps_its_memory},
        # Its files in memory are slow: the time limit may be first.
        "a hundred thousand files": {"status": ("ok", "disk_full", "timeout")},
        # A device file can be made, of devices that its kernel does not have; /proc/self/status has no CapAmb.
        "more than it is": {"output": lambda value: value["stdout"].startswith(
            "PermissionError PermissionError None\n0000000000000000 0000000000000000 None ") and value["stdout"].endswith("\n[]\n")},
    },
}


def as_on(engine, attack):
    return replace(attack, **DIFFERS.get(engine, {}).get(attack.name, {}))


TABLES = {"processes": PROCESSES, "output": OUTPUT, "proc": PROC, "kernel": KERNEL, "files": FILES}
