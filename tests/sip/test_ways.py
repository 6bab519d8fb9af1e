"""Which way a request takes: TCP for what is too large, UDP where nobody listens on TCP, another flow when one has failed."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.sip import service as service_module
from p2psip.sip import ways as ways_module
from p2psip.sip.flow import Flow
from p2psip.sip.message import Request
from p2psip.sip.uri import SipUri
from p2psip.sip.ways import DATAGRAM_BYTES_MAX, VIA_BYTES_MAX, WAYS_MAX, Ways
from tests.sip.loopback import LOCALHOST, plain_socket, read_all, reply, service, settle
from tests.sip.playbook import make_outgoing

UDP = Flow("udp", ("127.0.0.1", 5060), ("127.0.0.1", 6000))


def sized(count: int, uri: str = "sip:bob@127.0.0.1:6000") -> Request:
    """A request of so many bytes without our Via."""
    request = make_outgoing("OPTIONS")
    request.uri = SipUri.parse(uri)
    request.body = b""
    request.body = b"x" * (count - len(request.to_bytes()))
    while len(request.to_bytes()) > count:
        request.body = request.body[:-1]
    return request


@pytest.mark.parametrize(
    ("count", "flow", "uri", "wanted"),
    [
        (DATAGRAM_BYTES_MAX - VIA_BYTES_MAX, UDP, "sip:bob@127.0.0.1:6000", False),
        (DATAGRAM_BYTES_MAX - VIA_BYTES_MAX + 1, UDP, "sip:bob@127.0.0.1:6000", True),
        (DATAGRAM_BYTES_MAX, UDP, "sip:bob@provider.example", True),
        (DATAGRAM_BYTES_MAX, UDP, "sip:bob@192.168.1.7:6000", False),
        (DATAGRAM_BYTES_MAX, Flow("tcp", UDP.local, UDP.remote, 1), "sip:bob@127.0.0.1:6000", False),
    ],
    ids=["small", "one byte too large", "a server", "behind a NAT", "tcp already"],
)
def test_what_goes_over_tcp(count: int, flow: Flow, uri: str, wanted: bool) -> None:
    assert Ways().wants_tcp(sized(count, uri), flow, 0.0) is wanted


def test_who_has_no_tcp_is_not_asked_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways_module, "WITHOUT_TCP_MAX", 2)
    ways, large = Ways(), sized(DATAGRAM_BYTES_MAX)
    ways.note_without_tcp(UDP.remote, 0.0)
    assert not ways.wants_tcp(large, UDP, ways_module.WITHOUT_TCP_SECONDS - 1)
    assert ways.wants_tcp(large, UDP, ways_module.WITHOUT_TCP_SECONDS)
    for port in (1, 2):
        ways.note_without_tcp(("127.0.0.1", port), 0.0)
    assert ways.wants_tcp(large, UDP, 1.0)  # one more than are remembered: the oldest is asked again


async def test_a_large_request_goes_over_tcp_to_who_listens_there(autojump_clock: MockClock) -> None:
    async with service() as (caller, _), service() as (callee, address):
        await callee.listen_tcp(*address)
        exchange = caller.start(
            sized(2_000, f"sip:bob@{address[0]}:{address[1]}"), await caller.connect("udp", address)
        )
        arriving = await callee.incoming.receive()
        assert (arriving.flow.transport, arriving.request.top_via.transport) == ("tcp", "TCP")
        arriving.respond(reply(arriving, 200))
        assert (await exchange.final_response()).status == 200
        assert trio.current_time() == 0.0


async def test_a_connection_is_remembered_for_the_flow_whose_place_it_took_until_it_ends(
    autojump_clock: MockClock,
) -> None:
    async with service() as (caller, _), service() as (callee, address):
        await callee.listen_tcp(*address)
        udp = await caller.connect("udp", address)
        caller.start(sized(2_000, f"sip:bob@{address[0]}:{address[1]}"), udp)
        arriving = await callee.incoming.receive()
        dialled = await caller.connect("tcp", address)
        assert (caller.instead_of(dialled), caller.instead_of(udp)) == (udp, None)
        assert callee.instead_of(arriving.flow) is None
        caller._flow_closed(dialled)
        assert caller.instead_of(dialled) is None


def test_connections_in_the_place_of_udp_are_forgotten_above_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways_module, "INSTEAD_MAX", 2)
    ways = Ways()
    connections = [Flow("tcp", ("127.0.0.1", 5), ("127.0.0.1", 6), serial) for serial in (1, 2, 3)]
    for connection in connections:
        ways.note_instead(connection, UDP)
    assert [ways.instead_of(each) for each in connections] == [None, UDP, UDP]


async def test_a_large_request_goes_over_udp_where_there_is_no_tcp(autojump_clock: MockClock) -> None:
    async with service() as (caller, _), service() as (callee, address):
        for number in range(2):
            request = sized(2_000, f"sip:bob@{address[0]}:{address[1]}")
            request.headers.set("Call-ID", str(number))
            exchange = caller.start(request, await caller.connect("udp", address))
            arriving = await callee.incoming.receive()
            assert arriving.flow.transport == "udp"
            arriving.respond(reply(arriving, 200))
            assert (await exchange.final_response()).status == 200


async def test_a_connection_that_is_reset_is_followed_by_udp(autojump_clock: MockClock) -> None:
    async with service() as (caller, _), service() as (callee, address):
        (listener,) = await trio.open_tcp_listeners(address[1], host=address[0])
        exchange = caller.start(
            sized(2_000, f"sip:bob@{address[0]}:{address[1]}"), await caller.connect("udp", address)
        )
        await (await listener.accept()).aclose()
        await listener.aclose()
        arriving = await callee.incoming.receive()
        assert arriving.flow.transport == "udp"
        arriving.respond(reply(arriving, 200))
        assert (await exchange.final_response()).status == 200


async def test_silence_on_tcp_is_given_up_soon(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as (caller, _):

        async def connect(transport: str, remote: Address, **_more: object) -> Flow:
            await trio.sleep_forever()
            raise AssertionError

        flow = await caller.connect("udp", (LOCALHOST, 9))
        monkeypatch.setattr(caller, "connect", connect)
        with plain_socket() as phone:
            there = Flow("udp", flow.local, phone.getsockname())
            caller.start(sized(2_000, f"sip:bob@{LOCALHOST}:6000"), there)
            await trio.sleep(service_module.TCP_INSTEAD_SECONDS_MAX + 0.1)
            assert len(read_all(phone)) == 1


async def test_what_is_cancelled_before_it_was_sent_is_never_sent(autojump_clock: MockClock) -> None:
    async with service() as (caller, _):
        with plain_socket() as phone:
            exchange = caller.start(sized(2_000), await caller.connect("udp", phone.getsockname()))
            exchange.cancel()
            with pytest.raises(RemoteError) as caught:
                await exchange.final_response()
            assert caught.value.status == 487
            await settle()
            assert read_all(phone) == []


# Another flow of the same phone


@pytest.mark.parametrize("in_dialog", [False, True])
async def test_a_flow_that_has_failed_is_followed_by_its_successor(in_dialog: bool, autojump_clock: MockClock) -> None:
    async with service() as (caller, bound):
        with plain_socket() as phone:
            alive = Flow("udp", bound, phone.getsockname())
            dead = Flow("tcp", bound, ("127.0.0.1", 1), 7)
            contact = SipUri.parse("sip:bob@127.0.0.1:7777")
            caller.ways.successor = lambda flow: (alive, contact) if flow == dead else None
            request = make_outgoing("OPTIONS")
            if in_dialog:
                request.headers.set("To", str(request.to.with_tag("t")))
            exchange = caller.start(request, dead)
            await settle()
            (seen,) = read_all(phone)
            assert isinstance(seen, Request)
            assert (len(seen.vias), str(seen.uri) == str(contact), exchange.flow) == (1, not in_dialog, alive)


async def test_430_is_an_answer_of_a_flow_that_has_failed(autojump_clock: MockClock) -> None:
    async with service() as (caller, bound), service() as (edge, address):
        with plain_socket() as phone:
            alive = Flow("udp", bound, phone.getsockname())
            caller.ways.successor = lambda flow: (alive, SipUri.parse("sip:b@c")) if flow.remote == address else None
            exchange = caller.start(make_outgoing("INVITE"), await caller.connect("udp", address))
            arriving = await edge.incoming.receive()
            arriving.respond(reply(arriving, 430))
            await settle()
            assert [each.method for each in read_all(phone) if isinstance(each, Request)] == ["INVITE"]
            assert exchange.flow == alive


async def test_flows_that_fail_in_turn_are_tried_once_each_and_no_more_than_may_be(autojump_clock: MockClock) -> None:
    async with service() as (caller, bound):
        flows = [Flow("tcp", bound, ("127.0.0.1", 1), number) for number in range(2 * WAYS_MAX)]
        contact = SipUri.parse("sip:b@c")
        caller.ways.successor = lambda flow: (flows[(flow.serial + 1) % len(flows)], contact)
        exchange = caller.start(make_outgoing("OPTIONS"), flows[0])
        with pytest.raises(RemoteError) as caught:
            await exchange.final_response()
        assert (caught.value.status, exchange.tried) == (503, flows[:WAYS_MAX])
        flows = flows[:2]
        exchange = caller.start(make_outgoing("OPTIONS"), flows[0])
        with pytest.raises(RemoteError):
            await exchange.final_response()
        assert exchange.tried == flows[:2]


@given(st.text(max_size=50), st.binary(max_size=50), st.booleans())
def test_the_length_of_a_request_is_that_of_its_bytes(subject: str, body: bytes, has_length: bool) -> None:
    request = make_outgoing("MESSAGE")
    request.body = body
    request.headers.add("Subject", subject)
    if has_length:
        request.headers.add("Content-Length", "0")
    assert ways_module._bytes_of(request) == len(request.to_bytes())
