"""Where our worker differs from Celery's on purpose: the rows of the table in README.md (test_oracle_readme.py sees to it), each with
the test that holds it. Only for the rows that tests of this folder name may such a test expect two things (World.differs)."""

ROWS = {
    "own parent": ("a retried task keeps its parent; Celery makes one that has none its own child and parent", "test_oracle_retry.py"),
    "unknown part": ("a chord with a part that nobody knows fails; Celery's waits for ever", "test_oracle_canvas.py"),
    "healed": ("a chord that is complete and was not triggered is healed; Celery's waits for ever", "test_chord_sweep.py"),
    "time_limit": ("`control time_limit` holds for the next task; Celery's running workers go on with the old limits",
                   "test_oracle_retry.py"),
    "revoked eta": ("a revoked task that waits for its eta is settled at once; Celery holds it until then", "test_oracle_revoke.py"),
    "soft": ("a limit ends what the task runs, never a thread or process of the worker, and our own tasks cannot catch the soft one",
             "test_task_life.py"),
    "broadcast retry": ("a broadcast task that is retried runs again where it ran; Celery sends it to the exchange again", "test_broadcast.py"),
    "outlives": ("our own tasks outlive their worker though `task_acks_late` is off, `CELERIAC_REDELIVERY_LIMIT` times, then end as "
                 "`WorkerLostError`; Celery's are lost, or go round for ever", "test_redelivery.py"),
    "refused queue": ("a queue that RabbitMQ refuses is named, and the others are consumed; Celery's worker ends", "test_rabbitmq_denied.py"),
    "dead": ("messages that cannot be run (not JSON, pickle, no id …) are kept in `celeriac:dead` with the reason; Celery drops them",
             "test_bad_messages.py"),
}
