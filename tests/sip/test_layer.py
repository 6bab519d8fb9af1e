"""What the layer does around the machines: matching, Via, routes of responses, stateless answers, and bounds."""

from dataclasses import replace

import pytest

from p2psip.sip import layer as layer_module
from p2psip.sip.events import AckReceived, CancelReceived, RequestReceived, SipTransmit, TransactionFailed
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request, Response
from p2psip.sip.parser import parse_message
from tests.sip.playbook import HERE, THERE, Stage, flow_of, make_outgoing, request_text

COOKIE = "z9hG4bK"


def answered(stage: Stage, data: bytes, flow: Flow | None = None) -> Response:
    """The one response that `data` gets at once."""
    outputs = stage.receive(data, flow)
    sent = [each for each in outputs if isinstance(each, SipTransmit)]
    assert len(sent) == 1
    response = parse_message(sent[0].data)
    assert isinstance(response, Response)
    return response


# Our requests


def test_a_via_with_our_address_rport_and_a_fresh_branch_is_put_on_top() -> None:
    stage = Stage()
    first, second = stage.send("OPTIONS"), stage.send("OPTIONS")
    assert str(first.top_via).startswith(f"SIP/2.0/UDP {HERE[0]}:{HERE[1]};branch={COOKIE}")
    assert first.top_via.parameter("rport") == ""
    assert len(first.vias) == 1
    assert first.top_via.branch != second.top_via.branch


def test_an_ipv6_address_stands_in_brackets_in_via() -> None:
    stage = Stage()
    stage.flow = Flow("tcp", ("2001:db8::1", 5060), ("2001:db8::2", 5060), 1)
    assert str(stage.send("OPTIONS").top_via).startswith("SIP/2.0/TCP [2001:db8::1]:5060;")


def test_a_via_in_the_overlay_names_no_address() -> None:
    stage = Stage("overlay")
    stage.flow = Flow("overlay", ("overlay", 0), ("ab" * 20, 0))
    assert str(stage.send("OPTIONS").top_via).startswith("SIP/2.0/OVERLAY overlay.invalid;")


@pytest.mark.parametrize("status", [300, 486, 603])
def test_ack_of_a_failure_takes_the_hop_of_its_invite(status: int) -> None:
    stage = Stage()
    invite = stage.send("INVITE", "Route: <sip:192.0.2.7;lr>\r\nRoute: <sip:192.0.2.8;lr>\r\n")
    stage.respond(status, "INVITE", "callee")
    ack = stage.last_request("ACK")
    assert ack.headers.all("Via") == invite.headers.all("Via")
    assert ack.headers.all("Route") == ["<sip:192.0.2.7;lr>", "<sip:192.0.2.8;lr>"]
    assert (ack.uri, ack.call_id, ack.from_) == (invite.uri, invite.call_id, invite.from_)
    assert (ack.to.tag, ack.cseq.number, ack.cseq.method, ack.max_forwards) == ("callee", 1, "ACK", 70)


def test_cancel_takes_the_hop_of_its_invite_and_its_to_without_a_tag() -> None:
    stage = Stage()
    invite = stage.send("INVITE", "Route: <sip:192.0.2.7;lr>\r\nReason: SIP;cause=200\r\n")
    stage.respond(180, "INVITE", "callee")
    stage.cancel()
    cancel = stage.last_request("CANCEL")
    assert cancel.headers.all("Via") == invite.headers.all("Via")
    assert cancel.headers.all("Route") == ["<sip:192.0.2.7;lr>"]
    assert cancel.headers.get("Reason") == "SIP;cause=200"
    assert (cancel.uri, cancel.to, cancel.from_) == (invite.uri, invite.to, invite.from_)
    assert str(cancel.cseq) == "1 CANCEL"


def test_ack_of_a_2xx_has_a_branch_of_its_own() -> None:
    stage = Stage()
    invite = stage.send("INVITE")
    wire = stage.layer.send_ack(make_outgoing("ACK"), stage.flow)
    stage.layer.send_again(wire, stage.flow)
    first, second = (each for each in stage.drain() if isinstance(each, SipTransmit))
    assert first.data == second.data == wire
    assert stage.last_request("ACK").top_via.branch != invite.top_via.branch


def test_retransmissions_are_the_same_bytes() -> None:
    stage = Stage()
    stage.send("INVITE")
    stage.advance(4)
    assert len({data for data, _flow in stage.wires}) == 1
    assert len(stage.wires) == 4


def test_cancel_of_what_is_unknown_does_nothing() -> None:
    stage = Stage()
    stage.layer.cancel("nothing", 0)
    assert stage.drain() == []


# Responses


def test_a_response_with_an_unknown_branch_is_dropped_and_counted() -> None:
    stage = Stage()
    wire = stage.send("OPTIONS")
    stage.respond(100, "OPTIONS")
    known = str(wire.top_via.branch).encode()
    reply = f"SIP/2.0 200 OK\r\nVia: {wire.top_via}\r\nFrom: <sip:a@b>;tag=a\r\nTo: <sip:c@d>;tag=b\r\n"
    text = (reply + "Call-ID: one\r\nCSeq: 1 OPTIONS\r\n\r\n").encode()
    assert stage.receive(text.replace(known, COOKIE.encode() + b"unknown")) == []
    assert stage.receive(text.replace(b"1 OPTIONS", b"1 INVITE")) == []
    assert stage.layer.stray_responses == 2
    assert stage.receive(text) != []
    assert stage.layer.stray_responses == 2


@pytest.mark.parametrize("data", [b"x", b"\x00" * 200, b"SIP/2.0 200 OK\r\n\r\n", b"INVITE sip:a@b SIP/2.0\r\n\r\n"])
def test_garbage_is_dropped_and_counted(data: bytes) -> None:
    stage = Stage()
    assert stage.receive(data) == []
    assert stage.layer.malformed == 1


def test_a_broken_request_that_can_be_answered_is() -> None:
    stage = Stage()
    response = answered(stage, request_text("OPTIONS").replace(b"Max-Forwards: 70", b"Max-Forwards: many"))
    assert response.status == 400
    assert response.to.tag
    assert response.headers.get("Warning") == '399 p2psip "a Max-Forwards that is no number from 0 to 255"'
    assert (stage.layer.malformed, len(stage.layer)) == (1, 0)


def test_a_broken_request_whose_to_cannot_be_read_is_answered_with_to_as_it_came() -> None:
    stage = Stage()
    stage.layer.receive(request_text("OPTIONS", to="<<nobody>"), stage.flow, 0)
    output = stage.layer.poll_output()
    assert isinstance(output, SipTransmit)
    assert output.data.startswith(b"SIP/2.0 400 ")
    assert b"\r\nTo: <<nobody>\r\n" in output.data


def test_a_broken_ack_is_never_answered() -> None:
    stage = Stage()
    assert stage.receive(request_text("ACK").replace(b"Max-Forwards: 70", b"Max-Forwards: many")) == []


def test_another_version_is_answered_505() -> None:
    assert answered(Stage(), request_text("OPTIONS").replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1)).status == 505


# Where responses go


def respond_at(stage: Stage, via: str, *, flow: Flow | None = None) -> tuple[Flow, str]:
    """The flow and the topmost Via of the answer to a request with this Via."""
    stage.receive(request_text("OPTIONS", via=via), flow)
    stage.answer(200)
    return stage.wires[-1][1], str(stage.sent[-1].top_via)


def test_rport_and_received_are_filled_in_and_the_source_is_answered() -> None:
    flow, via = respond_at(Stage(), f"SIP/2.0/UDP 10.0.0.1:5060;rport;branch={COOKIE}1")
    assert flow == flow_of()
    assert via == f"SIP/2.0/UDP 10.0.0.1:5060;branch={COOKIE}1;rport={THERE[1]};received={THERE[0]}"


def test_rport_of_the_peer_is_not_believed() -> None:
    _flow, via = respond_at(Stage(), f"SIP/2.0/UDP {THERE[0]}:5060;rport=1;received=198.51.100.1;branch={COOKIE}1")
    assert f"rport={THERE[1]};received={THERE[0]}" in via


@pytest.mark.parametrize(("port", "expected"), [(":5070", 5070), ("", 5060)])
def test_without_rport_the_port_of_via_is_answered(port: str, expected: int) -> None:
    flow, via = respond_at(Stage(), f"SIP/2.0/UDP {THERE[0]}{port};branch={COOKIE}1")
    assert flow == replace(flow_of(), remote=(THERE[0], expected))
    assert "received" not in via


def test_without_rport_behind_a_nat_the_source_is_answered_and_received_is_said() -> None:
    flow, via = respond_at(Stage(), f"SIP/2.0/UDP 10.0.0.1:5060;branch={COOKIE}1")
    assert flow == flow_of()
    assert via.endswith(f";received={THERE[0]}")


def test_a_stream_is_answered_over_itself_whatever_via_says() -> None:
    flow, _via = respond_at(Stage("tcp"), f"SIP/2.0/TCP {THERE[0]}:5070;branch={COOKIE}1")
    assert flow == flow_of("tcp")


def test_stateless_answers_take_the_same_way() -> None:
    stage = Stage()
    via = f"SIP/2.0/UDP {THERE[0]}:5070;branch={COOKIE}1"
    stage.receive(request_text("OPTIONS", via=via).replace(b"Max-Forwards: 70", b"Max-Forwards: many"))
    assert stage.wires[-1][1].remote == (THERE[0], 5070)


def test_other_vias_stay_below_in_their_order() -> None:
    stage = Stage()
    via = f"SIP/2.0/UDP {THERE[0]}:{THERE[1]};branch={COOKIE}1, SIP/2.0/TCP 10.0.0.1;branch={COOKIE}0"
    stage.receive(request_text("OPTIONS", via=via, headers="Via: SIP/2.0/UDP 10.0.0.2\r\n"))
    stage.answer(200)
    assert [each.host for each in stage.sent[-1].vias] == [THERE[0], "10.0.0.1", "10.0.0.2"]


# Matching


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_requests_without_the_cookie_are_matched_the_old_way(method: str) -> None:
    stage = Stage()
    via = f"SIP/2.0/UDP {THERE[0]}:{THERE[1]};rport"
    stage.receive(request_text(method, via=via))
    stage.answer(486)
    stage.receive(request_text(method, via=via))
    assert [each.split()[1] for each in stage.lines] == ["user:", ">", ">"]


def test_cancel_and_ack_without_the_cookie_find_their_invite_within_a_dialog_too() -> None:
    stage = Stage()
    via, to = f"SIP/2.0/UDP {THERE[0]}:{THERE[1]};rport;branch=1", "<sip:bob@example.com>;tag=b"
    stage.receive(request_text("INVITE", via=via, to=to))
    outputs = stage.receive(request_text("CANCEL", via=via, to=to))
    assert [type(each) for each in outputs] == [SipTransmit, CancelReceived]
    stage.answer(487, "INVITE")
    assert stage.receive(request_text("ACK", via=via, to=to)) == []


def test_without_the_cookie_another_tag_in_to_is_another_request() -> None:
    stage = Stage()
    for tag in ("b", "c"):
        to = f"<sip:bob@example.com>;tag={tag}"
        stage.receive(request_text("INFO", via=f"SIP/2.0/UDP {THERE[0]};rport", to=to))
    assert len(stage.requests) == 2


def test_a_bare_cookie_is_no_branch() -> None:
    stage = Stage()
    stage.receive(request_text("OPTIONS", COOKIE))
    stage.receive(request_text("OPTIONS", COOKIE, number="2"))
    assert len(stage.requests) == 2


@pytest.mark.parametrize("sent_by", ["192.0.2.77:5066", "192.0.2.9:5067", "192.0.2.9"])
def test_the_same_branch_from_another_sent_by_is_another_request(sent_by: str) -> None:
    stage = Stage()
    stage.receive(request_text("OPTIONS", call_id="one"))
    via = f"SIP/2.0/UDP {sent_by};branch={COOKIE}one;rport"
    stage.receive(request_text("OPTIONS", via=via, call_id="two"))
    assert len(stage.requests) == 2


def test_the_same_branch_over_a_second_connection_is_the_same_request() -> None:
    stage = Stage("tcp")
    stage.receive(request_text("INVITE", to="<sip:bob@example.com>;tag=b"))
    stage.receive(request_text("INVITE", to="<sip:bob@example.com>;tag=b"), replace(stage.flow, serial=8))
    assert len(stage.requests) == len(stage.layer) == 1
    stage.answer(200)
    stage.advance(None)
    assert len(stage.layer) == 0


def test_another_node_of_the_overlay_cannot_cancel_or_acknowledge() -> None:
    stage = Stage("overlay")
    alice, mallory = (Flow("overlay", ("overlay", 0), (name * 20, 0)) for name in ("aa", "bb"))
    via = f"SIP/2.0/OVERLAY overlay.invalid;branch={COOKIE}one;rport"
    stage.receive(request_text("INVITE", via=via), alice)
    assert answered(stage, request_text("CANCEL", via=via), mallory).status == 481
    stage.answer(486, "INVITE")
    stage.receive(request_text("ACK", via=via), mallory)
    stage.advance(0.6)
    assert stage.lines[-1] == "0.5 > 486 INVITE"
    assert stage.receive(request_text("ACK", via=via), alice) == []
    stage.advance(30)
    assert stage.lines[-1] == "5.6 user: ended"


def test_a_merged_request_is_answered_482() -> None:
    stage = Stage()
    stage.receive(request_text("INVITE", f"{COOKIE}one"))
    response = answered(stage, request_text("INVITE", f"{COOKIE}two"))
    assert (response.status, len(stage.requests)) == (482, 1)


@pytest.mark.parametrize(
    "other", [{"from_": "<sip:alice@example.com>;tag=z"}, {"call_id": "two"}, {"number": "2"}, {"from_": "<sip:a@b>"}]
)
def test_what_differs_in_from_tag_call_id_or_number_is_not_merged(other: dict[str, str]) -> None:
    stage = Stage()
    stage.receive(request_text("INVITE", f"{COOKIE}one"))
    stage.receive(request_text("INVITE", f"{COOKIE}two", **other))
    assert len(stage.requests) == 2


def test_a_request_within_a_dialog_is_never_merged() -> None:
    stage = Stage()
    for branch in ("one", "two"):
        stage.receive(request_text("INFO", COOKIE + branch, to="<sip:bob@example.com>;tag=b"))
    assert len(stage.requests) == 2


def test_after_its_end_a_request_merges_with_nothing() -> None:
    stage = Stage("tcp")
    stage.receive(request_text("OPTIONS", f"{COOKIE}one"))
    stage.answer(200)
    stage.receive(request_text("OPTIONS", f"{COOKIE}two"))
    assert len(stage.requests) == 2


def test_the_answer_to_cancel_has_the_tag_of_the_invite() -> None:
    stage = Stage()
    stage.receive(request_text("INVITE"))
    stage.answer(180)
    assert answered(stage, request_text("CANCEL")).to.tag == "b"


def test_100_takes_the_timestamp_of_the_invite() -> None:
    stage = Stage()
    stage.receive(request_text("INVITE", headers="Timestamp: 54.2\r\n"))
    stage.advance(0.2)
    assert stage.sent[-1].headers.all("Timestamp") == ["54.2"]
    assert stage.sent[-1].to.tag is None


def test_an_ack_of_nothing_goes_up_with_its_flow() -> None:
    stage = Stage()
    (output,) = stage.receive(request_text("ACK"))
    assert isinstance(output, AckReceived)
    assert (output.request.method, output.flow) == ("ACK", stage.flow)


def test_a_request_goes_up_with_its_flow_and_via_completed() -> None:
    stage = Stage()
    (output,) = stage.receive(request_text("BREW"))
    assert isinstance(output, RequestReceived)
    assert output.flow == stage.flow
    assert output.request.top_via.parameter("rport") == str(THERE[1])


def test_an_answer_to_what_is_unknown_is_not_sent() -> None:
    stage = Stage()
    request = parse_message(request_text())
    assert isinstance(request, Request)
    stage.layer.respond("nothing", Response(200, "OK", request.headers), 0)
    assert stage.drain() == []


# Bounds


def receive_many(stage: Stage, first: int, count: int, method: str = "OPTIONS") -> None:
    for number in range(first, first + count):
        stage.receive(request_text(method, f"{COOKIE}{number}", call_id=str(number)))


def test_one_request_more_than_a_flow_may_have_is_answered_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, "TRANSACTIONS_PER_FLOW_MAX", 3)
    stage = Stage()
    receive_many(stage, 0, 3)
    assert stage.sent == []
    response = answered(stage, request_text("OPTIONS", f"{COOKIE}more", call_id="more"))
    assert (response.status, response.headers.get("Retry-After")) == (503, "5")
    assert (stage.layer.refused, len(stage.layer)) == (1, 3)
    other = Flow("udp", HERE, ("192.0.2.10", 5060))
    stage.receive(request_text("OPTIONS", f"{COOKIE}other", call_id="other"), other)
    assert len(stage.layer) == 4


def test_a_flow_has_room_again_when_its_requests_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, "TRANSACTIONS_PER_FLOW_MAX", 1)
    stage = Stage("tcp")
    for number in range(3):
        receive_many(stage, number, 1)
        stage.answer(200)
    assert stage.layer.refused == 0
    assert stage.layer._per_flow == {}


def test_one_request_more_than_all_flows_may_have_is_answered_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, "TRANSACTIONS_MAX", 2)
    stage = Stage()
    receive_many(stage, 0, 2)
    assert answered(stage, request_text("OPTIONS", f"{COOKIE}more", call_id="more")).status == 503


def test_above_the_bounds_cancel_is_served_without_being_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, "TRANSACTIONS_PER_FLOW_MAX", 1)
    stage = Stage()
    stage.receive(request_text("INVITE"))
    outputs = stage.receive(request_text("CANCEL"))
    assert [type(each) for each in outputs] == [SipTransmit, CancelReceived]
    assert stage.lines[-2] == "0 > 200 CANCEL"
    assert len(stage.layer) == 1


def test_one_request_of_ours_more_than_there_may_be_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, "TRANSACTIONS_MAX", 2)
    stage = Stage()
    stage.send("OPTIONS")
    stage.send("OPTIONS")
    key = stage.layer.request(make_outgoing("OPTIONS"), stage.flow, 0)
    assert stage.drain()[0] == TransactionFailed(key, 503)
    assert (len(stage.wires), len(stage.layer), stage.layer.refused) == (2, 2, 1)
