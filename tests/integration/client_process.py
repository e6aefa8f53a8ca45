"""Run by either Python: sends what stdin asks for with its own Celery, prints the results. See clients.Client."""

import json
import sys

import celery

from asking import asking

request = json.load(sys.stdin)
app = celery.Celery(broker=request["url"], backend=asking(request.get("backend") or request["url"]))
app.conf.update(request.get("conf", {}))
if "signed" in request:
    app.setup_security()
if "ping" in request:
    json.dump(app.control.ping(timeout=request["seconds"], limit=1), sys.stdout)
    sys.exit()
results = [
    app.send_task(name, args=args, kwargs=kwargs, **options) for name, args, kwargs, options in request["requests"]
] + [app.AsyncResult(celery.signature(canvas, app=app).apply_async().id) for canvas in request.get("canvases", [])]
answers = []
for result in results:
    answer = {"id": result.id}
    try:
        answer["value"] = result.get(timeout=request["seconds"])
    except celery.exceptions.TimeoutError:
        answer["error"] = "timeout"
    except Exception as error:
        answer["error"] = type(error).__module__ + "." + type(error).__qualname__
        answer["message"] = str(error)
    answer["state"] = result.state
    answers.append(answer)
json.dump(answers, sys.stdout)
