"""A small Flask application in front of Celeriac: the whole integration is Celery's own client.

    POST /conversations/<id>/run   {"code": "…", "language": "python", …}  ->  202 {"task_id": …}
    GET  /tasks/<id>               ->  {"task_id", "state", "result" | "error"}
"""

import os
import pathlib

from celery import Celery
from flask import Flask, jsonify, request



def redis_url(name):
    """From the variable, or the file of a compose secret."""
    return os.environ[name] if name in os.environ else pathlib.Path(os.environ["REDIS_URL_FILE"]).read_text().strip()


celery = Celery(broker=redis_url("CELERY_BROKER_URL"), backend=redis_url("CELERY_RESULT_BACKEND"))
app = Flask(__name__)

# What a caller may choose; everything else is the application's decision.
ALLOWED = {"code", "language", "files", "packages", "stdin", "env", "timeout", "one_shot", "stateful"}


@app.post("/conversations/<conversation_id>/run")
def run(conversation_id):
    body = request.get_json()
    unknown = set(body) - ALLOWED
    if unknown or "code" not in body:
        return jsonify(error=f"unknown or missing fields: {sorted(unknown) or ['code']}"), 400
    task = celery.send_task(
        "sandbox.execute_code",
        kwargs={"conversation_id": conversation_id, "project_id": "demo", **body},
    )
    return jsonify(task_id=task.id), 202


@app.get("/tasks/<task_id>")
def task(task_id):
    result = celery.AsyncResult(task_id)
    answer = {"task_id": task_id, "state": result.state}
    if result.successful():
        answer["result"] = result.result
    elif result.failed():
        answer["error"] = {"type": type(result.result).__name__, "message": str(result.result)}
    return jsonify(answer)


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ["PORT"]))
