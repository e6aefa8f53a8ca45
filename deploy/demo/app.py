"""A small Flask application in front of Celeriac: the whole integration is Celery's own client.

    POST /conversations/<id>/run   {"code": "…", "language": "python", …}  ->  202 {"task_id": …}
    GET  /tasks/<id>               ->  {"task_id", "state", "result" | "error"}
"""

import os

from celery import Celery
from flask import Flask, jsonify, request

celery = Celery(
    broker=os.environ["CELERY_BROKER_URL"],
    backend=os.environ["CELERY_RESULT_BACKEND"],
)
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
