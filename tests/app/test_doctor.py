"""What the doctor says: for every combination of facts something sensible, for each fact its own words."""

import itertools
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from p2psip.app.cli import app
from p2psip.app.control import ControlError
from p2psip.app.doctor import (
    FAR_MILLISECONDS,
    CallCheckFacts,
    DoctorFacts,
    Finding,
    MappedPort,
    SupernodeFacts,
    VolunteeringFacts,
    can_be_called,
    findings,
)
from p2psip.app.examination import read_facts
from p2psip.app.show import Printer
from p2psip.app.views import show_call_media, show_call_record, show_calls, show_examination, show_no_node

OPEN = DoctorFacts(
    overlay="home.example",
    addresses=("alice@home.example",),
    role="peer",
    mapping="none",
    filtering="endpoint_independent",
    proved=True,
    seen_as=("203.0.113.5", 4500),
    local=(("203.0.113.5", 4500),),
    port=4500,
    peers=7,
    phones=1,
    published=True,
    udp=True,
    call_check=CallCheckFacts(True, "", 48.0),
    supernodes_known=4,
)
SUPERNODES = tuple(SupernodeFacts(f"node {n}", f"198.51.100.{n}:4500", "udp", 10.0 * n) for n in (1, 2, 3))
CLIENT = replace(
    OPEN,
    role="client",
    mapping="dependent",
    filtering="address_and_port_dependent",
    proved=False,
    local=(("192.168.1.20", 4500),),
    supernodes=SUPERNODES,
)
UPNP = MappedPort("UPnP", "udp", "203.0.113.5", 4500)
VOLUNTEER = VolunteeringFacts(12, 3, 500, 1.5, 200.0, 20.0)


def said(facts: DoctorFacts, topic: str) -> Finding:
    """The finding about one topic."""
    (found,) = [each for each in findings(facts) if each.topic == topic]
    return found


def test_every_combination_of_facts_is_told_in_whole_sentences() -> None:
    roles, seen = ("peer", "client", "unknown"), (None, ("203.0.113.5", 4500))
    mappings = ("none", "endpoint_independent", "dependent", "unknown")
    filterings = ("endpoint_independent", "address_dependent", "address_and_port_dependent", "unknown")
    mapped = ((), (UPNP,), (replace(UPNP, host="100.64.3.4"),))
    chosen = itertools.product(
        roles, mappings, filterings, seen, mapped, (True, False, None), (True, False, None), ((), SUPERNODES)
    )
    count = 0
    for role, mapping, filtering, address, ports, udp, reached, supernodes in chosen:
        for volunteering, peers in ((None, 0), (VOLUNTEER, 5)):
            facts = replace(
                CLIENT,
                role=role,
                mapping=mapping,
                filtering=filtering,
                seen_as=address,
                mapped=ports,
                udp=udp,
                call_check=CallCheckFacts(reached),
                supernodes=supernodes,
                volunteering=volunteering,
                peers=peers,
            )
            check_findings(facts)
            count += 1
    assert count == 3 * 4 * 4 * 2 * 3 * 3 * 3 * 2 * 2


def check_findings(facts: DoctorFacts) -> None:
    found = findings(facts)
    topics = [each.topic for each in found]
    assert topics == ["calls", "overlay", "NAT", "addresses", "UDP", "router", "super-nodes", "volunteering"]
    for each in found:
        for text in (each.sentence, each.advice):
            assert text == "" or text.endswith("."), text
            assert "None" not in text, text
            assert "_" not in text.replace("port_mapping", ""), text
        assert each.sentence
    assert can_be_called(facts) != any(each.severity == "problem" for each in found), found


def test_an_open_node_is_well_and_nothing_is_to_be_done() -> None:
    found = findings(OPEN)
    assert {each.severity for each in found} == {"good"}
    assert [each.topic for each in found if each.advice] == ["volunteering"]
    assert (
        said(OPEN, "calls").sentence
        == "sip:alice@home.example can be called now: somebody outside got through in 48 ms."
    )
    assert "no NAT" in said(OPEN, "NAT").sentence
    assert "Nothing is to be changed" in said(OPEN, "router").sentence


@pytest.mark.parametrize(
    ("change", "callable_", "words"),
    [
        ({}, True, "can be called now"),
        ({"phones": 0}, False, "no phone is registered"),
        ({"published": False}, False, "not in the overlay"),
        (
            {"call_check": CallCheckFacts(False, "node 7 got no answer within 3 s")},
            False,
            "node 7 got no answer within 3 s",
        ),
        ({"call_check": CallCheckFacts(False)}, False, "did not get through"),
        (
            {"call_check": CallCheckFacts(None, "nobody else is there")},
            True,
            "nobody outside could test it: nobody else",
        ),
        ({"call_check": CallCheckFacts(True, "through node 1")}, True, "(through node 1)"),
    ],
)
def test_whether_it_can_be_called(change: dict[str, Any], callable_: bool, words: str) -> None:
    for facts in (replace(OPEN, **change), replace(CLIENT, **change)):
        assert can_be_called(facts) is callable_
        assert words in said(facts, "calls").sentence
        assert (said(facts, "calls").severity == "problem") is not callable_


def test_alone_nobody_can_be_called() -> None:
    assert not can_be_called(replace(OPEN, peers=0))
    assert said(replace(OPEN, peers=0), "overlay").severity == "problem"


def test_a_client_without_super_nodes_cannot_be_called_unless_a_test_says_otherwise() -> None:
    alone = replace(CLIENT, supernodes=(), call_check=CallCheckFacts(None))
    assert not can_be_called(alone)
    assert said(alone, "super-nodes").severity == "problem"
    assert "4 known, none of them answers" in said(alone, "super-nodes").sentence
    assert "none is known" in said(replace(alone, supernodes_known=0), "super-nodes").sentence
    proved = replace(alone, call_check=CallCheckFacts(True))
    assert can_be_called(proved)
    assert said(proved, "super-nodes").severity == "warning"


@pytest.mark.parametrize(
    ("mapping", "filtering", "words"),
    [
        ("none", "unknown", "a firewall before 203.0.113.5:4500"),
        ("endpoint_independent", "endpoint_independent", "full cone"),
        ("endpoint_independent", "address_dependent", "address-restricted"),
        ("endpoint_independent", "address_and_port_dependent", "port-restricted"),
        ("endpoint_independent", "unknown", "one outer address for everybody"),
        ("dependent", "address_dependent", "symmetric NAT"),
        ("unknown", "unknown", "not known yet"),
    ],
)
def test_what_nat_this_is(mapping: str, filtering: str, words: str) -> None:
    assert words in said(replace(CLIENT, mapping=mapping, filtering=filtering), "NAT").sentence


def test_which_addresses_work() -> None:
    facts = replace(OPEN, local=(("2606:4700::9", 4500), ("192.168.1.20", 4500)), mapped=(UPNP,))
    words = said(facts, "addresses").sentence
    for part in (
        "203.0.113.5:4500 (proved",
        "203.0.113.5:4500/udp forwarded by the router (UPnP)",
        "IPv6 2606:4700::9",
        "4500",
    ):
        assert part in words
    assert "no public IPv6" in said(CLIENT, "addresses").sentence
    assert "no answer there unasked" in said(CLIENT, "addresses").sentence


def test_blocked_udp() -> None:
    over_tls = tuple(replace(each, transport="tls") for each in SUPERNODES)
    blocked = said(replace(CLIENT, udp=False, supernodes=over_tls), "UDP")
    assert (blocked.severity, "UDP is blocked" in blocked.sentence, "over TLS" in blocked.sentence) == (
        "warning",
        True,
        True,
    )
    assert "Let UDP out" in blocked.advice
    assert "no other way" in said(replace(CLIENT, udp=False), "UDP").sentence
    assert "not known" in said(replace(CLIENT, udp=None), "UDP").sentence


@pytest.mark.parametrize(
    ("change", "sentence", "advice"),
    [
        (
            {},
            "does not forward a port by itself",
            "Forward UDP port 4500 on the router to 192.168.1.20, or switch UPnP",
        ),
        ({"router_said": "no router answers to PCP"}, "by itself: no router answers to PCP.", "Forward UDP port 4500"),
        ({"port_mapping_wanted": False}, "the settings forbid it", "port_mapping = true"),
        ({"mapped": (UPNP,)}, "nothing comes in from outside", "second router"),
        ({"mapped": (replace(UPNP, host="100.64.3.4"),)}, "carrier-grade NAT", "public IPv4 address"),
        ({"mapped": (replace(UPNP, host="198.18.3.4"),)}, "carrier-grade NAT", "public IPv4 address"),
        ({"router": "10.1.2.3"}, "carrier-grade NAT", "public IPv4 address"),
        ({"mapping": "none"}, "a firewall", "Let UDP port 4500 in"),
        ({"udp": False}, "does not matter while UDP is blocked", ""),
        ({"role": "peer", "mapped": (UPNP,)}, "by itself (UPnP): nothing to do", ""),
        ({"role": "peer", "router": "10.1.2.3"}, "carrier-grade NAT", ""),
    ],
)
def test_what_to_change_on_the_router(change: dict[str, Any], sentence: str, advice: str) -> None:
    found = said(replace(CLIENT, **change), "router")
    assert sentence in found.sentence
    assert advice in found.advice
    assert bool(advice) is bool(found.advice)


def test_super_nodes_in_use() -> None:
    found = said(CLIENT, "super-nodes")
    assert (found.severity, found.advice) == ("good", "")
    assert "node 2 at 198.51.100.2:4500 over udp (20 ms)" in found.sentence
    assert said(replace(CLIENT, supernodes=SUPERNODES[:2]), "super-nodes").severity == "note"
    assert said(replace(CLIENT, supernodes=SUPERNODES[:1]), "super-nodes").severity == "warning"
    far = tuple(replace(each, milliseconds=FAR_MILLISECONDS + 1) for each in SUPERNODES)
    assert "far away" in said(replace(CLIENT, supernodes=far), "super-nodes").sentence
    unmeasured = tuple(replace(each, milliseconds=None) for each in SUPERNODES)
    assert "not measured" in said(replace(CLIENT, supernodes=unmeasured), "super-nodes").sentence
    assert "No super-node is needed (4 known)" in said(OPEN, "super-nodes").sentence


def test_who_volunteers_on_a_private_network_is_told_that_others_cannot_come() -> None:
    inside = replace(OPEN, seen_as=("192.168.1.5", 4500), local=(("192.168.1.5", 4500),), volunteering=VOLUNTEER)
    found = said(inside, "volunteering")
    assert "192.168.1.5 only" in found.sentence
    assert "external_hosts" in found.advice


def test_who_is_registered_nowhere_is_asked_about_the_clock() -> None:
    check = CallCheckFacts(False, "no registration was found", is_unregistered=True)
    assert (
        "it is 2026-11-21 11:26 UTC"
        in said(replace(CLIENT, call_check=check, clock="2026-11-21 11:26"), "calls").advice
    )


def test_volunteering_and_what_it_costs() -> None:
    working = said(replace(OPEN, volunteering=VOLUNTEER), "volunteering")
    for part in ("12 node(s)", "3 of 500", "1.5 of 200 GB", "20 Mbit/s"):
        assert part in working.sentence
    assert (
        "takes nobody new"
        in said(replace(OPEN, volunteering=replace(VOLUNTEER, draining=True)), "volunteering").sentence
    )
    coturn = replace(VOLUNTEER, coturn="198.51.100.9:3478")
    assert "by the coturn at 198.51.100.9:3478" in said(replace(OPEN, volunteering=coturn), "volunteering").sentence
    assert said(replace(CLIENT, volunteering=VOLUNTEER), "volunteering").severity == "warning"
    assert "could not" in said(CLIENT, "volunteering").sentence


def test_facts_travel_as_json() -> None:
    facts = replace(CLIENT, mapped=(UPNP,), volunteering=VOLUNTEER)
    assert read_facts(json.loads(json.dumps(asdict(facts)))) == facts
    with pytest.raises(ControlError, match="of one version"):
        read_facts({"overlay": "home.example"})


def test_a_person_and_a_machine_are_shown_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    facts = replace(CLIENT, call_check=CallCheckFacts(False, "no [bold]answer"))
    show_examination(Printer(as_json=False), facts)
    words = capsys.readouterr().out
    show_examination(Printer(as_json=True), facts)
    answer = json.loads(capsys.readouterr().out)
    assert answer["can_be_called"] is False
    for finding in answer["findings"]:
        assert finding["sentence"] in words
        assert finding["advice"] in words
    show_no_node(Printer(as_json=False), "start one")
    assert "start one" in capsys.readouterr().out


def test_without_a_node_the_exit_code_is_2(tmp_path: Path) -> None:
    for arguments in (["doctor"], ["doctor", "--call", "1"]):
        done = CliRunner().invoke(app, ["--json", "--home", str(tmp_path), *arguments])
        assert done.exit_code == 2
        assert "p2psip up" in json.loads(done.stdout)["findings"][0]["advice"]


PATH = {
    "way": "relayed",
    "via": ["node 7"],
    "remote_address": "192.0.2.7:1",
    "local": "relay",
    "remote": "srflx",
    "rtt_ms": 21.6,
}
END = {
    "name": "phone alice",
    "kind": "phone",
    "path": {"announced": "10.0.0.7:4000", "heard_from": None, "sent_to": "10.0.0.7:4000", "protection": "DTLS-SRTP"},
    "received": 0,
    "sent": 55,
    "refused": 3,
    "missing": 0,
}
RECORD: dict[str, Any] = {
    "number": 7,
    "started": 1_800_000_000.0,
    "caller": "alice@home.example",
    "verified": True,
    "callee": "bob@home.example",
    "state": "ended",
    "status": 200,
    "cause": "bob hung up",
    "seconds": 12.5,
    "post_dial_delay_ms": 40.25,
    "first_audio_ms": None,
    "lookup_ms": 3.5,
    "audio": "one-way audio: somebody does not hear",
    "ladder": [{"time": 1.0, "source": "phone alice", "target": "this node", "summary": "INVITE sip:bob"}],
    "media": {
        "verdict": "one-way audio: node 1 does not hear phone alice: nothing came",
        "directions": [
            {
                "source": "phone alice",
                "sink": "node 1",
                "state": "silent",
                "cause": "nothing came",
                "first_audio_ms": None,
            },
            {"source": "node 1", "sink": "phone alice", "state": "flows", "cause": "", "first_audio_ms": 31.4},
        ],
        "ends": [END, {**END, "name": "node 1", "kind": "node", "path": PATH}],
    },
}


def test_calls_are_listed_and_one_is_shown_with_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(as_json=False)
    show_calls(printer, [RECORD])
    assert "ended (200)" in capsys.readouterr().out
    show_calls(printer, [{**RECORD, "verified": False}])
    assert "alice@home.example (not verified) to" in capsys.readouterr().out
    show_calls(printer, [])
    assert "no calls yet" in capsys.readouterr().out
    for show in (show_call_record, show_call_media):
        show(printer, RECORD)
        words = capsys.readouterr().out
        for part in (
            "10.0.0.7:4000",
            "relayed via node 7 to 192.0.2.7:1 (relay to srflx), 22 ms",
            "silent: nothing came",
            "first packet 31 ms",
            "protection: DTLS-SRTP",
            "one-way audio",
        ):
            assert part in words
        show(Printer(as_json=True), RECORD)
        assert json.loads(capsys.readouterr().out)["media"] == RECORD["media"]
        show(printer, {**RECORD, "media": {}})
        assert "no media" in capsys.readouterr().out


def test_a_clock_that_is_corrected_is_told() -> None:
    words = (
        "The clock of this machine is 2 days behind; this node goes by the time of the bootstrap server. Set the clock."
    )
    assert said(replace(CLIENT, clock_words=words), "clock").sentence == words
    assert not [each for each in findings(CLIENT) if each.topic == "clock"]
