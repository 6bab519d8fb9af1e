"""What an operator hears of, by hand."""

import logging

import pytest

from p2psip.calls.incidents import (
    BURST_SECONDS,
    KINDS_MAX,
    LOGGED_PER_MINUTE_MAX,
    OTHER_KINDS,
    RECENT_MAX,
    TEXT_LETTERS_MAX,
    Incidents,
)


def test_a_burst_is_one_entry_and_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    incidents = Incidents()
    for second in range(5):
        incidents.note("wrong password", "192.0.2.1", f"try {second}", 1_000.0 + second)
    assert incidents.as_json() == {
        "counts": {"wrong password": 5},
        "recent": [
            {
                "kind": "wrong password",
                "who": "192.0.2.1",
                "words": "try 4",
                "first": 1_000.0,
                "last": 1_004.0,
                "count": 5,
            }
        ],
    }
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    incidents.note("wrong password", "192.0.2.1", "again", 1_005.0 + BURST_SECONDS)
    assert incidents.as_json()["recent"][0]["count"] == 1
    assert len(caplog.records) == 2


def test_the_latest_stands_first() -> None:
    incidents = Incidents()
    for who, second in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        incidents.note("scan", who, "", second)
    assert [each["who"] for each in incidents.as_json()["recent"]] == ["a", "b"]


def test_who_fills_it_gets_no_more_than_the_bounds(caplog: pytest.LogCaptureFixture) -> None:
    incidents = Incidents()
    for number in range(RECENT_MAX + 1):
        incidents.note("scan", f"host {number}", "w" * (TEXT_LETTERS_MAX + 1), 1_000.0)
    assert len(incidents) == RECENT_MAX
    assert incidents.counts["scan"] == RECENT_MAX + 1
    assert len(caplog.records) == LOGGED_PER_MINUTE_MAX
    assert len(incidents.as_json()["recent"][0]["words"]) == TEXT_LETTERS_MAX
    incidents.note("scan", "later", "", 1_060.0)
    assert len(caplog.records) == LOGGED_PER_MINUTE_MAX + 1
    for number in range(KINDS_MAX + 1):
        incidents.note(f"kind {number}", "x", "", 1_000.0)
    assert len(incidents.counts) == KINDS_MAX + 1
    assert incidents.counts[OTHER_KINDS] == 2
