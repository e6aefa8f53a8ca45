"""The other half of http_tool.py: a Celery worker's tasks that fetch a URL with `requests`, as they are written today."""

import os

import celery
import requests

app = celery.Celery("fetching", broker=os.environ["TEST_REDIS_URL"], backend=os.environ["TEST_REDIS_URL"])
app.conf.task_default_queue = "fetching"
kept = requests.Session()


@app.task(name="fetching.each")
def fetch(url):
    answer = requests.get(url, timeout=30)
    answer.raise_for_status()
    return answer.text


@app.task(name="fetching.kept")
def fetch_by_session(url):
    answer = kept.get(url, timeout=30)
    answer.raise_for_status()
    return answer.text
