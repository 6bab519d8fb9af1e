"""What a terminal shows of presence."""

import pytest

from p2psip.app.presence_views import show_presence
from p2psip.app.show import Printer


def test_notes_of_others_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    seen = {
        "address": "bob@home.example",
        "open": True,
        "activities": ["busy"],
        "notes": ["[bold]at\x9b five[/bold]"],
        "devices": [{"open": True, "note": ""}, {"open": False, "note": ""}],
    }
    show_presence(Printer(as_json=False), seen)
    show_presence(Printer(as_json=False), {**seen, "open": False})
    out = capsys.readouterr().out
    assert "bob@home.example is there, on 1 phone(s)" in out
    assert "[bold]at\N{REPLACEMENT CHARACTER} five[/bold]" in out
    assert "is not there" in out
