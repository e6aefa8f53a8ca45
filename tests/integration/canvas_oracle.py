"""What a canvas leaves in the backend, made comparable between a Python worker and ours."""

import json
import re

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def ordinals(value):
    """The value with each UUID replaced by when it was first seen."""
    seen = {}
    return json.loads(UUID.sub(lambda found: f"<{seen.setdefault(found.group(), len(seen))}>", json.dumps(value, sort_keys=True)))


def meta_of(broker, key):
    """A meta without what differs by nature: dates, the text of tracebacks, who ran it."""
    meta = json.loads(broker.redis.get(key))
    assert (meta["date_done"] is not None) == (meta["status"] in ("SUCCESS", "FAILURE", "REVOKED")), meta
    meta["traceback"] = meta["traceback"] is not None
    meta.pop("date_done")
    meta.pop("worker", None)
    return meta


def left(broker):
    """Everything in the backend, in an order that does not depend on ids; ids are <>."""
    keys = broker.redis.scan_iter("celery-task-meta-*", count=1000)
    return sorted(UUID.sub("<>", json.dumps(meta_of(broker, key), sort_keys=True)) for key in keys)


def forget(broker):
    keys = broker.redis.keys("celery-task*-meta-*") + broker.redis.keys("celeriac:chord*")
    if keys:
        broker.redis.delete(*keys)
