"""The memory bars of the design, with the worker as it is run: database, engine, beat beside it (tests/bench/memory.py)."""

import sys

import pytest

from services import ROOT

sys.path.insert(0, str(ROOT / "tests/bench"))

import memory  # noqa: E402


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenario", memory.SCENARIOS)
def test_bar(scenario, directory, postgres):
    row = memory.run(scenario, 1.0, directory, postgres)
    print(row)
    assert row["met"], row


def test_a_twentieth_of_the_bar(directory, postgres):
    """The same measuring on every change, with less to hold: what 5000 held tasks cost each."""
    row = memory.run("scheduled", 0.05, directory, postgres)
    assert row["peak_mib"] <= 16 and row["bytes_each"] <= 460, row
