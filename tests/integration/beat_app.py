"""Python's side of the tests of celeriac-beat: a worker that notes what reached it, and a beat to compare with."""

import json
import os

import celery

URL = os.environ["TEST_REDIS_URL"]
app = celery.Celery("beat_app", broker=URL, backend=URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    # As beat's clients do: the task is known by its name only.
    beat_schedule={"sandbox.cleanup": {"task": "sandbox.cleanup", "schedule": 1.0}},
)

if os.environ.get("TEST_ROLE") == "worker":

    @app.task(name="sandbox.cleanup", bind=True)
    def cleanup(self):
        request = self.request
        noted = {
            "id": request.id, "root_id": request.root_id, "parent_id": request.parent_id, "args": request.args,
            "kwargs": request.kwargs, "retries": request.retries, "eta": request.eta, "expires": request.expires,
            "origin": request.origin, "reply_to": request.reply_to, "routing_key": request.delivery_info["routing_key"],
            "beat": (request.headers or {}).get("celery_beat_task", getattr(request, "celery_beat_task", None)),
        }
        app.backend.client.rpush("noted", json.dumps(noted))
        return "cleaned"
