"""Dialogs from both sides: identity, route set, remote target, and the order of requests (RFC 3261 §12)."""

import pytest

from p2psip.base.errors import RemoteError
from p2psip.sip.build import make_response
from p2psip.sip.dialog import Dialog
from p2psip.sip.message import Request, Response
from p2psip.sip.parser import parse_message

OURS = "<sip:bob@192.0.2.1:5060>"
LOOSE = ("<sip:p1.example;lr>", "<sip:p2.example;lr>")


def invite(*routes: str, number: int = 7, contact: str = "<sip:alice@192.0.2.9>") -> Request:
    """An INVITE that passed proxies which recorded themselves, the last one on top."""
    lines = [
        "INVITE sip:bob@example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1",
        "From: Alice <sip:alice@example.com>;tag=a",
        "To: Bob <sip:bob@example.com>",
        "Call-ID: one",
        f"CSeq: {number} INVITE",
        *(f"Record-Route: {route}" for route in routes),
    ]
    lines += [f"Contact: {contact}"] if contact else []
    message = parse_message(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert isinstance(message, Request)
    return message


def ok(request: Request, contact: str = OURS) -> Response:
    return make_response(request, 200, to_tag="b", headers=[("Contact", contact)] if contact else [])


def server(*routes: str, number: int = 7) -> Dialog:
    request = invite(*routes, number=number)
    return Dialog.of_server(request, ok(request), OURS)


def client(*routes: str, contact: str = OURS) -> Dialog:
    request = invite(*routes, contact="<sip:alice@192.0.2.9>")
    return Dialog.of_client(request, ok(request, contact), "<sip:alice@192.0.2.9>")


def from_peer(method: str, number: int, contact: str = "") -> Request:
    lines = [
        f"{method} sip:bob@192.0.2.1 SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK2",
        "From: Alice <sip:alice@example.com>;tag=a",
        "To: Bob <sip:bob@example.com>;tag=b",
        "Call-ID: one",
        f"CSeq: {number} {method}",
    ]
    lines += [f"Contact: {contact}"] if contact else []
    message = parse_message(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert isinstance(message, Request)
    return message


# Making


def test_both_sides_name_the_dialog_from_their_own_side() -> None:
    assert server().id == ("one", "b", "a")
    assert client().id == ("one", "a", "b")


def test_a_request_of_the_callee_goes_to_the_contact_with_both_tags_and_its_own_numbers() -> None:
    dialog = server()
    first, second = dialog.request("INFO"), dialog.request("BYE")
    assert str(first.uri) == "sip:alice@192.0.2.9"
    assert (first.from_.tag, first.to.tag, first.call_id) == ("b", "a", "one")
    assert [str(first.cseq), str(second.cseq)] == ["1 INFO", "2 BYE"]
    assert first.max_forwards == 70


def test_a_request_of_the_caller_counts_on_from_its_invite() -> None:
    dialog = client()
    request = dialog.request("BYE")
    assert str(request.uri) == "sip:bob@192.0.2.1:5060"
    assert (request.from_.tag, request.to.tag, str(request.cseq)) == ("a", "b", "8 BYE")


def test_a_dialog_needs_the_contact_of_the_caller() -> None:
    request = invite(contact="")
    with pytest.raises(RemoteError) as caught:
        Dialog.of_server(request, ok(request), OURS)
    assert caught.value.status == 400


def test_without_a_contact_of_the_callee_the_request_uri_stays_the_target() -> None:
    assert str(client(contact="").target) == "sip:bob@example.com"


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"])
def test_requests_that_need_a_contact_carry_ours(method: str) -> None:
    assert server().request(method).headers.all("Contact") == [OURS]


@pytest.mark.parametrize("method", ["BYE", "INFO", "MESSAGE"])
def test_other_requests_carry_no_contact(method: str) -> None:
    assert server().request(method).contacts == ()


def test_headers_and_body_are_those_asked_for_and_those_of_every_request() -> None:
    dialog = server()
    dialog.extra_headers.append(("X-Every", "1"))
    request = dialog.request("INFO", headers=[("Reason", "SIP;cause=200")], body=b"x", content_type="text/plain")
    assert (request.headers.get("Reason"), request.headers.get("X-Every")) == ("SIP;cause=200", "1")
    assert (request.body, request.content_type) == (b"x", "text/plain")


# Routes, §12.1.1, §12.1.2, §12.2.1.1


def test_the_route_set_of_the_callee_has_the_order_of_record_route() -> None:
    request = server(*LOOSE).request("BYE")
    assert [str(route) for route in request.routes] == list(LOOSE)
    assert str(request.uri) == "sip:alice@192.0.2.9"


def test_the_route_set_of_the_caller_is_reversed() -> None:
    request = client(*LOOSE).request("BYE")
    assert [str(route) for route in request.routes] == list(reversed(LOOSE))
    assert str(request.uri) == "sip:bob@192.0.2.1:5060"


def test_ack_takes_the_route_set_too() -> None:
    dialog = client(*LOOSE)
    ack = dialog.acknowledge(7, body=b"v=0", content_type="application/sdp")
    assert [str(route) for route in ack.routes] == list(reversed(LOOSE))
    assert (str(ack.cseq), ack.body, dialog.cseq) == ("7 ACK", b"v=0", 7)


def test_a_strict_router_becomes_the_request_uri_and_the_target_the_last_route() -> None:
    request = server("<sip:strict.example>", LOOSE[1]).request("BYE")
    assert str(request.uri) == "sip:strict.example"
    assert [str(route) for route in request.routes] == [LOOSE[1], "<sip:alice@192.0.2.9>"]


def test_a_strict_router_further_on_is_left_to_the_loose_one_before_it() -> None:
    request = server(LOOSE[0], "<sip:strict.example>").request("BYE")
    assert str(request.uri) == "sip:alice@192.0.2.9"
    assert [str(route) for route in request.routes] == [LOOSE[0], "<sip:strict.example>"]


@pytest.mark.parametrize("extra", ["", ";method=INVITE", "?Subject=x", ";method=INVITE?Subject=x"])
def test_a_strict_router_loses_what_a_request_uri_may_not_have(extra: str) -> None:
    request = server(f"<sip:strict.example;transport=tcp{extra}>").request("BYE")
    assert str(request.uri) == "sip:strict.example;transport=tcp"


def test_a_target_of_another_scheme_is_kept_as_it_is() -> None:
    request = invite(contact="<tel:+4930123>")
    assert str(Dialog.of_server(request, ok(request), OURS).request("BYE").uri) == "tel:+4930123"


def test_the_route_set_is_not_changed_by_later_messages() -> None:
    dialog = server(*LOOSE)
    later = invite("<sip:p9.example;lr>", number=8)
    dialog.accept_request(later)
    assert [str(route) for route in dialog.routes] == list(LOOSE)


# Remote target


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_target_refresh_moves_the_target(method: str) -> None:
    dialog = server()
    dialog.accept_request(from_peer(method, 8, "<sip:alice@192.0.2.10:5070>"))
    assert str(dialog.request("BYE").uri) == "sip:alice@192.0.2.10:5070"


def test_a_refresh_without_a_contact_and_other_methods_leave_the_target() -> None:
    dialog = server()
    dialog.accept_request(from_peer("INVITE", 8))
    dialog.accept_request(from_peer("INFO", 9, "<sip:mallory@192.0.2.66>"))
    assert str(dialog.target) == "sip:alice@192.0.2.9"


def test_the_answer_to_a_refresh_moves_the_target() -> None:
    dialog = client()
    again = invite()
    dialog.refresh_target(ok(again, "<sip:bob@192.0.2.20>"))
    assert str(dialog.target) == "sip:bob@192.0.2.20"


# Order, §12.2.2


def test_numbers_may_jump_but_not_come_back() -> None:
    dialog = server(number=7)
    dialog.accept_request(from_peer("INFO", 100))
    for late in (7, 99, 100):
        with pytest.raises(RemoteError) as caught:
            dialog.accept_request(from_peer("INFO", late))
        assert caught.value.status == 500
    dialog.accept_request(from_peer("INFO", 101))
    assert dialog.remote_cseq == 101


def test_the_first_request_of_a_callee_may_have_any_number() -> None:
    dialog = client()
    dialog.accept_request(from_peer("INFO", 2**31 - 1))
    assert dialog.remote_cseq == 2**31 - 1


def test_a_late_refresh_does_not_move_the_target() -> None:
    dialog = server(number=7)
    with pytest.raises(RemoteError):
        dialog.accept_request(from_peer("INVITE", 6, "<sip:mallory@192.0.2.66>"))
    assert str(dialog.target) == "sip:alice@192.0.2.9"
