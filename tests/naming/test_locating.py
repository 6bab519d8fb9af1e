"""RFC 3263: which servers are found for a URI, over which transport, in which order; and what ends the search."""

from hypothesis import given
from hypothesis import strategies as st

from p2psip.base.chance import Chance
from p2psip.naming.locating import HOPS_MAX, TARGETS_MAX, Destination, Located, Reach, locate
from p2psip.naming.questions import QUESTIONS_AT_ONCE_MAX, Answer, Inquiry, Naptr, Question, Srv, run_inquiry
from p2psip.naming.routing import Hop
from tests.naming.zone import Zone

ALL = Reach(("tls", "tcp", "udp"))
HOST = "example.com"


def find(zone: Zone, destination: Destination, reach: Reach = ALL) -> Located:
    return run_inquiry(locate(destination, reach, Chance.seeded(1)), zone.ask)


def places(located: Located) -> list[tuple[str, str, int]]:
    return [(hop.transport, *hop.address) for hop in located.hops]


def full_zone() -> Zone:
    """A domain that names all three transports, UDP first."""
    zone = Zone()
    zone.naptr(
        HOST,
        (20, 10, "s", "SIP+D2T", "", "_sip._tcp.example.com"),
        (10, 10, "S", "sip+d2u", "", "_sip._udp.example.com"),
        (30, 10, "s", "SIPS+D2T", "", "_sips._tcp.example.com"),
        (5, 10, "s", "SIP+D2S", "", "_sip._sctp.example.com"),
        (6, 10, "s", "x-other", "", "x.example.com"),
    )
    zone.srv("_sip._udp.example.com", (20, 0, 5062, "b.example.com"), (10, 0, 5060, "a.example.com"))
    zone.srv("_sip._tcp.example.com", (10, 0, 5060, "a.example.com"))
    zone.srv("_sips._tcp.example.com", (10, 0, 5061, "a.example.com"))
    zone.address("a.example.com", "192.0.2.1", "2001:db8::1")
    zone.address("b.example.com", "192.0.2.2")
    zone.address(HOST, "192.0.2.9")
    return zone


def test_naptr_chooses_the_transport_and_srv_the_servers() -> None:
    located = find(full_zone(), Destination(HOST))
    assert places(located) == [
        ("udp", "2001:db8::1", 5060),
        ("udp", "192.0.2.1", 5060),
        ("udp", "192.0.2.2", 5062),
        ("tcp", "2001:db8::1", 5060),
        ("tcp", "192.0.2.1", 5060),
        ("tls", "2001:db8::1", 5061),
        ("tls", "192.0.2.1", 5061),
    ]
    assert {hop.host for hop in located.hops} == {HOST}  # RFC 5922: never the SRV target
    assert any("SIP+D2S" in line for line in located.trail)


def test_a_transport_that_we_lack_is_passed_over() -> None:
    assert {hop.transport for hop in find(full_zone(), Destination(HOST), Reach(("tcp",))).hops} == {"tcp"}


def test_sips_goes_over_tls_only() -> None:
    zone = full_zone()
    assert {hop.transport for hop in find(zone, Destination(HOST, secure=True)).hops} == {"tls"}
    assert find(zone, Destination(HOST, secure=True), Reach(("udp", "tcp"))).hops == ()
    assert find(zone, Destination(HOST, transport="udp", secure=True)).hops == ()
    assert {hop.transport for hop in find(zone, Destination(HOST, transport="tcp", secure=True)).hops} == {"tls"}
    assert places(find(zone, Destination("192.0.2.7", secure=True))) == [("tls", "192.0.2.7", 5061)]


def test_a_numeric_host_asks_nobody() -> None:
    zone = Zone()
    assert places(find(zone, Destination("192.0.2.7"))) == [("udp", "192.0.2.7", 5060)]
    assert places(find(zone, Destination("[2001:db8::7]", 5080, "tcp"))) == [("tcp", "2001:db8::7", 5080)]
    assert places(find(zone, Destination("192.0.2.7", transport="TLS"))) == [("tls", "192.0.2.7", 5061)]
    assert zone.asked == []


def test_a_port_leads_to_the_addresses_of_the_host() -> None:
    zone = full_zone()
    assert places(find(zone, Destination(HOST, 5070))) == [("udp", "192.0.2.9", 5070)]
    assert {question.kind for question in zone.asked} == {"A", "AAAA"}


def test_a_named_transport_asks_for_its_servers_only() -> None:
    zone = full_zone()
    assert [hop.transport for hop in find(zone, Destination(HOST, transport="tcp")).hops] == ["tcp", "tcp"]
    assert {question.kind for question in zone.asked} == {"SRV", "A", "AAAA"}
    assert find(zone, Destination(HOST, transport="ws")).hops == ()
    assert find(zone, Destination(HOST, transport="carrier-pigeon")).hops == ()


def test_without_naptr_all_services_are_asked_for_in_our_order() -> None:
    zone = full_zone()
    del zone.answers[Question(HOST, "NAPTR")]
    assert [hop.transport for hop in find(zone, Destination(HOST)).hops] == ["tls", "tls", "tcp", "tcp"] + ["udp"] * 3


def test_without_any_servers_the_host_itself_over_udp() -> None:
    zone = Zone()
    zone.address(HOST, "192.0.2.9")
    assert find(zone, Destination(HOST)).hops == (Hop("udp", ("192.0.2.9", 5060), HOST),)
    assert places(find(zone, Destination(HOST, transport="tcp"))) == [("tcp", "192.0.2.9", 5060)]
    assert places(find(zone, Destination(HOST, secure=True))) == [("tls", "192.0.2.9", 5061)]


def test_a_domain_that_says_no_is_not_asked_further() -> None:
    zone = Zone()
    zone.address(HOST, "192.0.2.9")
    for service in ("_sip._udp.", "_sip._tcp.", "_sips._tcp."):
        zone.srv(service + HOST, (0, 0, 0, ""))
    located = find(zone, Destination(HOST))
    assert (located.hops, located.outcome) == ((), "no data")
    assert any("decidedly" in line for line in located.trail)


def test_what_is_not_known_is_not_guessed() -> None:
    """A server that does not answer is no reason to go to the bare host, where somebody else may be."""
    zone = Zone()
    zone.address(HOST, "192.0.2.9")
    zone.fail("_sip._udp." + HOST, "SRV", "timeout")
    located = find(zone, Destination(HOST))
    assert (located.hops, located.outcome) == ((), "timeout")
    zone.srv("_sip._tcp." + HOST, (0, 0, 5060, HOST))
    assert places(find(zone, Destination(HOST))) == [("tcp", "192.0.2.9", 5060)]


def test_bogus_ends_the_search() -> None:
    zone = full_zone()
    zone.fail(HOST, "NAPTR", "bogus")
    assert find(zone, Destination(HOST)).outcome == "bogus"
    zone = full_zone()
    zone.fail(HOST, "AAAA", "bogus")
    zone.fail(HOST, "A", "bogus")
    assert find(zone, Destination(HOST, 5060)).outcome == "bogus"


def test_a_dead_target_leaves_the_others() -> None:
    zone = full_zone()
    zone.fail("a.example.com", "A", "timeout")
    zone.fail("a.example.com", "AAAA", "no data")
    assert places(find(zone, Destination(HOST, transport="udp"))) == [("udp", "192.0.2.2", 5062)]


def test_rules_that_do_not_lead_to_srv_are_passed_over() -> None:
    zone = full_zone()
    zone.naptr(
        HOST,
        (1, 1, "a", "SIP+D2U", "", "a.example.com"),
        (1, 2, "s", "SIP+D2U", "!.*!x!", "_sip._udp.example.com"),
        (1, 3, "s", "SIP+D2U", "", ""),
    )
    assert find(zone, Destination(HOST)).hops  # by SRV
    zone = Zone()
    zone.naptr(HOST, (1, 1, "s", "SIPS+D2T", "", "_sips._tcp.example.com"))
    zone.address(HOST, "192.0.2.9")
    located = find(zone, Destination(HOST), Reach(("udp",)))
    assert located.hops == ()  # the domain wants TLS: its bare address is no way around that


def test_bounds() -> None:
    zone = Zone()
    zone.srv("_sip._udp." + HOST, *((number, 0, 5060, f"h{number}.example.com") for number in range(TARGETS_MAX + 1)))
    for number in range(TARGETS_MAX + 1):
        zone.address(f"h{number}.example.com", f"192.0.2.{number}", f"192.0.3.{number}", f"2001:db8::{number + 1}")
    located = find(zone, Destination(HOST, transport="udp"))
    assert len(located.hops) == HOPS_MAX
    assert sum(question.kind == "A" for question in zone.asked) == TARGETS_MAX


def test_hosts_that_are_none() -> None:
    for host in ("", "a b", "a..b", "x" * 300, "-\x00"):
        assert find(Zone(), Destination(host)).hops == ()


@given(st.data())
def test_whatever_the_dns_says_it_ends(data: st.DataObject) -> None:
    names = st.sampled_from(["", HOST, "a.example.com", "_sip._udp.example.com", "bad name", "192.0.2.1"])

    def ask(question: Question) -> Answer:
        if data.draw(st.booleans()):
            return Answer(
                data.draw(st.sampled_from(["no such name", "no data", "timeout", "bogus", "refused", "lame"]))
            )
        if question.kind == "NAPTR":
            services = st.sampled_from(["SIP+D2U", "SIPS+D2T", "x"])
            rule = st.builds(Naptr, st.just(1), st.just(1), st.sampled_from(["s", ""]), services, st.just(""), names)
            return Answer("found", naptrs=tuple(data.draw(st.lists(rule, max_size=3))))
        if question.kind == "SRV":
            server = st.builds(Srv, st.just(1), st.integers(0, 9), st.integers(0, 65_535), names)
            return Answer("found", srvs=tuple(data.draw(st.lists(server, max_size=3))))
        return Answer("found", addresses=("192.0.2.1",) if question.kind == "A" else ("2001:db8::1",))

    destination = Destination(HOST, data.draw(st.sampled_from([None, 5060])), secure=data.draw(st.booleans()))
    located = run_inquiry(_counted(locate(destination, ALL, Chance.seeded(1))), ask)
    assert bool(located.hops) == (located.outcome == "found")
    assert not destination.secure or all(hop.transport == "tls" for hop in located.hops)


def _counted(inquiry: Inquiry[Located]) -> Inquiry[Located]:
    """The same inquiry; none of its rounds is empty or over the bound."""
    answers: tuple[Answer, ...] | None = None
    while True:
        try:
            questions = next(inquiry) if answers is None else inquiry.send(answers)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        assert 0 < len(questions) <= QUESTIONS_AT_ONCE_MAX
        answers = yield questions
