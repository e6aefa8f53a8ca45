"""The process that alone has Docker, asked by an attacker who speaks its protocol, and by a worker that has nothing else."""

import contextlib
import datetime
import hashlib
import io
import json
import os
import pathlib
import select
import socket
import struct
import subprocess
import sys
import tarfile
import time

import pytest

from docker_registry import Registry
from sandboxes import containers
from services import wait_until
from worker import EngineRole, run_program

IMAGE = "celeriac-sandbox:latest"
SPEC = {"image": IMAGE, "argv": ["/bin/sleep", "600"], "labels": [{"name": "role", "value": "sandbox"}]}


class Peer:
    """One connection to a role, as anybody could open it."""

    def __init__(self, role, hello=True, **members):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(role.path))
        self.said = self.ask("hello", version=1, instance=role.settings["CELERIAC_INSTANCE"], **members) if hello else None

    def send(self, request):
        data = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.socket.sendall(struct.pack(">I", len(data)) + data)

    def receive(self):
        head = self.socket.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return None
        return json.loads(self.socket.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL))

    def ask(self, op, **members):
        self.send({"op": op, **members})
        return self.receive()

    def close(self):
        self.socket.close()


def docker(*words, check=True):
    return subprocess.run(["docker", *words], check=check, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def make_role(directory, instance, ended):
    def make(**settings):
        role = EngineRole(directory, CELERIAC_INSTANCE=instance, **settings)
        ended.append(role)
        return role.start()
    return make


@pytest.fixture
def role(make_role):
    return make_role()


@pytest.fixture
def peer(role):
    with contextlib.closing(Peer(role)) as made:
        yield made


@pytest.fixture
def stranger():
    """A container that is nobody's of ours."""
    made = docker("run", "-d", "--network", "none", "--name", f"stranger-{os.getpid()}", "--entrypoint", "sleep", IMAGE, "600")
    yield made
    docker("rm", "-f", made)


def create(peer, **members):
    return peer.ask("create", spec={**SPEC, **members})


# ---- what is granted

def test_a_container_of_the_allowed_shape(role, peer, instance):
    made = create(peer)["text"]
    seen = json.loads(docker("inspect", made))[0]
    host = seen["HostConfig"]
    assert seen["Config"]["Labels"]["celeriac.instance"] == instance and seen["Config"]["User"] == "10001:10001"
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and host["NetworkMode"] == "none" and not host["Privileged"]
    assert "no-new-privileges" in host["SecurityOpt"] and not host["Binds"]
    assert peer.ask("start", id=made) == {}
    assert peer.ask("inspect", id=made)["container"]["running"] is True
    assert [one["id"] for one in peer.ask("list")["containers"]] == [made]
    assert peer.ask("kill", id=made) == {} and peer.ask("reap", id=made, why="test")["flag"] is True
    assert peer.ask("list") == {"containers": []}
    audit = role.audit()
    assert [(line["tool"], line["decision"]) for line in audit] == [(op, "allow") for op in ("create", "start", "kill", "reap")]
    assert audit[0]["target"] == made and audit[0]["image"] == IMAGE and audit[0]["peer_pid"] == os.getpid()


def test_the_role_is_in_a_cage_and_knows_nothing_else(role, peer):
    assert peer.ask("ping") == {}, "what is served is served from inside"
    status = pathlib.Path(f"/proc/{role.process.pid}/status").read_text()
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status and "CapEff:\t0000000000000000" in status
    assert oct(role.path.stat().st_mode & 0o777) == "0o660"
    assert "cage: privileges, files, calls, memory" in role.log()


# ---- what cannot be said

@pytest.mark.parametrize("members", [
    {"privileged": True}, {"Privileged": True}, {"HostConfig": {"Privileged": True}}, {"cap_add": ["SYS_ADMIN"]},
    {"devices": ["/dev/sda"]}, {"pid_mode": "host"}, {"ipc_mode": "host"}, {"security_opt": ["seccomp=unconfined"]},
    {"volumes_from": ["stranger"]}, {"user": "root"},
])
def test_there_is_no_word_for_it(role, peer, members):
    said = create(peer, **members)
    assert said["error"] == "invalid" and "there is no member" in said["message"]
    assert peer.ask("list") == {"containers": []} and role.audit()[-1]["decision"] == "error"


@pytest.mark.parametrize("members, said", [
    ({"mounts": [{"path": "/", "writable": True}]}, "never mounted"),
    ({"mounts": [{"path": "/etc", "writable": False}]}, "never mounted"),
    ({"mounts": [{"path": "/var/run/docker.sock", "writable": True}]}, "never mounted"),
    ({"mounts": [{"path": "/srv", "writable": False}]}, "SANDBOX_MOUNT_ALLOW does not list"),
    ({"network": "host"}, "CELERIAC_ENGINE_NETWORKS"), ({"network": "bridge"}, "CELERIAC_ENGINE_NETWORKS"),
    ({"network": "container:stranger"}, "CELERIAC_ENGINE_NETWORKS"),
    ({"runtime": "sysbox"}, "CELERIAC_ENGINE_RUNTIMES"),
    ({"image": "debian:latest"}, "CELERIAC_ENGINE_IMAGES"), ({"image": "celeriac-sandbox:other"}, "CELERIAC_ENGINE_IMAGES"),
    ({"uid": 1, "gid": 0}, "a user other than"), ({"gid": 998}, "a user other than"),
    ({"memory": 1 << 40}, "CELERIAC_ENGINE_MEMORY"), ({"cpus": 1000.0}, "CELERIAC_ENGINE_CPUS"), ({"pids": 60000}, "CELERIAC_ENGINE_PIDS"),
    ({"package_volume": "celeriac-package-of-others"}, "no package volume of ours: 'celeriac-package-of-others'"),
])
def test_what_its_settings_do_not_grant(role, peer, members, said):
    answer = create(peer, **members)
    assert answer["error"] == "denied" and said in answer["message"], answer
    assert peer.ask("list") == {"containers": []}
    assert role.audit()[-1]["decision"] == "deny" and said in role.audit()[-1]["reason"]


def test_containers_have_an_end(make_role):
    role = make_role(CELERIAC_ENGINE_CONTAINERS="2")
    with contextlib.closing(Peer(role)) as peer:
        made = [create(peer)["text"] for _ in range(2)]
        answer = create(peer)
        assert answer["error"] == "denied" and "CELERIAC_ENGINE_CONTAINERS: there are 2" in answer["message"], answer
        assert peer.ask("reap", id=made[0], why="test")["flag"] is True
        assert create(peer)["text"]


LABELS = [{"name": f"l{n}", "value": "x" * 1000} for n in range(9)]


@pytest.mark.parametrize("members, error, said", [
    ({"image": "celeriac-sandbox:" + "x" * 600}, "invalid", "spec: an image's name of more than 512 bytes"),
    ({"memory": -1}, "invalid", "memory: -1 is not between"), ({"pids": -1}, "invalid", "pids: -1 is not between"),
    ({"network": "../x"}, "denied", "neither SANDBOX_NETWORK, MCP_NETWORK nor CELERIAC_ENGINE_NETWORKS name '../x'"),
    ({"agent_volume": "postgres-data"}, "conflict", "no agent volume of ours: 'postgres-data'"),
    ({"agent_volume": "celeriac-agent-0123456789abcdef"}, "conflict", "no agent volume of ours: 'celeriac-agent-0123456789abcdef'"),
    ({"agent_volume": "celeriac-agent-/../x"}, "conflict", "no agent volume of ours: 'celeriac-agent-/../x'"),
    ({"package_volume": "postgres-data"}, "denied", "no package volume of ours: 'postgres-data'"),
    ({"name": "postgres"}, "invalid", "'postgres' is not a name of ours"),
    ({"labels": [{"name": "instance", "value": "other"}]}, "invalid", "labels: name 'instance'"),
    ({"labels": [{"name": "role"}]}, "invalid", "labels: no name or value"),
    ({"labels": LABELS}, "invalid", "labels: more than 32, or 8192 bytes"),
    ({"labels": [{"name": f"l{n}", "value": ""} for n in range(33)]}, "invalid", "labels: more than 32, or 8192 bytes"),
    ({"tmpfs": [{"path": "/proc", "size": 65536}]}, "invalid", "tmpfs: path '/proc'"),
    ({"tmpfs": [{"size": 1}]}, "invalid", "tmpfs: no path"),
    ({"argv": []}, "invalid", "argv: a command is required"), ({"argv": "sh"}, "invalid", "member 'argv' is of another kind"),
    ({"env": ["PATH"]}, "invalid", "env: entry 0 is not NAME=value"), ({"memory": "1"}, "invalid", "member 'memory' is of another kind"),
    ({"image": None}, "invalid", "member 'image' is of another kind"), ({"mounts": [{}] * 17}, "invalid", "not a list of at most 16"),
])
def test_nonsense(role, peer, members, error, said):
    answer = create(peer, **members)
    assert answer["error"] == error and said in answer["message"] and not answer["transient"], answer
    assert peer.ask("list") == {"containers": []}


def test_a_volume_that_only_has_the_name(role, peer):
    """Anybody can make one; what is granted is what was made for an agent."""
    name = f"celeriac-agent-{os.getpid():016x}"
    docker("volume", "create", name)
    try:
        assert create(peer, agent_volume=name)["error"] == "conflict"
    finally:
        docker("volume", "rm", name)


def test_containers_of_others(role, peer, stranger):
    for op in ("start", "kill", "attach", "attach_fd", "group", "package_open", "package_seal", "package_is_whole", "inspect"):
        said = peer.ask(op, id=stranger)
        assert said["error"] == "denied" and "is not of instance" in said["message"], (op, said)
    assert peer.ask("reap", id=stranger)["error"] == "denied"
    assert peer.ask("rename", id=stranger, name="celeriac-any-0123456789abcdef")["error"] == "denied"
    assert docker("inspect", "-f", "{{.State.Running}}", stranger) == "true"
    for wrong in ("", "stranger", "../containers/json", "0" * 11, "A" * 64, "0" * 65, stranger[:12] + "/json"):
        assert peer.ask("kill", id=wrong)["error"] == "invalid", wrong
    assert peer.ask("kill")["error"] == "invalid"
    own = create(peer)["text"]
    assert peer.ask("rename", id=own, name="postgres")["error"] == "denied"
    assert peer.ask("taken", name="postgres")["error"] == "denied"
    assert peer.ask("package_remove", name="postgres-data") == {}, "there is none of ours"
    assert peer.ask("network", name="host")["error"] == "denied"
    for op in ("pull", "image_env", "image_id", "image_label", "image_volumes"):
        assert peer.ask(op, image="postgres:16")["error"] == "denied"
    assert peer.ask("exec", id=own)["error"] == "unsupported" and peer.ask("containers/create")["error"] == "unsupported"
    denied = [line["tool"] for line in role.audit() if line["decision"] == "deny"]
    assert {"start", "kill", "attach", "inspect", "reap", "rename", "pull", "network"} <= set(denied)


def test_a_descriptor_is_that_of_one_stream(role, peer):
    """What is handed over is the container's own stream: Docker hears no request on it, neither while it lasts nor when it has ended."""
    made = create(peer, argv=["/bin/sh", "-c", "read line; echo said: $line; read line"])["text"]
    size = peer.ask("attach_fd", id=made)["size"]
    assert not size or peer.socket.recv(size, socket.MSG_WAITALL)
    byte, fds, _, _ = socket.recv_fds(peer.socket, 1, 4)
    assert len(byte) == len(fds) == 1
    assert peer.ask("start", id=made) == {}, "the connection to the role goes on"
    with socket.socket(fileno=fds[0]) as stream:
        stream.settimeout(60)
        stream.sendall(b"POST /v1.41/containers/create HTTP/1.1\n")
        said = b"said: POST /v1.41/containers/create HTTP/1.1\n"
        assert stream.recv(8, socket.MSG_WAITALL) == bytes([1, 0, 0, 0]) + struct.pack(">I", len(said))
        assert stream.recv(len(said), socket.MSG_WAITALL) == said
        assert peer.ask("kill", id=made) == {}
        assert stream.recv(1) == b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stream.sendall(b"GET /v1.41/containers/json HTTP/1.1\r\nHost: x\r\n\r\n")
            assert stream.recv(1) == b""


@pytest.fixture
def make_image():
    """Images without anything in them, of June of a year or another time: `steps` is how each came to be, the newest last."""
    made = []

    def make(when, steps, tag=None, **labels):
        created = when if isinstance(when, str) else f"{when}-06-01T00:00:00Z"
        config = json.dumps({
            "architecture": "amd64", "os": "linux", "created": created, "config": {"Labels": labels, "Cmd": ["/none"]},
            "rootfs": {"type": "layers", "diff_ids": []}, "history": [{"created_by": step, "empty_layer": True} for step in steps],
        }).encode()
        digest = hashlib.sha256(config).hexdigest()
        files = {f"{digest}.json": config, "manifest.json": json.dumps([{"Config": f"{digest}.json", "RepoTags": tag and [tag], "Layers": []}]).encode()}
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, data in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        subprocess.run(["docker", "load", "-q"], input=archive.getvalue(), check=True, capture_output=True)
        made.append(f"sha256:{digest}")
        return made[-1]

    yield make
    for image in made:
        docker("rmi", "-f", image, check=False)


def test_images_that_lost_their_name(role, peer, instance, make_image):
    """Of those that `make image` made: what others made, also of ours, what is used, named or newer stays."""
    recipe, label = {"celeriac.recipe": instance}, "/bin/sh -c #(nop)  LABEL celeriac.recipe=x"
    today = datetime.datetime.now(datetime.timezone.utc).isoformat()  # too young for sweeps of others, too
    old = make_image(2001, ["ADD rootfs /", label], **recipe)
    stay = [make_image(2001, ["ADD rootfs /", label, "RUN pip install mine"], **recipe), make_image(2001, ["ADD rootfs /", label]),
            make_image(2001, ["ADD rootfs /", "LABEL other=celeriac"], **recipe), make_image(today, [label], **recipe),
            make_image(2001, ["named", label], tag=f"celeriac-test-named:{instance}", **recipe)]
    # workers of other tests sweep, too: it has a name, which goes to another, until it is used
    tag = f"celeriac-test-used:{instance}"
    used = make_image(2001, ["used", label], tag=tag, **recipe)
    container = docker("create", used)
    docker("tag", stay[-1], tag)
    try:
        before = 1009843200 * 1000000  # 2002: whatever else this engine has is newer
        # what counts is who is there afterwards
        assert "error" not in peer.ask("sweep_images", before=before)
        there = docker("image", "ls", "-aq", "--no-trunc").split()
        assert old not in there and {*stay, used} <= {*there}
    finally:
        docker("rm", "-f", container)
    wait_until(lambda: peer.ask("sweep_images", before=before) == {"number": 0}, 30, "there is always more")
    assert used not in docker("image", "ls", "-aq", "--no-trunc").split()
    usage, disk = peer.ask("usage")["usage"], peer.ask("disk").get("disk")
    assert usage["images"] > 0 and usage["own_images"] > 0 and usage["own_volumes"] == 0, usage
    data = docker("info", "-f", "{{.DockerRootDir}}")
    if not os.path.isdir(data):
        assert disk is None, "it cannot be known of an engine that is elsewhere"
        return
    root = os.statvfs(data)
    assert disk["size"] == root.f_blocks * root.f_frsize and 0 < disk["free"] <= root.f_bfree * root.f_frsize + (1 << 30), disk


def test_an_image_that_a_setting_names_by_its_id_stays(make_role, instance, make_image):
    """What the role is set to use, what it may use beside, and what a worker says that it has. To sweeps of others they are too young."""
    made_at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=12)
    steps = ["ADD rootfs /", "LABEL celeriac.recipe=x"]
    own, listed, wanted, old = (make_image(made_at.isoformat(), steps, **{"celeriac.recipe": f"{instance}-{n}"}) for n in range(4))
    role = make_role(SANDBOX_LEFTOVER_AGE="6h", SANDBOX_IMAGE=own, CELERIAC_ENGINE_IMAGES=f"other:1,{listed[7:19]}")
    with contextlib.closing(Peer(role)) as peer:
        assert "error" not in peer.ask("sweep_images", before=int(time.time() * 1e6), keep=[wanted])
        there = docker("image", "ls", "-aq", "--no-trunc").split()
    assert old not in there and {own, listed, wanted} <= {*there}


def test_an_image_that_a_digest_names_stays(role, peer, instance, make_image, directory, ended):
    """Docker calls it dangling, too; somebody has it by that name."""
    registry = Registry(directory)
    ended.append(registry)
    registry.start()
    name = f"127.0.0.1:{registry.port}/celeriac-test:{instance}"
    made = make_image(2001, ["LABEL celeriac.recipe=x"], tag=name, **{"celeriac.recipe": instance})
    docker("push", "-q", name)
    (digest,) = json.loads(docker("inspect", "-f", "{{json .RepoDigests}}", made))
    docker("rmi", name)
    docker("pull", "-q", digest)
    before = 1009843200 * 1000000
    try:
        assert made in docker("image", "ls", "-q", "--no-trunc", "--filter", "dangling=true").split()
        assert "error" not in peer.ask("sweep_images", before=before)
        assert json.loads(docker("inspect", "-f", "{{json .RepoDigests}}", made)) == [digest]
    finally:
        docker("rmi", "-f", digest, check=False)


# ---- the protocol itself

def test_frames(role):
    """Too large, no JSON, cut off, out of turn: each ends its connection, and no other."""
    good = Peer(role)
    for raw, error in ((struct.pack(">I", 0xffffffff), "too big"), (struct.pack(">I", (512 << 10) + 1), "too big"),
                       (struct.pack(">I", 5) + b"{nope", "protocol error"), (struct.pack(">I", 2) + b"\xff\xfe", "protocol error")):
        bad = Peer(role)
        bad.socket.sendall(raw)
        assert bad.receive()["error"] == error and bad.receive() is None
        bad.close()
    cut = Peer(role)
    cut.socket.sendall(struct.pack(">I", 100) + b"{")
    cut.close()
    deep = Peer(role)
    deep.send(b"[" * 100000 + b"]" * 100000)
    assert deep.receive()["error"] == "protocol error"
    for wrong in ([], 1, None, {}, {"op": 1}, {"op": "ping", "x": 1}, {"op": "ping", "id": "x" * 600}):
        good.send(json.dumps(wrong).encode())
        assert good.receive()["error"] == "invalid", wrong
    # large is only what has a specification, or names of what is kept
    good.send(json.dumps({"op": "ping"}).encode() + b" " * 4096)
    assert good.receive() == {"error": "too big", "message": "a frame of 4110 bytes, 4096 are allowed", "transient": False}
    assert good.ask("ping") == {}
    big = Peer(role)
    big.send({"op": "deliver", "image": IMAGE, "size": 1 << 40})
    assert big.receive()["error"] == "too big" and big.receive() is None


def test_hello(role):
    instance = role.settings["CELERIAC_INSTANCE"]
    version, other = "this engine role speaks version 1", f"this engine role is of instance {instance}"
    for members, error, said in (
            ({"version": 2}, "unsupported", version), ({"instance": "other"}, "denied", other), ({"instance": instance + "x"}, "denied", other),
            ({"version": None}, "invalid", "member 'version' is of another kind"), ({"op": "list"}, "unsupported", version),
            ({"id": "x" * 600}, "invalid", "a text of more than 512 bytes"), ({"x": 1}, "invalid", "there is no member 'x'")):
        bad = Peer(role, hello=False)
        bad.send({"op": "hello", "version": 1, "instance": instance, **members})
        assert bad.receive() == {"error": error, "message": said, "transient": False} and bad.receive() is None, members
    large = Peer(role, hello=False)
    large.socket.sendall(struct.pack(">I", 4097))
    assert large.receive()["error"] == "too big" and large.receive() is None


def memory(role):
    """What it has at most had of anonymous memory, roughly: bytes."""
    status = pathlib.Path(f"/proc/{role.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) << 10


def test_its_memory_is_bounded(role):
    """All that one user can hold open, each with as much as it may announce: the sum has an end, and the role goes on."""
    before = memory(role)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(contextlib.closing(Peer(role))) for _ in range(46)]
        last = stack.enter_context(contextlib.closing(Peer(role)))
        for n, one in enumerate(peers):
            one.socket.setblocking(False)
            if n % 2:
                one.send({"op": "deliver", "image": IMAGE, "size": 4 << 20})
                data = b"x" * (3 << 20)
            else:
                one.socket.send(struct.pack(">I", 512 << 10))
                data = b"[" + b"1," * (255 << 10)
            with contextlib.suppress(BlockingIOError):
                while data:
                    data = data[one.socket.send(data[:65536]):]
        assert last.ask("ping") == {}, "what is small is served meanwhile"
        assert memory(role) - before < 96 << 20
    wait_until(lambda: "text" in (create(Peer(role)) or {}), 90, "it did not recover")
    assert memory(role) - before < 96 << 20


@pytest.mark.parametrize("request_", [{"op": "ping"}, {"op": 1}, {"op": "create", "spec": SPEC | {"image": "debian"}}])
def test_a_flood(make_role, request_):
    """Of what would be answered, of what is no request, of what is denied: few lines, and it serves again."""
    role = make_role(CELERIAC_ENGINE_RATE=5)
    peer = Peer(role)
    said = [peer.send(request_) or peer.receive() for _ in range(200)]
    refused = [one for one in said if one and one["error"] == "unavailable"]
    assert len(refused) >= 100 and all(one["transient"] for one in refused)
    lines = [line for line in role.audit() if "over CELERIAC_ENGINE_RATE" in line.get("reason", "")]
    assert 1 <= len(lines) <= 50 and len(role.audit()) <= 150, "not a line for each"
    wait_until(lambda: peer.ask("ping") == {}, 30, "it did not serve again")


OTHER = """
import json, socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
for line in sys.stdin:
    s.sendall(struct.pack(">I", len(line)) + line.encode())
    print(s.recv(struct.unpack(">I", s.recv(4, socket.MSG_WAITALL))[0], socket.MSG_WAITALL).decode(), flush=True)
"""


@pytest.fixture
def other(role):
    """A peer that is another process: its requests and answers."""
    with subprocess.Popen([sys.executable, "-c", OTHER, role.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        def ask(op, **members):
            process.stdin.write(json.dumps({"op": op, **members}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        assert ask("hello", version=1, instance=role.settings["CELERIAC_INSTANCE"]) == {"version": 1}
        yield ask
        process.stdin.close()


def test_connections_are_bounded(role, other):
    held = []
    with contextlib.ExitStack() as stack:
        for _ in range(48):
            held.append(stack.enter_context(contextlib.closing(Peer(role))))
        more = Peer(role, hello=False)
        said = more.receive()
        assert (said["error"], said["transient"]) == ("unavailable", True) and more.receive() is None
        assert held[-1].ask("ping") == {} and other("ping") == {}
    wait_until(lambda: Peer(role).said == {"version": 1}, 30, "it did not recover")


def test_one_peer_leaves_room_for_others(role, other):
    """Who announces much and sends little holds what is his, and no more: another is served before he is turned away."""
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(contextlib.closing(Peer(role))) for _ in range(12)]
        for one in slow:
            one.socket.sendall(struct.pack(">I", 512 << 10) + b"[")
        assert other("create", spec=SPEC)["text"]
        gone = select.select([one.socket for one in slow], [], [], 0)[0]
    assert gone == [] or time.monotonic() - began > 9, "the slow ones, who have ten seconds, were there all the while"


PROBE = """
import socket, struct, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
n = struct.unpack(">I", s.recv(4, socket.MSG_WAITALL))[0]
print(s.recv(n, socket.MSG_WAITALL).decode())
"""


def test_users_that_are_not_served(role):
    """The file's mode lets another user in: whom the role serves it judges itself."""
    role.path.chmod(0o666)
    for directory in list(role.path.parents)[:-2]:
        directory.chmod(directory.stat().st_mode | 0o011)
    done = subprocess.run([sys.executable, "-c", PROBE, role.path], user=65534, group=65534, extra_groups=[], capture_output=True, text=True)
    assert "CELERIAC_ENGINE_PEERS does not list this user" in done.stdout, done.stderr
    assert role.audit()[-1]["decision"] == "deny" and role.audit()[-1]["peer_uid"] == 65534


@pytest.mark.parametrize("settings, said", [
    ({}, "CELERIAC_ENGINE says no socket"), ({"CELERIAC_ENGINE": "tcp://127.0.0.1:1"}, "is not unix:/path"),
    ({"CELERIAC_ENGINE": "unix:/no/such/place/x.sock"}, "/no/such/place/x.sock"),
])
def test_a_role_that_does_not_start(settings, said):
    done = run_program("--engine", **settings)
    assert done.returncode == 1 and said in done.stderr


def test_two_at_one_socket(role):
    done = run_program("--engine", **role.settings)
    assert done.returncode == 1 and "another engine role answers there" in done.stderr
    role.kill()
    role.start()  # what was left behind is replaced
    assert Peer(role).said == {"version": 1}


# ---- a worker that has no other way

@pytest.fixture
def caged_off(make_full_worker, make_role):
    def make(**settings):
        role = make_role(**settings)
        return role, make_full_worker(CELERIAC_ENGINE=role.address, DOCKER_HOST="unix:///nowhere/docker.sock")
    return make


def test_a_worker_behind_it(caged_off, calls):
    role, worker = caged_off()
    value = calls.run("import os\nprint('x' * 3000000)\nopen('/sandbox/output/big', 'wb').write(os.urandom(3000000))", "c-1")
    assert value["status"] == "ok" and value["files"][0]["size"] == 3000000 and value["stdout_dropped"] > 0
    assert calls.run("print(1)", "c-1")["reused"] is True
    tools = {line["tool"] for line in role.audit()}
    assert {"create", "start", "attach_fd"} <= tools and "attach" not in tools and all(line["decision"] == "allow" for line in role.audit())
    # the role ends and comes back: the conversation goes on
    role.kill()
    wait_until(lambda: worker.readiness().get("engine") == "away", 60, lambda: worker.http("/readyz"))
    role.start()
    worker.wait_ready()
    assert calls.run("print(2)", "c-1")["stdout"] == "2\n"
    assert worker.term() == 0


def test_a_worker_whose_role_is_not_there(make_worker, postgres, directory, calls, instance):
    """It says so, and goes nowhere else, though Docker is at its usual place."""
    worker = make_worker(start=False, DATABASE_URL=postgres.url("worker"), CELERIAC_ENGINE=f"unix:{directory}/none.sock").spawn()
    worker.wait_log("role unix:.*none.sock")
    wait_until(lambda: worker.readiness().get("engine") == "away", 60, lambda: worker.http("/readyz"))
    waits = calls.send("print(1)")
    worker.wait_log("role unix:.*none.sock")
    assert worker.http("/readyz")[0] == 503 and not waits.ready() and containers(instance) == []
