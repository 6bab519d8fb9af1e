"""Calls straight to another domain: who calls, and where it is answered."""

from p2psip.sip.build import make_request
from p2psip.sip.flow import Flow
from p2psip.sip.headers import NameAddr
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri
from p2psip.trunks.direct import DirectCall


def _invite(*headers: tuple[str, str]) -> Request:
    alice = NameAddr("Alice", SipUri.parse("sip:alice@home.example")).with_tag("a")
    target = SipUri.parse("sip:bob@elsewhere.example")
    return make_request("INVITE", target, from_=alice, to=NameAddr(None, target), call_id="c", cseq=1, headers=headers)


def test_the_caller_has_a_name_at_the_domain_that_can_be_called_back() -> None:
    from_, headers = DirectCall("people.example", "sip.elsewhere.example").present(
        "alice@home.example", None, _invite()
    )
    assert (str(from_), headers) == ('"Alice" <sip:alice@people.example>', ())


def test_who_does_not_want_to_be_shown_is_not() -> None:
    line = DirectCall("people.example", "sip.elsewhere.example")
    from_, headers = line.present("alice@home.example", None, _invite(("Privacy", "id")))
    assert (str(from_), headers) == ('"Anonymous" <sip:anonymous@anonymous.invalid>', (("Privacy", "id"),))


def test_the_contact_is_the_socket_that_the_call_leaves_by() -> None:
    line = DirectCall("people.example", "sip.elsewhere.example")
    assert line.contact(Flow("udp", ("192.0.2.1", 5062), ("198.51.100.1", 5060))) == "<sip:192.0.2.1:5062>"
    flow = Flow("tcp", ("2001:db8::1", 40_000), ("2001:db8::2", 5060), 1)
    assert line.contact(flow) == "<sip:[2001:db8::1]:40000;transport=tcp>"


def test_nothing_is_followed_and_nothing_is_kept() -> None:
    line = DirectCall("people.example", "sip.elsewhere.example")
    assert not line.may_redirect(SipUri.parse("sip:bob@elsewhere.example"))
    line.note_failed(503, "busy")
    line.note_answered()
    line.close()
    line.close()
    assert line.announced_host(Flow("udp", ("192.0.2.1", 5062), ("198.51.100.1", 5060))) is None
