"""Printing: JSON on one line or words for a person; text from elsewhere is never taken for markup or terminal commands."""

import json
from typing import Any

import pytest

from p2psip.app.show import Printer
from p2psip.app.views import show_call, show_lookup, show_status

NASTY = "[/bold] [fe80::1] \x1b[2J\x07 end"
QUIET: dict[str, Any] = {
    "node": {},
    "overlay": {},
    "rendezvous": [],
    "relays": [],
    "volunteer": None,
    "phones": [],
    "calls": [],
    "trunks": [],
    "refused": {"counts": {}, "recent": []},
}


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


def test_addresses_and_fingerprints_become_no_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    """:b: and :CD: between colons are names of emoji."""
    printer, text = Printer(as_json=False), "2001:db8:b::1 AB:CD:EF"
    printer.text(text)
    printer.facts("Facts", {"address": text})
    printer.rows("Rows", ("one",), [(text,)])
    assert capsys.readouterr().out.count(text) == 3


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
    show_status(Printer(as_json=False), {**QUIET, "phones": phones})
    assert contact in capsys.readouterr().out


def test_status_shows_trunks_and_what_went_wrong_with_them(capsys: pytest.CaptureFixture[str]) -> None:
    trunk = {
        "name": "provider",
        "at": "udp:192.0.2.1:5060",
        "server": "sip:provider.example",
        "state": "registered",
        "expires_seconds": 90,
        "health": "answers",
        "calls": 1,
        "calls_max": 4,
        "last_error": NASTY,
        "offered_to": [{"member": "bob@home.example", "calls": 1, "minutes_left": 42}],
    }
    show_status(Printer(as_json=False), {**QUIET, "trunks": [trunk]})
    out = capsys.readouterr().out
    assert "registered" in out
    assert "answers" in out
    assert "42" in out
    assert "\x1b" not in out


def test_status_shows_what_was_refused_and_to_whom(capsys: pytest.CaptureFixture[str]) -> None:
    incident = {"kind": "wrong password", "who": NASTY, "words": "10 of them", "first": 0.0, "last": 0.0, "count": 12}
    show_status(Printer(as_json=False), {**QUIET, "refused": {"counts": {}, "recent": [incident]}})
    out = capsys.readouterr().out
    assert "wrong password" in out
    assert "12" in out
    assert "\x1b" not in out
    show_status(Printer(as_json=False), QUIET)
    assert "What was refused" not in capsys.readouterr().out


def test_status_of_a_client_names_super_nodes_and_relays(capsys: pytest.CaptureFixture[str]) -> None:
    flow = {"name": "ab12", "address": "192.0.2.7:443", "transport": "tls", "milliseconds": 41.6}
    relay = {"name": "ab12", "server": "192.0.2.8:3478", "transport": "udp", "rtt_ms": None, "state": "lost"}
    relays = [{**relay, "relayed": None, "reason": "full"}, {**relay, "relayed": "192.0.2.8:5", "reason": ""}]
    show_status(Printer(as_json=False), {**QUIET, "rendezvous": [flow], "relays": relays})
    out = " ".join(capsys.readouterr().out.split())
    for words in ("ab12", "192.0.2.7:443", "tls", "42 ms", "192.0.2.8:3478", "full", "192.0.2.8:5"):
        assert words in out


@pytest.mark.parametrize("coturn", [None, "192.0.2.9:3478"])
def test_status_of_a_volunteer_says_what_it_does_for_others(
    capsys: pytest.CaptureFixture[str], coturn: str | None
) -> None:
    figures = {"allocations": 3, "packets": 1200, "bytes": 4_200_000, "month_bytes": 1_230_000_000}
    told = {"clients": 5, "draining": True, "tcp": 4000, "tls": 0, "coturn": coturn} | ({} if coturn else figures)
    show_status(Printer(as_json=False), {**QUIET, "volunteer": told})
    out = " ".join(capsys.readouterr().out.split())
    for words in ("clients attached 5", "no, it drains", "tcp 4000", *([coturn] if coturn else ("4.2 MB", "1.23 GB"))):
        assert words in out
