"""Exchanges against a sender that only takes notes, on virtual time."""

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.errors import RemoteError
from p2psip.sip.build import make_response
from p2psip.sip.exchange import RESPONSES_QUEUED_MAX, ClientExchange, ServerExchange
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request, Response
from p2psip.sip.parser import parse_message
from tests.sip.playbook import THERE, flow_of, make_outgoing, request_text


class Notes:
    """A sender that sends nothing."""

    def __init__(self) -> None:
        self.responses: list[tuple[str, int]] = []
        self.again: list[tuple[float, bytes, Flow]] = []
        self.cancelled: list[str] = []
        self.acks: list[Request] = []
        self.expecting: list[bool] = []

    def respond(self, key: str, response: Response) -> None:
        self.responses.append((key, response.status))

    def send_again(self, wire: bytes, flow: Flow) -> None:
        self.again.append((trio.current_time(), wire, flow))

    def cancel(self, key: str) -> None:
        self.cancelled.append(key)

    def forget(self, _exchange: ClientExchange) -> None:
        self.cancelled.append("forgotten")

    def send_ack(self, ack: Request, flow: Flow) -> bytes:
        self.acks.append(ack)
        return b"ack %d" % len(self.acks)

    def expect_ack(self, exchange: ServerExchange, waiting: bool) -> None:
        self.expecting.append(waiting)


def arrived(data: bytes = b"") -> Request:
    message = parse_message(data or request_text())
    assert isinstance(message, Request)
    return message


def incoming(notes: Notes, data: bytes = b"") -> ServerExchange:
    return ServerExchange("key", arrived(data), flow_of(), notes)


def outgoing(notes: Notes) -> ClientExchange:
    exchange = ClientExchange(make_outgoing("INVITE"), flow_of(), notes)
    exchange.key = "key"
    return exchange


def answer(status: int, tag: str = "b") -> Response:
    return make_response(arrived(), status, to_tag=tag)


# Requests of a peer


@pytest.mark.parametrize("final", [200, 486])
def test_after_a_final_response_nothing_more_is_sent(final: int) -> None:
    notes = Notes()
    exchange = incoming(notes)
    for status in (180, 183, final, 500, 200, 180):
        exchange.respond(answer(status))
    assert notes.responses == [("key", 180), ("key", 183), ("key", final)]


async def test_a_2xx_is_repeated_until_its_ack(autojump_clock: MockClock) -> None:
    notes = Notes()
    exchange, response = incoming(notes), answer(200)
    ack = arrived(request_text("ACK"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_later, exchange, ack, 13.0)
        assert await exchange.accept(response) is ack
    assert [(when, flow) for when, _wire, flow in notes.again] == [
        (when, flow_of()) for when in (0.5, 1.5, 3.5, 7.5, 11.5)
    ]
    assert {wire for _when, wire, _flow in notes.again} == {response.to_bytes()}
    assert trio.current_time() == 13.0
    assert notes.responses == [("key", 200)]
    assert notes.expecting == [True, False]


async def take_later(exchange: ServerExchange, ack: Request, when: float) -> None:
    await trio.sleep_until(when)
    exchange.take_ack(ack)


async def test_a_2xx_without_ack_is_given_up_after_64_t1(autojump_clock: MockClock) -> None:
    notes = Notes()
    with pytest.raises(RemoteError) as caught:
        await incoming(notes).accept(answer(200))
    assert caught.value.status == 408
    assert trio.current_time() == 32.0
    assert [when for when, _wire, _flow in notes.again] == [0.5, 1.5, 3.5, *(7.5 + 4 * n for n in range(7))]
    assert notes.expecting == [True, False]


async def test_a_repeated_2xx_goes_to_the_port_of_via_without_rport(autojump_clock: MockClock) -> None:
    notes = Notes()
    data = request_text(via=f"SIP/2.0/UDP {THERE[0]}:5070;branch=z9hG4bK1")
    with pytest.raises(RemoteError):
        await incoming(notes, data).accept(answer(200))
    assert {flow.remote for _when, _wire, flow in notes.again} == {(THERE[0], 5070)}


async def test_who_stops_waiting_expects_no_ack_any_more(autojump_clock: MockClock) -> None:
    notes = Notes()
    with trio.move_on_after(1):
        await incoming(notes).accept(answer(200))
    assert notes.expecting == [True, False]
    assert len(notes.again) == 1


async def test_a_call_that_was_refused_cannot_be_accepted(autojump_clock: MockClock) -> None:
    notes = Notes()
    exchange = incoming(notes)
    exchange.respond(answer(487))
    with pytest.raises(RemoteError) as caught:
        await exchange.accept(answer(200))
    assert caught.value.status == 487
    assert (notes.responses, notes.again, notes.expecting) == ([("key", 487)], [], [])


# Requests of ours


async def test_responses_come_in_order(autojump_clock: MockClock) -> None:
    exchange = outgoing(Notes())
    for status in (100, 180, 200):
        exchange.feed(answer(status))
    assert [(await exchange.next_response()).status for _ in range(3)] == [100, 180, 200]


async def test_the_final_response_is_the_first_above_199(autojump_clock: MockClock) -> None:
    exchange = outgoing(Notes())
    for status in (100, 199, 302, 200):
        exchange.feed(answer(status))
    assert (await exchange.final_response()).status == 302


@pytest.mark.parametrize("status", [408, 503])
async def test_a_failure_is_raised_after_the_responses_that_came(status: int, autojump_clock: MockClock) -> None:
    exchange = outgoing(Notes())
    exchange.feed(answer(180))
    exchange.fail(status)
    assert (await exchange.next_response()).status == 180
    with pytest.raises(RemoteError) as caught:
        await exchange.next_response()
    assert caught.value.status == status


async def test_a_repeated_2xx_is_acknowledged_again_for_its_own_branch(autojump_clock: MockClock) -> None:
    notes = Notes()
    exchange = outgoing(notes)
    exchange.feed(answer(200, "b"))
    exchange.acknowledge(await exchange.next_response(), make_outgoing("ACK"))
    exchange.feed(answer(200, "b"))
    exchange.feed(answer(200, "c"))
    second = await exchange.next_response()
    assert second.to.tag == "c"
    exchange.acknowledge(second, make_outgoing("ACK"))
    exchange.feed(answer(200, "c"))
    exchange.feed(answer(200, "b"))
    assert [wire for _when, wire, _flow in notes.again] == [b"ack 1", b"ack 2", b"ack 1"]


async def test_one_response_more_than_may_wait_is_dropped_but_not_the_first_final_one(
    autojump_clock: MockClock,
) -> None:
    exchange = outgoing(Notes())
    for _ in range(RESPONSES_QUEUED_MAX + 1):
        exchange.feed(answer(180))
    for number in range(3):
        exchange.feed(answer(200, f"b{number}"))
    taken = [(await exchange.next_response()).status for _ in range(RESPONSES_QUEUED_MAX + 1)]
    assert taken == [180] * RESPONSES_QUEUED_MAX + [200]
    with trio.move_on_after(1) as scope:
        await exchange.next_response()
    assert scope.cancelled_caught


def test_cancel_and_close_go_to_the_service() -> None:
    notes = Notes()
    exchange = outgoing(notes)
    exchange.cancel()
    exchange.close()
    assert notes.cancelled == ["key", "forgotten"]


@pytest.mark.parametrize("before", [[], [180], [180, 200]])
def test_a_2xx_to_an_invite_that_was_left_is_acknowledged_whenever_it_comes(before: list[int]) -> None:
    notes = Notes()
    exchange = outgoing(notes)
    for status in before:
        exchange.feed(answer(status))
    taken: list[Response] = []
    exchange.leave(taken.append)
    for status in (183, 200) if 200 not in before else ():
        exchange.feed(answer(status))
    exchange.feed(answer(487, "c"))
    assert notes.cancelled == ["key"]
    assert [response.status for response in taken] == [200]
