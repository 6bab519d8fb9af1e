"""Every cause of one-way or no audio has its own sentence."""

from dataclasses import replace

import pytest

from p2psip.calls.diagnosis import EARLY_SECONDS, SILENT_SECONDS, EndFacts, hearing, verdict

NOW = 1_000.0
ANSWERED = 900.0
PHONE = EndFacts(
    name="phone alice",
    kind="phone",
    path={
        "local": "192.0.2.1:16384",
        "announced": "10.0.0.7:4000",
        "heard_from": "10.0.0.7:4000",
        "sent_to": "10.0.0.7:4000",
    },
    formats=("0", "101"),
    received=5_000,
    sent=5_000,
    payload_type=0,
    first_received=ANSWERED,
    last_received=NOW,
)
NODE = replace(PHONE, name="node 1234", kind="node", path={"way": "direct", "remote_address": "198.51.100.4:4500"})


def cause(source: EndFacts, sink: EndFacts, unix: float = NOW) -> tuple[str, str]:
    found = hearing(source, sink, unix, ANSWERED)
    assert (found.source, found.sink) == (source.name, sink.name)
    return found.state, found.cause


def test_both_ways_is_told_in_few_words() -> None:
    there, back = hearing(PHONE, NODE, NOW, ANSWERED), hearing(NODE, PHONE, NOW, ANSWERED)
    assert (there.state, there.cause, back.state, back.cause) == ("flows", "", "flows", "")
    assert verdict(there, back) == "audio flows both ways"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (replace(PHONE, received=0), ("nothing came from phone alice", "10.0.0.7:4000", "firewall", "192.0.2.1:16384")),
        (replace(PHONE, received=0, path={"announced": None}), ("announced no address",)),
        (
            replace(PHONE, received=0, refused=9, refused_from="203.0.113.9:7000"),
            ("came from 203.0.113.9:7000", "announced 10.0.0.7:4000", "9 packet(s) were refused", "STUN"),
        ),
        (replace(PHONE, received=0, refused=3), ("no RTP", "3 packet(s)")),
        (replace(NODE, received=0), ("the path to node 1234 works (direct to 198.51.100.4:4500)", "sends no audio")),
        (replace(NODE, received=0, path={"way": None}), ("no media path to node 1234",)),
        (replace(NODE, received=0, lost="consent ran out"), ("was lost: consent ran out",)),
    ],
)
def test_why_nothing_came(source: EndFacts, words: tuple[str, ...]) -> None:
    state, said = cause(source, replace(PHONE, name="sink"))
    assert state == "silent"
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (PHONE, ("nothing more has come from phone alice for 60 s", "muted")),
        (NODE, ("nothing more", "direct to 198.51.100.4:4500")),
        (replace(NODE, path={"way": "relayed", "via": ["node 7", "node 8"]}), ("relayed via node 7 and node 8",)),
        (replace(NODE, lost="all ways are dead"), ("was lost: all ways are dead",)),
        (
            replace(PHONE, refused=50, refused_from="10.0.0.7:4002", last_refused=NOW),
            ("heard from 10.0.0.7:4000", "now sends from 10.0.0.7:4002", "50 packet(s) were refused"),
        ),
        (
            replace(PHONE, refused=50, refused_from="10.0.0.7:4002", last_refused=ANSWERED),
            ("nothing more has come",),
        ),
    ],
)
def test_why_it_stopped(source: EndFacts, words: tuple[str, ...]) -> None:
    state, said = cause(replace(source, last_received=NOW - 60), NODE)
    assert state == "stopped"
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("source", "sink", "words"),
    [
        (PHONE, replace(NODE, sent=0), ("no media path to node 1234",)),
        (NODE, replace(PHONE, sent=0), ("announced no address that audio could be sent to",)),
        (NODE, replace(PHONE, closed_port=4, last_closed=NOW - 1), ("nobody listens at 10.0.0.7:4000", "ICMP")),
        (NODE, replace(PHONE, formats=("8", "101")), ("payload type 0", "takes 8 101 only", "codec mismatch")),
        (PHONE, replace(NODE, lost="consent ran out"), ("to node 1234 was lost: consent ran out",)),
    ],
)
def test_why_it_is_not_passed_on(source: EndFacts, sink: EndFacts, words: tuple[str, ...]) -> None:
    state, said = cause(replace(source, name="source"), sink)
    assert state == "silent"
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("source", "sink", "words"),
    [
        ("inactive", "inactive", "switched audio off"),
        ("sendrecv", "inactive", "node 1234 has switched audio off"),
        ("sendrecv", "sendonly", "node 1234 has put the call on hold"),
        ("recvonly", "sendrecv", "phone alice only listens"),
    ],
)
def test_a_held_call_is_no_fault(source: str, sink: str, words: str) -> None:
    state, said = cause(replace(PHONE, direction=source, received=0), replace(NODE, direction=sink))
    assert state == "held"
    assert words in said


def test_a_service_of_this_node_is_known_by_what_the_other_end_was_sent() -> None:
    echo = replace(PHONE, name="service echo", kind="service", path={}, formats=(), received=0, last_received=None)
    assert cause(echo, PHONE) == ("flows", "")
    assert cause(echo, replace(PHONE, sent=0)) == ("silent", "service echo has said nothing")
    assert cause(PHONE, replace(echo, sent=0)) == ("flows", "")


def test_what_was_closed_once_or_lost_a_little_is_forgiven() -> None:
    assert cause(NODE, replace(PHONE, closed_port=4, last_closed=NOW - SILENT_SECONDS - 1))[0] == "flows"
    assert cause(replace(NODE, missing=100), PHONE) == ("flows", "")
    state, said = cause(replace(NODE, missing=1_000), PHONE)
    assert state == "flows"
    assert "17 % of the packets of node 1234 were lost" in said


def test_a_phone_that_never_sent_is_not_known_to_hear() -> None:
    state, said = cause(NODE, replace(PHONE, received=0))
    assert state == "flows"
    assert "not proved" in said


def test_a_young_call_is_not_judged_unless_something_was_refused() -> None:
    early = ANSWERED + EARLY_SECONDS / 2
    assert cause(replace(PHONE, received=0), NODE, early)[0] == "early"
    assert cause(replace(PHONE, received=0, refused=1), NODE, early)[0] == "silent"


def test_verdicts() -> None:
    flows, back = hearing(PHONE, NODE, NOW, ANSWERED), hearing(NODE, PHONE, NOW, ANSWERED)
    silent = hearing(replace(PHONE, received=0), NODE, NOW, ANSWERED)
    lost = replace(NODE, received=0, lost="consent ran out")
    dead, dead_too = hearing(lost, PHONE, NOW, ANSWERED), hearing(PHONE, lost, NOW, ANSWERED)
    held = hearing(PHONE, replace(NODE, direction="sendonly"), NOW, ANSWERED)
    early = hearing(replace(PHONE, received=0), NODE, ANSWERED, ANSWERED)
    assert verdict(silent, back).startswith("one-way audio: node 1234 does not hear phone alice: nothing came")
    assert verdict(flows, dead).startswith("one-way audio: phone alice does not hear node 1234")
    assert verdict(silent, dead).count("; and ") == 1
    assert verdict(dead_too, dead) == "no audio either way: the media path to node 1234 was lost: consent ran out"
    assert verdict(held, back).startswith("the call is held: node 1234")
    assert verdict(early, back) == "the call is too young to tell"
    assert verdict(silent, replace(silent, source="x")).startswith("no audio either way: nothing came from phone alice")
