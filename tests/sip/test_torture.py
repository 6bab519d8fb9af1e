"""Every message of RFC 4475, with the treatment that its section asks for: accepted, answered with a status, or dropped."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from p2psip.base.chance import Chance
from p2psip.sip.errors import SipSyntaxError
from p2psip.sip.events import RequestReceived, SipTransmit
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.layer import TransactionLayer
from p2psip.sip.message import Message, Request, Response
from p2psip.sip.parser import parse_message
from p2psip.sip.uri import OtherUri, SipUri, unescape
from tests.sip.corpus import CORPUS

FLOW = Flow("udp", ("192.0.2.250", 5060), ("198.51.100.7", 5060))
Facts = Callable[[Message], object]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that must be read; `facts` of it are `expected`."""

    name: str
    section: str
    facts: Facts
    expected: object


@dataclass(frozen=True, slots=True)
class Rejected:
    """A request that is answered with `status`, or dropped when it lacks what a response needs or its Via is unreadable."""

    name: str
    section: str
    status: int
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Discarded:
    """A response that no transaction may see."""

    name: str
    section: str


def _uris(addresses: tuple[NameAddr, ...]) -> list[str]:
    return [str(address.uri) for address in addresses]


ACCEPTED = (
    Accepted(
        "wsinv",
        "3.1.1.1",
        lambda m: (m.max_forwards, m.cseq.number, m.from_.display, m.from_.tag, m.to.tag, m.headers.get("Subject")),
        (68, 9, 'J Rosenberg \\"', "98asjd8", "1918181833n", ""),
    ),
    Accepted(
        "wsinv",
        "3.1.1.1",
        lambda m: [(via.transport, via.host, via.branch) for via in m.vias],
        [
            ("UDP", "192.0.2.2", "390skdjuw"),
            ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
            ("UDP", "192.168.255.111", "z9hG4bK30239"),
        ],
    ),
    Accepted(
        "wsinv",
        "3.1.1.1",
        lambda m: (
            m.contacts[0].display,
            m.contacts[0].parameters,
            m.routes[0].sip_uri().parameters,
            m.headers.get("UnknownHeaderWithUnusualValue"),
            m.headers.get("newfangledheader"),
        ),
        (
            'Quoted string ""',
            (("newparam", "newvalue"), ("secondparam", None), ("q", "0.33")),
            (("lr", None), ("unknownwith", "value"), ("unknown-no-value", None)),
            ";;,,;;,;",
            "newfangled value continued newfangled value",
        ),
    ),
    Accepted(
        "intmeth",
        "3.1.1.2",
        lambda m: (
            m.cseq.method,
            m.to.display,
            m.from_.display,
            m.from_.tag,
            m.from_.parameters[0],
            m.top_via.branch,
            m.call_id,
            m.headers.get("extensionHeader-!.%*+_`'~"),
        ),
        (
            "!interesting-Method0123456789_*+`.%indeed'~",
            "BEL:\x07 NUL:\0 DEL:\x7f",
            "token1~` token2'+_ token3*%!.-",
            "_token~1'+`*%!-.",
            ("fromparam''~+*_!.-%", '"работающий"'),
            "z9hG4bK-.!%66*_+`'~",
            "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
            "\ufeff大停電",
        ),
    ),
    Accepted(
        "intmeth",
        "3.1.1.2",
        lambda m: (
            (m.uri.user, m.uri.password, m.uri.host) if isinstance(m, Request) and isinstance(m.uri, SipUri) else 0
        ),
        (
            "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*",
            "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)",
            "example.com",
        ),
    ),
    Accepted(
        "esc01",
        "3.1.1.3",
        lambda m: (
            unescape(m.uri.user or "") if isinstance(m, Request) and isinstance(m.uri, SipUri) else None,
            m.to.sip_uri().address,
            m.from_.sip_uri().address,
            m.contacts[0].sip_uri().matches(SipUri.parse("sip:caller@host5.example.net;lr;name=value%2541")),
        ),
        ("sips:user@example.com", "user@example.com", "i have spaces@example.net", True),
    ),
    Accepted(
        "escnull",
        "3.1.1.4",
        lambda m: (m.to.sip_uri().address, [unescape(c.sip_uri().user or "") for c in m.contacts]),
        ("null-\0-null@example.com", ["\0", "\0\0"]),
    ),
    Accepted(
        "esc02",
        "3.1.1.5",
        lambda m: (m.cseq.method, m.to.display, _uris(m.contacts), m.headers.get("C%6Fntact"), m.top_via.branch),
        (
            "RE%47IST%45R",
            "%Z%45",
            ["sip:alias1@host1.example.com", "sip:alias3@host3.example.com"],
            "<sip:alias2@host2.example.com>",
            "z9hG4bK209%fzsnel234",
        ),
    ),
    Accepted("lwsdisp", "3.1.1.6", lambda m: (m.from_.display, m.from_.tag), ("caller", "323")),
    Accepted(
        "longreq",
        "3.1.1.7",
        lambda m: (len(m.vias), m.vias[0].host, m.vias[33].branch, m.to.sip_uri().port, m.from_.tag, len(m.body)),
        (34, "sip33.example.com", "very" + 50 * "long" + "branchvalue", 6000, "12" + 50 * "982" + "424", 150),
    ),
    Accepted("dblreq", "3.1.1.8", lambda m: (m.cseq.method, m.body), ("REGISTER", b"")),
    Accepted(
        "semiuri",
        "3.1.1.9",
        lambda m: (
            (m.uri.user, m.uri.host, m.uri.parameters) if isinstance(m, Request) and isinstance(m.uri, SipUri) else 0
        ),
        ("user;par=u%40example.net", "example.com", ()),
    ),
    Accepted(
        "transports",
        "3.1.1.10",
        lambda m: [via.transport for via in m.vias],
        ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"],
    ),
    Accepted(
        "mpart01",
        "3.1.1.11",
        lambda m: (m.content_type, len(m.body), m.body.count(b"\0"), m.body[-24:]),
        ("multipart/mixed", 553, 2, b"\r\n--7a9cbec02ceef655--\r\n"),
    ),
    Accepted(
        "unreason",
        "3.1.1.12",
        lambda m: (m.status, m.reason) if isinstance(m, Response) else None,
        (200, "= 2**3 * 5**2 но сто девяносто девять - простое"),
    ),
    Accepted("noreason", "3.1.1.13", lambda m: (m.status, m.reason) if isinstance(m, Response) else None, (100, "")),
    Accepted("baddate", "3.1.2.12", lambda m: m.headers.get("Date"), "Fri, 01 Jan 2010 16:00:00 EST"),
    Accepted("badbranch", "3.2.1", lambda m: m.top_via.branch, "z9hG4bK"),
    Accepted(
        "unkscm",
        "3.3.2",
        lambda m: m.uri if isinstance(m, Request) else None,
        OtherUri("nobodyknowsthisscheme", "totallyopaquecontent"),
    ),
    Accepted(
        "novelsc",
        "3.3.3",
        lambda m: m.uri if isinstance(m, Request) else None,
        OtherUri("soap.beep", "//192.0.2.103:3002"),
    ),
    Accepted(
        "unksm2",
        "3.3.4",
        lambda m: (m.to.uri, str(m.from_.uri), _uris(m.contacts)),
        (OtherUri("isbn", "2983792873"), "http://www.example.com", ["name:John_Smith"]),
    ),
    Accepted(
        "bext01",
        "3.3.5",
        lambda m: (m.headers.get("Require"), m.headers.get("Proxy-Require")),
        ("nothingSupportsThis, nothingSupportsThisEither", "noProxiesSupportThis, norDoAnyProxiesSupportThis"),
    ),
    Accepted("invut", "3.3.6", lambda m: (m.content_type, m.body[:9]), ("application/unknownformat", b"<audio>\r\n")),
    Accepted("regaut01", "3.3.7", lambda m: m.headers.get("Authorization"), "NoOneKnowsThisScheme opaque-data=here"),
    Accepted("bcast", "3.3.10", lambda m: [via.host for via in m.vias], ["192.0.2.198", "255.255.255.255"]),
    Accepted("zeromf", "3.3.11", lambda m: m.max_forwards, 0),
    Accepted(
        "cparam01",
        "3.3.12",
        lambda m: (m.contacts[0].parameters, m.contacts[0].sip_uri().parameters),
        ((("unknownparam", None),), ()),
    ),
    Accepted(
        "cparam02",
        "3.3.13",
        lambda m: (m.contacts[0].parameters, m.contacts[0].sip_uri().parameters),
        ((), (("unknownparam", None),)),
    ),
    Accepted(
        "regescrt",
        "3.3.14",
        lambda m: m.contacts[0].sip_uri().headers,
        (("Route", "%3Csip:sip.example.com%3E"),),
    ),
    Accepted(
        "sdp01",
        "3.3.15",
        lambda m: (m.headers.get("Accept"), m.content_type),
        ("text/nobodyKnowsThis", "application/sdp"),
    ),
    Accepted(
        "inv2543",
        "3.4.1",
        lambda m: (m.top_via.branch, m.from_.tag, m.to.parameters, len(m.body), m.max_forwards),
        (None, None, (("user", "phone"),), 105, None),
    ),
)

REJECTED = (
    Rejected("badinv01", "3.1.2.1", 400, answered=False),
    Rejected("clerr", "3.1.2.2", 400),
    Rejected("ncl", "3.1.2.3", 400),
    Rejected("scalar02", "3.1.2.4", 400),
    Rejected("quotbal", "3.1.2.6", 400),
    Rejected("ltgtruri", "3.1.2.7", 400),
    Rejected("lwsruri", "3.1.2.8", 400),
    Rejected("lwsstart", "3.1.2.9", 400),
    Rejected("trws", "3.1.2.10", 400),
    Rejected("escruri", "3.1.2.11", 400),
    Rejected("regbadct", "3.1.2.13", 400),
    Rejected("badaspec", "3.1.2.14", 400),
    Rejected("baddn", "3.1.2.15", 400),
    Rejected("badvers", "3.1.2.16", 505),
    Rejected("mismatch01", "3.1.2.17", 400),
    Rejected("mismatch02", "3.1.2.18", 400),
    Rejected("insuf", "3.3.1", 400, answered=False),
    Rejected("multi01", "3.3.8", 400),
    Rejected("mcl01", "3.3.9", 400),
)

DISCARDED = (Discarded("scalarlg", "3.1.2.5"), Discarded("bigcode", "3.1.2.19"))


def _outputs(name: str) -> list[object]:
    layer = TransactionLayer(Chance.seeded(1))
    layer.receive(CORPUS[name], FLOW, 0.0)
    return list(iter(layer.poll_output, None))


def test_the_table_knows_every_message_of_the_rfc() -> None:
    assert {case.name for case in (*ACCEPTED, *REJECTED, *DISCARDED)} == set(CORPUS)
    assert len(CORPUS) == 49


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: f"{case.section}-{case.name}")
def test_what_must_be_read_is_read(case: Accepted) -> None:
    assert case.facts(parse_message(CORPUS[case.name])) == case.expected


@pytest.mark.parametrize("name", sorted({case.name for case in ACCEPTED}))
def test_what_is_read_is_written_and_read_again_the_same(name: str) -> None:
    once = parse_message(CORPUS[name])
    again = parse_message(once.to_bytes())
    assert again.to_bytes() == once.to_bytes()
    assert (again.vias, again.from_, again.to, again.cseq) == (once.vias, once.from_, once.to, once.cseq)
    assert (again.contacts, again.routes, again.body) == (once.contacts, once.routes, once.body)


@pytest.mark.parametrize("name", sorted({case.name for case in ACCEPTED}))
def test_what_is_read_reaches_the_user_once_or_is_a_stray_response(name: str) -> None:
    received = _outputs(name)
    if isinstance(parse_message(CORPUS[name]), Response):
        assert received == []
    else:
        assert [type(output) for output in received] == [RequestReceived]


@pytest.mark.parametrize("case", REJECTED, ids=lambda case: f"{case.section}-{case.name}")
def test_what_is_broken_is_answered_with_its_status(case: Rejected) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        parse_message(CORPUS[case.name])
    assert caught.value.status == case.status
    sent = _outputs(case.name)
    assert len(sent) == (1 if case.answered else 0)
    for output in sent:
        assert isinstance(output, SipTransmit)
        assert output.flow == FLOW
        assert output.data.startswith(b"SIP/2.0 %d " % case.status)


@pytest.mark.parametrize("case", DISCARDED, ids=lambda case: f"{case.section}-{case.name}")
def test_broken_responses_are_dropped(case: Discarded) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        parse_message(CORPUS[case.name])
    assert caught.value.request is None
    assert _outputs(case.name) == []


def test_an_address_of_record_of_another_scheme_is_refused_where_a_sip_uri_is_needed() -> None:
    with pytest.raises(SipSyntaxError) as caught:
        parse_message(CORPUS["unksm2"]).to.sip_uri()
    assert caught.value.status == 416
