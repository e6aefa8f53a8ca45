"""The same canvas on a Python worker and on ours, and what both left in their backends, made comparable."""

import json
import re

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def ordinals(value):
    """The value with each UUID replaced by when it was first seen."""
    seen = {}
    return json.loads(UUID.sub(lambda found: f"<{seen.setdefault(found.group(), len(seen))}>", json.dumps(value, sort_keys=True)))

