"""The local stack of `make up`, in a directory of its own."""

import os
import pathlib
import subprocess
import tempfile
import urllib.error
import urllib.request

import celery
import psycopg
import redis

from services import ROOT, patience

SERVICES = ("redis", "postgres", "worker", "beat")


class Stack:
    def __init__(self, **settings):
        # A shell that has sourced another stack's env must not lend it to this one.
        own = ("CELERIAC_INSTANCE", "CELERIAC_METRICS", "RUN_DIR")
        self.settings = {**{k: v for k, v in os.environ.items() if k not in own}, **settings}
        (ROOT / ".run" / "test").mkdir(parents=True, exist_ok=True)
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=ROOT / ".run" / "test"))
        self.dir.chmod(0o755)
        self.settings["RUN_DIR"] = str(self.dir)

    def script(self, *words, check=True):
        done = subprocess.run(
            [ROOT / "deploy/stack", *words], env=self.settings, text=True, timeout=patience(120),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        if check and done.returncode:
            raise AssertionError(f"deploy/stack {' '.join(words)}: {done.stdout}\n{self.log('worker')[-4000:]}")
        return done.stdout

    def start(self):
        self.script("start")
        self.read_env()
        return self

    def read_env(self):
        shell = subprocess.run(
            ["env", "-i", "bash", "-c", f'. "{self.dir}/env" && env -0'], check=True, capture_output=True, text=True
        )
        self.env = dict(line.split("=", 1) for line in shell.stdout.split("\0") if "=" in line)

    def stop(self):
        self.script("stop", check=False)

    def stop_service(self, name, signal="TERM"):
        self.script("stop-service", name, signal)

    def start_service(self, name):
        self.script("start-service", name)
        self.read_env()

    def pid(self, name):
        return int((self.dir / f"{name}.pid").read_text().split()[0])

    def log(self, name):
        path = self.dir / "log" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def celery(self, **conf):
        app = celery.Celery(
            broker=self.env["CELERY_BROKER_URL"], backend=self.env["CELERY_RESULT_BACKEND"], set_as_current=False
        )
        app.conf.update(conf)
        return app

    def redis(self, **options):
        return redis.Redis.from_url(self.env["CELERY_BROKER_URL"], **options)

    def sql(self, query, *args, role="CELERIAC_OWNER_DATABASE_URL"):
        with psycopg.connect(self.env[role], autocommit=True) as connection:
            cursor = connection.execute(query, args)
            return cursor.fetchall() if cursor.description else []

    def http(self, path):
        """(status, text) of a GET on the worker's listener; status 0 if nothing answers."""
        try:
            with urllib.request.urlopen(self.env["CELERIAC_METRICS_URL"] + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def containers(self):
        """Ids of this stack's containers."""
        listed = subprocess.run(
            ["docker", "ps", "-aq", "--no-trunc", "--filter", f"label=celeriac.instance={self.env['CELERIAC_INSTANCE']}"],
            check=True, capture_output=True, text=True,
        )
        return listed.stdout.split()
