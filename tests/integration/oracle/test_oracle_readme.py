"""The README's tables are true to the tests."""

import re

import pytest

from differs import ROWS
from services import ROOT

README = (ROOT / "README.md").read_text()


def test_what_differs_on_purpose_is_in_the_readme():
    table = README.split("### Different on purpose")[1].split("\n\n")[1].splitlines()[2:]
    assert table == [f"| {text} | `{test}` |" for text, test in ROWS.values()]
    assert len(ROWS) <= 10


@pytest.mark.parametrize("name", sorted(set(re.findall(r"test_\w+\.py", README))))
def test_every_test_that_is_named_exists(name):
    assert list((ROOT / "tests").rglob(name)), name
