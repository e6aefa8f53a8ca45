"""Gives matplotlib the font list made with the image.

matplotlib insists on a writable cache directory, and the image is read-only when it runs: so the cache is in /tmp and
the list in it is a link. One stat when the link is there, and no matter what goes wrong, never in the way.
"""

import os

_MADE = "/usr/share/celeriac/matplotlib"
_CACHE = "/tmp/matplotlib"

if os.environ.get("MPLCONFIGDIR") == _CACHE and not os.path.lexists(_CACHE):
    try:
        os.mkdir(_CACHE, 0o700)
        for _name in os.listdir(_MADE):
            os.symlink(f"{_MADE}/{_name}", f"{_CACHE}/{_name}")
    except OSError:
        pass
