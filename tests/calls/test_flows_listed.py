"""`docs/flows.md` names every ladder test of RFC 3665 and RFC 5589, and no test that is not there."""

import re
from pathlib import Path

HERE = Path(__file__).parent
LISTED = set(re.findall(r"`(test_\w+)`", (HERE.parents[1] / "docs" / "flows.md").read_text("utf-8")))
LADDERS = ("test_flows_rfc3665.py", "test_flows_rfc3665_beyond.py", "test_transfer_flows_consulted.py")


def defined_in(path: Path) -> set[str]:
    return set(re.findall(r"^async def (test_\w+)", path.read_text("utf-8"), re.MULTILINE))


def test_every_test_that_the_list_names_is_there() -> None:
    present = set().union(*(defined_in(path) for path in HERE.glob("test_*.py")))
    assert LISTED - present == set()


def test_every_ladder_stands_in_the_list() -> None:
    assert set().union(*(defined_in(HERE / name) for name in LADDERS)) - LISTED == set()
