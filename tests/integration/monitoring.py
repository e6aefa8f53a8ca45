"""Flower, the newest, as a service of the tests: the fixtures `flower`, and `watched`, a worker that it watches."""

import sys

import pytest
import requests

from clients import HERE, OURS
from services import Service, free_port, launch, wait_until


class Flower(Service):
    def __init__(self, broker, directory):
        self.broker = broker
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = directory / "flower.log"

    def __str__(self):
        return "Flower"

    def log(self):
        return self.log_path.read_text(errors="replace")

    def start(self):
        self.process = launch(
            [sys.executable, "-s", "-m", "celery", "-A", "patient_app", "flower", "--address=127.0.0.1", f"--port={self.port}"],
            self.log_path, cwd=HERE, env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "FLOWER_UNAUTHENTICATED_API": "true",
                                          "TEST_REDIS_URL": self.broker.url},
        )
        wait_until(lambda: requests.get(self.url + "/healthcheck", timeout=5).ok if self.answers() else None, 60,
                   lambda: f"Flower did not answer:\n{self.log()[-3000:]}\n")
        return self

    def answers(self):
        assert self.alive(), self.log()[-3000:]
        try:
            return requests.get(self.url + "/healthcheck", timeout=5).ok
        except requests.ConnectionError:
            return False

    def get(self, path, **params):
        answer = requests.get(self.url + path, params=params, timeout=90)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer

    def post(self, path, ok=True, **params):
        answer = requests.post(self.url + path, data=params, timeout=90)
        assert answer.ok == ok, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer

    def worker(self):
        return self.get("/api/workers", refresh="1", workername=OURS).json().get(OURS)

    def wait_worker(self, told, seconds=60):
        """What Flower knows of the worker, once `told` is true of it; what it has not heard of yet is not true."""
        def known():
            worker = self.worker()
            try:
                return worker if told(worker) else None
            except (KeyError, TypeError):
                return None

        return wait_until(known, seconds, lambda: f"Flower knows only {self.worker()}")

    def task(self, task_id, state, seconds=60):
        """What Flower knows of a task, once it is in that state."""
        def known():
            answer = requests.get(f"{self.url}/api/task/info/{task_id}", timeout=90)
            return answer.json() if answer.ok and answer.json()["state"] == state else None

        return wait_until(known, seconds, lambda: f"task {task_id} did not become {state} in Flower")


@pytest.fixture
def flower(broker, directory, ended):
    made = Flower(broker, directory)
    ended.append(made)
    return made.start()


@pytest.fixture
def watched(make_worker, flower):
    """A worker; Flower is there first and switches task events on."""
    worker = make_worker("-n", OURS, "-c", "2")
    wait_until(lambda: flower.get("/api/workers", status="1").json().get(OURS), 60, "Flower does not see the worker as online")
    worker.wait_log("Events of group {task} enabled by remote", 60)
    return worker
