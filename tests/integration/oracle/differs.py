"""Where our worker differs from Celery's on purpose: these are the rows of the table in README.md (test_oracle_readme.py),
and the only places where a test of this folder may expect two things."""

ROWS = {
    "own parent": "a retried task keeps its parent; Celery makes one that has none its own child and parent",
    "unknown part": "a chord with a part that nobody knows fails; Celery's waits for ever",
    "time_limit": "`control time_limit` holds for the next task; Celery's running workers go on with the old limits",
}
