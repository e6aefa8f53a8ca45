"""How long tests wait for what has no time of its own. (In a file of its own for clients in pythons that have nothing else.)"""

import os
import time


def patience(seconds):
    """So many seconds of a machine with time for us; as many more as there are others who want each of its cores."""
    return seconds * max(1, os.getloadavg()[0] / os.cpu_count())


def clock_ahead():
    """Seconds between the clock and the time since the machine began. More than before: the clock was set meanwhile, as when a
    virtual machine goes on that stood still."""
    return time.time() - time.monotonic()
