"""Redis in the forms that operators run it: with TLS, behind sentinels, with a replica. All private, ended by their pids."""

import pathlib
import subprocess

import redis

from services import Redis, Service, free_port, launch, wait_until


class Certificates:
    """A certificate authority of the test, a server's certificate for 127.0.0.1 and localhost, and a client's."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.ca = self.directory / "ca.crt"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                      "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.directory / "ca.key", "-out", self.ca)
        self.server = self._issue("server", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.other = self._issue("other", "subjectAltName=DNS:elsewhere.example")
        self.client = self._issue("client", "extendedKeyUsage=clientAuth")

    def _openssl(self, *args):
        done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def _issue(self, name, extension):
        key, request, certificate = (self.directory / f"{name}.{end}" for end in ("key", "csr", "crt"))
        extensions = self.directory / f"{name}.ext"
        # all that Python 3.13 wants of a certificate
        extensions.write_text("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                              f"subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n{extension}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                      "-keyout", key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.directory / "ca.key", "-CAcreateserial",
                      "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key


class TlsRedis(Redis):
    """Speaks TLS on `tls_port`; asks clients for a certificate of the authority if `mutual`."""

    def __init__(self, directory, certificates, pair=None, mutual=False):
        super().__init__(directory)
        certificate, key = pair or certificates.server
        self.certificates = certificates
        self.tls_port = free_port()
        self.options = ["--tls-port", self.tls_port, "--tls-cert-file", certificate, "--tls-key-file", key,
                        "--tls-ca-cert-file", certificates.ca, "--tls-auth-clients", "yes" if mutual else "no"]

    def tls_url(self, host="127.0.0.1", database=0, **parameters):
        query = "&".join(f"ssl_{name}={value}" for name, value in parameters.items())
        return f"rediss://{host}:{self.tls_port}/{database}" + (f"?{query}" if query else "")


class Replica(Redis):
    """A server that begins as a replica of `master`."""

    def __init__(self, directory, master):
        super().__init__(directory)
        self.options = ["--replicaof", "127.0.0.1", master.port]


class Sentinel(Service):
    """One redis-sentinel that watches the master `name`."""

    def __init__(self, directory, master, name, quorum, password=None, down_after_ms=1000):
        self.port = free_port()
        self.directory = pathlib.Path(directory)
        self.password = password
        self.config = self.directory / f"sentinel-{self.port}.conf"
        self.config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\n"
            f"sentinel monitor {name} 127.0.0.1 {master.port} {quorum}\n"
            f"sentinel down-after-milliseconds {name} {down_after_ms}\nsentinel failover-timeout {name} 5000\n"
            f"sentinel parallel-syncs {name} 1\n" + (f"requirepass {password}\n" if password else "")
            + (f"sentinel sentinel-pass {password}\n" if password else "")
        )

    def start(self):
        self.process = launch(["redis-server", self.config, "--sentinel"], self.directory / f"sentinel-{self.port}.log")
        wait_until(self.client().ping, 20, "the sentinel did not answer")
        return self

    def client(self):
        return redis.Redis(port=self.port, password=self.password, decode_responses=True)

    def master_port(self, name):
        return int(self.client().execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)[1])


class Group:
    """A master, a replica and three sentinels that watch them."""

    NAME = "mymaster"

    def __init__(self, directory, password=None):
        self.servers = []
        self.sentinels = []
        self.directory = directory
        self.password = password

    def start(self, ended):
        """`ended`: every process is put on it."""
        for number in range(2):
            path = self.directory / f"redis-{number}"
            path.mkdir()
            server = Replica(path, self.servers[0]) if self.servers else Redis(path, durable=True)
            ended.append(server)
            self.servers.append(server.start())
        for number in range(3):
            path = self.directory / f"sentinel-{number}"
            path.mkdir()
            sentinel = Sentinel(path, self.servers[0], self.NAME, 2, self.password)
            ended.append(sentinel)
            self.sentinels.append(sentinel.start())
        for sentinel in self.sentinels:
            wait_until(lambda: self._sees_all(sentinel), 60, "the sentinels did not find each other")
        return self

    def _sees_all(self, sentinel):
        state = sentinel.client().execute_command("SENTINEL", "MASTER", self.NAME)
        state = state if isinstance(state, dict) else dict(zip(state[::2], state[1::2]))
        return int(state["num-other-sentinels"]) == 2 and int(state["num-slaves"]) == 1

    def url(self, database=0):
        return ";".join(f"sentinel://127.0.0.1:{sentinel.port}/{database}" for sentinel in self.sentinels)

    def options(self, **more):
        if self.password:
            more["sentinel_kwargs"] = {"password": self.password}
        return {"master_name": self.NAME, **more}

    def master(self):
        """The server that all sentinels hold for the master."""
        ports = {sentinel.master_port(self.NAME) for sentinel in self.sentinels if sentinel.alive()}
        found = [server for server in self.servers if {server.port} == ports]
        return found[0] if found else None
