"""RabbitMQ for tests: a node of its own, with its own Erlang port mapper, cookie, ports and directory, ended by its pids."""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import urllib.parse
import urllib.request
import uuid

import kombu

from services import Service, free_port, launch, patience, wait_until

USER = "rabbitmq"  # Debian's, for tests that run as root: the node refuses to be root


class RabbitMQ(Service):
    """`certificates` (servers.Certificates): also listens on `tls_port`; asks clients for a certificate if `mutual`."""

    def __init__(self, directory, certificates=None, mutual=False, config=()):
        self.directory = pathlib.Path(directory) / f"rabbitmq-{uuid.uuid4().hex[:8]}"
        self.scripts = max(pathlib.Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"), key=self._version)
        self.user = USER if os.getuid() == 0 else None
        self.port, self.management_port, self.tls_port = free_port(), free_port(), free_port()
        self.epmd = None
        self.log_path = self.directory / "server.log"
        self.epmd_port, dist_port = free_port(), free_port()
        self.certificates = certificates
        self.mutual = mutual
        self.config = list(config)
        self.plugins = ["rabbitmq_management"]
        self.env = {
            "PATH": os.environ["PATH"], "HOME": self.directory, "LANG": "C.UTF-8", "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_EPMD_PORT": self.epmd_port, "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"celeriac-{self.port}@localhost", "RABBITMQ_DIST_PORT": dist_port,
            "RABBITMQ_MNESIA_BASE": self.directory / "data", "RABBITMQ_LOG_BASE": self.directory / "log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.directory / "plugins", "RABBITMQ_CONFIG_FILE": self.directory / "rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.directory / "advanced.config", "RABBITMQ_CONF_ENV_FILE": self.directory / "env.conf",
            "RABBITMQ_PID_FILE": self.directory / "pid",
            # Schedulers that spin while they have nothing to do would take the cores from what is measured.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
        }
        self.env = {name: str(value) for name, value in self.env.items()}

    def __str__(self):
        return f"RabbitMQ on port {self.port}"

    @staticmethod
    def _version(path):
        return [int(part) for part in path.parent.name.rpartition("-")[2].split(".") if part.isdigit()]

    @property
    def version(self):
        return tuple(self._version(self.scripts))

    def _listeners(self):
        yield f"listeners.tcp.1 = 127.0.0.1:{self.port}"
        yield "management.tcp.ip = 127.0.0.1"
        yield f"management.tcp.port = {self.management_port}"
        # alarms are for tests that want them, not for machines that are small
        yield "vm_memory_high_watermark.absolute = 4GB"
        yield "disk_free_limit.absolute = 1MB"
        yield f"max_message_size = {128 << 20}"  # as before RabbitMQ 4, which takes an eighth of it
        if not self.certificates:
            return
        # under names that the node's user can read
        for name, source in zip(("ca.crt", "server.crt", "server.key"), (self.certificates.ca, *self.certificates.server)):
            shutil.copyfile(source, self.directory / name)
        yield f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}"
        yield f"ssl_options.cacertfile = {self.directory}/ca.crt"
        yield f"ssl_options.certfile = {self.directory}/server.crt"
        yield f"ssl_options.keyfile = {self.directory}/server.key"
        yield f"ssl_options.verify = {'verify_peer' if self.mutual else 'verify_none'}"
        yield f"ssl_options.fail_if_no_peer_cert = {'true' if self.mutual else 'false'}"

    def create(self):
        self.directory.mkdir()
        files = {
            "plugins": f"[{','.join(self.plugins)}].", "advanced.config": "[].", "env.conf": "",
            "rabbitmq.conf": "\n".join([*self._listeners(), *self.config, ""]), ".erlang.cookie": uuid.uuid4().hex,
        }
        for name, text in files.items():
            (self.directory / name).write_text(text)
            (self.directory / name).chmod(0o600)
        if self.user:
            subprocess.run(["chown", "-R", f"{self.user}:", self.directory], check=True)
        return self.start()

    def start(self):
        """Starts, or starts again after an end: durable queues and persistent messages are there again."""
        if self.epmd is None:
            # Else the node would leave one behind.
            self.epmd = launch(["epmd", "-port", self.epmd_port, "-address", "127.0.0.1"], self.directory / "epmd.log", self.user, cwd="/")
        self.process = launch([self.scripts / "rabbitmq-server"], self.log_path, self.user, cwd="/", env=self.env)
        self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            assert self.alive(), f"{self} ended:\n{self.log()[-4000:]}"
            # the last plugin to start, and then whatever was started before it
            return self.api("GET", "overview") and self.answers()

        wait_until(ready, 60, lambda: f"{self} did not answer\n{self.log()[-4000:]}\n")

    def answers(self):
        with kombu.Connection(self.url(), connect_timeout=5) as connection:
            return connection.connect() is not None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def ctl(self, *args, seconds=60):
        """rabbitmqctl; what it prints."""
        prefix = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--"] if self.user else []
        done = subprocess.run([*prefix, self.scripts / "rabbitmqctl", "-q", *map(str, args)], env=self.env, cwd="/",
                              capture_output=True, text=True, timeout=patience(seconds))
        assert done.returncode == 0, f"rabbitmqctl {args}: {done.stdout}{done.stderr}"
        return done.stdout

    def api(self, method, path, body=None):
        """The management plugin's answer; a tenth of the time of rabbitmqctl, but its counts are seconds old."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.management_port}/api/{path}", method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode(), "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=patience(30)) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def url(self, vhost="/", host="127.0.0.1", user="guest", password="guest"):
        return f"amqp://{user}:{password}@{host}:{self.port}/{urllib.parse.quote(vhost, safe='')}"

    def tls_url(self, vhost="/", host="localhost", user="guest:guest@"):
        return f"amqps://{user}{host}:{self.tls_port}/{urllib.parse.quote(vhost, safe='')}"

    def new_vhost(self):
        """The name of an empty virtual host."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.api("PUT", f"vhosts/{name}")
        return name

    def new_url(self):
        return self.url(self.new_vhost())

    def delete_vhost(self, name):
        self.api("DELETE", f"vhosts/{urllib.parse.quote(name, safe='')}")

    # --- what is in it, as it is now ---

    def queues(self, vhost="/"):
        """{name: row} with counts of messages and consumers, and with the arguments as they were given."""
        columns = ("name", "messages_ready", "messages_unacknowledged", "messages", "consumers", "durable", "exclusive", "auto_delete", "arguments", "type")
        rows = json.loads(self.ctl("list_queues", "-p", vhost, "--formatter", "json", *columns))
        return {row["name"]: {**row, "arguments": self._given(row["arguments"])} for row in rows}

    def _given(self, arguments):
        """{name: value} of what some versions write as [name, type, value]; RabbitMQ 4 adds the kind that it took."""
        given = dict(arguments if isinstance(arguments, dict) else ((name, value) for name, _, value in arguments))
        if self.version >= (4,) and given.get("x-queue-type") == "classic":
            del given["x-queue-type"]
        return given

    def counts(self, vhost="/"):
        """The same without consumers, in a hundredth of the time."""
        return {row["name"]: row for row in self.api("GET", f"queues/{urllib.parse.quote(vhost, safe='')}?disable_stats=true&enable_queue_totals=true")}

    @contextlib.contextmanager
    def channel(self, vhost="/"):
        """A channel of a client: messages are put and counted with it at once."""
        with kombu.Connection(self.url(vhost)) as connection, connection.channel() as channel:
            yield channel

    def ready(self, queue, vhost="/"):
        """Messages that nobody has, or None where there is no such queue."""
        with kombu.Connection(self.url(vhost)) as connection:
            channel = connection.channel()
            try:
                return channel.queue_declare(queue, passive=True).message_count
            except connection.channel_errors:
                return None

    def connections(self):
        return [row["pid"] for row in json.loads(self.ctl("list_connections", "--formatter", "json", "pid"))]

    # --- trouble ---

    def close_connections(self, reason="a test"):
        self.ctl("close_all_connections", "--global", reason)

    def stop_app(self):
        """The server goes, its Erlang node stays."""
        self.ctl("stop_app")

    def start_app(self):
        self.ctl("start_app")
        self.wait_ready()

    def memory_alarm(self, on):
        """While it is on, publishers are blocked."""
        self.ctl("set_vm_memory_high_watermark", *(["0.000001"] if on else ["absolute", "4GB"]))

    def kill(self):
        super().kill()
        if self.epmd is not None:
            self.epmd.kill()
            self.epmd.wait()
            self.epmd = None
