"""The end of a run in a terminal: goals first, columns below one another, one line for a check that failed."""

from simulations.results import Check, Figure, Result
from simulations.summary import BAD, GOOD, PLAIN, failures, summary
from simulations.wording import FIRST_COLUMN_MAX, in_columns


def test_goals_that_were_not_met_stand_first_and_all_is_aligned() -> None:
    result = Result("churn", 7, commit="abc1234", messages=12345, trace_hash="5f", virtual_seconds=90.0)
    result.figures = [
        Figure("nodes", 1234567),
        Figure("traffic", 206.94, "B/s", "<= 500 B/s", True),
        Figure("fullest table", "20 of 20 contacts of one bucket"),
        Figure("found", 98.254, "%", ">= 99 %", False),
    ]
    result.checks = [Check("bounds", True), Check("found", False, "u1\nis gone"), Check("load", True)]
    result.kept_one_in = {"lookups": 4}
    assert summary(result) == [
        ("found              98.25  %    ≥ 99 %     NOT MET", BAD),
        ("traffic            206.9  B/s  ≤ 500 B/s  met", GOOD),
        ("nodes          1 234 567", PLAIN),
        ("fullest table             20 of 20 contacts of one bucket", PLAIN),
        ("2 of 3 checks passed: bounds, load", PLAIN),
        ("1 of 3 checks FAILED: found", BAD),
        ("the table lookups was full: one row in 4 was kept", PLAIN),
        ("12 345 datagrams; 1.5 virtual minutes in 0 s", PLAIN),
        ("trace 5f", PLAIN),
    ]
    assert failures(result) == ["FAILED churn seed 7 commit abc1234 checker found: u1 is gone"]


def test_a_long_name_goes_on_in_the_next_line() -> None:
    name = "word " * 30
    (text,) = in_columns([(name, "1")], right=(1,))
    lines = text.split("\n")
    assert len(lines) == 3
    assert max(map(len, lines)) <= FIRST_COLUMN_MAX + 3
    assert lines[-1].endswith("  1")


def test_nothing_is_no_lines() -> None:
    assert in_columns([]) == []
    assert len(summary(Result("churn", 1))) == 2
