"""UDP sockets bound to every address: flows, and so Via and Contact, name the one that packets leave from."""

import errno
import socket

import pytest
import trio
from trio.testing import MockClock

from p2psip.base.core import Address
from p2psip.base.errors import RemoteError
from p2psip.sip import sockets
from p2psip.sip.flow import Flow
from p2psip.sip.parser import parse_message
from tests.sip.loopback import LOCALHOST, ask, plain_socket, reply, service, statuses
from tests.sip.playbook import make_outgoing, request_text


@pytest.mark.parametrize(("host", "wildcard"), [(LOCALHOST, "0.0.0.0"), ("127.0.0.5", "0.0.0.0"), ("::1", "::")])
async def test_via_names_the_address_that_packets_leave_from(
    host: str, wildcard: str, autojump_clock: MockClock
) -> None:
    async with service(wildcard) as (sip, bound):
        with plain_socket(host) as phone:
            exchange = await ask(sip, phone.getsockname()[:2])
            data, source = phone.recvfrom(65_535)
            via = parse_message(data).top_via
            assert (via.host.strip("[]"), via.port) == source[:2] == exchange.flow.local
            assert source[1] == bound[1]


async def test_a_flow_that_came_in_names_it_too_and_leads_back(autojump_clock: MockClock) -> None:
    async with service("0.0.0.0") as (sip, bound):
        with plain_socket() as phone:
            phone.sendto(
                request_text("OPTIONS", via="SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK1"), (LOCALHOST, bound[1])
            )
            exchange = await sip.incoming.receive()
            assert exchange.flow == Flow("udp", (LOCALHOST, bound[1]), phone.getsockname())
            assert await sip.connect("udp", phone.getsockname()) == exchange.flow
            exchange.respond(reply(exchange, 200))
            assert await statuses(phone) == [200]


async def test_a_flow_from_an_address_that_we_had_leaves_by_the_same_socket(autojump_clock: MockClock) -> None:
    async with service("0.0.0.0") as (sip, bound):
        with plain_socket() as phone:
            sip.start(make_outgoing("OPTIONS"), Flow("udp", ("192.0.2.55", bound[1]), phone.getsockname()))
            assert phone.recvfrom(65_535)[1] == (LOCALHOST, bound[1])


async def test_what_comes_from_where_no_route_leads_is_taken_all_the_same(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "local_address_towards", lambda _remote: None)
    async with service("0.0.0.0") as (sip, bound):
        with plain_socket() as phone:
            phone.sendto(request_text("OPTIONS"), (LOCALHOST, bound[1]))
            assert (await sip.incoming.receive()).flow == Flow("udp", bound, phone.getsockname())


async def test_a_socket_bound_to_one_address_keeps_it(autojump_clock: MockClock) -> None:
    async with service("127.0.0.7") as (sip, bound):
        with plain_socket() as phone:
            assert (await sip.connect("udp", phone.getsockname())).local == bound


async def test_of_several_sockets_the_one_is_taken_that_leads_there(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "local_address_towards", lambda remote: "10.0.0.1" if remote[0][0] == "1" else None)
    async with service(LOCALHOST) as (sip, _):
        with pytest.raises(RemoteError, match="no UDP socket of this node leads to 192"):
            await sip.connect("udp", ("192.0.2.1", 5060))
        everywhere = await sip.listen_udp("0.0.0.0", 0)
        assert (await sip.connect("udp", ("192.0.2.1", 5060))).local == ("10.0.0.1", everywhere[1])


async def test_without_a_route_there_is_no_flow(autojump_clock: MockClock) -> None:
    async with service("0.0.0.0") as (sip, _):
        with pytest.raises(RemoteError) as caught:
            await sip.connect("udp", ("255.255.255.255", 5060))
        assert caught.value.status == 503


async def test_the_address_is_asked_for_again_after_a_while(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Address] = []

    def answer(remote: Address) -> str:
        asked.append(remote)
        return f"10.0.0.{len(asked)}"

    monkeypatch.setattr(sockets, "local_address_towards", answer)
    async with service("0.0.0.0") as (sip, _):
        assert (await sip.connect("udp", (LOCALHOST, 1))).local[0] == "10.0.0.1"
        assert (await sip.connect("udp", (LOCALHOST, 2))).local[0] == "10.0.0.1"
        await trio.sleep(sockets.LOCAL_ADDRESS_SECONDS)
        assert (await sip.connect("udp", (LOCALHOST, 3))).local[0] == "10.0.0.2"


async def test_one_host_more_than_are_remembered_pushes_out_the_oldest(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(remote: Address) -> str:
        asked.append(remote[0])
        return LOCALHOST

    monkeypatch.setattr(sockets, "LOCAL_ADDRESSES_MAX", 2)
    monkeypatch.setattr(sockets, "local_address_towards", answer)
    async with service("0.0.0.0") as (sip, _):
        for host in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.2", "10.0.0.3", "10.0.0.1"):
            await sip.connect("udp", (host, 5060))
    assert asked == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1"]


def test_asking_the_kernel() -> None:
    assert sockets.local_address_towards((LOCALHOST, 0)) == LOCALHOST
    assert sockets.local_address_towards((LOCALHOST, 70_000)) is None
    assert sockets.local_address_towards(("255.255.255.255", 5060)) is None


async def test_a_message_is_taken_while_no_socket_is_free(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who makes this node open as many files as it may would end it."""

    class Full(socket.socket):
        def __init__(self, *_more: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

    async with service("0.0.0.0") as (sip, bound):
        with plain_socket() as phone, monkeypatch.context() as patch:
            patch.setattr(socket, "socket", Full)
            assert sockets.local_address_towards((LOCALHOST, 5060)) is None
            phone.sendto(request_text("OPTIONS"), (LOCALHOST, bound[1]))
            exchange = await sip.incoming.receive()
            assert exchange.flow.remote == phone.getsockname()
