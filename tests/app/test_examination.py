"""From what services say to the doctor's facts."""

from dataclasses import dataclass
from typing import cast

import pytest

from overlay.reaching import CallCheck
from overlay.rendezvous import Flow
from p2psip.app.doctor import CallCheckFacts, MappedPort, SupernodeFacts
from p2psip.app.examination import call_check_facts, mapped_ports, supernode_facts, udp_works, volunteering_facts
from p2psip.app.settings import RelaySettings
from p2psip.app.volunteer import SuperNode
from p2psip.base.core import Address
from p2psip.base.keys import node_id_of
from p2psip.net.port_mapping import Mapping, PortMapper
from p2psip.net.streams import StreamLinks

KEY = bytes(range(32))
NAME = node_id_of(KEY).hex()[:8]
STREAM: Address = ("100::1", 1)
DATAGRAMS = Flow(KEY, ("198.51.100.1", 4500), 0.012, 5.0)
OVER_TLS = Flow(KEY, STREAM, 0.0, 5.0)


class Links:
    """Knows one stream."""

    def peer_of(self, address: Address) -> tuple[str, int, str] | None:
        return ("198.51.100.1", 443, "tls") if address == STREAM else None


@dataclass
class Mapper:
    mapping: Mapping | None
    tcp_mapping: Mapping | None = None


class Turn:
    def statistics(self) -> dict[str, int]:
        return {"allocations": 3, "month_bytes": 1_500_000_000}


@dataclass
class Volunteer:
    turn: Turn | None
    is_draining: bool = False


def test_super_nodes_are_named_by_their_node_id_and_streams_by_what_they_lead_to() -> None:
    links = cast(StreamLinks, Links())
    assert supernode_facts([DATAGRAMS], links, (KEY, STREAM))[0].transport == f"tls through {NAME}"
    assert supernode_facts([DATAGRAMS], links, (KEY, ("100::2", 1)))[0].transport == f"tcp through {NAME}"
    assert supernode_facts([DATAGRAMS, OVER_TLS], links, None) == (
        SupernodeFacts(NAME, "198.51.100.1:4500", "udp", 12.0),
        SupernodeFacts(NAME, "198.51.100.1:443", "tls", None),
    )


@pytest.mark.parametrize(
    ("flows", "seen_as", "works"),
    [
        ([], None, None),
        ([], ("203.0.113.5", 4500), True),
        ([OVER_TLS], None, False),
        ([OVER_TLS], ("203.0.113.5", 4500), False),
        ([OVER_TLS, DATAGRAMS], None, True),
    ],
)
def test_udp_is_blocked_when_all_goes_over_streams(
    flows: list[Flow], seen_as: Address | None, works: bool | None
) -> None:
    assert udp_works(flows, seen_as, None) is works
    assert udp_works(flows, seen_as, (KEY, STREAM)) is False


def test_what_a_test_from_outside_says() -> None:
    assert call_check_facts(CallCheck(True, "reached", KEY[:20])) == CallCheckFacts(
        True, "reached; tested by node 00010203"
    )
    assert call_check_facts(CallCheck(False, "nobody", None)) == CallCheckFacts(None, "nobody")
    assert call_check_facts(None).callable is None


def test_forwarded_ports() -> None:
    udp, tcp = Mapping(("203.0.113.5", 4500), "PCP", 60.0), Mapping(("203.0.113.5", 443), "PCP", 60.0)
    assert mapped_ports(None) == mapped_ports(cast(PortMapper, Mapper(None))) == ()
    assert mapped_ports(cast(PortMapper, Mapper(udp, tcp))) == (
        MappedPort("PCP", "udp", "203.0.113.5", 4500),
        MappedPort("PCP", "tcp", "203.0.113.5", 443),
    )


def test_volunteering() -> None:
    settings = RelaySettings()
    assert volunteering_facts(None, settings, 0) is None
    facts = volunteering_facts(cast(SuperNode, Volunteer(Turn())), settings, 12)
    assert facts is not None
    assert (facts.clients, facts.allocations, facts.gigabytes_this_month, facts.coturn) == (12, 3, 1.5, None)
    settings = RelaySettings(coturn_host="198.51.100.9", coturn_secret="s")
    facts = volunteering_facts(cast(SuperNode, Volunteer(None, is_draining=True)), settings, 0)
    assert facts is not None
    assert (facts.draining, facts.coturn) == (True, "198.51.100.9:3478")
