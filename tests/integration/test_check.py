"""--check looks at how the services are set up, where that is dangerous and nothing fails yet."""

import pytest

from services import Service, free_port, launch, wait_until
from worker import PROGRAM, run_program


class Pooler(Service):
    """pgbouncer in front of a PostgreSQL that trusts its clients."""

    def __init__(self, directory, postgres, mode):
        self.port, self.mode, self.postgres = free_port(), mode, postgres
        self.log = directory / f"pgbouncer-{mode}.log"
        self.config = directory / f"pgbouncer-{mode}.ini"
        self.config.write_text(
            f"[databases]\nceleriac = host=127.0.0.1 port={postgres.port} user=celeriac_worker\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n"
            f"server_round_robin = 1\n")
        self.config.chmod(0o644)

    def start(self):
        self.process = launch(["/usr/sbin/pgbouncer", self.config], self.log, "postgres", cwd="/")
        wait_until(lambda: self.postgres.sql("SELECT 1", url=self.url()), 30, lambda: self.log.read_text())
        return self

    def url(self):
        return f"postgresql://celeriac_worker@127.0.0.1:{self.port}/celeriac"


@pytest.fixture
def make_pooler(postgres, directory, ended):
    def make(mode):
        made = Pooler(directory, postgres, mode)
        ended.append(made)
        return made.start()

    return make


def lines(done, what):
    return [line for line in done.stdout.splitlines() if line[:4] in ("ok  ", "FAIL", "note") and line.split()[1:2] == [what]]


def test_a_redis_that_forgets(make_redis, directory):
    redis = make_redis().start()
    both = {"CELERY_BROKER_URL": redis.url(), "CELERY_RESULT_BACKEND": redis.url()}
    done = run_program("--check", **both)
    for what in ("broker", "backend"):
        note, verdict = lines(done, what)
        assert note.startswith("note") and "append-only" in note and verdict.startswith("ok"), done.stdout
    client = redis.client()
    client.config_set("appendonly", "yes")
    assert not any("append-only" in line for line in run_program("--check", **both).stdout.splitlines())
    client.config_set("maxmemory-policy", "allkeys-lru")
    done = run_program("--check", **both)
    assert done.returncode == 1
    for what in ("broker", "backend"):
        [verdict] = lines(done, what)
        assert verdict.startswith("FAIL") and "allkeys-lru" in verdict and "noeviction" in verdict


def test_a_redis_that_does_not_say(make_redis):
    redis = make_redis().start()
    redis.client().execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-info")
    done = run_program("--check", CELERY_BROKER_URL=f"redis://app:pw@127.0.0.1:{redis.port}/0")
    note, verdict = lines(done, "broker")
    assert note.startswith("note") and "does not say" in note and verdict.startswith("ok")


def test_a_pooler(make_pooler, postgres, broker):
    def noted(url):
        done = run_program("--check", CELERY_BROKER_URL=broker.url, DATABASE_URL=url)
        assert lines(done, "database")[0].startswith("ok"), done.stdout
        return [line for line in lines(done, "database") if "pooler" in line]

    [note] = noted(make_pooler("transaction").url())
    assert note.startswith("note") and "transaction mode" in note
    assert noted(make_pooler("session").url()) == [] == noted(postgres.url("worker"))


def test_too_few_descriptors(broker):
    def noted(limit, most):
        done = run_program(f"--nofile={limit}:{limit}", PROGRAM, "--check", program="prlimit",
                           CELERY_BROKER_URL=broker.url, SANDBOX_MAX=most, MCP_MAX="10")
        return lines(done, "descriptors")

    [note] = noted(800, 60)
    assert note.startswith("note") and "800" in note and "60 containers" in note and "LimitNOFILE" in note
    assert noted(4096, 60) == []
