"""Logging: a short line for a person, one JSON object a line for a machine, quiet libraries."""

import json
import logging
from collections.abc import Iterator

import pytest

from p2psip.app.logs import set_up_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_words_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", json_lines=False)
    logging.getLogger("x").info("a phone of %s registered", "alice")
    logging.getLogger("x").debug("never")
    err = capsys.readouterr().err
    assert err.endswith("INFO    a phone of alice registered\n")
    assert err.count("\n") == 1


def test_json_lines_for_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("debug", json_lines=True)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("x").exception("Zoë\nfailed")
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert (found["level"], found["where"], found["words"]) == ("error", "x", "Zoë\nfailed")
    assert "two\nlines" in found["trace"]
    assert found["unix"] > 1e9


def test_one_line_a_message_even_when_a_stranger_wrote_it(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", json_lines=False)
    logging.getLogger("x").warning("refused: %s", "evil\n12:00:00 INFO    all is well\x1b[2J")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err


@pytest.mark.parametrize("name", ["hypercorn.error", "hypercorn.access", "httpx", "httpcore"])
def test_libraries_are_quiet_below_a_warning(name: str) -> None:
    set_up_logging("debug", json_lines=False)
    assert not logging.getLogger(name).isEnabledFor(logging.INFO)
    set_up_logging("error", json_lines=False)
    assert not logging.getLogger(name).isEnabledFor(logging.WARNING)
