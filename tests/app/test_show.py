"""Printing: JSON on one line or words for a person; text from elsewhere is never taken for markup or terminal commands."""

import json

import pytest

from p2psip.app.show import Printer
from p2psip.app.views import show_call, show_lookup, show_status

NASTY = "[/bold] [fe80::1] \x1b[2J\x07 end"


def test_json_is_one_line_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(as_json=True)
    printer.text("words")
    printer.qr("sip:alice@home.example")
    printer.answer({"name": "Zoë\n"}, lambda: print("never"))
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"name": "Zoë\n"}


def test_words_of_a_stranger_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show_call(Printer(as_json=False), {"status": 486, "reason": NASTY})
    out = capsys.readouterr().out
    assert "[/bold] [fe80::1]" in out
    assert "\x1b" not in out
    assert "\x07" not in out


def test_facts_and_rows_keep_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(as_json=False)
    printer.facts("Facts", {NASTY: NASTY})
    printer.rows("Rows", ("one",), [(NASTY,)])
    out = capsys.readouterr().out
    assert out.count("[fe80::1]") == 3
    assert "\x1b" not in out


def test_a_lookup_of_a_strange_name(capsys: pytest.CaptureFixture[str]) -> None:
    cost = {"hops": 1, "messages": 2, "milliseconds": 3.0}
    for exists in (True, False):
        show_lookup(Printer(as_json=False), {"address": NASTY, "registrations": [], "name_exists": exists, **cost})
    device = {"node_id": "00", "addresses": ["[::1]:5060"], "redirect": None, "expires_seconds": 5.0}
    show_lookup(Printer(as_json=False), {"address": NASTY, "registrations": [device], "name_exists": True, **cost})
    out = capsys.readouterr().out
    assert "no phone is registered" in out
    assert "nobody in this overlay" in out
    assert "[::1]:5060" in out


def test_status_of_a_phone_with_a_contact_in_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    contact = "<sip:alice@[abcd::1]:5060>"
    phones = [{"address": "alice", "contact": contact, "flow": "udp", "expires_seconds": 5.0}]
    show_status(Printer(as_json=False), {"node": {}, "overlay": {}, "phones": phones, "calls": []})
    assert contact in capsys.readouterr().out
