"""The engine under test is what engines.py says: it is used only where each limit that it lacks may be missing."""

import pytest

import engines
from worker import run_program

pytestmark = pytest.mark.docker
LACKS = engines.ENGINES[engines.name()].unenforced


@pytest.fixture
def check(broker, postgres, instance):
    """`celeriac-worker --check` where these limits may be missing: (exit status, the engine's line, all of it)."""
    def run(allowed):
        done = run_program(
            "--check", CELERY_BROKER_URL=broker.url, CELERY_RESULT_BACKEND=broker.url, CELERIAC_INSTANCE=instance,
            DATABASE_URL=postgres.url("worker"), SANDBOX_ALLOW_UNENFORCED=",".join(allowed),
        )
        lines = [line for line in done.stdout.splitlines() if " engine " in line]
        return done.returncode, lines[0], done.stdout

    return run


def test_it_is_used_as_it_is(check):
    status, line, text = check(LACKS)
    assert (status, line[:2]) == (0, "ok"), text


@pytest.mark.parametrize("limit", LACKS or ["nothing"])
def test_what_it_lacks_is_refused(check, limit):
    """Each by its name, with all others allowed; an engine that lacks nothing needs no permission at all."""
    status, line, text = check([other for other in LACKS if other != limit])
    if limit == "nothing":
        assert (status, line[:2]) == (0, "ok"), text
    else:
        assert status != 0 and line.startswith("FAIL") and f"SANDBOX_ALLOW_UNENFORCED={limit} accepts that" in line, text
